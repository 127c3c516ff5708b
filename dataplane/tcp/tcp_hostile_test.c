/* SPDX-License-Identifier: BSD-3-Clause */
/* Forged segments against one half on a virtual clock: what peers and strangers do that want no good, and what the path
 * tells (ICMP, urgent data, long silence). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "tcp/tcp_rig.h"

static struct tcp_conflict seen;
static unsigned conflicts;

static void note(void *ctx, struct tcp_half *h, const struct tcp_conflict *k)
{
	assert_ptr_equal(h, &r.h);
	assert_ptr_equal(ctx, &r);
	seen = *k;
	conflicts++;
}

/* n octets of value from offset off on. */
static void in_value(uint32_t off, uint32_t n, uint8_t value)
{
	struct tcp_segment s = {
		.seq = IRS + off, .ack = ISS, .len = n, .window = 15000, .flags = TCP_F_ACK, .header_len = 20};
	uint8_t bytes[2000];
	struct chunkq q;

	memset(bytes, value, n);
	chunkq_init(&q);
	chunkq_push(&q, mem_testing_chunk(&pool, bytes, n));
	tcp_half_input(&r.env, &r.h, &s, &q);
}

static void open_noting(bool sack)
{
	rig_open(sack, 60000);
	r.env.conflict = note;
	conflicts = 0;
	memset(&seen, 0, sizeof(seen));
}

/* Another version of octets that wait out of order: the first one wins, both are told. */
static void test_conflict_ahead(void **state)
{
	struct chunkq q;
	uint8_t got[1000];

	open_noting(true);
	rig_data(1000, 1000);
	in_value(1990, 100, 0xee); /* ten octets lie over it, one of 256 might be equal */
	assert_int_equal(conflicts, 1);
	assert_int_equal(seen.seq, IRS + 1990);
	assert_int_equal(seen.len, 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(seen.held[i], (uint8_t)(IRS + 1990 + i));
		assert_int_equal(seen.came[i], 0xee);
	}
	rig_data(0, 1000);
	assert_int_equal(conflicts, 1); /* equal octets tell nothing */
	chunkq_init(&q);
	assert_int_equal(tcp_half_take(&r.env, &r.h, &q, 1000), 0);
	chunkq_purge(&pool, &q);
	assert_int_equal(tcp_half_take(&r.env, &r.h, &q, 1000), 0);
	assert_int_equal(chunkq_copy(&q, 0, got, 1000), 1000);
	chunkq_purge(&pool, &q);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(got[i], (uint8_t)(IRS + 1000 + i));
	assert_int_equal(r.env.count.payload_conflict, 1);
	rig_close();
}

/* And of octets received in order that nobody has taken yet; once they are taken there is nothing to compare with. */
static void test_conflict_unread(void **state)
{
	open_noting(true);
	rig_data(0, 1000);
	rig_data(1000, 1000);
	rig_data(200, 1500); /* the same again */
	assert_int_equal(conflicts, 0);
	in_value(900, 1500, 0x55);
	assert_int_equal(conflicts, 1);
	assert_in_range(seen.seq - IRS, 900, 901);
	assert_int_equal(seen.len, 16);
	assert_int_equal(seen.held[0], (uint8_t)seen.seq);
	assert_int_equal(seen.came[0], 0x55);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 2400); /* what was new of it is kept */
	rig_take();
	in_value(900, 1500, 0x77);
	assert_int_equal(conflicts, 1);
	rig_close();
}

/* No listener: counted all the same. */
static void test_conflict_counted(void **state)
{
	rig_open(true, 60000);
	rig_data(1000, 100);
	in_value(1000, 100, 1);
	assert_int_equal(r.env.count.payload_conflict, 1);
	rig_close();
}

/* Holes everywhere: octets out of order are bounded for all halves together, what is next in turn always has room. */
static void test_hole_bomb(void **state)
{
	uint32_t off;

	rig_open(true, 60000);
	r.env.ooo_max = 10000;
	for (off = 1000; off < 59000; off += 1001)
		rig_data(off, 1000);
	assert_int_equal(r.env.ooo_bytes, 10000);
	assert_int_equal(r.h.ooo.bytes, 10000);
	assert_true(r.env.count.ooo_dropped > 40);
	r.env.ooo_bytes += 5000; /* another half's */
	assert_int_equal(rig_data(0, 1000), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 2000);
	assert_int_equal(r.env.ooo_bytes, 14000);
	rig_data(40000, 1000); /* no room */
	assert_int_equal(r.env.ooo_bytes, 14000);
	tcp_half_free(&r.env, &r.h);
	assert_int_equal(r.env.ooo_bytes, 5000);
	rig_close();
}

/* One octet in each segment: neither buffers nor descriptors follow the number of segments. */
static void test_tiny_segments(void **state)
{
	uint32_t off;

	rig_open(true, 60000);
	for (off = 10; off < 20000; off += 2)
		rig_data(off, 1);
	assert_true(r.h.ooo.n <= STREAM_RANGES_MAX);
	assert_true(pool.used <= STREAM_RANGES_MAX);
	for (off = 20000; off > 100; off--)
		rig_data(off, 1);
	assert_true(pool.used <= 60000 / 512 + 64 + 1);
	rig_close();
}

