/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One message on its way through a service: what is kept of the original, what
 * the service returned, and what may go out on the wire because of it.
 *
 *                 feed                    callout_data
 *   framer  ---------------->  keep  ------------------------>  service
 *                               |  ^                               |
 *                     data-as-is|  |wont-forward                   | events
 *                               v  |                               v
 *   wire   <--- out <--- head / body / trailer re-framed <--- adapted messages, in their order
 *
 * Offsets count octets of the application message as OCP sees it: head, then
 * body with the transfer coding removed, then trailer lines. To a service of the core dialect the head goes without
 * Transfer-Encoding (RFC 4236 section 3.7); its own octets go out again if nothing has changed.
 *
 *   RUNNING --service done--> DONE
 *      |  \--failure, open, identity holds, or service left--> RUNNING with rest_from set --> DONE
 *      |--failure, answer, nothing emitted--> ANSWER (the owner answers with answer_status)
 *      \--failure otherwise--> ABORT (the owner resets the flow)
 *
 * INV-ADAPT-1  identity <= octets emitted or waiting in out; while identity_ok every octet that
 *              arrived from the service is original octet [0, identity).
 * INV-ADAPT-2  every octet under a preservation commitment is in keep.
 * INV-ADAPT-3  while rest is possible (identity_ok, no hole) keep covers [identity, orig_len).
 * INV-ADAPT-5  octets beyond identity that the service declared wont-forward are never emitted: a verdict outlives
 *              the service.
 * INV-ADAPT-6  of HTTP one final message goes out for each original; a request keeps what its response is framed by
 *              (HEAD, CONNECT, no new upgrade). Of mail one message goes out, or an answer (to_answer), or ANSWER without
 *              a cause: the service gave none.
 * INV-ADAPT-7  octets released ahead of the service's word stay comparable with it: adapt_ahead.c.
 * INV-ADAPT-4  a struct adapt is freed exactly once: when released by its owner and closed by the
 *              callout stage (INV-CALLOUT-2), whichever is later.
 *
 * Owner thread: the worker of the flow. No syscalls, no allocation besides pools.
 */
#ifndef ADAPT_ADAPT_H
#define ADAPT_ADAPT_H

#include "adapt/adapt_trace.h"
#include "app/app_http1.h"
#include "callout/callout.h"
#include "mem/mem_chunk.h"
#include "policy/policy.h"
#include "stats/shm.h"

#define ADAPT_AMS 8            /* adapted messages of one transaction that are open at a time */
#define ADAPT_RANGES 32        /* ended commitments that do not touch the released prefix yet */
#define ADAPT_UNSENT_MAX (256 * 1024)   /* octets waiting for room in the callout stage */
#define ADAPT_OUT_MAX (1024 * 1024)     /* octets of output waiting for the other half */
#define ADAPT_BACKLOG_MAX (64u << 20)   /* octets a service may return ahead of the wire: more is overload */
#define ADAPT_HOLD (4u << 20)           /* the same: a service of the dialect core is asked to wait ... */
#define ADAPT_HOLD_END (1u << 20)       /* ... until no more than this is left */
#define ADAPT_RETRY_US 5000    /* the callout stage had no room: looked at again even without its event */
#define ADAPT_STALL_US 200000  /* keep full and no progress for this long: go on without copies */

#define ADAPT_SCRATCH (HTTP1_HEAD_MAX + 4096 + ADAPT_TRACE_TEXT_MAX)

enum adapt_status { ADAPT_RUNNING, ADAPT_DONE, ADAPT_ABORT, ADAPT_ANSWER };

