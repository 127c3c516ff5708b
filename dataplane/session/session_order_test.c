/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From segments to messages, whatever the way does to the segments. A conversation is held once over a good wire, then
 * hundreds of times over one that cuts every segment anew, lets the pieces overlap, doubles them, holds them back and
 * lets them overtake each other, marks octets urgent; numbers wrap on the client's side.
 *
 *   - The messages, what the service saw of each, and what the ends received are octet for octet those of the good wire.
 *   - A liar on the path that repeats octets with other values after them, forges resets, SYNs, FINs and octets outside of
 *     the window, changes nothing of that.
 *   - A liar that comes first wins: what he said in the first place is what the service sees and what the far end gets.
 *     Both are the same octets, always, and the stream goes on.
 *
 * The ends are real halves that retransmit and acknowledge. Everything is decided by a seed; a failure prints it.
 *
 * usage: session_order_test [SEED]   only that one
 */
#include "session_test_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#define HEAD (14 + 20 + 20)
#define RUNS 150
#define STAGE_MAX 2048
#define PAST 64

static const char http_rules[] =
	"  - {name: pass, match: {protocol: http, path: {prefix: /pass}}, action: bypass}\n"
	"  - {name: req, match: {protocol: http, kind: request, path: {prefix: /req}}, action: adapt, service: s,"
	" on-failure: open}\n"
	"  - {name: resp, match: {protocol: http, kind: response, path: {prefix: /resp}}, action: adapt, service: s,"
	" on-failure: open}\n"
	"  - {name: block, match: {protocol: http, kind: request, path: {prefix: /block}}, action: block}\n";
static const char stream_rules[] =
	"  - {name: stream, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";

/* --- the wire --------------------------------------------------------------------------------------------------- */

enum liar { HONEST, LIAR_AFTER, LIAR_FIRST };

static struct {
	bool bad;	/* cut, overlap, double, reorder */
	enum liar liar;
	uint32_t max_piece, dup, hold; /* octets; percent; percent of rounds in which nothing goes on */
	struct rte_mbuf *m[2][STAGE_MAX];
	unsigned n[2];
	struct rte_mbuf *past[2][PAST]; /* copies of what went on, for the liar */
	unsigned past_n[2];
	uint32_t top[2]; /* one past the highest number sent */
	int (*emit)(void *ctx, struct tcp_half *h, const struct tcp_out *o);
	unsigned urgent, lies;
} way;

static uint64_t rng;

static uint32_t below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 16) % n);
}

static struct rte_tcp_hdr *tcp_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, 34);
}

static uint32_t payload_of(const struct rte_mbuf *m)
{
	return m->pkt_len - HEAD;
}

static void seal(struct rte_mbuf *m)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	struct parse_frame f;

	ip->total_length = rte_cpu_to_be_16((uint16_t)(m->pkt_len - 14));
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	parse_checksum_set(&f, m);
}

/* The octets [from, from + len) of a frame as a segment of its own; the FIN stays with the last ones. */
static struct rte_mbuf *piece(struct rte_mbuf *of, uint32_t from, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(world.nic.bufs);
	struct rte_tcp_hdr *t;
	uint8_t flat[2048];
	char *p;

	assert_non_null(m);
	p = rte_pktmbuf_append(m, (uint16_t)(HEAD + len));
	memcpy(p, rte_pktmbuf_read(of, 0, HEAD, flat), HEAD);
	if (len)
		memcpy(p + HEAD, rte_pktmbuf_read(of, HEAD + from, len, flat), len);
	t = tcp_of(m);
	t->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(t->sent_seq) + from);
	if (from + len < payload_of(of))
		t->tcp_flags &= (uint8_t)~(TCP_F_FIN | TCP_F_PSH);
	if (len && !below(10)) {
		t->tcp_flags |= TCP_F_URG;
		t->tcp_urp = (uint16_t)below(65536);
		way.urgent++;
	}
	seal(m);
	return m;
}

static void stage_put(unsigned side, struct rte_mbuf *m)
{
	assert_true(way.n[side] < STAGE_MAX);
	way.m[side][way.n[side]++] = m;
}

