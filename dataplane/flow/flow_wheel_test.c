/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow/flow_wheel.h"

#define ALL UINT32_MAX
#define SECOND 1000000ull
#define SPAN (1ull << FLOW_WHEEL_SPAN_BITS)

struct timer {
	struct flow_wheel_node n; /* first: the node is the timer */
	uint64_t fired_at;
	uint32_t times;
};

/* Nodes lie above their wheel, so the timers come with it. */
struct world {
	struct flow_wheel w;
	uint64_t now;
	uint64_t rearm_us;    /* != 0: fn arms again that much later */
	struct timer *victim; /* cancelled by fn */
	struct timer t[];
};

static void fire(void *ctx, struct flow_wheel_node *n)
{
	struct world *x = ctx;
	struct timer *t = (struct timer *)n;

	assert_false(flow_wheel_armed(n));     /* INV-WHEEL-2 */
	assert_true(x->now >= n->deadline_us); /* INV-WHEEL-1 */
	t->fired_at = x->now;
	t->times++;
	if (x->victim)
		flow_wheel_cancel(&x->w, &x->victim->n);
	if (x->rearm_us)
		flow_wheel_arm(&x->w, n, x->now + x->rearm_us - 1);
}

static struct world *world_new(uint64_t now, uint32_t timers)
{
	size_t size = (sizeof(struct world) + timers * sizeof(struct timer) + 63) & ~63ull;
	struct world *x = aligned_alloc(64, size);

	assert_non_null(x);
	memset(x, 0, size);
	x->now = now;
	flow_wheel_init(&x->w, now);
	assert_true(flow_wheel_reaches(&x->w, x->t, timers * sizeof(struct timer)));
	return x;
}

static uint32_t step(struct world *x, uint64_t us)
{
	x->now += us;
	return flow_wheel_advance(&x->w, x->now, ALL, fire, x);
}

static void test_fires_in_time(void **state)
{
	struct world *x = world_new(123456789, 1);

	for (uint64_t d = 0; d < 10000; d += 37) {
		uint64_t due = x->now + d;

		x->t->times = 0;
		flow_wheel_arm(&x->w, &x->t->n, due);
		while (!x->t->times)
			step(x, 100);
		assert_true(x->t->fired_at >= due);
		assert_true(x->t->fired_at < due + 2 * FLOW_WHEEL_TICK_US + 100);
		assert_int_equal(x->w.armed, 0);
	}
	free(x);
}

/* Every distance at which a level ends, from every place in a span. */
static void test_levels_meet(void **state)
{
	static const uint64_t edge[] = {1, SPAN, 2 * SPAN, 3 * SPAN, SPAN * SPAN, 2 * SPAN * SPAN, 2 * SPAN * SPAN + SPAN};

	for (uint64_t start = 0; start < 6000; start += 777) {
		for (unsigned i = 0; i < sizeof(edge) / sizeof(edge[0]); i++) {
			struct world *x = world_new((SPAN * SPAN - 3000 + start) * 1000, 3);
			uint64_t due = x->now + edge[i] * 1000;

			for (unsigned k = 0; k < 3; k++)
				flow_wheel_arm(&x->w, &x->t[k].n, due + (k - 1ull) * 1000);
			step(x, edge[i] * 1000 - 1500); /* over all the ticks between at once */
			for (unsigned k = 0; k < 6; k++)
				step(x, 1000);
			for (unsigned k = 0; k < 3; k++) {
				assert_int_equal(x->t[k].times, 1);
				assert_true(x->t[k].fired_at < due + (k - 1ull) * 1000 + 2000 || edge[i] == 1);
			}
			free(x);
		}
	}
}

/* Looked at when it is armed and once for each level: not once in a turn. */
static void test_hours_are_not_looked_at(void **state)
{
	struct world *x = world_new(5, 1);
	uint64_t due = x->now + 3 * 3600 * SECOND + 1234;
	struct flow_wheel_link was;
	unsigned moves = 0;

	flow_wheel_arm(&x->w, &x->t->n, due);
	was = x->t->n.link;
	while (x->now + 22000 < due) {
		step(x, 20000);
		moves += memcmp(&was, &x->t->n.link, sizeof(was)) != 0;
		was = x->t->n.link;
		assert_int_equal(x->t->times, 0);
	}
	assert_int_equal(moves, 2);
	step(x, 30000);
	assert_int_equal(x->t->times, 1);
	free(x);
}

/* 297 hours are all the levels have; longer ones go round. */
static void test_beyond_the_top(void **state)
{
	struct world *x = world_new(77, 2);
	uint64_t due = x->now + 310 * 3600 * SECOND;

	flow_wheel_arm(&x->w, &x->t[0].n, due);
	flow_wheel_arm(&x->w, &x->t[1].n, UINT64_MAX - 1);
	while (x->now + 2 * SECOND < due) {
		step(x, SECOND);
		assert_int_equal(x->t[0].times, 0);
	}
	step(x, 2 * SECOND + 1000);
	assert_int_equal(x->t[0].times, 1);
	assert_int_equal(x->t[1].times, 0);
	assert_true(flow_wheel_armed(&x->t[1].n));
	free(x);
}

