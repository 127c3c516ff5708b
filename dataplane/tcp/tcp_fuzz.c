/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The input drives one half: segments from a peer that lies as it likes, an owner that sends,
 * takes, finishes and aborts, a port that refuses, time that passes. What must hold whatever comes:
 *
 * - bytes taken are those of their sequence numbers (the peer's payload is a function of these;
 *   only a segment marked as a liar's may differ, and then the check is off);
 * - bytes sent, the first time and again, are those the owner queued for their numbers;
 * - a segment carries at most the MSS, and SACK blocks only without payload;
 * - the window never closes by more than its rounding (INV-TCP-3), what is held never exceeds the
 *   buffer by more than that;
 * - sacked and lost bytes are not more than those in flight;
 * - timers make progress, and in the end nothing is leaked.
 */
#include <stddef.h>

#include "mem/mem_testing.h"
#include "tcp/tcp_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MSS 300u
#define RCVBUF 20000u
#define BUFS 4095u

struct fuzz {
	const uint8_t *p, *end;
	struct chunk_pool pool;
	struct tcp_env env;
	struct tcp_half h;
	struct tcp_params params;
	uint32_t queued; /* next number the owner will queue */
	uint32_t taken;	 /* next number it will take */
	uint32_t edge;
	bool lied, refuse;
};

static struct fuzz f;

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "does not hold: %s (line %d)\n", #x, __LINE__);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static uint8_t next(void)
{
	return f.p < f.end ? *f.p++ : 0;
}

static uint8_t theirs(uint32_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8));
}

static uint8_t ours(uint32_t seq)
{
	return (uint8_t)(seq * 13 + (seq >> 7));
}

static int emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	const struct chunk *c = o->c;
	uint32_t skip = o->skip, i, edge;

	CHECK(o->payload_len <= MSS);
	CHECK(!o->nsack || !o->payload_len);
	CHECK(o->nsack <= TCP_SACK_MAX);
	if (f.refuse)
		return -1;
	for (i = 0; i < o->payload_len; i++, skip++) {
		while (skip >= c->len) {
			skip = 0;
			c = c->next;
			CHECK(c);
		}
		CHECK(c->data[skip] == ours(o->seq + i));
	}
	if (o->flags & TCP_F_RST)
		return 0;
	edge = o->ack + ((uint32_t)o->window << h->rcv_wscale);
	CHECK((int32_t)(edge + (1u << h->rcv_wscale) - f.edge) > 0);
	if ((int32_t)(edge - f.edge) > 0)
		f.edge = edge;
	return 0;
}

static void segment(uint8_t op)
{
	struct tcp_half *h = &f.h;
	struct tcp_segment s = {.header_len = 20};
	uint32_t base[4] = {h->rcv_nxt, h->rcv_adv, h->rcv_nxt - 300, h->rcv_nxt + 1000};
	uint32_t acks[4] = {h->snd_una, h->snd_nxt, h->snd_una - 100, h->snd_una + MSS};
	uint8_t shape = next(), bytes[1024];
	struct chunkq q;
	uint32_t i, cut;
	bool lie = shape == 0xff;

	s.flags = next();
	if (op & 1)
		s.flags = TCP_F_ACK | (s.flags & (s.flags >> 4) & TCP_F_FIN);
	s.seq = base[shape & 3] + (uint32_t)((int8_t)next() * ((shape >> 2 & 1) ? 97 : 1));
	s.ack = acks[shape >> 3 & 3] + (uint32_t)((int8_t)next() * ((shape >> 5 & 1) ? 53 : 1));
	s.window = (uint16_t)(next() << (shape >> 6 & 1 ? 6 : 2));
	s.len = (op & 2) ? next() * 4u : 0;
	s.nsack = (op >> 2) % (TCP_SACK_MAX + 1);
	for (i = 0; i < s.nsack; i++) {
		s.sack[i].left = h->snd_una + next() * 50u - 100;
		s.sack[i].right = s.sack[i].left + next() * 50u;
	}
	f.lied |= lie;
	for (i = 0; i < s.len; i++)
		bytes[i] = lie ? next() : theirs(s.seq + i);
	chunkq_init(&q);
	for (i = 0; i < s.len; i += cut) {
		struct chunk *c;

		cut = s.len - i < 700 ? s.len - i : 700;
		c = mem_testing_chunk(&f.pool, bytes + i, cut);
		if (!c) { /* out of buffers: the port would have dropped it */
			chunkq_purge(&f.pool, &q);
			return;
		}
		chunkq_push(&q, c);
	}
	tcp_half_input(&f.env, h, &s, &q);
	CHECK(chunkq_empty(&q) && !q.bytes);
}

static void owner_send(uint32_t n)
{
	uint8_t bytes[2048];
	struct chunkq q;
	uint32_t i;

	if (f.h.flags & HALF_FIN_QUEUED || f.h.state == TCP_CLOSED || n > tcp_half_send_room(&f.h))
		return;
	for (i = 0; i < n; i++)
		bytes[i] = ours(f.queued + i);
	chunkq_init(&q);
	if (n & 1) {
		if (chunkq_put(&f.pool, &q, bytes, n))
			return;
	} else if (n) {
		struct chunk *c = mem_testing_chunk(&f.pool, bytes, n);

		if (!c)
			return;
		chunkq_push(&q, c);
	}
	f.queued += n;
	tcp_half_send(&f.env, &f.h, &q);
}

