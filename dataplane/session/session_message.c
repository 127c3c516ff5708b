/* SPDX-License-Identifier: BSD-3-Clause */
/* What a rule makes of a message: forward, block, observe, adapt. */
#include "session_priv.h"

#include <string.h>
#include <arpa/inet.h>

/* Written for every message: by hand, printf would take longer than all the rest of a small one's way. What does not
 * fit is cut off; the longest there can be fits . */
struct text {
	char *out;
	uint32_t cap, n;
};

static void put_octets(struct text *t, const char *s, size_t n)
{
	n = RTE_MIN(n, (size_t)(t->cap - t->n));
	memcpy(t->out + t->n, s, n);
	t->n += (uint32_t)n;
}
#define PUT(t, literal) put_octets(t, literal, sizeof(literal) - 1)

static void put_number(struct text *t, uint64_t v)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put_octets(t, digits + at, sizeof(digits) - at);
}

static void put_address(struct text *t, const uint8_t *a, uint16_t port)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char v6[INET6_ADDRSTRLEN];

	if (memcmp(a, mapped, 12) == 0) {
		for (int i = 12; i < 16; i++) {
			put_number(t, a[i]);
			put_octets(t, i < 15 ? "." : ":", 1);
		}
	} else {
		inet_ntop(AF_INET6, a, v6, sizeof(v6));
		PUT(t, "[");
		put_octets(t, v6, strlen(v6));
		PUT(t, "]:");
	}
	put_number(t, port);
}

/* ocp-wire.md section 5. */
uint32_t session_meta(const struct session *s, unsigned d, const char *proto, const char *kind,
			   const char *rule, bool observe, char *out, uint32_t cap)
{
	const struct policy_tuple *u = &s->info.tuple;
	struct text t = {out, cap, 0};

	PUT(&t, "Protocol: ");
	put_octets(&t, proto, strlen(proto));
	PUT(&t, "\r\nKind: ");
	put_octets(&t, kind, strlen(kind));
	PUT(&t, "\r\nSource: ");
	put_address(&t, d == 0 ? u->client : u->server, d == 0 ? u->client_port : u->server_port);
	PUT(&t, "\r\nDestination: ");
	put_address(&t, d == 0 ? u->server : u->client, d == 0 ? u->server_port : u->client_port);
	PUT(&t, "\r\nFlow: ");
	put_number(&t, s->info.id);
	PUT(&t, "\r\nRule: ");
	put_octets(&t, rule, strlen(rule));
	PUT(&t, "\r\n");
	if (observe)
		PUT(&t, "Action: observe\r\n");
	return t.n;
}

static bool head_field(const void *ctx, uint32_t i, const char **name, uint32_t *name_len, const char **value,
		       uint32_t *value_len)
{
	const struct http1_head *h = ctx;

	if (i >= h->nfields)
		return false;
	*name = h->buf + h->field[i].name.off;
	*name_len = h->field[i].name.len;
	*value = h->buf + h->field[i].value.off;
	*value_len = h->field[i].value.len;
	return true;
}

static const struct http1_head *message_head(const struct session_pipe *p)
{
	return p->mode == PIPE_FRAMED || p->mode == PIPE_RTSP ? &p->framer->http.head : NULL;
}

static void fill_message(const struct session *s, unsigned d, struct policy_message *m)
{
	const struct http1_head *h = message_head(&s->pipe[d]);

	memset(m, 0, sizeof(*m));
	if (!h) {
		m->kind = POLICY_KIND_STREAM;
		return;
	}
	m->field = head_field;
	m->ctx = h;
	if (h->kind == HTTP1_REQUEST) {
		m->kind = POLICY_KIND_REQUEST;
		m->method = h->buf + h->method.off;
		m->method_len = h->method.len;
		m->host = h->host.len ? h->buf + h->host.off : NULL;
		m->host_len = h->host.len;
		m->path = h->buf + h->path.off;
		m->path_len = h->path.len;
	} else {
		const struct session_xchg *x = s->pipe[d].mode == PIPE_RTSP ? session_rtsp_request(s, d) : s->xchg_head;

		m->kind = POLICY_KIND_RESPONSE;
		m->status = h->status;
		if (!x)
			return;
		m->method = x->method;
		m->method_len = x->method_len;
		m->host = x->host_len ? x->text : NULL;
		m->host_len = x->host_len;
		m->path = x->text + x->host_len;
		m->path_len = x->path_len;
	}
}

