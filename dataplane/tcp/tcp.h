/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One TCP endpoint ("half") facing one real end of a flow. A selected flow has
 * two halves: the one towards the client speaks as the server, the one towards
 * the server speaks as the client. Each acknowledges, reorders, retransmits and
 * closes for itself.
 *
 * RFC 9293, 5681, 6298, 6582 (NewReno), 6675, 6937 (PRR), 8985 (RACK-TLP), 9438 (CUBIC), 7323 (window
 * scale; timestamps are removed from SYNs), 5961, 5927, 3042.
 *
 * Owner thread: the worker of the flow. No globals, no clock of its own: the
 * time is env->now_us (microseconds, monotonic, starts anywhere).
 * Sequence numbers are host order here; parse and build do the swapping.
 *
 * Call order: tcp_half_open (input | take | send | finish | output | timer)* free
 * After every batch of calls the owner calls tcp_half_output once, then reads
 * tcp_half_deadline to (re)arm its timer.
 */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include "mem/mem_chunk.h"

#define TCP_F_FIN 0x01
#define TCP_F_SYN 0x02
#define TCP_F_RST 0x04
#define TCP_F_PSH 0x08
#define TCP_F_ACK 0x10
#define TCP_F_URG 0x20
#define TCP_F_ECE 0x40
#define TCP_F_CWR 0x80

#define TCP_SACK_MAX 4

struct tcp_sack_block {
	uint32_t left;	/* first sequence number of the block */
	uint32_t right; /* one past the last */
};

/* A received segment, decoded (tcp_segment_parse). */
struct tcp_segment {
	uint32_t seq;
	uint32_t ack;
	uint32_t len;	 /* payload bytes, without SYN/FIN */
	uint16_t window; /* as on the wire, unscaled */
	uint16_t urgent;
	uint8_t flags;
	uint8_t nsack;
	uint8_t header_len; /* bytes, with options */
	struct tcp_sack_block sack[TCP_SACK_MAX];
};

/* Decodes a TCP header of which avail bytes are readable; tcp_len is what the IP length
 * leaves for TCP, header included. 0, or -EBADMSG: header shorter than 20, data offset wrong,
 * option length wrong (malformed options are an error only in so far as the offset is wrong; an
 * option that runs over the end stops option parsing, as the kernel does). */
int tcp_segment_parse(struct tcp_segment *s, const uint8_t *hdr, uint32_t avail, uint32_t tcp_len);

/* What a half wants sent. Payload: payload_len bytes starting skip bytes into chunk c and going on
 * along c->next; borrowed for the call only (take references for anything longer). */
struct tcp_out {
	uint32_t seq;
	uint32_t ack;
	uint16_t window; /* as on the wire, already scaled */
	uint8_t flags;
	uint8_t nsack;
	struct tcp_sack_block sack[TCP_SACK_MAX];
	const struct chunk *c;
	uint32_t skip;
	uint32_t payload_len;
};

struct tcp_half;

/* Windows that were offered may add up to more than there is. What must never happen is that payload takes the last
 * buffer: without one no acknowledgement is received, and nothing is freed ever again. */
#define TCP_SCARCE_UNREAD 16384 /* octets; a half whose owner moves on has fewer */
enum tcp_scarce {
	TCP_PLENTY,
	TCP_SCARCE,    /* payload out of order is not kept, nor what adds to TCP_SCARCE_UNREAD that nobody fetches */
	TCP_EXHAUSTED, /* no payload is kept, and what lies out of order is given up (RFC 2018 section 8) */
};

/* Congestion control of a half, RFC 9438 or RFC 5681 with RFC 6582. */
enum tcp_cc_kind { TCP_CC_CUBIC, TCP_CC_NEWRENO };

/* An octet was received twice with different values; the first one wins. From there on, up to 16 octets of both
 * versions. */
#define TCP_CONFLICT_MAX 16
struct tcp_conflict {
	uint32_t seq; /* first octet that differs */
	uint16_t len; /* of held and came, 1 to 16 */
	uint8_t held[TCP_CONFLICT_MAX];
	uint8_t came[TCP_CONFLICT_MAX];
};

