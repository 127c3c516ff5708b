/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scoreboard of RFC 6675, kept as stretches instead of segments: an ordered array of disjoint
 * ranges in a buffer borrowed from the pool while there is something to note. Each range was either
 * received out of order (SACKED) or sent again (AGAIN). What is in no range is lost when it lies
 * below lost_high, and in flight otherwise.
 *
 * lost_high follows from RFC 6675's IsLost() and, where too little was received above a hole for
 * that, from time: a hole under received bytes that did not close in a quarter of a round trip.
 * A repeated stretch counts as lost again when something sent after it was received and a round
 * trip has gone by (the rule of RFC 8985 without a time for each segment): each AGAIN range knows
 * its number in the order of retransmissions, and what snd_nxt was.
 */
#include "tcp/tcp_internal.h"

#include <string.h>

#include <rte_mbuf.h>

#define SCORE_MAX 96u

enum { SCORE_SACKED, SCORE_AGAIN };

struct score_range {
	uint32_t left, right;
	uint32_t kind;
	uint32_t no;	  /* AGAIN: number of the retransmission */
	uint32_t mark;	  /* AGAIN: snd_nxt then */
	uint32_t sent_us; /* AGAIN: time, low 32 bits */
};

static inline struct score_range *ranges_of(const struct tcp_half *h)
{
	return h->score ? h->score->buf_addr : NULL;
}

static inline unsigned ranges_max(const struct tcp_half *h)
{
	unsigned fit = h->score->buf_len / sizeof(struct score_range);

	return fit < SCORE_MAX ? fit : SCORE_MAX;
}

void tcp_score_free(struct tcp_half *h)
{
	if (h->score)
		rte_pktmbuf_free_seg(h->score);
	h->score = NULL;
	h->score_n = 0;
	h->reo_at = TCP_NEVER;
}

/* Sums what the ranges say. */
static void recount(struct tcp_half *h)
{
	const struct score_range *g = ranges_of(h);
	uint32_t pos = h->snd_una;
	unsigned i;

	if (!h->score) {
		pos = seq_max(pos, h->rtx_high);
		h->lost = seq_lt(pos, h->lost_high) ? h->lost_high - pos : 0;
		if (h->flags & HALF_SACK)
			h->sacked = 0;
		return;
	}
	h->sacked = 0;
	h->lost = 0;
	for (i = 0; i < h->score_n; i++, g++) {
		if (g->kind == SCORE_SACKED)
			h->sacked += g->right - g->left;
		if (seq_lt(pos, seq_min(g->left, h->lost_high)))
			h->lost += seq_min(g->left, h->lost_high) - pos;
		pos = g->right;
	}
	if (seq_lt(pos, h->lost_high))
		h->lost += h->lost_high - pos;
}

/* A board for a half that had none. What was sent again before goes on it. */
static bool board_open(struct tcp_env *env, struct tcp_half *h)
{
	struct score_range *g;

	if (h->score)
		return true;
	h->score = rte_pktmbuf_alloc(env->pool->bufs);
	if (!h->score) {
		env->pool->bufs_failed++;
		return false;
	}
	h->score_n = 0;
	if (seq_lt(h->snd_una, h->rtx_high)) {
		g = ranges_of(h);
		g->left = h->snd_una;
		g->right = h->rtx_high;
		g->kind = SCORE_AGAIN;
		g->no = h->rtx_no;
		g->mark = h->snd_nxt;
		g->sent_us = (uint32_t)env->now_us;
		h->score_n = 1;
	}
	h->rtx_high = h->snd_una;
	return true;
}

static void delivered_again(struct tcp_half *h, const struct score_range *g)
{
	h->rack_no = seq_max(h->rack_no, g->no);
}

/* Replaces the n ranges from i on by the m ranges of with. False: no room. */
static bool splice(struct tcp_half *h, unsigned i, unsigned n, const struct score_range *with,
		   unsigned m)
{
	struct score_range *g = ranges_of(h);

	if (h->score_n - n + m > ranges_max(h))
		return false;
	memmove(g + i + m, g + i + n, (h->score_n - i - n) * sizeof(*g));
	if (m)
		memcpy(g + i, with, m * sizeof(*g));
	h->score_n = (uint16_t)(h->score_n - n + m);
	return true;
}

