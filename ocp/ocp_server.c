/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent: calls of its owner. What arrives is in ocp_server_input.c.
 */
#include <errno.h>
#include <stdlib.h>
#include "ocp/ocp_server_private.h"

int ocp_server_create(struct ocp_server **out, const struct ocp_server_config *cfg,
		      const struct ocp_server_ops *ops, void *ctx, uint64_t now_us)
{
	const struct ocp_server_config defaults = OCP_SERVER_CONFIG_DEFAULT;
	struct ocp_server *s;
	int rc;

	if (!cfg)
		cfg = &defaults;
	if (cfg->dialects != OCP_HAS(OCP_DIALECT_DRAFT))
		return cfg->dialects ? -ENOTSUP : -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = *ops;
	s->ack_all = cfg->ack_all;
	s->last_xid = -1;
	s->a.role = &ocp_server_role;
	s->a.limits = cfg->limits;
	s->a.xactions_max = cfg->xactions_max;
	s->a.ams_max = cfg->ams_max;
	s->a.ranges_max = cfg->ranges_max;
	s->a.features_known = cfg->features;
	s->a.idle_probe_us = cfg->idle_probe_us;
	s->a.probe_timeout_us = cfg->probe_timeout_us;
	s->a.deadline_us = cfg->deadline_us;
	s->a.ctx = ctx;
	s->a.output = ops->output;
	s->a.on_closed = ops->closed;
	s->a.on_feature = ops->feature;
	s->a.on_alive = ops->alive;
	s->a.on_fault = ops->fault;
	rc = ocp_agent_init(&s->a, now_us);
	if (rc) {
		free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void ocp_server_destroy(struct ocp_server *s)
{
	if (!s)
		return;
	ocp_agent_fini(&s->a);
	free(s->service);
	free(s);
}

/* --- connection --- */

int ocp_server_input(struct ocp_server *s, const void *buf, size_t len, void *cookie,
		     uint64_t now_us)
{
	return ocp_agent_input(&s->a, buf, len, cookie, now_us);
}

void ocp_server_eof(struct ocp_server *s)
{
	ocp_agent_close(&s->a, OCP_END_EOF, NULL);
}

void ocp_server_end(struct ocp_server *s, bool error, const struct ocp_result *result)
{
	ocp_agent_end(&s->a, OCP_END_LOCAL, error, result);
}

uint64_t ocp_server_next_deadline(const struct ocp_server *s)
{
	return ocp_agent_next_deadline(&s->a);
}

void ocp_server_tick(struct ocp_server *s, uint64_t now_us)
{
	ocp_agent_tick(&s->a, now_us);
}

int ocp_server_probe(struct ocp_server *s, bool with_xid, uint32_t xid, bool with_am_id,
		     uint32_t am_id, uint32_t *rid, uint64_t now_us)
{
	s->a.now = now_us;
	return ocp_agent_probe(&s->a, with_xid, xid, with_am_id, am_id, rid);
}

int ocp_server_please_use(struct ocp_server *s, struct ocp_str uri)
{
	return ocp_agent_ask_feature(&s->a, OCP_MSG_PLEASE_USE, uri);
}

int ocp_server_do_you_support(struct ocp_server *s, struct ocp_str uri)
{
	return ocp_agent_ask_feature(&s->a, OCP_MSG_DO_YOU_SUPPORT, uri);
}

uint32_t ocp_server_features(const struct ocp_server *s)
{
	return s->a.features_used;
}

int32_t ocp_server_priority(const struct ocp_server *s)
{
	return s->priority;
}

enum ocp_dialect ocp_server_dialect(const struct ocp_server *s)
{
	return OCP_DIALECT_DRAFT;
}

enum ocp_end ocp_server_over(const struct ocp_server *s)
{
	return s->a.over;
}

uint32_t ocp_server_xactions(const struct ocp_server *s)
{
	return s->a.xactions;
}

const struct ocp_counters *ocp_server_counters(const struct ocp_server *s)
{
	return &s->a.counters;
}

/* --- transactions --- */

/* 0 with *x (and *am, when asked for): they are open. */
static int find(struct ocp_server *s, uint32_t xid, struct ocp_xaction **x, const uint32_t *am_id,
		struct ocp_am **am)
{
	int rc = ocp_agent_ready(&s->a);

	if (rc)
		return rc;
	*x = ocp_agent_find(&s->a, xid);
	if (!*x)
		return -ENOENT;
	if (am_id) {
		*am = ocp_xaction_am(*x, *am_id);
		if (!*am)
			return -ENOENT;
	}
	return 0;
}

int ocp_server_working(struct ocp_server *s, uint32_t xid)
{
	struct ocp_msg m = {.type = OCP_MSG_I_AM_HERE, .has = OCP_HAS(OCP_P_XID), .xid = xid};
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	return rc ? rc : ocp_agent_send(&s->a, &m, NULL, 0, NULL);
}

int ocp_server_am_start(struct ocp_server *s, uint32_t xid, struct ocp_str meta,
			const struct ocp_send *send, uint32_t *am_id)
{
	struct ocp_msg m = {
		.type = OCP_MSG_APP_MESSAGE_START,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_META_DATA),
		.xid = xid,
		.meta_data = meta,
	};
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find(s, xid, &x, NULL, NULL);

	if (rc)
		return rc;
	if (meta.len > s->a.limits.atom)
		return -EINVAL;
	if (x->ams_open >= s->a.ams_max)
		return -EBUSY;
	m.am_id = x->last_am_id < 0 ? 2 : (uint32_t)x->last_am_id + 2;
	if (m.am_id > OCP_ID_MAX)
		return -EOVERFLOW;
	if (send && send->modified)
		m.has |= OCP_HAS(OCP_P_MODIFIED);
	if (send && send->sizep >= 0) {
		m.has |= OCP_HAS(OCP_P_SIZEP);
		m.sizep = (uint64_t)send->sizep;
	}
	if (send && send->modp >= 0) {
		m.has |= OCP_HAS(OCP_P_MODP);
		m.modp = (uint32_t)send->modp;
	}
	am = ocp_xaction_am_add(&s->a, x, m.am_id);
	if (!am)
		return -ENOMEM;
	rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
	if (rc) {
		ocp_xaction_am_drop(&s->a, x, am);
		return rc;
	}
	x->last_am_id = *am_id = m.am_id;
	ocp_agent_touch(&s->a, x);
	return 0;
}

int ocp_server_data(struct ocp_server *s, uint32_t xid, uint32_t am_id, const void *data,
		    size_t len, void *cookie, const struct ocp_send *send)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	uint32_t flags = 0;
	int rc = find(s, xid, &x, &am_id, &am);

	if (rc)
		return rc;
	if (am->ended)
		return -EPIPE;
	if (send && send->modp > 100)
		return -EINVAL;
	if (send && send->modified)
		flags |= OCP_HAS(OCP_P_MODIFIED);
	if (send && send->ack)
		flags |= OCP_HAS(OCP_P_ACK);
	rc = ocp_agent_send_data(&s->a, xid, am_id, &am->offset, data, len, cookie, send, flags);
	if (rc)
		return rc;
	if (len)
		am->last_as_is = false;
	ocp_agent_touch(&s->a, x);
	return 0;
}

