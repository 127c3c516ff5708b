/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RTSP framing (RFC 2326): requests and responses in either direction, and binary data interleaved with them (10.12).
 * Messages are read by the HTTP/1 parser of app_http1.h in a variant of it; every function there but http1_expect and
 * http1_set_tunnel is for RTSP as well. Pure, as that is.
 *
 * What differs from HTTP/1:
 *   start line   "RTSP/1.0", of a response if it begins so, else of a request; a target is an absolute URI, "*" or a path
 *   length       Content-Length or nothing; no field with Transfer-Encoding [4.4]
 *   order        a response is not the next thing in its direction but has its request's CSeq [12.17]
 *   Host         not asked for
 * A stream of a direction is messages and frames, in any order, with empty lines between them; the caller looks at the first
 * octet of each: rtsp_is_frame.
 */
#ifndef APP_RTSP_H
#define APP_RTSP_H

#include "app/app_http1.h"

/* As http1_init; the kind of each message is head.kind. */
void rtsp_init(struct http1 *p, char *head_buf, uint32_t head_cap);
/* As http1_parse_head. */
int rtsp_parse_head(struct http1_head *h, const char *buf, uint32_t len);
/* False: no CSeq, or no number. */
bool rtsp_cseq(const struct http1_head *h, uint32_t *cseq);

/* "$", a channel, two octets of length in network order, so many octets. */
struct rtsp_frames {
	uint64_t frames;
	uint16_t left; /* octets of the frame under way */
	uint8_t head;  /* of its four octets, seen */
	uint8_t high;  /* of its length */
};

/* A frame, not a message, begins with this octet. */
static inline bool rtsp_is_frame(uint8_t first)
{
	return first == '$';
}
static inline bool rtsp_frames_between(const struct rtsp_frames *f)
{
	return f->head == 0 && f->left == 0;
}
/* How many of the octets are of the frame under way, or of one that begins with the first of them, and of those that follow it
 * if more. Never 0 with len > 0 unless no frame begins there. */
uint32_t rtsp_frames_step(struct rtsp_frames *f, const uint8_t *in, uint32_t len, bool more);

#endif
