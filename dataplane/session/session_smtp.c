/* SPDX-License-Identifier: BSD-3-Clause */
/* SMTP: the client's commands. */
#include "session_smtp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int session_smtp_create(struct session_ctx *c)
{
	/* Touched only when used: the address space is the limit, not the memory. */
	struct session_smtp *m = c->smtp_slab = calloc(SMTP_FLOWS_MAX, sizeof(*m));

	c->smtp_scratch = malloc(SMTP_SCRATCH);
	if (!m || !c->smtp_scratch)
		return -ENOMEM;
	for (uint32_t i = SMTP_FLOWS_MAX; i-- > 0;) {
		m[i].next = c->free_smtps;
		c->free_smtps = &m[i];
	}
	return 0;
}

void session_smtp_destroy(struct session_ctx *c)
{
	free(c->smtp_slab);
	free(c->smtp_scratch);
}

static struct session_smtp *take(struct session_ctx *c)
{
	struct session_smtp *m = c->free_smtps;

	if (!m)
		return NULL;
	c->free_smtps = m->next;
	memset(m, 0, offsetof(struct session_smtp, address));
	smtp_lines_init(&m->lines);
	smtp_replies_init(&m->replies);
	session_smtp_expect(m, SMTP_EXPECT_GREETING, false, true);
	return m;
}

void session_smtp_free(struct session_ctx *c, struct session_smtp *m)
{
	if (!m)
		return;
	chunkq_purge(&c->pool, &m->outcome);
	chunkq_purge(&c->pool, &m->line);
	m->next = c->free_smtps;
	c->free_smtps = m;
}

bool session_smtp_quiet(const struct session_smtp *m)
{
	return !m || (m->phase == SMTP_COMMANDS && m->pending_n == 0 && smtp_lines_between(&m->lines) &&
		      smtp_replies_between(&m->replies) && chunkq_empty(&m->line));
}

void session_smtp_expect(struct session_smtp *m, uint8_t what, bool ours, bool wait)
{
	struct smtp_pending *p = &m->pending[(m->pending_at + m->pending_n++) % SMTP_PENDING_MAX];

	*p = (struct smtp_pending){.what = what, .ours = ours, .wait = wait};
}

static void no_memory(struct session_ctx *c, struct session *s)
{
	session_count(c, STATS_no_mbuf);
	session_note(c, s, session_rule(c, &s->pipe[0]), "no-memory", "overload", UINT64_MAX, "no packet buffer for a line");
	session_abort(c, s);
}

static void to_side(struct session_ctx *c, struct session *s, unsigned side, const char *line)
{
	struct chunkq q;

	chunkq_init(&q);
	if (chunkq_put(&c->pool, &q, line, (uint32_t)strlen(line)) != 0 || chunkq_put(&c->pool, &q, "\r\n", 2) != 0) {
		chunkq_purge(&c->pool, &q);
		no_memory(c, s);
		return;
	}
	tcp_half_send(&c->env, &s->half[side], &q);
}

void session_smtp_to_server(struct session_ctx *c, struct session *s, const char *line)
{
	to_side(c, s, 1, line);
}

void session_smtp_to_client(struct session_ctx *c, struct session *s, const char *line)
{
	to_side(c, s, 0, line);
}

bool session_smtp_whole_line(struct session_ctx *c, struct session *s, struct chunkq *q, bool crlf)
{
	struct chunkq line;

	if (crlf)
		return true;
	chunkq_init(&line);
	if (chunkq_move(&c->pool, &line, q, q->bytes - 1) != 0 || chunkq_put(&c->pool, &line, "\r\n", 2) != 0) {
		chunkq_purge(&c->pool, &line);
		no_memory(c, s);
		return false;
	}
	chunkq_purge(&c->pool, q);
	chunkq_append(q, &line);
	return true;
}

void session_smtp_pass_line(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q, bool crlf)
{
	if (session_smtp_whole_line(c, s, q, crlf))
		tcp_half_send(&c->env, &s->half[!d], q);
}

void session_smtp_refuse(struct session_ctx *c, struct session *s, unsigned d, const char *why)
{
	session_count(c, STATS_msg_refused);
	session_note(c, s, session_rule(c, &s->pipe[0]), "message-refused", "framing", s->pipe[d].octets, why);
	session_abort(c, s);
}

/* The command is not the server's to see. Nothing before it waits for a reply. */
static void refuse_command(struct session_ctx *c, struct session *s, const char *reply)
{
	session_count(c, STATS_smtp_command_refused);
	chunkq_purge(&c->pool, &s->pipe[0].raw);
	s->smtp->phase = SMTP_COMMANDS;
	session_smtp_to_client(c, s, reply);
}

/* What may follow is anything, or the command changes what the commands before it mean. */
static bool waits_after(enum smtp_verb v)
{
	switch (v) {
	case SMTP_MAIL:
	case SMTP_RCPT:
	case SMTP_NOOP:
	case SMTP_VRFY:
	case SMTP_EXPN:
	case SMTP_HELP:
		return false;
	default:
		return true;
	}
}

