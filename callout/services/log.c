/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log: one line per message, and nothing else.
 *
 * A processor that only lets us observe expects nothing back; one that adapts takes silence for "forward nothing". It
 * tells which by the meta-data line `Action: observe`; `returns=yes|no` decides without it. In doubt the octets are
 * returned, by reference where they are preserved.
 */
#include "callout/services/services.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOG_FIRST 512 /* octets of the first line that are shown */

enum log_returns { LOG_AUTO, LOG_YES, LOG_NO };

struct log_config {
	enum log_returns returns;
};

struct log_first { /* a first line */
	uint32_t len;
	bool done;
	char text[LOG_FIRST];
};

struct log_state {
	uint64_t octets;
	bool returns;
	struct log_first first;
	struct log_first request; /* of the response; comes as an auxiliary part when it was asked for */
};

struct service_log_output service_log_output;

static int log_configure(const struct oc_option *o, size_t n, void **config, struct oc_error *err)
{
	struct log_config *c = calloc(1, sizeof(*c));

	if (!c)
		return oc_error(err, -ENOMEM, "log: out of memory");
	for (size_t i = 0; i < n; i++) {
		if (strcmp(o[i].key, "returns") == 0 && strcmp(o[i].value, "auto") == 0)
			c->returns = LOG_AUTO;
		else if (strcmp(o[i].key, "returns") == 0 && strcmp(o[i].value, "yes") == 0)
			c->returns = LOG_YES;
		else if (strcmp(o[i].key, "returns") == 0 && strcmp(o[i].value, "no") == 0)
			c->returns = LOG_NO;
		else {
			free(c);
			return oc_error(err, -EINVAL, "log: bad option '%s=%s'", o[i].key, o[i].value);
		}
	}
	*config = c;
	return 0;
}

/* A mail begins with no line that tells what it is: its envelope does. */
static void log_envelope(struct oc_xaction *x, struct log_state *s)
{
	struct oc_str from = oc_str("<>"), to = oc_str("-");
	int n;

	oc_meta(x, "Mail-From", &from);
	oc_meta(x, "Rcpt-To", &to);
	n = snprintf(s->first.text, sizeof(s->first.text), "MAIL FROM:%.*s RCPT TO:%.*s", (int)from.len, from.p, (int)to.len, to.p);
	s->first.len = n < LOG_FIRST ? (uint32_t)n : LOG_FIRST - 1;
	s->first.done = true;
}

static int log_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	const struct log_config *c = oc_config(x);
	struct log_state *s = state;
	struct oc_adapted a = OC_ADAPTED_INIT;
	struct oc_str action, protocol;

	if (oc_meta(x, "Protocol", &protocol) && oc_str_eq(protocol, "SMTP"))
		log_envelope(x, s);
	s->returns = c->returns == LOG_YES ||
		     (c->returns == LOG_AUTO && !(oc_meta(x, "Action", &action) && oc_str_eq(action, "observe")));
	if (!s->returns)
		return 0;
	a.sizep = m->sizep;
	a.body = m->body;
	a.modp = 0;
	return oc_start_adapted(x, &a);
}

static void log_first(struct log_first *f, const struct oc_data *d)
{
	for (size_t i = 0; i < d->len && !f->done && oc_part_is_header(d->part); i++) {
		if (d->bytes[i] == '\n' || f->len == LOG_FIRST)
			f->done = true;
		else if (d->bytes[i] != '\r')
			f->text[f->len++] = (char)d->bytes[i];
	}
}

static void log_data(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	struct log_state *s = state;

	log_first(&s->first, d);
	s->octets += d->len;
	if (s->returns)
		oc_forward(x, d->part, d->offset, d->bytes, d->len);
}

static void log_aux(struct oc_xaction *x, void *state, const struct oc_data *d)
{
	log_first(&((struct log_state *)state)->request, d);
}

/* Others choose these octets: only printable ASCII is shown as it is. */
static void log_text(FILE *f, const char *p, size_t len, bool json)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)p[i];

		if (ch < 0x20 || ch >= 0x7f)
			fprintf(f, json ? "\\u%04x" : "\\x%02x", ch);
		else if (ch == '"' || ch == '\\')
			fprintf(f, "\\%c", ch);
		else
			putc(ch, f);
	}
}

static void log_field(FILE *f, const char *name, const char *p, size_t len, bool json)
{
	if (json)
		fprintf(f, ",\"%s\":\"", name);
	else
		fprintf(f, name[0] == 'f' ? " \"" : " ");
	if (!json && !len)
		putc('-', f);
	log_text(f, p, len, json);
	if (json || name[0] == 'f')
		putc('"', f);
}

static void log_line(struct oc_xaction *x, const struct log_state *s, bool ok)
{
	FILE *f = service_log_output.to ? service_log_output.to : stdout;
	bool json = service_log_output.json;
	const char *kind = oc_kind_name(oc_message(x)->kind);
	struct oc_str source = oc_str(NULL), destination = oc_str(NULL);
	struct timespec ts;
	struct tm tm;
	char when[40];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	oc_meta(x, "Source", &source);
	oc_meta(x, "Destination", &destination);
	fprintf(f, json ? "{\"time\":\"%s.%03ldZ\"" : "%s.%03ldZ", when, ts.tv_nsec / 1000000);
	log_field(f, "kind", kind, strlen(kind), json);
	log_field(f, "source", source.p, source.len, json);
	log_field(f, "destination", destination.p, destination.len, json);
	log_field(f, "first", s->first.text, s->first.len, json);
	if (s->request.len)
		log_field(f, "for", s->request.text, s->request.len, json);
	fprintf(f, json ? ",\"octets\":%" PRIu64 ",\"complete\":%s}\n" : " %" PRIu64 "%s\n", s->octets,
		json ? ok ? "true" : "false" : ok ? "" : " incomplete");
	fflush(f);
}

static void log_end(struct oc_xaction *x, void *state, bool ok)
{
	log_line(x, state, ok);
	((struct log_state *)state)->octets = UINT64_MAX; /* printed */
	if (ok)
		oc_end(x);
}

static void log_close(struct oc_xaction *x, void *state, enum oc_close how)
{
	const struct log_state *s = state;

	if (oc_message(x) && s->octets != UINT64_MAX)
		log_line(x, s, false);
}

const struct oc_service_type service_log = {
	.name = "log",
	.uri = "urn:opes:service:log",
	.summary = "prints one line per message and changes nothing",
	.options = "  returns=auto|yes|no  whether the octets go back to the processor (auto: unless it observes)\n",
	.state_size = sizeof(struct log_state),
	.configure = log_configure,
	.unconfigure = free,
	.start = log_start,
	.data = log_data,
	.aux = log_aux,
	.end = log_end,
	.close = log_close,
};
