/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port pair: the two ends of the cable the appliance sits in. Set-up of both
 * DPDK ports with what they can do, the pool packets are received into, and
 * sending with software in place of what a port cannot.
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
	bool tx_cksum;	/* fills IPv4 and TCP checksums in on request (RTE_MBUF_F_TX_*) */
	bool rx_cksum;	/* checks them and says so in ol_flags */
	bool multi_seg; /* sends chained mbufs; port_tx joins them where not */
	bool scatter;	/* receives a frame into several mbufs */
	bool indirect;	/* sends mbufs whose bytes lie elsewhere; port_tx copies where not */
};

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

/* One worker's way out of one port. */
struct port_tx {
	const struct port *port;
	struct rte_mempool *bufs;
	uint16_t queue;
	uint16_t count;
	/* Since the owner last took them to publish. frames and octets count what is buffered, too: look after a
	 * flush. */
	uint64_t frames, octets, dropped, no_mbuf;
	struct rte_mbuf *pkt[PORT_TX_BUFFER];
};

void port_tx_init(struct port_tx *tx, const struct port_pair *pp, unsigned port, uint16_t queue);
/* Sends what is buffered; what the port does not take after a few tries is freed and counted. */
void port_tx_flush(struct port_tx *tx);
/* Makes m one that this port can send: the same, a copy (m is freed), or NULL when there is no
 * memory (m is freed and counted). */
struct rte_mbuf *port_tx_fit(struct port_tx *tx, struct rte_mbuf *m);

/* Takes over m, always. Frames leave in the order they were put. */
static inline void port_tx_put(struct port_tx *tx, struct rte_mbuf *m)
{
	const struct port_caps *c = &tx->port->caps;

	if ((m->nb_segs > 1 && !c->multi_seg) || (!c->indirect && !RTE_MBUF_DIRECT(m))) {
		m = port_tx_fit(tx, m);
		if (!m)
			return;
	}
	tx->octets += rte_pktmbuf_pkt_len(m);
	tx->pkt[tx->count++] = m;
	if (tx->count == PORT_TX_BUFFER)
		port_tx_flush(tx);
}

/* Up to n frames from queue. */
static inline uint16_t port_rx(const struct port *p, uint16_t queue, struct rte_mbuf **pkt,
			       uint16_t n)
{
	return rte_eth_rx_burst(p->id, queue, pkt, n);
}

#endif
