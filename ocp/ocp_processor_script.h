/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the processor's fuzz target: octets of the input choose what a callout server of the core dialect says. It fits the
 * state so far, or misses it by a little, so that what lies behind the first wrong message is reached, too.
 */
#ifndef OCP_PROCESSOR_SCRIPT_H
#define OCP_PROCESSOR_SCRIPT_H

#include <stdio.h>
#include "ocp/ocp_processor_monitor.h"

#define S_REQUEST "53:http://www.iana.org/assignments/opes/ocp/http/request"
#define S_RESPONSE "54:http://www.iana.org/assignments/opes/ocp/http/response"

struct script {
	const uint8_t *at, *end;
	char text[2048];
	size_t len;
	struct {
		uint32_t xid;
		uint64_t offset;
		unsigned part;
	} am[MON_XIDS]; /* adapted messages as this server thinks they are */
	uint32_t next_sg;
	uint64_t answered; /* offers */
	uint64_t offers_seen;
};

static inline uint32_t s_next(struct script *s, uint32_t n)
{
	return s->at < s->end ? *s->at++ % n : 0;
}

__attribute__((format(printf, 2, 3))) static inline void s_say(struct script *s, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (int i = 0; i < n && s->len + 2 < sizeof(s->text); i++) { /* \n is CRLF on the wire */
		if (line[i] == '\n')
			s->text[s->len++] = '\r';
		s->text[s->len++] = line[i];
	}
}

/* Mostly v, sometimes beside it. */
static inline unsigned long s_about(struct script *s, uint64_t v)
{
	switch (s_next(s, 24)) {
	case 0:
		return (unsigned long)v + 1;
	case 1:
		return v ? (unsigned long)v - 1 : 0;
	case 2:
		return 2147483647;
	default:
		return (unsigned long)v;
	}
}

static inline void s_answer(struct script *s, const struct monitor *m)
{
	static const char *const members[] = {"", "\nPause-At-Body: 3\n", "\nStop-Receiving-Body: 5\n",
					      "\nPreservation-Interest-Body: 4\n", "\nAux-Parts: (request-header)\n",
					      "\nPause-At-Body: 0\nContent-Encodings: (gzip)\n"};
	bool response = m->has_sg ? m->sg % 2 == 0 : s_next(s, 2);

	s->answered++;
	s_say(s, "NR");
	if (m->has_sg && s_next(s, 5))
		s_say(s, " {\"%s\"%s}", response ? S_RESPONSE : S_REQUEST, members[s_next(s, sizeof(members) / sizeof(*members))]);
	if (m->has_sg)
		s_say(s, "\nSG: %lu", s_about(s, m->sg));
	if (!s_next(s, 8))
		s_say(s, "\nOffer-Pending: true\n;\n");
	else
		s_say(s, m->has_sg ? "\n;\n" : ";\n");
}

static inline void s_offer(struct script *s)
{
	static const char *const f[] = {"()", "({\"" S_REQUEST "\"})", "({\"3:a:b\"},{\"23:urn:opes:feature:copied\"})"};
	const char *pending = s_next(s, 4) ? "" : "\nOffer-Pending: true";
	bool sg = !s_next(s, 6) && s->next_sg;

	s_say(s, "NO %s%s", f[s_next(s, 3)], pending);
	if (sg)
		s_say(s, "\nSG: %lu", s_about(s, s->next_sg - 1));
	s_say(s, *pending || sg ? "\n;\n" : ";\n");
}

static inline void s_dum(struct script *s, uint32_t xid)
{
	unsigned i = xid % MON_XIDS, n = s_next(s, 12);
	char named[200];
	int at = 0;

	if (s->am[i].xid != xid)
		s->am[i].xid = xid, s->am[i].offset = 0, s->am[i].part = s_next(s, 2) ? 4 : 1;
	s->am[i].part = (s->am[i].part + !s_next(s, 4)) % OCP_PART_MAX;
	named[0] = 0;
	if (s->am[i].part && s_next(s, 10))
		at += snprintf(named, sizeof(named), "\nAM-Part: %s", ocp_part_name((enum ocp_part)s->am[i].part));
	if (!s_next(s, 5))
		at += snprintf(named + at, sizeof(named) - (size_t)at, "\nAs-is: %u", s_next(s, 20));
	if (!s_next(s, 5))
		at += snprintf(named + at, sizeof(named) - (size_t)at, "\nModp: %u", s_next(s, 102));
	s_say(s, "DUM %u %lu%s\n%s%u:%.*s\n;\n", xid, s_about(s, s->am[i].offset), named, at ? "\n" : "", n, (int)n,
	      "abcdefghijkl");
	s->am[i].offset += n;
}

