/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent, core dialect (RFC 4037, RFC 4236): what arrives about transactions. Numbers in
 * brackets are sections of RFC 4037 unless said otherwise. The connection, groups and negotiation are ocp_core.h's.
 *
 * A message that breaks a rule ends its transaction with TE {400} [5]. An xid that has ended is ignored, one that
 * was never introduced gets a TE {400}.
 *
 * The processor's TE without a failure says only that it sends nothing more (RFC 4236 section 3.9 lets the callout server
 * go on): the transaction stays until its owner ends it.
 */
#include "ocp/ocp_server_private.h"

/* The rule f is broken: TE {400}; x is gone. */
static void violated(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	ocp_core_violation(a, x, f);
}

static void on_violation(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(ocp_fault_text(f))};
	struct ocp_xaction_ending e = {.how = OCP_XEND_VIOLATION, .fault = f};

	ocp_server_core_end(ocp_server_of(a), x, true, &r);
	ocp_agent_finish(a, x, &e);
}

static void give_up(struct ocp_agent *a, struct ocp_xaction *x)
{
	ocp_server_core_end(ocp_server_of(a), x, true, NULL);
}

/* --- transactions --- */

/* xid was introduced once. With very many holes between the xids, all of them count as introduced. */
static bool introduced(const struct ocp_agent *a, uint32_t xid)
{
	const struct ocp_server *s = (const struct ocp_server *)a;

	return (int64_t)xid <= s->last_xid &&
	       (s->xids.n >= a->ranges_max || ocp_ranges_cover(&s->xids, xid, (uint64_t)xid + 1));
}

static void introduce(struct ocp_agent *a, uint32_t xid)
{
	struct ocp_server *s = ocp_server_of(a);

	s->last_xid = xid;
	ocp_ranges_append(&s->xids, xid, (uint64_t)xid + 1, a->ranges_max);
}

static void on_ts(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);
	struct ocp_group *g = ocp_core_group(a->core->theirs, m->sg);
	struct ocp_xaction *x;
	struct ocp_uri service;
	uint32_t at = 0;

	if ((int64_t)m->xid <= s->last_xid) { /* [10.2] */
		x = ocp_agent_find(a, m->xid);
		if (x)
			violated(a, x, OCP_FAULT_XID_ORDER);
		else
			ocp_core_refuse_xid(a, m->xid, OCP_FAULT_XID_ORDER);
		return;
	}
	introduce(a, m->xid);
	if (!g) {
		ocp_core_refuse_xid(a, m->xid, OCP_FAULT_SG);
		return;
	}
	if (!ocp_list_next(&g->services, &at, &service)) { /* nothing to apply */
		ocp_core_refuse_xid(a, m->xid, OCP_FAULT_NO_SERVICE);
		return;
	}
	x = a->xactions < a->xactions_max ? ocp_agent_add(a, m->xid, NULL) : NULL;
	if (!x || ocp_ranges_append(&x->kept, 0, OCP_CORE_MAX, a->ranges_max)) {
		if (x)
			ocp_server_let_go(s, x);
		ocp_core_refuse_xid(a, m->xid, OCP_FAULT_LIMIT);
		return;
	}
	ocp_core_group_get(g);
	x->server = (struct ocp_server_flow){
		.group = g,
		.profile = ocp_core_profile(a, g),
		.main_from = UINT64_MAX,
		.interest_to = OCP_CORE_MAX,
		.pause_at = UINT64_MAX,
		.modp = -1,
		.modp_sent = -1,
	};
	if (!x->server.profile)
		x->server.main_from = 0;
	ocp_server_accept(a, m->xid, &service);
}

static void on_te(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_REFUSED, .result = m->result};
	struct ocp_server *s = ocp_server_of(a);

	if (ocp_msg_failed(m)) {
		ocp_agent_finish(a, x, &e);
		return;
	}
	if (x->am_open && !x->am_ended) { /* AME is never implied [11.8] */
		violated(a, x, OCP_FAULT_AM_ORDER);
		return;
	}
	if (!x->am_known) { /* it was nothing but a beginning */
		e.how = OCP_XEND_NORMAL;
		ocp_server_core_end(s, x, false, NULL);
		ocp_agent_finish(a, x, &e);
		return;
	}
	x->server.peer_done = true;
}

/* --- the original --- */

static enum ocp_kind kind_of(const struct ocp_profile *p)
{
	if (!p)
		return OCP_KIND_STREAM;
	return p->feature == OCP_FEATURE_HTTP_REQUEST ? OCP_KIND_REQUEST : OCP_KIND_RESPONSE;
}

static void on_ams(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	const struct ocp_profile *p = x->server.profile;
	struct ocp_xaction_ending e = {.how = OCP_XEND_REFUSED};
	struct ocp_am_info info = {
		.am_id = 1,
		.kind = kind_of(p),
		.sizep = -1,
		.modp = -1,
		.am_el = p && ocp_msg_has(m, OCP_P_SIZEP) ? (int64_t)m->sizep : -1,
	};
	uint32_t xid = x->xid;

	if (x->am_known) {
		violated(a, x, OCP_FAULT_AM_ORDER);
		return;
	}
	if (ocp_server_original(a, x, &info) != OCP_SERVER_REFUSED)
		return;
	x = ocp_agent_find(a, xid);
	x->server.begun = !x->server.done; /* the refusal is an AME of ours */
	ocp_server_core_end(ocp_server_of(a), x, true, NULL);
	ocp_agent_finish(a, x, &e);
}

