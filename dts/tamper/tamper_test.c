/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tamper/tamper.h"

#define MS     1000000ull
#define OCTETS 40

struct packet {
	uint64_t number, came;
	bool copy, flipped;
	uint8_t octet[OCTETS];
};

/* What a test knows of a stage: every packet that is alive, and what was done to it. */
struct world {
	struct tamper t;
	uint64_t alive, made, dropped;
	uint32_t from, to; /* the place of corruption, 0 0 = the packet has none */
};

static void *world_clone(void *ctx, void *packet)
{
	struct world *w = ctx;
	struct packet *p = malloc(sizeof(*p));

	assert_non_null(p);
	*p = *(struct packet *)packet;
	p->copy = true;
	w->alive++;
	return p;
}

static void world_drop(void *ctx, void *packet)
{
	struct world *w = ctx;

	w->alive--;
	w->dropped++;
	free(packet);
}

static void world_flip(void *ctx, void *packet, uint32_t at, uint8_t mask)
{
	struct packet *p = packet;

	assert_in_range(at, 0, OCTETS - 1);
	assert_int_not_equal(mask, 0);
	p->octet[at] ^= mask;
	p->flipped = true;
}

static bool world_span(void *ctx, const void *packet, uint32_t len, uint32_t place, uint64_t random, uint32_t *from, uint32_t *to)
{
	const struct world *w = ctx;

	*from = w->from;
	*to = w->to;
	return w->to;
}

static void begin(struct world *w, const struct tamper_conf *c)
{
	struct tamper_ops ops = {world_clone, world_drop, world_flip, world_span, w};

	memset(w, 0, sizeof(*w));
	w->to = OCTETS;
	assert_null(tamper_conf_error(c));
	tamper_open(&w->t, c, &ops);
}

static void conserved(const struct world *w)
{
	const struct tamper_count *c = &w->t.count;

	assert_int_equal(c->in + c->duplicated, c->out + c->lost + c->queue_dropped + c->overrun + c->held); /* INV-1 */
	assert_int_equal(c->held, w->alive);								    /* INV-7 */
	assert_int_equal(c->held, w->t.heap_n + w->t.late_n);
}

static void put(struct world *w, uint64_t now)
{
	struct packet *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->number = ++w->made;
	p->came = now;
	memset(p->octet, (int)p->number, OCTETS);
	w->alive++;
	tamper_put(&w->t, p, OCTETS, now);
	conserved(w);
}

/* The number of the next packet, 0 when none is due; negative for a copy. */
static int64_t get(struct world *w, uint64_t now)
{
	uint64_t due = tamper_due(&w->t);
	uint32_t len = 0, i, differ = 0;
	struct packet *p = tamper_get(&w->t, now, &len);
	int64_t n;

	assert_int_equal(p != NULL, due <= now);
	if (!p)
		return 0;
	assert_int_equal(len, OCTETS);
	assert_true(p->came + w->t.conf.delay_ns <= now); /* INV-5 */
	for (i = 0; i < OCTETS; i++)
		differ += p->octet[i] != (uint8_t)p->number;
	assert_int_equal(differ, p->flipped); /* INV-6 */
	n = p->copy ? -(int64_t)p->number : (int64_t)p->number;
	free(p);
	w->alive--;
	conserved(w);
	return n;
}

static void end(struct world *w)
{
	conserved(w);
	tamper_close(&w->t);
	assert_int_equal(w->alive, 0);
}

/* Puts in n packets at the time `at` and compares what comes at once. */
static void expect(struct world *w, unsigned n, uint64_t at, const char *want)
{
	char got[1024] = "", one[24];
	int64_t x;

	while (n--)
		put(w, at);
	while ((x = get(w, at))) {
		snprintf(one, sizeof(one), "%s%ld", *got ? " " : "", x);
		strncat(got, one, sizeof(got) - strlen(got) - 1);
	}
	assert_string_equal(got, want);
}

