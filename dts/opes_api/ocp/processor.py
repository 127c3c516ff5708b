# SPDX-License-Identifier: BSD-3-Clause
"""The OPES processor's side of OCP, for tests of callout servers. Synchronous: whoever waits pumps the connection.

>>> p = Processor("tcp:127.0.0.1:4037", "draft", service="urn:opes:service:echo")    # doctest: +SKIP
>>> x = p.xaction(); x.start(); x.data(b"hello"); x.finish(); x.wait_end(); x.forwarded()    # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .catalogue import CORE, DRAFT, HTTP_REQUEST, HTTP_RESPONSE, code, failed
from .endpoint import WAIT, Endpoint, PeerError, connect
from .wire import Message, Struct, feature as feature_of, result

CHUNK = 16384
REQUEST_META = b"Protocol: HTTP/1.1\r\nKind: request\r\n"
RESPONSE_META = b"Protocol: HTTP/1.1\r\nKind: response\r\n"
STREAM_META = b"Protocol: TCP\r\nKind: stream\r\n"


@dataclass
class Adapted:
    """An adapted message as it came. pieces: (part, octets, reference) with reference (offset, size) of a data-as-is or
    DUY, None for octets of the callout server's own."""

    am_id: int
    start: Message
    octets: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[str | None, bytes, tuple[int, int] | None]] = field(default_factory=list)
    data_end: Message | None = None
    end: Message | None = None

    def add(self, part: str | None, octets: bytes, reference: tuple[int, int] | None = None) -> None:
        self.octets += octets
        self.pieces.append((part, octets, reference))

    @property
    def done(self) -> bool:
        """Whether no more data comes."""
        return self.data_end is not None or self.end is not None

    def part(self, name: str) -> bytes:
        """The octets of one part that came with its name."""
        return b"".join(o for p, o, _ in self.pieces if p == name)

    @property
    def referenced(self) -> int:
        """Octets that came by reference."""
        return sum(len(o) for _, o, r in self.pieces if r)


