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
	am->am_el = info->am_el;
	am->modp = info->modp;
}

static void on_am_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct peer_am *am = am_of(user, d->am_id);

	assert_int_equal(am->data.len, d->offset);
	peer_append(&am->data, d->data, d->len);
	am->have += d->len;
	am->parts |= (uint32_t)OCP_HAS(d->part);
	if (d->modified)
		am->changed += d->len;
}

static void on_am_as_is(void *ctx, void *user, const struct ocp_as_is *a)
{
	struct peer_txn *t = user;
	struct peer_am *am = am_of(t, a->am_id);

	assert_int_equal(am->data.len, a->offset);
	assert_true(a->src_offset >= t->aux_sent && a->src_offset + a->size <= t->aux_sent + t->sent);
	peer_append(&am->data, t->m->bytes + (a->src_offset - t->aux_sent), a->size);
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
	((struct peer_txn *)user)->pauses++;
}

static void on_am_paused(void *ctx, void *user)
{
	((struct peer_txn *)user)->am_paused = true;
}

static void on_feature(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a)
{
	struct peer *p = ctx;

	p->accepted += a == OCP_ANSWER_WILL_USE;
	p->rejected += a == OCP_ANSWER_WONT_USE;
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

static void peer_open_with(struct peer *p, struct oc_loop *loop, int32_t priority, const struct ocp_processor_config *cfg)
{
	static const struct ocp_processor_ops ops = {
		.output = on_output, .closed = on_closed, .am_start = on_am_start, .am_data = on_am_data,
		.am_as_is = on_am_as_is, .am_end = on_am_end, .left = on_left, .pause = on_pause, .need = on_need,
		.ack = on_ack, .wont_forward = on_wont_forward, .original_end = on_original_end,
		.am_paused = on_am_paused, .feature = on_feature, .xaction_end = on_xaction_end, .fault = on_fault};
	int fd[2];

	memset(p, 0, sizeof(*p));
	p->loop = loop;
	p->core = cfg->dialect == OCP_DIALECT_CORE;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	p->fd = fd[0];
	assert_int_equal(oc_loop_adopt(loop, fd[1]), 0);
	assert_int_equal(ocp_processor_create(&p->ocp, cfg, &ops, p), 0);
	assert_int_equal(ocp_processor_connect(p->ocp, OCP_STR("test"), priority, 0), 0);
}

void peer_open(struct peer *p, struct oc_loop *loop, int32_t priority)
{
	const struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;

	peer_open_with(p, loop, priority, &cfg);
}

void peer_open_core(struct peer *p, struct oc_loop *loop, const char *const *services, bool aux)
{
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	struct ocp_offer offers[64];
	unsigned n = 0;

	for (; *services; services++) {
		for (int response = 0; response < 2; response++) {
			struct ocp_offer *o = &offers[n++];

			assert_true(n <= 64);
			*o = (struct ocp_offer){.service = {.uri = ocp_str(*services)}, .profile = OCP_PROFILE_INIT};
			o->profile.feature = response ? OCP_FEATURE_HTTP_RESPONSE : OCP_FEATURE_HTTP_REQUEST;
			if (response && aux)
				o->profile.aux_parts = (uint32_t)OCP_HAS(OCP_PART_REQUEST_HEADER);
		}
	}
	cfg.dialect = OCP_DIALECT_CORE;
	cfg.offers = offers;
	cfg.noffers = n;
	peer_open_with(p, loop, 0, &cfg);
	for (unsigned i = 0; i < 8 * n + 8; i++)
		peer_turn(p);
	assert_int_equal(p->accepted + p->rejected, n);
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

static bool is_http(const struct peer_message *m)
{
	return strncmp(m->meta, "Protocol: HTTP/", 15) == 0;
}

static bool is_response(const struct peer_message *m)
{
	return strstr(m->meta, "Kind: response") != NULL;
}

/* Core: the parts of a profile have to be named. */
static enum ocp_part part_of(const struct peer *p, const struct peer_message *m, bool head)
{
	if (!p->core)
		return head ? m->head : m->body;
	if (!is_http(m))
		return OCP_PART_NONE;
	if (is_response(m))
		return head ? OCP_PART_RESPONSE_HEADER : OCP_PART_RESPONSE_BODY;
	return head ? OCP_PART_REQUEST_HEADER : OCP_PART_REQUEST_BODY;
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
	if (p->core && is_http(m)) {
		st.profile = is_response(m) ? OCP_FEATURE_HTTP_RESPONSE : OCP_FEATURE_HTTP_REQUEST;
		st.am_el = m->sizep < 0 ? -1 : (int64_t)(m->len - m->head_len);
	}
	return ocp_processor_xaction_start(p->ocp, &st, t, &t->xid, 0);
}

bool peer_feed(struct peer_txn *t, struct peer *p)
{
	const struct peer_message *m = t->m;
	struct ocp_send send = OCP_SEND_INIT;
	size_t n = m->chunk;
	int rc;

	if (t->over || t->end_sent || t->stopped)
		return false;
	if (t->paused)
		return true;
	if (t->sent == m->len) {
		rc = ocp_processor_data_end(p->ocp, t->xid, !m->cut, 0);
		assert_true(rc == 0 || (p->core && rc == -EPIPE));
		t->end_sent = true;
		return false;
	}
	if (m->aux && !t->aux_sent) {
		send.part = OCP_PART_REQUEST_HEADER;
		t->aux_sent = strlen(m->aux);
		assert_int_equal(ocp_processor_data(p->ocp, t->xid, m->aux, t->aux_sent, NULL, &send, 0), 0);
		return true;
	}
	send.part = part_of(p, m, t->sent < m->head_len);
	if (t->sent < m->head_len && n > m->head_len - t->sent && send.part != OCP_PART_NONE)
		n = m->head_len - t->sent;
	if (n > m->len - t->sent)
		n = m->len - t->sent;
	send.copied = m->copied == PEER_COPIED_ALL || (m->copied == PEER_COPIED_MIXED && (t->chunks / 3) % 2 == 0);
	rc = ocp_processor_data(p->ocp, t->xid, m->bytes + t->sent, n, NULL, &send, 0);
	if (rc == -ENOSPC) {
		send.copied = false;
		rc = ocp_processor_data(p->ocp, t->xid, m->bytes + t->sent, n, NULL, &send, 0);
	}
	if (p->core && rc == -EAGAIN) /* also without a call, e.g. at an offset */
		return false;
	if (p->core && rc == -EPIPE) { /* ended at an offset */
		t->stopped = true;
		return false;
	}
	assert_int_equal(rc, 0);
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
