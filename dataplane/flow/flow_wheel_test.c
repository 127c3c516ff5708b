/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow/flow_wheel.h"

struct timer {
	struct flow_wheel_node n; /* first: the node is the timer */
	uint64_t fired_at;
	uint32_t times;
};

struct world {
	struct flow_wheel w;
	uint64_t now;
	uint64_t rearm_us;    /* != 0: fn arms again that much later */
	struct timer *victim; /* cancelled by fn */
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

static struct world *world_new(uint64_t now)
{
	struct world *x = calloc(1, sizeof(*x));

	x->now = now;
	flow_wheel_init(&x->w, now);
	return x;
}

static uint32_t step(struct world *x, uint64_t us)
{
	x->now += us;
	return flow_wheel_advance(&x->w, x->now, fire, x);
}

static void test_fires_in_time(void **state)
{
	struct world *x = world_new(123456789);
	struct timer t = {0};

	for (uint64_t d = 0; d < 10000; d += 37) {
		uint64_t due = x->now + d;

		t.times = 0;
		flow_wheel_arm(&x->w, &t.n, due);
		while (!t.times)
			step(x, 100);
		assert_true(t.fired_at >= due);
		assert_true(t.fired_at < due + 2 * FLOW_WHEEL_TICK_US + 100);
		assert_int_equal(x->w.armed, 0);
	}
	free(x);
}

static void test_far_deadline_waits_turns(void **state)
{
	struct world *x = world_new(5);
	struct timer t = {0};
	uint64_t due = x->now + 10ull * FLOW_WHEEL_SLOTS * FLOW_WHEEL_TICK_US + 1234;

	flow_wheel_arm(&x->w, &t.n, due);
	while (x->now + 5000 < due) {
		step(x, 4999);
		assert_int_equal(t.times, 0);
	}
	step(x, 7000);
	assert_int_equal(t.times, 1);
	free(x);
}

static void test_rearm_and_cancel(void **state)
{
	struct world *x = world_new(1000000);
	struct timer t = {0};

	flow_wheel_arm(&x->w, &t.n, x->now + 5000);
	flow_wheel_arm(&x->w, &t.n, x->now + 50000); /* later */
	assert_int_equal(x->w.armed, 1);
	step(x, 20000);
	assert_int_equal(t.times, 0);
	flow_wheel_arm(&x->w, &t.n, x->now + 3000); /* earlier */
	step(x, 4000);
	assert_int_equal(t.times, 1);
	flow_wheel_arm(&x->w, &t.n, x->now + 3000);
	flow_wheel_cancel(&x->w, &t.n);
	flow_wheel_cancel(&x->w, &t.n);
	flow_wheel_arm(&x->w, &t.n, x->now + 3000);
	flow_wheel_arm(&x->w, &t.n, UINT64_MAX);
	assert_int_equal(x->w.armed, 0);
	step(x, 100000);
	assert_int_equal(t.times, 1);
	free(x);
}

static void test_past_deadline_fires_next_tick(void **state)
{
	struct world *x = world_new(1000000);
	struct timer t = {0};

	flow_wheel_arm(&x->w, &t.n, 0);
	assert_int_equal(step(x, 10), 0);
	assert_int_equal(step(x, 1000), 1);
	free(x);
}

/* A function that arms for "now" must not be called again in the same advance, or a worker would
 * hang in it. */
static void test_rearm_inside_is_later(void **state)
{
	struct world *x = world_new(1000000);
	struct timer t = {0};

	x->rearm_us = 1;
	flow_wheel_arm(&x->w, &t.n, x->now + 1000);
	for (int i = 1; i <= 100; i++) {
		step(x, 1000);
		assert_int_equal(t.times, i);
	}
	assert_int_equal(step(x, 100000000), 1);
	free(x);
}

static void test_cancel_inside(void **state)
{
	struct world *x = world_new(1000000);
	struct timer a = {0}, b = {0};

	flow_wheel_arm(&x->w, &a.n, x->now + 2000);
	flow_wheel_arm(&x->w, &b.n, x->now + 2000);
	x->victim = &b;
	assert_int_equal(step(x, 10000), 1);
	assert_int_equal(a.times, 1);
	assert_int_equal(b.times, 0);
	assert_int_equal(x->w.armed, 0);
	free(x);
}

static void test_long_pause_meets_all(void **state)
{
	struct world *x = world_new(77);
	struct timer *t = calloc(20000, sizeof(*t));

	for (int i = 0; i < 20000; i++)
		flow_wheel_arm(&x->w, &t[i].n, x->now + (uint64_t)i * 997);
	assert_int_equal(step(x, 20000ull * 1000 + 5000), 20000);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(t[i].times, 1);
	free(t);
	free(x);
}

static void test_random_against_model(void **state)
{
	enum { N = 300 };
	struct world *x = world_new(987654321);
	struct timer *t = calloc(N, sizeof(*t));
	uint32_t armed = 0;

	srandom(7);
	for (int round = 0; round < 20000; round++) {
		struct timer *a = &t[random() % N];
		bool was = flow_wheel_armed(&a->n);

		if (random() % 4) {
			flow_wheel_arm(&x->w, &a->n, x->now + random() % 9000000);
			armed += !was;
		} else {
			flow_wheel_cancel(&x->w, &a->n);
			armed -= was;
		}
		armed -= step(x, random() % 3000);
		assert_int_equal(x->w.armed, armed);
		for (int i = 0; i < N; i++)
			assert_true(!flow_wheel_armed(&t[i].n) ||
				    t[i].n.deadline_us + FLOW_WHEEL_TICK_US > x->now);
	}
	free(t);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fires_in_time),
		cmocka_unit_test(test_far_deadline_waits_turns),
		cmocka_unit_test(test_rearm_and_cancel),
		cmocka_unit_test(test_past_deadline_fires_next_tick),
		cmocka_unit_test(test_rearm_inside_is_later),
		cmocka_unit_test(test_cancel_inside),
		cmocka_unit_test(test_long_pause_meets_all),
		cmocka_unit_test(test_random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
