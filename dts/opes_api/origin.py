# SPDX-License-Identifier: BSD-3-Clause
"""An origin server that speaks HTTP/1 in every transfer form, and plain byte echo. Runs in the srv namespace.

GET  /o/MODE/SEED/SIZE/GZIP   an object of objects.py
POST anything                 200 with "LENGTH SHA256\\n" of the body received
GET  /head                    the request head as received, as the body
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import random

from opes_api.objects import Obj


@functools.lru_cache(maxsize=64)
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
    common = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
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


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        persist = True
        while persist:
            raw = await reader.readuntil(b"\r\n\r\n")
            lines = raw.decode("latin-1").split("\r\n")
            method, path, version = lines[0].split(" ")
            fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:] if x)}
            if fields.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            persist = version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
            if method == "POST" or method == "PUT":
                n, digest = await read_body(reader, fields)
                answer = f"{n} {digest}\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            elif path.startswith("/o/"):
                persist &= await send_object(writer, Obj.of_path(path), body_of(path), method == "HEAD")
            elif path == "/head":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw)
            elif path == "/upgrade" and "upgrade" in fields:
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n")
                while data := await reader.read(1 << 16):
                    writer.write(data)
                    await writer.drain()
                return
            elif path == "/204":
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            elif path == "/early":
                writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
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
    args = ap.parse_args()
    await asyncio.start_server(http, None, args.http, limit=1 << 20, backlog=1024)
    await asyncio.start_server(echo, None, args.echo, limit=1 << 20, backlog=1024)
    print("origin: ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
