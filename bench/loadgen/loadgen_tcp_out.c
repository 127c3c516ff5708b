/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_prefetch.h>
#include "loadgen_app.h"
#include "loadgen_http.h"
#include "loadgen_pattern.h"
#include "loadgen_tcp.h"

#define RTO_FIRST_MS 1000u
#define RTO_MAX_MS 60000u
#define BACKOFF_MAX 9 /* retransmissions of one segment before the connection is given up */

/* RFC 6528: grows with the clock, so that a tuple used again begins beyond what it was. */
uint32_t lg_tcp_isn(struct lg_side *s, uint32_t tuple)
{
	return (uint32_t)(s->now_us / 4) + (uint32_t)lg_mix((uint64_t)s->isn_key << 32 | tuple);
}

static uint32_t rto_ticks(const struct lg_side *s, const struct lg_conn *c)
{
	uint32_t min = LG_TICKS_MS(s->cfg->rto_min_ms), t;

	t = c->srtt || c->rttvar ? (c->srtt >> 3) + c->rttvar : LG_TICKS_MS(RTO_FIRST_MS);
	if (t < min)
		t = min;
	if (c->backoff)
		t = c->backoff > 12 ? LG_TICKS_MS(RTO_MAX_MS) : t << c->backoff;
	return t > LG_TICKS_MS(RTO_MAX_MS) ? LG_TICKS_MS(RTO_MAX_MS) : t;
}

void lg_tcp_arm(struct lg_side *s, struct lg_conn *c)
{
	uint32_t at = s->wheel.now + rto_ticks(s, c);

	c->rto_at = at ? at : 1;
	lg_side_timer(s, c, c->rto_at);
}

static struct rte_mbuf *frame_new(struct lg_side *s)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->net->pool);

	if (!m)
		s->net->stats.no_mbuf++;
	return m;
}

void lg_tcp_bare(struct lg_side *s, uint32_t tuple, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct lg_header h = {.tuple = tuple, .seq = seq, .ack = ack, .flags = flags, .wscale = -1,
			      .wnd = flags & LG_RST ? 0 : s->wnd_field};
	struct rte_mbuf *m = frame_new(s);

	if (!m)
		return;
	if (flags & LG_RST)
		s->stats.resets_out++;
	lg_wire_build(&s->wire, m, &h, 0);
	lg_net_send(s->net, m);
}

void lg_tcp_send_syn(struct lg_side *s, struct lg_conn *c)
{
	struct lg_header h = {.tuple = c->tuple, .seq = c->snd_una, .ack = c->rcv_nxt,
			      .flags = c->state == LG_SYN_SENT ? LG_SYN : LG_SYN | LG_ACK,
			      .mss = s->mss, .wscale = (int8_t)s->wscale};
	struct rte_mbuf *m = frame_new(s);

	h.wnd = s->cfg->window > UINT16_MAX ? UINT16_MAX : s->cfg->window;
	/* A server that was not offered a scale does not answer with one; 0xff notes that. */
	if (c->state == LG_SYN_RCVD && c->wscale == 0xff)
		h.wscale = -1;
	c->snd_nxt = c->snd_una + 1;
	c->snd_max = c->snd_nxt;
	lg_tcp_arm(s, c);
	if (!m)
		return;
	lg_wire_build(&s->wire, m, &h, 0);
	lg_net_send(s->net, m);
}

void lg_tcp_connect(struct lg_side *s, struct lg_conn *c)
{
	c->state = LG_SYN_SENT;
	c->snd_una = lg_tcp_isn(s, c->tuple);
	c->recover = c->snd_una;
	s->stats.opened++;
	lg_tcp_send_syn(s, c);
}

void lg_tcp_ack_now(struct lg_side *s, struct lg_conn *c)
{
	c->rx_segs = 0;
	lg_tcp_bare(s, c->tuple, LG_ACK, c->snd_nxt, c->rcv_nxt);
}

void lg_tcp_ack_later(struct lg_side *s, struct lg_conn *c)
{
	if (c->flags & LG_F_ACK)
		return;
	c->flags |= LG_F_ACK;
	lg_list_put(&s->acks, lg_conn_number(s, c));
}

