/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop and its connections: limits of memory, broken peers, order, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "callout/peer.h"
#include "callout/services/services.h"

#define STREAM_META "Protocol: TCP\r\nKind: stream\r\n"

/* --- a service that notes what it is called with ------------------------------------------------- */

struct trace {
	unsigned opens, starts, datas, ends, pauses, closes;
	enum oc_close how;
	struct oc_xaction *x;
	int32_t order[8];
	unsigned norder;
};
static struct trace trace;

static int trace_open(struct oc_xaction *x, void *state)
{
	trace.opens++;
	trace.x = x;
	return 0;
}

static int trace_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	struct oc_str v;

	trace.starts++;
	if (oc_meta(x, "Rule", &v) && trace.norder < 8)
		trace.order[trace.norder++] = v.p[0];
	return 0;
}

static void trace_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	trace.datas++;
	oc_send(x, d->part, d->bytes, d->len, false);
	if (trace.datas == 1)
		assert_int_equal(oc_pause(x), 0);
}

static void trace_end(struct oc_xaction *x, void *state, bool ok)
{
	trace.ends++; /* ended later, from outside */
}

static void trace_paused(struct oc_xaction *x, void *state)
{
	trace.pauses++;
}

static void trace_close(struct oc_xaction *x, void *state, enum oc_close how)
{
	trace.closes++;
	trace.how = how;
	assert_int_equal(oc_end(x), -ENOENT);
	assert_int_equal(oc_send(x, OC_PART_NONE, "x", 1, false), -ENOENT);
}

static const struct oc_service_type trace_type = {
	.name = "trace", .uri = "urn:test:trace", .state_size = 16, .open = trace_open, .start = trace_start,
	.data = trace_data, .end = trace_end, .paused = trace_paused, .close = trace_close,
};

static struct oc_loop *loop_with(const struct oc_loop_config *cfg)
{
	struct oc_loop *loop = oc_loop_new(cfg);
	struct oc_error err;

	assert_non_null(loop);
	memset(&trace, 0, sizeof(trace));
	assert_int_equal(oc_loop_service(loop, &trace_type, NULL, NULL, 0, &err), 0);
	assert_int_equal(oc_loop_service(loop, &service_echo, NULL, NULL, 0, &err), 0);
	assert_int_equal(oc_loop_service(loop, &service_as_is, NULL, NULL, 0, &err), 0);
	return loop;
}

static struct peer_message stream(const void *p, size_t len, size_t chunk)
{
	return (struct peer_message){.meta = STREAM_META, .bytes = p, .len = len, .sizep = -1, .chunk = chunk};
}

/* --- tests --------------------------------------------------------------------------------------- */

static void test_pause_and_late_end(void **state)
{
	struct oc_loop *loop = loop_with(NULL);
	struct peer p;
	struct peer_txn t;
	struct peer_message m = stream("abcdef", 6, 2);

	peer_open(&p, loop, 0);
	assert_int_equal(peer_begin(&p, &t, "urn:test:trace", &m), 0);
	peer_feed(&t, &p);
	peer_turns(&p, 5);
	assert_true(t.paused);
	assert_int_equal(trace.pauses, 1);
	assert_int_equal(oc_need(trace.x, 0), 0);
	peer_turns(&p, 5);
	assert_false(t.paused);
	while (peer_feed(&t, &p))
		peer_turns(&p, 2);
	peer_turns(&p, 5);
	assert_int_equal(trace.ends, 1);
	assert_int_equal(trace.closes, 0);
	assert_false(t.over);
	assert_int_equal(oc_send(trace.x, OC_PART_NONE, "!", 1, true), 0);
	assert_int_equal(oc_end(trace.x), 0);
	peer_turns(&p, 5);
	assert_true(t.over);
	assert_int_equal(t.am[0].data.len, 7);
	assert_memory_equal(t.am[0].data.p, "abcdef!", 7);
	assert_int_equal(trace.closes, 1);
	assert_int_equal(trace.how, OC_CLOSE_DONE);
	peer_txn_free(&t);
	peer_close(&p);
	oc_loop_free(loop);
}

