/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the files of dataplane/tcp/ only. */
#ifndef TCP_INTERNAL_H
#define TCP_INTERNAL_H

#include "tcp/tcp.h"

#define TCP_HDR_MIN 20u

#define TCP_OPT_END 0
#define TCP_OPT_NOP 1
#define TCP_OPT_MSS 2
#define TCP_OPT_WSCALE 3
#define TCP_OPT_SACK_OK 4
#define TCP_OPT_SACK 5
#define TCP_OPT_MD5 19
#define TCP_OPT_AO 29

/* Times in microseconds. */
#define TCP_NEVER UINT64_MAX
#define TCP_RTO_FIRST 1000000u /* before any sample, RFC 6298 2.1 */
#define TCP_RTO_MIN 200000u
#define TCP_RTO_MAX 60000000u
#define TCP_RETRIES 15u /* about nine minutes of silence at the least RTO */
#define TCP_DELACK 40000u
#define TCP_TIME_WAIT_TIME 1000000u /* long enough to answer a FIN sent again */
#define TCP_CHALLENGE_SHIFT 10
#define TCP_CHALLENGE_ALL 1000u /* of a worker in 1.05 s, about */
#define TCP_CHALLENGE_GAP 97u /* times 1.024 ms, RFC 5961 section 7 */
#define TCP_TLP_SLACK 2000u
#define TCP_TLP_MAX 2u /* loss probes before the timeout has its turn */
#define TCP_REO_MIN 500u
#define TCP_REO_PERSIST 16u /* recoveries a larger reordering window lasts, RFC 8985 6.2 */
#define TCP_EMIT_RETRY 1000u /* after the port refused a segment */

#define TCP_QUICKACKS 16 /* segments acknowledged at once while the peer is starting */
#define TCP_IW_SEGS 10u	 /* RFC 6928 */
#define TCP_DUPTHRESH 3u
#define TCP_COPY_MAX 512u /* smaller payloads do not pin the buffer they came in */
#define TCP_SNDBUF_MIN (64u << 10)
#define TCP_SNDBUF_MAX (4u << 20)

enum tcp_ca { TCP_CA_OPEN, TCP_CA_RECOVERY, TCP_CA_LOSS };

/* RFC 5682 */
enum tcp_frto {
	TCP_FRTO_OFF,
	TCP_FRTO_AGAIN, /* the first segment went out again */
	TCP_FRTO_NEW,	/* and then new ones, to see what comes */
};

enum tcp_timer {
	TCP_TIMER_NONE,
	TCP_TIMER_RTO,
	TCP_TIMER_TLP,
	TCP_TIMER_PERSIST,
	TCP_TIMER_RETRY,
	TCP_TIMER_TIME_WAIT,
};

#define HALF_SACK 0x0001u
#define HALF_RCV_FIN_KNOWN 0x0002u /* seen, maybe ahead of its turn */
#define HALF_RCV_FIN 0x0004u	   /* in order */
#define HALF_FIN_QUEUED 0x0008u
#define HALF_FIN_SENT 0x0010u
#define HALF_ACK_NOW 0x0020u
#define HALF_CWND_LIMITED 0x0040u
#define HALF_WND_LIMITED 0x0080u /* unsent bytes wait for the peer's window */
#define HALF_PROBE 0x0400u	 /* send a window probe */
#define HALF_PUSH_SMALL 0x0800u	 /* persist timer: fill the small window */
#define HALF_TLP_DUE 0x1000u
#define HALF_EMIT_FAILED 0x2000u
#define HALF_CWND_LIMITED_BEFORE 0x4000u /* in the round trip before this one */
#define HALF_REORDERED 0x8000u		 /* this path has brought segments out of order */
#define HALF_UNDO 0x10000u		 /* undo_* are of the last reduction */
#define HALF_UNDO_OLD 0x20000u		 /* and that is a round trip ago */
#define HALF_TLP_AGAIN 0x40000u		 /* the last loss probe was a repetition */
#define HALF_HOLD 0x80000u /* the window is not opened: tcp_half_hold */

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? a : b;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One past the last queued byte; our FIN stands there. */
static inline uint32_t tcp_data_end(const struct tcp_half *h)
{
	return h->snd_una + (uint32_t)h->sndq.bytes - h->una_skip;
}

static inline uint32_t tcp_unsent(const struct tcp_half *h)
{
	return h->flags & HALF_FIN_SENT ? 0 : tcp_data_end(h) - h->snd_nxt;
}

/* Bytes believed to be on their way (RFC 6675: pipe). */
static inline uint32_t tcp_pipe(const struct tcp_half *h)
{
	uint32_t flight = h->snd_nxt - h->snd_una, out = h->sacked + h->lost;

	return flight > out ? flight - out : 0;
}

/* To a chunk with bytes left in it, if there is one. */
static inline void tcp_cursor_settle(const struct tcp_half *h, struct tcp_cursor *cur)
{
	if (!cur->c) {
		cur->c = h->sndq.head;
		cur->skip = h->una_skip;
	}
	while (cur->c && cur->skip >= cur->c->len && cur->c->next) {
		cur->skip -= cur->c->len;
		cur->c = cur->c->next;
	}
}

