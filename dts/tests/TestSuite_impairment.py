# SPDX-License-Identifier: BSD-3-Clause
"""Bad cables: packets are lost, doubled, displaced, delayed and corrupted between real kernel ends and the appliance.

opes-tamper (dts/tamper) is in the cable on either side of the appliance, and in one beside it for comparison. Each cell of
the grid has an impairment (in both directions of a cable), an IP version and the cable or cables, and runs at the same time,
through as-is, through echo, through flows that are selected and forwarded, and through such that leave the path with their first
request: a download, an upload and 1,000 short transactions, half of them on connections of their own. Transfers have 16 MiB where TCP gets them across in time. Where loss and delay
forbid it - kernel ends with CUBIC, too, move some 1.2 segments / (RTT * sqrt(loss)) a second, a third of that at 10 % loss -
the size is what that rate moves in some seconds, and no less than 256 KiB: size_for() says which.

./test runs a part of the grid with every impairment, service, IP version, direction and cable in it (some three minutes),
OPES_GRID=full in the environment all of it.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from typing import Any

from opes_api.appliance import ApplianceSuite, adapt_rule
from opes_api.lab import SRV4, SRV6, Process
from opes_api.suite import func_test, skip, verify

MIB = 1 << 20
PORTS = {"as-is": 8000, "echo": 8001, "forward": 8002, "tunnel": 8003}
FULL = os.environ.get("OPES_GRID") == "full"
SHORT = 1000
PAIRS, PAIR_SIZE = 20, 8 * (1 << 20)
RATIO, COLLAPSED = 0.8, 0.6
SLACK = 400  # packet buffers that drivers, caches and callout connections hold now and not then
MTU_PAYLOAD = 1448
SIGMAS = 6


def size_for(loss: float, rtt: float, seconds: float = 8) -> int:
    """The largest power of two of octets, 256 KiB to 16 MiB, that a CUBIC sender moves in about so many seconds."""
    if not loss:
        return 16 * MIB
    rate = 1.2 * MTU_PAYLOAD / (max(rtt, 0.002) * sqrt(loss)) / (3 if loss > 0.05 else 1)
    size = 16 * MIB
    while size > 256 << 10 and size > rate * seconds:
        size //= 2
    return size


class TestImpairment(ApplianceSuite):
    """One lab with opes-tamper in all cables; an origin for each service."""

    lab_args = {"tampered": ("cli", "srv")}
    callout_args = ("as-is", "echo")

    def set_up_suite(self) -> None:
        if "OPES_TESTBED" in os.environ:
            skip("a testbed has no opes-tamper in its cables")
        super().set_up_suite()
        self.direct = dict(zip((4, 6), self.lab.direct_link()))
        self.through = {4: SRV4, 6: SRV6}
        both = "[request, response]"
        self.use(adapt_rule("as-is", kind=both, port=PORTS["as-is"]), adapt_rule("echo", kind=both, port=PORTS["echo"]),
                 # Both are selected for a message that never comes; the one leaves the path with its first request.
                 f"{{name: selected, match: {{protocol: http, server-port: [{PORTS['forward']}, {PORTS['tunnel']}], "
                 "path: {prefix: /nothing}}, action: block}",
                 f"{{name: tunnel, match: {{protocol: http, server-port: {PORTS['tunnel']}, kind: request}}, action: tunnel}}",
                 names=("as-is", "echo"))
        self.transfers(self.jobs(4, MIB, 20, 60))
        self.lab.drained(60)
        self.buffers = self.lab.gauges()["mbufs_free"]

    def start_origin(self) -> Process:
        for k, port in enumerate(PORTS.values()):
            p = self.lab.srv.start(f"origin{port}", *self.lab.srv.module("origin", "--http", str(port), "--echo", str(7000 + k)))
            p.wait_line("origin: ready")
        return p

    def tear_down_test_case(self) -> None:
        """The cables are good again: what is still open must come to its end, and every buffer back."""
        self.lab.impair("")
        verify(self.lab.dataplane.alive(), f"opes-dataplane ended:\n{self.lab.dataplane.output()[-2000:]}")
        self.lab.drained(90)
        free = self.lab.gauges()["mbufs_free"]
        verify(free >= self.buffers - SLACK, f"{self.buffers - free} packet buffers are gone")

    # --- transfers ------------------------------------------------------------------------------

    def jobs(self, version: int, size: int, short: int, seconds: float, ports: dict[str, int] | None = None) -> list[list[dict]]:
        """A download, an upload and short transactions for each service, in lists that are run by a process each."""
        lists: list[list[dict]] = [[], [], []]
        for k, (service, port) in enumerate((ports or PORTS).items()):
            common = {"addr": self.through[version], "port": port, "seconds": seconds, "service": service}
            lists[0].append({**common, "kind": "download", "size": size, "seed": 700 + k})
            lists[1].append({**common, "kind": "upload", "size": size, "seed": 800 + k})
            lists[2].append({**common, "kind": "short", "count": short, "connections": 40, "seed": 1000 * k})
        return lists

    def transfers(self, lists: list[list[dict]]) -> list[dict[str, Any]]:
        """All at the same time; every one must be right. The jobs with their results in them."""
        def one(i: int) -> list[dict]:
            file = self.lab.dir / f"jobs-{i}.json"
            file.write_text(json.dumps(lists[i]))
            return json.loads(self.in_cli("transfers", str(file), timeout=600))
        with ThreadPoolExecutor(len(lists)) as pool:
            results = list(pool.map(one, range(len(lists))))
        done = [{**job, **result} for jobs, rows in zip(lists, results) for job, result in zip(jobs, rows)]
        wrong = [f"{j['kind']} {j.get('service', '')} {j['addr']}: {j['error']}" for j in done if "error" in j]
        verify(not wrong, "; ".join(wrong) + f"; flows: {json.dumps(self.lab.ctl_json('flows'))[:3000]}" if wrong else "")
        return done

    # --- what really happened ----------------------------------------------------------------------

    def tampering(self) -> dict[str, dict[str, Any]]:
        return {k: t.counters() for k, t in self.lab.tampers.items()}

    def happened(self, before: dict, after: dict, cables: tuple[str, ...], chance: dict[str, float], displaced: int) -> str:
        """Each fault has struck as often as its chance says, in both directions of the cables; a summary."""
        text = []
        for name, t in after.items():
            for way in ("there", "back"):
                d = {k: v - before[name][way][k] for k, v in t[way].items()}
                for fault, name_of in (("lost", "loss"), ("duplicated", "dup"), ("displaced", "reorder"), ("corrupted", "corrupt")):
                    p = chance.get(name_of, 0) if name in cables else 0
                    n, got = d["in"], d[fault] + (d["spared"] if fault == "corrupted" else 0)
                    # Copies, displacement and corruption are for what is not lost.
                    n -= 0 if fault == "lost" else d["lost"]
                    verify(abs(got - n * p) <= SIGMAS * sqrt(n * p * (1 - p)) + (3 if p else 0),
                           f"{name}, {way}: {got} of {n} packets {fault}, {p:.3%} expected")
                    verify(not p or got > 0, f"{name}, {way}: nothing was {fault}")
                verify(not d["queue_dropped"] or "rate" in chance, f"{name}, {way}: {d['queue_dropped']} packets did not fit")
                verify(d["overrun"] == 0, f"{name}: opes-tamper held too many packets")
                if name in cables:
                    text.append(f"{name} {way} {d['in']} packets, {d['lost'] + d['queue_dropped']} lost, {d['duplicated']} doubled, {d['reordered']} "
                                f"reordered, {d['corrupted']} corrupted")
                    verify(not displaced or t[way]["displacement"] >= displaced, f"{name}, {way}: displaced by {t[way]['displacement']}")
            for end in ("first", "second"):
                verify(t[end]["rx_unfinished"] == before[name][end]["rx_unfinished"], f"{name}: frames without a checksum")
        return "; ".join(text)

    def round_trip(self, version: int) -> float:
        """The least of some echoes through the appliance, in seconds."""
        out = self.lab.cli.run("ping", "-q", "-c", "5", "-i", "0.05", "-W", "2", self.through[version]).stdout
        return float(out.split(" = ")[-1].split("/")[0]) / 1000

    def cell(self, options: str, version: int, *cables: str, loss: float = 0, dup: float = 0, reorder: float = 0,
             corrupt: float = 0, delay: float = 0, displaced: int = 0, queue: bool = False) -> None:
        """One cell; loss to corrupt as chances, delay in seconds one way, displaced: how far at least, queue: it overflows."""
        lossy = 1 - (1 - loss) * (1 - corrupt)
        size = size_for(lossy, 2 * delay * len(cables))
        self.lab.impair(options, *cables)
        if delay and not lossy:
            rtt = self.round_trip(version)
            verify(2 * delay * len(cables) <= rtt, f"{options}: a round trip takes {rtt} s only")
        was = self.tampering()
        with self.delta() as d:
            done = self.transfers(self.jobs(version, size, SHORT, 240))
        now = self.tampering()
        what = f"{options}, IPv{version}, {'+'.join(cables)}"
        chance = {"loss": loss, "dup": dup, "reorder": reorder, "corrupt": corrupt, **({"rate": 1} if queue else {})}
        dropped = {way: sum(now[c][way]["queue_dropped"] - was[c][way]["queue_dropped"] for c in cables) for way in ("there", "back")}
        verify(not queue or min(dropped.values()) > 0, f"{what}: the queue never was full: {dropped}")
        try:
            text = self.happened(was, now, cables, chance, displaced)
        except Exception as e:
            raise AssertionError(f"{what}: {e}") from e
        # Each request and each answer, through two services.
        want = 2 * 2 * (2 + SHORT)
        verify(d["msg_adapted"] == want and d["txn_done"] >= want, f"{what}: {d['msg_adapted']} of {want} messages were adapted")
        verify(d["msg_forwarded"] >= want // 2, f"{what}: {d['msg_forwarded']} messages of selected flows were forwarded")
        verify(d["msg_tunnel"] > 0, f"{what}: no flow became a tunnel")
        verify(d["fail_open"] == d["txn_failed"] == d["flow_aborted"] == d["flow_timeout"] == 0, f"{what}: failures: {d}")
        verify(not loss or d["tcp_retrans"] > 0, f"{what}: the appliance sent nothing again")
        verify(not reorder or d["tcp_ooo"] > 0, f"{what}: nothing came out of order to the appliance")
        verify(not corrupt or d["bad_checksum"] > 0, f"{what}: the appliance saw no wrong checksum")
        rows = {k: [j["seconds"] for j in done if j["kind"] == k] for k in ("download", "upload", "short")}
        print(f"    {what}: {size / MIB:g} MiB; " + ", ".join(f"{k} {'/'.join(f'{s:.1f}' for s in v)} s" for k, v in rows.items())
              + f"; resent {d['tcp_retrans']}, rto {d['tcp_rto']}, out of order {d['tcp_ooo']}, bad checksums "
              f"{d['bad_checksum']}, joined {d['flow_joined']} of {d['flow_joined'] + d['flow_join_given_up']}; {text}", flush=True)

    def quiet(self) -> None:
        """Between two cells: the ends' last segments may get through."""
        self.lab.impair("")
        self.lab.drained(90)

    def cells(self, *rows: tuple[str, dict[str, Any]], part: tuple[tuple[int, int, str], ...]) -> None:
        """In full every row for both versions, over the cable of cli and of srv in turn; else the part: (row, version, cable)."""
        todo = part if not FULL else tuple((i, v, ("cli", "srv")[(i + v // 2) % 2]) for i in range(len(rows)) for v in (4, 6))
        for i, version, cables in todo:
            options, facts = rows[i]
            self.cell(options, version, *cables.split("+"), **facts)
            self.quiet()

    # --- cases --------------------------------------------------------------------------------------

    @func_test
    def loss(self) -> None:
        """Random loss of 0.1, 1, 5 and 10 %.

        Steps:
            For each: downloads, uploads and short transactions through as-is, echo and forwarded flows at the same time.
        Verify:
            Every SHA-256 is right in time; that many packets were lost; every message went through its service; no flow is
            left.
        """
        self.cells(*((f"--loss {p:g}%", {"loss": p / 100}) for p in (0.1, 1, 5, 10)),
                   part=((0, 4, "cli"), (1, 6, "srv"), (2, 4, "srv"), (2, 6, "cli"), (3, 6, "cli")))

    @func_test
    def duplication(self) -> None:
        """Packets that come twice, at once and up to 5 ms later.

        Steps:
            As loss, with 1 % and 10 % of the packets doubled.
        Verify:
            As loss.
        """
        self.cells(("--dup 1%", {"dup": 0.01}), ("--dup 10%:5ms", {"dup": 0.1}), part=((0, 4, "srv"), (1, 6, "cli")))

    @func_test
    def reordering(self) -> None:
        """Packets displaced by 1 to 32 others.

        Steps:
            As loss, with 5 % of the packets displaced by 1, 2, 3, 4, 8, 16 and 32 packets, and by 1 to 32 of them.
        Verify:
            As loss; some packet was really overtaken by that many.
        """
        self.cells(*((f"--reorder 5%:{n}", {"reorder": 0.05, "displaced": n}) for n in (1, 2, 3, 4, 8, 16, 32)),
                   ("--reorder 5%:1-32", {"reorder": 0.05, "displaced": 24}), part=((0, 4, "srv"), (3, 6, "srv"), (7, 4, "cli")))

    @func_test
    def delay(self) -> None:
        """Delay of 0 to 50 ms one way.

        Steps:
            As loss, with 0, 5, 20 and 50 ms, and with 10 ms and 5 ms of jitter.
        Verify:
            As loss; an echo really takes so long.
        """
        self.cells(*((f"--delay {ms}ms", {"delay": ms / 1000}) for ms in (0, 5, 20, 50)), ("--delay 10ms:5ms", {"delay": 0.01}),
                   part=((3, 4, "srv"), (4, 6, "cli")))

    @func_test
    def corruption(self) -> None:
        """An octet of the IP header, the TCP header or the payload is another one; checksums stay.

        Steps:
            As loss, with 0.1 % and 1 % of the packets corrupted in any octet, and in headers and payload alike.
        Verify:
            As loss; the appliance saw wrong checksums and nobody got wrong octets.
        """
        self.cells(("--corrupt 0.1%:any", {"corrupt": 0.001}), ("--corrupt 1%:mixed", {"corrupt": 0.01}),
                   ("--corrupt 1%:any", {"corrupt": 0.01}), part=((1, 4, "cli"), (1, 6, "srv")))

    @func_test
    def combined(self) -> None:
        """All of it at once, on one cable and on both.

        Steps:
            As loss, with loss, duplication, reordering, corruption, delay and jitter together.
        Verify:
            As loss.
        """
        mild = ("--loss 0.5% --dup 1% --reorder 2%:1-8:2ms --corrupt 0.1%:mixed --delay 2ms:1ms",
                {"loss": 0.005, "dup": 0.01, "reorder": 0.02, "corrupt": 0.001, "delay": 0.002})
        hard = ("--loss 5% --dup 5%:5ms --reorder 10%:1-32 --corrupt 1%:mixed --delay 10ms:5ms",
                {"loss": 0.05, "dup": 0.05, "reorder": 0.1, "corrupt": 0.01, "delay": 0.01})
        worst = ("--loss 10% --dup 10%:20ms --reorder 10%:1-32:20ms --corrupt 2%:mixed --delay 50ms:5ms",
                 {"loss": 0.1, "dup": 0.1, "reorder": 0.1, "corrupt": 0.02, "delay": 0.05})
        part = ((0, 6, "cli+srv"), (1, 4, "cli"))
        full = tuple((i, v, c) for i in range(3) for v, c in ((4, "cli"), (6, "srv"), (4, "cli+srv"), (6, "cli+srv"))
                     if i < 2 or "+" not in c)
        rows = (mild, hard, worst)
        for i, version, cables in full if FULL else part:
            self.cell(rows[i][0], version, *cables.split("+"), **rows[i][1])
            self.quiet()

    @func_test
    def bottleneck(self) -> None:
        """A cable of 100 Mbit/s with a short queue before it.

        Steps:
            As loss; the queue takes 64,000 octets, then packets are dropped.
        Verify:
            As loss; the queue really overflowed in both directions.
        """
        self.cells(("--rate 100M:64k --delay 2ms", {"delay": 0.002, "queue": True}), part=((0, 4, "cli"), (0, 6, "srv")))

    # --- speed --------------------------------------------------------------------------------------

    def ratios(self, options: str, cable: str, kind: str, pairs: int = PAIRS,
               size: int = PAIR_SIZE) -> dict[str, list[float]]:
        """Transfers through as-is, forwarded flows and beside the appliance, all at the same time; rates to those beside."""
        self.lab.impair(options, cable, "direct")
        ways = {"as-is": (self.through[4], PORTS["as-is"]), "forward": (self.through[4], PORTS["forward"]),
                "beside": (self.direct[4], PORTS["forward"])}
        was = self.tampering()
        done = self.transfers([[{"kind": kind, "addr": a, "port": p, "size": size, "seed": 100 + k, "seconds": 280, "service": w}
                                for k in range(pairs)] for w, (a, p) in ways.items()])
        now = self.tampering()
        rate = {w: [j["octets"] / j["seconds"] for j in done if j["service"] == w] for w in ways}
        for name in (cable, "direct"):
            lost = sum(now[name][way]["lost"] - was[name][way]["lost"] for way in ("there", "back"))
            verify(lost > 0.003 * pairs * size / MTU_PAYLOAD, f"{name}: only {lost} packets were lost")
        self.quiet()
        print(f"    {options}, {kind}, {cable}: " + ", ".join(
            f"{w} {statistics.median(r) / 1e3:.0f} kB/s" for w, r in rate.items()) + "; late "
            + ", ".join(f"{k} {t['late_us']['mean']:.0f} us" for k, t in now.items()), flush=True)
        return {w: [a / b for a, b in zip(rate[w], rate["beside"])] for w in ("as-is", "forward")}

    def judge(self, delay_ms: int, rounds: int) -> None:
        """The median of all pairs of a service must reach RATIO. That of one direction over one cable has a spread of 0.08
        with one round of pairs, so that it is held to COLLAPSED then, and to RATIO with more rounds."""
        every: dict[str, list[float]] = {"as-is": [], "forward": []}
        low = []
        for cable in ("cli", "srv"):
            for kind in ("download", "upload"):
                got: dict[str, list[float]] = {"as-is": [], "forward": []}
                for _ in range(rounds):
                    for way, r in self.ratios(f"--loss 1% --delay {delay_ms}ms", cable, kind).items():
                        got[way] += r
                for way, r in got.items():
                    m = statistics.median(r)
                    every[way] += r
                    print(f"      {way}: median of {len(r)} ratios {m:.2f} ({min(r):.2f} to {max(r):.2f})", flush=True)
                    if m < (RATIO if rounds > 1 else COLLAPSED):
                        low.append(f"{way}, {kind}, {cable}: {m:.2f}")
        medians = {way: round(statistics.median(r), 2) for way, r in every.items()}
        print(f"    1 % loss, {delay_ms} ms one way, medians of {len(every['as-is'])} ratios: {medians}", flush=True)
        verify(not low, f"{delay_ms} ms: {low}")
        verify(min(medians.values()) >= RATIO, f"{delay_ms} ms: {medians}, {RATIO} wanted")

    @func_test
    def throughput(self) -> None:
        """Speed at 1 % loss (each way) and 20 ms round trip, to that between the kernels alone over such a cable.

        Steps:
            20 pairs of transfers of 8 MiB at the same time, CUBIC at both ends: through as-is, through forwarded flows, and
            over the cable beside the appliance; downloads and uploads; the bad cable on either side of the appliance.
        Verify:
            Every SHA-256 is right; the median ratio of all pairs is at least 0.8 for either service. In the full grid with
            40 pairs for each direction and cable, and 0.8 for each of them.
        """
        self.judge(10, 2 if FULL else 1)

    @func_test
    def throughput_20_ms_one_way(self) -> None:
        """The same with 20 ms one way (40 ms round trip); in the full grid only.

        Steps:
            As throughput.
        Verify:
            As throughput.
        """
        if not FULL:
            skip("only with OPES_GRID=full")
        self.judge(20, 2)

    # --- the cable itself ---------------------------------------------------------------------------

    def echoes(self, options: str) -> tuple[int, int, dict[str, dict[str, int]]]:
        """10 echo requests over the cable beside the appliance: answers, doubled answers, what the counters gained. Once more
        when a kernel had something of its own to say (multicast listeners): packet numbers would be others."""
        t = self.lab.tampers["direct"]
        for _ in range(5):
            t.set(options)
            before = t.counters()
            out = self.lab.cli.run("ping", "-q", "-c", "10", "-i", "0.02", "-W", "1", self.direct[4], check=False).stdout
            after = t.counters()
            gain = {way: {k: v - before[way][k] for k, v in after[way].items()} for way in ("there", "back")}
            if gain["there"]["in"] == 10 and gain["back"]["in"] <= 10:
                break
        words = out.replace("+", "").split()
        return (int(words[words.index("received,") - 1]), int(words[words.index("duplicates,") - 1]) if "duplicates," in words else 0,
                gain)

    @func_test
    def the_cable_itself(self) -> None:
        """opes-tamper does what it says: certain packets, checksums, counters, errors, ends.

        Steps:
            Ten echo requests over the cable beside the appliance with certain packets lost, doubled and corrupted, with a
            delay in one direction; opes-tamper with wrong words, without interfaces, ended by SIGTERM.
        Verify:
            Exactly those answers come; corrupted ones are refused by the kernel; a delay is a delay; errors name what is
            wrong; the counters are a line of JSON; exit codes are as told.
        """
        got, doubled, d = self.echoes("--there --nth loss:3 --nth loss:4+3 --back --nth dup:2")
        verify((got, doubled) == (6, 1), f"{got} answers, {doubled} doubled: {d}")
        verify(d["there"]["lost"] == 4 and d["back"]["duplicated"] == 1 and d["there"]["in"] == 10, f"{d}")
        for place in ("ip", "payload"):
            # ICMP is no TCP: it has no such payload, its header is not known.
            got, _, d = self.echoes(f"--there --corrupt 100%:{place}")
            verify((got == 0 and d["there"]["corrupted"] == 10) if place == "ip" else (got == 10 and d["there"]["spared"] == 10),
                   f"{place}: {got} answers, {d}")
        got, _, d = self.echoes("--there --corrupt 100%:60")
        verify(got == 0 and d["there"]["corrupted"] == 10, f"octet 60: {got} answers, {d}")
        self.lab.tampers["direct"].set("--back --delay 30ms")
        out = self.lab.cli.run("ping", "-q", "-c", "5", "-i", "0.05", self.direct[6]).stdout
        least = float(out.split(" = ")[-1].split("/")[0])
        verify(30 <= least < 45, f"a round trip of {least} ms with 30 ms in one direction")
        program, way = self.lab.program("opes-tamper"), self.lab.node("way")
        way.run("ip", "link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
        for words, code, text in ((("--loss", "2%", "nix0", "spare0"), 1, "nix0"), (("--loss", "200%", "a", "b"), 2, "200%"),
                                  (("spare0", "spare1"), 1, "not up"), (("spare0",), 2, "two interfaces"),
                                  (("spare0", "spare0"), 2, "same"), (("--help",), 0, "usage: opes-tamper")):
            r = way.run(program, *words, check=False)
            verify(r.returncode == code and text in r.stdout + r.stderr, f"{words}: {r.returncode} {r.stdout}{r.stderr}")
        for dev in ("spare0", "spare1"):
            way.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", "1")
            way.run("ip", "link", "set", dev, "up")
        p = way.start("tamper-spare", program, "spare0", "spare1")
        p.wait_line("opes-tamper: ready")
        os.kill(p.pid, signal.SIGUSR1)
        p.wait_line('"there"')
        verify(p.stop() == 0, "SIGTERM does not end it in order")
        verify(len([json.loads(line) for line in p.output().splitlines()[1:]]) == 2, p.output())
        self.lab.processes.remove(p)
