/* SPDX-License-Identifier: BSD-3-Clause */
/* RTSP through a session: messages of both ends, interleaved frames, services, answers between frames, failures. */
#include "session_test_world.h"
#include "app/app_rtsp_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char rules[] =
	"  - {name: sdp, match: {protocol: rtsp, kind: response, method: DESCRIBE}, action: adapt, service: s}\n"
	"  - {name: sdpc, match: {protocol: rtsp, kind: response, method: ANSWER}, action: adapt, service: s, on-failure: answer}\n"
	"  - {name: req, match: {protocol: rtsp, kind: request, path: {prefix: /req}}, action: adapt, service: s}\n"
	"  - {name: closed, match: {protocol: rtsp, path: {prefix: /closed}}, action: adapt, service: s, on-failure: closed}\n"
	"  - {name: answer, match: {protocol: rtsp, path: {prefix: /answer}}, action: adapt, service: s, on-failure: answer}\n"
	"  - {name: block, match: {protocol: rtsp, kind: request, path: {prefix: /block}}, action: block}\n"
	"  - {name: rblock, match: {protocol: rtsp, kind: response, path: {prefix: /rblock}}, action: block, answer: 451}\n"
	"  - {name: watch, match: {protocol: rtsp, path: {prefix: /watch}}, action: observe, service: s}\n"
	"  - {name: tunnel, match: {protocol: rtsp, path: {prefix: /tunnel}}, action: tunnel}\n";
static const char open_rules[] = "  - {name: o, match: {protocol: rtsp}, action: adapt, service: s, on-failure: open}\n";
static const char closed_rules[] = "  - {name: c, match: {protocol: rtsp}, action: adapt, service: s, on-failure: closed}\n";

#define REQ(method, path, cseq) method " rtsp://a.example" path " RTSP/1.0\r\nCSeq: " #cseq "\r\n\r\n"
#define RESP(cseq) "RTSP/1.0 200 OK\r\nCSeq: " #cseq "\r\n\r\n"
#define SDP(cseq, n, body) "RTSP/1.0 200 OK\r\nCSeq: " #cseq "\r\nContent-Type: application/sdp\r\nContent-Length: " #n "\r\n\r\n" body
#define FRAME_A "$\x01\x02\x01"
#define assert_got(side, text) assert_string_equal(world_got(side), text)

static char frame[4 + 513]; /* as long as its text says, no NUL in it */

static void send_text(unsigned side, const char *text)
{
	world_send(side, text, (uint32_t)strlen(text));
	world_settle();
}

static void client(const char *text)
{
	send_text(0, text);
}

static void server(const char *text)
{
	send_text(1, text);
}

static void frames_from(unsigned side, unsigned n)
{
	while (n-- > 0)
		world_send(side, frame, sizeof(frame));
	world_settle();
}

static int begin(void **state)
{
	memcpy(frame, FRAME_A, 4);
	memset(frame + 4, 'f', sizeof(frame) - 4);
	world.service = SERVICE_AS_IS;
	world.rules = 0;
	world.split = 0;
	world_open();
	world.txns = 0;
	return 0;
}

static int done(void **state)
{
	world_close();
	return 0;
}

/* --- what no service has to do with ------------------------------------------------------------------------------ */

static void test_passes(void **state)
{
	static const char *const talk[] = {REQ("OPTIONS", "/", 1), REQ("SETUP", "/x", 2) REQ("PLAY", "/x", 3),
					   "\r\n" REQ("GET_PARAMETER", "/x", 4) "\r\n"};
	uint64_t frames = world_count(STATS_rtsp_frames);

	for (size_t i = 0; i < sizeof(talk) / sizeof(talk[0]); i++) {
		client(talk[i]);
		assert_got(1, talk[i]);
	}
	assert_int_equal(world.s->xchg_count, 4);
	server(RESP(2) RESP(1)); /* not in order */
	assert_got(0, RESP(2) RESP(1));
	frames_from(1, 3);
	assert_int_equal(world.end[0].len, 3 * sizeof(frame));
	assert_memory_equal(world.end[0].text + 2 * sizeof(frame), frame, sizeof(frame));
	world_got(0);
	server(REQ("ANNOUNCE", "/y", 1)); /* the server asks */
	assert_got(0, REQ("ANNOUNCE", "/y", 1));
	assert_int_equal(world.s->xchg_count, 3);
	frames_from(0, 1);
	client(RESP(1));
	assert_int_equal(world.end[1].len, sizeof(frame) + strlen(RESP(1)));
	world_got(1);
	assert_int_equal(world.s->xchg_count, 2);
	server(RESP(3) RESP(4));
	world_got(0);
	assert_int_equal(world_count(STATS_rtsp_frames) - frames, 4);
	world_pass(1000000);
	assert_true(session_is_record(world.s)); /* parked */
	frames_from(1, 1);
	assert_int_equal(world.end[0].len, sizeof(frame));
	world_got(0);
	world_fin(0);
	world_settle();
	assert_true(world.end[1].fin);
}

