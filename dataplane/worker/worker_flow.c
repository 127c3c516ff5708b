/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow entries and their sessions. */
#include "worker/worker.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static inline void run_queue(struct worker *w, struct flow_entry *e)
{
	if (e->run_queued)
		return;
	e->run_queued = true;
	e->run_next = 0;
	if (w->run_tail)
		w->run_tail->run_next = flow_table_ref(w->flows, e);
	else
		w->run_head = e;
	w->run_tail = e;
}

/* The session goes now; the entry too, unless it waits on the run list, which then drops it. */
void worker_flow_forget(struct worker *w, struct flow_entry *e)
{
	flow_wheel_cancel(w->wheel, &e->timer);
	if (e->half_open)
		worker_half_open_done(w, e);
	if (e->session) {
		session_free(w->sessions, e->session);
		e->session = NULL;
	}
	if (!e->run_queued)
		flow_table_delete(w->flows, e);
	w->table_changed = true;
}

static inline uint8_t far_port(unsigned port)
{
	return !port;
}

void worker_flow_segment(struct worker *w, struct flow_entry *e, unsigned side, unsigned port,
			 struct rte_mbuf *m, const struct parse_frame *f)
{
	switch (session_segment(w->sessions, e->session, side, m, f)) {
	case SESSION_FORWARD:
		worker_send(w, far_port(port), m);
		break;
	case SESSION_CONSUMED:
		break;
	case SESSION_BYPASS:
		worker_bypass(w, port, m);
		worker_flow_forget(w, e);
		return;
	case SESSION_DROP:
		rte_pktmbuf_free(m);
		break;
	}
	if (unlikely(e->half_open) && !session_handshake(e->session))
		worker_half_open_done(w, e);
	run_queue(w, e);
}

void worker_tuple(struct policy_tuple *t, const struct parse_frame *f, unsigned port)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->client, f->key.src, sizeof(t->client));
	memcpy(t->server, f->key.dst, sizeof(t->server));
	t->client_port = rte_be_to_cpu_16(f->key.sport);
	t->server_port = rte_be_to_cpu_16(f->key.dport);
	t->from_port = port;
	t->vlan = f->key.vlan[0] == PARSE_VLAN_NONE ? 0 : f->key.vlan[0];
}

void worker_flow_syn(struct worker *w, unsigned port, struct rte_mbuf *m,
		     const struct parse_frame *f)
{
	struct session_flow_info info;
	struct flow_entry *e;
	int rc;

	memset(&info, 0, sizeof(info));
	worker_tuple(&info.tuple, f, port);
	policy_select_flow(w->matcher, &info.tuple, &info.sel);
	if (info.sel.first < 0) {
		worker_bypass(w, port, m);
		return;
	}
	/* What the server would not take must not take an entry here either. */
	if (unlikely(!parse_ip_checksum_good(f, m) || !parse_tcp_checksum_good(f, m))) {
		w->shm->counter[STATS_bad_checksum]++;
		rte_pktmbuf_free(m);
		return;
	}
	if (unlikely(!worker_half_open_room(w))) {
		if (w->half_open.drop)
			rte_pktmbuf_free(m);
		else
			worker_bypass(w, port, m);
		return;
	}
	rc = flow_table_insert(w->flows, &f->key, &e);
	/* An entry without a session waits for the end of the burst to be dropped: it serves again. */
	if (rc == -EEXIST) {
		flow_table_renew(w->flows, e, &f->key);
		rc = 0;
	}
	if (rc) {
		w->shm->counter[STATS_flow_table_full]++;
		worker_bypass(w, port, m);
		return;
	}
	w->table_changed = true;
	e->client_port = port;
	info.id = e->id;
	info.generation = w->rules->generation;
	info.client_port = port;
	info.is_v6 = f->is_v6;
	info.owner = e;
	e->session = session_new(w->sessions, &info);
	if (!e->session) {
		worker_flow_forget(w, e);
		w->shm->counter[STATS_flow_table_full]++;
		worker_bypass(w, port, m);
		return;
	}
	worker_half_open_add(w, e);
	worker_flow_segment(w, e, 0, port, m, f);
}

/* Runs the flows queued so far; what they wake waits for the next loop, so that one flow cannot
 * hold the others up. */
uint32_t worker_flow_run(struct worker *w)
{
	struct flow_entry *e = w->run_head, *next;
	uint32_t n = 0;

	w->run_head = w->run_tail = NULL;
	for (; e; e = next, n++) {
		next = flow_table_at(w->flows, e->run_next);
		e->run_queued = false;
		if (!e->session) {
			flow_table_delete(w->flows, e);
			continue;
		}
		session_run(w->sessions, e->session);
		if (session_dead(e->session))
			worker_flow_forget(w, e);
		else
			flow_wheel_arm(w->wheel, &e->timer, session_deadline(w->sessions, e->session));
	}
	return n;
}

void worker_flow_timer(void *ctx, struct flow_wheel_node *n)
{
	struct worker *w = ctx;
	struct flow_entry *e =
		(struct flow_entry *)((char *)n - offsetof(struct flow_entry, timer));

	if (!e->session)
		return;
	session_timer(w->sessions, e->session);
	run_queue(w, e);
}

void worker_flow_wake(struct worker *w, struct flow_entry *e)
{
	run_queue(w, e);
}

void worker_session_wake(void *cb, struct session *s)
{
	run_queue(cb, session_owner(s));
}

void worker_session_moved(void *cb, void *owner, struct session *s)
{
	struct flow_entry *e = owner;

	e->session = s;
}

void worker_session_tx(void *cb, unsigned port, struct rte_mbuf *m)
{
	worker_send(cb, port, m);
}
