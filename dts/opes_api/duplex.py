# SPDX-License-Identifier: BSD-3-Clause
"""A client that sends and reads at once, octet for octet what comes back being what was sent. Runs in the cli namespace.

duplex ADDRESS PORT OCTETS [--head TEXT] [--eager] [--hold SECONDS]

--head: octets before the stream ("\\\\r\\\\n" stands for itself), whose answer, a head, is read and printed;
--eager: the stream begins without waiting for that answer. --hold: seconds before closing, after everything came back.
"""

from __future__ import annotations

import argparse
import hashlib
import socket
import threading
import time

from opes_api.objects import content


def read_head(s: socket.socket) -> bytes:
    """To the empty line; not an octet more is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = s.recv(1)
        if not octet:
            raise SystemExit(f"the stream ended in the head: {head!r}")
        head += octet
    return head


def main() -> None:
    ap = argparse.ArgumentParser()
    ap.add_argument("address")
    ap.add_argument("port", type=int)
    ap.add_argument("octets", type=int)
    ap.add_argument("--head", default="")
    ap.add_argument("--eager", action="store_true")
    ap.add_argument("--hold", type=float, default=0)
    args = ap.parse_args()
    out = content(77, args.octets)
    s = socket.create_connection((args.address, args.port), timeout=60)
    head = args.head.replace("\\r\\n", "\r\n").encode()
    s.sendall(head)
    if head and not args.eager:
        print("head", read_head(s).split(b"\r\n")[0].decode(), flush=True)
    sender = threading.Thread(target=s.sendall, args=(out,))
    sender.start()
    if head and args.eager:
        print("head", read_head(s).split(b"\r\n")[0].decode(), flush=True)
    got, left, longest, last = hashlib.sha256(), args.octets, 0.0, time.monotonic()
    while left:
        data = s.recv(min(left, 1 << 16))
        if not data:
            raise SystemExit(f"the stream ended {left} octets too early")
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        got.update(data)
        left -= len(data)
    sender.join()
    print("sha256", got.hexdigest() == hashlib.sha256(out).hexdigest(), f"longest pause {longest:.3f} s", flush=True)
    time.sleep(args.hold)
    s.shutdown(socket.SHUT_WR)
    rest = s.recv(1)
    print("end", rest == b"", flush=True)


if __name__ == "__main__":
    main()