static void test_close_reasons(void **state)
{
	struct oc_loop *loop = loop_with(NULL);
	struct peer_message m = stream("abc", 3, 3);
	struct peer_txn t, t2;
	struct peer p;

	peer_open(&p, loop, 0);
	assert_int_equal(peer_begin(&p, &t, "urn:test:trace", &m), 0);
	peer_turns(&p, 3);
	ocp_processor_xaction_end(p.ocp, t.xid, true, NULL);
	peer_turns(&p, 3);
	assert_int_equal(trace.closes, 1);
	assert_int_equal(trace.how, OC_CLOSE_PEER);

	assert_int_equal(peer_begin(&p, &t, "urn:test:trace", &m), 0);
	peer_feed(&t, &p);
	peer_turns(&p, 3);
	assert_int_equal(t.nams, 1);
	ocp_processor_am_abort(p.ocp, t.xid, t.am[0].id);
	peer_turns(&p, 3);
	assert_int_equal(trace.closes, 2);
	assert_int_equal(trace.how, OC_CLOSE_PEER);
	assert_true(t.over);
	peer_txn_free(&t);

	assert_int_equal(peer_begin(&p, &t, "urn:test:trace", &m), 0);
	assert_int_equal(peer_begin(&p, &t2, "urn:test:trace", &m), 0);
	peer_turns(&p, 3);
	peer_close(&p);
	assert_int_equal(trace.closes, 4);
	assert_int_equal(trace.how, OC_CLOSE_CONNECTION);

	peer_open(&p, loop, 0);
	assert_int_equal(peer_begin(&p, &t, "urn:test:trace", &m), 0);
	peer_turns(&p, 3);
	oc_loop_free(loop);
	assert_int_equal(trace.closes, 5);
	assert_int_equal(trace.opens, 5);
	p.loop = oc_loop_new(NULL);
	peer_turns(&p, 2); /* our last words have arrived */
	assert_true(p.closed);
	assert_int_equal(p.how, OCP_END_PEER);
	peer_close(&p);
	oc_loop_free(p.loop);
}

/* A peer that writes and does not read is not read from either; when it reads again nothing is lost. */
static void test_back_pressure(void **state)
{
	struct oc_loop_config cfg = OC_LOOP_CONFIG_DEFAULT;
	size_t len = 40 << 20;
	uint8_t *bytes = malloc(len);
	struct peer_message m = stream(bytes, len, 65536);
	struct oc_loop *loop;
	struct oc_stats st, later;
	struct peer p;
	struct peer_txn t;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	cfg.out_high = 1 << 20;
	cfg.out_low = 1 << 18;
	loop = loop_with(&cfg);
	peer_open(&p, loop, 0);
	p.deaf = true;
	assert_int_equal(peer_begin(&p, &t, "urn:opes:service:echo", &m), 0);
	while (peer_feed(&t, &p))
		;
	peer_turns(&p, 2000);
	oc_loop_stats(loop, &st);
	assert_true(st.octets_in < (6u << 20)); /* high-water mark, one round, the socket's buffer */
	peer_turns(&p, 100);
	oc_loop_stats(loop, &later);
	assert_int_equal(later.octets_in, st.octets_in);
	p.deaf = false;
	while (!t.over)
		peer_turn(&p);
	assert_int_equal(t.am[0].data.len, len);
	assert_memory_equal(t.am[0].data.p, bytes, len);
	peer_txn_free(&t);
	peer_close(&p);
	oc_loop_free(loop);
	free(bytes);
}

