/* SPDX-License-Identifier: BSD-3-Clause */
/* Forged segments against one half on a virtual clock: what it sends, when, and in which state. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tcp/tcp_rig.h"

static void test_delayed_ack(void **state)
{
	uint32_t off = 0;

	rig_open(true, 60000);
	assert_int_equal(rig_data(0, 100), TCP_EV_DATA);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + 100);
	off = 100;
	rig_quickack_over(&off);
	rig_data(off, MSS);
	assert_int_equal(rig_output(), 0);
	assert_int_equal(tcp_half_deadline(&r.h), r.env.now_us + 40000);
	rig_data(off + MSS, MSS); /* every second one, RFC 5681 4.2 */
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + off + 2 * MSS);
	assert_true(tcp_half_deadline(&r.h) == UINT64_MAX);
	rig_data(off + 2 * MSS, 10);
	assert_int_equal(rig_output(), 0);
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + off + 2 * MSS + 10);
	/* An answer carries the ACK. */
	rig_data(off + 2 * MSS + 10, 10);
	rig_send(5);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.payload_len, 5);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK | TCP_F_PSH);
	assert_int_equal(r.out[0].o.ack, IRS + off + 2 * MSS + 20);
	rig_close();
}

static void test_reordering_and_sack(void **state)
{
	rig_open(true, 60000);
	assert_int_equal(rig_data(2000, 1000), 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS);
	assert_int_equal(r.out[0].o.nsack, 1);
	assert_int_equal(r.out[0].o.sack[0].left, IRS + 2000);
	assert_int_equal(r.out[0].o.sack[0].right, IRS + 3000);
	rig_data(5000, 1000);
	rig_output();
	assert_int_equal(r.out[0].o.nsack, 2);
	assert_int_equal(r.out[0].o.sack[0].left, IRS + 5000); /* the newest first */
	assert_int_equal(rig_data(0, 1000), TCP_EV_DATA);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + 1000);
	assert_int_equal(rig_data(1000, 1000), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 3000);
	assert_int_equal(rig_output(), 1); /* a hole was filled: at once */
	assert_int_equal(r.out[0].o.ack, IRS + 3000);
	/* Sent twice: said so once, RFC 2883. */
	rig_data(1000, 500);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.nsack, 2);
	assert_int_equal(r.out[0].o.sack[0].left, IRS + 1000);
	assert_int_equal(r.out[0].o.sack[0].right, IRS + 1500);
	rig_data(7000, 10);
	rig_output();
	assert_int_equal(r.out[0].o.sack[0].left, IRS + 7000);
	/* SACK blocks travel without payload. */
	rig_data(8000, 10);
	rig_send(3000);
	rig_output();
	assert_int_equal(r.n, 4);
	assert_int_equal(r.out[0].o.nsack, 3);
	assert_int_equal(r.out[1].o.nsack, 0);
	assert_int_equal(r.out[1].o.payload_len, MSS);
	rig_close();
}

static void test_overlap_first_wins(void **state)
{
	struct tcp_segment s = {.seq = IRS + 5,
				.ack = ISS,
				.len = 10,
				.flags = TCP_F_ACK,
				.window = 15000,
				.header_len = 20};
	struct chunkq q;
	uint8_t got[30], i;

	rig_open(true, 60000);
	rig_data(10, 10);
	chunkq_init(&q);
	chunkq_push(&q, mem_testing_chunk(&pool, "zzzzzzzzzz", 10));
	tcp_half_input(&r.env, &r.h, &s, &q);
	assert_int_equal(r.env.count.payload_conflict, 1);
	assert_int_equal(rig_data(0, 10), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 20);
	chunkq_copy(tcp_half_rxq(&r.h), 0, got, 20);
	for (i = 0; i < 20; i++)
		assert_int_equal(got[i], i >= 5 && i < 10 ? 'z' : (uint8_t)(IRS + i));
	rig_close();
}

