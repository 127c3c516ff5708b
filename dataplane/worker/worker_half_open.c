/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The budget of flows in their handshake. They stand in a ring in the order they began; those that are over with it stay
 * there until they are at its head, or the ring goes round: a live one at the head is then put behind the newest, which
 * changes its place but not its age.
 */
#include "worker/worker.h"

#include <errno.h>
#include <stdlib.h>

#define EVENT_US 10000000u
#define EXPIRE_US 3000000u /* what is left of the handshake timeout beyond half the budget: three SYNs of most kernels */
#define EXPIRE_MAX 64	   /* a loop */

int worker_half_open_create(struct worker_half_open *h, uint32_t max, uint64_t timeout_us, bool drop)
{
	uint32_t slots = 16;

	while (slots < 2 * max)
		slots *= 2;
	h->ring = calloc(slots, sizeof(*h->ring));
	h->mask = slots - 1;
	h->max = max;
	h->expire_ms = (uint32_t)((timeout_us < EXPIRE_US ? timeout_us : EXPIRE_US) / 1000);
	h->drop = drop;
	return h->ring ? 0 : -ENOMEM;
}

void worker_half_open_destroy(struct worker_half_open *h)
{
	free(h->ring);
	h->ring = NULL;
}

static inline bool live(const struct worker_half_open_slot *s)
{
	/* The entry's memory lives as long as the table; the number tells whether it is the same flow's. */
	return s->e->used && s->e->half_open && (uint32_t)s->e->id == s->id;
}

bool worker_half_open_room(struct worker *w)
{
	struct worker_half_open *h = &w->half_open;
	struct shm_event_args e = {.kind = "half-open-full", .cause = h->drop ? "dropped" : "bypassed", .rule = "", .service = ""};

	if (likely(h->count < h->max))
		return true;
	w->shm->counter[STATS_half_open_exceeded]++;
	if (w->now_us >= h->event_us && w->events) {
		h->event_us = w->now_us + EVENT_US;
		shm_event_write(w->events, &e, "%u connections are in their handshake; new ones are %s (limits.half-open)",
				h->count, h->drop ? "dropped" : "not looked at");
	}
	return false;
}

void worker_half_open_add(struct worker *w, struct flow_entry *e)
{
	struct worker_half_open *h = &w->half_open;
	struct worker_half_open_slot s;

	/* The ring is twice as large as what can be live in it. Beyond three quarters, a third of it at least is over: four
	 * steps for one that is put find that before it is full. */
	for (unsigned i = 0; h->head != h->tail; i++) {
		uint32_t size = h->tail - h->head;

		s = h->ring[h->head & h->mask];
		if (size <= h->mask && (i == 4 || (live(&s) && size <= h->mask / 4 * 3)))
			break;
		h->head++;
		if (live(&s))
			h->ring[h->tail++ & h->mask] = s;
	}
	h->ring[h->tail++ & h->mask] =
		(struct worker_half_open_slot){.e = e, .id = (uint32_t)e->id, .since_ms = (uint32_t)(w->now_us / 1000)};
	e->half_open = true;
	h->count++;
}

uint32_t worker_half_open_age(struct worker *w)
{
	struct worker_half_open *h = &w->half_open;
	uint32_t n = 0;

	for (unsigned i = 0; i < EXPIRE_MAX && h->head != h->tail; i++) {
		struct worker_half_open_slot *s = &h->ring[h->head & h->mask];

		if (live(s)) {
			if (h->count <= h->max / 2 || (uint32_t)(w->now_us / 1000) - s->since_ms < h->expire_ms)
				break;
			w->shm->counter[STATS_half_open_expired]++;
			worker_flow_forget(w, s->e);
			n++;
		}
		h->head++;
	}
	return n;
}
