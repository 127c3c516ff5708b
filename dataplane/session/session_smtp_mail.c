/* SPDX-License-Identifier: BSD-3-Clause */
/* SMTP: a message, from DATA to its reply. */
#include "session_smtp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void begun(struct session_ctx *c, struct session_pipe *p, enum session_route route)
{
	p->begun = true;
	p->route = route;
	p->messages++;
	c->under_way++;
}

void session_smtp_gone(struct session_ctx *c, struct session_pipe *p)
{
	p->begun = false;
	p->route = ROUTE_NONE;
	c->under_way--;
}

/* INV-SMTP-3 */
static void take_back(struct session_ctx *c, struct session *s)
{
	session_smtp_forget(s->smtp);
	session_smtp_expect(s->smtp, SMTP_RSET, true, true);
	session_smtp_to_server(c, s, "RSET");
}

static void note(struct session_ctx *c, struct session *s, const char *kind, const char *cause, const char *text)
{
	session_note(c, s, session_rule(c, &s->pipe[0]), kind, cause, s->smtp->data.octets, text);
}

#define OWN_REPLY_MAX 640

/* text: what follows the first digit of the enhanced code. */
static uint32_t own_reply(const struct session_ctx *c, char reply[OWN_REPLY_MAX], unsigned code, const char *text)
{
	int n = snprintf(reply, OWN_REPLY_MAX, "%u %u.%s\r\n", code, code / 100, text);

	return code < 400 ? (uint32_t)n : session_smtp_trace_reply(c, reply, (uint32_t)n, OWN_REPLY_MAX);
}

/* --- DATA ------------------------------------------------------------------------------------------------------- */

/* The server decides, and no service sees it or only looks on. */
static void pass_data(struct session_ctx *c, struct session *s)
{
	s->smtp->phase = SMTP_COMMANDS;
	session_smtp_expect(s->smtp, SMTP_DATA, false, true);
	session_smtp_pass_line(c, s, 0, &s->pipe[0].raw, s->smtp->lines.crlf);
}

static void refuse_data(struct session_ctx *c, struct session *s, unsigned code, const char *text)
{
	char reply[OWN_REPLY_MAX];
	uint32_t n = own_reply(c, reply, code, text);

	session_count(c, STATS_smtp_rejected);
	reply[n - 2] = 0;
	chunkq_purge(&c->pool, &s->pipe[0].raw);
	s->smtp->phase = SMTP_COMMANDS;
	session_smtp_to_client(c, s, reply);
	take_back(c, s);
}

static struct adapt *begin(struct session_ctx *c, struct session *s, bool observe, enum callout_cause *cause)
{
	const struct policy_image *img = session_image(c);
	char meta[CALLOUT_META_MAX];
	struct adapt_begin b = {
		.owner = s,
		.image = img,
		.rule = (uint32_t)s->pipe[0].rule,
		.observe = observe,
		.mail = true,
		.flow = s->info.id,
		.meta = meta,
		.kind = POLICY_KIND_REQUEST,
	};

	b.meta_len = session_smtp_meta(c, s, policy_image_rule(img, b.rule)->name, observe, meta, sizeof(meta));
	return adapt_begin(&c->adapt, &b, cause);
}

static void could_not_begin(struct session_ctx *c, struct session *s, const struct policy_rule *r,
			    enum callout_cause cause)
{
	session_note(c, s, s->pipe[0].rule, "callout-failed", callout_cause_name(cause), 0, "the transaction could not begin");
	switch (adapt_policy(r, cause)) {
	case POLICY_OPEN:
		session_count(c, STATS_fail_open);
		s->pipe[0].rule = -1;
		pass_data(c, s);
		break;
	case POLICY_ANSWER:
		session_count(c, STATS_fail_answer);
		refuse_data(c, s, r->answer_status, "3.0 The mail could not be examined");
		break;
	case POLICY_CLOSED:
		session_count(c, STATS_fail_closed);
		refuse_data(c, s, 451, "3.0 The mail could not be examined, try again later");
		break;
	}
}