/* Any cutting of the same streams gives the same octets on both sides, whatever the services. */
static void script(unsigned split, char *to_server, char *to_client)
{
	static const char a[] = REQ("DESCRIBE", "/s", 1) REQ("SET_PARAMETER", "/req", 2) "$\x01\x01\x01";
	static const char more[] = REQ("OPTIONS", "*", 3);
	static const char b[] = SDP(1, 5, "v=0\r\n") "$\x02\x01\x01";
	static const char end[] = RESP(2) REQ("SET_PARAMETER", "/req", 9) RESP(3);

	world.split = split;
	world.service = SERVICE_UPPER;
	for (size_t at = 0, n = split; at < sizeof(a) - 1; at += n)
		world_send(0, a + at, (uint32_t)RTE_MIN(n, sizeof(a) - 1 - at));
	world_send(0, frame + 4, 257);
	world_send(0, more, sizeof(more) - 1);
	world_settle();
	for (size_t at = 0, n = split; at < sizeof(b) - 1; at += n) {
		world_send(1, b + at, (uint32_t)RTE_MIN(n, sizeof(b) - 1 - at));
		if (at % 3 == 0)
			world_settle();
	}
	world_send(1, frame + 4, 257);
	world_send(1, end, sizeof(end) - 1);
	world_settle();
	strcpy(to_server, world_got(1));
	strcpy(to_client, world_got(0));
}

static void test_split_anyhow(void **state)
{
	static char want[2][4096], got[2][4096];

	script(4000, want[0], want[1]);
	assert_non_null(strstr(want[1], SDP(1, 5, "V=0\r\n") "$\x02\x01\x01" "ffff"));
	assert_non_null(strstr(want[0], REQ("SET_PARAMETER", "/req", 2) "$\x01\x01\x01" "ffff"));
	for (unsigned split = 1; split < 200; split += split < 30 ? 1 : 17) {
		done(state);
		begin(state);
		script(split, got[0], got[1]);
		assert_string_equal(got[0], want[0]);
		assert_string_equal(got[1], want[1]);
	}
}

/* --- services ----------------------------------------------------------------------------------------------------- */

static void test_changed(void **state)
{
	static const char want[] = "RTSP/1.0 200 OK\r\nCSeq: 7\r\nContent-Length: 12\r\nX: y\r\n\r\nv=0\r\ns=new\r\n";

	world.service = SERVICE_MANUAL;
	client(REQ("DESCRIBE", "/s", 7));
	assert_got(1, REQ("DESCRIBE", "/s", 7));
	server(SDP(7, 5, "v=0\r\n"));
	assert_string_equal(world.txn[0].text, SDP(7, 5, "v=0\r\n"));
	assert_non_null(strstr(world.txn[0].meta, "Protocol: RTSP/1.0\r\nKind: response\r\n"));
	frames_from(1, 1);
	assert_got(0, ""); /* what follows waits */
	world_am_start(0, 2, -1, false);
	world_data(0, 2, "RTSP/1.0 200 OK\r\nCSeq: 8\r\nContent-Length: 99\r\nX: y\r\n\r\nv=0\r\ns=new");
	world_settle();
	assert_got(0, ""); /* its length is not known yet */
	world_data(0, 2, "\r\n");
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_int_equal(world.end[0].len, sizeof(want) - 1 + sizeof(frame));
	assert_memory_equal(world.end[0].text, want, sizeof(want) - 1);
	assert_memory_equal(world.end[0].text + sizeof(want) - 1, frame, sizeof(frame));
	world_got(0);
}

