/* SPDX-License-Identifier: BSD-3-Clause */
/* One OCP connection: set-up, negotiation, what its agent reports, its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>
#include <rte_mbuf.h>
#include "callout/callout_lcore.h"

static struct co_service *conn_service(const struct co_conn *c)
{
	return c->group->service;
}

/* --- what the agent says ------------------------------------------------------------------------------------ */

static void on_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	struct callout_msg m = {.type = CALLOUT_EV_AM_START, .txn = t->txn, .am_id = am->am_id,
				.modified = am->modified, .sizep = am->sizep, .modp = am->modp,
				.size = (uint64_t)am->am_el, /* callout_event.el */
				.answers_request = t->of_request && am->kind == OCP_KIND_RESPONSE};

	co_post(c->l, t, &m);
}

/* The event could not be kept: what follows would have a gap. */
static void conn_overload(struct co_conn *c, struct co_txn *t)
{
	uint32_t xid = t->xid;

	if (t->state != CO_TXN_OPEN)
		return;
	ocp_processor_xaction_end(c->agent, xid, true, NULL);
	co_txn_fail(c->l, t, CALLOUT_CAUSE_OVERLOAD, "There is no memory for what the service sends.", 0);
}

static void on_am_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	struct callout_msg m = {.type = CALLOUT_EV_DATA, .txn = t->txn, .am_id = d->am_id,
				.part = (uint8_t)d->part, .modified = d->modified, .sizep = -1,
				.modp = -1, .offset = d->offset, .size = d->len, .data = d->data,
				.m = d->cookie};

	/* The draft's predictions are about what follows the whole data-have <47> <48>; RFC 4037's include it. */
	if (d->last)
		m.sizep = d->sizep;
	if (d->last || co_conn_core(c))
		m.modp = d->modp;
	if (!d->len) {
		m.m = NULL;
		m.data = NULL;
		if (m.sizep >= 0 || m.modp >= 0)
			co_post(c->l, t, &m); /* lost, it was a prediction only */
		return;
	}
	rte_mbuf_refcnt_update(m.m, 1);
	conn_service(c)->row.octets_in += d->len;
	c->l->counter[STATS_callout_octets_in] += d->len;
	if (!co_post(c->l, t, &m)) {
		rte_mbuf_refcnt_update(m.m, -1);
		conn_overload(c, t);
	}
}

static void on_am_as_is(void *ctx, void *user, const struct ocp_as_is *a)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	struct callout_msg m = {.type = CALLOUT_EV_AS_IS, .txn = t->txn, .am_id = a->am_id,
				.part = (uint8_t)a->part, .offset = a->offset,
				.src_offset = a->src_offset - t->aux, .size = a->size, .sizep = -1, .modp = -1};

	if (!a->size)
		return;
	if (a->src_offset < t->aux) { /* never under commitment */
		ocp_processor_xaction_end(c->agent, t->xid, true, NULL);
		co_txn_fail(c->l, t, CALLOUT_CAUSE_PROTOCOL, ocp_fault_text(OCP_FAULT_AS_IS), 0);
		return;
	}
	conn_service(c)->row.as_is_octets += a->size;
	if (!co_post(c->l, t, &m))
		conn_overload(c, t);
}

static void on_am_end(void *ctx, void *user, const struct ocp_am_ending *end)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	struct callout_msg m = {.type = CALLOUT_EV_AM_END, .txn = t->txn, .am_id = end->am_id, .ok = end->ok,
				.cause = end->fault ? CALLOUT_CAUSE_PROTOCOL : CALLOUT_CAUSE_NONE,
				.text = end->fault ? ocp_fault_text(end->fault) : NULL,
				.result = end->result.code, .sizep = -1, .modp = -1};

	/* LEAVE has said how it goes on; FAILED will say why when it is the transaction that came to its end */
	if (end->left || (!end->ok && !ocp_processor_user(c->agent, t->xid)))
		return;
	if (!co_post(c->l, t, &m))
		conn_overload(c, t);
}

