/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a service asks of processors that speak RFC 4037 when they offer it an application profile (RFC 4236 section 3.2):
 * options that the library reads for every service.
 */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int oc_wish_octets(int64_t *to, const struct oc_option *o, struct oc_error *err)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(o->value, &end, 10);
	if (*o->value < '0' || *o->value > '9' || *end || errno || n > OCP_CORE_MAX)
		return oc_error(err, -EINVAL, "'%s=%s': octets from 0 to %d expected", o->key, o->value, OCP_CORE_MAX);
	*to = (int64_t)n;
	return 1;
}

/* Next of the names that `+` separates, *at is NULL behind the last one; false: it is empty. */
static bool oc_wish_name(const char **at, struct ocp_str *name)
{
	const char *end = strchr(*at, '+');
	size_t n = end ? (size_t)(end - *at) : strlen(*at);

	*name = (struct ocp_str){*at, (uint32_t)n};
	*at = end ? end + 1 : NULL;
	return n > 0;
}

static int oc_wish_parts(struct oc_wishes *w, const struct oc_option *o, struct oc_error *err)
{
	const char *at = o->value;
	struct ocp_str name;

	do {
		enum ocp_part part = oc_wish_name(&at, &name) ? ocp_part_find(name) : OCP_PART_NONE;

		if (!(ocp_profile_aux(OCP_FEATURE_HTTP_RESPONSE) & OCP_HAS(part)))
			return oc_error(err, -EINVAL, "'%s=%s': request-header, request-body or request-trailer expected, "
				"joined by +", o->key, o->value);
		w->aux_parts |= (uint32_t)OCP_HAS(part);
	} while (at);
	return 1;
}

static bool oc_wish_bare(struct ocp_str s)
{
	for (uint32_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_'))
			return false;
	}
	return true;
}

static int oc_wish_codings(struct oc_wishes *w, const struct oc_option *o, struct oc_error *err)
{
	const char *at = o->value;
	size_t len = strlen(o->value), n = 0;
	char *list = len < 200 ? malloc(len + 3) : NULL;
	struct ocp_str name;

	while (list && oc_wish_name(&at, &name) && oc_wish_bare(name)) {
		list[n] = n ? ',' : '(';
		memcpy(list + n + 1, name.p, name.len);
		n += name.len + 1;
		if (at)
			continue;
		memcpy(list + n, ")", 2);
		free(w->content_encodings);
		w->content_encodings = list;
		return 1;
	}
	free(list);
	return oc_error(err, -EINVAL, "'%s=%s': names of content codings expected, joined by +", o->key, o->value);
}

static int oc_wish_refuse(struct oc_wishes *w, const struct oc_option *o, struct oc_error *err)
{
	if (strcmp(o->value, "offers") == 0)
		w->refuse_offers = true;
	else if (strcmp(o->value, "transactions") == 0)
		w->refuse_xactions = true;
	else if (strcmp(o->value, "messages") == 0)
		w->refuse_messages = true;
	else
		return oc_error(err, -EINVAL, "'%s=%s': offers, transactions or messages expected", o->key, o->value);
	return 1;
}

int oc_wish(struct oc_wishes *w, const struct oc_option *o, struct oc_error *err)
{
	if (strcmp(o->key, "aux-parts") == 0)
		return oc_wish_parts(w, o, err);
	if (strcmp(o->key, "pause-at-body") == 0)
		return oc_wish_octets(&w->pause_at_body, o, err);
	if (strcmp(o->key, "stop-receiving-body") == 0)
		return oc_wish_octets(&w->stop_receiving_body, o, err);
	if (strcmp(o->key, "preservation-interest-body") == 0)
		return oc_wish_octets(&w->preservation_interest_body, o, err);
	if (strcmp(o->key, "content-encodings") == 0)
		return oc_wish_codings(w, o, err);
	if (strcmp(o->key, "refuse") == 0)
		return oc_wish_refuse(w, o, err);
	return 0;
}

/* The service that an offer is for. For the whole connection: the only one here, if it is the only one. */
static const struct oc_service *oc_wishes_service(struct oc_loop *loop, const struct ocp_list *services)
{
	struct ocp_uri u;
	uint32_t at = 0;

	if (ocp_list_next(services, &at, &u))
		return oc_loop_find(loop, u.uri);
	return loop->services && !loop->services->next ? loop->services : NULL;
}

int oc_wishes_answer(struct oc_loop *loop, const struct ocp_list *services, struct ocp_profile *p)
{
	static const struct oc_wishes none = OC_WISHES_INIT;
	const struct oc_service *s = oc_wishes_service(loop, services);
	const struct oc_wishes *w = s ? &s->wishes : &none;

	if (services->count > 1 || (services->count && !s) || w->refuse_offers)
		return -ENOENT;
	p->aux_parts &= w->aux_parts;
	p->pause_at_body = w->pause_at_body;
	p->stop_receiving_body = w->stop_receiving_body;
	p->preservation_interest_body = w->preservation_interest_body;
	p->content_encodings = ocp_str(w->content_encodings);
	return 0;
}