/* len octets of the message from offset off on. */
static void message_write(const struct lg_side *s, const struct lg_conn *c, uint8_t *to,
			  uint32_t off, uint32_t len)
{
	if (off < c->tx_head) {
		char head[LG_HEAD_LEN_MAX];
		uint32_t n = c->tx_head - off;

		lg_app_head(s, c, head);
		if (n > len)
			n = len;
		memcpy(to, head + off, n);
		to += n;
		off += n;
		len -= n;
	}
	if (len)
		lg_pattern_fill(to, s->server ? c->id | LG_ID_RESPONSE : c->id, off - c->tx_head,
				len);
}

/* One segment from sequence number seq on; false without memory. */
static bool segment_send(struct lg_side *s, struct lg_conn *c, uint32_t seq, uint32_t len, bool fin)
{
	struct lg_header h = {.tuple = c->tuple, .seq = seq, .ack = c->rcv_nxt, .wnd = s->wnd_field,
			      .flags = LG_ACK, .wscale = -1};
	struct rte_mbuf *m = frame_new(s);
	uint32_t off = c->tx_off + (seq - c->snd_una);

	if (!m)
		return false;
	if (len && off + len == c->tx_len)
		h.flags |= LG_PSH;
	if (fin)
		h.flags |= LG_FIN;
	if (len)
		message_write(s, c, rte_pktmbuf_mtod_offset(m, uint8_t *,
							    lg_wire_head_len(&s->wire, &h)),
			      off, len);
	lg_wire_build(&s->wire, m, &h, len);
	lg_net_send(s->net, m);
	c->rx_segs = 0;
	if (LG_SEQ_LT(seq, c->snd_max)) {
		s->stats.retransmits++;
		if ((c->flags & LG_F_RTT) && LG_SEQ_LEQ(seq, c->rtt_seq))
			c->flags &= ~LG_F_RTT; /* Karn */
	} else if (!(c->flags & LG_F_RTT)) {
		c->flags |= LG_F_RTT;
		c->rtt_seq = seq;
		c->rtt_at = s->wheel.now;
	}
	return true;
}

static void wait_for_room(struct lg_side *s, struct lg_conn *c)
{
	if (c->flags & LG_F_PENDING)
		return;
	c->flags |= LG_F_PENDING;
	lg_list_put(&s->pending, lg_conn_number(s, c));
}

/* How much of the data from snd_nxt on may go in one segment; 0: none now. */
static uint32_t segment_len(const struct lg_conn *c, uint32_t left)
{
	uint32_t wnd = c->snd_wnd < c->cwnd ? c->snd_wnd : c->cwnd;
	uint32_t flight = c->snd_nxt - c->snd_una, n = left < c->mss ? left : c->mss;

	if (flight + n <= wnd)
		return n;
	/* A part of a segment only when nothing else would keep the stream going. */
	return flight == 0 ? wnd : 0;
}

void lg_tcp_output(struct lg_side *s, struct lg_conn *c)
{
	if (c->state != LG_OPEN)
		return;
	for (;;) {
		uint32_t end = lg_tcp_end(c), left = end - c->snd_nxt, n = 0;
		bool fin = false;

		if (LG_SEQ_GT(c->snd_nxt, end))
			break; /* the FIN is on its way */
		if (left) {
			n = segment_len(c, left);
			if (n == 0)
				break;
		}
		if ((c->flags & LG_F_FIN_QUEUED) && n == left)
			fin = !(c->flags & LG_F_FIN_ACKED);
		if (!n && !fin)
			break;
		if (!lg_net_room(s->net) || !segment_send(s, c, c->snd_nxt, n, fin)) {
			wait_for_room(s, c);
			break;
		}
		c->snd_nxt += n + fin;
		if (LG_SEQ_GT(c->snd_nxt, c->snd_max))
			c->snd_max = c->snd_nxt;
	}
	/* With nothing in flight and data to send the timer probes the closed window. */
	if (c->rto_at == 0 && (c->snd_una != c->snd_max || c->tx_off != c->tx_len))
		lg_tcp_arm(s, c);
}

/* The first unacknowledged segment once more. */
void lg_tcp_retransmit(struct lg_side *s, struct lg_conn *c)
{
	uint32_t left = lg_tcp_end(c) - c->snd_una, n = left < c->mss ? left : c->mss;
	uint32_t out = c->snd_max - c->snd_una;
	bool fin;

	if (n > out)
		n = out;
	fin = (c->flags & LG_F_FIN_QUEUED) && n == left && out > n;
	if (n || fin)
		segment_send(s, c, c->snd_una, n, fin);
}

