/* SPDX-License-Identifier: BSD-3-Clause */
/* HTTP/1 framing of a stream that comes whole, in segments, or octet by octet. */
#include <stdio.h>
#include <string.h>
#include "app/app_http1.h"
#include "micro.h"

#define BODY 16384u
#define CHUNK 4096u
#define MESSAGES 4u /* in the stream */

#define FIELDS                                                                                     \
	"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: origin/1.0\r\nContent-Type: text/html; "   \
	"charset=utf-8\r\n"                                                                        \
	"Cache-Control: max-age=3600, public\r\nETag: \"5d8c72a5edda8\"\r\nVary: "                 \
	"Accept-Encoding\r\n"
#define REQUEST                                                                                    \
	"GET /articles/2024/index.html?page=2 HTTP/1.1\r\nHost: www.example.com\r\n"               \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\n"                           \
	"Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" \
	"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nCookie: "                     \
	"session=0123456789abcdef\r\n\r\n"

enum shape { SHAPE_REQUEST, SHAPE_LENGTH, SHAPE_CHUNKED };

struct stream {
	enum shape shape;
	uint32_t len;
	uint8_t octets[MESSAGES * (BODY + 1024)];
};

/* What was seen of a stream. */
struct seen {
	uint64_t heads, body, ends, octets;
	bool wrong;
};

static void add(struct stream *s, const void *p, size_t n)
{
	memcpy(s->octets + s->len, p, n);
	s->len += (uint32_t)n;
}

static void body_chunked(struct stream *s)
{
	char line[HTTP1_CHUNK_SIZE_TEXT];

	for (uint32_t at = 0; at < BODY; at += CHUNK) {
		add(s, line, http1_write_chunk_size(line, CHUNK));
		for (uint32_t i = 0; i < CHUNK; i += 1024)
			add(s, micro_pattern(at + i), 1024);
		add(s, "\r\n", 2);
	}
	add(s, "0\r\n\r\n", 5);
}

static void stream_make(struct stream *s, enum shape shape)
{
	char head[512];

	s->shape = shape;
	s->len = 0;
	for (unsigned i = 0; i < MESSAGES; i++) {
		if (shape == SHAPE_REQUEST) {
			add(s, REQUEST, strlen(REQUEST));
		} else if (shape == SHAPE_LENGTH) {
			add(s, head,
			    (size_t)snprintf(head, sizeof(head),
					     "HTTP/1.1 200 OK\r\n" FIELDS
					     "Content-Length: %u\r\n\r\n",
					     BODY));
			for (uint32_t at = 0; at < BODY; at += 1024)
				add(s, micro_pattern(at), 1024);
		} else {
			add(s, head,
			    (size_t)snprintf(head, sizeof(head),
					     "HTTP/1.1 200 OK\r\n" FIELDS
					     "Transfer-Encoding: chunked\r\n\r\n"));
			body_chunked(s);
		}
	}
}

/* A piece of the stream goes through the framer. check: the body is looked at, too. */
static void piece(struct http1 *p, const uint8_t *in, uint32_t len, struct seen *seen, bool check)
{
	struct http1_event ev;
	uint32_t done = 0;

	do {
		if (p->kind == HTTP1_RESPONSE && http1_between(p) && !p->req_known)
			http1_expect(p, false, false, false);
		http1_step(p, in + done, len - done, false, &ev);
		if (check && ev.type == HTTP1_BODY) {
			for (uint32_t i = 0; i < ev.len; i++)
				seen->wrong |=
					in[done + i] != micro_pattern((seen->body + i) % BODY)[0];
		}
		done += ev.len;
		seen->heads += ev.type == HTTP1_HEAD;
		seen->body += ev.type == HTTP1_BODY ? ev.len : 0;
		seen->ends += ev.type == HTTP1_END;
	} while (ev.type != HTTP1_BAD && (ev.type != HTTP1_NEED_MORE || done < len));
	seen->octets += done;
}

