# SPDX-License-Identifier: BSD-3-Clause
"""What a line rate asks of a host: cores from measured cycles, memory and callout bandwidth from what is read and written.

A frame of S octets (with its FCS) takes S + 20 octets on the wire: preamble and inter-frame gap (IEEE 802.3). The octets
of a mode are counted, not measured: each time the payload is written to or read from memory by a device, the kernel or
a core counts once. A cache that a device can write into (or a transfer small enough to stay in one) makes the true
traffic of the memory smaller, never larger; octets that a service's own work touches come on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import targets
from .records import Records

WIRE_OVERHEAD = 20
HEADERS = 58        # Ethernet, IPv4, TCP without options, FCS: what of a frame is not payload


@dataclass
class Mode:
    id: str
    text: str
    reads: int
    writes: int
    count: str
    cycles: list[dict]          # {"frame": octets, "compute": expression}: cycles per packet at that size
    out: float = 0              # octets sent to the callout server for each octet of payload, and back
    back: float = 0


def frames_per_second(bits: float, frame: int) -> float:
    return bits / ((frame + WIRE_OVERHEAD) * 8)


def measured(mode: Mode, records: Records) -> list[tuple[int, targets.Quantity]]:
    found = []
    for c in mode.cycles:
        try:
            found.append((c["frame"], targets.Evaluator(records).evaluate(c["compute"])))
        except targets.NotMeasured:
            continue
    return found


def compute(records: Records, table: dict, tsc_hz: float | None) -> dict:
    """Everything that report.md shows under "100 Gb/s", as data."""
    bits = table["bits_per_second"]
    rows = []
    for d in table["modes"]:
        m = Mode(**d)
        sizes = []
        got = measured(m, records)
        for frame in table["frames"]:
            pps = frames_per_second(bits, frame)
            row = {"frame": frame, "frames_per_second": pps, "cycles_per_frame_and_core": tsc_hz / pps if tsc_hz else None,
                   "cycles": None, "cores": None, "measured_at": None, "records": []}
            if got:
                at, q = min(got, key=lambda x: abs(math.log(x[0] / frame)))
                row |= {"cycles": q.median, "measured_at": at, "records": [r.key for r in q.records],
                        "cores": math.ceil(pps * q.median / tsc_hz) if tsc_hz else None}
            sizes.append(row)
        frame = max(table["frames"])
        payload = frames_per_second(bits, frame) * (frame - HEADERS)
        rows.append({"id": m.id, "text": m.text, "sizes": sizes, "reads": m.reads, "writes": m.writes, "count": m.count,
                     "memory_bytes_per_second": bits / 8 * (m.reads + m.writes),
                     "callout_out_bits": payload * 8 * m.out, "callout_back_bits": payload * 8 * m.back})
    chunk = table["callout_chunk"]
    return {"bits_per_second": bits, "tsc_hz": tsc_hz, "modes": rows, "callout_chunk": chunk,
            "callout_framing": table["callout_framing"],
            "callout_overhead": table["callout_framing"] / chunk, "shares": table["shares"]}
