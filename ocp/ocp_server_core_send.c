/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent, core dialect (RFC 4037, RFC 4236): what is sent. Numbers in brackets are
 * sections of RFC 4037 unless said otherwise.
 */
#include <errno.h>
#include "ocp/ocp_server_private.h"

static int send_xid(struct ocp_server *s, struct ocp_msg *m, const struct ocp_xaction *x)
{
	m->has |= OCP_HAS(OCP_P_XID);
	m->xid = x->xid;
	return ocp_agent_send(&s->a, m, NULL, 0, NULL);
}

static int send_type(struct ocp_server *s, enum ocp_msg_type type, const struct ocp_xaction *x)
{
	struct ocp_msg m = {.type = type};

	return send_xid(s, &m, x);
}

/* AME and TE. No result means 200 [10.10]; 206 belongs to AME alone. */
static int send_end(struct ocp_server *s, enum ocp_msg_type type, const struct ocp_xaction *x, bool error,
		    const struct ocp_result *r)
{
	struct ocp_msg m = {.type = type};
	int32_t code = r ? r->code : 0;

	if (error || (code && code != OCP_RESULT_OK && (code != OCP_RESULT_PARTIAL || type != OCP_MSG_AME)))
		code = OCP_RESULT_FAILURE;
	if (code && code != OCP_RESULT_OK) {
		m.has = OCP_HAS(OCP_P_RESULT);
		m.result.code = code;
		if (r)
			m.result.reason = r->reason;
	}
	return send_xid(s, &m, x);
}

static int working(struct ocp_server *s, struct ocp_xaction *x)
{
	return ocp_core_report(&s->a, x);
}

static int am_start(struct ocp_server *s, struct ocp_xaction *x, struct ocp_str meta,
		    const struct ocp_send *send, uint32_t *am_id)
{
	struct ocp_server_flow *f = &x->server;
	struct ocp_msg m = {.type = OCP_MSG_AMS};
	struct ocp_am *am;
	int rc;

	if (f->begun || f->done) /* one adapted message [2.4] */
		return -EBUSY;
	if (f->profile && send->am_el >= 0 && send->am_el <= OCP_CORE_MAX) {
		m.has |= OCP_HAS(OCP_P_SIZEP);
		m.sizep = (uint64_t)send->am_el;
	}
	if (send->services.count) {
		m.has |= OCP_HAS(OCP_P_SERVICES);
		m.services = send->services;
	}
	am = ocp_xaction_am_add(&s->a, x, 2);
	if (!am)
		return -ENOMEM;
	rc = send_xid(s, &m, x);
	if (rc) {
		ocp_xaction_am_drop(&s->a, x, am);
		return rc;
	}
	f->begun = true;
	f->modp = send->modp;
	*am_id = am->id;
	return 0;
}

/* --- adapted data --- */

/* 0: data of this part may follow. */
static int may_send(const struct ocp_xaction *x, const struct ocp_am *am, enum ocp_part part, uint64_t len)
{
	const struct ocp_server_flow *f = &x->server;

	if (f->paused)
		return -EAGAIN;
	if (f->profile && !ocp_profile_part_ok(f->profile, true, f->adapted_part, part))
		return -EINVAL;
	return len > OCP_CORE_MAX - am->offset ? -EFBIG : 0; /* [10.3] */
}

/* Modp of data to come, -1: none, or said already [11.9]. Data that has been changed makes 100 certain and 0 wrong. */
static int32_t modp_of(const struct ocp_server_flow *f, const struct ocp_send *send)
{
	int32_t modp = send->modp >= 0 ? send->modp : f->modp;

	if (send->modified && (modp < 0 || modp == 0))
		modp = 100;
	return modp == f->modp_sent ? -1 : modp;
}

static void prepare_dum(struct ocp_msg *m, const struct ocp_xaction *x, enum ocp_part part, int32_t modp)
{
	*m = (struct ocp_msg){
		.type = OCP_MSG_DUM,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_OFFSET),
		.xid = x->xid,
	};
	if (x->server.profile) {
		m->has |= OCP_HAS(OCP_P_AM_PART);
		m->am_part = part;
	}
	if (modp >= 0) {
		m->has |= OCP_HAS(OCP_P_MODP);
		m->modp = (uint32_t)modp;
	}
}

/* The octets are the original's from `from` on, all of them received [11.9]. */
static bool is_as_is(const struct ocp_xaction *x, int64_t from, size_t len)
{
	return from >= 0 && len && (uint64_t)from <= x->offset && len <= x->offset - (uint64_t)from;
}

