/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses to listen on. */
#include "callout/oc_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void oc_peer_name(const struct sockaddr_storage *a, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)a;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
	} else if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)a;

		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(in->sin6_port));
	} else {
		snprintf(text, size, "unix");
	}
}

void oc_listener_accept(struct oc_loop *loop, struct oc_listener *l)
{
	for (;;) {
		struct sockaddr_storage a = {0};
		socklen_t len = sizeof(a);
		char peer[80];
		bool refuse;
		int one = 1, fd = accept4(l->src.fd, (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				oc_log(loop, "accept: %s", strerror(errno));
				usleep(1000); /* out of descriptors: level-triggered, do not spin */
			}
			return;
		}
		oc_peer_name(&a, peer, sizeof(peer));
		refuse = loop->st.connections_open >= loop->cfg.connections_max;
		if (refuse) {
			loop->st.connections_refused++;
			oc_log(loop, "connection from %s refused: %u are open", peer, loop->cfg.connections_max);
		}
		if (refuse && loop->refusing >= OC_REFUSING_MAX) { /* too many to tell each */
			close(fd);
			continue;
		}
		if (!l->path)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (oc_conn_new(loop, fd, peer, refuse) != 0)
			oc_log(loop, "connection from %s refused: out of memory", peer);
	}
}

int oc_loop_adopt(struct oc_loop *loop, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return oc_conn_new(loop, fd, "adopted", false);
}

static int oc_listener_add(struct oc_loop *loop, int fd, const char *path, uint16_t port)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct oc_listener *l = calloc(1, sizeof(*l)), **end = &loop->listeners;

	if (!l)
		return -ENOMEM;
	l->src.kind = OC_SOURCE_LISTENER;
	l->src.fd = fd;
	l->port = port;
	l->path = path ? strdup(path) : NULL;
	ev.data.ptr = &l->src;
	if ((path && !l->path) || epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		free(l->path);
		free(l);
		return -ENOMEM;
	}
	while (*end)
		end = &(*end)->next;
	*end = l;
	return 0;
}

/* True when path is a socket without a listener behind it. */
static bool oc_unix_stale(const char *path, const struct sockaddr_un *a)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int oc_listen_unix(struct oc_loop *loop, const char *path, struct oc_error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int rc, fd;

	if (!*path || strlen(path) >= sizeof(a.sun_path))
		return oc_error(err, -EINVAL, "unix:%s: path empty or too long", path);
	strcpy(a.sun_path, path);
	if (oc_unix_stale(path, &a))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return oc_error(err, -errno, "unix:%s: %s", path, strerror(errno));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		rc = oc_error(err, -errno, "unix:%s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	if (listen(fd, 128) != 0 || oc_listener_add(loop, fd, path, 0) != 0) {
		rc = oc_error(err, -EIO, "unix:%s: cannot listen", path);
		unlink(path);
		close(fd);
		return rc;
	}
	return 0;
}

static int oc_listen_tcp_one(struct oc_loop *loop, const struct addrinfo *ai)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof(a);
	int rc, one = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, 128) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		rc = -errno;
	else
		rc = oc_listener_add(loop, fd, NULL,
				     ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
								   : ((struct sockaddr_in *)&a)->sin_port));
	if (rc != 0)
		close(fd);
	return rc;
}

static int oc_listen_tcp(struct oc_loop *loop, const char *host_port, struct oc_error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	const char *colon = strrchr(host_port, ':');
	char host[256] = "";
	size_t len;
	unsigned listening = 0;
	int rc;

	if (!colon || !colon[1])
		return oc_error(err, -EINVAL, "tcp:%s: HOST:PORT expected", host_port);
	len = (size_t)(colon - host_port);
	if (len >= 2 && host_port[0] == '[' && colon[-1] == ']') {
		host_port++;
		len -= 2;
	} else if (memchr(host_port, ':', len)) {
		return oc_error(err, -EINVAL, "tcp:%s: write [ADDRESS]:PORT", host_port);
	}
	if (len >= sizeof(host))
		return oc_error(err, -EINVAL, "tcp:%s: host name too long", host_port);
	memcpy(host, host_port, len);
	rc = getaddrinfo(len ? host : NULL, colon + 1, &hints, &list);
	if (rc != 0)
		return oc_error(err, -EINVAL, "tcp:%s:%s: %s", host, colon + 1, gai_strerror(rc));
	rc = -EADDRNOTAVAIL;
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		rc = oc_listen_tcp_one(loop, ai);
		if (rc == 0)
			listening++;
		else if (rc != -EAFNOSUPPORT && rc != -EADDRNOTAVAIL)
			break; /* a host without one of the two families is no error as long as one is left */
	}
	freeaddrinfo(list);
	if (listening && (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL))
		rc = 0;
	return rc == 0 ? 0 : oc_error(err, rc, "tcp:%s:%s: %s", host, colon + 1, strerror(-rc));
}

int oc_loop_listen(struct oc_loop *loop, const char *address, struct oc_error *err)
{
	if (strncmp(address, "tcp:", 4) == 0)
		return oc_listen_tcp(loop, address + 4, err);
	if (strncmp(address, "unix:", 5) == 0)
		return oc_listen_unix(loop, address + 5, err);
	return oc_error(err, -EINVAL, "%s: tcp:HOST:PORT or unix:/path expected", address);
}

uint16_t oc_loop_port(const struct oc_loop *loop, unsigned n)
{
	const struct oc_listener *l = loop->listeners;

	while (l && n--)
		l = l->next;
	return l ? l->port : 0;
}
