/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the documents ask of the callout stage, rule by rule, against libocp's server agent over real sockets: refusals at
 * each level, faults that are named, priorities, predictions, acknowledgements; and of RFC 4037 and 4236 what reaches
 * the workers of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include "callout/callout_test.h"
#include "ocp/ocp.h"

#define UNIX unix_address
static char unix_address[64];
#define MIB (1u << 20)
#define REQUEST "Protocol: HTTP/1.1\r\nKind: request\r\n"
#define STREAM "Protocol: TCP\r\nKind: stream\r\n"

static void all_closed(struct world *w, uint32_t steps)
{
	for (uint32_t i = 0; i < w->nitems; i++)
		if (w->item[i].w)
			world_until(w, &w->item[i].closed, 1, steps);
}

static void open_one(struct world *w, struct test_server *s, enum test_mode mode, uint32_t items)
{
	memset(w, 0, sizeof(*w));
	test_server_open(s, UNIX, mode);
	w->server[0] = s;
	world_image(w, 0, "a", s->address, 1);
	world_open(w, 1024, 1000, items);
}

/* Takes over a change of w->img. */
static void adopt(struct world *w)
{
	w->img.generation++;
	assert_int_equal(callout_lcore_adopt(w->l, &w->img), 0);
}

static void expect_whole(const struct item *it)
{
	assert_int_equal(it->failed, 0);
	assert_int_equal(it->ended, 1);
	assert_int_equal(it->am_bad, 0);
	assert_int_equal(it->got, it->len);
}

/* --- refusals --------------------------------------------------------------------------------------------- */

/* <58> <69> <77>, RFC 4037 11.1, 11.5, 11.7: each has its cause, and so its cell of the exception policy. */
static void test_refused_at_each_level(void **state)
{
	static const struct {
		enum test_mode mode;
		enum callout_cause cause;
	} level[] = {{TEST_REFUSE_CONN, CALLOUT_CAUSE_NEGOTIATION},
		     {TEST_REFUSE, CALLOUT_CAUSE_REFUSED},
		     {TEST_REFUSE_ORIGINAL, CALLOUT_CAUSE_REFUSED}};

	for (unsigned i = 0; i < RTE_DIM(level); i++) {
		struct test_server s;
		struct world w;

		open_one(&w, &s, level[i].mode, 1);
		world_start(&w, 0, 0, MIB, true);
		all_closed(&w, 20000);
		assert_int_equal(w.item[0].failed, 1);
		assert_int_equal(w.item[0].cause, level[i].cause);
		world_close(&w);
	}
}

/* One adapted message refused: the worker hears of that message, the connection serves others. */
static void test_adapted_message_ended_with_error(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TEST_REFUSE_ADAPTED, 1);
	world_start(&w, 0, 0, 1000, true);
	world_until(&w, &w.item[0].am_bad, 1, 20000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_NONE); /* it broke no rule */
	if (!w.item[0].end_sent)
		item_end(&w.item[0], true);
	all_closed(&w, 20000);
	s.mode = TEST_ECHO;
	world_start(&w, 0, 0, 1000, true);
	all_closed(&w, 20000);
	expect_whole(&w.item[0]);
	world_close(&w);
}

/* --- faults ------------------------------------------------------------------------------------------------- */

static uint64_t events(const struct world *w)
{
	return w->shm->events[SHM_WORKERS_MAX].head;
}

static bool told(const struct world *w, uint64_t from, const char *kind, const char *text)
{
	struct shm_event e;

	for (uint64_t i = from; shm_event_read(&w->shm->events[SHM_WORKERS_MAX], i, &e) == 0; i++)
		if (!strcmp(e.kind, kind) && strstr(e.text, text))
			return true;
	return false;
}

