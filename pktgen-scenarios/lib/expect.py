# SPDX-License-Identifier: BSD-3-Clause
"""expect/<scenario>.json: what an appliance must be set to, and what must hold afterwards.

    dut       keys of its configuration: rules, services, limits, lcores
    figures   what a runner measures: figure, min and max, runner (pktgen or testpmd; absent: both)
    counters  what counters of `opesctl counters` gain: counter, min and max, or min_per_frame times the frames sent
    gauges    what `opesctl buffers` shows in the end: gauge, max, within_s seconds
    stub      models of lib/stub.lua with which the script must pass, and with which it must fail
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FORM = {
    "figures": ({"figure"}, {"min", "max", "runner"}),
    "counters": ({"counter"}, {"min", "max", "min_per_frame"}),
    "gauges": ({"gauge", "max", "within_s"}, set()),
}


class ExpectError(Exception):
    """The file is not of that form."""


def load(stem: str) -> dict[str, Any]:
    path = ROOT / "expect" / f"{stem}.json"
    e = json.loads(path.read_text())
    if e.get("scenario") != stem or set(e) != {"scenario", "dut", "figures", "counters", "gauges", "stub"}:
        raise ExpectError(f"{path}: the scenario's name or a section is wrong")
    for section, (needed, allowed) in FORM.items():
        for row in e[section]:
            if not needed <= set(row) <= needed | allowed or len(row) < 2:
                raise ExpectError(f"{path}: {section}: wrong keys in {row}")
    if not e["stub"].get("pass") or not e["stub"].get("fail"):
        raise ExpectError(f"{path}: stub: an appliance that passes and one that fails are needed")
    return e


def _range(name: str, value: float | None, low: float | None, high: float | None) -> list[str]:
    if value is None:
        return [f"{name} was not measured"]
    if low is not None and not value >= low:
        return [f"{name} is {value:g}, at least {low:g} expected"]
    if high is not None and not value <= high:
        return [f"{name} is {value:g}, at most {high:g} expected"]
    return []


def judge_figures(e: dict[str, Any], figures: dict[str, float], runner: str) -> list[str]:
    """What does not hold, as sentences."""
    return [s for row in e["figures"] if row.get("runner", runner) == runner
            for s in _range(row["figure"], figures.get(row["figure"]), row.get("min"), row.get("max"))]


def judge_counters(e: dict[str, Any], gain: dict[str, int], frames: int) -> list[str]:
    """gain: of the counters. frames: sent towards the appliance by the scenario's main stream."""
    out = []
    for row in e["counters"]:
        low = row["min_per_frame"] * frames if "min_per_frame" in row else row.get("min")
        out += _range(row["counter"], gain.get(row["counter"]), low, row.get("max"))
    return out


def judge_gauges(e: dict[str, Any], gauges: dict[str, int]) -> list[str]:
    return [s for row in e["gauges"] for s in _range(row["gauge"], gauges.get(row["gauge"]), None, row["max"])]
