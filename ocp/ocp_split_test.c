/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Codec: streams of random valid messages, in both dialects. What is read is what was meant; the
 * cutting of a stream changes nothing; what was read can be written and is read again as the same.
 */
#include "ocp/ocp_codec_bench.h"
#include "ocp/ocp_gen.h"

#define STREAMS 400
#define MESSAGES 12

/* The events that a message has to make. */
static void say_expected(struct text *t, const struct gen *g)
{
	say_msg(t, &g->msg);
	for (uint64_t i = 0; i < g->msg.payload_size; i++)
		say(t, "%02x", (uint8_t)g->wire[g->payload_at + i]);
	say(t, "%send\n", g->msg.payload_size ? "\n" : "");
}

/* m's strings point into what the decoder was fed or keeps. */
static void write_again(const struct ocp_msg *m, const char *events)
{
	uint64_t payload = ocp_msg_is_data(m->type) ? m->payload_size : 0;
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	struct ocp_msg plain = *m;
	struct text t = {0}, want = {0};
	struct ocp_event ev;
	size_t n, short_n;
	char *head;

	plain.unknown_params = 0;
	if (!ocp_msg_is_data(m->type))
		plain.payload = false;
	if (ocp_encode(m, payload, NULL, 0, &n) != -ENOSPC)
		fail_msg("cannot be written: %s", events);
	head = malloc(n + OCP_HEAD_MAX);
	assert_int_equal(ocp_encode(m, payload, head, n + OCP_HEAD_MAX, &short_n), 0);
	assert_int_equal(short_n, n); /* the short way writes as much */
	assert_int_equal(ocp_decoder_feed(d, head, n, &ev), n);
	assert_int_equal(ev.type, OCP_EVENT_MESSAGE);
	say_msg(&t, ev.msg);
	say_msg(&want, &plain);
	assert_string_equal(t.p, want.p);
	free(t.p);
	free(want.p);
	free(head);
	ocp_decoder_destroy(d);
}

static void stream(enum ocp_dialect dialect, uint32_t seed)
{
	static struct gen g;
	struct text in = {0}, want = {0};
	char *e;

	g.x = seed;
	g.dialect = dialect;
	gen_message(&g, dialect == OCP_DIALECT_CORE ? OCP_MSG_CS : OCP_MSG_CONNECTION_START);
	for (int i = 0; i < MESSAGES; i++) {
		while (in.len + g.len > in.cap) {
			in.cap = in.cap ? in.cap * 2 : 4096;
			in.p = realloc(in.p, in.cap);
		}
		memcpy(in.p + in.len, g.wire, g.len);
		in.len += g.len;
		say_expected(&want, &g);
		if (g.msg.type)
			write_again(&g.msg, want.p);
		gen_any(&g);
	}
	say(&want, "idle\n");
	e = events_lim(in.p, in.len, NULL, NULL, NULL);
	if (strcmp(e, want.p) != 0)
		fail_msg("seed %u: want\n%s\ngot\n%s", seed, want.p, e);
	free(e);
	for (uint32_t k = 0; k < 12; k++) {
		uint32_t x = seed + k;
		size_t one = 1;

		e = k ? events_lim(in.p, in.len, cut_random, &x, NULL)
		      : events_lim(in.p, in.len, cut_n, &one, NULL);
		if (strcmp(e, want.p) != 0)
			fail_msg("seed %u, cutting %u: want\n%s\ngot\n%s", seed, k, want.p, e);
		free(e);
	}
	for (size_t cut = 1; seed < 20 * 7919 && cut < in.len; cut++) { /* every offset */
		e = events_lim(in.p, in.len, cut_once, &cut, NULL);
		assert_string_equal(e, want.p);
		free(e);
	}
	free(in.p);
	free(want.p);
}

static void test_draft(void **state)
{
	for (uint32_t s = 1; s <= STREAMS; s++)
		stream(OCP_DIALECT_DRAFT, s * 7919);
}

static void test_core(void **state)
{
	for (uint32_t s = 1; s <= STREAMS; s++)
		stream(OCP_DIALECT_CORE, s * 7919);
}

