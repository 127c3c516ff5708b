/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A half with nothing to do, packed: what must be remembered of a connection on which all is said and acknowledged.
 * Everything else in struct tcp_half is then either empty or follows from these.
 *
 * INV-PARK-1  pack and unpack of a quiet half: the peer sees no difference, whatever it sends next. Sequence numbers,
 *             windows, what was agreed and what is known of the path (RFC 6298, 5681) are the same. An epoch of
 *             congestion avoidance (RFC 9438) begins anew, as it does after any silence.
 *
 * Owner thread: the worker of the flow. Nothing is allocated.
 */
#ifndef TCP_PARK_H
#define TCP_PARK_H

#include "tcp/tcp.h"

struct tcp_parked {
	uint64_t sent_at;
	uint32_t rcv_nxt, rcv_adv;
	uint32_t snd_nxt; /* all before it is acknowledged */
	uint32_t snd_wnd, max_wnd, snd_wl1, snd_wl2;
	uint32_t cwnd, ssthresh;
	uint32_t srtt_us, rttvar_us, min_rtt_us, rto_us;
	float w_max; /* RFC 9438 4.6 */
	uint32_t rcv_fin;
	uint32_t flags;
	uint32_t retrans;
	uint16_t rtos, undos;
	uint16_t mss, rcv_mss, rcv_mss_told, tso_max;
	uint8_t state, snd_wscale, rcv_wscale, quickack;
	uint8_t cc;
};
_Static_assert(sizeof(struct tcp_parked) <= 104, "a million flows have two of these");

/* h is quiet (tcp_half_quiet), or over; it holds nothing afterwards and need not be freed. */
void tcp_half_park(struct tcp_half *h, struct tcp_parked *p);
/* Closed, or in TIME_WAIT with nothing left to take or to say: it may be parked, too, and is in TIME_WAIT from the
 * beginning when it is taken out again. */
bool tcp_half_over(const struct tcp_half *h);
/* h: uninitialised memory. */
void tcp_half_unpark(struct tcp_half *h, const struct tcp_parked *p, const struct tcp_env *env);

#endif
