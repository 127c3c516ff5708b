/* SPDX-License-Identifier: BSD-3-Clause */
#include "adapt/adapt_trace.h"

#include <string.h>

static const char system_field[] = "OPES-System", via_field[] = "OPES-Via", bypass_field[] = "OPES-Bypass";

struct text {
	char *p;
	uint32_t n;
};

static void put(struct text *t, const char *s, size_t len)
{
	memcpy(t->p + t->n, s, len);
	t->n += (uint32_t)len;
}

static void put_parameter(struct text *t, const char *name, const char *value)
{
	put(t, ";", 1);
	put(t, name, strlen(name));
	put(t, "=\"", 2);
	put(t, value, strlen(value));
	put(t, "\"", 1);
}

uint32_t adapt_trace_entry(const struct policy_opes *o, const struct adapt_trace_entry *e, char *out)
{
	static const char *const part[] = {[ADAPT_TRACE_SERVICE] = "service",
					   [ADAPT_TRACE_FAILED] = "failed",
					   [ADAPT_TRACE_OBSERVED] = "observed",
					   [ADAPT_TRACE_BYPASSED] = "bypassed"};
	static const char *const why[] = {[ADAPT_TRACE_POLICY] = ";not-bypassed=policy",
					  [ADAPT_TRACE_CLIENT] = ";not-bypassed=client",
					  [ADAPT_TRACE_MALFORMED] = ";not-bypassed=malformed"};
	struct text t = {out, 0};

	_Static_assert(sizeof(o->system_uri) + sizeof(o->processor_uri) + 256 + 64 <= ADAPT_TRACE_ENTRY_MAX, "an entry fits");
	put(&t, o->system_uri, strlen(o->system_uri));
	if (*o->processor_uri)
		put_parameter(&t, "processor", o->processor_uri);
	if (e->part == ADAPT_TRACE_ANSWER)
		put(&t, ";answer=own", 11);
	else if (e->part != ADAPT_TRACE_NONE && e->service)
		put_parameter(&t, part[e->part], e->service);
	if (e->why != ADAPT_TRACE_NOT_ASKED)
		put(&t, why[e->why], strlen(why[e->why]));
	return t.n;
}

/* Walks the entries of all fields of a name, in their order. A comma inside a quoted string ends none. */
struct entries {
	const struct http1_head *h;
	const char *name;
	const struct http1_field *f;
	uint32_t at; /* within the value of f */
};

