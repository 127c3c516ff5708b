/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as one direction of RTSP. First octet: how long heads may be; second: how the stream is cut. Whole, octet by octet
 * and cut otherwise it must be told as the same messages, frames and refusals. Heads that are accepted are written anew
 * and must be read as meant.
 */
#include "app/app_rtsp_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static uint32_t piece_all(void *ctx, uint32_t at, uint32_t left)
{
	return left;
}

static uint32_t piece_one(void *ctx, uint32_t at, uint32_t left)
{
	return 1;
}

static uint32_t piece_seeded(void *ctx, uint32_t at, uint32_t left)
{
	uint32_t *seed = ctx, n;

	*seed = *seed * 1103515245u + 12345u;
	n = 1 + (*seed >> 16) % 37;
	return n < left ? n : left;
}

static void same(const struct rtsp_story *a, struct rtsp_story *b)
{
	expect(a->len == b->len && memcmp(a->text, b->text, a->len) == 0);
	free(b->text);
}

static void check_written(const uint8_t *in, uint32_t len)
{
	struct http1_head *h = malloc(2 * sizeof(*h));
	int n = rtsp_parse_head(&h[0], (const char *)in, len), w;
	uint32_t cap = len + 128;
	char *out = malloc(cap);
	const struct http1_edit edit = {"CSeq", "77", 2};
	uint32_t cseq;

	if (n > 0) {
		w = http1_write_head(&h[0], HTTP1_FRAME_KEEP, 0, false, out, cap);
		expect(w == n && memcmp(in, out, (uint32_t)n) == 0);
		w = http1_write_head_edited(&h[0], HTTP1_FRAME_LENGTH, 7, false, &edit, 1, out, cap);
		expect(w > 0);
		if (h[0].nfields + 2 <= HTTP1_FIELDS_MAX) {
			expect(rtsp_parse_head(&h[1], out, (uint32_t)w) == w);
			expect(h[1].kind == h[0].kind && h[1].body == HTTP1_BODY_LENGTH && h[1].content_length == 7);
			expect(rtsp_cseq(&h[1], &cseq) && cseq == 77);
		}
	}
	free(out);
	free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rtsp_story whole, cut;
	uint32_t cap, seed;

	if (size < 2)
		return 0;
	cap = data[0] & 1 ? 128 : HTTP1_HEAD_MAX;
	seed = data[1];
	data += 2;
	size -= 2;
	rtsp_tell_stream(&whole, data, (uint32_t)size, cap, piece_all, NULL);
	rtsp_tell_stream(&cut, data, (uint32_t)size, cap, piece_one, NULL);
	same(&whole, &cut);
	rtsp_tell_stream(&cut, data, (uint32_t)size, cap, piece_seeded, &seed);
	same(&whole, &cut);
	free(whole.text);
	check_written(data, (uint32_t)size);
	return 0;
}
