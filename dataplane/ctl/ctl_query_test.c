/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions of control: every flow once, one by its id, and never more than a slice of the table in one call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctl/ctl_query.h"

#define CAPACITY 10000 /* five slices */

struct world {
	struct flow_table *t;
	struct shm_query q;
	uint32_t shown;	  /* calls of the functions below */
	uint64_t without; /* id of a flow that has nothing to show */
};

static struct flow_key key_of(uint32_t n)
{
	struct flow_key k = {.sport = (uint16_t)n, .dport = 80, .proto = 6, .vlan = {PARSE_VLAN_NONE, PARSE_VLAN_NONE}};

	memset(k.src + 10, 0xff, 2);
	memset(k.dst + 10, 0xff, 2);
	memcpy(k.src + 12, &n, 4);
	return k;
}

static bool row(void *ctx, const struct flow_entry *e, struct shm_flow_row *r)
{
	struct world *w = ctx;

	w->shown++;
	r->id = e->id;
	return e->id != w->without;
}

static bool detail(void *ctx, const struct flow_entry *e, struct shm_flow_detail *d)
{
	return row(ctx, e, &d->row);
}

static const struct ctl_query_ops ops = {row, detail};

static void world_begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->t = flow_table_init(aligned_alloc(64, flow_table_size(CAPACITY)), CAPACITY, 1, 77);
	assert_false(ctl_query_asked(&w->q));
	assert_false(ctl_query_poll(&w->q, w->t, &ops, w));
}

static struct flow_entry *insert(struct world *w, uint32_t n)
{
	struct flow_key k = key_of(n);
	struct flow_entry *e;

	assert_int_equal(flow_table_insert(w->t, &k, &e), 0);
	return e;
}

/* Calls until the answer is there. */
static unsigned ask(struct world *w, uint32_t kind, uint64_t what)
{
	unsigned calls = 1;

	w->q.kind = kind;
	w->q.cursor = w->q.id = what;
	w->shown = 0;
	atomic_store(&w->q.ask, atomic_load(&w->q.ask) + 1);
	assert_true(ctl_query_asked(&w->q));
	for (; !ctl_query_poll(&w->q, w->t, &ops, w); calls++) {
		assert_true(ctl_query_asked(&w->q));
		assert_true(calls < 100);
	}
	assert_false(ctl_query_asked(&w->q));
	assert_false(ctl_query_poll(&w->q, w->t, &ops, w));
	return calls;
}

static void every_flow_once(void **state)
{
	uint8_t seen[CAPACITY + 2] = {0};
	unsigned pages = 0, rows = 0;
	struct world w;

	world_begin(&w);
	for (uint32_t i = 0; i < CAPACITY; i++)
		insert(&w, i);
	w.without = (uint64_t)1 << 56 | 7;
	w.q.next = 0;
	do {
		assert_int_equal(ask(&w, SHM_QUERY_ROWS, w.q.next), 1);
		assert_true(w.shown <= SHM_FLOW_ROWS + 1);
		for (uint32_t i = 0; i < w.q.rows; i++)
			assert_int_equal(seen[w.q.row[i].id & UINT32_MAX]++, 0);
		rows += w.q.rows;
		pages++;
	} while (w.q.next);
	assert_int_equal(rows, CAPACITY - 1);
	assert_int_equal(seen[7], 0);
	assert_true(pages >= CAPACITY / SHM_FLOW_ROWS);
	free(w.t);
}

/* A table that is all but empty is gone through in slices too. */
static void an_empty_table_in_slices(void **state)
{
	struct flow_entry *e[3];
	struct world w;

	world_begin(&w);
	assert_int_equal(ask(&w, SHM_QUERY_ROWS, 0), CAPACITY / CTL_QUERY_POSITIONS + 1);
	assert_int_equal(w.q.rows, 0);
	assert_int_equal(w.q.next, 0);
	assert_int_equal(w.q.looked, CAPACITY);
	for (uint32_t i = 0; i < 3; i++)
		e[i] = insert(&w, i);
	flow_table_delete(w.t, e[1]);
	ask(&w, SHM_QUERY_ROWS, 0);
	assert_int_equal(w.q.rows, 2);
	assert_int_equal(w.q.row[1].id, e[2]->id);
	free(w.t);
}

static void one_by_its_id(void **state)
{
	struct flow_entry *e[CAPACITY];
	struct world w;

	world_begin(&w);
	for (uint32_t i = 0; i < CAPACITY; i++)
		e[i] = insert(&w, i);
	assert_int_equal(ask(&w, SHM_QUERY_FLOW, e[0]->id), 1);
	assert_int_equal(w.q.found, 1);
	assert_int_equal(w.q.detail.row.id, e[0]->id);
	assert_int_equal(w.shown, 1);
	assert_int_equal(ask(&w, SHM_QUERY_FLOW, e[CAPACITY - 1]->id), CAPACITY / CTL_QUERY_POSITIONS + 1);
	assert_int_equal(w.q.found, 1);
	assert_int_equal(w.q.detail.row.id, e[CAPACITY - 1]->id);
	assert_int_equal(w.shown, 1);
	/* none such: the whole table, and nothing of the answer before */
	assert_int_equal(ask(&w, SHM_QUERY_FLOW, (uint64_t)1 << 56 | 99999), CAPACITY / CTL_QUERY_POSITIONS + 1);
	assert_int_equal(w.q.found, 0);
	assert_int_equal(w.shown, 0);
	w.without = e[5]->id;
	ask(&w, SHM_QUERY_FLOW, e[5]->id);
	assert_int_equal(w.q.found, 0);
	flow_table_delete(w.t, e[0]);
	ask(&w, SHM_QUERY_FLOW, e[0]->id);
	assert_int_equal(w.q.found, 0);
	free(w.t);
}

/* Who asks while an answer is being made waits for it; the worker does not begin anew by itself. */
static void flows_come_and_go_meanwhile(void **state)
{
	struct world w;
	uint64_t last;

	world_begin(&w);
	for (uint32_t i = 0; i < CAPACITY - 1; i++)
		insert(&w, i);
	last = (uint64_t)1 << 56 | (CAPACITY - 1);
	w.q.kind = SHM_QUERY_FLOW;
	w.q.id = last;
	atomic_store(&w.q.ask, 1);
	assert_false(ctl_query_poll(&w.q, w.t, &ops, &w));
	for (uint32_t i = 0; i < 100; i++) {
		struct flow_key k = key_of(i);
		unsigned side;

		flow_table_delete(w.t, flow_table_lookup(w.t, &k, &side));
	}
	insert(&w, CAPACITY);
	for (unsigned i = 0; !ctl_query_poll(&w.q, w.t, &ops, &w); i++)
		assert_true(i < 10);
	assert_int_equal(w.q.found, 1);
	assert_int_equal(w.q.detail.row.id, last);
	free(w.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flow_once),
		cmocka_unit_test(an_empty_table_in_slices),
		cmocka_unit_test(one_by_its_id),
		cmocka_unit_test(flows_come_and_go_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
