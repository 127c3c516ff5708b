/* SPDX-License-Identifier: BSD-3-Clause */
/* SMTP: the server's replies. */
#include "session_smtp.h"

#include <string.h>

static const struct smtp_pending *answered_by(const struct session_smtp *m)
{
	return &m->pending[m->pending_at % SMTP_PENDING_MAX];
}

/* The first rule that may match the flow says what becomes of STARTTLS. */
static bool strips_tls(const struct session_ctx *c, const struct session *s)
{
	const struct policy_image *img = session_image(c);
	int32_t first = s->info.sel.first;

	return img && first >= 0 && (uint32_t)first < policy_image_rules(img) &&
	       policy_image_rule(img, (uint32_t)first)->starttls == POLICY_STARTTLS_STRIP;
}

/* The line before was not the last when it came, and is now. */
static void last_after_all(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	char code[4];
	struct chunkq q;

	chunkq_init(&q);
	chunkq_copy(&m->line, 0, code, 4);
	code[3] = ' ';
	if (chunkq_put(&c->pool, &q, code, 4) != 0) {
		session_abort(c, s);
		return;
	}
	chunkq_drop(&c->pool, &m->line, 4);
	chunkq_append(&q, &m->line);
	tcp_half_send(&c->env, &s->half[0], &q);
}

/* A line of the reply to EHLO: whether it is the last is only known when the next has been looked at. */
static void ehlo_line(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	struct smtp_replies *r = &m->replies;
	struct chunkq *raw = &s->pipe[1].raw;

	if (r->first)
		m->strip = strips_tls(c, s);
	if (!r->first && smtp_ehlo_hidden(r->line, r->len, m->strip)) {
		session_count(c, STATS_smtp_hidden);
		chunkq_purge(&c->pool, raw);
		if (r->last && !chunkq_empty(&m->line))
			last_after_all(c, s);
		return;
	}
	if (!chunkq_empty(&m->line))
		tcp_half_send(&c->env, &s->half[0], &m->line);
	if (r->last)
		session_smtp_pass_line(c, s, 1, raw, r->crlf);
	else if (session_smtp_whole_line(c, s, raw, r->crlf))
		chunkq_append(&m->line, raw);
}

/* What the octets after DATA are, in a message that only passes. */
static void on_data(struct session_ctx *c, struct session *s, uint16_t code)
{
	if (code == 354)
		session_smtp_passing(c, s);
	else if (code < 400)
		session_smtp_refuse(c, s, 1, "the server's reply to DATA is neither 354 nor a refusal");
}

static void on_tls(struct session_ctx *c, struct session *s)
{
	session_count(c, STATS_smtp_tls);
	session_note(c, s, s->info.sel.first, "smtp-tls", "framing", s->pipe[0].octets,
		     "client and server speak TLS from here on: no mail of this flow is seen");
	session_to_tunnel(c, s);
}

/* A whole reply to what the client has said. */
static void on_reply(struct session_ctx *c, struct session *s, const struct smtp_pending *p, uint16_t code)
{
	struct session_smtp *m = s->smtp;
	bool ok = code < 300;

	switch (p->what) {
	case SMTP_EXPECT_GREETING:
		m->greeted = true;
		break;
	case SMTP_EHLO:
	case SMTP_HELO:
		if (ok) {
			memcpy(m->helo, m->helo_next, sizeof(m->helo));
			session_smtp_forget(m);
		}
		break;
	case SMTP_RSET:
	case SMTP_XCLIENT:
		if (ok)
			session_smtp_forget(m);
		break;
	case SMTP_MAIL:
	case SMTP_RCPT:
		session_smtp_settle(m, p->address, ok);
		break;
	case SMTP_DATA:
		on_data(c, s, code);
		return;
	case SMTP_STARTTLS:
		if (code == 220)
			on_tls(c, s);
		break;
	case SMTP_AUTH:
	case SMTP_OTHER:
		if (code == 334) {
			m->phase = SMTP_CONTINUED;
			return;
		}
		break;
	default:
		break;
	}
	if (code >= 300 && code < 400 && s->state == SESSION_OPEN)
		session_smtp_refuse(c, s, 1, "the server asks for more after a command that has nothing more");
}

/* A reply to what we have said. */
static void on_ours(struct session_ctx *c, struct session *s, const struct smtp_pending *p, uint16_t code)
{
	struct session_smtp *m = s->smtp;

	if (p->what == SMTP_DATA && code == 354) {
		m->sent = SMTP_SENT_BEGUN;
	} else if (p->what == SMTP_DATA && code < 400) {
		session_smtp_refuse(c, s, 1, "the server's reply to DATA is neither 354 nor a refusal");
	} else if (p->what != SMTP_RSET) {
		m->answer = code;
		session_smtp_decided(c, s);
	}
}

