/* SPDX-License-Identifier: BSD-3-Clause */
/* From a tcp_out to a frame: headers of our own, payload by reference where the port can send chains and
 * calculate checksums, copied behind the headers where it cannot. */
#include "session_priv.h"

#include <errno.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>
#include <rte_tcp.h>

#define IP_DF 0x4000
#define CHAIN_MAX 6 /* mbufs of payload behind the headers */
#define SACK_OPTION(n) (4u + 8u * (n)) /* two NOPs, kind, length, blocks */

void session_l2_learn(struct session *s, unsigned side, const struct rte_mbuf *m, const struct parse_frame *f)
{
	/* What one side sends, the other must receive: its frames are the pattern of ours. */
	struct session_l2 *l = &s->l2[!side];

	if (f->l2_len > SESSION_L2_MAX)
		return;
	l->tos = f->tos & 0xfc; /* the ECN bits are not ours to repeat: halves do not negotiate ECN */
	l->ttl = f->ttl > 1 ? f->ttl : 64;
	if (l->len != f->l2_len || memcmp(l->hdr, rte_pktmbuf_mtod(m, const void *), f->l2_len) != 0) {
		memcpy(l->hdr, rte_pktmbuf_mtod(m, const void *), f->l2_len);
		l->len = f->l2_len;
	}
}

static uint8_t *put_ip(struct session *s, unsigned side, uint8_t *p, uint32_t tcp_len, bool offload)
{
	const struct policy_tuple *t = &s->info.tuple;
	const uint8_t *src = side == 0 ? t->server : t->client;
	const uint8_t *dst = side == 0 ? t->client : t->server;
	const struct session_l2 *l = &s->l2[side];

	if (s->info.is_v6) {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)p;

		ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)l->tos << 20);
		ip->payload_len = rte_cpu_to_be_16((uint16_t)tcp_len);
		ip->proto = IPPROTO_TCP;
		ip->hop_limits = l->ttl;
		memcpy(ip->src_addr, src, 16);
		memcpy(ip->dst_addr, dst, 16);
		return p + sizeof(*ip);
	}
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)p;

	memset(ip, 0, sizeof(*ip));
	ip->version_ihl = 0x45;
	ip->type_of_service = l->tos;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + tcp_len));
	ip->packet_id = rte_cpu_to_be_16(s->ip_id++);
	ip->fragment_offset = rte_cpu_to_be_16(IP_DF);
	ip->time_to_live = l->ttl;
	ip->next_proto_id = IPPROTO_TCP;
	memcpy(&ip->src_addr, src + 12, 4);
	memcpy(&ip->dst_addr, dst + 12, 4);
	if (!offload)
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	return p + sizeof(*ip);
}

static void put_tcp(struct session *s, unsigned side, uint8_t *p, const struct tcp_out *o, uint8_t nsack)
{
	const struct policy_tuple *t = &s->info.tuple;
	struct rte_tcp_hdr *h = (struct rte_tcp_hdr *)p;
	uint32_t len = sizeof(*h) + (nsack ? SACK_OPTION(nsack) : 0);
	uint8_t *opt = p + sizeof(*h);

	h->src_port = rte_cpu_to_be_16(side == 0 ? t->server_port : t->client_port);
	h->dst_port = rte_cpu_to_be_16(side == 0 ? t->client_port : t->server_port);
	h->sent_seq = rte_cpu_to_be_32(o->seq);
	h->recv_ack = rte_cpu_to_be_32(o->flags & TCP_F_ACK ? o->ack : 0);
	h->data_off = (uint8_t)(len / 4 << 4);
	h->tcp_flags = o->flags;
	h->rx_win = rte_cpu_to_be_16(o->window);
	h->cksum = 0;
	h->tcp_urp = 0;
	if (!nsack)
		return;
	*opt++ = 1;
	*opt++ = 1;
	*opt++ = 5;
	*opt++ = (uint8_t)(2 + 8 * nsack);
	for (unsigned i = 0; i < nsack; i++, opt += 8) {
		uint32_t edge[2] = {rte_cpu_to_be_32(o->sack[i].left), rte_cpu_to_be_32(o->sack[i].right)};

		memcpy(opt, edge, sizeof(edge));
	}
}

static void copy_payload(uint8_t *p, const struct tcp_out *o)
{
	uint32_t left = o->payload_len, skip = o->skip;

	for (const struct chunk *c = o->c; left; c = c->next, skip = 0) {
		uint32_t n = RTE_MIN(left, c->len - skip);

		rte_memcpy(p, c->data + skip, n);
		p += n;
		left -= n;
	}
}