static void test_small_payload_copied(void **state)
{
	rig_open(true, 60000);
	rig_data(0, 100);
	rig_data(100, 100);
	assert_int_equal(tcp_half_rxq(&r.h)->count, 1);
	assert_ptr_equal(tcp_half_rxq(&r.h)->head->m, pool.gen);
	rig_data(200, 600); /* this one stays where it is */
	assert_int_equal(tcp_half_rxq(&r.h)->count, 2);
	assert_ptr_not_equal(tcp_half_rxq(&r.h)->tail->m, pool.gen);
	rig_close();
}

/* INV-TCP-3 and RFC 9293 3.8.6.2.2. */
static void test_receive_window(void **state)
{
	uint32_t off = 0, edge = 0, last = 0;

	rig_open(true, 60000);
	while (off < 60000) {
		rig_data(off, MSS);
		off += MSS;
		rig_output();
		if (r.n) {
			last = r.out[0].o.window * 8u;
			assert_true(r.out[0].o.ack + last - IRS + 8 > edge);
			edge = r.out[0].o.ack + last - IRS;
		}
	}
	if (tcp_half_deadline(&r.h) != UINT64_MAX) {
		rig_wait();
		rig_output();
		last = r.out[0].o.window * 8u;
	}
	assert_int_equal(last, 0);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 60000);
	/* Closed: bytes are refused, and answered. */
	assert_int_equal(rig_data(off, 10), 0);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 60000);
	assert_int_equal(rig_output(), 1);
	/* A probe is answered, not endlessly. */
	rig_in(TCP_F_ACK, IRS + off - 1, ISS, 0, 15000, NULL, 0);
	assert_int_equal(rig_output(), 1);
	rig_in(TCP_F_ACK, IRS + off - 1, ISS, 0, 15000, NULL, 0);
	assert_int_equal(rig_output(), 0);
	rig_take();
	assert_int_equal(rig_output(), 1); /* the window update */
	assert_int_equal(r.out[0].o.window * 8u, 60000);
	rig_close();
}

static void test_window_update_threshold(void **state)
{
	struct chunkq q;
	uint32_t off;

	rig_open(true, 60000);
	for (off = 0; off < 59000; off += MSS)
		rig_data(off, MSS);
	rig_output();
	if (tcp_half_deadline(&r.h) != UINT64_MAX) {
		rig_wait();
		rig_output();
	}
	chunkq_init(&q);
	tcp_half_take(&r.env, &r.h, &q, 900);
	assert_int_equal(rig_output(), 0); /* not worth a segment */
	tcp_half_take(&r.env, &r.h, &q, 1200);
	assert_int_equal(rig_output(), 1);
	chunkq_purge(&pool, &q);
	rig_close();
}

static void test_acceptability(void **state)
{
	rig_open(true, 60000);
	rig_data(0, 1000);
	rig_output();
	/* Beyond the window. */
	assert_int_equal(rig_in(TCP_F_ACK, IRS + 70000, ISS, 10, 15000, NULL, 0), 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.ack, IRS + 1000);
	/* Old. */
	assert_int_equal(rig_data(0, 10), 0);
	assert_int_equal(rig_output(), 1);
	/* Partly old. */
	assert_int_equal(rig_data(500, 1000), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 1500);
	/* Acknowledges what was never sent: RFC 5961 5.2. */
	rig_output();
	assert_int_equal(rig_in(TCP_F_ACK, IRS + 1500, ISS + 5, 5, 15000, NULL, 0), 0);
	assert_int_equal(r.env.count.challenge, 1);
	/* Without ACK. */
	assert_int_equal(rig_in(0, IRS + 1500, 0, 5, 15000, NULL, 0), 0);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 1500);
	rig_close();
}

