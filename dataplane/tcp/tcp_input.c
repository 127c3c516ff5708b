/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving: RFC 9293 3.10.7.4 with the checks of RFC 5961. */
#include "tcp/tcp_internal.h"
#include "tcp/tcp_ack.h"

#include <errno.h>
#include <string.h>

#include <rte_mbuf.h>

/* Bounds what a half may hold out of order in descriptors: small segments share buffers, so one for
 * each TCP_COPY_MAX bytes is generous. */
static uint32_t ooo_chunks_max(const struct tcp_env *env)
{
	return env->rcvbuf_max / TCP_COPY_MAX + 64;
}

/* How many challenge ACKs all halves together may send in this period. Not a round number, and another one each time:
 * who can count them must not learn from one connection what happens on another. */
static bool challenge_allowed(struct tcp_env *env)
{
	uint32_t period = (uint32_t)(env->now_us >> 20) + 1, x;

	if (env->challenge_period != period) {
		env->challenge_period = period;
		x = (period ^ (uint32_t)(uintptr_t)env) * 0x9e3779b1u;
		env->challenge_left = TCP_CHALLENGE_ALL / 2 + (x >> 16) % TCP_CHALLENGE_ALL;
	}
	if (!env->challenge_left)
		return false;
	env->challenge_left--;
	return true;
}

/* An ACK that only tells a stray where we are: not more often than every TCP_CHALLENGE_GAP, so that
 * two halves that disagree cannot keep each other busy (RFC 5961 section 7). */
static void challenge(struct tcp_env *env, struct tcp_half *h)
{
	uint32_t now = (uint32_t)(env->now_us >> TCP_CHALLENGE_SHIFT);

	if (seq_lt(now, h->challenge_at) || !challenge_allowed(env))
		return;
	h->challenge_at = now + TCP_CHALLENGE_GAP;
	h->flags |= HALF_ACK_NOW;
	env->count.challenge++;
}

static void dsack_note(struct tcp_half *h, uint32_t left, uint32_t right)
{
	if (!(h->flags & HALF_SACK) || !seq_lt(left, right))
		return;
	if (h->dsack_left == h->dsack_right || h->dsack_right != left)
		h->dsack_left = left; /* else it goes on where the last one ends */
	h->dsack_right = right;
}

/* RFC 9293 3.10.7.4, first check. Numbers from the last ACK sent on count as in the window, so that
 * an ACK overtaken by data is not lost; so does the right edge, where a peer that has filled the
 * window sends its ACKs from. */
static bool acceptable(const struct tcp_half *h, const struct tcp_segment *s)
{
	uint32_t end = s->seq + s->len + !!(s->flags & TCP_F_FIN);

	return seq_le(h->rcv_acked, end) && seq_le(s->seq, seq_max(h->rcv_adv, h->rcv_nxt));
}

/* The peer does not know that we have all of it. */
static void fin_again(struct tcp_env *env, struct tcp_half *h)
{
	h->flags |= HALF_ACK_NOW;
	if (h->state == TCP_TIME_WAIT)
		h->timer_at = env->now_us + TCP_TIME_WAIT_TIME;
}

static void not_acceptable(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	uint32_t end = s->seq + s->len + !!(s->flags & TCP_F_FIN);

	env->count.bad_seq++;
	if (s->flags & TCP_F_RST)
		return;
	if (s->flags & TCP_F_SYN) {
		/* A SYN/ACK again: the ACK that ended the handshake was lost. */
		if ((s->flags & TCP_F_ACK) && s->seq + 1 == h->rcv_nxt)
			h->flags |= HALF_ACK_NOW;
		else
			challenge(env, h);
		return;
	}
	if (s->seq == end) {
		challenge(env, h);
		return;
	}
	/* Bytes or a FIN sent again. */
	if (seq_le(end, h->rcv_nxt))
		dsack_note(h, s->seq, s->seq + s->len);
	fin_again(env, h);
}

/* RFC 5961 section 3.2. */
static uint32_t reset_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	bool over = h->state == TCP_TIME_WAIT;

	if (s->seq != h->rcv_nxt) {
		if (seq_lt(h->rcv_nxt, s->seq) && seq_lt(s->seq, h->rcv_adv))
			challenge(env, h);
		else
			env->count.bad_seq++;
		return 0;
	}
	env->count.rst_in++;
	tcp_half_die(env, h);
	return over ? TCP_EV_CLOSED : TCP_EV_RESET;
}

