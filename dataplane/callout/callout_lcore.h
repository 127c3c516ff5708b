/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The callout lcore's own state; one thread, no locks. Private to this stage.
 *
 *   lcore ── ports (rings to and from each worker; callout_ring.h)
 *     └── services (by name) ── groups (one per OCP priority in use)
 *                                 ├── wait: transactions without a connection yet
 *                                 └── conns ── transactions open on it
 *
 * A transaction here (struct co_txn):
 *
 *   START -> WAIT -> OPEN -> OVER -> (END seen: CLOSED posted) -> freed with its last octet in flight
 *              └-------------^
 * OVER: FAILED or ENDED has been posted, or the worker's end has been handled; what still comes from the worker is
 * dropped.
 *
 * INV-CO-1  A co_txn is in at most one list: its group's wait or, when its rules are newer than ours, the lcore's early
 *           (WAIT), its conn's ready (OPEN and something to frame and not paused).
 * INV-CO-2  Octets of one connection: c->queued == sum of the cost of the data in its transactions' queues.
 * INV-CO-4  lcore.order holds each group of lcore.services once; a round serves them in this order (<35>), each for a
 *           bounded number of octets, so that none starves.
 * INV-CO-3  room in a port's backlog for two terminal events (FAILED or ENDED; CLOSED) of each of its transactions,
 *           so that these are never lost.
 */
#ifndef CALLOUT_CALLOUT_LCORE_H
#define CALLOUT_CALLOUT_LCORE_H

#include <sys/uio.h>
#include "callout/callout_ring.h"
#include "ocp/ocp.h"
#include "ocp/ocp_processor.h"
#include "stats/shm.h"

#define CO_IOV 1024                /* UIO_MAXIOV */
#define CO_SEGS 4096               /* power of two; pieces of output of one connection */
#define CO_SEGS_SPARE 512          /* of these left for what the agent says by itself */
#define CO_RUN 64                  /* pieces in one data-have at most */
#define CO_TEXT (512 * 1024)       /* octets of framing of one connection, plus CO_TEXT_TXN per transaction */
#define CO_TEXT_TXN 64             /* an xaction-end always fits */
#define CO_TEXT_FILL (128 * 1024)  /* framing of data stops here */
#define CO_TEXT_READ (256 * 1024)  /* reading stops here: the peer makes us talk but does not listen */
#define CO_BATCH (512 * 1024)      /* octets framed ahead of the socket */
#define CO_FLUSH (256 * 1024)      /* written at once although the rings hold more */
#define CO_WRITE_MAX (2048 * 1024) /* per connection and round */
#define CO_QUANTUM (64 * 1024)     /* per transaction and turn */
#define CO_QUEUED_MAX (8 << 20)    /* octets queued on a connection from which on credit is CALLOUT_CREDIT_FIRST */
#define CO_READ_MAX (256 * 1024)   /* per connection and round */
#define CO_RX_MBUFS 32
#define CO_RX_RESERVE 128u /* packet buffers that adapted octets leave alone */
#define CO_RX_COUNT_US 100 /* how often they are counted */
#define CO_RX_TAIL 512             /* an mbuf with less tail room is not read into again */
#define CO_RETRY_MAX_US 30000000u
#define CO_STEADY_US 1000000u      /* a connection that lived so long resets the back-off; one lost
				    * earlier is tried again within this time */
#define CO_RETIRE_US 2000000u      /* services of an older image stay so long for workers that still use it */
#define CO_EPOLL_US 5u             /* between two looks at the sockets while transactions are open */
#define CO_EPOLL_IDLE_US 1000u
#define CO_TIMER_US 1000u
#define CO_EARLY_US 1000000u       /* a transaction of rules that are not here yet waits so long for them */
#define CO_ROWS_US 10000u          /* between two writes of the status table */
#define CO_FAULT_US 1000000u       /* between two events about one rule broken, per service */

