/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop. One round: wait, accept, read from connections in the order of their priority, write, timers,
 * then free what is over.
 */
#include "callout/oc_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define OC_EVENTS 512
#define OC_TIMERS_US 250000 /* resolution of the timers, which are all in seconds */

uint64_t oc_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void oc_log(struct oc_loop *loop, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!loop->cfg.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (char *p = line; *p; p++) { /* peers choose some of it: keep it one line */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	loop->cfg.log(loop->cfg.log_ctx, line);
}

struct oc_loop *oc_loop_new(const struct oc_loop_config *cfg)
{
	struct oc_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!loop)
		return NULL;
	loop->cfg = cfg ? *cfg : OC_LOOP_CONFIG_DEFAULT;
	if (loop->cfg.out_low > loop->cfg.out_high)
		loop->cfg.out_low = loop->cfg.out_high;
	loop->wake.kind = OC_SOURCE_WAKE;
	loop->wake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.ptr = &loop->wake;
	if (loop->epfd < 0 || loop->wake.fd < 0 ||
	    epoll_ctl(loop->epfd, EPOLL_CTL_ADD, loop->wake.fd, &ev) != 0) {
		oc_loop_free(loop);
		return NULL;
	}
	loop->now_us = oc_now_us();
	return loop;
}

struct oc_service *oc_loop_find(struct oc_loop *loop, struct ocp_str uri)
{
	for (struct oc_service *s = loop->services; s; s = s->next) {
		if (strlen(s->uri) == uri.len && memcmp(s->uri, uri.p, uri.len) == 0)
			return s;
	}
	return NULL;
}

/* Takes the library's own options out; the rest, in mine, is the service's. */
static int oc_service_wishes(struct oc_service *s, const struct oc_option *options, size_t count,
			     struct oc_option *mine, size_t *n, struct oc_error *err)
{
	s->wishes = OC_WISHES_INIT;
	for (size_t i = 0; i < count; i++) {
		int rc = oc_wish(&s->wishes, &options[i], err);

		if (rc < 0)
			return rc;
		if (rc == 0)
			mine[(*n)++] = options[i];
	}
	if (s->type->never_refers && s->wishes.preservation_interest_body < 0)
		s->wishes.preservation_interest_body = 0;
	if (s->wishes.stop_receiving_body >= 0 && !s->type->prefix)
		return oc_error(err, -EINVAL, "service %s needs whole messages: leave stop-receiving-body out", s->type->name);
	return 0;
}

static int oc_service_configure(struct oc_service *s, const struct oc_option *options, size_t count,
				struct oc_error *err)
{
	struct oc_option *mine = calloc(count + 1, sizeof(*mine));
	size_t n = 0;
	int rc = mine ? oc_service_wishes(s, options, count, mine, &n, err)
		      : oc_error(err, -ENOMEM, "service %s: out of memory", s->type->name);

	if (rc == 0 && s->type->configure)
		rc = s->type->configure(mine, n, &s->config, err);
	else if (rc == 0 && n)
		rc = oc_error(err, -EINVAL, "service %s: unknown option '%s'", s->type->name, mine[0].key);
	free(mine);
	return rc;
}

static void oc_service_free(struct oc_service *s)
{
	free(s->wishes.content_encodings);
	free(s->uri);
	free(s);
}

int oc_loop_service(struct oc_loop *loop, const struct oc_service_type *type, const char *uri,
		    const struct oc_option *options, size_t count, struct oc_error *err)
{
	struct oc_service **end = &loop->services, *s;
	int rc;

	if (!uri)
		uri = type->uri;
	if (!uri || !*uri)
		return oc_error(err, -EINVAL, "service %s: no URI", type->name);
	for (; *end; end = &(*end)->next) {
		if (strcmp((*end)->uri, uri) == 0)
			return oc_error(err, -EEXIST, "service %s: %s is in use", type->name, uri);
	}
	s = calloc(1, sizeof(*s));
	if (s)
		s->uri = strdup(uri);
	if (!s || !s->uri) {
		free(s);
		return oc_error(err, -ENOMEM, "service %s: out of memory", type->name);
	}
	s->type = type;
	s->st.name = type->name;
	s->st.uri = s->uri;
	rc = oc_service_configure(s, options, count, err);
	if (rc != 0) {
		oc_service_free(s);
		return rc;
	}
	*end = s;
	return 0;
}

