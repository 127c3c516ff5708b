/* SPDX-License-Identifier: BSD-3-Clause */
/* SMTP between two TCP ends and a played service: who is told what and when, and that never half a mail is delivered. */
#include "session_smtp.h"
#include "session_test_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADAPT(name, match, more) \
	"  - {name: " name ", match: {protocol: smtp" match "}, action: adapt, service: s" more "}\n"
static const char rules[] =
	"  - {name: pass, match: {protocol: smtp, sender: pass@a}, action: bypass}\n"
	"  - {name: block, match: {protocol: smtp, recipient: {suffix: \"@block\"}}, action: block}\n"
	"  - {name: watch, match: {protocol: smtp, sender: watch@a}, action: observe, service: s}\n"
	"  - {name: tunnel, match: {protocol: smtp, sender: tunnel@a}, action: tunnel}\n"
	ADAPT("closed", ", sender: closed@a", ", on-failure: closed")
	ADAPT("answer", ", sender: answer@a", ", on-failure: answer, answer: 550")
	ADAPT("open", "", ", on-failure: open");
static const char strip_rules[] = ADAPT("open", "", ", on-failure: {default: open, framing: closed}, starttls: strip");

static const char odd_rules[] =
	"  - {name: watch, match: {protocol: smtp, sender: watch@a}, action: observe, service: s, odd-ends: refuse}\n"
	ADAPT("open", "", ", on-failure: open, odd-ends: refuse");
static const char trace_rules[] =
	"  - {name: block, match: {protocol: smtp, sender: block@a}, action: block}\n" ADAPT("open", "", ", on-failure: open")
	"opes: {system-uri: \"http://opes.example/system/of/the/test/with/a/name/that/is/long\", via: always}\n";

#define END "354 End data with <CR><LF>.<CR><LF>\r\n"
#define assert_got(side, text) assert_string_equal(world_got(side), text)

static void client(const char *text)
{
	world_send(0, text, (uint32_t)strlen(text));
	world_settle();
}

static void server(const char *text)
{
	world_send(1, text, (uint32_t)strlen(text));
	world_settle();
}

/* What one end says comes to the other as it is. */
static void c2s(const char *text)
{
	client(text);
	assert_got(1, text);
}

static void s2c(const char *text)
{
	server(text);
	assert_got(0, text);
}

static void service(void (*say)(void))
{
	say();
	world_settle();
}

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.rules = 0;
	world.split = 0;
	world.loss = 0;
	world.no_room = false;
	world_open();
	return 0;
}

static int done(void **state)
{
	world_close();
	return 0;
}

static void hello(void)
{
	s2c("220 mx ESMTP\r\n");
	c2s("EHLO a.example\r\n");
	s2c("250-mx\r\n250 SIZE 1000\r\n");
}

/* An envelope, accepted. */
static void envelope(const char *from)
{
	char line[128];

	snprintf(line, sizeof(line), "MAIL FROM:<%s> SIZE=100\r\n", from);
	c2s(line);
	s2c("250 ok\r\n");
	c2s("RCPT TO:<R@b> NOTIFY=NEVER\r\n");
	s2c("250 ok\r\n");
}

/* To the point where the service has the message. */
static void submit(const char *from, const char *message)
{
	hello();
	envelope(from);
	client("DATA\r\n");
	assert_got(0, END);
	assert_got(1, "");
	client(message);
}

static void still_usable(void)
{
	c2s("NOOP\r\n");
	s2c("250 ok\r\n");
	assert_int_equal(world.s->smtp->pending_n, 0);
}

/* --- the way of a mail --------------------------------------------------------------------------------------------- */

static void test_mail(void **state)
{
	uint64_t delivered = world_count(STATS_smtp_delivered);

	submit("S@a", "Subject: x\r\n\r\n..dot\r\n.\r\n");
	assert_string_equal(world.txn[0].text, "Subject: x\r\n\r\n.dot\r\n");
	assert_non_null(strstr(world.txn[0].meta, "Protocol: SMTP\r\nKind: request\r\n"));
	assert_non_null(strstr(world.txn[0].meta, "Rule: open\r\nHelo: a.example\r\nMail-From: <S@a> SIZE=100\r\nRecipients: 1\r\n"
						  "Rcpt-To: <R@b> NOTIFY=NEVER\r\n"));
	assert_got(1, "DATA\r\n");
	s2c("");
	server("354 go\r\n");
	assert_got(0, "");
	assert_got(1, "Subject: x\r\n\r\n..dot\r\n.\r\n");
	s2c("250 2.0.0 queued\r\n");
	assert_int_equal(world_count(STATS_smtp_delivered), delivered + 1);
	still_usable();
}

