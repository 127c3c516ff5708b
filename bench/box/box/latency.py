# SPDX-License-Identifier: BSD-3-Clause
"""What a callout adds to the latency of a transaction of 1 KiB when the box is idle, beside a bare ping-pong.

One connection, one transaction every 2 ms. Added is the quantile with as-is minus the quantile when the same flow is taken
up and nobody is called. Idle back-off is on, as by default. Bare processes are placed as worker and opes-callout are.
"""

from __future__ import annotations

from box.appliance import Appliance
from box.load import RING, RULES, SERVICES, Done, Load
from box.process import BoxError
from box.records import Records, say
from box.setup import Setup

THINK = "2ms"
PLACES = ("two-cpus", "one-cpu")
NOTE = ("as-is less forward, quantile by quantile, over memif; one transaction every 2 ms on one connection; worker and callout stage "
        "on one processor, opes-callout on ")


def measure(setup: Setup, records: Records) -> None:
    for place in PLACES:
        if not records.has(f"box/latency/added/{place}"):
            at_place(setup, records, place)


def at_place(setup: Setup, records: Records, place: str) -> None:
    two = place == "two-cpus"
    seconds = max(setup.seconds, 0.8)
    runs: dict[str, list[Done]] = {"forward": [], "as-is": []}
    bare: list[tuple[float, float]] = []
    probes: list[list[float]] = []
    with setup.folder() as folder, Appliance(
            folder, setup.build, setup.cpu, rules=RULES, services=SERVICES, ring=RING,
            server_cpu=setup.generator_cpu if two else setup.cpu) as box:
        load = Load(setup, box, folder)
        for i in range(setup.samples):
            for m in runs:
                # A generator that polls would keep opes-callout off their processor.
                runs[m].append(load.run("1KiB", m, "--transactions", "0", "--think", THINK, "--idle",
                                        "sleep" if two else "poll", seconds=seconds, concurrency=1))
            ping = setup.sockets("--mode", "ping", "--samples", "1", "--seconds", "0.5")
            rows = {r["metric"]: r for r in ping if r["name"].endswith(place)}
            bare.append((rows["p50"]["samples"][0], rows["p99"]["samples"][0]))
            probes.append(rows["p50"]["probe_ns"][0])
            f, a = runs["forward"][-1], runs["as-is"][-1]
            say(f"latency {place} {i + 1}/{setup.samples}: forward {f.p50:.0f}, as-is {a.p50:.0f}, bare {bare[-1][0]:.1f} us; "
                f"p99 {f.p99:.0f}, {a.p99:.0f}, {bare[-1][1]:.1f} us {f.wrong}{a.wrong}")
    write(setup, records, place, runs, bare, probes)


def write(setup: Setup, records: Records, place: str, runs: dict[str, list[Done]], bare: list[tuple[float, float]],
          probes: list[list[float]]) -> None:
    two = place == "two-cpus"
    wrong = "; ".join(sorted({d.wrong for r in runs.values() for d in r if d.wrong}))
    note = wrong or NOTE + ("the other, beside the generator" if two else "the same")
    same = dict(ok=not wrong, note=note, probe_ns=probes, pair=f"box/latency/{place}",
                params={"object": "1KiB", "think": THINK, "place": place})
    for k, metric in enumerate(("p50", "p99")):
        f, a = ([(d.p50, d.p99)[k] for d in runs[m]] for m in ("forward", "as-is"))
        b = [x[k] for x in bare]
        target = f"latency-{metric}" if two else ""
        for m, v in (("forward", f), ("as-is", a)):
            records.add(f"box/latency/{m}/{place}", metric, "us", "lower", v, **same)
        records.add(f"box/ping/{place}" if two else f"box/bare/{place}", metric, "us", "lower", b, **same)
        records.add(f"box/latency/added/{place}", metric, "us", "lower", [x - y for x, y in zip(a, f)], target=target, **same)
        records.add(f"box/latency/ratio/{place}", metric, "of bare", "lower",
                    [(x - y) / z for x, y, z in zip(a, f, b)], goal=3 if metric == "p50" else 6, **same)
    if wrong:
        raise BoxError(f"latency {place}: {wrong}")
