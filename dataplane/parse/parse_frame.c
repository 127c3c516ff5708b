/* SPDX-License-Identifier: BSD-3-Clause */
#include "parse/parse_frame.h"

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_mbuf.h>

#define ETHER_LEN 14
#define TAG_LEN 4
#define ETYPE_VLAN 0x8100
#define ETYPE_QINQ 0x88a8
#define ETYPE_QINQ_OLD 0x9100
#define ETYPE_IPV4 0x0800
#define ETYPE_IPV6 0x86dd
#define VLAN_MAX 2

#define IPV4_MIN 20
#define IPV4_OPT_END 0
#define IPV4_OPT_NOP 1
#define IPV4_OPT_LSRR 131
#define IPV4_OPT_SSRR 137
#define IPV6_LEN 40
/* A chain longer than this does not occur in the field; it is refused so that the walk is bounded.
 */
#define IPV6_EXT_MAX 8
#define TCP_MIN 20
#define UDP_LEN 8

#define PLAIN4_L4 (ETHER_LEN + IPV4_MIN)
#define PLAIN4_MIN (PLAIN4_L4 + UDP_LEN)
/* Octets 8 to 15 of ::ffff:a.b.c.d without the address, as x86 and every other host of DPDK we build for reads them. */
#define MAPPED_HIGH 0xffff0000u
_Static_assert(RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN, "MAPPED_HIGH");

