/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must be right before DPDK's environment (EAL) starts, checked first because EAL's own
 * messages are many and about something else; then EAL's arguments. Main thread, cold. err: one
 * sentence.
 */
#ifndef WORKER_EAL_H
#define WORKER_EAL_H

#include <stdbool.h>
#include <stddef.h>
#include "policy/policy.h"
#include "port/port_device.h"

#define WORKER_EAL_ARGS_MAX 64
#define WORKER_RUN_DIR "/run/opes"

/* Only one dataplane for a file prefix: takes the lock WORKER_RUN_DIR/PREFIX.lock, which holds the
 * owner's pid. Held until the process ends; the end of one
 * that was killed is waited for. 0, or -EBUSY when another has it, or -errno. */
int worker_eal_lock(const char *prefix, char *err, size_t err_len);

/* Waits for the secondary processes of a dataplane that ended (opes-control) to let go of its
 * memory: EAL would give up at once. After worker_eal_lock. 0 or -EBUSY. */
int worker_eal_wait_free(const char *prefix, char *err, size_t err_len);

/* Hugepages exist and are mounted. 0 or -ENOMEM. */
int worker_eal_hugepages(const struct policy_config *cfg, char *err, size_t err_len);

/* The CPUs named in the configuration exist and are ours. 0 or -EINVAL. */
int worker_eal_lcores(const struct policy_config *cfg, char *err, size_t err_len);

struct worker_eal_args {
	int argc;
	char *argv[WORKER_EAL_ARGS_MAX + 1];
	unsigned callout_lcore;	 /* id of the callout stage's lcore, UINT32_MAX: a worker's */
	unsigned callout_worker; /* that worker */
};
/* Lcore ids: worker i has i, then the callout stage, then main, which may run on any CPU of the
 * process. extra: arguments after "--" on the command line. 0, -E2BIG or -ENOMEM. Free with
 * worker_eal_args_free. */
int worker_eal_args(struct worker_eal_args *a, const struct policy_config *cfg,
		    const struct port_device dev[2], int nextra, char **extra, bool verbose,
		    char *err, size_t err_len);
void worker_eal_args_free(struct worker_eal_args *a);

/* Sends what libraries write to stdout and stderr to WORKER_RUN_DIR/PREFIX.log, until
 * worker_eal_log_end. err_fd is the real stderr meanwhile, -1 otherwise. 0 or -errno (nothing is
 * redirected). */
struct worker_eal_log {
	int err_fd, out_fd;
	char path[256];
};
int worker_eal_log_begin(struct worker_eal_log *l, const char *prefix);
/* No effect when nothing is redirected. */
void worker_eal_log_end(struct worker_eal_log *l);
/* The last thing they said; "" for nothing. */
void worker_eal_log_last(const struct worker_eal_log *l, char *line, size_t size);

/* Removes the memory files an ended dataplane leaves in hugetlbfs, which else keep their pages. */
void worker_eal_hugepages_release(const char *prefix);

#endif
