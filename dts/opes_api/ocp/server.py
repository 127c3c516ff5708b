# SPDX-License-Identifier: BSD-3-Clause
"""The callout server's side of OCP, for tests of processors. It runs in a thread of the test, or as a program (__main__.py).

A test gives it a Service whose methods are called for what happens to a transaction; whatever a method does not say, the
server does as the documents want it. unix:/path is reached from every network namespace.

>>> with CalloutServer("unix:/tmp/s.sock", Echo()) as s:     # doctest: +SKIP
...     run_the_processor()
...     s.check()
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from .catalogue import ACK_ALL, AS_IS, CORE, COPIED, DRAFT, HTTP_REQUEST, HTTP_RESPONSE, LEAVE_LOOP, failed
from .endpoint import WAIT, Endpoint, PeerError
from .rules import RuleBroken
from .services import Echo, Service
from .wire import Message, Struct, result

CHUNK = 16384


class SXaction:
    """A transaction, seen from the callout server. Its methods write the dialect's messages."""

    def __init__(self, conn: "Connection", xid: int, services: list[Struct]) -> None:
        self.conn, self.xid, self.services = conn, xid, services
        self.am_id = 0
        self.meta = b""
        self.start_message: Message | None = None
        self.original = bytearray()
        self.parts: list[tuple[int, str | None, int]] = []
        self.kept: list[tuple[int, int]] = []
        self.original_end: Message | None = None
        self.ended: Message | None = None
        self.own_end = False
        self.own_am = 0
        self.sent = 0
        self.am_open = False
        self.paused = False
        self.leaving = False
        self.dss = False
        self.stop_at: int | None = None
        self.held: list[Callable[[], Any]] = []
        self.state: dict[str, Any] = {}

    @property
    def draft(self) -> bool:
        return self.conn.dialect == DRAFT

    def part_at(self, offset: int) -> str | None:
        """The part that an octet of the original came with."""
        return next((p for at, p, _ in reversed(self.parts) if at <= offset), None)

    def part(self, name: str) -> bytes:
        """The octets of one part of the original."""
        return b"".join(bytes(self.original[at:at + n]) for at, p, n in self.parts if p == name)

    def is_kept(self, offset: int, size: int) -> bool:
        """Whether the processor keeps all of it."""
        at, end = offset, offset + size
        for a, b in sorted(self.kept):
            if a <= at < b:
                at = b
        return at >= end

    def _do(self, call: Callable[[], Any]) -> "SXaction":
        """Now, or (core) after the processor's DWM when it has paused this flow."""
        if self.held:
            self.held.append(call)
            return self
        call()
        self._pause_due()
        return self

    def _pause_due(self) -> None:
        if self.stop_at is not None and self.sent >= self.stop_at and self.am_open and not self.held \
                and "pause" in self.conn.auto:
            self.conn.send("DPM", self.xid)
            self.held.append(lambda: None)

    def pause_asked(self, offset: int) -> None:
        """DWP has come."""
        self.stop_at = offset
        if not self.own_end:
            self._pause_due()

    def more_asked(self) -> None:
        """DWM has come."""
        self.stop_at, held, self.held = None, self.held, []
        for call in held:
            self._do(call)

    def am_start(self, meta: bytes = b"", named: dict[str, Any] | None = None, am_id: int | None = None) -> "SXaction":
        """app-message-start / AMS of the (next) adapted message."""
        self.own_am = self.own_am + 2 if am_id is None else am_id
        self.sent, self.am_open = 0, True
        if self.draft:
            self.conn.send("app-message-start", self.xid, self.own_am, meta, named=named)
        else:
            self.conn.send("AMS", self.xid, named=named)
        return self

    def send(self, octets: bytes, part: str | None = None, named: dict[str, Any] | None = None,
             chunk: int = CHUNK) -> "SXaction":
        """Octets of the server's own: data-have / DUM."""
        params: dict[str, Any] = {("am-part" if self.draft else "AM-Part"): part} if part else {}
        for at in range(0, len(octets) or 1, chunk):
            self._do(lambda piece=octets[at:at + chunk]: self._piece(piece, {**params, **(named or {})}))
        return self

    def _piece(self, octets: bytes, named: dict[str, Any]) -> None:
        if self.draft:
            self.conn.send("data-have", self.xid, self.own_am, self.sent, named=named, payload=octets)
        else:
            self.conn.send("DUM", self.xid, self.sent, named=named, payload=octets)
        self.sent += len(octets)

    def as_is(self, offset: int, size: int, named: dict[str, Any] | None = None) -> "SXaction":
        """Octets that the processor keeps: data-as-is / DUY."""
        return self._do(lambda: self._reference(offset, size, named))

    def _reference(self, offset: int, size: int, named: dict[str, Any] | None) -> None:
        if self.draft:
            self.conn.send("data-as-is", self.xid, self.own_am, self.sent, size, self.am_id, offset, named=named)
        else:
            self.conn.send("DUY", self.xid, offset, size)
        self.sent += size

    def forward(self, offset: int, size: int) -> "SXaction":
        """Octets of the original, unchanged: by reference when they are kept."""
        if self.is_kept(offset, size) and size:
            return self.as_is(offset, size)
        return self.send(bytes(self.original[offset:offset + size]), self.part_at(offset))

    def finish(self, code: int | None = None, named: dict[str, Any] | None = None) -> "SXaction":
        """The adapted message is complete: data-end / AME."""
        self.am_open = False
        return self._do(lambda: self._finish(code, named))

    def _finish(self, code: int | None, named: dict[str, Any] | None) -> None:
        res = [result(code)] if code is not None else []
        if self.draft:
            self.conn.send("data-end", self.xid, self.own_am, named={**(named or {}), **({"result": res[0]} if res else {})})
        else:
            self.conn.send("AME", self.xid, *res)

    def end(self, error: bool = False, code: int | None = None) -> "SXaction":
        """xaction-end / TE."""
        self.own_end = True
        return self._do(lambda: self._end(error, code))

    def _end(self, error: bool, code: int | None) -> None:
        if self.draft:
            named: dict[str, Any] = {"error": True} if error else {}
            if code is not None:
                named["result"] = result(code)
            self.conn.send("xaction-end", self.xid, named=named)
        else:
            c = code if code is not None else 400 if error else None
            self.conn.send("TE", self.xid, *([result(c)] if c is not None else []))

    def refuse_message(self) -> "SXaction":
        """Refuse the original: app-message-end / AME with a failing result."""
        if self.draft:
            self.conn.send("app-message-end", self.xid, self.am_id, named={"error": True})
        else:
            self.conn.send("AME", self.xid, result(400))
        return self

    def pause(self, offset: int = 0) -> "SXaction":
        """data-pause / DWP (offset: core)."""
        self.conn.send(*(("data-pause", self.xid, self.am_id) if self.draft else ("DWP", self.xid, offset)))
        return self

    def need(self, size: int | None = None) -> "SXaction":
        """data-need / DWM."""
        self.paused = False
        if self.draft:
            self.conn.send("data-need", self.xid, self.am_id, len(self.original),
                           named={"size-request": size} if size is not None else None)
        else:
            self.conn.send("DWM", self.xid, named={"Size-request": size} if size is not None else None)
        return self

    def ack(self, offset: int, size: int, wont_forward: bool = False) -> "SXaction":
        """data-ack (draft only)."""
        self.conn.send("data-ack", self.xid, self.am_id, offset, size, named={"wont-forward": True} if wont_forward else None)
        return self

    def wont_forward_below(self, offset: int) -> "SXaction":
        """Nothing below offset will be referred to: data-ack with wont-forward / DPI."""
        if self.draft:
            return self.ack(0, offset, True)
        self.conn.send("DPI", self.xid, offset, 2147483647 - offset)
        return self

    def stop_receiving(self, size: int = 0) -> "SXaction":
        """DWSR (core only)."""
        self.conn.send("DWSR", self.xid, size)
        return self

    def working(self) -> "SXaction":
        """i-am-here / PR, unasked."""
        if self.draft:
            self.conn.send("i-am-here", named={"xid": self.xid})
        else:
            self.conn.send("PR", self.xid, named=None if self.original_end else {"Org-Data": len(self.original)})
        return self

    def leave_loop(self, offset: int | None = None) -> "SXaction":
        """The rest as it is without this server. draft: everything from offset (default: all) to the last octet received as
        one data-as-is, data-end 206, xaction-end. core: DWSS and DWSR; the rest follows when DSS comes."""
        self.leaving = True
        if not self.draft:
            self.conn.send("DWSS", self.xid)
            self.conn.send("DWSR", self.xid, 0)
            self.state["flush_from"] = 0 if offset is None else offset
            return self
        at = 0 if offset is None else offset
        self.as_is(at, len(self.original) - at)
        return self.finish(206).end()

    def dss_came(self) -> None:
        """Core: permission to leave. Everything received is flushed, then AME 206 and TE."""
        if self.leaving and self.am_open:
            self.forward_all(self.state["flush_from"], len(self.original))
        if self.am_open:
            self.finish(206).end()

    def forward_all(self, start: int, end: int) -> "SXaction":
        """forward() piece by piece, as the pieces came (each has one part)."""
        for at, _, n in list(self.parts):
            a, b = max(at, start), min(at + n, end)
            if a < b:
                self.forward(a, b - a)
        return self