/* What is being parsed: seg octets are readable, frame octets exist. */
struct cursor {
	const uint8_t *data;
	uint32_t seg;
	uint32_t frame;
	uint32_t off;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static enum parse_verdict other(struct parse_frame *p)
{
	p->verdict = PARSE_OTHER;
	return PARSE_OTHER;
}

static enum parse_verdict malformed(struct parse_frame *p, enum parse_bad why)
{
	p->verdict = PARSE_MALFORMED;
	p->bad = why;
	return PARSE_MALFORMED;
}

/* Whether n octets at c->off may be read; if not, p->bad tells a short frame from a split one. */
static bool readable(struct parse_frame *p, const struct cursor *c, uint32_t n, enum parse_bad why)
{
	if (c->off + n > c->frame) {
		malformed(p, why);
		return false;
	}
	if (c->off + n > c->seg) {
		malformed(p, PARSE_BAD_SPLIT);
		return false;
	}
	return true;
}

static bool is_tag(uint16_t ethertype)
{
	return ethertype == ETYPE_VLAN || ethertype == ETYPE_QINQ || ethertype == ETYPE_QINQ_OLD;
}

static bool parse_ether(struct parse_frame *p, struct cursor *c)
{
	p->key.vlan[0] = PARSE_VLAN_NONE;
	p->key.vlan[1] = PARSE_VLAN_NONE;
	if (!readable(p, c, ETHER_LEN, PARSE_BAD_ETHER))
		return false;
	c->off = ETHER_LEN;
	p->ethertype = get16(c->data + 12);
	while (p->nvlan < VLAN_MAX && is_tag(p->ethertype)) {
		if (!readable(p, c, TAG_LEN, PARSE_BAD_ETHER))
			return false;
		p->key.vlan[p->nvlan++] = get16(c->data + c->off) & 0x0fff;
		p->ethertype = get16(c->data + c->off + 2);
		c->off += TAG_LEN;
	}
	p->l2_len = (uint8_t)c->off;
	return true;
}

/* Looks for source routes: they make the address in the header another one than the end's. */
static bool scan_ipv4_options(struct parse_frame *p, const uint8_t *opt, uint32_t len)
{
	uint32_t i = 0;

	while (i < len && opt[i] != IPV4_OPT_END) {
		if (opt[i] == IPV4_OPT_NOP) {
			i++;
			continue;
		}
		if (i + 2 > len || opt[i + 1] < 2 || i + opt[i + 1] > len) {
			malformed(p, PARSE_BAD_IP_OPTION);
			return false;
		}
		if (opt[i] == IPV4_OPT_LSRR || opt[i] == IPV4_OPT_SSRR)
			p->is_routed = true;
		i += opt[i + 1];
	}
	return true;
}

static void map_ipv4(uint8_t *to, const uint8_t *addr)
{
	memset(to, 0, 10);
	to[10] = 0xff;
	to[11] = 0xff;
	memcpy(to + 12, addr, 4);
}

/* Sets where the IP packet ends; what the frame has after it is padding. */
static bool set_end(struct parse_frame *p, struct cursor *c, uint32_t total)
{
	if (total > c->frame - p->l2_len) {
		malformed(p, PARSE_BAD_IP_LENGTH);
		return false;
	}
	p->frame_len = p->l2_len + total;
	p->pad_len = c->frame - p->frame_len;
	c->frame = p->frame_len;
	if (c->seg > c->frame)
		c->seg = c->frame;
	return true;
}

/* Returns whether the upper layer may be looked at, and in *first whether its header is here. */
static bool parse_ipv4(struct parse_frame *p, struct cursor *c, bool *first)
{
	const uint8_t *h = c->data + c->off;
	uint32_t hlen, total, frag;

	if (!readable(p, c, IPV4_MIN, PARSE_BAD_IP_HEADER))
		return false;
	hlen = (uint32_t)(h[0] & 0x0f) * 4;
	if (h[0] >> 4 != 4 || hlen < IPV4_MIN) {
		malformed(p, PARSE_BAD_IP_HEADER);
		return false;
	}
	total = get16(h + 2);
	if (total < hlen) {
		malformed(p, PARSE_BAD_IP_LENGTH);
		return false;
	}
	if (!set_end(p, c, total) || !readable(p, c, hlen, PARSE_BAD_IP_HEADER) ||
	    !scan_ipv4_options(p, h + IPV4_MIN, hlen - IPV4_MIN))
		return false;
	frag = get16(h + 6);
	*first = (frag & 0x1fff) == 0;
	p->is_fragment = (frag & 0x3fff) != 0;
	if ((frag & 0x1fff) * 8 + total > UINT16_MAX) {
		malformed(p, PARSE_BAD_FRAGMENT);
		return false;
	}
	p->is_ip = true;
	p->tos = h[1];
	p->ttl = h[8];
	p->proto = h[9];
	p->l3_len = (uint16_t)hlen;
	map_ipv4(p->key.src, h + 12);
	map_ipv4(p->key.dst, h + 16);
	return true;
}

static bool is_extension(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT;
}

/* One extension header at c->off. */
static bool parse_extension(struct parse_frame *p, struct cursor *c, bool *first)
{
	const uint8_t *h = c->data + c->off;
	uint32_t len = 8, end;

	if (!readable(p, c, 8, PARSE_BAD_EXTENSION))
		return false;
	if (p->proto == IPPROTO_FRAGMENT) {
		uint32_t off = get16(h + 2) & 0xfff8u;

		*first = off == 0;
		p->is_fragment = p->is_fragment || (get16(h + 2) & 0xfff9) != 0;
		end = off + c->frame - c->off - 8;
		if (end > UINT16_MAX) {
			malformed(p, PARSE_BAD_FRAGMENT);
			return false;
		}
	} else {
		len = 8 + (uint32_t)h[1] * 8;
		if (!readable(p, c, len, PARSE_BAD_EXTENSION))
			return false;
		if (p->proto == IPPROTO_ROUTING && h[3] != 0)
			p->is_routed = true;
	}
	p->proto = h[0];
	c->off += len;
	return true;
}

static bool parse_ipv6(struct parse_frame *p, struct cursor *c, bool *first)
{
	const uint8_t *h = c->data + c->off;
	uint32_t start = c->off, n = 0;

	if (!readable(p, c, IPV6_LEN, PARSE_BAD_IP_HEADER))
		return false;
	if (h[0] >> 4 != 6) {
		malformed(p, PARSE_BAD_IP_HEADER);
		return false;
	}
	if (!set_end(p, c, IPV6_LEN + (uint32_t)get16(h + 4)))
		return false;
	p->is_ip = true;
	p->is_v6 = true;
	p->tos = (uint8_t)(get16(h) >> 4);
	p->ttl = h[7];
	p->proto = h[6];
	memcpy(p->key.src, h + 8, 16);
	memcpy(p->key.dst, h + 24, 16);
	p->key.is_v6 = 1;
	c->off += IPV6_LEN;
	*first = true;
	/* RFC 8200 4.1: hop-by-hop options only right after the fixed header. */
	while (*first && is_extension(p->proto)) {
		if (n++ == IPV6_EXT_MAX || (n > 1 && p->proto == IPPROTO_HOPOPTS)) {
			malformed(p, PARSE_BAD_EXTENSION);
			return false;
		}
		/* Payload length 0 with hop-by-hop options is a jumbogram (RFC 2675); no Ethernet
		 * port carries one, and here nothing follows the fixed header in any case. */
		if (!parse_extension(p, c, first))
			return false;
	}
	p->l3_len = (uint16_t)(c->off - start);
	c->off = start;
	return true;
}

static void set_ports(struct parse_frame *p, const uint8_t *h)
{
	memcpy(&p->key.sport, h, 2);
	memcpy(&p->key.dport, h + 2, 2);
}

static enum parse_verdict parse_tcp(struct parse_frame *p, const struct cursor *c)
{
	const uint8_t *h = c->data + c->off;
	uint32_t len;

