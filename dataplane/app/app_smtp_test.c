/* SPDX-License-Identifier: BSD-3-Clause */
/* SMTP framing: every stream here is cut at every place, and octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/app_smtp_test.h"

static uint32_t one(void *ctx, uint32_t left)
{
	return 1;
}

static uint32_t all(void *ctx, uint32_t left)
{
	return left;
}

/* First ctx octets, then the rest. */
static uint32_t cut_at(void *ctx, uint32_t left)
{
	uint32_t *first = ctx, n = *first;

	*first = 0;
	return n && n < left ? n : left;
}

typedef void (*note_fn)(struct note *n, const uint8_t *in, uint32_t len, piece_fn piece, void *ctx);

/* However in is cut, it is told as want. */
static void told(note_fn fn, const char *in, size_t len, const char *want, size_t want_len)
{
	struct note n = {0};

	note_clear(&n);
	fn(&n, (const uint8_t *)in, (uint32_t)len, all, NULL);
	if (n.len != want_len || memcmp(n.text, want, n.len))
		fail_msg("whole: [%s] instead of [%s]", n.text, want);
	note_clear(&n);
	fn(&n, (const uint8_t *)in, (uint32_t)len, one, NULL);
	if (n.len != want_len || memcmp(n.text, want, n.len))
		fail_msg("octet by octet: [%s] instead of [%s]", n.text, want);
	for (uint32_t cut = 1; cut < len; cut++) {
		uint32_t at = cut;

		note_clear(&n);
		fn(&n, (const uint8_t *)in, (uint32_t)len, cut_at, &at);
		if (n.len != want_len || memcmp(n.text, want, n.len))
			fail_msg("cut at %u: [%s] instead of [%s]", cut, n.text, want);
	}
	free(n.text);
}
#define TOLD(fn, in, want) told(fn, in, sizeof(in) - 1, want, sizeof(want) - 1)

static void commands(void **state)
{
	TOLD(note_commands, "EHLO a.example\r\nmail from:<a@b>\r\n  Rcpt TO:<c>\r\nquit\n",
	     "EHLO[EHLO a.example]\nMAIL[mail from:<a@b>]\nRCPT[  Rcpt TO:<c>]\nQUIT lf[quit]\nbetween");
	TOLD(note_commands, "\r\nDATAX\r\nX-AnonymousTLS\r\nburl x\r\nNO", "command[]\ncommand[DATAX]\nSTARTTLS[X-AnonymousTLS]\n"
	     "BURL[burl x]\nin line");
	/* what strict and lenient servers would read differently */
	TOLD(note_commands, "RCPT TO:<a>\rDATA\r\nNOOP\0\r\nNOOP\r\r\n\r\r\r\n", "RCPT bad[RCPT TO:<a>\rDATA]\nNOOP bad[NOOP\0]\n"
	     "NOOP bad[NOOP\r]\ncommand bad[\r\r]\nbetween");
}

static void long_lines(void **state)
{
	char in[SMTP_LINE_MAX + 600], want[SMTP_LINE_MAX + 64];
	struct note n = {0};

	memset(in, 'x', sizeof(in));
	memcpy(in, "RCPT ", 5);
	memcpy(in + sizeof(in) - 2, "\r\n", 2);
	memcpy(want, "RCPT cut[RCPT ", 14);
	memset(want + 14, 'x', SMTP_LINE_MAX - 5);
	memcpy(want + 9 + SMTP_LINE_MAX, "]\nbetween", 10);
	note_clear(&n);
	note_commands(&n, (const uint8_t *)in, sizeof(in), all, NULL);
	assert_string_equal(n.text, want);
	note_clear(&n);
	note_commands(&n, (const uint8_t *)in, sizeof(in), one, NULL);
	assert_string_equal(n.text, want);
	free(n.text);
}