static void test_rearm_and_cancel(void **state)
{
	struct world *x = world_new(1000000, 1);
	struct timer *t = x->t;

	flow_wheel_arm(&x->w, &t->n, x->now + 5000);
	flow_wheel_arm(&x->w, &t->n, x->now + 50000); /* later */
	assert_int_equal(x->w.armed, 1);
	step(x, 20000);
	assert_int_equal(t->times, 0);
	flow_wheel_arm(&x->w, &t->n, x->now + 3000); /* earlier */
	step(x, 4000);
	assert_int_equal(t->times, 1);
	flow_wheel_arm(&x->w, &t->n, x->now + 3000);
	flow_wheel_cancel(&x->w, &t->n);
	flow_wheel_cancel(&x->w, &t->n);
	flow_wheel_arm(&x->w, &t->n, x->now + 3000);
	flow_wheel_arm(&x->w, &t->n, UINT64_MAX);
	assert_int_equal(x->w.armed, 0);
	step(x, 100000);
	assert_int_equal(t->times, 1);
	free(x);
}

/* Later, then earlier than that but later than at first: the place in the wheel is the first one. */
static void test_back_and_forth(void **state)
{
	struct world *x = world_new(1000000, 1);
	struct timer *t = x->t;

	flow_wheel_arm(&x->w, &t->n, x->now + 50000);
	flow_wheel_arm(&x->w, &t->n, x->now + 5000 * SECOND);
	flow_wheel_arm(&x->w, &t->n, x->now + 90000);
	for (int i = 0; i < 89; i++)
		assert_int_equal(step(x, 1000), 0);
	assert_int_equal(step(x, 2000), 1);
	free(x);
}

static void test_past_deadline_fires_next_tick(void **state)
{
	struct world *x = world_new(1000000, 1);

	flow_wheel_arm(&x->w, &x->t->n, 0);
	assert_int_equal(step(x, 10), 0);
	assert_int_equal(step(x, 1000), 1);
	free(x);
}

/* A function that arms for "now" must not be called again in the same advance, or a worker would
 * hang in it: INV-WHEEL-5. */
static void test_rearm_inside_is_later(void **state)
{
	struct world *x = world_new(1000000, 1);

	x->rearm_us = 1;
	flow_wheel_arm(&x->w, &x->t->n, x->now + 1000);
	for (int i = 1; i <= 100; i++) {
		step(x, 1000);
		assert_int_equal(x->t->times, i);
	}
	assert_int_equal(step(x, 100000000), 1);
	free(x);
}

static void test_cancel_inside(void **state)
{
	struct world *x = world_new(1000000, 2);

	flow_wheel_arm(&x->w, &x->t[0].n, x->now + 2000);
	flow_wheel_arm(&x->w, &x->t[1].n, x->now + 2000);
	x->victim = &x->t[1];
	assert_int_equal(step(x, 10000), 1);
	assert_int_equal(x->t[0].times, 1);
	assert_int_equal(x->t[1].times, 0);
	assert_int_equal(x->w.armed, 0);
	free(x);
}

static void test_long_pause_meets_all(void **state)
{
	struct world *x = world_new(77, 20000);

	for (int i = 0; i < 20000; i++)
		flow_wheel_arm(&x->w, &x->t[i].n, x->now + (uint64_t)i * 997);
	assert_int_equal(step(x, 20000ull * 1000 + 5000), 20000);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(x->t[i].times, 1);
	free(x);
}

/* A million timers of one tick, armed hours ahead: whether they are spread over levels or fired, no call does more than
 * its budget, and a timer of a few milliseconds is not late unless it is of their tick. */
static void test_million_in_slices(void **state)
{
	enum { N = 1000000, BUDGET = 256 };
	struct world *x = world_new(9 * SECOND, N + 1);
	uint64_t due = x->now + 3 * 3600 * SECOND;
	uint32_t beats = 0, calls = 0, fired, all = 0;
	struct timer *heart = &x->t[N];

	for (uint32_t i = 0; i < N; i++)
		flow_wheel_arm(&x->w, &x->t[i].n, due);
	flow_wheel_arm(&x->w, &heart->n, x->now + 3000);
	while (all < N) {
		uint64_t late = heart->n.deadline_us + 2 * FLOW_WHEEL_TICK_US;

		x->now += flow_wheel_behind(&x->w) ? 100 : 1000; /* a busy loop, an idle one */
		fired = flow_wheel_advance(&x->w, x->now, BUDGET, fire, x);
		assert_true(fired <= BUDGET); /* INV-WHEEL-4 */
		if (heart->times) {
			assert_true(heart->fired_at < late || heart->n.deadline_us / 1000 == due / 1000);
			heart->times = 0;
			fired--;
			beats++;
			flow_wheel_arm(&x->w, &heart->n, x->now + 3000);
		} else {
			assert_true(x->now < late || heart->n.deadline_us / 1000 == due / 1000);
		}
		all += fired;
		calls += fired != 0;
	}
	assert_true(calls <= 4 * (N / BUDGET) + 1);
	assert_true(beats > 1000);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(x->t[i].times, 1);
	assert_true(x->now < due + 2 * SECOND);
	free(x);
}

