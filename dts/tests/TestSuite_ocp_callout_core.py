# SPDX-License-Identifier: BSD-3-Clause
"""opes-callout in the core dialect (RFC 4037): a case per message and per kind of invalid input that binds the callout server,
seen by a processor that shares no code with it and checks every message that comes (opes_api.ocp.rules). Names: msg_* requirements
D.4, invalid_* D.3. Negotiation, the HTTP profile and the optimisations are in the suite ocp_callout_profile.
"""

from __future__ import annotations

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
        r = self.processor()
        z = r.xaction(sg=r.http(self.HOLD)).start()
        z.data(HEAD, "response-header", keep=False, named={"Kept": Struct([0, 20])})  # of the head a part only
        z.data(b"0123456789", "response-body", keep=False, named={"Kept": Struct([at, 10])})
        z.finish().wait_end()
        verify(z.ok and z.forwarded() == HEAD + b"0123456789", r.transcript.tail())
        verify(z.first.referenced == 0, f"a DUY after a bad Kept\n{r.transcript.tail()}")
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

    # --- optimisations, D.6 -------------------------------------------------------------------

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
