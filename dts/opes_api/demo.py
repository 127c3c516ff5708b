# SPDX-License-Identifier: BSD-3-Clause
"""What ./demo shows. Each claim it prints is checked; the first that does not hold ends it with exit code 1."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from opes_api.lab import SRV4, Lab, LabError, human_rate, run

STATE = Path("/run/opes-demo.json")
PAGE = """<!DOCTYPE html>
<html>
<head><title>Acme Corp</title></head>
<body>
<h1>Welcome to Acme Corp</h1>
<p>Our internal codename is Bluebird.</p>
<p>Nothing else here is touched.</p>
</body>
</html>
"""
# In two pieces, so that no scanner takes this file for the test virus.
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SERVICES = """
  - {name: replace, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:replace"}
  - {name: block, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:block"}
  - {name: as-is, address: "tcp:127.0.0.1:4037", uri: "urn:opes:service:as-is"}
"""
RULES = """
  - name: downloads
    match: {protocol: http, server-port: 80, kind: response, path: {prefix: /download/}}
    action: adapt
    service: as-is
    on-failure: open
  - name: scan
    match: {protocol: http, server-port: 80, kind: response, path: {prefix: /files/}}
    action: adapt
    service: block
    on-failure: answer
  - name: pages
    match: {protocol: http, server-port: 80, kind: response, content-type: text/html}
    action: adapt
    service: replace
    on-failure: open
"""
CALLOUT = ("replace:urn:opes:service:replace,replace=Acme Corp=Example Ltd,replace=Bluebird=(withheld)",
           f"block:urn:opes:service:block,pattern={EICAR}",
           "as-is:urn:opes:service:as-is")


def title(n: int, text: str) -> None:
    print(f"\n[{n}] {text}\n" + "-" * (len(text) + 4), flush=True)


def check(ok: bool, text: str) -> None:
    print(f"    {'ok  ' if ok else 'FAIL'}  {text}", flush=True)
    if not ok:
        raise LabError(f"this did not hold: {text}")


def side_by_side(left: str, right: str, heads: tuple[str, str]) -> None:
    rows = list(zip(left.splitlines(), right.splitlines()))
    width = max(len(heads[0]), *(len(a) for a, _ in rows))
    print(f"      {heads[0]:<{width}} | {heads[1]}\n      {'-' * width}-+-{'-' * width}")
    for a, b in rows:
        print(f"    {'*' if a != b else ' '} {a:<{width}} | {b}")


def sha(path: Path) -> str:
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def start(lab: Lab) -> None:
    lab.start_nginx(f"listen {SRV4}:8081;")
    (lab.www / "index.html").write_text(PAGE)
    for d in ("download", "files"):
        (lab.www / d).mkdir(exist_ok=True)
    (lab.www / "files" / "report.txt").write_text("quarterly figures, nothing harmful\n")
    (lab.www / "files" / "invoice.bin").write_text("some octets before it " + EICAR + " and some after\n")
    (lab.www / "download" / "image.bin").write_bytes(os.urandom(64 << 20))
    lab.start_callout(*CALLOUT)
    lab.start(rules=RULES, services=SERVICES)
    for s in ("replace", "block", "as-is"):
        lab.wait_service(s)


def show_page(lab: Lab) -> None:
    title(1, "A page, as the server sends it and as the client gets it")
    url = f"http://{SRV4}/index.html"
    before = lab.srv.run("curl", "-sS", url).stdout
    after = lab.curl(url).stdout
    side_by_side(before, after, ("at the server", "at the client, through the appliance"))
    want = before.replace("Acme Corp", "Example Ltd").replace("Bluebird", "(withheld)")
    check(before == PAGE and after == want, "every pattern is replaced, nothing else is touched")


def show_block(lab: Lab) -> None:
    title(2, "A download that carries the EICAR test string")
    clean = lab.curl("-w", "%{http_code}", f"http://{SRV4}/files/report.txt").stdout
    print(f"    GET /files/report.txt   -> {clean[-3:]}  {clean[:-3].strip()}")
    bad = lab.curl("-i", f"http://{SRV4}/files/invoice.bin").stdout
    print("    GET /files/invoice.bin  ->")
    for line in bad.splitlines():
        print(f"      {line}")
    check(clean.endswith("200"), "the clean file passes")
    check(bad.startswith("HTTP/1.1 403") and EICAR not in bad, "the other one is answered with a 403 page")


def show_download(lab: Lab) -> None:
    title(3, "A 64 MiB download through the as-is service")
    out = lab.dir / "image.got"
    t = time.monotonic()
    lab.curl("-o", str(out), f"http://{SRV4}/download/image.bin")
    took = time.monotonic() - t
    want, got = sha(lab.www / "download" / "image.bin"), sha(out)
    n = out.stat().st_size
    out.unlink()
    print(f"    sent      sha256 {want}\n    received  sha256 {got}")
    print(f"    {n} octets in {took:.2f} s, {human_rate(n, took)}; every octet went to the service,")
    c = lab.counters()
    print(f"    {c['as_is_octets'] >> 20} MiB came back as references to our own copy, "
          f"{c['callout_octets_in'] / 1024:.0f} KiB as octets")
    check(want == got, "the SHA-256 is the same")


def show_bypass(lab: Lab) -> None:
    title(4, "Traffic that no rule selects")
    created = lab.counters()["flow_created"]
    ping = lab.cli.run("ping", "-c", "5", "-i", "0.2", SRV4).stdout.splitlines()
    print(f"    {ping[-2]}\n    {ping[-1]}")
    got = lab.curl(f"http://{SRV4}:8081/index.html").stdout
    check(" 0% packet loss" in ping[-2], "ping loses nothing")
    check(got == PAGE, "the same page from port 8081, which no rule names, is the server's own")
    c = lab.counters()
    check(c["flow_created"] == created, f"no flow was opened for it; {c['bypass_frames']} frames have crossed untouched")


def show_control(lab: Lab) -> None:
    title(5, "What the operator sees")
    slow = lab.cli.start("slow-curl", "curl", "-sS", "--limit-rate", "200k", "-o", "/dev/null",
                         f"http://{SRV4}/download/image.bin")
    time.sleep(1.0)
    for command in (("status",), ("rules", "list"), ("flows",), ("services",), ("buffers",), ("counters",)):
        print(f"\n    $ opesctl {' '.join(command)}")
        for line in lab.ctl(*command).stdout.splitlines():
            print(f"    {line}")
    slow.stop(signal.SIGTERM)


def keep(lab: Lab) -> None:
    STATE.write_text(json.dumps({"ns": list(lab.ns.values()), "pids": {p.pid: os.readlink(f"/proc/{p.pid}/exe") for p in lab.processes if p.alive()},
                                 "dir": str(lab.dir)}))
    ctl = f"{lab.program('opesctl')} -s {lab.socket}"
    print(f"""
The lab stays up. Look around:

    ip netns exec {lab.ns['cli']} curl http://{SRV4}/                as the client
    ip netns exec {lab.ns['srv']} curl http://{SRV4}/                as the server, beside the appliance
    {ctl} status        also: flows, services, buffers, counters, events -f
    $EDITOR {lab.config}                               then:
    {ctl} rules reload
    tail -f {lab.dir}/dataplane.log {lab.dir}/control.log {lab.dir}/callout.log

    sudo ./demo --stop                                              ends it
""")


def stop() -> int:
    if not STATE.exists():
        print("demo: no lab is running that was started with --keep")
        return 1
    s = json.loads(STATE.read_text())
    for sig, wait in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 0.2)):
        for pid in reversed(list(s["pids"])):
            try:
                if os.readlink(f"/proc/{pid}/exe") == s["pids"][pid]:  # not a number given anew
                    os.kill(int(pid), sig)
            except (ProcessLookupError, FileNotFoundError):
                pass
        end = time.monotonic() + wait
        while time.monotonic() < end and any(os.path.exists(f"/proc/{p}") for p in s["pids"]):
            time.sleep(0.05)
    for ns in s["ns"]:
        run("ip", "netns", "del", ns, check=False)
    run("rm", "-rf", s["dir"])
    STATE.unlink()
    print("demo: the lab is gone")
    return 0


def main() -> int:
    ap = argparse.ArgumentParser(prog="demo")
    ap.add_argument("--keep", action="store_true")
    ap.add_argument("--stop", action="store_true")
    ap.add_argument("--driver", choices=("af_xdp", "af_packet"))
    args = ap.parse_args()
    if args.stop:
        return stop()
    if STATE.exists():
        print("demo: a lab is still up (sudo ./demo --stop ends it)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with Lab(tag="demo", driver=args.driver, keep=args.keep) as lab:
            print("== starting the lab: client, appliance and server in three network namespaces")
            try:
                start(lab)
                print(f"== up: two {lab.driver} ports, nginx, a callout server with three services")
                show_page(lab)
                show_block(lab)
                show_download(lab)
                show_bypass(lab)
                show_control(lab)
            except BaseException:
                lab.keep = False
                raise
            if args.keep:
                keep(lab)
            else:
                print("\n== done: everything is taken down again"
                      "\n   sudo ./demo --keep leaves the lab up and says how to look around in it")
    except LabError as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
