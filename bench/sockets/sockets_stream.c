/* SPDX-License-Identifier: BSD-3-Clause */
/* Chunk moving: as many objects as the socket takes, one after the other, until the time is over. */
#include "bench/sockets/sockets.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define STREAM_IOV 1024 /* UIO_MAXIOV */
#define TEXT_LEN (SOCKETS_HEAD_LEN + SOCKETS_TAIL_LEN)

/* --- B ---------------------------------------------------------------------------------------------------- */

struct server {
	const struct sockets_case *c;
	struct sockets_parser p;
	int fd, other; /* other: A's end, which this process has no use for */
	char *out;
	size_t fill;
	uint8_t in[SOCKETS_GATHER];
};

static void server_answer(void *arg, uint32_t number, uint32_t offset, uint32_t len)
{
	struct server *s = arg;

	if (s->c->echo)
		return;
	sockets_answer(s->out + s->fill, number, offset, len);
	s->fill += SOCKETS_ANSWER_LEN;
}

/* An octet of every chunk, since not all are compared. */
static void server_spoil(struct server *s, size_t n)
{
	for (size_t i = 200; s->c->echo && i < n; i += s->c->chunk)
		s->in[i] ^= 1;
	if (!s->c->echo && s->fill)
		s->out[s->fill / 2] ^= 1;
}

