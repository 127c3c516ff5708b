/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define FRAMERS_MAX 8192
#define XCHGS_MAX 16384
#define ROUNDS_MAX 16
#define TUNE_US 10000
#define SCARCE_US 100
#define RCVBUF_MIN 32768u
#define BURSTS_RESERVE 256u /* packet buffers kept for what must go on: acknowledgements, other traffic */
#define ANSWERED_LINGER_US 10000000u
#define STARVED_US 5000

static void wake_owner(void *owner)
{
	struct session *s = owner;

	s->ctx->cfg.wake(s->ctx->cfg.cb, s);
}

static int make_pools(struct session_ctx *c)
{
	const struct session_config *cfg = &c->cfg;
	struct session *s;
	struct session_framer *f;
	struct session_xchg *x;

	/* Touched only when used: the address space is the limit, not the memory. */
	s = c->slab = rte_zmalloc_socket("sessions", sizeof(*s) * (size_t)cfg->sessions_max, 64, cfg->socket_id);
	f = c->framer_slab = calloc(FRAMERS_MAX, sizeof(*f));
	x = c->xchg_slab = calloc(XCHGS_MAX, sizeof(*x));
	if (!s || !f || !x)
		return -ENOMEM;
	for (uint32_t i = cfg->sessions_max; i-- > 0;) {
		s[i].next = c->free_sessions;
		c->free_sessions = &s[i];
	}
	for (uint32_t i = FRAMERS_MAX; i-- > 0;) {
		f[i].next = c->free_framers;
		c->free_framers = &f[i];
	}
	for (uint32_t i = XCHGS_MAX; i-- > 0;) {
		x[i].next = c->free_xchgs;
		c->free_xchgs = &x[i];
	}
	return 0;
}

int session_ctx_create(struct session_ctx **out, const struct session_config *cfg)
{
	struct session_ctx *c = calloc(1, sizeof(*c));
	char name[32];
	int rc;

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	c->counter = cfg->shm->counter;
	snprintf(name, sizeof(name), "chunks_%u", cfg->worker);
	rc = chunk_pool_init(&c->pool, name, cfg->chunks, cfg->bufs, cfg->socket_id);
	if (rc == 0)
		rc = make_pools(c);
	if (rc == 0)
		rc = adapt_ctx_init(&c->adapt, cfg->txns_max ? cfg->txns_max : 4096);
	if (rc != 0) {
		session_ctx_destroy(c);
		return rc;
	}
	c->adapt.pool = &c->pool;
	c->adapt.port = cfg->port;
	c->adapt.counter = c->counter;
	c->adapt.events = cfg->events;
	c->adapt.preserved_max = cfg->limits->preservation;
	c->adapt.http_head_max = cfg->limits->http_head;
	c->adapt.wake = wake_owner;
	c->env.pool = &c->pool;
	c->env.emit = session_emit;
	c->env.ctx = c;
	c->env.rcvbuf_max = (uint32_t)cfg->limits->receive_buffer;
	c->mbufs_total = cfg->bufs->size;
	*out = c;
	return 0;
}

void session_ctx_destroy(struct session_ctx *c)
{
	if (!c)
		return;
	rte_free(c->slab);
	free(c->framer_slab);
	free(c->xchg_slab);
	if (c->adapt.slab)
		adapt_ctx_fini(&c->adapt);
	chunk_pool_fini(&c->pool);
	free(c);
}

/* The less room in the pool, the smaller the windows: no end can make us hold more than there is. */
static void tune_windows(struct session_ctx *c)
{
	uint32_t avail = rte_mempool_avail_count(c->cfg.bufs);
	uint64_t max = c->cfg.limits->receive_buffer;

	if (avail < c->mbufs_total / 2) {
		uint64_t share = (uint64_t)avail * 1024 / (2 * (uint64_t)RTE_MAX(c->sessions, 1u));

		share = RTE_MAX(share, (uint64_t)RCVBUF_MIN);
		max = RTE_MIN(max, share);
	}
	c->env.rcvbuf_max = (uint32_t)max;
}

/* Counting is not for every loop: it looks at the caches of all lcores. */
static void scarce_note(struct session_ctx *c)
{
	uint32_t total = c->mbufs_total, avail, least = RTE_MIN(total / 8, BURSTS_RESERVE);
	uint32_t reserve = RTE_MAX(total / 16, least);

	if (c->now_us < c->scarce_us)
		return;
	c->scarce_us = c->now_us + SCARCE_US;
	avail = rte_mempool_avail_count(c->cfg.bufs);
	c->env.scarce = avail >= 2 * reserve ? TCP_PLENTY : avail >= reserve ? TCP_SCARCE : TCP_EXHAUSTED;
}

