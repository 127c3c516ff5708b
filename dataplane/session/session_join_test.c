/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows that leave the path: joined at every kind of moment, with and without changed octets, under loss; the ends see
 * one stream each. */
#include "session_test_world.h"

#include <stdio.h>
#include <string.h>
#include <rte_mbuf.h>

static const char http_rules[] =
	"  - {name: rtun, match: {protocol: http, kind: response, headers: [{name: X-Tunnel, value: {exact: y}}]}, action: tunnel}\n"
	"  - {name: pass, match: {protocol: http, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: tun, match: {protocol: http, kind: request, path: {prefix: /tunnel}}, action: tunnel}\n"
	"  - {name: both, match: {protocol: http}, action: adapt, service: s, on-failure: open}\n";
static const char stream_rules[] =
	"  - {name: seen, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";
static const char no_stream_rules[] =
	"  - {name: far, match: {protocol: tcp, server: 198.51.100.9}, action: adapt, service: s}\n"
	"  - {name: pass, match: {protocol: tcp}, action: tunnel}\n";

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define OK(n, body) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n" body
#define CONNECT "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"

static void send_text(unsigned side, const char *text)
{
	world_send(side, text, (uint32_t)strlen(text));
	world_settle();
}
#define client(text) send_text(0, text)
#define server(text) send_text(1, text)
#define assert_got(side, text) assert_string_equal(world_got(side), text)

static bool joined(void)
{
	return world.forgotten ||
	       (world.s && session_is_record(world.s) && session_record_of(world.s)->kind == RECORD_JOINED);
}

/* No message is cut any more. */
static bool through(void)
{
	return joined() || (world.s->pipe[0].mode == PIPE_TUNNEL && world.s->pipe[1].mode == PIPE_TUNNEL);
}

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.split = world.loss = 0;
	world.rules = 0;
	world.sack = true;
	world_open();
	return 0;
}

static int done(void **state)
{
	world.no_tx = false;
	world.loss = 0;
	world_close();
	assert_int_equal(world.ctx->joined, 0);
	assert_int_equal(world.ctx->under_way, 0);
	return 0;
}

/* The client's octets grow by so many on their way: the first line of its request is written anew by the service. */
static void connect_changed(const char *head)
{
	char text[512];

	world.service = SERVICE_MANUAL;
	client(CONNECT);
	snprintf(text, sizeof(text), "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n%s\r\n", head);
	world_am_start(world.txns - 1, 2, -1, false);
	world_data(world.txns - 1, 2, text);
	world_am_end(world.txns - 1, 2, true);
	world_ended(world.txns - 1);
	world_settle();
	assert_got(1, text);
}

static void answer_connect(void)
{
	server("HTTP/1.1 200 OK\r\n\r\n");
	assert_got(0, "HTTP/1.1 200 OK\r\n\r\n");
}

/* --- what leaves, and what does not ------------------------------------------------------------------------------- */

static void test_connect_plain(void **state)
{
	client(CONNECT);
	answer_connect();
	world_pass(600000);
	assert_true(world.forgotten);
	assert_int_equal(world_count(STATS_flow_joined), world_count(STATS_flow_join_plain));
	world_got(1);
	client("x");
	assert_got(1, "x");
	server("y");
	assert_got(0, "y");
	world_fin(0);
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin && world.end[1].fin);
	assert_int_equal(world_count(STATS_flow_aborted), 0);
}

static void test_connect_changed(void **state)
{
	struct shm_flow_detail detail;
	struct shm_flow_row row;
	uint64_t plain = world_count(STATS_flow_join_plain);

	connect_changed("X-Grown: by this much\r\n");
	answer_connect();
	world_pass(600000);
	assert_true(joined());
	assert_int_equal(world_count(STATS_flow_join_plain), plain);
	assert_int_equal(world.ctx->joined, 1);
	assert_int_equal(world.ctx->sessions, 0);
	session_row(world.ctx, world.s, &row);
	assert_string_equal(row.state, "joined");
	assert_string_equal(row.protocol, "tunnel");
	client("hello");
	assert_got(1, "hello");
	server("there");
	assert_got(0, "there");
	session_row(world.ctx, world.s, &row);
	assert_int_equal(row.octets[0], strlen(CONNECT) + 5);
	session_detail(world.ctx, world.s, &detail);
	assert_int_equal(detail.half[0].present, 0);
	assert_string_equal(detail.pipe[0].mode, "joined");
	assert_int_equal(detail.pipe[0].octets, strlen(CONNECT) + 5);
	world_fin(0);
	world_settle();
	server("more");
	assert_got(0, "more");
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin && world.end[1].fin);
	assert_non_null(world.s); /* a FIN may come again */
	world_pass(70000000);
	assert_null(world.s);
}

/* Where segments of unknown flows do not cross it is not forgotten. */
static void test_not_forgotten(void **state)
{
	world.ctx->cfg.forget_joined = false;
	client(CONNECT);
	answer_connect();
	world_pass(600000);
	world.ctx->cfg.forget_joined = true;
	assert_false(world.forgotten);
	assert_true(joined());
	world_got(1);
	client("x");
	assert_got(1, "x");
}

