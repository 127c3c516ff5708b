#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rates through the appliance in the lab of namespaces, as ratios to its own bypass in the same run.

usage: sudo bench/lab_rates.py [--driver af_xdp|af_packet] [--rounds N] [--json]

Downloads of 64 MiB (curl) and requests for 1 KiB (wrk, 32 connections), for traffic that is bypassed, selected but
forwarded, and sent through as-is, echo and replace. The cases take turns, so that a change of the host meets all of
them. Every download is compared with the original; a wrong octet or a failed request ends the run.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "dts"))
sys.dont_write_bytecode = True

from opes_api.appliance import adapt_rule, services  # noqa: E402
from opes_api.lab import SRV4, Lab, wait_for  # noqa: E402

CASES = ("bypass", "forward", "as-is", "echo", "replace")
RULES = {
    "bypass": "[]",
    "forward": "[{name: none, match: {protocol: http, server-port: 80, path: {prefix: /nothing}}, action: block}]",
} | {s: "[" + adapt_rule(s, port=80) + "]" for s in ("as-is", "echo", "replace")}


def one(lab: Lab, got: Path, want: Path) -> tuple[float, float]:
    speed = float(lab.curl("-o", str(got), "-w", "%{speed_download}", f"http://{SRV4}/big.bin").stdout)
    if not filecmp.cmp(got, want, shallow=False):
        raise SystemExit("lab_rates: a download differs from the original")
    out = lab.cli.run("wrk", "-t", "1", "-c", "32", "-d", "2", f"http://{SRV4}/small.html").stdout
    if "Socket errors" in out or "Non-2xx" in out:
        raise SystemExit(f"lab_rates: wrk saw errors\n{out}")
    return speed / 1e6, float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--driver", default=None)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--json", action="store_true")
    args = ap.parse_args()
    rows: dict[str, list[tuple[float, float]]] = {c: [] for c in CASES}
    with Lab(driver=args.driver) as lab:
        lab.start_nginx()
        want, got = lab.www / "big.bin", lab.dir / "got"
        want.write_bytes(os.urandom(64 << 20))
        (lab.www / "small.html").write_bytes(b"x" * 1024)
        lab.start_callout("as-is", "echo", "replace,replace=Bluebird=(withheld)")
        lab.start(rules="[]", services=services("as-is", "echo", "replace"))
        for n in range(args.rounds):
            for c in CASES:
                lab.set_rules(RULES[c], services("as-is", "echo", "replace"))
                lab.wait_rules()
                wait_for("services are up", lambda: all(
                    s["state"] == "up" for s in lab.ctl_json("services")["services"]))
                rows[c].append(one(lab, got, want))
                print(f"round {n + 1}/{args.rounds} {c}", file=sys.stderr)
        driver = lab.driver
    result = {"driver": driver, "rounds": args.rounds, "cases": {}}
    for c in CASES:
        mb, rps = zip(*rows[c])
        ratios = [(a[0] / b[0], a[1] / b[1]) for a, b in zip(rows[c], rows["bypass"])]
        result["cases"][c] = {
            "MB_per_s": statistics.median(mb), "requests_per_s": statistics.median(rps),
            "MB_ratio_to_bypass": statistics.median(r[0] for r in ratios),
            "requests_ratio_to_bypass": statistics.median(r[1] for r in ratios),
        }
    if args.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{driver}, {args.rounds} rounds, medians\n")
    print(f"{'case':<10}{'64 MiB':>12}{'of bypass':>11}{'1 KiB, 32 conn.':>18}{'of bypass':>11}")
    for c, r in result["cases"].items():
        print(f"{c:<10}{r['MB_per_s']:>7.0f} MB/s{r['MB_ratio_to_bypass']:>11.2f}"
              f"{r['requests_per_s']:>14.0f} r/s{r['requests_ratio_to_bypass']:>11.2f}")


if __name__ == "__main__":
    main()
