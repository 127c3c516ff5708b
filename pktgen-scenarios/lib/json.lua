-- SPDX-License-Identifier: BSD-3-Clause
-- JSON for the expectations and the results: objects, arrays, strings, numbers, booleans, null (read as json.null).
-- An array written here is a table with entries 1..n; an empty table is written as an object.
local json = { null = setmetatable({}, { __tostring = function() return "null" end }) }

local escapes = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function fail(text, at, what)
	local line = select(2, text:sub(1, at):gsub("\n", "\n")) + 1
	error(("JSON: line %d: %s"):format(line, what), 0)
end

local function skip(text, at)
	return text:find("[^ \t\r\n]", at) or #text + 1
end

local function read_string(text, at)
	local out, i = {}, at + 1
	while true do
		local c = text:sub(i, i)
		if c == "" then
			fail(text, at, "a string does not end")
		elseif c == '"' then
			return table.concat(out), i + 1
		elseif c == "\\" then
			local e = text:sub(i + 1, i + 1)
			if e == "u" then
				local hex = text:match("^%x%x%x%x", i + 2) or fail(text, i, "wrong \\u")
				out[#out + 1] = utf8.char(tonumber(hex, 16))
				i = i + 6
			else
				out[#out + 1] = escapes[e] or fail(text, i, "wrong escape \\" .. e)
				i = i + 2
			end
		else
			out[#out + 1] = c
			i = i + 1
		end
	end
end

local read_value

local function read_list(text, at, close, item)
	local i = skip(text, at + 1)
	if text:sub(i, i) == close then
		return i + 1
	end
	while true do
		i = skip(text, item(i))
		local c = text:sub(i, i)
		if c == close then
			return i + 1
		elseif c ~= "," then
			fail(text, i, ("',' or '%s' expected"):format(close))
		end
		i = skip(text, i + 1)
	end
end

function read_value(text, at)
	local c = text:sub(at, at)
	if c == '"' then
		return read_string(text, at)
	elseif c == "{" then
		local t = {}
		return t, read_list(text, at, "}", function(i)
			if text:sub(i, i) ~= '"' then
				fail(text, i, "a key must be a string")
			end
			local key, value
			key, i = read_string(text, i)
			i = skip(text, i)
			if text:sub(i, i) ~= ":" then
				fail(text, i, "':' expected")
			end
			value, i = read_value(text, skip(text, i + 1))
			t[key] = value
			return i
		end)
	elseif c == "[" then
		local t = {}
		return t, read_list(text, at, "]", function(i)
			t[#t + 1], i = read_value(text, i)
			return i
		end)
	end
	for word, value in pairs({ ["true"] = true, ["false"] = false, null = json.null }) do
		if text:sub(at, at + #word - 1) == word then
			return value, at + #word
		end
	end
	local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
	if not number or not tonumber(number) then
		fail(text, at, "a value expected")
	end
	return tonumber(number), at + #number
end

function json.decode(text)
	local value, at = read_value(text, skip(text, 1))
	at = skip(text, at)
	if at <= #text then
		fail(text, at, "something follows the value")
	end
	return value
end

local function write_string(s)
	return '"' .. s:gsub('[%c"\\]', function(c)
		return ("\\u%04x"):format(c:byte())
	end) .. '"'
end

function json.encode(v)
	if type(v) == "string" then
		return write_string(v)
	elseif type(v) == "number" then
		if v ~= v or v == math.huge or v == -math.huge then
			return "null"
		end
		return math.type(v) == "integer" and tostring(v) or ("%.9g"):format(v)
	elseif type(v) ~= "table" then
		return v == nil and "null" or tostring(v)
	elseif v == json.null then
		return "null"
	end
	local out = {}
	if #v > 0 then
		for i, item in ipairs(v) do
			out[i] = json.encode(item)
		end
		return "[" .. table.concat(out, ", ") .. "]"
	end
	local keys = {}
	for key in pairs(v) do
		keys[#keys + 1] = key
	end
	table.sort(keys)
	for i, key in ipairs(keys) do
		out[i] = write_string(key) .. ": " .. json.encode(v[key])
	end
	return "{" .. table.concat(out, ", ") .. "}"
end

return json