static void export_counters(struct session_ctx *c)
{
	c->counter[STATS_tcp_segs_in] = c->env.count.segs_in;
	c->counter[STATS_tcp_segs_out] = c->env.count.segs_out;
	c->counter[STATS_tcp_retrans] = c->env.count.retrans;
	c->counter[STATS_tcp_rto] = c->env.count.rto;
	c->counter[STATS_tcp_fast_rtx] = c->env.count.fast_rtx;
	c->counter[STATS_tcp_ooo] = c->env.count.ooo_in;
	c->counter[STATS_tcp_conflict] = c->env.count.payload_conflict;
	c->counter[STATS_tcp_challenge] = c->env.count.challenge;
}

void session_ctx_tick(struct session_ctx *c, uint64_t now_us, struct policy_matcher *matcher)
{
	c->now_us = c->env.now_us = c->adapt.now_us = now_us;
	c->matcher = matcher;
	scarce_note(c);
	if (now_us < c->tune_us)
		return;
	c->tune_us = now_us + TUNE_US;
	tune_windows(c);
	export_counters(c);
}

static void on_event(void *ctx, const struct callout_event *ev)
{
	struct session_ctx *c = ctx;

	adapt_event(&c->adapt, ev);
}

uint32_t session_poll(struct session_ctx *c)
{
	uint32_t n = callout_poll(c->cfg.port, on_event, c, 256);

	adapt_poll_orphans(&c->adapt);
	return n;
}

void session_gauges(const struct session_ctx *c, struct shm_gauges *g)
{
	g->txns = c->adapt.open;
	g->messages = c->under_way;
	g->preserved_octets = c->adapt.preserved;
	g->preserved_chunks = c->adapt.preserved_chunks;
	g->preserved_max = c->adapt.preserved_max;
	g->preserved_peak = c->adapt.preserved_peak;
	g->receive_queued = c->queued[0];
	g->send_queued = c->queued[1];
	g->mbufs_total = c->mbufs_total;
	g->mbufs_free = rte_mempool_avail_count(c->cfg.bufs);
	g->chunks_total = c->pool.descs;
	g->chunks_used = c->pool.used;
	g->flows = c->sessions;
	g->flows_max = c->cfg.sessions_max;
}

bool session_older_than(const struct session_ctx *c, uint32_t generation)
{
	/* The oldest tells for all: rules only ever get newer. */
	return c->adapt.oldest && c->adapt.oldest->generation < generation;
}

bool session_ctx_idle(const struct session_ctx *c)
{
	return c->adapt.open == 0;
}

const struct policy_image *session_image(const struct session_ctx *c)
{
	return c->matcher ? policy_matcher_image(c->matcher) : NULL;
}

int32_t session_rule(const struct session_ctx *c, const struct session_pipe *p)
{
	const struct policy_image *img = session_image(c);

	return img && policy_image_generation(img) == p->generation ? p->rule : -1;
}

struct session *session_new(struct session_ctx *c, const struct session_flow_info *info)
{
	struct session *s = c->free_sessions;

	if (!s)
		return NULL;
	c->free_sessions = s->next;
	memset(s, 0, sizeof(*s));
	s->ctx = c;
	s->info = *info;
	s->state = SESSION_HANDSHAKE;
	s->begun_us = s->last_us = c->now_us;
	s->ip_id = (uint16_t)(c->now_us ^ (uintptr_t)s >> 6);
	for (unsigned d = 0; d < 2; d++) {
		s->pipe[d].mode = info->sel.protocol == POLICY_PROTO_HTTP ? PIPE_FRAMED : PIPE_STREAM;
		s->pipe[d].rule = -1;
	}
	c->sessions++;
	session_count(c, STATS_flow_created);
	return s;
}

void session_note(struct session_ctx *c, const struct session *s, int32_t rule, const char *kind,
		  const char *cause, uint64_t offset, const char *text)
{
	const struct policy_image *img = session_image(c);
	struct shm_event_args e = {
		.kind = kind,
		.cause = cause,
		.rule = img && rule >= 0 ? policy_image_rule(img, (uint32_t)rule)->name : "",
		.service = "",
		.flow = s->info.id,
		.offset = offset,
		.generation = s->info.generation,
	};

	if (c->cfg.events)
		shm_event_write(c->cfg.events, &e, "%s", text);
}

