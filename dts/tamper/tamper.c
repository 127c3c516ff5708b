/* SPDX-License-Identifier: BSD-3-Clause */
#include "tamper/tamper.h"

#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000u

/* What a random number is for: each purpose has its own for every packet (INV-2). The faults come first. */
enum draw { DRAW_DISTANCE = TAMPER_FAULTS, DRAW_COPY, DRAW_JITTER, DRAW_PLACE, DRAW_OCTET, DRAW_MASK };

/* Three rounds of multiply and fold: neighbouring inputs give numbers that have nothing to do with each other. */
static uint64_t scramble(uint64_t x)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		x ^= x >> 32;
		x *= 0xd6e8feb86659fd93u;
	}
	return x ^ (x >> 32);
}

static uint64_t draw(const struct tamper *t, unsigned what)
{
	return scramble(scramble(scramble(t->conf.seed + 1) + t->n) + what);
}

/* Uniform in [0, below), by the upper half of a product. below = 0 gives 0. */
static uint64_t scaled(uint64_t random, uint64_t below)
{
	return (uint64_t)(((unsigned __int128)random * below) >> 64);
}

static bool strikes(const struct tamper *t, enum tamper_fault f)
{
	const struct tamper_nth *k = t->conf.nth;
	uint32_t i;

	for (i = 0; i < t->conf.nths; i++, k++)
		if (k->fault == f && (t->n == k->first || (k->every && t->n > k->first && !((t->n - k->first) % k->every))))
			return true;
	return t->conf.chance[f] && scaled(draw(t, f), TAMPER_SCALE) < t->conf.chance[f];
}

