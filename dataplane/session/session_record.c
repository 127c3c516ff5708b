/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows without halves: in their handshake, or parked. */
#include "session_priv.h"
#include "flow/flow_table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#define POSTPONE_US 500000 /* less than the least idle-timeout */

/* Of the index: a line of 64 octets for four flows, twice that where their number is just above a power of two. */
#define INDEX_SHARE 32u
_Static_assert(sizeof(struct flow_entry) + INDEX_SHARE + sizeof(struct session_record) <= 640,
	       "all that an idle flow costs");
_Static_assert(_Alignof(struct session) >= 2 && _Alignof(struct session_record) >= 2, "handles have a bit to spare");

int session_records_create(struct session_ctx *c)
{
	struct session_record *r = rte_zmalloc_socket("session_records", sizeof(*r) * (size_t)c->cfg.flows_max, 64,
						      c->cfg.socket_id);

	if (!r)
		return -ENOMEM;
	c->record_slab = r;
	for (uint32_t i = c->cfg.flows_max; i-- > 0;)
		session_record_free(c, &r[i]);
	return 0;
}

struct session_record *session_record_new(struct session_ctx *c)
{
	struct session_record *r = c->free_records;

	if (!r)
		return NULL;
	c->free_records = r->next;
	memset(r, 0, sizeof(*r));
	return r;
}

void session_record_free(struct session_ctx *c, struct session_record *r)
{
	r->next = c->free_records;
	c->free_records = r;
}

struct session *session_new(struct session_ctx *c, const struct session_flow_info *info)
{
	struct session_record *r = c->flows < c->cfg.flows_max ? session_record_new(c) : NULL;

	if (!r)
		return NULL;
	r->info = *info;
	r->kind = RECORD_HANDSHAKE;
	r->begun_us = r->heard.us[0] = r->heard.us[1] = c->now_us;
	r->ip_id = (uint16_t)(c->now_us ^ (uintptr_t)r >> 6);
	c->flows++;
	session_count(c, STATS_flow_created);
	return session_handle_of(r);
}

/* What one side sends, the other must receive. */
static void pattern_learn(struct session_record *r, unsigned side, const struct rte_mbuf *m, const struct parse_frame *f)
{
	struct session_pattern *p = &r->pattern[!side];

	if (f->l2_len > SESSION_L2_MAX)
		return;
	memcpy(p->l2, rte_pktmbuf_mtod(m, const uint8_t *), f->l2_len);
	p->l2_len = f->l2_len;
	p->tos = f->tos;
	p->ttl = f->ttl;
}

/* The handshake is over: the flow gets its halves. */
static enum session_verdict handshake_done(struct session_ctx *c, struct session **s, struct session_record *r)
{
	struct tcp_handshake hs = r->hs;
	struct session *full = session_take(c, r);

	if (!full) {
		session_count(c, STATS_flow_no_active);
		return SESSION_DROP;
	}
	session_record_free(c, r);
	for (unsigned d = 0; d < 2; d++) {
		full->pipe[d].mode = session_mode_of(full->info.sel.protocol);
		full->pipe[d].rule = -1;
	}
	session_open_halves(c, full, &hs);
	*s = full;
	return SESSION_CONSUMED;
}

/* What the handshake lets cross: without its payload, which no service has seen and the end sends again (INV-HS-1). */
static void send_on(struct session_ctx *c, struct rte_mbuf *m, const struct parse_frame *f, uint8_t flags)
{
	struct parse_frame cut = *f;

	if (f->payload_len) {
		parse_payload_cut(&cut, m);
		session_count(c, STATS_handshake_data_cut);
	} else if (!(flags & TCP_F_SYN)) {
		return;
	}
	parse_checksum_set(&cut, m); /* options may have changed, too */
}

static enum session_verdict handshake_segment(struct session_ctx *c, struct session **s, unsigned side,
					      struct rte_mbuf *m, const struct parse_frame *f)
{
	struct session_record *r = session_record_of(*s);
	uint8_t *hdr = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l4_off);
	struct tcp_handshake before = r->hs;
	enum session_verdict v;
	struct tcp_segment seg;
	uint16_t sum;

	if (!session_checksums_good(c, &r->info, side, m, f, &sum)) {
		session_count(c, STATS_bad_checksum);
		return SESSION_DROP;
	}
	if (tcp_segment_parse(&seg, hdr, f->l4_len, f->l4_len + f->payload_len) != 0)
		return SESSION_DROP;
	pattern_learn(r, side, m, f);
	session_hear(c, &r->heard, side);
	switch (tcp_handshake_input(&r->hs, side, &seg, hdr, session_mss(c, r->info.is_v6), r->info.is_v6, c->now_us)) {
	case TCP_HS_FORWARD:
		send_on(c, m, f, seg.flags);
		if (r->hs.state == TCP_HS_RESET) {
			r->kind = RECORD_DEAD;
			session_count(c, STATS_flow_reset);
		}
		return SESSION_FORWARD;
	case TCP_HS_DROP:
		return SESSION_DROP;
	case TCP_HS_BYPASS:
		r->kind = RECORD_DEAD;
		session_count(c, STATS_flow_not_splittable);
		return SESSION_BYPASS;
	case TCP_HS_ESTABLISHED:
		v = handshake_done(c, s, r);
		if (v == SESSION_DROP)
			r->hs = before; /* as if it had not come */
		return v;
	}
	return SESSION_DROP;
}

