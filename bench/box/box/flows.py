# SPDX-License-Identifier: BSD-3-Clause
"""Selected HTTP: transactions and connections per second, and per CPU-second of the box; as-is beside bare sockets.

The generator and opes-callout share one processor, the worker with the callout stage has the other, so that neither is
in the other's busy cycles. Checksums are the worker's work: memif has none in hardware.
"""

from __future__ import annotations

from box.appliance import Appliance, program
from box.load import CONCURRENCY, OCTETS, RING, RULES, SERVICES, Done, Load
from box.process import BoxError, Process
from box.records import Records, say
from box.setup import Setup

MODES = ("forward", "as-is", "echo")
SIZES = ("1KiB", "64KiB", "1MiB", "100MiB")
HOW = ("CPU-seconds: of the worker the lower of cycles of busy rounds and processor time, plus opes-callout's processor time; "
       "callout stage on the worker's processor, opes-callout beside the generator on the other; memif, software checksums; "
       "every octet compared by opes-loadgen")


def appliance(setup: Setup, folder, **more) -> Appliance:
    return Appliance(folder, setup.build, setup.cpu, rules=RULES, services=SERVICES, ring=RING,
                     server_cpu=setup.generator_cpu, **more)


def cpu_parts(runs: list[Done]) -> list[dict[str, float]]:
    return [{"busy": round(d.spent.busy, 4), "worker": round(d.spent.worker, 4), "callout": round(d.spent.callout, 4)}
            for d in runs]


def write(records: Records, name: str, runs: list[Done], probes: list, params: dict, connections: bool = False) -> None:
    """Records of one case: per CPU-second, per second, and octets."""
    wrong = "; ".join(sorted({d.wrong for d in runs if d.wrong}))
    same = dict(ok=not wrong, note=wrong or HOW, params=params, probe_ns=probes, pair=name, cpu_seconds=cpu_parts(runs))
    what = "connections" if connections else "transactions"
    done = [(d.connections if connections else d.octets / OCTETS[params["object"]]) for d in runs]
    records.add(name, f"{what}_per_cpu_second", "1/s", "higher",
                [n / max(d.cpu_seconds, 1e-9) for n, d in zip(done, runs)], **same)
    records.add(name, f"{what}_per_second", "1/s", "higher", [d.rate for d in runs], **same)
    records.add(name, "octets_per_cpu_second", "B/s", "higher", [d.octets / max(d.cpu_seconds, 1e-9) for d in runs], **same)
    if wrong:
        raise BoxError(f"{name}: {wrong}")


def measure(setup: Setup, records: Records) -> None:
    cases = [(m, s) for m in MODES for s in SIZES if not records.has(f"box/flows/{m}/{s}")]
    connect = not records.has("box/connections/1KiB/forward")
    if not cases and not connect:
        return
    runs: dict[tuple[str, str], list[Done]] = {c: [] for c in cases}
    probes: list[list[float]] = []
    connections: list[Done] = []
    with setup.folder() as folder, appliance(setup, folder) as box:
        load = Load(setup, box, folder)
        for i in range(setup.samples):
            before = setup.probe()
            for m, s in cases:
                # Transactions have to fit: an object of 100 MiB takes longer than a slice.
                d = load.run(s, m, "--transactions", "0", "--timeout", "60s",
                             seconds=max(setup.seconds, 1.0) if s == "100MiB" else None)
                runs[m, s].append(d)
                say(f"flows {i + 1}/{setup.samples}: {m} {s}: {d.rate:.0f}/s, "
                    f"{d.octets / OCTETS[s] / max(d.cpu_seconds, 1e-9):.0f} per CPU-second {d.wrong}")
            if connect:
                d = load.run("1KiB", "forward", "--transactions", "1")
                connections.append(d)
                say(f"flows {i + 1}/{setup.samples}: {d.connections / max(d.cpu_seconds, 1e-9):.0f} connections per CPU-second "
                    f"{d.wrong}")
            probes.append([before, setup.probe()])
    for (m, s), d in runs.items():
        write(records, f"box/flows/{m}/{s}", d, probes, {"object": s, "mode": m, "concurrency": CONCURRENCY[s],
                                                         "seconds": setup.seconds})
    if connect:
        write(records, "box/connections/1KiB/forward", connections, probes,
              {"object": "1KiB", "mode": "forward", "transactions": 1, "concurrency": CONCURRENCY["1KiB"],
               "seconds": setup.seconds}, connections=True)


