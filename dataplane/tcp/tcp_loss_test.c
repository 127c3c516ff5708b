/* SPDX-License-Identifier: BSD-3-Clause */
/* Forged segments against one half on a virtual clock: loss found and mended. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tcp/tcp_rig.h"
#include "tcp/tcp_internal.h"

static void test_initial_window(void **state)
{
	unsigned i;

	rig_open(true, 60000);
	assert_int_equal(tcp_half_send_room(&r.h), 65536);
	rig_send(20500);
	assert_int_equal(rig_output(), 10);
	for (i = 0; i < 10; i++) {
		assert_int_equal(r.out[i].o.seq, ISS + i * MSS);
		assert_int_equal(r.out[i].o.payload_len, MSS);
		assert_int_equal(r.out[i].o.flags, TCP_F_ACK);
	}
	assert_int_equal(tcp_half_send_pending(&r.h), 20500);
	assert_int_equal(rig_ack(2000), TCP_EV_ACKED);
	assert_int_equal(rig_output(), 4); /* slow start */
	assert_int_equal(rig_ack(14000), TCP_EV_ACKED);
	rig_output();
	assert_int_equal(r.out[r.n - 1].o.payload_len, 500);
	assert_int_equal(r.out[r.n - 1].o.flags, TCP_F_ACK | TCP_F_PSH);
	assert_int_equal(rig_ack(20500), TCP_EV_ACKED);
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	assert_int_equal(rig_output(), 0);
	assert_true(tcp_half_deadline(&r.h) == UINT64_MAX);
	rig_close();
}

/* RFC 3042: each of the first two duplicates lets a new segment out, so that a third one comes. */
static void test_limited_transmit(void **state)
{
	for (unsigned sack = 0; sack < 2; sack++) {
		uint32_t next = ISS + 10000;

		rig_open(sack, 60000);
		rig_send(30000);
		assert_int_equal(rig_output(), 10);
		for (unsigned i = 0; i < 2; i++) {
			if (sack)
				rig_sack(0, 1000, 2000 + i * 1000);
			else
				rig_ack(0);
			assert_int_equal(rig_output(), 1);
			assert_int_equal(r.out[0].o.seq, next);
			next += r.n * MSS;
		}
		assert_int_equal(r.env.count.retrans, 0);
		rig_close();
	}
}

static void test_fast_retransmit_sack(void **state)
{
	rig_open(true, 60000);
	rig_send(10000);
	rig_output();
	rig_sack(0, 1000, 2000);
	rig_output();
	rig_sack(0, 1000, 3000);
	assert_int_equal(rig_output(), 0);
	rig_sack(0, 1000, 4000); /* more than two segments above the hole */
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS);
	assert_int_equal(r.out[0].o.payload_len, MSS);
	assert_int_equal(r.env.count.fast_rtx, 1);
	assert_int_equal(r.env.count.retrans, 1);
	rig_sack(0, 1000, 5000);
	assert_int_equal(rig_output(), 0); /* once only */
	assert_int_equal(rig_ack(10000), TCP_EV_ACKED);
	assert_int_equal(rig_output(), 0);
	assert_int_equal(r.env.count.rto, 0);
	rig_close();
}

/* A retransmission that is lost as well is noticed by what was sent after it. */
static void test_lost_retransmission(void **state)
{
	rig_open(true, 60000);
	rig_send(40000);
	rig_output();
	rig_sack(0, 1000, 5000);
	rig_output();
	assert_int_equal(r.out[0].o.seq, ISS);
	r.env.now_us += 2000;
	rig_sack(0, 1000, 10000);
	rig_output();
	assert_true(r.n > 0);
	assert_in_range(r.out[0].o.seq - ISS, 10000, 20000); /* new ones */
	r.env.now_us += 20000;
	rig_sack(0, 1000, 11000);
	rig_output();
	assert_int_equal(r.out[0].o.seq, ISS); /* again */
	assert_int_equal(r.env.count.rto, 0);
	rig_close();
}