static void test_malformed(void **state)
{
	static const struct {
		const char *in;
		bool answer; /* connection-end with error, else closed without a word */
	} cases[] = {
		{"connection-start;\r\nxaction-start x;\r\n", true},
		{"connection-start;\r\n\"bad", true},
		{"data-end 1 1;\r\n", false}, /* outside of a connection */
		{"connection-start;\r\nconnection-end;\r\nxaction-start 1;\r\n", false},
	};
	struct oc_loop *loop = loop_with(NULL);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char got[400] = "";
		size_t n = 0;
		ssize_t r = -1;
		int fd[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		assert_int_equal(oc_loop_adopt(loop, fd[1]), 0);
		assert_int_equal(write(fd[0], cases[i].in, strlen(cases[i].in)), strlen(cases[i].in));
		for (int k = 0; k < 20 && r != 0; k++) {
			oc_loop_step(loop, 0);
			r = recv(fd[0], got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
			if (r > 0)
				n += (size_t)r;
		}
		assert_int_equal(r, 0);
		assert_int_equal(strncmp(got, "connection-end\r\n", 16) == 0, cases[i].answer);
		assert_int_equal(strstr(got, "\r\nerror: true\r\n") != NULL, cases[i].answer);
		assert_true(cases[i].answer || !n);
		close(fd[0]);
		for (int k = 0; k < 3; k++)
			oc_loop_step(loop, 0);
	}
	oc_loop_free(loop);
}

/* Octet by octet, with names of several transactions mixed, without am-part and copied: any peer may do so. */
static void test_one_octet_writes(void **state)
{
	static const char in[] = "connection-start;\r\nconnection-service {\"21:urn:opes:service:echo\"};\r\n"
				 "xaction-start 7;\r\napp-message-start 7 1 \"14:Kind: stream\r\n\";\r\n"
				 "xaction-start 9\r\nservice: {\"22:urn:opes:service:as-is\"}\r\n;\r\n"
				 "data-have 7 1 0\r\n5:hello\r\n;\r\n"
				 "app-message-start 9 1 \"14:Kind: stream\r\n\";\r\n"
				 "data-have 9 1 0\r\ncopied: true\r\n\r\n3:abc\r\n;\r\n"
				 "data-have 7 1 5\r\nack: true\r\n\r\n5:again\r\n;\r\ndata-end 7 1;\r\ndata-end 9 1;\r\n";
	static const char *const want[] = {
		"app-message-start 7 2 \"0:\";\r\n", "data-have 7 2 4\r\n1:o\r\n;\r\n", "data-have 7 2 9\r\n1:n\r\n;\r\n",
		"data-ack 7 1 5 5;\r\n", "data-end 7 2;\r\n", "xaction-end 7;\r\n", "data-as-is 9 2 2 1 1 2;\r\n",
		"xaction-end 9;\r\n"};
	struct oc_loop *loop = loop_with(NULL);
	char got[4000] = "";
	size_t n = 0;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(oc_loop_adopt(loop, fd[1]), 0);
	for (size_t i = 0; i < strlen(in) + 5; i++) {
		ssize_t r;

		if (i < strlen(in))
			assert_int_equal(write(fd[0], in + i, 1), 1);
		oc_loop_step(loop, 0);
		r = recv(fd[0], got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
		if (r > 0)
			n += (size_t)r;
	}
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		if (!strstr(got, want[i]))
			fail_msg("no '%s' in:\n%s", want[i], got);
	}
	close(fd[0]);
	for (int k = 0; k < 3; k++)
		oc_loop_step(loop, 0);
	oc_loop_free(loop);
}

/* <35>: what is readable at the same time is served in the order of the connections' priorities. */
static void test_priority(void **state)
{
	struct oc_loop *loop = loop_with(NULL);
	struct peer p[3];
	struct peer_txn t[3];
	struct peer_message m[3];
	static const int32_t priority[3] = {-5, 100, 7};
	static const char *const meta[3] = {"Kind: stream\r\nRule: low\r\n", "Kind: stream\r\nRule: high\r\n",
					    "Kind: stream\r\nRule: mid\r\n"};

	for (int i = 0; i < 3; i++) {
		peer_open(&p[i], loop, priority[i]);
		peer_turns(&p[i], 3);
	}
	for (int i = 0; i < 3; i++) {
		m[i] = stream("x", 1, 1);
		m[i].meta = meta[i];
		assert_int_equal(peer_begin(&p[i], &t[i], "urn:test:trace", &m[i]), 0);
		assert_int_equal(write(p[i].fd, p[i].out.p, p[i].out.len), p[i].out.len);
		p[i].out.len = 0;
	}
	oc_loop_step(loop, 0);
	assert_int_equal(trace.norder, 3);
	assert_int_equal(trace.order[0], 'h');
	assert_int_equal(trace.order[1], 'm');
	assert_int_equal(trace.order[2], 'l');
	for (int i = 0; i < 3; i++) {
		peer_txn_free(&t[i]);
		peer_close(&p[i]);
	}
	oc_loop_free(loop);
}

/* --- a service that counts octets by the rule of their message ------------------------------------ */

static struct {
	uint64_t high, low;
	char order[64]; /* whose data came, first letter of the rule, in this round */
	unsigned n;
} count;

static void count_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	struct oc_str v = {"?", 1};

	oc_meta(x, "Rule", &v);
	*(v.p[0] == 'h' ? &count.high : &count.low) += d->len;
	if (count.n < sizeof(count.order) && (!count.n || count.order[count.n - 1] != v.p[0]))
		count.order[count.n++] = v.p[0];
}

static const struct oc_service_type count_type = {.name = "count", .uri = "urn:test:count", .data = count_data};

