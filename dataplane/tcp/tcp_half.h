/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Layout of struct tcp_half, for those that embed it. Included by tcp.h; nobody outside
 * dataplane/tcp/ touches a field.
 *
 * Sequence space of the send side (left to right):
 *
 *   snd_una ......... snd_nxt ......... snd_una + queued bytes (+ 1 for the FIN)
 *      sent, unacknowledged  |  not yet sent
 *
 * INV-TCP-1  snd_nxt is never pulled back; what has to be sent again is marked, not rewound.
 * INV-TCP-2  sndq begins una_skip bytes before snd_una (the acknowledged part of its first chunk)
 *            and holds every byte that is not acknowledged.
 * INV-TCP-3  rcv_adv never moves left.
 * INV-TCP-4  every range of the scoreboard lies in [snd_una, snd_nxt), in order, disjoint.
 * INV-TCP-5  a byte below lost_high that is in no range of the scoreboard is lost and waits to be
 *            sent again; one above is in flight.
 * INV-TCP-6  rsvd of a chunk in sndq is the time (low 32 bits of microseconds) its last byte that was sent was sent
 *            for the first time. Along the queue these times never go back.
 *
 * A half that is tcp_half_quiet keeps, of all this: state, flags, snd_nxt (== snd_una), snd_wnd, max_wnd, rcv_nxt
 * (== rcv_acked), rcv_adv, rcv_fin, both scales, mss, rcv_mss, srtt_us, rttvar_us, min_rtt_us, rto_us, cwnd, ssthresh,
 * cubic.w_max, cc, tso_max, rcv_mss_told, retrans, rtos, undos, sent_at. The rest is as tcp_half_open leaves it:
 * snd_wl1 = rcv_nxt - 1, snd_wl2 = every other number of the send side = snd_nxt.
 */
#ifndef TCP_HALF_H
#define TCP_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mem/mem_chunk.h"
#include "stream/stream_reasm.h"

/* A place in the send queue. c == NULL: at snd_una. */
struct tcp_cursor {
	struct chunk *c;
	uint32_t skip; /* bytes into c */
	uint32_t seq;
};

/* What congestion control remembers; windows in bytes. The two stages never meet. */
struct tcp_cubic {
	float w_max;
	union {
		struct { /* congestion avoidance, RFC 9438 */
			uint32_t epoch; /* when it began, 1.024 ms, 0 = not yet */
			float k;	/* seconds */
			float w_est;
			float origin; /* the plateau of this epoch */
		};
		struct { /* the first slow start, RFC 9406 */
			uint32_t now_min_us, last_min_us; /* of this round and the one before */
			uint32_t css_base_us;
			uint8_t samples;
			uint8_t css; /* rounds of conservative slow start, 0 = none */
		};
	};
};

/* First what every segment of a bulk transfer touches, by cache line: bytes that come in turn and the ACKs for ours, the
 * state around them, bytes that go out. */
struct tcp_half {
	/* Receiving. */
	struct chunkq rxq;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;   /* right edge of the window offered so far */
	uint32_t rcv_acked; /* last acknowledgement sent */
	uint32_t flags;
	uint32_t snd_una;
	uint32_t snd_wnd;
	uint32_t snd_wl1, snd_wl2; /* RFC 9293 3.10.7.4, window updates */

	uint8_t state; /* enum tcp_state */
	uint8_t ca;    /* enum tcp_ca */
	uint8_t snd_wscale, rcv_wscale;
	uint16_t mss;	     /* of segments we send */
	uint16_t rcv_mss;    /* largest payload seen from the peer, rcv_mss_told at most */
	uint8_t quickack;    /* segments still acknowledged at once */
	uint8_t backoff;     /* times the timer went off without an answer */
	uint8_t dupacks;
	uint8_t timer_kind;  /* enum tcp_timer, what timer_at means */
	uint8_t probes;	     /* window probes without an answer */
	uint8_t loss_probes; /* loss probes since the last answer */
	uint16_t score_n;
	struct rte_mbuf *score; /* the scoreboard's ranges, NULL while there are none */
	/* Absolute microseconds, UINT64_MAX = off. */
	uint64_t timer_at;
	uint64_t delack_at;
	struct stream_reasm ooo;

	/* Sending. */
	struct chunkq sndq;
	struct tcp_cursor nxt; /* at snd_nxt */
	uint32_t snd_nxt;
	uint32_t una_skip;
	uint32_t cwnd; /* bytes */
	uint32_t ssthresh;

	uint64_t sent_at; /* last payload sent */
	uint64_t reo_at;
	uint32_t srtt_us;
	uint32_t rttvar_us;
	uint32_t min_rtt_us;
	uint32_t rto_us; /* without back-off */
	uint32_t max_wnd;
	uint32_t snd_cap; /* bytes to queue at most, follows env->rcvbuf_max */
	/* Loss recovery. */
	uint32_t sacked; /* bytes the peer holds beyond snd_una */
	uint32_t lost;	 /* bytes lost and not sent again */
	uint32_t lost_high;
	uint32_t rtx_high;  /* without a scoreboard: sent again up to here */
	uint32_t round_end; /* a round trip is over when this is acknowledged */
	uint32_t rack_us;   /* RFC 8985: when the segment sent last of those delivered went out, low 32 bits */

	struct tcp_cursor rtx;	/* last place sent again from */
	uint32_t rack_seq;	/* its end */
	uint32_t rack_rtt_us;	/* how long it took */
	uint32_t reo_round;	/* the reordering window grows again when this is acknowledged */
	uint32_t recover;	/* recovery ends here */
	uint32_t tlp_high;	/* snd_nxt when the last loss probe went out */
	uint32_t prr_out, prr_delivered, prr_flight; /* RFC 6937 */
	uint32_t undo_cwnd, undo_ssthresh;	     /* before the last reduction */
	uint32_t undo_una;			     /* snd_una then */
	uint32_t undo_rtx;			     /* bytes sent again since, not reported as duplicates */

	struct tcp_cubic cubic;
	uint32_t challenge_at; /* no challenge ACK before, 1.024 ms */
	uint32_t rcv_fin;		  /* where the peer's FIN stands, if HALF_RCV_FIN_KNOWN */
	uint32_t dsack_left, dsack_right; /* duplicate to report once, RFC 2883 */
	uint16_t tso_max;		  /* payload of one tcp_out at most, where that is more than the MSS; else 0 */
	uint16_t rcv_mss_told;		  /* what the peer was told at most: longer ones were merged on their way */
	uint32_t retrans;		  /* segments sent again */
	uint16_t rtos, undos;		  /* saturating */
	uint8_t cc;			  /* enum tcp_cc_kind */
	uint8_t frto;			  /* enum tcp_frto */
	uint8_t reo_mult;		  /* reordering window in quarters of min_rtt_us */
	uint8_t reo_persist;		  /* recoveries before that shrinks again */
	uint8_t dupacks_owed;		  /* duplicate ACKs to send, each for a segment received */
	uint8_t unused[11];		  /* to the end of the cache line */
};

_Static_assert(sizeof(struct tcp_half) == 384, "a flow has two of these, each from the beginning of a cache line");
_Static_assert(offsetof(struct tcp_half, state) == 64 && offsetof(struct tcp_half, sndq) == 128 &&
	       offsetof(struct tcp_half, sent_at) == 192 && offsetof(struct tcp_half, rtx) == 256,
	       "what belongs together shares a cache line");

#endif
