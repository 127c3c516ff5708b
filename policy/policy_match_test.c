/* SPDX-License-Identifier: BSD-3-Clause */
/* The matcher: truth tables of conditions, the flow's selection, an image that was moved or
 * damaged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "policy/policy_image.h"
#include "policy/policy_test.h"

struct field {
	const char *name, *value;
};

static bool field_at(const void *ctx, uint32_t i, const char **name, uint32_t *name_len,
		     const char **value, uint32_t *value_len)
{
	const struct field *f = (const struct field *)ctx + i;

	if (!f->name)
		return false;
	*name = f->name;
	*name_len = (uint32_t)strlen(f->name);
	*value = f->value;
	*value_len = (uint32_t)strlen(f->value);
	return true;
}

static struct policy_message message(uint32_t kind, const char *method, const char *host,
				     const char *path, uint16_t status, const struct field *fields)
{
	return (struct policy_message){
		.kind = kind,
		.method = method,
		.method_len = method ? (uint32_t)strlen(method) : 0,
		.host = host,
		.host_len = host ? (uint32_t)strlen(host) : 0,
		.path = path,
		.path_len = path ? (uint32_t)strlen(path) : 0,
		.status = status,
		.field = field_at,
		.ctx = fields,
	};
}

#define REQ POLICY_KIND_REQUEST
#define RSP POLICY_KIND_RESPONSE

/* A rule with one condition against a message that offers one thing. */
struct truth {
	const char *match; /* YAML, behind protocol: http */
	uint32_t kind;
	const char *method, *host, *path;
	uint16_t status;
	struct field field[4];
	bool holds;
};

