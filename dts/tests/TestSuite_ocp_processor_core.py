# SPDX-License-Identifier: BSD-3-Clause
"""The appliance as OPES processor in the core dialect (RFC 4037 with the HTTP profile of RFC 4236), against a callout server that
this suite plays message by message."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable

from opes_api.appliance import ECHO_PORT, HTTP_PORT, same
from opes_api.lab import SRV4
from opes_api.objects import Obj, content
from opes_api.ocp import CORE, HTTP_REQUEST, HTTP_RESPONSE, Connection, Message, Raw, Struct, SXaction, feature, result
from opes_api.ocp.catalogue import CATALOGUE, code
from opes_api.ocp.wire import encode
from opes_api.ocp_lab import At, Manual, PeerSuite, body_from, connection, head_of, rest
from opes_api.suite import func_test, verify

MIB = 1 << 20
OWN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 999\r\n\r\n"


def answers(kind: str = "", **members) -> Callable:
    """A Service.profile that takes every HTTP profile, with these members for the one of this kind (response, request)."""
    def profile(c: Connection, offered: list[Struct]) -> Struct | None:
        f = next((f for f in offered if f.uri in (HTTP_REQUEST, HTTP_RESPONSE)), None)
        if not f:
            return None
        return feature(f.uri, **(members if f.uri.endswith(kind) else {}))
    return profile


def quiet(**functions) -> At:
    """Manual with some functions."""
    nothing = {n: (lambda *a: None) for n in ("start", "data", "end")}
    return At(**{**nothing, **functions})


class TestOcpProcessorCore(PeerSuite):
    """Rows of docs/ocp-conformance.md about the core dialect that bind the processor."""

    dialect = CORE
    origin_args = ("--log",)

    def whole_response(self, x: SXaction) -> None:
        """The original's own octets back, part by part, and the end."""
        x.am_start()
        for at, part, n in x.parts:
            if not part or part.startswith("response" if any(p and p.startswith("response") for _, p, _ in x.parts) else "request"):
                x.send(bytes(x.original[at:at + n]), part)
        x.finish().end()

    def refer(self, x: SXaction) -> None:
        """Everything back by reference, and the end."""
        x.am_start().as_is(0, len(x.original)).finish().end()

    def serve(self, obj: Obj, write: Callable[[SXaction], object], want: bytes | None, what: str = "", status: str = "200",
              *curl: str) -> SXaction:
        """Fetch an object; write(x) in the server's thread once all of it is there; what the client must get."""
        f = self.curl(obj.path, *curl)
        x = self.whole()
        self.play(lambda: write(x))
        f.is_ok(want, what, status)
        return x

    def of(self, x: SXaction) -> list[str]:
        """Names of the messages that came for a transaction."""
        return [m.name for m in list(x.conn.received) if m.get("xid") == x.xid]

    # --- negotiation ----------------------------------------------------------------------------

    @func_test
    def connection_begins(self) -> None:
        """CS, groups and offers.

        Steps:
            Wait until the service is up; fetch an object; send a request through the other profile.
        Verify:
            CS first and once; an offer before any transaction; both profiles are offered, each for a group of the service; a transaction
            names the group of its profile; it begins with TS, AMS, data with a part.
        """
        self.open(kind="[request, response]")
        c = connection(self.server)
        names = [m.name for m in c.received]
        verify(names[0] == "CS" and names.count("CS") == 1 and set(names) <= {"CS", "SGC", "NO", "PQ"}, f"{names}")
        verify(set(names[:names.index("NO")]) <= {"CS", "SGC"}, f"{names}")  # an offer for a group needs the group
        offers = {m["features"][0].uri: m.get("SG") for m in c.received if m.name == "NO" and m["features"]}
        verify(set(offers) == {HTTP_REQUEST, HTTP_RESPONSE}, f"{offers}")
        f = self.curl(Obj("length", 11, 5000).path)
        for profile in (HTTP_REQUEST, HTTP_RESPONSE):
            x = self.whole()
            start = self.messages(x, "TS")[0]
            verify(start["sg-id"] == offers[profile] and [s.uri for s in c.groups[start["sg-id"]]] == ["urn:test:peer"], f"{start}")
            verify(self.of(x)[:3] == ["TS", "AMS", "DUM"] or self.of(x)[:2] == ["TS", "AMS"], f"{self.of(x)}")
            verify(all("AM-Part" in m for m in self.messages(x, "DUM")), "data without a part")
            self.play(lambda: self.refer(x))
        f.is_ok(Obj("length", 11, 5000).body())

    @func_test
    def offers_answered(self) -> None:
        """The server's answers to the offers.

        Steps:
            Reject the response profile; answer with another feature than was offered; without the group; with another group; answer what
            nobody offered; leave more to come open; do not answer at all. Policy open.
        Verify:
            Rejected: the message goes on without the service, cause negotiation, the connection stays. What breaks the rules ends the
            connection with CE 400 or is a failed negotiation; the objects arrive.
        """
        obj = Obj("length", 12, 9000)

        def reject(c: Connection, offered: list[Struct]) -> Struct | None:
            return None if offered[0].uri == HTTP_RESPONSE else Struct(offered[0].anon[:1])
        self.open(quiet(profile=reject), on_failure="open")
        since = self.lab.last_event()
        self.curl(obj.path).is_ok(obj.body(), "rejected")
        e = self.lab.wait_event("callout-failed", since)
        verify(e["cause"] == "negotiation", f"{e}")
        verify(not connection(self.server).closed, "the connection was closed")

        def wrong(how: str):
            def message(c: Connection, m: Message) -> bool:
                if m.name != "NO" or c.auto == {"done"}:
                    return False
                named = {"SG": m["SG"]} if "SG" in m else {}
                if how == "no group":
                    c.send("NR", Struct(m["features"][0].anon[:1]))
                elif how == "another group":
                    c.send("NR", Struct(m["features"][0].anon[:1]), named={"SG": 4711})
                elif how == "another feature":
                    c.send("NR", feature("urn:test:other"), named=named)
                elif how == "twice":
                    for _ in range(3):
                        c.send("NR", Struct(m["features"][0].anon[:1]), named=named)
                return True
            return message
        for how in ("no group", "another group", "another feature", "twice", "silence"):
            self.open(quiet(message=wrong(how)), on_failure="open", keys=", connect-timeout: 700ms, retry: 100ms", up=False, check=False)
            self.until(f"{how}: an offer", lambda: self.server.received("NO"))
            self.curl(obj.path).is_ok(obj.body(), how)
            if how != "another feature":
                self.until(f"{how}: CE", lambda: any(code(m) == 400 for m in self.server.received("CE")))

    @func_test
    def more_to_come(self) -> None:
        """Offer-Pending, and offers of the server.

        Steps:
            The server answers with Offer-Pending and then offers an unknown feature and an HTTP profile; it offers again later, in the middle
            of transactions; it offers while the processor's own offer is pending.
        Verify:
            No transaction begins before the phase is over; the server's offers are answered immediately, with what was not known; an offer
            that crosses the processor's gets no answer.
        """
        def message(c: Connection, m: Message) -> bool:
            if m.name == "NO" and "features" in m and m["features"]:
                c.send("NR", Struct(m["features"][0].anon[:1]),
                       named={**({"SG": m["SG"]} if "SG" in m else {}), "Offer-Pending": True})
                return True
            return False
        self.open(quiet(message=message), up=False)
        self.until("the offers", lambda: self.server.received("NO"))
        rest(0.4)
        verify(self.lab.service("peer").get("state") != "up" and not self.server.received("TS"), "it did not wait for the server's offer")
        c = connection(self.server)
        for _ in range(6):
            n = len(self.server.received("NR"))
            self.play(lambda: c.send("NO", [feature("urn:test:unknown"), feature("urn:test:another")]))
            self.until("NR", lambda: len(self.server.received("NR")) > n)
            m = self.server.received("NR")[-1]
            verify("feature" not in m and "SG" not in m, f"{m}")
            if self.lab.service("peer").get("state") == "up":
                break
        self.until("the service is up", lambda: self.lab.service("peer").get("state") == "up")
        self.play(lambda: c.send("NO", []))
        n = len(self.server.received("NR"))
        self.until("an answer to an empty offer", lambda: len(self.server.received("NR")) >= n)
        obj = Obj("length", 13, 4000)
        self.serve(obj, self.refer, obj.body())

        def crossing(c: Connection, m: Message) -> bool:
            if m.name == "NO" and not c.agreed:
                c.agreed.add("crossed")
                c.send("NO", [feature("urn:test:crossing")])
            return False
        self.open(quiet(message=crossing))
        c = connection(self.server)
        verify(not [m for m in c.received if m.name == "NR"], f"the crossing offer was answered:\n{self.tail()}")
        self.serve(obj, self.refer, obj.body())

    @func_test
    def abilities_and_progress(self) -> None:
        """AQ, PQ and PR.

        Steps:
            Ask about the HTTP profiles and an unknown feature; ask for progress without xid, with an open one, with one whose original has
            ended, with one that has ended, with one that never was; report progress unasked.
        Verify:
            AA true, true, false and nothing changes; PA with the xid if and only if it is open, with Org-Data if and only if the original is
            open, and then the octets sent.
        """
        self.open()
        c = connection(self.server)
        for uri, want in ((HTTP_RESPONSE, True), (HTTP_REQUEST, True), ("urn:test:unknown", False)):
            n = len(self.server.received("AA"))
            self.play(lambda: c.send("AQ", feature(uri)))
            self.until("AA", lambda: len(self.server.received("AA")) > n)
            verify(self.server.received("AA")[-1]["answer"] == want, f"{uri}: not {want}")
        big = Obj("length", 14, 8 * MIB)
        f = self.curl(big.path)
        x = self.next()
        self.play(lambda: x.pause(0))
        self.until("DPM", lambda: x.paused)
        verify(self.progress(c) == (None, None), "an xid in an answer to none")
        verify(self.progress(c, x.xid) == (x.xid, len(x.original)), f"{self.progress(c, x.xid)} {len(x.original)}")
        verify(self.progress(c, 4711) == (None, None), "an xid that never was")
        self.play(lambda: x.conn.send("PR", x.xid, named={"Org-Data": len(x.original)}), lambda: x.conn.send("PR"), lambda: x.need())
        self.until("the original", lambda: x.original_end)
        verify(self.progress(c, x.xid) == (x.xid, None), f"{self.progress(c, x.xid)}")
        self.play(lambda: self.whole_response(x))
        f.is_ok(big.body())
        self.until("TE", lambda: x.ended)
        verify(self.progress(c, x.xid) == (None, None), "an xid that has ended")

    def progress(self, c: Connection, xid: int | None = None) -> tuple:
        """What PA says."""
        n = len([m for m in c.received if m.name == "PA"])
        self.play(lambda: c.send("PQ", *([xid] if xid is not None else [])))
        m = self.until("PA", lambda: ([m for m in list(c.received) if m.name == "PA"][n:] or [None])[0])
        return m.get("xid"), m.get("Org-Data")

    @func_test
    def liveness(self) -> None:
        """Servers without progress.

        Steps:
            idle-probe 300 ms, deadline 500 ms, policy open: a server that answers no PQ; one that answers without the xid; one that still works
            on it but does nothing; one that is slow and reports progress.
        Verify:
            Asked with PQ each time; lost, lost, deadline; the objects arrive; the slow one is waited for.
        """
        keys = ", idle-probe: 300ms, probe-timeout: 500ms, deadline: 500ms"
        obj = Obj("length", 15, 50_000)

        def answer(how: str):
            def message(c: Connection, m: Message) -> bool:
                if m.name != "PQ" or not c.xactions:
                    return False
                if how == "without":
                    c.send("PA")
                return how != "all"
            return message
        for how in ("nothing", "without", "all"):
            self.open(quiet(message=answer(how)), on_failure="open", keys=keys)
            since = self.lab.last_event()
            f = self.curl(obj.path)
            self.next()
            f.is_ok(obj.body(), how)
            e = self.lab.wait_event("callout-failed", since)
            verify(e["cause"] in {"nothing": ("lost", "deadline"), "without": ("lost",), "all": ("deadline",)}[how], f"{how}: {e}")
            verify(self.server.received("PQ"), f"{how}: it was not asked")
        self.open(keys=keys)
        f = self.curl(obj.path)
        x = self.whole()
        for _ in range(5):
            rest(0.35)
            self.play(lambda: x.working())
        self.play(lambda: self.whole_response(x))
        f.is_ok(obj.body(), "slow")

    # --- data -----------------------------------------------------------------------------------

    @func_test
    def kept_and_used(self) -> None:
        """Kept and DUY in every shape.

        Steps:
            Return the body of 200 KB by reference: whole, in odd pieces, backwards, thrice the same, partly, mixed with own octets.
        Verify:
            Kept is one range that grows; the client gets exactly what the references say.
        """
        self.open()
        obj = Obj("length", 16, 200_000)
        body, n = obj.body(), 200_000
        shapes: dict[str, list] = {
            "whole": [(0, n)], "odd pieces": [(at, min(7777, n - at)) for at in range(0, n, 7777)],
            "backwards": [(at, min(30011, n - at)) for at in reversed(range(0, n, 30011))], "thrice the same": [(5000, 100)] * 3,
            "partly": [(1000, 1), (n - 1, 1), (99, 5000)], "mixed": [b"<<", (10, 20000), b"--" * 5000, (n - 500, 500), b">>"],
            "nothing": [], "empty": [(77, 0), (0, 5)],
        }
        for name, shape in shapes.items():
            def write(x: SXaction) -> None:
                base = body_from(x)
                x.am_start().send(OWN, "response-header")
                for piece in shape:
                    if isinstance(piece, bytes):
                        x.send(piece, "response-body", named={"Modp": 100})
                    else:
                        x.as_is(base + piece[0], piece[1])
                x.finish().end()
            want = b"".join(p if isinstance(p, bytes) else body[p[0]:p[0] + p[1]] for p in shape)
            x = self.serve(obj, write, want, name)
            kept = [m["Kept"] for m in self.messages(x, "DUM") if "Kept" in m]
            verify(kept and all(a[0] == b[0] and a[1] <= b[1] for a, b in zip(kept, kept[1:])), f"{name}: {kept}")

    @func_test
    def interest(self) -> None:
        """DPI.

        Steps:
            Give up the first 100 KB of a kept response; use the rest; then ranges that were given up; then grow the interest again.
        Verify:
            The gauge of preserved octets goes down; the rest can be used; DUY of what was given up, and a DPI that grows, end the transaction
            with TE 400, the cause protocol; other transactions go on.
        """
        obj = Obj("length", 17, 300_000)
        self.open()
        for what in ("used", "outside", "grown"):
            f = self.curl(obj.path)
            x = self.whole()
            since = self.lab.last_event()
            full = self.until("everything is kept", lambda: (g := self.lab.gauges()["preserved_octets"]) >= obj.size and g)
            base = body_from(x)
            self.play(lambda: x.am_start().send(OWN, "response-header"), lambda: x.conn.send("DPI", x.xid, 100_000, 150_000))
            self.until("kept less", lambda: self.lab.gauges()["preserved_octets"] < full - 50_000)
            if what == "used":
                self.play(lambda: x.as_is(200_000, 1000).finish().end())
                f.is_ok(obj.body()[200_000 - base:201_000 - base], what)
                continue
            self.play(lambda: x.as_is(50_000, 10) if what == "outside" else x.conn.send("DPI", x.xid, 90_000, 160_000))
            f.is_reset(what)
            self.until("TE", lambda: x.ended)
            verify(code(x.ended) == 400, f"{x.ended}")
            verify(self.lab.wait_event("callout-failed", since)["cause"] == "protocol", what)
            self.play(lambda: x.end(code=400))
        self.serve(obj, self.refer, obj.body(), "afterwards")

    @func_test
    def loose_remarks(self) -> None:
        """As-is, Modp, Services, unknown things, and messages that change nothing.

        Steps:
            Own data with a right As-is, a wrong one, Modp of every kind; AMS with other Services; unknown messages and parameters; CS again; SGC
            and SGD of the server; octet by octet.
        Verify:
            The object arrives on the same connection each time.
        """
        self.open()
        obj = Obj("length", 18, 12_000)

        def write(x: SXaction) -> None:
            c, base = x.conn, body_from(x)
            c.cut = [1]
            c.send("CS")
            c.send("hello", 1, "two", named={"three": 4}, payload=b"five")
            c.send("SGC", 1, [feature("urn:test:other")])
            c.send("SGD", 1)
            x.am_start(named={"Services": [feature("urn:test:other")], "Unknown": 5})
            x.send(bytes(x.original[:base]), "response-header", named={"As-is": 0, "Modp": 0})
            x.send(bytes(x.original[base:base + 5000]), "response-body", named={"As-is": base, "Unknown": (1, 2)})
            x.send(bytes(x.original[base + 5000:]), "response-body", named={"As-is": 2_000_000_000, "Modp": 50})
            x.send(b"", "response-body")
            x.finish().end()
            c.cut = None
        x = self.serve(obj, write, obj.body())
        y = self.serve(obj, self.refer, obj.body(), "afterwards")
        verify(x.conn is y.conn and x.xid < y.xid, "another connection")

    @func_test
    def interleaved(self) -> None:
        """Many transactions on one connection.

        Steps:
            Twelve downloads at a time, answered in the opposite order of their coming, their messages mixed.
        Verify:
            Each client gets its own octets; one connection; xids grow.
        """
        self.open()
        objs = [Obj("length", 40 + n, 30_000 + n * 1000) for n in range(12)]
        fetches = [self.curl(o.path) for o in objs]
        xs = [self.whole() for _ in objs]
        verify([x.xid for x in xs] == sorted({x.xid for x in xs}) and len({x.conn for x in xs}) == 1, "xids or connections")
        self.play(lambda: [x.am_start() for x in reversed(xs)])

        def pieces() -> None:
            for at in range(0, 45_000, 5000):
                for x in reversed(xs):
                    if at < len(x.original):
                        x.forward_all(at, min(at + 5000, len(x.original)))
            for x in reversed(xs):
                x.finish().end()
        self.play(pieces)
        for o, f in zip(objs, fetches):
            f.is_ok(o.body(), str(o))

    # --- the HTTP profile -----------------------------------------------------------------------

    @func_test
    def parts(self) -> None:
        """Which parts, in which order, without transfer codings.

        Steps:
            Objects with a length, chunked, with trailers, until the close, empty; a HEAD; gzip content.
        Verify:
            Parts in the profile's order, absent ones are not sent; no Transfer-Encoding in the header part, the body without chunks;
            AM-EL is the body's length where it is known and not there where it is not; the client's framing is right.
        """
        self.open(quiet(profile=answers("response", Content_Encodings=["br"])))
        for obj in (Obj("length", 19, 70_000), Obj("chunked", 20, 70_000), Obj("trailers", 21, 5000), Obj("close", 22, 9999),
                    Obj("length", 23, 0), Obj("length", 24, 40_000, True)):
            x = self.serve(obj, self.refer, obj.body(), str(obj))
            order: list[str] = []
            for m in self.messages(x, "DUM"):
                order += [m["AM-Part"]] if order[-1:] != [m["AM-Part"]] else []
            want = ["response-header"] + (["response-body"] if obj.size else []) + (["response-trailer"] if obj.mode == "trailers" else [])
            verify(order == want, f"{obj}: {order}")
            verify(x.part("response-body") == obj.body(), f"{obj}: {same(x.part('response-body'), obj.body())}")
            verify(b"transfer-encoding" not in x.part("response-header").lower(), f"{x.part('response-header')!r}")
            el = x.start_message.get("AM-EL")
            verify(el == len(obj.body()) if obj.mode == "length" else el is None, f"{obj}: AM-EL {el}")
        f = self.curl(Obj("length", 25, 5000).path, "-I")
        x = self.whole()
        verify({p for _, p, _ in x.parts} == {"response-header"}, f"HEAD: {x.parts}")
        self.play(lambda: self.refer(x))
        f.is_ok()

    @func_test
    def lengths(self) -> None:
        """Content-Length is the processor's own affair.

        Steps:
            Changed bodies: with AM-EL; without; the server's header part says another Content-Length, a Transfer-Encoding; the client speaks
            HTTP/1.0; Content-MD5 in the original.
        Verify:
            AM-EL becomes Content-Length before the body is there; without it chunks; what the header part says is not believed; the 1.0
            client gets the whole body; no Content-MD5 is left.
        """
        self.open()
        obj, body = Obj("length", 26, 9000), b"n" * 7000
        heads = (OWN, OWN[:-2] + b"Content-Length: 12345\r\n\r\n", OWN[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
                 OWN[:-2] + b"Content-Length: 3\r\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n\r\n")
        for exact in (True, False):
            for head in heads:
                f = self.curl(obj.path, "-i", "-N")
                x = self.whole()
                self.play(lambda: x.am_start(named={"AM-EL": 7000} if exact else None).send(head, "response-header"),
                          lambda: x.send(body[:100], "response-body"))
                got = self.until("the head", lambda: f.got.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in f.got else b"").lower()
                verify((b"content-length: 7000" in got) == exact and (b"chunked" in got) != exact, f"{exact} {head!r}: {got!r}")
                verify(got.count(b"content-length") <= 1 and b"12345" not in got and b"content-md5" not in got, f"{got!r}")
                self.play(lambda: x.send(body[100:], "response-body").finish().end())
                f.is_ok()
                verify(f.got.endswith(body), "the body")
        f = self.curl(obj.path, "-0")
        x = self.whole()
        self.play(lambda: x.am_start().send(OWN, "response-header").send(body, "response-body").finish().end())
        f.is_ok(body, "HTTP/1.0")

    @func_test
    def requests(self) -> None:
        """The request profile.

        Steps:
            GET, POST with length and chunked, OPTIONS; pass on, change, answer at once and after all of it.
        Verify:
            The origin sees what the server returned, with right framing; answered requests never reach it; Content-Length of the server's
            answer is not believed.
        """
        self.open(kind="request")
        data = content(27, 60_000)
        file = self.lab.dir / "upload"
        file.write_bytes(data)
        for args in (("--data-binary", f"@{file}"), ("--data-binary", f"@{file}", "-H", "Transfer-Encoding: chunked")):
            f = self.curl("/post", *args)
            x = self.whole()
            verify(x.part("request-body") == data and b"transfer-encoding" not in x.part("request-header").lower(), f"{x.parts[:3]}")
            self.play(lambda: self.refer(x))
            f.is_ok(b"60000 " + hashlib.sha256(data).hexdigest().encode() + b"\n", f"{args}")
            f = self.curl("/post", *args)
            x = self.whole()
            self.play(lambda: x.am_start().as_is(0, body_from(x, "request")).send(b"changed", "request-body").finish().end())
            f.is_ok(b"7 " + hashlib.sha256(b"changed").hexdigest().encode() + b"\n", f"{args} changed")
        for n, (late, args) in enumerate(((False, ()), (True, ()), (False, ("--data-binary", f"@{file}")))):
            f = self.curl(f"/answered-{n}", *args)
            x = self.whole() if late else self.next()
            self.play(lambda: x.am_start().send(FORBIDDEN, "response-header").send(b"no.\n", "response-body").finish().end())
            f.is_ok(b"no.\n", f"{args}", "403")
        f = self.curl("/head", "-X", "OPTIONS")
        x = self.whole()
        verify(x.part("request-header").startswith(b"OPTIONS /head"), "OPTIONS was not sent")
        self.play(lambda: self.refer(x))
        f.done()
        verify("/answered-" not in self.origin.output(), self.origin.output()[-300:])

    @func_test
    def broken_parts(self) -> None:
        """Parts that must not come.

        Steps:
            Data without a part, of the request in the response profile, out of order, of both lists in the request profile; two parts of an
            unknown name; one transaction each, with another beside it.
        Verify:
            TE 400, reset, the cause protocol; the neighbour is served on the same connection.
        """
        for kind, ways in (("response", {
                "no part": lambda x: x.send(OWN), "another list": lambda x: x.send(OWN, "request-header"),
                "order": lambda x: x.send(OWN, "response-header").send(b"x", "response-body").send(OWN, "response-header"),
                "unknown part": lambda x: x.conn.send("DUM", x.xid, 0, named={"AM-Part": "response-heart"}, payload=OWN)}),
                ("request", {"both lists": lambda x: x.as_is(0, len(x.original)).send(FORBIDDEN, "response-header")})):
            self.open(kind=kind, check=False)
            for what, way in ways.items():
                self.neighbours(what, lambda x: way(x.am_start()))

    def neighbours(self, what: str, act: Callable[[SXaction], object], complete: bool = False) -> None:
        """act on one transaction while another is open on the same connection, which is then served. complete: its message was
        complete before."""
        since = self.lab.last_event()
        bad, good = Obj("length", 28, 30_000), Obj("length", 29, 25_000)
        f = self.curl(bad.path)
        x = self.whole()
        g = self.curl(good.path)
        y = self.whole()
        verify(x.conn is y.conn, "they are on different connections")
        self.play(lambda: act(x))
        f.done() if complete else f.is_reset(what)
        m = self.until(f"{what}: TE", lambda: x.ended)
        verify(m.name == "TE" and (complete or code(m) == 400), f"{what}: {m}\n{self.tail()}")
        if not complete:
            e = self.lab.wait_event("callout-failed", since)
            verify(e["cause"] == "protocol", f"{what}: {e}")
        self.play(lambda: x.own_end or x.end(code=400), lambda: self.refer(y))
        g.is_ok(good.body(), f"{what}: its neighbour")
        verify(not x.conn.closed, f"{what}: the connection was closed")

    @func_test
    def auxiliary_parts(self) -> None:
        """Aux-Parts.

        Steps:
            The service has aux-parts: [request-header]; a server that takes it, one that does not, one that picks what was not offered.
        Verify:
            Offered; taken: the request's head comes first, then the response, references count from its beginning; not taken: it does not
            come; wrong: no transaction (policy open: the object arrives).
        """
        obj = Obj("length", 30, 20_000)
        keys = ", aux-parts: [request-header]"
        for take in (True, False):
            self.open(quiet(profile=answers("response", **({"Aux_Parts": ["request-header"]} if take else {}))), keys=keys)
            offer = next(m for m in self.server.received("NO") if m["features"][0].uri == HTTP_RESPONSE)["features"][0]
            verify([str(a) for a in offer.named["Aux-Parts"].items] == ["request-header"], f"{offer}")
            f = self.curl(obj.path)
            x = self.whole()
            verify((x.parts[0][1] == "request-header") == take, f"{x.parts[:2]}")
            verify(x.part("request-header").startswith(b"GET " + obj.path.encode()) if take else True, "another request")
            at = head_of(x, "request")
            self.play(lambda: x.am_start().as_is(at, len(x.original) - at).finish().end())
            f.is_ok(obj.body(), f"take {take}")
        self.open(quiet(profile=answers("response", Aux_Parts=["request-header", "request-body"])), keys=keys, on_failure="open", up=False,
                  check=False)
        self.until("an offer", lambda: self.server.received("NO"))
        self.curl(obj.path).is_ok(obj.body(), "wrong answer")
        verify(not self.server.received("TS"), "a transaction in spite of a wrong answer")

    @func_test
    def profile_parameters(self) -> None:
        """Pause-At-Body, Stop-Receiving-Body, Preservation-Interest-Body.

        Steps:
            Each with 0 and with 3000 in the answer to the offer; fetch objects.
        Verify:
            Pause-At-Body: DPM right after so many octets of the body, and DWM goes on. Stop-Receiving-Body: AME 206 there. Preservation-
            Interest-Body: Kept never reaches further.
        """
        obj = Obj("length", 31, 60_000)
        for n in (0, 3000):
            self.open(quiet(profile=answers("response", Pause_At_Body=n)))
            f = self.curl(obj.path)
            x = self.next()
            self.until("DPM", lambda: self.messages(x, "DPM"))
            rest(0.3)
            verify(len(x.part("response-body")) == n, f"{len(x.part('response-body'))} octets before the pause at {n}")
            self.play(lambda: x.need())
            self.until("the original", lambda: x.original_end)
            self.play(lambda: self.refer(x))
            f.is_ok(obj.body(), f"Pause-At-Body {n}")
            self.open(quiet(profile=answers("response", Stop_Receiving_Body=n)))
            f = self.curl(obj.path)
            x = self.whole()
            verify(code(x.original_end) == 206 and len(x.part("response-body")) == n, f"{x.original_end} {len(x.original)} at {n}")
            self.play(lambda: x.am_start().send(OWN, "response-header").send(b"blocked", "response-body").finish().end())
            f.is_ok(b"blocked", f"Stop-Receiving-Body {n}")
            self.open(quiet(profile=answers("response", Preservation_Interest_Body=n)))
            f = self.curl(obj.path)
            x = self.whole()
            base = body_from(x)
            far = max((m["Kept"][0] + m["Kept"][1] for m in self.messages(x, "DUM") if "Kept" in m), default=0)
            verify(far <= base + n, f"kept to {far}, interest ends at {base + n}")
            self.play(lambda: self.whole_response(x))
            f.is_ok(obj.body(), f"Preservation-Interest-Body {n}")

    # --- flow control ---------------------------------------------------------------------------

    @func_test
    def pause_download(self) -> None:
        """DWP reaches the sender's TCP, DWM opens it again.

        Steps:
            Fetch 24 MiB; DWP at once; DWM; DWP at an offset ahead; DWM.
        Verify:
            DPM, nothing after it; right after the offset ahead; the origin's window closes (persist timer) with less than half taken; then
            everything arrives, SHA-256 equal.
        """
        self.open()
        obj = Obj("length", 32, 24 * MIB)
        f = self.curl(obj.path)
        x = self.next()
        self.play(lambda: x.pause(0))
        self.until("DPM", lambda: self.messages(x, "DPM"))
        at = len(x.original)

        def stuck() -> bool:
            lines = [self.lab.srv.run("ss", "-tinoH", f"sport = :{HTTP_PORT}").stdout]
            rest(0.6)
            lines.append(self.lab.srv.run("ss", "-tinoH", f"sport = :{HTTP_PORT}").stdout)
            acked = [max((int(w.partition(":")[2]) for w in t.split() if w.startswith("bytes_acked:")), default=0) for t in lines]
            self.acked = acked[1]
            return acked[0] == acked[1] > 0 and "timer:(persist" in lines[1]
        self.until("the origin's window is closed", stuck, 25)
        verify(self.acked < obj.size // 2 and len(x.original) == at, f"{self.acked} octets taken, {len(x.original) - at} after DPM")
        together = bytes(encode("DWM", x.xid, named={"Size-request": 1000})) + bytes(encode("DWP", x.xid, at + 100_001))
        self.play(lambda: x.conn.raw(together, note=False))
        self.until("DPM ahead", lambda: len(self.messages(x, "DPM")) == 2)
        rest(0.3)
        ahead = len(x.original) - at
        verify(ahead == 100_001, f"paused after {ahead} octets, not after 100001")

        def forward(x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
            x.forward(offset, len(octets))
        self.play(lambda: (x.am_start().forward_all(0, len(x.original)), setattr(self.server.service, "data", forward),
                           setattr(self.server.service, "end", lambda x, ok: x.finish().end()), x.need()))
        f.done()
        verify(hashlib.sha256(f.got).digest() == hashlib.sha256(obj.body()).digest(), same(f.got, obj.body()))
        print(f"    the origin stood at {self.acked} octets; the pause ahead came after {ahead}")

    @func_test
    def pauses_the_server(self) -> None:
        """The other way round: a client that reads slowly.

        Steps:
            Own octets from a server that obeys DWP, for a client that is stopped until the pause has come; then it reads.
        Verify:
            The processor asks with DWP before 20 MiB are there, and goes on with DWM; every octet arrives.
        """
        self.open()
        size, block = 24 * MIB, bytes(range(256)) * 256
        f = self.curl(Obj("length", 33, 1000).path)
        x = self.whole()
        self.play(lambda: x.am_start(named={"AM-EL": size}).send(OWN, "response-header"))
        self.until("the client has something", lambda: f.head_file.exists())
        os.kill(f.process.pid, signal.SIGSTOP)
        sent, asked = 0, 0
        try:
            while not self.messages(x, "DWP"):
                verify(sent < 20 * MIB, f"{sent} octets, and it never asked for a pause")
                sent += self.more(x, block)
        finally:
            os.kill(f.process.pid, signal.SIGCONT)
        first = sent

        def step() -> bool:
            nonlocal sent, asked
            dwp, dwm = len(self.messages(x, "DWP")), len(self.messages(x, "DWM"))
            if dwp > asked:
                self.play(lambda: x.conn.send("DPM", x.xid))
                asked = dwp
            if dwp <= dwm and sent < size:
                sent += self.more(x, block)
            return sent == size
        self.until("everything is sent", step, 50)
        self.play(lambda: x.finish().end())
        f.is_ok(block * (size // len(block)))
        verify(self.messages(x, "DWM"), "it went on without DWM")
        print(f"    DWP after {first} octets, {asked} times in all")

    def more(self, x: SXaction, block: bytes) -> int:
        """A block of own octets, once the ones before are written."""
        self.until("room", lambda: x.conn.pending < MIB)
        self.play(lambda: x.send(block, "response-body", chunk=65536))
        return len(block)

    # --- ends -----------------------------------------------------------------------------------

    @func_test
    def leaves_the_loop(self) -> None:
        """DWSS, DSS, DWSR, AME 206.

        Steps:
            After the first octets of 24 MiB: DWSS and DWSR; after DSS flush what came and end with AME 206 and TE; DWSS alone.
        Verify:
            DSS; no AME 206 of the original before it; the whole object; the server got little of it.
        """
        obj = Obj("length", 34, 24 * MIB)
        for both in (True, False):
            def data(x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
                if not x.leaving and len(x.original) > 20_000:
                    x.am_start().forward_all(0, 10_000)
                    x.leaving = True
                    x.state["flush_from"] = 10_000
                    x.conn.send("DWSS", x.xid)
                    if both:
                        x.conn.send("DWSR", x.xid, 0)
            self.open(quiet(data=data, end=lambda x, ok: None))
            f = self.curl(obj.path)
            x = self.next()
            f.is_ok(obj.body(), f"both {both}")
            names = self.of(x)
            verify("DSS" in names, f"{self.tail()}")
            verify("AME" not in names or names.index("DSS") < names.index("AME"), f"{[n for n in names if n != 'DUM']}")
            if both:
                verify(len(x.original) < obj.size // 2, f"the server got {len(x.original)} octets")

    @func_test
    def early_ends(self) -> None:
        """Ends that were not agreed, and those that were.

        Steps:
            AME 206 without DWSS; DWSS and AME 206 before DSS; DWSR with a size, then an answer of the server's own.
        Verify:
            The first two: TE 400, reset, protocol; the third: the original ends with AME 206 after at least that size, the answer arrives.
        """
        self.open(check=False)
        self.neighbours("AME 206", lambda x: x.am_start().as_is(0, 5000).finish(206))
        for size in (0, 50_000):
            self.open()
            obj = Obj("length", 35, 8 * MIB)
            f = self.curl(obj.path)
            x = self.next()
            self.play(lambda: x.stop_receiving(size))
            self.until("AME", lambda: x.original_end)
            verify(code(x.original_end) == 206 and size <= len(x.original) < obj.size, f"{x.original_end} after {len(x.original)}")
            self.play(lambda: x.am_start(named={"AM-EL": 5}).send(OWN, "response-header").send(b"short", "response-body").finish().end())
            f.is_ok(b"short", f"{size}")

    @func_test
    def refused(self) -> None:
        """Refusals of the connection, the transaction and the message.

        Steps:
            CE 400 after CS; TE 400, TE with an unknown code, AME 400 for the original, AME 400 for the adapted message; policies open, closed,
            answer.
        Verify:
            The policy is carried out with the cause refused; the connection stays for all but the first.
        """
        obj = Obj("length", 36, 60_000)
        ways = {"TE 400": lambda x: x.end(code=400), "TE 577": lambda x: x.end(code=577), "AME of the original": lambda x: x.refuse_message(),
                "AME 400": lambda x: x.am_start().finish(400)}
        for policy in ("open", "closed", "answer"):
            self.open(on_failure=policy)
            for what, way in ways.items():
                since = self.lab.last_event()
                f = self.curl(obj.path)
                x = self.whole()
                self.play(lambda: way(x))
                self.outcome(f, policy, obj, what)
                e = self.lab.wait_event("callout-failed", since)
                verify(e["cause"] == "refused", f"{what}: {e}")
                self.play(lambda: x.own_end or x.end(code=400))
            self.serve(obj, self.refer, obj.body(), "afterwards")
            verify(len(self.server.connections) == 1, "another connection was needed")

            def refuse(c: Connection) -> None:
                c.auto.clear()
                c.send("CS") if c.dialect and not c._out else None
                c.send("CE", result(400))
            self.open(quiet(connected=refuse), on_failure=policy, up=False, check=False)
            self.until("a connection was refused", lambda: any(c.closed for c in self.server.connections))
            self.outcome(self.curl(obj.path), policy, obj, "CE")

    def outcome(self, f, policy: str, obj: Obj, what: str = "") -> None:
        """What the client sees of a failure before any octet was let go."""
        if policy == "open":
            f.is_ok(obj.body(), f"{what} {policy}")
        elif policy == "closed":
            f.is_reset(f"{what} {policy}")
        else:
            f.is_ok(None, f"{what} {policy}", "502")

    @func_test
    def connection_ends(self) -> None:
        """CE, and a transport that closes without it.

        Steps:
            Three downloads held; CE; the same with the socket closed; policy open. Then a change of rules.
        Verify:
            The objects arrive; CE is not answered; a new connection is made; the appliance itself ends a connection with CE before closing.
        """
        objs = [Obj("length", 37 + n, 20_000) for n in range(3)]
        for polite in (True, False):
            self.open(on_failure="open")
            fetches = [self.curl(o.path) for o in objs]
            xs = [self.whole() for _ in objs]
            c = xs[0].conn
            self.play(lambda: c.send("CE") if polite else c.close())
            for o, f in zip(objs, fetches):
                f.is_ok(o.body(), f"polite {polite}")
            if polite:
                self.until("the transport is closed", lambda: c.closed)
                verify(not any(m.name == "CE" for m in c.received), "CE was answered")
            self.until("a new connection", lambda: len(self.server.open_connections()) == 1)
        self.lab.set_rules("[]", "[]")
        self.lab.wait_rules()
        self.until("CE from the appliance", lambda: self.server.received("CE"))

    @func_test
    def invalid(self) -> None:
        """Invalid input, by its scope.

        Steps:
            In one of two transactions: a gap, an overlap, a reference to what is not kept, a malformed parameter, data after AME, TS from the
            server. Then what has no transaction: garbage, an xid never begun, a group never made, a first message that is not CS.
        Verify:
            The first: TE 400 and the neighbour goes on. The others: CE 400 for what has the connection's scope, TE 400 for the unknown xid;
            an xid that has ended is ignored.
        """
        self.open(check=False)
        ways = {
            "gap": lambda x: x.am_start().as_is(0, 100).conn.send("DUM", x.xid, 101, named={"AM-Part": "response-body"}, payload=b"x"),
            "overlap": lambda x: x.am_start().as_is(0, 100).conn.send("DUM", x.xid, 99, named={"AM-Part": "response-body"}, payload=b"x"),
            "not kept": lambda x: x.am_start().as_is(len(x.original) - 5, 10),
            "far": lambda x: x.am_start().as_is(2147483647, 2147483647),
            "type": lambda x: x.am_start().conn.raw(b"DUY %d 05 1;\r\n" % x.xid),
            "after the end": lambda x: x.am_start().as_is(0, 200).finish().as_is(200, 10),
            "no payload": lambda x: x.am_start().conn.raw(b"DUM %d 0;\r\n" % x.xid),
        }
        for what, way in ways.items():
            self.neighbours(what, way, complete=what == "after the end")
        f = self.curl(Obj("length", 40, 9000).path)
        x = self.whole()
        self.play(lambda: x.conn.raw(b"DUY 2000000 0 5;\r\n"))
        self.until("TE 400 for an unknown xid", lambda: any(m.get("xid") == 2000000 and code(m) == 400 for m in self.server.received("TE")))
        self.play(lambda: self.refer(x))
        f.is_ok(Obj("length", 40, 9000).body())
        self.until("TE", lambda: x.ended)
        self.play(lambda: [x.conn.send("DUY", x.xid, 0, 5), x.conn.send("AME", x.xid), x.conn.send("TE", x.xid)])
        y = self.serve(Obj("length", 41, 9000), self.refer, None)
        verify(y.conn is x.conn, "an ended xid cost the connection")
        for what, octets in (("garbage", b"\x00\x01garbage"), ("no scope", b"SGC x;\r\n")):
            self.open(check=False)
            c = connection(self.server)
            self.play(lambda: c.raw(octets))
            self.until(f"{what}: CE 400", lambda: any(m.name == "CE" and code(m) == 400 for m in c.received))
            self.until(f"{what}: closed", lambda: c.closed)

    @func_test
    def first_message(self) -> None:
        """A server whose first message is not CS.

        Steps:
            NR, PA, a draft message and garbage as the first message.
        Verify:
            CE 400, closed, the service does not come up.
        """
        for octets in (b"PA;\r\n", b"NR;\r\n", b"connection-start;\r\n", b"i-am-here;\r\n", b"\x00"):
            class First(Manual):
                """Says octets in place of CS."""

                def connected(self, c: Connection) -> None:
                    pass

                def message(self, c: Connection, m: Message) -> bool:
                    return True
            self.open(First(), up=False, check=False)
            self.until("a connection", lambda: self.server.connections)
            c = self.server.connections[-1]
            self.play(lambda: (c.auto.clear(), c.raw(octets)))
            self.until("closed", lambda: c.closed)
            verify(self.lab.service("peer").get("state") != "up", "the service is up")

    @func_test
    def given_up_by_the_client(self) -> None:
        """The client goes away in the middle.

        Steps:
            Hold a download; end curl; go on with its transaction.
        Verify:
            TE comes, with AME before it unless it says failure; what the server still sends is ignored until its own TE.
        """
        self.open()
        f = self.curl(Obj("length", 42, 3 * MIB).path)
        x = self.next()
        self.play(lambda: x.am_start().send(OWN, "response-header"))
        f.process.kill()
        self.play(lambda: x.send(b"x" * 90_000, "response-body"))  # what nobody takes any more is met with a reset
        self.until("TE", lambda: x.ended, 30)
        verify(x.ended.name == "TE", f"{x.ended}")
        self.play(lambda: [x.conn.send("DUM", x.xid, x.sent, named={"AM-Part": "response-body"}, payload=b"late"),
                           x.conn.send("AME", x.xid), x.own_end or x.end()])
        small = Obj("length", 43, 5000)
        y = self.serve(small, self.refer, small.body())
        verify(y.conn is x.conn, "another connection")

    @func_test
    def opaque_stream(self) -> None:
        """A stream of another protocol: a group without a profile.

        Steps:
            Octets to the echo port, both directions through the service.
        Verify:
            No data has a part; the group has no profile; the client gets everything.
        """
        rule = (f"[{{name: stream, match: {{protocol: tcp, server-port: {ECHO_PORT}}}, action: adapt, service: peer, "
                "on-failure: closed}]")
        self.open(rules=rule)
        program = ("import socket,sys\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])))\ns.sendall(b'z'*9000)\n"
                   "s.shutdown(1)\nn=0\nwhile True:\n d=s.recv(65536)\n if not d: break\n n+=len(d)\nprint('octets',n)")
        p = self.lab.cli.start("stream", "python3", "-c", program, SRV4, str(ECHO_PORT))
        for _ in range(2):
            x = self.whole()
            verify(not any(p for _, p, _ in x.parts), f"{x.parts}")
            verify(self.messages(x, "TS")[0]["sg-id"] not in x.conn.profiles, "a group with a profile")
            size = len(x.original)
            self.play(lambda: x.am_start().as_is(0, size // 2).send(b"+" * 10).as_is(size // 2, size - size // 2).finish().end())
        self.until("the client ends", lambda: not p.alive())
        verify("octets 9020" in p.output(), p.output())

    @func_test
    def its_own_messages_only(self) -> None:
        """What a processor never sends.

        Steps:
            Serve several transactions of both kinds.
        Verify:
            Nothing came that only a callout server sends; no two Kept ranges, every DUM with a payload.
        """
        for kind in ("response", "request"):
            self.open(kind=kind)
            for n in range(4):
                f = self.curl(f"/o/length/{50 + n}/90000/0") if kind == "response" else self.curl("/post", "--data-binary", "x" * 50_000)
                x = self.whole()
                self.play(lambda: self.refer(x))
                f.is_ok()
            for m in list(connection(self.server).received):
                verify("P" in CATALOGUE[CORE][m.name].sender, f"{m}")
                verify(m.name != "DUM" or m.payload is not None, f"{m}")
                verify("As-is" not in m, f"{m}")
