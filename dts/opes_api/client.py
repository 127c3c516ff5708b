# SPDX-License-Identifier: BSD-3-Clause
"""HTTP clients written from RFC 9112 for the tests: strict about framing, sharing nothing with the product.

    python3 -m opes_api.client pipeline ADDR PORT SERVICE COUNT SEED   requests sent at once, answers checked
    python3 -m opes_api.client echo ADDR PORT OCTETS CONNECTIONS SEED  byte echo, checked, half-closed at the end
"""

from __future__ import annotations

import hashlib
import random
import socket
import sys
import threading

from opes_api.objects import adapted, collection, content


class FramingError(AssertionError):
    """The answer is not valid HTTP/1.1."""


class Reader:
    """Responses from a socket, one after another."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.buf, self.closed = sock, b"", False

    def _more(self) -> bool:
        data = self.sock.recv(1 << 18)
        self.closed |= not data
        self.buf += data
        return bool(data)

    def line(self) -> bytes:
        while b"\r\n" not in self.buf:
            if not self._more():
                raise FramingError(f"closed inside a line: {self.buf[:200]!r}")
        out, self.buf = self.buf.split(b"\r\n", 1)
        return out

    def exactly(self, n: int) -> bytes:
        parts, have = [self.buf], len(self.buf)
        while have < n:
            data = self.sock.recv(1 << 18)
            if not data:
                raise FramingError(f"closed {n - have} octets early")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buf = whole[n:]
        return whole[:n]

    def response(self, head_request: bool = False) -> tuple[int, dict[str, str], bytes, dict[str, str]]:
        """status, fields (lower-case names), body, trailers. Interim responses are skipped."""
        while True:
            status_line = self.line().decode("latin-1")
            if not status_line.startswith("HTTP/1."):
                raise FramingError(f"not a status line: {status_line!r}")
            status = int(status_line.split(" ")[1])
            fields: dict[str, str] = {}
            while (line := self.line().decode("latin-1")):
                name, _, value = line.partition(":")
                if name.lower() in fields and name.lower() in ("content-length", "transfer-encoding"):
                    raise FramingError(f"{name} twice")
                fields[name.lower()] = value.strip()
            if status < 200 and status != 101:
                continue
            break
        trailers: dict[str, str] = {}
        if head_request or status in (204, 304, 101):
            return status, fields, b"", trailers
        if "transfer-encoding" in fields:
            if "content-length" in fields or fields["transfer-encoding"] != "chunked":
                raise FramingError(f"ambiguous framing: {fields}")
            parts = []
            while (size := int(self.line().split(b";")[0], 16)):
                parts.append(self.exactly(size))
                if self.line() != b"":
                    raise FramingError("no CRLF after a chunk")
            while (line := self.line().decode("latin-1")):
                name, _, value = line.partition(":")
                trailers[name.lower()] = value.strip()
            return status, fields, b"".join(parts), trailers
        if "content-length" in fields:
            return status, fields, self.exactly(int(fields["content-length"])), trailers
        while self._more():
            pass
        body, self.buf = self.buf, b""
        return status, fields, body, trailers


def connect(addr: str, port: int, timeout: float = 60) -> socket.socket:
    s = socket.create_connection((addr, port), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def pipeline(addr: str, port: int, service: str, count: int, seed: int) -> str:
    """Requests of all kinds in one go (cut at random places), answers in their order."""
    r = random.Random(seed)
    objs = [o for o in collection(4 * count, seed) if o.mode != "close" and o.size < 1 << 17][:count]
    wire, want = b"", []
    for i, o in enumerate(objs):
        if i % 5 == 4:
            body = content(i + 1, 10 + i * 37)
            if i % 2:
                wire += b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            else:
                wire += (b"POST /p HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
                         + body + b"\r\n0\r\n\r\n")
            want.append(("POST", body))
        elif i % 7 == 6:
            wire += f"HEAD {o.path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
            want.append(("HEAD", b""))
        else:
            wire += f"GET {o.path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
            want.append(("GET", adapted(service, o.body())))
    sock = connect(addr, port)

    def send() -> None:
        at = 0
        while at < len(wire):
            n = r.choice((1, 3, 50, 700, 5000, 60000))
            sock.sendall(wire[at:at + n])
            at += n

    t = threading.Thread(target=send)
    t.start()
    reader = Reader(sock)
    for i, (method, body) in enumerate(want):
        status, _, got, _ = reader.response(method == "HEAD")
        if status != 200:
            raise FramingError(f"answer {i}: status {status}")
        if method == "GET" and got != body:
            raise FramingError(f"answer {i}: {len(got)} octets differ from the {len(body)} expected")
        if method == "POST":
            n, digest = got.split()
            sent = adapted(service if service_adapts_requests else "as-is", body)
            if int(n) != len(sent) or digest.decode() != hashlib.sha256(sent).hexdigest():
                raise FramingError(f"answer {i}: the server got another body")
    t.join()
    sock.close()
    return f"{len(want)} answers in order"


service_adapts_requests = True


def echo(addr: str, port: int, octets: int, connections: int, seed: int) -> str:
    """Each connection sends octets and must get exactly them back, then the end of the stream."""
    errors: list[str] = []

    def one(k: int) -> None:
        data = content(seed + k, octets)
        s = connect(addr, port)

        def send() -> None:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)

        t = threading.Thread(target=send)
        t.start()
        got = bytearray()
        while piece := s.recv(1 << 18):
            got += piece
        t.join()
        if bytes(got) != data:
            errors.append(f"connection {k}: {len(got)} octets back, {octets} sent, equal: False")
        s.close()

    threads = [threading.Thread(target=one, args=(k,)) for k in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise FramingError("; ".join(errors))
    return f"{connections} x {octets} octets"


if __name__ == "__main__":
    what, addr, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "pipeline":
        print(pipeline(addr, port, sys.argv[4], int(sys.argv[5]), int(sys.argv[6])))
    else:
        print(echo(addr, port, int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])))
