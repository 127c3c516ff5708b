/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "app/app_http1_priv.h"
#include "app/app_rtsp.h"

#define FRAME_HEAD 4

void rtsp_init(struct http1 *p, char *head_buf, uint32_t head_cap)
{
	http1_init(p, HTTP1_REQUEST, head_buf, head_cap);
	p->proto = HTTP1_PROTO_RTSP;
}

int rtsp_parse_head(struct http1_head *h, const char *buf, uint32_t len)
{
	return http1_parse_head_of(h, HTTP1_PROTO_RTSP, HTTP1_REQUEST, buf, len);
}

bool rtsp_cseq(const struct http1_head *h, uint32_t *cseq)
{
	const struct http1_field *f = http1_find(h, "CSeq");
	uint64_t v = 0;

	for (uint32_t i = 0; f && i < f->value.len; i++) {
		char c = h->buf[f->value.off + i];

		if (!http1_is(c, C_DIGIT) || v > UINT32_MAX / 10)
			return false;
		v = v * 10 + (uint64_t)(c - '0');
	}
	*cseq = (uint32_t)v;
	return f && f->value.len && v <= UINT32_MAX;
}

static void head_octet(struct rtsp_frames *f, uint8_t octet)
{
	if (f->head == 2)
		f->high = octet;
	if (++f->head < FRAME_HEAD)
		return;
	f->left = (uint16_t)(f->high << 8 | octet);
	if (f->left == 0) {
		f->head = 0;
		f->frames++;
	}
}

uint32_t rtsp_frames_step(struct rtsp_frames *f, const uint8_t *in, uint32_t len, bool more)
{
	uint32_t i = 0, n;

	while (i < len) {
		if (f->head == FRAME_HEAD) {
			n = len - i < f->left ? len - i : f->left;
			f->left = (uint16_t)(f->left - n);
			i += n;
			if (f->left)
				break;
			f->head = 0;
			f->frames++;
			if (!more)
				break;
			continue;
		}
		if (f->head == 0 && !rtsp_is_frame(in[i]))
			break;
		head_octet(f, in[i++]);
		if (f->head == 0 && !more)
			break;
	}
	return i;
}
