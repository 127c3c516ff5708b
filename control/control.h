/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opes-control: the state of the daemon and the parts that act on it.
 *
 * One thread, one loop (control_main.c): socket, signals and a tick. Nothing
 * waits for the dataplane except control_query.c: for half a second, and longer only while a
 * worker is seen to go through its table.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "control_events.h"
#include "control_plane.h"
#include "control_publish.h"
#include "control_socket.h"

struct policy_config;
struct policy_errors;
struct policy_image;

#define CONTROL_EVENT_WAIT_US 30000000u
#define CONTROL_REASON_MAX 512

/* A configuration that was read, checked and compiled. */
struct control_config {
	struct policy_config *config;
	struct policy_image *image;
	char *text;
	size_t text_len;
};

/* One client that waits for events. */
struct control_waiter {
	uint64_t client; /* 0 = free */
	json_t *id;
	uint64_t after, max, deadline_us;
};

struct control {
	char **argv;
	char path[4096];     /* configuration file */
	uint64_t started_us; /* CLOCK_REALTIME */
	uint64_t config_us;  /* CLOCK_REALTIME: when current was read */
	bool verbose, stop;

	struct control_config current;	/* in use, or to be used by the next dataplane */
	struct control_config next;	/* published, not yet adopted */
	struct policy_config *baseline; /* that the running dataplane started with */

	struct control_socket *socket;
	struct control_plane plane;
	struct control_publish publish;
	struct control_events events;
	struct control_shared *shared; /* while attached */
	bool attached;		       /* control_attach was done for this dataplane */
	bool publish_due;	       /* rules are to be published as soon as that is possible */

	bool reloading; /* next is under way */
	uint64_t reload_client;
	json_t *reload_id; /* NULL = nobody waits for the answer */

	struct control_waiter waiter[CONTROL_CLIENTS_MAX];

	uint64_t busy_sampled_us;
	uint64_t busy_tsc[SHM_WORKERS_MAX], total_tsc[SHM_WORKERS_MAX];
	uint32_t busy_permille[SHM_WORKERS_MAX];
};

uint64_t control_now_us(void);	    /* CLOCK_MONOTONIC */
uint64_t control_realtime_us(void); /* CLOCK_REALTIME */

/* --- control_config.c ----------------------------------------------------------------------------
 */

/* Reads, checks and compiles path. 0, or -errno with errs filled. */
int control_config_load(struct control_config *out, const char *path, uint32_t generation,
			struct policy_errors *errs);
/* The same from text that was read before. */
int control_config_parse(struct control_config *out, const char *path, const char *text, size_t len,
			 uint32_t generation, struct policy_errors *errs);
void control_config_free(struct control_config *c);
/* Takes everything of from, which is empty afterwards. */
void control_config_move(struct control_config *to, struct control_config *from);
/* One line per error to the log. */
void control_config_log_errors(const struct policy_errors *errs);

/* --- control_reload.c ----------------------------------------------------------------------------
 */

/* After the dataplane was found: takes over from a predecessor, or begins with this dataplane. */
void control_attach(struct control *c);
/*
 * Reads the configuration again and publishes it. client and id: who asked (0, NULL: a signal).
 * Returns 0 with *result (done at once), 1 (the answer comes from control_reload_poll), or -errno
 * with reason and perhaps *errors.
 */
int control_reload(struct control *c, uint64_t client, const json_t *id, json_t **result,
		   char reason[CONTROL_REASON_MAX], json_t **errors);
/* Follows what is published. */
void control_reload_poll(struct control *c);
/* Tells whoever waits that the dataplane is gone. */
void control_reload_abort(struct control *c);

/* --- control_commands.c --------------------------------------------------------------------------
 */

/* A request of the socket (ctx: struct control). */
void control_commands_handle(void *ctx, uint64_t client, const json_t *request);
/* Answers whoever waits for events that have come, or waited long enough. */
void control_commands_poll(struct control *c);
/* Answers everyone who waits, now. */
void control_commands_release(struct control *c);
json_t *control_answer_ok(const json_t *id, json_t *result);
json_t *control_answer_error(const json_t *id, const char *text, json_t *errors);

/* --- control_query.c -----------------------------------------------------------------------------
 */

/* Asks every worker for its flows, at most max rows. 0 with *out, or -ETIMEDOUT (worker: who did
 * not answer). A worker that goes on looking is waited for, five seconds at most. */
int control_query_flows(struct shm_root *root, uint64_t max, json_t **out, bool *more,
			unsigned *worker);
/* Asks for one flow in full. 0 with *out, -ENOENT: there is none of that id (any more), or -ETIMEDOUT. */
int control_query_flow(struct shm_root *root, uint64_t id, json_t **out);

/* --- control_restart.c ---------------------------------------------------------------------------
 */

/*
 * Begins this program anew in the same process (DPDK attaches once in a process's life). Sockets,
 * clients, events and the last good configuration are handed over. Returns only if that failed,
 * with -errno.
 */
int control_restart(struct control *c);
/* The state handed over by control_restart (new reference), or NULL: a start of its own. */
json_t *control_restart_state(void);

#endif
