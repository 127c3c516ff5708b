# SPDX-License-Identifier: BSD-3-Clause
"""opes-callout as a process of this host, and suites that are its processor: no appliance, no namespace."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from .lab import Process, wait_for
from .ocp import CORE, COPIED, LEAVE_LOOP, Processor, Xaction
from .ocp.catalogue import AS_IS as AS_IS_FEATURE
from .ocp.model import Model, brief, matches
from .ocp.processor import STREAM_META
from .suite import TestSuite, verify


class Callout:
    """A running opes-callout; a context manager. address is where it listens (a Unix socket unless listen says so)."""

    def __init__(self, *services: str, listen: str | None = None, extra: tuple[str, ...] = ()) -> None:
        root = Path(__file__).resolve().parents[2]
        build = Path(os.environ.get("OPES_BUILD", root / "build"))
        self.dir = Path(tempfile.mkdtemp(prefix="opes-callout-"))
        self.address = listen or f"unix:{self.dir}/s"
        argv = [str(build / "callout" / "opes-callout"), "--listen", self.address, *extra]
        for s in services:
            argv += ["--service", s]
        self.process = Process("opes-callout", argv, self.dir / "log")
        self.process.wait_line("opes-callout: ready")

    def __enter__(self) -> "Callout":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int | None:
        """End it; its exit code."""
        rc = self.process.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        return rc

    def log(self) -> str:
        """What it has printed."""
        return self.process.output()

    def rss(self) -> int:
        """Octets of its memory that are resident."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def signal(self, sig: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, sig)

    def wait_log(self, pattern: str, seconds: float = 10) -> str:
        """Wait for a line with this regular expression."""
        return wait_for(f"a line like {pattern} in the log", lambda: next(
            (line for line in self.log().splitlines() if re.search(pattern, line)), None), seconds, 0.02)

    def stats(self) -> str:
        """The statistics that SIGUSR1 prints."""
        before = len(self.log())
        self.signal(signal.SIGUSR1)
        wait_for("the statistics", lambda: len(self.log()) > before, 10, 0.02)
        time.sleep(0.05)
        return self.log()[before:]


class CalloutSuite(TestSuite):
    """Common to suites that are the processor of an opes-callout: one process for the suite, connections closed after each
    case, and after each case the process still serves."""

    DIALECT = "draft"
    SERVICES = ("echo", "as-is", "as-is:urn:x:leave,leave=yes", "replace,replace=original=ORIGINAL", "block,pattern=verboten",
                "block:urn:x:hold,hold=all", "log")
    ECHO, AS_IS, LEAVE, REPLACE, BLOCK, HOLD = (
        "urn:opes:service:echo", "urn:opes:service:as-is", "urn:x:leave", "urn:opes:service:replace", "urn:opes:service:block",
        "urn:x:hold")

    def set_up_suite(self) -> None:
        """Start opes-callout."""
        self.callout = Callout(*self.SERVICES)
        self._open: list[Any] = []

    def tear_down_suite(self) -> None:
        """End it."""
        self.callout.stop()

    def tear_down_test_case(self) -> None:
        """Close what the case opened; a well-behaved transaction still works."""
        for thing in self._open:
            thing.close() if isinstance(thing, Processor) else thing.stop()
        self._open = []
        verify(self.callout.process.alive(), f"opes-callout ended:\n{self.callout.log()[-3000:]}")
        with_echo = Processor(self.callout.address, self.DIALECT, self.ECHO)
        verify(with_echo.adapt(b"still here", meta=STREAM_META).forwarded() == b"still here", "the next transaction")
        with_echo.end()

    def one_by_one(self, rng: random.Random, count: int) -> None:
        """Messages of one connection to echo, right and wrong ones, each answered as model.Model says."""
        p = self.processor(self.ECHO)
        p.ping()
        model = Model(p, rng)
        for n in range(count):
            p.inbox.clear()
            want = model.step()
            p.ping()
            got = [brief(m) for m in p.inbox]
            verify(matches(want, got), f"message {n}: {want} must come, {got} came\n{p.transcript.tail()}")
        for xid in model.live:
            verify(p.ping(xid).get("xid") == xid, f"{xid} is open and not known any more\n{p.transcript.tail()}")
        for xid in model.gone[-50:]:
            verify("xid" not in p.ping(xid) or p.dialect == CORE, f"{xid} has ended and is still known\n{p.transcript.tail()}")

    def ended_clean(self) -> None:
        """End the suite's process: exit code 0 (a sanitizer's complaints make it another); then start the next one."""
        log, rc = self.callout.log, self.callout.process.stop()
        verify(rc == 0, f"exit code {rc}:\n{log()[-4000:]}")
        self.callout.stop()
        self.callout = Callout(*self.SERVICES)

    def own(self, *services: str, **kw: Any) -> Callout:
        """A process of the case's own."""
        c = Callout(*services, **kw)
        self._open.insert(0, c)
        return c

    def conversations(self, p: Processor, rng: random.Random, count: int, sgs: dict[str, int] | None = None) -> None:
        """Transactions of random services, lengths, cuttings and commitments, up to eight at a time and mixed, and in core
        pauses of the adapted flow; each must come back right. sgs: groups under an HTTP profile by service (core)."""
        p.cut = [rng.choice((1, 7, 100, 5000, 60000)) for _ in range(50)]
        going: list[tuple[str, Xaction, bytes]] = []
        while count or going:
            if count and len(going) < 8 and rng.random() < 0.3:
                count -= 1
                service = rng.choice((self.ECHO, self.AS_IS, self.LEAVE, self.REPLACE, self.BLOCK, self.HOLD))
                words = (b"original ", b"origin", b"al", b"x", b"\r\n", b"o" * 50)
                body = b"".join(rng.choice(words) for _ in range(rng.choice((0, 1, 10, 1000, 4000))))
                x = p.xaction(service, sgs[service]) if sgs else p.xaction(service)
                going.append((service, x.start(STREAM_META), body))
                if sgs:
                    x.data(b"HTTP/1.1 200 OK\r\n\r\n", "response-header", keep=rng.random() < 0.5)
            elif going:
                service, x, rest = going.pop(rng.randrange(len(going)))
                n = rng.randint(0, max(1, min(len(rest), 9000)))
                if rest:
                    x.data(rest[:n], "response-body" if sgs else None, keep=rng.random() < 0.6, chunk=rng.randint(1, 9000) + 50)
                    if p.dialect == CORE and rng.random() < 0.1 and not x.ended and x.left_at is None:
                        p.send("DWP", x.xid, rng.randint(0, 5000))
                        p.send("DWM", x.xid)
                if rest[n:]:
                    going.append((service, x, rest[n:]))
                    continue
                want = bytes(x.original)
                if service == self.REPLACE:
                    want = want.replace(b"original", b"ORIGINAL")
                x.finish().wait_end()
                verify(x.ok and x.forwarded() == want, f"{service}, transaction {x.xid}: {len(x.forwarded())} of {len(want)} "
                       f"octets\n{p.transcript.tail()}")

    def processor(self, service: str | None = None, address: str | None = None, **kw: Any) -> Processor:
        """A connection that is closed after the case."""
        kw.setdefault("features", [COPIED, AS_IS_FEATURE, LEAVE_LOOP])
        p = Processor(address or self.callout.address, self.DIALECT, service, **kw)
        self._open.append(p)
        return p