/* A line of a reply to what we have said: an outcome is kept for the client. */
static void line_of_ours(struct session_ctx *c, struct session *s, const struct smtp_pending *p)
{
	struct session_smtp *m = s->smtp;
	struct chunkq *raw = &s->pipe[1].raw;

	if (p->what == SMTP_RSET || (p->what == SMTP_DATA && m->replies.code == 354)) {
		chunkq_purge(&c->pool, raw);
		return;
	}
	if (session_smtp_whole_line(c, s, raw, m->replies.crlf))
		chunkq_append(&m->outcome, raw);
}

/* Nothing was asked: a server that closes says so (RFC 5321 3.8); anything else would be taken for the reply to what is
 * asked next. */
static void unasked(struct session_ctx *c, struct session *s)
{
	if (s->smtp->replies.code != 421)
		session_smtp_refuse(c, s, 1, "a reply to nothing that was said");
	else
		session_smtp_pass_line(c, s, 1, &s->pipe[1].raw, s->smtp->replies.crlf);
}

static void reply_line(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	const struct smtp_replies *r = &m->replies;
	struct smtp_pending p = *answered_by(m);

	if (!m->pending_n) {
		unasked(c, s);
		return;
	}
	if (p.ours)
		line_of_ours(c, s, &p);
	else if (p.what == SMTP_EHLO && r->code == 250)
		ehlo_line(c, s);
	else
		session_smtp_pass_line(c, s, 1, &s->pipe[1].raw, r->crlf);
	if (!r->last || s->state != SESSION_OPEN)
		return;
	m->pending_at = (m->pending_at + 1) % SMTP_PENDING_MAX;
	m->pending_n--;
	if (p.ours)
		on_ours(c, s, &p, r->code);
	else
		on_reply(c, s, &p, r->code);
}

/* Not a reply. Of the very first octets it may be that this is no SMTP. */
static void bad_reply(struct session_ctx *c, struct session *s)
{
	if (s->smtp->greeted || session_framing_policy(c, s) != POLICY_OPEN) {
		session_smtp_refuse(c, s, 1, "the server's words are no SMTP reply");
		return;
	}
	session_note(c, s, -1, "not-smtp", "framing", 0, "the stream is not SMTP: it crosses as it is");
	session_to_tunnel(c, s);
}

static bool server_eof(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[1];

	if (!tcp_half_rx_finished(&s->half[1]) || p->eof)
		return false;
	p->eof = true;
	if (session_smtp_busy(s->smtp)) {
		session_smtp_server_gone(c, s);
		return true;
	}
	tcp_half_send(&c->env, &s->half[0], &s->smtp->line);
	tcp_half_send(&c->env, &s->half[0], &p->raw);
	p->fin_passed = true;
	tcp_half_finish(&s->half[0]);
	return true;
}

static bool step_server(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[1];
	struct session_smtp *m = s->smtp;
	const struct chunk *in = tcp_half_rxq(&s->half[1])->head;
	struct smtp_event ev;

	/* What it says before it is asked about a mail that we hold is looked at when it is asked, or when it has closed: it may
	 * be 421. */
	if (session_smtp_busy(m) && !m->pending_n && in) {
		if (!tcp_half_rx_finished(&s->half[1]))
			return false;
		session_smtp_expect(m, SMTP_EXPECT_OUTCOME, true, true);
	}
	if (!in)
		return server_eof(c, s);
	if (session_room(s, 1) == 0)
		return false;
	smtp_replies_step(&m->replies, in->data, in->len, &ev);
	if (tcp_half_take(&c->env, &s->half[1], &p->raw, ev.len) != 0) {
		session_count(c, STATS_no_mbuf);
		session_abort(c, s);
		return false;
	}
	p->octets += ev.len;
	if (ev.type == SMTP_BAD)
		bad_reply(c, s);
	else if (ev.type == SMTP_LINE)
		reply_line(c, s);
	else if (p->raw.bytes > SMTP_LINE_RAW_MAX)
		session_smtp_refuse(c, s, 1, "a line of a reply is too long");
	return true;
}

bool session_smtp_replies_run(struct session_ctx *c, struct session *s)
{
	bool moved = false;

	while (s->state == SESSION_OPEN && s->pipe[1].mode == PIPE_SMTP && step_server(c, s))
		moved = true;
	return moved;
}
