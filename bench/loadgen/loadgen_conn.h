/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One end of a connection: 128 octets, no buffers. What is sent is made again from the message's description whenever
 * it must be (loadgen_pattern.h), what is received is checked at once.
 *
 * At most one message is on its way in each direction, and one begins only when all octets of the one before are
 * acknowledged: tx_off is therefore the offset, in the one current message, of the octet at snd_una.
 */
#ifndef LOADGEN_CONN_H
#define LOADGEN_CONN_H

#include <assert.h>
#include <stdint.h>
#include "loadgen_wheel.h"

/*
 *            SYN sent          SYN|ACK received
 *   CLOSED ------------> SYN_SENT ------------> OPEN ---> CLOSED when both FINs are received and acknowledged,
 *       \  SYN received          ACK received  /          or by a reset
 *        `-------------> SYN_RCVD ------------'
 *
 * Which FINs are sent, acknowledged and received are flags, not states. A segment for a connection that is CLOSED is
 * answered from the segment alone (a FIN with an ACK, as TIME-WAIT would), see loadgen_tcp.c.
 */
enum lg_state { LG_CLOSED, LG_SYN_SENT, LG_SYN_RCVD, LG_OPEN };

enum lg_conn_flag {
	LG_F_FIN_QUEUED = 1 << 0, /* follows the last octet of the message */
	LG_F_FIN_ACKED = 1 << 1,
	LG_F_FIN_RCVD = 1 << 2,
	LG_F_RECOVERY = 1 << 3,	 /* fast retransmission until `recover` */
	LG_F_RTT = 1 << 4,	 /* rtt_seq is being timed */
	LG_F_ACK = 1 << 5,	 /* in the list of acknowledgements to send */
	LG_F_PENDING = 1 << 6,	 /* in the list of those that wait for room in the port */
	LG_F_QUEUED = 1 << 7,	 /* in the wheel */
	LG_F_TXN = 1 << 8,	 /* client: a request is unanswered; server: a request has begun */
	LG_F_WANT = 1 << 9,	 /* a message waits until the one before is acknowledged */
	LG_F_THINK = 1 << 10,	 /* app_at begins the next transaction */
	LG_F_CLOSE = 1 << 11,	 /* server: close after the response */
	LG_F_ACTIVE = 1 << 12,	 /* client: counts in the number at work */
	LG_F_PROBE = 1 << 13,	 /* the octet in flight probes a window of zero */
	LG_F_TIMED = 1 << 14,	 /* app_at counts */
	LG_F_FAILED = 1 << 15,	 /* its failure is counted already */
};

enum lg_rx { LG_RX_HEAD, LG_RX_BODY, LG_RX_CHUNK_SIZE, LG_RX_CHUNK_EXT, LG_RX_CHUNK, LG_RX_CHUNK_END, LG_RX_TRAILER, LG_RX_DONE };

struct lg_conn {
	uint32_t snd_una, snd_nxt, snd_max; /* oldest unacknowledged, next to send, highest ever sent */
	uint32_t snd_wnd;
	uint32_t cwnd, ssthresh, recover; /* RFC 5681, RFC 6582 */
	uint32_t rcv_nxt;
	uint32_t ooo_begin, ooo_end; /* one verified interval beyond rcv_nxt; empty when equal */
	uint16_t mss;
	uint8_t state, wscale, dupacks, backoff, rx, rx_segs;
	struct lg_timer timer;
	uint32_t rto_at;

	uint32_t app_at;
	uint32_t tuple;
	uint16_t flags, tx_head;
	uint16_t srtt, rttvar; /* ticks, scaled by 8 and 4 */
	uint32_t rtt_seq, rtt_at;
	uint32_t done;		 /* transactions */
	uint32_t partial;	 /* 1 + number of the buffer with the part of a head; 0: none */
	uint64_t id;		 /* of the object under way */
	uint64_t started;	 /* client: TSC of the SYN or the request; server: octets of the response's body */
	uint32_t tx_off, tx_len; /* head and body */
	uint32_t rx_off, rx_left; /* offset in the body, octets left of it or of the chunk */
};
static_assert(sizeof(struct lg_conn) == 128, "two cache lines");

#define LG_SEQ_LT(a, b) ((int32_t)((a) - (b)) < 0)
#define LG_SEQ_LEQ(a, b) ((int32_t)((a) - (b)) <= 0)
#define LG_SEQ_GT(a, b) ((int32_t)((a) - (b)) > 0)
#define LG_SEQ_GEQ(a, b) ((int32_t)((a) - (b)) >= 0)

#endif
