# SPDX-License-Identifier: BSD-3-Clause
"""The table of targets (bench/targets.json), each computed from records by an expression, with a verdict.

Expressions are Python's arithmetic over these functions; a selector is the text records.Records.select() takes:

value(S)        the samples of the one record S selects; of several the one with the worst median
ratio(A, B)     sample by sample when both records name the same pair, otherwise of medians (and the verdict says "not paired")
flat(S)         largest over smallest median of all records S selects (at least two): 1 means independent of what varies
least(Q, ...)   the quantity with the smallest median; most(Q, ...) with the largest; all must have been measured
first(Q, ...)   the first quantity that was measured; the verdict says why earlier ones were not taken

What is missing, ambiguous or wrong (``ok`` false) makes a target "not measured", never met.
"""

from __future__ import annotations

import ast
import json
import operator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable

from . import stats
from .records import Record, Records

WANTED = 5      # samples a verdict should rest on
DISTANCE = 1.6  # two round trips of a cache line between cores that differ by more belong to different placements


class NotMeasured(Exception):
    """Why a quantity cannot be computed."""


class Wrong(NotMeasured):
    """There is a record, and it says that something was wrong."""


class BadExpression(ValueError):
    """The table itself is wrong."""


@dataclass
class Quantity:
    """Samples of a computed figure. drawn: they are resampled medians, so their number says nothing."""
    samples: list[float]
    n: int
    records: list[Record] = field(default_factory=list)
    paired: bool = True
    drawn: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        return stats.summarize(self.samples).median


OPERATORS: dict[type, Callable] = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
                                   ast.Div: operator.truediv}


def combine(a: Quantity | float, b: Quantity | float, op: Callable) -> Quantity | float:
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        if not a.drawn and not b.drawn and same_pair(a.records + b.records) and len(a.samples) == len(b.samples):
            return Quantity([op(x, y) for x, y in zip(a.samples, b.samples)], a.n, a.records + b.records)
        return Quantity(stats.resampled(a.samples, b.samples, op), min(a.n, b.n), a.records + b.records, False, True)
    if isinstance(a, Quantity):
        return replace(a, samples=[op(x, b) for x in a.samples])
    if isinstance(b, Quantity):
        return replace(b, samples=[op(a, x) for x in b.samples])
    return op(a, b)


def same_pair(records: list[Record]) -> bool:
    return bool(records[0].pair) and len({r.pair for r in records}) == 1


def alike(x: Record, y: Record) -> list[bool]:
    """Which samples of a pair were taken with the cores equally far apart, by the probes beside them, if there are any.

    probe_ns: round trips of a cache line in ns, for each sample one or a list (before and after).
    """
    n, both = len(x.samples), (x.extra.get("probe_ns"), y.extra.get("probe_ns"))
    if not all(isinstance(p, list) and len(p) == n for p in both):
        return [True] * n
    kept = []
    for probes in zip(*both):
        trips = [t for p in probes for t in (p if isinstance(p, list) else [p]) if isinstance(t, (int, float)) and t > 0]
        kept.append(not trips or max(trips) <= DISTANCE * min(trips))
    return kept