/* Walks forward only, from snd_una if it must: a pass over the queue costs one walk. */
static inline void tcp_cursor_seek(const struct tcp_half *h, struct tcp_cursor *cur, uint32_t seq)
{
	if (!cur->c || seq_lt(seq, cur->seq) || seq_lt(cur->seq, h->snd_una)) {
		cur->c = NULL;
		cur->seq = h->snd_una;
	}
	tcp_cursor_settle(h, cur);
	cur->skip += seq - cur->seq;
	cur->seq = seq;
	tcp_cursor_settle(h, cur);
}

/* tcp_score.c: what of the sent bytes was received, was lost, was sent again. */

/* What an ACK brought. */
struct tcp_news {
	uint32_t rtt_us; /* of bytes sent once, 0 = unknown */
	bool orig;	 /* bytes below recover that were sent once were delivered */
	bool dup;	 /* duplicates were reported */
};

/* Peer holds [left, right), a stretch inside [snd_una, snd_nxt]. */
void tcp_score_sack(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right, struct tcp_news *news);
/* snd_una was una. stamp: when the last byte acknowledged was sent first, if that is known (timed). */
void tcp_score_ack(struct tcp_env *env, struct tcp_half *h, uint32_t una, bool timed, uint32_t stamp,
		   struct tcp_news *news);
/* c is leaving the send queue. */
void tcp_score_forget(struct tcp_half *h, const struct chunk *c);
/* [left, right) was sent again just now; it begins and lies in a stretch that is lost, or that tcp_score_missing
 * named. */
void tcp_score_again(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right);
/* Lowest lost stretch. */
bool tcp_score_lost(const struct tcp_half *h, uint32_t *left, uint32_t *right);
/* The first stretch the peer is not known to hold. False: it holds what it should have acknowledged. */
bool tcp_score_missing(const struct tcp_half *h, uint32_t *left, uint32_t *right);
/* Decides what is lost by what was received; arms reo_at for what is not decided yet. Also when reo_at has passed. */
void tcp_score_detect(struct tcp_env *env, struct tcp_half *h);
/* Nothing is lost that was thought so: what is not known to be held is in flight again. */
void tcp_score_undo(struct tcp_half *h);
/* Retransmission timeout: all the peer is not known to hold is lost. */
void tcp_score_all_lost(struct tcp_env *env, struct tcp_half *h);
void tcp_score_free(struct tcp_half *h);
/* The reordering window in microseconds. */
uint32_t tcp_reo_wnd(const struct tcp_half *h);

/* tcp_cc.c */
struct tcp_cc_ops {
	const char *name;
	/* Congestion avoidance: bytes were delivered, the window was in use. */
	void (*avoid)(struct tcp_half *h, uint64_t now_us, uint32_t bytes);
	/* Sets ssthresh for a loss. */
	void (*reduce)(struct tcp_half *h, bool timeout);
};
extern const struct tcp_cc_ops tcp_cc_cubic, tcp_cc_newreno;

void tcp_cc_open(struct tcp_half *h, uint8_t kind);
const char *tcp_cc_name(const struct tcp_half *h);
/* flight: bytes under way before this ACK. */
void tcp_cc_acked(struct tcp_half *h, uint64_t now_us, uint32_t bytes, uint32_t flight);
void tcp_cc_rtt(struct tcp_half *h, uint32_t us);
/* A round trip has passed. */
void tcp_cc_round(struct tcp_half *h);
/* A loss: sets ssthresh; the caller sets cwnd. */
void tcp_cc_reduce(struct tcp_half *h, bool timeout);
/* Back to undo_cwnd, undo_ssthresh. */
void tcp_cc_undo(struct tcp_half *h);
void tcp_cc_idle(struct tcp_half *h);
uint32_t tcp_cc_initial(const struct tcp_half *h);

/* tcp_loss.c: the states of loss recovery. */
/* After an ACK (or reo_at): acked bytes left the queue, delivered bytes reached the peer, flight were under way before. */
struct tcp_delivery {
	uint32_t acked, delivered, flight;
	bool orig;
};
void tcp_loss_acked(struct tcp_env *env, struct tcp_half *h, const struct tcp_delivery *d);
/* The peer got [left, right) twice. */
void tcp_loss_dsack(struct tcp_env *env, struct tcp_half *h, uint32_t left, uint32_t right);
void tcp_loss_timeout(struct tcp_env *env, struct tcp_half *h);
/* The path lost all that is in flight for another reason than congestion. */
void tcp_loss_path(struct tcp_env *env, struct tcp_half *h);
/* A round trip has passed. */
void tcp_loss_round(struct tcp_half *h);
/* bytes went out again. */
void tcp_loss_again(struct tcp_half *h, uint32_t bytes);
void tcp_rtt_sample(struct tcp_half *h, uint64_t us);

/* tcp_output.c */
uint32_t tcp_snd_cap(const struct tcp_env *env);
void tcp_timer_arm(struct tcp_env *env, struct tcp_half *h);
/* How far the window can be opened beyond rcv_nxt now. */
uint32_t tcp_rcv_space(const struct tcp_env *env, const struct tcp_half *h);

/* tcp_input.c */
/* What lies out of order is given up. */
void tcp_ooo_purge(struct tcp_env *env, struct tcp_half *h);

/* tcp_half.c */
/* No more of this connection; received bytes stay. */
void tcp_half_die(struct tcp_env *env, struct tcp_half *h);

#endif
