/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processor agent, core dialect: what arrives from the callout server about transactions.
 *
 * The adapted message is begun by AMS, but its owner hears of it with its first octets or its end, because AM-Part tells
 * what it is (RFC 4236 3.2.1). Invalid input ends the transaction [5]: there is one adapted message, so nothing of it
 * would be left.
 *
 * TE: each side says it once. Ours goes out when both messages are over, or in answer to the callout server's: then there is
 * certainly nothing more to say [11.6]. Section 4 lets the first one end the transaction, the examples of RFC 4236 let
 * either side finish after the other's. Here a transaction with both messages over has ended with our TE: the server's,
 * if it comes, finds it gone, and one that follows section 4 is not waited for.
 */
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_processor_private.h"

/* --- ends --- */

static void on_violation(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(ocp_fault_text(f))};
	struct ocp_xaction_ending e = {.how = OCP_XEND_VIOLATION, .fault = f};

	ocp_processor_core_te(a, x, true, &r);
	ocp_agent_finish(a, x, &e);
}

static void no_progress(struct ocp_agent *a, struct ocp_xaction *x)
{
	ocp_processor_core_te(a, x, true, NULL);
}

static void on_te(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	struct ocp_xaction_ending e = {
		.how = ocp_msg_failed(m) ? OCP_XEND_REFUSED : OCP_XEND_NORMAL,
		.result = m->result,
	};

	if (e.how == OCP_XEND_NORMAL && f->begun && !f->done) { /* cut off without AME [11.8] */
		ocp_core_violation(a, x, OCP_FAULT_AM_ORDER);
		return;
	}
	ocp_processor_core_te(a, x, false, NULL);
	ocp_agent_finish(a, x, &e);
}

/* Either message has ended: when both have, nothing more is to be said, and the transaction is over. */
static void both_over(struct ocp_agent *a, uint32_t xid)
{
	const struct ocp_xaction_ending e = {.how = OCP_XEND_NORMAL};
	struct ocp_xaction *x = ocp_agent_find(a, xid);

	if (!x || !x->am_ended || !x->processor.done)
		return;
	ocp_processor_core_te(a, x, false, NULL);
	ocp_agent_finish(a, x, &e);
}

/* The original has ended early, as the peer asked. */
static void stopped(struct ocp_agent *a, struct ocp_xaction *x)
{
	uint32_t xid = x->xid;

	x->processor.tell_stop = false;
	ocp_processor_original_over(a, x);
	both_over(a, xid);
}

void ocp_processor_core_tell(struct ocp_agent *a)
{
	struct ocp_processor *p = ocp_processor_of(a);
	struct ocp_link *l;

	while (!a->over && (l = p->unheard.next) != &p->unheard) {
		struct ocp_xaction *x = ocp_processor_linked(l);

		ocp_link_remove(l);
		if (x->processor.tell_stop)
			stopped(a, x);
		else
			both_over(a, x->xid);
	}
}

/* --- the adapted message --- */

static void on_ams(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	uint32_t len = m->services.wire.len;

	if (f->begun) { /* one adapted message each [2.6] */
		ocp_core_violation(a, x, OCP_FAULT_AM_ORDER);
		return;
	}
	if (len) {
		if (len <= OCP_SERVICES_MAX - ocp_processor_of(a)->services_octets)
			f->services = malloc(len);
		if (!f->services) {
			ocp_core_violation(a, x, OCP_FAULT_LIMIT);
			return;
		}
		memcpy(f->services, m->services.wire.p, len);
		f->services_len = len;
		ocp_processor_of(a)->services_octets += len;
	}
	f->begun = true;
	if (f->profile && ocp_msg_has(m, OCP_P_SIZEP))
		f->am_el = (int64_t)m->sizep;
}

/* What the adapted message is: seen from its first part. */
static enum ocp_kind kind_of(enum ocp_part part)
{
	if (part == OCP_PART_NONE)
		return OCP_KIND_NONE; /* as the original */
	return part < OCP_PART_RESPONSE_HEADER ? OCP_KIND_REQUEST : OCP_KIND_RESPONSE;
}

/* The adapted message, whose owner knows of it afterwards; NULL: *x may be gone. */
static struct ocp_am *told(struct ocp_agent *a, struct ocp_xaction **x, enum ocp_part part)
{
	struct ocp_processor_flow *f = &(*x)->processor;
	struct ocp_am_info info = {
		.am_id = OCP_ADAPTED,
		.kind = kind_of(part),
		.sizep = -1,
		.modp = -1,
		.am_el = f->am_el,
		.services = ocp_list_of((struct ocp_str){f->services, f->services_len}),
	};
	uint32_t xid = (*x)->xid;