/* Per worker. */
struct adapt_ctx {
	struct chunk_pool *pool;
	struct callout_port *port;
	uint64_t *counter;        /* [STATS_MAX] of this worker */
	struct shm_events *events;
	uint64_t now_us;
	uint64_t preserved;       /* octets in all keeps of this worker */
	uint64_t preserved_peak;
	uint64_t preserved_max;
	uint64_t preserved_chunks;
	uint32_t http_head_max;
	uint32_t open;            /* struct adapt not freed yet */
	struct adapt *oldest, *youngest; /* of those, in the order they began (generations never fall) */
	struct adapt *free_list;
	struct adapt *orphans;    /* observers that outlive their message */
	void *slab;
	char *scratch;            /* ADAPT_SCRATCH octets, a head being written */
	char *trace_text;         /* ADAPT_TRACE_TEXT_MAX octets, values of its trace fields */
	char *head_copy;          /* HTTP1_HEAD_MAX octets, an adapted head being parsed */
	struct http1_head *scratch_head;
	/* Called whenever an event changed something: the owner runs adapt_pump soon. */
	void (*wake)(void *owner);
};

/* count: transactions that may be open at a time. 0 or -ENOMEM. */
int adapt_ctx_init(struct adapt_ctx *c, uint32_t count);
void adapt_ctx_fini(struct adapt_ctx *c);

struct adapt_am {
	uint32_t id;
	bool used, ended, ok, answers;
	int64_t sizep;            /* octets in all as the service predicts them, -1 not said */
	int64_t el;               /* RFC 4236 AM-EL: octets of the body exactly, -1 not said */
	int32_t modp;
	uint64_t got;             /* octets arrived */
	struct chunkq q;          /* arrived, not emitted; chunk.rsvd: ADAPT_TAG_* */
};

struct adapt_range {
	uint64_t lo, hi;
};

enum adapt_out_state { ADAPT_OUT_HEAD, ADAPT_OUT_BODY, ADAPT_OUT_TRAILER, ADAPT_OUT_END };

/* What the owner knows of the message. Everything is borrowed for adapt_begin but image and head, which live as
 * long as the message. */
struct adapt_begin {
	void *owner;
	const struct policy_image *image;
	uint32_t rule;
	bool observe;
	uint32_t kind;            /* POLICY_KIND_* bit */
	const struct http1_head *head; /* NULL: opaque stream, or a mail */
	bool mail;                /* no head and no framing, but one message: see INV-ADAPT-6 */
	bool chunked_ok;          /* the receiver understands chunked */
	bool request_head;        /* the request's method is, or for responses was, HEAD */
	bool request_connect;     /* the same of CONNECT */
	uint64_t flow;
	const char *meta;
	uint32_t meta_len;
	enum adapt_trace_why not_bypassed; /* the client had asked that the service be bypassed */
	/* Responses: the request's head, for a service with aux-parts. NULL: not at hand. */
	const struct chunkq *request;
};

struct adapt {
	struct callout_txn txn;
	struct adapt_ctx *ctx;
	void *owner;              /* NULL once released */
	struct adapt *next;       /* free list, or orphans */
	struct adapt *older, *younger;
	const struct policy_image *image;
	const struct policy_rule *rule;
	const struct http1_head *head;
	uint64_t flow;
	uint32_t kind, generation;
	enum adapt_trace_why not_bypassed;
	enum adapt_status status;
	enum callout_cause cause;
	bool observe, mail, chunked_ok, request_head, request_connect;
	bool orphan, txn_open, end_called, closed, paused, peer_ended;
	bool orig_done, orig_ok, end_sent;
	bool enough;              /* the service has ended the original: what is not sent yet is not asked for */
	bool core;                /* the service's dialect */
	bool held;                /* it has been asked to wait */
	bool strip;               /* the service's head goes without Transfer-Encoding */

	/* the original */
	struct chunkq keep;       /* chunk.rsvd: low 32 bits of its offset */
	struct chunk *send_next;  /* first chunk of keep not yet handed to the service; NULL: none */
	struct chunk *send_prev;  /* the one before send_next, NULL: send_next is the first */
	struct chunk *cursor;     /* where the last data-as-is ended */
	struct chunk *middle;     /* the one before the range freed last behind octets still committed */
	struct chunkq aux;        /* goes to the service before the original */
	struct chunkq orig_head;  /* the head as it came, where keep has another (strip) */
	uint64_t orig_len, sent, head_len, body_end;
	uint64_t released;        /* commitments over [0, released) have ended */
	uint64_t refused_end;     /* the service said wont-forward up to here (not gapless) */
	struct adapt_range ended[ADAPT_RANGES];
	uint32_t nended;
	/* Sent without a commitment, but for all that is known not on the way to the service yet: still in keep, since
	 * it may leave before they are (RFC 4037 section 11.14). */
	uint64_t unkept_lo, unkept_hi;
	struct chunk *unkept_prev; /* the one before the first of them, NULL: it is keep's first */
	bool hole;                /* octets were sent that are not in keep */
	uint64_t hole_end;        /* end of the last such range */
	uint64_t progress_us;

