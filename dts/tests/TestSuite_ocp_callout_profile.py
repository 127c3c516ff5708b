# SPDX-License-Identifier: BSD-3-Clause
"""opes-callout in the core dialect: negotiation (RFC 4037 section 6), the HTTP profile (RFC 4236 section 3) and the optimisations
(RFC 4037 sections 7 and 8), a case per rule or parameter that binds the callout server. Names: nego_* requirements D.5, profile_*
E.1, opt_* D.6. The messages are in the suite ocp_callout_core.
"""

from __future__ import annotations

import os
import random

from opes_api.callout import CalloutSuite
from opes_api.ocp import CORE, HTTP_REQUEST, HTTP_RESPONSE, Processor, Struct, Xaction, code, feature
from opes_api.suite import func_test, verify

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
BODY = b"the original"
PAGE = [("response-header", HEAD), ("response-body", BODY)]
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
SERVICES = ("ECHO", "AS_IS", "LEAVE", "REPLACE", "BLOCK", "HOLD")


class TestOcpCalloutProfile(CalloutSuite):
    """See the module's text."""

    DIALECT = CORE

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
