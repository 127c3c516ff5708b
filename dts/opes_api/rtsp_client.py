# SPDX-License-Identifier: BSD-3-Clause
"""An RTSP client that looks at every octet: requests, responses by CSeq, interleaved RTP frames. Prints JSON.

usage: rtsp_client.py ADDRESS PORT [--play FILE] [--ask N] [--path PATH] [--slow] [--stop-at N] [--pause]

Without --play: OPTIONS and DESCRIBE. With it the session is set up with interleaved channels, played to its end, and the payload of
the RTP frames put into FILE; --ask sends N GET_PARAMETER requests while frames come, --pause prints "half" and waits for a line on
standard input once some have come.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys


class Client:
    """One connection; messages and frames as they come."""

    def __init__(self, address: str, port: int, slow: bool) -> None:
        self.sock = socket.create_connection((address, port), timeout=30)
        self.buf, self.seq, self.slow, self.bye = b"", 0, slow, False
        self.payload, self.frames, self.gaps, self.last = bytearray(), 0, 0, -1
        self.channels: dict[int, int] = {}

    def request(self, method: str, uri: str, *fields: str, body: str = "") -> int:
        """Send a request (octet by octet if slow); its CSeq."""
        self.seq += 1
        lines = [f"{method} {uri} RTSP/1.0", f"CSeq: {self.seq}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        data = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
        step = 1 if self.slow else len(data)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(data), step):
            self.sock.sendall(data[i:i + step])
        return self.seq

    def fill(self, n: int) -> None:
        while len(self.buf) < n:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"the server closed, {len(self.buf)} octets left: {self.buf[:80]!r}")
            self.buf += data

    def frame(self) -> None:
        self.fill(4)
        channel, n = self.buf[1], struct.unpack(">H", self.buf[2:4])[0]
        self.fill(4 + n)
        data, self.buf = self.buf[4:4 + n], self.buf[4 + n:]
        self.channels[channel] = self.channels.get(channel, 0) + 1
        if channel % 2 == 0 and data[0] >> 6 == 2:
            seq = struct.unpack(">H", data[2:4])[0]
            self.gaps += self.last >= 0 and seq != (self.last + 1) & 0xffff
            self.last, self.frames = seq, self.frames + 1
            self.payload += data[12 + 4 * (data[0] & 15):]
        while channel % 2 == 1 and len(data) >= 4:  # RTCP (RFC 3550 section 6.1); its BYE is the end of the recording
            self.bye |= data[1] == 203
            data = data[4 + 4 * struct.unpack(">H", data[2:4])[0]:]

    def message(self) -> dict:
        """The next message; frames before it are taken in."""
        while True:
            self.fill(1)
            if self.buf[:1] != b"$":
                break
            self.frame()
        while b"\r\n\r\n" not in self.buf:
            self.fill(len(self.buf) + 1)
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        fields = {k.lower(): v.strip() for k, v in (x.split(":", 1) for x in lines[1:])}
        n = int(fields.get("content-length", 0))
        self.fill(n)
        body, self.buf = self.buf[:n], self.buf[n:]
        return {"line": lines[0], "fields": fields, "body": body.decode("latin-1"), "lengths": head.lower().count(b"content-length:")}

    def response(self, cseq: int) -> dict:
        while True:
            m = self.message()
            if m["fields"].get("cseq") == str(cseq):
                return m


def play(c: Client, a: argparse.Namespace, uri: str, sdp: str) -> list[dict]:
    """Set up, play to the end; the answers to what was asked meanwhile."""
    control = [x[10:] for x in sdp.splitlines() if x.startswith("a=control:") and x != "a=control:*"][0]
    m = c.response(c.request("SETUP", f"{uri}/{control}", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"))
    session = m["fields"]["session"].split(";")[0]
    c.response(c.request("PLAY", uri, f"Session: {session}", "Range: npt=0-"))
    asked, answers = 0, []
    try:
        while not c.bye and (a.stop_at == 0 or len(c.payload) < a.stop_at):
            if asked < a.ask and c.frames >= 20 * (asked + 1):
                cseq = c.request("GET_PARAMETER", uri, f"Session: {session}")
                answers.append(c.response(cseq))
                asked += 1
            elif a.pause and c.frames >= 50:
                print("half", flush=True)
                sys.stdin.readline()
                a.pause = False
            else:
                c.fill(1)
                if c.buf[:1] == b"$":
                    c.frame()
                else:
                    c.message()
        c.response(c.request("TEARDOWN", uri, f"Session: {session}"))
    except EOFError:
        pass
    return answers


def main() -> int:
    p = argparse.ArgumentParser()
    p.add_argument("address")
    p.add_argument("port", type=int)
    p.add_argument("--play")
    p.add_argument("--path", default="/live")
    p.add_argument("--ask", type=int, default=0)
    p.add_argument("--slow", action="store_true")
    p.add_argument("--stop-at", type=int, default=0)
    p.add_argument("--pause", action="store_true")
    a = p.parse_args()
    uri = f"rtsp://{a.address}:{a.port}{a.path}"
    c = Client(a.address, a.port, a.slow)
    out: dict = {"error": None}
    try:
        out["options"] = c.response(c.request("OPTIONS", uri))
        out["describe"] = c.response(c.request("DESCRIBE", uri, "Accept: application/sdp"))
        if a.play:
            out["answers"] = play(c, a, uri, out["describe"]["body"])
    except (EOFError, OSError) as e:
        out["error"] = f"{type(e).__name__}: {e}"
    if a.play:
        with open(a.play, "wb") as f:
            f.write(c.payload)
    out.update(frames=c.frames, gaps=c.gaps, channels=c.channels)
    print(json.dumps(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
