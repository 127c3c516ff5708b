/* SPDX-License-Identifier: BSD-3-Clause */
/* The callout stage against libocp's server agent over real sockets, on a virtual clock. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include "callout/callout_test.h"
#include "ocp/ocp.h"

#define TCP "tcp:127.0.0.1:0"
/* Tests that let the virtual clock run use it: what one end has written is there for the other at once. */
#define UNIX unix_address
static char unix_address[64];
#define MIB (1u << 20)

static void all_closed(struct world *w, uint32_t steps)
{
	uint32_t i;

	for (i = 0; i < w->nitems; i++)
		if (w->item[i].w)
			world_until(w, &w->item[i].closed, 1, steps);
	assert_true(callout_idle(w->port));
}

static void expect_whole(const struct item *it)
{
	assert_int_equal(it->failed, 0);
	assert_int_equal(it->ended, 1);
	assert_int_equal(it->am_starts, 1);
	assert_int_equal(it->am_ends, 1);
	assert_int_equal(it->am_bad, 0);
	assert_int_equal(it->got, it->len);
}

/* One service "a" with its server, one transaction after the other kind of start. */
static void open_one(struct world *w, struct test_server *s, const char *address, enum test_mode mode,
		     uint32_t items)
{
	memset(w, 0, sizeof(*w));
	test_server_open(s, address, mode);
	w->server[0] = s;
	world_image(w, 0, "a", s->address, 1);
	world_open(w, 1024, 1000, items);
}

static void test_echo(void **state)
{
	const char *const addresses[] = {TCP, "tcp:[::1]:0", UNIX};
	unsigned i;

	for (i = 0; i < 3; i++) {
		struct test_server s;
		struct world w;

		open_one(&w, &s, addresses[i], TEST_ECHO, 1);
		world_start(&w, 0, 0, 4 * MIB + 17, false); /* waits for the connection */
		all_closed(&w, 100000);
		expect_whole(&w.item[0]);
		world_steps(&w, 300);
		assert_int_equal(w.shm->service[0].octets_out, w.item[0].len);
		assert_int_equal(w.shm->service[0].octets_in, w.item[0].len);
		assert_int_equal(w.shm->callout_counter[STATS_callout_octets_out], w.item[0].len);
		assert_int_equal(w.shm->callout_counter[STATS_callout_octets_in], w.item[0].len);
		assert_int_equal(w.shm->service[0].state, SHM_SERVICE_UP);
		assert_int_equal(w.shm->service[0].txns_open, 0);
		/* many chunks per message, and per system call */
		assert_true(w.item[0].len / CHUNK > 5 * w.shm->service[0].messages_out);
		assert_true(w.item[0].len / CHUNK > 5 * w.shm->service[0].writes);
		world_close(&w);
	}
}

static void test_as_is(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TCP, TEST_AS_IS, 1);
	world_start(&w, 0, 0, 4 * MIB, true);
	all_closed(&w, 100000);
	expect_whole(&w.item[0]);
	assert_true(w.item[0].as_is > 0);
	assert_int_equal(s.octets, w.item[0].len);
	world_close(&w);
}

static void test_many(void **state)
{
	struct test_server s;
	struct world w = {0};
	uint32_t i;

	test_server_open(&s, TCP, TEST_ECHO);
	w.server[0] = &s;
	world_image(&w, 0, "a", s.address, 2);
	w.img.rules = 2;
	w.img.rule[0] = (struct policy_rule){.service = 0, .priority = 0};
	w.img.rule[1] = (struct policy_rule){.service = 0, .priority = 5};
	world_open(&w, 1024, 1000, 300);
	for (i = 0; i < 300; i++) {
		world_start(&w, i, 0, i % 3 ? i * 100 : 0, i & 1);
		if (i % 40 == 39)
			world_step(&w);
	}
	all_closed(&w, 200000);
	for (i = 0; i < 300; i++)
		expect_whole(&w.item[i]);
	world_steps(&w, 500);
	assert_int_equal(test_server_conns(&s), 4); /* two for each priority in use */
	if (!world_core) /* RFC 4037 has no place for it */
		assert_int_equal(s.priority[0] + s.priority[1] + s.priority[2] + s.priority[3], 10);
	assert_int_equal(w.shm->service[0].txns_total, 300);
	world_close(&w);
}

