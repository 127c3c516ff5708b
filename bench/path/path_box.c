/* SPDX-License-Identifier: BSD-3-Clause */
/* The appliance without its process: ports of rings, rules from text, the stages and one or two workers. */
#include "path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#define TABLE_ROOM 16384	     /* entries for the traffic beside those the table is filled with */
#define IDLE_US 3600000000ull /* timers of those */
#define SEED 5
#define STEP_TICKS_MAX 400000 /* a round that took longer was interrupted: no reason to let time jump */
#define CALLOUT_RING 4096

static int fail(struct path_box *b, int rc, const char *what)
{
	snprintf(b->err, sizeof(b->err), "%s: %s", what, strerror(-rc));
	return rc;
}

static int rings_make(struct path_box *b, unsigned port)
{
	char name[RTE_RING_NAMESIZE];

	for (unsigned q = 0; q < PATH_WORKERS; q++) {
		snprintf(name, sizeof(name), "path_in_%u_%u", port, q);
		b->in[port][q] = rte_ring_create(name, PATH_RING, SOCKET_ID_ANY,
						 RING_F_SP_ENQ | RING_F_SC_DEQ);
		snprintf(name, sizeof(name), "path_out_%u_%u", port, q);
		b->out[port][q] = rte_ring_create(name, PATH_RING, SOCKET_ID_ANY,
						  RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (!b->in[port][q] || !b->out[port][q])
			return -ENOMEM;
	}
	return 0;
}

static int port_make(struct path_box *b, unsigned i)
{
	const struct rte_eth_conf conf = {.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS};
	static const char *const names[2] = {"inside", "outside"};
	struct port *p = &b->ports.port[i];
	int id, rc;

	rc = rings_make(b, i);
	if (rc)
		return fail(b, rc, "rings of the ports");
	id = rte_eth_from_rings(names[i], b->in[i], PATH_WORKERS, b->out[i], PATH_WORKERS, rte_socket_id());
	if (id < 0)
		return fail(b, -rte_errno, "a ring port");
	p->id = (uint16_t)id;
	snprintf(p->name, sizeof(p->name), "%s", names[i]);
	snprintf(p->driver, sizeof(p->driver), "net_ring");
	p->mtu = 1500;
	p->rx_queues = p->tx_queues = PATH_WORKERS;
	rc = rte_eth_dev_configure(p->id, PATH_WORKERS, PATH_WORKERS, &conf);
	for (uint16_t q = 0; q < PATH_WORKERS && rc == 0; q++) {
		rc = rte_eth_rx_queue_setup(p->id, q, 0, SOCKET_ID_ANY, NULL, b->ports.bufs);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(p->id, q, 0, SOCKET_ID_ANY, NULL);
	}
	if (rc == 0)
		rc = rte_eth_dev_start(p->id);
	if (rc)
		return fail(b, rc, "a ring port does not start");
	p->started = true;
	return 0;
}

int path_box_open(struct path_box *b, uint32_t bufs)
{
	int rc;

	memset(b, 0, sizeof(*b));
	b->ports.bufs_total = bufs;
	b->ports.data_room = RTE_MBUF_DEFAULT_DATAROOM;
	b->ports.bufs = rte_pktmbuf_pool_create("path_bufs", bufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
						SOCKET_ID_ANY);
	if (!b->ports.bufs)
		return fail(b, -rte_errno, "memory for packet buffers (fewer: --bufs, ordinary memory: --no-huge)");
	b->shm = aligned_alloc(64, (sizeof(*b->shm) + 63) & ~(size_t)63);
	if (!b->shm)
		return fail(b, -ENOMEM, "counters");
	worker_clock_init(&b->clock);
	rc = port_make(b, 0);
	return rc ? rc : port_make(b, 1);
}

void path_box_close(struct path_box *b)
{
	for (unsigned i = 0; i < 2; i++) {
		if (b->ports.port[i].started) {
			rte_eth_dev_stop(b->ports.port[i].id);
			rte_eth_dev_close(b->ports.port[i].id);
		}
		for (unsigned q = 0; q < PATH_WORKERS; q++) {
			rte_ring_free(b->in[i][q]);
			rte_ring_free(b->out[i][q]);
		}
	}
	rte_mempool_free(b->ports.bufs);
	free(b->shm);
}

/* --- one measurement -------------------------------------------------------------------------------------------- */

static int rules_load(struct path_box *b, const struct path_box_config *cfg)
{
	static const char head[] = "name: bench\n"
				   "ports:\n"
				   "  inside: {device: \"net_ring0\"}\n"
				   "  outside: {device: \"net_ring1\"}\n";
	static const char service[] = "  - {name: s, address: \"unix:/nonexistent/opes-bench-path\"}\n";
	struct policy_errors *e = calloc(1, sizeof(*e));
	struct policy_image *img = NULL;
	char *text = NULL;
	int len, rc = -ENOMEM;

	if (!e)
		return fail(b, rc, "rules");
	len = asprintf(&text, "%s%s%s\nservices:\n%s%s%s", head, cfg->limits ? "limits:\n" : "",
		       cfg->limits ? cfg->limits : "", cfg->services ? cfg->services : service,
		       cfg->rules[0] ? "rules:\n" : "", cfg->rules);
	if (len > 0)
		rc = policy_config_parse("bench", text, (size_t)len, &b->cfg, e);
	if (rc == 0)
		rc = policy_compile(b->cfg, 1, &img, e);
	if (rc == 0)
		rc = ctl_rules_init(&b->rules, b->shm, cfg->workers, SOCKET_ID_ANY, img);
	if (rc && e->count)
		snprintf(b->err, sizeof(b->err), "rules, line %u: %.400s", e->e[0].line, e->e[0].text);
	else if (rc)
		fail(b, rc, "rules");
	if (b->cfg)
		b->cfg->limits.mbufs = b->ports.bufs_total;
	free(img);
	free(text);
	free(e);
	return rc;
}

static int callout_make(struct path_box *b, unsigned workers)
{
	struct callout_config cc = {.nworkers = workers,
				    .ring_size = CALLOUT_RING,
				    .txns_max = b->cfg->limits.transactions,
				    .client = "bench",
				    .socket_id = SOCKET_ID_ANY,
				    .bufs = b->ports.bufs,
				    .shm = b->shm};
	int rc = callout_lcore_create(&b->callout.lcore, &cc);

	if (rc)
		return fail(b, rc, "callout stage");
	b->callout.slot = &b->rules.callout;
	b->callout.clock = &b->clock;
	b->callout.quit = &b->quit;
	b->callout.epoll_fd = callout_lcore_fd(b->callout.lcore);
	return 0;
}

/* A table of n selected flows of which none is in the traffic. It takes the place of the worker's own, so that a
 * million entries do not ask for the memory of a million sessions. Their timers are armed, none of them goes off. */
static int table_fill(struct path_box *b, struct worker *w, uint32_t n)
{
	struct flow_table *t = rte_malloc("path_flows", flow_table_size(n + TABLE_ROOM), RTE_CACHE_LINE_SIZE);

	if (!t)
		return fail(b, -ENOMEM, "hugepage memory for the flow table");
	rte_free(w->flows);
	w->flows = flow_table_init(t, n + TABLE_ROOM, w->index, w->seed);
	w->wheel = flow_table_wheel(w->flows);
	flow_wheel_init(w->wheel, b->now_us);
	for (uint32_t i = 0; i < n; i++) {
		struct path_ends e = {0xac100000 + i / 16, 0xcb007101, (uint16_t)(1024 + i % 16 * 251), 80};
		struct flow_entry *fe;
		struct flow_key k;

		path_key(&k, &e, 0);
		if (flow_table_insert(w->flows, &k, &fe) != 0)
			return fail(b, -ENOSPC, "filling the flow table");
		flow_wheel_arm(w->wheel, &fe->timer, b->now_us + IDLE_US + (uint64_t)i * 1000);
	}
	return 0;
}

static int workers_make(struct path_box *b, const struct path_box_config *cfg)
{
	struct worker_config wc = {.workers = cfg->workers,
				   .seed = SEED,
				   .socket_id = SOCKET_ID_ANY,
				   .ports = &b->ports,
				   .shm = b->shm,
				   .limits = &b->cfg->limits,
				   .peers = b->worker,
				   .clock = &b->clock,
				   .quit = &b->quit};
	char err[256];

	for (unsigned i = 0; i < cfg->workers; i++) {
		wc.index = i;
		wc.slot = &b->rules.worker[i];
		wc.callout_port = callout_lcore_port(b->callout.lcore, i);
		if (worker_create(&b->worker[i], &wc, err, sizeof(err)) != 0) {
			snprintf(b->err, sizeof(b->err), "%s", err);
			return -ENOMEM;
		}
		b->workers++;
		if (cfg->table) {
			int rc = table_fill(b, &b->worker[i], cfg->table);

			if (rc)
				return rc;
		}
	}
	return 0;
}

int path_box_start(struct path_box *b, const struct path_box_config *cfg)
{
	int rc;

	memset(b->shm, 0, sizeof(*b->shm));
	memset(b->busy, 0, sizeof(b->busy));
	memset(&b->rules, 0, sizeof(b->rules));
	memset(&b->callout, 0, sizeof(b->callout));
	b->busy_callout = 0;
	b->workers = 0;
	b->err[0] = '\0';
	b->ports.rss = b->rss = cfg->rss;
	b->ports.own_tx = cfg->workers == 1 || cfg->rss || cfg->own_tx;
	b->offload = cfg->offload;
	for (unsigned i = 0; i < 2; i++)
		b->ports.port[i].caps = (struct port_caps){.tx_cksum = cfg->offload,
							   .tx_ip_cksum = cfg->offload,
							   .tso = cfg->tso,
							   .tx_segs = PORT_TSO_SEGMENTS,
							   .rx_cksum = cfg->offload,
							   .multi_seg = true,
							   .indirect = true};
	b->now_us = worker_clock_us(&b->clock, rte_rdtsc());
	b->now_part = 0;
	rc = rules_load(b, cfg);
	if (rc == 0)
		rc = callout_make(b, cfg->workers);
	if (rc == 0)
		rc = workers_make(b, cfg);
	if (rc)
		path_box_stop(b);
	return rc;
}

static void rings_drain(struct path_box *b)
{
	void *m;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned q = 0; q < PATH_WORKERS; q++) {
			while (rte_ring_dequeue(b->in[i][q], &m) == 0)
				rte_pktmbuf_free(m);
			while (rte_ring_dequeue(b->out[i][q], &m) == 0)
				rte_pktmbuf_free(m);
		}
	}
}

