/* SPDX-License-Identifier: BSD-3-Clause */
/* What is told of a flow: in its handshake, with a message at the service, parked, half closed, joined. */
#include "session_test_world.h"

#include <string.h>

static const char rules[] =
	"  - {name: pass, match: {protocol: http, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: seen, match: {protocol: http, path: {prefix: /seen}}, action: observe, service: s}\n"
	"  - {name: both, match: {protocol: http}, action: adapt, service: s, on-failure: open}\n";

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define HEAD(n) "HTTP/1.1 200 OK\r\nContent-Length: " #n "\r\n\r\n"
#define CONNECT "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"

static struct shm_flow_detail d;

static void send_text(unsigned side, const char *text)
{
	world_send(side, text, (uint32_t)strlen(text));
	world_settle();
}
#define client(text) send_text(0, text)
#define server(text) send_text(1, text)

static const struct shm_flow_detail *look(void)
{
	memset(&d, 0xa5, sizeof(d));
	session_detail(world.ctx, world.s, &d);
	assert_int_equal(d.row.id, 1);
	assert_int_equal(d.client_port, 0);
	return &d;
}

/* The half agrees with the end it speaks to, when nothing is on its way. */
static void agrees(const struct shm_half_detail *h, unsigned side)
{
	struct tcp_half_info end;

	tcp_half_info(&world.end[side].env, &world.end[side].half, &end);
	assert_true(h->present);
	assert_int_equal(h->rcv_nxt, end.snd_nxt);
	assert_int_equal(h->snd_nxt, end.rcv_nxt);
	assert_int_equal(h->snd_una, end.rcv_nxt);
	assert_int_equal(h->snd_wnd >> h->snd_wscale << h->snd_wscale, h->snd_wnd);
	assert_true(h->sack);
	assert_true(h->cwnd >= 10 * h->mss);
	assert_int_equal(h->ssthresh, SHM_UNKNOWN32);
	assert_int_equal(h->unsent + h->unacked + h->rxq + h->ooo_bytes + h->ooo_ranges, 0);
	assert_string_equal(h->cc, "cubic");
	assert_string_equal(h->ca, "open");
}

static void no_message(const struct shm_pipe_detail *p)
{
	assert_false(p->begun);
	assert_string_equal(p->route, "none");
	assert_string_equal(p->rule, "");
	assert_string_equal(p->service, "");
	assert_true(p->offset == SHM_UNKNOWN && p->identity == SHM_UNKNOWN && p->preserved == SHM_UNKNOWN);
	assert_true(p->sent == SHM_UNKNOWN && p->returned == SHM_UNKNOWN && p->out == SHM_UNKNOWN);
}

static void test_handshake(void **state)
{
	world_close();
	world_begin();
	assert_string_equal(look()->row.state, "handshake");
	assert_false(d.half[0].present || d.half[1].present || d.joined);
	assert_string_equal(d.pipe[0].mode, "");
	world_close();
	world_open();
}

static void test_between_messages(void **state)
{
	look();
	assert_string_equal(d.row.state, "open");
	assert_int_equal(d.generation, 1);
	for (unsigned i = 0; i < 2; i++) {
		agrees(&d.half[i], i);
		assert_string_equal(d.half[i].state, "established");
		assert_string_equal(d.half[i].timer, "none");
		assert_true(d.half[i].timer_us == SHM_UNKNOWN);
		assert_string_equal(d.pipe[i].mode, "http");
		no_message(&d.pipe[i]);
	}
}

static void test_message_at_the_service(void **state)
{
	uint64_t head = strlen(HEAD(10)), got = head + 6;

	client(GET("/pass"));
	look();
	assert_int_equal(d.xchgs, 1);
	no_message(&d.pipe[0]);
	assert_int_equal(d.pipe[0].messages, 1);
	world.service = SERVICE_MANUAL;
	server(HEAD(10) "abcdef");
	/* passed by its path, as its request */
	look();
	assert_string_equal(d.pipe[1].route, "forward");
	assert_string_equal(d.pipe[1].rule, "pass");
	assert_int_equal(d.pipe[1].offset, got);
	assert_true(d.pipe[1].identity == SHM_UNKNOWN);
	server("ghij");
	world.service = SERVICE_AS_IS;
	client(GET("/adapted"));
	world.service = SERVICE_MANUAL;
	server(HEAD(10) "abcdef");
	look();
	assert_true(d.pipe[1].begun);
	assert_int_equal(d.pipe[1].messages, 2);
	assert_int_equal(d.pipe[1].octets, got + head + 10);
	assert_string_equal(d.pipe[1].route, "adapt");
	assert_string_equal(d.pipe[1].rule, "both");
	assert_string_equal(d.pipe[1].service, "s");
	assert_int_equal(d.pipe[1].generation, 1);
	assert_int_equal(d.pipe[1].offset, got);
	assert_int_equal(d.pipe[1].sent, got);
	assert_int_equal(d.pipe[1].preserved, got);
	assert_int_equal(d.row.preserved, got);
	assert_int_equal(d.pipe[1].returned, 0);
	assert_int_equal(d.pipe[1].identity, 0);
	assert_true(d.pipe[1].identity_ok);
	assert_false(d.pipe[1].left);
	/* the head as it was, then an octet of the service's own */
	world_am_start(world.txns - 1, 2, -1, false);
	world_as_is(world.txns - 1, 2, 0, head + 2);
	world_settle();
	look();
	assert_int_equal(d.pipe[1].identity, head + 2);
	assert_int_equal(d.pipe[1].returned, head + 2);
	assert_true(d.pipe[1].identity_ok);
	world_data(world.txns - 1, 2, "X");
	world_settle();
	look();
	assert_int_equal(d.pipe[1].returned, head + 3);
	assert_int_equal(d.pipe[1].identity, head + 2);
	assert_false(d.pipe[1].identity_ok);
}

