/* SPDX-License-Identifier: BSD-3-Clause */
#include "mem/mem_chunk.h"

#include <errno.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

_Static_assert(sizeof(struct chunk) == 32, "two descriptors per cache line");

int chunk_pool_init(struct chunk_pool *p, const char *name, uint32_t descs,
		    struct rte_mempool *bufs, int socket_id)
{
	memset(p, 0, sizeof(*p));
	if (!descs || !bufs)
		return -EINVAL;
	p->desc = rte_malloc_socket(name, (size_t)descs * sizeof(struct chunk), RTE_CACHE_LINE_SIZE, socket_id);
	if (!p->desc)
		return -ENOMEM;
	p->descs = descs;
	p->bufs = bufs;
	return 0;
}

void chunk_pool_fini(struct chunk_pool *p)
{
	if (p->gen)
		rte_pktmbuf_free_seg(p->gen);
	rte_free(p->desc);
	memset(p, 0, sizeof(*p));
}

/* The last one given back first: it is still in the cache. */
static inline struct chunk *desc_get(struct chunk_pool *p)
{
	struct chunk *c = p->free;

	if (likely(c != NULL))
		p->free = c->next;
	else if (p->fresh < p->descs)
		c = &p->desc[p->fresh++];
	else
		return NULL;
	p->used++;
	return c;
}

struct chunk *chunk_new(struct chunk_pool *p, struct rte_mbuf *m, const uint8_t *data, uint32_t len)
{
	struct chunk *c = desc_get(p);

	if (unlikely(!c)) {
		p->desc_failed++;
		return NULL;
	}
	c->next = NULL;
	c->m = m;
	c->data = data;
	c->len = (uint16_t)len;
	c->sum = 0;
	c->rsvd = 0;
	return c;
}

struct chunk *chunk_ref(struct chunk_pool *p, const struct chunk *c, uint32_t off, uint32_t len)
{
	struct chunk *n = chunk_new(p, c->m, c->data + off, len);

	if (!n)
		return NULL;
	rte_mbuf_refcnt_update(c->m, 1);
	if (len == c->len)
		n->sum = c->sum;
	return n;
}

void chunk_free(struct chunk_pool *p, struct chunk *c)
{
	rte_pktmbuf_free_seg(c->m);
	c->next = p->free;
	p->free = c;
	p->used--;
}

void chunkq_append(struct chunkq *dst, struct chunkq *src)
{
	if (!src->head)
		return;
	if (dst->tail)
		dst->tail->next = src->head;
	else
		dst->head = src->head;
	dst->tail = src->tail;
	dst->bytes += src->bytes;
	dst->count += src->count;
	chunkq_init(src);
}

void chunkq_join(struct chunk_pool *p, struct chunkq *dst, struct chunkq *src)
{
	struct chunk *last = dst->tail, *first = src->head;

	if (last && first && last->m == first->m && last->data + last->len == first->data) {
		chunkq_pop(src);
		last->len += first->len;
		last->sum = 0;
		dst->bytes += first->len;
		chunk_free(p, first);
	}
	chunkq_append(dst, src);
}

int chunkq_move(struct chunk_pool *p, struct chunkq *dst, struct chunkq *src, uint64_t n)
{
	struct chunk *c, *part;

	if (n == src->bytes) {
		chunkq_append(dst, src);
		return 0;
	}
	while (n && (c = src->head) && c->len <= n) {
		n -= c->len;
		chunkq_push(dst, chunkq_pop(src));
	}
	if (!n || !src->head)
		return 0;
	c = src->head;
	part = chunk_ref(p, c, 0, (uint32_t)n);
	if (!part)
		return -ENOMEM;
	chunkq_push(dst, part);
	c->data += n;
	c->len -= (uint16_t)n;
	c->sum = 0;
	src->bytes -= n;
	return 0;
}

int chunkq_ref(struct chunk_pool *p, struct chunkq *dst, const struct chunkq *src, uint64_t off,
	       uint64_t n)
{
	const struct chunk *c = src->head;
	struct chunkq got;

	chunkq_init(&got);
	while (c && off >= c->len) {
		off -= c->len;
		c = c->next;
	}
	for (; c && n; c = c->next, off = 0) {
		uint64_t left = c->len - off;
		uint32_t take = (uint32_t)(left < n ? left : n);
		struct chunk *r = chunk_ref(p, c, (uint32_t)off, take);

		if (!r) {
			chunkq_purge(p, &got);
			return -ENOMEM;
		}
		chunkq_push(&got, r);
		n -= take;
	}
	chunkq_append(dst, &got);
	return 0;
}

void chunkq_drop(struct chunk_pool *p, struct chunkq *q, uint64_t n)
{
	struct chunk *c;

	while (n && (c = q->head) && c->len <= n) {
		n -= c->len;
		chunk_free(p, chunkq_pop(q));
	}
	if (n && (c = q->head)) {
		c->data += n;
		c->len -= (uint16_t)n;
		c->sum = 0;
		q->bytes -= n;
	}
}

void chunkq_purge(struct chunk_pool *p, struct chunkq *q)
{
	struct chunk *c;

	while ((c = chunkq_pop(q)))
		chunk_free(p, c);
}

/* Room to write into, a fresh buffer if the last one is full. NULL: out of buffers. */
static uint8_t *gen_room(struct chunk_pool *p, uint32_t *room)
{
	struct rte_mbuf *m = p->gen;

	if (m && !rte_pktmbuf_tailroom(m)) {
		rte_pktmbuf_free_seg(m);
		m = p->gen = NULL;
	}
	if (!m) {
		m = p->gen = rte_pktmbuf_alloc(p->bufs);
		if (!m) {
			p->bufs_failed++;
			return NULL;
		}
	}
	*room = rte_pktmbuf_tailroom(m);
	return rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len);
}

int chunkq_put(struct chunk_pool *p, struct chunkq *q, const void *bytes, uint32_t n)
{
	const uint8_t *from = bytes;
	struct chunk *tail = q->tail, *c;
	struct chunkq got;
	uint32_t grow = 0, room;

	chunkq_init(&got);
	while (n) {
		uint8_t *to = gen_room(p, &room);
		uint32_t take = n < room ? n : room;

		if (!to)
			goto fail;
		/* Bytes that follow on those of the last chunk need no descriptor of their own. */
		if (tail && tail->m == p->gen && tail->data + tail->len == to) {
			grow = take;
		} else {
			c = chunk_new(p, p->gen, to, take);
			if (!c)
				goto fail;
			rte_mbuf_refcnt_update(p->gen, 1);
			chunkq_push(&got, c);
		}
		tail = NULL;
		memcpy(to, from, take);
		p->gen->data_len += (uint16_t)take;
		p->gen->pkt_len += take;
		from += take;
		n -= take;
	}
	if (grow) {
		q->tail->len += (uint16_t)grow;
		q->tail->sum = 0;
		q->bytes += grow;
	}
	chunkq_append(q, &got);
	return 0;
fail:
	chunkq_purge(p, &got);
	return -ENOMEM;
}

uint64_t chunkq_copy(const struct chunkq *q, uint64_t off, void *dst, uint64_t n)
{
	const struct chunk *c = q->head;
	uint8_t *to = dst;
	uint64_t done = 0;

	while (c && off >= c->len) {
		off -= c->len;
		c = c->next;
	}
	for (; c && done < n; c = c->next, off = 0) {
		uint64_t left = c->len - off;
		uint64_t take = left < n - done ? left : n - done;

		memcpy(to + done, c->data + off, take);
		done += take;
	}
	return done;
}
