/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker's answers to the control process: struct shm_query of stats/shm.h, the flow
 * listing and one flow in full.
 *
 * The worker looks with ctl_query_asked in every loop (two loads from one line that nobody writes meanwhile) and calls
 * ctl_query_poll while there is a question. One call looks at CTL_QUERY_POSITIONS positions of the table and fills
 * SHM_FLOW_ROWS rows or one detail at most: a table of a million entries is gone through in some hundred loops, and
 * none of them stalls.
 *
 * INV-QUERY-1  a question is answered once, after as many calls as the table has slices; entries that come and go
 *              meanwhile do not disturb (flow_table_next).
 *
 * Owner thread: the worker of q and t. No locks; Q0 and Q1 are in stats/shm.h.
 */
#ifndef CTL_QUERY_H
#define CTL_QUERY_H

#include <stdbool.h>
#include "flow/flow_table.h"
#include "stats/shm.h"

#define CTL_QUERY_POSITIONS 2048

/* Both fill in from an entry of the table; false: leave this one out. */
struct ctl_query_ops {
	bool (*row)(void *ctx, const struct flow_entry *e, struct shm_flow_row *row);
	bool (*detail)(void *ctx, const struct flow_entry *e, struct shm_flow_detail *d);
};

static inline bool ctl_query_asked(const struct shm_query *q)
{
	return atomic_load_explicit(&q->ask, memory_order_relaxed) !=
	       atomic_load_explicit(&q->answer, memory_order_relaxed);
}

/* True when a question was answered by this call. */
bool ctl_query_poll(struct shm_query *q, const struct flow_table *t, const struct ctl_query_ops *ops, void *ctx);

#endif
