/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows whose handshake has not come to its end: how many there may be, and for how long. */
#include "worker/worker_test_world.h"

static struct worker *const w = &world.w;

static void half_open(uint32_t flows, uint32_t max, unsigned exceeded)
{
	world.cfg->limits.flows = flows;
	world.cfg->limits.half_open = max;
	world.tcp_policy.half_open_exceeded = exceeded;
	world_teardown(NULL);
	world_setup(NULL);
}

static void half_open_end(void)
{
	half_open(WORLD_FLOWS, 0, POLICY_HALF_OPEN_BYPASS);
}

/* The budget is for handshakes, not for connections. */
static void test_half_open_budget(void **state)
{
	for (unsigned exceeded = POLICY_HALF_OPEN_BYPASS; exceeded <= POLICY_HALF_OPEN_DROP; exceeded++) {
		uint64_t events = atomic_load(&world.shm->events[0].head);
		unsigned n = 0;

		half_open(512, 40, exceeded);
		for (unsigned i = 0; i < 100; i++) {
			world_one(0, world_tcp(false, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG));
			n += w->tx[1].count;
			world_drop_sent();
		}
		assert_int_equal(flow_table_count(w->flows), 40);
		assert_int_equal(w->half_open.count, 40);
		assert_int_equal(world_count(STATS_half_open_exceeded), 60);
		assert_int_equal(world_count(STATS_bypass_frames), exceeded == POLICY_HALF_OPEN_DROP ? 0 : 60);
		assert_int_equal(n, exceeded == POLICY_HALF_OPEN_DROP ? 40 : 100);
		assert_int_equal(atomic_load(&world.shm->events[0].head), events + 1); /* told once */
		/* those that go on leave room for others, those that were there already count once */
		world_syn(0);
		assert_int_equal(world_count(STATS_half_open_exceeded), 60);
		for (unsigned i = 0; i < 10; i++)
			world_shake(i);
		assert_int_equal(world_count(STATS_flow_established), 10);
		assert_int_equal(w->half_open.count, 30);
		for (unsigned i = 200; i < 210; i++)
			world_syn(i);
		assert_int_equal(flow_table_count(w->flows), 50);
		assert_int_equal(world_count(STATS_half_open_exceeded), 60);
	}
	half_open_end();
}

/* Beyond half the budget they are forgotten after 3 s, oldest first; what is established stays. */
static void test_half_open_ages(void **state)
{
	half_open(512, 40, POLICY_HALF_OPEN_BYPASS);
	for (unsigned i = 0; i < 30; i++)
		world_syn(i);
	world_shake(0);
	w->now_us += 2900000;
	world_syn(100);
	w->now_us += 200000;
	worker_half_open_age(w);
	assert_int_equal(w->half_open.count, 20);
	assert_int_equal(world_count(STATS_half_open_expired), 10);
	assert_int_equal(flow_table_count(w->flows), 21);
	world_shake(1); /* too late: it is in mid-stream */
	assert_int_equal(world_count(STATS_flow_established), 1);
	world_shake(29);
	assert_int_equal(world_count(STATS_flow_established), 2);
	w->now_us += 10000000;
	worker_half_open_age(w);
	assert_int_equal(w->half_open.count, 19); /* no more than half: the usual timeout applies */
	half_open_end();
}

/* A flood between handshakes that go on and others that stay: the ring holds, the count is right, and neither the budget nor
 * the number of steps in a loop is exceeded. */
static void test_half_open_for_long(void **state)
{
	uint32_t x = 9, established = 0;

	half_open(4096, 100, POLICY_HALF_OPEN_DROP);
	for (unsigned i = 0; i < 6000; i++) {
		unsigned port = i % 60000;
		uint32_t n = w->half_open.count;

		x = x * 1664525 + 1013904223;
		world_syn(port);
		if (x >> 30 && w->half_open.count > n) {
			uint32_t flows = flow_table_count(w->flows);

			world_shake(port);
			established++;
			assert_int_equal(w->half_open.count, n);
			/* and gone: only the handshake is of interest here */
			for (uint64_t cursor = 0; flow_table_count(w->flows) == flows;) {
				struct flow_entry *e = flow_table_next(w->flows, &cursor);

				if (!e->half_open)
					worker_flow_forget(w, e);
			}
		}
		w->now_us += 20000;
		assert_true(worker_half_open_age(w) <= 64);
		assert_true(w->half_open.count <= 100);
		assert_true(w->half_open.tail - w->half_open.head <= w->half_open.mask + 1);
		assert_int_equal(w->half_open.count, flow_table_count(w->flows));
	}
	assert_true(established > 3000);
	half_open_end();
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_CASE(test_half_open_budget),
		WORLD_CASE(test_half_open_ages),
		WORLD_CASE(test_half_open_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(run);
}
