/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leaving the path: when nothing on a flow is left to look at, its two halves become plain forwarding again.
 *
 *   LOOKED AT --both directions only pass--> DRAINING --everything delivered and acknowledged--> JOINED
 *                                               \--not in time--> LOOKED AT for JOIN_RETRY_US
 *
 * While it drains the receive windows are not opened further: a sender that never pauses comes to their end, what it
 * has sent is delivered and acknowledged, and for a moment nothing is under way that only we know of. Then a segment of
 * one end can go to the other: its numbers are moved by what our changes of the octets have made of them
 * (tcp/tcp_splice.h). What an end has in flight towards us at that moment is new to both, or a copy of something the
 * other has long acknowledged, which it drops; so no octet is lost or comes twice, whatever was changed before.
 *
 * That is given up when it takes JOIN_DRAIN_US, or when one direction has been at the end of its window for
 * JOIN_STALL_US only because the other has not drained.
 *
 * The ends then see each other's windows. The joining waits for JOIN_COVER_US at most until what we have offered either
 * of them is no more than the other offers, so that no window shrinks (RFC 9293 3.8.6) unless a flow is quiet. An end
 * whose window opens by it is told so; should that segment get lost, its own probe finds out.
 *
 * Where nothing was inserted or removed both constants are 0, and the flow is forgotten: its segments cross as those of
 * any flow that no rule selects (unless tcp.mid-stream forbids that). Otherwise a record stays until both ends have closed, or one has reset.
 */
#include "session_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <rte_mbuf.h>

#define JOIN_COVER_US 500000
#define JOIN_DRAIN_US 3000000
#define JOIN_STALL_US 400000
#define JOIN_RETRY_US 10000000
#define JOIN_LINGER_US 10000000 /* after the end: a FIN whose acknowledgement was lost comes again */

static inline bool passes(const struct session_pipe *p)
{
	return p->mode == PIPE_TUNNEL ||
	       (p->mode == PIPE_STREAM && p->begun && p->route == ROUTE_FORWARD && !p->adapt && !p->observer);
}

static bool may_leave(struct session_ctx *c, struct session *s)
{
	bool pass[2] = {passes(&s->pipe[0]), passes(&s->pipe[1])};

	if (s->answered || s->xchg_count || s->inject_ready || s->tunnel_wait)
		return false;
	for (unsigned d = 0; d < 2; d++) {
		if (s->pipe[d].eof || tcp_half_rx_finished(&s->half[d]))
			return false;
		/* A stream that has not begun: would a rule look at it? */
		if (!pass[d] && !(pass[!d] && s->pipe[d].mode == PIPE_STREAM && !s->pipe[d].begun && session_unseen(c, s, d)))
			return false;
	}
	return true;
}

static void hold(struct session_ctx *c, struct session *s, bool on)
{
	s->leaving = on;
	for (unsigned i = 0; i < 2; i++)
		tcp_half_hold(&s->half[i], on);
	if (!on)
		c->cfg.wake(c->cfg.cb, s); /* to open the windows */
}

/* What the peer of half i was offered is no more than what it will be offered when joined. */
static bool covered(const struct tcp_half_info h[2], unsigned i)
{
	return h[i].rcv_wnd <= h[!i].snd_wnd;
}

/* The other end's window, to the peer of half i. */
static void window_tell(struct session_ctx *c, struct session *s, const struct tcp_half_info h[2], unsigned i)
{
	struct tcp_out o = {
		.seq = h[i].snd_nxt,
		.ack = h[i].rcv_nxt,
		.flags = TCP_F_ACK,
		.window = (uint16_t)RTE_MIN(h[!i].snd_wnd >> h[i].rcv_wscale, (uint32_t)UINT16_MAX),
	};

	if (h[!i].snd_wnd > h[i].rcv_wnd)
		(void)session_emit(c, &s->half[i], &o);
}

static void join_note(struct session_ctx *c, const struct session *s, const uint32_t moved[2])
{
	char text[128];

	snprintf(text, sizeof(text), "nothing is left to look at; numbers move by %" PRId32 " and %" PRId32,
		 (int32_t)moved[0], (int32_t)moved[1]);
	session_note(c, s, -1, "flow-joined", "", UINT64_MAX, text);
}