static void test_certain_packets(void **state)
{
	struct tamper_conf c = {.displace_min = 2, .displace_max = 2, .reorder_ns = MS, .nths = 4,
		.nth = {{TAMPER_LOSS, 2, 0}, {TAMPER_DUP, 3, 4}, {TAMPER_REORDER, 5, 0}, {TAMPER_CORRUPT, 4, 2}}};
	struct world w;

	begin(&w, &c);
	expect(&w, 12, 0, "1 3 -3 4 6 7 -7 5 8 9 10 11 -11 12");
	assert_int_equal(w.t.count.corrupted, 5);
	assert_int_equal(w.t.count.lost, 1);
	assert_int_equal(w.t.count.reordered, 1);
	assert_int_equal(w.t.count.displacement, 2);
	tamper_set(&w.t, &c, true);
	w.made = 0;
	expect(&w, 3, 0, "1 3 -3");
	end(&w);
}

/* INV-4: behind so many others, at the time of the last of them, or after reorder_ns. */
static void test_displacement(void **state)
{
	struct tamper_conf c = {.reorder_ns = 10 * MS, .delay_ns = 3 * MS, .nths = 2,
		.nth = {{TAMPER_REORDER, 1, 0}, {TAMPER_REORDER, 2, 0}}};
	uint32_t d, i;
	struct world w;

	for (d = 1; d <= TAMPER_DISPLACE_MAX; d++) {
		c.displace_min = c.displace_max = d;
		begin(&w, &c);
		put(&w, 0);
		put(&w, 0);
		for (i = 0; i < d - 1; i++)
			put(&w, MS);
		for (i = 0; i < d - 1; i++)
			assert_int_equal(get(&w, 4 * MS), 3 + i);
		put(&w, 2 * MS);
		put(&w, 2 * MS);
		assert_int_equal(get(&w, 4 * MS), 0);
		assert_int_equal(get(&w, 5 * MS), 2 + d);
		assert_int_equal(get(&w, 5 * MS), 1);
		assert_int_equal(get(&w, 5 * MS), 2);
		assert_int_equal(get(&w, 5 * MS), 3 + d);
		assert_int_equal(w.t.count.displacement, d);
		assert_int_equal(w.t.count.reordered, 2);
		end(&w);
	}
	begin(&w, &c);
	put(&w, 0);
	put(&w, MS);
	put(&w, MS);
	assert_int_equal(tamper_due(&w.t), 4 * MS);
	assert_int_equal(get(&w, 4 * MS), 3);
	assert_int_equal(get(&w, 13 * MS - 1), 0);
	assert_int_equal(get(&w, 13 * MS), 1);
	assert_int_equal(get(&w, 14 * MS - 1), 0);
	assert_int_equal(tamper_due(&w.t), 14 * MS);
	put(&w, 30 * MS); /* comes too late to overtake anything */
	assert_int_equal(get(&w, 33 * MS), 2);
	assert_int_equal(get(&w, 33 * MS), 4);
	assert_int_equal(tamper_due(&w.t), TAMPER_NEVER);
	assert_int_equal(w.t.count.displacement, 1);
	end(&w);
}

static void test_displaced_by_time(void **state)
{
	struct tamper_conf c = {.reorder_ns = 5 * MS, .nths = 1, .nth = {{TAMPER_REORDER, 2, 0}}};
	struct world w;

	begin(&w, &c);
	expect(&w, 3, 0, "1 3");
	expect(&w, 1, 5 * MS, "2 4");
	end(&w);
}

/* More displaced packets than may wait: the others go on. */
static void test_many_displaced(void **state)
{
	struct tamper_conf c = {.displace_min = 3, .displace_max = 3, .reorder_ns = MS, .chance = {[TAMPER_REORDER] = TAMPER_SCALE}};
	struct world w;
	unsigned i;

	begin(&w, &c);
	for (i = 0; i < 1000; i++)
		put(&w, 0);
	assert_int_equal(w.t.late_n + w.t.heap_n, 1000);
	while (get(&w, MS))
		;
	assert_int_equal(w.t.count.out, 1000);
	end(&w);
}

