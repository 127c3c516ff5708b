/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The callout stage: what a worker says to the callout lcore about one
 * transaction and what it hears back. Between them are single-producer
 * single-consumer rings; the callout lcore owns all OCP connections (sockets,
 * libocp processor agents) and frames many data-have chunks into one writev.
 *
 * Threads: callout_port functions are called by the worker that owns the port;
 * callout_lcore functions by the one thread that runs the callout stage (its
 * own lcore, or a worker's thread in turn when they share a core).
 *
 * Life of a transaction (struct callout_txn, from the worker's pool):
 *   worker: callout_start, callout_data*, callout_data_end?, ..., callout_end     exactly one end, always
 *   callout: events in any order, then CALLOUT_EV_CLOSED exactly once, after it has seen the end.
 * INV-CALLOUT-1  after callout_end the worker gets no event but CLOSED (others are dropped and their
 *                payload freed inside this stage).
 * INV-CALLOUT-2  txn memory is the worker's again only after CLOSED.
 * INV-CALLOUT-3  a FAILED or ENDED event does not free anything: the worker still calls callout_end.
 */
#ifndef CALLOUT_CALLOUT_H
#define CALLOUT_CALLOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "mem/mem_chunk.h"

struct policy_image;
struct callout_port;  /* one per worker */
struct callout_lcore; /* one per process */
struct shm_root;

#define CALLOUT_META_MAX 4096
#define CALLOUT_CORE_MAX INT32_MAX /* octets of an original in the dialect core (RFC 4037 section 10.3) */

enum callout_part { /* am-part of ocp-wire.md section 4; NONE for opaque streams */
	CALLOUT_PART_NONE,
	CALLOUT_PART_REQUEST_HEADER,
	CALLOUT_PART_REQUEST_BODY,
	CALLOUT_PART_REQUEST_TRAILER,
	CALLOUT_PART_RESPONSE_HEADER,
	CALLOUT_PART_RESPONSE_BODY,
	CALLOUT_PART_RESPONSE_TRAILER,
};

enum callout_cause { /* why a transaction failed; selects the cell of the exception policy */
	CALLOUT_CAUSE_NONE,
	CALLOUT_CAUSE_CONNECT,     /* no connection to any address of the service */
	CALLOUT_CAUSE_NEGOTIATION, /* service or feature refused */
	CALLOUT_CAUSE_LOST,        /* the connection died with the transaction open */
	CALLOUT_CAUSE_DEADLINE,    /* no progress */
	CALLOUT_CAUSE_PROTOCOL,    /* the peer broke a rule */
	CALLOUT_CAUSE_REFUSED,     /* xaction-end or app-message-end with error or failing result */
	CALLOUT_CAUSE_OVERLOAD,    /* our limits: rings, transactions per connection */
	CALLOUT_CAUSE_BUDGET,      /* preservation memory (raised by adapt) */
	CALLOUT_CAUSE_FRAMING,     /* adapted message cannot be framed (raised by adapt) */
	CALLOUT_CAUSE_MAX
};

enum callout_event_type {
	CALLOUT_EV_AM_START,     /* adapted message am_id begins: meta?, modified, sizep, modp */
	CALLOUT_EV_DATA,         /* bytes of am_id at offset: chunk (ownership passes to the worker) */
	CALLOUT_EV_AS_IS,        /* use size octets of the original from src_offset, as am_id's offset */
	CALLOUT_EV_AM_END,       /* am_id complete (ok) or aborted (!ok; cause PROTOCOL and text when the peer broke a
				  * rule) */
	CALLOUT_EV_LEAVE,        /* the service left the loop: am_id goes on with everything of the original from
				  * src_offset on, as is. Comes instead of its AM_END. */
	CALLOUT_EV_WONT_FORWARD, /* commitment over [src_offset, src_offset+size) of the original ended; ok: because the
				  * service will not have these octets forwarded (draft), else they may come back as
				  * its own (DPI of core) */
	CALLOUT_EV_PAUSE,        /* stop sending data (the stage has answered data-paused) */
	CALLOUT_EV_NEED,         /* go on sending */
	CALLOUT_EV_ENOUGH,       /* the service has ended the original: what is sent now is dropped. Adapted messages go
				  * on. */
	CALLOUT_EV_ROOM,         /* callout_data or callout_data_end, refused with -ENOBUFS before, may be tried again */
	CALLOUT_EV_ENDED,        /* peer's xaction-end without error: normal end, also of zero adapted messages */
	CALLOUT_EV_FAILED,       /* cause, text: the exception policy applies */
	CALLOUT_EV_CLOSED,       /* INV-CALLOUT-2 */
};

/* Credit: a worker may have so much of one transaction under way to the socket that a slow service neither fills the
 * ring nor holds buffers without bound. Each chunk costs its octets + CALLOUT_CHUNK_COST. */
#define CALLOUT_CREDIT_FIRST (64 * 1024)
#define CALLOUT_CREDIT_MAX (256 * 1024)
#define CALLOUT_CHUNK_COST 256

/* Zero it before callout_start; user and priority are set by the owner. */
struct callout_txn {
	/* worker's line */
	void *user;             /* the owner's (struct adapt) */
	uint32_t service;       /* index into the image's services */
	uint32_t generation;    /* of that image */
	int32_t priority;       /* set before callout_start: policy_rule.priority. One that no rule of the service names:
				 * the service's own. */
	bool ended;             /* callout_end was called */
	bool waits;             /* in the port's list of transactions that wait for the ring */
	_Atomic bool wanted;    /* callout_data was refused for want of credit; CALLOUT_EV_ROOM is owed */
	bool el_known;          /* set before callout_start, with el */
	uint64_t started_us;    /* the owner's */
	uint64_t el;            /* octets of the HTTP body, without transfer coding (core: AM-EL) */
	uint64_t sent;          /* cost of all chunks put into the ring */
	struct callout_txn *next;
	uint64_t rsvd[1];
	/* callout lcore's line: opaque to the worker */
	void *co_private __attribute__((aligned(64)));
	_Atomic uint64_t co_limit; /* credit: the worker may send while sent < co_limit; never goes back */
	_Atomic uint64_t co_framed; /* up to here the last data without `copied` is on its way to the service; what the
				     * stage only holds yet it may still lay down (LEAVE) */
	uint64_t co_rsvd[5];
};

struct callout_event {
	enum callout_event_type type;
	struct callout_txn *txn;
	uint32_t am_id;
	enum callout_part part;
	enum callout_cause cause;
	bool ok, modified;
	bool answers_request;     /* AM_START: meta-data Kind: response for an original request */
	int32_t result;           /* OCP result code, 0 = none */
	int64_t sizep;            /* -1 = not said. AM_START: octets of the message; DATA: those behind these */
	int64_t el;               /* AM_START: octets of its body exactly (AM-EL), -1 = not said */
	int32_t modp;             /* -1 = not said */
	uint64_t offset;          /* in the adapted message */
	uint64_t src_offset;      /* in the original */
	uint64_t size;
	struct rte_mbuf *m;       /* DATA: one reference passes to the worker */
	const uint8_t *data;      /* DATA: size octets inside m */
	const char *text;         /* FAILED, AM_END (may be NULL): static sentence */
};

/* Short name for events, metrics and rules: "connect", "lost", ... Out of range: "unknown". */
const char *callout_cause_name(enum callout_cause cause);

typedef void (*callout_event_fn)(void *ctx, const struct callout_event *ev);

/* --- worker side ------------------------------------------------------------------------------- */

/* meta: meta_len octets of meta-data lines (copied). image: resolves service; the stage keeps a reference by
 * connection set, not by image (services are matched by name across images). 0; -ENOBUFS: ring full or
 * limit reached (policy: overload). On error txn is untouched and no end is owed. */
int callout_start(struct callout_port *p, struct callout_txn *t, const struct policy_image *image, uint32_t service,
		  const char *meta, uint32_t meta_len, int64_t sizep);
/* How many callout_data calls the ring will surely take now (each transaction's credit is another matter). */
uint32_t callout_room(const struct callout_port *p);
/* One chunk of the original at offset. The stage takes its own mbuf reference; c stays the caller's.
 * copied: we keep it (data-have `copied`); otherwise the octets are the caller's to keep until txn.co_framed has passed them. 0 or -ENOBUFS: no room in the ring or no credit; nothing was sent, try again
 * after CALLOUT_EV_ROOM. */
int callout_data(struct callout_port *p, struct callout_txn *t, const struct chunk *c, uint64_t offset,
		 enum callout_part part, bool copied);
/* An auxiliary part (request-header of a response), before all callout_data: goes out if the service has agreed on it
 * (RFC 4236 section 3.2.3), else is dropped. Not counted by offsets. As callout_data otherwise. */
int callout_aux(struct callout_port *p, struct callout_txn *t, const struct chunk *c, enum callout_part part);
/* Core: the service is asked to send no more of the adapted message for now (DWP), or to go on (DWM; RFC 4037 sections
 * 11.15, 11.17). The draft knows no such thing: there nothing happens. 0 or -ENOBUFS. */
int callout_hold(struct callout_port *p, struct callout_txn *t, bool hold);
/* No more data of the original. 0 or -ENOBUFS. */
int callout_data_end(struct callout_port *p, struct callout_txn *t, bool ok);
/* Ends the transaction from our side (error: aborted). Never fails: kept and retried inside. */
void callout_end(struct callout_port *p, struct callout_txn *t, bool error);
/* Delivers at most max events. Returns the number. */
uint32_t callout_poll(struct callout_port *p, callout_event_fn fn, void *ctx, uint32_t max);
/* True when the worker side has nothing under way (idle back-off may sleep). */
bool callout_idle(const struct callout_port *p);

/* --- callout lcore ------------------------------------------------------------------------------ */

struct callout_config {
	unsigned nworkers;
	uint32_t ring_size;      /* power of two, entries per direction and worker */
	uint32_t txns_max;       /* per connection */
	const char *client;      /* description sent in connection-start */
	int socket_id;
	struct rte_mempool *bufs; /* mbufs adapted bytes are read into */
	struct shm_root *shm;     /* service status table and events; may be NULL in tests */
	uint64_t core_max;        /* octets of an original in the dialect core; 0: CALLOUT_CORE_MAX (tests have less) */
};
/* 0 or -errno; on failure nothing is left. */
int callout_lcore_create(struct callout_lcore **out, const struct callout_config *cfg);
struct callout_port *callout_lcore_port(struct callout_lcore *l, unsigned worker);
/* New service table (called on the callout thread between polls; copies what it needs). Connections of services
 * that are unchanged stay; those of services no longer named are closed when their transactions end, and serve workers
 * that still use the older image for two seconds more. Workers may get the image a little earlier: transactions of
 * services that are not in the table yet wait for it, a second at most. 0, -EINVAL or -ENOMEM (the old table stays). */
int callout_lcore_adopt(struct callout_lcore *l, const struct policy_image *image);
/* One round: rings, sockets (never blocks), flush, timers. Returns work done (0 = idle). now_us: monotonic. Call it at
 * least every few milliseconds: the timers need it. */
uint32_t callout_lcore_poll(struct callout_lcore *l, uint64_t now_us);
/* File descriptor that becomes readable when a socket is ready (an epoll set): for idle back-off. */
int callout_lcore_fd(const struct callout_lcore *l);
/* Closes every connection with connection-end and frees all. */
void callout_lcore_destroy(struct callout_lcore *l);

#endif
