-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        fill the flow table to its limit and beyond with half-open connections, each from another
--                 address, then offer them again
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/flow_scale.json, dut: one rule that takes up TCP port 80, limits.flows 65536,
--                 limits.half-open beyond that
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: every SYN crosses, those beyond the limit too; the counters show the table full and the flows
--                 gone after their time
-- Knobs:          FLOWS (1000000) RATE (5 percent) TRIAL_S (20, longest wait); and of every scenario SEND RECV
--                 MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("flow_scale", function(s)
	local flows, worst = s:knob("FLOWS", 1000000), 0
	local last = flows - 1
	s:range(s.send, { proto = "tcp", flags = "syn", src_min = "10.16.0.0", dst = "198.19.0.80", dport = 80,
		src_max = ("10.%d.%d.%d"):format(16 + last // 65536, last // 256 % 256, last % 256),
		sport_min = 33000, sport_max = 33000 })
	for _, label in ipairs({ "new flows", "same again" }) do
		local r = s:trial({ rate = s:knob("RATE", 5), count = flows, ms = 1000 * s:knob("TRIAL_S", 20), label = label })
		worst = math.max(worst, r.loss_ratio)
		s:figure("sent_ratio", r.tx / flows)
	end
	s:figure("loss_ratio", worst)
end)
