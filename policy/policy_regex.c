/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One Hyperscan database per thing looked at (host, path, content type, each
 * header name), compiled when the configuration is checked so that a refused
 * expression is found with its place; the compiler only copies the bytes.
 */
#include <errno.h>
#include <hs/hs.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_model.h"

/* Arguments of hs_compile_multi for one field. */
struct batch {
	const char **text;
	unsigned *flags, *id;
	uint32_t *index; /* into policy_rules.regex */
	uint32_t n;
};

static void batch_free(struct batch *b)
{
	free(b->text);
	free(b->flags);
	free(b->id);
	free(b->index);
}

static int batch_alloc(struct batch *b, uint32_t n)
{
	*b = (struct batch){
		.text = calloc(n, sizeof(*b->text)),
		.flags = calloc(n, sizeof(*b->flags)),
		.id = calloc(n, sizeof(*b->id)),
		.index = calloc(n, sizeof(*b->index)),
	};
	if (b->text && b->flags && b->id && b->index)
		return 0;
	batch_free(b);
	return -ENOMEM;
}

static void batch_fill(struct batch *b, struct policy_rules *r, uint32_t field, uint32_t *bit)
{
	unsigned flags = HS_FLAG_SINGLEMATCH | HS_FLAG_DOTALL | HS_FLAG_ALLOWEMPTY;

	if (field == POLICY_FIELD_HOST || field == POLICY_FIELD_CONTENT_TYPE)
		flags |= HS_FLAG_CASELESS;
	b->n = 0;
	r->field[field].regex_first = *bit;
	for (uint32_t i = 0; i < r->nregex; i++) {
		if (r->regex[i].field != field)
			continue;
		r->regex[i].bit = (*bit)++;
		b->text[b->n] = r->regex[i].text;
		b->flags[b->n] = flags;
		b->id[b->n] = r->regex[i].bit;
		b->index[b->n++] = i;
	}
	r->field[field].regex_count = b->n;
}

static void batch_drop(struct batch *b, uint32_t at)
{
	b->n--;
	memmove(&b->text[at], &b->text[at + 1], (b->n - at) * sizeof(*b->text));
	memmove(&b->id[at], &b->id[at + 1], (b->n - at) * sizeof(*b->id));
	memmove(&b->index[at], &b->index[at + 1], (b->n - at) * sizeof(*b->index));
}

static void refused(const struct policy_rules *r, const struct policy_regex *x, const char *file,
		    const hs_compile_error_t *err, struct policy_errors *errs)
{
	size_t len = strlen(err->message);

	while (len && (err->message[len - 1] == '.' || err->message[len - 1] == '\n'))
		len--;
	policy_errors_add(errs, file, x->line, x->column,
			  "The regular expression '%.80s' is refused by Hyperscan: %.*s.", x->text,
			  (int)len, err->message);
}

static int keep(struct policy_field *f, hs_database_t *db)
{
	char *bytes = NULL;
	size_t len = 0;
	int rc = hs_serialize_database(db, &bytes, &len) == HS_SUCCESS ? 0 : -ENOMEM;

	if (!rc) {
		f->db = malloc(len);
		f->db_len = len;
		if (f->db)
			memcpy(f->db, bytes, len);
		else
			rc = -ENOMEM;
		free(bytes);
	}
	hs_free_database(db);
	return rc;
}

/* Compiles what is left of the batch, dropping what is refused, until all that remains is accepted.
 */
static int compile_field(struct policy_rules *r, uint32_t field, struct batch *b, const char *file,
			 struct policy_errors *errs)
{
	while (b->n) {
		hs_compile_error_t *err = NULL;
		hs_database_t *db = NULL;
		int bad;

		if (hs_compile_multi(b->text, b->flags, b->id, b->n, HS_MODE_BLOCK, NULL, &db,
				     &err) == HS_SUCCESS)
			return keep(&r->field[field], db);
		bad = err ? err->expression : 0;
		if (err && (bad >= 0 || b->n == 1)) {
			bad = bad < 0 ? 0 : bad;
			refused(r, &r->regex[b->index[bad]], file, err, errs);
			batch_drop(b, (uint32_t)bad);
		} else if (err) {
			/* Refused as a whole: said once, at the first. */
			refused(r, &r->regex[b->index[0]], file, err, errs);
			b->n = 0;
		}
		if (!err)
			return -ENOMEM;
		hs_free_compile_error(err);
		if (errs->count >= POLICY_ERRORS_MAX)
			return 0;
	}
	return 0;
}

int policy_regex_compile(struct policy_rules *r, const char *file, struct policy_errors *errs)
{
	struct batch b;
	uint32_t bit = 0;
	int rc = 0;

	if (!r->nregex)
		return 0;
	if (batch_alloc(&b, r->nregex))
		return -ENOMEM;
	for (uint32_t i = 0; i < r->nfields && !rc && bit < r->nregex; i++) {
		batch_fill(&b, r, i, &bit);
		rc = compile_field(r, i, &b, file, errs);
	}
	batch_free(&b);
	return rc;
}
