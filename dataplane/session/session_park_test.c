/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows that are parked at every quiet moment of their lives, and what is done when more are active than may be. */
#include "session_test_world.h"

#include <stdio.h>
#include <string.h>
#include <rte_mbuf.h>

static const char http_rules[] =
	"  - {name: pass, match: {protocol: http, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: block, match: {protocol: http, kind: request, path: {prefix: /block}}, action: block}\n"
	"  - {name: both, match: {protocol: http}, action: adapt, service: s, on-failure: open}\n";
static const char stream_rules[] =
	"  - {name: far, match: {protocol: tcp, server: 198.51.100.9}, action: adapt, service: s}\n"
	"  - {name: seen, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define OK(n, body) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n" body

static void send_text(unsigned side, const char *text)
{
	world_send(side, text, (uint32_t)strlen(text));
	world_settle();
}
#define client(text) send_text(0, text)
#define server(text) send_text(1, text)
#define assert_got(side, text) assert_string_equal(world_got(side), text)

static bool parked(void)
{
	return session_is_record(world.s) && session_record_of(world.s)->kind == RECORD_PARKED;
}

/* Lets it be parked, and looks at both halves before and after. */
static void park(void)
{
	struct tcp_half_info before[2], after[2];
	uint64_t n = world_count(STATS_flow_parked);

	world_pass(60000); /* acknowledgements that are put off */
	assert_false(session_is_record(world.s));
	assert_true(session_quiet(world.s));
	for (unsigned i = 0; i < 2; i++)
		tcp_half_info(&world.ctx->env, &world.s->half[i], &before[i]);
	world_pass(300000);
	assert_true(parked());
	assert_int_equal(world_count(STATS_flow_parked), n + 1);
	assert_int_equal(world.ctx->sessions, 0);
	assert_int_equal(world.ctx->parked, 1);
	/* Looked at in a copy: the flow stays parked. */
	for (unsigned i = 0; i < 2; i++) {
		struct tcp_half h;

		tcp_half_unpark(&h, &session_record_of(world.s)->half[i], &world.ctx->env);
		assert_true(tcp_half_quiet(&h));
		tcp_half_info(&world.ctx->env, &h, &after[i]);
		assert_memory_equal(&before[i], &after[i], sizeof(after[i]));
	}
}

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.split = world.loss = 0;
	world.gone[0] = world.gone[1] = false;
	world.ctx->probes_max = 3;
	world.ctx->probe_interval_us = 1000000;
	world_open();
	return 0;
}

static int done(void **state)
{
	world.no_tx = false;
	world_close();
	return 0;
}

/* --- every quiet moment ------------------------------------------------------------------------------------------ */

