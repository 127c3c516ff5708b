# SPDX-License-Identifier: BSD-3-Clause
"""The appliance with two memif ports on this host: dataplane, control and a callout server, set by an expectation."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dts"))
from opes_api.lab import Lab, LabError, Node, Process, run, wait_for  # noqa: E402,F401


class Box(Lab):
    """A context manager: inside, the appliance runs and its rules are in force."""

    def __init__(self, dut: dict[str, Any], build: str | None = None, generator: int = 1) -> None:
        """dut: of an expectation. generator: the processor of testpmd, where no worker can be besides: it would be
        off its processor for milliseconds, and its rings full."""
        super().__init__(build=build, tag=f"p{os.getpid() % 100000}", driver="memif")
        self.ns, self.testbed = {}, None
        self.cli = self.dut = self.srv = Node(self, "dut", [])
        self.wanted = dut
        self.callout: Process | None = None
        self.workers = self.processors(dut, generator)

    @staticmethod
    def processors(dut: dict[str, Any], generator: int) -> list[int]:
        """Of the workers."""
        free = sorted(os.sched_getaffinity(0) - {generator})
        return free[:len(dut.get("lcores", {}).get("workers", [0]))]

    def counters(self) -> dict[str, int]:
        try:
            return super().counters()
        except TypeError as e:
            raise LabError("the appliance does not answer: " + ("; ".join(self.alive()) or "all programs live")) from e

    def devices(self, driver: str) -> tuple[str, str]:
        return tuple(f"net_memif{i},role=server,id=0,socket={self.dir}/{name}.sock,socket-abstract=no"
                     for i, name in enumerate(("inside", "outside")))  # type: ignore[return-value]

    def make(self) -> None:
        for name in ("opes-dataplane", "opes-control", "opesctl", "opes-callout"):
            if not os.access(self.program(name), os.X_OK):
                raise LabError(f"{self.program(name)} does not exist: build first, or name the build folder (--build)")
        services = json.loads(json.dumps(self.wanted.get("services", [])))
        for s in services:
            s["address"] = f"unix:{self.dir}/callout.sock"
        if not self.workers:
            raise LabError("two processors are needed, one for the appliance and one for testpmd")
        if services:
            self.callout = self.start_callout(*(f"as-is:urn:opes:service:{s['name']}" for s in services),
                                              listen=f"unix:{self.dir}/callout.sock")
        lcores = {**self.wanted.get("lcores", {}), "workers": self.workers, "callout": self.workers[0]}
        self.start(rules=json.dumps(self.wanted.get("rules", [])), services=json.dumps(services),
                   limits=json.dumps(self.wanted["limits"]) if "limits" in self.wanted else "",
                   lcores=json.dumps(lcores), memory="512MiB")
        for s in services:
            self.wait_service(s["name"])

    def alive(self) -> list[str]:
        """What ended that should live."""
        return [f"{p.name} ended with {p.popen.returncode}:\n{p.output()[-2000:]}"
                for p in (self.dataplane, self.control, self.callout) if p and not p.alive()]

    def rest(self) -> None:
        """Wait until no frame comes in any more."""
        last = -1
        while (n := self.counters()["rx_frames"]) != last:
            last = n
            time.sleep(0.2)

    def gain(self, before: dict[str, int]) -> dict[str, int]:
        time.sleep(0.2)  # counters are written at the worker's leisure
        return {k: v - before[k] for k, v in self.counters().items()}

    def wait_gauges(self, rows: list[dict[str, Any]]) -> dict[str, int]:
        """Wait until the gauges are as expected or their time is over; their last values."""
        for row in rows:
            try:
                wait_for(row["gauge"], lambda row=row: self.gauges().get(row["gauge"], 1 << 60) <= row["max"],
                         row["within_s"], 0.2)
            except LabError:
                break  # the caller judges the values
        return self.gauges()
