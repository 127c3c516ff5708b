# SPDX-License-Identifier: BSD-3-Clause
"""A lab whose cables are the appliance's own: each port is a TAP interface of the kernel (net_tap) that is moved to its
end's namespace once the dataplane has made it. The kernel ends are real; the driver says that it cuts large frames (TSO)."""

from __future__ import annotations

from pathlib import Path

from opes_api.lab import CLI4, CLI6, SRV4, SRV6, Lab, Process, run, wait_for


class TapLab(Lab):
    """As Lab, without veth pairs. Addresses exist only after start_dataplane."""

    def __init__(self, port_keys: str = "", **kw) -> None:
        """port_keys: YAML for every port, beginning with a comma."""
        super().__init__(driver="tap", **kw)
        self.port_keys = port_keys

    def make(self) -> None:
        self._made = True
        for ns in self.ns.values():
            run("ip", "netns", "add", ns)
        for node in (self.cli, self.dut, self.srv):
            node.run("ip", "link", "set", "lo", "up")

    def devices(self, driver: str) -> tuple[str, str]:
        return f"net_tap0,iface={self.cli.dev}", f"net_tap1,iface={self.srv.dev}"

    def write_config(self, *argv, **kw) -> Path:
        path = super().write_config(*argv, **kw)
        path.write_text(path.read_text().replace(f"mtu: {self.mtu}}}", f"mtu: {self.mtu}{self.port_keys}}}"))
        return path

    def before_the_ends(self) -> None:
        """The dataplane runs, its interfaces are still in its own namespace."""

    def start_dataplane(self) -> Process:
        p = super().start_dataplane()
        self.before_the_ends()
        for node, a4, a6, mac in ((self.cli, CLI4, CLI6, 1), (self.srv, SRV4, SRV6, 4)):
            self.dut.run("ip", "link", "set", node.dev, "netns", node.prefix[-1])
            node.run("ip", "link", "set", node.dev, "address", f"02:00:00:77:00:0{mac}", "up")
            node.run("ip", "address", "replace", f"{a4}/24", "dev", node.dev)
            node.run("ip", "address", "replace", f"{a6}/64", "dev", node.dev, "nodad")
            node.sysctl("net.ipv4.ip_local_port_range", "10000 65000")
        wait_for("a ping crosses the appliance", self.ping_ok, 5)
        return p


class TandemLab(TapLab):
    """Two appliances in one cable, joined by a vhost-user socket, so that large frames really come in::

        cli0 (TAP) ---- [appliance under test] net_vhost ==== net_virtio_user [far appliance] ---- srv0 (TAP)

    The far one splits every connection to far_ports; its half towards us leaves large frames to virtio (TSO), and those
    come to us as they are: merged ones (LRO)."""

    def __init__(self, far_ports: str, **kw) -> None:
        super().__init__(**kw)
        self.far_ports = far_ports
        self.far_socket = str(self.dir / "far.sock")

    def devices(self, driver: str) -> tuple[str, str]:
        return f"net_tap0,iface={self.cli.dev}", f"net_vhost0,iface={self.dir}/between.sock,tso=1"

    def before_the_ends(self) -> None:
        far = self.dir / "far.yaml"
        far.write_text(
            "name: far\n"
            f"dpdk: {{file-prefix: far{self.tag}, memory: 256MiB}}\n"
            f"control-socket: {self.far_socket}\n"
            "ports:\n"
            f"  inside: {{device: \"net_virtio_user0,path={self.dir}/between.sock,queue_size=1024\", mtu: {self.mtu}}}\n"
            f"  outside: {{device: \"net_tap1,iface={self.srv.dev}\", mtu: {self.mtu}}}\n"
            "lcores: {workers: [0], callout: 0}\n"
            "limits: {flows: 1024, mbufs: 16384}\n"
            # Selected for a message that never comes.
            f"rules: [{{name: split, match: {{protocol: http, server-port: {self.far_ports}, path: /nothing}}, action: block}}]\n")
        p = self.dut.start("far", self.program("opes-dataplane"), "-c", str(far), "--", "--single-file-segments")
        p.wait_line("opes-dataplane: ready")