static void test_http(void **state)
{
	park();
	client(GET("/pass/1"));
	assert_false(parked());
	assert_got(1, GET("/pass/1"));
	world_pass(400000); /* an answer is due: not parked */
	assert_false(parked());
	server(OK(2, "11"));
	assert_got(0, OK(2, "11"));
	park();
	client(GET("/adapted")); /* both go through the service */
	assert_got(1, GET("/adapted"));
	server(OK(3, "abc"));
	assert_got(0, OK(3, "abc"));
	park();
	client(GET("/block"));
	assert_int_equal(strncmp(world_got(0), "HTTP/1.1 403", 12), 0);
	park();
	client("GET /pass/2 HT");
	world_pass(400000);
	assert_false(parked()); /* within a head */
	client("TP/1.1\r\nHost: a\r\n\r\n");
	assert_got(1, "GET /pass/2 HTTP/1.1\r\nHost: a\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	world_pass(400000);
	assert_false(parked()); /* within a body */
	server("cd");
	assert_got(0, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
	park();
	world_fin(0);
	world_settle();
	assert_true(world.end[1].fin);
	park(); /* half closed */
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin);
	assert_int_equal(world.ctx->sessions, 0); /* for the wait a record is enough */
	world_pass(70000000);
	assert_null(world.s);
	assert_int_equal(world_count(STATS_flow_aborted), 0);
}

static void test_stream(void **state)
{
	park(); /* nothing said yet */
	server("hello");
	assert_got(0, "hello");
	world_pass(400000);
	assert_false(parked()); /* a service is at it */
}

/* Requests and responses of any size, pauses and losses, with parking in between: every octet once. */
static void test_random(void **state)
{
	static char body[9000], text[10000];
	unsigned times = 0;

	memset(body, 'b', sizeof(body) - 1);
	world.loss = 30;
	for (unsigned i = 0; i < 60; i++) {
		unsigned n = world_random(sizeof(body));

		for (unsigned side = 0; side < 2; side++) {
			int len = snprintf(text, sizeof(text), "%s\r\nHost: a\r\nContent-Length: %u\r\n\r\n%.*s",
					   side ? "HTTP/1.1 200 OK" : "POST /pass HTTP/1.1", n, (int)n, body);

			for (int at = 0; at < len;) {
				uint32_t piece = RTE_MIN(1 + world_random(3000), (uint32_t)(len - at));

				world_send(side, text + at, piece);
				at += (int)piece;
				world_pass(world_random(3) ? 0 : world_random(20000));
			}
			world_pass(5000000);
			assert_got(!side, text);
		}
		times += parked();
	}
	assert_true(times > 50);
}

/* The last word to an end is lost, and it says its last word again. */
static void test_last_ack_lost(void **state)
{
	struct shm_flow_row row;
	uint64_t closed = world_count(STATS_flow_closed);

	client(GET("/pass"));
	server(OK(1, "1"));
	world_fin(0);
	world_settle();
	world_fin(1);
	world.no_tx = true;
	world_round();
	world_round();
	world.no_tx = false;
	world_pass(600000);
	assert_int_equal(tcp_half_state(&world.end[1].half), TCP_CLOSED);
	assert_non_null(world.s);
	assert_int_equal(world.ctx->sessions, 0);
	session_row(world.ctx, world.s, &row);
	assert_string_equal(row.state, "closing");
	world_pass(5000000);
	assert_null(world.s);
	assert_int_equal(world_count(STATS_flow_closed), closed + 1);
}

/* An end that asks whether we are there is answered, and the flow is parked again. */
static void test_keepalive_of_an_end(void **state)
{
	park();
	for (unsigned side = 0; side < 2; side++) {
		uint64_t in = world.end[side].env.count.segs_in;

		tcp_half_keepalive(&world.end[side].env, &world.end[side].half);
		world_settle();
		assert_int_equal(world.end[side].env.count.segs_in, in + 1);
		park();
	}
}

static void test_row(void **state)
{
	struct shm_flow_row row;

	client(GET("/pass/1"));
	server(OK(2, "11"));
	park();
	session_row(world.ctx, world.s, &row);
	assert_string_equal(row.state, "parked");
	assert_string_equal(row.protocol, "http");
	assert_int_equal(row.octets[0], strlen(GET("/pass/1")));
	assert_int_equal(row.messages[1], 1);
	assert_int_equal(row.client_port, 40000);
	assert_true(row.idle_us >= 250000 && row.age_us >= row.idle_us);
	assert_ptr_equal(session_owner(world.s), &world);
}

static void test_reset_while_parked(void **state)
{
	park();
	world_rst(1);
	world_settle();
	assert_true(world.end[0].reset);
	assert_null(world.s);
}

/* Silence ends it, with a word to both ends, if they are not asked. */
static void test_silence(void **state)
{
	world.ctx->probes_max = 0;
	park();
	world_pass(world.limits.idle_timeout_us + 5000000);
	assert_null(world.s);
	assert_true(world.end[0].reset);
	assert_true(world.end[1].reset);
}

/* Ends that are there keep it for ever, parked, half closed too. */
static void test_asked(void **state)
{
	uint64_t asked = world_count(STATS_keepalive_probes), timeouts = world_count(STATS_flow_timeout);

	park();
	for (unsigned i = 0; i < 5; i++)
		world_pass(world.limits.idle_timeout_us);
	world_pass(2000000);
	assert_true(parked());
	assert_in_range(world_count(STATS_keepalive_probes) - asked, 8, 10);
	world_fin(0);
	world_settle();
	for (unsigned i = 0; i < 5; i++)
		world_pass(world.limits.idle_timeout_us);
	world_pass(2000000);
	assert_true(parked());
	assert_int_equal(world_count(STATS_flow_timeout), timeouts);
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin);
}

