# SPDX-License-Identifier: BSD-3-Clause
"""An origin server that speaks HTTP/1 in every transfer form, and plain byte echo. Runs in the srv namespace.

GET  /o/MODE/SEED/SIZE/GZIP   an object of objects.py
POST anything                 200 with "LENGTH SHA256\\n" of the body received
GET  /head                    the request head as received, as the body
GET  /raw/MODE/STEP/HEX       the octets HEX in pieces of STEP with pauses, MODE length or chunked
GET  /eicar/MODE/SIZE         SIZE octets and then the EICAR test file
GET  /page/STATUS/TYPE        a small page with that status and content type ("." stands for "/")
GET  /verbatim/HEX            the octets HEX are the whole response, head included; then the connection ends
GET  /upgrade /204 /304 /early   101 and byte echo; without a body; an interim response first

With --log every request is a line "METHOD TARGET OCTETS" on standard output once its body is there.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import random

from opes_api.objects import EICAR, Obj, content


log = False


@functools.lru_cache(maxsize=512)
def small_body(path: str) -> bytes:
    return Obj.of_path(path).body()


def body_of(path: str) -> bytes:
    o = Obj.of_path(path)
    return small_body(path) if o.size <= 1 << 20 else o.body()


async def read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> tuple[int, str]:
    h, total = hashlib.sha256(), 0
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            left = size
            while left:
                data = await reader.read(min(left, 1 << 16))
                if not data:
                    raise ConnectionError("cut")
                h.update(data)
                left -= len(data)
            total += size
            if size == 0:
                while (await reader.readline()).strip():
                    pass
                return total, h.hexdigest()
            await reader.readline()
    left = int(fields.get("content-length", 0))
    while left:
        data = await reader.read(min(left, 1 << 16))
        if not data:
            raise ConnectionError("cut")
        h.update(data)
        total += len(data)
        left -= len(data)
    return total, h.hexdigest()


async def send_object(writer: asyncio.StreamWriter, o: Obj, body: bytes, head_only: bool) -> bool:
    """Returns whether the connection persists."""
    common = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nX-Object: {o.path}\r\n"
    if o.gz:
        common += "Content-Encoding: gzip\r\n"
    if o.mode == "length":
        writer.write(f"{common}Content-Length: {len(body)}\r\n\r\n".encode())
    elif o.mode == "close":
        writer.write(f"{common}Connection: close\r\n\r\n".encode())
    else:
        trailer = "Trailer: X-Check\r\n" if o.mode == "trailers" else ""
        writer.write(f"{common}{trailer}Transfer-Encoding: chunked\r\n\r\n".encode())
    if head_only:
        return o.mode != "close"
    if o.mode in ("length", "close"):
        for i in range(0, len(body), 1 << 18):
            writer.write(body[i:i + (1 << 18)])
            await writer.drain()
        return o.mode == "length"
    r, at = random.Random(o.seed), 0
    while at < len(body):
        n = min(len(body) - at, r.choice((1, 7, 100, 1448, 4096, 65536, 200000)) if len(body) > 4096 else r.randrange(1, 900))
        ext = ";name=value" if r.random() < 0.1 else ""
        writer.write(f"{n:x}{ext}\r\n".encode() + body[at:at + n] + b"\r\n")
        at += n
        await writer.drain()
    writer.write(b"0\r\n" + (b"X-Check: " + str(len(body)).encode() + b"\r\n" if o.mode == "trailers" else b"") + b"\r\n")
    return True


async def send_raw(writer: asyncio.StreamWriter, mode: str, step: int, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n" if mode == "chunked"
                 else b"Content-Length: %d\r\n\r\n" % len(body))
    for at in range(0, len(body), step):
        piece = body[at:at + step]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if mode == "chunked" else piece)
        await writer.drain()
        await asyncio.sleep(0.002 if len(body) < 4096 else 0)
    if mode == "chunked":
        writer.write(b"0\r\n\r\n")


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n")
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


FIXED = {
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 500\r\n\r\n',
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


async def answer_get(raw: bytes, path: str, writer: asyncio.StreamWriter, head_only: bool) -> bool:
    """Returns whether the connection persists."""
    if path.startswith("/o/"):
        return await send_object(writer, Obj.of_path(path), body_of(path), head_only)
    if path == "/head":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw)
    elif path.startswith("/raw/"):
        _, _, mode, step, octets = path.split("/")
        await send_raw(writer, mode, int(step), bytes.fromhex(octets))
    elif path.startswith("/eicar/"):
        _, _, mode, size = path.split("/")
        await send_raw(writer, mode, 8192, content(1, int(size)) + EICAR)
    elif path.startswith("/page/"):
        _, _, status, kind = path.split("/")[:4]
        body = f"page {path}\n".encode()
        writer.write(f"HTTP/1.1 {status} Page\r\nContent-Type: {kind.replace('.', '/')}\r\nX-Page: yes\r\n"
                     f"X-Remove: this\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    elif path.startswith("/verbatim/"):
        writer.write(bytes.fromhex(path.split("/")[2]))
        return False
    else:
        writer.write(FIXED.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    return True


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        persist = True
        while persist:
            raw = await reader.readuntil(b"\r\n\r\n")
            lines = raw.decode("latin-1").split("\r\n")
            method, path, version = lines[0].split(" ")
            fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:] if x)}
            persist = version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
            if fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            n, digest = await read_body(reader, fields)
            if log:
                print(method, path, n, flush=True)
            if method in ("POST", "PUT"):
                answer = f"{n} {digest}\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(answer)
                             + answer)
            elif path == "/upgrade" and "upgrade" in fields:
                await upgrade(reader, writer)
                return
            else:
                persist &= await answer_get(raw, path, writer, method == "HEAD")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    ap = argparse.ArgumentParser()
    ap.add_argument("--http", type=int, default=8000)
    ap.add_argument("--echo", type=int, default=7000)
    ap.add_argument("--log", action="store_true")
    args = ap.parse_args()
    global log
    log = args.log
    await asyncio.start_server(http, None, args.http, limit=1 << 20, backlog=1024)
    await asyncio.start_server(echo, None, args.echo, limit=1 << 20, backlog=1024)
    print("origin: ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
