/* SPDX-License-Identifier: BSD-3-Clause */
/* What only processors that speak RFC 4037 can do, and what a service may ask of them: libocp's processor and the loop. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "callout/peer.h"
#include "callout/services/services.h"

#define RESPONSE_META "Protocol: HTTP/1.1\r\nKind: response\r\n"
#define REQUEST_META "Protocol: HTTP/1.1\r\nKind: request\r\n"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"

struct world {
	struct oc_loop *loop;
	struct peer peer;
	char log[8192];
};

static void note(void *ctx, const char *line)
{
	struct world *w = ctx;
	size_t n = strlen(w->log);

	snprintf(w->log + n, sizeof(w->log) - n, "%s\n", line);
}

static void open_with(struct world *w, const char *service, const char *uri, bool aux, uint32_t dialects)
{
	const char *const uris[] = {uri, NULL};
	struct oc_loop_config cfg = OC_LOOP_CONFIG_DEFAULT;
	struct oc_error err = {""};

	memset(w, 0, sizeof(*w));
	cfg.log = note;
	cfg.log_ctx = w;
	cfg.out_high = 256 * 1024;
	cfg.out_low = 64 * 1024;
	cfg.dialects = dialects;
	w->loop = oc_loop_new(&cfg);
	if (oc_loop_service_text(w->loop, services_all, service, &err) != 0)
		fail_msg("%s: %s", service, err.text);
	peer_open_core(&w->peer, w->loop, uris, aux);
}

static void open_(struct world *w, const char *service, const char *uri)
{
	open_with(w, service, uri, false, OC_DIALECT_CORE);
}

static void close_(struct world *w)
{
	peer_close(&w->peer);
	oc_loop_free(w->loop);
}

/* A response of HEAD and len octets. */
static struct peer_message response(size_t len, size_t chunk)
{
	size_t n = strlen(HEAD);
	uint8_t *t = malloc(n + len);

	memcpy(t, HEAD, n);
	for (size_t i = 0; i < len; i++)
		t[n + i] = (uint8_t)(i * 31 + i / 251);
	return (struct peer_message){.meta = RESPONSE_META, .bytes = t, .len = n + len, .head_len = n, .sizep = (int64_t)(n + len),
				     .chunk = chunk, .copied = PEER_COPIED_ALL};
}

static void want_same(struct peer_txn *t)
{
	assert_int_equal(t->how.how, OCP_XEND_NORMAL);
	assert_int_equal(t->nams, 1);
	assert_true(t->am[0].ended && t->am[0].ok);
	assert_int_equal(t->am[0].data.len, t->m->len);
	assert_memory_equal(t->am[0].data.p, t->m->bytes, t->m->len);
}

static void done(struct peer_txn *t)
{
	peer_txn_free(t);
	free((void *)(uintptr_t)t->m->bytes);
}

/* RFC 4236 3.2.3: auxiliary parts are looked at, and nothing of them comes back */
static void test_aux_parts(void **state)
{
	struct peer_message m = response(3000, 700);
	char *text = NULL;
	size_t size = 0;
	struct peer_txn t;
	struct world w;

	service_log_output.to = open_memstream(&text, &size);
	m.aux = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";
	open_with(&w, "log:urn:x,aux-parts=request-header", "urn:x", true, OC_DIALECT_CORE);
	peer_run(&w.peer, &t, "urn:x", &m);
	want_same(&t);
	assert_true(t.am[0].as_is > 2900); /* what was preserved behind them can be referred to */
	done(&t);
	close_(&w);
	fclose(service_log_output.to);
	assert_non_null(strstr(text, " \"HTTP/1.1 200 OK\" \"GET /page HTTP/1.1\" "));
	free(text);
	service_log_output.to = NULL;
}

/* ... by services that ask for them, and are skipped for others */
static void test_aux_parts_not_wanted(void **state)
{
	struct peer_message m = response(3000, 700);
	struct peer_txn t;
	struct world w;

	open_with(&w, "echo:urn:x,aux-parts=request-header", "urn:x", true, OC_DIALECT_CORE);
	m.aux = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";
	peer_run(&w.peer, &t, "urn:x", &m);
	want_same(&t);
	done(&t);
	close_(&w);
	open_with(&w, "echo:urn:x", "urn:x", true, OC_DIALECT_CORE); /* not agreed on, hence not sent */
	m = response(3000, 700);
	peer_run(&w.peer, &t, "urn:x", &m);
	want_same(&t);
	done(&t);
	close_(&w);
}

