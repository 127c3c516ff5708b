-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        IPv4 and IPv6 fragments of TCP and UDP: first, middle, last, tiny, overlapping, beside a thin
--                 stream the other way
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/fragment_flood.json, dut: one rule that takes up TCP port 80
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: whole datagrams and all of UDP cross, tiny, overlapping and incomplete TCP does not; the thin stream loses
--                 nothing
-- Knobs:          RATE (10 percent) TRIAL_S (10) PROBE_RATE (0.1 percent); capture file pcap/fragment_flood.pcap;
--                 and of every scenario SEND RECV MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("fragment_flood", function(s)
	s:replay()
	s:probe()
	local r = s:trial({ rate = s:knob("RATE", 10), ms = 1000 * s:knob("TRIAL_S", 10) })
	s:figure("loss_ratio", r.loss_ratio)
	s:figure("probe_loss_ratio", r.probe_loss_ratio)
end)
