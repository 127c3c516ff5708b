/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The classifier against the linear search, and both against a reference that
 * knows only the rules as they were written: random rules, random tuples.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <rte_eal.h>
#include "policy/policy_test.h"

/* A rule as it was written. */
struct written {
	bool bypass, http, conditional, v6;
	int direction; /* 0 any, 1 inside-out, 2 outside-in */
	int nclient;
	struct {
		unsigned addr, bits;
	} client[2], server; /* last octets of 10.0.x.y or 2001:db8::x.y; bits of these 16;
				server.bits 17 = any */
	unsigned port_lo, port_hi, vlan; /* port_hi 0 = any; vlan 9 = any */
};

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static unsigned mask16(unsigned bits)
{
	return bits ? 0xffffu << (16 - bits) & 0xffff : 0;
}

static struct written invent(uint32_t space)
{
	struct written w = {
		.bypass = rnd(4) == 0,
		.http = rnd(2),
		.v6 = rnd(3) == 0,
		.direction = (int)rnd(3),
		.nclient = (int)rnd(3),
		.vlan = rnd(4) ? 9 : rnd(3),
	};

	w.conditional = w.bypass && w.http && rnd(2);
	for (int i = 0; i < 2; i++) {
		w.client[i].bits = 8 + rnd(9);
		w.client[i].addr = rnd(space) & mask16(w.client[i].bits);
	}
	w.server.bits = rnd(3) ? 6 + rnd(11) : 17;
	w.server.addr = rnd(space) & mask16(w.server.bits > 16 ? 0 : w.server.bits);
	if (rnd(3)) {
		w.port_lo = 80 + rnd(20);
		w.port_hi = w.port_lo + rnd(10);
	}
	return w;
}

static int put_address(char *s, bool v6, unsigned addr, unsigned bits)
{
	if (v6)
		return sprintf(s, "\"2001:db8::%x/%u\"", addr, 112 + bits);
	return sprintf(s, "10.0.%u.%u/%u", addr >> 8, addr & 255, 16 + bits);
}

static int put_rule(char *s, unsigned index, const struct written *w)
{
	static const char *const directions[] = {"any", "inside-out", "outside-in"};
	char *begin = s;

	s += sprintf(s, "- {name: r%u, action: %s, match: {protocol: %s, direction: %s", index,
		     w->bypass ? "bypass" : "block", w->http ? "http" : "tcp",
		     directions[w->direction]);
	if (w->conditional)
		s += sprintf(s, ", host: h");
	if (w->nclient) {
		s += sprintf(s, ", client: [");
		for (int i = 0; i < w->nclient; i++) {
			s += put_address(s, w->v6, w->client[i].addr, w->client[i].bits);
			*s++ = i + 1 < w->nclient ? ',' : ']';
		}
	}
	if (w->server.bits < 17) {
		s += sprintf(s, ", server: ");
		s += put_address(s, w->v6, w->server.addr, w->server.bits);
	}
	if (w->port_hi)
		s += sprintf(s, ", server-port: [1, %u-%u]", w->port_lo, w->port_hi);
	if (w->vlan < 9)
		s += sprintf(s, ", vlan: %u", w->vlan);
	s += sprintf(s, "}}\n");
	return (int)(s - begin);
}

/* The same questions to the rule as it was written. */
struct asked {
	bool v6;
	unsigned client, server, port, vlan, from;
};

static bool applies(const struct written *w, const struct asked *q)
{
	bool any = !w->nclient;

	if (w->direction && w->direction != (int)q->from + 1)
		return false;
	if ((w->nclient || w->server.bits < 17) && w->v6 != q->v6)
		return false;
	for (int i = 0; i < w->nclient; i++)
		any |= (q->client & mask16(w->client[i].bits)) == w->client[i].addr;
	if (!any || (w->server.bits < 17 && (q->server & mask16(w->server.bits)) != w->server.addr))
		return false;
	if (w->port_hi && q->port != 1 && (q->port < w->port_lo || q->port > w->port_hi))
		return false;
	return w->vlan == 9 || w->vlan == q->vlan;
}

static int32_t reference(const struct written *w, uint32_t n, const struct asked *q)
{
	int32_t conditional = -1;

	for (uint32_t i = 0; i < n; i++) {
		if (!applies(&w[i], q))
			continue;
		if (w[i].conditional) {
			if (conditional < 0)
				conditional = (int32_t)i;
		} else if (w[i].bypass) {
			return -1;
		} else {
			return w[i].http && conditional >= 0 ? conditional : (int32_t)i;
		}
	}
	return -1;
}

static void put_tuple(struct policy_tuple *t, const struct asked *q)
{
	static const uint8_t v4[16] = {[10] = 0xff, 0xff, 10, 0}, v6[16] = {0x20, 0x01, 0x0d, 0xb8};

	memset(t, 0, sizeof(*t));
	memcpy(t->client, q->v6 ? v6 : v4, 16);
	memcpy(t->server, q->v6 ? v6 : v4, 16);
	t->client[14] = (uint8_t)(q->client >> 8);
	t->client[15] = (uint8_t)q->client;
	t->server[14] = (uint8_t)(q->server >> 8);
	t->server[15] = (uint8_t)q->server;
	t->client_port = (uint16_t)rnd(65536);
	t->server_port = (uint16_t)q->port;
	t->vlan = (uint16_t)q->vlan;
	t->from_port = (uint8_t)q->from;
}

