/* SPDX-License-Identifier: BSD-3-Clause */
/* CUBIC, RFC 9438. Floats are exact enough for a target that is followed over many ACKs. */
#include "tcp/tcp_internal.h"

#include <math.h>

#define CUBIC_C 0.4f
#define CUBIC_BETA 0.7f
#define CUBIC_ALPHA (3.0f * (1.0f - CUBIC_BETA) / (1.0f + CUBIC_BETA))
#define EPOCH_SHIFT 10
#define EPOCH_SECONDS 1.024e-3f

static uint32_t epoch_now(uint64_t now_us)
{
	uint32_t e = (uint32_t)(now_us >> EPOCH_SHIFT);

	return e ? e : 1;
}

/* 4.2 */
static void epoch_begin(struct tcp_half *h, uint64_t now_us)
{
	struct tcp_cubic *c = &h->cubic;
	float cwnd = (float)h->cwnd;

	c->epoch = epoch_now(now_us);
	c->w_est = cwnd;
	if (cwnd < c->w_max) {
		c->k = cbrtf((c->w_max - cwnd) / (float)h->mss / CUBIC_C);
		c->origin = c->w_max;
	} else {
		c->k = 0;
		c->origin = cwnd;
	}
}

static void avoid(struct tcp_half *h, uint64_t now_us, uint32_t bytes)
{
	struct tcp_cubic *c = &h->cubic;
	float cwnd = (float)h->cwnd, t, target, alpha;

	if (!c->epoch)
		epoch_begin(h, now_us);
	t = (float)(epoch_now(now_us) - c->epoch) * EPOCH_SECONDS + (float)h->srtt_us * 1e-6f - c->k;
	target = c->origin + CUBIC_C * t * t * t * (float)h->mss;
	/* 4.3: as fast as Reno, and faster than it is from where the last reduction was made. */
	alpha = c->w_est < (float)h->ssthresh / CUBIC_BETA ? CUBIC_ALPHA : 1.0f;
	c->w_est += alpha * (float)bytes / cwnd * (float)h->mss;
	if (target < c->w_est) {
		if (c->w_est > cwnd)
			h->cwnd = (uint32_t)c->w_est;
		return;
	}
	/* 4.4, 4.5 */
	if (target > 1.5f * cwnd)
		target = 1.5f * cwnd;
	if (target > cwnd)
		h->cwnd += (uint32_t)((target - cwnd) * (float)bytes / cwnd);
}

/* 4.6, 4.7 (fast convergence: room for newcomers), 4.8 */
static void reduce(struct tcp_half *h, bool timeout)
{
	struct tcp_cubic *c = &h->cubic;
	float cwnd = (float)h->cwnd;

	if (timeout)
		c->w_max = 0;
	else
		c->w_max = cwnd < c->w_max ? cwnd * (1.0f + CUBIC_BETA) / 2.0f : cwnd;
	h->ssthresh = max_u32((uint32_t)(cwnd * CUBIC_BETA), 2u * h->mss);
}

const struct tcp_cc_ops tcp_cc_cubic = {.name = "cubic", .avoid = avoid, .reduce = reduce};
