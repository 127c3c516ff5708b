/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rule images in the dataplane: taking over what control publishes (struct
 * shm_publish), handing it to the callout thread and the workers, and freeing it when no
 * message uses it any more.
 *
 * The dataplane keeps its own copy of an image, so that what control does with its memory
 * (or that it dies) touches no message under way:
 *
 *   published --copied, checked, matchers made--> OFFERED --callout thread has it--> SWITCHING
 *     --every worker looks it up--> CURRENT (P1: adopted) --a later one is CURRENT--> RETIRED
 *     --no message began with it that is still under way--> freed
 *
 * Threads: ctl_rules_* by the main thread. A worker reads its ctl_rules_slot at the top of each
 * loop and says in it what it has done; the callout thread its own.
 *
 * INV-RULES-1  at most one image is between published and CURRENT.
 * INV-RULES-2  an image is freed only after every worker has said drained for a later generation.
 */
#ifndef CTL_RULES_H
#define CTL_RULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "policy/policy.h"
#include "stats/shm.h"

#define CTL_RULES_MEMZONE "opes_rules_" /* and the generation */

/* One image as the dataplane holds it; immutable while anyone sees it. */
struct ctl_rules {
	struct ctl_rules *next;
	struct policy_image *image;
	uint32_t generation;
	bool selects; /* some rule may select a flow */
	struct policy_matcher *matcher[SHM_WORKERS_MAX];
	char memzone[32]; /* it came from */
};

/* Between the main thread and one worker (or the callout thread). */
struct ctl_rules_slot {
	/* main thread, release: use this one from the next loop on */
	_Atomic(struct ctl_rules *) offered;
	/* the thread, release: generation it looks up now */
	_Atomic uint32_t switched;
	/* the thread, release: nothing of an older generation is under way */
	_Atomic uint32_t drained;
} __attribute__((aligned(64)));

enum ctl_rules_state { CTL_RULES_IDLE, CTL_RULES_OFFERED, CTL_RULES_SWITCHING };

struct ctl_rules_main {
	struct shm_root *shm;
	unsigned workers;
	int socket_id;
	enum ctl_rules_state state;
	struct ctl_rules *current, *coming;
	struct ctl_rules *retired; /* list */
	struct ctl_rules_slot worker[SHM_WORKERS_MAX];
	struct ctl_rules_slot callout;
};

/* first: image the process starts with (copied, also to a memzone where control can read it).
 * Before the threads start: every slot offers it and shm says adopted. 0 or -errno. */
int ctl_rules_init(struct ctl_rules_main *r, struct shm_root *shm, unsigned workers, int socket_id,
		   const struct policy_image *first);
/* Every few milliseconds. */
void ctl_rules_poll(struct ctl_rules_main *r);
/* After all threads have ended. */
void ctl_rules_fini(struct ctl_rules_main *r);

#endif
