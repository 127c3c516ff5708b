/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending: lost bytes first, then new ones, the FIN, and an ACK where nothing carried it. */
#include "tcp/tcp_internal.h"

#include <errno.h>
#include <string.h>

uint32_t tcp_rcv_space(const struct tcp_env *env, const struct tcp_half *h)
{
	uint64_t used = h->rxq.bytes;
	uint64_t room = env->rcvbuf_max > used ? env->rcvbuf_max - used : 0;

	if (h->flags & HALF_HOLD)
		return 0;
	/* What waits out of order lies inside the window and is paid for by it. */
	return (uint32_t)min_u64(room, (uint64_t)UINT16_MAX << h->rcv_wscale);
}

uint32_t tcp_snd_cap(const struct tcp_env *env)
{
	uint64_t cap = 4 * (uint64_t)env->rcvbuf_max;

	return (uint32_t)(cap < TCP_SNDBUF_MIN ? TCP_SNDBUF_MIN : min_u64(cap, TCP_SNDBUF_MAX));
}

/* A peer without SACK takes an ACK that moves the window for no duplicate (RFC 5681 section 2). */
static inline bool window_held(const struct tcp_half *h)
{
	return h->ooo.n && !(h->flags & HALF_SACK) && h->rcv_adv != h->rcv_nxt;
}

/* The window field. Opens by whole segments only (RFC 9293 3.8.6.2.2), never closes (3.8.6). */
static uint16_t window_field(const struct tcp_env *env, struct tcp_half *h)
{
	uint32_t space = tcp_rcv_space(env, h), open;

	if (seq_lt(h->rcv_adv, h->rcv_nxt)) /* a FIN just beyond the edge */
		h->rcv_adv = h->rcv_nxt;
	open = h->rcv_adv - h->rcv_nxt;
	if (space > open && !window_held(h) && space - open >= min_u32(h->rcv_mss, env->rcvbuf_max / 2)) {
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

/* Past n bytes that are sent now for the first time (INV-TCP-6). */
static inline void nxt_advance(struct tcp_half *h, uint32_t n, uint32_t now)
{
	struct tcp_cursor *cur = &h->nxt;

	cur->seq += n;
	while (n) {
		uint32_t room = cur->c->len - cur->skip;

		cur->c->rsvd = now;
		if (n < room || !cur->c->next) {
			cur->skip += n;
			return;
		}
		n -= room;
		cur->c = cur->c->next;
		cur->skip = 0;
	}
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
		tcp_cursor_seek(h, &h->rtx, left);
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
	tcp_loss_again(h, all - left);
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
		tcp_cursor_settle(h, &h->nxt);
		o->c = h->nxt.c;
		o->skip = h->nxt.skip;
		o->flags |= push_flag(h, h->snd_nxt + len);
	}
	rc = segment_pass(env, h, o);
	if (rc)
		return rc;
	nxt_advance(h, len, (uint32_t)env->now_us);
	h->nxt.seq += fin;
	h->snd_nxt += len + fin;
	h->prr_out += len;
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

	tcp_cursor_settle(h, &h->nxt);
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

	h->flags &= ~HALF_WND_LIMITED;
	if (unsent && h->snd_una == h->snd_nxt) {
		if (env->now_us - h->sent_at > h->rto_us)
			tcp_cc_idle(h);
		h->rack_us = (uint32_t)env->now_us; /* times before this one mean nothing any more */
		h->rack_seq = h->snd_nxt;
	}
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

/* A new segment where the peer's window lets one pass, whatever the congestion window says. */
static bool probe_new(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t unsent = tcp_unsent(h), len;
	struct tcp_out o;

	if (!unsent || h->score || h->loss_probes > 1)
		return false;
	len = segment_size(h, unsent, 0);
	if (!len)
		return false;
	batch_begin(env, h, &o);
	return segment_new(env, h, &o, len, len == unsent && (h->flags & HALF_FIN_QUEUED)) == 0;
}

/* Loss probe, RFC 8985 7.3: an answer has been due for a while. A new segment if there is one, else the last one again.
 * In recovery, where the RFC has none, the first missing one: the timeout, that would come instead, costs far more. */
static uint32_t output_probe(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t left, right, len = min_u32(h->snd_nxt - h->snd_una, h->mss);

	h->flags &= ~HALF_TLP_DUE;
	if (!len)
		return 0;
	env->count.tlp++;
	h->loss_probes++;
	h->flags &= ~HALF_TLP_AGAIN;
	if (probe_new(env, h))
		return 1;
	left = h->snd_nxt - len;
	right = h->snd_nxt;
	if (h->score && !tcp_score_missing(h, &left, &right))
		return 0;
	right = seq_min(right, left + h->mss);
	if (segment_again(env, h, left, right))
		return 0;
	if (h->score) {
		tcp_score_again(env, h, left, right);
	} else {
		h->flags |= HALF_TLP_AGAIN;
		h->tlp_high = h->snd_nxt;
	}
	return 1;
}

/* RFC 8985 7.2, but two of them instead of one: on a short path the timeout takes a thousand round trips. */
static bool probe_allowed(const struct tcp_half *h)
{
	return (h->flags & HALF_SACK) && h->loss_probes < TCP_TLP_MAX && h->srtt_us && !h->backoff;
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
		if (probe_allowed(h) && probe_timeout(h) < rto) {
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

/* One for each segment received out of order since, as if each had been answered at once: three make the sender
 * repeat what is missing. Nothing to tell any more when that has come meanwhile. */
static uint32_t output_dupacks(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t n = 0;

	for (; h->ooo.n && h->dupacks_owed; h->dupacks_owed--) {
		if (ack_emit(env, h, h->snd_nxt))
			return n;
		n++;
	}
	h->dupacks_owed = 0;
	return n;
}

/* Lost bytes, then new ones. RFC 5682 2.1 step 2b has it the other way round for once: if there is nothing new to send
 * or no window for it, what came tells nothing. */
static uint32_t output_queue(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t n = 0;

	if (h->lost && h->frto == TCP_FRTO_NEW) {
		n = output_new(env, h);
		if (n || tcp_pipe(h) || (h->flags & HALF_EMIT_FAILED))
			return n;
		h->frto = TCP_FRTO_OFF;
	}
	if (h->lost)
		n += output_lost(env, h);
	if (!(h->flags & HALF_EMIT_FAILED))
		n += output_new(env, h);
	return n;
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
	if (h->dupacks_owed)
		n += output_dupacks(env, h);
	if (h->flags & HALF_PROBE) {
		/* An old number makes the peer answer with its window. */
		h->flags &= ~HALF_PROBE;
		n += ack_emit(env, h, h->snd_una - 1) == 0;
	}
	if (h->flags & HALF_TLP_DUE)
		n += output_probe(env, h);
	n += output_queue(env, h);
	if ((h->flags & HALF_ACK_NOW) && !(h->flags & HALF_EMIT_FAILED))
		n += ack_emit(env, h, h->snd_nxt) == 0;
	if ((h->flags & HALF_EMIT_FAILED) && (h->flags & HALF_ACK_NOW))
		h->delack_at = env->now_us + TCP_EMIT_RETRY;
	tcp_timer_arm(env, h);
	return n;
}