enum session_verdict session_record_segment(struct session_ctx *c, struct session **s, unsigned side,
					    struct rte_mbuf *m, const struct parse_frame *f)
{
	struct session_record *r = session_record_of(*s);
	struct session *full;

	if (r->kind == RECORD_DEAD)
		return SESSION_DROP;
	if (r->kind == RECORD_JOINED)
		return session_joined_segment(c, r, side, m, f);
	if (r->kind == RECORD_HANDSHAKE)
		return handshake_segment(c, s, side, m, f);
	full = session_unpark(c, r);
	if (!full) {
		session_count(c, STATS_flow_no_active);
		return SESSION_DROP;
	}
	*s = full;
	return SESSION_CONSUMED;
}

uint64_t session_record_deadline(const struct session_ctx *c, const struct session_record *r)
{
	const struct policy_limits *l = c->cfg.limits;

	if (r->kind == RECORD_JOINED)
		return session_joined_deadline(c, r);
	if (r->kind == RECORD_HANDSHAKE)
		return session_heard_last(&r->heard) + l->handshake_timeout_us;
	if (r->kind == RECORD_CLOSING)
		return session_heard_last(&r->heard) + SESSION_CLOSING_US;
	return session_silence_deadline(c, &r->heard);
}

/* No session to ask the ends by: a little later. */
static void postpone(const struct session_ctx *c, struct session_record *r)
{
	for (unsigned i = 0; i < 2; i++)
		r->heard.us[i] = RTE_MAX(r->heard.us[i], c->now_us + POSTPONE_US - c->cfg.limits->idle_timeout_us);
}

void session_record_timer(struct session_ctx *c, struct session_record *r)
{
	struct session *s;

	if (r->kind == RECORD_DEAD || c->now_us < session_record_deadline(c, r))
		return;
	if (r->kind == RECORD_JOINED) {
		session_joined_timer(c, r);
		return;
	}
	if (r->kind == RECORD_PARKED) {
		s = session_unpark(c, r);
		if (s)
			session_timer(c, s);
		else
			postpone(c, r);
		return;
	}
	session_count(c, r->kind == RECORD_CLOSING ? STATS_flow_closed : STATS_flow_timeout);
	r->kind = RECORD_DEAD;
}

void session_row_begin(const struct session_ctx *c, const struct session_flow_info *info, uint64_t begun_us,
		       uint64_t last_us, struct shm_flow_row *row)
{
	memset(row, 0, sizeof(*row));
	row->id = info->id;
	memcpy(row->client, info->tuple.client, 16);
	memcpy(row->server, info->tuple.server, 16);
	row->client_port = info->tuple.client_port;
	row->server_port = info->tuple.server_port;
	row->age_us = c->now_us - begun_us;
	row->idle_us = c->now_us - last_us;
}

enum session_mode session_mode_of(uint32_t protocol)
{
	switch (protocol) {
	case POLICY_PROTO_HTTP:
		return PIPE_FRAMED;
	case POLICY_PROTO_RTSP:
		return PIPE_RTSP;
	case POLICY_PROTO_SMTP:
		return PIPE_SMTP;
	default:
		return PIPE_STREAM;
	}
}

const char *session_mode_name(enum session_mode mode)
{
	return mode == PIPE_FRAMED ? "http" : mode == PIPE_RTSP ? "rtsp" : mode == PIPE_SMTP ? "smtp" : mode == PIPE_TUNNEL ? "tunnel" : "tcp";
}

void session_record_row(const struct session_ctx *c, const struct session_record *r, struct shm_flow_row *row)
{
	static const char *const states[] = {
		[RECORD_HANDSHAKE] = "handshake",
		[RECORD_PARKED] = "parked",
		[RECORD_DEAD] = "closing",
		[RECORD_JOINED] = "joined",
		[RECORD_CLOSING] = "closing",
	};
	enum session_mode mode = session_mode_of(r->info.sel.protocol);

	session_row_begin(c, &r->info, r->begun_us, session_heard_last(&r->heard), row);
	snprintf(row->state, sizeof(row->state), "%s", states[r->kind]);
	if (r->kind != RECORD_HANDSHAKE) {
		mode = r->pipe[0].mode;
		for (unsigned d = 0; d < 2; d++) {
			row->octets[d] = r->pipe[d].octets;
			row->messages[d] = r->pipe[d].messages;
		}
	}
	snprintf(row->protocol, sizeof(row->protocol), "%s", session_mode_name(mode));
}
