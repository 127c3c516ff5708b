-- SPDX-License-Identifier: BSD-3-Clause
-- A stand-in for the `pktgen` module, so that scenarios run to their end without Pktgen: the published functions with
-- their numbers and kinds of arguments, two simulated ports, a virtual clock, and an appliance in between that behaves
-- as STUB_DUT says. Stricter than Pktgen: an unknown function, option or kind of argument is an error.
--
--   STUB_DUT=MODEL STUB_PCAP=PORT:FILE lua5.4 lib/stub.lua scripts/NAME.lua
--
-- Functions and arguments are those of Pktgen-DPDK 26.02.4. ping6 and bonding, which some builds lack, are left out.
local MODELS = {
	pass = {},                          -- everything crosses
	limited = { pps = 10e6, bps = 40e9 }, -- as a slower box: everything up to a rate
	lossy = { loss = 0.01 },            -- one in a hundred is lost
	dead = { loss = 1 },                -- nothing crosses
	strip = { strip_tags = true },      -- VLAN tags are lost
	slow = { latency_ns = 5e6 },        -- everything crosses late
	collateral = { probe_loss = 0.2 },  -- others suffer while a flood runs
	tiring = { loss_growth = 1e-5 },    -- loses more every second
	shorten = { cut_octets = 1 },       -- frames arrive shorter
}
local LINE_BPS = 100e9
local MODES = { single = true, seq = true, range = true, pcap = true }

local dut = MODELS[os.getenv("STUB_DUT") or "pass"] or error("no such STUB_DUT")
local now = 0 -- seconds
local ports, count_calls = {}, {}

local function new_port()
	return { rate = 100, size = 64, count = 0, mode = "single", sending = false, sent_run = 0, seq = {}, seq_cnt = 0,
		range_size = 64, tags = 0, latency = false,
		ipackets = 0, opackets = 0, ibytes = 0, obytes = 0, imissed = 0 }
end
ports[0], ports[1] = new_port(), new_port()

