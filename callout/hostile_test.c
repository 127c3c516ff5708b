/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processors that mean no good, over real sockets: whatever one says, or does not read, memory stays bounded, the others
 * are served, and the log stays short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "callout/peer.h"
#include "callout/services/services.h"

#define MEMORY_MAX (64u << 20) /* octets that a connection may make the loop hold, buffers kept for reuse included */
#define RESPONSE_META "Protocol: HTTP/1.1\r\nKind: response\r\n"
#define BEGIN_CORE "CS;\r\nNO ();\r\nSGC 1 ({\"21:urn:opes:service:echo\"});\r\n"
#define BEGIN_DRAFT "connection-start;\r\nconnection-service {\"21:urn:opes:service:echo\"};\r\n"

struct world {
	struct oc_loop *loop;
	struct peer good; /* another processor, which has to be served all the time */
	int fd;
	unsigned lines;
	char log[65536];
	size_t heap;
	uint64_t since;
};

static void note(void *ctx, const char *line)
{
	struct world *w = ctx;
	size_t n = strlen(w->log);

	w->lines++;
	if (n + strlen(line) + 2 < sizeof(w->log))
		sprintf(w->log + n, "%s\n", line);
}

static size_t heap(void)
{
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* A TCP connection to the loop's listener. */
static int dial(struct world *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_port = htons(oc_loop_port(w->loop, 0));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++)
		oc_loop_step(w->loop, 0);
	return fd;
}

static void open_(struct world *w, const struct oc_loop_config *given)
{
	static const char *const uris[] = {"urn:opes:service:echo", NULL};
	struct oc_loop_config cfg = given ? *given : OC_LOOP_CONFIG_DEFAULT;
	struct oc_error err;

	memset(w, 0, sizeof(*w));
	cfg.log = note;
	cfg.log_ctx = w;
	w->loop = oc_loop_new(&cfg);
	assert_int_equal(oc_loop_service(w->loop, &service_echo, NULL, NULL, 0, &err), 0);
	assert_int_equal(oc_loop_listen(w->loop, "tcp:127.0.0.1:0", &err), 0);
	peer_open_core(&w->good, w->loop, uris, false);
	w->fd = dial(w);
	w->heap = heap();
	w->since = now_us();
}

static void close_(struct world *w)
{
	close(w->fd);
	peer_close(&w->good);
	oc_loop_free(w->loop);
}

/* Some lines about what begins and ends, and one a second about rules. */
static bool log_is_short(const struct world *w)
{
	return w->lines <= 8 + (now_us() - w->since) / 1000000;
}

static bool within(const struct world *w)
{
	size_t now = heap();

	return now < w->heap + MEMORY_MAX;
}

/* The other processor gets its answer in a bounded number of rounds. */
static void good_is_served(struct world *w)
{
	static const char text[] = "HTTP/1.1 200 OK\r\n\r\nhello";
	struct peer_message m = {.meta = RESPONSE_META, .bytes = (const uint8_t *)text, .len = 24, .head_len = 19,
				 .sizep = 24, .chunk = 10};
	struct peer_txn t;

	assert_int_equal(peer_begin(&w->good, &t, "urn:opes:service:echo", &m), 0);
	for (int i = 0; i < 200 && !t.over; i++) {
		peer_feed(&t, &w->good);
		peer_turn(&w->good);
	}
	assert_true(t.over);
	assert_int_equal(t.am[0].data.len, 24);
	peer_txn_free(&t);
}

/* As much of text as the socket takes; the octets taken. */
static size_t push(struct world *w, const char *text, size_t len)
{
	ssize_t n = send(w->fd, text, len, MSG_NOSIGNAL);

	return n > 0 ? (size_t)n : 0;
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(push(w, text, strlen(text)), strlen(text));
	for (int i = 0; i < 3; i++)
		oc_loop_step(w->loop, 0);
}

/* Says one message over and over and reads nothing; ends when the loop has not taken anything for a while. */
static uint64_t flood(struct world *w, const char *message, unsigned rounds)
{
	size_t n = strlen(message), copies = 60000 / n + 1, at = 0, len = n * copies;
	char *text = malloc(len);
	uint64_t taken = 0;
	unsigned stuck = 0;

	for (size_t i = 0; i < copies; i++)
		memcpy(text + i * n, message, n);
	while (rounds-- && stuck < 50) {
		size_t k = push(w, text + at, len - at);

		stuck = k ? 0 : stuck + 1;
		taken += k;
		at = (at + k) % len;
		oc_loop_step(w->loop, 0);
		assert_true(within(w));
		if (rounds % 100 == 0)
			good_is_served(w);
	}
	while (at % n) { /* not to end in the middle */
		size_t k = push(w, text + at, n - at % n);

		at += k;
		if (!k && !stuck--)
			break;
		oc_loop_step(w->loop, 0);
	}
	free(text);
	return taken;
}

