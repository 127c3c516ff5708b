/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The index against the search rule by rule, on the same matcher: random rules
 * of message and tuple conditions over a small alphabet, so that keys are shared
 * by many rules and lists become bitmaps, random tuples and messages. What the
 * conditions mean is policy_message_test's and policy_acl_test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "policy/policy_test.h"

#define RULES_MAX 700
#define RULE_TEXT 2048
#define LONG 300 /* octets, more than the index counts */

struct offer {
	char method[8], host[16], path[LONG + 16], field[4][LONG + 16];
	uint32_t nfields;
};

static uint64_t seed = 0x2545f4914f6cdd1d;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static void letters(char *s, uint32_t min, uint32_t max)
{
	uint32_t n = min + rnd(max - min + 1);

	for (uint32_t i = 0; i < n; i++)
		s[i] = "abAB"[rnd(4)];
	s[n] = 0;
}

/* Sometimes long, with the letters that differ at the end. */
static void long_letters(char *s, uint32_t max)
{
	if (rnd(6) == 0) {
		memset(s, 'a', LONG - 50);
		s += LONG - 50;
	}
	letters(s, 1, max);
}

/* Returns the end of what it wrote. */
static char *put(char *s, const char *format, ...)
	__attribute__((format(printf, 2, 3), nonnull, returns_nonnull, noinline));
static char *put(char *s, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsprintf(s, format, ap);
	va_end(ap);
	return s + n;
}

static char *put_terms(char *s, bool regex)
{
	static const char *const ops[] = {"exact", "prefix", "suffix"};
	static const char *const patterns[] = {"^a", "bA$", "^a+$", "a.b", "[ab]AB", "^$", "BBB"};
	bool negate = rnd(5) == 0;
	uint32_t n = 1 + rnd(3);
	char text[LONG + 16];

	s = put(s, negate ? "{not: [" : "[");
	for (uint32_t i = 0; i < n; i++) {
		long_letters(text, 6);
		if (regex && rnd(4) == 0)
			s = put(s, "%s{regex: '%s'}", i ? ", " : "", patterns[rnd(7)]);
		else
			s = put(s, "%s{%s: '%s'}", i ? ", " : "", ops[rnd(3)], text);
	}
	return put(s, negate ? "]}" : "]");
}

static char *put_tuple(char *s)
{
	static const char *const nets[] = {"10.0.0.0/16",   "10.0.0.0/17", "10.0.64.0/18",
					   "10.0.128.0/24", "10.0.192.3",  "10.0.0.0/29"};

	if (rnd(3) == 0)
		s = put(s, ", client: [%s, '2001:db8::%u']", nets[rnd(6)], rnd(9));
	if (rnd(6) == 0)
		s = put(s, ", server: 10.1.0.%u", rnd(8));
	if (rnd(5) == 0)
		s = put(s, rnd(3) ? ", server-port: %u" : ", server-port: [8080, %u-90]",
			     80 + rnd(6));
	if (rnd(8) == 0)
		s = put(s, ", vlan: %u", rnd(3));
	if (rnd(8) == 0)
		s = put(s, ", direction: %s", rnd(2) ? "inside-out" : "outside-in");
	return s;
}

/* one: the share, of ten, of rules that are a bypass or have no condition but the tuple's */
static char *put_rule(char *s, uint32_t i, uint32_t one)
{
	static const char *const subjects[] = {
		", method: ", ", host: ", ", path: ", ", content-type: "};
	static const char *const kinds[] = {"request", "response", "[request, response]"};
	bool plain = rnd(10) < one;

	s = put(s, "- {name: r%u, action: %s, match: {protocol: http", i,
		     rnd(6) ? "block" : "bypass");
	s = put_tuple(s);
	if (rnd(3) == 0)
		s = put(s, ", kind: %s", kinds[rnd(3)]);
	for (uint32_t j = 0; !plain && j < 4; j++) {
		if (rnd(3))
			continue;
		s = put(s, "%s", subjects[j]);
		s = put_terms(s, j > 0);
	}
	if (!plain && rnd(3) == 0) {
		s = put(s, ", headers: [{name: %c", "xyz"[rnd(3)]);
		if (rnd(4)) {
			s = put(s, ", value: ");
			s = put_terms(s, true);
		}
		s = put(s, "}]");
	}
	if (!plain && rnd(8) == 0)
		s = put(s, ", status: 20%u", rnd(4));
	return put(s, "}}\n");
}

