/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void cli_client_init(struct cli_client *c, const char *path)
{
	memset(c, 0, sizeof(*c));
	c->path = path;
	c->fd = -1;
	c->next_id = 1;
}

void cli_client_close(struct cli_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->in);
	c->in = NULL;
	c->in_len = c->in_size = 0;
}

static void connect_explain(const char *path, int error, char *err, size_t len)
{
	if (error == ENOENT || error == ECONNREFUSED)
		snprintf(err, len, "opes-control is not running: nothing listens on %s", path);
	else if (error == EACCES || error == EPERM)
		snprintf(err, len, "no permission to talk to opes-control on %s; try as root",
			 path);
	else
		snprintf(err, len, "cannot talk to opes-control on %s: %s", path, strerror(error));
}

static int client_connect(struct cli_client *c, char *err, size_t len)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = CLI_ANSWER_TIMEOUT_S};
	int r;

	if (strlen(c->path) >= sizeof(sa.sun_path)) {
		snprintf(err, len, "the socket's path is too long: %s", c->path);
		return -ENAMETOOLONG;
	}
	strcpy(sa.sun_path, c->path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa))) {
		r = -errno;
		connect_explain(c->path, errno, err, len);
		cli_client_close(c);
		return r;
	}
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return 0;
}

static int send_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Reads until a whole line is there; *line ends in NUL and lives until the next call. */
static int line_receive(struct cli_client *c, char **line, size_t *used)
{
	size_t seen = 0;

	for (;;) {
		char *end = c->in_len > seen ? memchr(c->in + seen, '\n', c->in_len - seen) : NULL;
		ssize_t n;

		if (end) {
			*end = '\0';
			*line = c->in;
			*used = (size_t)(end - c->in) + 1;
			return 0;
		}
		seen = c->in_len;
		if (c->in_size - c->in_len < 16384) {
			char *p = realloc(c->in, c->in_size * 2 + 32768);

			if (!p)
				return -ENOMEM;
			c->in = p;
			c->in_size = c->in_size * 2 + 32768;
		}
		n = recv(c->fd, c->in + c->in_len, c->in_size - c->in_len, 0);
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return -errno;
		c->in_len += (size_t)n;
	}
}

static json_t *answer_receive(struct cli_client *c, uint64_t id, char *err, size_t len)
{
	json_error_t e;
	json_t *answer;
	char *line = NULL;
	size_t used = 0;
	int r;

	for (;;) {
		r = line_receive(c, &line, &used);
		if (r == -EINTR)
			snprintf(err, len, "interrupted");
		else if (r == -EAGAIN)
			snprintf(err, len, "opes-control does not answer on %s", c->path);
		else if (r == -ECONNRESET)
			snprintf(err, len, "opes-control closed the connection");
		else if (r)
			snprintf(err, len, "no answer from opes-control: %s", strerror(-r));
		if (r)
			return NULL;
		answer = json_loads(line, 0, &e);
		c->in_len -= used;
		memmove(c->in, c->in + used, c->in_len);
		if (!answer) {
			snprintf(err, len, "opes-control gave an answer that is no JSON");
			return NULL;
		}
		/* a late answer to a question that was given up */
		if (json_integer_value(json_object_get(answer, "id")) == (json_int_t)id)
			return answer;
		json_decref(answer);
	}
}

json_t *cli_client_ask(struct cli_client *c, json_t *request, char *err, size_t err_len)
{
	uint64_t id = c->next_id++;
	json_t *answer = NULL;
	char *text;
	int r;

	json_object_set_new(request, "id", json_integer((json_int_t)id));
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	r = c->fd < 0 ? client_connect(c, err, err_len) : 0;
	if (!r && (send_all(c->fd, text, strlen(text)) || send_all(c->fd, "\n", 1))) {
		/* an idle connection of a control that was restarted: once more */
		cli_client_close(c);
		r = client_connect(c, err, err_len);
		if (!r && (send_all(c->fd, text, strlen(text)) || send_all(c->fd, "\n", 1))) {
			snprintf(err, err_len, "opes-control closed the connection");
			r = -ECONNRESET;
		}
	}
	free(text);
	if (!r)
		answer = answer_receive(c, id, err, err_len);
	if (!answer)
		cli_client_close(c);
	return answer;
}
