/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_test_world.h"
#include "session_smtp.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#define CLIENT_IP 0xc0000201u
#define SERVER_IP 0xc6336402u
#define FRAME_HEAD (14 + 20 + 20)
#define MSS 1460

struct world world;
bool world_chains;
unsigned world_tso;

static struct chunk *starved; /* a list */
static struct rte_mbuf *starved_bufs[65536];
static unsigned starved_bufs_n;

#define HOLD_MAX 64
#define FRAME_MAX 65600
static struct held_frame {
	struct rte_mbuf *m;
	uint8_t octets[FRAME_MAX];
	uint32_t len;
} held[HOLD_MAX]; /* the oldest first */
static unsigned held_n;
static struct rte_mbuf *held_newest[2];

uint32_t world_random(uint32_t below)
{
	world.seed = world.seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(world.seed >> 8) * below >> 24);
}

uint64_t world_count(enum stats_counter c)
{
	return world.shm->counter[c];
}

/* --- the callout stage, played ------------------------------------------------------------------------------ */

const char *callout_cause_name(enum callout_cause cause)
{
	return "played";
}

static struct world_txn *txn_of(const struct callout_txn *t)
{
	for (unsigned i = 0; i < world.txns; i++)
		if (world.txn[i].txn == t)
			return &world.txn[i];
	fail_msg("a transaction nobody began");
	return NULL;
}

int callout_start(struct callout_port *p, struct callout_txn *t, const struct policy_image *image, uint32_t service,
		  const char *meta, uint32_t meta_len, int64_t sizep)
{
	struct world_txn *w;

	if (world.service == SERVICE_REFUSE || world.txns == WORLD_TXNS)
		return -ENOBUFS;
	w = &world.txn[world.txns++];
	memset(w, 0, sizeof(*w));
	w->txn = t;
	memcpy(w->meta, meta, meta_len);
	return 0;
}

void world_event(unsigned t, struct callout_event ev)
{
	ev.txn = world.txn[t].txn;
	assert_true(world.events_n < RTE_DIM(world.event));
	world.event[world.events_n++] = ev;
}

void world_am_start(unsigned t, uint32_t id, int64_t sizep, bool answers)
{
	world.txn[t].started = true;
	world_event(t, (struct callout_event){.type = CALLOUT_EV_AM_START, .am_id = id, .sizep = sizep, .modp = -1, .el = -1,
					      .answers_request = answers});
}

static void data_octets(unsigned t, uint32_t id, const char *text, uint32_t n)
{
	struct rte_mbuf *m;

	if (!n || !(m = rte_pktmbuf_alloc(world.nic.bufs)))
		return;
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), text, n);
	world_event(t, (struct callout_event){.type = CALLOUT_EV_DATA, .am_id = id, .m = m, .size = n, .sizep = -1, .modp = -1,
					      .data = rte_pktmbuf_mtod(m, const uint8_t *)});
}

void world_data(unsigned t, uint32_t id, const char *text)
{
	data_octets(t, id, text, (uint32_t)strlen(text));
}

void world_as_is(unsigned t, uint32_t id, uint64_t off, uint64_t size)
{
	world_event(t, (struct callout_event){.type = CALLOUT_EV_AS_IS, .am_id = id, .src_offset = off, .size = size});
}

void world_am_end(unsigned t, uint32_t id, bool ok)
{
	world_event(t, (struct callout_event){.type = CALLOUT_EV_AM_END, .am_id = id, .ok = ok});
}

void world_ended(unsigned t)
{
	world_event(t, (struct callout_event){.type = CALLOUT_EV_ENDED});
}

void world_failed(unsigned t, enum callout_cause cause)
{
	world_event(t, (struct callout_event){.type = CALLOUT_EV_FAILED, .cause = cause, .text = "played"});
}

static void serve(unsigned t)
{
	struct world_txn *w = &world.txn[t];
	uint64_t n = w->len - w->answered;
	char big[65536];

	if (world.service == SERVICE_MANUAL || w->ended)
		return;
	if (!w->started)
		world_am_start(t, 2, -1, false);
	if (world.service == SERVICE_UPPER && w->answered >= w->head_len) {
		for (uint64_t i = 0; i < n; i++)
			big[i] = (char)toupper((unsigned char)w->text[w->answered + i]);
		for (uint64_t at = 0; at < n; at += 2000)
			data_octets(t, 2, big + at, (uint32_t)RTE_MIN(n - at, 2000u));
	} else if (n) {
		world_as_is(t, 2, w->answered, n);
	}
	w->answered = w->len;
	if (w->end) {
		world_am_end(t, 2, true);
		world_ended(t);
	}
}