static int dial(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

struct pusher {
	int fd;
	char text[65600]; /* the data-have being written */
	size_t len, at;
	uint64_t offset;
};

/* A processor on a TCP connection that has always something to say. */
static void pusher_open(struct pusher *p, struct oc_loop *loop, const char *rule, int priority)
{
	char text[512], meta[64];
	int one = 1;

	memset(p, 0, sizeof(*p));
	p->fd = dial(oc_loop_port(loop, 0));
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	snprintf(meta, sizeof(meta), "Kind: stream\r\nRule: %s\r\n", rule);
	snprintf(text, sizeof(text), "connection-start\r\npriority: %d\r\n;\r\nconnection-service {\"14:urn:test:count\"};\r\n"
		 "xaction-start 1;\r\napp-message-start 1 1 \"%zu:%s\";\r\n", priority, strlen(meta), meta);
	assert_int_equal(write(p->fd, text, strlen(text)), strlen(text));
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
}

static void pusher_fill(struct pusher *p)
{
	for (;;) {
		ssize_t n;

		if (p->at == p->len) {
			p->len = (size_t)sprintf(p->text, "data-have 1 1 %llu\r\n65000:", (unsigned long long)p->offset);
			memset(p->text + p->len, 'x', 65000);
			memcpy(p->text + p->len + 65000, "\r\n;\r\n", 5);
			p->len += 65005;
			p->at = 0;
			p->offset += 65000;
		}
		n = send(p->fd, p->text + p->at, p->len - p->at, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		p->at += (size_t)n;
	}
}

/* <35>: with both always readable, the higher one is served first in every round and gets more; the lower one is not starved */
static void test_priority_under_load(void **state)
{
	struct oc_loop *loop = oc_loop_new(NULL);
	struct oc_error err;
	struct pusher p[2];
	unsigned both = 0, rounds = 0;

	assert_int_equal(oc_loop_service(loop, &count_type, NULL, NULL, 0, &err), 0);
	assert_int_equal(oc_loop_listen(loop, "tcp:127.0.0.1:0", &err), 0);
	pusher_open(&p[0], loop, "low", -1); /* the first to come */
	pusher_open(&p[1], loop, "high", 9);
	for (int i = 0; i < 10; i++)
		oc_loop_step(loop, 1);
	memset(&count, 0, sizeof(count));
	while (both < 100) {
		uint64_t low = count.low;

		pusher_fill(&p[0]);
		pusher_fill(&p[1]);
		count.n = 0;
		oc_loop_step(loop, 10);
		assert_true(rounds++ < 100000);
		if (count.n < 2)
			continue;
		both++;
		assert_int_equal(count.order[0], 'h');
		assert_int_equal(count.n, 2);
		assert_true(count.low > low);
	}
	assert_true(count.high > count.low + count.low / 2);
	close(p[0].fd);
	close(p[1].fd);
	oc_loop_free(loop);
}

static void test_listen(void **state)
{
	struct oc_loop_config cfg = OC_LOOP_CONFIG_DEFAULT;
	struct oc_loop *loop;
	struct oc_error err = {""};
	static const char *const refused[][2] = {
		{"connection-start;\r\n", "connection-end\r\n"}, {"CS;\r\nNO ();\r\n", "CS;\r\nCE {400"}};
	char path[64], address[80], said[256];
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct oc_stats st;
	int fd, other;

	cfg.connections_max = 1;
	loop = loop_with(&cfg);
	assert_int_equal(oc_loop_listen(loop, "tcp:127.0.0.1:0", &err), 0);
	assert_true(oc_loop_port(loop, 0) > 0);
	fd = dial(oc_loop_port(loop, 0));
	oc_loop_step(loop, 100);
	for (size_t i = 0; i < 2; i++) { /* one too many is told so, in its dialect */
		ssize_t n;

		other = dial(oc_loop_port(loop, 0));
		oc_loop_step(loop, 100);
		assert_int_equal(send(other, refused[i][0], strlen(refused[i][0]), 0), strlen(refused[i][0]));
		oc_loop_step(loop, 100);
		oc_loop_stats(loop, &st);
		assert_int_equal(st.connections_open, 1);
		assert_int_equal(st.connections_refused, i + 1);
		n = recv(other, said, sizeof(said) - 1, 0);
		assert_true(n > 0);
		said[n] = '\0';
		assert_int_equal(strncmp(said, refused[i][1], strlen(refused[i][1])), 0);
		close(other);
	}
	close(fd);
	oc_loop_step(loop, 100);

	snprintf(path, sizeof(path), "/tmp/oc-test-%d.sock", getpid());
	snprintf(address, sizeof(address), "unix:%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0); /* left behind by a server that was killed */
	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_int_equal(oc_loop_listen(loop, address, &err), 0);
	assert_int_equal(oc_loop_listen(loop, address, &err), -EADDRINUSE);
	assert_int_equal(oc_loop_port(loop, 1), 0);
	assert_int_not_equal(oc_loop_listen(loop, "tcp:127.0.0.1", &err), 0);
	assert_int_not_equal(oc_loop_listen(loop, "tcp:::1:80", &err), 0);
	assert_int_not_equal(oc_loop_listen(loop, "udp:127.0.0.1:1", &err), 0);
	assert_int_not_equal(oc_loop_listen(loop, "unix:", &err), 0);
	oc_loop_stop(loop);
	assert_int_equal(oc_loop_run(loop), 0);
	oc_loop_free(loop);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_text(void **state)
{
	char s[] = "a\\,b\\=\\x41\\n\\\\\\q\\x4";

	assert_int_equal(oc_unescape(s), 10);
	assert_memory_equal(s, "a,b=A\n\\qx4", 11);
	assert_null(oc_find_unescaped("a\\,b", ','));
	assert_string_equal(oc_find_unescaped("a\\,b,c", ','), ",c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_and_late_end),
		cmocka_unit_test(test_close_reasons),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_one_octet_writes),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_priority_under_load),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
