/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loss recovery (RFC 6675, 8985; NewReno of RFC 6582 where the peer has no SACK), taking it back where nothing was lost
 * (F-RTO of RFC 5682, duplicates of RFC 2883 used as RFC 3708 says), and the round trip estimate (RFC 6298).
 *
 *            lost > 0                 snd_una >= recover
 *   OPEN ----------------> RECOVERY --------------------> OPEN
 *   any  --- timeout ----> LOSS ------------------------> OPEN
 *   RECOVERY, LOSS --- all that was sent again came twice, or what was sent once came after all ---> OPEN, window as before
 *
 * In RECOVERY the window follows proportional rate reduction (RFC 6937), in LOSS slow start.
 */
#include "tcp/tcp_internal.h"

#define NOTHING_AGAIN UINT32_MAX /* undo_rtx: nothing was sent again yet */

/* A sample for nearly every ACK: the deviation follows what is larger at once and what is smaller slowly, so that it
 * lasts as if there were one for each round trip. The least RTO is above the estimate: a peer may delay its ACK. */
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
		if (diff > h->rttvar_us)
			h->rttvar_us = (uint32_t)((3 * (uint64_t)h->rttvar_us + diff) / 4);
		else
			h->rttvar_us -= (h->rttvar_us - diff) / 32;
		h->srtt_us = max_u32((uint32_t)((7 * (uint64_t)h->srtt_us + r) / 8), 1);
	}
	tcp_cc_rtt(h, r);
	h->rto_us = (uint32_t)min_u64(h->srtt_us + max_u32(4 * h->rttvar_us, TCP_RTO_MIN), TCP_RTO_MAX);
}

void tcp_loss_round(struct tcp_half *h)
{
	h->round_end = h->snd_nxt;
	tcp_cc_round(h);
	if (h->ca == TCP_CA_OPEN)
		h->recover = seq_max(h->recover, h->snd_una);
	if (h->ca != TCP_CA_OPEN || !(h->flags & HALF_UNDO))
		return;
	if (h->flags & HALF_UNDO_OLD)
		h->flags &= ~(HALF_UNDO | HALF_UNDO_OLD);
	else
		h->flags |= HALF_UNDO_OLD;
}

/* Before a reduction. Not twice for the same bytes: the answers to the two could not be told apart. */
static void undo_save(struct tcp_half *h)
{
	h->flags &= ~(HALF_UNDO | HALF_UNDO_OLD);
	if (seq_lt(h->snd_una, h->recover))
		return;
	h->undo_cwnd = h->cwnd;
	h->undo_ssthresh = h->ssthresh;
	h->undo_una = h->snd_una;
	h->undo_rtx = NOTHING_AGAIN;
	h->flags |= HALF_UNDO;
}

static void undo(struct tcp_env *env, struct tcp_half *h)
{
	tcp_cc_undo(h);
	h->flags &= ~(HALF_UNDO | HALF_UNDO_OLD);
	h->frto = TCP_FRTO_OFF;
	h->undos += h->undos < UINT16_MAX;
	env->count.undo++;
	if (h->ca == TCP_CA_OPEN)
		return;
	h->ca = TCP_CA_OPEN;
	h->recover = h->undo_rtx ? h->snd_nxt : h->snd_una; /* no answer is outstanding that could be mistaken */
	h->dupacks = 0;
	tcp_score_undo(h);
}

void tcp_loss_again(struct tcp_half *h, uint32_t bytes)
{
	if (h->flags & HALF_UNDO)
		h->undo_rtx = h->undo_rtx == NOTHING_AGAIN ? bytes : h->undo_rtx + bytes;
}

void tcp_loss_dsack(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right)
{
	env->count.dsack_in++;
	if ((h->flags & HALF_UNDO) && h->undo_rtx != NOTHING_AGAIN && seq_le(h->undo_una, left) &&
	    seq_le(right, h->snd_nxt))
		h->undo_rtx -= min_u32(h->undo_rtx, right - left);
	if ((h->flags & HALF_TLP_AGAIN) && right == h->tlp_high)
		return; /* a loss probe, as likely as not in vain */
	/* RFC 8985 6.2 step 4 */
	h->flags |= HALF_REORDERED;
	if (seq_lt(h->snd_una, h->reo_round))
		return;
	h->reo_round = h->snd_nxt;
	h->reo_mult += h->reo_mult < UINT8_MAX;
	h->reo_persist = TCP_REO_PERSIST;
}

