# SPDX-License-Identifier: BSD-3-Clause
"""Flows that leave the path when nothing on them is left to look at; the ends see one stream each."""

from __future__ import annotations

from opes_api.appliance import ECHO_PORT, HTTP_PORT, ApplianceSuite
from opes_api.lab import SRV4, SRV6, wait_for
from opes_api.suite import func_test, verify

MIB = 1 << 20
UPGRADE = "GET /upgrade HTTP/1.1\\r\\nHost: t\\r\\nConnection: Upgrade\\r\\nUpgrade: bytes\\r\\n\\r\\n"
GROWS = f"{{name: grows, match: {{protocol: http, server-port: {HTTP_PORT}, kind: request}}, action: adapt, service: header}}"
LOOKS = f"{{name: looks, match: {{protocol: http, server-port: {HTTP_PORT}, path: {{prefix: /o/}}}}, action: adapt, service: as-is}}"
STREAM = f"{{name: stream, match: {{protocol: tcp, server-port: {ECHO_PORT}}}, action: adapt, service: as-is}}"
TUNNEL = f"{{name: tunnel, match: {{protocol: http, server-port: {HTTP_PORT}, path: [/head, /upgrade]}}, action: tunnel}}"
BLOCK = f"{{name: block, match: {{protocol: http, server-port: {HTTP_PORT}, path: {{prefix: /204}}}}, action: block}}"