/* Several on one connection, the next one's commands right behind the end. */
static void test_pipelined(void **state)
{
	hello();
	client("MAIL FROM:<s@a>\r\nRCPT TO:<r@b>\r\nRCPT TO:<no@b>\r\nDATA\r\n");
	assert_got(1, "MAIL FROM:<s@a>\r\nRCPT TO:<r@b>\r\nRCPT TO:<no@b>\r\n");
	assert_got(0, "");
	server("250 ok\r\n250 ok\r\n");
	assert_got(0, "250 ok\r\n250 ok\r\n");
	server("550 no\r\n");
	assert_got(0, "550 no\r\n" END);
	client("one\r\n.\r\nMAIL FROM:<t@a>\r\nRCPT TO:<u@b>\r\nDATA\r\n");
	assert_null(strstr(world.txn[0].meta, "no@b"));
	assert_non_null(strstr(world.txn[0].meta, "Recipients: 1\r\n"));
	server("354 go\r\n");
	assert_got(1, "DATA\r\none\r\n.\r\n");
	server("250 queued\r\n");
	assert_got(0, "250 queued\r\n");
	assert_got(1, "MAIL FROM:<t@a>\r\nRCPT TO:<u@b>\r\n");
	server("250 ok\r\n250 ok\r\n");
	assert_got(0, "250 ok\r\n250 ok\r\n" END);
	client("two\r\n.\r\nQUIT\r\n");
	assert_non_null(strstr(world.txn[1].meta, "Mail-From: <t@a>\r\nRecipients: 1\r\nRcpt-To: <u@b>\r\n"));
	server("354 go\r\n");
	server("250 queued\r\n");
	assert_got(1, "DATA\r\ntwo\r\n.\r\nQUIT\r\n");
	server("221 bye\r\n");
	assert_got(0, "250 queued\r\n221 bye\r\n");
	world_fin(1);
	world_settle();
	assert_true(world.end[0].fin);
	world_fin(0);
	world_settle();
	assert_true(session_is_record(world.s)); /* which waits; its state is free again */
	assert_null(session_record_of(world.s)->smtp);
}

/* Octet by octet, dots at every place, CRs and LFs alone: what the service returns as it is comes out as it was sent. */
static void test_octet_by_octet(void **state)
{
	static const char *const messages[] = {
		".\r\n", "..\r\n.\r\n", "...\r\n..\r\n.\r\n", "a\r\n..\r\n\r\n..b\r\n.\r\n", "a\n.\nb\r.\rc\r\n.\r\n", "\r\n\r\n..\r\n.\r\n",
		"a\r\r\n..\r\r\n.\r\n"};

	hello();
	for (size_t i = 0; i < RTE_DIM(messages); i++) {
		char want[128];

		envelope("s@a");
		client("DATA\r\n");
		assert_got(0, END);
		for (const char *p = messages[i]; *p; p++) {
			world_send(0, p, 1);
			world_round();
		}
		world_settle();
		server("354 go\r\n");
		snprintf(want, sizeof(want), "DATA\r\n%s", messages[i]);
		assert_got(1, want);
		s2c("250 queued\r\n");
	}
	assert_true(world_count(STATS_smtp_odd_end) > 0);
}

static void returns_other(void)
{
	world_am_start(0, 2, -1, false);
	world_data(0, 2, ".a\r\n.");
	world_data(0, 2, "b\r");
	world_data(0, 2, "\n");
	world_data(0, 2, ".\r\nend");
	world_am_end(0, 2, true);
	world_ended(0);
}

static void test_replaced(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "ori");
	service(returns_other);
	assert_got(1, "DATA\r\n");
	server("354 go\r\n");
	assert_got(1, "..a\r\n..b\r\n..\r\nend"); /* INV-SMTP-1: the client's end has not come */
	client("ginal\r\n.\r\n");
	assert_got(1, "\r\n.\r\n");
	s2c("250 queued\r\n");
	still_usable();
}

static void returns_empty(void)
{
	world_am_start(0, 2, 0, false);
	world_am_end(0, 2, true);
	world_ended(0);
}

static void test_empty(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "x\r\n.\r\n");
	service(returns_empty);
	server("354 go\r\n");
	assert_got(1, "DATA\r\n.\r\n");
	s2c("250 queued\r\n");
}

/* One message goes out, whatever else the service sends. */
static void returns_two(void)
{
	returns_empty();
	world_am_start(0, 4, -1, false);
	world_data(0, 4, "second\r\n");
	world_am_end(0, 4, true);
}

