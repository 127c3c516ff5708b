/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/port.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#define RX_DESC 2048
#define TX_DESC 2048
#define BUFS_CACHE 256
#define LRO_MAX 65535u /* octets of a merged frame */
#define PORT_ROOM_MIN 1536 /* an Ethernet frame of 1500 octets with two tags */
#define RSS_FIELDS (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP)

/* The pattern repeats every 16 bits, so swapping source and destination does not change the
 * Toeplitz hash. */
static uint8_t rss_key[64];

static int fail(char *err, size_t err_len, int rc, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int fail(char *err, size_t err_len, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return rc;
}

static bool driver_is(const struct rte_eth_dev_info *info, const char *name)
{
	return info->driver_name && strcmp(info->driver_name, name) == 0;
}

static void caps_read(struct port_caps *c, const struct rte_eth_dev_info *info)
{
	/* virtio leaves IPv4's own to us. */
	c->rx_cksum = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	c->tx_cksum = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	c->tx_ip_cksum = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	c->tx_udp_cksum = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	c->scatter = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	c->multi_seg = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	/* It sums mbuf by mbuf as if each began at an even octet (DPDK 22.11). */
	c->even = driver_is(info, "net_tap");
	/* AF_XDP works out the place in its memory from the mbuf's own address. */
	c->indirect = !driver_is(info, "net_af_xdp");
}

/* How frames are cut by the port, if they may be. */
static void caps_tso(struct port_caps *c, const struct rte_eth_dev_info *info, const struct port *p)
{
	const uint64_t tso = RTE_ETH_TX_OFFLOAD_TCP_TSO;
	uint16_t segs = info->tx_desc_lim.nb_seg_max;

	c->tso = (info->tx_offload_capa & tso) && c->tx_cksum && c->multi_seg && c->indirect;
	c->tso6 = c->tso;
	c->tx_segs = segs && segs < PORT_TSO_SEGMENTS ? segs : PORT_TSO_SEGMENTS;
	if (driver_is(info, "net_tap")) {
		/* It cuts with rte_gso, which of DPDK 22.11 knows IPv4 only; and takes the MTU for the length of a frame,
		 * Ethernet header included, but does not let us set one larger than the real one. */
		c->tso6 = false;
		c->tso_frame = p->mtu;
	}
}

/* Merged segments are worth having only where the far port cuts them apart again: what crosses would else be copied. */
static void caps_lro(struct port_pair *pp, const struct rte_eth_dev_info *info, const struct port_pair_config *cfg)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct port_caps *far = &pp->port[!i].caps;

		pp->port[i].caps.lro = (info[i].rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO) && far->tso &&
				       pp->port[i].caps.rx_cksum && !cfg->port[i].no_segmentation;
	}
}

static bool rss_possible(const struct rte_eth_dev_info *info, unsigned workers)
{
	return workers > 1 && info->max_rx_queues >= workers && info->max_tx_queues >= workers &&
	       (info->flow_type_rss_offloads & RSS_FIELDS) && info->hash_key_size > 0 &&
	       info->hash_key_size <= sizeof(rss_key);
}

/* Drivers that copy between their rings and mbufs with the processor take mbufs of any size. Many controllers count their
 * receive buffers in whole KiB and would cut a smaller one down to 1. */
static bool any_room(const char *driver)
{
	static const char *const copying[] = {"net_af_packet", "net_memif", "net_null", "net_pcap", "net_ring",
					      "net_tap",       "net_vhost", "net_virtio_user"};

	for (unsigned i = 0; i < RTE_DIM(copying); i++)
		if (strcmp(driver, copying[i]) == 0)
			return true;
	return false;
}

/* Where a port puts a frame into one mbuf, or sends it from one, mbufs must hold the largest. No more than that where the
 * driver allows it: a preserved segment holds its whole mbuf. */
static uint32_t data_room(const struct port_pair *pp, const struct port_pair_config *cfg)
{
	bool any = any_room(pp->port[0].driver) && any_room(pp->port[1].driver);
	uint32_t room = any ? PORT_ROOM_MIN : RTE_MBUF_DEFAULT_DATAROOM;

	for (int i = 0; i < 2; i++) {
		const struct port_device *d = cfg->port[i].device;
		uint32_t frame = cfg->port[i].mtu + PORT_L2_MAX + RTE_ETHER_CRC_LEN;

		if (d->frame_size > frame)
			frame = d->frame_size;
		if (any && frame > room && frame <= RTE_MBUF_DEFAULT_DATAROOM)
			room = (frame + 63) & ~63u;
		if (frame > room && (!pp->port[i].caps.scatter || !pp->port[0].caps.multi_seg ||
				     !pp->port[1].caps.multi_seg))
			room = (frame + 63) & ~63u;
	}
	return room;
}

static int port_find(struct port *p, const struct port_pair_config *cfg, unsigned i,
		     struct rte_eth_dev_info *info, char *err, size_t err_len)
{
	int rc;

