/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processor agent: what arrives from the callout server.
 *
 * The original (am-id 1):                   An adapted message (even am-ids):
 *
 *   open --data_end--> ended                  app-message-start
 *    |  ^                                          v
 *    |  | data-need                              open --data-end--> ended
 *    v  |                                          |                  |
 *   paused                                         +--> gone <--------+
 *   any of them --their app-message-end-->              app-message-end, xaction-end,
 *   gone; --leave loop--> left                          any fault
 *
 * A fault in an adapted message aborts that message only; the transaction goes on.
 */
#include "ocp/ocp_processor_private.h"

static struct ocp_processor *self(struct ocp_agent *a)
{
	return (struct ocp_processor *)a;
}

/* The message's adapted message is over, without or with a fault. am is gone afterwards. */
static void am_over(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
		    const struct ocp_am_ending *e)
{
	struct ocp_processor *p = self(a);
	bool told = am->ended; /* INV-OCP-P1 */
	void *user = x->user;

	ocp_xaction_am_drop(a, x, am);
	if (!told && p->ops.am_end)
		p->ops.am_end(a->ctx, user, e);
}

/* <90>: app-message-end with error for am. */
static void abort_am(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
		     enum ocp_fault f)
{
	struct ocp_am_ending e = {.am_id = am->id, .fault = f};

	ocp_agent_fault(a, x, f);
	ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, am->id, true, NULL);
	am_over(a, x, am, &e);
}

static void violation(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_VIOLATION, .fault = f};

	ocp_agent_send_xaction_end(a, x->xid, true, NULL);
	ocp_agent_finish(a, x, &e);
}

/* x is out of the table. Adapted messages still open end with it: complete if it ended normally. */
static void on_ended(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_xaction_ending *e)
{
	struct ocp_processor *p = self(a);

	while (x->ams) {
		struct ocp_am_ending am_end = {
			.am_id = x->ams->id,
			.ok = e->how == OCP_XEND_NORMAL,
			.fault = e->fault,
			.result = e->result,
		};

		am_over(a, x, x->ams, &am_end);
	}
	if (p->ops.xaction_end)
		p->ops.xaction_end(a->ctx, x->user, e);
}

/* --- adapted messages --- */

static void on_am_start(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = self(a);
	struct ocp_am_info info;
	struct ocp_am *am;

	if ((m->am_id & 1) || (int64_t)m->am_id <= x->last_am_id) {
		bool original = x->am_open && m->am_id == x->am_id;

		am = ocp_xaction_am(x, m->am_id);
		if (am) {
			abort_am(a, x, am, OCP_FAULT_AM_ID);
			return;
		}
		ocp_agent_fault(a, x, OCP_FAULT_AM_ID);
		ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, m->am_id, true, NULL);
		if (original) /* for the peer our own message has just ended */
			violation(a, x, OCP_FAULT_AM_ID);
		return;
	}
	x->last_am_id = m->am_id;
	am = x->ams_open < a->ams_max ? ocp_xaction_am_add(a, x, m->am_id) : NULL;
	if (!am) {
		struct ocp_result r = {OCP_RESULT_FAILURE, OCP_STR("too many messages")};

		ocp_agent_fault(a, x, OCP_FAULT_LIMIT);
		ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, m->am_id, true, &r);
		return;
	}
	ocp_am_info_fill(&info, m);
	info.modified = ocp_msg_has(m, OCP_P_MODIFIED);
	if (p->ops.am_start)
		p->ops.am_start(a->ctx, x->user, &info);
}

/* The adapted message that a data-have or data-as-is belongs to, checked; NULL: dealt with. */
static struct ocp_am *data_am(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);

	if (!am) {
		ocp_agent_fault(a, x,
				m->am_id == x->am_id ? OCP_FAULT_OWN_AM_ID : OCP_FAULT_UNKNOWN_ID);
		return NULL;
	}
	if (am->ended) {
		abort_am(a, x, am, OCP_FAULT_AFTER_END);
		return NULL;
	}
	if (m->offset != am->offset || m->size > OCP_OFFSET_MAX - am->offset) {
		abort_am(a, x, am, OCP_FAULT_OFFSET);
		return NULL;
	}
	return am;
}

