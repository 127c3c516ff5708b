# SPDX-License-Identifier: BSD-3-Clause
"""What the documents demand of the other side, checked message by message.

A watch follows what both sides of one connection send and raises RuleBroken for what the other side must not do. Rules have
the numbers of the documents: "<NN>" paragraphs of the draft, "4037-N.N" and "4236-N.N" sections, "wire-N" sections of
ocp-wire. Messages that cross on the way are no fault of either side: what the other could not know yet is let pass.
"""

from __future__ import annotations

from .catalogue import CATALOGUE, CORE
from .wire import Message


class RuleBroken(AssertionError):
    """The other side broke a rule; rule is its number in the documents."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"rule {rule}: {text}")
        self.rule, self.text = rule, text


# Who must not send what, where the documents say so in a rule of its own.
NEVER = {"connection-start": "<58>", "connection-priority": "<65>", "connection-service": "<67>", "xaction-start": "<69>",
         "data-paused": "<96>", "data-pause": "<93>", "data-need": "<104>", "data-as-is": "<85>"}


class Ranges:
    """A set of octet ranges."""

    def __init__(self) -> None:
        self.of: list[tuple[int, int]] = []

    def add(self, a: int, b: int) -> None:
        """Add a..b."""
        if a >= b:
            return
        keep = []
        for c, d in self.of:
            if d < a or c > b:
                keep.append((c, d))
            else:
                a, b = min(a, c), max(b, d)
        self.of = sorted([*keep, (a, b)])

    def drop(self, a: int, b: int) -> None:
        """Take a..b away."""
        out = []
        for c, d in self.of:
            out += [(c, min(d, a)), (max(c, b), d)]
        self.of = [(c, d) for c, d in out if c < d]

    def has(self, a: int, b: int) -> bool:
        """Whether all of a..b is in it."""
        return a >= b or any(c <= a and b <= d for c, d in self.of)


class Pauses:
    """Whether the other side must be silent. What was asked for crosses with what it says: a pause that it confirms binds it
    only when nothing that ends a pause has been sent since."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.on = False

    def ask(self, pause: bool) -> None:
        """This side sent data-pause / DWP (true) or data-need / DWM."""
        self.asked.append(pause)
        if not pause:
            self.on = False

    def confirmed(self) -> bool:
        """data-paused / DPM has come; false: nothing had asked for it."""
        if True not in self.asked:
            self.on = not self.asked
            return False
        del self.asked[:self.asked.index(True) + 1]
        self.on = False not in self.asked
        return True


class BaseWatch:
    """What both dialects have in common. role is this side's; the other side is checked."""

    def __init__(self, role: str, dialect: str) -> None:
        self.role, self.dialect = role, dialect
        self.other = "S" if role == "P" else "P"
        self.over = False
        self.count = 0

    def broken(self, rule: str, text: str) -> None:
        """Raise."""
        raise RuleBroken(rule, text)

    def need(self, cond: object, rule: str, text: str) -> None:
        """Raise unless cond."""
        if not cond:
            raise RuleBroken(rule, text)

    def sent(self, m: Message) -> None:
        """Note what this side sent."""
        if m.known:
            handler = getattr(self, "_out_" + m.name.replace("-", "_"), None)
            if handler:
                handler(m)

    def received(self, m: Message) -> None:
        """Check what the other side sent."""
        self.count += 1
        self.need(not self.over, "<59>" if self.dialect != CORE else "4037-11.2", f"{m} after the end of the connection")
        if not m.known:
            return
        spec = CATALOGUE[self.dialect][m.name]
        self.need(self.other in spec.sender, NEVER.get(m.name, "4037-11"), f"{m.name} is not {self.other}'s to send")
        self.first(m)
        handler = getattr(self, "_in_" + m.name.replace("-", "_"), None)
        if handler:
            handler(m)

    def first(self, m: Message) -> None:
        """Rules about what comes first."""


def Watch(role: str, dialect: str) -> BaseWatch:  # noqa: N802 - stands for a class
    """The watch of a dialect."""
    from .rules_core import CoreWatch
    from .rules_draft import DraftWatch
    return (CoreWatch if dialect == CORE else DraftWatch)(role, dialect)