int32_t session_match(struct session_ctx *c, struct session *s, const struct policy_message *m)
{
	const struct policy_image *img = session_image(c);

	if (!img)
		return -1;
	if (policy_image_generation(img) != s->info.generation) {
		/* Newer rules: a message is judged by those in force when it begins. */
		uint32_t protocol = s->info.sel.protocol;

		policy_select_flow(c->matcher, &s->info.tuple, &s->info.sel);
		if (s->info.sel.first >= 0 && s->info.sel.protocol != protocol)
			s->info.sel.first = 0; /* the framing is settled: look at every rule of its protocol */
		s->info.sel.protocol = protocol;
		s->info.generation = policy_image_generation(img);
	}
	if (s->info.sel.first < 0)
		return -1;
	return policy_match_message(c->matcher, &s->info.tuple, &s->info.sel, m);
}

static int32_t match(struct session_ctx *c, struct session *s, unsigned d)
{
	struct policy_message m;

	fill_message(s, d, &m);
	return session_match(c, s, &m);
}

bool session_unseen(struct session_ctx *c, struct session *s, unsigned d)
{
	int32_t rule = match(c, s, d);

	return rule < 0 || policy_passes(policy_image_rule(session_image(c), (uint32_t)rule)->action);
}

/* Without memory for it the response goes without: a part that is absent. */
static void keep_request(struct session_ctx *c, struct session_xchg *x, const struct http1_head *h)
{
	const struct policy_image *img = session_image(c);

	for (uint32_t i = 0; img && i < policy_image_services(img); i++)
		if (policy_image_service(img, i)->aux_request) {
			adapt_service_head(&c->adapt, h, &x->request);
			return;
		}
}

/* The exchange of a request that goes to the server now. */
static void push_exchange(struct session_ctx *c, struct session *s, bool head, bool connect, bool upgrade)
{
	struct session_pipe *p = &s->pipe[0];
	const struct http1_head *h = &p->framer->http.head;
	struct session_xchg *x = session_xchg_push(c, s, h);

	if (!x) {
		session_note(c, s, session_rule(c, p), "no-memory", "overload", UINT64_MAX, "too many requests under way");
		session_abort(c, s);
		return;
	}
	x->head = head;
	x->connect = connect;
	x->upgrade = upgrade;
	x->unseen = s->tunnel_after;
	x->minor = h->minor;
	x->swallow_continue = p->said_continue;
	x->bypass = p->bypass;
	keep_request(c, x, h);
	if (connect || upgrade)
		p->wait_upgrade = true;
}

static void request_goes(struct session_ctx *c, struct session *s, unsigned d, bool head, bool connect, bool upgrade)
{
	if (s->pipe[d].mode == PIPE_RTSP)
		session_rtsp_requested(c, s, d);
	else
		push_exchange(c, s, head, connect, upgrade);
}

static struct adapt *begin_adapt(struct session_ctx *c, struct session *s, unsigned d, bool observe,
				 enum callout_cause *cause)
{
	struct session_pipe *p = &s->pipe[d];
	const struct policy_image *img = session_image(c);
	const struct http1_head *h = message_head(p);
	char meta[CALLOUT_META_MAX];
	struct adapt_begin b = {
		.owner = s,
		.image = img,
		.rule = (uint32_t)p->rule,
		.observe = observe,
		.head = h,
		.flow = s->info.id,
		.meta = meta,
		.not_bypassed = (enum adapt_trace_why)p->not_bypassed,
		.kind = !h ? POLICY_KIND_STREAM : h->kind == HTTP1_REQUEST ? POLICY_KIND_REQUEST : POLICY_KIND_RESPONSE,
	};

	if (p->mode == PIPE_FRAMED) {
		b.chunked_ok = (d == 0 ? h->minor : s->xchg_head->minor) == 1;
		b.request_head = d == 0 ? h->method_head : s->xchg_head->head;
		b.request_connect = d == 0 ? h->method_connect : s->xchg_head->connect;
		b.request = d == 1 ? &s->xchg_head->request : NULL;
	}
	b.meta_len = session_meta(s, d, !h ? "TCP" : p->mode == PIPE_RTSP ? "RTSP/1.0" : h->minor ? "HTTP/1.1" : "HTTP/1.0",
				!h ? "stream" : h->kind == HTTP1_REQUEST ? "request" : "response",
				policy_image_rule(img, (uint32_t)p->rule)->name, observe, meta, sizeof(meta));
	return adapt_begin(&c->adapt, &b, cause);
}

