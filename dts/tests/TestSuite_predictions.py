# SPDX-License-Identifier: BSD-3-Clause
"""What a callout server predicts of its messages, used: octets released ahead of its word, lengths in place of chunks."""

from __future__ import annotations

from opes_api.appliance import same
from opes_api.objects import Obj
from opes_api.ocp import SXaction
from opes_api.ocp_lab import Fetch, PeerSuite, head_of, rest
from opes_api.suite import func_test, verify

KIB = 1 << 10
AHEAD = ", release-ahead: true"
ACK_ALL = "urn:opes:feature:ack-all"


class TestPredictions(PeerSuite):
    """The draft's sizep, modp and please-ack, between curl and an origin."""

    def begin(self, obj: Obj, named: dict, keys: str = AHEAD, on_failure: str = "closed", *curl: str) -> tuple[Fetch, SXaction]:
        """A fetch whose whole original the server has, and an adapted message begun with these predictions."""
        self.open(keys=keys, on_failure=on_failure)
        f = self.curl(obj.path, *curl)
        x = self.whole()
        self.play(lambda: x.am_start(named=named))
        return f, x

    @func_test
    def released_ahead(self) -> None:
        """modp 0 with release-ahead: true, and without the key.

        Steps:
            Fetch 100 KiB; the server has all of it, begins an adapted message with modp 0, and says nothing more for a while; then
            data-as-is of all of it. The same with the key off. The same, with octets of the server's own that are the original's.
        Verify:
            With the key the client has every octet before the server's word, and none twice after it; without it has none before.
        """
        obj = Obj("length", 700, 100 * KIB)
        for keys in (AHEAD, ""):
            with self.delta() as d:
                f, x = self.begin(obj, {"modp": 0}, keys)
                if keys:
                    self.until("all of it at the client", lambda: len(f.got) == obj.size)
                else:
                    rest(0.5)
                    verify(not f.got, f"{len(f.got)} octets without the server's word")
                self.play(lambda: x.forward_all(0, len(x.original)).finish().end())
                f.is_ok(obj.body(), keys)
            verify((d["released_ahead_octets"] == len(x.original)) == bool(keys), f"{d['released_ahead_octets']}")
        f, x = self.begin(obj, {"modp": 0})
        self.play(lambda: x.as_is(0, head_of(x)).send(bytes(x.original[head_of(x):]), "response-body").finish().end())
        f.is_ok(obj.body(), "as octets")

    @func_test
    def broken_word(self) -> None:
        """The server changes octets that it had predicted to stay, after they were released.

        Steps:
            As released_ahead; then the server sends other octets; ends the message early. Policies closed and open.
        Verify:
            closed: the client sees a reset; open: the whole original. The event names what happened, its cause is protocol.
        """
        obj = Obj("length", 701, 200 * KIB)
        for how in ("changes", "ends"):
            for policy in ("closed", "open"):
                since = self.lab.last_event()
                f, x = self.begin(obj, {"modp": 0}, on_failure=policy)
                self.until("octets at the client", lambda: len(f.got) > 0)
                self.play(lambda: x.as_is(0, head_of(x)))
                self.play(lambda: x.send(b"other octets", "response-body") if how == "changes" else x.finish())
                e = self.lab.wait_event("callout-failed", since)
                verify(e["cause"] == "protocol" and "modp 0" in e["text"], f"{how} {policy}: {e}")
                if policy == "open":
                    f.is_ok(obj.body(), f"{how} {policy}")
                elif len(f.done().got) < obj.size:
                    f.is_reset(f"{how} {policy}")
                verify(obj.body().startswith(f.got), f"{how} {policy}: {same(f.got, obj.body())}")

    @func_test
    def length_in_place_of_chunks(self) -> None:
        """sizep of a message whose original came in chunks; right, too small and too large.

        Steps:
            Fetch a chunked object; the server announces the exact octets of what it makes of it, sends head and a part, then the
            rest; the same with 10 more and 10 less than announced.
        Verify:
            The client's head has Content-Length and no Transfer-Encoding. A wrong length breaks the transfer visibly: curl fails, the
            event says that the length differs.
        """
        obj = Obj("chunked", 702, 30_000)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
        for more in (0, 10, -10):
            since = self.lab.last_event()
            self.open(on_failure="open")
            f = self.curl(obj.path, "-i", "-N")
            x = self.whole()
            self.play(lambda: x.am_start(named={"sizep": len(head) + 5000}).send(head, "response-header").send(b"a" * 100, "response-body"))
            got = self.until("the head", lambda: f.got.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in f.got else b"").lower()
            verify(b"content-length: 5000" in got and b"chunked" not in got, f"{got!r}")
            self.play(lambda: x.send(b"b" * (4900 + more), "response-body").finish().end())
            if more == 0:
                f.is_ok()
                verify(f.got.endswith(b"\r\n\r\n" + b"a" * 100 + b"b" * 4900), f"{f.got[:300]!r}")
                continue
            f.is_reset(f"{more} octets")
            e = self.lab.wait_event("callout-failed", since)
            verify(e["cause"] == "framing" and "length differs" in e["text"], f"{more}: {e}")

    @func_test
    def acknowledged(self) -> None:
        """The debugging mode ack-all.

        Steps:
            A service with ack-all: true at a server that agrees and acknowledges every data-have; then without the key.
        Verify:
            With the key the feature is asked for; callout_acks counts each octet acknowledged. Without it neither.
        """
        obj = Obj("length", 703, 50_000)
        for key in (", ack-all: true", ""):
            with self.delta() as d:
                self.open(keys=key)
                f = self.curl(obj.path)
                x = self.whole()
                asked = [m for m in self.server.received("please-use") if m["feature"].uri == ACK_ALL]
                verify(len(asked) == bool(key), f"{key}: {asked}")
                self.play(lambda: x.am_start().forward_all(0, len(x.original)).finish().end())
                f.is_ok(obj.body(), key)
            verify(d["callout_acks"] == (len(x.original) if key else 0), f"{key}: {d['callout_acks']}")
