/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules: selecting a flow by addresses and ports, matching a message by what its head says. */
#include <string.h>
#include "micro_policy.h"

#define QUERIES 1024u

/* A network of clients each. */
static void rule_network(struct micro_text *t, uint32_t i, uint32_t n)
{
	micro_text_add(
		t,
		"- {name: r%u, action: block, match: {protocol: http, client: 10.%u.%u.0/24, "
		"server-port: [80, 443]}}\n",
		i, i >> 8, i & 255);
}

/* A site each, and a part of it. */
static void rule_host(struct micro_text *t, uint32_t i, uint32_t n)
{
	micro_text_add(
		t,
		"- {name: r%u, action: block, match: {protocol: http, host: www%u.example.com, "
		"path: {prefix: /area%u/}}}\n",
		i, i, i);
}

/* What comes before a host decides: every rule has to be looked at. */
static void rule_path(struct micro_text *t, uint32_t i, uint32_t n)
{
	micro_text_add(t,
		       "- {name: r%u, action: block, match: {protocol: http, method: GET, "
		       "path: {prefix: /area%u/}}}\n",
		       i, i);
}

/* Clients of hit percent of the flows are in the network of a rule, which is the one expected. */
static void select_flow(struct bench *b)
{
	static struct policy_tuple tuple[QUERIES];
	static int32_t want[QUERIES];
	uint32_t n = (uint32_t)bench_arg(b, 0), hit = (uint32_t)bench_arg(b, 1);
	struct policy_matcher *m = micro_rules_of(b, rule_network, n);
	struct policy_selection sel;
	uint64_t wrong = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < QUERIES; i++) {
		want[i] = micro_below(100) < hit ? (int32_t)micro_below(n) : -1;
		micro_tuple(&tuple[i],
			    want[i] < 0 ? 200u << 16 | i : (uint32_t)want[i] << 8 | (i & 255), 443);
	}
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = at; i < at + MICRO_BURST; i++) {
			policy_select_flow(m, &tuple[i], &sel);
			wrong += sel.first != want[i];
		}
		at = (at + MICRO_BURST) % QUERIES;
	}
	if (wrong)
		bench_fail(b, "%lu flows were given to the wrong rule", (unsigned long)wrong);
	if (m)
		bench_param(b, "classifier", policy_matcher_classifies(m) ? "rte_acl" : "linear");
}

struct query {
	char host[40], path[64];
	struct policy_message msg;
	int32_t want;
};

static void query_make(struct query *q, int32_t want, uint32_t n)
{
	/* A site that no rule names looks like the others. */
	uint32_t site = want < 0 ? n + micro_below(n) : (uint32_t)want;

	q->want = want;
	q->msg = (struct policy_message){.kind = POLICY_KIND_REQUEST,
					 .method = "GET",
					 .method_len = 3,
					 .host = q->host,
					 .path = q->path};
	q->msg.host_len =
		(uint32_t)snprintf(q->host, sizeof(q->host), "www%u.example.com:80", site);
	q->msg.path_len =
		(uint32_t)snprintf(q->path, sizeof(q->path), "/area%u/page.html?x=1", site);
}

static void match(struct bench *b, micro_rule_fn rule)
{
	static struct query query[QUERIES];
	uint32_t n = (uint32_t)bench_arg(b, 0), hit = (uint32_t)bench_arg(b, 1);
	struct policy_matcher *m = micro_rules_of(b, rule, n);
	struct policy_selection sel = {.first = -1};
	struct policy_tuple tuple;
	uint64_t wrong = 0;
	unsigned at = 0;

	micro_tuple(&tuple, 1, 80);
	if (m)
		policy_select_flow(m, &tuple, &sel);
	if (sel.first != 0)
		bench_fail(b, "the flow is not selected");
	for (unsigned i = 0; i < QUERIES; i++)
		query_make(&query[i], micro_below(100) < hit ? (int32_t)micro_below(n) : -1, n);
	while (bench_batch(b, 4)) {
		for (unsigned i = at; i < at + 4; i++)
			wrong += policy_match_message(m, &tuple, &sel, &query[i].msg) !=
				 query[i].want;
		at = (at + 4) % QUERIES;
	}
	if (wrong)
		bench_fail(b, "%lu messages were given to the wrong rule", (unsigned long)wrong);
}

static void match_host(struct bench *b)
{
	match(b, rule_host);
}

static void match_path(struct bench *b)
{
	match(b, rule_path);
}

void micro_rules(void)
{
#define MANY (BENCH_SANITIZED ? 2000 : 10000)
	static const int64_t sizes[][BENCH_ARGS_MAX] = {{10, 0},     {10, 100}, {1000, 0},
							{1000, 100}, {MANY, 0}, {MANY, 100}};
	static const struct bench_def defs[] = {
		{.name = "rules/select_flow",
		 .fn = select_flow,
		 .arg = {"rules", "hit"},
		 MICRO_SETS(sizes)},
		{.name = "rules/match_host",
		 .fn = match_host,
		 .arg = {"rules", "hit"},
		 MICRO_SETS(sizes)},
		{.name = "rules/match_path",
		 .fn = match_path,
		 .arg = {"rules", "hit"},
		 MICRO_SETS(sizes)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
