# SPDX-License-Identifier: BSD-3-Clause
"""What a callout server that echoes must answer to any message, right or wrong, by the rules of identifiers, order and offsets.

A Model makes up messages at random, says which answers they must have, and follows the state of both sides. Between two messages
the caller waits until everything has been handled, so that nothing crosses.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .catalogue import DRAFT, failed
from .processor import STREAM_META, Processor
from .wire import Message

ENDS = {"AME", "TE", "app-message-end", "xaction-end", "data-end"}

# A message in brief: name, identifiers, offset (None: none), octets, whether it says failure.
Brief = tuple[str, tuple[int, ...], int | None, bytes, bool]


def brief(m: Message) -> Brief:
    """A message that came, in brief."""
    ids = tuple(m[k] for k in ("xid", "am-id") if k in m)
    return m.name, ids, m.get("offset"), m.payload or b"", m.name in ENDS | {"connection-end", "CE"} and failed(m)


@dataclass
class Live:
    """An open transaction: am: the original has begun; next: octets of it so far; held: (core) octets that the processor's
    pause keeps back; ended: the original has, and only the pause keeps the transaction open."""

    am: bool = False
    next: int = 0
    held: bytes | None = None
    ended: bool = False


class Model:
    """One connection. step() sends a message and returns what must come for it."""

    def __init__(self, p: Processor, rng: random.Random) -> None:
        self.p, self.rng = p, rng
        self.live: dict[int, Live] = {}
        self.gone: list[int] = []
        self.last = 0
        self.draft = p.dialect == DRAFT

    def step(self) -> list[Brief]:
        """One message; its answers, in order."""
        pick = self.rng.random()
        xid = self._xid()
        if len(self.live) < 3 or pick < 0.1:
            return self._start()
        return self.rng.choice((self._am_start, self._data, self._data, self._data, self._end, self._stray,
                                self._stray if self.draft else self._pause))(xid)

    def _xid(self) -> int:
        """Mostly an open one, sometimes one that has ended, sometimes one that never was."""
        n = self.rng.random()
        if n < 0.75 and self.live:
            return self.rng.choice(list(self.live))
        return self.rng.choice(self.gone) if self.gone and n < 0.9 else self.rng.randint(1_000_000, 2147483647)

    def _dead(self, xid: int) -> list[Brief]:
        """The answer to a message of a transaction that is not open: none, but in core TE for one that never was."""
        return [] if self.draft or xid in self.gone else [("TE", (xid,), None, b"", True)]

    def _start(self) -> list[Brief]:
        if self.gone and self.rng.random() < 0.2:
            xid = self.rng.choice(self.gone)
            self._send_start(xid)
            return [("xaction-end" if self.draft else "TE", (xid,), None, b"", True)]
        self.last += self.rng.randint(1, 9)
        self._send_start(self.last)
        self.live[self.last] = Live()
        return []

    def _send_start(self, xid: int) -> None:
        if self.draft:
            self.p.send("xaction-start", xid)
        else:
            self.p.send("TS", xid, self.p.default)

    def _am_start(self, xid: int) -> list[Brief]:
        x = self.live.get(xid)
        am = self.rng.choice((1, 1, 1, 3, 4)) if not x or x.am else self.rng.choice((1, 1, 1, 8))
        if x and x.am and am == 1:
            am = 3  # what a second 1 does to the first is not said
        self.p.send(*(("app-message-start", xid, am, STREAM_META) if self.draft else ("AMS", xid)))
        if not x:
            return self._dead(xid)
        if not self.draft:
            if x.am:
                return self._fail(xid)
            x.am = True
            return [("AMS", (xid,), None, b"", False)]
        if x.am or am % 2 == 0:
            return [("app-message-end", (xid, am), None, b"", True)]
        x.am = True
        return [("app-message-start", (xid, 2), None, b"", False)]

    def _data(self, xid: int) -> list[Brief]:
        x = self.live.get(xid)
        right = x.next if x else 0
        at = right if self.rng.random() < 0.9 else max(0, right + self.rng.choice((-1, 1, 5, 2147480000)))
        octets = self.rng.randbytes(self.rng.choice((0, 1, 5, 300)))
        am = self.rng.choice((1,) * 9 + (2, 5)) if self.draft else 1
        self.p.send(*(("data-have", xid, am, at) if self.draft else ("DUM", xid, at)), payload=octets)
        if not x:
            return self._dead(xid)
        if not x.am:
            return [] if self.draft else self._fail(xid)
        if am != 1:
            return []
        if at != right or x.ended:
            return self._fail(xid)
        if not octets:
            return []
        x.next += len(octets)
        if x.held is not None:
            x.held += octets
            return []
        return [("data-have" if self.draft else "DUM", (xid, 2) if self.draft else (xid,), right, octets, False)]

    def _fail(self, xid: int) -> list[Brief]:
        """The message is aborted; what else the server ends with it is its own decision, and the processor ends the rest."""
        x = self.live.pop(xid)
        self.gone.append(xid)
        if self.draft:
            return [("app-message-end", (xid, 1), None, b"", True), ("?", (xid,), None, b"", False)]
        return [("TE" if not x.am else "?", (xid,), None, b"", True), ("?", (xid,), None, b"", False)]

    def _end(self, xid: int) -> list[Brief]:
        x = self.live.get(xid)
        if self.draft:
            name = self.rng.choice(("data-end", "app-message-end", "xaction-end"))
            self.p.send(name, xid, *(() if name == "xaction-end" else (1,)))
        else:
            name = self.rng.choice(("AME", "AME", "TE"))
            self.p.send(name, xid)
        if not x:
            return [("?", (xid,), None, b"", False)] if name == "TE" and xid not in self.gone else self._dead(xid)
        if name in ("xaction-end", "TE"):
            self.live.pop(xid)
            self.gone.append(xid)
            return [] if self.draft else [("?", (xid,), None, b"", False)]
        if not x.am or x.ended:
            return [] if self.draft else self._fail(xid)
        if x.held:  # a pause keeps data back, not ends
            x.ended = True
            return []
        self.live.pop(xid)
        self.gone.append(xid)
        if self.draft:
            return [("data-end", (xid, 2), None, b"", False), ("xaction-end", (xid,), None, b"", False)]
        return [("AME", (xid,), None, b"", False), ("TE", (xid,), None, b"", False)]

    def _pause(self, xid: int) -> list[Brief]:
        """Core: DWP and DWM from the processor."""
        x = self.live.get(xid)
        if not x or not x.am:
            return []
        if x.held is None:
            self.p.send("DWP", xid, self.rng.choice((0, x.next)))
            x.held = b""
            return [("DPM", (xid,), None, b"", False)]
        self.p.send("DWM", xid)
        held, x.held = x.held, None
        came: list[Brief] = [("DUM*", (xid,), None, held, False)] if held else []
        if not x.ended:
            return came
        self.live.pop(xid)
        self.gone.append(xid)
        return came + [("AME", (xid,), None, b"", False), ("TE", (xid,), None, b"", False)]

    def _stray(self, xid: int) -> list[Brief]:
        """Messages that change nothing."""
        x = self.live.get(xid)
        if self.draft:
            what: list[tuple] = [("data-ack", xid, 2, 0, 5), ("data-need", xid, 2, 0), ("i-am-here",), ("data-pause", xid, 2),
                                 ("connection-start",), ("x-unknown", xid)]
            if not x:
                what.append(("data-paused", xid, 1))
        else:
            what = [("CS",), ("x-unknown", xid), ("PR",)]
            if x and x.am and x.held is None:
                what.append(("DWM", xid))
        self.p.send(*self.rng.choice(what))
        return []


def matches(want: list[Brief], got: list[Brief]) -> bool:
    """Whether what came is what must come. "?" stands for any ends of that transaction, one of them failing if it says so."""
    got = list(got)
    for w in want:
        if w[0] == "?":
            mine = [g for g in got if g[1][:1] == w[1][:1] and g[0] in ENDS]
            if w[4] and not any(g[4] for g in mine):
                return False
            got = [g for g in got if g not in mine or w[4]]
        elif w[4] and w[0] == "TE":
            mine = [g for g in got if g[1] == w[1] and g[0] in ("AME", "TE") and g[4]]
            if not mine:
                return False
            got = [g for g in got if g not in mine]
        elif w[0] == "DUM*":  # in any cutting
            mine = [g for g in got if g[0] == "DUM" and g[1] == w[1]]
            if b"".join(g[3] for g in mine) != w[3]:
                return False
            got = [g for g in got if g not in mine]
        elif w in got:
            got.remove(w)
        else:
            return False
    return not got
