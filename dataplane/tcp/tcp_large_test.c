/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments of more than one MSS: what a half hands to a port that cuts them, and what it makes of merged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "mem/mem_testing.h"
#include "tcp/tcp_internal.h"

#define ISS 0xfffff000u
#define IRS 5000u
#define MSS 1000u

static struct chunk_pool pool;
static struct {
	struct tcp_env env;
	struct tcp_half h;
	struct tcp_out out[256];
	unsigned n;
} r;

static int emit(void *ctx, struct tcp_half *h, const struct tcp_out *o)
{
	assert_true(r.n < 256);
	r.out[r.n++] = *o;
	return 0;
}

static void rig_open(uint32_t snd_wnd, uint32_t tso)
{
	struct tcp_params p = {
		.snd_nxt = ISS, .rcv_nxt = IRS, .snd_wnd = snd_wnd, .rcv_wnd = 60000, .mss = MSS, .rcv_mss = MSS,
		.snd_wscale = 0, .rcv_wscale = 3, .wscale = true, .sack = true, .srtt_us = 10000,
	};

	memset(&r, 0, sizeof(r));
	r.env = (struct tcp_env){.now_us = 5000000, .pool = &pool, .emit = emit, .rcvbuf_max = 60000};
	tcp_half_open(&r.h, &p, &r.env);
	tcp_half_tso(&r.h, tso);
	tcp_half_output(&r.env, &r.h);
	r.n = 0;
}

static void rig_close(void)
{
	tcp_half_free(&r.env, &r.h);
	assert_true(mem_testing_clean(&pool));
}

static unsigned output(void)
{
	r.n = 0;
	return tcp_half_output(&r.env, &r.h);
}

static void bytes_queue(struct chunkq *q, uint32_t n)
{
	uint8_t bytes[MSS];

	memset(bytes, 's', sizeof(bytes));
	for (chunkq_init(q); n;) {
		uint32_t len = min_u32(n, MSS);

		chunkq_push(q, mem_testing_chunk(&pool, bytes, len));
		n -= len;
	}
}

static void send_bytes(uint32_t n)
{
	struct chunkq q;

	bytes_queue(&q, n);
	tcp_half_send(&r.env, &r.h, &q);
}

static uint32_t segment_in(uint32_t seq, uint32_t ack, uint32_t len, uint16_t window)
{
	struct tcp_segment s = {.seq = seq, .ack = ack, .len = len, .window = window, .flags = TCP_F_ACK, .header_len = 20};
	struct chunkq q;

	bytes_queue(&q, len);
	return tcp_half_input(&r.env, &r.h, &s, &q);
}

/* Whole segments up to what a tcp_out may carry, then the rest in the ordinary way, with PSH and FIN on the last only. */
static void test_whole_segments(void **state)
{
	rig_open(60000, 4500);
	send_bytes(9300);
	tcp_half_finish(&r.h);
	assert_int_equal(output(), 4);
	assert_int_equal(r.out[0].payload_len, 4000);
	assert_int_equal(r.out[0].flags, TCP_F_ACK);
	assert_int_equal(r.out[1].seq, ISS + 4000);
	assert_int_equal(r.out[1].payload_len, 4000);
	assert_int_equal(r.out[2].payload_len, 1000);
	assert_int_equal(r.out[3].payload_len, 300);
	assert_int_equal(r.out[3].flags, TCP_F_ACK | TCP_F_PSH | TCP_F_FIN);
	segment_in(IRS, ISS + 9301, 0, 60000);
	assert_int_equal(tcp_half_state(&r.h), TCP_FIN_WAIT_2);
	rig_close();
	rig_open(60000, 4500);
	send_bytes(3000);
	tcp_half_finish(&r.h);
	assert_int_equal(output(), 1); /* a port sets both on the last segment only */
	assert_int_equal(r.out[0].payload_len, 3000);
	assert_int_equal(r.out[0].flags, TCP_F_ACK | TCP_F_PSH | TCP_F_FIN);
	rig_close();
}

