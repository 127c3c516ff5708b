/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worker loop in one process: the real worker (worker_round) between two ring ports, stepped in turn with the
 * traffic on one core. What counts is the TSC around worker_round (and around the callout stage): what the traffic
 * costs is never in it, and on a host without a PMU that moves its virtual cores about, a loop on one core is what
 * can be measured.
 *
 *   traffic --rings--> port --> worker_round --> port --rings--> traffic (verifies every octet)
 *             not counted       counted                    not counted
 *
 * Time of the worker is virtual: it advances by what the worker itself has used (path_box_round), so that the
 * traffic's share and a host that takes the core away make no timer go off.
 *
 * One thread. Errors: cold functions return 0 or -errno with a sentence in box->err.
 */
#ifndef PATH_PATH_H
#define PATH_PATH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_tcp.h>
#include "worker/worker.h"

#define PATH_WORKERS 2   /* rings of a port, workers at most */
#define PATH_RING 4096   /* frames */
#define PATH_SAMPLES 64  /* repetitions at most */
#define PATH_PERIOD 4093 /* of the pattern: a prime, so that nothing else repeats with it */
#define PATH_SEGMENT 1460
#define PATH_FRAME_MAX 65600 /* octets of a frame of many segments */

struct path_options {
	const char *json;
	const char *mode;  /* NULL: all */
	const char *cksum; /* software, offload; NULL: both */
	unsigned frame;	   /* 0: all */
	uint32_t flows;	   /* 0: all */
	int64_t rules;	   /* -1: all */
	unsigned syn;	   /* bypass: one frame of so many is a SYN; 0: none */
	unsigned train;	   /* segments of one flow in a row */
	unsigned burst;	   /* frames offered to a port before each round */
	unsigned reps;
	double seconds; /* of each repetition */
	uint32_t bufs;
	uint64_t object;    /* as-is, echo: only responses of so many octets; 0: all */
	const char *server; /* address of a callout server; NULL: one of our own in turn with the worker */
	bool check; /* a moment of everything, for its correctness */
	bool huge;
	int core; /* -1: the one we are on */
};

#define PATH_REQUEST "GET /object HTTP/1.1\r\nHost: bench.example\r\n\r\n"
#define PATH_ENDLESS (1ull << 46)			   /* octets of an object that does not end */
#define PATH_SLICE (64ull * PORT_BURST * PATH_SEGMENT) /* octets between two readings */
/* Selects every flow to port 80, and none of its messages. */
#define PATH_RULES_NEVER "  - {name: never, match: {protocol: http, path: /never}, action: adapt, service: s}\n"

/* --- path_box.c: worker, ports, stages ------------------------------------------------------------------------- */

struct path_box_config {
	const char *services; /* YAML of the list's entries; NULL: one that nobody serves */
	const char *rules;    /* YAML of the list's entries; "": none */
	const char *limits;   /* YAML of `limits`' entries; NULL: none */
	unsigned workers;     /* 1 or 2 */
	bool rss;	      /* two workers: the traffic spreads flows by their hash, as a port would; else worker 0 does */
	bool own_tx;	      /* two workers: each sends for itself */
	bool offload;	      /* ports check and fill checksums in */
	bool tso;	      /* ports cut large frames; with offload */
	uint32_t table;	      /* entries the flow table is filled with */
};

struct path_box {
	struct port_pair ports;
	struct rte_ring *in[2][PATH_WORKERS];  /* by port and queue: what the port receives */
	struct rte_ring *out[2][PATH_WORKERS]; /* what it has sent */
	struct policy_config *cfg;
	struct shm_root *shm;
	struct ctl_rules_main rules;
	struct worker_callout callout;
	struct worker_clock clock;
	struct worker worker[PATH_WORKERS];
	unsigned workers;
	bool rss, offload;
	_Atomic bool quit;
	uint64_t now_us;
	uint64_t now_part;	     /* ticks since now_us */
	/* Ticks since path_box_start in rounds that found work, as the dataplane counts its busy time. */
	uint64_t busy[PATH_WORKERS];
	uint64_t busy_callout;
	char err[512];
};

/* Once, after rte_eal_init: buffers and ring ports. */
int path_box_open(struct path_box *b, uint32_t bufs);
void path_box_close(struct path_box *b);
/* Rules, stages and workers of one measurement. */
int path_box_start(struct path_box *b, const struct path_box_config *cfg);
/* Ends them. -EIO: packet buffers were lost. */
int path_box_stop(struct path_box *b);
/* One round of every worker and of the callout stage. Returns the work done. */
uint32_t path_box_round(struct path_box *b);
uint64_t path_box_count(const struct path_box *b, enum stats_counter c);
/* Queue of port that frames of key arrive in. */
unsigned path_box_queue(const struct path_box *b, const struct flow_key *key);
/* Puts m on port's queue; false (m is freed): no room, which the traffic has to avoid. */
bool path_box_offer(struct path_box *b, unsigned port, unsigned queue, struct rte_mbuf *m);
/* Up to n frames that have left port. */
unsigned path_box_take(struct path_box *b, unsigned port, struct rte_mbuf **m, unsigned n);

/* --- path_frame.c: frames --------------------------------------------------------------------------------------- */

struct path_head {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_tcp_hdr tcp;
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct path_head) == 54, "Ethernet, IPv4, TCP");

struct path_ends { /* of a connection, host order */
	uint32_t client, server;
	uint16_t client_port, server_port;
};

