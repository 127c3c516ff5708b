#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run the suites of dts/tests in namespaces of this host (without DPDK's DTS).

usage: run.py [--list] [--json FILE] [SUITE[.CASE] ...]

Prints one line a case and a closing line. Exit code 0 when nothing failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from opes_api import suite as api  # noqa: E402


def pascal(snake: str) -> str:
    return "Test" + "".join(w.capitalize() for w in snake.split("_"))


def load(path: Path) -> type:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    mod = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mod)
    return getattr(mod, pascal(path.stem.removeprefix("TestSuite_")))


def cases_of(cls: type) -> list[str]:
    return [n for n, m in vars(cls).items() if getattr(m, "is_func_test", False)]


class Results:
    def __init__(self) -> None:
        self.rows: list[dict] = []

    def add(self, name: str, outcome: str, seconds: float, text: str = "") -> None:
        self.rows.append({"case": name, "outcome": outcome, "seconds": round(seconds, 2), "text": text})
        note = f"  ({text.splitlines()[0]})" if outcome == "skipped" and text else ""
        print(f"{outcome.upper():<8} {name}  {seconds:.1f} s{note}", flush=True)
        if outcome == "failed":
            print("".join(f"    {line}\n" for line in text.splitlines()), flush=True)

    def count(self, outcome: str) -> int:
        return sum(r["outcome"] == outcome for r in self.rows)


def run_case(s: object, name: str, method: str, results: Results) -> None:
    start = time.monotonic()
    outcome, text = "passed", ""
    try:
        s.set_up_test_case()
        try:
            getattr(s, method)()
        finally:
            s.tear_down_test_case()
    except api.SkipTest as e:
        outcome, text = "skipped", str(e)
    except Exception:  # noqa: BLE001 - any failure is the case's outcome
        outcome, text = "failed", traceback.format_exc()
    results.add(name, outcome, time.monotonic() - start, text)


def run_suite(cls: type, title: str, cases: list[str], results: Results) -> None:
    s = cls()
    try:
        s.set_up_suite()
    except api.SkipTest as e:
        for c in cases:
            results.add(f"{title}.{c}", "skipped", 0, str(e))
        return
    except Exception:  # noqa: BLE001
        text = "the suite could not be set up\n" + traceback.format_exc()
        for c in cases:
            results.add(f"{title}.{c}", "failed", 0, text)
            text = "as the case before: the suite could not be set up"
        try:
            s.tear_down_suite()
        except Exception:  # noqa: BLE001 - it was not up
            pass
        return
    try:
        for c in cases:
            run_case(s, f"{title}.{c}", c, results)
    finally:
        s.tear_down_suite()


def main() -> int:
    ap = argparse.ArgumentParser(prog="dts/run.py")
    ap.add_argument("--list", action="store_true", help="print the cases and end")
    ap.add_argument("--json", metavar="FILE", help="write the results there")
    ap.add_argument("names", nargs="*", metavar="SUITE[.CASE]")
    args = ap.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results()
    known: set[str] = set()
    for path in sorted((HERE / "tests").glob("TestSuite_*.py")):
        title = path.stem.removeprefix("TestSuite_")
        cls = load(path)
        cases = cases_of(cls)
        known |= {title, *(f"{title}.{c}" for c in cases)}
        if args.names:
            cases = [c for c in cases if title in args.names or f"{title}.{c}" in args.names]
        if args.list:
            print("".join(f"{title}.{c}\n" for c in cases), end="")
        elif cases:
            run_suite(cls, title, cases, results)
    if unknown := set(args.names) - known:
        print(f"run.py: no such suite or case: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if args.list:
        return 0
    if args.json:
        Path(args.json).write_text(json.dumps(results.rows, indent=1))
    print(f"{results.count('passed')} passed, {results.count('failed')} failed, {results.count('skipped')} skipped")
    return 1 if results.count("failed") or not results.rows else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
