/* SPDX-License-Identifier: BSD-3-Clause */
/* Fixture of this stage's unit tests: a policy image by hand, a worker that checks every octet, a virtual clock. */
#ifndef CALLOUT_CALLOUT_TEST_H
#define CALLOUT_CALLOUT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <rte_mempool.h>
#include "callout/callout.h"
#include "callout/callout_test_server.h"
#include "policy/policy.h"
#include "stats/shm.h"

#define CHUNK 1400
#define IMAGE_SERVICES 4

struct policy_image {
	uint32_t generation, services, rules;
	struct policy_service service[IMAGE_SERVICES];
	struct policy_rule rule[8];
};

struct item { /* one transaction as its worker sees it */
	struct callout_txn txn;
	struct world *w;
	uint32_t id;
	uint64_t len, pos;      /* of the original */
	uint64_t got;           /* octets of the adapted message */
	uint64_t rest;          /* LEAVE: src_offset */
	uint64_t source, source_chunk; /* what is sent in one go */
	const char *aux;        /* request-header that goes before a response */
	enum callout_part part;
	int64_t sizep, el;      /* AM_START */
	int32_t modp;
	uint64_t freed;         /* WONT_FORWARD */
	uint32_t first;         /* place of its first data among those of all */
	bool verdict, answers, aux_sent;
	bool copied, data_ended, end_error, hold, left;
	bool refused;           /* last callout_data said -ENOBUFS */
	bool paused;
	uint32_t enough, am_bad;
	uint32_t am_starts, am_ends, ended, failed, closed, rooms, pauses, needs, as_is;
	enum callout_cause cause;
	const char *text;
	bool end_sent;
};

struct world {
	struct callout_lcore *l;
	struct callout_port *port;
	struct policy_image img;
	struct shm_root *shm;
	struct rte_mempool *pool; /* originals and received octets */
	unsigned pool_free;
	uint64_t now;
	uint64_t step_us;
	struct test_server *server[2];
	bool worker_sleeps;
	const char *meta;       /* of transactions that begin; NULL: an HTTP response */
	int32_t priority;       /* likewise */
	uint32_t firsts;        /* items that have got data */
	uint64_t core_max;      /* callout_config */
	struct item *item;
	uint32_t nitems;
};

/* Services made from now on speak the dialect core. */
extern bool world_core;
uint8_t test_octet(uint32_t id, uint64_t offset);
/* One service "a" at address; connections each. */
void world_image(struct world *w, uint32_t i, const char *name, const char *address, uint32_t connections);
void world_open(struct world *w, uint32_t ring_size, uint32_t txns_max, uint32_t nitems);
void world_close(struct world *w);
void world_step(struct world *w);
/* Steps until *flag >= n or so many steps; asserts that it came. */
void world_until(struct world *w, const uint32_t *flag, uint32_t n, uint32_t steps);
void world_steps(struct world *w, uint32_t steps);
struct item *world_start(struct world *w, uint32_t id, uint32_t service, uint64_t len, bool copied);
void world_until_up(struct world *w, uint32_t service);
void item_feed(struct item *it);
void item_end(struct item *it, bool error);

#endif
