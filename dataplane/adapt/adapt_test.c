/* SPDX-License-Identifier: BSD-3-Clause */
/* The adapt stage against a service played by the test: every outcome, octet by octet. */
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

static void wake(void *owner)
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

static int group_setup(void **state)
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

static int group_teardown(void **state)
{
	adapt_ctx_fini(&ctx);
	chunk_pool_fini(&pool);
	free(image);
	return 0;
}

static void begin_head(uint32_t rule, const char *text)
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

static void feed_part(const void *bytes, size_t n, enum callout_part part)
{
	struct chunkq q;

	chunkq_init(&q);
	assert_int_equal(chunkq_put(&pool, &q, bytes, (uint32_t)n), 0);
	adapt_feed(a, &q, part);
	adapt_pump(a);
}

static void feed(const char *text)
{
	feed_part(text, strlen(text), CALLOUT_PART_RESPONSE_BODY);
}

static void event(struct callout_event ev)
{
	ev.txn = txn;
	adapt_event(&ctx, &ev);
	if (a)
		adapt_pump(a);
}

static void am_start(uint32_t id, int64_t sizep, int32_t modp)
{
	event((struct callout_event){.type = CALLOUT_EV_AM_START, .am_id = id, .sizep = sizep, .modp = modp, .el = -1});
}

static void as_is(uint32_t id, uint64_t off, uint64_t src, uint64_t size)
{
	event((struct callout_event){
		.type = CALLOUT_EV_AS_IS, .am_id = id, .offset = off, .src_offset = src, .size = size});
}

/* AM-EL */
static void am_start_el(uint32_t id, int64_t el)
{
	event((struct callout_event){.type = CALLOUT_EV_AM_START, .am_id = id, .sizep = -1, .modp = -1, .el = el});
}

static void data_predicted(uint32_t id, const char *text, enum callout_part part, int64_t sizep, int32_t modp)
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

static void data_part(uint32_t id, const char *text, enum callout_part part)
{
	data_predicted(id, text, part, -1, -1);
}

static void data(uint32_t id, const char *text)
{
	data_part(id, text, CALLOUT_PART_NONE);
}

static void am_end(uint32_t id, bool ok)
{
	event((struct callout_event){.type = CALLOUT_EV_AM_END, .am_id = id, .ok = ok});
}

static void failed(enum callout_cause cause)
{
	event((struct callout_event){.type = CALLOUT_EV_FAILED, .cause = cause, .text = "played"});
}

static void peer_ended(void)
{
	event((struct callout_event){.type = CALLOUT_EV_ENDED});
}

/* What has come out so far; the owner takes it away. */
static const char *out(void)
{
	uint64_t n = chunkq_copy(&a->out, 0, wire, sizeof(wire) - 1);

	wire[n] = '\0';
	chunkq_drop(&pool, &a->out, n);
	adapt_pump(a);
	return wire;
}

/* Ends the test's message and checks that nothing is left anywhere. */
static void finish(void)
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

/* --- cases -------------------------------------------------------------------------------------- */

static void test_as_is_keeps_every_octet(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD);
	am_start(2, HEAD_LEN + 10, 0);
	as_is(2, 0, 0, HEAD_LEN);
	feed("01234");
	as_is(2, HEAD_LEN, HEAD_LEN, 5);
	assert_string_equal(out(), HEAD "01234");
	feed("56789");
	adapt_feed_end(a, true);
	as_is(2, HEAD_LEN + 5, HEAD_LEN + 5, 5);
	am_end(2, true);
	peer_ended();
	assert_string_equal(out(), "56789");
	assert_int_equal(a->status, ADAPT_DONE);
	assert_int_equal(a->identity, HEAD_LEN + 10);
	assert_true(sent_end);
	finish();
}

