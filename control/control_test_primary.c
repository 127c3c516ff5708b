/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A dataplane without packets, for tests of opes-control: a DPDK primary that
 * lays out the shared memory, beats, adopts what is published, answers
 * questions, and does what lines on stdin say:
 *   event KIND TEXT   write an event as worker 0
 *   refuse            refuse the next generation
 *   hold / go         stop looking at publications / look again
 *   stall / beat      stop the heartbeat and everything else / go on
 *   leak                take a lock of DPDK's as a process that is killed would leave it
 *   quit              end (also at the end of input)
 * Each line is answered with "ok" on stdout, its start with "ready". Arguments are EAL's.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_eal_memconfig.h>
#include <rte_memzone.h>

#include "policy/policy.h"
#include "stats/shm.h"

#define FLOWS 150 /* three pages */
#define WORKERS 2

struct primary {
	struct shm_root *root;
	bool hold, refuse, stall, quit;
};

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void root_fill(struct shm_root *root)
{
	root->version = SHM_VERSION;
	root->size = sizeof(*root);
	root->dataplane_pid = getpid();
	root->started_us = clock_us(CLOCK_REALTIME);
	root->workers = WORKERS;
	strcpy(root->version_text, "test");
	strcpy(root->config_file, "none");
	strcpy(root->port[0].name, "inside");
	strcpy(root->port[1].name, "outside");
	for (unsigned w = 0; w < WORKERS; w++) {
		root->worker[w].lcore = w;
		root->worker[w].counter[STATS_rx_frames] = 1000 + w;
		root->worker[w].gauge.flows = FLOWS;
		root->worker[w].gauge.mbufs_total = 8192;
		root->worker[w].gauge.mbufs_free = 8000;
	}
	root->callout_counter[STATS_callout_octets_out] = 4096;
	root->nservices = 1;
	strcpy(root->service[0].name, "echo");
	root->service[0].state = SHM_SERVICE_UP;
	root->magic = SHM_MAGIC;
	atomic_store(&root->heartbeat_us, clock_us(CLOCK_MONOTONIC));
}

static void flow_fill(struct shm_flow_row *r, unsigned worker, uint64_t i)
{
	memset(r, 0, sizeof(*r));
	r->id = (uint64_t)worker << SHM_FLOW_ID_WORKER_SHIFT | (i + 1);
	memset(r->client + 10, 0xff, 2);
	memset(r->server + 10, 0xff, 2);
	r->client[12] = 10;
	r->client[15] = (uint8_t)(i + 1);
	r->server[12] = 192;
	r->client_port = (uint16_t)(40000 + i);
	r->server_port = 80;
	strcpy(r->state, "established");
	strcpy(r->protocol, "http");
	r->octets[0] = i;
}

static void detail_fill(struct shm_query *q, unsigned worker)
{
	uint64_t i = (q->id & UINT32_MAX) - 1;
	struct shm_half_detail *h = &q->detail.half[1];

	q->found = i < FLOWS;
	memset(&q->detail, 0, sizeof(q->detail));
	flow_fill(&q->detail.row, worker, i);
	h->present = 1;
	strcpy(h->state, "close-wait");
	h->cwnd = 14600 + (uint32_t)i;
	strcpy(q->detail.pipe[0].mode, "http");
	q->detail.pipe[0].identity = SHM_UNKNOWN;
}

static void query_answer(struct shm_query *q, unsigned worker)
{
	uint32_t ask = atomic_load_explicit(&q->ask, memory_order_acquire);

	if (ask == atomic_load_explicit(&q->answer, memory_order_relaxed))
		return;
	if (q->kind == SHM_QUERY_FLOW)
		detail_fill(q, worker);
	for (q->rows = 0; q->kind == SHM_QUERY_ROWS && q->rows < SHM_FLOW_ROWS && q->cursor + q->rows < FLOWS; q->rows++)
		flow_fill(&q->row[q->rows], worker, q->cursor + q->rows);
	q->next = q->cursor + q->rows < FLOWS ? q->cursor + q->rows : 0;
	atomic_store_explicit(&q->answer, ask, memory_order_release);
}

static void publication_look(struct primary *p)
{
	struct shm_publish *b = &p->root->publish;
	uint32_t g = atomic_load_explicit(&b->generation, memory_order_acquire);
	const void *image = (const void *)(uintptr_t)b->address;

	if (p->hold || g == atomic_load(&b->adopted) || g == atomic_load(&b->refused))
		return;
	if (p->refuse || policy_image_check(image, b->size) ||
	    policy_image_generation(image) != g) {
		snprintf(b->reason, sizeof(b->reason), "%s",
			 p->refuse ? "refused by the test" : "the image is damaged");
		p->refuse = false;
		atomic_store_explicit(&b->refused, g, memory_order_release);
		return;
	}
	for (unsigned w = 0; w < WORKERS; w++)
		atomic_store(&p->root->worker[w].generation, g);
	memcpy(b->adopted_memzone, b->memzone, sizeof(b->memzone));
	atomic_store_explicit(&b->adopted, g, memory_order_release);
}

static void line_handle(struct primary *p, char *line)
{
	char *kind;

	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "event ", 6) == 0) {
		struct shm_event_args a = {.flow = 7, .offset = UINT64_MAX};

		kind = strtok(line + 6, " ");
		a.kind = kind;
		shm_event_write(&p->root->events[0], &a, "%s", strtok(NULL, ""));
	}
	p->refuse |= strcmp(line, "refuse") == 0;
	if (strcmp(line, "hold") == 0 || strcmp(line, "go") == 0)
		p->hold = line[0] == 'h';
	if (strcmp(line, "stall") == 0 || strcmp(line, "beat") == 0)
		p->stall = line[0] == 's';
	if (strcmp(line, "leak") == 0)
		rte_mcfg_mem_read_lock();
	p->quit |= strcmp(line, "quit") == 0;
	puts("ok");
}

int main(int argc, char **argv)
{
	struct primary p = {0};
	const struct rte_memzone *z;
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[256];

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (rte_eal_init(argc, argv) < 0)
		return 77; /* no hugepages here: the test is skipped */
	z = rte_memzone_reserve(SHM_MEMZONE, sizeof(*p.root), SOCKET_ID_ANY, 0);
	if (!z)
		return 1;
	p.root = z->addr;
	memset(p.root, 0, sizeof(*p.root));
	root_fill(p.root);
	puts("ready");
	while (!p.quit) {
		if (poll(&in, 1, 1) > 0) {
			if (!fgets(line, sizeof(line), stdin))
				break;
			line_handle(&p, line);
		}
		if (p.stall)
			continue;
		atomic_store_explicit(&p.root->heartbeat_us, clock_us(CLOCK_MONOTONIC),
				      memory_order_release);
		publication_look(&p);
		for (unsigned w = 0; w < WORKERS; w++)
			query_answer(&p.root->query[w], w);
	}
	return 0;
}
