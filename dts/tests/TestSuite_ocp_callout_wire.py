# SPDX-License-Identifier: BSD-3-Clause
"""opes-callout in the draft dialect: the lower-case rules of the draft (requirements A.2) and what ocp-wire adds."""

from __future__ import annotations

import os
import random

from opes_api.callout import CalloutSuite
from opes_api.lab import free_port, wait_for
from opes_api.ocp import AS_IS, COPIED, LEAVE_LOOP, Processor, Struct, encode, failed, feature, quoted
from opes_api.ocp.catalogue import HTTP_REQUEST, HTTP_RESPONSE
from opes_api.ocp.processor import REQUEST_META, RESPONSE_META, STREAM_META
from opes_api.suite import func_test, verify

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
PAGE = [("response-header", HEAD), ("response-body", b"the original")]


class TestOcpCalloutWire(CalloutSuite):
    """See the module's text."""

    # --- A.2 ----------------------------------------------------------------------------------

    @func_test
    def para_29_zero_adapted_messages(self) -> None:
        """
        Steps: a service that answers a request itself; one that only logs and returns nothing.
        Verify: an adapted message of kind response; a good end without any adapted message.
        """
        c = self.own("log,returns=no", "block,pattern=verboten")
        p = self.processor("urn:opes:service:log", c.address)
        x = p.adapt(PAGE)
        verify(not failed(x.ended) and not x.adapted, f"{x.ended} {x.adapted}")
        q = self.processor(self.BLOCK, c.address)
        y = q.adapt([("request-header", b"GET /verboten HTTP/1.1\r\nHost: a\r\n\r\n"), ("request-body", b"verboten")],
                    meta=REQUEST_META)
        verify(b"Kind: response" in y.first.start["meta-data"] and y.ok, f"{y.first.start}")

    @func_test
    def para_30_first_xaction_end_ends(self) -> None:
        """
        Steps: xaction-end from the processor while the server's own is on its way; xaction-end twice.
        Verify: the server sends at most one, the connection goes on.
        """
        p = self.processor(self.ECHO)
        for _ in range(20):
            x = p.xaction().start(STREAM_META).data(b"hello").finish()
            x.end().end()
        p.ping()
        ends = [m["xid"] for m in p.received if m.name == "xaction-end"]
        verify(len(ends) == len(set(ends)), f"xaction-end twice: {ends}")

    @func_test
    def para_31_interleaved_transactions(self) -> None:
        """
        Steps: three hundred open transactions on a connection, one octet each in turn, queries and features between.
        Verify: each comes back right.
        """
        p = self.processor(self.ECHO)
        xs = [p.xaction().start(STREAM_META) for _ in range(300)]
        for n in range(8):
            for x in xs:
                x.data(b"%d" % ((x.xid + n) % 10), keep=n % 2 == 0)
            p.ping()
            p.send("do-you-support", feature(COPIED))
        for x in xs:
            x.finish().wait_end()
            verify(x.forwarded() == bytes(x.original), f"transaction {x.xid}: {x.forwarded()!r}")

    @func_test
    def para_36_39_identifiers_are_local(self) -> None:
        """
        Steps: on one connection, messages with xids that are open on another only.
        Verify: nothing comes of it on either.
        """
        a, b = self.processor(self.ECHO), self.processor(self.ECHO)
        x = a.xaction(xid=41).start(STREAM_META).data(b"mine")
        b.send("data-have", 41, 1, 4, payload=b"foreign")
        b.send("xaction-end", 41)
        verify("xid" not in b.ping(xid=41), "known there")
        verify(a.ping(xid=41).get("xid") == 41, "known here")
        verify(x.finish().wait_end().forwarded() == b"mine", "the octets")

    @func_test
    def para_40_41_data_and_meta_data_are_opaque(self) -> None:
        """
        Steps: data of every octet value, of OCP's own text, and none; meta-data of any octets, unknown names, no CRLF, empty.
        Verify: data come back as they were; no meta-data upsets the server.
        """
        p = self.processor(self.ECHO)
        for data in (bytes(range(256)) * 3, b"\r\n;\r\nxaction-end 1;\r\n", b""):
            x = p.adapt(data, meta=STREAM_META)
            verify(x.ok and x.forwarded() == data, f"{data[:20]!r}")
        for meta in (b"", b"x", b"\x00\xff" * 100, b"Kind: unheard-of\r\n", b"Kind: response\r\nKind: request\r\n",
                     b": \r\n", b"Kind\r\n", b"Kind: request", b"Client-Capability: http://a/b\r\nX-New: \r\n",
                     b"A" * 65000):
            x = p.adapt(b"hello", meta=meta)
            verify(x.ok and x.forwarded() == b"hello", f"meta-data {meta[:30]!r}")

    @func_test
    def para_44_offsets_pass_2_31(self) -> None:
        """
        Steps: the largest offset that is a number of this dialect, as a gap; larger ones.
        Verify: the gap aborts the message only; a larger one is malformed.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META)
        p.send("data-have", x.xid, 1, (1 << 63) - 1, payload=b"x")
        p.expect("app-message-end", xid=x.xid, am_id=1, error=True)
        p.send("data-have", x.xid, 1, 1 << 63, payload=b"x")
        p.wait_closed()
        verify(p.expect("connection-end", 0).get("error"), "malformed")

    @func_test
    def para_45_modified_says_the_truth(self) -> None:
        """
        Steps: octets of which a service changes some.
        Verify: data-have with changed octets says modified: true; what is not changed does not.
        """
        p = self.processor(self.REPLACE)
        x = p.xaction().start(STREAM_META)
        for octets in (b"plain " * 10, b"the original", b"plain"):
            x.data(octets, keep=False)
        x.finish().wait_end()
        for m in p.received:
            if m.name == "data-have":
                verify(bool(m.get("modified")) == (b"ORIGINAL" in m.payload), f"{m}")
        verify(x.forwarded() == b"plain " * 10 + b"the ORIGINALplain", "the octets")

    @func_test
    def para_47_48_predictions(self) -> None:
        """
        Steps: sizep and modp on every message that may carry them, right and wrong.
        Verify: taken for what they are; what the server predicts itself comes true.
        """
        p = self.processor()
        for service in (self.ECHO, self.AS_IS, self.REPLACE, self.HOLD):
            for sizep in (0, 10, 20, 1 << 40):
                x = p.xaction(service)
                x.start(STREAM_META, named={"sizep": sizep, "modp": sizep % 100})
                x.data(b"0123456789", named={"sizep": sizep, "modp": 3}).data(b"original!!").finish().wait_end()
                verify(x.ok and len(x.forwarded()) == 20, f"{service}, sizep {sizep}")
                if x.first.start.get("modp") == 0:
                    verify(x.forwarded() == bytes(x.original), f"{service}: modp 0 and changed")

    @func_test
    def para_63_75_79_ends_imply_ends(self) -> None:
        """
        Steps: xaction-end without app-message-end; app-message-end without data-end; connection-end without either.
        Verify: each ends what is below it: the messages complete, or nothing more comes.
        """
        for name, ids in (("app-message-end", (1, 1)), ("data-end", (1, 1))):
            p = self.processor(self.HOLD)
            x = p.xaction().start(STREAM_META).data(b"hello")
            p.send(name, *ids)
            verify(x.wait_end().ok and x.forwarded() == b"hello", f"{name}: {x.forwarded()!r}")
        p = self.processor(self.HOLD)
        x = p.xaction().start(STREAM_META).data(b"hello")
        x.end()
        verify("xid" not in p.ping(1, 1), "xaction-end implies app-message-end")

    @func_test
    def para_85_empty_data(self) -> None:
        """
        Steps: data-have of no octets at the beginning, between and at the end; a message of none at all.
        Verify: they change nothing.
        """
        for service in (self.ECHO, self.AS_IS, self.REPLACE, self.HOLD):
            p = self.processor(service)
            x = p.xaction().start(STREAM_META)
            for octets in (b"", b"hel", b"", b"lo", b""):
                x.data(octets, named={"sizep": 5})
            x.finish().wait_end()
            verify(x.ok and x.forwarded() == b"hello", f"{service}: {x.forwarded()!r}")
            y = p.xaction().start(STREAM_META).finish().wait_end()
            verify(y.ok and y.forwarded() == b"", f"{service}: an empty message")

    @func_test
    def para_99_107_commitments_end(self) -> None:
        """
        Steps: kept octets; the processor's own data-end; then what a service that held everything refers to.
        Verify: the processor's data-end ends no commitment (trap 4): the server still refers to them.
        """
        p = self.processor(self.HOLD)
        x = p.xaction().start(STREAM_META)
        for n in range(10):
            x.data(b"%d" % n * 1000)
        x.finish().wait_end()
        verify(x.ok and x.forwarded() == bytes(x.original), "the octets")
        verify(x.first.referenced == 10000, f"by reference: {x.first.referenced}")

    @func_test
    def para_110_ack_means_complete(self) -> None:
        """
        Steps: a kept data-have with ack whose last octets come later, to a service that passes on at once.
        Verify: no data-ack, with or without wont-forward, before the data-have is complete; then the one that was asked for.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META)
        p.ping()
        whole = bytes(encode("data-have", x.xid, 1, 0, named={"copied": True, "ack": True}, payload=b"0123456789"))
        p.raw(whole[:-8])
        for _ in range(10):
            p.pump(0.03)
        verify(p.none_came("data-ack"), f"acknowledged before it has come\n{p.transcript.tail()}")
        p.raw(whole[-8:])
        p.expect("data-ack", xid=x.xid, offset=0, size=10)
        x.sent = 10
        x.finish().wait_end()
        verify(x.forwarded() == b"0123456789", f"{x.forwarded()!r}")

    # --- ocp-wire -----------------------------------------------------------------------------

    @func_test
    def wire_1_transports(self) -> None:
        """
        Steps: the same conversation over TCP on IPv4 and IPv6 and a Unix socket.
        Verify: the same.
        """
        for listen in (f"tcp:127.0.0.1:{free_port()}", f"tcp:[::1]:{free_port('127.0.0.1')}", None):
            c = self.own("echo", "replace,replace=original=ORIGINAL", listen=listen)
            p = self.processor(self.REPLACE, c.address)
            verify(p.adapt(PAGE).forwarded() == HEAD + b"the ORIGINAL", f"{c.address}")

    @func_test
    def wire_2_limits(self) -> None:
        """
        Steps: a message at each limit of the format, and one past it.
        Verify: the first is taken (ignored, being unknown), the second is malformed.
        """
        deep = lambda n: b"x " + b"(" * n + b")" * n + b";\r\n"  # noqa: E731
        cases = {
            "name": lambda n: b"x" * (n + 64) + b";\r\n",
            "parameter name": lambda n: b"x\r\n" + b"y" * (n + 64) + b": 1\r\n;\r\n",
            "bare value": lambda n: b"x " + b"1" * (n + 65536) + b";\r\n",
            "quoted value": lambda n: b'x "%d:' % (n + 65536) + b"\xff" * (n + 65536) + b'";\r\n',
            "nesting": lambda n: deep(n + 8),
            "nested structures": lambda n: b"x " + b"{" * (n + 8) + b"}" * (n + 8) + b";\r\n",
            "list items": lambda n: b"x (" + b",".join([b"1"] * (n + 256)) + b");\r\n",
            "anonymous values": lambda n: b"x" + b" 1" * (n + 256) + b";\r\n",
            "structure's values": lambda n: b"x {" + b" ".join([b"1"] * (n + 256)) + b"};\r\n",
            "named parameters": lambda n: b"x\r\n" + b"\r\n".join(b"n%d: 1" % i for i in range(n + 32)) + b"\r\n;\r\n",
            "structure's members": lambda n: b"x {\r\n" + b"\r\n".join(b"n%d: 1" % i for i in range(n + 32)) + b"\r\n};\r\n",
            "payload": lambda n: b"x\r\n%d:" % (n + (1 << 20)) + b"\x00" * (n + (1 << 20)) + b"\r\n;\r\n",
        }
        for what, make in cases.items():
            p = self.processor(self.ECHO)
            p.raw(make(0))
            verify(p.ping(), f"{what}: at the limit")
            p.raw(make(1))
            p.wait_closed()
            ends = [m for m in p.received if m.name == "connection-end"]
            verify((ends and ends[0].get("error")) or "reset" in p.closed_why, f"{what}: past the limit\n{p.transcript.tail()}")

    @func_test
    def wire_2_any_cutting(self) -> None:
        """
        Steps: a conversation in writes of one octet, of two, of random sizes, and in one write.
        Verify: the same comes back each time.
        """
        rng = random.Random(4)
        seen = set()
        for cut in ([1], [2], [rng.randint(1, 9) for _ in range(4000)], [1 << 20]):
            p = self.processor(self.REPLACE, start=False)
            p.cut = cut
            p.open(self.REPLACE, named={"client": b"cutter"})
            x = p.xaction().start(RESPONSE_META)
            for part, octets in PAGE:
                x.data(octets, part)
            x.finish().wait_end()
            seen.add((x.forwarded(), x.ok))
        verify(seen == {(HEAD + b"the ORIGINAL", True)}, f"{seen}")

    @func_test
    def wire_6_connection_start_repeated(self) -> None:
        """
        Steps: connection-start again, with other parameters, in the middle of a transaction.
        Verify: ignored: default service and transaction stand.
        """
        p = self.processor(self.ECHO, named={"priority": 3})
        x = p.xaction().start(STREAM_META).data(b"hel")
        p.send("connection-start", named={"client": b"another"})
        x.data(b"lo").finish().wait_end()
        verify(x.forwarded() == b"hello", "the transaction")
        verify(p.adapt(b"x", meta=STREAM_META).ok, "the default service")

    @func_test
    def wire_6_xid_not_larger(self) -> None:
        """
        Steps: xaction-start with an xid that is open, that was used, and a smaller one that never was.
        Verify: xaction-end with error for it each time; larger ones go on.
        """
        p = self.processor(self.ECHO)
        p.adapt(b"x", meta=STREAM_META)
        p.xaction(xid=10).start(STREAM_META).data(b"hello").finish().wait_end()
        for xid in (1, 5, 10):
            p.send("xaction-start", xid)
            verify(failed(self._next_end(p, xid)), f"xid {xid}")
        x = p.xaction(xid=2147483647)
        verify(x.start(STREAM_META).data(b"hello").finish().wait_end().ok, "the largest xid")

    @func_test
    def wire_6_gap_and_overlap(self) -> None:
        """
        Steps: data-have that leaves a gap, that overlaps, and one that repeats the one before.
        Verify: app-message-end with error for the original; the adapted message does not end well; other transactions go on.
        """
        for offset in (6, 4, 0):
            p = self.processor(self.ECHO)
            y = p.xaction().start(STREAM_META)
            x = p.xaction().start(STREAM_META).data(b"hello")
            p.send("data-have", x.xid, 1, offset, payload=b"wrong")
            verify(p.expect("app-message-end", xid=x.xid, am_id=1).get("error"), "says error")
            x.end()
            p.ping()
            verify(not x.ok and b"wrong" not in x.forwarded(), f"offset {offset}: {x.forwarded()!r}")
            verify(y.data(b"hello").finish().wait_end().ok, "the other transaction")

    @func_test
    def wire_6_data_for_the_servers_own_message(self) -> None:
        """
        Steps: data-have, data-end and app-message-start for the am-id of the server's own message.
        Verify: ignored.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META).data(b"hel")
        p.ping()
        p.send("data-have", x.xid, 2, 3, payload=b"wrong")
        p.send("data-end", x.xid, 2)
        x.data(b"lo").finish().wait_end()
        verify(x.ok and x.forwarded() == b"hello", f"{x.forwarded()!r}")

    @func_test
    def wire_6_refused_adapted_message(self) -> None:
        """
        Steps: the processor refuses the server's app-message-start, at once and after some octets.
        Verify: no more data for it comes once a query is answered; the transaction can be ended; the connection goes on.
        """
        for named in ({"error": True}, None):
            p = self.processor(self.ECHO)
            x = p.xaction().start(STREAM_META).data(b"hel")
            p.expect("app-message-start", xid=x.xid)
            p.send("app-message-end", x.xid, 2, named=named)
            p.ping()
            before = len(x.first.octets)
            x.data(b"lo")
            p.ping()
            verify(len(x.first.octets) == before, "more data after the refusal")
            x.end()
            verify("xid" not in p.ping(x.xid), "the transaction is over")

    @func_test
    def wire_6_leave_loop(self) -> None:
        """
        Steps: leave-loop agreed in either direction; not agreed; agreed but the octets are not kept.
        Verify: agreed and kept: data-as-is up to the last octet, data-end with 206, and what follows is not asked for. Otherwise
                the server stays in the loop.
        """
        for asks in ("server", "processor", "nobody"):
            p = self.processor(self.LEAVE, features=[LEAVE_LOOP] if asks == "server" else [])
            if asks == "processor":
                p.send("please-use", feature(LEAVE_LOOP))
                p.expect("i-will-use")
            p.adapt(b"first", meta=STREAM_META)
            p.ping()
            x = p.xaction().start(STREAM_META).data(b"hello")
            p.ping()
            verify((x.left_at is not None) == (asks != "nobody"), f"{asks} asks: left at {x.left_at}")
            x.data(b"rest" * 1000).finish().wait_end()
            verify(x.ok and x.forwarded() == b"hello" + b"rest" * 1000, f"{asks} asks: the octets")
            if asks == "nobody":
                continue
            y = p.xaction().start(STREAM_META).data(b"not kept", keep=False)
            p.ping()
            verify(y.left_at is None, "left with octets that are not kept")
            y.data(b"kept")
            p.ping()
            verify(y.left_at == 12, f"did not leave when it could ({y.left_at})")
            y.data(b"more").wait_end()
            verify(y.forwarded() == b"not keptkeptmore", f"{y.forwarded()!r}")

    @func_test
    def wire_6_leave_loop_with_data_under_way(self) -> None:
        """
        Steps: many chunks in one write, kept and not, to a service that leaves.
        Verify: the rest begins exactly after the last data-as-is, whatever was under way.
        """
        rng = random.Random(9)
        for _ in range(30):
            p = self.processor(self.LEAVE)
            p.adapt(b"first", meta=STREAM_META)
            p.ping()
            x = p.xaction().start(STREAM_META)
            data = os.urandom(rng.randint(1, 30000))
            x.original += data
            p.cut = [rng.randint(1, 20000)]
            while x.sent < len(data):
                n = min(rng.randint(1, 5000), len(data) - x.sent)
                x._chunk(data[x.sent:x.sent + n], None, rng.random() < 0.7, None)
            x.finish().wait_end()
            verify(x.ok and x.forwarded() == data, f"{len(x.forwarded())} of {len(data)} octets, left at {x.left_at}")

    @func_test
    def wire_6_liveness(self) -> None:
        """
        Steps: a processor that answers no queries, beside one that does.
        Verify: the first is given up after the probe's time, the second stays.
        """
        dead, alive = self.processor(self.ECHO), self.processor(self.ECHO)
        dead.auto.discard("pong")
        x = alive.xaction().start(STREAM_META)
        wait_for("the silent one is given up", lambda: dead.pump(0.05) or alive.pump(0.05) or dead.closed, 60, 0)
        verify(any(m.name == "are-you-there" for m in dead.received), "given up without being asked")
        verify(not alive.closed and x.data(b"hello").finish().wait_end().ok, "the other one")
        alive.end()
        dead.close()

    @func_test
    def wire_6_features(self) -> None:
        """
        Steps: do-you-support and please-use of every feature of the project and of unknown ones, with parameters.
        Verify: exactly one answer each, of the same feature, in order; what is supported can be used; unknown ones are refused.
        """
        p = self.processor(self.ECHO)
        for uri in (COPIED, AS_IS, LEAVE_LOOP, "urn:opes:feature:ack-all", HTTP_REQUEST, HTTP_RESPONSE, "urn:x:unknown", "x"):
            f = Struct([quoted(uri), "more"], {"Name": [1]})
            p.send("do-you-support", f)
            support = next(m for m in [self._one(p, "i-do-support", "i-dont-support")])
            p.send("please-use", f)
            use = self._one(p, "i-will-use", "i-wont-use")
            verify(support["feature"].uri == use["feature"].uri == uri, f"{support} {use}")
            verify((support.name == "i-do-support") == (use.name == "i-will-use"), f"{support} {use}")
            if uri.startswith("urn:opes"):
                verify(use.name == "i-will-use", f"{uri} is the project's own")
            if uri in ("urn:x:unknown", "x"):
                verify(use.name == "i-wont-use", f"{uri} is unknown")

    @func_test
    def wire_6_several_connections_one_dead(self) -> None:
        """
        Steps: a processor that reads nothing while the server has megabytes for it; another that works.
        Verify: the other one is served meanwhile; the server's memory stays within bounds.
        """
        stuck, fine = self.processor(self.ECHO), self.processor(self.ECHO)
        before = self.callout.rss()
        x = stuck.xaction().start(STREAM_META)
        x.original += b"x" * (64 << 20)
        sent = 0
        while not stuck.pending and sent < 64 << 20:
            stuck.send("data-have", x.xid, 1, sent, payload=b"x" * 65536)
            sent += 65536
        for _ in range(50):
            verify(fine.adapt(b"y" * 20000, meta=STREAM_META).ok, "the other one")
        verify(stuck.pending, "the server goes on reading from one that takes nothing")
        verify(self.callout.rss() - before < 32 << 20, f"{(self.callout.rss() - before) >> 20} MiB more")

    @func_test
    def random_messages(self) -> None:
        """
        Steps: ten connections of three hundred random messages: starts, data and ends with identifiers and offsets that are right,
               that have ended, that never were, that leave gaps.
        Verify: each is answered with exactly what the rules say (opes_api.ocp.model), nothing else comes.
        """
        for seed in range(10):
            self.one_by_one(random.Random(seed), 300)

    @func_test
    def random_conversations(self) -> None:
        """
        Steps: twelve connections of forty transactions each: random services, lengths, cuttings, commitments, mixed.
        Verify: each transaction comes back right; no message breaks a rule.
        """
        for seed in range(12):
            p = self.processor()
            p.ping()
            self.conversations(p, random.Random(seed), 40)

    @func_test
    def ends_clean(self) -> None:
        """
        Steps: SIGTERM after all this.
        Verify: exit code 0.
        """
        self.ended_clean()

    # --- help ---------------------------------------------------------------------------------

    def _next_end(self, p: Processor, xid: int) -> object:
        """The next xaction-end for xid that has not been read."""
        for m in list(p.inbox):
            if m.name == "xaction-end" and m["xid"] == xid and not failed(m):
                p.inbox.remove(m)
        p.check = False
        return p.expect("xaction-end", xid=xid)

    def _one(self, p: Processor, *names: str) -> object:
        """The next message of these names."""
        p.wait("an answer", lambda: [m for m in p.inbox if m.name in names])
        m = next(m for m in p.inbox if m.name in names)
        p.inbox.remove(m)
        return m
