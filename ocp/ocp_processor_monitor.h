/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the processor's fuzz target: what the agent sends, checked against the rules of its dialect without looking inside the
 * agent. Only what can be said for certain from its output and from how many messages of a kind it has received.
 */
#ifndef OCP_PROCESSOR_MONITOR_H
#define OCP_PROCESSOR_MONITOR_H

#include "ocp/ocp_fuzz.h"
#include "ocp/ocp_processor.h"

#define MON_XIDS 64    /* remembered, by xid modulo */
#define MON_OCTETS 2048 /* of an original whose preservation is followed */

struct mon_xaction {
	uint32_t xid;
	bool begun, ams, ame, te;
	uint64_t offset;
	uint64_t dpm, dss; /* sent when so many DWM or data-need, AME were received, + 1; 0: not */
	uint8_t kept[MON_OCTETS];  /* under commitment (INV-OCP-P5) */
	uint8_t given[MON_OCTETS]; /* given up by the server */
};

struct monitor {
	bool core;
	uint64_t msgs; /* sent */
	bool offered, ended;
	uint64_t nr_at; /* NR received when the last NO went out */
	uint32_t next_xid;
	int64_t last_sg;
	uint32_t sg_gone; /* mask of ids below 32 that SGD named */
	bool has_sg;	  /* the last NO had one */
	uint32_t sg;
	struct mon_xaction x[MON_XIDS];
};

static inline const struct ocp_counters *mon_count(const struct fuzz *f)
{
	return ocp_processor_counters(f->agent);
}

static inline struct mon_xaction *mon_find(struct monitor *m, uint32_t xid)
{
	struct mon_xaction *x = &m->x[xid % MON_XIDS];

	return x->begun && x->xid == xid ? x : NULL;
}

static inline struct mon_xaction *mon_begin(struct monitor *m, uint32_t xid)
{
	struct mon_xaction *x = &m->x[xid % MON_XIDS];

	MUST(xid >= m->next_xid); /* never twice, always higher */
	m->next_xid = xid + 1;
	memset(x, 0, sizeof(*x));
	x->xid = xid;
	x->begun = true;
	return x;
}

static inline void mon_keep(struct mon_xaction *x, uint64_t from, uint64_t to, bool kept)
{
	for (; from < to && from < MON_OCTETS; from++)
		x->kept[from] = kept;
}

static inline void mon_given_up(struct mon_xaction *x, uint64_t from, uint64_t to)
{
	mon_keep(x, from, to, false);
	for (; from < to && from < MON_OCTETS; from++)
		x->given[from] = true;
}

/* Octets that the agent lets the owner use again. */
static inline void mon_reuse(struct monitor *m, uint32_t xid, uint64_t from, uint64_t size)
{
	struct mon_xaction *x = mon_find(m, xid);

	for (; x && size && from < MON_OCTETS; from++, size--)
		MUST(x->kept[from]);
}

/* --- core --- */

static inline void mon_no(struct monitor *m, const struct fuzz *f, const struct ocp_msg *o)
{
	uint64_t nr = mon_count(f)->rx_msgs[OCP_MSG_NR];

	MUST(!m->offered || nr > m->nr_at); /* one at a time [11.18] */
	m->offered = true;
	m->nr_at = nr;
	m->has_sg = ocp_msg_has(o, OCP_P_SG);
	m->sg = o->sg;
	MUST(!m->has_sg || (int64_t)m->sg <= m->last_sg);
}

static inline void mon_dum(const struct fuzz *f, struct mon_xaction *x, const struct ocp_msg *o)
{
	const struct ocp_counters *c = mon_count(f);

	MUST(x->ams && !x->ame && o->offset == x->offset);
	MUST(!x->dpm || c->rx_msgs[OCP_MSG_DWM] >= x->dpm); /* INV-OCP-P6 */
	MUST(!x->dss || c->rx_msgs[OCP_MSG_AME] >= x->dss); /* [11.14] */
	x->dpm = x->dss = 0;
	x->offset += o->payload_size;
	if (!ocp_msg_has(o, OCP_P_KEPT))
		return;
	MUST(o->kept_size && (uint64_t)o->kept_offset + o->kept_size <= x->offset);
	mon_keep(x, 0, MON_OCTETS, false);
	mon_keep(x, o->kept_offset, (uint64_t)o->kept_offset + o->kept_size, true);
	for (int i = 0; i < MON_OCTETS; i++)
		MUST(!x->kept[i] || !x->given[i]); /* disposable data is not kept again [11.11] */
}

