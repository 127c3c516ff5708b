/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader: every class of error with its place, defaults, what needs a restart. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "callout/callout.h"
#include "policy/policy_words.h"
#include "policy/policy_schema.h"
#include "policy/policy_value.h"

#define PORTS "ports: {inside: {device: a}, outside: {device: b}}\n"
#define ECHO "services: [{name: echo, address: \"tcp:127.0.0.1:4037\"}]\n"
#define HEAD PORTS ECHO "rules:\n"

static struct policy_errors errs;

static struct policy_config *parse(const char *text)
{
	struct policy_config *c = NULL;
	int rc = policy_config_parse("t.yaml", text, strlen(text), &c, &errs);

	assert_true((rc == 0) == (c != NULL));
	assert_true((rc == 0) == (errs.count == 0));
	return c;
}

struct bad {
	const char *text;
	uint32_t line, column;
	const char *says; /* part of the message */
};

/* Each is wrong in exactly one way. */
static const struct bad bad[] = {
	/* not YAML at all, not one document */
	{"a: [1", 2, 1, "Not YAML"},
	{"a: 1\n b: 2", 2, 3, "Not YAML"},
	{"a: *x\n", 1, 4, "undefined alias"},
	{PORTS "a\x01: b\n", 2, 2, "Not YAML"},
	{"", 1, 1, "empty"},
	{"# nothing\n", 1, 1, "empty"},
	{PORTS "---\nname: x\n", 3, 1, "second document"},
	{"- a\n", 1, 1, "must be a map"},
	{PORTS "? [x]\n: 1\n", 2, 3, "A key must be a single value"},
	/* keys */
	{PORTS "prots: 1\n", 2, 1, "did you mean 'ports'"},
	{PORTS "zzzzzzzz: 1\n", 2, 1, "known: name, dpdk"},
	{PORTS "name: a\nname: b\n", 3, 1, "given twice"},
	{"name: a\n", 1, 1, "'ports' is missing"},
	{"ports: {inside: {device: a}}\n", 1, 8, "'outside' is missing"},
	{"ports: {inside: {device: a}, outside: {mtu: 1500}}\n", 1, 39, "'device' is missing"},
	/* types and ranges */
	{PORTS "name: [a]\n", 2, 7, "must be a string"},
	{PORTS "name: \"\"\n", 2, 7, "must not be empty"},
	{PORTS "name: \"a\\tb\"\n", 2, 7, "control characters"},
	{PORTS "name: \"a\\0b\"\n", 2, 7, "NUL"},
	{PORTS "dpdk: 5\n", 2, 7, "must be a map"},
	{PORTS "dpdk: {memory: 1KiB}\n", 2, 16, "whole MiB"},
	{PORTS "dpdk: {huge-pages: maybe}\n", 2, 20, "true or false"},
	{PORTS "limits: {flows: many}\n", 2, 17, "must be an integer"},
	{PORTS "limits: {flows: 99999999999999999999}\n", 2, 17, "must be an integer"},
	{PORTS "limits: {flows: 3}\n", 2, 17, "not within 16 to 16777216"},
	{PORTS "limits: {receive-buffer: 2GiB}\n", 2, 26, "not within 4KiB to 1GiB"},
	{PORTS "limits: {receive-buffer: 1MB}\n", 2, 26, "such as 65536, 64KiB or 4MiB"},
	{PORTS "limits: {idle-timeout: 30}\n", 2, 24, "such as 500ms, 30s or 1h"},
	{PORTS "limits: {idle-timeout: 1ms}\n", 2, 24, "not within 1s to 30d"},
	{PORTS "limits: {callout-ring: 100}\n", 2, 24, "power of two"},
	{PORTS "limits: {preservation: 1MiB}\n", 2, 24, "more than preservation"},
	{PORTS "limits: {half-open: 2000000}\n", 2, 21, "not within 0 to 1048576"},
	{PORTS "limits: {fragments: 3}\n", 2, 21, "not within 16 to 65536"},
	{PORTS "limits: {fragment-octets: 1KiB}\n", 2, 27, "not within 64KiB to 1GiB"},
	{PORTS "limits: {fragment-timeout: 2m}\n", 2, 28, "not within 100ms to 1m"},
	{PORTS "tcp: {mid-stream: open}\n", 2, 19, "known: pass, drop, reset"},
	{PORTS "tcp: {half-open-exceeded: reset}\n", 2, 27, "known: bypass, drop"},
	{PORTS "control-socket: opes.sock\n", 2, 17, "absolute path"},
	/* ports and lcores */
	{"ports: {inside: {device: \"a,iface=x\"}, outside: {device: \"a,iface=y\"}}\n", 1, 58,
	 "same device 'a'"},
	{"ports: {inside: {device: \"a,iface=x\"}, outside: {device: \"b,iface=x\"}}\n", 1, 58,
	 "same interface 'x'"},
	{"ports: {inside: {device: a, mtu: 40}, outside: {device: b}}\n", 1, 34, "not within 576"},
	{PORTS "lcores: {workers: 1}\n", 2, 19, "list of 1 to 32"},
	{PORTS "lcores: {workers: []}\n", 2, 19, "list of 1 to 32"},
	{PORTS "lcores: {workers: [0, 128]}\n", 2, 23, "not within 0 to 127"},
	{PORTS "lcores: {workers: [1, 2, 1]}\n", 2, 26, "processor 1 twice"},
	{PORTS "lcores: {callout: -1}\n", 2, 19, "not within 0 to 127"},
	/* services */
	{PORTS "services: 1\n", 2, 11, "must be a list"},
	{PORTS "services:\n", 2, 10, "must be a list, here is nothing"},
	{PORTS "services:\n- {name: a}\n", 3, 3, "'address' is missing"},
	{PORTS "services:\n- {name: a, address: \"tcp:host:1\"}\n", 3, 22, "not resolved"},
	{PORTS "services:\n- {name: a, address: \"tcp:1.2.3.4\"}\n", 3, 22, "needs a port"},
	{PORTS "services:\n- {name: a, address: \"tcp:1.2.3.4:0\"}\n", 3, 22, "needs a port"},
	{PORTS "services:\n- {name: a, address: \"unix:x\"}\n", 3, 22, "absolute path"},
	{PORTS "services:\n- {name: a, address: \"udp:1.2.3.4:5\"}\n", 3, 22, "must be tcp:"},
	{PORTS "services:\n- {name: a b, address: \"unix:/x\"}\n", 3, 10, "letters, digits"},
	{PORTS "services:\n- {name: a, address: \"unix:/x\"}\n- {name: a, address: \"unix:/y\"}\n",
	 4, 10, "Two services"},
	{PORTS "services:\n- {name: a, address: \"unix:/x\", dialect: drat}\n", 3, 42,
	 "did you mean 'draft'"},
	{PORTS "services:\n- {name: a, address: \"unix:/x\", aux-parts: request-header}\n", 3, 44,
	 "of the dialect core"},
	{PORTS "services:\n- {name: a, address: \"unix:/x\", dialect: core, aux-parts: [response-header]}\n", 3, 60,
	 "request-header"},
	{PORTS "services:\n- {name: a, address: \"unix:/x\", dialect: core, ack-all: yes}\n", 3, 57,
	 "no acknowledgements"},
	/* rules */
	{PORTS ECHO "rules: {}\n", 3, 8, "must be a list"},
	{HEAD "- name: a\n", 4, 3, "'action' is missing"},
	{HEAD "- {name: a, action: byepass}\n", 4, 21, "did you mean 'bypass'"},
	{HEAD "- {name: a, action: adapt, service: echo}\n", 4, 3, "needs protocol"},
	{HEAD "- {name: a, action: adapt, match: {protocol: tcp}}\n", 4, 3, "needs a service"},
	{HEAD "- {name: a, action: observe, match: {protocol: tcp}}\n", 4, 3, "needs a service"},
	{HEAD "- {name: a, action: bypass, service: echo}\n", 4, 38, "uses no service"},
	{HEAD "- {name: a, action: adapt, service: ecko, match: {protocol: tcp}}\n", 4, 37,
	 "did you mean 'echo'"},
	{HEAD "- {name: a, action: tunnel, service: echo}\n", 4, 38, "uses no service"},
	{HEAD "- {name: a, action: tunnel, match: {host: x}}\n", 4, 36, "needs protocol"},
	{HEAD "- {name: a, action: bypass}\n- {name: a, action: bypass}\n", 5, 10, "Two rules"},
	{HEAD
	 "- {name: a, action: adapt, service: echo, match: {protocol: tcp}, on-failure: answer}\n",
	 4, 79, "needs protocol http"},
	{HEAD "- {name: a, action: adapt, service: echo, match: {protocol: tcp}, on-failure: "
	      "{lost: answer}}\n",
	 4, 79, "needs protocol http"},
	{HEAD "- {name: a, action: bypass, on-failure: shut}\n", 4, 41,
	 "known: open, closed, answer"},
	{HEAD "- {name: a, action: bypass, on-failure: {conect: open}}\n", 4, 42,
	 "did you mean 'connect'"},
	{HEAD "- {name: a, action: bypass, on-failure: {lost: open, lost: open}}\n", 4, 54,
	 "given twice"},
	{HEAD "- {name: a, action: bypass, answer: 200}\n", 4, 37, "not within 400 to 599"},
	{HEAD "- {name: a, action: bypass, preserve: 1GiB}\n", 4, 39,
	 "more than limits.preservation"},
	{HEAD "- {name: a, action: bypass, starttls: strip}\n", 4, 39, "needs protocol smtp"},
	{HEAD "- {name: a, action: bypass, odd-ends: pass}\n", 4, 39, "needs protocol smtp"},
	{HEAD "- {name: a, action: block, match: {protocol: smtp}, answer: 460}\n", 4, 61, "no SMTP reply code"},
	{HEAD "- {name: a, action: block, match: {protocol: smtp}, starttls: stripped}\n", 4, 63,
	 "did you mean 'strip'"},
	/* match */
	{HEAD "- {name: a, action: block, match: {protocol: smtp, kind: response}}\n", 4, 58, "only the kind request"},
	{HEAD "- {name: a, action: block, match: {protocol: smtp, host: x}}\n", 4, 35, "has sender and recipient"},
	{HEAD "- {name: a, action: block, match: {protocol: http, sender: x}}\n", 4, 35, "need protocol smtp"},
	{HEAD "- {name: a, action: block, match: {protocol: tcp, recipient: x}}\n", 4, 35, "recipient smtp"},
	{HEAD "- {name: a, action: block, match: {protocol: http, status: 100-199}}\n", 4, 60, "nothing else can be done"},
	{HEAD "- {name: a, action: bypass, match: {protocol: rtsp, status: 100}}\n", 4, 61, "of RTSP pass"},
	{HEAD "- {name: a, action: block, match: {protocol: smtp, sender: <a@b.example>}}\n", 4, 60, "without angle brackets"},
	{HEAD "- {name: a, action: bypass, match: {kind: request}}\n", 4, 36, "needs protocol"},
	{HEAD "- {name: a, action: bypass, match: {host: x}}\n", 4, 36, "needs protocol"},
	{HEAD "- {name: a, action: bypass, match: {protocol: udp}}\n", 4, 47, "known: http, rtsp, smtp, tcp"},
	{HEAD "- {name: a, action: bypass, match: {protocol: tcp, kind: request}}\n", 4, 58,
	 "only the kind stream"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, kind: [request, stream]}}\n", 4,
	 59, "kinds request"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, kind: []}}\n", 4, 59,
	 "empty list"},
	{HEAD "- {name: a, action: bypass, match: {protocol: tcp, path: /}}\n", 4, 36,
	 "protocol http"},
	{HEAD "- {name: a, action: bypass, match: {client: 10.0.0.0/33}}\n", 4, 45, "0-32"},
	{HEAD "- {name: a, action: bypass, match: {client: [10.0.0.0/8, 10.0.0.1/8]}}\n", 4, 58,
	 "beyond its prefix"},
	{HEAD "- {name: a, action: bypass, match: {server: example.com}}\n", 4, 45,
	 "not an IP address"},
	{HEAD "- {name: a, action: bypass, match: {server: []}}\n", 4, 45, "empty list"},
	{HEAD "- {name: a, action: bypass, match: {client-port: 65536}}\n", 4, 50, "0 to 65535"},
	{HEAD "- {name: a, action: bypass, match: {server-port: [80, 9-8]}}\n", 4, 55,
	 "range LOW-HIGH"},
	{HEAD "- {name: a, action: bypass, match: {server-port: [80, 70-90]}}\n", 4, 55,
	 "'70-90' overlaps"},
	{HEAD "- {name: a, action: bypass, match: {vlan: 4095}}\n", 4, 43, "0 to 4094"},
	{HEAD "- {name: a, action: bypass, match: {direction: inside}}\n", 4, 48,
	 "did you mean 'inside-out'"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, host: \"\"}}\n", 4, 59,
	 "empty text"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, host: []}}\n", 4, 59,
	 "empty list"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, host: {exact: a, prefix: b}}}\n",
	 4, 59, "one key"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, host: {regx: a}}}\n", 4, 60,
	 "did you mean 'regex'"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, host: {not: {not: a}}}}\n", 4,
	 66, "known: exact"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, method: {regex: GET}}}\n", 4, 69,
	 "no regex"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, status: 99}}\n", 4, 61,
	 "100 to 999"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, headers: {name: a}}}\n", 4, 62,
	 "must be a list"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, headers: [a]}}\n", 4, 63,
	 "a map with name"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, headers: [{name: \"a:\"}]}}\n",
	 4, 70, "no field name"},
	{HEAD
	 "- {name: a, action: bypass, match: {protocol: http, headers: [{name: a, val: b}]}}\n",
	 4, 63, "no other"},
	/* regular expressions */
	{HEAD "- {name: a, action: bypass, match: {protocol: http, path: {regex: \"a(b\"}}}\n", 4,
	 67, "Hyperscan: Missing close parenthesis"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, host: [{regex: a}, {regex: "
	      "\"(?<=x)y\"}]}}\n",
	 4, 80, "'(?<=x)y' is refused"},
	{HEAD "- {name: a, action: bypass, match: {protocol: http, headers: [{name: x, value: "
	      "{regex: '*'}}]}}\n",
	 4, 88, "is refused"},
};

static void errors_have_places(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_null(parse(bad[i].text));
		if (errs.count != 1 || errs.e[0].line != bad[i].line ||
		    errs.e[0].column != bad[i].column || !strstr(errs.e[0].text, bad[i].says) ||
		    strcmp(errs.e[0].file, "t.yaml"))
			fail_msg("case %zu: %s\nwant 1 error at %u:%u: ..%s..\ngot %u, first at "
				 "%u:%u: %s",
				 i, bad[i].text, bad[i].line, bad[i].column, bad[i].says,
				 errs.count, errs.e[0].line, errs.e[0].column, errs.e[0].text);
	}
}

static void all_errors_at_once(void **state)
{
	assert_null(parse("name: [a]\n"
			  "zzz: 1\n"
			  "limits: {flows: x, mbufs: y}\n"
			  "rules:\n"
			  "- {name: a, action: bypass, match: {protocol: http, path: [{regex: "
			  "'('}, {regex: ')'}]}}\n"
			  "- {name: b, action: adapt, service: none, match: {protocol: tcp}}\n"));
	assert_int_equal(errs.count, 8);
	for (uint32_t i = 1; i < errs.count; i++)
		assert_true(errs.e[i - 1].line <= errs.e[i].line);
}

static void many_errors_are_counted(void **state)
{
	char text[8192] = PORTS;

	for (unsigned i = 0; i < 100; i++)
		sprintf(text + strlen(text), "key%u: 1\n", i);
	assert_null(parse(text));
	assert_int_equal(errs.count, 100);
}

static void defaults(void **state)
{
	struct policy_config *c =
		parse(HEAD "- {name: a, action: adapt, service: echo, match: {protocol: http}}\n"
			   "- {name: b, action: block, match: {protocol: http}}\n");
	const struct policy_rules *r;

	assert_non_null(c);
	assert_string_equal(c->file, "t.yaml");
	assert_string_equal(c->name, "opes");
	assert_string_equal(c->file_prefix, "opes");
	assert_string_equal(c->control_socket, "/run/opes/control.sock");
	assert_int_equal(c->memory_mb, 512);
	assert_false(c->no_huge);
	assert_string_equal(c->port[0].name, "inside");
	assert_string_equal(c->port[1].name, "outside");
	assert_string_equal(c->port[0].device, "a");
	assert_string_equal(c->port[1].device, "b");
	assert_int_equal(c->port[1].mtu, 1500);
	assert_true(c->port[1].promiscuous);
	assert_int_equal(c->workers, 1);
	assert_int_equal(c->worker_lcore[0], 0);
	assert_int_equal(c->callout_lcore, 0);
	assert_true(c->idle_backoff);
	assert_int_equal(c->limits.flows, 65536);
	assert_int_equal(c->limits.mbufs, 65536);
	assert_int_equal(c->limits.receive_buffer, 1 << 20);
	assert_int_equal(c->limits.preservation, 128 << 20);
	assert_int_equal(c->limits.preservation_flow, 4 << 20);
	assert_int_equal(c->limits.transactions, 1024);
	assert_int_equal(c->limits.callout_ring, 4096);
	assert_int_equal(c->limits.idle_timeout_us, 3600000000);
	assert_int_equal(c->limits.handshake_timeout_us, 30000000);
	assert_int_equal(c->limits.http_head, 65536);
	assert_int_equal(c->limits.half_open, 0);
	assert_int_equal(c->limits.fragments, 1024);
	assert_int_equal(c->limits.fragment_octets, 4 << 20);
	assert_int_equal(c->limits.fragment_timeout_us, 10000000);
	assert_int_equal(policy_half_open(&c->limits), 16384);
	assert_int_equal(c->tcp.mid_stream, POLICY_MID_PASS);
	assert_int_equal(c->tcp.half_open_exceeded, POLICY_HALF_OPEN_BYPASS);
	assert_int_equal(c->tcp.congestion, POLICY_CC_CUBIC);
	assert_int_equal(c->limits.reassembly, 0);
	assert_int_equal(c->nservices, 1);
	assert_string_equal(c->services[0].uri, "urn:opes:service:echo");
	assert_int_equal(c->services[0].dialect, POLICY_DIALECT_DRAFT);
	assert_int_equal(c->services[0].connections, 1);
	assert_int_equal(c->services[0].deadline_us, 30000000);
	assert_int_equal(c->services[0].connect_timeout_us, 3000000);
	assert_int_equal(c->services[0].retry_us, 250000);
	r = c->rules_private;
	assert_int_equal(c->nrules, 2);
	assert_int_equal(r->rule[0].pub.kinds, POLICY_KIND_REQUEST | POLICY_KIND_RESPONSE);
	assert_int_equal(r->rule[0].pub.answer_status, 502);
	assert_int_equal(r->rule[0].pub.preserve_max, 4 << 20);
	assert_int_equal(r->rule[0].pub.service, 0);
	assert_int_equal(r->rule[0].pub.on_failure[CALLOUT_CAUSE_LOST], POLICY_OPEN);
	assert_int_equal(r->rule[1].pub.answer_status, 403);
	assert_int_equal(r->rule[1].pub.service, UINT32_MAX);
	policy_config_free(c);
}

static void values_are_taken(void **state)
{
	struct policy_config *c = parse(
		"rules:\n" /* before what it refers to: order does not count */
		"- name: a\n"
		"  match: {protocol: http, kind: [response]}\n"
		"  action: adapt\n"
		"  service: s2\n"
		"  on-failure: {default: closed, connect: answer, framing: open}\n"
		"  answer: 503\n"
		"  preserve: 64KiB\n"
		"- {name: b, action: observe, service: s1, priority: -3, match: {protocol: tcp}}\n"
		"services:\n"
		"- {name: s1, address: \"tcp:[::1]:99\", priority: 5, dialect: core, aux-parts: [request-header], "
		"keep-content-md5: yes}\n"
		"- {name: s2, address: \"unix:/x\", uri: \"urn:x\", dialect: draft, priority: 7, "
		"deadline: 1500ms, release-ahead: on, ack-all: on}\n"
		"ports: {outside: {device: b, mtu: 9000, promiscuous: no}, inside: {device: a}}\n"
		"lcores: {workers: [3, 1], callout: 2, idle-backoff: off}\n"
		"dpdk: {memory: 0, huge-pages: false, file-prefix: other}\n");
	const struct policy_rule *r;

	assert_non_null(c);
	r = &((struct policy_rules *)c->rules_private)->rule[0].pub;
	assert_int_equal(r->service, 1);
	assert_int_equal(r->kinds, POLICY_KIND_RESPONSE);
	assert_int_equal(r->priority, 7);
	assert_int_equal(r->answer_status, 503);
	assert_int_equal(r->preserve_max, 65536);
	assert_int_equal(r->on_failure[CALLOUT_CAUSE_CONNECT], POLICY_ANSWER);
	assert_int_equal(r->on_failure[CALLOUT_CAUSE_FRAMING], POLICY_OPEN);
	assert_int_equal(r->on_failure[CALLOUT_CAUSE_BUDGET], POLICY_CLOSED);
	r = &((struct policy_rules *)c->rules_private)->rule[1].pub;
	assert_int_equal(r->priority, -3);
	assert_int_equal(c->services[1].deadline_us, 1500000);
	assert_int_equal(c->services[1].dialect, POLICY_DIALECT_DRAFT);
	assert_true(c->services[1].release_ahead && c->services[1].ack_all);
	assert_false(c->services[1].aux_request || c->services[1].keep_md5);
	assert_int_equal(c->services[0].dialect, POLICY_DIALECT_CORE);
	assert_true(c->services[0].aux_request && c->services[0].keep_md5);
	assert_false(c->services[0].release_ahead || c->services[0].ack_all);
	assert_int_equal(c->workers, 2);
	assert_int_equal(c->worker_lcore[0], 3);
	assert_int_equal(c->callout_lcore, 2);
	assert_false(c->idle_backoff);
	assert_int_equal(c->port[1].mtu, 9000);
	assert_false(c->port[1].promiscuous);
	assert_true(c->no_huge);
	assert_int_equal(c->memory_mb, 0);
	policy_config_free(c);
}

static void cause_names_follow_callout(void **state)
{
	static const struct {
		uint32_t cause;
		const char *name;
	} causes[] = {
		{CALLOUT_CAUSE_CONNECT, "connect"},   {CALLOUT_CAUSE_NEGOTIATION, "negotiation"},
		{CALLOUT_CAUSE_LOST, "lost"},	      {CALLOUT_CAUSE_DEADLINE, "deadline"},
		{CALLOUT_CAUSE_PROTOCOL, "protocol"}, {CALLOUT_CAUSE_REFUSED, "refused"},
		{CALLOUT_CAUSE_OVERLOAD, "overload"}, {CALLOUT_CAUSE_BUDGET, "budget"},
		{CALLOUT_CAUSE_FRAMING, "framing"},   {CALLOUT_CAUSE_MAX, "?"},
	};

	assert_int_equal(POLICY_CAUSE_WORDS, CALLOUT_CAUSE_MAX);
	for (size_t i = 0; i < sizeof(causes) / sizeof(*causes); i++)
		assert_string_equal(policy_cause_name(causes[i].cause), causes[i].name);
}

static void restart(void **state)
{
	static const struct {
		const char *change, *path;
	} cases[] = {
		{"", NULL},
		{ECHO, NULL},
		{"rules: [{name: a, action: bypass}]\n", NULL},
		{"name: other\n", "name"},
		{"dpdk: {file-prefix: x}\n", "dpdk.file-prefix"},
		{"control-socket: /x\n", "control-socket"},
		{"lcores: {workers: [0, 1]}\n", "lcores.workers"},
		{"lcores: {callout: 1}\n", "lcores.callout"},
		{"lcores: {idle-backoff: false}\n", "lcores.idle-backoff"},
		{"limits: {flows: 100}\n", "limits.flows"},
		{"limits: {http-head: 1KiB}\n", "limits.http-head"},
		{"limits: {half-open: 100}\n", "limits.half-open"},
		{"limits: {fragments: 100}\n", "limits.fragments"},
		{"limits: {fragment-octets: 1MiB}\n", "limits.fragment-octets"},
		{"limits: {fragment-timeout: 1s}\n", "limits.fragment-timeout"},
		{"tcp: {mid-stream: pass}\n", NULL},
		{"tcp: {mid-stream: reset}\n", "tcp.mid-stream"},
		{"tcp: {half-open-exceeded: drop}\n", "tcp.half-open-exceeded"},
	};
	struct policy_config *a = parse(PORTS), *b;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[512];
		const char *path;

		snprintf(text, sizeof(text), "%s%s", PORTS, cases[i].change);
		b = parse(text);
		assert_non_null(b);
		path = policy_config_restart_needed(a, b);
		if (cases[i].path)
			assert_string_equal(path, cases[i].path);
		else
			assert_null(path);
		policy_config_free(b);
	}
	b = parse("ports: {inside: {device: a}, outside: {device: b, mtu: 1400}}\n");
	assert_string_equal(policy_config_restart_needed(a, b), "ports.outside.mtu");
	policy_config_free(b);
	policy_config_free(a);
}