struct co_desc { /* something the worker sent, waiting to be framed */
	struct co_desc *next;
	struct rte_mbuf *m;
	const uint8_t *data;
	uint64_t offset;
	uint32_t len;
	uint8_t type; /* DATA, DATA_END, END */
	uint8_t part;
	bool flag;
};

enum co_txn_state { CO_TXN_WAIT, CO_TXN_OPEN, CO_TXN_OVER };

struct co_txn {
	struct callout_txn *txn;   /* NULL once CLOSED was posted */
	struct co_txn *next;       /* INV-CO-1 */
	struct co_desc *head, *tail;
	struct co_conn *conn;      /* OPEN */
	struct co_group *group;    /* WAIT; NULL: early */
	struct callout_open *open; /* WAIT */
	uint64_t written;          /* cost that has left */
	uint64_t limit;            /* as in txn->co_limit */
	uint64_t offset;           /* octets of the original framed */
	uint64_t aux;              /* octets of auxiliary parts framed: they come first in the service's count */
	uint64_t since_us;
	uint32_t inflight;         /* pieces of output that refer to it */
	uint32_t xid;
	uint16_t port;
	uint8_t state;
	bool waits, ready, paused, of_request;
	bool enough;               /* the peer wants no more of the original: the worker has been told */
	bool left;                 /* the service goes out of the loop: nothing more is sent */
	bool aux_agreed;           /* it wants the request's head */
};

struct co_seg { /* a piece of output */
	const uint8_t *p;
	uint32_t len;
	uint32_t cost;        /* payload: credit it gives back */
	struct rte_mbuf *m;   /* NULL: framing, in c->text */
	struct co_txn *t;
};

/* Consecutive pieces of one original that leave as one data-have: the cookie of its output. */
struct co_run {
	struct co_txn *t;
	struct co_desc *first;
	uint32_t n;
	uint64_t len, cost;
};

struct co_list {
	struct co_txn *head, *tail;
	uint32_t count;
};

enum co_conn_state { CO_CONN_DOWN, CO_CONN_CONNECTING, CO_CONN_NEGOTIATING, CO_CONN_UP };

/*
 * DOWN --retry_at--> CONNECTING --connected--> NEGOTIATING --i-am-here--> UP
 *  ^-------------------- failure, end, loss ------------------------------'
 */
struct co_conn {
	struct callout_lcore *l;
	struct co_group *group;
	struct ocp_processor *agent;
	int fd;
	uint8_t state;
	bool readable, writable, hup, broken, drain;
	enum ocp_end how;          /* the agent's, once it is over */
	enum ocp_fault fault;      /* the last rule that the peer broke */
	char why[112];             /* the peer's words, if any */
	uint32_t txns;             /* open */
	uint32_t rid;              /* of the probe that ends negotiation */
	uint64_t attempt_us;       /* 0: none yet */
	uint64_t retry_at, backoff_us, up_us, rx_us;
	uint64_t sent_octets, tick_octets, tick_us; /* progress of a peer that reads slowly */
	struct co_list ready;
	uint64_t queued;
	/* output */
	struct co_seg *seg;
	uint32_t seg_head, seg_tail;
	uint64_t out;              /* octets in seg */
	uint8_t *text;
	uint32_t text_size, text_head, text_used;
	/* input */
	struct rte_mbuf *rx[CO_RX_MBUFS];
	uint32_t rx_n, rx_want, rx_fill;
};

struct co_group {
	struct co_service *service;
	int32_t priority;
	struct co_list wait;
	uint32_t nconns;
	struct co_conn *conn;      /* nconns */
};

struct co_service {
	struct co_service *next;
	struct policy_service cfg;
	struct shm_service row;
	uint32_t index;            /* row in the status table, UINT32_MAX: retired */
	uint64_t retired_us;       /* 0: in use */
	uint64_t fault_us[OCP_FAULT_MAX]; /* last event about that broken rule */
	uint32_t fault_more[OCP_FAULT_MAX]; /* of them since */
	uint64_t old_out, old_in;  /* messages of connections that are no more */
	enum callout_cause cause;  /* of the last failure to get a connection */
	bool told_down;            /* the event about it has been written */
	uint32_t told_refused;     /* mask of features whose refusal has been told */
	uint32_t ngroups;
	struct co_group *group;
};

