# SPDX-License-Identifier: BSD-3-Clause
"""One end of an OCP connection: transport, transcript, and the queue of what has come."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import rules
from .catalogue import CORE, bind
from .wire import Decoder, Malformed, Message, Out, cuts, encode

WAIT = 20.0


class PeerError(AssertionError):
    """The other side did not do what it should; the text ends with the transcript's tail."""


class Transcript:
    """What went over one connection: lines "  1.234 > message"."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.lines: list[tuple[float, str, str]] = []

    def add(self, way: str, text: str) -> None:
        self.lines.append((time.monotonic() - self.begun, way, text))

    def tail(self, n: int = 40) -> str:
        """The last n lines."""
        return "\n".join(f"{t:8.3f} {w} {x}" for t, w, x in self.lines[-n:])


def connect(address: str, seconds: float = WAIT) -> socket.socket:
    """A connected socket: tcp:HOST:PORT or unix:/path. Waits for a listener that is not up yet."""
    kind, _, rest = address.partition(":")
    end = time.monotonic() + seconds
    while True:
        try:
            if kind == "unix":
                s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    s.connect(rest)
                except OSError:
                    s.close()
                    raise
                return s
            host, _, port = rest.rpartition(":")
            return socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


class Endpoint:
    """A connection seen from one end.

    send() and raw() queue octets and write what the socket takes; pump() reads and writes what is possible and hands every
    message to handle(). With cut set (an iterable of sizes), what is sent goes out in such pieces, one write each.
    check: verify what comes with rules.Watch and raise rules.RuleBroken (see fault)."""

    role = "?"

    def __init__(self, sock: socket.socket, dialect: str | None, check: bool = True) -> None:
        self.sock, self.dialect = sock, dialect
        self.cut: Iterable[int] | None = None
        self.transcript = Transcript()
        self.received: list[Message] = []
        self.inbox: list[Message] = []
        self.closed = False
        self.closed_why = ""
        self.malformed: Malformed | None = None
        self.decoder = Decoder()
        self.check = check
        self.watch: rules.Watch | None = None
        self.hooks: list[Callable[[Message], bool | None]] = []
        self._echo = Decoder()
        self._out: list[bytes] = []
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if dialect:
            self.set_dialect(dialect)

    # --- sending --------------------------------------------------------------------------------

    def set_dialect(self, dialect: str) -> None:
        """Fix the dialect (a callout server learns it from the first message)."""
        self.dialect = dialect
        self.decoder.kept_pair = dialect == CORE
        self.watch = rules.Watch(self.role, dialect)

    def send(self, name: str, *anon: Any, named: Any = None, payload: bytes | None = None, size: Any = None) -> Out:
        """Queue a message."""
        m = encode(name, *anon, named=named, payload=payload, size=size)
        self.raw(bytes(m), note=False)
        return m

    def raw(self, octets: bytes, note: bool = True, follow: bool = True) -> None:
        """Queue octets as they are. follow: the watch looks at them (before and after must then be whole messages)."""
        if note:
            self.transcript.add(">>", repr(octets if len(octets) <= 200 else octets[:200] + b"..."))
        for m in self._echo.feed(octets) if follow else ():
            try:
                bound = bind(m, self.dialect or CORE)
                if not note:
                    self.transcript.add(">", str(m))
                if self.watch:
                    self.watch.sent(bound)
            except Malformed:
                pass
        if not note and self._echo.error:
            self.transcript.add(">", repr(octets[:200]))
        if not self.closed:
            self._out += [octets] if self.cut is None else list(cuts(octets, self.cut))
            self.flush()

    def flush(self) -> None:
        """Write what the socket takes now."""
        while self._out and not self.closed:
            try:
                n = self.sock.send(self._out[0])
            except BlockingIOError:
                return
            except OSError as e:
                self._lost(f"write: {e.strerror}")
                return
            if n < len(self._out[0]):
                self._out[0] = self._out[0][n:]
            else:
                self._out.pop(0)

    @property
    def pending(self) -> int:
        """Octets queued and not yet written."""
        return sum(map(len, self._out))

    # --- receiving ------------------------------------------------------------------------------

    def read(self) -> None:
        """Read what is there and handle it."""
        for _ in range(16):
            try:
                octets = self.sock.recv(1 << 18)
            except BlockingIOError:
                return
            except OSError as e:
                self._lost(f"read: {e.strerror}")
                return
            if not octets:
                self._lost("closed by the other side")
                return
            self.octets_came(octets)

    def octets_came(self, octets: bytes) -> None:
        """Decode octets and handle their messages."""
        for m in self.decoder.feed(octets):
            if self.dialect is None:
                self.set_dialect("draft" if m.name == "connection-start" else CORE)
            self.transcript.add("<", str(m))
            try:
                bind(m, self.dialect)
            except Malformed as e:
                self.malformed = e
                self.fault(rules.RuleBroken(e.rule, f"{e.text} in {m}"))
                return
            self.received.append(m)
            self.inbox.append(m)
            if self.watch:
                try:
                    self.watch.received(m)
                except rules.RuleBroken as e:
                    self.fault(e)
            if not any([hook(m) for hook in self.hooks]):
                self.handle(m)
        if self.decoder.error and not self.malformed:
            self.malformed = self.decoder.error
            self.transcript.add("!", f"malformed: {self.malformed}")
            self.fault(rules.RuleBroken(self.malformed.rule, self.malformed.text))

    def fault(self, e: rules.RuleBroken) -> None:
        """The other side broke a rule. Raises unless check is off."""
        self.transcript.add("!", str(e))
        if self.check:
            raise rules.RuleBroken(e.rule, f"{e.text}\n{self.transcript.tail()}")

    def handle(self, m: Message) -> None:
        """React to a message; subclasses do."""

    def pump(self, seconds: float = 0.0) -> None:
        """One round: wait at most so long for something to do, then do it."""
        if self.closed:
            return
        r, w, _ = select.select([self.sock], [self.sock] if self._out else [], [], seconds)
        if w:
            self.flush()
        if r:
            self.read()

    def wait(self, what: str, cond: Callable[[], Any], seconds: float = WAIT) -> Any:
        """Pump until cond() is true; its value is returned."""
        end = time.monotonic() + seconds
        while True:
            value = cond()
            if value:
                return value
            if self.closed:
                raise PeerError(f"the connection is closed ({self.closed_why}) before: {what}\n{self.transcript.tail()}")
            if time.monotonic() > end:
                raise PeerError(f"not within {seconds:g} s: {what}\n{self.transcript.tail()}")
            self.pump(0.05)

    def expect(self, name: str, seconds: float = WAIT, **args: Any) -> Message:
        """The next unread message of this name whose parameters are as given (underscores stand for hyphens); what came
        before it stays unread."""
        want = {k.replace("_", "-"): v for k, v in args.items()}

        def probe() -> Message | None:
            for i, m in enumerate(self.inbox):
                if m.name == name and all(m.get(k) == v for k, v in want.items()):
                    return self.inbox.pop(i)
            return None
        return self.wait(f"{name} {want or ''}", probe, seconds)

    def none_came(self, name: str, **args: Any) -> bool:
        """Whether no such message is unread."""
        want = {k.replace("_", "-"): v for k, v in args.items()}
        return not any(m.name == name and all(m.get(k) == v for k, v in want.items()) for m in self.inbox)

    def wait_closed(self, seconds: float = WAIT) -> str:
        """Wait until the other side closes; why."""
        end = time.monotonic() + seconds
        while not self.closed:
            if time.monotonic() > end:
                raise PeerError(f"not closed within {seconds:g} s\n{self.transcript.tail()}")
            self.pump(0.05)
        return self.closed_why

    def _lost(self, why: str) -> None:
        if not self.closed:
            self.closed, self.closed_why = True, why
            self.transcript.add("<", f"({why})")
            self._out.clear()

    def close(self) -> None:
        """Close the transport at once."""
        if not self.closed:
            self.transcript.add(">", "(closed)")
        self.closed, self.closed_why = True, self.closed_why or "closed here"
        self._out.clear()
        self.sock.close()

    def shutdown_write(self) -> None:
        """End of octets from here; reading goes on."""
        self.sock.shutdown(socket.SHUT_WR)
        self.transcript.add(">", "(end of octets)")
