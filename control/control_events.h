/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: drained from the rings of shared memory in the order of their time,
 * logged, and the latest kept for the control socket.
 *
 * Every event gets a sequence number from 1 on. The numbers and the ring
 * positions live in shared memory (struct control_shared), so that a control that
 * starts while the dataplane runs goes on where its predecessor ended: nothing is
 * logged twice, nothing left out that is still in a ring.
 *
 * Main thread only.
 */
#ifndef CONTROL_EVENTS_H
#define CONTROL_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "stats/shm.h"

#define CONTROL_EVENTS_KEPT 4096
#define CONTROL_SHARED_MEMZONE "opes_control"
#define CONTROL_SHARED_MAGIC 0x4f50434fu
#define CONTROL_SHARED_VERSION 1u

/* What one control leaves to the next while a dataplane lives; in a memzone of its own, written by
 * control only. */
struct control_shared {
	uint32_t magic, version;
	uint64_t next_seq;
	uint64_t cursor[SHM_WORKERS_MAX + 1]; /* events read of each ring */
	uint64_t text_len;
	char text[]; /* configuration file as it was when the dataplane was first seen */
};

struct control_events {
	uint64_t next;			   /* sequence number of the next event */
	json_t *ring[CONTROL_EVENTS_KEPT]; /* by sequence number modulo */
};

void control_events_init(struct control_events *ev);
void control_events_free(struct control_events *ev);
/* Adds (reference stolen, gets its number) and, if log is set, logs. */
void control_events_add(struct control_events *ev, json_t *event, bool log);
/* An event of this program itself. */
void control_events_own(struct control_events *ev, const char *kind, const char *cause,
			uint32_t generation, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Takes over what rings still hold of events that were read before, without logging. */
void control_events_recall(struct control_events *ev, struct shm_root *root,
			   const struct control_shared *shared);
/* Reads what is new. Returns how many events were added. */
unsigned control_events_drain(struct control_events *ev, struct shm_root *root,
			      struct control_shared *shared);
/* The latest max events with a number above after, oldest first (new reference). */
json_t *control_events_list(const struct control_events *ev, uint64_t after, uint64_t max);
/* After a load the numbers go on. */
json_t *control_events_save(const struct control_events *ev);
void control_events_load(struct control_events *ev, const json_t *saved);

#endif
