/* SPDX-License-Identifier: BSD-3-Clause */
/* Both agents: input loop, output, connection messages, features, answers to are-you-there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core.h"
#include "ocp/ocp_message.h"

int ocp_agent_ready(const struct ocp_agent *a)
{
	return a->started && !a->over && !a->broken ? 0 : -ENOTCONN;
}

void ocp_agent_fault(struct ocp_agent *a, const struct ocp_xaction *x, enum ocp_fault f)
{
	a->counters.faults[f]++;
	if (a->on_fault)
		a->on_fault(a->ctx, x ? x->user : NULL, f, a->msg);
}

/* --- output --- */

static int output(struct ocp_agent *a, const struct ocp_msg *m, const char *head, size_t head_len,
		  const void *payload, size_t len, void *cookie)
{
	bool data = m->type == OCP_MSG_DATA_HAVE || m->type == OCP_MSG_DUM;
	struct ocp_output o = {
		.head = head,
		.head_len = head_len,
		.payload = len ? payload : NULL,
		.payload_len = len,
		.cookie = cookie,
		.tail = OCP_TAIL,
		.tail_len = data ? OCP_TAIL_LEN : 0,
	};

	if (a->output(a->ctx, &o)) {
		a->broken = true;
		return -ENOTCONN;
	}
	a->counters.tx_msgs[m->type]++;
	a->counters.tx_bytes += o.head_len + o.payload_len + o.tail_len;
	a->counters.tx_payload += o.payload_len;
	return 0;
}

int ocp_agent_send(struct ocp_agent *a, const struct ocp_msg *m, const void *payload, size_t len,
		   void *cookie)
{
	char small[OCP_HEAD_MAX * 2], *head = small;
	size_t n;
	int rc = ocp_agent_ready(a);

	if (!rc)
		rc = ocp_encode(m, len, small, sizeof(small), &n);
	if (rc == -ENOSPC) { /* long strings */
		head = malloc(n);
		rc = head ? ocp_encode(m, len, head, n, &n) : -ENOMEM;
	}
	if (!rc && a->core && ocp_core_holds(a, m->type))
		rc = ocp_core_hold(a, m, head, n, payload, len);
	else if (!rc)
		rc = output(a, m, head, n, payload, len, cookie);
	if (head != small)
		free(head);
	return rc;
}

/* RFC 4037 has no error flag: it is result 400 there (section 10.10). */
static void set_ending(const struct ocp_agent *a, struct ocp_msg *m, bool error, const struct ocp_result *r)
{
	const struct ocp_result failure = {.code = OCP_RESULT_FAILURE};

	if (a->core && error && (!r || !r->code))
		r = &failure;
	if (error && !a->core)
		m->has |= OCP_HAS(OCP_P_ERROR);
	if (r && r->code) {
		m->has |= OCP_HAS(OCP_P_RESULT);
		m->result = *r;
	}
}

