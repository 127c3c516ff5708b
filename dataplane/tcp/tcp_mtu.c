/* SPDX-License-Identifier: BSD-3-Clause */
/* Smaller segments on a path that takes no larger ones (RFC 1191, 8201; checks of RFC 5927), and
 * keep-alive. */
#include "tcp/tcp_internal.h"

void tcp_half_keepalive(struct tcp_env *env, struct tcp_half *h)
{
	if (h->state == TCP_CLOSED || h->state == TCP_TIME_WAIT)
		return;
	h->flags |= HALF_PROBE;
	env->count.keepalive++;
}

bool tcp_half_mtu(struct tcp_env *env, struct tcp_half *h, uint32_t seq, uint16_t payload_max)
{
	if (h->state == TCP_CLOSED || !seq_le(h->snd_una, seq) || !seq_lt(seq, h->snd_nxt))
		return false;
	payload_max = payload_max < TCP_MTU_PAYLOAD_MIN ? TCP_MTU_PAYLOAD_MIN : payload_max;
	if (payload_max >= h->mss)
		return false;
	h->mss = payload_max;
	env->count.mtu++;
	/* Nothing of the larger size came through. What did (small segments) is sent once more at
	 * worst. */
	tcp_loss_path(env, h);
	return true;
}