static void test_killed(void **state)
{
	struct test_server s;
	struct world w;
	uint32_t i;

	open_one(&w, &s, TCP, TEST_ECHO, 20);
	for (i = 0; i < 10; i++)
		world_start(&w, i, 0, 8 * MIB, true);
	while (s.octets < MIB)
		world_step(&w);
	test_server_drop(&s);
	all_closed(&w, 100000);
	for (i = 0; i < 10; i++) {
		assert_int_equal(w.item[i].failed, 1);
		assert_int_equal(w.item[i].cause, CALLOUT_CAUSE_LOST);
	}
	/* at once after the loss there is nothing to wait for */
	world_start(&w, 10, 0, 1000, false);
	all_closed(&w, 10);
	assert_int_equal(w.item[10].cause, CALLOUT_CAUSE_CONNECT);
	world_steps(&w, 400); /* status table */
	world_until_up(&w, 0);
	world_start(&w, 11, 0, MIB, false);
	all_closed(&w, 100000);
	expect_whole(&w.item[11]);
	world_close(&w);
}

static void test_absent(void **state)
{
	struct test_server s;
	struct world w;
	char address[128];

	open_one(&w, &s, UNIX, TEST_ECHO, 4);
	snprintf(address, sizeof(address), "%s", s.address);
	test_server_close(&s);
	world_start(&w, 0, 0, 100000, false); /* first attempt under way: waits, then fails */
	world_until(&w, &w.item[0].failed, 1, 1000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_CONNECT);
	w.step_us = 1000;
	world_steps(&w, 5000);
	assert_in_range(w.shm->service[0].connect_failures, 3, 8); /* it backs off */
	w.step_us = 50;
	world_start(&w, 1, 0, 100, false);
	world_until(&w, &w.item[1].closed, 1, 50);
	assert_int_equal(w.item[1].cause, CALLOUT_CAUSE_CONNECT);
	assert_true(w.shm->service[0].last_error[0]);
	assert_int_equal(w.shm->events[SHM_WORKERS_MAX].head, 1); /* one event, not one for each attempt */

	test_server_open(&s, address, TEST_ECHO);
	w.step_us = 1000;
	world_until_up(&w, 0);
	w.step_us = 50;
	world_start(&w, 2, 0, 100000, false);
	all_closed(&w, 100000);
	expect_whole(&w.item[2]);
	world_close(&w);
}

/* A server that does not read holds up its own transactions by their credit and nobody else's. */
static void test_slow(void **state)
{
	struct test_server slow, quick;
	struct world w = {0};

	test_server_open(&slow, UNIX, TEST_ECHO);
	test_server_open(&quick, TCP, TEST_ECHO);
	w.server[0] = &slow;
	w.server[1] = &quick;
	world_image(&w, 0, "slow", slow.address, 1);
	world_image(&w, 1, "quick", quick.address, 1);
	world_open(&w, 1024, 1000, 4);
	world_start(&w, 0, 0, 1000, false);
	all_closed(&w, 10000);
	slow.deaf = true;
	world_start(&w, 0, 0, 16 * MIB, false);
	world_steps(&w, 2000);
	assert_true(w.item[0].refused);
	/* what the kernel holds, and the credit */
	assert_true(w.item[0].pos - slow.octets < 4 * MIB);
	world_start(&w, 1, 1, 4 * MIB, true);
	world_until(&w, &w.item[1].closed, 1, 100000);
	expect_whole(&w.item[1]);
	assert_true(w.item[0].refused);
	slow.deaf = false;
	all_closed(&w, 100000);
	expect_whole(&w.item[0]);
	assert_true(w.item[0].rooms > 0);
	world_close(&w);
}

static void test_hostile(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, UNIX, TEST_ECHO, 2);
	world_start(&w, 0, 0, 32 * MIB, false);
	while (s.octets < MIB)
		world_step(&w);
	test_server_drop(&s);
	world_until(&w, &w.item[0].closed, 1, 10000);
	world_close(&w);

	open_one(&w, &s, UNIX, TEST_SILENT, 2);
	world_start(&w, 0, 0, 100000, false);
	world_steps(&w, 500);
	test_server_write_raw(&s, "data-have 1 2 x y z (((\r\n");
	all_closed(&w, 10000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_PROTOCOL);
	world_close(&w);

	/* does not speak OCP at all */
	open_one(&w, &s, UNIX, TEST_RAW, 2);
	s.raw = "HTTP/1.1 400 Bad Request\r\n\r\n";
	world_start(&w, 0, 0, 100000, false);
	all_closed(&w, 10000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_NEGOTIATION);
	w.step_us = 1000;
	world_steps(&w, 3000);
	assert_in_range(s.accepted, 2, 8);
	world_close(&w);

	/* accepts and says nothing */
	open_one(&w, &s, UNIX, TEST_ECHO, 2);
	s.deaf = true;
	w.step_us = 1000;
	world_start(&w, 0, 0, 100000, false);
	world_steps(&w, 1900);
	assert_int_equal(w.item[0].failed, 0);
	all_closed(&w, 200);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_CONNECT);
	world_close(&w);
}

