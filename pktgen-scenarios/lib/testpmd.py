# SPDX-License-Identifier: BSD-3-Clause
"""dpdk-testpmd as generator and receiver over two memif ports, in one process on one forwarding lcore.

    port 0  capture file (frames towards the inside)  -> port 1  memif, appliance inside
    port 2  memif, appliance outside                  -> port 3  capture file (frames the other way), else discarded

Testpmd forwards between the ports of a pair in both directions; a port of capture files discards what it is to send.
The rings towards the appliance are shorter than those out of it, so that a frame the appliance took always finds room
behind it: what is lost in an exact run was lost by the appliance.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import time
from pathlib import Path

PROMPT = b"testpmd> "
INSIDE, OUTSIDE = 1, 2
RING_IN, RING_OUT = 11, 12  # log2 of entries
PROBES_MAX = 1 << RING_IN  # frames the other way that fit into a ring even if nobody reads it
RETRY = ("set burst tx delay 5 retry 1000000",)


MEMORY_MIB = 256


def memory() -> tuple[str, ...]:
    """Hugepages if enough are free, else ordinary memory, which is somewhat slower."""
    free = re.search(r"HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text())
    if free and int(free[1]) * 2 >= MEMORY_MIB * 5 // 4:
        return "--in-memory", "--single-file-segments"
    return ("--no-huge",)


class TestpmdError(RuntimeError):
    """Testpmd did not start, ended or did not answer."""


class Testpmd:
    """One process. sockets: folder of the appliance's memif sockets. sources: capture files for ports 0 and 3."""

    def __init__(self, sockets: Path, prefix: str, core: int, sources: tuple[Path | None, Path | None] = (None, None),
                 infinite: bool = False, mode: str = "io", args: tuple[str, ...] = (), loop: bool = False) -> None:
        """loop: no sources, only the two memif ports forwarding to each other."""
        exe = shutil.which("dpdk-testpmd")
        if not exe:
            raise TestpmdError("dpdk-testpmd is not installed (Debian package dpdk-dev)")
        memif = [f"net_memif{i},role=client,id=0,socket={sockets}/{name}.sock,socket-abstract=no,rsize={ring}"
                 for i, (name, ring) in enumerate((("inside", RING_IN), ("outside", RING_OUT)))]
        ends = [f"net_pcap{i},rx_pcap={p}" + (",infinite_rx=1" if infinite else "") if p else f"net_null{i},no-rx=1"
                for i, p in enumerate(sources)]
        vdevs = memif if loop else [ends[0], memif[0], memif[1], ends[1]]
        main = next(c for c in sorted(os.sched_getaffinity(0)) if c != core)
        # Its prompt is written past the buffer of standard output: lines must not wait there.
        self.argv = ["stdbuf", "-oL", exe, "-l", f"{main},{core}", "--main-lcore", str(main), "--no-pci", "-m",
                     str(MEMORY_MIB), *memory(), "--file-prefix", prefix]
        for v in vdevs:
            self.argv += ["--vdev", v]
        self.argv += ["--", "-i", "--total-num-mbufs=49152", "--no-lsc-interrupt", "--no-flush-rx",
                      f"--forward-mode={mode}", "--txd=1024", "--rxd=1024", *args]
        self.text = b""
        self.popen = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, start_new_session=True)
        self.poll = selectors.DefaultSelector()
        assert self.popen.stdout
        os.set_blocking(self.popen.stdout.fileno(), False)
        self.poll.register(self.popen.stdout, selectors.EVENT_READ)
        try:
            self._answer(30)
            self._wait_links()
            # A memif client offers its peer buffers at its first receive: before that, all the peer sends is lost.
            for text in ("set fwd rxonly", f"set portlist {'0,1' if loop else '1,2'}", "start", "stop",
                         f"set portlist {'0,1' if loop else '0,1,2,3'}", f"set fwd {mode}"):
                self.command(text)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Testpmd":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _answer(self, seconds: float) -> str:
        """Read until the prompt."""
        end = time.monotonic() + seconds
        assert self.popen.stdout
        while not self.text.endswith(PROMPT):
            if not self.poll.select(0.2):
                if time.monotonic() > end:
                    raise TestpmdError(f"testpmd does not answer:\n{self.text.decode(errors='replace')[-2000:]}")
                continue
            data = self.popen.stdout.read()
            if data == b"":
                raise TestpmdError(f"testpmd ended with {self.popen.wait()}:\n"
                                   f"{self.text.decode(errors='replace')[-3000:]}")
            self.text += data or b""
        out, self.text = self.text.decode(errors="replace"), b""
        return out

    def command(self, text: str, seconds: float = 10) -> str:
        assert self.popen.stdin
        self.popen.stdin.write(text.encode() + b"\n")
        self.popen.stdin.flush()
        return self._answer(seconds)

    def _wait_links(self) -> None:
        end = time.monotonic() + 15
        while True:
            out = self.command("show port summary all")
            states = re.findall(r"net_memif\S*\s+net_memif\s+(up|down)", out)
            if len(states) == 2 and set(states) == {"up"}:
                return
            if time.monotonic() > end:
                raise TestpmdError(f"the memif links did not come up:\n{out}")
            time.sleep(0.1)

    def stats(self) -> dict[int, dict[str, int]]:
        """rx, tx, rx_octets, tx_octets by port, since the start; port -1 holds the time of reading."""
        out = self.command("show port stats all")
        now = time.monotonic_ns()
        rows: dict[int, dict[str, int]] = {-1: {"ns": now}}
        for port, body in re.findall(r"NIC statistics for port (\d+)(.*?)\n\s*Throughput", out, re.S):
            rows[int(port)] = {k: int(m[1]) for k, name in (("rx", "RX-packets"), ("tx", "TX-packets"),
                                                            ("rx_octets", "RX-bytes"), ("tx_octets", "TX-bytes"))
                               if (m := re.search(rf"{name}:\s*(\d+)", body))}
        return rows

    def refused(self) -> int:
        """Frames the inside port's ring did not take."""
        out = self.command("show fwd stats all")
        m = re.search(rf"Forward statistics for port {INSIDE} .*?TX-dropped:\s*(\d+)", out, re.S)
        return int(m[1]) if m else 0

    def settle(self, seconds: float) -> dict[int, dict[str, int]]:
        """Wait until no count moves for half a second; the counts."""
        end, last, since = time.monotonic() + seconds, None, time.monotonic()
        while True:
            rows = self.stats()
            seen = {k: v for k, v in rows.items() if k >= 0}
            if seen != last:
                last, since = seen, time.monotonic()
            elif time.monotonic() - since > 0.5:
                return rows
            if time.monotonic() > end:
                raise TestpmdError(f"frames still move after {seconds:g} s: {seen}")
            time.sleep(0.1)

    def close(self) -> None:
        if self.popen.poll() is None:
            try:
                self.command("stop", 5)
                assert self.popen.stdin
                self.popen.stdin.write(b"quit\n")
                self.popen.stdin.flush()
                self.popen.wait(5)
            except (TestpmdError, OSError, subprocess.TimeoutExpired):
                self.popen.kill()
                self.popen.wait()
        for f in (self.popen.stdin, self.popen.stdout):
            if f:
                try:
                    f.close()
                except OSError:
                    pass
