/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion windows against what the RFCs' formulas say, ACK by ACK without a network. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <string.h>
#include <cmocka.h>

#include "tcp/tcp_internal.h"

#define MSS 1000u
#define RTT 50000u

static struct tcp_half h;
static uint64_t now;

static void begin(uint8_t kind)
{
	memset(&h, 0, sizeof(h));
	now = 3600000000u;
	h.mss = MSS;
	h.srtt_us = h.min_rtt_us = RTT;
	tcp_cc_open(&h, kind);
}

/* One round trip in which the whole window is acknowledged, by every second segment. */
static void round_trip(uint32_t rtt)
{
	uint32_t left = h.cwnd, bytes;

	while (left) {
		bytes = min_u32(left, 2 * MSS);
		left -= bytes;
		h.flags |= HALF_CWND_LIMITED;
		tcp_cc_rtt(&h, rtt);
		tcp_cc_acked(&h, now, bytes, h.cwnd);
	}
	now += rtt;
	tcp_cc_round(&h);
}

/* RFC 6928 and slow start, RFC 5681 3.1. */
static void test_slow_start(void **state)
{
	for (uint8_t kind = TCP_CC_CUBIC; kind <= TCP_CC_NEWRENO; kind++) {
		begin(kind);
		assert_int_equal(h.cwnd, 10 * MSS);
		round_trip(RTT);
		assert_int_equal(h.cwnd, 20 * MSS);
		round_trip(RTT);
		assert_int_equal(h.cwnd, 40 * MSS);
	}
}

/* RFC 5681: a segment for each round trip, half the flight for a loss. */
static void test_newreno(void **state)
{
	uint32_t was;

	begin(TCP_CC_NEWRENO);
	h.ssthresh = h.cwnd = 40 * MSS;
	for (unsigned i = 0; i < 20; i++) {
		was = h.cwnd;
		round_trip(RTT);
		assert_in_range(h.cwnd, was, was + 2 * MSS);
	}
	assert_in_range(h.cwnd, 59 * MSS, 61 * MSS);
	h.snd_nxt = h.snd_una + h.cwnd;
	was = h.cwnd;
	tcp_cc_reduce(&h, false);
	assert_int_equal(h.ssthresh, was / 2);
}

/* RFC 9438 figure 1: after a loss at W the window is back at W after K seconds, concave before, convex after. */
static void test_cubic_curve(void **state)
{
	const double w = 400, k = cbrt(w * 0.3 / 0.4);
	uint64_t from;
	double t, want;

	begin(TCP_CC_CUBIC);
	h.cwnd = (uint32_t)w * MSS;
	tcp_cc_reduce(&h, false);
	assert_int_equal(h.ssthresh, 280 * MSS);
	h.cwnd = h.ssthresh;
	from = now;
	while (now - from < 12000000) {
		round_trip(RTT);
		t = (double)(now - from) * 1e-6 - k;
		want = w + 0.4 * t * t * t;
		assert_true(fabs(h.cwnd / (double)MSS - want) < 0.03 * want + 2);
	}
	assert_true(h.cwnd > 400 * MSS);
}

/* RFC 9438 4.3: where Reno would be faster, as fast as Reno: small windows, short paths. */
static void test_cubic_friendly(void **state)
{
	double alpha = 3 * 0.3 / 1.7, reno = 14;

	begin(TCP_CC_CUBIC);
	h.srtt_us = h.min_rtt_us = 1000;
	h.cwnd = 20 * MSS;
	tcp_cc_reduce(&h, false);
	h.cwnd = h.ssthresh;
	for (unsigned i = 0; i < 60; i++) {
		round_trip(1000);
		reno += reno < 20 ? alpha : 1;
		assert_true(fabs(h.cwnd / (double)MSS - reno) < 0.05 * reno + 1);
	}
}

/* RFC 9438 4.7 and 4.8. */
static void test_cubic_reductions(void **state)
{
	begin(TCP_CC_CUBIC);
	h.cwnd = 100 * MSS;
	tcp_cc_reduce(&h, false);
	assert_true(h.cubic.w_max == 100 * MSS);
	h.cwnd = 80 * MSS; /* lost again before it was back: somebody new is there */
	tcp_cc_reduce(&h, false);
	assert_true(fabsf(h.cubic.w_max - 68 * MSS) < 10);
	assert_int_equal(h.ssthresh, 56 * MSS);
	tcp_cc_reduce(&h, true);
	assert_true(h.cubic.w_max == 0);
}

/* RFC 9406: a round trip 4 ms longer than the one before ends the doubling, five rounds later slow start. */
static void test_hystart(void **state)
{
	uint32_t rtt = RTT, was;
	unsigned i;

	begin(TCP_CC_CUBIC);
	round_trip(rtt);
	round_trip(rtt);
	was = h.cwnd;
	rtt += 7000;
	round_trip(rtt);
	was = h.cwnd;
	for (i = 0; i < 8 && h.ssthresh == UINT32_MAX; i++)
		round_trip(rtt);
	assert_true(h.ssthresh != UINT32_MAX && i <= 5);
	assert_true(h.cwnd < was * 4); /* not the 32-fold of five doublings */
	begin(TCP_CC_CUBIC);
	for (i = 0; i < 6; i++)
		round_trip(RTT + 500 * i); /* jitter */
	assert_true(h.ssthresh == UINT32_MAX);
}

/* RFC 9438 5.8: a window that is not used does not grow; RFC 5681 4.1: nor does it survive silence. */
static void test_unused(void **state)
{
	begin(TCP_CC_CUBIC);
	tcp_cc_acked(&h, now, 2 * MSS, 2 * MSS);
	assert_int_equal(h.cwnd, 10 * MSS);
	h.cwnd = 100 * MSS;
	tcp_cc_idle(&h);
	assert_int_equal(h.cwnd, 10 * MSS);
}

static void test_undo(void **state)
{
	begin(TCP_CC_CUBIC);
	h.cwnd = h.undo_cwnd = 100 * MSS;
	h.undo_ssthresh = h.ssthresh;
	tcp_cc_reduce(&h, true);
	h.cwnd = MSS;
	tcp_cc_undo(&h);
	assert_int_equal(h.cwnd, 100 * MSS);
	assert_true(h.ssthresh == UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_start),   cmocka_unit_test(test_newreno),
		cmocka_unit_test(test_cubic_curve),  cmocka_unit_test(test_cubic_friendly),
		cmocka_unit_test(test_cubic_reductions), cmocka_unit_test(test_hystart),
		cmocka_unit_test(test_unused),	     cmocka_unit_test(test_undo),
	};

	return cmocka_run_group_tests_name("tcp_cc", tests, NULL, NULL);
}
