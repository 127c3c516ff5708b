# SPDX-License-Identifier: BSD-3-Clause
"""Seeded objects: client and oracle calculate the same octets that the origin serves, independently of the box."""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass

OLD, NEW = b"Bluebird", b"(withheld)"
# The EICAR test file, in two pieces so that no scanner takes this file for it.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@dataclass(frozen=True)
class Obj:
    """One object: mode is length, chunked, trailers or close; size counts octets before gzip."""

    mode: str
    seed: int
    size: int
    gz: bool = False

    @property
    def path(self) -> str:
        return f"/o/{self.mode}/{self.seed}/{self.size}/{int(self.gz)}"

    @staticmethod
    def of_path(path: str) -> "Obj":
        _, _, mode, seed, size, gz = path.split("/")
        return Obj(mode, int(seed), int(size), gz == "1")

    def body(self) -> bytes:
        """The octets on the wire (after content coding, before transfer coding)."""
        data = content(self.seed, self.size)
        return gzip.compress(data, 1, mtime=0) if self.gz else data


def content(seed: int, size: int) -> bytes:
    """size octets, pseudo-random, sprinkled with the pattern that replace looks for."""
    r = random.Random(seed * 1_000_003 + size)
    unit = bytearray(r.randbytes(min(size, 1 << 16)))
    for _ in range(len(unit) // 700):
        at = r.randrange(len(unit))
        unit[at:at + len(OLD)] = OLD
    unit = unit[:min(size, 1 << 16)]
    if size <= 1 << 16:
        return bytes(unit)
    # Long ones repeat the unit with a counter, so that swapped pieces show.
    parts, left, n = [], size, 0
    while left > 0:
        piece = (b"%08d" % n + bytes(unit))[:left]
        parts.append(piece)
        left -= len(piece)
        n += 1
    return b"".join(parts)


def adapted(service: str, body: bytes) -> bytes:
    """What the client must get for this body through this service."""
    return body.replace(OLD, NEW) if service == "replace" else body


def collection(n: int, seed: int = 1) -> list[Obj]:
    """n objects of 1 octet to 64 MiB: most small, some large, two of 64 MiB; all transfer forms and gzip."""
    r = random.Random(seed)
    out = []
    for i in range(n):
        if i % 500 == 7:
            size = 64 << 20
        elif i % 125 == 3:
            size = r.randrange(1 << 20, 16 << 20)
        elif i % 11 == 5:
            size = r.randrange(64 << 10, 1 << 20)
        else:
            size = max(1, int(2 ** r.uniform(0, 16)))
        mode = ("length", "length", "chunked", "trailers", "close")[i % 5]
        out.append(Obj(mode, i, size, gz=i % 7 == 2 and size < 4 << 20))
    return out
