#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes docs/ocp-conformance.md from docs/ocp-conformance.toml and holds both to the tree.

usage: ocp_conformance.py [--write] [ROOT]

Without --write nothing is changed; it fails, with a line for each thing that is wrong, when the page is not what the data
makes, when a test that a row names does not exist, when a row that binds an agent has neither a test nor a reason why there is
none, or when a rule is missing or there twice.

Tests: `program:test_name` is a function that program_test.c runs (callout_loop: callout/loop_test.c), `suite.case` a case of
dts/tests/TestSuite_suite.py.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Callable

AGENTS = ("processor", "server")
BINDS = {"P": ("processor",), "S": ("server",), "B": AGENTS, "-": AGENTS}
LEVELS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "OPTIONAL", "REQUIRED", "RECOMMENDED", "rule", "-")
FOLDERS = ("ocp", "callout", "dataplane", "policy", "control")


def program(source: Path) -> str:
    """Name of the unit test program of a source: its folder's name comes first."""
    stem, folder = source.name[:-len("_test.c")], source.parent.name
    return stem if stem.startswith(folder) else f"{folder}_{stem}"


class Tree:
    """What the data may name."""

    def __init__(self, root: Path) -> None:
        self.units = {program(p): p.read_text() for folder in FOLDERS for p in sorted((root / folder).rglob("*_test.c"))}
        self.suites = {p.stem[len("TestSuite_"):]: p.read_text() for p in sorted((root / "dts/tests").glob("TestSuite_*.py"))}

    def has(self, test: str) -> bool:
        """Whether this test is there and run."""
        if ":" in test:
            unit, _, name = test.partition(":")
            text = self.units.get(unit, "")
            # It is there, and it is run.
            return re.search(rf"^static void {re.escape(name)}\(void \*\*", text, re.M) is not None and \
                len(re.findall(rf"\b{re.escape(name)}\b", text)) > 1
        suite, _, name = test.partition(".")
        return re.search(rf"@func_test\s+def {re.escape(name)}\(", self.suites.get(suite, "")) is not None


def expand(spec: list[str]) -> list[str]:
    """["1-74", "x"] as single names."""
    out: list[str] = []
    for s in spec:
        m = re.fullmatch(r"(\d+)-(\d+)", s)
        out += [str(n) for n in range(int(m[1]), int(m[2]) + 1)] if m else [s]
    return out


def row_check(tree: Tree, row: dict[str, Any]) -> list[str]:
    """What is wrong with one row."""
    wrong = [f"has no {k}" for k in ("id", "at", "level", "binds", "rule") if not row.get(k)]
    if wrong:
        return wrong
    if row["level"] not in LEVELS:
        wrong.append(f"level {row['level']!r} is none of {', '.join(LEVELS)}")
    if row["binds"] not in BINDS:
        return wrong + [f"binds {row['binds']!r}, not one of {', '.join(BINDS)}"]
    for agent in AGENTS:
        tests, why = row.get(agent, []), row.get(f"{agent}-without", "")
        if tests and why:
            wrong.append(f"{agent}: tests, and a reason why there are none")
        if agent in BINDS[row["binds"]] and not tests and not why:
            wrong.append(f"binds the {agent}, and no test shows it")
        wrong += [f"{agent}: there is no test {t}" for t in tests if not tree.has(t)]
    wrong += [f"key {k} is unknown" for k in row
              if k not in ("id", "at", "level", "binds", "rule", "of", "duty", *AGENTS, *(f"{a}-without" for a in AGENTS))]
    return wrong


