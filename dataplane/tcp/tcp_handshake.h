/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake that passes through: SYN and SYN/ACK of the real ends cross the box, with options we cannot serve replaced
 * by NOPs, so that reachability, refusal, ISNs and MSS stay those of the real ends. From what was seen the parameters of
 * both halves follow.
 *
 *   NONE --client's SYN--> SYN_SEEN --server's SYN/ACK--> SYNACK_SEEN --client's ACK--> DONE
 *                             |                                ^
 *                      server's SYN                            | SYN/ACK with another number than that SYN's:
 *                             v                                | it was not the server's
 *                        SYNS_CROSSED --------------------------
 *                             |
 *                             +--each end has acknowledged the other's SYN (SYN/ACK or ACK)--> DONE
 *   any --RST that its receiver believes--> RESET (the owner forwards the RST and forgets the flow)
 *
 * SYNS_CROSSED is the simultaneous open of RFC 9293 figure 8. The segment that makes it DONE is not sent on: the half
 * beyond us says with an ACK what it would have said (3.10.7.4, SYN-RECEIVED), the half it came from answers it with an ACK.
 *
 * INV-HS-1  no octet of data crosses: a SYN, SYN/ACK or RST is sent on without its payload (the owner cuts it; the end sends
 *           it again), any other segment with data is dropped unless it completes the handshake and goes to a half. So fast
 *           open (RFC 7413), data in a SYN, or ends that agree on numbers we do not know cannot carry anything past a service.
 * INV-HS-2  the end that acknowledges decides which SYN counts. A SYN with another ISN (a port used again; an attempt to
 *           make us follow the wrong one) does not replace the one before: two are remembered for each side until
 *           an acknowledgement names one. Whoever forges a SYN can neither end nor divert the handshake of others.
 * INV-HS-3  a RST or ACK that its receiver would not believe (RFC 9293 3.10.7.3, 3.10.7.4, RFC 5961) changes nothing here.
 *
 * Kept options: MSS (lowered to mss_max), window scale, SACK-permitted. Everything else (timestamps, fast open, MPTCP, unknown)
 * becomes NOP, so that the ends fall back to TCP without it. ECN is negotiated off. A SYN with MD5 or AO (RFC 2385, 5925) is
 * not ours to split: its signature covers the header. TCP_HS_BYPASS.
 */
#ifndef TCP_HANDSHAKE_H
#define TCP_HANDSHAKE_H

#include "tcp/tcp.h"

enum tcp_hs_state {
	TCP_HS_NONE,
	TCP_HS_SYN_SEEN,
	TCP_HS_SYNS_CROSSED,
	TCP_HS_SYNACK_SEEN,
	TCP_HS_DONE,
	TCP_HS_RESET,
};

enum tcp_hs_verdict {
	TCP_HS_FORWARD, /* send the (possibly rewritten) segment on, without payload; checksum must be made new */
	TCP_HS_DROP,	/* not acceptable in this state */
	TCP_HS_BYPASS,	/* this flow cannot be split: forget it, let it cross as it came */
	TCP_HS_ESTABLISHED, /* DONE: open the halves */
};

/* What a SYN or SYN/ACK said. */
struct tcp_hs_syn {
	uint32_t isn;
	uint16_t window; /* never scaled */
	uint16_t mss;	 /* after clamping; 536 or 1220 if none */
	uint8_t wscale;
	bool has_wscale;
	bool sack;
	bool seen;
};

struct tcp_handshake {
	struct tcp_hs_syn syn[2];   /* 0 = client's, 1 = server's */
	struct tcp_hs_syn other[2]; /* with another ISN, may be the one that counts (INV-HS-2) */
	uint32_t wnd;		    /* the client's when it acknowledged, scaled where due */
	uint8_t state;		    /* enum tcp_hs_state */
	uint8_t again;		    /* bit side: no RTT sample for its half (Karn) */
	uint8_t acked;		    /* SYNS_CROSSED, bit side: it has acknowledged the other's SYN */
	uint64_t syn_us, synack_us, ack_us;
};

/* Flags that no end sends: SYN with FIN or RST, or none of SYN, RST and ACK (null, Xmas, bare FIN). RFC 9293 3.10.7 has every
 * state drop the latter; the former are an attempt at filters. */
static inline bool tcp_flags_bad(uint8_t flags)
{
	return (flags & TCP_F_SYN) ? (flags & (TCP_F_FIN | TCP_F_RST)) != 0 : (flags & (TCP_F_RST | TCP_F_ACK)) == 0;
}

/* One segment from side (0 = client to server, 1 = server to client). hdr is writable TCP header of
 * s->header_len bytes (options are rewritten in place, length unchanged; checksum is not touched).
 * ipv6 picks defaults. On TCP_HS_ESTABLISHED (from the client's ACK, with or without data, or the last acknowledgement of a
 * simultaneous open from either side): the owner opens both halves with tcp_handshake_params, and gives the segment to
 * the tcp_half_input of the half towards side. Both halves have a bare ACK programmed: their first tcp_half_output sends it. */
enum tcp_hs_verdict tcp_handshake_input(struct tcp_handshake *hs, unsigned side,
					const struct tcp_segment *s, uint8_t *hdr, uint16_t mss_max,
					bool ipv6, uint64_t now_us);
/* Parameters of the half that faces side (0 = the half towards the client). Only when DONE. */
void tcp_handshake_params(const struct tcp_handshake *hs, unsigned side, struct tcp_params *p);

#endif
