/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of the configuration that stand for values of policy.h; each list ends with a NULL
 * name. */
#ifndef POLICY_WORDS_H
#define POLICY_WORDS_H

#include "policy/policy_schema.h"

extern const struct policy_word policy_action_words[];
extern const struct policy_word policy_on_failure_words[];
extern const struct policy_word policy_protocol_words[];
extern const struct policy_word policy_starttls_words[];
extern const struct policy_word policy_odd_ends_words[];
extern const struct policy_word policy_mid_stream_words[];
extern const struct policy_word policy_half_open_words[];
extern const struct policy_word policy_congestion_words[];
extern const struct policy_word policy_dialect_words[];
extern const struct policy_word policy_bypassable_words[];
extern const struct policy_word policy_aux_part_words[]; /* value: bit of a mask */
/* In the order of enum callout_cause (dataplane/callout/callout.h); its 0, no cause, is "default".
 * A test holds the two together. */
extern const struct policy_word policy_cause_words[];
#define POLICY_CAUSE_WORDS 10

#endif
