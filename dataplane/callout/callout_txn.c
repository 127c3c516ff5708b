/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions on the callout lcore: what workers ask for, what they are told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_mbuf.h>
#include "callout/callout_lcore.h"

/* --- lists and memory ------------------------------------------------------------------------------------ */

void co_list_push(struct co_list *q, struct co_txn *t)
{
	t->next = NULL;
	if (q->tail)
		q->tail->next = t;
	else
		q->head = t;
	q->tail = t;
	q->count++;
}

struct co_txn *co_list_pop(struct co_list *q)
{
	struct co_txn *t = q->head;

	if (!t)
		return NULL;
	q->head = t->next;
	if (!q->head)
		q->tail = NULL;
	q->count--;
	t->next = NULL;
	return t;
}

void co_list_remove(struct co_list *q, struct co_txn *t)
{
	struct co_txn **pp = &q->head, *prev = NULL;

	while (*pp && *pp != t) {
		prev = *pp;
		pp = &prev->next;
	}
	if (!*pp)
		return;
	*pp = t->next;
	if (q->tail == t)
		q->tail = prev;
	q->count--;
	t->next = NULL;
}

/* Slabs are never given back before the end: what a peak needed, the next one needs again. */
static void *slab_new(struct callout_lcore *l, size_t size)
{
	void **list = realloc(l->slab, (l->slabs + 1) * sizeof(*list));
	void *mem;

	if (!list)
		return NULL;
	l->slab = list;
	mem = calloc(1, size);
	if (mem)
		l->slab[l->slabs++] = mem;
	return mem;
}

#define SLAB_TXNS 256
#define SLAB_DESCS 1024

static struct co_txn *txn_alloc(struct callout_lcore *l)
{
	struct co_txn *t = l->txn_free;
	unsigned i;

	if (!t) {
		t = slab_new(l, SLAB_TXNS * sizeof(*t));
		if (!t)
			return NULL;
		for (i = 0; i < SLAB_TXNS - 1; i++)
			t[i].next = &t[i + 1];
	}
	l->txn_free = t->next;
	memset(t, 0, sizeof(*t));
	return t;
}

struct co_desc *co_desc_alloc(struct callout_lcore *l)
{
	struct co_desc *d = l->desc_free;
	unsigned i;

	if (!d) {
		d = slab_new(l, SLAB_DESCS * sizeof(*d));
		if (!d)
			return NULL;
		for (i = 0; i < SLAB_DESCS - 1; i++)
			d[i].next = &d[i + 1];
	}
	l->desc_free = d->next;
	return d;
}

void co_desc_free(struct callout_lcore *l, struct co_desc *d)
{
	d->next = l->desc_free;
	l->desc_free = d;
}

uint64_t co_desc_cost(const struct co_desc *d)
{
	return co_desc_data(d) ? (uint64_t)d->len + CALLOUT_CHUNK_COST : 0;
}

/* --- events to workers ------------------------------------------------------------------------------------- */

static bool backlog_grow(struct co_backlog *b, uint32_t need)
{
	uint32_t size = b->size ? b->size : 64, i;
	struct callout_msg *msg;

	while (size < need) {
		if (size > UINT32_MAX / 2)
			return false;
		size *= 2;
	}
	if (size == b->size)
		return true;
	msg = malloc((size_t)size * sizeof(*msg));
	if (!msg)
		return false;
	for (i = 0; i < b->count; i++)
		msg[i] = b->msg[(b->head + i) & (b->size - 1)];
	free(b->msg);
	b->msg = msg;
	b->size = size;
	b->head = 0;
	return true;
}

bool co_backlog_reserve(struct co_backlog *b, uint32_t n)
{
	return backlog_grow(b, b->count + 2 * (b->txns + n));
}

static bool backlog_put(struct co_backlog *b, const struct callout_msg *m, bool terminal)
{
	uint32_t spare = terminal ? 0 : 2 * b->txns; /* INV-CO-3 */

	if (b->size - b->count <= spare && !backlog_grow(b, b->count + spare + 1))
		return false;
	b->msg[(b->head + b->count) & (b->size - 1)] = *m;
	b->count++;
	return true;
}

bool co_post(struct callout_lcore *l, struct co_txn *t, const struct callout_msg *m)
{
	bool terminal = m->type == CALLOUT_EV_FAILED || m->type == CALLOUT_EV_ENDED ||
			m->type == CALLOUT_EV_CLOSED;

	return backlog_put(&l->backlog[t->port], m, terminal);
}

bool co_backlog_flush(struct callout_lcore *l, unsigned port)
{
	struct co_backlog *b = &l->backlog[port];

	while (b->count) {
		uint32_t n = RTE_MIN(b->count, b->size - b->head), done;

		done = rte_ring_sp_enqueue_burst_elem(l->port[port].rx, &b->msg[b->head],
						      sizeof(b->msg[0]), n, NULL);
		b->head = (b->head + done) & (b->size - 1);
		b->count -= done;
		if (done < n)
			return false;
	}
	b->head = 0;
	return true;
}