	/* what came back */
	struct adapt_am am[ADAPT_AMS];
	uint32_t am_head, am_tail; /* ring of am[]: am_head is being emitted */
	uint64_t identity;
	bool identity_ok;
	bool ahead_on;            /* octets may go out before the service's word; INV-ADAPT-7 */
	uint32_t ahead_id;        /* adapted message they belong to */
	uint64_t ahead;           /* released up to here */
	bool any_am, left;
	bool rest;                /* rest_from and all after it go out from keep */
	uint64_t rest_from;
	uint64_t rest_got;        /* octets of the rest emitted while there is no adapted message */

	/* the output */
	enum adapt_out_state out_state;
	enum http1_framing framing;
	struct chunkq hq;         /* arrived in turn, not in out yet: the head is not complete, or memory short */
	struct chunkq out;        /* for the wire; the owner moves it on */
	uint64_t left_octets;     /* HTTP1_FRAME_LENGTH: body octets still due */
	int64_t el_left;          /* of adapt_am.el, -1: none was said */
	bool no_body;             /* body octets are not sent (HEAD, 204, 304) */
	bool head_out;            /* something of this message is in out or beyond */
	bool to_answer;           /* out is an answer to the client instead of a request to the server */
	bool close_after;         /* the message is delimited by the end of the stream */
	/* set with head_out for a request; the owner notes the exchange */
	bool out_head, out_connect, out_upgrade;
	bool out_keep_alive;      /* the emitted head's */
	bool out_interim;         /* it was a 1xx */
	bool starved;             /* output waits for memory: adapt_deadline */
	uint8_t out_minor;
	uint32_t heads_out;       /* number of heads emitted */
};

/* NULL: no struct free, or the callout stage refused (*cause says which); the caller applies the rule's policy. */
struct adapt *adapt_begin(struct adapt_ctx *c, const struct adapt_begin *b, enum callout_cause *cause);
/* The next octets of the original; q is empty afterwards. */
void adapt_feed(struct adapt *a, struct chunkq *q, enum callout_part part);
/* No more; !ok: the original was cut off. */
void adapt_feed_end(struct adapt *a, bool ok);
/* May be fed now (budget, room, output backlog). */
bool adapt_want(const struct adapt *a);
/* Moves originals to the service and returned octets to out. Idempotent. */
void adapt_pump(struct adapt *a);
/* Of an opaque stream: the service has left or was given up, all that arrived so far has been taken from out, and what
 * follows would go through unchanged. The owner may release a and pass the rest of the stream on itself. */
bool adapt_passes(const struct adapt *a);
/* Absolute time at which adapt_pump should run again without an event, UINT64_MAX: none. */
uint64_t adapt_deadline(const struct adapt *a);
/* From callout_poll. */
void adapt_event(struct adapt_ctx *c, const struct callout_event *ev);
/* The owner is done with it: out and keep are dropped, the transaction is ended (error: if it was open). */
void adapt_release(struct adapt *a, bool error);
/* Serves observers whose messages are over; once per loop. */
void adapt_poll_orphans(struct adapt_ctx *c);
/* Appends h as a service of the dialect core hears it: without Transfer-Encoding (RFC 4236 section 3.7). 0, or -ENOMEM
 * and q is as it was. */
int adapt_service_head(struct adapt_ctx *c, const struct http1_head *h, struct chunkq *q);
/* The answer policy before any transaction began (adapt_begin failed): what to do. */
enum policy_on_failure adapt_policy(const struct policy_rule *r, enum callout_cause cause);
const char *adapt_policy_name(enum policy_on_failure p);

#endif
