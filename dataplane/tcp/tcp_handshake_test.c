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
	forge(&w, 1, 4001, TCP_F_SYN | TCP_F_ACK, 100, NULL, 0); /* answers neither: the client will reset it */
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYN_SEEN);
	forge(&w, 1, 5001, TCP_F_SYN | TCP_F_ACK, 100, NULL, 0);
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYNACK_SEEN);
	assert_int_equal(hs.syn[0].isn, 5000);
}

/* INV-HS-2: whichever SYN the server took, whatever came in between, is the one that is followed. */
static void test_which_syn(void **state)
{
	struct tcp_handshake hs = {0};
	struct tcp_params p;
	struct wire w;

	syn(&w);
	give(&hs, 0, &w, 0);
	forge(&w, 5000, 0, TCP_F_SYN, 100, NULL, 0);
	give(&hs, 0, &w, 0);
	synack(&w); /* the first one, after all */
	give(&hs, 1, &w, 0);
	forge(&w, 900000, 0, TCP_F_SYN, 100, NULL, 0); /* too late to change that */
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD);
	forge(&w, 900001, SERVER_ISN + 1, TCP_F_ACK, 1, NULL, 0);
	w.s.len = 10; /* by the client's other numbers nothing crosses and nothing is opened */
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_DROP);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_ESTABLISHED);
	tcp_handshake_params(&hs, 1, &p);
	assert_int_equal(p.snd_nxt, CLIENT_ISN + 1);
	assert_int_equal(p.srtt_us, 0);

	/* the server forgot the first and took the second while the first was confirmed */
	memset(&hs, 0, sizeof(hs));
	syn(&w);
	give(&hs, 0, &w, 0);
	synack(&w);
	give(&hs, 1, &w, 0);
	forge(&w, 6000, 0, TCP_F_SYN, 100, NULL, 0);
	give(&hs, 0, &w, 0);
	forge(&w, 77, 6001, TCP_F_SYN | TCP_F_ACK, 100, NULL, 0);
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD); /* of the old one: the server resets it */
	forge(&w, 6001, 78, TCP_F_ACK, 1, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_ESTABLISHED);
	tcp_handshake_params(&hs, 0, &p);
	assert_int_equal(p.snd_nxt, 78);
	assert_int_equal(p.rcv_nxt, 6001);

	/* two SYN/ACKs with different numbers (SYN cookies): the client says which one it got */
	for (unsigned first = 0; first < 2; first++) {
		memset(&hs, 0, sizeof(hs));
		syn(&w);
		give(&hs, 0, &w, 0);
		synack(&w);
		give(&hs, 1, &w, 0);
		forge(&w, 500, CLIENT_ISN + 1, TCP_F_SYN | TCP_F_ACK, 100, NULL, 0);
		give(&hs, 1, &w, 0);
		forge(&w, CLIENT_ISN + 1, first ? SERVER_ISN + 1 : 501, TCP_F_ACK, 1, NULL, 0);
		assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_ESTABLISHED);
		tcp_handshake_params(&hs, 0, &p);
		assert_int_equal(p.snd_nxt, first ? SERVER_ISN + 1 : 501);
	}
}