class Xaction:
    """A transaction, seen from the processor."""

    def __init__(self, p: "Processor", xid: int, sg: int | None = None) -> None:
        self.p, self.xid, self.sg = p, xid, sg
        self.am_id = 1
        self.original = bytearray()
        self.sent = 0
        self.parts: list[tuple[int, str | None]] = []
        self.kept_from, self.kept_to = 0, 0
        self.paused = False
        self.pause_at: int | None = None
        self.stop_at: int | None = None
        self.left_at: int | None = None
        self.dwss = self.dss = False
        self.adapted: dict[int, Adapted] = {}
        self.ended: Message | None = None
        self.own_end = False
        self.original_ended = False
        self.refused: Message | None = None
        self.profile = p.profiles.get(sg, p.profiles.get(None)) if p.dialect == CORE else None
        self.body_at: int | None = None

    # --- the original ---------------------------------------------------------------------------

    def start(self, meta: bytes = RESPONSE_META, named: dict[str, Any] | None = None) -> "Xaction":
        """app-message-start (meta: draft only) / AMS."""
        if self.p.dialect == DRAFT:
            self.p.send("app-message-start", self.xid, self.am_id, meta, named=named)
        else:
            self.p.send("AMS", self.xid, named=named)
        return self

    def data(self, octets: bytes, part: str | None = None, keep: bool = True, force: bool = False, chunk: int = CHUNK,
             named: dict[str, Any] | None = None, seconds: float = WAIT) -> "Xaction":
        """Send octets of the original, in chunks, obeying pauses (waits for the end of one) unless force. keep: commit to
        preserve them. After the server has left the loop they are only kept for forwarded()."""
        self.original += octets
        self._body_begins(part)
        end = time.monotonic() + seconds
        while self.sent < len(self.original) or not octets:
            if self.left_at is not None or self.ended or (self.original_ended and not force):
                return self
            if not force and (self.paused or self._pause_due() or self.dss):
                self.p.wait(f"the pause of {self.xid} ends", lambda: not (self.paused or self.dss) or self.left_at is not None
                            or self.ended or self.original_ended, max(0.0, end - time.monotonic()))
                continue
            n = min(chunk, len(self.original) - self.sent)
            if not force and self.pause_at is not None:
                n = min(n, self.pause_at - self.sent)
            if not force and self.stop_at is not None and not self._leaving():
                n = min(n, max(0, self.stop_at - self.sent))
            self._chunk(bytes(self.original[self.sent:self.sent + n]), part, keep, named)
            self._stop_due()
            self.p.pump()
            if not octets:
                return self
        self._pause_due()
        return self

    def _body_begins(self, part: str | None) -> None:
        """RFC 4236 sections 3.2.4 and 3.2.5: what the profile says about the body is as DWP and DWSR there."""
        if not self.profile or self.body_at is not None or self.left_at is not None:
            return
        if part != ("request-body" if self.profile.uri == HTTP_REQUEST else "response-body"):
            return
        self.body_at = self.sent
        at, size = (self.profile.named.get(n) for n in ("Pause-At-Body", "Stop-Receiving-Body"))
        if at is not None and self.pause_at is None and "pause" in self.p.auto:
            self.pause_at = self.sent + int(str(at))
        if size is not None and self.stop_at is None:
            self.stop_at = self.sent + int(str(size))
            self._stop_due()

    def _chunk(self, octets: bytes, part: str | None, keep: bool, named: dict[str, Any] | None) -> None:
        if self.p.dialect == DRAFT:
            params: dict[str, Any] = {"copied": True} if keep else {}
            if part:
                params["am-part"] = part
            self.p.send("data-have", self.xid, self.am_id, self.sent, named={**params, **(named or {})}, payload=octets)
        else:
            params = {}
            if keep and self.kept_to == self.sent and octets:
                self.kept_to += len(octets)
                params["Kept"] = Struct([self.kept_from, self.kept_to - self.kept_from])
            if part:
                params["AM-Part"] = part
            self.p.send("DUM", self.xid, self.sent, named={**params, **(named or {})}, payload=octets)
        self.parts.append((self.sent, part))
        self.sent += len(octets)

    def _part_at(self, offset: int) -> str | None:
        return next((p for at, p in reversed(self.parts) if at <= offset), None)

    def _pause_due(self) -> bool:
        """Core: pause right after the offset that was asked for."""
        if self.pause_at is None or self.sent < self.pause_at or "pause" not in self.p.auto:
            return False
        self.pause_at, self.paused = None, True
        self.p.send("DPM", self.xid)
        return True

    def _leaving(self) -> bool:
        return self.dwss and self.left_at is None

    def _stop_due(self) -> None:
        if self.stop_at is not None and self.sent >= self.stop_at and not self.original_ended and not self._leaving() \
                and "stop" in self.p.auto:
            self.original_ended = True
            self.p.send("AME", self.xid, result(206))

    def finish(self, named: dict[str, Any] | None = None, **kw: Any) -> "Xaction":
        """The original is complete: data-end / AME. kw: result code as code=, reason=."""
        if self.ended or self.original_ended or self.left_at is not None:
            return self
        self.original_ended = True
        res = result(kw["code"], kw.get("reason", "")) if "code" in kw else None
        if self.p.dialect == DRAFT:
            self.p.send("data-end", self.xid, self.am_id, named={**(named or {}), **({"result": res} if res else {})})
        else:
            self.p.send("AME", self.xid, *([res] if res else []))
        return self

    def end(self, error: bool = False, code: int | None = None) -> "Xaction":
        """xaction-end / TE."""
        self.own_end = True
        if self.p.dialect == DRAFT:
            named: dict[str, Any] = {"error": True} if error else {}
            if code is not None:
                named["result"] = result(code)
            self.p.send("xaction-end", self.xid, named=named)
        else:
            c = code if code is not None else 400 if error else None
            self.p.send("TE", self.xid, *([result(c)] if c is not None else []))
        return self

    # --- what came of it ------------------------------------------------------------------------

    def wait_end(self, seconds: float = WAIT) -> "Xaction":
        """Until the server's xaction-end / TE; the core dialect's is answered."""
        self.p.wait(f"the end of transaction {self.xid}", lambda: self.ended, seconds)
        return self

    @property
    def ok(self) -> bool:
        """Ended by the server without failure, every adapted message complete."""
        return self.ended is not None and not failed(self.ended) and all(
            not (a.end and failed(a.end)) and not (a.data_end and failed(a.data_end)) for a in self.adapted.values())

    @property
    def first(self) -> Adapted:
        """The first adapted message."""
        if not self.adapted:
            raise PeerError(f"no adapted message in {self.xid}\n{self.p.transcript.tail()}")
        return next(iter(self.adapted.values()))

    def forwarded(self) -> bytes:
        """What the processor passes on: the adapted messages in order and, when the server left the loop, the rest."""
        out = b"".join(bytes(a.octets) for a in self.adapted.values())
        return out + bytes(self.original[self.left_at:]) if self.left_at is not None else out