static void could_not_begin(struct session_ctx *c, struct session *s, unsigned d, enum callout_cause cause)
{
	struct session_pipe *p = &s->pipe[d];
	const struct policy_rule *r = policy_image_rule(session_image(c), (uint32_t)p->rule);
	enum policy_on_failure policy = adapt_policy(r, cause);

	session_note(c, s, p->rule, "callout-failed", callout_cause_name(cause), 0,
		     "the transaction could not begin");
	if (policy == POLICY_OPEN) {
		session_count(c, STATS_fail_open);
		p->route = ROUTE_FORWARD;
	} else if (policy == POLICY_ANSWER && message_head(p) && !p->interim) {
		session_count(c, STATS_fail_answer);
		p->route = ROUTE_DROP;
		session_answer(c, s, d, r->answer_status, "the adaptation service is not available", false);
	} else {
		session_count(c, STATS_fail_closed);
		session_abort(c, s);
	}
}

static void start_route(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	const struct policy_rule *r = p->rule < 0 ? NULL : policy_image_rule(session_image(c), (uint32_t)p->rule);
	enum callout_cause cause = CALLOUT_CAUSE_NONE;

	p->route = ROUTE_FORWARD;
	if (p->mode == PIPE_FRAMED && unlikely(p->bypass.asked) && r && r->service != UINT32_MAX)
		session_bypassed(c, s, d, r);
	if (session_trace_refused(c, s, d))
		return;
	if (p->bypassed)
		r = NULL; /* goes on as if no rule had matched */
	switch (r ? (enum policy_action)r->action : POLICY_BYPASS) {
	case POLICY_BYPASS:
		session_count(c, STATS_msg_forwarded);
		break;
	case POLICY_TUNNEL:
		session_count(c, STATS_msg_forwarded);
		s->tunnel_after = true;
		for (struct session_xchg *x = s->xchg_head; x && d == 1 && p->mode == PIPE_FRAMED; x = x->next)
			x->unseen = true;
		break;
	case POLICY_BLOCK:
		session_count(c, STATS_msg_blocked);
		session_note(c, s, p->rule, "message-blocked", "rule", 0, "blocked by its rule");
		p->route = ROUTE_DROP;
		if (message_head(p))
			session_answer(c, s, d, r->answer_status, "blocked by a rule of this network", false);
		else
			session_abort(c, s);
		break;
	case POLICY_OBSERVE:
		p->observer = begin_adapt(c, s, d, true, &cause);
		session_count(c, p->observer ? STATS_msg_observed : STATS_msg_forwarded);
		if (!p->observer)
			session_note(c, s, p->rule, "observe-failed", callout_cause_name(cause), 0,
				     "the message goes on unobserved");
		break;
	case POLICY_ADAPT:
		p->adapt = begin_adapt(c, s, d, false, &cause);
		if (!p->adapt) {
			could_not_begin(c, s, d, cause);
			break;
		}
		session_count(c, STATS_msg_adapted);
		p->route = ROUTE_ADAPT;
		p->heads_noted = 0;
		p->want_continue = d == 0 && p->framer && p->framer->http.head.expect_continue &&
				   p->framer->http.head.minor == 1;
		session_continue(c, s);
		break;
	}
}

/* A rule said so before. */
static bool passes_unseen(const struct session *s, unsigned d)
{
	return s->tunnel_after && (d == 0 || s->pipe[d].mode == PIPE_RTSP || s->xchg_head->unseen);
}

/* A rule has said tunnel, and there is no other message under way: the octets of this one are the first of two streams. */
static bool tunnel_now(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	if (!s->tunnel_after || p->mode != PIPE_FRAMED || p->route != ROUTE_FORWARD || !session_between(s, d))
		return false;
	p->begun = false;
	c->under_way--;
	if (d == 1)
		session_xchg_pop(c, s);
	session_to_tunnel(c, s);
	return true;
}

static void feed_observer(struct session_ctx *c, struct session *s, struct session_pipe *p, const struct chunkq *q,
			  enum callout_part part)
{
	struct chunkq copy;

	chunkq_init(&copy);
	if (chunkq_ref(&c->pool, &copy, q, 0, q->bytes) != 0) {
		session_note(c, s, session_rule(c, p), "observe-failed", "overload", p->observer->orig_len,
			     "no chunk descriptor for the copy: the message goes on unobserved");
		adapt_release(p->observer, true);
		p->observer = NULL;
		return;
	}
	adapt_feed(p->observer, &copy, part);
}

/* An observer sees the head as it came. */
static void forward_traced(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q, enum callout_part part)
{
	if (s->pipe[d].observer)
		feed_observer(c, s, &s->pipe[d], q, part);
	session_trace_forwarded(c, s, d, q);
	tcp_half_send(&c->env, &s->half[!d], q);
}

