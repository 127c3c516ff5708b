# SPDX-License-Identifier: BSD-3-Clause
"""What all parts share: where things are, how long they take, and the distance of the processors."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from box.appliance import program
from box.process import BoxError


@dataclass
class Setup:
    build: Path
    cpu: int            # of the appliance's worker
    generator_cpu: int
    samples: int
    seconds: float
    quick: bool
    keep: bool = False
    limits: str = "{}"

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for sockets and logs; its name is also the prefix of DPDK's files. Kept when something fails."""
        path = Path(tempfile.mkdtemp(prefix="opes-box-"))
        try:
            yield path
        except BaseException:
            if any(path.iterdir()):
                print(f"logs are in {path}")
            raise
        if not self.keep:
            shutil.rmtree(path, ignore_errors=True)

    def records_of(self, name: str, *argv: str) -> list[dict]:
        """Records of a run of another program of bench/."""
        with tempfile.NamedTemporaryFile(suffix=".json") as f:
            p = subprocess.run([program(self.build, name), "--json", f.name, *argv], capture_output=True, text=True,
                               timeout=600)
            if p.returncode != 0:
                raise BoxError(f"{name} {' '.join(argv)}: exit code {p.returncode}\n{p.stderr}")
            return [json.loads(line) for line in Path(f.name).read_text().splitlines()]

    def sockets(self, *argv: str) -> list[dict]:
        """Records of a run of opes-bench-sockets."""
        return self.records_of("opes-bench-sockets", "--cpus", f"{self.cpu},{self.generator_cpu}", *argv)

    def probe(self) -> float:
        """Round trip of a cache line between the two processors, in ns."""
        return self.sockets("--mode", "probe", "--samples", "1")[0]["samples"][0]
