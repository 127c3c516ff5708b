/* SPDX-License-Identifier: BSD-3-Clause */
/* Callout server agent, draft dialect: what is sent. */
#include <errno.h>
#include "ocp/ocp_server_private.h"

static int working(struct ocp_server *s, struct ocp_xaction *x)
{
	struct ocp_msg m = {.type = OCP_MSG_I_AM_HERE, .has = OCP_HAS(OCP_P_XID), .xid = x->xid};

	return ocp_agent_send(&s->a, &m, NULL, 0, NULL);
}

static int am_start(struct ocp_server *s, struct ocp_xaction *x, struct ocp_str meta,
		    const struct ocp_send *send, uint32_t *am_id)
{
	struct ocp_msg m = {
		.type = OCP_MSG_APP_MESSAGE_START,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_META_DATA),
		.xid = x->xid,
		.meta_data = meta,
	};
	struct ocp_am *am;
	int rc;

	if (meta.len > s->a.limits.atom)
		return -EINVAL;
	m.am_id = x->last_am_id < 0 ? 2 : (uint32_t)x->last_am_id + 2;
	if (m.am_id > OCP_ID_MAX)
		return -EOVERFLOW;
	if (send->modified)
		m.has |= OCP_HAS(OCP_P_MODIFIED);
	if (send->sizep >= 0) {
		m.has |= OCP_HAS(OCP_P_SIZEP);
		m.sizep = (uint64_t)send->sizep;
	}
	if (send->modp >= 0) {
		m.has |= OCP_HAS(OCP_P_MODP);
		m.modp = (uint32_t)send->modp;
	}
	am = ocp_xaction_am_add(&s->a, x, m.am_id);
	if (!am)
		return -ENOMEM;
	rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
	if (rc)
		ocp_xaction_am_drop(&s->a, x, am);
	*am_id = m.am_id;
	return rc;
}

static int data_have(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am,
		     const void *data, size_t len, void *cookie, const struct ocp_send *send)
{
	uint64_t flags = 0;

	if (send->modified)
		flags |= OCP_HAS(OCP_P_MODIFIED);
	if (send->ack)
		flags |= OCP_HAS(OCP_P_ACK);
	return ocp_agent_send_data(&s->a, x->xid, am->id, &am->offset, data, len, cookie, send, flags);
}

static bool committed(const struct ocp_xaction *x, uint64_t from, uint64_t size)
{
	return ocp_ranges_cover(&x->kept, from, from + size);
}

static int as_is(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, uint64_t from,
		 uint64_t size, enum ocp_part part)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_AS_IS,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) |
		       OCP_HAS(OCP_P_SIZE) | OCP_HAS(OCP_P_COPY_AM_ID) |
		       OCP_HAS(OCP_P_COPY_AM_OFFSET) | (part ? OCP_HAS(OCP_P_AM_PART) : 0),
		.xid = x->xid,
		.am_id = am->id,
		.copy_am_id = x->am_id,
		.am_part = part,
	};

	if (size > OCP_OFFSET_MAX - am->offset)
		return -EOVERFLOW;
	do {
		uint64_t n = size < OCP_ID_MAX ? size : OCP_ID_MAX;
		int rc;

		m.offset = am->offset;
		m.size = n;
		m.copy_am_offset = from;
		rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
		if (rc)
			return rc;
		am->offset += n;
		from += n;
		size -= n;
	} while (size);
	am->last_as_is = true;
	am->as_is_end = from;
	return 0;
}

static int data_end(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am)
{
	return ocp_agent_send_am(&s->a, OCP_MSG_DATA_END, x->xid, am->id, false, NULL);
}

static int am_end(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, bool error,
		  const struct ocp_result *result)
{
	return ocp_agent_send_am(&s->a, OCP_MSG_APP_MESSAGE_END, x->xid, am->id, error, result);
}

