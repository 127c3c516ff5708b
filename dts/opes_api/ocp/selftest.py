# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the package itself: python3 -m opes_api.ocp.selftest"""

from __future__ import annotations

import random
import tempfile
import unittest
from pathlib import Path
from typing import Any

from . import (CORE, DRAFT, LEAVE_LOOP, Block, CalloutServer, Decoder, Echo, Leave, Malformed, Message, Processor, Raw, Replace,
               Send, Service, Struct, SXaction, bind, decode, encode, feature, quoted, result)
from .catalogue import CATALOGUE
from .processor import REQUEST_META

EXAMPLE = b"""connection-start
client: "10:opes/edge1"
;
connection-service {"21:urn:opes:service:echo"};
xaction-start 7;
app-message-start 7 1 "36:Protocol: HTTP/1.1
Kind: response
";
data-have 7 1 0
copied: true

5:hello
;
data-have 7 1 5
5:again
;
""".replace(b"\n", b"\r\n")

# What RFC 4037 and 4236 print, in wire form.
VECTORS: list[tuple[bytes, dict[str, Any]]] = [
    (b'NO ();\r\n', {"features": []}),
    (b'NR\r\nOffer-Pending: true\r\n;\r\n', {"Offer-Pending": True}),
    (b'NR {"22:ocp://feature/example/"};\r\n', {"feature": "ocp://feature/example/"}),
    (b'NR {"54:http://www.iana.org/assignments/opes/ocp/http/response"\r\nAux-Parts: (request-header)\r\nPause-At-Body: 30\r\n'
     b'Preservation-Interest-Body: 0\r\nContent-Encodings: (gzip)\r\n}\r\nSG: 5\r\n;\r\n', {"SG": 5}),
    (b'CE {400 "33:lack of VolStore protocol support"};\r\n', {"result": (400, "lack of VolStore protocol support")}),
    (b'SGC 11 ({"31:ocp-test.example.com/url-filter"});\r\n', {"sg-id": 11}),
    (b'TS 55 11;\r\n', {"xid": 55, "sg-id": 11}),
    (b'AMS 89\r\nAM-EL: 86\r\n;\r\n', {"xid": 89, "AM-EL": 86}),
    (b'DUM 1 13\r\nModp: 75\r\n\r\n5:hello\r\n;\r\n', {"xid": 1, "offset": 13, "Modp": 75}),
    (b'DUM 88 65\r\nKept: 65 64\r\nAM-Part: response-header\r\n\r\n0:\r\n;\r\n', {"Kept": (65, 64)}),
    (b'DUM 88 65\r\nKept: {65 64}\r\n\r\n0:\r\n;\r\n', {"Kept": (65, 64)}),
    (b'DWM 1 3\r\nSize-Request: 16384\r\n;\r\n', {"xid": 1, "Size-request": 16384}),
    (b'PA 1\r\nOrg-data: 12\r\n;\r\n', {"xid": 1, "Org-Data": 12}),
    (b'TE "2:55" {200 "6:got it"};\r\n', {"xid": 55, "result": (200, "got it")}),
]

MALFORMED = [
    b"CS ;", b"CS\r\n;", b"CS\n", b" CS", b"1S;", b"TS 1  2;", b"TS 1 2 ;", b"AMS 1\r\nAM-EL:5\r\n;", b"AMS 1\r\nAM-EL: 5;",
    b"AMS 1\r\nA: 5\r\nA: 6\r\n;", b"DUM 1 0\r\n05:hello\r\n;", b"DUM 1 0\r\n+5:hello\r\n;", b"DUM 1 0\r\n4:hello\r\n;",
    b"DUM 1 0\r\n6:hello\r\n;", b"DUM 1 0\r\n\r\n5:hello\r\n;", b"DUM 1 0\r\nModp: 5\r\n5:hello\r\n;",
    b"DUM 1 0\r\n2147483648:", b"DUM 1 0\r\n1048577:", b'NR {"3:ab"};', b'NR {"2:abc"};', b"NR { 200};", b"NR {200 };", b"NR {200",
    b"NO (,);", b"NO (a,);", b"NO (a b);", b"NO ((((((((()", b"x" * 65, b"CS;CS;", b"CS;\n", b"AA tr.ue;", b"AA \x80;", b"AA ;",
]