bool ocp_server_committed(const struct ocp_server *s, uint32_t xid, uint64_t src_offset,
			  uint64_t size)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);

	return x && src_offset <= x->offset && size <= x->offset - src_offset &&
	       ocp_ranges_cover(&x->kept, src_offset, src_offset + size);
}

static int send_as_is(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, uint64_t from,
		      uint64_t size, enum ocp_part part)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_AS_IS,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) |
		       OCP_HAS(OCP_P_SIZE) | OCP_HAS(OCP_P_COPY_AM_ID) |
		       OCP_HAS(OCP_P_COPY_AM_OFFSET) | (part ? OCP_HAS(OCP_P_AM_PART) : 0),
		.xid = x->xid,
		.am_id = am->id,
		.copy_am_id = x->am_id,
		.am_part = part,
	};

	if (size > OCP_OFFSET_MAX - am->offset)
		return -EOVERFLOW;
	do {
		uint64_t n = size < OCP_ID_MAX ? size : OCP_ID_MAX;
		int rc;

		m.offset = am->offset;
		m.size = n;
		m.copy_am_offset = from;
		rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
		if (rc)
			return rc;
		am->offset += n;
		from += n;
		size -= n;
	} while (size);
	am->last_as_is = true;
	am->as_is_end = from;
	ocp_agent_touch(&s->a, x);
	return 0;
}

int ocp_server_as_is(struct ocp_server *s, uint32_t xid, uint32_t am_id, uint64_t src_offset,
		     uint64_t size, enum ocp_part part)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find(s, xid, &x, &am_id, &am);

	if (rc)
		return rc;
	if (am->ended)
		return -EPIPE;
	if (!x->am_known || !ocp_server_committed(s, xid, src_offset, size))
		return -EPERM;
	return send_as_is(s, x, am, src_offset, size, part);
}

int ocp_server_data_end(struct ocp_server *s, uint32_t xid, uint32_t am_id, bool ok)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find(s, xid, &x, &am_id, &am);

	if (rc)
		return rc;
	if (!ok)
		return ocp_server_am_end(s, xid, am_id, true, NULL);
	if (am->ended)
		return -EPIPE;
	rc = ocp_agent_send_am(&s->a, OCP_MSG_DATA_END, xid, am_id, false, NULL);
	if (rc)
		return rc;
	am->ended = true;
	ocp_agent_touch(&s->a, x);
	return 0;
}

