/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preservation: originals on their way to a service and back. The worker's side is
 * the real one (adapt, callout ports); the callout lcore is played: it takes the
 * requests off the ring and answers with events, both outside the timed part.
 */
#include <stdlib.h>
#include <string.h>
#include <rte_mbuf.h>
#include "adapt/adapt.h"
#include "callout/callout_ring.h"
#include "micro.h"

#define RING 1024u

enum answer { AS_IS, ECHO };

/* One message that never ends. */
struct world {
	struct policy_image *image;
	struct rte_mempool *opens;
	struct callout_port port;
	struct adapt_ctx ctx;
	uint64_t counters[STATS_MAX];
	struct adapt *a;
	uint64_t fed;
	bool wrong;
};

static const char config[] =
	"ports: {inside: {device: a}, outside: {device: b}}\n"
	"services:\n- {name: s, address: \"tcp:127.0.0.1:4037\"}\n"
	"rules:\n- {name: r, action: adapt, service: s, match: {protocol: tcp}}\n";

static void wake(void *owner)
{
	struct world *w = owner;

	bench_keep(w);
}

static struct policy_image *image_make(struct bench *b)
{
	static struct policy_errors errs;
	struct policy_image *image = NULL;
	struct policy_config *c;

	if (policy_config_parse("micro", config, strlen(config), &c, &errs)) {
		bench_fail(b, "the rules are refused: %s", errs.e[0].text);
		return NULL;
	}
	if (policy_compile(c, 1, &image, &errs))
		bench_fail(b, "the rules do not compile: %s", errs.e[0].text);
	policy_config_free(c);
	return image;
}

static bool world_open(struct bench *b, struct world *w)
{
	struct adapt_begin begin = {.owner = w, .kind = POLICY_KIND_STREAM, .meta = ""};
	enum callout_cause cause;

	memset(w, 0, sizeof(*w));
	w->image = image_make(b);
	w->opens = rte_mempool_create("micro-opens", 15, sizeof(struct callout_open), 0, 0, NULL,
				      NULL, NULL, NULL, SOCKET_ID_ANY, 0);
	if (!w->image || !w->opens ||
	    callout_port_init(&w->port, w->opens, RING, SOCKET_ID_ANY, 1, w))
		return false;
	w->ctx = (struct adapt_ctx){.pool = micro_pool(),
				    .port = &w->port,
				    .counter = w->counters,
				    .now_us = 1000000,
				    .preserved_max = 64u << 20,
				    .wake = wake};
	if (adapt_ctx_init(&w->ctx, 8))
		return false;
	begin.image = w->image;
	w->a = adapt_begin(&w->ctx, &begin, &cause);
	if (w->a)
		adapt_event(&w->ctx, &(struct callout_event){.type = CALLOUT_EV_AM_START,
							     .txn = &w->a->txn,
							     .am_id = 2,
							     .sizep = -1,
							     .el = -1,
							     .modp = -1});
	return w->a != NULL;
}

/* The callout lcore has taken what lies in the ring and sent it. */
static void served(struct world *w)
{
	struct callout_req r;

	while (rte_ring_sc_dequeue_elem(w->port.tx, &r, sizeof(r)) == 0) {
		if (r.type == CALLOUT_REQ_START)
			rte_mempool_put(w->opens, r.open);
		if (r.m)
			rte_pktmbuf_free_seg(r.m);
		if (r.txn)
			atomic_store_explicit(&r.txn->co_limit, r.txn->sent + CALLOUT_CREDIT_MAX,
					      memory_order_relaxed);
	}
}

static void world_close(struct bench *b, struct world *w)
{
	if (w->a) {
		struct callout_txn *t = &w->a->txn;

		adapt_release(w->a, true);
		served(w);
		adapt_event(&w->ctx, &(struct callout_event){.type = CALLOUT_EV_CLOSED, .txn = t});
	}
	if (w->ctx.open || w->ctx.preserved)
		w->wrong = true;
	if (w->port.tx)
		callout_port_fini(&w->port);
	adapt_ctx_fini(&w->ctx);
	rte_mempool_free(w->opens);
	free(w->image);
	if (w->wrong)
		bench_fail(
			b,
			"what came out is not what the service said, or something is still kept");
	if (!micro_pool_whole())
		bench_fail(b, "chunks or buffers were lost");
}