static inline void mon_xaction_message(struct monitor *m, const struct fuzz *f, const struct ocp_msg *o)
{
	struct mon_xaction *x = mon_find(m, o->xid);

	if (!x) { /* TE 400 for an xid that nobody began */
		MUST(o->type == OCP_MSG_TE && o->result.code == OCP_RESULT_FAILURE && (!o->xid || o->xid >= m->next_xid));
		return;
	}
	MUST(!x->te); /* TE is the last word */
	switch (o->type) {
	case OCP_MSG_TE:
		x->te = true;
		break;
	case OCP_MSG_AMS:
		MUST(!x->ams);
		x->ams = true;
		break;
	case OCP_MSG_AME:
		MUST(x->ams && !x->ame);
		x->ame = true;
		break;
	case OCP_MSG_DUM:
		mon_dum(f, x, o);
		break;
	case OCP_MSG_DPM:
		MUST(!x->ame);
		x->dpm = mon_count(f)->rx_msgs[OCP_MSG_DWM] + 1;
		break;
	case OCP_MSG_DSS:
		MUST(!x->dss);
		x->dss = mon_count(f)->rx_msgs[OCP_MSG_AME] + 1;
		break;
	default:
		MUST(o->type == OCP_MSG_DWP || o->type == OCP_MSG_DWM || o->type == OCP_MSG_PR);
		break;
	}
}

static inline void mon_core(struct monitor *m, const struct fuzz *f, const struct ocp_msg *o)
{
	switch (o->type) {
	case OCP_MSG_CS:
		MUST(m->msgs == 1);
		return;
	case OCP_MSG_CE:
		m->ended = true;
		return;
	case OCP_MSG_SGC:
		MUST((int64_t)o->sg > m->last_sg);
		m->last_sg = o->sg;
		return;
	case OCP_MSG_NO:
		mon_no(m, f, o);
		return;
	default:
		break;
	}
	MUST(m->offered); /* the offer comes first [6.1] */
	switch (o->type) {
	case OCP_MSG_SGD:
		MUST((int64_t)o->sg <= m->last_sg && (o->sg >= 32 || !(m->sg_gone & (1u << o->sg))));
		m->sg_gone |= o->sg < 32 ? 1u << o->sg : 0;
		break;
	case OCP_MSG_TS:
		MUST((int64_t)o->sg <= m->last_sg && (o->sg >= 32 || !(m->sg_gone & (1u << o->sg))));
		mon_begin(m, o->xid);
		break;
	case OCP_MSG_NR:
	case OCP_MSG_AQ:
	case OCP_MSG_AA:
	case OCP_MSG_PQ:
	case OCP_MSG_PA:
		break;
	default:
		if (o->type != OCP_MSG_PR || ocp_msg_has(o, OCP_P_XID))
			mon_xaction_message(m, f, o);
		break;
	}
}

/* --- draft --- */

static inline void mon_draft(struct monitor *m, const struct fuzz *f, const struct ocp_msg *o)
{
	struct mon_xaction *x = mon_find(m, o->xid);

	MUST((o->type == OCP_MSG_CONNECTION_START) == (m->msgs == 1)); /* <59> */
	switch (o->type) {
	case OCP_MSG_CONNECTION_END:
		m->ended = true;
		break;
	case OCP_MSG_XACTION_START:
		mon_begin(m, o->xid);
		break;
	case OCP_MSG_XACTION_END:
		MUST(x && !x->te);
		x->te = true;
		break;
	case OCP_MSG_DATA_HAVE:
		MUST(x && !x->te && !x->ame && o->offset == x->offset && o->am_id == 1);
		MUST(!x->dpm || mon_count(f)->rx_msgs[OCP_MSG_DATA_NEED] >= x->dpm); /* INV-OCP-P6 */
		x->dpm = 0;
		if (ocp_msg_has(o, OCP_P_COPIED))
			mon_keep(x, o->offset, o->offset + o->payload_size, true);
		x->offset += o->payload_size;
		break;
	case OCP_MSG_DATA_PAUSED:
		MUST(x && !x->te);
		x->dpm = mon_count(f)->rx_msgs[OCP_MSG_DATA_NEED] + 1;
		break;
	case OCP_MSG_DATA_END:
		MUST(x && !x->te && !x->ame);
		x->ame = true;
		break;
	default:
		break;
	}
}

static inline void mon_sent(struct monitor *m, const struct fuzz *f, const struct ocp_msg *o)
{
	m->msgs++;
	MUST(!m->ended); /* nothing after the end of the connection */
	if (m->core)
		mon_core(m, f, o);
	else
		mon_draft(m, f, o);
}
#endif