void path_pattern_init(uint32_t seed);
/* Octets of the endless stream of number `stream` from offset on; at least PATH_SEGMENT * 2 may be read. */
const uint8_t *path_pattern(uint32_t stream, uint64_t offset);
/* Headers of a frame from the client (side 0) or the server, checksums left out. tcp_len: header and payload. */
void path_head_fill(struct path_head *h, const struct path_ends *e, unsigned side, uint16_t tcp_len);
void path_key(struct flow_key *k, const struct path_ends *e, unsigned side);
/* Both checksums of the frame, or what a port that checked them says. */
void path_checksum(struct rte_mbuf *m, bool offload);
/* A frame as it left the appliance, in one piece: m's own octets or a copy in flat (PATH_FRAME_MAX octets). NULL: too
 * long. */
const uint8_t *path_flat(const struct rte_mbuf *m, uint8_t *flat, uint32_t *len);
/* Both are right, or requested of a port that fills them in. */
bool path_checksum_good(const struct rte_mbuf *m, const uint8_t *frame, uint32_t len, bool offload);

/* --- path_record.c: figures ------------------------------------------------------------------------------------- */

struct path_slices { /* of one repetition; values in the order taken */
	double *v;
	unsigned n, cap;
};
void path_slices_add(struct path_slices *s, double v);
/* Sorts. q: 0 .. 1. */
double path_slices_quantile(struct path_slices *s, double q);

/* Ticks for each unit (packet, segment, octet) of the busiest worker; the callout stage shares the core of worker 0. */
struct path_meter {
	struct path_slices worker[PATH_WORKERS], all;
	uint64_t busy[PATH_WORKERS], callout; /* at the begin of the slice */
};
void path_meter_begin(struct path_meter *m, const struct path_box *b);
/* A slice of `units` units ends. */
void path_meter_slice(struct path_meter *m, const struct path_box *b, double units);
/* The repetition ends: its sample. */
double path_meter_sample(struct path_meter *m, const struct path_box *b);
void path_meter_free(struct path_meter *m);

struct path_record {
	char name[128];
	const char *metric, *unit, *better, *target; /* target NULL: none */
	const char *pair; /* NULL: not measured beside another */
	double sample[PATH_SAMPLES];
	unsigned samples;
	double p10, p90;      /* of all slices */
	double callout_share; /* of the busy time */
	/* Octets that arrived, and what the counters say of them. */
	uint64_t octets, to_service, from_service, from_original;
	char params[512]; /* members of a JSON object */
	char note[256];
	bool ok;
};
/* Prints a row, appends to the file. -errno: the file cannot be written. */
int path_record_write(const struct path_record *r, const char *json);
void path_record_title(void);

/* --- path_ends.c: clients and servers of selected flows ---------------------------------------------------------- */

struct path_traffic_config {
	uint32_t flows;
	const char *request; /* of the client for each object; NULL: opaque, the server just sends */
	uint64_t object;     /* octets of an object's body */
	unsigned train;	     /* segments of one flow in a row */
	unsigned burst;	     /* segments offered before each round */
	unsigned merge;	     /* so many make a frame, as from a port that merges (with offload); 0: one */
	void (*beside)(void *ctx); /* steps what runs in turn with the box; NULL: nothing */
	void *ctx;
};

/* What the played ends need not do: nothing is lost between them and the worker, so neither retransmits. */
struct path_flow {
	uint32_t isn[2];   /* client's, server's */
	uint64_t asked;	   /* octets of requests sent by the client */
	uint64_t heard;	   /* of these received by the server */
	uint64_t allowed;  /* stream octets the requests so far ask for */
	uint64_t sent, acked, window; /* the server's stream */
	uint64_t received; /* the client's */
	unsigned unacked;  /* segments the client has not acknowledged */
	uint8_t scale;	   /* of windows the server hears */
	bool up;
};

struct path_traffic {
	struct path_box *box;
	struct path_traffic_config cfg;
	struct path_flow *flow;
	char head[128];
	uint32_t head_len, request_len;
	uint64_t whole; /* head and body */
	uint32_t up, cursor;
	uint32_t odd; /* flows with segments that are not acknowledged yet */
	bool stopped; /* the server begins nothing new */
	uint64_t octets, segments, objects; /* arrived at the clients */
	uint64_t again;			    /* segments that came twice */
	uint64_t wrong;
	char why[160];
};

/* The handshakes through the box, and the first requests. 0 or -errno with box->err. */
int path_traffic_open(struct path_traffic *t, struct path_box *b, const struct path_traffic_config *cfg);
void path_traffic_close(struct path_traffic *t);
/* The servers offer, the box makes one round, the ends take what came. Returns what the round did. */
uint32_t path_traffic_step(struct path_traffic *t);
/* Until everything sent has arrived; what has not is wrong. */
void path_traffic_settle(struct path_traffic *t);

/* --- modes: 0, or -errno with box->err when a measurement could not be made; wrong results set *bad --------------- */

struct path {
	const struct path_options *opt;
	struct path_box *box;
	bool bad;
};
bool path_wants(const struct path *p, const char *mode);
/* YAML of n rules that ask for other clients and servers than the traffic of path_bypass_run has; malloc'd. */
char *path_bypass_rules(unsigned n);
/* A measurement of unselected traffic; as path_flows_run, samples are ticks per frame. */
int path_bypass_run(struct path *p, const struct path_box_config *cfg, unsigned frame, uint32_t flows, unsigned syn,
		    struct path_record *r);
/* A measurement of selected flows from path_box_start to path_box_stop: repetitions in slices of so many octets; the
 * samples of r, whose name is set, are ticks per unit_octets that arrived. */
int path_flows_run(struct path *p, const struct path_box_config *bc, const struct path_traffic_config *tc,
		   uint64_t slice, uint32_t unit_octets, struct path_record *r);
int path_bypass(struct path *p);
int path_pass(struct path *p);
int path_large(struct path *p);
int path_callout(struct path *p);
int path_connect(struct path *p);
int path_second(struct path *p);

#endif
