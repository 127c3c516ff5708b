# SPDX-License-Identifier: BSD-3-Clause
"""HTTP clients written from RFC 9112 for the tests: strict about framing, sharing nothing with the product.

    python3 -m opes_api.client pipeline ADDR PORT SERVICE COUNT SEED   requests sent at once, answers checked
    python3 -m opes_api.client upload ADDR PORT SERVICE                POST of many sizes in every form, checked
    python3 -m opes_api.client special ADDR PORT                       HEAD, 204, 304, 103, 101 with a tunnel
    python3 -m opes_api.client raw ADDR PORT HEX                       octets sent as they are; the answer in hex
    python3 -m opes_api.client echo ADDR PORT SERVICE OCTETS CONNECTIONS SEED
                                                                       byte echo, checked, half-closed at the end

Each prints one line and ends with exit code 0 when everything was right.
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

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields (lower-case names) of the next head."""
        status_line = self.line().decode("latin-1")
        if not status_line.startswith("HTTP/1."):
            raise FramingError(f"not a status line: {status_line!r}")
        fields: dict[str, str] = {}
        while (line := self.line().decode("latin-1")):
            name, _, value = line.partition(":")
            if name.lower() in fields and name.lower() in ("content-length", "transfer-encoding"):
                raise FramingError(f"{name} twice")
            fields[name.lower()] = value.strip()
        return int(status_line.split(" ")[1]), fields

    def interim(self, status: int) -> None:
        """The next head must be this interim response."""
        got, _ = self.head()
        if got != status:
            raise FramingError(f"{got} instead of the interim response {status}")

    def response(self, head_request: bool = False,
                 strict: bool = False) -> tuple[int, dict[str, str], bytes, dict[str, str]]:
        """status, fields, body, trailers. Interim responses are skipped, with strict they are an error."""
        status, fields = self.head()
        while status < 200 and status != 101:
            if strict:
                raise FramingError(f"interim response {status} that was not asked for")
            status, fields = self.head()
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
    assert len(objs) == count
    wire, want = b"", []
    for i, o in enumerate(objs):
        if i % 5 == 4:
            body = content(i + 1, 10 + i * 37)
            if i % 2:
                wire += b"POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            else:
                wire += (b"POST /p HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
                         + body + b"\r\n0\r\n\r\n")
            want.append(("POST", body, None))
        elif i % 7 == 6:
            wire += f"HEAD {o.path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
            want.append(("HEAD", b"", None))
        else:
            wire += f"GET {o.path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
            want.append(("GET", adapted(service, o.body()), str(len(o.body())) if o.mode == "trailers" else None))
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
    for i, (method, body, trailer) in enumerate(want):
        status, _, got, trailers = reader.response(method == "HEAD")
        if status != 200:
            raise FramingError(f"answer {i}: status {status}")
        if method == "GET" and got != body:
            raise FramingError(f"answer {i}: {len(got)} octets differ from the {len(body)} expected")
        if method == "POST":
            check_digest(f"answer {i}", got, adapted(service, body))
        if trailers.get("x-check") != trailer:
            raise FramingError(f"answer {i}: trailers {trailers}, X-Check of {trailer} expected")
    t.join()
    sock.close()
    return f"{len(want)} answers in order"


def check_digest(what: str, answer: bytes, sent: bytes) -> None:
    """The origin's "LENGTH SHA256" of what it received against what was sent."""
    n, digest = answer.split()
    if int(n) != len(sent) or digest.decode() != hashlib.sha256(sent).hexdigest():
        raise FramingError(f"{what}: the server got {n.decode()} octets, {len(sent)} expected, or others")


UPLOAD_SIZES = (0, 1, 100, 1447, 1448, 1449, 65536, (1 << 20) + 3, 8 << 20)


