# SPDX-License-Identifier: BSD-3-Clause
"""Every rule of the watches is broken once and must be named: python3 -m opes_api.ocp.selftest_rules

A script is messages with the side that sends them; the rule that the last one breaks follows.
"""

from __future__ import annotations

import unittest

from .catalogue import CORE, DRAFT, bind
from .rules import RuleBroken, Watch
from .wire import decode

RESPONSE = '{"54:http://www.iana.org/assignments/opes/ocp/http/response"'
REQUEST = '{"53:http://www.iana.org/assignments/opes/ocp/http/request"'

DRAFT_BASE = ["P connection-start", 'P connection-service {"1:a"}', "P xaction-start 1",
              'P app-message-start 1 1 "1:x"', "P data-have 1 1 0|copied: true||5:hello", "P data-have 1 1 5||5:again"]
DRAFT_ADAPTED = [*DRAFT_BASE, 'S app-message-start 1 2 "0:"', "S data-have 1 2 0||2:ab"]

DRAFT_SCRIPTS: list[tuple[list[str], str]] = [
    (["P xaction-start 1"], "<59>"),
    (["P connection-start", "P connection-start"], "wire-6"),
    (["S connection-start"], "<58>"),
    ([*DRAFT_BASE, "S connection-priority 1"], "<65>"),
    ([*DRAFT_BASE, 'S connection-service {"1:a"}'], "<67>"),
    ([*DRAFT_BASE, "S xaction-start 2"], "<69>"),
    ([*DRAFT_BASE, "S data-paused 1 1"], "<96>"),
    ([*DRAFT_ADAPTED, "P data-pause 1 2"], "<93>"),
    ([*DRAFT_ADAPTED, "P data-need 1 2 0"], "<104>"),
    ([*DRAFT_ADAPTED, "P data-as-is 1 1 10 1 2 0"], "<85>"),
    ([*DRAFT_BASE, "P xaction-start 1"], "wire-4"),
    (["P connection-start", "P xaction-start 1"], "<70>"),
    ([*DRAFT_BASE, 'P app-message-start 1 3 "1:x"'], "<29>"),
    ([*DRAFT_BASE, 'S app-message-start 1 3 "1:x"'], "wire-4"),
    ([*DRAFT_ADAPTED, 'S app-message-start 1 2 "0:"'], "wire-4"),
    ([*DRAFT_BASE[:3], 'P app-message-start 1 1 "0:"'], "wire-5"),
    ([*DRAFT_BASE[:3], 'P app-message-start 1 1 "1:x"|modified: true'], "<45>"),
    ([*DRAFT_BASE, "P data-have 1 1 10|modified: true||1:x"], "<45>"),
    ([*DRAFT_BASE, "P data-have 1 1 11||1:x"], "<85>"),
    ([*DRAFT_BASE, "P data-have 1 1 9||1:x"], "<85>"),
    ([*DRAFT_BASE, "S data-have 1 2 0||1:x"], "<54>"),
    ([*DRAFT_BASE, "S data-have 2 2 0||1:x"], "<54>"),
    ([*DRAFT_BASE, "S data-have 1 1 10||1:x"], "wire-6"),
    ([*DRAFT_ADAPTED, "S data-have 1 2 2|copied: true||1:x"], "<46>"),
    ([*DRAFT_ADAPTED, "S data-have 1 2 3||1:x"], "<85>"),
    ([*DRAFT_ADAPTED, "S data-as-is 1 2 2 6 1 0"], "<89>"),
    ([*DRAFT_ADAPTED, "S data-as-is 1 2 2 1 2 0"], "<89>"),
    ([*DRAFT_ADAPTED, "S data-as-is 1 2 3 1 1 0"], "<85>"),
    ([*DRAFT_ADAPTED, "S data-ack 1 1 0 5|wont-forward: true", "S data-as-is 1 2 2 1 1 0"], "<89>"),
    ([*DRAFT_ADAPTED, "S data-end 1 2", "S data-have 1 2 2||1:x"], "<98>"),
    ([*DRAFT_ADAPTED, "S data-end 1 2", "S data-end 1 2"], "<98>"),
    ([*DRAFT_ADAPTED, "S app-message-end 1 2", "S data-have 1 2 2||1:x"], "<54>"),
    ([*DRAFT_ADAPTED, "S xaction-end 1", "S data-have 1 2 2||1:x"], "<54>"),
    ([*DRAFT_BASE, "S app-message-end 1 4"], "<77>"),
    ([*DRAFT_ADAPTED, "S data-as-is 1 2 2 5 1 0", "S data-end 1 2|result: {206}"], "wire-6"),
    ([*DRAFT_BASE, "S data-ack 1 1 0 11"], "<110>"),
    ([*DRAFT_ADAPTED, "S data-ack 1 2 0 2"], "<106>"),
    ([*DRAFT_ADAPTED, "P data-ack 1 2 0 2"], "<107>"),
    ([*DRAFT_BASE, "P data-paused 1 1"], "wire-6"),
    ([*DRAFT_BASE, "S data-pause 1 1", "P data-paused 1 1", "P data-have 1 1 10||1:x"], "<95>"),
    ([*DRAFT_BASE, "S data-need 1 1 11"], "<101>"),
    ([*DRAFT_ADAPTED, "S data-pause 1 2"], "<92>"),
    ([*DRAFT_BASE, "P are-you-there 7", "S i-am-here|rid: 8"], "<115>"),
    ([*DRAFT_BASE, "P are-you-there 7|xid: 1", "S i-am-here|rid: 7"], "<115>"),
    ([*DRAFT_BASE, "P are-you-there 7|xid: 2", "S i-am-here|rid: 7|xid: 2"], "<115>"),
    ([*DRAFT_BASE, "P xaction-end 1", "P are-you-there 7|xid: 1", "S i-am-here|rid: 7|xid: 1"], "<115>"),
    ([*DRAFT_BASE, "S i-am-here|xid: 3"], "<114>"),
    ([*DRAFT_BASE, 'S i-do-support {"1:f"}'], "wire-6"),
    ([*DRAFT_BASE, "S connection-end", "S xaction-end 1"], "<59>"),
]

