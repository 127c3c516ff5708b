/* SPDX-License-Identifier: BSD-3-Clause */
/* Which ICMP errors are believed, as far as one can tell without the flow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <rte_byteorder.h>
#include <rte_mbuf.h>

#include "mem/mem_testing.h"
#include "parse/parse_icmp.h"

static struct chunk_pool pool;

/* Type, code, MTU; an IPv4 header of words * 4 octets of a packet of total octets; ports 4660 -> 80, number 0x01020304. */
static uint32_t error4(uint8_t *p, uint16_t mtu, uint8_t words, uint16_t total)
{
	static const uint8_t tcp[8] = {0x12, 0x34, 0, 80, 1, 2, 3, 4};
	uint8_t *ip = p + 8;

	memset(p, 0, 8 + 60 + 8);
	p[0] = 3;
	p[1] = 4;
	p[6] = (uint8_t)(mtu >> 8);
	p[7] = (uint8_t)mtu;
	ip[0] = 0x40 | words;
	ip[2] = (uint8_t)(total >> 8);
	ip[3] = (uint8_t)total;
	ip[9] = 6;
	memcpy(ip + 12, "\12\0\0\1\12\0\0\2", 8);
	memcpy(ip + words * 4, tcp, 8);
	return 8 + words * 4u + 8;
}

/* ext: so many extension headers of 16 octets before TCP. */
static uint32_t error6(uint8_t *p, uint32_t mtu, uint16_t payload, unsigned ext)
{
	static const uint8_t tcp[8] = {0x12, 0x34, 0, 80, 1, 2, 3, 4};
	uint8_t *ip = p + 8, *next = ip + 6, *at = ip + 40;

	memset(p, 0, 8 + 40 + 16 * 4 + 8);
	p[0] = 2;
	for (int i = 0; i < 4; i++)
		p[4 + i] = (uint8_t)(mtu >> (24 - 8 * i));
	ip[0] = 0x60;
	ip[4] = (uint8_t)(payload >> 8);
	ip[5] = (uint8_t)payload;
	ip[8] = ip[24] = 0xfd;
	ip[23] = 1;
	ip[39] = 2;
	for (unsigned i = 0; i < ext; i++, at += 16) {
		*next = 60;
		next = at;
		at[1] = 1;
	}
	*next = 6;
	memcpy(at, tcp, 8);
	return (uint32_t)(at + 8 - p);
}

/* In memory that ends with it, for the sanitizer. */
static bool believed(struct parse_icmp *o, const uint8_t *p, uint32_t n, bool v6)
{
	uint8_t *copy = malloc(n);
	bool ok;

	memcpy(copy, p, n);
	ok = parse_icmp_octets(o, copy, n, v6);
	free(copy);
	return ok;
}

