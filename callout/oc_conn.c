/* SPDX-License-Identifier: BSD-3-Clause */
/* One OCP connection: its socket, its input buffer and what is queued for the peer. */
#include "callout/oc_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int oc_conn_output(void *ctx, const struct ocp_output *out)
{
	struct oc_conn *c = ctx;
	struct oc_pool *p = &c->loop->pool;
	int rc = oc_queue_copy(&c->out, p, out->head, out->head_len);

	if (rc == 0 && out->payload_len) {
		if (out->cookie && out->payload_len >= OC_REF_MIN)
			rc = oc_queue_ref(&c->out, p, out->cookie, out->payload, out->payload_len);
		else
			rc = oc_queue_copy(&c->out, p, out->payload, out->payload_len);
	}
	if (rc == 0)
		rc = oc_queue_copy(&c->out, p, out->tail, out->tail_len);
	oc_conn_dirty(c);
	return rc;
}

static int oc_conn_on_start(void *ctx, struct ocp_str client, int32_t priority)
{
	struct oc_conn *c = ctx;

	c->started = true;
	if (c->refuse)
		return -EBUSY;
	if (ocp_server_dialect(c->ocp) == OCP_DIALECT_CORE)
		oc_log(c->loop, "connection from %s: RFC 4037", c->peer);
	else
		oc_log(c->loop, "connection from %s: client \"%.*s\", priority %d", c->peer, (int)client.len,
		       client.p ? client.p : "", priority);
	return 0;
}

static void oc_conn_on_closed(void *ctx, enum ocp_end how, const struct ocp_result *result)
{
	struct oc_conn *c = ctx;

	if (c->state != OC_CONN_OPEN)
		return;
	if (how == OCP_END_MALFORMED || how == OCP_END_OUTSIDE || how == OCP_END_VIOLATION)
		c->loop->st.malformed++;
	oc_log(c->loop, "connection from %s ended: %s", c->peer, ocp_end_text(how));
	c->state = how == OCP_END_EOF || how == OCP_END_OUTPUT || how == OCP_END_MEMORY ? OC_CONN_DEAD
											: OC_CONN_FLUSH;
	oc_conn_dirty(c);
}

static const char *oc_conn_fault_text(enum ocp_fault f, enum ocp_msg_type msg)
{
	if (f == OCP_FAULT_OUTSIDE && msg == OCP_MSG_CS)
		return "the dialect core is not spoken here";
	if (f == OCP_FAULT_NOT_CS && msg == OCP_MSG_CONNECTION_START)
		return "the dialect draft is not spoken here";
	return ocp_fault_text(f);
}

/* Which rule was broken, at most once per OC_FAULT_US: a hostile peer must not fill the log. */
static void oc_conn_on_fault(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg)
{
	struct oc_conn *c = ctx;

	if (f == OCP_FAULT_UNKNOWN_ID || f == OCP_FAULT_UNKNOWN_MSG)
		return; /* normal when both sides end a transaction at the same time, or of a newer peer */
	if (c->fault_us && c->loop->now_us - c->fault_us < OC_FAULT_US) {
		c->faults_untold++;
		return;
	}
	c->fault_us = c->loop->now_us;
	if (c->faults_untold)
		oc_log(c->loop, "connection from %s: %s: %s (%" PRIu64 " more in between)", c->peer, ocp_msg_name(msg),
		       oc_conn_fault_text(f, msg), c->faults_untold);
	else
		oc_log(c->loop, "connection from %s: %s: %s", c->peer, ocp_msg_name(msg), oc_conn_fault_text(f, msg));
	c->faults_untold = 0;
}

static int oc_conn_on_offer(void *ctx, const struct ocp_list *services, struct ocp_profile *p)
{
	return oc_wishes_answer(((struct oc_conn *)ctx)->loop, services, p);
}

