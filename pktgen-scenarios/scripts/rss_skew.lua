-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        the same rate spread over many flows, then all in one flow: what one busy queue or worker costs
--                 the others
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/rss_skew.json, dut: one rule that takes up TCP port 80, two workers
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: nothing is lost in either case, nor of the thin stream beside it
-- Knobs:          RATE (10 percent) TRIAL_S (10) PROBE_RATE (0.1 percent); and of every scenario SEND RECV
--                 MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("rss_skew", function(s)
	local probe = 0
	s:probe()
	for _, case in ipairs({ { "even", "10.0.0.0", "10.0.255.255" }, { "skewed", "10.0.0.1", "10.0.0.1" } }) do
		local name, first, last = table.unpack(case)
		s:range(s.send, { proto = "tcp", flags = "ack", src_min = first, src_max = last, dst = "198.19.0.80", dport = 80,
			sport_min = 33000, sport_max = 33000 })
		local r = s:trial({ rate = s:knob("RATE", 10), ms = 1000 * s:knob("TRIAL_S", 10), label = name })
		s:figure(name .. "_loss_ratio", r.loss_ratio)
		probe = math.max(probe, r.probe_loss_ratio)
	end
	s:figure("probe_loss_ratio", probe)
end)
