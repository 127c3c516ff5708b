/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port pair: the two ends of the cable the appliance sits in. Set-up of both
 * DPDK ports with what they can do, the pool packets are received into, and
 * sending with software in place of what a port cannot.
 *
 * A frame to send may ask for work with RTE_MBUF_F_TX_*: l2_len, l3_len and l4_len are set then, and IPV4 or IPV6.
 *   TCP_CKSUM, UDP_CKSUM  the field holds the sum of the pseudo header, as DPDK wants it
 *   IP_CKSUM              anything may stand in the field
 *   TCP_SEG               tso_segsz is set; the checksum field holds the sum of the pseudo header without its length.
 *                         Implies TCP_CKSUM, and IP_CKSUM over IPv4
 * INV-PORT-1  what the port does not do is done in software: no frame leaves with a request nobody heeds.
 * INV-PORT-2  no frame cut from a larger one is longer on the wire than the port's MTU allows.
 *
 * Owner: port_pair_* by the main thread before workers start and after they
 * end. port_rx and struct port_tx by one worker each, for its queue.
 */
#ifndef PORT_PORT_H
#define PORT_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include "port/port_device.h"

#define PORT_BURST 64
#define PORT_TX_BUFFER 128

/* What the hardware (or driver) does by itself. Where a flag is false, software has to. */
struct port_caps {
	bool tx_cksum;	/* fills TCP checksums in on request (RTE_MBUF_F_TX_*) */
	bool tx_ip_cksum;  /* IPv4's */
	bool tx_udp_cksum; /* UDP's */
	bool rx_cksum;	/* checks TCP's, and IPv4's where it can, and says so in ol_flags */
	bool multi_seg; /* sends chained mbufs; port_tx joins them where not */
	bool scatter;	/* receives a frame into several mbufs */
	bool indirect;	/* sends mbufs whose bytes lie elsewhere; port_tx copies where not */
	bool tso;	/* cuts TCP over IPv4 into segments on request (RTE_MBUF_F_TX_TCP_SEG) */
	bool tso6;	/* over IPv6 */
	bool lro;	/* merges received segments: frames of up to 64 KiB, in many mbufs */
	bool even; /* its checksums are right only where no mbuf of a chain but the last is of odd length */
	uint16_t tx_segs; /* mbufs of a frame to be cut at most */
	uint16_t tso_frame; /* frames after cutting, octets with Ethernet header at most; 0: as the MTU says */
};

#define PORT_TSO_SEGMENTS 64 /* a frame is cut into at most */
#define PORT_TSO_PAYLOAD 65452u /* octets in a frame to be cut at most: with headers and tags below 64 KiB */

struct port {
	uint16_t id; /* of DPDK */
	uint16_t mtu;
	uint16_t rx_queues, tx_queues;
	struct port_caps caps;
	char name[32]; /* inside, outside */
	char device[128];
	char driver[32];
	bool started;
};

struct port_pair {
	struct port port[2];
	struct rte_mempool *bufs; /* direct mbufs, for both ports and everything generated */
	uint32_t bufs_total;
	uint32_t data_room; /* octets of a frame one mbuf holds */
	/* Hardware spreads flows over the workers, both directions of one to the same. When false,
	 * worker 0 receives everything from queue 0 and hands frames to their owners. */
	bool rss;
	/* Every worker has its own transmit queue on both ports. When false, only worker 0 may
	 * send. */
	bool own_tx;
};

struct port_pair_config {
	struct {
		const char *name;
		const char *key; /* `device` as configured */
		const struct port_device *device;
		uint16_t mtu;
		bool promiscuous;
		bool no_segmentation; /* neither TSO nor LRO, whatever the port can */
	} port[2];
	unsigned workers;
	uint32_t mbufs; /* per port pair */
};

/* After rte_eal_init. Configures and starts both ports. 0 or -errno with one sentence in err; on
 * failure nothing is left running. */
int port_pair_open(struct port_pair *pp, const struct port_pair_config *cfg, char *err,
		   size_t err_len);
/* Stops and closes both ports. The pool is left to the end of the process: packets may still be
 * referenced. */
void port_pair_close(struct port_pair *pp);

/* Largest IP packet of what the port is to cut. */
static inline uint16_t port_segment_max(const struct port *p)
{
	return p->caps.tso && p->caps.tso_frame ? (uint16_t)(p->caps.tso_frame - RTE_ETHER_HDR_LEN) : p->mtu;
}

/* One worker's way out of one port. */
struct port_tx {
	const struct port *port;
	struct rte_mempool *bufs;
	uint16_t queue;
	uint16_t count;
	/* Since the owner last took them to publish. frames and octets count what is buffered, too: look after a
	 * flush. */
	uint64_t frames, octets, dropped, no_mbuf;
	uint64_t tso; /* of frames: those the port cuts */
	uint64_t cut; /* large frames cut here */
	uint64_t care; /* requests (RTE_MBUF_F_TX_*) that go through port_tx_offload */
	bool prepare; /* something buffered has to go through rte_eth_tx_prepare */
	struct rte_mbuf *pkt[PORT_TX_BUFFER];
};

/* The requests that go through port_tx_offload. */
uint64_t port_tx_care(const struct port_caps *c);
void port_tx_init(struct port_tx *tx, const struct port_pair *pp, unsigned port, uint16_t queue);
/* Sends what is buffered; what the port does not take after a few tries is freed and counted. */
void port_tx_flush(struct port_tx *tx);
/* Makes m one that this port can send: the same, a copy (m is freed), or NULL when there is no
 * memory (m is freed and counted). */
struct rte_mbuf *port_tx_fit(struct port_tx *tx, struct rte_mbuf *m);

/* Does what a frame asks for and the port does not, or readies the port for it. m, or NULL when it has been sent in
 * pieces (port_tx_append) or could not be. port_gso.c */
struct rte_mbuf *port_tx_offload(struct port_tx *tx, struct rte_mbuf *m);

/* For this folder: takes over m, which asks for nothing the port does not do. */
static inline void port_tx_append(struct port_tx *tx, struct rte_mbuf *m)
{
	tx->octets += rte_pktmbuf_pkt_len(m);
	tx->pkt[tx->count++] = m;
	if (tx->count == PORT_TX_BUFFER)
		port_tx_flush(tx);
}

/* Takes over m, always. Frames leave in the order they were put. */
static inline void port_tx_put(struct port_tx *tx, struct rte_mbuf *m)
{
	const struct port_caps *c = &tx->port->caps;

	if (unlikely(m->ol_flags & tx->care)) {
		m = port_tx_offload(tx, m);
		if (!m)
			return;
	}
	if ((m->nb_segs > 1 && !c->multi_seg) || (!c->indirect && !RTE_MBUF_DIRECT(m))) {
		m = port_tx_fit(tx, m);
		if (!m)
			return;
	}
	port_tx_append(tx, m);
}

/* Up to n frames from queue. */
static inline uint16_t port_rx(const struct port *p, uint16_t queue, struct rte_mbuf **pkt,
			       uint16_t n)
{
	return rte_eth_rx_burst(p->id, queue, pkt, n);
}

#endif
