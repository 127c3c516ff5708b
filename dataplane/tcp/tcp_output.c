/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending: lost bytes first, then new ones, the FIN, and an ACK where nothing carried it. */
#include "tcp/tcp_internal.h"

#include <errno.h>
#include <string.h>

uint32_t tcp_rcv_space(const struct tcp_env *env, const struct tcp_half *h)
{
	uint64_t used = h->rxq.bytes;
	uint64_t room = env->rcvbuf_max > used ? env->rcvbuf_max - used : 0;

	/* What waits out of order lies inside the window and is paid for by it. */
	return (uint32_t)min_u64(room, (uint64_t)UINT16_MAX << h->rcv_wscale);
}

uint32_t tcp_snd_cap(const struct tcp_env *env)
{
	uint64_t cap = 4 * (uint64_t)env->rcvbuf_max;

	return (uint32_t)(cap < TCP_SNDBUF_MIN ? TCP_SNDBUF_MIN : min_u64(cap, TCP_SNDBUF_MAX));
}

/* The window field. Opens by whole segments only (RFC 9293 3.8.6.2.2), never closes (3.8.6). */
static uint16_t window_field(const struct tcp_env *env, struct tcp_half *h)
{
	uint32_t space = tcp_rcv_space(env, h), open;

	if (seq_lt(h->rcv_adv, h->rcv_nxt)) /* a FIN just beyond the edge */
		h->rcv_adv = h->rcv_nxt;
	open = h->rcv_adv - h->rcv_nxt;
	if (space > open && space - open >= min_u32(h->rcv_mss, env->rcvbuf_max / 2)) {
		open = space >> h->rcv_wscale << h->rcv_wscale;
		h->rcv_adv = seq_max(h->rcv_adv, h->rcv_nxt + open);
	}
	return (uint16_t)min_u32(open >> h->rcv_wscale, UINT16_MAX);
}

static void sack_fill(struct tcp_half *h, struct tcp_out *o)
{
	struct stream_range got[TCP_SACK_MAX];
	uint16_t n, i;

	if (h->dsack_left != h->dsack_right) {
		o->sack[0].left = h->dsack_left;
		o->sack[0].right = h->dsack_right;
		o->nsack = 1;
	}
	n = stream_reasm_recent(&h->ooo, got, (uint16_t)(TCP_SACK_MAX - o->nsack));
	for (i = 0; i < n; i++, o->nsack++) {
		o->sack[o->nsack].left = got[i].left;
		o->sack[o->nsack].right = got[i].right;
	}
}

/* Hands over a segment whose ack and window are set. An ACK went with it. */
static inline int segment_pass(struct tcp_env *env, struct tcp_half *h, struct tcp_out *o)
{
	int rc;

	o->flags |= TCP_F_ACK;
	rc = env->emit(env->ctx, h, o);
	if (rc) {
		h->flags |= HALF_EMIT_FAILED;
		return rc;
	}
	env->count.segs_out++;
	h->rcv_acked = h->rcv_nxt;
	h->delack_at = TCP_NEVER;
	h->flags &= ~HALF_ACK_NOW;
	return 0;
}

/* Fills in what every segment carries and hands it over. */
static int segment_emit(struct tcp_env *env, struct tcp_half *h, struct tcp_out *o)
{
	o->ack = h->rcv_nxt;
	o->window = window_field(env, h);
	return segment_pass(env, h, o);
}

static int ack_emit(struct tcp_env *env, struct tcp_half *h, uint32_t seq)
{
	struct tcp_out o;
	int rc;

	o.seq = seq;
	o.flags = 0;
	o.nsack = 0;
	o.c = NULL;
	o.skip = 0;
	o.payload_len = 0;
	if (h->flags & HALF_SACK)
		sack_fill(h, &o);
	rc = segment_emit(env, h, &o);
	if (!rc)
		h->dsack_left = h->dsack_right;
	return rc;
}

