/* SPDX-License-Identifier: BSD-3-Clause */
/* What the peer says about our bytes: acknowledgements, SACK blocks, its window. */
#include "tcp/tcp_internal.h"
#include "tcp/tcp_ack.h"

/* Frees n acknowledged bytes; no cursor is left on a freed chunk. */
static void queue_acked(struct tcp_env *env, struct tcp_half *h, uint32_t n)
{
	struct chunk *c;

	h->una_skip += n;
	while ((c = h->sndq.head) && h->una_skip >= c->len) {
		h->una_skip -= c->len;
		chunkq_pop(&h->sndq);
		if (h->nxt.c == c)
			h->nxt.c = NULL; /* it stood at the end of c, which is snd_una now */
		if (h->rtx.c == c)
			h->rtx.c = NULL;
		chunk_free(env->pool, c);
	}
}

/* RFC 9293 3.10.7.4, ACK field: a window is taken from the latest segment only. */
static void window_update(struct tcp_half *h, const struct tcp_segment *s)
{
	uint32_t wnd = (uint32_t)s->window << h->snd_wscale;

	if (!seq_lt(h->snd_wl1, s->seq) && !(h->snd_wl1 == s->seq && seq_le(h->snd_wl2, s->ack)))
		return;
	if (wnd > h->snd_wnd && h->timer_kind == TCP_TIMER_PERSIST) {
		h->timer_kind = TCP_TIMER_NONE;
		h->timer_at = TCP_NEVER;
		h->backoff = 0;
	}
	h->snd_wnd = wnd;
	h->snd_wl1 = s->seq;
	h->snd_wl2 = s->ack;
	h->max_wnd = max_u32(h->max_wnd, wnd);
}

/* Returns whether the peer reported a duplicate (RFC 2883). */
static bool sack_blocks(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	bool dup = false;
	unsigned i;

	for (i = 0; i < s->nsack; i++) {
		uint32_t left = s->sack[i].left, right = s->sack[i].right;

		if (!seq_lt(left, right))
			continue;
		if (i == 0 &&
		    (seq_le(right, s->ack) || (s->nsack > 1 && seq_le(s->sack[1].left, left) &&
					       seq_le(right, s->sack[1].right)))) {
			env->count.dsack_in++;
			dup = true;
			continue;
		}
		if (seq_lt(left, h->snd_una) || seq_lt(h->snd_nxt, right))
			continue;
		tcp_score_sack(env, h, left, right);
		if (h->rtt_at != TCP_NEVER && seq_lt(left, h->rtt_seq) &&
		    seq_le(h->rtt_seq, right)) {
			tcp_rtt_sample(h, env->now_us - h->rtt_at);
			h->rtt_at = TCP_NEVER;
		}
	}
	return dup;
}

/* snd_una moves on to ack. Returns TCP_EV_ACKED if bytes (not only the FIN) were freed. */
static uint32_t una_advance(struct tcp_env *env, struct tcp_half *h, uint32_t ack)
{
	uint32_t n = ack - h->snd_una, bytes = n;

	if ((h->flags & HALF_FIN_SENT) && ack == h->snd_nxt) {
		bytes--;
		if (h->state == TCP_FIN_WAIT_1)
			h->state = TCP_FIN_WAIT_2;
	}
	queue_acked(env, h, bytes);
	h->snd_una = ack;
	h->dupacks = 0;
	h->backoff = 0;
	if (!(h->flags & HALF_SACK))
		h->sacked = h->sacked > n ? h->sacked - n : 0;
	tcp_score_ack(h);
	if (h->rtt_at != TCP_NEVER && seq_le(h->rtt_seq, ack)) {
		tcp_rtt_sample(h, env->now_us - h->rtt_at);
		h->rtt_at = TCP_NEVER;
	}
	h->timer_kind = TCP_TIMER_NONE; /* RFC 6298 5.3: starts anew with the next output */
	h->timer_at = TCP_NEVER;
	return bytes ? TCP_EV_ACKED : 0;
}

/* A repeated ACK without SACK: some segment reached the peer (RFC 5681 section 3.2). */
static void dupack(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s,
		   bool window_moved)
{
	uint32_t flight = h->snd_nxt - h->snd_una;

	if (s->len || window_moved || (s->flags & TCP_F_FIN) || !flight)
		return;
	env->count.dup_in++;
	if (h->flags & HALF_SACK)
		return;
	if (h->dupacks < UINT8_MAX)
		h->dupacks++;
	h->sacked = min_u32(h->sacked + h->mss, flight > h->mss ? flight - h->mss : 0);
}

/* RFC 8985 7.4: the probe is answered. If the peer did not see it twice, it has mended a loss that
 * nobody else noticed. */
static void probe_answered(struct tcp_half *h, uint32_t acked, bool dup)
{
	if (!h->loss_probes)
		return;
	if (!dup && h->ca == TCP_CA_OPEN && seq_le(h->tlp_high, h->snd_una)) {
		tcp_cc_reduce(h);
		h->cwnd = h->ssthresh;
	}
	if (acked || dup)
		h->loss_probes = 0;
}

uint32_t tcp_ack_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	uint32_t before = h->sacked, acked = s->ack - h->snd_una, wnd = h->snd_wnd, ev = 0;
	int32_t delivered;
	bool dup = false;

	h->probes = 0;
	if (seq_lt(s->ack, h->snd_una))
		return 0; /* overtaken by a later one */
	if (acked)
		ev = una_advance(env, h, s->ack);
	window_update(h, s);
	if ((h->flags & HALF_SACK) && s->nsack)
		dup = sack_blocks(env, h, s);
	if (!acked)
		dupack(env, h, s, h->snd_wnd != wnd);
	probe_answered(h, acked, dup);
	delivered = (int32_t)(acked + h->sacked - before);
	if (delivered > 0 && h->timer_kind == TCP_TIMER_TLP)
		h->timer_kind = TCP_TIMER_NONE; /* answers do come */
	if (acked || h->score || h->dupacks || h->ca != TCP_CA_OPEN)
		tcp_loss_acked(env, h, acked, delivered > 0 ? (uint32_t)delivered : 0);
	return ev;
}