/* The same numbers, every octet another. */
static struct rte_mbuf *lie(struct rte_mbuf *of)
{
	struct rte_mbuf *m = piece(of, 0, payload_of(of));
	uint8_t *p = rte_pktmbuf_mtod_offset(m, uint8_t *, HEAD);

	for (uint32_t i = 0; i < payload_of(m); i++)
		p[i] ^= 0x55;
	tcp_of(m)->tcp_flags &= (uint8_t)~TCP_F_FIN;
	seal(m);
	way.lies++;
	return m;
}

/* Resets, SYNs, FINs and octets that a blind attacker would try: none has the one number that counts. */
static struct rte_mbuf *forgery(unsigned side, struct rte_mbuf *of)
{
	static const uint8_t flags[] = {TCP_F_RST, TCP_F_RST | TCP_F_ACK, TCP_F_SYN, TCP_F_SYN | TCP_F_ACK, 0,
					TCP_F_FIN | TCP_F_PSH | TCP_F_URG, TCP_F_ACK, TCP_F_ACK | TCP_F_FIN};
	unsigned kind = below(8);
	struct rte_mbuf *m = piece(of, 0, payload_of(of));
	struct rte_tcp_hdr *t = tcp_of(m);
	uint32_t seq = way.top[side] + 1 + below(1000); /* not yet sent, never next */

	if (flags[kind] & TCP_F_ACK && !(flags[kind] & (TCP_F_SYN | TCP_F_RST))) {
		if (below(2)) /* right of the window, or far left of it */
			seq = below(2) ? way.top[side] + 200000 + below(1000000) : way.top[side] - 200000 - below(1000000);
		else /* of octets that were never sent */
			t->recv_ack = rte_cpu_to_be_32(rte_be_to_cpu_32(t->recv_ack) + 100000 + below(1000000));
	}
	t->tcp_flags = flags[kind];
	t->sent_seq = rte_cpu_to_be_32(seq);
	seal(m);
	way.lies++;
	return m;
}

/* An end sends a segment. */
static int on_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct world_end *e = ctx;
	unsigned side = e->side;
	struct rte_mbuf *m;
	uint32_t n, at = 0, end;

	if (way.emit(ctx, h, o))
		return -1;
	m = world.wire[side][--world.frames[side]];
	n = payload_of(m);
	end = rte_be_to_cpu_32(tcp_of(m)->sent_seq) + n + !!(tcp_of(m)->tcp_flags & TCP_F_FIN);
	if ((int32_t)(end - way.top[side]) > 0)
		way.top[side] = end;
	if (!way.bad) {
		stage_put(side, m);
		return 0;
	}
	do {
		uint32_t len = 1 + below(way.max_piece), left = below(3) ? 0 : below(at + 1), right;

		len = len > n - at ? n - at : len;
		at += len;
		right = below(3) ? 0 : below(n - at + 1);
		left = left > at - len ? at - len : left;
		stage_put(side, piece(m, at - len - left, len + left + right));
		if (below(100) < way.dup)
			stage_put(side, piece(m, at - len, len));
	} while (at < n);
	rte_pktmbuf_free(m);
	return 0;
}

static void past_put(unsigned side, struct rte_mbuf *m)
{
	unsigned i = below(PAST);

	if (way.past_n[side] < PAST)
		i = way.past_n[side]++;
	else
		rte_pktmbuf_free(way.past[side][i]);
	way.past[side][i] = piece(m, 0, payload_of(m));
}

static void go_on(unsigned side, struct rte_mbuf *m)
{
	assert_true(world.frames[side] < WORLD_FRAMES);
	if (way.liar == LIAR_FIRST && payload_of(m) && !below(6))
		world.wire[side][world.frames[side]++] = lie(m);
	world.wire[side][world.frames[side]++] = m;
	if (way.liar == HONEST)
		return;
	past_put(side, m);
	if (way.past_n[side] && !below(3)) {
		struct rte_mbuf *old = way.past[side][below(way.past_n[side])];

		if (payload_of(old))
			world.wire[side][world.frames[side]++] = lie(old);
	}
	if (!below(5))
		world.wire[side][world.frames[side]++] = forgery(side, m);
}

