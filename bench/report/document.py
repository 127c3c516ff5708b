# SPDX-License-Identifier: BSD-3-Clause
"""report.md, report.html, report.json and charts/*.svg from a run's folder. The first page says what was not measured."""

from __future__ import annotations

import datetime
import html
import json
import math
import re
from collections import defaultdict
from pathlib import Path

from . import arithmetic, records as rec, stats, svg, targets
from .runner import duration, write_whole

ROWS_OF_A_CHART = 40
MARKS = {"met": "met", "missed": "MISSED", "not measured": "not measured", "reported": "reported"}


def figure(v: targets.Verdict) -> str:
    return "-" if v.figure is None else f"{stats.significant(v.figure.median)} {v.target.unit}".strip()


def spread(s: stats.Summary | None) -> str:
    if s is None or s.n < 2:
        return "-"
    return f"{stats.significant(s.low)} .. {stats.significant(s.high)}"


def cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head: list[str], rows: list[list[object]], right: str = "") -> list[str]:
    """right: one character a column, r for figures."""
    marks = ["---:" if right[i:i + 1] == "r" else "---" for i in range(len(head))]
    return ["| " + " | ".join(head) + " |", "|" + "|".join(marks) + "|"] + \
        ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows] + [""]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class Report:
    def __init__(self, out: Path, state: dict, rows: list[rec.Record], faults: list[str], goals: list[targets.Target],
                 data: dict) -> None:
        self.out, self.state, self.rows, self.faults = out, state, rows, faults
        self.host = state.get("host", {})
        self.parts = state.get("parts", {})
        self.records = rec.Records(rows)
        incomplete = {n: {"over time": "was ended before its end", "interrupted": "was interrupted"}.get(p["state"], "failed")
                      for n, p in self.parts.items() if p["state"] in ("over time", "interrupted", "failed")}
        self.verdicts = [targets.judge(t, self.records, incomplete) for t in goals]
        # Squid's bars are grey in every chart, and so is whatever else a target divides by.
        self.peers = {v.used[1].key for v in self.verdicts if len(v.used) == 2}
        self.sums = arithmetic.compute(self.records, data["arithmetic"], self.tsc())
        self.charts: list[tuple[str, str, str]] = []     # file, title, svg

    def tsc(self) -> float | None:
        """The counter's rate as the parts that count cycles found it, else as found here."""
        own = [r.params["tsc_hz"] for r in self.rows if isinstance(r.params.get("tsc_hz"), (int, float))]
        return float(own[-1]) if own else self.host.get("tsc_hz")

    # first page

    def wrong(self) -> list[str]:
        bad = [f"part {n}: {p['reason']}" for n, p in self.parts.items() if p["state"] in ("failed", "interrupted")]
        if not self.parts:
            bad += [f"{r.key}: {r.note or 'no reason given'}" for r in self.rows if not r.ok]
        return bad + self.faults

    def unmeasured(self) -> list[str]:
        h, gone = self.host, []
        if not any(r.params.get("nic") for r in self.rows):
            gone.append("**NICs**: every port here was a virtual device. Receive-side scaling, checksum and segmentation offloads, PCIe, "
                        "DMA into caches and the driver's own cycles are in none of these figures"
                        + (f" (this host has {', '.join(h['nics'])}, not used)" if h.get("nics") else "") + ".")
        if h.get("numa_nodes", 1) < 2:
            gone.append("**NUMA**: this host has one node; traffic between nodes was not met.")
        if h.get("cpus_allowed", 0) < 4:
            gone.append(f"**A real second worker**: with {h.get('cpus_allowed', '?')} CPUs there is none beside the traffic's own; what is said "
                        "of two workers comes from cycles per worker.")
        if not h.get("hardware_counters", False):
            gone.append("**Cache misses, instructions per cycle**: this host exposes no hardware counters. Cycles are of the "
                        "time-stamp counter.")
        if h.get("virtual", "none") != "none":
            gone.append(f"**Bare metal**: this host is virtual ({h.get('virtual')}); cores may be taken away or sit far apart at any time. "
                        "Figures across cores are to be read as ratios of paired runs only.")
        if h.get("pktgen", "not installed") == "not installed":
            gone.append("**Stock Pktgen**: not installed; the scenarios ran with dpdk-testpmd as far as they ran.")
        for n, p in self.parts.items():
            if p["state"] == "left out":
                gone.append(f"**Part {n}** was left out: {p['reason']}.")
            elif p["state"] == "over time":
                gone.append(f"**Part {n}** is not whole: {p['reason']}.")
            elif p["state"] == "failed":
                gone.append(f"**Part {n}** failed: {p['reason']}.")
        gone += [f"**{r.bench}: {r.name}**: {r.note}." for r in self.rows if r.ok and not r.samples]
        for v in self.verdicts:
            if v.verdict == "not measured":
                gone.append(f"Target **{v.target.id}**: {'; '.join(v.remarks)}.")
        if self.state.get("mode") == "quick":
            gone.append("This was a **quick run**: few samples, short slices. The full run is the one to quote.")
        return gone

    def command(self, v: targets.Verdict) -> str:
        names = []
        for r in v.used:
            p = r.extra.get("part")
            if p and p not in names:
                names.append(p)
        quick = "--quick " if self.state.get("mode") == "quick" else ""
        return f"`bench/run {quick}--only {','.join(names)}`" if names else "-"

    def first_page(self) -> list[str]:
        h = self.host
        n = {k: sum(v.verdict == k for v in self.verdicts) for k in MARKS}
        out = ["# Benchmark report", ""]
        bad = self.wrong()
        if bad:
            out += ["**THIS RUN FAILED.** Octets, transactions or programs were wrong:", ""] + [f"* {cell(b)}" for b in bad] + [""]
        out += [f"{n['met']} targets met, {n['missed']} missed, {n['not measured']} not measured, {n['reported']} reported without a limit. "
                f"{len(self.rows)} records, {self.state.get('mode', '?')} run.", "", "## Host", ""]
        tsc, caches = self.tsc(), ", ".join(f"{k} {v}" for k, v in h.get("caches", {}).items())
        out += table(["", ""], [
            ["host", f"{h.get('host')}, {h.get('os')}, Linux {h.get('kernel')}, virtual: {h.get('virtual')}"],
            ["CPU", f"{h.get('cpu')}, {h.get('cpus')} CPUs ({h.get('cpus_allowed')} usable), {h.get('numa_nodes')} NUMA node(s), "
                    f"time-stamp counter {tsc / 1e9:.3f} GHz, {caches}" if tsc else h.get("cpu")],
            ["instructions", " ".join(h.get("isa", [])) or "-"],
            ["memory", f"{h.get('memory_kb', 0) / 1048576:.1f} GiB, {h.get('hugepages_2m')} hugepages of 2 MiB, "
                       f"transparent hugepages {h.get('thp')}"],
            ["settings", f"governor {h.get('governor')}; isolated CPUs {h.get('isolated_cpus')}; congestion control "
                         f"{h.get('congestion_control')}; kernel options: {h.get('kernel_options')}"],
            ["product", f"{h.get('product')} ({h.get('buildtype')} build)"],
            ["versions", ", ".join(f"{k} {v}" for k, v in h.get("versions", {}).items())],
            ["date", self.when()]])
        out += ["## Targets", ""]
        out += table(["target", "what", "limit", "verdict", "figure (median)", "spread (quartiles)", "n", "remarks", "command"],
                     [[v.target.id, v.target.text, v.target.limit, MARKS[v.verdict], figure(v), spread(v.figure), v.n or "-",
                       "; ".join((["paired"] if v.paired else []) + v.remarks), self.command(v)] for v in self.verdicts], "   rrrr")
        out += ["Paired: the median of ratios of samples taken side by side. Not paired: the ratio of medians of the same run, its spread by "
                "resampling. The records behind each verdict are [below](#records-behind-the-targets).", ""]
        if self.charts:
            out += [f"![targets](charts/{f})" for f, t, _ in self.charts if f == "targets.svg"] + [""]
        out += ["## What was not measured", ""] + [f"* {g}" for g in self.unmeasured()] + [""]
        return out + self.line_rate()

    def when(self) -> str:
        begun = self.state.get("started")
        text = datetime.datetime.fromtimestamp(begun, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC") if begun else self.host.get("date")
        spent = sum(p["seconds"] for p in self.parts.values())
        return f"{text}, {duration(spent)} of measuring"

    def line_rate(self) -> list[str]:
        s = self.sums
        out = [f"## What {s['bits_per_second'] / 1e9:g} Gb/s would take", "",
               "One direction filled, or both together; a full-duplex line filled both ways takes twice this. Cycles are those measured "
               "in this run inside one process, **without the driver of a NIC**, at the nearest frame size measured; cores are those "
               f"cycles x frames over {'%.3f GHz' % (s['tsc_hz'] / 1e9) if s['tsc_hz'] else 'an unknown clock'}, rounded up, as if work spread evenly.", ""]
        rows = []
        for m in s["modes"]:
            for z in m["sizes"]:
                rows.append([m["text"], z["frame"], f"{z['frames_per_second'] / 1e6:.2f}", stats.significant(z["cycles_per_frame_and_core"]),
                             stats.significant(z["cycles"]) if z["cycles"] else "not measured",
                             f"{z['measured_at']} B" if z["measured_at"] else "-", z["cores"] if z["cores"] is not None else "-"])
        out += table(["mode", "frame, B", "M frames/s", "cycles one core has", "cycles measured", "measured at", "cores"], rows, " rrrrrr")
        out += ["Octets are counted for each octet of payload: once for every time a device, the kernel or a core writes it to memory or reads "
                "it from there. Caches that a device reaches make the true traffic smaller.", ""]
        out += table(["mode", "writes", "reads", "memory, GB/s", "to callout, Gb/s", "back, Gb/s", "counted"],
                     [[m["text"], m["writes"], m["reads"], f"{m['memory_bytes_per_second'] / 1e9:.1f}",
                       f"{m['callout_out_bits'] / 1e9:.1f}" if m["callout_out_bits"] else "-",
                       f"{m['callout_back_bits'] / 1e9:.1f}" if m["callout_back_bits"] else "-", m["count"]] for m in s["modes"]], " rrrrr")
        modes = [m for m in s["modes"] if m["callout_out_bits"]]
        if modes:
            shares = [[f"{share:.0%}"] + [f"{(m['callout_out_bits'] + m['callout_back_bits']) * share * (1 + s['callout_overhead']) / 1e9:.1f}"
                                          for m in modes] for share in s["shares"]]
            out += [f"Callout bandwidth for a share of the traffic that rules select, Gb/s, both ways together, with {s['callout_framing']} octets of "
                    f"framing for every chunk of {s['callout_chunk']} octets ({s['callout_overhead']:.1%}):", ""]
            out += table(["share"] + [m["text"] for m in modes], shares, "r" * 9)
        return out

    # the rest

    def groups(self) -> dict[tuple[str, str, str], list[rec.Record]]:
        """Records that belong into one chart: of a part, of one subject (the name's first word), of one metric."""
        found: dict[tuple[str, str, str], list[rec.Record]] = defaultdict(list)
        for r in self.rows:
            if r.samples:
                found[r.bench, r.name.split("/", 1)[0], r.metric].append(r)
        joined: dict[tuple[str, str, str], list[rec.Record]] = defaultdict(list)
        for (bench, subject, metric), rows in found.items():    # single bars go together
            joined[bench, subject if len(rows) > 1 else "", metric] += rows
        return joined

    def draw(self) -> None:
        v = [x for x in self.verdicts if x.figure and x.verdict in ("met", "missed")]
        bars = []
        for x in v:
            limit = x.target.at_least if x.target.at_least is not None else x.target.at_most
            # How far on the good side: figure over limit, or limit over figure; 1 is the limit.
            ends = [f / limit if x.target.at_least is not None else limit / f if f else math.inf
                    for f in (x.figure.median, x.figure.low, x.figure.high)]
            if all(math.isfinite(e) and e > 0 for e in ends) and limit:
                bars.append(svg.Bar(f"{x.target.id} ({figure(x)}, {x.target.limit})", ends[0], min(ends[1:]), max(ends[1:]), x.verdict == "missed"))
        if bars:
            self.charts.append(("targets.svg", "Targets", svg.bars(
                "Targets: how far on the good side of the limit", "times the limit (right of 1: met)", bars, [(1.0, "limit")], log=True,
                note="grey: missed; targets that were not measured are not shown")))
        for (bench, subject, metric), rows in sorted(self.groups().items()):
            if len(rows) < 2:
                continue
            for i in range(0, len(rows), ROWS_OF_A_CHART):
                some = rows[i:i + ROWS_OF_A_CHART]
                title = f"{bench}: {subject or 'others'}, {metric.replace('_', ' ')}" + (f" ({i // ROWS_OF_A_CHART + 1})" if i else "")
                unit = some[0].unit if len({r.unit for r in some}) == 1 else "mixed units"
                better = {"higher": "more is better", "lower": "less is better"}.get(some[0].better, "")
                sums = [(r, stats.summarize(r.samples)) for r in some]
                self.charts.append((slug(title) + ".svg", title, svg.bars(
                    title, unit, [svg.Bar(r.name, s.median, s.low, s.high, r.key in self.peers) for r, s in sums], note=better)))

    def parts_table(self) -> list[str]:
        if not self.parts:
            return []
        return ["## Parts", ""] + table(["part", "state", "took", "limit", "command", ""],
                                        [[n, p["state"], duration(p["seconds"]), duration(p["limit"]), f"`{p['command']}`" if p["command"] else "-",
                                          p["reason"]] for n, p in self.parts.items()], "  rr")

    def behind(self) -> list[str]:
        out = ["## Records behind the targets", ""]
        out += table(["target", "computed as", "records used"],
                     [[v.target.id, f"`{v.target.compute}`", "<br>".join(f"`{r.key}`" for r in v.used) or "none: " + "; ".join(v.remarks)]
                      for v in self.verdicts])
        return out

    def all_records(self) -> list[str]:
        out = []
        for bench in dict.fromkeys(r.bench for r in self.rows):
            out += [f"## Records of {bench}", ""]
            out += [f"![{cell(t)}](charts/{f})\n" for f, t, _ in self.charts if f != "targets.svg" and t.startswith(bench + ": ")]
            rows = []
            for r in self.rows:
                if r.bench != bench:
                    continue
                s = stats.summarize(r.samples) if r.samples else None
                params = ", ".join(f"{k}={v}" for k, v in r.params.items() if not isinstance(v, (list, dict)) and k != "tsc_hz")
                rows.append([r.name, r.metric, stats.significant(s.median, 4) if s else "-", r.unit, spread(s),
                             f"{s.relative:.1%}" if s and s.n > 1 and s.relative is not None else "-",
                             f"{stats.significant(s.min)} .. {stats.significant(s.max)}" if s and s.n > 1 else "-", s.n if s else 0, params,
                             ("" if r.ok else "WRONG: ") + r.note])
            out += table(["name", "metric", "median", "unit", "quartiles", "spread", "min .. max", "n", "parameters", "note"], rows, "  r rrrr")
        return out

    def pairs(self) -> list[str]:
        """Every pair's ratio, whether a target asks for it or not."""
        by: dict[tuple[str, str], list[rec.Record]] = defaultdict(list)
        for r in self.rows:
            if r.pair and r.ok and r.samples:
                by[r.pair, r.metric].append(r)
        rows = []
        for (pair, metric), members in by.items():
            base = next((m for m in members if m.key in self.peers), members[-1])
            for m in members:
                if m is base or len(m.samples) != len(base.samples) or not all(base.samples):
                    continue
                s = stats.summarize(stats.ratios(m.samples, base.samples))
                rows.append([pair, m.name, base.name, metric, stats.significant(s.median), spread(s), s.n])
        return (["## Pairs", "", "Medians of ratios, sample by sample.", ""]
                + table(["pair", "of", "to", "metric", "ratio", "quartiles", "n"], rows, "    rrr")) if rows else []

    def markdown(self) -> str:
        return "\n".join(self.first_page() + self.parts_table() + self.behind() + self.pairs() + self.all_records())

    def json(self) -> dict:
        return {"format": 1, "mode": self.state.get("mode"), "host": self.host, "tsc_hz": self.tsc(), "parts": self.parts,
                "failed": self.wrong(), "not_measured": self.unmeasured(), "targets": [v.to_dict() for v in self.verdicts],
                "line_rate": self.sums,
                "records": [r.to_dict() | {"summary": stats.summarize(r.samples).to_dict() if r.samples else None} for r in self.rows]}


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmark report</title><style>
:root{color-scheme:light dark}body{font:14px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}td,th{border:1px solid #8886;padding:3px 8px;vertical-align:top}
th{text-align:left}td.r{text-align:right;white-space:nowrap}code{font-size:12px}svg{max-width:100%;height:auto}
</style>
"""


def inline(text: str) -> str:
    text = html.escape(text, quote=False).replace("\\|", "|").replace("&lt;br&gt;", "<br>")
    text = re.sub(r"`([^`]*)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"(?<!!)\[([^\]]+)\]\(#([^)]+)\)", r'<a href="#\2">\1</a>', text)


def page(markdown: str, charts: dict[str, str]) -> str:
    """The markdown that this module writes - headings, tables, lists, charts - as one page with the charts in it."""
    out, lines, i = [PAGE], markdown.split("\n"), 0
    while i < len(lines):
        line = lines[i]
        chart = re.fullmatch(r"!\[.*\]\(charts/([^)]+)\)", line.strip())
        if line.startswith("#"):
            level, text = line.split(" ", 1)
            out.append(f'<h{len(level)} id="{slug(text)}">{inline(text)}</h{len(level)}>')
        elif chart:
            out.append(charts[chart.group(1)])
        elif line.startswith("|") and i + 1 < len(lines) and lines[i + 1].startswith("|--"):
            right = [c.endswith(":") for c in lines[i + 1].strip("|").split("|")]
            cells = lambda x: re.split(r"(?<!\\)\|", x[1:-1])   # noqa: E731
            out.append("<table>" + ("<tr>" + "".join(f"<th>{inline(c.strip())}</th>" for c in cells(line)) + "</tr>"
                                    if line.strip("| ") else ""))
            i += 2
            while i < len(lines) and lines[i].startswith("|"):
                out.append("<tr>" + "".join(f'<td{" class=r" if k < len(right) and right[k] else ""}>{inline(c.strip())}</td>'
                                            for k, c in enumerate(cells(lines[i]))) + "</tr>")
                i += 1
            out.append("</table>")
            continue
        elif line.startswith("* "):
            out.append(f"<ul><li>{inline(line[2:])}</li></ul>")
        elif line.strip():
            out.append(f"<p>{inline(line)}</p>")
        i += 1
    return "\n".join(out).replace("</ul>\n<ul>", "\n") + "</html>\n"


def write(out: Path, goals_file: Path) -> Report:
    """From the folder of a run (or one that holds records.jsonl only)."""
    goals, data = targets.load(goals_file)
    path = out / "run.json"
    state = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rows, faults = rec.read(out)
    report = Report(out, state, rows, faults, goals, data)
    report.draw()
    (out / "charts").mkdir(exist_ok=True)
    for old in (out / "charts").glob("*.svg"):
        old.unlink()
    for name, _, text in report.charts:
        write_whole(out / "charts" / name, text)
    text = report.markdown()
    write_whole(out / "report.md", text)
    write_whole(out / "report.html", page(text, {n: s for n, _, s in report.charts}))
    write_whole(out / "report.json", json.dumps(report.json(), indent=1) + "\n")
    return report
