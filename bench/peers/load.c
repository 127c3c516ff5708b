/* SPDX-License-Identifier: BSD-3-Clause */
#include "load.h"
#include "response.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 << 10)
#define REQUEST_MAX 1024
#define EVENTS 256
#define NS 1000000000ull

struct conn {
	int fd; /* -1: none */
	bool connected;
	size_t sent;
	uint64_t begun; /* ns, of the transaction; with its connect when it has one of its own */
	struct response response;
};

struct load {
	const struct load_options *o;
	struct load_result *r;
	int epoll;
	char request[REQUEST_MAX];
	size_t request_len;
	uint64_t begin, end; /* ns */
	uint64_t begun;	     /* transactions */
	unsigned open;
	struct conn *conn;
	uint8_t *buf;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void failed(struct load *l, const char *fmt, ...)
{
	va_list ap;

	if (!l->r->failures++) {
		va_start(ap, fmt);
		vsnprintf(l->r->error, sizeof(l->r->error), fmt, ap);
		va_end(ap);
	}
	l->end = 0;
}

static unsigned class_of(uint64_t ns)
{
	unsigned shift = ns < 32 ? 0 : 58 - (unsigned)__builtin_clzll(ns);
	unsigned c = shift * 32 + (unsigned)(ns >> shift);

	return c < LOAD_CLASSES ? c : LOAD_CLASSES - 1;
}

uint64_t load_quantile(const struct load_result *r, double q)
{
	uint64_t sum = 0, want = (uint64_t)((double)r->transactions * q);

	for (unsigned c = 0; c < LOAD_CLASSES; c++) {
		unsigned shift = c < 64 ? 0 : c / 32 - 1;

		sum += r->latency[c];
		if (sum > want) {
			uint64_t above = (uint64_t)(c - shift * 32 + 1) << shift;

			return above < r->ns_max ? above : r->ns_max;
		}
	}
	return r->ns_max;
}

static bool may_begin(const struct load *l, uint64_t now)
{
	return now < l->end && (!l->o->requests || l->begun < l->o->requests);
}

static void conn_close(struct load *l, struct conn *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	l->open--;
}

static void transaction_begin(struct load *l, struct conn *c, uint64_t now)
{
	l->begun++;
	c->begun = now;
	c->sent = 0;
	response_begin(&c->response, l->o->body, l->o->size);
}

static void conn_open(struct load *l, struct conn *c)
{
	struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
	uint64_t now = now_ns();
	int one = 1;

	if (!may_begin(l, now))
		return;
	c->fd = socket(l->o->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		failed(l, "socket: %s", strerror(errno));
		return;
	}
	l->open++;
	l->r->connections++;
	c->connected = false;
	transaction_begin(l, c, now);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(c->fd, (const struct sockaddr *)&l->o->address, l->o->address_len) &&
	     errno != EINPROGRESS) ||
	    epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e)) {
		failed(l, "connect: %s", strerror(errno));
		conn_close(l, c);
	}
}

static void conn_fail(struct load *l, struct conn *c, const char *what)
{
	failed(l, "transaction of %.40s: %s", l->o->path, what);
	conn_close(l, c);
}

static void conn_send(struct load *l, struct conn *c)
{
	ssize_t n = send(c->fd, l->request + c->sent, l->request_len - c->sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN) {
		conn_fail(l, c, strerror(errno));
		return;
	}
	if (n > 0)
		c->sent += (size_t)n;
}

/* The connection can be written to: it is there, or could not be had. */
static void conn_writable(struct load *l, struct conn *c)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	int err = 0;
	socklen_t len = sizeof(err);

	if (!c->connected) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err) {
			failed(l, "connect: %s", strerror(err));
			conn_close(l, c);
			return;
		}
		c->connected = true;
	}
	conn_send(l, c);
	if (c->fd >= 0 && c->sent == l->request_len)
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void transaction_done(struct load *l, struct conn *c)
{
	uint64_t now = now_ns(), ns = now - c->begun;
	struct load_result *r = l->r;

	r->transactions++;
	r->octets += l->o->size;
	r->latency[class_of(ns)]++;
	r->ns_min = r->ns_min && r->ns_min < ns ? r->ns_min : ns;
	r->ns_max = r->ns_max > ns ? r->ns_max : ns;
	r->seconds = (double)(now - l->begin) / NS;
}