#define M(...) .match = __VA_ARGS__
static const struct truth truths[] = {
	{M(""), REQ, .holds = true},
	{M(""), RSP, .holds = true},
	{M("kind: request"), REQ, .holds = true},
	{M("kind: request"), RSP, .holds = false},
	{M("kind: [request, response]"), RSP, .holds = true},
	/* method: case counts */
	{M("method: GET"), REQ, .method = "GET", .holds = true},
	{M("method: GET"), REQ, .method = "get", .holds = false},
	{M("method: [PUT, POST]"), REQ, .method = "POST", .holds = true},
	{M("method: [PUT, POST]"), REQ, .method = "POS", .holds = false},
	{M("method: {not: [PUT, POST]}"), REQ, .method = "GET", .holds = true},
	{M("method: {not: [PUT, POST]}"), REQ, .method = "PUT", .holds = false},
	{M("method: GET"), REQ, .holds = false},
	{M("method: {not: GET}"), REQ, .holds = false},
	/* host: any case, no port, no final dot */
	{M("host: www.Example.com"), REQ, .host = "WWW.example.COM", .holds = true},
	{M("host: www.example.com"), REQ, .host = "www.example.com:8080", .holds = true},
	{M("host: www.example.com"), REQ, .host = "www.example.com.", .holds = true},
	{M("host: www.example.com"), REQ, .host = "www.example.com.:80", .holds = true},
	{M("host: www.example.com"), REQ, .host = "ww.example.com", .holds = false},
	{M("host: www.example.com"), REQ, .host = "", .holds = false},
	{M("host: www.example.com"), REQ, .holds = false},
	{M("host: \"[2001:db8::1]\""), REQ, .host = "[2001:db8::1]:80", .holds = true},
	{M("host: \"[2001:db8::1]\""), REQ, .host = "[2001:DB8::1]", .holds = true},
	{M("host: [a.example, b.example]"), REQ, .host = "b.example", .holds = true},
	{M("host: {prefix: www.}"), REQ, .host = "WWW.x", .holds = true},
	{M("host: {prefix: www.}"), REQ, .host = "www", .holds = false},
	{M("host: {suffix: .Example.com}"), REQ, .host = "a.example.com:1", .holds = true},
	{M("host: {suffix: .example.com}"), REQ, .host = "example.com", .holds = false},
	{M("host: {regex: \"^a[0-9]+[.]\"}"), REQ, .host = "A17.x", .holds = true},
	{M("host: {regex: \"^a[0-9]+[.]\"}"), REQ, .host = "a.17.x", .holds = false},
	{M("host: {regex: \"x$\"}"), REQ, .host = "a.x:80", .holds = true},
	{M("host: {regex: \".*\"}"), REQ, .holds = false},
	{M("host: {not: {regex: \"^a\"}}"), REQ, .host = "b", .holds = true},
	{M("host: {not: {regex: \"^a\"}}"), REQ, .host = "a", .holds = false},
	{M("host: {not: {regex: \"^a\"}}"), REQ, .holds = false},
	/* path: case counts */
	{M("path: /a"), REQ, .path = "/a", .holds = true},
	{M("path: /a"), REQ, .path = "/A", .holds = false},
	{M("path: {prefix: /download/}"), RSP, .path = "/download/x?y", .holds = true},
	{M("path: {prefix: /download/}"), RSP, .path = "/download", .holds = false},
	{M("path: [{suffix: .exe}, {suffix: .zip}]"), RSP, .path = "/a.zip", .holds = true},
	{M("path: [{suffix: .exe}, {regex: \"[.]z..$\"}]"), RSP, .path = "/a.zip", .holds = true},
	{M("path: [{suffix: .exe}, {regex: \"[.]z..$\"}]"), RSP, .path = "/a.ZIP", .holds = false},
	{M("path: {regex: \"^$\"}"), REQ, .path = "", .holds = true},
	{M("path: {regex: \"a.b\"}"), REQ, .path = "a\nb", .holds = true},
	/* content type: any case, no parameters */
	{M("content-type: text/html"), RSP, .field = {{"Content-Type", "Text/HTML; charset=utf-8"}},
	 .holds = true},
	{M("content-type: text/html"), RSP, .field = {{"content-type", "text/html ;x"}},
	 .holds = true},
	{M("content-type: text/html"), RSP, .field = {{"content-type", "text/htm"}},
	 .holds = false},
	{M("content-type: {prefix: text/}"), RSP, .field = {{"CONTENT-TYPE", "TEXT/plain"}},
	 .holds = true},
	{M("content-type: {prefix: text/}"), RSP, .field = {{"X-Content-Type", "text/plain"}},
	 .holds = false},
	{M("content-type: {regex: \"json$\"}"), RSP,
	 .field = {{"content-type", "application/x+JSON;a=b"}}, .holds = true},
	{M("content-type: {not: {prefix: image/}}"), RSP, .field = {{"content-type", "text/x"}},
	 .holds = true},
	{M("content-type: {not: {prefix: image/}}"), RSP, .field = {{"content-type", "image/x"}},
	 .holds = false},
	{M("content-type: {not: {prefix: image/}}"), RSP, .holds = false},
	/* headers: name in any case, value's counts; one of several occurrences is enough */
	{M("headers: [{name: X-Scan}]"), REQ, .field = {{"x-scan", ""}}, .holds = true},
	{M("headers: [{name: X-Scan}]"), REQ, .field = {{"x-scam", "1"}}, .holds = false},
	{M("headers: [{name: X-Scan, value: yes}]"), REQ, .field = {{"X-SCAN", "yes"}},
	 .holds = true},
	{M("headers: [{name: X-Scan, value: yes}]"), REQ, .field = {{"X-SCAN", "Yes"}},
	 .holds = false},
	{M("headers: [{name: a, value: [x, {prefix: y}]}]"), REQ,
	 .field = {{"A", "z"}, {"a", "yy"}}, .holds = true},
	{M("headers: [{name: a, value: {not: x}}]"), REQ, .field = {{"A", "z"}}, .holds = true},
	{M("headers: [{name: a, value: {not: x}}]"), REQ, .field = {{"A", "z"}, {"A", "x"}},
	 .holds = false},
	{M("headers: [{name: a, value: {not: x}}]"), REQ, .field = {{"B", "z"}}, .holds = false},
	{M("headers: [{name: a, value: {regex: \"^y\"}}]"), REQ, .field = {{"A", "x"}, {"a", "y"}},
	 .holds = true},
	{M("headers: [{name: a, value: {regex: \"^y\"}}]"), REQ, .field = {{"A", "x"}, {"b", "y"}},
	 .holds = false},
	{M("headers: [{name: a, value: {regex: \"^$\"}}]"), REQ, .field = {{"A", ""}},
	 .holds = true},
	{M("headers: [{name: a, value: {regex: \"^y\"}}, {name: b, value: {regex: \"^y\"}}]"), REQ,
	 .field = {{"A", "y"}, {"b", "y"}}, .holds = true},
	{M("headers: [{name: a, value: {regex: \"^y\"}}, {name: b, value: {regex: \"^y\"}}]"), REQ,
	 .field = {{"A", "y"}, {"b", "x"}}, .holds = false},
	{M("headers: [{name: a, value: {regex: \"^y\"}}, {name: a, value: {regex: \"z$\"}}]"), REQ,
	 .field = {{"A", "y"}, {"a", "z"}}, .holds = true},
	/* status: responses only */
	{M("status: 200"), RSP, .status = 200, .holds = true},
	{M("status: 200"), RSP, .status = 201, .holds = false},
	{M("status: [404, 300-399]"), RSP, .status = 399, .holds = true},
	{M("status: [404, 300-399]"), RSP, .status = 404, .holds = true},
	{M("status: [404, 300-399]"), RSP, .status = 400, .holds = false},
	{M("status: 100-999"), REQ, .status = 200, .holds = false},
	/* all must hold */
	{M("method: GET, host: a, path: {prefix: /x}"), REQ, "GET", "a", "/xy", .holds = true},
	{M("method: GET, host: a, path: {prefix: /x}"), REQ, "GET", "b", "/xy", .holds = false},
	{M("method: GET, host: a, path: {prefix: /x}"), REQ, "GET", "a", "/y", .holds = false},
	{M("method: GET, host: a, path: {prefix: /x}"), REQ, "PUT", "a", "/xy", .holds = false},
};