int oc_loop_watch(struct oc_loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg)
{
	struct epoll_event ev = {.events = events};
	struct oc_watch *w;

	for (w = loop->watches; w && (w->src.fd != fd || w->gone); w = w->next)
		;
	if (!events) {
		if (!w)
			return -ENOENT;
		epoll_ctl(loop->epfd, EPOLL_CTL_DEL, fd, NULL);
		w->gone = true; /* freed at the end of the round: an event for it may be under way */
		return 0;
	}
	if (w) {
		w->fn = fn;
		w->arg = arg;
		ev.data.ptr = &w->src;
		return epoll_ctl(loop->epfd, EPOLL_CTL_MOD, fd, &ev) == 0 ? 0 : -errno;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->src.kind = OC_SOURCE_WATCH;
	w->src.fd = fd;
	w->fn = fn;
	w->arg = arg;
	ev.data.ptr = &w->src;
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		int rc = -errno;

		free(w);
		return rc;
	}
	w->next = loop->watches;
	loop->watches = w;
	return 0;
}

/* Frees what is over. No call-back of a connection is running. */
static void oc_loop_bury(struct oc_loop *loop)
{
	struct oc_watch **w = &loop->watches;

	while (loop->dirty) {
		struct oc_conn *c = loop->dirty;

		loop->dirty = c->dirty_next;
		c->dirty = false;
		if (c->state != OC_CONN_DEAD)
			oc_conn_settle(c);
		if (c->state == OC_CONN_DEAD) {
			if (c->dirty) /* put back by the settling: it is the list's head */
				loop->dirty = c->dirty_next;
			c->dirty = true; /* never again */
			c->dirty_next = loop->graves_conn;
			loop->graves_conn = c;
		}
	}
	while (loop->graves) {
		struct oc_xaction *x = loop->graves;

		loop->graves = x->next;
		oc_xaction_bury(x);
	}
	while (loop->graves_conn) {
		struct oc_conn *c = loop->graves_conn;

		loop->graves_conn = c->dirty_next;
		oc_conn_free(c);
	}
	while (*w) {
		struct oc_watch *gone = *w;

		if (gone->gone) {
			*w = gone->next;
			free(gone);
		} else {
			w = &gone->next;
		}
	}
}

static int oc_loop_timeout(struct oc_loop *loop, int timeout_ms)
{
	if (loop->dirty || loop->graves)
		return 0;
	if (loop->conns) {
		uint64_t now = oc_now_us();
		uint64_t left = loop->timers_us > now ? (loop->timers_us - now) / 1000 + 1 : 0;

		if (timeout_ms < 0 || left < (uint64_t)timeout_ms)
			return (int)left;
	}
	return timeout_ms;
}

static void oc_loop_timers(struct oc_loop *loop)
{
	if (loop->now_us < loop->timers_us)
		return;
	for (struct oc_conn *c = loop->conns, *next; c; c = next) {
		next = c->next;
		if (loop->now_us >= oc_conn_deadline(c) || c->state != OC_CONN_OPEN)
			oc_conn_tick(c);
	}
	loop->timers_us = loop->now_us + OC_TIMERS_US;
}

static int oc_loop_by_priority(const void *a, const void *b)
{
	const struct oc_conn *const *x = a, *const *y = b;
	int32_t px = ocp_server_priority((*x)->ocp), py = ocp_server_priority((*y)->ocp);

	return px > py ? -1 : px < py;
}

/* Higher priorities first and with more reads; every readable connection gets its turn in every round (<35>). */
static void oc_loop_read(struct oc_loop *loop, struct oc_conn **ready, uint32_t n)
{
	int32_t top;

	if (!n)
		return;
	if (n > 1)
		qsort(ready, n, sizeof(*ready), oc_loop_by_priority);
	top = ocp_server_priority(ready[0]->ocp);
	for (uint32_t i = 0; i < n; i++)
		oc_conn_read(ready[i], ocp_server_priority(ready[i]->ocp) == top ? OC_QUANTUM_TOP : OC_QUANTUM);
}

