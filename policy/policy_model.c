/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_model.h"

void *policy_rules_alloc(struct policy_rules *r, size_t count, size_t size)
{
	struct policy_block *b;
	size_t n;

	if (__builtin_mul_overflow(count, size, &n) || n > SIZE_MAX - sizeof(*b))
		return NULL;
	b = calloc(1, sizeof(*b) + n);
	if (!b)
		return NULL;
	b->next = r->blocks;
	r->blocks = b;
	return b->data;
}

char *policy_rules_strdup(struct policy_rules *r, const char *s, size_t len, bool lower)
{
	char *d = policy_rules_alloc(r, len + 1, 1);

	if (!d)
		return NULL;
	for (size_t i = 0; i < len; i++)
		d[i] = lower ? policy_lower(s[i]) : s[i];
	return d;
}

uint32_t policy_hash(const char *s, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)policy_lower(s[i])) * 16777619u;
	return h;
}

struct policy_rules *policy_rules_new(void)
{
	struct policy_rules *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->field = policy_rules_alloc(r, POLICY_FIELDS_MAX, sizeof(*r->field));
	if (!r->field) {
		free(r);
		return NULL;
	}
	r->nfields = POLICY_FIELD_HEADER;
	return r;
}

void policy_rules_free(struct policy_rules *r)
{
	struct policy_block *b, *next;

	if (!r)
		return;
	for (uint32_t i = 0; i < r->nfields; i++)
		free(r->field[i].db);
	for (b = r->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	free(r->regex);
	free(r);
}

uint32_t policy_rules_field(struct policy_rules *r, const char *name, size_t len)
{
	uint32_t hash = policy_hash(name, len);
	struct policy_field *f;

	for (uint32_t i = POLICY_FIELD_HEADER; i < r->nfields; i++) {
		f = &r->field[i];
		if (f->hash == hash && f->len == len && !strncasecmp(f->name, name, len))
			return i;
	}
	if (r->nfields == POLICY_FIELDS_MAX)
		return UINT32_MAX;
	f = &r->field[r->nfields];
	f->name = policy_rules_strdup(r, name, len, true);
	if (!f->name)
		return UINT32_MAX;
	f->len = (uint32_t)len;
	f->hash = hash;
	return r->nfields++;
}

uint32_t policy_rules_regex(struct policy_rules *r, uint32_t field, const char *text, uint32_t line,
			    uint32_t column)
{
	struct policy_regex *x;

	if (r->nregex == r->regex_cap) {
		uint32_t cap = r->regex_cap ? r->regex_cap * 2 : 64;
		void *p = realloc(r->regex, cap * sizeof(*r->regex));

		if (!p)
			return UINT32_MAX;
		r->regex = p;
		r->regex_cap = cap;
	}
	x = &r->regex[r->nregex];
	*x = (struct policy_regex){.text = text, .field = field, .line = line, .column = column};
	return r->nregex++;
}

void policy_errors_add(struct policy_errors *errs, const char *file, uint32_t line, uint32_t column,
		       const char *fmt, ...)
{
	struct policy_error *e;
	va_list ap;

	if (!errs)
		return;
	if (errs->count++ >= POLICY_ERRORS_MAX)
		return;
	e = &errs->e[errs->count - 1];
	snprintf(e->file, sizeof(e->file), "%s", file);
	e->line = line;
	e->column = column;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
}
