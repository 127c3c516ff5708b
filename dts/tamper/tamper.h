/* SPDX-License-Identifier: BSD-3-Clause */
/* A stage that makes a path worse: it drops, doubles, displaces, delays and corrupts packets and holds them to a rate.
 * For tests only: unit tests put it between two TCP halves, opes-tamper between two network interfaces.
 *
 * Pure C (libc), no thread, no global state; whoever opened a stage is the only one to call it. The clock is the
 * parameter `now`: nanoseconds, never going backwards. One stage is one direction.
 *
 * Packets are opaque pointers. tamper_put() takes the ownership of one in every case; it comes back by tamper_get() or
 * goes to ops.drop(). A copy made by ops.clone() is a packet like any other. In the way of a packet: number it, loss,
 * copy, corruption, rate and queue, displacement, delay.
 *
 * Invariants (tamper_test.c cites them):
 *  INV-1  in + duplicated == out + lost + queue_dropped + overrun + held, after every call.
 *  INV-2  Seed, settings and the sequence of calls determine everything. Whether packet number n is lost, doubled,
 *         displaced or corrupted depends on the seed, n and the chance of that very fault alone: neither the clock nor
 *         another fault's settings change it.
 *  INV-3  Without displacement packets leave in the order they came in, whatever delay, jitter and rate do.
 *  INV-4  A packet displaced by d leaves right behind the d-th packet that came in after it and was neither dropped nor
 *         displaced itself; when that does not come within reorder_ns, after that time.
 *  INV-5  No packet leaves before the time it came in plus delay_ns.
 *  INV-6  A corrupted packet differs from what came in in exactly one octet, within the span asked for; its copy is intact.
 *  INV-7  Every packet put in or cloned is returned by tamper_get() or handed to ops.drop(), once. */
#ifndef TAMPER_H
#define TAMPER_H

#include <stdbool.h>
#include <stdint.h>

#define TAMPER_SCALE	    1000000u /* chances are parts of this */
#define TAMPER_DISPLACE_MAX 32
#define TAMPER_LATE_MAX	    64 /* displaced packets that wait at the same time; more are not displaced */
#define TAMPER_NTH_MAX	    16
#define TAMPER_NEVER	    UINT64_MAX

enum tamper_fault { TAMPER_LOSS, TAMPER_DUP, TAMPER_REORDER, TAMPER_CORRUPT, TAMPER_FAULTS };

/* A fault for certain packets. Numbers start with 1. */
struct tamper_nth {
	enum tamper_fault fault;
	uint64_t first;
	uint64_t every; /* and each so many packets after it, 0 = that one only */
};

struct tamper_conf {
	uint64_t seed;
	uint32_t chance[TAMPER_FAULTS];	     /* of TAMPER_SCALE */
	uint32_t displace_min, displace_max; /* packets, uniform; 0 = displaced by time, exactly reorder_ns */
	uint64_t reorder_ns;		     /* the longest that a displaced packet waits */
	uint64_t dup_ns;		     /* a copy leaves up to this later, uniform; 0 = right behind */
	uint64_t delay_ns, jitter_ns;	     /* delay, and up to this more, uniform */
	uint64_t rate;			     /* octets a second, 0 = no limit */
	uint64_t queue;			     /* octets that may wait for the rate, 0 = no limit */
	uint32_t held_max;		     /* packets in the stage, 0 = no limit but memory; more are "overrun" */
	uint32_t place;			     /* where corruption strikes, handed to ops.span */
	uint32_t nths;
	struct tamper_nth nth[TAMPER_NTH_MAX];
};

struct tamper_ops {
	/* A second packet with the same octets; NULL when it cannot be had, then there is no copy. */
	void *(*clone)(void *ctx, void *packet);
	void (*drop)(void *ctx, void *packet);
	/* XOR an octet. NULL: nothing is corrupted. */
	void (*flip)(void *ctx, void *packet, uint32_t at, uint8_t mask);
	/* The octets [from, to) of a place; false when this packet has no such place. random: for places that are to be
	 * chosen. NULL: the whole packet. */
	bool (*span)(void *ctx, const void *packet, uint32_t len, uint32_t place, uint64_t random, uint32_t *from,
		     uint32_t *to);
	void *ctx;
};

struct tamper_count {
	uint64_t in, out, held;
	uint64_t lost, queue_dropped, overrun;
	uint64_t duplicated, displaced, corrupted;
	uint64_t reordered;    /* left after one that had come in later (copies do not count) */
	uint64_t displacement; /* the largest number of packets that really overtook a displaced one */
	uint64_t spared;       /* should have been corrupted, but had no such place */
	uint64_t octets_in, octets_out;
};

struct tamper_slot {
	uint64_t at, order, n; /* time due; rank among equals; number, 0 = a copy */
	void *packet;
	uint32_t len;
	uint32_t left, passed; /* displaced: packets to wait for, packets waited for */
};

struct tamper {
	struct tamper_conf conf;
	struct tamper_ops ops;
	struct tamper_count count;
	struct tamper_slot *heap; /* by at, order */
	uint32_t heap_n, heap_cap, late_n;
	struct tamper_slot late[TAMPER_LATE_MAX]; /* `at` is the time they leave at the latest */
	uint64_t n, order, n_out, last_at, rate_free;
};

/* What is wrong with the settings, in words; NULL when they can be used. */
const char *tamper_conf_error(const struct tamper_conf *conf);

/* ops is copied. conf must be without error. */
void tamper_open(struct tamper *t, const struct tamper_conf *conf, const struct tamper_ops *ops);
/* New settings for what comes in from now on; what is held stays as it is. restart: the next packet is number 1. */
void tamper_set(struct tamper *t, const struct tamper_conf *conf, bool restart);
/* Takes the packet in any case. len: octets, for the rate and for corruption. */
void tamper_put(struct tamper *t, void *packet, uint32_t len, uint64_t now);
/* The next packet that is due, NULL when there is none. */
void *tamper_get(struct tamper *t, uint64_t now, uint32_t *len);
/* When the next packet will be due, TAMPER_NEVER when none is held. */
uint64_t tamper_due(const struct tamper *t);
/* Whatever is held goes to ops.drop. */
void tamper_close(struct tamper *t);

#endif
