/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments in any order, doubled, overlapping, missing, too many: what comes out is the datagram or nothing, and nothing is
 * kept beyond the budget. */
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

#include "frag/frag.h"
#include "mem/mem_testing.h"
#include "stats/shm.h"

#define L2 18 /* one tag */

static struct chunk_pool pool;
static struct frag_table *t;
static uint64_t counter[STATS_MAX];
static uint64_t now;
static uint32_t rnd = 1;

static uint32_t below(uint32_t n)
{
	rnd = rnd * 1664525 + 1013904223;
	return (rnd >> 8) % n;
}

/* A whole segment, as a frame. */
struct whole {
	uint8_t b[4000];
	uint32_t n, l3; /* octets; IP header */
	bool v6;
	uint32_t id;
};

static void whole_make(struct whole *w, bool v6, uint32_t payload, uint32_t id)
{
	uint8_t *ip = w->b + L2, *tcp;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool.bufs);
	struct parse_frame f;

	memset(w, 0, sizeof(*w));
	w->v6 = v6;
	w->l3 = v6 ? 40 : 20;
	w->id = id;
	w->n = L2 + w->l3 + 20 + payload;
	w->b[12] = 0x81;
	w->b[15] = 5;
	memcpy(w->b + 16, v6 ? "\x86\xdd" : "\x08\0", 2);
	if (v6) {
		memcpy(ip, "\x60\0\0\0", 4);
		*(rte_be16_t *)(ip + 4) = rte_cpu_to_be_16((uint16_t)(20 + payload));
		ip[6] = 6;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[23] = 1;
		ip[39] = 2;
	} else {
		ip[0] = 0x45;
		*(rte_be16_t *)(ip + 2) = rte_cpu_to_be_16((uint16_t)(40 + payload));
		*(rte_be16_t *)(ip + 4) = rte_cpu_to_be_16((uint16_t)id);
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, "\12\0\0\1\12\0\0\2", 8);
	}
	tcp = ip + w->l3;
	memcpy(tcp, "\x12\x34\0\x50\0\0\0\1\0\0\0\2\x50\x10\1\1", 16);
	for (uint32_t i = 0; i < payload; i++)
		tcp[20 + i] = (uint8_t)below(256);
	memcpy(rte_pktmbuf_append(m, (uint16_t)w->n), w->b, w->n);
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	parse_checksum_set(&f, m);
	memcpy(w->b, rte_pktmbuf_mtod(m, void *), w->n);
	rte_pktmbuf_free(m);
}

/* Octets [off, off + len) of what IP carries, in a frame with pad octets behind. */
static struct rte_mbuf *piece(const struct whole *w, uint32_t off, uint32_t len, bool more, uint32_t pad)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool.bufs);
	uint32_t head = L2 + w->l3 + (w->v6 ? 8 : 0);
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(head + len + pad)), *ip = p + L2;
	uint16_t sum;

	memcpy(p, w->b, L2 + w->l3);
	memcpy(p + head, w->b + L2 + w->l3 + off, len);
	memset(p + head + len, 0x55, pad);
	if (w->v6) {
		*(rte_be16_t *)(ip + 4) = rte_cpu_to_be_16((uint16_t)(8 + len));
		ip[6] = 44;
		ip[40] = 6;
		ip[41] = 0;
		*(rte_be16_t *)(ip + 42) = rte_cpu_to_be_16((uint16_t)(off | more));
		memcpy(ip + 44, &w->id, 4);
	} else {
		*(rte_be16_t *)(ip + 2) = rte_cpu_to_be_16((uint16_t)(20 + len));
		*(rte_be16_t *)(ip + 6) = rte_cpu_to_be_16((uint16_t)(off / 8 | (more ? 0x2000 : 0)));
		memset(ip + 10, 0, 2);
		sum = (uint16_t)~parse_sum(ip, 20);
		memcpy(ip + 10, &sum, 2);
	}
	return m;
}

static struct rte_mbuf *add(struct rte_mbuf *m)
{
	struct parse_frame f;

	parse_mbuf(&f, m);
	assert_true(frag_wanted(&f, m));
	return frag_add(t, m, &f, 0, now);
}

