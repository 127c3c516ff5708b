/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Conversations by chance: a client that pipelines as far as it may, a server that refuses now and then and takes its time,
 * services that return, change, refuse, remove and die at any octet, a wire that loses and cuts segments, memory that runs
 * out for moments. Whatever happens:
 *
 *   - the client gets one reply to each command and message, in their order (INV-SMTP-2),
 *   - a mail is with the server if and only if its sender was told so, whole, and what the service made of it; but for those
 *     that a service has removed (INV-SMTP-1),
 *   - no descriptor, buffer or state is left.
 *
 * Everything is decided by a seed; a failure prints it.
 * usage: session_smtp_order_test [SEED]   only that one
 */
#include "session_smtp.h"
#include "session_test_world.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 1500
#define MAILS 4
#define TEXT 3000

static const char rules[] =
	"  - {name: closed, match: {protocol: smtp, sender: closed@a}, action: adapt, service: s, on-failure: closed}\n"
	"  - {name: pass, match: {protocol: smtp, sender: pass@a}, action: bypass}\n"
	"  - {name: open, match: {protocol: smtp}, action: adapt, service: s, on-failure: open}\n";

static uint64_t rng;

static uint32_t below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 16) % n);
}

enum manner { AS_IS, BACK, UPPER, ANSWER, REMOVE, DIE, LEAVE, MANNERS };

struct mail {
	char text[TEXT + 8], upper[TEXT + 8];
	uint32_t len;
	bool passes;
	int told; /* code of the reply to its end, 0: none; of DATA when that was refused */
	bool sent; /* its octets were sent */
};

static struct {
	struct mail mail[MAILS];
	unsigned mails, at;      /* the one under way */
	unsigned expected;       /* replies to come before the client goes on */
	bool in_data, wants_data, greeted, over;
	char in[WORLD_TEXT];
	uint32_t in_len;
	char out[8 * TEXT];
	uint32_t out_len, out_at;
} client;

static struct {
	char in[WORLD_TEXT];
	uint32_t in_len;
	bool message;
	char got[MAILS][2 * TEXT];
	uint32_t got_len[MAILS];
	unsigned n;
	char out[4096];
	uint32_t out_len;
} server;

static struct {
	enum manner manner;
	uint64_t done;
	bool begun, over;
	uint64_t die_at;
} service[WORLD_TXNS];

/* --- the client ---------------------------------------------------------------------------------------------------- */

static void client_say(const char *text, uint32_t len)
{
	assert_true(client.out_len + len <= sizeof(client.out));
	memcpy(client.out + client.out_len, text, len);
	client.out_len += len;
}

static void invent(struct mail *m)
{
	static const char *const bits[] = {".", "..", "\r\n", "\r\n", "\r\n.", "\r\n.\r\n", "\n", "\r", "\n.\n", "x", "word ", "A"};
	uint32_t size = below(4) ? below(60) : below(TEXT);

	while (m->len < size) {
		const char *b = bits[below(RTE_DIM(bits))];

		memcpy(m->text + m->len, b, strlen(b));
		m->len += (uint32_t)strlen(b);
	}
	if (m->len < 2 || memcmp(m->text + m->len - 2, "\r\n", 2)) {
		memcpy(m->text + m->len, "\r\n", 2);
		m->len += 2;
	}
	for (uint32_t i = 0; i < m->len; i++)
		m->upper[i] = (char)toupper((unsigned char)m->text[i]);
}

static void next_mail(void)
{
	static const char *const senders[] = {"open@a", "closed@a", "pass@a"};
	unsigned who = below(8) ? below(2) : 2;
	char line[128];
	int n;

	if (client.at == client.mails) {
		client_say("QUIT\r\n", 6);
		client.expected = 1;
		client.wants_data = false;
		return;
	}
	client.mail[client.at].passes = who == 2;
	n = snprintf(line, sizeof(line), "%sMAIL FROM:<%s>\r\nRCPT TO:<r@b>\r\nRCPT TO:<q@b>\r\nDATA\r\n", below(3) ? "" : "RSET\r\n",
		     senders[who]);
	client_say(line, (uint32_t)n);
	client.expected = line[0] == 'R' ? 5 : 4;
	client.wants_data = true;
}

static void send_message(void)
{
	const struct mail *m = &client.mail[client.at];

	client.mail[client.at].sent = true;
	for (uint32_t i = 0; i < m->len; i++) {
		if (m->text[i] == '.' && (i == 0 || (i >= 2 && !memcmp(m->text + i - 2, "\r\n", 2))))
			client_say(".", 1);
		client_say(m->text + i, 1);
	}
	client_say(".\r\n", 3);
	client.in_data = true;
	client.expected = 1;
}

