/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Worker, callout lcore and callout server each on a thread of its own, on the real clock: rings and credit across
 * cores. Prints the rate.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include "callout/callout_test.h"
#include "ocp/ocp.h"

#define TXNS 16
#define LEN (8u << 20)

static atomic_bool stop;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

static void *run_server(void *arg)
{
	while (!atomic_load(&stop)) {
		test_server_poll(arg, now_us());
		sched_yield();
	}
	return NULL;
}

static void *run_callout(void *arg)
{
	while (!atomic_load(&stop))
		if (!callout_lcore_poll(arg, now_us()))
			sched_yield();
	return NULL;
}

struct flow {
	struct callout_txn txn;
	uint64_t pos, got;
	bool blocked, data_ended, over, closed;
};

struct worker {
	struct callout_port *port;
	struct policy_image *img;
	struct rte_mempool *pool;
	struct flow *flow;
	uint32_t closed, failed;
	uint64_t rooms;
};

static void on_event(void *ctx, const struct callout_event *ev)
{
	struct worker *w = ctx;
	struct flow *f = ev->txn->user;

	switch (ev->type) {
	case CALLOUT_EV_DATA:
		assert_int_equal(ev->offset, f->got);
		assert_int_equal(ev->data[0], test_octet(0, f->got));
		assert_int_equal(ev->data[ev->size - 1], test_octet(0, f->got + ev->size - 1));
		f->got += ev->size;
		rte_pktmbuf_free_seg(ev->m);
		break;
	case CALLOUT_EV_ROOM:
		f->blocked = false;
		w->rooms++;
		break;
	case CALLOUT_EV_FAILED:
		w->failed++;
		/* fall through */
	case CALLOUT_EV_ENDED:
		f->over = true;
		callout_end(w->port, &f->txn, false);
		break;
	case CALLOUT_EV_CLOSED:
		f->closed = true;
		w->closed++;
		break;
	default:
		break;
	}
}

static void feed(struct worker *w, struct flow *f)
{
	uint32_t n = 32, i;

	while (!f->over && !f->blocked && f->pos < LEN && n--) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);
		struct chunk c = {.m = m, .len = CHUNK};

		if (!m)
			return;
		c.len = RTE_MIN(c.len, LEN - f->pos);
		c.data = (uint8_t *)rte_pktmbuf_append(m, c.len);
		for (i = 0; i < c.len; i++)
			((uint8_t *)(uintptr_t)c.data)[i] = test_octet(0, f->pos + i);
		if (callout_data(w->port, &f->txn, &c, f->pos, CALLOUT_PART_NONE, true))
			f->blocked = true;
		else
			f->pos += c.len;
		rte_pktmbuf_free_seg(m);
	}
	if (f->pos == LEN && !f->data_ended && !f->over)
		f->data_ended = callout_data_end(w->port, &f->txn, true) == 0;
}

static void run(const char *address, enum test_mode mode, const char *what)
{
	static const char meta[] = "Protocol: TCP\r\nKind: stream\r\n";
	struct callout_config cfg = {.nworkers = 1, .ring_size = 1024, .txns_max = 100, .client = "t",
				     .socket_id = SOCKET_ID_ANY};
	struct world img = {0};
	struct worker w = {.img = &img.img};
	struct test_server s;
	struct callout_lcore *l;
	pthread_t thread[2];
	uint64_t begin, took;
	unsigned i, free_before;

	test_server_open(&s, address, mode);
	world_image(&img, 0, "a", s.address, 2);
	w.pool = cfg.bufs = rte_pktmbuf_pool_create("t", 16383, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	assert_non_null(w.pool);
	free_before = rte_mempool_avail_count(w.pool);
	assert_int_equal(callout_lcore_create(&l, &cfg), 0);
	assert_int_equal(callout_lcore_adopt(l, &img.img), 0);
	w.port = callout_lcore_port(l, 0);
	w.flow = aligned_alloc(64, TXNS * sizeof(*w.flow));
	memset(w.flow, 0, TXNS * sizeof(*w.flow));
	atomic_store(&stop, false);
	pthread_create(&thread[0], NULL, run_server, &s);
	pthread_create(&thread[1], NULL, run_callout, l);
	begin = now_us();
	for (i = 0; i < TXNS; i++) {
		w.flow[i].txn.user = &w.flow[i];
		assert_int_equal(callout_start(w.port, &w.flow[i].txn, w.img, 0, meta, sizeof(meta) - 1, -1), 0);
	}
	while (w.closed < TXNS && now_us() - begin < 60000000) {
		callout_poll(w.port, on_event, &w, 256);
		for (i = 0; i < TXNS; i++)
			feed(&w, &w.flow[i]);
		sched_yield();
	}
	took = now_us() - begin;
	assert_int_equal(w.closed, TXNS);
	assert_int_equal(w.failed, 0);
	for (i = 0; mode == TEST_ECHO && i < TXNS; i++)
		assert_int_equal(w.flow[i].got, LEN);
	print_message("%s: %u MiB, %.0f MiB/s, %lu times out of credit\n", what, TXNS * (LEN >> 20),
		      (double)TXNS * (LEN >> 20) * 1e6 / took, w.rooms);
	atomic_store(&stop, true);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	callout_lcore_destroy(l);
	test_server_close(&s);
	assert_int_equal(rte_mempool_avail_count(w.pool), free_before);
	rte_mempool_free(w.pool);
	free(w.flow);
}

static void test_threads_echo(void **state)
{
	char address[64];

	run("tcp:127.0.0.1:0", TEST_ECHO, "echo over TCP");
	snprintf(address, sizeof(address), "unix:/tmp/callout_thread_test.%d", getpid());
	run(address, TEST_ECHO, "echo over a Unix socket");
}

static void test_threads_as_is(void **state)
{
	run("tcp:127.0.0.1:0", TEST_AS_IS, "as-is over TCP");
}

static void test_threads_core(void **state)
{
	world_core = true;
	test_server_dialects = OCP_HAS(OCP_DIALECT_CORE);
	run("tcp:127.0.0.1:0", TEST_ECHO, "echo in core over TCP");
	run("tcp:127.0.0.1:0", TEST_AS_IS, "as-is in core over TCP");
	world_core = false;
}

int main(void)
{
	char *eal[] = {"callout_thread_test", "--no-huge", "--no-pci", "--no-shconf", "-m", "128",
		       "-l", "0", "--log-level", "error", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_echo),
		cmocka_unit_test(test_threads_as_is),
		cmocka_unit_test(test_threads_core),
	};
	cpu_set_t all;
	int i, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (rte_eal_init(10, eal) < 0)
		return 1;
	CPU_ZERO(&all); /* EAL has bound this thread and its children to one core */
	for (i = 0; i < cpus; i++)
		CPU_SET(i, &all);
	sched_setaffinity(0, sizeof(all), &all);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
