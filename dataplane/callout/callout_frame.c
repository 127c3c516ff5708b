/* SPDX-License-Identifier: BSD-3-Clause */
/* What transactions have queued becomes messages of their connection, in both dialects. */
#include <errno.h>
#include <rte_mbuf.h>
#include "callout/callout_lcore.h"

/* Cuts d, so that a message can end behind its first n octets. False: no memory. */
static bool desc_split(struct callout_lcore *l, struct co_txn *t, struct co_desc *d, uint32_t n)
{
	struct co_desc *rest = co_desc_alloc(l);

	if (!rest)
		return false;
	*rest = *d;
	rest->data += n;
	rest->offset += n;
	rest->len -= n;
	rte_mbuf_refcnt_update(rest->m, 1);
	d->len = n;
	d->next = rest;
	if (t->tail == d)
		t->tail = rest;
	t->conn->queued += CALLOUT_CHUNK_COST; /* INV-CO-2 */
	return true;
}

/* What can go with the first piece into one data-have: each message costs both sides the same however long it is. At most
 * room octets, where the peer has asked for a pause or an end. */
static void run_gather(struct callout_lcore *l, struct co_txn *t, struct co_run *run, uint64_t room)
{
	const struct co_desc *first = t->head;
	struct co_desc *d = t->head;

	*run = (struct co_run){.t = t, .first = t->head};
	if (d->len > room && room)
		desc_split(l, t, d, (uint32_t)room);
	do {
		run->n++;
		run->len += d->len;
		run->cost += co_desc_cost(d);
		d = d->next;
		if (d && co_desc_data(d) && run->len < room && run->len + d->len > room)
			desc_split(l, t, d, (uint32_t)(room - run->len));
	} while (d && d->type == first->type && d->part == first->part && d->flag == first->flag &&
		 d->offset == first->offset + run->len && run->n < CO_RUN && run->len + d->len <= CO_QUANTUM &&
		 run->len + d->len <= room);
}

static void run_drop(struct callout_lcore *l, const struct co_run *run)
{
	const struct co_desc *d = run->first;

	for (uint32_t i = 0; i < run->n; i++, d = d->next)
		rte_pktmbuf_free_seg(d->m);
	co_txn_credit(l, run->t, run->cost);
}

static int frame_failed(struct callout_lcore *l, struct co_txn *t, enum callout_cause cause, const char *text)
{
	uint32_t xid = t->xid;

	ocp_processor_xaction_end(t->conn->agent, xid, true, NULL);
	co_txn_fail(l, t, cause, text, 0);
	return -EINVAL;
}

/* Auxiliary parts go before the original; the service counts them, the worker does not. */
static int frame_aux(struct callout_lcore *l, struct co_txn *t, uint32_t *n)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct co_conn *c = t->conn;
	struct co_run run;
	int ret = -EPIPE;

	run_gather(l, t, &run, UINT64_MAX);
	*n = run.n;
	send.part = (enum ocp_part)t->head->part;
	if (t->aux_agreed && !t->left)
		ret = ocp_processor_data(c->agent, t->xid, NULL, run.len, &run, &send, l->now);
	if (ret == -EAGAIN) {
		t->paused = true;
		return ret;
	}
	c->queued -= run.cost;
	if (ret)
		run_drop(l, &run);
	else
		t->aux += run.len;
	return 0;
}

/* One data-have. -ENOSPC: it may not say `copied`. */
static int frame_send(struct callout_lcore *l, struct co_txn *t, struct co_run *run)
{
	const struct co_desc *d = run->first;
	struct co_conn *c = t->conn;
	struct ocp_send send = OCP_SEND_INIT;
	int ret;

	send.part = (enum ocp_part)d->part;
	send.copied = d->flag && (ocp_processor_features(c->agent) & OCP_HAS(OCP_FEATURE_COPIED));
	ret = ocp_processor_data(c->agent, t->xid, NULL, run->len, run, &send, l->now);
	if (ret == -ENOSPC && send.copied) {
		send.copied = false;
		ret = ocp_processor_data(c->agent, t->xid, NULL, run->len, run, &send, l->now);
	}
	return ret;
}

/* 0: *n pieces are dealt with. -EINVAL: t is over. -EAGAIN: paused. */
static int frame_data(struct callout_lcore *l, struct co_txn *t, uint32_t *n)
{
	const struct co_desc *d = t->head;
	struct co_conn *c = t->conn;
	struct co_run run;
	int ret = -EPIPE;

	if (d->offset != t->offset)
		return frame_failed(l, t, CALLOUT_CAUSE_PROTOCOL, "Octets of the original were given out of order.");
	run_gather(l, t, &run, co_conn_room(c, t, (enum ocp_part)d->part));
	*n = run.n;
	if (co_conn_core(c) && t->aux + t->offset + run.len > l->core_max)
		return frame_failed(l, t, CALLOUT_CAUSE_OVERLOAD, "The message is longer than the dialect core can carry.");
	if (!t->left)
		ret = frame_send(l, t, &run);
	if (ret == -EAGAIN) {
		t->paused = true;
		return ret;
	}
	if (ret == -EOVERFLOW || ret == -EINVAL)
		return frame_failed(l, t, CALLOUT_CAUSE_OVERLOAD, "The message cannot go on in OCP.");
	t->offset += run.len;
	c->queued -= run.cost;
	if (!ret && !d->flag)
		atomic_store_explicit(&t->txn->co_framed, t->offset, memory_order_relaxed);
	if (ret == -EPIPE && !t->left)
		co_txn_enough(l, t);
	if (ret) /* the peer wants no more of it, or is gone and we shall hear of it */
		run_drop(l, &run);
	return 0;
}

/* Frames up to CO_QUANTUM octets of t. False: no more room for framing. */
static bool frame_txn(struct callout_lcore *l, struct co_conn *c, struct co_txn *t)
{
	uint64_t begin = c->out;

	while (t->head && c->out - begin < CO_QUANTUM) {
		struct co_desc *d = t->head;
		uint32_t n = 1;

		if (!co_io_room(c))
			return false;
		if (d->type == CALLOUT_REQ_END) {
			uint32_t xid = t->xid;
			bool error = d->flag;

			co_txn_over(l, t);
			ocp_processor_xaction_end(c->agent, xid, error, NULL);
			co_txn_close(l, t);
			return true;
		}
		if (co_desc_data(d)) {
			if (d->type == CALLOUT_REQ_AUX ? frame_aux(l, t, &n) : frame_data(l, t, &n))
				return true;
		} else if (!t->left) {
			ocp_processor_data_end(c->agent, t->xid, d->flag, l->now);
		}
		while (n--) {
			d = t->head;
			t->head = d->next;
			co_desc_free(l, d);
		}
		if (!t->head)
			t->tail = NULL;
	}
	return true;
}

void co_txn_frame(struct callout_lcore *l, struct co_conn *c)
{
	struct co_txn *t;

	while (c->out < CO_BATCH && co_io_room(c) && (t = co_list_pop(&c->ready))) {
		bool room;

		t->ready = false;
		t->inflight++; /* lives until the next line but one */
		room = frame_txn(l, c, t);
		if (t->state == CO_TXN_OPEN)
			co_txn_ready(t);
		co_txn_unref(l, t);
		if (!room)
			break;
	}
}