/* The main body begins with the DUM m: what the profile says about a prefix of it holds from here on. */
static void body_begins(struct ocp_xaction *x)
{
	struct ocp_server_flow *f = &x->server;
	int64_t keep = f->profile->preservation_interest_body;

	f->body = true;
	if (keep >= 0 && x->offset + (uint64_t)keep < f->interest_to)
		f->interest_to = x->offset + (uint64_t)keep;
}

/* RFC 4236 section 3.4. */
static bool part_ok(struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server_flow *f = &x->server;

	if (!f->profile)
		return true;
	if (!ocp_msg_has(m, OCP_P_AM_PART) || !ocp_profile_part_ok(f->profile, false, f->part, m->am_part))
		return false;
	f->part = m->am_part;
	if (f->main_from == UINT64_MAX && !(f->profile->aux_parts & OCP_HAS(m->am_part)))
		f->main_from = x->offset;
	if (!f->body && m->am_part == ocp_profile_body(f->profile->feature))
		body_begins(x);
	return true;
}

/*
 * Kept [7, 11.9]: the range may grow and may leave out what we have given up, but not lose what we may still refer to.
 * False: it loses some that we have begun to use.
 */
static bool kept_ok(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server_flow *f = &x->server;
	uint64_t from = m->kept_offset, to = from + m->kept_size;
	uint64_t must_from = f->kept_from > f->interest_from ? f->kept_from : f->interest_from;
	uint64_t must_to = f->kept_to < f->interest_to ? f->kept_to : f->interest_to;

	if (must_from < must_to && (from > must_from || to < must_to)) {
		if (f->reused)
			return false;
		ocp_agent_fault(a, x, OCP_FAULT_KEPT);
		f->kept_bad = true;
	}
	f->kept_from = from;
	f->kept_to = to;
	return true;
}

static void on_dum(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_msg data = *m;
	enum ocp_fault f = OCP_FAULT_NONE;
	bool body = x->server.body;

	if (!x->am_known)
		f = OCP_FAULT_AM_ORDER;
	else if (x->am_ended)
		f = OCP_FAULT_AFTER_END;
	else if (m->offset != x->offset)
		f = OCP_FAULT_OFFSET;
	else if (m->payload_size > OCP_CORE_MAX - x->offset)
		f = OCP_FAULT_RANGE_2G;
	else if (!part_ok(x, m))
		f = OCP_FAULT_PART;
	else if (ocp_msg_has(m, OCP_P_KEPT) && !kept_ok(a, x, m))
		f = OCP_FAULT_KEPT;
	if (f) {
		violated(a, x, f);
		return;
	}
	if (x->server.body && !body) /* what was given up of the parts before it */
		ocp_server_core_interest(ocp_server_of(a), x);
	if (x->paused) /* [11.16]: may abort; the data is good */
		ocp_agent_fault(a, x, OCP_FAULT_WHILE_PAUSED);
	data.am_id = x->am_id;
	if (!x->server.profile) /* a parameter that nobody agreed on */
		data.am_part = OCP_PART_NONE;
	ocp_agent_data_begin(a, &data);
}

/* We asked for an early end, with a message or in the profile. */
static bool asked_to_stop(const struct ocp_server_flow *f)
{
	return f->stop_receiving || (f->profile && f->profile->stop_receiving_body >= 0);
}

/* The processor's AME after that for the original can only mean our adapted message. */
static void on_second_ame(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);
	struct ocp_server_flow *f = &x->server;

	if (!ocp_msg_failed(m)) {
		violated(a, x, OCP_FAULT_AM_ORDER);
	} else if (f->begun && !f->done) {
		s->wire->am_end(s, x, x->ams, true, NULL); /* its end is ours to say [11.8] */
		f->done = true;
		ocp_server_adapted_over(a, x, x->ams, true, &m->result);
	}
}

static void on_ame(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_original_ending e = {.ok = !ocp_msg_failed(m), .result = m->result};
	struct ocp_server_flow *f = &x->server;

	if (!x->am_known) {
		violated(a, x, OCP_FAULT_AM_ORDER);
		return;
	}
	if (x->am_ended) {
		on_second_ame(a, x, m);
		return;
	}
	if (m->result.code == OCP_RESULT_PARTIAL && f->stop_sending && !f->may_stop) { /* [8.3] */
		violated(a, x, OCP_FAULT_STOP);
		return;
	}
	if (m->result.code == OCP_RESULT_PARTIAL && asked_to_stop(f))
		e.ok = e.partial = true;
	ocp_server_original_over(a, x, !e.ok, &e);
}

/* --- the adapted message --- */

