/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands as both programs see them: the words an operator types, the request
 * that travels over the control socket, and what completes to what.
 *
 * A request is one line: {"command":"rules.list","args":{...},"id":n}. Its answer is one line with
 * the same id:
 *   {"id":n,"ok":true,"result":{...}}
 *   {"id":n,"ok":false,"error":"one sentence","errors":[{"file","line","column","text"}...]}
 * (errors if there are any) Arguments: "max" (how many rows or events at most), "all", and for
 * events "after" (a sequence number; only later ones) and "wait" (true: answer once there is one,
 * at most 30 s later with none).
 *
 * No function here keeps state; all may be called from any thread.
 */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#define COMMAND_LOCAL 1u   /* carried out by opesctl itself */
#define COMMAND_SHELL 2u   /* interactive mode only */
#define COMMAND_FILE 4u	   /* takes [FILE] */
#define COMMAND_ALL 8u	   /* takes [--all] */
#define COMMAND_FOLLOW 16u /* takes [-f] */
#define COMMAND_NUMBER 32u /* takes [-n N] */
#define COMMAND_ID 64u	   /* wants ID, of a flow: hexadecimal, as flows and events show it */

#define COMMAND_WORDS_MAX 16   /* of one line */
#define COMMAND_LINE_MAX 65536 /* octets of a request line; a client that sends more is cut off */

#define COMMAND_DEFAULT_SOCKET "/run/opes/control.sock"
#define COMMAND_DEFAULT_CONFIG "/etc/opes/opes.yaml"

struct command {
	const char *words;
	unsigned options; /* COMMAND_* bits */
	const char *help;
};
extern const struct command command_table[];
extern const size_t command_count;

/* One command line, understood. Strings point into argv. */
struct command_call {
	const struct command *command;
	bool all, follow, has_number;
	uint64_t number;
	uint64_t id;	  /* COMMAND_ID; 0 = not given yet */
	const char *file; /* NULL = not given */
};

/* 0, or -EINVAL with one sentence in err. argv holds argc words without the program's name. */
int command_parse(int argc, char **argv, struct command_call *out, char *err, size_t err_len);
/* The request of a call (new reference; NULL without memory). */
json_t *command_request(const struct command_call *call, uint64_t id);
/* Name of the request ("rules.list") into buf. */
void command_request_name(const struct command *cmd, char *buf, size_t len);
/* Synopsis of one command ("events [-f] [-n N]") into buf. */
void command_synopsis(const struct command *cmd, char *buf, size_t len);
/* Candidate number i (from 0) for the word that begins with prefix, after the argc whole words of
 * argv. Writes it to buf; false when there are no more. Each candidate appears once. */
bool command_candidate(int argc, char **argv, const char *prefix, size_t i, char *buf, size_t len);
/* Splits line in place at blanks; "double quotes" keep blanks. Returns the number of words, or
 * -E2BIG / -EINVAL (quote). */
int command_split(char *line, char **argv, int max);

#endif
