# SPDX-License-Identifier: BSD-3-Clause
"""One measurement with its samples, as the parts write it: bench/README.md has the form.

A line that is no record is a fault of the part that wrote it and is reported with its place; it is never left out in
silence. A name may occur twice (a part that went on where it was ended): the later record stands.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable

BETTER = ("higher", "lower", "none")


class BadRecord(ValueError):
    """A line that is not a record; the text says where and why."""


@dataclass
class Record:
    bench: str
    name: str
    metric: str
    unit: str = ""
    better: str = "none"
    samples: list[float] = field(default_factory=list)
    pair: str = ""
    target: str = ""
    ok: bool = True
    note: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.bench}:{self.name}#{self.metric}"

    def attribute(self, name: str) -> str:
        """As conditions of selectors see it."""
        if name in ("target", "pair"):
            return getattr(self, name)
        v = self.params.get(name)
        return str(v).lower() if isinstance(v, bool) else str(v)

    def to_dict(self) -> dict[str, Any]:
        d = {k: getattr(self, k) for k in ("bench", "name", "metric", "unit", "better", "samples", "params", "ok", "note")}
        d |= {k: getattr(self, k) for k in ("pair", "target") if getattr(self, k)}
        return d | self.extra


TEXTS = {"bench": True, "name": True, "metric": True, "unit": False, "better": False, "pair": False, "target": False,
         "note": False}


def from_dict(d: Any, where: str) -> Record:
    if not isinstance(d, dict):
        raise BadRecord(f"{where}: not a JSON object")
    for k, needed in TEXTS.items():
        if d.get(k) is None:
            if needed:
                raise BadRecord(f"{where}: '{k}' is missing")
        elif not isinstance(d[k], str) or (needed and not d[k]):
            raise BadRecord(f"{where}: '{k}' must be a text, is {d[k]!r}")
    better = d.get("better") or "none"
    if better not in BETTER:
        raise BadRecord(f"{where}: 'better' must be one of {', '.join(BETTER)}, is {better!r}")
    ok = d.get("ok", True)
    if not isinstance(ok, bool):
        raise BadRecord(f"{where}: 'ok' must be true or false, is {ok!r}")
    samples = d.get("samples")
    if not isinstance(samples, list):
        raise BadRecord(f"{where}: 'samples' must be a list of numbers")
    for i, s in enumerate(samples):
        if isinstance(s, bool) or not isinstance(s, (int, float)) or not math.isfinite(s):
            raise BadRecord(f"{where}: sample {i} is no finite number: {s!r}")
    if ok and not samples and not d.get("note"):
        raise BadRecord(f"{where}: no samples, yet 'ok' is true and no note says why")
    params = d.get("params") or {}
    if not isinstance(params, dict):
        raise BadRecord(f"{where}: 'params' must be an object")
    known = set(TEXTS) | {"samples", "params", "ok"}
    return Record(bench=d["bench"], name=d["name"], metric=d["metric"], unit=d.get("unit") or "", better=better,
                  samples=[float(s) for s in samples], pair=d.get("pair") or "", target=d.get("target") or "", ok=ok,
                  note=d.get("note") or "", params=params, extra={k: v for k, v in d.items() if k not in known})


def read_lines(lines: Iterable[str], source: str) -> tuple[list[Record], list[str]]:
    """Records, and what is wrong with the lines that are none. The last line of a part that was ended may be cut."""
    found: dict[str, Record] = {}
    faults = []
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source}:{i}"
        try:
            r = from_dict(json.loads(line), where)
        except json.JSONDecodeError as e:
            faults.append(f"{where}: not JSON: {e.msg} at column {e.colno}")
        except BadRecord as e:
            faults.append(str(e))
        else:
            found.pop(r.key, None)
            found[r.key] = r
    return list(found.values()), faults


def read_file(path: Path) -> tuple[list[Record], list[str]]:
    with open(path, encoding="utf-8", errors="replace") as f:
        return read_lines(f, path.name)


def read(path: Path) -> tuple[list[Record], list[str]]:
    """From a file of records, or the folder of a run."""
    if path.is_dir():
        path = path / "records.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of records")
    return read_file(path)


class Records:
    """A run's records, found by selectors.

    A selector is ``bench:name#metric``; ``*`` stands for any text in each of the three. Conditions on parameters, or on
    ``target`` and ``pair``, may follow in brackets: ``box:memif/*#pps[frame=64,mode=bypass]``.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.all = list(records)

    def select(self, selector: str) -> list[Record]:
        m = re.fullmatch(r"([^:\[\]]+):([^#\[\]]+)#([^#\[\]]+)(?:\[([^\]]*)\])?", selector)
        if not m:
            raise ValueError(f"not a selector (bench:name#metric[param=value,...]): {selector!r}")
        patterns = [re.compile(".*".join(map(re.escape, p.split("*")))) for p in m.groups()[:3]]
        conditions = [c.split("=", 1) for c in m.group(4).split(",")] if m.group(4) else []
        if any(len(c) != 2 for c in conditions):
            raise ValueError(f"conditions of a selector are param=value: {selector!r}")
        return [r for r in self.all
                if all(p.fullmatch(v) for p, v in zip(patterns, (r.bench, r.name, r.metric)))
                and all(r.attribute(k) == v for k, v in conditions)]
