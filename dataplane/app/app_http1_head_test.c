/* SPDX-License-Identifier: BSD-3-Clause */
/* What a head says, and writing it anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "app/app_http1_priv.h"

static struct http1_head head;

static int parse(enum http1_kind kind, const char *s)
{
	return http1_parse_head(&head, kind, s, (uint32_t)strlen(s));
}

static void assert_span(struct http1_span s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(head.buf + s.off, expected, s.len);
}

static void request_head(void **state)
{
	static const char s[] =
		"POST /a/b?c=d HTTP/1.1\r\nHost:  www.example.org:8080 \r\nX-Empty:\r\n"
		"Expect: 100-Continue\r\nUpgrade: websocket\r\nConnection: x, upgrade\r\n"
		"Content-Length: 12\r\n\r\nbody";

	assert_int_equal(parse(HTTP1_REQUEST, s), sizeof(s) - 1 - 4);
	assert_span(head.method, "POST");
	assert_span(head.target, "/a/b?c=d");
	assert_span(head.path, "/a/b?c=d");
	assert_span(head.host, "www.example.org:8080");
	assert_span(head.start_line, "POST /a/b?c=d HTTP/1.1");
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.nfields, 6);
	assert_span(head.field[0].line, "Host:  www.example.org:8080 \r\n");
	assert_span(head.field[1].name, "X-Empty");
	assert_span(head.field[1].value, "");
	assert_true(head.expect_continue);
	assert_true(head.upgrade);
	assert_true(head.keep_alive);
	assert_true(head.has_content_length);
	assert_int_equal(head.content_length, 12);
	assert_int_equal(head.body, HTTP1_BODY_LENGTH);
	assert_ptr_equal(http1_find(&head, "x-eMPTY"), &head.field[1]);
	assert_null(http1_find(&head, "X-Empt"));
}

static void targets(void **state)
{
	static const struct {
		const char *s, *host, *path;
	} t[] = {
		{"GET http://a.b:81/x?y HTTP/1.1\r\nHost: other\r\n\r\n", "a.b:81", "/x?y"},
		{"GET http://a.b HTTP/1.1\r\nHost: other\r\n\r\n", "a.b", ""},
		{"GET http://a.b?q HTTP/1.1\r\nHost: other\r\n\r\n", "a.b", "?q"},
		{"GET http://u:p@a.b/ HTTP/1.1\r\nHost: other\r\n\r\n", "a.b", "/"},
		{"GET http://[::1]:80/ HTTP/1.1\r\nHost: other\r\n\r\n", "[::1]:80", "/"},
		{"CONNECT a.b:443 HTTP/1.1\r\nHost: other\r\n\r\n", "a.b:443", ""},
		{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "h", "*"},
		{"GET //a/b HTTP/1.1\r\nHost: h\r\n\r\n", "h", "//a/b"},
		{"GET /\xc3\xbc HTTP/1.0\r\n\r\n", "", "/\xc3\xbc"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(parse(HTTP1_REQUEST, t[i].s), strlen(t[i].s));
		assert_span(head.host, t[i].host);
		assert_span(head.path, t[i].path);
	}
}

static void response_head(void **state)
{
	assert_true(parse(HTTP1_RESPONSE, "HTTP/1.0 301 Moved \xc3\xbc  far\r\nA: b\r\n\r\n") > 0);
	assert_int_equal(head.status, 301);
	assert_int_equal(head.minor, 0);
	assert_span(head.reason, "Moved \xc3\xbc  far");
	assert_false(head.keep_alive);
	assert_int_equal(head.body, HTTP1_BODY_CLOSE);
	assert_true(parse(HTTP1_RESPONSE, "HTTP/1.1 204\r\n\r\n") > 0);
	assert_span(head.reason, "");
	assert_true(parse(HTTP1_RESPONSE, "HTTP/1.1 103 E\r\n\r\n") > 0);
	assert_true(head.interim);
	assert_true(parse(HTTP1_RESPONSE, "HTTP/1.1 101 S\r\n\r\n") > 0);
	assert_false(head.interim);
}

/* HTTP/1.0 has neither upgrades nor expectations. */
static void old_request(void **state)
{
	assert_true(parse(HTTP1_REQUEST, "GET / HTTP/1.0\r\nUpgrade: a\r\nConnection: upgrade\r\n"
					 "Expect: 100-continue\r\n\r\n") > 0);
	assert_false(head.upgrade);
	assert_false(head.expect_continue);
}

