/* SPDX-License-Identifier: BSD-3-Clause */
/* A direction that is not cut into messages: an opaque stream (one message for rules and services), a tunnel,
 * or octets nobody wants any more. */
#include "session_priv.h"

/* True when octets moved. */
static bool take_some(struct session_ctx *c, struct session *s, unsigned d, uint64_t max)
{
	struct session_pipe *p = &s->pipe[d];
	uint64_t n = RTE_MIN(tcp_half_rxq(&s->half[d])->bytes, max);
	struct chunkq q;

	if (n == 0)
		return false;
	chunkq_init(&q);
	if (tcp_half_take(&c->env, &s->half[d], &q, n) != 0)
		s->starved = true;
	if (q.bytes == 0)
		return false;
	p->octets += q.bytes;
	if (p->mode == PIPE_DISCARD)
		chunkq_purge(&c->pool, &q);
	else if (p->mode == PIPE_TUNNEL)
		tcp_half_send(&c->env, &s->half[!d], &q);
	else
		session_message_route(c, s, d, &q, CALLOUT_PART_NONE, NULL);
	chunkq_purge(&c->pool, &q);
	return true;
}

static uint64_t may_take(const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];

	if (p->mode == PIPE_DISCARD || p->route == ROUTE_DROP)
		return UINT64_MAX;
	if (p->route == ROUTE_ENDED)
		return 0;
	if (p->adapt)
		return adapt_want(p->adapt) ? ADAPT_UNSENT_MAX : 0;
	return session_room(s, d);
}

static bool stream_end(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	if (!tcp_half_rx_finished(&s->half[d]) || tcp_half_rxq(&s->half[d])->bytes)
		return false;
	if (!p->eof) {
		p->eof = true;
		if (p->mode == PIPE_STREAM && p->begun)
			session_message_end(c, s, d, true);
		return true;
	}
	if (p->fin_passed || p->adapt || p->inject_wait)
		return false;
	p->fin_passed = true;
	tcp_half_finish(&s->half[!d]);
	return true;
}

/* The service is out of it, and all it had to do with has gone on: what follows only passes. */
static void service_done(struct session_pipe *p)
{
	if (!p->adapt || p->route != ROUTE_ADAPT || !adapt_passes(p->adapt))
		return;
	adapt_release(p->adapt, false);
	p->adapt = NULL;
	p->route = ROUTE_FORWARD;
}

bool session_stream_run(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	bool moved = false;

	if (p->mode == PIPE_STREAM && !p->begun && tcp_half_rxq(&s->half[d])->bytes && !p->eof) {
		session_message_begin(c, s, d);
		moved = true;
	}
	while (s->state == SESSION_OPEN) {
		if (p->adapt || p->observer)
			session_message_pump(c, s, d);
		if (p->mode == PIPE_STREAM)
			service_done(p);
		if (s->state != SESSION_OPEN || !take_some(c, s, d, may_take(s, d)))
			break;
		moved = true;
	}
	if (s->state == SESSION_OPEN && p->mode == PIPE_STREAM && p->route == ROUTE_DROP && !p->fin_passed) {
		/* The service ended the message before its end: so ends the stream. */
		p->fin_passed = true;
		tcp_half_finish(&s->half[!d]);
	}
	if (s->state == SESSION_OPEN)
		moved |= stream_end(c, s, d);
	return moved;
}
