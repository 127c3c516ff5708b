/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of the traffic: headers, checksums, and payload that can be told from any other place. */
#include "path.h"

#include <netinet/in.h>
#include <string.h>
#include "parse/parse_frame.h"

static uint8_t pattern[PATH_PERIOD + 2 * PATH_SEGMENT];

void path_pattern_init(uint32_t seed)
{
	uint64_t x = seed * 2654435761u + 88172645463325252ull;

	for (unsigned i = 0; i < PATH_PERIOD; i++) {
		/* xorshift64 */
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		pattern[i] = (uint8_t)(x >> 24);
	}
	memcpy(pattern + PATH_PERIOD, pattern, sizeof(pattern) - PATH_PERIOD);
}

const uint8_t *path_pattern(uint32_t stream, uint64_t offset)
{
	return pattern + (offset + (uint64_t)stream * 1361) % PATH_PERIOD;
}

void path_head_fill(struct path_head *h, const struct path_ends *e, unsigned side, uint16_t tcp_len)
{
	static const struct rte_ether_addr mac[2] = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}};

	memset(h, 0, sizeof(*h));
	h->eth.src_addr = mac[side];
	h->eth.dst_addr = mac[!side];
	h->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	h->ip.version_ihl = RTE_IPV4_VHL_DEF;
	h->ip.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(h->ip) + tcp_len));
	h->ip.time_to_live = 64;
	h->ip.next_proto_id = IPPROTO_TCP;
	h->ip.src_addr = rte_cpu_to_be_32(side ? e->server : e->client);
	h->ip.dst_addr = rte_cpu_to_be_32(side ? e->client : e->server);
	h->tcp.src_port = rte_cpu_to_be_16(side ? e->server_port : e->client_port);
	h->tcp.dst_port = rte_cpu_to_be_16(side ? e->client_port : e->server_port);
	h->tcp.data_off = sizeof(h->tcp) / 4 << 4;
}

static void mapped(uint8_t *out, uint32_t addr)
{
	rte_be32_t a = rte_cpu_to_be_32(addr);

	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, &a, 4);
}

void path_key(struct flow_key *k, const struct path_ends *e, unsigned side)
{
	memset(k, 0, sizeof(*k));
	mapped(k->src, side ? e->server : e->client);
	mapped(k->dst, side ? e->client : e->server);
	k->sport = rte_cpu_to_be_16(side ? e->server_port : e->client_port);
	k->dport = rte_cpu_to_be_16(side ? e->client_port : e->server_port);
	k->vlan[0] = k->vlan[1] = PARSE_VLAN_NONE;
	k->proto = IPPROTO_TCP;
}

void path_checksum(struct rte_mbuf *m, bool offload)
{
	struct path_head *h = rte_pktmbuf_mtod(m, struct path_head *);

	if (offload) {
		m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		return;
	}
	h->ip.hdr_checksum = 0;
	h->ip.hdr_checksum = rte_ipv4_cksum(&h->ip);
	h->tcp.cksum = 0;
	h->tcp.cksum = rte_ipv4_udptcp_cksum(&h->ip, &h->tcp);
}

const uint8_t *path_flat(const struct rte_mbuf *m, uint8_t *flat, uint32_t *len)
{
	const uint8_t *p;

	*len = rte_pktmbuf_pkt_len(m);
	if (*len > PATH_FRAME_MAX)
		return NULL;
	p = rte_pktmbuf_read(m, 0, *len, flat);
	/* The appliance's frames begin at any octet; struct path_head at even ones. */
	if ((uintptr_t)p & 1)
		p = memcpy(flat, p, *len);
	return p;
}

bool path_checksum_good(const struct rte_mbuf *m, const uint8_t *frame, uint32_t len, bool offload)
{
	const struct path_head *h = (const struct path_head *)frame;
	const uint64_t want = RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;

	if (offload && (m->ol_flags & want) == want)
		return m->l2_len == sizeof(h->eth) && m->l3_len == sizeof(h->ip) &&
		       h->tcp.cksum == rte_ipv4_phdr_cksum(&h->ip, m->ol_flags);
	return rte_ipv4_cksum(&h->ip) == 0 && rte_ipv4_udptcp_cksum(&h->ip, &h->tcp) == 0;
}
