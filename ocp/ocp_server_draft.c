/* SPDX-License-Identifier: BSD-3-Clause */
/* Callout server agent, draft dialect: what arrives from the processor. */
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_server_private.h"

/* A rule broken about the original: app-message-end with error. */
static void abort_original(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f)
{
	struct ocp_original_ending e = {.fault = f};

	ocp_agent_fault(a, x, f);
	ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, x->am_id, true, NULL);
	ocp_server_original_over(a, x, true, &e);
}

/* --- connection --- */

static void on_connection_start(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);

	if (a->started) {
		ocp_agent_fault(a, NULL, OCP_FAULT_REPEATED_START);
		return;
	}
	a->started = true;
	s->priority = m->priority;
	if (s->ops.connection_start && s->ops.connection_start(a->ctx, m->client, m->priority))
		ocp_agent_end(a, OCP_END_LOCAL, true, &ocp_server_failure);
}

static void on_priority(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);

	s->priority = m->priority;
	if (s->ops.priority)
		s->ops.priority(a->ctx, m->priority);
}

static void on_service(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);
	const struct ocp_uri *u = &m->service;
	char *copy = malloc((size_t)u->uri.len + u->more.len + 1);

	if (!copy) {
		ocp_agent_end(a, OCP_END_MEMORY, true, &ocp_server_failure);
		return;
	}
	memcpy(copy, u->uri.p, u->uri.len);
	memcpy(copy + u->uri.len, u->more.p, u->more.len);
	free(s->service);
	s->service = copy;
	s->service_uri = (struct ocp_uri){{copy, u->uri.len}, {copy + u->uri.len, u->more.len}};
}

/* --- transactions --- */

static void refuse_xaction(struct ocp_agent *a, uint32_t xid, enum ocp_fault f)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(ocp_fault_text(f))};

	ocp_agent_fault(a, NULL, f);
	ocp_agent_send_xaction_end(a, xid, true, &r);
}

static void on_xid_order(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_VIOLATION, .fault = OCP_FAULT_XID_ORDER};
	struct ocp_xaction *x = ocp_agent_find(a, m->xid);

	refuse_xaction(a, m->xid, OCP_FAULT_XID_ORDER);
	if (x) /* for the peer it has just ended */
		ocp_agent_finish(a, x, &e);
}

static void on_xaction_start(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);
	const struct ocp_uri *service =
		ocp_msg_has(m, OCP_P_SERVICE) ? &m->service : &s->service_uri;

	if ((int64_t)m->xid <= s->last_xid) {
		on_xid_order(a, m);
		return;
	}
	s->last_xid = m->xid;
	if (!service->uri.p) {
		refuse_xaction(a, m->xid, OCP_FAULT_NO_SERVICE); /* <70> */
		return;
	}
	if (a->xactions >= a->xactions_max || !ocp_agent_add(a, m->xid, NULL)) {
		refuse_xaction(a, m->xid, OCP_FAULT_LIMIT);
		return;
	}
	ocp_server_accept(a, m->xid, service);
}

static void on_xaction_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_xaction_ending e = {
		.how = ocp_msg_failed(m) ? OCP_XEND_REFUSED : OCP_XEND_NORMAL,
		.result = m->result,
	};

	ocp_agent_finish(a, x, &e);
}

/* --- the original --- */

/* Wrong parity, not larger than before, or a second original. */
static void on_bad_am_id(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);

	if (x->am_open && m->am_id == x->am_id) {
		abort_original(a, x, OCP_FAULT_AM_ID);
		return;
	}
	ocp_agent_fault(a, x, OCP_FAULT_AM_ID);
	ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, x->xid, m->am_id, true, NULL);
	if (am) /* for the peer it has just ended */
		ocp_server_adapted_over(a, x, am, true, &ocp_server_failure);
}

static void on_am_start(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am_info info;
	uint32_t xid = x->xid;

	if (!(m->am_id & 1) || x->am_known) {
		on_bad_am_id(a, x, m);
		return;
	}
	ocp_am_info_fill(&info, m);
	if (!m->meta_data.len)
		ocp_agent_fault(a, x, OCP_FAULT_META_EMPTY);
	if (ocp_server_original(a, x, &info) == OCP_SERVER_REFUSED)
		ocp_agent_send_am(a, OCP_MSG_APP_MESSAGE_END, xid, m->am_id, true, &ocp_server_failure);
}

