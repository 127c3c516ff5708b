/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of services, what waits for a connection of theirs, and the table that control reads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_common.h>
#include "callout/callout_lcore.h"

void co_service_event(struct callout_lcore *l, const struct co_service *s, const char *kind,
		      enum callout_cause cause, const char *text)
{
	struct shm_event_args a = {.kind = kind, .cause = callout_cause_name(cause), .service = s->cfg.name,
				   .offset = UINT64_MAX, .generation = l->generation};

	if (l->cfg.shm)
		shm_event_write(&l->cfg.shm->events[SHM_WORKERS_MAX], &a, "%s", text);
}

void co_service_fault(struct callout_lcore *l, struct co_service *s, enum ocp_fault f, enum ocp_msg_type msg)
{
	char more[48] = "";

	if (f >= OCP_FAULT_MAX)
		return;
	if (s->fault_us[f] && l->now - s->fault_us[f] < CO_FAULT_US) {
		s->fault_more[f]++;
		return;
	}
	if (s->fault_more[f])
		snprintf(more, sizeof(more), "; %u more since the last event", s->fault_more[f]);
	s->fault_us[f] = RTE_MAX(l->now, (uint64_t)1);
	s->fault_more[f] = 0;
	snprintf(s->row.last_error, sizeof(s->row.last_error), "%s (%s)%s", ocp_fault_text(f), ocp_msg_name(msg), more);
	co_service_event(l, s, "service-fault", CALLOUT_CAUSE_PROTOCOL, s->row.last_error);
}

/* One in use before a retired one of the same name: the list is newest first. */
struct co_service *co_service_find(struct callout_lcore *l, const char *name)
{
	struct co_service *s, *old = NULL;

	for (s = l->services; s; s = s->next) {
		if (strncmp(s->cfg.name, name, sizeof(s->cfg.name)))
			continue;
		if (!s->retired_us)
			return s;
		if (!old)
			old = s;
	}
	return old;
}

struct co_group *co_service_group(struct co_service *s, int32_t priority)
{
	struct co_group *g = &s->group[0];
	uint32_t i;

	for (i = 0; i < s->ngroups; i++) {
		if (s->group[i].priority == priority)
			return &s->group[i];
		if (s->group[i].priority == s->cfg.priority)
			g = &s->group[i];
	}
	return g;
}

/* --- waiting for a connection ---------------------------------------------------------------------------------- */

bool co_group_hope(const struct co_group *g)
{
	uint32_t i;

	for (i = 0; i < g->nconns; i++)
		if (g->conn[i].state != CO_CONN_DOWN ||
		    (!g->conn[i].attempt_us && !g->service->retired_us))
			return true; /* an attempt is bounded by the connect timeout */
	return false;
}

/* The connection with the fewest transactions that can frame now; *up: how many are up; *full: all of these have their
 * limit of transactions. */
static struct co_conn *group_pick(struct co_group *g, uint32_t *up, bool *full)
{
	struct co_conn *best = NULL;
	uint32_t i;

	*up = 0;
	*full = true;
	for (i = 0; i < g->nconns; i++) {
		struct co_conn *c = &g->conn[i];

		if (c->state != CO_CONN_UP || c->drain)
			continue;
		++*up;
		if (c->txns >= c->l->cfg.txns_max)
			continue;
		*full = false;
		if (co_io_room(c) && (!best || c->txns < best->txns))
			best = c;
	}
	return best;
}

static struct co_txn *group_pop(struct co_group *g)
{
	struct co_txn *t = co_list_pop(&g->wait);

	t->waits = false;
	return t;
}

static void group_fail_all(struct callout_lcore *l, struct co_group *g, enum callout_cause cause, const char *text)
{
	while (g->wait.head)
		co_txn_fail(l, group_pop(g), cause, text, 0);
}

static void no_profile(struct callout_lcore *l, struct co_service *s, struct co_txn *t)
{
	static const char text[] = "The service has not agreed on the profile of such messages.";

	snprintf(s->row.last_error, sizeof(s->row.last_error), "%s", text);
	co_txn_fail(l, t, CALLOUT_CAUSE_NEGOTIATION, text, 0);
}

void co_group_dispatch(struct callout_lcore *l, struct co_group *g)
{
	while (g->wait.head) {
		struct co_txn *t = g->wait.head;
		uint32_t up, xid;
		bool full;
		struct co_conn *c = group_pick(g, &up, &full);
		int ret;

		if (!up) {
			if (!co_group_hope(g))
				group_fail_all(l, g, g->service->cause, "No connection to the callout server is up.");
			return;
		}
		if (full) {
			group_fail_all(l, g, CALLOUT_CAUSE_OVERLOAD,
				       "Every connection has its limit of transactions.");
			return;
		}
		if (!c)
			return;
		ret = co_conn_open(c, t->open, t, &xid);
		if (ret == -EAGAIN)
			return; /* the peer negotiates: a moment */
		if (ret == -EOVERFLOW || ret == -ENOTCONN) {
			c->drain = true; /* identifiers are used up: a new connection begins anew */
			continue;
		}
		group_pop(g);
		if (!ret)
			co_txn_opened(l, t, c, xid);
		else if (ret == -EPROTONOSUPPORT)
			no_profile(l, g->service, t);
		else
			co_txn_fail(l, t, CALLOUT_CAUSE_OVERLOAD, ret == -EFBIG ?
				    "The message is longer than the dialect core can carry." :
				    "The transaction could not be begun.", 0);
	}
}