/* The generator reaches every message and every parameter that a message can have. */
static void test_all_is_made(void **state)
{
	static struct gen g;

	for (int t = OCP_MSG_UNKNOWN + 1; t < OCP_MSG_MAX; t++) {
		const struct ocp_msg_def *def = ocp_msg_def((enum ocp_msg_type)t);
		uint64_t all = def->named, seen = 0;

		for (unsigned i = 0; i < def->nanon; i++)
			all |= OCP_HAS(def->anon[i]);
		if (ocp_msg_is_data((enum ocp_msg_type)t))
			all |= OCP_HAS(OCP_P_SIZE);
		g.dialect = ocp_msg_dialect((enum ocp_msg_type)t);
		for (uint32_t k = 0; k < 200; k++) {
			g.x = k * 104729;
			gen_message(&g, (enum ocp_msg_type)t);
			seen |= g.msg.has;
		}
		assert_int_equal(seen, all);
	}
}

/* A quoted value whose size says too much is never read as valid, however the stream is cut. */
static void test_wrong_lengths(void **state)
{
	static struct gen g;
	unsigned tried = 0;

	for (uint32_t seed = 1; seed <= 300; seed++) {
		char *quote, *data, *e, want[16];
		unsigned long size;

		g.x = seed * 15485863;
		g.dialect = seed & 1 ? OCP_DIALECT_CORE : OCP_DIALECT_DRAFT;
		gen_message(&g, seed & 1 ? OCP_MSG_NR : OCP_MSG_APP_MESSAGE_START);
		quote = memchr(g.wire, '"', g.len);
		if (!quote || g.msg.payload || quote[1] == '9' || quote[1] == '0')
			continue;
		quote[1]++; /* the first digit */
		size = strtoul(quote + 1, &data, 10);
		data++;
		snprintf(want, sizeof(want), "bad %d ", OCP_BAD_QUOTE);
		if (data + size < g.wire + g.len && data[size] == '"')
			continue; /* by chance */
		e = events_all(g.wire, g.len, NULL);
		if (data + size < g.wire + g.len ? !strstr(e, want) : !strstr(e, "inside"))
			fail_msg("seed %u: a quoted value with a wrong length: %s", seed, e);
		free(e);
		tried++;
	}
	assert_true(tried > 50);
}

/* limits.head is about one head: what follows payloads, octet by octet, does not add up to it. */
static void tails(const char *head, enum ocp_dialect dialect)
{
	struct ocp_limits lim = OCP_LIMITS_DEFAULT;
	struct ocp_decoder *d;
	struct ocp_event ev;

	lim.head = 300;
	d = ocp_decoder_create(&lim);
	ocp_decoder_dialect(d, dialect);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(ocp_decoder_feed(d, head, strlen(head), &ev), strlen(head));
		assert_int_equal(ev.type, OCP_EVENT_MESSAGE);
		for (size_t at = 0; at < OCP_TAIL_LEN; at++)
			assert_int_equal(ocp_decoder_feed(d, &OCP_TAIL[at], 1, &ev), 1);
		assert_int_equal(ev.type, OCP_EVENT_END);
	}
	ocp_decoder_destroy(d);
}

static void test_tails_do_not_add_up(void **state)
{
	char wide[400];

	tails("data-have 7 1 0\r\n0:", OCP_DIALECT_DRAFT);
	tails("DUM 7 0\r\n0:", OCP_DIALECT_CORE);
	/* a head of exactly that many octets, read the general way */
	snprintf(wide, sizeof(wide), "x-y \"%d:%0*d\"\r\nA: b\r\n\r\n0:", 260, 260, 0);
	tails(wide, OCP_DIALECT_CORE);
	snprintf(wide, sizeof(wide), "app-message-start 7 1 \"%d:%0*d\"\r\n0:", 300 - 31, 300 - 31, 0);
	tails(wide, OCP_DIALECT_DRAFT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tails_do_not_add_up),
		cmocka_unit_test(test_draft),
		cmocka_unit_test(test_core),
		cmocka_unit_test(test_all_is_made),
		cmocka_unit_test(test_wrong_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
