/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of this folder: a worker between two ports that are not there, with the real stages below it. Frames are
 * handed to it as a port would, and taken from its transmit buffers before a port would. */
#ifndef WORKER_TEST_WORLD_H
#define WORKER_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "worker/worker.h"

#define WORLD_FLOWS 4 /* cfg->limits.flows, unless a test says otherwise */

struct world {
	struct rte_mempool *pool;
	struct policy_config *cfg;
	struct shm_root *shm;
	struct ctl_rules_main rules;
	struct worker_clock clock;
	struct port_pair ports;
	struct callout_lcore *callout;
	struct policy_tcp tcp_policy;
	_Atomic bool quit;
	struct worker w;
	struct worker *at; /* whom world_burst and what is built on it talks to: &w */
};

extern struct world world;

struct world_seg {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_tcp_hdr tcp;
} __attribute__((packed, aligned(2)));

/* What main does: EAL, packet buffers, rules, the callout stage; then run, and a look for buffers that are lost. Its
 * result is how many failed. */
int world_main(int (*run)(void));

/* Around every case: a new world.w, all counters 0. */
int world_setup(void **state);
int world_teardown(void **state);
#define WORLD_CASE(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* Worker index of workers that know each other as peers; it has the rules. */
void world_worker(struct worker *x, unsigned index, unsigned workers, struct worker *peers);
/* A new world.w with this policy. */
void world_mid_stream(unsigned policy);

/* Of world.w. */
uint64_t world_count(enum stats_counter c);

struct rte_mbuf *world_raw(const void *octets, uint16_t len);
/* A segment between client 10.0.0.1:cport and server 10.0.0.2:sport. */
struct world_seg world_segment(bool from_server, uint16_t cport, uint16_t sport, uint8_t flags);
struct rte_mbuf *world_tcp(bool from_server, uint16_t cport, uint16_t sport, uint8_t flags);

void world_burst(unsigned port, struct rte_mbuf **pkt, unsigned n);
void world_one(unsigned port, struct rte_mbuf *m);
/* Frees what waits to be sent. */
void world_drop_sent(void);

/* The SYN of client 10.0.0.1:1024+i to port 80; and the SYN/ACK and ACK that come after it. */
void world_syn(unsigned i);
void world_shake(unsigned i);

#endif
