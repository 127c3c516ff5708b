/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opesctl: the parts between an operator and the control socket.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <jansson.h>

#include "command/command.h"

/* --- cli_client.c: the connection ----------------------------------------------------------------
 */

#define CLI_ANSWER_TIMEOUT_S 40 /* more than the longest wait of opes-control */

struct cli_client {
	const char *path;
	int fd; /* -1 = not connected */
	uint64_t next_id;
	char *in;
	size_t in_len, in_size;
};

void cli_client_init(struct cli_client *c, const char *path);
void cli_client_close(struct cli_client *c);
/*
 * Sends request (reference stolen) and waits for its answer; connects first if need be. Returns the
 * answer, or NULL with one sentence in err.
 */
json_t *cli_client_ask(struct cli_client *c, json_t *request, char *err, size_t err_len);

/* --- cli_render.c: answers as text ---------------------------------------------------------------
 */

/* result: of a good answer to cmd. */
void cli_render(const struct command *cmd, const json_t *result, FILE *out);
/* One line per entry of "errors", and the sentence. */
void cli_render_error(const json_t *answer, FILE *err);
void cli_render_event(const json_t *event, FILE *out);
/* cli_render_flow.c: flows show */
void cli_render_flow(const json_t *result, FILE *out);
void cli_render_help(FILE *out, bool shell);

/* --- cli_check.c ---------------------------------------------------------------------------------
 */

/* Checks a file with the reader and compiler the daemon uses. Returns an answer as the daemon would
 * give. */
json_t *cli_check(const char *path);

/* --- cli_run.c: one command ----------------------------------------------------------------------
 */

struct cli {
	struct cli_client client;
	bool json;
	bool shell; /* interactive */
	bool quit;
	volatile int
		*interrupted; /* set by SIGINT: leave a following command; NULL = not watched */
};

/* Carries out one command line. Returns the exit code: 0, 1 (failed), 2 (not understood). */
int cli_run(struct cli *cli, int argc, char **argv);

/* --- cli_shell.c ---------------------------------------------------------------------------------
 */

/* Reads lines with editing, history and completion until the end of input. */
int cli_shell(struct cli *cli);

#endif
