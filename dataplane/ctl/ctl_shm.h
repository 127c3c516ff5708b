/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared structure of stats/shm.h from the dataplane's side: laid out at start, kept alive
 * (heartbeat, port statistics) by the main thread, marked as over at the end.
 */
#ifndef CTL_SHM_H
#define CTL_SHM_H

#include <stdint.h>
#include "policy/policy.h"
#include "stats/shm.h"

/* Reserves and fills the memzone; heartbeat_us stays 0 until ctl_shm_ready, so that a control does
 * not take it for whole. 0 or -errno. */
int ctl_shm_create(struct shm_root **out, const struct policy_config *cfg, uint64_t tsc_hz);
/* Everything is in place: from here on control may attach. */
void ctl_shm_ready(struct shm_root *root);
void ctl_shm_heartbeat(struct shm_root *root);
/* rte_eth_stats of DPDK port port_id into port[i]. */
void ctl_shm_port_stats(struct shm_root *root, unsigned i, uint16_t port_id);
/* The dataplane ends in order: no heartbeat any more, and no pid. */
void ctl_shm_over(struct shm_root *root);

#endif