static int data_use_mine(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, const void *data,
			 size_t len, void *cookie, const struct ocp_send *send)
{
	struct ocp_server_flow *f = &x->server;
	int32_t modp = modp_of(f, send);
	const uint8_t *p = data;
	struct ocp_msg m;
	int rc = may_send(x, am, send->part, len);

	if (rc)
		return rc;
	prepare_dum(&m, x, send->part, modp);
	if (is_as_is(x, send->as_is, len)) {
		m.has |= OCP_HAS(OCP_P_AS_IS);
		m.as_is_offset = (uint32_t)send->as_is;
	}
	do {
		size_t n = len < s->a.limits.payload ? len : s->a.limits.payload;

		m.offset = am->offset;
		rc = ocp_agent_send(&s->a, &m, p, n, cookie);
		if (rc)
			return rc;
		if (modp >= 0)
			f->modp = f->modp_sent = modp;
		m.has &= ~OCP_HAS(OCP_P_MODP);
		m.as_is_offset += (uint32_t)n;
		p = p && n ? p + n : p;
		len -= n;
		am->offset += n;
	} while (len);
	f->adapted_part = send->part;
	ocp_server_core_pause_check(s, x);
	return 0;
}

static bool committed(const struct ocp_xaction *x, uint64_t from, uint64_t size)
{
	const struct ocp_server_flow *f = &x->server;
	uint64_t to = from + size;

	return x->am_open && !f->kept_bad && from >= f->main_from && from >= f->kept_from && to <= f->kept_to &&
	       from >= f->interest_from && to <= f->interest_to && ocp_ranges_cover(&x->kept, from, to);
}

/* Modp travels with DUM only: without one to come soon, an empty one says it [11.9]. */
static int tell_modp(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, enum ocp_part part)
{
	struct ocp_server_flow *f = &x->server;
	struct ocp_msg m;
	int rc;

	if (f->modp < 0 || f->modp == f->modp_sent || (f->profile && !part))
		return 0;
	prepare_dum(&m, x, part, f->modp);
	m.offset = am->offset;
	rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
	if (!rc)
		f->modp_sent = f->modp;
	return rc;
}

static int as_is(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, uint64_t from, uint64_t size,
		 enum ocp_part part)
{
	struct ocp_server_flow *f = &x->server;
	struct ocp_msg m = {
		.type = OCP_MSG_DUY,
		.has = OCP_HAS(OCP_P_COPY_AM_OFFSET) | OCP_HAS(OCP_P_SIZE),
		.copy_am_offset = from,
		.size = size,
	};
	int rc = may_send(x, am, part, size);

	if (!rc && size)
		rc = tell_modp(s, x, am, part);
	if (rc || !size)
		return rc;
	rc = send_xid(s, &m, x);
	if (rc)
		return rc;
	am->offset += size;
	f->adapted_part = part;
	f->reused = true;
	ocp_server_core_pause_check(s, x);
	return 0;
}

void ocp_server_core_pause_check(struct ocp_server *s, struct ocp_xaction *x)
{
	struct ocp_server_flow *f = &x->server;
	uint64_t offset = x->ams ? x->ams->offset : 0;

	if (f->paused || (!f->done && offset < f->pause_at))
		return;
	f->paused = true;
	f->pause_at = UINT64_MAX;
	send_type(s, OCP_MSG_DPM, x); /* immediately [11.15] */
}

/* --- ends --- */

static int data_end(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am)
{
	int rc = send_end(s, OCP_MSG_AME, x, false, NULL);

	if (!rc)
		x->server.done = true;
	return rc;
}

static int am_end(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, bool error,
		  const struct ocp_result *result)
{
	int rc;

	if (am->ended) /* AME has gone out already */
		return error ? -EPIPE : 0;
	if (result && result->code == OCP_RESULT_PARTIAL) /* not without the processor's leave [11.13] */
		error = true;
	rc = send_end(s, OCP_MSG_AME, x, error, result);
	if (!rc)
		x->server.done = true;
	return rc;
}

int ocp_server_core_end(struct ocp_server *s, struct ocp_xaction *x, bool error, const struct ocp_result *result)
{
	int rc = 0;

	if (x->server.begun && !x->server.done) { /* AME is never implied [11.8] */
		rc = send_end(s, OCP_MSG_AME, x, error, result);
		x->server.done = true;
	}
	return rc ? rc : send_end(s, OCP_MSG_TE, x, error, result);
}

static int xaction_end(struct ocp_server *s, struct ocp_xaction *x, bool error, const struct ocp_result *result)
{
	return ocp_server_core_end(s, x, error, result);
}

/* --- the original --- */

static int pause_(struct ocp_server *s, struct ocp_xaction *x)
{
	struct ocp_msg m = {.type = OCP_MSG_DWP, .has = OCP_HAS(OCP_P_OFFSET), .offset = x->offset};

	return x->am_ended ? -ENOENT : send_xid(s, &m, x);
}

static int need(struct ocp_server *s, struct ocp_xaction *x, uint32_t request)
{
	struct ocp_msg m = {.type = OCP_MSG_DWM, .size_request = request};

	if (request)
		m.has = OCP_HAS(OCP_P_SIZE_REQUEST);
	return x->am_ended ? -ENOENT : send_xid(s, &m, x);
}

