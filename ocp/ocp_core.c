/* SPDX-License-Identifier: BSD-3-Clause */
/* Both agents, core dialect: the bracket CS ... CE, invalid input, what waits while a negotiation phase is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core_private.h"

/* --- life --- */

int ocp_core_init(struct ocp_agent *a, const struct ocp_core_role *role)
{
	struct ocp_core *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->role = role;
	c->groups_max = OCP_CORE_GROUPS_MAX;
	c->held_max = OCP_CORE_HELD_MAX;
	c->negotiation_us = OCP_CORE_NEGOTIATION_US;
	c->last_ours = c->last_theirs = -1;
	c->negotiation_since = a->now;
	a->core = c;
	ocp_decoder_dialect(a->decoder, OCP_DIALECT_CORE);
	ocp_decoder_scope(a->decoder);
	return 0;
}

void ocp_core_fini(struct ocp_agent *a)
{
	struct ocp_core *c = a->core;

	if (!c)
		return;
	ocp_core_groups_free(c);
	for (uint32_t i = 0; i < c->n_asked_features; i++)
		free((char *)c->asked_features[i].uri.p);
	free(c->offer);
	free(c->held);
	free(c->queries);
	free(c);
	a->core = NULL;
}

int ocp_core_start(struct ocp_agent *a, uint64_t now_us)
{
	struct ocp_msg m = {.type = OCP_MSG_CS};

	a->core->negotiation_since = now_us;
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

static void end_with(struct ocp_agent *a, enum ocp_end how, const char *reason)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(reason)};

	ocp_agent_end(a, how, true, &r);
}

void ocp_core_not_cs(struct ocp_agent *a)
{
	a->started = true; /* CS has to be the first message of either side, CE comes only after it [11.1] */
	ocp_core_start(a, a->now);
	ocp_agent_fault(a, NULL, OCP_FAULT_NOT_CS);
	end_with(a, OCP_END_OUTSIDE, ocp_fault_text(OCP_FAULT_NOT_CS));
}

/* --- invalid input [5] --- */

void ocp_core_fail(struct ocp_agent *a, enum ocp_fault f)
{
	ocp_agent_fault(a, NULL, f);
	end_with(a, OCP_END_VIOLATION, ocp_fault_text(f));
}

void ocp_core_dead(struct ocp_agent *a, const char *reason)
{
	end_with(a, OCP_END_DEAD, reason);
}

void ocp_core_violation(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	ocp_agent_fault(a, x, f);
	a->core->role->violation(a, x, f);
}

void ocp_core_refuse_xid(struct ocp_agent *a, uint32_t xid, enum ocp_fault f)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(ocp_fault_text(f))};

	ocp_agent_fault(a, NULL, f);
	ocp_agent_send_xaction_end(a, xid, true, &r);
}

struct ocp_xaction *ocp_core_find(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction *x = ocp_agent_find(a, m->xid);

	if (x)
		return x;
	/*
	 * Section 11 calls an identifier of an ended transaction invalid, but messages cross our TE on their way. Such a
	 * transaction is terminated already, so there is nothing to do. TE itself is awaited then.
	 */
	if (a->core->role->introduced(a, m->xid)) {
		if (m->type != OCP_MSG_TE)
			ocp_agent_fault(a, NULL, OCP_FAULT_UNKNOWN_ID);
	} else {
		ocp_core_refuse_xid(a, m->xid, OCP_FAULT_UNKNOWN_XID);
	}
	return NULL;
}

/* In valid format, but a parameter is missing, repeated, or of the wrong type: the xid could be read. */
static void on_invalid(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction *x = ocp_agent_find(a, m->xid);

	if (x)
		ocp_core_violation(a, x, OCP_FAULT_MALFORMED);
	else if (a->core->role->introduced(a, m->xid))
		ocp_agent_fault(a, NULL, OCP_FAULT_UNKNOWN_ID);
	else
		ocp_core_refuse_xid(a, m->xid, OCP_FAULT_MALFORMED);
}

/* --- phases: what waits [6.1] --- */

static bool phase_message(enum ocp_msg_type type)
{
	switch (type) {
	case OCP_MSG_NO:
	case OCP_MSG_NR:
	case OCP_MSG_AQ:
	case OCP_MSG_AA:
	case OCP_MSG_PQ:
	case OCP_MSG_PA:
	case OCP_MSG_PR:
	case OCP_MSG_CE:
		return true;
	default:
		return false;
	}
}

bool ocp_core_holds(const struct ocp_agent *a, enum ocp_msg_type type)
{
	const struct ocp_core *c = a->core;

	/* ... and behind what was held before, until that has gone out. */
	return (c->phase || c->held_len) && !phase_message(type);
}

struct held {
	uint32_t size;
};

int ocp_core_hold(struct ocp_agent *a, const struct ocp_msg *m, const char *head, size_t n, const void *payload,
		  size_t len)
{
	struct ocp_core *c = a->core;
	size_t tail = m->type == OCP_MSG_DUM ? OCP_TAIL_LEN : 0, need = sizeof(struct held) + n + len + tail;
	struct held h;
	char *p;

	if (len && !payload)
		return -EINVAL;
	if (c->overrun || need > c->held_max - c->held_len) {
		c->overrun = true; /* the connection ends as soon as call-backs are possible */
		return -ENOBUFS;
	}
	if (c->held_cap - c->held_len < need) {
		p = realloc(c->held, c->held_len + need + 4096);
		if (!p)
			return -ENOMEM;
		c->held = p;
		c->held_cap = c->held_len + need + 4096;
	}
	h.size = (uint32_t)(n + len + tail);
	p = c->held + c->held_len;
	memcpy(p, &h, sizeof(h));
	p += sizeof(h);
	memcpy(p, head, n);
	if (len)
		memcpy(p + n, payload, len);
	memcpy(p + n + len, OCP_TAIL, tail);
	c->held_len += need;
	a->counters.tx_msgs[m->type]++;
	a->counters.tx_payload += len;
	return 0;
}

