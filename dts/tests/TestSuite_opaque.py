# SPDX-License-Identifier: BSD-3-Clause
"""TCP services that are not HTTP: both directions of the stream go through the service as one message each."""

from __future__ import annotations

from opes_api.appliance import ECHO_PORT, ApplianceSuite, adapt_rule
from opes_api.lab import SRV4, SRV6
from opes_api.suite import func_test, verify

MIB = 1 << 20


class TestOpaque(ApplianceSuite):
    """A byte echo server behind the appliance."""

    def check_echo(self, service: str, octets: int, connections: int, addr: str = SRV4) -> None:
        self.use(adapt_rule(service, kind="stream", port=ECHO_PORT, protocol="tcp"))
        with self.delta() as d:
            text = self.in_cli("client", "echo", addr, str(ECHO_PORT), service, str(octets), str(connections), "31")
            self.lab.drained()
        verify(text.startswith(f"{connections} x {octets} octets"), text)
        n = 2 * octets * connections
        streams = 2 * connections if octets else 0  # a stream without an octet is no message
        verify(d["flow_created"] == connections and d["msg_adapted"] == streams,
               f"{d['msg_adapted']} streams on {d['flow_created']} flows were adapted, {connections} flows expected")
        verify(d["txn_done"] == streams and d["fail_open"] == 0, "a transaction failed")
        verify(d["callout_octets_out"] >= n, f"the service saw {d['callout_octets_out']} of {n} octets")
        if service == "as-is":
            verify(d["as_is_octets"] >= n * 99 // 100, f"{d['as_is_octets']} of {n} octets came back by reference")
        if service == "echo":
            verify(d["callout_octets_in"] >= n, f"{d['callout_octets_in']} of {n} octets came back")
        verify(d["flow_closed"] == connections, f"{d['flow_closed']} of {connections} connections ended in order")

    @func_test
    def as_is(self) -> None:
        """Byte echo through as-is.

        Steps:
            On 6 connections at once send 5 MiB, close the sending side, read to the end.
        Verify:
            Exactly what was sent comes back, then the end of the stream; both directions were adapted.
        """
        self.check_echo("as-is", 5 * MIB + 17, 6)

    @func_test
    def echo(self) -> None:
        """Byte echo through the service echo.

        Steps:
            As as_is, with echo.
        Verify:
            As as_is; every octet came from the service.
        """
        self.check_echo("echo", 5 * MIB + 17, 6)

    @func_test
    def replace(self) -> None:
        """Byte echo through replace: the stream's length changes, sequence numbers differ on both sides.

        Steps:
            As as_is, with replace and 1 MiB.
        Verify:
            What comes back is what was sent with every occurrence replaced, wherever segments were cut.
        """
        self.check_echo("replace", MIB, 4)

    @func_test
    def small_and_empty(self) -> None:
        """Streams of no octet and of one.

        Steps:
            Connect and close at once; connect and send one octet; over IPv4 and IPv6.
        Verify:
            The echo is exact and the flow ends in order.
        """
        for addr in (SRV4, SRV6):
            for octets in (0, 1):
                self.check_echo("as-is", octets, 3, addr)
