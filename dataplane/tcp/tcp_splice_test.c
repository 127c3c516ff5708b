/* SPDX-License-Identifier: BSD-3-Clause */
/* Millions of headers with random numbers and options, each held against a translation and a sum made from nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tcp/tcp.h"
#include "tcp/tcp_internal.h"
#include "tcp/tcp_splice.h"

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static void put(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* Of a header, some payload and some pseudo header, the checksum field left out; octet by octet. */
static uint16_t sum_of(const uint8_t *hdr, uint32_t len, uint32_t rest)
{
	uint64_t sum = rest;

	for (uint32_t i = 0; i < len; i++)
		if (i != 16 && i != 17)
			sum += i & 1 ? hdr[i] : (uint64_t)hdr[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

/* Numbers that matter: any, and those about the wrap. */
static uint32_t number(void)
{
	switch (rnd() % 4) {
	case 0:
		return rnd() % 5 - 2;
	case 1:
		return 0x7ffffffe + rnd() % 5;
	default:
		return rnd();
	}
}

/* Options as they come: SACK blocks behind any number of NOPs, others before and after, some that lie. Returns the length
 * of the header; at[]: where numbers of SACK blocks stand. */
static uint32_t options(uint8_t *hdr, uint32_t *at, uint32_t *n)
{
	uint32_t off = 20;

	*n = 0;
	while (off < 60 && rnd() % 8) {
		uint32_t room = 60 - off, blocks = 1 + rnd() % 4, len;

		switch (rnd() % 5) {
		case 0:
			hdr[off++] = TCP_OPT_NOP;
			break;
		case 1: /* unknown */
			len = 2 + rnd() % 6;
			if (len > room)
				break;
			hdr[off] = (uint8_t)(30 + rnd() % 200);
			hdr[off + 1] = (uint8_t)len;
			for (uint32_t i = 2; i < len; i++)
				hdr[off + i] = (uint8_t)rnd();
			off += len;
			break;
		case 2: /* END, and rubbish behind it */
			if (rnd() % 4)
				break;
			hdr[off++] = TCP_OPT_END;
			while (off < 60 && rnd() % 6)
				hdr[off++] = (uint8_t)rnd();
			return (off + 3) / 4 * 4;
		default:
			if (2 + 8 * blocks > room)
				break;
			hdr[off] = TCP_OPT_SACK;
			hdr[off + 1] = (uint8_t)(2 + 8 * blocks);
			for (uint32_t i = 0; i < 2 * blocks; i++) {
				at[(*n)++] = off + 2 + 4 * i;
				put(hdr + off + 2 + 4 * i, number());
			}
			off += 2 + 8 * blocks;
		}
	}
	return (off + 3) / 4 * 4;
}

static void test_random(void **state)
{
	uint32_t odd = 0, moved = 0;

	for (uint32_t i = 0; i < 4000000; i++) {
		struct tcp_splice t = {rnd() % 8 ? number() : 0, rnd() % 8 ? number() : 0};
		uint8_t hdr[60] = {0}, want[60];
		uint32_t at[20], n, len, rest = rnd();
		bool wrong = rnd() % 16 == 0;
		uint16_t sum;

		for (uint32_t k = 0; k < 20; k++)
			hdr[k] = (uint8_t)rnd();
		put(hdr + 4, number());
		put(hdr + 8, number());
		len = options(hdr, at, &n);
		hdr[12] = (uint8_t)(len / 4 << 4);
		sum = sum_of(hdr, len, rest);
		put_be16(hdr + 16, wrong ? (uint16_t)(sum + 1 + rnd() % 65534) : sum);
		memcpy(want, hdr, sizeof(want));
		put(want + 4, get_be32(hdr + 4) + t.seq);
		if (hdr[13] & TCP_F_ACK)
			put(want + 8, get_be32(hdr + 8) + t.ack);
		for (uint32_t k = 0; k < n; k++) {
			put(want + at[k], get_be32(hdr + at[k]) + t.ack);
			odd += at[k] & 1;
		}
		put_be16(want + 16, sum_of(want, len, rest));
		moved += n != 0;
		tcp_splice_rewrite(hdr, len, &t);
		if (wrong) { /* what came wrong goes on wrong */
			if (get_be16(hdr + 16) == get_be16(want + 16))
				fail_msg("case %u: a wrong checksum became right", i);
			memcpy(want + 16, hdr + 16, 2);
		}
		if (memcmp(hdr, want, 60) != 0) {
			for (uint32_t k = 0; k < 60; k++)
				if (hdr[k] != want[k])
					fail_msg("case %u, octet %u of %u: %02x, not %02x", i, k, len, hdr[k], want[k]);
		}
	}
	assert_true(odd > 100000);
	assert_true(moved > 1000000);
}

/* There and back again is the very same header. */
static void test_back(void **state)
{
	for (uint32_t i = 0; i < 200000; i++) {
		struct tcp_splice t = {number(), number()}, back = {-t.seq, -t.ack};
		uint8_t hdr[60] = {0}, was[60];
		uint32_t at[20], n, len;

		len = options(hdr, at, &n);
		hdr[13] = TCP_F_ACK;
		put_be16(hdr + 16, sum_of(hdr, len, 0x1234));
		memcpy(was, hdr, sizeof(was));
		tcp_splice_rewrite(hdr, len, &t);
		tcp_splice_rewrite(hdr, len, &back);
		assert_memory_equal(hdr, was, sizeof(was));
	}
}

/* Options that run over the header's end are not followed. */
static void test_cut(void **state)
{
	uint8_t mem[64], was[64];
	struct tcp_splice t = {0, 1};

	for (uint32_t len = 20; len <= 60; len += 4) {
		for (uint32_t size = 0; size < 256; size++) {
			memset(mem, 0xaa, sizeof(mem));
			memset(mem, 0, len);
			mem[20] = TCP_OPT_NOP;
			if (len > 22) {
				mem[21] = TCP_OPT_SACK;
				mem[22] = (uint8_t)size;
			}
			memcpy(was, mem, sizeof(was));
			tcp_splice_rewrite(mem, len, &t);
			assert_memory_equal(mem + len, was + len, sizeof(mem) - len);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