/* What waits although a connection is up waits for room in its output: not longer than for any other progress. */
static void group_timer(struct callout_lcore *l, struct co_group *g)
{
	uint64_t limit = g->service->cfg.deadline_us;

	co_group_dispatch(l, g);
	while (limit && g->wait.head && l->now - g->wait.head->since_us > limit)
		co_txn_fail(l, group_pop(g), CALLOUT_CAUSE_DEADLINE,
			    "The callout server did not take the transaction within its deadline.", 0);
}

/* --- state ------------------------------------------------------------------------------------------------------- */

void co_service_changed(struct co_service *s)
{
	uint32_t up = 0, tries = 0, was = s->row.connections_up, i, j;

	for (i = 0; i < s->ngroups; i++)
		for (j = 0; j < s->group[i].nconns; j++) {
			up += s->group[i].conn[j].state == CO_CONN_UP;
			tries += s->group[i].conn[j].state != CO_CONN_DOWN;
		}
	s->row.connections_up = up;
	s->row.state = up ? SHM_SERVICE_UP : tries ? SHM_SERVICE_CONNECTING : SHM_SERVICE_DOWN;
	if (!up || was)
		return;
	s->told_down = false;
	s->cause = CALLOUT_CAUSE_CONNECT;
	s->row.last_error[0] = 0;
	co_service_event(s->group[0].conn[0].l, s, "service-up", CALLOUT_CAUSE_NONE,
			 "The callout server answers.");
	for (i = 0; i < s->ngroups; i++) /* it is back: no reason for the others to sit out their delay */
		for (j = 0; j < s->group[i].nconns; j++)
			s->group[i].conn[j].retry_at = 0;
}

static bool service_busy(const struct co_service *s)
{
	uint32_t i, j;

	for (i = 0; i < s->ngroups; i++) {
		if (s->group[i].wait.head)
			return true;
		for (j = 0; j < s->group[i].nconns; j++)
			if (s->group[i].conn[j].txns)
				return true;
	}
	return false;
}

/* Room for so many groups, so that service_order cannot fail. */
static bool order_reserve(struct callout_lcore *l, uint32_t n)
{
	struct co_group **order;

	if (n <= l->order_size)
		return true;
	order = realloc(l->order, n * sizeof(*order));
	if (!order)
		return false;
	l->order = order;
	l->order_size = n;
	return true;
}

/* INV-CO-4 */
static void service_order(struct callout_lcore *l)
{
	struct co_service *s;
	uint32_t i, at;

	l->norder = 0;
	for (s = l->services; s; s = s->next)
		for (i = 0; i < s->ngroups; i++) {
			struct co_group *g = &s->group[i];

			for (at = l->norder++; at && l->order[at - 1]->priority < g->priority; at--)
				l->order[at] = l->order[at - 1];
			l->order[at] = g;
		}
}

static void service_free(struct co_service *s)
{
	uint32_t i, j;

	for (i = 0; i < s->ngroups; i++)
		for (j = 0; j < s->group[i].nconns; j++)
			co_conn_end(&s->group[i].conn[j]);
	for (i = 0; i < s->ngroups; i++)
		free(s->group[i].conn);
	free(s->group);
	free(s);
}

void co_service_free_all(struct callout_lcore *l)
{
	struct co_service *s;

	while ((s = l->services)) {
		l->services = s->next;
		service_free(s);
	}
	l->norder = 0;
}

void co_service_timer(struct callout_lcore *l)
{
	struct co_service *s, **pp = &l->services;
	uint32_t i, j;

	co_txn_early(l);
	while ((s = *pp)) {
		for (i = 0; i < s->ngroups; i++) {
			struct co_group *g = &s->group[i];

			for (j = 0; j < g->nconns; j++) {
				struct co_conn *c = &g->conn[j];

				co_conn_timer(c);
				if (c->drain && !c->txns) {
					co_conn_end(c);
					c->retry_at = l->now;
				}
			}
			group_timer(l, g);
		}
		if (s->retired_us && l->now - s->retired_us > CO_RETIRE_US && !service_busy(s)) {
			*pp = s->next;
			service_order(l);
			service_free(s);
		} else {
			pp = &s->next;
		}
	}
}

void co_service_rows(struct callout_lcore *l)
{
	struct co_service *s;
	uint32_t i, j;

	for (s = l->services; s && l->cfg.shm; s = s->next) {
		if (s->index >= SHM_SERVICES_MAX)
			continue;
		s->row.messages_out = s->old_out;
		s->row.messages_in = s->old_in;
		for (i = 0; i < s->ngroups; i++)
			for (j = 0; j < s->group[i].nconns; j++)
				co_conn_messages(&s->group[i].conn[j], &s->row.messages_out,
						 &s->row.messages_in);
		l->cfg.shm->service[s->index] = s->row;
	}
}

