/* SPDX-License-Identifier: BSD-3-Clause */
/* Each service end to end: libocp's processor on one end of a socket pair, the loop on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "callout/peer.h"
#include "callout/services/services.h"

#define RESPONSE_META "Protocol: HTTP/1.1\r\nKind: response\r\nSource: 192.0.2.1:80\r\nDestination: 192.0.2.2:5000\r\n"
#define REQUEST_META "Protocol: HTTP/1.1\r\nKind: request\r\nSource: 192.0.2.2:5000\r\nDestination: 192.0.2.1:80\r\n"
#define MAIL_META "Protocol: SMTP\r\nKind: request\r\nHelo: x\r\nMail-From: <a@b>\r\nRecipients: 1\r\nRcpt-To: <c@d>\r\n"
#define STREAM_META "Protocol: TCP\r\nKind: stream\r\nSource: 192.0.2.1:7\r\nDestination: 192.0.2.2:5000\r\n"
#define HEAD "HTTP/1.1 200 OK\r\nServer: one\r\nX-Foo: foo\r\nserver: two\r\n folded\r\nContent-Length: 9\r\n\r\n"

/* The same tests run in both dialects; what one of them cannot say is not asked of it. */
static bool core;

struct fixture {
	struct oc_loop *loop;
	struct peer peer;
};

static void add(struct oc_loop *loop, const char *text)
{
	struct oc_error err = {""};

	if (oc_loop_service_text(loop, services_all, text, &err) != 0)
		fail_msg("%s: %s", text, err.text);
}

static const char *const uris_http[] = {
	"urn:opes:service:echo", "urn:opes:service:as-is", "urn:test:leave", "urn:opes:service:replace", "urn:test:same",
	"urn:opes:service:block", "urn:test:window", "urn:test:all", "urn:opes:service:header", "urn:test:header-leave",
	"urn:opes:service:log", "urn:test:observe", NULL,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct oc_loop_config cfg = OC_LOOP_CONFIG_DEFAULT;

	cfg.out_high = 256 * 1024;
	cfg.out_low = 64 * 1024;
	f->loop = oc_loop_new(&cfg);
	assert_non_null(f->loop);
	add(f->loop, "echo");
	add(f->loop, "as-is");
	add(f->loop, "as-is:urn:test:leave,leave=yes");
	add(f->loop, "replace,replace=foo=bars,replace=abc\\=\\,=X,replace=ab=");
	add(f->loop, "replace:urn:test:same,replace=foo=bar,headers=yes");
	add(f->loop, "block,pattern=for\\x62idden");
	add(f->loop, "block:urn:test:window,pattern=forbidden,hold=0");
	add(f->loop, "block:urn:test:all,hold=all");
	add(f->loop, "header,remove=SERVER,set=X-Foo: bar\\, baz,add=Via: 1.1 opes");
	add(f->loop, "header:urn:test:header-leave,add=A: b,leave=yes");
	add(f->loop, "log");
	add(f->loop, "log:urn:test:observe,returns=no");
	if (core)
		peer_open_core(&f->peer, f->loop, uris_http, false);
	else
		peer_open(&f->peer, f->loop, 0);
	*state = f;
	return 0;
}

static int setup_core(void **state)
{
	core = true;
	return setup(state);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	core = false;
	peer_close(&f->peer);
	oc_loop_free(f->loop);
	free(f);
	return 0;
}

/* --- originals ---------------------------------------------------------------------------------- */

/* Head and body in one allocation. */
static uint8_t *text_of(const char *head, const void *body, size_t body_len)
{
	size_t n = strlen(head);
	uint8_t *t = malloc(n + body_len + 1);

	assert_non_null(t);
	memcpy(t, head, n);
	if (body_len)
		memcpy(t + n, body, body_len);
	return t;
}

/* Text with many beginnings of the patterns in it. */
static uint8_t *body_of(size_t len)
{
	static const char *const words[] = {"foo", "fo", "abc=,", "ab", "a", "lorem ", "\n", "abc=", "forbi", "X5O!"};
	uint8_t *b = malloc(len + 16);
	uint32_t seed = (uint32_t)len;

	assert_non_null(b);
	for (size_t i = 0; i < len;) {
		const char *w = words[((seed = seed * 1103515245 + 12345) >> 16) % 10];

		if ((seed >> 8) % 50 == 0) {
			size_t n = (seed >> 16) % 3000;

			for (; n && i < len; n--)
				b[i++] = (uint8_t)('g' + n % 15);
		}
		while (*w && i < len)
			b[i++] = (uint8_t)*w++;
	}
	return b;
}

