/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's commands. */
#include "app/app_smtp.h"

#include <string.h>
#include <strings.h>

void smtp_lines_init(struct smtp_lines *p)
{
	p->len = 0;
	p->octets = 0;
	p->cut = p->bad = p->crlf = p->cr = p->done = false;
}

bool smtp_lines_between(const struct smtp_lines *p)
{
	return p->octets == 0 || p->done;
}

/* Keeps n octets of the line, as far as there is room. A CR is kept when the octet after it shows that it is text. */
static void lines_keep(struct smtp_lines *p, const uint8_t *in, uint32_t n)
{
	if (n == 0)
		return;
	if (p->cr || memchr(in, '\r', n) || memchr(in, 0, n))
		p->bad = true;
	if (p->cr && p->len < SMTP_LINE_MAX)
		p->line[p->len++] = '\r';
	p->cr = false;
	if (n > SMTP_LINE_MAX - p->len) {
		n = SMTP_LINE_MAX - p->len;
		p->cut = true;
	}
	memcpy(p->line + p->len, in, n);
	p->len += n;
}

void smtp_lines_step(struct smtp_lines *p, const uint8_t *in, uint32_t len, struct smtp_event *ev)
{
	const uint8_t *lf = memchr(in, '\n', len);
	uint32_t n = lf ? (uint32_t)(lf - in) : len;
	bool cr = n && in[n - 1] == '\r';

	if (p->done)
		smtp_lines_init(p);
	ev->held = false;
	ev->type = lf ? SMTP_LINE : SMTP_NEED_MORE;
	ev->len = lf ? n + 1 : n;
	p->octets += ev->len;
	if (p->cr && n == 1 && cr && p->len < SMTP_LINE_MAX)
		p->line[p->len++] = '\r';
	lines_keep(p, in, cr ? n - 1 : n);
	if (cr) {
		p->bad |= p->cr;
		p->cr = true;
	}
	if (!lf)
		return;
	p->crlf = p->cr;
	p->done = true;
}

static const struct {
	const char *word;
	enum smtp_verb verb;
} verbs[] = {
	{"EHLO", SMTP_EHLO}, {"HELO", SMTP_HELO}, {"LHLO", SMTP_LHLO}, {"MAIL", SMTP_MAIL},
	{"RCPT", SMTP_RCPT}, {"DATA", SMTP_DATA}, {"BDAT", SMTP_BDAT}, {"BURL", SMTP_BURL},
	{"RSET", SMTP_RSET}, {"NOOP", SMTP_NOOP}, {"QUIT", SMTP_QUIT}, {"VRFY", SMTP_VRFY},
	{"EXPN", SMTP_EXPN}, {"HELP", SMTP_HELP}, {"AUTH", SMTP_AUTH}, {"STARTTLS", SMTP_STARTTLS},
	{"TURN", SMTP_TURN}, {"ATRN", SMTP_TURN}, {"XCLIENT", SMTP_XCLIENT}, {"XEXCH50", SMTP_XEXCH50},
	{"X-ANONYMOUSTLS", SMTP_STARTTLS},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r' || c == '\0';
}

enum smtp_verb smtp_verb(const char *line, uint32_t len, uint32_t *args)
{
	uint32_t from = 0, to;

	while (from < len && is_blank(line[from]))
		from++;
	for (to = from; to < len && !is_blank(line[to]);)
		to++;
	*args = to;
	while (*args < len && is_blank(line[*args]))
		(*args)++;
	for (size_t i = 0; i < VERBS; i++) {
		if (strlen(verbs[i].word) == to - from && !strncasecmp(verbs[i].word, line + from, to - from))
			return verbs[i].verb;
	}
	return SMTP_OTHER;
}

const char *smtp_verb_name(enum smtp_verb v)
{
	for (size_t i = 0; i < VERBS; i++) {
		if (verbs[i].verb == v)
			return verbs[i].word;
	}
	return "command";
}

bool smtp_begins(const uint8_t *in, uint32_t n)
{
	if (n > 4)
		n = 4;
	for (size_t i = 0; i < VERBS; i++) {
		if (verbs[i].verb != SMTP_LHLO && !strncasecmp(verbs[i].word, (const char *)in, n))
			return true;
	}
	return !strncasecmp("ETRN", (const char *)in, n) || !strncasecmp("XFOR", (const char *)in, n);
}

static void trim(const char *line, struct smtp_span *s)
{
	while (s->len && is_blank(line[s->off])) {
		s->off++;
		s->len--;
	}
	while (s->len && is_blank(line[s->off + s->len - 1]))
		s->len--;
}

/* Where the path that begins at from ends: behind its closing bracket, or before the white space after it; quoted strings
 * may hold both. */
static uint32_t path_end(const char *line, uint32_t len, uint32_t from)
{
	bool bracket = from < len && line[from] == '<', quoted = false;
	uint32_t i = from;

	for (; i < len; i++) {
		if (line[i] == '\\' && i + 1 < len)
			i++;
		else if (line[i] == '"')
			quoted = !quoted;
		else if (!quoted && bracket && line[i] == '>')
			return i + 1;
		else if (!quoted && !bracket && is_blank(line[i]))
			return i;
	}
	return len;
}

void smtp_path(const char *line, uint32_t len, uint32_t args, struct smtp_span *path, struct smtp_span *address,
	       struct smtp_span *params)
{
	uint32_t from = args, end;
	const char *colon;

	while (from < len && line[from] != ':' && line[from] != '<')
		from++;
	if (from < len && line[from] == ':')
		from++;
	else
		from = args;
	while (from < len && is_blank(line[from]))
		from++;
	end = path_end(line, len, from);
	*path = (struct smtp_span){from, end - from};
	*params = (struct smtp_span){end, len - end};
	trim(line, params);
	*address = *path;
	if (address->len >= 2 && line[from] == '<' && line[end - 1] == '>') {
		address->off++;
		address->len -= 2;
		if (address->len && line[address->off] == '@' &&
		    (colon = memchr(line + address->off, ':', address->len)) != NULL) {
			uint32_t route = (uint32_t)(colon + 1 - (line + address->off));

			address->off += route;
			address->len -= route;
		}
	}
	trim(line, address);
}

bool smtp_bdat_size(const char *line, uint32_t len, uint32_t args, uint64_t *size)
{
	uint32_t i = args;

	*size = 0;
	for (; i < len && line[i] >= '0' && line[i] <= '9'; i++) {
		if (*size > (UINT64_MAX >> 8))
			return false;
		*size = *size * 10 + (uint64_t)(line[i] - '0');
	}
	return i > args && (i == len || is_blank(line[i]));
}