int callout_data(struct callout_port *p, struct callout_txn *t, const struct chunk *c, uint64_t offset,
		 enum callout_part part, bool copied)
{
	struct world_txn *w = txn_of(t);

	assert_false(w->ended);
	assert_false(w->end);
	if (world.no_room)
		return -ENOBUFS;
	assert_int_equal(offset, w->len);
	assert_true(w->len + c->len < sizeof(w->text));
	memcpy(w->text + w->len, c->data, c->len);
	w->len += c->len;
	if (part == CALLOUT_PART_REQUEST_HEADER || part == CALLOUT_PART_RESPONSE_HEADER)
		w->head_len = w->len;
	serve((unsigned)(w - world.txn));
	atomic_store(&t->co_framed, offset + c->len);
	return 0;
}

int callout_aux(struct callout_port *p, struct callout_txn *t, const struct chunk *c, enum callout_part part)
{
	struct world_txn *w = txn_of(t);

	if (world.no_room)
		return -ENOBUFS;
	assert_int_equal(w->len, 0); /* before the original */
	assert_true(w->aux_len + c->len < sizeof(w->aux));
	memcpy(w->aux + w->aux_len, c->data, c->len);
	w->aux_len += c->len;
	return 0;
}

int callout_hold(struct callout_port *p, struct callout_txn *t, bool hold)
{
	return world.no_room ? -ENOBUFS : 0;
}

int callout_data_end(struct callout_port *p, struct callout_txn *t, bool ok)
{
	struct world_txn *w = txn_of(t);

	if (world.no_room)
		return -ENOBUFS;
	assert_false(w->end);
	w->end = true;
	w->end_ok = ok;
	serve((unsigned)(w - world.txn));
	return 0;
}

void callout_end(struct callout_port *p, struct callout_txn *t, bool error)
{
	struct world_txn *w = txn_of(t);

	assert_false(w->ended);
	w->ended = true;
	w->ended_error = error;
	world_event((unsigned)(w - world.txn), (struct callout_event){.type = CALLOUT_EV_CLOSED});
}

uint32_t callout_poll(struct callout_port *p, callout_event_fn fn, void *ctx, uint32_t max)
{
	unsigned n = world.events_n;
	static struct callout_event ev[RTE_DIM(world.event)];

	memcpy(ev, world.event, n * sizeof(ev[0]));
	world.events_n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct world_txn *w = NULL;

		for (unsigned k = 0; k < world.txns; k++)
			if (ev[i].txn && world.txn[k].txn == ev[i].txn)
				w = &world.txn[k];
		if (!w || (w->ended && ev[i].type != CALLOUT_EV_CLOSED)) { /* INV-CALLOUT-1 */
			rte_pktmbuf_free(ev[i].m);
			continue;
		}
		if (ev[i].type == CALLOUT_EV_CLOSED)
			w->txn = NULL;
		fn(ctx, &ev[i]);
	}
	return n;
}

/* --- frames -------------------------------------------------------------------------------------------------- */