/* 3.2.4: the pause is over at once where the service has nothing to wait for */
static void test_pause_at_body(void **state)
{
	static const char *const texts[] = {"echo:urn:x,pause-at-body=0", "as-is:urn:x,pause-at-body=2000"};

	for (int i = 0; i < 2; i++) {
		struct peer_message m = response(5000, 700);
		struct peer_txn t;
		struct world w;

		open_(&w, texts[i], "urn:x");
		peer_run(&w.peer, &t, "urn:x", &m);
		want_same(&t);
		assert_int_equal(t.needs, 1);
		done(&t);
		close_(&w);
	}
}

/* 3.2.6, 7: a service that never refers to preserved data says so */
static void test_preservation_interest(void **state)
{
	struct peer_message m = response(50000, 7000);
	struct ocp_uri u = {.uri = OCP_STR("urn:x")};
	struct peer_txn t;
	struct world w;

	open_(&w, "echo:urn:x", "urn:x");
	assert_int_equal(ocp_processor_profile(w.peer.ocp, &u, OCP_FEATURE_HTTP_RESPONSE)->preservation_interest_body, 0);
	peer_run(&w.peer, &t, "urn:x", &m);
	want_same(&t);
	assert_int_equal(t.am[0].as_is, 0);
	done(&t);
	close_(&w);
	m = response(50000, 7000);
	open_(&w, "as-is:urn:x,preservation-interest-body=10000,content-encodings=gzip+br", "urn:x");
	assert_true(ocp_str_eq(ocp_processor_profile(w.peer.ocp, &u, OCP_FEATURE_HTTP_RESPONSE)->content_encodings,
			       OCP_STR("(gzip,br)")));
	peer_run(&w.peer, &t, "urn:x", &m);
	want_same(&t);
	assert_true(t.am[0].as_is > 5000 && t.am[0].as_is <= strlen(HEAD) + 10000);
	done(&t);
	close_(&w);
}

static void want_answer(struct peer_txn *t, const char *status)
{
	assert_int_equal(t->how.how, OCP_XEND_NORMAL);
	assert_int_equal(t->nams, 1);
	assert_true(t->am[0].ended && t->am[0].ok);
	assert_int_equal(t->am[0].kind, OCP_KIND_RESPONSE);
	assert_memory_equal(t->am[0].data.p, status, strlen(status));
	assert_int_equal(t->am[0].parts, OCP_HAS(OCP_PART_RESPONSE_HEADER) | OCP_HAS(OCP_PART_RESPONSE_BODY));
	assert_int_equal(t->am[0].am_el, strlen("it is down"));
}

/* RFC 4037 8.1, RFC 4236 3.2: a request is answered with response parts before it has been sent */
static void test_answer_short_circuits(void **state)
{
	struct peer_message m = response(3000000, 10000);
	struct peer_txn t;
	struct world w;

	open_(&w, "answer:urn:x,status=410,phrase=Gone,text=it is down", "urn:x");
	m.meta = REQUEST_META;
	peer_run(&w.peer, &t, "urn:x", &m);
	want_answer(&t, "HTTP/1.1 410 Gone\r\n");
	assert_true(t.stopped && t.sent < m.len); /* DWSR */
	peer_txn_free(&t);
	m.meta = RESPONSE_META;
	peer_run(&w.peer, &t, "urn:x", &m);
	want_answer(&t, "HTTP/1.1 410 Gone\r\n");
	done(&t);
	close_(&w);
}

/* RFC 4236 3.2.5: the same by the profile */
static void test_stop_receiving_body(void **state)
{
	struct oc_error err = {""};
	struct peer_message m = response(300000, 10000);
	struct peer_txn t;
	struct world w;

	open_(&w, "answer:urn:x,text=it is down,stop-receiving-body=20000", "urn:x");
	peer_run(&w.peer, &t, "urn:x", &m);
	want_answer(&t, "HTTP/1.1 503 Service Unavailable\r\n");
	assert_true(t.sent <= strlen(HEAD) + 30000);
	done(&t);
	/* half of a message is of no use to the others */
	assert_int_not_equal(oc_loop_service_text(w.loop, services_all, "echo,stop-receiving-body=1", &err), 0);
	assert_non_null(strstr(err.text, "whole messages"));
	close_(&w);
}

