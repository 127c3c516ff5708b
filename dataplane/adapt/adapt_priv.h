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

/* adapt_keep.c: what is kept of the original */
/* Appends references on originals [off, off+size) to q. 0, -ENOENT: not in keep, -ENOMEM. */
int adapt_keep_ref(struct adapt *a, uint64_t off, uint64_t size, struct chunkq *q);
void adapt_keep_release(struct adapt *a);
/* The chunk that is sent now goes without a commitment. */
void adapt_keep_unkept(struct adapt *a, uint64_t off, uint32_t len);
/* Frees those of them that the service may have seen. */
void adapt_keep_framed(struct adapt *a);
/* Frees the first chunk; the chunk c behind prev (NULL: the first). */
void adapt_keep_pop(struct adapt *a);
void adapt_keep_unlink(struct adapt *a, struct chunk *prev, struct chunk *c);
/* 1: the size octets at data are those of the original at off; 0: they are not; -ENOENT: not kept. */
int adapt_keep_same(const struct adapt *a, uint64_t off, const uint8_t *data, uint64_t size);
void adapt_range_ended(struct adapt *a, uint64_t off, uint64_t size);
/* First octet of keep; orig_len when empty. */
uint64_t adapt_keep_base(const struct adapt *a);
/* Can go on without the service, every octet once on the wire. */
bool adapt_rest_possible(const struct adapt *a);

/* adapt.c: the original on its way to the service */
void adapt_end_txn(struct adapt *a, bool error);
/* CLOSED arrived: frees a if its owner has released it. */
void adapt_closed(struct adapt *a);

/* adapt_ahead.c: release ahead (INV-ADAPT-7) */
/* The service predicts that the rest of am stays as it is. */
void adapt_ahead_predicted(struct adapt *a, struct adapt_am *am);
/* Moves what may go out ahead to the adapted message. */
void adapt_ahead_pump(struct adapt *a);
/* Octets of am are on their way out that the service has not spoken of yet. */
bool adapt_ahead_pending(const struct adapt *a, const struct adapt_am *am);
/* The next size octets of am, of which some are pending, are those at data, or, data NULL, those of the original at src.
 * Returns how many of them were released before, or UINT64_MAX: they differ, the transaction has failed. */
uint64_t adapt_ahead_confirmed(struct adapt *a, struct adapt_am *am, const uint8_t *data, uint64_t src, uint64_t size);
/* am is complete. False: before what was released, the transaction has failed. */
bool adapt_ahead_ended(struct adapt *a, const struct adapt_am *am);
/* The rest goes on without the service: behind what was released. */
void adapt_ahead_rest(struct adapt *a);

/* Something was released that may have to be compared yet. */
static inline bool adapt_ahead_open(const struct adapt *a)
{
	return a->ahead_on && a->ahead > a->identity;
}

/* adapt_head.c */
/* The head in q without Transfer-Encoding: what a service hears (RFC 4236 section 3.7). a->orig_head gets what was in q.
 * 0, or -ENOMEM and q is as it was. */
int adapt_head_strip(struct adapt *a, struct chunkq *q);

/* adapt_event.c: failure */
/* An event of the flow's own, with the offset in the message. */
void adapt_note(struct adapt *a, const char *kind, uint64_t offset, const char *text);
void adapt_fail(struct adapt *a, enum callout_cause cause, const char *text);

/* adapt_out.c: emission */
void adapt_out_pump(struct adapt *a);

#endif
