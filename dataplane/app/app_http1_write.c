/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing a head anew with other framing; texts. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "app/app_http1_priv.h"

struct out {
	char *p;
	uint32_t cap, n;
	bool full;
};

static void put(struct out *o, const char *s, uint32_t len)
{
	if (len > o->cap - o->n) {
		o->full = true;
		return;
	}
	if (len != 0)
		memcpy(o->p + o->n, s, len);
	o->n += len;
}

static void put_text(struct out *o, const char *s)
{
	put(o, s, (uint32_t)strlen(s));
}

static void put_number(struct out *o, uint64_t v)
{
	char digits[20];
	uint32_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	put(o, digits + n, (uint32_t)sizeof(digits) - n);
}

static void put_framing(struct out *o, enum http1_framing f, uint64_t length)
{
	if (f == HTTP1_FRAME_CHUNKED)
		put_text(o, "Transfer-Encoding: chunked\r\n");
	if (f == HTTP1_FRAME_LENGTH) {
		put_text(o, "Content-Length: ");
		put_number(o, length);
		put_text(o, "\r\n");
	}
}

/* The options of a Connection field without those about closing; nothing when no other is left. */
static void put_connection(struct out *o, const struct http1_head *h, const struct http1_field *f)
{
	const char *v = h->buf + f->value.off;
	struct http1_span item;
	uint32_t at = 0, n = 0;

	while (http1_list_next(v, f->value.len, &at, &item)) {
		if (http1_same(v + item.off, item.len, "close") ||
		    http1_same(v + item.off, item.len, "keep-alive"))
			continue;
		if (n++ == 0)
			put(o, h->buf + f->line.off, f->value.off - f->line.off);
		else
			put_text(o, ", ");
		put(o, v + item.off, item.len);
	}
	if (n != 0)
		put_text(o, "\r\n");
}

static void put_edit(struct out *o, const struct http1_edit *e)
{
	if (e->value == NULL)
		return;
	put_text(o, e->name);
	put_text(o, ": ");
	put(o, e->value, e->len);
	put_text(o, "\r\n");
}

/* x is one that is edited: what takes its place is written, once. */
static bool edited(struct out *o, const char *name, uint32_t len, const struct http1_edit *edit, uint32_t edits,
		   uint32_t *done)
{
	for (uint32_t k = 0; k < edits; k++) {
		if (strlen(edit[k].name) != len || strncasecmp(edit[k].name, name, len) != 0)
			continue;
		if (!(*done & 1u << k))
			put_edit(o, &edit[k]);
		*done |= 1u << k;
		return true;
	}
	return false;
}

int http1_write_head(const struct http1_head *h, enum http1_framing f, uint64_t length,
		     bool connection_close, char *out, uint32_t cap)
{
	return http1_write_head_edited(h, f, length, connection_close, NULL, 0, out, cap);
}

int http1_write_head_edited(const struct http1_head *h, enum http1_framing f, uint64_t length, bool connection_close,
			    const struct http1_edit *edit, uint32_t edits, char *out, uint32_t cap)
{
	struct out o = {.p = out, .cap = cap};
	bool framed = f == HTTP1_FRAME_KEEP;
	uint32_t done = 0;

	if (f == HTTP1_FRAME_CHUNKED && h->minor == 0)
		f = HTTP1_FRAME_CLOSE;
	if ((f == HTTP1_FRAME_CLOSE && h->kind == HTTP1_REQUEST) || edits > HTTP1_EDITS_MAX)
		return -EINVAL;
	connection_close = connection_close || f == HTTP1_FRAME_CLOSE;
	put(&o, h->buf + h->start_line.off, h->start_line.len);
	put_text(&o, "\r\n");
	for (uint32_t i = 0; i < h->nfields; i++) {
		const struct http1_field *x = &h->field[i];
		const char *name = h->buf + x->name.off;

		if (f != HTTP1_FRAME_KEEP && (http1_same(name, x->name.len, "content-length") ||
					      http1_same(name, x->name.len, "transfer-encoding"))) {
			if (!framed)
				put_framing(&o, f, length);
			framed = true;
			continue;
		}
		if (f != HTTP1_FRAME_KEEP && f != HTTP1_FRAME_CHUNKED &&
		    http1_same(name, x->name.len, "trailer"))
			continue;
		if (connection_close && http1_same(name, x->name.len, "keep-alive"))
			continue;
		if (edited(&o, name, x->name.len, edit, edits, &done))
			continue;
		if (connection_close && http1_same(name, x->name.len, "connection"))
			put_connection(&o, h, x);
		else
			put(&o, h->buf + x->line.off, x->line.len);
	}
	if (!framed)
		put_framing(&o, f, length);
	for (uint32_t k = 0; k < edits; k++) {
		if (!(done & 1u << k))
			put_edit(&o, &edit[k]);
	}
	if (connection_close)
		put_text(&o, "Connection: close\r\n");
	put_text(&o, "\r\n");
	return o.full || o.n > INT32_MAX ? -ENOSPC : (int)o.n;
}

uint32_t http1_write_chunk_size(char *out, uint64_t n)
{
	uint32_t digits = n == 0 ? 1 : (67u - (uint32_t)__builtin_clzll(n)) / 4;

	for (uint32_t i = digits; i-- > 0; n >>= 4)
		out[i] = "0123456789abcdef"[n & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}

const char *http1_bad_text(enum http1_bad bad)
{
	static const char *const text[HTTP1_BAD_MAX] = {
		[HTTP1_OK] = "well formed",
		[HTTP1_BAD_START_LINE] = "request or status line is not one",
		[HTTP1_BAD_VERSION] = "version is neither HTTP/1.0 nor HTTP/1.1 (RTSP: 1.0)",
		[HTTP1_BAD_FIELD_NAME] = "field name is empty or has an octet it may not have",
		[HTTP1_BAD_FIELD_VALUE] = "field value has a control character",
		[HTTP1_BAD_OBS_FOLD] = "field line begins with white space",
		[HTTP1_BAD_SPACE_BEFORE_COLON] = "white space between field name and colon",
		[HTTP1_BAD_BARE_CR] = "CR without LF",
		[HTTP1_BAD_BARE_LF] = "LF without CR",
		[HTTP1_BAD_LENGTH] = "Content-Length is not one number or is too large",
		[HTTP1_BAD_LENGTH_CONFLICT] = "Content-Length fields differ",
		[HTTP1_BAD_LENGTH_AND_CODING] = "both Content-Length and Transfer-Encoding",
		[HTTP1_BAD_CODING] = "Transfer-Encoding is not chunked alone, or not allowed here",
		[HTTP1_BAD_CHUNK] = "chunk-size line or end of chunk is wrong",
		[HTTP1_BAD_TRAILER] =
			"trailer section is wrong, too large, or has a field not allowed there",
		[HTTP1_BAD_HEAD_TOO_LARGE] = "head is too large",
		[HTTP1_BAD_TOO_MANY_FIELDS] = "too many fields",
		[HTTP1_BAD_HOST] = "Host is missing, repeated or not a host",
		[HTTP1_BAD_UNEXPECTED_RESPONSE] = "response nobody asked for",
		[HTTP1_BAD_EOF] = "stream ended inside a message",
	};

	return (unsigned)bad < HTTP1_BAD_MAX ? text[bad] : "unknown";
}
