/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include "policy/policy_value.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1},
};
static const struct unit duration_units[] = {
	{"d", 86400000000}, {"h", 3600000000}, {"m", 60000000},
	{"s", 1000000},	    {"ms", 1000},      {"us", 1},
};

/* Digits at *s; *s is moved behind them. */
static bool digits(const char **s, int64_t *out)
{
	const char *p = *s;
	int64_t v = 0;

	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
			return false;
	}
	*s = p;
	*out = v;
	return true;
}

bool policy_value_integer(const char *s, int64_t *out)
{
	bool minus = *s == '-';

	if (minus)
		s++;
	if (!digits(&s, out) || *s)
		return false;
	if (minus)
		*out = -*out;
	return true;
}

static bool with_unit(const char *s, const struct unit *u, size_t n, int64_t *out)
{
	int64_t v;

	if (!digits(&s, &v))
		return false;
	while (*s == ' ')
		s++;
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(s, u[i].name))
			return !__builtin_mul_overflow(v, u[i].factor, out);
	}
	return false;
}

bool policy_value_size(const char *s, int64_t *out)
{
	return with_unit(s, size_units, sizeof(size_units) / sizeof(*size_units), out);
}

bool policy_value_duration(const char *s, int64_t *out)
{
	if (!strcmp(s, "0")) {
		*out = 0;
		return true;
	}
	return with_unit(s, duration_units, sizeof(duration_units) / sizeof(*duration_units), out);
}

bool policy_value_bool(const char *s, bool *out)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (unsigned i = 0; i < 6; i++) {
		if (!strcmp(s, words[i])) {
			*out = i & 1;
			return true;
		}
	}
	return false;
}

bool policy_value_range(const char *s, uint32_t max, struct policy_range *out)
{
	int64_t lo, hi;

	if (!digits(&s, &lo))
		return false;
	hi = lo;
	if (*s == '-') {
		s++;
		if (!digits(&s, &hi))
			return false;
	}
	if (*s || lo > hi || hi > max)
		return false;
	out->lo = (uint16_t)lo;
	out->hi = (uint16_t)hi;
	return true;
}

const char *policy_value_prefix(const char *s, struct policy_prefix *out)
{
	uint8_t addr[16] = {0}, mask[16] = {0};
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char text[INET6_ADDRSTRLEN];
	int64_t bits, width;

	if (n >= sizeof(text))
		return "is not an IP address";
	memcpy(text, s, n);
	text[n] = 0;
	out->v4 = inet_pton(AF_INET, text, addr + 12) == 1;
	if (out->v4)
		memset(addr + 10, 0xff, 2);
	else if (inet_pton(AF_INET6, text, addr) != 1)
		return "is not an IP address";
	width = out->v4 ? 32 : 128;
	bits = width;
	if (slash && (!policy_value_integer(slash + 1, &bits) || bits < 0 || bits > width))
		return out->v4 ? "has a prefix length outside 0-32"
			       : "has a prefix length outside 0-128";
	bits += 128 - width;
	out->bits = (uint32_t)bits;
	for (unsigned i = 0; i < 16; i++) {
		unsigned b = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? (unsigned)bits - 8 * i : 0;

		mask[i] = (uint8_t)(0xff00 >> b);
		if (addr[i] & ~mask[i] & 0xff)
			return "has address bits set beyond its prefix length";
	}
	memcpy(out->addr, addr, 16);
	memcpy(out->mask, mask, 16);
	return NULL;
}

const char *policy_value_address(const char *s)
{
	uint8_t addr[16];
	const char *port;
	char host[64];
	int64_t n;

	if (!strncmp(s, "unix:", 5)) {
		if (s[5] != '/')
			return "needs an absolute path after unix:";
		if (strlen(s + 5) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			return "has a path longer than a Unix socket's can be (107 octets)";
		return NULL;
	}
	if (strncmp(s, "tcp:", 4))
		return "must be tcp:ADDRESS:PORT, tcp:[IPV6]:PORT or unix:/path";
	s += 4;
	port = strrchr(s, ':');
	if (!port || !policy_value_integer(port + 1, &n) || n < 1 || n > 65535)
		return "needs a port 1-65535 after the last colon";
	n = port - s;
	if (n >= (int64_t)sizeof(host))
		return "needs an IP address, names are not resolved";
	memcpy(host, s, (size_t)n);
	host[n] = 0;
	if (inet_pton(AF_INET, host, addr) == 1)
		return NULL;
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = 0;
		if (inet_pton(AF_INET6, host + 1, addr) == 1)
			return NULL;
	}
	return "needs an IP address (IPv6 in brackets), names are not resolved";
}

static void unit_text(int64_t v, const struct unit *u, size_t n, char *out, uint32_t cap)
{
	for (size_t i = 0; i < n; i++) {
		if (v && v % u[i].factor == 0) {
			snprintf(out, cap, "%" PRId64 "%s", v / u[i].factor, u[i].name);
			return;
		}
	}
	snprintf(out, cap, "%" PRId64, v);
}

void policy_value_size_text(int64_t v, char *out, uint32_t cap)
{
	unit_text(v, size_units, 3, out, cap);
}

void policy_value_duration_text(int64_t us, char *out, uint32_t cap)
{
	unit_text(us, duration_units, 6, out, cap);
}
