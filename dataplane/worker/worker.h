/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: the only place that knows the order of the stages. One loop:
 *
 *   rules offered? -> rx of both ports -> parse -> flow table -> session, or the other port
 *     -> timers -> callout events -> flows with something to do
 *     -> callout stage (when it shares the core) -> tx -> gauges, questions of control
 *     -> sleep when there is nothing
 *
 * Spreading flows: a port with enough queues gives both directions of a flow to one worker
 * (symmetric RSS). Where one cannot, worker 0 receives everything and hands TCP to its owner by a
 * symmetric hash over rings; where a port has too few transmit queues the others hand their frames
 * back. The frames of one flow take one way, so they keep their order.
 *
 * INV-WORKER-1  a flow's entry, session, timers and mbuf references are touched by its worker only.
 * INV-WORKER-2  no system call, lock, allocation or log in the loop but the ones of the port's
 *               driver and the sleep of an idle worker.
 * INV-WORKER-3  an unselected frame leaves as it came: no octet of it is written.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <rte_ring.h>
#include "callout/callout.h"
#include "ctl/ctl_query.h"
#include "ctl/ctl_rules.h"
#include "flow/flow_table.h"
#include "flow/flow_wheel.h"
#include "frag/frag.h"
#include "port/port.h"
#include "session/session.h"
#include "stats/shm.h"

#define WORKER_RING_SIZE 2048 /* frames between worker 0 and another, per direction and port */
#define WORKER_GAUGE_US 10000 /* gauges, questions of control */
#define WORKER_TIMERS 128     /* timers looked at in one loop: what is more waits for the next */
#define WORKER_SPIN_LOOPS 64  /* empty loops before the first sleep */
#define WORKER_SPIN_SHARED 8  /* the same while a service works for us and the callout stage is on this core */
#define WORKER_SLEEP_MIN_NS 5000
#define WORKER_SLEEP_MAX_NS 150000
#define WORKER_QUIET_LOOPS 5000 /* empty loops, about a second, before sleeps get longer */
#define WORKER_SLEEP_QUIET_NS 500000
#define WORKER_SLEEP_BUSY_NS 20000 /* at most, while a service works for us */

/* Microseconds from the TSC: monotonic, the same for all threads. */
struct worker_clock {
	uint64_t tsc0, us0;
	uint64_t mult; /* microseconds per tick, 32.32 fixed point */
};
void worker_clock_init(struct worker_clock *c);
uint64_t worker_clock_us(const struct worker_clock *c, uint64_t tsc);

/* The callout stage and who runs it. */
struct worker_callout {
	struct callout_lcore *lcore;
	struct ctl_rules_slot *slot;
	const struct worker_clock *clock;
	_Atomic bool *quit;
	bool backoff;
	int epoll_fd;
	uint32_t generation;
};

/* worker_half_open.c: flows in their handshake, the oldest first. */
struct worker_half_open_slot {
	struct flow_entry *e;
	uint32_t id;	   /* of the flow that had e, low 32 bits */
	uint32_t since_ms; /* of its first SYN */
};
struct worker_half_open {
	struct worker_half_open_slot *ring;
	uint32_t mask, head, tail;
	uint32_t count, max;
	uint32_t expire_ms;
	bool drop; /* what is beyond max */
	uint64_t event_us;
};

struct worker {
	unsigned index;
	unsigned workers;
	uint64_t seed; /* of flow hashes */
	bool backoff;
	bool receives; /* reads queue `queue` of both ports */
	bool spreads;  /* is worker 0 and hands frames to the others */
	uint16_t queue;
	struct port_pair *ports;
	struct port_tx tx[2];
	struct flow_table *flows;
	struct flow_wheel *wheel;
	struct session_ctx *sessions;
	struct policy_matcher *matcher;
	struct ctl_rules *rules;
	struct ctl_rules_slot *slot;
	struct flow_entry *run_head, *run_tail;
	struct shm_worker *shm;
	struct shm_query *query;
	struct worker_callout *callout; /* NULL: on an lcore of its own */
	struct worker *peer;		/* array of all workers */
	struct rte_ring *rx_ring[2];	/* from worker 0, by port; NULL: receives by itself */
	struct rte_ring *tx_ring[2];	/* to worker 0, by port; NULL: sends by itself */
	const struct worker_clock *clock;
	_Atomic bool *quit;
	uint64_t now_us;
	uint64_t gauge_us;
	struct shm_events *events;
	struct frag_table *frags;
	struct rte_ring *aside; /* from any worker: worker_aside.c; NULL: there is no other */
	bool guard;		/* rules select something, or have: fragments and ICMP errors are looked at */
	struct worker_half_open half_open;
	uint32_t slow_flags; /* bit (flags & 0x17): segments without a flow that are looked at, when rules select anything */
	uint8_t mid_stream;  /* enum policy_mid_stream */
	uint32_t resets;     /* sent since reset_us */
	uint64_t reset_us;
	uint32_t draining;  /* generation whose predecessors may still be in use, 0 = none */
	bool table_changed; /* since the lookup of the burst at hand */
};

struct worker_config {
	unsigned index, workers;
	uint64_t seed;
	bool backoff;
	int socket_id;
	struct port_pair *ports;
	struct shm_root *shm;
	struct ctl_rules_slot *slot;
	const struct policy_limits *limits;
	const struct policy_tcp *tcp; /* NULL: the defaults */
	struct callout_port *callout_port;
	struct worker_callout *callout; /* NULL unless this worker runs the callout stage in turn */
	struct worker *peers;
	const struct worker_clock *clock;
	_Atomic bool *quit;
};

