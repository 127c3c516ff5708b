/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From values in wire form to typed parameters. The scanner has checked the
 * grammar and counted every size, so that walking a value needs no checks of
 * its own beyond staying inside it.
 */
#include <string.h>
#include "ocp/ocp_message.h"

bool ocp_atom(struct ocp_token t, struct ocp_str *s)
{
	const char *p = t.p, *end = t.p + t.len;

	if (*p == '{' || *p == '(')
		return false;
	if (*p == '"') {
		p = memchr(p, ':', t.len);
		if (!p)
			return false;
		p++;
		end--;
	}
	*s = (struct ocp_str){p, (uint32_t)(end - p)};
	return true;
}

size_t ocp_value_len(const char *p, const char *end)
{
	const char *at = p;
	unsigned open = 0;

	while (at < end) {
		if (*at == '"') {
			size_t n = 0;

			for (at++; at < end && ocp_is_digit((uint8_t)*at); at++)
				n = n * 10 + (size_t)(*at - '0');
			if ((size_t)(end - at) < n + 2)
				return (size_t)(end - p);
			at += n + 2; /* colon, octets, quote */
		} else if (*at == '{' || *at == '(') {
			open++;
			at++;
		} else if (*at == '}' || *at == ')') {
			if (!open)
				break;
			open--;
			at++;
		} else if (!open && !ocp_is_safe((uint8_t)*at)) {
			break;
		} else {
			at++;
			if (open || (at < end && ocp_is_safe((uint8_t)*at)))
				continue;
		}
		if (!open)
			break;
	}
	return (size_t)(at - p);
}

enum ocp_bad ocp_structure(struct ocp_token t, struct ocp_str *first, struct ocp_str *more)
{
	const char *p = t.p, *end = t.p + t.len - 1;
	size_t n;

	if (*p != '{')
		return OCP_BAD_TYPE;
	p++;
	if (p == end || *p == '\r')
		return OCP_BAD_MISSING;
	n = ocp_value_len(p, end);
	if (!ocp_atom((struct ocp_token){p, n}, first))
		return OCP_BAD_TYPE;
	*more = (struct ocp_str){p + n, (uint32_t)(end - p - n)};
	return OCP_BAD_NONE;
}

enum ocp_bad ocp_number(struct ocp_str s, uint64_t max, uint64_t *v)
{
	uint64_t n = 0;

	if (!s.len)
		return OCP_BAD_TYPE;
	for (uint32_t i = 0; i < s.len; i++) {
		uint64_t digit;

		if (!ocp_is_digit((uint8_t)s.p[i]))
			return OCP_BAD_TYPE;
		digit = (uint64_t)(s.p[i] - '0');
		if (n > (max - digit) / 10)
			return OCP_BAD_RANGE;
		n = n * 10 + digit;
	}
	if (s.len > 1 && s.p[0] == '0')
		return OCP_BAD_RANGE;
	*v = n;
	return OCP_BAD_NONE;
}

static enum ocp_bad signed32(struct ocp_str s, int32_t *v)
{
	bool negative = s.len && s.p[0] == '-';
	enum ocp_bad bad;
	uint64_t n;

	if (negative) {
		s.p++;
		s.len--;
	}
	bad = ocp_number(s, negative ? UINT64_C(1) << 31 : INT32_MAX, &n);
	if (!bad)
		*v = (int32_t)(negative ? -(int64_t)n : (int64_t)n);
	return bad;
}

/* digits: the draft dialect also knows 1 and 0 */
static enum ocp_bad boolean(struct ocp_str s, bool digits, bool *v)
{
	*v = ocp_str_eq(s, OCP_STR("true")) || (digits && ocp_str_eq(s, OCP_STR("1")));
	if (*v || ocp_str_eq(s, OCP_STR("false")) || (digits && ocp_str_eq(s, OCP_STR("0"))))
		return OCP_BAD_NONE;
	return OCP_BAD_TYPE;
}

static enum ocp_bad flag(struct ocp_msg *m, enum ocp_param p, struct ocp_str s)
{
	bool digits = !ocp_msg_is_core(m->type), value = false;
	enum ocp_bad bad = boolean(s, digits, &value);

	if (value)
		m->has |= OCP_HAS(p);
	return bad;
}

