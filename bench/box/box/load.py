# SPDX-License-Identifier: BSD-3-Clause
"""opes-loadgen against the appliance over memif: what was done, and what the box spent on it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from box.appliance import Appliance, Spent, memif, program
from box.process import BoxError
from box.setup import Setup

RING = 13  # log2 of slots: more than all windows together, so that nothing is dropped whoever loses his processor
OCTETS = {"1KiB": 1 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20, "100MiB": 100 << 20}
CONCURRENCY = {"1KiB": 64, "64KiB": 16, "1MiB": 16, "100MiB": 4}
PORTS = {"forward": 8000, "as-is": 8001, "echo": 8002}
RULES = ("[" + ", ".join(
    [f"{{name: forward, match: {{protocol: http, server-port: {PORTS['forward']}, path: {{exact: /none-is-this}}}}, "
     "action: block}"]
    + [f"{{name: {m}, match: {{protocol: http, server-port: {PORTS[m]}, kind: response}}, action: adapt, service: {m}}}"
       for m in ("as-is", "echo")]) + "]")
SERVICES = ("as-is", "echo")
BAD = ("txn_failed", "fail_open", "fail_closed", "fail_answer", "fail_unrecoverable", "msg_refused",
       "flow_aborted", "flow_timeout", "bad_checksum", "tcp_conflict")


@dataclass
class Done:
    """One run of the generator. Whole-run figures belong to `spent`, measured ones to rates and latencies."""
    transactions: int
    connections: int
    octets: int
    rate: float       # transactions per second
    p50: float
    p99: float
    spent: Spent
    wrong: str

    @property
    def cpu_seconds(self) -> float:
        """The worker's, and the callout server's. Cycles of busy rounds count what other programs took of the processor
        meanwhile; the thread's processor time counts rounds that found nothing. Both are too high: the lower is taken."""
        return min(self.spent.busy, self.spent.worker) + self.spent.callout


class Load:
    def __init__(self, setup: Setup, box: Appliance, folder: Path) -> None:
        self.setup, self.box, self.folder = setup, box, folder
        self.json = folder / "load.json"

    def argv(self, size: str, mode: str, *more: str) -> list[str]:
        return [program(self.setup.build, "opes-loadgen"),
                "--client-device", memif(0, "client", self.box.inside, 0, RING),
                "--server-device", memif(1, "client", self.box.outside, 1, RING),
                "--lcore", str(self.setup.generator_cpu), "--mbufs", "32768",
                "--eal", f"--file-prefix {self.folder.name}-load --no-pci", "--quiet", "--json", str(self.json),
                "--server-port", str(PORTS[mode]), "--response", size, *more]

    def result(self, code: int, text: str, mode: str, spent: Spent) -> Done:
        if code not in (0, 1) or not self.json.exists():
            raise BoxError(f"opes-loadgen: exit code {code}\n{text[-2000:]}")
        rows = {r["metric"]: r for r in map(json.loads, self.json.read_text().splitlines())}
        first = rows["transactions_per_second"]
        client = first["client"]
        c = spent.counters or {}
        wrong = [f"opes-loadgen: {first['note'] or 'failed'}"] if code else []
        wrong += [f"{k} {c[k]}" for k in BAD if c.get(k)]
        # The last acknowledgements of connections may find the generator gone.
        if c["tx_dropped"] > 2 * max(client["opened"], 1):
            wrong.append(f"{c['tx_dropped']} frames dropped")
        if not client["transactions"]:
            wrong.append("no transaction")
        if mode == "forward" and c["txn_started"]:
            wrong.append(f"{c['txn_started']} transactions though no service was to be called")
        if mode == "as-is" and c["as_is_octets"] < client["body_octets"]:
            wrong.append(f"{c['as_is_octets']} octets came as they were, {client['body_octets']} were received")
        if mode == "echo" and c["callout_octets_in"] < client["body_octets"]:
            wrong.append(f"{c['callout_octets_in']} octets came back, {client['body_octets']} were received")

        def value(metric: str) -> float:
            return rows[metric]["samples"][0] if metric in rows else 0.0
        return Done(client["transactions"], client["accepted"], client["body_octets"], value("transactions_per_second"),
                    value("latency_p50"), value("latency_p99"), spent, "; ".join(wrong))

    def run(self, size: str, mode: str, *more: str, seconds: float | None = None, concurrency: int = 0) -> Done:
        self.json.unlink(missing_ok=True)
        argv = self.argv(size, mode, "--concurrency", str(concurrency or CONCURRENCY[size]), "--duration",
                         f"{seconds or self.setup.seconds}", *more)
        before = self.box.spent()
        p = subprocess.run(argv, capture_output=True, text=True, timeout=300)
        self.box.drained()
        return self.result(p.returncode, p.stdout + p.stderr, mode, self.box.spent() - before)