/* Rings of 64 elements, a worker that sleeps while the echo comes: nothing is lost, nothing is read beyond. */
static void test_overflow(void **state)
{
	struct test_server s;
	struct world w = {0};
	uint32_t i;

	test_server_open(&s, UNIX, TEST_ECHO);
	w.server[0] = &s;
	world_image(&w, 0, "a", s.address, 1);
	world_open(&w, 64, 1000, 40);
	for (i = 0; i < 40; i++)
		world_start(&w, i, 0, 300000, i & 1);
	for (i = 0; i < 400; i++) {
		w.worker_sleeps = i % 4;
		world_steps(&w, 25);
	}
	w.worker_sleeps = false;
	all_closed(&w, 200000);
	for (i = 0; i < 40; i++)
		expect_whole(&w.item[i]);
	assert_true(w.shm->callout_counter[STATS_ring_full] > 0);
	world_close(&w);
}

/* More ends than the ring has room for, while the callout lcore does not run. */
static void test_ends(void **state)
{
	struct test_server s;
	struct world w;
	uint32_t i;

	open_one(&w, &s, TCP, TEST_ECHO, 900);
	world_steps(&w, 500);
	for (i = 0; i < 900; i++)
		world_start(&w, i, 0, 100000, false);
	world_steps(&w, 3);
	for (i = 0; i < 900; i++)
		if (!w.item[i].end_sent) {
			while (!w.item[i].refused && w.item[i].pos < w.item[i].len)
				item_feed(&w.item[i]);
			item_end(&w.item[i], i & 1);
		}
	all_closed(&w, 10000);
	world_steps(&w, 1000);
	assert_int_equal(s.started, s.ended);
	world_close(&w);
}

static void test_pause(void **state)
{
	struct test_server s;
	struct world w;
	uint64_t at;

	open_one(&w, &s, TCP, TEST_PAUSE, 2);
	world_start(&w, 0, 0, MIB, true);
	world_until(&w, &w.item[0].pauses, 1, 10000);
	world_steps(&w, 100);
	at = s.octets;
	assert_true(at < w.item[0].len);
	world_steps(&w, 100);
	assert_int_equal(s.octets, at);
	test_server_need(&s);
	all_closed(&w, 100000);
	assert_int_equal(w.item[0].needs, 1);
	expect_whole(&w.item[0]);
	/* ended while it is paused */
	world_start(&w, 0, 0, MIB, true);
	world_until(&w, &w.item[0].pauses, 1, 10000);
	item_end(&w.item[0], false);
	all_closed(&w, 100);
	world_steps(&w, 100);
	assert_int_equal(s.started, s.ended);
	world_close(&w);
}

/* The pool has run dry: what needs no buffer of its own still arrives, the rest comes when there are buffers again. */
static void test_no_buffers(void **state)
{
	static struct rte_mbuf *hoard[8192];
	struct test_server s;
	struct world w;
	uint32_t n = 0;

	open_one(&w, &s, UNIX, TEST_CHAOS, 2);
	world_steps(&w, 500);
	s.deaf = true;
	s.started = TEST_AS_IS; /* the first transaction's mode; the next but one is TEST_ECHO */
	world_start(&w, 0, 0, 60000, true);
	world_steps(&w, 100);
	assert_int_equal(w.item[0].pos, 60000);
	while ((hoard[n] = rte_pktmbuf_alloc(w.pool)))
		n++;
	s.deaf = false;
	world_until(&w, &w.item[0].ended, 1, 1000);
	world_until(&w, &w.item[0].closed, 1, 1000);
	expect_whole(&w.item[0]);
	while (n)
		rte_pktmbuf_free(hoard[--n]);

	s.deaf = true;
	s.started = TEST_ECHO;
	world_start(&w, 1, 0, 60000, true);
	world_steps(&w, 100);
	w.worker_sleeps = true; /* keeps what it has got */
	while ((hoard[n] = rte_pktmbuf_alloc(w.pool)))
		n++;
	s.deaf = false;
	world_steps(&w, 500);
	while ((hoard[n] = rte_pktmbuf_alloc(w.pool)))
		n++;
	assert_true(w.shm->callout_counter[STATS_no_mbuf] > 0);
	assert_true(w.item[1].got < 60000);
	while (n)
		rte_pktmbuf_free(hoard[--n]);
	w.worker_sleeps = false;
	all_closed(&w, 1000);
	expect_whole(&w.item[1]);
	world_close(&w);
}