/* Few enough pieces for any port to send as one chain; more are copied. */
static bool few_pieces(const struct tcp_out *o)
{
	uint32_t left = o->payload_len, skip = o->skip, n = 0;

	for (const struct chunk *c = o->c; left && n <= CHAIN_MAX; c = c->next, skip = 0, n++)
		left -= RTE_MIN(left, c->len - skip);
	return n <= CHAIN_MAX;
}

/* Chains indirect mbufs on the payload behind m. */
static int attach_payload(struct session_ctx *c, struct rte_mbuf *m, const struct tcp_out *o)
{
	uint32_t left = o->payload_len, skip = o->skip;
	struct rte_mbuf *tail = m;

	for (const struct chunk *k = o->c; left; k = k->next, skip = 0) {
		uint32_t n = RTE_MIN(left, k->len - skip);
		struct rte_mbuf *i = rte_pktmbuf_alloc(c->cfg.bufs);

		if (!i)
			return -ENOBUFS;
		rte_pktmbuf_attach(i, k->m);
		i->data_off = (uint16_t)(k->data + skip - (const uint8_t *)i->buf_addr);
		i->data_len = (uint16_t)n;
		tail->next = i;
		tail = i;
		m->nb_segs++;
		m->pkt_len += n;
		left -= n;
	}
	return 0;
}

static void set_checksum(struct session *s, struct rte_mbuf *m, uint8_t *ip, uint8_t *tcp, uint32_t tcp_len,
			 unsigned l2_len, bool offload)
{
	struct rte_tcp_hdr *h = (struct rte_tcp_hdr *)tcp;

	(void)tcp_len;
	if (offload) {
		m->l2_len = l2_len;
		m->l3_len = (uint64_t)(tcp - ip);
		m->l4_len = (uint64_t)(h->data_off >> 4) * 4;
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
		if (s->info.is_v6) {
			m->ol_flags |= RTE_MBUF_F_TX_IPV6;
			h->cksum = rte_ipv6_phdr_cksum((struct rte_ipv6_hdr *)ip, m->ol_flags);
		} else {
			m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
			h->cksum = rte_ipv4_phdr_cksum((struct rte_ipv4_hdr *)ip, m->ol_flags);
		}
		return;
	}
	h->cksum = s->info.is_v6 ? rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)ip, tcp)
				 : rte_ipv4_udptcp_cksum((struct rte_ipv4_hdr *)ip, tcp);
}

int session_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct session_ctx *c = ctx;
	struct session *s = c->current;
	unsigned side = h == &s->half[0] ? 0 : 1;
	unsigned port = side == 0 ? s->info.client_port : !s->info.client_port;
	const struct session_port_caps *caps = &c->cfg.caps[port];
	const struct session_l2 *l = &s->l2[side];
	uint32_t ip_len = s->info.is_v6 ? 40 : 20;
	bool offload = caps->tx_cksum, chain = offload && caps->multi_seg && o->payload_len > 256;
	uint8_t nsack = o->nsack;
	uint32_t tcp_hdr, head;
	struct rte_mbuf *m;
	uint8_t *p, *ip, *tcp;

	while (nsack && ip_len + 20 + SACK_OPTION(nsack) + o->payload_len > caps->mtu)
		nsack--;
	tcp_hdr = 20 + (nsack ? SACK_OPTION(nsack) : 0);
	head = l->len + ip_len + tcp_hdr;
	/* A jumbo segment in crumbs may be more than one buffer holds. */
	if (chain && !few_pieces(o) &&
	    head + o->payload_len + RTE_PKTMBUF_HEADROOM <= (uint32_t)rte_pktmbuf_data_room_size(c->cfg.bufs))
		chain = false;
	m = rte_pktmbuf_alloc(c->cfg.bufs);
	if (!m || (!chain && head + o->payload_len > rte_pktmbuf_tailroom(m))) {
		rte_pktmbuf_free(m);
		session_count(c, STATS_no_mbuf);
		return -ENOBUFS;
	}
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(head + (chain ? 0 : o->payload_len)));
	memcpy(p, l->hdr, l->len);
	ip = p + l->len;
	tcp = put_ip(s, side, ip, tcp_hdr + o->payload_len, offload);
	put_tcp(s, side, tcp, o, nsack);
	if (!chain) {
		copy_payload(tcp + tcp_hdr, o);
	} else if (attach_payload(c, m, o) != 0) {
		rte_pktmbuf_free(m);
		session_count(c, STATS_no_mbuf);
		return -ENOBUFS;
	}
	set_checksum(s, m, ip, tcp, tcp_hdr + o->payload_len, l->len, offload);
	c->cfg.tx(c->cfg.cb, port, m);
	return 0;
}
