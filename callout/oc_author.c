/* SPDX-License-Identifier: BSD-3-Clause */
/* What a service can do to a transaction (opes_callout.h). */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct ocp_server *oc_ocp(const struct oc_xaction *x)
{
	return x->conn->ocp;
}

/* Errors of the agent for names that are gone, in the words of this library. */
static int oc_rc(int rc)
{
	return rc == -ENOTCONN ? -ENOENT : rc;
}

void oc_xaction_pend(struct oc_xaction *x)
{
	if (!x->in_pending) {
		x->in_pending = true;
		x->pending_next = x->conn->pending;
		x->conn->pending = x;
	}
	oc_conn_dirty(x->conn);
}

/* Octets that could not be sent are missing from the message: it must not pass for a whole one. */
static int oc_sent(struct oc_xaction *x, int rc)
{
	if (rc != 0 && rc != -ENOENT && rc != -ENOTCONN && !x->over)
		oc_abort_now(x, "adapted data could not be sent");
	return rc;
}

static int oc_flush_as_is(struct oc_xaction *x)
{
	struct oc_piece d = {.part = x->as_is_part, .ref = true, .offset = x->as_is.offset, .size = x->as_is.size};

	if (!d.size)
		return 0;
	x->as_is.size = 0;
	return oc_sent(x, oc_out(x, &d, NULL));
}

/* <110>: an acknowledgement says that its data-have has come as a whole. What is given up of one that has not, waits. */
static int oc_flush_release(struct oc_xaction *x)
{
	bool any = x->last_slice || ocp_server_dialect(oc_ocp(x)) == OCP_DIALECT_CORE;
	struct oc_range r = x->release;
	int rc = oc_flush_as_is(x); /* it may refer to what is released now */

	if (rc != 0 || !r.size || x->later) /* what is held may refer to it, too */
		return rc;
	if (!any && r.offset >= x->whole)
		return 0;
	if (!any && r.size > x->whole - r.offset)
		r.size = x->whole - r.offset;
	x->release.offset += r.size;
	x->release.size -= r.size;
	return ocp_server_ack(oc_ocp(x), x->xid, r.offset, r.size, true);
}

int oc_xaction_flush(struct oc_xaction *x)
{
	return x->over ? 0 : oc_flush_release(x);
}

int oc_start_adapted(struct oc_xaction *x, const struct oc_adapted *a)
{
	struct oc_adapted none = OC_ADAPTED_INIT;
	struct ocp_send send = OCP_SEND_INIT;
	int rc;

	if (oc_gone(x))
		return -ENOENT;
	if (!a)
		a = &none;
	rc = oc_flush_as_is(x);
	if (rc == 0 && x->am_open)
		rc = ocp_server_data_end(oc_ocp(x), x->xid, x->am_id, true);
	if (rc != 0)
		return oc_rc(rc);
	x->am_open = false;
	send.modified = a->modified;
	send.sizep = a->sizep;
	send.modp = a->modp;
	send.am_el = a->body;
	rc = ocp_server_am_start(oc_ocp(x), x->xid, (struct ocp_str){a->meta.p, (uint32_t)a->meta.len}, &send,
				 &x->am_id);
	if (rc == 0)
		x->begun = x->am_open = true;
	return oc_rc(rc);
}

static int oc_ready(struct oc_xaction *x)
{
	if (x->over)
		return -ENOENT;
	return x->am_open ? 0 : oc_start_adapted(x, NULL);
}

static int oc_put(struct oc_xaction *x, const struct oc_piece *d, const void *bytes)
{
	int rc = oc_ready(x);

	if (rc == 0)
		rc = oc_flush_as_is(x);
	if (rc == 0 && d->size)
		rc = oc_sent(x, oc_out(x, d, bytes));
	return oc_rc(rc);
}

int oc_send(struct oc_xaction *x, enum oc_part part, const void *bytes, size_t len, bool modified)
{
	struct oc_piece d = {.part = part, .modified = modified, .size = len};

	return oc_gone(x) ? -ENOENT : oc_put(x, &d, bytes);
}