/* One segment above the hole: time decides, RFC 8985's reordering window. */
static void test_reorder_timer(void **state)
{
	uint64_t begin;

	rig_open(true, 60000);
	rig_send(2000);
	rig_output();
	r.env.now_us += 10000;
	rig_sack(0, 1000, 2000);
	assert_int_equal(rig_output(), 0);
	begin = r.env.now_us;
	rig_wait();
	assert_in_range(r.env.now_us - begin, 2000, 3000);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS);
	rig_close();
}

static void test_fast_retransmit_plain(void **state)
{
	unsigned i;

	rig_open(false, 60000);
	rig_send(12000);
	rig_output();
	rig_ack(1000);
	rig_output();
	for (i = 0; i < 2; i++) {
		rig_ack(1000);
		rig_output();
	}
	rig_ack(1000);
	rig_output();
	assert_true(r.n >= 1);
	assert_int_equal(r.out[0].o.seq, ISS + 1000);
	rig_ack(5000); /* partial, RFC 6582: the next hole */
	rig_output();
	assert_int_equal(r.out[0].o.seq, ISS + 5000);
	rig_ack(12000);
	rig_output();
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	assert_int_equal(r.env.count.rto, 0);
	rig_close();
}

static void test_loss_probe(void **state)
{
	rig_open(true, 60000);
	rig_send(3000);
	rig_output();
	assert_int_equal(tcp_half_deadline(&r.h), r.env.now_us + 2 * 10000 + 2000);
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS + 2000);
	assert_int_equal(r.env.count.tlp, 1);
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.env.count.tlp, 2);
	rig_wait(); /* then the timeout */
	assert_int_equal(r.env.count.rto, 1);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS);
	rig_close();
}

/* RFC 6298 5.5 and 5.7; a dead peer is given up. */
static void test_timeout_backoff(void **state)
{
	uint64_t last, gap = 0;
	uint32_t ev = 0;
	unsigned n = 0;

	rig_open(false, 60000);
	rig_send(3000);
	rig_output();
	last = r.env.now_us;
	while (!ev) {
		ev = rig_wait();
		assert_true(r.env.now_us - last >= gap);
		assert_in_range(r.env.now_us - last, 200000, 60000000);
		gap = r.env.now_us - last;
		last = r.env.now_us;
		rig_output();
		if (!ev) {
			assert_int_equal(r.n, 1);
			assert_int_equal(r.out[0].o.seq, ISS);
		}
		n++;
	}
	assert_int_equal(ev, TCP_EV_TIMEOUT);
	assert_int_equal(n, 16);
	assert_int_equal(gap, 60000000);
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSED);
	assert_true(tcp_half_deadline(&r.h) == UINT64_MAX);
	rig_close();
}

static void test_timeout_recovers(void **state)
{
	rig_open(false, 60000);
	rig_send(5000);
	rig_output();
	rig_wait();
	assert_int_equal(rig_output(), 1); /* one segment, slow start */
	rig_ack(1000);
	assert_int_equal(rig_output(), 2);
	rig_ack(3000);
	assert_int_equal(rig_output(), 2);
	assert_int_equal(rig_ack(5000), TCP_EV_ACKED);
	assert_int_equal(rig_output(), 0);
	assert_int_equal(r.env.count.rto, 1);
	assert_int_equal(r.env.count.retrans, 5);
	rig_close();
}

/* What was reported received and then thrown away is sent again after all (RFC 2018 section 8). */
static void test_reneging(void **state)
{
	rig_open(true, 60000);
	rig_send(5000);
	rig_output();
	rig_sack(0, 1000, 5000);
	rig_output();
	rig_ack(1000); /* the hole is filled, but nothing beyond is acknowledged */
	rig_output();
	while (r.env.count.rto < 1) {
		rig_wait();
		rig_output();
	}
	assert_int_equal(r.out[0].o.seq, ISS + 1000);
	rig_ack(2000);
	assert_int_equal(rig_output(), 2);
	rig_ack(5000);
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	rig_close();
}

