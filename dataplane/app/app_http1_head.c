/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines of a head: start line and fields (RFC 9112 2.1 to 5). Works on a line as soon as it is
 * complete, so that what is refused, and where, does not depend on how the stream was cut. */
#include <stddef.h>
#include <string.h>

#include "app/app_http1_priv.h"

static const char version_prefix[] = "HTTP/1.", rtsp_prefix[] = "RTSP/1.";
#define VERSION_LEN 8
#define PROTO_LEN 5 /* with the slash */

static struct http1_span span(uint32_t from, uint32_t to)
{
	return (struct http1_span){from, to - from};
}

void http1_head_begin(struct http1_head *h, enum http1_proto proto, enum http1_kind kind)
{
	memset(h, 0, offsetof(struct http1_head, field));
	h->kind = (uint8_t)kind;
	h->proto = (uint8_t)proto;
}

enum http1_bad http1_start_check(enum http1_proto proto, enum http1_kind kind, const char *buf, uint32_t from, uint32_t to,
				 uint32_t *at)
{
	for (uint32_t i = from; i < to; i++) {
		*at = i;
		if (kind == HTTP1_RESPONSE) {
			if (i < 5 && buf[i] != version_prefix[i])
				return HTTP1_BAD_START_LINE;
			continue;
		}
		if (buf[i] == ' ' && i > 0)
			break;
		/* The slash of "RTSP/": a response after all. */
		if (!http1_is(buf[i], C_TOKEN) &&
		    (proto != HTTP1_PROTO_RTSP || i != PROTO_LEN - 1 || memcmp(buf, rtsp_prefix, PROTO_LEN) != 0))
			return HTTP1_BAD_START_LINE;
	}
	return HTTP1_OK;
}

/* HTTP-version at [from, to), exactly. */
static enum http1_bad parse_version(struct http1_head *h, const char *buf, uint32_t from,
				    uint32_t to, uint32_t *at)
{
	const char *prefix = h->proto == HTTP1_PROTO_RTSP ? rtsp_prefix : version_prefix;

	*at = from;
	if (to - from != VERSION_LEN || memcmp(buf + from, prefix, PROTO_LEN) != 0)
		return to - from >= PROTO_LEN && memcmp(buf + from, prefix, PROTO_LEN) == 0
			       ? HTTP1_BAD_VERSION
			       : HTTP1_BAD_START_LINE;
	if (memcmp(buf + from, prefix, 7) != 0 ||
	    (buf[from + 7] != '0' && (buf[from + 7] != '1' || h->proto == HTTP1_PROTO_RTSP)))
		return HTTP1_BAD_VERSION;
	h->minor = buf[from + 7] == '1';
	return HTTP1_OK;
}

/* scheme "://" authority [path]: RFC 9112 3.2.2. */
static bool parse_absolute(struct http1_head *h, const char *buf)
{
	uint32_t i = h->target.off, end = i + h->target.len, host;

	while (i < end && (http1_is(buf[i], C_TOKEN)))
		i++;
	if (i == h->target.off || end - i < 3 || memcmp(buf + i, "://", 3) != 0)
		return false;
	i += 3;
	host = i;
	for (; i < end && buf[i] != '/' && buf[i] != '?' && buf[i] != '#'; i++) {
		if (buf[i] == '@') /* user information is no part of the host */
			host = i + 1;
		else if (!http1_is(buf[i], C_HOST))
			return false;
	}
	h->host = span(host, i);
	h->path = span(i, end);
	return h->host.len != 0;
}

/* RFC 9112 3.2: the four forms of a target. */
static bool parse_target(struct http1_head *h, const char *buf)
{
	const char *t = buf + h->target.off;

	if (h->method_connect) {
		for (uint32_t i = 0; i < h->target.len; i++)
			if (!http1_is(t[i], C_HOST))
				return false;
		h->host = h->target;
		return true;
	}
	if (t[0] == '/') {
		h->path = h->target;
		return true;
	}
	if (h->target.len == 1 && t[0] == '*') {
		h->path = h->target;
		return h->proto == HTTP1_PROTO_RTSP ||
		       (h->method.len == 7 && memcmp(buf + h->method.off, "OPTIONS", 7) == 0);
	}
	return parse_absolute(h, buf);
}

static enum http1_bad parse_request_line(struct http1_head *h, const char *buf, uint32_t from,
					 uint32_t to, uint32_t *at)
{
	uint32_t i = from, start;

	while (i < to && http1_is(buf[i], C_TOKEN))
		i++;
	*at = i;
	if (i == from || i == to || buf[i] != ' ')
		return HTTP1_BAD_START_LINE;
	h->method = span(from, i);
	if (h->proto == HTTP1_PROTO_HTTP) {
		h->method_head = h->method.len == 4 && memcmp(buf + from, "HEAD", 4) == 0;
		h->method_connect = h->method.len == 7 && memcmp(buf + from, "CONNECT", 7) == 0;
	}
	for (start = ++i; i < to && http1_is(buf[i], C_TARGET); i++)
		;
	*at = i;
	if (i < to && buf[i] == '\r')
		return HTTP1_BAD_BARE_CR;
	if (i == start || i == to || buf[i] != ' ')
		return HTTP1_BAD_START_LINE;
	h->target = span(start, i);
	*at = start;
	if (!parse_target(h, buf))
		return HTTP1_BAD_START_LINE;
	return parse_version(h, buf, i + 1, to, at);
}