static void on_data_have(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);

	if (!x->am_open || m->am_id != x->am_id) {
		ocp_agent_fault(a, x,
				ocp_xaction_am(x, m->am_id) ? OCP_FAULT_OWN_AM_ID
							    : OCP_FAULT_UNKNOWN_ID);
		return;
	}
	if (x->am_ended) {
		abort_original(a, x, OCP_FAULT_AFTER_END); /* <98> */
		return;
	}
	if (m->offset != x->offset || m->payload_size > OCP_OFFSET_MAX - x->offset) {
		abort_original(a, x, OCP_FAULT_OFFSET); /* <85> */
		return;
	}
	if (x->paused) /* <95>: may abort; the data is good */
		ocp_agent_fault(a, x, OCP_FAULT_WHILE_PAUSED);
	ocp_agent_data_begin(a, m);
	if (s->ack_all || (a->features_used & OCP_HAS(OCP_FEATURE_ACK_ALL)))
		a->current.ack = true;
}

static void on_original_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_original_ending e = {.ok = !ocp_msg_failed(m), .result = m->result};
	bool gone = m->type == OCP_MSG_APP_MESSAGE_END;

	if (!gone && x->am_ended) {
		ocp_agent_fault(a, x, OCP_FAULT_AFTER_END);
		return;
	}
	ocp_server_original_over(a, x, gone, &e);
}

/* data-end and app-message-end. */
static void on_end(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_am *am = ocp_xaction_am(x, m->am_id);

	if (x->am_open && m->am_id == x->am_id)
		on_original_end(a, x, m);
	else if (am && m->type == OCP_MSG_APP_MESSAGE_END)
		ocp_server_adapted_over(a, x, am, ocp_msg_failed(m), &m->result);
	else
		ocp_agent_fault(a, x, am ? OCP_FAULT_OWN_AM_ID : OCP_FAULT_UNKNOWN_ID);
}

static void on_paused(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	if (!x->am_open || m->am_id != x->am_id)
		ocp_agent_fault(a, x, OCP_FAULT_UNKNOWN_ID);
	else
		ocp_server_paused(a, x);
}

static void on_ack(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	struct ocp_server *s = ocp_server_of(a);
	const struct ocp_am *am = ocp_xaction_am(x, m->am_id);

	if (!am) {
		ocp_agent_fault(a, x, OCP_FAULT_UNKNOWN_ID);
		return;
	}
	if (m->offset > am->offset || m->size > am->offset - m->offset) {
		ocp_agent_fault(a, x, OCP_FAULT_ACK_RANGE);
		return;
	}
	if (s->ops.ack) /* wont-forward means nothing from a processor <107> */
		s->ops.ack(a->ctx, x->user, m->am_id, m->offset, m->size);
}

static void on_xaction_message(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_msg *m)
{
	switch (m->type) {
	case OCP_MSG_XACTION_END:
		on_xaction_end(a, x, m);
		break;
	case OCP_MSG_APP_MESSAGE_START:
		on_am_start(a, x, m);
		break;
	case OCP_MSG_DATA_HAVE:
		on_data_have(a, x, m);
		break;
	case OCP_MSG_DATA_PAUSED:
		on_paused(a, x, m);
		break;
	case OCP_MSG_DATA_ACK:
		on_ack(a, x, m);
		break;
	default:
		on_end(a, x, m);
		break;
	}
}

void ocp_server_draft_message(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_xaction *x;

	a->current.wanted = false;
	switch (m->type) {
	case OCP_MSG_CONNECTION_START:
		on_connection_start(a, m);
		return;
	case OCP_MSG_CONNECTION_PRIORITY:
		on_priority(a, m);
		return;
	case OCP_MSG_CONNECTION_SERVICE:
		on_service(a, m);
		return;
	case OCP_MSG_XACTION_START:
		on_xaction_start(a, m);
		return;
	case OCP_MSG_DATA_PAUSE: /* <93> */
	case OCP_MSG_DATA_NEED:	 /* <104> */
	case OCP_MSG_DATA_AS_IS: /* <85> */
		ocp_agent_fault(a, NULL, OCP_FAULT_DIRECTION);
		return;
	default:
		break;
	}
	x = ocp_agent_find(a, m->xid);
	if (!x) {
		ocp_agent_fault(a, NULL, OCP_FAULT_UNKNOWN_ID); /* <54> */
		return;
	}
	ocp_agent_touch(a, x);
	on_xaction_message(a, x, m);
}
