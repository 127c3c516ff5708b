/* SPDX-License-Identifier: BSD-3-Clause */
/* Reassembly by the order in which segments come; taking the whole range out is part of it. */
#include "stream/stream_reasm.h"
#include "micro.h"

#define SEGMENTS 64u /* in one go; the first of the stream is missing until the others are there   \
		      */
#define SEQ 0xfffff000u /* sequence numbers wrap on the way */

enum order { IN_ORDER, REVERSED, HOLES };

/* Which segment comes at place i. */
static unsigned place(enum order order, unsigned i)
{
	switch (order) {
	case REVERSED:
		return SEGMENTS - 1 - i;
	case HOLES: /* every other one, then those between */
		return i < SEGMENTS / 2 ? 2 * i + 1 : 2 * (i - SEGMENTS / 2);
	default:
		return i;
	}
}

static void arrive(struct bench *b, enum order order)
{
	struct chunk_pool *p = micro_pool();
	struct stream_reasm r;
	struct chunkq q[SEGMENTS], out;
	struct stream_insert res;
	bool wrong = false;

	stream_reasm_init(&r);
	chunkq_init(&out);
	while (bench_batch(b, SEGMENTS)) {
		bench_pause(b);
		for (unsigned i = 0; i < SEGMENTS; i++) {
			chunkq_init(&q[i]);
			chunkq_push(&q[i], micro_chunk((uint64_t)place(order, i) * MICRO_SEGMENT,
						       MICRO_SEGMENT));
		}
		bench_resume(b);
		for (unsigned i = 0; i < SEGMENTS; i++) {
			uint32_t seq = SEQ + place(order, i) * MICRO_SEGMENT;

			wrong |= stream_reasm_insert(&r, p, seq, &q[i], 4096, &res) != 0 ||
				 res.fresh != MICRO_SEGMENT || res.conflict;
		}
		wrong |= stream_reasm_pop(&r, p, SEQ, &out) != SEGMENTS * MICRO_SEGMENT;
		bench_pause(b);
		wrong |= r.bytes || out.bytes != SEGMENTS * MICRO_SEGMENT ||
			 !micro_is_pattern(&out, 0);
		chunkq_purge(p, &out);
		bench_resume(b);
	}
	if (wrong)
		bench_fail(b, "the stream did not come out as it went in");
	stream_reasm_purge(&r, p);
	if (!micro_pool_whole())
		bench_fail(b, "chunks or buffers were lost");
	bench_bytes(b, bench_iterations(b) * MICRO_SEGMENT);
}

static void in_order(struct bench *b)
{
	arrive(b, IN_ORDER);
}

static void reversed(struct bench *b)
{
	arrive(b, REVERSED);
}

static void holes(struct bench *b)
{
	arrive(b, HOLES);
}

void micro_stream(void)
{
	static const struct bench_def defs[] = {
		{.name = "reassembly/in_order", .fn = in_order},
		{.name = "reassembly/reversed", .fn = reversed},
		{.name = "reassembly/holes", .fn = holes},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