/* Cuts payload to the n bytes from skip on. */
static void payload_trim(struct tcp_env *env, struct chunkq *payload, uint32_t skip, uint32_t n)
{
	struct chunkq keep;

	chunkq_drop(env->pool, payload, skip);
	if (payload->bytes <= n)
		return;
	chunkq_init(&keep);
	(void)chunkq_move(env->pool, &keep, payload, n); /* short of descriptors: less is kept */
	chunkq_purge(env->pool, payload);
	chunkq_append(payload, &keep);
}

/* Moves src to the end of dst; small pieces are copied out of the buffer they came in. */
static void payload_keep(struct tcp_env *env, struct chunkq *dst, struct chunkq *src)
{
	struct chunk *c;

	while ((c = chunkq_pop(src))) {
		if (c->len < TCP_COPY_MAX && c->m != env->pool->gen &&
		    c->m->buf_len > 2 * c->len + RTE_PKTMBUF_HEADROOM &&
		    chunkq_put(env->pool, dst, c->data, c->len) == 0)
			chunk_free(env->pool, c);
		else
			chunkq_push(dst, c);
	}
}

void tcp_ooo_purge(struct tcp_env *env, struct tcp_half *h)
{
	env->ooo_bytes -= h->ooo.bytes;
	stream_reasm_purge(&h->ooo, env->pool);
}

static void conflict_tell(struct tcp_env *env, struct tcp_half *h, const struct stream_conflict *c)
{
	struct tcp_conflict k = {.seq = c->seq, .len = c->len};

	env->count.payload_conflict++;
	if (!env->conflict)
		return;
	memcpy(k.held, c->held, sizeof(k.held));
	memcpy(k.came, c->came, sizeof(k.came));
	env->conflict(env->ctx, h, &k);
}

/* The first bytes of payload were received before. Those that nobody has taken yet are compared. */
static bool old_differs(const struct tcp_half *h, uint32_t seq, uint32_t bytes, const struct chunkq *payload,
			struct stream_conflict *k)
{
	uint32_t held = (uint32_t)min_u64(h->rxq.bytes, UINT32_MAX / 4), from = seq_max(seq, h->rcv_nxt - held), off;
	const struct chunk *c = h->rxq.head;
	unsigned steps = 0;

	if (!seq_lt(from, seq + bytes) || !held)
		return false;
	off = from - (h->rcv_nxt - held);
	if (h->rcv_nxt - from <= h->rxq.tail->len) {
		c = h->rxq.tail;
		off = c->len - (h->rcv_nxt - from);
	}
	while (off >= c->len && ++steps < STREAM_COMPARE_MAX) {
		off -= c->len;
		c = c->next;
	}
	return off < c->len && stream_differs(c, off, payload->head, from - seq, from, seq + bytes - from, k);
}

/* Bytes of which the first is the next one expected or lies ahead of it. */
static void payload_place(struct tcp_env *env, struct tcp_half *h, uint32_t seq, struct chunkq *payload, bool told)
{
	struct stream_insert res;
	struct chunkq q;
	uint16_t n;
	const struct stream_range *first = stream_reasm_ranges(&h->ooo, &n);
	uint32_t end = seq + (uint32_t)payload->bytes;
	bool in_order = seq == h->rcv_nxt;
	uint64_t had = h->ooo.bytes;

	if (in_order && (!n || seq_le(end, first->left))) {
		payload_keep(env, &h->rxq, payload);
		h->rcv_nxt = end;
	} else {
		if (!in_order) {
			env->count.ooo_in++;
			/* RFC 5681 4.2: without SACK the sender counts them. */
			h->dupacks_owed += !(h->flags & HALF_SACK) && h->dupacks_owed < UINT8_MAX;
			h->flags |= HALF_ACK_NOW; /* kept or not */
		}
		chunkq_init(&q);
		payload_keep(env, &q, payload);
		/* What is next in turn fills a hole, it may not be refused for want of room. */
		if (!in_order && env->ooo_max && env->ooo_bytes + q.bytes > env->ooo_max) {
			chunkq_purge(env->pool, &q);
			env->count.ooo_dropped++;
			return;
		}
		if (stream_reasm_insert(&h->ooo, env->pool, seq, &q,
					in_order ? UINT32_MAX : ooo_chunks_max(env), &res))
			env->count.ooo_dropped++;
		dsack_note(h, res.dup_left, res.dup_right);
		if (res.conflict && !told)
			conflict_tell(env, h, &res.first);
	}
	h->rcv_nxt += stream_reasm_pop(&h->ooo, env->pool, h->rcv_nxt, &h->rxq);
	env->ooo_bytes += h->ooo.bytes - had;
}

