#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""opes-control and opesctl against control_test_primary, a dataplane without packets.

usage: control_test.py OPES-CONTROL OPESCTL CONTROL-TEST-PRIMARY [TEST...]
Needs root and a few free hugepages; says so and is skipped (77) without.
"""
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CONTROL, OPESCTL, PRIMARY = (os.path.abspath(p) for p in sys.argv[1:4])

CONFIG = """\
name: test
dpdk: {{file-prefix: {prefix}, memory: 64MiB}}
control-socket: {socket}
ports:
  inside:  {{device: net_null0}}
  outside: {{device: net_null1}}
lcores: {{workers: [0], callout: 0}}
limits: {{flows: {flows}}}
services:
  - {{name: echo, address: "tcp:127.0.0.1:4037"}}
rules:
"""
RULE = """\
  - name: {name}
    match: {{protocol: http, kind: response, server-port: [80]}}
    action: adapt
    service: echo
    on-failure: open
"""


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain for " + what.__name__)


class Primary:
    def __init__(self, prefix):
        self.p = subprocess.Popen(
            [PRIMARY, "--proc-type=primary", "--file-prefix=" + prefix, "--no-telemetry", "-m", "64",
             "--lcores=0@(0)", "--log-level=lib.eal:critical"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.p.stdout.readline() != "ready\n":
            raise AssertionError("the primary does not start: %s" % self.p.wait())

    def say(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        assert self.p.stdout.readline() == "ok\n"

    def kill(self):
        self.p.kill()
        self.end()

    def end(self):
        self.p.stdin.close()
        self.p.wait()
        self.p.stdout.close()


class ControlTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.prefix = "opestest%d" % os.getpid()
        self.socket = os.path.join(self.dir.name, "run", "control.sock")
        self.config = os.path.join(self.dir.name, "opes.yaml")
        self.log = os.path.join(self.dir.name, "log")
        self.control = self.primary = None
        self.write("one")

    def tearDown(self):
        if self.control and self.control.poll() is None:
            self.control.kill()
            self.control.wait()
        if self.primary and self.primary.p.poll() is None:
            self.primary.end()
        # what a killed primary leaves behind holds hugepages
        for path in glob.glob("/dev/hugepages/%smap_*" % self.prefix):
            os.unlink(path)
        shutil.rmtree("/var/run/dpdk/" + self.prefix, ignore_errors=True)
        log = self.logged() if os.path.exists(self.log) else ""
        if "Sanitizer" in log or "runtime error" in log:
            self.fail(log)
        self.dir.cleanup()

    # --- helpers

    def write(self, *rules, flows=1000, tail=""):
        with open(self.config, "w") as f:
            f.write(CONFIG.format(prefix=self.prefix, socket=self.socket, flows=flows))
            f.write("".join(RULE.format(name=n) for n in rules) + tail)

    def start(self):
        # each life appends to the same log
        log = open(self.log, "a")
        self.control = subprocess.Popen([CONTROL, "-c", self.config, "--foreground"], stdout=log, stderr=log)
        log.close()
        wait_for(lambda: self.ctl("status", "--json").returncode == 0)

    def start_primary(self):
        self.primary = Primary(self.prefix)

    def ctl(self, *args):
        return subprocess.run([OPESCTL, "-s", self.socket, *args], capture_output=True, text=True, timeout=60)

    def ask(self, *args):
        r = self.ctl("--json", *args)
        return json.loads(r.stdout)

    def result(self, *args):
        a = self.ask(*args)
        self.assertNotIn("error", a)
        return a

    def state(self):
        return self.result("status")["dataplane"]

    def wait_generation(self, g):
        def generation():
            s = self.result("status")
            return s["adopted"] == s["generation"] == g and not s["pending"]
        wait_for(generation)

    def logged(self):
        with open(self.log) as f:
            return f.read()

    def zones(self):
        """Number of rule images in hugepage memory, as DPDK's own list of memzones names them."""
        with open("/var/run/dpdk/%s/fbarray_memzone" % self.prefix, "rb") as f:
            return set(re.findall(rb"opes_rules_\d+", f.read()))

    # --- tests

    def test_serves_without_dataplane(self):
        self.start()
        r = self.ctl("status")
        self.assertIn("dataplane: down (not running)", r.stdout)
        self.assertEqual(self.ctl("buffers").returncode, 1)
        self.assertIn("dataplane: down", self.ctl("buffers").stderr)
        self.assertEqual(os.stat(self.socket).st_mode & 0o777, 0o660)
        r = self.result("rules", "list")
        self.assertFalse(r["in_use"])
        self.assertEqual(r["rules"][0]["name"], "one")
        self.assertFalse(self.result("rules", "reload")["published"])

    def test_attaches_and_publishes(self):
        self.start()
        self.start_primary()
        self.wait_generation(1)
        s = self.result("status")
        self.assertEqual(s["dataplane_pid"], self.primary.p.pid)
        self.assertEqual([w["generation"] for w in s["workers"]], [1, 1])
        self.write("one", "two")
        r = self.result("rules", "reload")
        self.assertEqual((r["generation"], r["rules"], r["published"]), (2, 2, True))
        self.assertEqual([x["name"] for x in self.result("rules", "list")["rules"]], ["one", "two"])
        self.assertEqual(self.zones(), {b"opes_rules_2"})

    def test_numbers(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        b = self.result("buffers")
        self.assertEqual(b["total"]["flows"], 300)
        self.assertEqual(b["total"]["mbufs_free"], 8000)
        c = {x["name"]: x for x in self.result("counters")["counters"]}
        self.assertEqual(c["rx_frames"]["value"], 2001)
        self.assertEqual(c["rx_frames"]["workers"], [1000, 1001])
        self.assertEqual(c["callout_octets_out"]["callout"], 4096)
        self.assertNotIn("tx_frames", c)
        self.assertIn("tx_frames", {x["name"] for x in self.result("counters", "--all")["counters"]})
        f = self.result("flows")
        self.assertEqual(len(f["flows"]), 300)
        self.assertEqual(len({x["id"] for x in f["flows"]}), 300)
        self.assertEqual(f["flows"][0]["client"], "10.0.0.1:40000")
        last = f["flows"][-1]
        d = self.result("flows", "show", last["flow"])
        self.assertEqual({k: d[k] for k in last}, last)
        self.assertEqual((d["worker"], d["halves"][0]["state"], d["halves"][0]["cwnd"]), (1, "close-wait", 14749))
        self.assertIsNone(d["directions"][0]["identity"])
        r = self.ctl("flows", "show", f["flows"][0]["flow"])
        self.assertIn("flow 1: client 10.0.0.1:40000", r.stdout)
        self.assertIn("14,600", r.stdout)
        for unknown in ("ffff", "7f00000000000001", "ffffffffffffffff"):
            r = self.ctl("flows", "show", unknown)
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertEqual(r.stderr, "opesctl: no flow %s: it is over, or was never there; "
                             "opesctl flows lists those of this moment\n" % unknown)
        self.assertIn("no flow ffff", self.ask("flows", "show", "ffff")["error"])
        self.assertEqual(self.ctl("flows", "show").returncode, 2)
        f = self.result("flows", "list", "-n", "70")
        self.assertEqual((len(f["flows"]), f["more"]), (70, True))
        self.assertEqual(self.result("services")["services"][0]["state"], "up")
        for words in ("status", "rules list", "flows", "services", "buffers", "counters", "events", "help"):
            r = self.ctl(*words.split())
            self.assertEqual((r.returncode, r.stderr), (0, ""), words)
            self.assertTrue(r.stdout, words)

    def test_refuses_wrong_configuration(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.write("one", tail="  - {name: two, action: leap}\n")
        a = self.ask("rules", "reload")
        self.assertTrue(a["errors"][0]["line"])
        r = self.ctl("rules", "reload")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, r"opes.yaml:\d+:\d+: ")
        self.write("one", flows=2000)
        a = self.ask("rules", "reload")
        self.assertIn("limits", a["error"])
        self.assertIn("restart", a["error"])
        self.assertEqual(self.result("status")["generation"], 1)
        self.write("three")
        self.assertEqual(self.result("rules", "reload")["generation"], 2)

    def test_refused_and_late_generations(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.write("two")
        self.primary.say("refuse")
        a = self.ask("rules", "reload")
        self.assertIn("refused by the test", a["error"])
        self.assertEqual(self.zones(), {b"opes_rules_1"})
        self.primary.say("hold")
        began = time.monotonic()
        a = self.ask("rules", "reload")
        self.assertIn("within 5 s", a["error"])
        self.assertGreater(time.monotonic() - began, 4.5)
        self.assertIn("not adopted", self.ask("rules", "reload")["error"])
        self.primary.say("go")
        self.wait_generation(3)
        self.assertEqual(self.zones(), {b"opes_rules_3"})

    def test_killed_and_started_again(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.primary.say("event first one")
        wait_for(lambda: "first" in self.logged())
        self.control.kill()
        self.control.wait()
        self.primary.say("event second two")
        self.start()
        wait_for(lambda: "second" in self.logged())
        log = self.logged()
        self.assertEqual(log.count('"kind":"first"'), 1)
        self.assertEqual(log.count('"kind":"second"'), 1)
        kinds = [e["kind"] for e in self.result("events")["events"]]
        self.assertEqual([k for k in kinds if k in ("first", "second")], ["first", "second"])
        # the same rules are in use already: nothing is published
        self.assertEqual(self.result("status")["generation"], 1)
        self.control.kill()
        self.control.wait()
        self.write("two")
        self.start()
        self.wait_generation(2)
        self.assertEqual(self.zones(), {b"opes_rules_2"})

    def test_killed_while_publishing(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.primary.say("hold")
        self.write("two")
        asking = threading.Thread(target=self.ctl, args=("rules", "reload"))
        asking.start()
        wait_for(lambda: self.result("status")["generation"] == 2)
        self.control.kill()
        self.control.wait()
        asking.join()
        self.start()
        wait_for(lambda: self.state() == "up")
        self.assertTrue(self.result("status")["pending"])
        self.primary.say("go")
        self.wait_generation(2)
        self.assertEqual(self.zones(), {b"opes_rules_2"})

    def test_lock_of_a_killed_control(self):
        self.start_primary()
        self.primary.say("leak")
        self.start()
        self.wait_generation(1)
        self.assertIn("released", self.logged())

    def test_dataplane_dies_and_returns(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.primary.say("event before death")
        pid = self.control.pid
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.settimeout(5)
            self.primary.kill()
            self.start_primary()  # at once: nothing of control is in its way
            s.sendall(b'{"command":"status","id":5}\n')
            self.assertEqual(json.loads(s.makefile().readline())["id"], 5)  # the connection lives on
        self.wait_generation(1)
        self.assertEqual(self.control.pid, pid)
        self.assertIsNone(self.control.poll())
        kinds = [e["kind"] for e in self.result("events")["events"]]
        self.assertIn("before", kinds)
        self.assertIn("dataplane-lost", kinds)
        for _ in range(3):
            self.primary.end()
            wait_for(lambda: self.state() == "down")
            self.start_primary()
            self.wait_generation(1)

    def test_broken_file_does_not_end_control(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.write("one", tail="  nonsense\n")
        self.primary.kill()
        wait_for(lambda: self.state() == "down")
        self.assertEqual(self.result("rules", "list")["rules"][0]["name"], "one")
        self.start_primary()
        self.wait_generation(1)

    def test_stalled_dataplane(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        self.primary.say("stall")
        wait_for(lambda: self.state() == "stalled")
        self.assertIn("sign of life", self.ask("rules", "reload")["error"])
        self.assertIn("does not answer", self.ask("flows")["error"])
        self.assertIn("worker 1 does not answer", self.ask("flows", "show", "100000000000001")["error"])
        self.primary.say("beat")
        wait_for(lambda: self.state() == "up")
        self.assertEqual(len(self.result("flows")["flows"]), 300)

    def test_second_control_and_signals(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        for extra in (["--foreground"], []):
            r = subprocess.run([CONTROL, "-c", self.config, *extra], capture_output=True, text=True, timeout=20)
            self.assertEqual(r.returncode, 1)
            self.assertEqual(r.stderr, "opes-control: another opes-control (pid %d) already serves %s\n"
                             % (self.control.pid, self.socket))
        self.write("two")
        self.control.send_signal(signal.SIGHUP)
        self.wait_generation(2)
        self.control.send_signal(signal.SIGTERM)
        pid = self.control.pid
        self.assertEqual(self.control.wait(10), 0)
        self.assertFalse(os.path.exists(self.socket))
        left = [f for f in os.listdir("/var/run/dpdk/" + self.prefix) if str(pid) in f.split("_")]
        self.assertEqual(left, [])
        r = self.ctl("status")
        self.assertEqual(r.returncode, 1)
        self.assertEqual(r.stderr, "opesctl: opes-control is not running: nothing listens on %s\n" % self.socket)

    def test_wrong_start(self):
        self.write("one", tail="  - {name: two, action: leap}\n")
        for extra in (["--foreground"], []):
            r = subprocess.run([CONTROL, "-c", self.config, *extra], capture_output=True, text=True, timeout=20)
            self.assertEqual(r.returncode, 1)
            self.assertRegex(r.stderr, r"opes.yaml:\d+:\d+: ")
        r = subprocess.run([CONTROL, "-c", self.config + ".none"], capture_output=True, text=True, timeout=20)
        self.assertEqual((r.returncode, r.stderr.count("\n")), (1, 1))
        r = self.ctl("rules", "check", self.config)
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, r"opes.yaml:\d+:\d+: ")
        self.write("one")
        self.assertEqual(self.ctl("config", "check", self.config).returncode, 0)

    def test_background(self):
        r = subprocess.run([CONTROL, "-c", self.config, "--log", self.log], capture_output=True, text=True, timeout=20)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        pid = self.result("status")["control_pid"]
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not os.path.exists(self.socket))

    def test_follow(self):
        self.start_primary()
        self.start()
        self.wait_generation(1)
        f = subprocess.Popen([OPESCTL, "-s", self.socket, "--json", "events", "-f", "-n", "0"],
                             stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
        self.primary.say("event one 1")
        self.assertEqual(json.loads(f.stdout.readline())["kind"], "one")
        self.control.kill()
        self.control.wait()
        self.primary.say("event two 2")
        self.start()
        self.assertEqual(json.loads(f.stdout.readline())["kind"], "two")
        f.kill()
        f.wait()
        f.stdout.close()

    def test_bad_requests(self):
        self.start()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.settimeout(5)
            s.sendall(b'nonsense\n[1]\n{"x":1}\n{"command":"leap","id":"a"}\n{"command":"rules.check","id":2}\n'
                      b'{"command":"status","args":7,"id":3}\n')
            answers = [json.loads(line) for _, line in zip(range(6), s.makefile())]
        self.assertEqual([a["ok"] for a in answers], [False] * 5 + [True])
        self.assertEqual([a["id"] for a in answers], [None, None, None, "a", 2, 3])
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.settimeout(5)
            try:
                s.sendall(b"x" * 200000)
                self.assertEqual(s.recv(1), b"")
            except (ConnectionResetError, BrokenPipeError):
                pass
        self.assertEqual(self.ctl("status").returncode, 0)


def main():
    if os.geteuid() != 0:
        print("needs root")
        return 77
    with open("/proc/meminfo") as f:
        if int(re.search(r"HugePages_Free:\s+(\d+)", f.read())[1]) < 64:
            print("needs 64 free hugepages of 2 MiB")
            return 77
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)


if __name__ == "__main__":
    sys.exit(main())