/* RFC 8985 6.2: once the path has been seen to reorder, three segments above a hole prove nothing, time does. */
static void test_rack_reordered(void **state)
{
	rig_open(true, 60000);
	rig_send(10000);
	rig_output();
	r.env.now_us += 10000;
	rig_sack(0, 1000, 2000);
	rig_output();
	rig_ack(2000); /* the first one was late only */
	rig_output();
	rig_sack(2000, 3000, 6000); /* one hole, three above it */
	assert_int_equal(rig_output(), 0);
	assert_in_range(tcp_half_deadline(&r.h) - r.env.now_us, 2000, 3000); /* min_rtt / 4 */
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS + 2000);
	assert_int_equal(r.env.count.fast_rtx, 1);
	rig_close();
}

/* Only what was sent early enough is lost: two batches, 5 ms apart. */
static void test_rack_times(void **state)
{
	rig_open(true, 60000);
	rig_send(4000);
	rig_output();
	r.env.now_us += 5000;
	rig_send(4000);
	rig_output();
	r.env.now_us += 5000;
	rig_sack(0, 1000, 4000); /* of the first batch */
	rig_output();
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].o.seq, ISS);
	r.env.now_us += 5000;
	rig_sack(0, 1000, 5000); /* one of the second: nothing sent before it is missing */
	assert_int_equal(rig_output(), 0);
	rig_sack(0, 7000, 8000); /* the last: 5000 to 7000 were sent with it */
	rig_output();
	assert_int_equal(r.n, 2);
	assert_int_equal(r.out[0].o.seq, ISS + 5000);
	assert_int_equal(r.out[1].o.seq, ISS + 6000);
	rig_close();
}

/* Every segment sent again came twice: the reduction was for nothing, RFC 3708. */
static void test_undo_dsack(void **state)
{
	struct tcp_sack_block dup = {ISS, ISS + 1000};
	uint32_t cwnd, wnd;

	rig_open(true, 60000);
	rig_send(10000);
	rig_output();
	cwnd = r.h.cwnd;
	r.env.now_us += 10000;
	rig_sack(0, 1000, 5000);
	rig_output();
	assert_int_equal(r.out[0].o.seq, ISS);
	assert_true(r.h.ssthresh < cwnd);
	wnd = r.h.reo_mult;
	rig_ack(5000); /* the first one, late */
	rig_output();
	assert_int_equal(r.env.count.undo, 0);
	rig_in(TCP_F_ACK, IRS, ISS + 5000, 0, 15000, &dup, 1);
	assert_int_equal(r.env.count.undo, 1);
	assert_int_equal(r.env.count.dsack_in, 1);
	assert_true(r.h.cwnd >= cwnd);
	assert_true(r.h.ssthresh == UINT32_MAX);
	assert_int_equal(r.h.reo_mult, wnd + 1);
	rig_close();
}

/* The same when that report comes on an ACK that another one has overtaken. */
static void test_undo_overtaken(void **state)
{
	struct tcp_sack_block dup = {ISS, ISS + 1000};

	rig_open(true, 60000);
	rig_send(10000);
	rig_output();
	r.env.now_us += 10000;
	rig_sack(0, 1000, 5000);
	rig_output();
	rig_ack(8000);
	rig_output();
	rig_in(TCP_F_ACK, IRS, ISS + 5000, 0, 15000, &dup, 1);
	assert_int_equal(r.env.count.undo, 1);
	rig_close();
}

static void until_timeout(void)
{
	while (r.env.count.rto < 1) {
		rig_wait();
		rig_output();
	}
}

/* RFC 5682 section 3: after a timeout bytes are acknowledged that were sent once. */
static void test_frto_sack(void **state)
{
	uint32_t cwnd;

	rig_open(true, 60000);
	rig_send(8000);
	rig_output();
	cwnd = r.h.cwnd;
	until_timeout();
	assert_int_equal(r.h.cwnd, MSS);
	rig_ack(3000); /* not only what went out again */
	assert_int_equal(r.env.count.undo, 1);
	assert_true(r.h.cwnd >= cwnd);
	assert_int_equal(r.h.lost, 0);
	assert_int_equal(rig_output(), 0); /* nothing is sent again */
	rig_close();
}