static void test_refused(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TCP, TEST_REFUSE, 1);
	world_start(&w, 0, 0, MIB, false);
	all_closed(&w, 10000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_REFUSED);
	world_close(&w);
}

static void test_leave(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TCP, TEST_LEAVE, 1);
	world_start(&w, 0, 0, MIB, true);
	all_closed(&w, 10000);
	assert_true(w.item[0].left);
	assert_in_range(w.item[0].rest, CHUNK, 65536); /* the first data-have */
	assert_int_equal(w.item[0].got, w.item[0].rest);
	assert_int_equal(w.item[0].am_ends, 0);
	assert_int_equal(w.item[0].failed, 0);
	world_close(&w);
}

static void test_deadline(void **state)
{
	struct test_server s;
	struct world w;

	/* it answers our probes, but the message has ended and nothing comes */
	open_one(&w, &s, UNIX, TEST_SILENT, 2);
	w.step_us = 1000;
	world_start(&w, 0, 0, 10000, false);
	world_steps(&w, 9000);
	assert_int_equal(w.item[0].failed, 0);
	world_until(&w, &w.item[0].closed, 1, 25000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_DEADLINE);
	/* it is stopped: dead after idle probe and its timeout */
	world_start(&w, 1, 0, 10000, false);
	world_steps(&w, 100);
	s.deaf = true;
	world_steps(&w, 4000);
	assert_int_equal(w.item[1].failed, 0);
	world_until(&w, &w.item[1].closed, 1, 9000);
	assert_int_equal(w.item[1].cause, CALLOUT_CAUSE_LOST);
	world_close(&w);
}

static void test_overload(void **state)
{
	struct test_server s;
	struct world w = {0};
	uint32_t i, failed = 0;

	test_server_open(&s, TCP, TEST_SILENT);
	w.server[0] = &s;
	world_image(&w, 0, "a", s.address, 2);
	world_open(&w, 1024, 3, 10);
	world_steps(&w, 500);
	for (i = 0; i < 10; i++) {
		world_start(&w, i, 0, 1000, false);
		world_steps(&w, 5);
	}
	for (i = 0; i < 10; i++)
		if (w.item[i].failed) {
			assert_int_equal(w.item[i].cause, CALLOUT_CAUSE_OVERLOAD);
			failed++;
		} else {
			item_end(&w.item[i], true);
		}
	assert_int_equal(failed, 4);
	all_closed(&w, 1000);
	world_close(&w);
}

static void test_adopt(void **state)
{
	struct test_server a, b;
	struct world w = {0};
	uint32_t before;

	test_server_open(&a, TCP, TEST_ECHO);
	test_server_open(&b, TCP, TEST_ECHO);
	w.server[0] = &a;
	w.server[1] = &b;
	world_image(&w, 0, "a", a.address, 1);
	world_image(&w, 1, "b", b.address, 1);
	world_open(&w, 1024, 1000, 8);
	world_steps(&w, 500);
	world_start(&w, 0, 0, 8 * MIB, true);
	world_start(&w, 1, 1, 8 * MIB, true);
	while (b.octets < MIB)
		world_step(&w);
	/* b stays as it is, a goes, in another order */
	before = b.accepted;
	w.img.service[0] = w.img.service[1];
	w.img.services = 1;
	w.img.generation++;
	assert_int_equal(callout_lcore_adopt(w.l, &w.img), 0);
	all_closed(&w, 200000);
	expect_whole(&w.item[0]); /* what had begun goes on */
	expect_whole(&w.item[1]);
	w.step_us = 1000;
	world_steps(&w, 3000);
	assert_int_equal(test_server_conns(&a), 0);
	assert_int_equal(b.accepted, before);
	assert_int_equal(w.shm->nservices, 1);
	assert_string_equal(w.shm->service[0].name, "b");
	/* a new address under the old name */
	w.step_us = 50;
	world_image(&w, 0, "b", a.address, 1);
	assert_int_equal(callout_lcore_adopt(w.l, &w.img), 0);
	world_start(&w, 2, 0, MIB, false);
	all_closed(&w, 100000);
	expect_whole(&w.item[2]);
	assert_true(a.octets > MIB);
	/* the worker has newer rules than the callout lcore: it waits for them */
	world_image(&w, 1, "new", a.address, 1);
	world_start(&w, 3, 1, 100000, false);
	world_start(&w, 4, 1, 100000, false);
	world_steps(&w, 50);
	item_end(&w.item[4], false);
	world_until(&w, &w.item[4].closed, 1, 50);
	assert_int_equal(callout_lcore_adopt(w.l, &w.img), 0);
	world_until(&w, &w.item[3].closed, 1, 10000);
	expect_whole(&w.item[3]);
	/* a service that the newest image does not have */
	w.img.generation--;
	world_image(&w, 1, "none", a.address, 1);
	world_start(&w, 5, 1, 100, false);
	all_closed(&w, 1000);
	assert_int_equal(w.item[5].cause, CALLOUT_CAUSE_CONNECT);
	world_close(&w);
}

