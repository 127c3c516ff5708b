# SPDX-License-Identifier: BSD-3-Clause
"""Memory held for preserved octets: a callout server that stands still, and what is pinned meanwhile.

There is no gauge of pinned memory: it is counted as the packet buffers that are not free, less those that were not free
before, times the memory of one (DPDK's own telemetry says it). Descriptors of chunks come on top, 32 octets each.
Octets of originals are those preserved and those received that wait for credit to be sent to the service: both are in the
buffers counted.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time

from box.appliance import Appliance
from box.flows import appliance
from box.load import Load
from box.process import BoxError, wait_for
from box.records import Records, say
from box.setup import Setup

SIZE, CONNECTIONS = "1MiB", 24
CHUNK = 32  # struct chunk, one after the other (dataplane/mem/mem_chunk.h)


def telemetry(box: Appliance, question: str) -> dict:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(f"/var/run/dpdk/{box.folder.name}/dpdk_telemetry.v2")
        s.recv(4096)
        s.send(question.encode())
        return json.loads(s.recv(65536))


def buffer_octets(box: Appliance) -> int:
    """Memory of one packet buffer, all that belongs to it included."""
    total = box.gauges()["mbufs_total"]
    for name in telemetry(box, "/mempool/list")["/mempool/list"]:
        i = telemetry(box, f"/mempool/info,{name}")["/mempool/info"]
        if i["size"] == total and i["private_data_size"]:
            return i["elt_size"] + i["header_size"] + i["trailer_size"]
    raise BoxError("no pool of packet buffers in DPDK's telemetry")


def still(box: Appliance) -> dict[str, int]:
    """Gauges once nothing more is preserved."""
    last, since = 0, time.monotonic()

    def settled() -> dict[str, int] | None:
        nonlocal last, since
        g = box.gauges()
        if g["preserved_octets"] != last:
            last, since = g["preserved_octets"], time.monotonic()
        return g if last and time.monotonic() - since > 0.3 else None
    return wait_for("octets are preserved", settled, 15, 0.05)


def measure(setup: Setup, records: Records) -> None:
    if records.has("box/memory/preserved"):
        return
    ratios, held, wrong = [], [], set()
    with setup.folder() as folder, appliance(setup, folder) as box:
        load, one = Load(setup, box, folder), buffer_octets(box)
        assert box.server
        load.run(SIZE, "as-is", "--transactions", "1", concurrency=CONNECTIONS, seconds=0.2)  # buffers find their places
        for i in range(setup.samples):
            load.json.unlink(missing_ok=True)
            before, spent = box.gauges(), box.spent()
            os.kill(box.server.pid, signal.SIGSTOP)
            p = subprocess.Popen(load.argv(SIZE, "as-is", "--transactions", "1", "--concurrency", str(CONNECTIONS), "--total",
                                           str(CONNECTIONS), "--timeout", "60s"),
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                g = still(box)
            finally:
                os.kill(box.server.pid, signal.SIGCONT)
                text = p.communicate(timeout=60)[0]
            box.drained()
            d = load.result(p.returncode, text, "as-is", box.spent() - spent)
            pinned = (before["mbufs_free"] - g["mbufs_free"]) * one + g["chunks_used"] * CHUNK
            octets = sum(g[k] for k in ("preserved_octets", "receive_queued", "send_queued"))
            ratios.append(pinned / octets)
            held.append({"preserved_octets": g["preserved_octets"], "queued_octets": octets - g["preserved_octets"],
                         "pinned_octets": pinned, "txns": g["txns"],
                         "mbufs": before["mbufs_free"] - g["mbufs_free"], "chunks": g["chunks_used"]})
            if d.wrong:
                wrong.add(d.wrong)
            say(f"memory {i + 1}/{setup.samples}: {g['txns']} transactions, {octets / 2**20:.1f} MiB of originals, "
                f"{pinned / 2**20:.1f} MiB held {d.wrong}")
    note = "; ".join(sorted(wrong)) or (
        f"{CONNECTIONS} responses of {SIZE} while opes-callout stands still; packet buffers not free, less those before, times {one} octets, "
        f"plus {CHUNK} for each chunk, to octets preserved and queued; every octet compared after it went on")
    records.add("box/memory/preserved", "held_to_octets", "x", "lower", ratios, target="preserved-memory", goal=1.3,
                ok=not wrong, note=note, held=held, params={"object": SIZE, "connections": CONNECTIONS, "buffer": one})
    if wrong:
        raise BoxError(f"memory: {note}")
