# SPDX-License-Identifier: BSD-3-Clause
"""What a callout server of the tests does with transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .catalogue import DRAFT, HTTP_REQUEST, HTTP_RESPONSE, LEAVE_LOOP
from .wire import Message, Struct

if TYPE_CHECKING:
    from .server import Connection, SXaction


class Service:
    """What happens to a transaction. The default passes everything on as it comes, by reference when it can; a test
    overrides what it wants otherwise. Called in the server's thread."""

    def connected(self, c: "Connection") -> None:
        """The first message of a connection has come."""

    def open(self, x: SXaction) -> None:
        """xaction-start / TS has come."""

    def start(self, x: SXaction) -> None:
        """The original begins."""
        x.am_start()

    def data(self, x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
        """Octets of the original."""
        if x.am_open:
            x.forward(offset, len(octets))

    def end(self, x: SXaction, ok: bool) -> None:
        """The original is complete (ok), or was cut off."""
        if x.am_open:
            x.finish(None if ok else 400)
        if not x.own_end:
            x.end()

    def paused(self, x: SXaction) -> None:
        """data-paused / DPM has come."""
        x.need()

    def closed(self, x: SXaction) -> None:
        """The processor ended the transaction (or the connection)."""

    def message(self, c: "Connection", m: Message) -> bool:
        """Every message, before anything else is done about it; true: nothing else shall be done."""
        return False

    def profile(self, c: "Connection", offered: list[Struct]) -> Struct | None:
        """Core: the answer to an offer; None rejects. Default: the first HTTP profile, without parameters."""
        f = next((f for f in offered if f.uri in (HTTP_REQUEST, HTTP_RESPONSE)), None)
        return Struct(f.anon[:1]) if f else None


class Echo(Service):
    """The default under its name."""


class Send(Service):
    """Everything back as the server's own octets."""

    def data(self, x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
        if x.am_open:
            x.send(octets, part)


class Replace(Service):
    """Every occurrence of a word in bodies replaced by one of the same length, a chunk at a time."""

    def __init__(self, old: bytes = b"original", new: bytes = b"ORIGINAL") -> None:
        self.old, self.new = old, new

    def data(self, x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
        if not x.am_open:
            return
        if part and not part.endswith("-body") or self.old not in octets:
            x.forward(offset, len(octets))
        else:
            x.send(octets.replace(self.old, self.new), part, named={"modified": True} if x.draft else {"Modp": 100})


class Block(Service):
    """A response of its own to everything."""

    HEAD = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\n"

    def start(self, x: SXaction) -> None:
        x.am_start(b"Kind: response\r\n")
        x.send(self.HEAD, "response-header").send(b"blocked\n", "response-body").finish().end()


class Leave(Service):
    """Passes on the first octets, then leaves the loop (draft: when that was agreed)."""

    def __init__(self, after: int = 1) -> None:
        self.after = after

    def connected(self, c: "Connection") -> None:
        if c.dialect == DRAFT:
            c.send("please-use", Struct([LEAVE_LOOP]))

    def data(self, x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
        agreed = not x.draft or LEAVE_LOOP in x.conn.agreed
        if x.leaving or len(x.original) < self.after or not agreed or (x.draft and not x.is_kept(offset, len(octets))):
            if not x.own_end and not x.leaving and x.am_open:
                x.forward(offset, len(octets))
        elif x.draft:
            x.leave_loop(offset)
        else:
            x.leave_loop(offset)


SERVICES: dict[str, Callable[[], Service]] = {"echo": Echo, "send": Send, "replace": Replace, "block": Block, "leave": Leave}
