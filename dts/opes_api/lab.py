# SPDX-License-Identifier: BSD-3-Clause
"""The lab: client, appliance and server, each in a network namespace of its own.

::

    cli                     dut                         srv
    cli0 10.77.0.1/24 ---- in0 [opes-dataplane] out0 ---- srv0 10.77.0.2/24
         fd77::1/64             callout server on lo           fd77::2/64

Every namespace, process and file belongs to one Lab object and goes with it: the object is a
context manager, and only processes that it started are ended, by pid. Real kernel TCP ends talk
through the real binaries.

Lab(tampered=("cli", "srv")) puts opes-tamper (dts/tamper) into the cables: impair() makes them lose, double, displace, delay
and corrupt frames at runtime, and the same on the cable of direct_link() beside the appliance.

With OPES_TESTBED=FILE in the environment the ends are real hosts and the appliance has real ports; dts/README.md
describes that file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

CLI4, SRV4, CLI6, SRV6 = "10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"
READY_SECONDS = 30
OFFLOADS_OFF = [w for k in ("tx", "rx", "tso", "gso", "gro", "sg") for w in (k, "off")]


class LabError(RuntimeError):
    """Something of the lab itself did not work; the text says what and shows its log."""


def run(*argv: str, check: bool = True, timeout: float = 120, **kw: Any) -> subprocess.CompletedProcess:
    """Run a command to its end, output captured as text."""
    p = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **kw)
    if check and p.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit code {p.returncode}\n{p.stdout}{p.stderr}")
    return p


def wait_for(what: str, probe, seconds: float = READY_SECONDS, step: float = 0.05):
    """Poll until probe() is true; its value is returned."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"not within {seconds:g} s: {what}")
        time.sleep(step)


