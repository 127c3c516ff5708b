-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        frames without tag, with one VLAN tag and with two (802.1ad)
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/vlan_qinq.json, dut: no rules
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: every frame arrives with all its octets, so the tags too
-- Knobs:          RATE (10 percent) TRIAL_S (10) VLAN (100) OUTER (200) SIZE (128); and of every scenario SEND
--                 RECV MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("vlan_qinq", function(s)
	local worst, low, high = 0, math.huge, 0
	local function trial(label)
		local r = s:trial({ rate = s:knob("RATE", 10), ms = 1000 * s:knob("TRIAL_S", 10), label = label })
		worst = math.max(worst, r.loss_ratio)
		low, high = math.min(low, r.octet_ratio), math.max(high, r.octet_ratio)
	end
	s:frame(s.send, { size = s:knob("SIZE", 128), dst_mac = s.mac_recv })
	trial("untagged")
	pktgen.vlanid(s.send, s:knob("VLAN", 100))
	pktgen.vlan(s.send, "on")
	trial("one tag")
	pktgen.vlan(s.send, "off")
	pktgen.qinq(s.send, "on")
	pktgen.range.qinqids(s.send, s:knob("OUTER", 200), s:knob("VLAN", 100))
	trial("two tags")
	pktgen.qinq(s.send, "off")
	s:figure("loss_ratio", worst)
	s:figure("octet_ratio_lowest", low)
	s:figure("octet_ratio_highest", high)
end)
