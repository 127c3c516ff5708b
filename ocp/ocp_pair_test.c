/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Both agents back to back over two in-memory streams that are cut at random:
 * many transactions at once, several ways to adapt; every octet of every result
 * is compared with what it has to be. In the draft dialect, and in that of RFC 4037 with and without the HTTP profile.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ocp/ocp_processor.h"
#include "ocp/ocp_server.h"

#define XACTIONS 40
#define SIZE_MAX_ 6000

struct buffer {
	uint8_t *p;
	size_t len, cap;
};

enum way {		/* what the service does */
	   WAY_ECHO,	/* all data back, changed (octet + 1) */
	   WAY_AS_IS,	/* by reference where committed, else by value */
	   WAY_LEAVE,	/* first part by value, then out of the loop */
	   WAY_ANSWER,	/* waits for the end, answers with its own message */
	   WAY_NOTHING, /* normal end without any message */
	   WAY_REFUSE,
	   WAY_TWO,   /* two messages: even and odd halves of the data-haves */
	   WAY_PAUSE, /* echo, pausing after every data-have */
	   WAY_STOP,  /* core: answers, and wants nothing of the original */
	   WAY_MAX
};

/* Octets of an original that are its head. */
#define HEAD 50u

enum speech { DRAFT, CORE, CORE_HTTP };

struct world;

struct xact {
	struct world *w;
	uint32_t xid;
	enum way way;
	/* processor */
	uint8_t original[SIZE_MAX_];
	size_t size, sent;
	bool end_sent, over, paused, left;
	enum ocp_xend how;
	struct buffer got[3]; /* by am-id / 2 */
	unsigned starts, ends;
	bool am_asked, am_paused; /* the adapted message */
	bool stopped;		  /* the service wants no more of the original */
	/* service */
	uint32_t am[2];
	unsigned chunks;
	bool gone, asked, may_leave, ended;
	struct buffer held; /* by value, while the processor pauses us ... */
	size_t back;	    /* ... of what comes back; so many have gone out */
};

struct world {
	struct ocp_processor *p;
	struct ocp_server *s;
	struct buffer to_s, to_p;
	struct xact x[XACTIONS];
	unsigned started, accepted, lefts;
	uint32_t rnd;
	bool leave_agreed;
	enum speech speech;
	unsigned holds, stops;
};

static uint32_t rnd(struct world *w, uint32_t n)
{
	w->rnd = w->rnd * 1664525 + 1013904223;
	return (w->rnd >> 16) % n;
}

