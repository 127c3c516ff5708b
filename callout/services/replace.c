/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replace: literal pattern pairs, in bodies and in streams without parts, across the limits of chunks.
 *
 * Of all places where a pattern occurs the one that starts first is replaced, the longest pattern when several start
 * there; matching goes on behind it, replacements are not looked at again. Each part of a message is matched for itself.
 *
 * What cannot be (part of) a match any more leaves at once; only the beginning of a possible match is held back, at
 * most one octet less than the longest pattern. Unchanged octets that the processor preserves go back by reference
 * when the stretch is long enough to be worth a message of its own.
 */
#include "callout/services/match.h"
#include "callout/services/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REPLACE_INLINE 256 /* shorter stretches are sent along with the replacements around them */
#define REPLACE_ROOM 16384

struct replace_pair {
	uint8_t *from, *to; /* one allocation */
	size_t from_len, to_len;
};

struct replace_config {
	struct match_set *set;
	struct replace_pair *pairs;
	uint32_t npairs;
	bool headers, fold;
	bool same_size; /* no pair changes the size */
	/* Octets on their way out of one call-back; empty between call-backs. */
	uint8_t room[REPLACE_ROOM];
	size_t used;
	bool changed;
};

struct replace_state {
	struct match_scan scan;
	uint8_t *held;     /* what was undecided, room for the longest pattern */
	size_t held_len;
	uint64_t held_at;  /* offset in the original */
	enum oc_part part;
};

static void replace_unconfigure(void *config)
{
	struct replace_config *c = config;

	if (!c)
		return;
	for (uint32_t i = 0; i < c->npairs; i++)
		free(c->pairs[i].from);
	free(c->pairs);
	match_set_free(c->set);
	free(c);
}

static int replace_pair_add(struct replace_config *c, const char *value, struct oc_error *err)
{
	struct replace_pair *p = realloc(c->pairs, (c->npairs + 1) * sizeof(*p));
	char *from, *to;

	if (!p)
		return oc_error(err, -ENOMEM, "replace: out of memory");
	c->pairs = p;
	p += c->npairs;
	from = strdup(value);
	if (!from)
		return oc_error(err, -ENOMEM, "replace: out of memory");
	to = oc_find_unescaped(from, '=');
	if (!to || to == from) {
		free(from);
		return oc_error(err, -EINVAL, "replace: '%s': OLD=NEW expected, OLD not empty", value);
	}
	*to++ = '\0';
	*p = (struct replace_pair){.from = (uint8_t *)from, .to = (uint8_t *)to};
	p->from_len = oc_unescape(from);
	p->to_len = oc_unescape(to);
	c->npairs++;
	if (p->from_len != p->to_len)
		c->same_size = false;
	for (uint32_t i = 0; i + 1 < c->npairs; i++) {
		if (c->pairs[i].from_len == p->from_len && memcmp(c->pairs[i].from, p->from, p->from_len) == 0)
			return oc_error(err, -EINVAL, "replace: '%s': the same OLD twice", value);
	}
	return 0;
}

static int replace_yes_no(const struct oc_option *o, bool *flag, struct oc_error *err)
{
	*flag = strcmp(o->value, "yes") == 0;
	if (*flag || strcmp(o->value, "no") == 0)
		return 0;
	return oc_error(err, -EINVAL, "replace: '%s=%s': yes or no expected", o->key, o->value);
}

static int replace_build(struct replace_config *c, struct oc_error *err)
{
	struct match_pattern *m;

	if (!c->npairs)
		return oc_error(err, -EINVAL, "replace: no pair given (replace=OLD=NEW)");
	m = calloc(c->npairs, sizeof(*m));
	for (uint32_t i = 0; m && i < c->npairs; i++)
		m[i] = (struct match_pattern){c->pairs[i].from, c->pairs[i].from_len};
	c->set = m ? match_set_new(m, c->npairs, c->fold) : NULL;
	free(m);
	return c->set ? 0 : oc_error(err, -ENOMEM, "replace: the patterns need too much memory");
}

static int replace_configure(const struct oc_option *o, size_t n, void **config, struct oc_error *err)
{
	struct replace_config *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return oc_error(err, -ENOMEM, "replace: out of memory");
	c->same_size = true;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (strcmp(o[i].key, "replace") == 0)
			rc = replace_pair_add(c, o[i].value, err);
		else if (strcmp(o[i].key, "headers") == 0)
			rc = replace_yes_no(&o[i], &c->headers, err);
		else if (strcmp(o[i].key, "nocase") == 0)
			rc = replace_yes_no(&o[i], &c->fold, err);
		else
			rc = oc_error(err, -EINVAL, "replace: unknown option '%s'", o[i].key);
	}
	if (rc == 0)
		rc = replace_build(c, err);
	if (rc != 0)
		replace_unconfigure(c);
	else
		*config = c;
	return rc;
}

