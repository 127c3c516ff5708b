/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one kind of ICMP error a TCP endpoint acts on at once: a packet of its did not fit (RFC 792 type 3 code 4 with RFC 1191;
 * RFC 4443 type 2). All other errors about a segment are soft ones (RFC 5461, RFC 9293 3.9.2.2): they are not looked at and
 * cross to the real end, which may tell its user.
 *
 * Pure; any thread. What it finds is a claim of whoever sent it (RFC 5927): the flow's half must check the sequence number.
 */
#ifndef PARSE_ICMP_H
#define PARSE_ICMP_H

#include "parse/parse_frame.h"

#define PARSE_ICMP_MAX 168 /* octets of an error that are looked at: its header, a quoted IP header with options, ports, number */

struct parse_icmp {
	struct flow_key key; /* as the quoted segment's sender sent it; the tags are those of the error's frame */
	uint32_t seq;	     /* of the quoted segment, host order */
	uint16_t seq_at;     /* where it is in the message */
	uint16_t mtu;	     /* octets of the largest IP packet that fits: 68 or 1280 at least, less than was quoted */
};

/* n octets of an ICMP message of which the first avail (<= PARSE_ICMP_MAX are enough) are at p. True: "too big" about a TCP
 * segment, whole in itself; *o is set (key.vlan is not). A router of old that does not tell the MTU gets the next
 * lower of the usual ones (RFC 1191 section 7.1). */
bool parse_icmp_octets(struct parse_icmp *o, const uint8_t *p, uint32_t avail, bool v6);
/* The same for a received frame, and its ICMP checksum is right. */
bool parse_icmp_too_big(struct parse_icmp *o, const struct parse_frame *f, const struct rte_mbuf *m);

/* Writes another sequence number into the quoted segment and makes the ICMP checksum right. False: it does not lie in the
 * first buffer, nothing is changed. */
bool parse_icmp_seq_set(const struct parse_icmp *o, const struct parse_frame *f, struct rte_mbuf *m, uint32_t seq);

/* Worth a call of the above? */
static inline bool parse_is_icmp(const struct parse_frame *f)
{
	return f->is_ip && !f->is_fragment && f->proto == (f->is_v6 ? 58 : 1) && f->verdict == PARSE_OTHER;
}

#endif
