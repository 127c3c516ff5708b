/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both agents, core dialect: negotiation [6, 11.18, 11.19].
 *
 *   idle --our NO--> offering --NR--> idle, or, when one side has said Offer-Pending: true, phase open
 *   idle --their NO, our NR--> the same
 *
 * Whether a phase stays open: section 6.1 looks at the last NO sent and the last NR received. Read by the letter, an agent
 * that said Offer-Pending: true in an NR and then made its offer without it would keep the phase open for ever, against
 * the examples of 6.2. So what counts here is the last NO or NR of each side: the phase is open while one of both had
 * Offer-Pending: true.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core_private.h"

bool ocp_list_has(const struct ocp_list *l, struct ocp_str uri, struct ocp_uri *offered)
{
	struct ocp_uri u;
	uint32_t at = 0;

	while (ocp_list_next(l, &at, &u)) {
		if (!ocp_str_eq(u.uri, uri))
			continue;
		if (offered)
			*offered = u;
		return true;
	}
	return false;
}

/* --- our offers --- */

int ocp_core_offer(struct ocp_agent *a, const struct ocp_list *features, struct ocp_group *g, bool pending)
{
	struct ocp_core *c = a->core;
	struct ocp_msg m = {
		.type = OCP_MSG_NO,
		.has = OCP_HAS(OCP_P_FEATURES),
		.features = *features,
	};
	int rc;

	if (c->offering)
		return -EALREADY;
	if (features->wire.len > c->offer_cap) {
		char *p = realloc(c->offer, features->wire.len);

		if (!p)
			return -ENOMEM;
		c->offer = p;
		c->offer_cap = features->wire.len;
	}
	if (g) {
		m.has |= OCP_HAS(OCP_P_SG);
		m.sg = g->id;
	}
	if (pending)
		m.has |= OCP_HAS(OCP_P_OFFER_PENDING);
	rc = ocp_agent_send(a, &m, NULL, 0, NULL);
	if (rc)
		return rc;
	if (features->wire.len)
		memcpy(c->offer, features->wire.p, features->wire.len);
	c->offer_len = features->wire.len;
	c->offer_group = g;
	c->offering = true;
	c->crossed = false;
	c->pending_ours = pending;
	c->negotiation_since = a->now;
	return 0;
}

static struct ocp_list offered(const struct ocp_core *c)
{
	return ocp_list_of((struct ocp_str){c->offer, (uint32_t)c->offer_len});
}

/* The answer belongs to our offer: one is pending, and it has its SG, or none. */
static bool answer_fits(const struct ocp_core *c, const struct ocp_msg *m)
{
	struct ocp_list l;

	if (!c->offering || ocp_msg_has(m, OCP_P_SG) != !!c->offer_group)
		return false;
	if (c->offer_group && c->offer_group->id != m->sg)
		return false;
	if (!ocp_msg_has(m, OCP_P_FEATURE))
		return true;
	/* A feature that was not offered is enabled at the peer from here on: going on would not be safe. */
	l = offered(c);
	return ocp_list_has(&l, m->feature.uri, NULL);
}

void ocp_core_on_nr(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;
	struct ocp_group *g = c->offer_group;
	enum ocp_fault f;

	if (!answer_fits(c, m)) {
		ocp_core_fail(a, OCP_FAULT_NEGOTIATION);
		return;
	}
	c->offering = c->crossed = false;
	c->offer_group = NULL;
	c->pending_theirs = ocp_msg_has(m, OCP_P_OFFER_PENDING);
	c->phase = c->peer_phase = c->pending_ours || c->pending_theirs;
	c->negotiation_since = a->now;
	f = c->role->answered(a, g, ocp_msg_has(m, OCP_P_FEATURE) ? &m->feature : NULL, m);
	if (a->over)
		return;
	if (f)
		ocp_core_fail(a, f);
	else if (!c->phase && !c->offering)
		ocp_core_phase_over(a);
}

/* --- the peer's offers --- */

struct answer {
	struct ocp_uri feature;
	bool accepted;
	char *rejects, *unknowns;
	size_t rejects_len, unknowns_len, cap;
};

