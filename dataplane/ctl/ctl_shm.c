/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/ctl_shm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memzone.h>

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int ctl_shm_create(struct shm_root **out, const struct policy_config *cfg, uint64_t tsc_hz)
{
	const struct rte_memzone *mz;
	struct shm_root *root;
	char path[PATH_MAX];

	mz = rte_memzone_reserve_aligned(SHM_MEMZONE, sizeof(*root), SOCKET_ID_ANY, 0,
					 RTE_CACHE_LINE_SIZE);
	if (!mz)
		return rte_errno ? -rte_errno : -ENOMEM;
	root = mz->addr;
	memset(root, 0, sizeof(*root));
	root->size = sizeof(*root);
	root->version = SHM_VERSION;
	root->dataplane_pid = getpid();
	root->started_us = clock_us(CLOCK_REALTIME);
	root->tsc_hz = tsc_hz;
	root->workers = cfg->workers;
	/* Control may run in another directory. */
	snprintf(root->config_file, sizeof(root->config_file), "%s",
		 realpath(cfg->file, path) ? path : cfg->file);
	snprintf(root->version_text, sizeof(root->version_text), "%s", OPES_VERSION);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(root->port[i].name, sizeof(root->port[i].name), "%s", cfg->port[i].name);
		snprintf(root->port[i].device, sizeof(root->port[i].device), "%s",
			 cfg->port[i].device);
		root->port[i].mtu = cfg->port[i].mtu;
	}
	*out = root;
	return 0;
}

void ctl_shm_heartbeat(struct shm_root *root)
{
	atomic_store_explicit(&root->heartbeat_us, clock_us(CLOCK_MONOTONIC), memory_order_release);
}

void ctl_shm_ready(struct shm_root *root)
{
	root->magic = SHM_MAGIC;
	ctl_shm_heartbeat(root);
}

void ctl_shm_port_stats(struct shm_root *root, unsigned i, uint16_t port_id)
{
	struct shm_port *p = &root->port[i];
	struct rte_eth_stats st;
	struct rte_eth_link link;

	if (rte_eth_stats_get(port_id, &st) == 0) {
		p->rx_packets = st.ipackets;
		p->tx_packets = st.opackets;
		p->rx_bytes = st.ibytes;
		p->tx_bytes = st.obytes;
		p->rx_missed = st.imissed;
		p->rx_nombuf = st.rx_nombuf;
		p->tx_errors = st.oerrors;
	}
	if (rte_eth_link_get_nowait(port_id, &link) == 0)
		p->link_up = link.link_status == RTE_ETH_LINK_UP;
}

void ctl_shm_over(struct shm_root *root)
{
	root->dataplane_pid = 0;
	atomic_store_explicit(&root->heartbeat_us, 0, memory_order_release);
	root->magic = 0;
}
