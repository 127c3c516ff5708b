/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "micro_policy.h"

#define MADE_MAX 24u

struct made {
	micro_rule_fn rule;
	uint32_t n;
	struct policy_matcher *matcher;
};

void micro_text_add(struct micro_text *t, const char *format, ...)
{
	va_list ap;
	int n;

	for (;;) {
		va_start(ap, format);
		n = vsnprintf(t->s ? t->s + t->len : NULL, t->size - t->len, format, ap);
		va_end(ap);
		if (n >= 0 && (size_t)n < t->size - t->len)
			break;
		t->size = t->size ? 2 * t->size : 1 << 16;
		t->s = realloc(t->s, t->size);
		if (!t->s)
			abort();
	}
	t->len += (size_t)n;
}

static struct policy_matcher *compile(struct bench *b, const struct micro_text *t)
{
	static struct policy_errors errs;
	struct policy_matcher *m = NULL;
	struct policy_config *config;
	struct policy_image *image;

	if (policy_config_parse("rules", t->s, t->len, &config, &errs)) {
		bench_fail(b, "line %u of the rules: %s", errs.e[0].line, errs.e[0].text);
		return NULL;
	}
	if (policy_compile(config, 1, &image, &errs))
		bench_fail(b, "the rules do not compile: %s", errs.e[0].text);
	else if (policy_matcher_create(&m, image, -1))
		bench_fail(b, "no memory for the matcher of the rules");
	policy_config_free(config);
	return m; /* lives as long as the program, and its image with it */
}

struct policy_matcher *micro_rules_of(struct bench *b, micro_rule_fn rule, uint32_t n)
{
	static struct made made[MADE_MAX];
	struct micro_text t = {0};
	unsigned at = 0;

	while (at < MADE_MAX && made[at].rule && (made[at].rule != rule || made[at].n != n))
		at++;
	if (at == MADE_MAX)
		abort();
	if (made[at].rule)
		return made[at].matcher;
	micro_text_add(&t, "ports: {inside: {device: a}, outside: {device: b}}\nrules:\n");
	for (uint32_t i = 0; i < n; i++)
		rule(&t, i, n);
	made[at] = (struct made){.rule = rule, .n = n, .matcher = compile(b, &t)};
	free(t.s);
	return made[at].matcher;
}

void micro_tuple(struct policy_tuple *t, uint32_t client, uint16_t server_port)
{
	*t = (struct policy_tuple){
		.client = {[10] = 0xff,
			   0xff,
			   10,
			   (uint8_t)(client >> 16),
			   (uint8_t)(client >> 8),
			   (uint8_t)client},
		.server = {[10] = 0xff, 0xff, 192, 168, 0, 1},
		.client_port = 40000,
		.server_port = server_port,
	};
}
