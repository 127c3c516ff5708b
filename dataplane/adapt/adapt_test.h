/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixture of this stage's unit tests: a service and a receiver played by the test. Included once by each program. */
#ifndef ADAPT_ADAPT_TEST_H
#define ADAPT_ADAPT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "adapt/adapt.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n"
#define HEAD_CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define HEAD_LEN ((uint32_t)strlen(HEAD))

/* --- the callout stage, played ----------------------------------------------------------------- */

static struct callout_txn *txn;
static char sent[1 << 19];
static uint64_t sent_len;
static uint32_t sent_uncopied;
static bool sent_end, ended, ended_error, ring_full;
static bool held_back; /* what is given to the callout stage stays there */
static int64_t started_sizep, started_el;
static char aux[256];

int callout_start(struct callout_port *p, struct callout_txn *t, const struct policy_image *image,
		  uint32_t service, const char *meta, uint32_t meta_len, int64_t sizep)
{
	if (ring_full)
		return -ENOBUFS;
	txn = t;
	started_sizep = sizep;
	started_el = t->el_known ? (int64_t)t->el : -1;
	aux[0] = '\0';
	sent_len = sent_uncopied = 0;
	sent_end = ended = ended_error = false;
	return 0;
}

int callout_data(struct callout_port *p, struct callout_txn *t, const struct chunk *c, uint64_t offset,
		 enum callout_part part, bool copied)
{
	if (ring_full)
		return -ENOBUFS;
	assert_ptr_equal(t, txn);
	assert_int_equal(offset, sent_len);
	memcpy(sent + sent_len, c->data, c->len);
	sent_len += c->len;
	sent_uncopied += !copied;
	if (!held_back)
		atomic_store(&t->co_framed, offset + c->len);
	return 0;
}

int callout_aux(struct callout_port *p, struct callout_txn *t, const struct chunk *c, enum callout_part part)
{
	if (ring_full)
		return -ENOBUFS;
	assert_int_equal(part, CALLOUT_PART_REQUEST_HEADER);
	assert_int_equal(sent_len, 0); /* before the original */
	strncat(aux, (const char *)c->data, c->len);
	return 0;
}

static int holds; /* +1 for each hold, -1 for each end of one */

int callout_hold(struct callout_port *p, struct callout_txn *t, bool hold)
{
	if (ring_full)
		return -ENOBUFS;
	holds += hold ? 1 : -1;
	return 0;
}

int callout_data_end(struct callout_port *p, struct callout_txn *t, bool ok)
{
	sent_end = true;
	return 0;
}

void callout_end(struct callout_port *p, struct callout_txn *t, bool error)
{
	assert_false(ended);
	ended = true;
	ended_error = error;
}

const char *callout_cause_name(enum callout_cause cause)
{
	return "test";
}

/* --- fixture ----------------------------------------------------------------------------------- */

static struct rte_mempool *bufs;
static struct chunk_pool pool;
static struct adapt_ctx ctx;
static uint64_t counters[STATS_MAX];
static struct policy_image *image;
static struct http1_head head;
static struct adapt *a;
static char wire[1 << 16];
static int owner_mark;

static inline void wake(void *owner)
{
	assert_ptr_equal(owner, &owner_mark);
}

static const char yaml[] =
	"name: t\n"
	"ports:\n"
	"  inside: {device: \"net_null0\"}\n"
	"  outside: {device: \"net_null1\"}\n"
	"services:\n"
	"  - {name: s, address: \"tcp:127.0.0.1:4037\"}\n"
	"  - {name: core, address: \"tcp:127.0.0.1:4037\", dialect: core, aux-parts: [request-header]}\n"
	"  - {name: ahead, address: \"tcp:127.0.0.1:4037\", release-ahead: true, keep-content-md5: true}\n"
	"rules:\n"
	"  - {name: open, match: {protocol: http}, action: adapt, service: s, on-failure: open, preserve: 4KiB}\n"
	"  - {name: closed, match: {protocol: http}, action: adapt, service: s, on-failure: closed}\n"
	"  - {name: answer, match: {protocol: http}, action: adapt, service: s, on-failure: answer}\n"
	"  - {name: stream, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n"
	"  - {name: core, match: {protocol: http}, action: adapt, service: core, on-failure: open}\n"
	"  - {name: ahead, match: {protocol: http}, action: adapt, service: ahead, on-failure: open, preserve: 4KiB}\n"
	"  - {name: ahead-closed, match: {protocol: http}, action: adapt, service: ahead, on-failure: closed}\n";

enum { RULE_OPEN, RULE_CLOSED, RULE_ANSWER, RULE_STREAM, RULE_CORE, RULE_AHEAD, RULE_AHEAD_CLOSED };