static void test_windows(void **state)
{
	rig_open(60000, 60000);
	send_bytes(40000);
	assert_int_equal(output(), 1);
	assert_int_equal(r.out[0].payload_len, 10000); /* RFC 6928 */
	assert_int_equal(output(), 0);
	segment_in(IRS, ISS + 2000, 0, 10500);
	output();
	for (unsigned i = 0; i < r.n; i++)
		assert_true((int32_t)(r.out[i].seq + r.out[i].payload_len - (ISS + 12500)) <= 0);
	assert_int_equal(r.out[0].payload_len, 2000); /* nor a silly small one for what is left of the window */
	assert_int_equal(r.n, 1);
	rig_close();
	rig_open(1500, 60000); /* room for one only */
	send_bytes(4000);
	assert_int_equal(output(), 1);
	assert_int_equal(r.out[0].payload_len, 1000);
	rig_close();
}

/* A loss in the middle of a large one: octets count, and what is missing goes again by single segments. */
static void test_loss(void **state)
{
	struct tcp_segment s = {.seq = IRS, .ack = ISS + 2000, .window = 60000, .flags = TCP_F_ACK, .header_len = 20,
				.nsack = 1, .sack = {{ISS + 4000, ISS + 10000}}};
	struct chunkq q;
	uint32_t again = 0;

	rig_open(60000, 60000);
	send_bytes(10000);
	assert_int_equal(output(), 1);
	r.env.now_us += 20000;
	chunkq_init(&q);
	tcp_half_input(&r.env, &r.h, &s, &q);
	for (unsigned i = 0; i < 20 && again < 2000; i++) {
		output();
		for (unsigned k = 0; k < r.n; k++) {
			assert_true(r.out[k].payload_len <= MSS);
			assert_int_equal(r.out[k].seq, ISS + 2000 + again);
			again += r.out[k].payload_len;
		}
		r.env.now_us += 10000;
		tcp_half_timer(&r.env, &r.h);
	}
	assert_int_equal(again, 2000);
	assert_int_equal(r.env.count.rto, 0);
	segment_in(IRS, ISS + 10000, 0, 60000);
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	rig_close();
}

/* Merged segments are acknowledged as the several they were, and the window opens by segments as sent. */
static void test_merged_received(void **state)
{
	uint32_t off = 0;
	struct chunkq q;

	rig_open(60000, 0);
	for (; off < 40000; off += 8000) {
		assert_int_equal(segment_in(IRS + off, ISS, 8000, 60000), TCP_EV_DATA);
		assert_int_equal(output(), 1);
		assert_int_equal(r.out[0].ack, IRS + off + 8000);
		chunkq_init(&q);
		assert_int_equal(tcp_half_take(&r.env, &r.h, &q, 8000), 0);
		chunkq_purge(&pool, &q);
		output();
	}
	assert_int_equal(r.h.rcv_mss, MSS);
	r.h.quickack = 0;
	segment_in(IRS + off, ISS, 1000, 60000);
	assert_int_equal(output(), 0); /* one alone waits for the second */
	segment_in(IRS + off + 1000, ISS, 2000, 60000);
	assert_int_equal(output(), 1);
	assert_int_equal(r.out[0].ack, IRS + off + 3000);
	/* Out of order, and the hole filled by a merged one that overlaps. */
	segment_in(IRS + off + 6000, ISS, 3000, 60000);
	output();
	segment_in(IRS + off + 2000, ISS, 5000, 60000);
	assert_int_equal(output(), 1);
	assert_int_equal(r.out[0].ack, IRS + off + 9000);
	rig_close();
}

static int setup(void **state)
{
	mem_testing_pool(&pool, 8191, 16383);
	return 0;
}

static int teardown(void **state)
{
	mem_testing_free(&pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_segments),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_merged_received),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