/* An event names the rule; the same rule again within a second has none, another one has. */
static void test_faults_are_named(void **state)
{
	static const struct {
		const char *draft, *core;
		enum ocp_fault draft_fault, core_fault;
	} broken[] = {
		{"data-paused 1 1;\r\n", "AMS 1;\r\nAMS 1;\r\n", OCP_FAULT_DIRECTION, OCP_FAULT_AM_ORDER},
		{"data-ack 1 1 0 99999;\r\n", "NR;\r\n", OCP_FAULT_ACK_RANGE, OCP_FAULT_NEGOTIATION},
	};
	uint64_t from;

	for (unsigned i = 0; i < RTE_DIM(broken); i++) {
		enum ocp_fault f = world_core ? broken[i].core_fault : broken[i].draft_fault;
		const char *raw = world_core ? broken[i].core : broken[i].draft;
		struct test_server s;
		struct world w;

		open_one(&w, &s, TEST_SILENT, 1);
		world_start(&w, 0, 0, 1000, true);
		world_steps(&w, 300);
		from = events(&w);
		test_server_write_raw(&s, raw);
		world_steps(&w, 300); /* the status table, too */
		assert_true(told(&w, from, "service-fault", ocp_fault_text(f)));
		assert_non_null(strstr(w.shm->service[0].last_error, ocp_fault_text(f)));
		if (!world_core) { /* there the transaction or the connection is over by now */
			from = events(&w);
			test_server_write_raw(&s, raw);
			world_steps(&w, 20);
			assert_int_equal(events(&w), from);
			test_server_write_raw(&s, "connection-service {\"1:x\"};\r\n");
			world_steps(&w, 20);
			assert_true(told(&w, from, "service-fault", ocp_fault_text(OCP_FAULT_DIRECTION)) == (i != 0));
			w.step_us = 500000;
			world_steps(&w, 3);
			from = events(&w);
			test_server_write_raw(&s, raw);
			w.step_us = 50;
			world_steps(&w, 20);
			assert_true(told(&w, from, "service-fault", "more since the last event"));
		}
		if (!w.item[0].end_sent)
			item_end(&w.item[0], true);
		all_closed(&w, 1000);
		world_close(&w);
	}
}

/* --- priorities ----------------------------------------------------------------------------------------------- */

/* <35>: what has come on the connection of a higher priority is dealt with first. */
static void test_priorities_in_order(void **state)
{
	for (int up = 0; up < 2; up++) {
		int32_t low = up ? -3 : 5, high = up ? 7 : 6;
		struct test_server s;
		struct world w = {0};

		test_server_open(&s, UNIX, TEST_ECHO);
		w.server[0] = &s;
		world_image(&w, 0, "a", s.address, 1);
		w.img.rules = 2;
		w.img.rule[up].priority = low;
		w.img.rule[!up].priority = high;
		world_open(&w, 1024, 1000, 2);
		world_steps(&w, 500);
		w.priority = low;
		world_start(&w, 0, 0, 5000, false);
		w.priority = high;
		world_start(&w, 1, 0, 5000, false);
		s.deaf = true;
		world_steps(&w, 10); /* both are sent */
		s.deaf = false;
		for (int i = 0; i < 10; i++) /* both echoes lie in their sockets */
			test_server_poll(&s, w.now);
		assert_int_equal(s.octets, 10000);
		world_steps(&w, 100);
		assert_true(w.item[0].first && w.item[1].first);
		assert_true(w.item[1].first < w.item[0].first);
		all_closed(&w, 10000);
		if (!world_core)
			assert_int_equal(s.priority[0] + s.priority[1], low + high);
		world_close(&w);
	}
}

/* --- predictions and acknowledgements --------------------------------------------------------------------------- */

static void test_predictions_reach_the_worker(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TEST_PREDICT, 1);
	s.predicted_sizep = 4321;
	s.predicted_modp = 0;
	s.predicted_el = 3000;
	world_start(&w, 0, 0, 3000, true);
	all_closed(&w, 20000);
	expect_whole(&w.item[0]);
	assert_int_equal(w.item[0].sizep, world_core ? -1 : 4321);
	assert_int_equal(w.item[0].modp, 0);
	assert_int_equal(w.item[0].el, world_core ? 3000 : -1);
	assert_int_equal(s.said_el, world_core ? 3000 : -1);
	world_close(&w);
}

/* <107>, RFC 4037 DPI: a commitment that ends before the transaction does. */
static void test_commitment_ends_early(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TEST_ACK, 1);
	world_start(&w, 0, 0, 5000, true);
	all_closed(&w, 20000);
	expect_whole(&w.item[0]);
	assert_true(w.item[0].freed > 0 && w.item[0].freed <= 5000);
	assert_int_equal(w.item[0].verdict, !world_core); /* DPI is no verdict */
	world_close(&w);
}

/* <108>: the debugging mode is a key of the service. */
static void test_ack_all(void **state)
{
	struct test_server s;
	struct world w;

	if (world_core)
		return; /* RFC 4037 has no acknowledgements */
	open_one(&w, &s, TEST_ECHO, 1);
	world_start(&w, 0, 0, 100000, true);
	all_closed(&w, 20000);
	assert_int_equal(w.shm->callout_counter[STATS_callout_acks], 0);
	w.img.service[0].ack_all = true;
	adopt(&w);
	world_start(&w, 0, 0, 100000, true);
	all_closed(&w, 20000);
	expect_whole(&w.item[0]);
	assert_int_equal(w.shm->callout_counter[STATS_callout_acks], 100000);
	world_close(&w);
}

