/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Valid OCP messages made at random from the codec's own tables, in every form that the grammar
 * allows (bare and quoted values, named parameters in any order, flags that are false, unknown
 * parameters and messages, the forms of Kept), each with the struct ocp_msg that a decoder has to
 * make of it. For tests and the fuzz target; needs no test framework.
 */
#ifndef OCP_GEN_H
#define OCP_GEN_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ocp/ocp_message.h"

struct gen {
	uint32_t x; /* seed */
	enum ocp_dialect dialect;
	/* the message made last; wire is payload and tail included */
	struct ocp_msg msg;
	char wire[16384];
	size_t len;
	size_t payload_at;
	/* octets that msg points to */
	char keep[16384];
	size_t kept;
};

static inline uint32_t gen_n(struct gen *g, uint32_t n)
{
	g->x = g->x * 1664525 + 1013904223;
	return (g->x >> 12) % n;
}

static inline void gen_put(struct gen *g, const char *p, size_t n)
{
	if (n)
		memcpy(g->wire + g->len, p, n);
	g->len += n;
}

static inline void gen_text(struct gen *g, const char *s)
{
	gen_put(g, s, strlen(s));
}

/* Octets of the wire from `from` on, kept for msg. */
static inline struct ocp_str gen_keep(struct gen *g, const char *p, size_t n)
{
	struct ocp_str s = {g->keep + g->kept, (uint32_t)n};

	if (n)
		memcpy(g->keep + g->kept, p, n);
	g->kept += n;
	return s;
}

static inline void gen_quoted(struct gen *g, const char *p, size_t n)
{
	char size[24];

	snprintf(size, sizeof(size), "\"%zu:", n);
	gen_text(g, size);
	gen_put(g, p, n);
	gen_text(g, "\"");
}

/* Text of safe octets only: quoted now and then. */
static inline void gen_bare(struct gen *g, const char *s)
{
	if (gen_n(g, 6))
		gen_text(g, s);
	else
		gen_quoted(g, s, strlen(s));
}

/* Up to max octets of any value; those that a reader might trip over are frequent. */
static inline size_t gen_octets(struct gen *g, char *p, uint32_t max)
{
	static const char odd[] = "\r\n;{}(),\":01 \0";
	uint32_t n = gen_n(g, max + 1);

	for (uint32_t i = 0; i < n; i++)
		p[i] = gen_n(g, 3) ? odd[gen_n(g, sizeof(odd) - 1)] : (char)gen_n(g, 256);
	return n;
}

static inline void gen_name(struct gen *g, char *p, const char *prefix)
{
	static const char safe[] = "abcXYZ019-_";
	size_t n = strlen(prefix);

	memcpy(p, prefix, n);
	for (uint32_t i = gen_n(g, 8) + 1; i; i--)
		p[n++] = safe[gen_n(g, sizeof(safe) - 1)];
	p[n] = 0;
}

static inline void gen_members(struct gen *g, unsigned depth);

/* Any value. */
static inline void gen_value(struct gen *g, unsigned depth)
{
	char p[32];

	switch (gen_n(g, depth ? 5 : 3)) {
	case 0:
		gen_quoted(g, p, gen_octets(g, p, 20));
		break;
	case 1:
	case 2:
		gen_name(g, p, "v");
		gen_bare(g, p);
		break;
	case 3:
		gen_text(g, "(");
		for (uint32_t i = gen_n(g, 4), first = i; i; i--) {
			gen_text(g, i == first ? "" : ",");
			gen_value(g, depth - 1);
		}
		gen_text(g, ")");
		break;
	default:
		gen_text(g, "{");
		if (gen_n(g, 3))
			gen_value(g, depth - 1);
		else
			gen_text(g, "x");
		gen_members(g, depth - 1);
		gen_text(g, "}");
		break;
	}
}