int ocp_agent_send_xaction_end(struct ocp_agent *a, uint32_t xid, bool error,
			       const struct ocp_result *r)
{
	struct ocp_msg m = {
		.type = a->core ? OCP_MSG_TE : OCP_MSG_XACTION_END,
		.has = OCP_HAS(OCP_P_XID),
		.xid = xid,
	};

	set_ending(a, &m, error, r);
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

int ocp_agent_send_am(struct ocp_agent *a, enum ocp_msg_type type, uint32_t xid, uint32_t am_id,
		      bool error, const struct ocp_result *r)
{
	struct ocp_msg m = {
		.type = type,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID),
		.xid = xid,
		.am_id = am_id,
	};

	set_ending(a, &m, error, r);
	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

int ocp_agent_send_feature(struct ocp_agent *a, enum ocp_msg_type type, const struct ocp_uri *f)
{
	struct ocp_msg m = {.type = type, .has = OCP_HAS(OCP_P_FEATURE), .feature = *f};

	return ocp_agent_send(a, &m, NULL, 0, NULL);
}

int ocp_agent_ask_feature(struct ocp_agent *a, enum ocp_msg_type type, struct ocp_str uri)
{
	struct ocp_uri f = {.uri = uri};
	enum ocp_feature known = ocp_feature_find(uri);
	int rc = ocp_agent_send_feature(a, type, &f);

	if (!rc && type == OCP_MSG_PLEASE_USE && known < OCP_FEATURE_MAX)
		a->features_asked |= OCP_HAS(known);
	return rc;
}

int ocp_agent_send_data(struct ocp_agent *a, uint32_t xid, uint32_t am_id, uint64_t *offset,
			const void *data, size_t len, void *cookie, const struct ocp_send *send,
			uint64_t flags)
{
	struct ocp_msg m = {
		.type = OCP_MSG_DATA_HAVE,
		.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) | flags,
		.xid = xid,
		.am_id = am_id,
	};
	const uint8_t *p = data;

	if (len > OCP_OFFSET_MAX - *offset)
		return -EOVERFLOW;
	if (send && send->part) {
		m.has |= OCP_HAS(OCP_P_AM_PART);
		m.am_part = send->part;
	}
	if (send && send->modp >= 0) {
		m.has |= OCP_HAS(OCP_P_MODP);
		m.modp = (uint32_t)send->modp;
	}
	if (send && send->sizep >= 0)
		m.has |= OCP_HAS(OCP_P_SIZEP);
	do {
		size_t n = len < a->limits.payload ? len : a->limits.payload;
		int rc;

		m.offset = *offset;
		if (m.has & OCP_HAS(OCP_P_SIZEP)) /* excludes this message's data only <47> */
			m.sizep = (uint64_t)send->sizep + (len - n);
		rc = ocp_agent_send(a, &m, p, n, cookie);
		if (rc)
			return rc;
		p = p && n ? p + n : p;
		len -= n;
		*offset += n;
	} while (len);
	return 0;
}

int ocp_agent_probe(struct ocp_agent *a, bool with_xid, uint32_t xid, bool with_am, uint32_t am_id,
		    uint32_t *rid)
{
	struct ocp_msg m = {
		.type = OCP_MSG_ARE_YOU_THERE, .has = OCP_HAS(OCP_P_RID), .rid = a->next_rid};
	int rc;

	if (with_am && !with_xid)
		return -EINVAL;
	if (a->core)
		return ocp_core_probe(a, false, with_xid, xid, rid);
	if (with_xid) {
		m.has |= OCP_HAS(OCP_P_XID);
		m.xid = xid;
	}
	if (with_am) {
		m.has |= OCP_HAS(OCP_P_AM_ID);
		m.am_id = am_id;
	}
	rc = ocp_agent_send(a, &m, NULL, 0, NULL);
	if (rc)
		return rc;
	*rid = a->next_rid;
	a->next_rid = (a->next_rid + 1) & OCP_ID_MAX;
	return 0;
}

/* --- end of the connection --- */

void ocp_agent_close(struct ocp_agent *a, enum ocp_end how, const struct ocp_result *result)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_CONNECTION, .conn_end = how};

	if (a->over)
		return;
	a->over = how;
	a->current.wanted = false;
	if (result)
		e.result = *result;
	while (a->xactions) {
		struct ocp_link *l = a->quiet.next != &a->quiet ? a->quiet.next : a->asked.next;

		ocp_agent_finish(a, (struct ocp_xaction *)l, &e);
	}
	/* Ended by an owner in one of a transaction's last callbacks, which has others to come (INV-OCP-P3). */
	if (a->finishing)
		a->closing = true;
	else if (a->on_closed)
		a->on_closed(a->ctx, how, result);
}

void ocp_agent_end(struct ocp_agent *a, enum ocp_end how, bool error,
		   const struct ocp_result *result)
{
	struct ocp_msg m = {.type = a->core ? OCP_MSG_CE : OCP_MSG_CONNECTION_END};

	set_ending(a, &m, error, result);
	if (a->started)
		ocp_agent_send(a, &m, NULL, 0, NULL);
	ocp_agent_close(a, how, NULL);
}

