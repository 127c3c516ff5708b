/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The octets of one connection. Out: framing text in a ring of its own and references to the workers' mbufs, both
 * pointed at by a ring of segments that sendmsg takes up to CO_IOV at a time. In: straight into mbufs, decoded in
 * place; slices of them go to the workers with a reference each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <rte_mbuf.h>
#include "callout/callout_lcore.h"

int co_io_open(struct co_conn *c)
{
	c->text_size = CO_TEXT + CO_TEXT_TXN * c->l->cfg.txns_max;
	c->seg = malloc(CO_SEGS * sizeof(*c->seg));
	c->text = malloc(c->text_size);
	if (!c->seg || !c->text) {
		free(c->seg);
		free(c->text);
		c->seg = NULL;
		c->text = NULL;
		return -ENOMEM;
	}
	c->seg_head = c->seg_tail = 0;
	c->text_head = c->text_used = 0;
	c->out = 0;
	c->rx_want = 2;
	return 0;
}

static struct co_seg *seg_at(const struct co_conn *c, uint32_t i)
{
	return &c->seg[i & (CO_SEGS - 1)];
}

static uint32_t seg_count(const struct co_conn *c)
{
	return c->seg_tail - c->seg_head;
}

void co_io_close(struct co_conn *c)
{
	uint32_t i;

	for (; c->seg && c->seg_head != c->seg_tail; c->seg_head++) {
		struct co_seg *s = seg_at(c, c->seg_head);

		if (s->m) {
			rte_pktmbuf_free_seg(s->m);
			co_txn_unref(c->l, s->t);
		}
	}
	for (i = 0; i < c->rx_n; i++)
		rte_pktmbuf_free_seg(c->rx[i]);
	c->rx_n = c->rx_fill = 0;
	free(c->seg);
	free(c->text);
	c->seg = NULL;
	c->text = NULL;
	c->out = 0;
}

/* --- out -------------------------------------------------------------------------------------------------- */

/* The caller has looked for room. */
static void io_text(struct co_conn *c, const char *p, size_t len)
{
	while (len) {
		uint32_t at = (c->text_head + c->text_used) % c->text_size;
		uint32_t n = RTE_MIN(len, (size_t)(c->text_size - at));
		struct co_seg *last = seg_count(c) ? seg_at(c, c->seg_tail - 1) : NULL;

		memcpy(c->text + at, p, n);
		if (last && !last->m && last->p + last->len == c->text + at)
			last->len += n;
		else
			*seg_at(c, c->seg_tail++) = (struct co_seg){.p = c->text + at, .len = n};
		c->text_used += n;
		c->out += n;
		p += n;
		len -= n;
	}
}

static void io_run(struct co_conn *c, const struct co_run *run)
{
	const struct co_desc *d = run->first;

	for (uint32_t i = 0; i < run->n; i++, d = d->next)
		*seg_at(c, c->seg_tail++) =
			(struct co_seg){.p = d->data, .len = d->len, .cost = co_desc_cost(d), .m = d->m, .t = run->t};
	run->t->inflight += run->n;
	c->out += run->len;
	c->group->service->row.octets_out += run->len;
	c->l->counter[STATS_callout_octets_out] += run->len;
}

int co_io_output(void *ctx, const struct ocp_output *out)
{
	struct co_conn *c = ctx;

	if (c->broken || out->head_len + out->tail_len > c->text_size - c->text_used ||
	    seg_count(c) + CO_RUN + 4 > CO_SEGS) {
		c->broken = true; /* it makes us answer and does not read */
		return -ENOBUFS;
	}
	io_text(c, out->head, out->head_len);
	if (out->payload_len)
		io_run(c, out->cookie);
	io_text(c, out->tail, out->tail_len);
	return 0;
}

bool co_io_room(const struct co_conn *c)
{
	return !c->broken && c->text_used < CO_TEXT_FILL && seg_count(c) < CO_SEGS - CO_SEGS_SPARE - CO_RUN;
}

static void io_sent(struct co_conn *c, size_t n)
{
	struct co_txn *t = NULL;
	uint64_t cost = 0;

	c->out -= n;
	c->sent_octets += n;
	while (n) {
		struct co_seg *s = seg_at(c, c->seg_head);
		uint32_t k = RTE_MIN(n, (size_t)s->len);

		n -= k;
		if (!s->m) {
			c->text_head = (c->text_head + k) % c->text_size;
			c->text_used -= k;
		}
		if (k < s->len) {
			s->p += k;
			s->len -= k;
			break;
		}
		c->seg_head++;
		if (!s->m)
			continue;
		rte_pktmbuf_free_seg(s->m);
		if (t && t != s->t) {
			co_txn_credit(c->l, t, cost);
			co_txn_unref(c->l, t);
			t = NULL;
		}
		if (t) /* one of the references is enough to keep it */
			co_txn_unref(c->l, t);
		else
			cost = 0;
		t = s->t;
		cost += s->cost;
	}
	if (t) {
		co_txn_credit(c->l, t, cost);
		co_txn_unref(c->l, t);
	}
}

