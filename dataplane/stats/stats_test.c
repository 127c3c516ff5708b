/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stats/shm.h"

static void test_counters_have_text(void **state)
{
	for (int i = 0; i < STATS_MAX; i++) {
		assert_non_null(stats_counter_name(i));
		assert_true(strlen(stats_counter_name(i)) > 0 && strlen(stats_counter_text(i)) > 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(stats_counter_name(i), stats_counter_name(j));
	}
	assert_string_equal(stats_counter_name(STATS_rx_frames), "rx_frames");
	assert_string_equal(stats_counter_name(STATS_MAX), "unknown");
}

static void test_read_back(void **state)
{
	struct shm_events *r = calloc(1, sizeof(*r));
	struct shm_event_args a = {.kind = "fail-open",
				   .cause = "lost",
				   .rule = "downloads",
				   .flow = 7,
				   .offset = 1234,
				   .generation = 3};
	struct shm_event e;

	assert_int_equal(shm_event_read(r, 0, &e), -EAGAIN);
	shm_event_write(r, &a, "went on at octet %d", 1234);
	assert_int_equal(shm_event_read(r, 0, &e), 0);
	assert_string_equal(e.kind, "fail-open");
	assert_string_equal(e.rule, "downloads");
	assert_string_equal(e.service, "");
	assert_string_equal(e.text, "went on at octet 1234");
	assert_int_equal(e.flow, 7);
	assert_int_equal(e.offset, 1234);
	assert_int_equal(shm_event_read(r, 1, &e), -EAGAIN);
	free(r);
}

static void test_long_fields_are_cut(void **state)
{
	struct shm_events *r = calloc(1, sizeof(*r));
	char big[1000];
	struct shm_event_args a = {.kind = big, .cause = big, .rule = big, .service = big};
	struct shm_event e;

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = 0;
	shm_event_write(r, &a, "%s", big);
	assert_int_equal(shm_event_read(r, 0, &e), 0);
	assert_int_equal(strlen(e.kind), sizeof(e.kind) - 1);
	assert_int_equal(strlen(e.service), sizeof(e.service) - 1);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	free(r);
}

static void test_overwritten(void **state)
{
	struct shm_events *r = calloc(1, sizeof(*r));
	struct shm_event_args a = {.kind = "k"};
	struct shm_event e;

	for (int i = 0; i < SHM_EVENTS + 10; i++)
		shm_event_write(r, &a, "%d", i);
	assert_int_equal(shm_event_read(r, 9, &e), -ESTALE);
	assert_int_equal(shm_event_read(r, 10, &e), 0);
	assert_string_equal(e.text, "10");
	assert_int_equal(shm_event_read(r, SHM_EVENTS + 9, &e), 0);
	assert_int_equal(shm_event_read(r, SHM_EVENTS + 10, &e), -EAGAIN);
	free(r);
}

enum { BUSY_EVENTS = 100000 };

static void *writer(void *arg)
{
	struct shm_events *r = arg;

	for (int i = 0; i < BUSY_EVENTS; i++) {
		char name[16];
		struct shm_event_args a = {.kind = name, .cause = name, .flow = i};

		snprintf(name, sizeof(name), "%d", i);
		shm_event_write(r, &a, "%d", i);
	}
	return NULL;
}

/* What is read while the writer laps the reader is whole or refused, never mixed. */
static void test_whole_or_refused(void **state)
{
	struct shm_events *r = calloc(1, sizeof(*r));
	uint64_t i = 0, got = 0;
	pthread_t t;

	pthread_create(&t, NULL, writer, r);
	while (i < BUSY_EVENTS) {
		struct shm_event e;
		char name[16];
		int rc = shm_event_read(r, i, &e);

		if (rc == -EAGAIN)
			continue;
		if (rc == 0) {
			snprintf(name, sizeof(name), "%lu", (unsigned long)i);
			assert_string_equal(e.kind, name);
			assert_string_equal(e.cause, name);
			assert_string_equal(e.text, name);
			assert_int_equal(e.flow, i);
			got++;
		}
		i++;
	}
	pthread_join(t, NULL);
	assert_true(got > 0);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters_have_text),  cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_long_fields_are_cut), cmocka_unit_test(test_overwritten),
		cmocka_unit_test(test_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