static const struct policy_tuple tuple = {
	.client = {[10] = 0xff, 0xff, 10, 0, 0, 1},
	.server = {[10] = 0xff, 0xff, 192, 0, 2, 1},
	.client_port = 40000,
	.server_port = 80,
};

static void truth_tables(void **state)
{
	for (size_t i = 0; i < sizeof(truths) / sizeof(*truths); i++) {
		const struct truth *t = &truths[i];
		struct policy_message msg =
			message(t->kind, t->method, t->host, t->path, t->status, t->field);
		struct policy_selection sel;
		struct policy_test p;
		char text[1024];

		snprintf(text, sizeof(text),
			 "rules:\n- {name: a, action: block, match: {protocol: http, %s}}\n",
			 t->match);
		policy_test_open(&p, text);
		policy_select_flow(p.matcher, &tuple, &sel);
		assert_int_equal(sel.first, 0);
		assert_int_equal(sel.protocol, POLICY_PROTO_HTTP);
		/* twice: nothing of one message stays for the next */
		for (unsigned j = 0; j < 2; j++) {
			if (policy_match_message(p.matcher, &tuple, &sel, &msg) !=
			    (t->holds ? 0 : -1))
				fail_msg("case %zu: %s should %shold", i, t->match,
					 t->holds ? "" : "not ");
		}
		policy_test_close(&p);
	}
}

static void messages_do_not_mix(void **state)
{
	struct policy_message yes = message(REQ, "GET", "a", "/yes", 0, NULL),
			      no = message(REQ, "GET", "b", "/no", 0, NULL);
	static const struct field none[1];
	struct policy_selection sel;
	struct policy_test p;

	yes.ctx = none;
	no.ctx = none;
	policy_test_open(
		&p,
		"rules:\n- {name: a, action: block, match: {protocol: http, path: {regex: yes}}}\n"
		"- {name: b, action: block, match: {protocol: http, host: {regex: b}}}\n");
	policy_select_flow(p.matcher, &tuple, &sel);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(policy_match_message(p.matcher, &tuple, &sel, &yes), 0);
		assert_int_equal(policy_match_message(p.matcher, &tuple, &sel, &no), 1);
	}
	policy_test_close(&p);
}

