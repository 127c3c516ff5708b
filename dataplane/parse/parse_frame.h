/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Headers of a received Ethernet frame: up to two VLAN tags, IPv4 with options,
 * IPv6 with extension headers, TCP (and the ports of UDP). Finds where things
 * are and checks that the lengths agree with each other; changes nothing.
 *
 * Pure and reentrant; any thread. All offsets are octets from the first octet
 * of the frame. Addresses and ports in struct flow_key are in network order,
 * every other number is in host order.
 *
 * RFC 791, RFC 8200, RFC 6946 (atomic fragments), RFC 5095, RFC 9293 3.1,
 * IEEE 802.1Q.
 */
#ifndef PARSE_FRAME_H
#define PARSE_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

#define PARSE_VLAN_NONE 0xffff /* flow_key.vlan: no such tag */

/* What makes a flow. Hash and compare it as sizeof(struct flow_key) octets: it has no hidden
 * padding and parse_frame writes every octet. */
struct flow_key {
	uint8_t src[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t dst[16];
	uint16_t sport; /* network order; 0 when proto has no ports or they were not read */
	uint16_t dport;
	uint16_t vlan[2]; /* VLAN ids, host order, outer first; PARSE_VLAN_NONE */
	uint8_t proto;	  /* IP protocol, after IPv6 extension headers */
	uint8_t is_v6;
	uint16_t zero;
};
_Static_assert(sizeof(struct flow_key) == 44, "struct flow_key is hashed as it lies in memory");

enum parse_verdict {
	PARSE_OTHER,	 /* not a whole TCP segment over IP: bypass */
	PARSE_TCP,	 /* every field below is set */
	PARSE_MALFORMED, /* bad says why; the caller counts it and drops or bypasses it */
};

enum parse_bad { /* parse_bad_text() gives the sentence */
		 PARSE_OK,
		 PARSE_BAD_ETHER,      /* shorter than its Ethernet and VLAN headers */
		 PARSE_BAD_IP_HEADER,  /* IP header cut short, wrong version or header length */
		 PARSE_BAD_IP_LENGTH,  /* IP total length shorter than its header or longer than the
					  frame */
		 PARSE_BAD_IP_OPTION,  /* IPv4 option length runs over the header */
		 PARSE_BAD_EXTENSION,  /* IPv6 extension header cut short, out of place, or too many
					*/
		 PARSE_BAD_FRAGMENT,   /* fragment that ends beyond 65535 octets */
		 PARSE_BAD_TCP_HEADER, /* TCP header cut short or data offset below 5 or over the
					  segment */
		 PARSE_BAD_SPLIT, /* headers do not lie in the first segment and could not be made
				     to */
		 PARSE_BAD_MAX
};

struct parse_frame {
	uint8_t verdict; /* enum parse_verdict */
	uint8_t bad;	 /* enum parse_bad */
	uint8_t l2_len;	 /* Ethernet header with its tags */
	uint8_t nvlan;
	bool is_ip; /* l3_len, proto and the key's addresses are set */
	bool is_v6;
	bool is_fragment;   /* part of a fragmented packet (not an atomic fragment); never PARSE_TCP
			     */
	bool is_routed;	    /* source route still to go: the key's dst is not the last one; never
			       PARSE_TCP */
	uint16_t ethertype; /* after the tags */
	uint16_t l3_len;    /* IP header with options or extension headers */
	uint8_t proto;	    /* upper-layer protocol */
	uint8_t l4_len;	    /* TCP header with options; 8 for UDP; else 0 */
	uint8_t tcp_flags;  /* TCP_F_* */
	uint8_t tos;	    /* DSCP and ECN octet */
	uint8_t ttl;	    /* or hop limit */
	uint16_t l4_off;    /* l2_len + l3_len */
	uint16_t payload_off;
	uint32_t
		payload_len; /* TCP: octets of data; UDP or unknown: what IP carries after l4_len */
	uint32_t frame_len;  /* octets of the frame that count: l2_len + IP total length */
	uint32_t pad_len; /* octets after that (Ethernet padding), to be cut off before payload is
			     used */
	struct flow_key key;
};

/* seg_len contiguous octets at data are the beginning of a frame of frame_len octets (without FCS).
 * Returns p->verdict; fields are set as far as parsing got, the rest is zero. A header that would
 * go over seg_len while frame_len has it gives PARSE_MALFORMED with PARSE_BAD_SPLIT. */
enum parse_verdict parse_frame(struct parse_frame *p, const uint8_t *data, uint32_t seg_len,
			       uint32_t frame_len);
/* The same for a received packet. Headers split over segments are made contiguous
 * (rte_pktmbuf_linearize) when the first segment has room for the packet. m stays the caller's. */
enum parse_verdict parse_mbuf(struct parse_frame *p, struct rte_mbuf *m);

const char *parse_bad_text(enum parse_bad bad);

/* Key of the other direction. in and out may be the same. */
static inline void parse_key_reverse(struct flow_key *out, const struct flow_key *in)
{
	struct flow_key k = *in;

	memcpy(out->src, k.dst, sizeof(out->src));
	memcpy(out->dst, k.src, sizeof(out->dst));
	out->sport = k.dport;
	out->dport = k.sport;
	out->vlan[0] = k.vlan[0];
	out->vlan[1] = k.vlan[1];
	out->proto = k.proto;
	out->is_v6 = k.is_v6;
	out->zero = 0;
}

/* One's complement sum (folded, not complemented, octets as they lie in memory) of len octets at
 * off, in however many segments of whatever length. False when the packet is shorter.
 * rte_raw_cksum_mbuf of DPDK 22.11 loses carries behind a segment of odd length: use this. */
bool parse_sum_mbuf(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint16_t *sum);
/* The same of len octets that lie together. A sum of 0 comes of zeros only. */
uint16_t parse_sum(const void *octets, uint32_t len);
/* IPv4 header checksum of a parsed frame; true for IPv6. Uses what the port found out
 * (RTE_MBUF_F_RX_IP_CKSUM_*) and calculates where it did not. */
bool parse_ip_checksum_good(const struct parse_frame *p, const struct rte_mbuf *m);
/* TCP checksum over the pseudo header and the segment, in however many mbufs; padding is left out.
 * Only for PARSE_TCP. Uses RTE_MBUF_F_RX_L4_CKSUM_* where the port set it. */
bool parse_tcp_checksum_good(const struct parse_frame *p, const struct rte_mbuf *m);
/* The same, and when it is good, what the payload alone adds up to, in the form of struct chunk (0: not known, because
 * the packet has more than one mbuf, no payload, or a port that vouches for it without a checksum in it). */
bool parse_tcp_checksum_sum(const struct parse_frame *p, const struct rte_mbuf *m, uint16_t *payload_sum);
/* Calculates both without looking at the offload flags and writes them into the packet (first
 * segment, writable): after headers were changed in place. Only for PARSE_TCP. */
void parse_checksum_set(const struct parse_frame *p, struct rte_mbuf *m);
/* Cuts payload and padding off, in however many segments, and makes the IP length right; p then describes what is left.
 * Checksums are the caller's (parse_checksum_set). Only for PARSE_TCP; the first segment must be writable. */
void parse_payload_cut(struct parse_frame *p, struct rte_mbuf *m);

/* May a received frame be one that cannot leave as it came? mtu: of the port it would leave by. */
static inline bool parse_offload_wanted(const struct rte_mbuf *m, uint32_t mtu)
{
	return (m->ol_flags & RTE_MBUF_F_RX_LRO) || rte_pktmbuf_pkt_len(m) > mtu + 14 ||
	       (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}
/* A port may give a frame without its checksum (virtio, RTE_MBUF_F_RX_L4_CKSUM_NONE), or several segments merged to one
 * (RTE_MBUF_F_RX_LRO). Sets what has to be asked of the port that sends it on (RTE_MBUF_F_TX_*, the lengths, tso_segsz,
 * and the sum of the pseudo header in the checksum field); its octets are otherwise the same. m's headers may be written
 * to. True: m is larger than one packet of mtu octets, and will be cut.
 * Idempotent, so that a frame that is handed over to another worker may pass twice. */
bool parse_offload(const struct parse_frame *p, struct rte_mbuf *m, uint32_t mtu);

#endif
