/* SPDX-License-Identifier: BSD-3-Clause */
#include "stream/stream_reasm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_mbuf.h>

_Static_assert(sizeof(struct stream_reasm) == 24, "two of these in every flow");
_Static_assert(sizeof(struct stream_range) == 32, "64 of these in one buffer");

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline struct stream_range *ranges_of(const struct stream_reasm *r)
{
	return r->block ? r->block->buf_addr : NULL;
}

static inline unsigned ranges_max(const struct stream_reasm *r)
{
	unsigned fit = r->block->buf_len / sizeof(struct stream_range);

	return fit < STREAM_RANGES_MAX ? fit : STREAM_RANGES_MAX;
}

static void block_release(struct stream_reasm *r)
{
	if (r->block && !r->n) {
		rte_pktmbuf_free_seg(r->block);
		r->block = NULL;
	}
}

void stream_reasm_init(struct stream_reasm *r)
{
	memset(r, 0, sizeof(*r));
}

static struct chunkq range_queue(const struct stream_range *g)
{
	struct chunkq q = {
		.head = g->head,
		.tail = g->tail,
		.bytes = g->right - g->left,
		.count = g->count,
	};

	return q;
}

static uint16_t list_copy(const struct chunk *c, uint32_t off, uint8_t *to, uint32_t n)
{
	uint32_t done = 0;

	for (; c && done < n; c = c->next, off = 0) {
		uint32_t len = c->len - off < n - done ? c->len - off : n - done;

		memcpy(to + done, c->data + off, len);
		done += len;
	}
	return (uint16_t)done;
}

static uint32_t first_difference(const uint8_t *a, const uint8_t *b)
{
	uint32_t i = 0;

	while (a[i] == b[i])
		i++;
	return i;
}

bool stream_differs(const struct chunk *a, uint32_t aoff, const struct chunk *b, uint32_t boff, uint32_t seq, uint32_t n,
		    struct stream_conflict *k)
{
	unsigned steps = 0;

	while (n && ++steps <= STREAM_COMPARE_MAX) {
		uint32_t len, i;

		if (aoff >= a->len) {
			aoff -= a->len;
			a = a->next;
			continue;
		}
		if (boff >= b->len) {
			boff -= b->len;
			b = b->next;
			continue;
		}
		len = a->len - aoff < b->len - boff ? a->len - aoff : b->len - boff;
		len = len < n ? len : n;
		if (memcmp(a->data + aoff, b->data + boff, len) != 0) {
			i = first_difference(a->data + aoff, b->data + boff);
			n = n - i < STREAM_CONFLICT_MAX ? n - i : STREAM_CONFLICT_MAX;
			k->seq = seq + i;
			k->len = list_copy(a, aoff + i, k->held, n);
			list_copy(b, boff + i, k->came, k->len);
			return true;
		}
		aoff += len;
		boff += len;
		seq += len;
		n -= len;
	}
	return false;
}

/* Does range g hold other bytes at [seq, seq + n) than q has in its first n? */
static bool range_differs(const struct stream_range *g, uint32_t seq, const struct chunkq *q, uint32_t n,
			  struct stream_conflict *k)
{
	const struct chunk *a = g->head;
	uint32_t aoff = seq - g->left, in_tail = g->right - seq;

	if (in_tail <= g->tail->len) {
		a = g->tail;
		aoff = a->len - in_tail;
	}
	return stream_differs(a, aoff, q->head, 0, seq, n, k);
}

/* A range of its own at place i. */
static int range_add(struct stream_reasm *r, struct chunk_pool *p, unsigned i, uint32_t seq,
		     struct chunkq *q)
{
	struct stream_range *g;

	if (!r->block) {
		r->block = rte_pktmbuf_alloc(p->bufs);
		if (!r->block) {
			p->bufs_failed++;
			return -ENOMEM;
		}
	}
	if (r->n >= ranges_max(r))
		return -ENOBUFS;
	g = ranges_of(r) + i;
	memmove(g + 1, g, (r->n - i) * sizeof(*g));
	g->left = seq;
	g->right = seq + (uint32_t)q->bytes;
	g->head = q->head;
	g->tail = q->tail;
	g->count = q->count;
	g->stamp = ++r->stamp;
	r->n++;
	r->bytes += (uint32_t)q->bytes;
	r->chunks += q->count;
	chunkq_init(q);
	return 0;
}

static void note_dup(struct stream_insert *res, uint32_t left, uint32_t right)
{
	if (res->dup_left == res->dup_right) {
		res->dup_left = left;
		res->dup_right = right;
	} else if (res->dup_right == left) {
		res->dup_right = right;
	}
}

