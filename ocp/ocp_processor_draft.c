/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processor agent, draft dialect: what arrives from the callout server.
 *
 * A fault in an adapted message aborts that message only; the transaction goes on.
 */
#include "ocp/ocp_processor_draft.h"

/* <90>: app-message-end with error for am. */
static void abort_am(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
		     enum ocp_fault f)
{
	struct ocp_am_ending e = {.am_id = am->id, .fault = f};

	ocp_agent_fault(a, x, f);
	ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, am->id, true, NULL);
	ocp_processor_am_over(a, x, am, &e);
}

static void violation(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_VIOLATION, .fault = f};

	ocp_agent_send_xaction_end(a, x->xid, true, NULL);
	ocp_agent_finish(a, x, &e);
}

/* --- adapted messages --- */

static void on_am_start(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
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
	am = ocp_processor_am_new(a, x, m->am_id);
	if (!am) {
		struct ocp_result r = {OCP_RESULT_FAILURE, OCP_STR("too many messages")};

		ocp_agent_fault(a, x, OCP_FAULT_LIMIT);
		ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, m->am_id, true, &r);
		return;
	}
	ocp_am_info_fill(&info, m);
	info.modified = ocp_msg_has(m, OCP_P_MODIFIED);
	ocp_processor_am_begun(a, x, &info);
}

/* The adapted message that a data-have or data-as-is belongs to, checked; NULL: dealt with. */
static struct ocp_am *data_am(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);
	enum ocp_fault f;

	if (!am) {
		ocp_agent_fault(a, x,
				m->am_id == x->am_id ? OCP_FAULT_OWN_AM_ID : OCP_FAULT_UNKNOWN_ID);
		return NULL;
	}
	f = ocp_processor_am_place(am, m->offset, m->size, OCP_OFFSET_MAX);
	if (f) {
		abort_am(a, x, am, f);
		return NULL;
	}
	return am;
}

static void on_data_have(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = data_am(a, x, m);

	if (am)
		ocp_processor_am_data(a, am, m, m->am_part);
}

static void on_data_as_is(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = data_am(a, x, m);

	if (!am)
		return;
	if (m->copy_am_id != x->am_id || !ocp_processor_may_reuse(x, m->copy_am_offset, m->size)) {
		abort_am(a, x, am, OCP_FAULT_AS_IS);
		return;
	}
	ocp_processor_am_reuse(a, x, am, m->copy_am_offset, m->size, m->am_part);
}

static void on_data_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);
	struct ocp_am_ending e = {.am_id = m->am_id, .ok = !ocp_msg_failed(m), .result = m->result};

	if (!am || am->ended) {
		ocp_agent_fault(a, x,
				m->am_id == x->am_id ? OCP_FAULT_OWN_AM_ID : OCP_FAULT_UNKNOWN_ID);
		return;
	}
	if (m->result.code != OCP_RESULT_PARTIAL || ocp_msg_has(m, OCP_P_ERROR) ||
	    !(a->features_used & OCP_HAS(OCP_FEATURE_LEAVE_LOOP)))
		ocp_processor_am_complete(a, x, am, &e);
	else if (am->last_as_is && am->as_is_end >= x->released) /* the rest of the original follows as is */
		ocp_processor_left(a, x, am, am->as_is_end, &e);
	else
		abort_am(a, x, am, OCP_FAULT_LEAVE_LOOP);
}

/* --- the original --- */

static void on_am_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);
	struct ocp_am_ending e = {.am_id = m->am_id, .ok = !ocp_msg_failed(m), .result = m->result};

	if (am) {
		ocp_processor_am_over(a, x, am, &e);
		return;
	}
	if (!x->am_open || m->am_id != x->am_id) {
		ocp_agent_fault(a, x, OCP_FAULT_UNKNOWN_ID);
		return;
	}
	x->am_open = false;
	if (e.ok) {
		ocp_processor_original_over(a, x);
	} else { /* refused <77> */
		struct ocp_xaction_ending end = {.how = OCP_XEND_REFUSED, .result = m->result};

		ocp_agent_send_xaction_end(a, x->xid, false, NULL);
		ocp_agent_finish(a, x, &end);
	}
}

static void on_pause(struct ocp_agent *a, struct ocp_xaction *x)
{
	x->paused = true;
	ocp_agent_send_am(a, OCP_MSG_DATA_PAUSED, x->xid, x->am_id, false, NULL);
	ocp_processor_paused(a, x);
}

static void on_need(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	bool resumed = x->paused;

	x->paused = false;
	if (resumed || m->offset >= x->offset) /* <103> */
		ocp_processor_needed(a, x, resumed, m->offset, m->size_request);
}

static void on_ack(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	if (m->offset > x->offset || m->size > x->offset - m->offset) {
		ocp_agent_fault(a, x, OCP_FAULT_ACK_RANGE);
		return;
	}
	if (!ocp_msg_has(m, OCP_P_WONT_FORWARD)) {
		ocp_processor_acked(a, x, m->offset, m->size);
		return;
	}
	/* After leaving, the rest is no longer the server's to give up. When the range cannot be
	 * taken out of the list, the commitment stays: keeping more than promised harms nobody. */
	if (m->size && !x->left && !ocp_ranges_remove(&x->kept, m->offset, m->offset + m->size, a->ranges_max))
		ocp_processor_released(a, x, m->offset, m->size);
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

void ocp_processor_draft_message(struct ocp_agent *a, const struct ocp_msg *m)
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
