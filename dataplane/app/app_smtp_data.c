/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages: dots removed on their way in, put on their way out. */
#include "app/app_smtp.h"

#include <string.h>

/*
 *                 CRLF
 *   BEGIN, TEXT -------> LINE --.--> DOT --CR--> DOT_CR --LF--> end
 *                 CR: CR                \           \--anything: the CR is text-->
 *                 LF: LF                 \--anything: that is text, the dot was stuffing-->
 */
enum data_state { S_LINE, S_TEXT, S_CR, S_LF, S_DOT, S_DOT_CR };

void smtp_data_init(struct smtp_data *p)
{
	*p = (struct smtp_data){.state = S_LINE};
}

/* State after one octet of text. */
static uint8_t text_state(uint8_t state, uint8_t c)
{
	if (c == '\r')
		return S_CR;
	if (c == '\n')
		return state == S_CR ? S_LINE : S_LF;
	return S_TEXT;
}

/* How many octets from the first on are text; the state after them. Stops before a dot that begins a line. */
static uint32_t text_run(struct smtp_data *p, const uint8_t *in, uint32_t len)
{
	uint32_t n = 0;

	while (n < len) {
		const uint8_t *lf;

		if (p->state == S_LINE && in[n] == '.')
			break;
		if (p->state == S_LF && in[n] == '.')
			p->odd++;
		if (p->state == S_LINE || p->state == S_CR || p->state == S_LF || in[n] == '\n') {
			p->state = text_state(p->state, in[n++]);
			continue;
		}
		/* Nothing before the next LF changes anything but a CR in front of it. */
		lf = memchr(in + n, '\n', len - n);
		n = lf ? (uint32_t)(lf - in) : len;
		p->state = in[n - 1] == '\r' ? S_CR : S_TEXT;
	}
	p->octets += n;
	return n;
}

void smtp_data_step(struct smtp_data *p, const uint8_t *in, uint32_t len, struct smtp_event *ev)
{
	ev->held = false;
	ev->len = 1;
	if (p->state == S_DOT_CR) {
		if (in[0] == '\n') {
			ev->type = SMTP_END;
			return;
		}
		p->odd++;
		p->state = S_CR;
		p->octets++;
		ev->held = true;
	} else if (p->state == S_DOT) {
		if (in[0] == '\r') {
			p->state = S_DOT_CR;
			ev->type = SMTP_HELD;
			return;
		}
		p->odd += in[0] == '\n';
		p->state = S_TEXT;
	} else if (p->state == S_LINE && in[0] == '.') {
		p->state = S_DOT;
		ev->type = SMTP_STUFFING;
		return;
	}
	ev->type = SMTP_TEXT;
	ev->len = text_run(p, in, len);
}

void smtp_stuff_init(struct smtp_stuff *p)
{
	p->state = S_LINE;
}

uint32_t smtp_stuff_step(struct smtp_stuff *p, const uint8_t *in, uint32_t len, bool *dot)
{
	struct smtp_data d = {.state = p->state};
	uint32_t n = text_run(&d, in, len);

	*dot = n < len;
	p->state = *dot ? S_TEXT : d.state;
	return n;
}

const char *smtp_stuff_end(const struct smtp_stuff *p)
{
	return p->state == S_LINE ? ".\r\n" : "\r\n.\r\n";
}
