# SPDX-License-Identifier: BSD-3-Clause
"""The callout server as a program:

    python3 -m opes_api.ocp --listen unix:/tmp/s.sock [--service echo|send|block|leave|replace] [--log FILE]
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from .server import CalloutServer
from .services import SERVICES


def main() -> int:
    """The program. Ends at SIGTERM or SIGINT; prints faults and exits with 1 when there were any."""
    ap = argparse.ArgumentParser(prog="opes_api.ocp")
    ap.add_argument("--listen", required=True, metavar="ADDRESS", help="unix:/path or tcp:HOST:PORT")
    ap.add_argument("--service", choices=sorted(SERVICES), default="echo")
    ap.add_argument("--log", metavar="FILE", help="write the transcripts there at the end")
    args = ap.parse_args()
    stop = threading.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.set())
    with CalloutServer(args.listen, SERVICES[args.service]()) as server:
        print(f"ocp server: ready on {server.address}", flush=True)
        while not stop.wait(0.2):
            pass
    if args.log:
        with open(args.log, "w", encoding="utf-8") as f:
            f.write("\n--\n".join(c.transcript.tail(1 << 30) for c in server.connections))
    for e in server.faults:
        print(e, file=sys.stderr)
    return 1 if server.faults else 0


if __name__ == "__main__":
    sys.exit(main())
