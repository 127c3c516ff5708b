/* SPDX-License-Identifier: BSD-3-Clause */
/* For the unit test and the fuzz target: what a stream of RTSP is told as, however it is cut. */
#ifndef APP_RTSP_TEST_H
#define APP_RTSP_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/app_rtsp.h"

/* The stream as text: messages with their kind, lengths and octets, frames by octet, and what was refused where. Pieces and
 * NEED_MORE leave no mark in it. */
struct rtsp_story {
	char *text;
	size_t len, cap;
	uint64_t frames;
};

static inline void rtsp_put(struct rtsp_story *t, const void *s, size_t n)
{
	if (t->len + n > t->cap) {
		t->cap = 2 * (t->len + n) + 256;
		t->text = realloc(t->text, t->cap);
	}
	if (n)
		memcpy(t->text + t->len, s, n);
	t->len += n;
}

static inline void rtsp_tell(struct rtsp_story *t, const char *what, uint64_t a, uint64_t b)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "<%s %llu %llu>", what, (unsigned long long)a, (unsigned long long)b);

	rtsp_put(t, line, (size_t)n);
}

/* One event of a message; false: the stream cannot be read on. */
static inline bool rtsp_message_event(struct http1 *p, const struct http1_event *ev, const uint8_t *in, struct rtsp_story *t)
{
	uint32_t cseq = 0;
	bool known;

	switch (ev->type) {
	case HTTP1_HEAD:
		rtsp_tell(t, p->head.kind == HTTP1_RESPONSE ? "response" : "request", p->head.status, p->head.content_length);
		known = rtsp_cseq(&p->head, &cseq);
		rtsp_tell(t, known ? "cseq" : "no-cseq", known ? cseq : 0, p->head.nfields);
		rtsp_put(t, p->head.buf, p->head.len);
		return true;
	case HTTP1_BODY:
		rtsp_put(t, in, ev->len);
		return true;
	case HTTP1_END:
		rtsp_tell(t, "end", p->body_octets, p->msg_octets);
		return true;
	case HTTP1_BAD:
		rtsp_tell(t, "bad", p->bad, p->bad_offset);
		return false;
	case HTTP1_TRAILER:
	case HTTP1_TUNNEL:
		abort(); /* RTSP has neither */
	default:
		return true;
	}
}

/* piece: octets of the next piece of at most left. */
static inline void rtsp_tell_stream(struct rtsp_story *t, const uint8_t *in, uint32_t len, uint32_t head_cap,
				    uint32_t (*piece)(void *ctx, uint32_t at, uint32_t left), void *ctx)
{
	char *head = malloc(head_cap);
	struct rtsp_frames f = {0};
	struct http1_event ev = {0};
	struct http1 p;
	bool good = true;

	*t = (struct rtsp_story){0};
	rtsp_init(&p, head, head_cap);
	for (uint32_t at = 0, n = 0; at < len && good; at += n) {
		uint32_t end;

		n = piece(ctx, at, len - at);
		end = at + n;
		for (uint32_t i = at, k; good && (i < end || ev.type != HTTP1_NEED_MORE); i += k) {
			if (i < end && http1_between(&p) && (!rtsp_frames_between(&f) || rtsp_is_frame(in[i]))) {
				k = rtsp_frames_step(&f, in + i, end - i, (at & 1) != 0);
				rtsp_put(t, in + i, k);
				ev.type = HTTP1_NEED_MORE;
				continue;
			}
			http1_step(&p, in + i, end - i, false, &ev);
			good = rtsp_message_event(&p, &ev, in + i, t);
			k = ev.len;
		}
	}
	if (good && !http1_between(&p)) {
		http1_step(&p, NULL, 0, true, &ev);
		rtsp_message_event(&p, &ev, in, t);
	}
	t->frames = f.frames;
	rtsp_tell(t, "frames", f.frames, f.head);
	free(head);
}

#endif