void tcp_score_sack(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right)
{
	struct score_range *g, part[3], whole = {.kind = SCORE_SACKED};
	uint32_t pos = left, fresh = h->snd_una;
	unsigned i, j, m = 0;
	struct score_range before = {0}, after = {0};

	if (!board_open(env, h))
		return;
	g = ranges_of(h);
	/* From the top, where most news is. */
	for (i = h->score_n; i && seq_lt(left, g[i - 1].right); i--)
		;
	/* Joined with received neighbours it touches. */
	if (i && g[i - 1].kind == SCORE_SACKED && g[i - 1].right == left)
		i--;
	if (i < h->score_n && g[i].kind == SCORE_SACKED && seq_le(g[i].left, left) &&
	    seq_le(right, g[i].right))
		return; /* known */
	whole.left = left;
	whole.right = right;
	for (j = i; j < h->score_n && seq_le(g[j].left, right); j++) {
		if (g[j].left == right && g[j].kind != SCORE_SACKED)
			break;
		if (seq_lt(pos, g[j].left))
			fresh = g[j].left;
		pos = seq_max(pos, g[j].right);
		if (g[j].kind == SCORE_SACKED) {
			whole.left = seq_min(whole.left, g[j].left);
			whole.right = seq_max(whole.right, g[j].right);
			continue;
		}
		delivered_again(h, &g[j]);
		if (seq_lt(g[j].left, left)) {
			before = g[j];
			before.right = left;
		}
		if (seq_lt(right, g[j].right)) {
			after = g[j];
			after.left = right;
		}
	}
	if (seq_lt(pos, right))
		fresh = right;
	if (before.left != before.right)
		part[m++] = before;
	part[m++] = whole;
	if (after.left != after.right)
		part[m++] = after;
	if (splice(h, i, j - i, part, m))
		h->rack_seq = seq_max(h->rack_seq, fresh);
	recount(h);
}

void tcp_score_ack(struct tcp_half *h)
{
	struct score_range *g = ranges_of(h);
	uint32_t una = h->snd_una;
	unsigned i;

	h->lost_high = seq_max(h->lost_high, una);
	h->rtx_high = seq_max(h->rtx_high, una);
	/* Harmless for what is left on the board (its marks lie beyond), and keeps the number from
	 * falling behind by half the sequence space. */
	h->rack_seq = seq_max(h->rack_seq, una);
	for (i = 0; i < h->score_n && seq_lt(g[i].left, una); i++) {
		if (g[i].kind == SCORE_AGAIN)
			delivered_again(h, &g[i]);
		if (seq_lt(una, g[i].right)) {
			g[i].left = una;
			break;
		}
	}
	if (i)
		splice(h, 0, i, NULL, 0);
	if (h->score && !h->score_n)
		tcp_score_free(h);
	recount(h);
}

/* Makes room by forgetting the highest received stretch: at worst it is sent once more. */
static void forget_highest(struct tcp_half *h)
{
	const struct score_range *g = ranges_of(h);
	unsigned i = h->score_n;

	while (i--) {
		if (g[i].kind == SCORE_SACKED) {
			splice(h, i, 1, NULL, 0);
			return;
		}
	}
}

void tcp_score_again(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right)
{
	struct score_range *g = ranges_of(h), range = {
						      .left = left,
						      .right = right,
						      .kind = SCORE_AGAIN,
						      .no = ++h->rtx_no,
						      .mark = h->snd_nxt,
						      .sent_us = (uint32_t)env->now_us,
					      };
	unsigned i;
	bool full;

	if (!h->score) {
		h->rtx_high = seq_max(h->rtx_high, right);
		recount(h);
		return;
	}
	if (h->score_n >= ranges_max(h))
		forget_highest(h);
	full = h->score_n >= ranges_max(h);
	for (i = 0; i < h->score_n && seq_lt(g[i].left, left); i++)
		;
	/* Sent in one go: one range, as old as its youngest part. */
	if (i && g[i - 1].kind == SCORE_AGAIN && g[i - 1].right == left &&
	    (full ||
	     (g[i - 1].mark == range.mark && range.sent_us - g[i - 1].sent_us <= h->srtt_us / 8))) {
		range.left = g[i - 1].left;
		g[i - 1] = range;
	} else {
		splice(h, i, 0, &range, 1);
	}
	recount(h);
}