static void messages(void **state)
{
	TOLD(note_commands, "DATA\r\na\r\nb\r\n.\r\nQUIT\r\n", "DATA[DATA]\na\r\nb\r\nEND 6 odd 0\nQUIT[QUIT]\nbetween");
	TOLD(note_commands, "DATA\r\n.\r\n", "DATA[DATA]\nEND 0 odd 0\nbetween");
	/* stuffed lines: 4.5.2 */
	TOLD(note_commands, "DATA\r\n..\r\n.a\r\n...\r\n.\r\n", "DATA[DATA]\n.\r\na\r\n..\r\nEND 10 odd 0\nbetween");
	/* dots elsewhere */
	TOLD(note_commands, "DATA\r\na.\r\n .\r\n.\r\n", "DATA[DATA]\na.\r\n .\r\nEND 8 odd 0\nbetween");
	/* a CR behind the dot that ends nothing is text */
	TOLD(note_commands, "DATA\r\n.\rx\r\n.\r\r\n.\r\n", "DATA[DATA]\n\rx\r\n\r\r\nEND 7 odd 2\nbetween");
}

/* Nothing but CRLF.CRLF ends a message. */
static void smuggling(void **state)
{
	TOLD(note_commands, "DATA\r\na\n.\nMAIL FROM:<x>\r\n.\r\n", "DATA[DATA]\na\n.\nMAIL FROM:<x>\r\nEND 19 odd 1\nbetween");
	TOLD(note_commands, "DATA\r\na\n.\r\nRSET\r\n.\r\n", "DATA[DATA]\na\n.\r\nRSET\r\nEND 11 odd 1\nbetween");
	TOLD(note_commands, "DATA\r\na\r\n.\nRSET\r\n.\r\n", "DATA[DATA]\na\r\n\nRSET\r\nEND 10 odd 1\nbetween");
	TOLD(note_commands, "DATA\r\na\r\n.\rRSET\r\n.\r\n", "DATA[DATA]\na\r\n\rRSET\r\nEND 10 odd 1\nbetween");
	TOLD(note_commands, "DATA\r\na\r.\r\n.\r\n", "DATA[DATA]\na\r.\r\nEND 5 odd 0\nbetween");
	TOLD(note_commands, "DATA\r\na\r\n.\r", "DATA[DATA]\na\r\nin message");
	TOLD(note_commands, "DATA\r\n\n.\n", "DATA[DATA]\n\n.\nin message");
}

static void replies(void **state)
{
	TOLD(note_replies, "220 hi\r\n250-a\r\n250-b\r\n250 c\r\n354\r\n", "220 first last[220 hi]\n250 first[250-a]\n250[250-b]\n"
	     "250 last[250 c]\n354 first last[354]\nbetween");
	TOLD(note_replies, "250 a\r\r\n250 b\rc\n", "250 first last[250 a\r]\n250 first last lf[250 b\rc]\nbetween");
	TOLD(note_replies, "250-a\r\n250-CHUNKING\r\n250-starttls\r\n250 SIZE 10\r\n", "250 first[250-a]\n250 hidden tls[250-CHUNKING]\n"
	     "250 tls[250-starttls]\n250 last[250 SIZE 10]\nbetween");
	TOLD(note_replies, "250-a\r\n251 b\r\n", "250 first[250-a]\nBAD in reply");
	TOLD(note_replies, "HTTP/1.1 200", "BAD in reply");
	TOLD(note_replies, "2a0", "BAD in reply");
	TOLD(note_replies, "250+x", "BAD in reply");
	TOLD(note_replies, "25\r\n", "BAD in reply");
	TOLD(note_replies, "\r\n", "BAD in reply");
	TOLD(note_replies, "150 x", "BAD in reply");
	TOLD(note_replies, "250-a\r\n", "250 first[250-a]\nin reply");
}

static void stuffing(void **state)
{
	TOLD(note_stuffed, "", ".\r\n");
	TOLD(note_stuffed, "a\r\n", "a\r\n.\r\n");
	TOLD(note_stuffed, "a", "a\r\n.\r\n");
	TOLD(note_stuffed, "a\r", "a\r\r\n.\r\n");
	TOLD(note_stuffed, "a\n", "a\n\r\n.\r\n");
	TOLD(note_stuffed, ".", "..\r\n.\r\n");
	TOLD(note_stuffed, ".\r\n..\r\n...", "..\r\n...\r\n....\r\n.\r\n");
	TOLD(note_stuffed, "a\n.\nb\r.\rc\r\n", "a\n.\nb\r.\rc\r\n.\r\n");
	TOLD(note_stuffed, "\r\n.\r\n\r\n.\r\n", "\r\n..\r\n\r\n..\r\n.\r\n");
}

