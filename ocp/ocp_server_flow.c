/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent: a transaction's state and what its owner hears of it, in both dialects.
 *
 *   original:   none --app-message-start, AMS--> open --data-end--> ended --> gone
 *                                                 |                            ^
 *                                                 +--app-message-end, AME, a fault--+
 *               `paused` is a flag of open: set by data-paused or DPM, cleared by our data-need or DWM.
 *
 * A gone original leaves its transaction alive: adapted messages may still be sent.
 */
#include "ocp/ocp_server_private.h"

const struct ocp_result ocp_server_failure = {.code = OCP_RESULT_FAILURE};

void ocp_server_accept(struct ocp_agent *a, uint32_t xid, const struct ocp_uri *service)
{
	struct ocp_server *s = ocp_server_of(a);
	struct ocp_xaction *x;
	void *user = NULL;
	bool refused;

	refused = !s->ops.xaction_start || s->ops.xaction_start(a->ctx, xid, service, &user);
	x = ocp_agent_find(a, xid);
	if (!x) /* its owner has ended it already, or the connection */
		return;
	x->user = user;
	if (refused)
		ocp_server_xaction_end(s, xid, true, &ocp_server_failure);
}

enum ocp_server_asked ocp_server_original(struct ocp_agent *a, struct ocp_xaction *x,
					  const struct ocp_am_info *info)
{
	struct ocp_server *s = ocp_server_of(a);
	uint32_t xid = x->xid;

	x->am_known = x->am_open = true;
	x->am_id = info->am_id;
	if (!s->ops.am_start || !s->ops.am_start(a->ctx, x->user, info))
		return OCP_SERVER_TAKEN;
	x = ocp_agent_find(a, xid);
	if (!x || !x->am_open)
		return OCP_SERVER_GONE;
	x->am_open = false;
	x->am_ended = true;
	return OCP_SERVER_REFUSED;
}

void ocp_server_original_over(struct ocp_agent *a, struct ocp_xaction *x, bool gone,
			      const struct ocp_original_ending *e)
{
	struct ocp_server *s = ocp_server_of(a);
	bool told = x->am_ended;

	x->am_ended = true;
	if (gone)
		x->am_open = false;
	if (!told && !x->server.may_stop && s->ops.original_end)
		s->ops.original_end(a->ctx, x->user, e);
}

void ocp_server_adapted_over(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
			     bool error, const struct ocp_result *r)
{
	struct ocp_server *s = ocp_server_of(a);
	uint32_t id = am->id;

	ocp_xaction_am_drop(a, x, am);
	if (s->ops.am_end)
		s->ops.am_end(a->ctx, x->user, id, error, r);
}

void ocp_server_paused(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_server *s = ocp_server_of(a);

	x->paused = true;
	if (s->ops.paused)
		s->ops.paused(a->ctx, x->user);
}

static void slice(struct ocp_agent *a, const struct ocp_data *d)
{
	struct ocp_server *s = ocp_server_of(a);
	struct ocp_xaction *x = ocp_agent_find(a, a->current.xid);
	struct ocp_data out = *d;

	if (!x || !x->am_open) {
		a->current.wanted = false;
		return;
	}
	x->offset = d->offset + d->len;
	s->wire->slice(s, x, &out);
	out.modified = false; /* <45>: only a callout server may say so */
	if (s->ops.data && !x->server.may_stop)
		s->ops.data(a->ctx, x->user, &out);
}

static void ended(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_xaction_ending *e)
{
	struct ocp_server *s = ocp_server_of(a);

	s->wire->ended(a, x, e);
	if (s->ops.xaction_end)
		s->ops.xaction_end(a->ctx, x->user, e);
}

void ocp_server_let_go(struct ocp_server *s, struct ocp_xaction *x)
{
	ocp_agent_detach(&s->a, x);
	s->wire->ended(&s->a, x, NULL);
	ocp_agent_free(&s->a, x);
}

/* A slow processor, or one that waits for its client, is none of our business. */
static bool overdue(const struct ocp_agent *a, const struct ocp_xaction *x)
{
	return false;
}

static bool alone(const struct ocp_xaction *x)
{
	return x->server.peer_done;
}

/* The dialect is the one of the first message. What belongs to neither is outside of any connection <59>, unless core
 * alone is spoken here. */
static bool speaks_core(const struct ocp_server *s, const struct ocp_msg *m)
{
	enum ocp_dialect d = m ? ocp_msg_dialect(m->type) : OCP_DIALECT_MAX;

	if (!(s->dialects & OCP_HAS(OCP_DIALECT_CORE)))
		return false;
	return d == OCP_DIALECT_CORE || s->dialects == OCP_HAS(OCP_DIALECT_CORE);
}

static bool first(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);

	if (!speaks_core(s, m)) {
		ocp_decoder_dialect(a->decoder, OCP_DIALECT_DRAFT);
		if (s->dialects & OCP_HAS(OCP_DIALECT_DRAFT))
			return false;
		ocp_agent_fault(a, NULL, OCP_FAULT_OUTSIDE);
		ocp_agent_close(a, OCP_END_OUTSIDE, NULL);
		return true;
	}
	ocp_server_core_begin(s, m);
	return true;
}

const struct ocp_role ocp_server_role = {
	.first = first,
	.message = ocp_server_draft_message,
	.slice = slice,
	.ended = ended,
	.alone = alone,
	.overdue = overdue,
};
