/* SPDX-License-Identifier: BSD-3-Clause */
/* HTTP in one direction: from the half's receive queue through the framer to messages. */
#include "session_priv.h"

#include <string.h>

static bool take_framer(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_framer *f = c->free_framers;

	if (!f)
		return false;
	c->free_framers = f->next;
	http1_init(&f->http, d == 0 ? HTTP1_REQUEST : HTTP1_RESPONSE, f->head,
		   RTE_MIN(c->cfg.limits->http_head, (uint32_t)sizeof(f->head)));
	s->pipe[d].framer = f;
	if (d == 1) {
		const struct session_xchg *x = s->xchg_head;

		http1_expect(&f->http, x->head, x->connect, x->upgrade);
	}
	return true;
}

void session_framer_give(struct session_ctx *c, struct session_pipe *p)
{
	if (!p->framer)
		return;
	p->framer->next = c->free_framers;
	c->free_framers = p->framer;
	p->framer = NULL;
}

void session_http_free(struct session_ctx *c, struct session *s)
{
	session_framer_give(c, &s->pipe[0]);
	session_framer_give(c, &s->pipe[1]);
}

/* A next message may be looked at. */
static bool may_begin(const struct session_ctx *c, const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];

	if (d == 1)
		return true;
	return c->free_xchgs && !p->wait_upgrade && !p->inject_wait && s->xchg_count < SESSION_XCHG_MAX;
}

/* More of the message under way may be read: whoever takes its octets has room. */
static bool may_read(const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];

	if (p->adapt)
		return p->route == ROUTE_ADAPT && adapt_want(p->adapt);
	if (p->route == ROUTE_DROP)
		return true;
	return session_room(s, d) > 0;
}

void session_to_tunnel(struct session_ctx *c, struct session *s)
{
	session_count(c, STATS_msg_tunnel);
	for (unsigned d = 0; d < 2; d++) {
		s->pipe[d].mode = PIPE_TUNNEL;
		s->pipe[d].route = ROUTE_FORWARD;
		s->pipe[d].wait_upgrade = false;
		session_framer_give(c, &s->pipe[d]);
		if (!chunkq_empty(&s->pipe[d].raw))
			tcp_half_send(&c->env, &s->half[!d], &s->pipe[d].raw);
	}
	session_smtp_free(c, s->smtp);
	s->smtp = NULL;
}

bool session_between(const struct session *s, unsigned d)
{
	if (s->xchg_count != (d == 1) || s->inject_ready)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		const struct session_pipe *p = &s->pipe[i];

		if (i == d)
			continue;
		if (p->mode != PIPE_FRAMED || p->begun || p->adapt || p->observer || p->route != ROUTE_NONE || p->inject_wait ||
		    p->eof || !chunkq_empty(&p->raw) || (p->framer && !http1_between(&p->framer->http)))
			return false;
	}
	return true;
}

enum policy_on_failure session_framing_policy(const struct session_ctx *c, const struct session *s)
{
	const struct policy_image *img = session_image(c);
	int32_t first = s->info.sel.first;

	if (!img || first < 0 || (uint32_t)first >= policy_image_rules(img))
		return POLICY_CLOSED;
	return adapt_policy(policy_image_rule(img, (uint32_t)first), CALLOUT_CAUSE_FRAMING);
}

/* Not HTTP from its first octet on, and the rule lets such traffic pass: a tunnel. Anything that is HTTP but
 * of doubtful length is refused whatever the policy says (RFC 9112 6.3, 11.2). */
static bool open_as_tunnel(struct session_ctx *c, struct session *s, unsigned d)
{
	const struct session_framer *f = s->pipe[d].framer;

	if (d != 0 || s->pipe[0].messages != 0 || s->pipe[1].octets != 0 ||
	    f->http.bad != HTTP1_BAD_START_LINE || session_framing_policy(c, s) != POLICY_OPEN)
		return false;
	session_note(c, s, -1, "not-http", "framing", 0, "the stream is not HTTP: it crosses as it is");
	session_to_tunnel(c, s);
	return true;
}

/* The server speaks first, and not HTTP: the same. */
static bool open_server_first(struct session_ctx *c, struct session *s, const struct chunk *in)
{
	if (s->pipe[0].octets || s->pipe[1].octets || tcp_half_rxq(&s->half[0])->bytes ||
	    memcmp(in->data, "HTTP/", RTE_MIN(in->len, 5u)) == 0 || session_framing_policy(c, s) != POLICY_OPEN)
		return false;
	session_note(c, s, -1, "not-http", "framing", 0, "the server speaks first: the stream crosses as it is");
	session_to_tunnel(c, s);
	return true;
}

