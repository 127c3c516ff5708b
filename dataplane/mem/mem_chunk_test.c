/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "mem/mem_testing.h"

static struct chunk_pool pool;

/* INV-CHUNK-1, INV-CHUNK-2. */
static void queue_check(const struct chunkq *q)
{
	const struct chunk *c, *last = NULL;
	uint64_t bytes = 0;
	uint32_t count = 0;

	for (c = q->head; c; c = c->next) {
		assert_true(c->len > 0);
		bytes += c->len;
		count++;
		last = c;
	}
	assert_ptr_equal(q->tail, last);
	assert_int_equal(q->bytes, bytes);
	assert_int_equal(q->count, count);
}

static void queue_is(const struct chunkq *q, const char *text)
{
	char got[256];

	queue_check(q);
	assert_int_equal(q->bytes, strlen(text));
	assert_int_equal(chunkq_copy(q, 0, got, sizeof(got)), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void add(struct chunkq *q, const char *text)
{
	struct chunk *c = mem_testing_chunk(&pool, text, (uint32_t)strlen(text));

	assert_non_null(c);
	chunkq_push(q, c);
}

static void test_push_pop(void **state)
{
	struct chunkq q;
	struct chunk *c;

	chunkq_init(&q);
	assert_true(chunkq_empty(&q));
	assert_null(chunkq_pop(&q));
	add(&q, "abc");
	add(&q, "de");
	queue_is(&q, "abcde");
	c = chunkq_pop(&q);
	assert_int_equal(c->len, 3);
	chunk_free(&pool, c);
	queue_is(&q, "de");
	chunkq_purge(&pool, &q);
	assert_true(mem_testing_clean(&pool));
}

static void test_append(void **state)
{
	struct chunkq a, b;

	chunkq_init(&a);
	chunkq_init(&b);
	chunkq_append(&a, &b);
	queue_is(&a, "");
	add(&b, "xy");
	chunkq_append(&a, &b);
	add(&b, "z");
	chunkq_append(&a, &b);
	queue_is(&a, "xyz");
	queue_is(&b, "");
	chunkq_purge(&pool, &a);
	assert_true(mem_testing_clean(&pool));
}

static void test_move(void **state)
{
	struct chunkq a, b;
	unsigned n;

	for (n = 0; n <= 9; n++) {
		char head[10] = "", tail[10] = "";

		chunkq_init(&a);
		chunkq_init(&b);
		add(&a, "abc");
		add(&a, "def");
		add(&a, "ghi");
		assert_int_equal(chunkq_move(&pool, &b, &a, n), 0);
		memcpy(head, "abcdefghi", n);
		strcpy(tail, &"abcdefghi"[n]);
		queue_is(&b, head);
		queue_is(&a, tail);
		chunkq_drop(&pool, &a, a.bytes);
		chunkq_purge(&pool, &b);
	}
	assert_true(mem_testing_clean(&pool));
}

static void test_ref_shares(void **state)
{
	struct chunkq a, b;

	chunkq_init(&a);
	chunkq_init(&b);
	add(&a, "hello ");
	add(&a, "world");
	assert_int_equal(chunkq_ref(&pool, &b, &a, 4, 4), 0);
	queue_is(&b, "o wo");
	assert_ptr_equal(b.head->m, a.head->m);
	assert_int_equal(rte_mbuf_refcnt_read(a.head->m), 2);
	chunkq_purge(&pool, &a); /* the bytes live on */
	queue_is(&b, "o wo");
	assert_int_equal(chunkq_ref(&pool, &a, &b, 0, 0), 0);
	queue_is(&a, "");
	chunkq_purge(&pool, &b);
	assert_true(mem_testing_clean(&pool));
}

static void test_drop(void **state)
{
	struct chunkq q;

	chunkq_init(&q);
	add(&q, "abc");
	add(&q, "def");
	chunkq_drop(&pool, &q, 1);
	queue_is(&q, "bcdef");
	chunkq_drop(&pool, &q, 2);
	queue_is(&q, "def");
	chunkq_drop(&pool, &q, 3);
	queue_is(&q, "");
	chunkq_drop(&pool, &q, 0);
	assert_true(mem_testing_clean(&pool));
}

static void test_put_shares_buffers(void **state)
{
	struct chunkq q, other;
	char big[5000];
	unsigned i;

	chunkq_init(&q);
	chunkq_init(&other);
	for (i = 0; i < 10; i++)
		assert_int_equal(chunkq_put(&pool, &q, "0123456789", 10), 0);
	queue_check(&q);
	assert_int_equal(q.bytes, 100);
	assert_int_equal(q.count, 1); /* contiguous bytes share a descriptor */
	assert_int_equal(chunkq_put(&pool, &other, "X", 1), 0);
	assert_int_equal(chunkq_put(&pool, &q, "more", 4), 0);
	assert_int_equal(q.count, 2);
	assert_ptr_equal(other.head->m, q.head->m);
	memset(big, 'b', sizeof(big));
	assert_int_equal(chunkq_put(&pool, &other, big, sizeof(big)), 0);
	queue_check(&other);
	assert_int_equal(other.bytes, 5001);
	assert_int_equal(chunkq_put(&pool, &q, "", 0), 0);
	chunkq_purge(&pool, &q);
	chunkq_purge(&pool, &other);
	assert_true(mem_testing_clean(&pool));
}

static void test_copy_offsets(void **state)
{
	struct chunkq q;
	char got[8] = "";

	chunkq_init(&q);
	add(&q, "abc");
	add(&q, "def");
	assert_int_equal(chunkq_copy(&q, 2, got, 2), 2);
	assert_memory_equal(got, "cd", 2);
	assert_int_equal(chunkq_copy(&q, 5, got, 8), 1);
	assert_int_equal(chunkq_copy(&q, 6, got, 8), 0);
	assert_int_equal(chunkq_copy(&q, 100, got, 8), 0);
	chunkq_purge(&pool, &q);
}

/* With nothing left to allocate every call fails clean and its queues are as promised. */
static void test_exhausted(void **state)
{
	struct chunkq a, b, hog;
	char big[4096];

	memset(big, 'x', sizeof(big));
	chunkq_init(&a);
	chunkq_init(&b);
	chunkq_init(&hog);
	add(&a, "abc");
	add(&a, "def");
	while (chunkq_ref(&pool, &hog, &a, 0, 1) == 0)
		;
	assert_true(pool.desc_failed > 0);
	assert_int_equal(chunkq_ref(&pool, &b, &a, 0, 6), -ENOMEM);
	queue_is(&b, "");
	assert_int_equal(chunkq_move(&pool, &b, &a, 4), -ENOMEM);
	queue_is(&b, "abc");
	queue_is(&a, "def");
	assert_int_equal(chunkq_move(&pool, &b, &a, 3), 0); /* needs no descriptor */
	chunkq_drop(&pool, &b, 4);			    /* neither does this */
	queue_is(&b, "ef");
	assert_int_equal(chunkq_ref(&pool, &hog, &b, 0, 1), 0); /* takes what the drop freed */
	assert_int_equal(chunkq_put(&pool, &a, "zz", 2), -ENOMEM);
	queue_is(&a, "");
	chunkq_purge(&pool, &hog);
	while (chunkq_put(&pool, &hog, big, 1000) == 0)
		;
	assert_true(pool.bufs_failed > 0);
	queue_check(&hog);
	assert_int_equal(hog.bytes % 1000, 0);
	chunkq_purge(&pool, &hog);
	chunkq_purge(&pool, &b);
	assert_true(mem_testing_clean(&pool));
}

/* What was cut apart becomes one again, by its place alone. */
static void test_join(void **state)
{
	struct chunkq a, b;
	struct chunk *first;

	chunkq_init(&a);
	chunkq_init(&b);
	add(&b, "abcdef");
	add(&b, "ghi");
	assert_int_equal(chunkq_move(&pool, &a, &b, 2), 0);
	first = a.head;
	assert_int_equal(rte_mbuf_refcnt_read(first->m), 2);
	chunkq_join(&pool, &a, &b);
	assert_true(chunkq_empty(&b));
	assert_ptr_equal(a.head, first);
	assert_int_equal(a.count, 2);
	assert_int_equal(rte_mbuf_refcnt_read(first->m), 1);
	queue_is(&a, "abcdefghi");
	/* another buffer, an empty queue on either side */
	add(&b, "j");
	chunkq_join(&pool, &a, &b);
	assert_int_equal(a.count, 3);
	chunkq_join(&pool, &a, &b);
	chunkq_join(&pool, &b, &a);
	queue_is(&b, "abcdefghij");
	/* the same buffer, but not what follows */
	assert_int_equal(chunkq_ref(&pool, &a, &b, 0, 2), 0);
	assert_int_equal(chunkq_ref(&pool, &a, &b, 3, 2), 0);
	assert_int_equal(a.count, 2);
	chunkq_purge(&pool, &b);
	assert_int_equal(chunkq_move(&pool, &b, &a, 2), 0);
	chunkq_join(&pool, &b, &a);
	assert_int_equal(b.count, 2);
	queue_is(&b, "abde");
	chunkq_purge(&pool, &b);
	assert_true(mem_testing_clean(&pool));
}

/* INV-CHUNK-4. */
static void test_sum_is_of_the_whole(void **state)
{
	struct chunkq a, b;

	for (unsigned way = 0; way < 5; way++) {
		chunkq_init(&a);
		chunkq_init(&b);
		assert_int_equal(chunkq_put(&pool, &a, "abcdef", 6), 0);
		assert_int_equal(a.head->sum, 0);
		a.head->sum = 77;
		switch (way) {
		case 0: /* a reference on all of it has the same */
			assert_int_equal(chunkq_ref(&pool, &b, &a, 0, 6), 0);
			assert_int_equal(b.head->sum, 77);
			assert_int_equal(a.head->sum, 77);
			break;
		case 1:
			assert_int_equal(chunkq_ref(&pool, &b, &a, 0, 5), 0);
			assert_int_equal(chunkq_ref(&pool, &b, &a, 1, 5), 0);
			assert_int_equal(b.head->sum, 0);
			assert_int_equal(b.tail->sum, 0);
			break;
		case 2:
			assert_int_equal(chunkq_move(&pool, &b, &a, 4), 0);
			assert_int_equal(b.head->sum, 0);
			assert_int_equal(a.head->sum, 0);
			a.head->sum = b.head->sum = 5;
			chunkq_join(&pool, &b, &a);
			assert_int_equal(b.head->sum, 0);
			break;
		case 3:
			chunkq_drop(&pool, &a, 1);
			assert_int_equal(a.head->sum, 0);
			break;
		case 4:
			assert_int_equal(chunkq_put(&pool, &a, "g", 1), 0);
			assert_int_equal(a.count, 1);
			assert_int_equal(a.head->sum, 0);
			break;
		}
		chunkq_purge(&pool, &a);
		chunkq_purge(&pool, &b);
		assert_true(mem_testing_clean(&pool));
	}
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 63, 255);
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
		cmocka_unit_test(test_push_pop),     cmocka_unit_test(test_append),
		cmocka_unit_test(test_move),	     cmocka_unit_test(test_ref_shares),
		cmocka_unit_test(test_drop),	     cmocka_unit_test(test_put_shares_buffers),
		cmocka_unit_test(test_copy_offsets), cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_join),	     cmocka_unit_test(test_sum_is_of_the_whole),
	};

	return cmocka_run_group_tests_name("mem_chunk", tests, setup, teardown);
}
