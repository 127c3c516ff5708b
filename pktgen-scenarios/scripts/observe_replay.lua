-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        HTTP and opaque connections replayed from their middle, without handshake, under an observe rule
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/observe_replay.json, dut: an observe rule on TCP port 80 with a service
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: every frame crosses unchanged in number and octets; no flow is taken up and nothing is sent to
--                 the service
-- Knobs:          RATE (5 percent) TRIAL_S (10); capture file pcap/observe_replay.pcap; and of every scenario SEND
--                 RECV MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("observe_replay", function(s)
	s:replay()
	local r = s:trial({ rate = s:knob("RATE", 5), ms = 1000 * s:knob("TRIAL_S", 10) })
	s:figure("loss_ratio", r.loss_ratio)
	s:figure("octet_ratio", r.octet_ratio)
end)
