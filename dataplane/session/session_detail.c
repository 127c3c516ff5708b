/* SPDX-License-Identifier: BSD-3-Clause */
/* A flow in full, for operators: struct shm_flow_detail. */
#include "session_priv.h"

#include <stdio.h>
#include <string.h>

/* Texts of the detail are arrays of 16 or 64. */
#define TEXT(to, from) snprintf(to, sizeof(to), "%s", from)

static void half_fill(const struct tcp_env *env, const struct tcp_half *h, struct shm_half_detail *o)
{
	struct tcp_half_info i;

	tcp_half_info(env, h, &i);
	o->present = 1;
	TEXT(o->state, i.state);
	TEXT(o->cc, i.cc);
	TEXT(o->ca, i.ca);
	TEXT(o->timer, i.timer);
	o->timer_us = i.timer_us;
	o->sack = i.sack;
	o->rx_finished = i.rx_finished;
	o->tx_finished = i.tx_finished;
	o->snd_wscale = i.snd_wscale;
	o->rcv_wscale = i.rcv_wscale;
	o->backoff = i.backoff;
	o->snd_una = i.snd_una;
	o->snd_nxt = i.snd_nxt;
	o->snd_wnd = i.snd_wnd;
	o->rcv_nxt = i.rcv_nxt;
	o->rcv_wnd = i.rcv_wnd;
	o->cwnd = i.cwnd;
	o->ssthresh = i.ssthresh;
	o->srtt_us = i.srtt_us;
	o->rttvar_us = i.rttvar_us;
	o->min_rtt_us = i.min_rtt_us;
	o->rto_us = i.rto_us;
	o->pipe = i.pipe;
	o->sacked = i.sacked;
	o->lost = i.lost;
	o->retrans = i.retrans;
	o->rtos = i.rtos;
	o->undos = i.undos;
	o->reo_wnd_us = i.reo_wnd_us;
	o->unsent = i.unsent;
	o->unacked = i.unacked;
	o->rxq = i.rxq;
	o->ooo_bytes = i.ooo_bytes;
	o->ooo_ranges = i.ooo_ranges;
	o->mss = i.mss;
	o->rcv_mss = i.rcv_mss;
}

/* What the service has of the message, or has a copy of. */
static void service_fill(const struct adapt *a, struct shm_pipe_detail *o)
{
	TEXT(o->rule, a->rule->name);
	if (a->rule->service < policy_image_services(a->image))
		TEXT(o->service, policy_image_service(a->image, a->rule->service)->name);
	o->offset = a->orig_len;
	o->preserved = a->keep.bytes;
	o->sent = a->sent;
	o->identity = a->identity;
	o->identity_ok = a->identity_ok;
	o->left = a->left;
	o->returned = 0;
	for (unsigned i = 0; i < ADAPT_AMS; i++)
		if (a->am[i].used)
			o->returned += a->am[i].got;
	o->out = a->out.bytes;
}

static void pipe_fill(const struct session_ctx *c, const struct session_pipe *p, struct shm_pipe_detail *o)
{
	static const char *const modes[] = {
		[PIPE_FRAMED] = "http", [PIPE_STREAM] = "tcp", [PIPE_TUNNEL] = "tunnel", [PIPE_RTSP] = "rtsp", [PIPE_SMTP] = "smtp", [PIPE_DISCARD] = "discard"};
	static const char *const routes[] = {[ROUTE_NONE] = "none",
					     [ROUTE_FORWARD] = "forward",
					     [ROUTE_ADAPT] = "adapt",
					     [ROUTE_DROP] = "drop",
					     [ROUTE_ENDED] = "ended"};
	int32_t rule = session_rule(c, p);

	TEXT(o->mode, modes[p->mode]);
	TEXT(o->route, p->observer ? "observe" : routes[p->route]);
	o->begun = p->begun;
	o->eof = p->eof;
	o->octets = p->octets;
	o->messages = p->messages;
	o->raw = p->raw.bytes;
	o->offset = o->preserved = o->identity = o->sent = o->returned = o->out = SHM_UNKNOWN;
	if (!p->begun)
		return;
	o->generation = p->generation;
	/* The name by number holds only while the rules are those the message began with. */
	if (rule >= 0)
		TEXT(o->rule, policy_image_rule(session_image(c), (uint32_t)rule)->name);
	if (p->mode != PIPE_FRAMED)
		o->offset = p->octets;
	else if (p->framer)
		o->offset = p->framer->http.msg_octets;
	if (p->adapt || p->observer)
		service_fill(p->adapt ? p->adapt : p->observer, o);
}

/* No halves, and no message that is looked at. */
static void joined_fill(const struct session_record *r, struct shm_flow_detail *d)
{
	d->joined = 1;
	for (unsigned i = 0; i < 2; i++) {
		struct shm_pipe_detail *o = &d->pipe[i];

		d->delta[i] = r->joined.moved[i];
		TEXT(o->mode, "joined");
		TEXT(o->route, "forward");
		o->octets = r->pipe[i].octets;
		o->messages = r->pipe[i].messages;
		o->eof = r->joined.fin[i];
		o->offset = o->preserved = o->identity = o->sent = o->returned = o->out = SHM_UNKNOWN;
	}
}

static void record_fill(const struct session_ctx *c, const struct session_record *r, struct shm_flow_detail *d)
{
	d->generation = r->info.generation;
	d->client_port = r->info.client_port;
	if (r->kind == RECORD_JOINED)
		joined_fill(r, d);
	if (r->kind != RECORD_PARKED && r->kind != RECORD_CLOSING)
		return;
	for (unsigned i = 0; i < 2; i++) {
		const struct session_parked_pipe *k = &r->pipe[i];
		struct session_pipe p = {
			.mode = k->mode,
			.route = k->route,
			.rule = k->rule,
			.generation = k->generation,
			.begun = k->begun,
			.eof = k->eof,
			.octets = k->octets,
			.messages = k->messages,
		};
		struct tcp_half h;

		pipe_fill(c, &p, &d->pipe[i]);
		tcp_half_unpark(&h, &r->half[i], &c->env);
		half_fill(&c->env, &h, &d->half[i]);
	}
}

void session_detail(const struct session_ctx *c, const struct session *s, struct shm_flow_detail *d)
{
	memset(d, 0, sizeof(*d));
	session_row(c, s, &d->row);
	if (session_is_record(s)) {
		record_fill(c, session_record_of(s), d);
		return;
	}
	d->generation = s->info.generation;
	d->client_port = s->info.client_port;
	d->xchgs = s->xchg_count;
	for (unsigned i = 0; i < 2; i++) {
		if (s->half_open[i])
			half_fill(&c->env, &s->half[i], &d->half[i]);
		pipe_fill(c, &s->pipe[i], &d->pipe[i]);
	}
}