void session_abort(struct session_ctx *c, struct session *s)
{
	if (s->state != SESSION_OPEN)
		return;
	c->current = s;
	for (unsigned i = 0; i < 2; i++) {
		if (tcp_half_state(&s->half[i]) != TCP_CLOSED)
			tcp_half_abort(&c->env, &s->half[i]);
	}
	s->state = SESSION_DEAD;
	session_count(c, STATS_flow_aborted);
}

uint64_t session_room(const struct session *s, unsigned d)
{
	return tcp_half_send_room(&s->half[!d]);
}

static void open_halves(struct session_ctx *c, struct session *s)
{
	struct tcp_params p;

	for (unsigned i = 0; i < 2; i++) {
		tcp_handshake_params(&s->hs, i, &p);
		tcp_half_open(&s->half[i], &p, &c->env);
		s->half_open[i] = true;
	}
	s->state = SESSION_OPEN;
	session_count(c, STATS_flow_established);
}

/* Octets of the largest IP packet both ports can send: without chains and checksums by the port it is copied into one
 * buffer. */
static uint16_t segment_max(const struct session_ctx *c)
{
	uint32_t room = rte_pktmbuf_data_room_size(c->cfg.bufs) - RTE_PKTMBUF_HEADROOM - SESSION_L2_MAX;
	uint32_t max = UINT16_MAX;

	for (unsigned i = 0; i < 2; i++) {
		const struct session_port_caps *caps = &c->cfg.caps[i];

		max = RTE_MIN(max, (uint32_t)caps->mtu);
		if (!caps->tx_cksum || !caps->multi_seg)
			max = RTE_MIN(max, room);
	}
	return (uint16_t)max;
}

static enum session_verdict handshake_segment(struct session_ctx *c, struct session *s, unsigned side,
					      struct rte_mbuf *m, const struct parse_frame *f,
					      const struct tcp_segment *seg)
{
	uint16_t mss = (uint16_t)(segment_max(c) - (s->info.is_v6 ? 60 : 40));
	uint8_t *hdr = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off);

	switch (tcp_handshake_input(&s->hs, side, seg, hdr, mss, s->info.is_v6, c->now_us)) {
	case TCP_HS_FORWARD:
		if (seg->flags & TCP_F_SYN)
			parse_checksum_set(f, m); /* its options may have changed */
		if (s->hs.state == TCP_HS_RESET) {
			s->state = SESSION_DEAD;
			session_count(c, STATS_flow_reset);
		}
		return SESSION_FORWARD;
	case TCP_HS_DROP:
		return SESSION_DROP;
	case TCP_HS_BYPASS:
		s->state = SESSION_DEAD;
		session_count(c, STATS_flow_not_splittable);
		return SESSION_BYPASS;
	case TCP_HS_ESTABLISHED:
		open_halves(c, s);
		return SESSION_CONSUMED; /* the caller goes on with it as data */
	}
	return SESSION_DROP;
}

/* m in several pieces becomes chunks on its payload, header and padding gone. 0 or -ENOMEM; m is taken over either
 * way. */
static int payload_pieces(struct session_ctx *c, struct rte_mbuf *m, const struct parse_frame *f, struct chunkq *q)
{
	uint32_t skip = f->payload_off, left = f->payload_len;

	while (m) {
		struct rte_mbuf *next = m->next;
		uint32_t n = m->data_len, off = RTE_MIN(skip, n);
		struct chunk *k = NULL;

		m->next = NULL;
		m->nb_segs = 1;
		skip -= off;
		n = RTE_MIN(n - off, left);
		if (n)
			k = chunk_new(&c->pool, m, rte_pktmbuf_mtod_offset(m, uint8_t *, off), n);
		if (k) {
			chunkq_push(q, k);
			left -= n;
		} else {
			rte_pktmbuf_free(m);
			if (n) { /* no descriptor: as if the network had lost it */
				rte_pktmbuf_free(next);
				chunkq_purge(&c->pool, q);
				session_count(c, STATS_no_mbuf);
				return -ENOMEM;
			}
		}
		m = next;
	}
	return 0;
}

/* The same for m of any kind. sum: of the payload if it is one piece, 0: not known. */
static int payload_chunks(struct session_ctx *c, struct rte_mbuf *m, const struct parse_frame *f, uint16_t sum,
			  struct chunkq *q)
{
	struct chunk *k;

