/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests only: two halves back to back over a wire that drops, doubles, reorders and delays
 * (tamper/tamper.h), on a virtual clock, everything decided by a seed. Side 0 and side 1 send a known
 * pattern each. */
#ifndef TCP_SIM_H
#define TCP_SIM_H

#include "tamper/tamper.h"
#include "tcp/tcp.h"

struct sim_conf {
	uint64_t seed;
	uint32_t drop; /* per ten thousand, both ways */
	uint32_t dup;
	uint32_t reorder; /* per ten thousand get reorder_us more delay */
	uint32_t reorder_us;
	uint32_t delay_us;  /* one way */
	uint64_t rate;	    /* bytes per second of the wire, 0 = no limit */
	uint32_t queue;	    /* bytes waiting for the wire before it drops, 0 = no limit */
	uint32_t emit_fail; /* per ten thousand refused by the port */
	uint32_t rcvbuf;
	uint32_t tick_us; /* the owner's loop: outputs and timers happen on multiples of it */
	uint16_t mss;
	uint32_t isn[2];
	uint64_t send[2];      /* bytes each side sends, then FIN */
	uint64_t read_rate[2]; /* bytes per second taken, 0 = all at once */
	uint32_t piece;	       /* the application writes pieces of at most this, 0 = what fits */
	uint8_t cc;	       /* enum tcp_cc_kind */
	bool no_sack, no_wscale, no_fin;
};

struct sim_side {
	struct sim *sim;
	struct tcp_env env;
	struct tcp_half half;
	struct tamper wire; /* what it sends goes this way */
	uint64_t sent, received, credit_us;
	uint64_t whole_at; /* when the last byte came in */
	uint32_t events;
	uint32_t timer_runs;
};

struct sim {
	struct sim_conf conf;
	struct chunk_pool *pool;
	struct sim_side side[2];
	uint64_t rng, now;
	uint64_t packets, drops;
	bool black_hole[2]; /* everything side i sends vanishes */
	int mismatch;
};

void sim_open(struct sim *s, const struct sim_conf *conf, struct chunk_pool *pool);
/* Runs until both sides are closed, have received everything (no_fin), one dies, or the clock
 * passes until_us. Returns true when all bytes came through. */
bool sim_run(struct sim *s, uint64_t until_us);
bool sim_done(const struct sim *s);
void sim_close(struct sim *s);
uint8_t sim_byte(unsigned side, uint64_t off);
uint32_t sim_random(struct sim *s, uint32_t below);

#endif
