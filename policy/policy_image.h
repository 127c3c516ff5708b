/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Layout of an image, private to the compiler, the check and the matcher. The
 * header is followed by sections, each an array; everything refers to elements
 * by index, to text by offset. Sections and Hyperscan databases begin at
 * multiples of POLICY_IMAGE_ALIGN, as must the image itself: a placed database
 * depends on its address modulo 64.
 */
#ifndef POLICY_IMAGE_H
#define POLICY_IMAGE_H

#include "policy/policy_model.h"

#define POLICY_IMAGE_MAGIC 0x4f50455352554c45u /* "OPESRULE" */
#define POLICY_IMAGE_VERSION 3u

enum policy_part {
	POLICY_PART_SERVICES,  /* struct policy_service */
	POLICY_PART_RULES,     /* struct policy_rule */
	POLICY_PART_GATES,     /* struct policy_gate, one per rule */
	POLICY_PART_PREFIXES,  /* struct policy_prefix */
	POLICY_PART_RANGES,    /* struct policy_range */
	POLICY_PART_GROUPS,    /* struct policy_image_group */
	POLICY_PART_TERMS,     /* struct policy_image_term */
	POLICY_PART_FIELDS,    /* struct policy_image_field */
	POLICY_PART_TEXT,      /* char */
	POLICY_PART_DATABASES, /* octets */
	POLICY_PART_OPES,      /* struct policy_image_opes, one */
	POLICY_PART_MAX
};

struct policy_span {
	uint64_t offset; /* from the image's begin */
	uint64_t count;	 /* elements */
};

struct policy_image {
	uint64_t magic;
	uint32_t version;
	uint32_t generation;
	uint64_t length;
	uint64_t checksum;  /* over the whole image with this member 0 */
	char hyperscan[32]; /* version that made the databases */
	uint32_t nregex;
	uint32_t reserved;
	struct policy_span part[POLICY_PART_MAX];
};

struct policy_slice { /* of another section */
	uint32_t first, count;
};

/* What decides first whether a rule may apply. */
struct policy_gate {
	uint8_t protocol, kinds, direction;
	uint8_t flags;
	uint32_t host_hash;		    /* of the one exact host it asks for, else 0 */
	struct policy_slice client, server; /* prefixes */
	struct policy_slice client_port, server_port, vlan; /* ranges */
	struct policy_slice groups;
	uint32_t reserved[2];
};
_Static_assert(sizeof(struct policy_gate) == 64, "a gate is one cache line");
enum {
	POLICY_GATE_BYPASS = 1,	   /* takes the whole flow, whatever its messages */
	POLICY_GATE_CONDITION = 2, /* a bypass of some messages only: no reason to look at a flow */
};

struct policy_image_group {
	uint8_t subject, negate;
	uint16_t field;
	struct policy_slice terms; /* STATUS: ranges */
};

struct policy_image_term {
	uint32_t op;
	uint32_t text, len; /* REGEX: text is the bit */
};

struct policy_image_field {
	uint32_t name, len, hash;
	uint32_t regex_first, regex_count;
	uint32_t reserved;
	uint64_t db, db_len; /* offset from the image's begin; 0 = none */
};

struct policy_image_opes {
	struct policy_opes pub;
	struct policy_slice bypass_clients; /* prefixes */
};

static inline const void *policy_image_part(const struct policy_image *img, enum policy_part p)
{
	return (const char *)img + img->part[p].offset;
}

/* Octets of one element. */
extern const uint32_t policy_image_element[POLICY_PART_MAX];

/* CRC-64 of the image with its checksum taken for 0. */
uint64_t policy_image_checksum(const struct policy_image *img, size_t len);

#endif
