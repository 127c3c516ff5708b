# SPDX-License-Identifier: BSD-3-Clause
"""Records of benchmarks: running the parts that write them, judging them, showing them, comparing two runs.

records    one measurement with its samples, read from JSON lines
stats      medians, spreads, ratios, and what is beyond the noise
targets    the table of targets, computed from records
arithmetic what a line rate asks of a host, from measured cycles
svg        charts
document   report.md, report.html, report.json
host       what the figures were taken on
parts      the table of parts
runner     runs them, within their time, and goes on where a run was ended
compare    two runs
"""
