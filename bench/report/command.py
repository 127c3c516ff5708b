# SPDX-License-Identifier: BSD-3-Clause
"""The command bench/run."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import document, host, parts, targets
from .runner import Progress, Run, duration, run_parts

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "build" / "bench-runs"
SETUP = """set -euo pipefail
. "$1/packaging/prepare.sh"
need_root
HUGEPAGES_WANTED=768 HUGEPAGES_FREE_NEEDED=640     # a million flows, or the dataplane beside a load generator
install_packages $PACKAGES_BUILD $PACKAGES_LAB ${PACKAGES_BENCH:-}
setup_hugepages
build "$2"
"""


def options(text: str, argv: list[str] | None) -> argparse.Namespace:
    ap = argparse.ArgumentParser(prog="bench/run", description=text.split("usage:")[0].strip(),
                                 epilog=text.split("\n\n")[-1].strip())
    ap.add_argument("--quick", action="store_true", help="in 10 minutes on a host of 2 cores; fewer samples")
    ap.add_argument("--resume", action="store_true", help="go on with the last run, or the one in --out: parts that are done are kept")
    ap.add_argument("--only", metavar="PART,...", help="these parts alone")
    ap.add_argument("--out", metavar="DIR", type=Path, help="folder of the run (default: a new one in build/bench-runs)")
    ap.add_argument("--list", action="store_true", help="show the parts, and end")
    ap.add_argument("--report", action="store_true", help="measure nothing: write the report of a run once more")
    ap.add_argument("--no-setup", action="store_true", help="install and build nothing: it is all there")
    ap.add_argument("--build", metavar="DIR", type=Path, default=ROOT / "build", help="build folder (default: build)")
    ap.add_argument("--parts", metavar="FILE", type=Path, default=ROOT / "bench/parts.json", help="another table of parts")
    ap.add_argument("--targets", metavar="FILE", type=Path, default=ROOT / "bench/targets.json", help="another table of targets")
    o = ap.parse_args(argv)
    o.build = o.build.resolve()
    return o


def show(table: parts.Table, places: dict[str, str]) -> None:
    print(f"{'part':<12} {'quick':>12} {'full':>12}  measures")
    for p in table.parts:
        lacks = p.lacks(places)
        print(f"{p.name:<12} {duration(p.seconds['quick']):>12} {duration(p.seconds['full']):>12}  {p.text}"
              + (f"\n{'':<40}(not there yet: {', '.join(lacks)})" if lacks else ""))
    for mode, s in table.total.items():
        print(f"a {mode} run ends after {duration(s)} at the latest, setting up included")


def folder(o: argparse.Namespace) -> Path:
    if o.out:
        return o.out.resolve()
    latest = RUNS / "latest"
    if o.resume or o.report:
        if not latest.exists():
            raise FileNotFoundError(f"{RUNS} holds no run yet")
        return latest.resolve()
    out = RUNS / time.strftime(f"%Y%m%d-%H%M%S-{'quick' if o.quick else 'full'}")
    out.mkdir(parents=True)
    latest.unlink(missing_ok=True)
    latest.symlink_to(out.name)
    return out


def set_up(build: Path) -> None:
    if subprocess.run(["bash", "-c", SETUP, "bench/run", str(ROOT), str(build)]).returncode != 0:
        raise SystemExit(1)


def close(out: Path, o: argparse.Namespace, progress: Progress) -> int:
    """Write the report, say the verdicts in short. The exit code of the run."""
    report = document.write(out, o.targets)
    width = max(len(v.target.id) for v in report.verdicts)
    for v in report.verdicts:
        progress.line(f"{v.target.id:<{width}}  {v.verdict:<12}  {document.figure(v):<22} {v.target.limit:<14} {'; '.join(v.remarks)}".rstrip())
    wrong = report.wrong()
    for n, p in report.parts.items():
        if p["state"] in ("left out", "over time"):
            progress.line(f"not whole: part {n}: {p['reason']}")
    for w in wrong:
        progress.line(f"FAILED: {w}")
    progress.line(f"{len(report.rows)} records, report: {out / 'report.md'} and report.html")
    return 1 if wrong else 0


def main(text: str, argv: list[str] | None = None) -> int:
    begun = time.monotonic()
    o = options(text, argv)
    progress = Progress()
    try:
        table = parts.load(o.parts)
        targets.load(o.targets)
        chosen = table.named(o.only.split(",")) if o.only else table.parts
        if o.list:
            show(table, {"out": "-", "root": str(ROOT), "build": str(o.build)})
            return 0
        if o.report:
            return close(folder(o), o, progress)
        if not o.no_setup:
            set_up(o.build)
        facts = host.facts(ROOT, o.build)
        run = Run(folder(o), ROOT, o.build, progress)
        if o.resume:
            run.resume(facts)
            if o.quick and run.mode != "quick":
                raise ValueError(f"{run.out} holds a full run: --quick begins a new one, without --resume")
        else:
            run.begin("quick" if o.quick else "full", facts)
    except (OSError, ValueError) as e:
        print(f"bench/run: {e}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)      # ended from outside: as by hand
    progress.line(f"{run.mode} run in {run.out}")
    try:
        run_parts(run, chosen, table.total.get(run.mode), begun=begun)
    except KeyboardInterrupt:
        close(run.out, o, progress)
        progress.line("ended by hand; --resume goes on with it")
        return 130
    code = close(run.out, o, progress)
    progress.line(f"{duration(time.monotonic() - begun)} in all")
    if os.environ.get("SUDO_UID"):      # what root wrote belongs to who asked for it
        uid, gid = int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", os.environ["SUDO_UID"]))
        for p in [run.out, *run.out.rglob("*")]:
            os.chown(p, uid, gid, follow_symlinks=False)
    return code