class Connection(Endpoint):
    """One connection of a callout server.

    auto as with Processor: "pong", "ack", "features", "cs" (answers CS), "te" (answers TE), "pause" (core: obeys DWP)."""

    role = "S"
    AUTO = frozenset({"pong", "ack", "features", "cs", "te", "pause"})

    def __init__(self, server: "CalloutServer", sock: socket.socket) -> None:
        super().__init__(sock, None, server.check_peers)
        self.server = server
        self.service = server.service
        self.auto = set(self.AUTO)
        self.features = {COPIED, AS_IS, LEAVE_LOOP, ACK_ALL}
        self.agreed: set[str] = set()
        self.default: Struct | None = None
        self.priority = 0
        self.client = b""
        self.groups: dict[int, list[Struct]] = {}
        self.profiles: dict[int | None, Struct] = {}
        self.offered: tuple[int | None, list[Struct]] | None = None
        self.xactions: dict[int, SXaction] = {}
        self.greeted = False

    def fault(self, e: RuleBroken) -> None:
        self.transcript.add("!", str(e))
        if self.check:
            self.server.faults.append(RuleBroken(e.rule, f"{e.text}\n{self.transcript.tail()}"))

    def handle(self, m: Message) -> None:
        first, self.greeted = not self.greeted, True
        if first and self.dialect == CORE and m.name == "CS" and "cs" in self.auto:
            self.send("CS")
        if first:
            self.service.connected(self)
        if self.service.message(self, m):
            return
        (self._draft if self.dialect == DRAFT else self._core)(m)

    def _begin(self, m: Message, services: list[Struct]) -> None:
        x = self.xactions[m["xid"]] = SXaction(self, m["xid"], services)
        self.server.xactions.append(x)
        self.service.open(x)

    def _am_start(self, x: SXaction, m: Message) -> None:
        x.am_id, x.meta, x.start_message = m.get("am-id", 1), m.get("meta-data", b""), m
        self.service.start(x)

    def _data(self, x: SXaction, m: Message, part: str | None) -> None:
        at, octets = len(x.original), m.payload or b""
        x.original += octets
        x.parts.append((at, part, len(octets)))
        if not x.own_end:
            self.service.data(x, at, octets, part)

    def _end(self, x: SXaction, m: Message) -> None:
        if x.original_end is None:
            x.original_end = m
            if not x.own_end:
                self.service.end(x, not failed(m))

    def _closed(self, x: SXaction, m: Message) -> None:
        if x.ended is None:
            x.ended = m
            self.service.closed(x)

    def _draft(self, m: Message) -> None:
        x = self.xactions.get(m.get("xid", -1))
        n = m.name
        if n == "connection-start":
            self.client, self.priority = m.get("client", b""), m.get("priority", 0)
        elif n == "connection-priority":
            self.priority = m["priority"]
        elif n == "connection-service":
            self.default = m["service"]
        elif n == "xaction-start":
            service = m.get("service", self.default)
            self._begin(m, [service] if service else [])
        elif n == "are-you-there" and "pong" in self.auto:
            ids: dict[str, Any] = {"rid": m["rid"]}
            if x and not x.ended and not x.own_end:
                ids["xid"] = x.xid
                am = m.get("am-id")
                if am and (am == x.am_id and x.original_end is None or am == x.own_am and x.am_open):
                    ids["am-id"] = am
            self.send("i-am-here", named=ids)
        elif n in ("do-you-support", "please-use") and "features" in self.auto:
            yes = m["feature"].uri in self.features
            self.send({"do-you-support": ("i-do-support", "i-dont-support"),
                       "please-use": ("i-will-use", "i-wont-use")}[n][not yes], m["feature"])
            if yes and n == "please-use":
                self.agreed.add(m["feature"].uri)
        elif n == "i-will-use":
            self.agreed.add(m["feature"].uri)
        elif n == "connection-end":
            self._over(m)
        elif x and not x.ended:
            self._draft_xaction(x, m)

    def _draft_xaction(self, x: SXaction, m: Message) -> None:
        n = m.name
        if x.own_end:  # the first xaction-end has ended it
            if n == "xaction-end":
                self._closed(x, m)
        elif n == "app-message-start":
            self._am_start(x, m)
        elif n == "data-have" and m["am-id"] == x.am_id and x.original_end is None:
            at = len(x.original)
            if m.get("copied") and m.payload:
                x.kept.append((at, at + len(m.payload)))
            if (m.get("ack") or m.get("please-ack") or ACK_ALL in self.agreed) and "ack" in self.auto:
                x.ack(m["offset"], len(m.payload or b""))
            self._data(x, m, m.get("am-part"))
        elif n == "data-paused" and m["am-id"] == x.am_id:
            x.paused = True
            self.service.paused(x)
        elif n == "app-message-end" and m["am-id"] == x.own_am:
            x.am_open = False
        elif n in ("data-end", "app-message-end") and m["am-id"] == x.am_id:
            self._end(x, m)
        elif n == "xaction-end":
            if x.am_id and not failed(m):
                self._end(x, m)
            self._closed(x, m)

    def _core(self, m: Message) -> None:
        x = self.xactions.get(m.get("xid", -1))
        n = m.name
        if n == "SGC":
            self.groups[m["sg-id"]] = m["services"]
        elif n == "SGD":
            self.groups.pop(m["sg-id"], None)
        elif n == "TS":
            self._begin(m, self.groups.get(m["sg-id"], []))
        elif n == "PQ" and "pong" in self.auto:
            ids = [x.xid] if x and not x.own_end else []
            org = ids and x.start_message and x.original_end is None
            self.send("PA", *ids, named={"Org-Data": len(x.original)} if org and x else None)
        elif n == "AQ" and "features" in self.auto:
            self.send("AA", m["feature"].uri in (HTTP_REQUEST, HTTP_RESPONSE))
        elif n == "NO" and "features" in self.auto:
            self._answer(m)
        elif n == "NR" and self.offered:
            if "feature" in m:
                self.profiles[self.offered[0]] = m["feature"]
            self.offered = None
        elif n == "CE":
            self._over(m)
        elif x and not x.ended:
            self._core_xaction(x, m)

    def _core_xaction(self, x: SXaction, m: Message) -> None:
        n = m.name
        if n == "AMS":
            self._am_start(x, m)
        elif n == "DUM" and x.original_end is None:
            if "Kept" in m:
                at, size = m["Kept"]
                x.kept = [(at, at + size)] if size else []
            self._data(x, m, m.get("AM-Part"))
        elif n == "DPM":
            x.paused = True
            self.service.paused(x)
        elif n == "DSS":
            x.dss = True
            x.dss_came()
        elif n == "DWP":
            x.pause_asked(m["offset"])
        elif n == "DWM":
            x.more_asked()
        elif n == "AME":
            if x.leaving and x.am_open and not failed(m):  # no permission came: the rest, to the end
                x.forward_all(x.state["flush_from"], len(x.original))
                x.leaving = False
            self._end(x, m)
        elif n == "TE":
            if not x.own_end and "te" in self.auto and x.original_end is None:
                if x.am_open:
                    x.finish(400)
                x.end()
            self._closed(x, m)

    def _answer(self, m: Message) -> None:
        """NR; an offer of our own gives way (RFC 4037 section 11.18)."""
        self.offered = None
        sg = m.get("SG")
        named: dict[str, Any] = {"SG": sg} if sg is not None else {}
        chosen = self.service.profile(self, m["features"])
        if chosen is not None:
            self.profiles[sg] = chosen
        elif m["features"]:
            named["Unknowns"] = m["features"]
        self.send("NR", *([chosen] if chosen is not None else []), named=named)

    def offer(self, features: list[Struct], sg: int | None = None) -> None:
        """NO from the server."""
        self.offered = (sg, features)
        self.send("NO", features, named={"SG": sg} if sg is not None else None)

    def _over(self, m: Message) -> None:
        for x in list(self.xactions.values()):
            self._closed(x, m)
        self._lost(m.name)


