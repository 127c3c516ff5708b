/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of the index: shared by its making and the look-up. A key is a hash of
 * the condition; two conditions with one key only make more candidates.
 */
#ifndef POLICY_INDEX_TABLE_H
#define POLICY_INDEX_TABLE_H

#include <stdbool.h>
#include "policy/policy_image.h"
#include "policy/policy_index.h"

#define POLICY_INDEX_DENSE UINT32_MAX
#define POLICY_INDEX_LEN                                                                           \
	255u /* octets of a prefix or suffix that count; the rest is checked with the rule */
#define POLICY_INDEX_MASKS 258u /* lengths of prefixes of both families */

/* Further kinds of keys, after enum policy_op. */
enum {
	POLICY_INDEX_PRESENT = POLICY_OP_MAX, /* header field, whatever its value */
	POLICY_INDEX_ADDRESS,
	POLICY_INDEX_NUMBER,
};

/* Subjects of the keys that are of the tuple. */
enum {
	POLICY_INDEX_CLIENT,
	POLICY_INDEX_SERVER,
	POLICY_INDEX_SERVER_PORT,
	POLICY_INDEX_VLAN,
	POLICY_INDEX_TUPLE, /* number of them */
};

struct policy_index_entry {
	uint64_t key; /* 0 = free */
	uint32_t first,
		count; /* of the list; count POLICY_INDEX_DENSE: first is the bitmap's number */
};

struct policy_index_table { /* open addressing, at most half full */
	struct policy_index_entry *entry;
	uint64_t mask;
};

/* What the rules ask of one text. Bit n: some rule asks for n octets; the last one of exact stands
 * for all from there. */
struct policy_index_slot {
	uint64_t exact[4], prefix[4], suffix[4];
	bool used, regex, present;
};

struct policy_index_masks {
	uint64_t mask[POLICY_INDEX_MASKS][2];
	uint32_t count;
};

struct policy_index {
	struct policy_index_table table;
	uint32_t *list;
	uint64_t *dense, *always, *candidate;
	uint32_t nwords;		/* of a bitmap of rules */
	struct policy_index_slot *slot; /* one per field, then the method's */
	uint32_t method;
	bool fields, server_port, vlan; /* some key is of header fields or the content type, ... */
	struct policy_index_masks masks[2];
};

static inline uint64_t policy_index_mix(uint64_t k)
{
	k ^= k >> 32;
	k *= UINT64_C(0xd6e8feb86659fd93);
	k ^= k >> 32;
	return k ? k : 1;
}

/* h: of the len octets of text, or the bit of an expression. */
static inline uint64_t policy_index_key(uint32_t slot, uint32_t op, uint32_t len, uint64_t h)
{
	return policy_index_mix(h + ((uint64_t)slot * 8 + op) * UINT64_C(0x9e3779b97f4a7c15) +
				len * UINT64_C(0xc2b2ae3d27d4eb4f));
}

static inline uint64_t policy_index_address(uint32_t what, const uint64_t addr[2],
					    const uint64_t mask[2], bool v4)
{
	uint64_t h = policy_index_mix(addr[0] + mask[0] * 3 + v4);

	return policy_index_key(what, POLICY_INDEX_ADDRESS, 0,
				policy_index_mix(h + addr[1]) + mask[1] * 3);
}

static inline uint64_t policy_index_number(uint32_t what, uint16_t v)
{
	return policy_index_key(what, POLICY_INDEX_NUMBER, 0, v);
}

/* Case is ignored (and some other octets become alike): where it counts, the rule's own check says
 * so. */
static inline uint64_t policy_index_octet(uint64_t h, char c)
{
	return (h ^ (uint8_t)(c | 0x20)) * UINT64_C(0x100000001b3);
}

/* Goes on with a hash of the first `at` octets to the first len. */
static inline uint64_t policy_index_forward(uint64_t h, const char *s, uint32_t at, uint32_t len)
{
	for (; at < len; at++)
		h = policy_index_octet(h, s[at]);
	return h;
}

/* The same for the last octets before end. */
static inline uint64_t policy_index_backward(uint64_t h, const char *end, uint32_t at, uint32_t len)
{
	for (; at < len; at++)
		h = policy_index_octet(h, end[-1 - (ptrdiff_t)at]);
	return h;
}

/* The key's entry, or the free one where it belongs. */
static inline struct policy_index_entry *policy_index_find(const struct policy_index_table *t,
							   uint64_t key)
{
	uint64_t at = key & t->mask;

	while (t->entry[at].key && t->entry[at].key != key)
		at = (at + 1) & t->mask;
	return &t->entry[at];
}

#endif
