# SPDX-License-Identifier: BSD-3-Clause
"""OCP messages as octets: a strict incremental decoder and an encoder that can also write wrong things.

The grammar is the one of RFC 4037 section 3.1, which both dialects share. No message, parameter or value is given a
meaning here; catalogue.py does that.

>>> bytes(encode("DWM", 1, named={"Size-request": 16384}))
b'DWM 1\\r\\nSize-request: 16384\\r\\n;\\r\\n'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Generator, Iterable

CRLF = b"\r\n"
MAX_SIZE = 2147483647
BARE = re.compile(rb"[A-Za-z0-9_-]+\Z")
_SAFE = re.compile(rb"[A-Za-z0-9_-]*")
_DIGITS = re.compile(rb"[0-9]*")


class Malformed(ValueError):
    """The octets (or a parameter) break a rule. rule names it, at is the offset in the stream."""

    def __init__(self, rule: str, text: str, at: int = -1) -> None:
        super().__init__(f"{rule}: {text}" + (f" (octet {at} of the stream)" if at >= 0 else ""))
        self.rule, self.text, self.at = rule, text, at


@dataclass(frozen=True)
class Limits:
    """What a decoder takes (ocp-wire section 2). One past any of these is malformed."""

    name: int = 64
    atom: int = 65536
    nesting: int = 8
    items: int = 256
    anonymous: int = 256
    named: int = 32
    payload: int = 1 << 20


@dataclass(frozen=True)
class Atom:
    """An atom's octets; quoted says how it came, which has no meaning."""

    octets: bytes
    quoted: bool = False

    def __str__(self) -> str:
        return self.octets.decode("utf-8", "replace")


