/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a stream through the framer, cut somehow, and writes down what came out: for the unit tests and the fuzz target. The
 * notes of two runs over the same octets are equal, however these were cut. */
#ifndef APP_SMTP_TEST_H
#define APP_SMTP_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/app_smtp.h"

struct note {
	char *text; /* what happened, in order */
	size_t len, cap;
	size_t consumed;
};

/* How many octets the next piece has, 1 to left. */
typedef uint32_t (*piece_fn)(void *ctx, uint32_t left);

static inline void note_put(struct note *n, const void *p, size_t len)
{
	if (n->len + len + 1 > n->cap) {
		n->cap = 2 * (n->len + len) + 64;
		n->text = realloc(n->text, n->cap);
		if (!n->text)
			abort();
	}
	memcpy(n->text + n->len, p, len);
	n->len += len;
	n->text[n->len] = 0;
}

static inline void note_clear(struct note *n)
{
	n->len = n->consumed = 0;
	note_put(n, "", 0);
}

#define NOTE(n, ...)                                                                                                       \
	do {                                                                                                               \
		char note_line[160];                                                                                       \
		int note_len = snprintf(note_line, sizeof(note_line), __VA_ARGS__);                                        \
		note_put(n, note_line, (size_t)note_len);                                                                  \
	} while (0)

/* Commands; what follows a DATA is a message. bodies: the text of messages as well. */
static inline void note_commands(struct note *n, const uint8_t *in, uint32_t len, piece_fn piece, void *ctx)
{
	struct smtp_lines *l = malloc(sizeof(*l));
	struct smtp_data d = {0};
	struct smtp_event ev;
	bool message = false;
	uint32_t at = 0, args;

	smtp_lines_init(l);
	while (at < len) {
		uint32_t end = at + piece(ctx, len - at);

		while (at < end) {
			/* A copy of its own, so that nothing behind it is looked at. */
			uint8_t *copy = malloc(end - at);

			memcpy(copy, in + at, end - at);
			if (message)
				smtp_data_step(&d, copy, end - at, &ev);
			else
				smtp_lines_step(l, copy, end - at, &ev);
			if (ev.len == 0 || ev.len > end - at)
				abort();
			if (ev.held)
				note_put(n, "\r", 1);
			if (ev.type == SMTP_TEXT)
				note_put(n, copy, ev.len);
			if (ev.type == SMTP_LINE) {
				NOTE(n, "%s%s%s%s[", smtp_verb_name(smtp_verb(l->line, l->len, &args)), l->bad ? " bad" : "",
				     l->cut ? " cut" : "", l->crlf ? "" : " lf");
				note_put(n, l->line, l->len);
				NOTE(n, "]\n");
				message = smtp_verb(l->line, l->len, &args) == SMTP_DATA && !l->bad;
				if (message)
					smtp_data_init(&d);
			}
			if (ev.type == SMTP_END) {
				NOTE(n, "END %llu odd %u\n", (unsigned long long)d.octets, d.odd);
				message = false;
			}
			at += ev.len;
			free(copy);
		}
	}
	NOTE(n, "%s", message ? "in message" : smtp_lines_between(l) ? "between" : "in line");
	free(l);
}

static inline void note_replies(struct note *n, const uint8_t *in, uint32_t len, piece_fn piece, void *ctx)
{
	struct smtp_replies *r = malloc(sizeof(*r));
	struct smtp_event ev = {.type = SMTP_NEED_MORE};
	uint32_t at = 0;

	smtp_replies_init(r);
	while (at < len && ev.type != SMTP_BAD) {
		uint32_t end = at + piece(ctx, len - at);

		while (at < end && ev.type != SMTP_BAD) {
			uint8_t *copy = malloc(end - at);

			memcpy(copy, in + at, end - at);
			smtp_replies_step(r, copy, end - at, &ev);
			if (ev.len == 0 || ev.len > end - at)
				abort();
			at += ev.len;
			free(copy);
			if (ev.type == SMTP_BAD)
				NOTE(n, "BAD ");
			if (ev.type != SMTP_LINE)
				continue;
			NOTE(n, "%u%s%s%s%s%s[", r->code, r->first ? " first" : "", r->last ? " last" : "", r->crlf ? "" : " lf",
			     smtp_ehlo_hidden(r->line, r->len, false) ? " hidden" : "",
			     smtp_ehlo_hidden(r->line, r->len, true) ? " tls" : "");
			note_put(n, r->line, r->len);
			NOTE(n, "]\n");
		}
	}
	NOTE(n, "%s", smtp_replies_between(r) ? "between" : "in reply");
	free(r);
}

/* A message for the wire. */
static inline void note_stuffed(struct note *n, const uint8_t *in, uint32_t len, piece_fn piece, void *ctx)
{
	struct smtp_stuff w;
	uint32_t at = 0;
	bool dot;

	smtp_stuff_init(&w);
	while (at < len) {
		uint32_t end = at + piece(ctx, len - at);

		while (at < end) {
			uint8_t *copy = malloc(end - at);
			uint32_t k;

			memcpy(copy, in + at, end - at);
			k = smtp_stuff_step(&w, copy, end - at, &dot);
			if (k > end - at || dot != (k < end - at))
				abort();
			note_put(n, copy, k);
			if (dot)
				note_put(n, ".", 1);
			at += k;
			free(copy);
		}
	}
	note_put(n, smtp_stuff_end(&w), strlen(smtp_stuff_end(&w)));
}

#endif