static enum http1_bad parse_status_line(struct http1_head *h, const char *buf, uint32_t from,
					uint32_t to, uint32_t *at)
{
	uint32_t i = from;
	enum http1_bad bad;

	while (i < to && http1_is(buf[i], C_TARGET))
		i++;
	bad = parse_version(h, buf, from, i, at);
	if (bad != HTTP1_OK)
		return bad;
	*at = i;
	if (to - i < 4 || buf[i] != ' ' || !http1_is(buf[i + 1], C_DIGIT) || buf[i + 1] == '0' ||
	    !http1_is(buf[i + 2], C_DIGIT) || !http1_is(buf[i + 3], C_DIGIT))
		return HTTP1_BAD_START_LINE;
	h->status =
		(uint16_t)((buf[i + 1] - '0') * 100 + (buf[i + 2] - '0') * 10 + buf[i + 3] - '0');
	i += 4;
	*at = i;
	if (i < to && buf[i] != ' ')
		return HTTP1_BAD_START_LINE;
	h->reason = span(i < to ? i + 1 : i, to);
	*at = http1_text_end(buf, i, to);
	if (*at != to)
		return buf[*at] == '\r' ? HTTP1_BAD_BARE_CR : HTTP1_BAD_START_LINE;
	h->interim = h->status < 200 && (h->status != 101 || h->proto == HTTP1_PROTO_RTSP);
	return HTTP1_OK;
}

/* Why the octet at i, which no field name may have, is there. */
static enum http1_bad explain_name(const char *buf, uint32_t from, uint32_t i, uint32_t to)
{
	uint32_t k = i;

	if (i == to)
		return HTTP1_BAD_FIELD_NAME;
	if (buf[i] == '\r')
		return HTTP1_BAD_BARE_CR;
	if (!http1_is_space(buf[i]))
		return HTTP1_BAD_FIELD_NAME;
	if (i == from)
		return HTTP1_BAD_OBS_FOLD;
	while (k < to && http1_is_space(buf[k]))
		k++;
	return k < to && buf[k] == ':' ? HTTP1_BAD_SPACE_BEFORE_COLON : HTTP1_BAD_FIELD_NAME;
}

/* [from, to) is without the CRLF. */
static enum http1_bad parse_field(struct http1_head *h, const char *buf, uint32_t from, uint32_t to,
				  uint32_t *at)
{
	uint32_t i = from, end = to;
	struct http1_field *f;

	while (i < to && http1_is(buf[i], C_TOKEN))
		i++;
	*at = i;
	if (i == from || i == to || buf[i] != ':')
		return explain_name(buf, from, i, to);
	*at = from;
	if (h->nfields == HTTP1_FIELDS_MAX)
		return HTTP1_BAD_TOO_MANY_FIELDS;
	f = &h->field[h->nfields];
	f->line = span(from, to + 2);
	f->name = span(from, i);
	for (i++; i < end && http1_is_space(buf[i]); i++)
		;
	while (end > i && http1_is_space(buf[end - 1]))
		end--;
	f->value = span(i, end);
	*at = http1_text_end(buf, i, end);
	if (*at != end)
		return buf[*at] == '\r' ? HTTP1_BAD_BARE_CR : HTTP1_BAD_FIELD_VALUE;
	h->nfields++;
	return HTTP1_OK;
}

enum http1_line http1_head_line(struct http1_head *h, const char *buf, uint32_t from, uint32_t to,
				enum http1_bad *bad, uint32_t *at)
{
	if (to - from < 2 || buf[to - 2] != '\r') {
		*bad = HTTP1_BAD_BARE_LF;
		*at = to - 1;
		return LINE_BAD;
	}
	to -= 2;
	if (h->start_line.len == 0) {
		h->start_line = span(from, to);
		if (h->proto == HTTP1_PROTO_RTSP)
			h->kind = to - from >= PROTO_LEN && memcmp(buf + from, rtsp_prefix, PROTO_LEN) == 0 ? HTTP1_RESPONSE
													   : HTTP1_REQUEST;
		*bad = h->kind == HTTP1_REQUEST ? parse_request_line(h, buf, from, to, at)
						: parse_status_line(h, buf, from, to, at);
	} else if (from == to) {
		return LINE_LAST;
	} else {
		*bad = parse_field(h, buf, from, to, at);
	}
	return *bad == HTTP1_OK ? LINE_ON : LINE_BAD;
}

int http1_parse_head(struct http1_head *h, enum http1_kind kind, const char *buf, uint32_t len)
{
	return http1_parse_head_of(h, HTTP1_PROTO_HTTP, kind, buf, len);
}

int http1_parse_head_of(struct http1_head *h, enum http1_proto proto, enum http1_kind kind, const char *buf, uint32_t len)
{
	uint32_t from = 0, to, at;
	enum http1_bad bad;

	http1_head_begin(h, proto, kind);
	if (len == 0)
		return 0;
	for (;; from = to) {
		const char *lf = memchr(buf + from, '\n', len - from);

		to = lf == NULL ? len : (uint32_t)(lf - buf) + 1;
		if (from == 0) {
			bad = http1_start_check(proto, kind, buf, 0, to, &at);
			if (bad != HTTP1_OK)
				return -(int)bad;
		}
		if (to > HTTP1_HEAD_MAX || (lf == NULL && to == HTTP1_HEAD_MAX))
			return -(int)HTTP1_BAD_HEAD_TOO_LARGE;
		if (lf == NULL)
			return 0;
		switch (http1_head_line(h, buf, from, to, &bad, &at)) {
		case LINE_BAD:
			return -(int)bad;
		case LINE_LAST:
			bad = http1_head_finish(h, buf, to, true, &at);
			return bad == HTTP1_OK ? (int)to : -(int)bad;
		case LINE_ON:
			break;
		}
	}
}
