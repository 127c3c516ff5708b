-- SPDX-License-Identifier: BSD-3-Clause
-- What the scenarios share: knobs, set-up of the two ports, trials, the search for the highest rate without loss, and
-- the judgement against expect/<scenario>.json. The only file that reads Pktgen's port statistics, so that a change of
-- their form is mended in one place. It sets no globals.
--
--   opes.run("name", function(s) ... s:figure("loss_ratio", x) end)
--
-- Port 0 (knob SEND) is cabled to the appliance's inside port, port 1 (knob RECV) to its outside port. Knobs are
-- environment variables OPES_<NAME>. The result is printed and written as lines of JSON, in the form of records
-- that bench/README.md describes, to OPES_RESULTS (default: <scenario>.result.json in the current directory).
local json = require("json")

local opes = { root = os.getenv("OPES_SCENARIOS") or "." }
local Scenario = {}
Scenario.__index = Scenario

local SETTLE_MS = 2100 -- Pktgen refreshes its port statistics once a second

-- A knob: number or string by the type of its default.
function opes.knob(name, default)
	local text = os.getenv("OPES_" .. name)
	if text == nil or text == "" then
		return default
	elseif type(default) ~= "number" then
		return text
	end
	return tonumber(text) or error(("OPES_%s=%s is not a number"):format(name, text), 0)
end

function Scenario:knob(name, default)
	local value = opes.knob(name, default)
	self.knobs[name] = value
	return value
end

-- Counters of a port since Pktgen started.
local function port_counters(port)
	local all = pktgen.portStats(port)
	local one = all[tonumber(port)]
	if type(one) ~= "table" or type(one.curr) ~= "table" then
		error(("portStats(%q) has no table [%s].curr: this Pktgen is not the version the scenarios are for")
			:format(port, port), 0)
	end
	return one.curr
end

local function port_diff(before, after)
	local d = {}
	for key, value in pairs(after) do
		d[key] = value - (before[key] or 0)
	end
	return d
end

local function wait_links(s)
	for _ = 1, 30 do
		local links = pktgen.linkState(s.both)
		if links[tonumber(s.send)]:find("UP") and links[tonumber(s.recv)]:find("UP") then
			return
		end
		pktgen.delay(1000)
	end
	error("the links of ports " .. s.both .. " did not come up within 30 s: cables, and is the appliance running?", 0)
end

-- One kind of frame on a port. Keys: type proto src dst sport dport size flags; the rest keeps Pktgen's defaults.
-- TCP flags come before what builds the frame: setting them alone does not.
function Scenario:frame(port, f)
	if f.flags then
		pktgen.set_tcp_flags(port, f.flags)
	end
	pktgen.set_type(port, f.type or "ipv4")
	pktgen.set_proto(port, f.proto or "udp")
	pktgen.set_mac(port, "dst", f.dst_mac)
	pktgen.set_ipaddr(port, "src", (f.src or "198.18.0.1") .. "/24")
	pktgen.set_ipaddr(port, "dst", f.dst or "198.19.0.1")
	pktgen.set(port, "sport", f.sport or 20000)
	pktgen.set(port, "dport", f.dport or 9)
	pktgen.set(port, "size", f.size or 64)
	pktgen.set(port, "count", 0)
end

-- Range mode: every frame with the next source address and port. flags: TCP flags, which Lua cannot set for ranges,
-- so that a file of one command does it.
function Scenario:range(port, r)
	pktgen.range.dst_mac(port, "start", self.mac_recv)
	pktgen.range.set_type(port, "ipv4")
	pktgen.range.ip_proto(port, r.proto)
	for what, address in pairs({ start = r.src_min, min = r.src_min, max = r.src_max, inc = "0.0.0.1" }) do
		pktgen.range.src_ip(port, what, address)
	end
	for what, address in pairs({ start = r.dst, min = r.dst, max = r.dst, inc = "0.0.0.0" }) do
		pktgen.range.dst_ip(port, what, address)
	end
	local low, high = r.sport_min or 1024, r.sport_max or 65535
	for what, value in pairs({ start = low, min = low, max = high, inc = low == high and 0 or 1 }) do
		pktgen.range.src_port(port, what, value)
	end
	for what, value in pairs({ start = r.dport, min = r.dport, max = r.dport, inc = 0 }) do
		pktgen.range.dst_port(port, what, value)
	end
	local size = r.size or 64
	for what, value in pairs({ start = size, min = size, max = size, inc = 0 }) do
		pktgen.range.pkt_size(port, what, value)
	end
	if r.flags then
		local path = os.tmpname()
		local file = assert(io.open(path, "w"))
		file:write(("range %s tcp flags %s\n"):format(port, r.flags))
		file:close()
		pktgen.load(path)
		os.remove(path)
	end
	pktgen.set_range(port, "on")
