/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Quiet flows give their struct session up for a record a quarter as large, and get one again with the next segment.
 * Who gives up first when there are not enough is said by a list in which a session moves to the end when it has work;
 * not for every segment, but when its place is SESSION_TOUCH_US old.
 */
#include "session_priv.h"

#include <string.h>

#define SEARCH_MAX 32 /* sessions looked at for one that can be parked: the loop must not stall */

static void link_remove(struct session_link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static void link_append(struct session_ctx *c, struct session_link *l)
{
	l->next = &c->in_use;
	l->prev = c->in_use.prev;
	l->prev->next = l;
	c->in_use.prev = l;
}

/* Parks the session that has been quiet longest, nearly. */
static bool make_room(struct session_ctx *c)
{
	for (unsigned i = 0; i < SEARCH_MAX && c->in_use.next != &c->in_use; i++) {
		struct session_link *l = c->in_use.next;
		struct session *s = (struct session *)((char *)l - offsetof(struct session, link));

		if (session_quiet(s)) {
			session_park(c, s);
			return true;
		}
		link_remove(l);
		link_append(c, l);
	}
	return false;
}

struct session *session_take(struct session_ctx *c, const struct session_record *r)
{
	struct session *s;

	if (!c->free_sessions && !make_room(c))
		return NULL;
	s = c->free_sessions;
	c->free_sessions = s->next;
	memset(s, 0, sizeof(*s));
	s->ctx = c;
	s->info = r->info;
	s->state = SESSION_OPEN;
	s->begun_us = r->begun_us;
	s->heard = r->heard;
	s->link_us = c->now_us;
	s->ip_id = r->ip_id;
	s->smtp = r->smtp;
	for (unsigned side = 0; side < 2; side++)
		if (r->pattern[side].l2_len)
			session_head_set(s, side, &r->pattern[side]);
	link_append(c, &s->link);
	c->sessions++;
	c->cfg.moved(c->cfg.cb, s->info.owner, s);
	return s;
}

void session_give(struct session_ctx *c, struct session *s)
{
	link_remove(&s->link);
	if (c->current == s)
		c->current = NULL;
	s->next = c->free_sessions;
	c->free_sessions = s;
	c->sessions--;
}

/* A message that only passes is no more than a mark, in a stream; with HTTP it has a framer. */
static bool pipe_quiet(const struct session_pipe *p)
{
	return !p->framer && !p->adapt && !p->observer && chunkq_empty(&p->raw) && !p->inject_wait && !p->wait_upgrade &&
	       rtsp_frames_between(&p->frames) && (!p->begun || (p->mode != PIPE_FRAMED && p->mode != PIPE_RTSP && p->route == ROUTE_FORWARD)) && p->mode != PIPE_DISCARD &&
	       p->eof == p->fin_passed;
}

bool session_quiet(const struct session *s)
{
	return s->state == SESSION_OPEN && !s->xchg_count && !s->inject_ready && !s->answered && !s->tunnel_wait &&
	       !s->starved && session_smtp_quiet(s->smtp) && !s->heard.probes && tcp_half_quiet(&s->half[0]) && tcp_half_quiet(&s->half[1]) && pipe_quiet(&s->pipe[0]) &&
	       pipe_quiet(&s->pipe[1]);
}

bool session_over(const struct session *s)
{
	if (s->state != SESSION_OPEN || s->xchg_count || !chunkq_empty(&s->inject) || !tcp_half_over(&s->half[0]) ||
	    !tcp_half_over(&s->half[1]))
		return false;
	for (unsigned d = 0; d < 2; d++) {
		const struct session_pipe *p = &s->pipe[d];

		if (p->framer || p->adapt || p->observer || !chunkq_empty(&p->raw))
			return false;
	}
	return true;
}

static void pattern_of(const struct session_head *h, struct session_pattern *p)
{
	memset(p, 0, sizeof(*p));
	if (!h->len)
		return;
	memcpy(p->l2, h->octets, h->l2_len);
	p->l2_len = h->l2_len;
	p->tos = h->tos;
	p->ttl = h->ttl;
}

static void pipe_park(const struct session_pipe *p, struct session_parked_pipe *k)
{
	k->octets = p->octets;
	k->messages = p->messages;
	k->rule = p->rule;
	k->generation = p->generation;
	k->mode = p->mode;
	k->route = p->route;
	k->begun = p->begun;
	k->eof = p->eof;
	k->fin_passed = p->fin_passed;
}

static void pipe_unpark(struct session_pipe *p, const struct session_parked_pipe *k)
{
	p->octets = k->octets;
	p->messages = k->messages;
	p->rule = k->rule;
	p->generation = k->generation;
	p->mode = k->mode;
	p->route = k->route;
	p->begun = k->begun;
	p->eof = k->eof;
	p->fin_passed = k->fin_passed;
}

struct session_record *session_pack(struct session_ctx *c, struct session *s)
{
	struct session_record *r = session_record_new(c);

	if (!r)
		return NULL;
	r->info = s->info;
	r->begun_us = s->begun_us;
	r->heard = s->heard;
	r->ip_id = s->ip_id;
	r->smtp = s->smtp;
	s->smtp = NULL;
	for (unsigned i = 0; i < 2; i++) {
		pattern_of(&s->head[i], &r->pattern[i]);
		tcp_half_park(&s->half[i], &r->half[i]);
		pipe_park(&s->pipe[i], &r->pipe[i]);
		c->queued[i] -= s->queued[i];
		s->queued[i] = 0;
	}
	session_give(c, s);
	return r;
}

void session_park(struct session_ctx *c, struct session *s)
{
	bool over = session_over(s);
	struct session_record *r;

	if (over) { /* nothing is said on it any more */
		session_smtp_free(c, s->smtp);
		s->smtp = NULL;
	}
	r = session_pack(c, s);
	if (!r)
		return;
	r->kind = over ? RECORD_CLOSING : RECORD_PARKED;
	if (!over) {
		c->parked++;
		session_count(c, STATS_flow_parked);
	}
	c->cfg.moved(c->cfg.cb, r->info.owner, session_handle_of(r));
}

void session_passed_free(struct session_ctx *c, struct session_record *r)
{
	for (unsigned d = 0; d < 2; d++) {
		c->under_way -= r->pipe[d].begun;
		r->pipe[d].begun = false;
	}
}

struct session *session_unpark(struct session_ctx *c, struct session_record *r)
{
	struct session *s = session_take(c, r);
	bool closing = r->kind == RECORD_CLOSING;

	if (!s)
		return NULL;
	for (unsigned i = 0; i < 2; i++) {
		tcp_half_unpark(&s->half[i], &r->half[i], &c->env);
		s->half_open[i] = true;
		pipe_unpark(&s->pipe[i], &r->pipe[i]);
	}
	session_record_free(c, r);
	if (!closing) {
		c->parked--;
		session_count(c, STATS_flow_unparked);
	}
	return s;
}

bool session_closing_reusable(const struct session_ctx *c, const struct session_record *r, unsigned side,
			      const struct tcp_segment *seg)
{
	struct tcp_half h;

	tcp_half_unpark(&h, &r->half[side], &c->env);
	return tcp_half_reusable(&h, seg);
}
