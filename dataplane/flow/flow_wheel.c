/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow/flow_wheel.h"

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>

#define SPAN (1u << FLOW_WHEEL_SPAN_BITS)
#define BITS FLOW_WHEEL_SPAN_BITS

static inline uint32_t ref_of(const struct flow_wheel *w, const struct flow_wheel_link *l)
{
	return (uint32_t)(((uintptr_t)l - (uintptr_t)w) >> 3);
}

static inline struct flow_wheel_link *link_at(struct flow_wheel *w, uint32_t ref)
{
	return (struct flow_wheel_link *)((uintptr_t)w + ((uint64_t)ref << 3));
}

static inline void list_init(struct flow_wheel *w, struct flow_wheel_link *head)
{
	head->next = head->prev = ref_of(w, head);
}

static inline bool list_empty(const struct flow_wheel *w, const struct flow_wheel_link *head)
{
	return head->next == ref_of(w, head);
}

static inline void list_insert(struct flow_wheel *w, struct flow_wheel_link *head, struct flow_wheel_link *l)
{
	uint32_t ref = ref_of(w, l);

	l->next = ref_of(w, head);
	l->prev = head->prev;
	link_at(w, head->prev)->next = ref;
	head->prev = ref;
}

static inline void list_remove(struct flow_wheel *w, struct flow_wheel_link *l)
{
	link_at(w, l->prev)->next = l->next;
	link_at(w, l->next)->prev = l->prev;
	l->next = l->prev = 0;
}

/* All of from behind the last of to; from is empty afterwards. */
static void list_join(struct flow_wheel *w, struct flow_wheel_link *to, struct flow_wheel_link *from)
{
	if (list_empty(w, from))
		return;
	link_at(w, from->next)->prev = to->prev;
	link_at(w, to->prev)->next = from->next;
	link_at(w, from->prev)->next = ref_of(w, to);
	to->prev = from->prev;
	list_init(w, from);
}

void flow_wheel_init(struct flow_wheel *w, uint64_t now_us)
{
	w->tick = w->seen = now_us / FLOW_WHEEL_TICK_US;
	w->floor_us = w->seen * FLOW_WHEEL_TICK_US + 1;
	w->armed = 0;
	list_init(w, &w->late);
	list_init(w, &w->opened);
	for (uint32_t i = 0; i < FLOW_WHEEL_SLOTS; i++) {
		list_init(w, &w->slot0[i]);
		list_init(w, &w->slot1[i]);
	}
	for (uint32_t i = 0; i < FLOW_WHEEL_TOP_SLOTS; i++)
		list_init(w, &w->slot2[i]);
}

bool flow_wheel_reaches(const struct flow_wheel *w, const void *mem, size_t size)
{
	uintptr_t from = (uintptr_t)w, at = (uintptr_t)mem;

	return at % 8 == 0 && at >= from + sizeof(*w) && at - from <= FLOW_WHEEL_REACH &&
	       size <= FLOW_WHEEL_REACH - (at - from);
}

/* The first tick that begins at or after the deadline, so that nothing fires early. */
static inline uint64_t deadline_tick(uint64_t deadline_us)
{
	return deadline_us / FLOW_WHEEL_TICK_US + (deadline_us % FLOW_WHEEL_TICK_US != 0);
}

/* The slot of tick (> w->tick). A span that was opened, the one at hand or the next, is the level below's: no two
 * ticks of one slot are in the wheel at once, as a level has slots for two spans. */
static inline struct flow_wheel_link *slot_of(struct flow_wheel *w, uint64_t tick)
{
	uint64_t span1 = tick >> BITS, span2 = tick >> 2 * BITS, now2 = w->tick >> 2 * BITS;

	if (span1 <= (w->tick >> BITS) + 1)
		return &w->slot0[tick & (FLOW_WHEEL_SLOTS - 1)];
	if (span2 <= now2 + 1)
		return &w->slot1[span1 & (FLOW_WHEEL_SLOTS - 1)];
	if (span2 > now2 + FLOW_WHEEL_TOP_SLOTS - 1) /* beyond the top: it will be met too early */
		span2 = now2 + FLOW_WHEEL_TOP_SLOTS - 1;
	return &w->slot2[span2 & (FLOW_WHEEL_TOP_SLOTS - 1)];
}

