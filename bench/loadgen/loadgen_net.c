/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include "loadgen_pattern.h"
#include "loadgen_wire.h"

#define DESC 1024
#define RING 4096
#define POOL_CACHE 256

static int ports_find(struct lg_net net[2], const struct lg_config *cfg, char *err, size_t err_len)
{
	for (int i = 0; i < 2; i++) {
		char name[LG_TEXT];

		lg_config_device_name(cfg->device[i], name, sizeof(name));
		if (rte_eth_dev_get_port_by_name(name, &net[i].port) != 0) {
			snprintf(err, err_len, "DPDK could not open device %s", cfg->device[i]);
			return -ENODEV;
		}
	}
	if (net[0].port == net[1].port) {
		snprintf(err, err_len, "client and server have the same device");
		return -EINVAL;
	}
	return 0;
}

static void offloads(struct lg_net *n, const struct lg_config *cfg,
		     const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

	memset(conf, 0, sizeof(*conf));
	n->rx_cksum_hw = cfg->rx_checksum && (info->rx_offload_capa & rx) == rx;
	n->tx_cksum_hw = cfg->tx_offload && (info->tx_offload_capa & tx) == tx;
	if (n->rx_cksum_hw)
		conf->rxmode.offloads |= rx;
	if (n->tx_cksum_hw)
		conf->txmode.offloads |= tx;
	if (info->max_mtu != UINT16_MAX && cfg->mtu <= info->max_mtu && cfg->mtu >= info->min_mtu)
		conf->rxmode.mtu = cfg->mtu;
}

