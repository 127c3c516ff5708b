/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp_sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mem/mem_testing.h"

/* Of the last buffers nothing is taken to be sent, nor kept out of order, as in the product: with none left nothing could
 * arrive that sets some free. */
#define RESERVE 8

static uint32_t buffers(const struct sim *s)
{
	return rte_mempool_avail_count(s->pool->bufs);
}

struct sim_packet {
	struct tcp_segment seg;
	uint8_t data[];
};

uint8_t sim_byte(unsigned side, uint64_t off)
{
	uint64_t x = (off >> 3) * 0x9e3779b97f4a7c15u + side * 0x1234567u;

	x ^= x >> 29;
	return (uint8_t)(x >> (8 * (off & 7)));
}

uint32_t sim_random(struct sim *s, uint32_t below)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return below ? (uint32_t)((s->rng >> 11) % below) : 0;
}

static void *packet_clone(void *ctx, void *packet)
{
	const struct sim_packet *p = packet;
	struct sim_packet *c = malloc(sizeof(*c) + p->seg.len);

	assert(c);
	memcpy(c, p, sizeof(*p) + p->seg.len);
	return c;
}

static void packet_drop(void *ctx, void *packet)
{
	struct sim *s = ctx;

	s->drops++;
	free(packet);
}

/* What the conf says of the wire; tests change it under way. */
static void wire_conf(const struct sim *s, unsigned from, struct tamper_conf *t)
{
	const struct sim_conf *c = &s->conf;
	uint32_t part = TAMPER_SCALE / 10000;

	*t = (struct tamper_conf){
		.seed = 2 * c->seed + from,
		.chance = {[TAMPER_LOSS] = s->black_hole[from] ? TAMPER_SCALE : part * c->drop,
			   [TAMPER_DUP] = part * c->dup,
			   [TAMPER_REORDER] = part * c->reorder},
		.reorder_ns = 1000ull * c->reorder_us,
		.dup_ns = 1000ull * c->delay_us,
		.delay_ns = 1000ull * c->delay_us,
		.rate = c->rate,
		.queue = c->queue,
	};
}

static struct sim_packet *packet_of(const struct tcp_out *o)
{
	struct sim_packet *p = calloc(1, sizeof(*p) + o->payload_len);
	const struct chunk *c = o->c;
	uint32_t skip = o->skip, done = 0, len;

	assert(p);
	p->seg = (struct tcp_segment){
		.seq = o->seq,
		.ack = o->ack,
		.len = o->payload_len,
		.window = o->window,
		.flags = o->flags,
		.nsack = o->nsack,
		.header_len = (uint8_t)(20 + 8 * o->nsack),
	};
	memcpy(p->seg.sack, o->sack, sizeof(p->seg.sack));
	for (; done < o->payload_len; c = c->next, skip = 0) {
		assert(c && skip <= c->len);
		len = c->len - skip < o->payload_len - done ? c->len - skip : o->payload_len - done;
		memcpy(p->data + done, c->data + skip, len);
		done += len;
	}
	return p;
}

/* INV: never more than the MSS, never a SACK block with payload. */
static int sim_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct sim_side *side = ctx;
	struct sim *s = side->sim;

	assert(o->payload_len <= s->conf.mss);
	assert(!o->nsack || !o->payload_len);
	if (sim_random(s, 10000) < s->conf.emit_fail)
		return -105;
	s->packets++;
	tamper_put(&side->wire, packet_of(o), o->payload_len + 54u, 1000 * s->now);
	return 0;
}

void sim_open(struct sim *s, const struct sim_conf *conf, struct chunk_pool *pool)
{
	struct tamper_ops ops = {.clone = packet_clone, .drop = packet_drop, .ctx = s};
	struct tamper_conf wire;
	unsigned i;

	memset(s, 0, sizeof(*s));
	s->conf = *conf;
	s->pool = pool;
	s->rng = conf->seed * 0x2545f4914f6cdd1du + 88172645463325252u;
	s->now = 1000000;
	for (i = 0; i < 2; i++) {
		struct sim_side *side = &s->side[i];
		struct tcp_params p = {
			.snd_nxt = conf->isn[i] + 1,
			.rcv_nxt = conf->isn[!i] + 1,
			.snd_wnd = conf->rcvbuf < 65535 ? conf->rcvbuf : 65535,
			.mss = conf->mss,
			.rcv_mss = conf->mss,
			.wscale = !conf->no_wscale,
			.snd_wscale = 7,
			.rcv_wscale = 7,
			.sack = !conf->no_sack,
			.srtt_us = 2 * conf->delay_us,
		};

		p.rcv_wnd = p.snd_wnd;
		wire_conf(s, i, &wire);
		tamper_open(&side->wire, &wire, &ops);
		side->sim = s;
		side->env.now_us = s->now;
		side->env.pool = pool;
		side->env.emit = sim_emit;
		side->env.ctx = side;
		side->env.rcvbuf_max = conf->rcvbuf;
		side->env.cc = conf->cc;
		side->credit_us = s->now;
		tcp_half_open(&side->half, &p, &side->env);
	}
}