/* Joined, it is the original but for the IPv4 header checksum's place, octet by octet. */
static void is_whole(struct rte_mbuf *list, const struct whole *w)
{
	struct rte_mbuf *m = frag_join(t, list);
	struct parse_frame f;
	uint8_t flat[4000];

	assert_non_null(m);
	assert_int_equal(rte_pktmbuf_pkt_len(m), w->n);
	assert_memory_equal(rte_pktmbuf_read(m, 0, w->n, flat), w->b, w->n);
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	assert_true(parse_ip_checksum_good(&f, m) && parse_tcp_checksum_good(&f, m));
	assert_int_equal(f.payload_len, w->n - L2 - w->l3 - 20);
	rte_pktmbuf_free(m);
}

static int start(void **state)
{
	struct frag_config cfg = {.datagrams = 16, .octets = 100000, .timeout_us = 1000000, .seed = 7,
				  .socket_id = SOCKET_ID_ANY, .counter = counter};

	memset(counter, 0, sizeof(counter));
	now = 5;
	assert_int_equal(frag_create(&t, &cfg), 0);
	return 0;
}

static int stop(void **state)
{
	frag_destroy(t);
	assert_true(mem_testing_clean(&pool));
	return 0;
}

/* Every order of four pieces, with padding behind the small ones; nothing is held afterwards. */
static void test_every_order(void **state)
{
	static const uint32_t cut[] = {0, 24, 96, 800, 1020};

	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (unsigned perm = 0; perm < 24; perm++) {
			unsigned left[4] = {0, 1, 2, 3}, n = perm;
			struct rte_mbuf *list = NULL;
			struct whole w;

			whole_make(&w, v6, 1000, perm + 1);
			for (unsigned k = 4; k > 0; k--) {
				unsigned at = n % k, i = left[at];

				assert_null(list);
				n /= k;
				left[at] = left[k - 1];
				list = add(piece(&w, cut[i], cut[i + 1] - cut[i], i < 3, i == 3 ? 0 : i));
			}
			assert_non_null(list);
			assert_int_equal(frag_datagrams(t) + frag_octets(t), 0);
			is_whole(list, &w);
		}
	}
	assert_int_equal(counter[STATS_fragment_joined], 48);
	assert_int_equal(counter[STATS_fragment_dropped], 0);
}

/* The originals come out as they came, in order. */
static void test_originals(void **state)
{
	struct whole w;
	struct rte_mbuf *m[3], *list;

	whole_make(&w, false, 1000, 9);
	m[0] = piece(&w, 600, 420, false, 0);
	m[1] = piece(&w, 0, 296, true, 3);
	m[2] = piece(&w, 296, 304, true, 0);
	assert_null(add(m[0]));
	assert_null(add(m[1]));
	list = add(m[2]);
	assert_ptr_equal(list, m[0]);
	assert_ptr_equal(frag_next(t, m[0]), m[1]);
	assert_ptr_equal(frag_next(t, m[1]), m[2]);
	assert_null(frag_next(t, m[2]));
	assert_ptr_equal(frag_first(t, list), m[1]);
	assert_int_equal(rte_pktmbuf_pkt_len(m[1]), L2 + 20 + 296 + 3);
	frag_free(t, list);
	assert_int_equal(counter[STATS_fragment_dropped], 3);
}

static void test_twice(void **state)
{
	struct rte_mbuf *list;
	struct whole w;

	whole_make(&w, true, 1000, 9);
	assert_null(add(piece(&w, 0, 504, true, 0)));
	assert_null(add(piece(&w, 0, 504, true, 0)));
	assert_null(add(piece(&w, 504, 200, true, 0)));
	assert_null(add(piece(&w, 504, 200, true, 0)));
	list = add(piece(&w, 704, 316, false, 0));
	assert_non_null(list);
	is_whole(list, &w);
	assert_int_equal(counter[STATS_fragment_dropped], 2);
	assert_int_equal(counter[STATS_fragment_overlap], 0);
}

