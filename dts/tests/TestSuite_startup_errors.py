# SPDX-License-Identifier: BSD-3-Clause
"""What is wrong at the start is said in one clear line, and nothing is left half-started."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import time

from opes_api.appliance import CALLOUT_PORT, adapt_rule, services
from opes_api.lab import Lab, Process, wait_for
from opes_api.suite import TestSuite, func_test, verify

SECONDS = 10


class TestStartupErrors(TestSuite):
    """Each case starts the real programs with one thing wrong."""

    def set_up_suite(self) -> None:
        self.lab = Lab()
        self.lab.make()
        if self.lab.driver == "auto" and not self.lab.testbed:
            # Find out which one works here, then leave the stage.
            self.lab.write_config()
            self.lab.start_dataplane().stop()

    def tear_down_suite(self) -> None:
        self.lab.close()

    # --- running ---------------------------------------------------------------------------------

    def config(self, change=lambda text: text, **kw: str) -> str:
        """A right configuration, then changed."""
        kw.setdefault("rules", f"[{adapt_rule('as-is')}]")
        kw.setdefault("services", services("as-is"))
        self.lab.write_config(driver=self.lab.driver, **kw)
        text = self.lab.config.read_text()
        changed = change(text)
        self.lab.config.write_text(changed)
        return changed

    def start(self, program: str, *argv: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        words = {"opes-dataplane": ("-c", str(self.lab.config)),
                 "opes-control": ("-c", str(self.lab.config), "--foreground"),
                 "opesctl": ("config", "check", str(self.lab.config))}[program]
        p = subprocess.Popen(self.lab.dut.argv((*before, self.lab.program(program), *(argv or words))),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = p.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            p.terminate()
            out, err = p.communicate()
            err = f"{program} did not end by itself\n{err}"
        return subprocess.CompletedProcess(p.args, p.returncode, out, err)

    def left_over(self) -> list[str]:
        """Files, locks and processes that a failed start has left."""
        prefix = f"opes{self.lab.tag}"
        left = glob.glob(f"/dev/hugepages/{prefix}map*")[:3]
        if os.path.exists(self.lab.socket):
            left.append(self.lab.socket)
        for lock in (f"/run/opes/{prefix}.lock", f"/var/run/dpdk/{prefix}/config", f"{self.lab.socket}.lock"):
            if os.path.exists(lock) and subprocess.run(["flock", "-n", lock, "true"]).returncode != 0:
                left.append(f"{lock} is held")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                cmd = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            except OSError:
                continue
            if any(p in cmd[0] for p in (b"opes-dataplane", b"opes-control")) and str(self.lab.config).encode() in cmd:
                left.append(f"process {pid}")
        return left

    def refused(self, what: str, p: subprocess.CompletedProcess, *expected: str) -> None:
        """One line that says it, a bad exit code, not ready, nothing left."""
        lines = p.stderr.strip().splitlines()
        verify(p.returncode > 0, f"{what}: exit code {p.returncode}\n{p.stdout}{p.stderr}")
        verify(len(lines) == 1, f"{what}: {len(lines)} lines instead of one:\n{p.stderr}")
        for e in expected:
            verify(re.search(e, lines[0]), f"{what}: no '{e}' in: {lines[0]}")
        verify("ready" not in p.stdout, f"{what}: {p.stdout}")
        verify(not self.left_over(), f"{what}: left over: {self.left_over()}")

    def wrong_everywhere(self, what: str, *expected: str) -> None:
        """The same wrong file, the same words, whichever program reads it."""
        for program in ("opes-dataplane", "opes-control", "opesctl"):
            p = self.start(program)
            if program == "opesctl":
                p.stderr = "\n".join(line for line in p.stderr.splitlines() if re.search(expected[0], line))
            self.refused(f"{program}: {what}", p, *expected)

    def at(self, text: str, needle: str) -> str:
        """file:line:column of needle in the configuration."""
        line = text[:text.index(needle)].count("\n") + 1
        column = text.index(needle) - (text.rfind("\n", 0, text.index(needle)) + 1) + 1
        return re.escape(f"{self.lab.config}:{line}:{column}:")

    # --- cases -----------------------------------------------------------------------------------

    @func_test
    def wrong_key(self) -> None:
        """A key that does not exist.

        Steps:
            Write lcoers instead of lcores; start each program.
        Verify:
            One line with file, line, column, the key and what was probably meant; exit code non-zero; nothing left.
        """
        text = self.config(lambda t: t.replace("lcores:", "lcoers:"))
        self.wrong_everywhere("wrong key", self.at(text, "lcoers"), "lcoers", "did you mean 'lcores'")

    @func_test
    def wrong_type(self) -> None:
        """A word where a number belongs.

        Steps:
            limits.flows: many; start each program.
        Verify:
            As wrong_key.
        """
        text = self.config(limits="{flows: many}")
        self.wrong_everywhere("wrong type", self.at(text, "many"), "flows|many")

    @func_test
    def unknown_service(self) -> None:
        """A rule names a service that is not there.

        Steps:
            service: nobody; start each program.
        Verify:
            As wrong_key.
        """
        text = self.config(rules="[{name: r, match: {protocol: http}, action: adapt, service: nobody}]")
        self.wrong_everywhere("unknown service", self.at(text, "nobody"), "nobody")

    @func_test
    def bad_regular_expression(self) -> None:
        """A regular expression that is none.

        Steps:
            path: {regex: "a(b"}; start each program.
        Verify:
            As wrong_key; the expression is in the line.
        """
        text = self.config(rules='[{name: r, match: {protocol: http, path: {regex: "a(b"}}, action: block}]')
        self.wrong_everywhere("regular expression", re.escape(f"{self.lab.config}:") + r"\d+:\d+:", re.escape("a(b"))
        verify('"a(b"' in text, "the file has another expression")

    @func_test
    def overlapping_ports(self) -> None:
        """Port ranges that overlap, and one device for both ends.

        Steps:
            server-port: [80, 70-90]; then the same interface for inside and outside; start each program.
        Verify:
            As wrong_key.
        """
        text = self.config(rules="[{name: r, match: {protocol: http, server-port: [80, 70-90]}, action: block}]")
        self.wrong_everywhere("overlapping ranges", self.at(text, "70-90"), "70-90|80")
        inside, outside = self.lab.devices(self.lab.driver)
        self.config(lambda t: t.replace(outside, inside))
        self.wrong_everywhere("one device twice", re.escape(f"{self.lab.config}:") + r"\d+:\d+:", "the same device")
        if not self.lab.testbed:
            self.config(lambda t: t.replace("iface=out0", "iface=in0"))
            self.refused("one interface twice", self.start("opes-dataplane"), re.escape(str(self.lab.config)), "in0")

    @func_test
    def two_errors_at_once(self) -> None:
        """Several errors are all told.

        Steps:
            A wrong key and a wrong type in one file.
        Verify:
            Two lines, each with its place.
        """
        self.config(lambda t: t.replace("lcores:", "lcoers:"), limits="{flows: many}")
        p = self.start("opes-dataplane")
        lines = p.stderr.strip().splitlines()
        verify(p.returncode > 0 and len(lines) == 2, f"{p.returncode}: {p.stderr}")
        verify(all(re.match(re.escape(str(self.lab.config)) + r":\d+:\d+: ", x) for x in lines), p.stderr)

    @func_test
    def missing_file(self) -> None:
        """No such configuration.

        Steps:
            Start each program with a file that does not exist.
        Verify:
            One line with the name; exit code non-zero.
        """
        self.config()
        self.lab.config.unlink()
        self.wrong_everywhere("missing file", re.escape(str(self.lab.config)), "No such file")

    @func_test
    def no_hugepages(self) -> None:
        """No hugepages, too few, none mounted.

        Steps:
            In a mount namespace of its own start the dataplane: without hugepages in /sys; with a hugetlbfs of
            8 MiB; without a hugetlbfs; then ask for more memory than there is.
        Verify:
            One line each that says so and what to do; nothing left, no file with hugepages either.
        """
        self.config()

        def with_mounts(script: str) -> tuple[str, ...]:
            return ("unshare", "-m", "sh", "-ec", f'{script}; exec "$@"', "sh")

        for what, script, expected in (
                ("none", "mount -t tmpfs none /sys/kernel/mm/hugepages", ("no hugepages", "nr_hugepages")),
                ("a small hugetlbfs", "mount -t hugetlbfs -o size=8M none /dev/hugepages", ("[Mm]emory|hugepage",)),
                ("no hugetlbfs", "umount -a -t hugetlbfs", ("not mounted", "mount"))):
            self.refused(what, self.start("opes-dataplane", before=with_mounts(script)), *expected)
        self.config(memory="512GiB")
        self.refused("too much", self.start("opes-dataplane"), "MiB of hugepages", "nr_hugepages")

    @func_test
    def no_such_port(self) -> None:
        """Ports that do not exist.

        Steps:
            An interface, a PCI address, a driver and a processor that are not there.
        Verify:
            One line each with the name; nothing left.
        """
        inside, _ = self.lab.devices(self.lab.driver)
        for what, device, expected in (
                ("interface", "net_af_packet0,iface=nosuch0", ("nosuch0", "does not exist")),
                ("PCI address", "0000:fe:1d.7", ("0000:fe:1d.7", "does not exist")),
                ("driver", "net_nosuch0", ("net_nosuch0",)),
                ("name", "eth0", ("eth0",))):
            self.config(lambda t, d=device: t.replace(inside, d))
            self.refused(what, self.start("opes-dataplane"), *expected)
        self.config(lcores="{workers: [97], callout: 0}")
        self.refused("processor", self.start("opes-dataplane"), "97")

    @func_test
    def second_instance(self) -> None:
        """A dataplane beside another with the same file prefix.

        Steps:
            Start one; start another; look whether the first still forwards; end the first; start it again.
        Verify:
            The second says who is there, in one line, and ends; the first goes on; afterwards nothing stands in the way.
        """
        self.config()
        first = self.lab.start_dataplane()
        p = self.start("opes-dataplane")
        verify(p.returncode > 0 and len(p.stderr.strip().splitlines()) == 1 and str(first.pid) in p.stderr, p.stderr)
        verify("ready" not in p.stdout, p.stdout)
        verify(first.alive() and self.lab.ping_ok(), "the first was disturbed")
        verify(first.stop() == 0, f"the first ended with {first.popen.returncode}")
        verify(not self.left_over(), f"left over: {self.left_over()}")
        self.again(first)

    def again(self, gone: Process) -> None:
        self.lab.processes.remove(gone)
        p = self.lab.start_dataplane()
        wait_for("a ping crosses", self.lab.ping_ok, 5)
        verify(p.stop() == 0 and not self.left_over(), f"left over: {self.left_over()}")
        self.lab.processes.remove(p)

    @func_test
    def killed_instance(self) -> None:
        """A dataplane that was killed leaves nothing that hinders the next.

        Steps:
            kill -9 a dataplane; start it again.
        Verify:
            It starts and forwards; when that one has ended, no file with hugepages is left.
        """
        self.config()
        first = self.lab.start_dataplane()
        first.kill()
        self.again(first)

    @func_test
    def wrong_options(self) -> None:
        """Command lines that are wrong.

        Steps:
            An unknown option, a superfluous argument, for each program; opes-callout with an unknown service, a wrong
            address, a port that is taken.
        Verify:
            Exit code non-zero at once, something on stderr, nothing left.
        """
        self.config()
        for program in ("opes-dataplane", "opes-control", "opesctl"):
            for words in (("--nonsense",), ("nonsense", "nonsense")):
                p = self.start(program, *words)
                verify(p.returncode > 0 and p.stderr.strip(), f"{program} {words}: {p.returncode} {p.stderr}")
        callout = self.lab.program("opes-callout")
        taken = self.lab.start_callout("echo")
        for words in (("--service", "nosuch"), ("--listen", "tcp:nowhere"), ("--service", "replace"),
                      ("--listen", f"tcp:127.0.0.1:{CALLOUT_PORT}"), ("--nonsense",)):
            p = self.lab.dut.run(callout, *words, check=False, timeout=SECONDS)
            verify(p.returncode > 0 and p.stderr.strip() and "ready" not in p.stdout, f"opes-callout {words}: {p}")
        verify(taken.alive(), "the first opes-callout ended")
        verify(taken.stop() == 0, f"opes-callout ended with {taken.popen.returncode}")
        self.lab.processes.remove(taken)
        verify(not self.left_over(), f"left over: {self.left_over()}")

    @func_test
    def ready_is_quick(self) -> None:
        """The start of everything right.

        Steps:
            Start the dataplane and control.
        Verify:
            Frames cross when the dataplane says that it is ready; both end with exit code 0 on SIGTERM; nothing left.
        """
        self.config()
        start = time.monotonic()
        p = self.lab.start_dataplane()
        took = time.monotonic() - start
        verify(self.lab.ping_ok(), "ready, but no ping crosses")
        c = self.lab.start_control()
        self.lab.wait_rules()
        for q in (c, p):
            verify(q.stop() == 0, f"{q.name} ended with {q.popen.returncode}: {q.output()[-500:]}")
            self.lab.processes.remove(q)
        verify(not self.left_over(), f"left over: {self.left_over()}")
        print(f"    ready after {took:.2f} s")
