/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: TCP segments to and from octets (RFC 9293, RFC 791, RFC 8200), and the numbering of connections.
 *
 * A tuple is the number of a connection's addresses and ports: server address, client address and client port as
 * digits, so that either end knows a segment's connection without searching.
 */
#ifndef LOADGEN_WIRE_H
#define LOADGEN_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>
#include "loadgen_config.h"

#define LG_FIN 0x01
#define LG_SYN 0x02
#define LG_RST 0x04
#define LG_PSH 0x08
#define LG_ACK 0x10

#define LG_HEAD_MAX (14 + 40 + 60)

struct lg_wire {
	const struct lg_config *cfg;
	bool server; /* side this is */
	bool rx_cksum_hw, rx_cksum_sw, tx_cksum_hw;
	struct rte_ether_addr own, peer;
	uint32_t own_base, peer_base; /* low 32 bits of the first addresses */
	uint16_t ip_id;
};

struct lg_segment {
	uint32_t tuple;
	uint32_t seq, ack, len; /* len: octets of data */
	uint16_t wnd, mss;	/* mss: option, 0 if none */
	uint8_t flags;
	int8_t wscale; /* option, -1 if none */
	const uint8_t *data;
};

enum lg_parse { LG_P_TCP, LG_P_OTHER, LG_P_CHECKSUM, LG_P_MALFORMED };

void lg_wire_init(struct lg_wire *w, const struct lg_config *cfg, bool server);
/* LG_P_OTHER: not TCP, or not for one of this run's connections. */
enum lg_parse lg_wire_parse(const struct lg_wire *w, struct rte_mbuf *m, struct lg_segment *s);

/* What a segment's headers say. With LG_SYN in flags, mss and wscale (-1: none) become options. */
struct lg_header {
	uint32_t tuple, seq, ack;
	uint16_t wnd, mss;
	uint8_t flags;
	int8_t wscale;
};

/* Octets of headers before the data. */
static inline unsigned lg_wire_head_len(const struct lg_wire *w, const struct lg_header *h)
{
	return 14 + (w->cfg->v6 ? 40 : 20) + 20 + (h->flags & LG_SYN ? 8 : 0);
}
/* Writes the headers of a frame whose len octets of data are in place behind them; checksums included. */
void lg_wire_build(struct lg_wire *w, struct rte_mbuf *m, const struct lg_header *h, uint32_t len);

/* One's complement sum of the pseudo header. */
uint64_t lg_wire_pseudo(bool v6, const void *ip_header, uint32_t l4_len, uint8_t proto);

/* "10.1.0.1:1024 > 10.2.0.1:80", for messages. */
void lg_wire_tuple_text(const struct lg_config *cfg, uint32_t tuple, char *to, size_t len);

static inline uint32_t lg_ip_low(const uint8_t ip[16], bool v6)
{
	const uint8_t *p = ip + (v6 ? 12 : 0);

	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

#endif
