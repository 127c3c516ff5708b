/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers of our own, in the order of the client's requests, and the list of requests that wait for theirs. */
#include "session_priv.h"

#include <stdio.h>
#include <string.h>

struct session_xchg *session_xchg_push(struct session_ctx *c, struct session *s, const struct http1_head *h)
{
	struct session_xchg *x = c->free_xchgs;

	if (!x)
		return NULL;
	c->free_xchgs = x->next;
	memset(x, 0, offsetof(struct session_xchg, text));
	if (s->xchg_tail)
		s->xchg_tail->next = x;
	else
		s->xchg_head = x;
	s->xchg_tail = x;
	s->xchg_count++;
	x->method_len = (uint16_t)RTE_MIN(h->method.len, (uint32_t)sizeof(x->method));
	memcpy(x->method, h->buf + h->method.off, x->method_len);
	x->host_len = (uint16_t)RTE_MIN(h->host.len, (uint32_t)SESSION_PATH_MAX);
	memcpy(x->text, h->buf + h->host.off, x->host_len);
	x->path_len = (uint16_t)RTE_MIN(h->path.len, (uint32_t)SESSION_PATH_MAX);
	memcpy(x->text + x->host_len, h->buf + h->path.off, x->path_len);
	return x;
}

void session_xchg_pop(struct session_ctx *c, struct session *s)
{
	struct session_xchg *x = s->xchg_head;

	if (!x)
		return;
	s->xchg_head = x->next;
	if (!s->xchg_head)
		s->xchg_tail = NULL;
	s->xchg_count--;
	chunkq_purge(&c->pool, &x->request);
	x->next = c->free_xchgs;
	c->free_xchgs = x;
}

const char *session_reason(unsigned status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 431:
		return "Request Header Fields Too Large";
	case 451:
		return "Unavailable For Legal Reasons";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 505:
		return "Version Not Supported";
	case 504:
		return "Gateway Timeout";
	default:
		return status >= 500 ? "Error" : "Refused";
	}
}

static int write_page(struct session_ctx *c, unsigned status, const char *why, bool close, bool head_only,
		      struct chunkq *q)
{
	char body[768], head[256 + SESSION_TRACE_LINES], trace[SESSION_TRACE_LINES];
	uint32_t traced = session_trace_answer(c, trace);
	int n = snprintf(body, sizeof(body),
			 "<!DOCTYPE html>\n<html><head><title>%u %s</title></head>\n"
			 "<body><h1>%u %s</h1><p>%s.</p></body></html>\n",
			 status, session_reason(status), status, session_reason(status), why);
	int h = snprintf(head, sizeof(head),
			 "HTTP/1.1 %u %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n"
			 "Cache-Control: no-store\r\n%.*s%s\r\n",
			 status, session_reason(status), n, (int)traced, trace,
			 close ? "Connection: close\r\n" : "");

	if (chunkq_put(&c->pool, q, head, (uint32_t)h) != 0)
		return -1;
	session_count_n(c, STATS_trace_added, traced != 0);
	return head_only ? 0 : chunkq_put(&c->pool, q, body, (uint32_t)n);
}

/* Our answer was the last thing the client hears: both ends are let go. */
void session_close_answered(struct session_ctx *c, struct session *s)
{
	s->answered = true;
	for (unsigned d = 0; d < 2; d++) {
		session_message_drop(c, s, d);
		s->pipe[d].mode = PIPE_DISCARD;
		s->pipe[d].fin_passed = true;
		tcp_half_finish(&s->half[d]);
	}
}

void session_answer(struct session_ctx *c, struct session *s, unsigned d, unsigned status, const char *why,
		    bool close)
{
	struct session_pipe *p = &s->pipe[d];
	struct chunkq q;

	if (p->mode == PIPE_RTSP) {
		session_rtsp_answer(c, s, d, status);
		return;
	}
	chunkq_init(&q);
	if (d == 1) {
		const struct session_xchg *x = s->xchg_head;

		close |= x && x->minor == 0;
		if (write_page(c, status, why, close, x && x->head, &q) != 0) {
			chunkq_purge(&c->pool, &q);
			session_abort(c, s);
			return;
		}
		tcp_half_send(&c->env, &s->half[0], &q);
		if (close)
			session_close_answered(c, s);
		return;
	}
	if (p->framer && p->framer->http.head.len) {
		close |= p->framer->http.head.minor == 0 || !p->framer->http.head.keep_alive;
		/* A client that waits for "100 Continue" would never send the body we are to skip. */
		close |= p->framer->http.head.expect_continue;
	}
	if (write_page(c, status, why, close, p->framer && p->framer->http.head.method_head, &q) != 0) {
		chunkq_purge(&c->pool, &q);
		session_abort(c, s);
		return;
	}
	chunkq_append(&s->inject, &q);
	s->inject_ready = true;
	s->inject_close = close;
	p->inject_wait = true;
}

bool session_inject_run(struct session_ctx *c, struct session *s)
{
	/* INV-SESSION-3 */
	if (!s->inject_ready || s->xchg_count || s->pipe[1].begun || s->pipe[1].framer)
		return false;
	s->inject_ready = false;
	s->pipe[0].inject_wait = false;
	tcp_half_send(&c->env, &s->half[0], &s->inject);
	if (s->inject_close)
		session_close_answered(c, s);
	return true;
}

/* "100 Continue" of our own: the service needs the body before the server can see the head. It waits for the responses
 * before it (INV-SESSION-3); once the head has gone on, it is the server that says it. */
void session_continue(struct session_ctx *c, struct session *s)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct session_pipe *p = &s->pipe[0];
	struct chunkq q;

	if (!p->want_continue || s->xchg_count || s->pipe[1].begun || s->pipe[1].framer || !p->adapt ||
	    p->adapt->head_out)
		return;
	chunkq_init(&q);
	if (chunkq_put(&c->pool, &q, text, sizeof(text) - 1) != 0) {
		s->starved = true;
		return;
	}
	tcp_half_send(&c->env, &s->half[0], &q);
	p->said_continue = true;
	p->want_continue = false;
}
