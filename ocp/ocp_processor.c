/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processor agent: calls of its owner. What arrives is in ocp_processor_input.c.
 */
#include <errno.h>
#include <stdlib.h>
#include "ocp/ocp_processor_private.h"

int ocp_processor_create(struct ocp_processor **out, const struct ocp_processor_config *cfg,
			 const struct ocp_processor_ops *ops, void *ctx)
{
	const struct ocp_processor_config defaults = OCP_PROCESSOR_CONFIG_DEFAULT;
	struct ocp_processor *p;
	int rc;

	if (!cfg)
		cfg = &defaults;
	if (cfg->dialect != OCP_DIALECT_DRAFT)
		return -ENOTSUP;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->ops = *ops;
	p->deadline_grace = cfg->deadline_grace;
	p->next_xid = 1;
	p->a.role = &ocp_processor_role;
	p->a.limits = cfg->limits;
	p->a.xactions_max = cfg->xactions_max;
	p->a.ams_max = cfg->ams_max;
	p->a.ranges_max = cfg->ranges_max;
	p->a.features_known = cfg->features;
	p->a.idle_probe_us = cfg->idle_probe_us;
	p->a.probe_timeout_us = cfg->probe_timeout_us;
	p->a.deadline_us = cfg->deadline_us;
	p->a.ctx = ctx;
	p->a.output = ops->output;
	p->a.on_closed = ops->closed;
	p->a.on_feature = ops->feature;
	p->a.on_alive = ops->alive;
	p->a.on_fault = ops->fault;
	rc = ocp_agent_init(&p->a, 0);
	if (rc) {
		free(p);
		return rc;
	}
	*out = p;
	return 0;
}

void ocp_processor_destroy(struct ocp_processor *p)
{
	if (!p)
		return;
	ocp_agent_fini(&p->a);
	free(p);
}

/* --- connection --- */

int ocp_processor_connect(struct ocp_processor *p, struct ocp_str client, int32_t priority,
			  uint64_t now_us)
{
	struct ocp_msg m = {
		.type = OCP_MSG_CONNECTION_START, .client = client, .priority = priority};
	int rc;

	if (p->a.over)
		return -ENOTCONN;
	if (p->a.started)
		return -EALREADY;
	if (client.len > p->a.limits.atom)
		return -EINVAL;
	if (client.len)
		m.has |= OCP_HAS(OCP_P_CLIENT);
	if (priority)
		m.has |= OCP_HAS(OCP_P_PRIORITY);
	p->a.now = p->a.last_rx = now_us;
	p->a.started = true;
	rc = ocp_agent_send(&p->a, &m, NULL, 0, NULL);
	if (rc && !p->a.broken)
		p->a.started = false;
	return rc;
}

int ocp_processor_priority(struct ocp_processor *p, int32_t priority)
{
	struct ocp_msg m = {
		.type = OCP_MSG_CONNECTION_PRIORITY,
		.has = OCP_HAS(OCP_P_PRIORITY),
		.priority = priority,
	};

	return ocp_agent_send(&p->a, &m, NULL, 0, NULL);
}

int ocp_processor_service(struct ocp_processor *p, const struct ocp_uri *s)
{
	struct ocp_msg m = {
		.type = OCP_MSG_CONNECTION_SERVICE,
		.has = OCP_HAS(OCP_P_SERVICE),
		.service = *s,
	};
	int rc = ocp_agent_send(&p->a, &m, NULL, 0, NULL);

	if (!rc)
		p->default_service = true;
	return rc;
}

int ocp_processor_please_use(struct ocp_processor *p, struct ocp_str uri)
{
	return ocp_agent_ask_feature(&p->a, OCP_MSG_PLEASE_USE, uri);
}

int ocp_processor_do_you_support(struct ocp_processor *p, struct ocp_str uri)
{
	return ocp_agent_ask_feature(&p->a, OCP_MSG_DO_YOU_SUPPORT, uri);
}

uint32_t ocp_processor_features(const struct ocp_processor *p)
{
	return p->a.features_used;
}

int ocp_processor_input(struct ocp_processor *p, const void *buf, size_t len, void *cookie,
			uint64_t now_us)
{
	return ocp_agent_input(&p->a, buf, len, cookie, now_us);
}

void ocp_processor_eof(struct ocp_processor *p)
{
	ocp_agent_close(&p->a, OCP_END_EOF, NULL);
}

void ocp_processor_end(struct ocp_processor *p, bool error, const struct ocp_result *result)
{
	ocp_agent_end(&p->a, OCP_END_LOCAL, error, result);
}

uint64_t ocp_processor_next_deadline(const struct ocp_processor *p)
{
	return ocp_agent_next_deadline(&p->a);
}

