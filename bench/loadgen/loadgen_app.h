/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What connections do: the client's transactions, the server's answers, and the checking of every octet received.
 *
 * Called by TCP in the order of the stream. A call may close or abort its connection; the ones that say so then return
 * false, and the connection must not be touched again.
 */
#ifndef LOADGEN_APP_H
#define LOADGEN_APP_H

#include "loadgen_side.h"

/* Handshake done. */
bool lg_app_open(struct lg_side *s, struct lg_conn *c);
/* Octets in order. */
bool lg_app_data(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t len);
/* Octets that lie `ahead` of the next expected one: true when they are within the body under way and right. */
bool lg_app_ahead(struct lg_side *s, struct lg_conn *c, const uint8_t *data, uint32_t ahead, uint32_t len);
/* len octets that lg_app_ahead has checked are now in order. */
bool lg_app_skip(struct lg_side *s, struct lg_conn *c, uint32_t len);
/* Everything sent is acknowledged. */
bool lg_app_sent(struct lg_side *s, struct lg_conn *c);
/* The other end sends no more. */
bool lg_app_fin(struct lg_side *s, struct lg_conn *c);
/* app_at has come. */
bool lg_app_time(struct lg_side *s, struct lg_conn *c);
/* It is over, orderly (why == LG_FAILURES) or not; TCP frees it afterwards. */
void lg_app_closed(struct lg_side *s, struct lg_conn *c, enum lg_failure why);

/* The head of the message under way (request at the client, response at the server). */
unsigned lg_app_head(const struct lg_side *s, const struct lg_conn *c, char *to);

/* Client: begins connections as concurrency and rate admit. True when any began. */
bool lg_app_start(struct lg_side *s, double *tokens);
/* Client: ends connections that have nothing under way, a few at a time from *next on; true when done with all. */
bool lg_app_end_idle(struct lg_side *s, uint32_t *next, uint32_t at_most);
/* Flows held: begins the second transaction of idle connections from *next on. */
void lg_app_use_held(struct lg_side *s, uint32_t *next);

#endif
