/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RTSP (RFC 2326) on a selected flow. Each direction is messages of both kinds and interleaved frames, in any order. Frames and
 * what no rule takes pass as they are; a message with a service holds up what follows it in its direction, and nothing
 * in the other one.
 *
 * INV-RTSP-1  a half is sent whole messages and whole frames: an answer to a request (of a service, or ours) gets in between
 *             two of those that the other end sends, never into one. While an answer waits for that the other
 *             direction stops where the next of them would begin.
 * INV-RTSP-2  CSeq is the ends': whatever a service makes of a message, it goes on with the CSeq it came with (adapt_out.c).
 * INV-RTSP-3  a response is matched with the request that has its CSeq, the oldest of those of the other end that wait.
 */
#include "session_priv.h"

#include <stdio.h>
#include <string.h>

static struct http1_head *head_of(const struct session_pipe *p)
{
	return &p->framer->http.head;
}

/* Something of pipe d has gone to its half and is not whole there. */
static bool in_the_middle(const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];

	return !rtsp_frames_between(&p->frames) || (p->begun && p->route == ROUTE_FORWARD) ||
	       (p->adapt && !p->adapt->to_answer && p->adapt->head_out);
}

/* Nothing has begun that the service, or the other end, is still at. */
static bool between(const struct session_pipe *p)
{
	return !p->begun && rtsp_frames_between(&p->frames);
}

bool session_rtsp_output_allowed(struct session *s, unsigned d, const struct adapt *a)
{
	struct session_pipe *p = &s->pipe[d], *o = &s->pipe[!d];

	if (!a->to_answer)
		return !o->answering; /* the half that it goes to is in the middle of an answer */
	if (a->out.bytes == 0 || p->answering)
		return true;
	p->answer_waits = in_the_middle(s, !d);
	p->answering = !p->answer_waits;
	return p->answering;
}

/* --- requests that wait for their responses ----------------------------------------------------------------------- */

static struct session_xchg *find_request(const struct session *s, unsigned side, uint32_t cseq)
{
	for (struct session_xchg *x = s->xchg_head; x; x = x->next) {
		if (x->side == side && x->cseq == cseq)
			return x;
	}
	return NULL;
}

const struct session_xchg *session_rtsp_request(const struct session *s, unsigned d)
{
	uint32_t cseq;

	return rtsp_cseq(head_of(&s->pipe[d]), &cseq) ? find_request(s, !d, cseq) : NULL;
}

static void forget(struct session_ctx *c, struct session *s, const struct session_xchg *gone)
{
	struct session_xchg **at = &s->xchg_head, *before = NULL;

	while (*at && *at != gone) {
		before = *at;
		at = &before->next;
	}
	if (!*at)
		return;
	if (s->xchg_tail == gone)
		s->xchg_tail = before;
	*at = gone->next;
	s->xchg_count--;
	((struct session_xchg *)(uintptr_t)gone)->next = c->free_xchgs;
	c->free_xchgs = (struct session_xchg *)(uintptr_t)gone;
}

void session_rtsp_answered(struct session_ctx *c, struct session *s, unsigned d)
{
	const struct session_xchg *x = session_rtsp_request(s, d);

	if (x && !head_of(&s->pipe[d])->interim)
		forget(c, s, x);
}

void session_rtsp_requested(struct session_ctx *c, struct session *s, unsigned d)
{
	const struct http1_head *h = head_of(&s->pipe[d]);
	struct session_xchg *x;
	uint32_t cseq;

	if (!rtsp_cseq(h, &cseq))
		return; /* its response cannot be told from others */
	if (s->xchg_count >= SESSION_XCHG_MAX)
		session_xchg_pop(c, s); /* an end that does not answer: the oldest is forgotten */
	x = session_xchg_push(c, s, h);
	if (!x)
		return;
	x->side = (uint8_t)d;
	x->cseq = cseq;
}

/* --- answers of ours --------------------------------------------------------------------------------------------- */

void session_rtsp_answer(struct session_ctx *c, struct session *s, unsigned d, unsigned status)
{
	struct session_pipe *p = &s->pipe[d];
	bool known = p->framer && p->begun;
	char text[256], line[32] = "";
	uint32_t cseq;
	int n;

	if (known && rtsp_cseq(head_of(p), &cseq))
		snprintf(line, sizeof(line), "CSeq: %u\r\n", cseq);
	n = snprintf(text, sizeof(text), "RTSP/1.0 %u %s\r\n%s\r\n", status, session_reason(status), line);
	if (chunkq_put(&c->pool, &p->answer, text, (uint32_t)n) != 0) {
		session_abort(c, s);
		return;
	}
	p->instead = known && head_of(p)->kind == HTTP1_RESPONSE;
	p->inject_wait = true;
}

