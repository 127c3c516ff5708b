/* SPDX-License-Identifier: BSD-3-Clause */
#include "adapt_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_common.h>

int adapt_ctx_init(struct adapt_ctx *c, uint32_t count)
{
	struct adapt *slab = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*slab) * (size_t)count, 64));

	c->scratch = malloc(ADAPT_SCRATCH);
	c->trace_text = malloc(ADAPT_TRACE_TEXT_MAX);
	c->scratch_head = malloc(sizeof(*c->scratch_head));
	c->head_copy = malloc(HTTP1_HEAD_MAX);
	if (!slab || !c->scratch || !c->trace_text || !c->head_copy || !c->scratch_head) {
		free(slab);
		free(c->scratch);
		free(c->trace_text);
		free(c->head_copy);
		free(c->scratch_head);
		return -ENOMEM;
	}
	c->slab = slab;
	c->free_list = NULL;
	c->open = 0;
	while (count-- > 0) {
		slab[count].next = c->free_list;
		c->free_list = &slab[count];
	}
	return 0;
}

void adapt_ctx_fini(struct adapt_ctx *c)
{
	free(c->slab);
	free(c->scratch);
	free(c->trace_text);
	free(c->head_copy);
	free(c->scratch_head);
	c->slab = NULL;
}

/* What is known of the length goes along: of the whole message for the draft, of its body for RFC 4236. */
static int adapt_start(struct adapt *a, const struct adapt_begin *b, uint32_t service)
{
	const struct http1_head *h = b->head;
	int64_t sizep = -1;

	/* the body of HEAD's answer is known to be absent; what length it would have had is another matter */
	if (h && (h->body == HTTP1_BODY_NONE || h->body == HTTP1_BODY_LENGTH)) {
		uint64_t body = h->body == HTTP1_BODY_LENGTH ? h->content_length : 0;

		sizep = (int64_t)(h->len + body);
		a->txn.el_known = !(b->kind == POLICY_KIND_RESPONSE && b->request_head);
		a->txn.el = body;
	}
	return callout_start(a->ctx->port, &a->txn, b->image, service, b->meta, b->meta_len, sizep);
}

struct adapt *adapt_begin(struct adapt_ctx *c, const struct adapt_begin *b, enum callout_cause *cause)
{
	struct adapt *a = c->free_list;
	const struct policy_rule *r = policy_image_rule(b->image, b->rule);
	const struct policy_service *service = policy_image_service(b->image, r->service);

	if (!a) {
		*cause = CALLOUT_CAUSE_OVERLOAD;
		return NULL;
	}
	c->free_list = a->next;
	memset(a, 0, sizeof(*a));
	a->ctx = c;
	a->owner = b->owner;
	a->image = b->image;
	a->rule = r;
	a->head = b->head;
	a->flow = b->flow;
	a->kind = b->kind;
	a->generation = policy_image_generation(b->image);
	a->not_bypassed = b->not_bypassed;
	a->observe = b->observe;
	a->mail = b->mail;
	a->chunked_ok = b->chunked_ok;
	a->request_head = b->request_head;
	a->request_connect = b->request_connect;
	a->identity_ok = true;
	a->body_end = UINT64_MAX;
	a->progress_us = c->now_us;
	a->txn.user = a;
	a->txn.priority = r->priority;
	a->txn.started_us = c->now_us;
	a->el_left = -1;
	a->core = service->dialect == POLICY_DIALECT_CORE;
	if (b->head) {
		a->head_len = b->head->len;
		a->strip = a->core && b->head->body == HTTP1_BODY_CHUNKED;
	} else {
		a->out_state = ADAPT_OUT_BODY;
		a->framing = HTTP1_FRAME_CLOSE;
	}
	if ((b->request && service->aux_request && b->kind == POLICY_KIND_RESPONSE &&
	     chunkq_ref(c->pool, &a->aux, b->request, 0, b->request->bytes) != 0) ||
	    adapt_start(a, b, r->service) != 0) {
		chunkq_purge(c->pool, &a->aux);
		a->next = c->free_list;
		c->free_list = a;
		*cause = CALLOUT_CAUSE_OVERLOAD;
		return NULL;
	}
	a->txn_open = true;
	c->open++;
	a->older = c->youngest;
	*(c->youngest ? &c->youngest->younger : &c->oldest) = a;
	c->youngest = a;
	adapt_count(a, STATS_txn_started, 1);
	return a;
}

