# SPDX-License-Identifier: BSD-3-Clause
"""What an attacker on the wire can send, by the hundred thousand, beside transfers of real ends: they go on and finish."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from opes_api.appliance import ECHO_PORT, ApplianceSuite, adapt_rule, same
from opes_api.lab import CLI4, SRV4, Process
from opes_api.objects import Obj
from opes_api.suite import func_test, skip, verify

CLI_MAC, SRV_MAC = "02:00:00:77:00:01", "02:00:00:77:00:03"
GHOST = "10.77.0.50"  # no kernel answers for it; its Ethernet address is the client's
FLOWS = 4096
# argv: own port, seconds. Sends the whole time, in pieces, to the echo port; all that comes back must be what was sent.
STEADY = f"""
import hashlib, json, random, socket, sys, threading, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("{CLI4}", port))  # below those the kernel hands out
s.settimeout(60)
s.connect(("{SRV4}", {ECHO_PORT}))
sent, got, n = hashlib.sha256(), hashlib.sha256(), [0, 0]
def receive():
    while data := s.recv(1 << 16):
        got.update(data)
        n[1] += len(data)
t = threading.Thread(target=receive)
t.start()
print("steady: up", flush=True)
r, end = random.Random(port), time.monotonic() + seconds
while time.monotonic() < end:
    block = r.randbytes(r.choice((1, 700, 5000, 40000)))
    s.sendall(block)
    sent.update(block)
    n[0] += len(block)
    time.sleep(0.003)
