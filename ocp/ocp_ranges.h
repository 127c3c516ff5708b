/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: the octets of an original that are under preservation
 * commitment, as few sorted, disjoint, non-adjacent ranges.
 */
#ifndef OCP_RANGES_H
#define OCP_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct ocp_range {
	uint64_t from, to; /* [from, to) */
};

struct ocp_ranges {
	struct ocp_range *r;
	uint32_t n, cap;
};

/* Adds [from, to), from not below the end of the last range. 0; -ENOSPC: more than max ranges;
 * -ENOMEM. */
int ocp_ranges_append(struct ocp_ranges *s, uint64_t from, uint64_t to, uint32_t max);
/* Same check without adding. */
bool ocp_ranges_may_append(const struct ocp_ranges *s, uint64_t from, uint32_t max);
/* Takes [from, to) out. -ENOSPC, -ENOMEM: would cut a range in two beyond max; nothing changed. */
int ocp_ranges_remove(struct ocp_ranges *s, uint64_t from, uint64_t to, uint32_t max);
/* All of [from, to); an empty range counts as covered. */
bool ocp_ranges_cover(const struct ocp_ranges *s, uint64_t from, uint64_t to);
/* Empty, memory kept. */
void ocp_ranges_clear(struct ocp_ranges *s);
void ocp_ranges_free(struct ocp_ranges *s);
#endif
