/* SPDX-License-Identifier: BSD-3-Clause */
/* One message there, a short one back, then the next: the least latency a transaction can add. */
#include "bench/sockets/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PING_MAX (4u << 20) /* round trips remembered */

struct ping {
	const struct sockets_case *c;
	int fd, other;
};

/* 1: all of it, 0: the end of the stream, -errno. */
static int receive_all(int fd, void *to, size_t len, bool spin)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = recv(fd, (char *)to + have, len - have, spin ? MSG_DONTWAIT : 0);

		if (n == 0)
			return have ? -EBADMSG : 0;
		if (n > 0)
			have += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 1;
}

static int ping_server(void *arg)
{
	struct ping *s = arg;
	const struct sockets_case *c = s->c;
	char answer[SOCKETS_ANSWER_LEN];
	uint8_t *in = malloc(c->object);
	int rc = in ? 1 : -ENOMEM;

	close(s->other);
	for (uint32_t n = 0; rc == 1; n++) {
		rc = receive_all(s->fd, in, c->object, c->spin);
		if (rc != 1)
			break;
		if (memcmp(in, sockets_payload(n, c->object, 0), c->object)) {
			fprintf(stderr, "opes-bench-sockets: wrong octets in message %u\n", n);
			rc = -EBADMSG;
			break;
		}
		sockets_answer(answer, n, 0, c->object);
		if (c->spoil && n == 2)
			answer[7] ^= 1;
		if (sockets_send_all(s->fd, answer, sizeof(answer), c->spin))
			rc = -EPIPE;
	}
	free(in);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int ping_client(const struct sockets_case *c, int fd, uint32_t *ns, uint32_t *count)
{
	uint64_t begin = sockets_now(), end = begin + (uint64_t)(c->seconds * 1e9), at = begin;
	char want[SOCKETS_ANSWER_LEN], got[SOCKETS_ANSWER_LEN];
	uint32_t n;

	for (n = 0; at < end && n < PING_MAX; n++) {
		uint64_t now;
		int rc = sockets_send_all(fd, sockets_payload(n, c->object, 0), c->object, c->spin);

		if (!rc)
			rc = receive_all(fd, got, sizeof(got), c->spin);
		if (rc <= 0)
			return rc ? rc : -ECONNRESET;
		now = sockets_now();
		ns[n] = (uint32_t)(now - at);
		sockets_answer(want, n, 0, c->object);
		if (memcmp(want, got, sizeof(got))) {
			fprintf(stderr, "opes-bench-sockets: wrong answer to message %u\n", n);
			return -EBADMSG;
		}
		at = sockets_now();
	}
	*count = n;
	return 0;
}

int sockets_ping(const struct sockets_case *c, struct sockets_result *r)
{
	uint32_t *ns = malloc(PING_MAX * sizeof(*ns)), count = 0;
	struct ping s = {.c = c};
	int fd[2], pid, rc = ns ? sockets_pair(c->tcp, fd) : -ENOMEM, rc2;

	if (rc) {
		free(ns);
		return rc;
	}
	s.fd = fd[1];
	s.other = fd[0];
	rc = sockets_pin(c->cpu[0]);
	if (!rc)
		rc = sockets_child(c->cpu[1], ping_server, &s, &pid);
	close(fd[1]);
	if (!rc) {
		rc = ping_client(c, fd[0], ns, &count);
		close(fd[0]);
		rc2 = sockets_join(pid, &r->cpu_seconds[1]);
		rc = rc ? rc : rc2;
	} else {
		close(fd[0]);
	}
	if (!rc && !count)
		rc = -ENODATA;
	if (!rc) {
		qsort(ns, count, sizeof(*ns), by_value);
		r->value[0] = ns[count / 2];
		r->value[1] = ns[(uint64_t)count * 99 / 100];
		r->count = count;
	}
	free(ns);
	return rc;
}
