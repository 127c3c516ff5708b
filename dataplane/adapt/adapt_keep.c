/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is kept of an original: references to its chunks in their order, each with the low half of its offset. Holes are
 * octets that were sent without a commitment, or whose commitment ended before that of the octets in front of them.
 */
#include "adapt_priv.h"

#include <errno.h>
#include <string.h>
#include <rte_common.h>

uint64_t adapt_keep_base(const struct adapt *a)
{
	const struct chunk *c = a->keep.head;

	/* Spans stay below 4 GiB (preservation budgets do), so the low half of the offset identifies it. */
	return c ? a->orig_len - (uint32_t)((uint32_t)a->orig_len - c->rsvd) : a->orig_len;
}

static uint64_t keep_offset(const struct adapt *a, const struct chunk *c)
{
	return a->orig_len - (uint32_t)((uint32_t)a->orig_len - c->rsvd);
}

/* c has left the queue. */
static void keep_forget(struct adapt *a, struct chunk *c, struct chunk *prev)
{
	if (c == a->cursor)
		a->cursor = NULL;
	if (c == a->middle)
		a->middle = prev;
	if (c == a->send_prev)
		a->send_prev = prev;
	if (c == a->unkept_prev)
		a->unkept_prev = prev;
	a->ctx->preserved -= c->len;
	a->ctx->preserved_chunks--;
	chunk_free(a->ctx->pool, c);
}

void adapt_keep_pop(struct adapt *a)
{
	keep_forget(a, chunkq_pop(&a->keep), NULL);
}

void adapt_keep_unlink(struct adapt *a, struct chunk *prev, struct chunk *c)
{
	if (!prev) {
		adapt_keep_pop(a);
		return;
	}
	prev->next = c->next;
	if (a->keep.tail == c)
		a->keep.tail = prev;
	a->keep.bytes -= c->len;
	a->keep.count--;
	keep_forget(a, c, prev);
}

bool adapt_rest_possible(const struct adapt *a)
{
	return a->identity_ok && !(a->hole && a->hole_end > a->identity) && a->refused_end <= a->identity &&
	       adapt_keep_base(a) <= a->identity;
}

/* Drops what nobody can ask for any more: commitments over it ended (or it was never committed and has been
 * sent), and it is not needed to go on without the service. */
void adapt_keep_release(struct adapt *a)
{
	uint64_t lim = RTE_MIN(a->released, a->sent);

	if (a->identity_ok)
		lim = RTE_MIN(lim, a->identity);
	if (a->rest)
		lim = a->rest_from;
	if (a->observe)
		lim = a->sent;
	while (a->keep.head) {
		struct chunk *c = a->keep.head;

		if (c == a->send_next || adapt_keep_base(a) + c->len > lim)
			break;
		adapt_keep_pop(a);
	}
}

/* Frees what lies whole in [lo, hi) behind octets that are still committed. */
static void keep_drop_middle(struct adapt *a, uint64_t lo, uint64_t hi)
{
	struct chunk *prev = a->middle && keep_offset(a, a->middle) < lo ? a->middle : NULL;
	struct chunk *c = prev ? prev->next : a->keep.head;

	hi = RTE_MIN(hi, a->sent);
	while (c && c != a->send_next && keep_offset(a, c) + c->len <= hi) {
		struct chunk *next = c->next;

		if (keep_offset(a, c) >= lo)
			adapt_keep_unlink(a, prev, c);
		else
			prev = c;
		c = next;
	}
	a->middle = prev;
}

/* Remembers a range in front of which there is a commitment yet, as one with those that it touches. */
static void range_remember(struct adapt *a, struct adapt_range r)
{
	uint32_t i = 0;

	while (i < a->nended) {
		struct adapt_range *e = &a->ended[i];

		if (e->lo > r.hi || r.lo > e->hi) {
			i++;
			continue;
		}
		r.lo = RTE_MIN(r.lo, e->lo);
		r.hi = RTE_MAX(r.hi, e->hi);
		*e = a->ended[--a->nended];
		i = 0;
	}
	if (a->nended == ADAPT_RANGES)
		return; /* a forgotten range only keeps octets longer */
	a->ended[a->nended++] = r;
	if (!a->observe && !a->rest && !adapt_ahead_open(a) && !adapt_rest_possible(a))
		keep_drop_middle(a, r.lo, r.hi);
}