static void test_one_only(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "x\r\n.\r\n");
	service(returns_two);
	server("354 go\r\n");
	assert_got(1, "DATA\r\n.\r\n");
}

/* --- refusals ------------------------------------------------------------------------------------------------------- */

static const char *answer_text;
static void answers(void)
{
	world_am_start(0, 2, -1, true);
	world_data(0, 2, answer_text);
	world_am_end(0, 2, true);
	world_ended(0);
}

static void answered(const char *answer, const char *reply, bool before_end)
{
	world.service = SERVICE_MANUAL;
	answer_text = answer;
	submit("s@a", before_end ? "x" : "x\r\n.\r\n");
	service(answers);
	if (before_end) {
		assert_got(0, ""); /* INV-SMTP-2 */
		client("y\r\n.\r\n");
	}
	assert_got(0, reply);
	assert_got(1, "RSET\r\n"); /* INV-SMTP-3 */
	client("MAIL FROM:<t@a>\r\n");
	assert_got(1, "");
	server("250 flushed\r\n");
	assert_got(0, "");
	assert_got(1, "MAIL FROM:<t@a>\r\n");
	s2c("250 ok\r\n");
}

static void test_rejected(void **state)
{
	uint64_t n = world_count(STATS_smtp_rejected);

	answered("550-5.7.1 not\n550 5.7.1 this", "550-5.7.1 not\r\n550 5.7.1 this\r\n", false);
	assert_int_equal(world_count(STATS_smtp_rejected), n + 1);
}

static void test_rejected_early(void **state)
{
	answered("451 4.7.1 later\r\n", "451 4.7.1 later\r\n", true);
}

static void test_accepted_and_dropped(void **state)
{
	uint64_t n = world_count(STATS_smtp_discarded);

	answered("250 2.0.0 thank you\r\n", "250 2.0.0 thank you\r\n", false);
	assert_int_equal(world_count(STATS_smtp_discarded), n + 1);
}

static void test_answer_no_reply(void **state)
{
	answered("HTTP/1.1 403 Forbidden\r\n\r\n", "451 4.3.0 The mail could not be examined, try again later\r\n", false);
}

static void gives_none(void)
{
	world_ended(0);
}

