# SPDX-License-Identifier: BSD-3-Clause
"""What the figures were taken on: read from this host, nothing changed."""

from __future__ import annotations

import ctypes
import datetime
import mmap
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

# Packages whose versions belong beside the figures.
PACKAGES = {"DPDK": ("libdpdk-dev", "dpdk-dev"), "Hyperscan": ("libhyperscan-dev", "libhyperscan5"),
            "jemalloc": ("libjemalloc-dev",), "Google Benchmark": ("libbenchmark-dev",), "Squid": ("squid",),
            "c-icap": ("c-icap",), "HAProxy": ("haproxy",), "nginx": ("nginx", "nginx-light"), "gcc": ("gcc",),
            "clang": ("clang",)}


def read(path: str, default: str = "") -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return default


def output(*argv: str) -> str:
    try:
        p = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return p.stdout.strip() if p.returncode == 0 else ""


def package(*names: str) -> str:
    for n in names:
        got = output("dpkg-query", "-W", "-f", "${Status} ${Version}", n)
        if got.startswith("install ok installed "):
            return got.rsplit(" ", 1)[1]
    return "not installed"


def tsc_hz() -> float | None:
    """Cycles of the time-stamp counter a second, counted over 50 ms; x86 only."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("0f31" "48c1e220" "4809d0" "c3"))     # rdtsc; shl rdx,32; or rax,rdx; ret
    anchor = ctypes.c_char.from_buffer(code)
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(anchor))
    t0, c0 = time.perf_counter_ns(), rdtsc()
    time.sleep(0.05)
    t1, c1 = time.perf_counter_ns(), rdtsc()
    del anchor
    return (c1 - c0) / (t1 - t0) * 1e9


def cpu() -> tuple[str, list[str]]:
    text = read("/proc/cpuinfo")
    model = re.search(r"^(?:model name|Model)\s*: (.*)$", text, re.M)
    flags = re.search(r"^flags\s*: (.*)$", text, re.M)
    return (model.group(1) if model else platform.machine(), flags.group(1).split() if flags else [])


def nics() -> list[str]:
    """Network devices on a bus of this host, by driver; virtio and the like are named as what they are."""
    found = []
    for d in sorted(Path("/sys/class/net").glob("*")):
        driver = d / "device" / "driver"
        if driver.exists():
            found.append(f"{d.name} ({driver.resolve().name})")
    return found


def hardware_counters() -> bool:
    devices = Path("/sys/bus/event_source/devices")
    return any(devices.glob("cpu*")) or any(devices.glob("armv8*"))


def kernel_options() -> str:
    """Those words of the kernel's command line that change figures."""
    wanted = ("isolcpus", "nohz_full", "rcu_nocbs", "mitigations", "hugepages", "default_hugepagesz", "hugepagesz", "idle",
              "intel_pstate", "iommu", "intel_iommu", "amd_iommu", "nosmt")
    return " ".join(w for w in read("/proc/cmdline").split() if w.split("=")[0] in wanted) or "none"


def facts(root: Path, build: Path | None = None) -> dict:
    model, flags = cpu()
    mem = {k: int(v) for k, v in re.findall(r"^(\w+):\s+(\d+)", read("/proc/meminfo"), re.M)}
    try:
        tsc = tsc_hz()
    except (OSError, ValueError):       # no executable pages allowed here
        tsc = None
    caches = {}
    for c in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if read(str(c / "type")) != "Instruction":
            caches[f"L{read(str(c / 'level'))}"] = read(str(c / "size"))
    isa = [f for f in ("sse4_2", "avx2", "avx512bw", "gfni", "vaes") if f in flags]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "host": platform.node(), "machine": platform.machine(), "cpu": model, "cpus": os.cpu_count() or 1,
        "cpus_allowed": len(os.sched_getaffinity(0)), "virtual": output("systemd-detect-virt", "--vm") or (
            "yes" if "hypervisor" in flags else "none"), "tsc_hz": tsc, "caches": caches, "isa": isa,
        "memory_kb": mem.get("MemTotal", 0), "hugepages_2m": mem.get("HugePages_Total", 0),
        "thp": (re.search(r"\[(\w+)\]", read("/sys/kernel/mm/transparent_hugepage/enabled")) or [None, "unknown"])[1],
        "numa_nodes": max(1, len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))), "nics": nics(),
        "hardware_counters": hardware_counters(),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none (not exposed)"),
        "isolated_cpus": read("/sys/devices/system/cpu/isolated") or "none",
        "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"), "kernel_options": kernel_options(),
        "kernel": platform.release(),
        "os": (re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M) or [None, platform.system()])[1],
        "product": output("git", "-C", str(root), "describe", "--always", "--dirty", "--tags") or "unknown",
        "commit": output("git", "-C", str(root), "rev-parse", "HEAD"),
        "buildtype": buildtype(build), "pktgen": shutil.which("pktgen") or "not installed",
        "versions": {k: package(*v) for k, v in PACKAGES.items()},
    }


def buildtype(build: Path | None) -> str:
    """Optimisation, link-time optimisation and sanitizers, as meson was told; `buildtype` alone says nothing of them."""
    text = output("meson", "introspect", "--buildoptions", str(build)) if build and build.is_dir() else ""
    value = dict(re.findall(r'"name": "(optimization|b_lto|b_sanitize)", "value": "?(\w+)', text))
    if not value:
        return "unknown"
    return "".join(("-O" + value.get("optimization", "?"), ", LTO" if value.get("b_lto") == "true" else "",
                    "" if value.get("b_sanitize", "none") == "none" else ", sanitizers"))