/* RFC 5961 sections 3, 4 and 7. */
static void test_blind_resets(void **state)
{
	unsigned i;

	rig_open(true, 60000);
	assert_int_equal(rig_in(TCP_F_RST, IRS + 5, 0, 0, 0, NULL, 0), 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK);
	for (i = 0; i < 100; i++) {
		rig_in(TCP_F_RST, IRS + 5 + i, 0, 0, 0, NULL, 0);
		rig_in(TCP_F_SYN, IRS + 5 + i, 0, 0, 0, NULL, 0);
		rig_output();
		assert_int_equal(r.n, 0); /* not more than one in TCP_CHALLENGE_GAP */
	}
	r.env.now_us += 100000;
	rig_in(TCP_F_SYN, IRS + 9, 0, 0, 0, NULL, 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(tcp_half_state(&r.h), TCP_ESTABLISHED);
	assert_int_equal(rig_in(TCP_F_RST, IRS + 70000, 0, 0, 0, NULL, 0), 0);
	assert_int_equal(rig_output(), 0);
	rig_data(0, 10);
	assert_int_equal(rig_in(TCP_F_RST, IRS + 10, 0, 0, 0, NULL, 0), TCP_EV_RESET);
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSED);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 10); /* still there to be taken */
	assert_int_equal(rig_output(), 0);
	assert_true(tcp_half_deadline(&r.h) == UINT64_MAX);
	rig_send(10);
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	rig_close();
}

static void test_synack_again(void **state)
{
	rig_open(true, 60000);
	rig_in(TCP_F_SYN | TCP_F_ACK, IRS - 1, ISS, 0, 15000, NULL, 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK);
	assert_int_equal(r.out[0].o.ack, IRS);
	rig_close();
}

/* RFC 6928; PSH on the last; full segments while more is queued. */
static void test_zero_window(void **state)
{
	unsigned i;

	rig_open(true, 3000);
	rig_send(10000);
	assert_int_equal(rig_output(), 3);
	rig_in(TCP_F_ACK, IRS, ISS + 3000, 0, 0, NULL, 0);
	assert_int_equal(rig_output(), 0);
	for (i = 0; i < 40; i++) {
		assert_int_equal(rig_wait(), 0);
		assert_int_equal(rig_output(), 1);
		assert_int_equal(r.out[0].o.seq, ISS + 2999);
		assert_int_equal(r.out[0].o.payload_len, 0);
		rig_in(TCP_F_ACK, IRS, ISS + 3000, 0, 0, NULL, 0); /* alive: no end to it */
	}
	rig_in(TCP_F_ACK, IRS, ISS + 3000, 0, 500, NULL, 0); /* 500 << 2 */
	assert_int_equal(rig_output(), 2);
	rig_close();
}

static void test_zero_window_dead(void **state)
{
	uint32_t ev = 0;
	unsigned n = 0;

	rig_open(true, 1000);
	rig_send(5000);
	rig_output();
	rig_in(TCP_F_ACK, IRS, ISS + 1000, 0, 0, NULL, 0);
	rig_output();
	while (!ev) {
		ev = rig_wait();
		rig_output();
		n++;
	}
	assert_int_equal(ev, TCP_EV_TIMEOUT);
	assert_int_equal(n, 16);
	rig_close();
}

/* RFC 9293 3.8.6.2.1: a window too small for a segment waits, not for ever. */
static void test_silly_window(void **state)
{
	rig_open(true, 20000);
	rig_send(30000);
	rig_output();
	rig_in(TCP_F_ACK, IRS, ISS + 10000, 0, 100, NULL, 0); /* 400 bytes */
	assert_int_equal(rig_output(), 0);
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS + 10000);
	assert_int_equal(r.out[0].o.payload_len, 400);
	rig_close();
}

static void test_close_passive(void **state)
{
	rig_open(true, 60000);
	assert_int_equal(rig_in(TCP_F_ACK | TCP_F_FIN, IRS, ISS, 100, 15000, NULL, 0),
			 TCP_EV_DATA | TCP_EV_FIN);
	assert_true(tcp_half_rx_finished(&r.h));
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSE_WAIT);
	rig_output();
	assert_int_equal(r.out[0].o.ack, IRS + 101);
	rig_send(1500); /* the other direction goes on */
	assert_int_equal(rig_output(), 2);
	rig_in(TCP_F_ACK, IRS + 101, ISS + 1500, 0, 15000, NULL, 0);
	tcp_half_finish(&r.h);
	tcp_half_finish(&r.h);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK | TCP_F_FIN);
	assert_int_equal(tcp_half_state(&r.h), TCP_LAST_ACK);
	assert_int_equal(rig_output(), 0);
	assert_int_equal(rig_in(TCP_F_ACK, IRS + 101, ISS + 1501, 0, 15000, NULL, 0),
			 TCP_EV_CLOSED);
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSED);
	assert_true(tcp_half_deadline(&r.h) == UINT64_MAX);
	rig_close();
}

