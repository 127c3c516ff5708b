/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp_internal.h"

#include <string.h>

void tcp_half_open(struct tcp_half *h, const struct tcp_params *p, const struct tcp_env *env)
{
	memset(h, 0, sizeof(*h));
	h->state = TCP_ESTABLISHED;
	h->rcv_nxt = h->rcv_acked = p->rcv_nxt;
	h->rcv_adv = p->rcv_nxt + p->rcv_wnd;
	h->snd_una = h->snd_nxt = p->snd_nxt;
	h->nxt.seq = h->rtx.seq = p->snd_nxt;
	h->lost_high = h->rtx_high = h->rack_seq = h->recover = h->reo_round = h->round_end = p->snd_nxt;
	h->rack_us = (uint32_t)env->now_us;
	h->reo_mult = 1;
	h->challenge_at = (uint32_t)(env->now_us >> TCP_CHALLENGE_SHIFT);
	h->snd_wnd = h->max_wnd = p->snd_wnd;
	h->snd_wl1 = p->rcv_nxt - 1;
	h->snd_wl2 = p->snd_nxt;
	h->mss = p->mss ? p->mss : 536;
	h->rcv_mss = (uint16_t)min_u32(p->rcv_mss ? p->rcv_mss : 536, 536);
	h->rcv_mss_told = p->rcv_mss ? p->rcv_mss : 536;
	h->snd_wscale = p->wscale ? p->snd_wscale : 0;
	h->rcv_wscale = p->wscale ? p->rcv_wscale : 0;
	h->quickack = TCP_QUICKACKS;
	/* The first ACK tells the peer that the handshake is over and what it may send. */
	h->flags = HALF_ACK_NOW | (p->sack ? HALF_SACK : 0);
	h->timer_at = h->delack_at = h->reo_at = TCP_NEVER;
	h->sent_at = env->now_us;
	h->rto_us = TCP_RTO_FIRST;
	h->snd_cap = tcp_snd_cap(env);
	stream_reasm_init(&h->ooo);
	tcp_cc_open(h, env->cc);
	if (p->srtt_us)
		tcp_rtt_sample(h, p->srtt_us);
}

void tcp_half_tso(struct tcp_half *h, uint32_t max)
{
	h->tso_max = (uint16_t)min_u32(max, UINT16_MAX);
}

static void send_queue_free(struct tcp_env *env, struct tcp_half *h)
{
	chunkq_purge(env->pool, &h->sndq);
	h->nxt.c = h->rtx.c = NULL;
	h->una_skip = 0;
	tcp_score_free(h);
	h->sacked = h->lost = 0;
}

void tcp_half_die(struct tcp_env *env, struct tcp_half *h)
{
	h->state = TCP_CLOSED;
	h->timer_kind = TCP_TIMER_NONE;
	h->timer_at = h->delack_at = h->reo_at = TCP_NEVER;
	send_queue_free(env, h);
	tcp_ooo_purge(env, h);
}

void tcp_half_free(struct tcp_env *env, struct tcp_half *h)
{
	tcp_half_die(env, h);
	chunkq_purge(env->pool, &h->rxq);
}

void tcp_half_abort(struct tcp_env *env, struct tcp_half *h)
{
	struct tcp_out o = {
		.seq = h->snd_nxt,
		.ack = h->rcv_nxt,
		.flags = TCP_F_RST | TCP_F_ACK,
	};

	if (h->state != TCP_CLOSED && env->emit(env->ctx, h, &o) == 0) {
		env->count.segs_out++;
		env->count.rst_out++;
	}
	tcp_half_free(env, h);
}

const struct chunkq *tcp_half_rxq(const struct tcp_half *h)
{
	return &h->rxq;
}

int tcp_half_take(struct tcp_env *env, struct tcp_half *h, struct chunkq *dst, uint64_t n)
{
	int rc = chunkq_move(env->pool, dst, &h->rxq, n);
	uint32_t space, open, gain;

	if (h->state == TCP_CLOSED || (h->flags & HALF_RCV_FIN))
		return rc;
	if (h->ooo.n && !(h->flags & HALF_SACK))
		return rc; /* would be taken for a duplicate ACK, see tcp_output.c */
	space = tcp_rcv_space(env, h);
	open = seq_lt(h->rcv_nxt, h->rcv_adv) ? h->rcv_adv - h->rcv_nxt : 0;
	if (space <= open)
		return rc;
	gain = space - open;
	/* Tell the peer when it may be short of window; while it has plenty the ACKs for what it
	 * sends say it in time. */
	if (gain >= env->rcvbuf_max / 2 || (gain >= 2u * h->rcv_mss && open < env->rcvbuf_max / 2))
		h->flags |= HALF_ACK_NOW;
	return rc;
}

