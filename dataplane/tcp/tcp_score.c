/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scoreboard of RFC 6675, kept as stretches instead of segments: an ordered array of disjoint
 * ranges in a buffer borrowed from the pool while there is something to note. Each range was either
 * received out of order (SACKED) or sent again (AGAIN). What is in no range is lost when it lies
 * below lost_high, and in flight otherwise.
 *
 * lost_high follows from time, RFC 8985: of bytes sent once the times of sending never go back along
 * the queue (INV-TCP-6), so that one place parts those that have been on their way for longer than the
 * segment delivered last (rack_*) took, and the reordering window more, from those that have not. While
 * the path has not been seen to reorder it also follows from IsLost() of RFC 6675. Repeated stretches
 * have a time each and are judged one by one.
 */
#include "tcp/tcp_internal.h"

#include <string.h>

#include <rte_mbuf.h>

#define SCORE_MAX 112u

enum { SCORE_SACKED, SCORE_AGAIN };

struct score_range {
	uint32_t left, right;
	uint32_t kind;
	uint32_t sent_us; /* AGAIN: time, low 32 bits */
};

struct score_board {
	struct tcp_cursor lost; /* last place asked for its time, by loss detection */
	struct tcp_cursor top;	/* and for what is reported beyond all before */
	struct score_range ranges[];
};

static inline struct score_board *board_of(const struct tcp_half *h)
{
	return h->score->buf_addr;
}

static inline struct score_range *ranges_of(const struct tcp_half *h)
{
	return h->score ? board_of(h)->ranges : NULL;
}

static inline unsigned ranges_max(const struct tcp_half *h)
{
	unsigned fit = (h->score->buf_len - sizeof(struct score_board)) / sizeof(struct score_range);

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
	memset(board_of(h), 0, sizeof(struct score_board));
	if (seq_lt(h->snd_una, h->rtx_high)) {
		g = ranges_of(h);
		g->left = h->snd_una;
		g->right = h->rtx_high;
		g->kind = SCORE_AGAIN;
		g->sent_us = (uint32_t)env->now_us;
		h->score_n = 1;
	}
	h->rtx_high = h->snd_una;
	return true;
}

/* RFC 8985 6.2 steps 1 and 2: what was sent at sent_us and ends at end has reached the peer. */
static void delivered(const struct tcp_env *env, struct tcp_half *h, uint32_t sent_us, uint32_t end, bool again,
		      struct tcp_news *news)
{
	uint32_t rtt = (uint32_t)env->now_us - sent_us;

	if ((int32_t)rtt < 0)
		return;
	/* Sooner than it could be: the answer is to an earlier one. Of a chunk that went out in pieces the time is
	 * that of the last one. */
	if (rtt < (again ? h->min_rtt_us : h->min_rtt_us / 2))
		return;
	if (!again)
		news->rtt_us = max_u32(rtt, 1);
	if (seq_lt(sent_us, h->rack_us) || (sent_us == h->rack_us && seq_lt(end, h->rack_seq)))
		return;
	h->rack_us = sent_us;
	h->rack_seq = end;
	h->rack_rtt_us = rtt;
}

/* When the byte at seq was sent first. False: it is a FIN alone. */
static bool stamp_of(const struct tcp_half *h, struct tcp_cursor *cur, uint32_t seq, uint32_t *stamp)
{
	uint32_t end = tcp_data_end(h);

	seq = seq_lt(seq, end) ? seq : end - 1;
	if (seq_lt(seq, h->snd_una))
		return false;
	tcp_cursor_seek(h, cur, seq);
	if (cur->c)
		*stamp = cur->c->rsvd;
	return cur->c;
}

void tcp_score_forget(struct tcp_half *h, const struct chunk *c)
{
	struct score_board *b = board_of(h);

	if (b->lost.c == c)
		b->lost.c = NULL;
	if (b->top.c == c)
		b->top.c = NULL;
}

/* One past the highest byte the peer reported. */
static uint32_t top_of(const struct tcp_half *h)
{
	const struct score_range *g = ranges_of(h);
	unsigned i = h->score_n;

	while (i--) {
		if (g[i].kind == SCORE_SACKED)
			return g[i].right;
	}
	return h->snd_una;
}