static void test_close_active(void **state)
{
	struct tcp_segment s = {.flags = TCP_F_SYN, .seq = IRS + 50};

	rig_open(true, 60000);
	rig_send(100);
	tcp_half_finish(&r.h);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK | TCP_F_FIN | TCP_F_PSH);
	assert_int_equal(tcp_half_state(&r.h), TCP_FIN_WAIT_1);
	assert_int_equal(rig_ack(101), TCP_EV_ACKED);
	assert_int_equal(tcp_half_state(&r.h), TCP_FIN_WAIT_2);
	assert_int_equal(rig_in(TCP_F_ACK, IRS, ISS + 101, 70, 15000, NULL, 0), TCP_EV_DATA);
	assert_int_equal(rig_in(TCP_F_ACK | TCP_F_FIN, IRS + 70, ISS + 101, 0, 15000, NULL, 0),
			 TCP_EV_FIN);
	assert_int_equal(tcp_half_state(&r.h), TCP_TIME_WAIT);
	rig_output();
	assert_int_equal(r.out[0].o.ack, IRS + 71);
	/* The peer did not get that. */
	r.env.now_us += 300000;
	rig_in(TCP_F_ACK | TCP_F_FIN, IRS + 70, ISS + 101, 0, 15000, NULL, 0);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(tcp_half_deadline(&r.h), r.env.now_us + 1000000);
	assert_false(tcp_half_reusable(&r.h, &s)); /* an old number */
	s.seq = IRS + 1000;
	assert_true(tcp_half_reusable(&r.h, &s));
	assert_int_equal(rig_wait(), TCP_EV_CLOSED);
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSED);
	rig_close();
}

static void test_close_both(void **state)
{
	rig_open(true, 60000);
	tcp_half_finish(&r.h);
	rig_output();
	assert_int_equal(rig_in(TCP_F_ACK | TCP_F_FIN, IRS, ISS, 0, 15000, NULL, 0), TCP_EV_FIN);
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSING);
	rig_in(TCP_F_ACK, IRS + 1, ISS + 1, 0, 15000, NULL, 0);
	assert_int_equal(tcp_half_state(&r.h), TCP_TIME_WAIT);
	assert_int_equal(rig_wait(), TCP_EV_CLOSED);
	rig_close();
}

static void test_fin_again(void **state)
{
	rig_open(false, 60000);
	rig_send(500);
	rig_output();
	tcp_half_finish(&r.h);
	assert_int_equal(rig_output(), 1);
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS);
	assert_int_equal(r.out[0].o.payload_len, 500);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK | TCP_F_FIN | TCP_F_PSH);
	rig_ack(500);
	rig_output();
	rig_wait();
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS + 500);
	assert_int_equal(r.out[0].o.payload_len, 0);
	assert_int_equal(r.out[0].o.flags, TCP_F_ACK | TCP_F_FIN);
	rig_close();
}

static void test_fin_out_of_order(void **state)
{
	rig_open(true, 60000);
	assert_int_equal(rig_in(TCP_F_ACK | TCP_F_FIN, IRS + 100, ISS, 50, 15000, NULL, 0), 0);
	assert_false(tcp_half_rx_finished(&r.h));
	/* Nothing can follow a FIN. */
	rig_data(100, 500);
	assert_int_equal(rig_data(0, 100), TCP_EV_DATA | TCP_EV_FIN);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 150);
	assert_int_equal(rig_data(151, 10), 0);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 150);
	rig_close();
}

