# SPDX-License-Identifier: BSD-3-Clause
"""The rules of the draft dialect (ocp-wire sections 4 to 6, requirements A.1 and A.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .catalogue import LEAVE_LOOP, code, failed
from .rules import BaseWatch, Pauses, Ranges
from .wire import Message


@dataclass
class Am:
    """An application message; mine: this side's."""

    mine: bool
    next: int = 0
    data_over: bool = False
    over_by_sender: bool = False
    over_by_recipient: bool = False
    repeated: int = 0
    kept: Ranges = field(default_factory=Ranges)
    acks: list[tuple[int, int]] = field(default_factory=list)
    referenced: int | None = None
    pauses: Pauses = field(default_factory=Pauses)


@dataclass
class Xact:
    """A transaction."""

    over_here: bool = False
    over_there: bool = False
    repeated: int = 0
    ams: dict[int, Am] = field(default_factory=dict)
    last: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})


class DraftWatch(BaseWatch):
    """See BaseWatch."""

    def __init__(self, role: str, dialect: str) -> None:
        super().__init__(role, dialect)
        self.started = False
        self.service = False
        self.xacts: dict[int, Xact] = {}
        self.last_xid = -1
        self.queries: dict[int, tuple[Any, Any, bool, bool]] = {}
        self.asked: list[tuple[str, str]] = []
        self.agreed: set[str] = set()
        self.offered_there: list[str] = []

    def first(self, m: Message) -> None:
        if self.other == "P" and not self.started:
            self.need(m.name == "connection-start", "<59>", f"{m.name} before connection-start")

    # --- identifiers ----------------------------------------------------------------------------

    def _known(self, m: Message) -> tuple[Xact, Am | None]:
        """Rule 13: the identifiers that the other side uses were introduced and it has not ended them."""
        x = self.xacts.get(m["xid"])
        if x is None:
            self.broken("<54>", f"{m.name} with xid {m['xid']}, which nobody introduced")
        assert x is not None
        self.need(not x.over_there, "<54>", f"{m.name} with xid {m['xid']} after the sender's own xaction-end")
        if "am-id" not in m:
            return x, None
        am = x.ams.get(m["am-id"])
        self.need(am, "<54>", f"{m.name} with am-id {m['am-id']}, which nobody introduced")
        assert am is not None
        self.need(am.mine or not am.over_by_sender, "<54>", f"{m.name} with am-id {m['am-id']} after its app-message-end")
        self.need(not am.mine or not am.over_by_recipient, "<54>", f"{m.name} with am-id {m['am-id']}, which it refused")
        return x, am

    def _live(self, m: Message) -> Am | None:
        """The application message of something sent here, if there is one."""
        x = self.xacts.get(m["xid"])
        return x.ams.get(m["am-id"]) if x else None

    # --- connection -----------------------------------------------------------------------------

    def _in_connection_start(self, m: Message) -> None:
        self.need(not self.started, "wire-6", "connection-start repeated")
        self.started = True

    def _out_connection_start(self, m: Message) -> None:
        self.started = True

    def _in_connection_service(self, m: Message) -> None:
        self.service = True

    def _in_connection_end(self, m: Message) -> None:
        self.over = True

    # --- transactions ---------------------------------------------------------------------------

    def _in_xaction_start(self, m: Message) -> None:
        self.need(m["xid"] > self.last_xid, "wire-4", f"xid {m['xid']} after {self.last_xid}")
        self.need("service" in m or self.service, "<70>", "neither a service of its own nor the connection's")
        self.last_xid = m["xid"]
        self.xacts[m["xid"]] = Xact()

    def _out_xaction_start(self, m: Message) -> None:
        if m["xid"] > self.last_xid:
            self.last_xid = m["xid"]
            self.xacts[m["xid"]] = Xact()
        else:
            self.xacts.setdefault(m["xid"], Xact()).repeated += 1

    def _in_xaction_end(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        if x and x.over_there and x.repeated and failed(m):  # refuses an xaction-start that came again
            x.repeated -= 1
            return
        self._known(m)[0].over_there = True

    def _out_xaction_end(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].over_here = True

    # --- application messages -------------------------------------------------------------------

    def _in_app_message_start(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        self.need(x and not x.over_there, "<54>", f"app-message-start with xid {m['xid']}, which is not known")
        assert x is not None
        am = m["am-id"]
        self.need(am % 2 == (1 if self.other == "P" else 0), "wire-4", f"am-id {am} is not of {self.other}'s parity")
        self.need(am > x.last[False], "wire-4", f"am-id {am} after {x.last[False]}")
        if self.other == "P":
            self.need(not x.last[False], "<29>", "a second original")
            self.need(m["meta-data"], "wire-5", "empty meta-data from the processor")
            self.need("modified" not in m, "<45>", "modified from the processor")
        x.last[False] = am
        x.ams[am] = Am(False)

    def _out_app_message_start(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        if x and m["am-id"] in x.ams:
            x.ams[m["am-id"]].repeated += 1
        elif x:
            x.ams[m["am-id"]] = Am(True)

    def _in_app_message_end(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        self.need(x and not x.over_there, "<54>", f"app-message-end with xid {m['xid']}, which is not known")
        assert x is not None
        am = x.ams.get(m["am-id"])
        if am is None:  # refuses an app-message-start that was no good
            self.need(failed(m), "<77>", f"app-message-end for am-id {m['am-id']}, which is not known, without a failure")
            return
        if am.mine:
            if am.over_by_recipient and am.repeated and failed(m):  # refuses an app-message-start that came again
                am.repeated -= 1
                return
            self.need(not am.over_by_recipient, "<54>", f"app-message-end twice for am-id {m['am-id']}")
            am.over_by_recipient = True
        else:
            self.need(not am.over_by_sender, "<54>", f"app-message-end twice for am-id {m['am-id']}")
            am.over_by_sender = am.data_over = True

    def _out_app_message_end(self, m: Message) -> None:
        am = self._live(m)
        if am:
            am.over_by_sender |= am.mine
            am.over_by_recipient |= not am.mine

    # --- data -----------------------------------------------------------------------------------

    def _theirs(self, m: Message) -> tuple[Xact, Am]:
        """For data: the message must be the other side's own."""
        x, am = self._known(m)
        assert am is not None
        self.need(not am.mine, "wire-6", f"{m.name} for am-id {m['am-id']}, which is this side's")
        self.need(not am.data_over, "<98>", f"{m.name} after data-end")
        self.need(m["offset"] == am.next, "<85>", f"{m.name} at {m['offset']}, not at {am.next}")
        return x, am

    def _in_data_have(self, m: Message) -> None:
        _, am = self._theirs(m)
        n = len(m.payload or b"")
        if self.other == "P":
            self.need("modified" not in m, "<45>", "modified from the processor")
            self.need(not am.pauses.on, "<95>", "data after data-paused")
            if m.get("copied"):
                am.kept.add(am.next, am.next + n)
        else:
            self.need("copied" not in m, "<46>", "copied from the callout server")
        am.next += n
        if n:
            am.referenced = None

    def _out_data_have(self, m: Message) -> None:
        am = self._live(m)
        if not am or not am.mine or m["offset"] != am.next:
            return
        n = len(m.payload or b"")
        if m.get("copied"):
            am.kept.add(am.next, am.next + n)
        if m.get("ack") or m.get("please-ack"):
            am.acks.append((am.next, n))
        am.next += n

    def _in_data_as_is(self, m: Message) -> None:
        x, am = self._theirs(m)
        copy = x.ams.get(m["copy-am-id"])
        self.need(copy and copy.mine, "<89>", f"copy-am-id {m['copy-am-id']} is no original of this transaction")
        assert copy is not None
        a, b = m["copy-am-offset"], m["copy-am-offset"] + m["size"]
        self.need(copy.kept.has(a, b), "<89>", f"octets {a}..{b} are not all under commitment ({copy.kept.of})")
        am.next += m["size"]
        am.referenced = b

    def _out_data_as_is(self, m: Message) -> None:
        am = self._live(m)
        if am and self.role == "S":
            am.next += m["size"]

    def _in_data_end(self, m: Message) -> None:
        _, am = self._known(m)
        assert am is not None
        self.need(not am.mine, "wire-6", f"data-end for am-id {m['am-id']}, which is this side's")
        self.need(not am.data_over, "<98>", "data-end twice")
        am.data_over = True
        if code(m) == 206 and self.other == "S":
            self.need(LEAVE_LOOP in self.agreed, "wire-6", "data-end with 206 without the feature leave-loop")
            self.need(am.referenced is not None, "wire-6", "data-end with 206 that no data-as-is comes before")

    def _out_data_end(self, m: Message) -> None:
        am = self._live(m)
        if am and am.mine:
            am.data_over = True

    def _in_data_ack(self, m: Message) -> None:
        _, am = self._known(m)
        assert am is not None
        self.need(am.mine, "<106>", f"data-ack for am-id {m['am-id']}, which is not this side's")
        a, b = m["offset"], m["offset"] + m["size"]
        self.need(b <= am.next, "<110>", f"data-ack for {a}..{b}, of which {am.next} were sent")
        if (a, m["size"]) in am.acks:
            am.acks.remove((a, m["size"]))
        elif self.other == "P":
            self.broken("<107>", f"data-ack {a} {m['size']} that nothing asked for")
        if m.get("wont-forward"):
            self.need(self.other == "S", "<107>", "wont-forward from the processor")
            am.kept.drop(a, b)

    # --- flow -----------------------------------------------------------------------------------

    def _in_data_pause(self, m: Message) -> None:
        _, am = self._known(m)
        assert am is not None
        self.need(am.mine, "<92>", f"data-pause for am-id {m['am-id']}, which is the sender's own")

    def _out_data_pause(self, m: Message) -> None:
        am = self._live(m)
        if am:
            am.pauses.ask(True)

    def _in_data_paused(self, m: Message) -> None:
        _, am = self._known(m)
        assert am is not None
        self.need(am.pauses.confirmed(), "wire-6", "data-paused that no data-pause asked for")

    def _in_data_need(self, m: Message) -> None:
        _, am = self._known(m)
        assert am is not None
        self.need(am.mine, "<101>", f"data-need for am-id {m['am-id']}, which is the sender's own")
        self.need(m["offset"] <= am.next, "<101>", f"data-need at {m['offset']}, of which {am.next} were sent")

    def _out_data_need(self, m: Message) -> None:
        am = self._live(m)
        if am:
            am.pauses.ask(False)

    # --- queries --------------------------------------------------------------------------------

    def _valid(self, xid: Any, am_id: Any) -> tuple[bool, bool]:
        """Whether both sides take identifiers for valid now."""
        x = self.xacts.get(xid)
        ok = x is not None and not x.over_here and not x.over_there
        am = x.ams.get(am_id) if ok and x else None
        return ok, am is not None and not (am.over_by_sender or am.over_by_recipient)

    def _out_are_you_there(self, m: Message) -> None:
        self.queries[m["rid"]] = (m.get("xid"), m.get("am-id"), *self._valid(m.get("xid"), m.get("am-id")))

    def _in_i_am_here(self, m: Message) -> None:
        xid, am_id = m.get("xid"), m.get("am-id")
        if "rid" not in m:
            self.need(xid is None or xid in self.xacts, "<114>", f"i-am-here about xid {xid}, which nobody introduced")
            return
        self.need(m["rid"] in self.queries, "<115>", f"rid {m['rid']} was not asked")
        asked_x, asked_am, was_x, was_am = self.queries.pop(m["rid"])
        is_x, is_am = self._valid(asked_x, asked_am)
        self.need(xid is None or xid == asked_x, "<115>", f"xid {xid} was not asked about")
        self.need(am_id is None or am_id == asked_am, "<115>", f"am-id {am_id} was not asked about")
        self.need(was_x or xid is None, "<115>", f"xid {xid} is not valid")
        self.need(not (was_x and is_x) or xid is not None, "<115>", f"xid {asked_x} is still valid and not repeated")
        self.need(was_am or am_id is None, "<115>", f"am-id {am_id} is not valid")

    # --- features -------------------------------------------------------------------------------

    def _out_do_you_support(self, m: Message) -> None:
        self.asked.append(("support", m["feature"].uri))

    def _out_please_use(self, m: Message) -> None:
        self.asked.append(("use", m["feature"].uri))

    def _in_please_use(self, m: Message) -> None:
        self.offered_there.append(m["feature"].uri)

    def _answer(self, kind: str, m: Message) -> None:
        what = (kind, m["feature"].uri)
        self.need(what in self.asked, "wire-6", f"{m.name} about {what[1]}, which was not asked")
        self.asked.remove(what)

    def _in_i_do_support(self, m: Message) -> None:
        self._answer("support", m)

    def _in_i_dont_support(self, m: Message) -> None:
        self._answer("support", m)

    def _in_i_will_use(self, m: Message) -> None:
        self._answer("use", m)
        self.agreed.add(m["feature"].uri)

    def _in_i_wont_use(self, m: Message) -> None:
        self._answer("use", m)

    def _out_i_will_use(self, m: Message) -> None:
        self.agreed.add(m["feature"].uri)
