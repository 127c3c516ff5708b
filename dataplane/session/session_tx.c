/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a tcp_out to a frame. Headers are ours; the payload is
 *
 *   where it is, when the segment is a received packet's whole payload and nobody else refers to that packet: our
 *     headers take the place of those it came with, and the packet itself goes on;
 *   chained behind the headers where the port can send chains;
 *   copied behind them where it cannot.
 *
 * Several segments at once for a port that cuts them (TSO) are always a chain, of the packets themselves where nobody
 * else refers to them, the first with our headers in place of its own if it can.
 *
 * INV-TX-1  a packet is written to only while its one reference is that of the chunk that is sent. The frame takes a
 *           second one, so that a packet that is still with a port is never written to: sent again meanwhile, it
 *           goes out in one of the other ways. Octets under any chunk stay as they are.
 * INV-TX-2  the link to the next mbuf of a chunk's packet is stale once it has been part of a chain, and its nb_segs is
 *           not 1 then. It is set anew when the packet goes out again; who frees a chunk's packet frees that one segment.
 */
#include "session_priv.h"

#include <errno.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>
#include <rte_tcp.h>

#define IP_DF 0x4000
#define CHAIN_MIN 257 /* octets: less is copied sooner than chained */
#define CHAIN_MAX 6 /* mbufs of payload behind the headers */
#define SACK_OPTION(n) (4u + 8u * (n)) /* two NOPs, kind, length, blocks */

_Static_assert(offsetof(struct session_head, octets) == 0, "copied from a cache line's beginning");

static inline uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

static void put_ip6(const struct session *s, unsigned side, const struct session_head *t, struct rte_ipv6_hdr *ip)
{
	const struct policy_tuple *u = &s->info.tuple;

	ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)t->tos << 20);
	ip->proto = IPPROTO_TCP;
	ip->hop_limits = t->ttl;
	memcpy(ip->src_addr, side == 0 ? u->server : u->client, 16);
	memcpy(ip->dst_addr, side == 0 ? u->client : u->server, 16);
}

static void put_ip4(const struct session *s, unsigned side, const struct session_head *t, struct rte_ipv4_hdr *ip)
{
	const struct policy_tuple *u = &s->info.tuple;

	ip->version_ihl = 0x45;
	ip->type_of_service = t->tos;
	ip->fragment_offset = rte_cpu_to_be_16(IP_DF);
	ip->time_to_live = t->ttl;
	ip->next_proto_id = IPPROTO_TCP;
	memcpy(&ip->src_addr, (side == 0 ? u->server : u->client) + 12, 4);
	memcpy(&ip->dst_addr, (side == 0 ? u->client : u->server) + 12, 4);
}

/* t for what goes to side, behind the Ethernet header it has got. */
static void head_make(const struct session *s, unsigned side, struct session_head *t)
{
	const struct policy_tuple *u = &s->info.tuple;
	uint32_t ip_len = s->info.is_v6 ? 40 : 20, addresses = s->info.is_v6 ? 8 : 12;
	uint8_t *ip = t->octets + t->l2_len;
	struct rte_tcp_hdr *h = (struct rte_tcp_hdr *)(ip + ip_len);

	memset(ip, 0, ip_len + sizeof(*h));
	if (s->info.is_v6)
		put_ip6(s, side, t, (struct rte_ipv6_hdr *)ip);
	else
		put_ip4(s, side, t, (struct rte_ipv4_hdr *)ip);
	h->src_port = rte_cpu_to_be_16(side == 0 ? u->server_port : u->client_port);
	h->dst_port = rte_cpu_to_be_16(side == 0 ? u->client_port : u->server_port);
	t->len = (uint8_t)(t->l2_len + ip_len + sizeof(*h));
	t->ip_sum = parse_sum(ip, ip_len);
	t->pseudo_sum = fold((uint64_t)parse_sum(ip + addresses, ip_len - addresses) + rte_cpu_to_be_16(IPPROTO_TCP));
	t->tcp_sum = fold((uint64_t)t->pseudo_sum + parse_sum(h, sizeof(*h)));
}

