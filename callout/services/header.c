/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * header: removes, sets and adds fields of HTTP heads and of mails' (which count as requests). The head is collected, written anew and sent; bodies and
 * trailers go on unchanged, by reference where the processor preserves them. With leave=yes the service leaves the
 * loop as soon as the head is done and the processor allows it.
 */
#include "callout/services/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_MAX (1u << 20) /* octets of a head */

enum header_what { HEADER_REMOVE, HEADER_SET, HEADER_ADD };

struct header_edit {
	enum header_what what;
	char *name; /* one allocation; `name\0value` */
	const char *value;
	size_t name_len;
};

struct header_config {
	struct header_edit *edits;
	size_t n, grow; /* octets that all set and add bring */
	bool requests, responses, leave;
};

struct header_state {
	uint8_t *head;
	size_t len, cap;
	uint64_t at;      /* offset of the head's first octet */
	enum oc_part part;
	bool done;
};

static void header_unconfigure(void *config)
{
	struct header_config *c = config;

	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		free(c->edits[i].name);
	free(c->edits);
	free(c);
}

static bool header_token(const char *s, size_t len)
{
	static const char extra[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < len; i++) {
		char ch = s[i];

		if (!((ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') ||
		      (ch && strchr(extra, ch))))
			return false;
	}
	return len > 0;
}

/* The framing of a message is the processor's: it knows the sizes. */
static bool header_is_framing(const char *name)
{
	return strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0 ||
	       strcasecmp(name, "Connection") == 0 || strcasecmp(name, "Trailer") == 0;
}

static int header_edit_add(struct header_config *c, enum header_what what, const char *value, struct oc_error *err)
{
	struct header_edit *e = realloc(c->edits, (c->n + 1) * sizeof(*e));
	char *text, *colon;
	size_t len;

	if (!e)
		return oc_error(err, -ENOMEM, "header: out of memory");
	c->edits = e;
	e += c->n;
	text = strdup(value);
	if (!text)
		return oc_error(err, -ENOMEM, "header: out of memory");
	*e = (struct header_edit){.what = what, .name = text};
	c->n++;
	len = oc_unescape(text);
	colon = what == HEADER_REMOVE ? text + len : strchr(text, ':');
	if (!colon || strlen(text) != len || strpbrk(text, "\r\n") || !header_token(text, (size_t)(colon - text)))
		return oc_error(err, -EINVAL, "header: '%s': %s expected", value,
				what == HEADER_REMOVE ? "NAME" : "NAME: VALUE");
	if (*colon)
		*colon++ = '\0';
	while (*colon == ' ' || *colon == '\t')
		colon++;
	e->value = colon;
	e->name_len = strlen(text);
	if (header_is_framing(text))
		return oc_error(err, -EINVAL, "header: '%s' is the processor's own", text);
	if (what != HEADER_REMOVE)
		c->grow += e->name_len + strlen(e->value) + 4;
	return 0;
}

static int header_option(struct header_config *c, const struct oc_option *o, struct oc_error *err)
{
	bool yes = strcmp(o->value, "yes") == 0;

	if (strcmp(o->key, "remove") == 0)
		return header_edit_add(c, HEADER_REMOVE, o->value, err);
	if (strcmp(o->key, "set") == 0)
		return header_edit_add(c, HEADER_SET, o->value, err);
	if (strcmp(o->key, "add") == 0)
		return header_edit_add(c, HEADER_ADD, o->value, err);
	if (strcmp(o->key, "leave") == 0 && (yes || strcmp(o->value, "no") == 0)) {
		c->leave = yes;
		return 0;
	}
	if (strcmp(o->key, "in") == 0) {
		c->requests = strcmp(o->value, "responses") != 0;
		c->responses = strcmp(o->value, "requests") != 0;
		if (c->requests != c->responses || strcmp(o->value, "both") == 0)
			return 0;
	}
	return oc_error(err, -EINVAL, "header: bad option '%s=%s'", o->key, o->value);
}

static int header_configure(const struct oc_option *o, size_t n, void **config, struct oc_error *err)
{
	struct header_config *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return oc_error(err, -ENOMEM, "header: out of memory");
	c->requests = c->responses = true;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = header_option(c, &o[i], err);
	if (rc == 0 && !c->n)
		rc = oc_error(err, -EINVAL, "header: nothing to do (remove=, set=, add=)");
	if (rc != 0)
		header_unconfigure(c);
	else
		*config = c;
	return rc;
}

/* Octets of the line at p, its end included. */
static size_t header_line(const uint8_t *p, size_t len)
{
	const uint8_t *lf = memchr(p, '\n', len);

	return lf ? (size_t)(lf - p) + 1 : len;
}

/* The field with its continuation lines (obs-fold). */
static size_t header_field(const uint8_t *p, size_t len)
{
	size_t n = header_line(p, len);

	while (n < len && (p[n] == ' ' || p[n] == '\t'))
		n += header_line(p + n, len - n);
	return n;
}

static bool header_dropped(const struct header_config *c, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct header_edit *e = &c->edits[i];

		if (e->what != HEADER_ADD && len > e->name_len && p[e->name_len] == ':' &&
		    strncasecmp((const char *)p, e->name, e->name_len) == 0)
			return true;
	}
	return false;
}