/* What may follow the first member of a structure. */
static inline void gen_members(struct gen *g, unsigned depth)
{
	for (uint32_t i = gen_n(g, 3); i; i--) {
		gen_text(g, " ");
		gen_value(g, depth);
	}
	if (gen_n(g, 2))
		return;
	for (uint32_t i = gen_n(g, 3) + 1; i; i--) {
		char name[32], prefix[4] = {'M', (char)('a' + i), 0};

		gen_name(g, name, prefix);
		gen_text(g, "\r\n");
		gen_text(g, name);
		gen_text(g, ": ");
		gen_value(g, depth);
	}
	gen_text(g, "\r\n");
}

static inline uint64_t gen_number(struct gen *g, uint64_t max)
{
	uint64_t v = ((uint64_t)gen_n(g, 1u << 20) << 40) ^ ((uint64_t)gen_n(g, 1u << 20) << 20) ^ gen_n(g, 1u << 20);

	switch (gen_n(g, 5)) {
	case 0:
		return max;
	case 1:
		return 0;
	case 2:
		return v % (max < 1000 ? max + 1 : 1000);
	default:
		return v % (max + (max != UINT64_MAX));
	}
}

static inline uint64_t gen_put_number(struct gen *g, uint64_t max)
{
	uint64_t v = gen_number(g, max);
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
	gen_bare(g, digits);
	return v;
}

static inline struct ocp_str gen_atom(struct gen *g)
{
	char p[64];
	size_t n;

	if (gen_n(g, 2)) {
		n = gen_octets(g, p, 40);
		gen_quoted(g, p, n);
	} else {
		gen_name(g, p, "u");
		n = strlen(p);
		gen_bare(g, p);
	}
	return gen_keep(g, p, n);
}

static inline struct ocp_uri gen_uri(struct gen *g)
{
	struct ocp_uri u;
	size_t from;

	gen_text(g, "{");
	if (gen_n(g, 2)) {
		const char *s = ocp_feature_uri((enum ocp_feature)gen_n(g, OCP_FEATURE_MAX));

		gen_quoted(g, s, strlen(s));
		u.uri = gen_keep(g, s, strlen(s));
	} else {
		u.uri = gen_atom(g);
	}
	from = g->len;
	gen_members(g, 2);
	u.more = gen_keep(g, g->wire + from, g->len - from);
	gen_text(g, "}");
	return u;
}

static inline struct ocp_list gen_list(struct gen *g)
{
	size_t from = g->len;
	struct ocp_list l = {.count = gen_n(g, 4)};

	gen_text(g, "(");
	for (uint32_t i = 0; i < l.count; i++) {
		gen_text(g, i ? "," : "");
		gen_uri(g);
	}
	gen_text(g, ")");
	l.wire = gen_keep(g, g->wire + from, g->len - from);
	return l;
}

static inline void gen_result(struct gen *g, struct ocp_result *r)
{
	gen_text(g, "{");
	r->code = (int32_t)gen_put_number(g, OCP_ID_MAX);
	if (!r->code)
		r->code = OCP_RESULT_FAILURE;
	if (gen_n(g, 2)) {
		gen_text(g, " ");
		r->reason = gen_atom(g);
		gen_members(g, 1);
	}
	gen_text(g, "}");
}

static inline void gen_kept(struct gen *g)
{
	bool braces = gen_n(g, 2);

	gen_text(g, braces ? "{" : "");
	g->msg.kept_offset = (uint32_t)gen_put_number(g, OCP_CORE_MAX);
	gen_text(g, " ");
	g->msg.kept_size = (uint32_t)gen_put_number(g, OCP_CORE_MAX);
	if (braces)
		gen_members(g, 1);
	gen_text(g, braces ? "}" : "");
}

static inline void gen_flag(struct gen *g, enum ocp_param p)
{
	bool digits = g->dialect == OCP_DIALECT_DRAFT && gen_n(g, 2), value = gen_n(g, 4);

	gen_bare(g, digits ? (value ? "1" : "0") : value ? "true" : "false");
	if (!value)
		g->msg.has &= ~OCP_HAS(p);
}

static inline void gen_priority(struct gen *g)
{
	char digits[16];

	g->msg.priority = (int32_t)(gen_n(g, 1u << 20) * 4096u);
	snprintf(digits, sizeof(digits), "%d", g->msg.priority);
	gen_bare(g, digits);
}

