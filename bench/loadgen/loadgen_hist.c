/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_hist.h"

#include <string.h>

void lg_hist_clear(struct lg_hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

/* The first two powers share their width of 1; from there each is twice the one before. */
static unsigned part_of(uint64_t ns)
{
	unsigned shift, part;

	if (ns < LG_HIST_PARTS)
		return ns;
	shift = 63 - __builtin_clzll(ns) - LG_HIST_PART_BITS;
	part = LG_HIST_PARTS * (shift + 1) + (unsigned)(ns >> shift) - LG_HIST_PARTS;
	return part < LG_HIST_SIZE ? part : LG_HIST_SIZE - 1;
}

/* The largest value counted in a part. */
static uint64_t part_top(unsigned part)
{
	unsigned shift;

	if (part < LG_HIST_PARTS)
		return part;
	shift = part / LG_HIST_PARTS - 1;
	return ((uint64_t)(part % LG_HIST_PARTS + LG_HIST_PARTS + 1) << shift) - 1;
}

void lg_hist_add(struct lg_hist *h, uint64_t ns)
{
	h->count++;
	h->sum += ns;
	if (ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->part[part_of(ns)]++;
}

void lg_hist_merge(struct lg_hist *to, const struct lg_hist *from)
{
	to->count += from->count;
	to->sum += from->sum;
	if (from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
	for (unsigned i = 0; i < LG_HIST_SIZE; i++)
		to->part[i] += from->part[i];
}

uint64_t lg_hist_quantile(const struct lg_hist *h, double q)
{
	uint64_t seen = 0, rank;

	if (h->count == 0)
		return 0;
	rank = (uint64_t)(q * (double)h->count);
	if ((double)rank < q * (double)h->count || rank == 0)
		rank++;
	if (rank > h->count)
		rank = h->count;
	for (unsigned i = 0; i < LG_HIST_SIZE; i++) {
		seen += h->part[i];
		if (seen >= rank) {
			uint64_t top = part_top(i);

			/* The last part counts what is longer than its top. */
			if (top > h->max || i == LG_HIST_SIZE - 1)
				top = h->max;
			return top < h->min ? h->min : top;
		}
	}
	return h->max;
}

double lg_hist_mean(const struct lg_hist *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
