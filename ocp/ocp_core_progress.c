/* SPDX-License-Identifier: BSD-3-Clause */
/* Both agents, core dialect: questions about progress and abilities, and reports [11.20 - 11.24]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core_private.h"

/* --- ours --- */

static int queue(struct ocp_core *c, const struct ocp_query *q)
{
	if (c->q_count == c->q_size) {
		uint32_t size = c->q_size ? 2 * c->q_size : 16;
		struct ocp_query *ring = malloc(size * sizeof(*ring));

		if (!ring)
			return -ENOMEM;
		for (uint32_t i = 0; i < c->q_count; i++)
			ring[i] = c->queries[(c->q_head + i) & (c->q_size - 1)];
		free(c->queries);
		c->queries = ring;
		c->q_size = size;
		c->q_head = 0;
	}
	c->queries[(c->q_head + c->q_count++) & (c->q_size - 1)] = *q;
	return 0;
}

int ocp_core_probe(struct ocp_agent *a, bool owner, bool with_xid, uint32_t xid, uint32_t *rid)
{
	struct ocp_core *c = a->core;
	struct ocp_msg m = {.type = OCP_MSG_PQ, .xid = xid};
	struct ocp_query q = {.rid = a->next_rid, .xid = xid, .has_xid = with_xid, .owner = owner};
	int rc;

	if (owner && c->q_owner + c->n_early >= OCP_CORE_QUERIES_MAX)
		return -EBUSY;
	if (c->q_count >= a->xactions_max + 4 * OCP_CORE_QUERIES_MAX) {
		c->overrun = true; /* a peer that answers none, although it must */
		return -EBUSY;
	}
	if (with_xid)
		m.has |= OCP_HAS(OCP_P_XID);
	rc = queue(c, &q);
	if (rc)
		return rc;
	rc = ocp_agent_send(a, &m, NULL, 0, NULL);
	if (rc) {
		c->q_count--;
		return rc;
	}
	c->q_owner += owner;
	*rid = a->next_rid;
	a->next_rid = (a->next_rid + 1) & OCP_ID_MAX;
	return 0;
}

static void set_progress(struct ocp_agent *a, struct ocp_msg *m, const struct ocp_xaction *x)
{
	m->has |= OCP_HAS(OCP_P_XID);
	m->xid = x->xid;
	if (!a->core->role->original_open(x))
		return;
	m->has |= OCP_HAS(OCP_P_ORG_DATA);
	m->org_data = (uint32_t)x->offset;
}

int ocp_core_report(struct ocp_agent *a, const struct ocp_xaction *x)
{
	struct ocp_msg m = {.type = OCP_MSG_PR};

	set_progress(a, &m, x);
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

int ocp_core_ask(struct ocp_agent *a, struct ocp_str uri)
{
	struct ocp_core *c = a->core;
	struct ocp_msg m = {.type = OCP_MSG_AQ, .has = OCP_HAS(OCP_P_FEATURE), .feature = {.uri = uri}};
	char *copy;
	int rc;

	if (c->n_asked_features >= OCP_CORE_QUERIES_MAX)
		return -EBUSY;
	copy = malloc(uri.len + 1);
	if (!copy)
		return -ENOMEM;
	rc = ocp_agent_send(a, &m, NULL, 0, NULL);
	if (rc) {
		free(copy);
		return rc;
	}
	if (uri.len)
		memcpy(copy, uri.p, uri.len);
	c->asked_features[c->n_asked_features++].uri = (struct ocp_str){copy, uri.len};
	return 0;
}

/* --- the peer's --- */

/* Always answered, for a transaction that we do not know without its xid [11.22, 11.23]. */
void ocp_core_on_pq(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_msg r = {.type = OCP_MSG_PA};
	const struct ocp_xaction *x = ocp_msg_has(m, OCP_P_XID) ? ocp_agent_find(a, m->xid) : NULL;

	if (x && !x->te_sent) /* after TE nothing more is said about it */
		set_progress(a, &r, x);
	ocp_agent_send(a, &r, NULL, 0, NULL);
}

/* False: what was said about x is wrong, it is gone. */
static bool progress_ok(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	bool has = ocp_msg_has(m, OCP_P_ORG_DATA);

	/* A callout server cannot have more than it was sent. */
	if (has && !a->core->role->expects_offer && m->org_data > x->offset) {
		ocp_core_violation(a, x, OCP_FAULT_PROGRESS);
		return false;
	}
	a->core->role->progress(a, x, has, m->org_data);
	return true;
}

/* PA answers our questions in their order. */
static bool pop(struct ocp_core *c, struct ocp_query *q)
{
	if (!c->q_count)
		return false;
	*q = c->queries[c->q_head];
	c->q_head = (c->q_head + 1) & (c->q_size - 1);
	c->q_count--;
	c->q_owner -= q->owner;
	return true;
}

static void on_pa(struct ocp_agent *a, const struct ocp_msg *m, const struct ocp_query *q)
{
	struct ocp_core *c = a->core;
	bool has_xid = ocp_msg_has(m, OCP_P_XID), open = ocp_msg_has(m, OCP_P_ORG_DATA);
	struct ocp_xaction *x = has_xid ? ocp_agent_find(a, m->xid) : NULL;

	if (has_xid && (!q->has_xid || q->xid != m->xid)) { /* whose answer is it? */
		ocp_core_fail(a, OCP_FAULT_PROGRESS);
		return;
	}
	if (x && !progress_ok(a, x, m))
		return;
	if (a->over) /* the owner, when it heard of it */
		return;
	if (q->owner && !c->ready) { /* "usable" is said only when it is true */
		c->early[c->n_early] = *q;
		c->early[c->n_early].maintained = has_xid;
		c->early[c->n_early++].original = open;
		return;
	}
	if (!ocp_agent_answered(a, q->rid, has_xid, m->xid, true) && q->owner && a->on_alive)
		a->on_alive(a->ctx, q->rid, has_xid, open);
}

void ocp_core_on_progress(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_query q;
	struct ocp_xaction *x;

	if (m->type == OCP_MSG_PA) {
		if (pop(a->core, &q)) {
			on_pa(a, m, &q);
			return;
		}
		/* Nobody asked. Taken as the report that it might have been [11.24]. */
		ocp_agent_fault(a, NULL, OCP_FAULT_UNSOLICITED);
	}
	x = ocp_msg_has(m, OCP_P_XID) ? ocp_core_find(a, m) : NULL;
	if (!x)
		return;
	ocp_agent_touch(a, x);
	progress_ok(a, x, m);
}

void ocp_core_on_aq(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_msg r = {
		.type = OCP_MSG_AA,
		.has = OCP_HAS(OCP_P_ANSWER),
		.answer = a->core->role->supports(a, &m->feature),
	};

	ocp_agent_send(a, &r, NULL, 0, NULL);
}

void ocp_core_on_aa(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;
	struct ocp_str uri;

	if (!c->n_asked_features) {
		ocp_agent_fault(a, NULL, OCP_FAULT_UNSOLICITED);
		return;
	}
	uri = c->asked_features[0].uri;
	c->n_asked_features--;
	memmove(c->asked_features, c->asked_features + 1, c->n_asked_features * sizeof(c->asked_features[0]));
	if (a->on_feature)
		a->on_feature(a->ctx, ocp_feature_find(uri), uri,
			      m->answer ? OCP_ANSWER_SUPPORTED : OCP_ANSWER_UNSUPPORTED);
	free((char *)uri.p);
}