/* Writes the new head to out, which has room for len + c->grow; returns its size. start: octets of the start line. */
static size_t header_rewrite(const struct header_config *c, const uint8_t *p, size_t len, size_t start, uint8_t *out)
{
	size_t i = start, n = i;

	memcpy(out, p, i);
	while (i < len && p[i] != '\n' && !(p[i] == '\r' && i + 1 < len && p[i + 1] == '\n')) {
		size_t field = header_field(p + i, len - i);

		if (!header_dropped(c, p + i, field)) {
			memcpy(out + n, p + i, field);
			n += field;
		}
		i += field;
	}
	for (size_t k = 0; k < c->n; k++) {
		const struct header_edit *e = &c->edits[k];

		if (e->what != HEADER_REMOVE)
			n += (size_t)sprintf((char *)out + n, "%s: %s\r\n", e->name, e->value);
	}
	memcpy(out + n, p + i, len - i); /* the empty line */
	return n + len - i;
}

static bool header_is_mail(const struct oc_xaction *x)
{
	struct oc_str protocol;

	return oc_meta(x, "Protocol", &protocol) && oc_str_eq(protocol, "SMTP");
}

static bool header_wanted(struct oc_xaction *x)
{
	const struct header_config *c = oc_config(x);
	enum oc_kind kind = oc_message(x)->kind;

	return (kind == OC_KIND_REQUEST && c->requests) || (kind == OC_KIND_RESPONSE && c->responses);
}

static int header_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	struct header_state *s = state;
	struct oc_adapted a = OC_ADAPTED_INIT;

	if (header_wanted(x))
		return 0;
	s->done = true;
	a.sizep = m->sizep;
	a.body = m->body;
	a.modp = 0;
	return oc_start_adapted(x, &a);
}

/* The head is complete: begins the adapted message with the new one. */
static void header_finish(struct oc_xaction *x, struct header_state *s)
{
	const struct header_config *c = oc_config(x);
	struct oc_adapted a = OC_ADAPTED_INIT;
	uint8_t *out = malloc(s->len + c->grow + 1);
	int64_t sizep = oc_message(x)->sizep;
	size_t n;
	bool same;

	s->done = true;
	if (!out) {
		oc_refuse(x, "out of memory");
		return;
	}
	n = s->len ? header_rewrite(c, s->head, s->len, header_is_mail(x) ? 0 : header_line(s->head, s->len), out) : 0;
	same = n == s->len && (n == 0 || memcmp(out, s->head, n) == 0);
	a.modified = !same;
	a.body = oc_message(x)->body;
	if (sizep >= (int64_t)s->len)
		a.sizep = sizep - (int64_t)s->len + (int64_t)n;
	oc_start_adapted(x, &a);
	if (same) {
		oc_forward(x, s->part, s->at, s->head, s->len);
	} else {
		oc_send(x, s->part, out, n, true);
		oc_count_hit(x);
	}
	free(out);
}

static bool header_complete(const struct header_state *s)
{
	const uint8_t *e = s->head + s->len;

	return (s->len >= 2 && e[-1] == '\n' && e[-2] == '\n') ||
	       (s->len >= 3 && e[-1] == '\n' && e[-2] == '\r' && e[-3] == '\n');
}

static void header_collect(struct oc_xaction *x, struct header_state *s, const struct oc_data *d)
{
	if (s->len + d->len > s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 2048;
		uint8_t *head;

		while (cap < s->len + d->len)
			cap *= 2;
		head = cap <= HEADER_MAX ? realloc(s->head, cap) : NULL;
		if (!head) {
			oc_refuse(x, "head too large");
			return;
		}
		s->head = head;
		s->cap = cap;
	}
	if (!s->len) {
		s->at = d->offset;
		s->part = d->part;
	}
	memcpy(s->head + s->len, d->bytes, d->len);
	s->len += d->len;
	if (!header_complete(s))
		return;
	header_finish(x, s);
	if (((const struct header_config *)oc_config(x))->leave && d->last && oc_leave_loop(x) == 0)
		return;
	oc_release(x, s->at, s->len);
}

static void header_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	const struct header_config *c = oc_config(x);
	struct header_state *s = state;

	if (!s->done && oc_part_is_header(d->part)) {
		header_collect(x, s, d);
		return;
	}
	if (!s->done)
		header_finish(x, s);
	if (c->leave && d->last) { /* what is given up cannot be left with */
		if (oc_as_is(x, d->part, d->offset, d->len) != 0)
			oc_copy(x, d->part, d->offset, d->bytes, d->len);
		if (oc_leave_loop(x) != 0)
			oc_release(x, d->offset, d->len);
		return;
	}
	oc_forward(x, d->part, d->offset, d->bytes, d->len);
}

static void header_end(struct oc_xaction *x, void *state, bool ok)
{
	struct header_state *s = state;

	if (ok && !s->done)
		header_finish(x, s);
	if (ok)
		oc_end(x);
}

static void header_close(struct oc_xaction *x, void *state, enum oc_close how)
{
	free(((struct header_state *)state)->head);
}

const struct oc_service_type service_header = {
	.name = "header",
	.uri = "urn:opes:service:header",
	.summary = "removes, sets and adds header fields",
	.options = "  remove=NAME        drop all fields of that name; may be repeated\n"
		   "  set=NAME: VALUE    drop them and add this one; may be repeated\n"
		   "  add=NAME: VALUE    add a field; may be repeated\n"
		   "  in=requests|responses|both  (both)\n"
		   "  leave=yes|no       leave the loop after the head (no)\n",
	.state_size = sizeof(struct header_state),
	.configure = header_configure,
	.unconfigure = header_unconfigure,
	.start = header_start,
	.data = header_data,
	.end = header_end,
	.close = header_close,
};