/* The service ends the original without a failure and makes the adapted message of what it has. */
static void test_original_ended_by_the_service(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, world_core ? TEST_STOP : TEST_PAUSE, 1);
	world_start(&w, 0, 0, MIB, true);
	if (!world_core) {
		world_until(&w, &w.item[0].pauses, 1, 20000);
		test_server_write_raw(&s, "app-message-end 1 1;\r\n");
	}
	world_until(&w, &w.item[0].enough, 1, 20000);
	assert_int_equal(w.item[0].failed, 0);
	world_steps(&w, 200);
	assert_true(s.octets < MIB);
	if (world_core) {
		all_closed(&w, 20000);
		assert_int_equal(w.item[0].ended, 1);
		assert_int_equal(w.item[0].got, s.octets);
	} else {
		item_end(&w.item[0], false);
		all_closed(&w, 20000);
	}
	world_close(&w);
}

/* A request may be answered in its place: by the Kind of the draft, by the parts of RFC 4236. */
static void test_request_answered(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TEST_ANSWER, 1);
	w.meta = REQUEST;
	world_start(&w, 0, 0, 30000, true);
	all_closed(&w, 20000);
	expect_whole(&w.item[0]);
	assert_true(w.item[0].answers);
	s.mode = TEST_ECHO;
	world_start(&w, 0, 0, 30000, true);
	all_closed(&w, 20000);
	expect_whole(&w.item[0]);
	assert_false(w.item[0].answers);
	world_close(&w);
}

/* --- RFC 4037 and 4236 --------------------------------------------------------------------------------------------- */

/* A profile is a matter of the messages that need it: others go on, and it is told. */
static void test_profiles_refused(void **state)
{
	static const char *const metas[] = {REQUEST, NULL, STREAM};
	struct test_server s;
	struct world w;

	open_one(&w, &s, TEST_ECHO, 1);
	s.refuse_profiles = true;
	for (int i = 0; i < 3; i++) {
		w.meta = metas[i];
		world_start(&w, 0, 0, 1000, true);
		all_closed(&w, 20000);
		assert_int_equal(w.item[0].cause, i < 2 ? CALLOUT_CAUSE_NEGOTIATION : CALLOUT_CAUSE_NONE);
	}
	expect_whole(&w.item[0]); /* an opaque stream has no profile */
	assert_int_equal(s.parts, OCP_HAS(OCP_PART_NONE));
	assert_true(told(&w, 0, "feature-refused", "ocp/http/request"));
	assert_true(told(&w, 0, "feature-refused", "ocp/http/response"));
	world_close(&w);
}

/* Section 3.2.3: sent when agreed on, not when not; not counted by what the worker knows of offsets. */
static void test_auxiliary_parts(void **state)
{
	static const enum test_mode modes[] = {TEST_ECHO, TEST_AS_IS, TEST_LEAVE};

	for (unsigned i = 0; i < 2 * RTE_DIM(modes); i++) {
		bool agreed = i % 2;
		struct test_server s;
		struct world w;

		open_one(&w, &s, modes[i / 2], 1);
		w.img.service[0].aux_request = true;
		s.answer_set = true;
		s.answer_pause = s.answer_stop = s.answer_interest = -1;
		s.answer_aux = agreed ? OCP_HAS(OCP_PART_REQUEST_HEADER) : 0;
		adopt(&w);
		world_start(&w, 0, 0, 100000, true)->aux = "GET / HTTP/1.1\r\n\r\n";
		all_closed(&w, 20000);
		assert_string_equal(s.aux, agreed ? "GET / HTTP/1.1\r\n\r\n" : "");
		if (modes[i / 2] == TEST_LEAVE) {
			assert_int_equal(w.item[0].rest, w.item[0].got);
		} else {
			assert_int_equal(s.last_data, w.item[0].len + strlen(s.aux));
			expect_whole(&w.item[0]);
		}
		world_close(&w);
	}
}

/* Sections 3.2.4 to 3.2.6: what the answer says of the body is as good as DWP, DWSR and DPI. */
static void test_profile_parameters(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct test_server s;
		struct world w;

		open_one(&w, &s, i == 2 ? TEST_SILENT : TEST_ECHO, 1);
		s.answer_set = true;
		s.answer_pause = i == 0 ? 3000 : -1;
		s.answer_stop = i == 1 ? 3000 : -1;
		s.answer_interest = i == 2 ? 2000 : -1;
		world_start(&w, 0, 0, 100000, true);
		world_steps(&w, 2000);
		if (i == 0) {
			assert_int_equal(s.octets, 3000); /* to the octet */
			item_end(&w.item[0], false);
		} else if (i == 1) {
			assert_int_equal(s.octets, 3000);
			expect_whole(&(struct item){.len = 3000, .got = w.item[0].got, .ended = w.item[0].ended});
			assert_int_equal(w.item[0].enough, 1);
		} else {
			assert_int_equal(s.octets, 100000);
			item_end(&w.item[0], false);
		}
		all_closed(&w, 20000);
		world_close(&w);
	}
}

