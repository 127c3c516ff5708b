/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow/flow_table.h"

static struct flow_key key_of(uint32_t n)
{
	struct flow_key k = {.sport = (uint16_t)(n * 7),
			     .dport = 80,
			     .proto = 6,
			     .vlan = {PARSE_VLAN_NONE, PARSE_VLAN_NONE}};

	memset(k.src + 10, 0xff, 2);
	memset(k.dst + 10, 0xff, 2);
	memcpy(k.src + 12, &n, 4);
	k.dst[15] = 1;
	return k;
}

static struct flow_table *table_new(uint32_t capacity)
{
	return flow_table_init(aligned_alloc(64, flow_table_size(capacity)), capacity, 3, 0x1234);
}

static void test_both_directions(void **state)
{
	struct flow_table *t = table_new(16);
	struct flow_key k = key_of(9), r;
	struct flow_entry *e;
	unsigned side = 7;

	assert_null(flow_table_lookup(t, &k, &side));
	assert_int_equal(flow_table_insert(t, &k, &e), 0);
	assert_int_equal(e->id >> 56, 3);
	assert_ptr_equal(flow_table_lookup(t, &k, &side), e);
	assert_int_equal(side, 0);
	parse_key_reverse(&r, &k);
	assert_int_equal(flow_key_hash(&k, 5), flow_key_hash(&r, 5));
	assert_ptr_equal(flow_table_lookup(t, &r, &side), e);
	assert_int_equal(side, 1);
	/* the reverse of a flow is that flow */
	struct flow_entry *f;
	assert_int_equal(flow_table_insert(t, &r, &f), -EEXIST);
	assert_ptr_equal(f, e);
	/* the other end may begin the next connection on the same ports */
	uint64_t id = e->id;
	flow_table_renew(t, e, &r);
	assert_true(e->id > id);
	assert_ptr_equal(flow_table_lookup(t, &r, &side), e);
	assert_int_equal(side, 0);
	assert_ptr_equal(flow_table_lookup(t, &k, &side), e);
	assert_int_equal(side, 1);
	/* another VLAN is another flow */
	r.vlan[0] = 5;
	assert_null(flow_table_lookup(t, &r, &side));
	flow_table_delete(t, e);
	assert_null(flow_table_lookup(t, &k, &side));
	assert_int_equal(flow_table_count(t), 0);
	free(t);
}

static void test_full(void **state)
{
	struct flow_table *t = table_new(100);
	struct flow_entry *e[100], *x;
	struct flow_key k;

	for (uint32_t i = 0; i < 100; i++) {
		k = key_of(i);
		assert_int_equal(flow_table_insert(t, &k, &e[i]), 0);
	}
	k = key_of(100);
	assert_int_equal(flow_table_insert(t, &k, &x), -ENOSPC);
	flow_table_delete(t, e[50]);
	assert_int_equal(flow_table_insert(t, &k, &x), 0);
	assert_ptr_equal(x, e[50]); /* the same memory, another flow */
	assert_int_equal(x->id & 0xffffff, 101);
	free(t);
}

static void test_bulk(void **state)
{
	struct flow_table *t = table_new(1000);
	struct flow_key k[FLOW_BULK_MAX];
	const struct flow_key *kp[FLOW_BULK_MAX];
	struct flow_entry *e[FLOW_BULK_MAX], *x;
	uint8_t side[FLOW_BULK_MAX];

	for (uint32_t i = 0; i < FLOW_BULK_MAX; i++) {
		k[i] = key_of(i);
		kp[i] = &k[i];
	}
	assert_int_equal(flow_table_lookup_bulk(t, kp, FLOW_BULK_MAX, e, side), 0);
	assert_null(e[0]);
	for (uint32_t i = 0; i < FLOW_BULK_MAX; i += 2)
		assert_int_equal(flow_table_insert(t, &k[i], &x), 0);
	for (uint32_t i = 0; i < FLOW_BULK_MAX; i += 4)
		parse_key_reverse(&k[i], &k[i]);
	assert_int_equal(flow_table_lookup_bulk(t, kp, FLOW_BULK_MAX, e, side), FLOW_BULK_MAX / 2);
	for (uint32_t i = 0; i < FLOW_BULK_MAX; i++) {
		assert_int_equal(e[i] != NULL, i % 2 == 0);
		if (e[i])
			assert_int_equal(side[i], i % 4 == 0);
	}
	free(t);
}

