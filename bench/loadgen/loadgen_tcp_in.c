/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_app.h"
#include "loadgen_tcp.h"

#define DUPACKS 3
#define INITIAL_SEGMENTS 10u /* RFC 6928 */
#define MSS_DEFAULT 536u
#define CWND_MAX (1u << 26)

/* A segment for no connection. A FIN is acknowledged from itself, as a connection in TIME-WAIT would; data is
 * refused. */
static void stray(struct lg_side *s, const struct lg_segment *seg)
{
	uint32_t end = seg->seq + seg->len;

	s->stats.stray++;
	if (seg->flags & LG_RST)
		return;
	if (seg->flags & LG_SYN)
		lg_tcp_bare(s, seg->tuple, LG_RST | LG_ACK, seg->flags & LG_ACK ? seg->ack : 0,
			    end + 1);
	else if (seg->flags & LG_FIN)
		lg_tcp_bare(s, seg->tuple, LG_ACK, seg->ack, end + 1);
	else if (seg->len)
		lg_tcp_bare(s, seg->tuple, LG_RST, seg->ack, 0);
}

/* What the other end's SYN says, and where congestion control begins. */
static void peer_options(const struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg)
{
	uint16_t mss = seg->mss ? seg->mss : MSS_DEFAULT;

	c->mss = mss < s->mss ? mss : s->mss;
	c->wscale = seg->wscale < 0 ? 0xff : (uint8_t)seg->wscale;
	c->rcv_nxt = seg->seq + 1;
	c->snd_wnd = seg->wnd; /* never scaled in a SYN */
	c->cwnd = s->cfg->cwnd ? s->cfg->cwnd : INITIAL_SEGMENTS * c->mss;
	c->ssthresh = CWND_MAX;
}

static void accept_syn(struct lg_side *s, const struct lg_segment *seg)
{
	struct lg_conn *c = lg_side_conn_new(s, seg->tuple);

	if (!c)
		return; /* the client tries again */
	c->state = LG_SYN_RCVD;
	c->snd_una = lg_tcp_isn(s, c->tuple);
	c->recover = c->snd_una;
	peer_options(s, c, seg);
	lg_tcp_send_syn(s, c);
}

static bool opened(struct lg_side *s, struct lg_conn *c)
{
	c->state = LG_OPEN;
	c->snd_una++;
	c->snd_nxt = c->snd_max = c->snd_una;
	c->rto_at = 0;
	c->backoff = 0;
	s->stats.accepted++;
	s->established++;
	return lg_app_open(s, c);
}

static void input_syn_sent(struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg)
{
	bool ack_ok = (seg->flags & LG_ACK) && seg->ack == c->snd_una + 1;

	if ((seg->flags & LG_ACK) && !ack_ok) {
		if (!(seg->flags & LG_RST))
			lg_tcp_bare(s, seg->tuple, LG_RST, seg->ack, 0);
		return;
	}
	if (seg->flags & LG_RST) {
		if (!ack_ok)
			return;
		s->stats.resets_in++;
		lg_side_fail(s, c, LG_FAIL_RESET, "the SYN was answered by a reset");
		lg_app_closed(s, c, LG_FAIL_RESET);
		lg_side_conn_free(s, c);
		return;
	}
	if (!ack_ok || !(seg->flags & LG_SYN))
		return;
	peer_options(s, c, seg);
	c->snd_nxt = c->snd_una + 1;
	lg_tcp_ack_now(s, c);
	opened(s, c);
}

/* RFC 6298 2, of the one segment timed. */
static void rtt_sample(struct lg_side *s, struct lg_conn *c)
{
	uint32_t r = s->wheel.now - c->rtt_at;

	c->flags &= ~LG_F_RTT;
	if (r > 4000)
		r = 4000; /* srtt is 16 bits, scaled by 8 */
	if (c->srtt == 0 && c->rttvar == 0) {
		c->srtt = r << 3;
		c->rttvar = r << 1;
		c->rttvar += c->rttvar == 0;
		return;
	}
	int32_t delta = (int32_t)r - (c->srtt >> 3);

	c->srtt += delta;
	c->rttvar += (delta < 0 ? -delta : delta) - (c->rttvar >> 2);
	c->rttvar += c->rttvar == 0;
}

static void cwnd_grow(const struct lg_side *s, struct lg_conn *c, uint32_t acked)
{
	if (s->cfg->cwnd || c->cwnd >= CWND_MAX)
		return;
	if (c->cwnd < c->ssthresh)
		c->cwnd += acked < 2u * c->mss ? acked : 2u * c->mss;
	else
		c->cwnd += (uint32_t)c->mss * c->mss / c->cwnd + 1;
}