int oc_loop_step(struct oc_loop *loop, int timeout_ms)
{
	struct epoll_event ev[OC_EVENTS];
	struct oc_conn *ready[OC_EVENTS];
	uint32_t nready = 0;
	uint64_t count;
	int n = epoll_wait(loop->epfd, ev, OC_EVENTS, oc_loop_timeout(loop, timeout_ms));

	if (n < 0 && errno != EINTR)
		return -errno;
	loop->now_us = oc_now_us();
	for (int i = 0; i < n; i++) {
		struct oc_source *src = ev[i].data.ptr;

		switch (src->kind) {
		case OC_SOURCE_WAKE:
			while (read(src->fd, &count, sizeof(count)) > 0)
				;
			break;
		case OC_SOURCE_LISTENER:
			oc_listener_accept(loop, (struct oc_listener *)src);
			break;
		case OC_SOURCE_WATCH:
			if (!((struct oc_watch *)src)->gone)
				((struct oc_watch *)src)->fn(((struct oc_watch *)src)->arg, ev[i].events);
			break;
		case OC_SOURCE_CONN:
			if (ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) /* writing tells the error */
				oc_conn_dirty((struct oc_conn *)src);
			if (ev[i].events & ~(uint32_t)EPOLLOUT)
				ready[nready++] = (struct oc_conn *)src;
			break;
		}
	}
	oc_loop_read(loop, ready, nready);
	oc_loop_timers(loop);
	oc_loop_bury(loop);
	return 0;
}

int oc_loop_run(struct oc_loop *loop)
{
	while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
		int rc = oc_loop_step(loop, -1);

		if (rc != 0)
			return rc;
	}
	__atomic_store_n(&loop->stop, false, __ATOMIC_RELEASE);
	return 0;
}

void oc_loop_stop(struct oc_loop *loop)
{
	int saved = errno;
	uint64_t one = 1;

	__atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
	if (write(loop->wake.fd, &one, sizeof(one)) < 0)
		errno = saved; /* full: it is awake already */
}

/* Last words get one chance to be written; a peer that does not read loses them. */
static void oc_loop_end_conns(struct oc_loop *loop)
{
	uint64_t until = oc_now_us() + OC_LINGER_US / 4;

	for (struct oc_conn *c = loop->conns; c; c = c->next)
		oc_conn_end(c);
	do {
		bool waiting = false;

		for (struct oc_conn *c = loop->conns; c && !waiting; c = c->next)
			waiting = c->state == OC_CONN_FLUSH;
		if (!waiting || oc_loop_step(loop, 10) != 0)
			break;
	} while (oc_now_us() < until);
	for (struct oc_conn *c = loop->conns; c; c = c->next) {
		c->state = OC_CONN_DEAD;
		oc_conn_dirty(c);
	}
	oc_loop_bury(loop);
}

void oc_loop_free(struct oc_loop *loop)
{
	if (!loop)
		return;
	for (struct oc_listener *l; (l = loop->listeners);) {
		loop->listeners = l->next;
		close(l->src.fd);
		if (l->path)
			unlink(l->path);
		free(l->path);
		free(l);
	}
	oc_loop_bury(loop);
	if (loop->conns)
		oc_loop_end_conns(loop);
	for (struct oc_watch *w; (w = loop->watches);) {
		loop->watches = w->next;
		free(w);
	}
	for (struct oc_service *s; (s = loop->services);) {
		loop->services = s->next;
		if (s->type->unconfigure)
			s->type->unconfigure(s->config);
		oc_service_free(s);
	}
	oc_pool_drain(&loop->pool);
	if (loop->epfd >= 0)
		close(loop->epfd);
	if (loop->wake.fd >= 0)
		close(loop->wake.fd);
	free(loop);
}

void oc_loop_stats(const struct oc_loop *loop, struct oc_stats *st)
{
	*st = loop->st;
	for (const struct oc_conn *c = loop->conns; c; c = c->next) {
		st->octets_in += c->octets_in;
		st->octets_out += c->octets_out;
	}
}

bool oc_loop_service_stats(const struct oc_loop *loop, unsigned n, struct oc_service_stats *st)
{
	const struct oc_service *s = loop->services;

	while (s && n--)
		s = s->next;
	if (!s)
		return false;
	*st = s->st;
	return true;
}
