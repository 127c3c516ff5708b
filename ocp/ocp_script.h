/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For fuzz targets: octets that choose messages of a processor, most of which fit what has been said so far, and some of
 * which miss it by a little. So the states behind the first wrong message are reached, too.
 */
#ifndef OCP_SCRIPT_H
#define OCP_SCRIPT_H

#include <stdio.h>
#include <string.h>
#include "ocp/ocp.h"

struct script {
	const uint8_t *at, *end; /* choices left */
	uint32_t next_xid, next_sg;
	uint32_t xid[4], part[4];
	uint64_t offset[4];
	const char *const *services; /* to make groups for */
	uint32_t nservices;
	void (*say)(void *ctx, const char *text, size_t len);
	void *ctx;
};

#define SCRIPT_XIDS 64 /* at most so many transactions */

static inline uint32_t script_next(struct script *s, uint32_t n)
{
	return s->at < s->end ? *s->at++ % n : 0;
}

/* v, or a little beside it. */
static inline uint64_t script_about(struct script *s, uint64_t v)
{
	static const int8_t off[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 5, 100};
	int8_t d = off[script_next(s, sizeof(off))];

	return d < 0 && !v ? UINT64_C(2147483647) : v + (uint64_t)d;
}

#define SCRIPT_SAY(s, ...)                                                                         \
	do {                                                                                       \
		char text_[1024];                                                                  \
		int n_ = snprintf(text_, sizeof(text_), __VA_ARGS__);                              \
		(s)->say((s)->ctx, text_, (size_t)n_);                                             \
	} while (0)

#define SCRIPT_UL(v) ((unsigned long)(v))

static inline void script_dum(struct script *s, uint32_t i)
{
	uint32_t n = script_next(s, 12), part = s->part[i] + (script_next(s, 3) ? 0 : 1);
	char named[200] = "";
	int at = 0;

	s->part[i] = part % OCP_PART_MAX;
	if (script_next(s, 8))
		at += snprintf(named, sizeof(named), "\r\nAM-Part: %s", ocp_part_name(s->part[i] ? s->part[i] : 1));
	if (script_next(s, 3))
		at += snprintf(named + at, sizeof(named) - (size_t)at, "\r\nKept: {%lu %lu}", SCRIPT_UL(script_about(s, 0)),
			       SCRIPT_UL(script_about(s, s->offset[i] + n)));
	SCRIPT_SAY(s, "DUM %u %lu%s\r\n%s%u:%.*s\r\n;\r\n", s->xid[i], SCRIPT_UL(script_about(s, s->offset[i])),
		   named, at ? "\r\n" : "", n, (int)n, "0123456789ab");
	s->offset[i] += n;
}

static inline void script_begin(struct script *s, uint32_t i)
{
	if (s->next_xid == SCRIPT_XIDS) /* as many as are watched */
		return;
	s->xid[i] = s->next_xid++;
	s->offset[i] = s->part[i] = 0;
	SCRIPT_SAY(s, "TS %u %lu;\r\nAMS %u\r\nAM-EL: 9\r\n;\r\n", s->xid[i],
		   SCRIPT_UL(script_about(s, script_next(s, s->next_sg))), s->xid[i]);
}

static inline void script_offer(struct script *s)
{
	static const char *const sg[] = {"", "\r\nSG: 0", "\r\nSG: 1", "\r\nSG: 2", "\r\nSG: 3", "\r\nSG: 4"};
	static const char *const kind[] = {"53:http://www.iana.org/assignments/opes/ocp/http/request",
					   "54:http://www.iana.org/assignments/opes/ocp/http/response", "1:x"};
	uint32_t g = script_next(s, 6);
	const char *pending = script_next(s, 8) ? "" : "\r\nOffer-Pending: true";

	SCRIPT_SAY(s, "NO ({\"%s\"\r\nAux-Parts: (request-header,request-body)\r\n},{\"%s\"})%s%s%s;\r\n",
		   kind[script_next(s, 3)], kind[script_next(s, 3)], sg[g], pending, *sg[g] || *pending ? "\r\n" : "");
}

