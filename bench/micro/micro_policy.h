/* SPDX-License-Identifier: BSD-3-Clause */
/* From rules as an operator writes them to a matcher. */
#ifndef BENCH_MICRO_MICRO_POLICY_H
#define BENCH_MICRO_MICRO_POLICY_H

#include <stdio.h>
#include "policy/policy.h"
#include "micro.h"

/* Text that grows. */
struct micro_text {
	char *s;
	size_t len, size;
};

void micro_text_add(struct micro_text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The matcher of n rules, each written by one call of rule. Made at the first call with this rule
 * and n, then the same again. NULL: the benchmark has failed with the reason. */
typedef void (*micro_rule_fn)(struct micro_text *t, uint32_t i, uint32_t n);
struct policy_matcher *micro_rules_of(struct bench *b, micro_rule_fn rule, uint32_t n);

/* A flow of 10.0.client/8 to 192.168.0.1. */
void micro_tuple(struct policy_tuple *t, uint32_t client, uint16_t server_port);

#endif