/* To a chunk with bytes left in it, if there is one. */
static inline void cursor_settle(const struct tcp_half *h, struct tcp_cursor *cur)
{
	if (!cur->c) {
		cur->c = h->sndq.head;
		cur->skip = h->una_skip;
	}
	while (cur->c && cur->skip >= cur->c->len && cur->c->next) {
		cur->skip -= cur->c->len;
		cur->c = cur->c->next;
	}
}

static void cursor_advance(const struct tcp_half *h, struct tcp_cursor *cur, uint32_t n)
{
	cur->skip += n;
	cur->seq += n;
	cursor_settle(h, cur);
}

/* Walks forward only: a pass over the lost stretches costs one walk along the queue. */
static void rtx_seek(struct tcp_half *h, uint32_t seq)
{
	struct tcp_cursor *cur = &h->rtx;

	if (!cur->c || seq_lt(seq, cur->seq) || seq_lt(cur->seq, h->snd_una)) {
		cur->c = NULL;
		cur->seq = h->snd_una;
	}
	cursor_settle(h, cur);
	cursor_advance(h, cur, seq - cur->seq);
}

static uint8_t push_flag(const struct tcp_half *h, uint32_t right)
{
	return right == tcp_data_end(h) ? TCP_F_PSH : 0;
}

/* Sends [left, right) again; it was sent before, a FIN may be its last number. */
static int segment_again(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right)
{
	uint32_t end = tcp_data_end(h), all = right;
	struct tcp_out o = {.seq = left};
	int rc;

	if ((h->flags & HALF_FIN_SENT) && right == end + 1) {
		o.flags |= TCP_F_FIN;
		right = end;
	}
	if (left != right) {
		rtx_seek(h, left);
		o.c = h->rtx.c;
		o.skip = h->rtx.skip;
		o.payload_len = right - left;
		o.flags |= push_flag(h, right);
	}
	rc = segment_emit(env, h, &o);
	if (rc)
		return rc;
	env->count.retrans++;
	h->retrans++;
	h->sent_at = env->now_us;
	/* Karn: the timed byte, or without SACK any below it, says nothing now. */
	if (!(h->flags & HALF_SACK) || (seq_lt(left, h->rtt_seq) && seq_le(h->rtt_seq, all)))
		h->rtt_at = TCP_NEVER;
	return 0;
}

static uint32_t output_lost(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t left, right, n = 0, before, pipe;

	while (h->lost && tcp_score_lost(h, &left, &right)) {
		uint32_t len = min_u32(right - left, h->mss);

		pipe = tcp_pipe(h);
		if (pipe && pipe + len > h->cwnd)
			break;
		if (segment_again(env, h, left, left + len))
			break;
		n++;
		h->prr_out += len;
		before = h->lost;
		tcp_score_again(env, h, left, left + len);
		if (h->lost >= before)
			break;
	}
	return n;
}

/* o: ack and window are set, there are no options. */
static int segment_new(struct tcp_env *env, struct tcp_half *h, struct tcp_out *o, uint32_t len, bool fin)
{
	int rc;

	o->seq = h->snd_nxt;
	o->flags = fin ? TCP_F_FIN : 0;
	o->payload_len = len;
	if (len) {
		cursor_settle(h, &h->nxt);
		o->c = h->nxt.c;
		o->skip = h->nxt.skip;
		o->flags |= push_flag(h, h->snd_nxt + len);
	}
	rc = segment_pass(env, h, o);
	if (rc)
		return rc;
	cursor_advance(h, &h->nxt, len);
	h->nxt.seq += fin;
	h->snd_nxt += len + fin;
	h->prr_out += len;
	if (h->rtt_at == TCP_NEVER && h->ca != TCP_CA_LOSS) {
		h->rtt_at = env->now_us;
		h->rtt_seq = h->snd_nxt;
	}
	if (fin) {
		h->flags |= HALF_FIN_SENT;
		h->state = h->state == TCP_CLOSE_WAIT ? TCP_LAST_ACK : TCP_FIN_WAIT_1;
	}
	h->sent_at = env->now_us;
	if (h->timer_kind == TCP_TIMER_TLP || h->timer_kind == TCP_TIMER_PERSIST)
		h->timer_kind = TCP_TIMER_NONE; /* armed anew after the batch */
	return 0;
}