void adapt_feed(struct adapt *a, struct chunkq *q, enum callout_part part)
{
	struct chunk *c;

	if (part == CALLOUT_PART_REQUEST_TRAILER || part == CALLOUT_PART_RESPONSE_TRAILER) {
		if (a->body_end == UINT64_MAX)
			a->body_end = a->orig_len;
	}
	if (a->strip && (part == CALLOUT_PART_REQUEST_HEADER || part == CALLOUT_PART_RESPONSE_HEADER) &&
	    adapt_head_strip(a, q) != 0) {
		a->strip = false;
		adapt_fail(a, CALLOUT_CAUSE_OVERLOAD, "no memory for the head that the service hears");
	}
	if (a->status == ADAPT_ABORT || a->status == ADAPT_ANSWER || (a->observe && a->end_called) ||
	    (a->peer_ended && !a->rest)) {
		a->orig_len += q->bytes;
		chunkq_purge(a->ctx->pool, q);
		return;
	}
	while ((c = chunkq_pop(q)) != NULL) {
		c->rsvd = (uint32_t)a->orig_len;
		a->orig_len += c->len;
		a->ctx->preserved += c->len;
		a->ctx->preserved_chunks++;
		if (!a->send_next && !a->end_called && !a->peer_ended) {
			a->send_next = c;
			a->send_prev = a->keep.tail;
		}
		chunkq_push(&a->keep, c);
	}
	a->ctx->preserved_peak = RTE_MAX(a->ctx->preserved_peak, a->ctx->preserved);
}

void adapt_feed_end(struct adapt *a, bool ok)
{
	a->orig_done = true;
	a->orig_ok = ok;
}

static bool adapt_keep_full(const struct adapt *a)
{
	return a->keep.bytes >= a->rule->preserve_max || a->ctx->preserved >= a->ctx->preserved_max;
}

/* Full, and waiting for the service would not help: what has been changed cannot be taken back anyway (and it does not leave
 * yet: it would have said that it wants no more), or the service wants more before it says anything. */
static bool adapt_overrun(const struct adapt *a)
{
	return adapt_keep_full(a) &&
	       ((!a->identity_ok && !a->enough) || a->ctx->now_us >= a->progress_us + ADAPT_STALL_US);
}

bool adapt_want(const struct adapt *a)
{
	if (a->status != ADAPT_RUNNING || a->end_called)
		return a->out.bytes < ADAPT_OUT_MAX;
	if (a->observe)
		return true; /* an observer never holds the flow up */
	if (a->out.bytes >= ADAPT_OUT_MAX || a->orig_len - a->sent >= ADAPT_UNSENT_MAX)
		return false;
	return !adapt_keep_full(a) || adapt_overrun(a);
}

bool adapt_passes(const struct adapt *a)
{
	uint32_t ams = a->am_tail - a->am_head;

	return a->status == ADAPT_RUNNING && !a->head && !a->observe && a->rest && a->end_called && !a->starved &&
	       !a->orig_done && a->rest_from == a->orig_len && chunkq_empty(&a->hq) && chunkq_empty(&a->out) &&
	       (ams == 0 || (ams == 1 && chunkq_empty(&a->am[a->am_head % ADAPT_AMS].q)));
}

static enum callout_part adapt_part(const struct adapt *a, uint64_t off)
{
	bool req = a->kind == POLICY_KIND_REQUEST;

