/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of responses accepts what is right in any pieces, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pattern.h"
#include "response.h"

#include <errno.h>
#include <string.h>

#define HEAD "HTTP/1.1 200 OK\r\nServer: x\r\n"

/* Feeds text in pieces; ended: the connection ends behind it. 0 whole, 1 unfinished, -EBADMSG. */
static int feed(const char *text, const char *want, size_t piece, int ended)
{
	struct response r;
	size_t len = strlen(text), at = 0;

	response_begin(&r, (const uint8_t *)want, strlen(want));
	while (at < len && r.state != RESPONSE_DONE) {
		size_t n = len - at < piece ? len - at : piece;
		ssize_t used = response_feed(&r, (const uint8_t *)text + at, n);

		if (used < 0)
			return -EBADMSG;
		assert_true((size_t)used == n || r.state == RESPONSE_DONE);
		at += (size_t)used;
	}
	if (ended && response_end(&r))
		return -EBADMSG;
	return r.state == RESPONSE_DONE ? 0 : 1;
}

static void right_ones(void **state)
{
	for (size_t piece = 1; piece < 200; piece++) {
		assert_int_equal(feed(HEAD "Content-Length: 5\r\n\r\nhello", "hello", piece, 0), 0);
		assert_int_equal(feed(HEAD "content-length:0\r\n\r\n", "", piece, 0), 0);
		assert_int_equal(feed(HEAD
				      "Transfer-Encoding: "
				      "chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nT: x\r\n\r\n",
				      "hello", piece, 0),
				 0);
		assert_int_equal(feed(HEAD "\r\nhello", "hello", piece, 1), 0);
	}
}

static void wrong_ones(void **state)
{
	static const char *const text[] = {
		"HTTP/1.1 502 Bad\r\n",
		"HTTP/1.0 200 OK\r\n",
		HEAD "Content-Length: 4\r\n\r\n",
		HEAD "Content-Length: 5x\r\n\r\n",
		HEAD "Content-Length: 5\r\n\r\nhellO",
		HEAD "Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\n6\r\nhelloo\r\n",
		HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhexx\r\n",
		HEAD "no colon\r\n",
		HEAD "\r\nhellohello",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		for (size_t piece = 1; piece < 100; piece += 7)
			assert_int_equal(feed(text[i], "hello", piece, 0), -EBADMSG);
}

static void cut_ones(void **state)
{
	assert_int_equal(feed("", "hello", 9, 1), -EBADMSG);
	assert_int_equal(feed(HEAD, "hello", 9, 1), -EBADMSG);
	assert_int_equal(feed(HEAD "Content-Length: 5\r\n\r\nhell", "hello", 9, 0), 1);
	assert_int_equal(feed(HEAD "Content-Length: 5\r\n\r\nhell", "hello", 9, 1), -EBADMSG);
	assert_int_equal(feed(HEAD "\r\nhell", "hello", 9, 1), -EBADMSG);
	assert_int_equal(
		feed(HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", 9, 1),
		-EBADMSG);
}

static void pattern_of_offset(void **state)
{
	uint8_t whole[4096], part[100];

	pattern_fill(7, 0, whole, sizeof(whole));
	for (size_t at = 0; at + sizeof(part) <= sizeof(whole); at += 8) {
		pattern_fill(7, at, part, sizeof(part));
		assert_memory_equal(part, whole + at, sizeof(part));
	}
	pattern_fill(8, 0, part, sizeof(part));
	assert_memory_not_equal(part, whole, sizeof(part));
	assert_memory_not_equal(whole, whole + 2048, 2048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_ones),
		cmocka_unit_test(wrong_ones),
		cmocka_unit_test(cut_ones),
		cmocka_unit_test(pattern_of_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