static void on_left(void *ctx, void *user, uint32_t am_id, uint64_t rest)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	struct callout_msg m = {.type = CALLOUT_EV_LEAVE, .txn = t->txn, .am_id = am_id, .ok = true,
				.src_offset = rest - RTE_MIN(rest, t->aux), .sizep = -1, .modp = -1};

	if (co_post(c->l, t, &m))
		co_txn_left(c->l, t);
	else
		conn_overload(c, t);
}

static void on_wont_forward(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	/* The worker has queued octets that the service has not seen; of these nothing has been said. */
	uint64_t lo = RTE_MAX(offset, t->aux) - t->aux, hi = RTE_MIN(offset + size, t->aux + t->offset);
	struct callout_msg m = {.type = CALLOUT_EV_WONT_FORWARD, .txn = t->txn, .src_offset = lo,
				.ok = !co_conn_core(c), .sizep = -1, .modp = -1};

	if (hi <= t->aux + lo)
		return;
	m.size = hi - t->aux - lo;
	co_post(c->l, t, &m); /* lost, it costs memory until the transaction ends */
}

static void on_original_end(void *ctx, void *user)
{
	co_txn_enough(((struct co_conn *)ctx)->l, user);
}

static void on_ack(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	((struct co_conn *)ctx)->l->counter[STATS_callout_acks] += size;
}

static void on_pause(void *ctx, void *user)
{
	co_txn_pause(((struct co_conn *)ctx)->l, user);
}

static void on_need(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request)
{
	struct co_txn *t = user;

	if (resumed || t->paused)
		co_txn_resume(((struct co_conn *)ctx)->l, t);
}

static void conn_words(struct co_conn *c, char *out, size_t size, const struct ocp_result *r)
{
	size_t i, n = r ? RTE_MIN(size - 1, (size_t)r->reason.len) : 0;

	if (!n)
		return;
	for (i = 0; i < n; i++) /* it ends up on terminals */
		out[i] = r->reason.p[i] >= ' ' && r->reason.p[i] < 127 ? r->reason.p[i] : '?';
	out[n] = 0;
	snprintf(conn_service(c)->row.last_error, sizeof(conn_service(c)->row.last_error), "%s", out);
}

/* What ended the connection, the rule by name. */
static const char *conn_end_text(const struct co_conn *c, enum ocp_end how)
{
	return how == OCP_END_VIOLATION && c->fault != OCP_FAULT_NONE ? ocp_fault_text(c->fault) : ocp_end_text(how);
}

static void on_xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct co_conn *c = ctx;
	struct co_txn *t = user;
	struct callout_lcore *l = c->l;
	char words[112] = "";

	conn_words(c, words, sizeof(words), &e->result);
	switch (e->how) {
	case OCP_XEND_NORMAL:
		co_txn_ended(l, t, e->result.code);
		return;
	case OCP_XEND_REFUSED:
		co_txn_fail(l, t, CALLOUT_CAUSE_REFUSED, "The service refused the transaction.", e->result.code);
		return;
	case OCP_XEND_VIOLATION:
		co_txn_fail(l, t, CALLOUT_CAUSE_PROTOCOL, ocp_fault_text(e->fault), 0);
		return;
	case OCP_XEND_DEADLINE:
		co_txn_fail(l, t, CALLOUT_CAUSE_DEADLINE, "The service made no progress within its deadline.", 0);
		return;
	case OCP_XEND_LOST:
		co_txn_fail(l, t, CALLOUT_CAUSE_LOST, "The callout server no longer knows the transaction.", 0);
		return;
	case OCP_XEND_CONNECTION:
		break;
	}
	if (e->conn_end == OCP_END_MALFORMED || e->conn_end == OCP_END_OUTSIDE || e->conn_end == OCP_END_VIOLATION)
		co_txn_fail(l, t, CALLOUT_CAUSE_PROTOCOL, conn_end_text(c, e->conn_end), 0);
	else
		co_txn_fail(l, t, CALLOUT_CAUSE_LOST, ocp_end_text(e->conn_end), 0);
}

static void on_fault(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg)
{
	struct co_conn *c = ctx;

	c->fault = f;
	/* What the peer sent before it heard that we ended the transaction: the draft has it ignored <54>. */
	if (f != OCP_FAULT_UNKNOWN_ID)
		co_service_fault(c->l, conn_service(c), f, msg);
}

