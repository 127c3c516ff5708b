/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow table of one worker: from the addresses, ports and VLAN tags of a frame to
 * the entry of its flow. Both directions find the same entry and learn from which
 * side the frame came. Bypassed traffic has no entry.
 *
 * Memory comes from the caller in one block (hugepage memory in the dataplane) and
 * never grows: the timer wheel of the entries, an index, and capacity entries of FLOW_ENTRY_SIZE octets. The index is
 * cache lines with seven slots each, two to four of them in use on average when the table is full: their number is
 * a power of two, so that the index takes 16 to 32 octets an entry (hash kept beside the entry number;
 * what finds no room goes into a line after). Entries name each other by 32 bits.
 * The hash is keyed with a seed so that an outsider cannot aim at one line.
 *
 * Owner thread: the worker. No locks; other threads see flows only through the
 * answers the worker writes (stats/shm.h, struct shm_query).
 *
 * INV-FLOW-1  count == number of entries in use == number of full index slots <= capacity.
 * INV-FLOW-2  an entry does not move while it is in use: pointers to it stay good until
 *             flow_table_delete.
 * INV-FLOW-3  no tombstones: a line counts the entries that passed it by and are in the table, so that a
 *             lookup's length depends on what is in the table, not on what has been.
 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "flow/flow_wheel.h"
#include "parse/parse_frame.h"

#define FLOW_BULK_MAX 64

struct session;

#define FLOW_CAPACITY_MAX (1u << 28)

/* What a look-up and a segment need comes first. */
struct flow_entry {
	struct flow_key key; /* as the client sends it: src is the client */
	uint8_t client_port; /* port the client is on: 0 or 1 */
	bool run_queued;     /* the owner's: it is on that list */
	bool used;
	bool half_open; /* the owner's: in its handshake */
	struct session *session;      /* the owner's */
	uint64_t id;		      /* unique: worker in the top 8 bits, then a count from 1 */
	struct flow_wheel_node timer; /* the owner's, of flow_table_wheel */
	union {
		uint32_t run_next;  /* the owner's: list of flows with work in this burst, flow_table_ref */
		uint32_t next_free; /* the table's, of entries not in use */
	};
	uint32_t hash; /* of key, where deleting begins to look */
};
#define FLOW_ENTRY_SIZE 88u
_Static_assert(sizeof(struct flow_entry) == FLOW_ENTRY_SIZE, "limits.flows is reckoned with it");
_Static_assert(offsetof(struct flow_entry, id) + sizeof(uint64_t) == 64, "a look-up's part is one line's worth");

struct flow_table; /* opaque, inside the caller's block */

/* Octets of the block for capacity entries (1 .. FLOW_CAPACITY_MAX). */
size_t flow_table_size(uint32_t capacity);
/* mem: flow_table_size(capacity) octets, aligned to 64. worker: 0..255, goes into ids. The table is
 * mem. */
struct flow_table *flow_table_init(void *mem, uint32_t capacity, unsigned worker, uint64_t seed);
/* The wheel of the entries' timers, in the table's block; the owner calls flow_wheel_init and must not destroy the
 * block while it uses the wheel. */
struct flow_wheel *flow_table_wheel(struct flow_table *t);

/* A name of e in 32 bits, never 0: its distance from the table in 8 octets. */
static inline uint32_t flow_table_ref(const struct flow_table *t, const struct flow_entry *e)
{
	return (uint32_t)(((uintptr_t)e - (uintptr_t)t) >> 3);
}
/* NULL for 0. */
static inline struct flow_entry *flow_table_at(const struct flow_table *t, uint32_t ref)
{
	return ref ? (struct flow_entry *)((uintptr_t)t + ((uint64_t)ref << 3)) : NULL;
}

/* The hash under which either direction is found: the same for key and its reverse. Pure; seed as
 * in init. Also used to give a flow to a worker where the port cannot. */
uint32_t flow_key_hash(const struct flow_key *key, uint64_t seed);

/* The entry of key, in either direction, or NULL. *side: 0 = key's frame comes from the client, 1 =
 * from the server. */
struct flow_entry *flow_table_lookup(const struct flow_table *t, const struct flow_key *key,
				     unsigned *side);
/* The same for n (<= FLOW_BULK_MAX) keys, index lines prefetched ahead. Returns the number found;
 * entry[i] is NULL where there is none. */
unsigned flow_table_lookup_bulk(const struct flow_table *t, const struct flow_key *const *key,
				unsigned n, struct flow_entry **entry, uint8_t *side);
/* New entry for the flow whose client sent key. The rest of the entry is zero but for id. 0;
 * -ENOSPC: the table is full; -EEXIST: there is one (*out is it). */
int flow_table_insert(struct flow_table *t, const struct flow_key *key, struct flow_entry **out);
/* e becomes the flow whose client sent key, which is e's own key or its reverse, with an id of its
 * own: a connection that takes the place of the one before. The owner's fields stay as they are. */
void flow_table_renew(struct flow_table *t, struct flow_entry *e, const struct flow_key *key);
/* e's timer must not be armed and e must not be on a run list. */
void flow_table_delete(struct flow_table *t, struct flow_entry *e);

uint32_t flow_table_count(const struct flow_table *t);
uint32_t flow_table_capacity(const struct flow_table *t);
/* The next entry in use at or after position *cursor (0 at first), which moves past it; NULL at the
 * end. Inserting and deleting between calls is allowed: an entry that lives through the whole
 * iteration is met exactly once. */
struct flow_entry *flow_table_next(const struct flow_table *t, uint64_t *cursor);
/* The same, but looks at *positions entries at most and lowers that by those it looked at: NULL is the end only while
 * *positions is not 0. */
struct flow_entry *flow_table_next_within(const struct flow_table *t, uint64_t *cursor, uint32_t *positions);

#endif