	if (!readable(p, c, TCP_MIN, PARSE_BAD_TCP_HEADER))
		return PARSE_MALFORMED;
	len = (uint32_t)(h[12] >> 4) * 4;
	if (len < TCP_MIN)
		return malformed(p, PARSE_BAD_TCP_HEADER);
	if (!readable(p, c, len, PARSE_BAD_TCP_HEADER))
		return PARSE_MALFORMED;
	set_ports(p, h);
	p->l4_len = (uint8_t)len;
	p->tcp_flags = h[13];
	p->payload_off = (uint16_t)(p->l4_off + len);
	p->payload_len = p->frame_len - p->payload_off;
	p->verdict = PARSE_TCP;
	return PARSE_TCP;
}

static enum parse_verdict parse_upper(struct parse_frame *p, struct cursor *c, bool first)
{
	bool whole = !p->is_fragment && !p->is_routed;

	p->key.proto = p->proto;
	p->l4_off = (uint16_t)(p->l2_len + p->l3_len);
	p->payload_off = p->l4_off;
	p->payload_len = p->frame_len - p->l4_off;
	c->off = p->l4_off;
	if (p->proto == IPPROTO_TCP && whole)
		return parse_tcp(p, c);
	if (!first || c->off + UDP_LEN > c->seg)
		return other(p);
	if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)
		set_ports(p, c->data + c->off);
	if (p->proto == IPPROTO_UDP) {
		p->l4_len = UDP_LEN;
		p->payload_off += UDP_LEN;
		p->payload_len -= UDP_LEN;
	}
	return other(p);
}

/* Nearly every frame is untagged IPv4 without options or fragments, with TCP or UDP in it: those in one step. False:
 * anything else or anything wrong with it, the walk below says what; *p is as it was. */
static inline bool parse_plain4(struct parse_frame *p, const uint8_t *d, uint32_t seg, uint32_t frame)
{
	uint32_t total, l4_len, payload_off;
	uint8_t proto, flags = 0;
	uint64_t mapped;
	uint32_t addr;

	if (unlikely(seg < PLAIN4_MIN || get16(d + 12) != ETYPE_IPV4 || d[14] != 0x45 ||
		     (get16(d + 20) & 0x3fff) != 0))
		return false;
	total = get16(d + 16);
	proto = d[23];
	if (proto == IPPROTO_TCP && seg >= PLAIN4_L4 + TCP_MIN) {
		l4_len = (uint32_t)(d[PLAIN4_L4 + 12] >> 4) * 4;
		flags = d[PLAIN4_L4 + 13];
		if (unlikely(l4_len < TCP_MIN))
			return false;
	} else if (proto == IPPROTO_UDP) {
		l4_len = UDP_LEN;
	} else {
		return false;
	}
	payload_off = PLAIN4_L4 + l4_len;
	if (unlikely(ETHER_LEN + total > frame || ETHER_LEN + total < payload_off || payload_off > seg))
		return false;
	*p = (struct parse_frame){
		.verdict = proto == IPPROTO_TCP ? PARSE_TCP : PARSE_OTHER,
		.l2_len = ETHER_LEN,
		.is_ip = true,
		.ethertype = ETYPE_IPV4,
		.l3_len = IPV4_MIN,
		.proto = proto,
		.l4_len = (uint8_t)l4_len,
		.tcp_flags = flags,
		.tos = d[15],
		.ttl = d[22],
		.l4_off = PLAIN4_L4,
		.payload_off = (uint16_t)payload_off,
		.payload_len = ETHER_LEN + total - payload_off,
		.frame_len = ETHER_LEN + total,
		.pad_len = frame - ETHER_LEN - total,
		.key.vlan = {PARSE_VLAN_NONE, PARSE_VLAN_NONE},
		.key.proto = proto,
	};
	memcpy(&addr, d + 26, 4);
	mapped = MAPPED_HIGH | (uint64_t)addr << 32;
	memcpy(p->key.src + 8, &mapped, 8);
	memcpy(&addr, d + 30, 4);
	mapped = MAPPED_HIGH | (uint64_t)addr << 32;
	memcpy(p->key.dst + 8, &mapped, 8);
	set_ports(p, d + PLAIN4_L4);
	return true;
}

