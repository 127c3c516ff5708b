/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this folder share: one stage each, one function each that registers its
 * benchmarks. Everything runs on the main lcore; nothing here is freed before the program ends.
 *
 * Received octets are those of one endless pattern: the octet at offset o of any stream is
 * micro_pattern(o)[0]. So every stage's outcome can be compared with what went in.
 */
#ifndef BENCH_MICRO_MICRO_H
#define BENCH_MICRO_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bench/harness/bench.h"
#include "mem/mem_chunk.h"

#define MICRO_BURST 32u /* segments, frames or chunks handled together, as the worker does */
#define MICRO_SEGMENT 1460u
#define MICRO_PATTERN 65536u /* the pattern repeats after so many octets */

#define MICRO_COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* The sets of arguments of a benchmark, for struct bench_def. */
#define MICRO_SETS(sets) .set = (sets), .nsets = MICRO_COUNT(sets)

void micro_parse(void);
void micro_flow(bool large);
void micro_timer(void);
void micro_mem(void);
void micro_stream(void);
void micro_tcp(void);
void micro_http1(void);
void micro_rules(void);
void micro_regex(void);
void micro_ocp(void);
void micro_ring(void);
void micro_adapt(void);

/* Buffers as a port pair has them, made at the first call; exits when there is no memory. */
struct chunk_pool *micro_pool(void);
/* All chunks and all buffers are back. */
bool micro_pool_whole(void);
/* size octets of zeroed memory where packets and flows are kept; align: a power of two. Exits when
 * there are none. */
void *micro_memory(size_t size, size_t align);
void micro_memory_free(void *mem);

/* At least MICRO_SEGMENT octets are readable there. */
const uint8_t *micro_pattern(uint64_t offset);
/* A chunk of the pattern in a buffer of its own, as a received segment is. Never NULL: exits when
 * the pool is empty. */
struct chunk *micro_chunk(uint64_t offset, uint32_t len);
/* The whole queue is the pattern from offset on. */
bool micro_is_pattern(const struct chunkq *q, uint64_t offset);

/* The same numbers in every run: xorshift. */
uint64_t micro_random(void);
static inline uint32_t micro_below(uint32_t n)
{
	return (uint32_t)((micro_random() >> 32) * n >> 32);
}

#endif
