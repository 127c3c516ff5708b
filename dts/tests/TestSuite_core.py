# SPDX-License-Identifier: BSD-3-Clause
"""The dialect core (RFC 4037 with the HTTP profile of RFC 4236) end to end: curl and an origin, the appliance, opes-callout."""

from __future__ import annotations

import hashlib
import os
import signal
import time

from opes_api.appliance import ECHO_PORT, ApplianceSuite, adapt_rule, same, url
from opes_api.lab import SRV4, SRV6, Process, wait_for
from opes_api.objects import EICAR, Obj, adapted, collection, content
from opes_api.suite import func_test, verify

MIB = 1 << 20
BOTH = "[request, response]"
NAMES = ("as-is", "echo", "replace")
SERVICES = ("as-is", "echo", "replace,replace=Bluebird=(withheld)", "block", "as-is:urn:opes:service:leaves,leave=yes",
            "as-is:urn:opes:service:aux,aux-parts=request-header",
            "as-is:urn:opes:service:pauses,pause-at-body=100",
            "as-is:urn:opes:service:forgets,preservation-interest-body=1000", "answer,status=418,text=teapot",
            "as-is:urn:opes:service:no-offers,refuse=offers", "as-is:urn:opes:service:no-xactions,refuse=transactions",
            "as-is:urn:opes:service:no-messages,refuse=messages", "header,add=X-Opes: seen")
BIG = Obj("chunked", 910, 100 * MIB)
RESET, OK = 56, 0