static void adapt_data(struct session_ctx *c, struct session *s, const struct policy_rule *r)
{
	static const char go_on[] = "354 End data with <CR><LF>.<CR><LF>\r\n";
	struct session_pipe *p = &s->pipe[0];
	struct session_smtp *m = s->smtp;
	enum callout_cause cause = CALLOUT_CAUSE_NONE;
	struct chunkq q;

	chunkq_init(&q);
	if (chunkq_put(&c->pool, &q, go_on, sizeof(go_on) - 1) != 0) {
		s->starved = true; /* the command is held back further */
		return;
	}
	p->adapt = begin(c, s, false, &cause);
	if (!p->adapt) {
		chunkq_purge(&c->pool, &q);
		could_not_begin(c, s, r, cause);
		return;
	}
	session_count(c, STATS_msg_adapted);
	begun(c, p, ROUTE_ADAPT);
	chunkq_purge(&c->pool, &p->raw);
	m->phase = SMTP_ADAPTING;
	m->sent = SMTP_SENT_NOTHING;
	m->take_back = m->close = m->traced = false;
	m->answer = 0;
	smtp_data_init(&m->data);
	smtp_stuff_init(&m->stuff);
	tcp_half_send(&c->env, &s->half[0], &q);
}

void session_smtp_data(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];
	bool mail = session_smtp_has_recipient(s->smtp);
	const struct policy_rule *r;

	p->rule = mail ? session_smtp_match(c, s) : -1;
	p->generation = session_image(c) ? policy_image_generation(session_image(c)) : 0;
	r = p->rule < 0 ? NULL : policy_image_rule(session_image(c), (uint32_t)p->rule);
	switch (r ? (enum policy_action)r->action : POLICY_BYPASS) {
	case POLICY_BYPASS:
	case POLICY_OBSERVE:
		pass_data(c, s);
		break;
	case POLICY_TUNNEL:
		session_count(c, STATS_msg_forwarded);
		session_to_tunnel(c, s);
		break;
	case POLICY_BLOCK:
		session_count(c, STATS_msg_blocked);
		session_note(c, s, p->rule, "message-blocked", "rule", 0, "blocked by its rule");
		refuse_data(c, s, r->answer_status, "7.1 Blocked by a rule of this network");
		break;
	case POLICY_ADAPT:
		adapt_data(c, s, r);
		break;
	}
	c->counter[STATS_smtp_mail] += mail && !(s->smtp && s->smtp->phase == SMTP_HELD_BACK);
}

void session_smtp_passing(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];
	int32_t rule = session_rule(c, p);
	enum callout_cause cause = CALLOUT_CAUSE_NONE;

	s->smtp->phase = SMTP_PASSING;
	s->smtp->close = false;
	smtp_data_init(&s->smtp->data);
	begun(c, p, ROUTE_FORWARD);
	if (rule < 0 || policy_image_rule(session_image(c), (uint32_t)rule)->action != POLICY_OBSERVE) {
		session_count(c, STATS_msg_forwarded);
		return;
	}
	p->observer = begin(c, s, true, &cause);
	session_count(c, p->observer ? STATS_msg_observed : STATS_msg_forwarded);
	if (!p->observer)
		note(c, s, "observe-failed", callout_cause_name(cause), "the mail goes on unobserved");
}

/* --- its reply ---------------------------------------------------------------------------------------------------- */

/* The client has said all, and what becomes of it is known. */
void session_smtp_conclude(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;

	session_smtp_gone(c, &s->pipe[0]);
	tcp_half_send(&c->env, &s->half[0], &m->outcome);
	if (m->close) {
		session_close_answered(c, s);
		return;
	}
	m->phase = SMTP_COMMANDS;
	if (m->take_back || m->sent == SMTP_SENT_NOTHING)
		take_back(c, s);
	else
		session_smtp_forget(m);
}

/* The outcome is known, the service no longer asked. */
static void decide(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];

	if (p->adapt)
		adapt_release(p->adapt, p->adapt->status != ADAPT_DONE);
	p->adapt = NULL;
	p->route = ROUTE_DROP;
	if (s->smtp->phase == SMTP_ADAPTING || s->smtp->phase == SMTP_PASSING)
		s->smtp->phase = SMTP_DROPPING;
	else if (s->smtp->phase == SMTP_AFTER)
		session_smtp_conclude(c, s);
}

static void decide_text(struct session_ctx *c, struct session *s, const char *text, uint32_t len)
{
	if (chunkq_put(&c->pool, &s->smtp->outcome, text, len) != 0) {
		session_count(c, STATS_no_mbuf);
		session_abort(c, s);
		return;
	}
	decide(c, s);
}

static void decide_ours(struct session_ctx *c, struct session *s, unsigned code, const char *text)
{
	char reply[OWN_REPLY_MAX];
	uint32_t n = own_reply(c, reply, code, text);

	decide_text(c, s, reply, n);
}

/* INV-SMTP-1: what was begun at the server ends without an end. */
static void reset_server(struct session_ctx *c, struct session *s)
{
	s->smtp->close = true;
	s->pipe[1].mode = PIPE_DISCARD;
	s->pipe[1].eof = s->pipe[1].fin_passed = true;
	if (s->smtp->sent == SMTP_SENT_NOTHING)
		return;
	session_count(c, STATS_smtp_aborted);
	c->current = s;
	tcp_half_abort(&c->env, &s->half[1]);
}

