/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything two processes share: one structure in a named memzone (hugepage
 * memory), laid out by the dataplane, attached to by opes-control.
 *
 * Writers: each field names its only writer. dp = dataplane main thread, wN =
 * that worker, co = callout thread, ctl = opes-control. 64-bit counters are
 * written by plain aligned stores and may be read at any time; what needs order
 * says which release store pairs with which acquire load.
 */
#ifndef STATS_SHM_H
#define STATS_SHM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdatomic.h>

#define SHM_MEMZONE "opes_shm"
#define SHM_MAGIC 0x4f504553u /* "OPES" */
#define SHM_VERSION 2u
#define SHM_WORKERS_MAX 32
#define SHM_EVENTS 1024        /* power of two */
#define SHM_SERVICES_MAX 64
#define SHM_FLOW_ROWS 64       /* rows per answer */

enum stats_counter {
#define STATS_COUNTER(name, text) STATS_##name,
#include "stats/stats_counters.def"
#undef STATS_COUNTER
	STATS_MAX
};
const char *stats_counter_name(enum stats_counter c);
const char *stats_counter_text(enum stats_counter c);

/* Gauges of one worker (wN writes). */
struct shm_gauges {
	uint64_t flows, flows_max;
	uint64_t flows_active, flows_active_max; /* with something under way; the others: */
	uint64_t flows_parked, flows_joined;     /* idle; two halves joined into plain forwarding */
	uint64_t txns, messages;
	uint64_t preserved_octets, preserved_chunks, preserved_max;
	uint64_t preserved_peak;
	uint64_t mbufs_free, mbufs_total;   /* of the pool it receives into */
	uint64_t chunks_used, chunks_total; /* descriptors */
	uint64_t send_queued, receive_queued; /* octets */
};

struct shm_worker {
	uint64_t counter[STATS_MAX];
	struct shm_gauges gauge;
	_Atomic uint32_t generation; /* of the image in use; release: everything older is no longer looked up (B1) */
	uint32_t lcore;
	uint64_t loop_tsc_busy, loop_tsc_total;
} __attribute__((aligned(64)));

/* Events: one ring for each writer, overwriting the oldest. A reader compares seq before and after copying. */
struct shm_event {
	_Atomic uint64_t seq;   /* index + 1 once whole (release), 0 while being written */
	uint64_t time_us;       /* CLOCK_REALTIME */
	uint64_t flow;          /* flow id, 0 = none */
	uint64_t offset;        /* octet of the message, UINT64_MAX = none */
	uint32_t generation;
	char kind[24];          /* message-refused, callout-failed, fail-open, ... */
	char cause[24];
	char rule[64];
	char service[64];
	char text[192];
};
struct shm_events {
	_Atomic uint64_t head;  /* number written so far */
	struct shm_event e[SHM_EVENTS];
};

/* One service as the callout thread sees it (co writes). */
struct shm_service {
	char name[64];
	char address[256];
	uint32_t state;         /* enum shm_service_state */
	uint32_t connections, connections_up;
	uint32_t txns_open;
	uint64_t txns_total, txns_failed, connects, connect_failures;
	uint64_t octets_out, octets_in, as_is_octets;
	uint64_t writes, messages_out, messages_in;
	char last_error[128];
};
enum shm_service_state { SHM_SERVICE_DOWN, SHM_SERVICE_CONNECTING, SHM_SERVICE_UP };

#define SHM_FLOW_ID_WORKER_SHIFT 56 /* the worker of a flow is in its id (flow/flow_table.h) */

struct shm_flow_row {
	uint64_t id;
	uint8_t client[16], server[16]; /* network order, IPv4 mapped */
	uint16_t client_port, server_port; /* host order */
	char state[16];         /* "handshake", "open", "parked" (open, nothing under way), "joined", "closing" */
	char protocol[8];
	char rule[64];          /* of the message under way */
	uint64_t octets[2];     /* received from client, from server */
	uint64_t messages[2];
	uint64_t preserved;
	uint64_t age_us, idle_us;
	uint32_t txns;
};

/* --- one flow in full: `opesctl flows show` ---------------------------------------------------------------------
 * Sequence numbers and windows are octets in host order, windows unscaled. Texts are ended by 0. */

#define SHM_UNKNOWN UINT64_MAX /* of a 64-bit field: does not apply, or nobody knows */
#define SHM_UNKNOWN32 UINT32_MAX

/* One TCP half; the fields are those of struct tcp_half_info (tcp/tcp.h). */
struct shm_half_detail {
	uint8_t present;   /* 0: there is no half (handshake, joined), nothing below is set */
	uint8_t sack, rx_finished, tx_finished;
	uint8_t snd_wscale, rcv_wscale; /* of windows it sends us, of windows we send it */
	uint8_t backoff;
	char state[16];    /* RFC 9293 3.3.2 */
	char cc[16];       /* "cubic", "newreno" */
	char ca[16];       /* "open", "recovery", "loss" */
	char timer[16];    /* "none", "rto", ... */
	uint64_t timer_us; /* until it is due; SHM_UNKNOWN: no timer */
	uint32_t snd_una, snd_nxt, snd_wnd;
	uint32_t rcv_nxt, rcv_wnd;
	uint32_t cwnd, ssthresh; /* ssthresh SHM_UNKNOWN32: none found yet */
	uint32_t srtt_us, rttvar_us, min_rtt_us, rto_us; /* 0: not measured */
	uint32_t pipe, sacked, lost;
	uint32_t retrans, rtos, undos; /* since the half was opened: segments, timeouts, reductions taken back */
	uint32_t reo_wnd_us;
	uint64_t unsent, unacked; /* the send queue */
	uint64_t rxq;             /* received in order, not taken */
	uint32_t ooo_bytes, ooo_ranges;
	uint32_t mss, rcv_mss;
};

