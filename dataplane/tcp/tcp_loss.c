/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loss recovery (RFC 6675, NewReno of RFC 6582 where the peer has no SACK) and the round trip
 * estimate (RFC 6298).
 *
 *            lost > 0                 snd_una >= recover
 *   OPEN ----------------> RECOVERY --------------------> OPEN
 *   any  --- timeout ----> LOSS ------------------------> OPEN
 *
 * In RECOVERY the window follows proportional rate reduction (RFC 6937), in LOSS slow start.
 */
#include "tcp/tcp_internal.h"

void tcp_rtt_sample(struct tcp_half *h, uint64_t us)
{
	uint32_t r = us < 1 ? 1 : us > TCP_RTO_MAX ? TCP_RTO_MAX : (uint32_t)us, diff;

	if (!h->min_rtt_us || r < h->min_rtt_us)
		h->min_rtt_us = r;
	if (!h->srtt_us) {
		h->srtt_us = r;
		h->rttvar_us = r / 2;
	} else {
		diff = r > h->srtt_us ? r - h->srtt_us : h->srtt_us - r;
		h->rttvar_us = (3 * h->rttvar_us + diff) / 4;
		h->srtt_us = max_u32((7 * h->srtt_us + r) / 8, 1);
	}
	/* Slow start has found the path's capacity once a queue builds up, in the spirit of RFC
	 * 9406; the slack keeps a busy peer from being taken for a queue. */
	if (h->cwnd < h->ssthresh && h->cwnd >= TCP_HYSTART_SEGS * h->mss &&
	    r > 2 * h->min_rtt_us + TCP_HYSTART_SLACK)
		h->ssthresh = h->cwnd;
	r = h->srtt_us + max_u32(4 * h->rttvar_us, 1000);
	h->rto_us = min_u32(max_u32(r, TCP_RTO_MIN), TCP_RTO_MAX);
}

static void recovery_enter(struct tcp_env *env, struct tcp_half *h)
{
	env->count.fast_rtx++;
	h->ca = TCP_CA_RECOVERY;
	h->recover = h->snd_nxt;
	h->prr_delivered = 0;
	h->prr_out = 0;
	h->prr_flight = max_u32(h->snd_nxt - h->snd_una, h->mss);
	h->flags &= ~HALF_TLP_DUE;
	h->loss_probes = 0;
	tcp_cc_reduce(h);
}

/* RFC 6937: sends about ssthresh / flight bytes for each byte delivered. */
static void prr(struct tcp_half *h, uint32_t delivered, bool first)
{
	uint32_t pipe = tcp_pipe(h);
	int64_t send;

	h->prr_delivered += delivered;
	if (pipe > h->ssthresh) {
		send = ((int64_t)h->prr_delivered * h->ssthresh + h->prr_flight - 1) /
			       h->prr_flight -
		       h->prr_out;
	} else {
		int64_t limit = (int64_t)h->prr_delivered - h->prr_out;

		if (limit < (int64_t)delivered)
			limit = delivered;
		limit += h->mss;
		send = (int64_t)h->ssthresh - pipe;
		send = send < limit ? send : limit;
	}
	if (send < 0)
		send = 0;
	if (first && send < h->mss)
		send = h->mss;
	h->cwnd = pipe + (uint32_t)send;
}

/* Without SACK: the third duplicate, and every ACK that leaves a hole, name the segment at snd_una.
 */
static void newreno_mark(struct tcp_half *h, uint32_t acked)
{
	bool hole = false;

	if (h->ca == TCP_CA_OPEN)
		hole = h->dupacks >= TCP_DUPTHRESH;
	else if (h->ca == TCP_CA_RECOVERY)
		hole = acked && seq_lt(h->snd_una, h->recover);
	if (!hole)
		return;
	h->lost_high = seq_max(h->lost_high, seq_min(h->snd_una + h->mss, h->snd_nxt));
	h->rtx_high = h->snd_una;
	h->lost = h->lost_high - h->snd_una;
}

void tcp_loss_acked(struct tcp_env *env, struct tcp_half *h, uint32_t acked, uint32_t delivered)
{
	bool first = false;

	if (h->ca != TCP_CA_OPEN && seq_le(h->recover, h->snd_una)) {
		if (h->ca == TCP_CA_RECOVERY)
			h->cwnd = max_u32(h->ssthresh, 2u * h->mss);
		h->ca = TCP_CA_OPEN;
		h->dupacks = 0;
		if (!(h->flags & HALF_SACK))
			h->sacked = 0;
	}
	if (h->flags & HALF_SACK)
		tcp_score_detect(env, h);
	else
		newreno_mark(h, acked);
	if (h->ca == TCP_CA_OPEN && h->lost) {
		recovery_enter(env, h);
		first = true;
	}
	if (h->ca == TCP_CA_RECOVERY) {
		prr(h, delivered, first);
	} else if (delivered) {
		if (h->ca == TCP_CA_LOSS)
			h->flags |= HALF_CWND_LIMITED;
		tcp_cc_acked(h, env->now_us, delivered);
	}
}

void tcp_loss_timeout(struct tcp_env *env, struct tcp_half *h)
{
	env->count.rto++;
	h->rtos += h->rtos < UINT16_MAX;
	/* Once per window: a second timeout for the same bytes says nothing new about the path. */
	if (h->ca != TCP_CA_LOSS)
		tcp_cc_reduce(h);
	h->ca = TCP_CA_LOSS;
	h->recover = h->snd_nxt;
	h->cwnd = h->mss;
	h->dupacks = 0;
	h->rtt_at = TCP_NEVER;
	h->flags &= ~HALF_TLP_DUE;
	h->loss_probes = 0;
	tcp_score_all_lost(env, h);
}

void tcp_loss_path(struct tcp_env *env, struct tcp_half *h)
{
	h->ca = TCP_CA_LOSS;
	h->recover = h->snd_nxt;
	h->dupacks = 0;
	h->rtt_at = TCP_NEVER;
	h->flags &= ~HALF_TLP_DUE;
	h->loss_probes = 0;
	tcp_score_all_lost(env, h);
}
