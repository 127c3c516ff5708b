/* SPDX-License-Identifier: BSD-3-Clause */
#include "response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void response_begin(struct response *r, const uint8_t *want, uint64_t want_len)
{
	r->state = RESPONSE_STATUS;
	r->want = want;
	r->want_len = want_len;
	r->at = r->left = 0;
	r->chunked = r->has_length = r->close = r->head = false;
	r->line_len = 0;
	r->error[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static int bad(struct response *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->error, sizeof(r->error), fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

static int body_whole(struct response *r)
{
	if (r->at != r->want_len)
		return bad(r, "a body of %" PRIu64 " octets, %" PRIu64 " expected", r->at,
			   r->want_len);
	r->state = RESPONSE_DONE;
	return 0;
}

static int body(struct response *r, const uint8_t *data, size_t len)
{
	size_t i = 0;

	if (len > r->want_len - r->at)
		return bad(r, "the body is longer than the %" PRIu64 " octets expected",
			   r->want_len);
	if (memcmp(data, r->want + r->at, len)) {
		while (data[i] == r->want[r->at + i])
			i++;
		return bad(r, "octet %" PRIu64 " of the body is %02x, %02x expected", r->at + i,
			   data[i], r->want[r->at + i]);
	}
	r->at += len;
	return 0;
}

static int head_done(struct response *r)
{
	if (r->chunked) {
		r->state = RESPONSE_CHUNK;
		return 0;
	}
	if (!r->has_length) {
		r->left = UINT64_MAX;
		r->close = true;
	} else if (r->left != r->want_len) {
		return bad(r, "Content-Length %" PRIu64 ", %" PRIu64 " expected", r->left,
			   r->want_len);
	}
	r->state = RESPONSE_BODY;
	return r->left ? 0 : body_whole(r);
}

/* Digits alone, with nothing behind but white space (or a chunk extension). */
static int number(struct response *r, const char *text, int base, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, base);
	if (end == text || errno || (*end && !strchr(" \t;", *end)))
		return bad(r, "not a length: '%.40s'", text);
	return 0;
}

static int field(struct response *r)
{
	char *value = strchr(r->line, ':');

	if (!value)
		return bad(r, "a field line without a colon: '%.60s'", r->line);
	*value++ = '\0';
	value += strspn(value, " \t");
	if (!strcasecmp(r->line, "content-length")) {
		r->has_length = true;
		return number(r, value, 10, &r->left);
	}
	if (!strcasecmp(r->line, "transfer-encoding"))
		r->chunked = !strcasecmp(value, "chunked");
	else if (!strcasecmp(r->line, "connection"))
		r->close = !strcasecmp(value, "close");
	return 0;
}

static int line(struct response *r)
{
	switch (r->state) {
	case RESPONSE_STATUS:
		if (strncmp(r->line, "HTTP/1.1 200", 12))
			return bad(r, "'%.60s' instead of 'HTTP/1.1 200'", r->line);
		r->state = RESPONSE_FIELDS;
		return 0;
	case RESPONSE_FIELDS:
		return r->line[0] ? field(r) : head_done(r);
	case RESPONSE_CHUNK:
		if (number(r, r->line, 16, &r->left))
			return -EBADMSG;
		r->state = r->left ? RESPONSE_BODY : RESPONSE_TRAILER;
		return 0;
	case RESPONSE_GAP:
		if (r->line[0])
			return bad(r, "octets between a chunk and its end of line");
		r->state = RESPONSE_CHUNK;
		return 0;
	default:
		return r->line[0] ? 0 : body_whole(r);
	}
}

/* Takes octets up to the end of a line. */
static ssize_t line_feed(struct response *r, const uint8_t *data, size_t len)
{
	const uint8_t *nl = memchr(data, '\n', len);
	size_t n = nl ? (size_t)(nl - data) + 1 : len;

	if (r->line_len + n >= sizeof(r->line))
		return bad(r, "a line of more than %d octets", RESPONSE_LINE_MAX - 1);
	memcpy(r->line + r->line_len, data, n);
	r->line_len += n;
	if (!nl)
		return (ssize_t)n;
	r->line_len--;
	if (r->line_len && r->line[r->line_len - 1] == '\r')
		r->line_len--;
	r->line[r->line_len] = '\0';
	r->line_len = 0;
	return line(r) ? -EBADMSG : (ssize_t)n;
}

static ssize_t body_feed(struct response *r, const uint8_t *data, size_t len)
{
	size_t n = len < r->left ? len : (size_t)r->left;

	if (body(r, data, n))
		return -EBADMSG;
	if (r->left != UINT64_MAX)
		r->left -= n;
	if (!r->left && r->chunked)
		r->state = RESPONSE_GAP;
	else if (!r->left && body_whole(r))
		return -EBADMSG;
	return (ssize_t)n;
}

ssize_t response_feed(struct response *r, const uint8_t *data, size_t len)
{
	size_t at = 0;

	r->head |= len > 0;
	while (at < len && r->state != RESPONSE_DONE) {
		ssize_t n = r->state == RESPONSE_BODY ? body_feed(r, data + at, len - at)
						      : line_feed(r, data + at, len - at);

		if (n < 0)
			return n;
		at += (size_t)n;
	}
	return (ssize_t)at;
}

int response_end(struct response *r)
{
	if (r->state == RESPONSE_BODY && r->left == UINT64_MAX)
		return body_whole(r);
	if (r->state == RESPONSE_DONE)
		return 0;
	return bad(r, "the connection ended %s",
		   r->head ? "within the response" : "before the response");
}
