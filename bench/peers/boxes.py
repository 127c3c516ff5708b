# SPDX-License-Identifier: BSD-3-Clause
"""What may stand between client and origin: programs of today, kernel forwarding, and the appliance.

A Box is a lab of its own (three namespaces, an origin) with the programs of one box in it, all of them on one
processor; a Peer is one way through a box: an address for the client. Boxes that are not being measured are paused
where they would else poll.

::

    cli                         dut                          srv
    cli0 10.77.0.1  ---------- in0 | out0 ---------- srv0 10.77.0.2     same network: bridges, testpmd, appliance
         10.77.8.1     10.77.8.254 | 10.77.9.254          10.77.9.1     two networks: proxies, router
    cli1 10.79.0.1  -------------------------------- srv1 10.79.0.2     no box at all
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "dts"))

from opes_api.lab import SRV4, Lab, LabError, Process, wait_for  # noqa: E402

ENDS_CPU, BOX_CPU = "0", "1"
CLI, BOX_IN, BOX_OUT, ORIGIN, DIRECT = "10.77.8.1", "10.77.8.254", "10.77.9.254", "10.77.9.1", "10.79.0.2"
TICK = os.sysconf("SC_CLK_TCK")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class Missing(RuntimeError):
    """A program of a box is not installed."""


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=PATH)
    if not found:
        raise Missing(f"{name} is not installed: apt-get install {package}")
    return found


def version(*argv: str) -> str:
    """The first version number that a program prints of itself."""
    p = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    found = re.search(r"\d+\.\d+[\w.~+-]*", p.stdout + p.stderr)
    return found.group(0) if found else "?"


def cpu_seconds(pids: list[int]) -> float:
    """utime and stime of these processes and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


def core_seconds(cpu: str) -> float:
    """Time a processor was not idle, whoever it worked for."""
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == f"cpu{cpu}":
            v = [int(x) for x in words[1:]]
            return (sum(v[:8]) - v[3] - v[4]) / TICK
    return 0.0