static int server_run(void *arg)
{
	struct server *s = arg;
	ssize_t n;
	int rc;

	close(s->other); /* or the end of the stream would never be seen */
	for (;;) {
		n = recv(s->fd, s->in, sizeof(s->in), s->c->spin ? MSG_DONTWAIT : 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		s->fill = 0;
		if (sockets_parse(&s->p, s->in, (size_t)n, server_answer, s))
			return -EBADMSG;
		if (s->c->spoil && s->p.number > 2)
			server_spoil(s, (size_t)n);
		if (s->c->echo)
			rc = sockets_send_all(s->fd, s->in, (size_t)n, s->c->spin);
		else
			rc = sockets_send_all(s->fd, s->out, s->fill, s->c->spin);
		if (rc)
			return rc;
	}
	return n < 0 || s->p.head || s->p.offset ? -EBADMSG : 0;
}

/* --- A ---------------------------------------------------------------------------------------------------- */

struct client {
	const struct sockets_case *c;
	int fd;
	uint32_t number, offset;   /* to be sent next */
	uint32_t iovs, at;         /* pieces gathered, of them sent */
	bool last;                 /* no object after this one */
	uint64_t chunks, octets;   /* gathered */
	struct sockets_parser p;   /* echo: what comes back */
	uint32_t back, back_offset; /* as-is: the answer that comes next */
	uint32_t have;             /* octets of it had */
	char answer[SOCKETS_ANSWER_LEN];
	uint64_t answers;
	struct iovec iov[STREAM_IOV];
	char text[STREAM_IOV / 2 * TEXT_LEN];
	uint8_t in[SOCKETS_GATHER];
};

static void gather_payload(struct client *a, uint32_t len)
{
	const uint8_t *p = sockets_payload(a->number, a->c->object, a->offset);
	uint32_t piece = a->c->piece ? a->c->piece : len;

	for (; len > piece; len -= piece, p += piece)
		a->iov[a->iovs++] = (struct iovec){(void *)(uintptr_t)p, piece};
	a->iov[a->iovs++] = (struct iovec){(void *)(uintptr_t)p, len};
}

/* The tail of a chunk and the head of the next are one piece, as they are in the processor's ring of text. */
static void client_gather(struct client *a)
{
	char *t = a->text;
	size_t total = 0;

	a->iovs = a->at = 0;
	while (total < SOCKETS_GATHER && !(a->last && !a->offset)) {
		uint32_t rest = a->c->object - a->offset;
		uint32_t len = rest < a->c->chunk ? rest : a->c->chunk;

		if (a->iovs + 3 + (a->c->piece ? len / a->c->piece : 0) > STREAM_IOV)
			break;
		if (!a->iovs)
			a->iov[a->iovs++] = (struct iovec){t, 0};
		sockets_head(t, a->number, a->offset, len);
		t += SOCKETS_HEAD_LEN;
		a->iov[a->iovs - 1].iov_len += SOCKETS_HEAD_LEN;
		gather_payload(a, len);
		memcpy(t, SOCKETS_TAIL, SOCKETS_TAIL_LEN);
		a->iov[a->iovs++] = (struct iovec){t, SOCKETS_TAIL_LEN};
		t += SOCKETS_TAIL_LEN;
		total += len;
		a->chunks++;
		a->offset += len;
		if (a->offset == a->c->object) {
			a->offset = 0;
			a->number++;
		}
	}
	a->octets += total;
}

/* Pieces sent, 0: the socket is full. */
static int client_send(struct client *a)
{
	struct msghdr mh = {.msg_iov = a->iov + a->at, .msg_iovlen = a->iovs - a->at};
	ssize_t n = sendmsg(a->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	int pieces = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
	for (; a->at < a->iovs && (size_t)n >= a->iov[a->at].iov_len; a->at++, pieces++)
		n -= (ssize_t)a->iov[a->at].iov_len;
	if (n) {
		a->iov[a->at].iov_base = (char *)a->iov[a->at].iov_base + n;
		a->iov[a->at].iov_len -= (size_t)n;
		pieces++;
	}
	return pieces;
}

static void client_echoed(void *arg, uint32_t number, uint32_t offset, uint32_t len)
{
	struct client *a = arg;

	a->answers++;
}

static int client_answer(struct client *a)
{
	uint32_t rest = a->c->object - a->back_offset;
	uint32_t len = rest < a->c->chunk ? rest : a->c->chunk;
	char want[SOCKETS_ANSWER_LEN];

	sockets_answer(want, a->back, a->back_offset, len);
	if (memcmp(want, a->answer, sizeof(want))) {
		fprintf(stderr, "opes-bench-sockets: wrong answer for object %u at octet %u\n",
			a->back, a->back_offset);
		return -EBADMSG;
	}
	a->answers++;
	a->have = 0;
	a->back_offset += len;
	if (a->back_offset == a->c->object) {
		a->back_offset = 0;
		a->back++;
	}
	return 0;
}

/* 1: something came, 0: nothing there. */
static int client_receive(struct client *a)
{
	ssize_t n = recv(a->fd, a->in, sizeof(a->in), MSG_DONTWAIT);
	uint8_t *b = a->in;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (a->c->echo)
		return sockets_parse(&a->p, b, (size_t)n, client_echoed, a) ? -EBADMSG : 1;
	while (n) {
		uint32_t k = SOCKETS_ANSWER_LEN - a->have;

		if (k > (size_t)n)
			k = (uint32_t)n;
		memcpy(a->answer + a->have, b, k);
		a->have += k;
		b += k;
		n -= k;
		if (a->have == SOCKETS_ANSWER_LEN && client_answer(a))
			return -EBADMSG;
	}
	return 1;
}

static int client_run(struct client *a, uint64_t end)
{
	for (;;) {
		struct pollfd p = {.fd = a->fd, .events = POLLIN};
		int in, out = 0;

		if (a->at == a->iovs) {
			a->last |= sockets_now() >= end;
			client_gather(a);
		}
		if (a->at < a->iovs)
			out = client_send(a);
		in = client_receive(a);
		if (in < 0 || out < 0)
			return in < 0 ? in : out;
		if (a->last && a->at == a->iovs && !a->offset && a->answers == a->chunks)
			return 0;
		if (in || out || a->c->spin)
			continue;
		if (a->at < a->iovs)
			p.events |= POLLOUT;
		poll(&p, 1, -1);
	}
}

static double cpu_spent(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int stream_measure(struct client *a, int pid, struct sockets_result *r)
{
	double cpu = cpu_spent();
	uint64_t begin = sockets_now();
	int rc = client_run(a, begin + (uint64_t)(a->c->seconds * 1e9)), rc2;
	uint64_t end = sockets_now();

	close(a->fd);
	r->cpu_seconds[0] = cpu_spent() - cpu;
	rc2 = sockets_join(pid, &r->cpu_seconds[1]);
	r->value[0] = (double)a->octets / ((double)(end - begin) / 1e9);
	r->count = a->chunks;
	return rc ? rc : rc2;
}

int sockets_stream(const struct sockets_case *c, struct sockets_result *r)
{
	struct client *a = calloc(1, sizeof(*a));
	struct server *s = calloc(1, sizeof(*s));
	int fd[2], pid, rc = a && s ? sockets_pair(c->tcp, fd) : -ENOMEM;

	if (rc)
		goto out;
	a->c = s->c = c;
	a->p.object = s->p.object = c->object;
	a->p.chunk = s->p.chunk = c->chunk;
	a->fd = fd[0];
	s->fd = fd[1];
	s->other = fd[0];
	s->out = malloc((SOCKETS_GATHER / TEXT_LEN + 2) * SOCKETS_ANSWER_LEN);
	if (!s->out)
		rc = -ENOMEM;
	if (!rc)
		rc = sockets_pin(c->cpu[0]);
	if (!rc)
		rc = sockets_child(c->cpu[1], server_run, s, &pid);
	close(fd[1]);
	if (!rc)
		rc = stream_measure(a, pid, r);
	else
		close(fd[0]);
	free(s->out);
out:
	free(a);
	free(s);
	return rc;
}
