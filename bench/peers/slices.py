# SPDX-License-Identifier: BSD-3-Clause
"""Groups of peers that take turns in slices on the same object, and the records of that."""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from boxes import BOX_CPU, ENDS_CPU, PEERS, Box, Missing, Peer, core_seconds
from opes_api.lab import LabError

SIZES = {"1KiB": 1 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20, "100MiB": 100 << 20}
CONNECTIONS = {"1KiB": 32, "64KiB": 32, "1MiB": 8, "100MiB": 2}
SEED = 3
SETTLE_SECONDS = 0.03


@dataclass
class Group:
    """Peers that are compared with each other. modes: keep (connections persist), new (one for every request)."""

    name: str
    peers: tuple[str, ...]
    quick: tuple[tuple[str, str], ...]  # (size, mode)
    full: tuple[tuple[str, str], ...]
    more: tuple[str, ...] = ()          # peers of the full run alone
    targets: dict[tuple[str, str], str] = field(default_factory=dict)  # (peer, mode): row of the table of targets


def all_of(*modes: str, sizes: tuple[str, ...] = tuple(SIZES)) -> tuple[tuple[str, str], ...]:
    return tuple((s, m) for m in modes for s in sizes)


GROUPS = (
    Group("icap", ("squid-respmod", "opes-as-is", "opes-echo"), all_of("keep"),
          all_of("keep") + all_of("new", sizes=("1KiB", "64KiB")), more=("squid-preview",),
          targets={("opes-as-is", "keep"): "as-is-icap", ("opes-echo", "keep"): "echo-icap"}),
    Group("icap-both", ("squid-both", "opes-as-is-both", "opes-echo-both"), (), all_of("keep")),
    Group("connections", ("haproxy-http-new", "haproxy-http", "opes-forward"), (("1KiB", "new"),),
          all_of("new", sizes=("1KiB", "64KiB")), targets={("opes-forward", "new"): "connections-haproxy"}),
    Group("proxies", ("nginx", "haproxy-http", "haproxy-tcp", "squid", "opes-forward"),
          (("1KiB", "keep"), ("64KiB", "keep")), all_of("keep") + (("1KiB", "new"),)),
    Group("port", ("direct", "bridge", "testpmd-io", "opes-bypass"), (("1KiB", "keep"), ("1MiB", "keep")),
          all_of("keep") + (("1KiB", "new"),), more=("router", "testpmd-mac")),
)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_objects(check: str, www: Path, run: Callable[..., Any]) -> None:
    for name, size in SIZES.items():
        run(check, "--make", str(www / name), "--size", str(size), "--seed", str(SEED))


def slice_of(peer: Peer, box: Box, check: str, size: str, mode: str, seconds: float) -> dict[str, Any]:
    """Load through one peer while all others rest. Keys: those of opes-http-check, cost of the box, wrong."""
    box.resume()
    time.sleep(SETTLE_SECONDS)
    try:
        proof, cost, core = box.proof(), box.cost(), core_seconds(BOX_CPU)
        p = box.lab.cli.run("taskset", "-c", ENDS_CPU, check, "--json", "--connect", f"{peer.host}:{peer.port}", "--path",
                            f"/{size}", "--size", str(SIZES[size]), "--seed", str(SEED), "--connections",
                            str(CONNECTIONS[size]), "--seconds", str(seconds), *(["--close"] if mode == "new" else []),
                            check=False, timeout=seconds + 100)
        core = core_seconds(BOX_CPU) - core
        r = json.loads(p.stdout) if p.stdout else {"transactions": 0, "octets": 0, "seconds": 0, "failures": 1, "error": p.stderr}
        r["cost"] = box.of_slice({k: v - cost[k] for k, v in box.cost().items()}) | {"core": core}
        r["wrong"] = r["error"] if r["failures"] or not r["transactions"] else box.check(
            peer, proof, r["transactions"], r["octets"])
    finally:
        box.pause()
    return r


def metrics(box: Box, r: dict[str, Any]) -> dict[str, tuple[float, str, str]]:
    """metric: (value, unit, better) of one slice."""
    t, s = r["transactions"], r["seconds"] or 1
    out = {"transactions_per_second": (t / s, "1/s", "higher"), "octets_per_second": (r["octets"] / s / 1e6, "MB/s", "higher"),
           "p50": (r.get("p50_ns", 0) / 1e3, "us", "lower"), "p99": (r.get("p99_ns", 0) / 1e3, "us", "lower")}
    if box.has_cpu and r["cost"]["cpu"] > 0:
        out["transactions_per_cpu_second"] = (t / r["cost"]["cpu"], "1/s", "higher")
        out["cpu_us_per_transaction"] = (r["cost"]["cpu"] / t * 1e6 if t else 0.0, "us", "lower")
    return out


