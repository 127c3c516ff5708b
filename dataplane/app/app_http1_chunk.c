/* SPDX-License-Identifier: BSD-3-Clause */
/* Chunked transfer coding, RFC 9112 7.1. Lines of it are short and walked octet by octet; the data
 * between them is not looked at. */
#include <string.h>

#include "app/app_http1_priv.h"

#define SIZE_DIGITS_MAX 16

/* Places within chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ). */
enum ext {
	X_SPACE, /* white space that a ";" must follow */
	X_BEFORE_NAME,
	X_NAME,
	X_AFTER_NAME,
	X_BEFORE_VALUE,
	X_VALUE,
	X_QUOTED,
	X_ESCAPED,
	X_AFTER_QUOTED,
};

void http1_chunk_begin(struct http1 *p)
{
	p->state = S_CHUNK_SIZE;
	p->left = 0;
	p->digits = 0;
	p->line_len = 0;
	p->trailer_len = 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* End of the size line, or why it cannot end here. */
static enum http1_bad line_end(struct http1 *p, char c)
{
	if (c == '\n')
		return HTTP1_BAD_BARE_LF;
	if (c != '\r')
		return HTTP1_BAD_CHUNK;
	p->state = S_SIZE_LF;
	return HTTP1_OK;
}

static enum http1_bad size_octet(struct http1 *p, char c)
{
	int v = hex_value(c);

	if (v >= 0) {
		if (p->digits == SIZE_DIGITS_MAX || p->left > INT64_MAX >> 4)
			return HTTP1_BAD_CHUNK;
		p->left = p->left << 4 | (uint64_t)v;
		p->digits++;
		return HTTP1_OK;
	}
	if (p->digits == 0)
		return c == '\n' ? HTTP1_BAD_BARE_LF : HTTP1_BAD_CHUNK;
	if (c != ';' && !http1_is_space(c))
		return line_end(p, c);
	p->state = S_CHUNK_EXT;
	p->ext = c == ';' ? X_BEFORE_NAME : X_SPACE;
	return HTTP1_OK;
}

/* The place after c, or -1: c may not stand here, though the line might end. */
static int ext_next(enum ext x, char c)
{
	bool space = http1_is_space(c), token = http1_is(c, C_TOKEN);

	switch (x) {
	case X_SPACE:
		return space ? X_SPACE : c == ';' ? X_BEFORE_NAME : -1;
	case X_BEFORE_NAME:
		return space ? X_BEFORE_NAME : token ? X_NAME : -1;
	case X_NAME:
		if (token)
			return X_NAME;
		/* fall through */
	case X_AFTER_NAME:
		return space	  ? X_AFTER_NAME
		       : c == '=' ? X_BEFORE_VALUE
		       : c == ';' ? X_BEFORE_NAME
				  : -1;
	case X_BEFORE_VALUE:
		return space ? X_BEFORE_VALUE : token ? X_VALUE : c == '"' ? X_QUOTED : -1;
	case X_VALUE:
		if (token)
			return X_VALUE;
		/* fall through */
	case X_AFTER_QUOTED:
		return space ? X_SPACE : c == ';' ? X_BEFORE_NAME : -1;
	case X_QUOTED:
		if (!http1_is(c, C_TEXT))
			return -1;
		return c == '"' ? X_AFTER_QUOTED : c == '\\' ? X_ESCAPED : X_QUOTED;
	case X_ESCAPED:
		return http1_is(c, C_TEXT) ? X_QUOTED : -1;
	}
	return -1;
}

static enum http1_bad ext_octet(struct http1 *p, char c)
{
	int next = ext_next(p->ext, c);

	if (next >= 0) {
		p->ext = (uint8_t)next;
		return HTTP1_OK;
	}
	if (c == '\r' && p->ext != X_NAME && p->ext != X_VALUE && p->ext != X_AFTER_QUOTED)
		return HTTP1_BAD_CHUNK;
	return line_end(p, c);
}

static enum http1_bad framing_octet(struct http1 *p, char c)
{
	enum http1_bad bad = HTTP1_OK;

	switch (p->state) {
	case S_CHUNK_SIZE:
	case S_CHUNK_EXT:
		if (p->line_len == HTTP1_CHUNK_LINE_MAX)
			return HTTP1_BAD_CHUNK;
		bad = p->state == S_CHUNK_SIZE ? size_octet(p, c) : ext_octet(p, c);
		p->line_len++;
		return bad;
	case S_SIZE_LF:
		if (c != '\n')
			return HTTP1_BAD_BARE_CR;
		p->state = p->left == 0 ? S_TRAILER_LINE : S_DATA;
		return HTTP1_OK;
	case S_DATA_CR:
		if (c != '\r')
			return c == '\n' ? HTTP1_BAD_BARE_LF : HTTP1_BAD_CHUNK;
		p->state = S_DATA_LF;
		return HTTP1_OK;
	case S_DATA_LF:
		if (c != '\n')
			return HTTP1_BAD_BARE_CR;
		p->state = S_CHUNK_SIZE;
		p->digits = 0;
		p->line_len = 0;
		return HTTP1_OK;
	case S_TRAILER_LINE: /* only for CR, see framing_step */
		p->state = S_END_LF;
		return HTTP1_OK;
	default: /* S_END_LF */
		if (c != '\n')
			return HTTP1_BAD_BARE_CR;
		p->state = S_END;
		return HTTP1_OK;
	}
}

static bool in_framing(const struct http1 *p, uint8_t next)
{
	switch (p->state) {
	case S_CHUNK_SIZE:
	case S_CHUNK_EXT:
	case S_SIZE_LF:
	case S_DATA_CR:
	case S_DATA_LF:
	case S_END_LF:
		return true;
	case S_TRAILER_LINE:
		return next == '\r';
	default:
		return false;
	}
}

/* Fields that would change how the message is understood: not in trailers, RFC 9110 6.5.1. */
static bool name_forbidden(const struct http1 *p)
{
	return http1_same(p->name, p->name_len, "content-length") ||
	       http1_same(p->name, p->name_len, "transfer-encoding") ||
	       http1_same(p->name, p->name_len, "host") ||
	       http1_same(p->name, p->name_len, "connection");
}

static enum http1_bad trailer_octet(struct http1 *p, char c)
{
	if (p->trailer_len == HTTP1_TRAILER_MAX)
		return HTTP1_BAD_TRAILER;
	switch (p->state) {
	case S_TRAILER_LINE:
		p->name_len = 0;
		/* fall through */
	case S_TRAILER_NAME:
		if (c == ':' && p->name_len != 0) {
			if (name_forbidden(p))
				return HTTP1_BAD_TRAILER;
			p->state = S_TRAILER_VALUE;
			break;
		}
		if (!http1_is(c, C_TOKEN))
			return c == '\n' ? HTTP1_BAD_BARE_LF : HTTP1_BAD_TRAILER;
		if (p->name_len < sizeof(p->name))
			p->name[p->name_len++] = c;
		p->state = S_TRAILER_NAME;
		break;
	case S_TRAILER_VALUE:
		if (c == '\r')
			p->state = S_TRAILER_LF;
		else if (!http1_is(c, C_TEXT))
			return c == '\n' ? HTTP1_BAD_BARE_LF : HTTP1_BAD_TRAILER;
		break;
	default: /* S_TRAILER_LF */
		if (c != '\n')
			return HTTP1_BAD_BARE_CR;
		p->state = S_TRAILER_LINE;
		break;
	}
	p->trailer_len++;
	return HTTP1_OK;
}

/* Takes octets of one sort. One that is refused is left for the next step when others go before it,
 * so that these are told the same way however the stream was cut. */
static void line_step(struct http1 *p, const uint8_t *in, uint32_t len, struct http1_event *ev)
{
	bool framing = in_framing(p, in[0]);
	enum http1_bad bad;
	uint32_t i = 0;

	while (i < len && p->state != S_DATA && p->state != S_END &&
	       in_framing(p, in[i]) == framing) {
		bad = framing ? framing_octet(p, (char)in[i]) : trailer_octet(p, (char)in[i]);
		if (bad != HTTP1_OK && i == 0) {
			http1_fail(p, ev, bad, p->msg_octets);
			return;
		}
		if (bad != HTTP1_OK)
			break;
		i++;
	}
	http1_take(p, ev, framing ? HTTP1_FRAMING : HTTP1_TRAILER, i);
}

void http1_chunk_step(struct http1 *p, const uint8_t *in, uint32_t len, bool eof,
		      struct http1_event *ev)
{
	if (len == 0) {
		if (eof)
			http1_fail(p, ev, HTTP1_BAD_EOF, p->msg_octets);
		return;
	}
	if (p->state != S_DATA) {
		line_step(p, in, len, ev);
		return;
	}
	if (len > p->left)
		len = (uint32_t)p->left;
	p->left -= len;
	p->body_octets += len;
	if (p->left == 0)
		p->state = S_DATA_CR;
	http1_take(p, ev, HTTP1_BODY, len);
}
