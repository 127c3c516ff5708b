/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent: a transaction's state and what its owner hears of it, whatever the dialect. */
#include <stdlib.h>
#include "ocp/ocp_processor_private.h"

/* --- adapted messages --- */

struct ocp_am *ocp_processor_am_new(struct ocp_agent *a, struct ocp_xaction *x, uint32_t am_id)
{
	x->last_am_id = am_id;
	return x->ams_open < a->ams_max ? ocp_xaction_am_add(a, x, am_id) : NULL;
}

void ocp_processor_am_begun(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_am_info *info)
{
	struct ocp_processor *p = ocp_processor_of(a);

	if (p->ops.am_start)
		p->ops.am_start(a->ctx, x->user, info);
}

enum ocp_fault ocp_processor_am_place(const struct ocp_am *am, uint64_t offset, uint64_t size, uint64_t max)
{
	if (am->ended)
		return OCP_FAULT_AFTER_END;
	if (offset != am->offset)
		return OCP_FAULT_OFFSET;
	if (size > max - am->offset)
		return max == OCP_CORE_MAX ? OCP_FAULT_RANGE_2G : OCP_FAULT_OFFSET;
	return OCP_FAULT_NONE;
}

void ocp_processor_am_data(struct ocp_agent *a, struct ocp_am *am, const struct ocp_msg *m, enum ocp_part part)
{
	am->offset += m->payload_size;
	if (m->payload_size)
		am->last_as_is = false;
	ocp_agent_data_begin_as(a, m, am->id, part);
}

bool ocp_processor_may_reuse(const struct ocp_xaction *x, uint64_t from, uint64_t size)
{
	return size <= OCP_OFFSET_MAX - from && from + size <= x->offset &&
	       ocp_ranges_cover(&x->kept, from, from + size);
}

void ocp_processor_am_reuse(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am, uint64_t from, uint64_t size,
			    enum ocp_part part)
{
	struct ocp_processor *p = ocp_processor_of(a);
	struct ocp_as_is s = {am->id, am->offset, from, size, part};

	am->offset += size;
	am->last_as_is = true;
	am->as_is_end = from + size;
	if (p->ops.am_as_is)
		p->ops.am_as_is(a->ctx, x->user, &s);
}

void ocp_processor_am_complete(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
			       const struct ocp_am_ending *e)
{
	struct ocp_processor *p = ocp_processor_of(a);

	am->ended = true;
	if (p->ops.am_end)
		p->ops.am_end(a->ctx, x->user, e);
}

void ocp_processor_am_over(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
			   const struct ocp_am_ending *e)
{
	struct ocp_processor *p = ocp_processor_of(a);
	bool told = am->ended; /* INV-OCP-P1 */
	void *user = x->user;

	ocp_xaction_am_drop(a, x, am);
	if (!told && p->ops.am_end)
		p->ops.am_end(a->ctx, user, e);
}

void ocp_processor_left(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am, uint64_t rest,
			struct ocp_am_ending *e)
{
	struct ocp_processor *p = ocp_processor_of(a);
	uint32_t xid = x->xid, id = am->id;

	x->left = !a->core; /* there the peer may want to go on reading */
	e->ok = e->left = true;
	if (p->ops.left)
		p->ops.left(a->ctx, x->user, id, rest);
	x = ocp_agent_find(a, xid);
	am = x ? ocp_xaction_am(x, id) : NULL;
	if (am)
		ocp_processor_am_complete(a, x, am, e);
}

/* --- the original --- */

void ocp_processor_paused(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_processor *p = ocp_processor_of(a);

	if (p->ops.pause)
		p->ops.pause(a->ctx, x->user);
}

void ocp_processor_needed(struct ocp_agent *a, struct ocp_xaction *x, bool resumed, uint64_t have, uint32_t request)
{
	struct ocp_processor *p = ocp_processor_of(a);

	if (p->ops.need)
		p->ops.need(a->ctx, x->user, resumed, have, request);
}

void ocp_processor_acked(struct ocp_agent *a, struct ocp_xaction *x, uint64_t offset, uint64_t size)
{
	struct ocp_processor *p = ocp_processor_of(a);

	if (p->ops.ack)
		p->ops.ack(a->ctx, x->user, offset, size);
}

void ocp_processor_released(struct ocp_agent *a, struct ocp_xaction *x, uint64_t from, uint64_t size)
{
	struct ocp_processor *p = ocp_processor_of(a);

	if (from + size > x->released)
		x->released = from + size;
	if (p->ops.wont_forward)
		p->ops.wont_forward(a->ctx, x->user, from, size);
}

void ocp_processor_original_over(struct ocp_agent *a, struct ocp_xaction *x)
{
	struct ocp_processor *p = ocp_processor_of(a);

	x->am_ended = true;
	x->paused = false;
	if (p->ops.original_end)
		p->ops.original_end(a->ctx, x->user);
}

/* --- the transaction --- */

void ocp_processor_let_go(struct ocp_agent *a, struct ocp_xaction *x)
{
	ocp_agent_detach(a, x);
	ocp_agent_free(a, x);
}

static void on_message(struct ocp_agent *a, const struct ocp_msg *m)
{
	ocp_processor_of(a)->wire->message(a, m);
}

static void on_slice(struct ocp_agent *a, const struct ocp_data *d)
{
	struct ocp_processor *p = ocp_processor_of(a);
	struct ocp_xaction *x = ocp_agent_find(a, a->current.xid);
	struct ocp_data out = *d;

	out.copied = false; /* <46>: a callout server has no say in it */
	if (x && p->ops.am_data)
		p->ops.am_data(a->ctx, x->user, &out);
}

/* x is out of the table. Adapted messages still open end with it: complete if it ended normally. */
static void on_ended(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_xaction_ending *e)
{
	struct ocp_processor *p = ocp_processor_of(a);

	while (x->ams) {
		struct ocp_am_ending am_end = {
			.am_id = x->ams->id,
			.ok = e->how == OCP_XEND_NORMAL,
			.fault = e->fault,
			.result = e->result,
		};

		ocp_processor_am_over(a, x, x->ams, &am_end);
	}
	if (p->ops.xaction_end)
		p->ops.xaction_end(a->ctx, x->user, e);
}

void ocp_processor_services_free(struct ocp_agent *a, struct ocp_xaction *x)
{
	ocp_processor_of(a)->services_octets -= x->processor.services_len;
	free(x->processor.services);
	x->processor.services = NULL;
	x->processor.services_len = 0;
}

static void on_freed(struct ocp_agent *a, struct ocp_xaction *x)
{
	if (!a->core)
		return;
	ocp_link_remove(&x->processor.stalled);
	ocp_processor_services_free(a, x);
	if (x->processor.group)
		ocp_core_group_put(a, x->processor.group);
}

/* The answer said "still maintained", and not for the first time. */
static bool overdue(const struct ocp_agent *a, const struct ocp_xaction *x)
{
	const struct ocp_processor *p = (const struct ocp_processor *)a;

	if (a->core && x->processor.wants_pause) /* it waits for us */
		return false;
	return x->grace > p->deadline_grace &&
	       (x->am_ended || x->paused || x->peers_turn || x->left);
}

const struct ocp_role ocp_processor_role = {
	.message = on_message,
	.slice = on_slice,
	.ended = on_ended,
	.freed = on_freed,
	.overdue = overdue,
};
