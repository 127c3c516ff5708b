/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp_park.h"

#include <string.h>

#include "tcp/tcp_internal.h"

/* What was programmed is not among them: a quiet half has nothing programmed. */
#define KEPT_FLAGS \
	(HALF_SACK | HALF_RCV_FIN_KNOWN | HALF_RCV_FIN | HALF_FIN_QUEUED | HALF_FIN_SENT | HALF_REORDERED)

bool tcp_half_over(const struct tcp_half *h)
{
	return (h->state == TCP_CLOSED || h->state == TCP_TIME_WAIT) && !(h->flags & (HALF_ACK_NOW | HALF_EMIT_FAILED)) &&
	       !h->rxq.bytes && !h->sndq.bytes && !h->ooo.n && !h->score;
}

void tcp_half_park(struct tcp_half *h, struct tcp_parked *p)
{
	p->sent_at = h->sent_at;
	p->rcv_nxt = h->rcv_nxt;
	p->rcv_adv = h->rcv_adv;
	p->snd_nxt = h->snd_nxt;
	p->snd_wnd = h->snd_wnd;
	p->max_wnd = h->max_wnd;
	p->snd_wl1 = h->snd_wl1;
	p->snd_wl2 = h->snd_wl2;
	p->cwnd = h->cwnd;
	p->ssthresh = h->ssthresh;
	p->srtt_us = h->srtt_us;
	p->rttvar_us = h->rttvar_us;
	p->min_rtt_us = h->min_rtt_us;
	p->rto_us = h->rto_us;
	p->w_max = h->cubic.w_max;
	p->rcv_fin = h->rcv_fin;
	p->retrans = h->retrans;
	p->rtos = h->rtos;
	p->undos = h->undos;
	p->rcv_mss_told = h->rcv_mss_told;
	p->tso_max = h->tso_max;
	p->cc = h->cc;
	p->flags = h->flags & KEPT_FLAGS;
	p->mss = h->mss;
	p->rcv_mss = h->rcv_mss;
	p->state = h->state;
	p->snd_wscale = h->snd_wscale;
	p->rcv_wscale = h->rcv_wscale;
	p->quickack = h->quickack;
}

void tcp_half_unpark(struct tcp_half *h, const struct tcp_parked *p, const struct tcp_env *env)
{
	const struct tcp_params open = {
		.snd_nxt = p->snd_nxt,
		.rcv_nxt = p->rcv_nxt,
		.snd_wnd = p->snd_wnd,
		.mss = p->mss,
		.rcv_mss = p->rcv_mss,
		.snd_wscale = p->snd_wscale,
		.rcv_wscale = p->rcv_wscale,
		.wscale = true,
		.sack = p->flags & HALF_SACK,
	};

	tcp_half_open(h, &open, env);
	h->rcv_adv = p->rcv_adv;
	h->sent_at = p->sent_at;
	h->max_wnd = p->max_wnd;
	h->snd_wl1 = p->snd_wl1;
	h->snd_wl2 = p->snd_wl2;
	h->cwnd = p->cwnd;
	h->ssthresh = p->ssthresh;
	h->srtt_us = p->srtt_us;
	h->rttvar_us = p->rttvar_us;
	h->min_rtt_us = p->min_rtt_us;
	h->rto_us = p->rto_us;
	h->cubic.w_max = p->w_max;
	h->rcv_fin = p->rcv_fin;
	h->retrans = p->retrans;
	h->rtos = p->rtos;
	h->undos = p->undos;
	h->rcv_mss_told = p->rcv_mss_told;
	h->tso_max = p->tso_max;
	h->cc = p->cc;
	h->flags = p->flags;
	h->rcv_mss = p->rcv_mss;
	h->state = p->state;
	h->quickack = p->quickack;
	if (h->state == TCP_TIME_WAIT) {
		h->timer_kind = TCP_TIMER_TIME_WAIT;
		h->timer_at = env->now_us + TCP_TIME_WAIT_TIME;
	}
}
