#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds docs/tcp.md to the tree: every test it names exists, and nothing is left out.

usage: tcp_check.py ROOT [FILE]

In tables with a column "test":
* a state, where there is a column for it, is one of done, partial, not, ends;
* what is done, and every row of a table without that column, names a test; who names one, names one that is there. `program.case` is a unit test: program_test.c in
  dataplane/ or control/ has a test function of that name that it runs, or a row of that name in its table. `dts suite.case` is a
  case of dts/tests/TestSuite_suite.py.
Every requirement of RFC 9293 appendix B appears once. Every counter and every key in the tables for them is one.
"""
import re
import sys
from pathlib import Path

STATES = {"done", "partial", "not", "ends"}
# RFC 9293 appendix B
REQUIRED = ({f"MUST-{n}" for n in range(1, 70)} | {f"SHLD-{n}" for n in range(1, 32)} | {f"MAY-{n}" for n in range(1, 19)} |
            {"REC-1"})


class Tree:
    """What the document may name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.units = {p.name[:-len("_test.c")]: p.read_text() for folder in ("dataplane", "control")
                      for p in sorted((root / folder).rglob("*_test.c"))}
        self.suites = {p.stem[len("TestSuite_"):]: p.read_text() for p in sorted((root / "dts/tests").glob("TestSuite_*.py"))}
        self.counters = set(re.findall(r"^STATS_COUNTER\((\w+),", (root / "dataplane/stats/stats_counters.def").read_text(), re.M))
        self.keys = set()
        section = ""
        for line in (root / "docs/configuration.md").read_text().splitlines():
            if m := re.match(r"### `([\w.\[\]-]+)`", line):
                section = m[1]
            elif m := re.match(r"\| `([\w-]+)` \|", line):
                self.keys.add(f"{section}.{m[1]}")

    def unit(self, program: str, case: str) -> bool:
        text = self.units.get(program)
        if text is None:
            return False
        if re.search(rf"^static void {case}\(void \*\*", text, re.M):
            return len(re.findall(rf"\b{case}\b", text)) > 1  # it is run, too
        return f'"{case}"' in text

    def suite(self, suite: str, case: str) -> bool:
        return re.search(rf"@func_test\s+def {case}\(", self.suites.get(suite, "")) is not None


def cells(line: str) -> list[str]:
    return [c.strip() for c in line.strip().strip("|").split("|")]


def tables(text: str):
    """(number of the line, heads, cells) of every row of every table."""
    heads: list[str] = []
    for n, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = cells(line)
        elif not set(line) <= set("|-: "):
            yield n, heads, cells(line)


def row_check(tree: Tree, row: dict[str, str]) -> list[str]:
    wrong = []
    if row["state"] not in STATES:
        return [f"state {row['state']!r} is none of {', '.join(sorted(STATES))}"]
    named = re.findall(r"`([^`]+)`", row["test"])
    if row["state"] == "done" and not named:
        wrong.append("done, and no test shows it")
    for name in named:
        program, _, case = name.removeprefix("dts ").partition(".")
        there = tree.suite if name.startswith("dts ") else tree.unit
        if not there(program, case):
            wrong.append(f"there is no test {name}")
    return wrong


def prose_check(tree: Tree, text: str) -> list[str]:
    """Tests named outside of tables: what looks like one and begins as one."""
    wrong = []
    for n, line in enumerate(text.splitlines(), 1):
        for dts, program, case in re.findall(r"`(dts )?(\w+)\.([\w-]+)`", "" if line.startswith("|") else line):
            if not (tree.suite(program, case) if dts else program not in tree.units or tree.unit(program, case)):
                wrong.append(f"{n}: there is no test {dts}{program}.{case}")
    return wrong


def check(tree: Tree, text: str) -> list[str]:
    wrong, seen = prose_check(tree, text), []
    for n, heads, row in tables(text):
        if len(row) != len(heads):
            wrong.append(f"{n}: {len(row)} cells, {len(heads)} heads")
            continue
        by_head = dict(zip(heads, row))
        seen += re.findall(r"\b(?:MUST|SHLD|MAY|REC)-\d+\b", row[0])
        if by_head.get("state"):
            wrong += [f"{n}: {w}" for w in row_check(tree, by_head)]
        elif "test" in by_head and "state" not in by_head:
            wrong += [f"{n}: {w}" for w in row_check(tree, dict(by_head, state="done"))]
        for head, known in (("counter", tree.counters), ("key", tree.keys)):
            wrong += [f"{n}: there is no {head} {x}" for x in re.findall(r"`([^`]+)`", by_head.get(head, "")) if x not in known]
    wrong += [f"RFC 9293 {r} is missing" for r in sorted(REQUIRED - set(seen))]
    wrong += [f"RFC 9293 {r} is there twice" for r in sorted({r for r in seen if seen.count(r) > 1})]
    wrong += [f"RFC 9293 has no {r}" for r in sorted(set(seen) - REQUIRED)]
    return wrong


def self_check(tree: Tree, text: str) -> list[str]:
    """A check that finds nothing wrong with a wrong document is none."""
    wrong = []
    for what, bad in (
            ("a test that is not there", text.replace("`tcp_table.rst-exact`", "`tcp_table.rst-exactly`")),
            ("a suite that is not there", text.replace("`dts flood.", "`dts flod.")),
            ("one that is not there in the text", text.replace("`frag.test_originals`", "`frag.test_original`")),
            ("a requirement left out", text.replace("MUST-66", "")),
            ("no test for what is done", re.sub(r"\| done \| `[^|]*\|", "| done | - |", text, count=1)),
            ("an unknown state", text.replace("| done | `", "| sure | `", 1)),
            ("an unknown counter", text.replace("`tcp_undo`", "`tcp_undone`"))):
        if bad == text or not check(tree, bad):
            wrong.append(f"the check does not notice {what}")
    return wrong


def main() -> int:
    root = Path(sys.argv[1])
    tree, file = Tree(root), Path(sys.argv[2]) if len(sys.argv) > 2 else root / "docs/tcp.md"
    text = file.read_text()
    wrong = check(tree, text) or self_check(tree, text)
    for w in wrong:
        print(f"{file}:{w}" if w[0].isdigit() else f"{file}: {w}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
