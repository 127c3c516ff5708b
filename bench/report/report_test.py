# SPDX-License-Identifier: BSD-3-Clause
"""The report on records whose medians, ratios and verdicts are known; the runner on parts that do known things."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import xml.dom.minidom
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from . import arithmetic, command, compare, document, parts, records as rec, runner, stats, svg, targets

BENCH = Path(__file__).resolve().parents[1]
TARGETS = BENCH / "targets.json"


def record(name: str, samples: list[float], metric: str = "m", bench: str = "b", **more) -> rec.Record:
    return rec.from_dict({"bench": bench, "name": name, "metric": metric, "samples": samples} | more, name)


def some(*rows: rec.Record) -> rec.Records:
    return rec.Records(rows)


class Statistics(unittest.TestCase):
    def test_median_quartiles_and_spread(self):
        s = stats.summarize([5, 1, 4, 2, 3])
        self.assertEqual((s.n, s.median, s.low, s.high, s.min, s.max), (5, 3, 2, 4, 1, 5))
        self.assertAlmostEqual(s.relative, 2 / 3)
        self.assertEqual(s.spread, 1)
        self.assertEqual(stats.quantile([0, 10], 0.25), 2.5)
        self.assertIsNone(stats.summarize([0, 0]).relative)

    def test_ratios_are_sample_by_sample(self):
        # The host became twice as slow half way: the ratio does not see it, a ratio of means would.
        self.assertEqual(stats.ratios([90, 45, 9], [100, 50, 10]), [0.9, 0.9, 0.9])
        with self.assertRaises(ValueError):
            stats.ratios([1, 2], [1])
        with self.assertRaises(ValueError):
            stats.ratios([1], [0])

    def test_separation_against_published_values(self):
        # Two-sided exact probabilities of U = 0: 2 / C(n + m, n).
        self.assertAlmostEqual(stats.separation([1, 2, 3], [4, 5, 6]), 0.1)
        self.assertAlmostEqual(stats.separation([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 2 / 252)
        self.assertAlmostEqual(stats.separation([10, 9, 8, 7], [1, 2, 3, 4]), 2 / 70)
        # n = m = 8: U = 13 is the critical value at 0.05, U = 14 is past it.
        self.assertLess(stats.separation(*self.with_u(8, 13)), 0.05)
        self.assertGreater(stats.separation(*self.with_u(8, 14)), 0.05)
        self.assertEqual(stats.separation([1, 1, 1], [1, 1, 1]), 1.0)

    @staticmethod
    def with_u(n: int, u: int) -> tuple[list[float], list[float]]:
        """a and b, n of each, where a's members stand above exactly u of b's in all."""
        a, left = [], u
        for i in range(n):
            over = min(n, left)
            left -= over
            a.append(over + 0.5 + i * 0.01)
        return a, [float(x) for x in range(1, n + 1)]

    def test_approximation_is_near_the_exact_value(self):
        for n, u in ((12, 30), (15, 60), (20, 100), (20, 150)):
            exact = stats.exact(u, n, n)
            self.assertAlmostEqual(stats.approximate(u, n, n, 0), exact, delta=0.2 * exact)
        self.assertLess(stats.separation([1, 1, 2, 2, 2], [3, 3, 3, 4, 4]), 0.02)     # with ties

    def test_figures_as_text(self):
        self.assertEqual([stats.significant(x) for x in (0, 1234567, 12.345, 0.012345, 9.999)],
                         ["0", "1,234,567", "12.3", "0.0123", "10.00"])
        self.assertEqual(stats.significant(None), "-")
        self.assertEqual(stats.significant(float("nan")), "-")


class Records(unittest.TestCase):
    GOOD = '{"bench": "b", "name": "n/1", "metric": "m", "samples": [1, 2], "params": {"frame": 64}, "core": 1}\n'

    def test_good_lines_keep_every_key(self):
        rows, faults = rec.read_lines([self.GOOD, "\n"], "f")
        self.assertEqual((len(rows), faults), (1, []))
        self.assertEqual(rows[0].to_dict()["core"], 1)
        self.assertEqual(rec.from_dict(rows[0].to_dict(), "again"), rows[0])

    def test_broken_lines_are_told_with_their_place(self):
        broken = {
            "{\"bench\": ": "not JSON",
            "[1]": "not a JSON object",
            '{"name": "n", "metric": "m", "samples": [1]}': "'bench' is missing",
            '{"bench": "b", "name": "", "metric": "m", "samples": [1]}': "'name' must be a text",
            '{"bench": "b", "name": "n", "metric": "m"}': "'samples' must be a list",
            '{"bench": "b", "name": "n", "metric": "m", "samples": [1, "2"]}': "sample 1 is no finite number",
            '{"bench": "b", "name": "n", "metric": "m", "samples": [NaN]}': "sample 0 is no finite number",
            '{"bench": "b", "name": "n", "metric": "m", "samples": [true]}': "sample 0 is no finite number",
            '{"bench": "b", "name": "n", "metric": "m", "samples": []}': "no samples, yet 'ok' is true and no note",
            '{"bench": "b", "name": "n", "metric": "m", "samples": [1], "better": "big"}': "'better' must be one of",
            '{"bench": "b", "name": "n", "metric": "m", "samples": [1], "ok": "yes"}': "'ok' must be true or false",
        }
        for line, want in broken.items():
            rows, faults = rec.read_lines([self.GOOD, line, self.GOOD.replace("n/1", "n/2")], "f.jsonl")
            self.assertEqual([r.name for r in rows], ["n/1", "n/2"])
            self.assertEqual(len(faults), 1, line)
            self.assertIn("f.jsonl:2: ", faults[0])
            self.assertIn(want, faults[0])

    def test_a_later_record_of_a_name_stands(self):
        rows, _ = rec.read_lines([self.GOOD, self.GOOD.replace("[1, 2]", "[7]")], "f")
        self.assertEqual([r.samples for r in rows], [[7.0]])

    def test_selectors(self):
        rows = some(record("a/64B", [1], params={"frame": 64, "tcp": True}), record("a/1500B", [2], target="t"),
                    record("a/64B", [3], bench="c"))
        self.assertEqual([r.samples for r in rows.select("b:a/*#m")], [[1.0], [2.0]])
        self.assertEqual([r.samples for r in rows.select("*:a/64B#*")], [[1.0], [3.0]])
        self.assertEqual([r.samples for r in rows.select("b:*#m[frame=64,tcp=true]")], [[1.0]])
        self.assertEqual([r.samples for r in rows.select("b:*#m[target=t]")], [[2.0]])
        self.assertEqual(rows.select("b:a/6#m"), [])
        self.assertEqual(rows.select("b:a.64B#m"), [])      # no pattern but *
        for bad in ("b:a", "a#m", "b:a#m[frame]"):
            with self.assertRaises(ValueError):
                rows.select(bad)


def judged(compute: str, rows: rec.Records, **limits) -> targets.Verdict:
    return targets.judge(targets.Target("t", "a target", compute, **limits), rows)


class Targets(unittest.TestCase):
    ours = record("ours", [90, 45, 9, 90, 90], pair="p")
    theirs = record("theirs", [100, 50, 10, 100, 100], pair="p")

    def test_paired_ratio(self):
        rows = some(self.ours, self.theirs)
        v = judged("ratio('b:ours#m', 'b:theirs#m')", rows, at_least=0.9)
        self.assertEqual((v.verdict, v.figure.median, v.paired, v.n, v.remarks), ("met", 0.9, True, 5, []))
        self.assertEqual([r.key for r in v.used], ["b:ours#m", "b:theirs#m"])
        self.assertEqual(judged("ratio('b:ours#m', 'b:theirs#m')", rows, at_least=0.91).verdict, "missed")
        self.assertEqual(judged("ratio('b:ours#m', 'b:theirs#m')", rows, at_most=0.9).verdict, "met")
        self.assertEqual(judged("ratio('b:ours#m', 'b:theirs#m')", rows).verdict, "reported")
        self.assertAlmostEqual(judged("2 * ratio('b:ours#m', 'b:theirs#m') - 1", rows).figure.median, 0.8)
        self.assertAlmostEqual(judged("value('b:ours#m') / value('b:theirs#m')", rows).figure.median, 0.9)

    def test_ratio_without_a_pair_is_of_medians_and_says_so(self):
        rows = some(record("x", [10, 11, 12, 13, 14]), record("y", [1, 1.1, 1.2, 1.3, 1.4]))
        v = judged("ratio('b:x#m', 'b:y#m')", rows, at_least=8)
        self.assertEqual((v.verdict, v.paired, v.n), ("met", False, 5))
        self.assertAlmostEqual(v.figure.median, 10, delta=0.7)
        self.assertGreater(v.figure.high, v.figure.low)
        self.assertEqual(v.remarks, ["not paired: medians of the same run"])
        again = judged("ratio('b:x#m', 'b:y#m')", rows, at_least=8)
        self.assertEqual(again.figure, v.figure)

    def test_what_is_missing_or_wrong_is_never_met(self):
        wrong = record("wrong", [1000, 1000, 1000, 1000, 1000], ok=False, note="octet 7 differs")
        short = record("short", [1, 1], pair="p")
        out = record("out", [], note="squid is missing")
        rows = some(self.ours, self.theirs, wrong, short, out, record("zero", [0, 0], pair="p"))
        cases = {
            "ratio('b:none#m', 'b:theirs#m')": "no record b:none#m",
            "ratio('b:ours#m', 'b:none#m')": "no record b:none#m",
            "value('b:none#m')": "no record b:none#m",
            "value('b:wrong#m')": "b:wrong#m is wrong: octet 7 differs",
            "ratio('b:wrong#m', 'b:theirs#m')": "octet 7 differs",
            "ratio('b:ours#m', 'b:*#m')": "wrong",
            "ratio('b:ours#m', 'b:short#m')": "5 samples of b:ours#m and 2 of",
            "ratio('b:short#m', 'b:zero#m')": "a sample of 0",
            "first(value('b:x#m'), value('b:y#m'))": "no record b:x#m; no record b:y#m",
            "flat('b:ours#m')": "only one record",
            "first(value('b:wrong#m'), value('b:ours#m'))": "octet 7 differs",      # a second choice hides no fault
            "value('b:out#m')": "b:out#m has no samples: squid is missing",
        }
        for compute, reason in cases.items():
            for limit in ({"at_least": -1e9}, {"at_most": 1e9}):
                v = judged(compute, rows, **limit)
                self.assertEqual(v.verdict, "not measured", compute)
                self.assertIsNone(v.figure)
                self.assertIn(reason, "; ".join(v.remarks))
        v = judged("ratio('b:o*#m', 'b:t*#m')", some(self.ours, self.theirs, record("other", [1])), at_least=0)
        self.assertEqual(v.verdict, "not measured")
        self.assertIn("ambiguous", v.remarks[0])

    def test_value_takes_the_worst(self):
        rows = [record(n, [x], better="lower") for n, x in (("a", 1), ("b", 3), ("c", 2))]
        self.assertEqual(judged("value('b:*#m')", some(*rows)).figure.median, 3)
        rows = [record(n, [x], better="higher") for n, x in (("a", 2), ("b", 3), ("c", 1))]
        self.assertEqual(judged("value('b:*#m')", some(*rows)).figure.median, 1)

    def test_flat_first_least_most(self):
        rows = some(record("s/1", [10, 11, 12]), record("s/2", [12, 13, 14]), record("x", [5]))
        self.assertAlmostEqual(judged("flat('b:s/*#m')", rows, at_most=1.2).figure.median, 13 / 11)
        self.assertEqual(judged("flat('b:s/*#m')", rows, at_most=1.2).verdict, "met")
        self.assertEqual(judged("flat('b:s/*#m')", rows, at_most=1.1).verdict, "missed")
        v = judged("first(value('b:none#m'), value('b:x#m'))", rows)
        self.assertEqual((v.figure.median, v.remarks[0]), (5, "taken because there is no record b:none#m"))
        self.assertEqual(judged("least(value('b:x#m'), value('b:s/1#m'))", rows).figure.median, 5)
        self.assertEqual(judged("most(value('b:x#m'), value('b:s/1#m'))", rows).figure.median, 11)

    def test_remarks(self):
        v = judged("value('b:a#m')", some(record("a", [1, 2, 3], part="slow")), at_most=2.2)
        self.assertEqual(v.remarks, ["the spread reaches across the limit", "3 samples of 5 wanted"])
        v = targets.judge(v.target, some(record("a", [1, 2, 3], part="slow")), {"slow": "was ended before its end"})
        self.assertIn("part slow was ended before its end", v.remarks)

    def test_moved_cores_are_left_out_of_pairs(self):
        x = record("x", [10, 10, 3], pair="p", probe_ns=[60, 62, 340])
        y = record("y", [10, 10, 10], pair="p", probe_ns=[61, [60, 64], 60])
        v = judged("ratio('b:x#m', 'b:y#m')", some(x, y), at_least=1)
        self.assertEqual((v.verdict, v.n), ("met", 2))
        self.assertIn("the cores' distance changed in 1 of 3 pairs, left out", v.remarks)
        y.extra["probe_ns"] = [300, 300, 60]
        v = judged("ratio('b:x#m', 'b:y#m')", some(x, y), at_least=1)
        self.assertEqual(v.n, 3)
        self.assertIn("the cores' distance changed in 3 of 3 pairs, too many to leave out", v.remarks)

    def test_expressions_are_no_code(self):
        for bad in ("__import__('os')", "value", "value('b:x#m').n", "'b:x#m'", "1 + 1", "value('b:x#m') + 'b:x#m'", "value(1)",
                    "ratio('b:x#m')", "value('b:x')", "[value('b:x#m')]", "value("):
            with self.assertRaises(targets.BadExpression, msg=bad):
                targets.Evaluator(some(record("x", [1]))).evaluate(bad)

    def test_the_shipped_table(self):
        goals, data = targets.load(TARGETS)
        ids = {g.id for g in goals}
        sizes = ("1k", "64k", "1m", "100m")
        self.assertLessEqual({"bypass-64", "bypass-1500", "bypass-cycles", "passthrough-cycles", "asis-64k", "asis-1m", "ocp-frame-ns",
                              "ocp-parse-ns", "ocp-size-independent", "latency-p50", "latency-p99", "haproxy-conn", "second-worker",
                              "preserved-memory", "flow-bytes"} | {f"squid-{m}-{s}" for m in ("asis", "echo") for s in sizes}, ids)
        for g in goals:
            v = targets.judge(g, some())
            self.assertEqual(v.verdict, "not measured", g.id)
            self.assertTrue(v.selectors, g.id)
            if g.id not in ("flow-bytes-active", "second-worker-software", "haproxy-conn-kept") and not g.id.startswith("veth-"):
                self.assertNotEqual((g.at_least, g.at_most), (None, None), g.id)
        self.assertEqual([m["id"] for m in data["arithmetic"]["modes"]], ["bypass", "pass-through", "as-is", "echo"])


class LineRate(unittest.TestCase):
    TABLE = {"bits_per_second": 100e9, "frames": [64, 1500], "shares": [0.5], "callout_chunk": 1000, "callout_framing": 50,
             "modes": [{"id": "x", "text": "x", "reads": 2, "writes": 3, "count": "", "out": 1, "back": 1,
                        "cycles": [{"frame": 64, "compute": "value('b:x#m')"}]},
                       {"id": "y", "text": "y", "reads": 1, "writes": 1, "count": "", "cycles": [{"frame": 64, "compute": "value('b:y#m')"}]}]}

    def test_known_figures(self):
        self.assertAlmostEqual(arithmetic.frames_per_second(100e9, 64), 148809523.8, places=1)
        self.assertAlmostEqual(arithmetic.frames_per_second(100e9, 1518), 8127438.2, places=1)
        s = arithmetic.compute(some(record("x", [100])), self.TABLE, 2.0e9)
        x, y = s["modes"]
        self.assertEqual(x["sizes"][0]["cores"], 8)         # 148.8 M x 100 / 2 G = 7.44
        self.assertEqual(x["memory_bytes_per_second"], 62.5e9)
        self.assertAlmostEqual(x["callout_out_bits"] / 1e9, 100 * (1500 - 58) / 1520)
        self.assertIsNone(y["sizes"][0]["cores"])
        self.assertAlmostEqual(s["callout_overhead"], 0.05)

    def test_without_a_clock(self):
        s = arithmetic.compute(some(record("x", [100])), self.TABLE, None)
        self.assertIsNone(s["modes"][0]["sizes"][0]["cores"])


class Charts(unittest.TestCase):
    def test_text_is_text_and_well_formed(self):
        text = svg.bars('a & "b" <c>', "ns", [svg.Bar("x<y", 10, 9, 12), svg.Bar("peer", 20, 20, 20, True)], [(15, "limit & end")])
        dom = xml.dom.minidom.parseString(text)
        said = [t.firstChild.data for t in dom.getElementsByTagName("text")]
        self.assertIn("x<y", said)
        self.assertIn("limit & end", said)
        self.assertIn("prefers-color-scheme:dark", text)
        widths = [float(r.getAttribute("width")) for r in dom.getElementsByTagName("rect")]
        self.assertAlmostEqual(widths[1] / widths[0], 2, places=2)
        self.assertEqual(len(dom.getElementsByTagName("path")), 1)      # no whisker where there is no spread

    def test_far_values_make_a_logarithmic_axis(self):
        axis = svg.Axis([svg.Bar("a", 1, 1, 1), svg.Bar("b", 1000, 1000, 1000)], [])
        self.assertTrue(axis.log)
        self.assertAlmostEqual(axis.x(1000) - axis.x(100), axis.x(100) - axis.x(10))
        self.assertFalse(svg.Axis([svg.Bar("a", 0, 0, 0), svg.Bar("b", 1000, 0, 1000)], []).log)
        self.assertFalse(svg.Axis([svg.Bar("a", 1, 1, 1), svg.Bar("b", 2, 2, 2)], []).log)

    def test_nothing_breaks_on_zero(self):
        xml.dom.minidom.parseString(svg.bars("t", "", [svg.Bar("a", 0, 0, 0)]))


WRITE = """import json, os, sys, time
def put(name, samples, **more):
    with open(sys.argv[1], "a") as f:
        f.write(json.dumps({"bench": "fake", "name": name, "metric": "m", "samples": samples} | more) + "\\n")
