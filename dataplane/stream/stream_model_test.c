/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reassembly against a model so simple that it can be seen to be right: one cell for each number of a short stretch of
 * sequence space, the first value written to a cell stays. Millions of random inserts and pops; after each, everything
 * that can be seen from outside is compared: what was kept and its octets, the ranges, the counts, the result.
 *
 * The lives differ in the shape of their segments (single octets, overlaps, neighbours, exact repetitions, pieces cut in
 * many chunks), in how often an octet comes with another value, in where the numbers begin (at the wrap, at the sign, in
 * the middle), in the bound on chunks, and in whether memory runs out.
 *
 * usage: stream_model_test [SEED]   a seed that was printed by a failure
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "mem/mem_testing.h"
#include "stream/stream_reasm.h"

#define SPACE 512
#define CASES 2000000u
#define LIFE 400 /* cases in one life */
#define MAX_LEN 200

static struct chunk_pool pool;
static uint64_t rng, life_seed, first_seed = 88172645463325252u;
static uint64_t tally_conflict, tally_nobufs, tally_nomem, tally_fresh, tally_popped, tally_partial;

static uint32_t below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 16) % n);
}

/* The model. */
static struct {
	bool have[SPACE];
	uint8_t value[SPACE];
	uint32_t base; /* number of cell 0 */
	uint32_t held, runs;
} m;

/* How the segments of a life look. */
struct shape {
	uint32_t max_len, window; /* octets; all lies in the first window cells */
	uint32_t lies;		  /* one octet in so many has another value, 0: none */
	uint32_t cut;		  /* chunks of at most so many octets, 0: whole */
	uint32_t chunks_max;
	uint32_t pop; /* one case in so many takes something out */
	bool starved;
};

static uint8_t true_value(uint32_t off)
{
	return (uint8_t)(off * 31 + (off >> 3) + 1);
}

static void model_count(void)
{
	m.held = m.runs = 0;
	for (uint32_t i = 0; i < SPACE; i++) {
		m.held += m.have[i];
		m.runs += m.have[i] && (i == 0 || !m.have[i - 1]);
	}
}