/* Details are voluntary [11.19], and there is always room: the list is a part of the offer's. */
static void note(char *list, size_t cap, size_t *len, const struct ocp_uri *f)
{
	(void)ocp_list_add(list, cap, len, f);
}

/* 0; -EINVAL: the offer is invalid; -ENOMEM. */
static int choose(struct ocp_agent *a, struct ocp_group *g, const struct ocp_msg *m, struct answer *r)
{
	struct ocp_uri f;
	uint32_t at = 0;

	r->cap = m->features.wire.len + 2;
	r->rejects = malloc(2 * r->cap);
	if (!r->rejects)
		return -ENOMEM;
	r->unknowns = r->rejects + r->cap;
	while (!r->accepted && ocp_list_next(&m->features, &at, &f)) {
		switch (a->core->role->choose(a, g, &f, &r->feature)) {
		case OCP_CHOICE_ACCEPT:
			r->accepted = true;
			break;
		case OCP_CHOICE_REJECT:
			note(r->rejects, r->cap, &r->rejects_len, &f);
			break;
		case OCP_CHOICE_UNKNOWN:
			note(r->unknowns, r->cap, &r->unknowns_len, &f);
			break;
		case OCP_CHOICE_INVALID:
			return -EINVAL;
		}
	}
	return 0;
}

static int send_answer(struct ocp_agent *a, const struct ocp_msg *no, const struct answer *r)
{
	struct ocp_core *c = a->core;
	struct ocp_msg m = {.type = OCP_MSG_NR, .feature = r->feature, .sg = no->sg};

	if (r->accepted)
		m.has |= OCP_HAS(OCP_P_FEATURE);
	if (ocp_msg_has(no, OCP_P_SG))
		m.has |= OCP_HAS(OCP_P_SG);
	if (r->rejects_len) {
		m.has |= OCP_HAS(OCP_P_REJECTS);
		m.rejects = ocp_list_of((struct ocp_str){r->rejects, (uint32_t)r->rejects_len});
	}
	if (r->unknowns_len) {
		m.has |= OCP_HAS(OCP_P_UNKNOWNS);
		m.unknowns = ocp_list_of((struct ocp_str){r->unknowns, (uint32_t)r->unknowns_len});
	}
	if (c->more)
		m.has |= OCP_HAS(OCP_P_OFFER_PENDING);
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

static void answer(struct ocp_agent *a, struct ocp_group *g, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;
	struct answer r = {0};
	int rc = choose(a, g, m, &r);

	if (!rc && !a->over)
		rc = send_answer(a, m, &r);
	free(r.rejects);
	if (a->over || a->broken)
		return;
	if (rc) {
		ocp_core_fail(a, rc == -ENOMEM ? OCP_FAULT_LIMIT : OCP_FAULT_NEGOTIATION);
		return;
	}
	c->pending_ours = c->more;
	c->phase = c->pending_ours || c->pending_theirs;
	if (!c->phase)
		c->peer_phase = false;
	if (r.accepted)
		c->role->chosen(a, g, &r.feature);
	if (!a->over && !c->phase)
		ocp_core_phase_over(a);
}

void ocp_core_on_no(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;
	struct ocp_group *g = NULL;

	if (c->offering && !c->role->expects_offer) {
		/* The processor's offer goes first; the callout server will drop its own. A second one before its answer
		 * to ours breaks the rule of one offer at a time. */
		if (c->crossed)
			ocp_core_fail(a, OCP_FAULT_NEGOTIATION);
		c->crossed = true;
		return;
	}
	if (ocp_msg_has(m, OCP_P_SG)) {
		g = ocp_core_group(c->theirs, m->sg);
		if (!g) {
			ocp_core_fail(a, OCP_FAULT_SG);
			return;
		}
	}
	c->offering = false; /* the callout server disregards its own */
	c->offer_group = NULL;
	c->no_received = true;
	c->pending_theirs = ocp_msg_has(m, OCP_P_OFFER_PENDING);
	c->negotiation_since = a->now;
	answer(a, g, m);
}
