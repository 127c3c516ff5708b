-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        a mixture of sizes and protocols for hours, judged interval by interval
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/soak.json, dut: one rule that takes up TCP port 80
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: no interval loses more than the expectation allows, and the last intervals lose no more than the
--                 first
-- Knobs:          RATE (20 percent) SOAK_S (14400) INTERVAL_S (60); and of every scenario SEND RECV MAC_SEND
--                 MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("soak", function(s)
	local interval, worst, first, last = s:knob("INTERVAL_S", 60), 0, nil, 0
	local list = {}
	for i, size in ipairs({ 64, 594, 64, 128, 594, 64, 1518, 256, 594, 64, 1024, 64 }) do
		local tcp = i % 2 == 0
		list[i] = { size = size, proto = tcp and "tcp" or "udp", flags = "ack", sport = 20000 + i, dport = tcp and 80 or 53 }
	end
	s:sequence(s.send, list)
	for i = 1, math.max(2, s:knob("SOAK_S", 14400) // interval) do
		local r = s:trial({ rate = s:knob("RATE", 20), ms = 1000 * interval, label = "interval " .. i })
		worst = math.max(worst, r.loss_ratio)
		first, last = first or r.loss_ratio, r.loss_ratio
	end
	s:figure("worst_loss_ratio", worst)
	s:figure("loss_ratio_growth", last - first)
end)
