/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Test bench for the agents: an agent whose callbacks and output become text,
 * so that a test reads as "these octets in, these calls and octets out".
 */
#ifndef OCP_TEST_BENCH_H
#define OCP_TEST_BENCH_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ocp/ocp_processor.h"
#include "ocp/ocp_profile.h"
#include "ocp/ocp_server.h"

struct bench_text {
	char *p;
	size_t len, cap;
};

static void text_put(struct bench_text *t, const void *p, size_t n)
{
	while (t->len + n + 1 > t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1024;
		t->p = realloc(t->p, t->cap);
		assert_non_null(t->p);
	}
	if (n)
		memcpy(t->p + t->len, p, n);
	t->len += n;
	t->p[t->len] = 0;
}

__attribute__((format(printf, 2, 3))) static void text_say(struct bench_text *t, const char *fmt,
							   ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_put(t, line, (size_t)n);
}

struct bench {
	struct ocp_processor *p; /* one of the two */
	struct ocp_server *s;
	uint64_t now;
	struct bench_text log, out;
	bool out_fails;
	bool ops_quiet; /* data and output are not noted */
	/* answers of callbacks */
	int refuse_connection, refuse_xaction, refuse_am, refuse_offer, refuse_leave;
	void (*edit_offer)(struct ocp_profile *p);
	/* what to do inside of callbacks */
	void (*inside)(struct bench *b, const char *where);
	char user[2]; /* address is the first transaction's user pointer */
};

static void inside(struct bench *b, const char *where)
{
	if (b->inside)
		b->inside(b, where);
}

static int bench_output(void *ctx, const struct ocp_output *o)
{
	struct bench *b = ctx;

	if (b->out_fails)
		return -EPIPE;
	if (b->ops_quiet)
		return 0;
	text_put(&b->out, o->head, o->head_len);
	text_put(&b->out, o->payload, o->payload_len);
	text_put(&b->out, o->tail, o->tail_len);
	return 0;
}

static inline void log_result(struct bench *b, const struct ocp_result *r)
{
	if (r && r->code)
		text_say(&b->log, " {%d%s%.*s}", r->code, r->reason.len ? " " : "",
			 (int)r->reason.len, r->reason.p);
}

static void bench_closed(void *ctx, enum ocp_end how, const struct ocp_result *r)
{
	struct bench *b = ctx;

	text_say(&b->log, "closed %d", how);
	log_result(b, r);
	text_say(&b->log, "\n");
	inside(b, "closed");
}

static void bench_feature(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a)
{
	struct bench *b = ctx;

	text_say(&b->log, "feature %d %.*s %d\n", f, (int)uri.len, uri.p, a);
	inside(b, "feature");
}

static void bench_alive(void *ctx, uint32_t rid, bool has_xid, bool has_am_id)
{
	struct bench *b = ctx;

	text_say(&b->log, "alive %u %d %d\n", rid, has_xid, has_am_id);
}

static void bench_fault(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg)
{
	struct bench *b = ctx;

	text_say(&b->log, "fault %d %s\n", f, ocp_msg_name(msg));
}

static void log_am_start(struct bench *b, const struct ocp_am_info *am)
{
	text_say(&b->log, "am_start %u [%.*s] kind=%d", am->am_id, (int)am->meta.len, am->meta.p,
		 am->kind);
	if (am->modified)
		text_say(&b->log, " modified");
	if (am->sizep >= 0)
		text_say(&b->log, " sizep=%lld", (long long)am->sizep);
	if (am->modp >= 0)
		text_say(&b->log, " modp=%d", am->modp);
	if (am->am_el >= 0)
		text_say(&b->log, " am_el=%lld", (long long)am->am_el);
	text_say(&b->log, "\n");
}

static void log_data(struct bench *b, const struct ocp_data *d)
{
	if (b->ops_quiet)
		return;
	text_say(&b->log, "data %u@%llu [%.*s]%s%s%s%s", d->am_id, (unsigned long long)d->offset,
		 (int)d->len, d->len ? (const char *)d->data : "", d->modified ? " modified" : "",
		 d->copied ? " copied" : "", d->first ? " first" : "", d->last ? " last" : "");
	if (d->part)
		text_say(&b->log, " %s", ocp_part_name(d->part));
	if (d->sizep >= 0)
		text_say(&b->log, " sizep=%lld", (long long)d->sizep);
	if (d->modp >= 0)
		text_say(&b->log, " modp=%d", d->modp);
	text_say(&b->log, "\n");
}

