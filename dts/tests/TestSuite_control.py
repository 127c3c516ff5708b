# SPDX-License-Identifier: BSD-3-Clause
"""Control comes, goes and changes its mind while traffic flows."""

from __future__ import annotations

import json
import os
import signal
import time

from opes_api.appliance import ALL_SERVICES, ApplianceSuite, adapt_rule, services, url
from opes_api.lab import SRV4, Process, run, wait_for
from opes_api.objects import Obj, adapted
from opes_api.suite import func_test, verify

PAGE = Obj("length", 31, 20000)


class TestControl(ApplianceSuite):
    """Reload, death and return of opes-control."""

    def set_up_test_case(self) -> None:
        if not self.callout.alive():
            self.callout = self.lab.start_callout(*ALL_SERVICES)
        if not self.lab.control.alive():
            self.lab.start_control()
        self.use(adapt_rule("replace"))

    def is_adapted(self) -> bool:
        r = self.fetch(PAGE)
        want = adapted("replace", PAGE.body())
        verify(want != PAGE.body(), "the object carries no pattern")
        return r.returncode == 0 and self.got == want

    def start_ping(self, seconds: float) -> Process:
        count = int(seconds * 100)
        p = self.lab.cli.start("ping", "ping", "-q", "-i", "0.01", "-c", str(count), "-W", "2", SRV4)
        p.count = count
        return p

    def ping_lost_nothing(self, p: Process) -> None:
        p.popen.wait(60)
        verify(f"{p.count} received, 0% packet loss" in p.output(), p.output())

    def kill(self, p: Process) -> None:
        os.kill(p.pid, signal.SIGKILL)
        p.popen.wait(10)

    @func_test
    def ping_during_reload(self) -> None:
        """Ping while rules are reloaded again and again.

        Steps:
            ping every 10 ms; reload 12 times, alternating rules.
        Verify:
            Each reload puts a new generation in force; no echo is lost.
        """
        before = self.lab.generation()
        ping = self.start_ping(5)
        for i in range(12):
            self.lab.set_rules(f"[{adapt_rule(('as-is', 'replace')[i % 2])}]", services("as-is", "echo", "replace"))
        verify(self.lab.generation() >= before + 12, f"generation {self.lab.generation()} after 12 reloads of {before}")
        verify(ping.alive(), "ping was over before the reloads")
        self.ping_lost_nothing(ping)

    @func_test
    def ping_during_control_death(self) -> None:
        """Ping while control dies and comes back.

        Steps:
            ping every 10 ms; kill -9 opes-control, start it again, twice.
        Verify:
            No echo is lost; the rules stay in force while control is away: pages are still adapted.
        """
        ping = self.start_ping(8)
        for _ in range(2):
            self.kill(self.lab.control)
            verify(self.is_adapted(), "the page is not adapted without control")
            self.lab.start_control()
            self.lab.wait_rules()
        verify(ping.alive(), "ping was over before control was back")
        self.ping_lost_nothing(ping)

    @func_test
    def ping_during_callout_death(self) -> None:
        """Ping while the callout server dies and comes back.

        Steps:
            ping every 10 ms; kill -9 the server, fetch a page, start it again.
        Verify:
            No echo is lost.
        """
        ping = self.start_ping(5)
        self.kill(self.callout)
        self.fetch(PAGE)
        self.callout = self.lab.start_callout(*ALL_SERVICES)
        self.lab.wait_service("replace")
        verify(ping.alive(), "ping was over before the server was back")
        self.ping_lost_nothing(ping)

    @func_test
    def reload_under_load(self) -> None:
        """Reload under HTTP load.

        Steps:
            wrk with 50 connections; meanwhile 15 reloads that change the service, remove the rule and add it again.
        Verify:
            wrk reports no error; every response was whole; each rule adapted some.
        """
        with self.delta() as d:
            wrk = self.lab.cli.start("wrk", "wrk", "-t", "1", "-c", "50", "-d", "7s", "--timeout", "15s", url(PAGE.path))
            time.sleep(0.5)
            for i in range(15):
                rules = (adapt_rule("as-is"), adapt_rule("echo"), "")[i % 3]
                self.lab.set_rules(f"[{rules}]", services("as-is", "echo", "replace"))
                time.sleep(0.3)
            verify(wrk.alive(), "wrk was over before the reloads")
            wrk.popen.wait(40)
        out = wrk.output()
        verify("Requests/sec" in out and "Socket errors" not in out and "Non-2xx" not in out, out)
        verify(d["as_is_octets"] > 0 and d["callout_octets_in"] > 0 and d["msg_forwarded"] > d["msg_request"],
               f"not every rule was in use: {d}")
        verify(d["fail_open"] == 0 and d["flow_aborted"] == 0, f"{d}")

    @func_test
    def message_keeps_its_rules(self) -> None:
        """A message that began under old rules ends under them.

        Steps:
            Start a slow download through replace; reload with an empty rule list; fetch another page; wait.
        Verify:
            The download is replaced to its end; the page that began after the reload is not.
        """
        big = Obj("length", 32, 24 << 20)
        out = self.lab.dir / "slow"
        curl = self.lab.cli.start("slow-curl", "curl", "-sS", "--limit-rate", "8M", "-o", str(out), url(big.path))
        wait_for("it flows", lambda: out.exists() and out.stat().st_size > 1 << 20)
        self.lab.set_rules("[]", services("replace"))
        self.lab.wait_rules()
        verify(curl.alive(), "the download was over before the reload")
        verify(self.fetch(PAGE).returncode == 0 and self.got == PAGE.body(), "the new rules are not in force")
        curl.popen.wait(60)
        verify(out.read_bytes() == adapted("replace", big.body()), "the message did not keep its rules")

    @func_test
    def wrong_file_is_refused(self) -> None:
        """Reload with a wrong file.

        Steps:
            Write files with an unknown key, an unknown service, no YAML at all; reload each.
        Verify:
            Exit code 1; the error says file, line and column; generation, rules and traffic are as before.
        """
        right = self.lab.config.read_text()
        before = self.lab.generation()
        rules = self.lab.ctl_json("rules", "list")["rules"]
        for wrong in (right + "nonsense: 1\n", right.replace("service: replace,", "service: nobody,"), "{{{\n"):
            self.lab.config.write_text(wrong)
            p = self.lab.ctl("rules", "reload", check=False)
            verify(p.returncode == 1 and f"{self.lab.config}:" in p.stderr, f"{p.returncode}: {p.stdout}{p.stderr}")
            place = p.stderr.split(f"{self.lab.config}:", 1)[1].split(":")
            verify(place[0].isdigit() and place[1].isdigit(), f"no line and column: {p.stderr}")
            verify(self.lab.generation() == before, "the generation changed")
            verify(self.lab.ctl_json("rules", "list")["rules"] == rules, "the rules changed")
        verify(self.is_adapted(), "the old rules are not in force")
        self.lab.config.write_text(right)
        self.lab.ctl("rules", "reload")

    @func_test
    def restart_needed(self) -> None:
        """Reload of a change that needs a restart.

        Steps:
            Change limits.flows in the file; reload.
        Verify:
            Refused with the key's name; the rules stay.
        """
        right = self.lab.config.read_text()
        before = self.lab.generation()
        self.lab.config.write_text(right + "limits: {flows: 1024}\n")
        p = self.lab.ctl("rules", "reload", check=False)
        self.lab.config.write_text(right)
        verify(p.returncode == 1 and "limits" in p.stderr and "restart" in p.stderr, p.stderr)
        verify(self.lab.generation() == before and self.is_adapted(), "the rules changed")

    @func_test
    def second_control_is_refused(self) -> None:
        """A second opes-control beside the first.

        Steps:
            Start another one with the same file.
        Verify:
            It ends at once with one line and a non-zero exit code; the first goes on.
        """
        pid = self.lab.ctl_json("status")["control_pid"]
        p = run(*self.lab.dut.argv((self.lab.program("opes-control"), "-c", str(self.lab.config), "--foreground")),
                check=False, timeout=20)
        lines = (p.stdout + p.stderr).strip().splitlines()
        verify(p.returncode not in (0, None) and len(lines) == 1 and str(pid) in lines[0], f"{p.returncode}: {lines}")
        verify(self.lab.ctl_json("status")["control_pid"] == pid, "the first does not answer")
        self.lab.ctl("rules", "reload")

    @func_test
    def restart_takes_over(self) -> None:
        """A control that starts anew takes over from a dead one.

        Steps:
            Adapt a page; kill -9 control; start it again; ask; reload.
        Verify:
            The same rules and generation are in force without a new publication; counters go on; events of before the
            death are not lost; reload works.
        """
        verify(self.is_adapted(), "the page is not adapted")
        before, counters = self.lab.ctl_json("status"), self.lab.counters()
        self.kill(self.lab.control)
        self.lab.start_control()
        self.lab.wait_rules()
        after = self.lab.ctl_json("status")
        verify(after["control_pid"] != before["control_pid"], "it is the old one")
        for key in ("adopted", "generation", "rules", "dataplane_pid"):
            verify(after[key] == before[key], f"{key}: {before[key]} before, {after[key]} after")
        verify(self.lab.counters()["msg_adapted"] == counters["msg_adapted"], "counters changed")
        verify(self.is_adapted(), "the page is not adapted")
        self.use(adapt_rule("as-is"))
        verify(self.fetch(PAGE).returncode == 0 and self.got == PAGE.body(), "the reload had no effect")

    @func_test
    def dataplane_returns(self) -> None:
        """Control outlives the dataplane.

        Steps:
            End opes-dataplane; ask control; change the rules; start the dataplane again.
        Verify:
            Control says that it is down; afterwards it is up with the changed rules, with the same control.
        """
        control = self.lab.control
        self.lab.dataplane.stop()
        self.lab.processes.remove(self.lab.dataplane)
        self.lab.dataplane = None
        wait_for("control sees it", lambda: self.lab.ctl_json("status")["dataplane"] == "down")
        verify(self.lab.ctl("buffers", check=False).returncode == 1, "buffers of a dead dataplane")
        verify(json.loads(self.lab.ctl("--json", "buffers", check=False).stdout)["error"] != "", "no error text")
        self.lab.start_dataplane()
        self.lab.wait_rules()
        verify(control.alive(), "control ended")
        self.lab.wait_service("replace")
        verify(self.is_adapted(), "the page is not adapted")
