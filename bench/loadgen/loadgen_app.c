/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_app.h"

#include "loadgen_http.h"
#include "loadgen_pattern.h"
#include "loadgen_tcp.h"

#define START_BURST 64u /* connections begun in one round of the loop */

static void timed(struct lg_side *s, struct lg_conn *c, uint64_t us)
{
	c->app_at = s->wheel.now + (uint32_t)(us / LG_TICK_US) + 1;
	c->flags |= LG_F_TIMED;
	lg_side_timer(s, c, c->app_at);
}

static void timeout_set(struct lg_side *s, struct lg_conn *c)
{
	timed(s, c, s->cfg->timeout_ms * 1000);
}

static void end(struct lg_side *s, struct lg_conn *c)
{
	c->flags &= ~LG_F_THINK;
	timeout_set(s, c);
	lg_tcp_close(s, c);
}

unsigned lg_app_head(const struct lg_side *s, const struct lg_conn *c, char *to)
{
	const struct lg_config *cfg = s->cfg;
	struct lg_head h = {.id = c->id, .close = c->flags & LG_F_CLOSE};

	if (s->server) {
		h.body = (uint32_t)c->started;
		return lg_http_response(cfg, &h, to);
	}
	h.body = cfg->request;
	h.response = cfg->response;
	return lg_http_request(cfg, &h, to);
}

static void message_begin(struct lg_side *s, struct lg_conn *c, uint32_t body)
{
	char head[LG_HEAD_LEN_MAX];

	c->tx_off = 0;
	c->tx_head = (uint16_t)lg_app_head(s, c, head);
	c->tx_len = c->tx_head + body;
	lg_tcp_output(s, c);
}

/* Client: the next request. */
static void request_begin(struct lg_side *s, struct lg_conn *c)
{
	const struct lg_config *cfg = s->cfg;

	if (c->tx_off != c->tx_len) {
		c->flags |= LG_F_WANT;
		return;
	}
	c->flags &= ~(LG_F_THINK | LG_F_WANT);
	c->flags |= LG_F_TXN;
	if (!cfg->client_closes && cfg->transactions && c->done + 1 == cfg->transactions)
		c->flags |= LG_F_CLOSE;
	c->id = s->next_id++;
	c->rx = LG_RX_HEAD;
	c->rx_off = 0;
	c->rx_left = 0;
	timeout_set(s, c);
	c->started = rte_rdtsc();
	message_begin(s, c, cfg->request);
}

/* Server: the request is complete and right. */
static void response_begin(struct lg_side *s, struct lg_conn *c)
{
	if (c->tx_off != c->tx_len) {
		c->flags |= LG_F_WANT;
		return;
	}
	c->flags &= ~(LG_F_WANT | LG_F_TXN);
	c->rx = LG_RX_HEAD;
	c->done++;
	if (c->flags & LG_F_CLOSE) {
		c->flags |= LG_F_FIN_QUEUED;
		timeout_set(s, c);
	}
	message_begin(s, c, (uint32_t)c->started);
}

bool lg_app_open(struct lg_side *s, struct lg_conn *c)
{
	if (s->server)
		return true;
	if (s->measuring)
		lg_hist_add(s->connect,
			    (uint64_t)((double)(rte_rdtsc() - c->started) * s->ns_per_cycle));
	if (s->running)
		request_begin(s, c);
	else
		end(s, c);
	return true;
}

/* Whether the client has another transaction to do on this connection. */
static bool more(struct lg_side *s, const struct lg_conn *c)
{
	const struct lg_config *cfg = s->cfg;

	if (!s->running || (cfg->transactions && c->done >= cfg->transactions) ||
	    (cfg->total && s->begun >= cfg->total))
		return false;
	s->begun++;
	return true;
}

static void response_done(struct lg_side *s, struct lg_conn *c)
{
	const struct lg_config *cfg = s->cfg;

	s->stats.transactions++;
	s->stats.body_octets += cfg->request + cfg->response;
	if (s->measuring)
		lg_hist_add(s->latency,
			    (uint64_t)((double)(rte_rdtsc() - c->started) * s->ns_per_cycle));
	c->flags &= ~(LG_F_TXN | LG_F_TIMED);
	c->done++;
	c->rx = LG_RX_DONE;
	if (cfg->flows_held && c->done == 1) {
		c->flags &= ~LG_F_ACTIVE;
		s->active--;
	} else if (cfg->flows_held) {
		end(s, c);
	} else if (more(s, c)) {
		if (cfg->think_us == 0) {
			request_begin(s, c);
		} else {
			c->flags |= LG_F_THINK;
			timed(s, c, cfg->think_us);
		}
	} else if (c->flags & LG_F_CLOSE) {
		timeout_set(s, c); /* the server closes first */
	} else {
		end(s, c);
	}
}