	if (!a->head)
		return CALLOUT_PART_NONE;
	if (off < a->head_len)
		return req ? CALLOUT_PART_REQUEST_HEADER : CALLOUT_PART_RESPONSE_HEADER;
	if (off < a->body_end)
		return req ? CALLOUT_PART_REQUEST_BODY : CALLOUT_PART_RESPONSE_BODY;
	return req ? CALLOUT_PART_REQUEST_TRAILER : CALLOUT_PART_RESPONSE_TRAILER;
}

/* Nobody will ask for it. */
static void adapt_sent_uncopied(struct adapt *a, struct chunk *c, uint64_t off)
{
	adapt_range_ended(a, off, c->len);
	a->hole = true;
	a->hole_end = off + c->len;
	adapt_keep_unlink(a, a->send_prev, c);
	adapt_count(a, STATS_preserved_refused, 1);
}

static bool adapt_send_aux(struct adapt *a)
{
	while (a->aux.head) {
		if (callout_aux(a->ctx->port, &a->txn, a->aux.head, CALLOUT_PART_REQUEST_HEADER) != 0) {
			adapt_count(a, STATS_ring_full, 1);
			return false;
		}
		chunk_free(a->ctx->pool, chunkq_pop(&a->aux));
	}
	return true;
}

/* The service has ended the original: octets that it did not see are kept for the case that it fails, or that it leaves
 * (RFC 4037 section 8.3: its wish to receive no more comes before its end), until waiting for either would hold all up. */
static void adapt_send_none(struct adapt *a)
{
	while (a->send_next) {
		struct chunk *c = a->send_next;
		uint32_t len = c->len;

		a->send_next = c->next;
		if (a->observe || adapt_overrun(a))
			adapt_sent_uncopied(a, c, a->sent);
		else
			a->send_prev = c;
		a->sent += len;
	}
	a->end_sent |= a->orig_done;
}

static void adapt_send(struct adapt *a)
{
	if (a->enough) {
		adapt_send_none(a);
		return;
	}
	if (a->aux.head && !adapt_send_aux(a))
		return;
	while (a->send_next && !a->paused) {
		struct chunk *c = a->send_next, *next = c->next;
		uint32_t len = c->len;
		/* one range without a commitment is enough to follow: no other begins before it is through */
		bool copied = !a->observe && !adapt_overrun(a) && a->unkept_lo == a->unkept_hi;
		int rc = callout_data(a->ctx->port, &a->txn, c, a->sent, adapt_part(a, a->sent), copied);

		if (rc != 0) {
			adapt_count(a, STATS_ring_full, 1);
			return;
		}
		a->send_next = next;
		if (!copied && !a->observe)
			adapt_keep_unkept(a, a->sent, len);
		a->send_prev = c;
		a->sent += len;
	}
	if (!a->send_next && a->orig_done && !a->end_sent &&
	    callout_data_end(a->ctx->port, &a->txn, a->orig_ok) == 0)
		a->end_sent = true;
}

void adapt_end_txn(struct adapt *a, bool error)
{
	if (a->end_called)
		return;
	a->end_called = true;
	a->send_next = a->send_prev = NULL;
	callout_end(a->ctx->port, &a->txn, error);
	adapt_count(a, error ? STATS_txn_failed : STATS_txn_done, 1);
}

static void adapt_drop_all(struct adapt *a)
{
	while (a->keep.head)
		adapt_keep_pop(a);
	a->send_next = a->send_prev = NULL;
	for (uint32_t i = 0; i < ADAPT_AMS; i++)
		chunkq_purge(a->ctx->pool, &a->am[i].q);
	chunkq_purge(a->ctx->pool, &a->hq);
	chunkq_purge(a->ctx->pool, &a->aux);
	chunkq_purge(a->ctx->pool, &a->orig_head);
}

