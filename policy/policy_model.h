/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parsed rules with their conditions, between the reader and the compiler.
 * All memory is in the arena of struct policy_rules, which the configuration
 * owns (rules_private).
 */
#ifndef POLICY_MODEL_H
#define POLICY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "policy/policy.h"

/* Subjects of a message condition. */
enum policy_subject {
	POLICY_SUBJECT_METHOD,
	POLICY_SUBJECT_HOST,
	POLICY_SUBJECT_PATH,
	POLICY_SUBJECT_CONTENT_TYPE,
	POLICY_SUBJECT_HEADER,
	POLICY_SUBJECT_STATUS,
	POLICY_SUBJECT_MAX
};

enum policy_op {
	POLICY_OP_EXACT,
	POLICY_OP_PREFIX,
	POLICY_OP_SUFFIX,
	POLICY_OP_REGEX,
	POLICY_OP_MAX
};

/* Address and mask as they lie in memory, network order, IPv4 mapped; v4: the family it stands for.
 */
struct policy_prefix {
	uint64_t addr[2], mask[2];
	uint32_t v4;
	uint32_t bits; /* of 128 */
};

struct policy_range {
	uint16_t lo, hi;
};

struct policy_term {
	enum policy_op op;
	const char *text; /* lower case when the subject is compared without case */
	uint32_t len;
	uint32_t regex; /* index into policy_rules.regex */
};

/* Any of the terms (or ranges) must hold; negated: the field must be there and none hold. */
struct policy_group {
	enum policy_subject subject;
	bool negate;
	uint32_t field; /* index into policy_rules.field: HOST, PATH, CONTENT_TYPE, HEADER */
	struct policy_term *term;
	uint32_t nterms;
	struct policy_range *range; /* STATUS */
	uint32_t nranges;
};

struct policy_rule_full {
	struct policy_rule pub;
	uint32_t direction; /* bit 0: client inside, bit 1: client outside */
	struct policy_prefix *client, *server;
	struct policy_range *client_port, *server_port, *vlan;
	uint32_t nclient, nserver, nclient_port, nserver_port, nvlan;
	struct policy_group *group;
	uint32_t ngroups;
};

/* A thing regular expressions look at: 0 host, 1 path, 2 content type, then one per header name. */
enum { POLICY_FIELD_HOST, POLICY_FIELD_PATH, POLICY_FIELD_CONTENT_TYPE, POLICY_FIELD_HEADER };
#define POLICY_FIELDS_MAX 1024

struct policy_field {
	const char *name; /* lower case; headers only */
	uint32_t len, hash;
	uint32_t regex_first, regex_count; /* bits of its expressions, set when compiled */
	void *db; /* Hyperscan, serialised, malloc'd; NULL = no expressions */
	size_t db_len;
};

struct policy_regex {
	const char *text;
	uint32_t field;
	uint32_t line, column;
	uint32_t bit; /* its number among all, contiguous per field */
};

struct policy_block {
	struct policy_block *next;
	uint64_t data[];
};

struct policy_rules {
	struct policy_block *blocks;
	size_t items; /* conditions so far, against POLICY_ITEMS_MAX */
	struct policy_rule_full *rule;
	uint32_t nrules;
	struct policy_field *field; /* POLICY_FIELDS_MAX allocated by growth */
	uint32_t nfields;
	struct policy_regex *regex;
	uint32_t nregex, regex_cap;
	struct policy_prefix *bypass_client; /* opes.bypass-clients */
	uint32_t nbypass_client;
};
/* All prefixes, ranges and terms of a file: bounds what aliases can multiply. */
#define POLICY_ITEMS_MAX (1u << 20)

/* Zeroed, 8-octet aligned; NULL without memory. */
void *policy_rules_alloc(struct policy_rules *r, size_t count, size_t size);
char *policy_rules_strdup(struct policy_rules *r, const char *s, size_t len, bool lower);
struct policy_rules *policy_rules_new(void);
void policy_rules_free(struct policy_rules *r);
/* Index of the header's field, made if new; UINT32_MAX: too many or no memory. */
uint32_t policy_rules_field(struct policy_rules *r, const char *name, size_t len);
/* Index of the expression; UINT32_MAX without memory. */
uint32_t policy_rules_regex(struct policy_rules *r, uint32_t field, const char *text, uint32_t line,
			    uint32_t column);

/* FNV-1a over lower-cased octets. */
uint32_t policy_hash(const char *s, size_t len);
static inline char policy_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Compiles the expressions of every field; refused ones are added to errs under file's name. 0 or
 * -ENOMEM. */
int policy_regex_compile(struct policy_rules *r, const char *file, struct policy_errors *errs);

/* Adds one finding; the first POLICY_ERRORS_MAX are kept, count goes on. */
void policy_errors_add(struct policy_errors *errs, const char *file, uint32_t line, uint32_t column,
		       const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
