# SPDX-License-Identifier: BSD-3-Clause
"""What no rule selects crosses untouched: every EtherType, VLAN, ARP, IPv6, UDP, TCP, jumbo frames."""

from __future__ import annotations

import json
import random

from opes_api.appliance import CALLOUT_PORT, HTTP_PORT, ApplianceSuite, adapt_rule, services, url
from opes_api.lab import CLI4, SRV4, SRV6, Lab, wait_for
from opes_api.objects import Obj
from opes_api.suite import func_test, skip, verify

# argv: device, EtherType, seed, smallest, largest payload; the same frames on both sides.
FRAMES = r"""
import random, socket, sys
dev, kind, seed, low, high = sys.argv[1], int(sys.argv[2], 16), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
r = random.Random(seed)
frames = [b"\x02\x00\x00\x77\x00\x03" + b"\x02\x00\x00\x77\x00\x01" + kind.to_bytes(2, "big") + i.to_bytes(4, "big")
          + r.randbytes(r.choice((low, high, r.randrange(low, high))) - 4) for i in range(200)]
"""
SEND = FRAMES + r"""
import time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((dev, 0))
for i, f in enumerate(frames):
    s.send(f)
    if i % 10 == 9:
        time.sleep(0.005)
"""
RECEIVE = FRAMES + r"""
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.bind((dev, kind))
s.settimeout(5)
print("receiving", flush=True)
good = 0
for want in frames:
    got = s.recv(65536)
    if got != want:
        sys.exit(f"frame {good}: {len(got)} octets differ from the {len(want)} sent")
    good += 1
print(good, "frames", flush=True)
"""
UDP = r"""
import random, socket, sys
family, addr, n = (socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET), sys.argv[2], 300
sizes = [int(x) for x in sys.argv[3:]]
def data(i): return random.Random(i).randbytes(random.Random(i).choice(sizes))
s = socket.socket(family, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.settimeout(5)
if sys.argv[1] == "server":
    s.bind((addr, 9999))
    print("receiving", flush=True)
    while True:
        got, peer = s.recvfrom(65536)
        s.sendto(got, peer)
for i in range(n):
    s.sendto(data(i), (addr, 9999))
    got = s.recv(65536)
    if got != data(i):
        sys.exit(f"datagram {i} differs")
print(n, "datagrams")
"""


def iperf(lab: Lab, addr: str, *more: str, seconds: int = 2) -> dict:
    """One iperf3 run from cli to srv; its end record."""
    out = lab.cli.run("iperf3", "-c", addr, "-t", str(seconds), "-J", *more, timeout=60).stdout
    return json.loads(out)["end"]