static inline int group_setup(void **state)
{
	struct policy_config *cfg;
	static struct policy_errors errs;

	bufs = rte_pktmbuf_pool_create("bufs", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(bufs);
	assert_int_equal(chunk_pool_init(&pool, "chunks", 8191, bufs, SOCKET_ID_ANY), 0);
	if (policy_config_parse("test", yaml, strlen(yaml), &cfg, &errs) != 0) {
		fail_msg("%u:%u: %s", errs.e[0].line, errs.e[0].column, errs.e[0].text);
		return -1;
	}
	assert_int_equal(policy_compile(cfg, 1, &image, &errs), 0);
	policy_config_free(cfg);
	ctx.pool = &pool;
	ctx.counter = counters;
	ctx.preserved_max = 1 << 20;
	ctx.wake = wake;
	return adapt_ctx_init(&ctx, 8);
}

static inline int group_teardown(void **state)
{
	adapt_ctx_fini(&ctx);
	chunk_pool_fini(&pool);
	free(image);
	return 0;
}

static inline void begin_head(uint32_t rule, const char *text)
{
	struct adapt_begin b = {.owner = &owner_mark, .image = image, .rule = rule, .kind = POLICY_KIND_RESPONSE,
				.chunked_ok = true, .meta = "", .head = NULL};
	enum callout_cause cause;

	memset(counters, 0, sizeof(counters));
	if (text) {
		static char copy[512];
		struct http1 h;
		struct http1_event ev;
		uint32_t at = 0, len = (uint32_t)strlen(text);

		http1_init(&h, HTTP1_RESPONSE, copy, sizeof(copy));
		http1_expect(&h, false, false, false);
		do {
			http1_step(&h, (const uint8_t *)text + at, len - at, false, &ev);
			at += ev.len;
		} while (ev.type == HTTP1_NEED_MORE && at < len);
		assert_int_equal(ev.type, HTTP1_HEAD);
		head = h.head;
		b.head = &head;
	} else {
		b.kind = POLICY_KIND_STREAM;
	}
	a = adapt_begin(&ctx, &b, &cause);
	assert_non_null(a);
}

static inline void feed_part(const void *bytes, size_t n, enum callout_part part)
{
	struct chunkq q;

	chunkq_init(&q);
	assert_int_equal(chunkq_put(&pool, &q, bytes, (uint32_t)n), 0);
	adapt_feed(a, &q, part);
	adapt_pump(a);
}

static inline void feed(const char *text)
{
	feed_part(text, strlen(text), CALLOUT_PART_RESPONSE_BODY);
}

static inline void event(struct callout_event ev)
{
	ev.txn = txn;
	adapt_event(&ctx, &ev);
	if (a)
		adapt_pump(a);
}

static inline void am_start(uint32_t id, int64_t sizep, int32_t modp)
{
	event((struct callout_event){.type = CALLOUT_EV_AM_START, .am_id = id, .sizep = sizep, .modp = modp, .el = -1});
}

static inline void as_is(uint32_t id, uint64_t off, uint64_t src, uint64_t size)
{
	event((struct callout_event){
		.type = CALLOUT_EV_AS_IS, .am_id = id, .offset = off, .src_offset = src, .size = size});
}

/* AM-EL */
static inline void am_start_el(uint32_t id, int64_t el)
{
	event((struct callout_event){.type = CALLOUT_EV_AM_START, .am_id = id, .sizep = -1, .modp = -1, .el = el});
}

static inline void data_predicted(uint32_t id, const char *text, enum callout_part part, int64_t sizep, int32_t modp)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(bufs);
	size_t n = strlen(text);

	memcpy(rte_pktmbuf_append(m, (uint16_t)n), text, n);
	event((struct callout_event){.type = CALLOUT_EV_DATA,
				     .am_id = id,
				     .m = m,
				     .part = part,
				     .sizep = sizep,
				     .modp = modp,
				     .data = rte_pktmbuf_mtod(m, const uint8_t *),
				     .size = n});
}

static inline void data_part(uint32_t id, const char *text, enum callout_part part)
{
	data_predicted(id, text, part, -1, -1);
}

static inline void data(uint32_t id, const char *text)
{
	data_part(id, text, CALLOUT_PART_NONE);
}

static inline void am_end(uint32_t id, bool ok)
{
	event((struct callout_event){.type = CALLOUT_EV_AM_END, .am_id = id, .ok = ok});
}

static inline void failed(enum callout_cause cause)
{
	event((struct callout_event){.type = CALLOUT_EV_FAILED, .cause = cause, .text = "played"});
}

static inline void peer_ended(void)
{
	event((struct callout_event){.type = CALLOUT_EV_ENDED});
}

/* What has come out so far; the owner takes it away. */
static inline const char *out(void)
{
	uint64_t n = chunkq_copy(&a->out, 0, wire, sizeof(wire) - 1);

	wire[n] = '\0';
	chunkq_drop(&pool, &a->out, n);
	adapt_pump(a);
	return wire;
}

/* Ends the test's message and checks that nothing is left anywhere. */
static inline void finish(void)
{
	struct callout_event ev = {.type = CALLOUT_EV_CLOSED, .txn = txn};

	adapt_release(a, a->status != ADAPT_DONE);
	assert_true(ended);
	a = NULL;
	adapt_event(&ctx, &ev);
	assert_int_equal(ctx.open, 0);
	assert_int_equal(ctx.preserved, 0);
	assert_int_equal(ctx.preserved_chunks, 0);
	assert_int_equal(pool.used, 0);
}

/* Puts what has come out behind what is in got. */
static inline void out_append(char *got, size_t size)
{
	const char *more = out();
	size_t have = strlen(got), n = strlen(more);

	assert_true(have + n < size);
	memcpy(got + have, more, n + 1);
}

static inline void wont_forward(uint64_t off, uint64_t size, bool verdict)
{
	event((struct callout_event){
		.type = CALLOUT_EV_WONT_FORWARD, .src_offset = off, .size = size, .ok = verdict});
}

#endif
