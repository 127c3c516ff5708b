/* SPDX-License-Identifier: BSD-3-Clause */
#include "session_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define ROUNDS_MAX 16
#define ANSWERED_LINGER_US 10000000u
#define STARVED_US 5000

void session_note(struct session_ctx *c, const struct session *s, int32_t rule, const char *kind,
		  const char *cause, uint64_t offset, const char *text)
{
	const struct policy_image *img = session_image(c);
	struct shm_event_args e = {
		.kind = kind,
		.cause = cause,
		.rule = img && rule >= 0 ? policy_image_rule(img, (uint32_t)rule)->name : "",
		.service = "",
		.flow = s->info.id,
		.offset = offset,
		.generation = s->info.generation,
	};

	if (c->cfg.events)
		shm_event_write(c->cfg.events, &e, "%s", text);
}

void session_abort(struct session_ctx *c, struct session *s)
{
	if (s->state != SESSION_OPEN)
		return;
	c->current = s;
	for (unsigned i = 0; i < 2; i++) {
		if (tcp_half_state(&s->half[i]) != TCP_CLOSED)
			tcp_half_abort(&c->env, &s->half[i]);
	}
	s->state = SESSION_DEAD;
	session_count(c, STATS_flow_aborted);
}

uint64_t session_room(const struct session *s, unsigned d)
{
	return tcp_half_send_room(&s->half[!d]);
}

void session_open_halves(struct session_ctx *c, struct session *s, const struct tcp_handshake *hs)
{
	struct tcp_params p;

	for (unsigned i = 0; i < 2; i++) {
		tcp_handshake_params(hs, i, &p);
		tcp_half_open(&s->half[i], &p, &c->env);
		session_tso(c, s, i);
		s->half_open[i] = true;
	}
	session_count(c, STATS_flow_established);
}

/* Octets of the largest IP packet both ports can send: without chains and checksums by the port it is copied into one
 * buffer. */
static uint16_t packet_max(const struct session_ctx *c)
{
	uint32_t room = rte_pktmbuf_data_room_size(c->cfg.bufs) - RTE_PKTMBUF_HEADROOM - SESSION_L2_MAX;
	uint32_t max = UINT16_MAX;

	for (unsigned i = 0; i < 2; i++) {
		const struct session_port_caps *caps = &c->cfg.caps[i];

		max = RTE_MIN(max, (uint32_t)caps->mtu);
		if (!caps->tx_cksum || !caps->multi_seg)
			max = RTE_MIN(max, room);
	}
	return (uint16_t)max;
}

uint16_t session_mss(const struct session_ctx *c, bool is_v6)
{
	return (uint16_t)(packet_max(c) - (is_v6 ? 60 : 40));
}

/* m in several pieces becomes chunks on its payload, header and padding gone. 0 or -ENOMEM; m is taken over either
 * way. */
static int payload_pieces(struct session_ctx *c, struct rte_mbuf *m, const struct parse_frame *f, struct chunkq *q)
{
	uint32_t skip = f->payload_off, left = f->payload_len;

	while (m) {
		struct rte_mbuf *next = m->next;
		uint32_t n = m->data_len, off = RTE_MIN(skip, n);
		struct chunk *k = NULL;

		m->next = NULL;
		m->nb_segs = 1;
		skip -= off;
		n = RTE_MIN(n - off, left);
		if (n)
			k = chunk_new(&c->pool, m, rte_pktmbuf_mtod_offset(m, uint8_t *, off), n);
		if (k) {
			chunkq_push(q, k);
			left -= n;
		} else {
			rte_pktmbuf_free(m);
			if (n) { /* no descriptor: as if the network had lost it */
				rte_pktmbuf_free(next);
				chunkq_purge(&c->pool, q);
				session_count(c, STATS_no_mbuf);
				return -ENOMEM;
			}
		}
		m = next;
	}
	return 0;
}

/* The same for m of any kind. sum: of the payload if it is one piece, 0: not known. */
static int payload_chunks(struct session_ctx *c, struct rte_mbuf *m, const struct parse_frame *f, uint16_t sum,
			  struct chunkq *q)
{
	struct chunk *k;

