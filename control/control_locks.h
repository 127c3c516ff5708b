/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's locks in the memory shared by its processes, and a control that was
 * killed while it held one.
 *
 * Nothing takes a lock back from a dead process: a reader that died keeps
 * writers out for ever, and the first writer that waits keeps out everyone,
 * the dataplane's main thread among them. So before it attaches a new
 * control looks whether a lock is held without a break for far longer than any
 * live process holds it, and lets go in place of the dead.
 *
 * No other opes-control lives then (the socket's lock). Locks are watched over
 * several calls; the caller attaches only once they are free.
 */
#ifndef CONTROL_LOCKS_H
#define CONTROL_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

#define CONTROL_LOCKS 3 /* memzones, tail queues, memory map */
#define CONTROL_LOCKS_READ_US                                                                      \
	500000u /* readers hold a lock for microseconds, while attaching for milliseconds */
#define CONTROL_LOCKS_WRITE_US 8000000u /* a writer may wait 5 s for another process's answer */

struct control_locks {
	bool watching;
	uint64_t since_us;
	struct {
		uint32_t readers;     /* least number seen */
		bool writer, waiting; /* seen every time */
	} lock[CONTROL_LOCKS];
};

/*
 * Looks at the locks in DPDK's file path. Returns 0: free; 1: held, look again in a while
 * (*released counts those that were let go of this time); -errno: the file is not that of a primary
 * of this DPDK.
 */
int control_locks_look(struct control_locks *l, const char *path, uint64_t now_us,
		       unsigned *released);

#endif
