# SPDX-License-Identifier: BSD-3-Clause
"""A hostile processor against opes-callout, in both dialects: malformed at every offset, wrong on purpose, floods, silence.

Throughout, the process lives, its memory is bounded, and a second connection with open transactions is served as if nothing were;
what is malformed is named in the log.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

from opes_api.callout import CalloutSuite
from opes_api.lab import wait_for
from opes_api.ocp import CORE, DRAFT, LEAVE_LOOP, Decoder, Malformed, Processor, Struct, bind, encode, failed, feature, quoted
from opes_api.ocp.processor import RESPONSE_META, STREAM_META
from opes_api.suite import func_test, verify

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
DIALECTS = (DRAFT, CORE)
MIB = 1 << 20


class TestOcpHostileCallout(CalloutSuite):
    """See the module's text."""

    def set_up_test_case(self) -> None:
        """A well-behaved connection per dialect with a transaction in the middle, and the memory before."""
        self.good = []
        for d in DIALECTS:
            p = Processor(self.callout.address, d, self.REPLACE)
            self._open.append(p)
            self.good.append(p.xaction().start(STREAM_META).data(b"the orig", keep=False))
            p.ping()
        self.before = self.callout.rss()

    def tear_down_test_case(self) -> None:
        """Its transaction ends well, nothing has grown out of bounds."""
        self._bounded()
        for x in self.good:
            x.p.ping()
            x.data(b"inal", keep=False).finish().wait_end()
            verify(x.ok and x.forwarded() == b"the ORIGINAL", f"the well-behaved transaction: {x.forwarded()!r}")
        super().tear_down_test_case()

    # --- octets -------------------------------------------------------------------------------

    @func_test
    def flipped_octet_at_every_offset(self) -> None:
        """
        Steps: a valid conversation, again and again, each time with another octet changed (three different changes each).
        Verify: the server closes once the octets have ended, sends nothing malformed itself, and calls malformed exactly what the
                processor's own decoder calls so.
        """
        rng = random.Random(11)
        for d in DIALECTS:
            talk = self._conversation(d)
            for at in range(len(talk)):
                for flip in (0x01, 0x80, rng.randint(1, 255)):
                    self._throw(d, talk[:at] + bytes([talk[at] ^ flip]) + talk[at + 1:])
            self._serves()

    @func_test
    def octet_lost_or_doubled_at_every_offset(self) -> None:
        """
        Steps: the same with an octet missing, and with one twice.
        Verify: as above.
        """
        for d in DIALECTS:
            talk = self._conversation(d)
            for at in range(len(talk)):
                self._throw(d, talk[:at] + talk[at + 1:])
                self._throw(d, talk[:at] + talk[at:at + 1] + talk[at:])
            self._serves()

    @func_test
    def mutated_by_tokens(self) -> None:
        """
        Steps: three thousand conversations of each dialect in which some pieces of the grammar (brackets, quotes, separators, sizes,
               names, whole parameters) were put in, taken away, doubled or exchanged.
        Verify: as above; both verdicts occur often.
        """
        rng = random.Random(21)
        pieces = [b"(", b")", b"{", b"}", b'"', b",", b" ", b"\r\n", b":", b": ", b";", b"0", b"1", b"00", b"5:hello", b'"1:a"', b"()", b"{1}",
                  b"true", b"x: 1\r\n", b"2147483647", b"2147483648", b"9223372036854775807", b"-1", b"a_-Z9", b"\r", b"\n", b"{200}", b"(a,b)"]
        for d in DIALECTS:
            talk = self._conversation(d)
            bad = 0
            for n in range(3000):
                octets = talk
                for _ in range(rng.randint(1, 3)):
                    at = rng.randrange(12, len(octets))
                    end = min(len(octets), at + rng.choice((0, 0, 1, 2, 8)))
                    octets = octets[:at] + rng.choice(pieces) * rng.choice((0, 1, 1, 2)) + octets[end:]
                bad += self._judge(d, octets)[1] is not None
                self._throw(d, octets)
                if n % 500 == 0:
                    self._serves()
            verify(300 < bad < 2900, f"{d}: {bad} of 3000 are malformed")

    @func_test
    def cut_at_every_offset(self) -> None:
        """
        Steps: the conversation ends at every offset: half closed, closed, reset.
        Verify: the server closes each; nothing is left open.
        """
        for d in DIALECTS:
            talk = self._conversation(d)
            for at in range(len(talk)):
                self._pump_good()
                p = self._raw(d)
                p.check = False
                p.raw(talk[:at])
                if at % 2:
                    p.shutdown_write()
                    p.wait_closed()
                p.close()
                self._open.remove(p)
            self._serves()
        self._nothing_open(len(self.good))

    @func_test
    def one_octet_at_a_time(self) -> None:
        """
        Steps: the conversation, one octet a write, on twenty connections in turns.
        Verify: all are served to the end.
        """
        for d in DIALECTS:
            talk = self._conversation(d)
            ps = [self._raw(d) for _ in range(20)]
            for at in range(len(talk)):
                self._pump_good()
                for p in ps:
                    p.raw(talk[at:at + 1])
            for p in ps:
                p.wait_closed()
                got = b"".join(m.payload or b"" for m in p.received)
                verify(b"hello" in got, f"{d}: {p.transcript.tail()}")

    @func_test
    def random_octets(self) -> None:
        """
        Steps: three hundred connections of random octets, after a good beginning and without.
        Verify: each is closed.
        """
        rng = random.Random(5)
        for d in DIALECTS:
            for n in range(150):
                self._pump_good()
                p = self._raw(d)
                p.check = False
                if n % 2:
                    p.open(self.ECHO)
                p.raw(rng.randbytes(rng.randint(1, 3000)))
                p.shutdown_write()
                p.wait_closed()
                self._open.remove(p)
            self._serves()

    # --- sizes --------------------------------------------------------------------------------

    @func_test
    def gigantic_sizes(self) -> None:
        """
        Steps: payloads and quoted values that announce up to 2147483647 octets and more, at every place where one can stand; then
               as many octets as the socket takes.
        Verify: refused from the announcement alone, memory unchanged, the log says which limit.
        """
        for d in DIALECTS:
            for size in (MIB + 1, 2147483647, 2147483648, 1 << 40, 10 ** 30):
                for text in (b"x\r\n%d:", b'x "%d:', b'x\r\nn: "%d:', b'x {"%d:', b'x ("%d:', b'x\r\nn: ({\r\nm: "%d:'):
                    p = self._started(d)
                    p.raw(text % size + b"x" * 1000)
                    self._ended(p, text % size)
        self._log_names(self.callout.log(), r"<53>|RFC 4037")

    @func_test
    def deep_nesting_and_long_tokens(self) -> None:
        """
        Steps: a million open brackets; a name, a bare value and a list that never end; parameters without end.
        Verify: ended at the limit, not at the end; memory unchanged.
        """
        floods: list[tuple[bytes, bytes]] = [
            (b"x ", b"("), (b"x ", b"{"), (b"x ", b"({"), (b"", b"x"), (b"x ", b"1"), (b"x (1", b",1"), (b"x {1", b" 1"), (b"x", b" 1"),
            (b"x\r\n", b"y"), (b"x\r\nn: {1}", b"\r\nm: {1}"), (b"x ", b"(x,")]
        for d in DIALECTS:
            for start, more in floods:
                p = self._started(d)
                p.raw(start)
                for _ in range(64):
                    p.raw(more * (16384 // len(more)), follow=False)
                    p.pump()
                    if p.closed:
                        break
                self._ended(p, (start, more))

    @func_test
    def many_names_of_one_length(self) -> None:
        """
        Steps: 31 named parameters of the same beginning, structures in lists in structures up to each limit, over and over.
        Verify: taken (they are unknown), each query is answered, memory bounded.
        """
        for d in DIALECTS:
            p = self._started(d)
            wide = b"x (" + b",".join([b"{" + b" ".join([b"1"] * 200) + b"}"] * 200) + b");\r\n"
            named = b"x\r\n" + b"\r\n".join(b"a" * 60 + b"%02d: {((((((()))))))}" % n for n in range(31)) + b"\r\n;\r\n"
            for _ in range(20):
                p.raw(wide, follow=False)
                p.raw(named, follow=False)
                p.ping()
                self._pump_good()

    # --- rules --------------------------------------------------------------------------------

    @func_test
    def gaps_overlaps_and_wrong_identifiers(self) -> None:
        """
        Steps: two thousand random messages with identifiers, offsets and sizes around the right ones, on one connection until the
               server ends it, then on the next.
        Verify: what the server sends breaks no rule of form; each connection still answers a query or was ended.
        """
        rng = random.Random(3)
        for d in DIALECTS:
            left = 2000
            while left > 0:
                p = self._started(d)
                p.check = False
                while left > 0 and not p.closed:
                    self._random_message(p, rng)
                    left -= 1
                    if left % 16 == 0 and not p.closed:
                        self._settle(p)
                self._settle(p)
                p.close()
            self._serves()

    @func_test
    def data_after_every_end(self) -> None:
        """
        Steps: after each kind of end (of data, message, transaction; sent by either side) everything that may not come any more.
        Verify: nothing of it reaches an adapted message; no other transaction of the connection is touched in the draft dialect;
                in core at most the transaction or the connection is ended with 400.
        """
        ends: dict[str, list[list[tuple]]] = {
            DRAFT: [[("data-end", 1, 1)], [("app-message-end", 1, 1)], [("xaction-end", 1)], [("data-end", 1, 1), ("xaction-end", 1)]],
            CORE: [[("AME", 1)], [("AME", 1), ("TE", 1)], [("TE", 1)]]}
        late: dict[str, list[tuple]] = {
            DRAFT: [("data-have", 1, 1, 5), ("data-end", 1, 1), ("app-message-start", 1, 1, b"x"), ("app-message-end", 1, 1),
                    ("xaction-start", 1), ("xaction-end", 1), ("data-paused", 1, 1), ("data-ack", 1, 2, 0, 5)],
            CORE: [("DUM", 1, 5), ("AME", 1), ("AMS", 1), ("TE", 1), ("DSS", 1), ("DPM", 1), ("DWM", 1), ("DWP", 1, 0), ("TS", 1, 1)]}
        for d in DIALECTS:
            for end in ends[d]:
                for m in late[d]:
                    p = self._started(d, self.ECHO)
                    p.check = False
                    x = p.xaction(xid=1).start(STREAM_META).data(b"hello", keep=False)
                    p.xaction().start(STREAM_META).data(b"other", keep=False)
                    for e in [*end, m]:
                        p.send(*e, payload=b"late!" if e[0] in ("data-have", "DUM") else None)
                    self._settle(p)
                    verify(b"late!" not in x.forwarded(), f"{d}: {m} after {end}")
                    verify(d == CORE or not p.closed, f"{m} after {end} ended the connection\n{p.transcript.tail()}")
                    if d == DRAFT:
                        verify(p.ping(xid=2).get("xid") == 2, f"{m} after {end} touched another transaction")
                    p.close()

    # --- floods -------------------------------------------------------------------------------

    @func_test
    def unsolicited_messages(self) -> None:
        """
        Steps: fifty thousand messages that nobody asked for (answers, progress, acknowledgements, unknown ones, empty data).
        Verify: read, not answered, not kept.
        """
        burst = {
            DRAFT: b"i-am-here;\r\ni-am-here\r\nrid: 7\r\n;\r\ni-am-here\r\nxid: 1\r\n;\r\ndata-ack 1 2 0 5;\r\ndata-paused 1 1;\r\n"
                   b'i-do-support {"1:a"};\r\ni-wont-use {"1:a"};\r\nx-unknown 1 2 3;\r\nconnection-start;\r\ndata-have 9 9 9\r\n1:x\r\n;\r\n',
            CORE: b"PR;\r\nCS;\r\nx-unknown 1 2 3;\r\nAQ {\"1:a\"};\r\nPQ;\r\n"}
        for d in DIALECTS:
            p = self._started(d)
            p.check = False
            for _ in range(5000):
                p.raw(burst[d], follow=False) if p.pending < MIB else p.pump(0.05)
                self._pump_good()
                p.transcript.lines.clear()
                p.inbox.clear()
            p.ping()
            self._bounded()

    @func_test
    def queries_without_reading_answers(self) -> None:
        """
        Steps: queries as fast as the socket takes them, none of the answers read.
        Verify: the server stops reading at some point; memory bounded; once read, every answer is there.
        """
        for d in DIALECTS:
            p = self._started(d)
            p.ping()
            query, answer = (b"are-you-there 7;\r\n", b"i-am-here\r\nrid: 7\r\n;\r\n") if d == DRAFT else (b"PQ;\r\n", b"PA;\r\n")
            wave, sent, full = query * 1000, 0, 0
            while full < 20 and sent < 32 * MIB:  # until it takes nothing for a while
                try:
                    sent, full = sent + p.sock.send(wave[sent % len(query):]), 0
                except BlockingIOError:
                    full += 1
                    time.sleep(0.02)
                self._pump_good()
            verify(full, f"{d}: the server reads on and on while nobody takes its answers")
            self._bounded()
            got = bytearray()

            def count(p: Processor = p, got: bytearray = got, whole: int = sent // len(query) * len(answer)) -> bool:
                self._pump_good()
                try:
                    got += p.sock.recv(1 << 20)
                except BlockingIOError:
                    pass
                return len(got) >= whole
            wait_for(f"{sent // len(query)} answers", count, 60, 0)
            verify(got == answer * (sent // len(query)), "the answers are not what was asked for")
            p.close()

    @func_test
    def data_without_reading_what_comes_back(self) -> None:
        """
        Steps: data as fast as the socket takes it to a service that sends it back; nothing is read; then everything is.
        Verify: the server stops reading; memory bounded; the others are served meanwhile; in the end every octet is there.
        """
        for d in DIALECTS:
            p = self._started(d)
            x = p.xaction().start(STREAM_META)
            block, full = bytes(range(256)) * 64, 0
            p.drain()
            while full < 20 and x.sent < 64 * MIB:
                if p.pending:
                    p.flush()
                    full += 1
                    time.sleep(0.02)
                else:
                    full = 0
                    x._chunk(block, None, False, None)
                self._pump_good()
            verify(full, f"{d}: the server reads on and on while nobody takes what it sends")
            self._serves()
            self._bounded()
            x.finish().wait_end(60)
            verify(x.ok and x.forwarded() == block * (x.sent // len(block)), f"{d}: {len(x.forwarded())} of {x.sent} octets")

    @func_test
    def transactions_without_end(self) -> None:
        """
        Steps: ten thousand transactions opened on a connection and never used; as many started and given one octet.
        Verify: refused from --max-transactions on; memory bounded; all are gone with the connection.
        """
        for d in DIALECTS:
            p = self._started(d, self.HOLD)
            p.check = False
            for n in range(10000):
                x = p.xaction()
                if n % 2:
                    x.start(STREAM_META)
                    x._chunk(b"x", None, False, None)
                if n % 100 == 0:
                    p.pump()
                    self._pump_good()
                    p.transcript.lines.clear()
            p.ping(seconds=60)
            refused = sum(m.name in ("xaction-end", "TE") for m in p.received)
            verify(refused == 10000 - 4096, f"{d}: {refused} of 10000 refused")
            p.close()
        self._nothing_open(len(self.good))

    @func_test
    def connections_in_a_hurry(self) -> None:
        """
        Steps: a thousand connections that say nothing, half a message, or a start, closed at once; three hundred left open.
        Verify: the server takes the next one as before.
        """
        for n in range(1000):
            p = self._raw(DIALECTS[n % len(DIALECTS)])
            if n % 100 == 0:
                self._pump_good()
            if n % 4:
                p.raw((b"connection-st", b"connection-start;\r\n", b"CS;\r\nNO ();\r\n")[n % 3])
            if n % 10 > 2:
                p.close()
                self._open.remove(p)
        self._serves()

    @func_test
    def hold_more_than_allowed(self) -> None:
        """
        Steps: forty megabytes that are not kept to a service that holds the whole message, with every octet of it answered for.
        Verify: the server holds what is its to hold, ends the transaction or goes on; the others are served; all of it is given
                back with the connection.
        """
        p = self._started(DRAFT, self.HOLD)
        x = p.xaction().start(RESPONSE_META).data(HEAD, "response-header", keep=False)
        for _ in range(40):
            x.data(b"h" * MIB, "response-body", keep=False, chunk=256 * 1024, seconds=60)
            p.drain()
            self._pump_good()
        p.ping(seconds=60)
        self._serves()
        x.end()
        p.end()
        wait_for("the memory is given back", lambda: self._pump_good() or self.callout.rss() - self.before < self._most(), 20)

    @func_test
    def silence(self) -> None:
        """
        Steps: connections that say nothing at all, a beginning, half of a message, and then stay.
        Verify: each is given up by the server in bounded time.
        """
        ps = []
        for d in DIALECTS:
            for octets in (b"", self._conversation(d)[:3], self._conversation(d)[:60]):
                p = self._raw(d)
                p.auto.discard("pong")
                p.raw(octets)
                ps.append(p)

        def all_gone() -> bool:
            self._pump_good()
            for p in ps:
                p.pump()
            return all(p.closed for p in ps)
        wait_for("all silent connections are given up", all_gone, 90, 0.05)

    @func_test
    def ends_clean(self) -> None:
        """
        Steps: SIGTERM after all this, with connections and transactions open.
        Verify: exit code 0.
        """
        good, self.good = self.good, []
        self.ended_clean()
        self.before = self.callout.rss()
        for x in good:
            x.p.wait_closed()

    # --- help ---------------------------------------------------------------------------------

    def _raw(self, dialect: str) -> Processor:
        """A connection on which nothing was said."""
        p = Processor(self.callout.address, dialect, start=False)
        self._open.append(p)
        return p

    def _started(self, dialect: str, service: str | None = None) -> Processor:
        """A connection that has begun well."""
        p = self._raw(dialect)
        p.open(service or self.ECHO)
        p.ping()
        return p

    def _conversation(self, dialect: str) -> bytes:
        """A valid conversation of a processor, from its first octet to its last."""
        if dialect == DRAFT:
            talk = [("connection-start", {"client": b"a b", "priority": 1}), ("connection-service", feature(self.ECHO)),
                    ("please-use", feature(LEAVE_LOOP)), ("xaction-start", 1), ("app-message-start", 1, 1, RESPONSE_META),
                    ("data-have", 1, 1, 0, {"copied": True, "am-part": "response-header"}, HEAD),
                    ("data-have", 1, 1, len(HEAD), {"ack": True}, b"hello"), ("are-you-there", 3, {"xid": 1}), ("data-end", 1, 1),
                    ("xaction-end", 1), ("connection-end",)]
        else:
            http = feature("http://www.iana.org/assignments/opes/ocp/http/response", Aux_Parts=["request-header"])
            talk = [("CS",), ("NO", [http]), ("SGC", 1, [feature(self.ECHO)]), ("TS", 1, 1), ("AMS", 1, {"AM-EL": 5}),
                    ("DUM", 1, 0, {"Kept": Struct([0, len(HEAD)]), "AM-Part": "response-header"}, HEAD),
                    ("DUM", 1, len(HEAD), {"AM-Part": "response-body"}, b"hello"), ("PQ", quoted("1")), ("AME", 1), ("TE", 1), ("CE",)]
        out = b""
        for m in talk:
            named = next((v for v in m[1:] if isinstance(v, dict)), None)
            payload = m[-1] if named and isinstance(m[-1], bytes) else None
            anon = [v for v in m[1:] if v is not named and v is not payload]
            out += bytes(encode(m[0], *anon, named=named, payload=payload))
        return out

    def _throw(self, dialect: str, octets: bytes) -> None:
        """Send these octets and no more; the server must come to an end with them, and agree with this side's own decoder on
        whether they are well formed."""
        self._pump_good()
        p = self._raw(dialect)
        p.check = False
        p.raw(octets)
        p.shutdown_write()
        p.wait_closed()
        p.close()
        self._open.remove(p)
        verify(p.malformed is None, f"malformed from the server: {p.malformed}\n{p.transcript.tail()}")
        begun, wrong = self._judge(dialect, octets)
        failures = [m for m in p.received if m.name in ("connection-end", "CE", "TE", "AME") and failed(m)]
        if begun and wrong:
            verify(failures, f"{wrong} was taken:\n{octets!r}\n{p.transcript.tail()}")
        if begun and not wrong:
            verify(not any(m.name == "connection-end" or re.search("malformed|grammar|quoted|parameter", m["result"][1]) for m in failures if m.name != "xaction-end"),
                   f"called malformed and is not:\n{octets!r}\n{p.transcript.tail()}")

    def _judge(self, dialect: str, octets: bytes) -> tuple[bool, Malformed | None]:
        """Whether a connection of this dialect begins with these octets, and what is malformed about them before its end."""
        decoder = Decoder()
        messages = decoder.feed(octets)
        if not messages or messages[0].name != ("connection-start" if dialect == DRAFT else "CS"):
            return False, None
        for m in messages:
            try:
                bind(m, dialect)
            except Malformed as e:
                return m is not messages[0], e  # trap 8: a start that is no good begins nothing
            if m.name in ("connection-end", "CE"):
                return True, None
        return True, decoder.error

    def _settle(self, p: Processor) -> None:
        """Everything sent was handled, or the connection is closed."""
        self._pump_good()
        if not p.closed:
            p.query()
            n = len(p.received)
            answer = "i-am-here" if p.dialect == DRAFT else "PA"
            wait_for("an answer", lambda: p.pump(0.02) or p.closed or any(m.name == answer for m in p.received[n:]), 20, 0)

    def _ended(self, p: Processor, what: object) -> None:
        """The server has said why (when it could) and closed."""
        self._pump_good()
        p.wait_closed()
        names = {"connection-end", "CE"}
        verify(any(m.name in names for m in p.received) or "reset" in p.closed_why or "pipe" in p.closed_why.lower(),
               f"{what!r}: closed without a word\n{p.transcript.tail()}")
        p.close()

    def _serves(self) -> None:
        """The well-behaved connections are served now."""
        for x in self.good:
            x.p.ping()
            verify(x.p.adapt(b"an original", self.ECHO, meta=STREAM_META).forwarded() == b"an original", "a good transaction")

    def _pump_good(self) -> None:
        """The well-behaved connections answer the server's queries."""
        for x in self.good:
            x.p.pump()

    def _most(self) -> int:
        """How much more memory is in bounds; a sanitizer keeps what was freed."""
        with open(f"/proc/{self.callout.process.pid}/maps", encoding="utf-8") as f:
            return 512 * MIB if "libasan" in f.read() else 32 * MIB

    def _bounded(self) -> None:
        """Memory has not grown out of bounds."""
        grown = self.callout.rss() - self.before
        verify(grown < self._most(), f"{grown / MIB:.0f} MiB more memory")

    def _log_names(self, log: str, pattern: str) -> None:
        verify(re.search(pattern, log), f"the log names no {pattern}:\n{log[-2000:]}")

    def _nothing_open(self, but: int) -> None:
        """No transaction is open but so many."""
        def probe() -> bool:
            rows = [r for r in self.callout.stats().splitlines() if r.startswith("service ")]
            return bool(rows) and sum(int(r.split(" open ")[1].split()[0]) for r in rows) == but
        wait_for("no transaction is left open", probe, 40, 0.1)

    def _random_message(self, p: Processor, rng: random.Random) -> None:
        """A message with everything about right."""
        ids = [rng.choice((0, 1, 2, 3, 2147483647, rng.randint(0, 20))) for _ in range(2)]
        at = rng.choice((0, 0, 5, 10, 2147483647, rng.randint(0, 20)))
        size = rng.choice((0, 5, 2147483647))
        draft: list[Callable[[], object]] = [
            lambda: p.send("xaction-start", ids[0]), lambda: p.send("app-message-start", ids[0], ids[1], STREAM_META),
            lambda: p.send("data-have", ids[0], ids[1], at, named={"copied": True, "ack": True}, payload=b"x" * rng.randint(0, 9)),
            lambda: p.send("data-as-is", ids[0], ids[1], at, size, 1, 0), lambda: p.send("data-end", ids[0], ids[1]),
            lambda: p.send("app-message-end", ids[0], ids[1]), lambda: p.send("xaction-end", ids[0]),
            lambda: p.send("data-ack", ids[0], ids[1], at, size, named={"wont-forward": True}),
            lambda: p.send("data-paused", ids[0], ids[1]), lambda: p.send("data-need", ids[0], ids[1], at),
            lambda: p.send("please-use", feature(LEAVE_LOOP))]
        core: list[Callable[[], object]] = [
            lambda: p.send("TS", ids[0], 1), lambda: p.send("TS", ids[0], ids[1]), lambda: p.send("AMS", ids[0]),
            lambda: p.send("DUM", ids[0], at, named={"Kept": Struct([at, size])}, payload=b"x" * rng.randint(0, 9)),
            lambda: p.send("DUY", ids[0], at, size), lambda: p.send("AME", ids[0]), lambda: p.send("TE", ids[0]),
            lambda: p.send("DSS", ids[0]), lambda: p.send("DWP", ids[0], at), lambda: p.send("DPM", ids[0]),
            lambda: p.send("DWM", ids[0]), lambda: p.send("SGC", ids[0], [feature(self.ECHO)]), lambda: p.send("SGD", ids[0]),
            lambda: p.send("DPI", ids[0], at, size), lambda: p.send("NO", [], named={"SG": ids[0]})]
        rng.choice(draft if p.dialect == DRAFT else core)()
