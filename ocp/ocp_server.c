/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent: calls of its owner. What arrives is in ocp_server_input.c.
 */
#include <errno.h>
#include <stdlib.h>
#include "ocp/ocp_server_private.h"

/* Application profiles are the core dialect's. */
#define PROFILES (uint32_t)(OCP_HAS(OCP_FEATURE_HTTP_REQUEST) | OCP_HAS(OCP_FEATURE_HTTP_RESPONSE))

int ocp_server_create(struct ocp_server **out, const struct ocp_server_config *cfg,
		      const struct ocp_server_ops *ops, void *ctx, uint64_t now_us)
{
	const struct ocp_server_config defaults = OCP_SERVER_CONFIG_DEFAULT;
	struct ocp_server *s;
	int rc;

	if (!cfg)
		cfg = &defaults;
	if (!cfg->dialects || cfg->dialects >= OCP_HAS(OCP_DIALECT_MAX))
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ops = *ops;
	s->wire = &ocp_server_draft_wire;
	s->dialects = cfg->dialects;
	s->groups_max = cfg->groups_max;
	s->negotiation_us = cfg->negotiation_us;
	s->ack_all = cfg->ack_all;
	s->last_xid = -1;
	s->a.role = &ocp_server_role;
	s->a.limits = cfg->limits;
	s->a.xactions_max = cfg->xactions_max;
	s->a.ams_max = cfg->ams_max;
	s->a.ranges_max = cfg->ranges_max;
	s->a.features_known = cfg->features & ~PROFILES;
	s->profiles = cfg->features & PROFILES;
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
	ocp_ranges_free(&s->xids);
	free(s->service);
	free(s);
}

/* --- connection --- */

/* Core: no transaction can begin any more, and none is open [RFC 4037 10.2]. */
static void end_exhausted(struct ocp_server *s)
{
	if (s->core && s->last_xid == OCP_CORE_MAX && !s->a.xactions && !s->a.over)
		ocp_agent_end(&s->a, OCP_END_LOCAL, false, NULL);
}

int ocp_server_input(struct ocp_server *s, const void *buf, size_t len, void *cookie,
		     uint64_t now_us)
{
	ocp_agent_input(&s->a, buf, len, cookie, now_us);
	end_exhausted(s);
	return s->a.over ? -ENOTCONN : 0;
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
	end_exhausted(s);
}

int ocp_server_probe(struct ocp_server *s, bool with_xid, uint32_t xid, bool with_am_id,
		     uint32_t am_id, uint32_t *rid, uint64_t now_us)
{
	s->a.now = now_us;
	if (s->core)
		return with_am_id && !with_xid ? -EINVAL : ocp_core_probe(&s->a, true, with_xid, xid, rid);
	return ocp_agent_probe(&s->a, with_xid, xid, with_am_id, am_id, rid);
}

int ocp_server_please_use(struct ocp_server *s, struct ocp_str uri)
{
	struct ocp_uri f = {.uri = uri};
	struct ocp_list one;
	char text[512];
	size_t len = 0;

	if (!s->core)
		return ocp_agent_ask_feature(&s->a, OCP_MSG_PLEASE_USE, uri);
	if (ocp_agent_ready(&s->a))
		return -ENOTCONN;
	if (ocp_feature_find(uri) < OCP_FEATURE_MAX) /* part of the protocol, or nothing that we could ask for */
		return s->a.features_used & OCP_HAS(ocp_feature_find(uri)) ? 0 : -ENOTSUP;
	if (!s->a.core->ready || s->a.core->phase)
		return -EAGAIN;
	if (ocp_list_add(text, sizeof(text), &len, &f))
		return -EINVAL;
	one = ocp_list_of((struct ocp_str){text, (uint32_t)len});
	return ocp_core_offer(&s->a, &one, NULL, false);
}

int ocp_server_do_you_support(struct ocp_server *s, struct ocp_str uri)
{
	if (s->core)
		return ocp_core_ask(&s->a, uri);
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
	return ocp_server_is_core(s) ? OCP_DIALECT_CORE : OCP_DIALECT_DRAFT;
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
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	return rc ? rc : s->wire->working(s, x);
}

int ocp_server_am_start(struct ocp_server *s, uint32_t xid, struct ocp_str meta,
			const struct ocp_send *send, uint32_t *am_id)
{
	const struct ocp_send none = OCP_SEND_INIT;
	struct ocp_xaction *x;
	int rc = find(s, xid, &x, NULL, NULL);

	if (rc)
		return rc;
	if (x->ams_open >= s->a.ams_max)
		return -EBUSY;
	rc = s->wire->am_start(s, x, meta, send ? send : &none, am_id);
	if (rc)
		return rc;
	x->last_am_id = *am_id;
	ocp_agent_touch(&s->a, x);
	return 0;
}

/* The adapted message takes data; 0 with *x and *am. */
static int find_open(struct ocp_server *s, uint32_t xid, uint32_t am_id, struct ocp_xaction **x,
		     struct ocp_am **am)
{
	int rc = find(s, xid, x, &am_id, am);

	return rc ? rc : (*am)->ended ? -EPIPE : 0;
}