class Wire(unittest.TestCase):
    """Grammar."""

    def test_vectors(self) -> None:
        for octets, args in VECTORS:
            m = bind(decode(octets)[0], CORE)
            for k, v in args.items():
                got = m[k].uri if isinstance(m[k], Struct) else m[k]
                self.assertEqual(got, v, octets)
            self.assertEqual(m.octets, octets)

    def test_example_in_any_cutting(self) -> None:
        whole = [str(m) for m in decode(EXAMPLE)]
        self.assertEqual(len(whole), 6)
        rng = random.Random(1)
        for most in (1, 2, 3, 7, 50):
            for _ in range(20):
                d, got, at = Decoder(), [], 0
                while at < len(EXAMPLE):
                    n = rng.randint(1, most)
                    got += d.feed(EXAMPLE[at:at + n])
                    at += n
                self.assertIsNone(d.error)
                self.assertEqual([str(m) for m in got], whole)

    def test_malformed(self) -> None:
        for octets in MALFORMED:
            for step in (1, len(octets)):
                d = Decoder()
                for at in range(0, len(octets), step):
                    d.feed(octets[at:at + step])
                if octets != b"NR {200":
                    self.assertIsNotNone(d.error, (octets, step))
        self.assertRaises(Malformed, decode, b"NR {200")

    def test_what_is_encoded_is_decoded(self) -> None:
        for m in (encode("NO", [feature("ocp://a", "x", Aux_Parts=["request-header"]), feature("b")], named={"SG": 4}),
                  encode("data-have", 1, 1, 0, named={"copied": True, "modp": 3}, payload=b"\r\n;\r\n"),
                  encode("xaction-end", 1, named={"result": result(206, "because: \x00")}),
                  encode("x", quoted("7"), b"", [], Struct(), Struct([], {"A": [1, [2]]}))):
            got = decode(bytes(m))[0]
            self.assertEqual(bytes(encode(got.name, *got.anon, named=got.named, payload=got.payload)), bytes(m))

    def test_parameters(self) -> None:
        bad = {DRAFT: [("xaction-start",), ("xaction-start", 2147483648), ("xaction-start", Raw(b"01")), ("xaction-start", -1),
                       ("app-message-start", 1, 1), ("data-have", 1, 1, 0), ("connection-service", "x"),
                       ("connection-service", Struct()), ("do-you-support", [])],
               CORE: [("TS", 1), ("DUM", 1, 0), ("SGC", 1, "x"), ("NO", Struct(["a"])), ("AA", 1), ("AA", "True"), ("AQ",)]}
        for dialect, calls in bad.items():
            for c in calls:
                self.assertRaises(Malformed, bind, decode(bytes(encode(*c)))[0], dialect)
        self.assertRaises(Malformed, bind, decode(b"data-have 1 1 0\r\nsize: 4\r\n\r\n5:hello\r\n;\r\n")[0], DRAFT)
        self.assertEqual({d: len(c) for d, c in CATALOGUE.items()}, {DRAFT: 23, CORE: 24})
        self.assertFalse(bind(decode(b"CS;\r\n")[0], DRAFT).known)


PAGE = [("response-header", b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"), ("response-body", b"the original" * 4000)]
WHOLE = b"".join(o for _, o in PAGE)


class Agents(unittest.TestCase):
    """Processor against CalloutServer, each checking the other."""

    def setUp(self) -> None:
        self.dir = tempfile.TemporaryDirectory()
        self.address = f"unix:{Path(self.dir.name) / 's'}"

    def tearDown(self) -> None:
        self.dir.cleanup()

    def pair(self, service: Service, dialect: str, **kw: Any) -> tuple[CalloutServer, Processor, int | None]:
        s = CalloutServer(self.address, service).start()
        self.addCleanup(s.stop)
        p = Processor(self.address, dialect, service="urn:x", features=[LEAVE_LOOP], **kw)
        self.addCleanup(p.close)
        sg = p.http("urn:x") if dialect == CORE else None
        p.ping()
        return s, p, sg

    def both(self, service: type[Service], cut: list[int] | None = None, keep: bool = True) -> list[Any]:
        out = []
        for dialect in (DRAFT, CORE):
            s, p, sg = self.pair(service(), dialect)
            p.ping()
            p.cut = cut
            x = p.adapt(PAGE, sg=sg, keep=keep)
            self.assertTrue(x.ok, p.transcript.tail())
            p.cut = None
            p.end()
            s.wait("the end", lambda s=s: s.connections[0].closed)
            s.check()
            out.append(x)
        return out

    def test_echo(self) -> None:
        for x in self.both(Echo):
            self.assertEqual(x.forwarded(), WHOLE)
            self.assertEqual(x.first.referenced, len(WHOLE))
            self.assertEqual(x.first.part("response-header"), PAGE[0][1])

    def test_without_copies(self) -> None:
        for x in self.both(Echo, keep=False):
            self.assertEqual((x.forwarded(), x.first.referenced), (WHOLE, 0))

    def test_cut(self) -> None:
        for x in self.both(Send, cut=[1, 2, 3, 5, 8, 13, 21, 34, 1, 700]):
            self.assertEqual(x.forwarded(), WHOLE)

    def test_replace(self) -> None:
        for x in self.both(Replace):
            self.assertEqual(x.forwarded().upper(), WHOLE.upper())
            self.assertIn(b"ORIGINAL", x.forwarded())

    def test_block(self) -> None:
        for x in self.both(Block):
            self.assertEqual(x.forwarded(), Block.HEAD + b"blocked\n")

    def test_leave(self) -> None:
        for x in self.both(Leave):
            self.assertEqual(x.forwarded(), WHOLE)
        for dialect in (DRAFT, CORE):
            s, p, sg = self.pair(Leave(), dialect)
            p.ping()
            x = p.xaction(sg=sg).start()
            x.data(PAGE[0][1], PAGE[0][0])
            p.wait("the server has left", lambda x=x: x.left_at is not None)
            x.data(PAGE[1][1], PAGE[1][0]).finish().wait_end()
            self.assertEqual(x.forwarded(), WHOLE)
            self.assertLess(x.sent, len(WHOLE))
            s.stop()

    def test_pause(self) -> None:
        class Pausing(Send):
            """Pauses once, after the first octets."""

            def data(self, x: SXaction, offset: int, octets: bytes, part: str | None) -> None:
                if offset == 0:
                    x.pause()
                super().data(x, offset, octets, part)
        for x in self.both(Pausing):
            self.assertEqual(x.forwarded(), WHOLE)

    def test_closing_in_the_middle(self) -> None:
        for dialect in (DRAFT, CORE):
            s, p, sg = self.pair(Echo(), dialect)
            p.xaction(sg=sg).start(REQUEST_META)
            p.ping()
            s.do(lambda s=s: s.connections[0].close())
            p.wait_closed()
            self.assertEqual([x.ended.name for x in s.xactions if isinstance(x.ended, Message)], ["(closed)"])


if __name__ == "__main__":
    unittest.main()