static inline void s_duy(struct script *s, struct monitor *m, uint32_t xid)
{
	struct mon_xaction *x = mon_find(m, xid);
	uint64_t from = 0, to;
	unsigned i = xid % MON_XIDS;

	while (x && from < MON_OCTETS && !x->kept[from])
		from++;
	from += s_next(s, 8);
	for (to = from; x && to < MON_OCTETS && x->kept[to];)
		to++;
	if (to > from)
		to -= s_next(s, (uint32_t)(to - from));
	if (s->am[i].xid != xid)
		s->am[i].xid = xid, s->am[i].offset = 0, s->am[i].part = 1;
	s_say(s, "DUY %u %lu %lu;\n", xid, s_about(s, from), s_about(s, to - from));
	s->am[i].offset += to - from;
}

static inline void s_dpi(struct script *s, uint32_t xid, uint64_t sent)
{
	uint64_t from = s_next(s, 3) ? 0 : sent / (1 + s_next(s, 4));

	s_say(s, "DPI %u %lu %lu;\n", xid, s_about(s, from), s_next(s, 3) ? 2147483647UL : s_about(s, sent > from ? sent - from : 0));
}

static inline void s_other(struct script *s, uint32_t xid)
{
	static const char *const one[] = {"AMS %u;\n", "AMS %u\nAM-EL: 9\nServices: ({\"3:u:s\"})\n;\n", "AMS %u;\n", "AME %u;\n",
					  "AME %u {206};\n", "AME %u {400 \"2:no\"};\n", "TE %u;\n", "TE %u {400};\n",
					  "DWSS %u;\n", "DWSS %u;\n", "DPM %u;\n", "DWM %u;\n", "DWM %u\nSize-request: 5\n;\n",
					  "PQ %u;\n", "PR %u\nOrg-Data: 3\n;\n", "PA %u;\n", "PA %u\nOrg-Data: 5\n;\n",
					  "DUM %u 0;\n", "TS %u 1;\n", "DSS %u;\n"};
	static const char *const none[] = {"PQ;\n", "PA;\n", "PA;\n", "CS;\n", "AQ {x};\n", "AA true;\n", "X-y {a (b,c)};\n", "PR;\n",
					   "CE;\n", "SGD 1;\n", "NR;\n"};

	if (s_next(s, 5))
		s_say(s, one[s_next(s, sizeof(one) / sizeof(*one))], xid);
	else
		s_say(s, "%s", none[s_next(s, sizeof(none) / sizeof(*none))]);
}

/* The next message. */
static inline void s_step(struct script *s, struct monitor *m, const struct fuzz *f)
{
	uint32_t xid = f->n ? f->xids[s_next(s, f->n)] : s_next(s, 12);
	uint64_t nos = mon_count(f)->tx_msgs[OCP_MSG_NO], sent = 0;

	ocp_processor_sent(f->agent, xid, &sent);
	if (nos > s->answered && s_next(s, 8)) {
		s_answer(s, m);
		return;
	}
	switch (s_next(s, 16)) {
	case 0:
		s_say(s, "SGC %lu ({\"3:u:s\"});\n", s_about(s, s->next_sg));
		s->next_sg++;
		break;
	case 1:
		if (!s_next(s, 3))
			s_offer(s);
		break;
	case 2:
		s_say(s, "DWP %u %lu;\n", xid, s_about(s, sent + s_next(s, 20)));
		break;
	case 3:
		s_say(s, "DWSR %u %lu;\n", xid, s_about(s, sent + s_next(s, 20)));
		break;
	case 4:
		s_dpi(s, xid, sent);
		break;
	case 5:
	case 6:
	case 7:
		s_duy(s, m, xid);
		break;
	case 8:
	case 9:
	case 10:
		s_dum(s, xid);
		break;
	default:
		s_other(s, xid);
		break;
	}
}
#endif