	if (f->told)
		return ocp_xaction_am(*x, OCP_ADAPTED);
	if (!ocp_processor_am_new(a, *x, OCP_ADAPTED)) {
		ocp_core_violation(a, *x, OCP_FAULT_LIMIT);
		return NULL;
	}
	f->told = true;
	ocp_processor_am_begun(a, *x, &info);
	*x = ocp_agent_find(a, xid);
	if (*x)
		ocp_processor_services_free(a, *x);
	return *x ? ocp_xaction_am(*x, OCP_ADAPTED) : NULL;
}

/* Octets of the adapted message may come now, size of them. */
static enum ocp_fault flow_fault(const struct ocp_xaction *x, uint64_t size)
{
	const struct ocp_processor_flow *f = &x->processor;
	const struct ocp_am *am = f->told ? ocp_xaction_am(x, OCP_ADAPTED) : NULL;

	if (!f->begun)
		return OCP_FAULT_AM_ORDER;
	if (f->done)
		return OCP_FAULT_AFTER_END;
	if (f->silent) /* after its promise [11.16]: may be aborted, and its word about memory is not worth much */
		return OCP_FAULT_WHILE_PAUSED;
	return size > OCP_CORE_MAX - (am ? am->offset : 0) ? OCP_FAULT_RANGE_2G : OCP_FAULT_NONE;
}

static enum ocp_fault dum_fault(const struct ocp_xaction *x, const struct ocp_msg *m)
{
	const struct ocp_processor_flow *f = &x->processor;
	const struct ocp_am *am = f->told ? ocp_xaction_am(x, OCP_ADAPTED) : NULL;
	enum ocp_fault fault = flow_fault(x, m->payload_size);

	if (fault)
		return fault;
	if (m->offset != (am ? am->offset : 0))
		return OCP_FAULT_OFFSET;
	if (f->profile && !ocp_profile_part_ok(f->profile, true, f->am_part, m->am_part))
		return OCP_FAULT_PART;
	return OCP_FAULT_NONE;
}

static void on_dum(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	enum ocp_fault fault = dum_fault(x, m);
	enum ocp_part part = x->processor.profile ? m->am_part : OCP_PART_NONE;
	struct ocp_am *am;

	if (fault) {
		ocp_core_violation(a, x, fault);
		return;
	}
	/* A hint that is wrong is ignored, not punished [11.9]. */
	if (ocp_msg_has(m, OCP_P_AS_IS) && m->as_is_offset + m->payload_size > x->offset)
		ocp_agent_fault(a, x, OCP_FAULT_AS_IS_OFFSET);
	am = told(a, &x, part);
	if (!am)
		return;
	x->processor.am_part = part;
	ocp_processor_am_data(a, am, m, part);
}

/* The part of the original that octet `at` belongs to, and where that part ends. */
static enum ocp_part part_at(const struct ocp_processor_flow *f, uint64_t at, uint64_t *end)
{
	enum ocp_part body;

	*end = OCP_NOWHERE;
	if (!f->profile)
		return OCP_PART_NONE;
	body = ocp_profile_body(f->profile->feature);
	if (at >= f->trailer_at)
		return body + 1;
	*end = f->trailer_at;
	if (at >= f->body_at)
		return body;
	if (f->body_at < *end)
		*end = f->body_at;
	return body - 1;
}

/* Every part that the range touches comes in order. */
static bool reuse_in_order(const struct ocp_xaction *x, uint64_t from, uint64_t to)
{
	const struct ocp_processor_flow *f = &x->processor;
	enum ocp_part last = f->am_part, part;
	uint64_t end;

	for (; f->profile && from < to; from = end, last = part) {
		part = part_at(f, from, &end);
		if (!ocp_profile_part_ok(f->profile, true, last, part))
			return false;
	}
	return true;
}

