# SPDX-License-Identifier: BSD-3-Clause
"""A hostile callout server against the appliance: only what is in its own hands suffers, and only as the policy says."""

from __future__ import annotations

import re
from collections.abc import Callable

from opes_api.appliance import CALLOUT_PORT, HTTP_PORT, services
from opes_api.lab import SRV4, Process
from opes_api.objects import Obj
from opes_api.ocp import CORE, DRAFT, Connection, Raw, SXaction, feature
from opes_api.ocp.catalogue import code
from opes_api.ocp.wire import encode
from opes_api.ocp_lab import At, Manual, PeerSuite, rest
from opes_api.suite import func_test, verify

MIB = 1 << 20
OWN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
# Fetches objects of the good service without end; the digest of each is compared.
BESIDE = """
import http.client, sys
from opes_api.objects import Obj
n, bad = 0, 0
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
while True:
    o = Obj("length", 700 + n % 5, 40_000 + n % 7)
    c.request("GET", o.path, headers={"Host": "t"})
    r = c.getresponse()
    n += 1
    if r.read() != o.body() or r.status != 200:
        print("bad", n, flush=True)
    if n % 20 == 0:
        print("done", n, flush=True)
"""
# Fetches the objects of the hostile service one after the other; what became of each is one letter.
VICTIM = """
import http.client, sys, time
from opes_api.objects import Obj
o, out = Obj("chunked", 600, int(sys.argv[4])), ""
for n in range(int(sys.argv[3])):
    c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
    try:
        c.request("GET", o.path, headers={"Host": "t"})
        r = c.getresponse()
        body = r.read()
        out += "S" if r.status == 502 else "=" if body in (o.body(), o.body()[:-1000] + b"hello") else "x"
    except (http.client.HTTPException, ConnectionError):
        out += "R"
    except TimeoutError:
        out += "T"
    c.close()
    time.sleep(float(sys.argv[5]))
print("outcome", out)
"""


def message(name: str, *anon, **kw) -> bytes:
    """Octets of a message."""
    return bytes(encode(name, *anon, **kw))


def nested(depth: int) -> Raw:
    """A value of so many brackets."""
    return Raw(b"(" * depth + b")" * depth)