int oc_copy(struct oc_xaction *x, enum oc_part part, uint64_t offset, const void *bytes, size_t len)
{
	struct oc_piece d = {.part = part, .known = true, .offset = offset, .size = len};

	return oc_gone(x) ? -ENOENT : oc_put(x, &d, bytes);
}

bool oc_committed(const struct oc_xaction *x, uint64_t offset, uint64_t size)
{
	return !x->over && ocp_server_committed(oc_ocp(x), x->xid, offset, size);
}

static int oc_refer(struct oc_xaction *x, enum oc_part part, uint64_t offset, uint64_t size)
{
	int rc = oc_ready(x);

	if (rc == 0 && !ocp_server_committed(oc_ocp(x), x->xid, offset, size))
		rc = -EPERM;
	if (rc != 0 || !size)
		return rc;
	if (x->as_is.size && x->as_is_part == part && x->as_is.offset + x->as_is.size == offset) {
		x->as_is.size += size;
		return 0;
	}
	rc = oc_flush_as_is(x);
	if (rc != 0)
		return oc_rc(rc);
	x->as_is = (struct oc_range){offset, size};
	x->as_is_part = part;
	oc_xaction_pend(x);
	return 0;
}

int oc_as_is(struct oc_xaction *x, enum oc_part part, uint64_t offset, uint64_t size)
{
	return oc_gone(x) ? -ENOENT : oc_refer(x, part, offset, size);
}

static int oc_give_up(struct oc_xaction *x, uint64_t offset, uint64_t size)
{
	int rc;

	if (!size || !(oc_committed(x, offset, 1) || oc_committed(x, offset + size - 1, 1)))
		return 0;
	if (x->release.size && x->release.offset + x->release.size == offset) {
		x->release.size += size;
		oc_xaction_pend(x);
		return 0;
	}
	rc = oc_flush_release(x);
	if (rc != 0)
		return oc_rc(rc);
	/* What of the range before still waits for its data-have is not told: the processor keeps it to the end. */
	x->release = (struct oc_range){offset, size};
	oc_xaction_pend(x);
	return 0;
}

int oc_release(struct oc_xaction *x, uint64_t offset, uint64_t size)
{
	return oc_gone(x) ? -ENOENT : oc_give_up(x, offset, size);
}

int oc_ack(struct oc_xaction *x, uint64_t offset, uint64_t size)
{
	return oc_gone(x) ? -ENOENT : oc_rc(ocp_server_ack(oc_ocp(x), x->xid, offset, size, false));
}

int oc_pass(struct oc_xaction *x, enum oc_part part, uint64_t offset, const void *bytes, size_t len)
{
	struct oc_piece d = {.part = part, .known = true, .offset = offset, .size = len};
	int rc;

	if (!len)
		return 0;
	rc = oc_refer(x, part, offset, len);
	if (rc == -EPERM)
		rc = oc_put(x, &d, bytes);
	return rc == 0 ? oc_give_up(x, offset, len) : rc;
}

int oc_forward(struct oc_xaction *x, enum oc_part part, uint64_t offset, const void *bytes, size_t len)
{
	return oc_gone(x) ? -ENOENT : oc_pass(x, part, offset, bytes, len);
}

int oc_pause(struct oc_xaction *x)
{
	int rc = oc_gone(x) ? -ENOENT : oc_rc(ocp_server_pause(oc_ocp(x), x->xid));

	if (rc == 0)
		x->asked_pause = true;
	return rc;
}

int oc_need(struct oc_xaction *x, uint32_t request)
{
	if (oc_gone(x))
		return -ENOENT;
	x->asked_pause = false;
	return x->held_up ? 0 : oc_rc(ocp_server_need(oc_ocp(x), x->xid, request));
}

int oc_working(struct oc_xaction *x)
{
	return oc_gone(x) ? -ENOENT : oc_rc(ocp_server_working(oc_ocp(x), x->xid));
}

int oc_stop_receiving(struct oc_xaction *x, uint64_t size)
{
	int rc = oc_gone(x) ? -ENOENT : oc_rc(ocp_server_stop_receiving(oc_ocp(x), x->xid, size));

	if (rc == 0)
		x->prefix = true;
	return rc;
}

