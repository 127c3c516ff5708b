/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checksums of parsed frames. DPDK's helpers take the pseudo header's protocol
 * and length from the IP header and sum up to the end of the mbuf; with IPv6
 * extension headers and with Ethernet padding both are wrong, so the pseudo
 * header is summed here from what the parser found. Its sum over segments cuts
 * the carry off before it swaps a segment that begins at an odd offset.
 */
#include "parse/parse_frame.h"

#include <rte_byteorder.h>
#include <rte_mbuf.h>

static uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/* Eight octets a step: the sum of 16-bit words is also that of 32-bit words, folded. */
static uint16_t sum_octets(const uint8_t *p, uint32_t len)
{
	uint64_t a = 0, b = 0, v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		a += (uint32_t)v;
		b += v >> 32;
	}
	if (len != 0) {
		v = 0;
		memcpy(&v, p, len);
		a += (uint32_t)v;
		b += v >> 32;
	}
	return fold(a + b);
}

bool parse_sum_mbuf(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint16_t *sum)
{
	uint64_t total = 0;
	uint32_t done = 0;

	for (; m != NULL && done < len; m = m->next) {
		uint32_t here = rte_pktmbuf_data_len(m), n;
		uint16_t part;

		if (off >= here) {
			off -= here;
			continue;
		}
		n = here - off < len - done ? here - off : len - done;
		part = sum_octets(rte_pktmbuf_mtod_offset(m, const uint8_t *, off), n);
		/* A piece that begins at an odd place has its octets in the other halves. */
		total += done & 1 ? rte_bswap16(part) : part;
		done += n;
		off = 0;
	}
	*sum = fold(total);
	return done == len;
}

/* Over pseudo header and segment. */
static bool sum_tcp(const struct parse_frame *p, const struct rte_mbuf *m, uint16_t *out)
{
	uint32_t len = p->frame_len - p->l4_off;
	uint32_t skip = p->is_v6 ? 0 : 12;
	uint16_t raw;

	if (!parse_sum_mbuf(m, p->l4_off, len, &raw))
		return false;
	/* The length is below 65536 on Ethernet: the upper half of IPv6's 32-bit field adds 0. */
	*out = fold((uint64_t)raw + sum_octets(p->key.src + skip, 16 - skip) +
		    sum_octets(p->key.dst + skip, 16 - skip) + rte_cpu_to_be_16(p->proto) +
		    rte_cpu_to_be_16((uint16_t)len));
	return true;
}

bool parse_ip_checksum_good(const struct parse_frame *p, const struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l2_len);

	if (p->is_v6 || flags == RTE_MBUF_F_RX_IP_CKSUM_GOOD ||
	    flags == RTE_MBUF_F_RX_IP_CKSUM_NONE)
		return true;
	/* BAD is calculated again: some ports set it for what they cannot judge. */
	return sum_octets(ip, p->l3_len) == 0xffff;
}

bool parse_tcp_checksum_good(const struct parse_frame *p, const struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint16_t sum;

	/* NONE: the field holds no checksum, but the sender on this host vouches for the data. */
	if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD || flags == RTE_MBUF_F_RX_L4_CKSUM_NONE)
		return true;
	return sum_tcp(p, m, &sum) && sum == 0xffff;
}

void parse_checksum_set(const struct parse_frame *p, struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l2_len);
	uint8_t *tcp = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l4_off);
	uint16_t sum;

	if (!p->is_v6) {
		memset(ip + 10, 0, 2);
		sum = (uint16_t)~sum_octets(ip, p->l3_len);
		memcpy(ip + 10, &sum, 2);
	}
	memset(tcp + 16, 0, 2);
	if (sum_tcp(p, m, &sum)) {
		sum = (uint16_t)~sum;
		memcpy(tcp + 16, &sum, 2);
	}
}
