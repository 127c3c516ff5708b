/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent, core dialect: service groups and the application profiles offered for them [6, 11.3, 11.18]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_processor_private.h"

/* --- services, each with one profile or none --- */

static bool uri_eq(const struct ocp_uri *a, const struct ocp_uri *b)
{
	return ocp_str_eq(a->uri, b->uri) && ocp_str_eq(a->more, b->more);
}

static void uri_copy(struct ocp_uri *to, char *mem, const struct ocp_uri *from)
{
	memcpy(mem, from->uri.p, from->uri.len);
	if (from->more.len)
		memcpy(mem + from->uri.len, from->more.p, from->more.len);
	to->uri = (struct ocp_str){mem, from->uri.len};
	to->more = (struct ocp_str){mem + from->uri.len, from->more.len};
}

static struct ocp_service_group *find(const struct ocp_processor *p, const struct ocp_uri *service, enum ocp_feature f)
{
	struct ocp_service_group *s = p->groups;

	while (s && (s->profile.feature != f || !uri_eq(&s->service, service)))
		s = s->next;
	return s;
}

static int add(struct ocp_processor *p, const struct ocp_uri *service, const struct ocp_profile *profile,
	       struct ocp_service_group **out)
{
	struct ocp_service_group *s = calloc(1, sizeof(*s)), **at = &p->groups;

	if (!s)
		return -ENOMEM;
	s->mem = malloc((size_t)service->uri.len + service->more.len + 1);
	if (!s->mem) {
		free(s);
		return -ENOMEM;
	}
	uri_copy(&s->service, s->mem, service);
	s->profile = *profile;
	s->profile.content_encodings = (struct ocp_str){0}; /* the callout server's to say */
	while (*at)
		at = &(*at)->next;
	*at = *out = s;
	return 0;
}

static void service_group_free(struct ocp_service_group *s)
{
	free(s->mem);
	free(s);
}

int ocp_processor_offers_copy(struct ocp_processor *p, const struct ocp_processor_config *cfg)
{
	for (unsigned i = 0; i < cfg->noffers; i++) {
		const struct ocp_offer *o = &cfg->offers[i];
		struct ocp_service_group *s;
		int rc;

		if ((o->profile.feature != OCP_FEATURE_HTTP_REQUEST && o->profile.feature != OCP_FEATURE_HTTP_RESPONSE) ||
		    !o->service.uri.len || o->service.uri.len > cfg->limits.atom ||
		    find(p, &o->service, o->profile.feature) || i >= cfg->groups_max)
			return -EINVAL;
		rc = add(p, &o->service, &o->profile, &s);
		if (rc)
			return rc;
	}
	return 0;
}

void ocp_processor_offers_free(struct ocp_processor *p)
{
	while (p->groups) {
		struct ocp_service_group *s = p->groups;

		p->groups = s->next;
		service_group_free(s);
	}
	free(p->service_mem);
	free(p->asked_use);
}

int ocp_processor_service_copy(struct ocp_processor *p, const struct ocp_uri *s)
{
	char *mem;

	if (!s->uri.len || s->uri.len > p->a.limits.atom)
		return -EINVAL;
	mem = malloc((size_t)s->uri.len + s->more.len);
	if (!mem)
		return -ENOMEM;
	free(p->service_mem);
	p->service_mem = mem;
	uri_copy(&p->service, mem, s);
	return 0;
}

/* --- groups --- */

/* The group of s, which has none yet: a list of this one service. */
static int create(struct ocp_processor *p, struct ocp_service_group *s)
{
	size_t cap = (size_t)s->service.uri.len + s->service.more.len + 32, len = 0;
	struct ocp_list services;
	char *buf = malloc(cap);
	int rc = buf ? ocp_list_add(buf, cap, &len, &s->service) : -ENOMEM;

	if (!rc) {
		services = ocp_list_of((struct ocp_str){buf, (uint32_t)len});
		rc = services.count ? ocp_core_group_create(&p->a, &services, &s->group) : -EINVAL;
	}
	free(buf);
	return rc;
}