/* First octet not below `from` that the owner has not given up. */
static uint64_t not_released(const struct ocp_xaction *x, uint64_t from)
{
	for (uint32_t i = 0; i < x->kept.n; i++) {
		if (x->kept.r[i].to > from)
			return x->kept.r[i].from > from ? x->kept.r[i].from : from;
	}
	return OCP_CORE_MAX;
}

int ocp_server_core_interest(struct ocp_server *s, struct ocp_xaction *x)
{
	struct ocp_server_flow *f = &x->server;
	struct ocp_msg m = {.type = OCP_MSG_DPI, .has = OCP_HAS(OCP_P_OFFSET) | OCP_HAS(OCP_P_SIZE)};
	uint64_t from = f->interest_from, to = f->interest_to;
	uint64_t last = x->kept.n ? x->kept.r[x->kept.n - 1].to : 0;
	int rc;

	/* Where the interest that the profile tells ends is known when the body begins: it must not grow from there. */
	if (f->profile && f->profile->preservation_interest_body >= 0 && !f->body && !x->am_ended)
		return 0;

	if (f->kept_from < f->kept_to && f->kept_from > from) /* what is not kept is nothing to be interested in */
		from = f->kept_from < x->offset ? f->kept_from : x->offset;
	from = not_released(x, from);
	if (last < to)
		to = last;
	if (from >= to)
		from = to = f->interest_from;
	if (f->done || (from == f->interest_from && to == f->interest_to))
		return 0;
	m.offset = from;
	m.size = to - from;
	rc = send_xid(s, &m, x);
	if (!rc) {
		f->interest_from = from;
		f->interest_to = to;
	}
	return rc;
}

static int ack(struct ocp_server *s, struct ocp_xaction *x, uint64_t offset, uint64_t size, bool wont_forward)
{
	int rc;

	if (!wont_forward)
		return ocp_core_report(&s->a, x);
	rc = ocp_ranges_remove(&x->kept, offset, offset + size, s->a.ranges_max);
	if (rc) /* one hole too many: these octets stay of interest */
		return rc == -ENOSPC ? 0 : rc;
	return ocp_server_core_interest(s, x);
}

static int stop_receiving(struct ocp_server *s, struct ocp_xaction *x, uint64_t size)
{
	struct ocp_msg m = {.type = OCP_MSG_DWSR, .has = OCP_HAS(OCP_P_SIZE), .size = size};
	int rc;

	if (size > OCP_CORE_MAX || x->am_ended)
		return x->am_ended ? -ENOENT : -EINVAL;
	rc = send_xid(s, &m, x);
	if (!rc)
		x->server.stop_receiving = true;
	return rc;
}

/* --- out of the loop [8.3] --- */

int ocp_server_core_leave(struct ocp_server *s, struct ocp_xaction *x)
{
	const struct ocp_result partial = {.code = OCP_RESULT_PARTIAL};
	int rc = send_end(s, OCP_MSG_AME, x, false, &partial);

	x->server.done = true;
	return rc ? rc : send_end(s, OCP_MSG_TE, x, false, NULL);
}

static int leave_loop(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am)
{
	struct ocp_server_flow *f = &x->server;
	int rc;

	if (f->may_stop) {
		rc = ocp_server_core_leave(s, x);
		ocp_server_let_go(s, x);
		return rc;
	}
	if (f->stop_sending)
		return -EALREADY;
	/* An original that may end first can no longer be left: only we know what belongs after it. */
	if (x->am_ended || f->stop_receiving || (f->profile && f->profile->stop_receiving_body >= 0))
		return -EPERM;
	rc = send_type(s, OCP_MSG_DWSS, x);
	if (rc)
		return rc;
	f->stop_sending = true;
	rc = stop_receiving(s, x, x->offset);
	return rc ? rc : 1;
}

/* --- --- */

static void slice(struct ocp_server *s, struct ocp_xaction *x, struct ocp_data *d)
{
	d->copied = d->len && committed(x, d->offset, d->len);
	if (d->last && s->ack_all) /* core's way to acknowledge: progress [11.24] */
		ocp_core_report(&s->a, x);
}

static void ended(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_xaction_ending *e)
{
	if (x->server.group)
		ocp_core_group_put(a, x->server.group);
	x->server.group = NULL;
}

const struct ocp_server_wire ocp_server_core_wire = {
	.working = working,
	.am_start = am_start,
	.data = data_use_mine,
	.committed = committed,
	.as_is = as_is,
	.data_end = data_end,
	.am_end = am_end,
	.pause = pause_,
	.need = need,
	.ack = ack,
	.leave_loop = leave_loop,
	.stop_receiving = stop_receiving,
	.xaction_end = xaction_end,
	.slice = slice,
	.ended = ended,
};