	if (unlikely(m->nb_segs > 1))
		return payload_pieces(c, m, f, q);
	if (!f->payload_len) {
		rte_pktmbuf_free_seg(m);
		return 0;
	}
	k = chunk_new(&c->pool, m, rte_pktmbuf_mtod_offset(m, uint8_t *, f->payload_off), f->payload_len);
	if (!k) {
		rte_pktmbuf_free_seg(m);
		session_count(c, STATS_no_mbuf);
		return -ENOMEM;
	}
	k->sum = sum;
	chunkq_push(q, k);
	return 0;
}

/* Nothing of a segment is looked at, much less acknowledged, before this. *sum: of its payload, where that will be of
 * use and is found on the way; else 0. */
static inline bool checksums_good(const struct session_ctx *c, const struct session *s, unsigned side,
				  const struct rte_mbuf *m, const struct parse_frame *f, uint16_t *sum)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	unsigned out = side == 0 ? !s->info.client_port : s->info.client_port;

	*sum = 0;
	if ((m->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK)) == good &&
	    c->cfg.caps[out].tx_cksum)
		return true;
	return parse_ip_checksum_good(f, m) && parse_tcp_checksum_sum(f, m, sum);
}

static void half_events(struct session_ctx *c, struct session *s, unsigned side, uint32_t ev)
{
	if (ev & (TCP_EV_RESET | TCP_EV_TIMEOUT)) {
		if (tcp_half_state(&s->half[!side]) != TCP_CLOSED)
			tcp_half_abort(&c->env, &s->half[!side]);
		s->state = SESSION_DEAD;
		session_count(c, ev & TCP_EV_RESET ? STATS_flow_reset : STATS_flow_timeout);
	}
}

enum session_verdict session_segment(struct session_ctx *c, struct session *s, unsigned side, struct rte_mbuf *m,
				     const struct parse_frame *f)
{
	struct tcp_segment seg;
	struct chunkq q;
	uint8_t *hdr = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off);
	uint16_t sum;

	c->current = s;
	if (s->state == SESSION_DEAD)
		return SESSION_DROP;
	if (!checksums_good(c, s, side, m, f, &sum)) {
		session_count(c, STATS_bad_checksum);
		return SESSION_DROP;
	}
	if (tcp_segment_parse(&seg, hdr, f->l4_len, f->l4_len + f->payload_len) != 0)
		return SESSION_DROP;
	session_head_learn(s, side, m, f);
	s->last_us = c->now_us;
	if (s->state == SESSION_HANDSHAKE) {
		enum session_verdict v = handshake_segment(c, s, side, m, f, &seg);

		if (v != SESSION_CONSUMED)
			return v;
	}
	chunkq_init(&q);
	if (payload_chunks(c, m, f, sum, &q) != 0)
		return SESSION_CONSUMED;
	half_events(c, s, side, tcp_half_input(&c->env, &s->half[side], &seg, &q));
	return SESSION_CONSUMED;
}

bool session_reusable(const struct session *s, unsigned side, const struct rte_mbuf *m, const struct parse_frame *f)
{
	struct tcp_segment seg;
	enum tcp_state far;

	if (s->state == SESSION_DEAD)
		return true;
	if (s->state != SESSION_OPEN ||
	    tcp_segment_parse(&seg, rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off), f->l4_len,
			      f->l4_len + f->payload_len) != 0)
		return false;
	far = tcp_half_state(&s->half[!side]);
	return tcp_half_reusable(&s->half[side], &seg) && (far == TCP_CLOSED || far == TCP_TIME_WAIT);
}

static bool pipe_run(struct session_ctx *c, struct session *s, unsigned d)
{
	if (s->state != SESSION_OPEN)
		return false;
	return s->pipe[d].mode == PIPE_FRAMED ? session_http_run(c, s, d) : session_stream_run(c, s, d);
}

