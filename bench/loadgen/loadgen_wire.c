/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include "loadgen_pattern.h"

#define OPT_MSS 2
#define OPT_WSCALE 3
#define TTL 64

void lg_wire_init(struct lg_wire *w, const struct lg_config *cfg, bool server)
{
	memset(w, 0, sizeof(*w));
	w->cfg = cfg;
	w->server = server;
	w->own_base = lg_ip_low(cfg->ip[server], cfg->v6);
	w->peer_base = lg_ip_low(cfg->ip[!server], cfg->v6);
}

uint64_t lg_wire_pseudo(bool v6, const void *ip_header, uint32_t l4_len, uint8_t proto)
{
	const uint8_t *ip = ip_header;

	/* Addresses lie side by side in both; length and protocol as two words in network order. */
	return lg_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8) + rte_cpu_to_be_32(l4_len) +
	       rte_cpu_to_be_16(proto);
}

static void options_read(struct lg_segment *s, const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p != 0) {
		if (*p == 1) {
			p++;
			continue;
		}
		if (end - p < 2 || p[1] < 2 || p[1] > end - p)
			return;
		if (p[0] == OPT_MSS && p[1] == 4)
			s->mss = (uint16_t)(p[2] << 8 | p[3]);
		else if (p[0] == OPT_WSCALE && p[1] == 3)
			s->wscale = p[2] > 14 ? 14 : (int8_t)p[2];
		p += p[1];
	}
}

/* Digits of the tuple, and whether all of them are ours. */
static bool tuple_of(const struct lg_wire *w, uint32_t own, uint32_t peer, uint16_t own_port,
		     uint16_t peer_port, uint32_t *tuple)
{
	const struct lg_config *cfg = w->cfg;
	uint32_t server = (w->server ? own : peer) - (w->server ? w->own_base : w->peer_base);
	uint32_t client = (w->server ? peer : own) - (w->server ? w->peer_base : w->own_base);
	uint32_t port = (uint32_t)(w->server ? peer_port : own_port) - cfg->client_port;

	if ((w->server ? own_port : peer_port) != cfg->server_port || server >= cfg->ips[1] ||
	    client >= cfg->ips[0] || port >= cfg->client_ports)
		return false;
	*tuple = (server * cfg->ips[0] + client) * cfg->client_ports + port;
	return true;
}

struct ip_part {
	const uint8_t *l4;
	uint32_t l4_len, own, peer;
	enum lg_parse verdict;
};

static struct ip_part parse4(const struct lg_wire *w, const uint8_t *ip, uint32_t room, uint64_t ol)
{
	struct ip_part r = {.verdict = LG_P_OTHER};
	uint32_t ihl = (ip[0] & 15) * 4u, total = (uint32_t)ip[2] << 8 | ip[3];

	if (ip[0] >> 4 != 4 || ip[9] != IPPROTO_TCP || (ip[6] & 0x3f) || ip[7])
		return r;
	r.verdict = LG_P_MALFORMED;
	if (ihl < 20 || total < ihl + 20 || total > room)
		return r;
	r.verdict = LG_P_CHECKSUM;
	if (w->rx_cksum_hw) {
		if ((ol & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD)
			return r;
	} else if (w->rx_cksum_sw && lg_sum_fold(lg_sum(ip, ihl)) != 0) {
		return r;
	}
	r.l4 = ip + ihl;
	r.l4_len = total - ihl;
	r.peer = lg_ip_low(ip + 12, false);
	r.own = lg_ip_low(ip + 16, false);
	r.verdict = LG_P_TCP;
	return r;
}

static struct ip_part parse6(const struct lg_wire *w, const uint8_t *ip, uint32_t room)
{
	struct ip_part r = {.verdict = LG_P_OTHER};
	uint32_t len = (uint32_t)ip[4] << 8 | ip[5];

