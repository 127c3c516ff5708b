/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <errno.h>
#include <cmocka.h>

#include "app/app_http1_test.h"

#define REQ HTTP1_REQUEST
#define RSP HTTP1_RESPONSE
#define H11 "HTTP/1.1 "
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define TE "Transfer-Encoding: chunked\r\n"

static uint32_t piece_all(void *ctx, uint32_t at, uint32_t left)
{
	return left;
}

static uint32_t piece_one(void *ctx, uint32_t at, uint32_t left)
{
	return 1;
}

static uint32_t piece_two(void *ctx, uint32_t at, uint32_t left)
{
	return at == 0 ? *(uint32_t *)ctx : left;
}

static uint32_t piece_random(void *ctx, uint32_t at, uint32_t left)
{
	return 1 + (uint32_t)rand() % *(uint32_t *)ctx;
}

static void run_whole(struct note *t, const struct run *r, const char *s, uint32_t len)
{
	note_run(t, r, (const uint8_t *)s, len, piece_all, NULL);
}

/* All cuts in two, octet by octet, and random ones tell the same. */
static void assert_invariant(const struct run *r, const char *s, uint32_t len)
{
	struct note whole, cut;

	run_whole(&whole, r, s, len);
	note_run(&cut, r, (const uint8_t *)s, len, piece_one, NULL);
	assert_memory_equal(&whole, &cut, sizeof(cut));
	for (uint32_t at = 1; at < len && len < 5000; at++) {
		note_run(&cut, r, (const uint8_t *)s, len, piece_two, &at);
		assert_memory_equal(&whole, &cut, sizeof(cut));
	}
	for (uint32_t max = 2; max < 40; max += 5) {
		note_run(&cut, r, (const uint8_t *)s, len, piece_random, &max);
		assert_memory_equal(&whole, &cut, sizeof(cut));
	}
}

/* Streams that are fine: how many messages, what the last one is, how it goes on. */
struct good {
	const char *s;
	struct run r;
	uint32_t n;
	uint8_t body;
	uint64_t octets;
	bool keep_alive, tunnel;
};