/* Keeps the gauges of the queues: what this session adds to them now. */
static void queues_note(struct session_ctx *c, struct session *s, bool gone)
{
	uint64_t now[2] = {0};

	for (unsigned i = 0; i < 2 && !gone; i++) {
		if (!s->half_open[i])
			continue;
		now[0] += tcp_half_rxq(&s->half[i])->bytes;
		now[1] += tcp_half_send_pending(&s->half[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		c->queued[i] += now[i] - s->queued[i];
		s->queued[i] = now[i];
	}
}

void session_run(struct session_ctx *c, struct session *s)
{
	unsigned round = 0;
	bool moved = true;

	c->current = s;
	s->starved = false;
	while (moved && s->state == SESSION_OPEN && round++ < ROUNDS_MAX) {
		moved = pipe_run(c, s, 0);
		moved |= pipe_run(c, s, 1);
		moved |= s->state == SESSION_OPEN && session_inject_run(c, s);
	}
	if (moved && s->state == SESSION_OPEN)
		c->cfg.wake(c->cfg.cb, s);
	for (unsigned i = 0; i < 2 && s->state == SESSION_OPEN; i++)
		tcp_half_output(&c->env, &s->half[i]);
	if (s->state == SESSION_OPEN && tcp_half_state(&s->half[0]) == TCP_CLOSED &&
	    tcp_half_state(&s->half[1]) == TCP_CLOSED) {
		s->state = SESSION_DEAD;
		session_count(c, STATS_flow_closed);
	}
	queues_note(c, s, false);
}

static uint64_t idle_deadline(const struct session *s)
{
	const struct policy_limits *l = s->ctx->cfg.limits;

	if (s->state == SESSION_HANDSHAKE)
		return s->last_us + l->handshake_timeout_us;
	return s->last_us + (s->answered ? ANSWERED_LINGER_US : l->idle_timeout_us);
}

uint64_t session_deadline(const struct session *s)
{
	uint64_t at = idle_deadline(s);

	if (s->state != SESSION_OPEN)
		return at;
	if (s->starved)
		at = RTE_MIN(at, s->ctx->now_us + STARVED_US);
	for (unsigned i = 0; i < 2; i++) {
		at = RTE_MIN(at, tcp_half_deadline(&s->half[i]));
		if (s->pipe[i].adapt)
			at = RTE_MIN(at, adapt_deadline(s->pipe[i].adapt));
	}
	return at;
}

void session_timer(struct session_ctx *c, struct session *s)
{
	c->current = s;
	for (unsigned i = 0; i < 2 && s->state == SESSION_OPEN; i++)
		half_events(c, s, i, tcp_half_timer(&c->env, &s->half[i]));
	if (s->state != SESSION_DEAD && c->now_us >= idle_deadline(s)) {
		session_count(c, STATS_flow_timeout);
		if (s->state == SESSION_OPEN)
			session_abort(c, s);
		s->state = SESSION_DEAD;
	}
	session_run(c, s);
}

bool session_dead(const struct session *s)
{
	return s->state == SESSION_DEAD;
}

void *session_owner(const struct session *s)
{
	return s->info.owner;
}

void session_free(struct session_ctx *c, struct session *s)
{
	queues_note(c, s, true);
	for (unsigned d = 0; d < 2; d++) {
		session_message_drop(c, s, d);
		chunkq_purge(&c->pool, &s->pipe[d].raw);
		if (s->half_open[d])
			tcp_half_free(&c->env, &s->half[d]);
	}
	session_http_free(c, s);
	chunkq_purge(&c->pool, &s->inject);
	while (s->xchg_head)
		session_xchg_pop(c, s);
	s->next = c->free_sessions;
	c->free_sessions = s;
	c->sessions--;
}

void session_row(const struct session_ctx *c, const struct session *s, struct shm_flow_row *row)
{
	static const char *const states[] = {"handshake", "open", "closing"};
	const struct policy_image *img = session_image(c);
	unsigned shown = s->pipe[1].rule >= 0;
	int32_t rule = s->pipe[shown].rule;
	const char *name = "";

	memset(row, 0, sizeof(*row));
	row->id = s->info.id;
	memcpy(row->client, s->info.tuple.client, 16);
	memcpy(row->server, s->info.tuple.server, 16);
	row->client_port = s->info.tuple.client_port;
	row->server_port = s->info.tuple.server_port;
	snprintf(row->state, sizeof(row->state), "%s", states[s->state]);
	snprintf(row->protocol, sizeof(row->protocol), "%s",
		 s->pipe[0].mode == PIPE_FRAMED ? "http" : s->pipe[0].mode == PIPE_TUNNEL ? "tunnel" : "tcp");
	/* The name by number holds only while the rules are those the message began with. */
	if (s->pipe[shown].adapt)
		name = s->pipe[shown].adapt->rule->name;
	else if (img && rule >= 0 && session_rule(c, &s->pipe[shown]) >= 0)
		name = policy_image_rule(img, (uint32_t)rule)->name;
	snprintf(row->rule, sizeof(row->rule), "%s", name);
	for (unsigned d = 0; d < 2; d++) {
		row->octets[d] = s->pipe[d].octets;
		row->messages[d] = s->pipe[d].messages;
		if (s->pipe[d].adapt) {
			row->preserved += s->pipe[d].adapt->keep.bytes;
			row->txns++;
		}
		if (s->pipe[d].observer)
			row->txns++;
	}
	row->age_us = c->now_us - s->begun_us;
	row->idle_us = c->now_us - s->last_us;
}
