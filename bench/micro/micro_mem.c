/* SPDX-License-Identifier: BSD-3-Clause */
/* Chunks: taking received octets in, keeping a second reference on them, generated octets. */
#include <string.h>
#include <rte_mbuf.h>
#include "mem/mem_chunk.h"
#include "micro.h"

static void check_pool(struct bench *b)
{
	if (!micro_pool_whole())
		bench_fail(b, "chunks or buffers were lost");
}

/* A received segment becomes a chunk and is given up: buffer and descriptor from their pools and
 * back. */
static void receive_free(struct bench *b)
{
	struct chunk_pool *p = micro_pool();
	struct chunkq q;
	bool wrong = false;

	chunkq_init(&q);
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = 0; i < MICRO_BURST; i++) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(p->bufs);
			uint8_t *to = m ? (uint8_t *)rte_pktmbuf_append(m, MICRO_SEGMENT) : NULL;
			struct chunk *c = m ? chunk_new(p, m, to, MICRO_SEGMENT) : NULL;

			if (c)
				chunkq_push(&q, c);
		}
		wrong |= q.bytes != MICRO_BURST * MICRO_SEGMENT;
		chunkq_purge(p, &q);
	}
	if (wrong)
		bench_fail(b, "a chunk was refused");
	check_pool(b);
}

static void fill(struct chunkq *q, unsigned n)
{
	chunkq_init(q);
	for (unsigned i = 0; i < n; i++)
		chunkq_push(q, micro_chunk((uint64_t)i * MICRO_SEGMENT, MICRO_SEGMENT));
}

/* What is preserved of a message: a reference on every chunk, given back in steps as the service
 * takes them. */
static void keep_release(struct bench *b)
{
	struct chunk_pool *p = micro_pool();
	unsigned n = (unsigned)bench_arg(b, 0);
	struct chunkq q, kept;
	bool wrong = false;

	fill(&q, n);
	chunkq_init(&kept);
	while (bench_batch(b, n)) {
		wrong |= chunkq_ref(p, &kept, &q, 0, q.bytes) != 0;
		for (unsigned i = 0; i < n; i++)
			chunkq_drop(p, &kept, MICRO_SEGMENT);
		wrong |= !chunkq_empty(&kept) || kept.bytes;
	}
	if (wrong || !micro_is_pattern(&q, 0) || q.bytes != (uint64_t)n * MICRO_SEGMENT)
		bench_fail(b, "what was kept is not what was received");
	bench_bytes(b, bench_iterations(b) * MICRO_SEGMENT);
	chunkq_purge(p, &q);
	check_pool(b);
}

/* A stretch that begins and ends inside of chunks, such as a data-as-is names. */
static void ref_inside(struct bench *b)
{
	const uint64_t from = 700, len = 3 * MICRO_SEGMENT;
	struct chunk_pool *p = micro_pool();
	struct chunkq q, part;
	bool wrong = false;

	fill(&q, MICRO_BURST);
	chunkq_init(&part);
	while (bench_batch(b, 1)) {
		wrong |= chunkq_ref(p, &part, &q, from, len) != 0 || part.bytes != len;
		chunkq_purge(p, &part);
	}
	if (chunkq_ref(p, &part, &q, from, len) || wrong || !micro_is_pattern(&part, from))
		bench_fail(b, "the stretch is not the right one");
	chunkq_purge(p, &part);
	chunkq_purge(p, &q);
	check_pool(b);
}

/* Generated octets: a chunk-size line or a rewritten head. */
static void put(struct bench *b)
{
	struct chunk_pool *p = micro_pool();
	uint32_t size = (uint32_t)bench_arg(b, 0);
	struct chunkq q;
	bool wrong = false;

	chunkq_init(&q);
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = 0; i < MICRO_BURST; i++)
			wrong |= chunkq_put(p, &q, micro_pattern((uint64_t)i * size), size) != 0;
		bench_pause(b);
		wrong |= q.bytes != MICRO_BURST * size || !micro_is_pattern(&q, 0);
		chunkq_purge(p, &q);
		bench_resume(b);
	}
	if (wrong)
		bench_fail(b, "the octets put are not those found");
	bench_bytes(b, bench_iterations(b) * size);
	check_pool(b);
}

void micro_mem(void)
{
	static const int64_t counts[][BENCH_ARGS_MAX] = {{32}, {1024}};
	static const int64_t sizes[][BENCH_ARGS_MAX] = {{6}, {400}};
	static const struct bench_def defs[] = {
		{.name = "chunk/receive_free", .fn = receive_free},
		{.name = "chunk/keep_release",
		 .fn = keep_release,
		 .arg = {"chunks"},
		 MICRO_SETS(counts)},
		{.name = "chunk/ref_inside", .fn = ref_inside},
		{.name = "chunk/put", .fn = put, .arg = {"size"}, MICRO_SETS(sizes)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