/* 0 or -errno with a sentence in err; on failure nothing is left. */
int worker_create(struct worker *w, const struct worker_config *cfg, char *err, size_t err_len);
/* Ends every flow without a word to its ends; transactions of theirs are ended towards the callout
 * stage. */
void worker_flows_end(struct worker *w);
/* The callout stage must be gone before (callout.h INV-CALLOUT-2: it uses the worker's transactions
 * to its end), and needs to know the ends of all flows before that: worker_flows_end,
 * callout_lcore_destroy, worker_destroy. */
void worker_destroy(struct worker *w);
/* The loop (struct worker *), until quit. For rte_eal_remote_launch. */
int worker_main(void *arg);

/* One round of the loop without its rest: what worker_main does again and again, and a benchmark in turn with its
 * traffic. Returns the work done; 0: nothing was there. */
uint32_t worker_round(struct worker *w, uint64_t now_us);

/* One round of the callout stage. Returns the work done. */
uint32_t worker_callout_round(struct worker_callout *c, uint64_t now_us);
/* Sleeps for ts, or until a socket of the stage is ready. */
void worker_callout_rest(const struct worker_callout *c, const struct timespec *ts);
/* The loop of an lcore of its own (struct worker_callout *), until quit. */
int worker_callout_main(void *arg);

/* --- between the files of this folder
 * ------------------------------------------------------------- */

/* worker_rx.c: frames that came in on port; all are taken over. */
void worker_frames(struct worker *w, unsigned port, struct rte_mbuf **pkt, unsigned n, bool spread);
/* One of them: a segment; e and side as looked up before table_changed. */
void worker_frame_tcp(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f,
		      struct flow_entry *e, unsigned side);
/* worker_aside.c: a fragment, an ICMP message. False: not of interest, m is the caller's. */
bool worker_fragment(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f);
bool worker_icmp(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f);
uint32_t worker_aside_poll(struct worker *w);
void worker_aside_free(struct worker *w);
/* worker_flow.c */
void worker_flow_segment(struct worker *w, struct flow_entry *e, unsigned side, unsigned port,
			 struct rte_mbuf *m, const struct parse_frame *f);
void worker_flow_syn(struct worker *w, unsigned port, struct rte_mbuf *m,
		     const struct parse_frame *f);
void worker_flow_wake(struct worker *w, struct flow_entry *e);
void worker_flow_forget(struct worker *w, struct flow_entry *e);
/* As the end that sent f would open the connection. */
void worker_tuple(struct policy_tuple *t, const struct parse_frame *f, unsigned port);
/* worker_half_open.c: may there be one more (else it is counted and told)? One more. What is over with its handshake, in
 * whatever way, is taken out. */
int worker_half_open_create(struct worker_half_open *h, uint32_t max, uint64_t timeout_us, bool drop);
void worker_half_open_destroy(struct worker_half_open *h);
bool worker_half_open_room(struct worker *w);
void worker_half_open_add(struct worker *w, struct flow_entry *e);
static inline void worker_half_open_done(struct worker *w, struct flow_entry *e)
{
	e->half_open = false;
	w->half_open.count--;
}
/* Forgets the oldest where there are too many, a few at a time. */
uint32_t worker_half_open_age(struct worker *w);
/* Would a rule select the connection that f opens, or where it is not known who did, either of its ends? */
bool worker_selects(const struct worker *w, unsigned port, const struct parse_frame *f, bool either);
/* worker_stray.c: a segment without a flow, for which bit (flags & 0x17) of slow_flags is set. */
void worker_stray(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f);
uint32_t worker_flow_run(struct worker *w);
void worker_flow_timer(void *ctx, struct flow_wheel_node *n);
void worker_session_wake(void *cb, struct session *s);
void worker_session_moved(void *cb, void *owner, struct session *s);
void worker_session_tx(void *cb, unsigned port, struct rte_mbuf *m);

static inline bool worker_is_first_syn(uint8_t flags)
{
	return (flags & (TCP_F_SYN | TCP_F_ACK | TCP_F_RST | TCP_F_FIN)) == TCP_F_SYN;
}

/* Not an ordinary segment of a connection under way: see worker.slow_flags. */
static inline bool worker_is_slow(uint32_t slow_flags, uint8_t flags)
{
	return slow_flags >> (flags & (TCP_F_FIN | TCP_F_SYN | TCP_F_RST | TCP_F_ACK)) & 1;
}

/* Where worker 0 spreads flows: by the upper bits of the hash, the lower ones choose the place in the owner's table. The
 * uppermost is always set. */
static inline unsigned worker_of(const struct worker *w, const struct flow_key *key)
{
	return (unsigned)((uint64_t)(flow_key_hash(key, w->seed) << 1) * w->workers >> 32);
}

/* Takes over m. */
static inline void worker_send(struct worker *w, unsigned port, struct rte_mbuf *m)
{
	if (w->tx_ring[port]) {
		if (rte_ring_sp_enqueue(w->tx_ring[port], m) != 0) {
			rte_pktmbuf_free(m);
			w->shm->counter[STATS_tx_dropped]++;
		}
		return;
	}
	port_tx_put(&w->tx[port], m);
}

static inline void worker_bypass(struct worker *w, unsigned port, struct rte_mbuf *m)
{
	w->shm->counter[STATS_bypass_frames]++;
	w->shm->counter[STATS_bypass_octets] += rte_pktmbuf_pkt_len(m);
	worker_send(w, !port, m);
}

#endif