struct co_backlog { /* ring of messages to a worker that its rte_ring has not taken yet */
	struct callout_msg *msg;
	uint32_t size, head, count;
	uint32_t txns;             /* of this worker, not CLOSED: INV-CO-3 */
};

struct callout_lcore {
	struct callout_config cfg;
	char client[128];
	int epfd;
	bool blocked;              /* a worker does not take its events: nothing is read */
	uint64_t now, epoll_us, timer_us, rows_us;
	uint32_t txns;             /* not OVER */
	uint32_t generation;
	uint64_t no_mbuf, dry_at;
	bool dry; /* packet buffers, at the last count */
	struct callout_port *port;
	struct co_backlog *backlog;
	struct rte_mempool *opens;
	struct co_service *services;
	struct co_group **order;   /* all groups, those of higher priority first */
	uint32_t norder, order_size;
	uint64_t core_max;         /* octets of an original in the dialect core */
	struct co_list early;      /* of services of an image that a worker got before us */
	struct co_txn *txn_free;
	struct co_desc *desc_free;
	void **slab;               /* memory of co_txn and co_desc, given back at the end */
	uint32_t slabs;
	struct iovec iov[CO_IOV];
	uint64_t dummy[STATS_MAX];
	uint64_t *counter;         /* shm's or dummy */
};

/* --- callout_txn.c: transactions, what workers ask for, what they are told ----------------------------------- */
/* False: memory is short, this transaction's event is lost. */
bool co_post(struct callout_lcore *l, struct co_txn *t, const struct callout_msg *m);
/* Room for the terminal events of n more transactions of a port. */
bool co_backlog_reserve(struct co_backlog *b, uint32_t n);
/* Moves what fits into the ring; true: nothing is left. */
bool co_backlog_flush(struct callout_lcore *l, unsigned port);
uint32_t co_txn_requests(struct callout_lcore *l, unsigned port, bool *more);
void co_txn_fail(struct callout_lcore *l, struct co_txn *t, enum callout_cause cause, const char *text,
		 int32_t result);
void co_txn_ended(struct callout_lcore *l, struct co_txn *t, int32_t result);
/* Framed, or the connection died: cost has left. */
void co_txn_credit(struct callout_lcore *l, struct co_txn *t, uint64_t cost);
/* Credit that d takes of its transaction: its octets and what a piece costs whatever its length. */
uint64_t co_desc_cost(const struct co_desc *d);
void co_txn_unref(struct callout_lcore *l, struct co_txn *t); /* one piece of output less */
void co_txn_ready(struct co_txn *t);
/* No list, connection or agent knows t from here on. True: the worker's end was among what it had queued. */
bool co_txn_over(struct callout_lcore *l, struct co_txn *t);
/* The worker's end has been seen: its memory is its own again. */
void co_txn_close(struct callout_lcore *l, struct co_txn *t);
struct co_desc *co_desc_alloc(struct callout_lcore *l); /* NULL: no memory */
void co_desc_free(struct callout_lcore *l, struct co_desc *d);
static inline bool co_desc_data(const struct co_desc *d)
{
	return d->type == CALLOUT_REQ_DATA || d->type == CALLOUT_REQ_AUX;
}
/* Looks again for the services of those that came early. */
void co_txn_early(struct callout_lcore *l);
void co_txn_purge_ring(struct callout_lcore *l, unsigned port);
/* The original has been ended by the peer. */
void co_txn_enough(struct callout_lcore *l, struct co_txn *t);
/* left(): nothing more of it is framed. */
void co_txn_left(struct callout_lcore *l, struct co_txn *t);
/* data-pause and the data-need that ends it. */
void co_txn_pause(struct callout_lcore *l, struct co_txn *t);
void co_txn_resume(struct callout_lcore *l, struct co_txn *t);
/* WAIT -> OPEN as xid on c; leaves the waiting list to the caller. */
void co_txn_opened(struct callout_lcore *l, struct co_txn *t, struct co_conn *c, uint32_t xid);
void co_list_push(struct co_list *q, struct co_txn *t);
struct co_txn *co_list_pop(struct co_list *q);
void co_list_remove(struct co_list *q, struct co_txn *t);