static void replaced(const uint8_t *p, size_t len, struct peer_bytes *out)
{
	for (size_t i = 0; i < len;) {
		if (len - i >= 5 && memcmp(p + i, "abc=,", 5) == 0) {
			peer_append(out, "X", 1);
			i += 5;
		} else if (len - i >= 3 && memcmp(p + i, "foo", 3) == 0) {
			peer_append(out, "bars", 4);
			i += 3;
		} else if (len - i >= 2 && memcmp(p + i, "ab", 2) == 0) {
			i += 2;
		} else {
			peer_append(out, p + i++, 1);
		}
	}
}

static struct peer_message response(const uint8_t *bytes, size_t len, size_t head_len, size_t chunk)
{
	return (struct peer_message){.meta = RESPONSE_META, .bytes = bytes, .len = len, .head_len = head_len,
				     .head = OCP_PART_RESPONSE_HEADER, .body = OCP_PART_RESPONSE_BODY,
				     .sizep = (int64_t)len, .chunk = chunk};
}

/* --- checks -------------------------------------------------------------------------------------- */

static void expect_one(struct peer_txn *t, const void *bytes, size_t len)
{
	assert_int_equal(t->how.how, OCP_XEND_NORMAL);
	assert_int_equal(t->nams, 1);
	assert_true(t->am[0].ended && t->am[0].ok);
	assert_int_equal(t->am[0].data.len, len);
	if (len)
		assert_memory_equal(t->am[0].data.p, bytes, len);
}

/* Runs one message in every manner of sending and compares what comes back. */
static void all_manners(struct fixture *f, const char *service, const char *head, const uint8_t *body, size_t body_len,
			const void *want, size_t want_len)
{
	static const size_t chunks[] = {1, 7, 1000, 65536, SIZE_MAX};
	size_t head_len = strlen(head);
	uint8_t *text = text_of(head, body, body_len);

	for (int i = 0; i < (core ? 15 : 30); i++) {
		struct peer_message m = response(text, head_len + body_len, head_len, chunks[i % 5]);
		struct peer_txn t;

		if (m.len / m.chunk > 20000)
			continue;
		m.copied = (enum peer_copied)(i / 5 % 3);
		if (i >= 15)
			m.head = m.body = OCP_PART_NONE;
		peer_run(&f->peer, &t, service, &m);
		expect_one(&t, want, want_len);
		peer_txn_free(&t);
	}
	free(text);
}

static void unchanged(struct fixture *f, const char *service)
{
	static const size_t sizes[] = {0, 1, 500, 20000, 700000};

	for (size_t i = 0; i < 5; i++) {
		uint8_t *body = body_of(sizes[i]), *text = text_of(HEAD, body, sizes[i]);

		all_manners(f, service, HEAD, body, sizes[i], text, strlen(HEAD) + sizes[i]);
		free(text);
		free(body);
	}
}

static void test_echo(void **state)
{
	unchanged(*state, "urn:opes:service:echo");
}

static void test_as_is(void **state)
{
	unchanged(*state, "urn:opes:service:as-is");
}

static void test_as_is_refers(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = body_of(1000000);
	struct peer_message m = response(body, 1000000, 0, 1000);
	struct peer_txn t;

	m.copied = PEER_COPIED_ALL;
	peer_run(&f->peer, &t, "urn:opes:service:as-is", &m);
	expect_one(&t, body, m.len);
	assert_int_equal(t.am[0].have, 0);
	assert_int_equal(t.am[0].as_is, m.len);
	assert_int_equal(core ? t.am[0].am_el : t.am[0].sizep, m.len);
	assert_int_equal(t.am[0].modp, core ? -1 : 0); /* core: it comes with data */
	/* one reference per read, not per chunk, and the copies are given up on the way */
	assert_true(t.as_is_msgs < 100);
	assert_true(t.released > 500000);
	peer_txn_free(&t);
	free(body);
}