static void test_no_body(void **state)
{
	client(REQ("DESCRIBE", "/req", 1)); /* as it came */
	assert_got(1, REQ("DESCRIBE", "/req", 1));
	server("RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n");
	assert_got(0, "RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n");
	assert_int_equal(world.txns, 2);
	client("OPTIONS rtsp://a.example/ RTSP/1.0\r\n\r\n"); /* without CSeq: crosses */
	assert_got(1, "OPTIONS rtsp://a.example/ RTSP/1.0\r\n\r\n");
	server("RTSP/1.0 100 Continue\r\nCSeq: 5\r\n\r\n" RESP(5));
	assert_got(0, "RTSP/1.0 100 Continue\r\nCSeq: 5\r\n\r\n" RESP(5));
}

/* Responses come in any order: each is matched by the method of its own request. */
static void test_responses_out_of_order(void **state)
{
	client(REQ("OPTIONS", "/", 1) REQ("DESCRIBE", "/s", 2) REQ("SETUP", "/s", 3));
	server(RESP(3) RESP(1));
	assert_int_equal(world.txns, 0);
	server(REQ("GET_PARAMETER", "/s", 2)); /* of the other side, same CSeq */
	client(RESP(2));
	assert_int_equal(world.txns, 0);
	assert_int_equal(world.s->xchg_count, 1);
	server(RESP(2));
	assert_int_equal(world.txns, 1);
	assert_int_equal(world.s->xchg_count, 0);
	assert_got(0, RESP(3) RESP(1) REQ("GET_PARAMETER", "/s", 2) RESP(2));
}

static void answered(unsigned t)
{
	world_am_start(t, 2, -1, true);
	world_data(t, 2, "RTSP/1.0 404 No\r\nCSeq: 99\r\nContent-Length: 2\r\n\r\nno");
	world_am_end(t, 2, true);
	world_ended(t);
	world_settle();
}
#define ANSWERED(cseq) "RTSP/1.0 404 No\r\nCSeq: " #cseq "\r\nContent-Length: 2\r\n\r\nno"

/* INV-RTSP-1 */
static void test_answer_between_frames(void **state)
{
	world.service = SERVICE_MANUAL;
	client(REQ("DESCRIBE", "/req", 4));
	world_send(1, frame, sizeof(frame));
	world_send(1, frame, 100); /* in the middle of the second */
	world_settle();
	assert_int_equal(world.end[0].len, sizeof(frame) + 100);
	answered(0);
	client(REQ("OPTIONS", "/", 5));
	assert_int_equal(world.end[0].len, sizeof(frame) + 100);
	world_send(1, frame + 100, sizeof(frame) - 100);
	frames_from(1, 2);
	assert_int_equal(world.end[0].len, 4 * sizeof(frame) + strlen(ANSWERED(4)));
	assert_memory_equal(world.end[0].text + 2 * sizeof(frame), ANSWERED(4), strlen(ANSWERED(4)));
	assert_memory_equal(world.end[0].text + 2 * sizeof(frame) + strlen(ANSWERED(4)), frame, sizeof(frame));
	world_got(0);
	assert_got(1, REQ("OPTIONS", "/", 5)); /* the request did not get there, the next one did */
	assert_int_equal(world.s->xchg_count, 1);
}

/* An answer whose length is announced goes out as it comes: what the server sends, and what another service makes of that,
 * waits for its end. */
static void test_answer_in_pieces(void **state)
{
	static const char head[] = "RTSP/1.0 404 No\r\nCSeq: 4\r\nContent-Length: 4\r\n\r\n";

	world.service = SERVICE_MANUAL;
	client(REQ("OPTIONS", "/", 1) REQ("DESCRIBE", "/s", 2) REQ("DESCRIBE", "/req", 4));
	server(SDP(2, 1, "v")); /* to another service */
	assert_int_equal(world.txns, 2);
	world_am_start(0, 2, sizeof(head) - 1 + 4, true);
	world_data(0, 2, head);
	world_data(0, 2, "no");
	world_settle();
	assert_got(0, "RTSP/1.0 404 No\r\nCSeq: 4\r\nContent-Length: 4\r\n\r\nno");
	world_am_start(1, 2, -1, false);
	world_as_is(1, 2, 0, world.txn[1].len);
	world_am_end(1, 2, true);
	world_ended(1);
	frames_from(1, 1);
	assert_got(0, "");
	world_data(0, 2, "no");
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_int_equal(world.end[0].len, 2 + strlen(SDP(2, 1, "v")) + sizeof(frame));
	assert_memory_equal(world.end[0].text, "no" SDP(2, 1, "v") "$", 3 + strlen(SDP(2, 1, "v")));
	world_got(0);
	assert_got(1, REQ("OPTIONS", "/", 1) REQ("DESCRIBE", "/s", 2));
	client(REQ("DESCRIBE", "/req", 4));
	world_am_start(2, 2, sizeof(head) - 1 + 4, true);
	world_data(2, 2, head);
	world_settle();
	frames_from(1, 2);
	assert_got(0, head);
	world_data(2, 2, "nono");
	world_am_end(2, 2, true);
	world_ended(2);
	world_settle();
	assert_int_equal(world.end[0].len, 4 + 2 * sizeof(frame));
	assert_memory_equal(world.end[0].text, "nono$", 5);
}

