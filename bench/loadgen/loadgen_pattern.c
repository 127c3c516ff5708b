/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_pattern.h"

#include <stdbool.h>
#include <string.h>

#define LANES 4
#define STEP (LANES * sizeof(uint64_t))

typedef uint64_t vec __attribute__((vector_size(STEP)));

/* One random block; what is sent is this under a key for each object and block. */
static union {
	uint8_t octet[LG_PATTERN_BLOCK];
	uint64_t word[LG_PATTERN_BLOCK / 8];
} table __attribute__((aligned(64)));
static uint64_t key_seed;
static bool have_avx2;

void lg_pattern_init(uint64_t seed)
{
	key_seed = lg_mix(seed);
	for (unsigned i = 0; i < LG_PATTERN_BLOCK / 8; i++)
		table.word[i] = lg_mix(key_seed + i + 1);
	have_avx2 = __builtin_cpu_supports("avx2");
}

static inline uint64_t key_of(uint64_t id, uint64_t offset)
{
	return lg_mix(lg_mix(id ^ key_seed) + offset / LG_PATTERN_BLOCK);
}

uint8_t lg_pattern_at(uint64_t id, uint64_t offset)
{
	return table.octet[offset % LG_PATTERN_BLOCK] ^
	       (uint8_t)(key_of(id, offset) >> (8 * (offset % 8)));
}

/* The key as it lies over octets that begin at offset. */
static inline uint64_t key_turned(uint64_t key, uint64_t offset)
{
	unsigned turn = 8 * (offset % 8);

	return turn ? key >> turn | key << (64 - turn) : key;
}

/* Part of one block. */
static inline __attribute__((always_inline)) void fill_part(uint8_t *to, const uint8_t *from,
							    uint64_t key, size_t len)
{
	const vec k = {key, key, key, key};
	size_t i = 0;

	for (; i + STEP <= len; i += STEP) {
		vec v;

		memcpy(&v, from + i, STEP);
		v ^= k;
		memcpy(to + i, &v, STEP);
	}
	for (; i < len; i++)
		to[i] = from[i] ^ (uint8_t)(key >> (8 * (i % 8)));
}

static inline __attribute__((always_inline)) bool check_part(const uint8_t *data,
							     const uint8_t *from, uint64_t key,
							     size_t len)
{
	const vec k = {key, key, key, key};
	vec bad = {0};
	uint8_t rest = 0;
	size_t i = 0;

	for (; i + STEP <= len; i += STEP) {
		vec v, w;

		memcpy(&v, from + i, STEP);
		memcpy(&w, data + i, STEP);
		bad |= v ^ k ^ w;
	}
	for (; i < len; i++)
		rest |= from[i] ^ data[i] ^ (uint8_t)(key >> (8 * (i % 8)));
	return (bad[0] | bad[1] | bad[2] | bad[3] | rest) == 0;
}

static inline __attribute__((always_inline)) void fill(uint8_t *to, uint64_t id, uint64_t offset,
						       size_t len)
{
	while (len > 0) {
		size_t at = offset % LG_PATTERN_BLOCK, n = LG_PATTERN_BLOCK - at;

		if (n > len)
			n = len;
		fill_part(to, table.octet + at, key_turned(key_of(id, offset), offset), n);
		to += n;
		offset += n;
		len -= n;
	}
}

static inline __attribute__((always_inline)) size_t check(const uint8_t *data, uint64_t id,
							  uint64_t offset, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t at = offset % LG_PATTERN_BLOCK, n = LG_PATTERN_BLOCK - at;

		if (n > len - done)
			n = len - done;
		if (!check_part(data + done, table.octet + at,
				key_turned(key_of(id, offset), offset), n))
			return done;
		offset += n;
		done += n;
	}
	return len;
}

/* Words of 32 bits into lanes of 64, which cannot overflow for any length of ours. */
static inline __attribute__((always_inline)) uint64_t sum(const uint8_t *p, size_t len)
{
	const vec low = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
	vec acc = {0};
	uint64_t total;

	for (; len >= STEP; p += STEP, len -= STEP) {
		vec v;

		memcpy(&v, p, STEP);
		acc += (v & low) + (v >> 32);
	}
	total = acc[0] + acc[1] + acc[2] + acc[3];
	for (; len >= 2; p += 2, len -= 2) {
		uint16_t w;

		memcpy(&w, p, 2);
		total += w;
	}
	if (len) {
		uint16_t w = 0;

		memcpy(&w, p, 1);
		total += w;
	}
	return total;
}

__attribute__((target("avx2"))) static void fill_avx2(uint8_t *to, uint64_t id, uint64_t offset,
						      size_t len)
{
	fill(to, id, offset, len);
}

__attribute__((target("avx2"))) static size_t check_avx2(const uint8_t *data, uint64_t id,
							 uint64_t offset, size_t len)
{
	return check(data, id, offset, len);
}

__attribute__((target("avx2"))) static uint64_t sum_avx2(const void *data, size_t len)
{
	return sum(data, len);
}

void lg_pattern_fill(uint8_t *to, uint64_t id, uint64_t offset, size_t len)
{
	if (have_avx2)
		fill_avx2(to, id, offset, len);
	else
		fill(to, id, offset, len);
}

size_t lg_pattern_check(const uint8_t *data, uint64_t id, uint64_t offset, size_t len)
{
	size_t n = have_avx2 ? check_avx2(data, id, offset, len) : check(data, id, offset, len);

	/* Blocks are checked whole; the very octet is looked for only when there is one. */
	while (n < len && data[n] == lg_pattern_at(id, offset + n))
		n++;
	return n;
}

uint64_t lg_sum(const void *data, size_t len)
{
	return have_avx2 ? sum_avx2(data, len) : sum(data, len);
}
