/* SPDX-License-Identifier: BSD-3-Clause */
/* For unit tests and fuzz targets only: an EAL without hugepages or ports, and a chunk pool. */
#ifndef MEM_TESTING_H
#define MEM_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "mem/mem_chunk.h"

static inline void mem_testing_eal(void)
{
	static char args[][20] = {
		"test", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
		"-m",	"192",	     "-l",	 "0",		"--log-level=error"};
	static char *argv[sizeof(args) / sizeof(args[0]) + 1];
	static int done;
	unsigned i, n = sizeof(args) / sizeof(args[0]);

	if (done)
		return;
	for (i = 0; i < n; i++)
		argv[i] = args[i];
	if (rte_eal_init((int)n, argv) < 0) {
		fprintf(stderr, "no EAL\n");
		abort();
	}
	done = 1;
}

static inline void mem_testing_pool(struct chunk_pool *p, unsigned bufs, unsigned descs)
{
	static unsigned no;
	char name[32];
	struct rte_mempool *mp;

	mem_testing_eal();
	snprintf(name, sizeof(name), "test-bufs-%u", no);
	mp = rte_pktmbuf_pool_create(name, bufs, bufs >= 1024 ? 64 : 0, 0,
				     RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "test-desc-%u", no++);
	if (!mp || chunk_pool_init(p, name, descs, mp, SOCKET_ID_ANY)) {
		fprintf(stderr, "no pool\n");
		abort();
	}
}

/* Nothing may be in use any more but the pool's own buffer. True: nothing leaked. */
static inline int mem_testing_clean(struct chunk_pool *p)
{
	if (p->gen) {
		rte_pktmbuf_free_seg(p->gen);
		p->gen = NULL;
	}
	return !p->used && !rte_mempool_in_use_count(p->bufs);
}

static inline void mem_testing_free(struct chunk_pool *p)
{
	struct rte_mempool *mp = p->bufs;

	chunk_pool_fini(p);
	rte_mempool_free(mp);
}

/* A chunk in a buffer of its own, as a received packet is. */
static inline struct chunk *mem_testing_chunk(struct chunk_pool *p, const void *bytes, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->bufs);
	struct chunk *c;
	char *to;

	if (!m)
		return NULL;
	to = rte_pktmbuf_append(m, (uint16_t)n);
	if (to)
		memcpy(to, bytes, n);
	c = to ? chunk_new(p, m, (uint8_t *)to, n) : NULL;
	if (!c)
		rte_pktmbuf_free(m);
	return c;
}

#endif