/* Deleting must never hide another entry that found its line full (INV-FLOW-3). */
static void test_random_against_model(void **state)
{
	enum { KEYS = 600, CAP = 256 };
	struct flow_table *t = table_new(CAP);
	struct flow_entry *in[KEYS] = {0};
	uint32_t count = 0;

	srandom(11);
	for (int round = 0; round < 20000; round++) {
		uint32_t i = random() % KEYS;
		struct flow_key k = key_of(i);
		unsigned side;

		if (in[i]) {
			flow_table_delete(t, in[i]);
			in[i] = NULL;
			count--;
		} else {
			int rc = flow_table_insert(t, &k, &in[i]);

			assert_int_equal(rc, count < CAP ? 0 : -ENOSPC);
			if (rc)
				in[i] = NULL;
			count += rc == 0;
		}
		assert_int_equal(flow_table_count(t), count); /* INV-FLOW-1 */
		for (uint32_t j = round % 16; j < KEYS; j += 16) {
			k = key_of(j);
			assert_ptr_equal(flow_table_lookup(t, &k, &side), in[j]);
		}
	}
	free(t);
}

static void test_cursor(void **state)
{
	struct flow_table *t = table_new(64);
	struct flow_entry *e[64];
	uint64_t cursor = 0, seen = 0;

	for (uint32_t i = 0; i < 64; i++) {
		struct flow_key k = key_of(i);

		assert_int_equal(flow_table_insert(t, &k, &e[i]), 0);
	}
	for (uint32_t i = 0; i < 64; i += 3)
		flow_table_delete(t, e[i]);
	for (struct flow_entry *x; (x = flow_table_next(t, &cursor));)
		seen |= 1ull << ((x->id & 0xff) - 1);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(seen >> i & 1, i % 3 != 0);
	assert_null(flow_table_next(t, &cursor));
	free(t);
}

/* A key that differs only in its seed must not collide in step: an outsider cannot choose slots. */
static void test_seed_matters(void **state)
{
	unsigned same = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		struct flow_key k = key_of(i);

		same += (flow_key_hash(&k, 1) & 1023) == (flow_key_hash(&k, 2) & 1023);
	}
	assert_true(same < 20);
}

/* 32 bits name every entry, and each timer is within the wheel's reach. */
static void test_names(void **state)
{
	struct flow_table *t = table_new(1000);
	struct flow_wheel *w = flow_table_wheel(t);
	struct flow_entry *e, *last = NULL;

	assert_null(flow_table_at(t, 0));
	flow_wheel_init(w, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		struct flow_key k = key_of(i);

		assert_int_equal(flow_table_insert(t, &k, &e), 0);
		assert_int_not_equal(flow_table_ref(t, e), 0);
		assert_ptr_equal(flow_table_at(t, flow_table_ref(t, e)), e);
		assert_true(flow_wheel_reaches(w, &e->timer, sizeof(e->timer)));
		assert_false(flow_wheel_armed(&e->timer));
		assert_ptr_not_equal(e, last);
		flow_wheel_arm(w, &e->timer, 1 + i);
		last = e;
	}
	assert_int_equal(w->armed, 1000);
	for (uint64_t cursor = 0; (e = flow_table_next(t, &cursor));) {
		flow_wheel_cancel(w, &e->timer);
		flow_table_delete(t, e);
	}
	assert_int_equal(w->armed, 0);
	assert_int_equal(flow_table_count(t), 0);
	free(t);
}

/* docs/status.md has these figures: 20 million entries on paper, by the function that would ask for them. */
static void test_memory(void **state)
{
	static const uint32_t entries[] = {65536, 1000000, 1048576, 1100000, 10000000, 20000000, FLOW_CAPACITY_MAX};

	for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		size_t size = flow_table_size(entries[i]);
		size_t rest = flow_table_size(1); /* header, wheel, one line and one entry */

		print_message("%9u entries: %11zu octets, %6.2f each\n", entries[i], size, (double)size / entries[i]);
		/* the index: 16 to 32 octets an entry, by rounding its lines up to a power of two */
		assert_in_range(size - rest, entries[i] * (FLOW_ENTRY_SIZE + 16ull) - 256,
				entries[i] * (FLOW_ENTRY_SIZE + 32ull));
		assert_true(size <= FLOW_WHEEL_REACH);
	}
	assert_in_range(flow_table_size(20000000), 2000000000, 2400000000);
	assert_in_range(flow_table_size(1) - 64 - FLOW_ENTRY_SIZE, 66000, 70000); /* the wheel, most of all */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_directions),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_seed_matters),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