static struct rte_mbuf *frame_new(unsigned side, const struct tcp_out *o, const uint8_t *opt, unsigned opt_len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(world.nic.bufs), *tail = NULL;
	uint32_t left = o->payload_len, skip = o->skip, done = 0;
	struct parse_frame f;
	uint8_t *p;

	assert_non_null(m);
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(FRAME_HEAD + opt_len));
	memset(p, 0, FRAME_HEAD + opt_len);
	p[5] = side ? 1 : 2;
	p[11] = side ? 2 : 1;
	*(rte_be16_t *)(p + 12) = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p + 14);
	struct rte_tcp_hdr *t = (struct rte_tcp_hdr *)(ip + 1);

	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(40 + opt_len + o->payload_len));
	ip->time_to_live = 60;
	ip->next_proto_id = IPPROTO_TCP;
	ip->src_addr = rte_cpu_to_be_32(side ? SERVER_IP : CLIENT_IP);
	ip->dst_addr = rte_cpu_to_be_32(side ? CLIENT_IP : SERVER_IP);
	t->src_port = rte_cpu_to_be_16(side ? 80 : 40000);
	t->dst_port = rte_cpu_to_be_16(side ? 40000 : 80);
	t->sent_seq = rte_cpu_to_be_32(o->seq);
	t->recv_ack = rte_cpu_to_be_32(o->ack);
	t->data_off = (uint8_t)((20 + opt_len) / 4 << 4);
	t->tcp_flags = o->flags;
	t->rx_win = rte_cpu_to_be_16(o->window);
	if (opt_len)
		memcpy(t + 1, opt, opt_len);
	tail = m;
	for (const struct chunk *c = o->c; left; c = c->next, skip = 0) {
		uint32_t n = RTE_MIN(left, c->len - skip);

		for (uint32_t i = 0; i < n; i++, done++) {
			/* What a port has merged begins behind the headers. */
			if (world.split && done % world.split == 0 && (done || !world.merged)) {
				tail->next = rte_pktmbuf_alloc(world.nic.bufs);
				assert_non_null(tail->next);
				tail = tail->next;
				m->nb_segs++;
			}
			*(uint8_t *)rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len) = c->data[skip + i];
			tail->data_len++;
			m->pkt_len++;
		}
		left -= n;
	}
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	parse_checksum_set(&f, m);
	if (o->payload_len > MSS) { /* its field is not to be believed */
		world.large[0]++;
		((struct rte_tcp_hdr *)(rte_pktmbuf_mtod(m, uint8_t *) + f.l4_off))->cksum = 0xdead;
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
		m->tso_segsz = MSS;
	}
	return m;
}

static void wire_put(unsigned side, struct rte_mbuf *m)
{
	if (world.gone[side] || (world.loss && world_random(1000) < world.loss)) {
		rte_pktmbuf_free(m);
		return;
	}
	assert_true(world.frames[side] < WORLD_FRAMES);
	world.wire[side][world.frames[side]++] = m;
}

static int end_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct world_end *e = ctx;

	uint8_t opt[TCP_SACK_MAX * 8 + 4], *p = opt;

	if (o->nsack) { /* an odd place now and then: nothing says that blocks are aligned */
		unsigned odd = world_random(3);

		memset(opt, 1, 2);
		p = opt + odd;
		*p++ = 5;
		*p++ = (uint8_t)(2 + 8 * o->nsack);
		for (unsigned i = 0; i < o->nsack; i++, p += 8) {
			rte_be32_t edge[2] = {rte_cpu_to_be_32(o->sack[i].left), rte_cpu_to_be_32(o->sack[i].right)};

			memcpy(p, edge, 8);
		}
		memset(p, 1, 2 - odd);
		p += 2 - odd;
	}
	wire_put(e->side, frame_new(e->side, o, opt, (unsigned)(p - opt)));
	return 0;
}

static void end_receive(struct world_end *e, struct rte_mbuf *m, const struct parse_frame *f)
{
	struct tcp_segment seg;
	struct chunkq q;
	uint32_t ev;

	if (!world_chains) { /* else they are the port's */
		assert_true(parse_ip_checksum_good(f, m));
		assert_true(parse_tcp_checksum_good(f, m));
	}
	assert_int_equal(tcp_segment_parse(&seg, rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off), f->l4_len,
					   f->l4_len + f->payload_len), 0);
	if (!e->open) {
		e->isn = seg.seq; /* the other's, seen in its SYN */
		e->last = seg;
		e->came++;
		return;
	}
	chunkq_init(&q);
	if (f->payload_len) {
		char flat[9000];
		const char *p = rte_pktmbuf_read(m, f->payload_off, f->payload_len, flat);

		assert_int_equal(chunkq_put(&world.nic, &q, p, f->payload_len), 0);
	}
	ev = tcp_half_input(&e->env, &e->half, &seg, &q);
	e->reset |= (ev & TCP_EV_RESET) != 0;
	if (e->stopped)
		return;
	chunkq_init(&q);
	assert_int_equal(tcp_half_take(&e->env, &e->half, &q, tcp_half_rxq(&e->half)->bytes), 0);
	assert_true(e->len + q.bytes < WORLD_TEXT);
	chunkq_copy(&q, 0, e->text + e->len, q.bytes);
	e->len += q.bytes;
	chunkq_purge(&world.nic, &q);
	e->fin |= tcp_half_rx_finished(&e->half);
}