/* Ethernet without a tag is compared in two words. */
static inline bool same_l2(const uint8_t *a, const uint8_t *b, uint32_t len)
{
	uint64_t x[2], y[2];

	if (unlikely(len != 14))
		return memcmp(a, b, len) == 0;
	memcpy(&x[0], a, 8);
	memcpy(&x[1], a + 6, 8);
	memcpy(&y[0], b, 8);
	memcpy(&y[1], b + 6, 8);
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

void session_head_learn(struct session *s, unsigned side, const struct rte_mbuf *m, const struct parse_frame *f)
{
	struct session_head *t = &s->head[!side];
	const uint8_t *l2 = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t tos = f->tos & 0xfc; /* the ECN bits are not ours to repeat: halves do not negotiate ECN */
	uint8_t ttl = f->ttl > 1 ? f->ttl : 64;

	if (likely(t->len && t->l2_len == f->l2_len && t->tos == tos && t->ttl == ttl &&
		   same_l2(t->octets, l2, f->l2_len)))
		return;
	if (f->l2_len > SESSION_L2_MAX)
		return;
	memcpy(t->octets, l2, f->l2_len);
	t->l2_len = f->l2_len;
	t->tos = tos;
	t->ttl = ttl;
	head_make(s, !side, t);
}

void session_head_set(struct session *s, unsigned side, const struct session_pattern *p)
{
	struct session_head *t = &s->head[side];

	memcpy(t->octets, p->l2, p->l2_len);
	t->l2_len = p->l2_len;
	t->tos = p->tos & 0xfc;
	t->ttl = p->ttl > 1 ? p->ttl : 64;
	head_make(s, side, t);
}

static void put_sack(uint8_t *opt, const struct tcp_out *o, uint8_t nsack)
{
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

/* The segment is one chunk, whole, and what it adds up to is known. 0: not so. */
static inline uint16_t known_sum(const struct tcp_out *o)
{
	return o->payload_len && o->skip == 0 && o->c->len == o->payload_len ? o->c->sum : 0;
}

/* INV-TX-1. Octets of the packet before the chunk's are nobody's: every chunk has its own reference. */
static inline bool may_go_on(const struct tcp_out *o, uint32_t head)
{
	const struct chunk *k = o->c;

	return o->payload_len && o->skip == 0 && k->len >= o->payload_len && rte_mbuf_refcnt_read(k->m) == 1 &&
	       RTE_MBUF_DIRECT(k->m) && k->data - (const uint8_t *)k->m->buf_addr >= (ptrdiff_t)head;
}

static struct rte_mbuf *frame_in_place(const struct tcp_out *o, uint32_t head)
{
	struct rte_mbuf *m = o->c->m;

	rte_mbuf_refcnt_set(m, 2);
	if (unlikely(m->nb_segs != 1)) { /* INV-TX-2 */
		m->next = NULL;
		m->nb_segs = 1;
	}
	m->data_off = (uint16_t)(o->c->data - head - (const uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)(head + o->payload_len);
	m->pkt_len = head + o->payload_len;
	m->ol_flags = 0;
	return m;
}

static struct rte_mbuf *frame_new(struct session_ctx *c, const struct session_port_caps *caps,
				  const struct tcp_out *o, uint32_t head)
{
	bool chain = caps->multi_seg && o->payload_len >= CHAIN_MIN && (caps->tx_cksum || known_sum(o));
	struct rte_mbuf *m;

	/* A jumbo segment in crumbs may be more than one buffer holds. */
	if (chain && !few_pieces(o) &&
	    head + o->payload_len + RTE_PKTMBUF_HEADROOM <= (uint32_t)rte_pktmbuf_data_room_size(c->cfg.bufs))
		chain = false;
	m = rte_pktmbuf_alloc(c->cfg.bufs);
	if (!m)
		return NULL;
	if (!chain && head + o->payload_len > rte_pktmbuf_tailroom(m)) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	m->data_len = (uint16_t)(head + (chain ? 0 : o->payload_len));
	m->pkt_len = m->data_len;
	if (!chain) {
		copy_payload(rte_pktmbuf_mtod_offset(m, uint8_t *, head), o);
	} else if (attach_payload(c, m, o) != 0) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	return m;
}

static void ip_checksum_set(struct rte_mbuf *m, const struct session_head *t)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(rte_pktmbuf_mtod(m, uint8_t *) + t->l2_len);

	ip->hdr_checksum = (uint16_t)~fold((uint64_t)t->ip_sum + ip->total_length + ip->packet_id);
}

/* For ports that calculate checksums; in the frame stands what they begin with. segsz: octets of payload the port cuts
 * it into, 0: it does not. */
static __rte_always_inline void checksums_by_port(struct rte_mbuf *m, const struct session_port_caps *caps, bool is_v6,
			      const struct session_head *t, struct rte_tcp_hdr *h, uint32_t tcp_hdr, rte_be16_t tcp_len,
			      uint32_t segsz)
{
	m->tx_offload = rte_mbuf_tx_offload(t->l2_len, is_v6 ? 40 : 20, tcp_hdr, segsz, 0, 0, 0);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (is_v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	if (caps->tx_ip_cksum)
		m->ol_flags |= is_v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM;
	else if (!is_v6)
		ip_checksum_set(m, t);
	if (segsz)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	h->cksum = segsz ? t->pseudo_sum : fold((uint64_t)t->pseudo_sum + tcp_len);
}

/* payload_sum 0: not known. */
static void checksums_set(struct rte_mbuf *m, bool is_v6, const struct session_head *t, struct rte_tcp_hdr *h,
			  rte_be16_t tcp_len, uint16_t payload_sum)
{
	uint32_t word;

	if (!is_v6)
		ip_checksum_set(m, t);
	if (!payload_sum) /* options are summed with it */
		(void)parse_sum_mbuf(m, t->len, m->pkt_len - t->len, &payload_sum);
	memcpy(&word, &h->data_off, sizeof(word));
	h->cksum = (uint16_t)~fold((uint64_t)t->tcp_sum + tcp_len + h->sent_seq + h->recv_ack + word + payload_sum);
}

static inline void copy_head(uint8_t *to, const struct session_head *t)
{
	if (unlikely(t->len < 32 || t->len > 64)) {
		memcpy(to, t->octets, t->len);
		return;
	}
	memcpy(to, t->octets, 32); /* the two overlap */
	memcpy(to + t->len - 32, t->octets + t->len - 32, 32);
}

/* Headers without checksums; returns the last. */
static __rte_always_inline struct rte_tcp_hdr *put_head(struct session *s, const struct session_head *t, uint8_t *p, uint32_t tcp_hdr,
				    const struct tcp_out *o)
{
	uint32_t tcp_len = tcp_hdr + o->payload_len;
	struct rte_tcp_hdr *h = (struct rte_tcp_hdr *)(p + t->len - sizeof(*h));

	copy_head(p, t);
	p += t->l2_len;
	if (s->info.is_v6) {
		((struct rte_ipv6_hdr *)p)->payload_len = rte_cpu_to_be_16((uint16_t)tcp_len);
	} else {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)p;

		ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + tcp_len));
		ip->packet_id = rte_cpu_to_be_16(s->ip_id++);
	}
	h->sent_seq = rte_cpu_to_be_32(o->seq);
	h->recv_ack = rte_cpu_to_be_32(o->flags & TCP_F_ACK ? o->ack : 0);
	h->data_off = (uint8_t)(tcp_hdr / 4 << 4);
	h->tcp_flags = o->flags;
	h->rx_win = rte_cpu_to_be_16(o->window);
	return h;
}

