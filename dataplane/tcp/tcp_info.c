/* SPDX-License-Identifier: BSD-3-Clause */
/* What a half is doing, for operators; and whether it does anything. */
#include "tcp/tcp_internal.h"

#include <string.h>

bool tcp_half_quiet(const struct tcp_half *h)
{
	const uint32_t busy = HALF_ACK_NOW | HALF_PROBE | HALF_TLP_DUE | HALF_EMIT_FAILED;
	uint32_t fin = h->flags & (HALF_FIN_QUEUED | HALF_FIN_SENT);

	return h->state != TCP_CLOSED && h->state != TCP_TIME_WAIT && !(h->flags & busy) &&
	       fin != HALF_FIN_QUEUED && !h->rxq.bytes && !h->sndq.bytes &&
	       h->snd_una == h->snd_nxt && h->rcv_acked == h->rcv_nxt && !h->ooo.n && !h->score &&
	       h->dsack_left == h->dsack_right && h->timer_kind == TCP_TIMER_NONE &&
	       tcp_half_deadline(h) == TCP_NEVER;
}

void tcp_half_info(const struct tcp_env *env, const struct tcp_half *h, struct tcp_half_info *i)
{
	static const char *const states[] = {
		[TCP_ESTABLISHED] = "established", [TCP_FIN_WAIT_1] = "fin-wait-1",
		[TCP_FIN_WAIT_2] = "fin-wait-2",   [TCP_CLOSE_WAIT] = "close-wait",
		[TCP_CLOSING] = "closing",	   [TCP_LAST_ACK] = "last-ack",
		[TCP_TIME_WAIT] = "time-wait",	   [TCP_CLOSED] = "closed",
	};
	static const char *const phases[] = {
		[TCP_CA_OPEN] = "open", [TCP_CA_RECOVERY] = "recovery", [TCP_CA_LOSS] = "loss"};
	static const char *const timers[] = {
		[TCP_TIMER_NONE] = "none",   [TCP_TIMER_RTO] = "rto",
		[TCP_TIMER_TLP] = "tlp",     [TCP_TIMER_PERSIST] = "persist",
		[TCP_TIMER_RETRY] = "retry", [TCP_TIMER_TIME_WAIT] = "time-wait",
	};

	memset(i, 0, sizeof(*i));
	i->state = states[h->state];
	i->cc = tcp_cc_name(h);
	i->ca = phases[h->ca];
	i->timer = timers[h->timer_kind];
	i->timer_us = h->timer_kind == TCP_TIMER_NONE || h->timer_at == TCP_NEVER ? TCP_NEVER
		      : h->timer_at > env->now_us ? h->timer_at - env->now_us
						  : 0;
	i->snd_una = h->snd_una;
	i->snd_nxt = h->snd_nxt;
	i->snd_wnd = h->snd_wnd;
	i->rcv_nxt = h->rcv_nxt;
	i->rcv_wnd = seq_lt(h->rcv_nxt, h->rcv_adv) ? h->rcv_adv - h->rcv_nxt : 0;
	i->cwnd = h->cwnd;
	i->ssthresh = h->ssthresh;
	i->srtt_us = h->srtt_us;
	i->rttvar_us = h->rttvar_us;
	i->min_rtt_us = h->min_rtt_us;
	i->rto_us = h->rto_us;
	i->pipe = tcp_pipe(h);
	i->sacked = h->sacked;
	i->lost = h->lost;
	i->retrans = h->retrans;
	i->rtos = h->rtos;
	i->undos = h->undos;
	i->reo_wnd_us = tcp_reo_wnd(h);
	i->unsent = h->state == TCP_CLOSED ? 0 : tcp_unsent(h);
	i->unacked = h->state == TCP_CLOSED ? 0 : tcp_half_send_pending(h) - i->unsent;
	i->rxq = h->rxq.bytes;
	i->ooo_bytes = h->ooo.bytes;
	i->ooo_ranges = h->ooo.n;
	i->mss = h->mss;
	i->rcv_mss = h->rcv_mss;
	i->snd_wscale = h->snd_wscale;
	i->rcv_wscale = h->rcv_wscale;
	i->backoff = h->backoff;
	i->sack = h->flags & HALF_SACK;
	i->rx_finished = h->flags & HALF_RCV_FIN;
	i->tx_finished = h->flags & HALF_FIN_SENT;
}