class TestLeaving(ApplianceSuite):
    """The origin's /upgrade and its echo port send back what they get."""

    limits = "{idle-timeout: 3s}"
    callout_args = ("as-is,leave=yes", "header,add=X-Opes: this head has grown")

    def rules(self, *rules: str) -> None:
        self.use(*rules, names=("as-is", "header"))

    def exchange(self, port: int, *args: str, octets: int = 16 * MIB, addr: str = SRV4) -> tuple[str, list[dict]]:
        """What the client says, and the rows of `flows` while it holds the connection after the transfer."""
        p = self.lab.cli.start("duplex", *self.lab.cli.module("duplex", addr, str(port), str(octets), "--hold", "2", *args))
        rows: list[dict] = []
        try:
            wait_for("the transfer is through", lambda: "sha256" in p.output() or not p.alive(), 120)
            rows = self.lab.ctl_json("flows")["flows"]
            wait_for("the client ends", lambda: not p.alive(), 30)
            return p.output(), rows
        finally:
            p.stop()
            self.lab.processes.remove(p)

    def check(self, text: str, d: dict[str, int], head: bool = True) -> None:
        verify("sha256 True" in text and "end True" in text, text)
        verify(not head or "head HTTP/1.1 101" in text, text)
        verify(d["flow_joined"] == 1, f"{d['flow_joined']} flows were joined")
        verify(d["flow_aborted"] == 0 and d["flow_reset"] == 0, f"a reset: {d}")

    @func_test
    def upgrade(self) -> None:
        """A connection is upgraded, nothing was changed: the flow is forgotten.

        Steps:
            Rules that look at other messages. Upgrade; 16 MiB both ways at once; over IPv4 and IPv6.
        Verify:
            SHA-256 right, the end of the stream comes; no flow is listed meanwhile; an event says that it was joined.
        """
        self.rules(LOOKS)
        for addr in (SRV4, SRV6):
            since = self.lab.last_event()
            with self.delta() as d:
                text, rows = self.exchange(HTTP_PORT, "--head", UPGRADE, addr=addr)
            self.check(text, d)
            verify(d["flow_join_plain"] == 1 and not rows, f"{rows}")
            verify(d["bypass_octets"] > 30 * MIB, f"{d['bypass_octets']} octets crossed untouched")
            self.lab.wait_event("flow-joined", since)

    @func_test
    def upgrade_changed(self) -> None:
        """The request of the upgrade grew on its way: numbers are moved from then on.

        Steps:
            The service header adds a field. Upgrade; 16 MiB both ways at once; over IPv4 and IPv6.
        Verify:
            As upgrade, but the flow is listed as joined, and its frames are counted; it is gone some time after its end.
        """
        self.rules(GROWS)
        for addr in (SRV4, SRV6):
            with self.delta() as d:
                text, rows = self.exchange(HTTP_PORT, "--head", UPGRADE, addr=addr)
            self.check(text, d)
            verify(d["flow_join_plain"] == 0 and [r["state"] for r in rows] == ["joined"], f"{rows}")
            verify(d["flow_join_frames"] > 20000, f"{d['flow_join_frames']} frames")
            self.lab.drained()

    @func_test
    def in_the_middle(self) -> None:
        """The client does not wait for the upgrade: the flow is never quiet while it is joined.

        Steps:
            As upgrade_changed, with the octets right behind the request.
        Verify:
            As upgrade_changed; no pause is longer than 3 s.
        """
        self.rules(GROWS)
        with self.delta() as d:
            text, _ = self.exchange(HTTP_PORT, "--head", UPGRADE, "--eager", octets=48 * MIB)
        self.check(text, d)
        pause = float(text.split("longest pause ")[1].split()[0])
        verify(pause < 3, text)
        print(f"    longest pause {pause:.3f} s")
        verify(d["flow_join_frames"] > 1000, f"{d['flow_join_frames']} frames")

    @func_test
    def service_leaves(self) -> None:
        """An opaque stream whose service leaves the loop.

        Steps:
            The echo port through as-is with leave=yes; 16 MiB both ways at once.
        Verify:
            Both directions began at the service, which saw a small part of it; the flow was joined.
        """
        self.rules(STREAM)
        with self.delta() as d:
            text, _ = self.exchange(ECHO_PORT)
        self.check(text, d, head=False)
        verify(d["msg_adapted"] == 2 and d["callout_octets_out"] < 16 * MIB, f"{d}")

    @func_test
    def tunnel_rule(self) -> None:
        """The action tunnel.

        Steps:
            GET /head (tunnel), then GET /204 (block) on the same connection; then GET /204 on another. An upgrade by rule.
        Verify:
            The first connection's request is not looked at: 204. The other's is: 403. The upgrade's response is not framed,
            its flow is joined.
        """
        self.rules(TUNNEL, BLOCK)
        with self.delta() as d:
            r = self.lab.curl("-w", "%{http_code} ", "-o", "/dev/null", "-o", "/dev/null",
                              f"http://{SRV4}:{HTTP_PORT}/head", f"http://{SRV4}:{HTTP_PORT}/204")
            other = self.lab.curl("-w", "%{http_code}", "-o", "/dev/null", f"http://{SRV4}:{HTTP_PORT}/204", check=False)
        verify(r.stdout.split() == ["200", "204"] and other.stdout == "403", f"{r.stdout} {other.stdout}")
        verify(d["msg_tunnel"] == 1 and d["msg_blocked"] == 1, f"{d}")
        with self.delta() as d:
            text, _ = self.exchange(HTTP_PORT, "--head", UPGRADE)
        self.check(text, d)
        verify(d["msg_request"] == 1 and d["msg_response"] == 0 and d["flow_join_plain"] == 1, f"{d}")

    @func_test
    def parked_and_asked(self) -> None:
        """A persistent connection of which nobody says anything for longer than idle-timeout.

        Steps:
            GET; silence for 8 s, with an idle-timeout of 3 s; GET again on the same connection.
        Verify:
            Both answers are right. The flow was parked; both ends were asked, and answered.
        """
        self.rules(LOOKS)
        code = ("import http.client, sys, time\n"
                "c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)\n"
                "for pause in (8, 0):\n"
                "    c.request('GET', '/head')\n"
                "    r = c.getresponse()\n"
                "    print(r.status, len(r.read()) > 0, c.sock.getsockname()[1], flush=True)\n"
                "    time.sleep(pause)\n")
        with self.delta() as d:
            lines = self.lab.cli.python(code, SRV4, str(HTTP_PORT)).stdout.split("\n")
        verify(lines[0].startswith("200 True") and lines[0] == lines[1], f"{lines}")
        verify(d["flow_created"] == 1 and d["flow_timeout"] == 0 and d["flow_parked"] >= 2, f"{d}")
        verify(d["keepalive_probes"] >= 4 and d["flow_parked"] == d["flow_unparked"], f"{d}")