static void test_echo_returns_octets(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = body_of(100000);
	struct peer_message m = response(body, 100000, 0, 10000);
	struct peer_txn t;

	m.copied = PEER_COPIED_ALL;
	peer_run(&f->peer, &t, "urn:opes:service:echo", &m);
	expect_one(&t, body, m.len);
	assert_int_equal(t.am[0].have, m.len);
	assert_int_equal(t.am[0].changed, 0);
	assert_int_equal(core ? t.am[0].am_el : t.am[0].sizep, m.len);
	peer_txn_free(&t);
	free(body);
}

static void test_leave_loop(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = body_of(300000), *text = text_of(HEAD, body, 300000);
	struct peer_message m = response(text, strlen(HEAD) + 300000, strlen(HEAD), 5000);
	struct peer_txn t;

	ocp_processor_please_use(f->peer.ocp, OCP_STR("urn:opes:feature:leave-loop"));
	peer_turns(&f->peer, 5);
	m.copied = PEER_COPIED_ALL;
	peer_run(&f->peer, &t, "urn:test:leave", &m);
	assert_true(t.left && t.am[0].ok);
	assert_int_equal(t.rest, t.am[0].data.len);
	peer_txn_free(&t);

	peer_run(&f->peer, &t, "urn:test:header-leave", &m);
	assert_true(t.left && t.am[0].ok);
	assert_int_equal(t.rest + strlen("A: b\r\n"), t.am[0].data.len);
	assert_true(t.rest <= m.len);
	peer_txn_free(&t);

	m.copied = PEER_COPIED_NONE;
	peer_run(&f->peer, &t, "urn:test:leave", &m);
	assert_int_equal(t.left, core); /* draft: only behind preserved octets */
	if (!core)
		expect_one(&t, text, m.len);
	else
		assert_int_equal(t.rest, t.am[0].data.len);
	peer_txn_free(&t);
	free(body);
	free(text);
}

static void test_replace(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[] = {0, 1, 2, 3, 19, 4000, 700000};

	for (size_t i = 0; i < 7; i++) {
		uint8_t *body = body_of(sizes[i]);
		struct peer_bytes want = {0};

		peer_append(&want, HEAD, strlen(HEAD)); /* has a foo, too, which stays */
		replaced(body, sizes[i], &want);
		all_manners(f, "urn:opes:service:replace", HEAD, body, sizes[i], want.p, want.len);
		free(want.p);
		free(body);
	}
}

static void test_replace_flags(void **state)
{
	struct fixture *f = *state;
	size_t len = 400000;
	uint8_t *body = malloc(len);
	struct peer_message m = response(body, len, 0, 16000);
	struct peer_txn t;

	memset(body, 'z', len);
	memcpy(body + 15998, "foo", 3); /* across the limit of two chunks */
	m.copied = PEER_COPIED_ALL;
	peer_run(&f->peer, &t, "urn:opes:service:replace", &m);
	assert_int_equal(t.am[0].data.len, len + 1);
	assert_memory_equal(t.am[0].data.p + 15998, "barsz", 5);
	assert_int_equal(t.am[0].changed, core ? 0 : 4);
	assert_true(t.am[0].as_is > len - 1000);
	assert_int_equal(core ? t.am[0].am_el : t.am[0].sizep, -1);
	peer_txn_free(&t);
	peer_run(&f->peer, &t, "urn:test:same", &m);
	assert_int_equal(t.am[0].data.len, len);
	assert_memory_equal(t.am[0].data.p + 15998, "barz", 4);
	assert_int_equal(core ? t.am[0].am_el : t.am[0].sizep, len); /* no pair changes the size */
	peer_txn_free(&t);
	free(body);
}

static void test_replace_stream(void **state)
{
	struct fixture *f = *state;
	const char *text = "fofoo ab abc=, foo";
	struct peer_message m = {.meta = STREAM_META, .bytes = (const uint8_t *)text, .len = strlen(text), .sizep = -1,
				 .chunk = 1};
	struct peer_txn t;

	peer_run(&f->peer, &t, "urn:opes:service:replace", &m);
	expect_one(&t, "fobars  X bars", 14);
	peer_txn_free(&t);
	/* in heads, too */
	m = response((const uint8_t *)"HTTP/1.1 200 foo\r\n\r\nfoo", 23, 20, 3);
	peer_run(&f->peer, &t, "urn:test:same", &m);
	expect_one(&t, "HTTP/1.1 200 bar\r\n\r\nbar", 23);
	peer_txn_free(&t);
}

