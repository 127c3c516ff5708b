/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Message conditions against a slow reference: random rules of random
 * conditions over a tiny alphabet, random messages. The reference goes through
 * the rules one by one and asks the C library for regular expressions.
 */
#include <ctype.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "policy/policy_test.h"

#define TERMS 3
#define GROUPS 3
#define RULES 30
#define FIELDS 5

enum { METHOD, HOST, PATH, TYPE, HEADER, STATUS, SUBJECTS };

struct term {
	int op; /* exact, prefix, suffix, regex */
	char text[8];
};
struct group {
	int subject;
	bool negate;
	char name; /* of the header */
	int nterms;
	struct term term[TERMS];
	unsigned lo, hi; /* status */
};
struct rule {
	uint32_t kinds;
	int ngroups;
	struct group group[GROUPS];
};
struct offer {
	uint32_t kind;
	bool method, host, path;
	char method_text[8], host_text[8], path_text[8];
	uint16_t status;
	int nfields;
	struct {
		char name[16], value[16];
	} field[FIELDS];
};

static uint64_t seed = 88172645463325252;

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

static void invent_term(struct term *t, int subject)
{
	static const char *const patterns[] = {"^a",	"b$", "^a+$",  "a.b",
					       "[ab]A", "^$", "ba|ab", "B"};

	t->op = (int)rnd(subject == METHOD ? 3 : 4);
	if (t->op == 3)
		strcpy(t->text, patterns[rnd(8)]);
	else
		letters(t->text, 1, t->op ? 2 : 3);
}

static void invent_rule(struct rule *r)
{
	bool used[SUBJECTS] = {0};

	memset(r, 0, sizeof(*r));
	r->kinds = 1 + rnd(3);
	r->ngroups = 1 + (int)rnd(GROUPS);
	for (int i = 0; i < r->ngroups; i++) {
		struct group *g = &r->group[i];

		do
			g->subject = (int)rnd(SUBJECTS);
		while (used[g->subject]);
		used[g->subject] = true;
		g->negate = g->subject != STATUS && rnd(4) == 0;
		g->name = "xyz"[rnd(3)];
		g->nterms = 1 + (int)rnd(TERMS);
		for (int j = 0; j < g->nterms; j++)
			invent_term(&g->term[j], g->subject);
		g->lo = 200 + rnd(3) * 100;
		g->hi = g->lo + rnd(2) * 99;
	}
}

static int put_group(char *s, const struct group *g)
{
	static const char *const names[] = {"method",	    "host",    "path",
					    "content-type", "headers", "status"};
	static const char *const ops[] = {"exact", "prefix", "suffix", "regex"};
	char *begin = s;

	s += sprintf(s, ", %s: ", names[g->subject]);
	if (g->subject == STATUS)
		return (int)(s - begin) + sprintf(s, "%u-%u", g->lo, g->hi);
	if (g->subject == HEADER)
		s += sprintf(s, "[{name: %c, value: ", g->name);
	s += sprintf(s, g->negate ? "{not: [" : "[");
	for (int i = 0; i < g->nterms; i++)
		s += sprintf(s, "%s{%s: '%s'}", i ? ", " : "", ops[g->term[i].op], g->term[i].text);
	s += sprintf(s, g->negate ? "]}" : "]");
	if (g->subject == HEADER)
		s += sprintf(s, "}]");
	return (int)(s - begin);
}

static bool term_holds(const struct term *t, const char *v, bool any_case)
{
	char want[8], have[16];
	size_t nw = strlen(t->text), nh = strlen(v);
	regex_t re;
	bool hit;

	if (t->op == 3) {
		assert_int_equal(regcomp(&re, t->text,
					 REG_EXTENDED | REG_NOSUB | (any_case ? REG_ICASE : 0)),
				 0);
		hit = regexec(&re, v, 0, NULL, 0) == 0;
		regfree(&re);
		return hit;
	}
	for (size_t i = 0; i <= nw; i++)
		want[i] = any_case ? (char)tolower(t->text[i]) : t->text[i];
	for (size_t i = 0; i <= nh; i++)
		have[i] = any_case ? (char)tolower(v[i]) : v[i];
	if (nh < nw)
		return false;
	if (t->op == 0)
		return !strcmp(want, have);
	return !memcmp(want, t->op == 1 ? have : have + nh - nw, nw);
}

static bool any_holds(const struct group *g, const char *v, bool any_case)
{
	for (int i = 0; i < g->nterms; i++) {
		if (term_holds(&g->term[i], v, any_case))
			return true;
	}
	return false;
}

static bool header_holds(const struct group *g, const struct offer *o)
{
	bool there = false, any = false;

	for (int i = 0; i < o->nfields; i++) {
		if (tolower(o->field[i].name[0]) != g->name || o->field[i].name[1])
			continue;
		there = true;
		any |= any_holds(g, o->field[i].value, false);
	}
	return there && any != g->negate;
}

static bool type_holds(const struct group *g, const struct offer *o)
{
	for (int i = 0; i < o->nfields; i++) {
		char v[16];

		if (strcasecmp(o->field[i].name, "content-type"))
			continue;
		strcpy(v, o->field[i].value);
		v[strcspn(v, ";")] = 0;
		return any_holds(g, v, true) != g->negate;
	}
	return false;
}

