/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Heads of the generator's messages: HTTP/1.1 (RFC 9112), or 32 fixed octets where the load is an opaque stream. A
 * head says all there is to know about the object it announces, so that the server answers any request without having
 * been told before:
 *
 *   GET /get/ID/RESPONSE HTTP/1.1              POST /post/ID/RESPONSE HTTP/1.1, Content-Length: octets of the body
 *
 * ID in 16 hexadecimal digits. The request's body is object ID, the response's is object ID with its top bit set.
 */
#ifndef LOADGEN_HTTP_H
#define LOADGEN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "loadgen_config.h"

#define LG_ID_RESPONSE (1ull << 63)
#define LG_HEAD_LEN_MAX 255u

struct lg_head {
	uint64_t id;
	uint32_t body;	   /* octets of this message's body */
	uint32_t response; /* request: octets of the body asked for */
	bool close;	   /* the connection ends after this exchange */
	bool chunked;	   /* received: body comes in chunks, its length is unknown */
	uint16_t status;   /* received response */
};

/* Length of the head written to `to`, which holds LG_HEAD_LEN_MAX. */
unsigned lg_http_request(const struct lg_config *cfg, const struct lg_head *h, char *to);
unsigned lg_http_response(const struct lg_config *cfg, const struct lg_head *h, char *to);

/* Length of the head at data; 0 when more is needed; negative when it is none, with the reason in *why. A response's
 * id is known only of opaque streams, else 0. */
int lg_http_parse_request(const struct lg_config *cfg, const uint8_t *data, size_t len,
			  struct lg_head *h, const char **why);
int lg_http_parse_response(const struct lg_config *cfg, const uint8_t *data, size_t len,
			   struct lg_head *h, const char **why);

#endif
