/* SPDX-License-Identifier: BSD-3-Clause */
/* From a burst of frames to sessions and the other port. */
#include "worker/worker.h"

#include <netinet/in.h>
#include <rte_prefetch.h>

#include "parse/parse_icmp.h"

/* Counted on the stack, stored once for a burst. */
struct tally {
	uint64_t bypass_frames, bypass_octets;
};

static inline void bypass(struct worker *w, unsigned port, struct rte_mbuf *m, struct tally *t)
{
	t->bypass_frames++;
	t->bypass_octets += rte_pktmbuf_pkt_len(m);
	worker_send(w, !port, m);
}

static void frame_other(struct worker *w, unsigned port, struct rte_mbuf *m,
			const struct parse_frame *f, struct tally *t)
{
	if (unlikely(f->verdict == PARSE_MALFORMED))
		w->shm->counter[STATS_frame_malformed]++;
	if (unlikely(f->is_fragment) ? worker_fragment(w, port, m, f) : parse_is_icmp(f) && worker_icmp(w, port, m, f))
		return;
	bypass(w, port, m, t);
}

static inline void frame_tcp(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f,
			     struct flow_entry *e, unsigned side)
{
	/* Entries may have come or gone since the burst was looked up. */
	if (unlikely(w->table_changed))
		e = flow_table_lookup(w->flows, &f->key, &side);
	if (e && e->session) {
		/* A flow that crosses the cable a second time (routed back through it) is seen
		 * once. */
		if (unlikely(port != (side == 0 ? e->client_port : !e->client_port))) {
			worker_bypass(w, port, m);
			return;
		}
		/* Not even for an acknowledgement: RFC 9293 3.10.7.4 has them dropped, or no end sends them. */
		if (unlikely(tcp_flags_bad(f->tcp_flags))) {
			w->shm->counter[STATS_bad_flags]++;
			rte_pktmbuf_free(m);
			return;
		}
		if (likely(!worker_is_first_syn(f->tcp_flags)) || !session_reusable(w->sessions, e->session, side, m, f)) {
			worker_flow_segment(w, e, side, port, m, f);
			return;
		}
		if (!session_dead(e->session))
			w->shm->counter[STATS_flow_closed]++; /* its wait is cut short */
		worker_flow_forget(w, e);
	}
	if (worker_is_first_syn(f->tcp_flags) && w->rules && w->rules->selects)
		worker_flow_syn(w, port, m, f);
	else
		worker_stray(w, port, m, f);
}

void worker_frame_tcp(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f,
		      struct flow_entry *e, unsigned side)
{
	frame_tcp(w, port, m, f, e, side);
}

/* Frames that belong to other workers leave the burst; the number that stays is returned. */
static unsigned spread_out(struct worker *w, unsigned port, struct rte_mbuf **pkt,
			   struct parse_frame *f, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned owner = 0;

		/* Fragments: worker_aside.c. */
		if (f[i].is_ip && f[i].proto == IPPROTO_TCP && f[i].key.sport != 0 && !f[i].is_fragment)
			owner = worker_of(w, &f[i].key);
		if (owner == 0) {
			if (kept != i) {
				pkt[kept] = pkt[i];
				f[kept] = f[i];
			}
			kept++;
		} else if (rte_ring_sp_enqueue(w->peer[owner].rx_ring[port], pkt[i]) != 0) {
			rte_pktmbuf_free(pkt[i]);
			w->shm->counter[STATS_tx_dropped]++;
		}
	}
	return kept;
}

void worker_frames(struct worker *w, unsigned port, struct rte_mbuf **pkt, unsigned n, bool spread)
{
	struct parse_frame f[PORT_BURST];
	const struct flow_key *key[PORT_BURST];
	struct flow_entry *e[PORT_BURST];
	uint8_t side[PORT_BURST], at[PORT_BURST];
	struct tally t = {0, 0};
	uint32_t slow_flags, mtu = w->ports->port[!port].mtu;
	unsigned nkeys = 0;

	for (unsigned i = 0; i < n && i < 4; i++)
		rte_prefetch0(rte_pktmbuf_mtod(pkt[i], void *));
	for (unsigned i = 0; i < n; i++) {
		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkt[i + 4], void *));
		parse_mbuf(&f[i], pkt[i]);
	}
	if (spread)
		n = spread_out(w, port, pkt, f, n);
	for (unsigned i = 0; i < n; i++) {
		/* Without a checksum, or of several segments merged: made one that can leave by the other port. */
		if (unlikely(parse_offload_wanted(pkt[i], mtu)) && parse_offload(&f[i], pkt[i], mtu))
			w->shm->counter[STATS_rx_large_frames]++;
		if (f[i].verdict == PARSE_TCP) {
			at[i] = nkeys;
			key[nkeys++] = &f[i].key;
		}
	}
	w->table_changed = false;
	slow_flags = w->rules && w->rules->selects ? w->slow_flags : 0;
	if (nkeys)
		flow_table_lookup_bulk(w->flows, key, nkeys, e, side);
	for (unsigned i = 0; i < n; i++) {
		if (f[i].verdict != PARSE_TCP)
			frame_other(w, port, pkt[i], &f[i], &t);
		else if (!e[at[i]] && !w->table_changed && !worker_is_slow(slow_flags, f[i].tcp_flags))
			bypass(w, port, pkt[i], &t);
		else
			frame_tcp(w, port, pkt[i], &f[i], e[at[i]], side[at[i]]);
	}
	w->shm->counter[STATS_bypass_frames] += t.bypass_frames;
	w->shm->counter[STATS_bypass_octets] += t.bypass_octets;
}
