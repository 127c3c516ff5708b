/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TCP_ACK_H
#define TCP_ACK_H

#include "tcp/tcp.h"

/* Takes in the ACK field, SACK blocks and window of an acceptable segment whose ACK lies in the
 * range of RFC 5961 section 5.2. Returns TCP_EV_ACKED or 0. */
uint32_t tcp_ack_input(struct tcp_env *env, struct tcp_half *h, const struct tcp_segment *s);

#endif
