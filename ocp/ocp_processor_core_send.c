/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent, core dialect: what is sent. */
#include <errno.h>
#include "ocp/ocp_processor_private.h"

/* --- messages --- */

int ocp_core_send_xid(struct ocp_agent *a, enum ocp_msg_type type, uint32_t xid)
{
	struct ocp_msg m = {.type = type, .has = OCP_HAS(OCP_P_XID), .xid = xid};

	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

int ocp_processor_core_ame(struct ocp_agent *a, struct ocp_xaction *x, int32_t code)
{
	struct ocp_msg m = {.type = OCP_MSG_AME, .has = OCP_HAS(OCP_P_XID), .xid = x->xid};

	if (code != OCP_RESULT_OK) { /* which is what its absence means [10.10] */
		m.has |= OCP_HAS(OCP_P_RESULT);
		m.result.code = code;
	}
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

int ocp_processor_core_te(struct ocp_agent *a, struct ocp_xaction *x, bool error, const struct ocp_result *r)
{
	int rc;

	if (x->te_sent)
		return 0;
	rc = ocp_agent_send_xaction_end(a, x->xid, error, r);
	if (!rc)
		x->te_sent = true;
	return rc;
}

/* From within its own call the owner cannot hear of an end: that comes next time. */
static void tell_later(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_link *l = &x->processor.stalled;

	ocp_link_remove(l);
	ocp_link_append(&ocp_processor_of(a)->unheard, l);
}

/* Our TE when both messages are over. */
static void done_if_both(struct ocp_agent *a, struct ocp_xaction *x)
{
	if (x->processor.done && !ocp_processor_core_te(a, x, false, NULL))
		tell_later(a, x);
}

/* --- where the peer wants a pause or the end --- */

bool ocp_processor_core_marks(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_processor_flow *f = &x->processor;

	if (x->am_ended)
		return true;
	if (x->offset >= f->stop_at) {
		if (ocp_processor_core_ame(a, x, OCP_RESULT_PARTIAL))
			return false;
		f->stopped = f->tell_stop = x->am_ended = true;
		x->paused = false;
		tell_later(a, x);
		done_if_both(a, x);
		return true;
	}
	if (x->offset >= f->pause_at) {
		f->pause_at = OCP_NOWHERE;
		f->held_by_pause = x->paused = true;
		ocp_core_send_xid(a, OCP_MSG_DPM, x->xid);
	}
	return false;
}

void ocp_processor_core_interest(struct ocp_agent *a, struct ocp_xaction *x, uint64_t from, uint64_t to)
{
	struct ocp_processor_flow *f = &x->processor;

	if (from > f->reuse_from)
		ocp_ranges_remove(&x->kept, 0, from, 1);
	if (to < f->reuse_to)
		ocp_ranges_remove(&x->kept, to, OCP_NOWHERE, 1);
	f->reuse_from = from;
	f->reuse_to = to;
}

/* --- parts of the original (RFC 4236) --- */

static bool auxiliary(const struct ocp_profile *p, enum ocp_part part)
{
	return ocp_profile_aux(p->feature) & OCP_HAS(part);
}

/* The body of x begins here: what the server said about every body of this profile becomes offsets (3.2.4 - 3.2.6). */
static void body_begins(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_processor_flow *f = &x->processor;
	const struct ocp_profile *p = f->profile;
	uint64_t at = x->offset;

	f->body_at = at;
	if (p->pause_at_body >= 0)
		f->pause_at = f->pause_at < at + (uint64_t)p->pause_at_body ? f->pause_at
									    : at + (uint64_t)p->pause_at_body;
	if (p->stop_receiving_body >= 0 && at + (uint64_t)p->stop_receiving_body < f->stop_at)
		f->stop_at = at + (uint64_t)p->stop_receiving_body;
	/* As DPI would say it. The header before the body stays of interest: example of 3.2.6. */
	if (p->preservation_interest_body >= 0 && at + (uint64_t)p->preservation_interest_body < f->reuse_to)
		ocp_processor_core_interest(a, x, f->reuse_from, at + (uint64_t)p->preservation_interest_body);
}

static void part_begins(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_part part)
{
	struct ocp_processor_flow *f = &x->processor;
	enum ocp_part body = ocp_profile_body(f->profile->feature);

	if (auxiliary(f->profile, part))
		return;
	if (f->main_at == OCP_NOWHERE)
		f->main_at = x->offset;
	if (part == body && f->body_at == OCP_NOWHERE)
		body_begins(a, x);
	else if (part > body && f->trailer_at == OCP_NOWHERE)
		f->trailer_at = x->offset;
}

/* --- data --- */

/* Kept: of the next n octets as much as makes the range longer without a gap and is of interest to the server. */
static bool keep(struct ocp_xaction *x, size_t n, struct ocp_msg *m)
{
	struct ocp_processor_flow *f = &x->processor;
	uint64_t from = x->offset, to = x->offset + n;

	if (f->profile && f->main_at == OCP_NOWHERE) /* an auxiliary part cannot be adapted, so not be reused */
		return false;
	from = from < f->reuse_from ? f->reuse_from : from;
	to = to < f->reuse_to ? to : f->reuse_to;
	if (from >= to || (x->kept.n && x->kept.r[0].to != from) || ocp_ranges_append(&x->kept, from, to, 1))
		return false;
	m->has |= OCP_HAS(OCP_P_KEPT);
	m->kept_offset = (uint32_t)x->kept.r[0].from;
	m->kept_size = (uint32_t)(to - x->kept.r[0].from);
	return true;
}

static int send_dum(struct ocp_agent *a, struct ocp_xaction *x, const void *data, size_t len, void *cookie,
		    const struct ocp_send *send)
{
	struct ocp_processor_flow *f = &x->processor;
	struct ocp_msg m = {.type = OCP_MSG_DUM, .xid = x->xid};
	int32_t modp = send && send->modp >= 0 ? send->modp : f->modp;
	bool copied = send && send->copied;
	const uint8_t *p = data;

	do {
		size_t n = len < a->limits.payload ? len : a->limits.payload;
		uint64_t kept_to = x->kept.n ? x->kept.r[0].to : 0;
		bool kept;
		int rc;

		m.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_OFFSET);
		m.offset = x->offset;
		if (f->profile) {
			m.has |= OCP_HAS(OCP_P_AM_PART);
			m.am_part = send->part;
		}
		if (modp >= 0) {
			m.has |= OCP_HAS(OCP_P_MODP);
			m.modp = (uint32_t)modp;
		}
		kept = copied && n && keep(x, n, &m);
		rc = ocp_agent_send(a, &m, p, n, cookie);
		if (rc) {
			if (kept)
				ocp_ranges_remove(&x->kept, kept_to, OCP_NOWHERE, 1);
			return rc;
		}
		f->modp = modp = -1;
		x->offset += n;
		p = p && n ? p + n : p;
		len -= n;
	} while (len);
	return 0;
}

static int data_(struct ocp_processor *p, struct ocp_xaction *x, const void *data, size_t len, void *cookie,
		 const struct ocp_send *send)
{
	struct ocp_agent *a = &p->a;
	struct ocp_processor_flow *f = &x->processor;
	enum ocp_part part = send ? send->part : OCP_PART_NONE;
	int rc;

	if (f->profile && !ocp_profile_part_ok(f->profile, false, f->part, part))
		return -EINVAL;
	if (len > OCP_CORE_MAX - x->offset)
		return -EOVERFLOW;
	if (a->core->phase) {
		ocp_link_remove(&f->stalled);
		ocp_link_append(&p->stalled, &f->stalled);
		return -EAGAIN;
	}
	if (f->profile)
		part_begins(a, x, part);
	if (!x->paused && ocp_processor_core_marks(a, x))
		return -EPIPE;
	if (x->paused)
		return -EAGAIN;
	f->part = part;
	rc = send_dum(a, x, data, len, cookie, send);
	if (!rc)
		ocp_processor_core_marks(a, x);
	return rc;
}

static uint64_t room(const struct ocp_processor *p, const struct ocp_xaction *x, enum ocp_part part)
{
	const struct ocp_processor_flow *f = &x->processor;
	uint64_t pause = f->pause_at, stop = f->stop_at, at;

	if (p->a.core->phase)
		return 0;
	if (f->profile && part == ocp_profile_body(f->profile->feature) && f->body_at == OCP_NOWHERE) {
		if (f->profile->pause_at_body >= 0)
			pause = x->offset + (uint64_t)f->profile->pause_at_body;
		if (f->profile->stop_receiving_body >= 0 && x->offset + (uint64_t)f->profile->stop_receiving_body < stop)
			stop = x->offset + (uint64_t)f->profile->stop_receiving_body;
	}
	at = pause < stop ? pause : stop;
	if (at == OCP_NOWHERE)
		return UINT64_MAX;
	return at > x->offset ? at - x->offset : 0;
}

static int data_end(struct ocp_processor *p, struct ocp_xaction *x, bool ok)
{
	int rc = ocp_processor_core_ame(&p->a, x, ok ? OCP_RESULT_OK : OCP_RESULT_FAILURE);

	if (rc)
		return rc;
	x->processor.failed = !ok;
	done_if_both(&p->a, x);
	return 0;
}

/* --- transactions --- */

static int may_start(struct ocp_processor *p, const struct ocp_start *st)
{
	struct ocp_service_group *s;

	if (!p->a.core->ready || p->a.core->phase)
		return -EAGAIN;
	if (st->am_el > OCP_CORE_MAX)
		return -EOVERFLOW;
	return ocp_processor_group_for(p, st, false, &s);
}

static int send_ts(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_msg m = {
		.type = OCP_MSG_TS,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_SG),
		.xid = x->xid,
		.sg = x->processor.group->id,
	};

	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

static int send_ams(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_start *st)
{
	struct ocp_msg m = {.type = OCP_MSG_AMS, .has = OCP_HAS(OCP_P_XID), .xid = x->xid};

	if (st->am_el >= 0 && x->processor.profile) {
		m.has |= OCP_HAS(OCP_P_SIZEP);
		m.sizep = (uint64_t)st->am_el;
	}
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

static int start(struct ocp_processor *p, struct ocp_xaction *x, const struct ocp_start *st)
{
	struct ocp_processor_flow *f = &x->processor;
	struct ocp_service_group *s;
	int rc = ocp_processor_group_for(p, st, true, &s);

	if (rc)
		return rc;
	f->group = s->group;
	ocp_core_group_get(f->group);
	f->profile = ocp_core_profile(&p->a, f->group);
	f->main_at = f->body_at = f->trailer_at = OCP_NOWHERE;
	f->pause_at = f->stop_at = OCP_NOWHERE;
	f->reuse_to = OCP_CORE_MAX;
	f->modp = st->modp;
	f->am_el = -1;
	rc = send_ts(&p->a, x);
	if (rc)
		return rc;
	rc = send_ams(&p->a, x, st);
	if (rc) { /* the xid is used up, nobody works on it */
		ocp_processor_core_te(&p->a, x, true, NULL);
		p->next_xid++;
	}
	return rc;
}

static int xaction_end(struct ocp_processor *p, struct ocp_xaction *x, bool error, const struct ocp_result *result)
{
	if (!error && !x->am_ended && !x->te_sent) { /* ends are said, not implied [11.8] */
		int rc = ocp_processor_core_ame(&p->a, x, OCP_RESULT_PARTIAL);

		if (rc)
			return rc;
	}
	return ocp_processor_core_te(&p->a, x, error, result);
}

/* AME of ours is about the original; the adapted message ends with the transaction, which is the owner's to do. */
static int am_abort(struct ocp_processor *p, struct ocp_xaction *x, struct ocp_am *am)
{
	return -ENOTSUP;
}

/* --- the adapted message's flow [11.15 - 11.17] --- */

static int am_pause(struct ocp_processor *p, struct ocp_xaction *x, uint64_t offset)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DWP,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_OFFSET),
		.xid = x->xid,
		.offset = offset < OCP_CORE_MAX ? offset : OCP_CORE_MAX,
	};
	int rc = x->processor.done || x->te_sent ? -EPIPE : ocp_agent_send(&p->a, &m, NULL, 0, NULL);

	if (!rc)
		x->processor.wants_pause = true;
	return rc;
}

