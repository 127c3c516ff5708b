/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests only: one half on a virtual clock. Segments are forged, what it sends is kept. */
#ifndef TCP_RIG_H
#define TCP_RIG_H

#include "mem/mem_testing.h"
#include "tcp/tcp.h"

#define ISS 0xffffff00u /* our numbers wrap soon */
#define IRS 5000u
#define MSS 1000u

struct sent {
	struct tcp_out o;
	uint8_t first; /* first payload byte */
};

/* One half under test and what it emitted since the last rig_output. */
struct rig {
	struct tcp_env env;
	struct tcp_half h;
	struct sent out[4096];
	unsigned n;
	bool refuse;
};

extern struct rig r;
extern struct chunk_pool pool;

int rig_setup(void **state);
int rig_teardown(void **state);
/* Opens r.h at ISS and IRS, both ends with window scale, and takes the first ACK. */
void rig_open(bool sack, uint32_t snd_wnd);
/* Frees the half; nothing may be left. */
void rig_close(void);
/* r.out are the segments of this output; returns how many. */
unsigned rig_output(void);
/* A segment from the peer; the bytes are those of its sequence numbers, window is as on the wire
 * (scale 2). */
uint32_t rig_in(uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len, uint16_t window,
		const struct tcp_sack_block *sack, unsigned nsack);
/* In terms of what lies behind IRS (data) and ISS (ack, sack). */
uint32_t rig_data(uint32_t off, uint32_t len);
uint32_t rig_ack(uint32_t off);
uint32_t rig_sack(uint32_t off, uint32_t left, uint32_t right);
/* n bytes into the send queue. */
void rig_send(uint32_t n);
/* The clock to the next deadline, and what is due then. */
uint32_t rig_wait(void);
void rig_take(void);
/* The first segments of a connection are acknowledged at once; past them. */
void rig_quickack_over(uint32_t *off);

#endif