class Evaluator:
    def __init__(self, records: Records) -> None:
        self.records = records
        self.seen: list[str] = []       # selectors, in the order met
        self.functions = {"value": self.value, "ratio": self.ratio, "flat": self.flat, "least": self.least,
                          "most": self.most, "first": None}

    def found(self, selector: Any) -> list[Record]:
        if not isinstance(selector, str):
            raise BadExpression(f"a selector is a text: {selector!r}")
        if selector not in self.seen:
            self.seen.append(selector)
        try:
            rows = self.records.select(selector)
        except ValueError as e:
            raise BadExpression(str(e)) from None
        if not rows:
            raise NotMeasured(f"no record {selector}")
        for r in rows:
            if not r.ok:
                raise Wrong(f"{r.key} is wrong: {r.note or 'no reason given'}")
            if not r.samples:
                raise NotMeasured(f"{r.key} has no samples: {r.note}")
        return rows

    def only(self, selector: Any) -> Record:
        rows = self.found(selector)
        if len(rows) > 1:
            raise NotMeasured(f"{selector} is ambiguous: {', '.join(r.key for r in rows[:4])}")
        return rows[0]

    def value(self, selector: str) -> Quantity:
        worst = min if self.found(selector)[0].better == "higher" else max
        r = worst(self.found(selector), key=lambda r: stats.summarize(r.samples).median)
        return Quantity(r.samples, len(r.samples), [r])

    def ratio(self, a: str, b: str) -> Quantity:
        x, y = self.only(a), self.only(b)
        if same_pair([x, y]):
            if len(x.samples) != len(y.samples):
                raise NotMeasured(f"the pair {x.pair} has {len(x.samples)} samples of {x.key} and {len(y.samples)} of {y.key}")
            if not all(y.samples):
                raise NotMeasured(f"{y.key} has a sample of 0")
            near = alike(x, y)
            moved = len(near) - sum(near)
            enough = 2 * sum(near) >= len(near)
            both = [[s for s, keep in zip(r.samples, near) if keep or not enough] for r in (x, y)]
            q = Quantity(stats.ratios(*both), len(both[0]), [x, y])
            if moved:
                q.remarks.append(f"the cores' distance changed in {moved} of {len(near)} pairs"
                                 + (", left out" if enough else ", too many to leave out"))
            return q
        if not all(y.samples):
            raise NotMeasured(f"{y.key} has a sample of 0")
        drawn = stats.resampled(x.samples, y.samples, operator.truediv)
        return Quantity(drawn, min(len(x.samples), len(y.samples)), [x, y], False, True)

    def flat(self, selector: str) -> Quantity:
        rows = self.found(selector)
        if len(rows) < 2:
            raise NotMeasured(f"only one record {selector}")
        medians = [stats.summarize(r.samples).median for r in rows]
        if min(medians) <= 0:
            raise NotMeasured(f"a median of {selector} is not positive")
        return Quantity([max(medians) / min(medians)], min(len(r.samples) for r in rows), rows, False, True)

    @staticmethod
    def least(*q: Quantity) -> Quantity:
        return min(q, key=lambda x: x.median)

    @staticmethod
    def most(*q: Quantity) -> Quantity:
        return max(q, key=lambda x: x.median)

    def first(self, nodes: list[ast.expr]) -> Any:
        reasons = []
        for node in nodes:
            try:
                q = self.walk(node)
            except Wrong:
                raise
            except NotMeasured as e:
                reasons.append(str(e))
            else:
                return replace(q, remarks=q.remarks + [f"taken because there is {r}" for r in reasons])
        raise NotMeasured("; ".join(reasons))

    def walk(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Expression):
            return self.walk(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            left, right = self.walk(node.left), self.walk(node.right)
            if isinstance(left, str) or isinstance(right, str):
                raise BadExpression("a selector is no number: value(...) is")
            try:
                return combine(left, right, OPERATORS[type(node.op)])
            except ZeroDivisionError:
                raise NotMeasured("a sample to divide by is 0") from None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.functions \
                and node.args and not node.keywords:
            if node.func.id == "first":
                return self.first(node.args)
            try:
                return self.functions[node.func.id](*[self.walk(a) for a in node.args])
            except TypeError as e:
                raise BadExpression(str(e)) from None
        raise BadExpression(f"not allowed in an expression: {ast.unparse(node)}")

    def evaluate(self, text: str) -> Quantity:
        try:
            tree = ast.parse(text, mode="eval")
        except SyntaxError as e:
            raise BadExpression(f"{e.msg}: {text!r}") from None
        q = self.walk(tree)
        if not isinstance(q, Quantity):
            raise BadExpression(f"gives no quantity: {text!r}")
        return q


@dataclass
class Target:
    id: str
    text: str
    compute: str
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def limit(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_most is not None else "reported"


@dataclass
class Verdict:
    target: Target
    verdict: str                    # met, missed, reported, not measured
    figure: stats.Summary | None = None
    paired: bool = False
    n: int = 0
    remarks: list[str] = field(default_factory=list)
    used: list[Record] = field(default_factory=list)
    selectors: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        t = self.target
        return {"id": t.id, "text": t.text, "compute": t.compute, "unit": t.unit, "at_least": t.at_least,
                "at_most": t.at_most, "verdict": self.verdict, "figure": self.figure.to_dict() if self.figure else None,
                "samples": self.n, "paired": self.paired, "records": [r.key for r in self.used],
                "selectors": self.selectors, "remarks": self.remarks}


def judge(target: Target, records: Records, incomplete: dict[str, str] | None = None) -> Verdict:
    """incomplete: parts that did not end well, with what happened; figures from them carry it as a remark."""
    ev = Evaluator(records)
    try:
        q = ev.evaluate(target.compute)
    except NotMeasured as e:
        return Verdict(target, "not measured", remarks=[str(e)], selectors=ev.seen)
    f = stats.summarize(q.samples)
    low, high = target.at_least, target.at_most
    v = Verdict(target, "reported", f, q.paired and not q.drawn and len(q.records) > 1, q.n, [], q.records, ev.seen)
    if low is not None or high is not None:
        good = (low is None or f.median >= low) and (high is None or f.median <= high)
        v.verdict = "met" if good else "missed"
        if any(x is not None and f.low < x < f.high for x in (low, high)):
            v.remarks.append("the spread reaches across the limit")
    v.remarks += q.remarks
    if q.n < WANTED:
        v.remarks.append(f"{q.n} sample{'s' if q.n > 1 else ''} of {WANTED} wanted")
    if len(q.records) > 1 and not q.paired and "flat(" not in target.compute:
        v.remarks.append("not paired: medians of the same run")
    for part in sorted({str(r.extra.get("part", "")) for r in q.records} & set(incomplete or {})):
        v.remarks.append(f"part {part} {incomplete[part]}")
    return v


def load(path: Path) -> tuple[list[Target], dict]:
    """The targets, and the whole file (document and arithmetic have tables in it too)."""
    data = json.loads(path.read_text(encoding="utf-8"))
    rows, ids = [], set()
    for i, d in enumerate(data["targets"]):
        if not {"id", "text", "compute"} <= set(d):
            raise BadExpression(f"{path.name}: target {i}: id, text and compute are needed")
        if d["id"] in ids:
            raise BadExpression(f"{path.name}: target {d['id']} occurs twice")
        ids.add(d["id"])
        t = Target(**{k: v for k, v in d.items() if k in Target.__dataclass_fields__})
        try:        # a table with a fault is refused before hours are spent on measuring
            Evaluator(Records([])).evaluate(t.compute)
        except NotMeasured:
            pass
        except BadExpression as e:
            raise BadExpression(f"{path.name}: target {t.id}: {e}") from None
        rows.append(t)
    return rows, data
