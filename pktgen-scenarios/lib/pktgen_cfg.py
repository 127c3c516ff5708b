# SPDX-License-Identifier: BSD-3-Clause
"""The configurations in cfg/ for Pktgen's tools/run.py, from one place.

Environment: OPES_PKTGEN_PORTS (two PCI addresses, or vhost), OPES_PKTGEN_SOCKETS (folder of the two sockets with
vhost), OPES_PKTGEN_CORES (three processors: main, port 0, port 1), OPES_PKTGEN_APP (path of pktgen).
"""

from __future__ import annotations

import os
from typing import Any


def make(stem: str, text: str, pcap: bool = False) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """description, setup and run as tools/run.py wants them: every value a string or a tuple of strings."""
    ports = os.environ.get("OPES_PKTGEN_PORTS", "0000:03:00.0,0000:03:00.1")
    main, core0, core1 = os.environ.get("OPES_PKTGEN_CORES", "1,2,3").split(",")
    setup: dict[str, Any] = {"exec": ("sudo", "-E"), "devices": (), "uio": "vfio-pci"}
    run: dict[str, Any] = {
        "exec": ("sudo", "-E"),
        "app_name": "pktgen",
        "app_path": tuple(filter(None, (os.environ.get("OPES_PKTGEN_APP"), "/usr/local/bin/%(app_name)s",
                                        "./usr/local/bin/%(app_name)s"))),
        "cores": f"{main},{core0},{core1}",
        "nrank": "4",
        "proc": "primary",
        "log": "7",
        "prefix": "pktgen",
        "opts": ("-P",),
        # One lcore a port, so one queue each way: replays keep their order.
        "map": (f"{core0}.0", f"{core1}.1"),
        "loadfile": f"scripts/{stem}.lua",
    }
    if ports == "vhost":
        folder = os.environ.get("OPES_PKTGEN_SOCKETS", "/run/opes")
        run["vdev"] = (f"net_virtio_user0,path={folder}/inside.sock,queues=1,queue_size=1024",
                       f"net_virtio_user1,path={folder}/outside.sock,queues=1,queue_size=1024")
    else:
        setup["devices"] = run["allowlist"] = tuple(ports.split(","))
    if pcap:
        run["pcap"] = (f"0:pcap/{stem}.pcap",)
    return f"OPES appliance: {text}", setup, run