local captures = {}
for port, path in (os.getenv("STUB_PCAP") or ""):gmatch("(%d+):([^;]+)") do
	local file = assert(io.open(path, "rb"))
	local data, at, n, octets = file:read("a"), 25, 0, 0
	file:close()
	assert(#data > 24 and ("<I4"):unpack(data) == 0xa1b2c3d4, path .. " is no classic capture file")
	while at <= #data do
		local captured = ("<I4"):unpack(data, at + 8)
		n, octets, at = n + 1, octets + captured, at + 16 + captured
	end
	captures[tonumber(port)] = { packets = n, size = octets / n + 4 }
end

-- Kinds of arguments: each returns what it found wrong, nil if nothing.
local kinds = {}
local function one_of(words)
	local set = {}
	for w in words:gmatch("%S+") do
		set[w] = true
	end
	return function(v)
		return not set[v] and ("one of: " .. words) or nil
	end
end
local function matching(pattern, what)
	return function(v)
		return (type(v) ~= "string" or not v:find(pattern)) and what or nil
	end
end
kinds.P = function(v)
	if type(v) ~= "string" then
		return "a port list (a string)"
	end
	for p in v:gmatch("[^,]+") do
		if not ports[tonumber(p)] then
			return "a list of ports 0 and 1"
		end
	end
end
kinds.i = function(v) return math.type(v) ~= "integer" and "an integer" or nil end
kinds.n = function(v) return type(v) ~= "number" and "a number" or nil end
kinds.s = function(v) return type(v) ~= "string" and "a string" or nil end
kinds.t = function(v) return type(v) ~= "table" and "a table" or nil end
kinds.b = one_of("on off enable disable start stop")
kinds.r = one_of("start min minimum max maximum inc increment")
kinds.d = one_of("src dst")
kinds.y = one_of("ipv4 ipv6 arp")
kinds.p = one_of("tcp udp icmp")
kinds.q = one_of("tcp udp")
kinds.o = one_of("count size rate burst txburst rxburst cycles sport dport ttl seq_cnt seqCnt prime dump")
kinds.l = one_of("on off enable disable rate entropy")
kinds.a = one_of("simple poisson")
kinds.m = matching("^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$", "a MAC address")
kinds.I = matching("^%d+%.%d+%.%d+%.%d+$", "an IPv4 address")
kinds.N = matching("^%d+%.%d+%.%d+%.%d+/?%d*$", "an IPv4 address, with prefix length for src")
kinds.f = function(v)
	if type(v) ~= "string" then
		return "TCP flags"
	end
	for flag in v:gmatch("[^,]+") do
		if not ("rs0 rs1 rs2 rs3 cwr ece urg ack psh rst syn fin clr"):find(flag, 1, true) then
			return "TCP flags (syn,ack,...)"
		end
	end
end

-- Name to kinds. "?" before the optional ones.
local top = {
	quit = "", set = "Pon", start = "P", stop = "P", set_mac = "Pdm", set_ipaddr = "PdN", mac_from_arp = "b",
	set_proto = "Pp", set_type = "Py", set_tcp_flags = "Pf", ping4 = "P", pcap = "Pb", icmp_echo = "Pb", send_arp = "Ps",
	seq = "iPmmINiiypii?i", seqTable = "iPt", seq_tcp_flags = "iPf", screen = "b", prime = "P", delay = "i", pause = "si",
	sleep = "i", load = "s", save = "s", clear = "P", clr = "", cls = "", update = "", reset = "P", port_restart = "P",
	portCount = "", totalPorts = "", vlan = "Pb", vlanid = "Pi", cos = "Pis", tos = "Pi", vxlan = "Pb", vxlan_id = "Piii",
	mpls = "Pb", qinq = "Pb", gre = "Pb", gre_eth = "Pb", rnd_s_ip = "Pb", rnd_s_pt = "Pb", set_range = "Pb",
	ports_per_page = "i", page = "s", port = "i", process = "Pb", capture = "Pb", blink = "Pb", help = "",
	["Lua.help"] = "", isSending = "P", linkState = "P", portStats = "P", portInfo = "P", run = "sss", continue = "s",
	input = "s", pattern = "Ps", userPattern = "Ps", latency = "Pl?i", jitter = "Pi", gtpu_teid = "Pri", rnd = "Piis",
	rnd_list = "?P", latsampler_params = "Paiis", latsampler = "Pb", clock_gettime = "b",
}
local range = {
	dst_mac = "Prm", src_mac = "Prm", set_type = "Py", src_ip = "PrI", dst_ip = "PrI", ip_proto = "Pq", src_port = "Pri",
	dst_port = "Pri", ttl = "Pri", hop_limits = "Pri", vlan_id = "Pri", mpls_entry = "Ps", qinqids = "Pii", gre_key = "Pi",
	pkt_size = "Pri", cos = "Pri", tos = "Pri", traffic_class = "Pri",
}

local function each(list, f)
	for p in list:gmatch("[^,]+") do
		f(ports[tonumber(p)], tonumber(p))
	end
end

local function collect(list, f)
	local out, n = {}, 0
	each(list, function(port, id)
		out[id], n = f(port, id), n + 1
	end)
	out.n = n
	return out
end

local function frame_size(port, id)
	if port.mode == "pcap" then
		return captures[id].size
	elseif port.mode == "range" then
		return port.range_size
	elseif port.mode == "seq" then
		local sum = 0
		for i = 0, port.seq_cnt - 1 do
			sum = sum + (port.seq[i] or error("sequence " .. i .. " was not set", 0)).pktSize
		end
		return sum / port.seq_cnt
	end
	return port.size + 4 * port.tags
end

-- n frames of port id reach the appliance, in dt seconds.
local function cross(port, id, n, size, dt)
	local far, pass = ports[1 - id], 1 - (dut.loss or 0)
	local others = ports[1 - id].sending and ports[1 - id].rate > 1
	if dut.pps then
		pass = math.min(pass, dut.pps * dt / n, dut.bps * dt / (8 * (size + 20) * n))
	end
	if others and dut.probe_loss then
		pass = pass - dut.probe_loss
	end
	pass = math.max(0, pass - (dut.loss_growth or 0) * now)
	local arrived = math.floor(n * pass)
	far.ipackets = far.ipackets + arrived
	far.ibytes = far.ibytes + math.floor(arrived * (size - 4 - (dut.cut_octets or 0)
		- (dut.strip_tags and port.mode == "single" and 4 * port.tags or 0)))
	if far.sampling and port.latency then
		local p = far.sampling
		p.taken = math.min(p.wanted, p.taken + math.floor(dt * p.rate * pass))
	end
end

local function advance(seconds)
	now = now + seconds
	for id = 0, 1 do
		local port = ports[id]
		if port.sending then
			local size = frame_size(port, id)
			local pps = LINE_BPS * port.rate / 100 / (8 * (size + 20))
			local n = math.floor(pps * seconds)
			if port.count > 0 then
				n = math.min(n, port.count - port.sent_run)
			end
			if n > 0 then
				port.sent_run = port.sent_run + n
				port.opackets = port.opackets + n
				port.obytes = port.obytes + math.floor(n * (size - 4))
				cross(port, id, n, size, n / pps)
			end
		end
	end
end

local does = {}
function does.delay(ms) advance(ms / 1000) end
function does.sleep(s) advance(s) end
function does.pause(_, ms) advance(ms / 1000) end
function does.start(list)
	each(list, function(port)
		port.sending, port.sent_run = true, 0
	end)
end
function does.stop(list) each(list, function(port) port.sending = false end) end
function does.set(list, what, value)
	assert(what ~= "rate" or (value > 0 and value <= 100), "rate is a percentage above 0")
	assert(what ~= "size" or (value >= 64 and value <= 1518), "size is 64 to 1518")
	assert(what ~= "seq_cnt" or (value >= 0 and value <= 16), "a sequence has at most 16 frames")
	each(list, function(port)
		if what == "seq_cnt" or what == "seqCnt" then
			port.seq_cnt, port.mode = value, value > 0 and "seq" or "single"
		else
			port[what] = value
		end
	end)
end
function does.seqTable(i, list, t)
	assert(i >= 0 and i < 16, "a sequence has at most 16 frames")
	local fields = { eth_dst_addr = "m", eth_src_addr = "m", ip_dst_addr = "I", ip_src_addr = "N",
		sport = "i", dport = "i", ethType = "y", ipProto = "p", vlanid = "i", pktSize = "i", cos = "i", tos = "i",
		tcp_flags = "f", gtpu_teid = "i" }
	for key, kind in pairs(fields) do
		local wrong = kinds[kind](t[key])
		assert(not wrong, wrong and ("seqTable: %s must be %s"):format(key, wrong))
	end
	for key in pairs(t) do
		assert(fields[key], "seqTable: unknown key " .. tostring(key))
	end
	each(list, function(port) port.seq[i] = t end)
end
function does.set_range(list, state)
	each(list, function(port)
		assert(not port.sending, "a range cannot be set up while its port sends")
		port.mode = state == "on" and "range" or "single"
	end)
end
function does.pcap(list, state)
	each(list, function(port, id)
		assert(captures[id], "port " .. id .. " has no capture file (-s)")
		port.mode = state == "on" and "pcap" or "single"
	end)
end
function does.vlan(list, state)
	each(list, function(port) port.tags, port.mode = state == "on" and 1 or 0, "single" end)
end
function does.qinq(list, state)
	each(list, function(port) port.tags, port.mode = state == "on" and 2 or 0, "single" end)
end
function does.reset(list) each(list, function(_, id) ports[id] = new_port() end) end
function does.clr()
	each("0,1", function(port) port.ipackets, port.opackets, port.ibytes, port.obytes = 0, 0, 0, 0 end)
end
does.clear = does.clr
function does.load(path)
	for line in assert(io.open(path)):lines() do
		assert(line:find("^range [%d,]+ tcp flags %l+$") or line == "", "command unknown to the stub: " .. line)
	end
end
function does.latency(list, what)
	each(list, function(port) port.latency = what == "on" or what == "enable" end)
end
function does.latsampler_params(list, _, wanted, rate, path)
	assert(wanted <= 50108, "at most 50108 samples")
	each(list, function(port) port.sampler = { wanted = wanted, rate = rate, path = path, taken = 0 } end)
end
function does.latsampler(list, state)
	each(list, function(port)
		if state == "on" then
			port.sampling = assert(port.sampler, "latsampler before latsampler_params")
			return
		end
		local p, file = port.sampling, assert(io.open(port.sampling.path, "w"))
		file:write("Latency\n")
		for i = 1, p.taken do
			file:write(("%d\n"):format((dut.latency_ns or 4000) + i % 1000))
		end
		file:close()
		port.sampling = nil
	end)
end
function does.isSending(list) return collect(list, function(port) return port.sending and "y" or "n" end) end
function does.linkState(list)
	return collect(list, function() return now < 1 and "<--Down-->" or "<UP-100000-FD>" end)
end
function does.portCount() return 2 end
does.totalPorts = does.portCount
function does.portStats(list)
	return collect(list, function(port)
		return { curr = { ipackets = port.ipackets, opackets = port.opackets, ibytes = port.ibytes, obytes = port.obytes,
			ierrors = 0, oerrors = 0, rx_nombuf = 0, imissed = port.imissed }, sizes = {}, qstats = {} }
	end)
end
local range_does = {}
function range_does.pkt_size(list, what, size)
	assert((what == "inc" or what == "increment") or (size >= 64 and size <= 1518), "size is 64 to 1518")
	if what == "start" then
		each(list, function(port) port.range_size = size end)
	end
end
function range_does.src_port(_, _, value) assert(value >= 0 and value <= 65535, "a port is 0 to 65535") end
range_does.dst_port = range_does.src_port

-- A function that checks its arguments, then does what is simulated (most do nothing).
local function checked(name, spec, action)
	local needed, wanted = nil, {}
	for c in spec:gmatch(".") do
		if c == "?" then
			needed = #wanted
		else
			wanted[#wanted + 1] = kinds[c] or error("stub: kind " .. c)
		end
	end
	needed = needed or #wanted
	return function(...)
		local n = select("#", ...)
		if n < needed or n > #wanted then
			error(("pktgen.%s takes %d arguments, %d given"):format(name, needed, n), 2)
		end
		for i = 1, n do
			local wrong = wanted[i]((select(i, ...)))
			if wrong then
				error(("pktgen.%s: argument %d must be %s, not %s"):format(name, i, wrong, tostring((select(i, ...)))), 2)
			end
		end
		count_calls[name] = (count_calls[name] or 0) + 1
		if action then
			return action(...)
		end
	end
end

local strict = { __index = function(_, key)
	error("pktgen has no function " .. tostring(key), 2)
end }
local fake, fake_range = {}, {}
for name, spec in pairs(top) do
	fake[name] = checked(name, spec, does[name])
end
for name, spec in pairs(range) do
	fake_range[name] = checked("range." .. name, spec, range_does[name])
end
for name in pairs(does) do
	assert(top[name], "stub: " .. name .. " is simulated but not listed")
end
fake.range = setmetatable(fake_range, strict)
fake.info = { Pktgen_Version = "stub of 26.02.4" }
pktgen = setmetatable(fake, strict) -- luacheck: ignore

local script = arg and arg[1]
if not script then
	io.stderr:write("usage: lua5.4 lib/stub.lua SCRIPT\n")
	os.exit(2)
end
-- A scenario may define no global.
setmetatable(_G, { __newindex = function(_, key)
	error("global " .. tostring(key) .. " is set", 2)
end })
dofile(script)
assert(count_calls.start and count_calls.portStats, script .. " never started a port")
for id = 0, 1 do
	assert(not ports[id].sending, script .. " left port " .. id .. " sending")
end
assert(MODES[ports[0].mode])