/* Section 10.3: the integers end at 2147483647; with less here, so that it does not take minutes. */
static void test_too_long_for_core(void **state)
{
	struct test_server s;
	struct world w = {.core_max = 100000};

	assert_int_equal(CALLOUT_CORE_MAX, INT32_MAX);
	test_server_open(&s, UNIX, TEST_SILENT);
	w.server[0] = &s;
	world_image(&w, 0, "a", s.address, 1);
	world_open(&w, 1024, 1000, 1);
	world_start(&w, 0, 0, 100001, true); /* known at the start: nothing of it is sent */
	all_closed(&w, 20000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_OVERLOAD);
	assert_int_equal(s.octets, 0);
	w.meta = STREAM;
	world_start(&w, 0, 0, 100000, true)->len = 200000; /* it shows on the way */
	all_closed(&w, 20000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_OVERLOAD);
	assert_in_range(s.octets, 1, 100000);
	assert_non_null(strstr(w.item[0].text, "longer than the dialect core can carry"));
	world_close(&w);
}

/* Section 11.15: as long as it is to wait for us, it is not late. */
static void test_held_is_not_late(void **state)
{
	struct test_server s;
	struct world w;

	open_one(&w, &s, TEST_SILENT, 1);
	w.step_us = 1000;
	world_start(&w, 0, 0, 10000, true);
	world_steps(&w, 100);
	assert_int_equal(callout_hold(w.port, &w.item[0].txn, true), 0);
	world_steps(&w, 60000); /* deadline: 10 s */
	assert_int_equal(w.item[0].failed, 0);
	assert_int_equal(callout_hold(w.port, &w.item[0].txn, false), 0);
	all_closed(&w, 60000);
	assert_int_equal(w.item[0].cause, CALLOUT_CAUSE_DEADLINE);
	world_close(&w);
}

/* A service that never says TE for what the processor has ended holds names on its connection, not transactions. */
static void test_ends_never_answered(void **state)
{
	struct test_server s;
	struct world w = {0};

	test_server_open(&s, UNIX, TEST_SILENT);
	w.server[0] = &s;
	world_image(&w, 0, "a", s.address, 1);
	world_open(&w, 1024, 3, 12);
	for (uint32_t i = 0; i < 12; i++) {
		world_start(&w, i, 0, 1000, true);
		for (int n = 0; n < 400 && !w.item[i].data_ended && !w.item[i].failed; n++)
			world_step(&w);
		world_steps(&w, 200);
		assert_int_equal(w.item[i].failed, 0);
		item_end(&w.item[i], false);
		world_until(&w, &w.item[i].closed, 1, 1000);
	}
	world_close(&w);
}

static int run_core(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_profiles_refused),
		cmocka_unit_test(test_auxiliary_parts),
		cmocka_unit_test(test_profile_parameters),
		cmocka_unit_test(test_too_long_for_core),
		cmocka_unit_test(test_held_is_not_late),
		cmocka_unit_test(test_ends_never_answered),
	};

	return cmocka_run_group_tests_name("core only", tests, NULL, NULL);
}

static int run(bool core)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_answered),
		cmocka_unit_test(test_refused_at_each_level),
		cmocka_unit_test(test_adapted_message_ended_with_error),
		cmocka_unit_test(test_faults_are_named),
		cmocka_unit_test(test_priorities_in_order),
		cmocka_unit_test(test_predictions_reach_the_worker),
		cmocka_unit_test(test_commitment_ends_early),
		cmocka_unit_test(test_ack_all),
		cmocka_unit_test(test_original_ended_by_the_service),
	};

	world_core = core;
	test_server_dialects = core ? OCP_HAS(OCP_DIALECT_CORE) : 0;
	return cmocka_run_group_tests_name(core ? "core" : "draft", tests, NULL, NULL);
}

/* argument: pattern of the tests to run */
int main(int argc, char **argv)
{
	char *eal[] = {"callout_rules_test", "--no-huge", "--no-pci", "--no-shconf", "-m", "128",
		       "-l", "0", "--log-level", "error", NULL};

	snprintf(unix_address, sizeof(unix_address), "unix:/tmp/callout_rules_test.%d", getpid());
	if (rte_eal_init(10, eal) < 0)
		return 1;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return run(false) + run(true) + run_core();
}
