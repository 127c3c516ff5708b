/* SPDX-License-Identifier: BSD-3-Clause */
/* NewReno, RFC 5681 with byte counting, RFC 3465. Recovery itself is in tcp_loss.c. */
#include "tcp/tcp_internal.h"

/* RFC 5681 3.1: a segment for each window acknowledged. */
static void avoid(struct tcp_half *h, uint64_t now_us, uint32_t bytes)
{
	struct tcp_cubic *c = &h->cubic;

	c->w_est += (float)bytes;
	if (c->w_est < (float)h->cwnd)
		return;
	c->w_est -= (float)h->cwnd;
	h->cwnd += h->mss;
}

/* RFC 5681 equation (4) */
static void reduce(struct tcp_half *h, bool timeout)
{
	uint32_t flight = h->snd_nxt - h->snd_una;

	h->ssthresh = max_u32(min_u32(flight, h->cwnd) / 2, 2u * h->mss);
}

const struct tcp_cc_ops tcp_cc_newreno = {.name = "newreno", .avoid = avoid, .reduce = reduce};
