/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control_json.h"
#include "control_log.h"

struct taken {
	struct shm_event e;
	unsigned ring;
};

void control_events_init(struct control_events *ev)
{
	memset(ev, 0, sizeof(*ev));
	ev->next = 1;
}

void control_events_free(struct control_events *ev)
{
	for (size_t i = 0; i < CONTROL_EVENTS_KEPT; i++) {
		json_decref(ev->ring[i]);
		ev->ring[i] = NULL;
	}
}

void control_events_add(struct control_events *ev, json_t *event, bool log)
{
	size_t i = ev->next % CONTROL_EVENTS_KEPT;

	if (!event)
		return;
	json_object_set_new(event, "seq", json_integer((json_int_t)ev->next));
	json_decref(ev->ring[i]);
	ev->ring[i] = event;
	ev->next++;
	if (log)
		control_log_event(event);
}

static uint64_t realtime_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void control_events_own(struct control_events *ev, const char *kind, const char *cause,
			uint32_t generation, const char *fmt, ...)
{
	struct shm_event e = {
		.time_us = realtime_us(), .offset = UINT64_MAX, .generation = generation};
	va_list ap;

	snprintf(e.kind, sizeof(e.kind), "%s", kind);
	snprintf(e.cause, sizeof(e.cause), "%s", cause ? cause : "");
	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	control_events_add(ev, control_json_event(&e, "control", 0), true);
}

/* --- reading the rings --------------------------------------------------------------------------
 */

static bool ring_used(const struct shm_root *root, unsigned ring)
{
	return ring < root->workers || ring == SHM_WORKERS_MAX;
}

static void writer_name(unsigned ring, char *buf, size_t len)
{
	if (ring == SHM_WORKERS_MAX)
		snprintf(buf, len, "callout");
	else
		snprintf(buf, len, "worker %u", ring);
}

static uint64_t ring_head(struct shm_root *root, unsigned ring)
{
	return atomic_load_explicit(&root->events[ring].head, memory_order_acquire);
}

static int taken_compare(const void *a, const void *b)
{
	const struct taken *x = a, *y = b;

	if (x->e.time_us != y->e.time_us)
		return x->e.time_us < y->e.time_us ? -1 : 1;
	/* equal times of one ring keep their order */
	if (x->ring != y->ring)
		return x->ring < y->ring ? -1 : 1;
	return atomic_load(&x->e.seq) < atomic_load(&y->e.seq) ? -1 : 1;
}

/* Copies the events [from, to) of every ring, sorted by time; *lost counts those overwritten
 * before. */
static struct taken *rings_take(struct shm_root *root, const uint64_t *from, const uint64_t *to,
				size_t *n, uint64_t *lost)
{
	size_t want = 0;
	struct taken *t;

	*n = 0;
	for (unsigned r = 0; r <= SHM_WORKERS_MAX; r++)
		want += to[r] - from[r];
	t = want ? malloc(want * sizeof(*t)) : NULL;
	if (!t)
		return NULL;
	for (unsigned r = 0; r <= SHM_WORKERS_MAX; r++) {
		for (uint64_t i = from[r]; i < to[r]; i++) {
			t[*n].ring = r;
			if (shm_event_read(&root->events[r], i, &t[*n].e) == 0)
				++*n;
			else
				++*lost;
		}
	}
	qsort(t, *n, sizeof(*t), taken_compare);
	return t;
}

static void taken_add(struct control_events *ev, const struct taken *t, size_t n, bool log)
{
	char name[32];

	for (size_t i = 0; i < n; i++) {
		writer_name(t[i].ring, name, sizeof(name));
		control_events_add(ev, control_json_event(&t[i].e, name, 0), log);
	}
}

void control_events_recall(struct control_events *ev, struct shm_root *root,
			   const struct control_shared *shared)
{
	uint64_t from[SHM_WORKERS_MAX + 1] = {0}, to[SHM_WORKERS_MAX + 1] = {0}, lost = 0;
	struct taken *t;
	size_t n, skip = 0;

	for (unsigned r = 0; r <= SHM_WORKERS_MAX; r++) {
		uint64_t head = ring_head(root, r);

		if (!ring_used(root, r))
			continue;
		to[r] = shared->cursor[r] < head ? shared->cursor[r] : head;
		from[r] = head > SHM_EVENTS ? head - SHM_EVENTS : 0;
		if (from[r] > to[r])
			from[r] = to[r];
	}
	t = rings_take(root, from, to, &n, &lost);
	if (n > CONTROL_EVENTS_KEPT)
		skip = n - CONTROL_EVENTS_KEPT;
	if (shared->next_seq > ev->next) {
		if (n - skip > shared->next_seq - ev->next)
			skip = n - (size_t)(shared->next_seq - ev->next);
		ev->next = shared->next_seq - (n - skip);
	}
	if (t)
		taken_add(ev, t + skip, n - skip, false);
	free(t);
}

unsigned control_events_drain(struct control_events *ev, struct shm_root *root,
			      struct control_shared *shared)
{
	uint64_t from[SHM_WORKERS_MAX + 1] = {0}, to[SHM_WORKERS_MAX + 1] = {0}, lost = 0,
					begin = ev->next;
	struct taken *t;
	size_t n;

	for (unsigned r = 0; r <= SHM_WORKERS_MAX; r++) {
		if (!ring_used(root, r))
			continue;
		to[r] = ring_head(root, r);
		from[r] = shared->cursor[r] < to[r] ? shared->cursor[r] : to[r];
		if (to[r] - from[r] > SHM_EVENTS) {
			lost += to[r] - from[r] - SHM_EVENTS;
			from[r] = to[r] - SHM_EVENTS;
		}
	}
	t = rings_take(root, from, to, &n, &lost);
	if (t)
		taken_add(ev, t, n, true);
	free(t);
	if (lost)
		control_events_own(ev, "events-lost", NULL, 0,
				   "%llu events were overwritten before they could be read",
				   (unsigned long long)lost);
	for (unsigned r = 0; r <= SHM_WORKERS_MAX; r++)
		if (ring_used(root, r))
			shared->cursor[r] = to[r];
	shared->next_seq = ev->next;
	return (unsigned)(ev->next - begin);
}

/* --- what is kept -------------------------------------------------------------------------------
 */

json_t *control_events_list(const struct control_events *ev, uint64_t after, uint64_t max)
{
	uint64_t first = ev->next > CONTROL_EVENTS_KEPT ? ev->next - CONTROL_EVENTS_KEPT : 1;
	json_t *list = json_array();

	if (after + 1 > first)
		first = after + 1;
	if (first < ev->next && ev->next - first > max)
		first = ev->next - max;
	for (uint64_t i = first; i < ev->next; i++)
		if (ev->ring[i % CONTROL_EVENTS_KEPT])
			json_array_append(list, ev->ring[i % CONTROL_EVENTS_KEPT]);
	return list;
}

json_t *control_events_save(const struct control_events *ev)
{
	return json_pack("{s:I, s:o}", "next", (json_int_t)ev->next, "list",
			 control_events_list(ev, 0, CONTROL_EVENTS_KEPT));
}

void control_events_load(struct control_events *ev, const json_t *saved)
{
	json_int_t next = json_integer_value(json_object_get(saved, "next"));
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(saved, "list"), i, o)
	{
		uint64_t seq = (uint64_t)json_integer_value(json_object_get(o, "seq"));

		json_decref(ev->ring[seq % CONTROL_EVENTS_KEPT]);
		ev->ring[seq % CONTROL_EVENTS_KEPT] = json_incref(o);
	}
	if (next > 0)
		ev->next = (uint64_t)next;
}