static enum parse_verdict parse_walk(struct parse_frame *p, const uint8_t *data, uint32_t seg_len,
				     uint32_t frame_len)
{
	struct cursor c = {
		.data = data,
		.seg = seg_len < frame_len ? seg_len : frame_len,
		.frame = frame_len,
	};
	bool first, ok;

	memset(p, 0, sizeof(*p));
	p->frame_len = frame_len;
	if (!parse_ether(p, &c))
		return PARSE_MALFORMED;
	if (p->ethertype == ETYPE_IPV4)
		ok = parse_ipv4(p, &c, &first);
	else if (p->ethertype == ETYPE_IPV6)
		ok = parse_ipv6(p, &c, &first);
	else
		return other(p);
	return ok ? parse_upper(p, &c, first) : PARSE_MALFORMED;
}

enum parse_verdict parse_frame(struct parse_frame *p, const uint8_t *data, uint32_t seg_len,
			       uint32_t frame_len)
{
	if (likely(parse_plain4(p, data, seg_len < frame_len ? seg_len : frame_len, frame_len)))
		return p->verdict;
	return parse_walk(p, data, seg_len, frame_len);
}

enum parse_verdict parse_mbuf(struct parse_frame *p, struct rte_mbuf *m)
{
	enum parse_verdict v;

	v = parse_frame(p, rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m),
			rte_pktmbuf_pkt_len(m));
	if (v != PARSE_MALFORMED || p->bad != PARSE_BAD_SPLIT || rte_pktmbuf_linearize(m) != 0)
		return v;
	return parse_frame(p, rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m),
			   rte_pktmbuf_pkt_len(m));
}

void parse_payload_cut(struct parse_frame *p, struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l2_len);
	uint16_t len = (uint16_t)(p->l3_len + p->l4_len - (p->is_v6 ? IPV6_LEN : 0));
	uint8_t *field = ip + (p->is_v6 ? 4 : 2);

	field[0] = (uint8_t)(len >> 8);
	field[1] = (uint8_t)len;
	rte_pktmbuf_free(m->next);
	m->next = NULL;
	m->nb_segs = 1;
	m->data_len = p->payload_off;
	m->pkt_len = p->payload_off;
	p->frame_len = p->payload_off;
	p->payload_len = 0;
	p->pad_len = 0;
}

const char *parse_bad_text(enum parse_bad bad)
{
	static const char *const text[PARSE_BAD_MAX] = {
		[PARSE_OK] = "well formed",
		[PARSE_BAD_ETHER] = "frame shorter than its Ethernet header",
		[PARSE_BAD_IP_HEADER] = "IP header cut short or of wrong version or length",
		[PARSE_BAD_IP_LENGTH] = "IP length does not agree with the frame",
		[PARSE_BAD_IP_OPTION] = "IPv4 option runs over the header",
		[PARSE_BAD_EXTENSION] = "IPv6 extension header cut short or out of place",
		[PARSE_BAD_FRAGMENT] = "fragment ends beyond the largest IP packet",
		[PARSE_BAD_TCP_HEADER] = "TCP header cut short or with wrong data offset",
		[PARSE_BAD_SPLIT] = "headers split over receive buffers",
	};

	return (unsigned)bad < PARSE_BAD_MAX ? text[bad] : "unknown";
}
