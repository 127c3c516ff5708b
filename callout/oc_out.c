/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Adapted data on its way to the processor: straight on, or held while the processor pauses us (RFC 4037 sections 11.15 to
 * 11.17). Held data is bounded: beyond OC_LATER_HIGH the original is paused, too, and a processor that then still goes on
 * loses the transaction.
 */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int oc_now_data(struct oc_xaction *x, const struct oc_piece *d, const uint8_t *p, size_t len, uint64_t skip)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct oc_buf *in = x->conn->in;
	int rc;

	send.part = x->mail || x->rtsp ? OCP_PART_NONE : (enum ocp_part)d->part;
	send.modified = d->modified;
	send.as_is = d->known ? (int64_t)(d->offset + skip) : -1;
	/* Octets of the input buffer are sent from where they are. */
	if (!(in && p >= in->data && p < in->data + OC_BUF_SIZE))
		in = NULL;
	rc = ocp_server_data(x->conn->ocp, x->xid, x->am_id, p, len, in, &send);
	if (rc == 0)
		x->service->st.octets_have += len;
	return rc;
}

static int oc_now_as_is(struct oc_xaction *x, const struct oc_piece *d, uint64_t skip, uint64_t size)
{
	int rc = ocp_server_as_is(x->conn->ocp, x->xid, x->am_id, d->offset + skip, size,
				  x->mail || x->rtsp ? OCP_PART_NONE : (enum ocp_part)d->part);

	if (rc == 0)
		x->service->st.octets_as_is += size;
	return rc;
}

static void oc_later_count(struct oc_xaction *x, size_t n, bool more)
{
	x->later_octets = more ? x->later_octets + n : x->later_octets - n;
	x->conn->later_octets = more ? x->conn->later_octets + n : x->conn->later_octets - n;
}

/* Too much is held: the original has to pause as well, or the transaction is given up. */
static int oc_later_check(struct oc_xaction *x)
{
	if (x->conn->later_octets > x->conn->loop->cfg.out_high * OC_LATER_FACTOR) {
		oc_refuse(x, "the processor pauses the adapted message and goes on with the original");
		return -ENOBUFS;
	}
	if (x->later_octets > OC_LATER_HIGH && !x->held_up &&
	    ocp_server_pause(x->conn->ocp, x->xid) == 0)
		x->held_up = true;
	return 0;
}

static int oc_later_add(struct oc_xaction *x, const struct oc_piece *d, const uint8_t *p, uint64_t skip)
{
	size_t n = p ? d->size - skip : 0;
	struct oc_later *l = x->later_last;

	if (!p && l && l->piece.ref && d->ref && l->piece.part == d->part &&
	    l->piece.offset + l->piece.size == d->offset + skip) {
		l->piece.size += d->size - skip;
		return 0;
	}
	l = malloc(sizeof(*l) + n);
	if (!l)
		return -ENOMEM;
	l->next = NULL;
	l->done = 0;
	l->piece = *d;
	l->piece.offset += skip;
	l->piece.size -= skip;
	if (n)
		memcpy(l->bytes, p + skip, n);
	if (x->later_last)
		x->later_last->next = l;
	else
		x->later = l;
	x->later_last = l;
	oc_later_count(x, sizeof(*l) + n, true);
	return oc_later_check(x);
}

/* p NULL: d is a reference. */
int oc_out(struct oc_xaction *x, const struct oc_piece *d, const uint8_t *p)
{
	uint64_t room = x->later ? 0 : ocp_server_room(x->conn->ocp, x->xid);
	uint64_t n = d->size < room ? d->size : room;
	int rc = 0;

	if (n)
		rc = p ? oc_now_data(x, d, p, n, 0) : oc_now_as_is(x, d, 0, n);
	return rc != 0 || n == d->size ? rc : oc_later_add(x, d, p, n);
}

void oc_out_drop(struct oc_xaction *x)
{
	while (x->later) {
		struct oc_later *l = x->later;

		x->later = l->next;
		oc_later_count(x, sizeof(*l) + (l->piece.ref ? 0 : l->piece.size), false);
		free(l);
	}
	x->later_last = NULL;
}

/* True: nothing is held any more. */
static bool oc_out_drain(struct oc_xaction *x)
{
	while (x->later) {
		struct oc_later *l = x->later;
		uint64_t room = ocp_server_room(x->conn->ocp, x->xid), left = l->piece.size - l->done;
		uint64_t n = left < room ? left : room;
		int rc;

		if (!n)
			return false;
		rc = l->piece.ref ? oc_now_as_is(x, &l->piece, l->done, n)
				  : oc_now_data(x, &l->piece, l->bytes + l->done, n, l->done);
		if (rc != 0) { /* e.g. the range is kept no longer: half a message is worth nothing */
			oc_out_drop(x);
			oc_abort_now(x, "adapted data could not be sent");
			return false;
		}
		l->done += n;
		if (l->done < l->piece.size)
			continue;
		x->later = l->next;
		if (!x->later)
			x->later_last = NULL;
		oc_later_count(x, sizeof(*l) + (l->piece.ref ? 0 : l->piece.size), false);
		free(l);
	}
	return true;
}

void oc_out_resume(struct oc_xaction *x)
{
	if (!oc_out_drain(x) || x->over)
		return;
	oc_xaction_flush(x); /* what was given up meanwhile */
	if (x->held_up) {
		x->held_up = false;
		if (!x->asked_pause)
			ocp_server_need(x->conn->ocp, x->xid, 0);
	}
	if (x->finishing)
		oc_end_now(x);
	else if (x->leave_now)
		oc_leave_now(x);
}