end

-- Up to 16 frames in turn, each a table: size proto flags src dst sport dport.
function Scenario:sequence(port, list)
	for i, f in ipairs(list) do
		pktgen.seqTable(i - 1, port, {
			eth_dst_addr = self.mac_recv, eth_src_addr = self.mac_send,
			ip_dst_addr = f.dst or "198.19.0.1", ip_src_addr = (f.src or "198.18.0.1") .. "/24",
			sport = f.sport or 20000, dport = f.dport or 9, ethType = "ipv4", ipProto = f.proto or "udp",
			vlanid = 1, pktSize = f.size or 64, cos = 0, tos = 0, tcp_flags = f.flags or "ack", gtpu_teid = 0,
		})
	end
	pktgen.set(port, "seq_cnt", #list)
end

-- The frames of the capture file that the configuration loaded for the sending port (-s).
function Scenario:replay()
	pktgen.pcap(self.send, "on")
end

-- A thin stream against the flood's direction, which no rule selects: what the flood does to others.
function Scenario:probe()
	self:frame(self.recv, { src = "198.19.0.9", dst = "198.18.0.9", sport = 40000, dport = 7, size = 128,
		dst_mac = self.mac_send })
	pktgen.set(self.recv, "rate", self:knob("PROBE_RATE", 0.1))
	self.probing = true
end

-- Sends for ms milliseconds at rate percent of the line; what was sent, arrived and lost, and the same of the probe.
-- count: send that many frames instead, ms is then the longest wait.
function Scenario:trial(t)
	pktgen.set(self.send, "rate", t.rate)
	pktgen.set(self.send, "count", t.count or 0)
	pktgen.delay(SETTLE_MS)
	local tx0, rx0 = port_counters(self.send), port_counters(self.recv)
	if self.probing then
		pktgen.start(self.recv)
	end
	pktgen.start(self.send)
	pktgen.delay(t.ms)
	pktgen.stop(self.send)
	if self.probing then
		pktgen.stop(self.recv)
	end
	pktgen.delay(SETTLE_MS)
	local a, b = port_diff(tx0, port_counters(self.send)), port_diff(rx0, port_counters(self.recv))
	local r = { rate = t.rate, tx = a.opackets, rx = b.ipackets, tx_octets = a.obytes, rx_octets = b.ibytes,
		pps = a.opackets * 1000 / t.ms, probe_tx = b.opackets, probe_rx = a.ipackets }
	if r.tx == 0 then
		error(("port %s sent nothing at %g %%: Pktgen is not set up for this scenario"):format(self.send, t.rate), 0)
	end
	r.lost = r.tx - r.rx
	r.loss_ratio = r.lost / r.tx
	r.octet_ratio = r.rx_octets / r.tx_octets
	if self.probing then
		if r.probe_tx == 0 then
			error("the probe sent nothing: OPES_PROBE_RATE is too small for the duration", 0)
		end
		r.probe_loss_ratio = (r.probe_tx - r.probe_rx) / r.probe_tx
	end
	self:note(("%s %8.4g %% of line: sent %d, arrived %d, lost %.6f %%"):format(t.label or "trial", t.rate, r.tx,
		r.rx, 100 * r.loss_ratio))
	self.trials[#self.trials + 1] = r
	return r
end

-- RFC 2544 section 26.1: the highest rate at which nothing is lost, by halving, then confirmed for longer. A rate that
-- does not hold is lowered by one step, five times at most. Returns the rate in percent, nil if none was confirmed.
function Scenario:search(label)
	local ms, step = 1000 * self:knob("TRIAL_S", 10), self:knob("RESOLUTION", 0.5)
	local allowed = self:knob("LOSS_RATIO", 0)
	local low, high, rate = 0, 100, 100
	while high - low > step do
		local r = self:trial({ rate = rate, ms = ms, label = label })
		if r.loss_ratio <= allowed then
			low = rate
			if rate == 100 then
				break
			end
		else
			high = rate
		end
		rate = (low + high) / 2
	end
	for _ = 1, 5 do
		if low <= 0 then
			return nil
		end
		local r = self:trial({ rate = low, ms = 1000 * self:knob("CONFIRM_S", 60), label = label .. " confirm" })
		if r.loss_ratio <= allowed then
			return low, r
		end
		low = low - step
	end
	return nil
end

function Scenario:figure(name, value)
	self.figures[name] = value
end

function Scenario:note(text)
	print(self.name .. ": " .. text)
end

-- Latencies of a sampler file, in microseconds, ascending.
function opes.read_samples(path)
	local out = {}
	for line in io.lines(path) do
		local ns = tonumber(line)
		if ns then
			out[#out + 1] = ns / 1000
		end
	end
	table.sort(out)
	return out
end

function opes.quantile(sorted, q)
	return sorted[math.max(1, math.ceil(q * #sorted))]
end

-- What does not hold, as a list of sentences.
local function judge(expect, figures)
	local wrong = {}
	for _, e in ipairs(expect.figures) do
		local v = figures[e.figure]
		if not e.runner or e.runner == "pktgen" then
			if type(v) ~= "number" then
				wrong[#wrong + 1] = e.figure .. " was not measured"
			elseif (e.min and v < e.min) or v ~= v then
				wrong[#wrong + 1] = ("%s is %.6g, at least %.6g expected"):format(e.figure, v, e.min)
			elseif e.max and v > e.max then
				wrong[#wrong + 1] = ("%s is %.6g, at most %.6g expected"):format(e.figure, v, e.max)
			end
		end
	end
	return wrong
end

local function write_result(s, wrong)
	local path = os.getenv("OPES_RESULTS") or (s.name .. ".result.json")
	local file, names = assert(io.open(path, "a")), {}
	local function record(metric, unit, better, value, trials)
		file:write(json.encode({ bench = "pktgen", name = s.name .. "/pktgen", metric = metric, unit = unit,
			better = better, samples = { value }, params = s.knobs, ok = #wrong == 0, note = table.concat(wrong, "; "),
			trials = trials, version = pktgen.info and pktgen.info.Pktgen_Version or "" }), "\n")
	end
	record("passed", "", "higher", #wrong == 0 and 1 or 0, s.trials)
	for name in pairs(s.figures) do
		names[#names + 1] = name
	end
	table.sort(names)
	for _, name in ipairs(names) do
		local word = ("_" .. name .. "_"):match("_(ratio)_") or ("_" .. name .. "_"):match("_(us)_")
			or ("_" .. name .. "_"):match("_(pps)_") or ""
		record(name, word == "pps" and "frames/s" or word, (word == "" or word == "pps") and "higher" or "lower",
			s.figures[name])
	end
	file:close()
end

-- Runs body(s) as scenario name, judges its figures and writes the result. Returns true when everything holds.
function opes.run(name, body)
	local file = assert(io.open(opes.root .. "/expect/" .. name .. ".json"))
	local expect = json.decode(file:read("a"))
	file:close()
	local s = setmetatable({ name = name, figures = {}, knobs = {}, trials = {} }, Scenario)
	s.send, s.recv = s:knob("SEND", "0"), s:knob("RECV", "1")
	s.both = s.send .. "," .. s.recv
	s.mac_send, s.mac_recv = s:knob("MAC_SEND", "02:00:00:00:0a:01"), s:knob("MAC_RECV", "02:00:00:00:0b:01")
	local wrong
	local good, text = pcall(function()
		pktgen.screen("off")
		pktgen.stop(s.both)
		pktgen.reset(s.both)
		wait_links(s)
		pktgen.clr()
		s:frame(s.send, { dst_mac = s.mac_recv })
		body(s)
	end)
	if good then
		wrong = judge(expect, s.figures)
	else
		wrong = { "ended early: " .. tostring(text) }
	end
	pcall(pktgen.stop, s.both)
	write_result(s, wrong)
	for _, sentence in ipairs(wrong) do
		s:note("FAILED: " .. sentence)
	end
	s:note(#wrong == 0 and "passed" or "failed")
	return #wrong == 0
end

return opes