/* Per worker, passed everywhere. */
struct tcp_env {
	uint64_t now_us;
	struct chunk_pool *pool;
	/* Hands one segment to the wire of h. 0 or -ENOBUFS: not sent; the half stops there and
	 * tries again within a millisecond or two. */
	int (*emit)(void *ctx, struct tcp_half *h, const struct tcp_out *o);
	void *ctx;
	uint32_t rcvbuf_max; /* bytes a half may hold and advertise; the owner lowers it when memory
			      * is short; tcp_half_send_room keeps the send queue within four times
			      * that (64 KiB to 4 MiB) */
	uint8_t scarce;	     /* enum tcp_scarce: how short of packet buffers the owner is */
	uint8_t cc;	     /* enum tcp_cc_kind: of halves opened from now on */
	/* Octets that lie out of order in all halves of this worker, and how many may: more are as if lost on their way.
	 * ooo_max 0: no bound but the windows. */
	uint64_t ooo_bytes, ooo_max;
	/* Challenge ACKs of all halves (RFC 5961 section 7), kept by the halves. */
	uint32_t challenge_period, challenge_left;
	/* Called during input, at most once for each segment; k and h are valid during the call only. May be NULL. Must
	 * not call back into h. */
	void (*conflict)(void *ctx, struct tcp_half *h, const struct tcp_conflict *k);
	struct {
		uint64_t segs_in, segs_out, retrans, rto, fast_rtx, tlp, dup_in, ooo_in, challenge,
			bad_seq, rst_in, rst_out, ooo_dropped, zero_window, payload_conflict;
		uint64_t reneged;   /* a peer threw away what it had reported (RFC 2018 section 8) */
		uint64_t undo;	    /* reductions taken back: nothing had been lost */
		uint64_t dsack_in;  /* duplicates reported by a peer (RFC 2883) */
		uint64_t urgent;    /* segments with URG; the pointer is ignored, the octets stay in line */
		uint64_t keepalive; /* probes programmed by tcp_half_keepalive */
		uint64_t mtu;	    /* segments made smaller by tcp_half_mtu */
	} count;
};

/* Agreed in the handshake, see tcp_handshake.h. */
struct tcp_params {
	uint32_t snd_nxt;   /* our next sequence number towards this peer */
	uint32_t rcv_nxt;   /* the next one expected from it */
	uint32_t snd_wnd;   /* bytes the peer offered in its last handshake segment (scaled) */
	uint32_t rcv_wnd;   /* bytes it was offered in the handshake; 0 = none, an update follows */
	uint16_t mss;	    /* largest payload we may send it */
	uint16_t rcv_mss;   /* what we announced to it */
	uint8_t snd_wscale; /* shift for windows the peer sends */
	uint8_t rcv_wscale; /* shift for windows we send */
	bool wscale;	    /* both ends sent the option */
	bool sack;	    /* both ends sent SACK-permitted */
	uint32_t srtt_us;   /* first RTT sample of this side from the handshake, 0 = none */
};

/* Returned by input and timer. */
#define TCP_EV_DATA 0x01    /* new in-order bytes in rxq */
#define TCP_EV_ACKED 0x02   /* peer acknowledged bytes: there is room to send more */
#define TCP_EV_FIN 0x04	    /* peer's FIN is in order (all its bytes are in or gone through rxq) */
#define TCP_EV_RESET 0x08   /* valid RST received: the half is dead */
#define TCP_EV_TIMEOUT 0x10 /* retransmission limit reached: the half is dead */
/* Both FINs exchanged and acknowledged, TIME_WAIT (if any) over: the state is TCP_CLOSED, nothing
 * is left to send, the owner may free the half. */
#define TCP_EV_CLOSED 0x20

/* Names of RFC 9293 3.3.2; the half is opened in ESTABLISHED. */
enum tcp_state {
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
	TCP_CLOSED,
};

/* The layout of struct tcp_half is in tcp_half.h (hot fields first); owners embed it and use the
 * functions below and these accessors only. */
#include "tcp/tcp_half.h"

void tcp_half_open(struct tcp_half *h, const struct tcp_params *p, const struct tcp_env *env);
/* Lets a tcp_out carry up to max octets of new payload, in whole segments of tcp_half_mss, for a port that cuts them apart
 * itself (TSO). 0, as after tcp_half_open: one segment. What is sent again always is. */
void tcp_half_tso(struct tcp_half *h, uint32_t max);
/* Largest payload of one segment to the peer. A tcp_out with more is to be cut into segments of so many octets. */
static inline uint32_t tcp_half_mss(const struct tcp_half *h)
{
	return h->mss;
}
/* Processes one segment. Takes over all chunks of payload (payload->bytes == s->len), kept or
 * freed. Returns TCP_EV_* bits. ACKs are programmed, not sent: tcp_half_output sends. After
 * TCP_EV_RESET and TCP_EV_TIMEOUT what is in rxq (it was acknowledged) can still be taken; the send
 * queue is gone. */
uint32_t tcp_half_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s,
			struct chunkq *payload);
/* In-order received bytes not yet taken. Read it freely, take with tcp_half_take only. */
const struct chunkq *tcp_half_rxq(const struct tcp_half *h);
/* Moves n (<= rxq bytes) received bytes to dst and opens the receive window by as much. 0 or
 * -ENOMEM (see chunkq_move). */
int tcp_half_take(struct tcp_env *env, struct tcp_half *h, struct chunkq *dst, uint64_t n);
/* FIN received and all bytes before it are in rxq or taken. */
bool tcp_half_rx_finished(const struct tcp_half *h);
/* Appends all of q to the send queue (q is empty afterwards). Never fails; callers respect
 * tcp_half_send_room. After tcp_half_finish or death the bytes are freed. */
