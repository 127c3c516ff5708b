/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two connections that were split and are one again: each end counts from what it was told, so that the numbers of a
 * segment are moved by a constant on their way. Pure functions on a TCP header; any thread.
 *
 * seq moves with what its sender's octets became on the way; ack and the blocks of SACK options (RFC 2018, duplicates of
 * RFC 2883 as well) count the octets of the other direction and move back by what those became.
 */
#ifndef TCP_SPLICE_H
#define TCP_SPLICE_H

#include <stdbool.h>
#include <stdint.h>

/* Of the segments of one end. */
struct tcp_splice {
	uint32_t seq; /* added to sequence numbers */
	uint32_t ack; /* added to acknowledgements and SACK blocks */
};

/* hdr: a TCP header of len octets with its options (len is what its data offset says), in network order. The checksum is
 * moved by the difference (RFC 1624): it is right afterwards if it was, and wrong if it was wrong. Nothing is written when
 * both numbers are 0. */
void tcp_splice_rewrite(uint8_t *hdr, uint32_t len, const struct tcp_splice *t);

#endif
