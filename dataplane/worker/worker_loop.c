/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop of a worker, and its rest when there is nothing to do. */
#include "worker/worker.h"

#include <sys/prctl.h>
#include <time.h>
#include <rte_cycles.h>
#include <rte_pause.h>

static void rules_adopt(struct worker *w)
{
	struct ctl_rules *r = atomic_load_explicit(&w->slot->offered, memory_order_acquire);

	if (likely(r == w->rules))
		return;
	w->rules = r;
	w->matcher = r->matcher[w->index];
	w->guard |= r->selects;
	w->draining = r->generation;
	w->gauge_us = 0; /* say drained soon */
	session_ctx_tick(w->sessions, w->now_us, w->matcher);
	atomic_store_explicit(&w->shm->generation, r->generation, memory_order_release); /* B1 */
	atomic_store_explicit(&w->slot->switched, r->generation, memory_order_release);
}

static void rules_drain(struct worker *w)
{
	if (!w->draining || session_older_than(w->sessions, w->draining))
		return;
	atomic_store_explicit(&w->slot->drained, w->draining, memory_order_release);
	w->draining = 0;
}

static bool query_row(void *ctx, const struct flow_entry *e, struct shm_flow_row *row)
{
	const struct worker *w = ctx;

	if (!e->session)
		return false;
	session_row(w->sessions, e->session, row);
	return true;
}

static bool query_detail(void *ctx, const struct flow_entry *e, struct shm_flow_detail *d)
{
	const struct worker *w = ctx;

	if (!e->session)
		return false;
	session_detail(w->sessions, e->session, d);
	return true;
}

static const struct ctl_query_ops query_ops = {query_row, query_detail};

static void gauges_write(struct worker *w)
{
	struct shm_gauges *g = &w->shm->gauge;

	session_gauges(w->sessions, g);
	g->flows = flow_table_count(w->flows);
	g->flows_max = flow_table_capacity(w->flows);
}

/* Frames the ports counted since the last loop; plain stores, this worker is the only writer. */
static void tx_counters(struct worker *w)
{
	uint64_t *c = w->shm->counter;

	for (unsigned p = 0; p < 2; p++) {
		struct port_tx *tx = &w->tx[p];

		c[STATS_tx_frames] += tx->frames;
		c[STATS_tx_octets] += tx->octets;
		c[STATS_tx_dropped] += tx->dropped;
		c[STATS_no_mbuf] += tx->no_mbuf;
		c[STATS_tx_tso_frames] += tx->tso;
		c[STATS_gso_cut_frames] += tx->cut;
		tx->frames = tx->octets = tx->dropped = tx->no_mbuf = tx->tso = tx->cut = 0;
	}
}

static void rx_count(struct worker *w, struct rte_mbuf **pkt, unsigned n)
{
	uint64_t octets = 0;

	for (unsigned i = 0; i < n; i++)
		octets += rte_pktmbuf_pkt_len(pkt[i]);
	w->shm->counter[STATS_rx_frames] += n;
	w->shm->counter[STATS_rx_octets] += octets;
}

static uint32_t receive(struct worker *w)
{
	struct rte_mbuf *pkt[PORT_BURST];
	uint32_t work = 0;

	for (unsigned p = 0; p < 2; p++) {
		unsigned n;

		if (w->receives) {
			n = port_rx(&w->ports->port[p], w->queue, pkt, PORT_BURST);
			if (n)
				rx_count(w, pkt, n);
		} else {
			n = rte_ring_sc_dequeue_burst(w->rx_ring[p], (void **)pkt, PORT_BURST,
						      NULL);
		}
		if (n)
			worker_frames(w, p, pkt, n, w->spreads);
		work += n;
	}
	return work;
}

