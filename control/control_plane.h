/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dataplane as seen from here: attaching to its hugepage memory as a DPDK
 * secondary process, noticing its end, and memzones.
 *
 * DPDK lets a process attach once in its life, and while it stays attached it
 * holds locks on the hugepage files, so that a new primary of the same prefix
 * cannot start. When the dataplane ends this process therefore has to begin
 * anew at once (control_restart): control_plane_lost tells.
 *
 *   ABSENT --attach--> WAITING (EAL up, no opes_shm yet) --> UP <--> STALLED (no heartbeat)
 *      any attached state --process gone--> LOST
 *
 * Main thread only.
 */
#ifndef CONTROL_PLANE_H
#define CONTROL_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "control_locks.h"

struct shm_root;

#define CONTROL_PLANE_STALL_US 2000000u /* no heartbeat for so long: stalled */

enum control_plane_state {
	CONTROL_PLANE_ABSENT,
	CONTROL_PLANE_WAITING,
	CONTROL_PLANE_UP,
	CONTROL_PLANE_STALLED,
	CONTROL_PLANE_LOST,
};

struct control_plane {
	enum control_plane_state state;
	struct shm_root *root; /* UP and STALLED only */
	pid_t pid;	       /* of the primary, 0 = none */
	pid_t avoid;	       /* a primary that cannot be attached to (another build) */
	int pidfd;	       /* readable when it ends; -1 = none */
	char prefix[64];       /* DPDK's file prefix */
	bool eal;	       /* rte_eal_init was called */
	bool never;	       /* the dataplane runs on memory nobody can attach to */
	struct control_locks locks;
	uint64_t not_before_us; /* no attempt to attach before (CLOCK_MONOTONIC) */
	bool verbose;
	char why[256]; /* ABSENT, WAITING, LOST: one clause that says why */
};

void control_plane_init(struct control_plane *p, const char *prefix, bool verbose);
/* Looks at the dataplane and attaches if it can. now_us: CLOCK_MONOTONIC. Returns the state. */
enum control_plane_state control_plane_poll(struct control_plane *p, uint64_t now_us);
/* True while the primary holds its lock. */
bool control_plane_alive(const struct control_plane *p);
const char *control_plane_state_name(enum control_plane_state s);
/*
 * At the end, or before this program begins anew: removes the files DPDK made for this process.
 * (DPDK's own clean-up takes locks it shares with the dataplane, for nothing that the process's end
 * does not do.)
 */
void control_plane_detach(const struct control_plane *p);

/* When it is lost: closes the files whose locks would keep a new dataplane from starting. What is
 * mapped stays readable. */
void control_plane_unlock(const struct control_plane *p);

/* Memory both processes see. Return NULL (errno set) or the zone's address. */
void *control_plane_zone_reserve(const char *name, size_t size);
void *control_plane_zone_lookup(const char *name, size_t *size);
void control_plane_zone_free(const char *name);
/* Frees every zone whose name begins with prefix, except keep1 and keep2 (may be NULL). Returns how
 * many. */
unsigned control_plane_zones_sweep(const char *prefix, const char *keep1, const char *keep2);

#endif