class TestCore(ApplianceSuite):
    """Every service in core unless a case says otherwise."""

    callout_args = SERVICES
    origin_args = ("--log",)

    def set_up_test_case(self) -> None:
        if not self.callout.alive():
            self.callout = self.lab.start_callout(*SERVICES)

    def core(self, *rules: str, names: tuple[str, ...] = NAMES, more: str = "") -> None:
        """Rules in force with services in core."""
        self.use(*rules, names=names, more=", dialect: core" + more)

    def check_objects(self, service: str, objs: list[Obj], addr: str = SRV4) -> None:
        """Fetch all objects on one connection as far as they let it; compare; check what the counters say."""
        self.core(adapt_rule(service, kind=BOTH))
        folder = self.lab.dir / "objects"
        folder.mkdir(exist_ok=True)
        config = folder / "curl.cfg"
        config.write_text("".join(f'url = "{url(o.path, addr)}"\noutput = "{folder}/{i}"\n' for i, o in enumerate(objs)))
        with self.delta() as d:
            self.lab.cli.run("curl", "-sSf", "--max-time", "140", "-K", str(config), timeout=150)
        sent = 0
        for i, o in enumerate(objs):
            file, body = folder / str(i), o.body()
            got, want = file.read_bytes() if file.exists() else b"", adapted(service, body)
            verify(got == want, f"{o.path} through {service}: {same(got, want)}")
            file.unlink(missing_ok=True)
            sent += len(body)
        verify(d["msg_adapted"] == 2 * len(objs) == d["txn_done"], f"{d['msg_adapted']} adapted, {d['txn_done']} done of {2 * len(objs)}")
        verify(d["fail_open"] == 0 and d["txn_failed"] == 0, f"transactions failed: {self.lab.events()[-3:]}")
        closing = sum(o.mode == "close" for o in objs)
        verify(closing <= d["flow_created"] <= closing + 2, f"connections were not kept: {d['flow_created']} for {closing}")
        if service == "as-is":
            verify(d["as_is_octets"] >= sent and d["callout_octets_in"] < sent // 1000, f"{d}")
        elif service == "echo":
            verify(d["callout_octets_in"] >= sent and d["as_is_octets"] == 0, f"{d}")

    @func_test
    def objects(self) -> None:
        """Objects of every transfer form, requests and responses adapted.

        Steps:
            Fetch 120 seeded objects (1 octet to 16 MiB; Content-Length, chunked, trailers, close-delimited, gzip) through as-is, echo
            and replace; some over IPv6.
        Verify:
            Every body equals the calculated one; each message was adapted; connections are kept: lengths are right.
        """
        objs = [o for o in collection(120, seed=11) if o.size < 32 * MIB]
        for service in NAMES:
            self.check_objects(service, objs)
        self.check_objects("replace", objs[:25], SRV6)

    @func_test
    def uploads(self) -> None:
        """Requests with bodies.

        Steps:
            POST bodies of 0 octets to 8 MiB with Content-Length, chunked, and after 100 (Continue), through each service.
        Verify:
            Length and SHA-256 that the server saw are the calculated ones.
        """
        for service in NAMES:
            self.core(adapt_rule(service, kind="request"))
            with self.delta() as d:
                text = self.in_cli("client", "upload", SRV4, "8000", service)
            verify(text.startswith("27 uploads"), text)
            verify(d["msg_adapted"] == 27 == d["txn_done"] and d["fail_open"] == 0, f"{d}")

    @func_test
    def pipelined_and_special(self) -> None:
        """Many requests at once; messages without a body, interim responses, a switch of protocols.

        Steps:
            200 GET, HEAD and POST requests cut anywhere on one connection; HEAD, 204, 304, 103 before 200, 404, 101.
        Verify:
            The answers come in order, each strictly framed and right.
        """
        for service in NAMES:
            self.core(adapt_rule(service, kind=BOTH))
            with self.delta() as d:
                text = self.in_cli("client", "pipeline", SRV4, "8000", service, "200", "5")
            verify(text.startswith("200 answers") and d["msg_adapted"] == 400 and d["fail_open"] == 0, f"{text} {d}")
            with self.delta() as d:
                text = self.in_cli("client", "special", SRV4, "8000")
            verify("special messages" in text and d["msg_adapted"] == 13 and d["fail_open"] == 0, f"{text} {d}")

    @func_test
    def opaque(self) -> None:
        """A byte stream: a service group without a profile.

        Steps:
            5 MiB each way on 4 connections through as-is, echo and replace.
        Verify:
            Exactly what was sent comes back, replaced twice by replace.
        """
        for service in NAMES:
            self.core(adapt_rule(service, kind="stream", port=ECHO_PORT, protocol="tcp"))
            with self.delta() as d:
                text = self.in_cli("client", "echo", SRV4, str(ECHO_PORT), service, str(5 * MIB + 17), "4", "31")
                self.lab.drained()
            verify(text.startswith(f"4 x {5 * MIB + 17} octets"), text)
            verify(d["msg_adapted"] == 8 == d["txn_done"] and d["fail_open"] == 0, f"{d}")

    @func_test
    def requests_answered(self) -> None:
        """Short circuit: response parts under the request profile.

        Steps:
            POST the EICAR test file, then something harmless, through block; GET through answer.
        Verify:
            403 and 418 come from the service and the server never saw these requests; the harmless one arrived.
        """
        self.core(adapt_rule("block", kind="request"), names=("block",))
        file = self.lab.dir / "post"
        for data, path, want in ((content(5, 9000) + EICAR, "/virus", "403"), (content(5, 9000), "/clean", "200")):
            file.write_bytes(data)
            r = self.lab.curl("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", f"@{file}", url(path), check=False)
            verify(r.stdout == want, f"{path}: {r.stdout} {r.stderr}")
        self.core(adapt_rule("answer", kind="request"), names=("answer",))
        r = self.lab.curl("-w", "%{http_code}", url("/tea"), check=False)
        verify(r.stdout == "teapot418", r.stdout)
        log = self.origin.output()
        verify("/clean" in log and "/virus" not in log and "/tea" not in log, "what reached the server")

    @func_test
    def leaves_the_loop(self) -> None:
        """DWSS and DWSR, then DSS: the service gets out, the message goes on as it is.

        Steps:
            Fetch 30 MiB with Content-Length, chunked and close-delimited; POST 8 MiB; a byte stream; through as-is with leave=yes.
        Verify:
            Every octet is right; the service saw a small part.
        """
        self.core(adapt_rule("leaves", kind=BOTH), names=("leaves",))
        for mode in ("length", "chunked", "close"):
            obj = Obj(mode, 920, 30 * MIB)
            with self.delta() as d:
                r = self.fetch(obj)
            verify(r.returncode == OK and self.got == obj.body(), f"{mode}: {r.stderr} {same(self.got, obj.body())}")
            verify(d["callout_octets_out"] < 4 * MIB and d["txn_done"] == 2 and d["fail_open"] == 0, f"{mode}: {d}")
        file = self.lab.dir / "post"
        file.write_bytes(content(5, 8 * MIB))
        got = self.lab.curl("--data-binary", f"@{file}", url("/upload")).stdout
        verify(got.split() == [str(8 * MIB), hashlib.sha256(file.read_bytes()).hexdigest()], got)
        self.core(adapt_rule("leaves", kind="stream", port=ECHO_PORT, protocol="tcp"), names=("leaves",))
        with self.delta() as d:
            text = self.in_cli("client", "echo", SRV4, str(ECHO_PORT), "as-is", str(5 * MIB), "2", "31")
        verify(text.startswith("2 x"), text)
        verify(d["callout_octets_out"] < 10 * MIB and d["fail_open"] == 0, f"{d}")

    def start_download(self, obj: Obj) -> Process:
        """curl in the background, slow enough to be met in the middle."""
        self.out = self.lab.dir / "download"
        self.out.unlink(missing_ok=True)
        return self.lab.cli.start("curl", "curl", "-sS", "--max-time", "100", "--limit-rate", "40M", "-w", "%{http_code}",
                                  "-o", str(self.out), url(obj.path))

    @func_test
    def killed(self) -> None:
        """kill -9 of the server in the middle of 100 MiB in chunks.

        Steps:
            Through as-is with policy open and closed; through replace with policy open. The server comes back after each.
        Verify:
            open: SHA-256 is equal, the event names an octet beyond what the client had; closed and replace: a reset, what the client
            has is a beginning of what it was to get. With the server back the next object is adapted.
        """
        body = BIG.body()
        for service, policy in (("as-is", "open"), ("as-is", "closed"), ("replace", "open")):
            self.set_up_test_case()
            self.core(adapt_rule(service, on_failure=policy))
            want, last = adapted(service, body), self.lab.last_event()
            curl = self.start_download(BIG)
            wait_for("30 MiB have arrived", lambda: self.out.exists() and self.out.stat().st_size > 30 * MIB, 30)
            at = self.out.stat().st_size
            os.kill(self.callout.pid, signal.SIGKILL)
            self.callout.popen.wait(10)
            curl.popen.wait(60)
            got = self.out.read_bytes()
            if (service, policy) == ("as-is", "open"):
                verify(curl.popen.returncode == OK and got == want, f"curl {curl.output()}: {same(got, want)}")
                event = self.lab.wait_event("fail-open", last)
                verify(at <= event["offset"] < len(body) + 1000 and event["cause"] == "lost", f"{at}: {event}")
            else:
                verify(curl.popen.returncode == RESET, f"{service} {policy}: curl {curl.popen.returncode} {curl.output()}")
                verify(len(got) < len(want) and want.startswith(got), f"{service} {policy}: {same(got, want)}")
            self.set_up_test_case()
            self.lab.wait_service(service)
            obj = Obj("trailers", 911, MIB)
            with self.delta() as d:
                self.fetch(obj)
            verify(self.got == adapted(service, obj.body()) and d["txn_done"] == 1, f"{service} {policy} afterwards: {d}")

    @func_test
    def hangs(self) -> None:
        """A server that hangs: PQ is not answered.

        Steps:
            Stop the server (SIGSTOP) with a deadline of 700 ms; fetch 2 MiB under answer and open.
        Verify:
            502, and the whole object; cause deadline. Afterwards the service adapts again.
        """
        obj = Obj("length", 912, 2 * MIB)
        for policy in ("answer", "open"):
            self.core(adapt_rule("as-is", on_failure=policy), more=", deadline: 700ms")
            last = self.lab.last_event()
            os.kill(self.callout.pid, signal.SIGSTOP)
            try:
                r = self.fetch(obj)
            finally:
                os.kill(self.callout.pid, signal.SIGCONT)
            verify(r.stdout.startswith("502 ") if policy == "answer" else self.got == obj.body(), f"{policy}: {r.stdout} {r.stderr}")
            verify(self.lab.wait_event("callout-failed", last)["cause"] == "deadline", "the cause")

            def again() -> bool:
                self.fetch(obj)
                return self.got == obj.body()
            wait_for("the service adapts again", again, 15, 0.5)

    @func_test
    def refused(self) -> None:
        """A server that refuses offers, transactions and messages.

        Steps:
            Fetch through each under answer and open.
        Verify:
            502, and the object; the cause is negotiation for the profile, refused for the others; the refused profile is told.
        """
        obj = Obj("length", 913, 30_000)
        for name, cause in (("no-offers", "negotiation"), ("no-xactions", "refused"), ("no-messages", "refused")):
            for policy in ("answer", "open"):
                last = self.lab.last_event()
                self.core(adapt_rule(name, on_failure=policy), names=(name,))
                r = self.fetch(obj)
                verify(r.stdout.startswith("502 ") if policy == "answer" else self.got == obj.body(), f"{name} {policy}: {r.stdout}")
                event = self.lab.wait_event("callout-failed", last)
                verify(event["cause"] == cause, f"{name} {policy}: {event}")
                if name == "no-offers" and policy == "answer":
                    self.lab.wait_event("feature-refused", last)

    @func_test
    def wishes(self) -> None:
        """What a server's answer to the profile asks for: the request's head, a pause, less preservation.

        Steps:
            Fetch objects through services with aux-parts (offered by the appliance and not), pause-at-body and
            preservation-interest-body.
        Verify:
            Every body is right; with aux-parts offered the service gets the request's head on top of the response.
        """
        out = {}
        for offered in ("", ", aux-parts: [request-header]"):
            self.core(adapt_rule("aux"), names=("aux",), more=offered)
            obj = Obj("chunked", 914, 200_000)
            with self.delta() as d:
                self.fetch(obj, "-H", "X-Long: " + "x" * 3000)
            verify(self.got == obj.body() and d["fail_open"] == 0, f"{offered}: {same(self.got, obj.body())}")
            out[offered] = d["callout_octets_out"]
        verify(3000 < out[", aux-parts: [request-header]"] - out[""] < 3500, f"{out}")
        for name in ("pauses", "forgets"):
            self.core(adapt_rule(name, on_failure="closed"), names=(name,))
            for mode in ("length", "chunked", "trailers", "close"):
                obj = Obj(mode, 915, 300_000)
                r = self.fetch(obj)
                verify(r.returncode == OK and self.got == obj.body(), f"{name} {mode}: {r.stderr} {same(self.got, obj.body())}")

    @func_test
    def interim_responses(self) -> None:
        """An interim response (103) goes to a service when a rule's status names it (RFC 4236 section 3.5).

        Steps:
            GET a page behind a 103 through header, by a rule with status 103, by one without status, by both.
        Verify:
            The field is in the 103, in the final response, in both.
        """
        named, plain = adapt_rule("header", more=", status: 103").replace("header-", "named-"), adapt_rule("header")
        for rules, want in (((named,), [True, False]), ((plain,), [False, True]), ((named, plain), [True, True])):
            self.core(*rules, names=("header",))
            head = self.lab.dir / "head"
            with self.delta() as d:
                self.lab.curl("-D", str(head), "-o", "/dev/null", url("/early"))
            heads = head.read_bytes().decode("latin-1").split("\r\n\r\n")[:2]
            verify(len(heads) == 2, f"{heads} {self.lab.events()[-4:]}")
            verify(heads[0].startswith("HTTP/1.1 103") and heads[1].startswith("HTTP/1.1 200"), f"{heads}")
            verify(["X-Opes: seen" in h for h in heads] == want and d["txn_done"] == sum(want), f"{want}: {heads} {d['txn_done']}")

    @func_test
    def both_dialects(self) -> None:
        """One server, one service in each dialect, and a service whose dialect is changed by reload.

        Steps:
            Fetch through as-is in draft and echo in core; exchange the dialects; fetch again. A server that speaks draft only.
        Verify:
            Every body is right. The server that does not speak core ends the connection (<59>): an event says so, the policy is carried out.
        """
        obj = Obj("chunked", 916, 300_000)
        for dialects in (("draft", "core"), ("core", "draft")):
            services = ", ".join(f'{{name: {n}, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:{n}", dialect: {x}}}'
                                 for n, x in zip(("as-is", "echo"), dialects))
            rules = [adapt_rule(n, more=f", path: {{prefix: /o/{m}}}") for n, m in (("as-is", "chunked"), ("echo", "length"))]
            self.lab.set_rules("[" + ", ".join(rules) + "]", f"[{services}]")
            self.lab.wait_rules()
            for n in ("as-is", "echo"):
                self.lab.wait_service(n)
            for o in (obj, Obj("length", 917, 300_000)):
                with self.delta() as d:
                    self.fetch(o)
                verify(self.got == o.body() and d["txn_done"] == 1, f"{dialects} {o.mode}: {d}")
        last = self.lab.last_event()
        self.callout.stop()
        self.lab.processes.remove(self.callout)
        self.callout = self.lab.start_callout(*SERVICES, extra=("--dialect", "draft"))
        try:
            self.lab.set_rules(f"[{adapt_rule('as-is', on_failure='answer')}]",
                               '[{name: as-is, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:as-is", dialect: core}]')
            self.lab.wait_rules()
            event = self.lab.wait_event("service-unreachable", last)
            verify(event["cause"] in ("negotiation", "connect"), f"{event}")  # what comes before connection-start is ignored
            r = self.fetch(obj)
            verify(r.stdout.startswith("502 "), r.stdout)
        finally:
            self.callout.stop()
            self.lab.processes.remove(self.callout)
            time.sleep(0.1)
            self.callout = self.lab.start_callout(*SERVICES)
