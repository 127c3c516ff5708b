/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "tcp/tcp_handshake.h"

#define CLIENT_ISN 1000u
#define SERVER_ISN 0xffffffffu

/* A header on the wire and its decoded form. */
struct wire {
	uint8_t hdr[60];
	struct tcp_segment s;
};

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void forge(struct wire *w, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t window,
		  const void *opt, unsigned optlen)
{
	memset(w, 0, sizeof(*w));
	put32(w->hdr + 4, seq);
	put32(w->hdr + 8, ack);
	w->hdr[12] = (uint8_t)((20 + optlen) / 4 << 4);
	w->hdr[13] = flags;
	w->hdr[14] = (uint8_t)(window >> 8);
	w->hdr[15] = (uint8_t)window;
	if (optlen)
		memcpy(w->hdr + 20, opt, optlen);
	assert_int_equal(tcp_segment_parse(&w->s, w->hdr, 20 + optlen, 20 + optlen), 0);
}

static enum tcp_hs_verdict give(struct tcp_handshake *hs, unsigned side, struct wire *w,
				uint64_t now)
{
	return tcp_handshake_input(hs, side, &w->s, w->hdr, 1400, false, now);
}

/* What Linux sends: MSS 1460, SACK-permitted, timestamps, NOP, window scale 7. */
static const uint8_t linux_syn[20] = {2, 4, 5, 180, 4, 2, 8, 10, 1, 2,
				      3, 4, 0, 0,   0, 0, 1, 3,	 3, 7};

static void syn(struct wire *w)
{
	forge(w, CLIENT_ISN, 0, TCP_F_SYN | TCP_F_ECE | TCP_F_CWR, 64240, linux_syn, 20);
}

static void synack(struct wire *w)
{
	uint8_t opt[20];

	memcpy(opt, linux_syn, 20);
	opt[19] = 5;
	forge(w, SERVER_ISN, CLIENT_ISN + 1, TCP_F_SYN | TCP_F_ACK | TCP_F_ECE, 65160, opt, 20);
}

static void ack(struct wire *w)
{
	forge(w, CLIENT_ISN + 1, SERVER_ISN + 1, TCP_F_ACK, 502, NULL, 0);
}

static void test_parse(void **state)
{
	static const uint8_t opt[] = {1, 1, 5, 18, 0, 0,  0, 1, 0, 0,
				      0, 9, 0, 0,  0, 20, 0, 0, 0, 30};
	struct tcp_segment s;
	struct wire w;

	forge(&w, 1, 2, TCP_F_ACK | TCP_F_PSH, 7, opt, 20);
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 60, 140), 0);
	assert_int_equal(s.seq, 1);
	assert_int_equal(s.ack, 2);
	assert_int_equal(s.len, 100);
	assert_int_equal(s.window, 7);
	assert_int_equal(s.header_len, 40);
	assert_int_equal(s.nsack, 2);
	assert_int_equal(s.sack[0].left, 1);
	assert_int_equal(s.sack[1].right, 30);
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 19, 140), -EBADMSG);
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 39, 140), -EBADMSG);
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 60, 39), -EBADMSG);
	w.hdr[12] = 4 << 4;
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 60, 140), -EBADMSG);
	/* A broken option ends the options, no more. */
	w.hdr[12] = 10 << 4;
	w.hdr[23] = 40;
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 60, 140), 0);
	assert_int_equal(s.nsack, 0);
	w.hdr[23] = 0;
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 60, 140), 0);
	w.hdr[23] = 17; /* not whole blocks */
	assert_int_equal(tcp_segment_parse(&s, w.hdr, 60, 140), 0);
	assert_int_equal(s.nsack, 0);
}

