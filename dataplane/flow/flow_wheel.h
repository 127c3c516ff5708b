/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timer wheel: one timer per flow, hashed into slots of one millisecond. Arming,
 * re-arming and cancelling move one intrusive list node; nothing is allocated.
 *
 * Owner thread: the worker. The clock is a parameter (microseconds, monotonic,
 * starts anywhere), so tests run on a virtual one.
 *
 * INV-WHEEL-1  a timer never fires before its deadline, and in the first advance that is
 *              FLOW_WHEEL_TICK_US or more after it.
 * INV-WHEEL-2  a node that fires has left the wheel before its function is called.
 * INV-WHEEL-3  deadlines further away than one turn of the wheel stay in their slot and are
 *              looked at once a turn.
 */
#ifndef FLOW_WHEEL_H
#define FLOW_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_WHEEL_TICK_US 1000u
#define FLOW_WHEEL_SLOTS 4096u /* power of two; one turn is 4.096 s */

/* In the entry it belongs to. Zeroed memory is a node that is not armed. */
struct flow_wheel_node {
	struct flow_wheel_node *next, *prev; /* NULL: not armed */
	uint64_t deadline_us;
};

struct flow_wheel {
	uint64_t tick;				       /* last tick whose slot was run */
	uint32_t armed;				       /* nodes in the wheel */
	struct flow_wheel_node slot[FLOW_WHEEL_SLOTS]; /* heads of circular lists */
};

/* The node may be armed again or given up in fn; other nodes may be armed and cancelled too. */
typedef void (*flow_wheel_fn)(void *ctx, struct flow_wheel_node *n);

void flow_wheel_init(struct flow_wheel *w, uint64_t now_us);
/* Arms n, or moves it if it is armed. UINT64_MAX cancels. A deadline in the past fires with the
 * next advance that begins a tick. */
void flow_wheel_arm(struct flow_wheel *w, struct flow_wheel_node *n, uint64_t deadline_us);
/* No effect on a node that is not armed. */
void flow_wheel_cancel(struct flow_wheel *w, struct flow_wheel_node *n);
static inline bool flow_wheel_armed(const struct flow_wheel_node *n)
{
	return n->next != NULL;
}
/* Fires what is due at now_us. Returns the number fired. Cheap (one compare) within a tick. */
uint32_t flow_wheel_advance(struct flow_wheel *w, uint64_t now_us, flow_wheel_fn fn, void *ctx);

#endif