void flow_wheel_arm(struct flow_wheel *w, struct flow_wheel_node *n, uint64_t deadline_us)
{
	if (unlikely(deadline_us == UINT64_MAX)) {
		flow_wheel_cancel(w, n);
		return;
	}
	if (deadline_us < w->floor_us)
		deadline_us = w->floor_us;
	if (flow_wheel_armed(n)) {
		if (deadline_us >= n->deadline_us) { /* where it lies it is met early enough: INV-WHEEL-3 */
			n->deadline_us = deadline_us;
			return;
		}
		list_remove(w, &n->link);
	} else {
		w->armed++;
	}
	n->deadline_us = deadline_us;
	list_insert(w, slot_of(w, deadline_tick(deadline_us)), &n->link);
}

void flow_wheel_cancel(struct flow_wheel *w, struct flow_wheel_node *n)
{
	if (!flow_wheel_armed(n))
		return;
	list_remove(w, &n->link);
	w->armed--;
}

/* Takes up to max nodes off a list of nodes that are met: fires what is due at w->tick, puts the others where they
 * belong. left: the budget. */
static uint32_t list_run(struct flow_wheel *w, struct flow_wheel_link *head, uint32_t max, uint32_t *left,
			 flow_wheel_fn fn, void *ctx)
{
	uint32_t fired = 0;

	for (; max && !list_empty(w, head); max--) {
		struct flow_wheel_link *l = link_at(w, head->next);
		struct flow_wheel_node *n = (struct flow_wheel_node *)l; /* its first member */
		uint64_t tick = deadline_tick(n->deadline_us);

		rte_prefetch0(link_at(w, l->next));
		list_remove(w, l);
		(*left)--;
		if (tick > w->tick) {
			list_insert(w, slot_of(w, tick), l);
			continue;
		}
		w->armed--;
		fired++;
		fn(ctx, n);
	}
	return fired;
}

/* A span begins: the slot of the one after goes to the level below. */
static void spans_open(struct flow_wheel *w)
{
	uint64_t span = w->tick >> BITS;

	if (span % SPAN == 0)
		list_join(w, &w->opened, &w->slot2[((span >> BITS) + 1) & (FLOW_WHEEL_TOP_SLOTS - 1)]);
	list_join(w, &w->opened, &w->slot1[(span + 1) & (FLOW_WHEEL_SLOTS - 1)]);
}

bool flow_wheel_behind(const struct flow_wheel *w)
{
	return w->tick < w->seen || !list_empty(w, &w->late) || !list_empty(w, &w->opened);
}

uint32_t flow_wheel_advance(struct flow_wheel *w, uint64_t now_us, uint32_t budget, flow_wheel_fn fn, void *ctx)
{
	uint64_t now_tick = now_us / FLOW_WHEEL_TICK_US;
	uint32_t left = budget, fired = 0;

	/* Set before anything fires: what fn arms must go to a tick after it. */
	if (now_tick > w->seen) {
		w->seen = now_tick;
		w->floor_us = now_tick * FLOW_WHEEL_TICK_US + 1;
	}
	if (likely(!flow_wheel_behind(w)))
		return 0;
	fired += list_run(w, &w->opened, budget / 4, &left, fn, ctx);
	fired += list_run(w, &w->late, budget / 4, &left, fn, ctx);
	while (w->tick < w->seen && left) {
		struct flow_wheel_link *slot;

		w->tick++;
		left--;
		if (unlikely(w->tick % SPAN == 0))
			spans_open(w);
		slot = &w->slot0[w->tick & (FLOW_WHEEL_SLOTS - 1)];
		if (list_empty(w, slot))
			continue;
		fired += list_run(w, slot, left, &left, fn, ctx);
		list_join(w, &w->late, slot);
	}
	fired += list_run(w, &w->late, left, &left, fn, ctx);
	fired += list_run(w, &w->opened, left, &left, fn, ctx);
	return fired;
}
