/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow/flow_wheel.h"

static inline void list_init(struct flow_wheel_node *head)
{
	head->next = head->prev = head;
}

static inline void list_insert(struct flow_wheel_node *head, struct flow_wheel_node *n)
{
	n->next = head;
	n->prev = head->prev;
	head->prev->next = n;
	head->prev = n;
}

static inline void list_remove(struct flow_wheel_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
}

/* All nodes of from to the (uninitialised) head to; from is empty afterwards. */
static void list_take(struct flow_wheel_node *to, struct flow_wheel_node *from)
{
	if (from->next == from) {
		list_init(to);
		return;
	}
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

void flow_wheel_init(struct flow_wheel *w, uint64_t now_us)
{
	w->tick = now_us / FLOW_WHEEL_TICK_US;
	w->armed = 0;
	for (uint32_t i = 0; i < FLOW_WHEEL_SLOTS; i++)
		list_init(&w->slot[i]);
}

/* The first tick that begins at or after the deadline, so that nothing fires early. */
static inline uint64_t deadline_tick(uint64_t deadline_us)
{
	return deadline_us / FLOW_WHEEL_TICK_US + (deadline_us % FLOW_WHEEL_TICK_US != 0);
}

void flow_wheel_arm(struct flow_wheel *w, struct flow_wheel_node *n, uint64_t deadline_us)
{
	uint64_t tick;

	if (deadline_us == UINT64_MAX) {
		flow_wheel_cancel(w, n);
		return;
	}
	if (flow_wheel_armed(n)) {
		if (n->deadline_us == deadline_us)
			return;
		list_remove(n);
	} else {
		w->armed++;
	}
	n->deadline_us = deadline_us;
	tick = deadline_tick(deadline_us);
	if (tick <= w->tick)
		tick = w->tick + 1;
	list_insert(&w->slot[tick & (FLOW_WHEEL_SLOTS - 1)], n);
}

void flow_wheel_cancel(struct flow_wheel *w, struct flow_wheel_node *n)
{
	if (!flow_wheel_armed(n))
		return;
	list_remove(n);
	w->armed--;
}

static uint32_t slot_run(struct flow_wheel *w, uint64_t tick, uint64_t now_tick, flow_wheel_fn fn,
			 void *ctx)
{
	struct flow_wheel_node *slot = &w->slot[tick & (FLOW_WHEEL_SLOTS - 1)];
	struct flow_wheel_node due, *n;
	uint32_t fired = 0;

	/* Taken off first: what fn arms goes to the slots and waits for a later tick. */
	list_take(&due, slot);
	while ((n = due.next) != &due) {
		list_remove(n);
		if (deadline_tick(n->deadline_us) > now_tick) {
			list_insert(slot, n); /* a later turn */
			continue;
		}
		w->armed--;
		fired++;
		fn(ctx, n);
	}
	return fired;
}

uint32_t flow_wheel_advance(struct flow_wheel *w, uint64_t now_us, flow_wheel_fn fn, void *ctx)
{
	uint64_t now_tick = now_us / FLOW_WHEEL_TICK_US;
	uint64_t from = w->tick + 1;
	uint32_t fired = 0;

	if (now_tick <= w->tick)
		return 0;
	/* After a long pause one whole turn meets every node. */
	if (now_tick - w->tick > FLOW_WHEEL_SLOTS)
		from = now_tick - FLOW_WHEEL_SLOTS + 1;
	/* Set before anything fires: a deadline that fn sets in the past must go to the tick after. */
	w->tick = now_tick;
	for (uint64_t t = from; t <= now_tick; t++)
		fired += slot_run(w, t, now_tick, fn, ctx);
	return fired;
}