/* What a port has merged counts as the segments it was: an ACK is due for every two of them (RFC 9293 3.8.6.3), so the
 * estimate must not follow it. */
static inline void rcv_mss_note(struct tcp_half *h, uint32_t len)
{
	if (len > h->rcv_mss)
		h->rcv_mss = (uint16_t)max_u32(h->rcv_mss, min_u32(len, h->rcv_mss_told));
}

/* When to acknowledge what came in order: RFC 9293 3.8.6.3, RFC 5681 4.2. */
static void ack_schedule(struct tcp_env *env, struct tcp_half *h)
{
	if (h->quickack) {
		h->quickack--;
		h->flags |= HALF_ACK_NOW;
	} else if (h->rcv_nxt - h->rcv_acked > h->rcv_mss) {
		h->flags |= HALF_ACK_NOW;
	} else if (h->delack_at == TCP_NEVER) {
		h->delack_at = env->now_us + TCP_DELACK;
	}
}

static uint32_t fin_in_order(struct tcp_env *env, struct tcp_half *h)
{
	h->flags |= HALF_RCV_FIN | HALF_ACK_NOW;
	h->rcv_nxt++;
	if (h->state == TCP_ESTABLISHED) {
		h->state = TCP_CLOSE_WAIT;
	} else if (h->state == TCP_FIN_WAIT_1) {
		h->state = TCP_CLOSING;
	} else if (h->state == TCP_FIN_WAIT_2) {
		h->state = TCP_TIME_WAIT;
		h->timer_kind = TCP_TIMER_TIME_WAIT;
		h->timer_at = env->now_us + TCP_TIME_WAIT_TIME;
	}
	return TCP_EV_FIN;
}

/* True: these bytes are as if they had been lost on their way. Out of order they are still answered, which tells the
 * peer what is missing; when nothing can be kept, silence makes it slow down. */
static bool payload_refused(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s)
{
	if (env->scarce == TCP_PLENTY || !s->len)
		return false;
	if (env->scarce == TCP_EXHAUSTED)
		tcp_ooo_purge(env, h);
	else if (seq_le(s->seq, h->rcv_nxt) && h->rxq.bytes < TCP_SCARCE_UNREAD)
		return false;
	else
		h->flags |= HALF_ACK_NOW;
	env->count.ooo_dropped++;
	return true;
}

static uint32_t payload_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s,
			      struct chunkq *payload)
{
	uint32_t seq = s->seq, end = seq + s->len, had = h->rcv_nxt, edge = h->rcv_adv, ev = 0;
	uint32_t skip = 0;
	bool fin = s->flags & TCP_F_FIN, waiting = h->ooo.n, told = false;

	if (h->flags & HALF_RCV_FIN) { /* nothing can follow */
		fin_again(env, h);
		return 0;
	}
	if (payload_refused(env, h, s))
		return 0;
	/* One that stands before what was received is none: bytes came after it. */
	if (fin && !(h->flags & HALF_RCV_FIN_KNOWN) && seq_le(h->rcv_nxt, end) && seq_le(end, edge)) {
		h->rcv_fin = end;
		h->flags |= HALF_RCV_FIN_KNOWN;
	}
	if (h->flags & HALF_RCV_FIN_KNOWN)
		edge = seq_min(edge, h->rcv_fin);
	if (seq_lt(seq, h->rcv_nxt)) {
		struct stream_conflict k;

		skip = min_u32(h->rcv_nxt - seq, s->len);
		told = skip && old_differs(h, seq, skip, payload, &k);
		if (told)
			conflict_tell(env, h, &k);
		dsack_note(h, seq, seq + skip);
		h->flags |= HALF_ACK_NOW;
		seq += skip;
	}
	end = seq_min(end, edge);
	if (seq_lt(seq, end)) {
		payload_trim(env, payload, skip, end - seq);
		rcv_mss_note(h, s->len);
		if (payload->bytes)
			payload_place(env, h, seq, payload, told);
		/* A sender that has lost something has a small window: held back, an ACK would hold the sender back, too. */
		if (waiting || h->ooo.n) {
			h->flags |= HALF_ACK_NOW;
			h->quickack = TCP_QUICKACKS;
		}
	} else if (s->len) { /* all old, or beyond a window that is closed */
		h->flags |= HALF_ACK_NOW;
	}
	if (h->rcv_nxt != had) {
		ev = TCP_EV_DATA;
		ack_schedule(env, h);
	}
	if ((h->flags & HALF_RCV_FIN_KNOWN) && h->rcv_nxt == h->rcv_fin)
		ev |= fin_in_order(env, h);
	else if (fin)
		h->flags |= HALF_ACK_NOW;
	return ev;
}

