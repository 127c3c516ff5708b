/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fields of a complete head say about framing and the connection (RFC 9112 3.2, 6, 9; RFC
 * 9110 7.8, 8.6, 10.1.1). */
#include <string.h>
#include <strings.h>

#include "app/app_http1_priv.h"

struct facts {
	const struct http1_field *length, *coding, *host;
	bool several_codings, several_hosts, length_conflict;
	bool close, keep_alive, upgrade_option, upgrade;
};

static bool value_is(const char *buf, const struct http1_field *f, const char *lower)
{
	return http1_same(buf + f->value.off, f->value.len, lower);
}

static void note_connection(struct facts *k, const char *buf, const struct http1_field *f)
{
	const char *v = buf + f->value.off;
	struct http1_span item;
	uint32_t at = 0;

	while (http1_list_next(v, f->value.len, &at, &item)) {
		k->close = k->close || http1_same(v + item.off, item.len, "close");
		k->keep_alive = k->keep_alive || http1_same(v + item.off, item.len, "keep-alive");
		k->upgrade_option =
			k->upgrade_option || http1_same(v + item.off, item.len, "upgrade");
	}
}

static void note_length(struct facts *k, const char *buf, const struct http1_field *f)
{
	const struct http1_span *a = &f->value, *b;

	if (k->length == NULL) {
		k->length = f;
		return;
	}
	b = &k->length->value;
	if (a->len != b->len || memcmp(buf + a->off, buf + b->off, a->len) != 0)
		k->length_conflict = true;
}

/* The length of the name is looked at first: most fields are none of these. */
static void note_field(struct facts *k, struct http1_head *h, const char *buf,
		       const struct http1_field *f)
{
	const char *name = buf + f->name.off;
	uint32_t n = f->name.len;

	switch (n) {
	case 4:
		if (http1_same(name, n, "host")) {
			k->several_hosts = k->host != NULL;
			k->host = f;
		}
		break;
	case 6:
		if (http1_same(name, n, "expect"))
			h->expect_continue = value_is(buf, f, "100-continue");
		break;
	case 7:
		if (http1_same(name, n, "upgrade"))
			k->upgrade = k->upgrade || f->value.len != 0;
		break;
	case 10:
		if (http1_same(name, n, "connection"))
			note_connection(k, buf, f);
		break;
	case 14:
		if (http1_same(name, n, "content-length"))
			note_length(k, buf, f);
		break;
	case 17:
		if (http1_same(name, n, "transfer-encoding")) {
			k->several_codings = k->coding != NULL;
			k->coding = f;
		}
		break;
	}
}

static bool parse_length(const char *s, uint32_t len, uint64_t *out)
{
	uint64_t v = 0;

	for (uint32_t i = 0; i < len; i++) {
		if (!http1_is(s[i], C_DIGIT) || v > (INT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	*out = v;
	return len != 0;
}

static enum http1_bad check_host(struct http1_head *h, const char *buf, const struct facts *k,
				 uint32_t *at)
{
	const struct http1_field *f = k->host;

	if (f == NULL) {
		*at = h->len - 2; /* where it should have been at the latest */
		return h->minor >= 1 ? HTTP1_BAD_HOST : HTTP1_OK;
	}
	*at = f->line.off;
	if (k->several_hosts)
		return HTTP1_BAD_HOST;
	for (uint32_t i = 0; i < f->value.len; i++) {
		if (!http1_is(buf[f->value.off + i], C_HOST)) {
			*at = f->value.off + i;
			return HTTP1_BAD_HOST;
		}
	}
	if (h->host.len == 0) /* the authority of a target comes first, RFC 9112 3.2.2 */
		h->host = f->value;
	return HTTP1_OK;
}

/* Sets body, as if the message were one that may have one. */
static enum http1_bad frame(struct http1_head *h, const char *buf, const struct facts *k,
			    bool lenient, uint32_t *at)
{
	const struct http1_field *cl = k->length, *te = k->coding;
	bool rtsp = h->proto == HTTP1_PROTO_RTSP;
	bool chunked = te != NULL && !k->several_codings && value_is(buf, te, "chunked") && !rtsp;

	h->body = h->kind == HTTP1_REQUEST || rtsp ? HTTP1_BODY_NONE : HTTP1_BODY_CLOSE;
	h->has_content_length =
		cl != NULL && !k->length_conflict &&
		parse_length(buf + cl->value.off, cl->value.len, &h->content_length);
	if (h->has_content_length)
		h->body = HTTP1_BODY_LENGTH;
	if (chunked)
		h->body = HTTP1_BODY_CHUNKED;
	if (lenient)
		return HTTP1_OK;
	if (te != NULL) {
		*at = te->line.off;
		if (cl != NULL)
			return HTTP1_BAD_LENGTH_AND_CODING;
		if (!chunked || h->minor == 0 || h->method_connect)
			return HTTP1_BAD_CODING;
	}
	if (cl != NULL) {
		*at = cl->line.off;
		if (k->length_conflict)
			return HTTP1_BAD_LENGTH_CONFLICT;
		if (!h->has_content_length || (h->method_connect && h->content_length != 0))
			return HTTP1_BAD_LENGTH;
	}
	return HTTP1_OK;
}

enum http1_bad http1_head_finish(struct http1_head *h, const char *buf, uint32_t len, bool lenient,
				 uint32_t *at)
{
	struct facts k = {0};
	enum http1_bad bad;

	h->buf = buf;
	h->len = len;
	for (uint32_t i = 0; i < h->nfields; i++)
		note_field(&k, h, buf, &h->field[i]);
	if (h->kind == HTTP1_REQUEST && h->proto == HTTP1_PROTO_HTTP) {
		bad = check_host(h, buf, &k, at);
		if (bad != HTTP1_OK)
			return bad;
	}
	bad = frame(h, buf, &k, lenient, at);
	if (bad != HTTP1_OK)
		return bad;
	h->keep_alive = !k.close && (h->minor >= 1 || k.keep_alive || h->proto == HTTP1_PROTO_RTSP);
	/* HTTP/1.0 knows neither: RFC 9110 7.8 and 10.1.1. */
	h->upgrade = h->minor >= 1 && k.upgrade && k.upgrade_option;
	h->expect_continue = h->expect_continue && h->minor >= 1 && h->kind == HTTP1_REQUEST;
	return HTTP1_OK;
}

const struct http1_field *http1_find(const struct http1_head *h, const char *name)
{
	return http1_find_next(h, name, NULL);
}

const struct http1_field *http1_find_next(const struct http1_head *h, const char *name, const struct http1_field *after)
{
	size_t n = strlen(name);

	for (uint32_t i = after ? (uint32_t)(after - h->field) + 1 : 0; i < h->nfields; i++) {
		const struct http1_field *f = &h->field[i];

		if (f->name.len == n && strncasecmp(h->buf + f->name.off, name, n) == 0)
			return f;
	}
	return NULL;
}
