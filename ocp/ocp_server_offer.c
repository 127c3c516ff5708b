/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent, core dialect: application profiles that the processor offers (RFC 4037 section 6, RFC 4236
 * section 3.2).
 */
#include "ocp/ocp_server_private.h"

/* What the owner says to the profile offered. */
static int ask(struct ocp_server *s, struct ocp_group *g, struct ocp_profile *p)
{
	const struct ocp_list none = OCP_LIST_EMPTY;
	uint32_t aux = p->aux_parts & ocp_profile_aux(p->feature); /* others are ignored, RFC 4236 section 3.2.3 */

	p->aux_parts = aux;
	/* Only a callout server has these to say. */
	p->pause_at_body = p->stop_receiving_body = p->preservation_interest_body = -1;
	p->content_encodings = (struct ocp_str){0};
	if (!s->ops.offer) {
		p->aux_parts = 0;
		return 0;
	}
	if (s->ops.offer(s->a.ctx, g ? &g->services : &none, p))
		return -1;
	p->aux_parts &= aux; /* never one that was not offered */
	return 0;
}

enum ocp_choice ocp_server_choose(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *f,
				  struct ocp_uri *answer)
{
	struct ocp_server *s = ocp_server_of(a);
	enum ocp_feature feature = ocp_feature_find(f->uri);
	struct ocp_profile p;

	if (!ocp_server_supports(a, f))
		return OCP_CHOICE_UNKNOWN;
	if (ocp_profile_read(&p, f))
		return OCP_CHOICE_INVALID;
	if (ocp_core_conflict(a, g))
		return OCP_CHOICE_REJECT;
	if (ask(s, g, &p) || p.feature != feature)
		return OCP_CHOICE_REJECT;
	if (ocp_profile_write(&p, a->core->answer_buf, sizeof(a->core->answer_buf), answer))
		return OCP_CHOICE_REJECT;
	return OCP_CHOICE_ACCEPT;
}

void ocp_server_chosen(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *answer)
{
	enum ocp_feature f = ocp_feature_find(answer->uri);
	struct ocp_profile p;

	if (ocp_profile_read(&p, answer) || ocp_core_agree(a, g, &p)) {
		ocp_agent_end(a, OCP_END_MEMORY, true, &ocp_server_failure);
		return;
	}
	if (a->on_feature)
		a->on_feature(a->ctx, f, answer->uri, OCP_ANSWER_WILL_USE);
}

/* Answers to ocp_server_please_use. */
enum ocp_fault ocp_server_answered(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *feature,
				   const struct ocp_msg *m)
{
	struct ocp_list offered = ocp_list_of((struct ocp_str){a->core->offer, (uint32_t)a->core->offer_len});
	struct ocp_uri u = {0};
	uint32_t at = 0;

	if (!ocp_list_next(&offered, &at, &u))
		return OCP_FAULT_NONE;
	if (a->on_feature)
		a->on_feature(a->ctx, ocp_feature_find(u.uri), u.uri,
			      feature ? OCP_ANSWER_WILL_USE : OCP_ANSWER_WONT_USE);
	return OCP_FAULT_NONE;
}

bool ocp_server_supports(struct ocp_agent *a, const struct ocp_uri *f)
{
	enum ocp_feature feature = ocp_feature_find(f->uri);

	return feature < OCP_FEATURE_MAX && (ocp_server_of(a)->profiles & OCP_HAS(feature));
}
