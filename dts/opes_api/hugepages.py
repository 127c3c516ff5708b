# SPDX-License-Identifier: BSD-3-Clause
"""Hugepages for cases that need more than `./test` sets up: asked of the host, and given back."""

from __future__ import annotations

from pathlib import Path

HUGE = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def pages(what: str) -> int:
    """nr_hugepages or free_hugepages, of 2 MiB."""
    return int((HUGE / what).read_text())


class Hugepages:
    """Remembers how many the host had; close() or the end of a with-statement gives what was added back."""

    def __init__(self) -> None:
        self.had = pages("nr_hugepages")

    def have(self, n: int) -> bool:
        """Have n free ones, by asking the host for more if need be."""
        for _ in range(3):
            short = n - pages("free_hugepages")
            if short <= 0:
                return True
            (HUGE / "nr_hugepages").write_text(str(pages("nr_hugepages") + short))
            if pages("free_hugepages") < n:
                Path("/proc/sys/vm/compact_memory").write_text("1")
        return pages("free_hugepages") >= n

    def close(self) -> None:
        if pages("nr_hugepages") > self.had:
            (HUGE / "nr_hugepages").write_text(str(self.had))

    def __enter__(self) -> "Hugepages":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