static void app_read(struct sim *s, unsigned i)
{
	struct sim_side *side = &s->side[i];
	uint64_t n = tcp_half_rxq(&side->half)->bytes, rate = s->conf.read_rate[i], can, off;
	struct chunkq q;
	struct chunk *c;

	if (rate) {
		can = (s->now - side->credit_us) * rate / 1000000;
		if (can < 4096)
			return;
		n = n < can ? n : can;
		side->credit_us = s->now;
	}
	chunkq_init(&q);
	(void)tcp_half_take(&side->env, &side->half, &q, n);
	while ((c = chunkq_pop(&q))) {
		for (off = 0; off < c->len; off++)
			s->mismatch |= c->data[off] != sim_byte(!i, side->received + off);
		side->received += c->len;
		if (side->received == s->conf.send[!i])
			side->whole_at = s->now;
		chunk_free(s->pool, c);
	}
}

static void app_write(struct sim *s, unsigned i)
{
	struct sim_side *side = &s->side[i];
	uint64_t room = tcp_half_send_room(&side->half), left, off;
	uint8_t bytes[1448];
	struct chunkq q;

	chunkq_init(&q);
	while ((left = s->conf.send[i] - side->sent) && room) {
		uint32_t n = sizeof(bytes);
		struct chunk *c = NULL;

		if (buffers(s) <= 2 * RESERVE)
			break;
		n = left < n ? (uint32_t)left : n;
		n = room < n ? (uint32_t)room : n;
		if (s->conf.piece && n > s->conf.piece)
			n = 1 + sim_random(s, s->conf.piece);
		for (off = 0; off < n; off++)
			bytes[off] = sim_byte(i, side->sent + off);
		c = mem_testing_chunk(s->pool, bytes, n);
		if (!c)
			break;
		chunkq_push(&q, c);
		side->sent += n;
		room -= n;
		if (s->conf.piece)
			break;
	}
	tcp_half_send(&side->env, &side->half, &q);
	if (!left && !s->conf.no_fin)
		tcp_half_finish(&side->half);
}

static void deliver(struct sim *s, unsigned to, struct sim_packet *p)
{
	struct sim_side *side = &s->side[to];
	struct chunkq q;
	struct chunk *c = NULL;

	chunkq_init(&q);
	side->env.scarce = buffers(s) <= RESERVE ? TCP_SCARCE : TCP_PLENTY;
	if (p->seg.len) {
		c = mem_testing_chunk(s->pool, p->data, p->seg.len);
		if (c)
			chunkq_push(&q, c);
	}
	if (!p->seg.len || c)
		side->events |= tcp_half_input(&side->env, &side->half, &p->seg, &q);
	free(p);
}

bool sim_done(const struct sim *s)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		const struct sim_side *side = &s->side[i];

		if (side->received != s->conf.send[!i] || s->mismatch)
			return false;
		if (!s->conf.no_fin && tcp_half_state(&side->half) != TCP_CLOSED)
			return false;
	}
	return true;
}

bool sim_run(struct sim *s, uint64_t until_us)
{
	uint64_t tick = s->conf.tick_us ? s->conf.tick_us : 20, next, d;
	struct tamper_conf wire;
	void *packet;
	uint32_t len;
	unsigned i;

	for (i = 0; i < 2; i++) {
		wire_conf(s, i, &wire);
		tamper_set(&s->side[i].wire, &wire, false);
	}
	while (s->now < until_us) {
		for (i = 0; i < 2; i++) {
			s->side[i].env.now_us = s->now;
			if (s->now >= tcp_half_deadline(&s->side[i].half)) {
				s->side[i].timer_runs++;
				s->side[i].events |=
					tcp_half_timer(&s->side[i].env, &s->side[i].half);
			}
		}
		for (i = 0; i < 2; i++)
			while ((packet = tamper_get(&s->side[i].wire, 1000 * s->now, &len)))
				deliver(s, !i, packet);
		for (i = 0; i < 2; i++) {
			app_read(s, i);
			app_write(s, i);
			tcp_half_output(&s->side[i].env, &s->side[i].half);
		}
		if (sim_done(s))
			return true;
		if ((s->side[0].events | s->side[1].events) & (TCP_EV_RESET | TCP_EV_TIMEOUT))
			return false;
		next = UINT64_MAX;
		for (i = 0; i < 2; i++) {
			d = tamper_due(&s->side[i].wire);
			d = d == TAMPER_NEVER ? d : (d + 999) / 1000;
			next = d < next ? d : next;
			d = tcp_half_deadline(&s->side[i].half);
			next = d < next ? d : next;
			if (s->conf.read_rate[i] || s->conf.piece)
				next = s->now + 1000 < next ? s->now + 1000 : next;
		}
		if (next == UINT64_MAX)
			return false; /* stuck: nothing will ever happen */
		next = next > s->now ? next : s->now + 1;
		s->now = (next + tick - 1) / tick * tick;
	}
	return false;
}

void sim_close(struct sim *s)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		tamper_close(&s->side[i].wire);
		tcp_half_free(&s->side[i].env, &s->side[i].half);
	}
}