def upload(addr: str, port: int, service: str) -> str:
    """POST in every size with Content-Length, chunked, and waiting for 100; one connection a form."""
    done = 0
    for form in ("length", "chunked", "expect"):
        sock = connect(addr, port)
        reader = Reader(sock)
        for k, size in enumerate(UPLOAD_SIZES):
            body = content(9000 + k, size)
            head = f"POST /upload/{form}/{size} HTTP/1.1\r\nHost: t\r\n"
            if form == "chunked":
                sock.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
                for at in range(0, size, 70001):
                    piece = body[at:at + 70001]
                    sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                sock.sendall(b"0\r\n\r\n")
            else:
                expect = "Expect: 100-continue\r\n" if form == "expect" else ""
                sock.sendall(f"{head}{expect}Content-Length: {size}\r\n\r\n".encode())
                if expect:
                    reader.interim(100)
                sock.sendall(body)
            status, _, got, _ = reader.response(strict=True)
            if status != 200:
                raise FramingError(f"{form} {size}: status {status}")
            check_digest(f"{form} {size}", got, adapted(service, body))
            done += 1
        sock.close()
    return f"{done} uploads"


def special(addr: str, port: int) -> str:
    """Messages without a body, interim responses and a switch of protocols, all on connections that persist."""
    sock = connect(addr, port)
    reader = Reader(sock)

    def ask(method: str, path: str, more: str = "") -> None:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: t\r\n{more}\r\n".encode())

    def expect(what: str, ok: bool, got: object) -> None:
        if not ok:
            raise FramingError(f"{what}: {got}")

    for mode in ("length", "chunked"):
        ask("HEAD", f"/o/{mode}/1/5000/0")
        got = reader.response(head_request=True)
        expect("HEAD", got[0] == 200 and (mode != "length" or got[1].get("content-length") == "5000"), got)
    for path, status in (("/204", 204), ("/304", 304)):
        ask("GET", path)
        got = reader.response()
        expect(path, got[0] == status and got[2] == b"", got)
    ask("GET", "/early")
    reader.interim(103)
    got = reader.response(strict=True)
    expect("/early", got[0] == 200 and got[2] == b"ok", got)
    ask("GET", "/nothing")
    got = reader.response()
    expect("/nothing", got[0] == 404 and got[2] == b"", got)
    ask("GET", "/upgrade", "Connection: Upgrade\r\nUpgrade: bytes\r\n")
    got = reader.response()
    expect("/upgrade", got[0] == 101, got)
    data = content(77, 300000)
    t = threading.Thread(target=sock.sendall, args=(data,))
    t.start()
    expect("tunnel", reader.exactly(len(data)) == data, "other octets")
    t.join()
    sock.close()
    return "7 special messages"


def raw(addr: str, port: int, octets: bytes) -> str:
    """Sends octets and prints what comes until the end of the stream, a reset or a second of silence."""
    sock = connect(addr, port)
    sock.sendall(octets)
    sock.settimeout(1.5)
    got, end = b"", "silence"
    try:
        while True:
            data = sock.recv(1 << 16)
            if not data:
                end = "end"
                break
            got += data
    except ConnectionResetError:
        end = "reset"
    except TimeoutError:
        pass
    sock.close()
    return f"{end} {got.hex()}"


def echo(addr: str, port: int, service: str, octets: int, connections: int, seed: int) -> str:
    """Each connection sends octets and must get exactly them (adapted) back, then the end of the stream."""
    errors: list[str] = []

    def one(k: int) -> None:
        data = content(seed + k, octets)
        want = adapted(service, data)
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
        s.close()
        if bytes(got) != want:
            errors.append(f"connection {k}: {len(got)} octets back, {len(want)} expected, or others")

    def guarded(k: int) -> None:
        try:
            one(k)
        except OSError as e:
            errors.append(f"connection {k}: {e}")

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise FramingError("; ".join(errors))
    return f"{connections} x {octets} octets"


def main(what: str, addr: str, port: str, *rest: str) -> str:
    if what == "pipeline":
        return pipeline(addr, int(port), rest[0], int(rest[1]), int(rest[2]))
    if what == "upload":
        return upload(addr, int(port), rest[0])
    if what == "special":
        return special(addr, int(port))
    if what == "raw":
        return raw(addr, int(port), bytes.fromhex(rest[0]))
    return echo(addr, int(port), rest[0], int(rest[1]), int(rest[2]), int(rest[3]))


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
