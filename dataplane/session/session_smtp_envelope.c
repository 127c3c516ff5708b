/* SPDX-License-Identifier: BSD-3-Clause */
/* Whom a mail is from and to: kept for rules and for meta-data. */
#include "session_smtp.h"

#include <stdio.h>
#include <string.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Meta-data has no control characters (ocp-wire.md section 5). */
static char printable(char c)
{
	return (unsigned char)c < ' ' || c == 127 ? '?' : c;
}

bool session_smtp_address(struct session_smtp *m, bool sender, uint16_t *index)
{
	const struct smtp_lines *l = &m->lines;
	struct smtp_address *a = &m->address[m->naddresses];
	struct smtp_span path, address, params;
	bool bare;
	char *to;

	smtp_path(l->line, l->len, m->args, &path, &address, &params);
	bare = path.len == 0 || l->line[path.off] != '<';
	if (m->naddresses == SMTP_ADDRESSES_MAX || path.len + params.len + 3 > SMTP_ADDRESS_MAX ||
	    SMTP_ENVELOPE_TEXT - m->text_len < path.len + params.len + 3 + RTE_MAX(address.len, 2u))
		return false;
	*a = (struct smtp_address){.at = m->text_len, .sender = sender};
	to = m->text + m->text_len;
	if (bare)
		*to++ = '<';
	for (uint32_t i = 0; i < path.len; i++)
		*to++ = printable(l->line[path.off + i]);
	if (bare)
		*to++ = '>';
	if (params.len)
		*to++ = ' ';
	for (uint32_t i = 0; i < params.len; i++)
		*to++ = printable(l->line[params.off + i]);
	a->len = (uint16_t)(to - m->text - m->text_len);
	for (uint32_t i = 0; i < address.len; i++)
		*to++ = lower(l->line[address.off + i]);
	if (!address.len) {
		memcpy(to, "<>", 2);
		to += 2;
	}
	a->lower_len = (uint16_t)(to - m->text - m->text_len - a->len);
	m->text_len = (uint32_t)(to - m->text);
	*index = (uint16_t)m->naddresses++;
	return true;
}

void session_smtp_settle(struct session_smtp *m, uint16_t index, bool accepted)
{
	m->address[index].accepted = accepted;
	if (accepted && m->address[index].sender) {
		/* A sender begins an envelope. */
		for (uint16_t i = 0; i < index; i++)
			m->address[i].accepted = false;
	}
	if (!accepted && index + 1u == m->naddresses) {
		m->naddresses--;
		m->text_len = m->address[index].at;
	}
}

void session_smtp_forget(struct session_smtp *m)
{
	m->naddresses = m->text_len = 0;
}

bool session_smtp_has_recipient(const struct session_smtp *m)
{
	for (uint32_t i = 0; i < m->naddresses; i++) {
		if (m->address[i].accepted && !m->address[i].sender)
			return true;
	}
	return false;
}

static bool field(const void *ctx, uint32_t i, const char **name, uint32_t *name_len, const char **value,
		  uint32_t *value_len)
{
	static const char *const names[] = {POLICY_FIELD_RECIPIENT, POLICY_FIELD_SENDER};
	const struct session_smtp *m = ctx;
	const struct smtp_address *a = &m->address[i];

	if (i >= m->naddresses)
		return false;
	*name = a->accepted ? names[a->sender] : ":";
	*name_len = (uint32_t)strlen(*name);
	*value = m->text + a->at + a->len;
	*value_len = a->lower_len;
	return true;
}

int32_t session_smtp_match(struct session_ctx *c, struct session *s)
{
	struct policy_message msg = {.kind = POLICY_KIND_REQUEST, .field = field, .ctx = s->smtp};

	return session_match(c, s, &msg);
}

struct text {
	char *out;
	uint32_t cap, n;
};

/* A whole line or nothing of it. */
static bool put_line(struct text *t, const char *name, const char *value, uint32_t len)
{
	uint32_t name_len = (uint32_t)strlen(name);

	if (name_len + len + 4 > t->cap - t->n)
		return false;
	memcpy(t->out + t->n, name, name_len);
	memcpy(t->out + t->n + name_len, ": ", 2);
	memcpy(t->out + t->n + name_len + 2, value, len);
	memcpy(t->out + t->n + name_len + 2 + len, "\r\n", 2);
	t->n += name_len + len + 4;
	return true;
}

static bool put_number(struct text *t, const char *name, uint32_t v)
{
	char digits[12];

	return put_line(t, name, digits, (uint32_t)snprintf(digits, sizeof(digits), "%u", v));
}

uint32_t session_smtp_meta(struct session_ctx *c, const struct session *s, const char *rule, bool observe, char *out,
			   uint32_t cap)
{
	static const char omitted[] = "Rcpt-Omitted: 255\r\n"; /* room for it is kept */
	const struct session_smtp *m = s->smtp;
	struct text t = {out, cap - (uint32_t)sizeof(omitted), 0};
	uint32_t recipients = 0, left = 0;
	bool full = false;

	t.n = session_meta(s, 0, "SMTP", "request", rule, observe, out, t.cap);
	if (m->helo[0])
		put_line(&t, "Helo", m->helo, (uint32_t)strlen(m->helo));
	for (uint32_t i = 0; i < m->naddresses; i++) {
		const struct smtp_address *a = &m->address[i];

		if (a->accepted && a->sender)
			put_line(&t, "Mail-From", m->text + a->at, a->len);
		recipients += a->accepted && !a->sender;
	}
	put_number(&t, "Recipients", recipients);
	for (uint32_t i = 0; i < m->naddresses; i++) {
		const struct smtp_address *a = &m->address[i];

		if (!a->accepted || a->sender)
			continue;
		full = full || !put_line(&t, "Rcpt-To", m->text + a->at, a->len);
		left += full;
	}
	t.cap = cap;
	if (left) {
		put_number(&t, "Rcpt-Omitted", left);
		c->counter[STATS_smtp_rcpt_omitted] += left;
	}
	return t.n;
}
