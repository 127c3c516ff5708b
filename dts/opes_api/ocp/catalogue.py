# SPDX-License-Identifier: BSD-3-Clause
"""The messages of both dialects: parameters, their types, and who may send them.

draft: ocp-wire section 4. core: RFC 4037 sections 10 and 11, RFC 4236 sections 3.3 and 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from .wire import Atom, List, Malformed, Message, Struct

DRAFT, CORE = "draft", "core"
INT31, INT63 = 2147483647, (1 << 63) - 1
PARTS = ("request-header", "request-body", "request-trailer", "response-header", "response-body", "response-trailer")
HTTP = "http://www.iana.org/assignments/opes/ocp/http/"
HTTP_REQUEST, HTTP_RESPONSE = HTTP + "request", HTTP + "response"
COPIED, AS_IS, LEAVE_LOOP, ACK_ALL = ("urn:opes:feature:" + n for n in ("copied", "as-is", "leave-loop", "ack-all"))

Type = Callable[[Any], Any]


def atom(v: Any) -> bytes:
    """Any atom: its octets."""
    if not isinstance(v, Atom):
        raise ValueError("no atom")
    return v.octets


def _integer(low: int, high: int) -> Type:
    def check(v: Any) -> int:
        t = atom(v)
        digits = t[1:] if low < 0 and t[:1] == b"-" else t
        if not digits or not digits.isdigit() or (len(digits) > 1 and digits[:1] == b"0") or len(digits) > 19:
            raise ValueError(f"{t!r} is no decimal number")
        if not low <= int(t) <= high:
            raise ValueError(f"{t!r} is not in {low}..{high}")
        return int(t)
    return check


uint31, uint63, int32 = _integer(0, INT31), _integer(0, INT63), _integer(-(1 << 31), INT31)
percent = _integer(0, 100)


def flag(v: Any) -> bool:
    """The draft dialect's flags."""
    try:
        return {b"true": True, b"1": True, b"false": False, b"0": False}[atom(v)]
    except KeyError:
        raise ValueError(f"{v} is no flag") from None


def boolean(v: Any) -> bool:
    """The core dialect's."""
    if atom(v) not in (b"true", b"false"):
        raise ValueError(f"{v} is no boolean")
    return atom(v) == b"true"


def uri_structure(v: Any) -> Struct:
    """A feature or a service."""
    if not isinstance(v, Struct) or not v.anon:
        raise ValueError("no structure with a URI")
    if not atom(v.anon[0]):
        raise ValueError("an empty URI")
    return v


def uri_list(v: Any) -> list[Struct]:
    """Features or services."""
    if not isinstance(v, List):
        raise ValueError("no list")
    return [uri_structure(i) for i in v.items]


def result_type(v: Any) -> tuple[int, str]:
    """(code, reason); an unknown code means 400 to who asks failed()."""
    if not isinstance(v, Struct) or not v.anon:
        raise ValueError("no result")
    return uint31(v.anon[0]), atom(v.anon[1]).decode("utf-8", "replace") if len(v.anon) > 1 else ""


def kept(v: Any) -> tuple[int, int]:
    """(offset, size) from a structure or the two values that stand in its place."""
    if not isinstance(v, Struct) or len(v.anon) < 2:
        raise ValueError("no offset and size")
    return uint31(v.anon[0]), uint31(v.anon[1])


def am_part(v: Any) -> str:
    """One of the six."""
    t = atom(v).decode("utf-8", "replace")
    if t not in PARTS:
        raise ValueError(f"{t!r} is no part")
    return t


@dataclass(frozen=True)
class Spec:
    """A message. optional: further anonymous parameters. sender: "P", "S" or "PS". payload: required."""

    name: str
    sender: str
    anon: tuple[tuple[str, Type], ...] = ()
    optional: tuple[tuple[str, Type], ...] = ()
    named: dict[str, Type] = field(default_factory=dict)
    payload: bool = False


def _draft() -> dict[str, Spec]:
    xid, am, off = ("xid", uint31), ("am-id", uint31), ("offset", uint63)
    end = {"error": flag, "result": result_type}
    sizes = {"sizep": uint63, "modp": percent}
    ids = {"xid": uint31, "am-id": uint31}
    feature = (("feature", uri_structure),)
    specs = [
        Spec("connection-start", "P", named={"client": atom, "priority": int32}),
        Spec("connection-end", "PS", named=end),
        Spec("connection-priority", "P", (("priority", int32),)),
        Spec("connection-service", "P", (("service", uri_structure),)),
        Spec("xaction-start", "P", (xid,), named={"service": uri_structure}),
        Spec("xaction-end", "PS", (xid,), named=end),
        Spec("app-message-start", "PS", (xid, am, ("meta-data", atom)), named={"modified": flag, **sizes}),
        Spec("app-message-end", "PS", (xid, am), named=end),
        Spec("data-have", "PS", (xid, am, off), payload=True,
             named={"modified": flag, "copied": flag, "ack": flag, "please-ack": flag, "size": uint31, "am-part": am_part,
                    **sizes}),
        Spec("data-as-is", "S", (xid, am, off, ("size", uint63), ("copy-am-id", uint31), ("copy-am-offset", uint63)),
             named={"am-part": am_part, **sizes}),
        Spec("data-pause", "S", (xid, am)),
        Spec("data-paused", "P", (xid, am)),
        Spec("data-end", "PS", (xid, am), named=end),
        Spec("data-need", "S", (xid, am, off), named={"size-request": uint63, "size": uint63}),
        Spec("data-ack", "PS", (xid, am, off, ("size", uint63)), named={"wont-forward": flag}),
        Spec("i-am-here", "PS", named={"rid": uint31, **ids}),
        Spec("are-you-there", "PS", (("rid", uint31),), named=ids),
        *(Spec(n, "PS", feature) for n in ("do-you-support", "i-do-support", "i-dont-support", "please-use", "i-will-use",
                                           "i-wont-use")),
    ]
    return {s.name: s for s in specs}


