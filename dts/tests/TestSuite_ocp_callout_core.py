# SPDX-License-Identifier: BSD-3-Clause
"""opes-callout in the core dialect (RFC 4037, RFC 4236 section 3): a case per message, negotiation rule, profile parameter and
optimisation that binds the callout server, seen by a processor that shares no code with it and checks every message that comes
(opes_api.ocp.rules). Names: msg_* requirements D.4, nego_* D.5, invalid_* D.3, profile_* E.1, opt_* D.6.
"""

from __future__ import annotations

import os
import random
import re

from opes_api.callout import CalloutSuite
from opes_api.lab import wait_for
from opes_api.ocp import CORE, HTTP_REQUEST, HTTP_RESPONSE, Message, Processor, Raw, Struct, Xaction, code, failed, feature, quoted, \
    result
from opes_api.suite import func_test, verify

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
BODY = b"the original"
PAGE = [("response-header", HEAD), ("response-body", BODY)]
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
SERVICES = ("ECHO", "AS_IS", "LEAVE", "REPLACE", "BLOCK", "HOLD")


class TestOcpCalloutCore(CalloutSuite):
    """See the module's text."""

    DIALECT = CORE

    # --- connection, D.4 ----------------------------------------------------------------------

    @func_test
    def msg_cs_first_and_once(self) -> None:
        """
        Steps: CS; CS again in the middle of a transaction.
        Verify: the server's first message is CS, sent once; the repeated one is ignored.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start().data(b"hel")
        p.send("CS")
        x.data(b"lo").finish().wait_end()
        verify(x.forwarded() == b"hello", "the transaction")
        verify([m.name for m in p.received].count("CS") == 1 and p.received[0].name == "CS", p.transcript.tail())

    @func_test
    def msg_cs_missing(self) -> None:
        """
        Steps: another first message than CS; one that neither dialect has.
        Verify: CS, CE with 400, closed; the last ones, from which no dialect can be told, are closed with that or without a word.
        """
        for octets in (b"NO ();\r\n", b"TS 1 1;\r\n", b"PQ;\r\n", b"CE;\r\n", b"cs;\r\n", b"x-unknown;\r\n"):
            p = self.processor(start=False)
            p.raw(octets)
            p.wait_closed()
            if octets.islower():
                verify(not p.received or p.received[-1].name == "CE", p.transcript.tail())
                continue
            names = [m.name for m in p.received]
            verify(names == ["CS", "CE"] and code(p.received[1]) == 400, f"{octets!r}: {p.transcript.tail()}")

    @func_test
    def msg_cs_refused(self) -> None:
        """
        Steps: one connection more than the server takes.
        Verify: CS first, then CE with 400, closed; the one that was there goes on.
        """
        c = self.own("echo", extra=("--max-connections", "1"))
        first = self.processor(self.ECHO, c.address)
        first.ping()
        second = self.processor(self.ECHO, c.address)
        second.wait_closed()
        names = [m.name for m in second.received]
        verify(names == ["CS", "CE"] and code(second.received[1]) == 400, second.transcript.tail())
        verify(first.adapt(b"hello").ok, "the first")

    @func_test
    def msg_ce(self) -> None:
        """
        Steps: CE, CE with 400, with an unknown code, and a close without CE, each with open transactions.
        Verify: closed by the server without an answer; nothing is left open.
        """
        for anon in ((), (result(400, "bye"),), (result(499),), None):
            p = self.processor(self.HOLD)
            for _ in range(3):
                p.xaction().start().data(b"held" * 1000, keep=False)
            p.ping()
            before = len(p.received)
            if anon is None:
                p.close()
                continue
            p.send("CE", *anon)
            p.send("PQ")
            p.wait_closed()
            verify(len(p.received) == before, p.transcript.tail())
        self._nothing_open()

    @func_test
    def msg_sgc_sgd(self) -> None:
        """
        Steps: three groups with different services; transactions in each; one destroyed, used, and its id created anew.
        Verify: each transaction gets its group's service; a transaction in the destroyed group is ended with 400; an id that is
                not larger ends the connection with 400.
        """
        p = self.processor()
        a, b, c = p.group(self.ECHO), p.group(self.REPLACE), p.group(self.AS_IS)
        for sg, want in ((c, BODY), (b, b"the ORIGINAL"), (a, BODY)):
            verify(p.adapt(BODY, sg=sg).forwarded() == want, f"group {sg}")
        p.send("SGD", b)
        x = p.xaction(sg=b).start().wait_end()
        verify(code(x.ended) == 400, f"a destroyed group: {x.ended}")
        verify(p.adapt(BODY, sg=c).ok, "another group")
        p.send("SGC", b, [feature(self.ECHO)])
        self._ended(p)
        for name, args in (("SGD", (7,)), ("SGC", (1, []))):
            q = self.processor(self.ECHO)
            q.ping()
            q.send(name, *args)
            if name == "SGD":
                self._ended(q)

    @func_test
    def msg_ts_refused(self) -> None:
        """
        Steps: a transaction in a group with an unknown service; in a group that there is none of; one more than the server takes.
        Verify: TE with 400 for that one (or, for the unknown service, CE with 400); the others go on.
        """
        p = self.processor(self.ECHO)
        sg = p.group("urn:x:not-there")
        x = p.xaction(sg=sg).start()
        p.wait("the refusal", lambda: x.ended or p.closed)
        verify(p.closed or code(x.ended) == 400, f"{x.ended}")
        q = self.processor(self.ECHO)
        y = q.xaction(sg=77).start()
        q.wait("the refusal", lambda: y.ended or q.closed)
        verify(y.ended and code(y.ended) == 400, f"an unknown group: {q.transcript.tail()}")
        verify(q.adapt(b"hello").ok, "the next one")
        c = self.own("echo", extra=("--max-transactions", "2"))
        r = self.processor(self.ECHO, c.address)
        open_ones = [r.xaction().start() for _ in range(2)]
        verify(code(r.xaction().start().wait_end().ended) == 400, "one too many")
        for z in open_ones:
            verify(z.data(b"hello").finish().wait_end().ok, "an open one")
        d = self.own("echo,refuse=transactions", "as-is")
        t = self.processor(self.AS_IS, d.address)
        verify(code(t.xaction(self.ECHO).start().data(b"x").wait_end().ended) == 400, "the service refuses")
        verify(t.adapt(b"hello").ok, "another service")

    @func_test
    def msg_ts_xid_increases(self) -> None:
        """
        Steps: TS with an xid that is open, that was used, that is smaller; the largest there is.
        Verify: TE with 400 (or CE with 400) for the first three; the largest works.
        """
        for xid in (10, 9, 3):
            p = self.processor(self.ECHO)
            p.adapt(b"x", sg=p.default)
            p.xaction(xid=10).start()
            p.ping()
            p.check = False
            p.inbox.clear()
            p.send("TS", xid, p.default)
            p.wait("the refusal", lambda p=p: p.closed or any(m.name == "TE" and code(m) == 400 for m in p.inbox))
        q = self.processor(self.ECHO)
        verify(q.xaction(xid=2147483647).start().data(b"hello").finish().wait_end().ok, "the largest")

    @func_test
    def msg_te(self) -> None:
        """
        Steps: TE before AMS, after it, in the middle, with 400; then more for it.
        Verify: the server ends it too or is silent about it; nothing of it goes on, PQ does not name it, nothing is left open.
        """
        for steps in range(4):
            p = self.processor(self.HOLD)
            x = p.xaction()
            if steps > 0:
                x.start()
            if steps > 1:
                x.data(b"held" * 1000)
            x.end(code=400 if steps > 2 else None)
            if steps == 2:
                p.send("DUM", x.xid, x.sent, payload=b"late")
            wait_for("the transaction is gone", lambda: p.closed or "xid" not in p.ping(x.xid), 10, 0.02)
            verify(not p.closed, f"step {steps}: {p.transcript.tail()}")
        self._nothing_open()

    @func_test
    def msg_te_as_half_close(self) -> None:
        """
        Steps: AME and TE right after the last octet, before the server has sent anything (trap 15).
        Verify: the adapted message comes whole, then the server's AME and TE.
        """
        for name in SERVICES:
            p = self.processor()
            sg = p.group(getattr(self, name))
            x = p.xaction(sg=sg).start().data(b"an original " * 500)
            x.finish().end()
            x.wait_end()
            want = b"an original " * 500
            verify(x.ok and x.forwarded() == (want.replace(b"original", b"ORIGINAL") if name == "REPLACE" else want),
                   f"{name}: {p.transcript.tail()}")

    @func_test
    def msg_ams(self) -> None:
        """
        Steps: AMS with AM-EL right, wrong and absent; AMS twice; AMS for a transaction that there is none of; a service that
               refuses messages.
        Verify: one adapted AMS each, whose AM-EL, when it comes, is the entity's length; the second AMS is invalid: 400.
        """
        for el in (None, 12, 5, 0):
            for name in ("ECHO", "AS_IS", "REPLACE", "HOLD"):
                p = self.processor()
                sg = p.http(getattr(self, name))
                x = p.xaction(sg=sg).start(named={"AM-EL": el} if el is not None else None)
                for part, octets in PAGE:
                    x.data(octets, part)
                x.finish().wait_end()
                said = x.first.start.get("AM-EL")
                body = sum(len(o) for part, o, _ in x.first.pieces if part == "response-body")
                verify(x.ok and (said is None or said == (body if el in (None, 12) else el)), f"{name}, {el}: {x.first.start}")
        c = self.own("echo,refuse=messages")
        q = self.processor(self.ECHO, c.address)
        y = q.xaction().start().data(b"x")
        q.wait("the refusal", lambda: y.refused or y.ended)
        verify(y.refused and code(y.refused) == 400, f"AME with 400 refuses the message\n{q.transcript.tail()}")
        p = self.processor(self.ECHO)
        x = p.xaction().start().data(b"x")
        p.send("AMS", x.xid)
        self._transaction_ended(p, x)
        p.send("AMS", 99)
        self._refused(p, 99)

    @func_test
    def msg_ame(self) -> None:
        """
        Steps: AME without result, 200, 206, 400, and an unknown code (means 400) after half of a message.
        Verify: the first two end well, the last two do not, 206 that nobody asked for (the message lacks something) may do either;
                the server sends AME and TE of its own for each.
        """
        for anon, good in (((), True), ((result(200),), True), ((result(206),), None), ((result(400, "broken"),), False),
                           ((result(499),), False)):
            p = self.processor(self.ECHO)
            x = p.xaction().start().data(b"hello")
            p.ping()
            x.original_ended = True
            p.send("AME", x.xid, *anon)
            x.wait_end()
            whole = x.adapted and x.first.end is not None and not failed(x.first.end) and not failed(x.ended)
            verify(good is None or bool(whole) == good, f"{anon}: {p.transcript.tail()}")

    # --- data, D.4 ----------------------------------------------------------------------------

    @func_test
    def msg_dum_gap_and_overlap(self) -> None:
        """
        Steps: DUM that leaves a gap, overlaps, repeats.
        Verify: AME or TE with 400; nothing of it is forwarded; other transactions go on.
        """
        for offset in (6, 4, 0):
            p = self.processor(self.ECHO)
            y = p.xaction().start()
            x = p.xaction().start().data(b"hello")
            p.send("DUM", x.xid, offset, payload=b"wrong")
            self._transaction_ended(p, x)
            verify(b"wrong" not in x.forwarded(), f"{x.forwarded()!r}")
            verify(y.data(b"hello").finish().wait_end().ok, "the other transaction")

    @func_test
    def msg_dum_outside_of_its_message(self) -> None:
        """
        Steps: DUM before AMS; DUM, AME and AMS after AME, with the transaction over and held open by a pause.
        Verify: 400 for the transaction, or (it is over already) ignored; nothing of it is forwarded.
        """
        p = self.processor(self.ECHO)
        x = p.xaction()
        p.send("DUM", x.xid, 0, payload=b"wrong")
        self._transaction_ended(p, x)
        y = p.xaction().start().data(b"hello").finish()
        p.send("DUM", y.xid, 5, payload=b"wrong")
        y.wait_end()
        verify(b"wrong" not in y.forwarded(), f"{y.forwarded()!r}")
        for name, args, payload in (("DUM", (5,), b"wrong"), ("DUM", (5,), b""), ("AME", (), None), ("AMS", (), None)):
            q = self.processor(self.ECHO)
            z = q.xaction().start()
            q.send("DWP", z.xid, 0)  # so that the server cannot end the transaction
            z.data(b"hello").finish()
            q.expect("DPM", xid=z.xid)
            verify(q.ping(z.xid).get("xid") == z.xid, "the transaction is still open")
            q.send(name, z.xid, *args, payload=payload)
            self._transaction_ended(q, z)
            verify(b"wrong" not in z.forwarded(), f"{name}: {z.forwarded()!r}")

    @func_test
    def msg_dum_payload(self) -> None:
        """
        Steps: empty payloads with and without Kept; a DUM without payload.
        Verify: empty ones change nothing; the one without is invalid: 400.
        """
        for name in ("ECHO", "AS_IS", "REPLACE", "HOLD"):
            p = self.processor()
            x = p.xaction(getattr(self, name)).start()
            for octets in (b"", b"hel", b"", b"lo", b""):
                x.data(octets, named={"Modp": 50})
            p.send("DUM", x.xid, 5, named={"Kept": Struct([0, 5])}, payload=b"")
            x.finish().wait_end()
            verify(x.ok and x.forwarded() == b"hello", f"{name}: {x.forwarded()!r}")
            y = p.xaction(getattr(self, name)).start().finish().wait_end()
            verify(y.ok and y.forwarded() == b"", f"{name}: an empty message")
        p = self.processor(self.ECHO)
        x = p.xaction().start()
        p.send("DUM", x.xid, 0)
        self._ended_somehow(p, x)

    @func_test
    def msg_dum_kept_forms(self) -> None:
        """
        Steps: Kept as a structure and as two values (trap 10); with one value.
        Verify: both are taken: the octets come back by reference; one value is malformed.
        """
        for form in (Struct([0, 5]), Raw(b"0 5"), Raw(b'"1:0" 5'), Struct([0, 5, 7], {"x": 1})):
            p = self.processor(self.AS_IS)
            x = p.xaction().start()
            x.original += b"hello"
            p.send("DUM", x.xid, 0, named={"Kept": form}, payload=b"hello")
            x.sent = 5
            x.finish().wait_end()
            verify(x.ok and x.first.referenced == 5, f"{form}: {p.transcript.tail()}")
        for form in (0, Struct([0]), Struct(), [0, 5], Struct([0, 2147483648]), Struct([-1, 2])):
            p = self.processor(self.AS_IS)
            x = p.xaction().start()
            p.send("DUM", x.xid, 0, named={"Kept": form}, payload=b"hello")
            self._ended_somehow(p, x)

    @func_test
    def msg_dum_kept_range(self) -> None:
        """
        Steps: Kept that lies ahead of what was sent, that begins lower than the octets it comes with, that covers every second
               piece only, that grows.
        Verify: every DUY lies in what is kept at the time, the octets are right.
        """
        rng = random.Random(2)
        for name in ("AS_IS", "HOLD", "REPLACE"):
            for mode in ("ahead", "grows", "late", "stripes"):
                p = self.processor()
                x = p.xaction(getattr(self, name)).start()
                data = b"an original " * 300
                x.original += data
                while x.sent < len(data):
                    n = min(rng.randint(1, 500), len(data) - x.sent)
                    end = x.sent + n
                    kept = {"ahead": (0, len(data)), "grows": (0, end), "late": (0, end) if x.sent > 1000 else None,
                            "stripes": (0, end) if x.sent < 2000 else None}[mode]
                    p.send("DUM", x.xid, x.sent, named={"Kept": Struct(list(kept))} if kept else None, payload=data[x.sent:end])
                    x.sent = end
                    p.pump()
                x.finish().wait_end()
                want = data.replace(b"original", b"ORIGINAL") if name == "REPLACE" else data
                verify(x.ok and x.forwarded() == want, f"{name}, {mode}: {len(x.forwarded())}")

    @func_test
    def msg_dum_kept_violated(self) -> None:
        """
        Steps: a commitment that is broken (the range shrinks without DPI) before any DUY, and after one.
        Verify: before: no DUY at all in that transaction, and nothing is missing unless its end says failure; after: 400.
        """
        p = self.processor()
        x = p.xaction(sg=p.http(self.HOLD)).start()
        x.data(HEAD, "response-header", keep=False)
        x.original += b"0123456789"
        at = len(HEAD)
        for n in (at, at + 5):
            p.send("DUM", x.xid, n, named={"Kept": Struct([n, 5]), "AM-Part": "response-body"}, payload=bytes(x.original[n:n + 5]))
        x.sent += 10
        p.check = False
        x.finish().wait_end()
        verify(not x.adapted or x.first.referenced == 0, f"a DUY\n{p.transcript.tail()}")
        verify(not x.ok or x.forwarded() == HEAD + b"0123456789", f"octets are missing without a word\n{p.transcript.tail()}")
        q = self.processor(self.AS_IS)
        y = q.xaction().start()
        y.original += b"0123456789" * 2
        q.send("DUM", y.xid, 0, named={"Kept": Struct([0, 10])}, payload=b"0123456789")
        q.wait("a DUY", lambda: y.adapted and y.first.referenced)
        released = [m for m in q.received if m.name == "DPI"]
        if not released:
            q.send("DUM", y.xid, 10, named={"Kept": Struct([10, 10])}, payload=b"0123456789")
            self._transaction_ended(q, y)

    @func_test
    def msg_dum_modp_and_as_is(self) -> None:
        """
        Steps: services that change nothing, change all, change some; octets that are not kept.
        Verify: Modp 0 only when nothing is changed, never with changed octets; As-is, when it comes, names the same octets of the
                original, already sent.
        """
        for name in SERVICES:
            p = self.processor()
            x = p.xaction(getattr(self, name)).start()
            for n in range(20):
                x.data(b"%03d an original " % n * 20, keep=False)
            x.finish().wait_end()
            said = [m["Modp"] for m in p.received if m.name == "DUM" and "Modp" in m]
            verify(0 not in said or x.forwarded() == bytes(x.original), f"{name}: Modp 0 and changed")
            verify(100 not in said or x.forwarded() != bytes(x.original), f"{name}: Modp 100 and the same")
            for m in p.received:
                if m.name == "DUM" and "As-is" in m:
                    at = m["As-is"]
                    verify(bytes(x.original[at:at + len(m.payload)]) == m.payload, f"{name}: As-is {at} is not true")

    @func_test
    def msg_duy_dpi_only_from_the_server(self) -> None:
        """
        Steps: DUY, DPI, DWSR, DWSS and TS-like messages of the server's from the processor.
        Verify: invalid: at most that transaction or the connection is ended with 400; nothing is forwarded for it.
        """
        for name, args in (("DUY", (0, 3)), ("DPI", (0, 3)), ("DWSR", (0,)), ("DWSS", ())):
            p = self.processor(self.ECHO)
            x = p.xaction().start().data(b"hel", keep=False)
            p.ping()
            p.send(name, x.xid, *args)
            x.data(b"lo", keep=False).finish()
            p.wait("an end", lambda p=p, x=x: p.closed or x.ended)
            verify(not x.ok or x.forwarded() == b"hello", f"{name}: {x.forwarded()!r}")

    # --- flow, D.4 ----------------------------------------------------------------------------

    @func_test
    def msg_dwp_dpm_dwm(self) -> None:
        """
        Steps: the processor pauses the adapted flow, at once and at an offset ahead, with much data under way; DWM in both
               spellings of its size; again.
        Verify: DPM comes; no data between DPM and DWM (checked); then the rest.
        """
        for name in ("ECHO", "AS_IS", "REPLACE"):
            for offset in (0, 3000):
                p = self.processor()
                x = p.xaction(getattr(self, name)).start()
                x.data(b"an original " * 100)
                p.send("DWP", x.xid, offset)
                for size in ("Size-request", "Size-Request"):
                    x.data(b"an original " * 400)
                    p.expect("DPM", xid=x.xid)
                    at = len(x.first.octets) if x.adapted else 0
                    verify(at >= min(offset, 1200) or offset == 0, f"{name}: stopped at {at}, asked for {offset}")
                    p.ping()
                    verify((len(x.first.octets) if x.adapted else 0) == at, "data after DPM")
                    p.send("DWM", x.xid, named={size: 100000})
                    p.send("DWP", x.xid, 0)
                p.expect("DPM", xid=x.xid)
                x.finish()
                p.send("DWM", x.xid)
                x.wait_end()
                want = bytes(x.original)
                verify(x.ok and x.forwarded() == (want.replace(b"original", b"ORIGINAL") if name == "REPLACE" else want),
                       f"{name}: the octets\n{p.transcript.tail()}")

    @func_test
    def msg_dwm_unasked(self) -> None:
        """
        Steps: DWM without a pause, with sizes.
        Verify: nothing changes.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start()
        for size in (None, 0, 2147483647):
            p.send("DWM", x.xid, named={"Size-request": size} if size is not None else None)
            x.data(b"hello")
        x.finish().wait_end()
        verify(x.ok and x.forwarded() == b"hello" * 3, f"{x.forwarded()!r}")

    @func_test
    def msg_dpm_from_the_processor(self) -> None:
        """
        Steps: DPM that was not asked for; then data all the same.
        Verify: taken, or (MAY) the transaction is ended with a failure.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start().data(b"hel")
        p.send("DPM", x.xid)
        x.data(b"lo").finish().wait_end()
        verify(failed(x.ended) or x.forwarded() == b"hello", f"{x.forwarded()!r}")

    @func_test
    def msg_pq_pa(self) -> None:
        """
        Steps: PQ without xid, with an open one before and after AMS, in the middle, after AME, with an ended and an unknown one.
        Verify: PA each time: xid if and only if it is worked on, Org-Data exactly while the original is being received.
        """
        p = self.processor(self.HOLD)
        x = p.xaction()
        verify(p.ping().get("xid") is None, "no xid was asked about")
        verify(p.ping(x.xid).get("xid") == x.xid, "an open one")
        x.start()
        for n in range(3):
            verify(p.ping(x.xid).get("Org-Data") == n * 5, f"after {n * 5} octets")
            x.data(b"12345")
        y = p.xaction(self.ECHO).start().data(b"x").finish().wait_end()
        verify("xid" not in p.ping(y.xid) and "xid" not in p.ping(77), "not worked on")
        x.finish()
        m = p.ping(x.xid)
        verify("Org-Data" not in m, f"after AME: {m}")
        x.wait_end()

    @func_test
    def msg_pa_pr_unasked(self) -> None:
        """
        Steps: PR and PA from the processor, with and without identifiers, valid and not.
        Verify: an invalid xid in PR at most ends what is invalid; valid ones are taken.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start().data(b"hel")
        p.send("PR")
        p.send("PR", x.xid, named={"Org-Data": 3})
        p.send("PR", x.xid)
        x.data(b"lo").finish().wait_end()
        verify(x.ok and x.forwarded() == b"hello", "the transaction")

    @func_test
    def msg_aq_aa(self) -> None:
        """
        Steps: AQ for the HTTP profiles, a project's feature and unknown ones, before, between and after negotiations.
        Verify: AA at once with the truth; nothing is enabled by asking.
        """
        p = self.processor(self.ECHO)
        for uri, want in ((HTTP_REQUEST, True), (HTTP_RESPONSE, True), ("urn:x:unknown", False), ("", None)):
            if want is None:
                continue
            p.send("AQ", feature(uri, "more", Name=1))
            verify(p.expect("AA")["answer"] is want, uri)
        x = p.adapt(b"no part needed")
        verify(x.ok and x.forwarded() == b"no part needed", "AQ has enabled a profile")

    # --- negotiation, D.5 ---------------------------------------------------------------------

    @func_test
    def nego_empty_offer(self) -> None:
        """
        Steps: NO (); once and again.
        Verify: NR without a feature, without SG; transactions work.
        """
        p = self.processor(self.ECHO)
        p.wait("NR", lambda: p.answers)
        p.negotiate([])
        for m in p.answers:
            verify(not set(m.args) & {"feature", "SG", "Rejects"}, f"{m}")
        verify(p.adapt(b"hello").ok, "a transaction")

    @func_test
    def nego_one_of_the_offered(self) -> None:
        """
        Steps: offers of one profile, both profiles, a profile behind unknown features, unknown ones only.
        Verify: one of the offered ones that the server knows is chosen; otherwise none, and they are named as unknown.
        """
        mime = feature("http://www.iana.org/assignments/opes/ocp/MIME")
        for offer, good in (([HTTP_RESPONSE], True), ([HTTP_REQUEST, HTTP_RESPONSE], True), ([mime, HTTP_RESPONSE], True),
                            ([mime, "x"], False)):
            p = self.processor(self.ECHO)
            features = [f if isinstance(f, Struct) else feature(f) for f in offer]
            m = p.negotiate(features, p.group(self.ECHO))
            verify(("feature" in m) == good, f"{offer}: {m}")
            if good:
                verify(m["feature"].uri in (HTTP_REQUEST, HTTP_RESPONSE), f"{m}")
            else:
                verify({f.uri for f in m.get("Unknowns", [])} == {f.uri for f in features}, f"{m}")

    @func_test
    def nego_rejected(self) -> None:
        """
        Steps: a service that refuses offers, beside one that does not.
        Verify: NR without a feature for its group, which lists the offer under Rejects (known, not possible now); accepted for the
                other group; transactions of the first work without a profile.
        """
        c = self.own("echo,refuse=offers", "as-is")
        p = self.processor(address=c.address)
        a, b = p.http(self.ECHO), p.http(self.AS_IS)
        first, second = p.answers[-2:]
        verify("feature" not in first and [f.uri for f in first["Rejects"]] == [HTTP_RESPONSE], f"{first}")
        verify("feature" in second, f"{second}")
        verify(p.adapt(b"no profile", sg=a).forwarded() == b"no profile" and self._page(p, b).ok, "transactions")

    @func_test
    def nego_before_sgc_and_after(self) -> None:
        """
        Steps: CS, NO, SGC and CS, SGC, NO with its SG (trap 16).
        Verify: both work, the profile holds.
        """
        p = self.processor()
        verify(self._page(p, p.http(self.ECHO)).ok, "NO () first")
        q = self.processor(start=False)
        q.send("CS")
        q.send("SGC", 3, [feature(self.ECHO)])
        q.next_sg = 4
        m = q.negotiate([feature(HTTP_RESPONSE)], 3)
        verify(m.get("SG") == 3 and "feature" in m, f"{m}")
        verify(self._page(q, 3).ok, "SGC first")

    @func_test
    def nego_scope(self) -> None:
        """
        Steps: a profile for one group, another for a second, none for a third; a profile for the connection.
        Verify: each transaction follows its own group's: parts where there is a profile, none where there is not.
        """
        p = self.processor()
        a, b, c = p.http(self.ECHO), p.http(self.ECHO, "request"), p.group(self.ECHO)
        verify(self._page(p, a).first.part("response-header") == HEAD, "the response profile")
        x = p.adapt([("request-header", GET), ("request-body", b"form")], sg=b)
        verify(x.ok and x.first.part("request-header") == GET, "the request profile")
        y = p.adapt(b"no profile", sg=c)
        verify(y.ok and y.first.pieces[0][0] is None, f"a part without a profile: {y.first.pieces}")
        q = self.processor(self.ECHO, offers=[feature(HTTP_RESPONSE)])
        q.wait("NR", lambda: q.answers)
        verify("feature" in q.answers[0], f"{q.answers[0]}")
        verify(self._page(q, q.default).first.part("response-body") == BODY, "the connection's profile")

    @func_test
    def nego_enabled_at_once(self) -> None:
        """
        Steps: NO with SG, TS, AMS and DUM in one write, without waiting for NR; one DUM lacks AM-Part.
        Verify: with parts all is well; without, 400: the profile was in force.
        """
        for part in ("response-header", None):
            p = self.processor(self.ECHO)
            p.ping()
            sg = p.group(self.ECHO)
            p.offer([feature(HTTP_RESPONSE)], sg)
            x = p.xaction(sg=sg).start()
            x.data(HEAD, part)
            if part:
                verify(x.finish().wait_end().ok, "with parts")
            else:
                self._transaction_ended(p, x)

    @func_test
    def nego_pending_transactions_are_not_touched(self) -> None:
        """
        Steps: a transaction in the middle; then a profile for its group; the transaction goes on without parts.
        Verify: it ends well; the next one in the group needs parts.
        """
        p = self.processor()
        sg = p.group(self.ECHO)
        x = p.xaction(sg=sg).start().data(b"hel")
        p.ping()
        m = p.negotiate([feature(HTTP_RESPONSE)], sg)
        x.data(b"lo").finish().wait_end()
        verify(x.ok and x.forwarded() == b"hello", f"{p.transcript.tail()}")
        if "feature" in m:
            y = p.xaction(sg=sg).start().data(b"hello")
            self._transaction_ended(p, y)

    @func_test
    def nego_phase(self) -> None:
        """
        Steps: NO with Offer-Pending: true while transactions are in the middle and data is under way; AQ, PQ; the phase ends with
               an empty NO.
        Verify: the server sends negotiation messages only until then (checked for each message), and everything afterwards.
        """
        p = self.processor(self.ECHO)
        xs = [p.xaction().start() for _ in range(4)]
        for x in xs:
            x.data(b"before" * 100)
        p.wait("NR", lambda: p.offered is None)
        p.offer([feature(HTTP_RESPONSE)], p.next_sg - 1, more=True)
        p.wait("NR", lambda: p.offered is None)
        p.send("AQ", feature(HTTP_REQUEST))
        p.expect("AA")
        p.ping()
        p.negotiate([])
        for x in xs:
            x.data(b"after").finish().wait_end()
            verify(x.ok and x.forwarded() == b"before" * 100 + b"after", f"{x.xid}: {p.transcript.tail()}")

    @func_test
    def nego_wrong_scope(self) -> None:
        """
        Steps: NO with an SG that there is none of; an NR that answers nothing.
        Verify: CE with 400.
        """
        p = self.processor(self.ECHO)
        p.ping()
        p.offer([feature(HTTP_RESPONSE)], 99)
        self._ended(p)
        q = self.processor(self.ECHO)
        q.ping()
        q.send("NR", feature(HTTP_RESPONSE))
        self._ended(q)

    # --- invalid input, D.3 -------------------------------------------------------------------

    @func_test
    def invalid_octets(self) -> None:
        """
        Steps: octets that break the grammar, each on a connection with an open transaction.
        Verify: CE with 400, closed, and the log names the rule; or TE with 400 where the transaction can be told.
        """
        bad = [b"PQ ;\r\n", b"PQ  1;\r\n", b"PQ;\n", b"PQ\t1;\r\n", b";\r\n", b"AQ {\"2:a\"};\r\n", b"NO (,);\r\n", b"NO ({\"1:a\"} );\r\n",
               b"PR\r\nOrg-Data: 1\r\nOrg-Data: 1\r\n;\r\n", b"PQ 1;CS;\r\n", b"\x00", b"SGC 5 ({ \"1:a\"});\r\n", b'SGC 5 ({"1:a" });\r\n',
               b"CE {400};x"]
        for octets in bad:
            p = self.processor(self.ECHO)
            p.xaction().start()
            p.ping()
            p.raw(octets)
            if octets.startswith(b"CE"):
                p.wait_closed()
            else:
                self._ended(p, octets)
        verify(re.search(r"4037|<53>", self.callout.log()), "the log names the rule")

    @func_test
    def invalid_message_of_a_transaction(self) -> None:
        """
        Steps: messages whose transaction can be told and that lack a parameter or have one of the wrong type.
        Verify: TE with 400 for the transaction, or CE with 400.
        """
        bad = [b"DUM 1\r\n5:hello\r\n;\r\n", b"DUM 1 0;\r\n", b"DUM 1 00\r\n5:hello\r\n;\r\n", b"DUM 1 -1\r\n5:hello\r\n;\r\n",
               b"DUM 1 2147483648\r\n5:hello\r\n;\r\n", b"DUM 1 0\r\nModp: 101\r\n\r\n5:hello\r\n;\r\n", b"DUM 1 0\r\nKept: 5\r\n\r\n5:hello\r\n;\r\n",
               b"AME 1 400;\r\n", b"AME 1 {};\r\n", b"TE 1 {x};\r\n", b"AMS 1\r\nAM-EL: -1\r\n;\r\n", b"AMS 1\r\nServices: x\r\n;\r\n", b"DWP 1;\r\n",
               b"DWM 1\r\nSize-request: x\r\n;\r\n", b"PR 1\r\nOrg-Data: {}\r\n;\r\n"]
        for octets in bad:
            p = self.processor(self.ECHO)
            x = p.xaction().start()
            p.ping()
            p.raw(octets)
            self._ended_somehow(p, x, octets)

    @func_test
    def invalid_message_of_a_connection(self) -> None:
        """
        Steps: messages of connection scope that lack a parameter or have one of the wrong type or range.
        Verify: CE with 400.
        """
        for octets in (b"SGC 5;\r\n", b"SGC;\r\n", b"SGC 5 x;\r\n", b'SGC 5 ("1:a");\r\n', b"SGC 5 ({});\r\n", b"SGD;\r\n", b"SGD x;\r\n", b"NO;\r\n",
                       b'NO {"1:a"};\r\n', b"NO ()\r\nOffer-Pending: 1\r\n;\r\n", b"NO ()\r\nSG: x\r\n;\r\n", b"AQ;\r\n", b"AQ x;\r\n", b"TS;\r\n",
                       b"TS 2147483648 1;\r\n", b"TS x 1;\r\n", b"PQ x;\r\n", b"AME;\r\n"):
            p = self.processor(self.ECHO)
            p.ping()
            p.raw(octets)
            self._ended(p, octets)

    @func_test
    def invalid_identifiers(self) -> None:
        """
        Steps: every message of transaction scope with an xid that was never introduced, and with one that has ended.
        Verify: never introduced: TE with 400; ended: ignored. An open transaction is not touched.
        """
        for name, args, payload in (("AMS", (), None), ("AME", (), None), ("DUM", (0,), b"x"), ("DWP", (0,), None), ("DPM", (), None),
                                    ("DWM", (), None), ("DSS", (), None), ("TE", (), None)):
            p = self.processor(self.ECHO)
            done = p.adapt(b"ended")
            x = p.xaction().start().data(b"hel")
            p.ping()
            before = len(p.received)
            p.send(name, done.xid, *args, payload=payload)
            p.ping()
            verify(len(p.received) == before + 1, f"{name} for an ended one: {p.transcript.tail()}")
            p.send(name, 99, *args, payload=payload)
            if name != "TE":
                self._refused(p, 99)
            verify(x.data(b"lo").finish().wait_end().forwarded() == b"hello", f"{name}: the open one")

    @func_test
    def invalid_but_unknown_is_ignored(self) -> None:
        """
        Steps: unknown messages, parameters, members, surplus anonymous values, a payload where none belongs, the draft's names.
        Verify: nothing comes back for them, what they are part of works.
        """
        p = self.processor(self.ECHO)
        p.wait("NR", lambda: p.answers)
        before = len(p.received)
        p.send("X", 1, [Struct([1], {"A": [2]})], named={"B": b"\x00"}, payload=b"TE 1;\r\n")
        p.send("ts", 1, 1)
        p.send("xaction-start", 5)
        p.send("data-have", 5, 1, 0, payload=b"x")
        p.ping()
        verify(len(p.received) == before + 1, p.transcript.tail())
        p.send("TS", 1, p.default, "surplus", named={"Unknown": [1]})
        x = p.adopt(1, p.default)
        p.send("AMS", 1, named={"am-el": b"x"}, payload=b"unexpected")
        x.data(b"hello", named={"kept": 1, "as-is": b""})
        p.send("AME", 1, Struct([200, quoted("fine"), 1], {"More": []}), 7)
        x.wait_end()
        verify(x.ok and x.forwarded() == b"hello", p.transcript.tail())

    @func_test
    def invalid_past_the_limits(self) -> None:
        """
        Steps: unknown messages at each limit of the format and one past it.
        Verify: at the limit ignored, past it CE with 400 (or reset).
        """
        cases = {
            "name": lambda n: b"x" * (n + 64) + b";\r\n",
            "quoted value": lambda n: b'x "%d:' % (n + 65536) + b"\xff" * (n + 65536) + b'";\r\n',
            "nesting": lambda n: b"x " + b"(" * (n + 8) + b")" * (n + 8) + b";\r\n",
            "list items": lambda n: b"x (" + b",".join([b"1"] * (n + 256)) + b");\r\n",
            "named parameters": lambda n: b"x\r\n" + b"\r\n".join(b"n%d: 1" % i for i in range(n + 32)) + b"\r\n;\r\n",
            "payload": lambda n: b"x\r\n%d:" % (n + (1 << 20)) + b"\x00" * (n + (1 << 20)) + b"\r\n;\r\n",
        }
        for what, make in cases.items():
            p = self.processor(self.ECHO)
            p.raw(make(0))
            p.ping()
            p.raw(make(1))
            p.wait_closed()
            verify(any(m.name == "CE" and code(m) == 400 for m in p.received) or "reset" in p.closed_why, f"{what}: {p.transcript.tail()}")

    @func_test
    def invalid_cutting_does_not_exist(self) -> None:
        """
        Steps: a conversation in writes of one octet, two, random sizes, and one write.
        Verify: the same comes back each time.
        """
        rng = random.Random(4)
        seen = set()
        for cut in ([1], [2], [rng.randint(1, 9) for _ in range(4000)], [1 << 20]):
            p = self.processor(start=False)
            p.cut = cut
            p.open()
            x = self._page(p, p.http(self.REPLACE, Aux_Parts=["request-header"]))
            seen.add((x.forwarded(), x.ok))
        verify(seen == {(HEAD + b"the ORIGINAL", True)}, f"{seen}")

    # --- profile, E.1 -------------------------------------------------------------------------

    @func_test
    def profile_aux_parts(self) -> None:
        """
        Steps: offers of auxiliary parts: all, none, with parts that are not auxiliary, in the request profile, in another order.
        Verify: the answer's Aux-Parts are auxiliary ones that were offered (checked for each answer).
        """
        for members in ({"Aux_Parts": ["request-header", "request-body", "request-trailer"]}, {}, {"Aux_Parts": []},
                        {"Aux_Parts": ["response-header", "response-body"]}, {"Aux_Parts": ["request-body", "request-header"]}):
            for kind in ("response", "request"):
                p = self.processor()
                p.http(self.ECHO, kind, **members)
                verify("feature" in p.answers[-1], f"{kind} {members}: {p.answers[-1]}")

    @func_test
    def profile_server_parameters_are_not_the_processors(self) -> None:
        """
        Steps: an offer with Pause-At-Body, Stop-Receiving-Body, Preservation-Interest-Body and Content-Encodings.
        Verify: accepted; the message passes whole.
        """
        p = self.processor()
        sg = p.http(self.ECHO, Pause_At_Body=0, Stop_Receiving_Body=0, Preservation_Interest_Body=0, Content_Encodings=["gzip"])
        p.profiles.clear()
        verify(self._page(p, sg).forwarded() == HEAD + BODY, "the octets")

    @func_test
    def profile_aux_parts_wanted(self) -> None:
        """
        Steps: a service that wants request-header; offers with it, without it, with more.
        Verify: the answer has it exactly when it was offered; sent, it is not part of the adapted message; the rest is.
        """
        c = self.own("echo,aux-parts=request-header+request-body")
        for offered, want in ((["request-header"], "(request-header)"), ([], None), (["request-trailer"], None),
                              (["request-header", "request-trailer", "response-body"], "(request-header)")):
            p = self.processor(address=c.address)
            sg = p.http(self.ECHO, "response", Aux_Parts=offered)
            aux = p.profiles[sg].named.get("Aux-Parts")
            got = {str(i) for i in aux.items} if aux else set()
            verify(got == ({"request-header"} if want else set()), f"offered {offered}: {p.answers[-1]}")
            x = p.adapt([("request-header", GET), *PAGE] if want else PAGE, sg=sg)
            verify(x.ok and x.forwarded() == HEAD + BODY, f"{x.forwarded()!r}")

    @func_test
    def profile_pause_at_body(self) -> None:
        """
        Steps: a service that says Pause-At-Body (0, in the middle, past the end); the processor acts as if DWP had come.
        Verify: DWM comes after the processor's DPM, the message passes whole.
        """
        for n in (0, 5, 5000):
            for kind in ("request", "response"):
                c = self.own(f"echo,pause-at-body={n}")
                p = self.processor(address=c.address)
                sg = p.http(self.ECHO, kind)
                verify(str(p.profiles[sg].named.get("Pause-At-Body")) == str(n), f"{p.answers[-1]}")
                x = p.xaction(sg=sg).start().data(GET if kind == "request" else HEAD, f"{kind}-header")
                x.data(BODY, f"{kind}-body").finish().wait_end()
                verify(x.ok and x.forwarded().endswith(BODY), p.transcript.tail())
                names = [m.name for m in p.received if m.name == "DWM"]
                verify(len(names) == (1 if n < len(BODY) else 0), f"pause at {n}: {p.transcript.tail()}")

    @func_test
    def profile_stop_receiving_body(self) -> None:
        """
        Steps: a service that answers itself and says Stop-Receiving-Body: 0 and 3; the processor acts as if DWSR had come.
        Verify: AME 206 from the processor after exactly so much of the body disturbs nothing: the answer comes whole.
        """
        for n in (0, 3):
            c = self.own(f"answer,stop-receiving-body={n},text=no")
            p = self.processor(address=c.address)
            sg = p.http("urn:opes:service:answer")
            verify(str(p.profiles[sg].named.get("Stop-Receiving-Body")) == str(n), f"{p.answers[-1]}")
            x = p.xaction(sg=sg).start()
            for part, octets in PAGE:
                x.data(octets, part)
            x.finish().wait_end()
            verify(x.ok and x.first.part("response-header").startswith(b"HTTP/1.1 503"), p.transcript.tail())
            verify(x.sent <= len(HEAD) + n, f"{x.sent} octets were sent")

    @func_test
    def profile_preservation_interest_body(self) -> None:
        """
        Steps: a service that holds everything and says Preservation-Interest-Body: 0, 5, 5000; everything is kept.
        Verify: no DUY reaches past so much of the body; the octets are right.
        """
        for n in (0, 5, 5000):
            c = self.own(f"block:urn:x:hold,hold=all,preservation-interest-body={n}")
            p = self.processor(address=c.address)
            sg = p.http(self.HOLD)
            verify(str(p.profiles[sg].named.get("Preservation-Interest-Body")) == str(n), f"{p.answers[-1]}")
            x = p.adapt(PAGE, sg=sg)
            ends = [r[0] + r[1] for _, _, r in x.first.pieces if r and r[1]]
            verify(x.ok and x.forwarded() == HEAD + BODY, p.transcript.tail())
            verify(max(ends, default=0) <= len(HEAD) + n, f"{n}: {p.transcript.tail()}")

    @func_test
    def profile_content_encodings(self) -> None:
        """
        Steps: a service that prefers gzip; a message in another coding, which the processor may send.
        Verify: the preference is said; the message is adapted all the same.
        """
        c = self.own("replace,replace=original=ORIGINAL,content-encodings=gzip+identity")
        p = self.processor(address=c.address)
        sg = p.http(self.REPLACE)
        codings = p.profiles[sg].named["Content-Encodings"]
        verify([str(i) for i in codings.items] == ["gzip", "identity"], f"{p.answers[-1]}")
        x = p.adapt([("response-header", b"HTTP/1.1 200 OK\r\nContent-Encoding: x-own\r\n\r\n"), ("response-body", BODY)], sg=sg)
        verify(x.ok and x.forwarded().endswith(b"the ORIGINAL"), f"{x.forwarded()!r}")

    @func_test
    def profile_am_part(self) -> None:
        """
        Steps: all services under both profiles, parts in many pieces, with trailers.
        Verify: every DUM of the server has AM-Part, one of the adapted parts, in order (checked); parts are what they were.
        """
        trailer = b"X-Sum: 1\r\n\r\n"
        for name in ("ECHO", "AS_IS", "REPLACE", "HOLD"):
            for kind in ("request", "response"):
                p = self.processor()
                sg = p.http(getattr(self, name), kind)
                x = p.xaction(sg=sg).start()
                head = GET if kind == "request" else HEAD
                for part, octets in (("header", head), ("body", b"plain " * 3000), ("trailer", trailer)):
                    x.data(octets, f"{kind}-{part}", keep=part != "body", chunk=701)
                x.finish().wait_end()
                verify(x.ok and x.first.part(f"{kind}-header") == head and x.first.part(f"{kind}-trailer") == trailer,
                       f"{name}, {kind}: {p.transcript.tail()}")

    @func_test
    def profile_parts_in_wrong_order(self) -> None:
        """
        Steps: a part that the profile does not list; parts out of order; an auxiliary part that was not negotiated; no part.
        Verify: unlisted and missing ones: 400. The others: 400 (MAY) or taken.
        """
        for kind, parts, must in (("response", ["response-body", "response-header"], False), ("request", ["response-header"], True),
                                  ("response", ["request-header"], False), ("request", ["request-header", None], True),
                                  ("request", ["request-trailer", "request-header"], False)):
            p = self.processor()
            sg = p.http(self.ECHO, kind)
            x = p.xaction(sg=sg).start()
            p.check = False
            for part in parts:
                x.data(b"octets", part)
            x.finish()
            p.wait("an end", lambda p=p, x=x: x.ended or p.closed)
            verify(not must or p.closed or not x.ok, f"{kind} {parts}: {p.transcript.tail()}")

    @func_test
    def profile_request_short_circuit(self) -> None:
        """
        Steps: requests that a service blocks, under the request profile.
        Verify: response parts only (checked), a whole response.
        """
        p = self.processor()
        sg = p.http(self.BLOCK, "request")
        x = p.adapt([("request-header", b"POST /a HTTP/1.1\r\nHost: a\r\n\r\n"), ("request-body", b"verboten")], sg=sg)
        verify(x.ok and x.first.part("response-header").startswith(b"HTTP/1.1 403"), f"{p.transcript.tail()}")
        y = p.adapt([("request-header", GET)], sg=sg)
        verify(y.ok and y.first.part("request-header") == GET, "one that is not blocked")

    @func_test
    def profile_am_el_and_transfer_encoding(self) -> None:
        """
        Steps: a head that says chunked (which a processor must not send), AM-EL on an empty entity.
        Verify: passed on or ended with 400; an empty entity passes.
        """
        p = self.processor()
        sg = p.http(self.ECHO)
        x = p.adapt([("response-header", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), ("response-body", b"x")], sg=sg)
        verify(not x.ok or x.forwarded().endswith(b"\r\n\r\nx"), f"{x.forwarded()!r}")
        y = p.xaction(sg=sg).start(named={"AM-EL": 0})
        y.data(b"HTTP/1.1 204 No Content\r\n\r\n", "response-header").finish().wait_end()
        verify(y.ok and y.first.start.get("AM-EL", 0) == 0, f"{y.first.start}")

    # --- optimisations, D.6 -------------------------------------------------------------------

    @func_test
    def opt_preservation_to_the_end(self) -> None:
        """
        Steps: octets kept until the end of the transaction, AME of the original long before the server refers to them.
        Verify: they come back by reference after the processor's AME and TE.
        """
        p = self.processor(self.HOLD)
        x = p.xaction().start()
        for n in range(10):
            x.data(b"%d" % n * 1000)
        x.finish().end().wait_end()
        verify(x.ok and x.forwarded() == bytes(x.original) and x.first.referenced == 10000, p.transcript.tail())

    @func_test
    def opt_interest_is_given_up(self) -> None:
        """
        Steps: kept octets, of which a service replaces some and refers to others, piece by piece.
        Verify: DPI says early what will not be referred to any more; what it says only shrinks and is kept to (checked).
        """
        p = self.processor(self.REPLACE)
        x = p.xaction().start()
        for n in range(20):
            x.data(b"plain " * 100 + b"original")
            p.ping()
        verify([m for m in p.received if m.name == "DPI"], f"no DPI while the message lasts\n{p.transcript.tail()}")
        x.finish().wait_end()
        verify(x.ok and x.forwarded().count(b"ORIGINAL") == 20, "the octets")

    @func_test
    def opt_leaving_the_loop(self) -> None:
        """
        Steps: a service that leaves (when octets are kept, as this one does): data before DWSS, between DWSS and DSS; DSS at once
               and late.
        Verify: DWSS comes before DWSR; after DSS the server sends what is left of the data before it, AME 206 and TE; the octets
                are all there, whatever was under way.
        """
        rng = random.Random(9)
        for n in range(24):
            p = self.processor(self.LEAVE)
            p.auto -= {"dss"} if n % 2 else set()
            kept = n % 4 < 3
            x = p.xaction().start()
            data = os.urandom(rng.randint(10, 30000))
            x.data(data[:len(data) // 3], keep=kept, chunk=rng.randint(60, 9000))
            if kept and n % 2:
                p.expect("DWSS", xid=x.xid)
                x.data(data[len(data) // 3:len(data) // 2])
                p.ping()
                x.dss = True
                p.send("DSS", x.xid)
            if kept:
                p.wait("the server has left", lambda x=x: x.left_at is not None)
            x.data(data[len(x.original):], keep=kept).finish().wait_end()
            verify(x.ok and x.forwarded() == data, f"{n}: {len(x.forwarded())} of {len(data)}\n{p.transcript.tail()}")
            names = [m.name for m in p.received if m.name in ("DWSS", "DWSR")]
            verify(names[:1] == ["DWSS"] or not kept, f"{names}")
            verify(not kept or code(x.first.end) == 206, f"{n}: not left\n{p.transcript.tail()}")

    @func_test
    def opt_leaving_is_not_granted(self) -> None:
        """
        Steps: a service that wants to leave; no DSS ever comes.
        Verify: it goes on as usual and ends the message whole, with 200.
        """
        p = self.processor(self.LEAVE)
        p.auto -= {"dss", "stop"}
        x = p.xaction().start()
        for n in range(20):
            x.data(b"%d" % n * 500, keep=n % 2 == 0)
        x.finish().wait_end()
        verify(x.ok and x.forwarded() == bytes(x.original) and x.left_at is None and code(x.first.end) == 200, p.transcript.tail())

    @func_test
    def opt_dss_unsolicited(self) -> None:
        """
        Steps: DSS that nobody asked for, in the middle of a message and after the server's AME.
        Verify: in the middle: AME with 206 or a failure, never ignored; after the end: ignored.
        """
        p = self.processor(self.ECHO)
        x = p.xaction().start().data(b"hello")
        p.ping()
        x.dss = True
        p.send("DSS", x.xid)
        p.wait("an answer", lambda: p.closed or x.ended or (x.adapted and x.first.end))
        verify(p.closed or code(x.ended or x.first.end) in (206, 400), p.transcript.tail())
        q = self.processor(self.ECHO)
        y = q.adapt(b"hello")
        q.send("DSS", y.xid)
        q.ping()
        verify(q.adapt(b"hello").ok, "the connection goes on")

    @func_test
    def opt_many_at_once(self) -> None:
        """
        Steps: all services on one connection, forty transactions interleaved, with and without profiles, kept and not.
        Verify: all come back right; no message breaks a rule (checked).
        """
        p = self.processor()
        sgs = [(name, p.http(getattr(self, name))) for name in SERVICES]
        xs = [(name, p.xaction(sg=sg).start()) for name, sg in sgs for _ in range(7)]
        for i, (_, x) in enumerate(xs):
            x.data(HEAD, "response-header", keep=i % 3 != 0)
        for n in range(30):
            for i, (_, x) in enumerate(xs):
                x.data(b"%02d an original " % n * 9, "response-body", keep=i % 3 != 0)
        for name, x in xs:
            x.finish().wait_end()
            want = bytes(x.original)
            verify(x.ok and x.forwarded() == (want.replace(b"original", b"ORIGINAL") if name == "REPLACE" else want),
                   f"{name} {x.xid}: {len(x.forwarded())} of {len(want)}")

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
        Steps: twelve connections of forty transactions each: random services, lengths, cuttings, commitments, pauses, mixed; half
               of the connections under the HTTP profile.
        Verify: each transaction comes back right; no message breaks a rule.
        """
        for seed in range(12):
            p = self.processor()
            sgs = {getattr(self, n): p.http(getattr(self, n)) for n in SERVICES} if seed % 2 else None
            self.conversations(p, random.Random(seed), 40, sgs)

    @func_test
    def ends_clean(self) -> None:
        """
        Steps: SIGTERM after all this.
        Verify: exit code 0.
        """
        self.ended_clean()

    # --- help ---------------------------------------------------------------------------------

    def _page(self, p: Processor, sg: int) -> Xaction:
        return p.adapt(PAGE, sg=sg)

    def _ended(self, p: Processor, what: object = "") -> None:
        """CE with 400 has come and the transport is closed."""
        p.wait_closed()
        verify(any(m.name == "CE" and code(m) == 400 for m in p.received), f"{what!r}: no CE 400\n{p.transcript.tail()}")

    def _transaction_ended(self, p: Processor, x: Xaction) -> None:
        """AME or TE with 400 for a transaction, on a connection that goes on."""
        def probe() -> bool:
            return any(m.name in ("AME", "TE") and m["xid"] == x.xid and code(m) == 400 for m in p.received)
        p.wait(f"AME or TE {x.xid} with 400", probe)
        x.end()
        p.ping()

    def _ended_somehow(self, p: Processor, x: Xaction, what: object = "") -> None:
        """TE with 400 for the transaction, or CE with 400."""
        def probe() -> Message | None:
            return next((m for m in p.received if m.name == "CE" or (m.name in ("TE", "AME") and m["xid"] == x.xid)), None)
        m = wait_for(f"an end after {what!r}", lambda: p.pump(0.02) or probe(), 20, 0)
        verify(code(m) == 400, f"{what!r}: {m}")

    def _refused(self, p: Processor, xid: int) -> None:
        """TE with 400 for an xid that was never introduced."""
        m = p.expect("TE", xid=xid)
        verify(code(m) == 400, f"{m}")

    def _nothing_open(self) -> None:
        def probe() -> bool:
            rows = [r for r in self.callout.stats().splitlines() if r.startswith("service ")]
            return bool(rows) and all(" open 0 " in r for r in rows)
        wait_for("no transaction is open", probe, 40, 0.1)
