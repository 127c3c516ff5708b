/* SPDX-License-Identifier: BSD-3-Clause */
/* RTSP: messages of both kinds and frames in one stream, in any cutting; what is refused; CSeq; heads written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "app/app_rtsp_test.h"

#define DESCRIBE "DESCRIBE rtsp://a.example:554/s?x=1 RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp\r\n\r\n"
#define SDP "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"

static uint32_t piece_of(void *ctx, uint32_t at, uint32_t left)
{
	uint32_t n = *(uint32_t *)ctx;

	return n < left ? n : left;
}

static char *told(const char *in, size_t len, uint32_t piece)
{
	struct rtsp_story t;

	rtsp_tell_stream(&t, (const uint8_t *)in, (uint32_t)len, HTTP1_HEAD_MAX, piece_of, &piece);
	rtsp_put(&t, "", 1);
	return t.text;
}

/* Frames hold NULs. */
static bool holds(const struct rtsp_story *t, const char *part)
{
	for (size_t i = 0, n = strlen(part); i + n <= t->len; i++) {
		if (memcmp(t->text + i, part, n) == 0)
			return true;
	}
	return false;
}

static void in_any_cutting(void **state)
{
	static const char in[] = "\r\n" DESCRIBE SDP "$\x01\x00\x03" "abc" "$\x00\x00\x00" "RTSP/1.0 100 Continue\r\nCSeq: 9\r\n\r\n"
				 "$\x02\x00\x01$" "RECORD rtsp://a/ RTSP/1.0\r\nCSeq: 3\r\n\r\n"
				 "SET_PARAMETER * RTSP/1.0\r\nCSeq: 4\r\ncontent-length:  3\r\n\r\n$\x01\x00" "\r\n\r\n$\x00\x01\x04";
	static const char want[] =
		"<request 0 0><cseq 2 2>" DESCRIBE "<end 0 82><response 200 5><cseq 2 3>" SDP "<end 5 83>";
	static const char *const later[] = {"<response 100 0><cseq 9 1>", "<request 0 0><cseq 3 1>RECORD", "<request 0 3><cseq 4 2>"};
	uint32_t all = sizeof(in);
	struct rtsp_story whole;

	rtsp_tell_stream(&whole, (const uint8_t *)in, sizeof(in) - 1, HTTP1_HEAD_MAX, piece_of, &all);
	assert_memory_equal(whole.text, want, sizeof(want) - 1);
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		assert_true(holds(&whole, later[i]));
	assert_int_equal(whole.frames, 3);
	for (uint32_t piece = 1; piece < sizeof(in); piece++) {
		struct rtsp_story cut;

		rtsp_tell_stream(&cut, (const uint8_t *)in, sizeof(in) - 1, HTTP1_HEAD_MAX, piece_of, &piece);
		assert_int_equal(cut.len, whole.len);
		assert_memory_equal(cut.text, whole.text, whole.len);
		free(cut.text);
	}
	free(whole.text);
}