bool tcp_half_rx_finished(const struct tcp_half *h)
{
	return h->flags & HALF_RCV_FIN;
}

void tcp_half_send(struct tcp_env *env, struct tcp_half *h, struct chunkq *q)
{
	if (h->state == TCP_CLOSED || (h->flags & HALF_FIN_QUEUED)) {
		chunkq_purge(env->pool, q);
		return;
	}
	chunkq_join(env->pool, &h->sndq, q);
}

uint64_t tcp_half_send_pending(const struct tcp_half *h)
{
	return h->sndq.bytes - h->una_skip;
}

uint64_t tcp_half_send_room(const struct tcp_half *h)
{
	uint64_t want = 2 * (uint64_t)max_u32(h->cwnd, tcp_cc_initial(h));
	uint64_t have = tcp_half_send_pending(h);

	if (h->state == TCP_CLOSED || (h->flags & HALF_FIN_QUEUED))
		return 0;
	if (h->ca != TCP_CA_OPEN) /* the window is low for a while, the path is not */
		want = 2 * (uint64_t)max_u32(h->cwnd, min_u32(h->ssthresh, TCP_SNDBUF_MAX));
	want = want < TCP_SNDBUF_MIN ? TCP_SNDBUF_MIN : want;
	want = want > h->snd_cap ? h->snd_cap : want;
	return want > have ? want - have : 0;
}

void tcp_half_hold(struct tcp_half *h, bool on)
{
	if (on)
		h->flags |= HALF_HOLD;
	else if (h->flags & HALF_HOLD)
		h->flags = (h->flags & ~HALF_HOLD) | HALF_ACK_NOW;
}

void tcp_half_finish(struct tcp_half *h)
{
	if (h->state != TCP_CLOSED)
		h->flags |= HALF_FIN_QUEUED;
}

uint64_t tcp_half_deadline(const struct tcp_half *h)
{
	return min_u64(h->timer_at, min_u64(h->delack_at, h->reo_at));
}

enum tcp_state tcp_half_state(const struct tcp_half *h)
{
	return h->state;
}

bool tcp_half_reusable(const struct tcp_half *h, const struct tcp_segment *s)
{
	if ((s->flags & (TCP_F_SYN | TCP_F_ACK | TCP_F_RST)) != TCP_F_SYN)
		return false;
	return h->state == TCP_CLOSED || (h->state == TCP_TIME_WAIT && seq_lt(h->rcv_nxt, s->seq));
}

/* The retransmission timer in its various uses has gone off. */
static uint32_t timer_due(struct tcp_env *env, struct tcp_half *h)
{
	uint8_t kind = h->timer_kind;

	h->timer_kind = TCP_TIMER_NONE;
	h->timer_at = TCP_NEVER;
	switch (kind) {
	case TCP_TIMER_TIME_WAIT:
		tcp_half_die(env, h);
		return TCP_EV_CLOSED;
	case TCP_TIMER_TLP:
		h->flags |= HALF_TLP_DUE;
		break;
	case TCP_TIMER_PERSIST:
		env->count.zero_window++;
		if (++h->probes > TCP_RETRIES) {
			tcp_half_die(env, h);
			return TCP_EV_TIMEOUT;
		}
		if (h->backoff < TCP_RETRIES)
			h->backoff++;
		h->flags |= h->snd_wnd ? HALF_PUSH_SMALL : HALF_PROBE;
		break;
	case TCP_TIMER_RTO:
		/* A peer that answers, only with a closed window, is alive. */
		if (++h->backoff > TCP_RETRIES) {
			tcp_half_die(env, h);
			return TCP_EV_TIMEOUT;
		}
		tcp_loss_timeout(env, h);
		break;
	default:
		break;
	}
	return 0;
}

uint32_t tcp_half_timer(struct tcp_env *env, struct tcp_half *h)
{
	uint64_t now = env->now_us;

	if (h->state == TCP_CLOSED)
		return 0;
	if (now >= h->delack_at) {
		h->delack_at = TCP_NEVER;
		h->flags |= HALF_ACK_NOW;
	}
	if (now >= h->reo_at) {
		h->reo_at = TCP_NEVER;
		tcp_loss_acked(env, h, &(struct tcp_delivery){0});
	}
	if (now >= h->timer_at)
		return timer_due(env, h);
	return 0;
}
