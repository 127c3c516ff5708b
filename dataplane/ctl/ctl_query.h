/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker's answers to the control process: struct shm_query of stats/shm.h, the flow
 * listing. The worker calls ctl_query_poll once in a while (one load when nothing is asked)
 * and answers at most SHM_FLOW_ROWS flows a call.
 *
 * Owner thread: the worker of q and t. No locks; Q0 and Q1 are in stats/shm.h.
 */
#ifndef CTL_QUERY_H
#define CTL_QUERY_H

#include <stdbool.h>
#include "flow/flow_table.h"
#include "stats/shm.h"

/* Fills a row from an entry of the table; false: leave this one out. */
typedef bool (*ctl_query_row_fn)(void *ctx, const struct flow_entry *e, struct shm_flow_row *row);

/* True when a question was answered. */
bool ctl_query_poll(struct shm_query *q, const struct flow_table *t, ctl_query_row_fn fn,
		    void *ctx);

#endif