static void test_abort(void **state)
{
	rig_open(true, 60000);
	rig_data(0, 10);
	rig_send(100);
	rig_output();
	r.n = 0;
	tcp_half_abort(&r.env, &r.h);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].o.flags, TCP_F_RST | TCP_F_ACK);
	assert_int_equal(r.out[0].o.seq, ISS + 100);
	assert_int_equal(tcp_half_state(&r.h), TCP_CLOSED);
	assert_int_equal(rig_data(10, 10), 0);
	assert_int_equal(rig_output(), 0);
	tcp_half_abort(&r.env, &r.h);
	assert_int_equal(r.n, 0);
	rig_close();
}

static void test_port_refuses(void **state)
{
	rig_open(true, 60000);
	r.refuse = true;
	rig_send(1500);
	rig_data(0, 10);
	assert_int_equal(rig_output(), 0);
	assert_in_range(tcp_half_deadline(&r.h), r.env.now_us + 1, r.env.now_us + 2000);
	r.refuse = false;
	rig_wait();
	assert_int_equal(rig_output(), 2);
	assert_int_equal(r.out[0].o.seq, ISS);
	assert_int_equal(r.out[0].o.ack, IRS + 10);
	rig_close();
}

static void test_send_room(void **state)
{
	unsigned i;

	rig_open(true, 1 << 20);
	for (i = 0; i < 12; i++) {
		uint64_t room = tcp_half_send_room(&r.h);

		assert_in_range(room + tcp_half_send_pending(&r.h), 65536, 4 << 20);
		rig_send((uint32_t)room);
		rig_output();
		r.env.now_us += 10000;
		rig_in(TCP_F_ACK, IRS, r.out[r.n - 1].o.seq + r.out[r.n - 1].o.payload_len, 0,
			65535, NULL, 0);
	}
	assert_int_equal(tcp_half_send_room(&r.h) + tcp_half_send_pending(&r.h), 4 * 60000);
	r.env.rcvbuf_max = 4000; /* short of memory */
	rig_output();
	assert_in_range(tcp_half_send_room(&r.h) + tcp_half_send_pending(&r.h), 65536, 4 * 60000);
	tcp_half_finish(&r.h);
	assert_int_equal(tcp_half_send_room(&r.h), 0);
	rig_close();
}

/* The owner is short of packet buffers: payload is as if lost, acknowledgements count. */
static void test_scarce(void **state)
{
	rig_open(true, 60000);
	rig_data(2000, 1000);
	rig_output();
	r.env.scarce = TCP_SCARCE;
	assert_int_equal(rig_data(4000, 1000), 0); /* out of order: told what is missing, not kept */
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.nsack, 1);
	assert_int_equal(rig_data(0, 1000), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 1000);
	rig_output();
	rig_send(500);
	rig_output();
	/* Who is not fetched from takes no more of what is left: others could not go on with it. */
	r.h.rxq.bytes += TCP_SCARCE_UNREAD;
	assert_int_equal(rig_data(1000, 1000), 0);
	assert_int_equal(rig_output(), 1);
	r.h.rxq.bytes -= TCP_SCARCE_UNREAD;
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 1000);
	r.env.scarce = TCP_EXHAUSTED;
	assert_int_equal(rig_in(TCP_F_ACK | TCP_F_FIN, IRS + 1000, ISS + 500, 1000, 15000, NULL,
				 0),
			 TCP_EV_ACKED);
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 1000);
	assert_int_equal(rig_output(), 0); /* silence */
	r.env.scarce = TCP_PLENTY;
	assert_int_equal(rig_data(1000, 1000), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 2000); /* what lay behind was given up */
	rig_output();
	assert_int_equal(r.out[0].o.nsack, 0);
	assert_int_equal(rig_data(2000, 1900), TCP_EV_DATA);
	assert_int_equal(tcp_half_rxq(&r.h)->bytes, 3900);
	assert_false(tcp_half_rx_finished(&r.h)); /* its FIN was refused with the payload */
	rig_close();
}

