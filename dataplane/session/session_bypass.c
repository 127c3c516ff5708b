/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * OPES-Bypass (RFC 3897 section 4, RFC 4236 section 5): services that a request's sender wants neither it nor its response to
 * meet. "*", and a URI that names nothing known here, mean all of them, as does the URI of this system or processor. A list
 * with "*" among URIs is read so, too, since fields that several hops have added are one list. A field with anything else in
 * it says nothing that could be followed. Whether a service may be bypassed is the operator's to say (policy_may_bypass).
 */
#include "session_priv.h"

#include <string.h>

#define ALL_SERVICES UINT64_MAX
_Static_assert(POLICY_SERVICES_MAX <= 64, "a service is a bit of session_bypass.named");

static const char field_name[] = "OPES-Bypass";

static bool same(const char *uri, const char *s, uint32_t len)
{
	return policy_uri_same(uri, strlen(uri), s, len);
}

/* The services that one element of the list names; 0: it is none. */
static uint64_t named_by(const struct policy_image *img, const char *s, uint32_t len)
{
	const struct policy_opes *o = policy_image_opes(img);
	uint64_t named = 0;

	if (len == 1 && *s == '*')
		return ALL_SERVICES;
	if (!policy_uri_absolute(s, len))
		return 0;
	if ((*o->system_uri && same(o->system_uri, s, len)) || (*o->processor_uri && same(o->processor_uri, s, len)))
		return ALL_SERVICES;
	for (uint32_t i = 0; i < policy_image_services(img); i++) {
		if (same(policy_image_service(img, i)->uri, s, len))
			named |= UINT64_C(1) << i;
	}
	return named ? named : ALL_SERVICES; /* RFC 3897 4.3 */
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static void read_field(const struct policy_image *img, const char *v, uint32_t len, struct session_bypass *b)
{
	uint32_t elements = 0;

	for (uint32_t i = 0, to, end; i < len; i = to + 1) {
		uint64_t named;

		for (to = i; to < len && v[to] != ','; to++)
			;
		while (i < to && is_space(v[i]))
			i++;
		for (end = to; end > i && is_space(v[end - 1]); end--)
			;
		if (i == end)
			continue;
		elements++;
		named = named_by(img, v + i, end - i);
		b->malformed |= !named;
		b->named |= named;
	}
	b->malformed |= !elements;
}

void session_bypass_read(const struct policy_image *img, const struct http1_head *h, struct session_bypass *b)
{
	const struct http1_field *f = http1_find(h, field_name);

	memset(b, 0, sizeof(*b));
	if (likely(!f))
		return;
	b->asked = true;
	b->generation = policy_image_generation(img);
	for (; f; f = http1_find_next(h, field_name, f))
		read_field(img, h->buf + f->value.off, f->value.len, b);
}

void session_bypass_begin(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	if (d == 1) {
		p->bypass = s->xchg_head->bypass;
		return;
	}
	p->bypass.asked = false;
	if (!session_image(c))
		return;
	session_bypass_read(session_image(c), &p->framer->http.head, &p->bypass);
	session_count_n(c, STATS_bypass_requests, p->bypass.asked);
	session_count_n(c, STATS_bypass_malformed, p->bypass.malformed);
}

/* Rules have changed since the request: what it named then is not known for sure now, so it is taken for all. */
static bool names(const struct session_bypass *b, const struct policy_image *img, uint32_t service)
{
	if (b->generation != policy_image_generation(img))
		return b->named != 0;
	return b->named >> service & 1;
}

static void not_bypassed(struct session_ctx *c, struct session *s, unsigned d, enum adapt_trace_why why)
{
	static const char *const cause[] = {[ADAPT_TRACE_POLICY] = "policy",
					    [ADAPT_TRACE_CLIENT] = "client",
					    [ADAPT_TRACE_MALFORMED] = "malformed"};
	static const char *const text[] = {
		[ADAPT_TRACE_POLICY] = "OPES-Bypass names the service, which may not be bypassed",
		[ADAPT_TRACE_CLIENT] = "OPES-Bypass names the service, but not from one of opes.bypass-clients",
		[ADAPT_TRACE_MALFORMED] = "OPES-Bypass is neither * nor a list of absolute URIs, and not followed"};

	s->pipe[d].not_bypassed = (uint8_t)why;
	session_count(c, STATS_bypass_refused);
	session_note(c, s, s->pipe[d].rule, "bypass-refused", cause[why], UINT64_MAX, text[why]);
}

void session_bypassed(struct session_ctx *c, struct session *s, unsigned d, const struct policy_rule *r)
{
	struct session_pipe *p = &s->pipe[d];

	if (p->bypass.malformed) {
		not_bypassed(c, s, d, ADAPT_TRACE_MALFORMED);
		return;
	}
	if (!names(&p->bypass, session_image(c), r->service))
		return;
	switch (policy_may_bypass(session_image(c), r, s->info.tuple.client)) {
	case POLICY_BYPASS_GRANTED:
		p->bypassed = true;
		session_count(c, STATS_bypass_followed);
		session_note(c, s, p->rule, "bypass-followed", "client", UINT64_MAX, "the client's OPES-Bypass keeps the message "
										     "from the service");
		break;
	case POLICY_BYPASS_NOT_ALLOWED:
		not_bypassed(c, s, d, ADAPT_TRACE_POLICY);
		break;
	case POLICY_BYPASS_NOT_CLIENT:
		not_bypassed(c, s, d, ADAPT_TRACE_CLIENT);
		break;
	}
}