/* --- the end of a transaction -------------------------------------------------------------------------------- */

static void txn_put(struct callout_lcore *l, struct co_txn *t)
{
	t->next = l->txn_free;
	l->txn_free = t;
}

void co_txn_unref(struct callout_lcore *l, struct co_txn *t)
{
	if (--t->inflight == 0 && !t->txn)
		txn_put(l, t);
}

static void txn_post_closed(struct callout_lcore *l, unsigned port, struct callout_txn *txn)
{
	struct callout_msg m = {.type = CALLOUT_EV_CLOSED, .txn = txn, .sizep = -1, .modp = -1};

	backlog_put(&l->backlog[port], &m, true);
	l->backlog[port].txns--;
}

/* The worker's end has been seen and nothing of it is left to be said: the worker's memory is its own again. */
void co_txn_close(struct callout_lcore *l, struct co_txn *t)
{
	struct callout_txn *txn = t->txn;

	t->txn = NULL;
	txn->co_private = NULL;
	txn_post_closed(l, t->port, txn);
	if (!t->inflight)
		txn_put(l, t);
}

/* Throws away what is queued. True: the worker's end was among it. */
static bool txn_purge(struct callout_lcore *l, struct co_txn *t)
{
	bool end = false;
	struct co_desc *d;

	while ((d = t->head)) {
		t->head = d->next;
		if (co_desc_data(d))
			rte_pktmbuf_free_seg(d->m);
		else if (d->type == CALLOUT_REQ_END)
			end = true;
		if (t->conn)
			t->conn->queued -= co_desc_cost(d);
		co_desc_free(l, d);
	}
	t->tail = NULL;
	return end;
}

/* No list, connection or agent knows t from here on. */
bool co_txn_over(struct callout_lcore *l, struct co_txn *t)
{
	bool end = txn_purge(l, t);

	if (t->waits)
		co_list_remove(t->group ? &t->group->wait : &l->early, t);
	if (t->ready)
		co_list_remove(&t->conn->ready, t);
	if (t->state == CO_TXN_OPEN) {
		t->conn->txns--;
		t->conn->group->service->row.txns_open--;
	}
	if (t->open)
		rte_mempool_put(l->opens, t->open);
	if (t->state != CO_TXN_OVER)
		l->txns--;
	t->open = NULL;
	t->waits = t->ready = false;
	t->group = NULL;
	t->conn = NULL;
	t->state = CO_TXN_OVER;
	/* what the worker still sends is dropped: let it not wait for credit */
	atomic_store_explicit(&t->txn->co_limit, UINT64_MAX / 2, memory_order_relaxed);
	return end;
}

static void txn_terminal(struct callout_lcore *l, struct co_txn *t, const struct callout_msg *m)
{
	bool end = co_txn_over(l, t);

	co_post(l, t, m);
	if (end)
		co_txn_close(l, t);
}

void co_txn_fail(struct callout_lcore *l, struct co_txn *t, enum callout_cause cause, const char *text,
		 int32_t result)
{
	struct callout_msg m = {.type = CALLOUT_EV_FAILED, .txn = t->txn, .cause = cause, .text = text,
				.result = result, .sizep = -1, .modp = -1};
	struct co_group *g = t->conn ? t->conn->group : t->group;

	if (t->state == CO_TXN_OVER)
		return;
	if (g)
		g->service->row.txns_failed++;
	txn_terminal(l, t, &m);
}

void co_txn_ended(struct callout_lcore *l, struct co_txn *t, int32_t result)
{
	struct callout_msg m = {.type = CALLOUT_EV_ENDED, .txn = t->txn, .ok = true, .result = result,
				.sizep = -1, .modp = -1};

	if (t->state != CO_TXN_OVER)
		txn_terminal(l, t, &m);
}

/* --- credit ------------------------------------------------------------------------------------------------- */

/* Tells the worker in steps, not by the octet; at the latest when nothing is on its way any more. Pairs with the fence in
 * txn_has_credit: either the worker sees the new limit or this sees wanted. */
void co_txn_credit(struct callout_lcore *l, struct co_txn *t, uint64_t cost)
{
	uint64_t window, limit;
	struct callout_msg m = {.type = CALLOUT_EV_ROOM, .txn = t->txn, .sizep = -1, .modp = -1};

	t->written += cost;
	if (!t->txn || t->state != CO_TXN_OPEN)
		return;
	window = t->conn->queued > CO_QUEUED_MAX ? CALLOUT_CREDIT_FIRST : CALLOUT_CREDIT_MAX;
	limit = t->written + window;
	if (limit <= t->limit || (limit - t->limit < window / 4 && (t->head || t->inflight > 1)))
		return;
	t->limit = limit;
	atomic_store_explicit(&t->txn->co_limit, limit, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&t->txn->wanted, memory_order_relaxed))
		return;
	atomic_store_explicit(&t->txn->wanted, false, memory_order_relaxed);
	if (!co_post(l, t, &m))
		atomic_store_explicit(&t->txn->wanted, true, memory_order_relaxed);
}

