# SPDX-License-Identifier: BSD-3-Clause
"""Ready-made rules and a suite base: a lab with an origin and the three services that the oracles know."""

from __future__ import annotations

import os

from opes_api.lab import Lab, Process
from opes_api.suite import TestSuite

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

    def set_up_suite(self) -> None:
        self.lab = Lab(**self.lab_args)
        self.lab.make()
        self.origin = self.start_origin()
        self.callout = self.lab.start_callout(*ALL_SERVICES)
        self.lab.start(rules="[]", services=services("as-is", "echo", "replace"))

    def tear_down_suite(self) -> None:
        if hasattr(self, "lab"):
            self.lab.close()

    def start_origin(self) -> Process:
        env = ["env", f"PYTHONPATH={self.lab.root / 'dts'}"]
        p = self.lab.srv.start("origin", *env, "python3", "-m", "opes_api.origin",
                               "--http", str(HTTP_PORT), "--echo", str(ECHO_PORT))
        p.wait_line("origin: ready")
        return p

    def use(self, *rules: str, names: tuple[str, ...] = ("as-is", "echo", "replace")) -> None:
        """Put these rules in force and wait until their services are up."""
        self.lab.set_rules("[" + ", ".join(rules) + "]", services(*names))
        self.lab.wait_rules()
        for n in names:
            self.lab.wait_service(n)

    def in_cli(self, module: str, *argv: str, timeout: float = 300) -> str:
        """Run a module of opes_api in the client's namespace; its standard output."""
        return self.lab.cli.run("env", f"PYTHONPATH={self.lab.root / 'dts'}", "python3", "-m",
                                f"opes_api.{module}", *argv, timeout=timeout).stdout


def keep_logs() -> bool:
    return bool(os.environ.get("OPES_KEEP_LOGS"))
