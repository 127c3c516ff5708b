/* SPDX-License-Identifier: BSD-3-Clause */
/* The adapt stage against a service played by the test: every outcome, octet by octet. */
#include "adapt_test.h"

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
	};
	char *argv[] = {(char *)"t", (char *)"--no-huge", (char *)"--no-shconf", (char *)"--no-pci",
			(char *)"--no-telemetry", (char *)"-m", (char *)"64", (char *)"--log-level=*:error"};

	if (rte_eal_init(8, argv) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