class Box:
    """Base: a lab with an origin. Subclasses start what stands in it, on processor BOX_CPU."""

    name = "?"
    gain: dict[str, int] = {}  # of the counters of proof(), in the last slice that was checked
    has_cpu = True  # whether cost() means anything: kernel forwarding runs in the context of the ends

    def __init__(self, tag: str, www: Path, build: str, driver: str, callout: str) -> None:
        self.www, self.callout_address = www, callout
        self.lab = Lab(build=build, tag=tag, driver=driver)

    @staticmethod
    def versions() -> dict[str, str]:
        """Versions of its programs; raises Missing."""
        return {}

    def start(self) -> None:
        self.lab.make()
        os.chmod(self.lab.dir, 0o755)
        (self.lab.dir / "tmp").mkdir()
        os.chmod(self.lab.dir / "tmp", 0o777)
        self.origin()
        self.enter()

    def stop(self) -> None:
        self.resume()
        self.lab.close()

    def enter(self) -> None:
        """Start the box itself."""

    def pause(self) -> None:
        """Let it use no processor until resume()."""

    def resume(self) -> None:
        """Undo pause()."""

    def cost(self) -> dict[str, float]:
        """CPU seconds so far, by part."""
        return {"cpu": cpu_seconds(self.pids())}

    def of_slice(self, cost: dict[str, float]) -> dict[str, float]:
        """What cost() gained in a slice, with "cpu": the figure for the whole box."""
        return cost

    def pids(self) -> list[int]:
        """Of every process in the box's namespace."""
        out = subprocess.run(["ip", "netns", "pids", self.lab.ns["dut"]], capture_output=True, text=True).stdout
        return [int(x) for x in out.split()]

    def proof(self) -> dict[str, int]:
        """Counters that tell that the traffic went the way it should."""
        return {}

    def check(self, peer: "Peer", before: dict[str, int], transactions: int, octets: int) -> str:
        """What is wrong with the way of a slice, empty when nothing."""
        return ""

    # --- for subclasses ---

    def conf(self, template: str, name: str, **more: str) -> Path:
        """Fill a template of conf/ and write it to the lab's folder."""
        values = {"DIR": str(self.lab.dir), "WWW": str(self.www), "BOX": BOX_IN, "ORIGIN": ORIGIN, "TAG": self.lab.tag} | more
        text = re.sub(r"@([A-Z]+)@", lambda m: values[m.group(1)], (HERE / "conf" / template).read_text())
        path = self.lab.dir / name
        path.write_text(text)
        return path

    def inside(self, name: str, *argv: str) -> Process:
        """Start a program of the box."""
        return self.lab.dut.start(name, "taskset", "-c", BOX_CPU, *argv)

    def answers(self, host: str, port: int) -> None:
        """Wait until an object comes through; else LabError with what the programs last said."""
        try:
            wait_for(f"{self.name} answers on {host}:{port}", lambda: self.lab.cli.run(
                "curl", "-sf", "-o", "/dev/null", "--max-time", "2", f"http://{host}:{port}/1KiB", check=False).returncode == 0)
        except LabError as e:
            said = "".join(f"\n{p.name}: {p.output()[-500:]}" for p in self.lab.processes if p.name != "origin")
            raise LabError(f"{e}{said}") from e

    def origin(self) -> None:
        conf = self.conf("origin.conf.in", "origin.conf")
        self.lab.srv.start("origin", "taskset", "-c", ENDS_CPU, program("nginx", "nginx-light"), "-p", str(self.lab.dir),
                           "-c", str(conf), "-e", str(self.lab.dir / "origin-error.log"))
        wait_for("the origin answers", lambda: self.lab.srv.run(
            "curl", "-sf", "-o", "/dev/null", "--max-time", "2", "http://127.0.0.1/1KiB", check=False).returncode == 0)

    def two_networks(self) -> None:
        """Addresses for a box that ends or routes connections; CUBIC on every side."""
        lab = self.lab
        for node, dev, own in ((lab.cli, "cli0", CLI), (lab.dut, "in0", BOX_IN), (lab.dut, "out0", BOX_OUT),
                               (lab.srv, "srv0", ORIGIN)):
            net = own.rsplit(".", 1)[0] + ".0/24"
            node.run("ip", "address", "add", f"{own}/24", "dev", dev)
            node.run("ip", "route", "replace", net, "dev", dev, "src", own, "congctl", "cubic")
        for node in (lab.cli, lab.dut, lab.srv):
            # Ports of connections that have just ended may be used again.
            node.sysctl("net.ipv4.tcp_tw_reuse", "1")
        lab.dut.sysctl("net.ipv4.ip_local_port_range", "10000 65000")


class Direct(Box):
    """A cable from the client to the origin, and no box."""

    name, has_cpu = "direct", False

    def enter(self) -> None:
        self.lab.direct_link()
        self.answers(DIRECT, 80)


class Router(Box):
    """The kernel routes."""

    name, has_cpu = "router", False

    def enter(self) -> None:
        self.two_networks()
        self.lab.dut.sysctl("net.ipv4.ip_forward", "1")
        for node, net, via in ((self.lab.cli, "10.77.9.0/24", BOX_IN), (self.lab.srv, "10.77.8.0/24", BOX_OUT)):
            node.run("ip", "route", "add", net, "via", via, "congctl", "cubic")
        self.answers(ORIGIN, 80)


class Bridge(Box):
    """The kernel bridges; checksum and segmentation offload are off on all four ends, as in every lab."""

    name, has_cpu = "bridge", False

    def enter(self) -> None:
        dut = self.lab.dut
        dut.run("ip", "link", "add", "br0", "type", "bridge")
        dut.sysctl("net.ipv6.conf.br0.disable_ipv6", "1")
        for dev in ("in0", "out0"):
            dut.run("ip", "link", "set", dev, "master", "br0")
        dut.run("ip", "link", "set", "br0", "up")
        self.answers(SRV4, 80)