/* The oldest has been sent: it must be as it was handed over (INV-TX-1). */
static void held_release(void)
{
	const struct held_frame *h = &held[0];
	static uint8_t flat[FRAME_MAX];

	assert_int_equal(h->m->pkt_len, h->len);
	assert_memory_equal(rte_pktmbuf_read(h->m, 0, h->len, flat), h->octets, h->len);
	for (unsigned i = 0; i < 2; i++)
		if (held_newest[i] == h->m)
			held_newest[i] = NULL;
	rte_pktmbuf_free(h->m);
	memmove(&held[0], &held[1], --held_n * sizeof(held[0]));
}

static void held_put(unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	struct held_frame *h;
	const void *p;

	while (held_n && held_n >= RTE_MIN(world.hold, (unsigned)HOLD_MAX))
		held_release();
	if (!world.hold || m->pkt_len > sizeof(h->octets)) {
		rte_pktmbuf_free(m);
		return;
	}
	h = &held[held_n++];
	h->m = m;
	h->len = m->pkt_len;
	p = rte_pktmbuf_read(m, 0, h->len, h->octets);
	if (p != h->octets)
		memcpy(h->octets, p, h->len);
	if (f->payload_len)
		held_newest[port] = m;
}

struct rte_mbuf *world_held(unsigned side)
{
	struct rte_mbuf *m = held_newest[side];

	held_newest[side] = NULL;
	return m;
}

/* To the end, and to who looks at the wire. */
static void deliver(unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	struct parse_frame g;
	struct rte_mbuf *copy;
	uint8_t *p;

	if (world.sent) {
		copy = rte_pktmbuf_alloc(world.nic.bufs);
		assert_non_null(copy);
		p = (uint8_t *)rte_pktmbuf_append(copy, (uint16_t)m->pkt_len);
		assert_non_null(p);
		memcpy(p, rte_pktmbuf_read(m, 0, m->pkt_len, (uint8_t[2048]){0}), m->pkt_len);
		assert_int_equal(parse_mbuf(&g, copy), PARSE_TCP);
		parse_checksum_set(&g, copy);
		world.sent(port, p, m->pkt_len);
		rte_pktmbuf_free(copy);
	}
	if (!world.no_tx && !(world.loss && world_random(1000) < world.loss))
		end_receive(&world.end[port], m, f);
}

/* As a port would cut it. */
static void cut(unsigned port, const struct rte_mbuf *m, const struct parse_frame *f)
{
	static uint8_t flat[FRAME_MAX];
	const uint8_t *from = rte_pktmbuf_read(m, 0, m->pkt_len, flat);
	uint32_t sum = parse_sum(from + 26, 8) + rte_cpu_to_be_16(IPPROTO_TCP);

	world.large[1]++;
	assert_true(world_tso && m->nb_segs <= world_tso);
	assert_int_equal(m->l2_len, f->l2_len);
	assert_int_equal(m->l3_len, f->l3_len);
	assert_int_equal(m->l4_len, f->l4_len);
	assert_int_equal(m->tso_segsz, MSS);
	assert_int_equal(f->payload_len % MSS, 0);
	assert_true(f->payload_len > MSS);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
	assert_int_equal(f->pad_len, 0);
	sum = (sum >> 16) + (sum & 0xffff);
	assert_int_equal(((const struct rte_tcp_hdr *)(from + 34))->cksum, (uint16_t)((sum >> 16) + (sum & 0xffff)));
	for (uint32_t off = 0; off < f->payload_len; off += MSS) {
		uint32_t n = RTE_MIN(f->payload_len - off, (uint32_t)MSS);
		struct rte_mbuf *s = rte_pktmbuf_alloc(world.nic.bufs);
		uint8_t *p = rte_pktmbuf_mtod(s, uint8_t *);
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p + 14);
		struct rte_tcp_hdr *t = (struct rte_tcp_hdr *)(ip + 1);
		struct parse_frame g;

		assert_non_null(rte_pktmbuf_append(s, (uint16_t)(FRAME_HEAD + n)));
		memcpy(p, from, FRAME_HEAD);
		memcpy(p + FRAME_HEAD, from + FRAME_HEAD + off, n);
		ip->total_length = rte_cpu_to_be_16((uint16_t)(40 + n));
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + off / MSS));
		t->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(t->sent_seq) + off);
		if (off + n < f->payload_len)
			t->tcp_flags &= (uint8_t)~(TCP_F_PSH | TCP_F_FIN);
		assert_int_equal(parse_mbuf(&g, s), PARSE_TCP);
		parse_checksum_set(&g, s);
		deliver(port, s, &g);
		rte_pktmbuf_free(s);
	}
}

