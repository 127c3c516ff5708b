/* SPDX-License-Identifier: BSD-3-Clause */
/* The opes section, URIs, and who may bypass which service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "policy/policy_test.h"

#define SERVICES                                                                                    \
	"services:\n"                                                                              \
	"  - {name: a, address: \"tcp:127.0.0.1:1\"}\n"                                            \
	"  - {name: b, address: \"tcp:127.0.0.1:1\", bypassable: yes}\n"                           \
	"  - {name: c, address: \"tcp:127.0.0.1:1\", bypassable: no}\n"
#define RULE(name, service, more)                                                                   \
	"  - {name: " name ", match: {protocol: http, path: /" name "}, action: adapt, service: " service more "}\n"

static void takes_the_keys(void **state)
{
	struct policy_test p;
	const struct policy_opes *o;

	policy_test_open(&p, "opes: {system-uri: \"http://s.example/\", processor-uri: \"http://s.example/p1\", trace: all,\n"
			     " via: always, service-entries: no, trace-limit: 2KiB, trace-overflow: refuse,\n"
			     " bypass-clients: [10.0.0.0/8, \"2001:db8::/32\"]}\n");
	o = policy_image_opes(p.image);
	assert_string_equal(o->system_uri, "http://s.example/");
	assert_string_equal(o->processor_uri, "http://s.example/p1");
	assert_int_equal(o->trace, POLICY_TRACE_ALL);
	assert_int_equal(o->via, POLICY_VIA_ALWAYS);
	assert_int_equal(o->overflow, POLICY_TRACE_REFUSE);
	assert_int_equal(o->trace_limit, 2048);
	assert_false(o->service_entries);
	policy_test_close(&p);
	policy_test_open(&p, "");
	o = policy_image_opes(p.image);
	assert_string_equal(o->system_uri, "");
	assert_int_equal(o->trace, POLICY_TRACE_ADAPTED);
	assert_int_equal(o->via, POLICY_VIA_PRESENT);
	assert_int_equal(o->trace_limit, 4096);
	assert_true(o->service_entries);
	policy_test_close(&p);
}

static void refuses_what_cannot_be_traced(void **state)
{
	static const char *const bad[][2] = {
		{"opes: {system-uri: nothing}", "no URI that a trace can begin with"},
		{"opes: {system-uri: \"http://a/,b\"}", "no URI that a trace can begin with"},
		{"opes: {system-uri: \"http://a/;b\"}", "no URI that a trace can begin with"},
		{"opes: {system-uri: \"http://a b/\"}", "no URI that a trace can begin with"},
		{"opes: {processor-uri: \"http://a/\"}", "needs system-uri"},
		{"opes: {trace: all}", "needs system-uri"},
		{"opes: {via: always}", "needs system-uri"},
		{"opes: {trace-limit: 100}", "out of range"},
		{"opes: {bypass-clients: [10.0.0.1/8]}", "beyond its prefix"},
		{"services: [{name: a, address: \"tcp:127.0.0.1:1\", uri: \"http://a/,b\"}]", "no URI that a trace can name"},
		{"services: [{name: a, address: \"tcp:127.0.0.1:1\", bypassable: maybe}]", "bypassable has no value"},
		{"rules: [{name: r, action: bypass, bypassable: no}]", "uses no service"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct policy_config *c = NULL;
		struct policy_errors errs;
		char text[512];
		int n = snprintf(text, sizeof(text), "ports: {inside: {device: a}, outside: {device: b}}\n%s\n", bad[i][0]);

		assert_int_not_equal(policy_config_parse("t.yaml", text, (size_t)n, &c, &errs), 0);
		if (!strstr(errs.e[0].text, bad[i][1]) || errs.e[0].line != 2)
			fail_msg("%s: line %u: %s", bad[i][0], errs.e[0].line, errs.e[0].text);
	}
}

static enum policy_bypass_verdict may(const struct policy_test *p, uint32_t rule, uint8_t last, bool v4)
{
	uint8_t client[16] = {[10] = v4 ? 0xff : 0, [11] = v4 ? 0xff : 0, [12] = 192, [14] = 2, [15] = last};

	return policy_may_bypass(p->image, policy_image_rule(p->image, rule), client);
}

static void who_may_bypass(void **state)
{
	struct policy_test p;

	policy_test_open(&p, "opes: {bypass-clients: [192.0.2.8/30, 192.0.2.77]}\n" SERVICES "rules:\n" RULE("a", "a", "")
				     RULE("b", "b", "") RULE("c", "c", "") RULE("d", "c", ", bypassable: yes")
					     RULE("e", "b", ", bypassable: no") RULE("f", "c", ", bypassable: clients"));
	for (uint32_t rule = 0; rule < 6; rule += 5) { /* a, f: clients */
		assert_int_equal(may(&p, rule, 7, true), POLICY_BYPASS_NOT_CLIENT);
		assert_int_equal(may(&p, rule, 8, true), POLICY_BYPASS_GRANTED);
		assert_int_equal(may(&p, rule, 11, true), POLICY_BYPASS_GRANTED);
		assert_int_equal(may(&p, rule, 12, true), POLICY_BYPASS_NOT_CLIENT);
		assert_int_equal(may(&p, rule, 77, true), POLICY_BYPASS_GRANTED);
		assert_int_equal(may(&p, rule, 8, false), POLICY_BYPASS_NOT_CLIENT); /* another family */
	}
	assert_int_equal(may(&p, 1, 7, true), POLICY_BYPASS_GRANTED);
	assert_int_equal(may(&p, 2, 8, true), POLICY_BYPASS_NOT_ALLOWED);
	assert_int_equal(may(&p, 3, 7, true), POLICY_BYPASS_GRANTED);
	assert_int_equal(may(&p, 4, 8, true), POLICY_BYPASS_NOT_ALLOWED);
	policy_test_close(&p);
	policy_test_open(&p, SERVICES "rules:\n" RULE("a", "a", ""));
	assert_int_equal(may(&p, 0, 8, true), POLICY_BYPASS_NOT_CLIENT); /* nobody unless somebody is named */
	policy_test_close(&p);
}

static bool same(const char *a, const char *b)
{
	return policy_uri_same(a, strlen(a), b, strlen(b));
}

static void uris(void **state)
{
	static const char *const good[] = {"http://a", "urn:opes:service:a", "a+b-1.c:d", "HTTP://[::1]:80/x?y#z", "x:%20"};
	static const char *const wrong[] = {"", ":", "a", "a:", ":a", "1a:b", "http//a:b", "http://a b", "http://a,b", "http://a\"b",
					    "http://<a>", "http://a\\b", "*", "a\xc3:b"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(policy_uri_absolute(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(policy_uri_absolute(wrong[i], strlen(wrong[i])));
	assert_false(policy_uri_absolute("a:b\0c", 5));
	assert_true(same("http://a.example/x", "HTTP://A.Example/x"));
	assert_false(same("http://a.example/x", "http://a.example/X"));
	assert_false(same("http://a.example/x", "http://a.example/x/"));
	assert_false(same("http://a.example", "http://a.example/"));
	assert_true(same("URN:Opes:service:a", "urn:opes:service:a"));
	assert_false(same("urn:opes:service:a", "urn:opes:service:A"));
	assert_false(same("x:a", "x:A"));
	assert_true(same("X:a", "x:a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_keys),
		cmocka_unit_test(refuses_what_cannot_be_traced),
		cmocka_unit_test(who_may_bypass),
		cmocka_unit_test(uris),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