/* Some of what waits goes on to the session, in any order. */
static void stage_release(unsigned side)
{
	unsigned n = way.n[side];

	if (way.bad && below(100) < way.hold)
		return;
	if (way.bad && n > 1 && below(4))
		n = 1 + below(n);
	n = n > 60 ? 60 : n; /* a burst of the wire of the world, with all lies */
	while (n--) {
		unsigned i = way.bad ? below(way.n[side] > 40 ? 40 : way.n[side]) : 0;
		struct rte_mbuf *m = way.m[side][i];

		memmove(&way.m[side][i], &way.m[side][i + 1], (--way.n[side] - i) * sizeof(m));
		go_on(side, m);
	}
}

static void pump(void)
{
	unsigned quiet = 0;

	for (unsigned i = 0; quiet < 60; i++) {
		assert_true(i < 100000);
		world.now += 1000;
		stage_release(0);
		stage_release(1);
		quiet++;
		if (way.n[0] || way.n[1] || world.frames[0] || world.frames[1] || world.events_n)
			quiet = 0;
		for (unsigned k = 0; k < 2; k++)
			if (world.s && tcp_half_state(&world.end[k].half) != TCP_CLOSED &&
			    tcp_half_send_pending(&world.end[k].half))
				quiet = 0;
		world_round();
	}
}

/* --- conversations ------------------------------------------------------------------------------------------------ */

struct step {
	unsigned side;
	const char *bytes;
	uint32_t len;
	bool fin;
};

static char body[20000];

static struct step text(unsigned side, const char *s, bool fin)
{
	return (struct step){side, s, (uint32_t)strlen(s), fin};
}

/* Requests of all kinds at once, then their responses; what follows the blocked one goes on when it has been answered. The
 * last response ends with the connection. */
static unsigned http_talk(struct step *s)
{
	static char up[24000], down[24000], last[8000];
	int u, d, l;

	u = snprintf(up, sizeof(up),
		     "GET /pass/1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /req/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 7000\r\n\r\n%.7000s"
		     "POST /req/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n%.1000s\r\n1\r\n%.1s\r\n7d0;e=1\r\n"
		     "%.2000s\r\n0\r\nX-T: 1\r\n\r\nGET /resp/4 HTTP/1.1\r\nHost: a\r\n\r\nGET /resp/5 HTTP/1.1\r\nHost: a\r\n\r\n"
		     "GET /block/6 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /pass/7 HTTP/1.1\r\nHost: a\r\n\r\n"
		     "GET /resp/8 HTTP/1.1\r\nHost: a\r\n\r\n",
		     body, body + 100, body, body + 50);
	d = snprintf(down, sizeof(down),
		     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n11HTTP/1.1 100 Continue\r\n\r\n"
		     "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n%.1500s\r\n0\r\n\r\n"
		     "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n%.9000sHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "a\r\n%.10s\r\nbb8\r\n%.3000s\r\n0\r\nX-R: 2\r\n\r\n",
		     body, body + 300, body, body + 9);
	l = snprintf(last, sizeof(last), "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\nHTTP/1.1 200 OK\r\n\r\n%.4000s",
		     body + 4000);
	assert_true(u < (int)sizeof(up) && d < (int)sizeof(down) && l < (int)sizeof(last));
	s[0] = text(0, up, false);
	s[1] = text(1, down, false);
	s[2] = text(1, last, true);
	s[3] = text(0, "", true);
	return 4;
}

static unsigned stream_talk(struct step *s)
{
	s[0] = (struct step){0, body, 17000, false};
	s[1] = (struct step){1, body + 1000, 15000, false};
	s[2] = (struct step){0, body + 7, 9001, false};
	s[3] = (struct step){1, body + 500, 1, false};
	s[4] = (struct step){0, body + 3000, 2500, true};
	s[5] = (struct step){1, body + 100, 5000, true};
	return 6;
}

/* Takes a field out of a head. */
static char *field_drop(char *from, char *to, const char *name)
{
	char *at = strstr(from, name), *next;

	if (!at || at >= to)
		return to;
	next = strstr(at, "\r\n") + 2;
	memmove(at, next, (size_t)(to - next));
	return to - (next - at);
}