int oc_end_now(struct oc_xaction *x)
{
	int rc = 0;

	if (x->am_open)
		rc = ocp_server_data_end(oc_ocp(x), x->xid, x->am_id, true);
	if (rc == 0)
		rc = ocp_server_xaction_end(oc_ocp(x), x->xid, false, NULL);
	if (rc == 0)
		oc_xaction_close(x, OC_CLOSE_DONE);
	return oc_rc(rc);
}

int oc_end(struct oc_xaction *x)
{
	int rc;

	if (oc_gone(x))
		return -ENOENT;
	rc = oc_flush_as_is(x); /* releases need not be sent: the end implies them */
	if (rc == 0 && x->later) {
		x->finishing = true;
		return 0;
	}
	return rc == 0 ? oc_end_now(x) : oc_rc(rc);
}

/* The last words of a transaction that the processor lets go: 0 when they have been said, -EAGAIN when some octets have to
 * wait for the processor to take data again. */
int oc_leave_now(struct oc_xaction *x)
{
	int rc = oc_flush_as_is(x);

	x->leave_now = true;
	if (rc == 0 && x->later)
		return -EAGAIN;
	if (rc == 0)
		rc = ocp_server_leave_loop(oc_ocp(x), x->xid, x->am_id);
	if (rc == 0)
		oc_xaction_close(x, OC_CLOSE_DONE);
	return oc_rc(rc);
}

/* Draft: agreed on for the connection, and only between data-haves. */
static int oc_may_leave(struct oc_xaction *x)
{
	bool agreed = ocp_server_features(oc_ocp(x)) & OCP_HAS(OCP_FEATURE_LEAVE_LOOP);

	if (agreed)
		return x->last_slice || ocp_server_dialect(oc_ocp(x)) == OCP_DIALECT_CORE ? 0 : -EPERM;
	if (!x->conn->asked_leave) { /* so that the next transaction may */
		x->conn->asked_leave = true;
		ocp_server_please_use(oc_ocp(x), ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP)));
	}
	return -ENOTSUP;
}

int oc_leave_loop(struct oc_xaction *x)
{
	int rc = oc_gone(x) ? -ENOENT : oc_may_leave(x);

	if (rc == 0)
		rc = oc_ready(x);
	if (rc == 0)
		rc = oc_flush_as_is(x);
	if (rc == 0)
		rc = ocp_server_leave_loop(oc_ocp(x), x->xid, x->am_id);
	if (rc == -EBUSY) /* in the middle of a data-have */
		rc = -EPERM;
	if (rc < 0)
		return oc_rc(rc);
	x->service->st.left++;
	if (rc == 0)
		oc_xaction_close(x, OC_CLOSE_DONE);
	else
		x->leaving = true;
	return 0;
}

int oc_refuse(struct oc_xaction *x, const char *reason)
{
	int rc;

	if (x->over)
		return -ENOENT;
	oc_out_drop(x);
	rc = ocp_server_refuse(oc_ocp(x), x->xid, reason);
	if (rc == 0) {
		x->service->st.refused++;
		oc_xaction_close(x, OC_CLOSE_DONE);
	}
	return oc_rc(rc);
}

int oc_abort_now(struct oc_xaction *x, const char *reason)
{
	struct ocp_result result = {.code = OCP_RESULT_FAILURE, .reason = ocp_str(reason)};
	int rc = 0;

	oc_out_drop(x);
	if (x->received) /* fails when the processor has aborted the original itself: as good */
		ocp_server_ack(oc_ocp(x), x->xid, 0, x->received, true);
	if (x->am_open)
		rc = ocp_server_am_end(oc_ocp(x), x->xid, x->am_id, true, &result);
	if (rc == 0)
		rc = ocp_server_xaction_end(oc_ocp(x), x->xid, false, NULL);
	if (rc == 0) {
		x->service->st.aborted++;
		oc_xaction_close(x, OC_CLOSE_DONE);
	}
	return oc_rc(rc);
}

