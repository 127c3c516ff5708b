/* SPDX-License-Identifier: BSD-3-Clause */
/* The server's replies, and those of services. */
#include "app/app_smtp.h"

#include <string.h>
#include <strings.h>

#define ANSWER_LINE_MAX 510

void smtp_replies_init(struct smtp_replies *p)
{
	memset(p, 0, sizeof(*p));
}

bool smtp_replies_between(const struct smtp_replies *p)
{
	return !p->bad && p->number == 0 && (p->done || (p->len == 0 && !p->cr));
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* What there is of a line can be one of a reply: a code (RFC 5321 4.2), the same as before, then "-" or a space. */
static bool line_sound(const struct smtp_replies *p)
{
	const char *l = p->line;

	if (p->len >= 1 && (l[0] < '2' || l[0] > '5'))
		return false;
	if ((p->len >= 2 && !is_digit(l[1])) || (p->len >= 3 && !is_digit(l[2])))
		return false;
	if (p->len >= 3 && p->number && p->number != (l[0] - '0') * 100 + (l[1] - '0') * 10 + (l[2] - '0'))
		return false;
	return p->len < 4 || l[3] == ' ' || l[3] == '-' || l[3] == '\t';
}

static void replies_keep(struct smtp_replies *p, const uint8_t *in, uint32_t n)
{
	if (n && p->cr && p->len < SMTP_REPLY_KEPT)
		p->line[p->len++] = '\r';
	if (n)
		p->cr = false;
	if (n > SMTP_REPLY_KEPT - p->len)
		n = SMTP_REPLY_KEPT - p->len;
	memcpy(p->line + p->len, in, n);
	p->len += n;
}

void smtp_replies_step(struct smtp_replies *p, const uint8_t *in, uint32_t len, struct smtp_event *ev)
{
	const uint8_t *lf = memchr(in, '\n', len);
	uint32_t n = lf ? (uint32_t)(lf - in) : len;
	bool cr = n && in[n - 1] == '\r';

	ev->held = false;
	ev->len = lf ? n + 1 : n;
	if (p->done) {
		p->len = 0;
		p->cr = p->done = false;
	}
	if (p->cr && cr && n == 1 && p->len < SMTP_REPLY_KEPT)
		p->line[p->len++] = '\r';
	replies_keep(p, in, cr ? n - 1 : n);
	p->cr |= cr;
	if (p->bad || !line_sound(p) || (lf && p->len < 3)) {
		p->bad = true;
		ev->type = SMTP_BAD;
		return;
	}
	ev->type = lf ? SMTP_LINE : SMTP_NEED_MORE;
	if (!lf)
		return;
	p->done = true;
	p->crlf = p->cr;
	p->code = (uint16_t)((p->line[0] - '0') * 100 + (p->line[1] - '0') * 10 + (p->line[2] - '0'));
	p->first = p->number == 0;
	p->last = p->len < 4 || p->line[3] != '-';
	p->number = p->last ? 0 : p->code;
}

bool smtp_ehlo_hidden(const char *line, uint32_t len, bool tls)
{
	static const char *const words[] = {"CHUNKING", "BINARYMIME", "BURL", "XEXCH50", "STARTTLS", "X-ANONYMOUSTLS"};
	uint32_t from = 4, to;

	while (from < len && (line[from] == ' ' || line[from] == '\t'))
		from++;
	for (to = from; to < len && line[to] != ' ' && line[to] != '\t' && line[to] != '=' && line[to] != '\r';)
		to++;
	for (size_t i = 0; i < (tls ? 6 : 4); i++) {
		if (strlen(words[i]) == to - from && !strncasecmp(words[i], line + from, to - from))
			return true;
	}
	return false;
}

/* One line without its end. */
static bool answer_line(const char *l, uint32_t len, unsigned *code, bool *last)
{
	unsigned is;

	if (len < 3 || len > ANSWER_LINE_MAX || (l[0] != '2' && l[0] != '4' && l[0] != '5') || l[1] < '0' || l[1] > '5' ||
	    !is_digit(l[2]) || (len > 3 && l[3] != ' ' && l[3] != '-'))
		return false;
	is = (unsigned)(l[0] - '0') * 100 + (unsigned)(l[1] - '0') * 10 + (unsigned)(l[2] - '0');
	for (uint32_t i = 3; i < len; i++) {
		if ((unsigned char)l[i] < ' ' || l[i] == 127)
			return false;
	}
	*last = len == 3 || l[3] == ' ';
	if (*code && *code != is)
		return false;
	*code = is;
	return true;
}

int smtp_answer(const char *in, uint32_t len, char out[SMTP_ANSWER_MAX], unsigned *code)
{
	uint32_t at = 0, n = 0;
	bool last = false;

	*code = 0;
	while (at < len) {
		const char *lf = memchr(in + at, '\n', len - at);
		uint32_t end = lf ? (uint32_t)(lf - in) : len, l = end - at;

		if (l && in[end - 1] == '\r')
			l--;
		if (last || l + 2 > SMTP_ANSWER_MAX - n || !answer_line(in + at, l, code, &last))
			return -1;
		memcpy(out + n, in + at, l);
		memcpy(out + n + l, "\r\n", 2);
		n += l + 2;
		at = lf ? end + 1 : end;
	}
	return last ? (int)n : -1;
}