/* 1xx is between the ends, unless a rule names its status and has it adapted or observed: others would answer in the place of
 * the response that is still to come. */
static void interim_begin(struct session_ctx *c, struct session *s, const struct http1_head *h)
{
	struct session_pipe *p = &s->pipe[1];
	bool drop = h->status == 100 && s->xchg_head->swallow_continue;
	uint32_t action = POLICY_BYPASS;

	p->rule = drop || passes_unseen(s, 1) ? -1 : match(c, s, 1);
	if (p->rule >= 0)
		action = policy_image_rule(session_image(c), (uint32_t)p->rule)->action;
	if (action == POLICY_ADAPT || action == POLICY_OBSERVE) {
		start_route(c, s, 1);
		return;
	}
	p->rule = -1;
	p->unmatched = true;
	p->route = drop ? ROUTE_DROP : ROUTE_FORWARD;
}

void session_message_begin(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	const struct http1_head *h = message_head(p);
	bool http = p->mode == PIPE_FRAMED, resp = h && h->kind == HTTP1_RESPONSE;
	enum callout_part part = !h ? CALLOUT_PART_NONE : resp ? CALLOUT_PART_RESPONSE_HEADER : CALLOUT_PART_REQUEST_HEADER;
	struct chunkq q;

	p->begun = true;
	p->messages++;
	c->under_way++;
	p->said_continue = p->want_continue = p->close_after = p->interim = false;
	p->bypassed = false;
	p->not_bypassed = ADAPT_TRACE_NOT_ASKED;
	p->generation = session_image(c) ? policy_image_generation(session_image(c)) : 0;
	if (!h)
		session_count(c, STATS_msg_stream);
	else if (http)
		session_bypass_begin(c, s, d);
	p->interim = resp && h->interim;
	/* What turns the stream into a tunnel is between the ends: no rule applies to it. */
	p->unmatched = http && resp && (h->status == 101 || (s->xchg_head->connect && h->status / 100 == 2));
	if (p->interim && http) {
		interim_begin(c, s, h);
	} else if (p->interim || p->unmatched) {
		p->unmatched = true;
		p->rule = -1;
		p->route = ROUTE_FORWARD;
	} else {
		p->unmatched = h && passes_unseen(s, d);
		p->rule = p->unmatched ? -1 : match(c, s, d);
		start_route(c, s, d);
	}
	if (s->state != SESSION_OPEN || (h && tunnel_now(c, s, d)))
		return;
	if (p->mode == PIPE_RTSP && resp)
		session_rtsp_answered(c, s, d);
	if (h && !resp && p->route == ROUTE_FORWARD)
		request_goes(c, s, d, h->method_head, h->method_connect, h->upgrade);
	if (s->state != SESSION_OPEN)
		return;
	chunkq_init(&q);
	chunkq_append(&q, &p->raw);
	if (p->route == ROUTE_FORWARD && session_traced(c, s, d))
		forward_traced(c, s, d, &q, part);
	else
		session_message_route(c, s, d, &q, part, NULL);
	chunkq_purge(&c->pool, &q);
}

/* q: octets of the message; framing: octets around them. One of them is NULL. Both may be left non-empty: the
 * caller frees. */
void session_message_route(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q,
			   enum callout_part part, struct chunkq *framing)
{
	struct session_pipe *p = &s->pipe[d];

	switch (p->route) {
	case ROUTE_FORWARD:
		if (p->observer && q && q->bytes)
			feed_observer(c, s, p, q, part);
		tcp_half_send(&c->env, &s->half[!d], q ? q : framing);
		break;
	case ROUTE_ADAPT:
		if (q && p->adapt)
			adapt_feed(p->adapt, q, part);
		break;
	case ROUTE_NONE:
	case ROUTE_DROP:
	case ROUTE_ENDED:
		break;
	}
}

/* The message has left the pipe, in whatever form. */
static void message_gone(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	p->route = ROUTE_NONE;
	p->begun = false;
	c->under_way--;
	if (d == 1 && p->mode == PIPE_FRAMED && !p->interim)
		session_xchg_pop(c, s);
	if (d == 1 && p->mode == PIPE_FRAMED && !p->interim)
		s->pipe[0].wait_upgrade = false;
	if (p->close_after) {
		/* Its end is the end of the stream. */
		if (d == 1) {
			session_close_answered(c, s);
			return;
		}
		tcp_half_finish(&s->half[!d]);
		p->fin_passed = true;
		p->mode = PIPE_DISCARD;
	}
}

