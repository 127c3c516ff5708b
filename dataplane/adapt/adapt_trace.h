/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a head that leaves the appliance says of it (RFC 3897 section 3, RFC 4236 section 4):
 *
 *   OPES-System: <entries as the message came>, SYSTEM;processor="URI";service="URI"
 *   OPES-Via:    <the same, and what the service appended>, <the identical entry>
 *
 * and what a service has no say in: entries that came with the message are kept, in their order; OPES-System is written
 * by systems alone; OPES-Bypass of a request stays as its sender wrote it. Each of these is one field afterwards.
 *
 * Parameters of an entry: processor, and one of
 *   service   URI of the service that was asked
 *   failed    it was to be asked and has failed: the original went on
 *   observed  it got a copy
 *   bypassed  it was not asked since the client asked for that
 *   answer    "own": the message is the appliance's
 * and not-bypassed, when the client had asked for that: "policy" (the service may not be bypassed), "client" (not by
 * this client), "malformed" (its OPES-Bypass cannot be read).
 *
 * Pure: no allocation, no clock. Any thread.
 */
#ifndef ADAPT_TRACE_H
#define ADAPT_TRACE_H

#include "app/app_http1.h"
#include "policy/policy.h"

#define ADAPT_TRACE_ENTRY_MAX 1024
/* Octets for the texts of one head. */
#define ADAPT_TRACE_TEXT_MAX (2 * POLICY_TRACE_LIMIT_MAX + 2 * HTTP1_HEAD_MAX)

enum adapt_trace_part {
	ADAPT_TRACE_NONE, /* looked at, nothing more */
	ADAPT_TRACE_SERVICE,
	ADAPT_TRACE_FAILED,
	ADAPT_TRACE_OBSERVED,
	ADAPT_TRACE_BYPASSED,
	ADAPT_TRACE_ANSWER,
};
/* Why a bypass that was asked for did not happen. */
enum adapt_trace_why { ADAPT_TRACE_NOT_ASKED, ADAPT_TRACE_POLICY, ADAPT_TRACE_CLIENT, ADAPT_TRACE_MALFORMED };

struct adapt_trace_entry {
	enum adapt_trace_part part;
	enum adapt_trace_why why;
	const char *service; /* URI, NULL: none */
};

struct adapt_trace {
	struct http1_edit edit[3]; /* for http1_write_head_edited */
	uint32_t edits;
	bool traced;
	bool cut;      /* entries were left out: opes.trace-limit */
	bool restored; /* a service had changed what is not its business */
};

static inline bool adapt_trace_on(const struct policy_opes *o)
{
	return *o->system_uri && o->trace != POLICY_TRACE_OFF;
}

/* Octets written, at most ADAPT_TRACE_ENTRY_MAX; no NUL. */
uint32_t adapt_trace_entry(const struct policy_opes *o, const struct adapt_trace_entry *e, char *out);
/* h is to be written; came: the message as it was received (h itself when it goes on unchanged; NULL when h is no version
 * of a received message, as an answer). e NULL: nothing is traced, the rest is seen to. text: ADAPT_TRACE_TEXT_MAX octets,
 * which the edits point into. */
void adapt_trace_edit(struct adapt_trace *t, const struct policy_opes *o, const struct http1_head *h,
		      const struct http1_head *came, const struct adapt_trace_entry *e, char *text);
/* A field of h would be longer than opes.trace-limit with an entry of len octets. */
bool adapt_trace_too_long(const struct policy_opes *o, const struct http1_head *h, uint32_t len);

#endif
