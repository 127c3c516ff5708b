/* SPDX-License-Identifier: BSD-3-Clause */
/* Trace entries of messages that no service writes: forwarded ones, where the operator wants it, and our own answers. Those
 * of adapted messages are adapt's (adapt/adapt_trace.h). */
#include "session_priv.h"

#include <string.h>

static const struct policy_rule *rule_of(const struct session_ctx *c, const struct session_pipe *p)
{
	return p->rule < 0 ? NULL : policy_image_rule(session_image(c), (uint32_t)p->rule);
}

bool session_traced(const struct session_ctx *c, const struct session *s, unsigned d)
{
	const struct session_pipe *p = &s->pipe[d];
	const struct policy_opes *o = session_image(c) ? policy_image_opes(session_image(c)) : NULL;
	const struct policy_rule *r;

	if (p->mode != PIPE_FRAMED || !o || !adapt_trace_on(o) || p->unmatched || p->interim)
		return false;
	r = rule_of(c, p);
	if (r && (policy_passes(r->action) || r->action == POLICY_BLOCK))
		return false;
	return o->trace == POLICY_TRACE_ALL || (r && r->action == POLICY_ADAPT && !p->bypassed);
}

static struct adapt_trace_entry entry_of(const struct session_ctx *c, const struct session_pipe *p)
{
	const struct policy_rule *r = rule_of(c, p);
	struct adapt_trace_entry e = {ADAPT_TRACE_NONE, (enum adapt_trace_why)p->not_bypassed, NULL};

	if (!r || r->service == UINT32_MAX)
		return e;
	e.service = policy_image_service(session_image(c), r->service)->uri;
	e.part = p->bypassed ? ADAPT_TRACE_BYPASSED : p->observer ? ADAPT_TRACE_OBSERVED : ADAPT_TRACE_FAILED;
	return e;
}

bool session_trace_refused(struct session_ctx *c, struct session *s, unsigned d)
{
	static const char why[] = "the trace of OPES systems in its head is too long";
	struct session_pipe *p = &s->pipe[d];
	const struct policy_opes *o;

	if (!session_traced(c, s, d))
		return false;
	o = policy_image_opes(session_image(c));
	if (o->overflow != POLICY_TRACE_REFUSE || !adapt_trace_too_long(o, &p->framer->http.head, ADAPT_TRACE_ENTRY_MAX))
		return false;
	session_count(c, STATS_trace_refused);
	session_note(c, s, p->rule, "trace-refused", "trace-limit", UINT64_MAX, why);
	p->route = ROUTE_DROP;
	session_answer(c, s, d, d == 0 ? 431 : 502, why, false);
	return true;
}

void session_trace_forwarded(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q)
{
	const struct http1_head *h = &s->pipe[d].framer->http.head;
	struct adapt_trace_entry e = entry_of(c, &s->pipe[d]);
	struct adapt_trace t;
	struct chunkq written;
	int n;

	adapt_trace_edit(&t, policy_image_opes(session_image(c)), h, h, &e, c->adapt.trace_text);
	n = http1_write_head_edited(h, HTTP1_FRAME_KEEP, 0, false, t.edit, t.edits, c->adapt.scratch, ADAPT_SCRATCH);
	chunkq_init(&written);
	if (n < 0 || chunkq_put(&c->pool, &written, c->adapt.scratch, (uint32_t)n) != 0) {
		session_count(c, STATS_trace_missing); /* nothing of it was adapted: it may go on without */
		return;
	}
	session_count(c, STATS_trace_added);
	session_count_n(c, STATS_trace_cut, t.cut);
	chunkq_purge(&c->pool, q);
	chunkq_append(q, &written);
}

uint32_t session_trace_answer(const struct session_ctx *c, char *out)
{
	static const char system_begin[] = "OPES-System: ", via_begin[] = "OPES-Via: ";
	const struct policy_opes *o = session_image(c) ? policy_image_opes(session_image(c)) : NULL;
	const struct adapt_trace_entry e = {ADAPT_TRACE_ANSWER, ADAPT_TRACE_NOT_ASKED, NULL};
	uint32_t n = 0;

	if (!o || !adapt_trace_on(o))
		return 0;
	for (unsigned i = 0; i < (o->via == POLICY_VIA_ALWAYS ? 2u : 1u); i++) {
		const char *begin = i ? via_begin : system_begin;

		memcpy(out + n, begin, strlen(begin));
		n += (uint32_t)strlen(begin);
		n += adapt_trace_entry(o, &e, out + n);
		memcpy(out + n, "\r\n", 2);
		n += 2;
	}
	return n;
}