/* Nothing of it from here on reaches a server that might take it for commands. */
void session_smtp_refuse_odd(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];

	if (p->observer) {
		adapt_feed_end(p->observer, false);
		adapt_release(p->observer, true);
		p->observer = NULL;
	}
	if (s->smtp->phase == SMTP_PASSING)
		s->smtp->sent = SMTP_SENT_BEGUN;
	if (s->smtp->sent != SMTP_SENT_NOTHING)
		reset_server(c, s);
	session_count(c, STATS_smtp_rejected);
	decide_ours(c, s, 550, "6.0 A message must not hold a line of one dot between bare line ends");
}

void session_smtp_decided(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;

	m->take_back = m->sent == SMTP_SENT_DATA;
	if (m->sent < SMTP_SENT_END && m->answer < 400) { /* unasked, and a lie */
		chunkq_purge(&c->pool, &m->outcome);
		session_smtp_server_gone(c, s);
		return;
	}
	if (m->sent < SMTP_SENT_DATA || m->sent == SMTP_SENT_BEGUN)
		reset_server(c, s); /* it has closed */
	else if (m->sent == SMTP_SENT_END && m->answer < 300)
		session_count(c, STATS_smtp_delivered);
	m->sent = SMTP_SENT_OVER;
	decide(c, s);
}

void session_smtp_server_gone(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	bool known = !chunkq_empty(&m->outcome);

	reset_server(c, s);
	note(c, s, "mail-broken-off", "server", "the server has closed the connection before it took the mail");
	if (!known)
		decide_ours(c, s, 421, "4.2 The server has closed the connection");
}

static void rejected(struct session_ctx *c, struct session *s)
{
	char text[SMTP_ANSWER_MAX], reply[SMTP_ANSWER_MAX], shown[120];
	struct adapt *a = s->pipe[0].adapt;
	unsigned code = 0;
	int n = -1;

	if (a->out.bytes <= sizeof(text))
		n = smtp_answer(text, (uint32_t)chunkq_copy(&a->out, 0, text, sizeof(text)), reply, &code);
	chunkq_purge(&c->pool, &a->out);
	if (n < 0) {
		session_count(c, STATS_smtp_rejected);
		note(c, s, "callout-failed", "framing", "the service's answer is no SMTP reply: the sender is told to try later");
		decide_ours(c, s, 451, "3.0 The mail could not be examined, try again later");
		return;
	}
	session_count(c, code < 300 ? STATS_smtp_discarded : STATS_smtp_rejected);
	snprintf(shown, sizeof(shown), "the service's answer: %.*s", (int)strcspn(reply, "\r"), reply);
	note(c, s, code < 300 ? "mail-discarded" : "mail-rejected", "service", shown);
	decide_text(c, s, reply, code < 400 ? (uint32_t)n : session_smtp_trace_reply(c, reply, (uint32_t)n, sizeof(reply)));
}

/* The service gave no message, or the failure policy speaks. */
static void not_delivered(struct session_ctx *c, struct session *s)
{
	const struct adapt *a = s->pipe[0].adapt;
	enum policy_on_failure policy = adapt_policy(a->rule, a->cause);
	bool refused = a->cause == CALLOUT_CAUSE_REFUSED;

	if (a->status == ADAPT_ANSWER && a->cause == CALLOUT_CAUSE_NONE) {
		session_count(c, STATS_smtp_discarded);
		note(c, s, "mail-discarded", "service", "the service gave no message: the sender is told it was accepted");
		decide_ours(c, s, 250, "0.0 Ok");
		return;
	}
	session_count(c, STATS_smtp_rejected);
	if (s->smtp->sent != SMTP_SENT_NOTHING)
		reset_server(c, s);
	if (policy == POLICY_ANSWER)
		decide_ours(c, s, a->rule->answer_status,
			    refused ? "7.1 The mail was refused" : "3.0 The mail could not be examined");
	else if (refused && policy == POLICY_OPEN) /* it may not pass (INV-ADAPT-5), and trying again changes nothing */
		decide_ours(c, s, 554, "7.1 The mail was refused");
	else
		decide_ours(c, s, s->smtp->close ? 421 : 451, "3.0 The mail could not be examined, try again later");
}

/* --- to the server ------------------------------------------------------------------------------------------------ */

