/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A side's way to the wire: a DPDK port, or one end of a pair of rings (--loopback). What the port does not take stays
 * in a queue here, so that the generator never loses frames by itself; lg_net_room tells TCP to wait.
 *
 * Owner: one thread. A frame given to lg_net_send is the port's, always.
 */
#ifndef LOADGEN_NET_H
#define LOADGEN_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include "loadgen_config.h"

#define LG_BURST 32u
#define LG_TXQ 2048u
#define LG_TXQ_DATA 64u /* data waits while so many frames do */

struct lg_net_stats {
	uint64_t rx_frames, rx_octets, tx_frames, tx_octets;
	uint64_t tx_waits;   /* bursts the port did not take whole */
	uint64_t tx_dropped; /* frames, with LG_TXQ of them waiting */
	uint64_t no_mbuf;
	uint64_t tampered;
};

struct lg_net {
	uint16_t port;
	struct rte_ring *rx_ring, *tx_ring; /* instead of the port */
	struct rte_mempool *pool;
	struct rte_ether_addr mac;
	bool rx_cksum_hw; /* the port's verdict is in ol_flags */
	bool tx_cksum_hw;
	bool eth; /* a port of DPDK is open */
	struct lg_tamper tamper;
	bool tampering;
	uint64_t tamper_state;
	struct rte_mbuf *late; /* put off behind the next frame */
	struct lg_net_stats stats;
	unsigned head, count; /* of queue, which wraps */
	struct rte_mbuf *queue[LG_TXQ];
};

/* Opens both sides. 0 or -errno with one sentence in err. */
int lg_net_open(struct lg_net net[2], const struct lg_config *cfg, char *err, size_t err_len);
/* True when both links are up. */
bool lg_net_up(const struct lg_net net[2]);
void lg_net_close(struct lg_net net[2]);

unsigned lg_net_receive(struct lg_net *n, struct rte_mbuf **pkt);
void lg_net_send(struct lg_net *n, struct rte_mbuf *m);
/* Hands over what waits; true when anything went. */
bool lg_net_flush(struct lg_net *n);

static inline bool lg_net_room(const struct lg_net *n)
{
	return n->count < LG_TXQ_DATA;
}

#endif