/* --- messages of the connection --- */

static void on_connection_end(struct ocp_agent *a, const struct ocp_msg *m)
{
	ocp_agent_close(a, ocp_msg_failed(m) ? OCP_END_PEER_ERROR : OCP_END_PEER,
			ocp_msg_has(m, OCP_P_RESULT) ? &m->result : NULL);
}

/* <115> <118>: always answered, with those of the identifiers that are valid now. */
static void on_are_you_there(struct ocp_agent *a, const struct ocp_msg *m)
{
	struct ocp_msg r = {.type = OCP_MSG_I_AM_HERE, .has = OCP_HAS(OCP_P_RID), .rid = m->rid};
	const struct ocp_xaction *x = ocp_msg_has(m, OCP_P_XID) ? ocp_agent_find(a, m->xid) : NULL;

	if (x) {
		r.has |= OCP_HAS(OCP_P_XID);
		r.xid = x->xid;
		if (ocp_msg_has(m, OCP_P_AM_ID) &&
		    ((x->am_open && x->am_id == m->am_id) || ocp_xaction_am(x, m->am_id))) {
			r.has |= OCP_HAS(OCP_P_AM_ID);
			r.am_id = m->am_id;
		}
	}
	ocp_agent_send(a, &r, NULL, 0, NULL);
}

/* The answer about a transaction that made no progress. */
static void on_asked_answer(struct ocp_agent *a, struct ocp_xaction *x, bool maintained)
{
	struct ocp_xaction_ending e = {.how = OCP_XEND_LOST};
	uint32_t grace = x->grace;

	if (maintained || (a->role->alone && a->role->alone(x))) {
		x->grace++;
		if (!a->role->overdue(a, x)) {
			ocp_agent_touch(a, x);
			x->grace = grace + 1;
			return;
		}
		e.how = OCP_XEND_DEADLINE;
	}
	ocp_agent_give_up(a, x);
	ocp_agent_finish(a, x, &e);
}

bool ocp_agent_answered(struct ocp_agent *a, uint32_t rid, bool has_xid, uint32_t xid, bool has_am)
{
	if (a->probing && rid == a->probe_rid) {
		a->probing = false;
		return true;
	}
	for (struct ocp_link *l = a->asked.next; l != &a->asked; l = l->next) {
		struct ocp_xaction *x = (struct ocp_xaction *)l;

		if (x->asked_rid == rid) {
			on_asked_answer(a, x, has_xid && xid == x->xid && (has_am || !x->asked_am || x->am_ended));
			return true;
		}
	}
	return false;
}

static void on_i_am_here(struct ocp_agent *a, const struct ocp_msg *m)
{
	bool has_xid = ocp_msg_has(m, OCP_P_XID);
	struct ocp_xaction *x;

	if (ocp_msg_has(m, OCP_P_RID)) {
		bool has_am = has_xid && ocp_msg_has(m, OCP_P_AM_ID);

		if (!ocp_agent_answered(a, m->rid, has_xid, m->xid, has_am) && a->on_alive)
			a->on_alive(a->ctx, m->rid, has_xid, has_am);
		return;
	}
	x = has_xid ? ocp_agent_find(a, m->xid) : NULL;
	if (x)
		ocp_agent_touch(a, x);
}

static void answer_feature(struct ocp_agent *a, const struct ocp_msg *m, enum ocp_feature f)
{
	bool known = f < OCP_FEATURE_MAX && (a->features_known & OCP_HAS(f));

	if (m->type == OCP_MSG_DO_YOU_SUPPORT) {
		ocp_agent_send_feature(a, known ? OCP_MSG_I_DO_SUPPORT : OCP_MSG_I_DONT_SUPPORT,
				       &m->feature);
		return;
	}
	ocp_agent_send_feature(a, known ? OCP_MSG_I_WILL_USE : OCP_MSG_I_WONT_USE, &m->feature);
	if (!known)
		return;
	a->features_used |= OCP_HAS(f);
	if (a->on_feature)
		a->on_feature(a->ctx, f, m->feature.uri, OCP_ANSWER_WILL_USE);
}

