/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a stream through the framer, cut somehow, and writes down what came out: for the unit tests
 * and the fuzz target. The notes of two runs over the same octets are equal, however these were
 * cut. */
#ifndef APP_HTTP1_TEST_H
#define APP_HTTP1_TEST_H

#include <stdlib.h>
#include <string.h>

#include "app/app_http1.h"

#define NOTE_MESSAGES 16

struct note_message {
	uint32_t head_len, nfields, status;
	uint8_t body_kind;
	bool keep_alive, upgrade, interim, ended;
	uint64_t body, framing, trailer;	  /* octets */
	uint64_t head_sum, body_sum, trailer_sum; /* FNV-1a over them */
};

struct note {
	struct note_message m[NOTE_MESSAGES];
	uint32_t n;	   /* messages begun, may be more than there is room for */
	uint64_t consumed; /* octets of the stream before the end, a tunnel or something refused */
	uint64_t skipped;  /* FRAMING between messages */
	bool tunnel, between;
	uint8_t bad;
	uint64_t bad_offset;
};

struct run {
	enum http1_kind kind;
	bool head, connect, upgrade; /* what the requests were */
	uint32_t head_cap;
};

static inline uint64_t note_sum(uint64_t sum, const void *p, uint32_t n)
{
	const uint8_t *b = p;

	if (sum == 0)
		sum = 14695981039346656037u;
	for (uint32_t i = 0; i < n; i++)
		sum = (sum ^ b[i]) * 1099511628211u;
	return sum;
}

static inline void note_head(struct note_message *m, const struct http1_head *h)
{
	m->head_len = h->len;
	m->nfields = h->nfields;
	m->status = h->status;
	m->body_kind = h->body;
	m->keep_alive = h->keep_alive;
	m->upgrade = h->upgrade;
	m->interim = h->interim;
	m->head_sum = note_sum(0, h->buf, h->len);
	m->head_sum = note_sum(m->head_sum, &h->method, sizeof(h->method) * 6);
	m->head_sum = note_sum(m->head_sum, h->field, h->nfields * (uint32_t)sizeof(h->field[0]));
}

/* One event. False when nothing more comes of this stream. */
static inline bool note_event(struct note *t, const struct http1 *p, const struct http1_event *ev,
			      const uint8_t *in)
{
	bool fresh = ev->type == HTTP1_HEAD;
	struct note_message *m;

	if (ev->type == HTTP1_TUNNEL || ev->type == HTTP1_BAD) {
		t->tunnel = ev->type == HTTP1_TUNNEL;
		t->bad = p->bad;
		t->bad_offset = p->bad_offset;
		return false;
	}
	t->n += fresh;
	m = &t->m[t->n == 0 ? 0 : (t->n - 1) % NOTE_MESSAGES];
	if (fresh) {
		memset(m, 0, sizeof(*m));
		note_head(m, &p->head);
	} else if (ev->type == HTTP1_FRAMING && (t->n == 0 || m->ended)) {
		t->skipped += ev->len;
	} else if (ev->type == HTTP1_FRAMING) {
		m->framing += ev->len;
	} else if (ev->type == HTTP1_BODY) {
		m->body += ev->len;
		m->body_sum = note_sum(m->body_sum, in, ev->len);
	} else if (ev->type == HTTP1_TRAILER) {
		m->trailer += ev->len;
		m->trailer_sum = note_sum(m->trailer_sum, in, ev->len);
	} else if (ev->type == HTTP1_END) {
		m->ended = true;
	}
	return true;
}

/* Steps through one piece, lying in memory of exactly its size. */
static inline bool note_piece(struct note *t, struct http1 *p, const struct run *r,
			      const uint8_t *in, uint32_t len, bool eof)
{
	uint8_t *copy = malloc(len + (len == 0));
	struct http1_event ev;
	uint32_t done = 0;
	uint64_t unread;
	bool more = true;

	if (len != 0)
		memcpy(copy, in, len);
	do {
		if (p->kind == HTTP1_RESPONSE && http1_between(p) && !p->req_known)
			http1_expect(p, r->head, r->connect, r->upgrade);
		unread = http1_unread(p);
		http1_step(p, unread >= len - done ? NULL : copy + done, len - done, eof, &ev);
		if (ev.len > len - done || (unread && ev.len && ev.type != HTTP1_BODY))
			abort();
		more = note_event(t, p, &ev, copy + done);
		done += ev.len;
		t->consumed += ev.len;
	} while (more && (ev.type != HTTP1_NEED_MORE || done < len));
	free(copy);
	return more;
}

/* next tells the length of the piece at a given place; the FIN comes with the last piece. */
static inline void note_run(struct note *t, const struct run *r, const uint8_t *in, uint32_t len,
			    uint32_t (*next)(void *ctx, uint32_t at, uint32_t left), void *ctx)
{
	uint32_t cap = r->head_cap ? r->head_cap : HTTP1_HEAD_MAX, at = 0, n;
	struct http1 *p = malloc(sizeof(*p));
	char *buf = malloc(cap);

	memset(t, 0, sizeof(*t));
	http1_init(p, r->kind, buf, cap);
	do {
		n = next(ctx, at, len - at);
		if (n > len - at)
			n = len - at;
		if (!note_piece(t, p, r, in + at, n, at + n == len))
			break;
		at += n;
	} while (at < len);
	t->between = http1_between(p);
	if (t->bad != HTTP1_OK)
		t->consumed = 0; /* up to the refused octet or less, as the cuts were */
	free(buf);
	free(p);
}

#endif