static void bench_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	log_am_start(ctx, am);
	inside(ctx, "am_start");
}

static void bench_data(void *ctx, void *user, const struct ocp_data *d)
{
	log_data(ctx, d);
	inside(ctx, "data");
}

static void bench_as_is(void *ctx, void *user, const struct ocp_as_is *s)
{
	struct bench *b = ctx;

	text_say(&b->log, "as_is %u@%llu from %llu+%llu%s%s\n", s->am_id,
		 (unsigned long long)s->offset, (unsigned long long)s->src_offset,
		 (unsigned long long)s->size, s->part ? " " : "", ocp_part_name(s->part));
	inside(b, "as_is");
}

static void bench_am_end(void *ctx, void *user, const struct ocp_am_ending *e)
{
	struct bench *b = ctx;

	text_say(&b->log, "am_end %u %s", e->am_id, e->ok ? "ok" : "bad");
	if (e->fault)
		text_say(&b->log, " fault=%d", e->fault);
	if (e->left)
		text_say(&b->log, " left");
	log_result(b, &e->result);
	text_say(&b->log, "\n");
	inside(b, "am_end");
}

static void bench_left(void *ctx, void *user, uint32_t am_id, uint64_t rest)
{
	struct bench *b = ctx;

	text_say(&b->log, "left %u rest=%llu\n", am_id, (unsigned long long)rest);
	inside(b, "left");
}

static void bench_pause(void *ctx, void *user)
{
	struct bench *b = ctx;

	text_say(&b->log, "pause\n");
}

static void bench_need(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request)
{
	struct bench *b = ctx;

	text_say(&b->log, "need %s%llu %u\n", resumed ? "resumed " : "", (unsigned long long)have,
		 request);
	inside(b, "need");
}

static void bench_ack(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	struct bench *b = ctx;

	text_say(&b->log, "ack %llu+%llu\n", (unsigned long long)offset, (unsigned long long)size);
}

static void bench_wont_forward(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	struct bench *b = ctx;

	text_say(&b->log, "wont_forward %llu+%llu\n", (unsigned long long)offset,
		 (unsigned long long)size);
}

static void bench_p_original_end(void *ctx, void *user)
{
	struct bench *b = ctx;

	text_say(&b->log, "original_end\n");
}

static void bench_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct bench *b = ctx;

	text_say(&b->log, "xaction_end %d", e->how);
	if (e->fault)
		text_say(&b->log, " fault=%d", e->fault);
	if (e->conn_end)
		text_say(&b->log, " conn=%d", e->conn_end);
	log_result(b, &e->result);
	text_say(&b->log, "\n");
	inside(b, "xaction_end");
}

static int bench_s_connection_start(void *ctx, struct ocp_str client, int32_t priority)
{
	struct bench *b = ctx;

	text_say(&b->log, "connection_start [%.*s] %d\n", (int)client.len, client.p, priority);
	return b->refuse_connection;
}

static void bench_s_priority(void *ctx, int32_t priority)
{
	struct bench *b = ctx;

	text_say(&b->log, "priority %d\n", priority);
}

static int bench_s_xaction_start(void *ctx, uint32_t xid, const struct ocp_uri *service,
				 void **user)
{
	struct bench *b = ctx;

	text_say(&b->log, "xaction_start %u [%.*s|%.*s]\n", xid, (int)service->uri.len,
		 service->uri.p, (int)service->more.len, service->more.p);
	*user = b->user;
	inside(b, "xaction_start");
	return b->refuse_xaction;
}

static int bench_s_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct bench *b = ctx;

	log_am_start(b, am);
	inside(b, "am_start");
	return b->refuse_am;
}

static void bench_s_original_end(void *ctx, void *user, const struct ocp_original_ending *e)
{
	struct bench *b = ctx;

	text_say(&b->log, "original_end %s%s", e->ok ? "ok" : "bad", e->partial ? " partial" : "");
	if (e->fault)
		text_say(&b->log, " fault=%d", e->fault);
	log_result(b, &e->result);
	text_say(&b->log, "\n");
	inside(b, "original_end");
}

static void bench_s_paused(void *ctx, void *user)
{
	struct bench *b = ctx;

	text_say(&b->log, "paused\n");
}

