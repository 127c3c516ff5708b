/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "command/command.h"

struct buffer {
	char *p;
	size_t len, size;
};

struct client {
	int fd; /* -1 = free slot */
	uint64_t serial;
	bool waiting; /* a request has no answer yet */
	bool closing; /* no more requests: close once everything is written */
	struct buffer in, out;
};

struct control_socket {
	int listen_fd, lock_fd;
	uint64_t next_serial;
	control_request_fn fn;
	void *ctx;
	char path[108];
	struct client client[CONTROL_CLIENTS_MAX];
};

static int buffer_add(struct buffer *b, const char *p, size_t len)
{
	if (b->len + len > b->size) {
		size_t size = b->size ? b->size : 4096;
		char *n;

		while (size < b->len + len)
			size *= 2;
		n = realloc(b->p, size);
		if (!n)
			return -ENOMEM;
		b->p = n;
		b->size = size;
	}
	memcpy(b->p + b->len, p, len);
	b->len += len;
	return 0;
}

static void buffer_take(struct buffer *b, size_t len)
{
	b->len -= len;
	memmove(b->p, b->p + len, b->len);
}

static void buffer_free(struct buffer *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

static struct control_socket *socket_alloc(const char *path, control_request_fn fn, void *ctx)
{
	struct control_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->listen_fd = s->lock_fd = -1;
	s->next_serial = 1;
	s->fn = fn;
	s->ctx = ctx;
	snprintf(s->path, sizeof(s->path), "%s", path);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		s->client[i].fd = -1;
	return s;
}

/* --- opening ------------------------------------------------------------------------------------
 */

static int lock_take(struct control_socket *s, char *err, size_t err_len)
{
	char path[120], pid[16] = "";
	ssize_t n;

	snprintf(path, sizeof(path), "%s.lock", s->path);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock_fd < 0) {
		int e = errno;

		snprintf(err, err_len, "cannot open the lock file %s: %s", path, strerror(e));
		return -e;
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		snprintf(err, err_len, "another opes-control (pid %s) already serves %s",
			 *pid ? pid : "unknown", s->path);
		return -EBUSY;
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(s->lock_fd, 0) || pwrite(s->lock_fd, pid, (size_t)n, 0) != n) {
		snprintf(err, err_len, "cannot write the lock file %s: %s", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

/* The lock is ours, so whatever lies at the path is nobody's. Nothing but a socket is removed. */
static int listen_at(struct control_socket *s, char *err, size_t err_len)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	mode_t mask;
	int r;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->path);
	if (lstat(s->path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode)) {
			snprintf(err, err_len,
				 "%s exists and is no socket; remove it or set another "
				 "control-socket",
				 s->path);
			return -EEXIST;
		}
		unlink(s->path);
	}
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0117);
	r = s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    listen(s->listen_fd, 16);
	if (r) {
		r = -errno;
		snprintf(err, err_len, "cannot listen on %s: %s", s->path, strerror(-r));
	}
	umask(mask);
	return r;
}

int control_socket_open(struct control_socket **out, const char *path, control_request_fn fn,
			void *ctx, char *err, size_t err_len)
{
	struct control_socket *s = socket_alloc(path, fn, ctx);
	char dir[108];
	int r;

	if (!s) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	snprintf(dir, sizeof(dir), "%s", path);
	mkdir(dirname(dir), 0755); /* if it could not be made, the lock file says why */
	r = lock_take(s, err, err_len);
	if (!r)
		r = listen_at(s, err, err_len);
	if (!r) {
		*out = s;
		return 0;
	}
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	free(s);
	return r;
}

static void client_close(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	buffer_free(&c->in);
	buffer_free(&c->out);
}

void control_socket_close(struct control_socket *s)
{
	if (!s)
		return;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (s->client[i].fd >= 0)
			client_close(&s->client[i]);
	unlink(s->path);
	close(s->listen_fd);
	close(s->lock_fd);
	free(s);
}

/* --- surviving execv ----------------------------------------------------------------------------
 */

static void fd_keep(int fd)
{
	fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC);
}

json_t *control_socket_save(struct control_socket *s)
{
	json_t *clients = json_array();

	fd_keep(s->listen_fd);
	fd_keep(s->lock_fd);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &s->client[i];
		json_t *o;

		/* buffers hold JSON lines of ours or of a client; what is no UTF-8 makes no object
		 */
		o = c->fd < 0 ? NULL
			      : json_pack("{s:i, s:s%, s:s%}", "fd", c->fd, "in",
					  c->in.p ? c->in.p : "", c->in.len, "out",
					  c->out.p ? c->out.p : "", c->out.len);
		if (o) {
			fd_keep(c->fd);
			json_array_append_new(clients, o);
		}
	}
	return json_pack("{s:i, s:i, s:o}", "listen", s->listen_fd, "lock", s->lock_fd, "clients",
			 clients);
}

static void client_restore(struct client *c, const json_t *o, uint64_t serial)
{
	const json_t *in = json_object_get(o, "in"), *out = json_object_get(o, "out");

	c->fd = (int)json_integer_value(json_object_get(o, "fd"));
	c->serial = serial;
	c->waiting = c->closing = false;
	fcntl(c->fd, F_SETFD, FD_CLOEXEC);
	if (json_string_length(in))
		buffer_add(&c->in, json_string_value(in), json_string_length(in));
	if (json_string_length(out))
		buffer_add(&c->out, json_string_value(out), json_string_length(out));
}

