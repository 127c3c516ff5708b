/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libopes-callout: loop > connections > transactions. Everything is
 * owned by the loop's thread.
 *
 * A transaction or connection that is over is only marked; oc_loop_bury frees it when no call-back is running,
 * so that no function here ever returns into freed memory.
 */
#ifndef CALLOUT_OC_PRIV_H
#define CALLOUT_OC_PRIV_H

#include <stdalign.h>
#include <sys/types.h>
#include "callout/opes_callout.h"
#include "ocp/ocp.h"
#include "ocp/ocp_profile.h"
#include "ocp/ocp_server.h"

#define OC_BUF_SIZE (256 * 1024 - 64)
#define OC_POOL_MAX 64           /* unused buffers kept */
#define OC_REF_MIN 1024          /* smaller pieces are copied rather than referenced */
#define OC_READ_MIN (32 * 1024)  /* a buffer with less room left is not read into */
#define OC_QUANTUM 4             /* reads per connection and round */
#define OC_QUANTUM_TOP 16        /* the same for the highest priority that is readable */
#define OC_REFUSING_MAX 64       /* connections told at a time that they are too many */
#define OC_LINGER_US 1000000     /* for the peer to read our last words */
#define OC_LATER_HIGH (256 * 1024) /* octets held of a paused adapted message: the original is paused, too */
#define OC_LATER_FACTOR 2        /* times out_high: octets held of all of a connection's */
#define OC_FAULT_US 1000000      /* a connection's broken rules are logged at most so often */

/* Reference-counted octets; one reference per queue entry and per holder. */
struct oc_buf {
	struct oc_buf *next; /* in the pool */
	uint32_t refs, used;
	uint8_t data[];
};

struct oc_pool {
	struct oc_buf *free;
	unsigned nfree;
};

struct oc_buf *oc_buf_get(struct oc_pool *p); /* one reference; NULL: no memory */
void oc_buf_put(struct oc_pool *p, struct oc_buf *b);
void oc_pool_drain(struct oc_pool *p);

struct oc_out { /* octets to write: p inside buf */
	struct oc_buf *buf;
	const uint8_t *p;
	size_t len;
};

struct oc_queue {
	struct oc_out *ring;
	uint32_t head, tail, cap; /* free-running; cap is a power of two */
	size_t bytes;
	struct oc_buf *copy;      /* where small pieces are copied to */
};

int oc_queue_copy(struct oc_queue *q, struct oc_pool *p, const void *bytes, size_t len);
/* Takes a reference of buf. */
int oc_queue_ref(struct oc_queue *q, struct oc_pool *p, struct oc_buf *buf, const uint8_t *bytes, size_t len);
/* Octets written, -EAGAIN, or -errno of the socket. */
ssize_t oc_queue_write(struct oc_queue *q, struct oc_pool *p, int fd);
void oc_queue_free(struct oc_queue *q, struct oc_pool *p);

enum oc_source_kind { OC_SOURCE_LISTENER, OC_SOURCE_CONN, OC_SOURCE_WATCH, OC_SOURCE_WAKE };

struct oc_source { /* what an epoll event points at */
	enum oc_source_kind kind;
	int fd;
};

struct oc_listener {
	struct oc_source src;
	struct oc_listener *next;
	char *path; /* of a Unix socket, removed at the end */
	uint16_t port;
};

struct oc_watch {
	struct oc_source src;
	struct oc_watch *next;
	void (*fn)(void *arg, uint32_t events);
	void *arg;
	bool gone;
};

/* What a service asks of a processor that offers it an application profile, and what it refuses. */
struct oc_wishes {
	uint32_t aux_parts; /* mask of OCP_HAS(part) */
	int64_t pause_at_body, stop_receiving_body, preservation_interest_body; /* -1: nothing */
	char *content_encodings; /* list in wire form; NULL: nothing */
	bool refuse_offers, refuse_xactions, refuse_messages;
};
#define OC_WISHES_INIT \
	((struct oc_wishes){.pause_at_body = -1, .stop_receiving_body = -1, .preservation_interest_body = -1})
/* 1: o is a wish and has been taken; 0: it is the service's own option; -errno with a reason. */
int oc_wish(struct oc_wishes *w, const struct oc_option *o, struct oc_error *err);
/* 0: the processor's offer for these services is accepted, p says how. */
int oc_wishes_answer(struct oc_loop *loop, const struct ocp_list *services, struct ocp_profile *p);

struct oc_service {
	struct oc_service *next;
	struct oc_wishes wishes;
	const struct oc_service_type *type;
	char *uri;
	void *config;
	struct oc_service_stats st;
};

/*
 *  OPEN --closed by the protocol--> FLUSH --queue empty--> LINGER --eof or time--> DEAD
 *    \------ transport error or eof ----------------------------------------------^
 */
enum oc_conn_state { OC_CONN_OPEN, OC_CONN_FLUSH, OC_CONN_LINGER, OC_CONN_DEAD };