static const char *eicar(void)
{
	static char text[80];

	snprintf(text, sizeof(text), "%s%s%s%s", "X5O!P%@AP[4", "\\PZX54(P^)7CC)7}$EICAR-", "STANDARD-ANTIVIRUS-",
		 "TEST-FILE!$H+H*");
	assert_int_equal(strlen(text), 68);
	return text;
}

static void expect_blocked(struct peer_txn *t, bool request)
{
	static const char status[] = "HTTP/1.1 403 Forbidden\r\n";

	assert_int_equal(t->how.how, OCP_XEND_NORMAL);
	assert_int_equal(t->nams, 1);
	assert_true(t->am[0].ended && t->am[0].ok && t->am[0].modified == !core);
	assert_int_equal(t->am[0].kind, request || core ? OCP_KIND_RESPONSE : OCP_KIND_NONE);
	assert_true(t->am[0].data.len > 200);
	assert_memory_equal(t->am[0].data.p, status, strlen(status));
	if (!core)
		assert_int_equal(t->am[0].sizep, t->am[0].data.len);
	peer_append(&t->am[0].data, "", 1);
	assert_non_null(strstr((char *)t->am[0].data.p, "<h1>Blocked</h1>"));
	assert_non_null(strstr((char *)t->am[0].data.p, "\r\nContent-Length: "));
}

static void test_block(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = body_of(50000);

	unchanged(f, "urn:opes:service:block");
	unchanged(f, "urn:test:window");
	unchanged(f, "urn:test:all");
	for (size_t chunk = 1; chunk < 140; chunk++) {
		size_t at = 1000 + chunk * 7 % 100;
		uint8_t *text = text_of(HEAD, body, 3000);
		struct peer_message m = response(text, strlen(HEAD) + 3000, strlen(HEAD), chunk);
		struct peer_txn t;

		memcpy(text + at, eicar(), 68);
		m.copied = (enum peer_copied)(chunk % 3);
		if (chunk % 2)
			m.head = m.body = OCP_PART_NONE;
		peer_run(&f->peer, &t, "urn:opes:service:block", &m);
		expect_blocked(&t, false);
		assert_non_null(strstr((char *)t.am[0].data.p, "EICAR test file"));
		peer_txn_free(&t);
		free(text);
	}
	free(body);
}

static void test_block_request(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "POST /forbidden HTTP/1.1\r\nHost: x\r\n\r\nhere it is: forbidden";
	struct peer_message m = {.meta = REQUEST_META, .bytes = (const uint8_t *)text, .len = sizeof(text) - 1,
				 .head_len = 37, .head = OCP_PART_REQUEST_HEADER, .body = OCP_PART_REQUEST_BODY,
				 .sizep = -1, .chunk = 5};
	struct peer_txn t;

	peer_run(&f->peer, &t, "urn:opes:service:block", &m);
	expect_blocked(&t, true);
	peer_txn_free(&t);
	m.len = 40; /* the head alone has it: not looked at */
	peer_run(&f->peer, &t, "urn:opes:service:block", &m);
	expect_one(&t, text, 40);
	peer_txn_free(&t);
}

/* RTSP: as HTTP, and an answer is RTSP's. */
static void test_rtsp(void **state)
{
	static const char head[] = "RTSP/1.0 200 OK\r\nX-Foo: foo\r\nContent-Length: 9\r\n\r\n";
	static const char answer[] = "RTSP/1.0 403 Forbidden\r\n";
	static const struct {
		const char *service, *body, *want; /* behind head; NULL: an answer */
	} cases[] = {
		{"urn:opes:service:block", "v=0 fine\n", "v=0 fine\n"}, {"urn:opes:service:block", "forbidden", NULL},
		{"urn:opes:service:replace", "a foo, v=", "a bars, v="},   {"urn:opes:service:log", "foo foo f", "foo foo f"},
		{"urn:opes:service:as-is", "foo foo f", "foo foo f"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t chunk = 1; chunk < 80; chunk += 6) {
			uint8_t *text = text_of(head, cases[i].body, 9);
			struct peer_message m = {.meta = "Protocol: RTSP/1.0\r\nKind: response\r\n", .bytes = text, .len = strlen(head) + 9,
						 .sizep = -1, .chunk = chunk, .copied = (enum peer_copied)(chunk % 3)};
			struct peer_txn t;
			const uint8_t *got;
			size_t n;

			peer_run(&f->peer, &t, cases[i].service, &m);
			assert_int_equal(t.how.how, OCP_XEND_NORMAL);
			assert_int_equal(t.nams, 1);
			got = t.am[0].data.p;
			n = t.am[0].data.len;
			if (cases[i].want) {
				assert_int_equal(n, strlen(head) + strlen(cases[i].want));
				assert_memory_equal(got, head, strlen(head));
				assert_memory_equal(got + strlen(head), cases[i].want, strlen(cases[i].want));
			} else {
				assert_true(n > strlen(answer));
				assert_memory_equal(got, answer, strlen(answer));
			}
			peer_txn_free(&t);
			free(text);
		}
	}
}