/* --- what workers ask for ------------------------------------------------------------------------------------- */

static const char no_service[] = "The running rules name no such service.";

static void txn_place(struct callout_lcore *l, struct co_txn *t, struct co_service *s)
{
	s->row.txns_total++;
	t->group = co_service_group(s, t->open->priority);
	if (!co_group_hope(t->group)) {
		co_txn_fail(l, t, s->cause, "No connection to the callout server is up.", 0);
		return;
	}
	t->waits = true;
	co_list_push(&t->group->wait, t);
	co_group_dispatch(l, t->group);
}

static void txn_start(struct callout_lcore *l, unsigned port, const struct callout_req *r)
{
	struct callout_open *o = r->open;
	struct co_service *s = co_service_find(l, o->service);
	struct co_txn *t = txn_alloc(l);
	struct callout_msg m = {.type = CALLOUT_EV_FAILED, .txn = r->txn, .cause = CALLOUT_CAUSE_OVERLOAD,
				.text = "The callout lcore has no memory for another transaction.",
				.sizep = -1, .modp = -1};

	l->backlog[port].txns++;
	r->txn->co_private = t;
	if (!t) {
		rte_mempool_put(l->opens, o);
		backlog_put(&l->backlog[port], &m, true);
		return;
	}
	t->txn = r->txn;
	t->port = port;
	t->open = o;
	t->limit = CALLOUT_CREDIT_FIRST;
	t->since_us = l->now;
	t->state = CO_TXN_WAIT;
	l->txns++;
	if (s) {
		txn_place(l, t, s);
	} else if ((int32_t)(o->generation - l->generation) > 0) {
		t->waits = true;
		co_list_push(&l->early, t);
	} else {
		co_txn_fail(l, t, CALLOUT_CAUSE_CONNECT, no_service, 0);
	}
}

void co_txn_early(struct callout_lcore *l)
{
	uint32_t n = l->early.count;

	while (n--) {
		struct co_txn *t = co_list_pop(&l->early);
		struct co_service *s = co_service_find(l, t->open->service);

		t->waits = false;
		if (s) {
			txn_place(l, t, s);
		} else if (l->now - t->since_us > CO_EARLY_US ||
			   (int32_t)(t->open->generation - l->generation) <= 0) {
			co_txn_fail(l, t, CALLOUT_CAUSE_CONNECT, no_service, 0);
		} else {
			t->waits = true;
			co_list_push(&l->early, t);
		}
	}
}

void co_txn_opened(struct callout_lcore *l, struct co_txn *t, struct co_conn *c, uint32_t xid)
{
	struct co_desc *d;

	t->of_request = ocp_meta_kind((struct ocp_str){t->open->meta, t->open->meta_len}) == OCP_KIND_REQUEST;
	t->aux_agreed = co_open_aux(c, t->open);
	rte_mempool_put(l->opens, t->open);
	t->open = NULL;
	t->group = NULL;
	t->conn = c;
	t->xid = xid;
	t->state = CO_TXN_OPEN;
	c->txns++;
	c->group->service->row.txns_open++;
	for (d = t->head; d; d = d->next)
		c->queued += co_desc_cost(d);
	co_txn_ready(t);
}

void co_txn_ready(struct co_txn *t)
{
	if (t->ready || t->state != CO_TXN_OPEN || t->paused || !t->head)
		return;
	t->ready = true;
	co_list_push(&t->conn->ready, t);
}

static void txn_queue(struct callout_lcore *l, struct co_txn *t, const struct callout_req *r)
{
	struct co_desc *d = co_desc_alloc(l);

	if (!d) {
		if (r->m)
			rte_pktmbuf_free_seg(r->m);
		co_txn_fail(l, t, CALLOUT_CAUSE_OVERLOAD, "The callout lcore has no memory for more data.", 0);
		return;
	}
	*d = (struct co_desc){.m = r->m, .data = r->data, .offset = r->offset, .len = r->len,
			      .type = r->type, .part = r->part, .flag = r->flag};
	if (t->tail)
		t->tail->next = d;
	else
		t->head = d;
	t->tail = d;
	if (t->conn)
		t->conn->queued += co_desc_cost(d);
	co_txn_ready(t);
}