"""


class Runs(unittest.TestCase):
    """bench/run itself, with parts that do what their few lines say."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="opes-report-test-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.out = self.dir / "run"

    def part(self, name: str, code: str, seconds: float = 20, **more) -> dict:
        f = self.dir / f"{name}.py"
        f.write_text(WRITE + code)
        return {"name": name, "text": f"fake {name}", "command": [sys.executable, str(f), "{json}"],
                "seconds": {"quick": seconds, "full": seconds}} | more

    def run_it(self, table: list[dict], *argv: str, total: float | None = None) -> tuple[int, str, dict]:
        f = self.dir / "parts.json"
        f.write_text(json.dumps({"parts": table, "total_seconds": {"quick": total} if total else {}}))
        p = subprocess.run([sys.executable, str(BENCH / "run"), "--no-setup", "--parts", str(f), "--out", str(self.out), *argv],
                           capture_output=True, text=True, timeout=90)
        state = self.out / "run.json"
        return p.returncode, p.stdout + p.stderr, json.loads(state.read_text()) if state.exists() else {}

    def test_a_good_run(self):
        code, said, state = self.run_it([self.part("one", 'put("a/1", [1, 2, 3])\nput("a/2", [10, 20, 30])'),
                                         self.part("two", 'put("b", [5])')], "--quick")
        self.assertEqual(code, 0, said)
        self.assertEqual({n: p["state"] for n, p in state["parts"].items()}, {"one": "done", "two": "done"})
        self.assertIn("part 1 of 2, one", said)
        rows, faults = rec.read(self.out)
        self.assertEqual([(r.name, r.extra["part"]) for r in rows], [("a/1", "one"), ("a/2", "one"), ("b", "two")])
        text = (self.out / "report.md").read_text()
        for want in ("What was not measured", "**NICs**", "100 Gb/s would take", "148.81", "| a/1 | m | 2.000 |", "quick run"):
            self.assertIn(want, text)
        self.assertLess(text.index("What was not measured"), text.index("Records of fake"))
        self.assertNotIn("FAILED", text)
        data = json.loads((self.out / "report.json").read_text())
        self.assertEqual({t["verdict"] for t in data["targets"]}, {"not measured"})
        self.assertEqual(data["failed"], [])
        for f in (self.out / "charts").glob("*.svg"):
            xml.dom.minidom.parse(str(f))
        self.assertTrue((self.out / "charts/fake-a-m.svg").exists())
        page = (self.out / "report.html").read_text()
        self.assertIn("<svg", page)
        self.assertEqual(page.count("<table>"), page.count("</table>"))

    def test_what_is_wrong_fails_the_run_and_is_named(self):
        for name, body, want in (("octets", 'put("x", [1], ok=False, note="octet 9 differs")', "fake:x#m: octet 9 differs"),
                                 ("exits", 'put("x", [1])\nprint("no port", file=sys.stderr)\nsys.exit(3)', "exit code 3: no port"),
                                 ("broken", 'put("x", [1])\nopen(sys.argv[1], "a").write("{nonsense\\n")', "broken.jsonl:2: not JSON"),
                                 ("empty", "pass", "it wrote no record")):
            shutil.rmtree(self.out, ignore_errors=True)
            code, said, state = self.run_it([self.part(name, body), self.part("after", 'put("y", [1])')])
            self.assertEqual(code, 1, said)
            self.assertIn(f"FAILED: part {name}: ", said)
            self.assertIn(want, said)
            self.assertEqual(state["parts"][name]["state"], "failed")
            self.assertEqual(state["parts"]["after"]["state"], "done")      # the others run nevertheless
            self.assertIn("THIS RUN FAILED", (self.out / "report.md").read_text())

    def test_a_part_that_cannot_start_fails(self):
        code, said, _ = self.run_it([{"name": "gone", "command": [str(self.dir / "nothing")], "seconds": {"quick": 5, "full": 5}}])
        self.assertEqual(code, 1)
        self.assertIn("cannot be started", said)

    def test_a_part_over_its_time_is_ended_with_what_it_started(self):
        code, said, state = self.run_it([self.part(
            "slow", 'import subprocess\nput("x", [1])\n'
            'p = subprocess.Popen(["sleep", "300"], start_new_session=True)\nput("pid", [p.pid])\n'
            'f = open(sys.argv[1], "a")\nf.write(\'{"bench": "fa\')\nf.flush()\ntime.sleep(300)', seconds=2)])
        self.assertEqual(code, 0, said)
        self.assertEqual(state["parts"]["slow"]["state"], "over time")
        self.assertIn("not whole: part slow: ended after 2 s", said)
        self.assertIn("**Part slow** is not whole", (self.out / "report.md").read_text())
        rows, _ = rec.read(self.out)
        self.assertEqual([r.name for r in rows], ["x", "pid"])
        pid = int(rows[1].samples[0])
        stat = Path(f"/proc/{pid}/stat")
        self.assertTrue(not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")

    def test_an_interrupt_comes_first_so_that_parts_can_tidy_up(self):
        gone = self.dir / "tidied"
        self.run_it([self.part("slow", f'try:\n    put("x", [1])\n    time.sleep(300)\nfinally:\n    open({str(gone)!r}, "w")', seconds=1)])
        self.assertTrue(gone.exists())

    def test_the_whole_run_keeps_its_time(self):
        start = time.monotonic()
        code, said, state = self.run_it([self.part("long", 'put("x", [1])\ntime.sleep(300)', seconds=100, expect={"quick": 5}),
                                         self.part("none", 'put("y", [1])', seconds=100)], "--quick", total=30)
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual({n: p["state"] for n, p in state["parts"].items()}, {"long": "over time", "none": "left out"})
        self.assertIn("no time left", said)

    def test_a_part_that_lacks_something_is_left_out_and_named(self):
        code, said, state = self.run_it([self.part("needy", 'put("x", [1])', files=[str(self.dir / "no-such-file")])])
        self.assertEqual(state["parts"]["needy"]["state"], "left out")
        self.assertIn("no-such-file", (self.out / "report.md").read_text())
        self.assertEqual(code, 0, said)

    def test_resume(self):
        flag = self.dir / "flag"
        table = [self.part("first", f'put("a", [1])\nopen({str(self.dir / "runs")!r}, "a").write("x")'),
                 self.part("anew", f'put("b" if os.path.exists({str(flag)!r}) else "old", [2])\nsys.exit(not os.path.exists({str(flag)!r}))'),
                 self.part("goes-on", f'put("c" if "--go-on" in sys.argv else "begun", [3])\n'
                           f'if "--go-on" not in sys.argv: put("error", [], ok=False, note="died")\nsys.exit(not os.path.exists({str(flag)!r}))',
                           resume=["--go-on"])]
        self.assertEqual(self.run_it(table)[0], 1)
        code, said, _ = self.run_it(table)
        self.assertEqual(code, 2)       # never over a run that is there
        self.assertIn("--resume", said)
        flag.touch()
        code, said, state = self.run_it(table, "--resume")
        self.assertEqual(code, 0, said)
        self.assertIn("first: done before, kept", said)
        self.assertEqual((self.dir / "runs").read_text(), "x")
        self.assertEqual([r.name for r in rec.read(self.out)[0]], ["a", "b", "begun", "c"])
        self.assertEqual({p["state"] for p in state["parts"].values()}, {"done"})

    def test_resume_refuses_another_host(self):
        table = [self.part("one", 'put("a", [1])')]
        self.run_it(table)
        state = json.loads((self.out / "run.json").read_text())
        state["host"]["cpu"] = "another"
        (self.out / "run.json").write_text(json.dumps(state))
        code, said, _ = self.run_it(table, "--resume")
        self.assertEqual(code, 2)
        self.assertIn("was begun with another cpu (another, now", said)

    def test_resume_of_nothing_and_unknown_parts(self):
        self.assertEqual(self.run_it([self.part("one", "pass")], "--resume")[0], 2)
        code, said, _ = self.run_it([self.part("one", "pass")], "--only", "two")
        self.assertEqual(code, 2)
        self.assertIn("no part is called 'two'; there are one", said)

    def test_only(self):
        _, _, state = self.run_it([self.part("one", 'put("a", [1])'), self.part("two", 'put("b", [1])')], "--only", "two")
        self.assertEqual(list(state["parts"]), ["two"])

    def test_verdicts_reach_the_report(self):
        goals = self.dir / "targets.json"
        data = json.loads(TARGETS.read_text())
        data["targets"] = [{"id": "fast", "text": "t", "compute": "ratio('fake:x#m', 'fake:y#m')", "at_least": 10},
                           {"id": "slow", "text": "t", "compute": "value('fake:x#m')", "at_most": 1},
                           {"id": "gone", "text": "t", "compute": "value('fake:z#m')", "at_most": 1}]
        goals.write_text(json.dumps(data))
        code, said, _ = self.run_it([self.part("one", 'put("x", [100] * 5, pair="p")\nput("y", [10] * 5, pair="p")')], "--targets", str(goals))
        self.assertEqual(code, 0, said)      # a missed target is no fault
        verdicts = {t["id"]: t["verdict"] for t in json.loads((self.out / "report.json").read_text())["targets"]}
        self.assertEqual(verdicts, {"fast": "met", "slow": "missed", "gone": "not measured"})
        text = (self.out / "report.md").read_text()
        self.assertRegex(text, r"\| fast \| t \| at least 10 \| met \| 10.0 \| 10.0 .. 10.0 \| 5 \| paired \| `bench/run --only one` \|")
        self.assertIn("| gone | `value('fake:z#m')` | none: no record fake:z#m |", text)
        self.assertIn("`fake:x#m`<br>`fake:y#m`", text)

    def test_tables_with_faults_are_refused_before_measuring(self):
        bad = self.dir / "targets.json"
        data = json.loads(TARGETS.read_text())
        data["targets"] = [{"id": "x", "text": "t", "compute": "valu('a:b#c')"}]
        bad.write_text(json.dumps(data))
        code, said, state = self.run_it([self.part("one", "pass")], "--targets", str(bad))
        self.assertEqual((code, state), (2, {}))
        self.assertIn("target x: not allowed in an expression: valu('a:b#c')", said)
        for table, want in (([{"name": "x", "command": ["a"]}], "'seconds' is missing"),
                            ([self.part("x", "", colour=1)], "unknown key colour"), ([], "no parts")):
            code, said, _ = self.run_it(table)
            self.assertEqual(code, 2)
            self.assertIn(want, said)

    def test_the_shipped_table_of_parts(self):
        table = parts.load(BENCH / "parts.json")
        places = {"json": "J", "build": "B", "root": "R", "out": "O", "seconds": "9"}
        for p in table.parts:
            for mode in parts.MODES:
                self.assertIn("J", p.argv(mode, places), p.name)
        # What the parts may take in all leaves time for setting up and for the report.
        self.assertLessEqual(sum(p.seconds["quick"] for p in table.parts), table.total["quick"] - 30)
        self.assertLessEqual(table.total["quick"], 600)


class Comparison(unittest.TestCase):
    def rows(self, factor: float, noise: float, n: int = 9, seed: int = 1) -> list[rec.Record]:
        rng = random.Random(seed)
        return [record("time", [100 * factor * (1 + rng.uniform(-noise, noise)) for _ in range(n)], better="lower", unit="ns"),
                record("rate", [1e6 / factor * (1 + rng.uniform(-noise, noise)) for _ in range(n)], better="higher")]

    def verdicts(self, old, new) -> dict[str, str]:
        return {r.what.split("#")[0]: r.verdict for r in compare.compare(old, new, [])[0]}

    def test_a_real_change_is_seen_both_ways(self):
        old, new = self.rows(1, 0.02), self.rows(1.15, 0.02, seed=2)
        self.assertEqual(self.verdicts(old, new), {"b:time": "slower", "b:rate": "slower"})
        self.assertEqual(self.verdicts(new, old), {"b:time": "faster", "b:rate": "faster"})

    def test_noise_is_not(self):
        said = []
        for seed in range(300):
            said += self.verdicts(self.rows(1, 0.2, seed=seed), self.rows(1, 0.2, seed=seed + 1000)).values()
        self.assertLess(len(said) - said.count("same"), 6, "of 600")

    def test_a_change_too_small_or_too_few_samples(self):
        self.assertEqual(set(self.verdicts(self.rows(1, 0.0001), self.rows(1.015, 0.0001, seed=2)).values()), {"same"})
        self.assertEqual(set(self.verdicts(self.rows(1, 0, n=1), self.rows(2, 0, n=1)).values()), {"unsure"})
        self.assertEqual(set(self.verdicts(self.rows(1, 0.01, n=3), self.rows(2, 0.01, n=3)).values()), {"slower"})

    def test_pairs_are_judged_by_their_ratio(self):
        def pair(ours: float, host: float) -> list[rec.Record]:
            return [record("ours", [x * ours * host for x in (99, 100, 101, 100, 100)], pair="p", better="higher"),
                    record("peer", [x * host for x in (99, 100, 101, 100, 100)], pair="p", better="higher")]
        rows, _, _ = compare.compare(pair(1, 1), pair(1, 0.3), [])       # the host alone became slow
        self.assertEqual([r.verdict for r in rows if r.counts], ["same"])
        self.assertEqual([r.verdict for r in rows if not r.counts], ["slower", "slower"])
        rows, _, _ = compare.compare(pair(1, 0.3), pair(0.8, 1), [])     # a faster host hides nothing
        self.assertEqual([(r.what, r.verdict) for r in rows if r.counts], [("b:ours#m / peer", "slower")])

    def call(self, old: list[rec.Record], new: list[rec.Record], *argv: str) -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as d:
            paths = []
            for name, rows in (("old", old), ("new", new)):
                p = Path(d) / f"{name}.jsonl"
                p.write_text("".join(json.dumps(r.to_dict()) + "\n" for r in rows))
                paths.append(str(p))
            out = io.StringIO()
            with redirect_stdout(out), redirect_stderr(out):
                code = compare.main("x\n\nusage: y", [*paths, *argv])
            return code, out.getvalue()

    def test_the_command(self):
        old, slow = self.rows(1, 0.02), self.rows(1.3, 0.02, seed=2)
        self.assertEqual(self.call(old, slow)[0], 0)
        code, said = self.call(old, slow, "--fail-on-slower")
        self.assertEqual(code, 1)
        self.assertRegex(said, r"slower +b:time#m +\d+\S* +\d+\S* +\+\d\d\.\d%  ns")
        self.assertEqual(self.call(slow, old, "--fail-on-slower")[0], 0)
        code, said = self.call(old, old[:1], "--json")
        data = json.loads(said)
        self.assertEqual((code, data["only_old"]), (0, ["b:rate#m"]))
        with redirect_stderr(io.StringIO()) as err:
            self.assertEqual(compare.main("x", ["/no/such", "/no/such"]), 2)
        self.assertIn("no such file of records", err.getvalue())

    def test_what_was_wrong_is_not_compared(self):
        old = self.rows(1, 0.01)
        new = self.rows(1.5, 0.01)
        new[0].ok = False
        rows, gone, _ = compare.compare(old, new, [])
        self.assertEqual(([r.what for r in rows], gone), (["b:rate#m"], ["b:time#m"]))


class Small(unittest.TestCase):
    def test_durations(self):
        self.assertEqual([runner.duration(x) for x in (5, 65, 3700)], ["5 s", "1 min 05 s", "1 h 01 min"])

    def test_pages_keep_figures_and_escapes(self):
        text = document.page("# T\n\n| a | b |\n|---|---:|\n| x \\| <y> | `1` |\n\n![c](charts/c.svg)\n", {"c.svg": "<svg/>"})
        self.assertIn("<td>x | &lt;y&gt;</td><td class=r><code>1</code></td>", text)
        self.assertIn("<svg/>", text)

    def test_list(self):
        out = io.StringIO()
        with redirect_stdout(out):
            self.assertEqual(command.main("x usage: y", ["--list"]), 0)
        self.assertIn("peers", out.getvalue())
        self.assertTrue(re.search(r"micro +1 min", out.getvalue()) or os.environ)


if __name__ == "__main__":
    unittest.main()
