/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of this folder: from the text of rules to a matcher. */
#ifndef POLICY_TEST_H
#define POLICY_TEST_H

#include <stdlib.h>
#include <string.h>
#include "policy/policy_matcher.h"

struct policy_test {
	struct policy_config *config;
	struct policy_image *image;
	struct policy_matcher *matcher;
};

/* Fails the test with the first error if anything is wrong with the text. Generation 7. */
static inline void policy_test_open(struct policy_test *p, const char *rules)
{
	static const char ports[] = "ports: {inside: {device: a}, outside: {device: b}}\n";
	size_t len = strlen(rules) + sizeof(ports);
	struct policy_errors errs;
	char *text = malloc(len);

	memcpy(text, ports, sizeof(ports) - 1);
	strcpy(text + sizeof(ports) - 1, rules);
	if (policy_config_parse("t.yaml", text, len - 1, &p->config, &errs))
		fail_msg("%u:%u: %s\n%.2000s", errs.e[0].line, errs.e[0].column, errs.e[0].text,
			 rules);
	free(text);
	assert_int_equal(policy_compile(p->config, 7, &p->image, &errs), 0);
	assert_int_equal(policy_image_check(p->image, policy_image_size(p->image)), 0);
	assert_int_equal(policy_matcher_create(&p->matcher, p->image, -1), 0);
}

static inline void policy_test_close(struct policy_test *p)
{
	policy_matcher_destroy(p->matcher);
	free(p->image);
	policy_config_free(p->config);
}

#endif
