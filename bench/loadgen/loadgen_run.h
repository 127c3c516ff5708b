/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The run: both sides in turn on one lcore, through the phases
 *
 *   link and neighbours -> [flows held: open all -> hold -> use each again] or [warm-up -> measured time] -> drain
 *
 * Owner: the lcore's thread; lg_run_stop may be called from a signal handler.
 */
#ifndef LOADGEN_RUN_H
#define LOADGEN_RUN_H

#include "loadgen_side.h"

/* What was seen between the begin and the end of the measured time. */
struct lg_result {
	struct lg_stats stats[2];   /* measured time alone */
	struct lg_net_stats net[2]; /* likewise */
	struct lg_stats all[2];	    /* the whole run */
	struct lg_net_stats net_all[2];
	struct lg_hist latency, connect;
	double seconds, cpu_seconds;
	uint64_t busy_cycles, cycles; /* rounds that moved something, and all of them */
	uint32_t peak;		      /* most connections open at once */
	uint32_t unfinished;	      /* connections without an end when the drain ran out */
	double open_seconds;	      /* flows held: opening them, and using each again */
	double use_seconds;
	bool interrupted;
};

struct lg_run {
	const struct lg_config *cfg;
	struct lg_net net[2];
	struct lg_side side[2];
	bool known[2]; /* next hop */
	uint64_t hz, busy, loops, idle_rounds;
	uint64_t start; /* TSC of the run's tick 0 */
	uint64_t last_line;
	struct lg_stats line_stats;
	uint64_t line_octets;
	double tokens;
	uint64_t tokens_at;
	struct lg_result result;
	struct lg_result mark; /* counters at the begin of the measured time */
};

/* After rte_eal_init. 0 or -errno with one sentence in err. */
int lg_run_init(struct lg_run *r, const struct lg_config *cfg, char *err, size_t err_len);
/* 0 when it ran (see the result), or -errno with one sentence in err when it could not begin. */
int lg_run(struct lg_run *r, char *err, size_t err_len);
void lg_run_free(struct lg_run *r);
/* Ends the run early: what is under way is finished. */
void lg_run_stop(void);

/* Whether everything was right; if not, why. */
bool lg_result_ok(const struct lg_config *cfg, const struct lg_result *res, char *why, size_t len);

#endif
