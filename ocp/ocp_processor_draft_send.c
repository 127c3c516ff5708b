/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent, draft dialect: what is sent. */
#include <errno.h>
#include "ocp/ocp_processor_draft.h"

static int connect_(struct ocp_processor *p, struct ocp_str client, int32_t priority)
{
	struct ocp_msg m = {
		.type = OCP_MSG_CONNECTION_START, .client = client, .priority = priority};

	if (client.len)
		m.has |= OCP_HAS(OCP_P_CLIENT);
	if (priority)
		m.has |= OCP_HAS(OCP_P_PRIORITY);
	return ocp_agent_send(&p->a, &m, NULL, 0, NULL);
}

static int priority_(struct ocp_processor *p, int32_t priority)
{
	struct ocp_msg m = {
		.type = OCP_MSG_CONNECTION_PRIORITY,
		.has = OCP_HAS(OCP_P_PRIORITY),
		.priority = priority,
	};

	return ocp_agent_send(&p->a, &m, NULL, 0, NULL);
}

static int service_(struct ocp_processor *p, const struct ocp_uri *s)
{
	struct ocp_msg m = {
		.type = OCP_MSG_CONNECTION_SERVICE,
		.has = OCP_HAS(OCP_P_SERVICE),
		.service = *s,
	};

	return ocp_agent_send(&p->a, &m, NULL, 0, NULL);
}

static int please_use(struct ocp_processor *p, struct ocp_str uri)
{
	return ocp_agent_ask_feature(&p->a, OCP_MSG_PLEASE_USE, uri);
}

static int do_you_support(struct ocp_processor *p, struct ocp_str uri)
{
	return ocp_agent_ask_feature(&p->a, OCP_MSG_DO_YOU_SUPPORT, uri);
}

static int may_start(struct ocp_processor *p, const struct ocp_start *st)
{
	uint32_t atom = p->a.limits.atom;

	if ((!st->service && !p->default_service) || !st->meta.len || st->meta.len > atom ||
	    (st->service && st->service->uri.len > atom))
		return -EINVAL;
	return 0;
}

static int start(struct ocp_processor *p, struct ocp_xaction *x, const struct ocp_start *st)
{
	struct ocp_msg t = {.type = OCP_MSG_XACTION_START, .has = OCP_HAS(OCP_P_XID), .xid = x->xid};
	struct ocp_msg m = {
		.type = OCP_MSG_APP_MESSAGE_START,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_META_DATA),
		.xid = x->xid,
		.am_id = OCP_ORIGINAL,
		.meta_data = st->meta,
	};
	int rc;

	if (st->service) {
		t.has |= OCP_HAS(OCP_P_SERVICE);
		t.service = *st->service;
	}
	if (st->sizep >= 0) {
		m.has |= OCP_HAS(OCP_P_SIZEP);
		m.sizep = (uint64_t)st->sizep;
	}
	if (st->modp >= 0) {
		m.has |= OCP_HAS(OCP_P_MODP);
		m.modp = (uint32_t)st->modp;
	}
	rc = ocp_agent_send(&p->a, &t, NULL, 0, NULL);
	if (rc)
		return rc;
	rc = ocp_agent_send(&p->a, &m, NULL, 0, NULL);
	if (rc) { /* no memory for the head: the xid is used up, nobody works on it */
		ocp_agent_send_xaction_end(&p->a, x->xid, true, NULL);
		p->next_xid++;
	}
	return rc;
}

static int data_(struct ocp_processor *p, struct ocp_xaction *x, const void *data, size_t len, void *cookie,
		 const struct ocp_send *send)
{
	struct ocp_agent *a = &p->a;
	bool copied = send && send->copied && len;
	uint64_t from = x->offset, flags = 0;
	int rc;

	if (x->left)
		return -EPIPE;
	if (x->paused)
		return -EAGAIN;
	if (send && send->ack)
		flags |= OCP_HAS(OCP_P_ACK);
	if (copied) { /* before the promise goes out */
		if (!ocp_ranges_may_append(&x->kept, from, a->ranges_max))
			return -ENOSPC;
		flags |= OCP_HAS(OCP_P_COPIED);
		rc = ocp_ranges_append(&x->kept, from, from + len, a->ranges_max);
		if (rc)
			return rc;
	}
	rc = ocp_agent_send_data(a, x->xid, x->am_id, &x->offset, data, len, cookie, send, flags);
	if (rc)
		ocp_ranges_remove(&x->kept, x->offset, from + len, a->ranges_max);
	return rc;
}

static int data_end(struct ocp_processor *p, struct ocp_xaction *x, bool ok)
{
	int rc;

	if (x->left)
		return -EPIPE;
	rc = ocp_agent_send_am(&p->a, ok ? OCP_MSG_DATA_END : OCP_MSG_APP_MESSAGE_END, x->xid, x->am_id, !ok, NULL);
	if (!rc && !ok)
		x->am_open = false;
	return rc;
}

static int am_abort(struct ocp_processor *p, struct ocp_xaction *x, struct ocp_am *am)
{
	return ocp_agent_send_am(&p->a, OCP_MSG_APP_MESSAGE_END, x->xid, am->id, true, NULL);
}

static int xaction_end(struct ocp_processor *p, struct ocp_xaction *x, bool error, const struct ocp_result *result)
{
	return ocp_agent_send_xaction_end(&p->a, x->xid, error, result);
}

/* <93> <104>: in the draft only the callout server pauses. */
static int am_pause(struct ocp_processor *p, struct ocp_xaction *x, uint64_t offset)
{
	return -ENOTSUP;
}

static int am_need(struct ocp_processor *p, struct ocp_xaction *x, uint32_t request)
{
	return -ENOTSUP;
}

static int working(struct ocp_processor *p, struct ocp_xaction *x)
{
	struct ocp_msg m = {.type = OCP_MSG_I_AM_HERE, .has = OCP_HAS(OCP_P_XID), .xid = x->xid};

	return ocp_agent_send(&p->a, &m, NULL, 0, NULL);
}

static uint64_t room(const struct ocp_processor *p, const struct ocp_xaction *x, enum ocp_part part)
{
	return UINT64_MAX;
}

const struct ocp_processor_wire ocp_processor_draft_wire = {
	.connect = connect_,
	.priority = priority_,
	.service = service_,
	.please_use = please_use,
	.do_you_support = do_you_support,
	.may_start = may_start,
	.start = start,
	.data = data_,
	.data_end = data_end,
	.am_abort = am_abort,
	.xaction_end = xaction_end,
	.am_pause = am_pause,
	.am_need = am_need,
	.working = working,
	.room = room,
	.message = ocp_processor_draft_message,
};
