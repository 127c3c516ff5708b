/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One selected flow: the handshake that passes, two TCP halves, a pipe in each
 * direction that cuts the stream into messages, and the message under way in
 * each, possibly in the hands of a service.
 *
 *   half[0] (towards the client)   --rx--> pipe[0] --> half[1] tx
 *   half[1] (towards the server)   --rx--> pipe[1] --> half[0] tx
 *
 *   HANDSHAKE --client's ACK--> OPEN --both halves closed, reset, timeout--> DEAD
 *                               |  ^
 *                          quiet v  | a segment, a timer
 *                              PARKED
 *
 * INV-SESSION-1  octets leave a half's receive queue only into a pipe, and a pipe only into the other half,
 *                into a struct adapt, or (blocked, answered) nowhere: each octet once.
 * INV-SESSION-2  in one direction one message is under way at a time; the next one is not looked at before
 *                it is done, so output keeps the order of the input.
 * INV-SESSION-4  a flow is parked only when nothing of it is queued, held or owed anywhere, and an end cannot tell by
 *                anything it receives that it was.
 * INV-SESSION-3  an answer of ours enters the client's stream only between responses and when every request
 *                before it has been answered.
 *
 * Owner thread: the worker. Call order for one session:
 *   session_new (session_segment* session_run | session_timer)* session_free
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "adapt/adapt.h"
#include "app/app_http1.h"
#include "callout/callout.h"
#include "mem/mem_chunk.h"
#include "parse/parse_frame.h"
#include "policy/policy.h"
#include "stats/shm.h"
#include "tcp/tcp.h"
#include "tcp/tcp_handshake.h"

struct rte_mbuf;
struct rte_mempool;
struct session_ctx;
/* A handle: whoever is not of this folder must not look behind it. It changes when the flow is parked and unparked:
 * session_config.moved. */
struct session;

#define SESSION_L2_MAX 22      /* Ethernet and two tags */
#define SESSION_XCHG_MAX 64    /* requests without their response; more are not read before one is answered */
#define SESSION_PATH_MAX 2048  /* octets of path and of host a response can be matched on */

/* What a transmitting port can do; see port/. */
struct session_port_caps {
	bool tx_cksum;   /* TCP checksums by offload */
	bool tx_ip_cksum; /* IPv4's */
	bool multi_seg;  /* chained mbufs */
	uint16_t mtu;    /* largest IP packet */
	uint16_t tso_segs;    /* mbufs of a frame it is to cut, at most */
	uint16_t tso_cut;     /* segments it cuts one into, at most */
	uint32_t tso[2];      /* octets of TCP payload it takes to cut into segments (TSO), over IPv4 and IPv6; 0: it cannot */
};

struct session_config {
	unsigned worker;
	int socket_id;
	uint32_t flows_max;            /* selected flows: parked, in their handshake, or active */
	uint32_t active_max;           /* of them, those with work under way; 0 or more than flows_max: flows_max */
	bool forget_joined;            /* segments of flows that are not known cross: a joined one whose numbers need not be
					* moved is dead at once */
	uint32_t txns_max;             /* struct adapt, 0: 4096 */
	uint32_t chunks;               /* chunk descriptors */
	struct rte_mempool *bufs;      /* direct mbufs for what we send and generate */
	struct callout_port *port;
	struct shm_worker *shm;        /* counters */
	struct shm_events *events;
	const struct policy_limits *limits;
	const struct policy_tcp *tcp; /* NULL: the defaults */
	struct session_port_caps caps[2]; /* by port index */
	/* Takes over m, always. port: 0 inside, 1 outside. */
	void (*tx)(void *cb, unsigned port, struct rte_mbuf *m);
	/* s has something to do: call session_run soon (idempotent until then). */
	void (*wake)(void *cb, struct session *s);
	/* The flow of owner (session_flow_info.owner) is now behind s. Called in session_segment and session_timer, and
	 * for any flow in session_segment of another. */
	void (*moved)(void *cb, void *owner, struct session *s);
	void *cb;
};