class Process:
    """A process of the lab with its output in a file."""

    def __init__(self, name: str, argv: list[str], log: Path, cwd: str | None = None) -> None:
        self.name, self.argv, self.log = name, argv, log
        self._out = open(log, "ab", buffering=0)
        self._mark = log.stat().st_size
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._out,
                                      stderr=subprocess.STDOUT, start_new_session=True, cwd=cwd)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def output(self) -> str:
        """What it has printed since this start."""
        with open(self.log, "rb") as f:
            f.seek(self._mark)
            return f.read().decode(errors="replace")

    def wait_line(self, text: str, seconds: float = READY_SECONDS) -> None:
        """Wait until a line with text was printed; the process must not end before."""
        end = time.monotonic() + seconds
        while text not in self.output():
            if not self.alive():
                raise LabError(f"{self.name} ended with {self.popen.returncode}:\n{self.output()[-4000:]}")
            if time.monotonic() > end:
                raise LabError(f"{self.name} did not print '{text}':\n{self.output()[-4000:]}")
            time.sleep(0.02)

    def stop(self, sig: int = signal.SIGTERM, seconds: float = 10) -> int | None:
        """End it (its whole session: nginx has workers) and wait; SIGKILL when it does not go."""
        if self.alive():
            os.kill(self.pid, sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reap_group()
        self._out.close()
        return self.popen.returncode

    def kill(self) -> None:
        """kill -9."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self.popen.wait(10)

    def _reap_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


class Node:
    """One host of the lab: commands run there through a prefix (a namespace here, ssh on a testbed)."""

    def __init__(self, lab: "Lab", name: str, prefix: list[str], dev: str = "") -> None:
        self.lab, self.name, self.prefix, self.dev = lab, name, prefix, dev

    def argv(self, argv: tuple[str, ...]) -> list[str]:
        """The command line that runs argv there; a remote shell reads the words anew."""
        if self.prefix and os.path.basename(self.prefix[0]) == "ssh":
            return [*self.prefix, *(shlex.quote(a) for a in argv)]
        return [*self.prefix, *argv]

    def run(self, *argv: str, **kw: Any) -> subprocess.CompletedProcess:
        return run(*self.argv(argv), **kw)

    def start(self, name: str, *argv: str, cwd: str | None = None) -> Process:
        return self.lab.adopt(Process(name, self.argv(argv), self.lab.dir / f"{name}.log", cwd))

    def module(self, name: str, *argv: str) -> list[str]:
        """argv that runs a module of opes_api."""
        return ["env", f"PYTHONPATH={self.lab.root / 'dts'}", "python3", "-m", f"opes_api.{name}", *argv]

    def sysctl(self, key: str, value: str) -> None:
        self.run("sysctl", "-qw", f"{key}={value}")

    def python(self, code: str, *argv: str, **kw: Any) -> subprocess.CompletedProcess:
        return self.run("python3", "-c", code, *argv, **kw)


class Tamper:
    """A cable made of opes-tamper; "there" is from the end (cli or srv) towards the appliance, "back" to that end. In the
    cable beside the appliance "there" is from cli to srv."""

    def __init__(self, lab: "Lab", name: str, way: Node, first: str, second: str) -> None:
        self.name, self.path = name, str(lab.dir / f"tamper-{name}.sock")
        # A cable does not wait for a processor.
        self.process = way.start(f"tamper-{name}", "chrt", "-r", "1", lab.program("opes-tamper"), "--control", self.path,
                                 first, second)
        self.process.wait_line("opes-tamper: ready")

    def _ask(self, message: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(self.path)
            s.send(message.encode())
            return s.recv(1 << 16).decode()

    def set(self, options: str) -> None:
        """All settings anew, for what comes from now on. options: as on the command line, "" for a good cable."""
        answer = self._ask(f"set {options}")
        if answer != "ok":
            raise LabError(f"opes-tamper ({self.name}), {options}: {answer}")

    def counters(self) -> dict[str, Any]:
        return json.loads(self._ask("counters"))


class Lab:
    """See the module's text. driver: af_xdp, af_packet, or auto (the first that carries a ping)."""

    def __init__(self, build: str | None = None, tag: str | None = None, driver: str | None = None,
                 mtu: int = 1500, keep: bool = False, bridged: bool = False, tampered: tuple[str, ...] = ()) -> None:
        """bridged: every cable leads through a bridge in a namespace "way", where it can be made worse. tampered: these
        cables ("cli", "srv") and the one beside the appliance lead through opes-tamper there: see impair()."""
        self.root = Path(__file__).resolve().parents[2]
        self.build = Path(build or os.environ.get("OPES_BUILD", self.root / "build")).resolve()
        self.tag = tag or f"{os.getpid() % 10000}"
        self.driver = driver or os.environ.get("OPES_DRIVER", "auto")
        self.mtu, self.keep, self.bridged, self.tampered = mtu, keep, bridged, tampered
        self.tampers: dict[str, Tamper] = {}
        bed = os.environ.get("OPES_TESTBED")
        self.testbed: dict[str, Any] | None = json.loads(Path(bed).read_text()) if bed else None
        self.dir = Path(tempfile.mkdtemp(prefix=f"opes-lab-{self.tag}-", dir=(self.testbed or {}).get("dir")))
        self.processes: list[Process] = []
        self.ns = {} if self.testbed else {k: f"opes-{k}-{self.tag}" for k in ("cli", "dut", "srv", *(["way"] if bridged or tampered else []))}
        self.cli, self.dut, self.srv = (self._node(k, d) for k, d in (("cli", "cli0"), ("dut", ""), ("srv", "srv0")))
        self.socket = str(self.dir / "control.sock")
        self.config = self.dir / "opes.yaml"
        self.www = self.dir / "www"
        self.dataplane: Process | None = None
        self.control: Process | None = None
        self._made = False

    # --- topology ------------------------------------------------------------------------------

    def _node(self, name: str, dev: str) -> Node:
        if self.testbed:
            n = self.testbed.get(name, {})
            return Node(self, name, n.get("prefix", []), n.get("device", ""))
        return Node(self, name, ["ip", "netns", "exec", self.ns[name]], dev)

    def __enter__(self) -> "Lab":
        try:
            self.make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if not self.keep:
            self.close()

    def make(self) -> None:
        self._made = True
        if not self.testbed:
            self._make_namespaces()
        for node, a4, a6 in ((self.cli, CLI4, CLI6), (self.srv, SRV4, SRV6)):
            node.run("ip", "link", "set", node.dev, "mtu", str(self.mtu), "up")
            node.run("ip", "address", "replace", f"{a4}/24", "dev", node.dev)
            node.run("ip", "address", "replace", f"{a6}/64", "dev", node.dev, "nodad")
            self._cubic(node, node.dev, f"{a4.rsplit('.', 1)[0]}.0/24", a4, "fd77::/64")
            node.sysctl("net.ipv4.ip_local_port_range", "10000 65000")
        if self.tampered:
            self._know_neighbours(self.cli, "cli0", self.srv, "srv0", (1, 3), CLI4, CLI6, SRV4, SRV6)

    def _make_namespaces(self) -> None:
        for ns in self.ns.values():
            run("ip", "netns", "add", ns)
        self._cable(self.cli, "cli0", self.dut, "in0", 1, "cli" in self.tampered and "cli")
        self._cable(self.srv, "srv0", self.dut, "out0", 3, "srv" in self.tampered and "srv")
        for node in (self.cli, self.dut, self.srv):
            node.run("ip", "link", "set", "lo", "up")
        for dev in ("in0", "out0"):
            # The kernel's own voice must not mix with the traffic that crosses.
            self.dut.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", "1")

    def _cable(self, a: Node, adev: str, b: Node, bdev: str, mac: int, tamper: str | bool = False) -> None:
        """A veth pair, or two with a bridge or opes-tamper (of this name) between them; MAC addresses are fixed, offloads
        off."""
        way = Node(self, "way", ["ip", "netns", "exec", self.ns.get("way", "")])
        addr = [f"02:00:00:77:00:0{m}" for m in (mac, mac + 1)]
        ends = [(a, adev, addr[0], b, bdev, addr[1])] if not (self.bridged or tamper) else [
            (a, adev, addr[0], way, f"{adev}w", ""), (b, bdev, addr[1], way, f"{bdev}w", "")]
        for n1, d1, m1, n2, d2, m2 in ends:
            run("ip", "link", "add", d1, "netns", n1.prefix[-1], "mtu", str(self.mtu), "address", m1, "type", "veth",
                "peer", "name", d2, "netns", n2.prefix[-1], "mtu", str(self.mtu), *(("address", m2) if m2 else ()))
            for node, dev in ((n1, d1), (n2, d2)):
                node.run("ethtool", "-K", dev, *OFFLOADS_OFF, check=False)
                node.run("ip", "link", "set", dev, "up")
        if tamper:
            for dev in (f"{adev}w", f"{bdev}w"):
                way.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", "1")
            self.tampers[str(tamper)] = Tamper(self, str(tamper), way, f"{adev}w", f"{bdev}w")
        elif self.bridged:
            bridge = f"br-{adev}"
            way.run("ip", "link", "add", bridge, "mtu", str(self.mtu), "type", "bridge")
            for dev in (bridge, f"{adev}w", f"{bdev}w"):
                way.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", "1")
                if dev != bridge:
                    way.run("ip", "link", "set", dev, "master", bridge)
            way.run("ip", "link", "set", bridge, "up")

    def node(self, name: str) -> Node:
        """A namespace of this lab, "way" for that in the cables."""
        return Node(self, name, ["ip", "netns", "exec", self.ns[name]])

    def impair(self, options: str, *cables: str) -> None:
        """Settings of opes-tamper for these cables ("cli", "srv", "direct"); all others are good ones from now on."""
        for name, t in self.tampers.items():
            t.set(options if name in cables else "")

    def _know_neighbours(self, a: Node, adev: str, b: Node, bdev: str, mac: tuple[int, int], a4: str, a6: str, b4: str, b6: str) -> None:
        """Where cables corrupt and lose: ARP has no checksum and asks again after a second only."""
        for node, dev, m, addresses in ((a, adev, mac[1], (b4, b6)), (b, bdev, mac[0], (a4, a6))):
            node.sysctl(f"net.ipv6.conf.{dev}.accept_ra", "0")  # no solicitations, which would be packets that nobody sent
            for addr in addresses:
                node.run("ip", "neigh", "replace", addr, "dev", dev, "lladdr", f"02:00:00:77:00:0{m}", "nud", "permanent")

    def lose(self, per_mille: int) -> None:
        """Random loss on every cable, in both directions (a lab with bridged=True)."""
        way = Node(self, "way", ["ip", "netns", "exec", self.ns["way"]])
        devs = [x["ifname"] for x in json.loads(way.run("ip", "-j", "link", "show", "type", "veth").stdout)]
        way.run("nft", "-f", "-", input="add table netdev loss\n" + "".join(
            f"add chain netdev loss {dev} {{ type filter hook ingress device {dev} priority 0; }}\n"
            f"add rule netdev loss {dev} numgen random mod 1000 < {per_mille} counter drop\n" for dev in devs))

    def lost(self) -> dict[str, int]:
        """Packets lost so far, by the device of the end whose packets they were."""
        way = Node(self, "way", ["ip", "netns", "exec", self.ns["way"]])
        out: dict[str, int] = {}
        for line in way.run("nft", "list", "table", "netdev", "loss").stdout.splitlines():
            words = line.split()
            if words[:1] == ["chain"]:
                dev = words[1].removesuffix("w")
            elif "packets" in words:
                out[dev] = int(words[words.index("packets") + 1])
        return out

    @staticmethod
    def _cubic(node: Node, dev: str, net4: str, a4: str, net6: str) -> None:
        """CUBIC by route: the host's default may be another, and a namespace may not choose its own."""
        node.run("ip", "route", "replace", net4, "dev", dev, "src", a4, "congctl", "cubic")
        # Before the route that came with the address.
        node.run("ip", "-6", "route", "replace", net6, "dev", dev, "metric", "1", "congctl", "cubic")

    def direct_link(self) -> tuple[str, str]:
        """A second veth pair from cli to srv, beside the appliance, for comparison; the server's addresses there."""
        if self.testbed:
            raise LabError("a testbed has no second cable")
        self._cable(self.cli, "cli1", self.srv, "srv1", 5, bool(self.tampered) and "direct")
        for node, dev, host in ((self.cli, "cli1", 1), (self.srv, "srv1", 2)):
            node.run("ip", "address", "add", f"10.79.0.{host}/24", "dev", dev)
            node.run("ip", "address", "add", f"fd79::{host}/64", "dev", dev, "nodad")
            self._cubic(node, dev, "10.79.0.0/24", f"10.79.0.{host}", "fd79::/64")
        if self.tampered:
            self._know_neighbours(self.cli, "cli1", self.srv, "srv1", (5, 6), "10.79.0.1", "fd79::1", "10.79.0.2", "fd79::2")
        return "10.79.0.2", "fd79::2"

    def vlan(self, tag: int) -> tuple[str, str]:
        """VLAN devices on both ends, over the cable through the appliance; the server's addresses there."""
        for node, host in ((self.cli, 1), (self.srv, 2)):
            dev = f"{node.dev}.{tag}"
            if node.run("ip", "link", "add", "link", node.dev, "name", dev, "type", "vlan", "id", str(tag),
                        check=False).returncode != 0:
                relay = node.start(f"{dev}-relay", *node.module("vlan", node.dev, dev, str(tag)))
                relay.wait_line("vlan: ready")
            node.run("ip", "address", "add", f"10.78.{tag % 256}.{host}/24", "dev", dev)
            node.run("ip", "address", "add", f"fd78:{tag:x}::{host}/64", "dev", dev, "nodad")
            node.run("ip", "link", "set", dev, "up")
        return f"10.78.{tag % 256}.2", f"fd78:{tag:x}::2"

    def close(self) -> None:
        """End everything, newest first, and remove every namespace and file of this lab."""
        for p in reversed(self.processes):
            try:
                p.stop()
            except Exception as e:  # noqa: BLE001 - the rest must still be cleaned up
                print(f"lab: {p.name}: {e}")
        self.processes.clear()
        if self._made and self.testbed:
            for node, a4, a6 in ((self.cli, CLI4, CLI6), (self.srv, SRV4, SRV6)):
                node.run("ip", "address", "del", f"{a4}/24", "dev", node.dev, check=False)
                node.run("ip", "address", "del", f"{a6}/64", "dev", node.dev, check=False)
        for ns in self.ns.values() if self._made else ():
            run("ip", "netns", "del", ns, check=False)
        if not os.environ.get("OPES_KEEP_LOGS"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def adopt(self, p: Process) -> Process:
        self.processes.append(p)
        return p

    # --- the appliance --------------------------------------------------------------------------

    def program(self, name: str) -> str:
        folder = {"opes-dataplane": "dataplane/worker", "opes-control": "control", "opesctl": "control",
                  "opes-callout": "callout", "opes-tamper": "dts/tamper"}[name]
        return str(self.build / folder / name)

    def devices(self, driver: str) -> tuple[str, str]:
        """DPDK devices of the inside and the outside port."""
        if self.testbed:
            return self.testbed["dut"]["inside"], self.testbed["dut"]["outside"]
        return f"net_{driver}0,iface=in0", f"net_{driver}1,iface=out0"

    def write_config(self, rules: str = "[]", services: str = "[]", driver: str | None = None,
                     limits: str = "", lcores: str = "{workers: [0], callout: 0}", extra: str = "",
                     memory: str = "512MiB") -> Path:
        """rules, services, limits: YAML in flow or block form (block: indented by two)."""
        a, b = self.devices(driver or (self.driver if self.driver != "auto" else "af_xdp"))
        self._config_args = dict(rules=rules, services=services, limits=limits, lcores=lcores, extra=extra,
                                 memory=memory)
        self.config.write_text(
            f"name: lab\n"
            f"dpdk: {{file-prefix: opes{self.tag}, memory: {memory}}}\n"
            f"control-socket: {self.socket}\n"
            f"ports:\n"
            f"  inside: {{device: \"{a}\", mtu: {self.mtu}}}\n"
            f"  outside: {{device: \"{b}\", mtu: {self.mtu}}}\n"
            f"lcores: {lcores}\n"
            + (f"limits: {limits}\n" if limits else "")
            + extra
            + f"services: {services}\n"
            f"rules: {rules}\n")
        return self.config

    def start_dataplane(self) -> Process:
        """Start it with the written configuration; with driver auto fall back until a ping crosses."""
        drivers = ["af_xdp", "af_packet"] if self.driver == "auto" and not self.testbed else [self.driver]
        why = []
        for driver in drivers:
            self.write_config(driver=driver, **self._config_args)
            p = self.dut.start("dataplane", self.program("opes-dataplane"), "-c", str(self.config))
            try:
                p.wait_line("opes-dataplane: ready")
                if len(drivers) > 1:
                    wait_for("a ping crosses the appliance", lambda: self.ping_ok(), 5)
                self.driver = driver
                self.dataplane = p
                return p
            except LabError as e:
                why.append(f"{driver}: {e}")
                p.stop()
                self.processes.remove(p)
        raise LabError("the dataplane does not work with any driver\n" + "\n".join(why))

    def start_control(self) -> Process:
        self.control = self.dut.start("control", self.program("opes-control"), "-c", str(self.config),
                                      "--foreground")
        wait_for("the control socket answers", lambda: self._control_answers(self.control))
        return self.control

    def _control_answers(self, p: Process) -> bool:
        if not p.alive():
            raise LabError(f"opes-control ended with {p.popen.returncode}:\n{p.output()[-4000:]}")
        return self.ctl("status", check=False).returncode == 0

    def wait_rules(self, seconds: float = READY_SECONDS) -> None:
        """Until the dataplane uses the rules that control published last."""
        def adopted() -> bool:
            r = self.ctl_json("status")
            return bool(r) and r.get("dataplane") == "up" and r.get("adopted", 0) > 0 \
                and not r.get("pending") and r.get("generation") == r.get("adopted")
        wait_for("the rules are in force", adopted, seconds)

    def start(self, rules: str = "[]", services: str = "[]", **kw: Any) -> "Lab":
        """Dataplane and control with these rules in force."""
        self.write_config(rules, services, **kw)
        self.start_dataplane()
        self.start_control()
        self.wait_rules()
        return self

    def set_rules(self, rules: str, services: str) -> None:
        """Write new rules and reload."""
        args = dict(self._config_args, rules=rules, services=services)
        self.write_config(driver=self.driver, **args)
        self.ctl("rules", "reload")

    def ctl(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess:
        return run(self.program("opesctl"), "-s", self.socket, *argv, check=check)

    def ctl_json(self, *argv: str) -> Any:
        """The result of a command, None when it failed."""
        p = self.ctl("--json", *argv, check=False)
        try:
            return json.loads(p.stdout) if p.returncode == 0 else None
        except json.JSONDecodeError:
            return None

    def generation(self) -> int:
        """Of the rules in use."""
        return self.ctl_json("status")["adopted"]

    def counters(self) -> dict[str, int]:
        """Sums over workers and the callout thread by counter name."""
        r = self.ctl_json("counters", "--all")
        return {c["name"]: c["value"] for c in r["counters"]}

    def events(self, kind: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Events of a kind whose number is above after."""
        r = self.ctl_json("events", "-n", "1000") or {"events": []}
        return [e for e in r["events"] if e["seq"] > after and (kind is None or e["kind"] == kind)]

    def last_event(self) -> int:
        """Number of the latest event."""
        return max((e["seq"] for e in self.events()), default=0)

    def wait_event(self, kind: str, after: int = 0, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """The first event of a kind after that number."""
        return wait_for(f"an event {kind}", lambda: self.events(kind, after), seconds)[0]

    def service(self, name: str) -> dict[str, Any]:
        """The row of a service."""
        r = self.ctl_json("services") or {"services": []}
        return next((s for s in r["services"] if s["name"] == name), {})

    def start_callout(self, *services: str, listen: str = "tcp:127.0.0.1:4037", name: str = "callout",
                      extra: tuple[str, ...] = ()) -> Process:
        argv = [self.program("opes-callout"), "--listen", listen, *extra]
        for s in services:
            argv += ["--service", s]
        p = self.dut.start(name, *argv)
        p.wait_line("opes-callout: ready")
        return p

    def wait_service(self, name: str, state: str = "up", seconds: float = READY_SECONDS) -> None:
        wait_for(f"service {name} is {state}", lambda: self.service(name).get("state") == state, seconds)

    # --- ends -----------------------------------------------------------------------------------

    def ping_ok(self, addr: str = SRV4) -> bool:
        return self.cli.run("ping", "-c", "1", "-W", "1", addr, check=False).returncode == 0

    def start_nginx(self, extra_server: str = "", extra_http: str = "") -> Process:
        self.www.mkdir(exist_ok=True)
        os.chmod(self.dir, 0o755)
        for d in ("tmp", "upload"):
            (self.dir / d).mkdir(exist_ok=True)
            os.chmod(self.dir / d, 0o777)
        conf = self.dir / "nginx.conf"
        t = self.dir / "tmp"
        conf.write_text(
            f"pid {self.dir}/nginx.pid;\nerror_log {self.dir}/nginx-error.log;\nworker_processes 1;\n"
            "daemon off;\nuser root;\n"
            "events { worker_connections 4096; }\n"
            "http {\n"
            "  types { text/html html; text/plain txt; application/octet-stream bin; }\n"
            "  default_type application/octet-stream;\n"
            f"  client_body_temp_path {t}/b; proxy_temp_path {t}/p; fastcgi_temp_path {t}/f;\n"
            f"  uwsgi_temp_path {t}/u; scgi_temp_path {t}/s;\n"
            "  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n"
            "  client_max_body_size 0; lingering_close off;\n"
            f"  {extra_http}\n"
            "  server {\n"
            f"    listen {SRV4}:80; listen [{SRV6}]:80;\n"
            f"    root {self.www};\n"
            "    location / { }\n"
            f"    {extra_server}\n"
            "  }\n"
            "}\n")
        p = self.srv.start("nginx", "nginx", "-p", str(self.dir), "-c", str(conf), "-e",
                           str(self.dir / "nginx-error.log"))
        wait_for("nginx answers", lambda: self.srv.run(
            "curl", "-so", "/dev/null", "--max-time", "2", f"http://{SRV4}/", check=False).returncode == 0)
        return p

    def curl(self, *argv: str, **kw: Any) -> subprocess.CompletedProcess:
        return self.cli.run("curl", "-sS", "--max-time", "120", *argv, **kw)

    def drained(self, seconds: float = 30) -> dict[str, Any]:
        """Wait until no flow, transaction or preserved octet is left; return the gauges."""
        def probe() -> Any:
            g = self.gauges()
            return g if g and not any(g[k] for k in ("flows", "txns", "preserved_octets", "chunks_used")) else None
        try:
            return wait_for("flows, transactions and preserved octets are gone", probe, seconds, 0.2)
        except LabError as e:
            raise LabError(f"{e}: {self.gauges()}") from e

    def gauges(self) -> dict[str, int]:
        """Sums of the workers' gauges."""
        return (self.ctl_json("buffers") or {}).get("total", {})


def free_port(addr: str = "127.0.0.1") -> int:
    """A TCP port that is free at this moment on the host's loopback."""
    with socket.socket() as s:
        s.bind((addr, 0))
        return s.getsockname()[1]


def human_rate(octets: float, seconds: float) -> str:
    return f"{octets / seconds / 1e6:.0f} MB/s" if seconds > 0 else "?"


def strip_ansi(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