static void test_usual(void **state)
{
	static const uint8_t want[20] = {2, 4, 5, 120, 4, 2, 1, 1, 1, 1,
					 1, 1, 1, 1,   1, 1, 1, 3, 3, 7};
	struct tcp_handshake hs = {0};
	struct tcp_params p;
	struct wire w;

	syn(&w);
	assert_int_equal(give(&hs, 0, &w, 1000), TCP_HS_FORWARD);
	assert_memory_equal(w.hdr + 20, want, 20); /* MSS 1400, no timestamps */
	assert_int_equal(w.hdr[13], TCP_F_SYN);	   /* no ECN */
	synack(&w);
	assert_int_equal(give(&hs, 1, &w, 1300), TCP_HS_FORWARD);
	assert_int_equal(w.hdr[13], TCP_F_SYN | TCP_F_ACK);
	assert_int_equal(hs.state, TCP_HS_SYNACK_SEEN);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 1350), TCP_HS_ESTABLISHED);
	assert_int_equal(hs.state, TCP_HS_DONE);

	tcp_handshake_params(&hs, 0, &p);
	assert_int_equal(p.snd_nxt, SERVER_ISN + 1);
	assert_int_equal(p.rcv_nxt, CLIENT_ISN + 1);
	assert_int_equal(p.snd_wnd, 502 << 7);
	assert_int_equal(p.rcv_wnd, 65160);
	assert_int_equal(p.mss, 1400);
	assert_int_equal(p.snd_wscale, 7);
	assert_int_equal(p.rcv_wscale, 5);
	assert_true(p.wscale && p.sack);
	assert_int_equal(p.srtt_us, 50);

	tcp_handshake_params(&hs, 1, &p);
	assert_int_equal(p.snd_nxt, CLIENT_ISN + 1);
	assert_int_equal(p.rcv_nxt, SERVER_ISN + 1);
	assert_int_equal(p.snd_wnd, 65160);
	assert_int_equal(p.rcv_wnd, 64240);
	assert_int_equal(p.snd_wscale, 5);
	assert_int_equal(p.rcv_wscale, 7);
	assert_int_equal(p.srtt_us, 300);
}

static void test_plain_ends(void **state)
{
	struct tcp_handshake hs = {0};
	struct tcp_params p;
	struct wire w;

	forge(&w, CLIENT_ISN, 0, TCP_F_SYN, 8192, NULL, 0);
	assert_int_equal(tcp_handshake_input(&hs, 0, &w.s, w.hdr, 1400, true, 0), TCP_HS_FORWARD);
	synack(&w);
	give(&hs, 1, &w, 5);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 9), TCP_HS_ESTABLISHED);
	tcp_handshake_params(&hs, 0, &p);
	assert_int_equal(p.mss, 1220);
	assert_false(p.wscale);
	assert_false(p.sack);
	assert_int_equal(p.snd_wnd, 502); /* not scaled: one end did not offer to */
	assert_int_equal(p.rcv_wscale, 0);
}

static void test_again(void **state)
{
	struct tcp_handshake hs = {0};
	struct tcp_params p;
	struct wire w;

	syn(&w);
	give(&hs, 0, &w, 0);
	syn(&w);
	assert_int_equal(give(&hs, 0, &w, 1000), TCP_HS_FORWARD);
	synack(&w);
	give(&hs, 1, &w, 1100);
	syn(&w); /* crossed the SYN/ACK */
	assert_int_equal(give(&hs, 0, &w, 1200), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYNACK_SEEN);
	synack(&w);
	assert_int_equal(give(&hs, 1, &w, 2200), TCP_HS_FORWARD);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 2300), TCP_HS_ESTABLISHED);
	tcp_handshake_params(&hs, 0, &p);
	assert_int_equal(p.srtt_us, 0); /* Karn */
	tcp_handshake_params(&hs, 1, &p);
	assert_int_equal(p.srtt_us, 0);
}

static void test_new_syn(void **state)
{
	struct tcp_handshake hs = {0};
	struct wire w;

	syn(&w);
	give(&hs, 0, &w, 0);
	forge(&w, 5000, 0, TCP_F_SYN, 100, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD);
	synack(&w); /* answers the SYN that is forgotten: the client will reset it */
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYN_SEEN);
	forge(&w, 1, 5001, TCP_F_SYN | TCP_F_ACK, 100, NULL, 0);
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYNACK_SEEN);
}