def duties_check(table: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """A table about messages has a row for sending and for receiving each of them."""
    wrong = []
    for name in table.get("messages", []):
        have = {r.get("duty") for r in rows if r.get("of") == name}
        wrong += [f"{name}: no row says what its {d} is bound to" for d in ("sender", "recipient") if d not in have]
    return wrong


def check(tree: Tree, data: dict[str, Any]) -> list[str]:
    """Everything that is wrong with the data."""
    wrong = []
    for table in data["table"]:
        rows = table.get("row", [])
        ids = [str(r.get("id")) for r in rows]
        wrong += [f"{table['title']}: {i} is there twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
        wrong += [f"{table['title']}: {i} is missing" for i in expand(table.get("complete", [])) if i not in ids]
        wrong += [f"{table['title']}: {w}" for w in duties_check(table, rows)]
        for r in rows:
            wrong += [f"{table['title']}, {r.get('id')}: {w}" for w in row_check(tree, r)]
    return wrong


def cell(row: dict[str, Any], agent: str) -> str:
    """A column of tests."""
    if row.get(agent):
        return " ".join(f"`{t}`" for t in row[agent])
    return row.get(f"{agent}-without", "-")


def page(data: dict[str, Any]) -> str:
    """The text of docs/ocp-conformance.md."""
    out = [data["title"], "", data["intro"].strip(), ""]
    for table in data["table"]:
        out += [f"## {table['title']}", ""]
        if table.get("intro"):
            out += [table["intro"].strip(), ""]
        out += ["| | " + table["source"] + " | level | binds | rule | processor | callout server |", "|---|---|---|---|---|---|---|"]
        out += [f"| {r['id']} | {r['at']} | {r['level']} | {r['binds']} | {r['rule']} | {cell(r, 'processor')} | {cell(r, 'server')} |"
                for r in table["row"]]
        out.append("")
    return "\n".join(out)


def self_check(tree: Tree, data: dict[str, Any]) -> list[str]:
    """A check that finds nothing wrong with wrong data is none."""
    def some(pick: Callable[[dict], bool]) -> dict[str, Any]:
        return next(r for t in data["table"] for r in t["row"] if pick(r))

    wrong = []
    tested = some(lambda r: r.get("processor") and r["binds"] == "B")
    of_suite = some(lambda r: any("." in t for t in r.get("server", []) + r.get("processor", [])))
    agent = "server" if any("." in t for t in of_suite.get("server", [])) else "processor"
    numbered = next(t for t in data["table"] if t.get("complete"))
    messages = next((t for t in data["table"] if t.get("messages")), None)
    for what, noticed in (
            ("a test that is not there", row_check(tree, {**tested, "processor": ["ocp_codec:test_nothing"]})),
            ("a program that is not there", row_check(tree, {**tested, "processor": ["ocp_codex:test_grammar"]})),
            ("a case that is not there", row_check(tree, {**of_suite, agent: [t + "x" for t in of_suite[agent]]})),
            ("a row without a test", row_check(tree, {k: v for k, v in tested.items() if k != "processor"})),
            ("a rule that is missing", check(tree, {"table": [{**numbered, "row": numbered["row"][1:]}]})),
            ("a rule that is there twice", check(tree, {"table": [{**numbered, "row": numbered["row"] + numbered["row"][:1]}]})),
            ("a message without its recipient", not messages or duties_check(
                messages, [r for r in messages["row"] if r.get("duty") != "recipient"]))):
        if not noticed:
            wrong.append(f"the check does not notice {what}")
    return wrong


def main() -> int:
    roots = [a for a in sys.argv[1:] if a != "--write"]
    root = Path(roots[0]) if roots else Path(__file__).resolve().parent.parent
    source, target = root / "docs/ocp-conformance.toml", root / "docs/ocp-conformance.md"
    data = tomllib.loads(source.read_text())
    tree = Tree(root)
    wrong = check(tree, data) or self_check(tree, data)
    if "--write" in sys.argv:
        target.write_text(page(data))
    elif not target.exists() or target.read_text() != page(data):
        wrong.append("docs/ocp-conformance.md is not what the data makes: run docs/ocp_conformance.py --write .")
    for w in wrong:
        print(f"{source}: {w}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