TARGETS = {"64KiB": "asis-64k", "1MiB": "asis-1m"}
AS_IS = ("octets per second that one processor of the worker, callout stage included, and one of opes-callout carry: by the busier "
         "of the two. The worker runs in opes-bench-path between ports of rings, so that its traffic needs no third "
         "processor (not counted); checksums in software; opes-callout on the other processor, its processor time taken. "
         "Bare processes have a processor each")


class Carried:
    """One slice of as-is: octets to the service by time of the worker and of opes-callout."""

    def __init__(self, setup: Setup, server: Process, address: str, size: str) -> None:
        before = server.cpu_seconds()
        got = setup.records_of("opes-bench-path", "--mode", "as-is", "--object", str(OCTETS[size]), "--cksum", "software",
                               "--server", address, "--reps", "1", "--seconds", f"{setup.seconds}", "--core", str(setup.cpu))
        spent = server.cpu_seconds() - before
        worker = next(r for r in got if r["metric"] == "octets_per_busy_second")
        self.worker = worker["samples"][0] * 1e6
        self.callout = worker["params"]["octets_to_service"] / max(spent, 1e-9)
        self.wrong = "" if worker["ok"] else worker.get("note", "wrong")

    @property
    def rate(self) -> float:
        return min(self.worker, self.callout)


def measure_as_is(setup: Setup, records: Records) -> None:
    """The rate of as-is beside two bare processes that move chunks over the same kind of socket."""
    sizes = [s for s in TARGETS if not records.has(f"box/as-is/{s}", f"box/sockets/{s}", f"box/as-is/{s}/ratio")]
    if not sizes:
        return
    ours: dict[str, list[Carried]] = {s: [] for s in sizes}
    bare: dict[str, list[float]] = {s: [] for s in sizes}
    probes: dict[str, list[list[float]]] = {s: [] for s in sizes}
    with setup.folder() as folder:
        address = f"unix:{folder}/callout.sock"
        server = Process("callout", [program(setup.build, "opes-callout"), "--quiet", "--listen", address, "--service",
                                     "as-is"], folder, {setup.generator_cpu})
        try:
            server.wait_line("opes-callout: ready")
            for i in range(setup.samples):
                for s in sizes:
                    c = Carried(setup, server, address, s)
                    r = setup.sockets("--mode", "as-is", "--object", s, "--samples", "1", "--seconds", f"{setup.seconds}",
                                      "--chunk", "65536", "--piece", "1460")[0]
                    ours[s].append(c)
                    bare[s].append(r["samples"][0])
                    probes[s].append(r["probe_ns"][0])
                    say(f"as-is {i + 1}/{setup.samples}: {s}: {c.rate / 1e9:.3f} (worker {c.worker / 1e9:.3f}, callout "
                        f"{c.callout / 1e9:.3f}) of {bare[s][-1] / 1e9:.3f} GB/s {c.wrong}")
        finally:
            server.stop()
    for s in sizes:
        wrong = "; ".join(sorted({c.wrong for c in ours[s] if c.wrong}))
        same = dict(ok=not wrong, note=wrong or AS_IS, params={"object": s, "mode": "as-is", "seconds": setup.seconds},
                    probe_ns=probes[s], pair=f"box/as-is/{s}")
        rates = [c.rate for c in ours[s]]
        records.add(f"box/as-is/{s}", "octets_per_second", "B/s", "higher", rates, target=TARGETS[s],
                    sides=[{"worker": round(c.worker), "callout": round(c.callout)} for c in ours[s]], **same)
        records.add(f"box/sockets/{s}", "octets_per_second", "B/s", "higher", bare[s], **same)
        records.add(f"box/as-is/{s}/ratio", "ratio", "of bare sockets", "higher",
                    [a / b for a, b in zip(rates, bare[s])], goal=0.6, **same)
        if wrong:
            raise BoxError(f"as-is {s}: {wrong}")
