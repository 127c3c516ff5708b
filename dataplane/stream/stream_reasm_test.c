/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "mem/mem_testing.h"
#include "stream/stream_reasm.h"

static struct chunk_pool pool;
static uint64_t rng = 88172645463325252u;

static uint32_t below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 16) % n);
}

/* INV-REASM-1 to 3. */
static void check(const struct stream_reasm *r)
{
	uint16_t n, i;
	const struct stream_range *g = stream_reasm_ranges(r, &n);
	uint32_t bytes = 0, chunks = 0;

	for (i = 0; i < n; i++) {
		uint32_t in = 0, count = 0;
		const struct chunk *c;

		assert_true((int32_t)(g[i].right - g[i].left) > 0);
		if (i)
			assert_true((int32_t)(g[i].left - g[i - 1].right) > 0);
		for (c = g[i].head; c; c = c->next, count++) {
			in += c->len;
			if (!c->next)
				assert_ptr_equal(c, g[i].tail);
		}
		assert_int_equal(in, g[i].right - g[i].left);
		assert_int_equal(count, g[i].count);
		bytes += in;
		chunks += count;
	}
	assert_int_equal(bytes, r->bytes);
	assert_int_equal(chunks, r->chunks);
	assert_int_equal(!!n, !!r->block);
}

static int put(struct stream_reasm *r, uint32_t seq, const char *text, struct stream_insert *res)
{
	struct chunkq q;
	int rc;

	chunkq_init(&q);
	chunkq_push(&q, mem_testing_chunk(&pool, text, (uint32_t)strlen(text)));
	rc = stream_reasm_insert(r, &pool, seq, &q, 1000, res);
	assert_true(chunkq_empty(&q));
	check(r);
	return rc;
}

static void pops(struct stream_reasm *r, uint32_t seq, const char *text)
{
	struct chunkq q;
	char got[100];

	chunkq_init(&q);
	assert_int_equal(stream_reasm_pop(r, &pool, seq, &q), strlen(text));
	check(r);
	assert_int_equal(chunkq_copy(&q, 0, got, sizeof(got)), strlen(text));
	assert_memory_equal(got, text, strlen(text));
	chunkq_purge(&pool, &q);
}

static void test_first_wins(void **state)
{
	struct stream_reasm r;
	struct stream_insert res;

	stream_reasm_init(&r);
	assert_int_equal(put(&r, 10, "BBB", &res), 0);
	assert_int_equal(res.fresh, 3);
	assert_int_equal(put(&r, 8, "xxxxxxx", &res), 0); /* 8..15 over 10..13 */
	assert_int_equal(res.fresh, 4);
	assert_true(res.conflict);
	assert_int_equal(res.dup_left, 10);
	assert_int_equal(res.dup_right, 13);
	assert_int_equal(put(&r, 9, "xB", &res), 0);
	assert_false(res.conflict);
	assert_int_equal(res.fresh, 0);
	pops(&r, 9, "");
	pops(&r, 8, "xxBBBxx");
	assert_true(mem_testing_clean(&pool));
}

static void test_joins(void **state)
{
	struct stream_reasm r;
	struct stream_insert res;
	uint16_t n;

	stream_reasm_init(&r);
	put(&r, 0xfffffffeu, "ab", &res);
	put(&r, 4, "gh", &res);
	put(&r, 8, "kl", &res);
	stream_reasm_ranges(&r, &n);
	assert_int_equal(n, 3);
	put(&r, 0, "cdef", &res); /* touches both sides, over the wrap */
	stream_reasm_ranges(&r, &n);
	assert_int_equal(n, 2);
	put(&r, 1, "XXXXXXXXX", &res);
	assert_int_equal(res.fresh, 2);
	assert_true(res.conflict);
	pops(&r, 0xfffffffeu, "abcdefghXXkl");
	assert_true(mem_testing_clean(&pool));
}

static void test_recent(void **state)
{
	struct stream_reasm r;
	struct stream_insert res;
	struct stream_range got[4];

	stream_reasm_init(&r);
	put(&r, 10, "a", &res);
	put(&r, 20, "b", &res);
	put(&r, 30, "c", &res);
	put(&r, 40, "d", &res);
	put(&r, 50, "e", &res);
	put(&r, 20, "b", &res); /* a duplicate counts as news, RFC 2018 section 4 */
	assert_int_equal(stream_reasm_recent(&r, got, 4), 4);
	assert_int_equal(got[0].left, 20);
	assert_int_equal(got[1].left, 50);
	assert_int_equal(got[2].left, 40);
	assert_int_equal(got[3].left, 30);
	assert_int_equal(stream_reasm_recent(&r, got, 2), 2);
	stream_reasm_purge(&r, &pool);
	assert_int_equal(stream_reasm_recent(&r, got, 4), 0);
	assert_true(mem_testing_clean(&pool));
}