/* RFC 4037 11.15 - 11.17: the processor pauses the adapted message: held here, every octet once, in order */
static void test_processor_pauses(void **state)
{
	static const char *const texts[] = {"echo:urn:x", "as-is:urn:x", "header:urn:x,add=A: b", "replace:urn:x,replace=a=bc"};

	for (int i = 0; i < 4; i++) {
		struct peer_message m = response(400000, 3000);
		struct peer_txn free_run, t;
		struct world w;
		unsigned rounds = 0;

		open_(&w, texts[i], "urn:x");
		m.copied = PEER_COPIED_MIXED;
		peer_run(&w.peer, &free_run, "urn:x", &m);
		assert_int_equal(peer_begin(&w.peer, &t, "urn:x", &m), 0);
		assert_int_equal(ocp_processor_am_pause(w.peer.ocp, t.xid, 0), 0);
		while (!t.over) {
			size_t had = t.am[0].data.len;

			for (int k = 0; k < 10 && peer_feed(&t, &w.peer); k++)
				;
			peer_turns(&w.peer, 3);
			if (!t.am_paused)
				continue;
			had = t.am[0].data.len;
			peer_turns(&w.peer, 3);
			assert_int_equal(t.am[0].data.len, had); /* DPM is kept */
			t.am_paused = false;
			assert_int_equal(ocp_processor_am_need(w.peer.ocp, t.xid, 0), 0);
			if (rounds++ < 20)
				assert_int_equal(ocp_processor_am_pause(w.peer.ocp, t.xid, had + 10000), 0);
			assert_true(rounds < 100000);
		}
		assert_true(rounds > 10);
		assert_true(t.am[0].ok);
		assert_int_equal(t.am[0].data.len, free_run.am[0].data.len);
		assert_memory_equal(t.am[0].data.p, free_run.am[0].data.p, t.am[0].data.len);
		peer_txn_free(&free_run);
		done(&t);
		close_(&w);
	}
}

/* ... the original is paused in turn, so that little is held ... */
static void test_pause_is_passed_on(void **state)
{
	struct peer_message m = response(4000000, 10000);
	struct peer_txn t;
	struct world w;

	open_(&w, "echo:urn:x", "urn:x");
	assert_int_equal(peer_begin(&w.peer, &t, "urn:x", &m), 0);
	assert_int_equal(ocp_processor_am_pause(w.peer.ocp, t.xid, 0), 0);
	for (int i = 0; i < 300; i++) {
		peer_feed(&t, &w.peer);
		peer_turn(&w.peer);
	}
	assert_true(t.paused && t.sent < 1000000);
	assert_int_equal(ocp_processor_am_need(w.peer.ocp, t.xid, 0), 0);
	while (!t.over) {
		peer_feed(&t, &w.peer);
		peer_turn(&w.peer);
	}
	want_same(&t);
	done(&t);
	close_(&w);
}

/* RFC 4037 8.3, with a pause in between: nothing is lost when DSS comes while octets are held */
static void test_leave_while_paused(void **state)
{
	struct peer_message m = response(100000, 3000);
	struct peer_txn t;
	struct world w;

	open_(&w, "as-is:urn:x,leave=yes", "urn:x");
	assert_int_equal(peer_begin(&w.peer, &t, "urn:x", &m), 0);
	assert_int_equal(ocp_processor_am_pause(w.peer.ocp, t.xid, 10), 0);
	for (int i = 0; i < 60; i++) {
		peer_feed(&t, &w.peer);
		peer_turn(&w.peer);
	}
	assert_false(t.over);
	assert_int_equal(ocp_processor_am_need(w.peer.ocp, t.xid, 0), 0);
	peer_turns(&w.peer, 20);
	assert_true(t.over && t.left);
	assert_int_equal(t.rest, t.am[0].data.len);
	assert_memory_equal(t.am[0].data.p, m.bytes, t.rest);
	done(&t);
	close_(&w);
}

static void backwards_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	oc_send(x, OC_PART_RESPONSE_BODY, "body", 4, true);
	oc_send(x, OC_PART_RESPONSE_HEADER, "head", 4, true);
}

static const struct oc_service_type backwards = {.name = "backwards", .uri = "urn:x", .data = backwards_data};

