/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP for load: RFC 9293 with the window scale of RFC 7323, congestion control of RFC 5681 with NewReno (RFC 6582),
 * retransmission timer of RFC 6298. Without SACK, timestamps, urgent data and path MTU discovery.
 *
 * It shares nothing with the appliance's TCP on purpose: an engine of its own finds faults in the other.
 *
 * loadgen_tcp_in.c takes segments, loadgen_tcp_out.c sends; both call loadgen_app.h upwards.
 */
#ifndef LOADGEN_TCP_H
#define LOADGEN_TCP_H

#include "loadgen_side.h"

/* Opens a connection: sends the SYN. */
void lg_tcp_connect(struct lg_side *s, struct lg_conn *c);
/* A segment of this side's connections. */
void lg_tcp_input(struct lg_side *s, const struct lg_segment *seg);
/* Sends what window and congestion window admit of the message and the FIN behind it. */
void lg_tcp_output(struct lg_side *s, struct lg_conn *c);
/* A FIN follows what is left to send. */
void lg_tcp_close(struct lg_side *s, struct lg_conn *c);
/* Resets the other end and forgets the connection. */
void lg_tcp_abort(struct lg_side *s, struct lg_conn *c);
/* The wheel's time for it has come. */
void lg_tcp_timer(struct lg_side *s, struct lg_conn *c);
/* Acknowledgements that nothing carried, and those that waited for the port. True when there was any. */
bool lg_tcp_flush(struct lg_side *s);

/* Between the two files. */
void lg_tcp_ack_now(struct lg_side *s, struct lg_conn *c);
void lg_tcp_ack_later(struct lg_side *s, struct lg_conn *c);
void lg_tcp_send_syn(struct lg_side *s, struct lg_conn *c);
void lg_tcp_retransmit(struct lg_side *s, struct lg_conn *c);
void lg_tcp_arm(struct lg_side *s, struct lg_conn *c);
uint32_t lg_tcp_isn(struct lg_side *s, uint32_t tuple);
/* A segment without data or connection: answers to what has none. */
void lg_tcp_bare(struct lg_side *s, uint32_t tuple, uint8_t flags, uint32_t seq, uint32_t ack);

/* The octet behind all data of the message, where the FIN goes. */
static inline uint32_t lg_tcp_end(const struct lg_conn *c)
{
	return c->snd_una + (c->tx_len - c->tx_off);
}

#endif
