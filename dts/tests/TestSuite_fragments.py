# SPDX-License-Identifier: BSD-3-Clause
"""Routers with narrow links around the appliance: TCP in fragments, and path MTU discovery of the appliance's own segments.

::

    near ---- cli (router) ---- dut ---- srv (router) ---- far
    10.81.0.2     10.77.0.1              10.77.0.2     10.80.0.2
"""

from __future__ import annotations

import os
from typing import Any

from opes_api.appliance import ECHO_PORT, ApplianceSuite, adapt_rule
from opes_api.lab import CLI4, CLI6, OFFLOADS_OFF, SRV4, SRV6, Node, run
from opes_api.suite import func_test, skip, verify

MIB = 1 << 20
NARROW = 1280
FAR4, FAR6, NEAR4, NEAR6 = "10.80.0.2", "fd80::2", "10.81.0.2", "fd81::2"


class TestFragments(ApplianceSuite):
    """Hosts near and far, behind routers that are the lab's ends otherwise."""

    def set_up_suite(self) -> None:
        if "OPES_TESTBED" in os.environ:
            skip("a testbed has no routers")
        super().set_up_suite()
        lab = self.lab
        self.near = self.host("near", lab.cli, NEAR4, NEAR6)
        self.far = self.host("far", lab.srv, FAR4, FAR6)
        for node in (self.near, self.far):
            node.sysctl("net.ipv4.ip_no_pmtu_disc", "1")  # of sockets from now on: no DF
        origin = self.far.start("far-origin", *self.far.module("origin", "--http", "8000", "--echo", str(ECHO_PORT)))
        origin.wait_line("origin: ready")

    def host(self, name: str, router: Node, a4: str, a6: str) -> Node:
        """A namespace with one link, 1,500 octets wide, to router."""
        ns = self.lab.ns[name] = f"opes-{name}-{self.lab.tag}"
        node = Node(self.lab, name, ["ip", "netns", "exec", ns], f"{name}0")
        peer = f"{name}r"
        run("ip", "netns", "add", ns)
        run("ip", "link", "add", node.dev, "netns", ns, "type", "veth", "peer", "name", peer, "netns", router.prefix[-1])
        for n, dev, last in ((node, node.dev, 2), (router, peer, 1)):
            n.run("ethtool", "-K", dev, *OFFLOADS_OFF, check=False)
            n.run("ip", "link", "set", dev, "up")
            n.run("ip", "address", "add", f"{a4[:-1]}{last}/24", "dev", dev)
            n.run("ip", "address", "add", f"{a6[:-1]}{last}/64", "dev", dev, "nodad")
        node.run("ip", "link", "set", "lo", "up")
        node.run("ip", "route", "add", "default", "via", f"{a4[:-1]}1")
        node.run("ip", "-6", "route", "add", "default", "via", f"{a6[:-1]}1")
        router.sysctl("net.ipv4.ip_forward", "1")
        router.sysctl("net.ipv6.conf.all.forwarding", "1")
        return node

    def routes(self, across: int, behind: int) -> None:
        """MTU of the routers' ways over the appliance, and from the server's router to far."""
        for router, to4, to6, via4, via6 in ((self.lab.cli, "10.80.0.0/24", "fd80::/64", SRV4, SRV6),
                                             (self.lab.srv, "10.81.0.0/24", "fd81::/64", CLI4, CLI6)):
            mtu = ("mtu", "lock", str(across))
            router.run("ip", "route", "replace", to4, "via", via4, *mtu)
            router.run("ip", "-6", "route", "replace", to6, "via", via6, *mtu)
        mtu = ("mtu", "lock", str(behind))
        self.lab.srv.run("ip", "route", "replace", "10.80.0.0/24", "dev", "farr", *mtu)
        self.lab.srv.run("ip", "-6", "route", "replace", "fd80::/64", "dev", "farr", "metric", "1", *mtu)

    def echo(self, addr: str, octets: int, service: str = "as-is") -> dict[str, Any]:
        with self.delta() as d:
            text = self.near.run(*self.near.module("client", "echo", addr, str(ECHO_PORT), service, str(octets), "2", "7"),
                                 timeout=200).stdout
            self.lab.drained()
        verify(text.startswith(f"2 x {octets} octets"), text)
        return d

    @func_test
    def both_ways(self) -> None:
        """A selected connection whose ends do not set DF, across links that are narrower than their packets.

        Steps:
            Path MTU discovery of both hosts is off; the routers send towards the appliance with an MTU of 1,280. Echo 3 MiB
            on 2 connections through as-is, and 256 KiB with no rule that selects it.
        Verify:
            Every octet comes back; segments were put together from fragments in thousands, none was dropped. Unselected, the
            fragments cross as they came.
        """
        if self.lab.driver == "af_packet":
            skip("the kernel puts IPv4 fragments together before net_af_packet sees them")
        self.routes(NARROW, 1500)
        self.use(adapt_rule("as-is", kind="stream", port=ECHO_PORT, protocol="tcp"))
        d = self.echo(FAR4, 3 * MIB)
        print(f"    {d['fragment_joined']} segments joined, {d['fragment_dropped']} fragments dropped")
        verify(d["fragment_joined"] > 8000, f"hardly anything came in fragments: {d['fragment_joined']}")
        verify(d["fragment_dropped"] == 0 and d["fragment_crossed"] == 0, f"fragments were lost or crossed: {d}")
        verify(d["msg_adapted"] == 4 and d["fail_open"] == 0, "the streams were not adapted")
        self.use(adapt_rule("as-is", port=8000))  # selects something, but not this
        d = self.echo(FAR4, MIB // 4)
        verify(d["fragment_crossed"] > 400 and d["fragment_joined"] == 0 and d["fragment_dropped"] == 0,
               f"crossed {d['fragment_crossed']}, joined {d['fragment_joined']}, dropped {d['fragment_dropped']}")
        verify(d["flow_created"] == 0, "a flow was taken up")

    @func_test
    def path_mtu(self) -> None:
        """A link behind the server's side that takes less than both ends have been told.

        Steps:
            The server's router sends to far with an MTU of 1,280. Echo 2 MiB through replace, with IPv4 and with IPv6.
        Verify:
            The appliance's segments get smaller by the router's ICMP errors, which do not go further; the transfer is whole.
        """
        self.routes(1500, NARROW)
        self.use(adapt_rule("replace", kind="stream", port=ECHO_PORT, protocol="tcp"))
        for addr in (FAR4, FAR6):
            d = self.echo(addr, MIB, "replace")
            print(f"    {addr}: {d['icmp_too_big']} errors acted on, {d['tcp_rto']} timeouts")
            verify(d["icmp_too_big"] >= 2, f"{addr}: no connection learnt the MTU: {d['icmp_too_big']}")
            verify(d["flow_closed"] == 2 and d["msg_adapted"] == 4, f"{addr}: not adapted")
