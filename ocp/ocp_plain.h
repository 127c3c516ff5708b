/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: the short way for messages that carry or name data. Their heads are a name, some
 * numbers and at most a part and two flags, and there are many of them; anything else takes the
 * general way (ocp_decode.c, ocp_encode.c), which knows the whole grammar. Both ways say the same.
 *
 * Pure and reentrant.
 */
#ifndef OCP_PLAIN_H
#define OCP_PLAIN_H

#include "ocp/ocp.h"

#define OCP_PLAIN_MAX 256 /* octets of a head written or read this way, at most */

/* Limits that any head of this kind stays within. */
bool ocp_plain_allowed(const struct ocp_limits *lim);
/*
 * Reads one head that lies whole in buf[0..len) and is of this kind. Returns its octets, up to and
 * including the colon of the payload's size or the CRLF after the semicolon, with *m filled in.
 * dialects: mask of OCP_HAS(enum ocp_dialect). 0: the general way has to look at it; *m is undefined.
 */
size_t ocp_plain_decode(const char *buf, size_t len, const struct ocp_limits *lim,
			uint32_t dialects, struct ocp_msg *m);
/* Writes m's head as ocp_encode does into head[OCP_PLAIN_MAX]; returns its octets, 0: m is not of
 * this kind, or wrong. */
size_t ocp_plain_encode(const struct ocp_msg *m, uint64_t payload_size, char *head);

#endif
