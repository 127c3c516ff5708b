#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Breaks one rule of OCP at a time in a copy of an agent and shows that the test which proves the rule notices.

usage: mutants.py ROOT [MUTANT ...]

A mutant is a file NAME.patch beside this one. Its head:

    row: TABLE/ID       a row of docs/ocp-conformance.toml (TABLE: the table's key)
    agent: processor    or server: the column
    test: program:name  a test of that column, which must fail

Below `---` and `+++` lines stand pieces between `@@` lines: ` ` as it is, `-` taken out, `+` put in. A piece is found by its
text and must be there exactly once, whatever its line. What a mutant does not touch is compiled once; nothing in the tree is
written. First every test that is named must pass without any mutant.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CC = os.environ.get("CC", "cc").split()
FLAGS = ["-std=gnu17", "-O0", "-w", "-D_GNU_SOURCE", "-DOPES_VERSION=\"0\"", "-fno-strict-aliasing"]
SECONDS = 60  # an agent without its rule may wait for ever


class MutantError(Exception):
    """Something is wrong with a mutant; the text says what."""


class Mutant:
    """One patch file."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        head, _, body = path.read_text().partition("--- ")
        fields = dict(re.findall(r"^(\w+): (.+)$", head, re.M))
        try:
            self.row, self.agent, self.test = fields["row"], fields["agent"], fields["test"]
        except KeyError as e:
            raise MutantError(f"{self.name}: its head has no {e.args[0]}") from e
        self.files: dict[str, list[tuple[str, str]]] = {}
        for part in re.split(r"^--- ", body, flags=re.M):
            target = re.search(r"^\+\+\+ b/(\S+)$", part, re.M)
            if not target:
                raise MutantError(f"{self.name}: no line +++ b/FILE")
            self.files[target[1]] = [self.piece(p) for p in re.split(r"^@@.*\n", part, flags=re.M)[1:]]
        self.program = self.test.partition(":")[0]

    @staticmethod
    def piece(text: str) -> tuple[str, str]:
        """Before and after."""
        lines = text.splitlines()
        return ("".join(f"{x[1:]}\n" for x in lines if x[:1] in (" ", "-", "")),
                "".join(f"{x[1:]}\n" for x in lines if x[:1] in (" ", "+", "")))

    def write(self, root: Path, to: Path) -> list[Path]:
        """The changed copies."""
        out = []
        for file, pieces in self.files.items():
            if not (root / file).exists():
                raise MutantError(f"{self.name}: there is no {file}")
            text = (root / file).read_text()
            for before, after in pieces:
                if text.count(before) != 1:
                    raise MutantError(f"{self.name}: does not apply: {text.count(before)} times in {file}:\n{before}")
                text = text.replace(before, after)
            copy = to / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
            out.append(copy)
        return out


class Tree:
    """What programs are made of, compiled once."""

    def __init__(self, root: Path, tmp: Path) -> None:
        self.root, self.tmp = root, tmp
        ocp = [p for p in sorted((root / "ocp").glob("*.c")) if not p.stem.endswith(("_test", "_fuzz"))]
        callout = [p for p in sorted((root / "callout").glob("oc_*.c")) if p.stem != "oc_fuzz"]
        services = [p for p in sorted((root / "callout/services").glob("*.c")) if not p.stem.endswith("_test")]
        self.sources = {"ocp": ocp, "callout": ocp + callout + services + [root / "callout/peer.c"]}

    def main(self, program: str) -> Path:
        """The source of a test program."""
        for path in (*(self.root / "ocp").glob("*_test.c"), *(self.root / "callout").glob("*_test.c")):
            stem = path.name[:-len("_test.c")]
            if program == (stem if path.parent.name == "ocp" else f"callout_{stem}"):
                return path
        raise MutantError(f"there is no program {program} in ocp/ or callout/")

    def parts(self, program: str) -> list[Path]:
        """All sources of a test program."""
        main = self.main(program)
        return [main, *self.sources[main.parent.name]]

    def compile(self, source: Path, to: Path) -> Path:
        """Its object."""
        obj = to / (str(source.relative_to(to if source.is_relative_to(to) else self.root)).replace("/", "+") + ".o")
        if not obj.exists():
            r = subprocess.run([*CC, *FLAGS, f"-I{self.root}", f"-I{self.root}/callout", "-c", str(source), "-o", str(obj)],
                               capture_output=True, text=True)
            if r.returncode:
                raise MutantError(f"{source.name} does not compile:\n{r.stderr}")
        return obj

    def link(self, program: str, to: Path, changed: dict[str, Path]) -> Path:
        """The program, with the changed copies in their places."""
        objects = []
        for source in self.parts(program):
            copy = changed.get(str(source.relative_to(self.root)))
            objects.append(self.compile(copy, to) if copy else self.compile(source, self.tmp))
        exe = to / f"{program}_test"
        r = subprocess.run([*CC, *map(str, objects), "-lcmocka", "-lm", "-lpthread", "-o", str(exe)], capture_output=True, text=True)
        if r.returncode:
            raise MutantError(f"{program} does not link:\n{r.stderr}")
        return exe


def failed_tests(exe: Path) -> tuple[set[str], str]:
    """Names of the tests that failed, all of them when it did not come to an end; its output."""
    try:
        r = subprocess.run([str(exe)], capture_output=True, timeout=SECONDS, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "STDOUT"})
        text = (r.stdout + r.stderr).decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        text = ((e.stdout or b"") + (e.stderr or b"")).decode(errors="replace")
    failed = set(re.findall(r"^\[  FAILED  \] (?:\w+: )?(test_\w+)$", text, re.M))
    begun = re.findall(r"^\[ RUN      \] (test_\w+)$", text, re.M)
    if "[  PASSED  ]" not in text and begun:  # crashed or hung in the last one
        failed.add(begun[-1])
    return failed, text


def row_check(data: dict, m: Mutant) -> None:
    """The row that the mutant is for names its test."""
    key, _, name = m.row.partition("/")
    rows = [r for t in data["table"] if t["key"] == key for r in t["row"] if r["id"] == name]
    if len(rows) != 1:
        raise MutantError(f"{m.name}: docs/ocp-conformance.toml has no row {m.row}")
    if m.test not in rows[0].get(m.agent, []):
        raise MutantError(f"{m.name}: row {m.row} does not name {m.test} for the {m.agent}")


def run(tree: Tree, data: dict, m: Mutant) -> str:
    """"" when the row's test notices, else what is wrong."""
    try:
        row_check(data, m)
        to = tree.tmp / m.name
        to.mkdir()
        changed = {str(p.relative_to(to)): p for p in m.write(tree.root, to)}
        failed, _ = failed_tests(tree.link(m.program, to, changed))
    except MutantError as e:
        return str(e)
    return "" if m.test.partition(":")[2] in failed else f"{m.name}: {m.test} does not notice (failed: {sorted(failed) or 'none'})"


def self_check(tree: Tree, data: dict, like: Mutant) -> list[str]:
    """A run that is content with a mutant that breaks nothing, or that no longer applies, shows nothing."""
    path = tree.tmp / "self.patch"
    file = next(iter(like.files))
    head = f"row: {like.row}\nagent: {like.agent}\ntest: {like.test}\n--- a/{file}\n+++ b/{file}\n"
    wrong = []
    for n, piece in enumerate(("", "@@\n-there is no such line\n+\n")):
        path.write_text(head + piece)
        m = Mutant(path)
        m.name = f"self{n}"
        if not run(tree, data, m):
            wrong.append(f"mutants.py is content with a mutant that {'does not apply' if piece else 'changes nothing'}")
    return wrong


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    data = tomllib.loads((root / "docs/ocp-conformance.toml").read_text())
    wanted = [HERE / f"{n}.patch" for n in sys.argv[2:]] or sorted(HERE.glob("*.patch"))
    try:
        mutants = [Mutant(p) for p in wanted]
    except (MutantError, OSError) as e:
        print(e)
        return 1
    with tempfile.TemporaryDirectory(prefix="opes-mutants-") as tmp, ThreadPoolExecutor(2) as pool:
        tree = Tree(root, Path(tmp))
        programs = sorted({m.program for m in mutants})
        try:
            sources = list(dict.fromkeys(s for p in programs for s in tree.parts(p)))
            list(pool.map(lambda s: tree.compile(s, tree.tmp), sources))
            clean = {p: failed_tests(tree.link(p, tree.tmp, {})) for p in programs}
        except MutantError as e:
            print(e)
            return 1
        wrong = [f"{p} fails without a mutant:\n{text[-3000:]}" for p, (failed, text) in clean.items() if failed]
        for m, w in zip(mutants, pool.map(lambda m: run(tree, data, m), mutants)):
            print(f"{'MISSED' if w else 'noticed'}  {m.name}: {m.row} {m.agent} by {m.test}")
            wrong += [w] if w else []
        wrong += self_check(tree, data, mutants[0])
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