static void on_duy(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	uint64_t at = m->copy_am_offset, to = at + m->size, end;
	enum ocp_fault fault = flow_fault(x, m->size);
	uint32_t xid = x->xid;
	struct ocp_am *am;

	if (!fault && !ocp_processor_may_reuse(x, at, m->size))
		fault = OCP_FAULT_AS_IS;
	if (!fault && !reuse_in_order(x, at, to))
		fault = OCP_FAULT_PART;
	if (fault) {
		ocp_core_violation(a, x, fault);
		return;
	}
	for (; at < to; at = end) { /* the owner gets each part by itself */
		enum ocp_part part = part_at(&x->processor, at, &end);

		end = end < to ? end : to;
		am = told(a, &x, part);
		if (!am)
			return;
		x->processor.am_part = part;
		ocp_processor_am_reuse(a, x, am, at, end - at, part);
		x = ocp_agent_find(a, xid);
		if (!x)
			return;
	}
}

/* --- AME --- */

/* The adapted message has ended: what waited since DSS may go on. */
static void after_adapted(struct ocp_agent *a, uint32_t xid)
{
	struct ocp_xaction *x = ocp_agent_find(a, xid);
	struct ocp_processor_flow *f;
	bool waited;

	if (!x)
		return;
	f = &x->processor;
	waited = f->dss && x->paused;
	f->dss = false;
	x->paused = f->held_by_pause && !x->am_ended;
	if (x->am_ended)
		both_over(a, xid);
	else if (waited && !x->paused)
		ocp_processor_needed(a, x, true, f->acked, 0);
}

/* Before AMS it can only mean that the server does not want the original [11.7]. */
static void on_ame_early(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_REFUSED, .result = m->result};

	if (!ocp_msg_failed(m) || m->result.code == OCP_RESULT_PARTIAL) {
		ocp_core_violation(a, x, OCP_FAULT_AM_ORDER);
		return;
	}
	ocp_processor_core_te(a, x, false, NULL);
	ocp_agent_finish(a, x, &e);
}

static void on_ame(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	struct ocp_am_ending e = {.am_id = OCP_ADAPTED, .ok = !ocp_msg_failed(m), .result = m->result};
	bool partial = m->result.code == OCP_RESULT_PARTIAL;
	uint32_t xid = x->xid;
	struct ocp_am *am;

	if (!f->begun) {
		on_ame_early(a, x, m);
		return;
	}
	if (f->done || (partial && !f->dss)) { /* a second one; or early without leave [11.13] */
		ocp_core_violation(a, x, f->done ? OCP_FAULT_AM_ORDER : OCP_FAULT_STOP);
		return;
	}
	am = told(a, &x, OCP_PART_NONE);
	if (!am)
		return;
	x->processor.done = true;
	if (partial)
		ocp_processor_left(a, x, am, x->processor.dss_at, &e);
	else
		ocp_processor_am_complete(a, x, am, &e);
	after_adapted(a, xid);
}

/* --- the original --- */

static void on_dwp(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	bool paused = x->paused;

	if (x->am_ended)
		return;
	x->processor.pause_at = m->offset;
	if (ocp_processor_core_marks(a, x) || paused || !x->paused)
		return;
	ocp_processor_paused(a, x);
}

static void on_dwm(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	bool resumed = f->held_by_pause;

	if (x->am_ended)
		return;
	/* It may have crossed our way to the place that a DWP named. Pausing there after all would leave both waiting. */
	f->pause_at = OCP_NOWHERE;
	f->held_by_pause = false;
	x->paused = f->dss;
	if (!f->dss)
		ocp_processor_needed(a, x, resumed, f->acked, m->size_request);
}

static void on_dwsr(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	if (x->am_ended)
		return;
	/* DSS goes out as soon as DWSS comes, so AME 206 cannot come before it [8.3]. */
	x->processor.stop_at = m->size;
	if (ocp_processor_core_marks(a, x))
		stopped(a, x);
}

/*
 * [11.13, 11.14]. Nothing is sent after DSS until the adapted message has ended, so the rest that the owner has to supply
 * itself is what it has not given us yet. Without DSS the server goes on as usual: that is what happens when it has ended
 * the original early before, because then nobody knows which rest belongs to its last octets [8.3].
 */
static void on_dwss(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	bool paused = x->paused;

	if (f->done || f->dss || f->stopped || f->failed)
		return;
	if (ocp_core_send_xid(a, OCP_MSG_DSS, x->xid))
		return;
	f->dss = true;
	f->dss_at = x->offset;
	if (x->am_ended)
		return;
	x->paused = true;
	if (!paused)
		ocp_processor_paused(a, x);
}

/* Octets [from, to) of the original, as far as they have been sent, are given up. */
static void give_up(struct ocp_agent *a, uint32_t xid, uint64_t from, uint64_t to)
{
	struct ocp_xaction *x = ocp_agent_find(a, xid);

	if (x && to > x->offset)
		to = x->offset;
	if (x && from < to)
		ocp_processor_released(a, x, from, to - from);
}

