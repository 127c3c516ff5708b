/* SPDX-License-Identifier: BSD-3-Clause */
#include "callout/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>
#include <cmocka.h>

#define PEER_TURNS_MAX 2000000

void peer_append(struct peer_bytes *b, const void *p, size_t len)
{
	if (b->len + len > b->cap) {
		b->cap = (b->len + len) * 2;
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	if (len)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

static int on_output(void *ctx, const struct ocp_output *o)
{
	struct peer *p = ctx;

	peer_append(&p->out, o->head, o->head_len);
	peer_append(&p->out, o->payload, o->payload_len);
	peer_append(&p->out, o->tail, o->tail_len);
	return 0;
}

static void on_closed(void *ctx, enum ocp_end how, const struct ocp_result *result)
{
	struct peer *p = ctx;

	p->closed = true;
	p->how = how;
}

static struct peer_am *am_of(struct peer_txn *t, uint32_t id)
{
	for (unsigned i = 0; i < t->nams; i++) {
		if (t->am[i].id == id)
			return &t->am[i];
	}
	fail_msg("unknown am-id %u", id);
	return NULL;
}

static void on_am_start(void *ctx, void *user, const struct ocp_am_info *info)
{
	struct peer_txn *t = user;
	struct peer_am *am;

	assert_true(t->nams < PEER_AMS);
	am = &t->am[t->nams++];
	am->id = info->am_id;
	am->kind = info->kind;
	am->modified = info->modified;
	am->sizep = info->sizep;
	am->modp = info->modp;
}

static void on_am_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct peer_am *am = am_of(user, d->am_id);

	assert_int_equal(am->data.len, d->offset);
	peer_append(&am->data, d->data, d->len);
	am->have += d->len;
	if (d->modified)
		am->changed += d->len;
}

static void on_am_as_is(void *ctx, void *user, const struct ocp_as_is *a)
{
	struct peer_txn *t = user;
	struct peer_am *am = am_of(t, a->am_id);

	assert_int_equal(am->data.len, a->offset);
	assert_true(a->src_offset + a->size <= t->sent);
	peer_append(&am->data, t->m->bytes + a->src_offset, a->size);
	am->as_is += a->size;
	t->as_is_msgs++;
}

static void on_am_end(void *ctx, void *user, const struct ocp_am_ending *e)
{
	struct peer_am *am = am_of(user, e->am_id);

	assert_false(am->ended);
	am->ended = true;
	am->ok = e->ok;
	assert_int_equal(e->fault, OCP_FAULT_NONE);
}

static void on_left(void *ctx, void *user, uint32_t am_id, uint64_t rest)
{
	struct peer_txn *t = user;

	t->left = true;
	t->rest = rest;
	t->stopped = true;
}

static void on_pause(void *ctx, void *user)
{
	((struct peer_txn *)user)->paused = true;
}

static void on_need(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request)
{
	((struct peer_txn *)user)->paused = false;
	((struct peer_txn *)user)->needs++;
}

static void on_ack(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	((struct peer_txn *)user)->acks++;
}

static void on_wont_forward(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	((struct peer_txn *)user)->released += size;
}

static void on_original_end(void *ctx, void *user)
{
	((struct peer_txn *)user)->stopped = true;
}

static void on_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct peer_txn *t = user;

	assert_false(t->over);
	t->over = true;
	t->how = *e;
	assert_int_equal(e->fault, OCP_FAULT_NONE);
}

static void on_fault(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg)
{
	if (f != OCP_FAULT_UNKNOWN_ID) /* both ends may end a transaction at the same time */
		fail_msg("the service broke a rule: %s: %s", ocp_msg_name(msg), ocp_fault_text(f));
}