static void aliases(void **state)
{
	struct policy_config *c =
		parse(PORTS "rules:\n"
			    "- {name: a, action: bypass, match: &m {client: &l [10.0.0.0/8]}}\n"
			    "- {name: b, action: bypass, match: *m}\n"
			    "- {name: c, action: bypass, match: {server: *l}}\n");

	assert_non_null(c);
	policy_config_free(c);
	/* An alias to what it stands in must not be followed for ever. */
	assert_null(parse(PORTS "rules: &r\n- *r\n"));
	assert_null(parse(PORTS "rules:\n- {name: a, action: bypass, match: {protocol: http, host: "
				"&h {not: *h}}}\n"));
}

static void missing_file(void **state)
{
	struct policy_config *c;

	assert_int_equal(policy_config_read("/nonexistent/opes.yaml", &c, &errs), -ENOENT);
	assert_null(c);
	assert_int_equal(errs.count, 1);
	assert_string_equal(errs.e[0].file, "/nonexistent/opes.yaml");
	assert_int_equal(policy_config_read("/", &c, &errs), -EISDIR);
	assert_int_equal(errs.count, 1);
}

static void default_file(void **state)
{
	struct policy_config *c = NULL;

	if (policy_config_read(OPES_DEFAULT_CONFIG, &c, &errs))
		fail_msg("%s:%u:%u: %s", errs.e[0].file, errs.e[0].line, errs.e[0].column,
			 errs.e[0].text);
	policy_config_free(c);
}