/* Every text of a small alphabet: what goes out comes in again as it was, with a CRLF at its end, in one message. */
static void there_and_back(void **state)
{
	static const char alphabet[] = ".\r\nx";
	struct note out = {0}, in = {0};
	char text[9], want[64];

	for (uint32_t number = 0; number < 4 * 4 * 4 * 4 * 4 * 4 * 4; number++) {
		uint32_t len = 0;

		for (uint32_t k = number | 1u << 14; k > 1; k >>= 2)
			text[len++] = alphabet[k & 3];
		note_clear(&out);
		note_put(&out, "DATA\n", 5);
		note_stuffed(&out, (const uint8_t *)text, len, one, NULL);
		note_clear(&in);
		note_commands(&in, (const uint8_t *)out.text, (uint32_t)out.len, all, NULL);
		bool ended = len >= 2 && !memcmp(text + len - 2, "\r\n", 2);
		int n = snprintf(want, sizeof(want), "DATA lf[DATA]\n%.*s%sEND %u ", (int)len, text, ended ? "" : "\r\n",
				 len + (ended ? 0 : 2));

		if (in.len < (size_t)n || memcmp(in.text, want, (size_t)n) || !strstr(in.text, "\nbetween"))
			fail_msg("[%.*s]: [%s]", (int)len, text, in.text);
	}
	free(out.text);
	free(in.text);
}

static void paths(void **state)
{
	static const struct {
		const char *line, *path, *address, *params;
	} cases[] = {
		{"MAIL FROM:<a@b.example>", "<a@b.example>", "a@b.example", ""},
		{"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME", "<a@b>", "a@b", "SIZE=10 BODY=8BITMIME"},
		{"MAIL FROM:<>", "<>", "", ""},
		{"mail from : < a@b > X=1 ", "< a@b >", "a@b", "X=1"},
		{"MAIL FROM: a@b SIZE=1", "a@b", "a@b", "SIZE=1"},
		{"RCPT TO:<@one,@two:a@b>", "<@one,@two:a@b>", "a@b", ""},
		{"RCPT TO:<\"a> b\"@c> NOTIFY=NEVER", "<\"a> b\"@c>", "\"a> b\"@c", "NOTIFY=NEVER"},
		{"RCPT TO:<\"a\\\"> b\"@c>", "<\"a\\\"> b\"@c>", "\"a\\\"> b\"@c", ""},
		{"RCPT TO:<Postmaster>", "<Postmaster>", "Postmaster", ""},
		{"RCPT <a@b>", "<a@b>", "a@b", ""},
		{"RCPT a@b", "a@b", "a@b", ""},
		{"RCPT TO:<a@b", "<a@b", "<a@b", ""},
		{"RCPT TO:", "", "", ""},
		{"RCPT", "", "", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *l = cases[i].line;
		struct smtp_span path, address, params;
		uint32_t len = (uint32_t)strlen(l), args;

		smtp_verb(l, len, &args);
		smtp_path(l, len, args, &path, &address, &params);
		assert_true(path.off + path.len <= len && address.off + address.len <= len && params.off + params.len <= len);
		if (path.len != strlen(cases[i].path) || memcmp(l + path.off, cases[i].path, path.len) ||
		    address.len != strlen(cases[i].address) || memcmp(l + address.off, cases[i].address, address.len) ||
		    params.len != strlen(cases[i].params) || memcmp(l + params.off, cases[i].params, params.len))
			fail_msg("%s: [%.*s] [%.*s] [%.*s]", l, (int)path.len, l + path.off, (int)address.len, l + address.off,
				 (int)params.len, l + params.off);
	}
}

static void answers(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
		unsigned code;
	} cases[] = {
		{"550 5.7.1 no\r\n", "550 5.7.1 no\r\n", 550},
		{"550 5.7.1 no", "550 5.7.1 no\r\n", 550},
		{"451\n", "451\r\n", 451},
		{"550-a\n550 b\n", "550-a\r\n550 b\r\n", 550},
		{"250 fine\r\n", "250 fine\r\n", 250},
		{"", NULL, 0},
		{"354 go\r\n", NULL, 0},
		{"570 x\r\n", NULL, 0},
		{"550-a\r\n", NULL, 0},
		{"550-a\r\n551 b\r\n", NULL, 0},
		{"550 a\r\n250 b\r\n", NULL, 0},
		{"550 a\r\n\r\n", NULL, 0},
		{"550 a\rb\r\n", NULL, 0},
		{"550 a\tb\r\n", NULL, 0},
		{"5500\r\n", NULL, 0},
		{"HTTP/1.1 403 Forbidden\r\n", NULL, 0},
	};
	char out[SMTP_ANSWER_MAX], big[SMTP_ANSWER_MAX + 8];
	unsigned code;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int n = smtp_answer(cases[i].in, (uint32_t)strlen(cases[i].in), out, &code);

		if (cases[i].out ? n != (int)strlen(cases[i].out) || memcmp(out, cases[i].out, (size_t)n) || code != cases[i].code
				 : n != -1)
			fail_msg("%s: %d", cases[i].in, n);
	}
	memset(big, 'x', sizeof(big));
	memcpy(big, "550 ", 4);
	assert_int_equal(smtp_answer(big, 511, out, &code), -1);
	assert_int_equal(smtp_answer(big, 510, out, &code), 512);
	for (uint32_t at = 0; at + 8 <= sizeof(big); at += 8)
		memcpy(big + at, "550-xx\r\n", 8);
	memcpy(big + sizeof(big) - 8, "550 xx\r\n", 8);
	assert_int_equal(smtp_answer(big, sizeof(big), out, &code), -1);
	assert_int_equal(smtp_answer(big + 8, sizeof(big) - 8, out, &code), SMTP_ANSWER_MAX);
}