/* The peer does without something that this configuration wants. */
static void on_feature(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a)
{
	struct co_conn *c = ctx;
	struct co_service *s = conn_service(c);
	char text[160];

	if (a != OCP_ANSWER_WONT_USE || f >= OCP_FEATURE_MAX || (s->told_refused & OCP_HAS(f)))
		return;
	s->told_refused |= OCP_HAS(f);
	snprintf(text, sizeof(text), "The callout server will not use %s.", ocp_feature_uri(f));
	co_service_event(c->l, s, "feature-refused", CALLOUT_CAUSE_NEGOTIATION, text);
}

static void on_alive(void *ctx, uint32_t rid, bool has_xid, bool has_am_id)
{
	struct co_conn *c = ctx;

	if (c->state != CO_CONN_NEGOTIATING || rid != c->rid)
		return;
	/* everything we asked for before has been answered or never will be */
	c->state = CO_CONN_UP;
	c->up_us = c->l->now;
	conn_service(c)->row.connects++;
	co_service_changed(conn_service(c));
}

static void on_closed(void *ctx, enum ocp_end how, const struct ocp_result *result)
{
	struct co_conn *c = ctx;

	c->how = how;
	conn_words(c, c->why, sizeof(c->why), result);
}

static const struct ocp_processor_ops conn_ops = {
	.output = co_io_output,
	.closed = on_closed,
	.alive = on_alive,
	.fault = on_fault,
	.feature = on_feature,
	.original_end = on_original_end,
	.ack = on_ack,
	.am_start = on_am_start,
	.am_data = on_am_data,
	.am_as_is = on_am_as_is,
	.am_end = on_am_end,
	.left = on_left,
	.pause = on_pause,
	.need = on_need,
	.wont_forward = on_wont_forward,
	.xaction_end = on_xaction_end,
};

/* --- set-up ------------------------------------------------------------------------------------------------- */

/* tcp:192.0.2.1:4037, tcp:[2001:db8::1]:4037, unix:/path. Length of *sa or -EINVAL. */
static int conn_address(const char *s, struct sockaddr_storage *sa)
{
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;
	struct sockaddr_un *un = (struct sockaddr_un *)sa;
	char host[64], *end;
	const char *colon;
	unsigned long port;

	memset(sa, 0, sizeof(*sa));
	if (!strncmp(s, "unix:", 5)) {
		if (strlen(s + 5) >= sizeof(un->sun_path) || !s[5])
			return -EINVAL;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, s + 5, strlen(s + 5));
		return sizeof(*un);
	}
	colon = strrchr(s, ':');
	if (strncmp(s, "tcp:", 4) || !colon || colon <= s + 4 || (size_t)(colon - s - 4) >= sizeof(host))
		return -EINVAL;
	s += 4;
	memcpy(host, s, colon - s);
	host[colon - s] = 0;
	port = strtoul(colon + 1, &end, 10);
	if (*end || !port || port > 65535)
		return -EINVAL;
	if (host[0] == '[' && host[colon - s - 1] == ']') {
		host[colon - s - 1] = 0;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1 ? (int)sizeof(*in6) : -EINVAL;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? (int)sizeof(*in) : -EINVAL;
}

void co_conn_init(struct co_conn *c, struct callout_lcore *l, struct co_group *g)
{
	memset(c, 0, sizeof(*c));
	c->l = l;
	c->group = g;
	c->fd = -1;
	c->retry_at = l->now;
}

void co_conn_messages(const struct co_conn *c, uint64_t *out, uint64_t *in)
{
	const struct ocp_counters *n = c->agent ? ocp_processor_counters(c->agent) : NULL;
	unsigned i;

	for (i = 0; n && i < OCP_MSG_MAX; i++) {
		*out += n->tx_msgs[i];
		*in += n->rx_msgs[i];
	}
}