class Testpmd(Box):
    """dpdk-testpmd on the devices the appliance has; one forwarding lcore. It polls always, so it is stopped when paused."""

    name, mode, more = "testpmd-io", "io", ()

    @staticmethod
    def versions() -> dict[str, str]:
        return {"dpdk-testpmd": version("dpkg-query", "-W", "-f", "${Version}", "dpdk-dev")
                if program("dpdk-testpmd", "dpdk-dev") else ""}

    def enter(self) -> None:
        drivers = ("af_xdp", "af_packet") if self.lab.driver == "auto" else (self.lab.driver,)
        for driver in drivers:
            self.process = self.lab.dut.start(
                "testpmd", program("dpdk-testpmd", "dpdk-dev"), "-l", f"{ENDS_CPU},{BOX_CPU}", "--main-lcore", ENDS_CPU,
                "--in-memory", "-m", "192", "--no-pci", "--no-telemetry", f"--vdev=net_{driver}0,iface=in0",
                f"--vdev=net_{driver}1,iface=out0", "--", f"--forward-mode={self.mode}", "--nb-cores=1",
                "--stats-period=3600", "--total-num-mbufs=32768", *self.more)
            try:
                wait_for("a ping crosses testpmd", self.lab.ping_ok, 8)
                self.lab.driver = driver
                break
            except LabError as e:
                why = f"{driver}: {e}\n{self.process.output()[-2000:]}"
                self.process.kill()
        else:
            raise LabError(why)
        self.answers(SRV4, 80)

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if getattr(self, "process", None) and self.process.alive():
            os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        if getattr(self, "process", None):
            self.process.kill()  # its sleep between statistics outlives a polite signal
        super().stop()


class TestpmdMac(Testpmd):
    """The same with rewritten Ethernet addresses. (macswap would send frames back: it has no place between two ends.)"""

    name, mode = "testpmd-mac", "mac"
    more = ("--eth-peer=0,02:00:00:77:00:01", "--eth-peer=1,02:00:00:77:00:03")


class Squid(Box):
    """Squid as an accelerator; with ICAP, c-icap's echo service beside it on the same processor."""

    name, icap = "squid", ""

    @staticmethod
    def versions() -> dict[str, str]:
        return {"squid": version(program("squid", "squid"), "-v")}

    def enter(self) -> None:
        self.two_networks()
        if self.icap:
            found = sorted(Path("/usr/lib").glob("*/c_icap/srv_echo.so"))
            if not found:
                raise Missing("c-icap's srv_echo.so is not installed: apt-get install c-icap")
            conf = self.conf("c-icap.conf.in", "c-icap.conf", ICAPLIB=str(found[0].parent))
            self.inside("c-icap", program("c-icap", "c-icap"), "-N", "-f", str(conf))
            wait_for("c-icap answers", lambda: self._icap_info() is not None)
        more = (HERE / "conf" / self.icap).read_text() if self.icap else ""
        conf = self.conf("squid.conf.in", "squid.conf", ICAP=more)
        (self.lab.dir / "squid.log").touch()
        for path, mode in ((self.lab.dir / "squid.log", 0o666), (self.lab.dir, 0o777)):
            os.chmod(path, mode)  # Squid gives up root
        self.inside("squid", program("squid", "squid"), "-N", "-n", f"lab{self.lab.tag}", "-f", str(conf))
        self.answers(BOX_IN, 3128)

    def stop(self) -> None:
        for p in self.lab.processes:
            if p.name == "squid":
                p.kill()  # its farewell takes seconds
        super().stop()

    def _icap_info(self) -> str | None:
        p = self.lab.dut.run("c-icap-client", "-i", "127.0.0.1", "-p", "1344", "-s", "info?view=text", "-req", "any",
                             check=False, timeout=10)
        return p.stdout if p.returncode == 0 and "REQUESTS" in p.stdout else None

    def proof(self) -> dict[str, int]:
        """What c-icap counts for its service; "BODY BYTES OUT : 2 Kbs 17 bytes" as octets."""
        if not self.icap:
            return {}
        text = wait_for("c-icap tells its statistics", self._icap_info, 10)
        rows = re.findall(r"^Service echo (.+?) : (\d+)(?: Kbs (\d+) bytes)?", text, re.M)
        return {k: int(a) * 1024 + int(b) if b else int(a) for k, a, b in rows}

    def check(self, peer: "Peer", before: dict[str, int], transactions: int, octets: int) -> str:
        if not self.icap:
            return ""
        gain = self.gain = {k: v - before.get(k, 0) for k, v in self.proof().items() if v != before.get(k, 0)}
        least = {"RESPMODS": transactions, "BODY BYTES OUT": 0 if "preview" in self.icap else octets}
        if "both" in self.icap:
            least["REQMODS"] = transactions
        return "; ".join(f"c-icap: {k} {gain.get(k, 0)}, at least {v} expected ({gain})"
                         for k, v in least.items() if gain.get(k, 0) < v)