static void texts_of_numbers(void **state)
{
	char s[32];

	policy_value_size_text(1536, s, sizeof(s));
	assert_string_equal(s, "1536");
	policy_value_size_text(1 << 20, s, sizeof(s));
	assert_string_equal(s, "1MiB");
	policy_value_size_text(0, s, sizeof(s));
	assert_string_equal(s, "0");
	policy_value_duration_text(90000000, s, sizeof(s));
	assert_string_equal(s, "90s");
	policy_value_duration_text(250000, s, sizeof(s));
	assert_string_equal(s, "250ms");
}

/* Every default is a value the key itself accepts, every key is described. */
static void check_section(const struct policy_section *s)
{
	assert_true(s->nkeys <= POLICY_KEYS_MAX);
	for (uint32_t i = 0; i < s->nkeys; i++) {
		const struct policy_key *k = &s->keys[i];

		assert_non_null(k->doc);
		if (k->type == POLICY_T_CUSTOM)
			assert_non_null(k->how);
		if (k->type >= POLICY_T_INTEGER && k->type <= POLICY_T_DURATION)
			assert_true(k->max > k->min);
		if (k->section)
			check_section(k->section);
	}
}

static void tables_are_sound(void **state)
{
	check_section(&policy_root_section);
}

/* docs/configuration.md holds the reference as the tables print it. */
static void documentation_is_current(void **state)
{
	char *want = NULL, *have = NULL;
	size_t want_len = 0, have_len = 0;
	FILE *out = open_memstream(&want, &want_len), *in = fopen(OPES_CONFIG_DOC, "r");

	assert_non_null(out);
	assert_non_null(in);
	policy_schema_print(out);
	fclose(out);
	assert_true(getdelim(&have, &have_len, 0, in) > 0);
	fclose(in);
	want[want_len - 1] = 0; /* the empty line after the last table */
	if (!strstr(have, want))
		fail_msg("docs/configuration.md differs from the tables: print them with "
			 "policy_reference");
	free(want);
	free(have);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_have_places),
		cmocka_unit_test(all_errors_at_once),
		cmocka_unit_test(many_errors_are_counted),
		cmocka_unit_test(defaults),
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(cause_names_follow_callout),
		cmocka_unit_test(restart),
		cmocka_unit_test(aliases),
		cmocka_unit_test(missing_file),
		cmocka_unit_test(default_file),
		cmocka_unit_test(texts_of_numbers),
		cmocka_unit_test(tables_are_sound),
		cmocka_unit_test(documentation_is_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