void peer_open(struct peer *p, struct oc_loop *loop, int32_t priority)
{
	static const struct ocp_processor_ops ops = {
		.output = on_output, .closed = on_closed, .am_start = on_am_start, .am_data = on_am_data,
		.am_as_is = on_am_as_is, .am_end = on_am_end, .left = on_left, .pause = on_pause, .need = on_need,
		.ack = on_ack, .wont_forward = on_wont_forward, .original_end = on_original_end,
		.xaction_end = on_xaction_end, .fault = on_fault};
	int fd[2];

	memset(p, 0, sizeof(*p));
	p->loop = loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	p->fd = fd[0];
	assert_int_equal(oc_loop_adopt(loop, fd[1]), 0);
	assert_int_equal(ocp_processor_create(&p->ocp, NULL, &ops, p), 0);
	assert_int_equal(ocp_processor_connect(p->ocp, OCP_STR("test"), priority, 0), 0);
}

void peer_close(struct peer *p)
{
	ocp_processor_destroy(p->ocp);
	free(p->out.p);
	close(p->fd);
	peer_turns(&(struct peer){.loop = p->loop, .fd = -1}, 3);
}

void peer_turn(struct peer *p)
{
	static uint8_t buf[100000];
	ssize_t n;

	if (p->fd >= 0 && p->out_done < p->out.len) {
		n = send(p->fd, p->out.p + p->out_done, p->out.len - p->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			p->out_done += (size_t)n;
		if (p->out_done == p->out.len)
			p->out.len = p->out_done = 0;
	}
	assert_int_equal(oc_loop_step(p->loop, 0), 0);
	if (p->fd < 0 || p->deaf)
		return;
	n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n > 0) {
		ocp_processor_input(p->ocp, buf, (size_t)n, NULL, 0);
	} else if (n == 0 && !p->eof) {
		p->eof = true;
		if (!p->closed)
			ocp_processor_eof(p->ocp);
	}
}

void peer_turns(struct peer *p, unsigned n)
{
	while (n--)
		peer_turn(p);
}

int peer_begin(struct peer *p, struct peer_txn *t, const char *service, const struct peer_message *m)
{
	struct ocp_uri uri = {.uri = ocp_str(service)};
	struct ocp_start st = OCP_START_INIT;

	memset(t, 0, sizeof(*t));
	t->m = m;
	st.service = &uri;
	st.meta = ocp_str(m->meta);
	st.sizep = m->sizep;
	return ocp_processor_xaction_start(p->ocp, &st, t, &t->xid, 0);
}

bool peer_feed(struct peer_txn *t, struct peer *p)
{
	const struct peer_message *m = t->m;
	struct ocp_send send = OCP_SEND_INIT;
	size_t n = m->chunk;

	if (t->over || t->end_sent || t->stopped)
		return false;
	if (t->paused)
		return true;
	if (t->sent == m->len) {
		assert_int_equal(ocp_processor_data_end(p->ocp, t->xid, !m->cut, 0), 0);
		t->end_sent = true;
		return false;
	}
	send.part = t->sent < m->head_len ? m->head : m->body;
	if (t->sent < m->head_len && n > m->head_len - t->sent && m->head != OCP_PART_NONE)
		n = m->head_len - t->sent;
	if (n > m->len - t->sent)
		n = m->len - t->sent;
	send.copied = m->copied == PEER_COPIED_ALL || (m->copied == PEER_COPIED_MIXED && (t->chunks / 3) % 2 == 0);
	if (ocp_processor_data(p->ocp, t->xid, m->bytes + t->sent, n, NULL, &send, 0) == -ENOSPC) {
		send.copied = false;
		assert_int_equal(ocp_processor_data(p->ocp, t->xid, m->bytes + t->sent, n, NULL, &send, 0), 0);
	}
	t->sent += n;
	t->chunks++;
	return true;
}

void peer_run(struct peer *p, struct peer_txn *t, const char *service, const struct peer_message *m)
{
	unsigned turns = 0;

	assert_int_equal(peer_begin(p, t, service, m), 0);
	while (!t->over) {
		for (int i = 0; i < 50 && p->out.len < 1u << 20; i++) {
			if (!peer_feed(t, p))
				break;
		}
		peer_turn(p);
		assert_false(p->closed);
		assert_true(turns++ < PEER_TURNS_MAX);
	}
}

void peer_txn_free(struct peer_txn *t)
{
	for (unsigned i = 0; i < t->nams; i++)
		free(t->am[i].data.p);
}
