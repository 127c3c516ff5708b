-- SPDX-License-Identifier: BSD-3-Clause
--
-- Wireshark dissector for OCP, the OPES callout protocol, in both dialects: the draft's (draft-rousskov-opes-ocp) and
-- the core's (RFC 4037 with the HTTP profile of RFC 4236). TCP port 4037 (preference ocp.ports), any other port by the
-- first message, or by "Decode As".
--
-- Installed into the plugin folder; elsewhere: wireshark -X lua_script:opes_ocp.lua
-- Every message is an "ocp" item of its own with ocp.message, and every parameter a field: ocp.xid, ocp.offset ...
-- Malformed messages have the expert info ocp.malformed, ends with a failure ocp.failure.

local ocp = Proto("ocp", "OPES Callout Protocol")

-- --- fields ---------------------------------------------------------------------------------------

local F = ProtoField
local fields = {
	dialect = F.string("ocp.dialect", "Dialect"),
	message = F.string("ocp.message", "Message"),
	length = F.uint32("ocp.length", "Length", base.DEC, nil, nil, "Octets of the message, payload included"),
	xid = F.uint32("ocp.xid", "Transaction (xid)"),
	am_id = F.uint32("ocp.am_id", "Application message (am-id)"),
	rid = F.uint32("ocp.rid", "Request (rid)"),
	offset = F.uint64("ocp.offset", "Offset", base.DEC, nil, nil, "Of the data in its application message"),
	size = F.uint32("ocp.size", "Size"),
	copy_am_id = F.uint32("ocp.copy_am_id", "Copy of message (copy-am-id)"),
	copy_am_offset = F.uint64("ocp.copy_am_offset", "Copy from offset", base.DEC, nil, nil,
		"copy-am-offset of data-as-is, org-offset of DUY"),
	size_request = F.uint32("ocp.size_request", "Size wanted"),
	sizep = F.uint64("ocp.sizep", "Size prediction"),
	modp = F.uint32("ocp.modp", "Modification prediction (%)"),
	meta_data = F.string("ocp.meta_data", "Meta-data"),
	client = F.string("ocp.client", "Client"),
	priority = F.int32("ocp.priority", "Priority"),
	service = F.string("ocp.service", "Service"),
	feature = F.string("ocp.feature", "Feature"),
	members = F.string("ocp.members", "Further members", base.UNICODE, "Of a service or a feature, as on the wire"),
	result = F.uint32("ocp.result", "Result"),
	reason = F.string("ocp.reason", "Reason"),
	am_part = F.string("ocp.am_part", "Part (am-part)"),
	error = F.bool("ocp.error", "Error"),
	modified = F.bool("ocp.modified", "Modified"),
	copied = F.bool("ocp.copied", "Copied"),
	ack = F.bool("ocp.ack", "Acknowledgement wanted"),
	wont_forward = F.bool("ocp.wont_forward", "Will not be forwarded"),
	sg = F.uint32("ocp.sg", "Service group (sg-id)"),
	rejects = F.string("ocp.rejects", "Rejected feature"),
	unknowns = F.string("ocp.unknowns", "Unknown feature"),
	offer_pending = F.bool("ocp.offer_pending", "Offer pending"),
	answer = F.bool("ocp.answer", "Answer"),
	as_is = F.uint32("ocp.as_is", "As is from offset"),
	kept_offset = F.uint32("ocp.kept.offset", "Kept from offset"),
	kept_size = F.uint32("ocp.kept.size", "Kept octets"),
	am_el = F.uint32("ocp.am_el", "Entity length (AM-EL)"),
	org_data = F.uint32("ocp.org_data", "Octets of the original so far"),
	parameter = F.string("ocp.parameter", "Unknown parameter"),
	payload_size = F.uint32("ocp.payload_size", "Payload size"),
	payload = F.bytes("ocp.payload", "Payload"),
}
for _, f in pairs(fields) do
	table.insert(ocp.fields, f)
end

