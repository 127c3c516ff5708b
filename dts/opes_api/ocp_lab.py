# SPDX-License-Identifier: BSD-3-Clause
"""Suites of the real dataplane against a callout server that the test plays itself, message by message.

The server is opes_api.ocp's, listening on a Unix socket, which all namespaces of the lab reach. Manual does nothing by itself: the
case takes each transaction (PeerSuite.next) and writes what it wants to (PeerSuite.play).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opes_api.appliance import HTTP_PORT, ApplianceSuite, adapt_rule, same, url
from opes_api.lab import SRV4, Lab, Process
from opes_api.ocp import CORE, DRAFT, CalloutServer, Connection, Message, Service, SXaction
from opes_api.suite import verify


class Manual(Service):
    """Answers nothing about transactions; profile and features as the others."""

    def start(self, x: SXaction) -> None:
        pass

    def data(self, x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
        pass

    def end(self, x: SXaction, ok: bool) -> None:
        pass

    def paused(self, x: SXaction) -> None:
        x.state.setdefault("paused_at", []).append(len(x.original))


class At(Service):
    """A service made of functions: At(start=..., data=..., end=..., connected=..., message=...)."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, f in functions.items():
            setattr(self, name, f)

    def paused(self, x: SXaction) -> None:
        """Nothing by itself."""


class Fetch:
    """A curl that runs while the test plays the server."""

    def __init__(self, suite: "PeerSuite", path: str, *curl: str) -> None:
        suite.fetches += 1
        n = suite.fetches
        self.suite = suite
        self.out, self.head_file = suite.lab.dir / f"fetch{n}", suite.lab.dir / f"head{n}"
        self.process: Process = suite.lab.cli.start(
            f"curl{n}", "curl", "-sS", "--max-time", "60", "-o", str(self.out), "-D", str(self.head_file), "-w", "%{http_code}",
            *curl, path if path.startswith("http") else url(path, SRV4, suite.port))

    @property
    def got(self) -> bytes:
        """Octets of the body so far."""
        return self.out.read_bytes() if self.out.exists() else b""

    @property
    def head(self) -> str:
        """The heads so far."""
        return self.head_file.read_text("latin-1") if self.head_file.exists() else ""

    def done(self, seconds: float = 60) -> "Fetch":
        """Until curl has ended."""
        self.suite.server.wait("curl ends", lambda: not self.process.alive(), seconds)
        return self

    @property
    def code(self) -> int:
        """curl's exit code."""
        return self.process.popen.returncode

    @property
    def status(self) -> str:
        """HTTP status that curl printed."""
        return self.process.output().strip()[-3:]

    def is_ok(self, want: bytes | None = None, what: str = "", status: str = "200") -> "Fetch":
        """It came to its end with these octets."""
        self.done()
        verify(self.code == 0 and self.status == status,
               f"{what}: curl ended with {self.code}: {self.process.output()}\n{self.suite.tail()}")
        if want is not None:
            verify(self.got == want, f"{what}: {same(self.got, want)}")
        return self

    def is_reset(self, what: str = "") -> "Fetch":
        """The flow was reset: nothing is left of it."""
        self.done()
        verify(self.code in (18, 52, 56), f"{what}: curl ended with {self.code}: {self.process.output()}\n{self.suite.tail()}")
        return self


class PeerSuite(ApplianceSuite):
    """A lab whose callout server is played by the test. Each case opens its own."""

    dialect = DRAFT
    port = HTTP_PORT
    fetches = servers = 0
    server: CalloutServer

    def set_up_suite(self) -> None:
        self.lab = Lab(**self.lab_args)
        self.lab.make()
        self.origin = self.start_origin()
        self.lab.start(limits=self.limits)

    # --- the server -----------------------------------------------------------------------------

    def open(self, service: Service | None = None, kind: str = "response", on_failure: str = "closed", more: str = "",
             rules: str = "", keys: str = "", other: str = "", up: bool = True, check: bool = True) -> CalloutServer:
        """A server for this case, and rules that send it everything of this kind. more: keys of the rule; keys: of the service;
        rules, other: whole rules instead, services beside. check: hold the dataplane to every rule (opes_api.ocp.rules)."""
        self.close()
        PeerSuite.servers += 1
        path = self.lab.dir / f"peer{PeerSuite.servers}.sock"
        self.server = CalloutServer(f"unix:{path}", service or Manual(), check).start()
        self.taken = 0
        rule = adapt_rule("peer", kind, on_failure, self.port).removesuffix("}") + more + "}"
        self.lab.set_rules(rules or f"[{rule}]", f"[{self.service_map(keys=keys)}{other}]")
        self.lab.wait_rules()
        if up:
            self.lab.wait_service("peer")
        return self.server

    def service_map(self, name: str = "peer", keys: str = "") -> str:
        """YAML of a service at this server."""
        core = ", dialect: core" if self.dialect == CORE else ""
        return f'{{name: {name}, address: "{self.server.address}", uri: "urn:test:{name}"{core}{keys}}}'

    def close(self) -> None:
        """No server any more."""
        if getattr(self, "server", None):
            self.server.stop()

    def play(self, *calls: Callable[[], Any]) -> Any:
        """Act in the server's thread; the last value."""
        return [self.server.do(c) for c in calls][-1]

    def next(self, seconds: float = 20) -> SXaction:
        """The next transaction that the case has not taken yet, with its app-message-start / AMS."""
        self.server.wait("a transaction begins", lambda: len(self.server.xactions) > self.taken, seconds)
        x = self.server.xactions[self.taken]
        self.taken += 1
        self.server.wait("its original begins", lambda: x.start_message or x.ended, seconds)
        return x

    def whole(self, seconds: float = 30) -> SXaction:
        """The next transaction with all of its original."""
        x = self.next(seconds)
        self.server.wait("the original is complete", lambda: x.original_end or x.ended, seconds)
        return x

    def messages(self, x: SXaction, name: str) -> list[Message]:
        """Messages of this name that came for a transaction."""
        return [m for m in list(x.conn.received) if m.name == name and m.get("xid") == x.xid]

    def until(self, what: str, cond: Callable[[], Any], seconds: float = 20) -> Any:
        """Wait; a rule that the dataplane breaks meanwhile fails the case."""
        return self.server.wait(what, cond, seconds)

    def tail(self) -> str:
        """What the connections said last."""
        return "\n".join(c.transcript.tail(20) for c in self.server.connections[-3:])

    # --- the ends -------------------------------------------------------------------------------

    def curl(self, path: str, *curl: str) -> Fetch:
        """curl in the background."""
        return Fetch(self, path, *curl)

    def tear_down_test_case(self) -> None:
        try:
            if self.lab.dataplane:
                verify(self.lab.dataplane.alive(), f"opes-dataplane ended:\n{self.lab.dataplane.output()[-2000:]}")
            self.lab.drained()
            self.server.check()
        finally:
            self.close()


def head_of(x: SXaction, kind: str = "response") -> int:
    """Octets of the original before its body."""
    return sum(n for _, p, n in x.parts if p == f"{kind}-header")


def body_from(x: SXaction, kind: str = "response") -> int:
    """Offset of the body in the original."""
    return next((at for at, p, _ in x.parts if p == f"{kind}-body"), len(x.original))


def rest(seconds: float) -> None:
    """Time in which something must not happen."""
    time.sleep(seconds)


def connection(server: CalloutServer) -> Connection:
    """Its only open connection."""
    conns = server.open_connections()
    verify(len(conns) == 1, f"{len(conns)} connections")
    return conns[0]
