/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker owns, made and freed by the main thread. */
#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <rte_cycles.h>
#include <rte_malloc.h>

void worker_clock_init(struct worker_clock *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	c->tsc0 = rte_rdtsc();
	c->us0 = (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	c->mult = (uint64_t)(((unsigned __int128)1000000 << 32) / rte_get_tsc_hz());
}

uint64_t worker_clock_us(const struct worker_clock *c, uint64_t tsc)
{
	/* A core whose counter is a little behind the one that was read first must not jump ahead
	 * by 2^64. */
	if (tsc < c->tsc0)
		return c->us0;
	return c->us0 + (uint64_t)(((unsigned __int128)(tsc - c->tsc0) * c->mult) >> 32);
}

static int rings_create(struct worker *w, char *err, size_t err_len)
{
	char name[RTE_RING_NAMESIZE];

	if (w->workers > 1) {
		snprintf(name, sizeof(name), "opes_aside_%u", w->index);
		w->aside = rte_ring_create(name, WORKER_RING_SIZE, SOCKET_ID_ANY, RING_F_SC_DEQ);
		if (!w->aside)
			goto fail;
	}
	for (unsigned p = 0; p < 2; p++) {
		if (!w->receives) {
			snprintf(name, sizeof(name), "opes_rx_%u_%u", w->index, p);
			w->rx_ring[p] = rte_ring_create(name, WORKER_RING_SIZE, SOCKET_ID_ANY,
							RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!w->rx_ring[p])
				goto fail;
		}
		if (w->index != 0 && !w->ports->own_tx) {
			snprintf(name, sizeof(name), "opes_tx_%u_%u", w->index, p);
			w->tx_ring[p] = rte_ring_create(name, WORKER_RING_SIZE, SOCKET_ID_ANY,
							RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!w->tx_ring[p])
				goto fail;
		}
	}
	return 0;
fail:
	snprintf(err, err_len, "no hugepage memory for the rings between workers");
	return -ENOMEM;
}

static int flows_create(struct worker *w, const struct worker_config *cfg, char *err,
			size_t err_len)
{
	size_t size = flow_table_size(cfg->limits->flows);
	void *mem = rte_malloc_socket("opes_flows", size, RTE_CACHE_LINE_SIZE, cfg->socket_id);

	if (!mem) {
		snprintf(err, err_len,
			 "no hugepage memory for %u flows (%zu MiB per worker): lower limits.flows "
			 "or give more hugepages",
			 cfg->limits->flows, (size >> 20) + 1);
		return -ENOMEM;
	}
	w->flows = flow_table_init(mem, cfg->limits->flows, cfg->index, cfg->seed);
	w->wheel = flow_table_wheel(w->flows);
	flow_wheel_init(w->wheel, worker_clock_us(cfg->clock, rte_rdtsc()));
	return 0;
}

static int sessions_create(struct worker *w, const struct worker_config *cfg, char *err,
			   size_t err_len)
{
	struct session_config sc = {
		.worker = cfg->index,
		.socket_id = cfg->socket_id,
		.flows_max = cfg->limits->flows,
		.active_max = cfg->limits->active_flows,
		.forget_joined = !cfg->tcp || cfg->tcp->mid_stream == POLICY_MID_PASS,
		/* A received segment is referenced at most by the receive queue, the originals kept
		 * for a service and the send queue at once, and a chunk may be cut. */
		.chunks = cfg->limits->mbufs * 4,
		.bufs = cfg->ports->bufs,
		.port = cfg->callout_port,
		.shm = w->shm,
		.events = &cfg->shm->events[cfg->index],
		.limits = cfg->limits,
		.tcp = cfg->tcp,
		.tx = worker_session_tx,
		.wake = worker_session_wake,
		.moved = worker_session_moved,
		.cb = w,
	};
	int rc;

	for (unsigned p = 0; p < 2; p++) {
		const struct port *port = &cfg->ports->port[p];

		sc.caps[p].tx_cksum = port->caps.tx_cksum;
		sc.caps[p].tx_ip_cksum = port->caps.tx_ip_cksum;
		sc.caps[p].tso[0] = port->caps.tso ? PORT_TSO_PAYLOAD : 0;
		sc.caps[p].tso[1] = port->caps.tso6 ? PORT_TSO_PAYLOAD : 0;
		sc.caps[p].tso_segs = port->caps.tx_segs;
		sc.caps[p].tso_cut = PORT_TSO_SEGMENTS;
		sc.caps[p].multi_seg = port->caps.multi_seg && port->caps.indirect;
		sc.caps[p].mtu = port_segment_max(port);
	}
	rc = session_ctx_create(&w->sessions, &sc);
	if (rc)
		snprintf(err, err_len,
			 "no memory for %u flows, %u of them active, and %u chunk descriptors: lower "
			 "limits.flows or limits.active-flows, or give more hugepages",
			 sc.flows_max, sc.active_max, sc.chunks);
	return rc;
}

static int policies_set(struct worker *w, const struct worker_config *cfg, char *err, size_t err_len)
{
	const struct policy_tcp none = {0}, *tcp = cfg->tcp ? cfg->tcp : &none;

	w->mid_stream = (uint8_t)tcp->mid_stream;
	w->slow_flags = UINT32_MAX;
	for (unsigned f = 0; f < 32 && w->mid_stream == POLICY_MID_PASS; f++)
		if ((f & (TCP_F_SYN | TCP_F_ACK)) != TCP_F_SYN && !tcp_flags_bad((uint8_t)f))
			w->slow_flags &= ~(1u << f);
	if (worker_half_open_create(&w->half_open, policy_half_open(cfg->limits), cfg->limits->handshake_timeout_us,
				    tcp->half_open_exceeded == POLICY_HALF_OPEN_DROP) == 0)
		return 0;
	snprintf(err, err_len, "no memory for limits.half-open");
	return -ENOMEM;
}

static int frags_create(struct worker *w, const struct worker_config *cfg, char *err, size_t err_len)
{
	const struct policy_limits *l = cfg->limits;
	/* No flood of fragments takes the buffers that everything else needs. */
	uint64_t share = (uint64_t)l->mbufs * rte_pktmbuf_data_room_size(cfg->ports->bufs) / 4 / cfg->workers;
	struct frag_config fc = {
		.datagrams = l->fragments ? l->fragments : 1024,
		.octets = l->fragment_octets && l->fragment_octets < share ? l->fragment_octets : share,
		.timeout_us = l->fragment_timeout_us ? l->fragment_timeout_us : 10000000,
		.seed = (uint32_t)(cfg->seed >> 32),
		.socket_id = cfg->socket_id,
		.counter = w->shm->counter,
	};
	int rc = frag_create(&w->frags, &fc);

	if (rc)
		snprintf(err, err_len, "no hugepage memory for %u fragmented datagrams: lower limits.fragments", fc.datagrams);
	return rc;
}

int worker_create(struct worker *w, const struct worker_config *cfg, char *err, size_t err_len)
{
	int rc;

	memset(w, 0, sizeof(*w));
	w->index = cfg->index;
	w->workers = cfg->workers;
	w->seed = cfg->seed;
	w->backoff = cfg->backoff;
	w->ports = cfg->ports;
	w->slot = cfg->slot;
	w->shm = &cfg->shm->worker[cfg->index];
	w->events = &cfg->shm->events[cfg->index];
	w->query = &cfg->shm->query[cfg->index];
	w->callout = cfg->callout;
	w->peer = cfg->peers;
	w->clock = cfg->clock;
	w->quit = cfg->quit;
	w->receives = cfg->ports->rss || cfg->index == 0;
	w->spreads = !cfg->ports->rss && cfg->index == 0 && cfg->workers > 1;
	w->queue = cfg->ports->rss ? cfg->index : 0;
	for (unsigned p = 0; p < 2; p++)
		port_tx_init(&w->tx[p], cfg->ports, p, cfg->ports->own_tx ? cfg->index : 0);
	rc = policies_set(w, cfg, err, err_len);
	if (rc == 0)
		rc = rings_create(w, err, err_len);
	if (rc == 0)
		rc = frags_create(w, cfg, err, err_len);
	if (rc == 0)
		rc = flows_create(w, cfg, err, err_len);
	if (rc == 0)
		rc = sessions_create(w, cfg, err, err_len);
	if (rc)
		worker_destroy(w);
	return rc;
}

static void ring_free(struct rte_ring *r)
{
	void *m;

	while (r && rte_ring_sc_dequeue(r, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(r);
}

void worker_flows_end(struct worker *w)
{
	struct flow_entry *e;
	uint64_t cursor = 0;

	while (w->flows && (e = flow_table_next(w->flows, &cursor))) {
		e->run_queued = false;
		worker_flow_forget(w, e);
	}
	w->run_head = w->run_tail = NULL;
}

void worker_destroy(struct worker *w)
{
	session_ctx_destroy(w->sessions);
	for (unsigned p = 0; p < 2; p++) {
		rte_pktmbuf_free_bulk(w->tx[p].pkt, w->tx[p].count);
		w->tx[p].count = 0;
		ring_free(w->rx_ring[p]);
		ring_free(w->tx_ring[p]);
	}
	worker_aside_free(w);
	frag_destroy(w->frags);
	worker_half_open_destroy(&w->half_open);
	rte_free(w->flows);
	memset(w, 0, sizeof(*w));
}
