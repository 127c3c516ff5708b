# SPDX-License-Identifier: BSD-3-Clause
"""A callout server that dies, hangs or is not there: the exception policy of the rule decides, byte for byte."""

from __future__ import annotations

import hashlib
import os
import signal
import time

from opes_api.appliance import ALL_SERVICES, ApplianceSuite, adapt_rule, same, url
from opes_api.lab import SRV4, Process, wait_for
from opes_api.objects import Obj, adapted
from opes_api.suite import func_test, verify

BIG = Obj("length", 900, 100 << 20)
RESET, OK = 56, 0


class TestCalloutFailure(ApplianceSuite):
    """kill -9 in the middle of things."""

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.big = BIG.body()

    def set_up_test_case(self) -> None:
        if not self.callout.alive():
            self.callout = self.lab.start_callout(*ALL_SERVICES)

    def start_download(self, obj: Obj, rate: str = "40M") -> Process:
        """curl in the background, slow enough to be met in the middle."""
        self.out = self.lab.dir / "download"
        self.out.unlink(missing_ok=True)
        return self.lab.cli.start("curl", "curl", "-sS", "--max-time", "100", "--limit-rate", rate, "-w", "%{http_code}",
                                  "-o", str(self.out), url(obj.path))

    def received(self) -> int:
        return self.out.stat().st_size if self.out.exists() else 0

    def kill_in_the_middle(self, policy: str, service: str = "as-is") -> tuple[Process, int, int]:
        """Download BIG and kill the server past 30 MiB: curl, octets it had then, last event before."""
        self.use(adapt_rule(service, on_failure=policy))
        last = self.lab.last_event()
        curl = self.start_download(BIG)
        wait_for("30 MiB have arrived", lambda: self.received() > 30 << 20, 30)
        at = self.received()
        verify(at < 90 << 20, "the download is over before the kill")
        os.kill(self.callout.pid, signal.SIGKILL)
        self.callout.popen.wait(10)
        curl.popen.wait(60)
        return curl, at, last

    @func_test
    def killed_open(self) -> None:
        """The server dies in the middle of 100 MiB; policy open.

        Steps:
            Download 100 MiB through as-is; kill -9 the server after 30 MiB; start it again.
        Verify:
            SHA-256 is equal; the event fail-open names the octet, which lies beyond what the client had; with the server
            back, the next download is adapted again without anyone's help.
        """
        with self.delta() as d:
            curl, at, last = self.kill_in_the_middle("open")
        verify(curl.popen.returncode == OK, f"curl: {curl.output()}")
        got = self.out.read_bytes()
        verify(hashlib.sha256(got).digest() == hashlib.sha256(self.big).digest(), same(got, self.big))
        verify(d["fail_open"] == 1 and d["txn_failed"] == 1 and d["flow_aborted"] == 0, f"{d}")
        event = self.lab.wait_event("fail-open", last)
        verify(at <= event["offset"] < len(self.big) and str(event["offset"]) in event["text"], f"{at}: {event}")
        verify(event["cause"] == "lost" and event["service"] == "as-is", f"{event}")
        verify(d["as_is_octets"] < 95 << 20, "the service had sent everything already")
        print(f"    the client had {at} octets, the event says {event['offset']}")
        self.callout = self.lab.start_callout(*ALL_SERVICES)
        self.lab.wait_service("as-is")
        obj = Obj("chunked", 901, 1 << 20)
        with self.delta() as d:
            r = self.fetch(obj)
        verify(r.returncode == OK and self.got == obj.body(), f"afterwards: {r.stderr}")
        verify(d["txn_done"] == 1 and d["fail_open"] == 0, "it was not adapted after the server came back")

    @func_test
    def killed_after_changes(self) -> None:
        """The server dies after it has changed octets; policy open cannot be kept.

        Steps:
            As killed_open, through replace.
        Verify:
            The client sees a reset, never a mixture: what it has is a beginning of the replaced body; the event says why.
        """
        with self.delta() as d:
            curl, _, last = self.kill_in_the_middle("open", "replace")
        verify(curl.popen.returncode == RESET, f"curl ended with {curl.popen.returncode}: {curl.output()}")
        got, want = self.out.read_bytes(), adapted("replace", self.big)
        verify(len(got) < len(want) and got == want[:len(got)], f"not a beginning of the replaced body: {same(got, want)}")
        verify(d["fail_unrecoverable"] == 1 and d["fail_open"] == 0, f"{d}")
        self.lab.wait_event("fail-closed", last)

    @func_test
    def little_preservation(self) -> None:
        """Hardly anything may be preserved.

        Steps:
            A rule with preserve: 64KiB; fetch 20 MiB through as-is; then with preserve: 0.
        Verify:
            Every octet is right; without preservation the octets come from the service.
        """
        obj = Obj("length", 906, 20 << 20)
        for preserve in ("64KiB", "0"):
            self.use(adapt_rule("as-is").removesuffix("}") + f", preserve: {preserve}}}")
            with self.delta() as d:
                r = self.fetch(obj)
            verify(r.returncode == OK and self.got == obj.body(), f"{preserve}: {r.stderr} {same(self.got, obj.body())}")
            verify(d["msg_adapted"] == 1 and d["fail_open"] == 0 and d["txn_done"] == 1, f"{preserve}: {d}")
            # With a little the sender is slowed down to it; with nothing the service has to send the octets.
            verify((d["callout_octets_in"] > obj.size * 9 // 10 and d["preserved_refused"] > 0) == (preserve == "0"), f"{preserve}: {d}")

    @func_test
    def killed_closed(self) -> None:
        """The same with policy closed.

        Steps:
            As killed_open.
        Verify:
            The client sees a reset (curl 56); what it has is a beginning of the original; an event fail-closed.
        """
        with self.delta() as d:
            curl, _, last = self.kill_in_the_middle("closed")
        verify(curl.popen.returncode == RESET, f"curl ended with {curl.popen.returncode}: {curl.output()}")
        got = self.out.read_bytes()
        verify(len(got) < len(self.big) and got == self.big[:len(got)], "what came is not a beginning of the original")
        verify(d["fail_closed"] == 1 and d["fail_open"] == 0, f"{d}")
        self.lab.wait_event("fail-closed", last)

    @func_test
    def killed_answer_in_the_middle(self) -> None:
        """The same with policy answer: too late for an answer, so the flow is reset.

        Steps:
            As killed_open.
        Verify:
            curl 56, and nothing of an answer of ours stands in the body.
        """
        curl, _, _ = self.kill_in_the_middle("answer")
        verify(curl.popen.returncode == RESET, f"curl ended with {curl.popen.returncode}: {curl.output()}")
        got = self.out.read_bytes()
        verify(got == self.big[:len(got)], "what came is not a beginning of the original")

    @func_test
    def killed_before_the_first_octet(self) -> None:
        """The server dies with the message in its hands, before an octet of it was let go.

        Steps:
            Stop the server (SIGSTOP), download 1 MiB, kill -9; with policy answer, open and closed.
        Verify:
            answer: a 502 page and the connection lives on; open: the object, complete; closed: reset.
        """
        obj = Obj("length", 902, 1 << 20)
        for policy, code, exit_code in (("answer", "502", OK), ("open", "200", OK), ("closed", None, RESET)):
            self.set_up_test_case()
            self.use(adapt_rule("as-is", on_failure=policy))
            os.kill(self.callout.pid, signal.SIGSTOP)
            with self.delta() as d:
                curl = self.start_download(obj)
                wait_for("the transaction is open", lambda: self.lab.gauges().get("txns", 0) == 1, 5)
                time.sleep(0.3)
                verify(self.received() == 0, "octets passed a service that had not answered")
                os.kill(self.callout.pid, signal.SIGKILL)
                self.callout.popen.wait(10)
                curl.popen.wait(30)
            verify(curl.popen.returncode == exit_code, f"{policy}: curl {curl.popen.returncode}: {curl.output()}")
            verify(d["txn_failed"] == 1, f"{policy}: {d}")
            if code:
                verify(curl.output().endswith(code), f"{policy}: {curl.output()}")
            if policy == "answer":
                verify(d["fail_answer"] == 1 and b"<html" in self.out.read_bytes().lower(), "no page of ours")
            if policy == "open":
                verify(self.out.read_bytes() == obj.body(), "the object differs")

    @func_test
    def deadline(self) -> None:
        """The server hangs.

        Steps:
            Stop the server (SIGSTOP) with a deadline of 700 ms; fetch 2 MiB under open and answer; let it go on.
        Verify:
            open: the object arrives complete after the deadline; answer: 502; cause deadline in the events; afterwards the
            service adapts again.
        """
        obj = Obj("length", 903, 2 << 20)
        more = ", deadline: 700ms"
        for policy in ("open", "answer"):
            self.use(adapt_rule("as-is", on_failure=policy), more=more)
            last = self.lab.last_event()
            os.kill(self.callout.pid, signal.SIGSTOP)
            try:
                start = time.monotonic()
                r = self.fetch(obj)
                took = time.monotonic() - start
            finally:
                os.kill(self.callout.pid, signal.SIGCONT)
            verify(r.returncode == OK and 0.5 < took < 15, f"{policy}: {r.stderr} after {took:.1f} s")
            if policy == "open":
                verify(self.got == obj.body(), same(self.got, obj.body()))
            else:
                verify(r.stdout.startswith("502 "), f"answer: {r.stdout}")
            failed = self.lab.wait_event("callout-failed", last)
            verify(failed["cause"] == "deadline", f"{failed}")
            wait_for("the service adapts again", lambda: self.adapts(obj), 15, 0.5)

    def adapts(self, obj: Obj) -> bool:
        with self.delta() as d:
            r = self.fetch(obj)
        return r.returncode == OK and self.got == obj.body() and d["txn_done"] == 1 and d["txn_failed"] == 0

    @func_test
    def no_server_at_start(self) -> None:
        """The callout server is not there when the appliance starts, and comes later.

        Steps:
            End server, control and dataplane; start both without a server, policy open, closed, answer in turn; fetch.
            Then start the server.
        Verify:
            open: the object; closed: reset; answer: 502; the dataplane was ready at once. With the server there
            adaptation begins by itself.
        """
        for p in (self.callout, self.lab.control, self.lab.dataplane):
            p.stop()
            self.lab.processes.remove(p)
        self.use_without_control(adapt_rule("as-is", on_failure="open"))
        self.lab.start_dataplane()
        self.lab.start_control()
        self.lab.wait_rules()
        obj = Obj("length", 904, 3 << 20)
        for policy in ("open", "closed", "answer"):
            if policy != "open":
                self.lab.set_rules(f"[{adapt_rule('as-is', on_failure=policy)}]", self.lab._config_args["services"])
                self.lab.wait_rules()
            verify(self.lab.service("as-is").get("state") != "up", "the service is up without a server")
            with self.delta() as d:
                r = self.fetch(obj)
            if policy == "open":
                verify(r.returncode == OK and self.got == obj.body(), f"open: {r.stdout} {r.stderr}")
            elif policy == "closed":
                verify(r.returncode == RESET, f"closed: curl {r.returncode} {r.stderr}")
            else:
                verify(r.returncode == OK and r.stdout.startswith("502 "), f"answer: {r.stdout} {r.stderr}")
            verify(d[f"fail_{policy}"] == 1, f"{policy}: {d}")
        generation = self.lab.generation()
        self.callout = self.lab.start_callout(*ALL_SERVICES)
        self.lab.wait_service("as-is", seconds=35)
        verify(self.adapts(obj), "not adapted although the server is there")
        verify(self.lab.generation() == generation, "the rules were published anew")

    def use_without_control(self, rule: str) -> None:
        args = dict(self.lab._config_args, rules=f"[{rule}]")
        args["services"] = f'[{{name: as-is, address: "tcp:127.0.0.1:4037"}}]'
        self.lab.write_config(driver=self.lab.driver, **args)

    @func_test
    def killed_under_load(self) -> None:
        """The server dies and comes back again and again under load, policy open.

        Steps:
            wrk with 30 connections on as-is; kill -9 and restart the server three times.
        Verify:
            No connection error, no wrong status: no client notices; adaptation goes on each time.
        """
        self.use(adapt_rule("as-is"))
        with self.delta() as d:
            wrk = self.lab.cli.start("wrk", "wrk", "-t", "1", "-c", "30", "-d", "9s", "--timeout", "15s",
                                     url("/o/length/905/20000/0", SRV4))
            for _ in range(3):
                time.sleep(1.5)
                os.kill(self.callout.pid, signal.SIGKILL)
                self.callout.popen.wait(10)
                time.sleep(0.5)
                self.callout = self.lab.start_callout(*ALL_SERVICES)
                self.lab.wait_service("as-is")
            wrk.popen.wait(40)
        out = wrk.output()
        verify("Requests/sec" in out and "Socket errors" not in out and "Non-2xx" not in out, out)
        verify(d["fail_open"] > 0 and d["txn_done"] > 500, f"fail_open {d['fail_open']}, txn_done {d['txn_done']}")
