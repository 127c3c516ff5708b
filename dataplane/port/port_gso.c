/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a frame asks for and its port does not do: checksums, and cutting a large frame into segments. rte_gso of
 * DPDK 22.11 knows neither IPv6 nor extension headers, fills in no checksums and needs ports that send chains; so
 * this is our own, by copying. It is the way of frames that were not meant for it - a port without TSO makes halves
 * send single segments, and no port merges received ones for it - and need not be fast.
 */
#include "port/port.h"

#include <netinet/in.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define HEADERS_MAX 256u /* octets: Ethernet, tags, IP with its options or extensions, TCP */
#define L4_CKSUM(m) ((m)->ol_flags & RTE_MBUF_F_TX_L4_MASK)

uint64_t port_tx_care(const struct port_caps *c)
{
	uint64_t care = RTE_MBUF_F_TX_TCP_SEG;

	if (!c->tx_cksum || c->even)
		care |= RTE_MBUF_F_TX_L4_MASK;
	if (!c->tx_udp_cksum)
		care |= RTE_MBUF_F_TX_UDP_CKSUM & ~RTE_MBUF_F_TX_TCP_CKSUM;
	if (!c->tx_ip_cksum)
		care |= RTE_MBUF_F_TX_IP_CKSUM;
	return care;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/* A place in a chain. */
struct cursor {
	const struct rte_mbuf *m;
	uint32_t off;
};

/* Sums n octets, copied to `to` on the way unless that is NULL. odd: an odd number went before. */
static uint64_t sum_on(struct cursor *c, uint8_t *to, uint32_t n, bool odd)
{
	uint64_t sum = 0;

	while (n && c->m) {
		uint32_t here = RTE_MIN(n, rte_pktmbuf_data_len(c->m) - c->off);
		const uint8_t *from = rte_pktmbuf_mtod_offset(c->m, const uint8_t *, c->off);
		uint16_t part;

		if (!here) {
			c->m = c->m->next;
			c->off = 0;
			continue;
		}
		if (to) {
			memcpy(to, from, here);
			to += here;
		}
		part = rte_raw_cksum(from, here);
		sum += odd ? rte_bswap16(part) : part;
		odd ^= here & 1;
		c->off += here;
		n -= here;
	}
	return sum;
}

/* Of the pseudo header of an upper layer of len octets. The protocol is the caller's: with extension headers it is not
 * the one in the IP header. */
static uint64_t sum_pseudo(const uint8_t *ip, bool v6, uint8_t proto, uint32_t len)
{
	uint64_t sum = rte_cpu_to_be_16(proto) + (uint64_t)rte_cpu_to_be_16((uint16_t)len);

	return sum + (v6 ? rte_raw_cksum(ip + 8, 32) : rte_raw_cksum(ip + 12, 8));
}

static void ip_cksum_fill(uint8_t *ip, uint32_t len)
{
	struct rte_ipv4_hdr *h = (struct rte_ipv4_hdr *)ip;

	h->hdr_checksum = 0;
	h->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, len);
}

/* The headers lie in the first mbuf, which may be written to. */
static bool headers_here(const struct rte_mbuf *m, uint32_t len)
{
	return rte_pktmbuf_data_len(m) >= len && rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m);
}

/* Is the port one that sums m wrongly (port_caps.even)? */
static bool summed_wrongly(const struct port_caps *c, const struct rte_mbuf *m)
{
	uint32_t before = m->l2_len + m->l3_len;

	if (!c->even || ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && (m->tso_segsz & 1)))
		return c->even;
	for (; m->next; m = m->next, before = 0)
		if ((rte_pktmbuf_data_len(m) - before) & 1)
			return true;
	return false;
}

