/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What does not find its flow by its own ports: fragments, and ICMP errors about segments of ours. Both may come to any worker.
 *
 *   fragment   -> the worker its datagram belongs to by hash of the addresses -> whole -> the flow's worker
 *   ICMP error -> the flow's worker
 *
 * Where worker 0 spreads flows, the flow's worker is known. Where the ports do it, it is not (the hash is the hardware's):
 * the packet then goes round, from worker to worker, until one has the flow or all have been asked.
 */
#include "worker/worker.h"

#include <netinet/in.h>
#include <rte_ring.h>

#include "parse/parse_icmp.h"

#define BURST 32

/* In the lowest bits of the address. */
enum aside { ASIDE_FRAGMENT, ASIDE_DATAGRAM, ASIDE_ICMP };

/* Workers that have been asked. The hash of the port is not used. */
static inline uint32_t *asked(struct rte_mbuf *m)
{
	return &m->hash.usr;
}

/* Takes over m; ASIDE_DATAGRAM: the list that begins with m. */
static void hand_over(struct worker *w, unsigned to, unsigned port, struct rte_mbuf *m, enum aside kind)
{
	uintptr_t tagged = (uintptr_t)m | port | (uintptr_t)kind << 1;

	if (rte_ring_mp_enqueue(w->peer[to].aside, (void *)tagged) == 0)
		return;
	w->shm->counter[STATS_tx_dropped]++;
	if (kind == ASIDE_DATAGRAM)
		frag_free(w->frags, m);
	else
		rte_pktmbuf_free(m);
}

/* True: m went to another worker, which may have the flow of key. */
static bool to_flow(struct worker *w, unsigned port, struct rte_mbuf *m, enum aside kind, const struct flow_key *key)
{
	unsigned to;

	if (w->workers == 1)
		return false;
	if (!w->ports->rss) {
		to = worker_of(w, key);
	} else {
		if (++*asked(m) >= w->workers)
			return false;
		to = w->index + 1 == w->workers ? 0 : w->index + 1;
	}
	if (to == w->index)
		return false;
	hand_over(w, to, port, m, kind);
	return true;
}

/* --- fragments ----------------------------------------------------------------------------------------------------- */

static void cross(struct worker *w, unsigned port, struct rte_mbuf *list)
{
	for (struct rte_mbuf *next; list; list = next) {
		next = frag_next(w->frags, list);
		w->shm->counter[STATS_fragment_crossed]++;
		worker_bypass(w, port, list);
	}
}

static void joined(struct worker *w, unsigned port, struct rte_mbuf *list)
{
	struct rte_mbuf *m = frag_join(w->frags, list);
	struct parse_frame f;

	if (!m)
		return;
	if (parse_mbuf(&f, m) == PARSE_TCP) {
		w->table_changed = true; /* nobody has looked its flow up */
		worker_frame_tcp(w, port, m, &f, NULL, 0);
	} else {
		w->shm->counter[STATS_frame_malformed]++;
		rte_pktmbuf_free(m);
	}
}

/* Is the segment, whose flow nobody has, one that we have a say in? */
static bool concerns_us(const struct worker *w, unsigned port, const struct parse_frame *f)
{
	uint32_t slow_flags = w->rules && w->rules->selects ? w->slow_flags : 0;

	return worker_is_slow(slow_flags, f->tcp_flags) && worker_selects(w, port, f, !worker_is_first_syn(f->tcp_flags));
}