/* Our FIN is acknowledged: the closing states move on. */
static uint32_t closing_input(struct tcp_env *env, struct tcp_half *h)
{
	if (!(h->flags & HALF_FIN_SENT) || h->snd_una != h->snd_nxt)
		return 0;
	if (h->state == TCP_LAST_ACK) {
		h->state = TCP_CLOSED;
		h->timer_kind = TCP_TIMER_NONE;
		h->timer_at = h->delack_at = h->reo_at = TCP_NEVER;
		return TCP_EV_CLOSED;
	}
	if (h->state == TCP_CLOSING) {
		h->state = TCP_TIME_WAIT;
		h->timer_kind = TCP_TIMER_TIME_WAIT;
		h->timer_at = env->now_us + TCP_TIME_WAIT_TIME;
	}
	return 0;
}

static uint32_t segment_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s,
			      struct chunkq *payload)
{
	uint32_t ev;

	if (!acceptable(h, s)) {
		not_acceptable(env, h, s);
		return 0;
	}
	if (s->flags & TCP_F_RST)
		return reset_input(env, h, s);
	if (s->flags & TCP_F_SYN) { /* RFC 5961 section 4.2 */
		challenge(env, h);
		return 0;
	}
	if (!(s->flags & TCP_F_ACK))
		return 0;
	/* RFC 9293 3.8.5: the octets stay in line and the pointer goes no further, so that what a service looked at is
	 * what the far end reads (RFC 6093: middleboxes). */
	if (s->flags & TCP_F_URG)
		env->count.urgent++;
	/* RFC 5961 section 5.2 */
	if (seq_lt(h->snd_nxt, s->ack) || seq_lt(s->ack, h->snd_una - h->max_wnd)) {
		challenge(env, h);
		return 0;
	}
	ev = tcp_ack_input(env, h, s);
	ev |= closing_input(env, h);
	if (h->state == TCP_CLOSED)
		return ev;
	if (s->len || (s->flags & TCP_F_FIN))
		ev |= payload_input(env, h, s, payload);
	else if (seq_lt(s->seq, h->rcv_nxt) && s->seq + 1 == h->rcv_nxt)
		challenge(env, h); /* keep-alive or window probe */
	return ev;
}

/* The next bytes in turn and nothing new about ours: what nearly every segment of a transfer is. */
static inline bool is_bulk(const struct tcp_env *env, const struct tcp_half *h, const struct tcp_segment *s)
{
	return h->state == TCP_ESTABLISHED &&
	       (s->flags & (TCP_F_ACK | TCP_F_FIN | TCP_F_SYN | TCP_F_RST | TCP_F_URG)) == TCP_F_ACK && s->len && !s->nsack &&
	       s->seq == h->rcv_nxt && seq_le(s->seq + s->len, h->rcv_adv) && s->ack == h->snd_una &&
	       (uint32_t)s->window << h->snd_wscale == h->snd_wnd && !(h->flags & HALF_RCV_FIN_KNOWN) && !h->ooo.n &&
	       env->scarce == TCP_PLENTY && h->ca == TCP_CA_OPEN && !h->score && !h->dupacks && !h->loss_probes;
}

/* Leaves everything as segment_input would. */
static uint32_t bulk_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s,
			   struct chunkq *payload)
{
	h->probes = 0;
	if (seq_le(h->snd_wl1, s->seq)) {
		h->snd_wl1 = s->seq;
		h->snd_wl2 = s->ack;
	}
	rcv_mss_note(h, s->len);
	if (payload->head == payload->tail && s->len >= TCP_COPY_MAX) {
		chunkq_push(&h->rxq, payload->head);
		chunkq_init(payload);
	} else {
		payload_keep(env, &h->rxq, payload);
	}
	h->rcv_nxt += s->len;
	ack_schedule(env, h);
	return TCP_EV_DATA;
}

uint32_t tcp_half_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s,
			struct chunkq *payload)
{
	uint32_t ev = 0;

	env->count.segs_in++;
	if (likely(is_bulk(env, h, s)))
		return bulk_input(env, h, s, payload);
	if (h->state != TCP_CLOSED)
		ev = segment_input(env, h, s, payload);
	chunkq_purge(env->pool, payload);
	return ev;
}