/* Towards the sender of what it answers, or in a response's place. */
static bool flush_answer(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	unsigned to = p->instead ? !d : d;

	if (!p->inject_wait || (p->instead ? s->pipe[!d].answering : in_the_middle(s, !d)))
		return false;
	p->inject_wait = false;
	if (s->pipe[!to].fin_passed)
		chunkq_purge(&c->pool, &p->answer);
	else
		tcp_half_send(&c->env, &s->half[to], &p->answer);
	return true;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool take_framer(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_framer *f = c->free_framers;

	if (!f) {
		session_count(c, STATS_no_mbuf);
		s->starved = true;
		return false;
	}
	c->free_framers = f->next;
	rtsp_init(&f->http, f->head, RTE_MIN(c->cfg.limits->http_head, (uint32_t)sizeof(f->head)));
	s->pipe[d].framer = f;
	return true;
}

/* Not RTSP from its first octet on, and the rule lets such traffic pass. */
static bool open_as_tunnel(struct session_ctx *c, struct session *s, unsigned d)
{
	if (s->pipe[0].messages || s->pipe[1].messages || s->pipe[!d].octets || s->pipe[0].frames.frames ||
	    s->pipe[d].framer->http.bad != HTTP1_BAD_START_LINE || session_framing_policy(c, s) != POLICY_OPEN)
		return false;
	session_note(c, s, -1, "not-rtsp", "framing", 0, "the stream is not RTSP: it crosses as it is");
	session_to_tunnel(c, s);
	return true;
}

static void refuse(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	enum http1_bad bad = (enum http1_bad)p->framer->http.bad;

	session_count(c, STATS_msg_refused);
	session_note(c, s, session_rule(c, p), "message-refused", "framing", p->framer->http.bad_offset, http1_bad_text(bad));
	if (d == 1 || p->begun || p->inject_wait || in_the_middle(s, 1)) {
		session_abort(c, s);
		return;
	}
	session_rtsp_answer(c, s, d, bad == HTTP1_BAD_VERSION ? 505 : 400);
	if (s->state == SESSION_OPEN && flush_answer(c, s, d))
		session_close_answered(c, s);
}

static void message_over(struct session_ctx *c, struct session *s, unsigned d, bool ok)
{
	session_message_end(c, s, d, ok);
	if (s->state == SESSION_OPEN && !s->pipe[d].adapt && s->pipe[d].route == ROUTE_NONE)
		session_framer_give(c, &s->pipe[d]);
}

static void on_event(struct session_ctx *c, struct session *s, unsigned d, const struct http1_event *ev, struct chunkq *q)
{
	struct session_pipe *p = &s->pipe[d];
	bool response;

	switch (ev->type) {
	case HTTP1_HEAD:
		response = head_of(p)->kind == HTTP1_RESPONSE;
		chunkq_append(&p->raw, q);
		session_count(c, response ? STATS_rtsp_response : STATS_rtsp_request);
		session_message_begin(c, s, d);
		break;
	case HTTP1_BODY:
		response = head_of(p)->kind == HTTP1_RESPONSE;
		session_message_route(c, s, d, q, response ? CALLOUT_PART_RESPONSE_BODY : CALLOUT_PART_REQUEST_BODY, NULL);
		break;
	case HTTP1_FRAMING: /* empty lines between messages */
		tcp_half_send(&c->env, &s->half[!d], q);
		break;
	case HTTP1_END:
		message_over(c, s, d, true);
		break;
	case HTTP1_BAD:
		chunkq_append(&p->raw, q);
		if (!open_as_tunnel(c, s, d))
			refuse(c, s, d);
		break;
	default:
		chunkq_append(&p->raw, q); /* part of a head */
		break;
	}
}

/* The stream ended. */
static bool on_eof(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	if (!tcp_half_rx_finished(&s->half[d]) || p->eof)
		return false;
	if (p->framer && (p->begun || !http1_between(&p->framer->http))) {
		session_note(c, s, session_rule(c, p), "message-cut", "framing", p->framer->http.msg_octets,
			     "the stream ended inside the message");
		if (!p->begun)
			tcp_half_send(&c->env, &s->half[!d], &p->raw);
		message_over(c, s, d, false);
	}
	p->eof = true;
	return true;
}

/* The end of the stream goes on when all before it has, and answers to the other end, which come in between. */
static bool pass_fin(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d], *o = &s->pipe[!d];

	if (!p->eof || p->fin_passed || p->adapt || p->inject_wait || o->adapt || (o->inject_wait && !o->instead))
		return false;
	p->fin_passed = true;
	tcp_half_finish(&s->half[!d]);
	return true;
}

