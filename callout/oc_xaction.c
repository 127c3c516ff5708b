/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions: call-backs of the protocol agent turned into call-backs of the service. */
#include "callout/oc_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)OC_PART_NONE == (int)OCP_PART_NONE && (int)OC_PART_MAX == (int)OCP_PART_MAX &&
	      (int)OC_PART_RESPONSE_HEADER == (int)OCP_PART_RESPONSE_HEADER,
	      "parts are passed through");
static_assert((int)OC_KIND_REQUEST == (int)OCP_KIND_REQUEST && (int)OC_KIND_OTHER == (int)OCP_KIND_OTHER,
	      "kinds are passed through");

/* With a reason for those who read the processor's log. */
static int oc_refuse_xaction(struct oc_conn *c, uint32_t xid, const struct ocp_uri *uri, const char *reason)
{
	oc_log(c->loop, "connection from %s: %.*s: %s", c->peer, (int)uri->uri.len, uri->uri.p, reason);
	ocp_server_refuse(c->ocp, xid, reason);
	return -ENOTSUP;
}

static int oc_on_xaction_start(void *ctx, uint32_t xid, const struct ocp_uri *uri, void **user)
{
	struct oc_conn *c = ctx;
	struct oc_service *s = oc_loop_find(c->loop, uri->uri);
	struct oc_xaction *x;
	int rc;

	if (ocp_server_services(c->ocp, xid).count > 1)
		return oc_refuse_xaction(c, xid, uri, "a group of several services: one is applied to a message here");
	if (!s)
		return oc_refuse_xaction(c, xid, uri, "no such service here");
	s->st.xactions++;
	if (s->wishes.refuse_xactions) {
		s->st.refused++;
		return -EPERM;
	}
	x = calloc(1, sizeof(*x) + s->type->state_size);
	if (!x) {
		s->st.refused++;
		return -ENOMEM;
	}
	x->conn = c;
	x->service = s;
	x->xid = xid;
	x->last_slice = true;
	rc = s->type->open ? s->type->open(x, x->state) : 0;
	if (rc != 0) {
		s->st.refused++;
		free(x);
		return rc;
	}
	x->next = c->xactions;
	if (x->next)
		x->next->prev = x;
	c->xactions = x;
	s->st.xactions_open++;
	*user = x;
	return 0;
}

static int oc_on_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct oc_xaction *x = user;
	const struct oc_service_type *type = x->service->type;
	struct oc_str protocol;
	int rc;

	x->meta = malloc(am->meta.len + 1);
	if (!x->meta)
		return -ENOMEM;
	memcpy(x->meta, am->meta.len ? am->meta.p : "", am->meta.len);
	x->meta[am->meta.len] = '\0';
	x->msg = (struct oc_message){.kind = (enum oc_kind)am->kind, .meta = {x->meta, am->meta.len},
				     .sizep = am->sizep, .modp = am->modp, .body = am->am_el};
	x->started = true;
	if (!oc_meta(x, "Protocol", &protocol))
		protocol = oc_str("");
	x->mail = x->msg.kind == OC_KIND_REQUEST && oc_str_eq(protocol, "SMTP");
	x->rtsp = protocol.len >= 5 && memcmp(protocol.p, "RTSP/", 5) == 0;
	x->infer = x->mail || ((x->msg.kind == OC_KIND_REQUEST || x->msg.kind == OC_KIND_RESPONSE) &&
			       (x->rtsp || (protocol.len >= 5 && memcmp(protocol.p, "HTTP/", 5) == 0)));
	x->head_end = x->mail ? OC_HEAD_START : OC_HEAD_LINE; /* a mail has no start line: an empty head is possible */
	if (x->service->wishes.refuse_messages)
		rc = -EPERM;
	else
		rc = type->start ? type->start(x, x->state, &x->msg) : 0;
	if (rc != 0 && !oc_gone(x))
		x->service->st.refused++;
	return oc_gone(x) ? 0 : rc;
}

/* Octets up to and including the end of the head (RFC 9112 section 2.1, RFC 5322 section 2.1; a bare LF ends a line, too). */
static size_t oc_head_octets(struct oc_xaction *x, const uint8_t *p, size_t len)
{
	size_t i = 0;

	while (i < len && x->head_end != OC_HEAD_DONE) {
		if (x->head_end == OC_HEAD_LINE) {
			const uint8_t *lf = memchr(p + i, '\n', len - i);

			if (!lf)
				return len;
			i = (size_t)(lf - p) + 1;
			x->head_end = OC_HEAD_START;
			continue;
		}
		if (p[i] == '\n')
			x->head_end = OC_HEAD_DONE;
		else
			x->head_end = x->head_end == OC_HEAD_START && p[i] == '\r' ? OC_HEAD_CR : OC_HEAD_LINE;
		i++;
	}
	return i;
}

/* Part of the request that a response belongs to: to be looked at, not to be sent (RFC 4236 section 3.2). */
static bool oc_is_aux(const struct oc_xaction *x, enum oc_part part)
{
	return x->msg.kind == OC_KIND_RESPONSE && part >= OC_PART_REQUEST_HEADER && part <= OC_PART_REQUEST_TRAILER;
}