/* Bytes [left, right) came as they were sent the first time. */
static void delivered_first(const struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right, uint32_t top,
			    struct tcp_news *news)
{
	uint32_t stamp;

	news->orig |= seq_lt(left, h->recover);
	if (seq_le(right, top))
		h->flags |= HALF_REORDERED; /* later than what was sent after them */
	else if (stamp_of(h, &board_of(h)->top, right - 1, &stamp))
		delivered(env, h, stamp, right, false, news);
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

void tcp_score_sack(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right, struct tcp_news *news)
{
	struct score_range *g, part[3], whole = {.kind = SCORE_SACKED};
	uint32_t pos = left, top;
	unsigned i, j, m = 0;
	struct score_range before = {0}, after = {0};

	if (!board_open(env, h))
		return;
	g = ranges_of(h);
	top = top_of(h);
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
			delivered_first(env, h, pos, g[j].left, top, news);
		pos = seq_max(pos, g[j].right);
		if (g[j].kind == SCORE_SACKED) {
			whole.left = seq_min(whole.left, g[j].left);
			whole.right = seq_max(whole.right, g[j].right);
			continue;
		}
		delivered(env, h, g[j].sent_us, g[j].right, true, news);
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
		delivered_first(env, h, pos, right, top, news);
	if (before.left != before.right)
		part[m++] = before;
	part[m++] = whole;
	if (after.left != after.right)
		part[m++] = after;
	splice(h, i, j - i, part, m);
	recount(h);
}

/* The ranges below snd_una. The last byte acknowledged is of a range: true. */
static bool ranges_acked(const struct tcp_env *env, struct tcp_half *h, uint32_t pos, struct tcp_news *news)
{
	struct score_range *g = ranges_of(h);
	uint32_t una = h->snd_una, top = top_of(h);
	unsigned i;

	for (i = 0; i < h->score_n && seq_lt(g[i].left, una); i++) {
		if (seq_lt(pos, g[i].left)) {
			news->orig |= seq_lt(pos, h->recover);
			h->flags |= seq_le(g[i].left, top) ? HALF_REORDERED : 0;
		}
		if (g[i].kind == SCORE_AGAIN)
			delivered(env, h, g[i].sent_us, g[i].right, true, news);
		pos = g[i].right;
		if (seq_lt(una, pos)) {
			g[i].left = una;
			break;
		}
	}
	if (i)
		splice(h, 0, i, NULL, 0);
	if (!seq_lt(pos, una))
		return true;
	news->orig |= seq_lt(pos, h->recover);
	h->flags |= seq_lt(una, top) ? HALF_REORDERED : 0;
	return false;
}

void tcp_score_ack(struct tcp_env *env, struct tcp_half *h, uint32_t una, bool timed, uint32_t stamp,
		   struct tcp_news *news)
{
	if (h->score) {
		timed &= !ranges_acked(env, h, una, news);
	} else if (seq_lt(una, h->rtx_high)) { /* Karn: which of two it answers is not known */
		timed = false;
		news->orig = seq_lt(h->rtx_high, h->snd_una) && seq_lt(h->rtx_high, h->recover);
	} else {
		news->orig = seq_lt(una, h->recover);
	}
	if (timed)
		delivered(env, h, stamp, h->snd_una, false, news);
	h->lost_high = seq_max(h->lost_high, h->snd_una);
	h->rtx_high = seq_max(h->rtx_high, h->snd_una);
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
	if (i < h->score_n && g[i].kind == SCORE_AGAIN && g[i].left == left) { /* for the third time */
		g[i].left = right;
		if (g[i].left == g[i].right)
			splice(h, i, 1, NULL, 0);
	}
	/* Sent in one go: one range, as old as its youngest part. */
	if (i && g[i - 1].kind == SCORE_AGAIN && g[i - 1].right == left &&
	    (full || range.sent_us - g[i - 1].sent_us <= h->srtt_us / 8)) {
		range.left = g[i - 1].left;
		g[i - 1] = range;
	} else {
		splice(h, i, 0, &range, 1);
	}
	recount(h);
}

bool tcp_score_missing(const struct tcp_half *h, uint32_t *left, uint32_t *right)
{
	const struct score_range *g = ranges_of(h);

	if (h->score_n && g->left == h->snd_una && g->kind == SCORE_SACKED)
		return false;
	*left = h->snd_una;
	*right = h->snd_nxt;
	if (h->score_n)
		*right = g->left == h->snd_una ? g->right : g->left;
	return true;
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

uint32_t tcp_reo_wnd(const struct tcp_half *h)
{
	uint64_t wnd;

	if (!(h->flags & HALF_REORDERED) && (h->ca != TCP_CA_OPEN || h->sacked >= TCP_DUPTHRESH * h->mss))
		return 0;
	wnd = (uint64_t)h->reo_mult * h->min_rtt_us / 4;
	return max_u32((uint32_t)min_u64(wnd, h->srtt_us), TCP_REO_MIN);
}

/* Was [.., end), sent at sent_us, sent before what was delivered last? RFC 8985 6.2 step 5: if it has had its time, lost;
 * if not, reo_at. */
static bool overdue(const struct tcp_env *env, struct tcp_half *h, uint32_t sent_us, uint32_t end, uint32_t wait)
{
	uint32_t age = (uint32_t)env->now_us - sent_us;

	if (seq_lt(h->rack_us, sent_us) || (sent_us == h->rack_us && !seq_lt(end, h->rack_seq)))
		return false;
	if (age >= wait)
		return true;
	h->reo_at = min_u64(h->reo_at, env->now_us + wait - age);
	return false;
}

/* Repeated stretches whose repetition was lost as well. */
static void detect_again(struct tcp_env *env, struct tcp_half *h, uint32_t wait)
{
	struct score_range *g = ranges_of(h);
	unsigned i;

	for (i = 0; i < h->score_n; i++) {
		if (g[i].kind == SCORE_AGAIN && overdue(env, h, g[i].sent_us, g[i].right, wait))
			splice(h, i--, 1, NULL, 0);
	}
}

/* Moves lost_high on along the send queue as far as the times of sending say so. */
static void detect_first(struct tcp_env *env, struct tcp_half *h, uint32_t wait)
{
	const struct score_range *g = ranges_of(h);
	struct tcp_cursor *cur = &board_of(h)->lost;
	uint32_t pos = seq_max(h->lost_high, h->snd_una), end, gap;
	unsigned i = 0;

	while (seq_lt(pos, h->snd_nxt)) {
		while (i < h->score_n && seq_le(g[i].right, pos))
			i++;
		if (i < h->score_n && seq_le(g[i].left, pos)) {
			pos = g[i].right;
			continue;
		}
		gap = i < h->score_n ? g[i].left : h->snd_nxt;
		if (!seq_lt(pos, tcp_data_end(h)))
			break; /* the FIN */
		tcp_cursor_seek(h, cur, pos);
		end = seq_min(gap, pos + cur->c->len - cur->skip);
		if (!overdue(env, h, cur->c->rsvd, end, wait))
			break;
		pos = h->lost_high = end;
	}
}

/* RFC 6675 IsLost(): enough was received above. */
static void detect_threshold(struct tcp_half *h)
{
	const struct score_range *g = ranges_of(h);
	uint32_t above = 0, blocks = 0;
	unsigned i = h->score_n;

	while (i--) {
		if (g[i].kind != SCORE_SACKED)
			continue;
		above += g[i].right - g[i].left;
		if (above > (TCP_DUPTHRESH - 1) * h->mss || ++blocks >= TCP_DUPTHRESH) {
			h->lost_high = seq_max(h->lost_high, g[i].left);
			break;
		}
	}
}

void tcp_score_detect(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t wait;

	h->reo_at = TCP_NEVER;
	if (!h->score)
		return;
	if (!(h->flags & HALF_REORDERED))
		detect_threshold(h);
	wait = h->rack_rtt_us + tcp_reo_wnd(h);
	detect_again(env, h, wait);
	detect_first(env, h, wait);
	recount(h);
}

void tcp_score_undo(struct tcp_half *h)
{
	h->lost_high = h->snd_una;
	recount(h);
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
	h->reo_at = TCP_NEVER;
	recount(h);
}