@dataclass
class Struct:
    """{anonymous... named...}"""

    anon: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The first anonymous member as text: what names a service, a feature or a result code."""
        return str(self.anon[0]) if self.anon and isinstance(self.anon[0], Atom) else ""


@dataclass
class List:
    """(item,item...)"""

    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Raw:
    """Octets that the encoder writes as they are, right or wrong."""

    octets: bytes


def quoted(octets: bytes | str) -> Raw:
    """A value in quoted form even where a bare one would do."""
    b = octets.encode() if isinstance(octets, str) else octets
    return Raw(b'"%d:%s"' % (len(b), b))


def value_octets(v: Any) -> bytes:
    """The wire form of a Python value: int, bool, str, bytes, Atom, Struct, List, list/tuple, Raw."""
    if isinstance(v, Raw):
        return v.octets
    if isinstance(v, bool):
        return b"true" if v else b"false"
    if isinstance(v, int):
        return b"%d" % v
    if isinstance(v, Atom):
        return v.octets if not v.quoted and BARE.match(v.octets) else quoted(v.octets).octets
    if isinstance(v, str):
        return v.encode() if BARE.match(v.encode()) else quoted(v).octets
    if isinstance(v, (bytes, bytearray)):
        return quoted(bytes(v)).octets
    if isinstance(v, (List, list, tuple)):
        return b"(" + b",".join(value_octets(i) for i in (v.items if isinstance(v, List) else v)) + b")"
    if isinstance(v, Struct):
        out = b" ".join(value_octets(i) for i in v.anon)
        return b"{" + out + (CRLF + named_octets(v.named) + CRLF if v.named else b"") + b"}"
    raise TypeError(f"no wire form for {type(v).__name__}")


def named_octets(named: dict[str, Any] | Iterable[tuple[str, Any]]) -> bytes:
    """Named parameters; a list of pairs may repeat a name."""
    pairs = named.items() if isinstance(named, dict) else named
    return CRLF.join(n.encode() + b": " + value_octets(v) for n, v in pairs)


@dataclass
class Out:
    """A message to be written. size overrides the octet count that is written before the payload."""

    name: str
    anon: list[Any] = field(default_factory=list)
    named: Any = field(default_factory=dict)
    payload: bytes | None = None
    size: Any = None

    def __bytes__(self) -> bytes:
        out = self.name.encode()
        if self.anon:
            out += b" " + b" ".join(value_octets(v) for v in self.anon)
        if self.named:
            out += CRLF + named_octets(self.named) + CRLF
        if self.payload is not None:
            size = b"%d" % len(self.payload) if self.size is None else str(self.size).encode()
            out += CRLF + size + b":" + self.payload + CRLF
        return out + b";" + CRLF


def encode(name: str, *anon: Any, named: Any = None, payload: bytes | None = None, size: Any = None) -> Out:
    """A message; bytes() of it are its octets."""
    return Out(name, list(anon), named or {}, payload, size)


def feature(uri: str, *more: Any, **named: Any) -> Struct:
    """A feature or service structure. Member names: underscores stand for hyphens (Aux_Parts)."""
    return Struct([Atom(uri.encode(), True), *more], {k.replace("_", "-"): v for k, v in named.items()})


service = feature


def result(code: int, reason: str = "") -> Struct:
    """A result structure."""
    return Struct([code, quoted(reason)] if reason else [code])


@dataclass
class Message:
    """A message as it came. args are the known parameters by name once catalogue.bind has been here; known says
    whether the dialect has a message of that name."""

    name: str
    anon: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    payload: bytes | None = None
    octets: bytes = b""
    at: int = 0
    known: bool = False
    args: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.args.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self.args

    def __str__(self) -> str:
        tail = 3 if self.payload is None else len(self.payload) + 5
        text = self.octets[:len(self.octets) - tail].decode("utf-8", "backslashreplace").replace("\r\n", " | ").removesuffix(" | ")
        if self.payload is not None:
            text += repr(self.payload if len(self.payload) <= 48 else self.payload[:48] + b"...")
        return text


class Decoder:
    """Octets in any cutting to messages. kept_pair: take "Kept: 0 65", the core dialect's exception."""

    def __init__(self, limits: Limits = Limits(), kept_pair: bool = True) -> None:
        self.limits, self.kept_pair = limits, kept_pair
        self.error: Malformed | None = None
        self._buf = bytearray()
        self._pos = self._start = self._base = 0
        self._out: list[Message] = []
        self._run = self._messages()
        next(self._run)

    def feed(self, octets: bytes) -> list[Message]:
        """The messages that these octets complete. What comes before malformed octets is still returned; error is then
        set and nothing more is read."""
        if self.error is None:
            self._buf += octets
            try:
                self._run.send(None)
            except Malformed as e:
                self.error = e
        out, self._out = self._out, []
        return out

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return len(self._buf) > self._start

    def _bad(self, rule: str, text: str) -> Malformed:
        return Malformed(f"grammar/{rule}", text, self._base + self._pos)

    def _peek(self) -> Generator[None, None, int]:
        while self._pos >= len(self._buf):
            yield
        return self._buf[self._pos]

    def _want(self, octets: bytes, rule: str) -> Generator[None, None, None]:
        for o in octets:
            c = yield from self._peek()
            if c != o:
                raise self._bad(rule, f"{bytes([c])!r} where {bytes([o])!r} belongs")
            self._pos += 1

    def _token(self, pattern: re.Pattern[bytes], most: int, rule: str) -> Generator[None, None, bytes]:
        """All octets of a class; refused as soon as there are more than most."""
        start = self._pos
        while True:
            m = pattern.match(self._buf, self._pos)
            self._pos = m.end()
            if self._pos - start > most:
                raise self._bad(rule, f"more than {most} octets")
            if self._pos < len(self._buf):
                return bytes(self._buf[start:self._pos])
            yield

    def _messages(self) -> Generator[None, None, None]:
        yield
        while True:
            yield from self._peek()
            m = yield from self._message()
            m.octets, m.at = bytes(self._buf[self._start:self._pos]), self._base + self._start
            self._out.append(m)
            self._base += self._pos
            del self._buf[:self._pos]
            self._pos = self._start = 0

    def _message(self) -> Generator[None, None, Message]:
        m = Message((yield from self._name("message name")))
        c = yield from self._peek()
        if c == 0x20:
            m.anon = yield from self._anonymous(0)
            c = yield from self._peek()
        if c == 0x0d:
            yield from self._want(CRLF, "after-anonymous")
            c = yield from self._peek()
            if chr(c).isalpha():
                m.named = yield from self._named(0)
                yield from self._want(CRLF, "after-named")
                c = yield from self._peek()
                if c == 0x0d:
                    yield from self._want(CRLF, "before-payload")
                    m.payload = yield from self._payload()
            else:
                m.payload = yield from self._payload()
        yield from self._want(b";\r\n", "end-of-message")
        return m

    def _name(self, what: str) -> Generator[None, None, str]:
        c = yield from self._peek()
        if not (c < 128 and chr(c).isalpha()):
            raise self._bad("name", f"{bytes([c])!r} cannot begin a {what}")
        return (yield from self._token(_SAFE, self.limits.name, "name-limit")).decode()

    def _anonymous(self, depth: int) -> Generator[None, None, list[Any]]:
        """*(SP value), standing at a space."""
        values: list[Any] = []
        while (yield from self._peek()) == 0x20:
            self._pos += 1
            self._room(values, self.limits.anonymous, "anonymous-limit")
            values.append((yield from self._value(depth)))
        return values

    def _room(self, values: Any, most: int, rule: str) -> None:
        if len(values) >= most:
            raise self._bad(rule, f"more than {most}")

    def _named(self, depth: int) -> Generator[None, None, dict[str, Any]]:
        """named-value *(CRLF named-value), standing at a name; ends before the CRLF that no name follows."""
        named: dict[str, Any] = {}
        while True:
            name = yield from self._name("parameter name")
            if name in named:
                raise self._bad("repeated", f"named parameter {name} twice")
            self._room(named, self.limits.named, "named-limit")
            yield from self._want(b": ", "after-parameter-name")
            named[name] = yield from self._value(depth)
            if name == "Kept" and depth == 0 and self.kept_pair and (yield from self._peek()) == 0x20:
                self._pos += 1
                named[name] = Struct([named[name], (yield from self._value(depth))], {"two-value-form": Atom(b"true")})
            while len(self._buf) < self._pos + 3 and self._buf[self._pos:] in (b"", b"\r", CRLF):
                yield
            if self._buf[self._pos:self._pos + 2] != CRLF or not chr(self._buf[self._pos + 2]).isalpha() \
                    or self._buf[self._pos + 2] > 127:
                return named
            self._pos += 2

    def _value(self, depth: int) -> Generator[None, None, Any]:
        c = yield from self._peek()
        if c in b"{(":
            if depth >= self.limits.nesting:
                raise self._bad("nesting-limit", f"more than {self.limits.nesting} brackets open")
            self._pos += 1
            return (yield from (self._struct(depth + 1) if c == 0x7b else self._list(depth + 1)))
        if c == 0x22:
            self._pos += 1
            octets = yield from self._data(self.limits.atom, "atom-limit")
            yield from self._want(b'"', "closing-quote")
            return Atom(octets, True)
        octets = yield from self._token(_SAFE, self.limits.atom, "atom-limit")
        if not octets:
            raise self._bad("value", f"{bytes([c])!r} cannot begin a value")
        return Atom(octets)

    def _struct(self, depth: int) -> Generator[None, None, Struct]:
        s = Struct()
        c = yield from self._peek()
        if c not in b"}\r":
            s.anon = [(yield from self._value(depth))]
            while (yield from self._peek()) == 0x20:
                self._pos += 1
                self._room(s.anon, self.limits.anonymous, "anonymous-limit")
                s.anon.append((yield from self._value(depth)))
            c = yield from self._peek()
        if c == 0x0d:
            yield from self._want(CRLF, "in-structure")
            s.named = yield from self._named(depth)
            yield from self._want(CRLF, "in-structure")
        yield from self._want(b"}", "end-of-structure")
        return s

    def _list(self, depth: int) -> Generator[None, None, List]:
        items: list[Any] = []
        if (yield from self._peek()) == 0x29:
            self._pos += 1
            return List(items)
        while True:
            self._room(items, self.limits.items, "items-limit")
            items.append((yield from self._value(depth)))
            c = yield from self._peek()
            self._pos += 1
            if c == 0x29:
                return List(items)
            if c != 0x2c:
                self._pos -= 1
                raise self._bad("list", f"{bytes([c])!r} after a list item")

    def _payload(self) -> Generator[None, None, bytes]:
        octets = yield from self._data(self.limits.payload, "payload-limit")
        yield from self._want(CRLF, "after-payload")
        return octets

    def _data(self, most: int, rule: str) -> Generator[None, None, bytes]:
        """size ":" octets"""
        digits = yield from self._token(_DIGITS, 10, "size")
        if not digits or (digits[0] == 0x30 and len(digits) > 1) or int(digits) > MAX_SIZE:
            raise self._bad("size", f"{digits!r} is no size")
        size = int(digits)
        if size > most:
            raise self._bad(rule, f"{size} octets, at most {most}")
        yield from self._want(b":", "size")
        while len(self._buf) < self._pos + size:
            yield
        octets = bytes(self._buf[self._pos:self._pos + size])
        self._pos += size
        return octets


def decode(octets: bytes, **kw: Any) -> list[Message]:
    """All messages of octets that hold nothing else; Malformed otherwise."""
    d = Decoder(**kw)
    out = d.feed(octets)
    if d.error:
        raise d.error
    if d.inside:
        raise Malformed("grammar/cut", "the last message has no end", len(octets))
    return out


def cuts(octets: bytes, sizes: Iterable[int]) -> Iterable[bytes]:
    """octets in pieces of these sizes (the last one repeats)."""
    at, size = 0, 1
    it = iter(sizes)
    while at < len(octets):
        size = max(1, next(it, size))
        yield octets[at:at + size]
        at += size