/* Joins q, the stream from seq on, with the ranges [i, j) that it touches. */
static int range_join(struct stream_reasm *r, struct chunk_pool *p, unsigned i, unsigned j,
		      uint32_t seq, struct chunkq *q, struct stream_insert *res)
{
	struct stream_range *g = ranges_of(r);
	uint32_t end = seq + (uint32_t)q->bytes, pos = seq, left;
	struct chunkq out, held;
	unsigned k = i;
	int rc = 0;

	left = seq_lt(seq, g[i].left) ? seq : g[i].left;
	chunkq_init(&out);
	for (;;) {
		uint32_t stop = k < j && seq_lt(g[k].left, end) ? g[k].left : end;

		if (seq_lt(pos, stop)) { /* a gap: these bytes are new */
			uint64_t had = out.bytes, had_chunks = out.count;

			rc = chunkq_move(p, &out, q, stop - pos);
			pos += (uint32_t)(out.bytes - had);
			res->fresh += (uint32_t)(out.bytes - had);
			r->chunks += (uint32_t)(out.count - had_chunks);
			if (rc)
				break;
		}
		if (k == j)
			break;
		held = range_queue(&g[k]);
		if (seq_lt(pos, end) && seq_lt(pos, g[k].right)) { /* the held bytes win */
			uint32_t lap = (seq_lt(end, g[k].right) ? end : g[k].right) - pos;

			if (!res->conflict)
				res->conflict = range_differs(&g[k], pos, q, lap, &res->first);
			note_dup(res, pos, pos + lap);
			chunkq_drop(p, q, lap);
		}
		pos = g[k].right;
		chunkq_append(&out, &held);
		k++;
	}
	chunkq_purge(p, q);
	if (k == i) { /* failed before a held byte was reached: a range of its own may not fit */
		r->chunks -= out.count;
		res->fresh = 0;
		chunkq_purge(p, &out);
		return rc;
	}
	r->bytes += res->fresh;
	g[i].left = left;
	g[i].right = left + (uint32_t)out.bytes;
	g[i].head = out.head;
	g[i].tail = out.tail;
	g[i].count = out.count;
	g[i].stamp = ++r->stamp;
	memmove(&g[i + 1], &g[k], (r->n - k) * sizeof(*g));
	r->n -= (uint16_t)(k - i - 1);
	return rc;
}

int stream_reasm_insert(struct stream_reasm *r, struct chunk_pool *p, uint32_t seq,
			struct chunkq *q, uint32_t chunks_max, struct stream_insert *res)
{
	uint32_t end = seq + (uint32_t)q->bytes;
	struct stream_range *g = ranges_of(r);
	unsigned i = r->n, j = r->n;
	int rc;

	memset(res, 0, offsetof(struct stream_insert, first));
	/* Most segments belong at the end: look from there. */
	while (i && seq_le(seq, g[i - 1].right)) {
		i--;
		if (seq_lt(end, g[i].left))
			j = i;
	}
	if (r->chunks + q->count > chunks_max) {
		chunkq_purge(p, q);
		return -ENOBUFS;
	}
	if (i < j)
		return range_join(r, p, i, j, seq, q, res);
	res->fresh = (uint32_t)q->bytes;
	rc = range_add(r, p, i, seq, q);
	if (rc) {
		res->fresh = 0;
		chunkq_purge(p, q);
		block_release(r);
	}
	return rc;
}

uint32_t stream_reasm_pop(struct stream_reasm *r, struct chunk_pool *p, uint32_t seq,
			  struct chunkq *dst)
{
	struct stream_range *g = ranges_of(r);
	struct chunkq q;
	uint32_t bytes;

	if (!r->n || g->left != seq)
		return 0;
	q = range_queue(g);
	bytes = (uint32_t)q.bytes;
	r->n--;
	r->bytes -= bytes;
	r->chunks -= q.count;
	memmove(g, g + 1, r->n * sizeof(*g));
	chunkq_append(dst, &q);
	block_release(r);
	return bytes;
}

const struct stream_range *stream_reasm_ranges(const struct stream_reasm *r, uint16_t *n)
{
	*n = r->n;
	return ranges_of(r);
}

uint16_t stream_reasm_recent(const struct stream_reasm *r, struct stream_range *out, uint16_t max)
{
	const struct stream_range *g = ranges_of(r), *best;
	uint32_t below = r->stamp + 1;
	uint16_t got = 0, i;

	while (got < max && got < r->n) {
		best = NULL;
		for (i = 0; i < r->n; i++) {
			if (!seq_lt(g[i].stamp, below))
				continue;
			if (!best || seq_lt(best->stamp, g[i].stamp))
				best = &g[i];
		}
		if (!best)
			break;
		out[got++] = *best;
		below = best->stamp;
	}
	return got;
}

void stream_reasm_purge(struct stream_reasm *r, struct chunk_pool *p)
{
	const struct stream_range *g = ranges_of(r);
	struct chunkq q;
	unsigned i;

	for (i = 0; i < r->n; i++) {
		q = range_queue(&g[i]);
		chunkq_purge(p, &q);
	}
	r->n = 0;
	block_release(r);
	stream_reasm_init(r);
}