static const struct good goods[] = {
	{GET "\r\n", {.kind = REQ}, 1, HTTP1_BODY_NONE, 0, true, false},
	{"\r\n\r\n" GET "\r\n\r\n" GET "\r\n", {.kind = REQ}, 2, HTTP1_BODY_NONE, 0, true, false},
	{GET "Connection: close\r\n\r\n", {.kind = REQ}, 1, HTTP1_BODY_NONE, 0, false, false},
	{GET "connection: x , CLOSE,\r\n\r\n", {.kind = REQ}, 1, HTTP1_BODY_NONE, 0, false, false},
	{"GET / HTTP/1.0\r\n\r\n", {.kind = REQ}, 1, HTTP1_BODY_NONE, 0, false, false},
	{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 false},
	{"GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n",
	 {.kind = REQ},
	 1,
	 0,
	 0,
	 false,
	 false},
	{POST "Content-Length: 5\r\n\r\nhello",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_LENGTH,
	 5,
	 true,
	 false},
	{POST "Content-Length: 0\r\n\r\n", {.kind = REQ}, 1, HTTP1_BODY_LENGTH, 0, true, false},
	{POST "Content-Length:5\r\ncontent-length: 5 \r\n\r\nhello",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_LENGTH,
	 5,
	 true,
	 false},
	{POST TE "\r\n5\r\nhello\r\n0\r\n\r\n",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_CHUNKED,
	 5,
	 true,
	 false},
	{POST TE "\r\n5\r\nhello\r\n00A;x\r\n0123456789\r\n0\r\nA: b\r\nC:\r\n\r\n" GET "\r\n",
	 {.kind = REQ},
	 2,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 false},
	{POST
	 "transfer-encoding:\tCHUNKED \r\n\r\n1 ; a = \"q\\\"\\;\" ;b=c;d\r\nx\r\n0 ;e\r\n\r\n",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_CHUNKED,
	 1,
	 true,
	 false},
	{"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", {.kind = REQ}, 1, HTTP1_BODY_NONE, 0, true, false},
	{"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 false},
	{"GET http://u@h:80/p?q HTTP/1.1\r\nHost: x\r\n\r\n",
	 {.kind = REQ},
	 1,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 false},
	{H11 "200 OK\r\nContent-Length: 3\r\n\r\nabc" H11
	     "404 Not Found\r\nContent-Length: 0\r\n\r\n",
	 {.kind = RSP},
	 2,
	 HTTP1_BODY_LENGTH,
	 0,
	 true,
	 false},
	{H11 "200\r\nContent-Length: 0\r\n\r\n",
	 {.kind = RSP},
	 1,
	 HTTP1_BODY_LENGTH,
	 0,
	 true,
	 false},
	{H11 "200 \r\nContent-Length: 0\r\n\r\n",
	 {.kind = RSP},
	 1,
	 HTTP1_BODY_LENGTH,
	 0,
	 true,
	 false},
	{H11 "200 OK\r\n\r\nuntil the end", {.kind = RSP}, 1, HTTP1_BODY_CLOSE, 13, false, false},
	{"HTTP/1.0 200 OK\r\n\r\n", {.kind = RSP}, 1, HTTP1_BODY_CLOSE, 0, false, false},
	{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
	 {.kind = RSP},
	 1,
	 HTTP1_BODY_LENGTH,
	 1,
	 true,
	 false},
	{H11 "200 OK\r\n" TE "\r\n3\r\nabc\r\n0\r\n\r\n",
	 {.kind = RSP},
	 1,
	 HTTP1_BODY_CHUNKED,
	 3,
	 true,
	 false},
	{H11 "200 OK\r\nContent-Length: 1000\r\n\r\n" H11 "200 OK\r\n" TE "\r\n",
	 {.kind = RSP, .head = true},
	 2,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 false},
	{H11 "204 No Content\r\n\r\n" H11 "304 Not Modified\r\nContent-Length: 77\r\n\r\n",
	 {.kind = RSP},
	 2,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 false},
	{H11 "100 Continue\r\n\r\n" H11 "103 Early Hints\r\nLink: x\r\n\r\n" H11
	     "200 OK\r\nContent-Length: 2\r\n\r\nok",
	 {.kind = RSP},
	 3,
	 HTTP1_BODY_LENGTH,
	 2,
	 true,
	 false},
	{H11 "101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\0\1\2",
	 {.kind = RSP, .upgrade = true},
	 1,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 true},
	{H11 "426 Upgrade Required\r\nContent-Length: 1\r\n\r\nx",
	 {.kind = RSP, .upgrade = true},
	 1,
	 HTTP1_BODY_LENGTH,
	 1,
	 true,
	 false},
	{H11 "200 Fine\r\nContent-Length: 4, 5\r\n\r\nopaque",
	 {.kind = RSP, .connect = true},
	 1,
	 HTTP1_BODY_NONE,
	 0,
	 true,
	 true},
	{H11 "407 No\r\nContent-Length: 1\r\n\r\nx",
	 {.kind = RSP, .connect = true},
	 1,
	 HTTP1_BODY_LENGTH,
	 1,
	 true,
	 false},
};

static void good_streams(void **state)
{
	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		const struct good *g = &goods[i];
		uint32_t len = (uint32_t)strlen(g->s);
		const struct note_message *m;
		struct note t;

		run_whole(&t, &g->r, g->s, len);
		if (t.bad != HTTP1_OK)
			print_error("%s: %s\n", g->s, http1_bad_text(t.bad));
		assert_int_equal(t.bad, HTTP1_OK);
		assert_int_equal(t.n, g->n);
		m = &t.m[t.n - 1];
		assert_int_equal(m->ended, !g->tunnel);
		assert_int_equal(m->body_kind, g->body);
		assert_int_equal(m->body, g->octets);
		assert_int_equal(m->keep_alive, g->keep_alive);
		assert_int_equal(t.tunnel, g->tunnel);
		assert_int_equal(t.between, !g->tunnel);
		if (!g->tunnel)
			assert_int_equal(t.consumed, len);
		assert_invariant(&g->r, g->s, len);
	}
}