/* Bytes of the next segment, if all of max may go: chunks that came as a segment of some size go on as one, since a
 * packet that is cut apart cannot go on as it is. Small ones are put together, and what is longer than a segment is
 * cut anyway. Never more segments than were received. */
static uint32_t segment_bytes(struct tcp_half *h, uint32_t max)
{
	const struct chunk *c;
	uint32_t n;

	cursor_settle(h, &h->nxt);
	c = h->nxt.c;
	n = c->len - h->nxt.skip;
	while (n < max && (c = c->next)) {
		if (n + c->len > max && c->len >= TCP_COPY_MAX && c->len <= h->mss)
			return n;
		n += c->len;
	}
	return min_u32(n, max);
}

/* How much of the unsent bytes may go out as one segment; 0: none now. */
static uint32_t segment_size(struct tcp_half *h, uint32_t unsent, uint32_t pipe)
{
	int32_t room = (int32_t)(h->snd_una + h->snd_wnd - h->snd_nxt);
	uint32_t len = segment_bytes(h, min_u32(unsent, h->mss));

	if (pipe && pipe + len > h->cwnd) {
		h->flags |= HALF_CWND_LIMITED;
		return 0;
	}
	if (room >= (int32_t)len)
		return len;
	h->flags |= HALF_WND_LIMITED;
	if (room <= 0)
		return 0;
	/* RFC 9293 3.8.6.2.1: no silly small segments unless it is half of all the peer ever
	 * offered, or it has kept us waiting. */
	if ((uint32_t)room >= h->max_wnd / 2 || (h->flags & HALF_PUSH_SMALL))
		return (uint32_t)room;
	return 0;
}

/* For a port that cuts segments itself (tcp_half_tso): whole ones of the MSS only, as many as the windows of both kinds
 * let pass. 0: fewer than two. */
static uint32_t segment_large(const struct tcp_half *h, uint32_t unsent, uint32_t pipe)
{
	int32_t room = (int32_t)(h->snd_una + h->snd_wnd - h->snd_nxt);
	uint32_t len = min_u32(unsent, h->tso_max);

	if (len < 2u * h->mss || room < (int32_t)(2u * h->mss) || h->cwnd < pipe + 2u * h->mss)
		return 0;
	len = min_u32(len, min_u32((uint32_t)room, h->cwnd - pipe));
	return len - len % h->mss;
}

/* For a batch: nothing is received meanwhile, so that all its segments say the same of that side. Only when one will be
 * sent: the window counts as offered. */
static void batch_begin(struct tcp_env *env, struct tcp_half *h, struct tcp_out *o)
{
	o->ack = h->rcv_nxt;
	o->window = window_field(env, h);
	o->nsack = 0;
	o->c = NULL;
	o->skip = 0;
}

static uint32_t output_new(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t n = 0, unsent = tcp_unsent(h), len;
	struct tcp_out o;
	bool fin;

	h->flags &= ~(HALF_CWND_LIMITED | HALF_WND_LIMITED);
	if (unsent && h->snd_una == h->snd_nxt && env->now_us - h->sent_at > h->rto_us)
		tcp_cc_idle(h);
	while (unsent && !(h->flags & HALF_EMIT_FAILED)) {
		len = h->tso_max ? segment_large(h, unsent, tcp_pipe(h)) : 0;
		if (!len)
			len = segment_size(h, unsent, tcp_pipe(h));
		if (!len)
			break;
		fin = len == unsent && (h->flags & HALF_FIN_QUEUED);
		if (!n)
			batch_begin(env, h, &o);
		if (segment_new(env, h, &o, len, fin))
			break;
		n++;
		unsent -= len;
	}
	h->flags &= ~HALF_PUSH_SMALL;
	if (!unsent && (h->flags & (HALF_FIN_QUEUED | HALF_FIN_SENT)) == HALF_FIN_QUEUED &&
	    !(h->flags & HALF_EMIT_FAILED)) {
		batch_begin(env, h, &o);
		n += segment_new(env, h, &o, 0, true) == 0;
	}
	return n;
}

