/* SPDX-License-Identifier: BSD-3-Clause */
/* A callout server on libocp alone, in both dialects; its service makes capitals. A process per connection. upper PORT */
#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <ocp/ocp_server.h>
struct piece { struct piece *next; enum ocp_part part; uint32_t len; char octets[]; };
struct job { uint32_t xid, am_id; bool complete; struct piece *first, **last; }; /* a transaction, what is to be sent */
static struct ocp_server *agent;
static int output(void *ctx, const struct ocp_output *o) /* stdout is the connection */
{
	fwrite(o->head, 1, o->head_len, stdout);
	fwrite(o->payload_len ? (const char *)o->payload : "", 1, o->payload_len, stdout);
	fwrite(o->tail, 1, o->tail_len, stdout);
	return fflush(stdout);
}
static void go_on(struct job *j)
{
	for (struct piece *p; (p = j->first); free(p)) {
		struct ocp_send how = OCP_SEND_INIT;
		how.part = p->part;
		if (ocp_server_data(agent, j->xid, j->am_id, p->octets, p->len, NULL, &how) < 0)
			return; /* -EAGAIN, core: the processor has asked to wait, until need() */
		j->first = p->next;
	}
	j->last = &j->first;
	if (j->complete && !ocp_server_xaction_end(agent, j->xid, false, NULL))
		free(j);
}
static int xaction_start(void *ctx, uint32_t xid, const struct ocp_uri *service, void **user)
{
	struct job *j = *user = ocp_str_eq(service->uri, OCP_STR("urn:example:upper")) ? calloc(1, sizeof(*j)) : NULL;
	if (j)
		*j = (struct job){.xid = xid, .last = &j->first};
	return j ? 0 : -1; /* not 0: refused */
}
static int am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	return ocp_server_am_start(agent, ((struct job *)user)->xid, OCP_STR(""), NULL, &((struct job *)user)->am_id);
}
static void data(void *ctx, void *user, const struct ocp_data *d)
{
	bool text = d->part == OCP_PART_NONE || d->part == OCP_PART_REQUEST_BODY || d->part == OCP_PART_RESPONSE_BODY;
	struct piece *p = malloc(sizeof(*p) + d->len);
	struct job *j = user;
	if (!p)
		exit(1);
	*p = (struct piece){NULL, d->part, d->len};
	for (uint32_t i = 0; i < d->len; i++)
		p->octets[i] = (char)(text ? toupper(d->data[i]) : d->data[i]);
	*j->last = p;
	j->last = &p->next;
	go_on(j);
}
static void need(void *ctx, void *user, uint32_t request) { go_on(user); }
static void original_end(void *ctx, void *user, const struct ocp_original_ending *end)
{
	((struct job *)user)->complete = end->ok; /* if not, the processor ends the transaction */
	go_on(user);
}
static void xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *end)
{
	for (struct piece *p; (p = ((struct job *)user)->first); free(p))
		((struct job *)user)->first = p->next;
	free(user);
}
static uint64_t now(void)
{
	struct timespec t;
	return clock_gettime(CLOCK_MONOTONIC, &t) ? 0 : (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
static int serve(int fd)
{
	static const struct ocp_server_ops ops = {.output = output, .xaction_start = xaction_start, .am_start = am_start,
		.data = data, .original_end = original_end, .need = need, .xaction_end = xaction_end};
	ssize_t n = dup2(fd, 1) == 1 && !ocp_server_create(&agent, &OCP_SERVER_CONFIG_DEFAULT, &ops, NULL, now());
	for (char buf[65536]; n > 0 && !ocp_server_over(agent); ocp_server_tick(agent, now()))
		if (poll(&(struct pollfd){fd, POLLIN, 0}, 1, 500) > 0 && (n = read(fd, buf, sizeof(buf))) > 0)
			ocp_server_input(agent, buf, (size_t)n, NULL, now());
	return n < 0;
}
int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "4037"))};
	int fd, listener = socket(AF_INET, SOCK_STREAM, 0);
	signal(SIGCHLD, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 64))
		return 1;
	for (; (fd = accept(listener, NULL, NULL)) >= 0; close(fd))
		if (fork() == 0)
			return serve(fd);
	return 1;
}
