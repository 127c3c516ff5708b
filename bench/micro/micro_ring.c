/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hand-off to the callout lcore: requests of one cache line through a ring with one
 * producer and one consumer, by burst, on one thread and across two; and
 * callout_data, which fills a request and takes a reference on the buffer.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include "callout/callout_ring.h"
#include "micro.h"

#define RING 1024u
#define BURST_MAX 64u

static struct rte_ring *ring(struct bench *b, const char *name)
{
	struct rte_ring *r = rte_ring_create_elem(name, sizeof(struct callout_req), RING,
						  SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);

	if (!r)
		bench_fail(b, "no memory for a ring");
	return r;
}

static void one_thread(struct bench *b)
{
	unsigned n = (unsigned)bench_arg(b, 0);
	struct rte_ring *r = ring(b, "micro-one");
	struct callout_req in[BURST_MAX], out[BURST_MAX];
	uint64_t no = 0;
	bool wrong = false;

	memset(in, 0, sizeof(in));
	while (bench_batch(b, n)) {
		for (unsigned i = 0; i < n; i++)
			in[i].offset = no + i;
		wrong |= rte_ring_sp_enqueue_burst_elem(r, in, sizeof(in[0]), n, NULL) != n;
		wrong |= rte_ring_sc_dequeue_burst_elem(r, out, sizeof(out[0]), n, NULL) != n;
		wrong |= out[0].offset != no || out[n - 1].offset != no + n - 1;
		no += n;
	}
	if (wrong)
		bench_fail(b, "requests were lost or out of order");
	rte_ring_free(r);
}

struct consumer {
	struct rte_ring *r;
	pthread_t thread;
	unsigned burst;
	_Atomic bool stop, ready;
	_Atomic uint64_t seen;
	bool wrong; /* read after the thread has ended */
};

static void *consume(void *ctx)
{
	struct consumer *c = ctx;
	struct callout_req out[BURST_MAX];
	uint64_t seen = 0;

	atomic_store(&c->ready, true);
	for (;;) {
		bool stop = atomic_load_explicit(&c->stop, memory_order_acquire);
		unsigned n =
			rte_ring_sc_dequeue_burst_elem(c->r, out, sizeof(out[0]), c->burst, NULL);

		for (unsigned i = 0; i < n; i++)
			c->wrong |= out[i].offset != seen++;
		if (n)
			atomic_store_explicit(&c->seen, seen, memory_order_release);
		else if (stop)
			return NULL;
		else
			rte_pause();
	}
}

/* On a processor this thread does not use. False: there is none, or the thread does not start. */
static bool consumer_start(struct consumer *c)
{
	pthread_attr_t attr;
	cpu_set_t one;
	int here = sched_getcpu(), cpu;
	bool started = false;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (cpu == here)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_attr_init(&attr);
		started = pthread_attr_setaffinity_np(&attr, sizeof(one), &one) == 0 &&
			  pthread_create(&c->thread, &attr, consume, c) == 0;
		pthread_attr_destroy(&attr);
		if (started)
			break;
	}
	while (started && !atomic_load(&c->ready))
		rte_pause();
	return started;
}

/* What one request costs from one thread to the other when both do nothing else: the slower of the
 * two. */
static void two_threads(struct bench *b)
{
	unsigned n = (unsigned)bench_arg(b, 0);
	struct consumer c = {.r = ring(b, "micro-two"), .burst = n};
	struct callout_req in[BURST_MAX];
	uint64_t no = 0;
	bool started = c.r && consumer_start(&c);

	if (!started)
		bench_fail(b, "needs a second processor");
	memset(in, 0, sizeof(in));
	while (bench_batch(b, n)) {
		for (unsigned i = 0; i < n; i++)
			in[i].offset = no + i;
		for (unsigned done = 0; done < n;) {
			unsigned put = rte_ring_sp_enqueue_burst_elem(c.r, &in[done], sizeof(in[0]),
								      n - done, NULL);

			if (!put)
				rte_pause();
			done += put;
		}
		no += n;
	}
	atomic_store_explicit(&c.stop, true, memory_order_release);
	if (started)
		pthread_join(c.thread, NULL);
	if (c.wrong || atomic_load(&c.seen) != no)
		bench_fail(b, "%lu of %lu requests arrived in order",
			   (unsigned long)atomic_load(&c.seen), (unsigned long)no);
	rte_ring_free(c.r);
}

/* The worker's and the callout lcore's share of one data-have together, without the framing. */
static void callout(struct bench *b)
{
	unsigned n = (unsigned)bench_arg(b, 0), got = 0;
	struct callout_txn t = {.co_limit = UINT64_MAX};
	struct callout_req out[BURST_MAX];
	struct chunk *c = micro_chunk(0, MICRO_SEGMENT);
	struct callout_port port;
	uint64_t offset = 0;
	bool wrong = false;

	if (callout_port_init(&port, NULL, RING, SOCKET_ID_ANY, 0, &port))
		bench_fail(b, "no memory for a ring");
	while (bench_batch(b, n)) {
		for (unsigned i = 0; i < n; i++)
			wrong |= callout_data(&port, &t, c, offset + i, CALLOUT_PART_NONE, true) !=
				 0;
		for (unsigned at = 0; at < n; at += got) {
			got = rte_ring_sc_dequeue_burst_elem(port.tx, out, sizeof(out[0]),
							     CALLOUT_BURST, NULL);
			for (unsigned i = 0; i < got; i++) {
				wrong |= out[i].offset != offset + at + i || out[i].data != c->data;
				rte_pktmbuf_free_seg(out[i].m);
			}
			if (!got)
				break;
		}
		wrong |= !got;
		offset += n;
	}
	if (wrong || rte_mbuf_refcnt_read(c->m) != 1 ||
	    t.sent != offset * (MICRO_SEGMENT + CALLOUT_CHUNK_COST))
		bench_fail(b, "chunks were lost or out of order");
	callout_port_fini(&port);
	chunk_free(micro_pool(), c);
	if (!micro_pool_whole())
		bench_fail(b, "buffers were lost");
}

void micro_ring(void)
{
	static const int64_t bursts[][BENCH_ARGS_MAX] = {{1}, {4}, {8}, {16}, {32}, {64}};
	static const struct bench_def defs[] = {
		{.name = "ring/one_thread", .fn = one_thread, .arg = {"burst"}, MICRO_SETS(bursts)},
		{.name = "ring/two_threads",
		 .fn = two_threads,
		 .arg = {"burst"},
		 MICRO_SETS(bursts)},
		{.name = "ring/callout_data", .fn = callout, .arg = {"burst"}, MICRO_SETS(bursts)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++) {
		if (defs[i].fn != two_threads || sysconf(_SC_NPROCESSORS_ONLN) > 1)
			bench_register(&defs[i]);
	}
}
