/* SPDX-License-Identifier: BSD-3-Clause */
/* HTTP messages by RFC 4236: what a service of the dialect core hears of heads, the request's with a response, and interim
 * responses. */
#include "session_test_world.h"

#include <string.h>

static const char rules[] =
	"  - {name: pass, match: {protocol: http, kind: request, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: s, match: {protocol: http, path: {prefix: /s}}, action: adapt, service: s}\n"
	"  - {name: u, match: {protocol: http, path: {prefix: /u}}, action: adapt, service: u}\n"
	"  - {name: response, match: {protocol: http, kind: response, path: {prefix: /pass}}, action: adapt, service: u}\n";

static const char interim_rules[] =
	"  - {name: b, match: {protocol: http, kind: response, status: [103, 599], path: {prefix: /b}}, action: block}\n"
	"  - {name: e, match: {protocol: http, kind: response, status: 100-199, path: {prefix: /e}}, action: adapt, service: s,\n"
	"     on-failure: answer}\n"
	"  - {name: o, match: {protocol: http, kind: response, path: {prefix: /o}}, action: adapt, service: s}\n";

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

/* --- interim responses: RFC 4236 section 3.5 ------------------------------------------------------------------------ */

#define HINTS "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define FINAL "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void test_interim_adapted(void **state)
{
	client(GET("/e"));
	server(HINTS);
	heard(0, "", HINTS);
	assert_string_equal(world_got(0), HINTS);
	server(CONTINUE HINTS FINAL);
	heard(1, "", CONTINUE);
	heard(2, "", HINTS);
	assert_string_equal(world_got(0), CONTINUE HINTS FINAL);
	assert_int_equal(world.txns, 3); /* the final one is no matter of that rule */
	client(GET("/e"));
	server(FINAL);
	assert_string_equal(world_got(0), FINAL); /* the exchange was kept for it */
}

/* A rule whose status does not name them is not about them; what would answer in their place is left out. */
static void test_interim_left_alone(void **state)
{
	client(GET("/o"));
	server(HINTS FINAL);
	heard(0, "", FINAL);
	assert_string_equal(world_got(0), HINTS FINAL);
	client(GET("/b"));
	server(HINTS FINAL);
	assert_string_equal(world_got(0), HINTS FINAL);
	assert_int_equal(world.txns, 1);
}

/* Nothing but an interim one can take its place: no page of ours, no final one of the service. */
static void test_interim_fails(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/e"));
	server(HINTS);
	world_ended(0); /* the service removes it */
	world_settle();
	assert_string_equal(world_got(0), "");
	server(FINAL);
	assert_string_equal(world_got(0), FINAL);
	client(GET("/e"));
	server(HINTS);
	world_am_start(1, 2, -1, false);
	world_data(1, 2, FINAL);
	world_settle();
	assert_string_equal(world_got(0), "");
	assert_true(world.end[0].reset);
}

static void test_interim_answer_is_a_reset(void **state)
{
	world.service = SERVICE_MANUAL;
	client(GET("/e"));
	server(HINTS);
	world_failed(0, CALLOUT_CAUSE_LOST);
	world_settle();
	assert_string_equal(world_got(0), "");
	assert_true(world.end[0].reset);
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

	const struct CMUnitTest interim[] = {
		CASE(test_interim_adapted),
		CASE(test_interim_left_alone),
		CASE(test_interim_fails),
		CASE(test_interim_answer_is_a_reset),
	};

	world_services = "  - {name: u, address: \"tcp:127.0.0.1:4039\", dialect: core, aux-parts: [request-header]}\n";
	return world_run(tests, 1023, 4095, rules, NULL) + world_run(interim, 1023, 4095, interim_rules, NULL);
}

int main(void)
{
	return world_main(run);
}