static void put(struct buffer *b, const void *p, size_t n)
{
	if (b->len + n > b->cap) {
		b->cap = (b->len + n) * 2;
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	if (n)
		memcpy(b->p + b->len, p, n);
	b->len += n;
}

static void put_output(struct buffer *b, const struct ocp_output *o)
{
	put(b, o->head, o->head_len);
	put(b, o->payload, o->payload_len);
	put(b, o->tail, o->tail_len);
}

/* --- service --- */

static int s_output(void *ctx, const struct ocp_output *o)
{
	struct world *w = ctx;

	put_output(&w->to_p, o);
	return 0;
}

static int s_xaction_start(void *ctx, uint32_t xid, const struct ocp_uri *service, void **user)
{
	struct world *w = ctx;

	assert_true(ocp_str_eq(service->uri, OCP_STR("u:s")));
	*user = &w->x[w->accepted++];
	assert_int_equal(((struct xact *)*user)->xid, xid);
	return 0;
}

static size_t body_of(const struct xact *x)
{
	return x->size > HEAD ? x->size - HEAD : 0;
}

/* Part of the octet at this place of an original, or of an adapted message of the same size. */
static enum ocp_part part_at(const struct world *w, size_t at)
{
	if (w->speech != CORE_HTTP)
		return OCP_PART_NONE;
	return at < HEAD ? OCP_PART_REQUEST_HEADER : OCP_PART_REQUEST_BODY;
}

/* What is held goes out as far as the processor takes it. */
static void flush(struct world *w, struct xact *x)
{
	while (x->held.len) {
		struct ocp_send send = OCP_SEND_INIT;
		uint64_t room = ocp_server_room(w->s, x->xid);
		size_t n = x->held.len;

		send.part = part_at(w, x->back);
		if (send.part == OCP_PART_REQUEST_HEADER && n > HEAD - x->back)
			n = HEAD - x->back;
		n = n < room ? n : (size_t)room;
		if (!n) {
			assert_int_equal(ocp_server_data(w->s, x->xid, x->am[0], "x", 1, NULL, &send), -EAGAIN);
			w->holds++;
			return;
		}
		assert_int_equal(ocp_server_data(w->s, x->xid, x->am[0], x->held.p, n, NULL, &send), 0);
		memmove(x->held.p, x->held.p + n, x->held.len - n);
		x->held.len -= n;
		x->back += n;
	}
}

static void finish(struct world *w, struct xact *x)
{
	for (int i = 0; i < 2; i++)
		if (x->am[i] && rnd(w, 2))
			assert_int_equal(ocp_server_data_end(w->s, x->xid, x->am[i], true), 0);
	assert_int_equal(ocp_server_xaction_end(w->s, x->xid, false, NULL), 0);
	x->gone = true;
}

static void leave(struct world *w, struct xact *x)
{
	int rc = ocp_server_leave_loop(w->s, x->xid, x->am[0]);

	if (rc == 0)
		x->gone = true;
	if (rc == 1)
		x->asked = true;
}

static void s_need(void *ctx, void *user, uint32_t request)
{
	struct world *w = ctx;
	struct xact *x = user;

	flush(w, x);
	if (!x->held.len && x->may_leave)
		leave(w, x);
	else if (!x->held.len && x->ended)
		finish(w, x);
}

static int s_leave_now(void *ctx, void *user)
{
	struct world *w = ctx;
	struct xact *x = user;

	assert_true(x->asked);
	x->may_leave = true;
	if (x->held.len)
		return -EAGAIN;
	if (rnd(w, 2)) /* otherwise the agent does it, and says so */
		leave(w, x);
	return 0;
}

static int s_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct world *w = ctx;
	struct xact *x = user;

	assert_int_equal(am->kind, w->speech == CORE ? OCP_KIND_STREAM : OCP_KIND_REQUEST);
	assert_int_equal(am->am_el, w->speech == CORE_HTTP ? (int64_t)body_of(x) : -1);
	if (x->way == WAY_REFUSE)
		return 1;
	if (x->way == WAY_STOP)
		assert_int_equal(ocp_server_stop_receiving(w->s, x->xid, 0), 0);
	if (x->way == WAY_NOTHING || x->way == WAY_ANSWER || x->way == WAY_STOP)
		return 0;
	assert_int_equal(ocp_server_am_start(w->s, x->xid, OCP_STR(""), NULL, &x->am[0]), 0);
	if (x->way == WAY_TWO)
		assert_int_equal(ocp_server_am_start(w->s, x->xid, OCP_STR(""), NULL, &x->am[1]),
				 0);
	return 0;
}

static void by_value(struct world *w, struct xact *x, uint32_t am, const struct ocp_data *d,
		     int add)
{
	uint8_t out[SIZE_MAX_];

	for (uint32_t i = 0; i < d->len; i++)
		out[i] = (uint8_t)(d->data[i] + add);
	if (am == x->am[0] && x->way != WAY_TWO) {
		put(&x->held, out, d->len);
		flush(w, x);
		return;
	}
	assert_int_equal(ocp_server_data(w->s, x->xid, am, out, d->len, NULL, NULL), 0);
}

static void s_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct world *w = ctx;
	struct xact *x = user;

	switch (x->way) {
	case WAY_ECHO:
	case WAY_PAUSE:
		by_value(w, x, x->am[0], d, 1);
		break;
	case WAY_AS_IS:
		if (!x->held.len && ocp_server_room(w->s, x->xid) >= d->len &&
		    ocp_server_committed(w->s, x->xid, d->offset, d->len)) {
			assert_int_equal(ocp_server_as_is(w->s, x->xid, x->am[0], d->offset, d->len,
							  d->part),
					 0);
			x->back += d->len;
		} else {
			by_value(w, x, x->am[0], d, 0);
		}
		break;
	case WAY_LEAVE:
		by_value(w, x, x->am[0], d, 0);
		if (d->last && rnd(w, 3) == 0 && (w->leave_agreed || w->speech) && !x->asked)
			leave(w, x);
		break;
	case WAY_TWO:
		by_value(w, x, x->am[x->chunks & 1], d, 0);
		break;
	default:
		break;
	}
	if (d->last)
		x->chunks++;
	if (x->way == WAY_PAUSE && d->last)
		assert_int_equal(ocp_server_pause(w->s, x->xid), 0);
	if (!x->gone && rnd(w, 4) == 0 && x->way == WAY_ECHO)
		ocp_server_ack(w->s, x->xid, d->offset, d->len, true);
}

