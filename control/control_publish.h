/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Publishing a compiled rule image to the dataplane: control's side of struct
 * shm_publish (P0, P1 there).
 *
 *   IDLE --start--> PENDING --adopted / refused--> IDLE
 *                      \--no answer in time--> LATE --adopted / refused--> IDLE
 *
 * INV-PUBLISH-1  A generation is published only in IDLE: until the last one is adopted or refused
 * the dataplane may be reading its address. INV-PUBLISH-2  A zone is freed only in IDLE, and never
 * the adopted one.
 *
 * Main thread only.
 */
#ifndef CONTROL_PUBLISH_H
#define CONTROL_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

struct policy_image;
struct shm_root;

#define CONTROL_PUBLISH_TIMEOUT_US 5000000u
#define CONTROL_RULES_PREFIX "opes_rules_"

enum control_publish_state { CONTROL_PUBLISH_IDLE, CONTROL_PUBLISH_PENDING, CONTROL_PUBLISH_LATE };

enum control_publish_result {
	CONTROL_PUBLISH_NOTHING,
	CONTROL_PUBLISH_ADOPTED,
	CONTROL_PUBLISH_REFUSED,
	CONTROL_PUBLISH_TIMEOUT, /* PENDING became LATE */
};

struct control_publish {
	enum control_publish_state state;
	uint32_t generation; /* under way */
	uint64_t deadline_us;
};

/* At attach: takes up what a predecessor published and, in IDLE, frees what it left behind. */
void control_publish_attach(struct control_publish *p, struct shm_root *root, uint64_t now_us);
/* Generation the next image has to carry. */
uint32_t control_publish_next(const struct shm_root *root);
/* Copies the image to hugepage memory and publishes it. 0; -EBUSY not IDLE; -ENOMEM; -EINVAL the
 * copy is not intact. */
int control_publish_start(struct control_publish *p, struct shm_root *root,
			  const struct policy_image *img, uint64_t now_us);
enum control_publish_result control_publish_poll(struct control_publish *p, struct shm_root *root,
						 uint64_t now_us);
/* The image in use, NULL if there is none or it cannot be read from here. */
const struct policy_image *control_publish_adopted(const struct shm_root *root);

#endif