uint32_t co_io_write(struct co_conn *c)
{
	struct iovec *iov = c->l->iov;
	struct msghdr mh = {.msg_iov = iov};
	uint32_t pieces = 0;
	size_t total = 0;

	while (c->writable && !c->broken && total < CO_WRITE_MAX) {
		uint32_t n = 0;
		ssize_t ret;

		co_txn_frame(c->l, c);
		while (n < CO_IOV && c->seg_head + n != c->seg_tail) {
			struct co_seg *s = seg_at(c, c->seg_head + n);

			iov[n++] = (struct iovec){(void *)(uintptr_t)s->p, s->len};
		}
		if (!n)
			break;
		mh.msg_iovlen = n;
		ret = sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (ret < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN || errno == ENOBUFS)
				c->writable = false;
			else
				c->broken = true;
			break;
		}
		c->group->service->row.writes++;
		io_sent(c, ret);
		total += ret;
		pieces += n;
	}
	return pieces;
}

/* --- in --------------------------------------------------------------------------------------------------- */

static uint32_t io_rx_room(const struct rte_mbuf *m, uint32_t fill)
{
	return m->buf_len - m->data_off - fill;
}

/* Adapted octets may not take the last buffers either; they get some more than the octets of the wire, since they are
 * what brings messages to their end. Counting is not for every read: it looks at the caches of all lcores. */
static bool io_rx_dry(struct callout_lcore *l)
{
	uint32_t size = l->cfg.bufs->size, least = RTE_MIN(size / 16, CO_RX_RESERVE);

	if (l->now >= l->dry_at) {
		l->dry_at = l->now + CO_RX_COUNT_US;
		l->dry = rte_mempool_avail_count(l->cfg.bufs) < RTE_MAX(size / 32, least);
	}
	return l->dry;
}

static bool io_rx_fill(struct co_conn *c)
{
	bool dry = io_rx_dry(c->l);

	while (!dry && c->rx_n < c->rx_want) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(c->l->cfg.bufs);

		if (!m)
			break;
		/* set once, before anybody else has a reference: slices lie anywhere in it */
		m->data_len = rte_pktmbuf_tailroom(m);
		m->pkt_len = m->data_len;
		c->rx[c->rx_n++] = m;
	}
	if (!c->rx_n) {
		c->l->no_mbuf++;
		c->l->counter[STATS_no_mbuf]++;
	}
	return c->rx_n > 0;
}

/* No slice of it is in use any more: it can be read into again, even when the pool has run dry. */
static bool io_rx_unshared(const struct rte_mbuf *m)
{
	if (rte_mbuf_refcnt_read(m) != 1)
		return false;
	atomic_thread_fence(memory_order_acquire);
	return true;
}

/* Gives n octets, which lie in c->rx from rx_fill on, to the agent and keeps what can be read into. */
static void io_rx_take(struct co_conn *c, size_t n)
{
	struct rte_mbuf *again[CO_RX_MBUFS];
	uint32_t i = 0, j, nagain = 0;

	while (n) {
		struct rte_mbuf *m = c->rx[i];
		uint32_t k = RTE_MIN(n, (size_t)io_rx_room(m, c->rx_fill));

		if (!ocp_processor_over(c->agent))
			ocp_processor_input(c->agent, rte_pktmbuf_mtod_offset(m, void *, c->rx_fill), k, m,
					    c->l->now);
		n -= k;
		c->rx_fill += k;
		if (!n && io_rx_unshared(m))
			c->rx_fill = 0;
		if (io_rx_room(m, c->rx_fill) >= CO_RX_TAIL)
			continue;
		if (io_rx_unshared(m))
			again[nagain++] = m;
		else
			rte_pktmbuf_free_seg(m);
		c->rx_fill = 0;
		i++;
	}
	c->rx_n -= i;
	for (j = 0; j < c->rx_n; j++)
		c->rx[j] = c->rx[j + i];
	for (j = 0; j < nagain; j++)
		c->rx[c->rx_n++] = again[j];
}

uint32_t co_io_read(struct co_conn *c)
{
	struct iovec iov[CO_RX_MBUFS];
	struct msghdr mh = {.msg_iov = iov};
	size_t total = 0, want;
	uint32_t reads = 0, i;
	ssize_t n;

	while (c->readable && total < CO_READ_MAX && c->text_used < CO_TEXT_READ && io_rx_fill(c)) {
		for (i = 0, want = 0; i < c->rx_n; i++) {
			uint32_t fill = i ? 0 : c->rx_fill;

			iov[i].iov_base = rte_pktmbuf_mtod_offset(c->rx[i], void *, fill);
			iov[i].iov_len = io_rx_room(c->rx[i], fill);
			want += iov[i].iov_len;
		}
		mh.msg_iovlen = c->rx_n;
		n = recvmsg(c->fd, &mh, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->readable = false;
			break;
		}
		reads++;
		if (n <= 0) { /* end of the stream, or reset */
			if (!ocp_processor_over(c->agent))
				ocp_processor_eof(c->agent);
			break;
		}
		c->rx_us = c->l->now;
		total += n;
		io_rx_take(c, n);
		if (ocp_processor_over(c->agent) || c->broken)
			break;
		if ((size_t)n == want)
			c->rx_want = RTE_MIN(c->rx_want * 2, (uint32_t)CO_RX_MBUFS);
		else
			c->rx_want = RTE_MAX(c->rx_want / 2, 2u);
		if ((size_t)n < want && !c->hup)
			c->readable = false; /* drained; the next octet is an edge again */
	}
	return reads;
}