static void first_octets(void **state)
{
	assert_true(smtp_begins((const uint8_t *)"EHLO x", 6));
	assert_true(smtp_begins((const uint8_t *)"he", 2));
	assert_true(smtp_begins((const uint8_t *)"QUIT", 4));
	assert_false(smtp_begins((const uint8_t *)"GET / HTTP/1.1", 14));
	assert_false(smtp_begins((const uint8_t *)"POST", 4));
	assert_false(smtp_begins((const uint8_t *)"\x16\x03\x01", 3));
	assert_false(smtp_begins((const uint8_t *)"LHLO", 4));
}

static void bdat(void **state)
{
	static const struct {
		const char *line;
		bool ok;
		uint64_t size;
	} cases[] = {{"BDAT 10", true, 10}, {"BDAT 0 LAST", true, 0}, {"BDAT", false, 0}, {"BDAT x", false, 0}, {"BDAT 1x", false, 0},
		     {"BDAT 99999999999999999999999", false, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t len = (uint32_t)strlen(cases[i].line), args;
		uint64_t size;

		assert_int_equal(smtp_verb(cases[i].line, len, &args), SMTP_BDAT);
		assert_int_equal(smtp_bdat_size(cases[i].line, len, args, &size), cases[i].ok);
		if (cases[i].ok)
			assert_int_equal(size, cases[i].size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands), cmocka_unit_test(long_lines), cmocka_unit_test(messages), cmocka_unit_test(smuggling),
		cmocka_unit_test(replies), cmocka_unit_test(stuffing), cmocka_unit_test(there_and_back), cmocka_unit_test(paths),
		cmocka_unit_test(answers), cmocka_unit_test(first_octets), cmocka_unit_test(bdat),
	};

	return cmocka_run_group_tests_name("app_smtp", tests, NULL, NULL);
}