static void dupack(struct lg_side *s, struct lg_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una;

	s->stats.dupacks++;
	c->dupacks += c->dupacks < 255;
	if (c->flags & LG_F_RECOVERY) {
		if (!s->cfg->cwnd)
			c->cwnd += c->mss;
		lg_tcp_output(s, c);
		return;
	}
	if (c->dupacks != DUPACKS || LG_SEQ_LT(c->snd_una, c->recover))
		return;
	s->stats.fast_retransmits++;
	if (!s->cfg->cwnd) {
		c->ssthresh = flight / 2 > 2u * c->mss ? flight / 2 : 2u * c->mss;
		c->cwnd = c->ssthresh + DUPACKS * c->mss;
	}
	c->recover = c->snd_max;
	c->flags |= LG_F_RECOVERY;
	lg_tcp_retransmit(s, c);
	lg_tcp_arm(s, c);
}

/* New octets are acknowledged; RFC 6582 3.2 while in recovery. */
static void acked(struct lg_side *s, struct lg_conn *c, uint32_t ack)
{
	uint32_t n = ack - c->snd_una, left = c->tx_len - c->tx_off;

	if (n > left) {
		c->flags |= LG_F_FIN_ACKED;
		c->tx_off = c->tx_len;
	} else {
		c->tx_off += n;
	}
	c->snd_una = ack;
	if (LG_SEQ_LT(c->snd_nxt, ack))
		c->snd_nxt = ack;
	if ((c->flags & LG_F_RTT) && LG_SEQ_GT(ack, c->rtt_seq))
		rtt_sample(s, c);
	c->flags &= ~LG_F_PROBE;
	c->dupacks = 0;
	c->backoff = 0;
	if (!(c->flags & LG_F_RECOVERY)) {
		cwnd_grow(s, c, n);
	} else if (LG_SEQ_GEQ(ack, c->recover)) {
		c->flags &= ~LG_F_RECOVERY;
		if (!s->cfg->cwnd)
			c->cwnd = c->ssthresh;
	} else {
		if (!s->cfg->cwnd)
			c->cwnd = (c->cwnd > n ? c->cwnd - n : 0) + c->mss;
		lg_tcp_retransmit(s, c);
	}
	if (c->snd_una == c->snd_max)
		c->rto_at = 0;
	else
		lg_tcp_arm(s, c);
}

static uint32_t scaled(const struct lg_conn *c, uint16_t wnd)
{
	return c->wscale == 0xff ? wnd : (uint32_t)wnd << c->wscale;
}

/* False: the segment is done with. */
static bool input_ack(struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg)
{
	uint32_t wnd = scaled(c, seg->wnd), was = c->snd_wnd;

	if (LG_SEQ_GT(seg->ack, c->snd_max)) {
		s->stats.challenged++;
		lg_tcp_ack_now(s, c);
		return false;
	}
	if (LG_SEQ_LT(seg->ack, c->snd_una))
		return true; /* old; its data may still be new */
	if (seg->ack != c->snd_una) {
		c->snd_wnd = wnd;
		acked(s, c, seg->ack);
	} else if (seg->len == 0 && !(seg->flags & LG_FIN) && wnd == was &&
		   c->snd_una != c->snd_max && !(c->flags & LG_F_PROBE)) {
		dupack(s, c);
		return true;
	} else if (LG_SEQ_GEQ(seg->seq, c->rcv_nxt)) {
		c->snd_wnd = wnd;
		if (c->flags & LG_F_PROBE) {
			/* The probe was answered, which is a sign of life; it was not taken unless acknowledged. */
			c->backoff = 0;
			if (wnd) {
				c->flags &= ~LG_F_PROBE;
				c->snd_nxt = c->snd_una;
			}
		}
	}
	lg_tcp_output(s, c);
	return true;
}

/* Data beyond a gap: one interval is kept in mind when it can be checked, the rest comes again. */
static void out_of_order(struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg,
			 uint32_t seq, const uint8_t *data, uint32_t len)
{
	uint32_t end = seq + len;
	bool fits = c->ooo_begin == c->ooo_end || seq == c->ooo_end || end == c->ooo_begin;

	s->stats.out_of_order++;
	if (fits && lg_app_ahead(s, c, data, seq - c->rcv_nxt, len)) {
		if (c->ooo_begin == c->ooo_end) {
			c->ooo_begin = seq;
			c->ooo_end = end;
		} else if (seq == c->ooo_end) {
			c->ooo_end = end;
		} else {
			c->ooo_begin = seq;
		}
	} else {
		s->stats.ooo_dropped++;
	}
	lg_tcp_ack_now(s, c);
}

/* In order. False: the connection is gone. */
static bool deliver(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t len)
{
	uint32_t skip;

	c->rcv_nxt += len;
	c->rx_segs += c->rx_segs < 255;
	if (!lg_app_data(s, c, data, len))
		return false;
	if (c->ooo_begin == c->ooo_end || LG_SEQ_LT(c->rcv_nxt, c->ooo_begin))
		return true;
	skip = c->ooo_end - c->rcv_nxt;
	c->ooo_begin = c->ooo_end = 0;
	if ((int32_t)skip <= 0)
		return true;
	c->rcv_nxt += skip;
	c->rx_segs = 255; /* the gap is closed: say so at once */
	return lg_app_skip(s, c, skip);
}