class SquidRespmod(Squid):
    name, icap = "squid-respmod", "squid-icap-respmod.conf.in"

    @staticmethod
    def versions() -> dict[str, str]:
        return Squid.versions() | {"c-icap": version(program("c-icap", "c-icap"), "-V")}


class SquidPreview(SquidRespmod):
    """With previews, as both programs have it by default: c-icap's echo answers every other one with 204."""

    name, icap = "squid-preview", "squid-icap-preview.conf.in"


class SquidBoth(SquidRespmod):
    name, icap = "squid-both", "squid-icap-both.conf.in"


class HAProxy(Box):
    name = "haproxy"

    @staticmethod
    def versions() -> dict[str, str]:
        return {"haproxy": version(program("haproxy", "haproxy"), "-v")}

    def enter(self) -> None:
        self.two_networks()
        self.inside("haproxy", program("haproxy", "haproxy"), "-db", "-f", str(self.conf("haproxy.cfg.in", "haproxy.cfg")))
        for port in (8000, 8001, 8002):
            self.answers(BOX_IN, port)


class Nginx(Box):
    name = "nginx"

    @staticmethod
    def versions() -> dict[str, str]:
        return {"nginx": version(program("nginx", "nginx-light"), "-v")}

    def enter(self) -> None:
        self.two_networks()
        self.inside("nginx", program("nginx", "nginx-light"), "-p", str(self.lab.dir), "-c",
                    str(self.conf("nginx.conf.in", "nginx.conf")), "-e", str(self.lab.dir / "proxy-error.log"))
        self.answers(BOX_IN, 8080)


class Appliance(Box):
    """opes-dataplane with worker and callout stage in turn on one processor, opes-callout beside it there.

    cost(): two upper bounds of what opes-dataplane spent are at hand. "busy": cycles of worker rounds that found work
    (the callout stage's among them) over the TSC's rate; when opes-callout takes the processor within a round, its
    time is in there too. "process": CPU time of the process, empty polls and control's questions included. "cpu" is
    the lower of the two for each slice (see of_slice()), plus "callout", the CPU time of opes-callout.
    """

    name = "opes"
    ports = {"opes-bypass": 80, "opes-forward": 81, "opes-as-is": 82, "opes-echo": 83, "opes-as-is-both": 84,
             "opes-echo-both": 85}

    def enter(self) -> None:
        lab = self.lab
        if self.callout_address == "unix":
            self.callout_address = f"unix:{lab.dir}/callout.sock"
        self.callout = self.inside("callout", lab.program("opes-callout"), "--quiet", "--listen", self.callout_address,
                                   "--service", "as-is", "--service", "echo")
        self.callout.wait_line("opes-callout: ready")
        drivers = ("af_xdp", "af_packet") if lab.driver == "auto" else (lab.driver,)
        for driver in drivers:
            a, b = lab.devices(driver)
            lab.config = self.conf("opes.yaml.in", "opes.yaml", INSIDE=a, OUTSIDE=b, CALLOUT=self.callout_address)
            lab.dataplane = lab.dut.start("dataplane", lab.program("opes-dataplane"), "-c", str(lab.config))
            try:
                lab.dataplane.wait_line("opes-dataplane: ready")
                wait_for("a ping crosses the appliance", lab.ping_ok, 8)
                lab.driver = driver
                break
            except LabError as e:
                why = f"{driver}: {e}"
                lab.dataplane.stop()
        else:
            raise LabError(why)
        lab.control = lab.dut.start("control", "taskset", "-c", ENDS_CPU, lab.program("opes-control"), "-c",
                                    str(lab.config), "--foreground")
        wait_for("the control socket answers", lambda: lab.ctl("status", check=False).returncode == 0)
        lab.wait_rules()
        for s in ("as-is", "echo"):
            lab.wait_service(s)
        for port in self.ports.values():
            self.answers(SRV4, port)

    def pause(self) -> None:
        for p in (self.lab.control, self.lab.dataplane):
            os.kill(p.pid, signal.SIGSTOP)

    def resume(self) -> None:
        for p, seconds in ((self.lab.dataplane, 0.12), (self.lab.control, 0)):
            if p and p.alive():
                os.kill(p.pid, signal.SIGCONT)
                time.sleep(seconds)  # control must find a heartbeat that is new

    def cost(self) -> dict[str, float]:
        s = wait_for("opesctl status has the dataplane's workers", self._status, 5)
        busy = sum(w["busy_cycles"] for w in s["workers"]) / s["tsc_hz"]
        server = cpu_seconds([self.callout.pid])
        return {"busy": busy, "callout": server, "process": cpu_seconds([self.lab.dataplane.pid])}

    def of_slice(self, cost: dict[str, float]) -> dict[str, float]:
        return {"cpu": min(cost["busy"], cost["process"]) + cost["callout"]} | cost

    def _status(self) -> dict[str, Any] | None:
        s = self.lab.ctl_json("status")
        return s if s and s.get("workers") and "tsc_hz" in s else None

    def proof(self) -> dict[str, int]:
        return wait_for("opesctl counters", self.lab.counters, 5)

    def check(self, peer: "Peer", before: dict[str, int], transactions: int, octets: int) -> str:
        time.sleep(0.05)
        gain = self.gain = {k: v - before.get(k, 0) for k, v in self.proof().items() if v != before.get(k, 0)}
        wrong = [f"{k} {gain[k]}" for k in ("txn_failed", "fail_open", "fail_closed", "fail_answer", "msg_refused",
                                            "flow_table_full", "flow_not_splittable") if gain.get(k)]
        both = 2 if peer.name.endswith("-both") else 1
        least = {"opes-bypass": {"bypass_frames": transactions}, "opes-forward": {"msg_forwarded": 2 * transactions}}.get(
            peer.name, {"txn_done": both * transactions, "callout_octets_out": octets}
            | ({"as_is_octets": octets} if "as-is" in peer.name else {"callout_octets_in": octets}))
        wrong += [f"{k} {gain.get(k, 0)}, at least {v} expected" for k, v in least.items() if gain.get(k, 0) < v]
        return "; ".join(wrong)


