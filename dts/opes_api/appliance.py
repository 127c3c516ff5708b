# SPDX-License-Identifier: BSD-3-Clause
"""Ready-made rules and a suite base: a lab with an origin and the three services that the oracles know."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

from opes_api.lab import SRV4, Lab, Process
from opes_api.objects import Obj
from opes_api.suite import TestSuite, verify

HTTP_PORT, ECHO_PORT, CALLOUT_PORT = 8000, 7000, 4037
ALL_SERVICES = ("as-is", "echo", "replace,replace=Bluebird=(withheld)")


def services(*names: str, port: int = CALLOUT_PORT, more: str = "") -> str:
    """YAML of services at the lab's callout server."""
    return "[" + ", ".join(
        f'{{name: {n}, address: "tcp:127.0.0.1:{port}", uri: "urn:opes:service:{n}"{more}}}' for n in names) + "]"


def adapt_rule(service: str, kind: str = "response", on_failure: str = "open", port: int = HTTP_PORT,
               protocol: str = "http", more: str = "") -> str:
    return (f"{{name: {service}-{kind.strip('[]').replace(', ', '-')}, match: {{protocol: {protocol}, "
            f"server-port: {port}, kind: {kind}{more}}}, action: adapt, service: {service}, on-failure: {on_failure}}}")


class ApplianceSuite(TestSuite):
    """A lab with origin, callout server, dataplane and control; self.use() sets the rules."""

    lab: Lab
    callout: Process
    lab_args: dict = {}
    callout_args: tuple[str, ...] = ALL_SERVICES
    origin_args: tuple[str, ...] = ()
    limits = ""

    def set_up_suite(self) -> None:
        self.lab = Lab(**self.lab_args)
        self.lab.make()
        self.origin = self.start_origin()
        self.callout = self.lab.start_callout(*self.callout_args)
        self.lab.start(limits=self.limits)

    def tear_down_suite(self) -> None:
        if hasattr(self, "lab"):
            self.lab.close()

    def tear_down_test_case(self) -> None:
        """Whatever a case did: the programs live, and nothing of it is left in them."""
        if self.lab.dataplane:
            verify(self.lab.dataplane.alive(), f"opes-dataplane ended:\n{self.lab.dataplane.output()[-2000:]}")
        if self.lab.control and self.lab.control.alive():
            self.lab.drained()

    def start_origin(self) -> Process:
        p = self.lab.srv.start("origin", *self.lab.srv.module("origin", "--http", str(HTTP_PORT), "--echo",
                                                              str(ECHO_PORT), *self.origin_args))
        p.wait_line("origin: ready")
        return p

    def use(self, *rules: str, names: tuple[str, ...] = ("as-is", "echo", "replace"), more: str = "") -> None:
        """Put these rules in force and wait until their services are up. more: keys of every service."""
        self.lab.set_rules("[" + ", ".join(rules) + "]", services(*names, more=more))
        self.lab.wait_rules()
        for n in names:
            if any(f"service: {n}," in r or f"service: {n}}}" in r for r in rules):
                self.lab.wait_service(n)

    def in_cli(self, module: str, *argv: str, timeout: float = 300) -> str:
        """Run a module of opes_api in the client's namespace; its standard output."""
        return self.lab.cli.run(*self.lab.cli.module(module, *argv), timeout=timeout).stdout

    def fetch(self, obj: Obj, *curl: str, addr: str = SRV4) -> subprocess.CompletedProcess:
        """GET of an object with curl; the octets are in self.got, the exit code and curl's text in the result."""
        out = self.lab.dir / "fetched"
        out.unlink(missing_ok=True)
        r = self.lab.curl("-o", str(out), "-w", "%{http_code} %{speed_download}", *curl, url(obj.path, addr),
                          check=False)
        self.got = out.read_bytes() if out.exists() else b""
        return r

    @contextlib.contextmanager
    def delta(self) -> Iterator[dict[str, int]]:
        """What the counters gain inside the with block (filled when it ends)."""
        before, gain = self.lab.counters(), {}
        yield gain
        # Gauges and counters are written at the worker's leisure, after the last octet.
        time.sleep(0.1)
        gain.update({k: v - before[k] for k, v in self.lab.counters().items()})


def url(path: str, addr: str = SRV4, port: int = HTTP_PORT) -> str:
    return f"http://[{addr}]:{port}{path}" if ":" in addr else f"http://{addr}:{port}{path}"


def same(got: bytes, want: bytes) -> str:
    """Where two octet strings differ, for a message."""
    if got == want:
        return "equal"
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    return f"{len(got)} octets, {len(want)} expected, first difference at {at}"