static void on_tx(void *cb, unsigned port, struct rte_mbuf *m)
{
	const char *why;
	struct parse_frame f;

	if (rte_mbuf_check(m, 1, &why)) fail_msg("%s: %u segs, %u octets", why, m->nb_segs, m->pkt_len); /* links, lengths and counts agree */
	/* The ends are by port: inside is the client's. */
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		cut(port, m, &f);
	else
		deliver(port, m, &f);
	held_put(port, m, &f);
}

static void on_wake(void *cb, struct session *s)
{
	assert_ptr_equal(s, world.s); /* nobody wakes a session that was freed */
	world.woken = true;
}

static void on_moved(void *cb, void *owner, struct session *s)
{
	if (owner == &world) /* there are no other flows but the test's own */
		world.s = s;
}

/* --- the loop of a worker ------------------------------------------------------------------------------------ */

static void one_frame(unsigned side, struct rte_mbuf *m)
{
	struct parse_frame f;

	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	if (parse_offload_wanted(m, 1500))
		parse_offload(&f, m, 1500);
	if (!world.s) {
		if (world.forgotten)
			on_tx(NULL, !side, m);
		else
			rte_pktmbuf_free(m);
		return;
	}
	switch (session_segment(world.ctx, world.s, side, m, &f)) {
	case SESSION_FORWARD:
		on_tx(NULL, !side, m);
		break;
	case SESSION_CONSUMED:
		break;
	case SESSION_BYPASS:
	case SESSION_DROP:
		rte_pktmbuf_free(m);
		break;
	}
	world.woken = true;
}

static bool wire_run(void)
{
	bool any = false;

	for (unsigned side = 0; side < 2; side++) {
		unsigned n = world.frames[side];
		struct rte_mbuf *got[256];

		n = RTE_MIN(n, RTE_DIM(got));
		memcpy(got, world.wire[side], n * sizeof(got[0]));
		world.frames[side] -= n;
		memmove(world.wire[side], world.wire[side] + n, world.frames[side] * sizeof(got[0]));
		for (unsigned i = 0; i < n; i++)
			one_frame(side, got[i]);
		any |= n != 0;
	}
	return any;
}

static bool round_run(void)
{
	bool any;

	for (unsigned i = 0; i < 2; i++) {
		struct world_end *e = &world.end[i];

		e->env.now_us = world.now;
		if (!e->open)
			continue;
		if (world.now >= tcp_half_deadline(&e->half))
			tcp_half_timer(&e->env, &e->half);
		tcp_half_output(&e->env, &e->half);
	}
	session_ctx_tick(world.ctx, world.now, world.matcher[world.rules]);
	any = wire_run();
	if (world.s && world.now >= world.timer_at) {
		world.timer_at = UINT64_MAX;
		session_timer(world.ctx, world.s);
		world.woken = true;
	}
	any |= session_poll(world.ctx) != 0;
	if (world.s && world.woken) {
		any = true;
		world.woken = false;
		session_run(world.ctx, world.s);
		if (session_dead(world.s)) {
			world.forgotten = world_count(STATS_flow_join_plain) != world.plain;
			world.plain = world_count(STATS_flow_join_plain);
			session_free(world.ctx, world.s);
			world.s = NULL;
		} else {
			world.timer_at = session_deadline(world.ctx, world.s);
		}
	}
	return any || world.frames[0] || world.frames[1] || world.events_n;
}

void world_round(void)
{
	round_run();
}

