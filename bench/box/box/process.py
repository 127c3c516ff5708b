# SPDX-License-Identifier: BSD-3-Clause
"""Processes of a measurement: pinned, their output in a file, the processor time they spend."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable


class BoxError(RuntimeError):
    """Something that is not the appliance's speed went wrong; the text says what."""


def wait_for(what: str, probe: Callable[[], Any], seconds: float = 20, step: float = 0.02) -> Any:
    """Poll until probe() is true; its value is returned."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise BoxError(f"not within {seconds:g} s: {what}")
        time.sleep(step)


class Process:
    """One program. cpus: where it may run; threads that pin themselves do so afterwards."""

    def __init__(self, name: str, argv: list[str], folder: Path, cpus: set[int] | None = None,
                 stdin: bool = False) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        self._out = open(self.log, "ab", buffering=0)
        self.mark = self.log.stat().st_size
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=self._out,
                                      stderr=subprocess.STDOUT, start_new_session=True)
        if cpus is not None:
            os.sched_setaffinity(self.popen.pid, cpus)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def output(self, since: int | None = None) -> str:
        with open(self.log, "rb") as f:
            f.seek(self.mark if since is None else since)
            return f.read().decode(errors="replace")

    def size(self) -> int:
        return self.log.stat().st_size

    def wait_line(self, text: str, seconds: float = 20, since: int | None = None) -> None:
        def there() -> bool:
            if text in self.output(since):
                return True
            if not self.alive():
                raise BoxError(f"{self.name} ended with {self.popen.returncode}:\n{self.output()[-3000:]}")
            return False
        wait_for(f"{self.name} prints '{text}'", there, seconds)

    def write(self, line: str) -> None:
        assert self.popen.stdin
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()

    def cpu_seconds(self) -> float:
        """Processor time of all its threads, from the scheduler's own account in ns."""
        return sum(t for _, t in self.threads().values())

    def threads(self) -> dict[int, tuple[str, float]]:
        """Name and processor time of each thread."""
        out = {}
        for d in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                out[int(d.name)] = ((d / "comm").read_text().strip(),
                                    int((d / "schedstat").read_text().split()[0]) / 1e9)
            except (OSError, ProcessLookupError):
                pass
        return out

    def stop(self, sig: int = signal.SIGTERM, seconds: float = 15) -> int:
        """End it in order. One that does not go is killed, and that is an error."""
        if self.alive():
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, sig)
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise BoxError(f"{self.name} did not end within {seconds:g} s of signal {sig}") from None
        finally:
            self._out.close()
        return self.popen.returncode


class Testpmd:
    """dpdk-testpmd: the command line thread sleeps, one lcore forwards; both on one processor."""

    def __init__(self, name: str, folder: Path, cpu: int, devices: list[str], memory: int = 256) -> None:
        self.prefix = f"{folder.name}-{name}"
        argv = ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{cpu},1@{cpu}", "--file-prefix", self.prefix,
                "-m", str(memory), "--no-pci"]
        for d in devices:
            argv += ["--vdev", d]
        argv += ["--", "-i", "--total-num-mbufs=16384", "--port-topology=paired"]
        self.process = Process(name, argv, folder, stdin=True)
        self.process.wait_line("testpmd>", 30)
        self.ports = len(devices)

    def command(self, line: str, until: str | None = None) -> str:
        """Give a command and wait for what it prints, or for the next command's prompt."""
        since = self.process.size()
        self.process.write(line)
        if until:
            self.process.wait_line(until, since=since)
        return self.process.output(since)

    def telemetry(self, question: str) -> dict[str, Any]:
        """Ask DPDK's telemetry; unlike the command line it answers while printing is slow."""
        run = os.environ.get("RUNTIME_DIRECTORY") or ("/var/run" if os.geteuid() == 0 else
                                                      os.environ.get("XDG_RUNTIME_DIR", "/tmp"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(f"{run}/dpdk/{self.prefix}/dpdk_telemetry.v2")
            s.recv(4096)
            s.send(question.encode())
            return json.loads(s.recv(65536))

    def stats(self, port: int) -> dict[str, int]:
        return self.telemetry(f"/ethdev/stats,{port}")["/ethdev/stats"]

    def link_up(self, port: int) -> bool:
        return self.telemetry(f"/ethdev/link_status,{port}")["/ethdev/link_status"]["status"] == "UP"

    def start(self, bursts: int = 0) -> None:
        self.command(f"start tx_first {bursts}" if bursts else "start", "packet forwarding")

    def halt(self) -> dict[str, int]:
        """Stop forwarding; what it received, sent and dropped since the start."""
        text = self.command("stop", "Done.")
        total = text[text.rindex("Accumulated"):]
        return {k: int(re.search(rf"{k}:\s*(\d+)", total).group(1))
                for k in ("RX-packets", "TX-packets", "RX-dropped", "TX-dropped")}

    def quit(self) -> None:
        if self.process.alive():
            self.process.write("quit")
            try:
                self.process.popen.wait(15)
            except subprocess.TimeoutExpired:
                pass
        self.process.stop()