/* The flow's selection by the rules in order: first rule, protocol. */
static void selection(void **state)
{
	static const struct {
		const char *rules;
		int32_t first;
		uint32_t protocol;
	} cases[] = {
		{"[]", -1, 0},
		{"[{name: a, action: bypass}]", -1, 0},
		{"[{name: a, action: block, match: {protocol: tcp}}]", 0, POLICY_PROTO_TCP},
		{"[{name: a, action: block, match: {protocol: http}}]", 0, POLICY_PROTO_HTTP},
		{"[{name: a, action: block, match: {protocol: smtp}}]", 0, POLICY_PROTO_SMTP},
		{"[{name: a, action: bypass, match: {protocol: smtp, sender: x}}, {name: b, action: block, match: "
		 "{protocol: smtp}}]",
		 0, POLICY_PROTO_SMTP},
		/* a bypass of whole flows ends the search */
		{"[{name: a, action: bypass, match: {server-port: 80}}, {name: b, action: block, "
		 "match: {protocol: tcp}}]",
		 -1, 0},
		{"[{name: a, action: bypass, match: {server-port: 81}}, {name: b, action: block, "
		 "match: {protocol: tcp}}]",
		 1, POLICY_PROTO_TCP},
		{"[{name: a, action: bypass, match: {protocol: http}}, {name: b, action: block, "
		 "match: {protocol: tcp}}]",
		 -1, 0},
		/* at the SYN, a tunnel is a bypass */
		{"[{name: a, action: tunnel, match: {server-port: 80}}, {name: b, action: block, "
		 "match: {protocol: tcp}}]",
		 -1, 0},
		{"[{name: a, action: tunnel, match: {protocol: http, host: x}}]", -1, 0},
		{"[{name: a, action: tunnel, match: {protocol: http, host: x}}, {name: b, action: "
		 "block, match: {protocol: http}}]",
		 0, POLICY_PROTO_HTTP},
		/* a bypass of some messages does not, and must come before the others */
		{"[{name: a, action: bypass, match: {protocol: http, host: x}}]", -1, 0},
		{"[{name: a, action: bypass, match: {protocol: http, host: x}}, {name: b, action: "
		 "block, match: {protocol: http}}]",
		 0, POLICY_PROTO_HTTP},
		{"[{name: a, action: bypass, match: {protocol: http, kind: request}}, {name: b, "
		 "action: block, match: {protocol: http}}]",
		 0, POLICY_PROTO_HTTP},
		{"[{name: a, action: bypass, match: {protocol: http, host: x}}, {name: b, action: "
		 "block, match: {protocol: tcp}}]",
		 1, POLICY_PROTO_TCP},
		{"[{name: a, action: bypass, match: {protocol: http, host: x}}, {name: b, action: "
		 "bypass}, "
		 "{name: c, action: block, match: {protocol: http}}]",
		 -1, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct policy_selection sel;
		struct policy_test p;
		char text[512];

		snprintf(text, sizeof(text), "rules: %s\n", cases[i].rules);
		policy_test_open(&p, text);
		policy_select_flow(p.matcher, &tuple, &sel);
		if (sel.first != cases[i].first ||
		    (sel.first >= 0 && sel.protocol != cases[i].protocol))
			fail_msg("%s: %d %u", cases[i].rules, sel.first, sel.protocol);
		policy_test_close(&p);
	}
}

/* The envelope of a mail. */
static void mails(void **state)
{
	static const struct field mail[] = {{":sender", "a@from.example"}, {":recipient", "b@to.example"},
					    {":recipient", "c@other.example"}, {NULL, NULL}},
				  null_sender[] = {{":sender", "<>"}, {":recipient", "b@to.example"}, {NULL, NULL}};
	static const struct {
		const char *match;
		bool mail, null_sender;
	} cases[] = {
		{"sender: A@From.example", true, false},
		{"sender: {suffix: \"@from.example\"}", true, false},
		{"sender: \"<>\"", false, true},
		{"sender: {not: \"<>\"}", true, false},
		{"recipient: c@other.example", true, false},
		{"recipient: [c@other.example, b@to.example]", true, true},
		{"recipient: {not: {suffix: \"@other.example\"}}", false, true},
		{"recipient: {regex: \"^[bc]@o\"}", true, false},
		{"recipient: {prefix: \"B@\"}, sender: {suffix: .example}", true, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct policy_message a = message(REQ, NULL, NULL, NULL, 0, mail),
				      b = message(REQ, NULL, NULL, NULL, 0, null_sender);
		struct policy_selection sel;
		struct policy_test p;
		char text[512];

		snprintf(text, sizeof(text), "rules: [{name: a, action: block, match: {protocol: smtp, %s}}]\n",
			 cases[i].match);
		policy_test_open(&p, text);
		policy_select_flow(p.matcher, &tuple, &sel);
		assert_int_equal(sel.protocol, POLICY_PROTO_SMTP);
		if ((policy_match_message(p.matcher, &tuple, &sel, &a) == 0) != cases[i].mail ||
		    (policy_match_message(p.matcher, &tuple, &sel, &b) == 0) != cases[i].null_sender)
			fail_msg("%s", cases[i].match);
		policy_test_close(&p);
	}
}

static void first_rule_wins(void **state)
{
	struct policy_message req = message(REQ, "GET", "x", "/", 0, NULL),
			      other = message(REQ, "GET", "y", "/", 0, NULL);
	static const struct field none[1];
	struct policy_selection sel;
	struct policy_test p;

	req.ctx = none;
	other.ctx = none;
	policy_test_open(&p,
			 "rules:\n"
			 "- {name: a, action: bypass, match: {protocol: http, host: x}}\n"
			 "- {name: b, action: block, match: {protocol: tcp}}\n"
			 "- {name: c, action: block, match: {protocol: http, client: 10.0.0.2}}\n"
			 "- {name: d, action: block, match: {protocol: http, client: 10.0.0.1}}\n");
	sel = (struct policy_selection){.first = 0, .protocol = POLICY_PROTO_HTTP};
	assert_int_equal(policy_match_message(p.matcher, &tuple, &sel, &req), 0);
	assert_int_equal(policy_match_message(p.matcher, &tuple, &sel, &other), 3);
	sel.first = -1;
	assert_int_equal(policy_match_message(p.matcher, &tuple, &sel, &req), -1);
	policy_test_close(&p);
}

static void families_are_apart(void **state)
{
	struct policy_tuple v6 = {.client = {0x20, 1}, .server = {0x20, 1}, .server_port = 80};
	struct policy_selection sel;
	struct policy_test p;

	policy_test_open(
		&p,
		"rules: [{name: a, action: block, match: {protocol: tcp, client: \"::/0\"}}]\n");
	policy_select_flow(p.matcher, &tuple, &sel);
	assert_int_equal(sel.first, -1);
	policy_select_flow(p.matcher, &v6, &sel);
	assert_int_equal(sel.first, 0);
	policy_test_close(&p);
	policy_test_open(
		&p,
		"rules: [{name: a, action: block, match: {protocol: tcp, client: 0.0.0.0/0}}]\n");
	policy_select_flow(p.matcher, &tuple, &sel);
	assert_int_equal(sel.first, 0);
	policy_select_flow(p.matcher, &v6, &sel);
	assert_int_equal(sel.first, -1);
	policy_test_close(&p);
}

/* Any alignment-preserving copy works, and the original may go. */
static void image_can_be_moved(void **state)
{
	struct policy_message msg =
		message(REQ, "GET", "abc", "/", 0, (const struct field[1]){{0}});
	struct policy_selection sel;
	struct policy_matcher *m;
	struct policy_test p;
	size_t size;
	char *copy;

	policy_test_open(&p, "rules: [{name: a, action: block, match: {protocol: http, host: "
			     "{regex: \"b+c$\"}}}]\n");
	size = policy_image_size(p.image);
	copy = aligned_alloc(64, size + 192);
	assert_non_null(copy);
	memcpy(copy + 128, p.image, size);
	assert_int_equal(policy_image_generation(p.image), 7);
	policy_test_close(&p);
	assert_int_equal(policy_image_check(copy + 128, size), 0);
	assert_int_equal(policy_image_check(copy + 128, size + 64), 0);
	assert_int_equal(policy_image_check(copy + 128, size - 1), -EINVAL);
	assert_int_equal(policy_matcher_create(&m, (void *)(copy + 128), -1), 0);
	policy_select_flow(m, &tuple, &sel);
	assert_int_equal(policy_match_message(m, &tuple, &sel, &msg), 0);
	policy_matcher_destroy(m);
	memmove(copy + 120, copy + 128, size);
	assert_int_equal(policy_image_check(copy + 120, size), -EINVAL);
	free(copy);
}

static void damage_is_found(void **state)
{
	struct policy_test p;
	size_t size;
	uint8_t *octets;

	policy_test_open(&p, "services: [{name: s, address: \"unix:/x\"}]\n"
			     "rules: [{name: a, action: adapt, service: s, match: {protocol: http, "
			     "path: {regex: x}}}]\n");
	size = policy_image_size(p.image);
	octets = (uint8_t *)p.image;
	for (size_t i = 0; i < size; i += 1 + i / 512) {
		octets[i] ^= 0x10;
		assert_int_equal(policy_image_check(octets, size), -EINVAL);
		octets[i] ^= 0x10;
	}
	assert_int_equal(policy_image_check(octets, size), 0);
	/* A wrong index under a right checksum. */
	((struct policy_rule *)(uintptr_t)policy_image_rule(p.image, 0))->service = 1;
	p.image->checksum = policy_image_checksum(p.image, size);
	assert_int_equal(policy_image_check(octets, size), -EINVAL);
	policy_test_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truth_tables),	      cmocka_unit_test(messages_do_not_mix),
		cmocka_unit_test(selection),	      cmocka_unit_test(first_rule_wins),
		cmocka_unit_test(families_are_apart), cmocka_unit_test(image_can_be_moved),
		cmocka_unit_test(damage_is_found),    cmocka_unit_test(mails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
