/* SPDX-License-Identifier: BSD-3-Clause */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define OC_IOV 128

struct oc_buf *oc_buf_get(struct oc_pool *p)
{
	struct oc_buf *b = p->free;

	if (b) {
		p->free = b->next;
		p->nfree--;
	} else {
		b = malloc(sizeof(*b) + OC_BUF_SIZE);
		if (!b)
			return NULL;
	}
	b->next = NULL;
	b->refs = 1;
	b->used = 0;
	return b;
}

void oc_buf_put(struct oc_pool *p, struct oc_buf *b)
{
	if (!b || --b->refs)
		return;
	if (p->nfree >= OC_POOL_MAX) {
		free(b);
		return;
	}
	b->next = p->free; /* the last one used is the one still in the cache */
	p->free = b;
	p->nfree++;
}

void oc_pool_drain(struct oc_pool *p)
{
	while (p->free) {
		struct oc_buf *b = p->free;

		p->free = b->next;
		free(b);
	}
	p->nfree = 0;
}

static int oc_queue_grow(struct oc_queue *q)
{
	uint32_t cap = q->cap ? q->cap * 2 : 64;
	struct oc_out *ring = malloc(cap * sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	for (uint32_t i = q->head; i != q->tail; i++)
		ring[i & (cap - 1)] = q->ring[i & (q->cap - 1)];
	free(q->ring);
	q->ring = ring;
	q->cap = cap;
	return 0;
}

int oc_queue_ref(struct oc_queue *q, struct oc_pool *p, struct oc_buf *buf, const uint8_t *bytes, size_t len)
{
	struct oc_out *o;

	(void)p;
	if (q->tail != q->head) {
		o = &q->ring[(q->tail - 1) & (q->cap - 1)];
		if (o->buf == buf && o->p + o->len == bytes) {
			o->len += len;
			q->bytes += len;
			return 0;
		}
	}
	if (q->tail - q->head == q->cap && oc_queue_grow(q) != 0)
		return -ENOMEM;
	o = &q->ring[q->tail++ & (q->cap - 1)];
	o->buf = buf;
	o->p = bytes;
	o->len = len;
	buf->refs++;
	q->bytes += len;
	return 0;
}

int oc_queue_copy(struct oc_queue *q, struct oc_pool *p, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	while (len) {
		struct oc_buf *b = q->copy;
		size_t n;
		int rc;

		if (!b || b->used == OC_BUF_SIZE) {
			oc_buf_put(p, b);
			b = q->copy = oc_buf_get(p);
			if (!b)
				return -ENOMEM;
		}
		n = OC_BUF_SIZE - b->used < len ? OC_BUF_SIZE - b->used : len;
		memcpy(b->data + b->used, from, n);
		rc = oc_queue_ref(q, p, b, b->data + b->used, n);
		if (rc != 0)
			return rc;
		b->used += (uint32_t)n;
		from += n;
		len -= n;
	}
	return 0;
}

static void oc_queue_advance(struct oc_queue *q, struct oc_pool *p, size_t n)
{
	q->bytes -= n;
	while (n) {
		struct oc_out *o = &q->ring[q->head & (q->cap - 1)];

		if (n < o->len) {
			o->p += n;
			o->len -= n;
			return;
		}
		n -= o->len;
		oc_buf_put(p, o->buf);
		q->head++;
	}
	if (q->head == q->tail && q->copy) { /* nothing refers to it: start over, or let others have it */
		oc_buf_put(p, q->copy);
		q->copy = NULL;
	}
}

ssize_t oc_queue_write(struct oc_queue *q, struct oc_pool *p, int fd)
{
	size_t total = 0;

	while (q->head != q->tail) {
		struct iovec iov[OC_IOV];
		struct msghdr m = {.msg_iov = iov};
		size_t want = 0;
		ssize_t n;

		for (uint32_t i = q->head; i != q->tail && m.msg_iovlen < OC_IOV; i++) {
			struct oc_out *o = &q->ring[i & (q->cap - 1)];

			iov[m.msg_iovlen].iov_base = (void *)(uintptr_t)o->p;
			iov[m.msg_iovlen++].iov_len = o->len;
			want += o->len;
		}
		n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return total ? (ssize_t)total : -EAGAIN;
			return -errno;
		}
		oc_queue_advance(q, p, (size_t)n);
		total += (size_t)n;
		if ((size_t)n < want)
			break;
	}
	return (ssize_t)total;
}

void oc_queue_free(struct oc_queue *q, struct oc_pool *p)
{
	while (q->head != q->tail)
		oc_buf_put(p, q->ring[q->head++ & (q->cap - 1)].buf);
	oc_buf_put(p, q->copy);
	free(q->ring);
	memset(q, 0, sizeof(*q));
}