struct oc_conn {
	struct oc_source src;
	struct oc_loop *loop;
	struct oc_conn *prev, *next; /* all connections of the loop */
	struct oc_conn *dirty_next;
	struct ocp_server *ocp;
	struct oc_buf *in;
	struct oc_queue out;
	struct oc_xaction *xactions;       /* open */
	struct oc_xaction *pending;        /* with references not sent yet */
	enum oc_conn_state state;
	uint32_t events;                   /* asked of epoll */
	bool dirty, stalled, asked_leave, started;
	bool refuse;                       /* one more than connections_max: not counted as open */
	size_t later_octets;               /* held of adapted messages */
	uint64_t since_us, linger_until;
	uint64_t fault_us;                 /* last line about a broken rule */
	uint64_t faults_untold;
	uint64_t octets_in, octets_out;
	char peer[80];
};

enum oc_head_end { OC_HEAD_LINE, OC_HEAD_START, OC_HEAD_CR, OC_HEAD_DONE };

struct oc_range {
	uint64_t offset, size;
};

/* Adapted data: octets, or octets of the original from offset on (ref). */
struct oc_piece {
	enum oc_part part;
	bool ref;
	bool known;    /* octets that equal the original's from offset on */
	bool modified; /* octets that do not */
	uint64_t offset, size;
};

struct oc_later {
	struct oc_later *next;
	struct oc_piece piece;
	uint64_t done;
	uint8_t bytes[];
};

/*
 * In the core dialect an ending call of the service may not be the end: what a paused processor still has to get goes out
 * first (finishing), and to leave the loop takes the processor's leave, until which the library passes the original on
 * (leaving). The service's transaction is over all the same.
 */
struct oc_xaction {
	struct oc_conn *conn;
	struct oc_service *service;
	struct oc_xaction *prev, *next; /* of the connection; next also links the graves */
	struct oc_xaction *pending_next;
	uint32_t xid, am_id;
	bool over, in_pending, started, begun, am_open, infer, rtsp, last_slice;
	bool finishing, leaving;
	uint64_t whole;   /* octets of data-haves that have come as a whole, while last_slice is false */
	bool leave_now;   /* DSS has come */
	bool asked_pause; /* the service wants a pause of the original */
	bool held_up;     /* the library does, see later */
	bool prefix;      /* oc_stop_receiving: the beginning of the original is enough */
	bool mail; /* its parts are found here, and not named to the processor */
	enum oc_close how;
	enum oc_head_end head_end;
	struct oc_message msg;
	char *meta;
	uint64_t received;
	struct oc_range as_is, release;
	enum oc_part as_is_part;
	struct oc_later *later, *later_last; /* held while the processor pauses us */
	size_t later_octets;
	alignas(16) unsigned char state[];
};

struct oc_loop {
	struct oc_loop_config cfg;
	int epfd;
	struct oc_source wake;
	bool stop;
	uint64_t now_us, timers_us;
	struct oc_pool pool;
	struct oc_listener *listeners;
	struct oc_watch *watches;
	struct oc_service *services;
	struct oc_conn *conns, *dirty, *graves_conn;
	struct oc_xaction *graves;
	struct oc_stats st;
	unsigned refusing; /* connections beyond connections_max that are being told so */
};

uint64_t oc_now_us(void);
void oc_log(struct oc_loop *loop, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct oc_service *oc_loop_find(struct oc_loop *loop, struct ocp_str uri);

/* Takes all connections that wait. */
void oc_listener_accept(struct oc_loop *loop, struct oc_listener *l);

/* Owns fd, also after failure. refuse: connections_max are open; the peer is told so when its first message has come. */
int oc_conn_new(struct oc_loop *loop, int fd, const char *peer, bool refuse);
/* At most reads reads of the socket. */
void oc_conn_read(struct oc_conn *c, unsigned reads);
/* Sends what transactions have pending, writes, and asks epoll for what is needed next. */
void oc_conn_settle(struct oc_conn *c);
void oc_conn_dirty(struct oc_conn *c);
void oc_conn_tick(struct oc_conn *c);
uint64_t oc_conn_deadline(const struct oc_conn *c);
void oc_conn_end(struct oc_conn *c);
void oc_conn_free(struct oc_conn *c);

/* The service has let go of it. */
static inline bool oc_gone(const struct oc_xaction *x)
{
	return x->over || x->finishing || x->leaving;
}

/* d goes out, or is held. p: its octets; NULL: a reference. */
int oc_out(struct oc_xaction *x, const struct oc_piece *d, const uint8_t *p);
void oc_out_drop(struct oc_xaction *x);
/* The processor takes data again. */
void oc_out_resume(struct oc_xaction *x);
/* The ends, whether the service has let go or not. */
int oc_end_now(struct oc_xaction *x);
int oc_abort_now(struct oc_xaction *x, const char *reason);
int oc_leave_now(struct oc_xaction *x);
/* Passes a slice of the original on. */
int oc_pass(struct oc_xaction *x, enum oc_part part, uint64_t offset, const void *bytes, size_t len);

extern const struct ocp_server_ops oc_xaction_ops; /* its call-backs about transactions */
/* Has x flushed at the end of the round. */
void oc_xaction_pend(struct oc_xaction *x);
/* Sends x's pending references. */
int oc_xaction_flush(struct oc_xaction *x);
void oc_xaction_close(struct oc_xaction *x, enum oc_close how);
/* Calls close and frees. */
void oc_xaction_bury(struct oc_xaction *x);

#endif