static void test_both_answered(void **state)
{
	world.service = SERVICE_MANUAL;
	client(REQ("DESCRIBE", "/req", 4));
	server(REQ("ANNOUNCE", "/req", 1));
	assert_int_equal(world.txns, 2);
	answered(1);
	answered(0);
	assert_got(1, ANSWERED(1));
	assert_got(0, ANSWERED(4));
	client(REQ("OPTIONS", "/", 5)); /* and both go on */
	server(RESP(5));
	assert_got(1, REQ("OPTIONS", "/", 5));
	assert_got(0, RESP(5));
}

/* A service without a word for it (the dialect core): the status line tells. */
static void test_answer_by_its_line(void **state)
{
	world.service = SERVICE_MANUAL;
	client(REQ("DESCRIBE", "/req", 4));
	world_am_start(0, 2, -1, false);
	world_data(0, 2, "RTSP/1.0 403 No\r\n\r\n");
	world_am_end(0, 2, true);
	world_ended(0);
	world_settle();
	assert_got(0, "RTSP/1.0 403 No\r\nCSeq: 4\r\n\r\n");
	assert_got(1, "");
}

static void test_observed(void **state)
{
	client(REQ("SETUP", "/watch", 1));
	server(RESP(1));
	assert_got(1, REQ("SETUP", "/watch", 1));
	assert_got(0, RESP(1));
	assert_int_equal(world.txns, 2);
	assert_non_null(strstr(world.txn[1].meta, "Action: observe"));
	assert_string_equal(world.txn[1].text, RESP(1));
}

static void test_blocked(void **state)
{
	client(REQ("DESCRIBE", "/block", 3));
	assert_got(0, "RTSP/1.0 403 Forbidden\r\nCSeq: 3\r\n\r\n");
	assert_got(1, "");
	client(REQ("DESCRIBE", "/rblock", 4) REQ("OPTIONS", "/", 5));
	world_got(1);
	server(RESP(4) RESP(5)); /* the method of a response comes first in the rules */
	assert_got(0, RESP(4) RESP(5));
	client(REQ("SETUP", "/rblock", 6));
	server(RESP(6) RESP(7));
	assert_got(0, "RTSP/1.0 451 Unavailable For Legal Reasons\r\nCSeq: 6\r\n\r\n" RESP(7));
}

static void test_tunnel(void **state)
{
	client(REQ("SETUP", "/tunnel", 1));
	server(RESP(1));
	assert_got(0, RESP(1));
	world_got(1);
	client("anything\n");
	server("$no frame");
	assert_got(1, "anything\n");
	assert_got(0, "$no frame");
}

/* --- failures ----------------------------------------------------------------------------------------------------- */

