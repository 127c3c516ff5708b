/* SPDX-License-Identifier: BSD-3-Clause */
/* SMTP: the octets of a message as they come from the client. */
#include "session_smtp.h"

#include <errno.h>
#include <string.h>

/* What a chunk of a message is. */
struct portion {
	uint32_t octets; /* of the chunk, to the message's end at most */
	bool whole;      /* all of them are text, and no other */
	bool end;
	uint32_t text;   /* else: octets of text in the scratch */
};

static void look(struct session_ctx *c, struct session_smtp *m, const struct chunk *in, struct portion *w)
{
	struct smtp_event ev;

	memset(w, 0, sizeof(*w));
	do {
		smtp_data_step(&m->data, in->data + w->octets, in->len - w->octets, &ev);
		if (w->octets == 0 && ev.type == SMTP_TEXT && ev.len == in->len && !ev.held) {
			w->whole = true;
			w->octets = ev.len;
			return;
		}
		if (ev.held)
			c->smtp_scratch[w->text++] = '\r';
		if (ev.type == SMTP_TEXT) {
			memcpy(c->smtp_scratch + w->text, in->data + w->octets, ev.len);
			w->text += ev.len;
		}
		w->octets += ev.len;
		w->end = ev.type == SMTP_END;
	} while (!w->end && w->octets < in->len);
}

/* True: the mail's rule refuses them. */
static bool odd_ends(struct session_ctx *c, struct session *s, uint32_t before)
{
	struct session_smtp *m = s->smtp;
	int32_t rule = session_rule(c, &s->pipe[0]);

	if (m->data.odd == before || m->phase == SMTP_DROPPING)
		return false;
	c->counter[STATS_smtp_odd_end] += m->data.odd - before;
	if (!before)
		session_note(c, s, rule, "smtp-odd-end", "framing", m->data.octets,
			     "a lone dot between line ends of which not both are CRLF: it is text");
	return rule >= 0 && policy_image_rule(session_image(c), (uint32_t)rule)->odd_ends == POLICY_ODD_ENDS_REFUSE;
}

static void observe(struct session_ctx *c, struct session *s, struct chunkq *text)
{
	struct session_pipe *p = &s->pipe[0];

	adapt_feed(p->observer, text, CALLOUT_PART_NONE);
}

static void message_end(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];
	struct session_smtp *m = s->smtp;

	if (m->phase == SMTP_ADAPTING) {
		m->phase = SMTP_AFTER;
		adapt_feed_end(p->adapt, true);
	} else if (m->phase == SMTP_DROPPING) {
		m->phase = SMTP_AFTER;
		session_smtp_conclude(c, s);
	} else {
		if (p->observer) {
			adapt_feed_end(p->observer, true);
			adapt_release(p->observer, false);
			p->observer = NULL;
		}
		session_smtp_gone(c, p);
		session_smtp_forget(m);
		session_smtp_expect(m, SMTP_EXPECT_OUTCOME, false, false);
		m->phase = SMTP_COMMANDS;
	}
}

static bool may_take(const struct session *s)
{
	const struct session_pipe *p = &s->pipe[0];

	switch (s->smtp->phase) {
	case SMTP_PASSING:
		return session_room(s, 0) > 0;
	case SMTP_ADAPTING:
		return adapt_want(p->adapt);
	default:
		return true;
	}
}

/* The text of a portion, as references or as a copy. 0 or -ENOMEM. */
static int text_of(struct session_ctx *c, const struct portion *w, const struct chunkq *raw, struct chunkq *text)
{
	if (w->whole)
		return chunkq_ref(&c->pool, text, raw, 0, w->octets);
	return w->text ? chunkq_put(&c->pool, text, c->smtp_scratch, w->text) : 0;
}

bool session_smtp_message(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];
	struct session_smtp *m = s->smtp;
	const struct chunkq *rxq = tcp_half_rxq(&s->half[0]);
	struct smtp_data before = m->data;
	bool wanted = m->phase == SMTP_ADAPTING || p->observer;
	struct chunkq q, text;
	struct portion w;

	if (!may_take(s))
		return false;
	chunkq_init(&q);
	chunkq_init(&text);
	look(c, m, rxq->head, &w);
	if ((wanted && text_of(c, &w, rxq, &text) != 0) || tcp_half_take(&c->env, &s->half[0], &q, w.octets) != 0) {
		m->data = before;
		s->starved = true;
		chunkq_purge(&c->pool, &text);
		return false;
	}
	p->octets += w.octets;
	if (odd_ends(c, s, before.odd)) {
		chunkq_purge(&c->pool, &text);
		chunkq_purge(&c->pool, &q);
		session_smtp_refuse_odd(c, s);
	}
	if (p->observer)
		observe(c, s, &text);
	else if (p->adapt)
		adapt_feed(p->adapt, &text, CALLOUT_PART_NONE);
	if (m->phase == SMTP_PASSING)
		tcp_half_send(&c->env, &s->half[1], &q);
	chunkq_purge(&c->pool, &q);
	chunkq_purge(&c->pool, &text);
	if (w.end)
		message_end(c, s);
	return true;
}
