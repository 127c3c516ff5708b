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
#define SHM_VERSION 1u
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

struct shm_flow_row {
	uint64_t id;
	uint8_t client[16], server[16]; /* network order, IPv4 mapped */
	uint16_t client_port, server_port; /* host order */
	char state[16];
	char protocol[8];
	char rule[64];          /* of the message under way */
	uint64_t octets[2];     /* received from client, from server */
	uint64_t messages[2];
	uint64_t preserved;
	uint64_t age_us, idle_us;
	uint32_t txns;
};

/* A question to one worker: ctl fills cursor and max, then stores ask (release, Q0); the worker sees it (acquire),
 * fills rows, next, then stores answer = ask (release, Q1). */
struct shm_query {
	_Atomic uint32_t ask;
	_Atomic uint32_t answer;
	uint64_t cursor;        /* table position to go on from, 0 = start */
	uint64_t next;          /* 0 = no more */
	uint32_t rows;
	struct shm_flow_row row[SHM_FLOW_ROWS];
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