static void test_fails(void **state)
{
	world.service = SERVICE_MANUAL;
	client(REQ("DESCRIBE", "/req", 1));
	world_failed(0, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_got(1, REQ("DESCRIBE", "/req", 1)); /* open */
	server(SDP(1, 5, "v=0\r\n"));
	frames_from(1, 1);
	world_failed(1, CALLOUT_CAUSE_DEADLINE);
	world_settle();
	assert_int_equal(world.end[0].len, strlen(SDP(1, 5, "v=0\r\n")) + sizeof(frame));
	world_got(0);
	client(REQ("DESCRIBE", "/answer", 2));
	world_failed(2, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_got(0, "RTSP/1.0 502 Bad Gateway\r\nCSeq: 2\r\n\r\n");
	client(REQ("ANSWER", "/", 3));
	assert_got(1, REQ("ANSWER", "/", 3));
	server(SDP(3, 5, "v=0\r\n") RESP(8));
	world_failed(3, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_got(0, "RTSP/1.0 502 Bad Gateway\r\nCSeq: 3\r\n\r\n" RESP(8)); /* in its place */
	client(REQ("SETUP", "/closed", 4));
	world_failed(4, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_true(world.end[0].reset && world.end[1].reset);
}

static void test_cannot_begin(void **state)
{
	world.service = SERVICE_REFUSE;
	client(REQ("SETUP", "/req", 1));
	assert_got(1, REQ("SETUP", "/req", 1));
	client(REQ("SETUP", "/answer", 2));
	assert_got(0, "RTSP/1.0 502 Bad Gateway\r\nCSeq: 2\r\n\r\n");
	client(REQ("SETUP", "/closed", 3));
	assert_true(world.end[0].reset);
}

static void test_ends(void **state)
{
	world.service = SERVICE_MANUAL;
	client(REQ("SETUP", "/req", 1));
	world_fin(1); /* the server goes while the service is about to answer */
	world_settle();
	assert_false(world.end[0].fin);
	answered(0);
	assert_got(0, ANSWERED(1));
	assert_true(world.end[0].fin);
	done(state);

	begin(state);
	world_send(1, frame, 50); /* cut off in a frame: what came has gone on */
	world_fin(1);
	world_settle();
	assert_int_equal(world.end[0].len, 50);
	assert_true(world.end[0].fin);
	world_got(0);
	done(state);

	begin(state);
	client("SETUP rtsp://a/ RTSP/1.0\r\nCS");
	world_fin(0);
	world_settle();
	assert_got(1, "SETUP rtsp://a/ RTSP/1.0\r\nCS");
	assert_true(world.end[1].fin);
}

static void test_refused(void **state)
{
	client(REQ("OPTIONS", "/", 1) "SETUP rtsp://a/ RTSP/1.0\r\nContent-Length: x\r\n\r\n");
	assert_got(1, REQ("OPTIONS", "/", 1));
	assert_got(0, "RTSP/1.0 400 Bad Request\r\n\r\n");
	assert_true(world.end[0].fin && world.end[1].fin);
	done(state);

	begin(state);
	client("OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n");
	assert_got(0, "RTSP/1.0 505 Version Not Supported\r\n\r\n");
	done(state);

	begin(state);
	client(REQ("OPTIONS", "/", 1));
	server("RTSP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_true(world.end[0].reset);
}

static void test_not_rtsp_open(void **state)
{
	client("GET / HTTP/1.1\r\n");
	assert_got(1, "GET / HTTP/1.1\r\n");
	server("HTTP/1.1 200 OK\r\n\r\n");
	assert_got(0, "HTTP/1.1 200 OK\r\n\r\n");
}

static void test_not_rtsp_closed(void **state)
{
	client("GET / HTTP/1.1\r\n");
	assert_got(1, "");
	assert_got(0, "RTSP/1.0 400 Bad Request\r\n\r\n");
	assert_true(world.end[1].fin);
}

/* --- anything ------------------------------------------------------------------------------------------------------ */

/* Messages and frames of both ends at random, through as-is, with little memory now and then: every octet arrives, in order. */
static void test_random_talk(void **state)
{
	static char sent[2][WORLD_TEXT];
	static char big[3000];
	size_t len[2], checked[2];

	for (unsigned life = 0; life < 40; life++) {
		len[0] = len[1] = checked[0] = checked[1] = 0;
		world.split = world_random(2) ? world_random(1400) : 0;
		for (unsigned i = 0; i < 60; i++) {
			unsigned side = world_random(2), n;
			char text[3400];

			memset(big, 'a' + (int)world_random(26), sizeof(big));
			switch (world_random(4)) {
			case 0:
				n = (unsigned)snprintf(text, sizeof(text), "SETUP rtsp://a/%s RTSP/1.0\r\nCSeq: %u\r\n\r\n",
						       world_random(2) ? "req" : "", i);
				break;
			case 1:
				n = world_random(2000);
				n = (unsigned)snprintf(text, sizeof(text), "DESCRIBE rtsp://a/req RTSP/1.0\r\nCSeq: %u\r\nContent-Length: %u\r\n\r\n%.*s",
						       i, n, (int)n, big);
				break;
			case 2:
				n = world_random(2000);
				n = (unsigned)snprintf(text, sizeof(text), "RTSP/1.0 200 OK\r\nCSeq: %u\r\nContent-Length: %u\r\n\r\n%.*s",
						       world_random(i + 1), n, (int)n, big);
				break;
			default:
				n = 257 + world_random(500);
				n = n % 256 ? n : n + 1;
				text[0] = '$';
				text[1] = 1;
				text[2] = (char)(n >> 8);
				text[3] = (char)(n & 255);
				memcpy(text + 4, big, n);
				n += 4;
				break;
			}
			world_send(side, text, n);
			memcpy(sent[side] + len[side], text, n);
			len[side] += n;
			if (world_random(3) == 0)
				world_settle();
		}
		world_settle();
		for (unsigned side = 0; side < 2; side++) {
			assert_int_equal(world.end[!side].len, len[side]);
			assert_memory_equal(world.end[!side].text, sent[side], len[side]);
		}
		done(state);
		begin(state);
	}
}

/* What a service does with the transaction t: all back, an answer, a failure before or after a beginning. */
static void fate(unsigned t, bool request)
{
	uint64_t n = world.txn[t].len;

	switch (world_random(4)) {
	case 0:
		if (request) {
			answered(t);
			return;
		}
		/* fall through */
	case 1:
		world_am_start(t, 2, -1, false);
		world_as_is(t, 2, 0, n);
		world_am_end(t, 2, true);
		world_ended(t);
		break;
	case 2:
		world_failed(t, CALLOUT_CAUSE_LOST);
		break;
	default:
		world_am_start(t, 2, -1, false);
		world_as_is(t, 2, 0, world_random((uint32_t)n));
		world_settle();
		world_failed(t, CALLOUT_CAUSE_DEADLINE);
		break;
	}
	world_settle();
}

static uint32_t all_of(void *ctx, uint32_t at, uint32_t left)
{
	return left;
}

/* INV-RTSP-1, whatever services do and when: what an end receives are whole messages and whole frames, all frames of the
 * other end among them. */
static void test_random_fates(void **state)
{
	for (unsigned life = 0; life < 150; life++) {
		unsigned frames[2] = {0}, done_txns = 0, cseq = 0;

		world.service = SERVICE_MANUAL;
		world.split = world_random(3) ? 0 : 1 + world_random(300);
		for (unsigned i = 0; i < 40 && world.txns < WORLD_TXNS - 2; i++) {
			unsigned side = world_random(2), cut = world_random(sizeof(frame));
			char text[256];
			int n;

			if (world_random(3) == 0) {
				n = snprintf(text, sizeof(text), "SETUP rtsp://a/%s RTSP/1.0\r\nCSeq: %u\r\nContent-Length: 3\r\n\r\nabc",
					     world_random(2) ? "req" : "x", ++cseq);
				world_send(side, text, (uint32_t)n);
			} else {
				world_send(side, frame, cut);
				world_settle();
				if (done_txns < world.txns && world_random(2))
					fate(done_txns++, true);
				world_send(side, frame + cut, (uint32_t)sizeof(frame) - cut);
				frames[side]++;
			}
			world_settle();
			if (done_txns < world.txns && world_random(2))
				fate(done_txns++, true);
		}
		while (done_txns < world.txns) {
			fate(done_txns++, true);
			world_settle();
		}
		for (unsigned side = 0; side < 2; side++) {
			struct rtsp_story t;

			assert_false(world.end[side].reset);
			rtsp_tell_stream(&t, (const uint8_t *)world.end[side].text, (uint32_t)world.end[side].len, HTTP1_HEAD_MAX,
					 all_of, NULL);
			rtsp_put(&t, "", 1);
			assert_int_equal(t.frames, frames[!side]);
			if (strstr(t.text, "<bad "))
				fail_msg("%s", t.text);
			free(t.text);
		}
		done(state);
		begin(state);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest rtsp[] = {
		CASE(test_passes), CASE(test_split_anyhow), CASE(test_changed), CASE(test_no_body),
		CASE(test_responses_out_of_order), CASE(test_answer_between_frames), CASE(test_answer_in_pieces), CASE(test_both_answered),
		CASE(test_answer_by_its_line), CASE(test_observed), CASE(test_blocked), CASE(test_tunnel), CASE(test_fails),
		CASE(test_cannot_begin), CASE(test_ends), CASE(test_refused), CASE(test_random_talk),
		CASE(test_random_fates),
	};
	const struct CMUnitTest open[] = {CASE(test_not_rtsp_open)}, closed[] = {CASE(test_not_rtsp_closed)};

	return world_run(rtsp, 1023, 4095, rules, NULL) + world_run(open, 1023, 4095, open_rules, NULL) +
	       world_run(closed, 1023, 4095, closed_rules, NULL);
}

int main(void)
{
	return world_main(run);
}
