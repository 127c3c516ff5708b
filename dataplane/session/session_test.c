/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions between two TCP ends and a played service: order, framing, failures at every moment, no leak. */
#include "session_test_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_mbuf.h>

static const char rules[] =
	"  - {name: pass, match: {protocol: http, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: block, match: {protocol: http, kind: request, path: {prefix: /block}}, action: block}\n"
	"  - {name: blockr, match: {protocol: http, kind: response, path: {prefix: /rblock}}, action: block}\n"
	"  - {name: req, match: {protocol: http, kind: request, path: {prefix: /req}}, action: adapt, service: s,"
	" on-failure: open}\n"
	"  - {name: resp, match: {protocol: http, kind: response, path: {prefix: /resp}}, action: adapt, service: s,"
	" on-failure: open}\n"
	"  - {name: closed, match: {protocol: http, path: {prefix: /closed}}, action: adapt, service: s,"
	" on-failure: closed}\n"
	"  - {name: answer, match: {protocol: http, path: {prefix: /answer}}, action: adapt, service: s,"
	" on-failure: answer}\n"
	"  - {name: observe, match: {protocol: http, path: {prefix: /observe}}, action: observe, service: s,"
	" preserve: 4KiB}\n";

static const char stream_rules[] =
	"  - {name: stream, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";

static char big[100001];

static void client(const char *text)
{
	world_send(0, text, (uint32_t)strlen(text));
	world_settle();
}

static void server(const char *text)
{
	world_send(1, text, (uint32_t)strlen(text));
	world_settle();
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define OK(n, body) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n" body
#define assert_got(side, text) assert_string_equal(world_got(side), text)

static void assert_begins(unsigned side, const char *text)
{
	const char *got = world_got(side);

	if (strncmp(got, text, strlen(text)) != 0)
		fail_msg("'%s' does not begin with '%s'", got, text);
}

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.rules = 0;
	world.split = 0;
	world.loss = 0;
	world.hold = 0;
	world_open();
	return 0;
}

static int done(void **state)
{
	world.no_tx = false;
	world_close();
	return 0;
}

/* --- HTTP without a service ------------------------------------------------------------------------------------ */

