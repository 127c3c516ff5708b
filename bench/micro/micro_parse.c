/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of a received frame, and checksums in software. */
#include <string.h>
#include <arpa/inet.h>
#include <rte_mbuf.h>
#include "parse/parse_frame.h"
#include "micro.h"

#define FRAMES 256u

enum shape { SHAPE_V4, SHAPE_V6, SHAPE_VLAN, SHAPES };

struct frame_set {
	struct rte_mbuf *m[FRAMES];
	uint32_t payload;
};

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

/* Ethernet, IP and TCP of frame i with payload octets of the pattern; ports tell the frames apart.
 */
static struct rte_mbuf *frame(enum shape shape, unsigned i, uint32_t payload)
{
	static const uint8_t ether[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	static const uint8_t vlan[] = {0x81, 0x00, 0x00, 0x64};
	uint8_t v4[] = {0x45, 0, 0,  0, 0, 1, 0x40, 0, 64, 6,
			0,    0, 10, 0, 0, 1, 10,   1, 0,  (uint8_t)i};
	uint8_t v6[40] = {[0] = 0x60, [6] = 6,	   [7] = 64,	     [8] = 0xfd,
			  [23] = 1,   [24] = 0xfd, [39] = (uint8_t)i};
	uint8_t tcp[] = {(uint8_t)(i >> 8 | 0x80),
			 (uint8_t)i,
			 0,
			 80,
			 0,
			 0,
			 0,
			 1,
			 0,
			 0,
			 0,
			 2,
			 0x50,
			 0x10,
			 4,
			 0,
			 0,
			 0,
			 0,
			 0};
	uint16_t ip_len =
		htons((uint16_t)(sizeof(tcp) + payload + (shape == SHAPE_V6 ? 0 : sizeof(v4))));
	uint8_t buf[2048], *p = put(buf, ether, sizeof(ether));
	struct rte_mbuf *m = rte_pktmbuf_alloc(micro_pool()->bufs);
	struct parse_frame f;

	if (shape == SHAPE_VLAN)
		p = put(p, vlan, sizeof(vlan));
	p = put(p, shape == SHAPE_V6 ? "\x86\xdd" : "\x08\x00", 2);
	memcpy(shape == SHAPE_V6 ? v6 + 4 : v4 + 2, &ip_len, 2);
	p = shape == SHAPE_V6 ? put(p, v6, sizeof(v6)) : put(p, v4, sizeof(v4));
	p = put(put(p, tcp, sizeof(tcp)), micro_pattern(i), payload);
	if (!m)
		return NULL;
	put((uint8_t *)rte_pktmbuf_append(m, (uint16_t)(p - buf)), buf, (size_t)(p - buf));
	if (parse_mbuf(&f, m) == PARSE_TCP)
		parse_checksum_set(&f, m);
	return m;
}

static bool frames_make(struct frame_set *s, enum shape shape, uint32_t payload)
{
	memset(s, 0, sizeof(*s));
	s->payload = payload;
	for (unsigned i = 0; i < FRAMES; i++) {
		s->m[i] = frame(shape, i, payload);
		if (!s->m[i])
			return false;
	}
	return true;
}

static void frames_free(struct frame_set *s)
{
	for (unsigned i = 0; i < FRAMES; i++)
		rte_pktmbuf_free(s->m[i]);
}

/* Every field that later stages rely on. */
static bool frame_right(const struct parse_frame *f, enum shape shape, unsigned i, uint32_t payload)
{
	static const uint16_t l2[SHAPES] = {14, 14, 18}, l3[SHAPES] = {20, 40, 20};

	return f->verdict == PARSE_TCP && f->l2_len == l2[shape] && f->l3_len == l3[shape] &&
	       f->l4_len == 20 && f->payload_off == l2[shape] + l3[shape] + 20 &&
	       f->payload_len == payload && f->key.sport == htons((uint16_t)(0x8000 | i)) &&
	       f->key.dport == htons(80) && f->key.dst[15] == (uint8_t)i &&
	       f->key.vlan[0] == (shape == SHAPE_VLAN ? 100 : PARSE_VLAN_NONE) &&
	       f->is_v6 == (shape == SHAPE_V6);
}

static void parse_shape(struct bench *b, enum shape shape)
{
	struct frame_set s;
	struct parse_frame f[MICRO_BURST];
	uint64_t tcp = 0;
	unsigned at = 0;

	if (!frames_make(&s, shape, 64))
		bench_fail(b, "no buffers for the frames");
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = 0; i < MICRO_BURST; i++)
			tcp += parse_mbuf(&f[i], s.m[at + i]) == PARSE_TCP;
		bench_keep(f);
		at = (at + MICRO_BURST) % FRAMES;
	}
	if (tcp != bench_iterations(b))
		bench_fail(b, "%lu of %lu frames were not taken for TCP",
			   (unsigned long)(bench_iterations(b) - tcp),
			   (unsigned long)bench_iterations(b));
	for (unsigned i = 0; i < FRAMES && !bench_failed(b); i++) {
		parse_mbuf(&f[0], s.m[i]);
		if (!frame_right(&f[0], shape, i, s.payload))
			bench_fail(b, "frame %u was read wrongly", i);
	}
	frames_free(&s);
}

static void parse_v4(struct bench *b)
{
	parse_shape(b, SHAPE_V4);
}

static void parse_v6(struct bench *b)
{
	parse_shape(b, SHAPE_V6);
}

static void parse_vlan(struct bench *b)
{
	parse_shape(b, SHAPE_VLAN);
}

static void checksum(struct bench *b)
{
	uint32_t payload = (uint32_t)bench_arg(b, 0);
	struct parse_frame f[FRAMES];
	struct frame_set s;
	uint64_t good = 0;
	unsigned at = 0;

	if (!frames_make(&s, SHAPE_V4, payload))
		bench_fail(b, "no buffers for the frames");
	for (unsigned i = 0; i < FRAMES && !bench_failed(b); i++)
		parse_mbuf(&f[i], s.m[i]);
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = at; i < at + MICRO_BURST; i++)
			good += parse_tcp_checksum_good(&f[i], s.m[i]);
		at = (at + MICRO_BURST) % FRAMES;
	}
	if (good != bench_iterations(b))
		bench_fail(b, "a good checksum was refused");
	for (unsigned i = 0; i < FRAMES && !bench_failed(b); i++) {
		rte_pktmbuf_mtod(s.m[i], uint8_t *)[f[i].payload_off] ^= 1;
		if (parse_tcp_checksum_good(&f[i], s.m[i]))
			bench_fail(b, "a wrong checksum was taken for good");
	}
	bench_bytes(b, bench_iterations(b) * payload);
	frames_free(&s);
}

void micro_parse(void)
{
	static const int64_t sizes[][BENCH_ARGS_MAX] = {{64}, {1460}};
	static const struct bench_def defs[] = {
		{.name = "parse/tcp_v4", .fn = parse_v4},
		{.name = "parse/tcp_v6", .fn = parse_v6},
		{.name = "parse/tcp_v4_vlan", .fn = parse_vlan},
		{.name = "checksum/tcp_v4", .fn = checksum, .arg = {"payload"}, MICRO_SETS(sizes)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