static bool earlier(const struct tamper_slot *a, const struct tamper_slot *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static bool room_for(struct tamper *t, uint32_t more)
{
	uint32_t need = t->heap_n + t->late_n + more, cap = t->heap_cap ? t->heap_cap : 64;
	struct tamper_slot *heap;

	if (t->conf.held_max && need > t->conf.held_max)
		return false;
	if (need <= t->heap_cap)
		return true;
	while (cap < need)
		cap *= 2;
	heap = realloc(t->heap, cap * sizeof(*heap));
	if (!heap)
		return false;
	t->heap = heap;
	t->heap_cap = cap;
	return true;
}

/* room_for() has been asked. */
static void heap_put(struct tamper *t, struct tamper_slot s)
{
	uint32_t i = t->heap_n++;

	s.order = t->order++;
	while (i && earlier(&s, &t->heap[(i - 1) / 2])) {
		t->heap[i] = t->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	t->heap[i] = s;
}

static struct tamper_slot heap_get(struct tamper *t)
{
	struct tamper_slot top = t->heap[0], last = t->heap[--t->heap_n];
	uint32_t i = 0, c;

	while ((c = 2 * i + 1) < t->heap_n) {
		if (c + 1 < t->heap_n && earlier(&t->heap[c + 1], &t->heap[c]))
			c++;
		if (!earlier(&t->heap[c], &last))
			break;
		t->heap[i] = t->heap[c];
		i = c;
	}
	t->heap[i] = last;
	return top;
}

static struct tamper_slot late_take(struct tamper *t, uint32_t i)
{
	struct tamper_slot s = t->late[i];

	memmove(&t->late[i], &t->late[i + 1], (--t->late_n - i) * sizeof(s));
	return s;
}

/* A packet that leaves at `at` overtakes the displaced ones; those that have waited for enough follow right behind, those
 * that cannot wait so long leave before it. */
static void overtake(struct tamper *t, uint64_t at)
{
	uint32_t i = 0;

	while (i < t->late_n) {
		struct tamper_slot *s = &t->late[i];

		if (at <= s->at) {
			s->passed++;
			if (--s->left) {
				i++;
				continue;
			}
			s->at = at;
		}
		heap_put(t, late_take(t, i));
	}
}

/* INV-6. */
static void corrupt(struct tamper *t, void *packet, uint32_t len)
{
	uint32_t from = 0, to = len;

	if (!t->ops.flip || (t->ops.span && !t->ops.span(t->ops.ctx, packet, len, t->conf.place, draw(t, DRAW_PLACE), &from, &to)) ||
	    from >= to) {
		t->count.spared++;
		return;
	}
	t->ops.flip(t->ops.ctx, packet, from + (uint32_t)scaled(draw(t, DRAW_OCTET), to - from),
		    (uint8_t)(1 + scaled(draw(t, DRAW_MASK), 255)));
	t->count.corrupted++;
}

/* When it has passed the rate limit; false when the queue before that is full. */
static bool passes_rate(struct tamper *t, uint32_t len, uint64_t now, uint64_t *at)
{
	uint64_t start = t->rate_free > now ? t->rate_free : now;

	*at = now;
	if (!t->conf.rate)
		return true;
	if (t->conf.queue && (unsigned __int128)(start - now) * t->conf.rate / SECOND > t->conf.queue)
		return false;
	t->rate_free = start + (uint64_t)((unsigned __int128)len * SECOND / t->conf.rate);
	*at = start;
	return true;
}

static void drop(struct tamper *t, void *packet, uint64_t *why)
{
	++*why;
	t->ops.drop(t->ops.ctx, packet);
}

static void copy(struct tamper *t, void *packet, const struct tamper_slot *s)
{
	struct tamper_slot c = *s;

	c.packet = packet;
	c.n = 0;
	c.at += t->conf.dup_ns ? scaled(draw(t, DRAW_COPY), t->conf.dup_ns + 1) : 0;
	t->count.duplicated++;
	heap_put(t, c);
}

/* Its place among the others: at once, or late. */
static void line_up(struct tamper *t, struct tamper_slot s, void *second)
{
	const struct tamper_conf *c = &t->conf;
	bool late = strikes(t, TAMPER_REORDER) && (!c->displace_max || t->late_n < TAMPER_LATE_MAX);

	if (!late) {
		/* INV-3: jitter and settings that change do not make one packet overtake another. */
		t->last_at = s.at = s.at > t->last_at ? s.at : t->last_at;
		heap_put(t, s);
		if (second)
			copy(t, second, &s);
		overtake(t, s.at);
		return;
	}
	t->count.displaced++;
	if (second)
		copy(t, second, &s);
	s.at += c->reorder_ns;
	if (!c->displace_max) {
		heap_put(t, s);
		return;
	}
	s.left = c->displace_min + (uint32_t)scaled(draw(t, DRAW_DISTANCE), c->displace_max - c->displace_min + 1);
	t->late[t->late_n++] = s;
}

void tamper_put(struct tamper *t, void *packet, uint32_t len, uint64_t now)
{
	struct tamper_slot s = {.packet = packet, .len = len, .n = ++t->n};
	void *second = NULL;

	t->count.in++;
	t->count.octets_in += len;
	if (strikes(t, TAMPER_LOSS)) {
		drop(t, packet, &t->count.lost);
		return;
	}
	if (!room_for(t, 2)) {
		drop(t, packet, &t->count.overrun);
		return;
	}
	if (!passes_rate(t, len, now, &s.at)) {
		drop(t, packet, &t->count.queue_dropped);
		return;
	}
	if (strikes(t, TAMPER_DUP))
		second = t->ops.clone(t->ops.ctx, packet);
	if (strikes(t, TAMPER_CORRUPT))
		corrupt(t, packet, len);
	s.at += t->conf.delay_ns + (t->conf.jitter_ns ? scaled(draw(t, DRAW_JITTER), t->conf.jitter_ns + 1) : 0);
	line_up(t, s, second);
	t->count.held = t->heap_n + t->late_n;
}

void *tamper_get(struct tamper *t, uint64_t now, uint32_t *len)
{
	struct tamper_slot s;
	uint32_t i = 0;

	while (i < t->late_n)
		if (t->late[i].at <= now)
			heap_put(t, late_take(t, i));
		else
			i++;
	if (!t->heap_n || t->heap[0].at > now)
		return NULL;
	s = heap_get(t);
	t->count.held = t->heap_n + t->late_n;
	t->count.out++;
	t->count.octets_out += s.len;
	if (s.n && s.n < t->n_out)
		t->count.reordered++;
	t->n_out = s.n > t->n_out ? s.n : t->n_out;
	if (s.passed > t->count.displacement)
		t->count.displacement = s.passed;
	*len = s.len;
	return s.packet;
}

uint64_t tamper_due(const struct tamper *t)
{
	uint64_t due = t->heap_n ? t->heap[0].at : TAMPER_NEVER;
	uint32_t i;

	for (i = 0; i < t->late_n; i++)
		due = t->late[i].at < due ? t->late[i].at : due;
	return due;
}

const char *tamper_conf_error(const struct tamper_conf *c)
{
	uint32_t i;

	for (i = 0; i < TAMPER_FAULTS; i++)
		if (c->chance[i] > TAMPER_SCALE)
			return "a chance is above 100 %";
	if (c->displace_max > TAMPER_DISPLACE_MAX)
		return "a packet can be displaced by 32 others at most";
	if (c->displace_max && (!c->displace_min || c->displace_min > c->displace_max))
		return "the least displacement is not between 1 and the largest";
	if (c->displace_max && !c->reorder_ns)
		return "a displaced packet must not wait for others without end";
	if (c->nths > TAMPER_NTH_MAX)
		return "more than 16 faults for certain packets";
	for (i = 0; i < c->nths; i++)
		if (!c->nth[i].first)
			return "packets are counted from 1";
	return NULL;
}

void tamper_open(struct tamper *t, const struct tamper_conf *conf, const struct tamper_ops *ops)
{
	memset(t, 0, sizeof(*t));
	t->conf = *conf;
	t->ops = *ops;
}

void tamper_set(struct tamper *t, const struct tamper_conf *conf, bool restart)
{
	uint32_t i;

	if (restart) {
		/* What is held came before everything that is numbered anew. */
		for (i = 0; i < t->heap_n; i++)
			t->heap[i].n = 0;
		for (i = 0; i < t->late_n; i++)
			t->late[i].n = 0;
		t->n = t->n_out = 0;
	}
	t->conf = *conf;
	if (!conf->rate)
		t->rate_free = 0;
}

void tamper_close(struct tamper *t)
{
	while (t->heap_n)
		t->ops.drop(t->ops.ctx, heap_get(t).packet);
	while (t->late_n)
		t->ops.drop(t->ops.ctx, late_take(t, 0).packet);
	free(t->heap);
	t->heap = NULL;
	t->heap_cap = 0;
}