void ocp_processor_tick(struct ocp_processor *p, uint64_t now_us)
{
	ocp_agent_tick(&p->a, now_us);
}

int ocp_processor_probe(struct ocp_processor *p, bool with_xid, uint32_t xid, bool with_am_id,
			uint32_t am_id, uint32_t *rid, uint64_t now_us)
{
	p->a.now = now_us;
	return ocp_agent_probe(&p->a, with_xid, xid, with_am_id, am_id, rid);
}

enum ocp_end ocp_processor_over(const struct ocp_processor *p)
{
	return p->a.over;
}

uint32_t ocp_processor_xactions(const struct ocp_processor *p)
{
	return p->a.xactions;
}

const struct ocp_counters *ocp_processor_counters(const struct ocp_processor *p)
{
	return &p->a.counters;
}

/* --- transactions --- */

static int send_starts(struct ocp_processor *p, const struct ocp_start *st)
{
	struct ocp_msg x = {
		.type = OCP_MSG_XACTION_START,
		.has = OCP_HAS(OCP_P_XID),
		.xid = p->next_xid,
	};
	struct ocp_msg m = {
		.type = OCP_MSG_APP_MESSAGE_START,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_META_DATA),
		.xid = p->next_xid,
		.am_id = OCP_ORIGINAL,
		.meta_data = st->meta,
	};
	int rc;

	if (st->service) {
		x.has |= OCP_HAS(OCP_P_SERVICE);
		x.service = *st->service;
	}
	if (st->sizep >= 0) {
		m.has |= OCP_HAS(OCP_P_SIZEP);
		m.sizep = (uint64_t)st->sizep;
	}
	if (st->modp >= 0) {
		m.has |= OCP_HAS(OCP_P_MODP);
		m.modp = (uint32_t)st->modp;
	}
	rc = ocp_agent_send(&p->a, &x, NULL, 0, NULL);
	if (rc)
		return rc;
	rc = ocp_agent_send(&p->a, &m, NULL, 0, NULL);
	if (rc) { /* no memory for the head: the xid is used up, nobody works on it */
		ocp_agent_send_xaction_end(&p->a, p->next_xid, true, NULL);
		p->next_xid++;
	}
	return rc;
}

int ocp_processor_xaction_start(struct ocp_processor *p, const struct ocp_start *st, void *user,
				uint32_t *xid, uint64_t now_us)
{
	struct ocp_agent *a = &p->a;
	struct ocp_xaction *x;
	int rc = ocp_agent_ready(a);

	if (rc)
		return rc;
	if ((!st->service && !p->default_service) || !st->meta.len || st->meta.len > a->limits.atom ||
	    st->modp > 100 || (st->service && st->service->uri.len > a->limits.atom))
		return -EINVAL;
	if (a->xactions >= a->xactions_max)
		return -EBUSY;
	if (p->next_xid > OCP_ID_MAX)
		return -EOVERFLOW;
	a->now = now_us;
	x = ocp_agent_add(a, p->next_xid, user);
	if (!x)
		return -ENOMEM;
	rc = send_starts(p, st);
	if (rc) {
		ocp_agent_detach(a, x);
		ocp_agent_free(a, x);
		return rc;
	}
	x->am_known = x->am_open = true;
	x->am_id = OCP_ORIGINAL;
	*xid = p->next_xid++;
	return 0;
}

int ocp_processor_data(struct ocp_processor *p, uint32_t xid, const void *data, size_t len,
		       void *cookie, const struct ocp_send *send, uint64_t now_us)
{
	struct ocp_agent *a = &p->a;
	struct ocp_xaction *x = ocp_agent_find(a, xid);
	bool copied = send && send->copied && len;
	uint64_t from;
	uint32_t flags = 0;
	int rc = ocp_agent_ready(a);

	if (rc)
		return rc;
	if (!x)
		return -ENOENT;
	if (x->am_ended || x->left)
		return -EPIPE;
	if (x->paused)
		return -EAGAIN;
	if ((send && send->modp > 100) || (!data && len > a->limits.payload))
		return -EINVAL;
	if (copied) {
		if (!ocp_ranges_may_append(&x->kept, x->offset, a->ranges_max))
			return -ENOSPC;
		flags |= OCP_HAS(OCP_P_COPIED);
	}
	if (send && send->ack)
		flags |= OCP_HAS(OCP_P_ACK);
	from = x->offset;
	if (copied) { /* before the promise goes out */
		rc = ocp_ranges_append(&x->kept, from, from + len, a->ranges_max);
		if (rc)
			return rc;
	}
	a->now = now_us;
	rc = ocp_agent_send_data(a, xid, x->am_id, &x->offset, data, len, cookie, send, flags);
	if (rc) {
		ocp_ranges_remove(&x->kept, x->offset, from + len, a->ranges_max);
		return rc;
	}
	x->peers_turn = false;
	ocp_agent_touch(a, x);
	return 0;
}

