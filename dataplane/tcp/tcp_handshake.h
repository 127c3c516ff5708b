/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake that passes through: SYN and SYN/ACK of the real ends cross the
 * box, with options we cannot serve replaced by NOPs, so that reachability,
 * refusal, ISNs and MSS stay those of the real ends. From what was seen the
 * parameters of both halves follow.
 *
 *   NONE --syn--> SYN_SEEN --syn/ack--> SYNACK_SEEN --client's ACK--> DONE
 *   any --RST--> RESET (the owner forwards the RST and forgets the flow)
 *
 * Kept options: MSS (lowered to mss_max), window scale, SACK-permitted.
 * Everything else (timestamps, TFO, MPTCP, AO, MD5, unknown) becomes NOP.
 * A SYN with MD5 or AO is not ours to split: TCP_HS_BYPASS.
 */
#ifndef TCP_HANDSHAKE_H
#define TCP_HANDSHAKE_H

#include "tcp/tcp.h"

enum tcp_hs_state { TCP_HS_NONE, TCP_HS_SYN_SEEN, TCP_HS_SYNACK_SEEN, TCP_HS_DONE, TCP_HS_RESET };

enum tcp_hs_verdict {
	TCP_HS_FORWARD, /* send the (possibly rewritten) segment on; checksum must be made new */
	TCP_HS_DROP,	/* not acceptable in this state */
	TCP_HS_BYPASS,	/* this flow cannot be split: forget it, let it cross */
	TCP_HS_ESTABLISHED, /* DONE: open the halves */
};

struct tcp_handshake {
	uint32_t isn[2];     /* 0 = client's, 1 = server's */
	uint32_t wnd[2];     /* last window each announced, scaled where due */
	uint16_t syn_wnd[2]; /* window in the SYN and the SYN/ACK (never scaled) */
	uint16_t mss[2];     /* MSS each side announced (after clamping), 536 / 1220 if none */
	uint8_t wscale[2];
	bool has_wscale[2];
	bool sack[2];
	uint8_t state; /* enum tcp_hs_state */
	uint8_t again; /* bit side: its SYN came more than once, no RTT sample (Karn) */
	uint64_t syn_us, synack_us, ack_us;
};

/* One segment from side (0 = client to server, 1 = server to client). hdr is writable TCP header of
 * s->header_len bytes (options are rewritten in place, length unchanged; checksum is not touched).
 * ipv6 picks defaults. On TCP_HS_ESTABLISHED (from the client's ACK, with or without data): the
 * owner opens both halves with tcp_handshake_params, sends a bare ACK on towards the server
 * (programmed by the server-side half: its first tcp_half_output sends it) and gives the segment to
 * the client-side half's tcp_half_input. */
enum tcp_hs_verdict tcp_handshake_input(struct tcp_handshake *hs, unsigned side,
					const struct tcp_segment *s, uint8_t *hdr, uint16_t mss_max,
					bool ipv6, uint64_t now_us);
/* Parameters of the half that faces side (0 = the half towards the client). Only when DONE. */
void tcp_handshake_params(const struct tcp_handshake *hs, unsigned side, struct tcp_params *p);

#endif