static enum ocp_bad part(struct ocp_str s, enum ocp_part *v)
{
	*v = ocp_part_find(s);
	return *v ? OCP_BAD_NONE : OCP_BAD_RANGE;
}

/* {code ["n:reason"]}; members after that are unknown and ignored */
static enum ocp_bad result(struct ocp_token t, struct ocp_result *r)
{
	struct ocp_str code, more;
	enum ocp_bad bad = ocp_structure(t, &code, &more);
	uint64_t n;

	if (bad)
		return bad;
	bad = ocp_number(code, INT32_MAX, &n);
	if (bad)
		return bad;
	r->code = n ? (int32_t)n : OCP_RESULT_FAILURE; /* 0 means none in struct ocp_result */
	if (more.len && more.p[0] == ' ') {
		size_t len = ocp_value_len(more.p + 1, more.p + more.len);

		if (!ocp_atom((struct ocp_token){more.p + 1, len}, &r->reason))
			return OCP_BAD_TYPE;
	}
	return OCP_BAD_NONE;
}

/* {org-offset org-size}, or the two values without brackets that RFC 4037 section 11.9 declares */
static enum ocp_bad kept(struct ocp_token t, struct ocp_msg *m)
{
	const char *end = t.p + t.len;
	struct ocp_str offset, size, more;
	size_t n = ocp_value_len(t.p, end);
	enum ocp_bad bad;
	uint64_t from, octets;

	if (*t.p == '{') {
		if (n != t.len)
			return OCP_BAD_TYPE;
		bad = ocp_structure(t, &offset, &more);
		if (bad)
			return bad;
	} else {
		if (!ocp_atom((struct ocp_token){t.p, n}, &offset))
			return OCP_BAD_TYPE;
		more = (struct ocp_str){t.p + n, (uint32_t)(t.len - n)};
	}
	if (!more.len || more.p[0] != ' ')
		return OCP_BAD_MISSING;
	n = ocp_value_len(more.p + 1, more.p + more.len);
	if (!ocp_atom((struct ocp_token){more.p + 1, n}, &size))
		return OCP_BAD_TYPE;
	bad = ocp_number(offset, OCP_CORE_MAX, &from);
	if (!bad)
		bad = ocp_number(size, OCP_CORE_MAX, &octets);
	if (bad)
		return bad;
	m->kept_offset = (uint32_t)from;
	m->kept_size = (uint32_t)octets;
	return OCP_BAD_NONE;
}

/* A list of structures that begin with a URI. */
static enum ocp_bad list(struct ocp_token t, struct ocp_list *l)
{
	if (*t.p != '(')
		return OCP_BAD_TYPE;
	*l = ocp_list_of((struct ocp_str){t.p, (uint32_t)t.len});
	return l->wire.len ? OCP_BAD_NONE : OCP_BAD_TYPE;
}

/* Where a number goes; exactly one of the two is set. */
struct place {
	uint32_t *narrow;
	uint64_t *wide;
};

static struct place place_of(struct ocp_msg *m, enum ocp_param p)
{
	switch (p) {
	case OCP_P_XID:
		return (struct place){&m->xid, NULL};
	case OCP_P_AM_ID:
		return (struct place){&m->am_id, NULL};
	case OCP_P_RID:
		return (struct place){&m->rid, NULL};
	case OCP_P_COPY_AM_ID:
		return (struct place){&m->copy_am_id, NULL};
	case OCP_P_OFFSET:
		return (struct place){NULL, &m->offset};
	case OCP_P_SIZE:
		return (struct place){NULL, &m->size};
	case OCP_P_COPY_AM_OFFSET:
		return (struct place){NULL, &m->copy_am_offset};
	case OCP_P_SIZEP:
		return (struct place){NULL, &m->sizep};
	case OCP_P_MODP:
		return (struct place){&m->modp, NULL};
	case OCP_P_SG:
		return (struct place){&m->sg, NULL};
	case OCP_P_AS_IS:
		return (struct place){&m->as_is_offset, NULL};
	case OCP_P_ORG_DATA:
		return (struct place){&m->org_data, NULL};
	default:
		return (struct place){&m->size_request, NULL};
	}
}

