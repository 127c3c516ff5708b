/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Table-driven reader: a section is a table of keys; a key says how its value
 * is written, where it goes, what it is when absent, what it may be and what it
 * means. The same tables print the reference in docs/configuration.md and tell
 * which changes need a restart.
 */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <yaml.h>
#include "policy/policy_model.h"

enum policy_type {
	POLICY_T_STRING,   /* char[size] */
	POLICY_T_INTEGER,  /* intN or uintN of size octets */
	POLICY_T_SIZE,	   /* likewise, octets */
	POLICY_T_MEBIBYTE, /* written as a size, kept in MiB */
	POLICY_T_DURATION, /* uint64_t, microseconds */
	POLICY_T_BOOL,	   /* bool */
	POLICY_T_ENUM,	   /* uint32_t */
	POLICY_T_SECTION,  /* mapping of its own table, at offset */
	POLICY_T_CUSTOM,   /* fn reads it */
};

enum {
	POLICY_REQUIRED = 1, /* absent is an error */
	POLICY_RESTART = 2,  /* a change needs a restart; inherited by a section's keys */
	POLICY_INVERT = 4,   /* bool kept negated */
};

#define POLICY_KEYS_MAX 32 /* keys of one section */

struct policy_word {
	const char *name;
	uint32_t value;
};

struct policy_reader {
	const char *file;
	yaml_document_t *doc;
	struct policy_errors *errs;
	struct policy_config *cfg;
	struct policy_rules *rules;
	bool no_memory;
};

struct policy_key;
struct policy_section {
	const char *title; /* "services[]": heading and word in messages */
	const struct policy_key *keys;
	uint32_t nkeys;
};

/* node: the key's value; base: the section's struct. Adds its own errors. */
typedef void (*policy_key_fn)(struct policy_reader *r, const struct policy_key *k,
			      yaml_node_t *node, void *base);

struct policy_key {
	const char *name;
	enum policy_type type;
	uint32_t flags;
	uint32_t offset, size;
	const char *def;  /* as it would be written; NULL = none */
	int64_t min, max; /* of the number; max 0 = what the type holds; strings: length */
	const struct policy_word *words; /* ENUM, ends with a NULL name */
	const struct policy_section
		*section; /* SECTION; of a CUSTOM list's elements, for the reference */
	policy_key_fn fn;
	const char *how; /* reference: how it is written, CUSTOM */
	const char *doc;
};

#define POLICY_AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)
#define POLICY_SECTION(title, keys)                                                                \
	{                                                                                          \
		title, keys, sizeof(keys) / sizeof((keys)[0])                                      \
	}

/* Reads the mapping node (NULL: everything absent, reported at parent) into base. Keys are taken in
 * the table's order, whatever the file's. */
void policy_schema_read(struct policy_reader *r, const struct policy_section *s, yaml_node_t *node,
			const yaml_node_t *parent, void *base);
/* One value of a key that is not CUSTOM. False: an error was added. */
bool policy_schema_value(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);

/* Adds an error at the node (NULL: the file's first line). */
void policy_reader_error(struct policy_reader *r, const yaml_node_t *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* --- nodes ---------------------------------------------------------------------------------------
 */

/* The scalar's text; NULL (and an error naming what) if it is something else or holds a NUL. */
const char *policy_node_text(struct policy_reader *r, yaml_node_t *n, const char *what);
/* Elements: of a sequence, or the node itself as the only one. */
uint32_t policy_node_count(const yaml_node_t *n);
yaml_node_t *policy_node_item(struct policy_reader *r, yaml_node_t *n, uint32_t i);
/* Value of a key in a mapping, NULL if absent or not a mapping. */
yaml_node_t *policy_node_find(struct policy_reader *r, yaml_node_t *map, const char *key);
/* "a list" and so on, for messages. */
const char *policy_node_kind(const yaml_node_t *n);
/* An entry of words equal to text; NULL and an error listing them. */
const struct policy_word *policy_word_find(struct policy_reader *r, const yaml_node_t *n,
					   const char *what, const struct policy_word *words,
					   const char *text);
/* Nearest word to text when it is near enough to be a slip of the pen, else NULL. */
const char *policy_nearest(const char *text, const char *const *words, uint32_t n);

/* --- what else the tables give -------------------------------------------------------------------
 */

/* Path of the first RESTART key whose value differs, in buf; false if none. */
bool policy_schema_differs(const struct policy_section *s, const void *a, const void *b,
			   uint32_t flags, char *buf, uint32_t cap);
/* The reference as Markdown tables. */
void policy_schema_print(FILE *out);

extern const struct policy_section policy_root_section;
extern const struct policy_section policy_opes_section;
extern const struct policy_section policy_service_section;
extern const struct policy_section policy_rule_section;
extern const struct policy_section policy_match_section;
/* What the keys of opes mean together; node: its map, NULL if absent. */
void policy_check_opes(struct policy_reader *r, yaml_node_t *node);
void policy_read_services(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			  void *base);
void policy_read_rules(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
		       void *base);

#endif
