/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a mail and a refusal say of the system that had a hand in it (RFC 3897 section 3; RFC 4902 section 5 asks for both).
 * A mail gets trace fields in front of all others, as mail servers add theirs (RFC 5321 4.4); a reply of ours, or of
 * a service, one more line.
 */
#include "session_smtp.h"

#include <string.h>

#define FOLD_AT 60

static const struct policy_opes *traced(const struct session_ctx *c)
{
	const struct policy_image *img = session_image(c);
	const struct policy_opes *o = img ? policy_image_opes(img) : NULL;

	return o && adapt_trace_on(o) ? o : NULL;
}

/* A field with its end, folded before parameters (RFC 5322 2.2.3): the longest parameter is shorter than a line may be. */
static uint32_t put_field(char *out, const char *name, const char *entry, uint32_t len)
{
	uint32_t n = (uint32_t)strlen(name), line = 0;
	bool quoted = false;

	memcpy(out, name, n);
	for (uint32_t i = 0; i < len; i++) {
		quoted ^= entry[i] == '"';
		if (entry[i] == ';' && !quoted && n - line > FOLD_AT) {
			memcpy(out + n, "\r\n ", 3);
			n += 3;
			line = n;
		}
		out[n++] = entry[i];
	}
	memcpy(out + n, "\r\n", 2);
	return n + 2;
}

uint32_t session_smtp_trace(const struct session_ctx *c, const struct adapt *a, char out[SMTP_TRACE_MAX])
{
	const struct policy_opes *o = traced(c);
	struct adapt_trace_entry e = {.part = a->end_called && a->cause != CALLOUT_CAUSE_NONE ? ADAPT_TRACE_FAILED
											      : ADAPT_TRACE_SERVICE};
	char entry[ADAPT_TRACE_ENTRY_MAX];
	uint32_t len, n;

	if (!o)
		return 0;
	e.service = policy_image_service(a->image, a->rule->service)->uri;
	len = adapt_trace_entry(o, &e, entry);
	n = put_field(out, "OPES-System: ", entry, len);
	if (o->via == POLICY_VIA_ALWAYS)
		n += put_field(out + n, "OPES-Via: ", entry, len);
	return n;
}

/* Octets of an enhanced status code (RFC 3463) and the space behind it, 0: there is none. */
static uint32_t enhanced(const char *text, uint32_t len)
{
	uint32_t n = 0;

	while (n < len && ((text[n] >= '0' && text[n] <= '9') || text[n] == '.'))
		n++;
	return n >= 5 && n < len && text[1] == '.' && text[n] == ' ' ? n + 1 : 0;
}

uint32_t session_smtp_trace_reply(const struct session_ctx *c, char *reply, uint32_t len, uint32_t cap)
{
	static const char name[] = "OPES-System: ";
	const struct policy_opes *o = traced(c);
	uint32_t uri = o ? (uint32_t)strlen(o->system_uri) : 0, last = len - 2, code, need;

	if (!o)
		return len;
	while (last > 0 && reply[last - 1] != '\n')
		last--;
	code = len - last > 6 ? 4 + enhanced(reply + last + 4, len - last - 6) : 4;
	need = code + (uint32_t)sizeof(name) - 1 + uri + 2;
	if (len - last < 6 || need > cap - len)
		return len;
	reply[last + 3] = '-';
	memcpy(reply + len, reply + last, code);
	reply[len + 3] = ' ';
	memcpy(reply + len + code, name, sizeof(name) - 1);
	memcpy(reply + len + code + sizeof(name) - 1, o->system_uri, uri);
	memcpy(reply + len + need - 2, "\r\n", 2);
	return len + need;
}