/* Mails: parts are found, and not named to the processor; an answer is an SMTP reply. */
static void test_mail(void **state)
{
	static const char head[] = "server: one\r\nSubject: forbidden\r\n\r\n";
	static const struct {
		const char *service, *mail, *want; /* behind head */
		bool answer;
	} cases[] = {
		{"urn:opes:service:block", "fine\r\n", "fine\r\n", false},
		{"urn:opes:service:block", "it is forbidden\r\n",
		 "550 5.7.1 The mail carries content that is not allowed here: for\\x62idden\r\n", true},
		{"urn:opes:service:header", "foo\r\n", "Subject: forbidden\r\nX-Foo: bar, baz\r\nVia: 1.1 opes\r\n\r\nfoo\r\n", true},
		{"urn:opes:service:replace", "a foo\r\n", "a bars\r\n", false},
		{"urn:opes:service:log", "foo\r\n", "foo\r\n", false},
		{"urn:opes:service:as-is", "foo\r\n", "foo\r\n", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t chunk = 1; chunk < 80; chunk += 6) {
			uint8_t *mail = text_of(head, cases[i].mail, strlen(cases[i].mail));
			uint8_t *want = text_of(cases[i].answer ? "" : head, cases[i].want, strlen(cases[i].want));
			size_t n = (cases[i].answer ? 0 : strlen(head)) + strlen(cases[i].want);
			struct peer_message m = {.meta = MAIL_META, .bytes = mail, .len = strlen(head) + strlen(cases[i].mail),
						 .sizep = -1, .chunk = chunk, .copied = (enum peer_copied)(chunk % 3)};
			struct peer_txn t;

			peer_run(&f->peer, &t, cases[i].service, &m);
			assert_int_equal(t.how.how, OCP_XEND_NORMAL);
			assert_int_equal(t.nams, 1);
			assert_int_equal(t.am[0].kind == OCP_KIND_RESPONSE, !strncmp(cases[i].want, "550", 3));
			assert_int_equal(t.am[0].data.len, n);
			assert_memory_equal(t.am[0].data.p, want, n);
			peer_txn_free(&t);
			free(mail);
			free(want);
		}
	}
}

/* What has been let through before the match is a prefix of the original without the pattern's end. */
static void expect_broken_off(struct peer_txn *t, const uint8_t *text, size_t at, size_t pattern)
{
	assert_int_equal(t->nams, 1);
	assert_true(t->am[0].ended && !t->am[0].ok);
	assert_true(t->am[0].data.len < at + pattern);
	if (t->am[0].data.len)
		assert_memory_equal(t->am[0].data.p, text, t->am[0].data.len);
	if (t->m->copied == PEER_COPIED_ALL) /* the processor may not go on by itself */
		assert_true(t->released >= at + pattern);
}

static void test_block_large(void **state)
{
	struct fixture *f = *state;
	size_t len = 3000000, at = 2500000;
	uint8_t *body = body_of(len);
	struct peer_message m = response(body, len, 0, 30000);
	struct peer_txn t;

	memcpy(body + at, eicar(), 68);
	for (int i = 0; i < 3; i++) {
		m.copied = (enum peer_copied)i;
		peer_run(&f->peer, &t, "urn:opes:service:block", &m);
		expect_broken_off(&t, body, at, 68);
		assert_true(t.am[0].data.len > 1 << 20);
		peer_txn_free(&t);
		peer_run(&f->peer, &t, "urn:test:all", &m); /* held to the end */
		expect_blocked(&t, false);
		peer_txn_free(&t);
	}
	m.meta = STREAM_META;
	m.body = OCP_PART_NONE;
	m.chunk = 50;
	peer_run(&f->peer, &t, "urn:opes:service:block", &m);
	expect_broken_off(&t, body, at, 68);
	peer_txn_free(&t);
	free(body);
}