/* What has been said to us so far begins with, or holds, this. */
static bool was_told(struct world *w, const char *what)
{
	static char got[1 << 20];
	size_t n = 0;

	for (int i = 0; i < 200; i++) {
		ssize_t r = recv(w->fd, got + n, sizeof(got) - 1 - n, 0);

		n += r > 0 ? (size_t)r : 0;
		if (n == sizeof(got) - 1)
			n = 0;
		oc_loop_step(w->loop, 0);
	}
	got[n] = '\0';
	return strstr(got, what);
}

static void test_questions_unread(void **state)
{
	static const char *const ask[] = {"PQ;\r\n", "PQ 5;\r\n", "AQ {x};\r\n", "NO ({x});\r\n"};
	struct world w;

	for (size_t i = 0; i < 4; i++) {
		open_(&w, NULL);
		say(&w, BEGIN_CORE);
		flood(&w, ask[i], 3000);
		good_is_served(&w);
		assert_true(log_is_short(&w));
		close_(&w);
	}
	open_(&w, NULL);
	say(&w, BEGIN_DRAFT);
	flood(&w, "are-you-there 1;\r\n", 3000);
	good_is_served(&w);
	close_(&w);
}

/* Every one of these makes us say more than it says itself. */
static void test_faults_unread(void **state)
{
	static const char *const bad[] = {"DWM 77;\r\n", "AMS 77;\r\n", "TS 1 9;\r\n", "DUM 77 5;\r\n"};
	struct world w;

	for (size_t i = 0; i < 4; i++) {
		open_(&w, NULL);
		say(&w, BEGIN_CORE);
		flood(&w, bad[i], 3000);
		good_is_served(&w);
		assert_true(log_is_short(&w)); /* one a second, however many there are */
		close_(&w);
	}
}

/* Unsolicited messages are ignored, as many as there are; nothing is kept of them. */
static void test_unsolicited(void **state)
{
	static const char *const noise[] = {"PA;\r\n", "PR;\r\n", "AA true;\r\n", "CS;\r\n", "X-unknown {a (b,c)};\r\n", "DUY 1 0 5;\r\n"};
	struct world w;

	for (size_t i = 0; i < 6; i++) {
		open_(&w, NULL);
		say(&w, BEGIN_CORE);
		assert_true(flood(&w, noise[i], 500) > 1000000);
		assert_true(log_is_short(&w));
		say(&w, "PQ;\r\n");
		assert_true(was_told(&w, "PA;"));
		close_(&w);
	}
}

/* RFC 4037 section 13: groups are bounded in number and in size */
static void test_group_flood(void **state)
{
	struct world w;
	char text[70000];

	open_(&w, NULL);
	say(&w, BEGIN_CORE);
	for (unsigned i = 2; i < 300; i++) {
		int n = sprintf(text, "SGC %u ({\"5:a:b:c\"});\r\n", i);

		push(&w, text, (size_t)n);
		oc_loop_step(w.loop, 0);
	}
	assert_true(was_told(&w, "CE {400 "));
	good_is_served(&w);
	close_(&w);
	open_(&w, NULL);
	say(&w, BEGIN_CORE);
	for (unsigned i = 2; i < 60; i++) {
		int n = sprintf(text, "SGC %u ({\"60000:", i);
		size_t at = 0;

		memset(text + n, 'a', 60000);
		n += 60000;
		n += sprintf(text + n, "\"});\r\n");
		for (int k = 0; k < 50 && at < (size_t)n; k++) {
			at += push(&w, text + at, (size_t)n - at);
			oc_loop_step(w.loop, 0);
		}
	}
	assert_true(within(&w));
	assert_true(was_told(&w, "CE {400 ")); /* they were too much together */
	good_is_served(&w);
	close_(&w);
}

