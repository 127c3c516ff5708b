/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "ocp/ocp.h"
#include "ocp/ocp_profile.h"
#include "ocp/ocp_server.h"
#include "callout/callout_test_server.h"

uint32_t test_server_dialects;

struct test_xaction {
	struct test_conn *c;
	uint32_t xid, am_id;
	enum test_mode mode;
	bool started, response;
	uint64_t seen; /* octets of the original's own parts */
};

static bool conn_core(const struct test_conn *c)
{
	return ocp_server_dialect(c->agent) == OCP_DIALECT_CORE;
}

static int on_output(void *ctx, const struct ocp_output *o)
{
	struct test_conn *c = ctx;
	size_t n = o->head_len + o->payload_len + o->tail_len;

	if (c->out_len + n > c->out_size) {
		c->out_size = (c->out_len + n) * 2;
		c->out = realloc(c->out, c->out_size);
		assert(c->out);
	}
	memcpy(c->out + c->out_len, o->head, o->head_len);
	if (o->payload_len)
		memcpy(c->out + c->out_len + o->head_len, o->payload, o->payload_len);
	if (o->tail_len)
		memcpy(c->out + c->out_len + o->head_len + o->payload_len, o->tail, o->tail_len);
	c->out_len += n;
	return 0;
}

static int on_connection(void *ctx, struct ocp_str client, int32_t priority)
{
	struct test_conn *c = ctx;

	c->s->priority[c - c->s->conn] = priority;
	return c->s->mode == TEST_REFUSE_CONN ? -EPERM : 0;
}

static int on_xaction(void *ctx, uint32_t xid, const struct ocp_uri *service, void **user)
{
	struct test_conn *c = ctx;
	struct test_xaction *x;
	enum test_mode mode = c->s->mode == TEST_CHAOS ? c->s->started % TEST_CHAOS : c->s->mode;

	c->s->started++;
	if (mode == TEST_REFUSE)
		return -EPERM;
	x = calloc(1, sizeof(*x));
	assert(x);
	x->c = c;
	x->mode = mode;
	x->xid = xid;
	*user = x;
	return 0;
}

static int on_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct test_xaction *x = user;
	struct test_conn *c = ctx;
	struct ocp_send send = OCP_SEND_INIT;
	struct ocp_str value;
	int ret;

	assert(conn_core(c) || ocp_meta_get(am->meta, "Protocol", &value));
	x->response = am->kind == OCP_KIND_RESPONSE;
	c->s->said_el = am->am_el;
	if (x->mode == TEST_SILENT)
		return 0;
	if (x->mode == TEST_REFUSE_ORIGINAL)
		return -EPERM;
	if (x->mode == TEST_PREDICT) {
		send.sizep = c->s->predicted_sizep;
		send.modp = c->s->predicted_modp;
		send.am_el = c->s->predicted_el;
	}
	x->started = true;
	ret = ocp_server_am_start(c->agent, x->xid, ocp_str(x->mode == TEST_ANSWER ? "Kind: response\r\n" : NULL), &send,
				  &x->am_id);
	if (!ret && x->mode == TEST_REFUSE_ADAPTED)
		ret = ocp_server_am_end(c->agent, x->xid, x->am_id, true, NULL);
	return ret;
}

/* The request's head that goes before a response. */
static bool aux_data(struct test_server *s, const struct test_xaction *x, const struct ocp_data *d)
{
	s->parts |= (uint32_t)OCP_HAS(d->part);
	if (!x->response || d->part != OCP_PART_REQUEST_HEADER)
		return false;
	assert(!d->copied && strlen(s->aux) + d->len < sizeof(s->aux));
	strncat(s->aux, (const char *)d->data, d->len);
	return true;
}

