/* SPDX-License-Identifier: BSD-3-Clause */
/* Encoder: always the shortest form; required parameters positional, optional ones named. */
#include <errno.h>
#include <string.h>
#include "ocp/ocp_message.h"
#include "ocp/ocp_plain.h"

struct out {
	char *p;
	size_t cap, len; /* len may pass cap: octets needed */
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

static void put_number(struct out *o, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(o, digits + i, sizeof(digits) - i);
}

static void put_quoted(struct out *o, struct ocp_str s)
{
	put(o, "\"", 1);
	put_number(o, s.len);
	put(o, ":", 1);
	put(o, s.p, s.len);
	put(o, "\"", 1);
}

static void put_uri(struct out *o, const struct ocp_uri *u)
{
	put(o, "{", 1);
	put_quoted(o, u->uri);
	put(o, u->more.p, u->more.len);
	put(o, "}", 1);
}

static int put_result(struct out *o, const struct ocp_result *r)
{
	if (r->code < 0)
		return -EINVAL;
	put(o, "{", 1);
	put_number(o, (uint64_t)r->code);
	if (r->reason.len) {
		put(o, " ", 1);
		put_quoted(o, r->reason);
	}
	put(o, "}", 1);
	return 0;
}

static void put_list(struct out *o, const struct ocp_list *l)
{
	if (l->wire.len)
		put(o, l->wire.p, l->wire.len);
	else
		put(o, "()", 2);
}

static int put_limited(struct out *o, uint64_t v, uint64_t max)
{
	if (v > max)
		return -EINVAL;
	put_number(o, v);
	return 0;
}

/* structure: two values of one parameter are no named-value of section 3.1 */
static int put_kept(struct out *o, const struct ocp_msg *m)
{
	int rc;

	put(o, "{", 1);
	rc = put_limited(o, m->kept_offset, OCP_CORE_MAX);
	if (rc)
		return rc;
	put(o, " ", 1);
	rc = put_limited(o, m->kept_size, OCP_CORE_MAX);
	put(o, "}", 1);
	return rc;
}

static int put_part(struct out *o, enum ocp_part part)
{
	if (part <= OCP_PART_NONE || part >= OCP_PART_MAX)
		return -EINVAL;
	put_text(o, ocp_part_name(part));
	return 0;
}

static int put_priority(struct out *o, int32_t priority)
{
	if (priority < 0)
		put(o, "-", 1);
	put_number(o, (uint64_t)(priority < 0 ? -(int64_t)priority : priority));
	return 0;
}

static int put_number_param(struct out *o, const struct ocp_msg *m, enum ocp_param p)
{
	uint64_t max = ocp_number_max(m->type, p);

	switch (p) {
	case OCP_P_XID:
		return put_limited(o, m->xid, max);
	case OCP_P_AM_ID:
		return put_limited(o, m->am_id, max);
	case OCP_P_RID:
		return put_limited(o, m->rid, max);
	case OCP_P_COPY_AM_ID:
		return put_limited(o, m->copy_am_id, max);
	case OCP_P_OFFSET:
		return put_limited(o, m->offset, max);
	case OCP_P_COPY_AM_OFFSET:
		return put_limited(o, m->copy_am_offset, max);
	case OCP_P_SIZEP:
		return put_limited(o, m->sizep, max);
	case OCP_P_SIZE:
		return put_limited(o, m->size, max);
	case OCP_P_SIZE_REQUEST:
		return put_limited(o, m->size_request, max);
	case OCP_P_SG:
		return put_limited(o, m->sg, max);
	case OCP_P_AS_IS:
		return put_limited(o, m->as_is_offset, max);
	case OCP_P_ORG_DATA:
		return put_limited(o, m->org_data, max);
	default:
		return put_limited(o, m->modp, max);
	}
}

static int put_param(struct out *o, const struct ocp_msg *m, enum ocp_param p)
{
	switch (p) {
	case OCP_P_META_DATA:
		put_quoted(o, m->meta_data);
		return 0;
	case OCP_P_CLIENT:
		put_quoted(o, m->client);
		return 0;
	case OCP_P_SERVICE:
		put_uri(o, &m->service);
		return 0;
	case OCP_P_FEATURE:
		put_uri(o, &m->feature);
		return 0;
	case OCP_P_SERVICES:
		put_list(o, &m->services);
		return 0;
	case OCP_P_FEATURES:
		put_list(o, &m->features);
		return 0;
	case OCP_P_REJECTS:
		put_list(o, &m->rejects);
		return 0;
	case OCP_P_UNKNOWNS:
		put_list(o, &m->unknowns);
		return 0;
	case OCP_P_RESULT:
		return put_result(o, &m->result);
	case OCP_P_PRIORITY:
		return put_priority(o, m->priority);
	case OCP_P_AM_PART:
		return put_part(o, m->am_part);
	case OCP_P_KEPT:
		return put_kept(o, m);
	case OCP_P_ANSWER:
		put_text(o, m->answer ? "true" : "false");
		return 0;
	case OCP_P_ERROR:
	case OCP_P_MODIFIED:
	case OCP_P_COPIED:
	case OCP_P_ACK:
	case OCP_P_WONT_FORWARD:
	case OCP_P_OFFER_PENDING:
		put_text(o, "true");
		return 0;
	default:
		return put_number_param(o, m, p);
	}
}

/* Positional parameters; *left: bits that have not been written. Only the last ones may be
 * absent. */
static int put_anonymous(struct out *o, const struct ocp_msg *m, const struct ocp_msg_def *def,
			 uint64_t *left)
{
	for (unsigned i = 0; i < def->nanon; i++) {
		enum ocp_param p = (enum ocp_param)def->anon[i];
		int rc;

		if (!ocp_msg_has(m, p)) {
			if (i + def->optional < def->nanon)
				return -EINVAL;
			break;
		}
		*left &= ~OCP_HAS(p);
		put(o, " ", 1);
		rc = put_param(o, m, p);
		if (rc)
			return rc;
	}
	return 0;
}

static int put_named(struct out *o, const struct ocp_msg *m, uint64_t named)
{
	while (named) {
		enum ocp_param p = (enum ocp_param)__builtin_ctzll(named);
		int rc;

		named &= named - 1;
		put(o, "\r\n", 2);
		put_text(o, ocp_param_name(m->type, p));
		put(o, ": ", 2);
		rc = put_param(o, m, p);
		if (rc)
			return rc;
	}
	put(o, "\r\n", 2);
	return 0;
}

int ocp_encode(const struct ocp_msg *m, uint64_t payload_size, char *head, size_t cap,
	       size_t *head_len)
{
	const struct ocp_msg_def *def = ocp_msg_def(m->type);
	bool data = ocp_msg_is_data(m->type);
	struct out o = {head, cap, 0};
	uint64_t left = m->has;
	int rc;

	if (cap >= OCP_PLAIN_MAX) {
		*head_len = ocp_plain_encode(m, payload_size, head);
		if (*head_len)
			return 0;
	}
	if (!def || payload_size > OCP_ID_MAX || (payload_size && !data))
		return -EINVAL;
	if (data)
		left &= ~OCP_HAS(OCP_P_SIZE); /* the payload says it */
	put_text(&o, def->name);
	rc = put_anonymous(&o, m, def, &left);
	if (rc)
		return rc;
	if (left & ~def->named)
		return -EINVAL;
	if (left) {
		rc = put_named(&o, m, left);
		if (rc)
			return rc;
	}
	if (data) {
		put(&o, "\r\n", 2);
		put_number(&o, payload_size);
		put(&o, ":", 1);
	} else {
		put(&o, ";\r\n", 3);
	}
	*head_len = o.len;
	return o.len <= cap ? 0 : -ENOSPC;
}
