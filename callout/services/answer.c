/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * answer: every message is answered with one page, whatever it says: a site that is down, a name that nobody may ask for.
 * The head is enough to decide that, so a processor that can is told to send no more (DWSR, RFC 4037 section 8.1).
 */
#include "callout/services/services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer_config {
	int status;
	char *phrase, *text;
};

static void answer_unconfigure(void *config)
{
	struct answer_config *c = config;

	if (!c)
		return;
	free(c->phrase);
	free(c->text);
	free(c);
}

static int answer_text(char **to, const char *value, struct oc_error *err)
{
	char *copy = strdup(value);

	if (!copy)
		return oc_error(err, -ENOMEM, "answer: out of memory");
	oc_unescape(copy);
	free(*to);
	*to = copy;
	return 0;
}

static int answer_option(struct answer_config *c, const struct oc_option *o, struct oc_error *err)
{
	if (strcmp(o->key, "phrase") == 0 || strcmp(o->key, "text") == 0)
		return answer_text(o->key[0] == 'p' ? &c->phrase : &c->text, o->value, err);
	if (strcmp(o->key, "status") != 0)
		return oc_error(err, -EINVAL, "answer: unknown option '%s'", o->key);
	c->status = atoi(o->value);
	if (strlen(o->value) != 3 || c->status < 200 || c->status > 599)
		return oc_error(err, -EINVAL, "answer: 'status=%s': 200 to 599 expected", o->value);
	return 0;
}

static int answer_configure(const struct oc_option *o, size_t n, void **config, struct oc_error *err)
{
	struct answer_config *c = calloc(1, sizeof(*c));
	int rc = c ? 0 : oc_error(err, -ENOMEM, "answer: out of memory");

	if (c)
		c->status = 503;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = answer_option(c, &o[i], err);
	if (rc == 0 && c->phrase && strpbrk(c->phrase, "\r\n"))
		rc = oc_error(err, -EINVAL, "answer: phrase: one line expected");
	if (rc != 0)
		answer_unconfigure(c);
	else
		*config = c;
	return rc;
}

static void answer_end(struct oc_xaction *x, void *state, bool ok)
{
	const struct answer_config *c = oc_config(x);
	struct oc_answer a = {.status = c->status, .fields = "Cache-Control: no-store\r\n"};

	if (!ok)
		return;
	a.phrase = c->phrase ? c->phrase : "Service Unavailable";
	a.body = c->text ? c->text : "<!DOCTYPE html>\n<title>Unavailable</title>\n<h1>Unavailable</h1>\n";
	a.len = strlen(a.body);
	if (oc_answer(x, &a) != 0)
		oc_refuse(x, "not a message that can be answered");
}

static int answer_start(struct oc_xaction *x, void *state, const struct oc_message *m)
{
	if (m->kind != OC_KIND_REQUEST && m->kind != OC_KIND_RESPONSE)
		return -EPROTO;
	oc_stop_receiving(x, 0); /* where there is no such thing, the message is waited for */
	return 0;
}

const struct oc_service_type service_answer = {
	.name = "answer",
	.uri = "urn:opes:service:answer",
	.summary = "answers every message with one page",
	.options = "  status=NNN     status code (503)\n"
		   "  phrase=TEXT    reason phrase (Service Unavailable)\n"
		   "  text=TEXT      the page\n",
	.configure = answer_configure,
	.unconfigure = answer_unconfigure,
	.never_refers = true,
	.prefix = true,
	.start = answer_start,
	.end = answer_end,
};
