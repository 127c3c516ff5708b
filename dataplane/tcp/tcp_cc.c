/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control, what all kinds of it share: the initial window (RFC 6928), slow start with its early end
 * (HyStart++, RFC 9406), windows that were not used (RFC 9438 5.8, RFC 7661), silence (RFC 5681 4.1), taking back a
 * reduction (RFC 4015 3). What differs is in tcp_cc_cubic.c and tcp_cc_newreno.c. Windows are in bytes, and bytes are
 * counted, not ACKs (RFC 3465): a peer that acknowledges in crumbs or in one go gains nothing.
 */
#include "tcp/tcp_internal.h"

#include <string.h>

#include <rte_common.h>

#define HYSTART_MIN_US 4000u
#define HYSTART_MAX_US 16000u
#define HYSTART_SAMPLES 8u
#define CSS_DIVISOR 4u
#define CSS_ROUNDS 5u

static const struct tcp_cc_ops *const kinds[] = {
	[TCP_CC_CUBIC] = &tcp_cc_cubic,
	[TCP_CC_NEWRENO] = &tcp_cc_newreno,
};

static inline bool first_slow_start(const struct tcp_half *h)
{
	return h->ssthresh == UINT32_MAX;
}

/* A stage begins: of all that was only w_max lasts. */
static void stage_begin(struct tcp_half *h)
{
	float w_max = h->cubic.w_max;

	memset(&h->cubic, 0, sizeof(h->cubic));
	h->cubic.w_max = w_max;
}

uint32_t tcp_cc_initial(const struct tcp_half *h)
{
	return min_u32(TCP_IW_SEGS * h->mss, max_u32(2u * h->mss, 14600));
}

void tcp_cc_open(struct tcp_half *h, uint8_t kind)
{
	h->cc = kind < RTE_DIM(kinds) ? kind : TCP_CC_CUBIC;
	memset(&h->cubic, 0, sizeof(h->cubic));
	h->cwnd = tcp_cc_initial(h);
	h->ssthresh = UINT32_MAX;
}

const char *tcp_cc_name(const struct tcp_half *h)
{
	return kinds[h->cc]->name;
}

/* RFC 9406 4.2: the least round trip of a round against that of the one before. */
void tcp_cc_rtt(struct tcp_half *h, uint32_t us)
{
	struct tcp_cubic *c = &h->cubic;
	uint32_t slack;

	if (!first_slow_start(h))
		return;
	c->now_min_us = c->now_min_us ? min_u32(c->now_min_us, us) : us;
	if (c->samples < HYSTART_SAMPLES)
		c->samples++;
	if (c->samples < HYSTART_SAMPLES || !c->last_min_us)
		return;
	slack = min_u32(max_u32(c->last_min_us / 8, HYSTART_MIN_US), HYSTART_MAX_US);
	if (!c->css && c->now_min_us >= c->last_min_us + slack) {
		c->css_base_us = c->now_min_us;
		c->css = 1;
	} else if (c->css && c->now_min_us < c->css_base_us) {
		c->css = 0; /* it was no queue */
	}
}

void tcp_cc_round(struct tcp_half *h)
{
	struct tcp_cubic *c = &h->cubic;

	h->flags &= ~HALF_CWND_LIMITED_BEFORE;
	if (h->flags & HALF_CWND_LIMITED)
		h->flags |= HALF_CWND_LIMITED_BEFORE;
	h->flags &= ~HALF_CWND_LIMITED;
	if (!first_slow_start(h))
		return;
	if (c->css && ++c->css > CSS_ROUNDS) {
		h->ssthresh = h->cwnd;
		stage_begin(h);
		return;
	}
	c->last_min_us = c->now_min_us;
	c->now_min_us = 0;
	c->samples = 0;
}

void tcp_cc_acked(struct tcp_half *h, uint64_t now_us, uint32_t bytes, uint32_t flight)
{
	bool slow = h->cwnd < h->ssthresh;

	/* A window that was not used says nothing about the path; in slow start, which doubles, half of it is use. */
	if (!(h->flags & (HALF_CWND_LIMITED | HALF_CWND_LIMITED_BEFORE)) && !(slow && flight > h->cwnd / 2)) {
		if (!first_slow_start(h))
			stage_begin(h); /* the curve goes on from here */
		return;
	}
	if (slow) {
		uint32_t room = h->ssthresh - h->cwnd, step = min_u32(bytes, room);

		h->cwnd += first_slow_start(h) && h->cubic.css ? step / CSS_DIVISOR : step;
		bytes -= step;
	}
	if (bytes)
		kinds[h->cc]->avoid(h, now_us, bytes);
	h->cwnd = min_u32(h->cwnd, TCP_SNDBUF_MAX);
}

void tcp_cc_reduce(struct tcp_half *h, bool timeout)
{
	kinds[h->cc]->reduce(h, timeout);
	stage_begin(h);
}

void tcp_cc_undo(struct tcp_half *h)
{
	h->cwnd = max_u32(h->cwnd, h->undo_cwnd);
	h->ssthresh = max_u32(h->ssthresh, h->undo_ssthresh);
	if (h->cubic.w_max < (float)h->cwnd)
		h->cubic.w_max = (float)h->cwnd;
	stage_begin(h);
}

/* RFC 5681 4.1: after silence the ACK clock is gone. */
void tcp_cc_idle(struct tcp_half *h)
{
	h->ssthresh = max_u32(h->ssthresh, h->cwnd / 4 * 3);
	h->cwnd = min_u32(h->cwnd, tcp_cc_initial(h));
	stage_begin(h);
}
