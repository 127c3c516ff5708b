/* SPDX-License-Identifier: BSD-3-Clause */
/* What the peer says about our bytes: acknowledgements, SACK blocks, its window. */
#include "tcp/tcp_internal.h"
#include "tcp/tcp_ack.h"

/* Frees n acknowledged bytes; no cursor is left on a freed chunk. True: when the last of them was sent is in stamp. */
static bool queue_acked(struct tcp_env *env, struct tcp_half *h, uint32_t n, uint32_t *stamp)
{
	struct chunk *c;
	bool timed = false;

	h->una_skip += n;
	while ((c = h->sndq.head) && h->una_skip >= c->len) {
		h->una_skip -= c->len;
		chunkq_pop(&h->sndq);
		*stamp = c->rsvd;
		timed = true;
		if (h->score)
			tcp_score_forget(h, c);
		if (h->nxt.c == c)
			h->nxt.c = NULL; /* it stood at the end of c, which is snd_una now */
		if (h->rtx.c == c)
			h->rtx.c = NULL;
		chunk_free(env->pool, c);
	}
	return timed;
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

static void sack_blocks(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s, struct tcp_news *news)
{
	unsigned i;

	for (i = 0; i < s->nsack; i++) {
		uint32_t left = s->sack[i].left, right = s->sack[i].right;

		if (!seq_lt(left, right))
			continue;
		if (i == 0 &&
		    (seq_le(right, s->ack) || (s->nsack > 1 && seq_le(s->sack[1].left, left) &&
					       seq_le(right, s->sack[1].right)))) {
			tcp_loss_dsack(env, h, left, right); /* RFC 2883 */
			news->dup = true;
			continue;
		}
		if (seq_lt(left, h->snd_una) || seq_lt(h->snd_nxt, right))
			continue;
		tcp_score_sack(env, h, left, right, news);
	}
}

/* snd_una moves on to ack. Returns TCP_EV_ACKED if bytes (not only the FIN) were freed. */
static uint32_t una_advance(struct tcp_env *env, struct tcp_half *h, uint32_t ack, struct tcp_news *news)
{
	uint32_t una = h->snd_una, n = ack - una, bytes = n, stamp = 0;
	bool timed;

	if ((h->flags & HALF_FIN_SENT) && ack == h->snd_nxt) {
		bytes--;
		if (h->state == TCP_FIN_WAIT_1)
			h->state = TCP_FIN_WAIT_2;
	}
	timed = queue_acked(env, h, bytes, &stamp) && !(h->flags & HALF_TLP_AGAIN);
	h->snd_una = ack;
	h->dupacks = 0;
	h->backoff = 0;
	if (!(h->flags & HALF_SACK))
		h->sacked = h->sacked > n ? h->sacked - n : 0;
	tcp_score_ack(env, h, una, timed, stamp, news);
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

/* RFC 8985 7.4.2: a probe that repeated bytes, and the peer did not say that it had them: it has mended a loss that
 * nobody else noticed. */
static void probe_answered(struct tcp_half *h, const struct tcp_segment *s, uint32_t acked, bool dup)
{
	if (acked || dup)
		h->loss_probes = 0;
	if (!(h->flags & HALF_TLP_AGAIN) || seq_lt(h->snd_una, h->tlp_high))
		return;
	if (dup || (!acked && !s->nsack)) {
		h->flags &= ~HALF_TLP_AGAIN;
	} else if (seq_lt(h->tlp_high, h->snd_una)) {
		h->flags &= ~HALF_TLP_AGAIN;
		if (h->ca == TCP_CA_OPEN) {
			tcp_cc_reduce(h, false);
			h->cwnd = h->ssthresh;
		}
	}
}

/* An ACK overtaken by a later one: what it says of single segments is news all the same. */
static void old_ack(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	struct tcp_delivery d = {.flight = h->snd_nxt - h->snd_una};
	struct tcp_news news = {0};
	uint32_t before = h->sacked;

	if (!(h->flags & HALF_SACK) || !s->nsack)
		return;
	sack_blocks(env, h, s, &news);
	d.delivered = h->sacked > before ? h->sacked - before : 0;
	d.orig = news.orig;
	if (d.delivered || news.dup)
		tcp_loss_acked(env, h, &d);
}

uint32_t tcp_ack_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	uint32_t before = h->sacked, acked = s->ack - h->snd_una, wnd = h->snd_wnd, ev = 0;
	struct tcp_delivery d = {.acked = acked, .flight = h->snd_nxt - h->snd_una};
	struct tcp_news news = {0};
	int32_t delivered;

	h->probes = 0;
	if (seq_lt(s->ack, h->snd_una)) {
		old_ack(env, h, s);
		return 0;
	}
	if (acked)
		ev = una_advance(env, h, s->ack, &news);
	window_update(h, s);
	if ((h->flags & HALF_SACK) && s->nsack)
		sack_blocks(env, h, s, &news);
	if (!acked)
		dupack(env, h, s, h->snd_wnd != wnd);
	probe_answered(h, s, acked, news.dup);
	if (news.rtt_us)
		tcp_rtt_sample(h, news.rtt_us);
	if (acked && seq_le(h->round_end, h->snd_una))
		tcp_loss_round(h);
	delivered = (int32_t)(acked + h->sacked - before);
	d.delivered = delivered > 0 ? (uint32_t)delivered : 0;
	d.orig = news.orig;
	if (d.delivered && h->timer_kind == TCP_TIMER_TLP)
		h->timer_kind = TCP_TIMER_NONE; /* answers do come */
	if (acked || news.dup || h->score || h->dupacks || h->ca != TCP_CA_OPEN)
		tcp_loss_acked(env, h, &d);
	return ev;
}