static int bench_s_offer(void *ctx, const struct ocp_list *services, struct ocp_profile *p)
{
	struct bench *b = ctx;

	text_say(&b->log, "offer %d [%.*s] aux=%x\n", p->feature, (int)services->wire.len, services->wire.p ? services->wire.p : "",
		 p->aux_parts);
	if (b->edit_offer)
		b->edit_offer(p);
	return b->refuse_offer;
}

static void bench_s_pause(void *ctx, void *user)
{
	struct bench *b = ctx;

	text_say(&b->log, "peer_pause\n");
}

static void bench_s_need(void *ctx, void *user, uint32_t request)
{
	struct bench *b = ctx;

	text_say(&b->log, "peer_need %u\n", request);
	inside(b, "peer_need");
}

static int bench_s_leave_now(void *ctx, void *user)
{
	struct bench *b = ctx;

	text_say(&b->log, "leave_now\n");
	inside(b, "leave_now");
	return b->refuse_leave;
}

static void bench_s_ack(void *ctx, void *user, uint32_t am_id, uint64_t offset, uint64_t size)
{
	struct bench *b = ctx;

	text_say(&b->log, "ack %u %llu+%llu\n", am_id, (unsigned long long)offset,
		 (unsigned long long)size);
}

static void bench_s_am_end(void *ctx, void *user, uint32_t am_id, bool error,
			   const struct ocp_result *r)
{
	struct bench *b = ctx;

	text_say(&b->log, "am_end %u%s", am_id, error ? " error" : "");
	log_result(b, r);
	text_say(&b->log, "\n");
	inside(b, "am_end");
}

__attribute__((unused)) static const struct ocp_processor_ops bench_p_ops = {
	.output = bench_output,
	.closed = bench_closed,
	.feature = bench_feature,
	.alive = bench_alive,
	.fault = bench_fault,
	.am_start = bench_am_start,
	.am_data = bench_data,
	.am_as_is = bench_as_is,
	.am_end = bench_am_end,
	.left = bench_left,
	.pause = bench_pause,
	.need = bench_need,
	.ack = bench_ack,
	.wont_forward = bench_wont_forward,
	.original_end = bench_p_original_end,
	.xaction_end = bench_xaction_end,
};

__attribute__((unused)) static const struct ocp_server_ops bench_s_ops = {
	.output = bench_output,
	.connection_start = bench_s_connection_start,
	.priority = bench_s_priority,
	.closed = bench_closed,
	.feature = bench_feature,
	.alive = bench_alive,
	.fault = bench_fault,
	.xaction_start = bench_s_xaction_start,
	.offer = bench_s_offer,
	.pause = bench_s_pause,
	.need = bench_s_need,
	.leave_now = bench_s_leave_now,
	.am_start = bench_s_am_start,
	.data = bench_data,
	.original_end = bench_s_original_end,
	.paused = bench_s_paused,
	.ack = bench_s_ack,
	.am_end = bench_s_am_end,
	.xaction_end = bench_xaction_end,
};

static inline void bench_free(struct bench *b)
{
	ocp_processor_destroy(b->p);
	ocp_server_destroy(b->s);
	free(b->log.p);
	free(b->out.p);
	memset(b, 0, sizeof(*b));
}

static inline void text_clear(struct bench_text *t)
{
	t->len = 0;
	text_put(t, "", 0);
}

/* \n in the test's text stands for CRLF on the wire; quoted strings in tests hold no line ends. */
static inline char *wire(const char *text, size_t *len)
{
	struct bench_text t = {0};

	text_put(&t, "", 0);
	for (; *text; text++)
		text_put(&t, *text == '\n' ? "\r\n" : text, *text == '\n' ? 2 : 1);
	*len = t.len;
	return t.p;
}

static inline int bench_in(struct bench *b, const char *text)
{
	size_t len;
	char *in = wire(text, &len);
	int rc = b->p ? ocp_processor_input(b->p, in, len, b, b->now)
		      : ocp_server_input(b->s, in, len, b, b->now);

	free(in);
	return rc;
}

/* Compares, then forgets. */
static inline void want_log(struct bench *b, const char *want)
{
	text_put(&b->log, "", 0);
	assert_string_equal(b->log.p, want);
	text_clear(&b->log);
}

static inline void want_out(struct bench *b, const char *text)
{
	size_t len;
	char *want = wire(text, &len);

	text_put(&b->out, "", 0);
	assert_string_equal(b->out.p, want);
	text_clear(&b->out);
	free(want);
}
#endif