static void test_discarded(void **state)
{
	uint64_t n = world_count(STATS_smtp_discarded);

	world.service = SERVICE_MANUAL;
	submit("s@a", "x\r\n.\r\n");
	service(gives_none);
	assert_got(0, "250 2.0.0 Ok\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	assert_got(0, "");
	assert_int_equal(world_count(STATS_smtp_discarded), n + 1);
	still_usable();
}

static void test_server_refuses_data(void **state)
{
	submit("s@a", "x\r\ny");
	assert_got(1, "DATA\r\n");
	server("554-5.7.0 no\r\n554 5.7.0 thanks\r\n");
	assert_got(0, "");
	client("z\r\n.\r\n");
	assert_got(0, "554-5.7.0 no\r\n554 5.7.0 thanks\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	still_usable();
}

static void test_server_refuses_mail(void **state)
{
	submit("s@a", "x\r\n.\r\n");
	server("354 go\r\n");
	assert_got(1, "DATA\r\nx\r\n.\r\n");
	s2c("552 5.3.4 too large\r\n");
	assert_got(1, "");
	still_usable();
}

static void test_no_recipient(void **state)
{
	hello();
	c2s("MAIL FROM:<s@a>\r\n");
	s2c("250 ok\r\n");
	c2s("RCPT TO:<r@b>\r\n");
	s2c("550 no\r\n");
	c2s("DATA\r\n");
	s2c("554 no valid recipients\r\n");
	assert_int_equal(world.txns, 0);
	still_usable();
}

static void test_block(void **state)
{
	hello();
	c2s("MAIL FROM:<s@a>\r\n");
	s2c("250 ok\r\n");
	c2s("RCPT TO:<x@B.example>\r\nRCPT TO:<y@BLOCK>\r\n");
	s2c("250 ok\r\n250 ok\r\n");
	client("DATA\r\n");
	assert_got(0, "550 5.7.1 Blocked by a rule of this network\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	assert_got(0, "");
	still_usable();
}

/* The envelope that counts is the one the server has: nothing of one it has refused or forgotten. */
static void test_envelope(void **state)
{
	hello();
	c2s("MAIL FROM:<s@a>\r\nRCPT TO:<y@block>\r\n");
	s2c("250 ok\r\n250 ok\r\n");
	c2s("RSET\r\n");
	s2c("250 ok\r\n");
	c2s("MAIL FROM:<bad@a>\r\n");
	s2c("550 no\r\n");
	c2s("MAIL FROM:<S@a>\r\nRCPT TO:<z@block>\r\nRCPT TO:<r@b>\r\n");
	s2c("250 ok\r\n550 no\r\n250 ok\r\n");
	c2s("MAIL FROM:<nested@a>\r\n");
	s2c("503 nested\r\n");
	client("DATA\r\n");
	assert_got(0, END);
	client(".\r\n");
	assert_non_null(strstr(world.txn[0].meta, "Mail-From: <S@a>\r\nRecipients: 1\r\nRcpt-To: <r@b>\r\n"));
}

static void test_many_recipients(void **state)
{
	char line[64], want[64];
	uint64_t omitted = world_count(STATS_smtp_rcpt_omitted);
	unsigned n, listed = 0;

	hello();
	c2s("MAIL FROM:<s@a>\r\n");
	s2c("250 ok\r\n");
	for (n = 0; n < SMTP_ADDRESSES_MAX - 1; n++) {
		snprintf(line, sizeof(line), "RCPT TO:<recipient%u@b.example>\r\n", n);
		c2s(line);
		s2c("250 ok\r\n");
	}
	client("RCPT TO:<one.more@b.example>\r\n");
	assert_got(0, "452 4.5.3 Too many recipients\r\n");
	assert_got(1, "");
	client("DATA\r\n");
	assert_got(0, END);
	client(".\r\n");
	snprintf(want, sizeof(want), "\r\nRecipients: %u\r\n", n);
	assert_non_null(strstr(world.txn[0].meta, want));
	for (const char *p = world.txn[0].meta; (p = strstr(p, "\r\nRcpt-To: ")) != NULL; p++)
		listed++;
	assert_true(listed > 5);
	snprintf(want, sizeof(want), "\r\nRcpt-Omitted: %u\r\n", n - listed);
	assert_non_null(strstr(world.txn[0].meta, want));
	assert_int_equal(world_count(STATS_smtp_rcpt_omitted) - omitted, n - listed);
}

/* --- commands ------------------------------------------------------------------------------------------------------- */

static void test_ehlo(void **state)
{
	s2c("220 mx ESMTP\r\n");
	c2s("EHLO a\r\n");
	server("250-mx\r\n250-CHUNKING\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 BINARYMIME\r\n");
	assert_got(0, "250-mx\r\n250-STARTTLS\r\n250 8BITMIME\r\n");
	c2s("EHLO a\r\n");
	server("250-chunking.example\r\n250 CHUNKING\r\n");
	assert_got(0, "250 chunking.example\r\n");
	c2s("EHLO a\r\n");
	server("250-mx\n250-8BITMIME\n250 CHUNKING\n");
	assert_got(0, "250-mx\r\n250 8BITMIME\r\n");
	c2s("EHLO a\r\n");
	s2c("502 no\r\n");
	c2s("HELO a\r\n");
	s2c("250 mx\r\n");
}

static void refused(const char *line, const char *reply)
{
	client(line);
	assert_got(0, reply);
	assert_got(1, "");
}

static void test_refused_commands(void **state)
{
	hello();
	refused("BDAT 10 LAST\r\nMAIL FROM:", "502 5.5.1 CHUNKING is not offered here\r\n");
	still_usable();
	refused("BDAT\r\n", "501 5.5.4 BDAT without a size\r\n");
	refused("LHLO x\r\n", "502 5.5.1 The command is not offered here\r\n");
	refused("burl imap://x LAST\r\n", "502 5.5.1 The command is not offered here\r\n");
	refused("RCPT TO:<a>\rDATA\r\n", "500 5.5.2 A command holds a CR or a NUL\r\n");
	refused("DATA now\r\n", "501 5.5.4 DATA takes no argument\r\n");
	/* in their order among the replies that are to come */
	client("NOOP 1\r\nLHLO x\r\nNOOP 2\r\n");
	assert_got(1, "NOOP 1\r\n");
	assert_got(0, "");
	server("250 one\r\n");
	assert_got(0, "250 one\r\n502 5.5.1 The command is not offered here\r\n");
	assert_got(1, "NOOP 2\r\n");
	s2c("250 two\r\n");
}

/* Longer than what is kept: a challenge's answer may be, a command not. */
static void test_long_lines(void **state)
{
	static char line[5000];

	hello();
	memset(line, 'x', sizeof(line) - 3);
	strcpy(line + sizeof(line) - 3, "\r\n");
	refused(line, "500 5.5.2 The line is too long\r\n");
	memcpy(line, "RCPT TO:<", 9);
	refused(line, "500 5.5.2 The line is too long\r\n");
	strcpy(line + 1200, ">\r\n");
	refused(line, "500 5.5.2 The address is too long\r\n");
	memset(line + 1200, 'x', 4);
	memcpy(line, "AUTH X   ", 9);
	c2s(line);
	s2c("334 \r\n");
	c2s(line + 9);
	s2c("535 no\r\n");
	still_usable();
}

/* Strict and lenient servers get the same lines. */
static void test_bare_lf(void **state)
{
	hello();
	client("MAIL FROM:<s@a>\nRCPT TO:<r@b>\n");
	assert_got(1, "MAIL FROM:<s@a>\r\nRCPT TO:<r@b>\r\n");
	server("250 ok\n250 ok\n");
	assert_got(0, "250 ok\r\n250 ok\r\n");
	client("DATA\n");
	assert_got(0, END);
}

/* An answer to a challenge is no command, whatever it looks like. */
static void test_auth(void **state)
{
	hello();
	c2s("AUTH LOGIN\r\n");
	s2c("334 VXNlcm5hbWU6\r\n");
	c2s("DATA\r\n");
	s2c("334 UGFzc3dvcmQ6\r\n");
	c2s("LHLO\r\n");
	s2c("235 ok\r\n");
	envelope("s@a");
	client("DATA\r\n");
	assert_got(0, END);
}

static void test_starttls(void **state)
{
	uint64_t n = world_count(STATS_smtp_tls);

	hello();
	client("STARTTLS\r\n\x16\x03\x01");
	assert_got(1, "STARTTLS\r\n");
	server("220 go\r\n");
	assert_got(0, "220 go\r\n");
	assert_got(1, "\x16\x03\x01");
	assert_int_equal(world_count(STATS_smtp_tls), n + 1);
	assert_true(world.forgotten || world.s->pipe[0].mode == PIPE_TUNNEL);
	c2s("DATA\r\nBDAT 1\r\n\x17");
	s2c("\x17\x03");
}

static void test_starttls_refused_by_server(void **state)
{
	hello();
	c2s("STARTTLS\r\n");
	s2c("454 not now\r\n");
	still_usable();
}

static void test_starttls_strip(void **state)
{
	s2c("220 mx\r\n");
	c2s("EHLO a\r\n");
	server("250-mx\r\n250-SIZE 10\r\n250 STARTTLS\r\n");
	assert_got(0, "250-mx\r\n250 SIZE 10\r\n");
	refused("STARTTLS\r\n", "502 5.5.1 STARTTLS is not offered here\r\n");
	still_usable();
}

static void test_unasked(void **state)
{
	hello();
	s2c("421 timeout\r\n");
	server("250 and more\r\n");
	assert_true(world.end[0].reset);
}

static void test_more_after_other(void **state)
{
	hello();
	c2s("XDATA\r\n");
	server("354 go\r\n");
	assert_true(world.end[0].reset);
	assert_true(world.end[1].reset);
}

static void test_not_smtp(void **state)
{
	client("\x16\x03\x01");
	assert_got(1, "\x16\x03\x01");
	assert_true(world.forgotten || world.s->pipe[0].mode == PIPE_TUNNEL);
	s2c("\x16\x03");
}

static void test_server_not_smtp(void **state)
{
	s2c("SSH-2.0-x\r\n");
	c2s("SSH-2.0-y\r\n");
}

static void test_not_smtp_closed(void **state)
{
	client("GET / HTTP/1.1\r\n\r\n");
	assert_got(1, "");
	assert_true(world.end[0].reset);
	assert_true(world.end[1].reset);
}

static void test_server_not_smtp_closed(void **state)
{
	client("EHLO a\r\n");
	server("HTTP/1.1 200 OK\r\n\r\n");
	assert_got(0, "");
	assert_got(1, "");
	assert_true(world.end[0].reset);
	assert_true(world.end[1].reset);
}

/* A client that speaks before the greeting: nothing goes on. */
static void test_early_talker(void **state)
{
	client("EHLO a\r\n");
	assert_got(1, "");
	server("220 mx\r\n");
	assert_got(0, "220 mx\r\n");
	assert_got(1, "EHLO a\r\n");
}

/* --- what only passes ------------------------------------------------------------------------------------------------ */

static void test_pass(void **state)
{
	hello();
	envelope("PASS@a");
	c2s("DATA\r\n");
	s2c("354 go\r\n");
	c2s("a\r\n..b\r\n.\rx\r\n.\r\nNOOP\r\n");
	s2c("250 queued\r\n250 ok\r\n");
	assert_int_equal(world.txns, 0);
}

static void test_observe(void **state)
{
	world.service = SERVICE_MANUAL;
	hello();
	envelope("watch@a");
	c2s("DATA\r\n");
	s2c("354 go\r\n");
	c2s("a\r\n..b\r\n.\rx\r\n.\r\n");
	assert_string_equal(world.txn[0].text, "a\r\n.b\r\n\rx\r\n");
	assert_true(world.txn[0].end && world.txn[0].end_ok);
	assert_non_null(strstr(world.txn[0].meta, "Action: observe\r\n"));
	s2c("250 queued\r\n");
}

static void test_observe_refused(void **state)
{
	hello();
	envelope("watch@a");
	c2s("DATA\r\n");
	s2c("451 no\r\n");
	assert_int_equal(world.txns, 0);
	still_usable();
}

static void test_tunnel(void **state)
{
	hello();
	envelope("tunnel@a");
	c2s("DATA\r\n");
	assert_true(world.forgotten || world.s->pipe[0].mode == PIPE_TUNNEL);
	s2c("354 go\r\n");
}

/* --- failures -------------------------------------------------------------------------------------------------------- */

static void part_as_is(void)
{
	world_am_start(0, 2, -1, false);
	world_as_is(0, 2, 0, 3);
}

static void part_changed(void)
{
	world_am_start(0, 2, -1, false);
	world_data(0, 2, "new\r\n");
}

static void lost(void)
{
	world_failed(0, CALLOUT_CAUSE_LOST);
}

static void test_fail_open(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "a\r\n..b\r\n");
	service(part_as_is);
	server("354 go\r\n");
	assert_got(1, "DATA\r\na\r\n");
	service(lost);
	assert_got(1, "..b\r\n");
	client("c\r\n.\r\n");
	assert_got(1, "c\r\n.\r\n");
	s2c("250 queued\r\n");
	still_usable();
}

static void test_fail_open_changed(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "a\r\n");
	service(part_changed);
	server("354 go\r\n");
	assert_got(1, "DATA\r\nnew\r\n");
	service(lost);
	assert_true(world.end[1].reset); /* INV-SMTP-1 */
	assert_got(1, "");
	assert_false(world.end[0].reset);
	client("c\r\n.\r\n");
	assert_got(0, "421 4.3.0 The mail could not be examined, try again later\r\n");
	assert_true(world.end[0].fin);
}

/* What the service has said it will not have forwarded is not, whatever the policy. */
static void refuses(void)
{
	world_event(0, (struct callout_event){.type = CALLOUT_EV_WONT_FORWARD, .src_offset = 0, .size = 100, .ok = true});
	world_failed(0, CALLOUT_CAUSE_REFUSED);
}

static void test_refused_late(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "a\r\nbad");
	service(part_as_is);
	server("354 go\r\n");
	assert_got(1, "DATA\r\na\r\n");
	service(refuses);
	assert_true(world.end[1].reset);
	client("\r\n.\r\n");
	assert_got(0, "554 5.7.1 The mail was refused\r\n");
	assert_true(world.end[0].fin);
}

