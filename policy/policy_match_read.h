/* SPDX-License-Identifier: BSD-3-Clause */
/* Reader of a rule's match section. */
#ifndef POLICY_MATCH_READ_H
#define POLICY_MATCH_READ_H

#include "policy/policy_schema.h"

/* Reads the mapping into the rule; errors are added to r. */
void policy_match_read(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule);
/* What the keys mean together: protocol and kind by default, contradictions. node: the rule. */
void policy_match_finish(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule);
/* A name is of letters, digits, '.', '_' and '-'; at may be NULL (then it is absent, and said so).
 */
void policy_name_check(struct policy_reader *r, yaml_node_t *at, const char *name);

#endif
