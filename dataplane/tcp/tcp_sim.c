/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp_sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mem/mem_testing.h"

struct sim_packet {
	uint64_t at, order;
	unsigned to;
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

static bool earlier(const struct sim_packet *a, const struct sim_packet *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void heap_put(struct sim *s, struct sim_packet *p)
{
	uint32_t i = s->heap_n++;

	if (s->heap_n > s->heap_cap) {
		s->heap_cap = s->heap_cap ? 2 * s->heap_cap : 256;
		s->heap = realloc(s->heap, s->heap_cap * sizeof(*s->heap));
		assert(s->heap);
	}
	while (i && earlier(p, s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = p;
}

static struct sim_packet *heap_get(struct sim *s)
{
	struct sim_packet *top = s->heap[0], *last = s->heap[--s->heap_n];
	uint32_t i = 0, c;

	while ((c = 2 * i + 1) < s->heap_n) {
		if (c + 1 < s->heap_n && earlier(s->heap[c + 1], s->heap[c]))
			c++;
		if (!earlier(s->heap[c], last))
			break;
		s->heap[i] = s->heap[c];
		i = c;
	}
	s->heap[i] = last;
	return top;
}

static void wire_put(struct sim *s, unsigned from, const struct tcp_out *o, uint64_t delay)
{
	struct sim_packet *p = calloc(1, sizeof(*p) + o->payload_len);
	const struct chunk *c = o->c;
	uint32_t skip = o->skip, done = 0, len;

	assert(p);
	p->to = !from;
	p->order = s->order++;
	p->at = s->now + delay;
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
	heap_put(s, p);
}

/* INV: never more than the MSS, never a SACK block with payload. */
static int sim_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct sim_side *side = ctx;
	struct sim *s = side->sim;
	const struct sim_conf *c = &s->conf;
	unsigned from = side == &s->side[1];
	uint64_t start, delay, len = o->payload_len + 54;

	assert(o->payload_len <= c->mss);
	assert(!o->nsack || !o->payload_len);
	if (sim_random(s, 10000) < c->emit_fail)
		return -105;
	s->packets++;
	start = side->wire_free_us > s->now ? side->wire_free_us : s->now;
	if (c->rate && c->queue && (start - s->now) * c->rate / 1000000 > c->queue) {
		s->drops++;
		return 0;
	}
	if (s->black_hole[from] || sim_random(s, 10000) < c->drop) {
		s->drops++;
		return 0;
	}
	if (c->rate)
		side->wire_free_us = start + len * 1000000 / c->rate;
	delay = start - s->now + c->delay_us;
	if (sim_random(s, 10000) < c->dup)
		wire_put(s, from, o, delay + sim_random(s, c->delay_us + 1));
	if (sim_random(s, 10000) < c->reorder)
		delay += c->reorder_us;
	wire_put(s, from, o, delay);
	return 0;
}

void sim_open(struct sim *s, const struct sim_conf *conf, struct chunk_pool *pool)
{
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
		side->sim = s;
		side->env.now_us = s->now;
		side->env.pool = pool;
		side->env.emit = sim_emit;
		side->env.ctx = side;
		side->env.rcvbuf_max = conf->rcvbuf;
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

static void deliver(struct sim *s, struct sim_packet *p)
{
	struct sim_side *side = &s->side[p->to];
	struct chunkq q;
	struct chunk *c = NULL;

	chunkq_init(&q);
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
	unsigned i;

	while (s->now < until_us) {
		for (i = 0; i < 2; i++) {
			s->side[i].env.now_us = s->now;
			if (s->now >= tcp_half_deadline(&s->side[i].half)) {
				s->side[i].timer_runs++;
				s->side[i].events |=
					tcp_half_timer(&s->side[i].env, &s->side[i].half);
			}
		}
		while (s->heap_n && s->heap[0]->at <= s->now)
			deliver(s, heap_get(s));
		for (i = 0; i < 2; i++) {
			app_read(s, i);
			app_write(s, i);
			tcp_half_output(&s->side[i].env, &s->side[i].half);
		}
		if (sim_done(s))
			return true;
		if ((s->side[0].events | s->side[1].events) & (TCP_EV_RESET | TCP_EV_TIMEOUT))
			return false;
		next = s->heap_n ? s->heap[0]->at : UINT64_MAX;
		for (i = 0; i < 2; i++) {
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

	while (s->heap_n)
		free(heap_get(s));
	free(s->heap);
	for (i = 0; i < 2; i++)
		tcp_half_free(&s->side[i].env, &s->side[i].half);
}
