# SPDX-License-Identifier: BSD-3-Clause
"""Runs the parts, one after the other, each within its time, and keeps what they wrote.

A run is a folder:

    run.json         mode, host, and of each part its state, command and seconds; rewritten after every part
    parts/NAME.jsonl records as the part wrote them
    logs/NAME.log    what it printed
    records.jsonl    all records, each with the name of its part
    report.*, charts/

States of a part: done; failed (exit code, or a record that says something was wrong); over time (ended, its records so far
are kept); left out (it lacks something, or no time was left); interrupted. With --resume, parts that are done are kept and
all others run again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from . import records as rec
from .parts import Part

GRACE = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))
BEAT = 30.0         # seconds between progress lines where output is no terminal
MARK = "OPES_BENCH_RUN"


def duration(seconds: float) -> str:
    s = int(round(seconds))
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"


def write_whole(path: Path, text: str) -> None:
    """Either the old text or the new one is there, whatever happens."""
    tmp = path.with_name(path.name + ".new")
    tmp.write_text(text, encoding="utf-8")
    os.replace(tmp, path)


class Progress:
    """One line that is rewritten on a terminal; a line now and then elsewhere."""

    def __init__(self, stream=None) -> None:
        self.out = stream or sys.stdout
        self.tty = self.out.isatty()
        self.last = 0.0
        self.open = False

    def line(self, text: str) -> None:
        if self.open:
            self.out.write("\r\x1b[K")
            self.open = False
        self.out.write(text + "\n")
        self.out.flush()
        self.last = time.monotonic()

    def beat(self, text: str) -> None:
        if self.tty:
            width = max(20, os.get_terminal_size(self.out.fileno()).columns - 1)
            self.out.write("\r\x1b[K" + text[:width])
            self.out.flush()
            self.open = True
        elif time.monotonic() - self.last >= BEAT:
            self.line(text)


def marked(mark: str) -> list[int]:
    """Processes that carry this run's mark: what a part started, also as a daemon. Never ourselves."""
    found, want = [], f"{MARK}={mark}".encode()
    for d in Path("/proc").glob("[0-9]*"):
        try:
            if int(d.name) != os.getpid() and want in (d / "environ").read_bytes().split(b"\0") and \
                    (d / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(d.name))
        except (OSError, IndexError):
            continue
    return found


def send(pids: list[int], sig: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


class Running:
    """A part under way: its output goes to a log, and its last line is at hand for the progress line."""

    def __init__(self, argv: list[str], log: Path, env: dict[str, str], mark: str, cwd: Path) -> None:
        self.mark, self.last = mark, ""
        self.log = open(log, "ab", buffering=0)
        self.log.write(f"$ {' '.join(argv)}\n".encode())
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      start_new_session=True, cwd=cwd, env=os.environ | env | {MARK: mark})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        pending = b""
        for chunk in iter(lambda: os.read(self.popen.stdout.fileno(), 65536), b""):
            self.log.write(chunk)
            *whole, pending = re.split(rb"[\r\n]+", (pending + chunk)[-4096:])
            texts = [w for w in whole if w.strip()]
            if texts:
                self.last = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", texts[-1].decode(errors="replace")).strip()

    def poll(self) -> int | None:
        return self.popen.poll()

    def end(self) -> None:
        """First an interrupt, so that it can take down what it set up; then harder, and whatever it left behind."""
        for sig, wait in GRACE:
            # The group at once as a terminal would; the last round also reaches daemons, which have left it.
            pids = marked(self.mark)
            if not pids and self.popen.poll() is not None:
                break
            if sig == signal.SIGINT and self.popen.poll() is None:
                os.killpg(self.popen.pid, sig)
            else:
                send(pids, sig)
            end = time.monotonic() + wait
            while time.monotonic() < end and (self.popen.poll() is None or marked(self.mark)):
                time.sleep(0.05)
        self.close()

    def close(self) -> None:
        self.popen.wait()
        self.reader.join(2)
        if not self.reader.is_alive():
            self.popen.stdout.close()
            self.log.close()