int ocp_server_data(struct ocp_server *s, uint32_t xid, uint32_t am_id, const void *data,
		    size_t len, void *cookie, const struct ocp_send *send)
{
	const struct ocp_send none = OCP_SEND_INIT;
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find_open(s, xid, am_id, &x, &am);

	if (!send)
		send = &none;
	if (!rc && send->modp > 100)
		rc = -EINVAL;
	if (!rc)
		rc = s->wire->data(s, x, am, data, len, cookie, send);
	if (rc)
		return rc;
	if (len)
		am->last_as_is = false;
	ocp_agent_touch(&s->a, x);
	return 0;
}

static bool committed(const struct ocp_server *s, const struct ocp_xaction *x, uint64_t from,
		      uint64_t size)
{
	return from <= x->offset && size <= x->offset - from && s->wire->committed(x, from, size);
}

bool ocp_server_committed(const struct ocp_server *s, uint32_t xid, uint64_t src_offset,
			  uint64_t size)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);

	return x && committed(s, x, src_offset, size);
}

int ocp_server_as_is(struct ocp_server *s, uint32_t xid, uint32_t am_id, uint64_t src_offset,
		     uint64_t size, enum ocp_part part)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find_open(s, xid, am_id, &x, &am);

	if (rc)
		return rc;
	if (!x->am_known || !committed(s, x, src_offset, size))
		return -EPERM;
	rc = s->wire->as_is(s, x, am, src_offset, size, part);
	if (!rc)
		ocp_agent_touch(&s->a, x);
	return rc;
}

int ocp_server_data_end(struct ocp_server *s, uint32_t xid, uint32_t am_id, bool ok)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc;

	if (!ok)
		return ocp_server_am_end(s, xid, am_id, true, NULL);
	rc = find_open(s, xid, am_id, &x, &am);
	if (!rc)
		rc = s->wire->data_end(s, x, am);
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
		rc = s->wire->am_end(s, x, am, error, result);
	if (rc)
		return rc;
	ocp_xaction_am_drop(&s->a, x, am);
	ocp_agent_touch(&s->a, x);
	return 0;
}

/* The original has not ended; 0 with *x. */
static int find_original(struct ocp_server *s, uint32_t xid, struct ocp_xaction **x)
{
	int rc = find(s, xid, x, NULL, NULL);

	return rc ? rc : (*x)->am_open ? 0 : -ENOENT;
}

int ocp_server_pause(struct ocp_server *s, uint32_t xid)
{
	struct ocp_xaction *x;
	int rc = find_original(s, xid, &x);

	/* <92>: paused only when the answer comes */
	return rc ? rc : s->wire->pause(s, x);
}

int ocp_server_need(struct ocp_server *s, uint32_t xid, uint32_t request)
{
	struct ocp_xaction *x;
	int rc = find_original(s, xid, &x);

	if (rc)
		return rc;
	x->paused = false; /* <102>: just before sending */
	return s->wire->need(s, x, request);
}

int ocp_server_ack(struct ocp_server *s, uint32_t xid, uint64_t offset, uint64_t size,
		   bool wont_forward)
{
	struct ocp_xaction *x;
	int rc = find_original(s, xid, &x);

	if (rc)
		return rc;
	if (offset > x->offset || size > x->offset - offset)
		return -EINVAL;
	return s->wire->ack(s, x, offset, size, wont_forward);
}

int ocp_server_leave_loop(struct ocp_server *s, uint32_t xid, uint32_t am_id)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = find(s, xid, &x, &am_id, &am);

	if (rc)
		return rc;
	if (!(s->a.features_used & OCP_HAS(OCP_FEATURE_LEAVE_LOOP)))
		return -ENOTSUP;
	if (am->ended)
		return -EPIPE;
	return s->wire->leave_loop(s, x, am);
}

int ocp_server_stop_receiving(struct ocp_server *s, uint32_t xid, uint64_t size)
{
	struct ocp_xaction *x;
	int rc = find_original(s, xid, &x);

	return rc ? rc : s->wire->stop_receiving(s, x, size);
}

const struct ocp_profile *ocp_server_profile(const struct ocp_server *s, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);

	return x ? x->server.profile : NULL;
}

struct ocp_list ocp_server_services(const struct ocp_server *s, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);

	return x && x->server.group ? x->server.group->services : OCP_LIST_EMPTY;
}

uint64_t ocp_server_room(const struct ocp_server *s, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);
	const struct ocp_am *am = x ? x->ams : NULL;

	if (!x || !ocp_server_is_core(s))
		return x ? UINT64_MAX : 0;
	if (x->server.paused)
		return 0;
	return x->server.pause_at == UINT64_MAX ? UINT64_MAX : x->server.pause_at - (am ? am->offset : 0);
}

int ocp_server_xaction_end(struct ocp_server *s, uint32_t xid, bool error,
			   const struct ocp_result *result)
{
	struct ocp_xaction *x = ocp_agent_find(&s->a, xid);
	int rc = ocp_agent_ready(&s->a);

	if (!x)
		return rc ? rc : -ENOENT;
	if (!rc)
		rc = s->wire->xaction_end(s, x, error, result);
	if (rc == -EINVAL) /* the result cannot be said */
		return rc;
	/* Whatever became of the message, its owner has let go of the transaction. */
	ocp_server_let_go(s, x);
	return rc;
}

int ocp_server_refuse(struct ocp_server *s, uint32_t xid, const char *reason)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(reason)};

	return ocp_server_xaction_end(s, xid, true, &r);
}

bool ocp_server_received(const struct ocp_server *s, uint32_t xid, uint64_t *received)
{
	const struct ocp_xaction *x = ocp_agent_find(&s->a, xid);

	if (x)
		*received = x->offset;
	return x;
}
