/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP profile of RFC 4236 section 3. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ocp/ocp_message.h"
#include "ocp/ocp_profile.h"

#define H(p) ((uint32_t)OCP_HAS(p))
#define REQUEST_PARTS (H(OCP_PART_REQUEST_HEADER) | H(OCP_PART_REQUEST_BODY) | H(OCP_PART_REQUEST_TRAILER))
#define RESPONSE_PARTS                                                                             \
	(H(OCP_PART_RESPONSE_HEADER) | H(OCP_PART_RESPONSE_BODY) | H(OCP_PART_RESPONSE_TRAILER))

static bool is_profile(enum ocp_feature f)
{
	return f == OCP_FEATURE_HTTP_REQUEST || f == OCP_FEATURE_HTTP_RESPONSE;
}

/* --- reading --- */

/* Steps over the item of a list of atoms that begins behind *at; false: no more, or *bad. */
static bool next_atom(struct ocp_str list, size_t *at, struct ocp_str *atom, bool *bad)
{
	const char *end = list.p + list.len, *p = list.p + *at + 1;
	size_t n;

	if (p >= end || (!*at && *p == ')'))
		return false;
	n = ocp_value_len(p, end);
	*bad = !n || !ocp_atom((struct ocp_token){p, n}, atom);
	*at += n + 1;
	return !*bad;
}

/* A list of atoms; mask: of the parts that they name, NULL: any atoms. */
static int read_list(struct ocp_token t, uint32_t *mask)
{
	struct ocp_str list = {t.p, (uint32_t)t.len}, atom;
	bool bad = false;
	size_t at = 0;

	if (*t.p != '(')
		return -EINVAL;
	while (next_atom(list, &at, &atom, &bad)) {
		enum ocp_part part;

		if (!mask)
			continue;
		part = ocp_part_find(atom);
		if (!part)
			return -EINVAL;
		*mask |= H(part);
	}
	return bad ? -EINVAL : 0;
}

static int read_size(struct ocp_token t, int64_t *v)
{
	struct ocp_str s;
	uint64_t n;

	if (!ocp_atom(t, &s) || ocp_number(s, OCP_CORE_MAX, &n))
		return -EINVAL;
	*v = (int64_t)n;
	return 0;
}

static int read_member(struct ocp_profile *p, struct ocp_str name, struct ocp_token value)
{
	int rc;

	if (ocp_str_eq(name, OCP_STR("Aux-Parts")))
		return read_list(value, &p->aux_parts);
	if (ocp_str_eq(name, OCP_STR("Pause-At-Body")))
		return read_size(value, &p->pause_at_body);
	if (ocp_str_eq(name, OCP_STR("Stop-Receiving-Body")))
		return read_size(value, &p->stop_receiving_body);
	if (ocp_str_eq(name, OCP_STR("Preservation-Interest-Body")))
		return read_size(value, &p->preservation_interest_body);
	if (ocp_str_eq(name, OCP_STR("Content-Encodings"))) {
		rc = read_list(value, NULL);
		if (!rc)
			p->content_encodings = (struct ocp_str){value.p, (uint32_t)value.len};
		return rc;
	}
	return 0;
}

int ocp_profile_read(struct ocp_profile *p, const struct ocp_uri *u)
{
	const char *at = u->more.p, *end = at + u->more.len;
	enum ocp_feature f = ocp_feature_find(u->uri);

	*p = OCP_PROFILE_INIT;
	if (!is_profile(f))
		return -ENOENT;
	p->feature = f;
	while (at < end && *at == ' ') /* further anonymous members: unknown */
		at += 1 + ocp_value_len(at + 1, end);
	while (end - at > 2) { /* CRLF and a named member */
		const char *name = at + 2, *colon = memchr(name, ':', (size_t)(end - name));
		size_t n;
		int rc;

		if (!colon || end - colon < 3)
			return -EINVAL;
		at = colon + 2;
		n = ocp_value_len(at, end);
		if (!n)
			return -EINVAL;
		rc = read_member(p, (struct ocp_str){name, (uint32_t)(colon - name)},
				 (struct ocp_token){at, n});
		if (rc)
			return rc;
		at += n;
	}
	return 0;
}

