/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent: calls of its owner. What differs between the dialects is behind struct ocp_processor_wire. */
#include <errno.h>
#include <stdlib.h>
#include "ocp/ocp_processor_private.h"

static void configure(struct ocp_processor *p, const struct ocp_processor_config *cfg,
		      const struct ocp_processor_ops *ops, void *ctx)
{
	p->ops = *ops;
	p->deadline_grace = cfg->deadline_grace;
	p->next_xid = 1;
	p->wire = cfg->dialect == OCP_DIALECT_CORE ? &ocp_processor_core_wire : &ocp_processor_draft_wire;
	ocp_link_init(&p->stalled);
	ocp_link_init(&p->unheard);
	p->a.role = &ocp_processor_role;
	p->a.limits = cfg->limits;
	p->a.xactions_max = cfg->xactions_max;
	p->a.ams_max = cfg->ams_max;
	p->a.ranges_max = cfg->ranges_max;
	p->a.features_known = cfg->features;
	p->a.idle_probe_us = cfg->idle_probe_us;
	p->a.asks_am = cfg->dialect == OCP_DIALECT_DRAFT;
	p->a.probe_timeout_us = cfg->probe_timeout_us;
	p->a.deadline_us = cfg->deadline_us;
	p->a.ctx = ctx;
	p->a.output = ops->output;
	p->a.on_closed = ops->closed;
	p->a.on_feature = ops->feature;
	p->a.on_alive = ops->alive;
	p->a.on_fault = ops->fault;
}

static int create_core(struct ocp_processor *p, const struct ocp_processor_config *cfg)
{
	int rc = ocp_core_init(&p->a, &ocp_processor_core_role);

	if (rc)
		return rc;
	p->a.core->groups_max = cfg->groups_max;
	p->a.core->negotiation_us = cfg->negotiation_us;
	p->a.features_used = OCP_HAS(OCP_FEATURE_COPIED) | OCP_HAS(OCP_FEATURE_AS_IS) |
			     OCP_HAS(OCP_FEATURE_LEAVE_LOOP);
	return ocp_processor_offers_copy(p, cfg);
}

int ocp_processor_create(struct ocp_processor **out, const struct ocp_processor_config *cfg,
			 const struct ocp_processor_ops *ops, void *ctx)
{
	const struct ocp_processor_config defaults = OCP_PROCESSOR_CONFIG_DEFAULT;
	struct ocp_processor *p;
	int rc;

	if (!cfg)
		cfg = &defaults;
	if (cfg->dialect != OCP_DIALECT_DRAFT && cfg->dialect != OCP_DIALECT_CORE)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	configure(p, cfg, ops, ctx);
	rc = ocp_agent_init(&p->a, 0);
	if (rc) {
		free(p);
		return rc;
	}
	if (cfg->dialect == OCP_DIALECT_CORE)
		rc = create_core(p, cfg);
	if (rc) {
		ocp_processor_destroy(p);
		return rc;
	}
	*out = p;
	return 0;
}

void ocp_processor_destroy(struct ocp_processor *p)
{
	if (!p)
		return;
	p->a.over = p->a.over ? p->a.over : OCP_END_LOCAL; /* nothing goes out any more */
	ocp_agent_fini(&p->a);
	ocp_processor_offers_free(p);
	free(p);
}

/* --- connection --- */

int ocp_processor_connect(struct ocp_processor *p, struct ocp_str client, int32_t priority,
			  uint64_t now_us)
{
	int rc;

	if (p->a.over)
		return -ENOTCONN;
	if (p->a.started)
		return -EALREADY;
	if (client.len > p->a.limits.atom)
		return -EINVAL;
	p->a.now = p->a.last_rx = now_us;
	p->a.started = true;
	rc = p->wire->connect(p, client, priority);
	if (rc && !p->a.broken)
		p->a.started = false;
	return rc;
}