static void recovery_enter(struct tcp_env *env, struct tcp_half *h)
{
	env->count.fast_rtx++;
	undo_save(h);
	h->ca = TCP_CA_RECOVERY;
	h->recover = h->snd_nxt;
	h->prr_delivered = 0;
	h->prr_out = 0;
	h->prr_flight = max_u32(h->snd_nxt - h->snd_una, h->mss);
	h->flags &= ~HALF_TLP_DUE;
	h->loss_probes = 0;
	tcp_cc_reduce(h, false);
}

/* recover is acknowledged. */
static void recovery_leave(struct tcp_half *h)
{
	if (h->ca == TCP_CA_RECOVERY)
		h->cwnd = max_u32(h->ssthresh, 2u * h->mss);
	h->ca = TCP_CA_OPEN;
	h->frto = TCP_FRTO_OFF;
	h->dupacks = 0;
	if (h->reo_persist && !--h->reo_persist)
		h->reo_mult = 1;
	if (!(h->flags & HALF_SACK))
		h->sacked = 0;
}

/* RFC 5682: what came after a timeout, bytes sent again because of it or those that were only late? */
static void frto_acked(struct tcp_env *env, struct tcp_half *h, const struct tcp_delivery *d)
{
	if (h->flags & HALF_SACK) {
		if (d->orig && d->delivered) {
			undo(env, h);
			return;
		}
	} else if (h->frto == TCP_FRTO_NEW && d->acked) {
		undo(env, h);
		return;
	}
	if (h->frto == TCP_FRTO_AGAIN && d->acked && tcp_unsent(h))
		h->frto = TCP_FRTO_NEW;
	else if (d->acked || h->frto == TCP_FRTO_NEW)
		h->frto = TCP_FRTO_OFF;
}

/* RFC 6937: sends about ssthresh / flight bytes for each byte delivered. Below ssthresh a segment more for each ACK, but
 * only while snd_una moves and nothing more is found lost (RFC 9937: safe ACKs): the path may hold less than ssthresh. */
static void prr(struct tcp_half *h, uint32_t delivered, bool first, bool safe)
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
		limit += safe ? h->mss : 0;
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

void tcp_loss_acked(struct tcp_env *env, struct tcp_half *h, const struct tcp_delivery *d)
{
	bool first = false;
	uint32_t lost;

	if (h->ca != TCP_CA_OPEN && seq_le(h->recover, h->snd_una))
		recovery_leave(h);
	if (h->frto)
		frto_acked(env, h, d);
	if ((h->flags & HALF_UNDO) && !h->undo_rtx && !h->lost)
		undo(env, h);
	lost = h->lost;
	if (h->flags & HALF_SACK)
		tcp_score_detect(env, h);
	else
		newreno_mark(h, d->acked);
	if (h->ca == TCP_CA_OPEN && h->lost) {
		recovery_enter(env, h);
		first = true;
	}
	if (h->ca == TCP_CA_RECOVERY) {
		prr(h, d->delivered, first, d->acked && h->lost <= lost);
	} else if (d->delivered && (d->acked || h->ca == TCP_CA_LOSS || (h->flags & HALF_REORDERED))) {
		/* RFC 3042, 5681 3.2 (1): what lies above a hole lets new segments out, but does not grow the window, unless
		 * the path is known to bring them like this. */
		if (h->ca == TCP_CA_LOSS)
			h->flags |= HALF_CWND_LIMITED;
		tcp_cc_acked(h, env->now_us, d->delivered, d->flight);
	}
}

static void loss_begin(struct tcp_env *env, struct tcp_half *h)
{
	h->ca = TCP_CA_LOSS;
	h->recover = h->snd_nxt;
	h->frto = TCP_FRTO_OFF;
	h->dupacks = 0;
	h->flags &= ~(HALF_TLP_DUE | HALF_TLP_AGAIN);
	h->loss_probes = 0;
	tcp_score_all_lost(env, h);
}

void tcp_loss_timeout(struct tcp_env *env, struct tcp_half *h)
{
	bool fresh = h->ca == TCP_CA_OPEN;

	env->count.rto++;
	h->rtos += h->rtos < UINT16_MAX;
	if (fresh)
		undo_save(h);
	else
		h->flags &= ~HALF_UNDO;
	/* Once per window: a second timeout for the same bytes says nothing new about the path. */
	if (h->ca != TCP_CA_LOSS)
		tcp_cc_reduce(h, true);
	h->cwnd = h->mss;
	loss_begin(env, h);
	/* RFC 5682 2.1: not while bytes sent again are under way, their answers would not be told apart. */
	h->frto = fresh ? TCP_FRTO_AGAIN : TCP_FRTO_OFF;
}

void tcp_loss_path(struct tcp_env *env, struct tcp_half *h)
{
	h->flags &= ~HALF_UNDO;
	h->cwnd = max_u32(h->cwnd, h->mss); /* that of a recovery may be less */
	loss_begin(env, h);
}