static inline void script_core(struct script *s)
{
	static const char *const one[] = {"AME %u;\r\n", "AME %u {206};\r\n", "AME %u {400};\r\n", "TE %u;\r\n", "TE %u {400};\r\n",
					  "DSS %u;\r\n", "DPM %u;\r\n", "DWM %u;\r\n", "DWM %u\r\nSize-request: 5\r\n;\r\n",
					  "PQ %u;\r\n", "PA %u;\r\n", "PR %u\r\nOrg-Data: 3\r\n;\r\n", "DUY %u 0 1;\r\n",
					  "DUM %u 0;\r\n", "TS %u 1;\r\n", "AMS %u;\r\n", "DWSS %u;\r\n", "DPI %u 0 3;\r\n"};
	static const char *const none[] = {"PQ;\r\n", "PA;\r\n", "CS;\r\n", "NR;\r\n", "AQ {x};\r\n", "AA true;\r\n", "X-y {a (b,c)};\r\n",
					   "NO ();\r\n", "SGD 1;\r\n", "CE;\r\n", "PR;\r\n"};
	uint32_t i = script_next(s, 4);
	const char *service;

	switch (script_next(s, 16)) {
	case 0:
	case 1:
		script_begin(s, i);
		break;
	case 2:
		service = s->services[script_next(s, s->nservices)];
		SCRIPT_SAY(s, "SGC %lu ({\"%zu:%s\"});\r\n", SCRIPT_UL(script_about(s, s->next_sg)), strlen(service), service);
		s->next_sg++;
		break;
	case 3:
		script_offer(s);
		break;
	case 4:
		SCRIPT_SAY(s, "DWP %u %lu;\r\n", s->xid[i], SCRIPT_UL(script_next(s, 40)));
		break;
	case 5:
	case 6:
		SCRIPT_SAY(s, one[script_next(s, sizeof(one) / sizeof(one[0]))], s->xid[i]);
		break;
	case 7:
		SCRIPT_SAY(s, "%s", none[script_next(s, sizeof(none) / sizeof(none[0]))]);
		break;
	default:
		script_dum(s, i);
		break;
	}
}

static inline void script_draft(struct script *s)
{
	static const char *const one[] = {"data-end %u 1;\r\n", "app-message-end %u 1;\r\n", "app-message-end %u 2\r\nerror: true\r\n;\r\n",
					  "xaction-end %u;\r\n", "data-paused %u 1;\r\n", "data-ack %u 2 0 3;\r\n", "are-you-there 1\r\nxid: %u\r\n;\r\n",
					  "data-pause %u 1;\r\n", "xaction-start %u;\r\n", "app-message-start %u 3 \"1:x\";\r\n"};
	static const char *const none[] = {"please-use {\"27:urn:opes:feature:leave-loop\"};\r\n", "connection-priority 3;\r\n",
					   "i-am-here\r\nrid: 1\r\n;\r\n", "connection-service {y};\r\n", "connection-end;\r\n", "x-y;\r\n"};
	uint32_t i = script_next(s, 4), n;

	switch (script_next(s, 8)) {
	case 0:
	case 1:
		s->xid[i] = s->next_xid++;
		s->offset[i] = 0;
		SCRIPT_SAY(s, "xaction-start %u;\r\napp-message-start %u 1 \"13:Kind: request\";\r\n", s->xid[i], s->xid[i]);
		break;
	case 2:
		SCRIPT_SAY(s, one[script_next(s, sizeof(one) / sizeof(one[0]))], s->xid[i]);
		break;
	case 3:
		SCRIPT_SAY(s, "%s", none[script_next(s, sizeof(none) / sizeof(none[0]))]);
		break;
	default:
		n = script_next(s, 12);
		SCRIPT_SAY(s, "data-have %u 1 %lu\r\ncopied: true\r\n\r\n%u:%.*s\r\n;\r\n", s->xid[i], SCRIPT_UL(script_about(s, s->offset[i])), n, (int)n,
		    "0123456789ab");
		s->offset[i] += n;
		break;
	}
}

#endif
