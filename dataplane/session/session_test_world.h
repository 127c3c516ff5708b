/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of this folder: one session between two TCP ends and a service that the test plays, on a virtual
 * clock. Nothing but the callout stage and the ports is replaced. */
#ifndef SESSION_TEST_WORLD_H
#define SESSION_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "session_priv.h"

#define WORLD_TEXT 262144
#define WORLD_TXNS 16
#define WORLD_FRAMES 4096

/* What the service does by itself. */
enum world_service {
	SERVICE_MANUAL, /* what the test says */
	SERVICE_AS_IS,  /* every octet back as it came */
	SERVICE_UPPER,  /* every octet of the body in capitals, the head as it came */
	SERVICE_REFUSE, /* callout_start fails */
};

struct world_txn {
	struct callout_txn *txn; /* NULL: closed */
	char text[65536];        /* the original as it came */
	char meta[CALLOUT_META_MAX + 1];
	uint64_t len, head_len, answered;
	char aux[1024];          /* the request's head, that came before it */
	uint64_t aux_len;
	bool started, end, end_ok, ended, ended_error;
};

struct world_end {
	unsigned side;
	struct tcp_env env;
	struct tcp_half half;
	bool open, fin, reset, stopped;
	uint32_t isn;
	struct tcp_segment last; /* before it was open: what came */
	unsigned came;
	uint64_t len;
	char text[WORLD_TEXT];
	uint64_t sent;
};

struct world {
	struct session_ctx *ctx;
	struct session *s;
	struct world_end end[2]; /* 0: client, 1: server */
	struct chunk_pool nic;   /* buffers the ends send in */
	struct rte_mempool *bufs;
	struct policy_image *image[2];
	struct policy_matcher *matcher[2];
	unsigned rules;          /* which of the two is in use */
	struct shm_worker *shm;
	struct shm_events *events;
	struct policy_limits limits;
	uint64_t now;
	uint64_t timer_at;       /* the session's, as the worker arms it: after a run */
	struct rte_mbuf *wire[2][WORLD_FRAMES]; /* towards the session, by side */
	unsigned frames[2];
	unsigned split;          /* received frames are chains, cut after so many octets of payload */
	bool woken, no_tx, no_room;
	bool merged;             /* before world_open, with split: frames towards the session are of several segments (LRO) */
	/* Each frame to an end as it would be on the wire: cut, checksums filled in. NULL: nobody looks. */
	void (*sent)(unsigned port, const uint8_t *frame, uint32_t len);
	unsigned large[2];       /* frames of several segments: received, sent */
	unsigned hold;           /* so many frames stay with the ports; nobody may write to one meanwhile */
	unsigned loss;           /* of 1000 frames */
	bool sack;               /* of flows opened from now on: both ends speak it */
	bool gone[2];            /* an end that sends nothing any more */
	bool forgotten;          /* the flow was joined and forgotten: its frames cross */
	uint64_t plain;
	uint32_t seed;
	enum world_service service;
	struct world_txn txn[WORLD_TXNS];
	unsigned txns;
	struct callout_event event[1024];
	unsigned events_n;
};

extern struct world world;
/* Before world_start: YAML of services besides s and t. */
extern const char *world_services;
/* Before world_start: the ports chain buffers and make checksums. */
extern bool world_chains;
/* Before world_start: the ports cut large frames of so many mbufs at most (TSO); 0: they cannot. Needs world_chains. */
extern unsigned world_tso;

/* What main does: EAL, then run; its result is how many failed. */
int world_main(int (*run)(void));
/* The cases of a group, in a world of their own that world_start makes and world_stop ends. */
#define world_run(tests, ...) world_group(#tests, tests, sizeof(tests) / sizeof((tests)[0]), __VA_ARGS__)
int world_group(const char *name, const struct CMUnitTest *tests, size_t n, unsigned bufs, unsigned chunks, const char *rules,
		const char *newer_rules);

void world_start(unsigned bufs, unsigned chunks, const char *rules, const char *newer_rules);
void world_stop(void);
/* A new session of which nothing has been seen, and one frame of it; the ends note what comes, until world_ends_open. */
void world_begin(void);
void world_frame(unsigned side, const struct tcp_out *o, const void *opt, unsigned opt_len);
#define WORLD_ISN(side) ((side) ? 7000u : 4294967000u)
void world_ends_open(void);
/* A new flow, its ends have had their handshake. */
void world_shake(void);
/* The same; it has its session. */
void world_open(void);
/* Frees the session in whatever state, lets the callout stage close, and looks for leaks. */
void world_close(void);
/* Everything that is under way, until nothing moves. */
void world_settle(void);
/* One round only. */
void world_round(void);
/* The same while the clock goes on. */
void world_pass(uint64_t us);
void world_send(unsigned side, const void *bytes, uint32_t n);
void world_fin(unsigned side);
void world_rst(unsigned side);
/* What an end has received since the last call, as text. */
const char *world_got(unsigned side);
uint32_t world_random(uint32_t below);
uint64_t world_count(enum stats_counter c);

/* The session's frame with the newest octets towards a side, NULL: none since the last call. Only with world.hold. */
struct rte_mbuf *world_held(unsigned side);

/* The service, played. t: number of the transaction. */
void world_am_start(unsigned t, uint32_t id, int64_t sizep, bool answers);
void world_data(unsigned t, uint32_t id, const char *text);
void world_as_is(unsigned t, uint32_t id, uint64_t off, uint64_t size);
void world_am_end(unsigned t, uint32_t id, bool ok);
void world_ended(unsigned t);
void world_failed(unsigned t, enum callout_cause cause);
void world_event(unsigned t, struct callout_event ev);

/* Takes all but keep descriptors, buffers away; gives them back. */
void world_starve(unsigned keep_chunks, unsigned keep_bufs);
void world_feed(void);

#endif
