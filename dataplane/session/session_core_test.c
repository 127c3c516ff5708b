/* SPDX-License-Identifier: BSD-3-Clause */
/* HTTP messages for a service of the dialect core (RFC 4236): what it hears of heads, and the request's with a response. */
#include "session_test_world.h"

#include <string.h>

static const char rules[] =
	"  - {name: pass, match: {protocol: http, kind: request, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: s, match: {protocol: http, path: {prefix: /s}}, action: adapt, service: s}\n"
	"  - {name: u, match: {protocol: http, path: {prefix: /u}}, action: adapt, service: u}\n"
	"  - {name: response, match: {protocol: http, kind: response, path: {prefix: /pass}}, action: adapt, service: u}\n";

static void send_text(unsigned side, const char *text)
{
	world_send(side, text, (uint32_t)strlen(text));
	world_settle();
}
#define client(text) send_text(0, text)
#define server(text) send_text(1, text)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define POST(path, coding) "POST " path " HTTP/1.1\r\n" coding "Host: a.example\r\n\r\n"
#define OK(coding) "HTTP/1.1 200 OK\r\nServer: b\r\n" coding "\r\n"

static void heard(unsigned t, const char *aux, const char *text)
{
	world.txn[t].aux[world.txn[t].aux_len] = '\0';
	assert_string_equal(world.txn[t].aux, aux);
	world.txn[t].text[world.txn[t].len] = '\0';
	assert_string_equal(world.txn[t].text, text);
}

/* Section 3.7: without Transfer-Encoding to the service, with it to the next hop. */
static void test_transfer_coding(void **state)
{
	client(POST("/u", CHUNKED) "2\r\nab\r\n0\r\n\r\n");
	heard(0, "", POST("/u", "") "ab");
	assert_string_equal(world_got(1), POST("/u", CHUNKED) "2\r\nab\r\n0\r\n\r\n");
	server(OK(CHUNKED) "3\r\nxyz\r\n0\r\n\r\n");
	heard(1, POST("/u", ""), OK("") "xyz");
	assert_string_equal(world_got(0), OK(CHUNKED) "3\r\nxyz\r\n0\r\n\r\n");
	client(POST("/s", CHUNKED) "2\r\nab\r\n0\r\n\r\n"); /* the draft says nothing of it */
	heard(2, "", POST("/s", CHUNKED) "ab");
	assert_string_equal(world_got(1), POST("/s", CHUNKED) "2\r\nab\r\n0\r\n\r\n");
}

/* Section 3.2.3: each response has its own request's head before it, whatever rule that request had. */
static void test_request_heads_pipelined(void **state)
{
	client(GET("/u/1") GET("/pass/2") GET("/u/3"));
	assert_string_equal(world_got(1), GET("/u/1") GET("/pass/2") GET("/u/3"));
	server(OK("Content-Length: 1\r\n") "1" OK("Content-Length: 1\r\n") "2" OK("Content-Length: 1\r\n") "3");
	heard(2, GET("/u/1"), OK("Content-Length: 1\r\n") "1");
	heard(3, GET("/pass/2"), OK("Content-Length: 1\r\n") "2");
	heard(4, GET("/u/3"), OK("Content-Length: 1\r\n") "3");
	assert_string_equal(world_got(0), OK("Content-Length: 1\r\n") "1" OK("Content-Length: 1\r\n") "2" OK(
						  "Content-Length: 1\r\n") "3");
}

/* Nothing of it stays when the flow ends before the responses. */
static void test_given_up(void **state)
{
	client(GET("/u/1") GET("/u/2"));
	server(OK("Content-Length: 5\r\n") "1");
}

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.rules = 0;
	world.split = 0;
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
		CASE(test_transfer_coding),
		CASE(test_request_heads_pipelined),
		CASE(test_given_up),
	};

	world_services = "  - {name: u, address: \"tcp:127.0.0.1:4039\", dialect: core, aux-parts: [request-header]}\n";
	return world_run(tests, 1023, 4095, rules, NULL);
}

int main(void)
{
	return world_main(run);
}
