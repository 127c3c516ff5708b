/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STREAM_HEAD 32u
#define STREAM_REQUEST 0x6f706c71u /* "oplq" */
#define STREAM_RESPONSE 0x6f706c72u
#define STREAM_CLOSE 1u
#define HEAD_ROOM 4096u

/* All numbers of a stream's head are in the order of the host: both ends are this program. */
struct stream_head {
	uint32_t magic, flags;
	uint64_t id;
	uint32_t body, response;
	uint64_t check; /* over the rest */
};

static uint64_t stream_check(const struct stream_head *h)
{
	uint64_t x = (uint64_t)h->magic << 32 | h->flags;

	x = x * 0x9e3779b97f4a7c15 + h->id;
	return x * 0x9e3779b97f4a7c15 + ((uint64_t)h->body << 32 | h->response);
}

static unsigned stream_write(const struct lg_head *h, uint32_t magic, char *to)
{
	struct stream_head sh = {.magic = magic, .flags = h->close ? STREAM_CLOSE : 0, .id = h->id,
				 .body = h->body, .response = h->response};

	sh.check = stream_check(&sh);
	memcpy(to, &sh, STREAM_HEAD);
	return STREAM_HEAD;
}

static int stream_parse(const uint8_t *data, size_t len, uint32_t magic, struct lg_head *h,
			const char **why)
{
	struct stream_head sh;

	if (len < STREAM_HEAD)
		return 0;
	memcpy(&sh, data, STREAM_HEAD);
	*why = "the head of the stream is not as sent";
	if (sh.magic != magic || sh.check != stream_check(&sh))
		return -1;
	*h = (struct lg_head){.id = sh.id, .body = sh.body, .response = sh.response,
			      .close = sh.flags & STREAM_CLOSE, .status = 200};
	return STREAM_HEAD;
}

/* Cheaper than printf, which would be a third of a small transaction. */
struct out {
	char *p;
};

static void text(struct out *o, const char *s, size_t n)
{
	memcpy(o->p, s, n);
	o->p += n;
}
#define TEXT(o, literal) text(o, literal, sizeof(literal) - 1)

static void number(struct out *o, uint32_t v)
{
	char buf[10];
	unsigned n = sizeof(buf);

	do
		buf[--n] = '0' + v % 10;
	while (v /= 10);
	text(o, buf + n, sizeof(buf) - n);
}

static void hex(struct out *o, uint64_t v)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*o->p++ = "0123456789abcdef"[v >> shift & 15];
}

unsigned lg_http_request(const struct lg_config *cfg, const struct lg_head *h, char *to)
{
	struct out o = {to};

	if (cfg->mode == LG_STREAM)
		return stream_write(h, STREAM_REQUEST, to);
	if (cfg->post)
		TEXT(&o, "POST /post/");
	else
		TEXT(&o, "GET /get/");
	hex(&o, h->id);
	TEXT(&o, "/");
	number(&o, h->response);
	TEXT(&o, " HTTP/1.1\r\nHost: load.example\r\nUser-Agent: opes-loadgen\r\n");
	if (cfg->post) {
		TEXT(&o, "Content-Type: application/octet-stream\r\nContent-Length: ");
		number(&o, h->body);
		TEXT(&o, "\r\n");
	}
	if (h->close)
		TEXT(&o, "Connection: close\r\n");
	TEXT(&o, "\r\n");
	return o.p - to;
}

unsigned lg_http_response(const struct lg_config *cfg, const struct lg_head *h, char *to)
{
	struct out o = {to};

	if (cfg->mode == LG_STREAM)
		return stream_write(h, STREAM_RESPONSE, to);
	TEXT(&o, "HTTP/1.1 200 OK\r\nServer: opes-loadgen\r\n"
		 "Content-Type: application/octet-stream\r\nETag: \"");
	hex(&o, h->id);
	TEXT(&o, "\"\r\nContent-Length: ");
	number(&o, h->body);
	TEXT(&o, "\r\n");
	if (h->close)
		TEXT(&o, "Connection: close\r\n");
	TEXT(&o, "\r\n");
	return o.p - to;
}