/* INV-3, and delays that lie where they should. */
static void test_order(void **state)
{
	struct tamper_conf c = {.seed = 5, .delay_ns = 20 * MS, .jitter_ns = 10 * MS, .rate = 4000000, .queue = 0};
	uint64_t now, next = 1, late = 0;
	struct world w;
	int64_t x;

	begin(&w, &c);
	for (now = 0; now < 2000 * MS; now += MS / 10) {
		if (now == 1000 * MS) {
			c.delay_ns = c.jitter_ns = 0;
			tamper_set(&w.t, &c, false);
		}
		if (now < 1900 * MS)
			put(&w, now);
		while ((x = get(&w, now))) {
			assert_int_equal(x, next);
			next++;
			late += now < 1000 * MS && now - (uint64_t)(x - 1) * (MS / 10) > 25 * MS;
		}
	}
	assert_int_equal(next, 19001);
	/* Whoever got little jitter waits for those before it: nearly all leave with most of it. */
	assert_in_range(late, 9000, 9800);
	end(&w);
}

static void test_rate(void **state)
{
	struct tamper_conf c = {.rate = OCTETS * 1000}; /* a packet in a millisecond */
	struct world w;
	unsigned i;

	begin(&w, &c);
	for (i = 0; i < 10; i++)
		put(&w, 0);
	for (i = 0; i < 10; i++) {
		assert_int_equal(tamper_due(&w.t), i * MS);
		assert_int_equal(get(&w, i * MS), i + 1);
	}
	c.queue = 5 * OCTETS;
	tamper_set(&w.t, &c, false);
	for (i = 0; i < 10; i++)
		put(&w, 100 * MS);
	assert_int_equal(w.t.count.queue_dropped, 4); /* one on the wire, five wait */
	assert_int_equal(w.t.count.held, 6);
	end(&w);
}

static void test_bound(void **state)
{
	struct tamper_conf c = {.delay_ns = MS, .held_max = 10};
	struct world w;
	unsigned i;

	begin(&w, &c);
	for (i = 0; i < 20; i++)
		put(&w, 0);
	assert_int_equal(w.t.count.overrun, 11); /* room for a copy is always kept */
	assert_int_equal(w.t.count.held, 9);
	end(&w);
}

/* INV-6: every octet of the place and every mask, nothing else. */
static void test_corruption(void **state)
{
	struct tamper_conf c = {.chance = {[TAMPER_CORRUPT] = TAMPER_SCALE, [TAMPER_DUP] = TAMPER_SCALE}};
	unsigned at[OCTETS] = {0}, mask[256] = {0}, i, k;
	struct world w;
	uint32_t len;

	begin(&w, &c);
	w.from = 7;
	w.to = 19;
	for (i = 0; i < 20000; i++) {
		struct packet *p = calloc(1, sizeof(*p)), *copy;

		w.alive++;
		tamper_put(&w.t, p, OCTETS, 0);
		assert_ptr_equal(tamper_get(&w.t, 0, &len), p);
		for (k = 0; k < OCTETS; k++) {
			at[k] += p->octet[k] != 0;
			mask[p->octet[k]]++;
		}
		copy = tamper_get(&w.t, 0, &len);
		assert_true(copy->copy && !copy->flipped && !copy->octet[at[0]]);
		free(p);
		free(copy);
		w.alive -= 2;
	}
	for (k = 0; k < OCTETS; k++)
		assert_in_range(at[k], k >= 7 && k < 19 ? 1500 : 0, k >= 7 && k < 19 ? 1850 : 0);
	for (k = 1; k < 256; k++)
		assert_in_range(mask[k], 40, 130);
	w.to = 0;
	put(&w, 0);
	assert_int_equal(w.t.count.spared, 1);
	assert_int_equal(w.t.count.corrupted, 20000);
	end(&w);
}