/* RFC 5722: with the datagram, and what still comes of it. */
static void test_overlap(void **state)
{
	static const struct {
		uint32_t off, len;
		bool more;
	} evil[] = {
		{0, 96, true},	   {400, 200, true}, {496, 16, true}, {496, 524, false}, {96, 8, true},
		{600, 100, false}, {1000, 48, true}, {1024, 8, false},
	};

	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (unsigned i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
			struct whole w;

			start(state);
			whole_make(&w, v6, 1100, 9);
			assert_null(add(piece(&w, 0, 504, true, 0)));
			assert_null(add(piece(&w, 704, 320, false, 0)));
			assert_null(add(piece(&w, evil[i].off, evil[i].len, evil[i].more, 0)));
			assert_int_equal(counter[STATS_fragment_overlap], 1);
			assert_int_equal(frag_octets(t), 0);
			assert_null(add(piece(&w, 504, 200, true, 0)));
			assert_null(add(piece(&w, 0, 504, true, 0)));
			assert_int_equal(counter[STATS_fragment_dropped], 5);
			now += 1000000;
			frag_age(t, now);
			assert_int_equal(frag_datagrams(t), 0);
			stop(state);
		}
	}
	start(state);
}

/* RFC 1858, 3128, and lengths that no sender of ours makes. */
static void test_refused(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct rte_mbuf *m;
		struct whole w;

		whole_make(&w, v6, 1000, 9);
		assert_null(add(piece(&w, 0, 16, true, 0)));
		assert_null(add(piece(&w, 8, 800, true, 0)));
		assert_null(add(piece(&w, 16, 800, true, 0)));
		assert_null(add(piece(&w, 96, 801, true, 0)));
		assert_null(add(piece(&w, 96, 0, false, 0)));
		assert_int_equal(counter[STATS_fragment_refused], v6 * 6 + 5);
		m = piece(&w, 96, 800, true, 0);
		*rte_pktmbuf_mtod_offset(m, uint8_t *, L2 + 8) ^= 1; /* IPv4: the checksum is wrong now */
		assert_null(add(m));
		assert_int_equal(counter[STATS_fragment_refused], v6 ? 11 : 6);
	}
	assert_int_equal(frag_datagrams(t), 1);
}

/* Other protocols, tags, ports, ids do not mix. */
static void test_apart(void **state)
{
	struct parse_frame f;
	struct rte_mbuf *m;
	struct whole w;

	whole_make(&w, false, 1000, 9);
	assert_null(add(piece(&w, 0, 504, true, 0)));
	m = piece(&w, 504, 516, false, 0);
	parse_mbuf(&f, m);
	assert_null(frag_add(t, m, &f, 1, now));
	m = piece(&w, 504, 516, false, 0);
	*rte_pktmbuf_mtod_offset(m, uint8_t *, 15) = 6;
	assert_null(add(m));
	w.b[L2 + 5]++;
	assert_null(add(piece(&w, 504, 516, false, 0)));
	assert_int_equal(frag_datagrams(t), 4);
	w.b[L2 + 9] = 17;
	m = piece(&w, 504, 516, false, 0);
	parse_mbuf(&f, m);
	assert_false(frag_wanted(&f, m));
	rte_pktmbuf_free(m);
}

static void test_time_and_budget(void **state)
{
	struct whole w;

	/* more datagrams than there may be: the oldest go */
	for (uint32_t id = 1; id <= 20; id++) {
		whole_make(&w, false, 1000, id);
		assert_null(add(piece(&w, 0, 504, true, 0)));
		now += 10000;
	}
	assert_int_equal(frag_datagrams(t), 16);
	assert_int_equal(counter[STATS_fragment_over_budget], 4);
	/* one of them is completed; the others go when their time is over, some at a time */
	rte_pktmbuf_free(frag_join(t, add(piece(&w, 504, 516, false, 0))));
	assert_int_equal(frag_age(t, now), 0);
	now += 1000000;
	assert_int_equal(frag_age(t, now), 15);
	assert_int_equal(counter[STATS_fragment_incomplete], 15);
	assert_int_equal(frag_datagrams(t) + frag_octets(t), 0);
	/* more octets than there may be */
	for (uint32_t id = 1; id <= 12; id++) {
		whole_make(&w, false, 1000, id);
		for (uint32_t i = 0; i < 6; i++) {
			assert_null(add(piece(&w, i * 24, 24, true, 0)));
			assert_true(frag_octets(t) <= 100000);
		}
	}
	assert_true(frag_octets(t) > 90000);
}