static inline void gen_number_param(struct gen *g, enum ocp_param p)
{
	struct ocp_msg *m = &g->msg;
	uint64_t v = p == OCP_P_SIZE && ocp_msg_is_data(m->type) ? m->payload_size : 0;
	char digits[24];

	if (p == OCP_P_SIZE && ocp_msg_is_data(m->type)) {
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
		gen_bare(g, digits);
		return;
	}
	v = gen_put_number(g, ocp_number_max(m->type, p));
	switch (p) {
	case OCP_P_XID:
		m->xid = (uint32_t)v;
		break;
	case OCP_P_AM_ID:
		m->am_id = (uint32_t)v;
		break;
	case OCP_P_RID:
		m->rid = (uint32_t)v;
		break;
	case OCP_P_OFFSET:
		m->offset = v;
		break;
	case OCP_P_SIZE:
		m->size = v;
		break;
	case OCP_P_COPY_AM_ID:
		m->copy_am_id = (uint32_t)v;
		break;
	case OCP_P_COPY_AM_OFFSET:
		m->copy_am_offset = v;
		break;
	case OCP_P_SIZEP:
		m->sizep = v;
		break;
	case OCP_P_MODP:
		m->modp = (uint32_t)v;
		break;
	case OCP_P_SIZE_REQUEST:
		m->size_request = (uint32_t)v;
		break;
	case OCP_P_SG:
		m->sg = (uint32_t)v;
		break;
	case OCP_P_AS_IS:
		m->as_is_offset = (uint32_t)v;
		break;
	default: /* OCP_P_ORG_DATA */
		m->org_data = (uint32_t)v;
		break;
	}
}

static inline void gen_param(struct gen *g, enum ocp_param p)
{
	struct ocp_msg *m = &g->msg;

	m->has |= OCP_HAS(p);
	switch (p) {
	case OCP_P_META_DATA:
		m->meta_data = gen_atom(g);
		break;
	case OCP_P_CLIENT:
		m->client = gen_atom(g);
		break;
	case OCP_P_SERVICE:
		m->service = gen_uri(g);
		break;
	case OCP_P_FEATURE:
		m->feature = gen_uri(g);
		break;
	case OCP_P_PRIORITY:
		gen_priority(g);
		break;
	case OCP_P_RESULT:
		gen_result(g, &m->result);
		break;
	case OCP_P_AM_PART:
		m->am_part = (enum ocp_part)(1 + gen_n(g, OCP_PART_MAX - 1));
		gen_bare(g, ocp_part_name(m->am_part));
		break;
	case OCP_P_SERVICES:
		m->services = gen_list(g);
		break;
	case OCP_P_FEATURES:
		m->features = gen_list(g);
		break;
	case OCP_P_REJECTS:
		m->rejects = gen_list(g);
		break;
	case OCP_P_UNKNOWNS:
		m->unknowns = gen_list(g);
		break;
	case OCP_P_ANSWER:
		m->answer = gen_n(g, 2);
		gen_bare(g, m->answer ? "true" : "false");
		break;
	case OCP_P_KEPT:
		gen_kept(g);
		break;
	case OCP_P_ERROR:
	case OCP_P_MODIFIED:
	case OCP_P_COPIED:
	case OCP_P_ACK:
	case OCP_P_WONT_FORWARD:
	case OCP_P_OFFER_PENDING:
		gen_flag(g, p);
		break;
	default:
		gen_number_param(g, p);
		break;
	}
}

/* A named parameter's name in one of its spellings. */
static inline const char *gen_spelling(struct gen *g, enum ocp_param p)
{
	enum ocp_msg_type t = g->msg.type;

	if (p == OCP_P_ACK && gen_n(g, 2))
		return "please-ack";
	if (p == OCP_P_SIZE_REQUEST && gen_n(g, 2))
		return t == OCP_MSG_DWM ? "Size-Request" : "size";
	if (p == OCP_P_ORG_DATA && gen_n(g, 2))
		return "Org-data";
	return ocp_param_name(t, p);
}