CORE_OPEN = ["P CS", "S CS", f"P NO ({RESPONSE}|Aux-Parts: (request-header)|}})",
             f"S NR {RESPONSE}|Aux-Parts: (request-header)|}}", 'P SGC 1 ({"1:a"})']
CORE_BASE = [*CORE_OPEN, "P TS 1 1", "P AMS 1", "P DUM 1 0|Kept: {0 5}|AM-Part: response-header||5:hello",
             "P DUM 1 5|Kept: {0 10}|AM-Part: response-body||5:again"]
CORE_ADAPTED = [*CORE_BASE, "S AMS 1", "S DUM 1 0|AM-Part: response-header||2:ab"]
CORE_REQUEST = ["P CS", "S CS", f"P NO ({REQUEST}}})", f"S NR {REQUEST}}}", 'P SGC 1 ({"1:a"})', "P TS 1 1", "P AMS 1"]

CORE_SCRIPTS: list[tuple[list[str], str]] = [
    (["P NO ()"], "4037-11.1"),
    (["P CS", "P CS"], "4037-11.1"),
    (["S PA"], "4037-11.1"),
    (["P CS", "P TS 1 1"], "4037-6.1"),
    (["P CS", "P NO ()", "S CS", "S NR|SG: 1"], "4037-11.19"),
    (["P CS", "P NO ()|SG: 1", "S CS", "S NR"], "4037-11.19"),
    (["P CS", "P NO ()", "S CS", 'S NR {"1:a"}'], "4037-11.19"),
    (["P CS", "P NO ()", "S CS", 'S NR|Unknowns: ({"1:a"})'], "4037-11.19"),
    (["P CS", "P NO ()", "S CS", "S NR", "S NR"], "4037-11.19"),
    (["P CS", "P NO ()", "S CS", "S NR|Offer-Pending: true", "S TE 1"], "4037-6.1"),
    (["P CS", "P NO ()", "S CS", "S NR", "S NO ()", "S NO ()"], "4037-11.18"),
    (["P CS", f"P NO ({RESPONSE}}})", "S CS", f"S NR {RESPONSE}|Aux-Parts: (request-header)|}}"], "4236-3.2.3"),
    (["P CS", f"P NO ({REQUEST}|Aux-Parts: (request-body)|}})", "S CS", f"S NR {REQUEST}|Aux-Parts: (request-body)|}}"],
     "4236-3.2.3"),
    (["P CS", f"P NO ({RESPONSE}|Aux-Parts: (response-body)|}})", "S CS", f"S NR {RESPONSE}|Aux-Parts: (response-body)|}}"],
     "4236-3.2.3"),
    ([*CORE_OPEN, 'P SGC 1 ({"1:a"})'], "4037-10.2"),
    ([*CORE_OPEN, "P SGD 2"], "4037-11.4"),
    ([*CORE_OPEN, "P TS 1 2"], "4037-11.5"),
    ([*CORE_BASE, "P TS 1 1"], "4037-10.2"),
    ([*CORE_BASE, "S TS 2 1"], "4037-11"),
    ([*CORE_BASE, "S DSS 1"], "4037-11"),
    ([*CORE_BASE, "P DUY 1 0 1"], "4037-11"),
    ([*CORE_BASE, "S AMS 2"], "4037-10.2"),
    ([*CORE_ADAPTED, "S AMS 1"], "4037-2.4"),
    ([*CORE_BASE, "S DUM 1 0|AM-Part: response-header||1:x"], "4037-11.7"),
    ([*CORE_ADAPTED, "S DUM 1 3|AM-Part: response-header||1:x"], "4037-11.9"),
    ([*CORE_ADAPTED, "S AME 1", "S DUM 1 2|AM-Part: response-header||1:x"], "4037-11.8"),
    ([*CORE_ADAPTED, "S AME 1", "S AME 1"], "4037-11.8"),
    ([*CORE_BASE, "S AME 1"], "4037-11.7"),
    ([*CORE_ADAPTED, "S TE 1"], "4037-11.8"),
    ([*CORE_ADAPTED, "S AME 1", "S TE 1", "S TE 1"], "4037-11.6"),
    ([*CORE_ADAPTED, "S AME 1", "S TE 1", "S AMS 1"], "4037-11.6"),
    ([*CORE_BASE, "S TE 2"], "4037-11.6"),
    ([*CORE_ADAPTED, "S AME 1 {206}"], "4037-11.13"),
    ([*CORE_ADAPTED, "S AME 1", "S TE 1 {206}"], "4037-10.10"),
    ([*CORE_ADAPTED, "S DWSS 1", "S DWSR 1 0", "P AME 1 {206}"], "4037-8.3"),
    ([*CORE_ADAPTED, "S DUM 1 2||1:x"], "4236-3.4"),
    ([*CORE_ADAPTED, "S DUM 1 2|AM-Part: request-header||1:x"], "4236-3.2.1"),
    ([*CORE_ADAPTED, "S DUM 1 2|AM-Part: response-body||1:x", "S DUM 1 3|AM-Part: response-header||1:x"], "4236-3.2.1"),
    ([*CORE_BASE, "P DUM 1 10|AM-Part: request-body||1:x"], "4236-3.2.1"),
    ([*CORE_BASE, "P DUM 1 10|AM-Part: request-header||1:x"], "4236-3.2.1"),
    ([*CORE_REQUEST, "P DUM 1 0|AM-Part: response-header||1:x"], "4236-3.2.1"),
    ([*CORE_REQUEST, "S AMS 1", "S DUM 1 0|AM-Part: request-header||1:x", "S DUM 1 1|AM-Part: response-body||1:x"],
     "4236-3.2.1"),
    ([*CORE_ADAPTED, "S DUM 1 2|Kept: {0 1}|AM-Part: response-header||1:x"], "4037-11.9"),
    ([*CORE_BASE, "P DUM 1 10|Kept: {5 6}|AM-Part: response-body||1:x"], "4037-7"),
    ([*CORE_ADAPTED, "S DUY 1 5 6"], "4037-11.10"),
    ([*CORE_ADAPTED, "S DPI 1 5 5", "S DUY 1 4 2"], "4037-11.11"),
    ([*CORE_ADAPTED, "S DPI 1 5 5", "S DPI 1 4 2"], "4037-11.11"),
    ([*CORE_BASE, "S DWP 1 0", "P DPM 1", "P DUM 1 10|AM-Part: response-body||1:x"], "4037-11.16"),
    ([*CORE_OPEN, "S PA"], "4037-11.23"),
    ([*CORE_OPEN, "P PQ 1", "S PA 1"], "4037-11.23"),
    ([*CORE_BASE, "P PQ 1", "S PA"], "4037-11.23"),
    ([*CORE_BASE, "P PQ 1", "S PA 1"], "4037-11.23"),
    ([*CORE_BASE, "P PQ 1", "S PA 1|Org-Data: 11"], "4037-11.23"),
    ([*CORE_BASE, "P AME 1", "P PQ 1", "S PA 1|Org-Data: 10"], "4037-11.23"),
    ([*CORE_BASE, "P PQ", "S PA 1"], "4037-11.23"),
    ([*CORE_OPEN, "S AA true"], "4037-11.21"),
    ([*CORE_BASE, "P DUM 1 10|Kept: 0 11|AM-Part: response-body||1:x"], "wire-7"),
    ([*CORE_BASE, "S DWM 1|Size-Request: 5"], "wire-7"),
    ([*CORE_BASE, "S PR 1|Org-data: 5"], "wire-7"),
    ([*CORE_BASE, "S PR 4"], "4037-10.2"),
    ([*CORE_BASE, "S CE", "S CE"], "4037-11.2"),
]