	if (unlikely(m->nb_segs > 1))
		return payload_pieces(c, m, f, q);
	if (!f->payload_len) {
		rte_pktmbuf_free_seg(m);
		return 0;
	}
	k = chunk_new(&c->pool, m, rte_pktmbuf_mtod_offset(m, uint8_t *, f->payload_off), f->payload_len);
	if (!k) {
		rte_pktmbuf_free_seg(m);
		session_count(c, STATS_no_mbuf);
		return -ENOMEM;
	}
	k->sum = sum;
	chunkq_push(q, k);
	return 0;
}

static inline bool checksums_good(const struct session_ctx *c, const struct session_flow_info *info, unsigned side,
				  const struct rte_mbuf *m, const struct parse_frame *f, uint16_t *sum)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	unsigned out = side == 0 ? !info->client_port : info->client_port;

	*sum = 0;
	if ((m->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK)) == good &&
	    c->cfg.caps[out].tx_cksum)
		return true;
	return parse_ip_checksum_good(f, m) && parse_tcp_checksum_sum(f, m, sum);
}

bool session_checksums_good(const struct session_ctx *c, const struct session_flow_info *info, unsigned side,
			    const struct rte_mbuf *m, const struct parse_frame *f, uint16_t *sum)
{
	return checksums_good(c, info, side, m, f, sum);
}

static void half_events(struct session_ctx *c, struct session *s, unsigned side, uint32_t ev)
{
	if (ev & (TCP_EV_RESET | TCP_EV_TIMEOUT)) {
		if (tcp_half_state(&s->half[!side]) != TCP_CLOSED)
			tcp_half_abort(&c->env, &s->half[!side]);
		s->state = SESSION_DEAD;
		session_count(c, ev & TCP_EV_RESET ? STATS_flow_reset : STATS_flow_timeout);
	}
}

enum session_verdict session_segment(struct session_ctx *c, struct session *s, unsigned side, struct rte_mbuf *m,
				     const struct parse_frame *f)
{
	struct tcp_segment seg;
	struct chunkq q;
	uint8_t *hdr = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off);
	uint16_t sum;

	if (unlikely(session_is_record(s))) {
		enum session_verdict v = session_record_segment(c, &s, side, m, f);

		if (v != SESSION_CONSUMED)
			return v;
	}
	c->current = s;
	if (s->state == SESSION_DEAD)
		return SESSION_DROP;
	if (!checksums_good(c, &s->info, side, m, f, &sum)) {
		session_count(c, STATS_bad_checksum);
		return SESSION_DROP;
	}
	if (tcp_segment_parse(&seg, hdr, f->l4_len, f->l4_len + f->payload_len) != 0)
		return SESSION_DROP;
	session_head_learn(s, side, m, f);
	session_hear(c, &s->heard, side);
	chunkq_init(&q);
	if (payload_chunks(c, m, f, sum, &q) != 0)
		return SESSION_CONSUMED;
	half_events(c, s, side, tcp_half_input(&c->env, &s->half[side], &seg, &q));
	return SESSION_CONSUMED;
}

bool session_reusable(const struct session_ctx *c, const struct session *s, unsigned side, const struct rte_mbuf *m,
		      const struct parse_frame *f)
{
	struct tcp_segment seg;
	enum tcp_state far;

	if (session_dead(s))
		return true;
	if (tcp_segment_parse(&seg, rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off), f->l4_len,
			      f->l4_len + f->payload_len) != 0)
		return false;
	if (session_is_record(s)) {
		const struct session_record *r = session_record_of(s);

		return (r->kind == RECORD_JOINED && session_joined_reusable(r)) ||
		       (r->kind == RECORD_CLOSING && session_closing_reusable(c, r, side, &seg));
	}
	far = tcp_half_state(&s->half[!side]);
	return tcp_half_reusable(&s->half[side], &seg) && (far == TCP_CLOSED || far == TCP_TIME_WAIT);
}

static bool pipe_run(struct session_ctx *c, struct session *s, unsigned d)
{
	if (s->state != SESSION_OPEN)
		return false;
	switch (s->pipe[d].mode) {
	case PIPE_FRAMED:
		return session_http_run(c, s, d);
	case PIPE_RTSP:
		return session_rtsp_run(c, s, d);
	case PIPE_SMTP:
		return session_smtp_run(c, s, d);
	default:
		return session_stream_run(c, s, d);
	}
}

