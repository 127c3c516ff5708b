/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regular expressions: as the rules use them (one field of a head, block mode), and
 * the library by itself in streaming mode over segments of a body, which is what a
 * service that looks for many expressions at once has to pay.
 */
#include <stdlib.h>
#include <string.h>
#include <hs/hs.h>
#include "micro_policy.h"

#define STREAM 65536u
#define EXPRESSIONS_MAX 1000u
#define PLANTED 8u

static void rule_regex(struct micro_text *t, uint32_t i, uint32_t n)
{
	micro_text_add(t,
		       "- {name: r%u, action: block, match: {protocol: http, path: {regex: "
		       "'^/site%u/[a-z]+[.](exe|zip|iso)$'}}}\n",
		       i, i);
}

static void rules_path(struct bench *b)
{
	uint32_t n = (uint32_t)bench_arg(b, 0), len = (uint32_t)bench_arg(b, 1);
	struct policy_matcher *m = micro_rules_of(b, rule_regex, n);
	struct policy_selection sel = {.first = -1};
	struct policy_tuple tuple;
	uint64_t wrong = 0;
	char path[2][2048];
	struct policy_message msg[2];
	int32_t want[2] = {(int32_t)n - 1, -1};

	/* The last rule's, and one that ends otherwise. */
	for (unsigned i = 0; i < 2; i++) {
		memset(path[i], 'a', len);
		path[i][snprintf(path[i], len, "/site%u/", n - 1)] = 'a';
		memcpy(path[i] + len - 4, i ? ".bin" : ".exe", 4);
		msg[i] = (struct policy_message){
			.kind = POLICY_KIND_REQUEST, .path = path[i], .path_len = len};
	}
	micro_tuple(&tuple, 1, 80);
	if (m)
		policy_select_flow(m, &tuple, &sel);
	if (sel.first != 0)
		bench_fail(b, "the flow is not selected");
	while (bench_batch(b, 2)) {
		for (unsigned i = 0; i < 2; i++)
			wrong += policy_match_message(m, &tuple, &sel, &msg[i]) != want[i];
	}
	if (wrong)
		bench_fail(b, "%lu messages were given to the wrong rule", (unsigned long)wrong);
	bench_bytes(b, bench_iterations(b) * len);
}

/* Expressions for streaming: half of them literals. None begins with a letter the text has. */
static hs_database_t *database(struct bench *b, uint32_t n)
{
	static struct {
		uint32_t n;
		hs_database_t *db;
	} made[4];
	static char text[EXPRESSIONS_MAX][48];
	const char *expr[EXPRESSIONS_MAX];
	unsigned flags[EXPRESSIONS_MAX], id[EXPRESSIONS_MAX], at = 0;
	hs_compile_error_t *err = NULL;

	while (made[at].n && made[at].n != n)
		at++;
	if (made[at].n)
		return made[at].db;
	for (uint32_t i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]),
			 i % 2 ? "xq%04uz[0-9]{1,8}(end|END)" : "xq%04uzzy", i);
		expr[i] = text[i];
		flags[i] = HS_FLAG_SINGLEMATCH | HS_FLAG_DOTALL;
		id[i] = i;
	}
	made[at].n = n;
	if (hs_compile_multi(expr, flags, id, n, HS_MODE_STREAM, NULL, &made[at].db, &err) !=
	    HS_SUCCESS) {
		bench_fail(b, "the expressions do not compile: %s",
			   err ? err->message : "no memory");
		hs_free_compile_error(err);
	}
	return made[at].db;
}

/* Words without an x, and PLANTED places where an expression matches, across segments too. */
static void text_make(uint8_t *text, uint32_t n, bool *planted)
{
	for (uint32_t i = 0; i < STREAM; i++)
		text[i] = i % 7 == 6 ? ' ' : (uint8_t)('a' + micro_below(20));
	for (uint32_t i = 0; i < PLANTED; i++) {
		uint32_t id = i * (n - 1) / (PLANTED - 1);
		char s[48];
		int len = snprintf(s, sizeof(s), id % 2 ? "xq%04uz1234end" : "xq%04uzzy", id);

		memcpy(text + (i + 1) * 5 * MICRO_SEGMENT - 4, s, (size_t)len);
		planted[id] = true;
	}
}

struct hits {
	bool hit[EXPRESSIONS_MAX];
	uint64_t n;
};

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		  void *ctx)
{
	struct hits *h = ctx;

	h->hit[id] = true;
	h->n++;
	return 0;
}

static void stream(struct bench *b)
{
	static uint8_t text[STREAM + 64];
	static struct hits hits;
	bool planted[EXPRESSIONS_MAX] = {false};
	uint32_t n = (uint32_t)bench_arg(b, 0), distinct = 0;
	hs_database_t *db = database(b, n);
	hs_scratch_t *scratch = NULL;
	hs_stream_t *st = NULL;
	uint64_t rounds;

	memset(&hits, 0, sizeof(hits));
	text_make(text, n, planted);
	if (!db || hs_alloc_scratch(db, &scratch) != HS_SUCCESS ||
	    hs_open_stream(db, 0, &st) != HS_SUCCESS) {
		bench_fail(b, "Hyperscan does not open a stream");
		return;
	}
	while (bench_batch(b, 1)) {
		for (uint32_t at = 0; at < STREAM; at += MICRO_SEGMENT)
			hs_scan_stream(st, (const char *)text + at,
				       STREAM - at < MICRO_SEGMENT ? STREAM - at : MICRO_SEGMENT, 0,
				       scratch, on_hit, &hits);
		hs_reset_stream(st, 0, scratch, on_hit, &hits);
	}
	rounds = bench_iterations(b);
	for (uint32_t i = 0; i < n; i++) {
		distinct += planted[i];
		if (hits.hit[i] != planted[i])
			bench_fail(b, "expression %u was %s", i,
				   planted[i] ? "not found" : "found where it is not");
	}
	if (hits.n != rounds * distinct)
		bench_fail(b, "%lu matches were reported, %lu are there", (unsigned long)hits.n,
			   (unsigned long)(rounds * distinct));
	bench_items(b, rounds * ((STREAM + MICRO_SEGMENT - 1) / MICRO_SEGMENT));
	bench_bytes(b, rounds * STREAM);
	hs_close_stream(st, NULL, NULL, NULL);
	hs_free_scratch(scratch);
}

void micro_regex(void)
{
#define MOST (BENCH_SANITIZED ? 200 : 1000)
	static const int64_t paths[][BENCH_ARGS_MAX] = {
		{1, 64}, {10, 64}, {100, 64}, {MOST, 64}, {100, 1024}};
	static const int64_t counts[][BENCH_ARGS_MAX] = {{10}, {100}, {MOST}};
	static const struct bench_def defs[] = {
		{.name = "rules/match_regex",
		 .fn = rules_path,
		 .arg = {"rules", "path"},
		 MICRO_SETS(paths)},
		{.name = "hyperscan/stream",
		 .fn = stream,
		 .arg = {"expressions"},
		 MICRO_SETS(counts)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
