/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/cli.h"
#include "cli/cli_table.h"

static void octets_have_units(void **state)
{
	char b[24];

	assert_string_equal(cli_octets(0, b), "0 B");
	assert_string_equal(cli_octets(1023, b), "1023 B");
	assert_string_equal(cli_octets(1024, b), "1.0 KiB");
	assert_string_equal(cli_octets(1536, b), "1.5 KiB");
	assert_string_equal(cli_octets(64 << 20, b), "64.0 MiB");
	assert_string_equal(cli_octets((1 << 20) - 1, b), "1.0 MiB");
	assert_string_equal(cli_octets(UINT64_MAX, b), "16.0 EiB");
}

static void durations_have_units(void **state)
{
	char b[24];

	assert_string_equal(cli_duration(850, b), "850 us");
	assert_string_equal(cli_duration(1500, b), "1 ms");
	assert_string_equal(cli_duration(1250000, b), "1.2 s");
	assert_string_equal(cli_duration(192000000, b), "3m12s");
	assert_string_equal(cli_duration(7500000000, b), "2h05m");
	assert_string_equal(cli_duration(86400000000ull * 4 + 3600000000ull * 3, b), "4d03h");
}

static void counts_are_grouped(void **state)
{
	char b[32];

	assert_string_equal(cli_count(0, b), "0");
	assert_string_equal(cli_count(999, b), "999");
	assert_string_equal(cli_count(1000, b), "1,000");
	assert_string_equal(cli_count(1234567, b), "1,234,567");
	assert_string_equal(cli_count(UINT64_MAX, b), "18,446,744,073,709,551,615");
}

static char *rendered(const char *command, const char *json)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	json_t *o = json_loads(json, 0, NULL);

	assert_non_null(o);
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(command_table[i].words, command) == 0)
			cli_render(&command_table[i], o, f);
	json_decref(o);
	fclose(f);
	return text;
}

static void tables_are_aligned(void **state)
{
	char *text = rendered("counters",
			      "{\"counters\":[{\"name\":\"rx\",\"value\":12345,\"text\":\"in\"},"
			      "{\"name\":\"longer\",\"value\":1,\"text\":\"out\"}]}");

	assert_string_equal(text, "COUNTER   VALUE  MEANING\n"
				  "rx       12,345  in\n"
				  "longer        1  out\n");
	free(text);
	text = rendered("flows", "{\"flows\":[],\"more\":false}");
	assert_string_equal(text, "no selected flows\n");
	free(text);
}

static void down_is_said(void **state)
{
	char *text = rendered("status", "{\"dataplane\":\"down\",\"reason\":\"not running\"}");

	assert_int_equal(strncmp(text, "dataplane: down (not running)\n", 30), 0);
	free(text);
}

static void events_are_lines(void **state)
{
	char *text = rendered("events", "{\"events\":[{\"time\":\"T\",\"writer\":\"worker "
					"0\",\"kind\":\"fail-open\",\"cause\":\"lost\","
					"\"offset\":17,\"text\":\"went on\"}]}");

	assert_string_equal(text, "T worker 0  fail-open cause=lost offset=17: went on\n");
	free(text);
}

/* An answer of another build may lack anything. */
static void empty_answers_do_no_harm(void **state)
{
	for (size_t i = 0; i < command_count; i++)
		free(rendered(command_table[i].words, "{}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_have_units),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(counts_are_grouped),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(down_is_said),
		cmocka_unit_test(events_are_lines),
		cmocka_unit_test(empty_answers_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
