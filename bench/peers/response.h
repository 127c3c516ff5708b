/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads one HTTP/1.1 response as a client does (RFC 9112 section 6.3: Content-Length, chunked, or
 * until close) and compares its body with the expected octets as they come.
 *
 * response_begin() for each response, response_feed() with whatever was read, response_end() when
 * the connection ended. The expected octets are the caller's and outlive the reader.
 */
#ifndef PEERS_RESPONSE_H
#define PEERS_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RESPONSE_LINE_MAX 4096 /* longest field line */
#define RESPONSE_ERROR_MAX 160

enum response_state {
	RESPONSE_STATUS,
	RESPONSE_FIELDS,
	RESPONSE_BODY,	/* left octets of it, or until close */
	RESPONSE_CHUNK, /* a chunk-size line */
	RESPONSE_GAP,	/* the end of line behind a chunk */
	RESPONSE_TRAILER,
	RESPONSE_DONE,
};

struct response {
	enum response_state state;
	const uint8_t *want;
	uint64_t want_len;
	uint64_t at;   /* octets of the body so far */
	uint64_t left; /* of the body or chunk; UINT64_MAX: until close */
	bool chunked, has_length, close;
	bool head; /* any octet of the response has come */
	size_t line_len;
	char line[RESPONSE_LINE_MAX];
	char error[RESPONSE_ERROR_MAX];
};

void response_begin(struct response *r, const uint8_t *want, uint64_t want_len);

/* Octets used: fewer than len only when the response is done (state RESPONSE_DONE). -EBADMSG: error
 * says why. */
ssize_t response_feed(struct response *r, const uint8_t *data, size_t len);

/* The connection ended. 0: the response is whole; -EBADMSG: error says why. */
int response_end(struct response *r);

#endif