class GroupRun:
    """One group: its boxes up, slices in turn, records out."""

    def __init__(self, group: Group, names: list[str], make_box: Callable[[type[Box]], Box], check: str,
                 params: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
        self.group, self.names, self.make_box, self.check = group, names, make_box, check
        self.params, self.emit = params, emit
        self.boxes: dict[type[Box], Box] = {}
        self.failed = False

    def __enter__(self) -> "GroupRun":
        for name in list(self.names):
            kind = PEERS[name].box
            if kind in self.boxes:
                continue
            say(f"  starting {kind.name}")
            try:
                kind.versions()
                box = self.boxes[kind] = self.make_box(kind)
                box.start()
                box.pause()
            except (Missing, LabError) as e:
                self.absent(kind, e)
        return self

    def __exit__(self, *exc: object) -> None:
        for box in self.boxes.values():
            box.stop()

    def absent(self, kind: type[Box], why: Exception) -> None:
        """A box that does not work takes its peers out of the group; one of ours that does not is a failure."""
        lost = [n for n in self.names if PEERS[n].box is kind]
        self.names = [n for n in self.names if n not in lost]
        missing = isinstance(why, Missing)
        for n in lost:
            say(f"  {n} is left out: {why}")
            self.emit({"bench": "peers", "name": f"{self.group.name}/{n}", "metric": "left_out", "unit": "", "better": "lower",
                       "samples": [], "params": self.params, "ok": missing, "note": str(why)[:600]})
        self.failed |= not missing
        if kind in self.boxes:
            self.boxes.pop(kind).stop()

    def measure(self, size: str, mode: str, pairs: int, seconds: float) -> None:
        rows: dict[str, list[dict[str, Any]]] = {n: [] for n in self.names}
        if not rows:
            return
        for n in range(-1, pairs):
            for name in self.names:
                if any(r["wrong"] for r in rows[name]):
                    continue
                peer = PEERS[name]
                r = slice_of(peer, self.boxes[peer.box], self.check, size, mode, seconds if n >= 0 else 0.2)
                if n >= 0 or r["wrong"]:
                    rows[name].append(r)
                if r["wrong"]:
                    say(f"  {name} {size} {mode}: WRONG: {r['wrong']}")
            say(f"  {self.group.name} {size} {mode} {n + 1}/{pairs}" + ("  (warm-up)" if n < 0 else ""))
        for name in self.names:
            self.record(name, size, mode, rows[name], seconds)

    def record(self, name: str, size: str, mode: str, rows: list[dict[str, Any]], seconds: float) -> None:
        box, group = self.boxes[PEERS[name].box], self.group
        wrong = next((r["wrong"] for r in rows if r["wrong"]), "")
        self.failed |= bool(wrong)
        each = [metrics(box, r) for r in rows]
        params = self.params | {"peer": PEERS[name].text, "size": SIZES[size], "mode": mode, "slice_seconds": seconds,
                                "connections": CONNECTIONS[size], "driver": box.lab.driver}
        for metric in each[0] if each else ():
            values = [e[metric] for e in each if metric in e]
            rec = {"bench": "peers", "name": f"{group.name}/{size}/{mode}/{name}", "metric": metric, "unit": values[0][1],
                   "better": values[0][2], "samples": [float(f"{v[0]:.6g}") for v in values], "params": params,
                   "pair": f"peers/{group.name}/{size}/{mode}", "ok": not wrong, "note": wrong}
            if metric == "transactions_per_cpu_second":
                rec["cpu_seconds"] = [{k: round(v, 4) for k, v in r["cost"].items()} for r in rows]
                rec["transactions"] = [r["transactions"] for r in rows]
                if (name, mode) in group.targets:
                    rec["target"] = group.targets[(name, mode)]
            self.emit(rec)


def table(records: list[dict[str, Any]]) -> str:
    """Medians, spread (half of the distance of the quartiles) and the ratio to the first peer of each group, pair by pair."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for r in records:
        if r["samples"]:
            rows.setdefault(r["name"], {})[r["metric"]] = r
    out, last = [], ""
    for name, m in rows.items():
        group, peer = name.rsplit("/", 1)
        if group != last:
            base, last = m, group
            out += ["", f"{group:<28}{'transactions/s':>16}{'spread':>8}{'MB/s':>9}{'p50 us':>9}{'p99 us':>10}"
                    f"{'/CPU-second':>13}{'spread':>8}{'of first':>10}"]
        cpu = m.get("transactions_per_cpu_second")
        t = m["transactions_per_second"]["samples"]
        med = {k: statistics.median(v["samples"]) for k, v in m.items()}
        key = "transactions_per_cpu_second" if cpu and "transactions_per_cpu_second" in base else "transactions_per_second"
        ratio = statistics.median(a / b for a, b in zip(m[key]["samples"], base[key]["samples"]) if b) if base[key]["samples"] else 0
        out.append(f"  {peer:<26}{med['transactions_per_second']:>16,.1f}{spread(t):>7.1f}%{med['octets_per_second']:>9.1f}"
                   f"{med['p50']:>9.0f}{med['p99']:>10.0f}"
                   + (f"{med['transactions_per_cpu_second']:>13,.0f}{spread(cpu['samples']):>7.1f}%" if cpu else " " * 21)
                   + f"{ratio:>9.2f}x" + ("" if key != "transactions_per_second" else " /s")
                   + ("" if m["transactions_per_second"]["ok"] else "  WRONG"))
    return "\n".join(out)


def spread(v: list[float]) -> float:
    if len(v) < 3 or not statistics.median(v):
        return 0.0
    q = statistics.quantiles(v, n=4)
    return 50 * (q[2] - q[0]) / statistics.median(v)