int oc_abort(struct oc_xaction *x, const char *reason)
{
	int rc = oc_gone(x) ? -ENOENT : oc_ready(x);

	if (rc == 0)
		rc = oc_flush_as_is(x);
	return rc == 0 ? oc_abort_now(x, reason) : oc_rc(rc);
}

/* An SMTP reply in place of a mail. */
static int oc_answer_mail(struct oc_xaction *x, const struct oc_answer *a)
{
	struct oc_adapted am = OC_ADAPTED_INIT;
	char reply[512];
	int rc, n;

	n = a->smtp ? snprintf(reply, sizeof(reply), "%s\r\n", a->smtp)
		    : snprintf(reply, sizeof(reply), "550 5.7.1 %s\r\n", a->phrase ? a->phrase : "Refused");
	if (n < 0 || (size_t)n >= sizeof(reply))
		return -EINVAL;
	am.meta = oc_str("Protocol: SMTP\r\nKind: response\r\n");
	am.modified = true;
	am.sizep = n;
	rc = oc_start_adapted(x, &am);
	if (rc == 0)
		rc = oc_send(x, OC_PART_NONE, reply, (size_t)n, true);
	if (rc == 0) {
		x->service->st.answered++;
		rc = oc_end(x);
	}
	return rc;
}

int oc_answer(struct oc_xaction *x, const struct oc_answer *a)
{
	struct oc_adapted am = OC_ADAPTED_INIT;
	char head[2048];
	int rc, n;

	if (oc_gone(x))
		return -ENOENT;
	if (x->begun)
		return -EALREADY;
	if (!x->started || (x->msg.kind != OC_KIND_REQUEST && x->msg.kind != OC_KIND_RESPONSE))
		return -EPROTO;
	if (x->mail)
		return oc_answer_mail(x, a);
	n = snprintf(head, sizeof(head),
		     "%s %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", x->rtsp ? "RTSP/1.0" : "HTTP/1.1",
		     a->status ? a->status : 403, a->phrase ? a->phrase : "Forbidden",
		     a->content_type ? a->content_type : "text/html; charset=utf-8", a->len,
		     a->fields ? a->fields : "");
	if (n < 0 || (size_t)n >= sizeof(head))
		return -EINVAL;
	if (x->msg.kind == OC_KIND_REQUEST)
		am.meta = x->rtsp ? oc_str("Protocol: RTSP/1.0\r\nKind: response\r\n")
				  : oc_str("Protocol: HTTP/1.1\r\nKind: response\r\n");
	am.modified = true;
	am.sizep = (int64_t)((size_t)n + a->len);
	am.body = (int64_t)a->len;
	rc = oc_start_adapted(x, &am);
	if (rc == 0)
		rc = oc_send(x, OC_PART_RESPONSE_HEADER, head, (size_t)n, true);
	if (rc == 0)
		rc = oc_send(x, OC_PART_RESPONSE_BODY, a->body, a->len, true);
	if (rc == 0) {
		x->service->st.answered++;
		rc = oc_end(x);
	}
	return rc;
}

const struct oc_message *oc_message(const struct oc_xaction *x)
{
	return x->started ? &x->msg : NULL;
}

bool oc_meta(const struct oc_xaction *x, const char *name, struct oc_str *value)
{
	struct ocp_str v;

	if (!ocp_meta_get((struct ocp_str){x->msg.meta.p, (uint32_t)x->msg.meta.len}, name, &v))
		return false;
	*value = (struct oc_str){v.p, v.len};
	return true;
}

void *oc_state(struct oc_xaction *x)
{
	return x->state;
}

void *oc_config(const struct oc_xaction *x)
{
	return x->service->config;
}

const char *oc_service_uri(const struct oc_xaction *x)
{
	return x->service->uri;
}

struct oc_loop *oc_xaction_loop(const struct oc_xaction *x)
{
	return x->conn->loop;
}

uint32_t oc_xid(const struct oc_xaction *x)
{
	return x->xid;
}

uint64_t oc_received(const struct oc_xaction *x)
{
	return x->received;
}

bool oc_begun(const struct oc_xaction *x)
{
	return x->begun;
}

void oc_count_hit(struct oc_xaction *x)
{
	x->service->st.hits++;
}
