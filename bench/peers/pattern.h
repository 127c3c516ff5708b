/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The octets of a seeded object: octet i depends on seed and i alone, so that a piece that is
 * wrong, lost, repeated or swapped shows at its offset.
 */
#ifndef PEERS_PATTERN_H
#define PEERS_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Fills buf with len octets of the object from offset on, which is a multiple of 8. */
void pattern_fill(uint64_t seed, uint64_t offset, uint8_t *buf, size_t len);

/* Writes the object of size octets to path. 0 or -errno. */
int pattern_write(const char *path, uint64_t seed, uint64_t size);

#endif