static void client_reply(int code)
{
	if (code == 421 && !client.in_data && !client.expected) {
		client.over = true;
		return;
	}
	if (!client.greeted) {
		client.greeted = true;
		assert_int_equal(code, 220);
		next_mail();
		return;
	}
	assert_true(client.expected > 0);
	if (--client.expected)
		return;
	if (client.in_data) {
		client.mail[client.at++].told = code;
		client.in_data = false;
		client.over = code == 421 || code == 554;
		next_mail();
	} else if (client.wants_data && code == 354) {
		send_message();
	} else if (client.wants_data) {
		client.mail[client.at++].told = code;
		next_mail();
	} else {
		client.over = true;
	}
}

static void client_run(void)
{
	uint32_t n = (uint32_t)world.end[0].len, at = 0;
	char *lf;

	memcpy(client.in + client.in_len, world_got(0), n);
	client.in_len += n;
	while (!client.over && (lf = memchr(client.in + at, '\n', client.in_len - at)) != NULL) {
		const char *line = client.in + at;

		assert_true(lf[-1] == '\r');
		if (line[3] != '-')
			client_reply(atoi(line));
		at = (uint32_t)(lf + 1 - client.in);
	}
	memmove(client.in, client.in + at, client.in_len - at);
	client.in_len -= at;
	n = RTE_MIN(client.out_len - client.out_at, 1 + below(below(3) ? 3000 : 20));
	if (n && world.end[0].open && !world.end[0].reset)
		world_send(0, client.out + client.out_at, n);
	client.out_at += n;
}

/* --- the server ---------------------------------------------------------------------------------------------------- */

static void server_say(const char *text)
{
	server.out_len += (uint32_t)snprintf(server.out + server.out_len, sizeof(server.out) - server.out_len, "%s\r\n", text);
}

static void server_command(const char *line)
{
	if (!memcmp(line, "DATA", 4)) {
		bool no = below(10) == 0;

		server_say(no ? "451-not\r\n451 now" : "354 go");
		server.message = !no;
	} else if (!memcmp(line, "RCPT", 4)) {
		server_say(below(5) ? "250 ok" : "550 no");
	} else if (!memcmp(line, "QUIT", 4)) {
		server_say("221 bye");
	} else {
		assert_true(!memcmp(line, "MAIL", 4) || !memcmp(line, "RSET", 4));
		server_say("250-ok\r\n250 ok");
	}
}

static bool server_message(uint32_t *at)
{
	uint32_t n = 0;
	char *to = server.got[server.n];

	assert_true(server.n < MAILS);
	for (uint32_t i = *at; i + 3 <= server.in_len; i++) {
		bool bol = i == *at || (i >= *at + 2 && !memcmp(server.in + i - 2, "\r\n", 2));

		if (bol && !memcmp(server.in + i, ".\r\n", 3)) {
			*at = i + 3;
			server.message = false;
			server.got_len[server.n] = n;
			if (below(8)) {
				server_say("250 taken");
				server.n++;
			} else {
				server_say("452 full");
			}
			return true;
		}
		if (!(bol && server.in[i] == '.'))
			to[n++] = server.in[i];
	}
	return false;
}

static void server_run(void)
{
	uint32_t n = (uint32_t)world.end[1].len, at = 0;
	char *lf;

	memcpy(server.in + server.in_len, world_got(1), n);
	server.in_len += n;
	while (at < server.in_len) {
		if (server.message) {
			if (!server_message(&at))
				break;
			continue;
		}
		lf = memchr(server.in + at, '\n', server.in_len - at);
		if (!lf)
			break;
		server_command(server.in + at);
		at = (uint32_t)(lf + 1 - server.in);
	}
	memmove(server.in, server.in + at, server.in_len - at);
	server.in_len -= at;
	if (server.out_len && below(3) == 0 && !world.end[1].reset) {
		n = 1 + below(server.out_len);
		world_send(1, server.out, n);
		memmove(server.out, server.out + n, server.out_len - n);
		server.out_len -= n;
	}
}

/* --- the service --------------------------------------------------------------------------------------------------- */

static void octets(unsigned t, const char *p, uint64_t n, bool upper)
{
	char text[600];

	for (uint64_t at = 0; at < n; at += 500) {
		uint64_t k = RTE_MIN(n - at, (uint64_t)500);

		for (uint64_t i = 0; i < k; i++)
			text[i] = upper ? (char)toupper((unsigned char)p[at + i]) : p[at + i];
		text[k] = 0;
		world_data(t, 2, text);
	}
}