/* --- writing --- */

struct out {
	char *p;
	size_t cap, len;
};

static void put(struct out *o, const char *s, size_t n)
{
	if (n && o->len + n <= o->cap)
		memcpy(o->p + o->len, s, n);
	o->len += n;
}

static void put_text(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static int put_size(struct out *o, const char *name, int64_t v)
{
	char digits[24];

	if (v < 0)
		return 0;
	if (v > OCP_CORE_MAX)
		return -EINVAL;
	snprintf(digits, sizeof(digits), ": %lld", (long long)v);
	put_text(o, "\r\n");
	put_text(o, name);
	put_text(o, digits);
	return 0;
}

static int put_aux(struct out *o, uint32_t mask)
{
	const char *before = "\r\nAux-Parts: (";

	if (mask & ~(REQUEST_PARTS | RESPONSE_PARTS))
		return -EINVAL;
	for (int p = OCP_PART_NONE + 1; p < OCP_PART_MAX; p++) {
		if (!(mask & H(p)))
			continue;
		put_text(o, before);
		put_text(o, ocp_part_name((enum ocp_part)p));
		before = ",";
	}
	if (mask)
		put_text(o, ")");
	return 0;
}

int ocp_profile_write(const struct ocp_profile *p, char *buf, size_t cap, struct ocp_uri *u)
{
	struct out o = {buf, cap, 0};

	if (!is_profile(p->feature) || put_aux(&o, p->aux_parts) ||
	    put_size(&o, "Pause-At-Body", p->pause_at_body) ||
	    put_size(&o, "Stop-Receiving-Body", p->stop_receiving_body) ||
	    put_size(&o, "Preservation-Interest-Body", p->preservation_interest_body))
		return -EINVAL;
	if (p->content_encodings.len) {
		put_text(&o, "\r\nContent-Encodings: ");
		put(&o, p->content_encodings.p, p->content_encodings.len);
	}
	if (o.len)
		put_text(&o, "\r\n");
	if (o.len > cap)
		return -ENOSPC;
	u->uri = ocp_str(ocp_feature_uri(p->feature));
	u->more = (struct ocp_str){buf, (uint32_t)o.len};
	return 0;
}

/* --- parts --- */

uint32_t ocp_profile_aux(enum ocp_feature f)
{
	return f == OCP_FEATURE_HTTP_RESPONSE ? REQUEST_PARTS : 0;
}

uint32_t ocp_profile_original(const struct ocp_profile *p)
{
	if (p->feature == OCP_FEATURE_HTTP_REQUEST)
		return REQUEST_PARTS;
	if (p->feature == OCP_FEATURE_HTTP_RESPONSE)
		return RESPONSE_PARTS | (p->aux_parts & REQUEST_PARTS);
	return 0;
}

uint32_t ocp_profile_adapted(const struct ocp_profile *p)
{
	if (p->feature == OCP_FEATURE_HTTP_REQUEST)
		return REQUEST_PARTS | RESPONSE_PARTS;
	return p->feature == OCP_FEATURE_HTTP_RESPONSE ? RESPONSE_PARTS : 0;
}

enum ocp_part ocp_profile_body(enum ocp_feature f)
{
	if (f == OCP_FEATURE_HTTP_REQUEST)
		return OCP_PART_REQUEST_BODY;
	return f == OCP_FEATURE_HTTP_RESPONSE ? OCP_PART_RESPONSE_BODY : OCP_PART_NONE;
}

bool ocp_profile_part_ok(const struct ocp_profile *p, bool adapted, enum ocp_part last,
			 enum ocp_part part)
{
	uint32_t listed = adapted ? ocp_profile_adapted(p) : ocp_profile_original(p);

	/* the order of enum ocp_part is that of the lists */
	if (part <= OCP_PART_NONE || part >= OCP_PART_MAX || !(listed & H(part)) || part < last)
		return false;
	return !adapted || !last || !((H(last) & REQUEST_PARTS) && (H(part) & RESPONSE_PARTS));
}
