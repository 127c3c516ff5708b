/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timer wheel: one timer per flow, in slots of three levels. Arming, re-arming and
 * cancelling move one intrusive list node; nothing is allocated.
 *
 *   level   a slot is      reaches           holds deadlines
 *   0       1 tick (1 ms)  2 to 4 s          of the span at hand (one slot of level 1) and the one after
 *   1       2.048 s        70 to 140 min     of the same spans one level up
 *   2       70 min         297 hours         all others
 *
 * A slot of level 1 or 2 is opened a whole slot's time before the first of its deadlines: its nodes join a list (in
 * one step, however many there are) from which each call spreads a few over the levels below. So a timer three
 * hours away is looked at three times: when its 70 minutes begin to be near, when its two seconds do, and when it fires.
 *
 * What one call does is bounded by its budget. Nodes of a tick for which it does not suffice join a list of late ones
 * (in one step as well). A quarter of each budget is theirs, a quarter that of opened slots, and the ticks go on with
 * the rest: a million timers of one tick hold up nobody but themselves and who shares their tick.
 *
 * Nodes name each other by 32 bits: the distance from the wheel in units of 8 octets. Nodes therefore lie above the
 * wheel in memory, aligned to 8, and within FLOW_WHEEL_REACH (flow_table.h puts both into one block).
 *
 * Owner thread: the worker. The clock is a parameter (microseconds, monotonic,
 * starts anywhere), so tests run on a virtual one.
 *
 * INV-WHEEL-1  a timer never fires before its deadline, and, while budgets suffice, in the first advance that is
 *              FLOW_WHEEL_TICK_US or more after it.
 * INV-WHEEL-2  a node that fires has left the wheel before its function is called.
 * INV-WHEEL-3  a node lies in a list that is met at or before its deadline: a slot that is run or opened by then,
 *              or one of the two lists of which every call takes from the head. One that is met too early (its
 *              deadline was moved back, or is beyond the top level) is put into the slot of its deadline.
 * INV-WHEEL-4  the nodes an advance looks at and the ticks it passes are no more than its budget, together; of those
 *              that are there to be done it does budget / 4 late nodes, budget / 4 of opened slots, and budget / 2 ticks
 *              and their nodes. So n nodes due at once have all fired after 4 n / budget + 1 advances.
 * INV-WHEEL-5  what a function arms does not fire in the same advance, whatever its deadline.
 */
#ifndef FLOW_WHEEL_H
#define FLOW_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_WHEEL_TICK_US 1000u
#define FLOW_WHEEL_SPAN_BITS 11u			   /* a slot is so many slots of the level below, as a power of two */
#define FLOW_WHEEL_SLOTS (2u << FLOW_WHEEL_SPAN_BITS)	   /* of levels 0 and 1: the span at hand and the next one */
#define FLOW_WHEEL_TOP_SLOTS 256u			   /* of level 2 */
#define FLOW_WHEEL_REACH ((uint64_t)UINT32_MAX * 8u)	   /* octets */
#define FLOW_WHEEL_BUDGET_MIN 4u

/* Of a circular list; distances from the wheel in 8 octets, 0: in no list. */
struct flow_wheel_link {
	uint32_t next, prev;
} __attribute__((aligned(8)));

/* In the entry it belongs to. Zeroed memory is a node that is not armed. */
struct flow_wheel_node {
	struct flow_wheel_link link;
	uint64_t deadline_us;
};
_Static_assert(sizeof(struct flow_wheel_node) == 16, "one in every flow entry");

struct flow_wheel {
	uint64_t tick;			   /* last tick whose slot was run */
	uint64_t seen;			   /* tick of the last advance's time: >= tick, greater when the budget ended */
	uint64_t floor_us;		   /* the first deadline of the tick after seen: earlier ones become it */
	struct flow_wheel_link late;	   /* due; the budget of their tick did not suffice */
	struct flow_wheel_link opened;	   /* of opened slots: to be spread over the levels below */
	uint32_t armed;			   /* nodes in the wheel */
	struct flow_wheel_link slot0[FLOW_WHEEL_SLOTS], slot1[FLOW_WHEEL_SLOTS], slot2[FLOW_WHEEL_TOP_SLOTS];
} __attribute__((aligned(64)));

/* The node may be armed again or given up in fn; other nodes may be armed and cancelled too. */
typedef void (*flow_wheel_fn)(void *ctx, struct flow_wheel_node *n);

void flow_wheel_init(struct flow_wheel *w, uint64_t now_us);
/* Nodes of [mem, mem + size) may be armed in w. */
bool flow_wheel_reaches(const struct flow_wheel *w, const void *mem, size_t size);
/* Arms n, or moves it if it is armed. UINT64_MAX cancels. A deadline in the past becomes one of the tick after the
 * last advance, and fires with the next advance that begins a tick. Moving an armed timer back (what segments of a flow do to it) is a store. */
void flow_wheel_arm(struct flow_wheel *w, struct flow_wheel_node *n, uint64_t deadline_us);
/* No effect on a node that is not armed. */
void flow_wheel_cancel(struct flow_wheel *w, struct flow_wheel_node *n);
static inline bool flow_wheel_armed(const struct flow_wheel_node *n)
{
	return n->link.next != 0;
}
/* Fires what is due at now_us, within the budget (>= FLOW_WHEEL_BUDGET_MIN; UINT32_MAX: all). Returns the number
 * fired. Cheap (few compares) within a tick when nothing is left to do. */
uint32_t flow_wheel_advance(struct flow_wheel *w, uint64_t now_us, uint32_t budget, flow_wheel_fn fn, void *ctx);
/* The last advance left something: call again soon, whatever the time. */
bool flow_wheel_behind(const struct flow_wheel *w);

#endif