	snprintf(p->name, sizeof(p->name), "%s", cfg->port[i].name);
	snprintf(p->device, sizeof(p->device), "%s", cfg->port[i].key);
	p->mtu = cfg->port[i].mtu;
	if (rte_eth_dev_get_port_by_name(cfg->port[i].device->name, &p->id) != 0)
		return fail(err, err_len, -ENODEV, "port %s: DPDK could not open device %s",
			    p->name, cfg->port[i].device->name);
	rc = rte_eth_dev_info_get(p->id, info);
	if (rc)
		return fail(err, err_len, rc, "port %s: device %s does not answer: %s", p->name,
			    cfg->port[i].device->name, rte_strerror(-rc));
	snprintf(p->driver, sizeof(p->driver), "%s", info->driver_name ? info->driver_name : "");
	caps_read(&p->caps, info);
	if (!cfg->port[i].no_segmentation)
		caps_tso(&p->caps, info, p);
	return 0;
}

static void conf_fill(struct rte_eth_conf *conf, const struct port *p,
		      const struct rte_eth_dev_info *info, bool rss, uint32_t room)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;

	memset(conf, 0, sizeof(*conf));
	if (p->caps.rx_cksum)
		conf->rxmode.offloads |= info->rx_offload_capa & rx;
	if (p->caps.scatter && (p->caps.lro || p->mtu + PORT_L2_MAX > room))
		conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	if (p->caps.lro) {
		conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
		/* A driver that names no bound has none (virtio); ethdev then wants 0. */
		conf->rxmode.max_lro_pkt_size = RTE_MIN(info->max_lro_pkt_size, LRO_MAX);
	}
	if (p->caps.tx_cksum)
		conf->txmode.offloads |= info->tx_offload_capa & tx;
	if (p->caps.tso)
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
	if (p->caps.multi_seg)
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (rss) {
		for (unsigned i = 0; i < sizeof(rss_key); i++)
			rss_key[i] = i & 1 ? 0x5a : 0x6d;
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_key = rss_key;
		conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
		conf->rx_adv_conf.rss_conf.rss_hf = RSS_FIELDS & info->flow_type_rss_offloads;
	}
	/* Software drivers name a length that has no room for a tag, or none at all; they get
	 * theirs by set_mtu. */
	if (info->max_mtu != UINT16_MAX && p->mtu <= info->max_mtu && p->mtu >= info->min_mtu)
		conf->rxmode.mtu = p->mtu;
}

/* Interfaces of the kernel got theirs before (port_device_prepare): net_af_packet calls 1500 the
 * most it can although its frames are larger. A driver that cannot set an MTU is taken at its word
 * that it has none (memif, ring, null, pcap). */
static int mtu_set(struct port *p, const struct port_device *d, char *err, size_t err_len)
{
	uint16_t now = 0;
	int rc;

	if (d->iface[0] || (rte_eth_dev_get_mtu(p->id, &now) == 0 && now == p->mtu))
		return 0;
	rc = rte_eth_dev_set_mtu(p->id, p->mtu);
	if (rc == 0 || rc == -ENOTSUP)
		return 0;
	return fail(err, err_len, rc, "port %s: device %s does not take an MTU of %u: %s", p->name,
		    p->device, p->mtu, rte_strerror(-rc));
}

static int queues_set(struct port *p, const struct rte_eth_dev_info *info, struct rte_mempool *bufs,
		      char *err, size_t err_len)
{
	int socket = rte_eth_dev_socket_id(p->id), rc;
	uint16_t nrx = RX_DESC, ntx = TX_DESC;

	rc = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &nrx, &ntx);
	if (rc)
		return fail(err, err_len, rc, "port %s: no queue size fits: %s", p->name,
			    rte_strerror(-rc));
	for (uint16_t q = 0; q < p->rx_queues; q++) {
		rc = rte_eth_rx_queue_setup(p->id, q, nrx, socket, NULL, bufs);
		if (rc)
			return fail(err, err_len, rc,
				    "port %s: receive queue %u of device %s cannot be set up: %s",
				    p->name, q, p->device, rte_strerror(-rc));
	}
	for (uint16_t q = 0; q < p->tx_queues; q++) {
		rc = rte_eth_tx_queue_setup(p->id, q, ntx, socket, NULL);
		if (rc)
			return fail(err, err_len, rc,
				    "port %s: transmit queue %u of device %s cannot be set up: %s",
				    p->name, q, p->device, rte_strerror(-rc));
	}
	return 0;
}