/* Chances hold within four standard deviations, faults know nothing of each other or of their neighbours. */
static void test_statistics(void **state)
{
	enum { N = 250000 };
	static const uint32_t chance[] = {1000, 10000, 50000, 100000, 500000};
	struct tamper_conf c = {.displace_min = 1, .displace_max = 8, .reorder_ns = MS};
	uint64_t both, next, hit, last, f;
	unsigned i, n;
	bool *lost = calloc(N, 1);

	for (i = 0; i < 5; i++) {
		double p = chance[i] / 1e6, sigma = sqrt(N) * sqrt(p * (1 - p)), pp = p * p;
		double sigma2 = sqrt(N) * sqrt(pp * (1 - pp));

		for (f = 0; f < TAMPER_FAULTS; f++) {
			struct world w;

			memset(c.chance, 0, sizeof(c.chance));
			c.seed = 100 * i;
			c.chance[f] = chance[i];
			begin(&w, &c);
			for (n = both = next = last = 0; n < N; n++) {
				uint64_t *gain[] = {&w.t.count.lost, &w.t.count.duplicated, &w.t.count.displaced, &w.t.count.corrupted};

				hit = *gain[f];
				put(&w, n);
				while (get(&w, n))
					;
				hit = *gain[f] - hit;
				next += hit && last;
				last = hit;
				if (!f)
					lost[n] = hit;
				else
					both += hit && lost[n];
			}
			hit = (uint64_t[]){w.t.count.lost, w.t.count.duplicated, w.t.count.displaced, w.t.count.corrupted}[f];
			assert_in_range(hit, N * p - 4 * sigma, N * p + 4 * sigma);
			assert_in_range(next, N * pp - 4 * sigma2 - 2 < 0 ? 0 : N * pp - 4 * sigma2 - 2, N * pp + 4 * sigma2 + 2);
			if (f)
				assert_in_range(both, N * pp - 4 * sigma2 - 2 < 0 ? 0 : N * pp - 4 * sigma2 - 2,
						N * pp + 4 * sigma2 + 2);
			end(&w);
		}
	}
	free(lost);
}

static void test_distances(void **state)
{
	struct tamper_conf c = {.displace_min = 3, .displace_max = 12, .reorder_ns = MS, .chance = {[TAMPER_REORDER] = 20000}};
	unsigned seen[33] = {0}, n, d;
	struct world w;

	begin(&w, &c);
	for (n = 0; n < 500000; n++) {
		put(&w, 0);
		if (w.t.late_n && w.t.late[w.t.late_n - 1].n == n + 1)
			seen[w.t.late[w.t.late_n - 1].left]++;
		while (get(&w, 0))
			;
	}
	for (d = 0; d <= 32; d++)
		assert_in_range(seen[d], d >= 3 && d <= 12 ? 850 : 0, d >= 3 && d <= 12 ? 1150 : 0);
	assert_int_equal(w.t.count.displacement, 12);
	end(&w);
}

/* Every number that is still there, in the order of leaving, folded into one. */
static uint64_t story(const struct tamper_conf *c, uint64_t step, uint64_t seed_of_lost, uint64_t *lost)
{
	uint64_t hash = 1, now, was;
	struct world w;
	unsigned n;
	int64_t x;

	begin(&w, c);
	*lost = seed_of_lost;
	for (n = 0, now = 0; n < 20000; n++, now += step) {
		was = w.t.count.lost;
		put(&w, now);
		if (w.t.count.lost != was)
			*lost = *lost * 1000003 + n;
		while ((x = get(&w, now)))
			hash = hash * 1000003 + (uint64_t)x * 7919 + now;
	}
	end(&w);
	return hash;
}

/* INV-2. */
static void test_determinism(void **state)
{
	struct tamper_conf c = {.seed = 42, .chance = {30000, 30000, 30000, 30000}, .displace_min = 1, .displace_max = 32,
		.reorder_ns = MS, .delay_ns = MS, .jitter_ns = MS / 2, .dup_ns = MS, .rate = 10000000, .queue = 100000};
	uint64_t lost, lost2, hash = story(&c, 9000, 0, &lost);

	assert_int_equal(story(&c, 9000, 0, &lost2), hash);
	assert_int_equal(lost2, lost);
	assert_int_not_equal(story(&c, 8000, 0, &lost2), hash);
	assert_int_equal(lost2, lost);
	c.chance[TAMPER_DUP] = c.chance[TAMPER_REORDER] = c.chance[TAMPER_CORRUPT] = 0;
	c.delay_ns = c.rate = 0;
	assert_int_not_equal(story(&c, 9000, 0, &lost2), hash);
	assert_int_equal(lost2, lost);
	c.seed++;
	story(&c, 9000, 0, &lost2);
	assert_int_not_equal(lost2, lost);
}