static void oc_give(struct oc_xaction *x, const struct ocp_data *from, enum oc_part part, size_t at, size_t len)
{
	struct oc_data d = {.part = part, .offset = from->offset + at, .bytes = from->data + at, .len = len,
			    .copied = from->copied, .last = from->last && at + len == from->len};

	if (x->over || !len)
		return;
	if (x->last_slice)
		x->whole = d.offset;
	x->last_slice = d.last;
	if (d.last && x->release.size)
		oc_xaction_pend(x);
	x->received = d.offset + len;
	x->service->st.octets_in += len;
	if (x->leaving) { /* the service has gone, the processor does not know yet */
		if (!x->leave_now && oc_pass(x, part, d.offset, d.bytes, len) != 0 && !x->over)
			oc_abort_now(x, "the original could not be passed on");
		return;
	}
	if (x->finishing)
		return;
	if (oc_is_aux(x, part)) {
		if (x->service->type->aux)
			x->service->type->aux(x, x->state, &d);
		return;
	}
	if (x->service->type->data)
		x->service->type->data(x, x->state, &d);
}

static void oc_on_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct oc_xaction *x = user;
	enum oc_part part = (enum oc_part)d->part;
	bool request = x->msg.kind == OC_KIND_REQUEST;
	size_t head;

	if (d->len == 0) {
		x->last_slice = true;
		return;
	}
	if (part != OC_PART_NONE || !x->infer) {
		oc_give(x, d, part, 0, d->len);
		return;
	}
	head = oc_head_octets(x, d->data, d->len);
	oc_give(x, d, request ? OC_PART_REQUEST_HEADER : OC_PART_RESPONSE_HEADER, 0, head);
	oc_give(x, d, request ? OC_PART_REQUEST_BODY : OC_PART_RESPONSE_BODY, head, d->len - head);
}

/* The whole original has come before the processor let us go. */
static void oc_leaving_end(struct oc_xaction *x, bool ok)
{
	if (!ok) {
		oc_abort_now(x, "the original was cut off");
		return;
	}
	x->leaving = false;
	oc_end(x);
}

static void oc_on_original_end(void *ctx, void *user, const struct ocp_original_ending *end)
{
	struct oc_xaction *x = user;
	/* A beginning is enough only for those who asked for no more. */
	bool ok = end->ok && (!end->partial || x->prefix || x->service->type->prefix);

	x->last_slice = true;
	if (x->finishing)
		return;
	if (x->leaving) {
		oc_leaving_end(x, ok);
		return;
	}
	if (x->service->type->end)
		x->service->type->end(x, x->state, ok);
	else if (ok)
		oc_end(x);
	if (!ok && !oc_gone(x))
		oc_abort(x, "the original was cut off");
}

/* A pause that nobody here waits for, e.g. one that the profile asked for, ends at once. */
static void oc_on_paused(void *ctx, void *user)
{
	struct oc_xaction *x = user;

	if (x->over || (x->held_up && !x->asked_pause))
		return;
	if (!oc_gone(x) && x->service->type->paused)
		x->service->type->paused(x, x->state);
	else
		ocp_server_need(x->conn->ocp, x->xid, 0);
}

/* The processor takes adapted data again. */
static void oc_on_need(void *ctx, void *user, uint32_t request)
{
	struct oc_xaction *x = user;

	if (!x->over)
		oc_out_resume(x);
}

static int oc_on_leave_now(void *ctx, void *user)
{
	struct oc_xaction *x = user;

	return x->over ? 0 : oc_leave_now(x);
}

/* Without the adapted message there is nothing left to do in this transaction. */
static void oc_on_am_end(void *ctx, void *user, uint32_t am_id, bool error, const struct ocp_result *result)
{
	struct oc_xaction *x = user;

	if (x->over || !x->am_open || am_id != x->am_id)
		return;
	x->am_open = false;
	ocp_server_xaction_end(x->conn->ocp, x->xid, error, NULL);
	x->service->st.peer_ended++;
	oc_xaction_close(x, OC_CLOSE_PEER);
}

static void oc_on_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *end)
{
	struct oc_xaction *x = user;

	if (x->over)
		return;
	x->service->st.peer_ended++;
	oc_xaction_close(x, end->how == OCP_XEND_CONNECTION ? OC_CLOSE_CONNECTION : OC_CLOSE_PEER);
}

const struct ocp_server_ops oc_xaction_ops = {
	.xaction_start = oc_on_xaction_start,
	.am_start = oc_on_am_start,
	.data = oc_on_data,
	.original_end = oc_on_original_end,
	.paused = oc_on_paused,
	.need = oc_on_need,
	.leave_now = oc_on_leave_now,
	.am_end = oc_on_am_end,
	.xaction_end = oc_on_xaction_end,
};

/* Marks it over; memory is freed when no call-back is running. */
void oc_xaction_close(struct oc_xaction *x, enum oc_close how)
{
	struct oc_conn *c = x->conn;

	x->over = true;
	x->how = how;
	oc_out_drop(x);
	if (x->in_pending) {
		struct oc_xaction **p = &c->pending;

		while (*p != x)
			p = &(*p)->pending_next;
		*p = x->pending_next;
		x->in_pending = false;
	}
	if (x->prev)
		x->prev->next = x->next;
	else
		c->xactions = x->next;
	if (x->next)
		x->next->prev = x->prev;
	x->next = c->loop->graves;
	c->loop->graves = x;
	x->service->st.xactions_open--;
}

void oc_xaction_bury(struct oc_xaction *x)
{
	if (x->service->type->close)
		x->service->type->close(x, x->state, x->how);
	free(x->meta);
	free(x);
}
