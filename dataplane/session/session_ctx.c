/* SPDX-License-Identifier: BSD-3-Clause */
/* What all sessions of a worker share: pools, windows by the memory there is, gauges. */
#include "session_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <rte_malloc.h>
#include <rte_mempool.h>

#define FRAMERS_MAX 8192
#define XCHGS_MAX 16384
#define TUNE_US 10000
#define SCARCE_US 100
#define CONFLICT_US 50000 /* between two events that tell of a conflict */
#define STALLED_US 50000
#define STALLED_BACKOFF 4	  /* timeouts without an answer: three seconds of a near end, more of a far one */
#define STALLED_ALIVE_BACKOFF 7	  /* of an end that answers, but takes nothing: 25 s at least */
#define RCVBUF_MIN 32768u
#define BURSTS_RESERVE 256u /* packet buffers kept for what must go on: acknowledgements, other traffic */

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
	s = c->slab = rte_zmalloc_socket("sessions", sizeof(*s) * (size_t)cfg->active_max, 64, cfg->socket_id);
	f = c->framer_slab = calloc(FRAMERS_MAX, sizeof(*f));
	x = c->xchg_slab = calloc(XCHGS_MAX, sizeof(*x));
	if (!s || !f || !x)
		return -ENOMEM;
	for (uint32_t i = cfg->active_max; i-- > 0;) {
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
	if (session_smtp_create(c) != 0)
		return -ENOMEM;
	return session_records_create(c);
}

static void hex(char *to, const uint8_t *octets, uint16_t n)
{
	static const char digit[] = "0123456789abcdef";

	for (uint16_t i = 0; i < n; i++) {
		*to++ = digit[octets[i] >> 4];
		*to++ = digit[octets[i] & 15];
	}
	*to = '\0';
}

/* Counted each time, told now and then: an attacker must not drive other events out of the ring. */
static void on_conflict(void *ctx, struct tcp_half *h, const struct tcp_conflict *k)
{
	struct session_ctx *c = ctx;
	struct session *s = c->current;
	char text[160], held[2 * TCP_CONFLICT_MAX + 1], came[2 * TCP_CONFLICT_MAX + 1];

	if (!s || c->now_us < c->conflict_us)
		return;
	c->conflict_us = c->now_us + CONFLICT_US;
	hex(held, k->held, k->len);
	hex(came, k->came, k->len);
	snprintf(text, sizeof(text), "from the %s, sequence number %u: %s was received first and stays, %s came again",
		 h == &s->half[0] ? "client" : "server", k->seq, held, came);
	session_note(c, s, s->info.sel.first, "tcp-conflict", "overlap", UINT64_MAX, text);
}

int session_ctx_create(struct session_ctx **out, const struct session_config *cfg)
{
	struct session_ctx *c = calloc(1, sizeof(*c));
	char name[32];
	int rc;

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	if (!cfg->active_max || cfg->active_max > cfg->flows_max)
		c->cfg.active_max = cfg->flows_max;
	if (cfg->tcp) {
		c->probes_max = cfg->tcp->keepalive_probes;
		c->probe_interval_us = cfg->tcp->keepalive_interval_us;
	}
	c->in_use.next = c->in_use.prev = &c->in_use;
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
	c->env.conflict = on_conflict;
	c->env.ctx = c;
	c->env.rcvbuf_max = (uint32_t)cfg->limits->receive_buffer;
	c->mbufs_total = cfg->bufs->size;
	c->env.cc = cfg->tcp && cfg->tcp->congestion == POLICY_CC_NEWRENO ? TCP_CC_NEWRENO : TCP_CC_CUBIC;
	c->env.ooo_max = cfg->limits->reassembly;
	if (!c->env.ooo_max)
		c->env.ooo_max = (uint64_t)c->mbufs_total * rte_pktmbuf_data_room_size(cfg->bufs) / 8;
	*out = c;
	return 0;
}

void session_ctx_destroy(struct session_ctx *c)
{
	if (!c)
		return;
	rte_free(c->slab);
	rte_free(c->record_slab);
	free(c->framer_slab);
	free(c->xchg_slab);
	session_smtp_destroy(c);
	if (c->adapt.slab)
		adapt_ctx_fini(&c->adapt);
	chunk_pool_fini(&c->pool);
	free(c);
}

/* Not heard since before the timeout before the last one: an end that answers, by a closed window perhaps, was heard after
 * it. Timeouts double: the next one is due twice as long after the last as that was after its predecessor. */
static bool end_silent(const struct session_ctx *c, const struct session *s, unsigned side, const struct tcp_half_info *i)
{
	uint64_t wait = (uint64_t)i->rto_us << RTE_MIN(i->backoff - 1u, 16u);
	uint64_t since = i->timer_us < 2 * wait ? 2 * wait - i->timer_us : 0; /* the last one; 0: it is that which brings us here */

	return c->now_us - s->heard.us[side] > since + wait + wait / 4;
}

/* Clients that ask for much and read nothing could else hold the last buffers for as long as they like, and nobody would
 * get anything. Called when a timer of s has gone off, so that a session without an answer comes here by itself. */
void session_relieve(struct session_ctx *c, struct session *s)
{
	struct tcp_half_info i;

	for (unsigned side = 0; side < 2 && s->state == SESSION_OPEN; side++) {
		if (!tcp_half_send_pending(&s->half[side]))
			continue;
		tcp_half_info(&c->env, &s->half[side], &i);
		if (i.backoff < STALLED_BACKOFF || (i.backoff < STALLED_ALIVE_BACKOFF && !end_silent(c, s, side, &i)))
			continue;
		session_count(c, STATS_flow_stalled);
		if (c->now_us >= c->stalled_us) {
			c->stalled_us = c->now_us + STALLED_US;
			session_note(c, s, s->info.sel.first, "flow-stalled", "memory", UINT64_MAX,
				     side == 0 ? "the client takes nothing and packet buffers are scarce: reset" :
						 "the server takes nothing and packet buffers are scarce: reset");
		}
		session_abort(c, s);
	}
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
	c->counter[STATS_tcp_undo] = c->env.count.undo;
	c->counter[STATS_tcp_dsack] = c->env.count.dsack_in;
	c->counter[STATS_tcp_tlp] = c->env.count.tlp;
	c->counter[STATS_tcp_reneged] = c->env.count.reneged;
	c->counter[STATS_tcp_urgent] = c->env.count.urgent;
	c->counter[STATS_tcp_keepalive] = c->env.count.keepalive;
	c->counter[STATS_tcp_mtu] = c->env.count.mtu;
	c->counter[STATS_tcp_refused] = c->env.count.ooo_dropped;
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
	g->flows = c->flows;
	g->flows_max = c->cfg.flows_max;
	g->flows_active = c->sessions;
	g->flows_active_max = c->cfg.active_max;
	g->flows_parked = c->parked;
	g->flows_joined = c->joined;
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
