-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        flows that begin and end at once: SYN, then RST of the same connection, over and over
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/flow_churn.json, dut: one rule that takes up TCP port 80
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: every frame crosses; the counters show flows created and reset, none left
-- Knobs:          RATE (5 percent) TRIAL_S (10); capture file pcap/flow_churn.pcap, one transmit queue (the order
--                 matters); and of every scenario SEND RECV MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("flow_churn", function(s)
	s:replay()
	local r = s:trial({ rate = s:knob("RATE", 5), ms = 1000 * s:knob("TRIAL_S", 10) })
	s:figure("loss_ratio", r.loss_ratio)
end)
