/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tcp/tcp_rig.h"

struct chunk_pool pool;
struct rig r;

static int rig_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct rig *rig = ctx;

	assert_ptr_equal(h, &rig->h);
	if (rig->refuse)
		return -105;
	assert_true(rig->n < 4096);
	rig->out[rig->n].o = *o;
	if (o->payload_len) {
		assert_non_null(o->c);
		rig->out[rig->n].first = o->c->data[o->skip];
	}
	rig->n++;
	return 0;
}

void rig_open(bool sack, uint32_t snd_wnd)
{
	struct tcp_params p = {
		.snd_nxt = ISS,
		.rcv_nxt = IRS,
		.snd_wnd = snd_wnd,
		.rcv_wnd = 60000,
		.mss = MSS,
		.rcv_mss = MSS,
		.snd_wscale = 2,
		.rcv_wscale = 3,
		.wscale = true,
		.sack = sack,
		.srtt_us = 10000,
	};

	memset(&r, 0, sizeof(r));
	r.env.now_us = 5000000;
	r.env.pool = &pool;
	r.env.emit = rig_emit;
	r.env.ctx = &r;
	r.env.rcvbuf_max = 60000;
	tcp_half_open(&r.h, &p, &r.env);
	assert_int_equal(tcp_half_output(&r.env, &r.h), 1); /* the ACK that ends the handshake */
	assert_int_equal(r.out[0].o.seq, ISS);
	assert_int_equal(r.out[0].o.ack, IRS);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK);
	r.n = 0;
}

void rig_close(void)
{
	tcp_half_free(&r.env, &r.h);
	assert_true(mem_testing_clean(&pool));
}

unsigned rig_output(void)
{
	r.n = 0;
	return tcp_half_output(&r.env, &r.h);
}

/* A segment from the peer; the bytes are those of its sequence numbers. */
uint32_t rig_in(uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len, uint16_t window,
		const struct tcp_sack_block *sack, unsigned nsack)
{
	struct tcp_segment s = {
		.seq = seq,
		.ack = ack,
		.len = len,
		.window = window,
		.flags = flags,
		.header_len = 20,
		.nsack = (uint8_t)nsack,
	};
	struct chunkq q;
	uint8_t bytes[2000];
	uint32_t i;

	chunkq_init(&q);
	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seq + i);
	if (len)
		chunkq_push(&q, mem_testing_chunk(&pool, bytes, len));
	for (i = 0; i < nsack; i++)
		s.sack[i] = sack[i];
	i = tcp_half_input(&r.env, &r.h, &s, &q);
	assert_true(chunkq_empty(&q));
	return i;
}

uint32_t rig_data(uint32_t off, uint32_t len)
{
	return rig_in(TCP_F_ACK, IRS + off, ISS, len, 15000, NULL, 0);
}

uint32_t rig_ack(uint32_t off)
{
	return rig_in(TCP_F_ACK, IRS, ISS + off, 0, 15000, NULL, 0);
}

uint32_t rig_sack(uint32_t off, uint32_t left, uint32_t right)
{
	struct tcp_sack_block b = {ISS + left, ISS + right};

	return rig_in(TCP_F_ACK, IRS, ISS + off, 0, 15000, &b, 1);
}

void rig_send(uint32_t n)
{
	uint8_t bytes[1000];
	struct chunkq q;

	chunkq_init(&q);
	while (n) {
		uint32_t len = n < sizeof(bytes) ? n : sizeof(bytes);

		memset(bytes, 's', len);
		chunkq_push(&q, mem_testing_chunk(&pool, bytes, len));
		n -= len;
	}
	tcp_half_send(&r.env, &r.h, &q);
	assert_true(chunkq_empty(&q));
}

uint32_t rig_wait(void)
{
	uint64_t d = tcp_half_deadline(&r.h);

	assert_true(d != UINT64_MAX);
	if (d > r.env.now_us)
		r.env.now_us = d;
	return tcp_half_timer(&r.env, &r.h);
}

void rig_take(void)
{
	struct chunkq q;
	struct chunk *c;

	chunkq_init(&q);
	assert_int_equal(tcp_half_take(&r.env, &r.h, &q, tcp_half_rxq(&r.h)->bytes), 0);
	while ((c = chunkq_pop(&q)))
		chunk_free(&pool, c);
}

void rig_quickack_over(uint32_t *off)
{
	unsigned i;

	for (i = 0; i < 20; i++) {
		rig_data(*off, MSS);
		*off += MSS;
		rig_output();
		rig_take();
		rig_output();
	}
	if (tcp_half_deadline(&r.h) != UINT64_MAX) {
		rig_wait();
		rig_output();
	}
}

int rig_setup(void **state)
{
	mem_testing_pool(&pool, 8191, 16383);
	return 0;
}

int rig_teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}