/* --- a new table ------------------------------------------------------------------------------------------------ */

struct priorities {
	int32_t p[16];
	uint32_t n;
};

static void priorities_add(struct priorities *ps, int32_t p)
{
	uint32_t i;

	for (i = 0; i < ps->n; i++)
		if (ps->p[i] == p)
			return;
	if (ps->n < RTE_DIM(ps->p))
		ps->p[ps->n++] = p;
}

/* Those of the rules that name it; without any, its own. */
static void priorities_of(const struct policy_image *img, uint32_t service, struct priorities *ps)
{
	uint32_t i, rules = policy_image_rules(img);

	ps->n = 0;
	for (i = 0; i < rules; i++)
		if (policy_image_rule(img, i)->service == service)
			priorities_add(ps, policy_image_rule(img, i)->priority);
	if (!ps->n)
		priorities_add(ps, policy_image_service(img, service)->priority);
}

static bool service_same(const struct co_service *s, const struct policy_service *p, const struct priorities *ps)
{
	uint32_t i;

	if (s->ngroups != ps->n)
		return false;
	for (i = 0; i < ps->n; i++)
		if (s->group[i].priority != ps->p[i])
			return false;
	return !strcmp(s->cfg.name, p->name) && !strcmp(s->cfg.uri, p->uri) &&
	       !strcmp(s->cfg.address, p->address) && s->cfg.dialect == p->dialect &&
	       s->cfg.connections == p->connections && s->cfg.priority == p->priority &&
	       s->cfg.deadline_us == p->deadline_us &&
	       s->cfg.connect_timeout_us == p->connect_timeout_us && s->cfg.retry_us == p->retry_us &&
	       s->cfg.idle_probe_us == p->idle_probe_us &&
	       s->cfg.probe_timeout_us == p->probe_timeout_us && s->cfg.ack_all == p->ack_all &&
	       s->cfg.aux_request == p->aux_request;
}

static struct co_service *service_new(struct callout_lcore *l, const struct policy_service *p,
				      const struct priorities *ps)
{
	struct co_service *s = calloc(1, sizeof(*s));
	uint32_t i, j;

	if (!s)
		return NULL;
	s->cfg = *p;
	s->cfg.connections = RTE_MAX(p->connections, 1u);
	s->cause = CALLOUT_CAUSE_CONNECT;
	memcpy(s->row.name, p->name, sizeof(s->row.name));
	memcpy(s->row.address, p->address, sizeof(s->row.address));
	s->row.connections = s->cfg.connections * ps->n;
	s->group = calloc(ps->n, sizeof(*s->group));
	for (i = 0; s->group && i < ps->n; i++) {
		struct co_group *g = &s->group[i];

		g->service = s;
		g->priority = ps->p[i];
		g->conn = calloc(s->cfg.connections, sizeof(*g->conn));
		if (!g->conn)
			break;
		g->nconns = s->cfg.connections;
		s->ngroups++;
		for (j = 0; j < g->nconns; j++)
			co_conn_init(&g->conn[j], l, g);
	}
	if (s->group && s->ngroups == ps->n)
		return s;
	for (i = 0; i < s->ngroups; i++)
		free(s->group[i].conn);
	free(s->group);
	free(s);
	return NULL;
}

/* First everything that may fail, then the change: on error the old table stays as it is. */
int callout_lcore_adopt(struct callout_lcore *l, const struct policy_image *image)
{
	uint32_t n = policy_image_services(image), i;
	struct co_service *use[POLICY_SERVICES_MAX], *s;
	bool made[POLICY_SERVICES_MAX];
	uint32_t groups = 0;

	if (n > POLICY_SERVICES_MAX)
		return -EINVAL;
	for (s = l->services; s; s = s->next)
		groups += s->ngroups;
	if (!order_reserve(l, groups + n * RTE_DIM(((struct priorities *)0)->p)))
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		const struct policy_service *p = policy_image_service(image, i);
		struct priorities ps;

		priorities_of(image, i, &ps);
		for (s = l->services; s; s = s->next)
			if (!s->retired_us && service_same(s, p, &ps))
				break;
		made[i] = !s;
		use[i] = s ? s : service_new(l, p, &ps);
		if (use[i])
			continue;
		while (i--)
			if (made[i])
				service_free(use[i]);
		return -ENOMEM;
	}
	for (s = l->services; s; s = s->next) {
		s->index = UINT32_MAX;
		if (!s->retired_us)
			s->retired_us = RTE_MAX(l->now, (uint64_t)1);
	}
	for (i = 0; i < n; i++) {
		use[i]->index = i;
		use[i]->retired_us = 0;
		if (made[i]) {
			use[i]->next = l->services;
			l->services = use[i];
		}
	}
	service_order(l);
	l->generation = policy_image_generation(image);
	l->timer_us = 0;
	co_txn_early(l);
	if (l->cfg.shm) {
		l->cfg.shm->nservices = n;
		co_service_rows(l);
	}
	return 0;
}