static void service_run(unsigned t)
{
	struct world_txn *w = &world.txn[t];
	uint64_t n;

	if (!w->txn || w->ended || service[t].over || below(3))
		return;
	if (service[t].manner == ANSWER && (w->end || below(8) == 0)) {
		world_am_start(t, 2, -1, true);
		world_data(t, 2, "550 5.7.1 no\r\n");
		world_am_end(t, 2, true);
		world_ended(t);
		service[t].over = true;
		return;
	}
	if (service[t].manner == REMOVE && (w->end || below(8) == 0)) {
		world_ended(t);
		service[t].over = true;
		return;
	}
	if (service[t].manner == ANSWER || service[t].manner == REMOVE)
		return;
	if (!service[t].begun)
		world_am_start(t, 2, -1, false);
	service[t].begun = true;
	n = w->len - service[t].done;
	n = n && below(2) ? 1 + below((uint32_t)n) : n;
	if (service[t].manner == UPPER || service[t].manner == BACK || (service[t].manner == DIE && service[t].die_at & 1))
		octets(t, w->text + service[t].done, n, service[t].manner == UPPER);
	else if (n)
		world_as_is(t, 2, service[t].done, n);
	service[t].done += n;
	if (service[t].manner == DIE && (service[t].done >= service[t].die_at || w->end)) {
		world_failed(t, CALLOUT_CAUSE_LOST);
		service[t].over = true;
	} else if (service[t].manner == LEAVE && service[t].done >= service[t].die_at) {
		world_event(t, (struct callout_event){.type = CALLOUT_EV_LEAVE, .am_id = 2, .src_offset = service[t].done});
		service[t].over = true;
	} else if (w->end && service[t].done == w->len) {
		world_am_end(t, 2, true);
		world_ended(t);
		service[t].over = true;
	}
}

/* --- what must be -------------------------------------------------------------------------------------------------- */

static bool holds(unsigned i, const char *text, uint32_t len)
{
	return server.got_len[i] == len && !memcmp(server.got[i], text, len);
}

static void check(void)
{
	unsigned taken = 0, removed = 0;

	for (unsigned i = 0; i < client.mails; i++) {
		const struct mail *m = &client.mail[i];

		if (m->told != 250)
			continue;
		if (taken < server.n && (holds(taken, m->text, m->len) || (!m->passes && holds(taken, m->upper, m->len))))
			taken++;
		else
			removed++;
	}
	/* INV-SMTP-1; what was under way when memory was short and the flow reset may have been taken before. */
	if (!((!world.s || world.end[0].reset) && client.in_data && taken + 1 == server.n))
		assert_int_equal(taken, server.n);
	for (unsigned t = 0; t < world.txns; t++)
		removed -= service[t].manner == REMOVE && removed;
	assert_int_equal(removed, 0);
	if (!client.over)
		fail_msg("the conversation has stopped: mail %u of %u, %u replies to come", client.at, client.mails, client.expected);
	for (unsigned i = 0; i < client.at; i++)
		assert_true(client.mail[i].told != 0);
}

static void one_run(void)
{
	bool starve = below(5) == 0;

	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	memset(service, 0, sizeof(service));
	world.service = SERVICE_MANUAL;
	world.split = below(3) ? 0 : 1 + below(50);
	client.mails = 1 + below(MAILS);
	for (unsigned i = 0; i < client.mails; i++)
		invent(&client.mail[i]);
	for (unsigned t = 0; t < WORLD_TXNS; t++) {
		service[t].manner = (enum manner)below(MANNERS);
		service[t].die_at = below(2) ? below(50) : below(TEXT);
	}
	world_open();
	world.loss = below(4) ? 0 : 30;
	server_say("220 mx");
	for (unsigned i = 0; i < 6000 && !client.over; i++) {
		if (starve && i < 150 && below(12) == 0)
			world_starve(100 + below(200), below(4));
		client_run();
		server_run();
		for (unsigned t = 0; t < world.txns; t++)
			service_run(t);
		if (i == 150 || below(4) == 0)
			world_feed();
		if (i % 4)
			world_round();
		else
			world_pass(20000);
		if (!world.s || world.end[0].reset || (world.end[0].fin && client.in_len == 0 && world.end[0].len == 0))
			client.over = true;
	}
	world.loss = 0;
	world_feed();
	world_settle();
	client_run();
	server_run();
	check();
	world_close();
}

static uint64_t only, running;

static void test_conversations(void **state)
{
	for (uint64_t seed = only ? only : 1; seed <= (only ? only : RUNS); seed++) {
		rng = seed * 0x9e3779b97f4a7c15u + 1;
		world.seed = (uint32_t)seed;
		running = seed;
		one_run();
	}
	running = 0;
	assert_true(only || (world_count(STATS_smtp_delivered) > RUNS / 3 && world_count(STATS_smtp_rejected) > RUNS / 20 &&
			     world_count(STATS_smtp_discarded) > RUNS / 20 && world_count(STATS_fail_open) > RUNS / 40 &&
			     world_count(STATS_smtp_aborted) > RUNS / 100));
}

static int tell_seed(void **state)
{
	if (running)
		fprintf(stderr, "the seed was %u\n", (unsigned)running);
	return 0;
}

static int run(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_conversations, tell_seed)};

	return world_run(tests, 8191, 16383, rules, NULL);
}

int main(int argc, char **argv)
{
	only = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	return world_main(run);
}