static void on_feature(struct ocp_agent *a, const struct ocp_msg *m)
{
	enum ocp_feature f = ocp_feature_find(m->feature.uri);
	enum ocp_answer answer = OCP_ANSWER_UNSUPPORTED;

	switch (m->type) {
	case OCP_MSG_I_WILL_USE:
	case OCP_MSG_I_WONT_USE:
		answer = m->type == OCP_MSG_I_WILL_USE ? OCP_ANSWER_WILL_USE : OCP_ANSWER_WONT_USE;
		if (f == OCP_FEATURE_MAX)
			break;
		if (!(a->features_asked & OCP_HAS(f)))
			return; /* nobody asked */
		a->features_asked &= ~OCP_HAS(f);
		if (answer == OCP_ANSWER_WILL_USE)
			a->features_used |= OCP_HAS(f);
		break;
	case OCP_MSG_I_DO_SUPPORT:
		answer = OCP_ANSWER_SUPPORTED;
		break;
	case OCP_MSG_I_DONT_SUPPORT:
		break;
	default:
		answer_feature(a, m, f);
		return;
	}
	if (a->on_feature)
		a->on_feature(a->ctx, f, m->feature.uri, answer);
}

/* --- input --- */

static void dispatch(struct ocp_agent *a, const struct ocp_msg *m)
{
	a->msg = m->type;
	a->counters.rx_msgs[m->type]++;
	a->counters.unknown_params += m->unknown_params;
	if (!a->started && a->role->first && a->role->first(a, m))
		return;
	if (a->core) {
		ocp_core_dispatch(a, m);
		return;
	}
	if (!a->started && m->type != OCP_MSG_CONNECTION_START) {
		ocp_agent_fault(a, NULL, OCP_FAULT_OUTSIDE);
		ocp_agent_close(a, OCP_END_OUTSIDE, NULL);
		return;
	}
	switch (m->type) {
	case OCP_MSG_UNKNOWN:
		ocp_agent_fault(a, NULL, OCP_FAULT_UNKNOWN_MSG);
		break;
	case OCP_MSG_CONNECTION_END:
		on_connection_end(a, m);
		break;
	case OCP_MSG_ARE_YOU_THERE:
		on_are_you_there(a, m);
		break;
	case OCP_MSG_I_AM_HERE:
		on_i_am_here(a, m);
		break;
	case OCP_MSG_DO_YOU_SUPPORT:
	case OCP_MSG_I_DO_SUPPORT:
	case OCP_MSG_I_DONT_SUPPORT:
	case OCP_MSG_PLEASE_USE:
	case OCP_MSG_I_WILL_USE:
	case OCP_MSG_I_WONT_USE:
		on_feature(a, m);
		break;
	default:
		a->role->message(a, m);
		break;
	}
}

void ocp_am_info_fill(struct ocp_am_info *i, const struct ocp_msg *m)
{
	*i = (struct ocp_am_info){
		.am_id = m->am_id,
		.meta = m->meta_data,
		.kind = ocp_meta_kind(m->meta_data),
		.sizep = ocp_msg_has(m, OCP_P_SIZEP) ? (int64_t)m->sizep : -1,
		.modp = ocp_msg_has(m, OCP_P_MODP) ? (int32_t)m->modp : -1,
		.am_el = -1,
	};
}

static void slice(struct ocp_agent *a, const uint8_t *data, size_t len)
{
	struct ocp_current *c = &a->current;
	struct ocp_data d = c->data;

	d.offset += c->seen;
	d.data = data;
	d.len = (uint32_t)len;
	d.cookie = a->cookie;
	d.first = !c->seen;
	c->seen += len;
	d.last = c->seen == c->size;
	a->role->slice(a, &d);
}

void ocp_agent_data_begin(struct ocp_agent *a, const struct ocp_msg *m)
{
	ocp_agent_data_begin_as(a, m, m->am_id, m->am_part);
}

