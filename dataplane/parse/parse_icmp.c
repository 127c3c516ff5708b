/* SPDX-License-Identifier: BSD-3-Clause */
#include "parse/parse_icmp.h"

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_mbuf.h>

#define ICMP_HEAD 8
#define ICMP4_UNREACHABLE 3
#define ICMP4_TOO_BIG 4
#define ICMP6_TOO_BIG 2
#define MTU4_MIN 68   /* RFC 791 */
#define MTU6_MIN 1280 /* RFC 8200 section 5; RFC 8201 section 4 has smaller ones ignored */
#define IPV6_LEN 40
#define TCP_QUOTED 8 /* ports and sequence number: what RFC 792 promises */
#define EXT_MAX 8

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* RFC 1191 section 7.1. */
static uint16_t plateau(uint16_t len)
{
	static const uint16_t below[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, MTU4_MIN};
	unsigned i = 0;

	while (i + 1 < sizeof(below) / sizeof(below[0]) && below[i] >= len)
		i++;
	return below[i];
}

static bool quoted_tcp(struct parse_icmp *o, const uint8_t *tcp, uint32_t at)
{
	o->seq_at = (uint16_t)(ICMP_HEAD + at + 4);
	memcpy(&o->key.sport, tcp, 2);
	memcpy(&o->key.dport, tcp + 2, 2);
	o->key.proto = IPPROTO_TCP;
	o->seq = get32(tcp + 4);
	return true;
}

static bool quoted4(struct parse_icmp *o, const uint8_t *ip, uint32_t n, uint32_t mtu)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint32_t hlen, total;

	if (n < 20)
		return false;
	hlen = (uint32_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (ip[0] >> 4 != 4 || hlen < 20 || hlen + TCP_QUOTED > n || total < hlen + 20 || ip[9] != IPPROTO_TCP ||
	    (get16(ip + 6) & 0x1fff) != 0)
		return false;
	if (mtu == 0)
		mtu = plateau((uint16_t)total);
	if (mtu < MTU4_MIN || mtu >= total)
		return false;
	o->mtu = (uint16_t)mtu;
	memcpy(o->key.src, mapped, 12);
	memcpy(o->key.dst, mapped, 12);
	memcpy(o->key.src + 12, ip + 12, 4);
	memcpy(o->key.dst + 12, ip + 16, 4);
	return quoted_tcp(o, ip + hlen, hlen);
}

static bool quoted6(struct parse_icmp *o, const uint8_t *ip, uint32_t n, uint32_t mtu)
{
	uint32_t off = IPV6_LEN, total, at;
	uint8_t next;

	if (n < IPV6_LEN || ip[0] >> 4 != 6)
		return false;
	total = IPV6_LEN + (uint32_t)get16(ip + 4);
	next = ip[6];
	for (unsigned i = 0; i < EXT_MAX && off + 8 <= n && next != IPPROTO_TCP; i++) {
		if (next == IPPROTO_FRAGMENT && (get16(ip + off + 2) & 0xfff8) != 0)
			return false;
		if (next != IPPROTO_FRAGMENT && next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS && next != IPPROTO_ROUTING)
			return false;
		at = off;
		off += next == IPPROTO_FRAGMENT ? 8 : 8 + (uint32_t)ip[off + 1] * 8;
		next = ip[at];
	}
	if (next != IPPROTO_TCP || off + TCP_QUOTED > n || mtu < MTU6_MIN || mtu >= total)
		return false;
	o->mtu = (uint16_t)mtu;
	memcpy(o->key.src, ip + 8, 16);
	memcpy(o->key.dst, ip + 24, 16);
	o->key.is_v6 = 1;
	return quoted_tcp(o, ip + off, off);
}

bool parse_icmp_octets(struct parse_icmp *o, const uint8_t *p, uint32_t avail, bool v6)
{
	memset(o, 0, sizeof(*o));
	if (avail < ICMP_HEAD)
		return false;
	if (v6)
		return p[0] == ICMP6_TOO_BIG && p[1] == 0 && quoted6(o, p + ICMP_HEAD, avail - ICMP_HEAD, get32(p + 4));
	return p[0] == ICMP4_UNREACHABLE && p[1] == ICMP4_TOO_BIG &&
	       quoted4(o, p + ICMP_HEAD, avail - ICMP_HEAD, get16(p + 6));
}

static bool checksum_good(const struct parse_frame *f, const struct rte_mbuf *m, uint32_t len)
{
	uint32_t sum;
	uint16_t part;

	if (!parse_sum_mbuf(m, f->l4_off, len, &part))
		return false;
	sum = part;
	if (f->is_v6)
		sum += parse_sum(f->key.src, 16) + parse_sum(f->key.dst, 16) + rte_cpu_to_be_16((uint16_t)len) +
		       rte_cpu_to_be_16(IPPROTO_ICMPV6);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum == 0xffff;
}

bool parse_icmp_too_big(struct parse_icmp *o, const struct parse_frame *f, const struct rte_mbuf *m)
{
	uint32_t len = f->frame_len - f->l4_off, n = len < PARSE_ICMP_MAX ? len : PARSE_ICMP_MAX;
	uint8_t flat[PARSE_ICMP_MAX];
	const uint8_t *p = rte_pktmbuf_read(m, f->l4_off, n, flat);

	if (!p || !parse_icmp_octets(o, p, n, f->is_v6) || !parse_ip_checksum_good(f, m) || !checksum_good(f, m, len))
		return false;
	o->key.vlan[0] = f->key.vlan[0];
	o->key.vlan[1] = f->key.vlan[1];
	return true;
}

bool parse_icmp_seq_set(const struct parse_icmp *o, const struct parse_frame *f, struct rte_mbuf *m, uint32_t seq)
{
	uint8_t *icmp = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off), *at = icmp + o->seq_at;
	uint16_t old, sum, is;
	uint32_t x;

	if (rte_pktmbuf_data_len(m) < f->l4_off + o->seq_at + 4u)
		return false;
	/* RFC 1624; headers are of even length, so that the number lies on whole words of the sum. */
	old = parse_sum(at, 4);
	seq = rte_cpu_to_be_32(seq);
	memcpy(at, &seq, 4);
	is = parse_sum(at, 4);
	memcpy(&sum, icmp + 2, 2);
	x = (uint16_t)~sum + (uint32_t)(uint16_t)~old + is;
	x = (x >> 16) + (x & 0xffff);
	x = (x >> 16) + (x & 0xffff);
	sum = (uint16_t)~x;
	memcpy(icmp + 2, &sum, 2);
	return true;
}
