/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_side.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "loadgen_pattern.h"
#include "loadgen_tcp.h"

#define PARTIALS 4096u
#define TELL_MAX 10u

static const char *const failure_text[LG_FAILURES] = {
	"wrong octet", "bad message", "bad status",    "cut short", "excess octets",
	"reset",       "unanswered",  "not connected", "not closed"};

/* Pages come when they are first touched: memory for a million connections costs nothing while there are ten. */
static void *pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, len, MADV_HUGEPAGE);
	return p;
}

static uint32_t pow2_up(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static bool list_init(struct lg_list *l, uint32_t n)
{
	n = pow2_up(n);
	l->mask = n - 1;
	l->at = pages((size_t)n * sizeof(uint32_t));
	return l->at != NULL;
}

static void list_free(struct lg_list *l)
{
	if (l->at)
		munmap(l->at, ((size_t)l->mask + 1) * sizeof(uint32_t));
	l->at = NULL;
}

static bool tables_init(struct lg_side *s)
{
	s->conn = pages((size_t)s->conns * sizeof(*s->conn));
	s->free_conn = pages((size_t)s->conns * sizeof(uint32_t));
	s->map = pages((size_t)s->tuples * sizeof(uint32_t));
	s->partial = pages(PARTIALS * sizeof(*s->partial));
	if (!s->conn || !s->free_conn || !s->map || !s->partial || !list_init(&s->acks, s->conns) ||
	    !list_init(&s->pending, s->conns))
		return false;
	return s->server || list_init(&s->free_tuple, s->tuples);
}

/* Consecutive connections come from different addresses. */
static void tuples_fill(struct lg_side *s)
{
	uint32_t ports = s->cfg->client_ports, ips = s->tuples / ports;

	for (uint32_t p = 0; p < ports; p++)
		for (uint32_t i = 0; i < ips; i++)
			lg_list_put(&s->free_tuple, i * ports + p);
}

int lg_side_init(struct lg_side *s, const struct lg_config *cfg, struct lg_net *net, bool server,
		 char *err, size_t err_len)
{
	uint32_t conns = cfg->flows_held ? cfg->flows_held : cfg->concurrency;

	memset(s, 0, sizeof(*s));
	s->cfg = cfg;
	s->server = server;
	s->net = net;
	s->tuples = lg_config_tuples(cfg);
	/* Ends of one side live a little longer than those of the other. */
	s->conns = server ? conns + conns / 4 + 1024 : conns;
	s->partials = PARTIALS;
	if (!tables_init(s)) {
		lg_side_free(s);
		snprintf(err, err_len, "no memory for %u connections and %u tuples", s->conns,
			 s->tuples);
		return -ENOMEM;
	}
	for (uint32_t i = s->conns; i > 0; i--)
		s->free_conn[s->nfree++] = i - 1;
	memset(s->map, 0xff, (size_t)s->tuples * sizeof(uint32_t));
	for (uint32_t i = 0; i < PARTIALS; i++)
		s->partial[i].next_free = i + 1 < PARTIALS ? i + 2 : 0;
	s->partial_free = 1;
	memset(s->wheel.head, 0xff, sizeof(s->wheel.head));
	if (!server)
		tuples_fill(s);
	lg_wire_init(&s->wire, cfg, server);
	s->isn_key = lg_mix(cfg->seed + rte_rdtsc() + server);
	s->mss = cfg->mss ? cfg->mss : cfg->mtu - (cfg->v6 ? 60 : 40);
	while (cfg->window >> s->wscale > UINT16_MAX)
		s->wscale++;
	s->wnd_field = cfg->window >> s->wscale;
	s->ns_per_cycle = 1e9 / (double)rte_get_tsc_hz();
	return 0;
}

void lg_side_free(struct lg_side *s)
{
	if (s->conn)
		munmap(s->conn, (size_t)s->conns * sizeof(*s->conn));
	if (s->free_conn)
		munmap(s->free_conn, (size_t)s->conns * sizeof(uint32_t));
	if (s->map)
		munmap(s->map, (size_t)s->tuples * sizeof(uint32_t));
	if (s->partial)
		munmap(s->partial, PARTIALS * sizeof(*s->partial));
	s->conn = NULL;
	s->free_conn = NULL;
	s->map = NULL;
	s->partial = NULL;
	list_free(&s->acks);
	list_free(&s->pending);
	list_free(&s->free_tuple);
}

struct lg_conn *lg_side_conn_new(struct lg_side *s, uint32_t tuple)
{
	struct lg_conn *c;

	if (s->nfree == 0) {
		s->stats.no_conn++;
		return NULL;
	}
	c = &s->conn[s->free_conn[--s->nfree]];
	/* One that is still in a list keeps its place there. */
	uint16_t listed = c->flags & (LG_F_ACK | LG_F_PENDING);

	memset(c, 0, sizeof(*c));
	c->flags = listed;
	c->tuple = tuple;
	s->map[tuple] = lg_conn_number(s, c);
	s->used++;
	return c;
}

static void wheel_remove(struct lg_side *s, struct lg_conn *c)
{
	uint32_t *head = &s->wheel.head[c->timer.slot % LG_WHEEL_SLOTS];

	if (!(c->flags & LG_F_QUEUED))
		return;
	if (c->timer.prev == LG_NONE)
		*head = c->timer.next;
	else
		s->conn[c->timer.prev].timer.next = c->timer.next;
	if (c->timer.next != LG_NONE)
		s->conn[c->timer.next].timer.prev = c->timer.prev;
	c->flags &= ~LG_F_QUEUED;
}

static void wheel_insert(struct lg_side *s, struct lg_conn *c, uint32_t at)
{
	uint32_t number = lg_conn_number(s, c), *head;

	if (!lg_tick_before(s->wheel.now, at))
		at = s->wheel.now + 1;
	if (at - s->wheel.now >= LG_WHEEL_SLOTS)
		at = s->wheel.now + LG_WHEEL_SLOTS - 1;
	head = &s->wheel.head[at % LG_WHEEL_SLOTS];
	c->timer.slot = at;
	c->timer.prev = LG_NONE;
	c->timer.next = *head;
	if (*head != LG_NONE)
		s->conn[*head].timer.prev = number;
	*head = number;
	c->flags |= LG_F_QUEUED;
}

void lg_side_timer(struct lg_side *s, struct lg_conn *c, uint32_t at)
{
	if (c->flags & LG_F_QUEUED) {
		if (!lg_tick_before(at, c->timer.slot))
			return;
		wheel_remove(s, c);
	}
	wheel_insert(s, c, at);
}

/* When the connection next wants to be looked at; false: never. */
static bool due(const struct lg_conn *c, uint32_t *at)
{
	bool rto = c->rto_at != 0, app = c->flags & LG_F_TIMED;

	if (rto && app)
		*at = lg_tick_before(c->rto_at, c->app_at) ? c->rto_at : c->app_at;
	else if (rto)
		*at = c->rto_at;
	else if (app)
		*at = c->app_at;
	return rto || app;
}

bool lg_side_tick(struct lg_side *s, uint32_t now)
{
	bool any = false;

	while (lg_tick_before(s->wheel.now, now)) {
		uint32_t *head = &s->wheel.head[++s->wheel.now % LG_WHEEL_SLOTS];

		while (*head != LG_NONE) {
			struct lg_conn *c = &s->conn[*head];
			uint32_t at;

			wheel_remove(s, c);
			if (!due(c, &at))
				continue;
			if (lg_tick_before(s->wheel.now, at)) {
				wheel_insert(s, c, at);
				continue;
			}
			any = true;
			lg_tcp_timer(s, c);
		}
	}
	return any;
}

void lg_side_conn_free(struct lg_side *s, struct lg_conn *c)
{
	wheel_remove(s, c);
	if (c->partial) {
		s->partial[c->partial - 1].next_free = s->partial_free;
		s->partial_free = c->partial;
		c->partial = 0;
	}
	s->map[c->tuple] = LG_NONE;
	if (!s->server)
		lg_list_put(&s->free_tuple, c->tuple);
	s->established -= c->state == LG_OPEN;
	c->state = LG_CLOSED;
	s->free_conn[s->nfree++] = lg_conn_number(s, c);
	s->used--;
}

void lg_side_fail(struct lg_side *s, struct lg_conn *c, enum lg_failure why, const char *fmt, ...)
{
	char tuple[128], text[256];
	va_list ap;

	if (c->flags & LG_F_FAILED)
		return;
	c->flags |= LG_F_FAILED;
	s->stats.failed[why]++;
	if (s->told++ >= TELL_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	lg_wire_tuple_text(s->cfg, c->tuple, tuple, sizeof(tuple));
	fprintf(stderr, "%s: %s: %s: object %016llx, transaction %u: %s%s\n",
		s->server ? "server" : "client", tuple, failure_text[why],
		(unsigned long long)c->id, c->done + 1, text,
		s->told == TELL_MAX ? " (more are counted only)" : "");
}