void session_message_end(struct session_ctx *c, struct session *s, unsigned d, bool ok)
{
	struct session_pipe *p = &s->pipe[d];

	if (p->observer) {
		adapt_feed_end(p->observer, ok);
		adapt_release(p->observer, false);
		p->observer = NULL;
	}
	if (p->adapt) {
		adapt_feed_end(p->adapt, ok);
		p->route = ROUTE_ENDED;
		session_message_pump(c, s, d);
	} else if (p->begun || p->route != ROUTE_NONE) {
		message_gone(c, s, d);
	}
}

/* Into which half the service's output goes, and whether it may now. */
static bool output_allowed(struct session *s, unsigned d, const struct adapt *a, unsigned *to)
{
	*to = !d;
	if (s->pipe[d].mode == PIPE_RTSP) {
		*to = a->to_answer ? d : !d;
		return session_rtsp_output_allowed(s, d, a);
	}
	if (!a->to_answer)
		return true;
	*to = 0; /* INV-SESSION-3 */
	return s->xchg_count == 0 && !s->pipe[1].begun && s->pipe[1].framer == NULL;
}

static bool move_output(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	struct adapt *a = p->adapt;
	struct chunkq q;
	unsigned to;
	uint64_t n = a->out.bytes;

	if (!output_allowed(s, d, a, &to))
		return false;
	while (a->head && a->kind == POLICY_KIND_REQUEST && !a->to_answer && p->heads_noted < a->heads_out &&
	       s->state == SESSION_OPEN) {
		request_goes(c, s, d, a->out_head, a->out_connect, a->out_upgrade);
		p->heads_noted++;
	}
	if (s->state != SESSION_OPEN || n == 0)
		return false;
	if (s->pipe[!to].fin_passed) { /* nobody is there to read it */
		chunkq_purge(&c->pool, &a->out);
		return true;
	}
	n = RTE_MIN(n, tcp_half_send_room(&s->half[to]));
	chunkq_init(&q);
	if (n && chunkq_move(&c->pool, &q, &a->out, n) != 0)
		s->starved = true;
	n = q.bytes;
	tcp_half_send(&c->env, &s->half[to], &q);
	return n != 0;
}

/* Nobody but us closes what the service answered: the client wants it so, or what follows its head is not sure to be
 * the body it announced (RFC 9110 10.1.1). */
static bool answer_closes(const struct session_pipe *p, const struct adapt *a)
{
	return a->to_answer && p->mode == PIPE_FRAMED && (a->close_after || !a->head->keep_alive || !a->out_keep_alive || p->want_continue);
}

static void adapt_over(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	struct adapt *a = p->adapt;
	bool ended = p->route == ROUTE_ENDED;
	enum adapt_status status = a->status;
	enum callout_cause cause = a->cause;
	unsigned code = cause == CALLOUT_CAUSE_NONE ? 403 : a->rule->answer_status;
	bool answer_close = answer_closes(p, a);

	p->close_after |= a->close_after && !a->to_answer;
	p->adapt = NULL;
	p->want_continue = false;
	adapt_release(a, status != ADAPT_DONE);
	if (status == ADAPT_ABORT) {
		session_abort(c, s);
		return;
	}
	p->route = ROUTE_DROP;
	if (status == ADAPT_ANSWER)
		session_answer(c, s, d, code,
			       cause == CALLOUT_CAUSE_NONE ? "the adaptation service removed this message"
							   : "the adaptation service is not available",
			       false);
	else if (answer_close)
		session_close_answered(c, s);
	if (s->state == SESSION_OPEN && (ended || p->close_after || p->mode == PIPE_DISCARD))
		message_gone(c, s, d);
}

void session_message_pump(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];
	struct adapt *a = p->adapt;
	bool moved = true;

	if (p->observer)
		adapt_pump(p->observer);
	if (!a)
		return;
	while (moved && s->state == SESSION_OPEN) {
		adapt_pump(a);
		moved = a->status != ADAPT_ABORT && move_output(c, s, d);
	}
	if (s->state != SESSION_OPEN || a->status == ADAPT_RUNNING)
		return;
	if (a->status != ADAPT_DONE || chunkq_empty(&a->out))
		adapt_over(c, s, d);
}

void session_message_drop(struct session_ctx *c, struct session *s, unsigned d)
{
	struct session_pipe *p = &s->pipe[d];

	if (p->adapt)
		adapt_release(p->adapt, true);
	if (p->observer)
		adapt_release(p->observer, true);
	p->adapt = p->observer = NULL;
	p->route = ROUTE_NONE;
	c->under_way -= p->begun;
	p->begun = false;
}
