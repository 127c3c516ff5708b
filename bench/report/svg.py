# SPDX-License-Identifier: BSD-3-Clause
"""Bar charts as SVG: text stays text, and the colours follow a dark or light page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .stats import significant

STYLE = """
.t{fill:#1f2328}.m{fill:#59636e}.g{stroke:#d1d9e0}.b{fill:#2f6fb5}.p{fill:#a8b3bf}.w{stroke:#1f2328}.l{stroke:#c4432b}
.lt{fill:#c4432b}
@media (prefers-color-scheme:dark){.t{fill:#e6edf3}.m{fill:#9198a1}.g{stroke:#30363d}.b{fill:#5a9be6}.p{fill:#6e7681}
.w{stroke:#e6edf3}.l{stroke:#ff8b72}.lt{fill:#ff8b72}}
text{font:12px system-ui,sans-serif}.h{font-weight:600;font-size:14px}
"""
ROW, TOP, PLOT, RIGHT = 22, 52, 420, 96
DECADES_FOR_LOG = 1.5


@dataclass
class Bar:
    label: str
    value: float
    low: float          # whiskers
    high: float
    peer: bool = False  # drawn in grey: what the others are measured against


def ticks_linear(top: float) -> list[float]:
    step = 10 ** math.floor(math.log10(top / 4))
    step = next(step * f for f in (1, 2, 5, 10) if top / (step * f) <= 6)
    return [i * step for i in range(int(top / step + 1e-9) + 1)]


class Axis:
    """A logarithmic axis when the bars span more than a decade and a half, none of them 0; linear from 0 otherwise."""

    def __init__(self, bars: list[Bar], lines: list[float], log: bool | None = None) -> None:
        values = [b.value for b in bars] + lines
        low, high = min(values + [b.low for b in bars]), max(values + [b.high for b in bars])
        if log is None:
            log = low > 0 and math.log10(high / low) > DECADES_FOR_LOG
        self.log = log and low > 0
        if self.log:
            self.lo, self.hi = math.floor(math.log10(low) - 0.05), math.ceil(math.log10(high))
            self.hi = max(self.hi, self.lo + 1)
            self.ticks = [10.0 ** e for e in range(self.lo, self.hi + 1)]
        else:
            self.lo, self.hi = 0.0, max(high, 0.0) or 1.0
            self.ticks = ticks_linear(self.hi)

    def x(self, v: float) -> float:
        v = math.log10(max(v, 1e-300)) if self.log else v
        return PLOT * min(1.0, max(0.0, (v - self.lo) / (self.hi - self.lo)))


def bars(title: str, unit: str, rows: list[Bar], lines: list[tuple[float, str]] | None = None, log: bool | None = None,
         note: str = "") -> str:
    """Horizontal bars with whiskers; lines: (value, text) marks across all bars, as a target."""
    if not rows:
        raise ValueError("a chart of nothing")
    lines = lines or []
    axis = Axis(rows, [v for v, _ in lines], log)
    left = min(440, 20 + int(6.7 * max(len(r.label) for r in rows)))
    width, bottom = left + PLOT + RIGHT, TOP + ROW * len(rows)
    height = bottom + 44
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}"><style>{STYLE}</style>',
           f'<text class="t h" x="8" y="18">{escape(title)}</text>']
    if note:
        out.append(f'<text class="m" x="8" y="35">{escape(note)}</text>')
    for t in axis.ticks:
        x = left + axis.x(t)
        out.append(f'<line class="g" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}"/>')
        out.append(f'<text class="m" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{tick(t)}</text>')
    scale = ", logarithmic" if axis.log else ""
    out.append(f'<text class="m" x="{left + PLOT / 2:.0f}" y="{bottom + 33}" text-anchor="middle">'
               f'{escape(unit or "value")}{scale}; bar: median, whisker: quartiles</text>')
    for i, r in enumerate(rows):
        y = TOP + ROW * i
        x, lo, hi = axis.x(r.value), axis.x(r.low), axis.x(r.high)
        mid = y + ROW / 2 - 2
        label = r.label if len(r.label) <= 64 else r.label[:61] + "..."
        out.append(f'<text class="t" x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
                   f'<rect class="{"p" if r.peer else "b"}" x="{left}" y="{y + 2}" width="{max(x, 0.5):.1f}" height="{ROW - 8}"/>')
        if hi - lo > 0.5:
            out.append(f'<path class="w" fill="none" d="M{left + lo:.1f} {mid}H{left + hi:.1f}'
                       f'M{left + lo:.1f} {mid - 4}v8M{left + hi:.1f} {mid - 4}v8"/>')
        out.append(f'<text class="t" x="{left + max(x, hi) + 6:.1f}" y="{y + 13}">{significant(r.value)}</text>')
    for v, text in lines:
        x = left + axis.x(v)
        out.append(f'<line class="l" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}" stroke-dasharray="4 3"/>'
                   f'<text class="lt" x="{x:.1f}" y="{TOP - 9}" text-anchor="middle">{escape(text)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def tick(v: float) -> str:
    if v == 0:
        return "0"
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(v) >= factor:
            return f"{v / factor:g}{suffix}"
    return f"{v:g}"