static void adapt_free(struct adapt *a)
{
	struct adapt_ctx *c = a->ctx;

	adapt_drop_all(a);
	chunkq_purge(c->pool, &a->out);
	a->next = c->free_list;
	c->free_list = a;
	c->open--;
	*(a->older ? &a->older->younger : &c->oldest) = a->younger;
	*(a->younger ? &a->younger->older : &c->youngest) = a->older;
}

/* An observed message: its octets went on long ago; here only the copy is served. */
static void adapt_pump_observer(struct adapt *a)
{
	if (!a->end_called) {
		adapt_send(a);
		adapt_keep_release(a);
		if (a->keep.bytes > a->rule->preserve_max)
			adapt_fail(a, CALLOUT_CAUSE_OVERLOAD, "the observing service is too slow");
		else if (a->peer_ended || (a->end_sent && a->owner == NULL))
			adapt_end_txn(a, false);
	}
	if (a->end_called)
		adapt_drop_all(a);
}

/* The service is quicker than the receiver: let it wait rather than fail (RFC 4037 section 11.15). */
static void adapt_hold(struct adapt *a)
{
	uint64_t n = a->out.bytes + a->hq.bytes;
	bool hold;

	for (uint32_t i = a->am_head; i != a->am_tail; i++)
		n += a->am[i % ADAPT_AMS].q.bytes;
	hold = a->held ? n > ADAPT_HOLD_END : n > ADAPT_HOLD;
	if (hold != a->held && callout_hold(a->ctx->port, &a->txn, hold) == 0)
		a->held = hold;
}

void adapt_pump(struct adapt *a)
{
	if (a->observe) {
		adapt_pump_observer(a);
		return;
	}
	if (a->status == ADAPT_RUNNING && !a->end_called && !a->peer_ended) {
		adapt_send(a);
		if (a->unkept_lo != a->unkept_hi)
			adapt_keep_framed(a);
		adapt_keep_release(a);
	}
	if (a->ahead_on)
		adapt_ahead_pump(a);
	if (a->status == ADAPT_RUNNING)
		adapt_out_pump(a);
	adapt_keep_release(a);
	if (a->core && a->status == ADAPT_RUNNING && !a->end_called && !a->peer_ended)
		adapt_hold(a);
	if (a->status == ADAPT_DONE && !a->end_called)
		adapt_end_txn(a, false);
	if (a->status != ADAPT_RUNNING)
		adapt_drop_all(a);
}

uint64_t adapt_deadline(const struct adapt *a)
{
	uint64_t stall = a->progress_us + ADAPT_STALL_US;

	if (a->status != ADAPT_RUNNING)
		return UINT64_MAX;
	if (a->starved ||
	    (!a->end_called && !a->paused && !a->enough && (a->send_next || (a->orig_done && !a->end_sent))))
		return a->ctx->now_us + ADAPT_RETRY_US;
	if (!a->end_called && !a->observe && adapt_keep_full(a) && a->ctx->now_us < stall)
		return stall;
	return UINT64_MAX;
}

void adapt_release(struct adapt *a, bool error)
{
	a->owner = NULL;
	chunkq_purge(a->ctx->pool, &a->out);
	if (a->observe && !error && !a->end_called) {
		a->next = a->ctx->orphans; /* goes on by itself until all is sent */
		a->ctx->orphans = a;
		a->orphan = true;
		return;
	}
	adapt_end_txn(a, error || a->status == ADAPT_RUNNING);
	adapt_drop_all(a);
	if (a->closed)
		adapt_free(a);
}

void adapt_poll_orphans(struct adapt_ctx *c)
{
	struct adapt **pp = &c->orphans;

	while (*pp) {
		struct adapt *a = *pp;

		adapt_pump_observer(a);
		if (a->closed) {
			*pp = a->next;
			adapt_free(a);
		} else {
			pp = &a->next;
		}
	}
}

void adapt_closed(struct adapt *a)
{
	a->closed = true;
	if (!a->owner && !a->orphan)
		adapt_free(a);
}