void world_settle(void)
{
	for (unsigned i = 0; round_run(); i++)
		assert_true(i < 10000);
}

void world_pass(uint64_t us)
{
	uint64_t step = us > 100000000 ? 100000 : RTE_MIN(us, 5000u);

	for (uint64_t end = world.now + us; world.now < end; world.now += step)
		world_settle();
	world_settle();
}

/* --- the ends ------------------------------------------------------------------------------------------------- */

static void end_open(unsigned i)
{
	struct world_end *e = &world.end[i];
	struct tcp_params p = {
		.snd_nxt = WORLD_ISN(i) + 1, .rcv_nxt = WORLD_ISN(!i) + 1,
		.snd_wnd = 65535, .rcv_wnd = 65535, .mss = MSS, .rcv_mss = MSS, .sack = world.sack,
	};

	e->open = true;
	tcp_half_open(&e->half, &p, &e->env);
	if (world.merged)
		tcp_half_tso(&e->half, 44 * MSS);
}

void world_send(unsigned side, const void *bytes, uint32_t n)
{
	struct world_end *e = &world.end[side];
	struct chunkq q;

	chunkq_init(&q);
	assert_int_equal(chunkq_put(&world.nic, &q, bytes, n), 0);
	e->sent += n;
	tcp_half_send(&e->env, &e->half, &q);
}

void world_fin(unsigned side)
{
	tcp_half_finish(&world.end[side].half);
}

void world_rst(unsigned side)
{
	tcp_half_abort(&world.end[side].env, &world.end[side].half);
}

const char *world_got(unsigned side)
{
	struct world_end *e = &world.end[side];

	e->text[e->len] = '\0';
	e->len = 0;
	return e->text;
}

void world_begin(void)
{
	struct session_flow_info info = {.id = 1, .owner = &world};
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	rte_be32_t ip[2] = {rte_cpu_to_be_32(CLIENT_IP), rte_cpu_to_be_32(SERVER_IP)};

	memcpy(info.tuple.client, mapped, 12);
	memcpy(info.tuple.server, mapped, 12);
	memcpy(info.tuple.client + 12, &ip[0], 4);
	memcpy(info.tuple.server + 12, &ip[1], 4);
	info.tuple.client_port = 40000;
	info.tuple.server_port = 80;
	policy_select_flow(world.matcher[world.rules], &info.tuple, &info.sel);
	assert_true(info.sel.first >= 0);
	info.generation = policy_image_generation(world.matcher[world.rules] ? world.image[world.rules] : NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct world_end *e = &world.end[i];

		memset(e, 0, sizeof(*e));
		e->side = i;
		e->env = (struct tcp_env){.pool = &world.nic, .emit = end_emit, .ctx = e, .rcvbuf_max = 65535,
					  .now_us = world.now};
	}
	world.txns = 0;
	world.forgotten = false;
	session_ctx_tick(world.ctx, world.now, world.matcher[world.rules]);
	world.s = session_new(world.ctx, &info);
	assert_non_null(world.s);
	world.timer_at = UINT64_MAX;
}

void world_frame(unsigned side, const struct tcp_out *o, const void *opt, unsigned opt_len)
{
	one_frame(side, frame_new(side, o, opt, opt_len));
}

void world_ends_open(void)
{
	end_open(0);
	end_open(1);
}

void world_shake(void)
{
	static const uint8_t opt[8] = {2, 4, MSS >> 8, MSS & 255, 1, 1, 4, 2};
	struct tcp_out syn = {.seq = WORLD_ISN(0), .flags = TCP_F_SYN, .window = 65535};
	struct tcp_out ack = {.seq = WORLD_ISN(1), .ack = WORLD_ISN(0) + 1, .flags = TCP_F_SYN | TCP_F_ACK, .window = 65535};

	world_begin();
	world_frame(0, &syn, opt, world.sack ? 8 : 4);
	assert_int_equal(world.end[1].isn, syn.seq); /* it passed through */
	world_frame(1, &ack, opt, world.sack ? 8 : 4);
	assert_int_equal(world.end[0].isn, ack.seq);
	world_ends_open();
	world_settle();
}

void world_open(void)
{
	world_shake();
	assert_false(session_is_record(world.s));
	assert_int_equal(world.s->state, SESSION_OPEN);
}