class TestBypass(ApplianceSuite):
    """Rules select one HTTP port; everything else is none of ours."""

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.use(adapt_rule("as-is"))
        self.iperf = self.lab.srv.start("iperf3", "iperf3", "-s", "--forceflush")
        self.iperf.wait_line("listening")

    def untouched(self, d: dict[str, int], frames: int) -> None:
        verify(d["flow_created"] == 0, f"{d['flow_created']} flows were taken up")
        verify(d["bypass_frames"] >= frames, f"{d['bypass_frames']} frames crossed, at least {frames} expected")

    @func_test
    def ping(self) -> None:
        """Ping, IPv4 and IPv6.

        Steps:
            500 echo requests each, of changing size.
        Verify:
            None is lost.
        """
        for addr in (SRV4, SRV6):
            for size in ("56", "1400"):
                with self.delta() as d:
                    out = self.lab.cli.run("ping", "-q", "-i", "0.005", "-c", "250", "-s", size, addr).stdout
                verify(" 0% packet loss" in out and "250 received" in out, out)
                self.untouched(d, 500)

    @func_test
    def iperf_tcp(self) -> None:
        """Bulk TCP that no rule selects, both ways, IPv4 and IPv6.

        Steps:
            iperf3 forward and reverse.
        Verify:
            Octets arrive in both directions; no flow is taken up.
        """
        for addr in (SRV4, SRV6):
            for way in ((), ("-R",)):
                with self.delta() as d:
                    end = iperf(self.lab, addr, *way)
                octets = end["sum_received"]["bytes"]
                verify(octets > 10 << 20, f"iperf3 {addr} {way}: only {octets} octets")
                self.untouched(d, octets // 1500)
                print(f"    {addr} {'reverse' if way else 'forward'}: {end['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")

    def echo_datagrams(self, addr: str, *sizes: str) -> None:
        server = self.lab.srv.start("udp", "python3", "-c", UDP, "server", addr, *sizes)
        server.wait_line("receiving")
        with self.delta() as d:
            out = self.lab.cli.python(UDP, "client", addr, *sizes).stdout
        server.stop()
        verify(out.startswith("300 datagrams"), out)
        self.untouched(d, 600)

    @func_test
    def udp(self) -> None:
        """UDP, IPv4 and IPv6.

        Steps:
            300 datagrams of 1 to 1,400 octets there and back; iperf3 -u at 20 Mbit/s.
        Verify:
            Each datagram comes back as it was sent; iperf3 loses none.
        """
        for addr in (SRV4, SRV6):
            self.echo_datagrams(addr, "1", "100", "1400")
            end = iperf(self.lab, addr, "-u", "-b", "20M", "-l", "1200")
            verify(end["sum"]["lost_packets"] == 0 and end["sum"]["packets"] > 1000, f"iperf3 -u: {end['sum']}")

    @func_test
    def fragments(self) -> None:
        """Fragments, IPv6 and IPv4.

        Steps:
            300 datagrams of 4,000 and 9,000 octets there and back.
        Verify:
            Each comes back as it was sent.
        """
        self.echo_datagrams(SRV6, "4000", "9000")
        if self.lab.driver == "af_packet":
            skip("IPv6 only: the kernel puts IPv4 fragments together before net_af_packet sees them")
        self.echo_datagrams(SRV4, "4000", "9000")

    @func_test
    def unknown_ethertype(self) -> None:
        """Frames of an EtherType that nobody knows, both the smallest and the largest.

        Steps:
            Send 200 frames with EtherType 0x88b5 (local experimental) of 60 to 1,514 octets into the inside port.
        Verify:
            They come out of the outside port in order, octet for octet.
        """
        args = ("88b5", "3", "46", "1500")
        rx = self.lab.srv.start("frames", "python3", "-c", RECEIVE, self.lab.srv.dev, *args)
        rx.wait_line("receiving")
        with self.delta() as d:
            self.lab.cli.python(SEND, self.lab.cli.dev, *args)
            rx.wait_line("200 frames", 10)
        self.untouched(d, 200)

    @func_test
    def malformed_frames(self) -> None:
        """Frames that say IPv4 or IPv6 and are neither.

        Steps:
            Send 200 frames each of EtherType 0x0800 and 0x86dd with random octets behind it.
        Verify:
            They cross octet for octet: a cable does not judge. The appliance counts them and lives.
        """
        for kind in ("0800", "86dd"):
            args = (kind, "11", "46", "1500")
            rx = self.lab.srv.start(f"frames-{kind}", "python3", "-c", RECEIVE, self.lab.srv.dev, *args)
            rx.wait_line("receiving")
            with self.delta() as d:
                self.lab.cli.python(SEND, self.lab.cli.dev, *args)
                rx.wait_line("200 frames", 10)
            self.untouched(d, 200)

    @func_test
    def vlan(self) -> None:
        """Tagged traffic, bypassed and selected.

        Steps:
            On VLAN 100 ping, iperf3, and fetch an object from the port that the rule selects; then with a rule for VLAN
            7 only.
        Verify:
            Nothing is lost; the object is right and was adapted inside the tag; the rule for another VLAN leaves it alone.
        """
        a4, a6 = self.lab.vlan(100)
        for addr in (a4, a6):
            out = self.lab.cli.run("ping", "-q", "-i", "0.01", "-c", "100", addr).stdout
            verify(" 0% packet loss" in out, out)
        with self.delta() as d:
            end = iperf(self.lab, a4, seconds=1)
        verify(end["sum_received"]["bytes"] > 1 << 20, f"iperf3: {end['sum_received']}")
        self.untouched(d, 100)
        obj = Obj("length", 12, 3 << 20)
        for rule, adapted in ((adapt_rule("as-is", more=", vlan: 100"), 1), (adapt_rule("as-is", more=", vlan: 7"), 0)):
            self.use(rule)
            for addr in (a4, a6):
                with self.delta() as d:
                    r = self.fetch(obj, addr=addr)
                verify(r.returncode == 0 and self.got == obj.body(), f"tagged object: {r.stdout} {r.stderr}")
                verify(d["msg_adapted"] == adapted, f"{d['msg_adapted']} messages adapted with {rule}")
        self.use(adapt_rule("as-is"))

    @func_test
    def neighbours(self) -> None:
        """ARP and IPv6 neighbour discovery: the ends see each other, not the appliance.

        Steps:
            Forget all neighbours, ping, read what both ends learnt.
        Verify:
            Each has the other's own address.
        """
        for node, peer4, peer6, other in ((self.lab.cli, SRV4, SRV6, self.lab.srv),
                                          (self.lab.srv, CLI4, "fd77::1", self.lab.cli)):
            mac = json.loads(other.run("ip", "-j", "link", "show", "dev", other.dev).stdout)[0]["address"]
            node.run("ip", "neigh", "flush", "all")
            for peer in (peer4, peer6):
                verify(node.run("ping", "-c", "1", "-W", "2", peer, check=False).returncode == 0, f"no answer from {peer}")
                learnt = json.loads(node.run("ip", "-j", "neigh", "show", peer).stdout)[0]["lladdr"]
                verify(learnt == mac, f"{peer} is at {learnt}, its own address is {mac}")

    @func_test
    def bypass_rule(self) -> None:
        """A rule with the action bypass in front of one that adapts.

        Steps:
            Bypass the server's address on the HTTP port, then adapt that port; fetch an object.
        Verify:
            The object is right and no flow was taken up; without the first rule it is adapted.
        """
        bypass = f"{{name: around, match: {{server: {SRV4}, server-port: {HTTP_PORT}}}, action: bypass}}"
        obj = Obj("chunked", 5, 1 << 20)
        for rules, adapted in (((bypass, adapt_rule("as-is")), 0), ((adapt_rule("as-is"),), 1)):
            self.use(*rules)
            with self.delta() as d:
                r = self.fetch(obj)
            verify(r.returncode == 0 and self.got == obj.body(), f"{r.stdout} {r.stderr}")
            verify(d["flow_created"] == adapted == d["msg_adapted"], f"{d['flow_created']} flows, {d['msg_adapted']} adapted")

    @func_test
    def jumbo(self) -> None:
        """Frames up to an MTU of 9,000.

        Steps:
            In a lab with MTU 9,000: ping with the largest packet that fits, unfragmentable; iperf3; frames of unknown
            EtherType; a 16 MiB object through as-is and echo.
        Verify:
            Nothing is lost, nothing differs, and segments above 1,500 octets were really used.
        """
        # The kernel attaches no AF_XDP socket to an interface with frames above a page; see packaging in docs.
        lab = Lab(mtu=9000, tag=f"{self.lab.tag}j", driver="af_packet" if not self.lab.testbed else None)
        try:
            lab.make()
            lab.start_callout("as-is", "echo")
            origin = lab.srv.start("origin", *lab.srv.module("origin"))
            origin.wait_line("origin: ready")
            lab.start(f"[{adapt_rule('as-is')}]", services("as-is", "echo", port=CALLOUT_PORT), memory="400MiB",
                      limits="{mbufs: 16384}")
            lab.wait_service("as-is")
            self.check_jumbo(lab)
        finally:
            lab.close()

    def check_jumbo(self, lab: Lab) -> None:
        for addr, size in ((SRV4, "8972"), (SRV6, "8952")):
            out = lab.cli.run("ping", "-q", "-M", "do", "-i", "0.01", "-c", "100", "-s", size, addr, check=False).stdout
            verify(" 0% packet loss" in out, out)
        rx = lab.srv.start("frames", "python3", "-c", RECEIVE, lab.srv.dev, "88b5", "4", "46", "9000")
        rx.wait_line("receiving")
        lab.cli.python(SEND, lab.cli.dev, "88b5", "4", "46", "9000")
        rx.wait_line("200 frames", 10)
        server = lab.srv.start("iperf3", "iperf3", "-s", "--forceflush")
        server.wait_line("listening")
        for addr in (SRV4, SRV6):
            end = iperf(lab, addr, seconds=1)
            verify(end["sum_received"]["bytes"] > 10 << 20, f"iperf3: {end['sum_received']}")
        obj = Obj("length", random.Random(1).randrange(100), 16 << 20)
        for service in ("as-is", "echo"):
            lab.set_rules(f"[{adapt_rule(service)}]", services("as-is", "echo"))
            wait_for("the service is up", lambda s=service: lab.service(s).get("state") == "up")
            before = lab.counters()
            out = lab.dir / "got"
            lab.curl("-o", str(out), url(obj.path))
            verify(out.read_bytes() == obj.body(), f"the object through {service} differs")
            c = lab.counters()
            verify(c["msg_adapted"] == before["msg_adapted"] + 1, "it was not adapted")
            segments = c["tcp_segs_out"] - before["tcp_segs_out"]
            verify(segments < (16 << 20) // 2500, f"{segments} segments for 16 MiB: no jumbo segments")
        lab.drained()
