# SPDX-License-Identifier: BSD-3-Clause
"""Mail servers and clients for the suites.

Postfix      a real mail server with a configuration, a queue and mailboxes of its own, in a namespace of the lab
message()    a mail of a given size by a seed, with dots at the beginning of lines
python3 -m opes_api.smtp talk ADDRESS PORT     a client that says what the JSON on standard input says, see talk()
python3 -m opes_api.smtp server ADDRESS PORT [--silent]   a server that behaves as the recipient's address says, see Odd;
             --silent: without a greeting
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pwd
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from opes_api.lab import SRV4, Lab, LabError, Node, wait_for

MARK = b"X-Lab-Begin: 1\r\n"


def message(seed: int, size: int, subject: str = "lab") -> bytes:
    """A mail of about size octets, lines end with CRLF; dots, empty lines, octets above 127 and long lines in its body."""
    rnd = random.Random(seed)
    parts = [MARK, f"Subject: {subject} {seed}\r\nFrom: <a@cli.example>\r\nTo: <b@lab.example>\r\n\r\n".encode()]
    total = sum(map(len, parts))
    while total < size:
        kind = rnd.randrange(12)
        if kind < 3:
            line = b"." * rnd.randrange(1, 4)
        elif kind == 3:
            line = b""
        elif kind == 4:
            line = b"." + rnd.randbytes(rnd.randrange(200)).translate(None, b"\r\n\0")
        else:
            line = (b"%x " % rnd.getrandbits(64)) * rnd.randrange(1, 55)
        parts.append(line[:990] + b"\r\n")
        total += len(parts[-1])
    return b"".join(parts)


def stuffed(mail: bytes) -> bytes:
    """As it is sent, with its end."""
    out = mail.replace(b"\r\n.", b"\r\n..")
    if out.startswith(b"."):
        out = b"." + out
    return out + (b".\r\n" if out.endswith(b"\r\n") else b"\r\n.\r\n")


class Postfix:
    """One instance of Postfix; every mail to lab.example ends in a maildir."""

    def __init__(self, lab: Lab, node: Node, address: str = SRV4, port: int = 25, size_limit: int = 32 << 20) -> None:
        self.lab, self.node, self.address, self.port = lab, node, address, port
        self.dir = lab.dir / f"postfix-{port}"
        self.new = self.dir / "mail" / "box" / "new"
        self.etc = self.dir / "etc"
        for d in (self.etc, self.dir / "mail", self.dir / "queue", self.dir / "data"):
            d.mkdir(parents=True)
        os.chmod(lab.dir, 0o755)
        user = pwd.getpwnam("postfix")
        nobody = pwd.getpwnam("nobody")
        os.chown(self.dir / "data", user.pw_uid, -1)
        os.chown(self.dir / "mail", nobody.pw_uid, -1)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=lab.example",
                        "-keyout", str(self.etc / "key.pem"), "-out", str(self.etc / "cert.pem")], check=True, capture_output=True)
        (self.etc / "main.cf").write_text(
            f"compatibility_level = 3.6\nqueue_directory = {self.dir}/queue\ndata_directory = {self.dir}/data\n"
            f"myhostname = mx.lab.example\nmydestination =\ninet_interfaces = {address}\ninet_protocols = all\n"
            "mynetworks =\nmaillog_file = /dev/stdout\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n"
            f"virtual_mailbox_domains = lab.example\nvirtual_mailbox_base = {self.dir}/mail\nvirtual_mailbox_maps = static:box/\n"
            f"virtual_uid_maps = static:{nobody.pw_uid}\nvirtual_gid_maps = static:{nobody.pw_gid}\nvirtual_mailbox_limit = 0\n"
            f"message_size_limit = {size_limit}\nmailbox_size_limit = 0\n"
            "smtpd_relay_restrictions = reject_unauth_destination\n"
            "smtpd_recipient_restrictions = check_recipient_access inline:{{no@lab.example = 550 5.1.1 nobody}}\n"
            f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {self.etc}/cert.pem\nsmtpd_tls_key_file = {self.etc}/key.pem\n"
            "smtpd_client_event_limit_exceptions = static:all\nsmtpd_authorized_xclient_hosts = static:all\n"
            "smtputf8_enable = yes\nstrict_smtputf8 = no\n")
        (self.etc / "master.cf").write_text(
            f"{port} inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n"
            "rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n"
            "trace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n"
            "error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\nvirtual unix - n n - - virtual\n"
            "anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\ntlsmgr unix - - n 1000? 1 tlsmgr\n"
            "postlog unix-dgram n - n - 1 postlogd\nsmtp unix - - n - - smtp\n")
        self.process = node.start(f"postfix-{port}", "postfix", "-c", str(self.etc), "start-fg")
        wait_for("postfix listens", self._listens)

    def _listens(self) -> bool:
        if not self.process.alive():
            raise LabError(f"postfix ended:\n{self.process.output()[-3000:]}")
        return self.node.python("import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2])),2); s.recv(1)",
                                self.address, str(self.port), check=False).returncode == 0

    def forget(self) -> None:
        """Empties the mailbox."""
        for p in self.new.glob("*"):
            p.unlink()

    def mails(self, count: int, seconds: float = 30) -> list[bytes]:
        """Waits for so many mails; each from its mark on, lines end with CRLF again. In no order."""
        def there() -> list[Path]:
            got = list(self.new.glob("*"))
            return got if len(got) >= count else []
        try:
            files = wait_for(f"{count} mails are delivered", there, seconds) if count else list(self.new.glob("*"))
        except LabError as e:
            raise LabError(f"{e}; {len(list(self.new.glob('*')))} are\n{self.process.output()[-3000:]}") from e
        return [from_mark(p.read_bytes()) for p in files]

    def heads(self) -> list[str]:
        """What was put before the mark of each mail."""
        return [p.read_bytes().split(MARK.strip())[0].decode() for p in self.new.glob("*")]


def from_mark(mail: bytes) -> bytes:
    at = mail.find(MARK.strip())
    return mail[max(at, 0):].replace(b"\n", b"\r\n")


# --- a client -------------------------------------------------------------------------------------------------------


class Talk:
    """A connection on which replies are read one by one."""

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((address, port), 20)
        self.socket.settimeout(20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.octets = b""

    def line(self) -> bytes:
        while b"\n" not in self.octets:
            more = self.socket.recv(65536)
            if not more:
                return b""
            self.octets += more
        line, _, self.octets = self.octets.partition(b"\n")
        return line + b"\n"

    def reply(self) -> str:
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"".join(lines).decode("latin-1") or "end"


def talk(address: str, port: int, steps: list[list[Any]]) -> list[str]:
    """Steps: ["send", text in latin-1], ["file", path], ["slowly", text, octets at a time], ["reply"], ["wait", seconds], ["fin"],
    ["reset"]. What was read: a text for each reply, "end" or "reset"."""
    got: list[str] = []
    t = Talk(address, port)
    try:
        for what, *more in steps:
            if what == "send":
                t.socket.sendall(more[0].encode("latin-1"))
            elif what == "file":
                t.socket.sendall(Path(more[0]).read_bytes())
            elif what == "slowly":
                octets = more[0].encode("latin-1")
                for i in range(0, len(octets), more[1]):
                    t.socket.sendall(octets[i:i + more[1]])
            elif what == "reply":
                got.append(t.reply())
            elif what == "wait":
                time.sleep(more[0])
            elif what == "fin":
                t.socket.shutdown(socket.SHUT_WR)
            elif what == "reset":
                t.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                t.socket.close()
                break
    except ConnectionError:
        got.append("reset")
    except socket.timeout:
        got.append("silence")
    return got


# --- an odd server ---------------------------------------------------------------------------------------------------


class Odd:
    """A server whose behaviour the first recipient's local part says. Of every message it prints a line: "mail STATE OCTETS
    SHA-256", STATE whole (its end came), or cut (the connection ended before).

    data-refused     554 to DATA               refused        552 after the message
    close-after-rcpt closes instead of DATA's reply, with 421 before
    close-in-data    closes after 20000 octets of the message
    slow             reads slowly              anything else  takes the mail
    """

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.session(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.silent:
            writer.write(b"220 odd.example ESMTP\r\n")
        how = ""
        while line := await reader.readline():
            verb = line[:4].upper()
            print(f"command {line.decode('latin-1').strip()}", flush=True)
            if verb == b"EHLO":
                writer.write(b"250-odd.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250 CHUNKING\r\n")
            elif verb == b"RCPT":
                how = how or line.partition(b"<")[2].partition(b"@")[0].decode()
                writer.write(b"250 2.1.5 Ok\r\n")
                if how == "close-after-rcpt":
                    writer.write(b"421 4.3.2 closing\r\n")
                    return
            elif verb == b"DATA" and how == "data-refused":
                writer.write(b"554 5.7.0 no data today\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                if not await self.message(reader, how):
                    return
                writer.write(b"552 5.3.4 too much\r\n" if how == "refused" else b"250 2.0.0 taken\r\n")
                how = ""
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 Bye\r\n")
                return
            else:
                if verb == b"RSET":
                    how = ""
                writer.write(b"250 2.0.0 Ok\r\n")

    async def message(self, reader: asyncio.StreamReader, how: str) -> bool:
        octets = bytearray()
        state = "cut"
        try:
            while line := await reader.readline():
                if line == b".\r\n" and (not octets or octets.endswith(b"\r\n")):
                    state = "whole"
                    break
                octets += line[1:] if line.startswith(b".") and (not octets or octets.endswith(b"\r\n")) else line
                if how == "close-in-data" and len(octets) > 20000:
                    break
                if how == "slow":
                    await asyncio.sleep(0.001)
        except ConnectionError:
            pass
        print(f"mail {state} {len(octets)} {hashlib.sha256(octets).hexdigest()}", flush=True)
        return state == "whole"


async def odd(address: str, port: int, silent: bool) -> None:
    server = await asyncio.start_server(Odd(silent).serve, address, port, limit=1 << 22)
    print("server: ready", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    if sys.argv[1] == "talk":
        print(json.dumps(talk(sys.argv[2], int(sys.argv[3]), json.load(sys.stdin))))
    else:
        asyncio.run(odd(sys.argv[2], int(sys.argv[3]), "--silent" in sys.argv))


if __name__ == "__main__":
    main()
