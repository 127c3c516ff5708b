# SPDX-License-Identifier: BSD-3-Clause
"""A million selected flows in one appliance: established, held, used again; what each takes of memory; how they age.

The appliance lies between two memif cables, opes-loadgen is clients and servers at once: each flow carries an HTTP
transaction when it is opened and another after all of them have been idle, and every octet of both is compared. About
two minutes on two processors, and 800 hugepages of 2 MiB while it runs: the suite asks the host for them and gives them
back. Where they cannot be had it takes 200,000 flows instead, and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from opes_api.hugepages import Hugepages, pages
from opes_api.suite import TestSuite, func_test, verify

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "box"))
from box.appliance import Appliance, memif, program, rule  # noqa: E402
from box.process import BoxError, Process, wait_for  # noqa: E402

MILLION, FEWER = 1_000_000, 200_000
SPARE = 1.1                    # entries of the table for each flow
PAGES = {MILLION: 800, FEWER: 400}
OCTETS_PER_FLOW = 640          # what an idle flow may take of memory, all in all
RING = 12


def memory(p: Process) -> dict[str, int]:
    """Octets a process has: of hugepages, and of its own ordinary memory."""
    rows = dict(r.split(":", 1) for r in Path(f"/proc/{p.pid}/status").read_text().splitlines())
    return {k: int(rows[k].split()[0]) * 1024 for k in ("HugetlbPages", "RssAnon")}


class TestMillion(TestSuite):
    """One appliance for each case; its limits are those of a million flows."""

    def set_up_suite(self) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        self.build = Path(os.environ.get("OPES_BUILD", ROOT / "build"))
        self.cpu, self.other = cpus[0], cpus[-1]
        self.hugepages = Hugepages()
        self.flows = next((n for n in (MILLION, FEWER) if self.hugepages.have(PAGES[n])), 0)
        if self.flows != MILLION:
            print(f"    {pages('free_hugepages')} hugepages are free, {PAGES[MILLION]} are needed: {self.flows} flows")
        verify(self.flows, f"{pages('free_hugepages')} hugepages are free, {PAGES[FEWER]} are needed")

    def tear_down_suite(self) -> None:
        self.hugepages.close()

    def set_up_test_case(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="opes-million-"))

    def tear_down_test_case(self) -> None:
        if not os.environ.get("OPES_KEEP_LOGS"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- parts ----------------------------------------------------------------------------------

    def appliance(self, action: str, entries: int, more: str = "", keys: str = "") -> Appliance:
        """memory 0: DPDK takes hugepages as they are needed, so that what is taken tells what is needed."""
        return Appliance(self.folder, self.build, self.cpu, rules=rule("all", action),
                         services=() if action == "forward" else (action,), memory="0", ring=RING,
                         limits=f"{{flows: {entries}{more}}}", server_cpu=self.other, more=keys)

    def entries(self) -> int:
        return int(self.flows * SPARE)

    def load(self, box: Appliance, hold: str) -> Process:
        argv = [program(self.build, "opes-loadgen"), "--lcore", str(self.other), "--idle", "yield", "--timeout", "60s",
                "--client-device", memif(0, "client", box.inside, ring=RING),
                "--server-device", memif(1, "client", box.outside, ring=RING),
                "--flows-held", str(self.flows), "--clients", "32", "--concurrency", "1000", "--hold", hold,
                "--response", "1KiB", "--json", str(self.folder / "load.json")]
        return Process("load", argv, self.folder)

    def wait_held(self, box: Appliance, load: Process, seconds: float = 300) -> dict[str, int]:
        """Until all flows are open and idle; the gauges then."""
        def probe() -> dict[str, int] | None:
            if not load.alive():
                raise BoxError(f"opes-loadgen ended with {load.popen.returncode}:\n{load.output()[-3000:]}")
            g = box.gauges()
            return g if g["flows"] == self.flows and g["flows_parked"] == self.flows else None
        return wait_for(f"{self.flows} flows are open and parked", probe, seconds, 0.25)

    def summary(self, load: Process) -> str:
        return next(row for row in load.output().splitlines() if row.startswith("held "))

    def hold_and_use(self, action: str) -> dict[str, int]:
        """The whole way of all flows through one action; what the counters have at the end."""
        n = self.flows
        with self.appliance(action, self.entries()) as box:
            before = memory(box.dataplane)
            load = self.load(box, "8s")
            try:
                held = self.wait_held(box, load)
                grown = {k: v - before[k] for k, v in memory(box.dataplane).items()}
                a = box.spent()
                time.sleep(2)
                idle = (box.spent() - a).worker / 2
                code = load.popen.wait(300)
            finally:
                load.stop()
            verify(code == 0, f"opes-loadgen says:\n{load.output()[-3000:]}")
            box.drained()
            c = box.counters()
        records = [json.loads(row) for row in (self.folder / "load.json").read_text().splitlines()]
        print(f"    {action}: {n} flows; {self.summary(load)}; {idle * 100:.1f} % of a processor while idle")
        verify(all(r["ok"] for r in records), f"records are not ok: {records}")
        verify(held["flows_active"] == 0, f"{held['flows_active']} of the idle flows are not parked")
        verify(held["mbufs_free"] > held["mbufs_total"] * 0.95, f"idle flows hold packet buffers: {held}")
        # Nothing grows with the flows but what was taken at the start.
        verify(grown["HugetlbPages"] <= 64 << 20, f"{grown['HugetlbPages']} octets of hugepages more with the flows")
        verify(grown["RssAnon"] <= 64 << 20, f"{grown['RssAnon']} octets of ordinary memory more with the flows")
        verify(idle < 0.2, f"{n} idle flows take {idle * 100:.0f} % of a processor")
        want = {"flow_created": n, "flow_established": n, "msg_request": 2 * n, "msg_response": 2 * n,
                "flow_table_full": 0, "fail_open": 0, "txn_failed": 0, "bad_checksum": 0}
        got = {k: c[k] for k in want}
        verify(got == want, f"{got}, not {want}")
        verify(c["flow_parked"] >= n and c["flow_unparked"] >= n, f"{c['flow_parked']} parked, {c['flow_unparked']} back")
        return c

    # --- cases ----------------------------------------------------------------------------------

    @func_test
    def forwarded(self) -> None:
        """A million flows that a rule selects and no message of which it matches (about 30 s).

        Steps:
            Open a million keep-alive HTTP connections, one transaction on each; let all be idle for 8 s; another
            transaction on each; close.
        Verify:
            Every octet of both millions of responses is right; while idle all flows are parked, hold no packet
            buffer and take no memory but what was taken at the start, and the worker sleeps; nothing is left.
        """
        c = self.hold_and_use("forward")
        verify(c["msg_forwarded"] == 4 * self.flows, f"{c['msg_forwarded']} messages were forwarded")

    @func_test
    def as_is(self) -> None:
        """The same with every response in the hands of a callout server (about 50 s).

        Steps:
            As above through a service as-is.
        Verify:
            As above, and both millions of responses have been with the service.
        """
        c = self.hold_and_use("as-is")
        verify(c["msg_adapted"] == c["txn_done"] == 2 * self.flows,
               f"{c['msg_adapted']} messages adapted in {c['txn_done']} transactions")

    @func_test
    def octets_per_flow(self) -> None:
        """Memory of an idle flow, from the process itself (about 3 s).

        Steps:
            Start the appliance with entries for half of the flows, and with entries for all; active flows and buffers
            alike. (With few entries, some lie in holes of DPDK's heap, and the difference would be too small.)
        Verify:
            What the process has more of hugepages and of ordinary memory is at most 640 octets an entry: table,
            index, timers and parked sessions together.
        """
        few, many = self.entries() // 2, self.entries()
        had = []
        for n in (few, many):
            with self.appliance("forward", n, ", active-flows: 65536") as box:
                had.append(sum(memory(box.dataplane).values()))
        each = (had[1] - had[0]) / (many - few)
        print(f"    {each:.1f} octets of memory for each of {many} flows")
        verify(each <= OCTETS_PER_FLOW, f"a flow takes {each:.1f} octets")
        verify(each > 300, f"a flow takes {each:.1f} octets: that cannot be all")

    @func_test
    def aging(self) -> None:
        """A million flows whose ends fall silent are forgotten, and meanwhile the worker answers (about 25 s).

        Steps:
            Open a million flows with an idle timeout of 10 s and no question to silent ends; stop the generator; ask the worker for flows again and again.
        Verify:
            All flows are forgotten by their timer, within 15 s of the last one's time; no answer takes longer than half
            a second.
        """
        with self.appliance("forward", self.entries(), ", idle-timeout: 10s", "tcp: {keepalive-probes: 0}\n") as box:
            load = self.load(box, "600s")
            try:
                # The first ones may be gone when the last one comes.
                wait_for(f"{self.flows} flows are open",
                         lambda: box.counters()["flow_established"] == self.flows and not box.gauges()["flows_active"],
                         300, 0.2)
                os.kill(load.pid, signal.SIGSTOP)
                begin, slowest = time.monotonic(), 0.0
                while box.gauges()["flows"]:
                    asked = time.monotonic()
                    box.ctl("flows", "list", "-n", "1", must=True)
                    slowest = max(slowest, time.monotonic() - asked)
                    verify(time.monotonic() - begin < 25, f"{box.gauges()['flows']} flows are left")
                c = box.counters()
            finally:
                # The appliance first: a memif peer that dies is none of this case's business.
                box.close()
                os.kill(load.pid, signal.SIGKILL)
                load.popen.wait()
        print(f"    aged within {time.monotonic() - begin:.1f} s, slowest answer {slowest * 1000:.0f} ms")
        verify(c["flow_timeout"] == self.flows, f"{c['flow_timeout']} flows timed out")
        verify(slowest < 0.5, f"an answer took {slowest:.2f} s")