int path_box_stop(struct path_box *b)
{
	const struct rte_memzone *mz;
	unsigned lost;

	for (unsigned i = 0; i < b->workers; i++)
		worker_flows_end(&b->worker[i]);
	if (b->callout.lcore)
		callout_lcore_destroy(b->callout.lcore);
	b->callout.lcore = NULL;
	for (unsigned i = 0; i < b->workers; i++)
		worker_destroy(&b->worker[i]);
	b->workers = 0;
	if (b->rules.current) {
		ctl_rules_fini(&b->rules);
		mz = rte_memzone_lookup(CTL_RULES_MEMZONE "1");
		if (mz)
			rte_memzone_free(mz);
	}
	b->rules.current = NULL;
	policy_config_free(b->cfg);
	b->cfg = NULL;
	rings_drain(b);
	lost = rte_mempool_in_use_count(b->ports.bufs);
	if (lost == 0)
		return 0;
	snprintf(b->err, sizeof(b->err), "%u packet buffers lost", lost);
	return -EIO;
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

static void time_pass(struct path_box *b, uint64_t ticks)
{
	uint64_t hz = rte_get_tsc_hz();
	uint64_t us;

	b->now_part += RTE_MIN(ticks, (uint64_t)STEP_TICKS_MAX);
	us = b->now_part * 1000000 / hz;
	b->now_us += us;
	b->now_part -= us * hz / 1000000;
}

uint32_t path_box_round(struct path_box *b)
{
	uint64_t most = 0, start, took;
	uint32_t work = 0, did;

	for (unsigned i = 0; i < b->workers; i++) {
		start = rte_rdtsc();
		did = worker_round(&b->worker[i], b->now_us);
		took = rte_rdtsc() - start;
		if (did)
			b->busy[i] += took;
		work += did;
		most = RTE_MAX(most, took);
	}
	start = rte_rdtsc();
	did = worker_callout_round(&b->callout, b->now_us);
	took = rte_rdtsc() - start;
	if (did)
		b->busy_callout += took;
	work += did;
	time_pass(b, most + took);
	return work;
}

uint64_t path_box_count(const struct path_box *b, enum stats_counter c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < b->workers; i++)
		sum += b->shm->worker[i].counter[c];
	return sum;
}

unsigned path_box_queue(const struct path_box *b, const struct flow_key *key)
{
	/* Bits that the index of the flow table does not use, as a port's own hash has nothing to do with it. */
	return b->rss ? (unsigned)((uint64_t)(flow_key_hash(key, SEED) << 1) * b->workers >> 32) : 0;
}

bool path_box_offer(struct path_box *b, unsigned port, unsigned queue, struct rte_mbuf *m)
{
	if (rte_ring_sp_enqueue(b->in[port][queue], m) == 0)
		return true;
	rte_pktmbuf_free(m);
	return false;
}

unsigned path_box_take(struct path_box *b, unsigned port, struct rte_mbuf **m, unsigned n)
{
	unsigned got = 0;

	for (unsigned q = 0; q < PATH_WORKERS && got < n; q++)
		got += rte_ring_sc_dequeue_burst(b->out[port][q], (void **)m + got, n - got, NULL);
	return got;
}