static int pause_(struct ocp_server *s, struct ocp_xaction *x)
{
	return ocp_agent_send_am(&s->a, OCP_MSG_DATA_PAUSE, x->xid, x->am_id, false, NULL);
}

static int need(struct ocp_server *s, struct ocp_xaction *x, uint32_t request)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_NEED,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET),
		.xid = x->xid,
		.am_id = x->am_id,
		.offset = x->offset,
		.size_request = request,
	};

	if (request)
		m.has |= OCP_HAS(OCP_P_SIZE_REQUEST);
	return ocp_agent_send(&s->a, &m, NULL, 0, NULL);
}

static int ack(struct ocp_server *s, struct ocp_xaction *x, uint64_t offset, uint64_t size,
	       bool wont_forward)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_ACK,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) |
		       OCP_HAS(OCP_P_SIZE) | (wont_forward ? OCP_HAS(OCP_P_WONT_FORWARD) : 0),
		.xid = x->xid,
		.am_id = x->am_id,
	};
	int rc = 0;

	if (wont_forward) {
		rc = ocp_ranges_remove(&x->kept, offset, offset + size, s->a.ranges_max);
		if (rc)
			return rc;
		if (offset + size > x->released)
			x->released = offset + size;
	}
	do {
		m.offset = offset;
		m.size = size < OCP_ID_MAX ? size : OCP_ID_MAX;
		rc = ocp_agent_send(&s->a, &m, NULL, 0, NULL);
		offset += m.size;
		size -= m.size;
	} while (!rc && size);
	return rc;
}

static int leave_loop(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am)
{
	const struct ocp_result partial = {.code = OCP_RESULT_PARTIAL};
	const struct ocp_current *c = &s->a.current;
	uint64_t rest = am->last_as_is ? am->as_is_end : x->offset;
	int rc = 0;

	if (c->wanted && c->xid == x->xid && c->seen < c->size)
		return -EBUSY;
	if (!x->am_known || rest < x->released ||
	    (rest && !ocp_ranges_cover(&x->kept, rest - 1, rest)))
		return -EPERM;
	if (!am->last_as_is)
		rc = as_is(s, x, am, rest, 0, OCP_PART_NONE);
	if (!rc)
		rc = ocp_agent_send_am(&s->a, OCP_MSG_DATA_END, x->xid, am->id, false, &partial);
	return rc ? rc : ocp_server_xaction_end(s, x->xid, false, NULL);
}

static int stop_receiving(struct ocp_server *s, struct ocp_xaction *x, uint64_t size)
{
	return -ENOTSUP;
}

static int xaction_end(struct ocp_server *s, struct ocp_xaction *x, bool error,
		       const struct ocp_result *result)
{
	return ocp_agent_send_xaction_end(&s->a, x->xid, error, result);
}

static void slice(struct ocp_server *s, struct ocp_xaction *x, struct ocp_data *d)
{
	/* Beyond ranges_max the octets count as not committed: as_is is refused, nothing else is
	 * lost. */
	if (d->copied)
		ocp_ranges_append(&x->kept, d->offset, x->offset, s->a.ranges_max);
}

static void ended(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_xaction_ending *e)
{
	struct ocp_original_ending o = {.ok = true};

	/* xaction-end without error implies the end of the message <75> */
	if (e && e->how == OCP_XEND_NORMAL && x->am_open) {
		o.result = e->result;
		ocp_server_original_over(a, x, true, &o);
	}
}

const struct ocp_server_wire ocp_server_draft_wire = {
	.working = working,
	.am_start = am_start,
	.data = data_have,
	.committed = committed,
	.as_is = as_is,
	.data_end = data_end,
	.am_end = am_end,
	.pause = pause_,
	.need = need,
	.ack = ack,
	.leave_loop = leave_loop,
	.stop_receiving = stop_receiving,
	.xaction_end = xaction_end,
	.slice = slice,
	.ended = ended,
};
