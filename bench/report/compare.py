# SPDX-License-Identifier: BSD-3-Clause
"""Two runs, record by record: what changed beyond the noise.

A difference counts when all of these hold: the medians differ by more than LEAST; they differ by more than both spreads
(half the distance of the quartiles) together; each median lies outside the other run's range; and ranks as far apart as
these are improbable by chance (Mann and Whitney), or, with too few samples for that to say anything, the two ranges do
not touch. One sample on a side is never enough. Of unchanged records with 5 samples one in about 150 passes all that, with
9 one in about 500 (simulated with even, normal and two-humped noise): what one pair of runs says of one record is a reason to look.

Records of a pair are judged by their ratio to the other one of the pair, since a shared host moves both: the absolute
figures of such records are shown with --all, and do not count. Targets are ratios with a good side and are judged too.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from . import records as rec, stats, targets

LEAST = 0.02
CHANCE = 0.01
TARGETS = Path(__file__).resolve().parents[1] / "targets.json"


@dataclass
class Row:
    what: str
    unit: str
    old: float
    new: float | None
    change: float | None    # new over old, less 1; none where that says nothing
    verdict: str        # slower, faster, same, changed (no good side), unsure (too few samples)
    counts: bool        # for --fail-on-slower
    n: tuple[int, int]
    note: str = ""


def beyond(a: list[float], b: list[float]) -> bool | None:
    """Whether b differs from a; None when there are too few samples to say."""
    x, y = stats.summarize(a), stats.summarize(b)
    if x.n < 2 or y.n < 2:
        return None
    difference = abs(y.median - x.median)
    if difference <= LEAST * abs(x.median) or difference <= x.spread + y.spread:
        return False
    if x.min <= y.median <= x.max or y.min <= x.median <= y.max:
        return False
    apart = x.max < y.min or y.max < x.min
    return apart or (min(x.n, y.n) >= 5 and stats.separation(a, b) < CHANCE)


def row(what: str, unit: str, better: str, a: list[float], b: list[float], counts: bool = True, note: str = "") -> Row:
    x, y = stats.summarize(a), stats.summarize(b)
    change = y.median / x.median - 1 if x.median else (0.0 if y.median == x.median else None)
    differs = beyond(a, b)
    if differs is None:
        verdict = "same" if change is not None and abs(change) <= LEAST else "unsure"
    elif not differs:
        verdict = "same"
    elif better == "none":
        verdict = "changed"
    else:
        verdict = "faster" if (y.median > x.median) == (better == "higher") else "slower"
    return Row(what, unit, x.median, y.median, change, verdict, counts, (x.n, y.n), note)


def bases(goals: list[targets.Target], records: rec.Records) -> set[str]:
    """Keys that targets divide by: the yardsticks of pairs."""
    found = set()
    for g in goals:
        try:
            q = targets.Evaluator(records).evaluate(g.compute)
        except targets.NotMeasured:
            continue
        if len(q.records) == 2:
            found.add(q.records[1].key)
    return found


def paired(rows: list[rec.Record], yardsticks: set[str]) -> dict[str, tuple[rec.Record, rec.Record]]:
    """By key: a record and the yardstick of its pair. Pairs without a known yardstick take their last member for it."""
    groups: dict[tuple[str, str], list[rec.Record]] = {}
    for r in rows:
        if r.pair and r.samples:
            groups.setdefault((r.pair, r.metric), []).append(r)
    found = {}
    for members in groups.values():
        base = next((m for m in members if m.key in yardsticks), members[-1])
        for m in members:
            if m is not base and len(m.samples) == len(base.samples) and all(base.samples):
                found[m.key] = (m, base)
    return found


def compare(old: list[rec.Record], new: list[rec.Record], goals: list[targets.Target]) -> tuple[list[Row], list[str], list[str]]:
    """Rows, keys that only the old run has, keys that only the new one has. Records that are not ok are not compared."""
    a, b = {r.key: r for r in old if r.ok and r.samples}, {r.key: r for r in new if r.ok and r.samples}
    yard = bases(goals, rec.Records(old)) | bases(goals, rec.Records(new))
    pa, pb = paired(list(a.values()), yard), paired(list(b.values()), yard)
    in_pairs = {r.key for k in pa if k in pb for r in (*pa[k], *pb[k])}
    rows = []
    for key in a:
        if key not in b:
            continue
        if key in pa and key in pb:
            (x, xb), (y, yb) = pa[key], pb[key]
            rows.append(row(f"{key} / {xb.name}", "ratio", y.better, stats.ratios(x.samples, xb.samples), stats.ratios(y.samples, yb.samples)))
        alone = key not in in_pairs
        rows.append(row(key, b[key].unit, b[key].better, a[key].samples, b[key].samples, alone, "" if alone else "paired: judged by its ratio"))
    for g in goals:
        va, vb = (targets.judge(g, rec.Records(x)) for x in (old, new))
        if va.figure and vb.figure:
            better = "higher" if g.at_least is not None else "lower" if g.at_most is not None else "none"
            # Resampled medians are no independent samples: only what the records themselves show may count.
            r = row(f"target {g.id}", g.unit, better, target_samples(g, old), target_samples(g, new), counts=False)
            r.note = f"{va.verdict} -> {vb.verdict}" if va.verdict != vb.verdict else vb.verdict
            rows.append(r)
        elif va.figure:
            rows.append(Row(f"target {g.id}", g.unit, va.figure.median, None, None, "unsure", False, (va.n, 0),
                            f"{va.verdict} -> not measured"))
    return rows, sorted(set(a) - set(b)), sorted(set(b) - set(a))


def target_samples(goal: targets.Target, rows: list[rec.Record]) -> list[float]:
    q = targets.Evaluator(rec.Records(rows)).evaluate(goal.compute)
    return [q.median] if q.drawn else q.samples


def difference_of_hosts(old: Path, new: Path) -> list[str]:
    """In what the two runs' hosts and modes differ, so that nobody takes a new host for a new speed."""
    states = []
    for p in (old, new):
        f = p / "run.json"
        if not p.is_dir() or not f.is_file():
            return []
        states.append(json.loads(f.read_text(encoding="utf-8")))
    x, y = (s["host"] | {"mode": s["mode"]} for s in states)
    return [f"{k}: {x.get(k)} -> {y.get(k)}" for k in ("cpu", "cpus", "kernel", "mode", "buildtype", "versions", "hugepages_2m")
            if x.get(k) != y.get(k)]