static void test_changed_body_of_unknown_length_is_chunked(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	am_start(2, -1, -1);
	as_is(2, 0, 0, HEAD_LEN);
	data(2, "abc");
	assert_string_equal(out(), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "3\r\nabc\r\n");
	data(2, "0123456789ABCDEF");
	am_end(2, true);
	peer_ended();
	assert_string_equal(out(), "10\r\n0123456789ABCDEF\r\n0\r\n\r\n");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

static void test_complete_message_gets_its_length(void **state)
{
	struct callout_event start = {.type = CALLOUT_EV_AM_START, .am_id = 2, .sizep = -1, .modp = -1, .el = -1};

	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	adapt_feed_end(a, true);
	start.txn = txn;
	adapt_event(&ctx, &start); /* no pump before all has come: one round of the worker */
	{
		struct rte_mbuf *m = rte_pktmbuf_alloc(bufs);
		const char *t = "HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\nno";
		struct callout_event d = {.type = CALLOUT_EV_DATA, .txn = txn, .am_id = 2, .m = m, .size = strlen(t),
					  .sizep = -1, .modp = -1};
		struct callout_event e = {.type = CALLOUT_EV_AM_END, .txn = txn, .am_id = 2, .ok = true};

		memcpy(rte_pktmbuf_append(m, (uint16_t)strlen(t)), t, strlen(t));
		d.data = rte_pktmbuf_mtod(m, const uint8_t *);
		adapt_event(&ctx, &d);
		adapt_event(&ctx, &e);
	}
	peer_ended();
	assert_string_equal(out(), "HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 2\r\n\r\nno");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

static void test_announced_length_must_be_kept(void **state)
{
	begin_head(RULE_CLOSED, HEAD);
	feed(HEAD "0123456789");
	am_start(2, HEAD_LEN + 4, -1);
	data(2, HEAD "abcd");
	assert_non_null(strstr(out(), "Content-Length: 4\r\n\r\nabcd"));
	data(2, "e");
	assert_int_equal(a->status, ADAPT_ABORT);
	finish();
}

/* Puts what has come out behind what is in got. */
static void out_append(char *got, size_t size)
{
	const char *more = out();
	size_t have = strlen(got), n = strlen(more);

	assert_true(have + n < size);
	memcpy(got + have, more, n + 1);
}

static void test_open_goes_on_at_every_octet(void **state)
{
	const char *whole = HEAD "0123456789";
	size_t n = strlen(whole);

	for (size_t at = 0; at <= n; at++) {
		char got[256] = "";

		begin_head(RULE_OPEN, HEAD);
		feed(HEAD "01234");
		am_start(2, -1, 0);
		if (at <= HEAD_LEN + 5) {
			as_is(2, 0, 0, at);
			out_append(got, sizeof(got));
			failed(CALLOUT_CAUSE_LOST);
			feed("56789");
		} else {
			as_is(2, 0, 0, HEAD_LEN + 5);
			feed("56789");
			as_is(2, HEAD_LEN + 5, HEAD_LEN + 5, at - HEAD_LEN - 5);
			out_append(got, sizeof(got));
			failed(CALLOUT_CAUSE_LOST);
		}
		adapt_feed_end(a, true);
		adapt_pump(a);
		out_append(got, sizeof(got));
		assert_string_equal(got, whole);
		assert_int_equal(a->status, ADAPT_DONE);
		assert_true(ended_error);
		assert_int_equal(counters[STATS_fail_open], 1);
		finish();
	}
}

static void test_open_forgets_what_is_not_on_the_wire(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	adapt_feed_end(a, true);
	am_start(2, -1, -1);
	data(2, "HTTP/1.1 200 OK\r\nHalf: a he"); /* not a whole head: nothing was emitted */
	failed(CALLOUT_CAUSE_LOST);
	assert_string_equal(out(), HEAD "0123456789");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

static void test_open_cannot_undo_changed_octets(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	am_start(2, -1, -1);
	as_is(2, 0, 0, HEAD_LEN);
	data(2, "changed");
	out();
	failed(CALLOUT_CAUSE_LOST);
	assert_int_equal(a->status, ADAPT_ABORT);
	assert_int_equal(counters[STATS_fail_unrecoverable], 1);
	finish();
}

static void test_open_respects_a_verdict(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	am_start(2, -1, 0);
	as_is(2, 0, 0, HEAD_LEN + 3);
	out();
	event((struct callout_event){
		.type = CALLOUT_EV_WONT_FORWARD, .src_offset = 0, .size = HEAD_LEN + 10, .ok = true});
	am_end(2, false);
	assert_int_equal(a->status, ADAPT_ABORT); /* INV-ADAPT-5 */
	finish();
}

static void test_closed_and_answer(void **state)
{
	begin_head(RULE_CLOSED, HEAD);
	feed(HEAD);
	failed(CALLOUT_CAUSE_CONNECT);
	assert_int_equal(a->status, ADAPT_ABORT);
	finish();

	begin_head(RULE_ANSWER, HEAD);
	feed(HEAD);
	failed(CALLOUT_CAUSE_CONNECT);
	assert_int_equal(a->status, ADAPT_ANSWER);
	finish();

	begin_head(RULE_ANSWER, HEAD);
	feed(HEAD "01234");
	am_start(2, -1, 0);
	as_is(2, 0, 0, HEAD_LEN);
	out();
	failed(CALLOUT_CAUSE_LOST);
	assert_int_equal(a->status, ADAPT_ABORT); /* something was emitted: too late to answer */
	finish();
}

static void test_service_leaves_the_loop(void **state)
{
	begin_head(RULE_CLOSED, HEAD);
	feed(HEAD "01234");
	am_start(2, -1, -1);
	data(2, "HTTP/1.1 200 OK\r\nNew: head\r\n\r\n");
	as_is(2, 29, HEAD_LEN, 2);
	event((struct callout_event){.type = CALLOUT_EV_LEAVE, .am_id = 2, .src_offset = HEAD_LEN + 2});
	assert_true(ended);
	assert_false(ended_error);
	feed("56789");
	adapt_feed_end(a, true);
	adapt_pump(a);
	assert_non_null(strstr(out(), "New: head\r\n"));
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

static void test_several_messages_in_order(void **state)
{
	begin_head(RULE_CLOSED, NULL);
	feed_part("original", 8, CALLOUT_PART_NONE);
	am_start(2, -1, -1);
	am_start(4, -1, -1);
	data(4, "second");
	assert_string_equal(out(), "");
	data(2, "first ");
	am_end(2, true);
	assert_string_equal(out(), "first second");
	as_is(4, 6, 0, 8);
	am_end(4, true);
	peer_ended();
	assert_string_equal(out(), "original");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

static void test_as_is_repeated_and_out_of_order(void **state)
{
	begin_head(RULE_CLOSED, NULL);
	feed_part("abc", 3, CALLOUT_PART_NONE);
	feed_part("def", 3, CALLOUT_PART_NONE);
	am_start(2, -1, -1);
	as_is(2, 0, 4, 2);
	as_is(2, 2, 1, 4);
	as_is(2, 6, 0, 6);
	assert_string_equal(out(), "efbcdeabcdef");
	as_is(2, 12, 5, 2); /* one octet too many */
	assert_int_equal(a->status, ADAPT_ABORT);
	finish();
}

static void wont_forward(uint64_t off, uint64_t size, bool verdict)
{
	event((struct callout_event){
		.type = CALLOUT_EV_WONT_FORWARD, .src_offset = off, .size = size, .ok = verdict});
}

static void test_wont_forward_releases(void **state)
{
	begin_head(RULE_CLOSED, NULL);
	for (int i = 0; i < 6; i++)
		feed_part("0123456789", 10, CALLOUT_PART_NONE);
	am_start(2, -1, -1);
	assert_int_equal(ctx.preserved, 60);
	wont_forward(30, 10, true); /* in the middle: freed at once, since these octets cannot go on any more */
	assert_int_equal(ctx.preserved, 50);
	wont_forward(45, 10, true); /* no chunk whole */
	assert_int_equal(ctx.preserved, 50);
	wont_forward(40, 5, true); /* three ranges are one: [30, 55) */
	assert_int_equal(ctx.preserved, 40);
	as_is(2, 0, 55, 5); /* what is still committed can be referred to, behind the hole ... */
	as_is(2, 5, 10, 15); /* ... and in front of it */
	assert_int_equal(a->status, ADAPT_RUNNING);
	assert_string_equal(out(), "56789" "012345678901234");
	wont_forward(0, 30, true);
	assert_int_equal(ctx.preserved, 10); /* [50, 60): its last half is committed */
	as_is(2, 20, 20, 5);
	assert_int_equal(a->status, ADAPT_ABORT); /* given up */
	finish();
}

/* RFC 4037 DPI: the service will not refer to these octets; it has not said that nobody may have them. */
static void test_lost_interest_is_no_verdict(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	adapt_feed_end(a, true);
	am_start(2, -1, -1);
	wont_forward(0, HEAD_LEN + 5, false);
	wont_forward(HEAD_LEN + 7, 3, false);
	failed(CALLOUT_CAUSE_LOST);
	assert_string_equal(out(), HEAD "0123456789");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

/* <92>: what the sender has sent waits for the service's data-need, and its window is what holds it. */
static void test_pause_closes_the_window(void **state)
{
	static char block[16384];
	uint64_t at;

	memset(block, 'b', sizeof(block));
	begin_head(RULE_CLOSED, NULL);
	feed_part(block, sizeof(block), CALLOUT_PART_NONE);
	assert_int_equal(sent_len, sizeof(block));
	event((struct callout_event){.type = CALLOUT_EV_PAUSE});
	for (at = 0; at < ADAPT_UNSENT_MAX; at += sizeof(block)) {
		assert_true(adapt_want(a));
		feed_part(block, sizeof(block), CALLOUT_PART_NONE);
	}
	assert_false(adapt_want(a)); /* nothing more is taken from the half: the window closes */
	assert_int_equal(sent_len, sizeof(block));
	event((struct callout_event){.type = CALLOUT_EV_NEED});
	assert_int_equal(sent_len, at + sizeof(block));
	assert_true(adapt_want(a));
	finish();
}

static void test_budget_takes_the_copied_flag(void **state)
{
	char block[1000];

	memset(block, 'b', sizeof(block));
	begin_head(RULE_OPEN, HEAD); /* preserve: 4KiB */
	feed(HEAD);
	for (int i = 0; i < 4; i++)
		feed_part(block, sizeof(block), CALLOUT_PART_RESPONSE_BODY);
	assert_true(adapt_want(a));
	feed_part(block, sizeof(block), CALLOUT_PART_RESPONSE_BODY);
	assert_false(adapt_want(a)); /* full: the sender's window closes ... */
	assert_int_equal(adapt_deadline(a), ADAPT_STALL_US);
	ctx.now_us += ADAPT_STALL_US;
	assert_true(adapt_want(a)); /* ... until the service has had its time */
	feed_part(block, sizeof(block), CALLOUT_PART_RESPONSE_BODY);
	assert_true(sent_uncopied >= 1);
	assert_true(ctx.preserved < 6000);
	failed(CALLOUT_CAUSE_LOST);
	assert_int_equal(a->status, ADAPT_ABORT); /* open needs the copy */
	finish();
	ctx.now_us = 0;
}

/* Octets without a commitment that the service cannot have seen yet are here when it leaves before them. */
static void test_leaves_before_what_it_has_not_seen(void **state)
{
	static char block[1000], got[16384];
	uint64_t rest, preserved;

	memset(block, 'b', sizeof(block));
	got[0] = '\0';
	begin_head(RULE_CLOSED, NULL);
	a->rule = policy_image_rule(image, RULE_OPEN); /* preserve: 4KiB */
	am_start(2, -1, -1);
	data(2, "x");
	for (int i = 0; i < 6; i++)
		feed_part(block, sizeof(block), CALLOUT_PART_NONE);
	assert_true(sent_uncopied > 0 && ctx.preserved < 5000); /* what the service has seen is not kept */
	rest = sent_len;
	preserved = ctx.preserved;
	held_back = true;
	for (int i = 0; i < 6; i++)
		feed_part(block, sizeof(block), CALLOUT_PART_NONE);
	assert_true(sent_uncopied >= 6);
	assert_true(ctx.preserved >= preserved + 6000);
	event((struct callout_event){.type = CALLOUT_EV_PAUSE});
	event((struct callout_event){.type = CALLOUT_EV_LEAVE, .am_id = 2, .src_offset = rest});
	assert_int_equal(a->status, ADAPT_RUNNING);
	adapt_feed_end(a, true);
	adapt_pump(a);
	while (a->out.bytes)
		out_append(got, sizeof(got));
	assert_int_equal(strlen(got), 1 + 6000);
	assert_int_equal(a->status, ADAPT_DONE);
	held_back = false;
	finish();
}

static void test_trailers_pass(void **state)
{
	begin_head(RULE_OPEN, HEAD_CHUNKED);
	feed(HEAD_CHUNKED "body");
	am_start(2, -1, -1);
	as_is(2, 0, 0, strlen(HEAD_CHUNKED) + 4);
	assert_string_equal(out(), HEAD_CHUNKED "4\r\nbody\r\n");
	feed_part("X: y\r\n", 6, CALLOUT_PART_RESPONSE_TRAILER);
	adapt_feed_end(a, true);
	as_is(2, strlen(HEAD_CHUNKED) + 4, strlen(HEAD_CHUNKED) + 4, 6);
	am_end(2, true);
	peer_ended();
	assert_string_equal(out(), "0\r\nX: y\r\n\r\n");
	finish();
}

static void test_zero_messages(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD);
	peer_ended();
	assert_int_equal(a->status, ADAPT_ANSWER);
	assert_int_equal(a->cause, CALLOUT_CAUSE_NONE);
	finish();
}

static void test_ring_full_is_retried(void **state)
{
	struct adapt_begin b = {.owner = &owner_mark, .image = image, .rule = RULE_OPEN, .meta = ""};
	enum callout_cause cause;

	ring_full = true;
	assert_null(adapt_begin(&ctx, &b, &cause));
	assert_int_equal(cause, CALLOUT_CAUSE_OVERLOAD);
	ring_full = false;
	begin_head(RULE_OPEN, HEAD);
	ring_full = true;
	feed(HEAD);
	assert_int_equal(sent_len, 0);
	assert_int_equal(adapt_deadline(a), ctx.now_us + ADAPT_RETRY_US);
	ring_full = false;
	adapt_pump(a);
	assert_int_equal(sent_len, HEAD_LEN);
	assert_memory_equal(sent, HEAD, HEAD_LEN);
	finish();
}

/* --- predictions ------------------------------------------------------------------------------------ */

static void test_said_length_replaces_chunks(void **state)
{
	const uint32_t head_len = (uint32_t)strlen(HEAD_CHUNKED);

	begin_head(RULE_CLOSED, HEAD_CHUNKED);
	feed(HEAD_CHUNKED "body");
	am_start(2, head_len + 3, -1);
	as_is(2, 0, 0, head_len);
	data(2, "abc");
	assert_string_equal(out(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	am_end(2, true);
	peer_ended();
	assert_int_equal(a->status, ADAPT_DONE);
	finish();

	/* said with the octets: the rest of the message behind them */
	begin_head(RULE_CLOSED, HEAD_CHUNKED);
	feed(HEAD_CHUNKED "body");
	am_start(2, -1, -1);
	data_predicted(2, "HTTP/1.1 200 OK\r\nNew: y\r\n\r\n", CALLOUT_PART_RESPONSE_HEADER, 5, -1);
	assert_string_equal(out(), "HTTP/1.1 200 OK\r\nNew: y\r\nContent-Length: 5\r\n\r\n");
	finish();

	/* trailers are announced, and would be among what was counted */
	begin_head(RULE_CLOSED, HEAD_CHUNKED);
	feed(HEAD_CHUNKED "body");
	am_start(2, 100, -1);
	data(2, "HTTP/1.1 200 OK\r\nTrailer: X\r\n\r\n");
	assert_non_null(strstr(out(), "Transfer-Encoding: chunked\r\n"));
	finish();
}

/* A length that turns out wrong never passes: the flow is reset, and an event says why. */
static void test_said_length_wrong(void **state)
{
	static struct shm_events events;
	static const char *const bodies[] = {"ab", "abcd"};
	struct shm_event e;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t n = 0;

		memset(&events, 0, sizeof(events));
		ctx.events = &events;
		begin_head(RULE_OPEN, HEAD_CHUNKED);
		feed(HEAD_CHUNKED "body");
		am_start(2, strlen(HEAD_CHUNKED) + 3, -1);
		as_is(2, 0, 0, strlen(HEAD_CHUNKED));
		assert_non_null(strstr(out(), "Content-Length: 3\r\n"));
		data(2, bodies[i]);
		out();
		am_end(2, true);
		assert_int_equal(a->status, ADAPT_ABORT);
		assert_int_equal(a->cause, CALLOUT_CAUSE_FRAMING);
		assert_int_equal(shm_event_read(&events, n, &e), 0);
		assert_non_null(strstr(e.text, "length differs from the one announced"));
		finish();
	}
	ctx.events = NULL;
}

/* --- release ahead ------------------------------------------------------------------------------------ */

static void begin_ahead(uint32_t rule)
{
	begin_head(rule, HEAD);
	feed(HEAD "01");
	am_start(2, -1, 0);
	assert_string_equal(out(), HEAD "01"); /* before the service has said anything of it */
	feed("234");
	assert_string_equal(out(), "234");
	assert_int_equal(a->identity, 0);
	assert_int_equal(ctx.preserved, HEAD_LEN + 5); /* to be compared */
}

static void test_ahead_is_off_by_default(void **state)
{
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "01");
	am_start(2, -1, 0);
	assert_string_equal(out(), "");
	finish();
}

static void test_ahead_agreed(void **state)
{
	begin_ahead(RULE_AHEAD);
	as_is(2, 0, 0, HEAD_LEN + 1);
	data(2, "12");                        /* as octets, but the same */
	assert_int_equal(a->identity, HEAD_LEN + 3);
	as_is(2, HEAD_LEN + 3, HEAD_LEN + 3, 2); /* all of it was out already */
	assert_string_equal(out(), "");
	feed("56789");
	adapt_feed_end(a, true);
	adapt_pump(a);
	assert_string_equal(out(), "56789");
	as_is(2, HEAD_LEN + 5, HEAD_LEN + 5, 5);
	am_end(2, true);
	peer_ended();
	assert_string_equal(out(), "");
	assert_int_equal(a->status, ADAPT_DONE);
	assert_int_equal(a->identity, HEAD_LEN + 10);
	assert_int_equal(counters[STATS_released_ahead_octets], HEAD_LEN + 10);
	finish();
}

/* The word is broken: the message goes on as the original that it has been so far, or not at all. */
static void test_ahead_broken(void **state)
{
	for (int how = 0; how < 5; how++) {
		for (int closed = 0; closed < 2; closed++) {
			begin_ahead(closed ? RULE_AHEAD_CLOSED : RULE_AHEAD);
			as_is(2, 0, 0, HEAD_LEN);
			if (how == 0)
				data(2, "0X");
			else if (how == 1)
				as_is(2, HEAD_LEN, HEAD_LEN + 1, 2);
			else if (how == 2)
				am_end(2, true);
			else if (how == 3)
				peer_ended();
			else
				event((struct callout_event){
					.type = CALLOUT_EV_LEAVE, .am_id = 2, .src_offset = HEAD_LEN + 4});
			assert_int_equal(a->cause, CALLOUT_CAUSE_PROTOCOL);
			assert_int_equal(a->status, closed ? ADAPT_ABORT : ADAPT_RUNNING);
			assert_true(ended_error);
			if (!closed) {
				feed("56789");
				adapt_feed_end(a, true);
				adapt_pump(a);
				assert_string_equal(out(), "56789");
				assert_int_equal(a->status, ADAPT_DONE);
			}
			finish();
		}
	}
}

static void test_ahead_then_failure_or_leave(void **state)
{
	for (int leave = 0; leave < 2; leave++) {
		begin_ahead(RULE_AHEAD);
		as_is(2, 0, 0, HEAD_LEN + 2);
		if (leave)
			event((struct callout_event){
				.type = CALLOUT_EV_LEAVE, .am_id = 2, .src_offset = HEAD_LEN + 2});
		else
			failed(CALLOUT_CAUSE_LOST);
		feed("56789");
		adapt_feed_end(a, true);
		adapt_pump(a);
		assert_string_equal(out(), "56789"); /* each octet once */
		assert_int_equal(a->status, ADAPT_DONE);
		finish();
	}
}

static void test_ahead_stops_at_a_verdict(void **state)
{
	begin_ahead(RULE_AHEAD);
	wont_forward(HEAD_LEN + 5, 5, true);
	feed("56789");
	assert_string_equal(out(), "");
	finish();
}

/* The prediction comes with octets: it is about those behind them, if these are the original's. */
static void test_ahead_said_with_data(void **state)
{
	begin_head(RULE_AHEAD, HEAD);
	feed(HEAD "01234");
	am_start(2, -1, -1);
	data_predicted(2, HEAD "0", CALLOUT_PART_NONE, -1, 0);
	assert_string_equal(out(), HEAD "01234");
	data(2, "1234");
	assert_string_equal(out(), "");
	assert_int_equal(a->identity, HEAD_LEN + 5);
	finish();

	begin_head(RULE_AHEAD, HEAD);
	feed(HEAD "01234");
	am_start(2, HEAD_LEN + 10, -1);
	data_predicted(2, HEAD "X", CALLOUT_PART_NONE, -1, 0);
	assert_string_equal(out(), HEAD "X"); /* not the original's: there is no telling what follows them there */
	finish();
}

/* --- dialect core --------------------------------------------------------------------------------------- */

#define HEAD_STRIPPED "HTTP/1.1 200 OK\r\n\r\n"

static void feed_head(const char *text)
{
	feed_part(text, strlen(text), CALLOUT_PART_RESPONSE_HEADER);
}

/* RFC 4236 section 3.7: the service hears no transfer coding; what nothing was done to goes on as it came. */
static void test_core_hears_no_transfer_coding(void **state)
{
	const uint32_t len = (uint32_t)strlen(HEAD_STRIPPED);

	begin_head(RULE_CORE, HEAD_CHUNKED);
	feed_head(HEAD_CHUNKED);
	feed("body");
	assert_int_equal(started_el, -1);
	assert_int_equal(sent_len, len + 4);
	assert_memory_equal(sent, HEAD_STRIPPED "body", sent_len);
	am_start(2, -1, -1);
	as_is(2, 0, 0, len + 4);
	assert_string_equal(out(), HEAD_CHUNKED "4\r\nbody\r\n");
	adapt_feed_end(a, true);
	am_end(2, true);
	peer_ended();
	assert_string_equal(out(), "0\r\n\r\n");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();

	/* the service's own head gets the coding back */
	begin_head(RULE_CORE, HEAD_CHUNKED);
	feed_head(HEAD_CHUNKED);
	am_start(2, -1, -1);
	data(2, "HTTP/1.1 200 OK\r\nNew: y\r\n\r\nabc");
	assert_string_equal(out(), "HTTP/1.1 200 OK\r\nNew: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	finish();

	/* nothing of it is on the wire when the service is lost */
	begin_head(RULE_CORE, HEAD_CHUNKED);
	feed_head(HEAD_CHUNKED);
	feed("body");
	failed(CALLOUT_CAUSE_LOST);
	assert_string_equal(out(), HEAD_CHUNKED "4\r\nbody\r\n");
	finish();
}

/* AM-EL is the body's length exactly: told where it is known, believed and held against what comes. */
static void test_core_entity_length(void **state)
{
	begin_head(RULE_CORE, HEAD);
	assert_int_equal(started_el, 10);
	assert_int_equal(started_sizep, HEAD_LEN + 10);
	finish();

	for (int wrong = 0; wrong < 3; wrong++) {
		begin_head(RULE_CORE, HEAD_CHUNKED);
		feed_head(HEAD_CHUNKED);
		feed("body");
		am_start_el(2, 3);
		as_is(2, 0, 0, strlen(HEAD_STRIPPED));
		data(2, "ab");
		assert_string_equal(out(), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
		if (wrong != 1)
			data(2, wrong ? "cd" : "c");
		am_end(2, true);
		peer_ended();
		assert_int_equal(a->status, wrong ? ADAPT_ABORT : ADAPT_DONE);
		finish();
	}
	/* in chunks, for trailers may follow: it counts all the same */
	begin_head(RULE_CORE, HEAD_CHUNKED);
	feed_head(HEAD_CHUNKED);
	am_start_el(2, 3);
	data(2, "HTTP/1.1 200 OK\r\nTrailer: X\r\n\r\nab");
	assert_non_null(strstr(out(), "chunked\r\n"));
	am_end(2, true);
	assert_int_equal(a->status, ADAPT_ABORT);
	finish();
}

static void begin_with_request(uint32_t rule, const char *request)
{
	struct adapt_begin b = {.owner = &owner_mark, .image = image, .rule = rule, .kind = POLICY_KIND_RESPONSE,
				.chunked_ok = true, .meta = "", .head = &head};
	enum callout_cause cause;
	struct chunkq q;

	chunkq_init(&q);
	assert_int_equal(chunkq_put(&pool, &q, request, (uint32_t)strlen(request)), 0);
	b.request = &q;
	a = adapt_begin(&ctx, &b, &cause);
	assert_non_null(a);
	chunkq_purge(&pool, &q);
}

static void test_request_head_goes_along(void **state)
{
	begin_head(RULE_CORE, HEAD); /* fills head */
	finish();
	begin_with_request(RULE_CORE, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	ring_full = true;
	feed(HEAD);
	assert_int_equal(sent_len, 0);
	ring_full = false;
	feed("0");
	assert_string_equal(aux, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(sent_len, HEAD_LEN + 1);
	finish();
	begin_with_request(RULE_OPEN, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); /* its service wants none */
	feed(HEAD);
	assert_string_equal(aux, "");
	finish();
}

/* The service has ended the original (RFC 4037 DWSR, Stop-Receiving-Body): it finishes without the rest. */
static void test_enough(void **state)
{
	char block[1000];

	memset(block, 'b', sizeof(block));
	begin_head(RULE_OPEN, HEAD); /* preserve: 4KiB */
	feed(HEAD "01");
	event((struct callout_event){.type = CALLOUT_EV_ENOUGH});
	while (adapt_want(a))
		feed_part(block, sizeof(block), CALLOUT_PART_RESPONSE_BODY);
	assert_true(ctx.preserved >= 4096); /* all is here while it may still leave the loop ... */
	assert_int_equal(adapt_deadline(a), a->progress_us + ADAPT_STALL_US);
	ctx.now_us += ADAPT_STALL_US;
	for (int i = 0; i < 10; i++) {
		assert_true(adapt_want(a)); /* ... but the rest of the original does not wait for ever */
		feed_part(block, sizeof(block), CALLOUT_PART_RESPONSE_BODY);
	}
	assert_int_equal(sent_len, HEAD_LEN + 2);
	assert_true(ctx.preserved < 6000);
	am_start(2, -1, -1);
	data(2, "HTTP/1.1 200 OK\r\n\r\nshort");
	adapt_feed_end(a, true);
	am_end(2, true);
	peer_ended();
	assert_non_null(strstr(out(), "5\r\nshort\r\n0\r\n\r\n"));
	assert_int_equal(a->status, ADAPT_DONE);
	finish();

	/* lost before it has changed anything: what it did not want to see is here */
	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "01");
	event((struct callout_event){.type = CALLOUT_EV_ENOUGH});
	feed("23456789");
	adapt_feed_end(a, true);
	failed(CALLOUT_CAUSE_LOST);
	assert_string_equal(out(), HEAD "0123456789");
	assert_int_equal(a->status, ADAPT_DONE);
	finish();
}

/* RFC 4037 section 11.15: a service that is quicker than the receiver is asked to wait. */
static void test_quick_service_is_held(void **state)
{
	static char block[2001];

	memset(block, 'b', sizeof(block) - 1);
	for (int core = 0; core < 2; core++) {
		holds = 0;
		begin_head(core ? RULE_CORE : RULE_OPEN, HEAD_CHUNKED);
		am_start(2, -1, -1);
		data(2, "HTTP/1.1 200 OK\r\n\r\n");
		for (int i = 0; i < 560; i++) /* nobody takes it: all that may be on its way out is */
			data(2, block);
		assert_true(a->out.bytes >= ADAPT_OUT_MAX);
		ring_full = true;
		for (int i = 0; i < 2200; i++)
			data(2, block);
		assert_int_equal(holds, 0);
		ring_full = false;
		adapt_pump(a);
		assert_int_equal(holds, core);
		assert_int_equal(a->status, ADAPT_RUNNING);
		chunkq_drop(&pool, &a->out, ADAPT_OUT_MAX);
		adapt_pump(a);
		assert_int_equal(holds, core); /* not at every octet */
		chunkq_purge(&pool, &a->out);
		adapt_pump(a);
		assert_int_equal(holds, 0);
		finish();
	}
}

#define HEAD_MD5 "HTTP/1.1 200 OK\r\nContent-MD5: x\r\nContent-Length: 2\r\n\r\n"

/* RFC 4236 section 3.8.2: not to be trusted unless nothing has changed. */
static void test_content_md5(void **state)
{
	const uint32_t len = (uint32_t)strlen(HEAD_MD5);

	begin_head(RULE_OPEN, HEAD_MD5);
	feed(HEAD_MD5 "ab");
	am_start(2, len + 2, -1);
	as_is(2, 0, 0, len);
	assert_string_equal(out(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"); /* the body may change yet */
	finish();
	begin_head(RULE_OPEN, HEAD_MD5);
	feed(HEAD_MD5 "ab");
	adapt_feed_end(a, true);
	failed(CALLOUT_CAUSE_LOST);
	assert_string_equal(out(), HEAD_MD5 "ab"); /* proven */
	finish();
	begin_head(RULE_AHEAD, HEAD_MD5); /* keep-content-md5 */
	feed(HEAD_MD5 "ab");
	am_start(2, len + 2, -1);
	as_is(2, 0, 0, len);
	assert_string_equal(out(), HEAD_MD5);
	finish();
}

/* Each way of refusing has its cell of the exception policy. */
static void test_broken_rule_of_one_message(void **state)
{
	begin_head(RULE_CLOSED, HEAD);
	feed(HEAD);
	am_start(2, -1, -1);
	event((struct callout_event){
		.type = CALLOUT_EV_AM_END, .am_id = 2, .cause = CALLOUT_CAUSE_PROTOCOL, .text = "a rule"});
	assert_int_equal(a->cause, CALLOUT_CAUSE_PROTOCOL);
	finish();
	begin_head(RULE_CLOSED, HEAD);
	feed(HEAD);
	am_start(2, -1, -1);
	am_end(2, false);
	assert_int_equal(a->cause, CALLOUT_CAUSE_REFUSED);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_is_keeps_every_octet),
		cmocka_unit_test(test_changed_body_of_unknown_length_is_chunked),
		cmocka_unit_test(test_complete_message_gets_its_length),
		cmocka_unit_test(test_announced_length_must_be_kept),
		cmocka_unit_test(test_open_goes_on_at_every_octet),
		cmocka_unit_test(test_open_forgets_what_is_not_on_the_wire),
		cmocka_unit_test(test_open_cannot_undo_changed_octets),
		cmocka_unit_test(test_open_respects_a_verdict),
		cmocka_unit_test(test_closed_and_answer),
		cmocka_unit_test(test_service_leaves_the_loop),
		cmocka_unit_test(test_several_messages_in_order),
		cmocka_unit_test(test_as_is_repeated_and_out_of_order),
		cmocka_unit_test(test_wont_forward_releases),
		cmocka_unit_test(test_budget_takes_the_copied_flag),
		cmocka_unit_test(test_leaves_before_what_it_has_not_seen),
		cmocka_unit_test(test_trailers_pass),
		cmocka_unit_test(test_zero_messages),
		cmocka_unit_test(test_ring_full_is_retried),
		cmocka_unit_test(test_lost_interest_is_no_verdict),
		cmocka_unit_test(test_pause_closes_the_window),
		cmocka_unit_test(test_said_length_replaces_chunks),
		cmocka_unit_test(test_said_length_wrong),
		cmocka_unit_test(test_ahead_is_off_by_default),
		cmocka_unit_test(test_ahead_agreed),
		cmocka_unit_test(test_ahead_broken),
		cmocka_unit_test(test_ahead_then_failure_or_leave),
		cmocka_unit_test(test_ahead_stops_at_a_verdict),
		cmocka_unit_test(test_ahead_said_with_data),
		cmocka_unit_test(test_core_hears_no_transfer_coding),
		cmocka_unit_test(test_core_entity_length),
		cmocka_unit_test(test_request_head_goes_along),
		cmocka_unit_test(test_enough),
		cmocka_unit_test(test_quick_service_is_held),
		cmocka_unit_test(test_content_md5),
		cmocka_unit_test(test_broken_rule_of_one_message),
	};
	char *argv[] = {(char *)"t", (char *)"--no-huge", (char *)"--no-shconf", (char *)"--no-pci",
			(char *)"--no-telemetry", (char *)"-m", (char *)"64", (char *)"--log-level=*:error"};

	if (rte_eal_init(8, argv) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
