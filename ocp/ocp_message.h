/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: which parameters each message has, and reading a complete
 * head's values into struct ocp_msg.
 */
#ifndef OCP_MESSAGE_H
#define OCP_MESSAGE_H

#include "ocp/ocp.h"

#define OCP_ANON_MAX 6

struct ocp_msg_def {
	const char *name;
	uint8_t nanon;
	uint8_t anon[OCP_ANON_MAX]; /* enum ocp_param, in wire order */
	uint64_t named;		    /* OCP_HAS mask */
	uint8_t optional;	    /* how many of anon, the last ones, may be absent */
};

/* NULL for OCP_MSG_UNKNOWN and out of range. */
const struct ocp_msg_def *ocp_msg_def(enum ocp_msg_type type);
/* dialects: mask of OCP_HAS(enum ocp_dialect) to look in. */
enum ocp_msg_type ocp_msg_find(const char *name, size_t len, uint32_t dialects);
static inline bool ocp_msg_is_core(enum ocp_msg_type type)
{
	return type >= OCP_MSG_CS;
}
/* data-have and DUM: payload required, and its size is theirs */
static inline bool ocp_msg_is_data(enum ocp_msg_type type)
{
	return type == OCP_MSG_DATA_HAVE || type == OCP_MSG_DUM;
}
/* Name of a named parameter in messages of this type. */
const char *ocp_param_name(enum ocp_msg_type type, enum ocp_param p);
/* Named parameter of a message of this type; OCP_P_MAX: unknown there. Knows the aliases
 * please-ack (<108>) and, for data-need, size (<102>), and Size-request and Org-Data in any case
 * of letters (RFC 4037 spells them in several ways). */
enum ocp_param ocp_param_find(enum ocp_msg_type type, const char *name, size_t len);

/* A value's octets in wire form; its grammar has been checked. */
struct ocp_token {
	const char *p;
	size_t len;
};
/* Fills m from tokens (indexed by enum ocp_param; present: OCP_HAS bits of those that are there).
 * m->type, payload and payload_size are set by the caller. Type, range and presence are checked
 * here. */
enum ocp_bad ocp_msg_bind(struct ocp_msg *m, const struct ocp_token *tok, uint64_t present);
/* First anonymous member of a structure and what follows it up to the closing bracket. t: one
 * value. OCP_BAD_TYPE: no structure or no atom, OCP_BAD_MISSING: no anonymous member. */
enum ocp_bad ocp_structure(struct ocp_token t, struct ocp_str *first, struct ocp_str *more);
/* The octets of an atom, bare or quoted; false: a structure or a list. */
bool ocp_atom(struct ocp_token t, struct ocp_str *s);
/* Octets of the value that begins at p. Quoted octets may look like brackets, so they are stepped
 * over. 0: no value begins there. */
size_t ocp_value_len(const char *p, const char *end);
/* The largest value of a number. */
uint64_t ocp_number_max(enum ocp_msg_type type, enum ocp_param p);
/* Decimal, without leading zeros, at most max. */
enum ocp_bad ocp_number(struct ocp_str s, uint64_t max, uint64_t *v);

static inline bool ocp_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}
static inline bool ocp_is_alpha(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}
/* letters, digits, - and _ : a bit per octet below 128 */
static inline bool ocp_is_safe(uint8_t c)
{
	static const uint32_t set[4] = {0, 0x03ff2000, 0x87fffffe, 0x07fffffe};

	return c < 128 && (set[c >> 5] >> (c & 31) & 1);
}
#endif
