/* SPDX-License-Identifier: BSD-3-Clause */
/* The matcher against a reference that sees the whole text, for every way of cutting it up (INV-MATCH-1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "callout/services/match.h"

#define TEXT_MAX 64

struct sample {
	const char *patterns[6];
	const char *text;
	bool fold;
};

static const struct sample samples[] = {
	{{"foo"}, "xfoofofoo-ffoo", false},
	{{"ab", "abc", "abcd"}, "ab abc abcd abcabcdab", false},
	{{"abcd", "bc"}, "abcxabcdabcab", false},
	{{"aaab", "aa"}, "aaaaaaabaaab", false},
	{{"aaaa"}, "aaaaaaaaaaaaa", false},
	{{"he", "she", "his", "hers"}, "ushershishehe", false},
	{{"b", "abx", "bcd"}, "abcdabxab", false},
	{{"Foo", "BAR"}, "fOObarFOOfooBAr", true},
	{{"aba", "bab"}, "abababababab", false},
	{{"xyz"}, "no match at all here", false},
	{{"abcde", "cd", "e"}, "abcdabcdecdexe", false},
};

static uint8_t folded(uint8_t c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool matches_at(const char *p, const uint8_t *t, size_t len, bool fold)
{
	size_t n = strlen(p);

	if (n > len)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (folded((uint8_t)p[i], fold) != folded(t[i], fold))
			return false;
	}
	return true;
}

/* Replaces every match by <index>. */
static size_t reference(const struct sample *s, const uint8_t *t, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len;) {
		int best = -1;

		for (int k = 0; k < 6 && s->patterns[k]; k++) {
			if (matches_at(s->patterns[k], t + i, len - i, s->fold) &&
			    (best < 0 || strlen(s->patterns[k]) > strlen(s->patterns[best])))
				best = k;
		}
		if (best < 0) {
			out[n++] = (char)t[i++];
		} else {
			n += (size_t)sprintf(out + n, "<%d>", best);
			i += strlen(s->patterns[best]);
		}
	}
	return n;
}

static struct match_set *set_of(const struct sample *s)
{
	struct match_pattern p[6];
	uint32_t n = 0;

	while (n < 6 && s->patterns[n]) {
		p[n] = (struct match_pattern){(const uint8_t *)s->patterns[n], strlen(s->patterns[n])};
		n++;
	}
	return match_set_new(p, n, s->fold);
}

struct runner {
	struct match_set *set;
	struct match_scan scan;
	uint8_t held[TEXT_MAX];
	size_t held_len, n;
	char out[TEXT_MAX * 4];
};

static uint8_t window_at(const struct match_window *w, size_t i)
{
	return i < w->a_len ? w->a[i] : w->b[i - w->a_len];
}

static void feed(struct runner *r, const uint8_t *p, size_t len, bool last)
{
	struct match_window w = {r->held, p, r->held_len, len};
	size_t total = r->held_len + len, done = 0, held;
	uint8_t keep[TEXT_MAX];
	struct match_hit hit;

	while (match_leftmost(r->set, &r->scan, &w, last, &hit)) {
		while (done < hit.start)
			r->out[r->n++] = (char)window_at(&w, done++);
		r->n += (size_t)sprintf(r->out + r->n, "<%u>", hit.pattern);
		done = hit.end;
	}
	held = last ? total : match_scan_held(r->set, &r->scan);
	assert_true(held >= done && total - held < match_set_longest(r->set));
	while (done < held)
		r->out[r->n++] = (char)window_at(&w, done++);
	for (size_t i = held; i < total; i++)
		keep[i - held] = window_at(&w, i);
	r->held_len = total - held;
	memcpy(r->held, keep, r->held_len);
	match_scan_shift(&r->scan, held);
}

/* Cuts wherever a bit of mask is set. */
static void run_cut(struct match_set *set, const uint8_t *t, size_t len, uint32_t mask, const char *want,
		    size_t want_len)
{
	struct runner r = {.set = set};
	size_t from = 0;

	for (size_t i = 1; i < len; i++) {
		if (mask >> (i - 1) & 1) {
			feed(&r, t + from, i - from, false);
			from = i;
		}
	}
	feed(&r, t + from, len - from, false);
	feed(&r, NULL, 0, true);
	assert_int_equal(r.n, want_len);
	assert_memory_equal(r.out, want, want_len);
}