static void on_dwp(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);
	struct ocp_server_flow *f = &x->server;

	f->pause_at = m->offset;
	if (f->paused) { /* it has been promised already; asked again, said again */
		f->paused = false;
		f->pause_at = 0;
	}
	ocp_server_core_pause_check(s, x);
	if (!f->done && s->ops.pause)
		s->ops.pause(a->ctx, x->user);
}

static void on_dwm(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);

	x->server.paused = false;
	x->server.pause_at = UINT64_MAX;
	if (!x->server.done && s->ops.need)
		s->ops.need(a->ctx, x->user, ocp_msg_has(m, OCP_P_SIZE_REQUEST) ? m->size_request : 0);
}

static void on_dss(struct ocp_agent *a, struct ocp_xaction *x)
{
	const struct ocp_xaction_ending e = {.how = OCP_XEND_NORMAL};
	struct ocp_server *s = ocp_server_of(a);
	uint32_t xid = x->xid;

	if (x->server.done) /* [11.14] */
		return;
	if (!x->server.stop_sending || x->server.may_stop) {
		violated(a, x, OCP_FAULT_STOP);
		return;
	}
	x->server.may_stop = true;
	if (s->ops.leave_now && s->ops.leave_now(a->ctx, x->user)) {
		x = ocp_agent_find(a, xid);
		if (!x || x->server.paused) /* immediately, but not before what was made of earlier data */
			return;
	}
	x = ocp_agent_find(a, xid);
	if (!x || x->server.done)
		return;
	ocp_server_core_leave(s, x);
	ocp_agent_finish(a, x, &e);
}

static void on_dpm(struct ocp_agent *a, struct ocp_xaction *x)
{
	if (x->am_open && !x->am_ended)
		ocp_server_paused(a, x);
}

/* --- --- */

static void on_xaction_message(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	switch (m->type) {
	case OCP_MSG_TE:
		on_te(a, x, m);
		break;
	case OCP_MSG_AMS:
		on_ams(a, x, m);
		break;
	case OCP_MSG_AME:
		on_ame(a, x, m);
		break;
	case OCP_MSG_DUM:
		on_dum(a, x, m);
		break;
	case OCP_MSG_DWP:
		on_dwp(a, x, m);
		break;
	case OCP_MSG_DWM:
		on_dwm(a, x, m);
		break;
	case OCP_MSG_DSS:
		on_dss(a, x);
		break;
	case OCP_MSG_DPM:
		on_dpm(a, x);
		break;
	default:
		break;
	}
}

static void on_message(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction *x;

	switch (m->type) {
	case OCP_MSG_TS:
		on_ts(a, m);
		return;
	case OCP_MSG_DUY:
	case OCP_MSG_DPI:
	case OCP_MSG_DWSR:
	case OCP_MSG_DWSS: /* a callout server's own: unexpected names are ignored [11] */
		ocp_agent_fault(a, NULL, OCP_FAULT_DIRECTION);
		return;
	default:
		break;
	}
	x = ocp_core_find(a, m);
	if (!x)
		return;
	if (x->server.peer_done) { /* for the processor, it has ended [11.6] */
		ocp_agent_fault(a, x, OCP_FAULT_UNKNOWN_ID);
		return;
	}
	ocp_agent_touch(a, x);
	on_xaction_message(a, x, m);
}

/* Progress of the processor with the original: nothing to do but to note that it works. */
static void on_progress(struct ocp_agent *a, struct ocp_xaction *x, bool has_org_data, uint32_t org_data)
{
	ocp_agent_touch(a, x);
}

static bool original_open(const struct ocp_xaction *x)
{
	return x->am_open && !x->am_ended;
}

static void on_resume(struct ocp_agent *a)
{
}

static const struct ocp_core_role role = {
	.expects_offer = true,
	.choose = ocp_server_choose,
	.chosen = ocp_server_chosen,
	.answered = ocp_server_answered,
	.resume = on_resume,
	.message = on_message,
	.introduced = introduced,
	.progress = on_progress,
	.violation = on_violation,
	.give_up = give_up,
	.original_open = original_open,
	.supports = ocp_server_supports,
};

void ocp_server_core_begin(struct ocp_server *s, const struct ocp_msg *m)
{
	struct ocp_agent *a = &s->a;

	if (ocp_core_init(a, &role)) {
		ocp_agent_close(a, OCP_END_MEMORY, NULL);
		return;
	}
	s->core = true;
	s->wire = &ocp_server_core_wire;
	a->core->groups_max = s->groups_max;
	a->core->negotiation_us = s->negotiation_us;
	/* What the draft negotiates about is part of the protocol here. */
	a->features_used = OCP_HAS(OCP_FEATURE_COPIED) | OCP_HAS(OCP_FEATURE_AS_IS) | OCP_HAS(OCP_FEATURE_LEAVE_LOOP);
	if (!m || m->type != OCP_MSG_CS) {
		ocp_core_not_cs(a);
		return;
	}
	a->started = true;
	ocp_core_start(a, a->now);
	a->core->cs_received = true;
	if (s->ops.connection_start && s->ops.connection_start(a->ctx, ocp_str(NULL), 0))
		ocp_agent_end(a, OCP_END_LOCAL, true, &ocp_server_failure);
}