/* A connection that is given up ends with its last word (<61>, RFC 4037 section 11.2). */
static void conn_say_end(struct co_conn *c)
{
	static const struct ocp_result failure = {.code = OCP_RESULT_FAILURE};

	if (!c->agent || ocp_processor_over(c->agent))
		return;
	ocp_processor_end(c->agent, true, co_conn_core(c) ? &failure : NULL);
	co_io_write(c);
}

static void conn_free(struct co_conn *c)
{
	co_conn_messages(c, &conn_service(c)->old_out, &conn_service(c)->old_in);
	if (c->fd >= 0)
		close(c->fd); /* leaves the epoll set, too */
	c->fd = -1;
	co_io_close(c);
	ocp_processor_destroy(c->agent);
	c->agent = NULL;
	c->state = CO_CONN_DOWN;
	c->readable = c->writable = c->hup = c->broken = c->drain = false;
}

/* The back-off doubles from attempt to attempt, up to max_us. */
static void conn_retry(struct co_conn *c, uint64_t max_us)
{
	uint64_t first = RTE_MAX(conn_service(c)->cfg.retry_us, (uint64_t)1000);

	c->backoff_us = RTE_MIN(c->backoff_us * 2, max_us);
	c->backoff_us = RTE_MAX(c->backoff_us, first);
	c->retry_at = c->l->now + c->backoff_us;
}

static void conn_failed(struct co_conn *c, enum callout_cause cause, const char *text)
{
	struct co_service *s = conn_service(c);

	s->cause = cause;
	s->row.connect_failures++;
	snprintf(s->row.last_error, sizeof(s->row.last_error), "%s", text);
	if (!s->told_down && !s->row.connections_up) {
		s->told_down = true;
		co_service_event(c->l, s, "service-unreachable", cause, text);
	}
	conn_free(c);
	conn_retry(c, CO_RETRY_MAX_US);
	co_service_changed(s);
	co_group_dispatch(c->l, c->group);
}

