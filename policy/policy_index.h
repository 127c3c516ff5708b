/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Index of the rules for the search of a message's rule, inside of a matcher.
 *
 * Every rule is filed under one of its conditions, the one that the fewest
 * rules share: a condition on text that is not negated, or the addresses, the
 * server port or the VLAN of the flow. Each alternative of the condition is a
 * key; a rule without such a condition is a candidate for every message. What
 * a message and its tuple offer is looked up key by key and gives a set of
 * candidates, which holds every rule that matches and some that do not: the
 * caller checks each one in whole, in order, so the index decides what is
 * looked at and never what matches.
 *
 * Built with the matcher from a checked image, owned by it, used by its one
 * thread. A look-up does not allocate. One key costs at most as many steps as
 * there are words of 64 rules: longer lists are kept as bitmaps.
 */
#ifndef POLICY_INDEX_H
#define POLICY_INDEX_H

#include <stdint.h>

struct policy_index;
struct policy_matcher;
struct policy_probe;

/* The matcher's views of its image are set. 0 or -ENOMEM. */
int policy_index_create(struct policy_index **out, const struct policy_matcher *m);
void policy_index_destroy(struct policy_index *x);

/* Candidates for the message under way (policy_message_begin()), one bit per rule, valid until the
 * next call. */
const uint64_t *policy_index_candidates(struct policy_index *x, struct policy_matcher *m,
					const struct policy_probe *p);

#endif
