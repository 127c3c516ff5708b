/* SPDX-License-Identifier: BSD-3-Clause */
/* One TCP half: segments coming in, in order and not, and segments going out and acknowledged. */
#include <string.h>
#include <errno.h>
#include "tcp/tcp.h"
#include "micro.h"

#define PEER_SEQ 0xffff0000u
#define OUR_SEQ 1000u
#define BUFFER (1u << 20)
#define STEP_US 200u /* between two bursts */

enum order { IN_ORDER, SWAPPED, FIRST_LAST };

/* A half on a virtual clock, and the peer it believes to talk to. */
struct rig {
	struct tcp_env env;
	struct tcp_half h;
	uint64_t received;	 /* octets given to the half so far */
	uint64_t sent;		 /* octets the half sent, in order */
	uint32_t acks, last_ack; /* bare acknowledgements */
	bool wrong;
};

static int emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct rig *r = ctx;

	if (o->payload_len == 0) {
		r->acks++;
		r->last_ack = o->ack;
		return 0;
	}
	if (o->seq != OUR_SEQ + (uint32_t)r->sent ||
	    memcmp(o->c->data + o->skip, micro_pattern(r->sent), 8) != 0)
		r->wrong = true;
	r->sent += o->payload_len;
	return 0;
}

static void rig_open(struct rig *r)
{
	struct tcp_params p = {.snd_nxt = OUR_SEQ,
			       .rcv_nxt = PEER_SEQ,
			       .snd_wnd = BUFFER,
			       .rcv_wnd = 65535,
			       .mss = MICRO_SEGMENT,
			       .rcv_mss = MICRO_SEGMENT,
			       .snd_wscale = 7,
			       .rcv_wscale = 7,
			       .wscale = true,
			       .sack = true,
			       .srtt_us = 1000};

	memset(r, 0, sizeof(*r));
	r->env = (struct tcp_env){.now_us = 1000000,
				  .pool = micro_pool(),
				  .emit = emit,
				  .ctx = r,
				  .rcvbuf_max = BUFFER};
	tcp_half_open(&r->h, &p, &r->env);
	tcp_half_output(&r->env, &r->h);
}

static void rig_close(struct bench *b, struct rig *r)
{
	tcp_half_free(&r->env, &r->h);
	if (r->wrong)
		bench_fail(b, "the half did not send or take what it should");
	if (!micro_pool_whole())
		bench_fail(b, "chunks or buffers were lost");
}

static unsigned place(enum order order, unsigned i)
{
	switch (order) {
	case SWAPPED:
		return i ^ 1;
	case FIRST_LAST:
		return (i + 1) % MICRO_BURST;
	default:
		return i;
	}
}

static void segments_make(const struct rig *r, enum order order, uint32_t size,
			  struct tcp_segment *s, struct chunkq *q)
{
	for (unsigned i = 0; i < MICRO_BURST; i++) {
		uint64_t off = r->received + (uint64_t)place(order, i) * size;

		s[i] = (struct tcp_segment){.seq = PEER_SEQ + (uint32_t)off,
					    .ack = OUR_SEQ,
					    .len = size,
					    .window = BUFFER >> 7,
					    .flags = TCP_F_ACK,
					    .header_len = 20};
		chunkq_init(&q[i]);
		chunkq_push(&q[i], micro_chunk(off, size));
	}
}

/* A burst comes in, its octets are taken, and what is to be said is said, once for the burst. */
static void input(struct bench *b, enum order order, uint32_t size)
{
	struct tcp_segment s[MICRO_BURST];
	struct chunkq q[MICRO_BURST], out;
	struct rig r;

	rig_open(&r);
	chunkq_init(&out);
	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		segments_make(&r, order, size, s, q);
		r.env.now_us += STEP_US;
		bench_resume(b);
		for (unsigned i = 0; i < MICRO_BURST; i++)
			tcp_half_input(&r.env, &r.h, &s[i], &q[i]);
		r.wrong |= tcp_half_take(&r.env, &r.h, &out, tcp_half_rxq(&r.h)->bytes) != 0;
		tcp_half_output(&r.env, &r.h);
		bench_pause(b);
		if (out.bytes != MICRO_BURST * size || !micro_is_pattern(&out, r.received))
			r.wrong = true;
		r.received += MICRO_BURST * size;
		chunkq_purge(r.env.pool, &out);
		bench_resume(b);
	}
	/* At the least every other full segment was acknowledged, RFC 9293 3.8.6.3, by burst. */
	if (size == MICRO_SEGMENT && r.last_ack != PEER_SEQ + (uint32_t)r.received)
		r.wrong = true;
	bench_bytes(b, bench_iterations(b) * size);
	rig_close(b, &r);
}

static void in_order(struct bench *b)
{
	input(b, IN_ORDER, (uint32_t)bench_arg(b, 0));
}

static void swapped(struct bench *b)
{
	input(b, SWAPPED, (uint32_t)bench_arg(b, 0));
}

static void first_last(struct bench *b)
{
	input(b, FIRST_LAST, (uint32_t)bench_arg(b, 0));
}

/* A burst is sent in segments and acknowledged by every other one, as a receiver does. */
static void send_acked(struct bench *b)
{
	struct tcp_segment ack = {
		.seq = PEER_SEQ, .window = BUFFER >> 7, .flags = TCP_F_ACK, .header_len = 20};
	uint64_t queued = 0;
	struct chunkq q, none;
	struct rig r;

	rig_open(&r);
	chunkq_init(&none);
	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		chunkq_init(&q);
		for (unsigned i = 0; i < MICRO_BURST; i++, queued += MICRO_SEGMENT)
			chunkq_push(&q, micro_chunk(queued, MICRO_SEGMENT));
		ack.ack = OUR_SEQ + (uint32_t)r.sent;
		r.env.now_us += STEP_US;
		bench_resume(b);
		tcp_half_send(&r.env, &r.h, &q);
		while (r.sent < queued && !r.wrong) {
			uint64_t before = r.sent;

			tcp_half_output(&r.env, &r.h);
			r.env.now_us += STEP_US; /* the path's round trip */
			r.wrong |= r.sent == before;
			while (ack.ack != OUR_SEQ + (uint32_t)r.sent) {
				uint32_t left = OUR_SEQ + (uint32_t)r.sent - ack.ack;

				ack.ack += left < 2 * MICRO_SEGMENT ? left : 2 * MICRO_SEGMENT;
				tcp_half_input(&r.env, &r.h, &ack, &none);
			}
		}
	}
	if (r.sent != queued || tcp_half_send_pending(&r.h))
		r.wrong = true;
	bench_bytes(b, bench_iterations(b) * MICRO_SEGMENT);
	rig_close(b, &r);
}

void micro_tcp(void)
{
	static const int64_t sizes[][BENCH_ARGS_MAX] = {{64}, {MICRO_SEGMENT}};
	static const struct bench_def defs[] = {
		{.name = "tcp/input_in_order",
		 .fn = in_order,
		 .arg = {"payload"},
		 MICRO_SETS(sizes)},
		{.name = "tcp/input_swapped", .fn = swapped, .arg = {"payload"}, MICRO_SETS(sizes)},
		{.name = "tcp/input_first_last",
		 .fn = first_last,
		 .arg = {"payload"},
		 MICRO_SETS(sizes)},
		{.name = "tcp/send_acked", .fn = send_acked},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