ORDER = {"slower": 0, "faster": 1, "changed": 2, "unsure": 3, "same": 4}


def text(rows: list[Row], gone: list[str], fresh: list[str], hosts: list[str], everything: bool) -> str:
    out = [f"attention, the runs differ in {h}" for h in hosts]
    shown = [r for r in sorted(rows, key=lambda r: (ORDER[r.verdict], r.what))
             if everything or (r.verdict != "same" and (r.counts or r.what.startswith("target ")))]
    if shown:
        width = min(100, max(len(r.what) for r in shown))
        out.append(f"{'':<8} {'record':<{width}} {'old':>12} {'new':>12} {'change':>8}  unit")
        for r in shown:
            out.append(f"{r.verdict:<8} {r.what:<{width}} {stats.significant(r.old, 4):>12} {stats.significant(r.new, 4):>12} "
                       f"{'-' if r.change is None else format(r.change, '+.1%'):>8}  {r.unit}{'  (' + r.note + ')' if r.note else ''}")
    for name, keys in (("only in the old run", gone), ("only in the new run", fresh)):
        if keys:
            out.append(f"{name}: {len(keys)} records" + ("" if not everything else "".join(f"\n  {k}" for k in keys)))
    counted = [r for r in rows if r.counts]
    n = {v: sum(r.verdict == v for r in counted) for v in ORDER}
    out.append(f"{len(counted)} compared: {n['slower']} slower, {n['faster']} faster, {n['changed']} changed, {n['same']} within the noise, "
               f"{n['unsure']} with too few samples to say")
    return "\n".join(out)


def main(usage: str, argv: list[str] | None = None) -> int:
    ap = argparse.ArgumentParser(prog="bench/compare", description=usage.split("usage:")[0].strip())
    ap.add_argument("old", metavar="OLD", type=Path)
    ap.add_argument("new", metavar="NEW", type=Path)
    ap.add_argument("--fail-on-slower", action="store_true", help="exit code 1 when anything is slower")
    ap.add_argument("--all", action="store_true", help="also what stayed the same")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--targets", metavar="FILE", type=Path, default=TARGETS, help=argparse.SUPPRESS)
    o = ap.parse_args(argv)
    try:
        sides = [rec.read(p) for p in (o.old, o.new)]
        goals, _ = targets.load(o.targets)
    except (OSError, ValueError) as e:
        print(f"bench/compare: {e}", file=sys.stderr)
        return 2
    for _, faults in sides:
        for f in faults:
            print(f"bench/compare: {f}", file=sys.stderr)
    rows, gone, fresh = compare(sides[0][0], sides[1][0], goals)
    hosts = difference_of_hosts(o.old, o.new)
    if o.json:
        print(json.dumps({"rows": [asdict(r) for r in rows], "only_old": gone, "only_new": fresh, "hosts_differ": hosts}, indent=1))
    else:
        print(text(rows, gone, fresh, hosts, o.all))
    slower = any(r.verdict == "slower" and r.counts for r in rows)
    return 1 if o.fail_on_slower and slower else 0