static int port_open(struct lg_net *n, const struct lg_config *cfg, char *err, size_t err_len)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	uint16_t nrx = DESC, ntx = DESC;
	int rc;

	rc = rte_eth_dev_info_get(n->port, &info);
	if (rc == 0) {
		offloads(n, cfg, &info, &conf);
		rc = rte_eth_dev_configure(n->port, 1, 1, &conf);
	}
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(n->port, &nrx, &ntx);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(n->port, 0, nrx, rte_eth_dev_socket_id(n->port), NULL,
					    n->pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(n->port, 0, ntx, rte_eth_dev_socket_id(n->port), NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(n->port);
	if (rc) {
		snprintf(err, err_len, "port %u does not start: %s", n->port, rte_strerror(-rc));
		return rc;
	}
	n->eth = true;
	/* Addresses are many, the port's own is one: whatever arrives is looked at. Software ports may not know it. */
	rte_eth_promiscuous_enable(n->port);
	rte_eth_macaddr_get(n->port, &n->mac);
	return 0;
}

static int rings_open(struct lg_net net[2], char *err, size_t err_len)
{
	struct rte_ring *r[2];

	for (int i = 0; i < 2; i++) {
		r[i] = rte_ring_create(i ? "lg_to_server" : "lg_to_client", RING, SOCKET_ID_ANY,
				       RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!r[i]) {
			snprintf(err, err_len, "no memory for a ring");
			return -ENOMEM;
		}
	}
	for (int i = 0; i < 2; i++) {
		net[i].rx_ring = r[i];
		net[i].tx_ring = r[!i];
		net[i].mac = (struct rte_ether_addr){{2, 0, 0, 0, 0, (uint8_t)(i + 1)}};
	}
	return 0;
}

int lg_net_open(struct lg_net net[2], const struct lg_config *cfg, char *err, size_t err_len)
{
	uint16_t room = cfg->mtu + 14 + 8 > 2048 ? cfg->mtu + 14 + 8 : 2048;
	struct rte_mempool *pool;
	int rc;

	memset(net, 0, 2 * sizeof(*net));
	pool = rte_pktmbuf_pool_create("lg_bufs", cfg->mbufs, POOL_CACHE, 0,
				       room + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (!pool) {
		snprintf(err, err_len, "no memory for %u packet buffers: %s; lower --mbufs or give more hugepages",
			 cfg->mbufs, rte_strerror(rte_errno));
		return -ENOMEM;
	}
	for (int i = 0; i < 2; i++) {
		const struct lg_tamper *t = &cfg->tamper;

		net[i].pool = pool;
		net[i].tamper = *t;
		net[i].tampering = t->drop || t->dup || t->reorder || t->corrupt || t->damage;
		net[i].tamper_state = lg_mix(cfg->seed + 1000 + i);
	}
	if (cfg->loopback)
		return rings_open(net, err, err_len);
	rc = ports_find(net, cfg, err, err_len);
	for (int i = 0; i < 2 && rc == 0; i++)
		rc = port_open(&net[i], cfg, err, err_len);
	if (rc)
		lg_net_close(net);
	return rc;
}

bool lg_net_up(const struct lg_net net[2])
{
	for (int i = 0; i < 2; i++) {
		struct rte_eth_link link;

		if (net[i].rx_ring)
			continue;
		if (rte_eth_link_get_nowait(net[i].port, &link) != 0 || !link.link_status)
			return false;
	}
	return true;
}

static void frames_free(struct lg_net *n)
{
	struct rte_mbuf *m;

	for (; n->count; n->count--)
		rte_pktmbuf_free(n->queue[n->head++ % LG_TXQ]);
	rte_pktmbuf_free(n->late);
	n->late = NULL;
	while (n->rx_ring && rte_ring_sc_dequeue(n->rx_ring, (void **)&m) == 0)
		rte_pktmbuf_free(m);
}

void lg_net_close(struct lg_net net[2])
{
	struct rte_mempool *pool = net[0].pool;

	for (int i = 0; i < 2; i++) {
		frames_free(&net[i]);
		if (net[i].eth) {
			rte_eth_dev_stop(net[i].port);
			rte_eth_dev_close(net[i].port);
		}
		net[i].eth = false;
	}
	for (int i = 0; i < 2; i++) {
		rte_ring_free(net[i].rx_ring);
		net[i].rx_ring = net[i].tx_ring = NULL;
		net[i].pool = NULL;
	}
	rte_mempool_free(pool);
}

unsigned lg_net_receive(struct lg_net *n, struct rte_mbuf **pkt)
{
	unsigned got = n->rx_ring
			       ? rte_ring_sc_dequeue_burst(n->rx_ring, (void **)pkt, LG_BURST, NULL)
			       : rte_eth_rx_burst(n->port, 0, pkt, LG_BURST);

	n->stats.rx_frames += got;
	for (unsigned i = 0; i < got; i++)
		n->stats.rx_octets += rte_pktmbuf_pkt_len(pkt[i]);
	return got;
}

static unsigned transmit(struct lg_net *n, struct rte_mbuf **pkt, unsigned count)
{
	if (n->tx_ring)
		return rte_ring_sp_enqueue_burst(n->tx_ring, (void **)pkt, count, NULL);
	return rte_eth_tx_burst(n->port, 0, pkt, (uint16_t)count);
}

bool lg_net_flush(struct lg_net *n)
{
	bool any = false;

	while (n->count) {
		unsigned at = n->head % LG_TXQ, burst = LG_TXQ - at, sent;
		uint64_t octets = 0;

		if (burst > n->count)
			burst = n->count;
		if (burst > LG_BURST)
			burst = LG_BURST;
		for (unsigned i = 0; i < burst; i++)
			octets += rte_pktmbuf_pkt_len(n->queue[at + i]);
		sent = transmit(n, n->queue + at, burst);
		for (unsigned i = sent; i < burst; i++)
			octets -= rte_pktmbuf_pkt_len(n->queue[at + i]);
		n->stats.tx_frames += sent;
		n->stats.tx_octets += octets;
		n->head += sent;
		n->count -= sent;
		any |= sent > 0;
		if (sent < burst) {
			n->stats.tx_waits++;
			break;
		}
	}
	return any;
}

static void queue(struct lg_net *n, struct rte_mbuf *m)
{
	if (n->count == LG_TXQ && !lg_net_flush(n)) {
		n->stats.tx_dropped++;
		rte_pktmbuf_free(m);
		return;
	}
	n->queue[(n->head + n->count++) % LG_TXQ] = m;
	if (n->count % LG_BURST == 0)
		lg_net_flush(n);
}

/* One chance in a thousand, `parts` times. */
static bool chance(struct lg_net *n, uint32_t parts)
{
	if (!parts)
		return false;
	n->tamper_state = lg_mix(n->tamper_state);
	return n->tamper_state % 1000 < parts;
}

/* Changes the last octet of a segment's data; with mend the TCP checksum is made right again. */
static void spoil(struct rte_mbuf *m, bool mend)
{
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);
	bool v6 = f[12] == 0x86;
	uint8_t *tcp = f + 14 + (v6 ? 40 : 20);
	uint32_t l4 = m->pkt_len - (uint32_t)(tcp - f);
	uint16_t sum = 0;

	if (l4 <= (tcp[12] >> 4) * 4u)
		return;
	f[m->pkt_len - 1] ^= 0x20;
	if (!mend)
		return;
	memcpy(tcp + 16, &sum, 2);
	sum = lg_sum_fold(lg_wire_pseudo(v6, f + 14, l4, 6) + lg_sum(tcp, l4));
	memcpy(tcp + 16, &sum, 2);
}

static void tamper(struct lg_net *n, struct rte_mbuf *m)
{
	const struct lg_tamper *t = &n->tamper;
	struct rte_mbuf *late = n->late, *copy;
	bool corrupt;

	if (chance(n, t->drop)) {
		n->stats.tampered++;
		rte_pktmbuf_free(m);
		return;
	}
	corrupt = chance(n, t->corrupt);
	if (corrupt || chance(n, t->damage)) {
		n->stats.tampered++;
		spoil(m, corrupt);
	}
	if (chance(n, t->dup) && (copy = rte_pktmbuf_copy(m, n->pool, 0, UINT32_MAX)) != NULL) {
		n->stats.tampered++;
		queue(n, copy);
	}
	if (!late && chance(n, t->reorder)) {
		n->stats.tampered++;
		n->late = m;
		return;
	}
	queue(n, m);
	if (late) {
		n->late = NULL;
		queue(n, late);
	}
}

void lg_net_send(struct lg_net *n, struct rte_mbuf *m)
{
	if (n->tampering)
		tamper(n, m);
	else
		queue(n, m);
}
