/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers of connections: a wheel of lists with one entry for each connection, by number.
 *
 * A tick is LG_TICK_US. A timer that is put off stays where it is in the wheel and is put back when its slot comes
 * round, so that moving a retransmission timer with every acknowledgement costs a store. Times beyond the wheel's
 * turn wait in its last slot in the same way.
 *
 * Owner: one thread.
 */
#ifndef LOADGEN_WHEEL_H
#define LOADGEN_WHEEL_H

#include <stdint.h>

#define LG_TICK_US 100u
#define LG_TICKS_MS(ms) ((ms) * 1000u / LG_TICK_US)
#define LG_WHEEL_SLOTS 8192u
#define LG_NONE UINT32_MAX

/* Part of a connection. */
struct lg_timer {
	uint32_t next, prev; /* LG_NONE: end of the list */
	uint32_t slot;	     /* tick it lies under in the wheel; meaningless while not `lg_timer_queued` */
};

struct lg_wheel {
	uint32_t now;
	uint32_t head[LG_WHEEL_SLOTS];
};

static inline int lg_tick_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

#endif
