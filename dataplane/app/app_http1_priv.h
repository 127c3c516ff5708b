/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the files of the HTTP/1 framer; not for its users. */
#ifndef APP_HTTP1_PRIV_H
#define APP_HTTP1_PRIV_H

#include "app/app_http1.h"

/*
 * START -> HEAD -> LENGTH | CLOSE | CHUNK_SIZE | END
 * CHUNK_SIZE -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> CHUNK_SIZE
 *                       -> TRAILER_LINE -> END_LF -> END
 *                              |  ^
 *              TRAILER_NAME <--+  +-- TRAILER_LF <- TRAILER_VALUE
 * END -> START | TUNNEL; any -> BAD
 */
enum http1_state {
	S_START,
	S_EMPTY_LF, /* CR of an empty line before a request */
	S_HEAD,
	S_LENGTH,
	S_CLOSE,
	S_CHUNK_SIZE,
	S_CHUNK_EXT,
	S_SIZE_LF,
	S_DATA,
	S_DATA_CR,
	S_DATA_LF,
	S_TRAILER_LINE,
	S_TRAILER_NAME,
	S_TRAILER_VALUE,
	S_TRAILER_LF,
	S_END_LF,
	S_END,
	S_TUNNEL,
	S_BAD,
};

enum http1_char {
	C_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
	C_TEXT = 2,   /* HTAB, SP, VCHAR, obs-text */
	C_TARGET = 4, /* VCHAR and octets above 127 */
	C_HOST = 8,   /* of uri-host [":" port] */
	C_DIGIT = 16,
};
extern const uint8_t http1_chars[256];

static inline bool http1_is(char c, enum http1_char what)
{
	return (http1_chars[(uint8_t)c] & what) != 0;
}

static inline bool http1_is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Where in [from, to) the first octet is that is no C_TEXT, or to. */
uint32_t http1_text_end(const char *buf, uint32_t from, uint32_t to);
/* len octets at s are the lower-case name, whatever their own case. */
bool http1_same(const char *s, uint32_t len, const char *lower);
/* Walks a comma-separated list: the next element that is not empty, without white space around it.
 * *at is 0 at first. False at the end. */
bool http1_list_next(const char *s, uint32_t len, uint32_t *at, struct http1_span *item);

/* Head. All offsets are within buf; *at is set when something is refused. */
enum http1_line { LINE_ON, LINE_LAST, LINE_BAD };
void http1_head_begin(struct http1_head *h, enum http1_proto proto, enum http1_kind kind);
int http1_parse_head_of(struct http1_head *h, enum http1_proto proto, enum http1_kind kind, const char *buf, uint32_t len);
/* What is there of the start line at [from, to) can still become one: the method's or version's
 * part of it. */
enum http1_bad http1_start_check(enum http1_proto proto, enum http1_kind kind, const char *buf, uint32_t from, uint32_t to,
				 uint32_t *at);
/* One line [from, to), the last octet of which is LF. */
enum http1_line http1_head_line(struct http1_head *h, const char *buf, uint32_t from, uint32_t to,
				enum http1_bad *bad, uint32_t *at);
/* All lines are in: what do the fields say? lenient: framing fields that make no sense are passed
 * over. */
enum http1_bad http1_head_finish(struct http1_head *h, const char *buf, uint32_t len, bool lenient,
				 uint32_t *at);

/* States S_CHUNK_SIZE to S_END_LF. */
void http1_chunk_begin(struct http1 *p);
void http1_chunk_step(struct http1 *p, const uint8_t *in, uint32_t len, bool eof,
		      struct http1_event *ev);

void http1_fail(struct http1 *p, struct http1_event *ev, enum http1_bad bad, uint64_t offset);
void http1_take(struct http1 *p, struct http1_event *ev, enum http1_event_type type, uint32_t len);

#endif