uint64_t ocp_number_max(enum ocp_msg_type type, enum ocp_param p)
{
	if (p == OCP_P_MODP)
		return 100;
	if (p != OCP_P_OFFSET && p != OCP_P_COPY_AM_OFFSET && p != OCP_P_SIZEP)
		return OCP_ID_MAX;
	return ocp_msg_is_core(type) ? OCP_CORE_MAX : OCP_OFFSET_MAX;
}

static enum ocp_bad bind_number(struct ocp_msg *m, enum ocp_param p, struct ocp_str s)
{
	struct place to = place_of(m, p);
	enum ocp_bad bad;
	uint64_t n = 0;

	bad = ocp_number(s, ocp_number_max(m->type, p), &n);
	if (bad)
		return bad;
	if (to.wide)
		*to.wide = n;
	else
		*to.narrow = (uint32_t)n;
	return OCP_BAD_NONE;
}

static enum ocp_bad bind_atom(struct ocp_msg *m, enum ocp_param p, struct ocp_str s)
{
	switch (p) {
	case OCP_P_ERROR:
	case OCP_P_MODIFIED:
	case OCP_P_COPIED:
	case OCP_P_ACK:
	case OCP_P_WONT_FORWARD:
	case OCP_P_OFFER_PENDING:
		return flag(m, p, s);
	case OCP_P_ANSWER:
		m->has |= OCP_HAS(p);
		return boolean(s, false, &m->answer);
	case OCP_P_CLIENT:
		m->client = s;
		break;
	case OCP_P_META_DATA:
		m->meta_data = s;
		break;
	case OCP_P_AM_PART:
		m->has |= OCP_HAS(p);
		return part(s, &m->am_part);
	case OCP_P_PRIORITY:
		m->has |= OCP_HAS(p);
		return signed32(s, &m->priority);
	default:
		m->has |= OCP_HAS(p);
		return bind_number(m, p, s);
	}
	m->has |= OCP_HAS(p);
	return OCP_BAD_NONE;
}

static enum ocp_bad bind(struct ocp_msg *m, enum ocp_param p, struct ocp_token t)
{
	struct ocp_str s;

	switch (p) {
	case OCP_P_SERVICE:
		m->has |= OCP_HAS(p);
		return ocp_structure(t, &m->service.uri, &m->service.more);
	case OCP_P_FEATURE:
		m->has |= OCP_HAS(p);
		return ocp_structure(t, &m->feature.uri, &m->feature.more);
	case OCP_P_RESULT:
		m->has |= OCP_HAS(p);
		return result(t, &m->result);
	case OCP_P_SERVICES:
		m->has |= OCP_HAS(p);
		return list(t, &m->services);
	case OCP_P_FEATURES:
		m->has |= OCP_HAS(p);
		return list(t, &m->features);
	case OCP_P_REJECTS:
		m->has |= OCP_HAS(p);
		return list(t, &m->rejects);
	case OCP_P_UNKNOWNS:
		m->has |= OCP_HAS(p);
		return list(t, &m->unknowns);
	case OCP_P_KEPT:
		m->has |= OCP_HAS(p);
		return kept(t, m);
	default:
		return ocp_atom(t, &s) ? bind_atom(m, p, s) : OCP_BAD_TYPE;
	}
}

enum ocp_bad ocp_msg_bind(struct ocp_msg *m, const struct ocp_token *tok, uint64_t present)
{
	const struct ocp_msg_def *def = ocp_msg_def(m->type);

	if (!def)
		return OCP_BAD_NONE;
	for (unsigned i = 0; i + def->optional < def->nanon; i++)
		if (!(present & OCP_HAS(def->anon[i])))
			return OCP_BAD_MISSING;
	for (uint64_t left = present; left; left &= left - 1) {
		enum ocp_param p = (enum ocp_param)__builtin_ctzll(left);
		enum ocp_bad bad = bind(m, p, tok[p]);

		if (bad)
			return bad;
	}
	if (ocp_msg_is_data(m->type)) {
		if (!m->payload)
			return OCP_BAD_MISSING;
		if ((present & OCP_HAS(OCP_P_SIZE)) && m->size != m->payload_size)
			return OCP_BAD_SIZE;
		m->size = m->payload_size;
		m->has |= OCP_HAS(OCP_P_SIZE);
	}
	return OCP_BAD_NONE;
}
