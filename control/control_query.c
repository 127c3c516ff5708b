/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "control_json.h"
#include "stats/shm.h"

#define SILENCE_US 500000u /* a worker that does not even go on looking is not waited for any longer */
#define WHOLE_US 5000000u  /* nor one with a table that takes longer than this */
#define POLL_US 50u

/* The answer to ask, while the worker is seen to be at it. */
static bool answered(struct shm_query *q, uint32_t ask, uint64_t until_us)
{
	uint64_t looked = atomic_load_explicit(&q->looked, memory_order_relaxed);
	uint64_t silent_us = control_now_us();

	while (atomic_load_explicit(&q->answer, memory_order_acquire) != ask) { /* Q1 */
		uint64_t now = control_now_us(), at = atomic_load_explicit(&q->looked, memory_order_relaxed);

		if (at != looked) {
			looked = at;
			silent_us = now;
		}
		if (now > until_us || now - silent_us > SILENCE_US)
			return false;
		usleep(POLL_US);
	}
	return true;
}

/* A question of a control that died may still be open: its answer is awaited first. 0 or -ETIMEDOUT. */
static int question_ask(struct shm_query *q, enum shm_question kind, uint64_t cursor, uint64_t id, uint64_t until_us)
{
	uint32_t ask = atomic_load_explicit(&q->ask, memory_order_relaxed);

	if (!answered(q, ask, until_us))
		return -ETIMEDOUT;
	q->kind = kind;
	q->cursor = cursor;
	q->id = id;
	atomic_store_explicit(&q->ask, ask + 1, memory_order_release); /* Q0 */
	return answered(q, ask + 1, until_us) ? 0 : -ETIMEDOUT;
}

static int worker_flows(struct shm_query *q, unsigned worker, uint64_t max, json_t *list,
			uint64_t until_us, bool *more)
{
	uint64_t cursor = 0;

	do {
		int r = question_ask(q, SHM_QUERY_ROWS, cursor, 0, until_us);

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
	uint64_t until = control_now_us() + WHOLE_US;
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

int control_query_flow(struct shm_root *root, uint64_t id, json_t **out)
{
	unsigned worker = (unsigned)(id >> SHM_FLOW_ID_WORKER_SHIFT);
	struct shm_query *q;
	int r;

	if (worker >= root->workers || worker >= SHM_WORKERS_MAX)
		return -ENOENT;
	q = &root->query[worker];
	r = question_ask(q, SHM_QUERY_FLOW, 0, id, control_now_us() + WHOLE_US);
	if (r)
		return r;
	if (!q->found)
		return -ENOENT;
	*out = control_json_flow_detail(&q->detail, worker, root);
	return 0;
}