/* After a response: the next request, or the end of the connection. With close the server's end is
 * waited for. */
static void conn_next(struct load *l, struct conn *c)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
	uint64_t now = now_ns();

	if (l->o->close || c->response.close)
		return;
	if (!may_begin(l, now)) {
		conn_close(l, c);
		return;
	}
	transaction_begin(l, c, now);
	conn_send(l, c);
	if (c->fd >= 0 && c->sent < l->request_len)
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void conn_ended(struct load *l, struct conn *c)
{
	bool before = c->response.state == RESPONSE_DONE;

	if (response_end(&c->response)) {
		conn_fail(l, c, c->response.error);
		return;
	}
	if (!before)
		transaction_done(l, c);
	conn_close(l, c);
	conn_open(l, c);
}

static void conn_readable(struct load *l, struct conn *c)
{
	ssize_t n = recv(c->fd, l->buf, READ_SIZE, 0), used;

	if (n < 0) {
		if (errno != EAGAIN)
			conn_fail(l, c, strerror(errno));
		return;
	}
	if (n == 0) {
		conn_ended(l, c);
		return;
	}
	used = response_feed(&c->response, l->buf, (size_t)n);
	if (used < 0) {
		conn_fail(l, c, c->response.error);
	} else if (used < n) {
		conn_fail(l, c, "octets behind the end of the response");
	} else if (c->response.state == RESPONSE_DONE) {
		transaction_done(l, c);
		conn_next(l, c);
	}
}

static void loop(struct load *l)
{
	struct epoll_event event[EVENTS];

	while (l->open) {
		int n = epoll_wait(l->epoll, event, EVENTS, LOAD_STALL_SECONDS * 1000);

		if (n == 0) {
			failed(l, "nothing came for %d s, %u connections open", LOAD_STALL_SECONDS,
			       l->open);
			break;
		}
		for (int i = 0; i < n; i++) {
			struct conn *c = event[i].data.ptr;

			if (c->fd >= 0 && (event[i].events & EPOLLOUT))
				conn_writable(l, c);
			if (c->fd >= 0 && (event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
				conn_readable(l, c);
		}
		if (l->r->failures)
			break;
	}
}

static int prepare(struct load *l)
{
	int n = snprintf(l->request, sizeof(l->request), "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
			 l->o->path, l->o->host, l->o->close ? "Connection: close\r\n" : "");

	if (n < 0 || (size_t)n >= sizeof(l->request))
		return -ENAMETOOLONG;
	l->request_len = (size_t)n;
	l->epoll = epoll_create1(0);
	if (l->epoll < 0)
		return -errno;
	l->conn = calloc(l->o->connections, sizeof(*l->conn));
	l->buf = malloc(READ_SIZE);
	if (!l->conn || !l->buf)
		return -ENOMEM;
	for (unsigned i = 0; i < l->o->connections; i++)
		l->conn[i].fd = -1;
	return 0;
}

int load_run(const struct load_options *o, struct load_result *result)
{
	struct load l = {.o = o, .r = result, .epoll = -1};
	int rc = prepare(&l);

	memset(result, 0, sizeof(*result));
	if (!rc) {
		l.begin = now_ns();
		l.end = l.begin + (uint64_t)(o->seconds * (double)NS);
		for (unsigned i = 0; i < o->connections; i++)
			conn_open(&l, &l.conn[i]);
		loop(&l);
		for (unsigned i = 0; i < o->connections; i++)
			conn_close(&l, &l.conn[i]);
		rc = result->failures ? -EBADMSG : 0;
	}
	if (l.epoll >= 0)
		close(l.epoll);
	free(l.conn);
	free(l.buf);
	return rc;
}