/* Keeps the gauges of the queues: what this session adds to them now. */
static void queues_note(struct session_ctx *c, struct session *s, bool gone)
{
	uint64_t now[2] = {0};

	for (unsigned i = 0; i < 2 && !gone; i++) {
		if (!s->half_open[i])
			continue;
		now[0] += tcp_half_rxq(&s->half[i])->bytes;
		now[1] += tcp_half_send_pending(&s->half[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		c->queued[i] += now[i] - s->queued[i];
		s->queued[i] = now[i];
	}
}

void session_run(struct session_ctx *c, struct session *s)
{
	unsigned round = 0;
	bool moved = true;

	if (session_is_record(s))
		return;
	c->current = s;
	session_touch(c, s);
	s->starved = false;
	while (moved && s->state == SESSION_OPEN && round++ < ROUNDS_MAX) {
		moved = pipe_run(c, s, 0);
		moved |= pipe_run(c, s, 1);
		moved |= s->state == SESSION_OPEN && session_inject_run(c, s);
	}
	if (moved && s->state == SESSION_OPEN)
		c->cfg.wake(c->cfg.cb, s);
	for (unsigned i = 0; i < 2 && s->state == SESSION_OPEN; i++)
		tcp_half_output(&c->env, &s->half[i]);
	if (s->state == SESSION_OPEN && tcp_half_state(&s->half[0]) == TCP_CLOSED &&
	    tcp_half_state(&s->half[1]) == TCP_CLOSED) {
		s->state = SESSION_DEAD;
		session_count(c, STATS_flow_closed);
	}
	queues_note(c, s, false);
	if (unlikely(tcp_half_state(&s->half[0]) >= TCP_TIME_WAIT) && session_over(s)) {
		session_park(c, s);
		return;
	}
	if (s->pipe[0].mode != PIPE_FRAMED && s->pipe[0].mode != PIPE_SMTP && s->pipe[0].mode != PIPE_RTSP && s->state == SESSION_OPEN)
		session_leave(c, s);
}

static uint64_t idle_deadline(const struct session_ctx *c, const struct session *s)
{
	return s->answered ? session_heard_last(&s->heard) + ANSWERED_LINGER_US : session_silence_deadline(c, &s->heard);
}

uint64_t session_deadline(const struct session_ctx *c, const struct session *s)
{
	uint64_t at, timers = UINT64_MAX;

	if (session_is_record(s))
		return session_record_deadline(c, session_record_of(s));
	at = idle_deadline(c, s);
	if (s->state != SESSION_OPEN)
		return at;
	if (s->starved)
		timers = c->now_us + STARVED_US;
	for (unsigned i = 0; i < 2; i++) {
		timers = RTE_MIN(timers, tcp_half_deadline(&s->half[i]));
		if (s->pipe[i].adapt)
			timers = RTE_MIN(timers, adapt_deadline(s->pipe[i].adapt));
	}
	timers = RTE_MIN(timers, session_leave_deadline(c, s));
	if (timers == UINT64_MAX && session_quiet(s))
		timers = session_heard_last(&s->heard) + SESSION_PARK_US;
	return RTE_MIN(at, timers);
}

/* An end has been silent for long; or the linger after an answer of ours is over. */
static void silence(struct session_ctx *c, struct session *s)
{
	switch (s->answered ? SILENCE_DEAD : session_silence(c, &s->heard)) {
	case SILENCE_NONE:
		return;
	case SILENCE_PROBE:
		for (unsigned i = 0; i < 2 && s->state == SESSION_OPEN; i++) {
			if (!session_silent(c, &s->heard, i))
				continue;
			tcp_half_keepalive(&c->env, &s->half[i]);
			session_count(c, STATS_keepalive_probes);
		}
		return;
	case SILENCE_DEAD:
		session_count(c, STATS_flow_timeout);
		if (s->state == SESSION_OPEN)
			session_abort(c, s);
		s->state = SESSION_DEAD;
		return;
	}
}

void session_timer(struct session_ctx *c, struct session *s)
{
	if (session_is_record(s)) {
		session_record_timer(c, session_record_of(s));
		return;
	}
	c->current = s;
	for (unsigned i = 0; i < 2 && s->state == SESSION_OPEN; i++)
		half_events(c, s, i, tcp_half_timer(&c->env, &s->half[i]));
	if (unlikely(c->env.scarce != TCP_PLENTY))
		session_relieve(c, s);
	if (s->state != SESSION_DEAD && c->now_us >= idle_deadline(c, s))
		silence(c, s);
	if (!s->leaving && c->now_us >= session_heard_last(&s->heard) + SESSION_PARK_US && session_quiet(s)) {
		session_park(c, s);
		return;
	}
	session_run(c, s);
}

bool session_icmp_too_big(struct session_ctx *c, struct session *s, unsigned side, uint32_t seq, uint16_t mtu)
{
	uint32_t head;

	if (session_is_record(s) || s->state != SESSION_OPEN)
		return false; /* nothing of ours is on its way */
	head = s->info.is_v6 ? 60 : 40;
	c->current = s;
	return mtu > head && tcp_half_mtu(&c->env, &s->half[side], seq, (uint16_t)(mtu - head));
}

uint32_t session_moved_by(const struct session *s, unsigned side)
{
	if (!session_is_record(s) || session_record_of(s)->kind != RECORD_JOINED)
		return 0;
	return session_record_of(s)->joined.moved[!side];
}

bool session_handshake(const struct session *s)
{
	return session_is_record(s) && session_record_of(s)->kind == RECORD_HANDSHAKE;
}

bool session_dead(const struct session *s)
{
	return session_is_record(s) ? session_record_of(s)->kind == RECORD_DEAD : s->state == SESSION_DEAD;
}

void *session_owner(const struct session *s)
{
	return session_is_record(s) ? session_record_of(s)->info.owner : s->info.owner;
}

void session_free(struct session_ctx *c, struct session *s)
{
	c->flows--;
	if (session_is_record(s)) {
		c->parked -= session_record_of(s)->kind == RECORD_PARKED;
		c->joined -= session_record_of(s)->kind == RECORD_JOINED;
		session_passed_free(c, session_record_of(s));
		session_smtp_free(c, session_record_of(s)->smtp);
		session_record_free(c, session_record_of(s));
		return;
	}
	queues_note(c, s, true);
	for (unsigned d = 0; d < 2; d++) {
		session_message_drop(c, s, d);
		chunkq_purge(&c->pool, &s->pipe[d].raw);
		if (s->half_open[d])
			tcp_half_free(&c->env, &s->half[d]);
	}
	session_http_free(c, s);
	session_smtp_free(c, s->smtp);
	chunkq_purge(&c->pool, &s->inject);
	chunkq_purge(&c->pool, &s->pipe[0].answer);
	chunkq_purge(&c->pool, &s->pipe[1].answer);
	while (s->xchg_head)
		session_xchg_pop(c, s);
	session_give(c, s);
}

void session_row(const struct session_ctx *c, const struct session *s, struct shm_flow_row *row)
{
	static const char *const states[] = {"open", "closing"};
	const struct policy_image *img = session_image(c);
	const char *name = "";
	unsigned shown;
	int32_t rule;

	if (session_is_record(s)) {
		session_record_row(c, session_record_of(s), row);
		return;
	}
	shown = s->pipe[1].rule >= 0;
	rule = s->pipe[shown].rule;
	session_row_begin(c, &s->info, s->begun_us, session_heard_last(&s->heard), row);
	snprintf(row->state, sizeof(row->state), "%s", states[s->state]);
	snprintf(row->protocol, sizeof(row->protocol), "%s", session_mode_name(s->pipe[0].mode));
	/* The name by number holds only while the rules are those the message began with. */
	if (s->pipe[shown].adapt)
		name = s->pipe[shown].adapt->rule->name;
	else if (img && rule >= 0 && session_rule(c, &s->pipe[shown]) >= 0)
		name = policy_image_rule(img, (uint32_t)rule)->name;
	snprintf(row->rule, sizeof(row->rule), "%s", name);
	for (unsigned d = 0; d < 2; d++) {
		row->octets[d] = s->pipe[d].octets;
		row->messages[d] = s->pipe[d].messages;
		if (s->pipe[d].adapt) {
			row->preserved += s->pipe[d].adapt->keep.bytes;
			row->txns++;
		}
		if (s->pipe[d].observer)
			row->txns++;
	}
}