static int am_need(struct ocp_processor *p, struct ocp_xaction *x, uint32_t request)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DWM,
		.has = OCP_HAS(OCP_P_XID),
		.xid = x->xid,
		.size_request = request,
	};
	int rc;

	if (request)
		m.has |= OCP_HAS(OCP_P_SIZE_REQUEST);
	rc = x->processor.done || x->te_sent ? -EPIPE : ocp_agent_send(&p->a, &m, NULL, 0, NULL);
	if (!rc)
		x->processor.wants_pause = x->processor.silent = false;
	return rc;
}

static int working(struct ocp_processor *p, struct ocp_xaction *x)
{
	return x->te_sent ? -EPIPE : ocp_core_report(&p->a, x);
}

/* --- connection --- */

static int connect_(struct ocp_processor *p, struct ocp_str client, int32_t priority)
{
	int rc = ocp_core_start(&p->a, p->a.now);

	if (rc)
		return rc;
	rc = ocp_processor_offers_send(p);
	if (rc && !p->a.broken) /* half a beginning cannot be repeated: CS goes out once */
		p->a.broken = true;
	return rc;
}

static int priority_(struct ocp_processor *p, int32_t priority)
{
	return -ENOTSUP;
}

static int service_(struct ocp_processor *p, const struct ocp_uri *s)
{
	int rc = ocp_agent_ready(&p->a);

	return rc ? rc : ocp_processor_service_copy(p, s);
}

static int please_use(struct ocp_processor *p, struct ocp_str uri)
{
	enum ocp_feature f = ocp_feature_find(uri);
	int rc = ocp_agent_ready(&p->a);

	if (rc)
		return rc;
	if (f == OCP_FEATURE_ACK_ALL)
		return -ENOTSUP;
	if (f < OCP_FEATURE_MAX && (p->a.features_used & OCP_HAS(f)))
		return 0;
	if (f == OCP_FEATURE_HTTP_REQUEST || f == OCP_FEATURE_HTTP_RESPONSE) /* config.offers is the way */
		return -EINVAL;
	return ocp_processor_offer_uri(p, uri);
}

static int do_you_support(struct ocp_processor *p, struct ocp_str uri)
{
	return ocp_core_ask(&p->a, uri);
}

const struct ocp_processor_wire ocp_processor_core_wire = {
	.connect = connect_,
	.priority = priority_,
	.service = service_,
	.please_use = please_use,
	.do_you_support = do_you_support,
	.may_start = may_start,
	.start = start,
	.data = data_,
	.data_end = data_end,
	.am_abort = am_abort,
	.xaction_end = xaction_end,
	.am_pause = am_pause,
	.am_need = am_need,
	.working = working,
	.room = room,
};