/* HTTP without the framing of its bodies: what a service had in its hands is framed anew, with a length if that is known
 * in time, else in chunks, which depends on when its octets came. Returns the octets, in place. */
static uint64_t unframed(char *got, uint64_t len)
{
	char *in = got, *out = got, *end = got + len, *body_at, *field;

	*end = '\0';
	while (in < end && (body_at = strstr(in, "\r\n\r\n"))) {
		uint64_t n = (uint64_t)(body_at + 4 - in), size;
		char head[1024], plain[1024];

		assert_true(n < sizeof(head));
		memcpy(head, in, n);
		head[n] = '\0';
		in += n;
		memcpy(plain, head, n + 1);
		body_at = field_drop(plain, plain + n, "Content-Length: ");
		*body_at = '\0';
		body_at = field_drop(plain, body_at, "Transfer-Encoding: ");
		memcpy(out, plain, (size_t)(body_at - plain));
		out += body_at - plain;
		if ((field = strstr(head, "Content-Length: "))) {
			size = strtoull(field + 16, NULL, 10);
			size = size == 77 ? 0 : size; /* that of the HEAD */
		} else if (strstr(head, "chunked")) {
			while (in < end && (size = strtoull(in, NULL, 16)) != 0) {
				in = strstr(in, "\r\n") + 2;
				assert_true(in + size + 2 <= end && memcmp(in + size, "\r\n", 2) == 0);
				memmove(out, in, size);
				out += size;
				in += size + 2;
			}
			field = strstr(in, "\r\n\r\n");
			assert_non_null(field);
			in = strstr(in, "\r\n") + 2; /* trailers, if there are any */
			size = field + 2 > in ? (uint64_t)(field + 4 - in) : 0;
			in += size ? 0 : 2;
		} else {
			size = strncmp(head, "HTTP/1.1 200", 12) == 0 ? (uint64_t)(end - in) : 0;
		}
		size = size > (uint64_t)(end - in) ? (uint64_t)(end - in) : size;
		memmove(out, in, size);
		out += size;
		in += size;
	}
	assert_ptr_equal(in, end);
	return (uint64_t)(out - got);
}

/* What came of one. */
struct outcome {
	char *got[2];
	uint64_t len[2];
	bool fin[2], reset[2];
	unsigned txns;
	struct world_txn *txn;
	uint64_t request, response, refused, blocked, conflict;
};

static void outcome_free(struct outcome *o)
{
	free(o->got[0]);
	free(o->got[1]);
	free(o->txn);
	memset(o, 0, sizeof(*o));
}

static void talk(struct outcome *o, const struct step *s, unsigned n, bool http)
{
	uint64_t request = world_count(STATS_msg_request), response = world_count(STATS_msg_response);
	uint64_t refused = world_count(STATS_msg_refused), blocked = world_count(STATS_msg_blocked);
	uint64_t conflict = world_count(STATS_tcp_conflict);

	world_open();
	way.emit = world.end[0].env.emit;
	way.top[0] = world.end[0].half.snd_nxt;
	way.top[1] = world.end[1].half.snd_nxt;
	for (unsigned i = 0; i < 2; i++)
		world.end[i].env.emit = on_emit;
	for (unsigned i = 0; i < n; i++) {
		for (uint32_t at = 0, len; at < s[i].len; at += len) {
			len = s[i].len - at > 16000 ? 16000 : s[i].len - at;
			world_send(s[i].side, s[i].bytes + at, len);
		}
		if (s[i].fin)
			world_fin(s[i].side);
		pump();
	}
	for (unsigned i = 0; i < 2; i++) {
		o->len[i] = world.end[i].len;
		o->got[i] = malloc(o->len[i] + 1);
		memcpy(o->got[i], world.end[i].text, o->len[i]);
		if (http)
			o->len[i] = unframed(o->got[i], o->len[i]);
		o->fin[i] = world.end[i].fin;
		o->reset[i] = world.end[i].reset;
	}
	o->txns = world.txns;
	o->txn = malloc((world.txns + 1) * sizeof(*o->txn));
	memcpy(o->txn, world.txn, world.txns * sizeof(*o->txn));
	for (unsigned i = 0; i < 2; i++) {
		while (way.n[i])
			rte_pktmbuf_free(way.m[i][--way.n[i]]);
		while (way.past_n[i])
			rte_pktmbuf_free(way.past[i][--way.past_n[i]]);
	}
	world_pass(3000000); /* the wait of whoever closed first, and the session is gone */
	o->request = world_count(STATS_msg_request) - request;
	o->response = world_count(STATS_msg_response) - response;
	o->refused = world_count(STATS_msg_refused) - refused;
	o->blocked = world_count(STATS_msg_blocked) - blocked;
	o->conflict = world_count(STATS_tcp_conflict) - conflict;
	assert_null(world.s);
	world_close();
}