static void pass_command(struct session_ctx *c, struct session *s, enum smtp_verb v)
{
	struct session_smtp *m = s->smtp;
	uint16_t address = 0;

	if (v == SMTP_EHLO || v == SMTP_HELO) {
		uint32_t n = RTE_MIN(m->lines.len - m->args, (uint32_t)sizeof(m->helo_next) - 1);

		for (uint32_t i = 0; i < n; i++) {
			unsigned char ch = (unsigned char)m->lines.line[m->args + i];

			m->helo_next[i] = ch < ' ' || ch == 127 ? '?' : (char)ch;
		}
		m->helo_next[n] = 0;
	}
	if ((v == SMTP_MAIL || v == SMTP_RCPT) && !session_smtp_address(m, v == SMTP_MAIL, &address)) {
		/* Shorter than what is kept of a line, so there were many before it (4.5.3.1.10). */
		refuse_command(c, s, m->lines.len > SMTP_ADDRESS_MAX ? "500 5.5.2 The address is too long" :
							    "452 4.5.3 Too many recipients");
		return;
	}
	m->phase = SMTP_COMMANDS;
	session_smtp_expect(m, (uint8_t)v, false, waits_after(v));
	m->pending[(m->pending_at + m->pending_n - 1) % SMTP_PENDING_MAX].address = address;
	session_smtp_pass_line(c, s, 0, &s->pipe[0].raw, m->lines.crlf);
}

static void bdat(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	bool sized = smtp_bdat_size(m->lines.line, m->lines.len, m->args, &m->skip);

	refuse_command(c, s, sized ? "502 5.5.1 CHUNKING is not offered here" : "501 5.5.4 BDAT without a size");
	if (sized && m->skip)
		m->phase = SMTP_SKIPPING;
}

/* Needs an answer of ours, or all that was said before it. */
static bool held_back(const struct session_smtp *m, enum smtp_verb v)
{
	switch (v) {
	case SMTP_DATA:
	case SMTP_BDAT:
	case SMTP_BURL:
	case SMTP_XEXCH50:
	case SMTP_LHLO:
	case SMTP_TURN:
	case SMTP_STARTTLS:
		return true;
	case SMTP_MAIL:
	case SMTP_RCPT:
		return m->lines.bad || m->lines.cut || m->lines.len > SMTP_ADDRESS_MAX || m->naddresses == SMTP_ADDRESSES_MAX ||
		       m->text_len > SMTP_ENVELOPE_TEXT - 2 * SMTP_ADDRESS_MAX - 8;
	case SMTP_AUTH:
		return m->lines.bad; /* its argument may be longer than what is kept: RFC 4954 4 */
	default:
		return m->lines.bad || m->lines.cut;
	}
}

/* A command that was held back, and all before it has been answered. */
static void act(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;

	if (m->lines.bad) {
		refuse_command(c, s, "500 5.5.2 A command holds a CR or a NUL");
		return;
	}
	if (m->lines.cut) { /* a server might take its rest for another command */
		refuse_command(c, s, "500 5.5.2 The line is too long");
		return;
	}
	switch ((enum smtp_verb)m->verb) {
	case SMTP_DATA:
		if (m->args < m->lines.len)
			refuse_command(c, s, "501 5.5.4 DATA takes no argument");
		else
			session_smtp_data(c, s);
		break;
	case SMTP_BDAT:
		bdat(c, s);
		break;
	case SMTP_MAIL:
	case SMTP_RCPT:
		pass_command(c, s, (enum smtp_verb)m->verb);
		break;
	case SMTP_STARTTLS:
		if (m->strip)
			refuse_command(c, s, "502 5.5.1 STARTTLS is not offered here");
		else
			pass_command(c, s, SMTP_STARTTLS);
		break;
	default:
		refuse_command(c, s, "502 5.5.1 The command is not offered here");
		break;
	}
}

static void command(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	enum smtp_verb v;

	if (m->phase == SMTP_CONTINUED) {
		m->phase = SMTP_COMMANDS;
		session_smtp_expect(m, SMTP_AUTH, false, true);
		session_smtp_pass_line(c, s, 0, &s->pipe[0].raw, m->lines.crlf);
		return;
	}
	v = smtp_verb(m->lines.line, m->lines.len, &m->args);
	m->verb = (uint8_t)v;
	if (held_back(m, v))
		m->phase = SMTP_HELD_BACK;
	else
		pass_command(c, s, v);
}

/* The last command must be answered before more is read, or the list is full; a place stays free for words of ours. */
static bool must_wait(const struct session_smtp *m)
{
	return m->pending_n >= SMTP_PENDING_MAX - 2 ||
	       (m->pending_n && m->pending[(m->pending_at + m->pending_n - 1) % SMTP_PENDING_MAX].wait);
}

