# SPDX-License-Identifier: BSD-3-Clause
"""Groups of peers that take turns in slices on the same object, and the records of that.

A box is started when the first group needs it and stays, resting, until the run ends.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass
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


def all_of(*modes: str, sizes: tuple[str, ...] = tuple(SIZES)) -> tuple[tuple[str, str], ...]:
    return tuple((s, m) for m in modes for s in sizes)


GROUPS = (
    Group("icap", ("squid-respmod", "opes-as-is", "opes-echo"), all_of("keep"),
          all_of("keep") + all_of("new", sizes=("1KiB", "64KiB")), more=("squid-preview", "opes-bypass")),
    Group("connections", ("haproxy-http-new", "haproxy-http", "opes-forward", "opes-bypass"), (("1KiB", "new"),),
          all_of("new", sizes=("1KiB", "64KiB"))),
    Group("port", ("direct", "bridge", "testpmd-io", "opes-bypass"), (("1KiB", "keep"), ("64KiB", "keep")),
          all_of("keep") + (("1KiB", "new"),), more=("router", "testpmd-mac")),
    Group("proxies", ("nginx", "haproxy-http", "opes-forward"), (("1KiB", "keep"),),
          all_of("keep") + (("1KiB", "new"),), more=("haproxy-tcp", "squid")),
    Group("icap-both", ("squid-both", "opes-as-is-both", "opes-echo-both"), (), all_of("keep")),
)
# Rows of the table of targets, by group/size/mode/peer.
TARGETS = {f"icap/{size}/keep/opes-{way}": f"squid-{way.replace('-', '')}-{size.removesuffix('iB').lower()}"
           for size in SIZES for way in ("as-is", "echo")} | {"connections/1KiB/new/opes-forward": "haproxy-conn"}


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
        r["counters"] = dict(box.gain)
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


class Boxes:
    """The boxes of a run, each started once."""

    def __init__(self, make: Callable[[type[Box]], Box]) -> None:
        self.make = make
        self.up: dict[type[Box], Box] = {}
        self.down: dict[type[Box], Exception] = {}

    def __enter__(self) -> "Boxes":
        return self

    def __exit__(self, *exc: object) -> None:
        for box in self.up.values():
            box.stop()

    def get(self, kind: type[Box]) -> Box | Exception:
        """The box, or why there is none."""
        if kind in self.up or kind in self.down:
            return self.up.get(kind) or self.down[kind]
        say(f"  starting {kind.name}")
        try:
            kind.versions()
            box = self.up[kind] = self.make(kind)
            box.start()
            box.pause()
            return box
        except (Missing, LabError, OSError) as e:
            self.down[kind] = e
            if kind in self.up:
                self.up.pop(kind).stop()
            return e


class GroupRun:
    """One group: slices in turn, records out."""

    def __init__(self, group: Group, names: list[str], boxes: Boxes, check: str, params: dict[str, Any],
                 emit: Callable[[dict[str, Any]], None]) -> None:
        self.group, self.check, self.params, self.emit = group, check, params, emit
        self.failed = False
        self.boxes: dict[str, Box] = {}
        for name in names:
            box = boxes.get(PEERS[name].box)
            if isinstance(box, Box):
                self.boxes[name] = box
            else:
                self.absent(name, box)
        self.names = list(self.boxes)

    def absent(self, name: str, why: Exception) -> None:
        """A program that is not installed is no fault, one that does not work is."""
        say(f"  {name} is left out: {why}")
        missing = isinstance(why, Missing)
        self.failed |= not missing
        self.emit({"bench": "peers", "name": f"{self.group.name}/{name}", "metric": "left_out", "unit": "", "better": "none",
                   "samples": [], "params": self.params, "ok": missing, "note": str(why)[:600]})

    def no_time(self, size: str, mode: str) -> None:
        """The time this run was given does not reach for a case."""
        say(f"  {self.group.name} {size} {mode}: left out, no time left")
        self.emit({"bench": "peers", "name": f"{self.group.name}/{size}/{mode}", "metric": "left_out", "unit": "", "better": "none",
                   "samples": [], "params": self.params, "ok": True, "note": "left out: no time left (OPES_BENCH_SECONDS)"})

    def usual(self, size: str, pairs: int, seconds: float) -> float:
        """About how long measure() takes."""
        return (pairs + 0.5) * len(self.names) * (max(seconds, 1.5 if SIZES[size] > 1 << 24 else 0) + 0.4)

    def measure(self, size: str, mode: str, pairs: int, seconds: float) -> None:
        """One case: a short warm-up and pairs slices of each peer, in turn."""
        rows: dict[str, list[dict[str, Any]]] = {n: [] for n in self.names}
        if not rows:
            return
        for n in range(-1, pairs):
            for name in self.names:
                if any(r["wrong"] for r in rows[name]):
                    continue
                peer = PEERS[name]
                r = slice_of(peer, self.boxes[name], self.check, size, mode, seconds if n >= 0 else 0.2)
                if n >= 0 or r["wrong"]:
                    rows[name].append(r)
                if r["wrong"]:
                    say(f"  {name} {size} {mode}: WRONG: {r['wrong']}")
            say(f"  {self.group.name} {size} {mode} {n + 1}/{pairs}" + ("  (warm-up)" if n < 0 else ""))
        for name in self.names:
            self.record(name, size, mode, rows[name], seconds)

    def record(self, name: str, size: str, mode: str, rows: list[dict[str, Any]], seconds: float) -> None:
        box, group = self.boxes[name], self.group
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
                rec["counters"] = [r.get("counters", {}) for r in rows]
                if rec["name"] in TARGETS:
                    rec["target"] = TARGETS[rec["name"]]
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
                   + (f"{figure(med['transactions_per_cpu_second']):>13}{spread(cpu['samples']):>7.1f}%" if cpu else " " * 21)
                   + f"{ratio:>9.2f}x" + ("" if key != "transactions_per_second" else " /s")
                   + ("" if m["transactions_per_second"]["ok"] else "  WRONG"))
    return "\n".join(out)


def figure(v: float) -> str:
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def spread(v: list[float]) -> float:
    if len(v) < 3 or not statistics.median(v):
        return 0.0
    q = statistics.quantiles(v, n=4)
    return 50 * (q[2] - q[0]) / statistics.median(v)
