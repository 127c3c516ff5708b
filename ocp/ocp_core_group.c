/* SPDX-License-Identifier: BSD-3-Clause */
/* Both agents, core dialect: service groups [11.3, 11.4] and the application profile in force for each [11.18]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core_private.h"

static void group_free(struct ocp_group *g)
{
	free(g->mem);
	free(g->profile_mem);
	free(g);
}

static void list_free(struct ocp_group *g)
{
	while (g) {
		struct ocp_group *next = g->next;

		group_free(g);
		g = next;
	}
}

void ocp_core_groups_free(struct ocp_core *c)
{
	list_free(c->ours);
	list_free(c->theirs);
	free(c->connection.profile_mem);
}

static struct ocp_group *group_new(uint32_t id, const struct ocp_list *services)
{
	struct ocp_group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->id = id;
	g->profile = OCP_PROFILE_INIT;
	if (services->wire.len) {
		g->mem = malloc(services->wire.len);
		if (!g->mem) {
			free(g);
			return NULL;
		}
		memcpy(g->mem, services->wire.p, services->wire.len);
		g->services.wire = (struct ocp_str){g->mem, services->wire.len};
		g->services.count = services->count;
	}
	return g;
}

static void unlink_group(struct ocp_group **list, uint32_t *n, struct ocp_group *g)
{
	while (*list != g)
		list = &(*list)->next;
	*list = g->next;
	--*n;
	group_free(g);
}

static void forget_theirs(struct ocp_core *c, struct ocp_group *g)
{
	c->theirs_octets -= g->services.wire.len;
	unlink_group(&c->theirs, &c->n_theirs, g);
}

struct ocp_group *ocp_core_group(struct ocp_group *list, uint32_t id)
{
	while (list && (list->id != id || list->drop))
		list = list->next;
	return list;
}

/* --- ours --- */

int ocp_core_group_create(struct ocp_agent *a, const struct ocp_list *services, struct ocp_group **out)
{
	struct ocp_core *c = a->core;
	struct ocp_msg m = {
		.type = OCP_MSG_SGC,
		.has = OCP_HAS(OCP_P_SG) | OCP_HAS(OCP_P_SERVICES),
		.services = *services,
	};
	struct ocp_group *g;
	int rc;

	if (c->n_ours >= c->groups_max)
		return -ENOSPC;
	if (c->last_ours >= OCP_CORE_MAX)
		return -EOVERFLOW;
	m.sg = (uint32_t)(c->last_ours < 0 ? 1 : c->last_ours + 1);
	g = group_new(m.sg, services);
	if (!g)
		return -ENOMEM;
	rc = ocp_agent_send(a, &m, NULL, 0, NULL);
	if (rc) {
		group_free(g);
		return rc;
	}
	c->last_ours = m.sg;
	g->next = c->ours;
	c->ours = g;
	c->n_ours++;
	*out = g;
	return 0;
}

int ocp_core_group_destroy(struct ocp_agent *a, struct ocp_group *g)
{
	struct ocp_msg m = {.type = OCP_MSG_SGD, .has = OCP_HAS(OCP_P_SG), .sg = g->id};
	int rc = ocp_agent_send(a, &m, NULL, 0, NULL);

	unlink_group(&a->core->ours, &a->core->n_ours, g);
	return rc;
}

void ocp_core_group_get(struct ocp_group *g)
{
	g->xactions++;
}

static bool is_ours(const struct ocp_core *c, const struct ocp_group *g)
{
	const struct ocp_group *at = c->ours;

	while (at && at != g)
		at = at->next;
	return at;
}

void ocp_core_group_put(struct ocp_agent *a, struct ocp_group *g)
{
	struct ocp_core *c = a->core;

	if (--g->xactions || !g->drop)
		return;
	if (is_ours(c, g))
		ocp_core_group_destroy(a, g);
	else
		forget_theirs(c, g);
}

/* --- the peer's --- */

void ocp_core_on_sgc(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;
	struct ocp_group *g;

	if ((int64_t)m->sg <= c->last_theirs) { /* an identifier is created once, and always higher [10.2] */
		ocp_core_fail(a, OCP_FAULT_SG);
		return;
	}
	/* A group that is not kept ends the connection [11.3]. */
	g = NULL;
	if (c->n_theirs < c->groups_max && m->services.wire.len <= OCP_CORE_SERVICES_MAX - c->theirs_octets)
		g = group_new(m->sg, &m->services);
	if (!g) {
		ocp_core_fail(a, OCP_FAULT_LIMIT);
		return;
	}
	c->last_theirs = m->sg;
	g->next = c->theirs;
	c->theirs = g;
	c->n_theirs++;
	c->theirs_octets += g->services.wire.len;
}

void ocp_core_on_sgd(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;
	struct ocp_group *g = ocp_core_group(c->theirs, m->sg);

	if (!g) {
		ocp_core_fail(a, OCP_FAULT_SG);
		return;
	}
	if (g->xactions) /* they go on with what they began with */
		g->drop = true;
	else
		forget_theirs(c, g);
}

/* --- profiles in force --- */

const struct ocp_profile *ocp_core_profile(const struct ocp_agent *a, const struct ocp_group *g)
{
	if (g && g->agreed)
		return &g->profile;
	return a->core->connection.agreed ? &a->core->connection.profile : NULL;
}

int ocp_core_agree(struct ocp_agent *a, struct ocp_group *g, const struct ocp_profile *p)
{
	char *mem = NULL;

	if (!g)
		g = &a->core->connection;
	if (p->content_encodings.len) {
		mem = malloc(p->content_encodings.len);
		if (!mem)
			return -ENOMEM;
		memcpy(mem, p->content_encodings.p, p->content_encodings.len);
	}
	free(g->profile_mem);
	g->profile_mem = mem;
	g->profile = *p;
	g->profile.content_encodings.p = mem;
	g->agreed = true;
	return 0;
}

static bool any_agreed(const struct ocp_group *g)
{
	while (g && !g->agreed)
		g = g->next;
	return g;
}

/*
 * One profile in force settles which messages a transaction may have, so a second one for the same scope, or for a scope
 * that contains it or is contained, is a conflict. Nothing says what a second offer of the same profile would mean for
 * transactions under way, hence it is one, too.
 */
bool ocp_core_conflict(const struct ocp_agent *a, const struct ocp_group *g)
{
	const struct ocp_core *c = a->core;

	if (c->connection.agreed)
		return true;
	return g ? g->agreed : any_agreed(c->ours) || any_agreed(c->theirs);
}