static struct entries entries_of(const struct http1_head *h, const char *name)
{
	return (struct entries){h, name, h ? http1_find(h, name) : NULL, 0};
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Where the element that begins at i ends. */
static uint32_t element_end(const char *v, uint32_t i, uint32_t len)
{
	bool quoted = false;

	for (; i < len && (quoted || v[i] != ','); i++) {
		if (v[i] == '"')
			quoted = !quoted;
		else if (quoted && v[i] == '\\' && i + 1 < len)
			i++;
	}
	return i;
}

static bool entries_next(struct entries *e, const char **s, uint32_t *len)
{
	while (e->f) {
		const char *v = e->h->buf + e->f->value.off;
		uint32_t n = e->f->value.len, i = e->at, end;

		while (i < n && (v[i] == ',' || is_space(v[i])))
			i++;
		if (i == n) {
			e->f = http1_find_next(e->h, e->name, e->f);
			e->at = 0;
			continue;
		}
		e->at = end = element_end(v, i, n);
		while (is_space(v[end - 1]))
			end--;
		*s = v + i;
		*len = end - i;
		return true;
	}
	return false;
}

/* The entries of a come first in b; *same: and there are no others. */
static bool extends(struct entries a, struct entries b, bool *same)
{
	const char *x, *y;
	uint32_t nx, ny;
	bool more;

	*same = false;
	while (entries_next(&a, &x, &nx)) {
		if (!entries_next(&b, &y, &ny) || nx != ny || memcmp(x, y, nx) != 0)
			return false;
	}
	more = entries_next(&b, &y, &ny);
	*same = !more;
	return true;
}

/* A quoted string in it never ends: it would swallow what follows. */
static bool unending(const char *s, uint32_t len)
{
	uint32_t quotes = 0;

	for (uint32_t i = 0; i < len; i++) {
		if (s[i] == '"')
			quotes++;
		else if ((quotes & 1) && s[i] == '\\')
			i++;
	}
	return quotes & 1;
}

/* Octets of the entries in one value, with ", " after each. */
static uint64_t entries_octets(struct entries e)
{
	const char *s;
	uint32_t len;
	uint64_t n = 0;

	while (entries_next(&e, &s, &len))
		n += len + 2u;
	return n;
}

/* One field of the entries and ours at their end; the oldest are left out where it would be too long, and what is no
 * entry at all. */
static void add_trace(struct adapt_trace *t, struct text *out, const char *name, struct entries e, const char *entry,
		      uint32_t entry_len, uint32_t limit)
{
	uint64_t n = entries_octets(e);
	uint32_t begin = out->n, len;
	const char *s;

	while (entries_next(&e, &s, &len)) {
		if (n + entry_len > limit || unending(s, len)) {
			n -= len + 2u;
			t->cut = true;
			continue;
		}
		put(out, s, len);
		put(out, ", ", 2);
	}
	put(out, entry, entry_len);
	t->edit[t->edits++] = (struct http1_edit){name, out->p + begin, out->n - begin};
}

static void edit_system(struct adapt_trace *t, struct text *out, const struct http1_head *h, const struct http1_head *came,
			const char *entry, uint32_t len, uint32_t limit)
{
	struct entries before = entries_of(came, system_field);
	bool same = true;

	if (came != h)
		extends(before, entries_of(h, system_field), &same);
	t->restored |= !same;
	add_trace(t, out, system_field, before, entry, len, limit);
}

static void edit_via(struct adapt_trace *t, struct text *out, const struct policy_opes *o, const struct http1_head *h,
		     const struct http1_head *came, const char *entry, uint32_t len)
{
	struct entries before = entries_of(came, via_field), now = entries_of(h, via_field);
	bool same, longer = extends(before, now, &same);

	t->restored |= !longer;
	if (!longer || !o->service_entries)
		now = before;
	if (o->via == POLICY_VIA_ALWAYS || now.f)
		add_trace(t, out, via_field, now, entry, len, o->trace_limit);
	else if (http1_find(h, via_field))
		t->edit[t->edits++] = (struct http1_edit){via_field, NULL, 0};
}

/* A request's OPES-Bypass is between its sender and whoever comes after us. */
static void edit_bypass(struct adapt_trace *t, struct text *out, const struct http1_head *h, const struct http1_head *came)
{
	struct entries e = entries_of(came, bypass_field);
	uint32_t begin = out->n, len;
	const char *s;
	bool same;

	if (!e.f && !http1_find(h, bypass_field))
		return;
	if (extends(e, entries_of(h, bypass_field), &same) && same && !e.f == !http1_find(h, bypass_field))
		return;
	t->restored = true;
	if (!e.f) {
		t->edit[t->edits++] = (struct http1_edit){bypass_field, NULL, 0};
		return;
	}
	while (entries_next(&e, &s, &len)) {
		if (out->n != begin)
			put(out, ", ", 2);
		put(out, s, len);
	}
	t->edit[t->edits++] = (struct http1_edit){bypass_field, out->p + begin, out->n - begin};
}

void adapt_trace_edit(struct adapt_trace *t, const struct policy_opes *o, const struct http1_head *h,
		      const struct http1_head *came, const struct adapt_trace_entry *e, char *text)
{
	struct text out = {text, 0};
	char entry[ADAPT_TRACE_ENTRY_MAX];
	uint32_t len;

	t->edits = 0;
	t->traced = t->cut = t->restored = false;
	if (came && came != h && h->kind == HTTP1_REQUEST)
		edit_bypass(t, &out, h, came);
	if (!e || !adapt_trace_on(o))
		return;
	len = adapt_trace_entry(o, e, entry);
	edit_system(t, &out, h, came, entry, len, o->trace_limit);
	edit_via(t, &out, o, h, came, entry, len);
	t->traced = true;
}

bool adapt_trace_too_long(const struct policy_opes *o, const struct http1_head *h, uint32_t len)
{
	return entries_octets(entries_of(h, system_field)) + len > o->trace_limit ||
	       entries_octets(entries_of(h, via_field)) + len > o->trace_limit;
}