/* One direction: [0] what the client says, [1] what the server says. */
struct shm_pipe_detail {
	char mode[16];       /* "http", "tcp", "tunnel", "discard", "joined" */
	char route[16];      /* "none" (between messages), "forward", "adapt", "observe", "drop", "ended" */
	char rule[64];       /* of the message under way, or "" */
	char service[64];    /* that has it, or "" */
	uint32_t generation; /* of the rules it began with, 0: none */
	uint8_t begun;       /* a message is under way */
	uint8_t eof;         /* the stream ended */
	uint8_t identity_ok; /* all that came from the service is the original's, up to identity */
	uint8_t left;        /* the service left the loop: the rest of the message goes on without it */
	uint64_t octets, messages;
	uint64_t raw;        /* octets taken from the half that belong to no message yet */
	/* Of the message under way; SHM_UNKNOWN where no service has it. */
	uint64_t offset;     /* octets of it received */
	uint64_t preserved;  /* octets of it that are kept */
	uint64_t identity;   /* octets sent on that are provably the original's */
	uint64_t sent;       /* to the service */
	uint64_t returned;   /* by the service: octets of its own and octets as is */
	uint64_t out;        /* octets of its result that wait for the other half */
};

struct shm_flow_detail {
	struct shm_flow_row row;
	uint32_t generation; /* of the rules the flow was selected by */
	uint8_t client_port; /* port the client is on */
	uint8_t joined;      /* the halves are gone, segments are forwarded */
	/* Joined: what is added to sequence numbers of [0] the client, [1] the server on their way to the other end, mod 2^32. */
	uint32_t delta[2];
	uint32_t xchgs;      /* requests without their response */
	struct shm_half_detail half[2]; /* [0] towards the client, [1] towards the server */
	struct shm_pipe_detail pipe[2];
};

/* A question to one worker: ctl fills kind and what it asks for, then stores ask (release, Q0); the worker sees it
 * (acquire), fills the answer, a bounded piece of work at a time, then stores answer = ask (release, Q1). */
enum shm_question {
	SHM_QUERY_ROWS, /* cursor -> rows, row, next */
	SHM_QUERY_FLOW, /* id -> found, detail */
};
struct shm_query {
	_Atomic uint32_t ask;
	_Atomic uint32_t answer;
	_Atomic uint64_t looked; /* wN: table positions looked at, ever: a reader sees that the worker is at it */
	/* ctl */
	uint32_t kind;          /* enum shm_question */
	uint64_t cursor;        /* table position to go on from, 0 = start */
	uint64_t id;
	/* wN */
	uint32_t begun;         /* the question being worked at; the fields below are its answer so far */
	uint64_t next;          /* where to go on from, 0 = no more */
	uint32_t rows;
	uint32_t found;
	struct shm_flow_row row[SHM_FLOW_ROWS];
	struct shm_flow_detail detail;
};

/* Publishing an image. ctl copies the image to its own memzone "opes_rules_<generation>", stores its address and size, then
 * publish.generation (release, P0). dp acquires it, checks the image, makes matchers, hands them to the workers
 * and the callout thread, and when none uses the older one any more stores adopted (release, P1) = generation, or refused =
 * generation with reason. Only then may ctl free the memzone of the older one. */
struct shm_publish {
	_Atomic uint32_t generation;
	_Atomic uint32_t adopted;
	_Atomic uint32_t refused;
	uint64_t address;       /* virtual address, the same in both processes */
	uint64_t size;
	char memzone[32];
	char adopted_memzone[32]; /* of the image in use: a control that starts anew frees others */
	char reason[192];
};

struct shm_port {
	char name[32], device[128], driver[32];
	uint16_t mtu;
	uint8_t link_up;
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_missed, rx_nombuf, tx_errors; /* rte_eth_stats, dp, every 100 ms */
};

struct shm_root {
	uint32_t magic, version, size; /* sizeof(struct shm_root): refuses a control of another build */
	int32_t dataplane_pid;
	_Atomic uint64_t heartbeat_us;  /* CLOCK_MONOTONIC, dp, every 100 ms at least */
	uint64_t started_us;            /* CLOCK_REALTIME */
	uint64_t tsc_hz;
	char config_file[4096];         /* that the dataplane started with */
	char version_text[32];
	uint32_t workers;
	_Atomic int32_t control_pid;    /* ctl */
	struct shm_port port[2];
	struct shm_publish publish;
	struct shm_worker worker[SHM_WORKERS_MAX];
	struct shm_query query[SHM_WORKERS_MAX];
	uint32_t nservices;             /* co */
	struct shm_service service[SHM_SERVICES_MAX];
	struct shm_events events[SHM_WORKERS_MAX + 1]; /* the last one is the callout thread's */
	uint64_t callout_counter[STATS_MAX];           /* co */
};

/* Writer's side of events (any thread, its own ring). fmt: printf style. Cuts what does not fit. */
struct shm_event_args {
	const char *kind, *cause, *rule, *service;
	uint64_t flow, offset;
	uint32_t generation;
};
void shm_event_write(struct shm_events *r, const struct shm_event_args *a, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Reader's side: copies event number index (from 0). 0, -EAGAIN: not there yet, -ESTALE: overwritten. */
int shm_event_read(struct shm_events *r, uint64_t index, struct shm_event *out);

#endif
