-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        SYNs from ever new addresses to a port that a rule takes up, beside a thin stream the other way
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/syn_flood.json, dut: one rule that takes up TCP port 80, limits.flows 8192
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: every SYN crosses, in a flow or beyond the budget for half-open ones; the thin stream loses nothing; the flows
--                 are gone after their time
-- Knobs:          RATE (10 percent) TRIAL_S (10) PROBE_RATE (0.1 percent); and of every scenario SEND RECV
--                 MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("syn_flood", function(s)
	s:range(s.send, { proto = "tcp", flags = "syn", src_min = "10.0.0.0", src_max = "10.255.255.255",
		dst = "198.19.0.80", dport = 80 })
	s:probe()
	local r = s:trial({ rate = s:knob("RATE", 10), ms = 1000 * s:knob("TRIAL_S", 10), label = "flood" })
	s:figure("loss_ratio", r.loss_ratio)
	s:figure("probe_loss_ratio", r.probe_loss_ratio)
end)