/* Slots are opened so early that small budgets suffice to have every node in place: many timers from the first tick of a
 * top level's span on, and none is late. */
static void test_opened_ahead(void **state)
{
	enum { N = 20000, BUDGET = 32 };
	struct world *x = world_new(SPAN * SPAN * 1000 - 5000, N);
	uint64_t first = 3 * SPAN * SPAN * 1000;
	uint32_t all = 0;

	for (uint32_t i = N; i-- > 0;) /* the last one first */
		flow_wheel_arm(&x->w, &x->t[i].n, first + i * 100);
	while (all < N) {
		assert_true(x->now < first + N * 100 + SECOND);
		x->now += 1000;
		all += flow_wheel_advance(&x->w, x->now, BUDGET, fire, x);
	}
	for (uint32_t i = 0; i < N; i++)
		assert_in_range(x->t[i].fired_at, first + i * 100, first + i * 100 + 2000);
	free(x);
}

/* The obvious model: a list of deadlines. Fires are compared one by one, budgets are of all sizes; what is due is
 * fired at most so many calls later as INV-WHEEL-4 says. */
static void model_run(uint32_t timers, uint32_t steps, uint64_t far_us, uint32_t budget_max, unsigned seed)
{
	struct world *x = world_new(987654321, timers);
	uint64_t *deadline = malloc(timers * sizeof(*deadline)); /* UINT64_MAX: not armed */
	uint32_t armed = 0;

	for (uint32_t i = 0; i < timers; i++)
		deadline[i] = UINT64_MAX;
	srandom(seed);
	for (uint32_t n = 0; n < steps; n++) {
		uint32_t i = (uint32_t)random() % timers, fired = 0;
		uint32_t budget = budget_max == ALL ? ALL : FLOW_WHEEL_BUDGET_MIN + (uint32_t)random() % budget_max;
		uint64_t at = x->now + (uint64_t)random() * 1009 % (random() % 4 ? 50000 : far_us);

		if (random() % 4 == 0)
			at = UINT64_MAX;
		armed += (at != UINT64_MAX) - (deadline[i] != UINT64_MAX);
		if (at == UINT64_MAX && random() % 2)
			flow_wheel_cancel(&x->w, &x->t[i].n);
		else
			flow_wheel_arm(&x->w, &x->t[i].n, at);
		deadline[i] = at;
		x->now += (uint64_t)random() % (random() % 1000 ? 700 : far_us / 50);
		fired = flow_wheel_advance(&x->w, x->now, budget, fire, x);
		assert_true(fired <= budget);
		armed -= fired;
		assert_int_equal(x->w.armed, armed);
		if (fired || n % 64 == 0) {
			uint32_t seen = 0;

			for (uint32_t k = 0; k < timers; k++) {
				if (x->t[k].times) {
					assert_int_equal(x->t[k].times, 1);
					assert_true(deadline[k] <= x->now);
					deadline[k] = UINT64_MAX;
					x->t[k].times = 0;
					seen++;
				}
				assert_int_equal(flow_wheel_armed(&x->t[k].n), deadline[k] != UINT64_MAX);
				if (!flow_wheel_behind(&x->w) && deadline[k] != UINT64_MAX)
					assert_true(deadline[k] + FLOW_WHEEL_TICK_US > x->now); /* INV-WHEEL-1 */
			}
			assert_int_equal(seen, fired);
		}
	}
	for (uint32_t call = 0; armed; call++) {
		x->now += far_us / 2;
		armed -= flow_wheel_advance(&x->w, x->now, ALL, fire, x);
		assert_true(call < 8);
	}
	free(deadline);
	free(x);
}

static void test_random_against_model(void **state)
{
	model_run(40, 1000000, 9000000, ALL, 7);
	model_run(40, 1000000, 4000 * SECOND, ALL, 8);
	model_run(40, 1000000, 9000000, 20, 9);
	model_run(300, 200000, 100 * SECOND, 5, 10);
	model_run(40, 5000, 20 * 3600 * SECOND, 50000, 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fires_in_time),
		cmocka_unit_test(test_levels_meet),
		cmocka_unit_test(test_hours_are_not_looked_at),
		cmocka_unit_test(test_beyond_the_top),
		cmocka_unit_test(test_rearm_and_cancel),
		cmocka_unit_test(test_back_and_forth),
		cmocka_unit_test(test_past_deadline_fires_next_tick),
		cmocka_unit_test(test_rearm_inside_is_later),
		cmocka_unit_test(test_cancel_inside),
		cmocka_unit_test(test_long_pause_meets_all),
		cmocka_unit_test(test_million_in_slices),
		cmocka_unit_test(test_opened_ahead),
		cmocka_unit_test(test_random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
