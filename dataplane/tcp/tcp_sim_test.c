/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mem/mem_testing.h"
#include "tcp/tcp_sim.h"

#define MIB (1u << 20)

static struct chunk_pool pool;

static struct sim_conf conf_base(void)
{
	struct sim_conf c = {
		.seed = 1, .delay_us = 100, .rcvbuf = 2 * MIB, .mss = 1448, .tick_us = 10,
		.isn = { 0xfffff000u, 77 },
	};

	return c;
}

static void report(const char *what, const struct sim *s)
{
	const struct tcp_env *a = &s->side[0].env, *b = &s->side[1].env;
	double sec = (double)(s->now - 1000000) / 1e6;

	print_message("%-22s %8.3f s %9.1f Mbit/s packets %lu lost %lu | rtx %lu+%lu fast %lu rto "
		      "%lu tlp %lu ooo_drop %lu chal %lu\n",
		      what, sec,
		      (double)(s->side[0].received + s->side[1].received) * 8e-6 / sec,
		      s->packets, s->drops, a->count.retrans, b->count.retrans,
		      a->count.fast_rtx + b->count.fast_rtx, a->count.rto + b->count.rto,
		      a->count.tlp + b->count.tlp, a->count.ooo_dropped + b->count.ooo_dropped,
		      a->count.challenge + b->count.challenge);
}

static void run(const char *what, const struct sim_conf *c, uint64_t limit_s)
{
	struct sim s;
	bool ok;

	sim_open(&s, c, &pool);
	ok = sim_run(&s, limit_s * 1000000);
	report(what, &s);
	if (!ok)
		print_message("  states %d %d received %lu %lu now %lu mismatch %d\n",
			      tcp_half_state(&s.side[0].half), tcp_half_state(&s.side[1].half),
			      s.side[0].received, s.side[1].received, s.now, s.mismatch);
	assert_true(ok);
	assert_false(s.mismatch);
	sim_close(&s);
	assert_true(mem_testing_clean(&pool));
}

static void test_loss(void **state)
{
	static const uint32_t loss[] = { 0, 100, 500, 1000 };
	struct sim_conf c = conf_base();
	char name[32];
	unsigned i, j;

	for (i = 0; i < 4; i++) {
		for (j = 0; j < 2; j++) {
			c.drop = loss[i];
			c.send[0] = 8 * MIB;
			c.send[1] = j ? 2 * MIB : 0;
			c.rate = 125000000;
			c.queue = 512 << 10;
			snprintf(name, sizeof(name), "loss %u%% %s", loss[i] / 100,
				 j ? "both ways" : "one way");
			run(name, &c, 300);
		}
	}
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 24576, 65536);
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
		cmocka_unit_test(test_loss),
	};

	return cmocka_run_group_tests_name("tcp_sim", tests, setup, teardown);
}