#define same(x, y)                                                                                                     \
	do {                                                                                                           \
		if ((x) != (y))                                                                                        \
			fail_msg("seed %llu: " #x " is %llu, on a good wire %llu", (unsigned long long)seed,           \
				 (unsigned long long)(x), (unsigned long long)(y));                                    \
	} while (0)

static void same_octets(uint64_t seed, const char *what, unsigned i, const char *a, uint64_t alen, const char *b,
			uint64_t blen)
{
	uint64_t at = 0;

	while (at < alen && at < blen && a[at] == b[at])
		at++;
	if (at != alen || at != blen)
		fail_msg("seed %llu: %s %u: %llu octets, should be %llu, first difference at %llu", (unsigned long long)seed,
			 what, i, (unsigned long long)alen, (unsigned long long)blen, (unsigned long long)at);
}

static void compare(uint64_t seed, const struct outcome *o, const struct outcome *good)
{
	for (unsigned i = 0; i < 2; i++) {
		same_octets(seed, "end", i, o->got[i], o->len[i], good->got[i], good->len[i]);
		same(o->fin[i], good->fin[i]);
		same(o->reset[i], good->reset[i]);
	}
	same(o->txns, good->txns);
	for (unsigned i = 0; i < o->txns; i++) {
		const struct world_txn *a = &o->txn[i], *b = &good->txn[i];

		same_octets(seed, "transaction", i, a->text, a->len, b->text, b->len);
		same_octets(seed, "meta-data of transaction", i, a->meta, strlen(a->meta), b->meta, strlen(b->meta));
		same(a->head_len, b->head_len);
		same(a->end_ok, b->end_ok);
		same(a->ended_error, b->ended_error);
	}
	same(o->request, good->request);
	same(o->response, good->response);
	same(o->refused, good->refused);
	same(o->blocked, good->blocked);
}

static void way_set(uint64_t seed, enum liar liar)
{
	static const uint32_t pieces[] = {40, 200, 700, 1460};

	rng = seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
	below(2);
	way.bad = true;
	way.liar = liar;
	way.max_piece = pieces[below(4)];
	way.dup = below(3) * 15;
	way.hold = below(4) * 20;
}

static uint64_t only;

static void many(unsigned (*script)(struct step *), enum liar liar, unsigned runs)
{
	struct outcome good = {0}, o = {0};
	struct step s[8];
	unsigned n = script(s);
	uint64_t conflicts = 0;

	memset(&way, 0, sizeof(way));
	talk(&good, s, n, script == http_talk);
	assert_true(good.fin[0] && good.fin[1] && !good.reset[0] && !good.reset[1]);
	assert_true(good.txns >= 2 && good.len[0] > 10000 && good.len[1] > 10000);
	for (unsigned i = 1; i <= runs; i++) {
		uint64_t seed = only ? only : i;

		way_set(seed, liar);
		talk(&o, s, n, script == http_talk);
		conflicts += o.conflict;
		compare(seed, &o, &good);
		outcome_free(&o);
	}
	outcome_free(&good);
	assert_true(way.urgent > runs);
	print_message("%u runs, %u lies, %llu conflicts seen\n", runs, way.lies, (unsigned long long)conflicts);
	assert_true(liar == HONEST ? conflicts == 0 : conflicts > 0 && way.lies > runs);
}