/* The value of a field in the head's lines; its length, or -1 when the field is absent. */
static int field(const char *head, size_t len, const char *name, const char **value)
{
	size_t n = strlen(name);
	const char *p = memchr(head, '\n', len), *end = head + len;

	for (; p && p + 1 < end; p = memchr(p + 1, '\n', end - p - 1)) {
		const char *v = p + 1 + n, *e;

		if (v >= end || *v != ':' || strncasecmp(p + 1, name, n) != 0)
			continue;
		e = memchr(v, '\r', end - v);
		if (!e)
			return -1;
		for (v++; v < e && (*v == ' ' || *v == '\t');)
			v++;
		*value = v;
		return (int)(e - v);
	}
	return -1;
}

static bool digits(const char *p, int len, uint64_t max, uint64_t *v)
{
	*v = 0;
	for (int i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*v = *v * 10 + (uint64_t)(p[i] - '0');
		if (*v > max)
			return false;
	}
	return len > 0;
}

/* Length of the head with its empty line; 0: more is needed; -1: it is too long. */
static int head_len(const uint8_t *data, size_t len, const char **why)
{
	const uint8_t *e = memmem(data, len < HEAD_ROOM ? len : HEAD_ROOM, "\r\n\r\n", 4);

	if (e)
		return (int)(e - data) + 4;
	*why = "no end of the head in 4096 octets";
	return len >= HEAD_ROOM ? -1 : 0;
}

/* Content-Length, Transfer-Encoding and Connection. */
static bool framing(const char *head, size_t len, struct lg_head *h, const char **why)
{
	const char *v;
	uint64_t body = 0;
	int n;

	n = field(head, len, "Transfer-Encoding", &v);
	h->chunked = n == 7 && strncasecmp(v, "chunked", 7) == 0;
	*why = "a Transfer-Encoding other than chunked";
	if (n >= 0 && !h->chunked)
		return false;
	n = field(head, len, "Content-Length", &v);
	*why = "a bad Content-Length";
	if (n >= 0 && (h->chunked || !digits(v, n, LG_OBJECT_MAX, &body)))
		return false;
	h->body = (uint32_t)body;
	n = field(head, len, "Connection", &v);
	h->close = n == 5 && strncasecmp(v, "close", 5) == 0;
	return true;
}

int lg_http_parse_request(const struct lg_config *cfg, const uint8_t *data, size_t len,
			  struct lg_head *h, const char **why)
{
	const char *p = (const char *)data, *end;
	uint64_t response;
	int n;

	if (cfg->mode == LG_STREAM)
		return stream_parse(data, len, STREAM_REQUEST, h, why);
	n = head_len(data, len, why);
	if (n <= 0)
		return n;
	memset(h, 0, sizeof(*h));
	*why = "the request line is none of ours";
	if (memcmp(p, "GET /get/", 9) == 0)
		p += 9;
	else if (memcmp(p, "POST /post/", 11) == 0)
		p += 11;
	else
		return -1;
	h->id = strtoull(p, (char **)&end, 16);
	if (end != p + 16 || *end != '/')
		return -1;
	p = end + 1;
	end = memchr(p, ' ', 11);
	if (!end || !digits(p, (int)(end - p), LG_OBJECT_MAX, &response) ||
	    memcmp(end, " HTTP/1.1\r\n", 11) != 0)
		return -1;
	h->response = (uint32_t)response;
	return framing((const char *)data, n, h, why) ? n : -1;
}

int lg_http_parse_response(const struct lg_config *cfg, const uint8_t *data, size_t len,
			   struct lg_head *h, const char **why)
{
	const char *p = (const char *)data, *v;
	int n, tag;

	if (cfg->mode == LG_STREAM)
		return stream_parse(data, len, STREAM_RESPONSE, h, why);
	n = head_len(data, len, why);
	if (n <= 0)
		return n;
	memset(h, 0, sizeof(*h));
	*why = "the status line is none";
	if (n < 16 || memcmp(p, "HTTP/1.1 ", 9) != 0)
		return -1;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		h->status = (uint16_t)(h->status * 10 + (p[i] - '0'));
	}
	tag = field(p, n, "ETag", &v);
	if (tag == 18)
		h->id = strtoull(v + 1, NULL, 16);
	return framing(p, n, h, why) ? n : -1;
}