static void feed_make(const struct world *w, struct chunkq *q)
{
	chunkq_init(q);
	for (unsigned i = 0; i < MICRO_BURST; i++)
		chunkq_push(q, micro_chunk(w->fed + (uint64_t)i * MICRO_SEGMENT, MICRO_SEGMENT));
}

/* The service's own octets, as they lie in buffers they were read into. */
static void echo_make(const struct world *w, struct rte_mbuf **m)
{
	for (unsigned i = 0; i < MICRO_BURST; i++) {
		struct chunk *c = micro_chunk(w->fed + (uint64_t)i * MICRO_SEGMENT, MICRO_SEGMENT);

		m[i] = c->m;
		rte_mbuf_refcnt_update(c->m, 1);
		chunk_free(micro_pool(), c);
	}
}

/* The i-th chunk of the burst comes back, and nobody will ask for the original again. */
static void answer(struct world *w, enum answer how, unsigned i, struct rte_mbuf *m)
{
	struct callout_event ev = {.txn = &w->a->txn, .am_id = 2, .sizep = -1, .modp = -1};

	ev.offset = ev.src_offset = w->fed + (uint64_t)i * MICRO_SEGMENT;
	ev.size = MICRO_SEGMENT;
	if (how == AS_IS) {
		ev.type = CALLOUT_EV_AS_IS;
		adapt_event(&w->ctx, &ev);
	} else {
		ev.type = CALLOUT_EV_DATA;
		ev.m = m;
		ev.data = rte_pktmbuf_mtod(m, const uint8_t *);
		adapt_event(&w->ctx, &ev);
	}
	ev.type = CALLOUT_EV_WONT_FORWARD;
	ev.ok = true;
	ev.m = NULL;
	ev.data = NULL;
	adapt_event(&w->ctx, &ev);
}

/* Received chunks are kept and sent; the service answers chunk by chunk; what is to go out is moved
 * on and the originals are released. */
static void through(struct bench *b, enum answer how)
{
	struct rte_mbuf *m[MICRO_BURST] = {NULL};
	uint64_t burst = MICRO_BURST * MICRO_SEGMENT;
	struct chunkq q, out;
	struct world w;

	if (!world_open(b, &w))
		bench_fail(b, "the message does not begin");
	chunkq_init(&out);
	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		feed_make(&w, &q);
		if (how == ECHO)
			echo_make(&w, m);
		bench_resume(b);
		adapt_feed(w.a, &q, CALLOUT_PART_NONE);
		adapt_pump(w.a);
		bench_pause(b);
		w.wrong |= w.a->keep.bytes != burst || w.a->sent != w.fed + burst;
		served(&w);
		w.ctx.now_us += 100;
		bench_resume(b);
		for (unsigned i = 0; i < MICRO_BURST; i++)
			answer(&w, how, i, m[i]);
		adapt_pump(w.a);
		chunkq_append(&out, &w.a->out);
		bench_pause(b);
		w.wrong |= out.bytes != burst || !micro_is_pattern(&out, w.fed);
		w.wrong |= !chunkq_empty(&w.a->keep);
		w.fed += burst;
		chunkq_purge(micro_pool(), &out);
		bench_resume(b);
	}
	bench_bytes(b, bench_iterations(b) * MICRO_SEGMENT);
	world_close(b, &w);
}

static void as_is(struct bench *b)
{
	through(b, AS_IS);
}

static void echo(struct bench *b)
{
	through(b, ECHO);
}

void micro_adapt(void)
{
	static const struct bench_def defs[] = {
		{.name = "adapt/as_is", .fn = as_is},
		{.name = "adapt/echo", .fn = echo},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