class TestOcpHostileProcessor(PeerSuite):
    """Objects "chunked" go to the hostile service, objects "length" to a good one beside it."""

    beside: Process

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.callout = self.lab.start_callout("as-is", "echo")
        self.good = 0

    # --- the victims ----------------------------------------------------------------------------

    def hostile(self, service=None, on_failure: str = "closed", keys: str = "", **kw) -> None:
        """Rules for both services; the good one is in use from now on."""
        match = f"match: {{protocol: http, server-port: {HTTP_PORT}, kind: response, path: {{prefix: /o/%s/}}}}, action: adapt"
        rules = (f"[{{name: bad, {match % 'chunked'}, service: peer, on-failure: {on_failure}}}, "
                 f"{{name: good, {match % 'length'}, service: echo, on-failure: closed}}]")
        self.open(service, rules=rules, keys=keys, other=", " + services("echo", port=CALLOUT_PORT)[1:-1], check=False, **kw)
        if not getattr(self, "beside", None) or not self.beside.alive():
            self.lab.wait_service("echo")
            self.beside = self.lab.cli.start("beside", *self.python(BESIDE, SRV4, str(HTTP_PORT)))
        self.good = self.beside_done()

    def python(self, code: str, *argv: str) -> list[str]:
        """argv of a script that has opes_api."""
        return ["env", f"PYTHONPATH={self.lab.root / 'dts'}", "python3", "-c", code, *argv]

    def beside_done(self) -> int:
        """Objects that the good service has served so far."""
        return max((int(n) for n in re.findall(r"done (\d+)", self.beside.output())), default=0)

    def rss(self) -> int:
        """Resident octets of the dataplane, hugepages apart."""
        with open(f"/proc/{self.dataplane_pid()}/status", encoding="ascii") as f:
            return 1024 * int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def dataplane_pid(self) -> int:
        return self.lab.dataplane.pid

    def tear_down_test_case(self) -> None:
        """The good service went on all the time, every octet right; memory is back."""
        at = self.beside_done()
        self.until("the good service still serves", lambda: self.beside_done() > at + 20 or not self.beside.alive())
        text = self.beside.output()
        verify(self.beside.alive() and "bad" not in text, f"beside: {text[-1000:]}")
        verify(self.beside_done() > self.good, "the good service stood still")
        verify(self.lab.service("echo").get("state") == "up", "the good service is down")
        self.beside.stop()
        self.dialect = DRAFT
        super().tear_down_test_case()

    def victims(self, count: int, size: int = 3000, pause: float = 0.0) -> str:
        """What became of so many fetches. pause: seconds between them."""
        p = self.lab.cli.start("victim", *self.python(VICTIM, SRV4, str(HTTP_PORT), str(count), str(size), str(pause)))
        self.server.wait("the victims are through", lambda: not p.alive(), 120)
        m = re.search(r"outcome (\S*)", p.output())
        verify(m is not None, p.output())
        return m[1]

    # --- malformed ------------------------------------------------------------------------------

    def answer(self, x: SXaction) -> list[tuple[bytes, bool]]:
        """A right answer to x in pieces (the last 1000 octets become "hello"); whether a piece is framing (and not data)."""
        xid, n = x.xid, len(x.original)
        if self.dialect == CORE:
            return [(message("AMS", xid, named={"Services": Raw(b"()")}), True),
                    (message("DUY", xid, 0, n - 1000), True),
                    (b"DUM %d %d\r\nAM-Part: response-body\r\nModp: 0\r\n\r\n5:" % (xid, n - 1000), True), (b"hello", False),
                    (b"\r\n;\r\n", True), (message("AME", xid), True), (message("TE", xid, Raw(b"{200}")), True)]
        return [(message("app-message-start", xid, 2, b""), True),
                (message("data-as-is", xid, 2, 0, n - 1000, 1, 0), True),
                (b"data-have %d 2 %d\r\nam-part: response-body\r\nmodp: 0\r\n\r\n5:" % (xid, n - 1000), True), (b"hello", False),
                (b"\r\n;\r\n", True), (message("data-end", xid, 2), True),
                (message("xaction-end", xid, named={"result": Raw(b"{200}")}), True)]

    def at_every_offset(self, change: Callable[[bytes, int], bytes], keys: str, close: bool, policy: str = "closed",
                        step: int = 1) -> str:
        """Transaction after transaction, each with the next offset of its answer changed; what the clients saw."""
        def end(x: SXaction, ok: bool) -> None:
            k = self.state["n"] * step
            self.state["n"] += 1
            octets = b""
            for piece, framing in self.answer(x):
                if framing and 0 <= k - len(octets) < len(piece):
                    piece = change(piece, k - len(octets))
                    octets += piece
                    self.state["changed"].append(x)
                    break
                octets += piece
            x.conn.raw(octets, note=False)
            if close:
                x.conn.close()
        self.state = {"n": 0, "changed": []}
        self.hostile(At(start=lambda x: None, data=lambda *a: None, end=end), policy, keys)
        total = sum(len(p) for p, _ in self.answer(SXaction(None, 10, []))) + 8
        since = self.lab.last_event()
        out = self.victims(total // step, pause=0.02)  # a connection that broke at once is made anew after a second
        verify(self.state["n"] >= total // step - 8, f"only {self.state['n']} of {total // step} were tried")
        self.failures = [e for e in self.lab.events("callout-failed", since) if e["service"] == "peer"]
        return out

    @func_test
    def malformed_everywhere(self) -> None:
        """An octet that no grammar allows, at every offset of an answer.

        Steps:
            64 connections. Answer each transaction with the offset after the last one's replaced by an octet 1, under the policies
            closed and answer; then with the answer cut there and the transport closed.
        Verify:
            Each is met with connection-end and the error flag, then closed; the policy is carried out: reset, 502 or, when all of the
            message was there already, the message; the event names the rule.
        """
        keys = ", connections: 64, retry: 50ms"
        for policy, allowed in (("closed", "R="), ("answer", "RS=")):
            out = self.at_every_offset(lambda p, k: p[:k] + b"\1" + p[k + 1:], keys, False, policy, 1 if policy == "closed" else 7)
            verify(set(out) <= set(allowed) and out.count("R" if policy == "closed" else "S") > len(out) // 3, f"{policy}: {out}")
            ended = [c for c in self.server.connections if any(m.name == "connection-end" for m in c.received)]
            changed = len(self.state["changed"])
            verify(len(ended) == changed > len(out) // 2, f"{len(ended)} connections were ended, {changed} of {len(out)} answers changed")
            verify(all(m.get("error") for c in ended for m in c.received if m.name == "connection-end"), "without the error flag")
            verify(self.failures and all(e["cause"] in ("protocol", "lost") for e in self.failures), f"{self.failures[:3]}")
            verify(any("malformed" in e["text"] for e in self.failures), f"{self.failures[:3]}")
        out = self.at_every_offset(lambda p, k: p[:k], keys, True, "closed", 3)
        verify(set(out) <= set("R=") and "R" in out, out)
        verify(all(e["cause"] == "lost" for e in self.failures), f"{self.failures[:3]}")

    @func_test
    def core_malformed_everywhere(self) -> None:
        """The same in the core dialect.

        Steps:
            64 connections; the octet 1 at every offset of an answer of AMS, DUY, DUM, AME and TE; policies closed and answer; then the
            answer cut there.
        Verify:
            Each is met with TE 400 for its transaction or CE 400 for the connection; the policy is carried out.
        """
        self.dialect = CORE
        keys = ", connections: 64, retry: 50ms"
        for policy, allowed in (("closed", "R="), ("answer", "RS=")):
            out = self.at_every_offset(lambda p, k: p[:k] + b"\1" + p[k + 1:], keys, False, policy, 1 if policy == "closed" else 7)
            verify(set(out) <= set(allowed) and out.count("R" if policy == "closed" else "S") > len(out) // 3, f"{policy}: {out}")
            for x in self.state["changed"]:
                self.until("400", lambda: any(code(m) == 400 and (m.name == "CE" or (m.name == "TE" and m["xid"] == x.xid))
                                              for m in list(x.conn.received)) or x.ended)
            verify(self.failures and all(e["cause"] in ("protocol", "lost") for e in self.failures), f"{self.failures[:3]}")
        out = self.at_every_offset(lambda p, k: p[:k], keys, True, "closed", 3)
        verify(set(out) <= set("R=") and "R" in out, out)

    @func_test
    def core_floods(self) -> None:
        """Much, and much nonsense, in the core dialect.

        Steps:
            20,000 messages of unknown names, misplaced ones and wishes about an open transaction; 50,000 PQ whose answers are not read; groups
            without end.
        Verify:
            Memory is bounded; the transactions are served, the last one at the latest on another connection; groups past the limit end the
            connection with CE 400.
        """
        self.dialect = CORE
        self.hostile()
        before = self.rss()

        def flood(x: SXaction) -> None:
            x.conn.raw(b"".join(b"".join((
                message("nobody-knows", n, named={"what": n}), message("CS"), message("DSS", x.xid), message("TS", 100_000 + n, 1),
                message("PR", x.xid, named={"Org-Data": n}), message("PA"), message("DWM", x.xid, named={"Size-request": n}),
                message("DPI", x.xid, 0, 2147483647), message("AQ", feature("urn:test:x")), message("PQ", x.xid)))
                for n in range(2000)), note=False)
        f = self.curl(Obj("chunked", 612, 30_000).path)
        x = self.whole()
        self.play(lambda: flood(x), lambda: self.serve(x))
        f.is_ok(Obj("chunked", 612, 30_000).body(), "a flood")
        verify(not x.conn.closed, "the connection was closed")
        f = self.curl(Obj("chunked", 613, 20_000).path)
        x = self.whole()
        questions = message("PQ") * 50_000
        had = len(x.conn.received)
        self.play(lambda: self.deaf(x.conn, True), lambda: x.conn.raw(questions, note=False))
        rest(1.0)
        verify(self.rss() - before < 32 * MIB, f"{self.rss() - before} octets more while its answers are not read")
        self.play(lambda: self.deaf(x.conn, False))
        self.until("the answers", lambda: len(x.conn.received) >= had + 50_000, 40)
        self.play(lambda: self.serve(x))
        f.is_ok(Obj("chunked", 613, 20_000).body())
        groups = b"".join(message("SGC", n, [feature("urn:test:g")]) for n in range(1, 5000))
        c = self.server.open_connections()[0]
        self.play(lambda: c.raw(groups, note=False))
        self.until("CE 400", lambda: any(m.name == "CE" and code(m) == 400 for m in list(c.received)))
        verify(self.rss() - before < 32 * MIB, f"{self.rss() - before} octets more")
        self.until("another connection", lambda: len(self.server.connections) > 1)
        rest(0.2)
        self.peer_ready()
        f = self.curl(Obj("chunked", 614, 20_000).path)
        x = self.whole()
        self.play(lambda: self.serve(x))
        f.is_ok(Obj("chunked", 614, 20_000).body(), "afterwards")

    @func_test
    def core_silence(self) -> None:
        """A server of the core dialect that stops in the middle of anything.

        Steps:
            No CS; CS and no answer to the offers; half a DUM; a pause without end; a leave that never comes; policy open and answer.
        Verify:
            The policy is carried out within bounded time.
        """
        self.dialect = CORE
        keys = ", idle-probe: 300ms, probe-timeout: 400ms, deadline: 400ms, retry: 50ms, connect-timeout: 500ms"
        obj = Obj("chunked", 615, 30_000)

        def none(c: Connection) -> None:
            c.auto.clear()

        def half(x: SXaction, ok: bool) -> None:
            x.conn.auto.clear()
            x.conn.raw(b"AMS %d;\r\nDUM %d 0\r\nAM-Part: response-header\r\n\r\n100:HTTP/1.1 200 OK\r\nX-" % (x.xid, x.xid))

        def leave(x: SXaction, ok: bool) -> None:
            x.am_start()
            x.conn.send("DWSS", x.xid)
        nothing = {n: (lambda *a: None) for n in ("start", "data", "end")}
        for policy, status in (("open", "200"), ("answer", "502")):
            for what, service in (("no CS", At(connected=none, message=lambda c, m: True)), ("no NR", At(connected=none)),
                                  ("half", At(**{**nothing, "end": half})), ("paused", At(**{**nothing, "start": lambda x: x.pause(0)})),
                                  ("leave", At(**{**nothing, "end": leave, "message": lambda c, m: m.name == "DSS"}))):
                up = what not in ("no CS", "no NR")
                self.hostile(service, policy, keys, up=up)
                if not up:
                    self.until("a connection", lambda: self.server.connections)
                f = self.curl(obj.path)
                f.done(30)
                fine = f.code == 0 and f.status == status and (policy == "answer" or f.got == obj.body())
                verify(fine or (what == "half" and f.code != 0), f"{what} {policy}: {f.code} {f.status}\n{self.tail()}")

    @func_test
    def one_octet_at_a_time(self) -> None:
        """Right answers in pieces of one octet.

        Steps:
            Answer transactions with one octet a write, by reference and with own octets.
        Verify:
            Every object is right.
        """
        def connected(c: Connection) -> None:
            c.cut = [1]
        self.hostile(At(connected=connected))
        verify(self.victims(12, 3000) == "=" * 12, "an object is wrong")

        def data(x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
            x.send(octets, part, chunk=700)
        self.hostile(At(connected=connected, data=data))
        verify(self.victims(6, 3000) == "=" * 6, "an object is wrong")

    # --- rules of the connection ----------------------------------------------------------------

    @func_test
    def limits_of_the_format(self) -> None:
        """Beyond every limit of the format.

        Steps:
            Nine brackets, long names, atoms, lists, many parameters, a payload beyond the limit and one of 2147483647
            octets, sizes beyond every range, a parameter twice, wrong types; each on its own connection, within a
            transaction.
        Verify:
            connection-end with error, reset, an event that says malformed; memory does not grow with what was announced.
        """
        xid = 1
        bad = {
            "nesting": message("hello", nested(9)), "name": b"x" * 65 + b";\r\n", "atom": message("hello", b"a" * 65537),
            "items": message("hello", Raw(b"(" + b",".join(b"1" for _ in range(257)) + b")")),
            "anonymous": b"hello" + b" 1" * 257 + b";\r\n",
            "named": b"hello" + b"".join(b"\r\nn%d: 1" % n for n in range(33)) + b"\r\n;\r\n",
            "twice": message("data-have", xid, 2, 0, named=[("modp", 1), ("modp", 1)], payload=b"x"),
            "payload": b"data-have %d 2 0\r\n1048577:" % xid, "gigantic payload": b"data-have %d 2 0\r\n2147483647:" % xid,
            "more than gigantic": b"data-have %d 2 0\r\n2147483648:" % xid,
            "size with a zero": b"data-have %d 2 0\r\n05:hello\r\n;\r\n" % xid,
            "endless number": b"data-need %d 1 %s;\r\n" % (xid, b"9" * 400), "xid": b"data-end 2147483648 2;\r\n",
            "no xid": b"data-end;\r\n", "type": b"data-end {1} 2;\r\n",
            "percent": message("app-message-start", xid, 2, b"", named={"modp": 101}),
            "garbage": b"\x00\xff\x80GET / HTTP/1.1\r\n\r\n" * 50, "no end": b"data-end 1 2" + b" 3" * 100 + b"\n",
        }
        grown = []
        for what, octets in bad.items():
            self.hostile(keys=", retry: 50ms")
            self.peer_ready()
            before, since = self.rss(), self.lab.last_event()
            f = self.curl(Obj("chunked", 601, 20_000).path)
            x = self.whole()
            self.play(lambda: x.am_start(), lambda: x.conn.raw(octets))
            f.is_reset(what)
            self.until(f"{what}: connection-end", lambda: any(m.name == "connection-end" and m.get("error") for m in x.conn.received))
            self.until(f"{what}: closed", lambda: x.conn.closed)
            text = self.lab.wait_event("callout-failed", since)
            verify(text["cause"] == "protocol" and "malformed" in text["text"], f"{what}: {text}")
            grown.append(self.rss() - before)
        verify(max(grown) < 8 * MIB, f"{max(grown)} octets more for one message")

    def peer_ready(self) -> None:
        """A connection of the hostile service is up."""
        self.until("a connection", lambda: self.lab.service("peer").get("state") == "up")

    @func_test
    def outside_of_the_connection(self) -> None:
        """What a server must not begin with.

        Steps:
            A server whose first octets are garbage; one that says connection-start; one that says nothing; one that closes.
        Verify:
            The service does not come up on garbage; connection-start is ignored; policies are carried out; the connection is tried again.
        """
        for what, octets in (("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n"), ("silence", None), ("close", b"")):
            def connected(c: Connection) -> None:
                c.auto.clear()
                if octets:
                    c.raw(octets)
                elif octets == b"":
                    c.close()
            keys = ", connect-timeout: 500ms, retry: 50ms, idle-probe: 300ms, probe-timeout: 300ms"
            self.hostile(At(connected=connected), "open", keys, up=False)
            self.until(f"{what}: tried again", lambda: len(self.server.connections) >= 2)
            f = self.curl(Obj("chunked", 602, 20_000).path)
            f.is_ok(Obj("chunked", 602, 20_000).body(), what)
            verify(self.lab.service("peer").get("state") != "up", f"{what}: the service is up")

    # --- rules of transactions and messages -----------------------------------------------------

    def with_neighbour(self, what: str, act: Callable[[SXaction], object], want: str, rule: str = "") -> SXaction:
        """act on one transaction while another one is open on the same connection, which is then served. want: reset, whole, or
        either (it had come to its end before)."""
        since = self.lab.last_event()
        bad, good = Obj("chunked", 603, 30_000), Obj("chunked", 604, 25_000)
        f = self.curl(bad.path)
        x = self.whole()
        g = self.curl(good.path)
        y = self.whole()
        verify(x.conn is y.conn, "they are on different connections")
        self.play(lambda: act(x))
        if want == "reset":
            f.is_reset(what)
        elif want == "either":
            f.done()
        else:
            rest(0.05)
            self.play(lambda: self.serve(x))
            f.is_ok(bad.body(), what)
        self.play(lambda: self.serve(y))
        g.is_ok(good.body(), f"{what}: its neighbour")
        verify(not x.conn.closed, f"{what}: the connection was closed")
        if rule:
            e = self.lab.wait_event("service-fault" if want == "either" else "callout-failed", since)
            verify(e["cause"] == "protocol" and rule in e["text"], f"{what}: {e}")
        return x

    @staticmethod
    def serve(x: SXaction) -> None:
        """Everything back."""
        x.am_start(am_id=2).forward_all(0, len(x.original)).finish().end()

    @func_test
    def broken_rules_of_messages(self) -> None:
        """Gaps, overlaps, references to what is not there, data after the end.

        Steps:
            Each in one transaction while another is open on the same connection.
        Verify:
            The message is aborted and its flow reset (policy closed) unless it was complete, an event names the rule; the other transaction is served, the
            connection stays.
        """
        self.hostile()
        big = (1 << 62)

        def begun(x: SXaction) -> SXaction:
            return x.am_start().as_is(0, 100)

        def late_data(x: SXaction) -> None:  # in one piece: nothing of it is over before the rest has come
            x.conn.raw(message("app-message-start", x.xid, 2, b"") + message("data-have", x.xid, 2, 0, payload=OWN)
                       + message("data-end", x.xid, 2) + message("data-have", x.xid, 2, len(OWN), payload=b"more"), note=False)
        gap, unkept, late = "gap or overlap", "not preserved", "after the end"
        ways = {
            "gap": (lambda x: begun(x).conn.send("data-have", x.xid, 2, 101, payload=b"x"), gap),
            "overlap": (lambda x: begun(x).conn.send("data-have", x.xid, 2, 99, payload=b"x"), gap),
            "gigantic gap": (lambda x: begun(x).conn.send("data-have", x.xid, 2, (1 << 63) - 1, payload=b"x"), gap),
            "gap in references": (lambda x: begun(x).conn.send("data-as-is", x.xid, 2, 200, 5, 1, 0), gap),
            "beyond the original": (lambda x: begun(x).as_is(len(x.original) - 5, 6), unkept),
            "far beyond": (lambda x: begun(x).as_is(big, 5), unkept),
            "a gigantic reference": (lambda x: begun(x).as_is(0, (1 << 31) - 1), unkept),
            "the highest numbers": (lambda x: begun(x).as_is((1 << 63) - 1, (1 << 31) - 1), unkept),
            "of another message": (lambda x: begun(x).conn.send("data-as-is", x.xid, 2, 100, 5, 3, 0), unkept),
            "of its own": (lambda x: begun(x).conn.send("data-as-is", x.xid, 2, 100, 5, 2, 0), unkept),
            "given up": (lambda x: begun(x).ack(0, 500, True).as_is(200, 5), unkept),
            "data after data-end": (late_data, late),
        }
        for what, (act, rule) in ways.items():
            x = self.with_neighbour(what, act, "either" if rule == late else "reset", rule)
            ends = self.messages(x, "app-message-end") + self.messages(x, "xaction-end")
            verify(any(m.get("error") for m in ends), f"{what}: it was not told\n{self.tail()}")

    @func_test
    def another_transactions_data(self) -> None:
        """References across transactions.

        Steps:
            With two transactions open, refer to more than the small one has, where the big one has data; send data of one
            with the other's am-id; end the one and go on with it.
        Verify:
            Never an octet of the one in the other; the neighbour is served.
        """
        self.hostile()
        small, big = Obj("chunked", 605, 1000), Obj("chunked", 606, 60_000)
        f = self.curl(big.path)
        x = self.whole()
        g = self.curl(small.path)
        y = self.whole()
        self.play(lambda: y.am_start().as_is(0, 100).as_is(30_000, 1000))
        g.is_reset("the small one")
        verify(big.body()[30_000:30_100] not in g.got, "octets of another transaction")
        self.play(lambda: [y.send(b"of the dead"), y.end(), y.conn.send("data-as-is", y.xid, 2, 100, 10, 1, 0)], lambda: self.serve(x))
        f.is_ok(big.body(), "the big one")

    @func_test
    def nonsense_is_ignored(self) -> None:
        """Unknown identifiers and misplaced messages in great number.

        Steps:
            20,000 messages with unknown xids and am-ids, messages that only processors send, unsolicited answers, with two
            transactions open.
        Verify:
            Both are served on the same connection; memory stays.
        """
        self.hostile()
        before = self.rss()

        def flood(x: SXaction) -> None:
            octets = b"".join(b"".join((
                message("data-have", 5000 + n, 2, 0, payload=b"x"), message("data-end", x.xid, 1000 + 2 * n),
                message("xaction-end", 9_000_000 + n),
                message("connection-priority", n), message("xaction-start", 100_000 + n), message("data-paused", x.xid, 1),
                message("i-am-here", named={"rid": n}), message("i-am-here", named={"xid": n + 50}),
                message("i-will-use", Raw(b'{"1:x"}')),
                message("data-ack", x.xid, 44, n, 5), message("nobody-knows", n, named={"what": n})))
                for n in range(2000))
            x.conn.raw(octets, note=False)
        self.with_neighbour("a flood", flood, "whole")
        verify(self.rss() - before < 16 * MIB, f"{self.rss() - before} octets more")

    @func_test
    def floods(self) -> None:
        """Much of what is allowed.

        Steps:
            10,000 wont-forward of single octets; 2,000 adapted messages in one transaction; 50,000 questions whose answers are not read;
            64 MiB of adapted data for a client that reads slowly.
        Verify:
            Memory is bounded; what goes too far ends by a policy; the neighbours are served.
        """
        self.hostile()
        before = self.rss()

        def crumbs(x: SXaction) -> None:
            ack = [message("data-ack", x.xid, 1, n, 1, named={"wont-forward": True}) for n in range(100, 20_100, 2)]
            x.conn.raw(b"".join(ack), note=False)
            x.am_start(am_id=2).send(bytes(x.original[:20_100]), None, chunk=1 << 20)
            x.forward(20_100, len(x.original) - 20_100).finish().end()
        f = self.curl(Obj("chunked", 607, 50_000).path)
        x = self.whole()
        self.play(lambda: crumbs(x))
        f.done()
        verify(f.code != 0 or f.got == Obj("chunked", 607, 50_000).body(), "wrong octets")

        def many(x: SXaction) -> None:
            x.conn.raw(b"".join(message("app-message-start", x.xid, 2 * n, b"") for n in range(1, 2000)), note=False)
        x = self.with_neighbour("many messages", many, "reset")
        self.hostile()
        f = self.curl(Obj("chunked", 608, 20_000).path)
        x = self.whole()
        questions = b"".join(message("are-you-there", n) for n in range(1, 50_001))
        self.play(lambda: self.deaf(x.conn, True), lambda: x.conn.raw(questions, note=False))
        rest(1.0)
        verify(self.rss() - before < 32 * MIB, f"{self.rss() - before} octets more while its answers are not read")
        self.play(lambda: self.deaf(x.conn, False))
        self.until("the answers", lambda: len([m for m in x.conn.received if m.name == "i-am-here"]) >= 50_000, 40)
        self.play(lambda: self.serve(x))
        f.is_ok(Obj("chunked", 608, 20_000).body())
        since = self.lab.last_event()
        f = self.curl(Obj("chunked", 609, 20_000).path, "--limit-rate", "1M")
        x = self.whole()
        self.play(lambda: x.am_start().send(OWN))
        for _ in range(64):
            self.play(lambda: x.send(b"a" * MIB, chunk=1 << 20) if not x.ended and not x.conn.closed else None)
            verify(self.rss() - before < 64 * MIB, f"{self.rss() - before} octets more")
        self.until("the flood is ended or taken", lambda: x.ended or not x.conn.pending, 40)
        f.process.kill()
        verify(x.ended or self.lab.events("callout-failed", since) or f.got, "nothing came of it")

    def deaf(self, c: Connection, on: bool) -> None:
        """Stop reading from a connection, or go on."""
        if on:
            c.read = lambda: rest(0.01)  # type: ignore[method-assign]
        else:
            del c.read

    @func_test
    def silence(self) -> None:
        """A server that stops in the middle of anything.

        Steps:
            Half a message and no more; no answers to questions; everything but progress; under open, closed and answer.
        Verify:
            The policy is carried out within bounded time, with the cause lost or deadline; the service comes back by itself.
        """
        keys = ", idle-probe: 300ms, probe-timeout: 400ms, deadline: 400ms, retry: 50ms"
        obj = Obj("chunked", 610, 30_000)

        def half(x: SXaction, ok: bool) -> None:
            x.conn.auto.clear()
            x.am_start()
            x.conn.raw(b"data-have %d 2 0\r\n100:HTTP/1.1 200 OK\r\nX-" % x.xid)

        def mute(x: SXaction, ok: bool) -> None:
            x.conn.auto.clear()
        for policy in ("open", "closed", "answer"):
            for what, end in (("half a message", half), ("mute", mute), ("no progress", lambda x, ok: None)):
                self.hostile(At(start=lambda x: None, data=lambda *a: None, end=end), policy, keys)
                since = self.lab.last_event()
                f = self.curl(obj.path)
                if policy == "open" and what != "half a message":
                    f.is_ok(obj.body(), f"{what} {policy}")
                elif policy == "answer" and what != "half a message":
                    f.is_ok(None, f"{what} {policy}", "502")
                else:
                    f.done()
                    verify(f.code != 0 or f.status == "502" or f.got == obj.body(), f"{what} {policy}: {f.code} {f.status}")
                e = self.lab.wait_event("callout-failed", since)
                verify(e["cause"] in ("lost", "deadline"), f"{what}: {e}")

    @func_test
    def open_with_changed_octets(self) -> None:
        """Policy open after a broken rule.

        Steps:
            Break a rule before any octet was let go, after some came by reference, after own octets.
        Verify:
            The original goes on, without a seam, in the first two; the third is reset, since it cannot.
        """
        self.hostile(on_failure="open")
        obj = Obj("chunked", 611, 200_000)
        for what, begin, ok in (("at once", lambda x: x.am_start(), True),
                                ("by reference", lambda x: x.am_start().as_is(0, 100_000), True), ("own octets", lambda x: x.am_start().send(OWN + b"own"), False)):
            f = self.curl(obj.path, "-N")
            x = self.whole()
            self.play(lambda: begin(x))
            if what != "at once":
                self.until("octets are out", lambda: f.got)
            self.play(lambda: x.conn.send("data-have", x.xid, 2, 5_000_000, payload=b"gap"))
            if ok:
                f.is_ok(obj.body(), what)
            else:
                f.is_reset(what)