local experts = {
	malformed = ProtoExpert.new("ocp.malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
	unknown = ProtoExpert.new("ocp.unknown", "Unknown message or parameter", expert.group.UNDECODED, expert.severity.NOTE),
	failure = ProtoExpert.new("ocp.failure", "Failure", expert.group.RESPONSE_CODE, expert.severity.WARN),
	cut = ProtoExpert.new("ocp.cut", "The message goes on in octets that are not here", expert.group.REASSEMBLE,
		expert.severity.NOTE),
}
for _, e in pairs(experts) do
	table.insert(ocp.experts, e)
end

ocp.prefs.ports = Pref.range("TCP ports", "4037", "TCP ports of callout servers", 65535)

-- --- what each message has ------------------------------------------------------------------------

-- A parameter is {field, type}; types are the functions of `show` below.
local U31, U63, I32, PERCENT, TEXT, FLAG, BOOLEAN = "u31", "u63", "i32", "percent", "text", "flag", "boolean"
local OFFSET31 = "offset31" -- as U31, in a field of 64 bits
local URI, URIS, RESULT, PART, KEPT = "uri", "uris", "result", "part", "kept"

local xid, am, off = {"xid", U31}, {"am_id", U31}, {"offset", U63}
local offset31, size = {"offset", OFFSET31}, {"size", U31}
local feature, result = {"feature", URI}, {"result", RESULT}

-- Named parameters are of a draft message with an am-id (<45> <47> <48>), and of ends.
local predict = {modified = {"modified", FLAG}, sizep = {"sizep", U63}, modp = {"modp", PERCENT}}
local ends = {error = {"error", FLAG}, result = result}

local function merged(...)
	local all = {}
	for _, t in ipairs({...}) do
		for k, v in pairs(t) do
			all[k] = v
		end
	end
	return all
end

local part = {"am_part", PART}
local ids = {xid = xid, ["am-id"] = {"am_id", U31}}

-- anon: positional; opt: how many of them, the last ones, may be missing; named; data: payload is required
local draft = {
	["connection-start"] = {anon = {}, named = {client = {"client", TEXT}, priority = {"priority", I32}}},
	["connection-end"] = {anon = {}, named = ends},
	["connection-priority"] = {anon = {{"priority", I32}}},
	["connection-service"] = {anon = {{"service", URI}}},
	["xaction-start"] = {anon = {xid}, named = {service = {"service", URI}}},
	["xaction-end"] = {anon = {xid}, named = ends},
	["app-message-start"] = {anon = {xid, am, {"meta_data", TEXT}}, named = predict},
	["app-message-end"] = {anon = {xid, am}, named = merged(ends, predict)},
	["data-have"] = {anon = {xid, am, off}, data = true, named = merged(predict, {copied = {"copied", FLAG},
		ack = {"ack", FLAG}, ["please-ack"] = {"ack", FLAG}, ["am-part"] = part, size = size})},
	["data-as-is"] = {anon = {xid, am, off, size, {"copy_am_id", U31}, {"copy_am_offset", U63}},
		named = merged(predict, {["am-part"] = part})},
	["data-pause"] = {anon = {xid, am}, named = predict},
	["data-paused"] = {anon = {xid, am}, named = predict},
	["data-end"] = {anon = {xid, am}, named = merged(ends, predict)},
	["data-need"] = {anon = {xid, am, off}, named = merged(predict, {["size-request"] = {"size_request", U31},
		size = {"size_request", U31}})},
	["data-ack"] = {anon = {xid, am, off, size}, named = merged(predict, {["wont-forward"] = {"wont_forward", FLAG}})},
	["i-am-here"] = {anon = {}, named = merged(predict, ids, {rid = {"rid", U31}})},
	["are-you-there"] = {anon = {{"rid", U31}}, named = merged(predict, ids)},
	["do-you-support"] = {anon = {feature}},
	["i-do-support"] = {anon = {feature}},
	["i-dont-support"] = {anon = {feature}},
	["please-use"] = {anon = {feature}},
	["i-will-use"] = {anon = {feature}},
	["i-wont-use"] = {anon = {feature}},
}

local sg, pending = {"sg", U31}, {"offer_pending", BOOLEAN}
local progress = {anon = {xid}, opt = 1, named = {["Org-Data"] = {"org_data", U31}}}

local core = {
	CS = {anon = {}},
	CE = {anon = {result}, opt = 1},
	SGC = {anon = {sg, {"service", URIS}}},
	SGD = {anon = {sg}},
	TS = {anon = {xid, sg}},
	TE = {anon = {xid, result}, opt = 1},
	AMS = {anon = {xid}, named = {Services = {"service", URIS}, ["AM-EL"] = {"am_el", U31}}},
	AME = {anon = {xid, result}, opt = 1},
	DUM = {anon = {xid, offset31}, data = true, named = {["As-is"] = {"as_is", U31}, Kept = {"kept", KEPT},
		Modp = {"modp", PERCENT}, ["AM-Part"] = part}},
	DUY = {anon = {xid, {"copy_am_offset", OFFSET31}, size}},
	DPI = {anon = {xid, offset31, size}},
	DWSR = {anon = {xid, size}},
	DWSS = {anon = {xid}},
	DSS = {anon = {xid}},
	DWP = {anon = {xid, offset31}},
	DPM = {anon = {xid}},
	DWM = {anon = {xid}, named = {["Size-request"] = {"size_request", U31}}},
	NO = {anon = {{"feature", URIS}}, named = {SG = sg, ["Offer-Pending"] = pending}},
	NR = {anon = {feature}, opt = 1, named = {SG = sg, ["Offer-Pending"] = pending, Rejects = {"rejects", URIS},
		Unknowns = {"unknowns", URIS}}},
	AQ = {anon = {feature}},
	AA = {anon = {{"answer", BOOLEAN}}},
	PQ = {anon = {xid}, opt = 1},
	PA = progress,
	PR = progress,
}

local parts = {["request-header"] = true, ["request-body"] = true, ["request-trailer"] = true,
	["response-header"] = true, ["response-body"] = true, ["response-trailer"] = true}

-- RFC 4037 spells these in several ways.
local loose = {["size-request"] = "Size-request", ["org-data"] = "Org-Data"}

local function named_of(def, name)
	local t = def.named or {}
	return t[name] or (core[def.name] and t[loose[name:lower()] or ""])
end
for _, dialect in ipairs({draft, core}) do
	for name, def in pairs(dialect) do
		if def ~= progress then
			def.name = name
		end
	end
end
core.PA = merged(progress, {name = "PA"})
core.PR = merged(progress, {name = "PR"})

-- --- grammar, RFC 4037 section 3.1 ----------------------------------------------------------------

-- Positions are of octets in the string, from 1. Errors are thrown: MORE (the octets end inside the message),
-- {need = n} (n more octets of a payload are known to come), {at, why} (malformed).
local MORE = {}
local NESTING = 32

local function bad(at, why)
	error({at = at, why = why}, 0)
end

local function octet(s, p)
	if p > #s then
		error(MORE, 0)
	end
	return s:sub(p, p)
end

local function literal(s, p, want, why)
	for i = 1, #want do
		if octet(s, p + i - 1) ~= want:sub(i, i) then
			bad(p + i - 1, why)
		end
	end
	return p + #want
end

-- A run of the pattern's octets, which must not reach the end of what is there.
local function run(s, p, pattern)
	local to = s:find("[^" .. pattern .. "]", p)
	if not to then
		error(MORE, 0)
	end
	return s:sub(p, to - 1), to
end

local function size_of(s, p)
	local digits, to = run(s, p, "0-9")
	if digits == "" or (#digits > 1 and digits:sub(1, 1) == "0") or #digits > 10 or tonumber(digits) > 2147483647 then
		bad(p, "a size of 0 to 2147483647 without leading zeros must stand here")
	end
	return tonumber(digits), literal(s, to, ":", "a colon must follow the size")
end

local value

-- Named parameters, p at the first name; ends behind the last one's CRLF.
local function named(s, p, depth, list)
	local seen = {}
	repeat
		local from = p
		local name
		name, p = run(s, p, "%w_%-")
		p = literal(s, p, ": ", "a colon and a space must follow the name of a parameter")
		if seen[name] then
			bad(from, "parameter " .. name .. " is repeated")
		end
		seen[name] = true
		local v = {name = name, from = from}
		v.value, p = value(s, p, depth)
		if name == "Kept" and depth == 0 and v.value.kind == "atom" and octet(s, p) == " " then
			-- two values of one parameter, as RFC 4037 section 11.9 declares it
			local second
			second, p = value(s, p + 1, depth)
			v.value = {kind = "struct", from = v.value.from, to = p, anon = {v.value, second}, named = {}}
		end
		list[#list + 1] = v
		p = literal(s, p, "\r\n", "CRLF must follow a named parameter")
	until not octet(s, p):match("%a")
	return p
end

local function quoted(s, p)
	local n, from = size_of(s, p + 1)
	if from + n > #s then
		error(MORE, 0)
	end
	literal(s, from + n, '"', "the quoted value does not end where its size says")
	return {kind = "atom", from = p, to = from + n + 1, text = s:sub(from, from + n - 1)}, from + n + 1
end

local function structure(s, p, depth)
	local v = {kind = "struct", from = p, anon = {}, named = {}}
	p = p + 1
	if not octet(s, p):match("[}\r]") then
		repeat
			v.anon[#v.anon + 1], p = value(s, p, depth + 1)
			local more = octet(s, p) == " "
			p = more and p + 1 or p
		until not more
	end
	v.members = p
	if octet(s, p) == "\r" then
		p = literal(s, p, "\r\n", "CRLF must stand here")
		if not octet(s, p):match("%a") then
			bad(p, "a named member must begin here")
		end
		p = named(s, p, depth + 1, v.named)
	end
	v.to = literal(s, p, "}", "the structure must end here")
	return v, v.to
end

local function list(s, p, depth)
	local v = {kind = "list", from = p, items = {}}
	p = p + 1
	if octet(s, p) ~= ")" then
		repeat
			v.items[#v.items + 1], p = value(s, p, depth + 1)
			local more = octet(s, p) == ","
			p = more and p + 1 or p
		until not more
	end
	v.to = literal(s, p, ")", "a comma or the list's end must stand here")
	return v, v.to
end

function value(s, p, depth)
	local c = octet(s, p)
	if depth > NESTING then
		bad(p, "values are nested too deep")
	elseif c == "{" then
		return structure(s, p, depth)
	elseif c == "(" then
		return list(s, p, depth)
	elseif c == '"' then
		return quoted(s, p)
	elseif not c:match("[%w_%-]") then
		bad(p, "a value must begin here")
	end
	local text, to = run(s, p, "%w_%-")
	return {kind = "atom", from = p, to = to, text = text}, to
end

-- One message; throws. payload, payload_size: of its octets.
local function message(s, p)
	local m = {from = p, anon = {}, named = {}}
	if not octet(s, p):match("%a") then
		bad(p, "a message must begin with a letter")
	end
	m.name, p = run(s, p, "%w_%-")
	while octet(s, p) == " " do
		m.anon[#m.anon + 1], p = value(s, p + 1, 0)
	end
	if octet(s, p) == "\r" then
		p = literal(s, p, "\r\n", "CRLF must stand here")
		local payload = octet(s, p):match("%d")
		if not payload then
			if not octet(s, p):match("%a") then
				bad(p, "a named parameter or a payload must begin here")
			end
			p = named(s, p, 0, m.named)
			payload = octet(s, p) == "\r"
			p = payload and literal(s, p, "\r\n", "CRLF must stand here") or p
		end
		if payload then
			m.payload_size, m.payload = size_of(s, p)
			local left = m.payload + m.payload_size + 4 - #s
			if left > 0 then
				error({need = left}, 0)
			end
			p = literal(s, m.payload + m.payload_size, "\r\n", "the payload does not end where its size says")
		end
	end
	m.to = literal(s, p, ";\r\n", "the message must end here with a semicolon and CRLF")
	return m, m.to
end

-- --- parameters -----------------------------------------------------------------------------------

-- A number of up to 63 bits; nil: it is none. A Lua number up to 2^31, else a UInt64.
local function number(v, max)
	local t = v.kind == "atom" and v.text:match("^%d+$")
	if not t or (#t > 1 and t:sub(1, 1) == "0") or #t > 19 then
		return nil
	end
	if max == U63 then
		if #t == 19 and t > "9223372036854775807" then
			return nil
		end
		local n = UInt64(0)
		for d in t:gmatch("%d") do
			n = n * UInt64(10) + UInt64(tonumber(d))
		end
		return n
	end
	local n = tonumber(t)
	return n <= max and n or nil
end

local show = {}

show[U31] = function(tree, r, f, v)
	local n = number(v, 2147483647)
	return n and tree:add(f, r(v), n)
end
show[OFFSET31] = function(tree, r, f, v)
	local n = number(v, 2147483647)
	return n and tree:add(f, r(v), UInt64(n))
end
show[U63] = function(tree, r, f, v)
	local n = number(v, U63)
	return n and tree:add(f, r(v), n)
end
show[PERCENT] = function(tree, r, f, v)
	local n = number(v, 100)
	return n and tree:add(f, r(v), n)
end
show[I32] = function(tree, r, f, v)
	local sign, digits = (v.text or ""):match("^(%-?)(%d+)$")
	local n = digits and number({kind = "atom", text = digits}, sign == "-" and 2147483648 or 2147483647)
	return n and tree:add(f, r(v), sign == "-" and -n or n)
end
show[TEXT] = function(tree, r, f, v)
	return v.kind == "atom" and tree:add(f, r(v), v.text)
end
show[FLAG] = function(tree, r, f, v)
	local yes = v.text == "true" or v.text == "1"
	return (yes or v.text == "false" or v.text == "0") and tree:add(f, r(v), yes)
end
show[BOOLEAN] = function(tree, r, f, v)
	return (v.text == "true" or v.text == "false") and tree:add(f, r(v), v.text == "true")
end
show[PART] = function(tree, r, f, v)
	return parts[v.text or ""] and tree:add(f, r(v), v.text)
end
show[URI] = function(tree, r, f, v, s)
	local first = v.kind == "struct" and v.anon[1]
	if not first or first.kind ~= "atom" then
		return nil
	end
	local item = tree:add(f, r(v), first.text)
	if v.anon[2] or v.named[1] then
		local from = first.to
		item:add(fields.members, r({from = from, to = v.to - 1}), s:sub(from, v.to - 2))
	end
	return item
end
show[URIS] = function(tree, r, f, v, s)
	if v.kind ~= "list" then
		return nil
	end
	for _, i in ipairs(v.items) do
		if not show[URI](tree, r, f, i, s) then
			return nil
		end
	end
	return true
end
show[RESULT] = function(tree, r, f, v)
	local code = v.kind == "struct" and v.anon[1] and number(v.anon[1], 2147483647)
	if not code then
		return nil
	end
	local item = tree:add(f, r(v), code)
	if v.anon[2] and v.anon[2].kind == "atom" then
		item:add(fields.reason, r(v.anon[2]), v.anon[2].text)
	end
	if code ~= 200 and code ~= 206 then
		item:add_proto_expert_info(experts.failure, "result " .. code)
	end
	return item
end
show[KEPT] = function(tree, r, _, v)
	local offset = v.kind == "struct" and v.anon[2] and number(v.anon[1], 2147483647)
	local octets = offset and number(v.anon[2], 2147483647)
	if not octets then
		return nil
	end
	tree:add(fields.kept_offset, r(v.anon[1]), offset)
	return tree:add(fields.kept_size, r(v.anon[2]), octets)
end

local function show_known(tree, range, p, name, v, s)
	local item = show[p[2]](tree, range, fields[p[1]], v, s)
	if not item then
		tree:add_proto_expert_info(experts.malformed, "parameter " .. name .. " has the wrong type or is out of range")
	elseif p[1] == "error" and v.text ~= "false" and v.text ~= "0" then
		item:add_proto_expert_info(experts.failure, "error flag")
	end
end

-- --- a message in the tree ------------------------------------------------------------------------

local function show_anonymous(tree, range, m, def, s)
	for i, v in ipairs(m.anon) do
		local p = def.anon[i]
		if p then
			show_known(tree, range, p, p[1], v, s)
		else
			tree:add(fields.parameter, range(v), s:sub(v.from, v.to - 1))
		end
	end
	if #m.anon < #def.anon - (def.opt or 0) then
		tree:add_proto_expert_info(experts.malformed, "parameter " .. def.anon[#m.anon + 1][1] .. " is missing")
	end
end

local function show_named(tree, range, m, def, s)
	for _, n in ipairs(m.named) do
		local p = named_of(def, n.name)
		if p then
			show_known(tree, range, p, n.name, n.value, s)
		else
			tree:add(fields.parameter, range({from = n.from, to = n.value.to}), s:sub(n.from, n.value.to - 1))
		end
	end
end

local function show_payload(tree, range, m, def)
	if not m.payload then
		if def.data then
			tree:add_proto_expert_info(experts.malformed, "the payload is missing")
		end
		return
	end
	local r = range({from = m.payload, to = m.payload + m.payload_size})
	tree:add(fields.payload_size, r, m.payload_size)
	if m.payload_size > 0 then
		tree:add(fields.payload, r)
	end
	for _, n in ipairs(m.named) do
		if def.data and n.name == "size" and n.value.text and n.value.text ~= tostring(m.payload_size) then
			tree:add_proto_expert_info(experts.malformed, "size differs from the payload's size")
		end
	end
end

-- "data-have 7 1 0, 5 octets"
local function summary(m, def, s)
	local words = {m.name}
	for i = 1, math.min(#m.anon, #def.anon) do
		local v = m.anon[i]
		words[#words + 1] = v.kind == "atom" and #v.text <= 20 and v.text:gsub("%c", ".") or
			s:sub(v.from, math.min(v.to - 1, v.from + 40)):gsub("%c", ".")
	end
	local text = table.concat(words, " ")
	return m.payload and text .. ", " .. m.payload_size .. " octets" or text
end

local nothing = {anon = {}, name = ""}
local seen_one -- whether the packet's info column has a message

local function show_message(m, s, tvb, pinfo, tree)
	local function range(v)
		return tvb(v.from - 1, v.to - v.from)
	end
	local def = draft[m.name] or core[m.name]
	local item = tree:add(ocp, range(m))
	if def then
		item:add(fields.dialect, range(m), draft[m.name] and "draft" or "core"):set_generated()
	end
	item:add(fields.message, tvb(m.from - 1, #m.name), m.name)
	item:add(fields.length, range(m), m.to - m.from):set_generated()
	if not def then
		item:add_proto_expert_info(experts.unknown, "unknown message " .. m.name)
		def = nothing
	end
	show_anonymous(item, range, m, def, s)
	show_named(item, range, m, def, s)
	show_payload(item, range, m, def)
	local text = summary(m, def, s)
	item:append_text(", " .. text)
	pinfo.cols.info:append((seen_one and "; " or "") .. text)
	seen_one = true
end

-- --- the stream -----------------------------------------------------------------------------------

-- The octets from `at` (from 0) on are not a whole message: ask for more; true: that is possible.
local function ask(at, need, tvb, pinfo)
	if pinfo.can_desegment == 0 or tvb:len() < tvb:reported_len() then
		return false
	end
	pinfo.desegment_offset = at
	pinfo.desegment_len = need or DESEGMENT_ONE_MORE_SEGMENT
	return true
end

local function dissect(tvb, pinfo, tree)
	local s, at = tvb:raw(), 0

	pinfo.cols.protocol = "OCP"
	pinfo.cols.info = ""
	seen_one = false
	while at < #s do
		local ok, m = pcall(message, s, at + 1)
		if ok then
			show_message(m, s, tvb, pinfo, tree)
			at = m.to - 1
		elseif m == MORE or (type(m) == "table" and m.need) then
			if not ask(at, m.need, tvb, pinfo) then
				tree:add(ocp, tvb(at)):add_proto_expert_info(experts.cut)
			end
			break
		elseif type(m) == "table" then
			local item = tree:add(ocp, tvb(at))
			item:append_text(", malformed")
			item:add_tvb_expert_info(experts.malformed, tvb(m.at - 1, 1), m.why)
			pinfo.cols.info:append((seen_one and "; " or "") .. "malformed: " .. m.why)
			break
		else
			error(m, 0)
		end
	end
	return tvb:len()
end
ocp.dissector = dissect

-- Any port: the stream begins as an OCP connection does. The other direction follows.
local function heuristic(tvb, pinfo, tree)
	local s = tvb:raw(0, math.min(tvb:len(), 20))

	if not (s:match("^connection%-start[;\r ]") or s:match("^CS;\r\n") or s:match("^CS[\r ]")) then
		return false
	end
	dissect(tvb, pinfo, tree) -- as a function: a call through the dissector may not ask for more octets
	pinfo.conversation = ocp
	return true
end
ocp:register_heuristic("tcp", heuristic)

local ports
local function use_ports()
	local tcp = DissectorTable.get("tcp.port")
	if ports then
		tcp:remove(ports, ocp)
	end
	ports = ocp.prefs.ports
	tcp:add(ports, ocp)
end
ocp.prefs_changed = use_ports
use_ports()