static void on_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct test_xaction *x = user;
	struct test_conn *c = ctx;
	struct ocp_send send = OCP_SEND_INIT;
	int ret = 0;

	if (aux_data(c->s, x, d))
		return;
	c->s->octets += d->len;
	c->s->last_data = d->offset + d->len;
	send.part = d->part;
	switch (x->mode) {
	case TEST_PAUSE:
		if (d->offset == 0 && c->nxids < 4096) {
			ret = ocp_server_pause(c->agent, x->xid);
			c->xids[c->nxids++] = x->xid;
		}
		/* fall through */
	case TEST_ANSWER:
	case TEST_PREDICT:
	case TEST_STOP:
	case TEST_ECHO:
		if (x->mode == TEST_STOP && !x->seen)
			ret = ocp_server_stop_receiving(c->agent, x->xid, d->offset + d->len);
		x->seen += d->len;
		if (x->mode == TEST_ANSWER)
			send.part = OCP_PART_RESPONSE_BODY;
		if (!ret)
			ret = ocp_server_data(c->agent, x->xid, x->am_id, d->data, d->len, NULL, &send);
		break;
	case TEST_AS_IS:
		assert(d->copied);
		ret = ocp_server_as_is(c->agent, x->xid, x->am_id, d->offset, d->len, d->part);
		break;
	case TEST_ACK:
		ret = ocp_server_data(c->agent, x->xid, x->am_id, d->data, d->len, NULL, &send);
		if (!ret && !x->seen)
			ret = ocp_server_ack(c->agent, x->xid, d->offset, d->len / 2, true);
		x->seen += d->len;
		break;
	case TEST_LEAVE:
		if (x->seen && conn_core(c)) { /* under way before the processor heard of it */
			ret = ocp_server_data(c->agent, x->xid, x->am_id, d->data, d->len, NULL, &send);
			break;
		}
		x->seen += d->len;
		ret = ocp_server_as_is(c->agent, x->xid, x->am_id, d->offset, d->len, d->part);
		if (d->last) {
			uint32_t xid = x->xid, am_id = x->am_id;

			if (!ret)
				ret = ocp_server_leave_loop(c->agent, xid, am_id);
			if (ret == 1) { /* core: on_leave_now */
				ret = 0;
				break;
			}
			free(x);
			c->s->ended++;
		}
		break;
	default:
		break;
	}
	assert(ret == 0);
}

static void on_original_end(void *ctx, void *user, const struct ocp_original_ending *e)
{
	struct test_xaction *x = user;
	struct test_conn *c = ctx;
	int ret;

	if (conn_core(c) && !e->ok) { /* ends are not implied: the transaction is ours to end, too */
		ret = ocp_server_xaction_end(c->agent, x->xid, true, NULL);
		assert(ret == 0);
		c->s->ended++;
		free(x);
		return;
	}
	if (!x->started || !e->ok)
		return;
	ret = ocp_server_data_end(c->agent, x->xid, x->am_id, e->ok);
	if (ret == -ENOENT)
		return; /* the processor's xaction-end ended both */
	assert(ret == 0);
	ret = ocp_server_xaction_end(c->agent, x->xid, false, NULL);
	assert(ret == 0);
	c->s->ended++;
	free(x);
}

static void on_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	((struct test_conn *)ctx)->s->ended++;
	free(user);
}

/* Core: what was made of the original so far has been sent. */
static int on_leave_now(void *ctx, void *user)
{
	struct test_xaction *x = user;
	struct test_conn *c = ctx;
	int ret = ocp_server_leave_loop(c->agent, x->xid, x->am_id);

	assert(ret == 0);
	c->s->ended++;
	free(x);
	return 0;
}

static int on_offer(void *ctx, const struct ocp_list *services, struct ocp_profile *p)
{
	const struct test_server *s = ((struct test_conn *)ctx)->s;

	if (s->refuse_profiles)
		return -EPERM;
	p->aux_parts &= s->answer_set ? s->answer_aux : 0;
	if (s->answer_set && p->feature == OCP_FEATURE_HTTP_RESPONSE) {
		p->pause_at_body = s->answer_pause;
		p->stop_receiving_body = s->answer_stop;
		p->preservation_interest_body = s->answer_interest;
	}
	return 0;
}

static const struct ocp_server_ops test_ops = {
	.offer = on_offer,
	.leave_now = on_leave_now,
	.output = on_output,
	.connection_start = on_connection,
	.xaction_start = on_xaction,
	.am_start = on_am_start,
	.data = on_data,
	.original_end = on_original_end,
	.xaction_end = on_xaction_end,
};

static void listen_unix(struct test_server *s, const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int ret;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	unlink(path);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ret = bind(s->fd, (struct sockaddr *)&un, sizeof(un));
	assert(ret == 0);
	snprintf(s->address, sizeof(s->address), "unix:%s", path);
}

