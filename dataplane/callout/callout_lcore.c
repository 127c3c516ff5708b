/* SPDX-License-Identifier: BSD-3-Clause */
/* The callout lcore: set-up and the round. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <rte_common.h>
#include <rte_errno.h>
#include "callout/callout_lcore.h"

#define OPENS_PER_WORKER 1024 /* transactions that begin and have no connection yet */

static int lcore_ports(struct callout_lcore *l)
{
	unsigned n = l->cfg.nworkers, i;
	char name[RTE_MEMPOOL_NAMESIZE];
	int ret;

	l->port = calloc(n, sizeof(*l->port));
	l->backlog = calloc(n, sizeof(*l->backlog));
	if (!l->port || !l->backlog)
		return -ENOMEM;
	snprintf(name, sizeof(name), "co_open_%lx", (unsigned long)(uintptr_t)l & 0xffffffff);
	l->opens = rte_mempool_create(name, n * OPENS_PER_WORKER - 1, sizeof(struct callout_open), 0, 0, NULL,
				      NULL, NULL, NULL, l->cfg.socket_id, 0);
	if (!l->opens)
		return -rte_errno;
	for (i = 0; i < n; i++) {
		ret = callout_port_init(&l->port[i], l->opens, l->cfg.ring_size, l->cfg.socket_id, i, l);
		if (ret)
			return ret;
		if (!co_backlog_reserve(&l->backlog[i], l->cfg.ring_size / 2))
			return -ENOMEM;
	}
	return 0;
}

int callout_lcore_create(struct callout_lcore **out, const struct callout_config *cfg)
{
	struct callout_lcore *l;
	int ret;

	*out = NULL;
	if (!cfg->nworkers || cfg->nworkers > SHM_WORKERS_MAX || !cfg->txns_max || cfg->ring_size < 64 ||
	    (cfg->ring_size & (cfg->ring_size - 1)))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->cfg = *cfg;
	snprintf(l->client, sizeof(l->client), "%s", cfg->client ? cfg->client : "");
	l->core_max = cfg->core_max ? cfg->core_max : CALLOUT_CORE_MAX;
	l->counter = cfg->shm ? cfg->shm->callout_counter : l->dummy;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	ret = l->epfd < 0 ? -errno : lcore_ports(l);
	if (ret) {
		callout_lcore_destroy(l);
		return ret;
	}
	*out = l;
	return 0;
}

struct callout_port *callout_lcore_port(struct callout_lcore *l, unsigned worker)
{
	return worker < l->cfg.nworkers ? &l->port[worker] : NULL;
}

int callout_lcore_fd(const struct callout_lcore *l)
{
	return l->epfd;
}

void callout_lcore_destroy(struct callout_lcore *l)
{
	unsigned i;

	if (!l)
		return;
	co_service_free_all(l);
	for (i = 0; l->port && l->backlog && i < l->cfg.nworkers; i++) {
		if (l->port[i].tx)
			co_txn_purge_ring(l, i);
		callout_port_fini(&l->port[i]);
	}
	for (i = 0; i < l->slabs; i++)
		free(l->slab[i]);
	free(l->slab);
	free(l->order);
	free(l->port);
	free(l->backlog);
	rte_mempool_free(l->opens);
	if (l->epfd >= 0)
		close(l->epfd);
	free(l);
}

static uint32_t lcore_epoll(struct callout_lcore *l)
{
	struct epoll_event ev[64];
	int n = epoll_wait(l->epfd, ev, RTE_DIM(ev), 0), i;

	l->epoll_us = l->now;
	for (i = 0; i < n; i++) {
		struct co_conn *c = ev[i].data.ptr;

		co_conn_ready(c, ev[i].events);
	}
	return n > 0 ? n : 0;
}

static void lcore_flush_workers(struct callout_lcore *l)
{
	bool blocked = false;
	unsigned i;

	for (i = 0; i < l->cfg.nworkers; i++)
		blocked |= l->backlog[i].count && !co_backlog_flush(l, i);
	if (blocked && !l->blocked)
		l->counter[STATS_ring_full]++;
	l->blocked = blocked;
}

/* One connection's turn; more: the workers' rings hold more, so that small output may wait for company. */
static uint32_t lcore_conn(struct callout_lcore *l, struct co_conn *c, bool more)
{
	uint32_t work = 0;

	if (!c->agent)
		return 0;
	if (c->readable && !l->blocked) {
		work += co_io_read(c);
		if (co_conn_check(c))
			return work + 1;
		lcore_flush_workers(l);
	}
	if (c->writable && (c->out || c->ready.head) && (!more || c->out + c->queued >= CO_FLUSH)) {
		work += co_io_write(c);
		if (c->broken)
			co_conn_check(c);
	}
	return work;
}

static uint32_t lcore_conns(struct callout_lcore *l, bool more)
{
	uint32_t work = 0, i, j;

	for (i = 0; i < l->norder; i++) { /* INV-CO-4 */
		struct co_group *g = l->order[i];

		if (g->wait.head)
			co_group_dispatch(l, g);
		for (j = 0; j < g->nconns; j++)
			work += lcore_conn(l, &g->conn[j], more);
		if (g->wait.head)
			co_group_dispatch(l, g);
	}
	return work;
}

uint32_t callout_lcore_poll(struct callout_lcore *l, uint64_t now_us)
{
	uint32_t work = 0;
	bool more = false;
	unsigned i;

	l->now = now_us;
	lcore_flush_workers(l);
	for (i = 0; i < l->cfg.nworkers; i++)
		work += co_txn_requests(l, i, &more);
	if (now_us - l->epoll_us >= (l->txns ? CO_EPOLL_US : CO_EPOLL_IDLE_US) || now_us < l->epoll_us)
		work += lcore_epoll(l);
	work += lcore_conns(l, more);
	if (now_us >= l->timer_us) {
		l->timer_us = now_us + CO_TIMER_US;
		co_service_timer(l);
	}
	if (now_us >= l->rows_us) {
		l->rows_us = now_us + CO_ROWS_US;
		co_service_rows(l);
	}
	lcore_flush_workers(l);
	return work;
}