static bool group_holds(const struct group *g, const struct offer *o)
{
	switch (g->subject) {
	case METHOD:
		return o->method && any_holds(g, o->method_text, false) != g->negate;
	case HOST:
		return o->host && any_holds(g, o->host_text, true) != g->negate;
	case PATH:
		return o->path && any_holds(g, o->path_text, false) != g->negate;
	case TYPE:
		return type_holds(g, o);
	case HEADER:
		return header_holds(g, o);
	default:
		return o->kind == POLICY_KIND_RESPONSE && o->status >= g->lo && o->status <= g->hi;
	}
}

static int32_t reference(const struct rule *r, const struct offer *o)
{
	for (int32_t i = 0; i < RULES; i++) {
		bool all = r[i].kinds & o->kind;

		for (int j = 0; j < r[i].ngroups && all; j++)
			all = group_holds(&r[i].group[j], o);
		if (all)
			return i;
	}
	return -1;
}

static void invent_offer(struct offer *o)
{
	memset(o, 0, sizeof(*o));
	o->kind = 1 + rnd(2);
	o->method = rnd(8);
	o->host = rnd(8);
	o->path = rnd(8);
	letters(o->method_text, 0, 4);
	letters(o->host_text, 0, 4);
	letters(o->path_text, 0, 4);
	o->status = (uint16_t)(200 + rnd(3) * 100 + rnd(2) * 50);
	o->nfields = (int)rnd(FIELDS + 1);
	for (int i = 0; i < o->nfields; i++) {
		if (rnd(4))
			sprintf(o->field[i].name, "%c", "xyzXYZw"[rnd(7)]);
		else
			strcpy(o->field[i].name, "Content-Type");
		letters(o->field[i].value, 0, 4);
		if (rnd(4) == 0)
			strcat(o->field[i].value, ";a");
	}
}

static bool field_at(const void *ctx, uint32_t i, const char **name, uint32_t *name_len,
		     const char **value, uint32_t *value_len)
{
	const struct offer *o = ctx;

	if (i >= (uint32_t)o->nfields)
		return false;
	*name = o->field[i].name;
	*name_len = (uint32_t)strlen(*name);
	*value = o->field[i].value;
	*value_len = (uint32_t)strlen(*value);
	return true;
}

static struct policy_message message(const struct offer *o)
{
	return (struct policy_message){
		.kind = o->kind,
		.method = o->method ? o->method_text : NULL,
		.method_len = (uint32_t)strlen(o->method_text),
		.host = o->host ? o->host_text : NULL,
		.host_len = (uint32_t)strlen(o->host_text),
		.path = o->path ? o->path_text : NULL,
		.path_len = (uint32_t)strlen(o->path_text),
		.status = o->status,
		.field = field_at,
		.ctx = o,
	};
}

static void random_rules_and_messages(void **state)
{
	static const char *const kinds[] = {"", "request", "response", "[request, response]"};
	static const struct policy_tuple t;
	const struct policy_selection sel = {.first = 0, .protocol = POLICY_PROTO_HTTP};
	uint32_t matched = 0;

	for (unsigned i = 0; i < 40; i++) {
		struct rule rule[RULES];
		char text[32768], *s = text;
		struct policy_test p;

		s += sprintf(s, "rules:\n");
		for (unsigned j = 0; j < RULES; j++) {
			invent_rule(&rule[j]);
			s += sprintf(
				s, "- {name: r%u, action: block, match: {protocol: http, kind: %s",
				j, kinds[rule[j].kinds]);
			for (int k = 0; k < rule[j].ngroups; k++)
				s += put_group(s, &rule[j].group[k]);
			s += sprintf(s, "}}\n");
		}
		policy_test_open(&p, text);
		for (unsigned j = 0; j < 200; j++) {
			struct offer o;
			struct policy_message msg;
			int32_t want, got;

			invent_offer(&o);
			msg = message(&o);
			want = reference(rule, &o);
			got = policy_match_message(p.matcher, &t, &sel, &msg);
			if (want != got)
				fail_msg("round %u %u: reference %d, matcher %d\n%s", i, j, want,
					 got, text);
			matched += got >= 0;
		}
		policy_test_close(&p);
	}
	assert_in_range(matched, 1000, 7999); /* neither all nor none: the test tests something */
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* What one message costs with ten thousand rules, some of them expressions, none of which applies.
 */
static void many_rules(void **state)
{
	static const struct policy_tuple t;
	const struct policy_selection sel = {.first = 0, .protocol = POLICY_PROTO_HTTP};
	const uint32_t n = 10000, rounds = 200;
	char *text = malloc((size_t)n * 120 + 100), *s = text;
	struct offer o = {.kind = POLICY_KIND_REQUEST,
			  .host = true,
			  .path = true,
			  .host_text = "none",
			  .path_text = "/"};
	struct policy_message msg = message(&o);
	struct policy_test p;
	double begin, made;

	if (!text)
		abort();
	s += sprintf(s, "rules:\n");
	for (uint32_t i = 0; i < n; i++)
		s += sprintf(s,
			     i % 20 ? "- {name: r%u, action: block, match: {protocol: http, host: "
				      "h%u.example}}\n"
				    : "- {name: r%u, action: block, match: {protocol: http, path: "
				      "{regex: '^/p%u/.*[.]exe$'}}}\n",
			     i, i);
	begin = now();
	policy_test_open(&p, text);
	made = now();
	for (uint32_t i = 0; i < rounds; i++)
		assert_int_equal(policy_match_message(p.matcher, &t, &sel, &msg), -1);
	print_message("%u rules: ready after %.0f ms, a message takes %.1f us\n", n,
		      (made - begin) * 1e3, (now() - made) * 1e6 / rounds);
	policy_test_close(&p);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_rules_and_messages),
		cmocka_unit_test(many_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
