/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the files of this folder only. */
#ifndef ADAPT_PRIV_H
#define ADAPT_PRIV_H

#include "adapt/adapt.h"

#define ADAPT_TAG_DATA 0u    /* head or body: the position in the message tells */
#define ADAPT_TAG_TRAILER 1u

static inline void adapt_count(struct adapt *a, enum stats_counter c, uint64_t n)
{
	a->ctx->counter[c] += n;
}

static inline struct adapt_am *adapt_am_current(struct adapt *a)
{
	return a->am_head == a->am_tail ? NULL : &a->am[a->am_head % ADAPT_AMS];
}

/* adapt.c: the original */
/* Appends references on originals [off, off+size) to q. 0, -ENOENT: not in keep, -ENOMEM. */
int adapt_keep_ref(struct adapt *a, uint64_t off, uint64_t size, struct chunkq *q);
void adapt_keep_release(struct adapt *a);
void adapt_range_ended(struct adapt *a, uint64_t off, uint64_t size);
/* First octet of keep; orig_len when empty. */
uint64_t adapt_keep_base(const struct adapt *a);
/* Can go on without the service, every octet once on the wire. */
bool adapt_rest_possible(const struct adapt *a);
void adapt_end_txn(struct adapt *a, bool error);
/* CLOSED arrived: frees a if its owner has released it. */
void adapt_closed(struct adapt *a);

/* adapt_event.c: failure */
void adapt_fail(struct adapt *a, enum callout_cause cause, const char *text);

/* adapt_out.c: emission */
void adapt_out_pump(struct adapt *a);

#endif
