/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "command/command.h"

static int parse(const char *line, struct command_call *call, char *err)
{
	static char text[256];
	char *argv[COMMAND_WORDS_MAX];
	int n;

	strcpy(text, line);
	n = command_split(text, argv, COMMAND_WORDS_MAX);
	assert_true(n >= 0);
	return command_parse(n, argv, call, err, 256);
}

static void parses_words_and_options(void **state)
{
	struct command_call c;
	char err[256];

	assert_int_equal(parse("rules list", &c, err), 0);
	assert_string_equal(c.command->words, "rules list");
	assert_int_equal(parse("flows", &c, err), 0);
	assert_string_equal(c.command->words, "flows");
	assert_int_equal(parse("flows list -n 12", &c, err), 0);
	assert_string_equal(c.command->words, "flows list");
	assert_true(c.has_number);
	assert_int_equal(c.number, 12);
	assert_int_equal(parse("events -f -n 3", &c, err), 0);
	assert_true(c.follow);
	assert_int_equal(parse("counters --all", &c, err), 0);
	assert_true(c.all);
	assert_int_equal(parse("rules check \"/etc/my rules.yaml\"", &c, err), 0);
	assert_string_equal(c.file, "/etc/my rules.yaml");
}

static void takes_the_id_of_a_flow(void **state)
{
	struct command_call c;
	char err[256], *text;
	json_t *r;

	assert_int_equal(parse("flows show 100000000000a3f", &c, err), 0);
	assert_string_equal(c.command->words, "flows show");
	assert_true(c.id == 0x100000000000a3f);
	r = command_request(&c, 7);
	text = json_dumps(r, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"args\":{\"flow\":72057594037930559},\"command\":\"flows.show\",\"id\":7}");
	free(text);
	json_decref(r);
	assert_int_equal(parse("flows show 0x2a", &c, err), 0);
	assert_int_equal(c.id, 42);
	assert_int_equal(parse("flows show", &c, err), -EINVAL);
	assert_string_equal(err, "flows show wants the id of a flow; opesctl flows lists them");
	/* what completion needs to know */
	assert_string_equal(c.command->words, "flows show");
	assert_int_equal(parse("flows show 12g", &c, err), -EINVAL);
	assert_string_equal(err, "flows show: \"12g\" is not the id of a flow; opesctl flows lists them");
	assert_int_equal(parse("flows show 0", &c, err), -EINVAL);
	assert_int_equal(parse("flows show 1ffffffffffffffff", &c, err), -EINVAL);
	assert_int_equal(parse("flows show 1 2", &c, err), -EINVAL);
	assert_int_equal(parse("flows 1", &c, err), -EINVAL);
}

static void refuses_with_a_sentence(void **state)
{
	struct command_call c;
	char err[256];

	assert_int_equal(parse("", &c, err), -EINVAL);
	assert_int_equal(parse("rulez", &c, err), -EINVAL);
	assert_string_equal(err, "unknown command \"rulez\"; try: opesctl help");
	assert_int_equal(parse("rules", &c, err), -EINVAL);
	assert_string_equal(err, "rules wants one of: list, reload, check");
	assert_int_equal(parse("rules lst", &c, err), -EINVAL);
	assert_string_equal(err, "rules wants one of: list, reload, check");
	assert_int_equal(parse("status --all", &c, err), -EINVAL);
	assert_string_equal(err, "status: unexpected argument \"--all\"");
	assert_int_equal(parse("events -n", &c, err), -EINVAL);
	assert_int_equal(parse("events -n x", &c, err), -EINVAL);
	assert_int_equal(parse("events -n -1", &c, err), -EINVAL);
	assert_int_equal(parse("rules check a b", &c, err), -EINVAL);
}

static void splits_lines(void **state)
{
	char a[] = "  a \"b c\"  d\t", open[] = "a \"b", many[] = "a b c";
	char *argv[3];

	assert_int_equal(command_split(a, argv, 3), 3);
	assert_string_equal(argv[1], "b c");
	assert_string_equal(argv[2], "d");
	assert_int_equal(command_split(open, argv, 3), -EINVAL);
	assert_int_equal(command_split(many, argv, 2), -E2BIG);
}

static void completes_each_word_once(void **state)
{
	char *argv[] = {(char *)"rules"};
	char *events[] = {(char *)"events"};
	char buf[64];

	assert_true(command_candidate(0, NULL, "ru", 0, buf, sizeof(buf)));
	assert_string_equal(buf, "rules");
	assert_false(command_candidate(0, NULL, "ru", 1, buf, sizeof(buf)));
	assert_true(command_candidate(1, argv, "", 0, buf, sizeof(buf)));
	assert_string_equal(buf, "list");
	assert_true(command_candidate(1, argv, "re", 0, buf, sizeof(buf)));
	assert_string_equal(buf, "reload");
	assert_false(command_candidate(1, argv, "zz", 0, buf, sizeof(buf)));
	assert_true(command_candidate(1, events, "-", 0, buf, sizeof(buf)));
	assert_string_equal(buf, "-f");
	assert_true(command_candidate(1, events, "-", 1, buf, sizeof(buf)));
	assert_string_equal(buf, "-n");
}

static void makes_requests(void **state)
{
	struct command_call c;
	char err[256], *text;
	json_t *r;

	assert_int_equal(parse("counters --all", &c, err), 0);
	r = command_request(&c, 7);
	text = json_dumps(r, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"args\":{\"all\":true},\"command\":\"counters\",\"id\":7}");
	free(text);
	json_decref(r);
	assert_int_equal(parse("rules reload", &c, err), 0);
	r = command_request(&c, 1);
	assert_string_equal(json_string_value(json_object_get(r, "command")), "rules.reload");
	json_decref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_words_and_options),
		cmocka_unit_test(takes_the_id_of_a_flow),
		cmocka_unit_test(refuses_with_a_sentence),
		cmocka_unit_test(splits_lines),
		cmocka_unit_test(completes_each_word_once),
		cmocka_unit_test(makes_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