static bool field_at(const void *ctx, uint32_t i, const char **name, uint32_t *name_len,
		     const char **value, uint32_t *value_len)
{
	static const char *const names[] = {"X", "y", "Content-Type", "x"};
	const struct offer *o = ctx;

	if (i >= o->nfields)
		return false;
	*name = names[i];
	*name_len = (uint32_t)strlen(names[i]);
	*value = o->field[i];
	*value_len = (uint32_t)strlen(o->field[i]);
	return true;
}

static struct policy_message invent_message(struct offer *o)
{
	struct policy_message msg = {.kind = 1 + rnd(2),
				     .status = (uint16_t)(200 + rnd(4)),
				     .field = field_at,
				     .ctx = o};

	letters(o->method, 0, 4);
	letters(o->host, 0, 6);
	letters(o->path, 0, 0);
	long_letters(o->path, 6);
	o->nfields = rnd(5);
	for (uint32_t i = 0; i < o->nfields; i++)
		long_letters(o->field[i], 6);
	if (rnd(8)) {
		msg.method = o->method;
		msg.method_len = (uint32_t)strlen(o->method);
	}
	if (rnd(8)) {
		msg.host = o->host;
		msg.host_len = (uint32_t)strlen(o->host);
	}
	if (rnd(8)) {
		msg.path = o->path;
		msg.path_len = (uint32_t)strlen(o->path);
	}
	return msg;
}

static void address(uint8_t a[16], bool v4, uint32_t net, uint32_t low)
{
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8};

	memcpy(a, v6, 16);
	a[15] = (uint8_t)low;
	if (!v4)
		return;
	memset(a, 0, 16);
	a[10] = a[11] = 0xff;
	a[12] = 10;
	a[13] = (uint8_t)net;
	a[14] = (uint8_t)(net ? 0 : rnd(4) * 64);
	a[15] = (uint8_t)low;
}

static struct policy_tuple invent_tuple(void)
{
	struct policy_tuple t = {.client_port = 1000,
				 .server_port = (uint16_t)(80 + rnd(8)),
				 .from_port = (uint8_t)rnd(2),
				 .vlan = (uint16_t)rnd(3)};
	bool v4 = rnd(4);

	address(t.client, v4, 0, rnd(9));
	address(t.server, v4, 1, rnd(8));
	return t;
}

static void agree(struct policy_matcher *m, const char *text, uint32_t n, uint32_t *matched)
{
	for (uint32_t i = 0; i < 400; i++) {
		struct policy_selection sel;
		struct policy_tuple t = invent_tuple();
		struct offer o;
		struct policy_message msg = invent_message(&o);
		int32_t want, got;

		/* From where the flow's selection says, and from anywhere. */
		policy_select_flow(m, &t, &sel);
		if (rnd(2)) {
			sel.first = (int32_t)rnd(n);
			sel.protocol = POLICY_PROTO_HTTP;
		}
		want = policy_match_linear(m, &t, &sel, &msg);
		got = policy_match_message(m, &t, &sel, &msg);
		if (want != got)
			fail_msg("from %d: rule by rule %d, index %d\n%.8000s", sel.first, want,
				 got, text);
		*matched += got > sel.first; /* found by the index, not at once */
	}
}