int ocp_processor_group_for(struct ocp_processor *p, const struct ocp_start *st, bool create_it,
			    struct ocp_service_group **out)
{
	const struct ocp_profile none = OCP_PROFILE_INIT;
	const struct ocp_uri *service = st->service ? st->service : &p->service;
	struct ocp_service_group *s;
	int rc;

	*out = NULL;
	if ((!st->service && !p->default_service) || !service->uri.len || service->uri.len > p->a.limits.atom)
		return -EINVAL;
	s = find(p, service, st->profile);
	if (!s && st->profile != OCP_FEATURE_MAX)
		return -EPROTONOSUPPORT;
	if (s && s->state == OCP_OFFER_REJECTED)
		return -EPROTONOSUPPORT;
	if (!create_it)
		return !(s && s->group) && p->a.core->n_ours >= p->a.core->groups_max ? -ENOSPC : 0;
	if (!s) {
		rc = add(p, service, &none, &s);
		if (rc)
			return rc;
	}
	if (!s->group) {
		rc = create(p, s);
		if (rc)
			return rc;
	}
	*out = s;
	return 0;
}

int ocp_processor_group_drop(struct ocp_processor *p, const struct ocp_uri *service)
{
	struct ocp_service_group **at = &p->groups, *s;
	int rc = ocp_agent_ready(&p->a), found = -ENOENT;

	if (rc)
		return rc;
	if (!p->a.core)
		return -ENOENT;
	if (!p->a.core->ready || p->offering) /* an offer may name it */
		return -EAGAIN;
	while ((s = *at)) {
		if (!uri_eq(&s->service, service)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		found = 0;
		if (s->group && s->group->xactions)
			s->group->drop = true;
		else if (s->group)
			ocp_core_group_destroy(&p->a, s->group);
		service_group_free(s);
	}
	return found;
}

const struct ocp_profile *ocp_processor_profile(const struct ocp_processor *p, const struct ocp_uri *service,
						enum ocp_feature profile)
{
	const struct ocp_service_group *s;

	if (!p->a.core || (!service && !p->default_service))
		return NULL;
	s = find(p, service ? service : &p->service, profile);
	return s && s->state == OCP_OFFER_AGREED && s->group ? &s->group->profile : NULL;
}

/* --- our offers --- */

static int offer_one(struct ocp_processor *p, const struct ocp_uri *f, struct ocp_group *g, bool pending)
{
	size_t cap = (size_t)f->uri.len + f->more.len + 32, len = 0;
	char *buf = malloc(cap);
	struct ocp_list l;
	int rc = buf ? ocp_list_add(buf, cap, &len, f) : -ENOMEM;

	if (!rc) {
		l = ocp_list_of((struct ocp_str){buf, (uint32_t)len});
		rc = l.count ? ocp_core_offer(&p->a, &l, g, pending) : -EINVAL;
	}
	free(buf);
	return rc;
}

static struct ocp_service_group *next_offer(struct ocp_service_group *s)
{
	while (s && (s->profile.feature == OCP_FEATURE_MAX || s->state != OCP_OFFER_WAITS))
		s = s->next;
	return s;
}

/* The offer for s; the phase is kept open while there are more [6.1]. */
static int send_offer(struct ocp_processor *p, struct ocp_service_group *s)
{
	char buf[OCP_PROFILE_ROOM];
	struct ocp_uri f;
	int rc = ocp_profile_write(&s->profile, buf, sizeof(buf), &f);

	if (!rc)
		rc = offer_one(p, &f, s->group, next_offer(s->next));
	if (!rc)
		p->offering = s;
	return rc;
}

/*
 * All groups come before the first offer: an offer has to follow CS immediately, but its SG needs the group, and while the
 * phase is open none can be made. Both orders are accepted by agents that follow RFC 4236's examples.
 */
int ocp_processor_offers_send(struct ocp_processor *p)
{
	struct ocp_service_group *s;
	int rc = 0;

	for (s = p->groups; s && !rc; s = s->next)
		if (!s->group)
			rc = create(p, s);
	if (rc)
		return rc;
	s = next_offer(p->groups);
	return s ? send_offer(p, s) : ocp_core_offer(&p->a, &OCP_LIST_EMPTY, NULL, false);
}

/* please_use: one feature for the whole connection. */
int ocp_processor_offer_uri(struct ocp_processor *p, struct ocp_str uri)
{
	struct ocp_uri f = {.uri = uri};
	char *copy;
	int rc;

	if (!p->a.core->ready || p->a.core->phase || p->a.core->offering)
		return -EAGAIN;
	if (!uri.len || uri.len > p->a.limits.atom)
		return -EINVAL;
	copy = malloc((size_t)uri.len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, uri.p, uri.len);
	copy[uri.len] = 0;
	rc = offer_one(p, &f, NULL, false);
	if (rc) {
		free(copy);
		return rc;
	}
	free(p->asked_use);
	p->asked_use = copy;
	return 0;
}

static void tell(struct ocp_agent *a, struct ocp_str uri, bool use)
{
	if (a->on_feature)
		a->on_feature(a->ctx, ocp_feature_find(uri), uri, use ? OCP_ANSWER_WILL_USE : OCP_ANSWER_WONT_USE);
}

/* The server selects auxiliary parts that were offered, and no others (RFC 4236 3.2.3). */
static enum ocp_fault take_profile(struct ocp_agent *a, struct ocp_service_group *s, const struct ocp_uri *feature)
{
	struct ocp_profile got;

	if (ocp_profile_read(&got, feature) || got.feature != s->profile.feature ||
	    (got.aux_parts & ~s->profile.aux_parts))
		return OCP_FAULT_PROFILE_ANSWER;
	if (ocp_core_agree(a, s->group, &got))
		return OCP_FAULT_LIMIT;
	s->state = OCP_OFFER_AGREED;
	return OCP_FAULT_NONE;
}

static enum ocp_fault answered_connection(struct ocp_agent *a, const struct ocp_uri *feature)
{
	struct ocp_processor *p = ocp_processor_of(a);
	char *uri = p->asked_use;

	p->asked_use = NULL;
	if (uri)
		tell(a, ocp_str(uri), feature);
	free(uri);
	return OCP_FAULT_NONE;
}

enum ocp_fault ocp_processor_answered(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *feature,
				      const struct ocp_msg *m)
{
	struct ocp_processor *p = ocp_processor_of(a);
	struct ocp_service_group *s = p->offering, *next;
	enum ocp_fault f = OCP_FAULT_NONE;

	p->offering = NULL;
	if (!s)
		return answered_connection(a, feature);
	if (feature)
		f = take_profile(a, s, feature);
	else
		s->state = OCP_OFFER_REJECTED;
	if (f)
		return f;
	tell(a, ocp_str(ocp_feature_uri(s->profile.feature)), feature);
	next = a->over ? NULL : next_offer(s->next);
	return next && send_offer(p, next) == -ENOMEM ? OCP_FAULT_LIMIT : OCP_FAULT_NONE;
}

/* --- the callout server's offers --- */

/*
 * Profiles are for the processor's owner to offer: a second one would conflict with what its groups have, so the server's
 * are rejected [6]. This project's own features are how an agent of RFC 4037 works anyway.
 */
enum ocp_choice ocp_processor_choose(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *f,
				     struct ocp_uri *answer)
{
	enum ocp_feature known = ocp_feature_find(f->uri);
	struct ocp_profile p;

	if (known == OCP_FEATURE_MAX)
		return OCP_CHOICE_UNKNOWN;
	if (ocp_profile_read(&p, f) == -EINVAL)
		return OCP_CHOICE_INVALID;
	if (!(a->features_used & a->features_known & OCP_HAS(known)))
		return OCP_CHOICE_REJECT;
	*answer = (struct ocp_uri){.uri = f->uri};
	return OCP_CHOICE_ACCEPT;
}

void ocp_processor_chosen(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *answer)
{
	tell(a, answer->uri, true);
}
