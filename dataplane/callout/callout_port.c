/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's side of the callout rings. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <rte_mbuf.h>
#include "callout/callout_ring.h"

/* callout_txn.rsvd[0] of an ended transaction whose end waits for the ring: the error flag. */
enum { TXN_END_ERROR = 0 };

static bool port_put(struct callout_port *p, struct callout_req *r)
{
	return rte_ring_sp_enqueue_elem(p->tx, r, sizeof(*r)) == 0;
}

static bool port_put_end(struct callout_port *p, struct callout_txn *t, bool error)
{
	struct callout_req r = {.type = CALLOUT_REQ_END, .flag = error, .txn = t};

	return port_put(p, &r);
}

/* Ends that found the ring full go first: an end is owed whatever happens. */
static void port_flush_ends(struct callout_port *p)
{
	while (p->ends) {
		struct callout_txn *t = p->ends;

		if (!port_put_end(p, t, t->rsvd[TXN_END_ERROR]))
			return;
		p->ends = t->next;
		if (!p->ends)
			p->ends_tail = NULL;
		t->next = NULL;
	}
}

static void port_wait(struct callout_port *p, struct callout_txn *t)
{
	p->full++;
	if (t->waits)
		return;
	t->waits = true;
	t->next = NULL;
	if (p->waits_tail)
		p->waits_tail->next = t;
	else
		p->waits = t;
	p->waits_tail = t;
}

static void port_unwait(struct callout_port *p, struct callout_txn *t)
{
	struct callout_txn **pp = &p->waits, *prev = NULL;

	if (!t->waits)
		return;
	while (*pp != t) {
		prev = *pp;
		pp = &prev->next;
	}
	*pp = t->next;
	if (p->waits_tail == t)
		p->waits_tail = prev;
	t->next = NULL;
	t->waits = false;
}

int callout_start(struct callout_port *p, struct callout_txn *t, const struct policy_image *image,
		  uint32_t service, const char *meta, uint32_t meta_len, int64_t sizep)
{
	const struct policy_service *s = policy_image_service(image, service);
	struct callout_req r = {.type = CALLOUT_REQ_START, .txn = t};
	struct callout_open *o;

	port_flush_ends(p);
	if (p->ends || meta_len > CALLOUT_META_MAX ||
	    rte_mempool_get(p->opens, (void **)&o) < 0)
		return -ENOBUFS;
	memcpy(o->service, s->name, sizeof(o->service));
	o->priority = t->priority;
	o->generation = policy_image_generation(image);
	o->sizep = sizep;
	o->el = t->el_known && t->el <= INT64_MAX ? (int64_t)t->el : -1;
	o->meta_len = meta_len;
	memcpy(o->meta, meta, meta_len);
	r.open = o;
	t->ended = t->waits = false;
	atomic_store_explicit(&t->wanted, false, memory_order_relaxed);
	t->service = service;
	t->generation = o->generation;
	t->sent = 0;
	t->next = NULL;
	t->co_private = NULL;
	atomic_store_explicit(&t->co_limit, CALLOUT_CREDIT_FIRST, memory_order_relaxed);
	atomic_store_explicit(&t->co_framed, 0, memory_order_relaxed);
	if (!port_put(p, &r)) {
		p->full++;
		rte_mempool_put(p->opens, o);
		return -ENOBUFS;
	}
	p->open++;
	return 0;
}

uint32_t callout_room(const struct callout_port *p)
{
	uint32_t n = rte_ring_free_count(p->tx);

	return n > p->reserve ? n - p->reserve : 0;
}

/* Out of credit: say so to the callout lcore, then look again, lest it gave credit between the two. Pairs with
 * the fence in callout_txn_grant. */
