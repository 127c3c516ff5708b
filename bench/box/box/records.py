# SPDX-License-Identifier: BSD-3-Clause
"""Records as bench/README.md describes them, appended one by one; those that are there need not be measured again."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", file=sys.stderr, flush=True)


class Records:
    """The file of records of a run; without a file they are only kept."""

    def __init__(self, path: Path | None, fresh: bool) -> None:
        self.path, self.rows = path, []
        self.had: set[str] = set()
        if path and path.exists() and not fresh:
            for line in path.read_text().splitlines():
                r = json.loads(line)
                if r.get("bench") == "box" and r.get("ok"):
                    self.had.add(r["name"])

    def has(self, *names: str) -> bool:
        """All of these were measured by a run before this one."""
        return all(n in self.had for n in names)

    def add(self, name: str, metric: str, unit: str, better: str, samples: list[float], *, ok: bool = True,
            note: str = "", target: str = "", pair: str = "", **more: Any) -> None:
        r: dict[str, Any] = {"bench": "box", "name": name, "metric": metric, "unit": unit, "better": better,
                             "samples": [float(f"{s:.6g}") for s in samples], "ok": ok, "note": note}
        if target:
            r["target"] = target
        if pair:
            r["pair"] = pair
        r |= more
        self.rows.append(r)
        if self.path:
            with open(self.path, "a") as f:
                f.write(json.dumps(r) + "\n")
        say(f"{name}: {metric} {spread(samples)} {unit}" + ("" if ok else f"  FAILED: {note}"))

    @property
    def ok(self) -> bool:
        return all(r["ok"] for r in self.rows)

    def table(self) -> str:
        width = max((len(r["name"]) for r in self.rows), default=4)
        lines = [f"{'name':<{width}}  {'metric':<28}{'median':>12}  {'spread':<23} unit"]
        for r in self.rows:
            s = r["samples"]
            mid = f"{statistics.median(s):.5g}" if s else "-"
            span = f"{min(s):.5g} to {max(s):.5g}" if s else ""
            lines.append(f"{r['name']:<{width}}  {r['metric']:<28}{mid:>12}  {span:<23} {r['unit']}"
                         + ("" if r["ok"] else f"  FAILED: {r['note']}"))
        return "\n".join(lines)


def spread(samples: list[float]) -> str:
    if not samples:
        return "-"
    return f"{statistics.median(samples):.4g} ({min(samples):.4g} to {max(samples):.4g})"