static int port_start(struct port *p, const struct port_pair *pp,
		      const struct rte_eth_dev_info *info, const struct port_device *d,
		      bool promiscuous, char *err, size_t err_len)
{
	struct rte_eth_conf conf;
	int rc;

	if (p->mtu > info->max_mtu)
		return fail(err, err_len, -EINVAL,
			    "port %s: device %s carries an MTU of %u at most, not %u", p->name,
			    p->device, info->max_mtu, p->mtu);
	conf_fill(&conf, p, info, pp->rss, pp->data_room);
	rc = rte_eth_dev_configure(p->id, p->rx_queues, p->tx_queues, &conf);
	if (rc)
		return fail(err, err_len, rc,
			    "port %s: device %s cannot be configured (MTU %u, %u queues): %s",
			    p->name, p->device, p->mtu, p->rx_queues, rte_strerror(-rc));
	rc = queues_set(p, info, pp->bufs, err, err_len);
	if (rc)
		return rc;
	rc = mtu_set(p, d, err, err_len);
	if (rc)
		return rc;
	rc = rte_eth_dev_start(p->id);
	if (rc)
		return fail(err, err_len, rc, "port %s: device %s does not start: %s", p->name,
			    p->device, rte_strerror(-rc));
	p->started = true;
	if (promiscuous) {
		rc = rte_eth_promiscuous_enable(p->id);
		/* Without it a cable loses the frames of others; drivers that see everything do not
		 * know the switch. */
		if (rc && rc != -ENOTSUP)
			return fail(err, err_len, rc,
				    "port %s: device %s does not receive promiscuously: %s",
				    p->name, p->device, rte_strerror(-rc));
	}
	return 0;
}

/* net_af_xdp of DPDK 22.11 registers so many octets from the pool's beginning as its objects have, though objects do
 * not cross hugepages and so reach further. The kernel drops frames from beyond without a word, and the mempool
 * hands the same buffer out again and again: buffers the kernel does not see are set aside for good. */
static unsigned bufs_out_of_reach(struct rte_mempool *mp)
{
	const struct rte_mempool_memhdr *first = STAILQ_FIRST(&mp->mem_list);
	size_t size = rte_mempool_calc_obj_size(mp->elt_size, mp->flags, NULL);
	const char *begin = first->addr, *end = begin + size * mp->populated_size;
	struct rte_mbuf *good = NULL, *m;
	unsigned n = 0;

	while ((m = rte_mbuf_raw_alloc(mp)) != NULL) {
		const char *obj = (const char *)m - mp->header_size;

		if (obj < begin || obj + size > end) {
			n++;
			continue;
		}
		m->next = good;
		good = m;
	}
	while ((m = good) != NULL) {
		good = m->next;
		m->next = NULL;
		rte_mbuf_raw_free(m);
	}
	return n;
}

static int pair_open(struct port_pair *pp, const struct port_pair_config *cfg, char *err,
		     size_t err_len)
{
	struct rte_eth_dev_info info[2];
	int rc;

	for (unsigned i = 0; i < 2; i++) {
		rc = port_find(&pp->port[i], cfg, i, &info[i], err, err_len);
		if (rc)
			return rc;
	}
	if (pp->port[0].id == pp->port[1].id)
		return fail(err, err_len, -EINVAL, "ports %s and %s are the same device",
			    pp->port[0].name, pp->port[1].name);
	caps_lro(pp, info, cfg);
	pp->rss = rss_possible(&info[0], cfg->workers) && rss_possible(&info[1], cfg->workers);
	pp->own_tx = info[0].max_tx_queues >= cfg->workers && info[1].max_tx_queues >= cfg->workers;
	pp->data_room = data_room(pp, cfg);
	pp->bufs_total = cfg->mbufs;
	pp->bufs = rte_pktmbuf_pool_create("opes_bufs", cfg->mbufs, BUFS_CACHE, 0,
					   pp->data_room + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (!pp->bufs)
		return fail(err, err_len, -rte_errno,
			    "no hugepage memory for %u packet buffers of %u octets (about %u MiB): "
			    "lower limits.mbufs or give more hugepages",
			    cfg->mbufs, pp->data_room,
			    (unsigned)((uint64_t)cfg->mbufs * (pp->data_room + 384) >> 20));
	if (driver_is(&info[0], "net_af_xdp") || driver_is(&info[1], "net_af_xdp"))
		pp->bufs_total -= bufs_out_of_reach(pp->bufs);
	for (unsigned i = 0; i < 2; i++) {
		struct port *p = &pp->port[i];

		p->rx_queues = pp->rss ? cfg->workers : 1;
		p->tx_queues = pp->own_tx ? cfg->workers : 1;
		rc = port_start(p, pp, &info[i], cfg->port[i].device, cfg->port[i].promiscuous, err,
				err_len);
		if (rc)
			return rc;
	}
	return 0;
}

int port_pair_open(struct port_pair *pp, const struct port_pair_config *cfg, char *err,
		   size_t err_len)
{
	int rc;

	memset(pp, 0, sizeof(*pp));
	pp->port[0].id = pp->port[1].id = RTE_MAX_ETHPORTS;
	rc = pair_open(pp, cfg, err, err_len);
	if (rc)
		port_pair_close(pp);
	return rc;
}

void port_pair_close(struct port_pair *pp)
{
	for (unsigned i = 0; i < 2; i++) {
		struct port *p = &pp->port[i];

		if (p->id == RTE_MAX_ETHPORTS)
			continue;
		if (p->started)
			rte_eth_dev_stop(p->id);
		p->started = false;
		rte_eth_dev_close(p->id);
		p->id = RTE_MAX_ETHPORTS;
	}
}