/* Worker 0: frames the others want sent. */
static uint32_t relay(struct worker *w)
{
	struct rte_mbuf *pkt[PORT_BURST];
	uint32_t work = 0;

	for (unsigned i = 1; i < w->workers; i++) {
		for (unsigned p = 0; p < 2; p++) {
			unsigned n = rte_ring_sc_dequeue_burst(w->peer[i].tx_ring[p], (void **)pkt,
							       PORT_BURST, NULL);

			for (unsigned k = 0; k < n; k++)
				port_tx_put(&w->tx[p], pkt[k]);
			work += n;
		}
	}
	return work;
}

uint32_t worker_round(struct worker *w, uint64_t now_us)
{
	uint32_t work;

	w->now_us = now_us;

	rules_adopt(w);
	session_ctx_tick(w->sessions, w->now_us, w->matcher);
	work = receive(w);
	if (w->aside)
		work += worker_aside_poll(w);
	work += frag_age(w->frags, w->now_us);
	work += flow_wheel_advance(w->wheel, w->now_us, WORKER_TIMERS, worker_flow_timer, w) +
		flow_wheel_behind(w->wheel);
	work += session_poll(w->sessions);
	work += worker_flow_run(w);
	work += worker_half_open_age(w);
	if (w->callout)
		work += worker_callout_round(w->callout, w->now_us);
	if (w->index == 0 && w->workers > 1 && !w->ports->own_tx)
		work += relay(w);
	for (unsigned p = 0; p < 2; p++)
		port_tx_flush(&w->tx[p]);
	if (work)
		tx_counters(w);
	if (w->now_us >= w->gauge_us) {
		w->gauge_us = w->now_us + WORKER_GAUGE_US;
		rules_drain(w);
		gauges_write(w);
	}
	if (unlikely(ctl_query_asked(w->query)))
		ctl_query_poll(w->query, w->flows, &query_ops, w);
	return work;
}

/* With the callout stage on this core its callout server is often on it, too: what we wait for may wait for us. */
static inline uint32_t spin_loops(const struct worker *w)
{
	return w->callout && !session_ctx_idle(w->sessions) ? WORKER_SPIN_SHARED : WORKER_SPIN_LOOPS;
}

/* An idle worker sleeps in growing steps; with the callout stage on this core, a socket ends the
 * sleep. */
static void rest(const struct worker *w, uint32_t idle)
{
	uint32_t step = idle - spin_loops(w);
	uint64_t ns = step < 8 ? (uint64_t)WORKER_SLEEP_MIN_NS << step : WORKER_SLEEP_MAX_NS;
	uint64_t max = WORKER_SLEEP_MAX_NS;
	struct timespec ts;

	/* A socket ends the sleep when the service answers. Timers that go off before that would only take the processor
	 * from a callout server that shares it. */
	if (!session_ctx_idle(w->sessions))
		ns = max = WORKER_SLEEP_BUSY_NS;
	else if (idle > WORKER_QUIET_LOOPS)
		ns = max = WORKER_SLEEP_QUIET_NS;
	ts.tv_sec = 0;
	ts.tv_nsec = (long)(ns < max ? ns : max);
	if (w->callout)
		worker_callout_rest(w->callout, &ts);
	else
		nanosleep(&ts, NULL);
}

int worker_main(void *arg)
{
	struct worker *w = arg;
	uint64_t tsc = rte_rdtsc(), end;
	uint32_t idle = 0;

	/* The kernel would else round sleeps up by 50 us. */
	prctl(PR_SET_TIMERSLACK, 1);
	while (!atomic_load_explicit(w->quit, memory_order_relaxed)) {
		uint32_t work;

		work = worker_round(w, worker_clock_us(w->clock, tsc));
		if (work) {
			idle = 0;
			w->shm->counter[STATS_loop_busy]++;
		} else {
			idle++;
			w->shm->counter[STATS_loop_idle]++;
		}
		end = rte_rdtsc();
		if (work)
			w->shm->loop_tsc_busy += end - tsc;
		else if (w->backoff && idle > spin_loops(w))
			rest(w, idle);
		else
			rte_pause();
		if (!work)
			end = rte_rdtsc();
		w->shm->loop_tsc_total += end - tsc;
		tsc = end;
	}
	return 0;
}