static void version4(void **state)
{
	static const struct {
		uint16_t mtu, total;
		int want; /* 0: not believed */
	} row[] = {
		{1400, 1500, 1400}, {1499, 1500, 1499}, {1500, 1500, 0}, {1501, 1500, 0}, {68, 1500, 68}, {67, 1500, 0},
		{0, 1500, 1492},    {0, 1492, 1006},	{0, 9000, 8166}, {0, 296, 68},	  {0, 69, 68},	  {0, 68, 0},
		{0, 65535, 32000},  {1400, 39, 0},
	};
	uint8_t p[256];
	struct parse_icmp o;
	uint32_t n;

	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		for (uint8_t words = 5; words <= 15 && row[i].total >= 100; words += 5) {
			n = error4(p, row[i].mtu, words, row[i].total);
			assert_int_equal(believed(&o, p, n, false), row[i].want != 0);
			if (!row[i].want)
				continue;
			assert_int_equal(o.mtu, row[i].want);
			assert_int_equal(o.seq, 0x01020304);
			assert_int_equal(o.key.sport, rte_cpu_to_be_16(4660));
			assert_int_equal(o.key.dport, rte_cpu_to_be_16(80));
			assert_memory_equal(o.key.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\12\0\0\1", 16);
			assert_memory_equal(o.key.dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\12\0\0\2", 16);
			for (uint32_t k = 0; k < n; k++) /* every shorter one */
				assert_false(believed(&o, p, k, false));
		}
	}
	n = error4(p, 1400, 5, 1500);
	assert_true(believed(&o, p, n, false));
	assert_false(believed(&o, p, n, true));
	for (uint8_t code = 0; code < 16; code++) { /* soft errors are not ours */
		p[1] = code;
		assert_int_equal(believed(&o, p, n, false), code == 4);
	}
	error4(p, 1400, 5, 1500);
	p[0] = 11;
	assert_false(believed(&o, p, n, false));
	error4(p, 1400, 5, 1500);
	p[8 + 9] = 17;
	assert_false(believed(&o, p, n, false));
	error4(p, 1400, 5, 1500);
	p[8 + 7] = 1; /* about a fragment without the TCP header */
	assert_false(believed(&o, p, n, false));
	error4(p, 1400, 4, 1500);
	assert_false(believed(&o, p, n, false));
}

static void version6(void **state)
{
	uint8_t p[256];
	struct parse_icmp o;
	uint32_t n;

	for (unsigned ext = 0; ext <= 4; ext++) {
		n = error6(p, 1300, 1460, ext);
		assert_true(believed(&o, p, n, true));
		assert_int_equal(o.mtu, 1300);
		assert_int_equal(o.seq, 0x01020304);
		assert_int_equal(o.key.dport, rte_cpu_to_be_16(80));
		assert_int_equal(o.key.src[15], 1);
		assert_int_equal(o.key.is_v6, 1);
		for (uint32_t k = 0; k < n; k++)
			assert_false(believed(&o, p, k, true));
	}
	n = error6(p, 1280, 1460, 0);
	assert_true(believed(&o, p, n, true));
	n = error6(p, 1279, 1460, 0); /* RFC 8201: no path is that narrow */
	assert_false(believed(&o, p, n, true));
	n = error6(p, 1500, 1460, 0);
	assert_false(believed(&o, p, n, true));
	n = error6(p, 0x10000 + 1300, 1460, 0);
	assert_false(believed(&o, p, n, true));
	n = error6(p, 1300, 1460, 1);
	p[8 + 6] = 44; /* the extension is a fragment header: a first one, then a later one */
	p[8 + 41] = 0;
	memcpy(p + 8 + 48, "\x12\x34\0\x50\1\2\3\4", 8);
	assert_true(believed(&o, p, n - 8, true));
	p[8 + 43] = 8;
	assert_false(believed(&o, p, n - 8, true));
}

/* In frames, with tags: the checksum counts. */
static void frames(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool.bufs);
		uint8_t icmp[256], *p = (uint8_t *)rte_pktmbuf_append(m, 300), *ip = p + 18, *at;
		uint32_t n = v6 ? error6(icmp, 1300, 1460, 0) : error4(icmp, 1300, 5, 1500), sum;
		struct parse_frame f;
		struct parse_icmp o;
		uint16_t part;

		memset(p, 0, 300);
		p[12] = 0x81;
		p[15] = 9;
		memcpy(p + 16, v6 ? "\x86\xdd" : "\x08\0", 2);
		if (v6) {
			ip[0] = 0x60;
			ip[5] = (uint8_t)n;
			ip[6] = 58;
			ip[8] = ip[24] = 0xfd;
			at = ip + 40;
		} else {
			ip[0] = 0x45;
			ip[3] = (uint8_t)(20 + n);
			ip[9] = 1;
			ip[12] = ip[16] = 10;
			part = (uint16_t)~parse_sum(ip, 20);
			memcpy(ip + 10, &part, 2);
			at = ip + 20;
		}
		memcpy(at, icmp, n);
		sum = parse_sum(at, n);
		if (v6)
			sum += parse_sum(ip + 8, 32) + rte_cpu_to_be_16((uint16_t)n) + rte_cpu_to_be_16(58);
		while (sum >> 16)
			sum = (sum >> 16) + (sum & 0xffff);
		part = (uint16_t)~sum;
		memcpy(at + 2, &part, 2);
		assert_int_equal(parse_mbuf(&f, m), PARSE_OTHER);
		assert_true(parse_is_icmp(&f));
		assert_true(parse_icmp_too_big(&o, &f, m));
		assert_int_equal(o.mtu, 1300);
		assert_int_equal(o.key.vlan[0], 9);
		assert_int_equal(o.key.vlan[1], PARSE_VLAN_NONE);
		for (uint32_t seq = 0; seq < 0xf0000000; seq += 0x0fedcba9) {
			assert_true(parse_icmp_seq_set(&o, &f, m, seq));
			assert_true(parse_icmp_too_big(&o, &f, m)); /* its checksum, too */
			assert_int_equal(o.seq, seq);
		}
		at[7] ^= 1;
		assert_false(parse_icmp_too_big(&o, &f, m));
		rte_pktmbuf_free(m);
	}
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 63, 63);
	return 0;
}

static int teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(version4), cmocka_unit_test(version6), cmocka_unit_test(frames)};

	return cmocka_run_group_tests_name("parse_icmp", tests, setup, teardown);
}
