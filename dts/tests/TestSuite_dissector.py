# SPDX-License-Identifier: BSD-3-Clause
"""The Wireshark dissector (packaging/wireshark/opes_ocp.lua): real exchanges, captured on the loopback of a namespace of
the suite's own, and what tshark makes of them beside what the two ends said and heard."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opes_api.callout import Callout
from opes_api.lab import Process, wait_for
from opes_api.ocp import COPIED, LEAVE_LOOP, Message, Processor
from opes_api.ocp.processor import RESPONSE_META, STREAM_META
from opes_api.suite import TestSuite, func_test, skip, verify

LUA = Path(__file__).resolve().parents[2] / "packaging" / "wireshark" / "opes_ocp.lua"
CLONE_NEWNET = 0x40000000
PORT = 4037
BETWEEN = "\x1f"  # values of one field in one frame
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
PAGE = [("response-header", HEAD), ("response-body", b"the original")]

# Parameters as the Python peer names them, and their fields.
FIELDS = {"xid": "xid", "am-id": "am_id", "rid": "rid", "offset": "offset", "size": "size", "copy-am-id": "copy_am_id",
          "copy-am-offset": "copy_am_offset", "sizep": "sizep", "modp": "modp", "Modp": "modp", "am-part": "am_part",
          "AM-Part": "am_part", "sg-id": "sg", "SG": "sg", "AM-EL": "am_el", "Org-Data": "org_data", "priority": "priority"}


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets and processes made here belong to the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, there = (os.open(p, os.O_RDONLY) for p in ("/proc/thread-self/ns/net", f"/run/netns/{namespace}"))
    try:
        verify(libc.setns(there, CLONE_NEWNET) == 0, f"setns: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        libc.setns(own, CLONE_NEWNET)
        os.close(own)
        os.close(there)


class Capture:
    """Everything on the namespace's loopback while it is open; then what tshark says about it."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self.file = folder / "capture.pcapng"
        self.dumpcap = Process("dumpcap", ["ip", "netns", "exec", namespace, "dumpcap", "-q", "-i", "lo", "-w", str(self.file)],
                               folder / "dumpcap.log")
        self.dumpcap.wait_line("File:")

    def close(self, connections: int = 1) -> "Capture":
        """End it once both ends' closing has been seen."""
        wait_for("the ends of the connections in the capture",
                 lambda: len(self.rows("tcp.flags.fin==1", "frame.number")) >= 2 * connections, 30, 0.2)
        self.dumpcap.stop()
        return self

    def rows(self, what: str, *fields: str, dissector: bool = False, options: Iterable[str] = ()) -> list[list[list[str]]]:
        """For each frame that the display filter takes, for each field its values."""
        argv = ["tshark", "-n", "-r", str(self.file), *(("-X", f"lua_script:{LUA}") if dissector else ()), *options,
                "-Y", what, "-T", "fields", "-E", "occurrence=a", "-E", f"aggregator={BETWEEN}"]
        for f in fields:
            argv += ["-e", f]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        verify(done.returncode == 0 or not dissector and not done.stdout.strip(), f"{argv}: {done.stderr[-2000:]}")
        verify("Lua" not in done.stderr + done.stdout, f"{argv}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
        return [[v.split(BETWEEN) if v else [] for v in line.split("\t")] for line in done.stdout.splitlines()]

    def all_values(self, fields: Iterable[str], what: str, **kw: Any) -> dict[str, list[str]]:
        """All values of fields, each in the order of the stream."""
        names = list(fields)
        rows = self.rows(f"ocp and ({what})", *names, dissector=True, **kw)
        return {n: [v for row in rows for v in row[i]] for i, n in enumerate(names)}

    def values(self, field: str, what: str, **kw: Any) -> list[str]:
        """All values of a field in the order of the stream."""
        return self.all_values([field], what, **kw)[field]


class TestDissector(TestSuite):
    """See the module's text."""

    def set_up_suite(self) -> None:
        """A namespace with a loopback."""
        if not shutil.which("tshark"):
            skip("tshark is not installed")
        self.ns = f"opes-diss-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        subprocess.run(["ip", "-n", self.ns, "link", "set", "lo", "up"], check=True)
        self.dir = Path(tempfile.mkdtemp(prefix="opes-dissector-"))

    def tear_down_suite(self) -> None:
        """It goes."""
        subprocess.run(["ip", "netns", "del", self.ns], check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- what both ends know --------------------------------------------------------------------

    def _exchange(self, dialect: str, port: int = PORT, cut: Iterable[int] | None = None) -> tuple[Capture, list[Message], Processor]:
        """A connection with transactions through several services of opes-callout. The capture, what the callout server
        was sent, and the processor."""
        with inside(self.ns):
            callout = Callout("echo", "as-is", "as-is:urn:x:leave,leave=yes", listen=f"tcp:127.0.0.1:{port}")
            capture = Capture(self.ns, self.dir)
            try:
                p = Processor(callout.address, dialect, "urn:opes:service:echo", features=[COPIED, LEAVE_LOOP], start=False)
                sent: list[Message] = []
                feed, self.sent_decoder = p._echo.feed, p._echo
                p._echo.feed = lambda octets: [m for m in feed(octets) if sent.append(m) or True]  # type: ignore[method-assign]
                p.cut = cut
                p.open("urn:opes:service:echo")
                if dialect == "draft":
                    p.adapt(b"hello " * 500, meta=STREAM_META, chunk=1000)
                    p.adapt(PAGE, "urn:opes:service:as-is", meta=RESPONSE_META)
                else:
                    p.adapt(b"hello " * 500, chunk=1000)
                    p.adapt(PAGE, sg=p.http("urn:opes:service:as-is"))
                p.ping()
                p.end()
            finally:
                capture.close()
                callout.stop()
        return capture, sent, p

    def _compare(self, capture: Capture, said: list[Message], way: str, dialect: str) -> None:
        """One direction of the stream, as tshark tells it, is what was said there."""
        fields = sorted(set(FIELDS.values()))
        got = capture.all_values(["ocp.message", "ocp.dialect", "ocp.payload", "ocp.payload_size", "ocp.malformed",
                                  *(f"ocp.{f}" for f in fields)], way)
        verify(said, "something was said")
        verify(got["ocp.message"] == [m.name for m in said],
               f"{way}: messages {got['ocp.message']}, said {[m.name for m in said]}")
        verify(set(got["ocp.dialect"]) == {dialect}, "the dialect")
        for field in fields:
            want = []
            for m in said:
                for name, f in FIELDS.items():
                    mine = "copy_am_offset" if m.name == "DUY" and name == "offset" else f
                    if mine == field and name in m.args and not (m.name == "data-have" and name == "size"):
                        want.append(str(m.args[name]))
            verify(got[f"ocp.{field}"] == want, f"{way}: {field} {got[f'ocp.{field}'][:20]}, said {want[:20]}")
        verify(bytes.fromhex("".join(got["ocp.payload"])) == b"".join(m.payload or b"" for m in said), f"{way}: the payloads")
        sizes = [str(len(m.payload)) for m in said if m.payload is not None]
        verify(got["ocp.payload_size"] == sizes, f"{way}: payload sizes {got['ocp.payload_size']}, said {sizes}")
        verify(not got["ocp.malformed"], "nothing is malformed")

    def _both_ways(self, dialect: str, port: int = PORT, cut: Iterable[int] | None = None) -> Capture:
        capture, sent, p = self._exchange(dialect, port, cut)
        self._compare(capture, sent, f"tcp.dstport == {port}", dialect)
        self._compare(capture, p.received, f"tcp.srcport == {port}", dialect)
        return capture

    # --- cases ------------------------------------------------------------------------------------

    @func_test
    def draft_exchange(self) -> None:
        """
        Steps: transactions through echo and as-is of opes-callout in the draft dialect, port 4037.
        Verify: tshark names every message of both directions with its parameters and payload; display filters find them.
        """
        capture = self._both_ways("draft")
        as_is = capture.rows('ocp.message == "data-as-is" && ocp.xid == 2', "ocp.copy_am_id", dissector=True)
        verify(as_is and set(as_is[0][0]) == {"1"}, f"data-as-is of transaction 2: {as_is}")
        kinds = capture.values("ocp.meta_data", f"tcp.dstport == {PORT}")
        verify("Kind: stream" in kinds[0] and "Kind: response" in kinds[1], f"meta-data {kinds}")
        verify(capture.values("ocp.copied", f"tcp.dstport == {PORT}"), "copied is a field")

    @func_test
    def core_exchange(self) -> None:
        """
        Steps: the same in the core dialect, with the HTTP profile.
        Verify: as for the draft; the negotiated profile and what is kept are fields.
        """
        capture = self._both_ways("core")
        offered = capture.values("ocp.feature", 'ocp.message == "NO"')
        verify("http://www.iana.org/assignments/opes/ocp/http/response" in offered, f"features offered: {offered}")
        verify(capture.rows('ocp.message == "DUY" && ocp.xid == 2', "ocp.size", dissector=True), "DUY of transaction 2")
        kept = capture.values("ocp.kept.size", f"tcp.dstport == {PORT}")
        verify(str(len(HEAD) + 12) in kept, f"kept {kept}")

    @func_test
    def cut_over_segments(self) -> None:
        """
        Steps: both exchanges, what the processor sends cut into segments of 1 to 23 octets; the draft one octet by octet.
        Verify: tshark puts the messages together; all as before.
        """
        for dialect, sizes in (("draft", (7, 1, 23, 3, 11)), ("core", (5, 1, 19, 2, 13)), ("draft", (1,))):
            capture = self._both_ways(dialect, cut=(sizes[i % len(sizes)] for i in range(1 << 20)))
            lengths = [int(v) for row in capture.rows(f"tcp.dstport == {PORT} && tcp.len > 0", "tcp.len") for v in row[0]]
            verify(len(lengths) > 40 and min(lengths) == 1, f"segments of {sorted(set(lengths))} octets")

    @func_test
    def any_port(self) -> None:
        """
        Steps: exchanges on another port.
        Verify: they are recognised by their first message. Preference ocp.ports and "Decode As" find a connection whose
                beginning is missing.
        """
        self._both_ways("draft", 15037)
        capture = self._both_ways("core", 15037)
        verify(capture.rows("ocp && frame.number > 10", "ocp.message", dissector=True), "recognised")
        shutil.copy(capture.file, self.dir / "all.pcapng")
        subprocess.run(["tshark", "-r", str(self.dir / "all.pcapng"), "-Y", 'tcp.len > 0 && !(tcp contains "CS;")', "-w",
                        str(capture.file)], check=True, capture_output=True, timeout=60)
        verify(not capture.rows("ocp", "ocp.message", dissector=True), "nothing is known without its beginning")
        for options in (("-o", "ocp.ports:15037"), ("-d", "tcp.port==15037,ocp")):
            verify("DUM" in capture.values("ocp.message", "ocp", options=options), f"not found with {options}")

    def _streams(self, *streams: bytes) -> Capture:
        """For each one a connection to port 4037 that brings its octets and gets none. tcp.stream counts them from 0."""
        with inside(self.ns):
            listener = socket.create_server(("127.0.0.1", PORT))
            capture = Capture(self.ns, self.dir)
            try:
                for octets in streams:
                    with socket.create_connection(("127.0.0.1", PORT)) as c:
                        c.sendall(octets)
                        c.shutdown(socket.SHUT_WR)
                        s, _ = listener.accept()
                        while s.recv(1 << 16):
                            pass
                        s.close()
            finally:
                listener.close()
                capture.close(len(streams))
        return capture

    @func_test
    def every_message(self) -> None:
        """
        Steps: every message of both dialects with all its parameters.
        Verify: each parameter is the field that is said, with the value that was sent.
        """
        capture = self._streams(b"".join(octets for octets, _ in EVERY))
        want: dict[str, list[str]] = {}
        for _, values in EVERY:
            for field, value in values.items():
                want.setdefault(field, []).extend([value] if isinstance(value, str) else value)
        got = capture.all_values(["ocp.message", "ocp.malformed", *(f"ocp.{f}" for f in want)], "tcp.stream == 0")
        names = [octets.split(b" ")[0].split(b"\r")[0].split(b";")[0].decode() for octets, _ in EVERY]
        verify(got["ocp.message"] == names, f"messages {got['ocp.message']}")
        verify(not got["ocp.malformed"], "none is malformed")
        for field, values in want.items():
            verify(got[f"ocp.{field}"] == values, f"{field}: {got[f'ocp.{field}']}, not {values}")

    @func_test
    def malformed(self) -> None:
        """
        Steps: streams with a message that breaks the grammar, and ones whose parameters are missing, of a wrong type or out
               of range; an unknown message, an unknown parameter, failures.
        Verify: expert info of the kind that is said for each; what came before is shown, and after wrong parameters the next
                message, too.
        """
        good = b"x-doit 1;\r\nDWM 1 3\r\nX: {a}\r\n;\r\nTE 1 {400 bad};\r\ndata-end 1 1\r\nerror: true\r\n;\r\n"
        wrong = [(b"xaction-start 7;\r\n" + o + b"xaction-end 7;\r\n", o, text, ["xaction-start"]) for o, text in GRAMMAR] + [
            (o + b"CS;\r\n", o, text, [o.split(b" ")[0].decode(), "CS"]) for o, text in PARAMETERS]
        capture = self._streams(good, *(w[0] for w in wrong))
        rows = capture.rows("ocp", "tcp.stream", "ocp.message", "_ws.expert.message", "ocp.malformed", dissector=True)
        for i, (_, octets, text, names) in enumerate(wrong, 1):
            mine = [r for r in rows if r[0] == [str(i)]]
            verify([v for r in mine for v in r[1]] == names, f"{octets!r}: messages {[r[1] for r in mine]}")
            verify(any(r[3] for r in mine) and any(text in v for r in mine for v in r[2]), f"{octets!r}: {[r[2:] for r in mine]}")
        first = capture.all_values(["_ws.expert.message", "ocp.parameter", "ocp.malformed"], "tcp.stream == 0")
        verify({"unknown message x-doit", "result 400", "error flag"} <= set(first["_ws.expert.message"]), f"notes: {first}")
        verify(first["ocp.parameter"] == ["1", "3", "X: {a}"], f"unknown parameters: {first}")
        verify(not first["ocp.malformed"], "none of that is malformed")


FEATURE = b'{"22:urn:opes:feature:as-is" (x)\r\nA: b\r\n}'
URI = "urn:opes:feature:as-is"
MORE = " (x)\\r\\nA: b\\r\\n"

# Octets of a message, and its fields.
EVERY: list[tuple[bytes, dict[str, str | list[str]]]] = [
    (b'connection-start\r\nclient: "4:edge"\r\npriority: -7\r\n;\r\n', {"client": "edge", "priority": "-7", "dialect": "draft"}),
    (b"connection-priority 2147483647;\r\n", {"priority": "2147483647", "dialect": "draft"}),
    (b'connection-service {"3:a:b"};\r\n', {"service": "a:b", "dialect": "draft"}),
    (b'xaction-start 7\r\nservice: {"3:c:d"}\r\n;\r\n', {"xid": "7", "service": "c:d", "dialect": "draft"}),
    (b'app-message-start 7 1 "6:K: v\r\n"\r\nmodp: 50\r\nsizep: 9223372036854775807\r\nmodified: 1\r\n;\r\n',
     {"xid": "7", "am_id": "1", "meta_data": "K: v\\r\\n", "modp": "50", "sizep": "9223372036854775807", "modified": "1",
      "dialect": "draft"}),
    (b"data-have 7 1 9223372036854775807\r\ncopied: true\r\nack: true\r\nam-part: request-body\r\n\r\n3:a\r\n\r\n;\r\n",
     {"xid": "7", "am_id": "1", "offset": "9223372036854775807", "copied": "1", "ack": "1", "am_part": "request-body",
      "payload_size": "3", "payload": "610d0a", "dialect": "draft"}),
    (b"data-as-is 7 2 1 5 1 4294967296;\r\n", {"xid": "7", "am_id": "2", "offset": "1", "size": "5", "copy_am_id": "1",
                                               "copy_am_offset": "4294967296", "dialect": "draft"}),
    (b"data-pause 7 1;\r\n", {"xid": "7", "am_id": "1", "dialect": "draft"}),
    (b"data-paused 7 1;\r\n", {"xid": "7", "am_id": "1", "dialect": "draft"}),
    (b"data-end 7 1\r\nresult: {206}\r\n;\r\n", {"xid": "7", "am_id": "1", "result": "206", "dialect": "draft"}),
    (b"data-need 7 1 3\r\nsize-request: 9\r\n;\r\n", {"xid": "7", "am_id": "1", "offset": "3", "size_request": "9",
                                                      "dialect": "draft"}),
    (b"data-ack 7 1 0 3\r\nwont-forward: true\r\n;\r\n", {"xid": "7", "am_id": "1", "offset": "0", "size": "3",
                                                         "wont_forward": "1", "dialect": "draft"}),
    (b"i-am-here\r\nrid: 4\r\nxid: 7\r\nam-id: 1\r\n;\r\n", {"rid": "4", "xid": "7", "am_id": "1", "dialect": "draft"}),
    (b"are-you-there 5\r\nxid: 7\r\n;\r\n", {"rid": "5", "xid": "7", "dialect": "draft"}),
    *((n + b" " + FEATURE + b";\r\n", {"feature": URI, "members": MORE, "dialect": "draft"}) for n in (
        b"do-you-support", b"i-do-support", b"i-dont-support", b"please-use", b"i-will-use", b"i-wont-use")),
    (b'app-message-end 7 1\r\nresult: {400 "2:no"}\r\nerror: true\r\n;\r\n',
     {"xid": "7", "am_id": "1", "result": "400", "reason": "no", "error": "1", "dialect": "draft"}),
    (b"xaction-end 7;\r\n", {"xid": "7", "dialect": "draft"}),
    (b"connection-end;\r\n", {"dialect": "draft"}),
    (b"CS;\r\n", {"dialect": "core"}),
    (b'SGC 10 ({"3:a:b"},{"3:c:d"});\r\n', {"sg": "10", "service": ["a:b", "c:d"], "dialect": "core"}),
    (b"NO (" + FEATURE + b',{"3:e:f"})\r\nSG: 10\r\nOffer-Pending: true\r\n;\r\n',
     {"feature": [URI, "e:f"], "members": MORE, "sg": "10", "offer_pending": "1", "dialect": "core"}),
    (b'NR {"3:e:f"}\r\nSG: 10\r\nRejects: ({"3:g:h"})\r\nUnknowns: ({"3:i:j"},{"3:k:l"})\r\nOffer-Pending: false\r\n;\r\n',
     {"feature": "e:f", "sg": "10", "rejects": "g:h", "unknowns": ["i:j", "k:l"], "offer_pending": "0", "dialect": "core"}),
    (b"AQ " + FEATURE + b";\r\n", {"feature": URI, "members": MORE, "dialect": "core"}),
    (b"AA false;\r\n", {"answer": "0", "dialect": "core"}),
    (b"TS 8 10;\r\n", {"xid": "8", "sg": "10", "dialect": "core"}),
    (b'AMS 8\r\nAM-EL: 95\r\nServices: ({"3:a:b"})\r\n;\r\n', {"xid": "8", "am_el": "95", "service": "a:b", "dialect": "core"}),
    (b"DUM 8 2147483647\r\nAs-is: 4\r\nKept: 65 64\r\nModp: 75\r\nAM-Part: response-header\r\n\r\n2:ab\r\n;\r\n",
     {"xid": "8", "offset": "2147483647", "as_is": "4", "kept.offset": "65", "kept.size": "64", "modp": "75",
      "am_part": "response-header", "payload_size": "2", "payload": "6162", "dialect": "core"}),
    (b"DUM 8 0\r\nKept: {0 65}\r\n\r\n0:\r\n;\r\n", {"xid": "8", "offset": "0", "kept.offset": "0", "kept.size": "65",
                                                    "payload_size": "0", "dialect": "core"}),
    (b"DUY 8 65 64;\r\n", {"xid": "8", "copy_am_offset": "65", "size": "64", "dialect": "core"}),
    (b"DPI 8 129 2147483647;\r\n", {"xid": "8", "offset": "129", "size": "2147483647", "dialect": "core"}),
    (b"DWSR 8 3;\r\n", {"xid": "8", "size": "3", "dialect": "core"}),
    *((n + b" 8;\r\n", {"xid": "8", "dialect": "core"}) for n in (b"DWSS", b"DSS", b"DPM", b"PQ")),
    (b"DWP 8 16;\r\n", {"xid": "8", "offset": "16", "dialect": "core"}),
    (b"DWM 8\r\nSize-Request: 12\r\n;\r\n", {"xid": "8", "size_request": "12", "dialect": "core"}),
    (b"PA 8\r\nOrg-Data: 33\r\n;\r\n", {"xid": "8", "org_data": "33", "dialect": "core"}),
    (b"PR 8\r\nOrg-data: 34\r\n;\r\n", {"xid": "8", "org_data": "34", "dialect": "core"}),
    (b"AME 8 {206};\r\n", {"xid": "8", "result": "206", "dialect": "core"}),
    (b"TE 8 {200 OK};\r\n", {"xid": "8", "result": "200", "reason": "OK", "dialect": "core"}),
    (b"SGD 10;\r\n", {"sg": "10", "dialect": "core"}),
    (b"CE;\r\n", {"dialect": "core"}),
]

GRAMMAR = [
    (b"7;\r\n", "must begin with a letter"),
    (b"i-am-here ;\r\n", "a value must begin here"),
    (b"i-am-here; \r\n", "semicolon and CRLF"),
    (b'x "3:ab";\r\n', "does not end where its size says"),
    (b'x "01:a";\r\n', "without leading zeros"),
    (b"data-have 7 1 0\r\n2:x\r\n\r\n;\r\n", "payload does not end"),
    (b"data-have 7 1 0\r\n2147483648:x\r\n;\r\n", "without leading zeros"),
    (b"x (a b);\r\n", "a comma"),
    (b"x {a\r\n};\r\n", "a named member must begin"),
    (b"x\r\nA: 1\r\nA: 2\r\n;\r\n", "is repeated"),
    (b"x\r\nA:1\r\n;\r\n", "a colon and a space"),
]

PARAMETERS = [
    (b"data-pause 7;\r\n", "am_id is missing"),
    (b"data-pause 7 x;\r\n", "am_id has the wrong type"),
    (b"data-pause 7 2147483648;\r\n", "out of range"),
    (b"data-have 7 1 0;\r\n", "the payload is missing"),
    (b"data-have 7 1 0\r\nsize: 2\r\n\r\n1:x\r\n;\r\n", "size differs"),
    (b"data-have 7 1 9223372036854775808\r\n0:\r\n;\r\n", "offset has the wrong type"),
    (b"TS 1;\r\n", "sg is missing"),
    (b"DUM 1 2147483648\r\n0:\r\n;\r\n", "out of range"),
    (b"DUM 1 0\r\nKept: 0\r\n\r\n0:\r\n;\r\n", "Kept has the wrong type"),
    (b"DUM 1 0\r\nModp: 101\r\n\r\n0:\r\n;\r\n", "Modp has the wrong type"),
    (b"NO x;\r\n", "feature has the wrong type"),
    (b"CE 400;\r\n", "result has the wrong type"),
]