/* --- callout_frame.c --------------------------------------------------------------------------------------------- */
/* Frames what transactions of c have queued, as far as there is room. */
void co_txn_frame(struct callout_lcore *l, struct co_conn *c);

/* --- callout_io.c: octets of one connection -------------------------------------------------------------------- */
int co_io_open(struct co_conn *c); /* buffers; 0 or -ENOMEM */
void co_io_close(struct co_conn *c); /* buffers and what is in them */
int co_io_output(void *ctx, const struct ocp_output *out); /* ocp_output_fn; cookie: struct co_run */
bool co_io_room(const struct co_conn *c); /* for the framing of one more message */
uint32_t co_io_write(struct co_conn *c);  /* pieces sent */
uint32_t co_io_read(struct co_conn *c);   /* reads done */

/* --- callout_conn.c ---------------------------------------------------------------------------------------------- */
void co_conn_init(struct co_conn *c, struct callout_lcore *l, struct co_group *g);
void co_conn_start(struct co_conn *c);
/* Begins the transaction that o describes. As ocp_processor_xaction_start; -EFBIG: longer than the dialect can carry. */
int co_conn_open(struct co_conn *c, const struct callout_open *o, struct co_txn *t, uint32_t *xid);
/* The service has agreed on the request's head as a part of what o describes. */
bool co_open_aux(const struct co_conn *c, const struct callout_open *o);
void co_conn_ready(struct co_conn *c, uint32_t events);
/* Drops the connection if it is over or broken; true: it was. */
bool co_conn_check(struct co_conn *c);
void co_conn_timer(struct co_conn *c);
/* Adds the numbers of messages sent and received on this connection. */
void co_conn_messages(const struct co_conn *c, uint64_t *out, uint64_t *in);
/* Says connection-end and closes. */
void co_conn_end(struct co_conn *c);

static inline bool co_conn_core(const struct co_conn *c)
{
	return c->group->service->cfg.dialect == POLICY_DIALECT_CORE;
}

/* Octets of the part that may be framed before a pause or an end that the peer has asked for. */
static inline uint64_t co_conn_room(const struct co_conn *c, const struct co_txn *t, enum ocp_part part)
{
	return co_conn_core(c) ? ocp_processor_room(c->agent, t->xid, part) : UINT64_MAX;
}

/* --- callout_service.c ------------------------------------------------------------------------------------------ */
struct co_service *co_service_find(struct callout_lcore *l, const char *name);
struct co_group *co_service_group(struct co_service *s, int32_t priority);
/* Gives waiting transactions to connections; fails them when there is nothing to wait for. */
void co_group_dispatch(struct callout_lcore *l, struct co_group *g);
/* True: a connection is up or may be in a moment. */
bool co_group_hope(const struct co_group *g);
void co_service_changed(struct co_service *s); /* counts connections that are up */
void co_service_timer(struct callout_lcore *l);
void co_service_rows(struct callout_lcore *l);
void co_service_free_all(struct callout_lcore *l);
/* Of a fault: named with the rule, at most one each CO_FAULT_US and rule. */
void co_service_fault(struct callout_lcore *l, struct co_service *s, enum ocp_fault f, enum ocp_msg_type msg);
void co_service_event(struct callout_lcore *l, const struct co_service *s, const char *kind,
		      enum callout_cause cause, const char *text);

#endif