/* One that is gone does not, whatever the other one says all the time. */
static void test_one_is_gone(void **state)
{
	uint64_t asked = world_count(STATS_keepalive_probes), timeouts = world_count(STATS_flow_timeout);
	uint64_t step = world.limits.idle_timeout_us / 4;

	park();
	world.gone[1] = true;
	for (unsigned i = 0; i < 5; i++) {
		assert_non_null(world.s);
		tcp_half_keepalive(&world.end[0].env, &world.end[0].half);
		world_pass(step);
	}
	assert_null(world.s);
	assert_int_equal(world_count(STATS_keepalive_probes) - asked, 3);
	assert_int_equal(world_count(STATS_flow_timeout), timeouts + 1);
	assert_true(world.end[0].reset);
}

/* --- more active flows than may be ------------------------------------------------------------------------------- */

static struct session *set_aside(void)
{
	struct session *all = world.ctx->free_sessions;

	world.ctx->free_sessions = NULL;
	return all;
}

static void give_back(struct session *all)
{
	struct session **end = &world.ctx->free_sessions;

	while (*end)
		end = &(*end)->next;
	*end = all;
}

static void test_no_session_for_a_parked_flow(void **state)
{
	struct session *all;

	park();
	all = set_aside();
	client(GET("/pass/1"));
	assert_true(parked());
	assert_got(1, "");
	assert_true(world_count(STATS_flow_no_active) > 0);
	give_back(all);
	world_pass(5000000);
	assert_got(1, GET("/pass/1")); /* it came again */
}

static void test_the_quiet_one_gives_way(void **state)
{
	struct session_record r = {.info.owner = &r};
	struct session *all, *other;

	client(GET("/pass/1"));
	world_pass(60000);
	all = set_aside();
	assert_null(session_take(world.ctx, &r)); /* its answer is due */
	server(OK(2, "11"));
	world_pass(60000);
	assert_false(parked());
	other = session_take(world.ctx, &r);
	assert_non_null(other);
	assert_true(parked());
	session_give(world.ctx, other);
	give_back(all);
	client(GET("/pass/2"));
	assert_got(1, GET("/pass/1") GET("/pass/2"));
}

static void test_no_session_after_the_handshake(void **state)
{
	struct session *all;

	done(state);
	all = set_aside();
	world_shake();
	assert_true(session_is_record(world.s));
	client(GET("/pass/1"));
	assert_true(session_is_record(world.s));
	give_back(all);
	world_pass(5000000);
	assert_false(session_is_record(world.s));
	assert_got(1, GET("/pass/1"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest http[] = {
		CASE(test_http), CASE(test_random), CASE(test_last_ack_lost), CASE(test_keepalive_of_an_end), CASE(test_row),
		CASE(test_reset_while_parked), CASE(test_silence), CASE(test_asked), CASE(test_one_is_gone), CASE(test_no_session_for_a_parked_flow),
		CASE(test_the_quiet_one_gives_way), CASE(test_no_session_after_the_handshake),
	};
	const struct CMUnitTest stream[] = {CASE(test_stream)};

	return world_run(http, 1023, 4095, http_rules, NULL) + world_run(stream, 1023, 4095, stream_rules, NULL);
}

int main(void)
{
	return world_main(run);
}
