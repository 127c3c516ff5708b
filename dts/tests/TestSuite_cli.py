# SPDX-License-Identifier: BSD-3-Clause
"""Every command of opesctl, as text and as JSON; the demonstration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

from opes_api.appliance import ALL_SERVICES, ApplianceSuite, adapt_rule, url
from opes_api.lab import run, wait_for
from opes_api.objects import Obj
from opes_api.suite import func_test, skip, verify

DEMO_SECONDS = 400
HOLD_PORT, GO_PORT = 9100, 9101

# A server that, when its client has said all, says nothing until somebody connects to the other port.
HOLDER = """
import socket, sys
s, go = (socket.create_server((sys.argv[1], int(p))) for p in sys.argv[2:])
print("holder: ready", flush=True)
c, n = s.accept()[0], 0
while x := c.recv(65536):
    n += len(x)
print("holder: the client has said", n, flush=True)
go.accept()
c.sendall(b"z" * 3000)
c.close()
"""
# Its client, which closes its sending side.
HALF_CLOSER = """
import socket, sys
c, n = socket.create_connection((sys.argv[1], int(sys.argv[2]))), 0
c.sendall(b"a" * 2000)
c.shutdown(socket.SHUT_WR)
while x := c.recv(65536):
    n += len(x)
print("half-closer: the server has said", n, flush=True)
"""
# A client that keeps its connection after one GET.
KEEPER = """
import http.client, sys, time
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]))
c.request("GET", sys.argv[3])
print("keeper: has", len(c.getresponse().read()), flush=True)
time.sleep(60)
"""
# A client that upgrades its connection, lets it rest, and then has a kilobyte echoed again and again.
UPGRADER = """
import socket, sys, time
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c.sendall(b"GET /upgrade HTTP/1.1\\r\\nHost: t\\r\\nConnection: Upgrade\\r\\nUpgrade: bytes\\r\\n\\r\\n")
f = c.makefile("rb")
while f.readline() != b"\\r\\n":
    pass
print("upgrader: up", flush=True)
for i in range(100):
    time.sleep(0.2 if i else 2)
    c.sendall(bytes([i]) * 1000)
    if f.read(1000) != bytes([i]) * 1000:
        sys.exit("upgrader: other octets")
    print("upgrader: echoed", i + 1, flush=True)
