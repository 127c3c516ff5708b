/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of a matcher: shared by the linear search, the classifier and the
 * message conditions.
 */
#ifndef POLICY_MATCHER_H
#define POLICY_MATCHER_H

#include <hs/hs.h>
#include "policy/policy_image.h"
#include "policy/policy_index.h"

#define POLICY_LINEAR_MAX 16 /* rules up to which a linear search is the faster one */
#define POLICY_FOUND_MAX                                                                           \
	256 /* fields of one message that rules name; the HTTP framer allows 128 in all */

/* Header field of the message under way that a rule names. */
struct policy_found {
	const char *value;
	uint32_t len, field;
};

struct policy_text {
	const char *s; /* NULL = absent */
	uint32_t len;
};

struct policy_acl;

struct policy_matcher {
	const struct policy_image *img;
	const struct policy_gate *gate;
	const struct policy_prefix *prefix;
	const struct policy_range *range;
	const struct policy_image_group *group;
	const struct policy_image_term *term;
	const struct policy_image_field *field;
	const char *text;
	uint32_t nrules, nfields;
	struct policy_acl *acl; /* NULL = linear search */
	struct policy_index *index; /* NULL = linear search of a message's rule */
	hs_scratch_t *scratch;
	uint16_t *name_table; /* open addressing by hash: field index, 0 = free */
	uint32_t name_mask;

	/* The message under way. */
	const struct policy_message *msg;
	struct policy_text host, content_type;
	uint32_t host_hash;
	bool fields_read;
	uint32_t nfound;
	uint64_t *hit;	   /* one bit per expression, valid for scanned fields */
	uint64_t *scanned; /* one bit per field */
	struct policy_found found[POLICY_FOUND_MAX];
};

/* A tuple as the search wants it. */
struct policy_probe {
	uint64_t client[2], server[2];
	bool client_v4, server_v4;
	uint8_t direction; /* bit */
	uint16_t client_port, server_port, vlan;
};

void policy_probe_set(struct policy_probe *p, const struct policy_tuple *t);
bool policy_probe_match(const struct policy_matcher *m, const struct policy_gate *g,
			const struct policy_probe *p);
/* The reference: rule by rule in order. */
void policy_select_linear(const struct policy_matcher *m, const struct policy_probe *p,
			  struct policy_selection *out);

/* Classifier over the image's gates; -errno: stay linear. Needs EAL. */
int policy_acl_create(struct policy_acl **out, const struct policy_matcher *m, int socket_id);
void policy_acl_destroy(struct policy_acl *a);
/* first[0]: first rule that decides about the flow, first[1]: first bypass with conditions; -1 =
 * none. */
void policy_acl_classify(const struct policy_acl *a, const struct policy_probe *p,
			 int32_t first[2]);

/* Message conditions of one rule. */
void policy_message_begin(struct policy_matcher *m, const struct policy_message *msg);
bool policy_message_match(struct policy_matcher *m, const struct policy_gate *g);
/* Reads the message's fields (found, content_type), if that has not been done for it. */
void policy_message_fields(struct policy_matcher *m);
/* Runs the field's expressions over all its occurrences, once per message: hit. */
void policy_message_scan(struct policy_matcher *m, uint32_t field);

/* policy_match_message() rule by rule: the reference, and the faster one for few rules. */
int32_t policy_match_linear(struct policy_matcher *m, const struct policy_tuple *t,
			    const struct policy_selection *sel, const struct policy_message *msg);

#endif