bool tcp_score_lost(const struct tcp_half *h, uint32_t *left, uint32_t *right)
{
	const struct score_range *g = ranges_of(h);
	uint32_t pos = h->score ? h->snd_una : seq_max(h->snd_una, h->rtx_high);
	unsigned i;

	for (i = 0; i < h->score_n && seq_lt(pos, h->lost_high); i++) {
		if (seq_lt(pos, g[i].left))
			break;
		pos = g[i].right;
	}
	if (!seq_lt(pos, h->lost_high))
		return false;
	*left = pos;
	*right = i < h->score_n ? seq_min(g[i].left, h->lost_high) : h->lost_high;
	return true;
}

/* Repeated stretches whose repetition was lost as well. */
static void detect_again(struct tcp_env *env, struct tcp_half *h)
{
	struct score_range *g = ranges_of(h);
	uint32_t wait = h->srtt_us + max_u32(h->srtt_us / 4, TCP_REO_MIN), age;
	unsigned i;

	for (i = 0; i < h->score_n; i++) {
		if (g[i].kind != SCORE_AGAIN)
			continue;
		if (!seq_lt(g[i].no, h->rack_no) && !seq_lt(g[i].mark, h->rack_seq))
			continue;
		age = (uint32_t)env->now_us - g[i].sent_us;
		if (age >= wait)
			splice(h, i--, 1, NULL, 0);
		else
			h->reo_at = min_u64(h->reo_at, env->now_us + wait - age);
	}
}

uint32_t tcp_reo_wnd(const struct tcp_half *h)
{
	return max_u32(h->srtt_us / 4, TCP_REO_MIN);
}

void tcp_score_detect(struct tcp_env *env, struct tcp_half *h)
{
	const struct score_range *g = ranges_of(h);
	uint32_t above = 0, blocks = 0, top = h->snd_una;
	unsigned i = h->score_n;

	if (!h->score)
		return;
	while (i--) {
		if (g[i].kind != SCORE_SACKED)
			continue;
		if (!blocks)
			top = g[i].left;
		above += g[i].right - g[i].left;
		if (above > (TCP_DUPTHRESH - 1) * h->mss || ++blocks >= TCP_DUPTHRESH) {
			h->lost_high = seq_max(h->lost_high, g[i].left);
			break;
		}
	}
	detect_again(env, h);
	if (seq_lt(h->lost_high, top) &&
	    (h->reo_at == TCP_NEVER || seq_le(h->reo_seq, h->lost_high))) {
		h->reo_seq = top;
		h->reo_at = min_u64(h->reo_at, env->now_us + tcp_reo_wnd(h));
	}
	recount(h);
}

void tcp_score_reorder_due(struct tcp_env *env, struct tcp_half *h)
{
	h->reo_at = TCP_NEVER;
	if (!h->score)
		return;
	h->lost_high = seq_max(h->lost_high, h->reo_seq);
	tcp_score_detect(env, h);
}

void tcp_score_all_lost(struct tcp_env *env, struct tcp_half *h)
{
	const struct score_range *g = ranges_of(h);
	unsigned i;

	/* Held, and yet not acknowledged: the peer has thrown away what it reported (RFC 2018
	 * section 8), nothing on the board can be trusted. */
	if (h->score_n && g[0].kind == SCORE_SACKED && g[0].left == h->snd_una) {
		env->count.reneged++;
		h->score_n = 0;
	}
	for (i = h->score_n; i--;) {
		if (g[i].kind == SCORE_AGAIN)
			splice(h, i, 1, NULL, 0);
	}
	if (!h->score_n)
		tcp_score_free(h);
	h->sacked = 0;
	h->lost_high = h->snd_nxt;
	h->rtx_high = h->snd_una;
	h->rack_no = h->rtx_no;
	h->reo_at = TCP_NEVER;
	recount(h);
}