static void test_fail_closed(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("closed@a", "a\r\n");
	service(lost);
	client("c\r\n.\r\n");
	assert_got(0, "451 4.3.0 The mail could not be examined, try again later\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	still_usable();
}

static void test_fail_answer(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("answer@a", "a\r\n.\r\n");
	service(lost);
	assert_got(0, "550 5.3.0 The mail could not be examined\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	still_usable();
}

/* Too late for a reply in its place, but the sender is told what the rule says. */
static void test_fail_answer_late(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("answer@a", "a\r\n");
	service(part_as_is);
	server("354 go\r\n");
	assert_got(1, "DATA\r\na\r\n");
	service(refuses);
	assert_true(world.end[1].reset);
	client(".\r\n");
	assert_got(0, "550 5.7.1 The mail was refused\r\n");
	assert_true(world.end[0].fin);
}

static void test_cannot_begin(void **state)
{
	world.service = SERVICE_REFUSE;
	hello();
	envelope("closed@a");
	client("DATA\r\n");
	assert_got(0, "451 4.3.0 The mail could not be examined, try again later\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	envelope("answer@a");
	client("DATA\r\n");
	assert_got(0, "550 5.3.0 The mail could not be examined\r\n");
	assert_got(1, "RSET\r\n");
	server("250 flushed\r\n");
	envelope("s@a");
	c2s("DATA\r\n");
	s2c("354 go\r\n");
	c2s("x\r\n.\r\n");
	s2c("250 queued\r\n");
}

static void test_client_ends_in_mail(void **state)
{
	submit("s@a", "half a mai");
	server("354 go\r\n");
	assert_got(1, "DATA\r\nhalf a mai");
	world_fin(0);
	world_settle();
	assert_true(world.end[1].reset);
	assert_got(1, "");
}

static void test_client_resets_in_mail(void **state)
{
	submit("s@a", "half a mai");
	server("354 go\r\n");
	assert_got(1, "DATA\r\nhalf a mai");
	world_rst(0);
	world_settle();
	assert_true(world.end[1].reset);
	assert_got(1, "");
}

static void test_server_closes(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "a\r\n");
	server("421 shutting down\r\n");
	world_fin(1);
	world_settle();
	assert_got(0, "");
	client("b\r\n.\r\n");
	assert_got(0, "421 shutting down\r\n");
	assert_got(1, "");
	assert_true(world.end[0].fin);
}

static void test_server_closes_in_mail(void **state)
{
	submit("s@a", "a\r\n");
	server("354 go\r\n");
	world_fin(1);
	world_settle();
	client("b\r\n.\r\n");
	assert_got(0, "421 4.4.2 The server has closed the connection\r\n");
	assert_got(1, "DATA\r\na\r\n");
	assert_true(world.end[1].reset);
	assert_true(world.end[0].fin);
}

/* It lies: nothing was sent to it. */
static void test_server_lies(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "a\r\n.\r\n");
	server("250 queued\r\n");
	world_fin(1);
	world_settle();
	assert_got(0, "421 4.4.2 The server has closed the connection\r\n");
}

static void test_server_answers_early(void **state)
{
	submit("s@a", "a\r\n");
	server("354 go\r\n452 full\r\n");
	assert_got(0, "");
	client("b\r\n.\r\n");
	assert_got(1, "DATA\r\na\r\nb\r\n.\r\n");
	assert_got(0, "452 full\r\n");
	still_usable();
}

/* A mail larger than any window, every line with a dot. */
static void test_large(void **state)
{
	static char text[60000], got[60000];
	size_t n = 0, at = 0;

	while (n < sizeof(text) - 16)
		n += (size_t)sprintf(text + n, "..%zu\r\n", n);
	strcpy(text + n, ".\r\n");
	submit("s@a", "");
	for (size_t i = 0; i < n + 3; i += 4000) {
		world_send(0, text + i, (uint32_t)RTE_MIN((size_t)4000, n + 3 - i));
		world_settle();
	}
	assert_got(1, "DATA\r\n");
	server("354 go\r\n");
	for (unsigned i = 0; i < 400 && at < n + 3; i++) {
		size_t k = world.end[1].len;

		memcpy(got + at, world_got(1), k);
		at += k;
		world_pass(10000);
	}
	assert_int_equal(at, n + 3);
	assert_memory_equal(got, text, n + 3);
	s2c("250 queued\r\n");
}

/* No packet buffer for what has to be copied, neither on its way in nor out: later there is. */
static void test_no_memory(void **state)
{
	static char text[9000];
	size_t n = 0;

	while (n < sizeof(text) - 16)
		n += (size_t)sprintf(text + n, "..%zu\r\n", n);
	strcpy(text + n, ".\r\n");
	submit("s@a", "");
	world_starve(400, 0);
	world_send(0, text, (uint32_t)(n + 3) / 2);
	world_settle();
	assert_true(world.txn[0].len < n / 3);
	world_feed();
	world_send(0, text + (n + 3) / 2, (uint32_t)(n + 3 - (n + 3) / 2));
	world_pass(3000000);
	assert_true(world.txn[0].len > n / 2);
	assert_got(1, "DATA\r\n");
	world_starve(400, 0);
	world_send(1, "354 go\r\n", 8);
	world_settle();
	assert_true(world.end[1].len < n / 3);
	world_feed();
	world_pass(3000000);
	assert_got(1, text);
	s2c("250 queued\r\n");
}

/* A flow that is silent between mails gives its session up, and goes on where it was. */
static void test_parked(void **state)
{
	hello();
	envelope("closed@a");
	world_pass(600000);
	assert_true(session_is_record(world.s));
	client("DATA\r\n");
	assert_false(session_is_record(world.s));
	assert_got(0, END);
	client("x\r\n.\r\n");
	assert_non_null(strstr(world.txn[0].meta, "Helo: a.example\r\nMail-From: <closed@a> SIZE=100\r\n"));
	server("354 go\r\n");
	assert_got(1, "DATA\r\nx\r\n.\r\n");
	s2c("250 queued\r\n");
	world_pass(600000);
	assert_true(session_is_record(world.s));
}

/* RFC 3897: trace fields in front of the mail's own, a line of refusals. */
#define SYSTEM "http://opes.example/system/of/the/test/with/a/name/that/is/long"
static void test_trace(void **state)
{
	const char *got;

	submit("s@a", ".x\r\n.\r\n");
	server("354 go\r\n");
	got = world_got(1);
	assert_non_null(strstr(got, "DATA\r\nOPES-System: " SYSTEM "\r\n ;service=\"urn:opes:service:s\"\r\n"
				    "OPES-Via: " SYSTEM "\r\n ;service=\"urn:opes:service:s\"\r\nx\r\n.\r\n"));
	s2c("250 queued\r\n");
}

static void test_trace_refused(void **state)
{
	hello();
	envelope("block@a");
	client("DATA\r\n");
	assert_got(0, "550-5.7.1 Blocked by a rule of this network\r\n550 5.7.1 OPES-System: " SYSTEM "\r\n");
}

static void test_trace_rejected(void **state)
{
	world.service = SERVICE_MANUAL;
	answer_text = "550-5.7.1 not\r\n550 this";
	submit("s@a", ".\r\n");
	service(answers);
	assert_got(0, "550-5.7.1 not\r\n550-this\r\n550 OPES-System: " SYSTEM "\r\n");
}

static void test_odd_ends(void **state)
{
	world.service = SERVICE_MANUAL;
	submit("s@a", "x\n.\nMAIL\r\n");
	assert_got(0, "");
	client(".\r\n");
	assert_got(0, "550 5.6.0 A message must not hold a line of one dot between bare line ends\r\n");
	assert_got(1, "RSET\r\n");
	server("250 ok\r\n");
	still_usable();
}

static void test_odd_ends_begun(void **state)
{
	submit("s@a", "x\r\n");
	server("354 go\r\n");
	assert_got(1, "DATA\r\nx\r\n");
	client(".\nMAIL\r\n.\r\n");
	assert_got(0, "550 5.6.0 A message must not hold a line of one dot between bare line ends\r\n");
	assert_got(1, "");
	assert_true(world.end[1].reset);
}

static void test_odd_ends_passing(void **state)
{
	hello();
	envelope("watch@a");
	c2s("DATA\r\n");
	s2c("354 go\r\n");
	c2s("a\r\n");
	client("b\n.\r\nMAIL\r\n");
	assert_got(1, "");
	assert_true(world.end[1].reset);
	client(".\r\n");
	assert_got(0, "550 5.6.0 A message must not hold a line of one dot between bare line ends\r\n");
	assert_true(world.end[0].fin);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, done)
static int run(void)
{
	const struct CMUnitTest tests[] = {
		T(test_mail), T(test_pipelined), T(test_octet_by_octet), T(test_replaced), T(test_empty), T(test_one_only),
		T(test_rejected), T(test_rejected_early), T(test_accepted_and_dropped), T(test_answer_no_reply), T(test_discarded),
		T(test_server_refuses_data), T(test_server_refuses_mail), T(test_no_recipient), T(test_block), T(test_envelope),
		T(test_many_recipients), T(test_ehlo), T(test_refused_commands), T(test_bare_lf), T(test_long_lines), T(test_auth), T(test_starttls),
		T(test_starttls_refused_by_server), T(test_unasked), T(test_more_after_other), T(test_not_smtp),
		T(test_server_not_smtp), T(test_early_talker), T(test_pass), T(test_observe), T(test_observe_refused), T(test_tunnel),
		T(test_fail_open), T(test_fail_open_changed), T(test_refused_late), T(test_fail_closed), T(test_fail_answer), T(test_fail_answer_late), T(test_cannot_begin),
		T(test_client_ends_in_mail), T(test_client_resets_in_mail), T(test_server_closes), T(test_server_closes_in_mail),
		T(test_server_lies), T(test_server_answers_early), T(test_large), T(test_no_memory), T(test_parked),
	};
	const struct CMUnitTest strip_tests[] = {T(test_starttls_strip), T(test_not_smtp_closed), T(test_server_not_smtp_closed)};
	const struct CMUnitTest trace_tests[] = {T(test_trace), T(test_trace_refused), T(test_trace_rejected)};
	int failed = world_run(tests, 4095, 8191, rules, NULL);

	const struct CMUnitTest odd_tests[] = {T(test_odd_ends), T(test_odd_ends_begun), T(test_odd_ends_passing)};

	failed += world_run(odd_tests, 4095, 8191, odd_rules, NULL);
	failed += world_run(strip_tests, 4095, 8191, strip_rules, NULL);
	return failed + world_run(trace_tests, 4095, 8191, trace_rules, NULL);
}

int main(void)
{
	return world_main(run);
}
