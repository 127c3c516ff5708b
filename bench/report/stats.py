# SPDX-License-Identifier: BSD-3-Clause
"""Medians, spreads, ratios, and what is beyond the noise.

The median is the figure and the quartiles are its spread: on a shared host single samples are off by factors, and a mean
follows them. Everything random is seeded, so that a report made twice from the same records is the same.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from typing import Sequence

RESAMPLES = 1000


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the neighbours in rank."""
    v = sorted(values)
    at = q * (len(v) - 1)
    low = math.floor(at)
    high = min(low + 1, len(v) - 1)
    return v[low] + (v[high] - v[low]) * (at - low)


@dataclass(frozen=True)
class Summary:
    n: int
    median: float
    low: float      # first quartile
    high: float     # third quartile
    min: float
    max: float

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, in the unit of the samples."""
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float | None:
        """The distance of the quartiles over the median; none for a median of 0."""
        return (self.high - self.low) / abs(self.median) if self.median else None

    def to_dict(self) -> dict:
        return {"n": self.n, "median": self.median, "q1": self.low, "q3": self.high, "min": self.min, "max": self.max,
                "relative_spread": self.relative}


def summarize(samples: Sequence[float]) -> Summary:
    return Summary(n=len(samples), median=statistics.median(samples), low=quantile(samples, 0.25),
                   high=quantile(samples, 0.75), min=min(samples), max=max(samples))


def ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Sample by sample, for runs that were paired."""
    if len(a) != len(b):
        raise ValueError(f"paired runs with {len(a)} and {len(b)} samples")
    if not all(b):
        raise ValueError("a sample to divide by is 0")
    return [x / y for x, y in zip(a, b)]


def resampled(a: Sequence[float], b: Sequence[float], op, seed: int = 1) -> list[float]:
    """op(median of a, median of b) of samples drawn again and again: how far an unpaired figure may be off."""
    rng = random.Random(seed)
    return [op(statistics.median(rng.choices(a, k=len(a))), statistics.median(rng.choices(b, k=len(b))))
            for _ in range(RESAMPLES)]


def separation(a: Sequence[float], b: Sequence[float]) -> float:
    """Mann and Whitney: the probability of ranks at least this far apart if both were samples of one thing (two-sided).

    Exact by counting for few samples without ties, by the normal approximation with the correction for ties otherwise.
    """
    n, m = len(a), len(b)
    merged = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    ranks, ties, i = [0.0] * (n + m), 0, 0
    while i < n + m:
        j = i
        while j < n + m and merged[j][0] == merged[i][0]:
            j += 1
        for k in range(i, j):
            ranks[k] = (i + 1 + j) / 2
        ties += (j - i) ** 3 - (j - i)
        i = j
    u = sum(r for r, (_, g) in zip(ranks, merged) if g == 0) - n * (n + 1) / 2
    return exact(u, n, m) if not ties and n * m <= 400 else approximate(u, n, m, ties)


def exact(u: float, n: int, m: int) -> float:
    low = min(u, n * m - u)
    return min(1.0, 2 * sum(_u_counts(n, m)[: int(low) + 1]) / math.comb(n + m, n))


def approximate(u: float, n: int, m: int, ties: int) -> float:
    total = n + m
    var = n * m / 12 * ((total + 1) - ties / (total * (total - 1)))
    if var <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(var)
    return math.erfc(z / math.sqrt(2))


def _u_counts(n: int, m: int) -> list[int]:
    """How many orders of n and m things give each value of U: the Gaussian binomial coefficients, by Pascal's rule."""
    row = [[1] for _ in range(m + 1)]
    for i in range(1, n + 1):
        nxt = [[1]]
        for j in range(1, m + 1):
            c = [0] * (i * j + 1)
            for k, x in enumerate(nxt[j - 1]):
                c[k] += x
            for k, x in enumerate(row[j]):
                c[k + j] += x
            nxt.append(c)
        row = nxt
    return row[m]


def significant(value: float | None, digits: int = 3) -> str:
    """For tables: 1,234,567; 12.3; 0.0123."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, places):,.{places}f}" if places < 9 else f"{value:.{digits - 1}e}"


def scaled(value: float, unit: str) -> str:
    """With an SI prefix where the figure is large: 8.91 M packets/s."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= factor:
            return f"{significant(value / (1e3 if prefix == 'k' else factor))} {prefix}{unit if unit else ''}".strip()
    return f"{significant(value)} {unit}".strip()