static void put_chunk(struct chunkq *q, uint32_t len)
{
	static uint8_t bytes[2000];

	chunkq_push(q, mem_testing_chunk(&pool, bytes, len));
}

/* What came as a segment goes on as one; small ones are put together, large ones cut. */
static void test_segment_bounds(void **state)
{
	static const struct {
		uint32_t chunk[6], out[6];
	} cases[] = {
		{{700, 1000, 1000}, {700, 1000, 1000}},
		{{1000, 600, 600, 300}, {1000, 600, 900}},
		{{300, 1000, 1000}, {300, 1000, 1000}}, /* the small one first */
		{{300, 300, 300, 300}, {1000, 200}},	 /* none of them worth a segment */
		{{1500, 1500}, {1000, 1000, 1000}},	 /* longer than a segment */
		{{1500, 800, 100}, {1000, 500, 900}},
		{{511, 511, 512, 512}, {1000, 534, 512}},
		{{1000}, {1000}},
		{{1}, {1}},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chunkq q;
		unsigned n = 0;

		rig_open(true, 60000);
		chunkq_init(&q);
		for (unsigned k = 0; k < 6 && cases[i].chunk[k]; k++)
			put_chunk(&q, cases[i].chunk[k]);
		tcp_half_send(&r.env, &r.h, &q);
		rig_output();
		for (; n < 6 && cases[i].out[n]; n++)
			assert_int_equal(r.out[n].o.payload_len, cases[i].out[n]);
		assert_int_equal(r.n, n);
		rig_close();
	}
}

/* A chunk that was cut on its way is sent whole. */
static void test_send_joins(void **state)
{
	struct chunkq q, rest;

	rig_open(true, 60000);
	chunkq_init(&q);
	chunkq_init(&rest);
	put_chunk(&rest, 900);
	assert_int_equal(chunkq_move(&pool, &q, &rest, 100), 0);
	tcp_half_send(&r.env, &r.h, &q);
	tcp_half_send(&r.env, &r.h, &rest);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.payload_len, 900);
	assert_int_equal(r.out[0].o.c->len, 900);
	/* and where the first part is on its way already */
	chunkq_init(&q);
	put_chunk(&rest, 900);
	assert_int_equal(chunkq_move(&pool, &q, &rest, 100), 0);
	tcp_half_send(&r.env, &r.h, &q);
	assert_int_equal(rig_output(), 1);
	tcp_half_send(&r.env, &r.h, &rest);
	assert_int_equal(rig_output(), 1);
	assert_int_equal(r.out[0].o.seq, ISS + 1000);
	assert_int_equal(r.out[0].o.skip, 100);
	assert_int_equal(r.out[0].o.payload_len, 800);
	rig_ack(1000);
	assert_int_equal(tcp_half_send_pending(&r.h), 800);
	rig_ack(1800);
	assert_int_equal(tcp_half_send_pending(&r.h), 0);
	rig_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delayed_ack),
		cmocka_unit_test(test_reordering_and_sack),
		cmocka_unit_test(test_overlap_first_wins),
		cmocka_unit_test(test_small_payload_copied),
		cmocka_unit_test(test_receive_window),
		cmocka_unit_test(test_window_update_threshold),
		cmocka_unit_test(test_acceptability),
		cmocka_unit_test(test_blind_resets),
		cmocka_unit_test(test_synack_again),
		cmocka_unit_test(test_zero_window),
		cmocka_unit_test(test_zero_window_dead),
		cmocka_unit_test(test_silly_window),
		cmocka_unit_test(test_close_passive),
		cmocka_unit_test(test_close_active),
		cmocka_unit_test(test_close_both),
		cmocka_unit_test(test_fin_again),
		cmocka_unit_test(test_fin_out_of_order),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_port_refuses),
		cmocka_unit_test(test_send_room),
		cmocka_unit_test(test_scarce),
		cmocka_unit_test(test_segment_bounds),
		cmocka_unit_test(test_send_joins),
	};

	return cmocka_run_group_tests_name("tcp_half", tests, rig_setup, rig_teardown);
}