int oc_conn_new(struct oc_loop *loop, int fd, const char *peer, bool refuse)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct ocp_server_ops ops = oc_xaction_ops;
	struct epoll_event ev = {.events = EPOLLIN};
	struct oc_conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->src.kind = OC_SOURCE_CONN;
	c->src.fd = fd;
	c->loop = loop;
	c->events = EPOLLIN;
	c->refuse = refuse;
	c->since_us = oc_now_us();
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	cfg.xactions_max = loop->cfg.xactions_max;
	cfg.ack_all = loop->cfg.ack_all;
	cfg.idle_probe_us = loop->cfg.idle_probe_us;
	cfg.probe_timeout_us = loop->cfg.probe_timeout_us;
	cfg.deadline_us = loop->cfg.deadline_us;
	cfg.negotiation_us = loop->cfg.start_us;
	cfg.dialects = (loop->cfg.dialects & OC_DIALECT_DRAFT ? OCP_HAS(OCP_DIALECT_DRAFT) : 0) |
		       (loop->cfg.dialects & OC_DIALECT_CORE ? OCP_HAS(OCP_DIALECT_CORE) : 0);
	ops.output = oc_conn_output;
	ops.connection_start = oc_conn_on_start;
	ops.closed = oc_conn_on_closed;
	ops.fault = oc_conn_on_fault;
	ops.offer = oc_conn_on_offer;
	rc = ocp_server_create(&c->ocp, &cfg, &ops, c, c->since_us);
	ev.data.ptr = &c->src;
	if (rc == 0 && epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
		rc = -errno;
	if (rc != 0) {
		ocp_server_destroy(c->ocp);
		close(fd);
		free(c);
		return rc;
	}
	c->next = loop->conns;
	if (c->next)
		c->next->prev = c;
	loop->conns = c;
	if (refuse) {
		loop->refusing++;
	} else {
		loop->st.connections++;
		loop->st.connections_open++;
	}
	return 0;
}

void oc_conn_dirty(struct oc_conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = c->loop->dirty;
	c->loop->dirty = c;
}

static void oc_conn_lost(struct oc_conn *c)
{
	if (c->state == OC_CONN_OPEN)
		ocp_server_eof(c->ocp); /* ends its transactions */
	c->state = OC_CONN_DEAD;
	oc_conn_dirty(c);
}

/* What a peer still says after the end is thrown away: closing with unread input would make the kernel send a reset
 * that can overtake our last message. */
static void oc_conn_discard(struct oc_conn *c)
{
	char junk[16384];
	ssize_t n;

	for (int i = 0; i < OC_QUANTUM; i++) {
		n = recv(c->src.fd, junk, sizeof(junk), MSG_DONTWAIT);
		if (n > 0 || (n < 0 && errno == EINTR))
			continue;
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
			c->state = OC_CONN_DEAD;
			oc_conn_dirty(c);
		}
		return;
	}
}

static struct oc_buf *oc_conn_room(struct oc_conn *c)
{
	struct oc_pool *p = &c->loop->pool;

	if (c->in && c->in->refs == 1)
		c->in->used = 0;
	if (c->in && OC_BUF_SIZE - c->in->used < OC_READ_MIN) {
		oc_buf_put(p, c->in);
		c->in = NULL;
	}
	if (!c->in)
		c->in = oc_buf_get(p);
	return c->in;
}

void oc_conn_read(struct oc_conn *c, unsigned reads)
{
	while (reads-- && c->state == OC_CONN_OPEN && !c->stalled) {
		struct oc_buf *b = oc_conn_room(c);
		uint32_t at, room;
		ssize_t n;

		if (!b) {
			oc_log(c->loop, "connection from %s: out of memory", c->peer);
			oc_conn_end(c);
			return;
		}
		at = b->used;
		room = OC_BUF_SIZE - at;
		n = recv(c->src.fd, b->data + at, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n == 0) { /* a peer may close its half and still read */
			ocp_server_eof(c->ocp);
			c->state = OC_CONN_FLUSH;
			oc_conn_dirty(c);
			break;
		}
		if (n < 0) {
			oc_conn_lost(c);
			break;
		}
		b->used += (uint32_t)n;
		c->octets_in += (uint64_t)n;
		ocp_server_input(c->ocp, b->data + at, (size_t)n, b, c->loop->now_us);
		oc_conn_settle(c);
		if ((uint32_t)n < room)
			break; /* drained: epoll will tell when there is more */
	}
	if (c->state == OC_CONN_LINGER)
		oc_conn_discard(c);
	if (c->in && c->in->refs == 1) { /* an idle connection holds no buffer */
		oc_buf_put(&c->loop->pool, c->in);
		c->in = NULL;
	}
}