/* The next chunk with its dots. 1: gone, 0: no room, -ENOMEM. */
static int move_chunk(struct session_ctx *c, struct session *s, struct adapt *a)
{
	const struct chunk *in = a->out.head;
	struct smtp_stuff stuff = s->smtp->stuff;
	uint32_t at = 0, n = 0, k;
	struct chunkq q;
	bool dot;

	if (session_room(s, 0) == 0)
		return 0;
	chunkq_init(&q);
	k = smtp_stuff_step(&stuff, in->data, in->len, &dot);
	if (!dot) {
		s->smtp->stuff = stuff;
		chunkq_push(&q, chunkq_pop(&a->out));
		tcp_half_send(&c->env, &s->half[1], &q);
		return 1;
	}
	/* A dot needs a line of three octets before the next: at most a third more. */
	for (;;) {
		memcpy(c->smtp_scratch + n, in->data + at, k);
		n += k;
		at += k;
		if (dot)
			c->smtp_scratch[n++] = '.';
		if (at == in->len)
			break;
		k = smtp_stuff_step(&stuff, in->data + at, in->len - at, &dot);
	}
	if (chunkq_put(&c->pool, &q, c->smtp_scratch, n) != 0)
		return -ENOMEM;
	s->smtp->stuff = stuff;
	chunkq_drop(&c->pool, &a->out, in->len);
	tcp_half_send(&c->env, &s->half[1], &q);
	return 1;
}

/* False: no memory for it, to be tried again. */
static bool trace(struct session_ctx *c, struct session *s, const struct adapt *a)
{
	struct session_smtp *m = s->smtp;
	char text[SMTP_TRACE_MAX];
	uint32_t n = m->traced ? 0 : session_smtp_trace(c, a, text);
	struct chunkq q;

	m->traced = true;
	if (!n)
		return true;
	chunkq_init(&q);
	if (chunkq_put(&c->pool, &q, text, n) != 0) {
		m->traced = false;
		s->starved = true;
		return false;
	}
	session_count(c, STATS_trace_added);
	tcp_half_send(&c->env, &s->half[1], &q);
	return true;
}

/* The server is asked for its 354 when there is something to send. True when octets moved. */
static bool move_out(struct session_ctx *c, struct session *s, struct adapt *a)
{
	struct session_smtp *m = s->smtp;
	bool moved = false;
	int rc = 1;

	if (a->to_answer || (chunkq_empty(&a->out) && a->status != ADAPT_DONE))
		return false;
	if (m->sent == SMTP_SENT_NOTHING) {
		struct chunkq q;

		chunkq_init(&q);
		if (chunkq_put(&c->pool, &q, "DATA\r\n", 6) != 0) {
			s->starved = true;
			return false;
		}
		m->sent = SMTP_SENT_DATA;
		session_smtp_expect(m, SMTP_DATA, true, true);
		tcp_half_send(&c->env, &s->half[1], &q);
	}
	if (m->sent == SMTP_SENT_BEGUN && !trace(c, s, a))
		return false;
	while (m->sent == SMTP_SENT_BEGUN && !chunkq_empty(&a->out) && (rc = move_chunk(c, s, a)) > 0)
		moved = true;
	s->starved |= rc < 0;
	return moved;
}

/* All of it has gone, and the client has said all: INV-SMTP-1. */
static void finish(struct session_ctx *c, struct session *s)
{
	const char *end = smtp_stuff_end(&s->smtp->stuff);
	struct chunkq q;

	chunkq_init(&q);
	if (chunkq_put(&c->pool, &q, end, (uint32_t)strlen(end)) != 0) {
		s->starved = true;
		return;
	}
	tcp_half_send(&c->env, &s->half[1], &q);
	s->smtp->sent = SMTP_SENT_END;
	session_smtp_expect(s->smtp, SMTP_EXPECT_OUTCOME, true, true);
	adapt_release(s->pipe[0].adapt, false);
	s->pipe[0].adapt = NULL;
	s->pipe[0].route = ROUTE_ENDED;
}

void session_smtp_pump(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];
	struct session_smtp *m = s->smtp;
	struct adapt *a = p->adapt;
	bool moved = true;

	if (p->observer)
		adapt_pump(p->observer);
	if (!a)
		return;
	while (moved && s->state == SESSION_OPEN) {
		adapt_pump(a);
		moved = a->status != ADAPT_ABORT && a->status != ADAPT_ANSWER && move_out(c, s, a);
	}
	if (s->state != SESSION_OPEN || a->status == ADAPT_RUNNING)
		return;
	if (a->status != ADAPT_DONE)
		not_delivered(c, s);
	else if (a->to_answer)
		rejected(c, s);
	else if (chunkq_empty(&a->out) && m->sent == SMTP_SENT_BEGUN && m->phase == SMTP_AFTER)
		finish(c, s);
}