static void s_paused(void *ctx, void *user)
{
	struct world *w = ctx;
	struct xact *x = user;

	assert_int_equal(ocp_server_need(w->s, x->xid, rnd(w, 2) * 100), 0);
}

static void s_original_end(void *ctx, void *user, const struct ocp_original_ending *e)
{
	struct world *w = ctx;
	struct xact *x = user;

	assert_true(e->ok);
	w->stops += e->partial;
	assert_true(!e->partial || x->way == WAY_STOP);
	if (x->way == WAY_ANSWER || x->way == WAY_STOP) {
		struct ocp_send send = OCP_SEND_INIT;

		send.part = w->speech == CORE_HTTP ? OCP_PART_RESPONSE_HEADER : OCP_PART_NONE;
		assert_int_equal(ocp_server_am_start(w->s, x->xid, OCP_STR("Kind: response\r\n"),
						     NULL, &x->am[0]),
				 0);
		assert_int_equal(ocp_server_data(w->s, x->xid, x->am[0], "403", 3, NULL, &send), 0);
	}
	x->ended = true;
	if (!x->held.len)
		finish(w, x);
}

static void s_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct xact *x = user;

	assert_true(x->way == WAY_REFUSE || x->may_leave);
	x->gone = true;
}

static const struct ocp_server_ops s_ops = {
	.output = s_output,
	.xaction_start = s_xaction_start,
	.am_start = s_am_start,
	.data = s_data,
	.paused = s_paused,
	.need = s_need,
	.leave_now = s_leave_now,
	.original_end = s_original_end,
	.xaction_end = s_xaction_end,
};

/* --- processor --- */

static int p_output(void *ctx, const struct ocp_output *o)
{
	struct world *w = ctx;

	put_output(&w->to_s, o);
	return 0;
}

static void p_feature(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a)
{
	struct world *w = ctx;

	w->leave_agreed = f == OCP_FEATURE_LEAVE_LOOP && a == OCP_ANSWER_WILL_USE;
}

static void p_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	const struct world *w = ctx;
	struct xact *x = user;

	x->starts++;
	assert_int_equal(am->am_id, x->starts * 2);
	if (w->speech != CORE)
		assert_int_equal(am->kind == OCP_KIND_RESPONSE, x->way == WAY_ANSWER || x->way == WAY_STOP);
}

static void p_am_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct world *w = ctx;
	struct xact *x = user;

	assert_int_equal(d->offset, x->got[d->am_id / 2].len);
	assert_false(x->am_paused && d->len);
	put(&x->got[d->am_id / 2], d->data, d->len);
	if (w->speech && !x->am_asked && rnd(w, 4) == 0) {
		uint64_t at = rnd(w, 3) ? x->got[1].len + rnd(w, 900) : 0;

		assert_int_equal(ocp_processor_am_pause(w->p, x->xid, at), 0);
		x->am_asked = true;
	}
}

static void p_am_paused(void *ctx, void *user)
{
	struct xact *x = user;

	assert_true(x->am_asked);
	x->am_paused = true;
}

static void p_am_as_is(void *ctx, void *user, const struct ocp_as_is *s)
{
	struct xact *x = user;

	assert_int_equal(s->offset, x->got[s->am_id / 2].len);
	assert_true(s->src_offset + s->size <= x->sent);
	put(&x->got[s->am_id / 2], x->original + s->src_offset, s->size);
}

static void p_left(void *ctx, void *user, uint32_t am_id, uint64_t rest)
{
	struct xact *x = user;

	x->left = true;
	((struct world *)ctx)->lefts++;
	put(&x->got[am_id / 2], x->original + rest, x->size - rest);
}

static void p_am_end(void *ctx, void *user, const struct ocp_am_ending *e)
{
	struct xact *x = user;

	assert_true(e->ok);
	x->ends++;
}

static void p_pause(void *ctx, void *user)
{
	struct xact *x = user;

	x->paused = true;
}

static void p_need(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request)
{
	struct xact *x = user;

	assert_true(resumed == x->paused);
	x->paused = false;
}

static void p_original_end(void *ctx, void *user)
{
	((struct xact *)user)->stopped = true;
}

static void p_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct xact *x = user;

	x->over = true;
	x->how = e->how;
}