class CalloutServer:
    """Listens and serves in a thread. faults: rules that processors broke, and exceptions of the service."""

    def __init__(self, address: str, service: Service | None = None, check: bool = True,
                 dialects: tuple[str, ...] = (DRAFT, CORE)) -> None:
        self.address, self.service = address, service or Echo()
        self.check_peers, self.dialects = check, dialects
        self.faults: list[RuleBroken] = []
        self.connections: list[Connection] = []
        self.xactions: list[SXaction] = []
        self._calls: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._wake_r, self._wake_w = socket.socketpair()
        self._stop = False
        self._thread: threading.Thread | None = None
        kind, _, rest = address.partition(":")
        if kind == "unix":
            if os.path.exists(rest):
                os.unlink(rest)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(rest)
            os.chmod(rest, 0o666)
        else:
            host, _, port = rest.rpartition(":")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.socket(family, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host.strip("[]"), int(port)))
            if port == "0":
                self.address = f"tcp:{host}:{self._listener.getsockname()[1]}"
        self._listener.listen(128)

    def __enter__(self) -> "CalloutServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> "CalloutServer":
        """Serve in a thread."""
        self._thread = threading.Thread(target=self._serve, name="ocp-callout", daemon=True)
        self._thread.start()
        return self

    def stop(self, polite: bool = True) -> None:
        """End: connection-end / CE on every connection when polite, then close."""
        if self._stop:
            return
        if polite and self._thread and self._thread.is_alive():
            self.do(lambda: [c.send("connection-end" if c.dialect == DRAFT else "CE") for c in self.open_connections()])
        self._stop = True
        self._wake_w.send(b"x")
        if self._thread:
            self._thread.join(10)
        for c in self.connections:
            c.close()
        for s in (self._listener, self._wake_r, self._wake_w):
            s.close()
        if self.address.startswith("unix:") and os.path.exists(self.address[5:]):
            os.unlink(self.address[5:])

    def open_connections(self) -> list[Connection]:
        """Those that are not closed and have said what they speak."""
        return [c for c in self.connections if not c.closed and c.dialect]

    def do(self, call: Callable[[], Any], seconds: float = WAIT) -> Any:
        """Run call in the server's thread and return its value: the way for a test to act at any time."""
        done = threading.Event()
        box: list[Any] = [None, None]

        def run() -> None:
            try:
                box[0] = call()
            except BaseException as e:  # noqa: BLE001 - handed to the caller
                box[1] = e
            done.set()
        with self._lock:
            self._calls.append(run)
        self._wake_w.send(b"x")
        if not done.wait(seconds):
            raise PeerError("the callout server's thread does not answer")
        if box[1]:
            raise box[1]
        return box[0]

    def check(self) -> None:
        """Raise the first fault there was."""
        if self.faults:
            raise self.faults[0]

    def wait(self, what: str, cond: Callable[[], Any], seconds: float = WAIT) -> Any:
        """Poll from the test's thread until cond() is true (and no fault has come up)."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            value = cond()
            if value:
                return value
            if time.monotonic() > end:
                tails = "\n--\n".join(c.transcript.tail() for c in self.connections[-3:])
                raise PeerError(f"not within {seconds:g} s: {what}\n{tails}")
            time.sleep(0.01)

    def received(self, name: str) -> list[Message]:
        """All messages of a name, of all connections."""
        return [m for c in self.connections for m in c.received if m.name == name]

    def _serve(self) -> None:
        while not self._stop:
            conns = [c for c in self.connections if not c.closed]
            readers: list[Any] = [self._listener, self._wake_r, *(c.sock for c in conns)]
            r, w, _ = select.select(readers, [c.sock for c in conns if c.pending], [], 0.5)
            if self._wake_r in r:
                self._wake_r.recv(4096)
            with self._lock:
                calls, self._calls = self._calls, []
            for call in calls:
                call()
            if self._listener in r:
                self.connections.append(Connection(self, self._listener.accept()[0]))
            for c in conns:
                try:
                    if c.sock in w:
                        c.flush()
                    if c.sock in r and not c.closed:
                        c.read()
                except Exception as e:  # noqa: BLE001 - a test's service may do anything
                    self.faults.append(RuleBroken("service", f"{e}\n{traceback.format_exc()}\n{c.transcript.tail()}"))
                    c.close()
                if c.closed:
                    for x in list(c.xactions.values()):
                        if x.ended is None:
                            c._closed(x, Message("(closed)"))
                    c.sock.close()
