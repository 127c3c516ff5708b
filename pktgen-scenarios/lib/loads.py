# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios as testpmd can carry them: exact runs (a set number of frames, every one accounted for), rates at full
speed, the search for the highest rate without loss, and the mean time of a loop through the appliance."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import expect
import frames
from box import Box
from testpmd import INSIDE, OUTSIDE, PROBES_MAX, RETRY, Testpmd, TestpmdError

INFINITE_FRAMES = 16384  # of a capture file that is sent again and again
SIZES = (64, 128, 256, 512, 1024, 1280, 1518)


@dataclass
class Run:
    """One scenario under way. want: its expectation. folder: for capture files. quick: everything in some seconds.
    figures: what is judged and stored. wrong: what did not hold of an appliance at its end."""

    want: dict[str, Any]
    build: str | None
    core: int
    folder: Path
    quick: bool
    say: Callable[[str], None]
    figures: dict[str, float] = field(default_factory=dict)
    sent: int = 0  # frames of exact runs, for counters that count frames
    gain: Counter = field(default_factory=Counter)  # of the counters in runs that count
    wrong: list[str] = field(default_factory=list)
    captures: dict[tuple[frames.Stream, int], Path] = field(default_factory=dict)

    def capture(self, stream: frames.Stream, count: int) -> Path:
        if (stream, count) not in self.captures:
            path = self.folder / f"load{len(self.captures)}.pcap"
            frames.write_pcap(path, stream(count))
            self.captures[stream, count] = path
        return self.captures[stream, count]

    @contextmanager
    def running(self, *sources: Path | None, counts: bool = False, **kw) -> Iterator[tuple[Box, Testpmd]]:
        """An appliance and a testpmd of its own. The appliance goes first: when a memif peer goes, DPDK's driver unmaps
        its rings while workers may be reading them. counts: the counters' gain is judged."""
        box, pmd = Box(self.want["dut"], self.build, self.core), None
        try:
            box.make()
            before = box.counters()
            ends = (*sources, None, None)
            pmd = Testpmd(box.dir, f"pmd{box.tag}", self.core, (ends[0], ends[1]), **kw)
            yield box, pmd
            pmd.command("stop")
            box.rest()
            if counts:
                self.gain.update(box.gain(before))
            self.wrong += expect.judge_gauges(self.want, box.wait_gauges(self.want["gauges"]))
        finally:
            self.wrong += box.alive()
            box.close()
            if pmd:
                pmd.close()

    def worst(self, name: str, value: float, keep=max) -> None:
        self.figures[name] = keep(self.figures.get(name, value), value)

    def exact(self, stream: frames.Stream, count: int, label: str = "", probes: int = PROBES_MAX - 128,
              loss: str = "loss_ratio") -> None:
        """Every frame once, as fast as the appliance takes them, beside probes the other way."""
        source, other = self.capture(stream, count), self.capture(frames.probe, probes)
        with self.running(source, other, counts=True) as (_, pmd):
            pmd.command("set fwd io retry")
            pmd.command(RETRY[0])
            start = time.monotonic()
            pmd.command("start")
            rows = pmd.settle(60 + count / 20000)
            seconds = max(time.monotonic() - start - 0.5, 0.001)
        at, out = rows[INSIDE], rows[OUTSIDE]
        if at["tx"] != count or out["tx"] != probes:
            raise TestpmdError(f"testpmd sent {at['tx']} of {count} frames and {out['tx']} of {probes} probes")
        self.worst(loss, (count - out["rx"]) / count)
        self.worst("probe_loss_ratio", (probes - at["rx"]) / probes)
        self.worst("octet_ratio_lowest", out["rx_octets"] / at["tx_octets"], min)
        self.worst("octet_ratio_highest", out["rx_octets"] / at["tx_octets"])
        self.figures["octet_ratio"] = out["rx_octets"] / at["tx_octets"]
        self.sent += count
        self.say(f"{label or 'exact'}: {count} frames, {count - out['rx']} lost; "
                 f"{probes} probes, {probes - at['rx']} lost ({seconds:.1f} s)")

    def load(self, box: Box, pmd: Testpmd, seconds: float) -> dict[str, float]:
        """Rates of a testpmd that sends without end. Lost: what the ring towards the appliance did not take and what
        the appliance's own ring did not."""
        pmd.command("start")
        time.sleep(0.3)
        a, drop0 = pmd.stats(), box.counters()["tx_dropped"]
        refused0 = pmd.refused()
        time.sleep(seconds)
        b, refused = pmd.stats(), pmd.refused() - refused0
        dropped = box.counters()["tx_dropped"] - drop0
        pmd.command("stop")
        s = (b[-1]["ns"] - a[-1]["ns"]) / 1e9
        sent, got = b[INSIDE]["tx"] - a[INSIDE]["tx"], b[OUTSIDE]["rx"] - a[OUTSIDE]["rx"]
        return {"offered_pps": (sent + refused) / s, "forwarded_pps": got / s, "lost": refused + dropped,
                "loss_ratio": (refused + dropped) / max(1, sent + refused)}

    def flat_out(self, stream: frames.Stream) -> None:
        """The rate at full speed, stored but not judged: the generator's core sets it as much as the appliance."""
        path = self.capture(stream, INFINITE_FRAMES)
        with self.running(path, infinite=True) as (box, pmd):
            r = self.load(box, pmd, 1 if self.quick else 5)
        self.figures["offered_pps"], self.figures["forwarded_pps"] = r["offered_pps"], r["forwarded_pps"]
        self.figures["flat_out_loss_ratio"] = r["loss_ratio"]
        self.say(f"at full speed: {r['offered_pps'] / 1e6:.3f} Mpps offered, "
                 f"{r['forwarded_pps'] / 1e6:.3f} Mpps forwarded")

    def search(self, stream: frames.Stream, label: str) -> bool:
        """The highest rate without loss. Testpmd has no rate for these ports: it is slowed by random reads of memory
        for each frame (forwarding mode noisy), whose number is doubled until nothing is lost, then halved between."""
        path = self.capture(stream, INFINITE_FRAMES)
        seconds, steps = (0.5, 1) if self.quick else (5, 7)

        def trial(reads: int, s: float) -> dict[str, float]:
            args = ("--noisy-lkup-memory=64", f"--noisy-lkup-num-reads={reads}") if reads else ()
            with self.running(path, infinite=True, mode="noisy" if reads else "io", args=args,
                              counts=True) as (box, pmd):
                r = self.load(box, pmd, s)
            self.say(f"{label}: {reads} reads a frame, {r['offered_pps'] / 1e6:.3f} Mpps offered, {r['lost']:.0f} lost")
            return r

        low, high, best = -1, 0, trial(0, seconds)
        while best["lost"] and high < 4096:
            low, high = high, max(2, high * (4 if self.quick else 2))
            best = trial(high, seconds)
        for _ in range(steps if low >= 0 else 0):
            if high - low <= 1 or best["lost"]:
                break
            middle = (low + high) // 2
            r = trial(middle, seconds)
            low, high, best = (low, middle, r) if not r["lost"] else (middle, high, best)
        if not best["lost"] and not self.quick:
            best = trial(high, 30)
        self.figures[f"pps_{label}"] = best["forwarded_pps"]
        self.figures[f"generator_bound_{label}"] = float(high == 0)
        return not best["lost"]

    def loop(self, seconds: float) -> None:
        """One frame in flight each way between the two ports of testpmd: its time round the loop, which crosses the
        appliance and testpmd once each."""
        with self.running(loop=True, args=("--burst=1",), counts=True) as (_, pmd):
            pmd.command("start tx_first 1")
            time.sleep(0.2)
            a = pmd.stats()
            time.sleep(seconds)
            b = pmd.stats()
        s = (b[-1]["ns"] - a[-1]["ns"]) / 1e9
        loops = b[0]["rx"] - a[0]["rx"]
        self.figures["loops"] = loops
        self.figures["mean_us"] = 1e6 * s / loops if loops else float("inf")
        self.say(f"{loops} times round in {s:.1f} s, {self.figures['mean_us']:.2f} us each")


