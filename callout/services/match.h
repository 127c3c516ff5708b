/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finds literal patterns in a stream of octets that comes in pieces (an Aho-Corasick automaton as a table over
 * classes of octets). A set is read-only once built; where a scan stands is the caller's.
 *
 * INV-MATCH-1  the result does not depend on how the stream is cut into pieces.
 */
#ifndef CALLOUT_MATCH_H
#define CALLOUT_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct match_pattern {
	const uint8_t *p; /* borrowed for match_set_new */
	size_t len;       /* at least 1 */
};

struct match_set;

/* fold: A-Z match a-z. NULL: no memory, or more states than fit (errno). */
struct match_set *match_set_new(const struct match_pattern *patterns, uint32_t n, bool fold);
void match_set_free(struct match_set *s); /* NULL allowed */
size_t match_set_longest(const struct match_set *s);
/* How many of the last octets may be the beginning of a match. */
size_t match_set_depth(const struct match_set *s, uint32_t state);

/* First match to end in p: its pattern and the octets of p up to its end. False: *state has moved past p. */
bool match_any(const struct match_set *s, uint32_t *state, const uint8_t *p, size_t len, size_t *end,
	       uint32_t *pattern);

/* Two pieces of memory seen as one. */
struct match_window {
	const uint8_t *a, *b;
	size_t a_len, b_len;
};

struct match_hit {
	size_t start, end; /* in the window */
	uint32_t pattern;
};

struct match_scan {
	uint32_t state;
	size_t pos;            /* in the window: scanned up to here */
	bool have;             /* best is a match, but a better one may come */
	struct match_hit best;
};

/*
 * Next non-overlapping match: the one that starts first, among those the longest. True: *hit, and the scan goes on
 * behind it. False: the window is used up; octets from match_scan_held on have to stay in the window of the next call
 * (last: none have, what was undecided has been decided).
 */
bool match_leftmost(const struct match_set *s, struct match_scan *scan, const struct match_window *w, bool last,
		    struct match_hit *hit);
/* Start of what is undecided, a window position. */
size_t match_scan_held(const struct match_set *s, const struct match_scan *scan);
/* The first n octets of the window are gone. */
void match_scan_shift(struct match_scan *scan, size_t n);

#endif
