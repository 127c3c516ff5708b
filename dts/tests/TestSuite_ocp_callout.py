# SPDX-License-Identifier: BSD-3-Clause
"""opes-callout in the draft dialect, rule by rule: the capitalised statements that bind the callout server (requirements
A.1), seen by a processor that shares no code with it and checks every message that comes (opes_api.ocp.rules).

The row_N cases are the rows of A.1; what the rules of A.2 and of ocp-wire add is in the suite ocp_callout_wire.
"""

from __future__ import annotations

import re
import signal
import time

from opes_api.callout import CalloutSuite
from opes_api.lab import wait_for
from opes_api.ocp import ACK_ALL, Processor, Struct, failed, feature, quoted, result
from opes_api.ocp.processor import RESPONSE_META, STREAM_META
from opes_api.suite import func_test, verify

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
PAGE = [("response-header", HEAD), ("response-body", b"the original")]


class TestOcpCallout(CalloutSuite):
    """See the module's text."""

    # --- connection ---------------------------------------------------------------------------

    @func_test
    def row_2_client_informs_only(self) -> None:
        """
        Steps: connections with no client, an empty one, one of any octets, and a repeated service from each.
        Verify: all get the same answers; the log shows the description without its control octets.
        """
        answers = set()
        for client in (None, b"", b"edge\x00\x07\xff\r\n1", b"x" * 4000):
            p = self.processor(self.ECHO, named=None if client is None else {"client": client})
            x = p.adapt(b"hello", meta=STREAM_META)
            answers.add((x.forwarded(), x.ok))
            p.end()
        verify(answers == {(b"hello", True)}, f"answers depend on client: {answers}")
        verify(all(c >= " " or c == "\n" for c in self.callout.log()), "control octets in the log")

    @func_test
    def row_3_4_5_priorities_not_inverted(self) -> None:
        """
        Steps: while the server is stopped, fill a connection of priority -5, one without priority and one of 7 with the same
               work, in that order; let it run.
        Verify: the higher ones are not finished later than the lower ones, and the lowest is finished too. The same when the
                priority is said by connection-priority afterwards.
        """
        for later in (False, True):
            low, mid, high = [self.processor(self.ECHO, named={"priority": n} if n and not later else None)
                              for n in (-5, 0, 7)]
            if later:
                low.send("connection-priority", -5)
                high.send("connection-priority", 7)
            for p in (low, mid, high):
                p.ping()
            self.callout.signal(signal.SIGSTOP)
            try:
                for p in (low, mid, high):
                    for _ in range(20):
                        p.xaction().start(STREAM_META)
                        x = p.xactions[max(p.xactions)]
                        x._chunk(b"x" * 2000, None, False, None)
                        x.finish()
                        p.flush()
                    verify(not p.pending, "the work fits into the socket")
            finally:
                self.callout.signal(signal.SIGCONT)
            order: list[str] = []
            names = {id(low): "low", id(mid): "mid", id(high): "high"}

            def poll() -> bool:
                for p in (high, mid, low):
                    p.pump()
                    if all(x.ended for x in p.xactions.values()) and names[id(p)] not in order:
                        order.append(names[id(p)])
                return len(order) == 3
            wait_for("all work is done", poll, step=0)
            verify(order.index("low") == 2, f"the lowest priority was finished before a higher one: {order}")

    @func_test
    def row_6_size_equals_the_data(self) -> None:
        """
        Steps: data-have whose size parameter is the payload's size; then one where it differs.
        Verify: the first is taken, the second is malformed: connection-end with error, closed.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META)
        p.send("data-have", 1, 1, 0, named={"size": 5}, payload=b"hello")
        p.send("data-have", 1, 1, 5, named={"size": 0}, payload=b"")
        p.ping()
        wait_for("the octets are back", lambda: p.pump(0.05) or x.adapted and bytes(x.first.octets) == b"hello")
        p.send("data-have", 1, 1, 5, named={"size": 4}, payload=b"again")
        self._ended_with_error(p)

    @func_test
    def row_7_error_flag_drops_state(self) -> None:
        """
        Steps: data-end, app-message-end and xaction-end with the error flag, and with a failing result, in the middle of a
               message.
        Verify: the adapted message does not end well, and the transaction is no longer kept.
        """
        for name, ids in (("data-end", (1,)), ("app-message-end", (1,)), ("xaction-end", ())):
            for named in ({"error": True}, {"result": result(400, "no more")}, {"result": result(499)}):
                p = self.processor(self.ECHO)
                x = p.xaction().start(STREAM_META).data(b"hello")
                p.ping()
                p.send(name, x.xid, *ids, named=named)
                p.ping()
                verify(not x.ok or name == "xaction-end", f"{name} {named}: the adapted message ended well")
                if name != "xaction-end":
                    x.end()
                verify("xid" not in p.ping(xid=x.xid), f"{name} {named}: the transaction is still kept")
                p.end()
        self._nothing_open()

    # --- format -------------------------------------------------------------------------------

    @func_test
    def row_9_every_message_is_parsed(self) -> None:
        """
        Steps: every message that a processor may send, with all its optional parameters, values bare and quoted, flags in both
               spellings, parameters in any order.
        Verify: no connection-end; the transaction's octets come back.
        """
        p = self.processor(start=False)
        p.send("connection-start", named={"priority": quoted("-3"), "client": b"a b"})
        p.send("connection-priority", quoted("4"))
        p.send("connection-service", Struct([quoted(self.ECHO), "more", [1, [2]]], {"Even": Struct(), "Name": "d"}))
        p.send("xaction-start", quoted("1"), named={"service": feature(self.ECHO)})
        x = p.adopt(1)
        p.send("app-message-start", 1, quoted("1"), RESPONSE_META, named={"modp": 0, "sizep": (1 << 63) - 1})
        p.send("data-have", 1, 1, 0, named={"modp": 100, "ack": 1, "sizep": 5, "copied": 1, "am-part": "response-header"},
               payload=HEAD)
        p.send("data-have", 1, 1, len(HEAD), named=[("please-ack", True), ("copied", False), ("am-part", quoted("response-body"))],
               payload=b"hello")
        p.send("data-ack", 1, 2, 0, 5)
        p.send("i-am-here")
        p.send("i-am-here", named={"xid": 1, "am-id": 1})
        p.send("are-you-there", 0, named={"am-id": 1, "xid": 1})
        p.send("do-you-support", feature("urn:x:f", "more", Name=["x"]))
        p.send("please-use", feature("urn:x:f"))
        for n in ("i-do-support", "i-dont-support", "i-will-use", "i-wont-use"):
            p.send(n, feature("urn:x:f"))
        p.send("data-paused", 1, 1)
        p.send("data-end", 1, 1, named={"result": Struct([quoted("200"), b"fine"]), "error": False})
        x.wait_end()
        verify(x.forwarded() == HEAD + b"hello", "the octets")
        p.send("app-message-end", 1, 1, named={"result": result(200), "error": 0})
        p.send("xaction-end", 1, named={"error": 0})
        p.ping()
        p.send("connection-end", named={"result": result(200)})
        p.wait_closed()

    @func_test
    def row_10_malformed_ends_the_connection(self) -> None:
        """
        Steps: octets that break the grammar, known messages without a required parameter, with a parameter of the wrong type or
               range, each on a connection with an open transaction.
        Verify: connection-end with the error flag, closed, and the log names what was wrong.
        """
        bad = [b"xaction-start  2;\r\n", b"xaction-start 2 ;\r\n", b"xaction-start 2;\n", b"xaction-start\t2;\r\n", b";\r\n",
               b"xaction-start 02;\r\n", b"xaction-start -2;\r\n", b"xaction-start +2;\r\n", b"xaction-start;\r\n",
               b"xaction-start 2147483648;\r\n", b"xaction-start {2};\r\n", b"xaction-start 2\r\nservice: x\r\n;\r\n",
               b"xaction-start 2\r\nservice: {}\r\n;\r\n", b"connection-service ({\"1:a\"});\r\n",
               b"app-message-start 1 3;\r\n", b"data-have 1 1 0;\r\n", b"data-have 1 1\r\n5:hello\r\n;\r\n",
               b"data-have 1 1 0\r\ncopied: yes\r\n\r\n1:x\r\n;\r\n", b"data-have 1 1 0\r\ncopied: true\r\ncopied: true\r\n\r\n1:x\r\n;\r\n",
               b"data-have 1 1 0\r\nam-part: body\r\n\r\n1:x\r\n;\r\n", b"data-have 1 1 0\r\nmodp: 101\r\n\r\n1:x\r\n;\r\n",
               b"data-have 1 1 0\r\n05:hello\r\n;\r\n", b"data-have 1 1 0\r\n4:hello\r\n;\r\n", b"data-have 1 1 0\r\n6:hello\r\n;\r\n",
               b"data-have 1 1 0\r\n2147483648:x", b"data-have 1 1 9223372036854775808\r\n1:x\r\n;\r\n",
               b'are-you-there;\r\n', b'do-you-support "1:a";\r\n', b'do-you-support {"2:a"};\r\n', b"are-you-there 1",
               b"xaction-end 1\r\nresult: 400\r\n;\r\n", b"xaction-end 1\r\nresult: {x}\r\n;\r\n", b"connection-priority;\r\n",
               b"connection-priority 2147483648;\r\n", b"connection-end\r\nerror: maybe\r\n;\r\n"]
        for octets in bad:
            p = self.processor(self.ECHO)
            p.xaction().start(STREAM_META)
            p.ping()
            p.raw(octets)
            if octets == b"are-you-there 1":
                p.raw(b"\x00")
            self._ended_with_error(p, octets)

    @func_test
    def row_11_unknown_is_ignored(self) -> None:
        """
        Steps: unknown messages (with any kind of parameter and payload), unknown named and surplus anonymous parameters, unknown
               members of structures, a payload where none belongs.
        Verify: nothing comes back for them, and what they are part of works.
        """
        p = self.processor(self.ECHO)
        p.send("x-unknown")
        p.send("x-unknown", 1, [Struct([1], {"A": [2]})], named={"B": b"\x00"}, payload=b"xaction-end 1;\r\n")
        p.send("Xaction-Start", 1)
        p.send("CS")
        p.send("DUM", 1, 0, payload=b"x")
        p.send("xaction-start", 1, "surplus", named={"unknown": [1, 2], "Service": 5})
        x = p.adopt(1)
        p.send("app-message-start", 1, 1, STREAM_META, "surplus", [], named={"x": Struct()}, payload=b"unexpected")
        p.send("data-have", 1, 1, 0, b"surplus", named={"Copied": True, "x": b""}, payload=b"hello")
        p.send("are-you-there", 77, 88, payload=b"")
        p.expect("i-am-here", rid=77)
        p.send("data-end", 1, 1, 5, named={"x": 1})
        x.wait_end()
        verify(x.ok and x.forwarded() == b"hello", "the octets")
        verify(x.first.referenced == 0, "Copied is not copied")

    # --- identifiers --------------------------------------------------------------------------

    @func_test
    def row_13_identifiers_are_known(self) -> None:
        """
        Steps: forty transactions of all services on one connection, interleaved, octets in small pieces.
        Verify: all come back right, and no message used an identifier that was not introduced or had been ended.
        """
        p = self.processor()
        services = [self.ECHO, self.AS_IS, self.LEAVE, self.REPLACE, self.BLOCK, self.HOLD]
        want = b"the original words and more " * 20
        xs = [p.xaction(services[i % 6]).start(STREAM_META) for i in range(42)]
        for at in range(0, len(want), 100):
            for i, x in enumerate(xs):
                x.data(want[at:at + 100], keep=i % 4 != 0)
        for i, x in enumerate(xs):
            x.finish().wait_end()
            expected = want.replace(b"original", b"ORIGINAL") if services[i % 6] == self.REPLACE else want
            verify(x.ok and x.forwarded() == expected, f"transaction {x.xid} of {services[i % 6]}\n{p.transcript.tail()}")

    @func_test
    def row_14_unknown_identifiers_are_ignored(self) -> None:
        """
        Steps: every message that carries identifiers, with an xid that was never introduced, one that was ended, and an am-id that
               was never introduced.
        Verify: nothing comes back, and an open transaction is not touched.
        """
        p = self.processor(self.ECHO)
        p.adapt(b"ended", meta=STREAM_META)
        x = p.xaction().start(STREAM_META)
        p.ping()
        before = len(p.received)
        for xid, am in ((99, 1), (1, 1), (x.xid, 7), (x.xid, 8)):
            if xid != x.xid:
                p.send("app-message-start", xid, am, STREAM_META)
                p.send("xaction-end", xid)
            p.send("data-have", xid, am, 0, named={"ack": True, "copied": True}, payload=b"wrong")
            p.send("data-ack", xid, am, 0, 5)
            p.send("data-paused", xid, am)
            p.send("data-end", xid, am)
            p.send("app-message-end", xid, am, named={"error": True})
            p.send("i-am-here", named={"xid": xid, "am-id": am})
        p.ping()
        verify(len(p.received) == before + 1, f"something came back:\n{p.transcript.tail()}")
        x.data(b"right").finish().wait_end()
        verify(x.forwarded() == b"right", "the open transaction")

    # --- connection bracket -------------------------------------------------------------------

    @func_test
    def row_16_24_26_28_52_only_the_processor_sends(self) -> None:
        """
        Steps: conversations with every service.
        Verify: the server never sends connection-start, connection-priority, connection-service, xaction-start or data-paused.
        """
        for service in (self.ECHO, self.AS_IS, self.LEAVE, self.REPLACE, self.BLOCK, self.HOLD):
            p = self.processor(service)
            p.ping()
            p.adapt(PAGE)
            p.adapt(b"octets" * 9000, meta=STREAM_META)
            p.ping()
            wrong = {m.name for m in p.received} & {"connection-start", "connection-priority", "connection-service",
                                                    "xaction-start", "data-paused"}
            verify(not wrong, f"{service}: {wrong}")

    @func_test
    def row_17_connection_kept_or_refused(self) -> None:
        """
        Steps: a server that takes one connection; a second one; the first is ended; a third one.
        Verify: the second gets connection-end that says failure, and is closed; the first and the third are served.
        """
        c = self.own("echo", extra=("--max-connections", "1"))
        first = self.processor(self.ECHO, c.address)
        first.ping()
        second = self.processor(self.ECHO, c.address)
        verify(failed(second.expect("connection-end")), "the refusal says failure")
        second.wait_closed()
        verify(first.adapt(b"hello", meta=STREAM_META).ok, "the first connection")
        first.end()
        wait_for("the first is gone", lambda: re.search(r"connections \d+ open 0 ", c.stats()), 20)
        third = self.processor(self.ECHO, c.address)
        verify(third.adapt(b"hello", meta=STREAM_META).ok, "the third connection")

    @func_test
    def row_18_connection_state_is_kept(self) -> None:
        """
        Steps: a default service, priority and open transactions; silence; other connections come and go.
        Verify: everything still stands.
        """
        p = self.processor(self.REPLACE)
        x = p.xaction().start(STREAM_META).data(b"the orig")
        for _ in range(5):
            q = self.processor(self.ECHO)
            q.adapt(b"x", meta=STREAM_META)
            q.end()
        time.sleep(0.3)
        x.data(b"inal").finish().wait_end()
        verify(x.forwarded() == b"the ORIGINAL", "the open transaction")
        verify(p.adapt(b"original", meta=STREAM_META).forwarded() == b"ORIGINAL", "the default service")

    @func_test
    def row_20_21_outside_the_bracket_closes(self) -> None:
        """
        Steps: messages before connection-start; messages after connection-end.
        Verify: not a message comes back, and the transport is closed.
        """
        for octets in (b"xaction-start 1\r\nservice: {\"21:urn:opes:service:echo\"}\r\n;\r\n", b"are-you-there 1;\r\n",
                       b"x-unknown;\r\n", b"connection-end;\r\n"):
            p = self.processor(start=False)
            p.raw(octets)
            p.wait_closed()
            verify(not p.received, f"{octets!r}: {p.transcript.tail()}")
        p = self.processor(self.ECHO)
        p.ping()
        before = len(p.received)
        p.raw(b"connection-end;\r\nare-you-there 5;\r\nconnection-start;\r\nare-you-there 6;\r\n")
        p.wait_closed()
        verify(len(p.received) == before, p.transcript.tail())

    @func_test
    def row_22_connections_are_told_apart(self) -> None:
        """
        Steps: the same xid and am-id on three connections with different services, interleaved.
        Verify: each gets its own.
        """
        ps = [self.processor(s) for s in (self.ECHO, self.REPLACE, self.HOLD)]
        xs = [p.xaction(xid=5).start(STREAM_META) for p in ps]
        for n, x in enumerate(xs):
            x.data(b"original%d" % n)
        ps[0].send("xaction-end", 5)
        for x in xs[1:]:
            x.finish().wait_end()
        verify([x.forwarded() for x in xs[1:]] == [b"ORIGINAL1", b"original2"], "each its own")

    @func_test
    def row_23_connection_end_frees(self) -> None:
        """
        Steps: fifty connections with four open transactions each, half of them in the middle of a message; connection-end on some,
               connection-end with error on others, and closed without one.
        Verify: all are closed by the server, no transaction is left open, a later connection uses the same ids anew.
        """
        for n in range(50):
            p = self.processor(self.HOLD)
            for _ in range(4):
                p.xaction().start(STREAM_META).data(b"held " * 500, keep=False)
            if n % 3 == 2:
                p.close()
            else:
                p.send("connection-end", named={"error": True} if n % 3 else None)
                p.wait_closed()
        self._nothing_open()
        verify(self.processor(self.ECHO).adapt(b"x", meta=STREAM_META).ok, "xid 1 of a new connection")

    # --- transactions -------------------------------------------------------------------------

    @func_test
    def row_29_xaction_refused(self) -> None:
        """
        Steps: a transaction with a service that the server does not have; one more than --max-transactions.
        Verify: xaction-end that says failure, for that one only.
        """
        p = self.processor()
        x = p.xaction("urn:x:not-there")
        x.start(STREAM_META).data(b"hello").finish().wait_end()
        verify(failed(x.ended) and not x.adapted, f"not refused: {x.ended}")
        verify(p.adapt(b"hello", self.ECHO, meta=STREAM_META).ok, "the next one")
        c = self.own("echo", extra=("--max-transactions", "2"))
        q = self.processor(self.ECHO, c.address)
        open_ones = [q.xaction().start(STREAM_META) for _ in range(2)]
        third = q.xaction().start(STREAM_META).wait_end()
        verify(failed(third.ended), f"not refused: {third.ended}")
        for x in open_ones:
            verify(x.data(b"hello").finish().wait_end().ok, "an open one")
        verify(q.adapt(b"hello", meta=STREAM_META).ok, "one after the others have ended")
        d = self.own("echo,refuse=transactions", "as-is")
        r = self.processor(self.AS_IS, d.address)
        y = r.xaction(self.ECHO).start(STREAM_META).wait_end()
        verify(failed(y.ended), f"the service refuses: {y.ended}")
        verify(r.adapt(b"hello", meta=STREAM_META).ok, "another service")

    @func_test
    def row_30_xaction_state_is_kept(self) -> None:
        """
        Steps: a transaction without message, one with a started message, one in the middle; other transactions pass by.
        Verify: all three are named by the server when asked, then go on.
        """
        p = self.processor(self.ECHO)
        a, b, c = p.xaction(), p.xaction(), p.xaction()
        b.start(STREAM_META)
        c.start(STREAM_META).data(b"hel")
        for _ in range(20):
            p.adapt(b"x", meta=STREAM_META)
        for x in (a, b, c):
            verify(p.ping(xid=x.xid).get("xid") == x.xid, f"transaction {x.xid} is kept")
        a.start(STREAM_META)
        for x in (a, b):
            x.data(b"hel")
        for x in (a, b, c):
            verify(x.data(b"lo").finish().wait_end().forwarded() == b"hello", f"transaction {x.xid}")

    @func_test
    def row_31_32_33_default_service(self) -> None:
        """
        Steps: transactions with a service of their own beside the connection's; without one; after a second connection-service;
               without either.
        Verify: the own one wins, then the connection's latest, and without either the transaction is ended with a failure.
        """
        p = self.processor()
        x = p.xaction()
        p.inbox.clear()
        x.wait_end()
        verify(failed(x.ended), f"neither service given: {x.ended}")
        p.send("connection-service", feature(self.REPLACE))
        verify(p.adapt(b"original", meta=STREAM_META).forwarded() == b"ORIGINAL", "the connection's")
        verify(p.adapt(b"original", self.ECHO, meta=STREAM_META).forwarded() == b"original", "its own")
        p.send("connection-service", feature(self.ECHO))
        verify(p.adapt(b"original", meta=STREAM_META).forwarded() == b"original", "the connection's latest")

    @func_test
    def row_34_xaction_end_frees(self) -> None:
        """
        Steps: xaction-end before a message, after its start, in the middle and with data under way.
        Verify: nothing more comes for it once a query is answered, the query does not name it, nothing is left open.
        """
        p = self.processor(self.HOLD)
        for steps in range(4):
            x = p.xaction()
            if steps > 0:
                x.start(STREAM_META)
            if steps > 1:
                x.data(b"held" * 1000)
            x.end()
            if steps > 2:
                p.send("data-have", x.xid, 1, x.sent, payload=b"late")
            verify("xid" not in p.ping(xid=x.xid), f"step {steps}: still named")
            before = len(p.received)
            p.ping()
            verify(len(p.received) == before + 1, f"step {steps}: something more came\n{p.transcript.tail()}")
        self._nothing_open()

    # --- application messages -----------------------------------------------------------------

    @func_test
    def row_35_message_processed_or_refused(self) -> None:
        """
        Steps: a message; a second original in the same transaction; one with an even am-id; the same am-id again; a service that refuses
               messages.
        Verify: the first is processed, the others get app-message-end that says failure for their am-id, the first goes on;
                in the last case only the connection needs to.
        """
        for wrong in (3, 8, 1):
            p = self.processor(self.ECHO)
            x = p.xaction().start(STREAM_META).data(b"hel")
            p.ping()
            p.send("app-message-start", x.xid, wrong, STREAM_META)
            if wrong == 1:
                p.ping()
                verify(p.adapt(b"hello", meta=STREAM_META).ok, "the connection goes on")
                continue
            verify(failed(p.expect("app-message-end", xid=x.xid, am_id=wrong)), "says failure")
            x.data(b"lo").finish().wait_end()
            verify(x.forwarded() == b"hello", f"the first message\n{p.transcript.tail()}")
        c = self.own("echo,refuse=messages")
        q = self.processor(self.ECHO, c.address)
        y = q.xaction().start(STREAM_META).data(b"x")
        verify(failed(q.expect("app-message-end", xid=y.xid, am_id=1)), "the service refuses the message")
        q.ping()

    @func_test
    def row_36_message_state_is_kept(self) -> None:
        """
        Steps: messages in the middle; a while; queries with xid and am-id.
        Verify: both are named until the end, not after it.
        """
        p = self.processor(self.ECHO)
        xs = [p.xaction().start(STREAM_META).data(b"hel") for _ in range(10)]
        time.sleep(0.2)
        for x in xs:
            m = p.ping(x.xid, 1)
            verify((m.get("xid"), m.get("am-id")) == (x.xid, 1), f"{m}")
        for x in xs:
            x.data(b"lo").finish().wait_end()
            verify("xid" not in p.ping(x.xid, 1), "named after its end")

    @func_test
    def row_37_message_end_frees(self) -> None:
        """
        Steps: app-message-end for the original, well and with error; then more data for it.
        Verify: the original's am-id is no longer named, and the late data changes nothing.
        """
        for error in (False, True):
            p = self.processor(self.ECHO)
            x = p.xaction().start(STREAM_META).data(b"hello")
            p.send("app-message-end", x.xid, 1, named={"error": True} if error else None)
            p.send("data-have", x.xid, 1, 5, named={"ack": True}, payload=b"late")
            verify("am-id" not in p.ping(x.xid, 1), "still named")
            verify(p.none_came("data-ack", offset=5), f"late data was acknowledged\n{p.transcript.tail()}")
            verify(x.forwarded() == b"hello", f"{x.forwarded()!r}")
            verify(bool(x.ended and x.ok) != error or error and not x.ended, f"error {error}: {x.ended}")

    # --- data ---------------------------------------------------------------------------------

    @func_test
    def row_38_no_gaps_from_the_server(self) -> None:
        """
        Steps: messages that come back partly by reference and partly as octets, kept in stripes.
        Verify: every data-have and data-as-is begins where the one before ended.
        """
        for service in (self.AS_IS, self.REPLACE, self.BLOCK, self.HOLD):
            p = self.processor(service)
            x = p.xaction().start(STREAM_META)
            want = b""
            for n in range(60):
                piece = b"piece %d of the original " % n * (n + 1)
                want += piece
                x.data(piece, keep=bool(n % 3), chunk=700)
            x.finish().wait_end()
            if service == self.REPLACE:
                want = want.replace(b"original", b"ORIGINAL")
            verify(x.ok and x.forwarded() == want, f"{service}: the octets")
            verify(service == self.REPLACE or 0 < x.first.referenced < len(want), f"{service}: both ways are used ({x.first.referenced})")

    @func_test
    def row_40_59_ack_is_answered(self) -> None:
        """
        Steps: data-have with ack, with its other spelling please-ack, with ack: false, and an empty one with ack.
        Verify: a data-ack of the same offset and size for those that ask.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META)
        x.data(b"one", named={"ack": True}).data(b"two", named={"please-ack": True}).data(b"three", named={"ack": False})
        p.send("data-have", x.xid, 1, 11, named={"ack": 1}, payload=b"")
        for at, size in ((0, 3), (3, 3), (11, 0)):
            p.expect("data-ack", xid=x.xid, am_id=1, offset=at, size=size)
        x.finish().wait_end()
        verify(x.forwarded() == b"onetwothree", "the octets")

    @func_test
    def row_41_42_references_to_kept_octets_only(self) -> None:
        """
        Steps: two transactions at a time, each keeping other stripes of its octets (none, all, every second piece).
        Verify: each data-as-is lies in what its own transaction keeps (checked for each message), the octets are right.
        """
        for service in (self.AS_IS, self.LEAVE, self.HOLD):
            p = self.processor(service)
            p.ping()
            a, b = p.xaction().start(STREAM_META), p.xaction().start(STREAM_META)
            for n in range(40):
                a.data(b"%04d" % n * 100, keep=n % 2 == 0)
                b.data(b"%04d" % -n * 150, keep=n % 2 == 1)
            for x in (a, b):
                x.finish().wait_end()
                verify(x.ok and x.forwarded() == bytes(x.original), f"{service}: the octets of {x.xid}")

    @func_test
    def row_48_58_pause_and_need_from_the_processor_are_ignored(self) -> None:
        """
        Steps: data-pause, data-need and data-as-is from the processor, for the original and for the adapted message.
        Verify: nothing changes.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META).data(b"hel")
        p.ping()
        for am in (1, 2):
            p.send("data-pause", x.xid, am)
            p.send("data-need", x.xid, am, 0)
            p.send("data-as-is", x.xid, am, 3, 3, 1, 0)
        p.send("connection-service", feature(self.ECHO))
        x.data(b"lo").finish().wait_end()
        verify(x.ok and x.forwarded() == b"hello", f"{x.forwarded()!r}")

    @func_test
    def row_54_data_after_data_end(self) -> None:
        """
        Steps: data-end and, in the same write, more data.
        Verify: none of it is forwarded; the connection and other transactions go on.
        """
        for service in (self.ECHO, self.HOLD, self.REPLACE):
            p = self.processor(service)
            y = p.xaction().start(STREAM_META)
            x = p.xaction().start(STREAM_META).data(b"hello", keep=False)
            p.raw(b"data-end %d 1;\r\ndata-have %d 1 5\r\n4:late\r\n;\r\ndata-end %d 1;\r\n" % ((x.xid,) * 3), note=False)
            p.ping()
            verify(b"late" not in x.forwarded(), f"{service}: late data was forwarded")
            verify(y.data(b"hello").finish().wait_end().ok, f"{service}: the other transaction")

    @func_test
    def row_60_61_acknowledge_everything(self) -> None:
        """
        Steps: a server with --ack-all; a connection that agreed on the feature ack-all; one without either.
        Verify: the first two get a data-ack for every data-have.
        """
        c = self.own("echo", extra=("--ack-all",))
        for address, agree, every in ((c.address, False, True), (None, True, True), (None, False, False)):
            p = self.processor(self.ECHO, address)
            if agree:
                p.send("please-use", feature(ACK_ALL))
                p.expect("i-will-use")
            x = p.xaction().start(STREAM_META)
            for _ in range(5):
                x.data(b"12345", keep=False)
            x.finish().wait_end()
            acks = [m["offset"] for m in p.received if m.name == "data-ack"]
            verify(acks == ([0, 5, 10, 15, 20] if every else []), f"agreed {agree}: {acks}")

    @func_test
    def row_62_63_ack_at_once_without_a_decision(self) -> None:
        """
        Steps: a service that holds the whole message; octets with ack.
        Verify: data-ack without wont-forward comes while the service still holds everything back.
        """
        p = self.processor(self.HOLD)
        x = p.xaction().start(RESPONSE_META)
        for part, octets in PAGE:
            x.data(octets, part, named={"ack": True})
            m = p.expect("data-ack", xid=x.xid, size=len(octets))
            verify(not m.get("wont-forward"), "decided already")
        verify(not x.adapted or not x.first.octets, "the service lets nothing through yet")
        x.finish().wait_end()
        verify(x.forwarded() == HEAD + b"the original", "the octets")

    @func_test
    def row_64_wont_forward_is_said(self) -> None:
        """
        Steps: kept octets, of which a service replaces some, refers to others, and drops the rest.
        Verify: data-ack with wont-forward for what was replaced or dropped comes while the transaction is open.
        """
        p = self.processor(self.REPLACE)
        x = p.xaction().start(STREAM_META).data(b"x" * 100 + b"original" + b"y" * 100)
        p.ping()
        given_up = {o for m in p.received if m.name == "data-ack" and m.get("wont-forward")
                    for o in range(m["offset"], m["offset"] + m["size"])}
        verify(set(range(100, 108)) <= given_up, f"the replaced octets are not released: {sorted(given_up)}")
        verify(x.finish().wait_end().ok, "the end")
        q = self.processor(self.BLOCK)
        y = q.xaction().start(RESPONSE_META)
        y.data(HEAD, "response-header").data(b"verboten", "response-body").data(b"x" * 500, "response-body").finish().wait_end()
        verify(y.forwarded().startswith(b"HTTP/1.1 403"), f"{y.forwarded()[:40]!r}")

    # --- queries ------------------------------------------------------------------------------

    @func_test
    def row_65_66_unsolicited_i_am_here_has_no_rid(self) -> None:
        """
        Steps: silence for longer than the server's idle-probe, on a connection with an open transaction that answers queries.
        Verify: the server asks with are-you-there and stays; whatever i-am-here comes unasked has no rid.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META)
        p.expect("are-you-there", seconds=60)
        verify(not [m for m in p.received if m.name == "i-am-here" and "rid" in m], "a rid that was not asked")
        verify(x.data(b"hello").finish().wait_end().ok, "the transaction goes on")

    @func_test
    def row_67_68_69_query_is_answered(self) -> None:
        """
        Steps: are-you-there with all combinations of identifiers that are valid; many at once; rids in any order and repeated.
        Verify: i-am-here with the same rid and the same identifiers, in order.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start(STREAM_META).data(b"hello")
        for xid, am in ((None, None), (x.xid, None), (x.xid, 1), (x.xid, 2)):
            m = p.ping(xid, am)
            verify((m.get("xid"), m.get("am-id")) == (xid, am), f"asked {xid} {am}: {m}")
        rids = [2147483647, 0, 5, 5, 4]
        p.check = False
        for rid in rids:
            p.send("are-you-there", rid)
        got = [p.expect("i-am-here")["rid"] for _ in rids]
        verify(got == rids, f"{got}")

    @func_test
    def row_70_72_query_about_invalid_identifiers(self) -> None:
        """
        Steps: are-you-there with an unknown xid, an ended one, an unknown am-id of a known xid, an am-id without xid.
        Verify: answered at once, without the invalid identifiers.
        """
        p = self.processor(self.ECHO)
        done = p.adapt(b"x", meta=STREAM_META)
        x = p.xaction().start(STREAM_META)
        for xid, am, want in ((99, None, (None, None)), (done.xid, 1, (None, None)), (x.xid, 9, (x.xid, None)),
                              (99, 1, (None, None)), (2147483647, 2147483647, (None, None))):
            m = p.ping(xid, am)
            verify((m.get("xid"), m.get("am-id")) == want, f"asked {xid} {am}: {m}")
        p.send("are-you-there", 500, named={"am-id": 1})
        verify("xid" not in p.expect("i-am-here", rid=500), "an am-id without xid")

    @func_test
    def ends_clean(self) -> None:
        """
        Steps: SIGTERM after all this.
        Verify: exit code 0.
        """
        self.ended_clean()

    # --- help ---------------------------------------------------------------------------------

    def _ended_with_error(self, p: Processor, what: object = "") -> None:
        """connection-end with the error flag has come and the transport is closed."""
        p.wait_closed()
        ends = [m for m in p.received if m.name == "connection-end"]
        verify(ends and ends[0].get("error"), f"{what!r}: no connection-end with error\n{p.transcript.tail()}")

    def _nothing_open(self) -> None:
        """The statistics show no open transaction."""
        def probe() -> bool:
            rows = [r for r in self.callout.stats().splitlines() if r.startswith("service ")]
            return bool(rows) and all(" open 0 " in r for r in rows)
        wait_for("no transaction is open", probe, 40, 0.1)