/* Loss probe, in the way of RFC 8985 section 7: an answer has been due for a while. Always bytes
 * sent before, since the peer answers those at once and may sit on the ACK of new ones: the last
 * segment where nothing is known to be missing, the first missing one otherwise. */
static uint32_t output_probe(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t len = min_u32(h->snd_nxt - h->snd_una, h->mss);
	uint32_t left = h->score ? h->snd_una : h->snd_nxt - len;

	h->flags &= ~HALF_TLP_DUE;
	if (!len)
		return 0;
	env->count.tlp++;
	h->loss_probes++;
	h->tlp_high = h->snd_nxt;
	return segment_again(env, h, left, left + len) == 0;
}

static uint64_t probe_timeout(const struct tcp_half *h)
{
	uint64_t pto = 2 * (uint64_t)h->srtt_us + TCP_TLP_SLACK;

	/* A lone segment may meet the peer's delayed ACK. */
	if (h->snd_nxt - h->snd_una <= h->mss)
		pto += TCP_DELACK;
	return pto << h->loss_probes;
}

void tcp_timer_arm(struct tcp_env *env, struct tcp_half *h)
{
	uint64_t rto = min_u64((uint64_t)h->rto_us << min_u32(h->backoff, 16), TCP_RTO_MAX);

	if (h->state == TCP_TIME_WAIT || h->state == TCP_CLOSED)
		return;
	if (h->flags & HALF_EMIT_FAILED) {
		h->flags &= ~HALF_EMIT_FAILED;
		h->timer_kind = TCP_TIMER_RETRY;
		h->timer_at = env->now_us + TCP_EMIT_RETRY;
		return;
	}
	if (h->snd_una != h->snd_nxt) {
		if (h->timer_kind == TCP_TIMER_RTO || h->timer_kind == TCP_TIMER_TLP)
			return;
		if ((h->flags & HALF_SACK) && h->loss_probes < TCP_TLP_MAX && h->srtt_us &&
		    !h->backoff && probe_timeout(h) < rto) {
			h->timer_kind = TCP_TIMER_TLP;
			h->timer_at = env->now_us + probe_timeout(h);
			return;
		}
		h->timer_kind = TCP_TIMER_RTO;
		h->timer_at = env->now_us + rto;
		return;
	}
	if (tcp_unsent(h)) { /* the peer's window, closed or too small */
		if (h->timer_kind == TCP_TIMER_PERSIST)
			return;
		h->timer_kind = TCP_TIMER_PERSIST;
		h->timer_at = env->now_us + rto;
		return;
	}
	h->timer_kind = TCP_TIMER_NONE;
	h->timer_at = TCP_NEVER;
}

uint32_t tcp_half_output(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t n = 0;

	if (h->state == TCP_CLOSED)
		return 0;
	h->flags &= ~HALF_EMIT_FAILED;
	h->snd_cap = tcp_snd_cap(env);
	/* SACK blocks travel alone, so that a data segment is never longer than the MSS allows. */
	if ((h->flags & (HALF_ACK_NOW | HALF_SACK)) == (HALF_ACK_NOW | HALF_SACK) &&
	    (h->ooo.n || h->dsack_left != h->dsack_right))
		n += ack_emit(env, h, h->snd_nxt) == 0;
	if (h->flags & HALF_PROBE) {
		/* An old number makes the peer answer with its window. */
		h->flags &= ~HALF_PROBE;
		n += ack_emit(env, h, h->snd_una - 1) == 0;
	}
	if (h->flags & HALF_TLP_DUE)
		n += output_probe(env, h);
	if (h->lost)
		n += output_lost(env, h);
	if (!(h->flags & HALF_EMIT_FAILED))
		n += output_new(env, h);
	if ((h->flags & HALF_ACK_NOW) && !(h->flags & HALF_EMIT_FAILED))
		n += ack_emit(env, h, h->snd_nxt) == 0;
	if ((h->flags & HALF_EMIT_FAILED) && (h->flags & HALF_ACK_NOW))
		h->delack_at = env->now_us + TCP_EMIT_RETRY;
	tcp_timer_arm(env, h);
	return n;
}