static void test_queues(void **state)
{
	static char body[4000];

	world.service = SERVICE_AS_IS;
	client(GET("/pass"));
	world.end[0].stopped = true;
	server(HEAD(4000));
	memset(body, 'b', sizeof(body));
	world_send(1, body, sizeof(body));
	world.no_tx = true; /* what goes to the client is lost */
	world_round();
	world_round();
	look();
	assert_true(d.half[0].unacked + d.half[0].unsent > 0);
	assert_int_equal((uint32_t)(d.half[0].snd_nxt - d.half[0].snd_una), d.half[0].unacked);
	assert_string_not_equal(d.half[0].timer, "none");
	assert_true(d.half[0].timer_us <= 1000000);
	world.no_tx = false;
	world.end[0].stopped = false;
}

static void test_parked(void **state)
{
	struct shm_flow_detail before;

	world.service = SERVICE_AS_IS;
	client(GET("/adapted"));
	server(HEAD(2) "ab");
	world_pass(100000);
	before = *look();
	assert_string_equal(before.row.state, "open");
	world_pass(400000);
	look();
	assert_string_equal(d.row.state, "parked");
	assert_true(session_is_record(world.s)); /* and so it stays */
	for (unsigned i = 0; i < 2; i++) {
		agrees(&d.half[i], i);
		assert_memory_equal(&d.half[i], &before.half[i], sizeof(d.half[i]));
		assert_memory_equal(&d.pipe[i], &before.pipe[i], sizeof(d.pipe[i]));
		assert_int_equal(d.pipe[i].messages, 1);
	}
}

static void test_half_closed(void **state)
{
	world_fin(0);
	world_settle();
	look();
	assert_string_equal(d.half[0].state, "close-wait");
	assert_true(d.half[0].rx_finished && !d.half[0].tx_finished);
	assert_string_equal(d.half[1].state, "fin-wait-2");
	assert_true(d.half[1].tx_finished && !d.half[1].rx_finished);
	assert_true(d.pipe[0].eof && !d.pipe[1].eof);
	world_fin(1);
	world_settle();
	look();
	assert_string_equal(d.row.state, "closing");
	assert_string_equal(d.half[0].state, "closed");
	assert_string_equal(d.half[1].state, "time-wait");
	assert_true(d.pipe[0].eof && d.pipe[1].eof);
}

static void test_joined(void **state)
{
	world.service = SERVICE_MANUAL;
	client(CONNECT);
	world_am_start(world.txns - 1, 2, -1, false);
	world_data(world.txns - 1, 2, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nX: y\r\n\r\n");
	world_am_end(world.txns - 1, 2, true);
	world_ended(world.txns - 1);
	world_settle();
	server("HTTP/1.1 200 OK\r\n\r\n");
	world_pass(600000);
	client("hello");
	look();
	assert_string_equal(d.row.state, "joined");
	assert_true(d.joined);
	assert_false(d.half[0].present || d.half[1].present);
	assert_int_equal(d.delta[0], strlen("X: y\r\n"));
	assert_int_equal(d.delta[1], 0);
	assert_string_equal(d.pipe[0].mode, "joined");
	assert_int_equal(d.pipe[0].octets, strlen(CONNECT) + 5);
	assert_int_equal(d.pipe[0].messages, 1);
	assert_false(d.pipe[0].begun);
	assert_true(d.pipe[0].offset == SHM_UNKNOWN && d.pipe[1].identity == SHM_UNKNOWN);
	world_fin(0);
	world_settle();
	look();
	assert_true(d.pipe[0].eof && !d.pipe[1].eof);
	world_fin(1);
	world_settle();
	world_pass(70000000);
	assert_null(world.s);
}

static int begin(void **state)
{
	world.service = SERVICE_MANUAL;
	world.sack = true;
	world_open();
	return 0;
}

static int done(void **state)
{
	world_close();
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_handshake), CASE(test_between_messages), CASE(test_message_at_the_service), CASE(test_queues),
		CASE(test_parked), CASE(test_half_closed), CASE(test_joined),
	};

	return world_run(tests, 1023, 4095, rules, NULL);
}

int main(void)
{
	return world_main(run);
}