static void partial_and_bad(void **state)
{
	static const char s[] = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";

	for (uint32_t n = 0; n < sizeof(s) - 1; n++)
		assert_int_equal(http1_parse_head(&head, HTTP1_RESPONSE, s, n), 0);
	assert_int_equal(parse(HTTP1_RESPONSE, "SMTP"), -HTTP1_BAD_START_LINE);
	assert_int_equal(parse(HTTP1_RESPONSE, "HTTP/1.1 200 OK\nA"), -HTTP1_BAD_BARE_LF);
	assert_int_equal(parse(HTTP1_RESPONSE, "HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
			 -HTTP1_BAD_SPACE_BEFORE_COLON);
	assert_int_equal(parse(HTTP1_REQUEST, "\r\nGET / HTTP/1.1\r\n\r\n"), -HTTP1_BAD_START_LINE);
	assert_int_equal(parse(HTTP1_REQUEST, "GET / HTTP/1.1\r\n\r\n"), -HTTP1_BAD_HOST);
}

/* A service's head may contradict itself about framing: the writer replaces that. */
static void conflicting_framing(void **state)
{
	static const char s[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: b\r\nContent-Length: 2\r\n"
		"Transfer-Encoding: gzip, chunked\r\nTrailer: X\r\nC: d\r\n\r\n";
	char out[512];
	int n;

	assert_true(parse(HTTP1_RESPONSE, s) > 0);
	assert_false(head.has_content_length);
	n = http1_write_head(&head, HTTP1_FRAME_LENGTH, 18446744073709551615u, false, out,
			     sizeof(out));
	out[n] = '\0';
	assert_string_equal(out,
			    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\nA: b\r\n"
			    "C: d\r\n\r\n");
	n = http1_write_head(&head, HTTP1_FRAME_CHUNKED, 0, false, out, sizeof(out));
	out[n] = '\0';
	assert_string_equal(
		out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\nTrailer: X\r\n"
		     "C: d\r\n\r\n");
	n = http1_write_head(&head, HTTP1_FRAME_CLOSE, 0, false, out, sizeof(out));
	out[n] = '\0';
	assert_string_equal(out, "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nConnection: close\r\n\r\n");
	n = http1_write_head(&head, HTTP1_FRAME_KEEP, 0, false, out, sizeof(out));
	out[n] = '\0';
	assert_string_equal(out, s);
}

static void write_connection(void **state)
{
	static const char s[] =
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, TE , close\r\n"
		"Keep-Alive: timeout=5\r\nconnection: keep-alive\r\nTE: trailers\r\n\r\n";
	char out[512];
	int n;

	assert_true(parse(HTTP1_REQUEST, s) > 0);
	n = http1_write_head(&head, HTTP1_FRAME_KEEP, 0, true, out, sizeof(out));
	out[n] = '\0';
	assert_string_equal(out, "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n"
				 "Connection: close\r\n\r\n");
	n = http1_write_head(&head, HTTP1_FRAME_LENGTH, 0, false, out, sizeof(out));
	out[n] = '\0';
	assert_non_null(strstr(out, "timeout=5\r\nconnection: keep-alive\r\nTE: trailers\r\n"
				    "Content-Length: 0\r\n\r\n"));
	assert_int_equal(http1_write_head(&head, HTTP1_FRAME_CLOSE, 0, false, out, sizeof(out)),
			 -EINVAL);
}

static void write_old_version(void **state)
{
	char out[512];
	int n;

	assert_true(parse(HTTP1_RESPONSE, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n") > 0);
	n = http1_write_head(&head, HTTP1_FRAME_CHUNKED, 0, false, out, sizeof(out));
	out[n] = '\0';
	assert_string_equal(out, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n");
	assert_true(parse(HTTP1_REQUEST, "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n") > 0);
	assert_int_equal(http1_write_head(&head, HTTP1_FRAME_CHUNKED, 0, false, out, sizeof(out)),
			 -EINVAL);
}

static void write_without_room(void **state)
{
	static const char s[] = "HTTP/1.1 200 OK\r\nA: b\r\nConnection: x\r\n\r\n";
	char *exact;
	int n;

	assert_true(parse(HTTP1_RESPONSE, s) > 0);
	exact = malloc(512);
	n = http1_write_head(&head, HTTP1_FRAME_LENGTH, 77, true, exact, 512);
	assert_true(n > 0);
	for (int cap = n; cap >= 0; cap--) {
		free(exact);
		exact = malloc((size_t)cap + (cap == 0));
		assert_int_equal(
			http1_write_head(&head, HTTP1_FRAME_LENGTH, 77, true, exact, (uint32_t)cap),
			cap == n ? n : -ENOSPC);
	}
	free(exact);
}

/* What is written is read as meant, for every framing. */
static void round_trip(void **state)
{
	static const char *const s[] = {
		"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 3\r\nDate: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 500 E\r\nConnection: keep-alive\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
	};
	static const uint8_t body[] = {[HTTP1_FRAME_LENGTH] = HTTP1_BODY_LENGTH,
				       [HTTP1_FRAME_CHUNKED] = HTTP1_BODY_CHUNKED,
				       [HTTP1_FRAME_CLOSE] = HTTP1_BODY_CLOSE};
	char out[512], buf[512];

	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		for (enum http1_framing f = HTTP1_FRAME_LENGTH; f <= HTTP1_FRAME_CLOSE; f++) {
			struct http1_event ev;
			struct http1 p;
			int n;

			assert_true(parse(HTTP1_RESPONSE, s[i]) > 0);
			n = http1_write_head(&head, f, 42, false, out, sizeof(out));
			http1_init(&p, HTTP1_RESPONSE, buf, sizeof(buf));
			http1_expect(&p, false, false, false);
			http1_step(&p, (const uint8_t *)out, (uint32_t)n, false, &ev);
			assert_int_equal(ev.type, HTTP1_HEAD);
			assert_int_equal(ev.len, n);
			assert_int_equal(p.head.body, body[f]);
			assert_int_equal(p.head.keep_alive, f != HTTP1_FRAME_CLOSE);
			if (f == HTTP1_FRAME_LENGTH)
				assert_int_equal(p.head.content_length, 42);
		}
	}
}

static void chunk_sizes(void **state)
{
	static const uint64_t v[] = {1,	  9,	    15,		16,	     255,
				     256, 0xabcdef, 0xffffffff, 0x100000000, 0xffffffffffffffff};
	char out[HTTP1_CHUNK_SIZE_TEXT + 1], expected[32];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		out[http1_write_chunk_size(out, v[i])] = '\0';
		snprintf(expected, sizeof(expected), "%llx\r\n", (unsigned long long)v[i]);
		assert_string_equal(out, expected);
	}
}

/* The search by eight finds the same octet as one by one: every octet at every place, with tabs and
 * high octets about. */
static void text_search(void **state)
{
	char s[40];

	for (uint32_t len = 0; len <= sizeof(s); len++) {
		for (uint32_t at = 0; at < len; at++) {
			for (int c = 0; c < 256; c++) {
				memset(s, 'x', sizeof(s));
				s[(at + 3) % sizeof(s)] = '\t';
				s[(at + 9) % sizeof(s)] = (char)0xff;
				s[at] = (char)c;
				assert_int_equal(http1_text_end(s, 0, len),
						 http1_is((char)c, C_TEXT) ? len : at);
			}
		}
	}
}

static void texts(void **state)
{
	for (enum http1_bad b = HTTP1_OK; b < HTTP1_BAD_MAX; b++)
		assert_true(strlen(http1_bad_text(b)) > 5);
	assert_string_equal(http1_bad_text(HTTP1_BAD_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_head),	      cmocka_unit_test(targets),
		cmocka_unit_test(response_head),      cmocka_unit_test(old_request),
		cmocka_unit_test(partial_and_bad),    cmocka_unit_test(conflicting_framing),
		cmocka_unit_test(write_connection),   cmocka_unit_test(write_old_version),
		cmocka_unit_test(write_without_room), cmocka_unit_test(round_trip),
		cmocka_unit_test(chunk_sizes),	      cmocka_unit_test(texts),
		cmocka_unit_test(text_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