/* --- several segments at once ---------------------------------------------------------------------------------- */

void session_tso(const struct session_ctx *c, struct session *s, unsigned i)
{
	const struct session_port_caps *caps = &c->cfg.caps[i == 0 ? s->info.client_port : !s->info.client_port];

	tcp_half_tso(&s->half[i], RTE_MIN(caps->tso[s->info.is_v6], caps->tso_cut * tcp_half_mss(&s->half[i])));
}

static uint32_t pieces(const struct tcp_out *o)
{
	uint32_t left = o->payload_len, skip = o->skip, n = 0;

	for (const struct chunk *k = o->c; left; k = k->next, skip = 0, n++)
		left -= RTE_MIN(left, k->len - skip);
	return n;
}

/* n octets of k as an mbuf of a chain: the packet itself (INV-TX-1), else another that refers to it. */
static struct rte_mbuf *piece(struct session_ctx *c, const struct chunk *k, uint32_t skip, uint32_t n)
{
	struct rte_mbuf *m = k->m;

	if (rte_mbuf_refcnt_read(m) == 1 && RTE_MBUF_DIRECT(m)) {
		rte_mbuf_refcnt_set(m, 2);
		m->next = NULL;
		m->nb_segs = 2; /* INV-TX-2 */
	} else {
		m = rte_pktmbuf_alloc(c->cfg.bufs);
		if (!m)
			return NULL;
		rte_pktmbuf_attach(m, k->m);
	}
	m->data_off = (uint16_t)(k->data + skip - (const uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)n;
	return m;
}

static struct rte_mbuf *frame_large(struct session_ctx *c, const struct tcp_out *o, uint32_t head)
{
	const struct chunk *k = o->c;
	uint32_t left = o->payload_len, skip = o->skip, n;
	struct tcp_out first = *o;
	struct rte_mbuf *m, *tail;