/* Fills in what the port does not. */
static struct rte_mbuf *cksum_fill(struct port_tx *tx, struct rte_mbuf *m)
{
	const struct port_caps *c = &tx->port->caps;
	bool wrongly = summed_wrongly(c, m);
	bool udp = L4_CKSUM(m) == RTE_MBUF_F_TX_UDP_CKSUM, v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6;
	uint32_t l4 = m->l2_len + m->l3_len, at = l4 + (udp ? 6 : 16), len = m->pkt_len - l4;
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, m->l2_len);
	struct cursor from = {m, l4};
	uint16_t sum;

	if (c->even && !wrongly)
		return m;
	/* A frame of ours that is with a port cannot ask: caps are known when it is made; nor is it a chain. */
	if (unlikely(!headers_here(m, at + 2))) {
		rte_pktmbuf_free(m);
		tx->dropped++;
		return NULL;
	}
	if (L4_CKSUM(m) && (wrongly || !(udp ? c->tx_udp_cksum : c->tx_cksum))) {
		uint32_t ip_len = v6 ? 40u + rte_be_to_cpu_16(((struct rte_ipv6_hdr *)ip)->payload_len)
				     : rte_be_to_cpu_16(((struct rte_ipv4_hdr *)ip)->total_length);

		if (ip_len >= m->l3_len && ip_len - m->l3_len <= len) /* padding is not summed */
			len = ip_len - m->l3_len;
		memset(ip + m->l3_len + (udp ? 6 : 16), 0, 2);
		sum = (uint16_t)~fold(sum_on(&from, NULL, len, false) +
				      sum_pseudo(ip, v6, udp ? IPPROTO_UDP : IPPROTO_TCP, len));
		if (udp && !sum) /* 0 says that there is none */
			sum = 0xffff;
		memcpy(ip + m->l3_len + (udp ? 6 : 16), &sum, 2);
		m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	}
	if ((m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) && !c->tx_ip_cksum) {
		ip_cksum_fill(ip, m->l3_len);
		m->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
	}
	return m;
}

/* --- cutting ------------------------------------------------------------------------------------------------- */

struct cut {
	struct port_tx *tx;
	const uint8_t *head; /* of the large frame */
	uint64_t flags;      /* its requests */
	uint32_t l2, l3, l4;
	uint32_t seq;
	uint16_t id, n; /* IPv4 identification of the first; segments so far */
	bool v6;
};

/* Headers of one segment of len octets, sums left out. */
static void head_put(const struct cut *c, uint8_t *to, uint32_t off, uint32_t len, bool first, bool last)
{
	uint8_t *ip = to + c->l2;
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + c->l3);

	memcpy(to, c->head, c->l2 + c->l3 + c->l4);
	if (c->v6) {
		((struct rte_ipv6_hdr *)ip)->payload_len = rte_cpu_to_be_16((uint16_t)(c->l3 - 40 + c->l4 + len));
	} else {
		((struct rte_ipv4_hdr *)ip)->total_length = rte_cpu_to_be_16((uint16_t)(c->l3 + c->l4 + len));
		((struct rte_ipv4_hdr *)ip)->packet_id = rte_cpu_to_be_16((uint16_t)(c->id + c->n));
	}
	tcp->sent_seq = rte_cpu_to_be_32(c->seq + off);
	if (!first)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG; /* RFC 3168 6.1.2: once */
	if (!last)
		tcp->tcp_flags &= (uint8_t)~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	tcp->cksum = 0;
}

/* One segment in as many mbufs as it takes; NULL: there are none. */
static struct rte_mbuf *segment_make(struct cut *c, struct cursor *from, uint32_t off, uint32_t len, bool last)
{
	const struct port_caps *caps = &c->tx->port->caps;
	uint32_t heads = c->l2 + c->l3 + c->l4, left = len;
	struct rte_mbuf *m = rte_pktmbuf_alloc(c->tx->bufs), *tail = m;
	uint64_t sum = 0;
	uint8_t *head;
	uint16_t tcp_sum;

