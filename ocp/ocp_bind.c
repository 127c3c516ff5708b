/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From values in wire form to typed parameters. The scanner has checked the
 * grammar and counted every size, so that walking a value needs no checks of
 * its own beyond staying inside it.
 */
#include <string.h>
#include "ocp/ocp_message.h"

/* The octets of an atom; false: a structure or a list. */
static bool atom(struct ocp_token t, struct ocp_str *s)
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

/* Length of the value that begins at p. Quoted octets may look like brackets, so they are stepped
 * over. */
static size_t value_len(const char *p, const char *end)
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

/* First anonymous member of a structure and what follows it up to the closing bracket. */
static enum ocp_bad structure(struct ocp_token t, struct ocp_str *first, struct ocp_str *more)
{
	const char *p = t.p, *end = t.p + t.len - 1;
	size_t n;

	if (*p != '{')
		return OCP_BAD_TYPE;
	p++;
	if (p == end || *p == '\r')
		return OCP_BAD_MISSING;
	n = value_len(p, end);
	if (!atom((struct ocp_token){p, n}, first))
		return OCP_BAD_TYPE;
	*more = (struct ocp_str){p + n, (uint32_t)(end - p - n)};
	return OCP_BAD_NONE;
}

static enum ocp_bad number(struct ocp_str s, uint64_t max, uint64_t *v)
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
	bad = number(s, negative ? UINT64_C(1) << 31 : INT32_MAX, &n);
	if (!bad)
		*v = (int32_t)(negative ? -(int64_t)n : (int64_t)n);
	return bad;
}

static enum ocp_bad flag(struct ocp_msg *m, enum ocp_param p, struct ocp_str s)
{
	if (ocp_str_eq(s, OCP_STR("true")) || ocp_str_eq(s, OCP_STR("1")))
		m->has |= OCP_HAS(p);
	else if (!ocp_str_eq(s, OCP_STR("false")) && !ocp_str_eq(s, OCP_STR("0")))
		return OCP_BAD_TYPE;
	return OCP_BAD_NONE;
}

static enum ocp_bad part(struct ocp_str s, enum ocp_part *v)
{
	for (int i = OCP_PART_NONE + 1; i < OCP_PART_MAX; i++) {
		if (ocp_str_eq(s, ocp_str(ocp_part_name((enum ocp_part)i)))) {
			*v = (enum ocp_part)i;
			return OCP_BAD_NONE;
		}
	}
	return OCP_BAD_RANGE;
}

/* {code ["n:reason"]}; members after that are unknown and ignored */
static enum ocp_bad result(struct ocp_token t, struct ocp_result *r)
{
	struct ocp_str code, more;
	enum ocp_bad bad = structure(t, &code, &more);
	uint64_t n;

	if (bad)
		return bad;
	bad = number(code, INT32_MAX, &n);
	if (bad)
		return bad;
	r->code = n ? (int32_t)n : OCP_RESULT_FAILURE; /* 0 means none in struct ocp_result */
	if (more.len && more.p[0] == ' ') {
		size_t len = value_len(more.p + 1, more.p + more.len);

		if (!atom((struct ocp_token){more.p + 1, len}, &r->reason))
			return OCP_BAD_TYPE;
	}
	return OCP_BAD_NONE;
}

static enum ocp_bad bind_number(struct ocp_msg *m, enum ocp_param p, struct ocp_str s)
{
	uint64_t max = OCP_ID_MAX, n;
	enum ocp_bad bad;

	if (p == OCP_P_OFFSET || p == OCP_P_COPY_AM_OFFSET || p == OCP_P_SIZEP)
		max = OCP_OFFSET_MAX;
	else if (p == OCP_P_MODP)
		max = 100;
	bad = number(s, max, &n);
	if (bad)
		return bad;
	switch (p) {
	case OCP_P_XID:
		m->xid = (uint32_t)n;
		break;
	case OCP_P_AM_ID:
		m->am_id = (uint32_t)n;
		break;
	case OCP_P_RID:
		m->rid = (uint32_t)n;
		break;
	case OCP_P_COPY_AM_ID:
		m->copy_am_id = (uint32_t)n;
		break;
	case OCP_P_OFFSET:
		m->offset = n;
		break;
	case OCP_P_SIZE:
		m->size = n;
		break;
	case OCP_P_COPY_AM_OFFSET:
		m->copy_am_offset = n;
		break;
	case OCP_P_SIZEP:
		m->sizep = n;
		break;
	case OCP_P_MODP:
		m->modp = (uint32_t)n;
		break;
	default:
		m->size_request = (uint32_t)n;
		break;
	}
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
		return flag(m, p, s);
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

	if (p == OCP_P_SERVICE || p == OCP_P_FEATURE) {
		struct ocp_uri *u = p == OCP_P_SERVICE ? &m->service : &m->feature;

		m->has |= OCP_HAS(p);
		return structure(t, &u->uri, &u->more);
	}
	if (p == OCP_P_RESULT) {
		m->has |= OCP_HAS(p);
		return result(t, &m->result);
	}
	if (!atom(t, &s))
		return OCP_BAD_TYPE;
	return bind_atom(m, p, s);
}

enum ocp_bad ocp_msg_bind(struct ocp_msg *m, const struct ocp_token *tok, uint32_t present)
{
	const struct ocp_msg_def *def = ocp_msg_def(m->type);

	if (!def)
		return OCP_BAD_NONE;
	for (unsigned i = 0; i < def->nanon; i++)
		if (!(present & OCP_HAS(def->anon[i])))
			return OCP_BAD_MISSING;
	for (uint32_t left = present; left; left &= left - 1) {
		enum ocp_param p = (enum ocp_param)__builtin_ctz(left);
		enum ocp_bad bad = bind(m, p, tok[p]);

		if (bad)
			return bad;
	}
	if (m->type == OCP_MSG_DATA_HAVE) {
		if (!m->payload)
			return OCP_BAD_MISSING;
		if ((present & OCP_HAS(OCP_P_SIZE)) && m->size != m->payload_size)
			return OCP_BAD_SIZE;
		m->size = m->payload_size;
		m->has |= OCP_HAS(OCP_P_SIZE);
	}
	return OCP_BAD_NONE;
}