def wire(text: str) -> bytes:
    """A line of a script: | stands for CRLF, || goes before a payload."""
    head, mark, payload = text.partition("||")
    depth, named = 0, False
    for c in head:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(c, 0)
        named |= c == "|" and depth == 0
    out = head + ("|" if named else "") + ("|" + payload + "|" if mark else "")
    return (out.replace("|", "\r\n") + ";\r\n").encode()


def play(script: list[str], dialect: str) -> tuple[str, int]:
    """Both sides' watches over a script: the rule that was broken and at which line."""
    watches = {"P": Watch("P", dialect), "S": Watch("S", dialect)}
    for i, line in enumerate(script):
        for side, watch in watches.items():
            m = bind(decode(wire(line[2:]))[0], dialect)
            if line[0] == side:
                watch.sent(m)
                continue
            try:
                watch.received(m)
            except RuleBroken as e:
                return e.rule, i
    return "", -1


class Rules(unittest.TestCase):
    """See the module's text."""

    def test_draft(self) -> None:
        for script, rule in DRAFT_SCRIPTS:
            self.assertEqual(play(script, DRAFT), (rule, len(script) - 1), script)

    def test_core(self) -> None:
        for script, rule in CORE_SCRIPTS:
            self.assertEqual(play(script, CORE), (rule, len(script) - 1), script)

    def test_nothing_broken(self) -> None:
        good = [
            (DRAFT, [*DRAFT_ADAPTED, "S data-as-is 1 2 2 5 1 0", "S data-ack 1 1 0 5|wont-forward: true", "S data-end 1 2",
                     "S xaction-end 1", "P data-have 1 1 10||1:x", "P xaction-end 1", "P connection-end"]),
            (DRAFT, [*DRAFT_BASE, "P are-you-there 7|xid: 1|am-id: 1", "S i-am-here|rid: 7|xid: 1|am-id: 1", "S i-am-here",
                     "S data-pause 1 1", "P data-paused 1 1", "S data-need 1 1 10", "P data-have 1 1 10||1:x"]),
            (CORE, [*CORE_ADAPTED, "S DUY 1 5 5", "S DPI 1 5 5", "S DWSS 1", "S DWSR 1 0", "P DSS 1", "S AME 1 {206}", "S TE 1",
                    "P AME 1 {206}", "P TE 1", "P CE"]),
            (CORE, [*CORE_BASE, "P PQ 1", "S PA 1|Org-Data: 10", "P AME 1", "P PQ 1", "S PA 1", "P TE 1", "S AMS 1",
                    "S DUM 1 0|AM-Part: response-header||2:ab", "S AME 1", "S TE 1"]),
        ]
        for dialect, script in good:
            self.assertEqual(play(script, dialect), ("", -1), script)


if __name__ == "__main__":
    unittest.main()