/* Blind attackers against many halves: the worker as a whole answers no more than so often (RFC 5961 section 7). */
static void test_challenge_rationed(void **state)
{
	unsigned sent = 0, i;

	rig_open(true, 60000);
	for (i = 0; i < 20000; i++) {
		r.h.challenge_at = (uint32_t)(r.env.now_us >> 10); /* as if each were another half */
		rig_in(TCP_F_SYN, IRS + 100, 0, 0, 0, NULL, 0);
		sent += rig_output();
	}
	assert_in_range(sent, 500, 1500);
	assert_int_equal(r.env.count.challenge, sent);
	r.env.now_us += 2100000;
	rig_in(TCP_F_SYN, IRS + 100, 0, 0, 0, NULL, 0);
	assert_int_equal(rig_output(), 1);
	rig_close();
}

/* RFC 5681 4.2 for peers without SACK: each segment above a hole is answered, also when several come in one burst, so
 * that the peer counts to three; and none of them moves the window. */
static void test_dupacks_each(void **state)
{
	uint16_t window;
	unsigned i;

	rig_open(false, 60000);
	for (i = 0; i < 40; i++)
		rig_data(1000 * i, 1000);
	rig_output();
	window = r.out[0].o.window;
	rig_data(45000, 1000);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.window, window);
	rig_take(); /* much room, but not told by what looks like a duplicate */
	assert_int_equal(rig_output(), 0);
	rig_data(46000, 1000);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.window, window);
	for (i = 40; i < 45; i++)
		rig_data(1000 * i, 1000);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + 47000);
	assert_true(r.out[0].o.window > window); /* now it is */
	rig_close();
	rig_open(false, 60000);
	rig_data(0, 1000);
	rig_output();
	for (i = 0; i < 4; i++)
		rig_data(2000 + 1000 * i, 1000);
	assert_int_equal(rig_output(), 4);
	for (i = 0; i < 4; i++) {
		assert_int_equal(r.out[i].o.ack, IRS + 1000);
		assert_int_equal(r.out[i].o.window, r.out[0].o.window);
		assert_int_equal(r.out[i].o.payload_len, 0);
	}
	rig_data(6000, 1000);
	rig_data(1000, 1000); /* the hole is filled in the same burst */
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + 7000);
	rig_close();
	rig_open(true, 60000); /* with SACK one says it all */
	for (i = 0; i < 4; i++)
		rig_data(2000 + 1000 * i, 1000);
	assert_int_equal(rig_output(), 1);
	rig_close();
}

/* RFC 9293 3.8.5: octets stay in line whatever the pointer says, and nothing with URG is ever sent. */
static void test_urgent_in_line(void **state)
{
	assert_int_equal((rig_open(true, 60000), rig_in(TCP_F_ACK | TCP_F_URG, IRS, ISS, 100, 15000, NULL, 0)),
			 TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 100);
	assert_int_equal(r.env.count.urgent, 1);
	rig_send(100);
	rig_output();
	assert_false(r.out[0].o.flags & TCP_F_URG);
	rig_close();
}

/* RFC 1191, 8201 with the checks of RFC 5927: smaller segments, sent at once, the window as it was. */
static void test_path_mtu(void **state)
{
	uint32_t cwnd, again = 0;

	rig_open(true, 60000);
	rig_send(20000);
	assert_int_equal(rig_output(), 10);
	cwnd = r.h.cwnd;
	assert_false(tcp_half_mtu(&r.env, &r.h, ISS - 1, 500));	    /* acknowledged long ago */
	assert_false(tcp_half_mtu(&r.env, &r.h, ISS + 10000, 500)); /* not sent yet */
	assert_false(tcp_half_mtu(&r.env, &r.h, ISS, MSS));	    /* no news */
	assert_true(tcp_half_mtu(&r.env, &r.h, ISS + 9999, 500));
	assert_int_equal(r.env.count.mtu, 1);
	rig_output();
	for (unsigned i = 0; i < r.n; i++) {
		assert_true(r.out[i].o.payload_len <= 500);
		assert_int_equal(r.out[i].o.seq, ISS + again);
		again += r.out[i].o.payload_len;
	}
	assert_int_equal(again, 10000);
	assert_int_equal(r.h.cwnd, cwnd);
	assert_true(r.h.ssthresh == UINT32_MAX);
	rig_ack(10000);
	rig_output();
	assert_true(r.n > 0 && r.out[0].o.payload_len <= 500);
	assert_true(tcp_half_mtu(&r.env, &r.h, r.h.snd_una, 1)); /* a lie: segments stay of some use */
	rig_output();
	assert_int_equal(r.out[0].o.payload_len, TCP_MTU_PAYLOAD_MIN);
	rig_close();
}