	first.payload_len = RTE_MIN(left, k->len);
	if (may_go_on(&first, head)) {
		m = frame_in_place(&first, head);
		left -= first.payload_len;
		k = k->next;
	} else {
		m = rte_pktmbuf_alloc(c->cfg.bufs);
		if (!m)
			return NULL;
		m->data_len = (uint16_t)head;
		m->pkt_len = head;
	}
	for (tail = m; left; k = k->next, skip = 0, left -= n) {
		n = RTE_MIN(left, k->len - skip);
		tail->next = piece(c, k, skip, n);
		if (!tail->next) {
			rte_pktmbuf_free(m);
			return NULL;
		}
		tail = tail->next;
		m->nb_segs++;
		m->pkt_len += n;
	}
	return m;
}

/* In crumbs of more mbufs than the port takes at once: by single segments. When one fails, those before it have been
 * sent and are sent again; the peer does not mind. */
static int emit_apart(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct tcp_out p = *o;
	uint32_t left = o->payload_len;
	int rc;

	for (;;) {
		p.payload_len = RTE_MIN(left, tcp_half_mss(h));
		left -= p.payload_len;
		p.flags = left ? o->flags & (uint8_t)~(TCP_F_PSH | TCP_F_FIN) : o->flags;
		rc = session_emit(ctx, h, &p);
		if (rc || !left)
			return rc;
		p.seq += p.payload_len;
		p.skip += p.payload_len;
		while (p.skip >= p.c->len) {
			p.skip -= p.c->len;
			p.c = p.c->next;
		}
	}
}

static __rte_noinline int emit_large(struct session_ctx *c, struct session *s, struct tcp_half *h, const struct tcp_out *o)
{
	unsigned side = h == &s->half[0] ? 0 : 1;
	unsigned port = side == 0 ? s->info.client_port : !s->info.client_port;
	const struct session_port_caps *caps = &c->cfg.caps[port];
	const struct session_head *t = &s->head[side];
	struct rte_tcp_hdr *tcp;
	struct rte_mbuf *m;

	if (pieces(o) >= caps->tso_segs)
		return emit_apart(c, h, o);
	m = frame_large(c, o, t->len);
	if (!m) {
		session_count(c, STATS_no_mbuf);
		return -ENOBUFS;
	}
	tcp = put_head(s, t, rte_pktmbuf_mtod(m, uint8_t *), sizeof(*tcp), o);
	s->ip_id += (uint16_t)((o->payload_len - 1) / tcp_half_mss(h)); /* each has its own */
	checksums_by_port(m, caps, s->info.is_v6, t, tcp, sizeof(*tcp), 0, tcp_half_mss(h));
	c->cfg.tx(c->cfg.cb, port, m);
	return 0;
}

int session_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	struct session_ctx *c = ctx;
	struct session *s = c->current;
	unsigned side = h == &s->half[0] ? 0 : 1;
	unsigned port = side == 0 ? s->info.client_port : !s->info.client_port;
	const struct session_port_caps *caps = &c->cfg.caps[port];
	const struct session_head *t = &s->head[side];
	uint8_t nsack = o->nsack;
	uint32_t tcp_hdr = 20, head = t->len;
	struct rte_tcp_hdr *tcp;
	struct rte_mbuf *m;
	rte_be16_t tcp_len;

	if (unlikely(o->payload_len > tcp_half_mss(h)))
		return emit_large(c, s, h, o);
	if (unlikely(nsack)) {
		while (nsack && t->len - t->l2_len + SACK_OPTION(nsack) + o->payload_len > caps->mtu)
			nsack--;
		tcp_hdr += nsack ? SACK_OPTION(nsack) : 0;
		head += tcp_hdr - 20;
	}
	m = may_go_on(o, head) ? frame_in_place(o, head) : frame_new(c, caps, o, head);
	if (!m) {
		session_count(c, STATS_no_mbuf);
		return -ENOBUFS;
	}
	tcp = put_head(s, t, rte_pktmbuf_mtod(m, uint8_t *), tcp_hdr, o);
	if (unlikely(nsack))
		put_sack((uint8_t *)(tcp + 1), o, nsack);
	tcp_len = rte_cpu_to_be_16((uint16_t)(tcp_hdr + o->payload_len));
	if (caps->tx_cksum)
		checksums_by_port(m, caps, s->info.is_v6, t, tcp, tcp_hdr, tcp_len, 0);
	else
		checksums_set(m, s->info.is_v6, t, tcp, tcp_len, nsack ? 0 : known_sum(o));
	c->cfg.tx(c->cfg.cb, port, m);
	return 0;
}