	if (!m)
		return NULL;
	head = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)heads);
	if (!head)
		goto fail;
	head_put(c, head, off, len, c->n == 0, last);
	while (left) {
		uint32_t n = RTE_MIN(left, (uint32_t)rte_pktmbuf_tailroom(tail));

		if (!n) {
			if (!caps->multi_seg || !(tail->next = rte_pktmbuf_alloc(c->tx->bufs)))
				goto fail;
			tail = tail->next;
			m->nb_segs++;
			continue;
		}
		sum += sum_on(from, rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len), n, (len - left) & 1);
		tail->data_len = (uint16_t)(tail->data_len + n);
		m->pkt_len += n;
		left -= n;
	}
	m->l2_len = c->l2;
	m->l3_len = c->l3;
	m->l4_len = c->l4;
	tcp_sum = fold(sum_pseudo(head + c->l2, c->v6, IPPROTO_TCP, c->l4 + len));
	if (caps->tx_cksum)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (c->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	else
		tcp_sum = (uint16_t)~fold(sum + tcp_sum + rte_raw_cksum(head + c->l2 + c->l3, c->l4));
	((struct rte_tcp_hdr *)(head + c->l2 + c->l3))->cksum = tcp_sum;
	if (!c->v6)
		ip_cksum_fill(head + c->l2, c->l3);
	return m;
fail:
	rte_pktmbuf_free(m);
	return NULL;
}

/* Octets of payload of each segment, so that none is longer than the MTU. 0: the headers alone are. */
static uint32_t segment_size(const struct port_tx *tx, const struct rte_mbuf *m)
{
	uint32_t heads = m->l3_len + m->l4_len, mtu = tx->port->mtu;

	if (heads >= mtu)
		return 0;
	return m->tso_segsz ? RTE_MIN((uint32_t)m->tso_segsz, mtu - heads) : mtu - heads;
}

/* Sends m, which is freed, in segments. */
static void cut_send(struct port_tx *tx, struct rte_mbuf *m)
{
	struct cut c = {.tx = tx, .l2 = m->l2_len, .l3 = m->l3_len, .l4 = m->l4_len, .v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6};
	uint32_t heads = c.l2 + c.l3 + c.l4, size = segment_size(tx, m), total = m->pkt_len - heads;
	struct cursor from = {m, heads};

	if (heads > HEADERS_MAX || rte_pktmbuf_data_len(m) < heads || !size) {
		rte_pktmbuf_free(m);
		tx->dropped++;
		return;
	}
	c.head = rte_pktmbuf_mtod(m, const uint8_t *);
	c.seq = rte_be_to_cpu_32(((const struct rte_tcp_hdr *)(c.head + c.l2 + c.l3))->sent_seq);
	c.id = c.v6 ? 0 : rte_be_to_cpu_16(((const struct rte_ipv4_hdr *)(c.head + c.l2))->packet_id);
	for (uint32_t off = 0; off < total || c.n == 0; off += size, c.n++) {
		uint32_t len = RTE_MIN(size, total - off);
		struct rte_mbuf *s = segment_make(&c, &from, off, len, off + len == total);

		if (!s) { /* the ends send it again */
			tx->no_mbuf++;
			break;
		}
		port_tx_append(tx, s);
	}
	tx->cut++;
	rte_pktmbuf_free(m);
}

/* Can the port cut m? */
static bool port_cuts(const struct port_tx *tx, const struct rte_mbuf *m)
{
	const struct port_caps *c = &tx->port->caps;
	uint32_t heads = m->l2_len + m->l3_len + m->l4_len, size = m->tso_segsz;

	return (m->ol_flags & RTE_MBUF_F_TX_IPV6 ? c->tso6 : c->tso) && !summed_wrongly(c, m) && m->nb_segs <= c->tx_segs && size &&
	       size <= segment_size(tx, m) && (!c->tso_frame || heads + size <= c->tso_frame) &&
	       m->pkt_len - heads <= size * PORT_TSO_SEGMENTS;
}

struct rte_mbuf *port_tx_offload(struct port_tx *tx, struct rte_mbuf *m)
{
	if (!(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		return cksum_fill(tx, m);
	if (!port_cuts(tx, m)) {
		cut_send(tx, m);
		return NULL;
	}
	/* virtio cuts, but leaves the IPv4 header of the whole to us. */
	if ((m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) && !tx->port->caps.tx_ip_cksum) {
		if (headers_here(m, m->l2_len + m->l3_len))
			ip_cksum_fill(rte_pktmbuf_mtod_offset(m, uint8_t *, m->l2_len), m->l3_len);
		m->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
	}
	tx->tso++;
	tx->prepare = true;
	return m;
}