int ocp_processor_priority(struct ocp_processor *p, int32_t priority)
{
	return p->wire->priority(p, priority);
}

int ocp_processor_service(struct ocp_processor *p, const struct ocp_uri *s)
{
	int rc = p->wire->service(p, s);

	if (!rc)
		p->default_service = true;
	return rc;
}

int ocp_processor_please_use(struct ocp_processor *p, struct ocp_str uri)
{
	return p->wire->please_use(p, uri);
}

int ocp_processor_do_you_support(struct ocp_processor *p, struct ocp_str uri)
{
	return p->wire->do_you_support(p, uri);
}

uint32_t ocp_processor_features(const struct ocp_processor *p)
{
	return p->a.features_used;
}

/* Something came to an end inside a call of the owner. */
static bool unheard(const struct ocp_processor *p)
{
	return p->unheard.next != &p->unheard && !p->a.over;
}

int ocp_processor_input(struct ocp_processor *p, const void *buf, size_t len, void *cookie,
			uint64_t now_us)
{
	int rc = ocp_agent_input(&p->a, buf, len, cookie, now_us);

	if (rc || !unheard(p))
		return rc;
	ocp_processor_core_tell(&p->a);
	return p->a.over ? -ENOTCONN : 0;
}

void ocp_processor_eof(struct ocp_processor *p)
{
	ocp_agent_close(&p->a, OCP_END_EOF, NULL);
}

void ocp_processor_end(struct ocp_processor *p, bool error, const struct ocp_result *result)
{
	ocp_agent_end(&p->a, OCP_END_LOCAL, error, result);
}

/* RFC 4037 10.2: with its identifiers used up and its last transaction over, the connection has to end. */
static bool exhausted(const struct ocp_processor *p)
{
	return p->a.core && p->next_xid > OCP_ID_MAX && !p->a.xactions && !ocp_agent_ready(&p->a);
}

uint64_t ocp_processor_next_deadline(const struct ocp_processor *p)
{
	return exhausted(p) || unheard(p) ? 0 : ocp_agent_next_deadline(&p->a);
}

void ocp_processor_tick(struct ocp_processor *p, uint64_t now_us)
{
	ocp_agent_tick(&p->a, now_us);
	if (unheard(p))
		ocp_processor_core_tell(&p->a);
	if (exhausted(p))
		ocp_processor_end(p, false, NULL);
}

