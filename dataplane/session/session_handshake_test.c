/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshakes of every kind through a session, until octets arrive: nothing crosses but what a service has seen. */
#include "session_test_world.h"

#include <string.h>
#include <rte_mbuf.h>

static const char http_rules[] = "  - {name: web, match: {protocol: http}, action: bypass}\n";
static const char stream_rules[] = "  - {name: all, match: {protocol: tcp}, action: adapt, service: s, on-failure: open}\n";
static const uint8_t mss[4] = {2, 4, 2, 24};

static struct chunkq text;

static struct tcp_out segment(unsigned side, uint8_t flags, const char *payload)
{
	bool syn = flags & TCP_F_SYN;
	struct tcp_out o = {
		.seq = WORLD_ISN(side) + !syn,
		.ack = flags & TCP_F_ACK ? WORLD_ISN(!side) + 1 : 0,
		.flags = flags,
		.window = 65535,
	};

	if (payload) {
		chunkq_init(&text);
		o.payload_len = (uint32_t)strlen(payload);
		assert_int_equal(chunkq_put(&world.nic, &text, payload, o.payload_len), 0);
		o.c = text.head;
	}
	return o;
}

static void put(unsigned side, uint8_t flags, const char *payload)
{
	struct tcp_out o = segment(side, flags, payload);

	world_frame(side, &o, mss, flags & TCP_F_SYN ? 4 : 0);
	if (payload)
		chunkq_purge(&world.nic, &text);
}

/* Both ends speak, and are heard. */
static void speak(void)
{
	world_send(0, "question", 8);
	world_settle();
	assert_string_equal(world_got(1), "question");
	world_send(1, "answer", 6);
	world_settle();
	assert_string_equal(world_got(0), "answer");
}

static int begin(void **state)
{
	world.service = SERVICE_AS_IS;
	world.rules = 1;
	world.split = 0;
	world_begin();
	return 0;
}

static int done(void **state)
{
	world_close();
	return 0;
}

static void test_data_in_syn(void **state)
{
	uint64_t before = world_count(STATS_handshake_data_cut);

	for (world.split = 0; world.split < 3; world.split += 2) { /* in one buffer, in several */
		put(0, TCP_F_SYN, "early");
		assert_int_equal(world.end[1].last.len, 0);
		assert_int_equal(world.end[1].isn, WORLD_ISN(0));
	}
	world.split = 0;
	put(1, TCP_F_SYN | TCP_F_ACK, "early, too");
	assert_int_equal(world.end[0].last.len, 0);
	assert_int_equal(world_count(STATS_handshake_data_cut), before + 3);
	world_ends_open();
	world_send(0, "early", 5); /* not acknowledged: it comes again */
	world_send(1, "early, too", 10);
	world_settle();
	assert_string_equal(world_got(1), "early");
	assert_string_equal(world_got(0), "early, too");
	speak();
}

static void test_data_before_halves(void **state)
{
	put(0, TCP_F_SYN, NULL);
	put(1, TCP_F_ACK, "not seen");
	put(0, TCP_F_ACK, "nor this");
	assert_int_equal(world.end[0].came, 0);
	assert_int_equal(world.end[1].came, 1);
	put(1, TCP_F_SYN | TCP_F_ACK, NULL);
	put(1, TCP_F_ACK, "not seen");
	assert_int_equal(world.end[0].came, 1);
	put(0, TCP_F_RST, "cookie"); /* a reset may explain itself (RFC 9293 3.10.7.4); not to the far end */
	assert_int_equal(world.end[1].came, 2);
	assert_int_equal(world.end[1].last.len, 0);
	assert_true(session_dead(world.s));
}

/* The ACK that completes the handshake carries the first octets. */
static void test_data_with_last_ack(void **state)
{
	put(0, TCP_F_SYN, NULL);
	put(1, TCP_F_SYN | TCP_F_ACK, NULL);
	world.end[0].open = world.end[1].open = false;
	put(0, TCP_F_ACK, "first");
	assert_int_equal(world.end[1].came, 1);
	world_ends_open();
	world_send(0, "first", 5); /* what the client keeps until it is acknowledged */
	world_settle();
	assert_string_equal(world_got(1), "first");
	speak();
}

/* RFC 9293 figure 8, the last SYN/ACK from either side. */
static void test_simultaneous_open(void **state)
{
	for (unsigned first = 0; first < 2; first++) {
		uint64_t before = world_count(STATS_flow_established);

		put(0, TCP_F_SYN, NULL);
		put(1, TCP_F_SYN, NULL);
		assert_int_equal(world.end[0].isn, WORLD_ISN(1));
		assert_int_equal(world.end[0].last.flags, TCP_F_SYN);
		put(first, TCP_F_SYN | TCP_F_ACK, NULL);
		assert_int_equal(world.end[!first].last.flags, TCP_F_SYN | TCP_F_ACK);
		assert_int_equal(world_count(STATS_flow_established), before);
		put(!first, TCP_F_SYN | TCP_F_ACK, NULL);
		assert_int_equal(world_count(STATS_flow_established), before + 1);
		session_run(world.ctx, world.s);
		for (unsigned i = 0; i < 2; i++) { /* each has its ACK from the half it faces */
			assert_int_equal(world.end[i].last.flags, TCP_F_ACK);
			assert_int_equal(world.end[i].last.seq, WORLD_ISN(!i) + 1);
			assert_int_equal(world.end[i].last.ack, WORLD_ISN(i) + 1);
		}
		/* that ACK was lost: the end says SYN/ACK once more */
		world.end[first].came = 0;
		put(first, TCP_F_SYN | TCP_F_ACK, NULL);
		session_run(world.ctx, world.s);
		assert_true(world.end[first].came > 0);
		assert_int_equal(world.end[first].last.flags, TCP_F_ACK);
		world_ends_open();
		world_settle();
		speak();
		if (!first) {
			done(state);
			begin(state);
		}
	}
}

/* Two SYNs; the server takes the older one. What the client then sends is seen. */
static void test_second_syn(void **state)
{
	struct tcp_out o = segment(0, TCP_F_SYN, NULL);

	put(0, TCP_F_SYN, NULL);
	o.seq += 123456;
	world_frame(0, &o, mss, 4);
	put(1, TCP_F_SYN | TCP_F_ACK, NULL);
	world_frame(0, &o, mss, 4);
	world_ends_open();
	world_settle();
	assert_false(session_is_record(world.s));
	speak();
	assert_int_equal(world.txns, 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, done)

static int run(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_data_in_syn),	      CASE(test_data_before_halves), CASE(test_data_with_last_ack),
		CASE(test_simultaneous_open), CASE(test_second_syn),
	};

	return world_run(tests, 4095, 8191, http_rules, stream_rules);
}

int main(void)
{
	return world_main(run);
}
