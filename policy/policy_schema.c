/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <string.h>
#include "policy/policy_schema.h"
#include "policy/policy_value.h"

void policy_reader_error(struct policy_reader *r, const yaml_node_t *node, const char *fmt, ...)
{
	char text[sizeof(((struct policy_error *)0)->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	policy_errors_add(r->errs, r->file, node ? (uint32_t)node->start_mark.line + 1 : 1,
			  node ? (uint32_t)node->start_mark.column + 1 : 1, "%s", text);
}

const char *policy_node_kind(const yaml_node_t *n)
{
	static const char *const names[] = {"nothing", "a scalar", "a list", "a map"};

	if (n->type == YAML_SCALAR_NODE && n->data.scalar.length == 0 &&
	    n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return "nothing";
	return names[n->type <= YAML_MAPPING_NODE ? n->type : 0];
}

const char *policy_node_text(struct policy_reader *r, yaml_node_t *n, const char *what)
{
	if (n->type != YAML_SCALAR_NODE) {
		policy_reader_error(r, n, "%s must be a single value, here is %s.", what,
				    policy_node_kind(n));
		return NULL;
	}
	if (memchr(n->data.scalar.value, 0, n->data.scalar.length)) {
		policy_reader_error(r, n, "%s holds a NUL octet.", what);
		return NULL;
	}
	return (const char *)n->data.scalar.value;
}

uint32_t policy_node_count(const yaml_node_t *n)
{
	if (n->type != YAML_SEQUENCE_NODE)
		return 1;
	return (uint32_t)(n->data.sequence.items.top - n->data.sequence.items.start);
}

yaml_node_t *policy_node_item(struct policy_reader *r, yaml_node_t *n, uint32_t i)
{
	if (n->type != YAML_SEQUENCE_NODE)
		return n;
	return yaml_document_get_node(r->doc, n->data.sequence.items.start[i]);
}

yaml_node_t *policy_node_find(struct policy_reader *r, yaml_node_t *map, const char *key)
{
	if (!map || map->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *k = yaml_document_get_node(r->doc, p->key);

		if (k->type == YAML_SCALAR_NODE && !strcmp((const char *)k->data.scalar.value, key))
			return yaml_document_get_node(r->doc, p->value);
	}
	return NULL;
}

/* Edit distance, given up beyond 30 octets. */
static uint32_t distance(const char *a, const char *b)
{
	uint32_t row[32], la = (uint32_t)strlen(a), lb = (uint32_t)strlen(b);

	if (la > 30 || lb > 30)
		return UINT32_MAX;
	for (uint32_t j = 0; j <= lb; j++)
		row[j] = j;
	for (uint32_t i = 1; i <= la; i++) {
		uint32_t diag = row[0];

		row[0] = i;
		for (uint32_t j = 1; j <= lb; j++) {
			uint32_t best = diag + (policy_lower(a[i - 1]) != policy_lower(b[j - 1]));

			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *policy_nearest(const char *text, const char *const *words, uint32_t n)
{
	uint32_t best = 1 + (uint32_t)strlen(text) / 3;
	const char *found = NULL;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t d = distance(text, words[i]);

		if (d <= best && (!found || d < best)) {
			best = d;
			found = words[i];
		}
	}
	for (uint32_t i = 0; i < n && !found && strlen(text) > 2; i++) {
		if (!strncasecmp(words[i], text, strlen(text)))
			found = words[i];
	}
	return found;
}

/* "'x'; did you mean 'y'? Known: a, b, c." */
static void unknown(struct policy_reader *r, const yaml_node_t *n, const char *what,
		    const char *text, const char *const *words, uint32_t nwords)
{
	const char *near = policy_nearest(text, words, nwords);
	char list[384] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < nwords && len < sizeof(list) - 1; i++) {
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					words[i]);
		if (len >= sizeof(list))
			len = sizeof(list) - 1;
	}
	policy_reader_error(r, n, "%s '%.40s'%s%s%s; known: %s.", what, text,
			    near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "",
			    list);
}

const struct policy_word *policy_word_find(struct policy_reader *r, const yaml_node_t *n,
					   const char *what, const struct policy_word *words,
					   const char *text)
{
	const char *names[32];
	char prefix[96];
	uint32_t nnames = 0;

	for (const struct policy_word *w = words; w->name; w++) {
		if (!strcmp(w->name, text))
			return w;
		if (nnames < 32)
			names[nnames++] = w->name;
	}
	snprintf(prefix, sizeof(prefix), "%s has no value", what);
	unknown(r, n, prefix, text, names, nnames);
	return NULL;
}

static bool number_text(const struct policy_key *k, const char *text, int64_t *v)
{
	bool ok;

	switch (k->type) {
	case POLICY_T_SIZE:
		return policy_value_size(text, v);
	case POLICY_T_MEBIBYTE:
		ok = policy_value_size(text, v) && *v % (1 << 20) == 0;
		*v >>= 20;
		return ok;
	case POLICY_T_DURATION:
		return policy_value_duration(text, v);
	default:
		return policy_value_integer(text, v);
	}
}

static void number_print(const struct policy_key *k, int64_t v, char *out, uint32_t cap)
{
	if (k->type == POLICY_T_DURATION)
		policy_value_duration_text(v, out, cap);
	else if (k->type == POLICY_T_INTEGER)
		snprintf(out, cap, "%lld", (long long)v);
	else
		policy_value_size_text(k->type == POLICY_T_MEBIBYTE ? v << 20 : v, out, cap);
}

static const char *type_word(enum policy_type t)
{
	static const char *const names[] = {
		[POLICY_T_STRING] = "string",	  [POLICY_T_INTEGER] = "integer",
		[POLICY_T_SIZE] = "size",	  [POLICY_T_MEBIBYTE] = "size in whole MiB",
		[POLICY_T_DURATION] = "duration", [POLICY_T_BOOL] = "boolean",
		[POLICY_T_ENUM] = "word",	  [POLICY_T_SECTION] = "map",
		[POLICY_T_CUSTOM] = "value",
	};
	return names[t];
}

static const char *article(enum policy_type t)
{
	return t == POLICY_T_INTEGER ? "an" : "a";
}

static const char *type_example(enum policy_type t)
{
	switch (t) {
	case POLICY_T_SIZE:
	case POLICY_T_MEBIBYTE:
		return ", such as 65536, 64KiB or 4MiB";
	case POLICY_T_DURATION:
		return ", such as 500ms, 30s or 1h";
	default:
		return "";
	}
}

static void store(const struct policy_key *k, void *base, int64_t v)
{
	char *at = (char *)base + k->offset;

	/* Little-endian hosts only, as DPDK on x86 and Arm: the low octets are the value. */
	memcpy(at, &v, k->size < sizeof(v) ? k->size : sizeof(v));
}

static bool value_number(struct policy_reader *r, const struct policy_key *k, const yaml_node_t *n,
			 const char *text, void *base)
{
	char lo[32], hi[32];
	int64_t v = 0;

	if (!number_text(k, text, &v)) {
		policy_reader_error(r, n, "%s must be %s %s%s, not '%.40s'.", k->name,
				    article(k->type), type_word(k->type), type_example(k->type),
				    text);
		return false;
	}
	if (v < k->min || v > k->max) {
		number_print(k, k->min, lo, sizeof(lo));
		number_print(k, k->max, hi, sizeof(hi));
		policy_reader_error(r, n, "%s is out of range: %.40s is not within %s to %s.",
				    k->name, text, lo, hi);
		return false;
	}
	store(k, base, v);
	return true;
}

static bool value_string(struct policy_reader *r, const struct policy_key *k, const yaml_node_t *n,
			 const char *text, void *base)
{
	size_t len = strlen(text);

	if (len < (size_t)k->min) {
		policy_reader_error(r, n, "%s must not be empty.", k->name);
		return false;
	}
	if (len >= k->size) {
		policy_reader_error(r, n, "%s is too long: %zu octets, at most %u.", k->name, len,
				    k->size - 1);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 127) {
			policy_reader_error(r, n, "%s must not hold control characters.", k->name);
			return false;
		}
	}
	memcpy((char *)base + k->offset, text, len + 1);
	return true;
}

static bool value_text(struct policy_reader *r, const struct policy_key *k, const yaml_node_t *n,
		       const char *text, void *base)
{
	const struct policy_word *w;
	bool flag;

	switch (k->type) {
	case POLICY_T_STRING:
		return value_string(r, k, n, text, base);
	case POLICY_T_BOOL:
		if (!policy_value_bool(text, &flag)) {
			policy_reader_error(r, n, "%s must be true or false, not '%.40s'.", k->name,
					    text);
			return false;
		}
		*((bool *)((char *)base + k->offset)) = flag != !!(k->flags & POLICY_INVERT);
		return true;
	case POLICY_T_ENUM:
		w = policy_word_find(r, n, k->name, k->words, text);
		if (w)
			store(k, base, w->value);
		return w != NULL;
	default:
		return value_number(r, k, n, text, base);
	}
}

bool policy_schema_value(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	const char *text;

	if (node->type != YAML_SCALAR_NODE) {
		policy_reader_error(r, node, "%s must be %s %s%s, here is %s.", k->name,
				    article(k->type), type_word(k->type), type_example(k->type),
				    policy_node_kind(node));
		return false;
	}
	text = policy_node_text(r, node, k->name);
	return text && value_text(r, k, node, text, base);
}

static void absent(struct policy_reader *r, const struct policy_section *s,
		   const struct policy_key *k, const yaml_node_t *at, void *base)
{
	if (k->flags & POLICY_REQUIRED)
		policy_reader_error(r, at, "%s: the key '%s' is missing.", s->title, k->name);
	else if (k->type == POLICY_T_SECTION)
		policy_schema_read(r, k->section, NULL, at, (char *)base + k->offset);
	else if (k->def && k->type != POLICY_T_CUSTOM)
		value_text(r, k, at, k->def, base);
}

/* Fills value[] by the table; reports unknown, repeated and non-scalar keys. */
static void collect(struct policy_reader *r, const struct policy_section *s, yaml_node_t *node,
		    yaml_node_t **value)
{
	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		const char *names[POLICY_KEYS_MAX], *text = policy_node_text(r, key, "A key");
		uint32_t i;

		if (!text)
			continue;
		for (i = 0; i < s->nkeys && strcmp(s->keys[i].name, text); i++)
			names[i] = s->keys[i].name;
		if (i == s->nkeys) {
			char what[64];

			snprintf(what, sizeof(what), "%s: unknown key", s->title);
			unknown(r, key, what, text, names, s->nkeys);
		} else if (value[i]) {
			policy_reader_error(r, key, "%s: the key '%s' is given twice.", s->title,
					    text);
		} else {
			value[i] = yaml_document_get_node(r->doc, p->value);
		}
	}
}

void policy_schema_read(struct policy_reader *r, const struct policy_section *s, yaml_node_t *node,
			const yaml_node_t *parent, void *base)
{
	yaml_node_t *value[POLICY_KEYS_MAX] = {0};

	if (node && node->type != YAML_MAPPING_NODE) {
		policy_reader_error(r, node, "%s must be a map of keys, here is %s.", s->title,
				    policy_node_kind(node));
		return;
	}
	if (node)
		collect(r, s, node, value);
	for (uint32_t i = 0; i < s->nkeys; i++) {
		const struct policy_key *k = &s->keys[i];

		if (!value[i])
			absent(r, s, k, node ? node : parent, base);
		else if (k->type == POLICY_T_SECTION)
			policy_schema_read(r, k->section, value[i], node, (char *)base + k->offset);
		else if (k->type == POLICY_T_CUSTOM)
			k->fn(r, k, value[i], base);
		else
			policy_schema_value(r, k, value[i], base);
	}
}

bool policy_schema_differs(const struct policy_section *s, const void *a, const void *b,
			   uint32_t flags, char *buf, uint32_t cap)
{
	for (uint32_t i = 0; i < s->nkeys; i++) {
		const struct policy_key *k = &s->keys[i];
		const char *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
		uint32_t f = flags | (k->flags & POLICY_RESTART), n;

		n = (uint32_t)snprintf(buf, cap, "%s", k->name);
		if (k->type == POLICY_T_SECTION && n + 1 < cap) {
			buf[n] = '.';
			if (policy_schema_differs(k->section, x, y, f, buf + n + 1, cap - n - 1))
				return true;
		} else if (f & POLICY_RESTART) {
			if (k->type == POLICY_T_STRING ? strcmp(x, y) != 0
						       : memcmp(x, y, k->size) != 0)
				return true;
		}
	}
	return false;
}

/* --- reference -----------------------------------------------------------------------------------
 */

static void print_type(FILE *out, const struct policy_key *k)
{
	char lo[32], hi[32];

	if (k->how) {
		fprintf(out, "%s", k->how);
		return;
	}
	fprintf(out, "%s", type_word(k->type));
	if (k->type == POLICY_T_ENUM) {
		for (const struct policy_word *w = k->words; w->name; w++)
			fprintf(out, "%s `%s`", w == k->words ? ":" : ",", w->name);
	} else if (k->type == POLICY_T_STRING) {
		fprintf(out, ", at most %u octets", k->size - 1);
	} else if (k->type >= POLICY_T_INTEGER && k->type <= POLICY_T_DURATION) {
		number_print(k, k->min, lo, sizeof(lo));
		number_print(k, k->max, hi, sizeof(hi));
		fprintf(out, ", %s to %s", lo, hi);
	}
}

static void print_section(FILE *out, const struct policy_section *s, uint32_t flags)
{
	fprintf(out,
		"### `%s`\n\n| Key | Type | Default | Change | Meaning |\n|---|---|---|---|---|\n",
		s->title);
	for (uint32_t i = 0; i < s->nkeys; i++) {
		const struct policy_key *k = &s->keys[i];
		bool restart = (flags | k->flags) & POLICY_RESTART;

		fprintf(out, "| `%s` | ", k->name);
		print_type(out, k);
		if (k->flags & POLICY_REQUIRED)
			fprintf(out, " | required");
		else if (k->def && *k->def)
			fprintf(out, " | `%s`", k->def);
		else
			fprintf(out, " | none");
		fprintf(out, " | %s | %s |\n", restart ? "restart" : "reload", k->doc);
	}
	fputc('\n', out);
	for (uint32_t i = 0; i < s->nkeys; i++) {
		if (s->keys[i].section)
			print_section(out, s->keys[i].section, flags | s->keys[i].flags);
	}
}

void policy_schema_print(FILE *out)
{
	print_section(out, &policy_root_section, 0);
}