int ocp_server_am_end(struct ocp_server *s, uint32_t xid, uint32_t am_id, bool error,
		      const struct ocp_result *result)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find(s, xid, &x, &am_id, &am);

	if (!rc)
		rc = ocp_agent_send_am(&s->a, OCP_MSG_APP_MESSAGE_END, xid, am_id, error, result);
	if (rc)
		return rc;
	ocp_xaction_am_drop(&s->a, x, am);
	ocp_agent_touch(&s->a, x);
	return 0;
}

int ocp_server_pause(struct ocp_server *s, uint32_t xid)
{
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	if (rc)
		return rc;
	if (!x->am_open)
		return -ENOENT;
	/* <92>: paused only when data-paused comes */
	return ocp_agent_send_am(&s->a, OCP_MSG_DATA_PAUSE, xid, x->am_id, false, NULL);
}

int ocp_server_need(struct ocp_server *s, uint32_t xid, uint32_t request)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_NEED,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET),
		.xid = xid,
		.size_request = request,
	};
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	if (rc)
		return rc;
	if (!x->am_open)
		return -ENOENT;
	if (request)
		m.has |= OCP_HAS(OCP_P_SIZE_REQUEST);
	m.am_id = x->am_id;
	m.offset = x->offset;
	x->paused = false; /* <102>: just before sending */
	return ocp_agent_send(&s->a, &m, NULL, 0, NULL);
}

int ocp_server_ack(struct ocp_server *s, uint32_t xid, uint64_t offset, uint64_t size,
		   bool wont_forward)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_ACK,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) |
		       OCP_HAS(OCP_P_SIZE) | (wont_forward ? OCP_HAS(OCP_P_WONT_FORWARD) : 0),
		.xid = xid,
	};
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	if (rc)
		return rc;
	if (!x->am_open)
		return -ENOENT;
	if (offset > x->offset || size > x->offset - offset)
		return -EINVAL;
	if (wont_forward) {
		rc = ocp_ranges_remove(&x->kept, offset, offset + size, s->a.ranges_max);
		if (rc)
			return rc;
		if (offset + size > x->released)
			x->released = offset + size;
	}
	m.am_id = x->am_id;
	do {
		m.offset = offset;
		m.size = size < OCP_ID_MAX ? size : OCP_ID_MAX;
		rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
		offset += m.size;
		size -= m.size;
	} while (!rc && size);
	return rc;
}

int ocp_server_leave_loop(struct ocp_server *s, uint32_t xid, uint32_t am_id)
{
	const struct ocp_result partial = {.code = OCP_RESULT_PARTIAL};
	struct ocp_xaction *x;
	struct ocp_am *am;
	uint64_t rest;
	int rc = find(s, xid, &x, &am_id, &am);

	if (rc)
		return rc;
	if (!(s->a.features_used & OCP_HAS(OCP_FEATURE_LEAVE_LOOP)))
		return -ENOTSUP;
	if (am->ended)
		return -EPIPE;
	if (s->a.current.wanted && s->a.current.xid == xid && s->a.current.seen < s->a.current.size)
		return -EBUSY;
	rest = am->last_as_is ? am->as_is_end : x->offset;
	if (!x->am_known || rest < x->released ||
	    (rest && !ocp_ranges_cover(&x->kept, rest - 1, rest)))
		return -EPERM;
	if (!am->last_as_is)
		rc = send_as_is(s, x, am, rest, 0, OCP_PART_NONE);
	if (!rc)
		rc = ocp_agent_send_am(&s->a, OCP_MSG_DATA_END, xid, am_id, false, &partial);
	if (!rc)
		rc = ocp_server_xaction_end(s, xid, false, NULL);
	return rc;
}

int ocp_server_xaction_end(struct ocp_server *s, uint32_t xid, bool error,
			   const struct ocp_result *result)
{
	struct ocp_xaction *x = ocp_agent_find(&s->a, xid);
	int rc = ocp_agent_ready(&s->a);

	if (!x)
		return rc ? rc : -ENOENT;
	if (!rc)
		rc = ocp_agent_send_xaction_end(&s->a, xid, error, result);
	if (rc == -EINVAL) /* the result cannot be said */
		return rc;
	/* Whatever became of the message, its owner has let go of the transaction. */
	ocp_agent_detach(&s->a, x);
	ocp_agent_free(&s->a, x);
	return rc;
}

int ocp_server_refuse(struct ocp_server *s, uint32_t xid, const char *reason)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(reason)};

	return ocp_server_xaction_end(s, xid, true, &r);
}

int ocp_server_stop_receiving(struct ocp_server *s, uint32_t xid, uint64_t size)
{
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	return rc ? rc : -ENOTSUP;
}

const struct ocp_profile *ocp_server_profile(const struct ocp_server *s, uint32_t xid)
{
	return NULL;
}

bool ocp_server_received(const struct ocp_server *s, uint32_t xid, uint64_t *received)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);

	if (x)
		*received = x->offset;
	return x;
}