/* A random half of the message's named parameters and some unknown ones, in any order. */
static inline void gen_named(struct gen *g, uint64_t allowed)
{
	uint32_t unknown = gen_n(g, 3) ? 0 : 1 + gen_n(g, 2);
	bool any = false;

	for (int i = 0; i < 2 * OCP_P_MAX && allowed; i++) {
		enum ocp_param p = (enum ocp_param)gen_n(g, OCP_P_MAX);

		if (!(allowed & OCP_HAS(p)))
			continue;
		allowed &= ~OCP_HAS(p);
		if (gen_n(g, 2))
			continue;
		gen_text(g, "\r\n");
		gen_text(g, gen_spelling(g, p));
		gen_text(g, ": ");
		gen_param(g, p);
		any = true;
	}
	for (uint32_t i = 0; i < unknown; i++) {
		char name[32], prefix[8] = {'x', '-', (char)('a' + i), 0};

		gen_name(g, name, prefix);
		gen_text(g, "\r\n");
		gen_text(g, name);
		gen_text(g, ": ");
		gen_value(g, 3);
		g->msg.unknown_params++;
		any = true;
	}
	if (any)
		gen_text(g, "\r\n");
}

static inline void gen_payload(struct gen *g)
{
	char size[24];

	snprintf(size, sizeof(size), "\r\n%llu:", (unsigned long long)g->msg.payload_size);
	gen_text(g, size);
	g->payload_at = g->len;
	for (uint64_t i = 0; i < g->msg.payload_size; i++)
		g->wire[g->len++] = "ab\r\n;:0"[gen_n(g, 7)];
	gen_text(g, "\r\n;\r\n");
}

/* Anonymous parameters; unknown ones only when all known ones are there. */
static inline void gen_anonymous(struct gen *g, const struct ocp_msg_def *def)
{
	unsigned n = def->nanon - (def->optional && gen_n(g, 2) ? def->optional : 0);

	for (unsigned i = 0; i < n; i++) {
		gen_text(g, " ");
		gen_param(g, (enum ocp_param)def->anon[i]);
	}
	if (n < def->nanon || gen_n(g, 4))
		return;
	for (uint32_t i = gen_n(g, 3); i; i--) {
		gen_text(g, " ");
		gen_value(g, 3);
		g->msg.unknown_params++;
	}
}

/* Makes one message of g->dialect; type OCP_MSG_UNKNOWN: one with an unknown name. */
static inline void gen_message(struct gen *g, enum ocp_msg_type type)
{
	static const struct ocp_msg_def none = {.name = ""};
	const struct ocp_msg_def *def = ocp_msg_def(type);
	char name[32];

	g->len = g->kept = 0;
	g->msg = (struct ocp_msg){.type = type};
	g->msg.payload = ocp_msg_is_data(type) || !gen_n(g, 12);
	g->msg.payload_size = g->msg.payload ? gen_n(g, gen_n(g, 2) ? 8 : 600) : 0;
	if (def)
		snprintf(name, sizeof(name), "%s", def->name);
	else
		gen_name(g, name, "x-");
	g->msg.name = gen_keep(g, name, strlen(name));
	gen_text(g, name);
	gen_anonymous(g, def ? def : &none);
	gen_named(g, def ? def->named : 0);
	if (ocp_msg_is_data(type)) {
		g->msg.has |= OCP_HAS(OCP_P_SIZE);
		g->msg.size = g->msg.payload_size;
	}
	if (g->msg.payload)
		gen_payload(g);
	else
		gen_text(g, ";\r\n");
}

/* The same, of any type of the dialect. */
static inline void gen_any(struct gen *g)
{
	uint32_t draft = OCP_MSG_CS - OCP_MSG_CONNECTION_START, core = OCP_MSG_MAX - OCP_MSG_CS;
	uint32_t t = g->dialect == OCP_DIALECT_CORE ? OCP_MSG_CS + gen_n(g, core)
						    : OCP_MSG_CONNECTION_START + gen_n(g, draft);

	gen_message(g, gen_n(g, 15) ? (enum ocp_msg_type)t : OCP_MSG_UNKNOWN);
}

#endif
