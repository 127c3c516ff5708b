/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_ranges.h"

static int grow(struct ocp_ranges *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : 4;
	struct ocp_range *r;

	if (s->n < s->cap)
		return 0;
	r = realloc(s->r, cap * sizeof(*r));
	if (!r)
		return -ENOMEM;
	s->r = r;
	s->cap = cap;
	return 0;
}

bool ocp_ranges_may_append(const struct ocp_ranges *s, uint64_t from, uint32_t max)
{
	return s->n < max || (s->n && s->r[s->n - 1].to == from);
}

int ocp_ranges_append(struct ocp_ranges *s, uint64_t from, uint64_t to, uint32_t max)
{
	int rc;

	if (from >= to)
		return 0;
	if (s->n && s->r[s->n - 1].to == from) {
		s->r[s->n - 1].to = to;
		return 0;
	}
	if (s->n >= max)
		return -ENOSPC;
	rc = grow(s);
	if (rc)
		return rc;
	s->r[s->n++] = (struct ocp_range){from, to};
	return 0;
}

/* First range that ends after `from`. */
static uint32_t find(const struct ocp_ranges *s, uint64_t from)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->r[mid].to <= from)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int ocp_ranges_remove(struct ocp_ranges *s, uint64_t from, uint64_t to, uint32_t max)
{
	uint32_t i = find(s, from), j;
	int rc;

	if (from >= to || i == s->n)
		return 0;
	if (s->r[i].from < from && s->r[i].to > to) { /* a hole */
		if (s->n >= max)
			return -ENOSPC;
		rc = grow(s);
		if (rc)
			return rc;
		memmove(&s->r[i + 2], &s->r[i + 1], (s->n - i - 1) * sizeof(*s->r));
		s->r[i + 1] = (struct ocp_range){to, s->r[i].to};
		s->r[i].to = from;
		s->n++;
		return 0;
	}
	if (s->r[i].from < from)
		s->r[i++].to = from;
	for (j = i; j < s->n && s->r[j].to <= to; j++)
		;
	if (j < s->n && s->r[j].from < to)
		s->r[j].from = to;
	memmove(&s->r[i], &s->r[j], (s->n - j) * sizeof(*s->r));
	s->n -= j - i;
	return 0;
}

bool ocp_ranges_cover(const struct ocp_ranges *s, uint64_t from, uint64_t to)
{
	uint32_t i;

	if (from >= to)
		return from == to;
	i = find(s, from);
	return i < s->n && s->r[i].from <= from && s->r[i].to >= to;
}

void ocp_ranges_clear(struct ocp_ranges *s)
{
	s->n = 0;
}

void ocp_ranges_free(struct ocp_ranges *s)
{
	free(s->r);
	*s = (struct ocp_ranges){0};
}
