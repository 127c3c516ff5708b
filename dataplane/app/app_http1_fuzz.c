/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as requests and as responses. First octet: kind and what was asked; second: how the
 * stream is cut. Whole, octet by octet and cut otherwise, it must be told as the same messages,
 * lengths and refusals. Heads that are accepted are written anew and must be read as meant.
 */
#include "app/app_http1_test.h"

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
	uint32_t *seed = ctx;

	*seed = *seed * 1103515245u + 12345u;
	return 1 + (*seed >> 16) % 37;
}

static void check_written(enum http1_kind kind, const uint8_t *in, uint32_t len)
{
	static const uint8_t body[] = {[HTTP1_FRAME_LENGTH] = HTTP1_BODY_LENGTH,
				       [HTTP1_FRAME_CHUNKED] = HTTP1_BODY_CHUNKED,
				       [HTTP1_FRAME_CLOSE] = HTTP1_BODY_CLOSE};
	struct http1_head *h = malloc(2 * sizeof(*h));
	int n = http1_parse_head(&h[0], kind, (const char *)in, len), w;
	uint32_t cap = len + 128 + 4 * HTTP1_FIELDS_MAX; /* rewritten Connection fields may grow a little */
	char *out = malloc(cap);

	for (enum http1_framing f = HTTP1_FRAME_KEEP; n > 0 && f <= HTTP1_FRAME_CLOSE; f++) {
		w = http1_write_head(&h[0], f, 7, f == HTTP1_FRAME_LENGTH, out, cap);
		if (w < 0) {
			expect(kind == HTTP1_REQUEST);
			continue;
		}
		if (h[0].nfields + 2 > HTTP1_FIELDS_MAX)
			continue;
		expect(http1_parse_head(&h[1], kind, out, (uint32_t)w) == w);
		if (f == HTTP1_FRAME_KEEP)
			expect(w == n && memcmp(in, out, (uint32_t)n) == 0);
		else if (f != HTTP1_FRAME_CHUNKED || h[0].minor == 1)
			expect(h[1].body == body[f]);
		if (f == HTTP1_FRAME_LENGTH)
			expect(h[1].content_length == 7 && !h[1].keep_alive);
	}
	free(out);
	free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct note whole, cut;
	struct run r = {0};
	uint32_t seed;

	if (size < 2)
		return 0;
	r.kind = data[0] & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST;
	r.head = data[0] & 2;
	r.connect = data[0] & 4;
	r.upgrade = data[0] & 8;
	r.head_cap = data[0] & 16 ? 128 : 0;
	seed = data[1];
	data += 2;
	size -= 2;
	note_run(&whole, &r, data, (uint32_t)size, piece_all, NULL);
	note_run(&cut, &r, data, (uint32_t)size, piece_one, NULL);
	expect(memcmp(&whole, &cut, sizeof(cut)) == 0);
	note_run(&cut, &r, data, (uint32_t)size, piece_seeded, &seed);
	expect(memcmp(&whole, &cut, sizeof(cut)) == 0);
	check_written(r.kind, data, (uint32_t)size);
	return 0;
}
