/* SPDX-License-Identifier: BSD-3-Clause */
/* Predictions used, release ahead, the dialect core, what a service ends or refuses: octet by octet. */
#include "adapt_test.h"

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