static unsigned list_length(const struct session_ctx *c, int which)
{
	unsigned n = 0;

	if (which == 0)
		for (const struct session *s = c->free_sessions; s; s = s->next)
			n++;
	else if (which == 1)
		for (const struct session_framer *f = c->free_framers; f; f = f->next)
			n++;
	else if (which == 2)
		for (const struct session_record *r = c->free_records; r; r = r->next)
			n++;
	else if (which == 4)
		for (const struct session_smtp *m = c->free_smtps; m; m = m->next)
			n++;
	else
		for (const struct session_xchg *x = c->free_xchgs; x; x = x->next)
			n++;
	return n;
}

static unsigned at_start[5];

void world_close(void)
{
	struct session_ctx *c = world.ctx;

	world_feed();
	world.no_room = false;
	if (world.s)
		session_free(c, world.s);
	world.s = NULL;
	for (unsigned i = 0; i < 2; i++) {
		if (world.end[i].open)
			tcp_half_free(&world.end[i].env, &world.end[i].half);
		for (unsigned k = 0; k < world.frames[i]; k++)
			rte_pktmbuf_free(world.wire[i][k]);
		world.frames[i] = 0;
	}
	for (unsigned i = 0; i < 8; i++)
		session_poll(c);
	/* Observers may wait for their service's end. */
	for (unsigned i = 0; i < world.txns; i++)
		if (world.txn[i].txn && !world.txn[i].ended)
			world_failed(i, CALLOUT_CAUSE_LOST);
	for (unsigned i = 0; i < 8; i++)
		session_poll(c);
	assert_int_equal(c->sessions, 0);
	assert_int_equal(c->flows, 0);
	assert_int_equal(c->parked, 0);
	assert_int_equal(c->adapt.open, 0);
	assert_int_equal(c->adapt.preserved, 0);
	assert_int_equal(c->adapt.preserved_chunks, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(list_length(c, i), at_start[i]);
	while (held_n)
		held_release();
	if (c->pool.gen)
		rte_pktmbuf_free_seg(c->pool.gen);
	if (world.nic.gen)
		rte_pktmbuf_free_seg(world.nic.gen);
	c->pool.gen = world.nic.gen = NULL;
	assert_int_equal(c->pool.used, 0);
	assert_int_equal(rte_mempool_in_use_count(world.bufs), 0);
	assert_int_equal(world.nic.used, 0);
	assert_int_equal(rte_mempool_in_use_count(world.nic.bufs), 0);
}

static void starved_release(struct chunk_pool *p)
{
	struct chunk *c = starved;

	starved = c->next;
	c->next = p->free; /* as chunk_free, but it has no buffer */
	p->free = c;
	p->used--;
}

void world_starve(unsigned keep_chunks, unsigned keep_bufs)
{
	struct chunk_pool *p = &world.ctx->pool;
	struct chunk *c;

	while ((c = chunk_new(p, NULL, NULL, 0)) != NULL) {
		c->next = starved;
		starved = c;
	}
	p->desc_failed--;
	while (keep_chunks-- && starved)
		starved_release(p);
	while ((starved_bufs[starved_bufs_n] = rte_pktmbuf_alloc(world.bufs)) != NULL)
		starved_bufs_n++;
	while (keep_bufs-- && starved_bufs_n)
		rte_pktmbuf_free(starved_bufs[--starved_bufs_n]);
}

void world_feed(void)
{
	while (starved)
		starved_release(&world.ctx->pool);
	while (starved_bufs_n)
		rte_pktmbuf_free(starved_bufs[--starved_bufs_n]);
}

const char *world_services = "";

static void rules_make(unsigned i, const char *rules)
{
	static struct policy_errors errs;
	struct policy_config *cfg;
	char text[4096];

	snprintf(text, sizeof(text),
		 "name: t\nports:\n  inside: {device: \"net_null0\"}\n  outside: {device: \"net_null1\"}\n"
		 "services:\n  - {name: s, address: \"tcp:127.0.0.1:4037\"}\n"
		 "  - {name: t, address: \"tcp:127.0.0.1:4038\", uri: \"http://t.example/\", bypassable: no}\n%srules:\n%s",
		 world_services, rules);
	if (policy_config_parse("test", text, strlen(text), &cfg, &errs) != 0)
		fail_msg("%u:%u: %s", errs.e[0].line, errs.e[0].column, errs.e[0].text);
	world.limits = cfg->limits;
	assert_int_equal(policy_compile(cfg, i + 1, &world.image[i], &errs), 0);
	assert_int_equal(policy_matcher_create(&world.matcher[i], world.image[i], SOCKET_ID_ANY), 0);
	policy_config_free(cfg);
}

void world_start(unsigned bufs, unsigned chunks, const char *rules, const char *newer_rules)
{
	static unsigned no;
	char name[32];
	struct session_config cfg = {
		.flows_max = 4, .forget_joined = true, .txns_max = 8, .chunks = chunks, .tx = on_tx, .wake = on_wake, .moved = on_moved,
		.socket_id = SOCKET_ID_ANY,
		.caps = {{.mtu = 1500, .tx_cksum = false}, {.mtu = 1500, .tx_cksum = false}},
	};

	memset(&world, 0, sizeof(world));
	world.now = 1000000;
	world.seed = 1;
	snprintf(name, sizeof(name), "bufs%u", no);
	world.bufs = rte_pktmbuf_pool_create(name, bufs, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "nic%u", no);
	struct rte_mempool *nic = rte_pktmbuf_pool_create(name, 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "nicdesc%u", no++);
	assert_non_null(world.bufs);
	assert_non_null(nic);
	assert_int_equal(chunk_pool_init(&world.nic, name, 16383, nic, SOCKET_ID_ANY), 0);
	rules_make(0, rules);
	if (newer_rules)
		rules_make(1, newer_rules);
	world.shm = aligned_alloc(64, sizeof(*world.shm));
	memset(world.shm, 0, sizeof(*world.shm));
	world.events = calloc(1, sizeof(*world.events));
	for (unsigned i = 0; i < 2; i++)
		cfg.caps[i].tx_cksum = cfg.caps[i].tx_ip_cksum = cfg.caps[i].multi_seg = world_chains;
	for (unsigned i = 0; i < 2 && world_tso; i++) {
		cfg.caps[i].tso[0] = 65452;
		cfg.caps[i].tso_segs = (uint16_t)world_tso;
		cfg.caps[i].tso_cut = 64;
	}
	cfg.bufs = world.bufs;
	cfg.shm = world.shm;
	cfg.events = world.events;
	cfg.limits = &world.limits;
	cfg.worker = no;
	assert_int_equal(session_ctx_create(&world.ctx, &cfg), 0);
	for (int i = 0; i < 5; i++)
		at_start[i] = list_length(world.ctx, i);
}

void world_stop(void)
{
	struct rte_mempool *nic = world.nic.bufs;

	session_ctx_destroy(world.ctx);
	chunk_pool_fini(&world.nic);
	rte_mempool_free(nic);
	rte_mempool_free(world.bufs);
	for (unsigned i = 0; i < 2; i++) {
		policy_matcher_destroy(world.matcher[i]);
		free(world.image[i]);
	}
	free(world.events);
	free(world.shm);
}

/* --- what every main does ------------------------------------------------------------------------------------ */

static struct {
	unsigned bufs, chunks;
	const char *rules, *newer_rules;
} group;

static int group_start(void **state)
{
	world_start(group.bufs, group.chunks, group.rules, group.newer_rules);
	return 0;
}

static int group_stop(void **state)
{
	world_stop();
	return 0;
}

int world_group(const char *name, const struct CMUnitTest *tests, size_t n, unsigned bufs, unsigned chunks, const char *rules,
		const char *newer_rules)
{
	group.bufs = bufs;
	group.chunks = chunks;
	group.rules = rules;
	group.newer_rules = newer_rules;
	return _cmocka_run_group_tests(name, tests, n, group_start, group_stop);
}

int world_main(int (*run)(void))
{
	static char args[][20] = {"t", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "192", "-l", "0",
				  "--log-level=*:error"};
	char *argv[RTE_DIM(args) + 1] = {NULL};

	for (unsigned i = 0; i < RTE_DIM(args); i++)
		argv[i] = args[i];
	if (rte_eal_init((int)RTE_DIM(args), argv) < 0)
		return 1;
	return run();
}
