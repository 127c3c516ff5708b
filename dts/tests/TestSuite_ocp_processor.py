# SPDX-License-Identifier: BSD-3-Clause
"""The appliance as OPES processor in the draft's dialect, against a callout server that this suite plays message by message."""

from __future__ import annotations

import hashlib
import time

from opes_api.appliance import ECHO_PORT, HTTP_PORT, same
from opes_api.lab import SRV4
from opes_api.objects import Obj
from opes_api.ocp import ACK_ALL, AS_IS, COPIED, DRAFT, LEAVE_LOOP, Connection, Message, SXaction, feature
from opes_api.ocp.catalogue import CATALOGUE
from opes_api.ocp_lab import At, Manual, PeerSuite, body_from, connection, rest
from opes_api.suite import func_test, verify

KIB, MIB = 1 << 10, 1 << 20
OWN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n"


class TestOcpProcessor(PeerSuite):
    """Rows of docs/ocp-conformance.md that bind the processor, through real ports, curl and an origin server."""

    origin_args = ("--log",)

    # --- the connection -------------------------------------------------------------------------

    @func_test
    def connection_begins(self) -> None:
        """What a connection begins with, and the service that it speaks for.

        Steps:
            Wait until the service is up; fetch an object.
        Verify:
            connection-start is first and there once, with the appliance's name; then connection-service; the transaction names no
            service: it uses the connection's.
        """
        self.open()
        c = connection(self.server)
        names = [m.name for m in c.received]
        verify(names[0] == "connection-start" and names.count("connection-start") == 1, f"{names}")
        verify(c.client == b"lab" and c.default.uri == "urn:test:peer", f"{c.client} {c.default}")
        obj = Obj("length", 11, 2000)
        f = self.curl(obj.path)
        x = self.whole()
        start = self.messages(x, "xaction-start")[0]
        verify("service" not in start and x.services[0].uri == "urn:test:peer", f"{start}")
        for line in (b"Protocol: HTTP/1.1\r\n", b"Kind: response\r\n", b"Rule: peer-response\r\n"):
            verify(line in x.meta, f"{x.meta}")
        self.play(lambda: x.am_start().forward_all(0, len(x.original)).finish().end())
        f.is_ok(obj.body())
        verify([m.name for m in c.received].index("xaction-start") > names.index("connection-service"), "transaction before service")

    @func_test
    def features_negotiated(self) -> None:
        """Features, in both directions.

        Steps:
            A server that agrees to all, then to none of the features; a server that asks for known and unknown ones.
        Verify:
            The processor asks for copied, as-is and leave-loop; without copied no data has the flag; it answers i-will-use, i-wont-use,
            i-do-support and i-dont-support, each with the feature.
        """
        self.open()
        asked = {m["feature"].uri for m in self.server.received("please-use")}
        verify({COPIED, AS_IS, LEAVE_LOOP} <= asked, f"{asked}")
        obj = Obj("length", 12, 20000)
        for agreed in (True, False):
            self.open(At(connected=lambda c: None if agreed else c.features.clear()))
            f = self.curl(obj.path)
            x = self.whole()
            copied = {bool(m.get("copied")) for m in self.messages(x, "data-have") if m.payload}
            verify(copied == {agreed}, f"agreed {agreed}: copied {copied}")
            f.is_ok(obj.body())
        self.open()
        c = connection(self.server)
        for name, uri, want in (("please-use", LEAVE_LOOP, "i-will-use"), ("please-use", "urn:test:unknown", "i-wont-use"),
                                ("do-you-support", AS_IS, "i-do-support"), ("do-you-support", "urn:test:unknown", "i-dont-support")):
            self.play(lambda: c.send(name, feature(uri)))
            self.until(f"{want} {uri}", lambda: any(m["feature"].uri == uri for m in self.server.received(want)))

    @func_test
    def connection_per_priority(self) -> None:
        """A connection for each priority in use.

        Steps:
            Rules with the priorities 7 and -3 and one without; fetch an object of each.
        Verify:
            Three connections whose connection-start tells 7, -3 and nothing; each transaction comes on the one of its rule.
        """
        self.open(At())
        match = (f"match: {{protocol: http, server-port: {HTTP_PORT}, kind: response, path: {{prefix: /o/length/%d/}}}}, "
                 "action: adapt, service: peer")
        priorities = ((1, ", priority: 7"), (2, ", priority: -3"), (3, ""))
        rules = "[" + ", ".join(f"{{name: p{n}, {match % n}{p}}}" for n, p in priorities) + "]"
        self.open(At(), rules=rules)
        self.until("three connections", lambda: len(self.server.open_connections()) == 3)
        got = sorted(c.priority for c in self.server.open_connections())
        verify(got == [-3, 0, 7], f"{got}")
        starts = self.server.received("connection-start")
        verify([m.get("priority") for m in starts].count(None) == 1, f"{starts}")
        for n, priority in ((1, 7), (2, -3), (3, 0)):
            obj = Obj("length", n, 3000)
            f = self.curl(obj.path)
            x = self.next()
            f.is_ok(obj.body())
            verify(x.conn.priority == priority, f"priority {priority}: came on {x.conn.priority}")

    @func_test
    def liveness(self) -> None:
        """A server that does not answer, about the connection and about a transaction.

        Steps:
            idle-probe 300 ms, deadline 500 ms, policy open; a server that answers nothing; one that answers about the connection only;
            one that still maintains the transaction but never does anything; one that works slowly.
        Verify:
            Each is asked; the first connection is given up (lost), the second transaction is lost, the third ends at its deadline and the
            object arrives each time; the slow one is waited for.
        """
        keys = ", idle-probe: 300ms, probe-timeout: 500ms, deadline: 500ms"
        obj = Obj("length", 13, 50000)

        def answers(how: str):
            def message(c: Connection, m: Message) -> bool:
                if m.name != "are-you-there" or not c.xactions:
                    return False
                if how == "connection":
                    c.send("i-am-here", named={"rid": m["rid"]})
                return how != "all"
            return message
        for how, cause in (("nothing", "lost"), ("connection", "lost"), ("all", "deadline")):
            service = At(start=lambda x: None, data=lambda *a: None, end=lambda *a: None, message=answers(how))
            self.open(service, on_failure="open", keys=keys)
            since = self.lab.last_event()
            f = self.curl(obj.path)
            x = self.next()
            f.is_ok(obj.body(), how)
            verify(any(m.name == "are-you-there" for m in x.conn.received[5:]), f"{how}: it was not asked")
            e = self.lab.wait_event("callout-failed", since)
            verify(e["cause"] in (cause, "deadline" if how == "nothing" else cause), f"{how}: {e}")
            verify(how != "nothing" or x.conn.closed or self.until("closed", lambda: x.conn.closed), "the dead connection lives")
        self.open(Manual(), keys=keys)
        f = self.curl(obj.path)
        x = self.whole()
        self.play(lambda: x.am_start())
        for at in range(0, len(x.original), 10000):
            rest(0.3)
            self.play(lambda: x.send(bytes(x.original[at:at + 10000]), x.part_at(at)))
        self.play(lambda: x.finish().end())
        f.is_ok(obj.body(), "slow")

    @func_test
    def questions_answered(self) -> None:
        """are-you-there from the server, about the connection, a transaction and a message.

        Steps:
            Ask without identifiers, with a valid xid and am-id, with unknown ones, with an am-id alone, after the end.
        Verify:
            Always answered, with the question's rid, with those identifiers that are valid and no others.
        """
        self.open()
        f = self.curl("/o/length/14/30000/0")
        x = self.whole()
        c, am = x.conn, x.am_id
        self.play(lambda: x.am_start())
        asked = (({}, {}), ({"xid": x.xid}, {"xid": x.xid}), ({"xid": x.xid, "am-id": am}, {"xid": x.xid, "am-id": am}),
                 ({"xid": x.xid, "am-id": 2}, {"xid": x.xid, "am-id": 2}), ({"xid": x.xid, "am-id": 77}, {"xid": x.xid}),
                 ({"xid": 4711}, {}), ({"xid": 4711, "am-id": am}, {}), ({"am-id": am}, {}))
        for n, (ids, want) in enumerate(asked):
            self.ask(c, 100 + n, ids, want)
        self.play(lambda: x.forward_all(0, len(x.original)).finish().end())
        f.is_ok()
        self.ask(c, 200, {"xid": x.xid, "am-id": am}, {})

    def ask(self, c: Connection, rid: int, ids: dict, want: dict) -> None:
        """One question and its answer."""
        self.play(lambda: c.send("are-you-there", rid, named=ids))
        m = self.until(f"the answer to {ids}", lambda: next(
            (m for m in list(c.received) if m.name == "i-am-here" and m.get("rid") == rid), None))
        got = {k: m[k] for k in ("xid", "am-id") if k in m}
        verify(got == want, f"{ids}: answered {got}, not {want}")

    @func_test
    def unknown_and_misplaced(self) -> None:
        """What must be ignored.

        Steps:
            In the middle of a transaction send unknown messages and parameters, messages that only a processor sends, messages with
            unknown identifiers, an unsolicited i-am-here, a repeated end; then serve it, octet by octet.
        Verify:
            The connection stays and the object arrives.
        """
        self.open()
        obj = Obj("length", 15, 9000)
        f = self.curl(obj.path)
        x = self.whole()

        def nonsense() -> None:
            c = x.conn
            c.send("hello", 1, "two", named={"three": 4}, payload=b"five")
            c.send("connection-start")
            c.send("connection-priority", 5)
            c.send("connection-service", feature("urn:test:other"))
            c.send("xaction-start", x.xid)
            c.send("data-paused", x.xid, x.am_id)
            c.send("data-have", 4711, 2, 0, payload=b"nobody's")
            c.send("data-have", x.xid, 44, 0, payload=b"no message")
            c.send("data-have", x.xid, x.am_id, 0, payload=b"its own message")
            c.send("data-as-is", 4711, 2, 0, 5, 1, 0)
            c.send("xaction-end", 4711)
            c.send("app-message-end", x.xid, 44)
            c.send("i-am-here")
            c.send("i-am-here", named={"xid": 4711, "unknown": 1})
            c.cut = [1]
            x.am_start(named={"unknown": "parameter"})
            x.forward_all(0, len(x.original))
            x.finish().end()
            c.cut = None
            c.send("xaction-end", x.xid)
            c.send("data-end", x.xid, 2)
        self.play(nonsense)
        f.is_ok(obj.body())
        verify(not x.conn.closed, "the connection was closed")
        f = self.curl(obj.path)
        y = self.whole()
        self.play(lambda: y.am_start().forward_all(0, len(y.original)).finish().end())
        f.is_ok(obj.body(), "afterwards")
        verify(y.conn is x.conn, "it came on another connection")

    @func_test
    def its_own_messages_only(self) -> None:
        """What a processor never sends.

        Steps:
            Serve transactions in both directions with pauses, acknowledgements, references and several messages; refuse some.
        Verify:
            Nothing came that only a callout server sends: data-pause, data-need, data-as-is, wont-forward, modified; no copied
            without its data.
        """
        seen: set[str] = set()
        for kind in ("response", "request"):
            self.open(kind=kind)
            for n in range(6):
                f = self.curl(f"/o/length/{70 + n}/90000/0") if kind == "response" else self.curl("/post", "--data-binary", "x" * 50_000)
                x = self.next()
                self.play(lambda: x.pause())
                self.until("data-paused", lambda: x.paused or x.original_end)
                self.play(lambda: x.need())
                self.until("the original", lambda: x.original_end or x.ended)
                self.play(lambda: x.ack(0, 1000, n % 2 == 0).end(error=True) if n == 5 else self.back(x, end=n != 4))
                f.done()
                if n == 4:
                    self.until("xaction-end", lambda: x.ended)
            for m in list(connection(self.server).received):
                seen.add(m.name)
                verify("P" in CATALOGUE[DRAFT][m.name].sender, f"{m}")
                verify("wont-forward" not in m and "modified" not in m, f"{m}")
        verify({"data-paused", "data-end", "xaction-end"} <= seen, f"{seen}")

    @staticmethod
    def back(x: SXaction, end: bool) -> None:
        """The original as it is, with an acknowledgement and data that wants one; end: the transaction is ended, too."""
        n = len(x.original)
        x.ack(0, n).am_start().as_is(0, n // 2)
        x.send(bytes(x.original[n // 2:]), x.part_at(n // 2), named={"ack": True}).finish()
        if end:
            x.end()

    @func_test
    def everything_acknowledged(self) -> None:
        """The debugging mode.

        Steps:
            ack-all: true for the service; a server that acknowledges everything once it has agreed.
        Verify:
            The feature is asked for; the counter callout_acks counts every octet; without the key it is not asked for.
        """
        obj = Obj("length", 80, 200_000)
        for on in (True, False):
            self.open(At(), keys=", ack-all: true" if on else "")
            with self.delta() as d:
                self.curl(obj.path).is_ok(obj.body())
            asked = {m["feature"].uri for m in self.server.received("please-use")}
            verify((ACK_ALL in asked) == on, f"{on}: {asked}")
            sent = sum(len(m.payload or b"") for m in self.server.received("data-have"))
            verify(d["callout_acks"] == (sent if on else 0), f"{on}: {d['callout_acks']} acknowledgements, {sent} octets")

    # --- data -----------------------------------------------------------------------------------

    def serve(self, obj: Obj, write, want: bytes, what: str = "", status: str = "200") -> SXaction:
        """Fetch an object; write(x) in the server's thread once all of it is there; what the client must get."""
        f = self.curl(obj.path)
        x = self.whole()
        self.play(lambda: write(x))
        f.is_ok(want, what, status)
        return x

    @func_test
    def as_is_shapes(self) -> None:
        """data-as-is in every shape.

        Steps:
            Return the body of 200 KB by reference: whole, in odd pieces, backwards, thrice the same, across the borders of
            the messages it came in, partly, mixed with own octets.
        Verify:
            The client gets exactly what the references say.
        """
        self.open()
        obj = Obj("length", 16, 200_000)
        body, n = obj.body(), 200_000
        borders = [16 * KIB * k for k in range(1, 12)]
        shapes: dict[str, list] = {
            "whole": [(0, n)], "odd pieces": [(at, min(7777, n - at)) for at in range(0, n, 7777)],
            "backwards": [(at, min(30011, n - at)) for at in reversed(range(0, n, 30011))],
            "thrice the same": [(5000, 100)] * 3, "across borders": [(b - 3, 7) for b in borders],
            "partly": [(1000, 1), (n - 1, 1), (99, 5000)],
            "mixed": [b"<<", (10, 20000), b"", b"--" * 5000, (n - 500, 500), b">>"], "nothing": [], "empty": [(77, 0), (0, 5)],
        }
        for name, shape in shapes.items():
            def write(x: SXaction) -> None:
                base = body_from(x)
                x.am_start().send(OWN, "response-header")
                for piece in shape:
                    if isinstance(piece, bytes):
                        x.send(piece, "response-body")
                    else:
                        x.as_is(base + piece[0], piece[1])
                x.finish().end()
            want = b"".join(p if isinstance(p, bytes) else body[p[0]:p[0] + p[1]] for p in shape)
            x = self.serve(obj, write, want, name)
            came = [m for m in self.messages(x, "data-have") if m.payload]
            verify(len(came) > 2 and all(m.get("copied") for m in came), "copied")

    @func_test
    def commitments(self) -> None:
        """What is kept, and until when.

        Steps:
            Hold a response; give up ranges of it with wont-forward, some twice, some in the middle; acknowledge the rest
            without it; refer to what is left, then, in another transaction, to what was given up.
        Verify:
            The gauge of preserved octets goes down by what was given up and stays for the rest, also after data-end of the original; what
            is left can be used; what was given up cannot: app-message-end with error and a reset.
        """
        self.open()
        obj = Obj("length", 17, 300_000)
        for name, ranges in (("below", [(0, 100_000)]), ("twice", [(0, 50_000), (20_000, 50_000)]),
                             ("the middle", [(100_000, 50_000), (200_000, 10_000)])):  # of the whole message
            for again in (False, True):
                f = self.curl(obj.path)
                x = self.whole()
                full = self.until("everything is kept", lambda: (g := self.lab.gauges()["preserved_octets"]) >= obj.size and g)
                base = body_from(x)
                self.play(lambda: x.am_start().send(OWN, "response-header"))  # from now on nothing is kept for going on without it
                self.play(lambda: [x.ack(0, len(x.original))] + [x.ack(a, n, True) for a, n in ranges])
                gone = sorted({o for a, n in ranges for o in range(a, a + n, 1000)})
                if name != "the middle":
                    self.until(f"{name}: kept less", lambda: self.lab.gauges()["preserved_octets"] < full - 40_000)
                keep = next(a for a in range(250_000, obj.size) if a not in gone)
                verify(self.lab.gauges()["preserved_octets"] >= 90_000, "it was given up as a whole")
                since = self.lab.last_event()
                self.play(lambda: x.as_is(keep, 1000))
                if not again:
                    self.play(lambda: x.finish().end())
                    f.is_ok(obj.body()[keep - base:keep - base + 1000], name)
                    continue
                self.play(lambda: x.as_is(gone[1], 10))
                f.is_reset(name)
                ends = self.messages(x, "app-message-end")
                verify(ends and ends[0]["am-id"] == 2 and ends[0].get("error"), f"{name}: {self.tail()}")
                self.lab.wait_event("callout-failed", since)

    @func_test
    def acknowledgements(self) -> None:
        """data-ack both ways.

        Steps:
            A server that acknowledges every message of data, several times and in parts, and asks for acknowledgement of its own.
        Verify:
            The object arrives; each of the server's messages with ack is acknowledged as a whole, and no other.
        """
        self.open()
        obj = Obj("length", 18, 150_000)

        def write(x: SXaction) -> None:
            for at, _, n in x.parts:
                x.ack(at, n).ack(at, n // 2).ack(at, n)
            x.am_start()
            for k, (at, part, n) in enumerate(x.parts):
                x.send(bytes(x.original[at:at + n]), part, named={"ack": True} if k % 2 else None, chunk=1 << 20)
            x.finish()
        f = self.curl(obj.path)
        x = self.whole()
        self.play(lambda: write(x))
        want = [(at, n) for k, (at, _, n) in enumerate(x.parts) if k % 2]
        self.until("the acknowledgements", lambda: len(self.messages(x, "data-ack")) >= len(want))
        self.play(lambda: x.end())
        f.is_ok(obj.body())
        verify([(m["offset"], m["size"]) for m in self.messages(x, "data-ack")] == want, "other messages were acknowledged")
        verify(not any("wont-forward" in m for m in self.messages(x, "data-ack")), "a processor says wont-forward")

    @func_test
    def offsets(self) -> None:
        """The original's octets, in order and once.

        Steps:
            Fetch objects of several sizes and forms; look at every message of data.
        Verify:
            Offsets follow each other without gaps; parts in order, one in each message; data-end after the last.
        """
        self.open()
        for obj in (Obj("length", 19, 0), Obj("length", 20, 1), Obj("chunked", 21, 70_000), Obj("trailers", 22, 5000),
                    Obj("close", 23, 99_999)):
            f = self.curl(obj.path)
            x = self.whole()
            at, order = 0, []
            for m in self.messages(x, "data-have"):
                verify(m["offset"] == at, f"{obj}: {m} where {at} belongs")
                at += len(m.payload)
                order += [m["am-part"]] if order[-1:] != [m["am-part"]] else []
            verify(order == [p for p in ("response-header", "response-body", "response-trailer") if p in order], f"{obj}: {order}")
            verify(x.part("response-body") == obj.body(), f"{obj}: {same(x.part('response-body'), obj.body())}")
            names = [m.name for m in x.conn.received if m.get("xid") == x.xid]
            verify(names[-1] == "data-end" and names.count("data-end") == 1, f"{names}")
            self.play(lambda: x.am_start().forward_all(0, len(x.original)).finish().end())
            f.is_ok(obj.body(), str(obj))

    # --- flow control ---------------------------------------------------------------------------

    def acked(self, node, what: str) -> tuple[int, str]:
        """bytes_acked of the end that sends, and its line in ss."""
        text = node.run("ss", "-tinoH", what, check=False).stdout
        at = [int(w.partition(":")[2]) for w in text.split() if w.startswith("bytes_acked:")]
        return (max(at) if at else 0), text

    def paused(self, size: int, kind: str, sender, port: str, f) -> None:
        """Pause the transaction at once: the sender's window closes; need: everything goes on."""
        x = self.next()
        self.play(lambda: x.am_start())
        self.play(lambda: x.pause())
        self.until("data-paused", lambda: self.messages(x, "data-paused"))
        at = x.state["paused_at"][0]

        def stuck() -> bool:
            before, _ = self.acked(sender, port)
            rest(0.6)
            after, text = self.acked(sender, port)
            return before == after and before > 0 and "timer:(persist" in text
        self.until("the sender's window is closed", stuck, 25)
        octets, text = self.acked(sender, port)
        verify(octets < size // 2, f"{octets} of {size} octets were taken while paused")
        verify(len(x.original) == at, f"{len(x.original) - at} octets came after data-paused")
        self.play(lambda: x.pause())
        self.until("data-paused again", lambda: len(self.messages(x, "data-paused")) == 2)
        self.play(lambda: x.need(1 << 16))
        self.until("the original goes on", lambda: len(x.original) > at)

        def forward(x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
            x.forward(offset, len(octets))
        self.play(lambda: (x.forward_all(0, len(x.original)), setattr(self.server.service, "data", forward),
                           setattr(self.server.service, "end", lambda x, ok: x.finish().end())))
        f.done()
        print(f"    {kind}: the sender stood at {octets} of {size} octets")

    @func_test
    def pause_download(self) -> None:
        """data-pause reaches the server's TCP, data-need opens it again.

        Steps:
            Fetch 24 MiB; data-pause at the first octets; twice; then data-need.
        Verify:
            data-paused, no data after it; the origin's window closes (persist timer, nothing more acknowledged) with less than half of it
            taken; after data-need everything arrives, SHA-256 equal.
        """
        self.open()
        obj = Obj("length", 24, 24 * MIB)
        f = self.curl(obj.path)
        self.paused(obj.size, "download", self.lab.srv, f"sport = :{HTTP_PORT}", f)
        verify(hashlib.sha256(f.got).digest() == hashlib.sha256(obj.body()).digest(), same(f.got, obj.body()))

    @func_test
    def pause_upload(self) -> None:
        """The same for the client's TCP.

        Steps:
            POST 24 MiB through a request rule; as pause_download.
        Verify:
            As pause_download, at the client.
        """
        self.open(kind="request")
        size = 24 * MIB
        file = self.lab.dir / "upload"
        file.write_bytes(Obj("length", 25, size).body())
        f = self.curl("/post", "--data-binary", f"@{file}", "-H", "Expect:")
        self.paused(size, "upload", self.lab.cli, f"dport = :{HTTP_PORT}", f)
        f.is_ok(f"{size} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())

    @func_test
    def pause_is_ones_own(self) -> None:
        """A paused transaction holds nobody up.

        Steps:
            Pause one download of several MiB; fetch other objects on the same connection meanwhile; data-need for octets that were sent.
        Verify:
            The others arrive while it stands; data-need, whatever its offset, ends the pause.
        """
        self.open()
        big = Obj("length", 26, 6 * MIB)
        f = self.curl(big.path)
        x = self.next()
        self.play(lambda: x.pause())
        self.until("data-paused", lambda: self.messages(x, "data-paused"))
        for n in range(3):
            obj = Obj("length", 27 + n, 100_000)
            self.serve(obj, lambda y: y.am_start().forward_all(0, len(y.original)).finish().end(), obj.body(), f"beside {n}")
        verify(not x.original_end, "it is over")
        self.play(lambda: x.conn.send("data-need", x.xid, x.am_id, 0))
        self.until("the original is complete", lambda: x.original_end)
        self.play(lambda: x.am_start().forward_all(0, len(x.original)).finish().end())
        f.is_ok(big.body())

    # --- adapted messages -----------------------------------------------------------------------

    @func_test
    def several_messages(self) -> None:
        """Several adapted messages in one transaction.

        Steps:
            Answer a response with an interim one and then the final one; the second begins, and has data, before the first has ended. The
            same on an opaque stream with three messages.
        Verify:
            The client sees them in the order of their app-message-start.
        """
        self.open()
        obj = Obj("length", 30, 40_000)

        def write(x: SXaction) -> None:
            c, early = x.conn, b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
            c.send("app-message-start", x.xid, 2, b"")
            c.send("app-message-start", x.xid, 4, b"")
            c.send("data-have", x.xid, 4, 0, payload=OWN)
            c.send("data-as-is", x.xid, 4, len(OWN), obj.size, x.am_id, body_from(x))
            c.send("data-have", x.xid, 2, 0, payload=early[:20])
            c.send("data-have", x.xid, 2, 20, payload=early[20:])
            c.send("data-end", x.xid, 4)
            c.send("data-end", x.xid, 2)
            c.send("xaction-end", x.xid)
        f = self.curl(obj.path)
        x = self.whole()
        self.play(lambda: write(x))
        f.is_ok(obj.body())
        verify(f.head.index("103 Early Hints") < f.head.index("200 OK") and "style.css" in f.head, f.head)

    @func_test
    def answered_request(self) -> None:
        """A request that is answered with a response.

        Steps:
            Answer GET and POST, at once and after the whole request, with Kind: response; then pass one on.
        Verify:
            403 with the server's body; the origin sees none of them but the last.
        """
        self.open(kind="request")
        file = self.lab.dir / "upload"
        file.write_bytes(b"x" * 300_000)
        for n, (late, args) in enumerate(((False, ()), (True, ()), (False, ("--data-binary", f"@{file}")),
                                          (True, ("--data-binary", f"@{file}")))):
            f = self.curl(f"/answered-{n}", *args)
            x = self.whole() if late else self.next()
            verify(b"Kind: request\r\n" in x.meta, f"{x.meta}")
            self.play(lambda: x.am_start(b"Kind: response\r\n").send(FORBIDDEN, "response-header"),
                      lambda: x.send(b"no.\n", "response-body").finish().end())
            f.is_ok(b"no.\n", f"{args}", "403")
        f = self.curl("/head")
        x = self.whole()
        self.play(lambda: x.am_start().forward_all(0, len(x.original)).finish().end())
        f.is_ok(None)
        verify("/answered-" not in self.origin.output() and "/head" in self.origin.output(), self.origin.output()[-500:])

    @func_test
    def late_answer(self) -> None:
        """A server that answers when it has everything, and one that answers before.

        Steps:
            Begin the adapted message long after the original's end; end a transaction while the original still comes.
        Verify:
            The client gets the server's octets; nothing is left of the transaction.
        """
        self.open()
        obj = Obj("length", 31, 5000)
        f = self.curl(obj.path)
        x = self.whole()
        rest(0.5)
        verify(not f.got and not f.head, "octets passed before the server answered")
        self.play(lambda: x.am_start().send(OWN + b"late").finish().end())
        f.is_ok(b"late")
        f = self.curl("/o/length/32/8000000/0")
        x = self.next()
        self.play(lambda: x.am_start().send(OWN + b"early").finish().end())
        f.is_ok(b"early")

    @func_test
    def interleaved(self) -> None:
        """Many transactions on one connection.

        Steps:
            Twelve downloads at a time, answered in the opposite order of their coming, their messages mixed.
        Verify:
            Each client gets its own octets; there is one connection, xids grow.
        """
        self.open()
        objs = [Obj("length", 40 + n, 30_000 + n * 1000) for n in range(12)]
        fetches = [self.curl(o.path) for o in objs]
        xs = [self.whole() for _ in objs]
        verify([x.xid for x in xs] == sorted({x.xid for x in xs}), "xids do not grow")
        verify(len(self.server.open_connections()) == 1, "more than one connection")
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

    @func_test
    def predictions(self) -> None:
        """sizep of the adapted message.

        Steps:
            A changed body of another length, with its exact sizep and without.
        Verify:
            With it the client has a head with Content-Length before the body has come; without it the body comes in chunks.
        """
        self.open()
        obj = Obj("length", 60, 10_000)
        body = b"n" * 7000
        for exact in (True, False):
            f = self.curl(obj.path, "-i", "-N")
            x = self.whole()
            named = {"sizep": len(OWN) + len(body), "modified": True} if exact else None
            self.play(lambda: x.am_start(named=named).send(OWN, "response-header").send(body[:100], "response-body"))
            head = self.until("the head", lambda: f.got.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in f.got else b"").lower()
            verify((b"content-length: 7000" in head) == exact and (b"chunked" in head) != exact, f"{exact}: {head!r}")
            self.play(lambda: x.send(body[100:], "response-body").finish().end())
            f.is_ok()
            verify(f.got.endswith(body), same(f.got[-7000:], body))

    @func_test
    def released_ahead(self) -> None:
        """modp 0: nothing will be changed.

        Steps:
            app-message-start with modp 0 and nothing more, with and without release-ahead; then the references; then, in another
            transaction, an octet changed after all.
        Verify:
            With it the client has the object before a reference came; without it nothing. A change after that fails with the cause
            protocol: reset, never a mixture.
        """
        obj = Obj("length", 81, 60_000)
        for ahead in (True, False):
            for honest in (True, False):
                self.open(keys=", release-ahead: true" if ahead else "")
                f = self.curl(obj.path, "-N")
                x = self.whole()
                since = self.lab.last_event()
                self.play(lambda: x.am_start(named={"modp": 0}))
                if ahead:
                    self.until("the object is ahead", lambda: len(f.got) == obj.size)
                else:
                    rest(0.5)
                    verify(not f.got, "octets passed that the service had not returned")
                if honest:
                    self.play(lambda: x.as_is(0, 30_000).as_is(30_000, len(x.original) - 30_000).finish().end())
                    f.is_ok(obj.body(), f"ahead {ahead}")
                    continue
                self.play(lambda: x.as_is(0, 30_000).send(b"changed", "response-body").finish().end())
                f.done()
                if ahead:
                    verify(f.got == obj.body(), "a mixture")
                else:  # a head that is out has the length that modp 0 promised: then it breaks off
                    want = obj.body()[:30_000 - body_from(x)] + b"changed"
                    verify(f.got == want if f.code == 0 else want.startswith(f.got), f"{f.code}: {same(f.got, want)}")
                if ahead:
                    verify(self.lab.wait_event("callout-failed", since)["cause"] == "protocol", "the cause")

    @func_test
    def leaves_the_loop(self) -> None:
        """The server leaves in the middle of a download.

        Steps:
            Pass on the first octets by reference, then leave; with own octets and an empty reference; without agreement.
        Verify:
            The whole object arrives; after leaving the server gets no more of it; not agreed: the message fails.
        """
        obj = Obj("length", 61, 24 * MIB)
        for own in (False, True):
            def leave(x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
                if x.leaving or part != "response-body" or len(x.original) < 20_000:
                    return
                base, x.leaving = body_from(x), True
                x.state["at"] = len(x.original) - base
                x.am_start().as_is(0, base)
                if own:
                    x.send(b"(own)", "response-body").as_is(len(x.original), 0).finish(206).end()
                else:
                    x.as_is(base, 5000).as_is(base + 5000, len(x.original) - base - 5000).finish(206).end()
            self.open(At(start=lambda x: None, data=leave, end=lambda *a: None))
            f = self.curl(obj.path)
            x = self.next()
            f.done()
            f.is_ok(b"(own)" + obj.body()[x.state["at"]:] if own else obj.body(), f"own {own}")
            late = sum(len(m.payload) for m in self.messages(x, "data-have"))
            verify(late < obj.size // 2, f"the server got {late} octets")
        self.open(At(connected=lambda c: c.features.discard(LEAVE_LOOP), start=lambda x: None, data=lambda *a: None, end=lambda *a: None))
        f = self.curl(obj.path)
        x = self.next()
        self.until("octets", lambda: len(x.original) > 5000)
        self.play(lambda: x.am_start().as_is(0, len(x.original)).finish(206))
        f.is_reset("not agreed")

    # --- ends -----------------------------------------------------------------------------------

    @func_test
    def refused_connection(self) -> None:
        """connection-end in answer to connection-start.

        Steps:
            A server that refuses every connection; fetch under the policies open, closed and answer.
        Verify:
            open: the object; closed: reset; answer: 502; the service is never up.
        """
        obj = Obj("length", 62, 4000)

        def refuse(c: Connection) -> None:
            c.auto.clear()
            c.send("connection-end", named={"error": True})
        for policy in ("open", "closed", "answer"):
            self.open(At(connected=refuse), on_failure=policy, up=False)
            self.until("a connection was refused", lambda: any(c.closed for c in self.server.connections))
            f = self.curl(obj.path)
            self.outcome(f, policy, obj)
            verify(self.lab.service("peer").get("state") != "up", "the service is up")

    def outcome(self, f, policy: str, obj: Obj, what: str = "") -> None:
        """What the client sees of a failure before any octet was let go."""
        if policy == "open":
            f.is_ok(obj.body(), f"{what} {policy}")
        elif policy == "closed":
            f.is_reset(f"{what} {policy}")
        else:
            f.is_ok(None, f"{what} {policy}", "502")

    @func_test
    def refused_transaction(self) -> None:
        """xaction-end with an error, app-message-end for the original, app-message-end for the adapted message.

        Steps:
            Each of them, at once and when the original is complete, under the policies open, closed and answer.
        Verify:
            The policy is carried out with the cause refused; the connection stays, and the next transaction is served.
        """
        obj = Obj("length", 63, 60_000)
        ways = {"transaction": lambda x: x.end(error=True), "result": lambda x: x.end(code=400), "message": lambda x: x.refuse_message(),
                "adapted": lambda x: (x.am_start(), x.conn.send("app-message-end", x.xid, 2, named={"error": True})),
                "data-end": lambda x: x.am_start().finish(400)}
        for policy in ("open", "closed", "answer"):
            self.open(on_failure=policy)
            for what, way in ways.items():
                for late in (False, True):
                    since = self.lab.last_event()
                    f = self.curl(obj.path)
                    x = self.whole() if late else self.next()
                    self.play(lambda: way(x))
                    self.outcome(f, policy, obj, what)
                    e = self.lab.wait_event("callout-failed", since)
                    verify(e["cause"] == "refused", f"{what}: {e}")
            self.serve(obj, lambda x: x.am_start().forward_all(0, len(x.original)).finish().end(), obj.body(), "afterwards")
            verify(len(self.server.connections) == 1, "another connection was needed")

    @func_test
    def connection_ends(self) -> None:
        """connection-end, and a transport that closes without it, with transactions open.

        Steps:
            Three downloads held; connection-end; the same with the socket closed.
        Verify:
            All three fail (policy open: the objects arrive); the transport is closed without an answer; a new connection is made.
        """
        objs = [Obj("length", 64 + n, 20_000) for n in range(3)]
        for polite in (True, False):
            self.open(on_failure="open")
            fetches = [self.curl(o.path) for o in objs]
            xs = [self.whole() for _ in objs]
            c = xs[0].conn
            n = len(c.received)
            self.play(lambda: c.send("connection-end") if polite else c.close())
            for o, f in zip(objs, fetches):
                f.is_ok(o.body(), f"polite {polite}")
            if polite:
                self.until("the transport is closed", lambda: c.closed)
                verify(not any(m.name == "connection-end" for m in c.received[n:]), "connection-end was answered")
            self.until("a new connection", lambda: len(self.server.open_connections()) == 1)

    @func_test
    def given_up_by_the_client(self) -> None:
        """The client goes away in the middle.

        Steps:
            Hold a download; end curl.
        Verify:
            xaction-end comes; messages for it afterwards are ignored; the next one is served.
        """
        self.open()
        obj = Obj("length", 67, 3 * MIB)
        f = self.curl(obj.path)
        x = self.next()
        self.until("octets", lambda: len(x.original) > 5000)
        self.play(lambda: x.am_start().as_is(0, 5000))
        f.process.kill()
        self.until("more", lambda: len(x.original) > 100_000)
        self.play(lambda: x.as_is(5000, 90_000))  # what nobody takes any more is met with a reset
        self.until("xaction-end", lambda: x.ended, 30)
        verify(x.ended.name == "xaction-end", f"{x.ended}")
        self.play(lambda: x.conn.send("data-have", x.xid, 2, x.sent, payload=b"late"), lambda: x.conn.send("xaction-end", x.xid))
        small = Obj("length", 68, 5000)
        self.serve(small, lambda y: y.am_start().forward_all(0, len(y.original)).finish().end(), small.body())

    @func_test
    def opaque_stream(self) -> None:
        """A stream of another protocol: no parts, several messages put together.

        Steps:
            Octets to the echo port; the service returns three adapted messages for each direction.
        Verify:
            No data has an am-part, the meta-data says stream; the client gets everything in order.
        """
        rule = f"[{{name: stream, match: {{protocol: tcp, server-port: {ECHO_PORT}}}, action: adapt, service: peer, on-failure: closed}}]"
        self.open(rules=rule)
        code = ("import socket,sys\ns=socket.create_connection((sys.argv[1],int(sys.argv[2])))\ns.sendall(b'z'*9000)\n"
                "s.shutdown(1)\nn=0\nwhile True:\n d=s.recv(65536)\n if not d: break\n n+=len(d)\nprint('octets',n)")
        p = self.lab.cli.start("stream", "python3", "-c", code, SRV4, str(ECHO_PORT))
        for n in range(2):
            x = self.whole()
            verify(b"Kind: stream\r\n" in x.meta and not any(p for _, p, _ in x.parts), f"{x.meta} {x.parts}")
            size = len(x.original)
            self.play(lambda: [x.am_start().as_is(0, size // 3).finish(), x.am_start().send(b"+" * 10).finish(),
                               x.am_start().as_is(size // 3, size - size // 3).finish().end()])
        self.until("the client ends", lambda: not p.alive())
        verify("octets 9020" in p.output(), p.output())
        time.sleep(0.1)