void lg_tcp_close(struct lg_side *s, struct lg_conn *c)
{
	c->flags |= LG_F_FIN_QUEUED;
	lg_tcp_output(s, c);
}

void lg_tcp_abort(struct lg_side *s, struct lg_conn *c)
{
	if (c->state == LG_OPEN || c->state == LG_SYN_RCVD)
		lg_tcp_bare(s, c->tuple, LG_RST | LG_ACK, c->snd_nxt, c->rcv_nxt);
	lg_side_conn_free(s, c);
}

static void give_up(struct lg_side *s, struct lg_conn *c)
{
	enum lg_failure why = c->state != LG_OPEN ? LG_FAIL_CONNECT : LG_FAIL_UNANSWERED;

	lg_side_fail(s, c, why, "nothing acknowledged after %u retransmissions", BACKOFF_MAX);
	lg_app_closed(s, c, why);
	lg_tcp_abort(s, c);
}

/* The window is closed: one octet asks whether it still is. */
static void probe(struct lg_side *s, struct lg_conn *c)
{
	s->stats.probes++;
	c->backoff += c->backoff < BACKOFF_MAX - 1;
	c->snd_nxt = c->snd_una;
	if (segment_send(s, c, c->snd_una, 1, false)) {
		c->snd_nxt++;
		if (LG_SEQ_GT(c->snd_nxt, c->snd_max))
			c->snd_max = c->snd_nxt;
		c->flags |= LG_F_PROBE;
	}
	lg_tcp_arm(s, c);
}

static void rto(struct lg_side *s, struct lg_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una;

	c->rto_at = 0;
	if (c->state == LG_OPEN && c->snd_wnd == 0 && c->tx_off != c->tx_len) {
		probe(s, c);
		return;
	}
	if (flight == 0) {
		lg_tcp_output(s, c);
		return;
	}
	if (++c->backoff > BACKOFF_MAX) {
		give_up(s, c);
		return;
	}
	if (c->state != LG_OPEN) {
		s->stats.syn_retransmits++;
		lg_tcp_send_syn(s, c);
		return;
	}
	/* RFC 5681 3.1, and everything in flight counts as lost. */
	s->stats.timeouts++;
	if (!s->cfg->cwnd) {
		c->ssthresh = flight / 2 > 2u * c->mss ? flight / 2 : 2u * c->mss;
		c->cwnd = c->mss;
	}
	c->recover = c->snd_max;
	c->flags &= ~(LG_F_RECOVERY | LG_F_RTT);
	c->dupacks = 0;
	c->snd_nxt = c->snd_una;
	lg_tcp_output(s, c);
	lg_tcp_arm(s, c);
}

void lg_tcp_timer(struct lg_side *s, struct lg_conn *c)
{
	uint32_t now = s->wheel.now, number = lg_conn_number(s, c), tuple = c->tuple;

	if ((c->flags & LG_F_TIMED) && !lg_tick_before(now, c->app_at)) {
		c->flags &= ~LG_F_TIMED;
		if (!lg_app_time(s, c))
			return;
	}
	if (c->rto_at && !lg_tick_before(now, c->rto_at))
		rto(s, c);
	if (s->map[tuple] != number)
		return;
	if (c->rto_at)
		lg_side_timer(s, c, c->rto_at);
	if (c->flags & LG_F_TIMED)
		lg_side_timer(s, c, c->app_at);
}

bool lg_tcp_flush(struct lg_side *s)
{
	bool any = s->acks.count > 0;
	uint32_t n = s->pending.count;

	while (s->acks.count) {
		struct lg_conn *c = &s->conn[lg_list_take(&s->acks)];

		c->flags &= ~LG_F_ACK;
		if (c->state == LG_OPEN && c->rx_segs)
			lg_tcp_ack_now(s, c);
	}
	while (n-- && lg_net_room(s->net)) {
		struct lg_conn *c = &s->conn[lg_list_take(&s->pending)];

		any = true;
		c->flags &= ~LG_F_PENDING;
		if (c->state == LG_OPEN)
			lg_tcp_output(s, c);
	}
	return any;
}
