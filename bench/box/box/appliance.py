# SPDX-License-Identifier: BSD-3-Clause
"""The appliance over two memif ports, with its control daemon and a callout server."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from box.process import BoxError, Process, wait_for

PROGRAMS = {"opes-dataplane": "dataplane/worker", "opes-control": "control", "opesctl": "control",
            "opes-callout": "callout", "opes-loadgen": "bench/loadgen", "opes-bench-sockets": "bench/sockets",
            "opes-bench-path": "bench/path"}


def program(build: Path, name: str) -> str:
    path = build / PROGRAMS[name] / name
    if not path.exists():
        raise BoxError(f"{path} is missing: build it first (ninja -C {build})")
    return str(path)


def memif(number: int, role: str, path: Path, ident: int | None = None, ring: int = 10) -> str:
    """A DPDK device: one end of a cable that is a Unix socket at path. ring: log2 of the slots of each ring."""
    ident = number if ident is None else ident
    return f"net_memif{number},role={role},id={ident},socket={path},socket-abstract=no,rsize={ring}"


@dataclass
class Spent:
    """What the box has spent and done so far; differences of two are what a slice cost."""
    busy: float = 0.0      # seconds of the worker's loop in rounds that found work
    worker: float = 0.0    # processor seconds of the worker's thread, empty rounds included
    callout: float = 0.0   # processor seconds of the callout server
    counters: dict[str, int] | None = None

    def __sub__(self, o: "Spent") -> "Spent":
        return Spent(self.busy - o.busy, self.worker - o.worker, self.callout - o.callout,
                     {k: v - (o.counters or {}).get(k, 0) for k, v in (self.counters or {}).items()})


class Appliance:
    """One worker, by default with the callout stage on the same processor."""

    def __init__(self, folder: Path, build: Path, cpu: int, *, rules: str = "[]", services: tuple[str, ...] = (),
                 callout_cpu: int | None = None, server_cpu: int | None = None, backoff: bool = True,
                 limits: str = "{}", memory: str = "512MiB", mtu: int = 1500, ring: int = 10,
                 server_args: tuple[str, ...] = (), more: str = "") -> None:
        """server_cpu: where opes-callout runs. services: arguments for --service of opes-callout.
        more: further keys of the configuration, lines of YAML."""
        self.folder, self.build, self.cpu = folder, build, cpu
        self.inside, self.outside = folder / "in.sock", folder / "out.sock"
        self.control_socket, self.config = folder / "control.sock", folder / "opes.yaml"
        self.services = services
        self.server: Process | None = None
        self.dataplane: Process | None = None
        self.control: Process | None = None
        self.server_cpu, self.server_args = server_cpu, server_args
        self.settings = dict(
            rules=rules, limits=limits, memory=memory, mtu=mtu, ring=ring, more=more,
            lcores=f"{{workers: [{cpu}], callout: {cpu if callout_cpu is None else callout_cpu}, "
                   f"idle-backoff: {str(backoff).lower()}}}")
        self.hz = 0

    def __enter__(self) -> "Appliance":
        try:
            self.start()
        except BaseException:
            self.close(quiet=True)
            raise
        return self

    def __exit__(self, kind: Any, *exc: object) -> None:
        self.close(quiet=kind is not None)

    def write_config(self) -> None:
        s = self.settings
        names = [w.split(",")[0] for w in self.services]
        listed = ", ".join(f'{{name: {n}, address: "unix:{self.folder}/callout.sock", uri: "urn:opes:service:{n}"}}'
                           for n in names)
        self.config.write_text(
            f"name: box\n"
            f"dpdk: {{file-prefix: {self.folder.name}, memory: {s['memory']}}}\n"
            f"control-socket: {self.control_socket}\n"
            f"ports:\n"
            f"  inside: {{device: \"{memif(0, 'server', self.inside, ring=s['ring'])}\", mtu: {s['mtu']}}}\n"
            f"  outside: {{device: \"{memif(1, 'server', self.outside, ring=s['ring'])}\", mtu: {s['mtu']}}}\n"
            f"lcores: {s['lcores']}\n"
            f"limits: {s['limits']}\n"
            f"services: [{listed}]\n"
            f"rules: {s['rules']}\n"
            f"{s['more']}")

    def start(self) -> None:
        self.write_config()
        if self.services:
            argv = [program(self.build, "opes-callout"), "--quiet", "--listen", f"unix:{self.folder}/callout.sock"]
            for s in self.services:
                argv += ["--service", s]
            self.server = Process("callout", argv + list(self.server_args), self.folder,
                                  None if self.server_cpu is None else {self.server_cpu})
            self.server.wait_line("opes-callout: ready")
        self.dataplane = Process("dataplane", [program(self.build, "opes-dataplane"), "-c", str(self.config)],
                                 self.folder)
        self.dataplane.wait_line("opes-dataplane: ready")
        self.control = Process("control", [program(self.build, "opes-control"), "-c", str(self.config), "--foreground"],
                               self.folder)
        wait_for("the control socket answers", lambda: self.ctl("status") is not None)
        self.wait_rules()
        self.hz = self.ctl("status")["tsc_hz"]

    def wait_rules(self) -> None:
        def ready() -> bool:
            r = self.ctl("status")
            return bool(r) and r["dataplane"] == "up" and r["adopted"] > 0 and not r["pending"] \
                and r["generation"] == r["adopted"] and r["services_up"] == r["services"]
        wait_for("the rules are in force and the services up", ready)

    def use(self, rules: str) -> None:
        """Put other rules in force."""
        self.settings["rules"] = rules
        self.write_config()
        self.ctl("rules", "reload", must=True)
        self.wait_rules()

    def ctl(self, *argv: str, must: bool = False) -> Any:
        p = subprocess.run([program(self.build, "opesctl"), "-s", str(self.control_socket), "--json", *argv],
                           capture_output=True, text=True, timeout=30)
        if p.returncode != 0 or not p.stdout.strip():
            if must:
                raise BoxError(f"opesctl {' '.join(argv)}: {p.stdout}{p.stderr}")
            return None
        return json.loads(p.stdout)

    def counters(self) -> dict[str, int]:
        return {c["name"]: c["value"] for c in self.ctl("counters", "--all", must=True)["counters"]}

    def gauges(self) -> dict[str, int]:
        return self.ctl("buffers", must=True)["total"]

    def spent(self) -> Spent:
        assert self.dataplane
        status = self.ctl("status", must=True)
        worker = sum(t for name, t in self.dataplane.threads().values() if name.startswith("rte-worker"))
        return Spent(sum(w["busy_cycles"] for w in status["workers"]) / self.hz, worker,
                     self.server.cpu_seconds() if self.server else 0.0, self.counters())

    def drained(self) -> None:
        """Nothing of the load is left in it."""
        wait_for("flows, transactions and preserved octets are gone",
                 lambda: not any(self.gauges()[k] for k in ("flows", "txns", "preserved_octets", "chunks_used")), 30, 0.1)

    def close(self, quiet: bool = False) -> None:
        """quiet: an error is on its way already."""
        errors = []
        for p in (self.control, self.dataplane, self.server):
            try:
                if p:
                    dead = not p.alive()
                    code = p.stop()
                    if dead or code:
                        errors.append(f"{p.name} ended {'by itself ' if dead else ''}with {code}:\n{p.output()[-2000:]}")
            except BoxError as e:
                errors.append(str(e))
        self.control = self.dataplane = self.server = None
        if errors and not quiet:
            raise BoxError("\n".join(errors))


def rule(name: str, action: str) -> str:
    """Rules that select HTTP on every port of the generator: forward takes flows up and calls nobody."""
    match = "protocol: http"
    if action == "forward":
        return f"[{{name: {name}, match: {{{match}, path: {{exact: /there-is-no-such-path}}}}, action: block}}]"
    return f"[{{name: {name}, match: {{{match}, kind: response}}, action: adapt, service: {action}}}]"