static int replace_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	const struct replace_config *c = oc_config(x);
	struct replace_state *s = state;
	struct oc_adapted a = OC_ADAPTED_INIT;

	s->held = malloc(match_set_longest(c->set));
	if (!s->held)
		return -ENOMEM;
	if (c->same_size) {
		a.sizep = m->sizep;
		a.body = m->body;
	}
	return oc_start_adapted(x, &a);
}

static void replace_out(struct oc_xaction *x, struct replace_config *c, enum oc_part part)
{
	if (c->used)
		oc_send(x, part, c->room, c->used, c->changed);
	c->used = 0;
	c->changed = false;
}

static void replace_put(struct oc_xaction *x, struct replace_config *c, enum oc_part part, const uint8_t *p,
			size_t len, bool changed)
{
	if (len > REPLACE_ROOM - c->used)
		replace_out(x, c, part);
	if (len > REPLACE_ROOM) {
		oc_send(x, part, p, len, changed);
		return;
	}
	memcpy(c->room + c->used, p, len);
	c->used += len;
	c->changed |= changed;
}

/* Unchanged octets [from, to) of the window. */
static void replace_pass(struct oc_xaction *x, struct replace_config *c, struct replace_state *s,
			 const struct match_window *w, size_t from, size_t to)
{
	while (from < to) {
		bool held = from < w->a_len;
		const uint8_t *p = held ? w->a + from : w->b + (from - w->a_len);
		size_t n = held && to > w->a_len ? w->a_len - from : to - from;

		if (n < REPLACE_INLINE) {
			replace_put(x, c, s->part, p, n, false);
			oc_release(x, s->held_at + from, n);
		} else {
			replace_out(x, c, s->part);
			oc_forward(x, s->part, s->held_at + from, p, n);
		}
		from += n;
	}
}

/* Matches in what is held and then p; keeps what stays undecided. */
static void replace_run(struct oc_xaction *x, struct replace_state *s, const uint8_t *p, size_t len, bool last)
{
	struct replace_config *c = oc_config(x);
	struct match_window w = {s->held, p, s->held_len, len};
	struct match_hit hit;
	size_t done = 0, held, total = s->held_len + len;

	while (match_leftmost(c->set, &s->scan, &w, last, &hit)) {
		const struct replace_pair *pair = &c->pairs[hit.pattern];

		replace_pass(x, c, s, &w, done, hit.start);
		replace_put(x, c, s->part, pair->to, pair->to_len, true);
		oc_release(x, s->held_at + hit.start, hit.end - hit.start);
		oc_count_hit(x);
		done = hit.end;
	}
	held = last ? total : match_scan_held(c->set, &s->scan);
	replace_pass(x, c, s, &w, done, held);
	replace_out(x, c, s->part);

	/* what stays: the end of the window, all of it in p or some of it held already */
	if (held < s->held_len) {
		memmove(s->held, s->held + held, s->held_len - held);
		memcpy(s->held + s->held_len - held, p, len);
	} else if (held < total) {
		memcpy(s->held, p + (held - s->held_len), total - held);
	}
	s->held_len = total - held;
	s->held_at += held;
	if (last)
		s->scan = (struct match_scan){0};
	else
		match_scan_shift(&s->scan, held);
}

static void replace_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	const struct replace_config *c = oc_config(x);
	struct replace_state *s = state;

	if (d->part != s->part || !s->held_len) {
		if (d->part != s->part && s->held_len)
			replace_run(x, s, NULL, 0, true);
		if (d->part != s->part)
			s->scan = (struct match_scan){0};
		s->part = d->part;
		s->held_at = d->offset;
	}
	if (oc_part_is_body(d->part) || c->headers)
		replace_run(x, s, d->bytes, d->len, false);
	else
		oc_forward(x, d->part, d->offset, d->bytes, d->len);
}

static void replace_end(struct oc_xaction *x, void *state, bool ok)
{
	struct replace_state *s = state;

	replace_run(x, s, NULL, 0, true);
	if (ok)
		oc_end(x);
}

static void replace_close(struct oc_xaction *x, void *state, enum oc_close how)
{
	free(((struct replace_state *)state)->held);
}

const struct oc_service_type service_replace = {
	.name = "replace",
	.uri = "urn:opes:service:replace",
	.summary = "replaces literal patterns in bodies and streams",
	.options = "  replace=OLD=NEW  pattern and its replacement; may be repeated\n"
		   "  headers=yes|no   also in heads and trailers (no)\n"
		   "  nocase=yes|no    A-Z in OLD match a-z (no)\n",
	.state_size = sizeof(struct replace_state),
	.configure = replace_configure,
	.unconfigure = replace_unconfigure,
	.start = replace_start,
	.data = replace_data,
	.end = replace_end,
	.close = replace_close,
};