void adapt_range_ended(struct adapt *a, uint64_t off, uint64_t size)
{
	uint64_t end = off + size;
	uint32_t i = 0;

	if (off > a->released) {
		range_remember(a, (struct adapt_range){off, end});
		return;
	}
	a->released = RTE_MAX(a->released, end);
	while (i < a->nended) {
		if (a->ended[i].lo > a->released) {
			i++;
			continue;
		}
		a->released = RTE_MAX(a->released, a->ended[i].hi);
		a->ended[i] = a->ended[--a->nended];
		i = 0;
	}
}

/* The chunk at off, behind send_prev, is sent without a commitment. */
void adapt_keep_unkept(struct adapt *a, uint64_t off, uint32_t len)
{
	if (a->unkept_lo == a->unkept_hi) {
		a->unkept_lo = off;
		a->unkept_prev = a->send_prev;
	}
	a->unkept_hi = off + len;
	adapt_count(a, STATS_preserved_refused, 1);
}

void adapt_keep_framed(struct adapt *a)
{
	uint64_t framed = atomic_load_explicit(&a->txn.co_framed, memory_order_relaxed);
	struct chunk *prev = a->unkept_prev, *c = prev ? prev->next : a->keep.head, *next;

	framed = RTE_MIN(framed, a->unkept_hi);
	for (; c && c != a->send_next && keep_offset(a, c) + c->len <= framed; c = next) {
		uint64_t off = keep_offset(a, c), end = off + c->len;

		next = c->next;
		if (off < a->unkept_lo) {
			prev = c;
			continue;
		}
		adapt_keep_unlink(a, prev, c);
		adapt_range_ended(a, off, end - off);
		a->hole = true;
		a->hole_end = a->unkept_lo = end;
	}
	a->unkept_lo = RTE_MAX(a->unkept_lo, framed);
	a->unkept_prev = prev;
}

static const struct chunk *adapt_keep_find(const struct adapt *a, uint64_t off, uint64_t *skip)
{
	const struct chunk *c = a->keep.head;

	/* The low halves are compared as distances from the end, which are exact (see adapt_keep_base). */
	uint32_t want = (uint32_t)a->orig_len - (uint32_t)off;

	if (a->cursor && (uint32_t)a->orig_len - a->cursor->rsvd >= want)
		c = a->cursor;
	for (; c; c = c->next) {
		uint32_t dist = (uint32_t)a->orig_len - c->rsvd;

		if (dist < want)
			return NULL; /* in a hole */
		if (dist - want < c->len) {
			*skip = dist - want;
			return c;
		}
	}
	return NULL;
}

int adapt_keep_ref(struct adapt *a, uint64_t off, uint64_t size, struct chunkq *q)
{
	struct chunkq tmp;
	const struct chunk *c;
	uint64_t skip = 0;

	if (size == 0)
		return 0;
	if (off < adapt_keep_base(a) || off + size > a->orig_len)
		return -ENOENT;
	chunkq_init(&tmp);
	c = adapt_keep_find(a, off, &skip);
	while (c) {
		uint32_t n = (uint32_t)RTE_MIN(size, (uint64_t)c->len - skip);
		struct chunk *r = chunk_ref(a->ctx->pool, c, (uint32_t)skip, n);

		if (!r) {
			chunkq_purge(a->ctx->pool, &tmp);
			return -ENOMEM;
		}
		r->rsvd = off >= a->body_end ? ADAPT_TAG_TRAILER : ADAPT_TAG_DATA;
		chunkq_push(&tmp, r);
		a->cursor = (struct chunk *)(uintptr_t)c;
		off += n;
		size -= n;
		if (size == 0) {
			chunkq_append(q, &tmp);
			return 0;
		}
		skip = 0;
		if (c->next && c->next->rsvd != (uint32_t)off)
			break; /* a hole follows */
		c = c->next;
	}
	chunkq_purge(a->ctx->pool, &tmp);
	return -ENOENT;
}

int adapt_keep_same(const struct adapt *a, uint64_t off, const uint8_t *data, uint64_t size)
{
	const struct chunk *c;
	uint64_t skip = 0;

	if (size == 0)
		return 1;
	if (off < adapt_keep_base(a) || off + size > a->orig_len)
		return -ENOENT;
	for (c = adapt_keep_find(a, off, &skip); c; c = c->next) {
		uint32_t n = (uint32_t)RTE_MIN(size, (uint64_t)c->len - skip);

		if (memcmp(c->data + skip, data, n) != 0)
			return 0;
		data += n;
		off += n;
		size -= n;
		skip = 0;
		if (size == 0)
			return 1;
		if (c->next && c->next->rsvd != (uint32_t)off)
			break; /* a hole follows */
	}
	return -ENOENT;
}