#define check(x)                                                                                              \
	do {                                                                                                  \
		if (!(x))                                                                                     \
			fail_msg("seed %llu: %s", (unsigned long long)life_seed, #x);                         \
	} while (0)

/* The ranges are the runs of the model, octet for octet. */
static void compare(const struct stream_reasm *r)
{
	uint16_t n, i;
	const struct stream_range *g = stream_reasm_ranges(r, &n);
	uint32_t at = 0, chunks = 0;

	model_count();
	check(n == m.runs && n <= STREAM_RANGES_MAX);
	check(r->bytes == m.held);
	check(!!n == !!r->block);
	for (i = 0; i < n; i++) {
		uint32_t off = g[i].left - m.base, count = 0;
		const struct chunk *c, *last = NULL;

		while (at < SPACE && !m.have[at])
			at++;
		check(off == at);
		for (c = g[i].head; c; last = c, c = c->next, count++) {
			check(c->len && off + c->len <= SPACE);
			check(memcmp(c->data, m.value + off, c->len) == 0);
			for (uint32_t k = 0; k < c->len; k++)
				check(m.have[off + k]);
			off += c->len;
		}
		at = off;
		check(at == SPACE || !m.have[at]);
		check(g[i].right - m.base == at);
		check(last == g[i].tail && count == g[i].count);
		chunks += count;
	}
	check(chunks == r->chunks);
}

/* An insert that said -ENOMEM kept some of the octets: which, is seen from what is held now. */
static void model_follow(const struct stream_reasm *r, uint32_t off, const uint8_t *bytes, uint32_t len, uint32_t fresh)
{
	uint16_t n, i;
	const struct stream_range *g = stream_reasm_ranges(r, &n);

	for (i = 0; i < n; i++) {
		uint32_t at = g[i].left - m.base;

		for (const struct chunk *c = g[i].head; c; c = c->next)
			for (uint32_t k = 0; k < c->len; k++, at++) {
				if (m.have[at])
					continue;
				check(at >= off && at < off + len && c->data[k] == bytes[at - off]);
				m.have[at] = true;
				m.value[at] = bytes[at - off];
				fresh--;
			}
	}
	check(fresh == 0);
}

static bool queue_make(struct chunkq *q, const uint8_t *bytes, uint32_t len, uint32_t cut)
{
	chunkq_init(q);
	for (uint32_t at = 0, n; at < len; at += n) {
		struct chunk *c;

		n = cut ? 1 + below(cut) : len;
		n = n > len - at ? len - at : n;
		c = mem_testing_chunk(&pool, bytes + at, n);
		if (!c) {
			chunkq_purge(&pool, q);
			return false;
		}
		chunkq_push(q, c);
	}
	return true;
}

/* What an insert must say. */
struct forecast {
	uint32_t fresh, dup_left, dup_right;
	bool differs, no_room;
};

static struct forecast forecast(const struct stream_reasm *r, uint32_t off, const uint8_t *bytes, uint32_t len,
				const struct chunkq *q, uint32_t chunks_max)
{
	struct forecast f = {0};
	bool touches = (off && m.have[off - 1]) || (off + len < SPACE && m.have[off + len]), over = false;

	for (uint32_t i = off; i < off + len; i++) {
		if (!m.have[i]) {
			f.fresh++;
			over |= f.dup_left != f.dup_right;
			continue;
		}
		touches = true;
		f.differs |= m.value[i] != bytes[i - off];
		if (over)
			continue;
		if (f.dup_left == f.dup_right)
			f.dup_left = m.base + i;
		f.dup_right = m.base + i + 1;
	}
	f.no_room = r->chunks + q->count > chunks_max || (!touches && m.runs == STREAM_RANGES_MAX);
	return f;
}

/* Takes all but a few descriptors and buffers away while an insert runs. */
static struct hog {
	struct chunkq chunks;
	struct rte_mbuf *bufs[128];
	unsigned n;
} hog;

static void hog_take(const struct chunk *one)
{
	unsigned keep_descs = below(4), keep_bufs = below(3);
	struct chunk *c;

	chunkq_init(&hog.chunks);
	while (pool.descs - pool.used > keep_descs && (c = chunk_ref(&pool, one, 0, 1)))
		chunkq_push(&hog.chunks, c);
	for (hog.n = 0; (hog.bufs[hog.n] = rte_pktmbuf_alloc(pool.bufs)); hog.n++)
		;
	while (hog.n && keep_bufs--)
		rte_pktmbuf_free(hog.bufs[--hog.n]);
}

static void hog_give_back(void)
{
	chunkq_purge(&pool, &hog.chunks);
	while (hog.n)
		rte_pktmbuf_free(hog.bufs[--hog.n]);
}

/* Both versions of the first octet that differs and of what follows it. */
static void evidence(const struct stream_conflict *k, uint32_t off, const uint8_t *bytes, uint32_t len, bool exact)
{
	uint32_t at = k->seq - m.base, first = off;

	check(k->len >= 1 && k->len <= STREAM_CONFLICT_MAX);
	check(at >= off && at + k->len <= off + len);
	for (uint32_t i = 0; i < k->len; i++)
		check(m.have[at + i] && k->held[i] == m.value[at + i] && k->came[i] == bytes[at + i - off]);
	check(k->held[0] != k->came[0]);
	while (!m.have[first] || m.value[first] == bytes[first - off])
		first++;
	check(first == at || !exact);
}

static void insert(struct stream_reasm *r, const struct shape *s)
{
	uint32_t len = 1 + below(s->max_len), off, lag;
	uint8_t bytes[MAX_LEN];
	struct stream_insert res;
	struct stream_range newest;
	struct forecast f;
	struct chunkq q;
	bool exact;
	int rc;

	len = len > s->window ? s->window : len;
	off = below(s->window - len + 1);
	if (!below(4)) /* beside something held */
		for (lag = 0; lag < 20 && off + len < s->window && !m.have[off + len]; lag++)
			off++;
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = s->lies && !below(s->lies) ? (uint8_t)below(256) : true_value(off + i);
	if (!queue_make(&q, bytes, len, s->cut))
		return;
	f = forecast(r, off, bytes, len, &q, s->chunks_max);
	/* Beyond so many steps of comparing a difference may be overlooked, never the other way round. */
	exact = r->chunks + q.count < STREAM_COMPARE_MAX / 2;
	if (s->starved && below(3))
		hog_take(q.head);
	rc = stream_reasm_insert(r, &pool, m.base + off, &q, s->chunks_max, &res);
	hog_give_back();
	check(chunkq_empty(&q));
	check((rc == -ENOBUFS) == f.no_room);
	check(rc == 0 || rc == -ENOBUFS || (rc == -ENOMEM && s->starved));
	if (rc) {
		tally_nobufs += rc == -ENOBUFS;
		tally_nomem += rc == -ENOMEM;
		tally_partial += res.fresh != 0;
		check(rc == -ENOMEM || res.fresh == 0);
		check(res.fresh <= f.fresh && (!res.conflict || f.differs));
		model_follow(r, off, bytes, len, res.fresh);
		compare(r);
		return;
	}
	check(res.fresh == f.fresh);
	check(res.dup_left == f.dup_left && res.dup_right == f.dup_right);
	check(res.conflict == f.differs || (f.differs && !exact));
	if (res.conflict)
		evidence(&res.first, off, bytes, len, exact);
	tally_fresh += res.fresh;
	tally_conflict += res.conflict;
	for (uint32_t i = off; i < off + len; i++) {
		if (!m.have[i])
			m.value[i] = bytes[i - off];
		m.have[i] = true;
	}
	compare(r);
	/* RFC 2018 section 4: the first block is the one with the segment that came last. */
	check(stream_reasm_recent(r, &newest, 1) == 1);
	check((int32_t)(m.base + off - newest.left) >= 0 && (int32_t)(newest.right - (m.base + off + len)) >= 0);
}

/* Whatever begins at a number: all of it up to the next gap, or nothing. */
static void take(struct stream_reasm *r, const struct shape *s)
{
	uint32_t at = below(s->window), n = 0, got;
	uint8_t flat[SPACE];
	struct chunkq q;

	if (below(2)) /* as a half does: where a run begins */
		while (at && m.have[at - 1])
			at--;
	while (m.have[at] && (at == 0 || !m.have[at - 1]) && at + n < SPACE && m.have[at + n])
		n++;
	for (uint32_t i = 0; n && i < at; i++)
		if (m.have[i])
			n = 0; /* only the lowest run can be taken */
	chunkq_init(&q);
	got = stream_reasm_pop(r, &pool, m.base + at, &q);
	check(got == n && q.bytes == n);
	check(chunkq_copy(&q, 0, flat, sizeof(flat)) == n);
	check(memcmp(flat, m.value + at, n) == 0);
	memset(m.have + at, 0, n * sizeof(m.have[0]));
	chunkq_purge(&pool, &q);
	tally_popped += n;
	compare(r);
}

static void life(const struct shape *s)
{
	static const uint32_t bases[] = {0, UINT32_MAX - SPACE / 2, INT32_MAX - SPACE / 2, UINT32_MAX - 3, 1u << 31};
	struct stream_reasm r;

	life_seed = rng;
	memset(&m, 0, sizeof(m));
	m.base = below(2) ? below(UINT32_MAX) : bases[below(5)];
	stream_reasm_init(&r);
	for (unsigned i = 0; i < LIFE; i++) {
		if (below(s->pop))
			insert(&r, s);
		else
			take(&r, s);
		if (!below(LIFE)) { /* given up, RFC 2018 section 8 */
			stream_reasm_purge(&r, &pool);
			memset(m.have, 0, sizeof(m.have));
			compare(&r);
		}
	}
	stream_reasm_purge(&r, &pool);
	check(r.block == NULL && r.bytes == 0 && r.chunks == 0);
}

static struct shape shape_any(void)
{
	static const uint32_t lens[] = {1, 2, 3, 8, 30, 80, MAX_LEN}, windows[] = {8, 40, 130, 300, SPACE};
	static const uint32_t lies[] = {0, 0, 2, 20, 200, 2000}, cuts[] = {0, 0, 0, 1, 3, 40};

	return (struct shape){
		.max_len = lens[below(7)], .window = windows[below(5)], .lies = lies[below(6)], .cut = cuts[below(6)],
		.chunks_max = below(3) ? 100000 : 4 + below(60), .pop = 2 + below(100),
	};
}

static void test_lives(void **state)
{
	for (unsigned i = 0; i < CASES / LIFE; i++) {
		struct shape s = shape_any();

		life(&s);
	}
	assert_true(mem_testing_clean(&pool));
	print_message("%llu conflicts, %llu refused, %llu octets kept, %llu taken\n", (unsigned long long)tally_conflict,
		      (unsigned long long)tally_nobufs, (unsigned long long)tally_fresh, (unsigned long long)tally_popped);
	/* What the lives are about has happened. */
	assert_true(tally_conflict > CASES / 50 && tally_nobufs > CASES / 50 && tally_popped > CASES / 50);
	assert_int_equal(tally_nomem, 0);
}

/* The same with a pool that runs out: of buffers where the first range is made, of descriptors where a segment is cut
 * because it fills a gap. */
static void test_starved_lives(void **state)
{
	mem_testing_free(&pool);
	mem_testing_pool(&pool, 127, 127);
	for (unsigned i = 0; i < CASES / 5 / LIFE; i++) {
		struct shape s = shape_any();

		s.starved = true;
		life(&s);
	}
	assert_true(mem_testing_clean(&pool));
	print_message("%llu times out of memory, %llu of them with some octets kept\n", (unsigned long long)tally_nomem,
		      (unsigned long long)tally_partial);
	assert_true(tally_nomem > CASES / 1000 && tally_partial > 20);
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 2047, 1023);
	rng = first_seed;
	return 0;
}

static int teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lives), cmocka_unit_test(test_starved_lives)};

	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, setup, teardown);
}