static bool fail_abort(struct lg_side *s, struct lg_conn *c, enum lg_failure why)
{
	lg_app_closed(s, c, why);
	lg_tcp_abort(s, c);
	return false;
}

/* What the client expects of a response's head. */
static bool response_head_ok(struct lg_side *s, struct lg_conn *c, const struct lg_head *h)
{
	if (h->status != 200) {
		lg_side_fail(s, c, LG_FAIL_STATUS, "%u", h->status);
		return fail_abort(s, c, LG_FAIL_STATUS);
	}
	if (h->id && h->id != c->id) {
		lg_side_fail(s, c, LG_FAIL_MESSAGE, "the response is for object %016llx",
			     (unsigned long long)h->id);
		return fail_abort(s, c, LG_FAIL_MESSAGE);
	}
	if (!h->chunked && h->body != s->cfg->response) {
		lg_side_fail(s, c, LG_FAIL_MESSAGE, "a body of %u octets is announced, not %u",
			     h->body, s->cfg->response);
		return fail_abort(s, c, LG_FAIL_MESSAGE);
	}
	return true;
}

/* False: gone. */
static bool head_done(struct lg_side *s, struct lg_conn *c, const struct lg_head *h)
{
	if (s->server) {
		c->id = h->id;
		c->started = h->response;
		if (h->close)
			c->flags |= LG_F_CLOSE;
		c->rx_off = 0;
	} else if (!response_head_ok(s, c, h)) {
		return false;
	}
	c->rx_left = h->chunked ? 0 : h->body;
	c->rx = h->chunked ? LG_RX_CHUNK_SIZE : h->body ? LG_RX_BODY : LG_RX_DONE;
	return true;
}

static int head_parse(struct lg_side *s, const uint8_t *data, uint32_t len, struct lg_head *h,
		      const char **why)
{
	return s->server ? lg_http_parse_request(s->cfg, data, len, h, why)
			 : lg_http_parse_response(s->cfg, data, len, h, why);
}

/* Octets taken of the segment for the head; -1: gone. */
static int head_input(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t len)
{
	struct lg_partial *p = c->partial ? &s->partial[c->partial - 1] : NULL;
	const char *why = "no memory for one more head in parts";
	uint32_t had = p ? p->len : 0, take = len;
	struct lg_head h;
	int n;

	c->flags |= LG_F_TXN;
	if (p) {
		if (take > sizeof(p->head) - had)
			take = sizeof(p->head) - had;
		memcpy(p->head + had, data, take);
		p->len = had + take;
		data = p->head;
	}
	n = head_parse(s, data, had + take, &h, &why);
	if (n == 0 && !p && s->partial_free && len < sizeof(p->head)) {
		c->partial = s->partial_free;
		p = &s->partial[c->partial - 1];
		s->partial_free = p->next_free;
		memcpy(p->head, data, take);
		p->len = take;
	} else if (n <= 0 && (n < 0 || !p)) {
		lg_side_fail(s, c, LG_FAIL_MESSAGE, "%s", why);
		fail_abort(s, c, LG_FAIL_MESSAGE);
		return -1;
	}
	if (n == 0)
		return (int)take;
	if (c->partial) {
		p->next_free = s->partial_free;
		s->partial_free = c->partial;
		c->partial = 0;
	}
	return head_done(s, c, &h) ? n - (int)had : -1;
}

static uint64_t rx_object(const struct lg_side *s, const struct lg_conn *c)
{
	return s->server ? c->id : c->id | LG_ID_RESPONSE;
}

static bool octets_ok(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t off,
		      uint32_t len)
{
	size_t good = lg_pattern_check(data, rx_object(s, c), off, len);

	if (good == len)
		return true;
	lg_side_fail(s, c, LG_FAIL_OCTETS, "%02x at offset %u of the body, not %02x", data[good],
		     off + (uint32_t)good, lg_pattern_at(rx_object(s, c), off + good));
	return false;
}