static void random_rules(void **state)
{
	char *text = malloc(RULES_MAX * RULE_TEXT);
	uint32_t matched = 0;

	if (!text)
		abort();
	for (uint32_t round = 0; round < 60; round++) {
		uint32_t n = round % 3 ? POLICY_LINEAR_MAX + 1 + rnd(60) : 64 + rnd(RULES_MAX - 64);
		char *s = put(text, "rules:\n");
		struct policy_test p;

		if (round % 7 == 0)
			n = n / 64 * 64 + (n < 64 ? 64 : 0); /* full words */
		for (uint32_t i = 0; i < n; i++)
			s = put_rule(s, i, round % 2 ? 2 : 0);
		assert_true(s < text + RULES_MAX * RULE_TEXT);
		policy_test_open(&p, text);
		assert_non_null(p.matcher->index);
		agree(p.matcher, text, n, &matched);
		policy_test_close(&p);
	}
	print_message("%u of 24000 messages matched through the index\n", matched);
	assert_in_range(matched, 4000, 23000); /* neither all nor none: the test tests something */
	free(text);
}

static uint32_t candidates(struct policy_matcher *m, const struct policy_tuple *t,
			   const struct policy_message *msg)
{
	struct policy_probe p;
	const uint64_t *set;
	uint32_t n = 0;

	policy_probe_set(&p, t);
	policy_message_begin(m, msg);
	set = policy_index_candidates(m->index, m, &p);
	for (uint32_t i = 0; i <= m->nrules / 64; i++)
		n += (uint32_t)__builtin_popcountll(set[i]);
	return n;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Many rules of a kind, told apart by the number in them; a message of the last one. */
static void few_candidates(const char *kind, const char *format, uint32_t n,
			   const struct policy_message *msg, const struct policy_tuple *t)
{
	const struct policy_selection sel = {.first = 0, .protocol = POLICY_PROTO_HTTP};
	char *text = malloc((size_t)n * 200 + 100), *s = text;
	struct policy_test p;
	struct policy_index *again;
	double begin, made, indexed;

	if (!text)
		abort();
	s = put(s, "rules:\n");
	for (uint32_t i = 0; i < n; i++) {
		s = put(s, "- {name: r%u, action: block, match: {protocol: http, ", i);
		s = put(s, format, i, i >> 8, i & 255);
		s = put(s, "}}\n");
	}
	policy_test_open(&p, text);
	begin = now();
	assert_int_equal(policy_index_create(&again, p.matcher), 0);
	made = now();
	policy_index_destroy(again);
	assert_in_range(candidates(p.matcher, t, msg), 1, 2);
	assert_int_equal(policy_match_message(p.matcher, t, &sel, msg), (int32_t)n - 1);
	indexed = now();
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(policy_match_message(p.matcher, t, &sel, msg), (int32_t)n - 1);
	indexed = now() - indexed;
	print_message("%-16s %5u rules: index made in %.1f ms, a message takes %.2f us\n", kind, n,
		      (made - begin) * 1e3, indexed * 1e3);
	policy_test_close(&p);
	free(text);
}

#define TEXT(member, s) .member = (s), .member##_len = sizeof(s) - 1

static void rules_of_one_kind(void **state)
{
	struct policy_tuple t = {.server_port = 80};
	const struct policy_message expression = {.kind = POLICY_KIND_REQUEST,
						  TEXT(path, "/area999/x.html")};
	const struct policy_message msg = {.kind = POLICY_KIND_REQUEST,
					   TEXT(method, "GET"),
					   TEXT(host, "www9999.example:80"),
					   TEXT(path, "/area9999/x.html")};

	address(t.client, true, 39, 0); /* 10.39.0.x */
	t.client[14] = 15;		/* 9999 = 39 * 256 + 15 */
	few_candidates("host", "host: www%1$u.example", 10000, &msg, &t);
	few_candidates("host and path", "host: www%1$u.example, path: {prefix: /area%1$u/}", 10000,
		       &msg, &t);
	few_candidates("path prefix", "method: GET, path: {prefix: /area%1$u/}", 10000, &msg, &t);
	few_candidates("one host, paths", "host: www9999.example, path: {prefix: /area%1$u/}",
		       10000, &msg, &t);
	few_candidates("client network", "client: 10.%2$u.%3$u.0/24, path: {not: '/%1$u'}", 10000,
		       &msg, &t);
	few_candidates("path expression", "path: {regex: '^/area%1$u/[a-z]+[.]html$'}", 1000,
		       &expression, &t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_rules),
		cmocka_unit_test(rules_of_one_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