static void on_data_have(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = data_am(a, x, m);

	if (!am)
		return;
	am->offset += m->payload_size;
	if (m->payload_size)
		am->last_as_is = false;
	ocp_agent_data_begin(a, m);
}

static void on_slice(struct ocp_agent *a, const struct ocp_data *d)
{
	struct ocp_processor *p = self(a);
	struct ocp_xaction *x = ocp_agent_find(a, a->current.xid);
	struct ocp_data out = *d;

	out.copied = false; /* <46>: a callout server has no say in it */
	if (x && p->ops.am_data)
		p->ops.am_data(a->ctx, x->user, &out);
}

static void on_data_as_is(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = self(a);
	struct ocp_am *am = data_am(a, x, m);
	uint64_t from = m->copy_am_offset;
	struct ocp_as_is s = {m->am_id, m->offset, from, m->size, m->am_part};

	if (!am)
		return;
	if (m->copy_am_id != x->am_id || m->size > OCP_OFFSET_MAX - from ||
	    from + m->size > x->offset || !ocp_ranges_cover(&x->kept, from, from + m->size)) {
		abort_am(a, x, am, OCP_FAULT_AS_IS);
		return;
	}
	am->offset += m->size;
	am->last_as_is = true;
	am->as_is_end = from + m->size;
	if (p->ops.am_as_is)
		p->ops.am_as_is(a->ctx, x->user, &s);
}

/* data-end {206}: the rest of the original follows as is. */
static void leave_loop(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
		       struct ocp_am_ending *e)
{
	struct ocp_processor *p = self(a);
	uint32_t xid = x->xid, id = am->id;
	uint64_t rest = am->as_is_end;

	if (!am->last_as_is || rest < x->released) {
		abort_am(a, x, am, OCP_FAULT_LEAVE_LOOP);
		return;
	}
	x->left = true;
	e->ok = e->left = true;
	if (p->ops.left)
		p->ops.left(a->ctx, x->user, id, rest);
	x = ocp_agent_find(a, xid);
	am = x ? ocp_xaction_am(x, id) : NULL;
	if (!am)
		return;
	am->ended = true;
	if (p->ops.am_end)
		p->ops.am_end(a->ctx, x->user, e);
}

static void on_data_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = self(a);
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);
	struct ocp_am_ending e = {.am_id = m->am_id, .ok = !ocp_msg_failed(m), .result = m->result};

	if (!am || am->ended) {
		ocp_agent_fault(a, x,
				m->am_id == x->am_id ? OCP_FAULT_OWN_AM_ID : OCP_FAULT_UNKNOWN_ID);
		return;
	}
	if (m->result.code == OCP_RESULT_PARTIAL && !ocp_msg_has(m, OCP_P_ERROR) &&
	    (a->features_used & OCP_HAS(OCP_FEATURE_LEAVE_LOOP))) {
		leave_loop(a, x, am, &e);
		return;
	}
	am->ended = true;
	if (p->ops.am_end)
		p->ops.am_end(a->ctx, x->user, &e);
}

/* --- the original --- */

static void on_am_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = self(a);
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);
	struct ocp_am_ending e = {.am_id = m->am_id, .ok = !ocp_msg_failed(m), .result = m->result};

	if (am) {
		am_over(a, x, am, &e);
		return;
	}
	if (!x->am_open || m->am_id != x->am_id) {
		ocp_agent_fault(a, x, OCP_FAULT_UNKNOWN_ID);
		return;
	}
	x->am_open = false;
	x->am_ended = true;
	x->paused = false;
	if (e.ok) {
		if (p->ops.original_end)
			p->ops.original_end(a->ctx, x->user);
	} else { /* refused <77> */
		struct ocp_xaction_ending end = {.how = OCP_XEND_REFUSED, .result = m->result};

		ocp_agent_send_xaction_end(a, x->xid, false, NULL);
		ocp_agent_finish(a, x, &end);
	}
}

static void on_pause(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_processor *p = self(a);

	x->paused = true;
	ocp_agent_send_am(a, OCP_MSG_DATA_PAUSED, x->xid, x->am_id, false, NULL);
	if (p->ops.pause)
		p->ops.pause(a->ctx, x->user);
}

