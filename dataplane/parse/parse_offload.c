/* SPDX-License-Identifier: BSD-3-Clause */
/* From what a receiving port did to a frame to what a sending one must. */
#include "parse/parse_frame.h"

#include <netinet/in.h>
#include <rte_byteorder.h>

#define TCP_CKSUM_AT 16
#define UDP_CKSUM_AT 6

static uint16_t pseudo_sum(const struct parse_frame *p, uint32_t len)
{
	uint32_t sum = (uint32_t)rte_cpu_to_be_16(p->proto) + rte_cpu_to_be_16((uint16_t)len);

	/* Mapped IPv4 addresses: the last four octets. */
	sum += p->is_v6 ? parse_sum(p->key.src, 16) : parse_sum(p->key.src + 12, 4);
	sum += p->is_v6 ? parse_sum(p->key.dst, 16) : parse_sum(p->key.dst + 12, 4);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

/* Of each segment a large frame was made of, as far as is known; what is sent is not longer than mtu. 0: m is one. */
static uint16_t segment_size(const struct parse_frame *p, const struct rte_mbuf *m, uint32_t mtu)
{
	uint32_t room = mtu - p->l3_len - p->l4_len;
	uint32_t was = m->ol_flags & (RTE_MBUF_F_RX_LRO | RTE_MBUF_F_TX_TCP_SEG) ? m->tso_segsz : 0;

	if (was == 0 || was > room)
		was = room;
	return p->payload_len > was ? (uint16_t)was : 0;
}

bool parse_offload(const struct parse_frame *p, struct rte_mbuf *m, uint32_t mtu)
{
	bool bare = (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
	uint64_t flags = p->is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
	uint16_t size = 0, sum;

	if (rte_pktmbuf_data_len(m) < p->payload_off || p->is_fragment || p->is_routed)
		return false;
	if (p->verdict == PARSE_TCP && p->pad_len == 0 && p->l3_len + p->l4_len < mtu)
		size = segment_size(p, m, mtu);
	if (size) {
		flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | (p->is_v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM);
	} else if (!bare) {
		return false;
	} else if (p->verdict == PARSE_TCP) {
		flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	} else if (p->proto == IPPROTO_UDP && p->l4_len == 8 && p->verdict == PARSE_OTHER) {
		flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	} else {
		return false;
	}
	sum = pseudo_sum(p, size ? 0 : p->frame_len - p->l4_off);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, p->l4_off + (p->proto == IPPROTO_UDP ? UDP_CKSUM_AT : TCP_CKSUM_AT)),
	       &sum, 2);
	m->tx_offload = rte_mbuf_tx_offload(p->l2_len, p->l3_len, p->l4_len, size, 0, 0, 0);
	m->ol_flags |= flags;
	return size != 0;
}
