/* SPDX-License-Identifier: BSD-3-Clause */
/* CUBIC, RFC 9438, with an initial window of ten segments, RFC 6928. Windows are in bytes; floats
 * are exact enough for a target that is followed over many ACKs. */
#include "tcp/tcp_internal.h"

#include <math.h>
#include <string.h>

#define CUBIC_C 0.4f
#define CUBIC_BETA 0.7f
#define CUBIC_ALPHA (3.0f * (1.0f - CUBIC_BETA) / (1.0f + CUBIC_BETA))

uint32_t tcp_cc_initial(const struct tcp_half *h)
{
	return min_u32(TCP_IW_SEGS * h->mss, max_u32(2u * h->mss, 14600));
}

void tcp_cc_open(struct tcp_half *h)
{
	memset(&h->cubic, 0, sizeof(h->cubic));
	h->cwnd = tcp_cc_initial(h);
	h->ssthresh = UINT32_MAX;
}

static void cubic_epoch(struct tcp_half *h, uint64_t now_us)
{
	struct tcp_cubic *c = &h->cubic;
	float cwnd = (float)h->cwnd;

	c->epoch_us = now_us;
	c->w_est = cwnd;
	if (cwnd < c->w_max) {
		c->k = cbrtf((c->w_max - cwnd) / (float)h->mss / CUBIC_C);
		c->origin = c->w_max;
	} else {
		c->k = 0;
		c->origin = cwnd;
	}
}

static void cubic_acked(struct tcp_half *h, uint64_t now_us, uint32_t bytes)
{
	struct tcp_cubic *c = &h->cubic;
	float cwnd = (float)h->cwnd, t, target, alpha;

	if (!c->epoch_us)
		cubic_epoch(h, now_us);
	t = (float)(now_us - c->epoch_us + h->srtt_us) * 1e-6f - c->k;
	target = c->origin + CUBIC_C * t * t * t * (float)h->mss;
	alpha = c->w_est < c->w_max ? CUBIC_ALPHA : 1.0f;
	c->w_est += alpha * (float)bytes / cwnd * (float)h->mss;
	if (target < c->w_est) {
		if (c->w_est > cwnd)
			h->cwnd = (uint32_t)c->w_est;
		return;
	}
	if (target > 1.5f * cwnd)
		target = 1.5f * cwnd;
	if (target > cwnd)
		h->cwnd += (uint32_t)((target - cwnd) * (float)bytes / cwnd);
}

void tcp_cc_acked(struct tcp_half *h, uint64_t now_us, uint32_t bytes)
{
	/* A window that was not used says nothing about the path (RFC 9438 section 5.8). */
	if (!(h->flags & HALF_CWND_LIMITED)) {
		h->cubic.epoch_us = 0;
		return;
	}
	if (h->cwnd < h->ssthresh) {
		uint32_t room = h->ssthresh - h->cwnd, slow = min_u32(bytes, room);

		h->cwnd += slow;
		bytes -= slow;
	}
	if (bytes)
		cubic_acked(h, now_us, bytes);
	h->cwnd = min_u32(h->cwnd, TCP_SNDBUF_MAX);
}

void tcp_cc_reduce(struct tcp_half *h)
{
	struct tcp_cubic *c = &h->cubic;
	float cwnd = (float)h->cwnd;

	/* Fast convergence: make room for newcomers. */
	c->w_max = cwnd < c->w_max ? cwnd * (1.0f + CUBIC_BETA) / 2.0f : cwnd;
	c->epoch_us = 0;
	h->ssthresh = max_u32((uint32_t)(cwnd * CUBIC_BETA), 2u * h->mss);
}

/* RFC 5681 4.1: after silence the ACK clock is gone. */
void tcp_cc_idle(struct tcp_half *h)
{
	h->ssthresh = max_u32(h->ssthresh, h->cwnd / 4 * 3);
	h->cwnd = min_u32(h->cwnd, tcp_cc_initial(h));
	h->cubic.epoch_us = 0;
}
