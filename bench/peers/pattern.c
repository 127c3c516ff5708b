/* SPDX-License-Identifier: BSD-3-Clause */
#include "pattern.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATTERN_PIECE 65536

/* A counter through SplitMix64's mixing function: no state, any offset at once. */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
	uint64_t z = seed * 0xd1342543de82ef95u + (index + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void pattern_fill(uint64_t seed, uint64_t offset, uint8_t *buf, size_t len)
{
	uint64_t index = offset / 8;

	for (size_t at = 0; at < len; at += 8) {
		uint64_t w = word_at(seed, index++);

		memcpy(buf + at, &w, len - at < 8 ? len - at : 8);
	}
}

int pattern_write(const char *path, uint64_t seed, uint64_t size)
{
	static uint8_t piece[PATTERN_PIECE];
	FILE *f = fopen(path, "wb");
	int rc = 0;

	if (!f)
		return -errno;
	for (uint64_t at = 0; at < size && !rc; at += PATTERN_PIECE) {
		size_t n = size - at < PATTERN_PIECE ? size - at : PATTERN_PIECE;

		pattern_fill(seed, at, piece, n);
		if (fwrite(piece, 1, n, f) != n)
			rc = -(errno ? errno : EIO);
	}
	if (fclose(f) && !rc)
		rc = -errno;
	return rc;
}