static void listen_tcp(struct test_server *s, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool v6 = strchr(address, '[');
	socklen_t len = v6 ? sizeof(in6) : sizeof(in);
	struct sockaddr *sa = v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
	int one = 1, ret, port = atoi(strrchr(address, ':') + 1);

	in.sin_port = in6.sin6_port = htons(port);
	s->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ret = bind(s->fd, sa, len);
	assert(ret == 0);
	getsockname(s->fd, sa, &len);
	port = ntohs(v6 ? in6.sin6_port : in.sin_port);
	snprintf(s->address, sizeof(s->address), v6 ? "tcp:[::1]:%d" : "tcp:127.0.0.1:%d", port);
}

void test_server_open(struct test_server *s, const char *address, enum test_mode mode)
{
	int i, ret;

	memset(s, 0, sizeof(*s));
	s->mode = mode;
	for (i = 0; i < TEST_CONNS; i++) {
		s->conn[i].fd = -1;
		s->conn[i].s = s;
	}
	if (!strncmp(address, "unix:", 5))
		listen_unix(s, address + 5);
	else
		listen_tcp(s, address);
	ret = listen(s->fd, 64);
	assert(ret == 0);
}

static void conn_close(struct test_conn *c)
{
	if (c->agent)
		ocp_server_eof(c->agent);
	ocp_server_destroy(c->agent);
	close(c->fd);
	free(c->out);
	c->agent = NULL;
	c->out = NULL;
	c->out_len = c->out_size = 0;
	c->nxids = 0;
	c->fd = -1;
}

static void server_accept(struct test_server *s)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	int fd, i, ret;

	cfg.dialects |= test_server_dialects;
	while ((fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		for (i = 0; i < TEST_CONNS && s->conn[i].fd >= 0; i++)
			;
		assert(i < TEST_CONNS);
		s->conn[i].fd = fd;
		s->accepted++;
		if (s->mode == TEST_RAW) {
			ret = write(fd, s->raw, strlen(s->raw));
			assert(ret > 0);
			continue;
		}
		ret = ocp_server_create(&s->conn[i].agent, &cfg, &test_ops, &s->conn[i], s->now_us);
		assert(ret == 0);
	}
}

static void conn_write(struct test_conn *c)
{
	size_t done = 0;

	while (done < c->out_len) {
		ssize_t n = send(c->fd, c->out + done, c->out_len - done, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		done += n;
	}
	memmove(c->out, c->out + done, c->out_len - done);
	c->out_len -= done;
}

static void conn_poll(struct test_conn *c)
{
	static _Thread_local uint8_t buf[65536];
	ssize_t n = -1;

	if (!c->s->deaf && c->out_len < 1 << 20) {
		n = recv(c->fd, buf, sizeof(buf), 0);
		if (n > 0 && c->agent)
			ocp_server_input(c->agent, buf, n, NULL, c->s->now_us);
	}
	if (c->agent && c->s->now_us >= ocp_server_next_deadline(c->agent))
		ocp_server_tick(c->agent, c->s->now_us);
	if (c->out_len)
		conn_write(c);
	if (n == 0 || (n < 0 && errno == ECONNRESET) || (c->agent && ocp_server_over(c->agent)))
		conn_close(c);
}

void test_server_poll(struct test_server *s, uint64_t now_us)
{
	int i;

	s->now_us = now_us;
	if (s->fd >= 0)
		server_accept(s);
	for (i = 0; i < TEST_CONNS; i++)
		if (s->conn[i].fd >= 0)
			conn_poll(&s->conn[i]);
}

void test_server_drop(struct test_server *s)
{
	int i;

	for (i = 0; i < TEST_CONNS; i++)
		if (s->conn[i].fd >= 0)
			conn_close(&s->conn[i]);
}

void test_server_close(struct test_server *s)
{
	test_server_drop(s);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	if (!strncmp(s->address, "unix:", 5))
		unlink(s->address + 5);
}

void test_server_write_raw(struct test_server *s, const char *octets)
{
	int i;

	for (i = 0; i < TEST_CONNS; i++)
		if (s->conn[i].fd >= 0) {
			ssize_t n = write(s->conn[i].fd, octets, strlen(octets));

			assert(n > 0);
		}
}

void test_server_need(struct test_server *s)
{
	int i;

	for (i = 0; i < TEST_CONNS; i++)
		while (s->conn[i].fd >= 0 && s->conn[i].nxids)
			ocp_server_need(s->conn[i].agent, s->conn[i].xids[--s->conn[i].nxids], 0);
}

uint32_t test_server_conns(const struct test_server *s)
{
	uint32_t n = 0;
	int i;

	for (i = 0; i < TEST_CONNS; i++)
		n += s->conn[i].fd >= 0;
	return n;
}
