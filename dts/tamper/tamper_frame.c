/* SPDX-License-Identifier: BSD-3-Clause */
#include "tamper/tamper_frame.h"

#define PROTO_TCP 6

struct layers {
	uint32_t ip, tcp, payload, end; /* tcp 0: none that can be told apart */
};

static uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static void layers_tcp(const uint8_t *f, uint32_t at, struct layers *l)
{
	if (at + 20 > l->end || (f[at + 12] >> 4) < 5 || at + 4u * (f[at + 12] >> 4) > l->end)
		return;
	l->tcp = at;
	l->payload = at + 4u * (f[at + 12] >> 4);
}

static bool layers_ip4(const uint8_t *f, uint32_t len, struct layers *l)
{
	uint32_t ip = l->ip, header = 4 * (f[ip] & 15u);

	if (ip + 20 > len || header < 20 || ip + header > len || be16(f + ip + 2) < header)
		return false;
	l->end = ip + be16(f + ip + 2) < len ? ip + be16(f + ip + 2) : len;
	l->payload = ip + header;
	if (f[ip + 9] == PROTO_TCP && !(be16(f + ip + 6) & 0x1fff))
		layers_tcp(f, ip + header, l);
	return true;
}

/* Hop-by-hop (0), routing (43) and destination options (60) are stepped over; behind a fragment header is no TCP here. */
static bool layers_ip6(const uint8_t *f, uint32_t len, struct layers *l)
{
	uint32_t ip = l->ip, at = ip + 40;
	uint8_t next;

	if (at > len)
		return false;
	l->end = at + be16(f + ip + 4) < len ? at + be16(f + ip + 4) : len;
	for (next = f[ip + 6]; (next == 0 || next == 43 || next == 60) && at + 8 <= l->end; at += 8 + 8u * f[at + 1])
		next = f[at];
	l->payload = at < l->end ? at : l->end;
	if (next == PROTO_TCP)
		layers_tcp(f, at, l);
	return true;
}

static bool layers_of(const uint8_t *f, uint32_t len, struct layers *l)
{
	uint32_t at = 12;

	*l = (struct layers){0};
	while (at + 2 <= len && (be16(f + at) == 0x8100 || be16(f + at) == 0x88a8))
		at += 4;
	l->ip = at + 2;
	if (l->ip >= len)
		return false;
	if (be16(f + at) == 0x0800)
		return layers_ip4(f, len, l);
	return be16(f + at) == 0x86dd && layers_ip6(f, len, l);
}

bool tamper_frame_span(const uint8_t *f, uint32_t len, uint32_t place, uint64_t random, uint32_t *from, uint32_t *to)
{
	struct layers l;

	if (place >= TAMPER_ETHERNET) {
		*from = place == TAMPER_ETHERNET ? 0 : place - TAMPER_OCTET;
		*to = place == TAMPER_ETHERNET ? 14 : *from + 1;
		return *to <= len;
	}
	if (!layers_of(f, len, &l))
		return false;
	if (place == TAMPER_MIXED) {
		place = TAMPER_IP + (uint32_t)(random % 3);
		if (place == TAMPER_PAYLOAD && l.payload >= l.end)
			place = TAMPER_TCP;
		if (place == TAMPER_TCP && !l.tcp)
			place = TAMPER_IP;
	}
	*from = place == TAMPER_TCP ? l.tcp : place == TAMPER_PAYLOAD ? l.payload : l.ip;
	*to = place == TAMPER_ANY || place == TAMPER_PAYLOAD ? l.end : place == TAMPER_TCP || !l.tcp ? l.payload : l.tcp;
	return (place < TAMPER_TCP || l.tcp) && *from < *to;
}