def _core() -> dict[str, Spec]:
    xid, sg, res = ("xid", uint31), ("sg-id", uint31), ("result", result_type)
    size, off = ("size", uint31), ("offset", uint31)
    progress = {"Org-Data": uint31}
    specs = [
        Spec("CS", "PS"),
        Spec("CE", "PS", optional=(res,)),
        Spec("SGC", "PS", (sg, ("services", uri_list))),
        Spec("SGD", "PS", (sg,)),
        Spec("TS", "P", (xid, sg)),
        Spec("TE", "PS", (xid,), (res,)),
        Spec("AMS", "PS", (xid,), named={"Services": uri_list, "AM-EL": uint31}),
        Spec("AME", "PS", (xid,), (res,)),
        Spec("DUM", "PS", (xid, off), payload=True,
             named={"As-is": uint31, "Kept": kept, "Modp": percent, "AM-Part": am_part}),
        Spec("DUY", "S", (xid, off, size)),
        Spec("DPI", "S", (xid, off, size)),
        Spec("DWSR", "S", (xid, size)),
        Spec("DWSS", "S", (xid,)),
        Spec("DSS", "P", (xid,)),
        Spec("DWP", "PS", (xid, off)),
        Spec("DPM", "PS", (xid,)),
        Spec("DWM", "PS", (xid,), named={"Size-request": uint31}),
        Spec("NO", "PS", (("features", uri_list),), named={"SG": uint31, "Offer-Pending": boolean}),
        Spec("NR", "PS", optional=(("feature", uri_structure),),
             named={"SG": uint31, "Rejects": uri_list, "Unknowns": uri_list, "Offer-Pending": boolean}),
        Spec("AQ", "PS", (("feature", uri_structure),)),
        Spec("AA", "PS", (("answer", boolean),)),
        Spec("PQ", "PS", optional=(xid,)),
        Spec("PA", "PS", optional=(xid,), named=progress),
        Spec("PR", "PS", optional=(xid,), named=progress),
    ]
    return {s.name: s for s in specs}


CATALOGUE: dict[str, dict[str, Spec]] = {DRAFT: _draft(), CORE: _core()}

# Both spellings occur in RFC 4037 itself (ocp-wire section 7): read in any case of letters.
_ANY_CASE = {"size-request": "Size-request", "org-data": "Org-Data"}


def bind(m: Message, dialect: str) -> Message:
    """Give a message's parameters their names and types. Malformed when it is known and breaks its declaration; unknown
    messages and parameters stay as they are."""
    spec = CATALOGUE[dialect].get(m.name)
    if spec is None:
        return m
    m.known = True
    m.args = {}
    if len(m.anon) < len(spec.anon):
        raise Malformed("parameters/required", f"{m.name} without {spec.anon[len(m.anon)][0]}", m.at)
    for (name, kind), v in zip(spec.anon + spec.optional, m.anon):
        _put(m, name, kind, v)
    for name, v in m.named.items():
        declared = name if dialect == DRAFT else _ANY_CASE.get(name.lower(), name)
        if declared in spec.named:
            _put(m, declared, spec.named[declared], v)
    if spec.payload and m.payload is None:
        raise Malformed("parameters/payload", f"{m.name} without payload", m.at)
    if m.name == "data-have" and m.get("size", len(m.payload or b"")) != len(m.payload or b""):
        raise Malformed("<42>", f"size {m['size']} beside {len(m.payload or b'')} octets", m.at)
    return m


def _put(m: Message, name: str, kind: Type, v: Any) -> None:
    try:
        m.args[name] = kind(v)
    except ValueError as e:
        raise Malformed("parameters/type", f"{m.name}, {name}: {e}", m.at) from None


def failed(m: Message) -> bool:
    """Whether an end message says failure (error flag, or a result that is neither 200 nor 206)."""
    return bool(m.get("error")) or m.get("result", (200, ""))[0] not in (200, 206)


def code(m: Message) -> int:
    """The result code of an end message; absent means 200."""
    return m.get("result", (200, ""))[0]