/* n octets that have been looked at leave the half's queue. */
static bool take(struct session_ctx *c, struct session *s, unsigned d, uint32_t n, struct chunkq *q)
{
	chunkq_init(q);
	if (n && tcp_half_take(&c->env, &s->half[d], q, n) != 0) {
		chunkq_purge(&c->pool, q);
		session_note(c, s, session_rule(c, &s->pipe[d]), "no-memory", "overload", UINT64_MAX, "no chunk descriptor");
		session_abort(c, s);
		return false;
	}
	s->pipe[d].octets += q->bytes;
	return true;
}

/* An answer to the other end wants the place of what would begin now (INV-RTSP-1). */
static bool answer_first(const struct session *s, unsigned d)
{
	const struct session_pipe *o = &s->pipe[!d];

	return o->answering || o->answer_waits || (o->inject_wait && !o->instead);
}

static bool step_frames(struct session_ctx *c, struct session *s, unsigned d, const struct chunk *in)
{
	struct session_pipe *p = &s->pipe[d];
	uint64_t before = p->frames.frames;
	uint32_t n = (uint32_t)RTE_MIN((uint64_t)in->len, session_room(s, d));
	struct chunkq q;

	if (n == 0)
		return false;
	n = rtsp_frames_step(&p->frames, in->data, n, !answer_first(s, d));
	if (!take(c, s, d, n, &q))
		return false;
	session_count_n(c, STATS_rtsp_frames, p->frames.frames - before);
	session_count_n(c, STATS_rtsp_frame_octets, n);
	tcp_half_send(&c->env, &s->half[!d], &q);
	return true;
}

/* More of the message under way may be read. */
static bool may_read(const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];

	if (p->adapt)
		return p->route == ROUTE_ADAPT && adapt_want(p->adapt);
	return p->route == ROUTE_DROP || session_room(s, d) > 0;
}

static bool step(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	const struct chunk *in = tcp_half_rxq(&s->half[d])->head;
	struct http1_event ev = {.type = HTTP1_NEED_MORE};
	struct chunkq q;

	if (between(p) && (answer_first(s, d) || p->inject_wait))
		return false;
	if (!in && p->framer && p->begun)
		http1_step(&p->framer->http, NULL, 0, false, &ev); /* the end of a message may need no further octet */
	if (!in && ev.type == HTTP1_NEED_MORE)
		return on_eof(c, s, d);
	if (in && !p->begun && (!p->framer || http1_between(&p->framer->http)) &&
	    (!rtsp_frames_between(&p->frames) || rtsp_is_frame(in->data[0])))
		return step_frames(c, s, d, in);
	if (!p->framer && !take_framer(c, s, d))
		return false;
	if (in)
		http1_step(&p->framer->http, in->data, in->len, false, &ev);
	if (!take(c, s, d, ev.len, &q))
		return false;
	on_event(c, s, d, &ev, &q);
	chunkq_purge(&c->pool, &q);
	return true;
}

static bool tunnel_now(const struct session *s)
{
	for (unsigned d = 0; d < 2; d++) {
		if (s->pipe[d].begun || s->pipe[d].inject_wait || s->pipe[d].adapt || s->pipe[d].eof)
			return false;
	}
	return true;
}

bool session_rtsp_run(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	bool moved = false;

	if (unlikely(s->tunnel_after) && tunnel_now(s)) {
		session_to_tunnel(c, s);
		return true;
	}
	while (s->state == SESSION_OPEN && p->mode == PIPE_RTSP) {
		if (p->adapt || p->observer)
			session_message_pump(c, s, d);
		if (s->state != SESSION_OPEN || p->mode != PIPE_RTSP)
			break;
		if (!p->adapt && (p->answering || p->answer_waits)) {
			p->answering = p->answer_waits = false; /* it is whole */
			moved = true;
		}
		moved |= flush_answer(c, s, d);
		if (p->framer && !p->adapt && !p->begun && chunkq_empty(&p->raw) && http1_between(&p->framer->http))
			session_framer_give(c, p);
		if (p->route == ROUTE_ENDED || !may_read(s, d) || !step(c, s, d))
			break;
		moved = true;
	}
	if (s->state == SESSION_OPEN && p->mode == PIPE_RTSP)
		moved |= pass_fin(c, s, d);
	return moved;
}