def bypass_throughput(r: Run) -> None:
    missing = 0
    for size in ((64, 1518) if r.quick else SIZES):
        missing += not r.search(frames.sized(size), str(size))
    missing += not r.search(frames.imix, "imix")
    r.figures["unconfirmed_sizes"] = missing


def bypass_latency(r: Run) -> None:
    r.loop(2 if r.quick else 10)


def twice(count: int) -> Iterator[bytes]:
    yield from frames.syn(count // 2)
    yield from frames.syn(count // 2)


def flow_scale(r: Run) -> None:
    count = 100000 if r.quick else 1000000
    r.exact(twice, 2 * count, "each SYN twice")
    r.figures["sent_ratio"] = r.sent / (2 * count)


def flood(stream: frames.Stream, rate: bool = False) -> Callable[[Run], None]:
    """rate: at full speed too when there is little time."""
    def run(r: Run) -> None:
        r.exact(stream, 50000 if r.quick else 1000000)
        if rate or not r.quick:
            r.flat_out(stream)
    return run


def rss_skew(r: Run) -> None:
    r.figures["workers"] = len(Box.processors(r.want["dut"], r.core))
    if r.figures["workers"] < 2:
        r.say("one worker: no processor is left for a second; many flows against one, but no spreading")
    count = 30000 if r.quick else 1000000
    r.exact(frames.ack, count, "even", loss="even_loss_ratio")
    r.exact(frames.skewed, count, "skewed", loss="skewed_loss_ratio")


def soak(r: Run) -> None:
    """Testpmd pushed back by the rings, so that what is lost the appliance dropped; one appliance all the time."""
    path, losses = r.capture(frames.mixture, INFINITE_FRAMES), []
    with r.running(path, infinite=True, counts=True) as (box, pmd):
        pmd.command("set fwd io retry")
        pmd.command(RETRY[0])
        for i in range(2 if r.quick else 60):
            got = r.load(box, pmd, 1 if r.quick else 30)
            losses.append(got["loss_ratio"])
            r.say(f"interval {i + 1}: {got['forwarded_pps'] / 1e6:.3f} Mpps forwarded, {got['lost']:.0f} lost")
    r.figures["worst_loss_ratio"], r.figures["loss_ratio_growth"] = max(losses), losses[-1] - losses[0]


SCENARIOS: dict[str, Callable[[Run], None]] = {
    "bypass_throughput": bypass_throughput, "bypass_latency": bypass_latency, "flow_scale": flow_scale,
    "flow_churn": flood(frames.churn), "syn_flood": flood(frames.syn, rate=True),
    "ack_flood": flood(frames.ack, rate=True), "rst_flood": flood(frames.rst),
    "fragment_flood": flood(frames.fragments), "malformed_headers": flood(frames.malformed),
    "vlan_qinq": flood(frames.tagged), "rss_skew": rss_skew, "observe_replay": flood(frames.midstream), "soak": soak,
}