/* A real timeout: only what was sent again is acknowledged. New segments are tried once, then the rest goes again. */
static void test_frto_real(void **state)
{
	rig_open(true, 60000);
	rig_send(14000);
	rig_output();
	until_timeout();
	rig_ack(1000);
	assert_int_equal(rig_output(), 2);
	assert_int_equal(r.out[0].o.seq, r.h.snd_nxt - 2000);
	rig_sack(1000, r.h.snd_nxt - 2000 - ISS, r.h.snd_nxt - 1000 - ISS);
	rig_output();
	assert_true(r.n >= 1);
	assert_int_equal(r.out[0].o.seq, ISS + 1000);
	assert_int_equal(r.env.count.undo, 0);
	rig_close();
}

/* RFC 5682 section 2 without SACK: two ACKs that move on, new segments between them. */
static void test_frto_plain(void **state)
{
	rig_open(false, 60000);
	rig_send(14000);
	rig_output();
	until_timeout();
	rig_ack(1000);
	assert_int_equal(rig_output(), 2);
	assert_int_equal(r.out[0].o.seq, ISS + 10000);
	rig_ack(2000);
	assert_int_equal(r.env.count.undo, 1);
	rig_output();
	for (unsigned i = 0; i < r.n; i++)
		assert_true(r.out[i].o.seq - ISS >= 12000);
	rig_close();
	/* A duplicate instead: it was lost. */
	rig_open(false, 60000);
	rig_send(14000);
	rig_output();
	until_timeout();
	rig_ack(1000);
	rig_output();
	rig_ack(1000);
	rig_output();
	assert_int_equal(r.out[0].o.seq, ISS + 1000);
	assert_int_equal(r.env.count.undo, 0);
	rig_close();
}

/* RFC 8985 7.3: a probe is a new segment where there is one, whatever the congestion window says. */
static void test_probe_new(void **state)
{
	rig_open(true, 60000);
	rig_send(12000);
	assert_int_equal(rig_output(), 10);
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS + 10000);
	assert_int_equal(r.env.count.retrans, 0);
	rig_close();
}

/* RFC 8985 7.4.2: the probe has mended a loss unless the peer says it came twice. */
static void test_probe_verdict(void **state)
{
	struct tcp_sack_block dup = {ISS + 2000, ISS + 3000};
	uint32_t cwnd;
	unsigned i;

	for (i = 0; i < 2; i++) {
		rig_open(true, 60000);
		rig_send(3000);
		rig_output();
		cwnd = r.h.cwnd;
		rig_wait();
		assert_int_equal(rig_output(), 1);
		rig_in(TCP_F_ACK, IRS, ISS + 3000, 0, 15000, &dup, i);
		assert_int_equal(r.h.cwnd, cwnd);
		rig_send(1000);
		rig_output();
		r.env.now_us += 10000;
		rig_ack(4000);
		if (i)
			assert_true(r.h.cwnd >= cwnd);
		else
			assert_true(r.h.cwnd < cwnd);
		rig_close();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_initial_window),
		cmocka_unit_test(test_limited_transmit),
		cmocka_unit_test(test_fast_retransmit_sack),
		cmocka_unit_test(test_lost_retransmission),
		cmocka_unit_test(test_reorder_timer),
		cmocka_unit_test(test_fast_retransmit_plain),
		cmocka_unit_test(test_loss_probe),
		cmocka_unit_test(test_timeout_backoff),
		cmocka_unit_test(test_timeout_recovers),
		cmocka_unit_test(test_reneging),
		cmocka_unit_test(test_rack_reordered),
		cmocka_unit_test(test_rack_times),
		cmocka_unit_test(test_undo_dsack),
		cmocka_unit_test(test_undo_overtaken),
		cmocka_unit_test(test_frto_sack),
		cmocka_unit_test(test_frto_real),
		cmocka_unit_test(test_frto_plain),
		cmocka_unit_test(test_probe_new),
		cmocka_unit_test(test_probe_verdict),
	};

	return cmocka_run_group_tests_name("tcp_loss", tests, rig_setup, rig_teardown);
}