static void test_pipelined(void **state)
{
	client(GET("/pass/1") GET("/pass/2") "HEAD /pass/3 HTTP/1.1\r\nHost: a\r\n\r\n" GET("/pass/4"));
	assert_got(1, GET("/pass/1") GET("/pass/2") "HEAD /pass/3 HTTP/1.1\r\nHost: a\r\n\r\n" GET("/pass/4"));
	assert_int_equal(world.s->xchg_count, 4);
	server(OK(2, "11") "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n" OK(9, "")
	       "HTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\n");
	assert_got(0, OK(2, "11") "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n" OK(9, "")
		      "HTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\n");
	assert_int_equal(world.s->xchg_count, 0);
	client("\r\n" GET("/pass/5"));
	assert_got(1, GET("/pass/5"));
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n");
	assert_got(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n");
	world_fin(0);
	world_settle();
	assert_true(world.end[1].fin);
	world_fin(1);
	world_pass(70000000);
	assert_null(world.s);
	assert_int_equal(world_count(STATS_flow_aborted), 0);
}

static void test_octet_by_octet(void **state)
{
	static const char request[] = "POST /pass HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "5\r\nhello\r\n0\r\n\r\n" GET("/pass/2");

	world.split = 1;
	for (const char *p = request; *p; p++) {
		world_send(0, p, 1);
		world_settle();
	}
	assert_got(1, request);
}

static void test_tunnels(void **state)
{
	client("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n\x16\x03");
	assert_got(1, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
	server("HTTP/1.1 200 OK\r\n\r\nbin");
	assert_got(0, "HTTP/1.1 200 OK\r\n\r\nbin");
	assert_got(1, "\x16\x03");
	client("x");
	assert_got(1, "x");
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin);
	client("y");
	assert_got(1, "y");
	done(state);

	begin(state);
	client("GET /pass HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\nnext");
	world_got(1);
	server("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	assert_begins(0, "HTTP/1.1 404");
	client(" /pass HTTP/1.1\r\n");
	world_fin(0);
	world_settle();
	assert_got(1, "next /pass HTTP/1.1\r\n"); /* cut in the head */
	assert_true(world.end[1].fin);
}

/* A server that switches before the request is through, while a service has it. */
static void test_early_switch(void **state)
{
	world.service = SERVICE_MANUAL;
	client("GET /req HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\ntunnelled");
	world_am_start(0, 2, (int64_t)world.txn[0].len, false);
	world_as_is(0, 2, 0, world.txn[0].len);
	world_settle();
	assert_begins(1, "GET /req");
	server("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\nfrom server");
	assert_got(1, "");
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_got(1, "tunnelled");
	assert_non_null(strstr(world_got(0), "\r\n\r\nfrom server"));
}

static void test_block_in_order(void **state)
{
	client(GET("/pass/1") GET("/block") GET("/pass/2"));
	assert_got(1, GET("/pass/1"));
	assert_got(0, "");
	server(OK(1, "1"));
	assert_begins(0, OK(1, "1") "HTTP/1.1 403 Forbidden\r\n");
	assert_got(1, GET("/pass/2"));
	server(OK(1, "2"));
	assert_got(0, OK(1, "2"));
	client("POST /block HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345" GET("/rblock") GET("/pass/3"));
	assert_begins(0, "HTTP/1.1 403");
	assert_got(1, GET("/rblock") GET("/pass/3"));
	server(OK(3, "bad") OK(1, "3"));
	{
		const char *got = world_got(0);

		assert_int_equal(strncmp(got, "HTTP/1.1 403", 12), 0);
		assert_non_null(strstr(got, OK(1, "3")));
		assert_null(strstr(got, "bad"));
	}
	assert_int_equal(world_count(STATS_flow_aborted), 0);
}

static void test_block_closes(void **state)
{
	client("GET /block HTTP/1.0\r\n\r\n");
	assert_begins(0, "HTTP/1.1 403");
	assert_true(world.end[0].fin);
	assert_true(world.end[1].fin);
	world_fin(0);
	world_fin(1);
	world_pass(70000000);
	assert_null(world.s);
}

static void test_answered_once(void **state)
{
	client("POST /block HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
	{
		const char *got = world_got(0), *first = strstr(got, "HTTP/1.1");

		assert_non_null(first);
		assert_null(strstr(first + 1, "HTTP/1.1"));
	}
	assert_true(world.end[0].fin);
}

static void test_bad_request(void **state)
{
	client(GET("/pass") "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
	assert_got(1, GET("/pass"));
	assert_got(0, "");
	server(OK(0, ""));
	assert_begins(0, OK(0, "") "HTTP/1.1 400");
	assert_true(world.end[0].fin);
	done(state);

	begin(state);
	server("HTTP/1.1 408 Early\r\n\r\n");
	assert_true(world.end[0].reset && world.end[1].reset);
}

/* The server goes while an answer of ours waits for its turn. */
static void test_server_gone_before_the_answer(void **state)
{
	client(GET("/pass") GET("/block"));
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin);
	world_fin(0);
	world_pass(70000000);
	assert_null(world.s);
	assert_int_equal(world_count(STATS_flow_timeout), 0);
}

static void test_close_delimited(void **state)
{
	client(GET("/pass") GET("/pass"));
	server("HTTP/1.1 200 OK\r\n\r\nuntil the end");
	world_fin(1);
	world_settle();
	assert_got(0, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
	assert_true(world.end[0].fin);
	done(state);

	begin(state);
	client(GET("/pass"));
	server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut");
	world_fin(1);
	world_settle();
	assert_got(0, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut");
	assert_true(world.end[0].fin);
	assert_false(world.end[0].reset);
}

/* --- services --------------------------------------------------------------------------------------------------- */

static void test_adapted_framing(void **state)
{
	world.service = SERVICE_UPPER;
	client(GET("/resp"));
	assert_got(1, GET("/resp"));
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\nabcd\r\n0\r\n\r\n");
	{
		const char *got = world_got(0);

		assert_non_null(strstr(got, "Transfer-Encoding: chunked\r\n\r\n"));
		assert_non_null(strstr(got, "ABC"));
		assert_string_equal(got + strlen(got) - 7, "\r\n0\r\n\r\n");
	}
	client(GET("/resp"));
	server(OK(3, "xyz"));
	assert_non_null(strstr(world_got(0), "XYZ"));
	assert_false(world.end[0].fin);
	/* To a client of HTTP/1.0 a length nobody knows ends with the connection. */
	world.service = SERVICE_MANUAL;
	client("GET /resp HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
	world_am_start(2, 2, -1, false);
	world_data(2, 2, "HTTP/1.1 200 OK\r\nX: y\r\n\r\nnew");
	world_settle();
	assert_got(0, "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nnew");
	world_am_end(2, 2, true);
	world_settle();
	assert_true(world.end[0].fin); /* though the original is not over */
}

static void test_request_in_pieces(void **state)
{
	world.split = 7;
	memset(big, 'b', 60000);
	client("POST /req HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
	world_send(0, big, 60000);
	world_pass(3000000);
	{
		const char *body = strstr(world_got(1), "\r\n\r\n");
		unsigned n = 0;

		assert_non_null(body);
		/* The service did not say how long it would be: it goes in chunks. */
		while (*body)
			n += *body++ == 'b';
		assert_true(n >= 60000); /* 'b' is a digit, too */
	}
	server(OK(2, "ok"));
	assert_got(0, OK(2, "ok"));
}

static void test_service_answers_in_order(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/pass") GET("/req") GET("/pass/2"));
	assert_got(1, GET("/pass"));
	world_am_start(0, 2, -1, true);
	world_data(0, 2, "HTTP/1.1 200 OK\r\n\r\nmine");
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_got(0, ""); /* INV-SESSION-3 */
	server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi");
	assert_got(0, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi");
	server("rs");
	{
		const char *got = world_got(0);

		assert_int_equal(strncmp(got, "rsHTTP/1.1 200 OK\r\n", 19), 0);
		assert_string_equal(got + strlen(got) - 4, "mine");
	}
	assert_got(1, GET("/pass/2"));
	server(OK(0, ""));
	assert_got(0, OK(0, ""));
	/* A client that asks to close is closed for. */
	client("GET /req HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	world_am_start(1, 2, -1, true);
	world_data(1, 2, "HTTP/1.1 200 OK\r\n\r\nlast");
	world_am_end(1, 2, true);
	world_ended(1);
	world_settle();
	assert_begins(0, "HTTP/1.1 200 OK\r\n");
	assert_true(world.end[0].fin);
}

static void test_expect(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/pass") "POST /req HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
	assert_got(0, "");
	server(OK(0, ""));
	assert_got(0, OK(0, "") "HTTP/1.1 100 Continue\r\n\r\n");
	world_got(1);
	client("body");
	world_am_start(0, 2, -1, false);
	world_as_is(0, 2, 0, world.txn[0].len);
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_begins(1, "POST /req");
	server("HTTP/1.1 100 Continue\r\n\r\n" OK(1, "x")); /* the client has had it */
	assert_got(0, OK(1, "x"));
	client("POST /block HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
	assert_begins(0, "HTTP/1.1 403");
	assert_true(world.end[0].fin);
}

static void test_one_final_message(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/req"));
	world_am_start(0, 2, -1, false);
	world_data(0, 2, GET("/first"));
	world_am_end(0, 2, true);
	world_am_start(0, 4, -1, false);
	world_data(0, 4, GET("/second"));
	world_am_end(0, 4, true);
	world_ended(0);
	world_settle();
	assert_got(1, GET("/first"));
	assert_int_equal(world.s->xchg_count, 1);
	server(OK(0, ""));
	/* The method decides on the response's framing: it stays. */
	client(GET("/closed"));
	world_am_start(1, 2, -1, false);
	world_data(1, 2, "HEAD /closed HTTP/1.1\r\nHost: a\r\n\r\n");
	world_am_end(1, 2, true);
	world_settle();
	assert_true(world.end[0].reset);
}

/* The service fails after each possible event: what was promised by the policy happens, nothing leaks. */
static void failing(const char *path, unsigned at, enum callout_cause cause)
{
	char request[256], whole[512];
	const char *got;

	snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", path);
	world.service = at ? SERVICE_MANUAL : SERVICE_REFUSE;
	begin(NULL);
	world.service = at ? SERVICE_MANUAL : SERVICE_REFUSE;
	world_send(0, request, (uint32_t)strlen(request) - (at > 5 ? 5 : 0));
	world_settle();
	if (at) {
		uint64_t n = world.txn[0].len;

		if (at > 1)
			world_am_start(0, 2, -1, false);
		for (unsigned i = 2; i < at; i++)
			world_as_is(0, 2, n * (i - 2) / 8, n * (i - 1) / 8 - n * (i - 2) / 8);
		if (at % 2)
			world_settle();
		world_failed(0, cause);
	}
	world_settle();
	if (at > 5)
		client(request + strlen(request) - 5);
	got = world_got(1);
	if (strcmp(path, "/req") == 0) {
		assert_string_equal(got, request);
		server(OK(1, "k"));
		assert_got(0, OK(1, "k"));
	} else if (strcmp(path, "/closed") == 0) {
		assert_true(world.end[0].reset && world.end[1].reset);
	} else if (!world.end[0].reset) {
		assert_string_equal(got, "");
		snprintf(whole, sizeof(whole), "HTTP/1.1 502 ");
		assert_begins(0, whole);
	}
	done(NULL);
}

static void test_service_fails(void **state)
{
	for (unsigned at = 0; at < 10; at++) {
		failing("/req", at, CALLOUT_CAUSE_LOST);
		failing("/closed", at, CALLOUT_CAUSE_DEADLINE);
		failing("/answer", at, CALLOUT_CAUSE_LOST);
	}
}

static void test_rules_change(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/observe/1") GET("/closed/2") GET("/answer/3"));
	world_settle();
	assert_int_equal(world.txns, 2);
	world.rules = 1; /* one rule only: older indices mean nothing in it */
	world_settle();
	server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
	world_fin(1); /* cut in the message: an event names its rule */
	world_settle();
	{
		struct shm_flow_row row;

		if (world.s)
			session_row(world.ctx, world.s, &row);
	}
	world_failed(1, CALLOUT_CAUSE_LOST);
	world_settle();
}

static void test_newer_rules_judge_the_next(void **state)
{
	client(GET("/pass/1"));
	server(OK(0, ""));
	world.rules = 1;
	client(GET("/pass/2"));
	assert_begins(0, OK(0, "") "HTTP/1.1 403");
	world_got(1);
	world.rules = 0;
	client(GET("/pass/3"));
	assert_got(1, GET("/pass/3"));
}

static void test_observer(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/observe"));
	server("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
	assert_got(1, GET("/observe"));
	assert_int_equal(world.txn[0].len, strlen(GET("/observe")));
	memset(big, 'o', 10000);
	world.no_room = true; /* slow: given up, the message goes on */
	world_send(1, big, 9000);
	world_pass(1000000);
	world.no_room = false;
	world_send(1, big, 1000);
	world_pass(1000000);
	assert_true(world.txn[1].ended_error);
	assert_int_equal(world.end[0].len, 10000 + 42);
	assert_true(world.txn[0].end);
	world_ended(0);
	world_settle();
	assert_true(world.txn[0].ended);
	world_got(0);
	client(GET("/observe/2"));
	world_failed(2, CALLOUT_CAUSE_LOST);
	server(OK(2, "ok"));
	assert_got(0, OK(2, "ok"));
}

/* --- every moment ---------------------------------------------------------------------------------------------------- */

static const char script[] =
	GET("/pass/1") "POST /req HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	GET("/block") GET("/resp") GET("/observe") GET("/rblock") GET("/answer") GET("/pass/2");

static const char answers[] =
	OK(3, "one") OK(3, "two") "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nresp\r\n0\r\nT: t\r\n\r\n"
	OK(7, "observe") OK(3, "bad") OK(6, "answer") OK(4, "last");

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what)) != NULL) {
		n++;
		text++;
	}
	return n;
}

/* The server answers as many requests as it has got whole. */
static void play(unsigned steps, enum world_service service)
{
	const char *a = answers;
	uint32_t sent = 0;

	world.service = service;
	for (unsigned i = 0; i < steps && world.s; i++) {
		uint32_t n = RTE_MIN(1 + world_random(60), (uint32_t)sizeof(script) - 1 - sent);

		if (n && tcp_half_state(&world.end[0].half) == TCP_ESTABLISHED)
			world_send(0, script + sent, n);
		sent += n;
		world_round();
		world.end[1].text[world.end[1].len] = '\0';
		while (count(world.end[1].text, " HTTP/1.1") > count(answers, "HTTP/1.1 200") - count(a, "HTTP/1.1 200") &&
		       *a && strstr(world.end[1].text, "\r\n\r\n") &&
		       tcp_half_state(&world.end[1].half) == TCP_ESTABLISHED) {
			const char *next = strstr(a + 1, "HTTP/1.1 200");
			uint32_t len = next ? (uint32_t)(next - a) : (uint32_t)strlen(a);

			world_send(1, a, len);
			a += len;
		}
	}
}

static void test_whole_script(void **state)
{
	play(60, SERVICE_AS_IS);
	world_pass(2000000);
	play(5, SERVICE_AS_IS);
	{
		const char *got = world_got(0);

		assert_int_equal(count(got, "HTTP/1.1 200"), 6);
		assert_int_equal(count(got, "HTTP/1.1 403"), 2);
		assert_non_null(strstr(got, "last"));
		assert_null(strstr(got, "bad"));
	}
}

static void test_cut_at_every_moment(void **state)
{
	done(state);
	for (unsigned at = 1; at < 40; at++) {
		for (unsigned how = 0; how < 6; how++) {
			begin(state);
			world.seed = at * 7 + how;
			play(at, at % 3 ? SERVICE_AS_IS : at % 2 ? SERVICE_UPPER : SERVICE_MANUAL);
			if (how == 0)
				world_rst(0);
			else if (how == 1)
				world_rst(1);
			else if (how == 2)
				world_fin(0);
			else if (how == 3)
				world_fin(1);
			else if (how == 4)
				for (unsigned i = 0; i < world.txns; i++)
					if (world.txn[i].txn && !world.txn[i].ended)
						world_failed(i, CALLOUT_CAUSE_LOST);
			if (how < 5)
				world_settle();
			if (how == 2 || how == 3) {
				world_fin(how == 2);
				for (unsigned i = 0; i < world.txns; i++)
					if (world.txn[i].txn && !world.txn[i].ended)
						world_failed(i, CALLOUT_CAUSE_LOST);
				world_pass(20000);
				world.now += 4000000000u; /* every timeout */
				world_pass(20000);
				world_pass(70000000);
				assert_null(world.s);
			}
			world_close(); /* how == 5: in the middle of it */
		}
	}
	begin(state);
}

/* Anything a service may say, and some things it may not. */
static void service_whim(unsigned t)
{
	struct world_txn *w = &world.txn[t];
	uint32_t id = 2 + 2 * world_random(3);

	switch (world_random(14)) {
	case 0:
	case 1:
		world_am_start(t, id, world_random(3) ? -1 : (int64_t)world_random(200), world_random(6) == 0);
		break;
	case 2:
		world_data(t, id, world_random(2) ? "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
						  : "POST /new HTTP/1.1\r\nHost: n\r\n\r\nxyz");
		break;
	case 3:
		world_data(t, id, "more");
		break;
	case 4:
	case 5:
		world_as_is(t, id, w->answered, w->len - w->answered);
		w->answered = w->len;
		break;
	case 6:
		world_as_is(t, id, world_random(100), world_random(100));
		break;
	case 7:
		world_am_end(t, id, world_random(4) != 0);
		break;
	case 8:
		world_ended(t);
		break;
	case 9:
		world_failed(t, CALLOUT_CAUSE_LOST);
		break;
	case 10:
		world_event(t, (struct callout_event){.type = CALLOUT_EV_WONT_FORWARD,
						      .src_offset = w->len / 4, .size = world_random(80),
						      .ok = world_random(2) != 0});
		break;
	case 11:
		world_event(t, (struct callout_event){.type = CALLOUT_EV_LEAVE, .am_id = id,
						      .src_offset = RTE_MIN(w->len, (uint64_t)world_random(300))});
		break;
	case 12:
		world_event(t, (struct callout_event){.type = CALLOUT_EV_PAUSE});
		break;
	default:
		world_event(t, (struct callout_event){.type = CALLOUT_EV_NEED});
	}
}

static void whim(void)
{
	static const char *const said[] = {"GET ", "HTTP/1.1 ", "\r\n\r\n", "0\r\n", "HTTP/1.1 101 S\r\n\r\n"};
	const char *text = said[world_random(RTE_DIM(said))];

	switch (world_random(40)) {
	case 0:
		world_fin(world_random(2));
		break;
	case 1:
		if (world_random(8) == 0)
			world_rst(world_random(2));
		break;
	case 2:
		world_starve(world_random(12), world_random(12));
		break;
	case 3:
	case 4:
	case 5:
		world_feed();
		break;
	case 6:
		if (world_random(8) == 0)
			world_send(world_random(2), text, (uint32_t)strlen(text));
		break;
	case 7:
		world.no_room = !world.no_room;
		break;
	case 8:
		world.rules = world_random(4) == 0 && world.image[1];
		break;
	case 9:
		world.split = world_random(3) ? 0 : 1 + world_random(40);
		break;
	case 10:
		world.now += world_random(3000000);
		break;
	default:
		world.now += world_random(3000);
	}
}

static void random_lives(unsigned n)
{
	for (unsigned seed = 1; seed <= n; seed++) {
		begin(NULL);
		world.seed = seed;
		world.loss = world_random(3) ? 0 : 20;
		world.hold = world_random(2) ? 0 : world_random(40);
		for (unsigned i = 0; i < 60 && world.s; i++) {
			play(world_random(4), world_random(3) ? SERVICE_MANUAL : SERVICE_AS_IS);
			whim();
			for (unsigned t = 0; t < world.txns; t++)
				if (world.txn[t].txn && !world.txn[t].ended && world_random(2))
					service_whim(t);
		}
		world.rules = 0;
		world.loss = 0;
		world_close();
	}
}

static void test_random_lives(void **state)
{
	const char *n = getenv("SESSION_TEST_LIVES");

	done(state);
	random_lives(n ? (unsigned)strtoul(n, NULL, 10) : 300);
	begin(state);
}

/* Short of memory: what the ends have got is a beginning of what they should get, or the flow was reset. */
static void test_no_memory(void **state)
{
	static char right[2][WORLD_TEXT];

	play(60, SERVICE_UPPER);
	world_pass(1000000);
	strcpy(right[0], world_got(0));
	strcpy(right[1], world_got(1));
	done(state);
	for (unsigned at = 0; at < 30; at += 3) {
		for (unsigned keep = 0; keep < 14; keep++) {
			begin(state);
			world.service = SERVICE_UPPER;
			world.seed = 1;
			play(at, SERVICE_UPPER);
			world_starve(keep % 2 ? keep : 1000, keep % 2 ? 500 : keep);
			for (unsigned i = 0; i < 6; i++) {
				client(i ? "" : GET("/resp") GET("/req"));
				world_pass(20000);
			}
			world_feed();
			world_pass(1000000);
			if (world.s)
				assert_false(world.end[0].reset);
			world_close();
		}
	}
	begin(state);
}

static void test_starved_output_goes_on(void **state)
{
	unsigned whole = 0;

	done(state);
	for (unsigned keep = 0; keep < 16; keep++) {
		begin(state);
		world.service = SERVICE_MANUAL;
		client(GET("/resp"));
		world_got(1);
		server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nresp\r\n0\r\n\r\n");
		world_starve(keep, 400);
		world_am_start(0, 2, -1, false);
		world_as_is(0, 2, 0, world.txn[0].head_len);
		world_data(0, 2, "changed");
		world_settle();
		world_failed(0, CALLOUT_CAUSE_LOST); /* with output waiting for memory */
		world_settle();
		world_feed();
		world_pass(100000);
		/* Either nothing of the change went out, and the original did; or all went and the flow was reset. */
		if (!world.end[0].reset) {
			assert_got(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nresp\r\n0\r\n\r\n");
			whole++;
		}
		world_close();
	}
	assert_true(whole > 0);
	whole = 0;
	for (unsigned keep = 0; keep < 16; keep++) {
		begin(state);
		world.service = SERVICE_MANUAL;
		client(GET("/resp"));
		server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nresp\r\n0\r\n\r\n");
		world_starve(keep, 400);
		world_failed(0, CALLOUT_CAUSE_LOST); /* the rest goes out from the copy */
		world_settle();
		world_pass(20000);
		world_feed();
		world_pass(100000);
		assert_false(world.end[0].reset);
		assert_got(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nresp\r\n0\r\n\r\n");
		world_close();
	}
	begin(state);
}

static void test_loss(void **state)
{
	world.service = SERVICE_UPPER;
	world.loss = 30;
	client("POST /req HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
	memset(big, 'l', 60000);
	world_send(0, big, 60000);
	world_pass(60000000);
	world.end[1].text[world.end[1].len] = '\0';
	assert_int_equal(strspn(strstr(world.end[1].text, "\r\n\r\n") + 4, "L0123456789abcdefr\r\n"),
			 strlen(strstr(world.end[1].text, "\r\n\r\n") + 4));
	assert_true(world.end[1].len >= 60000);
}

/* INV-TX-1. */
static void test_packet_goes_on(void **state)
{
	struct rte_mbuf *m, *again;

	memset(big, 'p', 3000);
	world.hold = 60;
	client(GET("/pass"));
	server("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	(void)world_held(0);
	world_send(1, big, 1460);
	world_settle();
	m = world_held(0);
	assert_non_null(m);
	assert_ptr_equal(m->pool, world.nic.bufs); /* the very packet that was received */
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(rte_mbuf_refcnt_read(m), 1); /* what was acknowledged is let go of, not the frame */

	/* Lost on its way and still with the port when it is sent again: another frame is made. */
	world_got(0);
	world.loss = 0;
	world.no_tx = true;
	world_send(1, big, 1460);
	world_settle();
	m = world_held(0);
	assert_ptr_equal(m->pool, world.nic.bufs);
	assert_int_equal(rte_mbuf_refcnt_read(m), 2);
	for (unsigned i = 0; i < 100 && !(again = world_held(0)); i++)
		world_pass(10000);
	assert_non_null(again);
	assert_ptr_not_equal(again, m);
	assert_ptr_equal(again->pool, world.bufs);
	/* No longer with a port: the packet itself, once more. */
	world.hold = 0;
	world_pass(10000000);
	world.hold = 2;
	for (again = NULL; !again;) {
		assert_non_null(world.s);
		world_pass(10000);
		again = world_held(0);
	}
	assert_ptr_equal(again, m);
	assert_int_equal(rte_mbuf_refcnt_read(m), 2);
	world.no_tx = false;
	world_pass(60000000);
	assert_int_equal(strlen(world_got(0)), 1460);

	/* A packet in two pieces of one message's octets is one again. */
	world.hold = 8;
	done(state);
	begin(state);
	world.hold = 8;
	client(GET("/pass"));
	(void)world_held(0);
	memcpy(big, OK(1000, ""), strlen(OK(1000, "")));
	world_send(1, big, (uint32_t)strlen(OK(1000, "")) + 1000);
	world_settle();
	m = world_held(0);
	assert_ptr_equal(m->pool, world.nic.bufs);
	assert_int_equal(strlen(world_got(0)), strlen(OK(1000, "")) + 1000);
}

/* --- opaque streams ------------------------------------------------------------------------------------------------- */

static void test_stream(void **state)
{
	client("hello");
	assert_got(1, "hello");
	server("there");
	assert_got(0, "there");
	world_fin(0);
	world_settle();
	assert_true(world.end[1].fin);
	server("more");
	assert_got(0, "more");
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin);
	done(state);

	begin(state);
	world.service = SERVICE_MANUAL;
	client("abcdef");
	world_am_start(0, 2, -1, false);
	world_as_is(0, 2, 0, 3);
	world_settle();
	assert_got(1, "abc");
	world_failed(0, CALLOUT_CAUSE_LOST);
	client("ghi");
	assert_got(1, "defghi");
	server("x");
	world_am_start(1, 2, -1, false);
	world_data(1, 2, "instead");
	world_am_end(1, 2, true);
	world_ended(1);
	world_settle();
	assert_got(0, "instead");
	assert_true(world.end[0].fin);
	world_fin(0);
	world_settle();
	assert_true(world.end[1].fin);
	done(state);

	begin(state);
	world_fin(0); /* nothing at all */
	world_fin(1);
	world_pass(70000000);
	assert_null(world.s);
	assert_int_equal(world.txns, 0);
}

static const char newer_rules[] = "  - {name: only, match: {protocol: http, path: {prefix: /pass}}, action: block}\n";

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest http[] = {
		CASE(test_pipelined), CASE(test_octet_by_octet), CASE(test_tunnels), CASE(test_early_switch),
		CASE(test_block_in_order), CASE(test_block_closes), CASE(test_answered_once), CASE(test_bad_request),
		CASE(test_server_gone_before_the_answer), CASE(test_close_delimited), CASE(test_adapted_framing),
		CASE(test_request_in_pieces), CASE(test_service_answers_in_order), CASE(test_expect),
		CASE(test_one_final_message), CASE(test_rules_change), CASE(test_newer_rules_judge_the_next),
		CASE(test_observer), CASE(test_whole_script), CASE(test_cut_at_every_moment), CASE(test_no_memory),
		CASE(test_starved_output_goes_on), CASE(test_loss), CASE(test_packet_goes_on),
		CASE(test_random_lives), cmocka_unit_test(test_service_fails),
	};
	const struct CMUnitTest stream[] = {CASE(test_stream), CASE(test_random_lives)};
	int failed = world_run(http, 1023, 4095, rules, newer_rules) + world_run(stream, 1023, 4095, stream_rules, NULL);

	world_chains = true;
	return failed + world_run(http, 1023, 4095, rules, newer_rules) +
	       world_run(stream, 1023, 4095, stream_rules, NULL);
}

int main(void)
{
	return world_main(run);
}