static void test_leftmost_all_cuts(void **state)
{
	for (size_t k = 0; k < sizeof(samples) / sizeof(samples[0]); k++) {
		const uint8_t *t = (const uint8_t *)samples[k].text;
		size_t len = strlen(samples[k].text) < 14 ? strlen(samples[k].text) : 14;
		struct match_set *set = set_of(&samples[k]);
		char want[TEXT_MAX * 4];
		size_t n = reference(&samples[k], t, len, want);

		for (uint32_t mask = 0; mask < 1u << (len - 1); mask++)
			run_cut(set, t, len, mask, want, n);
		len = strlen(samples[k].text);
		n = reference(&samples[k], t, len, want);
		run_cut(set, t, len, 0, want, n);
		run_cut(set, t, len, UINT32_MAX, want, n);
		match_set_free(set);
	}
}

static uint32_t next(uint32_t *seed)
{
	return *seed = *seed * 1103515245 + 12345;
}

static void test_leftmost_random(void **state)
{
	uint32_t seed = 12345;

	for (int round = 0; round < 3000; round++) {
		char pat[6][8];
		struct sample s = {.fold = round % 5 == 0};
		uint8_t t[30];
		char want[TEXT_MAX * 4];
		struct match_set *set;
		int np = 1 + (int)(next(&seed) >> 16) % 6;
		size_t n;

		for (int i = 0; i < np; i++) {
			size_t len = 1 + (next(&seed) >> 16) % 6;

			for (size_t j = 0; j < len; j++)
				pat[i][j] = (char)('a' + (next(&seed) >> 16) % 2);
			pat[i][len] = '\0';
			s.patterns[i] = pat[i];
		}
		for (size_t i = 0; i < sizeof(t); i++)
			t[i] = (uint8_t)((s.fold && (next(&seed) & 0x400000) ? 'A' : 'a') +
					 (next(&seed) >> 16 & 1));
		/* equal patterns: the first one counts, as in the reference */
		set = set_of(&s);
		n = reference(&s, t, sizeof(t), want);
		for (int cut = 0; cut < 8; cut++)
			run_cut(set, t, sizeof(t), next(&seed), want, n);
		match_set_free(set);
	}
}

static void test_any(void **state)
{
	for (size_t k = 0; k < sizeof(samples) / sizeof(samples[0]); k++) {
		const uint8_t *t = (const uint8_t *)samples[k].text;
		size_t len = strlen(samples[k].text), first = SIZE_MAX;
		struct match_set *set = set_of(&samples[k]);

		for (size_t e = 1; e <= len && first == SIZE_MAX; e++) {
			for (int p = 0; p < 6 && samples[k].patterns[p]; p++) {
				size_t pl = strlen(samples[k].patterns[p]);

				if (pl <= e && matches_at(samples[k].patterns[p], t + e - pl, pl, samples[k].fold))
					first = e;
			}
		}
		for (size_t cut = 0; cut <= len; cut++) {
			uint32_t at = 0, pattern;
			size_t end = 0, got = SIZE_MAX;

			if (match_any(set, &at, t, cut, &end, &pattern))
				got = end;
			else if (match_any(set, &at, t + cut, len - cut, &end, &pattern))
				got = cut + end;
			assert_true(got == first);
		}
		match_set_free(set);
	}
}

static void test_all_octets(void **state)
{
	uint8_t all[256];
	struct match_pattern p = {all, sizeof(all)};
	struct match_set *set;
	uint32_t at = 0, pattern;
	size_t end;

	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)(255 - i);
	set = match_set_new(&p, 1, false);
	assert_non_null(set);
	assert_false(match_any(set, &at, all + 1, 255, &end, &pattern));
	assert_int_equal(match_set_depth(set, at), 0);
	assert_false(match_any(set, &at, all, 200, &end, &pattern));
	assert_int_equal(match_set_depth(set, at), 200);
	assert_true(match_any(set, &at, all + 200, 56, &end, &pattern));
	assert_int_equal(end, 56);
	match_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leftmost_all_cuts),
		cmocka_unit_test(test_leftmost_random),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_all_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
