/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reassembly: bytes of a stream that arrived ahead of their turn.
 *
 * Held as an ordered array of ranges, each a list of chunks. Ranges are disjoint and never touch
 * (INV-REASM-1), left < right (INV-REASM-2), bytes == sum of right - left (INV-REASM-3).
 *
 * Overlap policy, the only one: the bytes received first win. A later copy of a byte already held
 * is dropped; where it differs from the held one, the insert reports a conflict.
 *
 * Bounds: STREAM_RANGES_MAX ranges, a number of chunks given at insert; bytes are bounded by the
 * receive window of the caller. An insert over a bound is refused whole.
 *
 * Memory: the array lives in a buffer borrowed from the chunk pool while anything is held, so an
 * idle stream costs 24 bytes. Sequence numbers are 32 bit, host order, compared modulo 2^32; all
 * held ones must lie within 2^31 of each other.
 *
 * Owner thread: that of the chunk pool.
 */
#ifndef STREAM_REASM_H
#define STREAM_REASM_H

#include <stdbool.h>
#include <stdint.h>
#include "mem/mem_chunk.h"

#define STREAM_RANGES_MAX 64

/* Chunks of an overlap looked at for differences before it counts as equal; keeps a sender of
 * duplicates from buying much work. */
#define STREAM_COMPARE_MAX 256

struct stream_range {
	uint32_t left;	/* first sequence number */
	uint32_t right; /* one past the last */
	struct chunk *head;
	struct chunk *tail;
	uint32_t stamp; /* larger: changed later */
	uint32_t count; /* chunks */
};

struct stream_reasm {
	struct rte_mbuf *block; /* holds the ranges, NULL while there are none */
	uint32_t bytes;
	uint32_t chunks;
	uint32_t stamp;
	uint16_t n; /* ranges */
};

/* Two versions of the same octets: from the first one that differs on, as far as both are at hand. */
#define STREAM_CONFLICT_MAX 16
struct stream_conflict {
	uint32_t seq;
	uint16_t len; /* of held and came, 0: none */
	uint8_t held[STREAM_CONFLICT_MAX];
	uint8_t came[STREAM_CONFLICT_MAX];
};

/* What an insert did. */
struct stream_insert {
	uint32_t fresh;	   /* bytes now held that were not before */
	uint32_t dup_left; /* first stretch that was held already, dup_left == dup_right: none */
	uint32_t dup_right;
	bool conflict; /* an already held byte came with another value */
	struct stream_conflict first; /* the first such, if conflict */
};

/* Do the n octets from seq on differ between the list of chunks that has them aoff into a, and the one that has them boff
 * into b? Both lists hold them all. k is filled if so. No more than STREAM_COMPARE_MAX chunks are looked at. */
bool stream_differs(const struct chunk *a, uint32_t aoff, const struct chunk *b, uint32_t boff, uint32_t seq, uint32_t n,
		    struct stream_conflict *k);

void stream_reasm_init(struct stream_reasm *r);
/* Takes over all chunks of q, which is the stream from seq on (q->bytes > 0), kept or freed; q is
 * empty afterwards. chunks_max bounds the chunks held after the insert. 0, -ENOBUFS (bound
 * reached, nothing was kept), -ENOMEM (pool empty: res->fresh bytes were kept, perhaps none, the
 * rest is as if it had not come). */
int stream_reasm_insert(struct stream_reasm *r, struct chunk_pool *p, uint32_t seq,
			struct chunkq *q, uint32_t chunks_max, struct stream_insert *res);
/* Moves the range that begins at seq to the end of dst. Returns its bytes, 0 if there is none. */
uint32_t stream_reasm_pop(struct stream_reasm *r, struct chunk_pool *p, uint32_t seq,
			  struct chunkq *dst);
/* The ranges in order, n of them; valid until the next call that changes r. */
const struct stream_range *stream_reasm_ranges(const struct stream_reasm *r, uint16_t *n);
/* Up to max ranges, the one changed last first (RFC 2018 section 4). Returns how many. */
uint16_t stream_reasm_recent(const struct stream_reasm *r, struct stream_range *out, uint16_t max);
void stream_reasm_purge(struct stream_reasm *r, struct chunk_pool *p);

#endif
