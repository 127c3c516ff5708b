/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranges against a map of octets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ocp/ocp_ranges.h"

#define N 120

static void check(const struct ocp_ranges *s, const bool *map, uint32_t max)
{
	assert_true(s->n <= max);
	for (uint32_t i = 0; i < s->n; i++) {
		assert_true(s->r[i].from < s->r[i].to);
		assert_true(!i || s->r[i - 1].to < s->r[i].from);
	}
	for (uint64_t from = 0; from < N; from++) {
		bool all = true;

		for (uint64_t to = from; to <= N; to++) {
			assert_int_equal(ocp_ranges_cover(s, from, to), all);
			all = all && to < N && map[to];
		}
	}
}

static void test_against_map(void **state)
{
	uint32_t x = 7;

	for (int round = 0; round < 40; round++) {
		struct ocp_ranges s = {0};
		bool map[N] = {false};
		uint64_t end = 0;
		uint32_t max = 1 + (uint32_t)round % 6;

		while (end < N) {
			uint64_t n, from;

			x = x * 1664525 + 1013904223;
			n = 1 + (x >> 20) % 9;
			n = n < N - end ? n : N - end;
			if ((x >> 12) % 3 && !ocp_ranges_append(&s, end, end + n, max))
				memset(map + end, 1, n);
			end += n;
			x = x * 1664525 + 1013904223;
			from = (x >> 16) % end;
			n = (x >> 8) % 12;
			n = n < end - from ? n : end - from;
			if (!ocp_ranges_remove(&s, from, from + n, max))
				memset(map + from, 0, n);
			check(&s, map, max);
		}
		ocp_ranges_free(&s);
	}
}

static void test_bounds(void **state)
{
	struct ocp_ranges s = {0};

	assert_int_equal(ocp_ranges_append(&s, 0, 10, 1), 0);
	assert_int_equal(ocp_ranges_append(&s, 11, 12, 1), -ENOSPC);
	assert_false(ocp_ranges_may_append(&s, 11, 1));
	assert_true(ocp_ranges_may_append(&s, 10, 1));
	assert_int_equal(ocp_ranges_remove(&s, 4, 5, 1), -ENOSPC);
	assert_true(ocp_ranges_cover(&s, 0, 10));
	assert_int_equal(ocp_ranges_remove(&s, 8, 20, 1), 0);
	assert_true(ocp_ranges_cover(&s, 0, 8));
	assert_false(ocp_ranges_cover(&s, 0, 9));
	assert_false(ocp_ranges_cover(&s, 5, 4));
	ocp_ranges_clear(&s);
	assert_true(ocp_ranges_cover(&s, 5, 5));
	assert_false(ocp_ranges_cover(&s, 0, 1));
	ocp_ranges_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_map),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