/* A worker's session stage. 0 or -errno. */
int session_ctx_create(struct session_ctx **out, const struct session_config *cfg);
void session_ctx_destroy(struct session_ctx *c);
/* At the top of each loop. matcher: rules in use, NULL: none. */
void session_ctx_tick(struct session_ctx *c, uint64_t now_us, struct policy_matcher *matcher);
/* Callout events; wakes sessions. Returns the number handled. */
uint32_t session_poll(struct session_ctx *c);
/* Fills what this stage knows of the gauges. */
void session_gauges(const struct session_ctx *c, struct shm_gauges *g);
/* Is a message under way that began with an image older than generation? */
bool session_older_than(const struct session_ctx *c, uint32_t generation);
/* True when sleeping for a while loses nothing but time (no output waits, no callout under way). */
bool session_ctx_idle(const struct session_ctx *c);

struct session_flow_info {
	uint64_t id;
	struct policy_tuple tuple;
	struct policy_selection sel;
	uint32_t generation;
	uint8_t client_port;   /* port index the SYN came in on */
	bool is_v6;
	void *owner;           /* the worker's flow entry */
};

enum session_verdict {
	SESSION_FORWARD,  /* m is the caller's: send it out of the other port (header and checksum are made right) */
	SESSION_CONSUMED, /* m is gone */
	SESSION_BYPASS,   /* m is the caller's: send it on and forget the flow */
	SESSION_DROP,     /* m is the caller's: free it */
};

/* NULL: as many flows as there may be; the flow is bypassed. */
struct session *session_new(struct session_ctx *c, const struct session_flow_info *info);
/* side: 0 from the client, 1 from the server. f: PARSE_TCP of m. A segment of a parked flow finds no room among the active
 * ones: SESSION_DROP, counted; it comes again. */
enum session_verdict session_segment(struct session_ctx *c, struct session *s, unsigned side, struct rte_mbuf *m,
				     const struct parse_frame *f);
/* m from side is a SYN that begins a new connection on the ports of s, which is over on both sides but for the wait
 * (TIME_WAIT): the caller frees s and treats m as the first of a flow. */
bool session_reusable(const struct session_ctx *c, const struct session *s, unsigned side, const struct rte_mbuf *m,
		      const struct parse_frame *f);
/* After the burst's segments or a wake-up: progress and output. */
void session_run(struct session_ctx *c, struct session *s);
/* Absolute microseconds, UINT64_MAX: none. */
uint64_t session_deadline(const struct session_ctx *c, const struct session *s);
void session_timer(struct session_ctx *c, struct session *s);
/* An ICMP error that quotes sequence number seq says that the path takes no packets of more than mtu octets (RFC 1191, 8201).
 * side: of the half whose segment was quoted, 0 towards the client. True: it was about a segment of that half's, which sends
 * smaller ones now (session_run); the error is of no interest to anyone else. */
bool session_icmp_too_big(struct session_ctx *c, struct session *s, unsigned side, uint32_t seq, uint16_t mtu);
/* A joined flow: what has been added to the sequence numbers of the segments that go towards side. An error that quotes one
 * means, for the end, the number without it. 0 for any other flow. */
uint32_t session_moved_by(const struct session *s, unsigned side);
/* Its handshake is not complete. */
bool session_handshake(const struct session *s);
/* No segment of it is of interest any more: session_free, and forget the flow. */
bool session_dead(const struct session *s);
/* Also of a live session (shutdown, table pressure): nothing is sent. */
void session_free(struct session_ctx *c, struct session *s);
void *session_owner(const struct session *s);
void session_row(const struct session_ctx *c, const struct session *s, struct shm_flow_row *row);
/* The same and all there is to tell, for one flow; changes nothing of s. */
void session_detail(const struct session_ctx *c, const struct session *s, struct shm_flow_detail *d);

#endif
