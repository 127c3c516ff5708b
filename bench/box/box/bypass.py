# SPDX-License-Identifier: BSD-3-Clause
"""Bypass over two memif ports, beside dpdk-testpmd macswap on ports of the same kind, fed by the same generator.

The generator is a dpdk-testpmd that sends on whatever comes back: 512 frames are on their way in each direction, none
need ever be dropped, and what it receives per second is what the forwarder forwards. Forwarders take turns in slices.
"""

from __future__ import annotations

import os
import signal
import time

from box.appliance import Appliance, memif, rule
from box.process import BoxError, Testpmd, wait_for
from box.records import Records, say
from box.setup import Setup

BURSTS = 16  # of 32 frames, in each direction
TARGETS = {64: ("bypass-64", 0.90), 1500: ("bypass-1500", 0.97)}
SETTLE = 0.1


class Side:
    """One forwarder and the pair of the generator's ports that leads through it."""

    def __init__(self, gen: Testpmd, first: int, dut: Testpmd | Appliance) -> None:
        self.gen, self.ports, self.dut = gen, (first, first + 1), dut
        self.errors: list[str] = []

    def rest(self, on: bool) -> None:
        """A forwarder whose turn it is not costs nothing at all."""
        if isinstance(self.dut, Appliance):
            assert self.dut.dataplane
            os.kill(self.dut.dataplane.pid, signal.SIGSTOP if on else signal.SIGCONT)
        elif on:
            self.halt(self.dut, "the forwarder")
        else:
            self.dut.start()

    def halt(self, t: Testpmd, who: str) -> None:
        total = t.halt()
        if total["TX-dropped"] or total["RX-dropped"]:
            self.errors.append(f"{who} dropped {total['RX-dropped']} + {total['TX-dropped']} frames")

    def slice(self, size: int, seconds: float) -> float:
        """Frames per second that came back, both directions together."""
        self.rest(False)
        self.gen.command(f"set txpkts {size}")
        self.gen.command("set portlist %d,%d" % self.ports)
        self.gen.start(BURSTS)
        time.sleep(SETTLE)
        before, t0 = [self.gen.stats(p) for p in self.ports], time.monotonic()
        time.sleep(seconds)
        after, t1 = [self.gen.stats(p) for p in self.ports], time.monotonic()
        self.halt(self.gen, "the generator")
        time.sleep(0.01)
        self.rest(True)
        frames = sum(a["ipackets"] - b["ipackets"] for a, b in zip(after, before))
        octets = sum(a["ibytes"] - b["ibytes"] for a, b in zip(after, before))
        if not frames:
            self.errors.append("nothing came back")
        elif abs(octets / frames - size) > 0.5:  # the two counters are not read at the same moment
            self.errors.append(f"frames of {octets / frames:.1f} octets came back, {size} were sent")
        return frames / (t1 - t0)


def measure(setup: Setup, records: Records) -> None:
    sizes = [n for n in (64, 1500) if not records.has(f"box/bypass/{n}B/ratio")]
    if not sizes:
        return
    with setup.folder() as folder:
        gen = dut = None
        with Appliance(folder, setup.build, setup.cpu, rules=rule("web", "forward"), limits=setup.limits) as box:
            try:
                peers = [folder / "peer-in.sock", folder / "peer-out.sock"]
                dut = Testpmd("macswap", folder, setup.cpu,
                              [memif(i, "server", p) for i, p in enumerate(peers)], memory=128)
                dut.command("set fwd macswap", "Set macswap")
                gen = Testpmd("generator", folder, setup.generator_cpu,
                              [memif(i, "client", p, i % 2)
                               for i, p in enumerate((box.inside, box.outside, *peers))], memory=128)
                gen.command("set fwd io", "Set io")
                wait_for("all links are up", lambda: all(gen.link_up(p) for p in range(4)))
                for size in sizes:
                    one_size(setup, records, box, gen, dut, size)
            finally:
                if box.dataplane:
                    os.kill(box.dataplane.pid, signal.SIGCONT)
                for t in (gen, dut):
                    if t:
                        t.quit()


def one_size(setup: Setup, records: Records, box: Appliance, gen: Testpmd, dut: Testpmd, size: int) -> None:
    ours, theirs = Side(gen, 0, box), Side(gen, 2, dut)
    rates: dict[Side, list[float]] = {ours: [], theirs: []}
    probes, n = [], setup.samples + 1
    before = box.counters()
    ours.rest(True)
    for i in range(n):
        pair = []
        for side in (ours, theirs) if i % 2 else (theirs, ours):
            pair.append(setup.probe())
            rates[side].append(side.slice(size, setup.seconds))
        pair.append(setup.probe())
        probes.append(pair)
        say(f"bypass {size} B {i}/{n - 1}{' (warm-up)' if i == 0 else ''}: appliance {rates[ours][-1] / 1e6:.2f}, "
            f"macswap {rates[theirs][-1] / 1e6:.2f} Mframes/s, cache line {' '.join(f'{p:.0f}' for p in pair)} ns")
    ours.rest(False)
    after = wait_for("the control daemon answers", lambda: box.ctl("status") and box.counters())
    gained = {k: after[k] - before[k] for k in after}
    errors = sorted(set(ours.errors + theirs.errors))
    if gained["tx_dropped"] or gained["bypass_frames"] != gained["rx_frames"]:
        errors.append(f"the appliance received {gained['rx_frames']} frames, passed {gained['bypass_frames']} and "
                      f"dropped {gained['tx_dropped']}")
    a, b = rates[ours][1:], rates[theirs][1:]
    same = dict(ok=not errors, pair=f"box/bypass/{size}B", probe_ns=probes[1:],
                params={"frame": size, "seconds": setup.seconds, "in_flight": BURSTS * 32 * 2})
    note = "; ".join(errors)
    how = "UDP frames in both directions, a rule for HTTP loaded; counts, lengths and drops are compared, not octets"
    records.add(f"box/bypass/{size}B", "frames_per_second", "1/s", "higher", a, note=note or how, **same)
    records.add(f"box/bypass/{size}B/macswap", "frames_per_second", "1/s", "higher", b, note=note or "dpdk-testpmd", **same)
    name, goal = TARGETS[size]
    records.add(f"box/bypass/{size}B/ratio", "ratio", "of macswap", "higher", [x / y for x, y in zip(a, b)],
                note=note or how, target=name, goal=goal, **same)
    if errors:
        raise BoxError(f"bypass {size} B: {note}")