static void datagram(struct worker *w, unsigned port, struct rte_mbuf *list)
{
	struct rte_mbuf *first = frag_first(w->frags, list);
	struct flow_entry *e;
	struct parse_frame f;
	unsigned side;

	parse_mbuf(&f, first);
	if (f.proto != IPPROTO_TCP || f.key.sport == 0) {
		cross(w, port, list);
		return;
	}
	e = flow_table_lookup(w->flows, &f.key, &side);
	if (e && e->session) {
		if (port == (side == 0 ? e->client_port : !e->client_port))
			joined(w, port, list);
		else
			cross(w, port, list);
		return;
	}
	if (to_flow(w, port, list, ASIDE_DATAGRAM, &f.key))
		return;
	/* frag_add has seen to it that the first fragment holds this. */
	f.tcp_flags = *rte_pktmbuf_mtod_offset(first, const uint8_t *, f.l4_off + 13);
	if (!concerns_us(w, port, &f)) {
		cross(w, port, list);
	} else if (w->ports->rss && w->workers > 1 && worker_is_first_syn(f.tcp_flags)) {
		/* Its flow would have to begin on the worker that the hardware gives the whole segments to. */
		w->shm->counter[STATS_fragment_refused]++;
		frag_free(w->frags, list);
	} else {
		joined(w, port, list);
	}
}

static void fragment(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	struct rte_mbuf *list = frag_add(w->frags, m, f, port, w->now_us);

	if (!list)
		return;
	*asked(list) = 0;
	datagram(w, port, list);
}

bool worker_fragment(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	unsigned to;

	if (!w->guard || !frag_wanted(f, m))
		return false;
	to = w->workers == 1 ? 0 : frag_hash(f, m, (uint32_t)w->seed) % w->workers;
	if (to == w->index)
		fragment(w, port, m, f);
	else
		hand_over(w, to, port, m, ASIDE_FRAGMENT);
	return true;
}

/* --- ICMP ---------------------------------------------------------------------------------------------------------- */

static bool icmp(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	struct parse_icmp o;
	struct flow_entry *e;
	unsigned side;
	uint32_t moved;

	if (!parse_icmp_too_big(&o, f, m))
		return false;
	e = flow_table_lookup(w->flows, &o.key, &side);
	if (!e || !e->session)
		return to_flow(w, port, m, ASIDE_ICMP, &o.key);
	/* What came from the client (side 0) was sent on by the half towards the server, on whose side the router is. */
	if (port != (side == 0 ? !e->client_port : e->client_port))
		return false;
	moved = session_moved_by(e->session, !side);
	if (moved)
		parse_icmp_seq_set(&o, f, m, o.seq - moved);
	if (!session_icmp_too_big(w->sessions, e->session, !side, o.seq, o.mtu))
		return false;
	w->shm->counter[STATS_icmp_too_big]++;
	worker_flow_wake(w, e);
	rte_pktmbuf_free(m);
	return true;
}

bool worker_icmp(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	if (!w->guard)
		return false;
	*asked(m) = 0;
	return icmp(w, port, m, f);
}

/* --- from the other workers ---------------------------------------------------------------------------------------- */

uint32_t worker_aside_poll(struct worker *w)
{
	void *got[BURST];
	unsigned n = rte_ring_sc_dequeue_burst(w->aside, got, BURST, NULL);

	for (unsigned i = 0; i < n; i++) {
		uintptr_t tagged = (uintptr_t)got[i];
		struct rte_mbuf *m = (struct rte_mbuf *)(tagged & ~(uintptr_t)7);
		enum aside kind = (tagged >> 1) & 3;
		unsigned port = tagged & 1;
		struct parse_frame f;

		if (kind == ASIDE_DATAGRAM) {
			datagram(w, port, m);
			continue;
		}
		parse_mbuf(&f, m);
		if (kind == ASIDE_FRAGMENT)
			fragment(w, port, m, &f);
		else if (!icmp(w, port, m, &f))
			worker_bypass(w, port, m);
	}
	return n;
}

void worker_aside_free(struct worker *w)
{
	void *got;

	while (w->aside && rte_ring_sc_dequeue(w->aside, &got) == 0) {
		uintptr_t tagged = (uintptr_t)got;
		struct rte_mbuf *m = (struct rte_mbuf *)(tagged & ~(uintptr_t)7);

		if (((tagged >> 1) & 3) == ASIDE_DATAGRAM)
			frag_free(w->frags, m);
		else
			rte_pktmbuf_free(m);
	}
	rte_ring_free(w->aside);
	w->aside = NULL;
}
