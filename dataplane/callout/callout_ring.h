/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What travels between a worker and the callout lcore: 64-octet messages in two
 * single-producer single-consumer rings per worker. Private to this stage.
 */
#ifndef CALLOUT_CALLOUT_RING_H
#define CALLOUT_CALLOUT_RING_H

#include <assert.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include "callout/callout.h"
#include "policy/policy.h"

#define CALLOUT_BURST 32

/* What begins a transaction: too long for a ring element, so from a mempool; the worker fills it, the callout lcore
 * puts it back once app-message-start has been framed. */
struct callout_open {
	char service[POLICY_NAME_MAX];
	int32_t priority;
	uint32_t generation; /* of the worker's image */
	uint32_t meta_len;
	int64_t sizep, el;   /* -1 = not known */
	char meta[CALLOUT_META_MAX];
};

enum callout_req_type {
	CALLOUT_REQ_START,
	CALLOUT_REQ_AUX, /* as DATA */
	CALLOUT_REQ_DATA,
	CALLOUT_REQ_DATA_END,
	CALLOUT_REQ_HOLD, /* does not wait for the data before it */
	CALLOUT_REQ_END,
};

struct callout_req { /* worker -> callout lcore */
	uint8_t type;             /* enum callout_req_type */
	uint8_t part;             /* DATA: enum callout_part */
	bool flag;                /* DATA: copied; DATA_END: ok; HOLD: hold; END: error */
	uint8_t rsvd;
	uint32_t len;             /* DATA */
	struct callout_txn *txn;
	struct rte_mbuf *m;       /* DATA: one reference travels along */
	const uint8_t *data;      /* DATA: inside m */
	uint64_t offset;          /* DATA: in the original */
	struct callout_open *open; /* START */
	uint64_t rsvd2[2];
};
static_assert(sizeof(struct callout_req) == 64, "one cache line");

struct callout_msg { /* callout lcore -> worker: struct callout_event without its padding */
	uint8_t type;             /* enum callout_event_type */
	uint8_t part, cause;
	bool ok : 1, modified : 1, answers_request : 1;
	uint32_t am_id;
	struct callout_txn *txn;
	int32_t result, modp;
	uint64_t offset;
	uint64_t size;               /* AM_START: callout_event.el */
	union {
		uint64_t src_offset; /* AS_IS, LEAVE, WONT_FORWARD */
		const uint8_t *data; /* DATA */
		const char *text;    /* FAILED, AM_END */
	};
	struct rte_mbuf *m;       /* DATA: one reference travels along */
	int64_t sizep;
};
static_assert(sizeof(struct callout_msg) == 64, "one cache line");

struct callout_port {
	struct rte_ring *tx;       /* callout_req */
	struct rte_ring *rx;       /* callout_msg */
	struct rte_mempool *opens; /* struct callout_open */
	uint32_t open;             /* transactions started and not CLOSED */
	uint32_t reserve;          /* ring elements callout_data leaves for starts and ends */
	uint64_t full;             /* refusals because the ring was full */
	struct callout_txn *ends, *ends_tail;   /* callout_end that found no room */
	struct callout_txn *waits, *waits_tail; /* callout_data that found no room */
};

int callout_port_init(struct callout_port *p, struct rte_mempool *opens, uint32_t ring_size,
		      int socket_id, unsigned worker, const void *tag);
void callout_port_fini(struct callout_port *p);

#endif
