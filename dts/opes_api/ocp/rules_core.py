# SPDX-License-Identifier: BSD-3-Clause
"""The rules of the core dialect (RFC 4037, RFC 4236 section 3, ocp-wire section 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .catalogue import HTTP_REQUEST, HTTP_RESPONSE, INT31, PARTS, code, failed
from .rules import BaseWatch, Pauses, Ranges
from .wire import List, Message, Struct

SENT_AS = {"size-request": "Size-request", "org-data": "Org-Data"}
PHASE = {"NO", "NR", "AQ", "AA", "PQ", "PA", "PR", "CE"}


@dataclass
class Flow:
    """One direction of a transaction."""

    open: bool = False
    over: bool = False
    next: int = 0
    part: int = -1
    kinds: set[str] = field(default_factory=set)
    pauses: Pauses = field(default_factory=Pauses)


@dataclass
class Xact:
    """A transaction; here and there are the flows of this side and the other. early: what a side did and when."""

    sg: int
    profile: Struct | None
    here: Flow = field(default_factory=Flow)
    there: Flow = field(default_factory=Flow)
    over_here: bool = False
    over_there: bool = False
    kept: tuple[int, int] | None = None
    reusable: tuple[int, int] = (0, INT31)
    dwss: bool = False
    dwsr: bool = False
    dwss_first: bool = False
    dss: bool = False
    repeated: int = 0


class CoreWatch(BaseWatch):
    """See BaseWatch."""

    def __init__(self, role: str, dialect: str) -> None:
        super().__init__(role, dialect)
        self.names: list[str] = []
        self.groups: dict[str, dict[int, list[Any]]] = {"here": {}, "there": {}}
        self.last_sg = {"here": -1, "there": -1}
        self.last_xid = -1
        self.xacts: dict[int, Xact] = {}
        self.profiles: dict[int | None, Struct] = {}
        self.offer_here: Message | None = None
        self.offer_there: Message | None = None
        self.phase_there = False
        self.abilities = 0
        self.queries: list[tuple[Any, bool, bool, bool]] = []

    def first(self, m: Message) -> None:
        if self.names:
            self.need(m.name != "CS", "4037-11.1", "CS twice")
        else:
            self.need(m.name == "CS", "4037-11.1", f"{m.name} before CS")
        if self.other == "P" and self.names and "NO" not in self.names:
            self.need(m.name in ("NO", "SGC", "CE"), "4037-6.1", f"{m.name} between CS and NO")
        if self.phase_there:
            self.need(m.name in PHASE, "4037-6.1", f"{m.name} in a negotiation phase")
        self.names.append(m.name)
        for name in m.named:
            self.need(SENT_AS.get(name.lower(), name) == name, "wire-7", f"{name} is read, {SENT_AS.get(name.lower())} is sent")
        kept = m.named.get("Kept")
        self.need(not isinstance(kept, Struct) or "two-value-form" not in kept.named, "wire-7", "Kept with two values is read, not sent")

    # --- connection, groups ---------------------------------------------------------------------

    def _in_CE(self, m: Message) -> None:
        self.over = True

    def _in_SGC(self, m: Message) -> None:
        self.need(m["sg-id"] > self.last_sg["there"], "4037-10.2", f"sg-id {m['sg-id']} after {self.last_sg['there']}")
        self.last_sg["there"] = m["sg-id"]
        self.groups["there"][m["sg-id"]] = m["services"]

    def _out_SGC(self, m: Message) -> None:
        self.groups["here"].setdefault(m["sg-id"], m["services"])

    def _in_SGD(self, m: Message) -> None:
        self.need(self.groups["there"].pop(m["sg-id"], None) is not None, "4037-11.4", f"SGD {m['sg-id']}: no such group")

    def _out_SGD(self, m: Message) -> None:
        self.groups["here"].pop(m["sg-id"], None)

    # --- negotiation ----------------------------------------------------------------------------

    def _in_NO(self, m: Message) -> None:
        self.need(not self.offer_there, "4037-11.18", "NO while its own offer waits for an answer")
        if self.role == "S":
            self.offer_here = None  # crossing offers: the server's is void
        if not self.offer_here:
            self.offer_there = m

    def _out_NO(self, m: Message) -> None:
        self.offer_here = m
        if self.role == "P":
            self.offer_there = None

    def _matches(self, offer: Message, m: Message) -> None:
        self.need(offer.get("SG") == m.get("SG"), "4037-11.19", f"SG {m.get('SG')} in the answer to SG {offer.get('SG')}")
        uris = {f.uri for f in offer["features"]}
        if "feature" in m:
            self.need(m["feature"].uri in uris, "4037-11.19", f"{m['feature'].uri} was not offered")
            self._aux(offer, m["feature"])
        for name in ("Rejects", "Unknowns"):
            self.need(all(f.uri in uris for f in m.get(name, [])), "4037-11.19", f"{name} with what was not offered")

    def _aux(self, offer: Message, chosen: Struct) -> None:
        """RFC 4236 section 3.2.3: a subset of what was offered, auxiliary parts only."""
        offered = next(f for f in offer["features"] if f.uri == chosen.uri)
        mine, theirs = (_parts(f) for f in (offered, chosen))
        self.need(theirs <= mine, "4236-3.2.3", f"Aux-Parts {sorted(theirs - mine)} were not offered")
        self.need(not theirs or chosen.uri == HTTP_RESPONSE, "4236-3.2.3", "Aux-Parts in the request profile")
        self.need(all(p.startswith("request-") for p in theirs), "4236-3.2.3", "Aux-Parts that are not auxiliary")

    def _in_NR(self, m: Message) -> None:
        if self.offer_here is None:
            self.broken("4037-11.19", "NR that answers nothing")
        assert self.offer_here is not None
        offer, self.offer_here = self.offer_here, None
        self._matches(offer, m)
        if "feature" in m:
            self.profiles[m.get("SG")] = m["feature"]
        if self.other == "S":
            self.phase_there = bool(m.get("Offer-Pending")) or bool(offer.get("Offer-Pending"))

    def _out_NR(self, m: Message) -> None:
        offer, self.offer_there = self.offer_there, None
        if "feature" in m:
            self.profiles[m.get("SG")] = m["feature"]
        if self.other == "S" and offer is not None and not offer.get("Offer-Pending") and not m.get("Offer-Pending"):
            self.phase_there = False

    def _out_AQ(self, m: Message) -> None:
        self.abilities += 1

    def _in_AA(self, m: Message) -> None:
        self.need(self.abilities, "4037-11.21", "AA that no AQ asked for")
        self.abilities -= 1

    # --- progress -------------------------------------------------------------------------------

    def _state(self, xid: Any) -> tuple[bool, bool, bool]:
        """Whether a transaction is open on both sides, its original begun, and its original ended."""
        x = self.xacts.get(xid)
        if x is None:
            return False, False, False
        org = x.here if self.role == "P" else x.there
        return not x.over_here and not x.over_there, org.open, org.over

    def _out_PQ(self, m: Message) -> None:
        self.queries.append((m.get("xid"), *self._state(m.get("xid"))))

    def _in_PA(self, m: Message) -> None:
        self.need(self.queries, "4037-11.23", "PA that no PQ asked for")
        xid, was_open, had_org, org_over = self.queries.pop(0)
        is_open = self._state(xid)[0]
        self.need("xid" not in m or m["xid"] == xid, "4037-11.23", f"xid {m.get('xid')} was not asked about")
        if xid is None:
            return
        x = self.xacts.get(xid)
        self.need(x is not None or "xid" not in m, "4037-11.23", f"xid {xid} in the answer was never introduced")
        self.need(not (was_open and is_open) or "xid" in m, "4037-11.23", f"xid {xid} is being worked on and not named")
        self.need(x is None or not x.over_there or "xid" not in m, "4037-11.23", f"xid {xid} named after its TE")
        self._org_data(m, x, org_over)
        if was_open and is_open and had_org and not self._state(xid)[2]:
            self.need("Org-Data" in m, "4037-11.23", "no Org-Data while the original is being received")

    def _org_data(self, m: Message, x: Xact | None, org_over: bool) -> None:
        if "Org-Data" not in m:
            return
        self.need("xid" in m, "4037-11.23", "Org-Data without xid")
        self.need(not org_over, "4037-11.23", "Org-Data after AME of the original")
        if x and self.role == "P":
            self.need(m["Org-Data"] <= x.here.next, "4037-11.23", f"Org-Data {m['Org-Data']}: {x.here.next} were sent")

    def _in_PR(self, m: Message) -> None:
        if "xid" in m:
            x = self._known(m)
            self._org_data(m, x, False)

    # --- transactions ---------------------------------------------------------------------------

    def _known(self, m: Message) -> Xact:
        x = self.xacts.get(m["xid"])
        if x is None:
            self.broken("4037-10.2", f"{m.name} with xid {m['xid']}, which was never introduced")
        assert x is not None
        self.need(not x.over_there, "4037-11.6", f"{m.name} after its own TE {m['xid']}")
        return x

    def _start(self, m: Message) -> None:
        sg = m["sg-id"]
        self.xacts[m["xid"]] = Xact(sg, self.profiles.get(sg, self.profiles.get(None)))
        self.last_xid = m["xid"]

    def _in_TS(self, m: Message) -> None:
        self.need(m["xid"] > self.last_xid, "4037-10.2", f"xid {m['xid']} after {self.last_xid}")
        self.need(m["sg-id"] in self.groups["there"], "4037-11.5", f"group {m['sg-id']} does not exist")
        self._start(m)

    def _out_TS(self, m: Message) -> None:
        if m["xid"] > self.last_xid:
            self._start(m)
        else:
            self.xacts.setdefault(m["xid"], Xact(m["sg-id"], None)).repeated += 1

    def _in_TE(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        if x is None:  # refuses a transaction that there is none of
            self.need(failed(m), "4037-11.6", f"TE {m['xid']}, which was never introduced, without a failure")
            return
        if x.over_there and x.repeated and failed(m):  # refuses a TS that came again
            x.repeated -= 1
            return
        self.need(not x.over_there, "4037-11.6", f"TE {m['xid']} twice")
        if not failed(m) and x.there.open and not x.over_here:  # in answer to one of here it only confirms the end [4]
            self.need(x.there.over, "4037-11.8", f"TE {m['xid']} without AME of its message")
        self.need(code(m) != 206, "4037-10.10", "206 in TE")
        x.over_there = x.there.over = True

    def _out_TE(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].over_here = True
            self.xacts[m["xid"]].here.over = True

    def _in_AMS(self, m: Message) -> None:
        x = self._known(m)
        self.need(not x.there.open and not x.there.over, "4037-2.4", "a second AMS")
        x.there.open = True

    def _out_AMS(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].here.open = True

    def _in_AME(self, m: Message) -> None:
        x = self._known(m)
        self.need(not x.there.over, "4037-11.8", f"AME {m['xid']} twice")
        if not x.there.open:
            self.need(failed(m), "4037-11.7", "AME without AMS that does not refuse")
        if code(m) == 206 and self.other == "S":
            self.need(x.dss, "4037-11.13", "AME 206 from the callout server without DSS")
        if code(m) == 206 and self.other == "P":
            self.need(not x.dwss_first or x.dss, "4037-8.3", "AME 206 before DSS after DWSS and DWSR")
        x.there.over = True

    def _out_AME(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].here.over = True

    # --- data -----------------------------------------------------------------------------------

    def _in_DUM(self, m: Message) -> None:
        x = self._known(m)
        f, n = x.there, len(m.payload or b"")
        self.need(f.open, "4037-11.7", "DUM before AMS")
        self.need(not f.over, "4037-11.8", "DUM after AME")
        self.need(m["offset"] == f.next, "4037-11.9", f"DUM at {m['offset']}, not at {f.next}")
        self.need(not f.pauses.on or not n, "4037-11.16", "DUM after DPM")
        self._part(x, f, m)
        if "Kept" in m:
            self.need(self.other == "P", "4037-11.9", "Kept from the callout server")
            self._kept(x, m["Kept"])
        f.next += n

    def _part(self, x: Xact, f: Flow, m: Message) -> None:
        """RFC 4236 sections 3.2.1 and 3.4."""
        if not x.profile or x.profile.uri not in (HTTP_REQUEST, HTTP_RESPONSE):
            return
        self.need("AM-Part" in m, "4236-3.4", "DUM without AM-Part under an HTTP profile")
        part = m["AM-Part"]
        request = x.profile.uri == HTTP_REQUEST
        if self.other == "P":
            allowed = set(PARTS[:3]) if request else set(PARTS[3:]) | _parts(x.profile)
        else:
            allowed = set(PARTS) if request else set(PARTS[3:])
        self.need(part in allowed, "4236-3.2.1", f"part {part}")
        self.need(PARTS.index(part) >= f.part, "4236-3.2.1", f"part {part} out of order")
        f.kinds.add(part.split("-")[0])
        self.need(self.other == "P" or len(f.kinds) == 1, "4236-3.2.1", "request and response parts in one adapted message")
        f.part = PARTS.index(part)

    def _kept(self, x: Xact, new: tuple[int, int]) -> None:
        """A commitment may grow, move down, and lose what DPI gave up; nothing else."""
        if x.kept:
            a, b = max(x.kept[0], x.reusable[0]), min(sum(x.kept), sum(x.reusable))
            still = Ranges()
            still.add(new[0], sum(new))
            self.need(still.has(a, b), "4037-7", f"Kept {new} gives up octets of {x.kept} that DPI did not release")
        x.kept = new

    def _out_DUM(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        if x:
            if "Kept" in m:
                x.kept = m["Kept"]
            if m["offset"] == x.here.next:
                x.here.next += len(m.payload or b"")

    def _in_DUY(self, m: Message) -> None:
        x = self._known(m)
        a, b = m["offset"], m["offset"] + m["size"]
        self.need(x.there.open and not x.there.over, "4037-11.7", "DUY outside AMS and AME")
        self.need(a == b or (x.kept and x.kept[0] <= a and b <= sum(x.kept)), "4037-11.10", f"DUY {a}..{b}, kept {x.kept}")
        self.need(a == b or (x.reusable[0] <= a and b <= sum(x.reusable)), "4037-11.11", f"DUY {a}..{b} after DPI {x.reusable}")
        x.there.next += b - a

    def _out_DUY(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        if x:
            x.here.next += m["size"]

    def _in_DPI(self, m: Message) -> None:
        x = self._known(m)
        new = (m["offset"], m["size"])
        self.need(not new[1] or (x.reusable[0] <= new[0] and sum(new) <= sum(x.reusable)), "4037-11.11",
                  f"DPI {new} after {x.reusable}: reusable data grows")
        x.reusable = new

    def _out_DPI(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].reusable = (m["offset"], m["size"])

    # --- flow -----------------------------------------------------------------------------------

    def _in_DWSR(self, m: Message) -> None:
        x = self._known(m)
        x.dwsr = True

    def _out_DWSR(self, m: Message) -> None:
        x = self.xacts.get(m["xid"])
        if x:
            x.dwsr, x.dwss_first = True, x.dwss

    def _in_DWSS(self, m: Message) -> None:
        x = self._known(m)
        x.dwss = True

    def _out_DWSS(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].dwss = True

    def _in_DSS(self, m: Message) -> None:
        self._known(m).dss = True

    def _out_DSS(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].dss = True

    def _in_DWP(self, m: Message) -> None:
        self._known(m)

    def _in_DPM(self, m: Message) -> None:
        self._known(m).there.pauses.confirmed()

    def _in_DWM(self, m: Message) -> None:
        self._known(m)

    def _out_DWM(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].there.pauses.ask(False)

    def _out_DWP(self, m: Message) -> None:
        if m["xid"] in self.xacts:
            self.xacts[m["xid"]].there.pauses.ask(True)


def _parts(f: Struct) -> set[str]:
    """The items of Aux-Parts."""
    v = f.named.get("Aux-Parts")
    return {str(i) for i in v.items} if isinstance(v, List) else set()