/* False: the connection is gone. */
static bool input_data(struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg, bool *fin)
{
	uint32_t seq = seg->seq, len = seg->len;
	const uint8_t *data = seg->data;

	if (LG_SEQ_LT(seq, c->rcv_nxt)) {
		uint32_t old = c->rcv_nxt - seq;

		if (old > len || (old == len && !*fin)) {
			/* Wholly old (or its FIN is): the acknowledgement was lost. */
			s->stats.duplicates += len > 0;
			*fin = false;
			lg_tcp_ack_now(s, c);
			return true;
		}
		s->stats.duplicates += old > 0 && len > 0;
		seq += old;
		data += old;
		len -= old;
	}
	if (LG_SEQ_GT(seq, c->rcv_nxt)) {
		*fin = false;
		if (seq + len - c->rcv_nxt > s->cfg->window) {
			s->stats.challenged++;
			lg_tcp_ack_now(s, c);
			return true;
		}
		if (len)
			out_of_order(s, c, seg, seq, data, len);
		else
			lg_tcp_ack_now(s, c);
		return true;
	}
	return !len || deliver(s, c, data, len);
}

static void reset_received(struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg)
{
	/* RFC 5961: exactly the next octet, else a challenge. */
	if (seg->seq != c->rcv_nxt) {
		if (LG_SEQ_GT(seg->seq, c->rcv_nxt) && seg->seq - c->rcv_nxt < s->cfg->window) {
			s->stats.challenged++;
			lg_tcp_ack_now(s, c);
		}
		return;
	}
	s->stats.resets_in++;
	if ((c->flags & LG_F_TXN) || !(c->flags & LG_F_FIN_RCVD))
		lg_side_fail(s, c, LG_FAIL_RESET, "by the other end, after %u octets of the body",
			     c->rx_off);
	lg_app_closed(s, c, LG_FAIL_RESET);
	lg_side_conn_free(s, c);
}

/* Both directions ended and acknowledged. */
static bool over(struct lg_side *s, struct lg_conn *c)
{
	const uint16_t both = LG_F_FIN_ACKED | LG_F_FIN_RCVD;

	if ((c->flags & both) != both)
		return false;
	if (c->rx_segs)
		lg_tcp_ack_now(s, c);
	s->stats.closed++;
	lg_app_closed(s, c, LG_FAILURES);
	lg_side_conn_free(s, c);
	return true;
}

static void input_open(struct lg_side *s, struct lg_conn *c, const struct lg_segment *seg)
{
	bool fin = seg->flags & LG_FIN, had_all = c->snd_una == c->snd_max;

	if (!input_ack(s, c, seg))
		return;
	if ((seg->len || fin) && !input_data(s, c, seg, &fin))
		return;
	if (fin && !(c->flags & LG_F_FIN_RCVD)) {
		c->flags |= LG_F_FIN_RCVD;
		c->rcv_nxt++;
		c->rx_segs += c->rx_segs < 255;
		if (!lg_app_fin(s, c))
			return;
	}
	if (!had_all && c->snd_una == c->snd_max && !lg_app_sent(s, c))
		return;
	if (over(s, c))
		return;
	if (c->rx_segs >= s->cfg->ack_every && c->rx_segs > 1)
		lg_tcp_ack_now(s, c);
	else if (c->rx_segs)
		lg_tcp_ack_later(s, c);
}

void lg_tcp_input(struct lg_side *s, const struct lg_segment *seg)
{
	uint32_t number = s->map[seg->tuple];
	struct lg_conn *c;

	if (number == LG_NONE) {
		if (s->server && (seg->flags & (LG_SYN | LG_ACK | LG_RST)) == LG_SYN)
			accept_syn(s, seg);
		else
			stray(s, seg);
		return;
	}
	c = &s->conn[number];
	if (c->state == LG_SYN_SENT) {
		input_syn_sent(s, c, seg);
		return;
	}
	if (seg->flags & LG_RST) {
		reset_received(s, c, seg);
		return;
	}
	if (seg->flags & LG_SYN) {
		/* Again, because an answer was lost; or of a client that has forgotten this connection. */
		if (c->state == LG_SYN_RCVD && seg->seq + 1 == c->rcv_nxt) {
			lg_tcp_send_syn(s, c);
		} else {
			s->stats.challenged++;
			lg_tcp_ack_now(s, c);
		}
		return;
	}
	if (!(seg->flags & LG_ACK))
		return;
	if (c->state == LG_SYN_RCVD) {
		if (seg->ack != c->snd_una + 1) {
			lg_tcp_bare(s, seg->tuple, LG_RST, seg->ack, 0);
			return;
		}
		c->snd_wnd = scaled(c, seg->wnd);
		if (!opened(s, c))
			return;
	}
	input_open(s, c, seg);
}
