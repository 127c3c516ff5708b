-- SPDX-License-Identifier: BSD-3-Clause
-- Purpose:        latency of frames that no rule selects at set loads, from Pktgen's own time stamps
-- Topology:       Pktgen port 0 - appliance inside, appliance outside - Pktgen port 1
-- DUT config:     expect/bypass_latency.json, dut: no rules, idle-backoff off
-- Pktgen version: 26.02 or later (made for the functions of 26.02.4)
-- Pass criterion: enough samples arrive, nothing is lost, and median and 99th percentile are below the
--                 expectation's
-- Knobs:          RATES (10,50 percent) TRIAL_S (10) SAMPLES (20000) SAMPLE_RATE (5000 a second) SIZE (128); and
--                 of every scenario SEND RECV MAC_SEND MAC_RECV RESULTS
local root = os.getenv("OPES_SCENARIOS") or "."
package.path = root .. "/lib/?.lua;" .. package.path
local opes = require("opes")

opes.run("bypass_latency", function(s)
	local wanted, path = s:knob("SAMPLES", 20000), os.tmpname()
	local worst = { p50 = 0, p99 = 0, p999 = 0, loss = 0, fewest = wanted }
	s:frame(s.send, { size = s:knob("SIZE", 128), dst_mac = s.mac_recv })
	pktgen.latency(s.both, "on")
	for rate in s:knob("RATES", "10,50"):gmatch("[^,]+") do
		pktgen.latsampler_params(s.recv, "simple", wanted, s:knob("SAMPLE_RATE", 5000), path)
		pktgen.latsampler(s.recv, "on")
		local r = s:trial({ rate = assert(tonumber(rate), "RATES: " .. rate), ms = 1000 * s:knob("TRIAL_S", 10),
			label = "latency" })
		pktgen.latsampler(s.recv, "off")
		local samples = opes.read_samples(path)
		worst.fewest = math.min(worst.fewest, #samples)
		worst.loss = math.max(worst.loss, r.loss_ratio)
		for name, q in pairs({ p50 = 0.5, p99 = 0.99, p999 = 0.999 }) do
			local us = opes.quantile(samples, q) or 0
			s:figure(("%s_us_at_%s_percent"):format(name, rate), us)
			worst[name] = math.max(worst[name], us)
		end
	end
	pktgen.latency(s.both, "off")
	os.remove(path)
	s:figure("p50_us", worst.p50)
	s:figure("p99_us", worst.p99)
	s:figure("p999_us", worst.p999)
	s:figure("loss_ratio", worst.loss)
	s:figure("samples_ratio", worst.fewest / wanted)
end)