/* RFC 9293 figure 8, with all that either end may send as its acknowledgement. */
static void test_simultaneous(void **state)
{
	static const uint8_t wscale4[8] = {2, 4, 4, 0, 3, 3, 4, 0};

	for (unsigned way = 0; way < 8; way++) {
		unsigned first = way & 1;
		bool acks[2] = {way & 2, way & 4}; /* an ACK (as kernels of old do) in place of the SYN/ACK */
		struct tcp_handshake hs = {0};
		struct tcp_params p;
		struct wire w;

		syn(&w);
		assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD);
		forge(&w, SERVER_ISN, 0, TCP_F_SYN, 8000, wscale4, 8);
		assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
		assert_int_equal(hs.state, TCP_HS_SYNS_CROSSED);
		for (unsigned i = 0; i < 2; i++) {
			unsigned side = first ^ i;
			uint32_t isn = side ? SERVER_ISN : CLIENT_ISN, far = side ? CLIENT_ISN : SERVER_ISN;

			if (acks[side])
				forge(&w, isn + 1, far + 1, TCP_F_ACK, 70, NULL, 0);
			else
				forge(&w, isn, far + 1, TCP_F_SYN | TCP_F_ACK, 9000, side ? wscale4 : linux_syn,
				      side ? 8 : 20);
			assert_int_equal(give(&hs, side, &w, 0), i ? TCP_HS_ESTABLISHED : TCP_HS_FORWARD);
		}
		tcp_handshake_params(&hs, 0, &p);
		assert_int_equal(p.snd_nxt, SERVER_ISN + 1);
		assert_int_equal(p.rcv_nxt, CLIENT_ISN + 1);
		assert_int_equal(p.snd_wnd, acks[0] ? 70 << 7 : 9000);
		assert_int_equal(p.rcv_wnd, 8000);
		assert_int_equal(p.mss, 1400);
		assert_int_equal(p.rcv_mss, 1024);
		assert_int_equal(p.snd_wscale, 7);
		assert_int_equal(p.rcv_wscale, 4);
		assert_true(p.wscale && !p.sack);
		assert_int_equal(p.srtt_us, 0);
		tcp_handshake_params(&hs, 1, &p);
		assert_int_equal(p.snd_nxt, CLIENT_ISN + 1);
		assert_int_equal(p.snd_wnd, 8000);
		assert_int_equal(p.mss, 1024);
	}
}

/* A SYN from the server's address that is not the server's: its real answer counts. */
static void test_forged_crossing(void **state)
{
	struct tcp_handshake hs = {0};
	struct tcp_params p;
	struct wire w;

	syn(&w);
	give(&hs, 0, &w, 0);
	forge(&w, 99, 0, TCP_F_SYN, 8000, NULL, 0);
	give(&hs, 1, &w, 0);
	forge(&w, CLIENT_ISN, 100, TCP_F_SYN | TCP_F_ACK, 1, NULL, 0);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_FORWARD);
	synack(&w);
	assert_int_equal(give(&hs, 1, &w, 0), TCP_HS_FORWARD);
	assert_int_equal(hs.state, TCP_HS_SYNACK_SEEN);
	ack(&w);
	assert_int_equal(give(&hs, 0, &w, 0), TCP_HS_ESTABLISHED);
	tcp_handshake_params(&hs, 0, &p);
	assert_int_equal(p.snd_nxt, SERVER_ISN + 1);
	assert_int_equal(p.rcv_wnd, 65160);
}