/* RFC 9293 3.8.4: one old number, no octets; the answer is an ACK that changes nothing. */
static void test_keepalive(void **state)
{
	rig_open(true, 60000);
	assert_true(tcp_half_quiet(&r.h));
	tcp_half_keepalive(&r.env, &r.h);
	assert_false(tcp_half_quiet(&r.h));
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS - 1);
	assert_int_equal(r.out[0].o.payload_len, 0);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK);
	assert_true(tcp_half_quiet(&r.h));
	rig_ack(0);
	assert_int_equal(rig_output(), 0);
	/* The peer's own: answered. */
	rig_in(TCP_F_ACK, IRS - 1, ISS, 0, 15000, NULL, 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS);
	assert_int_equal(r.env.count.keepalive, 1);
	rig_close();
}

/* RFC 9293 3.8.6.1: a peer that answers with a closed window is alive, for hours. */
static void test_zero_window_hours(void **state)
{
	uint64_t end;

	rig_open(true, 1000);
	rig_send(5000);
	rig_output();
	rig_in(TCP_F_ACK, IRS, ISS + 1000, 0, 0, NULL, 0);
	rig_output();
	for (end = r.env.now_us + 6 * 3600 * 1000000ull; r.env.now_us < end;) {
		assert_int_equal(rig_wait(), 0);
		if (rig_output())
			rig_in(TCP_F_ACK, IRS, ISS + 1000, 0, 0, NULL, 0);
	}
	assert_true(r.env.count.zero_window > 300); /* at least once a minute */
	rig_in(TCP_F_ACK, IRS, ISS + 1000, 0, 15000, NULL, 0);
	assert_true(rig_output() >= 4);
	assert_int_equal(r.out[0].o.seq, ISS + 1000);
	rig_close();
}

/* RFC 9293 3.6: one direction ended, the other goes on hours later. */
static void test_half_close_hours(void **state)
{
	rig_open(true, 60000);
	tcp_half_finish(&r.h);
	rig_output();
	rig_in(TCP_F_ACK, IRS, ISS + 1, 0, 15000, NULL, 0);
	assert_int_equal(tcp_half_state(&r.h), TCP_FIN_WAIT_2);
	assert_true(tcp_half_deadline(&r.h) == UINT64_MAX);
	assert_true(tcp_half_quiet(&r.h));
	r.env.now_us += 5 * 3600 * 1000000ull;
	assert_int_equal(rig_in(TCP_F_ACK, IRS, ISS + 1, 700, 15000, NULL, 0), TCP_EV_DATA);
	rig_output();
	assert_int_equal(r.out[0].o.ack, IRS + 700);
	r.env.now_us += 5 * 3600 * 1000000ull;
	rig_in(TCP_F_ACK | TCP_F_FIN, IRS + 700, ISS + 1, 0, 15000, NULL, 0);
	assert_int_equal(tcp_half_state(&r.h), TCP_TIME_WAIT);
	rig_output();
	/* TIME_WAIT answers a FIN sent again and waits anew. */
	r.env.now_us += 900000;
	rig_in(TCP_F_ACK | TCP_F_FIN, IRS + 700, ISS + 1, 0, 15000, NULL, 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + 701);
	assert_int_equal(tcp_half_deadline(&r.h), r.env.now_us + 1000000);
	rig_close();
}

static void test_info(void **state)
{
	struct tcp_half_info i;

	rig_open(true, 60000);
	tcp_half_info(&r.env, &r.h, &i);
	assert_string_equal(i.state, "established");
	assert_string_equal(i.cc, "cubic");
	assert_string_equal(i.timer, "none");
	assert_true(i.timer_us == UINT64_MAX && i.ssthresh == UINT32_MAX && i.sack);
	rig_send(30000);
	rig_output();
	rig_data(500, 100);
	tcp_half_info(&r.env, &r.h, &i);
	assert_int_equal(i.unacked, 10000);
	assert_int_equal(i.unsent, 20000);
	assert_int_equal(i.pipe, 10000);
	assert_int_equal(i.ooo_bytes, 100);
	assert_int_equal(i.ooo_ranges, 1);
	assert_string_equal(i.timer, "tlp");
	assert_int_equal(i.timer_us, 22000);
	r.env.now_us += 10000;
	rig_sack(0, 1000, 5000);
	rig_output();
	tcp_half_info(&r.env, &r.h, &i);
	assert_string_equal(i.ca, "recovery");
	assert_int_equal(i.retrans, 1);
	assert_int_equal(i.sacked, 4000);
	rig_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conflict_ahead),	    cmocka_unit_test(test_conflict_unread),
		cmocka_unit_test(test_conflict_counted),    cmocka_unit_test(test_hole_bomb),
		cmocka_unit_test(test_tiny_segments),	    cmocka_unit_test(test_challenge_rationed),
		cmocka_unit_test(test_dupacks_each),	    cmocka_unit_test(test_urgent_in_line),
		cmocka_unit_test(test_path_mtu),	    cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_zero_window_hours),   cmocka_unit_test(test_half_close_hours),
		cmocka_unit_test(test_info),
	};

	return cmocka_run_group_tests_name("tcp_hostile", tests, rig_setup, rig_teardown);
}
