# SPDX-License-Identifier: BSD-3-Clause
"""A hundred thousand transactions, an end in order or not, leave nothing behind."""

from __future__ import annotations

import os
import signal
import time

from opes_api.appliance import ApplianceSuite, adapt_rule, url
from opes_api.lab import SRV4, wait_for
from opes_api.suite import func_test, verify

TRANSACTIONS = 100_000
SECONDS = 150
# At rest drivers (AF_XDP fill rings) and each connection to a callout server (buffers to read into) hold some buffers; how
# many varies by less than this.
SLACK = 160
GROWTH_KIB = 16 << 10


class TestLeaks(ApplianceSuite):
    """nginx and wrk, short transactions, connections kept and connections closed."""

    # Few buffers, so that a leak of a few per thousand empties the pool.
    limits = "{mbufs: 32768}"

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.nginx = self.lab.start_nginx()
        (self.lab.www / "small").write_bytes(b"small " * 100)
        (self.lab.www / "page").write_bytes(b"Bluebird page " * 300)

    def rest(self) -> dict[str, int]:
        """The gauges once nothing is under way."""
        self.lab.drained(60)
        wait_for("the gauges stand still", lambda: self.lab.gauges() == (time.sleep(0.5), self.lab.gauges())[1], 20)
        return self.lab.gauges()

    def memory(self) -> dict[str, int]:
        """Resident KiB of each program."""
        out = {}
        for p in (self.lab.dataplane, self.lab.control, self.callout):
            for line in open(f"/proc/{p.pid}/status", encoding="ascii"):
                if line.startswith("VmRSS:"):
                    out[p.name] = int(line.split()[1])
        return out

    def wrk(self, path: str, seconds: int, *more: str, connections: int = 32) -> None:
        out = self.lab.cli.run("wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "20s", *more,
                               url(path, port=80)).stdout
        verify("Requests/sec" in out and "Socket errors" not in out and "Non-2xx" not in out, out)

    def left_behind(self, before: dict[str, int], after: dict[str, int]) -> None:
        for k in ("flows", "txns", "messages", "preserved_octets", "preserved_chunks", "chunks_used", "send_queued",
                  "receive_queued"):
            verify(after[k] == 0, f"{after[k]} of {k} are left: {after}")
        verify(after["mbufs_total"] == before["mbufs_total"], "the pool changed its size")
        lost = before["mbufs_free"] - after["mbufs_free"]
        verify(lost <= SLACK, f"{lost} packet buffers are gone: {before['mbufs_free']} free before, {after['mbufs_free']} after")

    @func_test
    def hundred_thousand_transactions(self) -> None:
        """100,000 short transactions.

        Steps:
            Warm up; read opesctl buffers and the programs' memory; run wrk with connections kept and with a new
            connection for each request, requests and responses adapted by as-is, echo and replace in turn, until 100,000
            transactions are done; wait for rest; read again.
        Verify:
            No flow, transaction, message, chunk, preserved or queued octet is left; the packet buffers are free again; no
            program has grown by more than 16 MiB; no transaction failed.
        """
        both = "[request, response]"
        self.use(adapt_rule("as-is", kind=both, port=80))
        self.wrk("/small", 2)
        self.wrk("/page", 2, "-H", "Connection: close")
        before, memory = self.rest(), self.memory()
        start, rounds = time.monotonic(), 0
        with self.delta() as d:
            at_start = self.lab.counters()["txn_done"]
            while (done := self.lab.counters()["txn_done"] - at_start) < TRANSACTIONS:
                verify(time.monotonic() - start < SECONDS, f"{done} transactions in {SECONDS} s")
                self.use(adapt_rule(("as-is", "echo", "replace")[rounds % 3], kind=both, port=80))
                self.wrk(("/small", "/page")[rounds % 2], 3)
                self.wrk(("/page", "/small")[rounds % 2], 1, "-H", "Connection: close")
                rounds += 1
        took = time.monotonic() - start
        after, grown = self.rest(), {k: v - memory[k] for k, v in self.memory().items()}
        verify(d["flow_created"] > 1000, f"only {d['flow_created']} connections")
        # wrk cuts what is under way when its time is over.
        cut = 64 * 2 * rounds * 2
        verify(d["fail_open"] == 0 and d["txn_failed"] <= cut, f"{d['txn_failed']} transactions failed")
        print(f"    {d['txn_done']} transactions on {d['flow_created']} connections in {took:.0f} s; buffers free "
              f"{before['mbufs_free']} before, {after['mbufs_free']} after; grown by {grown} KiB")
        self.left_behind(before, after)
        verify(all(v <= GROWTH_KIB for v in grown.values()), f"memory in KiB: {memory} before, grown by {grown}")

    @func_test
    def cut_transactions(self) -> None:
        """Connections that die in the middle.

        Steps:
            A hundred times: start downloads of 64 MiB at a low rate through each service and kill the clients; also
            clients that connect and say nothing.
        Verify:
            As hundred_thousand_transactions; no flow waits for its timeout.
        """
        self.use(adapt_rule("as-is", port=80))
        with open(self.lab.www / "big", "wb") as f:
            f.truncate(64 << 20)
        self.wrk("/small", 1)
        before = self.rest()
        for service in ("as-is", "echo", "replace"):
            self.use(adapt_rule(service, port=80))
            clients = [self.lab.cli.start("cut", "curl", "-sS", "-o", "/dev/null", "--limit-rate", "500k",
                                          f"http://{SRV4}/big") for _ in range(34)]
            wait_for("they are all under way", lambda: self.lab.gauges().get("txns", 0) >= 30)
            time.sleep(0.5)
            verify(self.lab.gauges()["flows"] >= 34, f"{self.lab.gauges()}")
            for c in clients:
                c.stop(signal.SIGKILL)
                self.lab.processes.remove(c)
        self.lab.cli.python("import socket, time\n"
                            f"s = [socket.create_connection(('{SRV4}', 80)) for _ in range(50)]\n"
                            "[x.send(b'GET / HT') for x in s[:25]]\ntime.sleep(0.5)")
        self.left_behind(before, self.rest())

    @func_test
    def more_than_there_is_room_for(self) -> None:
        """Slow clients whose windows add up to several times the packet buffers.

        Steps:
            150 clients at a time fetch 1.5 MiB each at 150 kB/s through as-is, then through echo; ping meanwhile.
        Verify:
            Buffers really ran short; every client gets every octet; other traffic does not starve: at least 190 of 200
            echoes come back; nothing is left.
        """
        want = os.urandom(3 << 19)
        (self.lab.www / "blob").write_bytes(want)
        # Else the clients' kernels would take it all.
        self.lab.cli.sysctl("net.ipv4.tcp_rmem", "4096 65536 131072")
        before = self.rest()
        for service in ("as-is", "echo"):
            self.use(adapt_rule(service, port=80))
            ping = self.lab.cli.start("ping", "ping", "-q", "-i", "0.02", "-c", "200", "-W", "2", SRV4)
            with self.delta() as d:
                clients = [self.lab.cli.start(f"curl{i}", "curl", "-sS", "--limit-rate", "150k", "--max-time", "90", "-o",
                                              str(self.lab.dir / f"blob{i}"), f"http://{SRV4}/blob") for i in range(150)]
                least = before["mbufs_free"]
                while any(c.alive() for c in clients):
                    least = min(least, self.lab.gauges().get("mbufs_free", least))
                    time.sleep(0.05)
            for i, c in enumerate(clients):
                verify(c.popen.returncode == 0, f"{service}: curl {i}: {c.popen.returncode} {c.output()}; {d}; "
                       f"{(self.lab.ctl_json('events') or {}).get('events', [])[-3:]}")
                out = self.lab.dir / f"blob{i}"
                verify(out.read_bytes() == want, f"{service}: client {i} got something else")
                out.unlink()
                c.stop()
                self.lab.processes.remove(c)
            ping.popen.wait(30)
            # 150 clients on a small host overrun the ports' queues as well: some echoes may fall to that.
            answered = int(ping.output().split(" received")[0].split()[-1])
            verify(answered >= 190, f"{service}: {ping.output()}")
            verify(d["fail_open"] == 0 and d["msg_adapted"] == 150, f"{service}: {d}")
            verify(least < before["mbufs_free"] // 2, f"{service}: buffers never ran short: {least} free at least")
            print(f"    {service}: {least} of {before['mbufs_free']} buffers free at the least")
        self.left_behind(before, self.rest())
