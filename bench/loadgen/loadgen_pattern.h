/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The octets of objects, and the Internet checksum.
 *
 * An object is a pure function of (seed, object id, offset): it is written when it is sent and checked when it is
 * received, so no payload is ever stored and any segment can be made again. Octets repeat in blocks of
 * LG_PATTERN_BLOCK, each under a key of its own: an octet that is wrong, shifted, missing or of another object or
 * block is found.
 *
 * Owner: any thread; lg_pattern_init once, before the others.
 */
#ifndef LOADGEN_PATTERN_H
#define LOADGEN_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define LG_PATTERN_BLOCK 256u

/* Tables of this run. Both ends must use the same seed. */
void lg_pattern_init(uint64_t seed);
/* Writes len octets of object id from offset on. */
void lg_pattern_fill(uint8_t *to, uint64_t id, uint64_t offset, size_t len);
/* How many of the len octets at data are right before the first wrong one; len if all are. */
size_t lg_pattern_check(const uint8_t *data, uint64_t id, uint64_t offset, size_t len);
/* The octet itself, for messages about a wrong one. */
uint8_t lg_pattern_at(uint64_t id, uint64_t offset);

/* Sum of the 16-bit words of data as they lie in memory, an odd last octet padded with zero (RFC 1071); to be added to
 * others and folded by lg_sum_fold. Every part but the last must have an even length. */
uint64_t lg_sum(const void *data, size_t len);

/* The checksum as it is stored in a header (in memory order). */
static inline uint16_t lg_sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* A well-mixed 64-bit number for every other one. */
static inline uint64_t lg_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

#endif