int ocp_processor_data_end(struct ocp_processor *p, uint32_t xid, bool ok, uint64_t now_us)
{
	struct ocp_agent *a = &p->a;
	struct ocp_xaction *x = ocp_agent_find(a, xid);
	int rc = ocp_agent_ready(a);

	if (rc)
		return rc;
	if (!x)
		return -ENOENT;
	if (x->am_ended || x->left)
		return -EPIPE;
	a->now = now_us;
	rc = ocp_agent_send_am(a, ok ? OCP_MSG_DATA_END : OCP_MSG_APP_MESSAGE_END, xid, x->am_id,
			       !ok, NULL);
	if (rc)
		return rc;
	x->am_ended = true;
	if (!ok)
		x->am_open = false;
	ocp_agent_touch(a, x);
	return 0;
}

int ocp_processor_am_abort(struct ocp_processor *p, uint32_t xid, uint32_t am_id)
{
	struct ocp_agent *a = &p->a;
	struct ocp_xaction *x = ocp_agent_find(a, xid);
	struct ocp_am *am = x ? ocp_xaction_am(x, am_id) : NULL;
	int rc = ocp_agent_ready(a);

	if (rc)
		return rc;
	if (!am)
		return -ENOENT;
	rc = ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, xid, am_id, true, NULL);
	if (!rc)
		ocp_xaction_am_drop(a, x, am);
	return rc;
}

int ocp_processor_xaction_end(struct ocp_processor *p, uint32_t xid, bool error,
			      const struct ocp_result *result)
{
	struct ocp_agent *a = &p->a;
	struct ocp_xaction *x = ocp_agent_find(a, xid);
	int rc = ocp_agent_ready(a);

	if (!x)
		return rc ? rc : -ENOENT;
	if (!rc)
		rc = ocp_agent_send_xaction_end(a, xid, error, result);
	if (rc == -EINVAL) /* the result cannot be said */
		return rc;
	/* Whatever became of the message, its owner has let go of the transaction. */
	ocp_agent_detach(a, x);
	ocp_agent_free(a, x);
	return rc;
}

int ocp_processor_expect(struct ocp_processor *p, uint32_t xid)
{
	struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	if (!x)
		return -ENOENT;
	x->peers_turn = true;
	return 0;
}

bool ocp_processor_sent(const struct ocp_processor *p, uint32_t xid, uint64_t *sent)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	if (x)
		*sent = x->offset;
	return x;
}

void *ocp_processor_user(const struct ocp_processor *p, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	return x ? x->user : NULL;
}

bool ocp_processor_wanted(const struct ocp_processor *p, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	return x && !x->am_ended && !x->left;
}

uint64_t ocp_processor_room(const struct ocp_processor *p, uint32_t xid, enum ocp_part part)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	(void)part;
	return x && !x->am_ended && !x->left && !x->paused ? UINT64_MAX : 0;
}

bool ocp_processor_kept(const struct ocp_processor *p, uint32_t xid, uint64_t *from, uint64_t *to)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	if (!x || !x->kept.n)
		return false;
	*from = x->kept.r[0].from;
	*to = x->kept.r[x->kept.n - 1].to;
	return true;
}

int ocp_processor_working(struct ocp_processor *p, uint32_t xid)
{
	struct ocp_msg m = {.type = OCP_MSG_I_AM_HERE, .has = OCP_HAS(OCP_P_XID), .xid = xid};

	if (!ocp_agent_find(&p->a, xid))
		return p->a.over ? -ENOTCONN : -ENOENT;
	return ocp_agent_send(&p->a, &m, NULL, 0, NULL);
}

/* <93> <104>: in the draft only the callout server pauses. */
int ocp_processor_am_pause(struct ocp_processor *p, uint32_t xid, uint64_t offset)
{
	(void)p;
	(void)xid;
	(void)offset;
	return -ENOTSUP;
}

int ocp_processor_am_need(struct ocp_processor *p, uint32_t xid, uint32_t request)
{
	(void)p;
	(void)xid;
	(void)request;
	return -ENOTSUP;
}

int ocp_processor_group_drop(struct ocp_processor *p, const struct ocp_uri *service)
{
	(void)p;
	(void)service;
	return -ENOENT;
}

const struct ocp_profile *ocp_processor_profile(const struct ocp_processor *p, const struct ocp_uri *service,
						enum ocp_feature profile)
{
	(void)p;
	(void)service;
	(void)profile;
	return NULL;
}