static void owner_take(uint64_t n)
{
	struct chunkq q;
	struct chunk *c;
	uint32_t i;

	if (n > tcp_half_rxq(&f.h)->bytes)
		n = tcp_half_rxq(&f.h)->bytes;
	chunkq_init(&q);
	(void)tcp_half_take(&f.env, &f.h, &q, n);
	while ((c = chunkq_pop(&q))) {
		for (i = 0; i < c->len; i++)
			CHECK(f.lied || c->data[i] == theirs(f.taken + i));
		f.taken += c->len;
		chunk_free(&f.pool, c);
	}
}

static void pass_time(uint64_t us)
{
	uint64_t until = f.env.now_us + us, d;
	unsigned n = 0;

	while ((d = tcp_half_deadline(&f.h)) <= until) {
		if (++n > 200 && f.refuse)
			break; /* it tries again every millisecond */
		CHECK(n < 10000);
		if (d > f.env.now_us)
			f.env.now_us = d;
		tcp_half_timer(&f.env, &f.h);
		tcp_half_output(&f.env, &f.h);
	}
	f.env.now_us = until;
}

/* INV-TCP-6 */
static void times(void)
{
	const struct tcp_half *h = &f.h;
	uint32_t left = h->snd_nxt - h->snd_una + h->una_skip, last = 0;
	const struct chunk *c;

	left -= !!(h->flags & HALF_FIN_SENT) && left;
	for (c = h->sndq.head; c && left; c = c->next) {
		CHECK(c == h->sndq.head || (int32_t)(c->rsvd - last) >= 0);
		last = c->rsvd;
		left -= c->len < left ? c->len : left;
	}
}

static void invariants(void)
{
	const struct tcp_half *h = &f.h;
	uint32_t flight = h->snd_nxt - h->snd_una;

	CHECK((int32_t)flight >= 0);
	CHECK(h->sacked <= flight);
	if (h->flags & HALF_SACK)
		CHECK(h->sacked + h->lost <= flight);
	CHECK(h->state == TCP_CLOSED || seq_le(h->snd_nxt, f.queued + 1));
	CHECK(h->rxq.bytes + h->ooo.bytes <= RCVBUF + 65535 + 128);
	CHECK(h->score || !h->score_n); /* an empty one may wait for the next ACK: what was sent again is lost again */
	CHECK(h->cwnd >= h->mss || h->ca == TCP_CA_RECOVERY);
	CHECK(f.env.ooo_bytes == h->ooo.bytes);
	CHECK(!f.env.ooo_max || h->ooo.bytes <= f.env.ooo_max + 1024);
	CHECK(h->reo_at == TCP_NEVER || h->score);
	times();
}

static void conflict(void *ctx, struct tcp_half *h, const struct tcp_conflict *k)
{
	CHECK(f.lied && h == &f.h && k->len >= 1 && k->len <= TCP_CONFLICT_MAX && k->held[0] != k->came[0]);
}

/* The rarer calls. */
static void other(uint8_t op)
{
	struct tcp_half_info i;

	switch (op & 7) {
	case 4:
		tcp_half_mtu(&f.env, &f.h, f.h.snd_una + next() * 8u - 50, (uint16_t)(next() * 6u));
		break;
	case 5:
		tcp_half_keepalive(&f.env, &f.h);
		break;
	case 6:
		tcp_half_info(&f.env, &f.h, &i);
		CHECK(!tcp_half_quiet(&f.h) || (!i.unsent && !i.unacked && !i.rxq && !i.ooo_bytes));
		break;
	case 7:
		f.env.scarce = next() % 3;
		break;
	default:
		f.env.rcvbuf_max = (op & 3) ? RCVBUF : 2000;
		break;
	}
}

static void step(uint8_t op)
{
	switch (op >> 5) {
	case 0:
	case 1:
	case 2:
		segment(op);
		break;
	case 3:
		owner_send((op & 31) ? (op & 31) * 40u : next());
		break;
	case 4:
		owner_take((op & 31) ? (op & 31) * 300u : 1);
		break;
	case 5:
		pass_time(1ull << (op & 31) % 28);
		break;
	case 6:
		if ((op & 31) == 31)
			tcp_half_abort(&f.env, &f.h);
		else if ((op & 31) > 27)
			tcp_half_finish(&f.h);
		f.refuse = (op & 31) < 2;
		break;
	default:
		other(op);
		break;
	}
	if (op & 0x10)
		tcp_half_output(&f.env, &f.h);
	invariants();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t mode;

	if (!f.pool.desc)
		mem_testing_pool(&f.pool, BUFS, 4 * BUFS);
	f.p = data;
	f.end = data + size;
	mode = next();
	f.env = (struct tcp_env){
		.now_us = 1000000, .pool = &f.pool, .emit = emit, .rcvbuf_max = RCVBUF,
		.cc = (mode & 32) ? TCP_CC_NEWRENO : TCP_CC_CUBIC, .ooo_max = (mode & 64) ? 5000 : 0, .conflict = conflict};
	f.params = (struct tcp_params){
		.snd_nxt = 0xfffffc00u,
		.rcv_nxt = 0xffffff00u,
		.mss = MSS,
		.rcv_mss = 1400,
		.snd_wnd = (mode & 4) ? 400 : 30000,
		.rcv_wnd = (mode & 8) ? 0 : 65535,
		.sack = !(mode & 1),
		.wscale = !(mode & 2),
		.snd_wscale = 2,
		.rcv_wscale = 7,
		.srtt_us = (mode & 16) ? 0 : 5000,
	};
	f.queued = f.params.snd_nxt;
	f.taken = f.edge = f.params.rcv_nxt;
	f.lied = f.refuse = false;
	tcp_half_open(&f.h, &f.params, &f.env);
	while (f.p < f.end)
		step(next());
	owner_take(UINT64_MAX);
	tcp_half_free(&f.env, &f.h);
	CHECK(mem_testing_clean(&f.pool));
	return 0;
}