static void join(struct session_ctx *c, struct session *s, const struct tcp_half_info h[2])
{
	uint32_t moved[2] = {h[1].snd_nxt - h[0].rcv_nxt, h[0].snd_nxt - h[1].rcv_nxt};
	struct session_record *r;

	c->current = s;
	for (unsigned i = 0; i < 2; i++)
		window_tell(c, s, h, i);
	join_note(c, s, moved);
	r = session_pack(c, s);
	if (!r) /* there are as many as flows */
		return;
	r->kind = RECORD_JOINED;
	session_passed_free(c, r);
	memset(&r->joined, 0, sizeof(r->joined));
	for (unsigned i = 0; i < 2; i++) {
		r->joined.moved[i] = moved[i];
		r->joined.acked[i] = r->joined.end[i] = h[i].rcv_nxt;
	}
	session_count(c, STATS_flow_joined);
	if (!moved[0] && !moved[1] && c->cfg.forget_joined) {
		session_count(c, STATS_flow_join_plain);
		r->kind = RECORD_DEAD;
	} else {
		c->joined++;
	}
	c->cfg.moved(c->cfg.cb, r->info.owner, session_handle_of(r));
}

/* A direction in which all has been delivered and nothing more may be sent waits for the other one. */
static bool stalled(struct session_ctx *c, struct session *s, const struct tcp_half_info h[2])
{
	for (unsigned d = 0; d < 2; d++) {
		if (h[d].rcv_wnd < h[d].rcv_mss && !h[d].rxq && !h[!d].unsent && !h[!d].unacked) {
			if (!s->stall_us)
				s->stall_us = c->now_us;
			return c->now_us - s->stall_us >= JOIN_STALL_US;
		}
	}
	s->stall_us = 0;
	return false;
}

void session_leave(struct session_ctx *c, struct session *s)
{
	struct tcp_half_info h[2];

	if (s->leaving ? !may_leave(c, s) : c->now_us < s->leave_us || !may_leave(c, s)) {
		if (s->leaving)
			hold(c, s, false);
		return;
	}
	if (!s->leaving) {
		s->leave_us = c->now_us;
		s->stall_us = 0;
		hold(c, s, true);
	}
	for (unsigned i = 0; i < 2; i++)
		tcp_half_info(&c->env, &s->half[i], &h[i]);
	if (session_quiet(s)) {
		if ((covered(h, 0) && covered(h, 1)) || c->now_us - s->leave_us >= JOIN_COVER_US)
			join(c, s, h);
	} else if (c->now_us - s->leave_us >= JOIN_DRAIN_US || stalled(c, s, h)) {
		session_count(c, STATS_flow_join_given_up);
		s->leave_us = c->now_us + JOIN_RETRY_US;
		hold(c, s, false);
	}
}

uint64_t session_leave_deadline(const struct session_ctx *c, const struct session *s)
{
	if (!s->leaving)
		return UINT64_MAX;
	if (c->now_us - s->leave_us < JOIN_COVER_US && session_quiet(s))
		return s->leave_us + JOIN_COVER_US;
	if (s->stall_us)
		return RTE_MIN(s->stall_us + JOIN_STALL_US, s->leave_us + JOIN_DRAIN_US);
	return s->leave_us + JOIN_DRAIN_US;
}

/* --- joined ------------------------------------------------------------------------------------------------------- */

static inline bool seq_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* A reset that its receiver will believe lies between what it has acknowledged and the last it can have received; the
 * others are challenged by it (RFC 5961), and the flow goes on. */
static bool reset_counts(const struct session_record *r, unsigned side, uint32_t seq)
{
	return !seq_before(seq, r->joined.acked[side]) && !seq_before(r->joined.end[side], seq);
}

/* Notes how far the flow is from its end. Numbers are kept as the end that sends the octets counts them. */
static void joined_note(struct session_ctx *c, struct session_record *r, unsigned side, const struct tcp_segment *seg,
			const struct parse_frame *f, const struct rte_mbuf *m)
{
	struct session_joined *j = &r->joined;
	uint32_t end = seg->seq + f->payload_len + !!(seg->flags & TCP_F_FIN);
	uint32_t ack = seg->ack - j->moved[!side];

	if (end != seg->seq && seq_before(j->end[side], end))
		j->end[side] = end;
	if (!(seg->flags & TCP_F_RST))
		j->reset[side] = false; /* it goes on: that was somebody else's */
	if ((seg->flags & TCP_F_ACK) && seq_before(j->acked[!side], ack) && !seq_before(j->end[!side], ack))
		j->acked[!side] = ack;
	if (!(seg->flags & (TCP_F_FIN | TCP_F_RST)))
		return;
	/* Only these decide anything: the sum of the others is the receiver's business. */
	if (!parse_ip_checksum_good(f, m) || !parse_tcp_checksum_good(f, m))
		return;
	if (seg->flags & TCP_F_RST) {
		j->reset[side] |= reset_counts(r, side, seg->seq);
		return;
	}
	j->fin[side] = true;
	j->fin_end[side] = end;
}