/* --- services of this test --- */

static struct {
	unsigned datas, ends, closes;
	bool ok;
} calls;

static void first_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	calls.datas++;
	assert_int_equal(oc_forward(x, d->part, d->offset, d->bytes, d->len), 0);
	assert_int_equal(oc_leave_loop(x), 0);
	assert_int_equal(oc_leave_loop(x), -ENOENT);
	assert_int_equal(oc_send(x, d->part, "x", 1, true), -ENOENT);
	assert_int_equal(oc_end(x), -ENOENT);
}

static void first_end(struct oc_xaction *x, void *state, bool ok)
{
	calls.ends++;
	calls.ok = ok;
	oc_end(x);
}

static void first_close(struct oc_xaction *x, void *state, enum oc_close how)
{
	calls.closes++;
	assert_int_equal(how, OC_CLOSE_DONE);
}

static void open_type(struct world *w, const struct oc_service_type *type, const struct oc_option *o, size_t n)
{
	static const char *const uris[] = {"urn:x", NULL};

	memset(w, 0, sizeof(*w));
	memset(&calls, 0, sizeof(calls));
	w->loop = oc_loop_new(NULL);
	assert_int_equal(oc_loop_service(w->loop, type, NULL, o, n, NULL), 0);
	peer_open_core(&w->peer, w->loop, uris, false);
}

/* INV-OC-3: for the service a transaction that it left is over at once, whenever the processor grants it */
static void test_nothing_after_leaving(void **state)
{
	static const struct oc_service_type leaver = {.name = "leaver", .uri = "urn:x", .data = first_data, .end = first_end,
						      .close = first_close};
	struct peer_message m = response(50000, 1000);
	struct peer_txn t;
	struct world w;

	open_type(&w, &leaver, NULL, 0);
	peer_run(&w.peer, &t, "urn:x", &m);
	assert_true(t.left && t.am[0].ok);
	assert_int_equal(t.rest, t.am[0].data.len);
	peer_turns(&w.peer, 3);
	assert_int_equal(calls.datas, 1);
	assert_int_equal(calls.ends, 0);
	assert_int_equal(calls.closes, 1);
	done(&t);
	close_(&w);
}

/* RFC 4236 3.2.5: an end that the profile asked for is a good one for a service that says it makes do with a beginning */
static void test_prefix_of_a_service(void **state)
{
	static const struct oc_service_type prefix = {.name = "prefix", .uri = "urn:x", .prefix = true, .end = first_end,
						      .close = first_close};
	static const struct oc_option stop = {"stop-receiving-body", "10"};
	struct peer_message m = response(50000, 1000);
	struct peer_txn t;
	struct world w;

	open_type(&w, &prefix, &stop, 1);
	peer_run(&w.peer, &t, "urn:x", &m);
	assert_true(t.sent < 5000 && t.nams == 0);
	assert_true(calls.ends == 1 && calls.ok);
	done(&t);
	close_(&w);
}

/* What a service cannot send does not leave a hole in a message that looks whole */
static void test_unsendable_breaks_off(void **state)
{
	struct peer_message m = response(10, 10);
	struct peer_txn t;
	struct world w;

	open_type(&w, &backwards, NULL, 0);
	peer_run(&w.peer, &t, "urn:x", &m);
	assert_int_equal(t.nams, 1);
	assert_true(t.am[0].ended && !t.am[0].ok);
	done(&t);
	close_(&w);
}

/* Refusals at each level (RFC 4037 11.19, 11.5, 11.7) */
static void test_refusals(void **state)
{
	struct peer_message m = response(10, 10);
	struct peer_txn t;
	struct world w;

	open_(&w, "echo:urn:x,refuse=offers", "urn:x");
	assert_int_equal(w.peer.rejected, 2);
	assert_true(peer_begin(&w.peer, &t, "urn:x", &m) < 0);
	close_(&w);
	for (int i = 0; i < 2; i++) {
		open_(&w, i ? "echo:urn:x,refuse=messages" : "echo:urn:x,refuse=transactions", "urn:x");
		peer_run(&w.peer, &t, "urn:x", &m);
		assert_int_equal(t.how.how, OCP_XEND_REFUSED);
		peer_txn_free(&t);
		close_(&w);
	}
	free((void *)(uintptr_t)m.bytes);
}