static bool txn_has_credit(struct callout_txn *t)
{
	if (t->sent < atomic_load_explicit(&t->co_limit, memory_order_relaxed))
		return true;
	atomic_store_explicit(&t->wanted, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (t->sent >= atomic_load_explicit(&t->co_limit, memory_order_relaxed))
		return false;
	atomic_store_explicit(&t->wanted, false, memory_order_relaxed);
	return true;
}

static int port_put_chunk(struct callout_port *p, struct callout_txn *t, const struct chunk *c, struct callout_req r)
{
	r.txn = t;
	r.m = c->m;
	r.data = c->data;
	r.len = c->len;
	port_flush_ends(p);
	if (!txn_has_credit(t))
		return -ENOBUFS;
	if (!callout_room(p)) {
		port_wait(p, t);
		return -ENOBUFS;
	}
	rte_mbuf_refcnt_update(c->m, 1);
	if (!port_put(p, &r)) {
		rte_mbuf_refcnt_update(c->m, -1);
		port_wait(p, t);
		return -ENOBUFS;
	}
	t->sent += (uint64_t)c->len + CALLOUT_CHUNK_COST;
	return 0;
}

int callout_data(struct callout_port *p, struct callout_txn *t, const struct chunk *c, uint64_t offset,
		 enum callout_part part, bool copied)
{
	return port_put_chunk(p, t, c, (struct callout_req){
		.type = CALLOUT_REQ_DATA, .part = part, .flag = copied, .offset = offset});
}

int callout_aux(struct callout_port *p, struct callout_txn *t, const struct chunk *c, enum callout_part part)
{
	return port_put_chunk(p, t, c, (struct callout_req){.type = CALLOUT_REQ_AUX, .part = part});
}

int callout_data_end(struct callout_port *p, struct callout_txn *t, bool ok)
{
	struct callout_req r = {.type = CALLOUT_REQ_DATA_END, .flag = ok, .txn = t};

	port_flush_ends(p);
	if (p->ends || !port_put(p, &r)) {
		port_wait(p, t);
		return -ENOBUFS;
	}
	return 0;
}

int callout_hold(struct callout_port *p, struct callout_txn *t, bool hold)
{
	struct callout_req r = {.type = CALLOUT_REQ_HOLD, .flag = hold, .txn = t};

	port_flush_ends(p);
	return p->ends || !port_put(p, &r) ? -ENOBUFS : 0;
}

void callout_end(struct callout_port *p, struct callout_txn *t, bool error)
{
	if (t->ended)
		return;
	t->ended = true;
	port_unwait(p, t);
	port_flush_ends(p);
	if (!p->ends && port_put_end(p, t, error))
		return;
	p->full++;
	t->rsvd[TXN_END_ERROR] = error;
	t->next = NULL;
	if (p->ends_tail)
		p->ends_tail->next = t;
	else
		p->ends = t;
	p->ends_tail = t;
}

static bool port_deliver(struct callout_port *p, const struct callout_msg *m, callout_event_fn fn, void *ctx)
{
	struct callout_event ev = {.type = m->type, .txn = m->txn, .am_id = m->am_id, .part = m->part,
				   .cause = m->cause, .ok = m->ok, .modified = m->modified,
				   .answers_request = m->answers_request, .result = m->result,
				   .sizep = m->sizep, .modp = m->modp, .offset = m->offset,
				   .size = m->size, .m = m->m};

	if (m->txn->ended && m->type != CALLOUT_EV_CLOSED) { /* INV-CALLOUT-1 */
		if (m->m)
			rte_pktmbuf_free_seg(m->m);
		return false;
	}
	ev.el = -1;
	if (m->type == CALLOUT_EV_DATA) {
		ev.data = m->data;
	} else if (m->type == CALLOUT_EV_FAILED || m->type == CALLOUT_EV_AM_END) {
		ev.text = m->text;
	} else if (m->type == CALLOUT_EV_AM_START) {
		ev.el = (int64_t)m->size;
		ev.size = 0;
	} else {
		ev.src_offset = m->src_offset;
	}
	if (m->type == CALLOUT_EV_CLOSED)
		p->open--;
	fn(ctx, &ev);
	return true;
}

/* The ring has drained a good part: those refused may come again. Only as many as wait now, for they may be refused
 * once more in the callback. */
static uint32_t port_wake(struct callout_port *p, callout_event_fn fn, void *ctx, uint32_t max)
{
	struct callout_txn *last = p->waits_tail;
	uint32_t n = 0;

	if (callout_room(p) < rte_ring_get_capacity(p->tx) / 4)
		return 0;
	while (n < max && p->waits && callout_room(p)) {
		struct callout_txn *t = p->waits;
		struct callout_event ev = {.type = CALLOUT_EV_ROOM, .txn = t, .sizep = -1, .modp = -1};

		port_unwait(p, t);
		fn(ctx, &ev);
		n++;
		if (t == last)
			break;
	}
	return n;
}

uint32_t callout_poll(struct callout_port *p, callout_event_fn fn, void *ctx, uint32_t max)
{
	struct callout_msg m[CALLOUT_BURST];
	uint32_t done = 0, n, i;

	port_flush_ends(p);
	if (p->waits)
		done += port_wake(p, fn, ctx, max);
	while (done < max) {
		n = RTE_MIN(max - done, (uint32_t)CALLOUT_BURST);
		n = rte_ring_sc_dequeue_burst_elem(p->rx, m, sizeof(m[0]), n, NULL);
		if (!n)
			break;
		for (i = 0; i < n; i++)
			port_deliver(p, &m[i], fn, ctx);
		done += n;
	}
	return done;
}

bool callout_idle(const struct callout_port *p)
{
	return p->open == 0 && rte_ring_empty(p->rx);
}

const char *callout_cause_name(enum callout_cause cause)
{
	static const char *const names[CALLOUT_CAUSE_MAX] = {
		[CALLOUT_CAUSE_NONE] = "none",
		[CALLOUT_CAUSE_CONNECT] = "connect",
		[CALLOUT_CAUSE_NEGOTIATION] = "negotiation",
		[CALLOUT_CAUSE_LOST] = "lost",
		[CALLOUT_CAUSE_DEADLINE] = "deadline",
		[CALLOUT_CAUSE_PROTOCOL] = "protocol",
		[CALLOUT_CAUSE_REFUSED] = "refused",
		[CALLOUT_CAUSE_OVERLOAD] = "overload",
		[CALLOUT_CAUSE_BUDGET] = "budget",
		[CALLOUT_CAUSE_FRAMING] = "framing",
	};

	return (unsigned)cause < CALLOUT_CAUSE_MAX ? names[cause] : "unknown";
}

int callout_port_init(struct callout_port *p, struct rte_mempool *opens, uint32_t ring_size,
		      int socket_id, unsigned worker, const void *tag)
{
	char name[RTE_RING_NAMESIZE];

	memset(p, 0, sizeof(*p));
	p->opens = opens;
	p->reserve = RTE_MIN(64u, ring_size / 8);
	snprintf(name, sizeof(name), "co_tx%u_%lx", worker, (unsigned long)(uintptr_t)tag & 0xffffffff);
	p->tx = rte_ring_create_elem(name, sizeof(struct callout_req), ring_size, socket_id,
				     RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "co_rx%u_%lx", worker, (unsigned long)(uintptr_t)tag & 0xffffffff);
	p->rx = rte_ring_create_elem(name, sizeof(struct callout_msg), ring_size, socket_id,
				     RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (p->tx && p->rx)
		return 0;
	callout_port_fini(p);
	return -ENOMEM;
}

void callout_port_fini(struct callout_port *p)
{
	rte_ring_free(p->tx); /* accept NULL */
	rte_ring_free(p->rx);
	p->tx = p->rx = NULL;
}
