# SPDX-License-Identifier: BSD-3-Clause
"""The table of parts: bench/parts.json, or another file of the same form.

Each part is a program that appends records to the file it is given. Of a part:

name, text      what it is called and what it measures
command         argv; {json} is the part's file of records, {build}, {root}, {out} folders, {seconds} its time
quick, full     words added to the command in that mode
seconds         {"quick": n, "full": n}: a part that takes longer is ended
expect          {"quick": n, "full": n}: what it usually takes, for the estimate (default: its time)
files, programs what must be there; a part that lacks something is left out, and the report says so
resume          words added (perhaps none) when it goes on with a file of records it began; a part without this key
                begins anew
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

MODES = ("quick", "full")


class BadTable(ValueError):
    """What is wrong with the table of parts."""


@dataclass
class Part:
    name: str
    command: list[str]
    seconds: dict[str, float]
    text: str = ""
    quick: list[str] = field(default_factory=list)
    full: list[str] = field(default_factory=list)
    expect: dict[str, float] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    resume: list[str] | None = None

    def argv(self, mode: str, places: dict[str, str], going_on: bool = False) -> list[str]:
        words = self.command + (self.quick if mode == "quick" else self.full) + ((self.resume or []) if going_on else [])
        return [w.format(**places) for w in words]

    def lacks(self, places: dict[str, str]) -> list[str]:
        gone = [f.format(**places) for f in self.files if not Path(f.format(**places)).exists()]
        return gone + [p for p in self.programs if not shutil.which(p)]

    def usual(self, mode: str) -> float:
        return self.expect.get(mode, self.seconds[mode])


@dataclass
class Table:
    parts: list[Part]
    total: dict[str, float]     # of a whole run, in seconds; a mode without one has no limit

    def named(self, names: list[str]) -> list[Part]:
        """In the order of the table."""
        known = [p.name for p in self.parts]
        for n in names:
            if n not in known:
                raise BadTable(f"no part is called '{n}'; there are {', '.join(known)}")
        return [p for p in self.parts if p.name in names]


def load(path: Path) -> Table:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadTable(f"{path}: {e.strerror}") from None
    except json.JSONDecodeError as e:
        raise BadTable(f"{path}:{e.lineno}: {e.msg}") from None
    rows = []
    for i, d in enumerate(data.get("parts", [])):
        where = f"{path}: part {d.get('name', i)}"
        wrong = set(d) - set(Part.__dataclass_fields__)
        if wrong:
            raise BadTable(f"{where}: unknown key {', '.join(sorted(wrong))}")
        for k in ("name", "command", "seconds"):
            if not d.get(k):
                raise BadTable(f"{where}: '{k}' is missing")
        if any(m not in d["seconds"] for m in MODES):
            raise BadTable(f"{where}: 'seconds' must have {' and '.join(MODES)}")
        rows.append(Part(**d))
    if not rows:
        raise BadTable(f"{path}: no parts")
    if len({p.name for p in rows}) != len(rows):
        raise BadTable(f"{path}: a part's name occurs twice")
    return Table(rows, data.get("total_seconds", {}))