static void body_advance(struct lg_conn *c, uint32_t n)
{
	c->rx_off += n;
	c->rx_left -= n;
	if (c->rx_left == 0)
		c->rx = c->rx == LG_RX_CHUNK ? LG_RX_CHUNK_END : LG_RX_DONE;
}

/* One octet of chunked framing (RFC 9112 7.1). */
static bool chunk_octet(struct lg_conn *c, uint8_t o)
{
	int digit = o >= '0' && o <= '9' ? o - '0' : (o | 32) >= 'a' && (o | 32) <= 'f' ? (o | 32) - 'a' + 10 : -1;

	switch (c->rx) {
	case LG_RX_CHUNK_SIZE:
		if (digit >= 0) {
			if (c->rx_left >= LG_OBJECT_MAX >> 4)
				return false;
			c->rx_left = c->rx_left << 4 | (uint32_t)digit;
			return true;
		}
		if (o != '\r' && o != ';' && o != ' ' && o != '\t')
			return false;
		c->rx = LG_RX_CHUNK_EXT;
		return true;
	case LG_RX_CHUNK_EXT:
		if (o == '\n')
			c->rx = c->rx_left ? LG_RX_CHUNK : LG_RX_TRAILER;
		return true;
	case LG_RX_CHUNK_END:
		if (o == '\n')
			c->rx = LG_RX_CHUNK_SIZE;
		return o == '\r' || o == '\n';
	default: /* trailer; rx_left counts the line's octets */
		if (o == '\n') {
			if (c->rx_left == 0)
				c->rx = LG_RX_DONE;
			c->rx_left = 0;
		} else if (o != '\r') {
			c->rx_left++;
		}
		return true;
	}
}

/* Octets of the segment taken; -1: gone. */
static int input_step(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t len)
{
	uint32_t n;

	switch (c->rx) {
	case LG_RX_HEAD:
		return head_input(s, c, data, len);
	case LG_RX_BODY:
	case LG_RX_CHUNK:
		n = len < c->rx_left ? len : c->rx_left;
		if (!octets_ok(s, c, data, c->rx_off, n)) {
			fail_abort(s, c, LG_FAIL_OCTETS);
			return -1;
		}
		body_advance(c, n);
		return (int)n;
	case LG_RX_DONE:
		lg_side_fail(s, c, LG_FAIL_EXCESS, "%u octets more", len);
		fail_abort(s, c, LG_FAIL_EXCESS);
		return -1;
	default:
		if (chunk_octet(c, *data))
			return 1;
		lg_side_fail(s, c, LG_FAIL_MESSAGE, "octet %02x in the framing of chunks", *data);
		fail_abort(s, c, LG_FAIL_MESSAGE);
		return -1;
	}
}

static bool message_done(struct lg_side *s, struct lg_conn *c)
{
	if (s->server) {
		response_begin(s, c);
		return true;
	}
	if (c->rx_off != s->cfg->response) {
		lg_side_fail(s, c, LG_FAIL_MESSAGE, "a body of %u octets, not %u", c->rx_off,
			     s->cfg->response);
		return fail_abort(s, c, LG_FAIL_MESSAGE);
	}
	response_done(s, c);
	return true;
}

bool lg_app_data(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t len)
{
	while (len > 0) {
		int n = input_step(s, c, data, len);

		if (n < 0)
			return false;
		data += n;
		len -= (uint32_t)n;
	}
	return c->rx != LG_RX_DONE || !(c->flags & LG_F_TXN) || (c->flags & LG_F_WANT) ||
	       message_done(s, c);
}

bool lg_app_ahead(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t ahead, uint32_t len)
{
	if (c->rx != LG_RX_BODY || (uint64_t)ahead + len > c->rx_left)
		return false;
	return octets_ok(s, c, data, c->rx_off + ahead, len);
}

bool lg_app_skip(struct lg_side *s, struct lg_conn *c, uint32_t len)
{
	if (c->rx != LG_RX_BODY || len > c->rx_left) {
		lg_side_fail(s, c, LG_FAIL_MESSAGE, "octets sent twice differ in their framing");
		return fail_abort(s, c, LG_FAIL_MESSAGE);
	}
	body_advance(c, len);
	return c->rx != LG_RX_DONE || message_done(s, c);
}

bool lg_app_sent(struct lg_side *s, struct lg_conn *c)
{
	if (!(c->flags & LG_F_WANT))
		return true;
	c->flags &= ~LG_F_WANT;
	if (s->server)
		response_begin(s, c);
	else
		request_begin(s, c);
	return true;
}