/* The worker's end. An orderly one waits for the data before it, unless that cannot be sent any more. */
static void txn_end(struct callout_lcore *l, struct co_txn *t, const struct callout_req *r)
{
	struct co_conn *c = t->conn;

	if (t->state == CO_TXN_OPEN && !r->flag && !t->paused && t->head) {
		txn_queue(l, t, r);
		if (t->state == CO_TXN_OPEN)
			return;
	} else if (t->state == CO_TXN_OPEN) {
		uint32_t xid = t->xid;

		co_txn_over(l, t);
		ocp_processor_xaction_end(c->agent, xid, r->flag, NULL);
	} else {
		co_txn_over(l, t);
	}
	co_txn_close(l, t);
}

void co_txn_pause(struct callout_lcore *l, struct co_txn *t)
{
	struct callout_msg m = {.type = CALLOUT_EV_PAUSE, .txn = t->txn, .sizep = -1, .modp = -1};

	t->paused = true;
	if (t->ready)
		co_list_remove(&t->conn->ready, t);
	t->ready = false;
	co_post(l, t, &m);
	if (t->tail && t->tail->type == CALLOUT_REQ_END) { /* the worker is gone: nobody is left to wait for */
		struct co_conn *c = t->conn;
		uint32_t xid = t->xid;
		bool error = t->tail->flag;

		co_txn_over(l, t);
		ocp_processor_xaction_end(c->agent, xid, error, NULL);
		co_txn_close(l, t);
	}
}

void co_txn_enough(struct callout_lcore *l, struct co_txn *t)
{
	struct callout_msg m = {.type = CALLOUT_EV_ENOUGH, .txn = t->txn, .sizep = -1, .modp = -1};

	/* lost, the worker sends what is dropped here */
	t->enough = t->enough || co_post(l, t, &m);
}

void co_txn_left(struct callout_lcore *l, struct co_txn *t)
{
	t->left = true;
	if (t->paused) { /* what waits is dropped now, the worker's end among it heard */
		t->paused = false;
		co_txn_ready(t);
	}
}

void co_txn_resume(struct callout_lcore *l, struct co_txn *t)
{
	struct callout_msg m = {.type = CALLOUT_EV_NEED, .txn = t->txn, .sizep = -1, .modp = -1};

	t->paused = false;
	co_post(l, t, &m);
	co_txn_ready(t);
}

static void txn_request(struct callout_lcore *l, unsigned port, const struct callout_req *r)
{
	struct co_txn *t;

	if (r->type == CALLOUT_REQ_START) {
		txn_start(l, port, r);
		return;
	}
	t = r->txn->co_private;
	if (r->type == CALLOUT_REQ_END) {
		if (t)
			txn_end(l, t, r);
		else
			txn_post_closed(l, port, r->txn);
	} else if (r->type == CALLOUT_REQ_HOLD) {
		if (t && t->state == CO_TXN_OPEN && co_conn_core(t->conn) && r->flag)
			ocp_processor_am_pause(t->conn->agent, t->xid, 0);
		else if (t && t->state == CO_TXN_OPEN && co_conn_core(t->conn))
			ocp_processor_am_need(t->conn->agent, t->xid, 0);
	} else if (t && t->state != CO_TXN_OVER) {
		txn_queue(l, t, r);
	} else if (r->m) {
		rte_pktmbuf_free_seg(r->m);
	}
}

uint32_t co_txn_requests(struct callout_lcore *l, unsigned port, bool *more)
{
	struct callout_req r[CALLOUT_BURST];
	uint32_t total = 0, n, i;

	do {
		if (!co_backlog_reserve(&l->backlog[port], CALLOUT_BURST))
			return total;
		n = rte_ring_sc_dequeue_burst_elem(l->port[port].tx, r, sizeof(r[0]), CALLOUT_BURST, NULL);
		for (i = 0; i < n; i++)
			txn_request(l, port, &r[i]);
		total += n;
	} while (n == CALLOUT_BURST && total < 8 * CALLOUT_BURST);
	if (n == CALLOUT_BURST)
		*more = true;
	return total;
}

void co_txn_purge_ring(struct callout_lcore *l, unsigned port)
{
	struct co_backlog *b = &l->backlog[port];
	struct callout_req r;
	struct callout_msg m;

	while (rte_ring_sc_dequeue_elem(l->port[port].tx, &r, sizeof(r)) == 0)
		if (r.type == CALLOUT_REQ_DATA || r.type == CALLOUT_REQ_AUX)
			rte_pktmbuf_free_seg(r.m);
	while (rte_ring_sc_dequeue_elem(l->port[port].rx, &m, sizeof(m)) == 0)
		if (m.m)
			rte_pktmbuf_free_seg(m.m);
	for (; b->count; b->count--, b->head = (b->head + 1) & (b->size - 1))
		if (b->msg[b->head].m)
			rte_pktmbuf_free_seg(b->msg[b->head].m);
	free(b->msg);
}