static void oc_conn_interest(struct oc_conn *c)
{
	struct epoll_event ev = {.data.ptr = &c->src};

	if (c->stalled ? c->out.bytes <= c->loop->cfg.out_low : c->out.bytes <= c->loop->cfg.out_high)
		c->stalled = false;
	else
		c->stalled = true;
	if ((c->state == OC_CONN_OPEN && !c->stalled) || c->state == OC_CONN_LINGER)
		ev.events |= EPOLLIN;
	if (c->out.bytes)
		ev.events |= EPOLLOUT;
	if (ev.events == c->events)
		return;
	c->events = ev.events;
	epoll_ctl(c->loop->epfd, EPOLL_CTL_MOD, c->src.fd, &ev);
}

void oc_conn_settle(struct oc_conn *c)
{
	ssize_t n;

	while (c->pending) {
		struct oc_xaction *x = c->pending;

		c->pending = x->pending_next;
		x->in_pending = false;
		oc_xaction_flush(x);
	}
	if (c->state == OC_CONN_DEAD)
		return;
	n = c->out.bytes ? oc_queue_write(&c->out, &c->loop->pool, c->src.fd) : 0;
	if (n < 0 && n != -EAGAIN) {
		oc_conn_lost(c);
		return;
	}
	if (n > 0)
		c->octets_out += (uint64_t)n;
	if (c->state == OC_CONN_FLUSH && !c->out.bytes) {
		shutdown(c->src.fd, SHUT_WR);
		c->state = OC_CONN_LINGER;
		c->linger_until = c->loop->now_us + OC_LINGER_US;
	}
	oc_conn_interest(c);
}

uint64_t oc_conn_deadline(const struct oc_conn *c)
{
	if (c->state == OC_CONN_OPEN && !c->started && c->loop->cfg.start_us)
		return c->since_us + c->loop->cfg.start_us;
	if (c->state == OC_CONN_OPEN)
		return ocp_server_next_deadline(c->ocp);
	return c->linger_until ? c->linger_until : c->loop->now_us + OC_LINGER_US;
}

void oc_conn_tick(struct oc_conn *c)
{
	if (c->state == OC_CONN_OPEN && !c->started) {
		if (c->loop->now_us < oc_conn_deadline(c))
			return;
		oc_log(c->loop, "connection from %s: silent since it came", c->peer);
		oc_conn_lost(c);
	} else if (c->state == OC_CONN_OPEN) {
		if (c->loop->now_us >= ocp_server_next_deadline(c->ocp))
			ocp_server_tick(c->ocp, c->loop->now_us);
	} else if (!c->linger_until) {
		c->linger_until = c->loop->now_us + OC_LINGER_US; /* a peer that does not read */
	} else if (c->loop->now_us >= c->linger_until && c->state != OC_CONN_DEAD) {
		c->state = OC_CONN_DEAD;
		oc_conn_dirty(c);
	}
}

void oc_conn_end(struct oc_conn *c)
{
	if (c->state == OC_CONN_OPEN)
		ocp_server_end(c->ocp, false, NULL);
	if (c->state == OC_CONN_OPEN) /* nothing had been started */
		c->state = OC_CONN_FLUSH;
	oc_conn_dirty(c);
}

void oc_conn_free(struct oc_conn *c)
{
	struct oc_loop *loop = c->loop;

	if (c->prev)
		c->prev->next = c->next;
	else
		loop->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	ocp_server_destroy(c->ocp);
	oc_queue_free(&c->out, &loop->pool);
	oc_buf_put(&loop->pool, c->in);
	close(c->src.fd);
	if (c->refuse)
		loop->refusing--;
	else
		loop->st.connections_open--;
	loop->st.octets_in += c->octets_in;
	loop->st.octets_out += c->octets_out;
	free(c);
}