static const struct ocp_processor_ops p_ops = {
	.output = p_output,
	.feature = p_feature,
	.am_start = p_am_start,
	.am_data = p_am_data,
	.am_as_is = p_am_as_is,
	.left = p_left,
	.am_paused = p_am_paused,
	.original_end = p_original_end,
	.am_end = p_am_end,
	.pause = p_pause,
	.need = p_need,
	.xaction_end = p_xaction_end,
};

static void begin(struct world *w)
{
	struct xact *x = &w->x[w->started];
	struct ocp_start st = OCP_START_INIT;
	int rc;

	x->w = w;
	do
		x->way = rnd(w, WAY_MAX);
	while (x->way == (w->speech ? WAY_TWO : WAY_STOP));
	x->size = rnd(w, 4) ? rnd(w, SIZE_MAX_) : rnd(w, 5);
	for (size_t i = 0; i < x->size; i++)
		x->original[i] = (uint8_t)rnd(w, 256);
	st.meta = OCP_STR("Kind: request\r\n");
	st.sizep = (int64_t)x->size;
	if (w->speech == CORE_HTTP) {
		st.profile = OCP_FEATURE_HTTP_REQUEST;
		st.am_el = (int64_t)body_of(x);
	}
	rc = ocp_processor_xaction_start(w->p, &st, x, &x->xid, 0);
	if (w->speech && rc == -EAGAIN) /* negotiating */
		return;
	assert_int_equal(rc, 0);
	w->started++;
}

static void go_on(struct world *w, struct xact *x)
{
	struct ocp_send send = OCP_SEND_INIT;
	size_t n = 1 + rnd(w, 700);
	int rc;

	if (x->am_paused && rnd(w, 3) == 0 && !x->over) {
		x->am_asked = x->am_paused = false;
		rc = ocp_processor_am_need(w->p, x->xid, rnd(w, 2) * 50);
		assert_int_equal(rc, x->ends ? -EPIPE : 0);
	}
	if (x->over || x->left || x->end_sent || x->stopped)
		return;
	if (x->sent == x->size) {
		if (x->paused && rnd(w, 2))
			return;
		assert_int_equal(ocp_processor_data_end(w->p, x->xid, true, 0), 0);
		x->end_sent = true;
		return;
	}
	n = n < x->size - x->sent ? n : x->size - x->sent;
	send.part = part_at(w, x->sent);
	if (send.part == OCP_PART_REQUEST_HEADER && n > HEAD - x->sent)
		n = HEAD - x->sent;
	send.copied = rnd(w, 4);
	send.ack = rnd(w, 2);
	rc = ocp_processor_data(w->p, x->xid, x->original + x->sent, n, NULL, &send, 0);
	if (rc == -ENOSPC) {
		send.copied = false;
		rc = ocp_processor_data(w->p, x->xid, x->original + x->sent, n, NULL, &send, 0);
	}
	if (w->speech && rc == -EAGAIN) /* core: also without a call, e.g. to leave the loop */
		return;
	assert_int_equal(rc, x->paused ? -EAGAIN : 0);
	if (!rc)
		x->sent += n;
}

static void carry(struct world *w, struct buffer *b, bool to_server)
{
	size_t n = rnd(w, 2) ? rnd(w, 30) : rnd(w, 5000);
	uint8_t *piece;

	n = n < b->len ? n : b->len;
	if (!n)
		return;
	piece = malloc(n);
	memcpy(piece, b->p, n);
	memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
	if (to_server)
		assert_int_equal(ocp_server_input(w->s, piece, n, NULL, 0), 0);
	else
		assert_int_equal(ocp_processor_input(w->p, piece, n, NULL, 0), 0);
	free(piece);
}

static void check(struct world *w, const struct xact *x)
{
	const struct buffer *g = &x->got[1];

	assert_true(x->gone);
	assert_true(x->over);
	assert_int_equal(x->starts, x->ends);
	assert_int_equal(x->how, x->way == WAY_REFUSE ? OCP_XEND_REFUSED : OCP_XEND_NORMAL);
	switch (x->way) {
	case WAY_ECHO:
	case WAY_PAUSE:
		assert_int_equal(g->len, x->size);
		for (size_t i = 0; i < x->size; i++)
			assert_int_equal(g->p[i], (uint8_t)(x->original[i] + 1));
		break;
	case WAY_AS_IS:
	case WAY_LEAVE:
		assert_int_equal(g->len, x->size);
		if (x->size)
			assert_memory_equal(g->p, x->original, x->size);
		break;
	case WAY_ANSWER:
	case WAY_STOP:
		assert_int_equal(g->len, 3);
		assert_memory_equal(g->p, "403", 3);
		break;
	case WAY_TWO:
		assert_int_equal(x->starts, 2);
		assert_int_equal(g->len + x->got[2].len, x->size);
		break;
	default:
		assert_int_equal(x->starts, 0);
		break;
	}
}

