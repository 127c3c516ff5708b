/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_neighbour.h"

#include <string.h>
#include <netinet/in.h>
#include "loadgen_pattern.h"

#define ARP_LEN (14 + 28)
#define ND_LEN (14 + 40 + 32)
#define ICMP_SOLICIT 135
#define ICMP_ADVERTISE 136

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = (uint8_t)v;
}

static const uint8_t *next_hop(const struct lg_side *s)
{
	const struct lg_config *cfg = s->cfg;

	return cfg->have_gateway[s->server] ? cfg->gateway[s->server] : cfg->ip[!s->server];
}

static bool own(const struct lg_side *s, const uint8_t *ip)
{
	const struct lg_config *cfg = s->cfg;
	uint8_t whole[16] = {0};

	memcpy(whole, ip, cfg->v6 ? 16 : 4);
	return (!cfg->v6 || memcmp(ip, cfg->ip[s->server], 12) == 0) &&
	       lg_ip_low(whole, cfg->v6) - s->wire.own_base < cfg->ips[s->server];
}

static void frame_send(struct lg_side *s, const uint8_t *frame, unsigned len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->net->pool);

	if (!m) {
		s->net->stats.no_mbuf++;
		return;
	}
	memcpy(rte_pktmbuf_append(m, len), frame, len);
	lg_net_send(s->net, m);
}

static void ethernet(const struct lg_side *s, uint8_t *f, const uint8_t *to, uint16_t type)
{
	memcpy(f, to, 6);
	memcpy(f + 6, &s->wire.own, 6);
	put16(f + 12, type);
}

static void arp_send(struct lg_side *s, uint16_t op, const uint8_t *to_mac, const uint8_t *from_ip,
		     const uint8_t *to_ip)
{
	static const uint8_t everyone[6] = {255, 255, 255, 255, 255, 255};
	uint8_t f[60] = {0}, *a = f + 14;

	ethernet(s, f, op == 1 ? everyone : to_mac, RTE_ETHER_TYPE_ARP);
	put16(a, 1);
	put16(a + 2, RTE_ETHER_TYPE_IPV4);
	a[4] = 6;
	a[5] = 4;
	put16(a + 6, op);
	memcpy(a + 8, &s->wire.own, 6);
	memcpy(a + 14, from_ip, 4);
	if (op != 1)
		memcpy(a + 18, to_mac, 6);
	memcpy(a + 24, to_ip, 4);
	frame_send(s, f, sizeof(f));
}

static void nd_send(struct lg_side *s, uint8_t type, const uint8_t *to_mac, const uint8_t *from_ip,
		    const uint8_t *to_ip, const uint8_t *target)
{
	uint8_t f[ND_LEN] = {0}, *ip = f + 14, *icmp = ip + 40;
	uint16_t sum;

	ethernet(s, f, to_mac, RTE_ETHER_TYPE_IPV6);
	ip[0] = 0x60;
	put16(ip + 4, 32);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, from_ip, 16);
	memcpy(ip + 24, to_ip, 16);
	icmp[0] = type;
	icmp[4] = type == ICMP_ADVERTISE ? 0x60 : 0; /* solicited, override */
	memcpy(icmp + 8, target, 16);
	icmp[24] = type == ICMP_ADVERTISE ? 2 : 1;
	icmp[25] = 1;
	memcpy(icmp + 26, &s->wire.own, 6);
	sum = lg_sum_fold(lg_wire_pseudo(true, ip, 32, IPPROTO_ICMPV6) + lg_sum(icmp, 32));
	memcpy(icmp + 2, &sum, 2);
	frame_send(s, f, sizeof(f));
}

void lg_neighbour_ask(struct lg_side *s)
{
	const uint8_t *from = s->cfg->ip[s->server], *to = next_hop(s);
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff}, mac[6] = {0x33, 0x33, 0xff};

	if (!s->cfg->v6) {
		arp_send(s, 1, NULL, from, to);
		return;
	}
	memcpy(group + 13, to + 13, 3);
	memcpy(mac + 3, to + 13, 3);
	nd_send(s, ICMP_SOLICIT, mac, from, group, to);
}

static void learn(struct lg_side *s, const uint8_t *ip, const uint8_t *mac, bool *known)
{
	if (memcmp(ip, next_hop(s), s->cfg->v6 ? 16 : 4) != 0 || s->cfg->have_mac[s->server])
		return;
	memcpy(&s->wire.peer, mac, 6);
	*known = true;
}

static void arp_input(struct lg_side *s, const uint8_t *a, bool *known)
{
	uint16_t op = (uint16_t)(a[6] << 8 | a[7]);

	if (op == 1 && own(s, a + 24))
		arp_send(s, 2, a + 8, a + 24, a + 14);
	if (op == 2 && own(s, a + 24))
		learn(s, a + 14, a + 8, known);
}

static void nd_input(struct lg_side *s, const uint8_t *ip, unsigned len, bool *known)
{
	const uint8_t *icmp = ip + 40;
	bool option = len >= 40 + 32 && icmp[25] == 1;

	if (ip[6] != IPPROTO_ICMPV6 || ip[7] != 255 || len < 40 + 24)
		return;
	if (icmp[0] == ICMP_SOLICIT && own(s, icmp + 8) && option && icmp[24] == 1)
		nd_send(s, ICMP_ADVERTISE, icmp + 26, icmp + 8, ip + 8, icmp + 8);
	if (icmp[0] == ICMP_ADVERTISE && own(s, ip + 24) && option && icmp[24] == 2)
		learn(s, icmp + 8, icmp + 26, known);
}

void lg_neighbour_input(struct lg_side *s, struct rte_mbuf *m, bool *known)
{
	const uint8_t *f = rte_pktmbuf_mtod(m, const uint8_t *);
	unsigned len = rte_pktmbuf_data_len(m);
	uint16_t type;

	if (len < ARP_LEN)
		return;
	type = (uint16_t)(f[12] << 8 | f[13]);
	if (type == RTE_ETHER_TYPE_ARP && !s->cfg->v6)
		arp_input(s, f + 14, known);
	else if (type == RTE_ETHER_TYPE_IPV6 && s->cfg->v6 && len >= 14 + 64)
		nd_input(s, f + 14, len - 14, known);
}