static void on_need(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = self(a);
	bool resumed = x->paused;

	x->paused = false;
	if (!resumed && m->offset < x->offset)
		return; /* <103> */
	if (p->ops.need)
		p->ops.need(a->ctx, x->user, resumed, m->offset, m->size_request);
}

static void on_ack(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_processor *p = self(a);
	uint64_t to = m->offset + m->size;

	if (m->offset > x->offset || m->size > x->offset - m->offset) {
		ocp_agent_fault(a, x, OCP_FAULT_ACK_RANGE);
		return;
	}
	if (!ocp_msg_has(m, OCP_P_WONT_FORWARD)) {
		if (p->ops.ack)
			p->ops.ack(a->ctx, x->user, m->offset, m->size);
		return;
	}
	/* After leaving, the rest is no longer the server's to give up. When the range cannot be
	 * taken out of the list, the commitment stays: keeping more than promised harms nobody. */
	if (!m->size || x->left || ocp_ranges_remove(&x->kept, m->offset, to, a->ranges_max))
		return;
	if (to > x->released)
		x->released = to;
	if (p->ops.wont_forward)
		p->ops.wont_forward(a->ctx, x->user, m->offset, m->size);
}

/* Messages about the original: only while its am-id is valid. */
static void on_original(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	if (!x->am_open || m->am_id != x->am_id) {
		ocp_agent_fault(a, x, OCP_FAULT_UNKNOWN_ID);
		return;
	}
	if (m->type == OCP_MSG_DATA_PAUSE)
		on_pause(a, x);
	else if (m->type == OCP_MSG_DATA_NEED)
		on_need(a, x, m);
	else
		on_ack(a, x, m);
}

/* --- transactions --- */

static void on_xaction_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	bool partial =
		x->left && m->result.code == OCP_RESULT_PARTIAL && !ocp_msg_has(m, OCP_P_ERROR);
	struct ocp_xaction_ending e = {
		.how = ocp_msg_failed(m) && !partial ? OCP_XEND_REFUSED : OCP_XEND_NORMAL,
		.result = m->result,
	};

	ocp_agent_finish(a, x, &e);
}

static void on_message(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction *x;

	a->current.wanted = false;
	switch (m->type) {
	case OCP_MSG_CONNECTION_START:
		if (!a->started) { /* nothing may come before ours <59> */
			ocp_agent_fault(a, NULL, OCP_FAULT_OUTSIDE);
			ocp_agent_close(a, OCP_END_OUTSIDE, NULL);
			return;
		}
		/* fallthrough */
	case OCP_MSG_CONNECTION_PRIORITY: /* <65> */
	case OCP_MSG_CONNECTION_SERVICE:  /* <67> */
	case OCP_MSG_XACTION_START:	  /* <69> */
	case OCP_MSG_DATA_PAUSED:	  /* <96> */
		ocp_agent_fault(a, NULL, OCP_FAULT_DIRECTION);
		return;
	default:
		break;
	}
	x = ocp_agent_find(a, m->xid);
	if (!x) {
		ocp_agent_fault(a, NULL, OCP_FAULT_UNKNOWN_ID);
		return;
	}
	ocp_agent_touch(a, x);
	switch (m->type) {
	case OCP_MSG_XACTION_END:
		on_xaction_end(a, x, m);
		break;
	case OCP_MSG_APP_MESSAGE_START:
		on_am_start(a, x, m);
		break;
	case OCP_MSG_APP_MESSAGE_END:
		on_am_end(a, x, m);
		break;
	case OCP_MSG_DATA_HAVE:
		on_data_have(a, x, m);
		break;
	case OCP_MSG_DATA_AS_IS:
		on_data_as_is(a, x, m);
		break;
	case OCP_MSG_DATA_END:
		on_data_end(a, x, m);
		break;
	default:
		on_original(a, x, m);
		break;
	}
}

/* The answer said "still maintained", and not for the first time. */
static bool overdue(const struct ocp_agent *a, const struct ocp_xaction *x)
{
	const struct ocp_processor *p = (const struct ocp_processor *)a;

	return x->grace > p->deadline_grace &&
	       (x->am_ended || x->paused || x->peers_turn || x->left);
}

const struct ocp_role ocp_processor_role = {
	.message = on_message,
	.slice = on_slice,
	.ended = on_ended,
	.overdue = overdue,
};