/* Options that would let the ends agree on something we cannot serve do not arrive. */
static void test_fall_back(void **state)
{
	static const struct {
		const char *what;
		uint8_t opt[20];
		uint8_t len;
	} in[] = {
		{"fast open, request", {34, 2}, 2},
		{"fast open, cookie", {34, 10, 1, 2, 3, 4, 5, 6, 7, 8}, 10},
		{"fast open, experimental", {254, 4, 0xf9, 0x89}, 4},
		{"multipath, capable", {30, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 8}, 12},
		{"multipath, join", {30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8}, 12},
		{"timestamps", {8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, 10},
		{"user timeout", {28, 4, 1, 2}, 4},
		{"unknown", {200, 5, 1, 2, 3}, 5},
	};

	for (unsigned i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		for (unsigned answer = 0; answer < 2; answer++) {
			struct tcp_handshake hs = {0};
			struct wire w;

			syn(&w);
			if (answer)
				give(&hs, 0, &w, 0);
			forge(&w, answer ? SERVER_ISN : CLIENT_ISN, answer ? CLIENT_ISN + 1 : 0,
			      answer ? TCP_F_SYN | TCP_F_ACK : TCP_F_SYN, 1, in[i].opt, 20);
			assert_int_equal(give(&hs, answer, &w, 0), TCP_HS_FORWARD);
			for (unsigned k = 0; k < in[i].len; k++) {
				if (w.hdr[20 + k] != 1)
					fail_msg("%s: octet %u is %u", in[i].what, k, w.hdr[20 + k]);
			}
		}
	}
}

/* --- every state, every kind of segment, both sides -------------------------------------------------------------- */

enum kind {
	K_SYN, K_SYN_NEW, K_SYN_AO, K_SYNACK, K_SYNACK_WRONG, K_SYNACK_NEW, K_ACK, K_ACK_WRONG, K_ACK_DATA, K_ACK_FAR,
	K_WRONG_DATA, K_FINACK, K_FIN_WRONG, K_RST_SEQ, K_RST_ACK, K_RST_BLIND, K_SYNFIN, K_SYNRST, K_NULL, K_XMAS, K_FIN,
	KINDS
};

static void kind_forge(struct wire *w, enum kind k, unsigned side)
{
	static const uint8_t ao[8] = {29, 8, 1, 1, 1, 1, 1, 1};
	uint32_t isn = side ? SERVER_ISN : CLIENT_ISN, far = side ? CLIENT_ISN : SERVER_ISN;
	static const struct {
		uint8_t flags;
		int seq, ack; /* from the ISNs */
		uint16_t len;
	} f[KINDS] = {
		[K_SYN] = {TCP_F_SYN, 0, 0, 0}, [K_SYN_NEW] = {TCP_F_SYN, 9999, 0, 0}, [K_SYN_AO] = {TCP_F_SYN, 0, 0, 0},
		[K_SYNACK] = {TCP_F_SYN | TCP_F_ACK, 0, 1, 0}, [K_SYNACK_WRONG] = {TCP_F_SYN | TCP_F_ACK, 0, 2, 0},
		[K_SYNACK_NEW] = {TCP_F_SYN | TCP_F_ACK, 9999, 1, 0}, [K_ACK] = {TCP_F_ACK, 1, 1, 0},
		[K_ACK_WRONG] = {TCP_F_ACK, 1, 0, 0}, [K_ACK_DATA] = {TCP_F_ACK, 1, 1, 5}, [K_ACK_FAR] = {TCP_F_ACK, 70000, 1, 5},
		[K_WRONG_DATA] = {TCP_F_ACK, 1, 2, 5}, [K_FINACK] = {TCP_F_FIN | TCP_F_ACK, 1, 1, 0},
		[K_FIN_WRONG] = {TCP_F_FIN | TCP_F_ACK, 1, 2, 0}, [K_RST_SEQ] = {TCP_F_RST, 1, 0, 0},
		[K_RST_ACK] = {TCP_F_RST | TCP_F_ACK, -500, 1, 0}, [K_RST_BLIND] = {TCP_F_RST, 2, 0, 0},
		[K_SYNFIN] = {TCP_F_SYN | TCP_F_FIN, 0, 0, 0}, [K_SYNRST] = {TCP_F_SYN | TCP_F_RST, 1, 0, 0},
		[K_NULL] = {0, 1, 1, 0}, [K_XMAS] = {TCP_F_FIN | TCP_F_PSH | TCP_F_URG, 1, 1, 0}, [K_FIN] = {TCP_F_FIN, 1, 1, 0},
	};

	forge(w, isn + (uint32_t)f[k].seq, f[k].flags & TCP_F_ACK ? far + (uint32_t)f[k].ack : 0, f[k].flags, 500, ao,
	      k == K_SYN_AO ? 8 : 0);
	w->s.len = f[k].len;
}

/* Verdict (forward, drop, bypass, established), then the next state (. the same). Rows: state, side. */
static const struct {
	uint8_t before[4]; /* kind of segment * 2 + side, in order, 255: end */
	uint8_t side;
	const char *cell;
} rows[] = {
/*			     SYN new AO  SA  wr  new ACK wr  dat far w+d F/A w/F RSs RSa bl  S+F S+R nul xms FIN */
	{{255}, 0,	    "Fs Fs  B.  B.  B.  B.  B.  B.  B.  B.  B.  B.  B.  F.  F.  F.  D.  D.  D.  D.  D."},
	{{255}, 1,	    "B. B.  B.  B.  B.  B.  B.  B.  B.  B.  B.  B.  B.  F.  F.  F.  D.  D.  D.  D.  D."},
	{{0, 255}, 0,	    "F. F.  D.  D.  D.  D.  F.  F.  D.  D.  D.  D.  D.  Fr  F.  F.  D.  D.  D.  D.  D."},
	{{0, 255}, 1,	    "Fx Fx  D.  Fa  F.  Fa  F.  F.  D.  D.  D.  D.  D.  F.  Fr  F.  D.  D.  D.  D.  D."},
	{{0, 1, 255}, 0,    "F. F.  D.  F.  F.  F.  F.  F.  D.  D.  D.  D.  D.  Fr  Fr  F.  D.  D.  D.  D.  D."},
	{{0, 1, 255}, 1,    "F. F.  D.  F.  F.  Fa  F.  F.  D.  D.  D.  D.  D.  Fr  Fr  F.  D.  D.  D.  D.  D."},
	/* crossed, and the other side has acknowledged */
	{{0, 1, 7, 255}, 0, "F. F.  D.  Ed  F.  F.  Ed  F.  Ed  D.  D.  Ed  D.  Fr  Fr  F.  D.  D.  D.  D.  D."},
	{{0, 1, 6, 255}, 1, "F. F.  D.  Ed  F.  Fa  Ed  F.  Ed  D.  D.  Ed  D.  Fr  Fr  F.  D.  D.  D.  D.  D."},
	{{0, 7, 255}, 0,    "F. F.  D.  D.  D.  D.  Ed  F.  Ed  D.  D.  Ed  D.  Fr  F.  F.  D.  D.  D.  D.  D."},
	{{0, 7, 255}, 1,    "D. D.  D.  F.  F.  F.  F.  F.  D.  D.  D.  D.  D.  Fr  F.  F.  D.  D.  D.  D.  D."},
	{{0, 7, 12, 255}, 0, "D. D. D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D."},
	{{0, 7, 12, 255}, 1, "D. D. D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D."},
	{{0, 29, 255}, 0,   "D. D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D."},
	{{0, 29, 255}, 1,   "D. D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D.  D."},
};

static void test_table(void **state)
{
	static const char verdicts[] = "FDBE", states[] = "nsxadr";
	unsigned wrong = 0;

	_Static_assert(TCP_HS_SYNS_CROSSED == 2 && TCP_HS_RESET == 5, "states[]");
	assert_int_equal(K_RST_ACK * 2 + 1, 29);
	for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		const char *cell = rows[r].cell;

		for (unsigned k = 0; k < KINDS; k++) {
			struct tcp_handshake hs = {0};
			struct wire w;
			uint8_t before;
			char got[3];

			for (unsigned i = 0; i < 4 && rows[r].before[i] != 255; i++) {
				kind_forge(&w, rows[r].before[i] / 2, rows[r].before[i] & 1);
				give(&hs, rows[r].before[i] & 1, &w, i);
			}
			before = hs.state;
			kind_forge(&w, k, rows[r].side);
			got[0] = verdicts[give(&hs, rows[r].side, &w, 9)];
			got[1] = hs.state == before ? '.' : states[hs.state];
			while (*cell == ' ')
				cell++;
			if (memcmp(cell, got, 2) != 0) {
				print_error("row %u, kind %u: %.2s is wanted, not %.2s\n", r, k, cell, got);
				wrong++;
			}
			/* INV-HS-1 */
			if (w.s.len && !(w.s.flags & (TCP_F_SYN | TCP_F_RST)) && hs.state != TCP_HS_NONE)
				assert_int_not_equal(got[0], 'F');
			cell += 2;
		}
		assert_int_equal(*cell, '\0');
	}
	assert_int_equal(wrong, 0);
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
	assert_int_equal(hs.syn[0].mss, 48); /* a floor under absurd offers */
	assert_false(hs.syn[0].has_wscale);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	       cmocka_unit_test(test_usual),
		cmocka_unit_test(test_plain_ends),     cmocka_unit_test(test_again),
		cmocka_unit_test(test_new_syn),	       cmocka_unit_test(test_resets),
		cmocka_unit_test(test_strays),	       cmocka_unit_test(test_authenticated),
		cmocka_unit_test(test_which_syn),      cmocka_unit_test(test_simultaneous),
		cmocka_unit_test(test_forged_crossing), cmocka_unit_test(test_fall_back),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_broken_options),
	};

	return cmocka_run_group_tests_name("tcp_handshake", tests, NULL, NULL);
}
