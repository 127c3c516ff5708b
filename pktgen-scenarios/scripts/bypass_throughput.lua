-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        the highest rate without loss of frames that no rule selects, by size (RFC 2544 section 26.1)
--                 and for the IMIX of 7 x 64, 4 x 594, 1 x 1518 octets
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/bypass_throughput.json, dut: no rules
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: a rate without loss is found and confirmed for every size; the lowest of them is at least the
--                 one in the expectation
-- Knobs:          SIZES (64,128,256,512,1024,1280,1518,imix) TRIAL_S (10) CONFIRM_S (60) RESOLUTION (0.5 percent)
--                 LOSS_RATIO (0); and of every scenario SEND RECV MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

local IMIX = { 64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64 }

opes.run("bypass_throughput", function(s)
	local worst, unconfirmed = 100, 0
	for size in s:knob("SIZES", "64,128,256,512,1024,1280,1518,imix"):gmatch("[^,]+") do
		if size == "imix" then
			local list = {}
			for i, octets in ipairs(IMIX) do
				list[i] = { size = octets, sport = 20000 + i }
			end
			s:sequence(s.send, list)
		else
			pktgen.set(s.send, "seq_cnt", 0)
			s:frame(s.send, { size = assert(tonumber(size), "SIZES: " .. size), dst_mac = s.mac_recv })
		end
		local rate, confirmed = s:search(size)
		if rate then
			s:figure("rate_percent_" .. size, rate)
			s:figure("pps_" .. size, confirmed.pps)
			worst = math.min(worst, rate)
		else
			unconfirmed = unconfirmed + 1
		end
	end
	s:figure("worst_rate_percent", worst)
	s:figure("unconfirmed_sizes", unconfirmed)
end)