class Peer:
    """One way through a box."""

    def __init__(self, name: str, box: type[Box], host: str, port: int, text: str) -> None:
        self.name, self.box, self.host, self.port, self.text = name, box, host, port, text


PEERS = {p.name: p for p in (
    Peer("direct", Direct, DIRECT, 80, "a cable, no box"),
    Peer("router", Router, ORIGIN, 80, "the kernel routes"),
    Peer("bridge", Bridge, SRV4, 80, "the kernel bridges"),
    Peer("testpmd-io", Testpmd, SRV4, 80, "dpdk-testpmd, frames as they are"),
    Peer("testpmd-mac", TestpmdMac, SRV4, 80, "dpdk-testpmd, Ethernet addresses rewritten"),
    Peer("nginx", Nginx, BOX_IN, 8080, "nginx proxy_pass, upstream connections kept"),
    Peer("haproxy-tcp", HAProxy, BOX_IN, 8000, "HAProxy mode tcp"),
    Peer("haproxy-http", HAProxy, BOX_IN, 8001, "HAProxy mode http, connections to the origin kept and shared"),
    Peer("haproxy-http-new", HAProxy, BOX_IN, 8002, "HAProxy mode http, a connection to the origin for each request"),
    Peer("squid", Squid, BOX_IN, 3128, "Squid accelerator, no ICAP"),
    Peer("squid-respmod", SquidRespmod, BOX_IN, 3128, "Squid, RESPMOD through c-icap echo"),
    Peer("squid-preview", SquidPreview, BOX_IN, 3128, "Squid, RESPMOD through c-icap echo with previews: half of the bodies stay"),
    Peer("squid-both", SquidBoth, BOX_IN, 3128, "Squid, REQMOD and RESPMOD through c-icap echo"),
    *(Peer(n, Appliance, SRV4, port, f"the appliance, {n.removeprefix('opes-')}") for n, port in Appliance.ports.items()),
)}