static void refuse(struct session_ctx *c, struct session *s, unsigned d, enum http1_bad bad, uint64_t offset)
{
	struct session_pipe *p = &s->pipe[d];

	session_count(c, STATS_msg_refused);
	session_note(c, s, session_rule(c, p), "message-refused", "framing", offset, http1_bad_text(bad));
	if (d == 1 || p->adapt || p->route == ROUTE_FORWARD) {
		session_abort(c, s);
		return;
	}
	/* A request is answered once. */
	if (p->inject_wait)
		s->inject_close = true;
	else if (p->begun)
		session_close_answered(c, s);
	else
		session_answer(c, s, 0, 400, http1_bad_text(bad), true);
	p->mode = PIPE_DISCARD;
	session_framer_give(c, p);
}

static void message_over(struct session_ctx *c, struct session *s, unsigned d, bool ok)
{
	session_message_end(c, s, d, ok);
	if (s->state == SESSION_OPEN && !s->pipe[d].adapt && s->pipe[d].mode == PIPE_FRAMED &&
	    s->pipe[d].route == ROUTE_NONE)
		session_framer_give(c, &s->pipe[d]);
}

static void on_event(struct session_ctx *c, struct session *s, unsigned d, const struct http1_event *ev,
		     struct chunkq *q)
{
	struct session_pipe *p = &s->pipe[d];
	bool resp = d == 1;

	switch (ev->type) {
	case HTTP1_NEED_MORE:
		if (p->begun)
			session_message_route(c, s, d, NULL, CALLOUT_PART_NONE, q);
		else
			chunkq_append(&p->raw, q);
		break;
	case HTTP1_HEAD:
		chunkq_append(&p->raw, q);
		chunkq_drop(&c->pool, &p->raw, p->raw.bytes - p->framer->http.head.len); /* empty lines before it */
		session_count(c, resp ? STATS_msg_response : STATS_msg_request);
		session_message_begin(c, s, d);
		break;
	case HTTP1_BODY:
		p->want_continue = false;
		session_message_route(c, s, d, q, resp ? CALLOUT_PART_RESPONSE_BODY : CALLOUT_PART_REQUEST_BODY,
				      NULL);
		break;
	case HTTP1_TRAILER:
		session_message_route(c, s, d, q,
				      resp ? CALLOUT_PART_RESPONSE_TRAILER : CALLOUT_PART_REQUEST_TRAILER, NULL);
		break;
	case HTTP1_FRAMING:
		if (p->begun)
			session_message_route(c, s, d, NULL, CALLOUT_PART_NONE, q);
		else if (p->messages == 0)
			chunkq_append(&p->raw, q); /* perhaps this is not HTTP */
		break; /* empty lines between messages go nowhere: they are not part of any */
	case HTTP1_END:
		message_over(c, s, d, true);
		break;
	case HTTP1_TUNNEL:
		s->tunnel_wait = s->pipe[0].begun;
		if (s->tunnel_wait)
			break; /* the event stays */
		message_over(c, s, d, true);
		if (s->state == SESSION_OPEN)
			session_to_tunnel(c, s);
		break;
	case HTTP1_BAD:
		chunkq_append(&p->raw, q);
		if (!open_as_tunnel(c, s, d))
			refuse(c, s, d, p->framer->http.bad, p->framer->http.bad_offset);
		break;
	}
}

/* The stream ended. */
static bool on_eof(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	struct http1_event ev = {.type = HTTP1_END};
	struct chunkq q;

	if (!tcp_half_rx_finished(&s->half[d]) || p->eof)
		return false;
	if (p->framer && (p->begun || !http1_between(&p->framer->http))) {
		http1_step(&p->framer->http, NULL, 0, true, &ev);
		if (ev.type == HTTP1_BAD || ev.type == HTTP1_NEED_MORE) {
			/* Cut off: what came has gone on; the end of the stream tells the receiver. */
			session_note(c, s, session_rule(c, p), "message-cut", "framing", p->framer->http.msg_octets,
				     "the stream ended inside the message");
			if (!p->begun)
				tcp_half_send(&c->env, &s->half[!d], &p->raw);
			message_over(c, s, d, false);
		} else {
			chunkq_init(&q);
			on_event(c, s, d, &ev, &q);
			return true; /* perhaps END follows another event */
		}
	}
	p->eof = true;
	return true;
}

