/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums of every length and place against the definition (RFC 1071), and what verification says of the payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "mem/mem_testing.h"
#include "parse/parse_frame.h"

static struct chunk_pool pool;

/* Word by word. */
static uint16_t plain(const uint8_t *p, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i += 2) {
		uint8_t two[2] = {p[i], i + 1 < n ? p[i + 1] : 0};
		uint16_t w;

		memcpy(&w, two, 2);
		sum += w;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static void every_length_and_place(void **state)
{
	static uint8_t bytes[65536 + 64];
	static const uint8_t fill[] = {0x00, 0xff, 0x80, 0x7f};

	for (uint32_t n = 0; n < 700; n++) {
		for (uint32_t at = 0; at < 3; at++) {
			for (uint32_t i = 0; i < n; i++)
				bytes[at + i] = (uint8_t)rand();
			bytes[at + n] = 0xa5; /* not part of it */
			assert_int_equal(parse_sum(bytes + at, n), plain(bytes + at, n));
		}
	}
	/* nothing runs over, whatever the octets, up to more than a packet can hold */
	for (unsigned f = 0; f < sizeof(fill); f++) {
		memset(bytes, fill[f], sizeof(bytes));
		for (uint32_t n = 65535 - 70; n < 65536; n++)
			assert_int_equal(parse_sum(bytes + (n & 31), n), plain(bytes + (n & 31), n));
	}
}

static struct rte_mbuf *segment(struct parse_frame *f, uint32_t payload, uint32_t pad, uint8_t fill)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool.bufs);
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(54 + payload + pad));
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p + 14);
	struct rte_tcp_hdr *t = (struct rte_tcp_hdr *)(ip + 1);

	memset(p, 0, 54);
	p[12] = 8;
	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(40 + payload));
	ip->time_to_live = 9;
	ip->next_proto_id = IPPROTO_TCP;
	ip->src_addr = 0x01020304;
	ip->dst_addr = 0xfffefdfc;
	t->src_port = 0x1234;
	t->data_off = 0x50;
	t->tcp_flags = RTE_TCP_ACK_FLAG;
	for (uint32_t i = 0; i < payload; i++)
		p[54 + i] = fill ? fill : (uint8_t)rand();
	memset(p + 54 + payload, 0x77, pad);
	assert_int_equal(parse_mbuf(f, m), PARSE_TCP);
	parse_checksum_set(f, m);
	return m;
}

/* In one's complement there are two zeros. */
static bool same(uint16_t a, uint16_t b)
{
	return a % 0xffff == b % 0xffff;
}

static void payload_alone(void **state)
{
	for (uint32_t n = 1; n < 1461; n += 1 + n / 40) {
		struct parse_frame f;
		struct rte_mbuf *m = segment(&f, n, n % 5, n % 3 ? 0 : 0xff);
		uint8_t *payload = rte_pktmbuf_mtod_offset(m, uint8_t *, 54);
		uint16_t sum, want = plain(payload, n);

		assert_true(parse_tcp_checksum_sum(&f, m, &sum));
		assert_int_not_equal(sum, 0);
		assert_true(same(sum, want));
		m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD; /* found without looking at it */
		assert_true(parse_tcp_checksum_sum(&f, m, &sum));
		assert_int_not_equal(sum, 0);
		assert_true(same(sum, want));
		m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE; /* good, but there is nothing to find it from */
		assert_true(parse_tcp_checksum_sum(&f, m, &sum));
		assert_int_equal(sum, 0);
		for (int flags = 0; flags < 2; flags++) { /* one octet changed, and what a port says in vain */
			m->ol_flags = flags ? RTE_MBUF_F_RX_L4_CKSUM_BAD : 0;
			payload[n / 2] ^= 0x40;
			assert_false(parse_tcp_checksum_sum(&f, m, &sum));
			assert_int_equal(sum, 0);
			payload[n / 2] ^= 0x40;
			assert_true(parse_tcp_checksum_sum(&f, m, &sum));
		}
		rte_pktmbuf_free(m);
	}
}

static void no_payload_or_pieces(void **state)
{
	struct parse_frame f;
	struct rte_mbuf *m = segment(&f, 0, 6, 0), *next;
	uint16_t sum = 1;

	assert_true(parse_tcp_checksum_sum(&f, m, &sum));
	assert_int_equal(sum, 0);
	*rte_pktmbuf_mtod_offset(m, uint8_t *, 40) ^= 1;
	assert_false(parse_tcp_checksum_sum(&f, m, &sum));
	rte_pktmbuf_free(m);

	m = segment(&f, 300, 0, 0);
	next = rte_pktmbuf_alloc(pool.bufs);
	memcpy(rte_pktmbuf_append(next, 100), rte_pktmbuf_mtod_offset(m, void *, 254), 100);
	rte_pktmbuf_trim(m, 100);
	assert_int_equal(rte_pktmbuf_chain(m, next), 0);
	sum = 1;
	assert_true(parse_tcp_checksum_sum(&f, m, &sum));
	assert_int_equal(sum, 0); /* that of no single piece */
	*rte_pktmbuf_mtod_offset(next, uint8_t *, 99) ^= 1;
	assert_false(parse_tcp_checksum_sum(&f, m, &sum));
	rte_pktmbuf_free(m);
	assert_true(mem_testing_clean(&pool));
}

static void zeros_are_known(void **state)
{
	struct parse_frame f;
	struct rte_mbuf *m = segment(&f, 200, 0, 1);
	uint16_t sum;

	memset(rte_pktmbuf_mtod_offset(m, uint8_t *, 54), 0, 200);
	parse_checksum_set(&f, m);
	for (int i = 0; i < 2; i++) {
		assert_true(parse_tcp_checksum_sum(&f, m, &sum));
		assert_int_equal(sum, 0xffff);
		m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}
	rte_pktmbuf_free(m);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_and_place),
		cmocka_unit_test(payload_alone),
		cmocka_unit_test(no_payload_or_pieces),
		cmocka_unit_test(zeros_are_known),
	};

	return cmocka_run_group_tests_name("parse_checksum", tests, setup, teardown);
}