s.shutdown(socket.SHUT_WR)
t.join(60)
print(json.dumps(dict(sent=n[0], got=n[1], same=sent.digest() == got.digest())), flush=True)
"""


class TestFlood(ApplianceSuite):
    """Rules take up HTTP on 8000, the byte echo, and port 80, where nobody listens."""

    limits = f"{{flows: {FLOWS}, handshake-timeout: 2s}}"

    def set_up_suite(self) -> None:
        super().set_up_suite()
        if self.lab.testbed:
            skip("the flood's addresses are those of the lab")
        self.lab.srv.run("ip", "neigh", "replace", GHOST, "lladdr", CLI_MAC, "dev", self.lab.srv.dev, "nud", "permanent")
        # The server's own answers to a flood must not be what is measured.
        self.lab.srv.sysctl("net.ipv4.tcp_max_syn_backlog", "8192")
        self.use(adapt_rule("as-is"), adapt_rule("as-is", kind="stream", port=ECHO_PORT, protocol="tcp"),
                 adapt_rule("as-is", port=80).replace("name: as-is-response", "name: as-is-80"))
        self.rest = self.lab.drained()
        self.fetched = 0

    # --- the attacker ---------------------------------------------------------------------------

    def attacker(self, mode: str, *more: str, port: int = 80, src: str = "", from_server: bool = False) -> Process:
        """Start opes-flood at the client's cable (or the server's, speaking as the server)."""
        node, mac = (self.lab.srv, CLI_MAC) if from_server else (self.lab.cli, SRV_MAC)
        ends = ["-d", src, "-s", f"{SRV4}:{port}"] if from_server else ["-d", f"{SRV4}:{port}", *(["-s", src] if src else [])]
        return node.start(f"flood-{mode}", str(self.lab.build / "dts/flood/opes-flood"), "-i", node.dev, "-e", mac, "-m", mode,
                          *ends, *more)

    def done(self, p: Process, seconds: float = 120) -> dict[str, Any]:
        """Wait for its end; what it said last."""
        p.popen.wait(seconds)
        text = p.output()
        p.stop()
        self.lab.processes.remove(p)
        verify(p.popen.returncode == 0, f"opes-flood: {text}")
        return json.loads(text.splitlines()[-1])

    # --- those at its side ------------------------------------------------------------------------

    def watch(self, until) -> dict[str, int]:
        """Fetch objects until until() is true, each compared octet for octet; the worst gauges of that time."""
        worst = {"fetched": 0, "mbufs_free": 1 << 60, "chunks_free": 1 << 60, "flows": 0}
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                g = self.lab.gauges()
                if g:
                    worst["mbufs_free"] = min(worst["mbufs_free"], g["mbufs_free"])
                    worst["chunks_free"] = min(worst["chunks_free"], g["chunks_total"] - g["chunks_used"])
                    worst["flows"] = max(worst["flows"], g["flows"])
                stop.wait(0.05)
        t = threading.Thread(target=look)
        t.start()
        try:
            while not until():
                obj = Obj(("length", "chunked")[self.fetched % 2], 3000 + self.fetched, (200_000, 3_000)[self.fetched % 2])
                r = self.fetch(obj)
                verify(r.returncode == 0, f"object {self.fetched} beside the flood: {r.stderr}")
                verify(self.got == obj.body(), f"object {self.fetched} beside the flood: {same(self.got, obj.body())}")
                self.fetched += 1
                worst["fetched"] += 1
        finally:
            stop.set()
            t.join()
        return worst

    def within_budget(self, worst: dict[str, int], what: str) -> None:
        print(f"    {what}: {worst['fetched']} objects beside it; at the worst {worst['flows']} flows, {worst['mbufs_free']} "
              f"packet buffers and {worst['chunks_free']} descriptors free")
        verify(worst["fetched"] > 3, f"only {worst['fetched']} objects came beside it")
        verify(worst["flows"] <= FLOWS, f"{worst['flows']} flows, {FLOWS} allowed")
        verify(worst["mbufs_free"] > 0 and worst["chunks_free"] > 0, f"memory was used up: {worst}")

    def steady(self, port: int, seconds: float) -> Process:
        p = self.lab.cli.start(f"steady{port}", "python3", "-c", STEADY, str(port), str(seconds))
        p.wait_line("steady: up")
        return p

    def steady_done(self, p: Process) -> None:
        p.popen.wait(120)
        text = p.output()
        p.stop()
        self.lab.processes.remove(p)
        verify(p.popen.returncode == 0, f"the connection under attack: {text}")
        r = json.loads(text.splitlines()[-1])
        verify(r["same"] and r["sent"] == r["got"] > 1 << 20, f"the connection under attack: {r}")

    def drained(self) -> None:
        """Everything of the flood is gone again."""
        now = self.lab.drained(60)
        lost = self.rest["mbufs_free"] - now["mbufs_free"]
        verify(lost < 200, f"{lost} packet buffers are missing after the flood: {now}")

    # --- cases ------------------------------------------------------------------------------------

    @func_test
    def million_syns(self) -> None:
        """A flood of a million SYNs.

        Steps:
            1,000,000 SYNs from random addresses and ports to a port that a rule takes up; objects through as-is meanwhile.
        Verify:
            A million came in; every object arrives; flows stay within their limit, what was beyond it is counted; nothing of
            it is left.
        """
        came, fetched, begin, worst = 0, 0, time.monotonic(), {}
        # Every SYN makes a flow or is refused room. What the port lost on a busy host is sent again.
        while came < 1_000_000 and time.monotonic() - begin < 240:
            with self.delta() as d:
                p = self.attacker("syn", "-n", str(max(1_000_000 - came, 20_000)), "-r", "80000", "-x", str(came + 1))
                w = self.watch(lambda p=p: not p.alive())
                self.done(p)
            fetched += w["fetched"]
            refused = {k: d[k] for k in ("flow_table_full", "half_open_exceeded") if d.get(k)}
            came += d["flow_created"] + sum(refused.values()) - w["fetched"]
            worst = {k: min(v, w[k]) if k.endswith("free") else max(v, w[k]) for k, v in worst.items()} or w
        worst["fetched"] = fetched
        print(f"    {came} SYNs in {time.monotonic() - begin:.0f} s: in the last round {d['flow_created']} made a flow, "
              f"no room for others: {refused}")
        verify(came >= 1_000_000, f"only {came} SYNs came in")
        verify(refused, f"no SYN was refused room: {d}")
        self.within_budget(worst, "SYNs")
        self.drained()

    @func_test
    def strays(self) -> None:
        """ACKs and RSTs of connections that never were.

        Steps:
            300,000 of each from random addresses; objects through as-is meanwhile.
        Verify:
            Every object arrives; no stray made a flow.
        """
        for mode in ("ack", "rst"):
            with self.delta() as d:
                p = self.attacker(mode, "-n", "300000", "-r", "100000")
                worst = self.watch(lambda p=p: not p.alive())
                sent = self.done(p)["sent"]
            verify(sent == 300_000 and d["rx_frames"] > 200_000, f"{sent} sent, {d['rx_frames']} came in")
            self.within_budget(worst, mode)
            verify(d["flow_created"] == worst["fetched"], f"{mode}: {d['flow_created']} flows, {worst['fetched']} objects")
            self.drained()

    @func_test
    def resets_into_a_live_flow(self) -> None:
        """Blind attack on one connection (RFC 5961): RSTs and SYNs with random numbers, as the client and as the server.

        Steps:
            A connection of real ends echoes octets; 200,000 RSTs and 200,000 SYNs at it from each side.
        Verify:
            It lives, every octet comes back; SYNs were answered by challenges, and few of them.
        """
        with self.delta() as d:
            s = self.steady(9001, 14)
            time.sleep(0.5)
            for mode in ("rst-live", "syn-live"):
                ps = [self.attacker(mode, "-n", "200000", "-r", "50000", port=ECHO_PORT, src=f"{CLI4}:9001", from_server=b)
                      for b in (False, True)]
                self.watch(lambda ps=ps: not any(p.alive() for p in ps))
                for p in ps:
                    verify(self.done(p)["sent"] == 200_000, f"{mode}: not all were sent")
            self.steady_done(s)
        verify(d["flow_reset"] == 0 and d["flow_aborted"] == 0, f"a connection was reset: {d}")
        verify(d["rx_frames"] > 400_000, f"the flood did not come in: {d['rx_frames']}")
        verify(10 < d["tcp_challenge"] < 2000, f"{d['tcp_challenge']} challenges, ten in a second for each half are due")
        self.drained()

    @func_test
    def garbage_into_a_live_flow(self) -> None:
        """Garbage of somebody who hears the connection: old numbers, impossible acknowledgements, far outside.

        Steps:
            A connection of real ends echoes octets; 300,000 segments of garbage at it from the client's cable.
        Verify:
            It lives, every octet comes back as it was sent.
        """
        with self.delta() as d:
            s = self.steady(9002, 12)
            time.sleep(0.5)
            p = self.attacker("garbage", "-n", "300000", "-r", "40000", port=ECHO_PORT, src=f"{CLI4}:9002")
            worst = self.watch(lambda: not p.alive())
            said = self.done(p)
            self.steady_done(s)
        verify(said["sent"] == 300_000 and d["rx_frames"] > 150_000, f"{said}, {d['rx_frames']} frames came in")
        self.within_budget(worst, "garbage")
        verify(d["flow_reset"] == 0 and d["flow_aborted"] == 0, f"a connection was reset: {d}")
        self.drained()

    @func_test
    def hole_bombs(self) -> None:
        """Connections that send every second octet only.

        Steps:
            1,000 real handshakes, then 200 segments of one octet with a gap before each, on every connection; objects
            through as-is meanwhile; the connections are held, then reset.
        Verify:
            What is held out of order stays within its bounds and the rest is refused; every object arrives; nothing is left.
        """
        with self.delta() as d:
            p = self.attacker("bomb", "-f", "1000", "-k", "200", "-t", "3", "-r", "50000", port=ECHO_PORT, src=f"{GHOST}:30000")
            worst = self.watch(lambda: not p.alive())
            said = self.done(p)
        verify(said["up"] == 1000 and said["sent"] >= 190_000, f"the bombs did not fly: {said}")
        self.within_budget(worst, f"bombs ({said['sent']} segments)")
        verify(worst["flows"] >= 1000, f"{worst['flows']} flows at the most")
        verify(d["tcp_ooo"] > 60_000, f"{d['tcp_ooo']} segments out of order")
        # 64 ranges a flow and no more, each one octet: beside them only what the objects need.
        verify(worst["chunks_free"] > 0, f"descriptors ran out: {worst}")
        self.drained()

    @func_test
    def tiny_segments(self) -> None:
        """One octet in a segment.

        Steps:
            200 connections send 300 segments of one octet each to the echo, through as-is.
        Verify:
            Every octet comes back; buffers are not pinned by octets; nothing is left.
        """
        with self.delta() as d:
            p = self.attacker("tiny", "-f", "200", "-k", "300", "-t", "4", "-r", "30000", port=ECHO_PORT, src=f"{GHOST}:40000")
            worst = self.watch(lambda: not p.alive())
            said = self.done(p)
        self.within_budget(worst, f"tiny segments ({said['sent']})")
        verify(said["up"] == 200 and said["alive"] == 200, f"{said}")
        # This client never sends again what a busy port loses.
        verify(said["octets"] > 200 * 300 // 2, f"{said['octets']} octets came back of {said['sent']}")
        verify(d["tcp_segs_in"] > said["sent"] // 2, f"{d['tcp_segs_in']} segments for {said['sent']}")
        self.drained()

    @func_test
    def stalled_readers(self) -> None:
        """Clients that ask for much and read nothing.

        Steps:
            800 connections ask for 3 MB each through as-is and acknowledge none of it, for 12 s; objects meanwhile.
        Verify:
            Packet buffers run short, those that take nothing are reset, with an event; objects arrive; nothing is left.
        """
        nginx = self.lab.start_nginx()
        (self.lab.www / "big").write_bytes(bytes(3 << 20))
        after = self.lab.last_event()
        with self.delta() as d:
            p = self.attacker("stall", "-f", "800", "-k", "1", "-t", "12", "-r", "20000", src=f"{GHOST}:35000")
            worst = self.watch(lambda: not p.alive())
            said = self.done(p)
        nginx.stop()
        self.lab.processes.remove(nginx)
        self.within_budget(worst, f"stalled readers ({said['octets']} octets sent to them)")
        verify(said["up"] == 800 and said["octets"] > 800 * 5_000, f"they did not stall anything: {said}")
        verify(100 < d["flow_stalled"] <= 800 and self.lab.events("flow-stalled", after), f"{d['flow_stalled']} were reset")
        self.drained()

    @func_test
    def conflicting_copies(self) -> None:
        """Different octets for the same numbers: the first win, the far end gets what the service saw, an event tells.

        Steps:
            50 connections send ten octets ahead of their turn, others over them twice, then the missing ones; the far end echoes.
        Verify:
            The first copies come back on every connection; conflicts are counted; an event shows both versions.
        """
        after = self.lab.last_event()
        with self.delta() as d:
            p = self.attacker("conflict", "-f", "50", "-k", "1", "-t", "2", "-r", "2000", port=ECHO_PORT, src=f"{GHOST}:50000")
            said = self.done(p)
        verify(said["up"] == 50 and said["right"] == 50, f"{said}")
        verify(d["tcp_conflict"] >= 100, f"{d['tcp_conflict']} conflicts counted")
        events = self.lab.events("tcp-conflict", after)
        # Both versions, of each octet A, in hexadecimal; events are rationed.
        verify(events and any("from the client" in e["text"] and "4141" in e["text"] and "4242" in e["text"] for e in events),
               f"no event shows both versions: {events}")
        self.drained()