/* Passes the end of the stream on when everything before it has gone. */
static bool pass_fin(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	if (!p->eof || p->fin_passed || p->adapt || p->inject_wait)
		return false;
	p->fin_passed = true;
	tcp_half_finish(&s->half[!d]);
	while (d == 1 && s->xchg_head)
		session_xchg_pop(c, s); /* nobody will answer these: let nothing wait for it */
	return true;
}

/* How many octets to read in one step. A body that nobody looks into is read as far as there is room for it, whatever
 * the number of its chunks. */
static uint32_t step_octets(const struct session *s, unsigned d, const struct chunk *in)
{
	const struct session_pipe *p = &s->pipe[d];
	uint64_t n = in->len, most;

	if (p->adapt)
		return in->len;
	most = RTE_MIN(http1_unread(&p->framer->http), tcp_half_rxq(&s->half[d])->bytes);
	if (p->route == ROUTE_FORWARD)
		most = RTE_MIN(most, session_room(s, d));
	return (uint32_t)RTE_MAX(n, most);
}

static bool step(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	const struct chunk *in = tcp_half_rxq(&s->half[d])->head;
	struct http1_event ev;
	struct chunkq q;

	if (!p->framer && !may_begin(c, s, d)) {
		s->starved |= in && !c->free_xchgs;
		return false;
	}
	if (!in) {
		/* The end of a message may need no further octet. */
		if (p->framer && p->begun) {
			http1_step(&p->framer->http, NULL, 0, false, &ev);
			if (ev.type != HTTP1_NEED_MORE) {
				chunkq_init(&q);
				on_event(c, s, d, &ev, &q);
				return true;
			}
		}
		p->idle = !on_eof(c, s, d);
		return !p->idle;
	}
	if (!p->framer) {
		if (d == 1 && s->xchg_count == 0) {
			if (open_server_first(c, s, in))
				return true;
			refuse(c, s, d, HTTP1_BAD_UNEXPECTED_RESPONSE, 0);
			return true;
		}
		if (!take_framer(c, s, d)) {
			session_count(c, STATS_no_mbuf);
			s->starved = true;
			return false;
		}
	}
	http1_step(&p->framer->http, in->data, step_octets(s, d, in), false, &ev);
	chunkq_init(&q);
	if (ev.len && tcp_half_take(&c->env, &s->half[d], &q, ev.len) != 0) {
		/* The framer is a step ahead of the octets: only a reset is honest. */
		chunkq_purge(&c->pool, &q);
		session_note(c, s, session_rule(c, p), "no-memory", "overload", UINT64_MAX, "no chunk descriptor");
		session_abort(c, s);
		return false;
	}
	p->octets += q.bytes;
	on_event(c, s, d, &ev, &q);
	chunkq_purge(&c->pool, &q);
	return true;
}

/* Most runs are for the other direction, or for what acknowledgements let out. */
static inline bool still_idle(const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];

	return p->idle && !tcp_half_rxq(&s->half[d])->head && !p->adapt && !p->observer &&
	       (p->eof ? p->fin_passed : !tcp_half_rx_finished(&s->half[d]));
}

bool session_http_run(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	bool moved = false;

	if (unlikely(s->tunnel_after) && session_between(s, 2)) {
		session_to_tunnel(c, s);
		return true;
	}
	if (still_idle(s, d))
		return false;
	p->idle = false;
	while (s->state == SESSION_OPEN && p->mode == PIPE_FRAMED) {
		if (p->adapt || p->observer)
			session_message_pump(c, s, d);
		if (s->state != SESSION_OPEN || p->mode != PIPE_FRAMED)
			break;
		if (d == 0)
			session_continue(c, s);
		if (d == 1 && s->tunnel_wait && s->pipe[0].begun)
			break;
		if (p->framer && !p->adapt && p->route == ROUTE_NONE && p->begun == false &&
		    chunkq_empty(&p->raw) && http1_between(&p->framer->http))
			session_framer_give(c, p); /* done by the pump */
		if (p->route == ROUTE_ENDED || !may_read(s, d) || !step(c, s, d))
			break;
		moved = true;
	}
	if (s->state == SESSION_OPEN && p->mode == PIPE_FRAMED)
		moved |= pass_fin(c, s, d);
	return moved;
}
