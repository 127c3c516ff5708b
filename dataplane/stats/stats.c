/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "stats/shm.h"

_Static_assert((SHM_EVENTS & (SHM_EVENTS - 1)) == 0, "SHM_EVENTS is a mask too");

static const char *const counter_name[STATS_MAX] = {
#define STATS_COUNTER(name, text) [STATS_##name] = #name,
#include "stats/stats_counters.def"
#undef STATS_COUNTER
};

static const char *const counter_text[STATS_MAX] = {
#define STATS_COUNTER(name, text) [STATS_##name] = text,
#include "stats/stats_counters.def"
#undef STATS_COUNTER
};

const char *stats_counter_name(enum stats_counter c)
{
	return (unsigned)c < STATS_MAX ? counter_name[c] : "unknown";
}

const char *stats_counter_text(enum stats_counter c)
{
	return (unsigned)c < STATS_MAX ? counter_text[c] : "unknown";
}

/* Always terminated, cut where it does not fit; the rest is zeroed so that no older event shows through. */
static void field_set(char *dst, size_t size, const char *src)
{
	size_t n = src ? strnlen(src, size - 1) : 0;

	if (n)
		memcpy(dst, src, n);
	memset(dst + n, 0, size - n);
}

void shm_event_write(struct shm_events *r, const struct shm_event_args *a, const char *fmt, ...)
{
	uint64_t i = atomic_load_explicit(&r->head, memory_order_relaxed);
	struct shm_event *e = &r->e[i & (SHM_EVENTS - 1)];
	struct timespec ts;
	va_list ap;

	/* The fence keeps the fields' stores behind the zero: a reader that meets half an event meets a seq
	 * other than the one it read first. */
	atomic_store_explicit(&e->seq, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	clock_gettime(CLOCK_REALTIME, &ts);
	e->time_us = (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	e->flow = a->flow;
	e->offset = a->offset;
	e->generation = a->generation;
	field_set(e->kind, sizeof(e->kind), a->kind);
	field_set(e->cause, sizeof(e->cause), a->cause);
	field_set(e->rule, sizeof(e->rule), a->rule);
	field_set(e->service, sizeof(e->service), a->service);
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	atomic_store_explicit(&e->seq, i + 1, memory_order_release);
	atomic_store_explicit(&r->head, i + 1, memory_order_release);
}

int shm_event_read(struct shm_events *r, uint64_t index, struct shm_event *out)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	struct shm_event *e = &r->e[index & (SHM_EVENTS - 1)];
	uint64_t seq;

	if (index >= head)
		return -EAGAIN;
	if (head - index > SHM_EVENTS)
		return -ESTALE;
	seq = atomic_load_explicit(&e->seq, memory_order_acquire);
	if (seq != index + 1)
		return -ESTALE;
	memcpy(out, e, sizeof(*out));
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&e->seq, memory_order_relaxed) != seq)
		return -ESTALE;
	return 0;
}
