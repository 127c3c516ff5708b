/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A closed loop of HTTP/1.1 GETs over kernel sockets: every connection has one request under way
 * and sends the next when the response has come whole and right. One thread, epoll.
 */
#ifndef PEERS_LOAD_H
#define PEERS_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LOAD_CONNECTIONS_MAX 4096
#define LOAD_STALL_SECONDS 20 /* without any octet: the run has failed */

/* Log-linear: 32 classes for each power of two of nanoseconds, so within 3 %. */
#define LOAD_CLASSES (60 * 32)

struct load_options {
	struct sockaddr_storage address;
	socklen_t address_len;
	const char *host, *path;
	const uint8_t *body; /* expected, the caller's */
	uint64_t size;	     /* of it in octets */
	unsigned connections;
	double seconds;	   /* no request begins after this; those under way are waited for */
	uint64_t requests; /* likewise after so many; 0: no bound */
	bool close;	   /* a connection for every request */
};

struct load_result {
	uint64_t transactions, octets; /* whole and right; octets of bodies */
	uint64_t connections;	       /* opened */
	uint64_t failures;	       /* a single one ends the run */
	double seconds; /* from the first connect to the end of the last transaction */
	uint64_t ns_min, ns_max;
	uint64_t latency[LOAD_CLASSES];
	char error[320]; /* what failed first */
};

/* 0 when every transaction was right; -EBADMSG with result->error; other -errno: the loop itself
 * could not run. */
int load_run(const struct load_options *o, struct load_result *result);

/* Nanoseconds below which the share q (0 to 1) of the transactions ended; 0 without any. */
uint64_t load_quantile(const struct load_result *r, double q);

#endif