static void test_resets(void **state)
{
	struct tcp_handshake hs = {0};
	struct wire w;

	syn(&w);
	give(&hs, 0, &w, 0);
	forge(&w, 0, 77, TCP_F_RST | TCP_F_ACK, 0, NULL, 0); /* blind */
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYN_SEEN);
	forge(&w, 0, CLIENT_ISN + 1, TCP_F_RST | TCP_F_ACK, 0, NULL, 0); /* refused */
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_RESET);

	memset(&hs, 0, sizeof(hs));
	syn(&w);
	give(&hs, 0, &w, 0);
	synack(&w);
	give(&hs, 1, &w, 0);
	forge(&w, CLIENT_ISN + 9, 0, TCP_F_RST, 0, NULL, 0);
	give(&hs, 0, &w, 0);
	assert_int_equal(hs.state, TCP_HS_SYNACK_SEEN);
	forge(&w, CLIENT_ISN + 1, 0, TCP_F_RST, 0, NULL, 0);
	give(&hs, 0, &w, 0);
	assert_int_equal(hs.state, TCP_HS_RESET);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_DROP);
}

static void test_strays(void **state)
{
	struct tcp_handshake hs = {0};
	struct wire w;

	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_BYPASS); /* mid-flow */
	forge(&w, 1, 0, TCP_F_SYN, 1, NULL, 0);
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_BYPASS);
	syn(&w);
	give(&hs, 0, &w, 0);
	forge(&w, 9, 9, TCP_F_ACK, 1, NULL, 0); /* challenge ACK of an old connection */
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	forge(&w, CLIENT_ISN, 0, TCP_F_SYN | TCP_F_FIN, 1, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_DROP);
	synack(&w);
	give(&hs, 1, &w, 0);
	forge(&w, CLIENT_ISN + 1, 12345, TCP_F_ACK, 1, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD);
	forge(&w, CLIENT_ISN + 1 + 70000, SERVER_ISN + 1, TCP_F_ACK, 1, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_DROP);
	/* The first ACK was lost, data come instead, even the second segment of them. */
	forge(&w, CLIENT_ISN + 1 + 1400, SERVER_ISN + 1, TCP_F_ACK, 1, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_ESTABLISHED);
}

static void test_authenticated(void **state)
{
	uint8_t opt[24] = {2, 4, 5, 180, 19, 18};
	struct tcp_handshake hs = {0};
	struct wire w;

	opt[22] = opt[23] = 1;
	forge(&w, CLIENT_ISN, 0, TCP_F_SYN, 1, opt, 24);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_BYPASS);
	assert_memory_equal(w.hdr + 20, opt, 24); /* untouched */
}

static void test_broken_options(void **state)
{
	static const uint8_t opt[8] = {2, 4, 0, 10, 77, 200, 3, 3};
	static const uint8_t want[8] = {2, 4, 0, 10, 0, 0, 0, 0};
	struct tcp_handshake hs = {0};
	struct wire w;

	forge(&w, CLIENT_ISN, 0, TCP_F_SYN, 1, opt, 8);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD);
	assert_memory_equal(w.hdr + 20, want, 8);
	assert_int_equal(hs.mss[0], 48); /* a floor under absurd offers */
	assert_false(hs.has_wscale[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	       cmocka_unit_test(test_usual),
		cmocka_unit_test(test_plain_ends),     cmocka_unit_test(test_again),
		cmocka_unit_test(test_new_syn),	       cmocka_unit_test(test_resets),
		cmocka_unit_test(test_strays),	       cmocka_unit_test(test_authenticated),
		cmocka_unit_test(test_broken_options),
	};

	return cmocka_run_group_tests_name("tcp_handshake", tests, NULL, NULL);
}