/* An end that resets ends it soon; a reset out of place is the receiver's to judge. */
static void test_reset(void **state)
{
	connect_changed("A: b\r\n");
	answer_connect();
	world_pass(600000);
	assert_true(joined());
	world.end[1].half.snd_nxt += 100; /* out of place */
	world_rst(1);
	world_settle();
	assert_false(session_record_of(world.s)->joined.reset[1]);
	world_rst(0);
	world_settle();
	assert_true(session_record_of(world.s)->joined.reset[0]);
	world_pass(70000000);
	assert_null(world.s);
}

/* The ends of a joined flow are asked, too; where one is gone, both are told. */
static void test_silence(void **state)
{
	uint64_t asked = world_count(STATS_keepalive_probes), idle = world.limits.idle_timeout_us;

	world.ctx->probes_max = 3;
	world.ctx->probe_interval_us = 1000000;
	connect_changed("A: b\r\n");
	answer_connect();
	world_pass(600000);
	assert_true(joined());
	world_pass(2 * idle + 1000000);
	assert_true(joined());
	assert_in_range(world_count(STATS_keepalive_probes) - asked, 3, 4);
	client("still");
	assert_got(1, "still");
	server("there");
	assert_got(0, "there");
	world.gone[0] = true;
	world_pass(idle + 5000000);
	assert_null(world.s);
	assert_true(world.end[0].reset);
	assert_true(world.end[1].reset);
	world.gone[0] = false;
}