class Processor(Endpoint):
    """A connection of a processor.

    auto holds what it does by itself, each of which a test can take away: "pong" answers queries, "pause" obeys pauses,
    "ack" acknowledges, "features" answers feature questions and offers, "stop" obeys DWSR, "dss" answers DWSS, "te"
    answers TE. features: what it agrees to."""

    role = "P"
    AUTO = frozenset({"pong", "pause", "ack", "features", "stop", "dss", "te"})

    def __init__(self, address: str, dialect: str = DRAFT, service: str | None = None, start: bool = True,
                 offers: Iterable[Struct] = (), features: Iterable[str] = (), check: bool = True,
                 named: dict[str, Any] | None = None) -> None:
        """start: send connection-start (named: its parameters) and service as connection-service; in core CS, NO with
        offers, and a group of service."""
        super().__init__(connect(address), dialect, check)
        self.auto = set(self.AUTO)
        self.features = set(features)
        self.xactions: dict[int, Xaction] = {}
        self.next_xid, self.next_rid, self.next_sg = 1, 1, 1
        self.groups: dict[str, int] = {}
        self.profiles: dict[int | None, Struct] = {}
        self.offered: tuple[int | None, list[Struct]] | None = None
        self.answers: list[Message] = []
        self.default: int | None = None
        if start:
            self.open(service, offers, named)

    # --- connection -----------------------------------------------------------------------------

    def open(self, service: str | None = None, offers: Iterable[Struct] = (), named: dict[str, Any] | None = None) -> None:
        """See the constructor."""
        if self.dialect == DRAFT:
            self.send("connection-start", named=named)
            if service:
                self.send("connection-service", feature_of(service))
            return
        self.send("CS")
        self.offer(list(offers))
        if service:
            self.default = self.group(service)

    def offer(self, features: list[Struct], sg: int | None = None, more: bool = False) -> None:
        """NO; the answer comes to answers."""
        named: dict[str, Any] = {"SG": sg} if sg is not None else {}
        if more:
            named["Offer-Pending"] = True
        self.offered = (sg, features)
        self.send("NO", features, named=named)

    def negotiate(self, features: list[Struct], sg: int | None = None, more: bool = False) -> Message:
        """offer() and wait for the answer."""
        if self.offered:
            self.wait("NR", lambda: self.offered is None)
        n = len(self.answers)
        self.offer(features, sg, more)
        self.wait("NR", lambda: len(self.answers) > n)
        return self.answers[-1]

    def group(self, *services: str | Struct, offers: list[Struct] | None = None) -> int:
        """SGC, and NO for it when offers are given; the group's id."""
        sg = self.next_sg
        self.next_sg += 1
        self.send("SGC", sg, [s if isinstance(s, Struct) else feature_of(s) for s in services])
        if services and isinstance(services[0], str):
            self.groups.setdefault(services[0], sg)
        if offers is not None:
            self.negotiate(offers, sg)
        return sg

    def http(self, service: str, kind: str = "response", **members: Any) -> int:
        """A group of service under the HTTP profile for requests or responses; members as in wire.feature."""
        return self.group(service, offers=[feature_of(HTTP_REQUEST if kind == "request" else HTTP_RESPONSE, **members)])

    def end(self, error: bool = False) -> None:
        """connection-end / CE, then close."""
        if not self.closed:
            if self.dialect == DRAFT:
                self.send("connection-end", named={"error": True} if error else None)
            else:
                self.send("CE", *([result(400)] if error else []))
        self.drain()
        self.close()

    def drain(self, seconds: float = WAIT) -> None:
        """Until everything queued is written."""
        end = time.monotonic() + seconds
        while self.pending and not self.closed and time.monotonic() < end:
            self.pump(0.05)

    def query(self, xid: int | None = None, am_id: int | None = None) -> int:
        """are-you-there / PQ; the rid (0 in core)."""
        if self.dialect == CORE:
            self.send("PQ", *([xid] if xid is not None else []))
            return 0
        rid = self.next_rid
        self.next_rid += 1
        self.send("are-you-there", rid, named={k: v for k, v in (("xid", xid), ("am-id", am_id)) if v is not None})
        return rid

    def ping(self, xid: int | None = None, am_id: int | None = None, seconds: float = WAIT) -> Message:
        """query() and its answer: everything sent before has been handled then."""
        rid = self.query(xid, am_id)
        return self.expect("PA", seconds) if self.dialect == CORE else self.expect("i-am-here", seconds, rid=rid)

    # --- transactions ---------------------------------------------------------------------------

    def xaction(self, service: str | None = None, sg: int | None = None, xid: int | None = None) -> Xaction:
        """xaction-start / TS. service: in core its group, made when there is none."""
        xid = self.next_xid if xid is None else xid
        self.next_xid = max(self.next_xid, xid + 1)
        if self.dialect == DRAFT:
            self.send("xaction-start", xid, named={"service": feature_of(service)} if service else None)
        else:
            if sg is None and service:
                sg = self.groups[service] if service in self.groups else self.group(service)
            sg = self.default if sg is None else sg
            self.send("TS", xid, 0 if sg is None else sg)
        return self.adopt(xid, sg)

    def adopt(self, xid: int, sg: int | None = None) -> Xaction:
        """Follow a transaction whose xaction-start / TS the caller sends himself."""
        self.next_xid = max(self.next_xid, xid + 1)
        x = self.xactions[xid] = Xaction(self, xid, sg)
        return x

    def adapt(self, octets: bytes | list[tuple[str, bytes]], service: str | None = None, sg: int | None = None,
              keep: bool = True, chunk: int = CHUNK, meta: bytes = RESPONSE_META) -> Xaction:
        """A whole transaction about octets, or about (part, octets) pairs."""
        x = self.xaction(service, sg).start(meta)
        for part, o in [(None, octets)] if isinstance(octets, bytes) else octets:
            x.data(o, part, keep, chunk=chunk)
        return x.finish().wait_end()

    # --- what comes -----------------------------------------------------------------------------

    def handle(self, m: Message) -> None:
        if self.dialect == DRAFT:
            self._draft(m)
        else:
            self._core(m)

    def _draft(self, m: Message) -> None:
        x = self.xactions.get(m.get("xid", -1))
        n = m.name
        if n == "are-you-there" and "pong" in self.auto:
            ids: dict[str, Any] = {"rid": m["rid"]}
            if x and not x.ended and not x.own_end:
                ids["xid"] = x.xid
                if m.get("am-id") == x.am_id:
                    ids["am-id"] = x.am_id
            self.send("i-am-here", named=ids)
        elif n in ("do-you-support", "please-use") and "features" in self.auto:
            yes = m["feature"].uri in self.features
            answer = {"do-you-support": ("i-do-support", "i-dont-support"), "please-use": ("i-will-use", "i-wont-use")}[n]
            self.send(answer[not yes], m["feature"])
        elif n == "connection-end":
            self._lost("connection-end")
        if not x or x.ended:
            return
        a = x.adapted.get(m.get("am-id", -1))
        if n == "app-message-start":
            x.adapted[m["am-id"]] = Adapted(m["am-id"], m)
        elif n == "data-have" and a and not a.done:
            a.add(m.get("am-part"), m.payload or b"")
            if (m.get("ack") or m.get("please-ack")) and "ack" in self.auto:
                self.send("data-ack", x.xid, a.am_id, m["offset"], len(m.payload or b""))
        elif n == "data-as-is" and a and not a.done:
            at, size = m["copy-am-offset"], m["size"]
            a.add(m.get("am-part") or x._part_at(at), bytes(x.original[at:at + size]), (at, size))
        elif n == "data-end" and a:
            a.data_end = m
            if code(m) == 206 and a.pieces and a.pieces[-1][2]:
                x.left_at = sum(a.pieces[-1][2])
        elif n == "app-message-end":
            if a:
                a.end = m
            elif m["am-id"] == x.am_id:
                x.refused, x.original_ended = m, True
        elif n == "data-pause" and m["am-id"] == x.am_id and "pause" in self.auto and not x.original_ended:
            x.paused = True
            self.send("data-paused", x.xid, x.am_id)
        elif n == "data-need":
            x.paused = False
        elif n == "xaction-end":
            x.ended = m

    def _core(self, m: Message) -> None:
        x = self.xactions.get(m.get("xid", -1))
        n = m.name
        if n == "PQ" and "pong" in self.auto:
            self._progress(x)
        elif n == "AQ" and "features" in self.auto:
            self.send("AA", m["feature"].uri in self.features)
        elif n == "NO" and "features" in self.auto and not self.offered:
            self._answer(m)
        elif n == "NR" and self.offered:
            self.answers.append(m)
            if "feature" in m:
                self.profiles[self.offered[0]] = m["feature"]
            self.offered = None
        elif n == "CE":
            self._lost("CE")
        if x and not x.ended:
            self._core_xaction(x, m)

    def _core_xaction(self, x: Xaction, m: Message) -> None:
        n = m.name
        a = x.adapted.get(2)
        if n == "AMS":
            x.adapted[2] = Adapted(2, m)
        elif n == "DUM" and a and not a.done:
            a.add(m.get("AM-Part"), m.payload or b"")
        elif n == "DUY" and a and not a.done:
            at, size = m["offset"], m["size"]
            a.add(x._part_at(at), bytes(x.original[at:at + size]), (at, size))
        elif n == "AME":
            self._ame(x, a, m)
        elif n == "DWP" and "pause" in self.auto and not x.original_ended:
            x.pause_at = max(m["offset"], x.sent)
            x._pause_due()
        elif n == "DWM":
            x.paused, x.pause_at = False, None
        elif n == "DWSR":
            x.stop_at = m["size"]
            x._stop_due()
        elif n == "DWSS":
            x.dwss = True
            if "dss" in self.auto and not (a and a.done) and not x.own_end:
                x.dss = True
                self.send("DSS", x.xid)
        elif n == "TE":
            if not x.own_end and "te" in self.auto:
                if not failed(m):
                    x.finish(code=206)
                x.end()
            x.ended = m

    def _ame(self, x: Xaction, a: Adapted | None, m: Message) -> None:
        """The server ends its message, or refuses ours when it has none."""
        if not a:
            x.refused = m
            return
        a.end = m
        if code(m) == 206 and x.dss:
            x.dss, x.left_at = False, x.sent
            x._stop_due()

    def _progress(self, x: Xaction | None) -> None:
        if not x or x.own_end:
            self.send("PA")
            return
        self.send("PA", x.xid, named=None if x.original_ended else {"Org-Data": x.sent})

    def _answer(self, m: Message) -> None:
        """NR to the server's offer."""
        named: dict[str, Any] = {"SG": m["SG"]} if "SG" in m else {}
        chosen = next((f for f in m["features"] if f.uri in self.features), None)
        if not chosen and m["features"]:
            named["Unknowns"] = m["features"]
        self.send("NR", *([chosen] if chosen else []), named=named)
