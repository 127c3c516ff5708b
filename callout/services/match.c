/* SPDX-License-Identifier: BSD-3-Clause */
#include "callout/services/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_CELLS_MAX (64u << 20) /* of the table: 256 MiB */

struct match_set {
	uint32_t nodes, classes;
	uint32_t *next;    /* [node * classes + class] */
	uint32_t *depth;   /* octets on the way from the root */
	uint32_t *out;     /* longest pattern that ends here, index + 1; 0: none */
	size_t *len;       /* of the patterns */
	bool *leaf;        /* no pattern goes on from here */
	size_t longest;
	uint8_t cls[256];
	bool start[256];   /* octet begins a pattern */
	int only_start;    /* the one octet that does; -1: several */
};

void match_set_free(struct match_set *s)
{
	if (!s)
		return;
	free(s->next);
	free(s->depth);
	free(s->out);
	free(s->len);
	free(s->leaf);
	free(s);
}

static uint8_t match_folded(uint8_t c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Octets no pattern has share class 0. */
static void match_classes(struct match_set *s, const struct match_pattern *p, uint32_t n, bool fold)
{
	bool used[256] = {false};
	uint32_t starts = 0;

	for (uint32_t i = 0; i < n; i++) {
		for (size_t j = 0; j < p[i].len; j++)
			used[match_folded(p[i].p[j], fold)] = true;
		s->start[match_folded(p[i].p[0], fold)] = true;
	}
	s->classes = 1;
	for (int c = 0; c < 256; c++) {
		/* 256 classes of used octets would need a 257th: class 0 is then simply one of them */
		if (used[c])
			s->cls[c] = s->classes < 256 ? (uint8_t)s->classes++ : 0;
	}
	for (int c = 'A'; fold && c <= 'Z'; c++) {
		s->cls[c] = s->cls[c + 32];
		s->start[c] = s->start[c + 32];
	}
	s->only_start = -1;
	for (int c = 0; c < 256; c++) {
		if (s->start[c]) {
			s->only_start = c;
			starts++;
		}
	}
	if (starts != 1)
		s->only_start = -1;
}

static void match_insert(struct match_set *s, const struct match_pattern *p, uint32_t index)
{
	uint32_t at = 0;

	for (size_t j = 0; j < p->len; j++) {
		uint32_t *cell = &s->next[(size_t)at * s->classes + s->cls[p->p[j]]];

		if (!*cell) {
			*cell = s->nodes;
			s->depth[s->nodes] = s->depth[at] + 1;
			s->leaf[s->nodes++] = true;
		}
		s->leaf[at] = false;
		at = *cell;
	}
	if (!s->out[at])
		s->out[at] = index + 1;
	s->len[index] = p->len;
}

/* Breadth first: turns missing edges into those of the longest proper suffix that is a node. */
static int match_link(struct match_set *s)
{
	uint32_t *queue = malloc(2 * (size_t)s->nodes * sizeof(*queue)), *fail = queue + s->nodes;
	uint32_t head = 0, tail = 0;

	if (!queue)
		return -ENOMEM;
	memset(fail, 0, s->nodes * sizeof(*fail));
	queue[tail++] = 0;
	while (head < tail) {
		uint32_t at = queue[head++];

		for (uint32_t c = 0; c < s->classes; c++) {
			uint32_t *cell = &s->next[(size_t)at * s->classes + c];
			uint32_t via = at ? s->next[(size_t)fail[at] * s->classes + c] : 0;

			if (!*cell || s->depth[*cell] != s->depth[at] + 1) {
				*cell = via;
				continue;
			}
			fail[*cell] = via;
			if (!s->out[*cell])
				s->out[*cell] = s->out[via];
			queue[tail++] = *cell;
		}
	}
	free(queue);
	return 0;
}

struct match_set *match_set_new(const struct match_pattern *patterns, uint32_t n, bool fold)
{
	struct match_set *s = calloc(1, sizeof(*s));
	size_t nodes = 1;

	if (!s)
		return NULL;
	match_classes(s, patterns, n, fold);
	for (uint32_t i = 0; i < n; i++) {
		nodes += patterns[i].len;
		if (patterns[i].len > s->longest)
			s->longest = patterns[i].len;
	}
	if (nodes > MATCH_CELLS_MAX / s->classes) {
		match_set_free(s);
		errno = E2BIG;
		return NULL;
	}
	s->next = calloc(nodes * s->classes, sizeof(*s->next));
	s->depth = calloc(nodes, sizeof(*s->depth));
	s->out = calloc(nodes, sizeof(*s->out));
	s->leaf = calloc(nodes, sizeof(*s->leaf));
	s->len = calloc(n ? n : 1, sizeof(*s->len));
	if (!s->next || !s->depth || !s->out || !s->leaf || !s->len) {
		match_set_free(s);
		errno = ENOMEM;
		return NULL;
	}
	s->nodes = 1;
	for (uint32_t i = 0; i < n; i++)
		match_insert(s, &patterns[i], i);
	if (match_link(s) != 0) {
		match_set_free(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

size_t match_set_longest(const struct match_set *s)
{
	return s->longest;
}

size_t match_set_depth(const struct match_set *s, uint32_t state)
{
	return s->depth[state];
}

/* First octet in p that can begin a match. */
static size_t match_skip(const struct match_set *s, const uint8_t *p, size_t len)
{
	size_t i = 0;

	if (s->only_start >= 0) {
		const uint8_t *hit = memchr(p, s->only_start, len);

		return hit ? (size_t)(hit - p) : len;
	}
	while (i < len && !s->start[p[i]])
		i++;
	return i;
}

bool match_any(const struct match_set *s, uint32_t *state, const uint8_t *p, size_t len, size_t *end,
	       uint32_t *pattern)
{
	uint32_t at = *state;
	size_t i = 0;

	while (i < len) {
		if (!at) {
			i += match_skip(s, p + i, len - i);
			if (i == len)
				break;
		}
		at = s->next[(size_t)at * s->classes + s->cls[p[i++]]];
		if (s->out[at]) {
			*end = i;
			*pattern = s->out[at] - 1;
			*state = at;
			return true;
		}
	}
	*state = at;
	return false;
}

static bool match_commit(struct match_scan *scan, struct match_hit *hit)
{
	*hit = scan->best;
	scan->pos = hit->end;
	scan->state = 0;
	scan->have = false;
	return true;
}

bool match_leftmost(const struct match_set *s, struct match_scan *scan, const struct match_window *w, bool last,
		    struct match_hit *hit)
{
	size_t total = w->a_len + w->b_len, i = scan->pos;
	uint32_t at = scan->state;

	while (i < total) {
		const uint8_t *p = i < w->a_len ? w->a + i : w->b + (i - w->a_len);
		uint32_t out;

		if (!at && !scan->have) {
			size_t room = i < w->a_len ? w->a_len - i : total - i;
			size_t skip = match_skip(s, p, room);

			i += skip;
			if (skip == room)
				continue;
			p += skip;
		}
		at = s->next[(size_t)at * s->classes + s->cls[*p]];
		i++;
		out = s->out[at];
		if (out) {
			size_t start = i - s->len[out - 1];

			if (!scan->have || start <= scan->best.start) {
				scan->have = true;
				scan->best = (struct match_hit){start, i, out - 1};
			}
		}
		/* no better match is under way */
		if (scan->have && (i - s->depth[at] > scan->best.start || s->leaf[at]))
			return match_commit(scan, hit);
	}
	scan->pos = i;
	scan->state = at;
	if (last && scan->have)
		return match_commit(scan, hit);
	return false;
}

size_t match_scan_held(const struct match_set *s, const struct match_scan *scan)
{
	return scan->pos - s->depth[scan->state];
}

void match_scan_shift(struct match_scan *scan, size_t n)
{
	scan->pos -= n;
	if (scan->have) {
		scan->best.start -= n;
		scan->best.end -= n;
	}
}