static void test_too_many_pieces(void **state)
{
	struct rte_mbuf *list = NULL;
	struct whole w;

	whole_make(&w, false, 12 * 24 - 20, 1);
	for (uint32_t i = 0; i < 12; i++)
		list = add(piece(&w, i * 24, 24, i < 11, 0));
	assert_non_null(list); /* the originals could go on */
	assert_null(frag_join(t, list));
	assert_int_equal(counter[STATS_fragment_refused], 1);
	assert_int_equal(counter[STATS_fragment_dropped], 12);
}

/* Headers before the fragment header: known as fragments, not joined. */
static void test_other_headers(void **state)
{
	struct rte_mbuf *list = NULL;
	struct whole w;

	whole_make(&w, true, 1000, 1);
	for (uint32_t i = 0; i < 2; i++) {
		struct rte_mbuf *m = piece(&w, i ? 504 : 0, i ? 516 : 504, !i, 0);
		uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *) - 8, *ip = p + L2;

		assert_non_null(rte_pktmbuf_prepend(m, 8));
		memmove(p, p + 8, L2 + 40);
		ip[6] = 60;
		*(rte_be16_t *)(ip + 4) = rte_cpu_to_be_16((uint16_t)(16 + (i ? 516 : 504)));
		memcpy(ip + 40, "\x2c\0\1\4\0\0\0\0", 8);
		list = add(m);
	}
	assert_non_null(list);
	assert_null(frag_join(t, list));
}

/* Many datagrams at once, cut, mixed, doubled and lost at random: each comes out whole exactly when all of it went in. */
static void test_random(void **state)
{
	enum { N = 4 };
	static struct whole w[N];
	unsigned wholes = 0;

	for (unsigned round = 0; round < 3000; round++) {
		struct rte_mbuf *m[N * 18];
		uint8_t of[N * 18];
		unsigned n = 0, came[N] = {0};
		bool lost[N] = {false};

		for (unsigned k = 0; k < N; k++) {
			uint32_t payload = 60 + below(1200), total = 20 + payload, off = 0, left = FRAG_JOIN_MAX;

			whole_make(&w[k], k & 1, payload, round * N + k + 1);
			while (off < total) {
				uint32_t len = off ? 8 + 8 * below(60) : 24 + 8 * below(total / 8 - 3);
				bool more = off + len < total && left > 1;

				if (!more)
					len = total - off;
				left--;
				if (below(60) == 0) {
					lost[k] = true;
				} else {
					for (unsigned twice = below(10) == 0 ? 2 : 1; twice; twice--, n++) {
						m[n] = piece(&w[k], off, len, more, below(3));
						of[n] = (uint8_t)k;
					}
				}
				off += len;
			}
		}
		for (unsigned i = n; i > 1; i--) {
			unsigned j = below(i);
			struct rte_mbuf *x = m[i - 1];
			uint8_t y = of[i - 1];

			m[i - 1] = m[j];
			of[i - 1] = of[j];
			m[j] = x;
			of[j] = y;
		}
		for (unsigned i = 0; i < n; i++) {
			struct rte_mbuf *list = add(m[i]);

			if (!list)
				continue;
			assert_false(lost[of[i]]);
			is_whole(list, &w[of[i]]);
			came[of[i]]++;
			wholes++;
		}
		for (unsigned k = 0; k < N; k++) /* where every piece is doubled, it may be whole twice */
			assert_int_equal(came[k] > 0, !lost[k]);
		now += 1000000;
		frag_age(t, now);
		assert_int_equal(frag_datagrams(t) + frag_octets(t), 0);
	}
	assert_true(wholes > 6000);
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 255, 63);
	return 0;
}

static int teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_every_order), CASE(test_originals), CASE(test_twice),		  CASE(test_refused),
		CASE(test_apart),	CASE(test_overlap),   CASE(test_time_and_budget), CASE(test_too_many_pieces),
		CASE(test_other_headers), CASE(test_random),
	};

	return cmocka_run_group_tests_name("frag", tests, setup, teardown);
}
