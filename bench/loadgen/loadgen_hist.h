/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Histogram of durations in nanoseconds: every power of two is cut into 64 equal parts, so that a quantile is exact
 * to 1.6 % from 1 ns to 2^42 ns (73 minutes) at a fixed size. Longer ones count in the last part; minimum, maximum
 * and mean are exact.
 *
 * Owner: one thread.
 */
#ifndef LOADGEN_HIST_H
#define LOADGEN_HIST_H

#include <stdint.h>

#define LG_HIST_PART_BITS 6
#define LG_HIST_PARTS (1u << LG_HIST_PART_BITS)
#define LG_HIST_POWERS (42u - LG_HIST_PART_BITS + 1u)
#define LG_HIST_SIZE (LG_HIST_PARTS * LG_HIST_POWERS)

struct lg_hist {
	uint64_t count, min, max, sum;
	uint64_t part[LG_HIST_SIZE];
};

void lg_hist_clear(struct lg_hist *h);
void lg_hist_add(struct lg_hist *h, uint64_t ns);
void lg_hist_merge(struct lg_hist *to, const struct lg_hist *from);
/* Smallest value that at least the share q (0 to 1) of all values does not exceed; 0 when there are none. */
uint64_t lg_hist_quantile(const struct lg_hist *h, double q);
double lg_hist_mean(const struct lg_hist *h);

#endif