void tcp_half_send(struct tcp_env *env, struct tcp_half *h, struct chunkq *q);
/* How many bytes the owner should still queue (soft limit: unsent plus unacknowledged bytes against
 * what the path can take). */
uint64_t tcp_half_send_room(const struct tcp_half *h);
/* Bytes queued, sent or not, that the peer has not acknowledged. */
uint64_t tcp_half_send_pending(const struct tcp_half *h);
/* While on, the window offered to the peer is not opened further; what was offered stays. off: the peer is told the window
 * there is. */
void tcp_half_hold(struct tcp_half *h, bool on);
/* FIN after everything queued. Idempotent. */
void tcp_half_finish(struct tcp_half *h);
/* Sends RST now and drops everything; state CLOSED. */
void tcp_half_abort(struct tcp_env *env, struct tcp_half *h);
/* Sends what windows, congestion control and pending ACKs call for. Returns segments emitted. */
uint32_t tcp_half_output(struct tcp_env *env, struct tcp_half *h);
/* Runs what is due at env->now_us. Returns TCP_EV_* bits. */
uint32_t tcp_half_timer(struct tcp_env *env, struct tcp_half *h);
/* Absolute microseconds of the next due timer, UINT64_MAX = none. */
uint64_t tcp_half_deadline(const struct tcp_half *h);
enum tcp_state tcp_half_state(const struct tcp_half *h);
/* May SYN s begin a new connection on the ports of h? True when h is closed, or in TIME_WAIT and s
 * lies beyond all it received (RFC 9293 3.10.7.4, RFC 6191). The owner forgets the old flow then.
 */
bool tcp_half_reusable(const struct tcp_half *h, const struct tcp_segment *s);
/* Programs one keep-alive probe (RFC 9293 3.8.4): an old sequence number, no octets; the peer answers with an ACK. Sent
 * by the next tcp_half_output. No retransmission timer runs for it: whether an answer came the owner sees by its own
 * clock. Nothing in states CLOSED and TIME_WAIT. */
void tcp_half_keepalive(struct tcp_env *env, struct tcp_half *h);
/* The path takes no more than payload_max octets of ours in a segment (RFC 1191, 8201), as told by an ICMP error that
 * quotes sequence number seq. Ignored unless seq lies in [snd_una, snd_nxt) (RFC 5927 section 7.1) and segments get
 * smaller by it. Not below TCP_MTU_PAYLOAD_MIN. What was in flight goes out again in smaller segments, without a
 * reduction of the congestion window: the path was not congested. True if it was believed. */
#define TCP_MTU_PAYLOAD_MIN 48 /* a path of 88 octets; RFC 791 asks every link for 68, none that small is left */
bool tcp_half_mtu(struct tcp_env *env, struct tcp_half *h, uint32_t seq, uint16_t payload_max);
/* Nothing queued either way, nothing unacknowledged, no ACK owed, nothing held out of order, no timer: the half may be
 * parked (tcp_park.h; what is worth keeping of it is said in tcp_half.h). */
bool tcp_half_quiet(const struct tcp_half *h);

/* What an operator may want to know of a half. Sequence numbers and windows as on the wire but for the scale: octets. */
struct tcp_half_info {
	const char *state; /* RFC 9293 3.3.2 */
	const char *cc;	   /* "cubic", "newreno" */
	const char *ca;	   /* "open", "recovery", "loss" */
	const char *timer; /* "none", "rto", "tlp", "persist", "retry", "time-wait" */
	uint64_t timer_us; /* until that is due, 0: now, UINT64_MAX: none */
	uint32_t snd_una, snd_nxt, snd_wnd;
	uint32_t rcv_nxt, rcv_wnd;
	uint32_t cwnd, ssthresh; /* ssthresh UINT32_MAX: none found yet */
	uint32_t srtt_us, rttvar_us, min_rtt_us, rto_us;
	uint32_t pipe, sacked, lost; /* octets believed on their way, held by the peer out of order, to be sent again */
	uint32_t retrans;	     /* segments sent again since the half was opened */
	uint32_t rtos;		     /* retransmission timeouts */
	uint32_t undos;		     /* reductions taken back */
	uint32_t reo_wnd_us;	     /* how much later than its followers a segment may come, RFC 8985 */
	uint64_t unsent, unacked;    /* octets */
	uint64_t rxq;		     /* received in order, not taken */
	uint32_t ooo_bytes;
	uint16_t ooo_ranges;
	uint16_t mss;	  /* of segments sent */
	uint16_t rcv_mss; /* largest received so far */
	uint8_t snd_wscale, rcv_wscale;
	uint8_t backoff;
	bool sack;
	bool rx_finished; /* the peer's FIN is in */
	bool tx_finished; /* our FIN is sent */
};
void tcp_half_info(const struct tcp_env *env, const struct tcp_half *h, struct tcp_half_info *i);

/* Frees all chunks. The half may be opened again. */
void tcp_half_free(struct tcp_env *env, struct tcp_half *h);

#endif