int control_socket_restore(struct control_socket **out, const json_t *saved, const char *path,
			   control_request_fn fn, void *ctx)
{
	struct control_socket *s = socket_alloc(path, fn, ctx);
	const json_t *o;
	size_t i;

	if (!s)
		return -ENOMEM;
	if (json_unpack((json_t *)saved, "{s:i, s:i}", "listen", &s->listen_fd, "lock",
			&s->lock_fd)) {
		free(s);
		return -EINVAL;
	}
	fcntl(s->listen_fd, F_SETFD, FD_CLOEXEC);
	fcntl(s->lock_fd, F_SETFD, FD_CLOEXEC);
	json_array_foreach(json_object_get(saved, "clients"), i, o) if (i < CONTROL_CLIENTS_MAX)
		client_restore(&s->client[i], o, s->next_serial++);
	*out = s;
	return 0;
}

/* --- serving ------------------------------------------------------------------------------------
 */

static void client_flush(struct client *c)
{
	while (c->out.len) {
		ssize_t n = send(c->fd, c->out.p, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			client_close(c);
			return;
		}
		buffer_take(&c->out, (size_t)n);
	}
	if (c->closing && !c->waiting)
		client_close(c);
}

static struct client *client_find(const struct control_socket *s, uint64_t serial)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (s->client[i].fd >= 0 && s->client[i].serial == serial)
			return (struct client *)&s->client[i];
	return NULL;
}

bool control_socket_client_alive(const struct control_socket *s, uint64_t client)
{
	return client_find(s, client) != NULL;
}

void control_socket_answer(struct control_socket *s, uint64_t client, json_t *answer)
{
	struct client *c = client_find(s, client);
	char *text;

	if (c) {
		text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
		c->waiting = false;
		if (!text || c->out.len + strlen(text) + 1 > CONTROL_OUTPUT_MAX ||
		    buffer_add(&c->out, text, strlen(text)) || buffer_add(&c->out, "\n", 1))
			client_close(c);
		else
			client_flush(c);
		free(text);
	}
	json_decref(answer);
}

static void line_handle(struct control_socket *s, struct client *c, const char *line, size_t len)
{
	json_error_t e;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);

	c->waiting = true;
	if (json_is_object(request))
		s->fn(s->ctx, c->serial, request);
	else
		control_socket_answer(s, c->serial,
				      json_pack("{s:n, s:b, s:s}", "id", "ok", 0, "error",
						request ? "a request is a JSON object"
							: "the request is no JSON"));
	json_decref(request);
}

/* Handles whole lines until one has to wait. The handler may close c. */
static void client_lines(struct control_socket *s, struct client *c)
{
	uint64_t serial = c->serial;

	while (c->fd >= 0 && c->serial == serial && !c->waiting && c->in.len) {
		char *end = memchr(c->in.p, '\n', c->in.len), *line;
		size_t len;

		if (!end) {
			if (c->in.len > COMMAND_LINE_MAX)
				client_close(c);
			return;
		}
		len = (size_t)(end - c->in.p);
		line = malloc(len + 1);
		if (!line) {
			client_close(c);
			return;
		}
		memcpy(line, c->in.p, len);
		buffer_take(&c->in, len + 1);
		if (len)
			line_handle(s, c, line, len);
		free(line);
	}
}

static void client_read(struct client *c)
{
	char buf[16384];
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0) {
		if (buffer_add(&c->in, buf, (size_t)n))
			client_close(c);
	} else if (n == 0) {
		c->closing = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		client_close(c);
	}
}

static void client_accept(struct control_socket *s)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &s->client[i];

		if (c->fd >= 0)
			continue;
		c->fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (c->fd < 0)
			return;
		c->serial = s->next_serial++;
		c->waiting = c->closing = false;
	}
}

size_t control_socket_poll_fill(struct control_socket *s, struct pollfd *fds)
{
	size_t n = 1;

	fds[0] = (struct pollfd){.fd = -1, .events = POLLIN};
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &s->client[i];

		if (c->fd < 0) {
			fds[0].fd = s->listen_fd;
			continue;
		}
		/* lines that came before an execv wait without a descriptor's help */
		client_lines(s, c);
		if (c->fd < 0)
			continue;
		fds[n] = (struct pollfd){.fd = c->fd};
		if (!c->waiting && !c->closing)
			fds[n].events |= POLLIN;
		if (c->out.len)
			fds[n].events |= POLLOUT;
		n++;
	}
	return n;
}

void control_socket_poll_handle(struct control_socket *s, const struct pollfd *fds, size_t n)
{
	for (size_t k = 1; k < n; k++) {
		struct client *c = NULL;

		for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
			if (s->client[i].fd == fds[k].fd)
				c = &s->client[i];
		if (!c || !fds[k].revents)
			continue;
		if (fds[k].revents & POLLOUT)
			client_flush(c);
		if (c->fd >= 0 && (fds[k].revents & (POLLERR | POLLNVAL)))
			client_close(c);
		if (c->fd >= 0 && (fds[k].revents & POLLIN))
			client_read(c);
		else if (c->fd >= 0 && (fds[k].revents & POLLHUP))
			client_close(c);
		if (c->fd >= 0)
			client_lines(s, c);
		if (c->fd >= 0)
			client_flush(c);
	}
	if (n && fds[0].revents)
		client_accept(s);
}
