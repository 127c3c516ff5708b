/* SPDX-License-Identifier: BSD-3-Clause */
/* An end that takes nothing keeps its connection while there is memory, and loses it when there is none. */
#include "session_test_world.h"

#include <string.h>
#include <rte_mbuf.h>

static const char rules[] = "  - {name: stream, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";

static char text[40000];

/* Side has sent much, and nothing of it is acknowledged by the other one for a while. */
static void stalled(unsigned side)
{
	world.service = SERVICE_AS_IS;
	world_open();
	world_send(side, "x", 1);
	world_pass(3000000);
	world_send(side, text, sizeof(text));
	world_round();
	world.no_tx = true; /* nothing of ours gets through */
	world_pass(20000000);
	assert_non_null(world.s);
	assert_int_equal(world.s->state, SESSION_OPEN);
	assert_true(tcp_half_send_pending(&world.s->half[!side]) > 0);
}

static void test_patience(void **state)
{
	for (unsigned side = 0; side < 2; side++) {
		uint64_t before = world_count(STATS_flow_stalled);

		stalled(side);
		world.no_tx = false;
		world_pass(100000000);
		assert_int_equal(world.end[!side].len, 1 + sizeof(text));
		assert_int_equal(world_count(STATS_flow_stalled), before);
		world_close();
	}
}

static void test_no_patience(void **state)
{
	for (unsigned side = 0; side < 2; side++) {
		uint64_t before = world_count(STATS_flow_stalled), head = world.events->head;

		stalled(side);
		world_starve(1000, 60);
		world_pass(70000000);
		assert_int_equal(world_count(STATS_flow_stalled), before + 1);
		assert_null(world.s);
		assert_string_equal(world.events->e[head].kind, "flow-stalled");
		assert_non_null(strstr(world.events->e[head].text, side ? "the client" : "the server"));
		world.no_tx = false;
		world_close();
	}
}

/* One that reads, if only now and then, is not touched by the same want of memory. */
static void test_slow_reader_stays(void **state)
{
	uint64_t before = world_count(STATS_flow_stalled);

	world.service = SERVICE_AS_IS;
	world_open();
	world_send(1, text, 3000);
	world_pass(3000000);
	assert_int_equal(world.end[0].len, 3000);
	world_starve(1000, 200); /* scarce, not exhausted */
	for (unsigned i = 0; i < 60; i++) {
		world.no_tx = true;
		world_send(1, text, 500);
		world_pass(700000);
		world.no_tx = false;
		world_pass(3000000);
		assert_non_null(world.s);
	}
	assert_int_equal(world.end[0].len, 3000 + 60 * 500);
	assert_int_equal(world_count(STATS_flow_stalled), before);
	world_close();
}

static int run(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_slow_reader_stays), cmocka_unit_test(test_patience),
					   cmocka_unit_test(test_no_patience)};

	memset(text, 's', sizeof(text));
	return world_run(tests, 1023, 4095, rules, NULL);
}

int main(void)
{
	return world_main(run);
}
