/* SPDX-License-Identifier: BSD-3-Clause */
#include "port/port.h"

#include <string.h>
#include <rte_pause.h>

/* A burst that a port refuses is offered again a few times: software ports take frames in steps.
 * After that they are dropped, as a full switch port would. */
#define TX_TRIES 4

void port_tx_init(struct port_tx *tx, const struct port_pair *pp, unsigned port, uint16_t queue)
{
	memset(tx, 0, sizeof(*tx));
	tx->port = &pp->port[port];
	tx->bufs = pp->bufs;
	tx->queue = queue;
	tx->care = port_tx_care(&pp->port[port].caps);
}

/* What the port wants done to frames it will cut. One it will not have goes; the others close up. Returns their
 * number. */
static uint16_t prepare(struct port_tx *tx, uint16_t n)
{
	uint16_t good = 0;

	tx->prepare = false;
	for (;;) {
		good += rte_eth_tx_prepare(tx->port->id, tx->queue, tx->pkt + good, n - good);
		if (good >= n)
			return n;
		tx->octets -= rte_pktmbuf_pkt_len(tx->pkt[good]);
		tx->dropped++;
		rte_pktmbuf_free(tx->pkt[good]);
		memmove(tx->pkt + good, tx->pkt + good + 1, (size_t)(n - good - 1) * sizeof(tx->pkt[0]));
		n--;
	}
}

void port_tx_flush(struct port_tx *tx)
{
	uint16_t sent = 0, n = tx->count;

	if (n == 0)
		return;
	if (tx->prepare)
		n = prepare(tx, n);
	for (int tries = 0; sent < n && tries < TX_TRIES; tries++) {
		uint16_t k = rte_eth_tx_burst(tx->port->id, tx->queue, tx->pkt + sent, n - sent);

		sent += k;
		if (k == 0)
			rte_pause();
	}
	tx->frames += sent;
	if (unlikely(sent < n)) {
		for (uint16_t i = sent; i < n; i++)
			tx->octets -= rte_pktmbuf_pkt_len(tx->pkt[i]);
		tx->dropped += n - sent;
		rte_pktmbuf_free_bulk(tx->pkt + sent, n - sent);
	}
	tx->count = 0;
}

struct rte_mbuf *port_tx_fit(struct port_tx *tx, struct rte_mbuf *m)
{
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct rte_mbuf *copy;

	/* The usual case: headers of ours with room behind them, payload by reference. */
	if (m->nb_segs > 1 && RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 &&
	    rte_pktmbuf_tailroom(m) >= len - rte_pktmbuf_data_len(m)) {
		if (rte_pktmbuf_linearize(m) == 0)
			return m;
	}
	copy = rte_pktmbuf_alloc(tx->bufs);
	if (!copy || rte_pktmbuf_tailroom(copy) < len) {
		rte_pktmbuf_free(copy);
		rte_pktmbuf_free(m);
		tx->no_mbuf++;
		return NULL;
	}
	if (rte_pktmbuf_read(m, 0, len, rte_pktmbuf_mtod(copy, void *)) !=
	    rte_pktmbuf_mtod(copy, void *)) {
		/* One segment: read gave a pointer into it instead of copying. */
		memcpy(rte_pktmbuf_mtod(copy, void *), rte_pktmbuf_mtod(m, void *), len);
	}
	copy->data_len = len;
	copy->pkt_len = len;
	copy->ol_flags = m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
	copy->tx_offload = m->tx_offload;
	copy->vlan_tci = m->vlan_tci;
	copy->vlan_tci_outer = m->vlan_tci_outer;
	rte_pktmbuf_free(m);
	return copy;
}