void ocp_agent_data_begin_as(struct ocp_agent *a, const struct ocp_msg *m, uint32_t am_id, enum ocp_part part)
{
	a->current = (struct ocp_current){
		.wanted = true,
		.ack = ocp_msg_has(m, OCP_P_ACK),
		.xid = m->xid,
		.size = m->payload_size,
		.data =
			{
				.am_id = am_id,
				.offset = m->offset,
				.part = part,
				.modified = ocp_msg_has(m, OCP_P_MODIFIED),
				.copied = ocp_msg_has(m, OCP_P_COPIED),
				.sizep = ocp_msg_has(m, OCP_P_SIZEP) ? (int64_t)m->sizep : -1,
				.modp = ocp_msg_has(m, OCP_P_MODP) ? (int32_t)m->modp : -1,
			},
	};
	if (!m->payload_size)
		slice(a, NULL, 0);
}

/* <87> <110>: a whole data-have has been received. */
static void message_end(struct ocp_agent *a)
{
	struct ocp_current *c = &a->current;
	struct ocp_xaction *x;

	if (!c->wanted)
		return;
	c->wanted = false;
	x = c->ack ? ocp_agent_find(a, c->xid) : NULL;
	if (x && ((x->am_open && x->am_id == c->data.am_id) || ocp_xaction_am(x, c->data.am_id))) {
		struct ocp_msg m = {
			.type = OCP_MSG_DATA_ACK,
			.has = OCP_HAS(OCP_P_XID) | OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) |
			       OCP_HAS(OCP_P_SIZE),
			.xid = c->xid,
			.am_id = c->data.am_id,
			.offset = c->data.offset,
			.size = c->size,
		};

		ocp_agent_send(a, &m, NULL, 0, NULL);
	}
}

static void malformed(struct ocp_agent *a, enum ocp_bad bad)
{
	struct ocp_result r = {OCP_RESULT_FAILURE, ocp_str(ocp_bad_text(bad))};

	a->msg = OCP_MSG_UNKNOWN;
	if (!a->started && a->role->first && a->role->first(a, NULL))
		return;
	if (!a->started) { /* there is no connection that connection-end could end */
		ocp_agent_fault(a, NULL, OCP_FAULT_OUTSIDE);
		ocp_agent_close(a, OCP_END_OUTSIDE, NULL);
		return;
	}
	ocp_agent_fault(a, NULL, OCP_FAULT_MALFORMED);
	ocp_agent_end(a, OCP_END_MALFORMED, true, &r);
}

static void handle(struct ocp_agent *a, const struct ocp_event *ev)
{
	switch (ev->type) {
	case OCP_EVENT_MESSAGE:
		dispatch(a, ev->msg);
		break;
	case OCP_EVENT_PAYLOAD:
		a->counters.rx_payload += ev->len;
		if (a->current.wanted)
			slice(a, ev->data, ev->len);
		break;
	case OCP_EVENT_END:
		message_end(a);
		break;
	case OCP_EVENT_BAD:
		malformed(a, ev->bad);
		break;
	case OCP_EVENT_NEED_MORE:
		break;
	}
}

int ocp_agent_input(struct ocp_agent *a, const void *buf, size_t len, void *cookie, uint64_t now_us)
{
	const uint8_t *p = buf;
	struct ocp_event ev;

	a->now = now_us;
	a->cookie = cookie;
	if (len)
		a->last_rx = now_us;
	do {
		size_t n;

		if (a->broken)
			ocp_agent_close(a, OCP_END_OUTPUT, NULL);
		if (a->over)
			return -ENOTCONN;
		n = ocp_decoder_feed(a->decoder, p, len, &ev);
		a->counters.rx_bytes += n;
		p = p && n ? p + n : p;
		len -= n;
		handle(a, &ev);
	} while (ev.type != OCP_EVENT_NEED_MORE);
	if (a->broken)
		ocp_agent_close(a, OCP_END_OUTPUT, NULL);
	return a->over ? -ENOTCONN : 0;
}
