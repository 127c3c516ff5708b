# SPDX-License-Identifier: BSD-3-Clause
"""Many transfers at the same time over kernel sockets, each octet checked, with a time for each.

    python3 -m opes_api.transfers FILE

FILE holds a JSON list; a job is
    {"kind": "download" or "upload", "addr": A, "port": P, "seed": N, "size": OCTETS, "seconds": LIMIT}
    {"kind": "short", "addr": A, "port": P, "seed": N, "count": TRANSACTIONS, "connections": AT A TIME, "seconds": LIMIT}
The origin's object (origin.py, objects.py) is compared by its SHA-256, and what the origin says of what it received. Short
transactions are GET and POST of up to 4 KiB, one on each connection for half of them, ten for the rest. Printed is a JSON
list in the same order: {"seconds": TIME (connecting and all), "octets": BODIES, "done": COUNT} or {"error": TEXT}. A job that is not done after its
limit is an error.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from opes_api.client import FramingError, Reader, check_digest, connect
from opes_api.objects import content


class Deadline:
    """A connection's operations must end before it."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("not done in time")
        return left


def head(sock: socket.socket, request: bytes) -> tuple[int, int, bytes]:
    """Status, Content-Length and what followed the head in the buffer."""
    sock.sendall(request)
    reader = Reader(sock)
    status, fields = reader.head()
    return status, int(fields.get("content-length", -1)), reader.buf


def download(job: dict) -> int:
    want = job["content"]
    limit = Deadline(job["seconds"])
    sock = connect(job["addr"], job["port"], limit.left())
    path = f"/o/length/{job['seed']}/{job['size']}/0"
    status, length, got = head(sock, f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
    if status != 200 or length != len(want):
        raise FramingError(f"status {status}, {length} octets")
    digest, have = hashlib.sha256(got), len(got)
    while have < length:
        sock.settimeout(limit.left())
        data = sock.recv(min(1 << 18, length - have))
        if not data:
            raise FramingError(f"the end after {have} of {length} octets")
        digest.update(data)
        have += len(data)
    sock.close()
    if digest.digest() != hashlib.sha256(want).digest():
        raise FramingError("other octets")
    return length


def upload(job: dict) -> int:
    body = job["content"]
    limit = Deadline(job["seconds"])
    sock = connect(job["addr"], job["port"], limit.left())
    sock.sendall(f"POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    sock.sendall(body)
    sock.settimeout(limit.left())
    status, _, answer, _ = Reader(sock).response(strict=True)
    sock.close()
    if status != 200:
        raise FramingError(f"status {status}")
    check_digest("upload", answer, body)
    return len(body)


def short_run(job: dict, first: int, count: int, limit: Deadline) -> int:
    """Some transactions on one connection."""
    sock = connect(job["addr"], job["port"], limit.left())
    reader, octets = Reader(sock), 0
    for k in range(first, first + count):
        seed = job["seed"] + k
        body = content(seed, 1 + seed * 97 % 4096)
        sock.settimeout(limit.left())
        if k % 2:
            sock.sendall(f"POST /short HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            status, _, answer, _ = reader.response(strict=True)
            check_digest(f"transaction {k}", answer, body)
        else:
            sock.sendall(f"GET /o/length/{seed}/{len(body)}/0 HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            status, _, answer, _ = reader.response(strict=True)
            if status != 200 or answer != body:
                raise FramingError(f"transaction {k}: status {status}, {len(answer)} octets, {len(body)} expected, or others")
        octets += len(body)
    sock.close()
    return octets


def short(job: dict) -> int:
    limit = Deadline(job["seconds"])
    half = job["count"] // 2
    runs = [(k, 1) for k in range(half)] + [(k, min(10, job["count"] - k)) for k in range(half, job["count"], 10)]
    with ThreadPoolExecutor(job["connections"]) as pool:
        return sum(pool.map(lambda r: short_run(job, r[0], r[1], limit), runs))


KINDS = {"download": download, "upload": upload, "short": short}


def do(job: dict) -> dict:
    if "size" in job:
        job["content"] = content(job["seed"], job["size"])
    start = time.monotonic()
    try:
        octets = KINDS[job["kind"]](job)
        return {"seconds": time.monotonic() - start, "octets": octets, "done": job.get("count", 1)}
    except (OSError, FramingError, ValueError) as e:
        return {"error": f"{type(e).__name__}: {e} (after {time.monotonic() - start:.1f} s)"}


def main(path: str) -> None:
    with open(path) as f:
        jobs = json.load(f)
    results: list[dict] = [{} for _ in jobs]

    def one(i: int) -> None:
        results[i] = do(jobs[i])

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t, job in zip(threads, jobs):
        t.join(job["seconds"] + 20)
    json.dump([r or {"error": "it hangs"} for r in results], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