static uint32_t dice(uint64_t *rng, uint32_t below)
{
	*rng = *rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((*rng >> 33) % below);
}

static void random_conf(struct tamper_conf *c, uint64_t *rng)
{
	static const uint32_t some[] = {0, 0, 1000, 10000, 200000, 1000000};
	unsigned f;

	memset(c, 0, sizeof(*c));
	c->seed = dice(rng, 1000000);
	for (f = 0; f < TAMPER_FAULTS; f++)
		c->chance[f] = some[dice(rng, 6)];
	c->chance[TAMPER_LOSS] = c->chance[TAMPER_LOSS] == TAMPER_SCALE ? 0 : c->chance[TAMPER_LOSS];
	c->displace_max = dice(rng, 33);
	c->displace_min = c->displace_max ? 1 + dice(rng, c->displace_max) : 0;
	c->reorder_ns = 1 + dice(rng, 10 * MS);
	c->dup_ns = dice(rng, 2) * dice(rng, 5 * MS);
	c->delay_ns = dice(rng, 2) * dice(rng, 5 * MS);
	c->jitter_ns = dice(rng, 2) * dice(rng, 5 * MS);
	c->rate = dice(rng, 2) * (1 + dice(rng, 1000000));
	c->queue = dice(rng, 2) * dice(rng, 10000);
	c->held_max = dice(rng, 3) ? 0 : 1 + dice(rng, 200);
	c->nths = dice(rng, TAMPER_NTH_MAX + 1);
	for (f = 0; f < c->nths; f++)
		c->nth[f] = (struct tamper_nth){dice(rng, TAMPER_FAULTS), 1 + dice(rng, 300), dice(rng, 2) * dice(rng, 50)};
}

/* INV-1, 5, 6, 7 under random settings that change on the way; the checks are in put() and get(). */
static void test_conservation(void **state)
{
	uint64_t rng = 1, now, due;
	struct tamper_conf c;
	struct world w;
	unsigned i, n;

	for (i = 0; i < 1000; i++) {
		random_conf(&c, &rng);
		begin(&w, &c);
		for (n = 0, now = 0; n < 400; n++) {
			put(&w, now);
			now += dice(&rng, MS);
			for (; dice(&rng, 4) && get(&w, now);)
				;
			if (n == 200) {
				uint64_t delay = c.delay_ns;

				random_conf(&c, &rng);
				c.delay_ns = c.delay_ns < delay ? c.delay_ns : delay;
				tamper_set(&w.t, &c, i & 1);
			}
		}
		while (i % 3 && (due = tamper_due(&w.t)) != TAMPER_NEVER)
			assert_int_not_equal(get(&w, due), 0);
		end(&w);
	}
}

static void test_wrong_settings(void **state)
{
	struct tamper_conf c = {.chance = {TAMPER_SCALE + 1}};

	assert_non_null(tamper_conf_error(&c));
	c = (struct tamper_conf){.displace_min = 1, .displace_max = 33, .reorder_ns = 1};
	assert_non_null(tamper_conf_error(&c));
	c = (struct tamper_conf){.displace_min = 5, .displace_max = 4, .reorder_ns = 1};
	assert_non_null(tamper_conf_error(&c));
	c = (struct tamper_conf){.displace_min = 1, .displace_max = 4};
	assert_non_null(tamper_conf_error(&c));
	c = (struct tamper_conf){.nths = 1};
	assert_non_null(tamper_conf_error(&c));
	c = (struct tamper_conf){.nths = 17};
	assert_non_null(tamper_conf_error(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certain_packets), cmocka_unit_test(test_displacement), cmocka_unit_test(test_displaced_by_time),
		cmocka_unit_test(test_many_displaced),	cmocka_unit_test(test_order),	     cmocka_unit_test(test_rate),
		cmocka_unit_test(test_bound),		cmocka_unit_test(test_corruption),   cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_distances),	cmocka_unit_test(test_determinism),  cmocka_unit_test(test_conservation),
		cmocka_unit_test(test_wrong_settings),
	};

	return cmocka_run_group_tests_name("tamper", tests, NULL, NULL);
}
