/* SPDX-License-Identifier: BSD-3-Clause */
/* Timer wheel: one timer in each of so many flow entries. */
#include "flow/flow_table.h"
#include "flow/flow_wheel.h"
#include "micro.h"

#define TICK ((uint64_t)FLOW_WHEEL_TICK_US)
#define FAR 3000u /* ticks: retransmission and idle timers lie up to seconds ahead */

struct timers {
	struct flow_wheel *wheel;
	struct flow_entry *entry; /* as far apart as they are in the table */
	uint32_t n;
	uint64_t now, fired;
	bool wrong;
};

static uint64_t ahead(const struct timers *t)
{
	return t->now + TICK + (uint64_t)micro_below(FAR) * TICK + micro_below((uint32_t)TICK);
}

static void timers_make(struct timers *t, uint32_t n)
{
	/* Nodes lie above their wheel. */
	*t = (struct timers){
		.wheel = micro_memory(sizeof(*t->wheel) + n * sizeof(*t->entry), 64),
		.n = n,
		.now = 1000000,
	};
	t->entry = (struct flow_entry *)(t->wheel + 1);
	flow_wheel_init(t->wheel, t->now);
	for (uint32_t i = 0; i < n; i++)
		flow_wheel_arm(t->wheel, &t->entry[i].timer, ahead(t));
}

static void timers_free(struct timers *t)
{
	micro_memory_free(t->wheel);
}

static void fire(void *ctx, struct flow_wheel_node *node)
{
	struct timers *t = ctx;

	/* INV-WHEEL-1: not early, and not later than the tick after. */
	t->wrong |= node->deadline_us > t->now || node->deadline_us + 2 * TICK <= t->now;
	t->fired++;
}

/* All timers fire when their time has come, none twice and none too late. */
static void timers_check(struct bench *b, struct timers *t)
{
	uint32_t armed = t->wheel->armed;

	t->fired = 0;
	for (unsigned i = 0; i < FAR + 2; i++) {
		t->now += TICK;
		flow_wheel_advance(t->wheel, t->now, UINT32_MAX, fire, t);
	}
	if (armed != t->n || t->fired != t->n)
		bench_fail(b, "%lu of %u timers went off, %u were armed", (unsigned long)t->fired,
			   t->n, armed);
	if (t->wrong)
		bench_fail(b, "a timer went off early or late");
}

/* What a segment of a flow costs: its timer moves. */
static void rearm(struct bench *b)
{
	struct flow_wheel_node *node[MICRO_BURST];
	uint64_t at[MICRO_BURST];
	struct timers t;

	timers_make(&t, (uint32_t)bench_arg(b, 0));
	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		for (unsigned i = 0; i < MICRO_BURST; i++) {
			node[i] = &t.entry[micro_below(t.n)].timer;
			at[i] = ahead(&t);
		}
		bench_resume(b);
		for (unsigned i = 0; i < MICRO_BURST; i++)
			flow_wheel_arm(t.wheel, node[i], at[i]);
	}
	timers_check(b, &t);
	timers_free(&t);
}

static void cancel_arm(struct bench *b)
{
	uint32_t pick[MICRO_BURST];
	uint64_t at[MICRO_BURST];
	struct timers t;

	timers_make(&t, (uint32_t)bench_arg(b, 0));
	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		for (unsigned i = 0; i < MICRO_BURST; i++) {
			pick[i] = micro_below(t.n);
			at[i] = ahead(&t);
		}
		bench_resume(b);
		for (unsigned i = 0; i < MICRO_BURST; i++)
			flow_wheel_cancel(t.wheel, &t.entry[pick[i]].timer);
		for (unsigned i = 0; i < MICRO_BURST; i++)
			flow_wheel_arm(t.wheel, &t.entry[pick[i]].timer, at[i]);
	}
	timers_check(b, &t);
	timers_free(&t);
}

static void fire_again(void *ctx, struct flow_wheel_node *node)
{
	struct timers *t = ctx;

	fire(ctx, node);
	flow_wheel_arm(t->wheel, node, ahead(t));
}

/* Timers that go off and are armed anew; an item is one of them, ticks without any included. */
static void advance(struct bench *b)
{
	uint64_t fired = 0;
	struct timers t;

	timers_make(&t, (uint32_t)bench_arg(b, 0));
	while (bench_batch(b, 1)) {
		t.now += TICK;
		fired += flow_wheel_advance(t.wheel, t.now, UINT32_MAX, fire_again, &t);
	}
	if (fired != t.fired)
		bench_fail(b, "%lu timers went off, %lu were counted", (unsigned long)t.fired,
			   (unsigned long)fired);
	bench_items(b, fired ? fired : 1);
	timers_check(b, &t);
	timers_free(&t);
}

static void idle_tick(struct bench *b)
{
	uint64_t fired = 0;
	struct timers t;

	timers_make(&t, 0);
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = 0; i < MICRO_BURST; i++) {
			t.now += TICK;
			fired += flow_wheel_advance(t.wheel, t.now, UINT32_MAX, fire, &t);
		}
	}
	if (fired)
		bench_fail(b, "an empty wheel fired");
	timers_free(&t);
}

void micro_timer(void)
{
	static const int64_t sizes[][BENCH_ARGS_MAX] = {
		{1024}, {65536}, {BENCH_SANITIZED ? 131072 : 1048576}};
	static const int64_t busy[][BENCH_ARGS_MAX] = {{65536},
						       {BENCH_SANITIZED ? 131072 : 1048576}};
	static const struct bench_def defs[] = {
		{.name = "timer/rearm", .fn = rearm, .arg = {"timers"}, MICRO_SETS(sizes)},
		{.name = "timer/cancel_arm",
		 .fn = cancel_arm,
		 .arg = {"timers"},
		 MICRO_SETS(sizes)},
		{.name = "timer/fire_arm", .fn = advance, .arg = {"timers"}, MICRO_SETS(busy)},
		{.name = "timer/idle_tick", .fn = idle_tick},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