int ocp_processor_probe(struct ocp_processor *p, bool with_xid, uint32_t xid, bool with_am_id,
			uint32_t am_id, uint32_t *rid, uint64_t now_us)
{
	p->a.now = now_us;
	if (!p->a.core)
		return ocp_agent_probe(&p->a, with_xid, xid, with_am_id, am_id, rid);
	return with_am_id && !with_xid ? -EINVAL : ocp_core_probe(&p->a, true, with_xid, xid, rid);
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

int ocp_processor_xaction_start(struct ocp_processor *p, const struct ocp_start *st, void *user,
				uint32_t *xid, uint64_t now_us)
{
	struct ocp_agent *a = &p->a;
	struct ocp_xaction *x;
	int rc = ocp_agent_ready(a);

	if (rc)
		return rc;
	rc = st->modp > 100 ? -EINVAL : p->wire->may_start(p, st);
	if (rc)
		return rc;
	if (a->xactions >= a->xactions_max)
		return -EBUSY;
	if (p->next_xid > OCP_ID_MAX)
		return -EOVERFLOW;
	a->now = now_us;
	x = ocp_agent_add(a, p->next_xid, user);
	if (!x)
		return -ENOMEM;
	ocp_link_init(&x->processor.stalled);
	rc = p->wire->start(p, x, st);
	if (rc) {
		ocp_processor_let_go(a, x);
		return rc;
	}
	x->am_known = x->am_open = true;
	x->am_id = OCP_ORIGINAL;
	*xid = p->next_xid++;
	return 0;
}

/* The original of xid can be sent on: *x, or why not. */
static int original(struct ocp_processor *p, uint32_t xid, struct ocp_xaction **x)
{
	int rc = ocp_agent_ready(&p->a);

	*x = rc ? NULL : ocp_agent_find(&p->a, xid);
	if (rc)
		return rc;
	if (!*x)
		return -ENOENT;
	return (*x)->am_ended ? -EPIPE : 0;
}

int ocp_processor_data(struct ocp_processor *p, uint32_t xid, const void *data, size_t len,
		       void *cookie, const struct ocp_send *send, uint64_t now_us)
{
	struct ocp_xaction *x;
	int rc = original(p, xid, &x);

	if (rc)
		return rc;
	if ((send && send->modp > 100) || (!data && len > p->a.limits.payload))
		return -EINVAL;
	p->a.now = now_us;
	rc = p->wire->data(p, x, data, len, cookie, send);
	if (rc)
		return rc;
	x->peers_turn = false;
	ocp_agent_touch(&p->a, x);
	return 0;
}

int ocp_processor_data_end(struct ocp_processor *p, uint32_t xid, bool ok, uint64_t now_us)
{
	struct ocp_xaction *x;
	int rc = original(p, xid, &x);

	if (rc)
		return rc;
	p->a.now = now_us;
	rc = p->wire->data_end(p, x, ok);
	if (rc)
		return rc;
	x->am_ended = true;
	ocp_agent_touch(&p->a, x);
	return 0;
}

/* An open transaction on a connection that takes messages: *x, or why not. */
static int open_xaction(struct ocp_processor *p, uint32_t xid, struct ocp_xaction **x)
{
	int rc = ocp_agent_ready(&p->a);

	*x = rc ? NULL : ocp_agent_find(&p->a, xid);
	return rc ? rc : *x ? 0 : -ENOENT;
}

int ocp_processor_am_abort(struct ocp_processor *p, uint32_t xid, uint32_t am_id)
{
	struct ocp_xaction *x;
	struct ocp_am *am;
	int rc = open_xaction(p, xid, &x);

	if (rc)
		return rc;
	am = ocp_xaction_am(x, am_id);
	if (!am)
		return -ENOENT;
	rc = p->wire->am_abort(p, x, am);
	if (!rc)
		ocp_xaction_am_drop(&p->a, x, am);
	return rc;
}

int ocp_processor_am_pause(struct ocp_processor *p, uint32_t xid, uint64_t offset)
{
	struct ocp_xaction *x;
	int rc = open_xaction(p, xid, &x);

	return rc ? rc : p->wire->am_pause(p, x, offset);
}

int ocp_processor_am_need(struct ocp_processor *p, uint32_t xid, uint32_t request)
{
	struct ocp_xaction *x;
	int rc = open_xaction(p, xid, &x);

	return rc ? rc : p->wire->am_need(p, x, request);
}

int ocp_processor_working(struct ocp_processor *p, uint32_t xid)
{
	struct ocp_xaction *x;
	int rc = open_xaction(p, xid, &x);

	return rc ? rc : p->wire->working(p, x);
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
		rc = p->wire->xaction_end(p, x, error, result);
	if (rc == -EINVAL) /* the result cannot be said */
		return rc;
	/* Whatever became of the message, its owner has let go of the transaction. */
	ocp_processor_let_go(a, x);
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

bool ocp_processor_wanted(const struct ocp_processor *p, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	return x && !x->am_ended && !x->left;
}

uint64_t ocp_processor_room(const struct ocp_processor *p, uint32_t xid, enum ocp_part part)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	return x && !x->am_ended && !x->left && !x->paused ? p->wire->room(p, x, part) : 0;
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

void *ocp_processor_user(const struct ocp_processor *p, uint32_t xid)
{
	const struct ocp_xaction *x = ocp_agent_find(&p->a, xid);

	return x ? x->user : NULL;
}
