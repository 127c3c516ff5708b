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
static char sent[1 << 16];
static uint64_t sent_len;
static uint32_t sent_uncopied;
static bool sent_end, ended, ended_error, ring_full;

int callout_start(struct callout_port *p, struct callout_txn *t, const struct policy_image *image,
		  uint32_t service, const char *meta, uint32_t meta_len, int64_t sizep)
{
	if (ring_full)
		return -ENOBUFS;
	txn = t;
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
	"rules:\n"
	"  - {name: open, match: {protocol: http}, action: adapt, service: s, on-failure: open, preserve: 4KiB}\n"
	"  - {name: closed, match: {protocol: http}, action: adapt, service: s, on-failure: closed}\n"
	"  - {name: answer, match: {protocol: http}, action: adapt, service: s, on-failure: answer}\n"
	"  - {name: stream, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";

enum { RULE_OPEN, RULE_CLOSED, RULE_ANSWER, RULE_STREAM };

static int group_setup(void **state)
{
	struct policy_config *cfg;
	static struct policy_errors errs;

	bufs = rte_pktmbuf_pool_create("bufs", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(bufs);
	assert_int_equal(chunk_pool_init(&pool, "chunks", 4095, bufs, SOCKET_ID_ANY), 0);
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
	event((struct callout_event){.type = CALLOUT_EV_AM_START, .am_id = id, .sizep = sizep, .modp = modp});
}

static void as_is(uint32_t id, uint64_t off, uint64_t src, uint64_t size)
{
	event((struct callout_event){
		.type = CALLOUT_EV_AS_IS, .am_id = id, .offset = off, .src_offset = src, .size = size});
}

static void data_part(uint32_t id, const char *text, enum callout_part part)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(bufs);
	size_t n = strlen(text);

	memcpy(rte_pktmbuf_append(m, (uint16_t)n), text, n);
	event((struct callout_event){.type = CALLOUT_EV_DATA,
				     .am_id = id,
				     .m = m,
				     .part = part,
				     .data = rte_pktmbuf_mtod(m, const uint8_t *),
				     .size = n});
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
	struct callout_event start = {.type = CALLOUT_EV_AM_START, .am_id = 2, .sizep = -1, .modp = -1};

	begin_head(RULE_OPEN, HEAD);
	feed(HEAD "0123456789");
	adapt_feed_end(a, true);
	start.txn = txn;
	adapt_event(&ctx, &start); /* no pump before all has come: one round of the worker */
	{
		struct rte_mbuf *m = rte_pktmbuf_alloc(bufs);
		const char *t = "HTTP/1.1 403 Forbidden\r\nX: y\r\n\r\nno";
		struct callout_event d = {.type = CALLOUT_EV_DATA, .txn = txn, .am_id = 2, .m = m, .size = strlen(t)};
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
	event((struct callout_event){.type = CALLOUT_EV_WONT_FORWARD, .src_offset = 0, .size = HEAD_LEN + 10});
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

static void test_wont_forward_releases(void **state)
{
	begin_head(RULE_CLOSED, NULL);
	feed_part("0123456789", 10, CALLOUT_PART_NONE);
	feed_part("abcdefghij", 10, CALLOUT_PART_NONE);
	am_start(2, -1, -1);
	data(2, "x");
	assert_int_equal(ctx.preserved, 20);
	event((struct callout_event){.type = CALLOUT_EV_WONT_FORWARD, .src_offset = 10, .size = 10});
	assert_int_equal(ctx.preserved, 20); /* out of order: remembered */
	event((struct callout_event){.type = CALLOUT_EV_WONT_FORWARD, .src_offset = 0, .size = 10});
	assert_int_equal(ctx.preserved, 0);
	am_end(2, true);
	peer_ended();
	assert_string_equal(out(), "x");
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
		cmocka_unit_test(test_trailers_pass),
		cmocka_unit_test(test_zero_messages),
		cmocka_unit_test(test_ring_full_is_retried),
	};
	char *argv[] = {(char *)"t", (char *)"--no-huge", (char *)"--no-shconf", (char *)"--no-pci",
			(char *)"--no-telemetry", (char *)"-m", (char *)"64", (char *)"--log-level=*:error"};

	if (rte_eal_init(8, argv) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