bool lg_app_fin(struct lg_side *s, struct lg_conn *c)
{
	bool waits = s->server && (c->flags & LG_F_WANT);

	if ((c->flags & LG_F_TXN) && !waits) {
		lg_side_fail(s, c, LG_FAIL_SHORT, "after %u octets of the body", c->rx_off);
		return fail_abort(s, c, LG_FAIL_SHORT);
	}
	if (!s->server && s->cfg->flows_held && c->done < 2) {
		lg_side_fail(s, c, LG_FAIL_SHORT, "while it was held idle");
		return fail_abort(s, c, LG_FAIL_SHORT);
	}
	if (waits)
		c->flags |= LG_F_CLOSE;
	else if (!(c->flags & LG_F_FIN_QUEUED))
		end(s, c);
	return true;
}

bool lg_app_time(struct lg_side *s, struct lg_conn *c)
{
	enum lg_failure why = LG_FAIL_CLOSE;

	if (c->flags & LG_F_THINK) {
		request_begin(s, c);
		return true;
	}
	if (c->state != LG_OPEN)
		why = LG_FAIL_CONNECT;
	else if (c->flags & LG_F_TXN)
		why = LG_FAIL_UNANSWERED;
	if (s->server && !(c->flags & LG_F_FIN_QUEUED))
		return true;
	lg_side_fail(s, c, why, "for %llu ms (%u octets of the body received, %u of %u of the message acknowledged%s)",
		     (unsigned long long)s->cfg->timeout_ms, c->rx_off, c->tx_off, c->tx_len,
		     c->snd_wnd ? "" : ", window closed");
	return fail_abort(s, c, why);
}

void lg_app_closed(struct lg_side *s, struct lg_conn *c, enum lg_failure why)
{
	if (c->flags & LG_F_ACTIVE) {
		c->flags &= ~LG_F_ACTIVE;
		s->active--;
	}
}

static void connection_begin(struct lg_side *s)
{
	struct lg_conn *c = lg_side_conn_new(s, lg_list_take(&s->free_tuple));

	s->begun++;
	s->active++;
	c->flags |= LG_F_ACTIVE;
	c->started = rte_rdtsc();
	timeout_set(s, c);
	lg_tcp_connect(s, c);
}

static bool may_begin(const struct lg_side *s)
{
	const struct lg_config *cfg = s->cfg;

	if (!s->running || s->active >= cfg->concurrency || s->nfree == 0 ||
	    s->free_tuple.count == 0 || !lg_net_room(s->net))
		return false;
	if (cfg->flows_held)
		return s->stats.opened < cfg->flows_held;
	return !cfg->total || s->begun < cfg->total;
}

bool lg_app_start(struct lg_side *s, double *tokens)
{
	uint32_t n = 0;

	while (n < START_BURST && (!tokens || *tokens >= 1) && may_begin(s)) {
		connection_begin(s);
		n++;
		if (tokens)
			*tokens -= 1;
	}
	return n > 0;
}

bool lg_app_end_idle(struct lg_side *s, uint32_t *next, uint32_t at_most)
{
	for (uint32_t looked = 0; *next < s->conns && at_most; (*next)++, looked++) {
		struct lg_conn *c = &s->conn[*next];

		if (looked > 64 * at_most || !lg_net_room(s->net))
			return false;
		if (c->state != LG_OPEN || (c->flags & (LG_F_TXN | LG_F_WANT | LG_F_FIN_QUEUED)))
			continue;
		if (!(c->flags & LG_F_ACTIVE)) {
			c->flags |= LG_F_ACTIVE;
			s->active++;
		}
		end(s, c);
		at_most--;
	}
	return *next >= s->conns;
}

void lg_app_use_held(struct lg_side *s, uint32_t *next)
{
	uint32_t n = 0;

	for (; *next < s->conns && n < START_BURST && s->active < s->cfg->concurrency; (*next)++) {
		struct lg_conn *c = &s->conn[*next];

		if (!lg_net_room(s->net))
			return;
		if (c->state != LG_OPEN || (c->flags & (LG_F_ACTIVE | LG_F_FIN_QUEUED)))
			continue;
		c->flags |= LG_F_ACTIVE;
		s->active++;
		s->begun++;
		request_begin(s, c);
		n++;
	}
}