/* What a loop says to a first message, and that it closes then. */
static void want_said(uint32_t dialects, const char *first, const char *want)
{
	struct oc_loop_config cfg = OC_LOOP_CONFIG_DEFAULT;
	struct oc_loop *loop;
	char got[256];
	size_t n = 0;
	int fd[2];

	cfg.dialects = dialects;
	loop = oc_loop_new(&cfg);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(oc_loop_adopt(loop, fd[1]), 0);
	assert_int_equal(write(fd[0], first, strlen(first)), strlen(first));
	for (int i = 0; i < 5; i++) {
		ssize_t r;

		oc_loop_step(loop, 0);
		r = recv(fd[0], got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
		n += r > 0 ? (size_t)r : 0;
	}
	got[n] = '\0';
	assert_int_equal(strncmp(got, want, strlen(want)), 0);
	assert_true(*want || !n);
	assert_int_equal(recv(fd[0], got, sizeof(got), MSG_DONTWAIT), 0);
	close(fd[0]);
	oc_loop_free(loop);
}

/* --dialect: one of them only */
static void test_dialects(void **state)
{
	want_said(OC_DIALECT_DRAFT, "CS;\r\n", "");
	want_said(OC_DIALECT_CORE, "connection-start;\r\n", "CS;\r\nCE {400 ");
	want_said(OC_DIALECT_DRAFT | OC_DIALECT_CORE, "TS 1 1;\r\n", "CS;\r\nCE {400 ");
	want_said(OC_DIALECT_DRAFT | OC_DIALECT_CORE, "xaction-start 1;\r\n", "");
}

/* RFC 4037 11.5: the services of a group have to be applied in their order; more than one is not served */
static void test_group_of_several(void **state)
{
	struct oc_loop *loop = oc_loop_new(NULL);
	static const char text[] = "CS;\r\nNO ();\r\nSGC 1 ({\"5:urn:x\"},{\"5:urn:y\"});\r\nTS 1 1;\r\n"
				   "SGC 2 ({\"5:urn:x\"});\r\nTS 2 2;\r\nTE 2;\r\n";
	struct oc_error err;
	char got[512];
	ssize_t n;
	int fd[2];

	assert_int_equal(oc_loop_service(loop, &service_echo, "urn:x", NULL, 0, &err), 0);
	assert_int_equal(oc_loop_service(loop, &service_log, "urn:y", NULL, 0, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(oc_loop_adopt(loop, fd[1]), 0);
	assert_int_equal(write(fd[0], text, strlen(text)), strlen(text));
	for (int i = 0; i < 5; i++)
		oc_loop_step(loop, 0);
	n = recv(fd[0], got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got, "CS;\r\nNR;\r\nTE 1 {400 \"61:a group of several services: one is applied to a message here\"};\r\n"
				 "TE 2;\r\n");
	close(fd[0]);
	oc_loop_free(loop);
}

static void test_wishes_are_checked(void **state)
{
	static const char *const bad[] = {"echo,aux-parts=", "echo,aux-parts=response-header", "echo,aux-parts=request-header+",
					  "echo,pause-at-body=-1", "echo,pause-at-body=2147483648", "echo,pause-at-body=",
					  "echo,preservation-interest-body=x", "echo,content-encodings=", "echo,content-encodings=a+b c",
					  "echo,refuse=all"};
	struct oc_loop *loop = oc_loop_new(NULL);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct oc_error err = {""};

		if (oc_loop_service_text(loop, services_all, bad[i], &err) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(err.text, "expected"));
	}
	oc_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aux_parts),
		cmocka_unit_test(test_aux_parts_not_wanted),
		cmocka_unit_test(test_pause_at_body),
		cmocka_unit_test(test_preservation_interest),
		cmocka_unit_test(test_answer_short_circuits),
		cmocka_unit_test(test_stop_receiving_body),
		cmocka_unit_test(test_processor_pauses),
		cmocka_unit_test(test_pause_is_passed_on),
		cmocka_unit_test(test_leave_while_paused),
		cmocka_unit_test(test_nothing_after_leaving),
		cmocka_unit_test(test_prefix_of_a_service),
		cmocka_unit_test(test_unsendable_breaks_off),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_dialects),
		cmocka_unit_test(test_group_of_several),
		cmocka_unit_test(test_wishes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
