/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side of the load: all its connections, timers, counters and its port. The client side's and the server side's
 * TCP are the same; loadgen_app.h says what their connections do.
 *
 * Owner: one thread. Everything is numbered: connections by their place in `conn`, tuples by lg_wire.
 */
#ifndef LOADGEN_SIDE_H
#define LOADGEN_SIDE_H

#include <rte_cycles.h>
#include "loadgen_config.h"
#include "loadgen_conn.h"
#include "loadgen_hist.h"
#include "loadgen_net.h"
#include "loadgen_wheel.h"
#include "loadgen_wire.h"

/* Ways a transaction, or a connection outside one, fails. */
enum lg_failure {
	LG_FAIL_OCTETS,	    /* a wrong octet */
	LG_FAIL_MESSAGE,    /* a head that is none, of another object, or of another length */
	LG_FAIL_STATUS,	    /* an HTTP status other than 200 */
	LG_FAIL_SHORT,	    /* closed before the end of the message */
	LG_FAIL_EXCESS,	    /* octets behind it */
	LG_FAIL_RESET,	    /* reset */
	LG_FAIL_UNANSWERED, /* no whole response within the timeout */
	LG_FAIL_CONNECT,    /* no handshake within it */
	LG_FAIL_CLOSE,	    /* an orderly end that the other side did not finish */
	LG_FAILURES
};

struct lg_stats {
	uint64_t opened, accepted, closed; /* connections: opened by SYN, handshakes done, orderly ends */
	uint64_t transactions, body_octets;
	uint64_t failed[LG_FAILURES];
	uint64_t retransmits, fast_retransmits, timeouts; /* segments sent again; of these by cause */
	uint64_t syn_retransmits, probes;
	uint64_t duplicates, out_of_order, ooo_dropped, dupacks;
	uint64_t resets_in, resets_out, challenged, stray; /* stray: for no connection */
	uint64_t bad_checksum, malformed, other;	   /* frames */
	uint64_t no_conn;				   /* SYNs with all of `conn` in use */
	uint64_t late_starts; /* connections a rate asked for and `concurrency` did not admit */
};

struct lg_partial {
	uint32_t len, next_free;
	uint8_t head[4096];
};

struct lg_list {
	uint32_t *at; /* ring of numbers of connections */
	uint32_t mask, head, count;
};

struct lg_side {
	const struct lg_config *cfg;
	bool server;
	struct lg_wire wire;
	struct lg_net *net;

	struct lg_conn *conn;
	uint32_t conns, used; /* size, and how many are in use */
	uint32_t *free_conn;
	uint32_t nfree;
	uint32_t *map; /* tuple to connection, LG_NONE */
	uint32_t tuples;
	struct lg_list acks, pending;
	struct lg_list free_tuple; /* client: in the order they became free */
	struct lg_wheel wheel;
	struct lg_partial *partial;
	uint32_t partials, partial_free; /* 1 + number of the first free one */

	/* client */
	uint32_t active;    /* handshake, transaction or close under way */
	uint32_t established; /* connections that are open */
	uint64_t next_id, begun; /* transactions */
	bool running;	    /* transactions and connections may begin */
	bool use_held;	    /* flows held: second transaction */
	bool measuring;
	struct lg_hist *latency, *connect; /* request sent to last octet; SYN to handshake done */
	double ns_per_cycle;

	struct lg_stats stats;
	uint64_t now_us;
	uint32_t isn_key;
	unsigned told; /* failures described on stderr so far */
	uint16_t mss, wnd_field;
	uint8_t wscale;
};

/* Memory for the connections. 0 or -ENOMEM with one sentence in err. */
int lg_side_init(struct lg_side *s, const struct lg_config *cfg, struct lg_net *net, bool server,
		 char *err, size_t err_len);
void lg_side_free(struct lg_side *s);

/* A connection for the tuple, zeroed and in the map; NULL when none is left. */
struct lg_conn *lg_side_conn_new(struct lg_side *s, uint32_t tuple);
/* Its number is free again, its timer gone. */
void lg_side_conn_free(struct lg_side *s, struct lg_conn *c);

static inline uint32_t lg_conn_number(const struct lg_side *s, const struct lg_conn *c)
{
	return c - s->conn;
}

static inline void lg_list_put(struct lg_list *l, uint32_t v)
{
	l->at[(l->head + l->count++) & l->mask] = v;
}

static inline uint32_t lg_list_take(struct lg_list *l)
{
	uint32_t v = l->at[l->head & l->mask];

	l->head++;
	l->count--;
	return v;
}

/* The connection's timer runs out at the earlier of rto_at (if anything is in flight) and app_at (if LG_F_TIMED). */
void lg_side_timer(struct lg_side *s, struct lg_conn *c, uint32_t at);
/* Calls lg_tcp_timer for every connection whose time has come, up to tick now. True when there was any. */
bool lg_side_tick(struct lg_side *s, uint32_t now);

/* Counts a failure of this connection, describes the first few; fmt: what was seen. */
void lg_side_fail(struct lg_side *s, struct lg_conn *c, enum lg_failure why, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
