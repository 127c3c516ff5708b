/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/ctl_query.h"

bool ctl_query_poll(struct shm_query *q, const struct flow_table *t, ctl_query_row_fn fn, void *ctx)
{
	uint32_t ask = atomic_load_explicit(&q->ask, memory_order_acquire); /* Q0 */
	uint64_t cursor;
	uint32_t n = 0;

	if (ask == atomic_load_explicit(&q->answer, memory_order_relaxed))
		return false;
	cursor = q->cursor;
	while (n < SHM_FLOW_ROWS) {
		struct flow_entry *e = flow_table_next(t, &cursor);

		if (!e) {
			cursor = 0;
			break;
		}
		n += fn(ctx, e, &q->row[n]);
	}
	q->rows = n;
	q->next = cursor;
	atomic_store_explicit(&q->answer, ask, memory_order_release); /* Q1 */
	return true;
}