static void test_http_any_order(void **state)
{
	world.service = SERVICE_AS_IS;
	many(http_talk, HONEST, RUNS);
	world.service = SERVICE_UPPER;
	many(http_talk, HONEST, RUNS / 5);
}

static void test_http_liar_after(void **state)
{
	world.service = SERVICE_AS_IS;
	many(http_talk, LIAR_AFTER, RUNS);
}

static void test_stream_any_order(void **state)
{
	world.service = SERVICE_AS_IS;
	many(stream_talk, HONEST, RUNS);
	world.service = SERVICE_UPPER;
	many(stream_talk, HONEST, RUNS / 5);
}

static void test_stream_liar_after(void **state)
{
	world.service = SERVICE_AS_IS;
	many(stream_talk, LIAR_AFTER, RUNS);
}

/* An event tells of it, with both versions: every octet of a lie is the other one with four bits turned. */
static void conflict_told(void)
{
	unsigned told = 0;

	for (uint64_t i = 0; i < world.events->head && i < SHM_EVENTS; i++) {
		const struct shm_event *e = &world.events->e[i];
		char end[8], held[40] = "", came[40] = "";
		uint32_t seq;

		if (strcmp(e->kind, "tcp-conflict") != 0)
			continue;
		assert_int_equal(sscanf(e->text, "from the %6[a-z], sequence number %u: %39[0-9a-f] was received first and stays, "
						 "%39[0-9a-f] came again", end, &seq, held, came), 4);
		assert_true(strlen(held) == strlen(came) && strlen(held) >= 2 && strlen(held) % 2 == 0);
		assert_int_equal(strtoul((char[]){held[0], held[1], 0}, NULL, 16) ^
				 strtoul((char[]){came[0], came[1], 0}, NULL, 16), 0x55);
		assert_int_equal(e->flow, 1);
		told++;
	}
	assert_true(told > 20);
}

/* Now the octets are the liar's here and there: the far end gets the very ones that the service was shown. */
static void test_stream_liar_first(void **state)
{
	struct step s[8];
	unsigned n = stream_talk(s), changed = 0;
	uint64_t conflicts = 0, sent[2] = {0};

	for (unsigned i = 0; i < n; i++)
		sent[s[i].side] += s[i].len;
	memset(&way, 0, sizeof(way));
	world.service = SERVICE_AS_IS;
	for (unsigned i = 1; i <= RUNS; i++) {
		uint64_t seed = only ? only : i;
		struct outcome o = {0};

		way_set(seed, LIAR_FIRST);
		talk(&o, s, n, false);
		same(o.txns, 2u);
		for (unsigned t = 0; t < 2; t++) {
			same(o.len[!t], sent[t]);
			same_octets(seed, "end", !t, o.got[!t], o.len[!t], o.txn[t].text, o.txn[t].len);
			assert_true(o.fin[t] && !o.reset[t]);
		}
		changed += memcmp(o.got[1], body, 17000) != 0;
		conflicts += o.conflict;
		outcome_free(&o);
	}
	print_message("%u runs, the liar's octets came through in %u, %llu conflicts seen\n", RUNS, changed,
		      (unsigned long long)conflicts);
	assert_true(changed > RUNS / 2 && conflicts > RUNS / 2);
	conflict_told();
}

static int run(void)
{
	const struct CMUnitTest http[] = {cmocka_unit_test(test_http_any_order), cmocka_unit_test(test_http_liar_after)};
	const struct CMUnitTest stream[] = {cmocka_unit_test(test_stream_any_order),
					    cmocka_unit_test(test_stream_liar_after),
					    cmocka_unit_test(test_stream_liar_first)};
	int failed = world_run(http, 2047, 8191, http_rules, NULL);

	world_chains = true;
	return failed + world_run(stream, 2047, 8191, stream_rules, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		only = strtoull(argv[1], NULL, 10);
	for (unsigned i = 0; i < sizeof(body) - 1; i++)
		body[i] = (char)('a' + (i * 7 + i / 26 + i / 1000) % 26);
	return world_main(run);
}