static bool joined_over(const struct session_record *r)
{
	const struct session_joined *j = &r->joined;

	return j->reset[0] || j->reset[1] ||
	       (j->fin[0] && j->fin[1] && j->acked[0] == j->fin_end[0] && j->acked[1] == j->fin_end[1]);
}

enum session_verdict session_joined_segment(struct session_ctx *c, struct session_record *r, unsigned side,
					    struct rte_mbuf *m, const struct parse_frame *f)
{
	const struct session_joined *j = &r->joined;
	struct tcp_splice t = {.seq = j->moved[side], .ack = -j->moved[!side]};
	uint8_t *hdr = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off);
	struct tcp_segment seg;
	uint8_t sum[2];

	if (tcp_segment_parse(&seg, hdr, f->l4_len, f->l4_len + f->payload_len) != 0)
		return SESSION_DROP;
	joined_note(c, r, side, &seg, f, m);
	session_hear(c, &r->heard, side);
	r->pipe[side].octets += f->payload_len;
	session_count(c, STATS_flow_join_frames);
	memcpy(sum, hdr + 16, sizeof(sum));
	tcp_splice_rewrite(hdr, f->l4_len, &t);
	/* Without a checksum it came (parse_offload): in its place stands what the port begins with. */
	if (m->ol_flags & RTE_MBUF_F_TX_L4_MASK)
		memcpy(hdr + 16, sum, sizeof(sum));
	return SESSION_FORWARD;
}

bool session_joined_reusable(const struct session_record *r)
{
	return joined_over(r);
}

uint64_t session_joined_deadline(const struct session_ctx *c, const struct session_record *r)
{
	if (joined_over(r))
		return session_heard_last(&r->heard) + JOIN_LINGER_US;
	return session_silence_deadline(c, &r->heard);
}

/* Between the ends as if from the other one: a probe is an acknowledgement with a number that is old (RFC 9293 3.8.4), a
 * reset stands where the next octet is expected (RFC 5961). False: there is nothing to send it from. */
static bool joined_emit(struct session_ctx *c, const struct session_record *r, unsigned to, uint8_t flags)
{
	const struct session_joined *j = &r->joined;
	uint32_t next = j->acked[!to] + j->moved[!to];
	struct tcp_out o = {
		.seq = flags & TCP_F_RST ? next : next - 1,
		.ack = j->acked[to],
		.flags = flags,
	};
	struct session *s = c->free_sessions, *after; /* lent: what is not in use is anybody's */

	if (!s || !r->pattern[to].l2_len)
		return false;
	after = s->next;
	memset(s, 0, sizeof(*s));
	s->next = after;
	s->info = r->info;
	session_head_set(s, to, &r->pattern[to]);
	c->current = s;
	(void)session_emit(c, &s->half[to], &o);
	c->current = NULL;
	return true;
}

static void joined_dead(struct session_ctx *c, struct session_record *r, enum stats_counter why)
{
	session_count(c, why);
	r->kind = RECORD_DEAD;
	c->joined--;
}

void session_joined_timer(struct session_ctx *c, struct session_record *r)
{
	if (joined_over(r)) {
		joined_dead(c, r, r->joined.reset[0] || r->joined.reset[1] ? STATS_flow_reset : STATS_flow_closed);
		return;
	}
	switch (session_silence(c, &r->heard)) {
	case SILENCE_NONE:
		return;
	case SILENCE_PROBE:
		for (unsigned i = 0; i < 2; i++)
			if (session_silent(c, &r->heard, i) && joined_emit(c, r, i, TCP_F_ACK))
				session_count(c, STATS_keepalive_probes);
		return;
	case SILENCE_DEAD:
		for (unsigned i = 0; i < 2; i++)
			(void)joined_emit(c, r, i, TCP_F_RST | TCP_F_ACK);
		session_count(c, STATS_flow_aborted);
		joined_dead(c, r, STATS_flow_timeout);
		return;
	}
}