static void on_dpi(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	uint64_t was_from = f->reuse_from, was_to = f->reuse_to, from = m->offset, to = from + m->size;
	uint32_t xid = x->xid;

	if (to > OCP_CORE_MAX)
		to = OCP_CORE_MAX;
	if (from >= to) /* nothing any more, wherever that is */
		from = to = was_from;
	if (from < was_from || to > was_to) { /* what was disposable stays so */
		ocp_core_violation(a, x, OCP_FAULT_INTEREST);
		return;
	}
	ocp_processor_core_interest(a, x, from, to);
	give_up(a, xid, was_from, from);
	give_up(a, xid, to, was_to);
}

/* --- the adapted message's flow --- */

static void on_dpm(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = ocp_processor_of(a);

	if (x->processor.done)
		return;
	if (!x->processor.wants_pause) {
		/* Nobody asked, or not any more: it waits for DWM, and would for ever [2.7]. */
		ocp_core_send_xid(a, OCP_MSG_DWM, x->xid);
		return;
	}
	x->processor.silent = true;
	if (p->ops.am_paused)
		p->ops.am_paused(a->ctx, x->user);
}

/* --- dispatch --- */

static void on_xaction_message(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	static void (*const handlers[OCP_MSG_MAX])(struct ocp_agent *, struct ocp_xaction *, const struct ocp_msg *) = {
		[OCP_MSG_TE] = on_te,	    [OCP_MSG_AMS] = on_ams,   [OCP_MSG_AME] = on_ame,
		[OCP_MSG_DUM] = on_dum,	    [OCP_MSG_DUY] = on_duy,   [OCP_MSG_DPI] = on_dpi,
		[OCP_MSG_DWSR] = on_dwsr,   [OCP_MSG_DWSS] = on_dwss, [OCP_MSG_DWP] = on_dwp,
		[OCP_MSG_DPM] = on_dpm,	    [OCP_MSG_DWM] = on_dwm,
	};

	if (handlers[m->type])
		handlers[m->type](a, x, m);
}

static void on_message(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction *x;

	if (m->type == OCP_MSG_TS || m->type == OCP_MSG_DSS) { /* the processor's own; unexpected, so ignored [11] */
		ocp_agent_fault(a, NULL, OCP_FAULT_DIRECTION);
		return;
	}
	x = ocp_core_find(a, m);
	if (!x)
		return;
	ocp_agent_touch(a, x);
	on_xaction_message(a, x, m);
}

/* --- what the shared part asks for --- */

static void on_resume(struct ocp_agent *a)
{
	struct ocp_processor *p = ocp_processor_of(a);
	struct ocp_link *l;

	while (!a->over && !a->core->phase && (l = p->stalled.next) != &p->stalled) {
		struct ocp_xaction *x = ocp_processor_linked(l);

		ocp_link_remove(l);
		if (!x->paused && !x->am_ended)
			ocp_processor_needed(a, x, true, x->processor.acked, 0);
	}
}

static void on_progress(struct ocp_agent *a, struct ocp_xaction *x, bool has_org_data, uint32_t org_data)
{
	uint64_t was = x->processor.acked;

	if (!has_org_data || org_data <= was)
		return;
	x->processor.acked = org_data;
	ocp_processor_acked(a, x, was, org_data - was);
}

static bool original_open(const struct ocp_xaction *x)
{
	return x->am_open && !x->am_ended;
}

static bool introduced(const struct ocp_agent *a, uint32_t xid)
{
	return xid && xid < ((const struct ocp_processor *)a)->next_xid;
}

static bool supports(struct ocp_agent *a, const struct ocp_uri *u)
{
	enum ocp_feature f = ocp_feature_find(u->uri);

	if (f == OCP_FEATURE_HTTP_REQUEST || f == OCP_FEATURE_HTTP_RESPONSE)
		return true;
	return f < OCP_FEATURE_MAX && (a->features_used & OCP_HAS(f));
}

const struct ocp_core_role ocp_processor_core_role = {
	.choose = ocp_processor_choose,
	.chosen = ocp_processor_chosen,
	.answered = ocp_processor_answered,
	.resume = on_resume,
	.message = on_message,
	.progress = on_progress,
	.violation = on_violation,
	.give_up = no_progress,
	.original_open = original_open,
	.introduced = introduced,
	.supports = supports,
};