"""


class TestCli(ApplianceSuite):
    """What the operator sees is what is."""

    callout_args = (*ALL_SERVICES, "header,add=X-Opes: seen")

    def set_up_suite(self) -> None:
        super().set_up_suite()
        self.use(adapt_rule("as-is"), adapt_rule("echo", port=8081))

    def both(self, *command: str) -> tuple[str, dict]:
        """A command's text and its JSON."""
        text = self.lab.ctl(*command)
        verify(text.stdout.strip() and not text.stderr, f"{command}: {text.stdout!r} {text.stderr!r}")
        before, after = self.lab.ctl("--json", *command), self.lab.ctl(*command, "--json")
        verify(len(before.stdout.splitlines()) == 1, f"{command}: JSON of several lines")
        a, b = json.loads(before.stdout), json.loads(after.stdout)
        verify(isinstance(a, dict) and a.keys() == b.keys(), f"{command}: --json before and after the command differ")
        return text.stdout, b

    @func_test
    def status(self) -> None:
        """status

        Steps:
            Ask as text and JSON.
        Verify:
            Processes, ports, workers, generation are those of the lab.
        """
        text, r = self.both("status")
        verify(r["dataplane"] == "up" and r["dataplane_pid"] == self.lab.dataplane.pid, f"{r}")
        verify(r["control_pid"] == self.lab.control.pid and r["rules"] == 2, f"{r}")
        verify([p["name"] for p in r["ports"]] == ["inside", "outside"] and all(p["link_up"] for p in r["ports"]), f"{r}")
        verify(str(self.lab.dataplane.pid) in text and f"generation {r['adopted']}" in text, text)
        self.lab.ping_ok()
        time.sleep(0.3)
        again = self.lab.ctl_json("status")
        verify(again["ports"][0]["rx_packets"] > 0 and again["ports"][1]["tx_packets"] > 0, f"{again['ports']}")

    @func_test
    def rules(self) -> None:
        """rules list, rules reload, rules check, config check

        Steps:
            Ask; reload; check the right file and a wrong one, without a daemon too.
        Verify:
            The rules in their order; a new generation; exit code 1 and file:line:column for the wrong one.
        """
        text, r = self.both("rules", "list")
        verify([x["name"] for x in r["rules"]] == ["as-is-response", "echo-response"], f"{r}")
        verify(all(x["action"] == "adapt" and x["kinds"] == ["response"] for x in r["rules"]), f"{r}")
        verify(text.index("as-is-response") < text.index("echo-response"), text)
        before = self.lab.generation()
        text = self.lab.ctl("rules", "reload").stdout
        verify(f"generation {before + 1}" in text and self.lab.generation() == before + 1, text)
        verify(json.loads(self.lab.ctl("--json", "rules", "reload").stdout)["generation"] == before + 2, "reload --json")
        wrong = self.lab.dir / "wrong.yaml"
        wrong.write_text(self.lab.config.read_text().replace("lcores:", "lcoers:"))
        for words in (("rules", "check"), ("config", "check")):
            text, r = self.both(*words, str(self.lab.config))
            verify(r["rules"] == 2 and "right" in text, f"{text} {r}")
            p = run(self.lab.program("opesctl"), "-s", "/nonexistent.sock", *words, str(wrong), check=False)
            verify(p.returncode == 1 and f"{wrong}:" in p.stderr and "lcoers" in p.stderr, f"{p.returncode} {p.stderr}")
            p = self.lab.ctl("--json", *words, str(wrong), check=False)
            errors = json.loads(p.stdout)["errors"]
            verify(p.returncode == 1 and errors[0]["line"] > 0 and "lcoers" in errors[0]["text"], p.stdout)

    @func_test
    def flows(self) -> None:
        """flows, and what the others show of a flow under way

        Steps:
            Start a slow download; ask flows, services, buffers; end it; ask again.
        Verify:
            One flow with its ends, rule, octets and transaction; nothing is left afterwards.
        """
        obj = Obj("length", 61, 32 << 20)
        curl = self.lab.cli.start("slow-curl", "curl", "-sS", "--limit-rate", "1M", "-o", "/dev/null", url(obj.path))
        wait_for("the transaction is open", lambda: self.lab.gauges().get("txns") == 1)
        time.sleep(0.7)
        text, r = self.both("flows")
        verify(len(r["flows"]) == 1 and r["more"] is False, f"{r}")
        f = r["flows"][0]
        verify(f["client"].startswith("10.77.0.1:") and f["server"] == "10.77.0.2:8000", f"{f}")
        verify(f["rule"] == "as-is-response" and f["txns"] == 1 and f["octets_from_server"] > 100000, f"{f}")
        verify(f["client"] in text and f["server"] in text, text)
        self.both("flows", "list")
        _, r = self.both("services")
        row = next(s for s in r["services"] if s["name"] == "as-is")
        verify(row["state"] == "up" and row["txns_open"] == 1 and row["octets_out"] > 100000, f"{row}")
        text, r = self.both("buffers")
        verify(r["total"]["flows"] == 1 and r["total"]["mbufs_free"] < r["total"]["mbufs_total"], f"{r}")
        verify(r["total"]["send_queued"] > 0 and r["total"]["chunks_used"] > 0, f"nothing waits for a slow client: {r}")
        curl.stop(signal.SIGKILL)
        self.lab.drained()
        verify(self.lab.ctl_json("flows")["flows"] == [], "the flow is still shown")

    def shown(self) -> tuple[str, dict, dict, dict, list[dict]]:
        """The one flow there is: flows show as text, its JSON, its halves (client, server), its directions."""
        row = self.lab.ctl_json("flows")["flows"][0]
        text, r = self.both("flows", "show", row["flow"])
        verify(int(row["flow"], 16) == row["id"] == r["id"] and r.keys() > row.keys(), f"{row} {r}")
        verify([h["towards"] for h in r["halves"]] == ["client", "server"], f"{r}")
        verify([d["from"] for d in r["directions"]] == ["client", "server"], f"{r}")
        return text, r, *r["halves"], r["directions"]

    @func_test
    def flow_in_full(self) -> None:
        """flows show: a slow download through as-is

        Steps:
            Start it; show its flow while the client lags behind, twice; ask for flows there are none of; end it.
        Verify:
            Both halves as the real ends see them; the message with its rule, service and offsets, which grow and agree
            with each other; an unknown id is said to be one.
        """
        obj = Obj("length", 63, 32 << 20)
        curl = self.lab.cli.start("slow-curl", "curl", "-sS", "--limit-rate", "1M", "-o", "/dev/null", url(obj.path))
        wait_for("the transaction is open", lambda: self.lab.gauges().get("txns") == 1)
        time.sleep(0.7)
        try:
            self.check_download()
        finally:
            curl.stop(signal.SIGKILL)
        self.lab.drained()

    def check_download(self) -> None:
        text, r, client, server, (request, response) = self.shown()
        (self.lab.dir / "flows-show.txt").write_text(text)
        verify(r["state"] == "open" and r["client_port"] == "inside" and r["requests_unanswered"] == 1, f"{r}")
        for h in (client, server):
            verify(h["state"] == "established" and h["sack"] and h["cc"] == "cubic" and h["ca"] in ("open", "recovery", "loss"),
                   f"{h}")
            verify(h["mss"] == 1460 and h["rcv_mss"] == (1460 if h is server else 536) or self.lab.testbed, f"{h}")
            verify(h["cwnd"] >= h["mss"] and 0 < h["min_rtt_us"] <= h["srtt_us"] < h["rto_us"], f"{h}")
            verify((h["snd_nxt"] - h["snd_una"]) % (1 << 32) == h["unacked"], f"{h}")
        verify(client["unacked"] + client["unsent"] > 0 and client["snd_wnd"] < 8 << 20, f"nothing waits for the client: {client}")
        verify(server["unacked"] == server["unsent"] == 0 and server["timer"] == "none" and server["timer_us"] is None, f"{server}")
        verify(not any(h["rx_finished"] or h["tx_finished"] for h in (client, server)), f"{r}")
        verify(request["mode"] == "http" and request["messages"] == 1 and not request["begun"] and not request["rule"]
               and request["offset"] is None, f"{request}")
        verify(response["begun"] and response["route"] == "adapt" and response["rule"] == "as-is-response"
               and response["service"] == "as-is" and response["generation"] == r["generation"], f"{response}")
        verify(response["octets"] >= response["offset"] >= response["sent"] >= response["returned"] >= response["identity"] > 100000
               and response["identity_ok"], f"{response}")
        for words in ("TOWARDS CLIENT", "FROM SERVER", "established", "as-is-response", r["client"]):
            verify(words in text, text)
        column = text.splitlines()[3].index("TOWARDS SERVER")
        verify(all(x[column - 1] == " " != x[column] for x in text.splitlines()[4:20]), f"not aligned:\n{text}")
        # The client reads by the megabyte; what it leaves free is filled from the other side.
        more = wait_for("the download goes on", lambda: (x := self.shown())[4][1]["offset"] > response["offset"] and x, 10)
        _, again, client2, server2, (_, response2) = more
        verify(response2["identity"] > response["identity"], f"{response2}")
        verify((client2["snd_una"] - client["snd_una"]) % (1 << 32) > 100000
               and (server2["rcv_nxt"] - server["rcv_nxt"]) % (1 << 32) > 100000 and again["age_us"] > r["age_us"],
               f"{r}\n{again}")
        for unknown in ("fedcba", "1f00000000000001", "ff00000000000001"):
            p = self.lab.ctl("flows", "show", unknown, check=False)
            verify(p.returncode == 1 and f"no flow {unknown}" in p.stderr and "opesctl flows" in p.stderr, p.stderr)
            p = self.lab.ctl("--json", "flows", "show", unknown, check=False)
            verify(p.returncode == 1 and unknown in json.loads(p.stdout)["error"], p.stdout)

    @func_test
    def flow_parked(self) -> None:
        """flows show: a connection on which nothing is said

        Steps:
            GET with a connection that is kept; wait; show it.
        Verify:
            The flow is parked and still shows both halves and what it carried.
        """
        keeper = self.lab.cli.start("keeper", "python3", "-c", KEEPER, "10.77.0.2", "8000", Obj("length", 64, 70000).path)
        keeper.wait_line("keeper: has 70000")
        wait_for("the flow is parked", lambda: self.lab.ctl_json("flows")["flows"][0]["state"] == "parked", 10)
        verify(self.lab.gauges()["flows_parked"] == 1, f"{self.lab.gauges()}")
        text, r, client, server, directions = self.shown()
        verify(r["state"] == "parked" and "parked" in text and r["idle_us"] > 100000, f"{r}")
        verify(all(h["state"] == "established" and h["srtt_us"] and h["unacked"] == h["unsent"] == h["rxq"] == 0
                   and h["timer_us"] is None for h in (client, server)), f"{r}")
        verify([d["messages"] for d in directions] == [1, 1] and directions[1]["octets"] > 70000, f"{directions}")
        keeper.stop(signal.SIGKILL)
        self.lab.drained()
        p = self.lab.ctl("flows", "show", r["flow"], check=False)
        verify(p.returncode == 1 and f"no flow {r['flow']}: it is over" in p.stderr, p.stderr)

    @func_test
    def flow_joined(self) -> None:
        """flows show: a connection on which nothing is left to look at

        Steps:
            Upgrade a connection with a request to which a service adds a field; show its flow when it has rested; use it.
        Verify:
            The flow is joined, its numbers move by the octets of that field, there are no halves; what is said on it is
            counted and gets through.
        """
        self.use(adapt_rule("header", kind="request"), names=("header",))
        client = self.lab.cli.start("upgrader", "python3", "-c", UPGRADER, "10.77.0.2", "8000")
        try:
            client.wait_line("upgrader: up")
            wait_for("the flow is joined", lambda: self.lab.ctl_json("flows")["flows"][0]["state"] == "joined", 10)
            verify(self.lab.gauges()["flows_joined"] == 1, f"{self.lab.gauges()}")
            row = self.lab.ctl_json("flows")["flows"][0]
            text, r = self.both("flows", "show", row["flow"])
            verify(r["joined"] and r["halves"] == [] and [d["mode"] for d in r["directions"]] == ["joined", "joined"], f"{r}")
            verify((r["delta_from_client"], r["delta_from_server"]) == (len("X-Opes: seen\r\n"), 0), f"{r}")
            verify("client +14, of the server +0" in text and "TOWARDS" not in text, text)
            client.wait_line("upgrader: echoed 5")
            octets = [d["octets"] for d in self.lab.ctl_json("flows", "show", row["flow"])["directions"]]
            verify(all(n >= 5000 for n in octets), f"{octets}")
        finally:
            client.stop(signal.SIGKILL)
            self.use(adapt_rule("as-is"), adapt_rule("echo", port=8081))
        self.lab.drained()

    @func_test
    def flow_half_closed(self) -> None:
        """flows show: an opaque stream whose client has said all

        Steps:
            A client sends and closes its sending side; show the flow; let the server answer and close.
        Verify:
            The half towards the client is in CLOSE-WAIT, the one towards the server in FIN-WAIT-2, the client's
            direction ended; then the answer arrives.
        """
        self.use(adapt_rule("as-is", kind="stream", port=HOLD_PORT, protocol="tcp"))
        holder = self.lab.srv.start("holder", "python3", "-c", HOLDER, "10.77.0.2", str(HOLD_PORT), str(GO_PORT))
        holder.wait_line("holder: ready")
        closer = self.lab.cli.start("half-closer", "python3", "-c", HALF_CLOSER, "10.77.0.2", str(HOLD_PORT))
        try:
            holder.wait_line("holder: the client has said 2000")
            wait_for("both halves know", lambda: self.lab.ctl_json(
                "flows", "show", self.lab.ctl_json("flows")["flows"][0]["flow"])["halves"][1]["state"] == "fin-wait-2", 10)
            text, r, client, server, directions = self.shown()
            verify(client["state"] == "close-wait" and client["rx_finished"] and not client["tx_finished"], f"{client}")
            verify(server["tx_finished"] and not server["rx_finished"] and server["unacked"] == 0, f"{server}")
            verify(r["protocol"] == "tcp" and [d["eof"] for d in directions] == [True, False], f"{r}")
            verify([d["octets"] for d in directions] == [2000, 0] and [d["messages"] for d in directions] == [1, 0], f"{directions}")
            verify("close-wait" in text and "tcp, ended" in text, text)
            self.lab.cli.python("import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))",
                                "10.77.0.2", str(GO_PORT))
            closer.wait_line("half-closer: the server has said 3000")
            self.lab.drained()
        finally:
            holder.stop(signal.SIGKILL)
            closer.stop(signal.SIGKILL)
            self.use(adapt_rule("as-is"), adapt_rule("echo", port=8081))

    @func_test
    def counters(self) -> None:
        """counters

        Steps:
            Ask with and without --all around a fetch.
        Verify:
            --all has every counter with a text, sums of its parts; without it no zeros; the fetch shows.
        """
        before = self.lab.counters()
        obj = Obj("length", 62, 50000)
        self.fetch(obj)
        text, r = self.both("counters", "--all")
        names = [c["name"] for c in r["counters"]]
        verify(len(names) == len(set(names)) > 40 and all(c["text"] for c in r["counters"]), f"{names}")
        for c in r["counters"]:
            verify(c["value"] == sum(c["workers"]) + c["callout"], f"{c}")
        verify(self.lab.counters()["msg_adapted"] == before["msg_adapted"] + 1, "the message was not counted")
        text, r = self.both("counters")
        verify(all(c["value"] for c in r["counters"]) and len(r["counters"]) < len(names), f"{r}")
        verify("msg_adapted" in text and "flow_timeout" not in text, text)

    @func_test
    def events(self) -> None:
        """events, events -n, events -f

        Steps:
            Follow events; send a request of ambiguous length; ask for the last events.
        Verify:
            The refusal appears where it is followed, as text and JSON, with its reason; -n limits.
        """
        follow = self.lab.dut.start("follow", self.lab.program("opesctl"), "-s", self.lab.socket, "events", "-f")
        follow_json = self.lab.dut.start("follow-json", self.lab.program("opesctl"), "-s", self.lab.socket, "--json",
                                         "events", "-f")
        time.sleep(0.5)
        octets = b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        self.in_cli("client", "raw", "10.77.0.2", "8000", octets.hex())
        follow.wait_line("message-refused", 5)
        follow_json.wait_line("message-refused", 5)
        last = [json.loads(x) for x in follow_json.output().splitlines()][-1]
        verify(last["kind"] == "message-refused" and last["cause"] == "framing" and last["text"], f"{last}")
        for p in (follow, follow_json):
            p.stop(signal.SIGINT)
        text, r = self.both("events", "-n", "1")
        verify(len(r["events"]) == 1 and r["events"][0]["kind"] == "message-refused", f"{r}")
        verify("message-refused" in text, text)

    @func_test
    def help_and_errors(self) -> None:
        """help, --version, wrong commands, no daemon, the interactive mode

        Steps:
            Each of them.
        Verify:
            Every command is in the help; wrong ones end with 2 and a line; without a daemon 1; the shell answers
            several commands.
        """
        text = self.lab.ctl("help").stdout
        for words in ("status", "rules list", "rules reload", "rules check", "config check", "flows", "flows show ID",
                      "services", "buffers", "counters", "events"):
            verify(words in text, f"no {words} in the help: {text}")
        verify(self.lab.ctl("--version").stdout.startswith("opesctl "), "--version")
        for words in (("nonsense",), ("rules",), ("flows", "--nonsense"), ("status", "more"), ("flows", "show"),
                      ("flows", "show", "not-one")):
            p = self.lab.ctl(*words, check=False)
            verify(p.returncode == 2 and len(p.stderr.strip().splitlines()) == 1, f"{words}: {p.returncode} {p.stderr}")
        p = run(self.lab.program("opesctl"), "-s", "/nonexistent.sock", "status", check=False)
        verify(p.returncode == 1 and "/nonexistent.sock" in p.stderr, f"{p.returncode} {p.stderr}")
        p = run(self.lab.program("opesctl"), "-s", "/nonexistent.sock", "--json", "status", check=False)
        verify(p.returncode == 1 and json.loads(p.stdout)["error"], p.stdout)
        p = run(self.lab.program("opesctl"), "-s", self.lab.socket, input="status\nrules list\nnonsense\ncounters\nquit\n",
                check=False)
        verify("dataplane: up" in p.stdout and "as-is-response" in p.stdout and "rx_frames" in p.stdout, p.stdout)

    @func_test
    def telemetry(self) -> None:
        """DPDK's own tools go on working.

        Steps:
            Ask the dataplane's telemetry socket for its ports.
        Verify:
            It answers with two.
        """
        code = ("import json, socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                "s.connect(sys.argv[1])\ns.recv(16384)\ns.send(b'/ethdev/list')\n"
                "print(len(json.loads(s.recv(16384))['/ethdev/list']))")
        path = f"/var/run/dpdk/opes{self.lab.tag}/dpdk_telemetry.v2"
        if not os.path.exists(path):
            skip(f"DPDK made no telemetry socket at {path}")
        verify(self.lab.dut.python(code, path).stdout.strip() == "2", "not two ports")

    @func_test
    def demo(self) -> None:
        """./demo

        Steps:
            Run it.
        Verify:
            Exit code 0, all that it claims is checked; no namespace, no process, no hugepage file is left.
        """
        if self.lab.testbed:
            skip("the demonstration is for namespaces of one host")
        p = subprocess.run([str(self.lab.root / "demo")], capture_output=True, text=True, timeout=DEMO_SECONDS,
                           env={**os.environ, "OPES_LOGS": str(self.lab.dir / "demo-logs")})
        verify(p.returncode == 0, f"exit code {p.returncode}\n{p.stdout[-3000:]}\n{p.stderr[-3000:]}")
        verify(p.stdout.count("ok  ") >= 6 and "FAIL  " not in p.stdout and "--keep" in p.stdout, p.stdout[-3000:])
        left = [x for x in run("ip", "netns", "list").stdout.split() if x.startswith("opes-") and x.endswith("-demo")]
        verify(not left, f"namespaces: {left}")
        left = [x for x in os.listdir("/dev/hugepages") if x.startswith("opesdemo")]
        verify(not left, f"hugepage files: {left[:3]}")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = open(f"/proc/{pid}/cmdline", "rb").read()
            except OSError:
                continue
            verify(b"opes-lab-demo" not in command, f"process {pid}: {command!r}")