static void through(struct http1 *p, const struct stream *s, uint32_t cut, struct seen *seen,
		    bool check)
{
	for (uint32_t at = 0; at < s->len; at += cut)
		piece(p, s->octets + at, s->len - at < cut ? s->len - at : cut, seen, check);
}

static bool seen_right(const struct stream *s, const struct seen *seen, uint64_t rounds)
{
	uint64_t body = s->shape == SHAPE_REQUEST ? 0 : BODY;

	return !seen->wrong && seen->heads == rounds * MESSAGES &&
	       seen->ends == rounds * MESSAGES && seen->body == rounds * MESSAGES * body &&
	       seen->octets == rounds * s->len;
}

static void framing(struct bench *b, enum shape shape)
{
	static struct stream s;
	static char head_buf[HTTP1_HEAD_MAX];
	uint32_t cut = (uint32_t)bench_arg(b, 0);
	struct seen seen = {0}, looked = {0};
	struct http1 p;

	stream_make(&s, shape);
	http1_init(&p, shape == SHAPE_REQUEST ? HTTP1_REQUEST : HTTP1_RESPONSE, head_buf,
		   sizeof(head_buf));
	through(&p, &s, cut ? cut : s.len, &looked, true);
	if (!seen_right(&s, &looked, 1))
		bench_fail(b, "the framer reads the stream wrongly: %s", http1_bad_text(p.bad));
	while (bench_batch(b, MESSAGES))
		through(&p, &s, cut ? cut : s.len, &seen, false);
	if (!seen_right(&s, &seen, bench_iterations(b) / MESSAGES))
		bench_fail(b, "%lu heads and %lu octets of body were found",
			   (unsigned long)seen.heads, (unsigned long)seen.body);
	bench_bytes(b, bench_iterations(b) / MESSAGES * s.len);
}

static void request(struct bench *b)
{
	framing(b, SHAPE_REQUEST);
}

static void length(struct bench *b)
{
	framing(b, SHAPE_LENGTH);
}

static void chunked(struct bench *b)
{
	framing(b, SHAPE_CHUNKED);
}

/* A head that is written anew with another length. */
static void write_head(struct bench *b)
{
	static struct http1_head h, again;
	char out[1024];
	int len = http1_parse_head(
		&h, HTTP1_RESPONSE, "HTTP/1.1 200 OK\r\n" FIELDS "Content-Length: 9\r\n\r\n",
		(uint32_t)strlen("HTTP/1.1 200 OK\r\n" FIELDS "Content-Length: 9\r\n\r\n"));
	uint64_t octets = 0, written = 0;

	if (len <= 0)
		bench_fail(b, "the head is not read");
	while (bench_batch(b, MICRO_BURST)) {
		for (unsigned i = 0; i < MICRO_BURST; i++) {
			len = http1_write_head(&h, HTTP1_FRAME_LENGTH, 100000 + i, false, out,
					       sizeof(out));
			octets += (uint64_t)len;
		}
	}
	written = (uint64_t)len * bench_iterations(b);
	if (len <= 0 || octets != written ||
	    http1_parse_head(&again, HTTP1_RESPONSE, out, (uint32_t)len) != len ||
	    again.content_length != 100000 + MICRO_BURST - 1 || again.nfields != h.nfields)
		bench_fail(b, "the head written is not the one meant");
	bench_bytes(b, octets);
}

void micro_http1(void)
{
	static const int64_t cuts[][BENCH_ARGS_MAX] = {{0}, {MICRO_SEGMENT}, {1}}; /* 0: whole */
	static const struct bench_def defs[] = {
		{.name = "http1/request", .fn = request, .arg = {"cut"}, MICRO_SETS(cuts)},
		{.name = "http1/length_16K", .fn = length, .arg = {"cut"}, MICRO_SETS(cuts)},
		{.name = "http1/chunked_16K", .fn = chunked, .arg = {"cut"}, MICRO_SETS(cuts)},
		{.name = "http1/write_head", .fn = write_head},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
