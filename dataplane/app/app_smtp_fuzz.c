/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as commands and messages, as replies, as a message for the wire, as a service's answer. First octet: which;
 * second: how the stream is cut. Whole, octet by octet and cut otherwise it must be told as the same. What is put on
 * the wire comes back as it was, in one message, and an answer that is accepted is one reply.
 */
#include "app/app_smtp_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static uint32_t piece_all(void *ctx, uint32_t left)
{
	return left;
}

static uint32_t piece_one(void *ctx, uint32_t left)
{
	return 1;
}

static uint32_t piece_seeded(void *ctx, uint32_t left)
{
	uint32_t *seed = ctx, n;

	*seed = *seed * 1103515245u + 12345u;
	n = 1 + (*seed >> 16) % 37;
	return n < left ? n : left;
}

typedef void (*note_fn)(struct note *n, const uint8_t *in, uint32_t len, piece_fn piece, void *ctx);

static void check_back(const struct note *wire, const uint8_t *data, uint32_t len)
{
	struct note in = {0}, back = {0};
	bool ended = len == 0 || (len >= 2 && data[len - 2] == '\r' && data[len - 1] == '\n');
	uint32_t whole = len + (ended ? 0 : 2);

	note_clear(&in);
	note_put(&in, "DATA\r\n", 6);
	note_put(&in, wire->text, wire->len);
	note_clear(&back);
	note_commands(&back, (const uint8_t *)in.text, (uint32_t)in.len, piece_all, NULL);
	expect(back.len > 11 + whole && !memcmp(back.text + 11, data, len));
	expect(!strcmp(back.text + back.len - 7, "between"));
	expect(!memcmp(back.text + 11 + whole, "END ", 4));
	free(in.text);
	free(back.text);
}

static void check_line(const uint8_t *data, uint32_t len)
{
	struct smtp_span span[3];
	uint32_t args;
	uint64_t n;

	smtp_verb((const char *)data, len, &args);
	expect(args <= len);
	smtp_path((const char *)data, len, args, &span[0], &span[1], &span[2]);
	for (int i = 0; i < 3; i++)
		expect(span[i].off <= len && span[i].len <= len - span[i].off);
	smtp_bdat_size((const char *)data, len, args, &n);
	smtp_begins(data, len);
}

static void check_answer(const uint8_t *data, uint32_t len)
{
	char out[SMTP_ANSWER_MAX], again[SMTP_ANSWER_MAX];
	struct note told = {0};
	unsigned code, code2;
	int n = smtp_answer((const char *)data, len, out, &code);

	if (n < 0)
		return;
	expect(n > 4 && code >= 200 && code < 560);
	expect(smtp_answer(out, (uint32_t)n, again, &code2) == n && code2 == code && !memcmp(out, again, (size_t)n));
	note_clear(&told);
	note_replies(&told, (const uint8_t *)out, (uint32_t)n, piece_all, NULL);
	expect(!strstr(told.text, "\nBAD ") && !strcmp(told.text + told.len - 9, "]\nbetween"));
	free(told.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const note_fn fns[] = {note_commands, note_replies, note_stuffed};
	struct note whole = {0}, cut = {0};
	uint32_t seed, which;

	if (size < 2)
		return 0;
	which = data[0] % 5;
	seed = data[1];
	data += 2;
	size -= 2;
	if (which == 3)
		check_line(data, (uint32_t)size);
	if (which == 4)
		check_answer(data, (uint32_t)size);
	if (which > 2)
		return 0;
	note_clear(&whole);
	fns[which](&whole, data, (uint32_t)size, piece_all, NULL);
	note_clear(&cut);
	fns[which](&cut, data, (uint32_t)size, piece_one, NULL);
	expect(whole.len == cut.len && !memcmp(whole.text, cut.text, cut.len));
	note_clear(&cut);
	fns[which](&cut, data, (uint32_t)size, piece_seeded, &seed);
	expect(whole.len == cut.len && !memcmp(whole.text, cut.text, cut.len));
	if (which == 2)
		check_back(&whole, data, (uint32_t)size);
	free(whole.text);
	free(cut.text);
	return 0;
}