/* Malformed in every way of size: the connection ends with a failure, and nothing is allocated for what is only announced. */
static void test_gigantic(void **state)
{
	static const char *const bad[] = {
		"DUM 1 0\r\n2147483647:", "TS 1 1\r\nA: \"2147483647:", "x {{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", "NO (x,x", "SGC 3 (",
		"DUM 1 0\r\n99999999999999999999:x", "TS 99999999999 1;\r\n",
	};
	char long_[4096];
	struct world w;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + 2; i++) {
		open_(&w, NULL);
		say(&w, BEGIN_CORE);
		memset(long_, i % 2 ? 'a' : '(', sizeof(long_) - 1);
		long_[sizeof(long_) - 1] = '\0';
		say(&w, i < sizeof(bad) / sizeof(bad[0]) ? bad[i] : "X-long ");
		for (int k = 0; k < 500; k++) {
			push(&w, long_, sizeof(long_) - 1);
			oc_loop_step(w.loop, 0);
			assert_true(within(&w));
		}
		assert_true(was_told(&w, "CE {400 ") || strstr(w.log, "malformed"));
		good_is_served(&w);
		close_(&w);
	}
}

/* The processor pauses our message and goes on with its own, whatever we ask: that transaction ends, others go on. */
static void test_pause_and_flood(void **state)
{
	static char payload[60000];
	struct world w;
	uint64_t at = 0;
	bool told = false;

	memset(payload, 'x', sizeof(payload));
	open_(&w, NULL);
	say(&w, BEGIN_CORE "TS 5 1;\r\nAMS 5;\r\nDWP 5 0;\r\nTS 6 1;\r\nAMS 6;\r\n");
	for (int i = 0; i < 3000 && !told; i++) {
		char head[64];
		int n = sprintf(head, "DUM 5 %llu\r\n%zu:", (unsigned long long)at, sizeof(payload));
		size_t sent = 0;

		assert_int_equal(push(&w, head, (size_t)n), n);
		while (sent < sizeof(payload)) {
			sent += push(&w, payload + sent, sizeof(payload) - sent);
			oc_loop_step(w.loop, 0);
		}
		say(&w, "\r\n;\r\n");
		at += sizeof(payload);
		assert_true(within(&w));
		told = strstr(w.log, "never") || was_told(&w, "TE 5 {400 ");
	}
	assert_true(told);
	say(&w, "DUM 6 0\r\n2:hi\r\n;\r\nAME 6;\r\n");
	assert_true(was_told(&w, "AME 6;"));
	good_is_served(&w);
	close_(&w);
}

/* One octet at a time, and in between the others */
static void test_octet_at_a_time(void **state)
{
	static const char text[] = BEGIN_CORE "TS 5 1;\r\nAMS 5;\r\nDUM 5 0\r\n5:hello\r\n;\r\nAME 5;\r\n";
	struct world w;

	open_(&w, NULL);
	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		assert_int_equal(push(&w, text + i, 1), 1);
		oc_loop_step(w.loop, 0);
	}
	assert_true(was_told(&w, "1:o\r\n;\r\nAME 5;\r\nTE 5;\r\n"));
	good_is_served(&w);
	close_(&w);
}

static bool ends_in_time(struct world *w)
{
	time_t until = time(NULL) + 30;
	char c;

	while (time(NULL) < until) {
		ssize_t n;

		oc_loop_step(w->loop, 20);
		peer_turn(&w->good);
		n = recv(w->fd, &c, 1, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
	}
	return false;
}

/* Whoever connects and says nothing, or begins and offers nothing, does not keep the place */
static void test_silence(void **state)
{
	struct oc_loop_config cfg = OC_LOOP_CONFIG_DEFAULT;
	struct world w;

	cfg.start_us = 300000;
	cfg.idle_probe_us = 0; /* nothing else ends it */
	for (int i = 0; i < 3; i++) {
		open_(&w, &cfg);
		say(&w, i == 0 ? "" : i == 1 ? "CS;\r\n" : "CS;\r\nNO ()\r\nOffer-Pending: true\r\n;\r\n");
		assert_true(ends_in_time(&w));
		good_is_served(&w);
		close_(&w);
	}
}

/* Broken rules are named in the log, once a second and connection */
static void test_log_names_rules(void **state)
{
	struct world w;

	open_(&w, NULL);
	say(&w, BEGIN_CORE);
	for (int i = 0; i < 100; i++)
		say(&w, "DWM 77;\r\n");
	assert_true(log_is_short(&w));
	assert_non_null(strstr(w.log, "DWM: RFC 4037"));
	usleep(1100000);
	say(&w, "DWM 78;\r\n");
	say(&w, "DWM 78;\r\n");
	assert_true(log_is_short(&w));
	assert_non_null(strstr(w.log, " more in between)"));
	close_(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_questions_unread),
		cmocka_unit_test(test_faults_unread),
		cmocka_unit_test(test_unsolicited),
		cmocka_unit_test(test_group_flood),
		cmocka_unit_test(test_gigantic),
		cmocka_unit_test(test_pause_and_flood),
		cmocka_unit_test(test_octet_at_a_time),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_log_names_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