/* A message can still be looked at: it stays. */
static void test_stays(void **state)
{
	client(GET("/pass"));
	server(OK(2, "11"));
	world_pass(2000000);
	assert_false(joined());
	client("GET /pass HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n");
	world_pass(2000000);
	assert_false(joined());
	server("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	world_pass(2000000);
	assert_false(joined());
	client("GET /pass HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\n");
	server("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: w\r\n\r\nframe");
	world_pass(2000000);
	assert_true(joined());
}

static void test_half_closed_stays(void **state)
{
	client(CONNECT);
	world_fin(0);
	answer_connect();
	world_pass(2000000);
	assert_false(joined());
	assert_true(world.end[1].fin);
	server("to the end");
	assert_got(0, "to the end");
}

static void test_tunnel_rule(void **state)
{
	/* Between messages: at once, whatever the octets are. */
	client(GET("/pass/1"));
	server(OK(1, "1"));
	world_got(0);
	world_got(1);
	client("POST /tunnel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
	assert_got(1, "POST /tunnel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
	assert_true(through());
	server("no HTTP at all");
	assert_got(0, "no HTTP at all");
	client("345" GET("/adapt"));
	assert_got(1, "345" GET("/adapt"));
	assert_int_equal(world.txns, 0);
	world_pass(600000);
	assert_true(world.forgotten);
	done(state);

	/* Behind a request that waits for its response: that one is looked at still. */
	begin(state);
	client(GET("/adapt") GET("/tunnel/1") GET("/adapt/2"));
	assert_got(1, GET("/adapt") GET("/tunnel/1") GET("/adapt/2"));
	assert_int_equal(world.txns, 1);
	server(OK(3, "abc"));
	assert_int_equal(world.txns, 2);
	server(OK(1, "1") OK(1, "2"));
	assert_got(0, OK(3, "abc") OK(1, "1") OK(1, "2"));
	assert_int_equal(world.txns, 2);
	assert_true(through());
	done(state);

	/* By its response. */
	begin(state);
	client(GET("/pass"));
	server("HTTP/1.1 200 OK\r\nX-Tunnel: y\r\nContent-Length: 2\r\n\r\nok");
	assert_got(0, "HTTP/1.1 200 OK\r\nX-Tunnel: y\r\nContent-Length: 2\r\n\r\nok");
	assert_true(through());
	done(state);

	/* The same with another request behind: when it has its response. */
	begin(state);
	client(GET("/pass") GET("/pass/2"));
	server("HTTP/1.1 200 OK\r\nX-Tunnel: y\r\nContent-Length: 2\r\n\r\nok");
	assert_int_equal(world.s->pipe[0].mode, PIPE_FRAMED);
	server(OK(1, "2"));
	assert_got(0, "HTTP/1.1 200 OK\r\nX-Tunnel: y\r\nContent-Length: 2\r\n\r\nok" OK(1, "2"));
	assert_true(through());
}

static void leave(unsigned t)
{
	world_event(t, (struct callout_event){.type = CALLOUT_EV_LEAVE, .am_id = 2, .src_offset = world.txn[t].len});
}

/* An opaque stream whose service has changed something and then leaves the loop, in both directions. */
static void test_service_leaves(void **state)
{
	world.service = SERVICE_MANUAL;
	client("hello");
	world_am_start(0, 2, -1, false);
	world_data(0, 2, "hello, world");
	leave(0);
	world_settle();
	assert_got(1, "hello, world");
	client(" on");
	assert_got(1, " on");
	world_pass(2000000);
	assert_false(joined()); /* what the server says would be looked at */
	server("there");
	world_am_start(1, 2, -1, false);
	leave(1);
	world_settle();
	assert_got(0, "");
	world_pass(2000000);
	assert_true(joined());
	client("1");
	server("2");
	assert_got(1, "1");
	assert_got(0, "2");
}

static void test_service_fails(void **state)
{
	world.service = SERVICE_MANUAL;
	client("hello");
	server("there");
	world_pass(2000000);
	assert_false(joined());
	world_failed(0, CALLOUT_CAUSE_LOST);
	world_failed(1, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_got(1, "hello");
	assert_got(0, "there");
	world_pass(2000000);
	assert_true(world.forgotten);
}

/* No rule would look at the stream of the end that has not spoken yet. */
static void test_no_rule(void **state)
{
	world.rules = 1;
	client("hello");
	assert_got(1, "hello");
	world_pass(600000);
	assert_true(world.forgotten);
	server("there");
	assert_got(0, "there");
}

/* --- in the middle of transfers --------------------------------------------------------------------------------- */

static uint8_t octet_at(unsigned side, uint64_t at)
{
	return (uint8_t)('A' + (at * 7 + at / 251 + side * 13) % 57);
}

/* Both ends send without a pause, as much as the wire takes, before, while and after the flow is joined. */
static void transfer(unsigned loss, const char *grown)
{
	static char piece[4096];
	uint64_t sent[2] = {0}, seen[2] = {0}, total = 0, end = world.now + 600000000;

	if (grown)
		connect_changed(grown);
	else
		client(CONNECT);
	world_got(1);
	answer_connect();
	world.loss = loss;
	while (!total || seen[0] < total || seen[1] < total) {
		if (!total && joined()) /* and as much again, and more */
			total = RTE_MAX(sent[0], sent[1]) + 500000;
		/* Tried again at once. */
		if (world.s && !session_is_record(world.s) && !world.s->leaving)
			world.s->leave_us = RTE_MIN(world.s->leave_us, world.now);
		for (unsigned i = 0; i < 2; i++) {
			uint32_t n = (uint32_t)RTE_MIN((uint64_t)sizeof(piece), total ? total - sent[i] : sizeof(piece));

			if (n && tcp_half_send_pending(&world.end[i].half) < 60000) {
				for (uint32_t k = 0; k < n; k++)
					piece[k] = (char)octet_at(i, sent[i] + k);
				world_send(i, piece, n);
				sent[i] += n;
			}
		}
		world_round();
		world.now += 200;
		assert_true(world.now < end); /* nothing is stuck */
		for (unsigned i = 0; i < 2; i++) {
			const char *got = world_got(!i);
			uint64_t len = strlen(got);

			for (uint64_t k = 0; k < len; k++)
				if ((uint8_t)got[k] != octet_at(i, seen[i] + k))
					fail_msg("side %u, octet %lu", i, (unsigned long)(seen[i] + k));
			seen[i] += len;
		}
	}
	assert_false(world.end[0].reset || world.end[1].reset);
}

static void test_transfer(void **state)
{
	transfer(0, NULL);
	done(state);
	begin(state);
	transfer(0, "X-Odd: 12\r\n");
}

static void test_transfer_loss(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		world.sack = i & 1;
		if (i) {
			done(state);
			world.service = SERVICE_AS_IS;
			world_open();
		}
		world.seed = 77 + i;
		transfer(5 + 10 * (i / 2), i % 3 ? "X-Even: 1234\r\n" : NULL);
	}
}

/* An end that does not read keeps it from draining: given up, and tried again. */
static void test_given_up(void **state)
{
	static char much[200000];

	client(CONNECT);
	world.end[1].stopped = true;
	memset(much, 'm', sizeof(much));
	world_send(0, much, sizeof(much));
	world_settle();
	answer_connect();
	world_pass(3500000);
	assert_false(joined());
	assert_true(world_count(STATS_flow_join_given_up) > 0);
	assert_false(world.s->leaving);
	server("the other direction goes on");
	assert_got(0, "the other direction goes on");
	world.end[1].stopped = false;
	world_pass(5000000);
	assert_false(joined());
	world_pass(20000000);
	assert_int_equal(strlen(world_got(1)), strlen(CONNECT) + sizeof(much));
	client("again");
	world_pass(600000);
	assert_true(joined());
	assert_got(1, "again");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest http[] = {
		CASE(test_connect_plain), CASE(test_connect_changed), CASE(test_not_forgotten), CASE(test_reset), CASE(test_silence), CASE(test_stays),
		CASE(test_half_closed_stays), CASE(test_tunnel_rule), CASE(test_transfer), CASE(test_transfer_loss),
		CASE(test_given_up),
	};
	const struct CMUnitTest stream[] = {CASE(test_service_leaves), CASE(test_service_fails), CASE(test_no_rule)};

	return world_run(http, 2047, 8191, http_rules, NULL) + world_run(stream, 2047, 8191, stream_rules, no_stream_rules);
}

int main(void)
{
	return world_main(run);
}