	if (ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP ||
	    memcmp(ip + 8, w->cfg->ip[!w->server], 12) != 0 ||
	    memcmp(ip + 24, w->cfg->ip[w->server], 12) != 0)
		return r;
	r.verdict = LG_P_MALFORMED;
	if (len < 20 || 40 + len > room)
		return r;
	r.l4 = ip + 40;
	r.l4_len = len;
	r.peer = lg_ip_low(ip + 20, false);
	r.own = lg_ip_low(ip + 36, false);
	r.verdict = LG_P_TCP;
	return r;
}

static bool tcp_sum_bad(const struct lg_wire *w, const uint8_t *ip, const struct ip_part *p,
			uint64_t ol)
{
	uint64_t verdict = ol & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (w->rx_cksum_hw && verdict == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return false;
	if (w->rx_cksum_hw && verdict == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return true;
	return w->rx_cksum_sw && lg_sum_fold(lg_wire_pseudo(w->cfg->v6, ip, p->l4_len, IPPROTO_TCP) +
					     lg_sum(p->l4, p->l4_len)) != 0;
}

enum lg_parse lg_wire_parse(const struct lg_wire *w, struct rte_mbuf *m, struct lg_segment *s)
{
	const uint8_t *f, *ip, *tcp;
	uint32_t off, len;
	struct ip_part p;
	uint16_t type;

	if (m->nb_segs > 1 && rte_pktmbuf_linearize(m) != 0)
		return LG_P_MALFORMED;
	f = rte_pktmbuf_mtod(m, const uint8_t *);
	len = rte_pktmbuf_data_len(m);
	if (len < 14 + 40)
		return LG_P_OTHER;
	type = (uint16_t)(f[12] << 8 | f[13]);
	ip = f + 14;
	if (type == RTE_ETHER_TYPE_IPV4 && !w->cfg->v6)
		p = parse4(w, ip, len - 14, m->ol_flags);
	else if (type == RTE_ETHER_TYPE_IPV6 && w->cfg->v6 && len >= 14 + 60)
		p = parse6(w, ip, len - 14);
	else
		return LG_P_OTHER;
	if (p.verdict != LG_P_TCP)
		return p.verdict;
	tcp = p.l4;
	off = (tcp[12] >> 4) * 4u;
	if (off < 20 || off > p.l4_len)
		return LG_P_MALFORMED;
	if (!tuple_of(w, p.own, p.peer, (uint16_t)(tcp[2] << 8 | tcp[3]),
		      (uint16_t)(tcp[0] << 8 | tcp[1]), &s->tuple))
		return LG_P_OTHER;
	if (tcp_sum_bad(w, ip, &p, m->ol_flags))
		return LG_P_CHECKSUM;
	s->seq = (uint32_t)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7];
	s->ack = (uint32_t)tcp[8] << 24 | tcp[9] << 16 | tcp[10] << 8 | tcp[11];
	s->flags = tcp[13];
	s->wnd = (uint16_t)(tcp[14] << 8 | tcp[15]);
	s->mss = 0;
	s->wscale = -1;
	if (s->flags & LG_SYN)
		options_read(s, tcp + 20, tcp + off);
	s->data = tcp + off;
	s->len = p.l4_len - off;
	return LG_P_TCP;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	v = rte_cpu_to_be_32(v);
	memcpy(p, &v, 4);
}

static void ip_build(struct lg_wire *w, uint8_t *ip, uint32_t tuple, uint32_t l4_len)
{
	const struct lg_config *cfg = w->cfg;
	uint32_t host = tuple / cfg->client_ports, low[2];

	low[0] = host % cfg->ips[0] + lg_ip_low(cfg->ip[0], cfg->v6);
	low[1] = host / cfg->ips[0] + lg_ip_low(cfg->ip[1], cfg->v6);
	if (cfg->v6) {
		put32(ip, 6u << 28);
		put16(ip + 4, l4_len);
		ip[6] = IPPROTO_TCP;
		ip[7] = TTL;
		memcpy(ip + 8, cfg->ip[w->server], 12);
		memcpy(ip + 24, cfg->ip[!w->server], 12);
		put32(ip + 20, low[w->server]);
		put32(ip + 36, low[!w->server]);
		return;
	}
	ip[0] = 0x45;
	ip[1] = 0;
	put16(ip + 2, 20 + l4_len);
	put16(ip + 4, w->ip_id++);
	put16(ip + 6, 0x4000);
	ip[8] = TTL;
	ip[9] = IPPROTO_TCP;
	put16(ip + 10, 0);
	put32(ip + 12, low[w->server]);
	put32(ip + 16, low[!w->server]);
}

static void tcp_build(const struct lg_wire *w, uint8_t *tcp, const struct lg_header *h)
{
	uint16_t client = w->cfg->client_port + h->tuple % w->cfg->client_ports;
	unsigned len = 20;

	put16(tcp, w->server ? w->cfg->server_port : client);
	put16(tcp + 2, w->server ? client : w->cfg->server_port);
	put32(tcp + 4, h->seq);
	put32(tcp + 8, h->ack);
	tcp[13] = h->flags;
	put16(tcp + 14, h->wnd);
	put32(tcp + 16, 0);
	if (h->flags & LG_SYN) {
		/* Without a window scale its place is padding. */
		tcp[20] = OPT_MSS;
		tcp[21] = 4;
		put16(tcp + 22, h->mss);
		tcp[24] = 1;
		tcp[25] = h->wscale < 0 ? 1 : OPT_WSCALE;
		tcp[26] = h->wscale < 0 ? 1 : 3;
		tcp[27] = h->wscale < 0 ? 1 : (uint8_t)h->wscale;
		len = 28;
	}
	tcp[12] = (uint8_t)(len / 4 << 4);
}

void lg_wire_build(struct lg_wire *w, struct rte_mbuf *m, const struct lg_header *h, uint32_t len)
{
	uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *), *ip = f + 14;
	unsigned l3 = w->cfg->v6 ? 40 : 20, head = lg_wire_head_len(w, h);
	uint32_t l4_len = head - 14 - l3 + len;
	uint8_t *tcp = ip + l3;
	uint64_t sum;
	uint16_t cksum;

	memcpy(f, &w->peer, 6);
	memcpy(f + 6, &w->own, 6);
	put16(f + 12, w->cfg->v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	ip_build(w, ip, h->tuple, l4_len);
	tcp_build(w, tcp, h);
	m->data_len = head + len;
	m->pkt_len = head + len;
	m->l2_len = 14;
	m->l3_len = l3;
	m->l4_len = l4_len - len;
	if (w->tx_cksum_hw) {
		/* The port finishes what begins with the pseudo header, not yet complemented. */
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM |
			       (w->cfg->v6 ? RTE_MBUF_F_TX_IPV6
					   : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
		cksum = w->cfg->v6 ? rte_ipv6_phdr_cksum((void *)ip, m->ol_flags)
				   : rte_ipv4_phdr_cksum((void *)ip, m->ol_flags);
		memcpy(tcp + 16, &cksum, 2);
		return;
	}
	if (!w->cfg->v6) {
		cksum = lg_sum_fold(lg_sum(ip, 20));
		memcpy(ip + 10, &cksum, 2);
	}
	sum = lg_wire_pseudo(w->cfg->v6, ip, l4_len, IPPROTO_TCP) + lg_sum(tcp, l4_len);
	cksum = lg_sum_fold(sum);
	memcpy(tcp + 16, &cksum, 2);
}

void lg_wire_tuple_text(const struct lg_config *cfg, uint32_t tuple, char *to, size_t len)
{
	uint32_t host = tuple / cfg->client_ports, index[2];
	char text[2][INET6_ADDRSTRLEN];

	index[0] = host % cfg->ips[0];
	index[1] = host / cfg->ips[0];
	for (int i = 0; i < 2; i++) {
		uint8_t ip[16];

		memcpy(ip, cfg->ip[i], 16);
		put32(ip + (cfg->v6 ? 12 : 0), lg_ip_low(cfg->ip[i], cfg->v6) + index[i]);
		inet_ntop(cfg->v6 ? AF_INET6 : AF_INET, ip, text[i], sizeof(text[i]));
	}
	snprintf(to, len, cfg->v6 ? "[%s]:%u > [%s]:%u" : "%s:%u > %s:%u", text[0],
		 cfg->client_port + tuple % cfg->client_ports, text[1], cfg->server_port);
}