static void refused(void **state)
{
	static const struct {
		const char *in;
		enum http1_bad bad;
	} bad[] = {
		{"GET / HTTP/1.1\r\n\r\n", HTTP1_BAD_START_LINE},
		{"HTTP/1.1 200 OK\r\n\r\n", HTTP1_BAD_START_LINE},
		{"OPTIONS * RTSP/1.1\r\n\r\n", HTTP1_BAD_VERSION},
		{"OPTIONS * RTSP/2.0\r\n\r\n", HTTP1_BAD_VERSION},
		{"RTSP/2.0 200 OK\r\n\r\n", HTTP1_BAD_VERSION},
		{"RTSP/1.0 20 OK\r\n\r\n", HTTP1_BAD_START_LINE},
		{"RTSPX/1.0 200 OK\r\n\r\n", HTTP1_BAD_START_LINE},
		{"\x16\x03\x01", HTTP1_BAD_START_LINE},
		{"PLAY rtsp:x RTSP/1.0\r\n\r\n", HTTP1_BAD_START_LINE},
		{"PLAY rtsp://a/ RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP1_BAD_LENGTH_CONFLICT},
		{"PLAY rtsp://a/ RTSP/1.0\r\nContent-Length: -1\r\n\r\n", HTTP1_BAD_LENGTH},
		{"PLAY rtsp://a/ RTSP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_BAD_CODING},
		{"RTSP/1.0 200 OK\r\nTransfer-Encoding: x\r\n\r\n", HTTP1_BAD_CODING},
		{"PLAY rtsp://a/ RTSP/1.0\nCSeq: 1\n\n", HTTP1_BAD_BARE_LF},
		{"PLAY rtsp://a/ RTSP/1.0\r\nCSeq : 1\r\n\r\n", HTTP1_BAD_SPACE_BEFORE_COLON},
		{"PLAY rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n x\r\n\r\n", HTTP1_BAD_OBS_FOLD},
		{"PLAY rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\n", HTTP1_BAD_EOF},
		{"PLAY rtsp://a/ RTSP/1.0\r\nContent-Length: 5\r\n\r\nabc", HTTP1_BAD_EOF},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char want[16];

		snprintf(want, sizeof(want), "<bad %u ", bad[i].bad);
		for (uint32_t piece = 1; piece < 60; piece += 58) {
			char *text = told(bad[i].in, strlen(bad[i].in), piece);

			if (!strstr(text, want))
				fail_msg("%s: %s", bad[i].in, text);
			free(text);
		}
	}
}

/* Bodies by Content-Length alone, and none where the status has none [4.4]. */
static void lengths(void **state)
{
	static const char in[] = "RTSP/1.0 304 Not\r\nContent-Length: 9\r\n\r\nRTSP/1.0 200 OK\r\n\r\nRTSP/1.0 100 C\r\nContent-Length: 1\r\n\r\n"
				 "RTSP/1.0 101 X\r\n\r\n$";
	char *text = told(in, sizeof(in) - 1, 1000);
	unsigned ends = 0;

	for (const char *p = text; (p = strstr(p, "<end 0 ")) != NULL; p++)
		ends++;
	assert_int_equal(ends, 4);
	assert_non_null(strstr(text, "<frames 0 1>"));
	free(text);
}

static void targets(void **state)
{
	static struct http1_head h;
	int n = rtsp_parse_head(&h, DESCRIBE, sizeof(DESCRIBE) - 1);
	uint32_t cseq;

	assert_int_equal(n, sizeof(DESCRIBE) - 1);
	assert_int_equal(h.kind, HTTP1_REQUEST);
	assert_memory_equal(h.buf + h.host.off, "a.example:554", 13);
	assert_memory_equal(h.buf + h.path.off, "/s?x=1", 6);
	assert_int_equal(h.path.len, 6);
	assert_true(rtsp_cseq(&h, &cseq));
	assert_int_equal(cseq, 2);
	assert_true(rtsp_parse_head(&h, "CONNECT * RTSP/1.0\r\n\r\n", 22) > 0);
	assert_false(h.method_connect);
	assert_false(rtsp_cseq(&h, &cseq));
	assert_true(rtsp_parse_head(&h, "PLAY * RTSP/1.0\r\nCSeq: 4294967296\r\n\r\n", 37) > 0);
	assert_false(rtsp_cseq(&h, &cseq));
	assert_true(rtsp_parse_head(&h, "PLAY * RTSP/1.0\r\nCSeq: 4294967295\r\n\r\n", 37) > 0);
	assert_true(rtsp_cseq(&h, &cseq) && cseq == UINT32_MAX);
	assert_int_equal(rtsp_parse_head(&h, "PLAY * RTSP/1.0\r\nCSeq: 1\r\n", 26), 0);
	assert_int_equal(rtsp_parse_head(&h, "PLAY * HTTP/1.0\r\n\r\n", 19), -(int)HTTP1_BAD_START_LINE);
}

static void written(void **state)
{
	static struct http1_head h;
	const struct http1_edit edit = {"CSeq", "7", 1};
	char out[512];
	int n;

	assert_true(rtsp_parse_head(&h, SDP, sizeof(SDP) - 1) > 0);
	n = http1_write_head_edited(&h, HTTP1_FRAME_LENGTH, 12, false, &edit, 1, out, sizeof(out) - 1);
	out[n] = 0;
	assert_string_equal(out, "RTSP/1.0 200 OK\r\nCSeq: 7\r\nContent-Type: application/sdp\r\nContent-Length: 12\r\n\r\n");
	n = http1_write_head(&h, HTTP1_FRAME_KEEP, 0, false, out, sizeof(out));
	assert_memory_equal(out, SDP, (size_t)n);
}

/* A run of frames stops where the next is not wanted, and at what is none. */
static void frames_one_by_one(void **state)
{
	static const uint8_t in[] = "$\x00\x00\x02" "ab" "$\x01\x00\x00" "$\x01\x00\x01" "cRTSP";
	struct rtsp_frames f = {0};

	assert_int_equal(rtsp_frames_step(&f, in, 3, false), 3);
	assert_false(rtsp_frames_between(&f));
	assert_int_equal(rtsp_frames_step(&f, in + 3, sizeof(in) - 4, false), 3);
	assert_true(rtsp_frames_between(&f));
	assert_int_equal(rtsp_frames_step(&f, in + 6, sizeof(in) - 7, false), 4);
	assert_int_equal(rtsp_frames_step(&f, in + 10, sizeof(in) - 11, true), 5);
	assert_int_equal(rtsp_frames_step(&f, in + 15, sizeof(in) - 16, true), 0);
	assert_int_equal(f.frames, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_any_cutting), cmocka_unit_test(refused), cmocka_unit_test(lengths), cmocka_unit_test(targets),
		cmocka_unit_test(written), cmocka_unit_test(frames_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