struct seen {
	unsigned lefts, holds, stops;
};

static void one_world(uint32_t seed, enum speech speech, struct seen *seen)
{
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	struct ocp_offer offer = {.service = {.uri = OCP_STR("u:s")}, .profile = OCP_PROFILE_INIT};
	const struct ocp_uri service = {.uri = OCP_STR("u:s")};
	struct world *w = calloc(1, sizeof(*w));
	bool busy = true;

	w->rnd = seed;
	w->speech = speech;
	cfg.dialect = speech ? OCP_DIALECT_CORE : OCP_DIALECT_DRAFT;
	offer.profile.feature = OCP_FEATURE_HTTP_REQUEST;
	cfg.offers = &offer;
	cfg.noffers = speech == CORE_HTTP;
	assert_int_equal(ocp_processor_create(&w->p, &cfg, &p_ops, w), 0);
	assert_int_equal(ocp_server_create(&w->s, NULL, &s_ops, w, 0), 0);
	assert_int_equal(ocp_processor_connect(w->p, OCP_STR("pair"), 1, 0), 0);
	assert_int_equal(ocp_processor_service(w->p, &service), 0);
	ocp_processor_please_use(w->p, ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP)));
	while (busy) {
		if (w->started < XACTIONS && rnd(w, 3) == 0)
			begin(w);
		for (int i = 0; i < 8 && w->started; i++)
			go_on(w, &w->x[rnd(w, w->started)]);
		carry(w, &w->to_s, true);
		carry(w, &w->to_p, false);
		busy = w->started < XACTIONS || w->to_s.len || w->to_p.len;
		for (unsigned i = 0; i < w->started; i++)
			busy |= !w->x[i].over;
	}
	for (unsigned i = 0; i < XACTIONS; i++)
		check(w, &w->x[i]);
	assert_int_equal(ocp_processor_xactions(w->p), 0);
	assert_int_equal(ocp_server_xactions(w->s), 0);
	/* What was under way when a transaction ended is ignored; nothing else was wrong. */
	for (int f = 0; f < OCP_FAULT_MAX; f++) {
		if (f == OCP_FAULT_UNKNOWN_ID)
			continue;
		assert_int_equal(ocp_server_counters(w->s)->faults[f], 0);
		assert_int_equal(ocp_processor_counters(w->p)->faults[f], 0);
	}
	assert_int_equal(ocp_processor_counters(w->p)->tx_bytes,
			 ocp_server_counters(w->s)->rx_bytes);
	assert_int_equal(ocp_server_counters(w->s)->tx_bytes,
			 ocp_processor_counters(w->p)->rx_bytes);
	ocp_processor_destroy(w->p);
	ocp_server_destroy(w->s);
	for (unsigned i = 0; i < XACTIONS; i++) {
		for (int k = 0; k < 3; k++)
			free(w->x[i].got[k].p);
		free(w->x[i].held.p);
	}
	free(w->to_s.p);
	free(w->to_p.p);
	seen->lefts += w->lefts;
	seen->holds += w->holds;
	seen->stops += w->stops;
	free(w);
}

static void test_pair(void **state)
{
	struct seen seen = {0};

	for (uint32_t seed = 1; seed <= 40; seed++)
		one_world(seed, DRAFT, &seen);
	assert_true(seen.lefts > 40);
}

static void test_pair_core(void **state)
{
	struct seen seen = {0};

	for (uint32_t seed = 1; seed <= 40; seed++)
		one_world(seed, CORE, &seen);
	assert_true(seen.lefts > 40 && seen.holds > 40 && seen.stops > 40);
}

static void test_pair_core_http(void **state)
{
	struct seen seen = {0};

	for (uint32_t seed = 1; seed <= 40; seed++)
		one_world(seed, CORE_HTTP, &seen);
	assert_true(seen.lefts > 40 && seen.holds > 40 && seen.stops > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_pair_core),
		cmocka_unit_test(test_pair_core_http),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
