# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of pktgen-scenarios once for correctness, and their floods beside a transfer that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from opes_api.appliance import ApplianceSuite, adapt_rule, same
from opes_api.objects import Obj
from opes_api.suite import func_test, verify

FLOOD_SECONDS = 4
# argv: device, frames in a second, seconds; standard input: hexadecimal frames, one a line. Sends them in turn.
SEND = r"""
import socket, sys, time
dev, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
frames = [bytes.fromhex(line) for line in sys.stdin]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((dev, 0))
begin, n = time.monotonic(), 0
while (t := time.monotonic() - begin) < seconds:
    if n > t * rate:
        time.sleep(0.001)
        continue
    for _ in range(16):
        try:
            s.send(frames[n % len(frames)])
        except OSError:
            time.sleep(0.001)
        n += 1
print(n)
"""
RATE = 20000


class TestScenarios(ApplianceSuite):
    """A lab where port 8000 is adapted and port 80, which the floods go to, too; few flows, short handshakes."""

    limits = "{flows: 2048, handshake-timeout: 2s}"

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.folder = self.lab.root / "pktgen-scenarios"
        self.use(adapt_rule("echo"), adapt_rule("as-is", port=80))

    def flood(self, stream: str, count: int) -> list[str]:
        """Frames of a stream of lib/frames.py, in hexadecimal, without the stream's own process in ours."""
        code = f"import sys, frames\nfor f in frames.{stream}({count}): print(f.hex())"
        env = {"PYTHONPATH": str(self.folder / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                              check=True).stdout.split()

    def beside(self, stream: str, count: int = 20000) -> dict[str, int]:
        """Fetch objects while a stream comes in from the client's side; what the counters gain."""
        path = self.lab.dir / "flood.txt"
        path.write_text("\n".join(self.flood(stream, count)) + "\n")
        with self.delta() as d, open(path, encoding="ascii") as frames:
            argv = self.lab.cli.argv(("python3", "-c", SEND, self.lab.cli.dev, str(RATE), str(FLOOD_SECONDS)))
            sender = subprocess.Popen(argv, stdin=frames, stdout=subprocess.PIPE, text=True)
            fetched, end = 0, time.monotonic() + FLOOD_SECONDS - 0.5
            while time.monotonic() < end:
                obj = Obj("length", 900 + fetched, 200_000)
                r = self.fetch(obj)
                verify(r.returncode == 0, f"object {fetched} beside {stream}: {r.stderr}")
                verify(self.got == obj.body(), f"object {fetched} beside {stream}: {same(self.got, obj.body())}")
                fetched += 1
            sent = int(sender.communicate(timeout=30)[0])
        verify(fetched > 3, f"only {fetched} objects came beside {stream}")
        verify(d["rx_frames"] >= sent, f"{sent} frames were sent, {d['rx_frames']} came in")
        print(f"    {stream}: {sent} frames in {FLOOD_SECONDS} s, {fetched} objects of 200,000 octets beside them")
        return d

    @func_test
    def scenarios_by_testpmd(self) -> None:
        """Every scenario, quickly, over memif.

        Steps:
            pktgen-scenarios/run --quick: an appliance for each, dpdk-testpmd as generator and receiver.
        Verify:
            Figures, counters and gauges are as in expect/; no program ended.
        """
        out = self.lab.dir / "scenarios.json"
        argv = [str(self.folder / "run"), "--quick", "--build", str(self.lab.build), "--json", str(out)]
        p = subprocess.run(argv, capture_output=True, text=True, timeout=900)
        rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        passed = [r["name"] for r in rows if r["metric"] == "passed" and r["samples"] == [1]]
        verify(p.returncode == 0, f"{len(passed)} passed\n{p.stdout[-6000:]}{p.stderr[-2000:]}")
        verify(len(passed) == len(list((self.folder / "expect").iterdir())), f"only these ran: {', '.join(passed)}")

    @func_test
    def syn_beside_transfer(self) -> None:
        """SYNs from ever new addresses while objects are fetched.

        Steps:
            20,000 SYNs a second to a port that a rule takes up, more than may be half-open; objects through echo.
        Verify:
            Every object arrives whole; the budget for half-open flows was used up; nothing is left afterwards.
        """
        d = self.beside("syn", 40000)
        verify(d["half_open_exceeded"] > 0 and d["flow_created"] >= 500, f"the budget was never used up: {d}")

    @func_test
    def strays_beside_transfer(self) -> None:
        """ACKs and RSTs of connections that never began, fragments and malformed headers, while objects are fetched.

        Steps:
            20,000 frames of each a second; objects through echo.
        Verify:
            Every object arrives whole; no stray frame made a flow.
        """
        for stream in ("ack", "rst", "fragments", "malformed", "midstream"):
            d = self.beside(stream)
            verify(d["flow_created"] == d["flow_established"], f"{stream} made flows: {d['flow_created']} created, "
                   f"{d['flow_established']} established")
            verify(d["msg_adapted"] == d["flow_created"], f"{stream}: {d['msg_adapted']} messages adapted")