@dataclass
class Limits:
    seconds: float          # of this part
    why: str                # what the text says when they are over


class Run:
    """A run in its folder. begin() or resume() first, then part() for each."""

    def __init__(self, out: Path, root: Path, build: Path, progress: Progress, clock: Callable[[], float] = time.time) -> None:
        self.out, self.root, self.build, self.progress, self.clock = out, root, build, progress, clock
        self.state: dict = {}
        self.places = {"out": str(out), "root": str(root), "build": str(build)}

    def begin(self, mode: str, host: dict) -> None:
        if (self.out / "run.json").exists():
            raise FileExistsError(f"{self.out} holds a run: go on with it (--resume), or give another folder (--out)")
        for d in ("parts", "logs"):
            (self.out / d).mkdir(parents=True, exist_ok=True)
        self.state = {"format": 1, "mode": mode, "host": host, "parts": {}, "started": self.clock()}
        self.save()

    def resume(self, host: dict | None = None) -> None:
        path = self.out / "run.json"
        if not path.is_file():
            raise FileNotFoundError(f"{self.out} holds no run to go on with (run.json is missing)")
        self.state = json.loads(path.read_text(encoding="utf-8"))
        if host:
            was = self.state["host"]
            for k in ("cpu", "kernel", "product", "machine"):
                if was.get(k) != host.get(k):
                    raise ValueError(f"{self.out} was begun with another {k} ({was.get(k)}, now {host.get(k)}): "
                                     "their figures do not belong together, begin a new run")
        for d in ("parts", "logs"):
            (self.out / d).mkdir(exist_ok=True)

    @property
    def mode(self) -> str:
        return self.state["mode"]

    def save(self) -> None:
        write_whole(self.out / "run.json", json.dumps(self.state, indent=1) + "\n")

    def done(self, part: Part) -> bool:
        return self.state["parts"].get(part.name, {}).get("state") == "done"

    def records_of(self, name: str) -> Path:
        return self.out / "parts" / f"{name}.jsonl"

    def leave_out(self, part: Part, reason: str) -> None:
        self.records_of(part.name).unlink(missing_ok=True)
        self.note(part, "left out", reason, [], 0)

    def note(self, part: Part, state: str, reason: str, argv: list[str], seconds: float, code: int | None = None) -> None:
        shown = [w.replace(str(self.out) + "/", "").replace(str(self.root) + "/", "") for w in argv]
        self.state["parts"][part.name] = {"state": state, "reason": reason, "text": part.text, "command": " ".join(shown),
                                          "seconds": round(seconds, 1), "exit": code, "limit": part.seconds[self.mode]}
        self.save()
        self.join()

    def join(self) -> None:
        """All records in one file, in the order of the parts."""
        lines = []
        for name in self.state["parts"]:
            if self.records_of(name).is_file():
                for r in rec.read_file(self.records_of(name))[0]:
                    lines.append(json.dumps(r.to_dict() | {"part": name}))
        write_whole(self.out / "records.jsonl", "".join(x + "\n" for x in lines))

    def part(self, part: Part, limits: Limits, title: str, status: Callable[[], str]) -> None:
        """Run one part to its end or to its limit, and note what became of it."""
        path = self.records_of(part.name)
        going_on = part.resume is not None and path.exists() and path.stat().st_size > 0
        if going_on:    # with what was right; what was wrong is measured again
            right = [json.dumps(r.to_dict()) + "\n" for r in rec.read_file(path)[0] if r.ok]
            write_whole(path, "".join(right))
        else:
            path.unlink(missing_ok=True)
        places = self.places | {"json": str(path), "seconds": f"{limits.seconds:.0f}"}
        argv = part.argv(self.mode, places, going_on)
        self.progress.line(f"{title}: {part.text or part.name}")
        start = time.monotonic()
        env = {"OPES_BUILD": str(self.build), "OPES_BENCH_SECONDS": f"{limits.seconds:.0f}", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            running = Running(argv, self.out / "logs" / f"{part.name}.log", env, f"{os.getpid()}.{part.name}", self.root)
        except OSError as e:
            self.note(part, "failed", f"cannot be started: {e.strerror}: {argv[0]}", argv, 0)
            return
        over = False
        try:
            while running.poll() is None:
                if time.monotonic() - start > limits.seconds:
                    over = True
                    break
                self.progress.beat(f"  {duration(time.monotonic() - start):>8} {status()}  {running.last[:100]}")
                time.sleep(0.1)
        except KeyboardInterrupt:
            running.end()
            self.note(part, "interrupted", "ended by hand", argv, time.monotonic() - start)
            raise
        seconds = time.monotonic() - start
        running.end()       # also of a part that ended by itself: nothing of it may disturb the next one
        self.judge(part, argv, seconds, limits if over else None, running.popen.returncode, running.last)

    def judge(self, part: Part, argv: list[str], seconds: float, over: Limits | None, code: int, last: str) -> None:
        path = self.records_of(part.name)
        rows, faults = rec.read_file(path) if path.is_file() else ([], [])
        if over and faults and not path.read_bytes().endswith(b"\n"):
            faults.pop()        # the line it was writing when it was ended
        wrong = [f"{r.key}: {r.note or 'no reason given'}" for r in rows if not r.ok]
        reasons = [f"wrong: {w}" for w in wrong] + faults
        if over:
            reasons.insert(0, f"ended after {duration(seconds)}: {over.why}")
        elif code != 0:
            reasons.insert(0, f"exit code {code}" + (f": {last}" if last else ""))
        elif not rows:
            reasons.insert(0, "it wrote no record")
        failed = wrong or faults or (not over and reasons)
        self.note(part, "failed" if failed else "over time" if over else "done", "; ".join(reasons), argv, seconds, code)
        state = self.state["parts"][part.name]
        self.progress.line(f"  {state['state']} in {duration(seconds)}, {len(rows)} records"
                           + "".join(f"\n    {r}" for r in reasons))

    def failures(self) -> list[str]:
        return [f"{n}: {p['reason']}" for n, p in self.state["parts"].items() if p["state"] in ("failed", "interrupted")]

    def incomplete(self) -> dict[str, str]:
        return {n: {"over time": "was ended before its end", "interrupted": "was interrupted"}.get(p["state"], "failed")
                for n, p in self.state["parts"].items() if p["state"] in ("over time", "failed", "interrupted")}


def run_parts(run: Run, parts: list[Part], total: float | None, reserve: float = 25.0, begun: float | None = None) -> None:
    """total: seconds the whole run may take, counted from begun (time.monotonic()); reserve is kept for the report."""
    begun = time.monotonic() if begun is None else begun
    mode = run.mode
    waiting = [p for p in parts if not run.done(p)]
    for i, part in enumerate(parts, 1):
        title = f"part {i} of {len(parts)}, {part.name}"
        if part not in waiting:
            run.progress.line(f"{title}: done before, kept")
            continue
        lacks = part.lacks(run.places)
        left = part.seconds[mode] if total is None else begun + total - reserve - time.monotonic()
        if lacks:
            run.leave_out(part, f"missing: {', '.join(lacks)}")
        elif left < min(10.0, part.usual(mode) / 2):
            run.leave_out(part, f"no time left of {duration(total or 0)}")
        else:
            later = sum(p.usual(mode) for p in parts[i:] if p in waiting)
            start = time.monotonic()

            def status() -> str:
                rest = later + max(0.0, part.usual(mode) - (time.monotonic() - start))
                return f"of part {i} of {len(parts)}, {duration(time.monotonic() - begun)} in all, about {duration(rest)} to go"

            # Ending takes a little itself, so that the last part cannot carry the run over its total.
            enough = part.seconds[mode] <= left
            run.part(part, Limits(part.seconds[mode] if enough else left,
                                  "its time was over" if enough else f"the time of the run ({duration(total or 0)}) was over"),
                     title, status)
            continue
        run.progress.line(f"{title}: left out, {run.state['parts'][part.name]['reason']}")