static uint32_t chance(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % n;
}

/* Every mode at random, connections dropped, garbage, a server that falls silent, a worker that sleeps or ends early: each
 * transaction is closed exactly once, what has come is right, and every buffer comes back. */
static void test_chaos(void **state)
{
	struct test_server s;
	struct world w = {0};
	uint32_t i, round, seed = 4711, closed = 0;

	test_server_open(&s, UNIX, TEST_CHAOS);
	w.server[0] = &s;
	world_image(&w, 0, "a", s.address, 3);
	w.img.service[0].retry_us = 1000;
	w.img.service[0].deadline_us = 300000;
	w.img.service[0].idle_probe_us = 50000;
	w.img.service[0].probe_timeout_us = 50000;
	world_open(&w, 128, 20, 60);
	for (round = 0; round < 20000; round++) {
		struct item *it = &w.item[chance(&seed, 60)];

		if (!it->w || it->closed) {
			closed += it->closed;
			if (callout_room(w.port))
				world_start(&w, it - w.item, 0, chance(&seed, 4) ? chance(&seed, 200000) : 0, true);
		} else if (!it->end_sent && !chance(&seed, 200)) {
			item_end(it, chance(&seed, 2));
		}
		w.worker_sleeps = chance(&seed, 100) < 30;
		s.deaf = chance(&seed, 100) < 10 || round % 4000 > 3000;
		if (!chance(&seed, 700))
			test_server_drop(&s);
		if (!chance(&seed, 700))
			test_server_write_raw(&s, chance(&seed, 2) ? "data-need 1 1 0;\r\nfoo 1;\r\n" : "}{");
		if (!chance(&seed, 20))
			test_server_need(&s);
		world_step(&w);
	}
	w.worker_sleeps = s.deaf = false;
	for (i = 0; i < 60; i++)
		if (w.item[i].w && !w.item[i].end_sent)
			item_end(&w.item[i], true);
	all_closed(&w, 1000);
	assert_true(closed > 1000);
	world_steps(&w, 500);
	assert_int_equal(w.shm->service[0].txns_open, 0);
	world_close(&w);
}

/* Everything is still open. */
static void test_destroy(void **state)
{
	struct test_server s;
	struct world w;
	uint32_t i;

	open_one(&w, &s, TCP, TEST_ECHO, 20);
	for (i = 0; i < 20; i++)
		world_start(&w, i, 0, 8 * MIB, false);
	world_steps(&w, 300);
	s.deaf = true;
	world_steps(&w, 300);
	world_close(&w);
}

static void test_create(void **state)
{
	struct callout_config cfg = {.nworkers = 1, .ring_size = 100, .txns_max = 10};
	struct callout_lcore *l;

	assert_int_equal(callout_lcore_create(&l, &cfg), -EINVAL);
	assert_null(l);
	cfg.ring_size = 128;
	cfg.nworkers = 0;
	assert_int_equal(callout_lcore_create(&l, &cfg), -EINVAL);
	assert_string_equal(callout_cause_name(CALLOUT_CAUSE_DEADLINE), "deadline");
	assert_string_equal(callout_cause_name(CALLOUT_CAUSE_MAX), "unknown");
}

static int run(bool core)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_as_is),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_no_buffers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_chaos),
		cmocka_unit_test(test_destroy),
	};

	world_core = core;
	test_server_dialects = core ? OCP_HAS(OCP_DIALECT_CORE) : 0;
	return cmocka_run_group_tests_name(core ? "core" : "draft", tests, NULL, NULL);
}

/* argument: pattern of the tests to run */
int main(int argc, char **argv)
{
	char *eal[] = {"callout_test", "--no-huge", "--no-pci", "--no-shconf", "-m", "128",
		       "-l", "0", "--log-level", "error", NULL};

	snprintf(unix_address, sizeof(unix_address), "unix:/tmp/callout_test.%d", getpid());
	if (rte_eal_init(10, eal) < 0)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return run(false) + run(true);
}