/* In a stream nothing is held but the beginning of a pattern. */
static void test_block_stream_is_prompt(void **state)
{
	struct fixture *f = *state;
	struct peer_message m = {.meta = STREAM_META, .bytes = (const uint8_t *)"hello forbidde", .len = 14,
				 .sizep = -1, .chunk = 6};
	struct peer_txn t;

	assert_int_equal(peer_begin(&f->peer, &t, "urn:opes:service:block", &m), 0);
	peer_feed(&t, &f->peer);
	peer_turns(&f->peer, 4);
	assert_int_equal(t.am[0].data.len, 6);
	m.chunk = 8;
	peer_feed(&t, &f->peer);
	peer_turns(&f->peer, 4);
	assert_int_equal(t.am[0].data.len, 6);
	peer_feed(&t, &f->peer);
	peer_turns(&f->peer, 4);
	assert_true(t.over);
	expect_one(&t, "hello forbidde", 14);
	peer_txn_free(&t);
}

static void test_header(void **state)
{
	struct fixture *f = *state;
	static const char edited[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Foo: bar, baz\r\nVia: 1.1 opes\r\n\r\n";
	uint8_t *body = body_of(200000), *want = text_of(edited, body, 200000);
	struct peer_message m = response((const uint8_t *)HEAD, strlen(HEAD), strlen(HEAD), 11);
	struct peer_txn t;

	all_manners(f, "urn:opes:service:header", HEAD, body, 200000, want, strlen(edited) + 200000);
	all_manners(f, "urn:opes:service:header", HEAD, body, 0, edited, strlen(edited));
	peer_run(&f->peer, &t, "urn:opes:service:header", &m);
	expect_one(&t, edited, strlen(edited));
	assert_int_equal(core ? t.am[0].am_el : t.am[0].sizep, core ? 0 : strlen(edited));
	assert_true(t.am[0].modified == !core);
	peer_txn_free(&t);
	m.meta = STREAM_META; /* not HTTP: as it is */
	m.head = OCP_PART_NONE;
	peer_run(&f->peer, &t, "urn:opes:service:header", &m);
	expect_one(&t, HEAD, strlen(HEAD));
	peer_txn_free(&t);
	free(body);
	free(want);
}

static void test_log(void **state)
{
	struct fixture *f = *state;
	char *text = NULL, line[400];
	size_t size = 0;
	struct peer_message m = response((const uint8_t *)HEAD "body\x01", strlen(HEAD) + 5, strlen(HEAD), 10);
	struct peer_txn t;

	service_log_output.to = open_memstream(&text, &size);
	unchanged(f, "urn:opes:service:log");
	peer_run(&f->peer, &t, "urn:test:observe", &m);
	assert_int_equal(t.how.how, OCP_XEND_NORMAL);
	assert_int_equal(t.nams, 0);
	peer_txn_free(&t);
	m.meta = RESPONSE_META "Action: observe\r\n";
	service_log_output.json = true;
	peer_run(&f->peer, &t, core ? "urn:test:observe" : "urn:opes:service:log", &m);
	assert_int_equal(t.nams, 0);
	peer_txn_free(&t);
	fclose(service_log_output.to);
	snprintf(line, sizeof(line), "Z response %s \"HTTP/1.1 200 OK\" %zu\n",
		 core ? "- -" : "192.0.2.1:80 192.0.2.2:5000", m.len);
	assert_non_null(strstr(text, line));
	snprintf(line, sizeof(line), ",\"kind\":\"response\",\"source\":\"%s\",\"destination\":"
		 "\"%s\",\"first\":\"HTTP/1.1 200 OK\",\"octets\":%zu,\"complete\":true}\n",
		 core ? "" : "192.0.2.1:80", core ? "" : "192.0.2.2:5000", m.len);
	assert_non_null(strstr(text, line));
	free(text);
	service_log_output = (struct service_log_output){0};
}

static void test_interleaved(void **state)
{
	struct fixture *f = *state;
	static const char *const uris[] = {"urn:opes:service:echo", "urn:opes:service:as-is",
					   "urn:opes:service:replace", "urn:opes:service:block"};
	size_t len = 200000;
	uint8_t *body = body_of(len);
	struct peer_bytes want = {0};
	struct peer_message m[40];
	struct peer_txn t[40];
	unsigned over = 0;

	replaced(body, len, &want);
	for (int i = 0; i < 40; i++) {
		m[i] = response(body, len, 0, 100 + 997 * (size_t)i);
		m[i].copied = (enum peer_copied)(i % 3);
		assert_int_equal(peer_begin(&f->peer, &t[i], uris[i % 4], &m[i]), 0);
	}
	for (unsigned turns = 0; over < 40; turns++) {
		assert_true(turns < 100000);
		over = 0;
		for (int i = 0; i < 40; i++) {
			if (f->peer.out.len < 1u << 20)
				peer_feed(&t[i], &f->peer);
			over += t[i].over;
		}
		peer_turn(&f->peer);
	}
	for (int i = 0; i < 40; i++) {
		expect_one(&t[i], i % 4 == 2 ? want.p : body, i % 4 == 2 ? want.len : len);
		peer_txn_free(&t[i]);
	}
	free(want.p);
	free(body);
}

static void test_cut_off(void **state)
{
	struct fixture *f = *state;
	static const char *const uris[] = {"urn:opes:service:echo", "urn:opes:service:as-is", "urn:opes:service:log",
					   "urn:opes:service:replace", "urn:opes:service:block",
					   "urn:opes:service:header"};
	uint8_t *body = body_of(5000);

	for (int i = 0; i < 6; i++) {
		struct peer_message m = response(body, 5000, 0, 600);
		struct peer_txn t;

		m.cut = true;
		peer_run(&f->peer, &t, uris[i], &m);
		assert_int_equal(t.nams, 1);
		assert_true(t.am[0].ended && !t.am[0].ok);
		peer_txn_free(&t);
	}
	free(body);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct peer_message m = {.meta = STREAM_META, .bytes = (const uint8_t *)"x", .len = 1, .sizep = -1, .chunk = 1};
	struct peer_txn t;

	assert_int_equal(peer_begin(&f->peer, &t, "urn:nobody", &m), 0);
	peer_turns(&f->peer, 5);
	assert_true(t.over);
	assert_int_equal(t.how.how, OCP_XEND_REFUSED);
	peer_txn_free(&t);
	peer_run(&f->peer, &t, "urn:opes:service:echo", &m); /* the connection goes on */
	expect_one(&t, "x", 1);
	peer_txn_free(&t);
}

static void test_configuration(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {
		"nothing", "echo:", "echo:urn:x,a=b", "replace", "replace:urn:x,replace==x", "replace:urn:x,replace=abc",
		"replace:urn:x,replace=a=b,replace=a=c", "replace:urn:x,headers=maybe,replace=a=b", "block:urn:x,hold=-1",
		"block:urn:x,hold=1x", "block:urn:x,eicar=no", "block:urn:x,pattern=", "block:urn:x,file=/nonexistent",
		"header", "header:urn:x,add=No colon", "header:urn:x,set=Content-Length: 5", "header:urn:x,remove=a b",
		"header:urn:x,add=A: b\\r\\nB: c", "header:urn:x,in=x,add=A: b", "as-is:urn:x,leave=perhaps",
		"log:urn:x,what=ever", "echo"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct oc_error err = {""};

		if (oc_loop_service_text(f->loop, services_all, bad[i], &err) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_true(err.text[0]);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define C(name) {#name "_core", name, setup_core, teardown, NULL}
	const struct CMUnitTest tests[] = {
		T(test_echo),
		T(test_echo_returns_octets),
		T(test_as_is),
		T(test_as_is_refers),
		T(test_leave_loop),
		T(test_replace),
		T(test_replace_flags),
		T(test_replace_stream),
		T(test_block),
		T(test_block_request), T(test_mail), T(test_rtsp),
		T(test_block_large),
		T(test_block_stream_is_prompt),
		T(test_header),
		T(test_log),
		T(test_interleaved),
		T(test_cut_off),
		T(test_refusals),
		T(test_configuration),
		C(test_echo),
		C(test_echo_returns_octets),
		C(test_as_is),
		C(test_as_is_refers),
		C(test_leave_loop),
		C(test_replace),
		C(test_replace_flags),
		C(test_replace_stream),
		C(test_block),
		C(test_block_request),
		C(test_block_large),
		C(test_block_stream_is_prompt),
		C(test_header),
		C(test_log),
		C(test_interleaved),
		C(test_cut_off),
		C(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
