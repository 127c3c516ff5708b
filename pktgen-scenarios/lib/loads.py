# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios as testpmd can carry them: exact runs (a set number of frames, every one accounted for), rates at full
speed, the search for the highest rate without loss, and the mean time of a loop through the appliance."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import frames
from box import Box
from testpmd import INSIDE, OUTSIDE, PROBES_MAX, RETRY, Testpmd, TestpmdError

INFINITE_FRAMES = 16384  # of a capture file that is sent again and again
SIZES = (64, 128, 256, 512, 1024, 1280, 1518)


@dataclass
class Run:
    """One scenario under way. quick: everything in some seconds. figures: what is judged and stored."""

    box: Box
    core: int
    quick: bool
    say: Callable[[str], None]
    figures: dict[str, float] = field(default_factory=dict)
    sent: int = 0  # frames of exact runs, for counters that count frames
    judged: dict[str, int] | None = None  # gain of the counters up to the last exact run
    before: dict[str, int] = field(default_factory=dict)
    captures: dict[tuple[frames.Stream, int], Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = self.box.counters()

    def capture(self, stream: frames.Stream, count: int) -> Path:
        if (stream, count) not in self.captures:
            path = self.box.dir / f"load{len(self.captures)}.pcap"
            frames.write_pcap(path, stream(count))
            self.captures[stream, count] = path
        return self.captures[stream, count]

    def testpmd(self, *sources: Path | None, **kw) -> Testpmd:
        return Testpmd(self.box.dir, f"pmd{self.box.tag}", self.core,
                       (sources + (None, None))[:2], **kw)  # type: ignore[arg-type]

    def worst(self, name: str, value: float, keep=max) -> None:
        self.figures[name] = keep(self.figures.get(name, value), value)

    def exact(self, stream: frames.Stream, count: int, label: str = "", probes: int = PROBES_MAX - 128,
              loss: str = "loss_ratio") -> None:
        """Every frame once, as fast as the appliance takes them, beside probes the other way."""
        source, other = self.capture(stream, count), self.capture(frames.probe, probes)
        with self.testpmd(source, other) as pmd:
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
        self.judged = self.box.gain(self.before)
        self.say(f"{label or 'exact'}: {count} frames, {count - out['rx']} lost; "
                 f"{probes} probes, {probes - at['rx']} lost ({seconds:.1f} s)")

    def load(self, pmd: Testpmd, seconds: float) -> dict[str, float]:
        """Rates of a testpmd that sends without end. Lost: what the ring towards the appliance did not take and what
        the appliance's own ring did not."""
        pmd.command("start")
        time.sleep(0.3)
        a, drop0 = pmd.stats(), self.box.counters()["tx_dropped"]
        refused0 = pmd.refused()
        time.sleep(seconds)
        b, refused = pmd.stats(), pmd.refused() - refused0
        dropped = self.box.counters()["tx_dropped"] - drop0
        pmd.command("stop")
        self.box.rest()
        s = (b[-1]["ns"] - a[-1]["ns"]) / 1e9
        sent, got = b[INSIDE]["tx"] - a[INSIDE]["tx"], b[OUTSIDE]["rx"] - a[OUTSIDE]["rx"]
        return {"offered_pps": (sent + refused) / s, "forwarded_pps": got / s, "lost": refused + dropped,
                "loss_ratio": (refused + dropped) / max(1, sent + refused)}

    def flat_out(self, stream: frames.Stream) -> None:
        """The rate at full speed, stored but not judged: the generator's core sets it as much as the appliance."""
        path = self.capture(stream, INFINITE_FRAMES)
        with self.testpmd(path, infinite=True) as pmd:
            r = self.load(pmd, 1 if self.quick else 5)
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
            with self.testpmd(path, infinite=True, mode="noisy" if reads else "io", args=args) as pmd:
                r = self.load(pmd, s)
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
        with self.testpmd(loop=True, args=("--burst=1",)) as pmd:
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


def flow_scale(r: Run) -> None:
    count = 100000 if r.quick else 1000000
    for label in ("new flows", "same again"):
        r.exact(frames.syn, count, label)
    r.figures["sent_ratio"] = r.sent / (2 * count)


def flood(stream: frames.Stream, rate: bool = False) -> Callable[[Run], None]:
    """rate: at full speed too when there is little time."""
    def run(r: Run) -> None:
        r.exact(stream, 50000 if r.quick else 1000000)
        if rate or not r.quick:
            r.flat_out(stream)
    return run


def rss_skew(r: Run) -> None:
    r.figures["workers"] = len(r.box.workers)
    if len(r.box.workers) < 2:
        r.say("one worker: no processor is left for a second; many flows against one, but no spreading")
    count = 30000 if r.quick else 1000000
    r.exact(frames.ack, count, "even", loss="even_loss_ratio")
    r.exact(frames.skewed, count, "skewed", loss="skewed_loss_ratio")


def soak(r: Run) -> None:
    losses = []
    for i in range(2 if r.quick else 60):
        r.figures.pop("loss_ratio", None)
        r.exact(frames.mixture, 50000 if r.quick else 2000000, f"interval {i + 1}")
        losses.append(r.figures["loss_ratio"])
    r.figures["worst_loss_ratio"], r.figures["loss_ratio_growth"] = max(losses), losses[-1] - losses[0]


SCENARIOS: dict[str, Callable[[Run], None]] = {
    "bypass_throughput": bypass_throughput, "bypass_latency": bypass_latency, "flow_scale": flow_scale,
    "flow_churn": flood(frames.churn), "syn_flood": flood(frames.syn, rate=True),
    "ack_flood": flood(frames.ack, rate=True), "rst_flood": flood(frames.rst), "fragment_flood": flood(frames.fragments),
    "malformed_headers": flood(frames.malformed), "vlan_qinq": flood(frames.tagged), "rss_skew": rss_skew,
    "observe_replay": flood(frames.midstream), "soak": soak,
}
