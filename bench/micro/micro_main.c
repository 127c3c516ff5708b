/* SPDX-License-Identifier: BSD-3-Clause */
/* opes-bench-micro: what each stage costs by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include "micro.h"

#define BUFS 8191u
#define DESCS 16383u
#define LARGE_FREE_MB 4096u /* two tables of 16 million flows */
#define HUGE_FREE_MB 512u /* the tables of a million flows and of ten thousand rules, with room */

static struct chunk_pool pool;
static uint8_t pattern[MICRO_PATTERN + 2048];

_Noreturn static void give_up(const char *what)
{
	fprintf(stderr, "micro: %s: %s\n", what, rte_strerror(rte_errno));
	exit(1);
}

uint64_t micro_random(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void pattern_make(void)
{
	for (uint32_t i = 0; i < MICRO_PATTERN; i++)
		pattern[i] = (uint8_t)micro_random();
	memcpy(pattern + MICRO_PATTERN, pattern, sizeof(pattern) - MICRO_PATTERN);
}

const uint8_t *micro_pattern(uint64_t offset)
{
	return pattern + offset % MICRO_PATTERN;
}

struct chunk_pool *micro_pool(void)
{
	struct rte_mempool *bufs;

	if (pool.desc)
		return &pool;
	bufs = rte_pktmbuf_pool_create("micro-bufs", BUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!bufs || chunk_pool_init(&pool, "micro-descs", DESCS, bufs, SOCKET_ID_ANY))
		give_up("no memory for packet buffers");
	return &pool;
}

bool micro_pool_whole(void)
{
	if (pool.gen) {
		rte_pktmbuf_free_seg(pool.gen);
		pool.gen = NULL;
	}
	return !pool.used && !rte_mempool_in_use_count(pool.bufs);
}

void *micro_memory(size_t size, size_t align)
{
	void *p = rte_zmalloc("micro", size, (unsigned)align);

	if (!p)
		give_up("no memory for a table");
	return p;
}

void micro_memory_free(void *mem)
{
	rte_free(mem);
}

struct chunk *micro_chunk(uint64_t offset, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(micro_pool()->bufs);
	struct chunk *c = NULL;
	void *to;

	if (m) {
		to = rte_pktmbuf_append(m, (uint16_t)len);
		memcpy(to, micro_pattern(offset), len);
		c = chunk_new(&pool, m, to, len);
	}
	if (!c)
		give_up("the packet buffers are used up");
	return c;
}

bool micro_is_pattern(const struct chunkq *q, uint64_t offset)
{
	for (const struct chunk *c = q->head; c; c = c->next) {
		for (uint32_t at = 0, n; at < c->len; at += n, offset += n) {
			n = c->len - at < MICRO_SEGMENT ? c->len - at : MICRO_SEGMENT;
			if (memcmp(c->data + at, micro_pattern(offset), n) != 0)
				return false;
		}
	}
	return true;
}

/* MiB of free 2 MiB hugepages. */
static unsigned huge_free(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	unsigned pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%u", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * 2;
}

static void eal_start(bool no_huge)
{
	char *huge_args[] = {"micro", "--in-memory", "--no-pci",	 "--no-telemetry",
			     "-l",    "0",	     "--log-level=error"};
	char *small_args[] = {"micro", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
			      "-m",    "512",	    "-l",	   "0",	       "--log-level=error"};
	int rc;

	if (no_huge)
		rc = rte_eal_init((int)MICRO_COUNT(small_args), small_args);
	else
		rc = rte_eal_init((int)MICRO_COUNT(huge_args), huge_args);
	if (rc < 0)
		give_up("DPDK does not start");
	bench_common_param("pages", no_huge ? "4K" : "2M");
}

/* Removes the option; true: it was there. */
static bool take_option(int *argc, char **argv, const char *name)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], name) == 0) {
			memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
			(*argc)--;
			return true;
		}
	}
	return false;
}

static bool only_asks(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			printf("  --no-huge                         ordinary pages, even where "
			       "there are 2 MiB "
			       "pages enough\n"
			       "  --large                           also tables of 16 million flows, where there are "
			       "4 GiB of 2 MiB pages\n\n");
			return true;
		}
		if (!strncmp(argv[i], "--benchmark_list_tests", 22))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static void (*const stages[])(void) = {
		micro_parse, micro_timer, micro_mem, micro_stream, micro_tcp,
		micro_http1, micro_rules, micro_regex, micro_ocp, micro_ring,	micro_adapt,
	};
	bool no_huge = take_option(&argc, argv, "--no-huge"), large = take_option(&argc, argv, "--large");
	bool asks = only_asks(argc, argv);

	if (!asks) {
		if (!no_huge && huge_free() < HUGE_FREE_MB) {
			fprintf(stderr,
				"micro: less than %u MiB of 2 MiB pages are free: ordinary pages, "
				"look-ups in "
				"large tables will be slower\n",
				HUGE_FREE_MB);
			no_huge = true;
		}
		if (large && (no_huge || huge_free() < LARGE_FREE_MB)) {
			fprintf(stderr, "micro: less than %u MiB of 2 MiB pages are free: no tables of 16 million flows\n",
				LARGE_FREE_MB);
			large = false;
		}
		eal_start(no_huge);
	}
	if (BENCH_SANITIZED)
		bench_common_param("sanitized", "yes");
	pattern_make();
	micro_flow(large);
	for (unsigned i = 0; i < MICRO_COUNT(stages); i++)
		stages[i]();
	return bench_main(argc, argv, "micro");
}
