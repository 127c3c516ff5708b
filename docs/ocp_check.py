#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check docs/ocp.md: what is drawn octet by octet is OCP, the tables name every message with the parameters that it has.

usage: ocp_check.py SOURCE-ROOT

Judged by the Python peer (dts/opes_api/ocp), which shares no code with libocp. Exit code 1 and a line for each thing
that is wrong.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(ROOT / "dts"))
sys.dont_write_bytecode = True

from opes_api.ocp.catalogue import CATALOGUE, CORE, DRAFT, bind  # noqa: E402
from opes_api.ocp.wire import Malformed, decode  # noqa: E402

LINE_END = "␍␊"
# What the tables call by the name of its type, or understand only.
SAME = {"my-offset": "offset", "your-offset": "offset", "org-offset": "offset", "org-size": "size"}
UNSAID = {DRAFT: {"please-ack", "size", "modified", "sizep", "modp"}, CORE: set()}


def section(text: str, title: str) -> str:
    """From its heading to the next one of the same level."""
    level = title.split(" ")[0]
    begin = text.index("\n" + title)
    end = text.find(f"\n{level} ", begin + 1)
    return text[begin:end if end >= 0 else None]


def drawn(text: str) -> list[str]:
    """The messages that are drawn with their line ends; two may stand beside each other."""
    columns: dict[int, str] = {}
    for line in text.splitlines():
        at = 0
        for part in line.split(LINE_END)[:-1] if not line.startswith("|") else []:
            body = re.split(" {2,}", part)[-1]  # behind what it is called, or the column before
            column = at + len(part) - len(body)
            columns[column] = columns.get(column, "") + body + "\r\n"
            at += len(part) + len(LINE_END)
    return list(columns.values())


def rows(text: str) -> dict[str, set[str]]:
    """The table's messages and the parameters in its second column."""
    out: dict[str, set[str]] = {}
    for line in text.splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        names = re.findall(r"`([A-Za-z-]+)`", cells[0]) if len(cells) >= 3 else []
        kinds = cells[1].split(" / ") if len(cells) >= 3 else []
        for i, n in enumerate(names):
            kind = kinds[min(i, len(kinds) - 1)]
            if kind == "the same":
                kind = kinds[1]
            words = re.findall(r"[A-Za-z][A-Za-z-]*", kind.split(" + ")[0])
            out[n] = {SAME.get(w, w) for w in words}
    return out


def check_table(text: str, dialect: str) -> list[str]:
    """What is wrong with a dialect's table."""
    wrong, table = [], rows(text)
    for name, spec in CATALOGUE[dialect].items():
        if name not in table:
            wrong.append(f"{dialect}: no row for {name}")
            continue
        want = {n for n, _ in spec.anon + spec.optional} | set(spec.named)
        have = table[name]
        if name == "AA":
            want, have = set(), set()
        extra, missing = have - want, want - have - UNSAID[dialect]
        if extra or missing:
            wrong.append(f"{dialect}: {name}: says {sorted(extra)} too much, does not say {sorted(missing)}")
    return wrong


def main() -> int:
    text = (ROOT / "docs" / "ocp.md").read_text(encoding="utf-8")
    wrong = check_table(section(text, "## 3. "), DRAFT) + check_table(section(text, "### 6.1 "), CORE)
    streams = drawn(section(text, "## 2. "))
    if len(streams) < 2:
        wrong.append("section 2: nothing is drawn")
    count = 0
    for stream in streams:
        try:
            for m in decode(stream.encode()):
                count += 1
                bind(m, CORE if m.name in CATALOGUE[CORE] else DRAFT)
                if not m.known:
                    wrong.append(f"section 2: {m.name} is no message")
        except Malformed as e:
            wrong.append(f"section 2: {e} in {stream!r}")
    for w in wrong:
        print(f"docs/ocp.md: {w}")
    print(f"{count} messages drawn, {len(CATALOGUE[DRAFT])} + {len(CATALOGUE[CORE])} in tables")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
