/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "control_json.h"
#include "stats/shm.h"

#define ANSWER_TIMEOUT_US 500000u
#define POLL_US 50u

static bool answered(struct shm_query *q, uint32_t ask, uint64_t until_us)
{
	while (atomic_load_explicit(&q->answer, memory_order_acquire) != ask) { /* Q1 */
		if (control_now_us() > until_us)
			return false;
		usleep(POLL_US);
	}
	return true;
}

/* One page of rows. A question of a control that died may still be open: its answer is awaited
 * first. */
static int page_ask(struct shm_query *q, uint64_t cursor, uint64_t until_us)
{
	uint32_t ask = atomic_load_explicit(&q->ask, memory_order_relaxed);

	if (!answered(q, ask, until_us))
		return -ETIMEDOUT;
	q->cursor = cursor;
	atomic_store_explicit(&q->ask, ask + 1, memory_order_release); /* Q0 */
	return answered(q, ask + 1, until_us) ? 0 : -ETIMEDOUT;
}

static int worker_flows(struct shm_query *q, unsigned worker, uint64_t max, json_t *list,
			uint64_t until_us, bool *more)
{
	uint64_t cursor = 0;

	do {
		int r = page_ask(q, cursor, until_us);

		if (r)
			return r;
		for (uint32_t i = 0; i < q->rows && i < SHM_FLOW_ROWS; i++) {
			if (json_array_size(list) >= max) {
				*more = true;
				return 0;
			}
			json_array_append_new(list, control_json_flow(&q->row[i], worker));
		}
		cursor = q->next;
	} while (cursor);
	return 0;
}

int control_query_flows(struct shm_root *root, uint64_t max, json_t **out, bool *more,
			unsigned *worker)
{
	uint64_t until = control_now_us() + ANSWER_TIMEOUT_US;
	json_t *list = json_array();

	*more = false;
	for (*worker = 0; *worker < root->workers && *worker < SHM_WORKERS_MAX; ++*worker) {
		int r = worker_flows(&root->query[*worker], *worker, max, list, until, more);

		if (r) {
			json_decref(list);
			return r;
		}
	}
	*out = list;
	return 0;
}
