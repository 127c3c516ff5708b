/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of one direction: begin, head, body, end. */
#include <string.h>

#include "app/app_http1_priv.h"

void http1_init(struct http1 *p, enum http1_kind kind, char *head_buf, uint32_t head_cap)
{
	memset(p, 0, sizeof(*p));
	p->kind = (uint8_t)kind;
	p->state = S_START;
	http1_set_buffer(p, head_buf, head_cap);
}

void http1_set_buffer(struct http1 *p, char *head_buf, uint32_t head_cap)
{
	p->head_buf = head_buf;
	p->head_cap = head_cap < HTTP1_HEAD_MAX ? head_cap : HTTP1_HEAD_MAX;
	if (head_buf == NULL)
		p->head_cap = 0;
}

void http1_expect(struct http1 *p, bool method_head, bool method_connect, bool upgrade)
{
	p->req_known = true;
	p->req_head = method_head;
	p->req_connect = method_connect;
	p->req_upgrade = upgrade;
}

void http1_set_tunnel(struct http1 *p)
{
	p->state = S_TUNNEL;
}

bool http1_between(const struct http1 *p)
{
	return p->state == S_START;
}

uint64_t http1_unread(const struct http1 *p)
{
	if (p->state == S_LENGTH || p->state == S_DATA)
		return p->left;
	return p->state == S_CLOSE ? UINT64_MAX : 0;
}

void http1_fail(struct http1 *p, struct http1_event *ev, enum http1_bad bad, uint64_t offset)
{
	p->state = S_BAD;
	p->bad = (uint8_t)bad;
	p->bad_offset = offset;
	ev->type = HTTP1_BAD;
	ev->len = 0;
}

void http1_take(struct http1 *p, struct http1_event *ev, enum http1_event_type type, uint32_t len)
{
	p->msg_octets += len;
	ev->type = type;
	ev->len = len;
}

static void begin_message(struct http1 *p)
{
	http1_head_begin(&p->head, p->proto, p->kind);
	p->state = S_HEAD;
	p->head_len = 0;
	p->scan = 0;
	p->checked = 0;
	p->left = 0;
	p->body_octets = 0;
	p->msg_octets = 0;
	p->trailer_len = 0;
	p->tunnel = false;
}

/* RFC 9112 6.3, in its order. */
static enum http1_bad choose_body(struct http1 *p, uint32_t *at)
{
	struct http1_head *h = &p->head;
	bool accepted = h->kind == HTTP1_RESPONSE && p->req_connect && h->status / 100 == 2;
	bool switched = h->kind == HTTP1_RESPONSE && h->status == 101 && p->proto == HTTP1_PROTO_HTTP;
	enum http1_bad bad;

	*at = 0;
	if (switched && !p->req_upgrade)
		return HTTP1_BAD_UNEXPECTED_RESPONSE;
	p->tunnel = accepted || switched;
	bad = http1_head_finish(h, p->head_buf, p->head_len, p->tunnel, at);
	if (bad != HTTP1_OK)
		return bad;
	if (p->tunnel || (h->kind == HTTP1_RESPONSE &&
			  (p->req_head || h->status < 200 || h->status == 204 || h->status == 304)))
		h->body = HTTP1_BODY_NONE;
	if (h->body == HTTP1_BODY_CLOSE)
		h->keep_alive = false;
	return HTTP1_OK;
}

static void begin_body(struct http1 *p)
{
	switch (p->head.body) {
	case HTTP1_BODY_CHUNKED:
		http1_chunk_begin(p);
		break;
	case HTTP1_BODY_LENGTH:
		p->left = p->head.content_length;
		p->state = p->left == 0 ? S_END : S_LENGTH;
		break;
	case HTTP1_BODY_CLOSE:
		p->state = S_CLOSE;
		break;
	default:
		p->state = S_END;
	}
}

/* Copies the input up to the next LF, or all of it, behind the head so far. Returns octets taken;
 * *line is set when a line is complete. */
static uint32_t take_line(struct http1 *p, const uint8_t *in, uint32_t len, bool *line)
{
	uint32_t room = p->head_cap - p->head_len;
	const uint8_t *lf;

	if (len > room)
		len = room;
	lf = len == 0 ? NULL : memchr(in, '\n', len);
	*line = lf != NULL;
	if (lf != NULL)
		len = (uint32_t)(lf - in) + 1;
	if (len != 0)
		memcpy(p->head_buf + p->head_len, in, len);
	p->head_len += len;
	return len;
}

/* Looks at what take_line brought. */
static enum http1_line look_at_line(struct http1 *p, bool line, enum http1_bad *bad, uint32_t *at)
{
	uint32_t from = p->scan;

