/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/ctl_query.h"

/* Both return true when the answer is whole; q->next is the place in the table meanwhile. */
static bool rows_fill(struct shm_query *q, const struct flow_table *t, const struct ctl_query_ops *ops, void *ctx,
		      uint32_t *positions)
{
	while (q->rows < SHM_FLOW_ROWS) {
		struct flow_entry *e = flow_table_next_within(t, &q->next, positions);

		if (!e && !*positions)
			return false;
		if (!e) {
			q->next = 0;
			return true;
		}
		q->rows += ops->row(ctx, e, &q->row[q->rows]);
	}
	return true;
}

static bool flow_find(struct shm_query *q, const struct flow_table *t, const struct ctl_query_ops *ops, void *ctx,
		      uint32_t *positions)
{
	struct flow_entry *e;

	while ((e = flow_table_next_within(t, &q->next, positions))) {
		if (e->id != q->id)
			continue;
		q->found = ops->detail(ctx, e, &q->detail);
		return true;
	}
	return *positions != 0;
}

bool ctl_query_poll(struct shm_query *q, const struct flow_table *t, const struct ctl_query_ops *ops, void *ctx)
{
	uint32_t ask = atomic_load_explicit(&q->ask, memory_order_acquire); /* Q0 */
	uint32_t positions = CTL_QUERY_POSITIONS;
	bool whole;

	if (ask == atomic_load_explicit(&q->answer, memory_order_relaxed))
		return false;
	if (q->begun != ask) {
		q->begun = ask;
		q->next = q->kind == SHM_QUERY_ROWS ? q->cursor : 0;
		q->rows = q->found = 0;
	}
	if (q->kind == SHM_QUERY_ROWS)
		whole = rows_fill(q, t, ops, ctx, &positions);
	else
		whole = flow_find(q, t, ops, ctx, &positions);
	atomic_store_explicit(&q->looked,
			      atomic_load_explicit(&q->looked, memory_order_relaxed) + CTL_QUERY_POSITIONS - positions,
			      memory_order_relaxed);
	if (whole)
		atomic_store_explicit(&q->answer, ask, memory_order_release); /* Q1 */
	return whole;
}