static int conn_socket(struct co_conn *c, const struct sockaddr_storage *sa, socklen_t len)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	int one = 1, size = 1 << 20;

	c->fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (sa->ss_family == AF_UNIX) {
		if (setsockopt(c->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	} else {
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	if (connect(c->fd, (const struct sockaddr *)sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	if (epoll_ctl(c->l->epfd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		return -errno;
	return 0;
}

void co_conn_start(struct co_conn *c)
{
	struct sockaddr_storage sa;
	int len = conn_address(conn_service(c)->cfg.address, &sa), ret;

	c->how = OCP_END_NONE;
	c->fault = OCP_FAULT_NONE;
	c->why[0] = 0;
	c->attempt_us = RTE_MAX(c->l->now, (uint64_t)1);
	if (len < 0) {
		conn_failed(c, CALLOUT_CAUSE_CONNECT, "The service's address cannot be used.");
		return;
	}
	c->state = CO_CONN_CONNECTING;
	ret = conn_socket(c, &sa, len);
	if (ret)
		conn_failed(c, CALLOUT_CAUSE_CONNECT, strerror(-ret));
	else
		co_service_changed(conn_service(c));
}

/* The profile of RFC 4236 that a transaction's messages go under; OCP_FEATURE_MAX: none. */
static enum ocp_feature open_profile(const struct callout_open *o)
{
	struct ocp_str meta = {o->meta, o->meta_len}, protocol;
	enum ocp_kind kind = ocp_meta_kind(meta);

	if (!ocp_meta_get(meta, "Protocol", &protocol) || protocol.len < 5 || memcmp(protocol.p, "HTTP/", 5))
		return OCP_FEATURE_MAX;
	return kind == OCP_KIND_REQUEST	   ? OCP_FEATURE_HTTP_REQUEST
	       : kind == OCP_KIND_RESPONSE ? OCP_FEATURE_HTTP_RESPONSE
					   : OCP_FEATURE_MAX;
}

bool co_open_aux(const struct co_conn *c, const struct callout_open *o)
{
	const struct ocp_profile *p;

	if (!co_conn_core(c) || open_profile(o) != OCP_FEATURE_HTTP_RESPONSE)
		return false;
	p = ocp_processor_profile(c->agent, NULL, OCP_FEATURE_HTTP_RESPONSE);
	return p && (p->aux_parts & OCP_HAS(OCP_PART_REQUEST_HEADER));
}

int co_conn_open(struct co_conn *c, const struct callout_open *o, struct co_txn *t, uint32_t *xid)
{
	struct ocp_start st = OCP_START_INIT;

	st.meta = (struct ocp_str){o->meta, o->meta_len};
	st.sizep = o->sizep;
	if (co_conn_core(c)) {
		if (o->sizep > (int64_t)c->l->core_max || o->el > (int64_t)c->l->core_max)
			return -EFBIG;
		st.profile = open_profile(o);
		st.am_el = st.profile == OCP_FEATURE_MAX ? -1 : o->el;
	}
	return ocp_processor_xaction_start(c->agent, &st, t, xid, c->l->now);
}

/* Asks for the draft's features; those of core are part of the protocol there. */
static int conn_features(struct co_conn *c, const struct policy_service *s)
{
	static const enum ocp_feature features[] = {OCP_FEATURE_COPIED, OCP_FEATURE_AS_IS,
						    OCP_FEATURE_LEAVE_LOOP};
	unsigned i;
	int ret = 0;

	if (co_conn_core(c))
		return 0;
	for (i = 0; i < RTE_DIM(features) && !ret; i++)
		ret = ocp_processor_please_use(c->agent, ocp_str(ocp_feature_uri(features[i])));
	if (!ret && s->ack_all)
		ret = ocp_processor_please_use(c->agent, ocp_str(ocp_feature_uri(OCP_FEATURE_ACK_ALL)));
	return ret;
}

static int conn_agent(struct co_conn *c)
{
	const struct policy_service *s = &conn_service(c)->cfg;
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	struct ocp_uri uri = {.uri = ocp_str(s->uri)};
	struct ocp_offer offers[2] = {{uri, OCP_PROFILE_INIT}, {uri, OCP_PROFILE_INIT}};
	int ret;

	cfg.xactions_max = c->l->cfg.txns_max;
	cfg.idle_probe_us = s->idle_probe_us;
	cfg.probe_timeout_us = s->probe_timeout_us;
	cfg.deadline_us = s->deadline_us;
	cfg.negotiation_us = s->connect_timeout_us;
	if (co_conn_core(c)) {
		cfg.dialect = OCP_DIALECT_CORE;
		offers[0].profile.feature = OCP_FEATURE_HTTP_REQUEST;
		offers[1].profile.feature = OCP_FEATURE_HTTP_RESPONSE;
		offers[1].profile.aux_parts = s->aux_request ? OCP_HAS(OCP_PART_REQUEST_HEADER) : 0;
		cfg.offers = offers;
		cfg.noffers = RTE_DIM(offers);
	}
	ret = ocp_processor_create(&c->agent, &cfg, &conn_ops, c);
	if (!ret)
		ret = ocp_processor_connect(c->agent, ocp_str(c->l->client), c->group->priority, c->l->now);
	if (!ret)
		ret = ocp_processor_service(c->agent, &uri);
	if (!ret)
		ret = conn_features(c, s);
	if (!ret)
		ret = ocp_processor_probe(c->agent, false, 0, false, 0, &c->rid, c->l->now);
	return ret;
}

static void conn_connected(struct co_conn *c)
{
	int err = 0, ret;
	socklen_t len = sizeof(err);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		conn_failed(c, CALLOUT_CAUSE_CONNECT, strerror(err));
		return;
	}
	ret = co_io_open(c);
	if (!ret)
		ret = conn_agent(c);
	if (ret) {
		conn_failed(c, CALLOUT_CAUSE_NEGOTIATION, strerror(-ret));
		return;
	}
	c->state = CO_CONN_NEGOTIATING;
	c->writable = true;
	c->rx_us = c->l->now;
	c->sent_octets = c->tick_octets = 0;
}

void co_conn_ready(struct co_conn *c, uint32_t events)
{
	if (c->state == CO_CONN_CONNECTING) {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			conn_connected(c);
		if (c->state == CO_CONN_DOWN || c->state == CO_CONN_CONNECTING)
			return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->hup = true;
	if (c->hup || (events & EPOLLIN))
		c->readable = true;
	if (events & EPOLLOUT)
		c->writable = true;
}

/* --- end ---------------------------------------------------------------------------------------------------- */

static void conn_lost(struct co_conn *c, const char *text)
{
	struct co_service *s = conn_service(c);

	snprintf(s->row.last_error, sizeof(s->row.last_error), "%s", text);
	if (!s->retired_us)
		co_service_event(c->l, s, "service-lost", CALLOUT_CAUSE_LOST, text);
	conn_free(c);
	/* one that proved steady begins anew, one that broke at once must not be tried in a loop */
	conn_retry(c, c->l->now - c->up_us >= CO_STEADY_US ? 0 : CO_STEADY_US);
	co_service_changed(s);
	co_group_dispatch(c->l, c->group);
}

bool co_conn_check(struct co_conn *c)
{
	char text[128];
	enum ocp_end how;

	if (!c->agent)
		return false;
	if (c->broken && !ocp_processor_over(c->agent))
		ocp_processor_eof(c->agent);
	how = ocp_processor_over(c->agent);
	if (how == OCP_END_NONE)
		return false;
	if (how == OCP_END_MALFORMED || how == OCP_END_LOCAL || how == OCP_END_VIOLATION || how == OCP_END_OUTSIDE ||
	    how == OCP_END_DEAD)
		co_io_write(c); /* the connection-end, if the socket takes it now */
	if (how == OCP_END_EOF && c->state != CO_CONN_UP)
		snprintf(text, sizeof(text), "The callout server closed the connection before it had answered in the dialect %s.",
			 conn_service(c)->cfg.dialect == POLICY_DIALECT_CORE ? "core" : "draft");
	else
		snprintf(text, sizeof(text), "%s", c->why[0] ? c->why : conn_end_text(c, how));
	if (c->state == CO_CONN_UP)
		conn_lost(c, text);
	else
		conn_failed(c, how == OCP_END_EOF ? CALLOUT_CAUSE_CONNECT : CALLOUT_CAUSE_NEGOTIATION, text);
	return true;
}

void co_conn_end(struct co_conn *c)
{
	if (c->agent && !ocp_processor_over(c->agent)) {
		ocp_processor_end(c->agent, false, NULL);
		co_io_write(c);
	}
	conn_free(c);
	co_service_changed(conn_service(c));
}

/* A peer that has said nothing for so long may simply still be busy reading what we sent: its answer to our are-you-there
 * is behind that. While octets leave for it, it is not dead. */
static bool conn_drains(struct co_conn *c)
{
	const struct policy_service *s = &conn_service(c)->cfg;
	uint64_t left;
	int outq = 0;

	if (c->l->now - c->rx_us < s->idle_probe_us)
		return false;
	if (ioctl(c->fd, SIOCOUTQ, &outq) < 0)
		outq = 0;
	if (!c->out && !outq)
		return false;
	left = c->sent_octets - (uint64_t)outq;
	if (left != c->tick_octets) {
		c->tick_octets = left;
		c->tick_us = c->l->now;
		return true;
	}
	return c->l->now - c->tick_us < s->probe_timeout_us;
}

void co_conn_timer(struct co_conn *c)
{
	const struct co_service *s = conn_service(c);
	struct callout_lcore *l = c->l;

	switch (c->state) {
	case CO_CONN_DOWN:
		if (!s->retired_us && l->now >= c->retry_at)
			co_conn_start(c);
		return;
	case CO_CONN_CONNECTING:
	case CO_CONN_NEGOTIATING:
		if (l->now - c->attempt_us >= s->cfg.connect_timeout_us) {
			conn_say_end(c);
			conn_failed(c, CALLOUT_CAUSE_CONNECT, c->state == CO_CONN_CONNECTING ?
				    "The callout server did not accept the connection in time." :
				    "The callout server did not answer in OCP in time.");
			return;
		}
		break;
	}
	if (!c->agent || l->blocked || l->now < ocp_processor_next_deadline(c->agent) || conn_drains(c))
		return;
	ocp_processor_tick(c->agent, l->now);
	co_conn_check(c);
}