static void agree(const struct policy_test *p, const struct written *w, uint32_t n, uint32_t space,
		  uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		struct asked q = {rnd(3) == 0, rnd(space), rnd(space), rnd(10) ? 78 + rnd(36) : 1,
				  rnd(4),      rnd(2)};
		struct policy_selection fast, linear;
		struct policy_tuple t;
		struct policy_probe probe;
		int32_t want = reference(w, n, &q);

		put_tuple(&t, &q);
		policy_probe_set(&probe, &t);
		policy_select_flow(p->matcher, &t, &fast);
		policy_select_linear(p->matcher, &probe, &linear);
		if (fast.first != want || linear.first != want || fast.protocol != linear.protocol)
			fail_msg("round %u: reference %d, linear %d, classifier %d", i, want,
				 linear.first, fast.first);
	}
}

static void run(uint32_t n, uint32_t space, uint32_t rounds, bool classifies)
{
	struct written *w = calloc(n, sizeof(*w));
	char *text = malloc((size_t)n * 300 + 100), *s = text;
	struct policy_test p;

	if (!text)
		abort();
	s += sprintf(s, "rules:\n");
	for (uint32_t i = 0; i < n; i++) {
		w[i] = invent(space);
		s += put_rule(s, i, &w[i]);
	}
	policy_test_open(&p, text);
	assert_int_equal(policy_matcher_classifies(p.matcher), classifies);
	agree(&p, w, n, space, rounds);
	policy_test_close(&p);
	free(text);
	free(w);
}

static void few_rules_linear(void **state)
{
	for (unsigned i = 0; i < 50; i++)
		run(1 + rnd(POLICY_LINEAR_MAX), 1024, 200, false);
}

static void many_rules_classified(void **state)
{
	for (unsigned i = 0; i < 20; i++)
		run(POLICY_LINEAR_MAX + 1 + rnd(100), 4096, 500, true);
}

static void a_thousand_rules(void **state)
{
	run(1000, 65536, 5000, true);
}

/* Lists that multiply beyond the classifier's bounds: linear, same results. */
static void too_many_combinations(void **state)
{
	struct written w[20];
	char text[20000], *s = text;
	struct policy_test p;

	s += sprintf(s, "rules:\n");
	for (unsigned i = 0; i < 19; i++) {
		w[i] = invent(1024);
		s += put_rule(s, i, &w[i]);
	}
	w[19] = (struct written){.server.bits = 17, .vlan = 9};
	s += sprintf(s, "- {name: wide, action: block, match: {protocol: tcp");
	for (unsigned k = 0; k < 2; k++) {
		s += sprintf(s, ", %s-port: [", k ? "client" : "server");
		for (unsigned i = 0; i < 300; i++)
			s += sprintf(s, "%u-%u,", i * 218, i == 299 ? 65535 : i * 218 + 217);
		s[-1] = ']';
	}
	sprintf(s, "}}\n");
	policy_test_open(&p, text);
	assert_false(policy_matcher_classifies(p.matcher));
	agree(&p, w, 20, 1024, 1000);
	policy_test_close(&p);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Ten thousand rules none of which applies: what a bypassed flow's first packet costs. */
static void bypass_is_cheap(void **state)
{
	const uint32_t n = 10000, rounds = 20000;
	char *text = malloc((size_t)n * 160 + 100), *s = text;
	struct policy_selection sel;
	struct policy_tuple t = {.client = {[10] = 0xff, 0xff, 172, 16, 0, 1}, .server_port = 443};
	struct policy_test p;
	double begin, made, classified;

	memcpy(t.server, t.client, 16);
	if (!text)
		abort();
	s += sprintf(s, "rules:\n");
	for (uint32_t i = 0; i < n; i++)
		s += sprintf(s,
			     "- {name: r%u, action: block, match: {protocol: http, client: "
			     "10.%u.%u.0/24, server-port: [80, 443]}}\n",
			     i, i >> 8, i & 255);
	begin = now();
	policy_test_open(&p, text);
	made = now();
	assert_true(policy_matcher_classifies(p.matcher));
	for (uint32_t i = 0; i < rounds; i++) {
		t.client[15] = (uint8_t)i;
		policy_select_flow(p.matcher, &t, &sel);
		assert_int_equal(sel.first, -1);
	}
	classified = now();
	print_message("%u rules: ready after %.0f ms, a selection takes %.0f ns\n", n,
		      (made - begin) * 1e3, (classified - made) * 1e9 / rounds);
	policy_test_close(&p);
	free(text);
}

int main(void)
{
	char *eal[] = {"policy_acl_test",
		       "--no-huge",
		       "--no-pci",
		       "--no-shconf",
		       "-m",
		       "256",
		       "-l",
		       "0",
		       "--no-telemetry",
		       "--log-level=5",
		       NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_rules_linear), cmocka_unit_test(many_rules_classified),
		cmocka_unit_test(a_thousand_rules), cmocka_unit_test(too_many_combinations),
		cmocka_unit_test(bypass_is_cheap),
	};
	int rc;

	if (rte_eal_init(sizeof(eal) / sizeof(*eal) - 1, eal) < 0)
		return 99;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rte_eal_cleanup();
	return rc;
}