static void test_bounds(void **state)
{
	struct stream_reasm r;
	struct stream_insert res;
	struct chunkq q;
	unsigned i;

	stream_reasm_init(&r);
	for (i = 0; i < STREAM_RANGES_MAX; i++)
		assert_int_equal(put(&r, 10 * i, "x", &res), 0);
	assert_int_equal(put(&r, 10 * i, "x", &res), -ENOBUFS);
	assert_int_equal(res.fresh, 0);
	assert_int_equal(put(&r, 1, "x", &res), 0); /* joins, needs no range */
	chunkq_init(&q);
	chunkq_push(&q, mem_testing_chunk(&pool, "yy", 2));
	assert_int_equal(stream_reasm_insert(&r, &pool, 2, &q, r.chunks, &res), -ENOBUFS);
	check(&r);
	stream_reasm_purge(&r, &pool);
	assert_true(mem_testing_clean(&pool));
}

#define SPACE 600

/* Random inserts and pops against an array of bytes. The pool may be short: what an insert says it
 * kept is what is there. */
static void against_model(unsigned steps, bool may_fail)
{
	uint8_t model[SPACE], have[SPACE], bytes[64];
	uint32_t base = below(2) ? UINT32_MAX - SPACE / 2 : below(UINT32_MAX), at = 0, i;
	struct stream_reasm r;
	struct stream_insert res;
	struct chunkq q;

	memset(have, 0, sizeof(have));
	stream_reasm_init(&r);
	while (steps--) {
		uint32_t len = 1 + below(60), off = below(SPACE - len), cut = 1 + below(len), fresh;
		bool differs = false;
		int rc;

		for (i = 0; i < len; i++)
			bytes[i] = (uint8_t)(below(20) ? off + i : below(256));
		chunkq_init(&q);
		chunkq_push(&q, mem_testing_chunk(&pool, bytes, cut));
		if (cut < len)
			chunkq_push(&q, mem_testing_chunk(&pool, bytes + cut, len - cut));
		rc = stream_reasm_insert(&r, &pool, base + off, &q, 100000, &res);
		check(&r);
		for (i = fresh = 0; i < len; i++) {
			if (have[off + i])
				differs |= model[off + i] != bytes[i];
			else
				fresh++;
		}
		if (rc) {
			assert_true(rc == -ENOBUFS || may_fail);
			stream_reasm_purge(&r, &pool);
			memset(have, 0, sizeof(have));
			continue;
		}
		assert_int_equal(res.fresh, fresh);
		assert_int_equal(res.conflict, differs);
		for (i = 0; i < len; i++) {
			if (!have[off + i])
				model[off + i] = bytes[i];
			have[off + i] = 1;
		}
		if (below(12))
			continue;
		/* Pop a stretch that begins somewhere. */
		at = below(SPACE);
		chunkq_init(&q);
		fresh = stream_reasm_pop(&r, &pool, base + at, &q);
		check(&r);
		for (i = 0; i < fresh; i++) {
			uint8_t b;

			assert_true(have[at + i]);
			assert_int_equal(chunkq_copy(&q, i, &b, 1), 1);
			assert_int_equal(b, model[at + i]);
			have[at + i] = 0;
		}
		if (at + fresh < SPACE && fresh)
			assert_false(have[at + fresh]);
		chunkq_purge(&pool, &q);
	}
	stream_reasm_purge(&r, &pool);
}

static void test_model(void **state)
{
	unsigned i;

	for (i = 0; i < 300; i++)
		against_model(200, false);
	assert_true(mem_testing_clean(&pool));
}

static void test_short_of_descriptors(void **state)
{
	struct chunkq hog, one;
	unsigned i;

	chunkq_init(&hog);
	chunkq_init(&one);
	chunkq_push(&one, mem_testing_chunk(&pool, "x", 1));
	while (pool.descs - pool.used > 24)
		assert_int_equal(chunkq_ref(&pool, &hog, &one, 0, 1), 0);
	for (i = 0; i < 200; i++) {
		struct stream_reasm r;
		struct stream_insert res;
		struct chunkq q;
		unsigned j;

		stream_reasm_init(&r);
		for (j = 0; j < 60; j++) {
			uint32_t had = r.bytes, len = 1 + below(40);
			char text[41] = "";
			struct chunk *c;

			memset(text, 'a', len);
			c = mem_testing_chunk(&pool, text, len);
			if (!c) {
				stream_reasm_purge(&r, &pool);
				continue;
			}
			chunkq_init(&q);
			chunkq_push(&q, c);
			stream_reasm_insert(&r, &pool, below(200), &q, 1000, &res);
			check(&r);
			assert_int_equal(r.bytes, had + res.fresh);
		}
		stream_reasm_purge(&r, &pool);
	}
	chunkq_purge(&pool, &hog);
	chunkq_purge(&pool, &one);
	assert_true(mem_testing_clean(&pool));
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 1023, 2047);
	return 0;
}

static int teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_wins), cmocka_unit_test(test_joins),
		cmocka_unit_test(test_recent),	   cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_model),	   cmocka_unit_test(test_short_of_descriptors),
	};

	return cmocka_run_group_tests_name("stream_reasm", tests, setup, teardown);
}
