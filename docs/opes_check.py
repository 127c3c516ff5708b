#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds docs/opes-compliance.md to the tree: every test it names exists, what is done names one.

usage: opes_check.py ROOT
"""
import re
import sys
from pathlib import Path

from tcp_check import Tree, tables

STATES = {"done", "partial", "not", "operator"}


class WideTree(Tree):
    """Unit tests of all folders."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        for folder in ("ocp", "policy", "callout"):
            self.units |= {p.name[:-len("_test.c")]: p.read_text() for p in sorted((root / folder).rglob("*_test.c"))}


def row_check(tree: WideTree, row: dict[str, str]) -> list[str]:
    wrong = [] if row["state"] in STATES else [f"state {row['state']!r} is none of {', '.join(sorted(STATES))}"]
    named = re.findall(r"`([^`]+)`", row["test"])
    if row["state"] == "done" and not named:
        wrong.append("done, and no test shows it")
    for name in named:
        program, _, case = name.removeprefix("dts ").partition(".")
        if not (tree.suite if name.startswith("dts ") else tree.unit)(program, case):
            wrong.append(f"there is no test {name}")
    return wrong


def check(tree: WideTree, text: str) -> list[str]:
    wrong = [f"1: there is no counter {x}" for x in re.findall(r"`((?:bypass|trace)_\w+)`", text) if x not in tree.counters]
    for n, heads, row in tables(text):
        if len(row) != len(heads):
            wrong.append(f"{n}: {len(row)} cells, {len(heads)} heads")
        elif "test" in heads:
            wrong += [f"{n}: {w}" for w in row_check(tree, dict(zip(heads, row)))]
    return wrong


def main() -> int:
    root = Path(sys.argv[1])
    tree, file = WideTree(root), root / "docs/opes-compliance.md"
    text = file.read_text()
    wrong = check(tree, text)
    for bad in (text.replace("`dts tracing.", "`dts tracings.", 1), text.replace("`trace_cut`", "`trace_cuts`"),
                text.replace("| done |", "| sure |", 1), re.sub(r"\| done \|([^|]*)\| `[^|]*\|", r"| done |\1| - |", text, count=1)):
        if bad == text or not check(tree, bad):
            wrong.append("1: the check does not notice what is wrong")
    for w in wrong:
        print(f"{file}:{w}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
