/* SPDX-License-Identifier: BSD-3-Clause */
/* What the codec's tests share: a stream's events as text, and that text for every cutting of the
 * stream. */
#ifndef OCP_CODEC_BENCH_H
#define OCP_CODEC_BENCH_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ocp/ocp.h"

/* --- a stream's events as text --- */

struct text {
	char *p;
	size_t len, cap;
};

__attribute__((format(printf, 2, 3))) static inline void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	while (t->len + (size_t)n + 1 > t->cap) {
		t->cap = t->cap ? t->cap * 2 : 4096;
		t->p = realloc(t->p, t->cap);
		assert_non_null(t->p);
	}
	va_start(ap, fmt);
	vsnprintf(t->p + t->len, t->cap - t->len, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

static inline void say_str(struct text *t, const char *what, struct ocp_str s)
{
	say(t, " %s=[", what);
	for (uint32_t i = 0; i < s.len; i++)
		say(t, s.p[i] < ' ' || s.p[i] > '~' ? "\\%02x" : "%c", (uint8_t)s.p[i]);
	say(t, "]");
}

static inline void say_list(struct text *t, const char *what, const struct ocp_list *l)
{
	struct ocp_uri u;
	uint32_t at = 0, n = 0;

	say(t, " %s=%u(", what, l->count);
	for (; ocp_list_next(l, &at, &u); n++) {
		say_str(t, "", u.uri);
		if (u.more.len)
			say_str(t, "more", u.more);
	}
	assert_int_equal(n, l->count);
	say(t, " )");
}

/* Parameters that only the core dialect has. */
static inline void say_core(struct text *t, const struct ocp_msg *m)
{
	if (ocp_msg_has(m, OCP_P_SG))
		say(t, " sg=%u", m->sg);
	if (ocp_msg_has(m, OCP_P_COPY_AM_OFFSET) && !ocp_msg_has(m, OCP_P_COPY_AM_ID))
		say(t, " org-offset=%llu", (unsigned long long)m->copy_am_offset);
	if (ocp_msg_has(m, OCP_P_AS_IS))
		say(t, " as-is=%u", m->as_is_offset);
	if (ocp_msg_has(m, OCP_P_KEPT))
		say(t, " kept=%u+%u", m->kept_offset, m->kept_size);
	if (ocp_msg_has(m, OCP_P_ORG_DATA))
		say(t, " org-data=%u", m->org_data);
	if (ocp_msg_has(m, OCP_P_ANSWER))
		say(t, " answer=%s", m->answer ? "true" : "false");
	if (ocp_msg_has(m, OCP_P_OFFER_PENDING))
		say(t, " offer-pending");
	if (ocp_msg_has(m, OCP_P_SERVICES))
		say_list(t, "services", &m->services);
	if (ocp_msg_has(m, OCP_P_FEATURES))
		say_list(t, "features", &m->features);
	if (ocp_msg_has(m, OCP_P_REJECTS))
		say_list(t, "rejects", &m->rejects);
	if (ocp_msg_has(m, OCP_P_UNKNOWNS))
		say_list(t, "unknowns", &m->unknowns);
}

static inline void say_msg(struct text *t, const struct ocp_msg *m)
{
	static const char *const flags[] = {"error", "modified", "copied", "ack", "wont-forward"};

	say(t, "%s", ocp_msg_name(m->type));
	if (!m->type)
		say_str(t, "name", m->name);
	if (ocp_msg_has(m, OCP_P_XID))
		say(t, " xid=%u", m->xid);
	if (ocp_msg_has(m, OCP_P_AM_ID))
		say(t, " am=%u", m->am_id);
	if (ocp_msg_has(m, OCP_P_RID))
		say(t, " rid=%u", m->rid);
	if (ocp_msg_has(m, OCP_P_OFFSET))
		say(t, " offset=%llu", (unsigned long long)m->offset);
	if (ocp_msg_has(m, OCP_P_SIZE))
		say(t, " size=%llu", (unsigned long long)m->size);
	if (ocp_msg_has(m, OCP_P_COPY_AM_ID))
		say(t, " from=%u+%llu", m->copy_am_id, (unsigned long long)m->copy_am_offset);
	if (ocp_msg_has(m, OCP_P_PRIORITY))
		say(t, " priority=%d", m->priority);
	if (ocp_msg_has(m, OCP_P_SIZEP))
		say(t, " sizep=%llu", (unsigned long long)m->sizep);
	if (ocp_msg_has(m, OCP_P_MODP))
		say(t, " modp=%u", m->modp);
	if (ocp_msg_has(m, OCP_P_SIZE_REQUEST))
		say(t, " size-request=%u", m->size_request);
	if (ocp_msg_has(m, OCP_P_AM_PART))
		say(t, " part=%s", ocp_part_name(m->am_part));
	say_core(t, m);
	for (int p = OCP_P_ERROR; p <= OCP_P_WONT_FORWARD; p++)
		if (ocp_msg_has(m, p))
			say(t, " %s", flags[p - OCP_P_ERROR]);
	if (ocp_msg_has(m, OCP_P_META_DATA))
		say_str(t, "meta", m->meta_data);
	if (ocp_msg_has(m, OCP_P_CLIENT))
		say_str(t, "client", m->client);
	if (ocp_msg_has(m, OCP_P_SERVICE)) {
		say_str(t, "service", m->service.uri);
		say_str(t, "more", m->service.more);
	}
	if (ocp_msg_has(m, OCP_P_FEATURE)) {
		say_str(t, "feature", m->feature.uri);
		say_str(t, "more", m->feature.more);
	}
	if (ocp_msg_has(m, OCP_P_RESULT)) {
		say(t, " result=%d", m->result.code);
		say_str(t, "reason", m->result.reason);
	}
	if (m->invalid)
		say(t, " invalid=%u", m->invalid);
	if (m->unknown_params)
		say(t, " unknown=%u", m->unknown_params);
	if (m->payload)
		say(t, " payload=%llu", (unsigned long long)m->payload_size);
	say(t, "\n");
}

/* cut(i): length of the next buffer */
typedef size_t (*cut_fn)(void *arg, size_t at);

static inline char *events_lim(const char *in, size_t len, cut_fn cut, void *arg,
			const struct ocp_limits *lim)
{
	struct ocp_decoder *d = ocp_decoder_create(lim);
	struct text t = {0};
	uint64_t in_payload = 0;
	size_t at = 0;
	bool bad = false;

	assert_non_null(d);
	say(&t, "%s", "");
	while (at < len && !bad) {
		size_t n = cut ? cut(arg, at) : len, used = 0;
		/* its own allocation: sanitizers see any look beyond or back */
		uint8_t *buf;
		struct ocp_event ev;

		if (n > len - at)
			n = len - at;
		buf = malloc(n ? n : 1);
		memcpy(buf, in + at, n);
		do {
			size_t u = ocp_decoder_feed(d, buf + used, n - used, &ev);

			assert_true(u <= n - used);
			if (ev.type == OCP_EVENT_PAYLOAD) {
				assert_ptr_equal(ev.data, buf + used);
				assert_true(ev.len > 0 && ev.len == u);
				assert_int_equal(ev.payload_offset, in_payload);
				in_payload += ev.len;
				for (size_t i = 0; i < ev.len; i++)
					say(&t, "%02x", ev.data[i]);
			}
			used += u;
			if (ev.type == OCP_EVENT_MESSAGE) {
				in_payload = 0;
				/* as an agent does: the first message says what is spoken */
				if (t.len == 0 && ev.msg->type)
					ocp_decoder_dialect(d, ocp_msg_dialect(ev.msg->type));
				say_msg(&t, ev.msg);
			} else if (ev.type == OCP_EVENT_END) {
				say(&t, "%send\n", in_payload ? "\n" : "");
			} else if (ev.type == OCP_EVENT_BAD) {
				say(&t, "bad %d at %llu\n", ev.bad, (unsigned long long)ev.offset);
				bad = true;
			}
		} while (ev.type != OCP_EVENT_NEED_MORE && !bad);
		assert_true(bad || used == n);
		free(buf);
		at += n;
	}
	say(&t, "%s", bad ? "" : ocp_decoder_idle(d) ? "idle\n" : "inside\n");
	ocp_decoder_destroy(d);
	return t.p;
}

static inline size_t cut_n(void *arg, size_t at)
{
	return *(size_t *)arg;
}

static inline size_t cut_once(void *arg, size_t at)
{
	return at ? SIZE_MAX / 2 : *(size_t *)arg;
}

static inline size_t cut_random(void *arg, size_t at)
{
	uint32_t *x = arg;

	*x = *x * 1664525 + 1013904223;
	return (*x >> 24) % 40;
}

/* Events of a stream, the same for every cutting; the caller frees. */
static inline char *events_all(const char *in, size_t len, const struct ocp_limits *lim)
{
	char *whole = events_lim(in, len, NULL, NULL, lim);

	for (size_t n = 1; n < 8 && n < len; n++) {
		char *e = events_lim(in, len, cut_n, &n, lim);

		assert_string_equal(e, whole);
		free(e);
	}
	for (size_t n = 1; n < len && len < 3000; n++) {
		char *e = events_lim(in, len, cut_once, &n, lim);

		assert_string_equal(e, whole);
		free(e);
	}
	for (uint32_t seed = 1; seed < 20; seed++) {
		uint32_t x = seed;
		char *e = events_lim(in, len, cut_random, &x, lim);

		assert_string_equal(e, whole);
		free(e);
	}
	return whole;
}

static inline void expect_n(const char *in, size_t len, const char *want)
{
	char *e = events_all(in, len, NULL);

	assert_string_equal(e, want);
	free(e);
}

static inline void expect(const char *in, const char *want)
{
	expect_n(in, strlen(in), want);
}

static inline void expect_bad(const char *in, enum ocp_bad bad)
{
	char *e = events_all(in, strlen(in), NULL), *at = strstr(e, "bad ");

	if (!at || atoi(at + 4) != (int)bad)
		fail_msg("want bad %d for [%s], got [%s]", bad, in, e);
	free(e);
}

/* --- messages in both directions --- */

struct vector {
	const char *wire; /* what the encoder writes, payload and tail included */
	const char *events;
	struct ocp_msg msg;
	const char *payload;
};

/* Each read alone; seen: of which types there was one. */
static inline void decode_vectors(const struct vector *v, size_t count, bool seen[OCP_MSG_MAX])
{
	for (size_t i = 0; i < count; i++) {
		char want[600];

		snprintf(want, sizeof(want), "%sidle\n", v[i].events);
		expect(v[i].wire, want);
		seen[v[i].msg.type] = true;
	}
}

/* Written, and refused in every room that is too small. */
static inline void encode_vector(const struct vector *v)
{
	size_t n, full, pay = v->payload ? strlen(v->payload) : 0;
	char buf[600];

	assert_int_equal(ocp_encode(&v->msg, pay, buf, sizeof(buf), &n), 0);
	if (v->payload) {
		memcpy(buf + n, v->payload, pay);
		memcpy(buf + n + pay, OCP_TAIL, OCP_TAIL_LEN);
	}
	full = n + (v->payload ? pay + OCP_TAIL_LEN : 0);
	assert_int_equal(full, strlen(v->wire));
	assert_memory_equal(buf, v->wire, full);
	for (size_t cap = 0; cap < n; cap++) {
		size_t need;

		assert_int_equal(ocp_encode(&v->msg, pay, buf, cap, &need), -ENOSPC);
		assert_int_equal(need, n);
	}
}

/* All of them in one stream, cut at every offset, octet by octet and at random. */
static inline void vectors_in_one_stream(const struct vector *v, size_t count)
{
	struct text in = {0}, want = {0};
	char *e;

	for (size_t i = 0; i < count; i++) {
		say(&in, "%s", v[i].wire);
		say(&want, "%s", v[i].events);
	}
	say(&want, "idle\n");
	e = events_all(in.p, in.len, NULL);
	assert_string_equal(e, want.p);
	free(e);
	for (size_t cut = 1; cut < in.len; cut++) {
		e = events_lim(in.p, in.len, cut_once, &cut, NULL);
		assert_string_equal(e, want.p);
		free(e);
	}
	free(in.p);
	free(want.p);
}

#endif