static void send_held(struct ocp_agent *a)
{
	struct ocp_core *c = a->core;

	for (size_t at = 0; at < c->held_len && !a->broken && !a->over;) {
		struct ocp_output o = {0};
		struct held h;

		memcpy(&h, c->held + at, sizeof(h));
		o.head = c->held + at + sizeof(h);
		o.head_len = h.size;
		at += sizeof(h) + h.size;
		if (a->output(a->ctx, &o))
			a->broken = true;
		else
			a->counters.tx_bytes += h.size;
	}
	c->held_len = 0;
}

void ocp_core_phase_over(struct ocp_agent *a)
{
	struct ocp_core *c = a->core;

	c->phase = c->peer_phase = false;
	send_held(a);
	if (a->broken || a->over)
		return;
	if (!c->ready) {
		c->ready = true;
		for (uint32_t i = 0; i < c->n_early && !a->over; i++)
			if (a->on_alive)
				a->on_alive(a->ctx, c->early[i].rid, c->early[i].maintained, c->early[i].original);
		c->n_early = 0;
	}
	if (!a->over)
		c->role->resume(a);
}

/* --- negotiations that make no progress [2.7] --- */

static bool negotiating(const struct ocp_core *c)
{
	return c->offering || c->phase || !c->ready;
}

uint64_t ocp_core_next_deadline(const struct ocp_agent *a)
{
	const struct ocp_core *c = a->core;

	if (c->overrun)
		return 0;
	if (!c->negotiation_us || !negotiating(c) || c->negotiation_since > UINT64_MAX - c->negotiation_us)
		return UINT64_MAX;
	return c->negotiation_since + c->negotiation_us;
}

void ocp_core_tick(struct ocp_agent *a)
{
	const struct ocp_core *c = a->core;

	if (a->now >= ocp_core_next_deadline(a))
		ocp_core_dead(a, c->overrun ? "no answers for too long" : "negotiation makes no progress");
}

/* --- input --- */

static void on_ce(struct ocp_agent *a, const struct ocp_msg *m)
{
	ocp_agent_close(a, ocp_msg_failed(m) ? OCP_END_PEER_ERROR : OCP_END_PEER,
			ocp_msg_has(m, OCP_P_RESULT) ? &m->result : NULL);
}

/* False: m has been dealt with. */
static bool in_order(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_core *c = a->core;

	if (!c->cs_received) {
		if (m->type == OCP_MSG_CS) {
			c->cs_received = true;
		} else {
			ocp_agent_fault(a, NULL, OCP_FAULT_NOT_CS);
			end_with(a, OCP_END_OUTSIDE, ocp_fault_text(OCP_FAULT_NOT_CS));
		}
		return false;
	}
	if (m->type == OCP_MSG_CS) {
		ocp_agent_fault(a, NULL, OCP_FAULT_REPEATED_START);
		return false;
	}
	if (m->type == OCP_MSG_UNKNOWN && !m->invalid) { /* may be an extension [11] */
		ocp_agent_fault(a, NULL, OCP_FAULT_UNKNOWN_MSG);
		return false;
	}
	if (phase_message(m->type))
		return true;
	if (c->peer_phase) {
		ocp_core_fail(a, OCP_FAULT_PHASE);
		return false;
	}
	/* The processor offers right after its CS; a group that its offer names has to come before. */
	if (c->role->expects_offer && !c->no_received && m->type != OCP_MSG_SGC && m->type != OCP_MSG_SGD) {
		ocp_core_fail(a, OCP_FAULT_NEGOTIATION);
		return false;
	}
	return true;
}

void ocp_core_dispatch(struct ocp_agent *a, const struct ocp_msg *m)
{
	a->current.wanted = false;
	if (a->core->overrun) {
		ocp_core_tick(a);
		return;
	}
	if (!in_order(a, m))
		return;
	if (m->invalid) {
		on_invalid(a, m);
		return;
	}
	switch (m->type) {
	case OCP_MSG_CE:
		on_ce(a, m);
		break;
	case OCP_MSG_SGC:
		ocp_core_on_sgc(a, m);
		break;
	case OCP_MSG_SGD:
		ocp_core_on_sgd(a, m);
		break;
	case OCP_MSG_NO:
		ocp_core_on_no(a, m);
		break;
	case OCP_MSG_NR:
		ocp_core_on_nr(a, m);
		break;
	case OCP_MSG_AQ:
		ocp_core_on_aq(a, m);
		break;
	case OCP_MSG_AA:
		ocp_core_on_aa(a, m);
		break;
	case OCP_MSG_PQ:
		ocp_core_on_pq(a, m);
		break;
	case OCP_MSG_PA:
	case OCP_MSG_PR:
		ocp_core_on_progress(a, m);
		break;
	default:
		a->core->role->message(a, m);
		break;
	}
}
