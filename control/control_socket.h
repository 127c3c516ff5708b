/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: a Unix stream socket, JSON lines, several clients.
 *
 * Answers of one client come in the order of its requests: while a request waits
 * for its answer (the handler did not answer at once) the client's further lines
 * stay unread. A client that is gone is forgotten, its answer is dropped; so a
 * waiting request is remembered by the client's serial number, never by pointer.
 *
 * Limits: CONTROL_CLIENTS_MAX clients (further ones wait in the listen queue), a
 * request of COMMAND_LINE_MAX octets, CONTROL_OUTPUT_MAX octets of unread answers
 * (a client beyond either is closed).
 *
 * Main thread only.
 */
#ifndef CONTROL_SOCKET_H
#define CONTROL_SOCKET_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#define CONTROL_CLIENTS_MAX 64
#define CONTROL_OUTPUT_MAX (32u << 20)

struct control_socket;

/* One request. client: serial number. request: borrowed; always an object. */
typedef void (*control_request_fn)(void *ctx, uint64_t client, const json_t *request);

/*
 * Opens path (makes its directory, removes a socket nobody serves, mode 0660) and takes the lock
 * path.lock, which ends with the process. 0, or -errno with one sentence in err (-EBUSY: another
 * opes-control serves it).
 */
int control_socket_open(struct control_socket **out, const char *path, control_request_fn fn,
			void *ctx, char *err, size_t err_len);
/* The same from what control_socket_save wrote before this program began anew. */
int control_socket_restore(struct control_socket **out, const json_t *saved, const char *path,
			   control_request_fn fn, void *ctx);
/* Descriptors, and octets not yet handled, as JSON (new reference); they survive execv. */
json_t *control_socket_save(struct control_socket *s);
/* Removes the socket and frees all. */
void control_socket_close(struct control_socket *s);

/* Writes what to wait for; returns the number of entries (at most 1 + CONTROL_CLIENTS_MAX). */
size_t control_socket_poll_fill(struct control_socket *s, struct pollfd *fds);
/* Serves what poll found in the same entries. */
void control_socket_poll_handle(struct control_socket *s, const struct pollfd *fds, size_t n);

/* Sends an answer (reference stolen) to a client that may be gone. */
void control_socket_answer(struct control_socket *s, uint64_t client, json_t *answer);
bool control_socket_client_alive(const struct control_socket *s, uint64_t client);

#endif