/* Streams that are refused: why, and at which octet of the message (-1: not looked at). */
struct bad {
	const char *s;
	enum http1_kind kind;
	enum http1_bad bad;
	int offset;
};

static const struct bad bads[] = {
	/* Two lengths, or one that is none: CL.CL, CL.TE, TE.CL. */
	{POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH_CONFLICT,
	 26},
	{POST "Content-Length: 5\r\nContent-Length: 05\r\n\r\nhello", REQ,
	 HTTP1_BAD_LENGTH_CONFLICT, 26},
	{POST "Content-Length: 5, 5\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 5,6\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: -5\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: +5\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 0x5\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 5 5\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 5;\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length:\r\n\r\nhello", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 9223372036854775808\r\n\r\n", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 18446744073709551621\r\n\r\n", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 99999999999999999999999999\r\n\r\n", REQ, HTTP1_BAD_LENGTH, 26},
	{POST "Content-Length: 4\r\n" TE "\r\n0\r\n\r\n", REQ, HTTP1_BAD_LENGTH_AND_CODING, -1},
	{POST TE "Content-Length: 4\r\n\r\n0\r\n\r\n", REQ, HTTP1_BAD_LENGTH_AND_CODING, -1},
	{H11 "200 OK\r\n" TE "Content-Length: 4\r\n\r\n", RSP, HTTP1_BAD_LENGTH_AND_CODING, -1},
	{H11 "200 OK\r\nContent-Length: 4\r\nContent-Length: 3\r\n\r\n", RSP,
	 HTTP1_BAD_LENGTH_CONFLICT, -1},
	{H11 "200 OK\r\nContent-Length: 4,4\r\n\r\n", RSP, HTTP1_BAD_LENGTH, -1},
	/* Transfer codings dressed up so that one end sees chunked and the other does not. */
	{POST "Transfer-Encoding: xchunked\r\n\r\n", REQ, HTTP1_BAD_CODING, 26},
	{POST "Transfer-Encoding: chunked, chunked\r\n\r\n", REQ, HTTP1_BAD_CODING, 26},
	{POST TE TE "\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST TE "Transfer-Encoding: identity\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: identity\r\n" TE "\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: chunked, identity\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: gzip, chunked\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: gzip\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: ,chunked\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: chunked,\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: \"chunked\"\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: chunked;a=b\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding:\r\n\r\n", REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: chunk\xc3\xa9"
	      "d\r\n\r\n",
	 REQ, HTTP1_BAD_CODING, -1},
	{POST "Transfer-Encoding: chunked\v\r\n\r\n", REQ, HTTP1_BAD_FIELD_VALUE, 52},
	{POST "Transfer-Encoding:\v chunked\r\n\r\n", REQ, HTTP1_BAD_FIELD_VALUE, 44},
	{POST "Transfer-Encoding : chunked\r\n\r\n", REQ, HTTP1_BAD_SPACE_BEFORE_COLON, 43},
	{POST "Transfer-Encoding\t: chunked\r\n\r\n", REQ, HTTP1_BAD_SPACE_BEFORE_COLON, 43},
	{POST " Transfer-Encoding: chunked\r\n\r\n", REQ, HTTP1_BAD_OBS_FOLD, 26},
	{POST "Transfer-Encoding:\r\n chunked\r\n\r\n", REQ, HTTP1_BAD_OBS_FOLD, 46},
	{POST "X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n", REQ, HTTP1_BAD_OBS_FOLD, 32},
	{POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", REQ, HTTP1_BAD_BARE_CR, 30},
	{POST "X: y\nTransfer-Encoding: chunked\r\n\r\n", REQ, HTTP1_BAD_BARE_LF, 30},
	{POST "Transfer-Encoding: chunked\r\r\n\r\n", REQ, HTTP1_BAD_BARE_CR, 52},
	{POST "\"Transfer-Encoding\": chunked\r\n\r\n", REQ, HTTP1_BAD_FIELD_NAME, 26},
	{POST "Transfer\xad"
	      "Encoding: chunked\r\n\r\n",
	 REQ, HTTP1_BAD_FIELD_NAME, 34},
	{POST ": chunked\r\n\r\n", REQ, HTTP1_BAD_FIELD_NAME, 26},
	{POST "chunked\r\n\r\n", REQ, HTTP1_BAD_FIELD_NAME, 33},
	{POST "Transfer-Encoding chunked\r\n\r\n", REQ, HTTP1_BAD_FIELD_NAME, 43},
	{"POST / HTTP/1.0\r\n" TE "\r\n0\r\n\r\n", REQ, HTTP1_BAD_CODING, 17},
	{"HTTP/1.0 200 OK\r\n" TE "\r\n0\r\n\r\n", RSP, HTTP1_BAD_CODING, -1},
	{H11 "200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", RSP, HTTP1_BAD_CODING, -1},
	{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", REQ, HTTP1_BAD_LENGTH, -1},
	{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n" TE "\r\n", REQ, HTTP1_BAD_CODING, -1},
	/* Start lines. */
	{"GET / HTTP/1.1\nHost: a\r\n\r\n", REQ, HTTP1_BAD_BARE_LF, 14},
	{"\nGET / HTTP/1.1\r\n", REQ, HTTP1_BAD_BARE_LF, 0},
	{"\r\rGET / HTTP/1.1\r\n", REQ, HTTP1_BAD_BARE_CR, 0},
	{" GET / HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 0},
	{"GET  / HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"GET /  HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 6},
	{"GET / a HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 6},
	{"GET /\r\n\r\n", REQ, HTTP1_BAD_START_LINE, 5},
	{"GET\r\n\r\n", REQ, HTTP1_BAD_START_LINE, 3},
	{"GET / HTTP/1.1 \r\n", REQ, HTTP1_BAD_VERSION, 6},
	{"GET /\x01 HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 5},
	{"GET /\r HTTP/1.1\r\n", REQ, HTTP1_BAD_BARE_CR, 5},
	{"GET\t/ HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 3},
	{"GET * HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"GET a HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"GET http:/a HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"GET http:/// HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"GET http://a\\b/ HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"CONNECT / HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 8},
	{"G\x80T / HTTP/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 1},
	{"\x16\x03\x01\x02", REQ, HTTP1_BAD_START_LINE, 0},
	{"GET / HTTP/2.0\r\n", REQ, HTTP1_BAD_VERSION, 6},
	{"GET / HTTP/1.2\r\n", REQ, HTTP1_BAD_VERSION, 6},
	{"GET / HTTP/1.10\r\n", REQ, HTTP1_BAD_VERSION, 6},
	{"GET / http/1.1\r\n", REQ, HTTP1_BAD_START_LINE, 6},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REQ, HTTP1_BAD_START_LINE, 4},
	{"220 smtp ready\r\n", RSP, HTTP1_BAD_START_LINE, 0},
	{"HTTP/2 200\r\n", RSP, HTTP1_BAD_VERSION, 0},
	{"HTTP/1.1  200 OK\r\n", RSP, HTTP1_BAD_START_LINE, 8},
	{"HTTP/1.1 20 OK\r\n", RSP, HTTP1_BAD_START_LINE, 8},
	{"HTTP/1.1 2000 OK\r\n", RSP, HTTP1_BAD_START_LINE, 12},
	{"HTTP/1.1 099 OK\r\n", RSP, HTTP1_BAD_START_LINE, 8},
	{"HTTP/1.1 2x0 OK\r\n", RSP, HTTP1_BAD_START_LINE, 8},
	{"HTTP/1.1 200 O\rK\r\n", RSP, HTTP1_BAD_BARE_CR, 14},
	{"HTTP/1.1 200 O\x7fK\r\n", RSP, HTTP1_BAD_START_LINE, 14},
	{"\r\nHTTP/1.1 200 OK\r\n", RSP, HTTP1_BAD_START_LINE, 0},
	/* Host. */
	{"GET / HTTP/1.1\r\n\r\n", REQ, HTTP1_BAD_HOST, -1},
	{GET "Host: a\r\n\r\n", REQ, HTTP1_BAD_HOST, -1},
	{"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", REQ, HTTP1_BAD_HOST, -1},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", REQ, HTTP1_BAD_HOST, 23},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REQ, HTTP1_BAD_HOST, 23},
	{"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", REQ, HTTP1_BAD_HOST, 23},
	/* Chunks. The head is 56 octets. */
	{POST TE "\r\n\r\n", REQ, HTTP1_BAD_CHUNK, 56},
	{POST TE "\r\n-1\r\n", REQ, HTTP1_BAD_CHUNK, 56},
	{POST TE "\r\n+1\r\n", REQ, HTTP1_BAD_CHUNK, 56},
	{POST TE "\r\n 1\r\n", REQ, HTTP1_BAD_CHUNK, 56},
	{POST TE "\r\n0x1\r\n", REQ, HTTP1_BAD_CHUNK, 57},
	{POST TE "\r\n1_0\r\n", REQ, HTTP1_BAD_CHUNK, 57},
	{POST TE "\r\n1 \r\n", REQ, HTTP1_BAD_CHUNK, 58},
	{POST TE "\r\n1\nx", REQ, HTTP1_BAD_BARE_LF, 57},
	{POST TE "\r\n\nx", REQ, HTTP1_BAD_BARE_LF, 56},
	{POST TE "\r\n1\rx", REQ, HTTP1_BAD_BARE_CR, 58},
	{POST TE "\r\n1;\r\n", REQ, HTTP1_BAD_CHUNK, 58},
	{POST TE "\r\n1;a\nx", REQ, HTTP1_BAD_BARE_LF, 59},
	{POST TE "\r\n1;a=\r\n", REQ, HTTP1_BAD_CHUNK, 60},
	{POST TE "\r\n1;a=\"\r\n", REQ, HTTP1_BAD_CHUNK, 61},
	{POST TE "\r\n1;a=\"b\"c\r\n", REQ, HTTP1_BAD_CHUNK, 63},
	{POST TE "\r\n1;a b\r\n", REQ, HTTP1_BAD_CHUNK, 60},
	{POST TE "\r\n1;=b\r\n", REQ, HTTP1_BAD_CHUNK, 58},
	{POST TE "\r\n8000000000000000\r\n", REQ, HTTP1_BAD_CHUNK, 71},
	{POST TE "\r\nffffffffffffffff\r\n", REQ, HTTP1_BAD_CHUNK, 71},
	{POST TE "\r\n10000000000000005\r\n", REQ, HTTP1_BAD_CHUNK, -1},
	{POST TE "\r\n00000000000000001\r\n", REQ, HTTP1_BAD_CHUNK, 72},
	{POST TE "\r\n1\r\nxy\r\n", REQ, HTTP1_BAD_CHUNK, 60},
	{POST TE "\r\n1\r\nx\n0\r\n", REQ, HTTP1_BAD_BARE_LF, 60},
	{POST TE "\r\n1\r\nx\r0\r\n", REQ, HTTP1_BAD_BARE_CR, 61},
	{POST TE "\r\n2\r\nx\r\n0\r\n\r\n", REQ, HTTP1_BAD_BARE_LF, 61},
	/* Trailers begin at 59. */
	{POST TE "\r\n0\r\nA: b\n\r\n", REQ, HTTP1_BAD_BARE_LF, 63},
	{POST TE "\r\n0\r\nA: b\rc\r\n", REQ, HTTP1_BAD_BARE_CR, 64},
	{POST TE "\r\n0\r\nA : b\r\n", REQ, HTTP1_BAD_TRAILER, 60},
	{POST TE "\r\n0\r\nA: b\r\n c\r\n", REQ, HTTP1_BAD_TRAILER, 65},
	{POST TE "\r\n0\r\nA: \x01\r\n", REQ, HTTP1_BAD_TRAILER, 62},
	{POST TE "\r\n0\r\n: b\r\n", REQ, HTTP1_BAD_TRAILER, 59},
	{POST TE "\r\n0\r\nContent-Length: 7\r\n\r\n", REQ, HTTP1_BAD_TRAILER, 73},
	{POST TE "\r\n0\r\ntransfer-encoding: chunked\r\n\r\n", REQ, HTTP1_BAD_TRAILER, 76},
	{POST TE "\r\n0\r\nHost: b\r\n\r\n", REQ, HTTP1_BAD_TRAILER, 63},
	{POST TE "\r\n0\r\n\rx", REQ, HTTP1_BAD_BARE_CR, 60},
	/* The end comes too early. */
	{"GET / HT", REQ, HTTP1_BAD_EOF, 8},
	{"\r", REQ, HTTP1_BAD_EOF, 0},
	{POST "Content-Length: 5\r\n\r\nhell", REQ, HTTP1_BAD_EOF, 51},
	{POST TE "\r\n5\r\nhell", REQ, HTTP1_BAD_EOF, 63},
	{POST TE "\r\n5\r\nhello\r\n", REQ, HTTP1_BAD_EOF, 66},
	{POST TE "\r\n5\r\nhello\r\n0\r\n\r", REQ, HTTP1_BAD_EOF, 70},
	{H11 "200 OK\r\nContent-Length: 5\r\n\r\nhell", RSP, HTTP1_BAD_EOF, -1},
	{H11 "101 Switching Protocols\r\n\r\n", RSP, HTTP1_BAD_UNEXPECTED_RESPONSE, 0},
};

static void refused_streams(void **state)
{
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *b = &bads[i];
		uint32_t len = (uint32_t)strlen(b->s);
		struct run r = {.kind = b->kind};
		struct note t;

		run_whole(&t, &r, b->s, len);
		if (t.bad != b->bad || (b->offset >= 0 && t.bad_offset != (uint64_t)b->offset))
			print_error("%s\n-> %s at %llu, expected: %s at %d\n", b->s,
				    http1_bad_text(t.bad), (unsigned long long)t.bad_offset,
				    http1_bad_text(b->bad), b->offset);
		assert_int_equal(t.bad, b->bad);
		if (b->offset >= 0)
			assert_int_equal(t.bad_offset, b->offset);
		assert_invariant(&r, b->s, len);
	}
}

/* NUL cannot stand in the tables above. */
static void refused_nul(void **state)
{
	static const char name[] = GET "A\0: b\r\n\r\n", value[] = GET "A: b\0\r\n\r\n",
			  target[] = "GET /\0 HTTP/1.1\r\n", chunk[] = POST TE "\r\n1\0\r\n",
			  trailer[] = POST TE "\r\n0\r\nA: \0\r\n\r\n";
	static const struct {
		const char *s;
		uint32_t len;
		enum http1_bad bad;
		uint32_t offset;
	} t[] = {
		{name, sizeof(name) - 1, HTTP1_BAD_FIELD_NAME, 26},
		{value, sizeof(value) - 1, HTTP1_BAD_FIELD_VALUE, 29},
		{target, sizeof(target) - 1, HTTP1_BAD_START_LINE, 5},
		{chunk, sizeof(chunk) - 1, HTTP1_BAD_CHUNK, 57},
		{trailer, sizeof(trailer) - 1, HTTP1_BAD_TRAILER, 62},
	};
	struct run r = {.kind = REQ};
	struct note n;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		run_whole(&n, &r, t[i].s, t[i].len);
		assert_int_equal(n.bad, t[i].bad);
		assert_int_equal(n.bad_offset, t[i].offset);
		assert_invariant(&r, t[i].s, t[i].len);
	}
}

static uint32_t repeat(char *out, const char *unit, uint32_t times)
{
	uint32_t n = (uint32_t)strlen(unit);

	for (uint32_t i = 0; i < times; i++)
		memcpy(out + i * n, unit, n);
	return n * times;
}

/* Streams of this shape: first, unit as often as told, last. */
static uint32_t stream(char *out, const char *first, const char *unit, uint32_t times,
		       const char *last)
{
	uint32_t n = repeat(out, first, 1);

	n += repeat(out + n, unit, times);
	return n + repeat(out + n, last, 1);
}

static void limits(void **state)
{
	char *s = malloc(4 * HTTP1_HEAD_MAX);
	struct run r = {.kind = REQ};
	struct note t;
	uint32_t n;

	n = stream(s, GET, "A: b\r\n", HTTP1_FIELDS_MAX - 1, "\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_OK);
	assert_int_equal(t.m[0].nfields, HTTP1_FIELDS_MAX);
	n = stream(s, GET, "A: b\r\n", HTTP1_FIELDS_MAX, "\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_BAD_TOO_MANY_FIELDS);
	assert_invariant(&r, s, n);

	n = stream(s, GET "A: ", "b", HTTP1_HEAD_MAX - 25 - 3 - 4, "\r\n\r\n");
	assert_int_equal(n, HTTP1_HEAD_MAX);
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_OK);
	n = stream(s, GET "A: ", "b", HTTP1_HEAD_MAX - 25 - 3 - 3, "\r\n\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_BAD_HEAD_TOO_LARGE);
	assert_int_equal(t.bad_offset, HTTP1_HEAD_MAX);
	n = stream(s, "GET /", "b", HTTP1_HEAD_MAX, "");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_BAD_HEAD_TOO_LARGE);
	r.head_cap = 100; /* a smaller buffer is a smaller limit */
	n = stream(s, GET, "A: b\r\n", 30, "\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_BAD_HEAD_TOO_LARGE);
	assert_int_equal(t.bad_offset, 100);
	assert_invariant(&r, s, n);
	r.head_cap = 0;

	n = stream(s, POST TE "\r\n1;", "b", HTTP1_CHUNK_LINE_MAX - 3, "\r\nx\r\n0\r\n\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_OK);
	n = stream(s, POST TE "\r\n1;", "b", HTTP1_CHUNK_LINE_MAX - 2, "\r\nx\r\n0\r\n\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_BAD_CHUNK);
	n = stream(s, POST TE "\r\n0\r\n", "A: bb\r\nA: b\r\nA:\r\n", HTTP1_TRAILER_MAX / 16,
		   "\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_BAD_TRAILER);
	assert_int_equal(t.bad_offset, 59 + HTTP1_TRAILER_MAX);
	n = stream(s, POST TE "\r\n0\r\n", "A: b\r\nA:c\r\n", 1, "\r\n");
	run_whole(&t, &r, s, n);
	assert_int_equal(t.bad, HTTP1_OK);
	free(s);
}

/* A pipeline with everything in it, cut in many ways. */
static void pipeline(void **state)
{
	static const char q[] =
		GET "\r\n" POST "Content-Length: 10\r\n\r\n0123456789" POST TE
		    "\r\n4;x=\"y\"\r\nabcd\r\nA\r\n0123456789\r\n0\r\nT: u\r\nV: w\r\n\r\n\r\n"
		    "HEAD /x HTTP/1.0\r\n\r\n" GET "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
	struct run r = {.kind = REQ};
	struct note t;

	run_whole(&t, &r, q, sizeof(q) - 1);
	assert_int_equal(t.bad, HTTP1_OK);
	assert_int_equal(t.n, 5);
	assert_int_equal(t.m[1].body, 10);
	assert_int_equal(t.m[2].body, 14);
	assert_int_equal(t.m[2].trailer, 12);
	assert_int_equal(t.m[2].framing, 9 + 2 + 3 + 2 + 3 + 2);
	assert_int_equal(t.skipped, 2);
	assert_true(t.m[4].upgrade);
	assert_true(t.between);
	assert_invariant(&r, q, sizeof(q) - 1);
}

static void unexpected_response(void **state)
{
	static const uint8_t s[] = H11 "200 OK\r\nContent-Length: 0\r\n\r\n";
	struct http1 p;
	struct http1_event ev;
	char buf[256];

	http1_init(&p, RSP, buf, sizeof(buf));
	http1_step(&p, s, sizeof(s) - 1, false, &ev);
	assert_int_equal(ev.type, HTTP1_BAD);
	assert_int_equal(p.bad, HTTP1_BAD_UNEXPECTED_RESPONSE);
	http1_init(&p, RSP, buf, sizeof(buf));
	http1_expect(&p, false, false, false);
	http1_step(&p, s, sizeof(s) - 1, false, &ev);
	assert_int_equal(ev.type, HTTP1_HEAD);
	assert_int_equal(ev.len, sizeof(s) - 1);
	http1_step(&p, s, 0, false, &ev);
	assert_int_equal(ev.type, HTTP1_END);
	assert_true(http1_between(&p));
	http1_step(&p, s, 0, true, &ev);
	assert_int_equal(ev.type, HTTP1_NEED_MORE);
	http1_step(&p, s, 1, false, &ev);
	assert_int_equal(ev.type, HTTP1_BAD);
	http1_step(&p, s, 1, false, &ev);
	assert_int_equal(ev.type, HTTP1_BAD);
}

static void tunnel_is_for_good(void **state)
{
	static const uint8_t s[] = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03";
	struct http1 p;
	struct http1_event ev;
	char buf[256];

	http1_init(&p, REQ, buf, sizeof(buf));
	http1_step(&p, s, sizeof(s) - 1, false, &ev);
	assert_int_equal(ev.type, HTTP1_HEAD);
	assert_int_equal(ev.len, sizeof(s) - 3);
	assert_true(p.head.method_connect);
	http1_step(&p, s + ev.len, 2, false, &ev);
	assert_int_equal(ev.type, HTTP1_END);
	http1_set_tunnel(&p);
	for (int i = 0; i < 3; i++) {
		http1_step(&p, s, 2, i == 2, &ev);
		assert_int_equal(ev.type, HTTP1_TUNNEL);
		assert_int_equal(ev.len, 0);
	}
}

/* A long body is one event for all there is of it. */
static void body_is_not_walked(void **state)
{
	static const char head[] = H11 "200 OK\r\nContent-Length: 4000000000\r\n\r\n";
	uint8_t some[1] = {0};
	struct http1 p;
	struct http1_event ev;
	char buf[256];

	http1_init(&p, RSP, buf, sizeof(buf));
	http1_expect(&p, false, false, false);
	http1_step(&p, (const uint8_t *)head, sizeof(head) - 1, false, &ev);
	assert_int_equal(ev.type, HTTP1_HEAD);
	http1_step(&p, some, 3999999999u, false, &ev); /* reads none of it */
	assert_int_equal(ev.type, HTTP1_BODY);
	assert_int_equal(ev.len, 3999999999u);
	http1_step(&p, some, 100, false, &ev);
	assert_int_equal(ev.len, 1);
	http1_step(&p, some, 0, false, &ev);
	assert_int_equal(ev.type, HTTP1_END);
	assert_int_equal(p.body_octets, 4000000000u);
	assert_int_equal(p.msg_octets, 4000000000u + sizeof(head) - 1);
}

static int setup(void **state)
{
	srand(2);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_streams),	      cmocka_unit_test(refused_streams),
		cmocka_unit_test(refused_nul),	      cmocka_unit_test(limits),
		cmocka_unit_test(pipeline),	      cmocka_unit_test(unexpected_response),
		cmocka_unit_test(tunnel_is_for_good), cmocka_unit_test(body_is_not_walked),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