	if (from == 0) {
		*bad = http1_start_check(p->proto, p->kind, p->head_buf, p->checked, p->head_len, at);
		if (*bad != HTTP1_OK)
			return LINE_BAD;
		/* Past the method nothing is looked at before the line is complete. */
		if (p->kind == HTTP1_RESPONSE || memchr(p->head_buf, ' ', p->head_len) == NULL)
			p->checked = p->head_len;
	}
	if (!line)
		return LINE_ON;
	p->scan = p->head_len;
	return http1_head_line(&p->head, p->head_buf, from, p->head_len, bad, at);
}

static void head_step(struct http1 *p, const uint8_t *in, uint32_t len, bool eof,
		      struct http1_event *ev)
{
	enum http1_line r = LINE_ON;
	enum http1_bad bad = HTTP1_OK;
	uint32_t done = 0, at = 0;
	bool line;

	while (done < len && r == LINE_ON) {
		done += take_line(p, in + done, len - done, &line);
		r = look_at_line(p, line, &bad, &at);
		if (r == LINE_ON && p->head_len == p->head_cap) {
			http1_fail(p, ev, HTTP1_BAD_HEAD_TOO_LARGE, p->head_len);
			return;
		}
	}
	if (r == LINE_ON && eof) {
		http1_fail(p, ev, HTTP1_BAD_EOF, p->head_len);
		return;
	}
	if (r == LINE_ON) {
		http1_take(p, ev, HTTP1_NEED_MORE, done);
		return;
	}
	if (r == LINE_LAST)
		bad = choose_body(p, &at);
	if (bad != HTTP1_OK) {
		http1_fail(p, ev, bad, at);
		return;
	}
	http1_take(p, ev, HTTP1_HEAD, done);
	begin_body(p);
}

/* Empty lines before a request are passed over (RFC 9112 2.2). */
static void start_step(struct http1 *p, const uint8_t *in, uint32_t len, bool eof,
		       struct http1_event *ev)
{
	uint32_t i = 0;

	if (p->kind == HTTP1_RESPONSE && !p->req_known && len != 0) {
		http1_fail(p, ev, HTTP1_BAD_UNEXPECTED_RESPONSE, 0);
		return;
	}
	for (; p->kind == HTTP1_REQUEST && i < len; i++) {
		if (in[i] == '\n' && p->state == S_EMPTY_LF)
			p->state = S_START;
		else if (in[i] == '\r' && p->state == S_START)
			p->state = S_EMPTY_LF;
		else
			break;
	}
	if (i != 0) {
		ev->type = HTTP1_FRAMING;
		ev->len = i;
		return;
	}
	if (p->state == S_EMPTY_LF && (len != 0 || eof)) {
		http1_fail(p, ev, len != 0 ? HTTP1_BAD_BARE_CR : HTTP1_BAD_EOF, 0);
	} else if (len != 0 && in[0] == '\n') {
		http1_fail(p, ev, HTTP1_BAD_BARE_LF, 0);
	} else if (len != 0) {
		begin_message(p);
		head_step(p, in, len, eof, ev);
	}
}

static void length_step(struct http1 *p, uint32_t len, bool eof, struct http1_event *ev)
{
	if (len == 0) {
		if (eof)
			http1_fail(p, ev, HTTP1_BAD_EOF, p->msg_octets);
		return;
	}
	if (len > p->left)
		len = (uint32_t)p->left;
	p->left -= len;
	p->body_octets += len;
	if (p->left == 0)
		p->state = S_END;
	http1_take(p, ev, HTTP1_BODY, len);
}

static void end_message(struct http1 *p, struct http1_event *ev)
{
	ev->type = p->tunnel ? HTTP1_TUNNEL : HTTP1_END;
	p->state = p->tunnel ? S_TUNNEL : S_START;
	if (p->kind == HTTP1_RESPONSE && !p->head.interim)
		p->req_known = false;
}

void http1_step(struct http1 *p, const uint8_t *in, uint32_t len, bool eof, struct http1_event *ev)
{
	ev->type = HTTP1_NEED_MORE;
	ev->len = 0;
	switch (p->state) {
	case S_START:
	case S_EMPTY_LF:
		start_step(p, in, len, eof, ev);
		break;
	case S_HEAD:
		head_step(p, in, len, eof, ev);
		break;
	case S_LENGTH:
		length_step(p, len, eof, ev);
		break;
	case S_CLOSE:
		if (len != 0) {
			p->body_octets += len;
			http1_take(p, ev, HTTP1_BODY, len);
		} else if (eof) {
			end_message(p, ev);
		}
		break;
	case S_END:
		end_message(p, ev);
		break;
	case S_TUNNEL:
		ev->type = HTTP1_TUNNEL;
		break;
	case S_BAD:
		ev->type = HTTP1_BAD;
		break;
	default:
		http1_chunk_step(p, in, len, eof, ev);
	}
}