/* The client speaks first: nothing goes on before the server's greeting, unless this is no SMTP. */
static bool other_protocol(struct session_ctx *c, struct session *s, const struct chunk *in)
{
	if (s->smtp->greeted || s->pipe[1].octets || smtp_begins(in->data, in->len))
		return false;
	if (session_framing_policy(c, s) != POLICY_OPEN) {
		session_smtp_refuse(c, s, 0, "the client's first words are no SMTP command");
		return true;
	}
	session_note(c, s, -1, "not-smtp", "framing", 0, "the stream is not SMTP: it crosses as it is");
	session_to_tunnel(c, s);
	return true;
}

static bool take_octets(struct session_ctx *c, struct session *s, struct chunkq *q, uint64_t n)
{
	struct session_pipe *p = &s->pipe[0];

	if (tcp_half_take(&c->env, &s->half[0], q, n) != 0) {
		no_memory(c, s);
		return false;
	}
	p->octets += n;
	return true;
}

static bool step_command(struct session_ctx *c, struct session *s, const struct chunk *in)
{
	struct session_pipe *p = &s->pipe[0];
	struct session_smtp *m = s->smtp;
	struct smtp_event ev;

	if (!m->greeted && other_protocol(c, s, in))
		return true;
	if (must_wait(m) || session_room(s, 0) == 0)
		return false;
	smtp_lines_step(&m->lines, in->data, in->len, &ev);
	if (!take_octets(c, s, &p->raw, ev.len))
		return false;
	if (ev.type == SMTP_LINE)
		command(c, s);
	else if (p->raw.bytes > SMTP_LINE_RAW_MAX)
		session_smtp_refuse(c, s, 0, "a line of a command is too long");
	return true;
}

static bool skip(struct session_ctx *c, struct session *s, const struct chunk *in)
{
	struct session_smtp *m = s->smtp;
	uint64_t n = RTE_MIN(m->skip, (uint64_t)in->len);
	struct chunkq q;

	chunkq_init(&q);
	if (!take_octets(c, s, &q, n))
		return false;
	chunkq_purge(&c->pool, &q);
	m->skip -= n;
	if (!m->skip)
		m->phase = SMTP_COMMANDS;
	return true;
}

/* The client has ended its stream. */
static bool client_eof(struct session_ctx *c, struct session *s)
{
	struct session_pipe *p = &s->pipe[0];
	struct session_smtp *m = s->smtp;

	if (!tcp_half_rx_finished(&s->half[0]) || p->eof || m->phase == SMTP_HELD_BACK || m->phase == SMTP_AFTER)
		return false;
	if (m->phase == SMTP_ADAPTING || m->phase == SMTP_DROPPING) { /* INV-SMTP-1 */
		session_count(c, STATS_smtp_aborted);
		session_note(c, s, session_rule(c, p), "message-cut", "framing", m->data.octets,
			     "the client ended its stream inside a mail: nothing of it is delivered");
		session_abort(c, s);
		return false;
	}
	if (p->observer) {
		adapt_feed_end(p->observer, false);
		adapt_release(p->observer, true);
		p->observer = NULL;
	}
	p->eof = p->fin_passed = true;
	tcp_half_send(&c->env, &s->half[1], &p->raw);
	tcp_half_finish(&s->half[1]);
	return true;
}

static bool step_client(struct session_ctx *c, struct session *s)
{
	struct session_smtp *m = s->smtp;
	const struct chunk *in = tcp_half_rxq(&s->half[0])->head;

	if (m->phase == SMTP_HELD_BACK && m->pending_n == 0 && session_room(s, 0)) {
		act(c, s);
		return !s->starved;
	}
	if (m->phase == SMTP_HELD_BACK || m->phase == SMTP_AFTER)
		return false;
	if (!in)
		return client_eof(c, s);
	switch (m->phase) {
	case SMTP_COMMANDS:
	case SMTP_CONTINUED:
		return step_command(c, s, in);
	case SMTP_SKIPPING:
		return skip(c, s, in);
	default:
		return session_smtp_message(c, s);
	}
}

/* False: there is none, and what is to become of the flow was decided. */
static bool state_of(struct session_ctx *c, struct session *s)
{
	if (s->smtp)
		return true;
	s->smtp = take(c);
	if (s->smtp)
		return true;
	session_note(c, s, s->info.sel.first, "no-memory", "overload", UINT64_MAX, "too many SMTP flows at a time");
	if (session_framing_policy(c, s) == POLICY_OPEN)
		session_to_tunnel(c, s);
	else
		session_abort(c, s);
	return false;
}

bool session_smtp_run(struct session_ctx *c, struct session *s, unsigned d)
{
	bool moved = false;

	if (!state_of(c, s))
		return true;
	if (d == 1)
		return session_smtp_replies_run(c, s);
	while (s->state == SESSION_OPEN && s->pipe[0].mode == PIPE_SMTP) {
		if (s->pipe[0].adapt || s->pipe[0].observer)
			session_smtp_pump(c, s);
		if (s->state != SESSION_OPEN || s->pipe[0].mode != PIPE_SMTP || !step_client(c, s))
			break;
		moved = true;
	}
	return moved;
}
