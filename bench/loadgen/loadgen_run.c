/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_run.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <rte_prefetch.h>
#include "loadgen_app.h"
#include "loadgen_neighbour.h"
#include "loadgen_pattern.h"
#include "loadgen_tcp.h"

#define IDLE_ROUNDS 64 /* rounds without work before a pause */
#define IDLE_SLEEP_US 50
#define RX_BURSTS 4 /* at most, of one side before it is the other's turn */
#define RATE_BURST_S 0.01
#define ASK_MS 100
#define ASK_TIMES 50

static volatile sig_atomic_t stopped;

void lg_run_stop(void)
{
	stopped = 1;
}

int lg_run_init(struct lg_run *r, const struct lg_config *cfg, char *err, size_t err_len)
{
	int rc;

	memset(r, 0, sizeof(*r));
	stopped = 0;
	r->cfg = cfg;
	r->hz = rte_get_tsc_hz();
	lg_pattern_init(cfg->seed);
	lg_hist_clear(&r->result.latency);
	lg_hist_clear(&r->result.connect);
	rc = lg_net_open(r->net, cfg, err, err_len);
	for (int i = 0; i < 2 && rc == 0; i++) {
		struct lg_side *s = &r->side[i];

		rc = lg_side_init(s, cfg, &r->net[i], i == 1, err, err_len);
		if (rc)
			break;
		s->latency = &r->result.latency;
		s->connect = &r->result.connect;
		s->next_id = 1;
		s->wire.own = r->net[i].mac;
		s->wire.rx_cksum_hw = r->net[i].rx_cksum_hw;
		s->wire.rx_cksum_sw = cfg->rx_checksum;
		s->wire.tx_cksum_hw = r->net[i].tx_cksum_hw;
	}
	if (rc)
		lg_run_free(r);
	return rc;
}

void lg_run_free(struct lg_run *r)
{
	lg_side_free(&r->side[0]);
	lg_side_free(&r->side[1]);
	lg_net_close(r->net);
}

/* One burst: first all headers, then what they lead to, so that memory is fetched ahead. */
static void input(struct lg_run *r, int i, struct rte_mbuf **pkt, unsigned n)
{
	struct lg_side *s = &r->side[i];
	struct lg_segment seg[LG_BURST];
	enum lg_parse verdict[LG_BURST];

	for (unsigned k = 0; k < n; k++)
		rte_prefetch0(rte_pktmbuf_mtod(pkt[k], void *));
	for (unsigned k = 0; k < n; k++) {
		verdict[k] = lg_wire_parse(&s->wire, pkt[k], &seg[k]);
		if (verdict[k] == LG_P_TCP)
			rte_prefetch0(&s->map[seg[k].tuple]);
	}
	for (unsigned k = 0; k < n; k++) {
		uint32_t c = verdict[k] == LG_P_TCP ? s->map[seg[k].tuple] : LG_NONE;

		if (c == LG_NONE)
			continue;
		rte_prefetch0(&s->conn[c]);
		rte_prefetch0((char *)&s->conn[c] + 64);
	}
	for (unsigned k = 0; k < n; k++) {
		if (verdict[k] == LG_P_TCP) {
			lg_tcp_input(s, &seg[k]);
		} else if (verdict[k] == LG_P_OTHER) {
			s->stats.other++;
			lg_neighbour_input(s, pkt[k], &r->known[i]);
		} else {
			s->stats.bad_checksum += verdict[k] == LG_P_CHECKSUM;
			s->stats.malformed += verdict[k] == LG_P_MALFORMED;
		}
	}
	rte_pktmbuf_free_bulk(pkt, n);
}

static bool side_round(struct lg_run *r, int i)
{
	struct rte_mbuf *pkt[LG_BURST];
	bool any = false;
	unsigned n;

	for (unsigned k = 0; k < RX_BURSTS; k++) {
		n = lg_net_receive(&r->net[i], pkt);
		if (n == 0)
			break;
		any = true;
		input(r, i, pkt, n);
		if (n < LG_BURST)
			break;
	}
	any |= lg_tcp_flush(&r->side[i]);
	any |= lg_net_flush(&r->net[i]);
	return any;
}

static void pause_if_idle(struct lg_run *r, bool any)
{
	if (any) {
		r->idle_rounds = 0;
		return;
	}
	if (++r->idle_rounds < IDLE_ROUNDS || r->cfg->idle == LG_IDLE_POLL)
		return;
	if (r->cfg->idle == LG_IDLE_YIELD) {
		sched_yield();
	} else {
		struct timespec t = {0, IDLE_SLEEP_US * 1000};

		nanosleep(&t, NULL);
	}
}

/* A frame that reordering holds back must not wait for the next one for ever. */
static void release_late(struct lg_net *n)
{
	struct rte_mbuf *m = n->late;

	if (!m || n->count)
		return;
	n->late = NULL;
	n->queue[(n->head + n->count++) % LG_TXQ] = m;
}

/* One turn of the loop; the work that begins something is the caller's, before. */
static uint64_t round_all(struct lg_run *r, uint64_t begin, bool any)
{
	uint64_t us = (begin - r->start) / (r->hz / 1000000), now;
	uint32_t tick = (uint32_t)(us / LG_TICK_US) + 1;

	for (int i = 0; i < 2; i++) {
		struct lg_side *s = &r->side[i];

		s->now_us = us;
		if (s->wheel.now != tick) {
			any |= lg_side_tick(s, tick);
			release_late(&r->net[i]);
		}
		any |= side_round(r, i);
	}
	if (r->side[0].established > r->result.peak)
		r->result.peak = r->side[0].established;
	now = rte_rdtsc();
	if (any)
		r->busy += now - begin;
	pause_if_idle(r, any);
	return now;
}

static double seconds(const struct lg_run *r, uint64_t cycles)
{
	return (double)cycles / (double)r->hz;
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t failures(const struct lg_stats *a, const struct lg_stats *b)
{
	uint64_t n = 0;

	for (int i = 0; i < LG_FAILURES; i++)
		n += a->failed[i] + b->failed[i];
	return n;
}

static void progress(struct lg_run *r, uint64_t now, const char *phase)
{
	const struct lg_stats *c = &r->side[0].stats, *v = &r->side[1].stats;
	uint64_t octets = r->net[0].stats.rx_octets + r->net[1].stats.rx_octets;
	double t = seconds(r, now - r->last_line);

	if (r->cfg->quiet || t < 1)
		return;
	fprintf(stderr,
		"%6.1f s  %-7s %9.0f txn/s  %9.0f conn/s  %7.2f Gbit/s  open %8u  active %7u  retransmits %llu  failures %llu\n",
		seconds(r, now - r->start), phase,
		(double)(c->transactions - r->line_stats.transactions) / t,
		(double)(c->accepted - r->line_stats.accepted) / t,
		(double)(octets - r->line_octets) * 8 / t / 1e9, r->side[0].established,
		r->side[0].active, (unsigned long long)(c->retransmits + v->retransmits),
		(unsigned long long)failures(c, v));
	r->last_line = now;
	r->line_stats = *c;
	r->line_octets = octets;
}

static void mark(struct lg_run *r, struct lg_result *m, uint64_t now)
{
	for (int i = 0; i < 2; i++) {
		m->all[i] = r->side[i].stats;
		m->net_all[i] = r->net[i].stats;
	}
	m->busy_cycles = r->busy;
	m->cycles = now;
	m->cpu_seconds = cpu_seconds();
}

static void measure_begin(struct lg_run *r, uint64_t now)
{
	mark(r, &r->mark, now);
	lg_hist_clear(&r->result.latency);
	lg_hist_clear(&r->result.connect);
	r->side[0].measuring = true;
}

static void minus(uint64_t *to, const uint64_t *a, const uint64_t *b, size_t octets)
{
	for (size_t i = 0; i < octets / sizeof(*to); i++)
		to[i] = a[i] - b[i];
}

static void measure_end(struct lg_run *r, uint64_t now)
{
	struct lg_result *res = &r->result, end;

	memset(&end, 0, sizeof(end));
	mark(r, &end, now);
	r->side[0].measuring = false;
	res->seconds = seconds(r, end.cycles - r->mark.cycles);
	res->cpu_seconds = end.cpu_seconds - r->mark.cpu_seconds;
	res->busy_cycles = end.busy_cycles - r->mark.busy_cycles;
	res->cycles = end.cycles - r->mark.cycles;
	for (int i = 0; i < 2; i++) {
		minus((uint64_t *)&res->stats[i], (uint64_t *)&end.all[i],
		      (uint64_t *)&r->mark.all[i], sizeof(struct lg_stats));
		minus((uint64_t *)&res->net[i], (uint64_t *)&end.net_all[i],
		      (uint64_t *)&r->mark.net_all[i], sizeof(struct lg_net_stats));
	}
}

/* Begins connections as the rate admits. */
static bool start_some(struct lg_run *r, uint64_t now)
{
	struct lg_side *s = &r->side[0];
	double rate = r->cfg->rate, most;

	if (rate <= 0)
		return lg_app_start(s, NULL);
	most = rate * RATE_BURST_S > 1 ? rate * RATE_BURST_S : 1;
	r->tokens += seconds(r, now - r->tokens_at) * rate;
	r->tokens_at = now;
	if (r->tokens > most) {
		if (s->running)
			s->stats.late_starts += (uint64_t)(r->tokens - most);
		r->tokens = most;
	}
	return lg_app_start(s, &r->tokens);
}

static bool link_wait(struct lg_run *r)
{
	for (uint32_t ms = 0; ms <= r->cfg->link_wait_ms && !stopped; ms += 10) {
		if (lg_net_up(r->net))
			return true;
		usleep(10000);
	}
	return false;
}

static void rounds_for(struct lg_run *r, double t)
{
	uint64_t begin = rte_rdtsc(), now = begin;

	while (seconds(r, now - begin) < t && !stopped)
		now = round_all(r, now, false);
}

static int neighbours(struct lg_run *r, char *err, size_t err_len)
{
	for (int i = 0; i < 2; i++) {
		r->known[i] = r->cfg->have_mac[i];
		if (r->known[i])
			r->side[i].wire.peer = r->cfg->mac[i];
	}
	for (int t = 0; t < ASK_TIMES && !(r->known[0] && r->known[1]) && !stopped; t++) {
		for (int i = 0; i < 2; i++)
			if (!r->known[i])
				lg_neighbour_ask(&r->side[i]);
		rounds_for(r, ASK_MS / 1e3);
	}
	for (int i = 0; i < 2; i++) {
		if (r->known[i])
			continue;
		snprintf(err, err_len,
			 "nobody answered the %s side's %s for its next hop: is what lies between the ports "
			 "forwarding? (--%s-next-mac gives the address)",
			 i ? "server" : "client", r->cfg->v6 ? "solicitation" : "ARP request",
			 i ? "server" : "client");
		return -EHOSTUNREACH;
	}
	return 0;
}

/* Runs until the client's transactions are all done, the time is over, or a signal came. */
static void run_for(struct lg_run *r, double t, const char *phase)
{
	const struct lg_config *cfg = r->cfg;
	struct lg_side *s = &r->side[0];
	uint64_t begin = rte_rdtsc(), now = begin;

	while (!stopped && (seconds(r, now - begin) < t || t < 0)) {
		bool any = start_some(r, now);

		now = round_all(r, now, any);
		progress(r, now, phase);
		if (cfg->total && s->begun >= cfg->total && s->active == 0)
			break;
	}
}

static void run_held(struct lg_run *r)
{
	const struct lg_config *cfg = r->cfg;
	struct lg_side *s = &r->side[0];
	uint64_t now = rte_rdtsc(), begin = now;
	uint32_t next = 0;

	measure_begin(r, now);
	while (!stopped && (s->stats.opened < cfg->flows_held || s->active)) {
		bool any = start_some(r, now);

		now = round_all(r, now, any);
		progress(r, now, "open");
	}
	r->result.open_seconds = seconds(r, now - begin);
	for (begin = now; !stopped && seconds(r, now - begin) < cfg->hold;) {
		now = round_all(r, now, false);
		progress(r, now, "hold");
	}
	for (begin = now; !stopped && (next < s->conns || s->active);) {
		lg_app_use_held(s, &next);
		now = round_all(r, now, next < s->conns);
		progress(r, now, "use");
	}
	r->result.use_seconds = seconds(r, now - begin);
	measure_end(r, now);
}

/* Nothing new begins; what is under way ends, or shows that it does not. */
static void drain(struct lg_run *r)
{
	struct lg_side *s = &r->side[0];
	double most = (double)r->cfg->timeout_ms / 1e3 * 2 + 1;
	uint64_t begin = rte_rdtsc(), now = begin;
	uint32_t next = 0;
	bool all = false;

	s->running = false;
	while (seconds(r, now - begin) < most && (!all || s->used || r->side[1].used)) {
		if (!all)
			all = lg_app_end_idle(s, &next, 64);
		now = round_all(r, now, !all);
		progress(r, now, "drain");
	}
	/* Connections that opened behind the first pass were ended by lg_app_open; the server's follow. */
	r->result.unfinished = s->used + r->side[1].used;
}

int lg_run(struct lg_run *r, char *err, size_t err_len)
{
	const struct lg_config *cfg = r->cfg;
	uint64_t now;
	int rc;

	if (!link_wait(r)) {
		snprintf(err, err_len, "no link after %.1f s: is the other end of both devices running?",
			 cfg->link_wait_ms / 1e3);
		return -ENETDOWN;
	}
	now = rte_rdtsc();
	r->start = r->last_line = r->tokens_at = now;
	rc = neighbours(r, err, err_len);
	if (rc)
		return rc;
	r->side[0].running = true;
	r->last_line = r->tokens_at = rte_rdtsc();
	if (cfg->flows_held) {
		run_held(r);
	} else {
		if (cfg->warmup > 0)
			run_for(r, cfg->warmup, "warm-up");
		measure_begin(r, rte_rdtsc());
		run_for(r, cfg->duration, "run");
		measure_end(r, rte_rdtsc());
	}
	r->result.interrupted = stopped;
	drain(r);
	for (int i = 0; i < 2; i++) {
		r->result.all[i] = r->side[i].stats;
		r->result.net_all[i] = r->net[i].stats;
	}
	return 0;
}

bool lg_result_ok(const struct lg_config *cfg, const struct lg_result *res, char *why, size_t len)
{
	uint64_t failed = failures(&res->all[0], &res->all[1]);
	uint64_t done = res->all[0].transactions;

	why[0] = '\0';
	if (failed)
		snprintf(why, len, "%llu failures", (unsigned long long)failed);
	else if (res->all[0].resets_in || res->all[1].resets_in)
		snprintf(why, len, "%llu resets",
			 (unsigned long long)(res->all[0].resets_in + res->all[1].resets_in));
	else if (res->unfinished)
		snprintf(why, len, "%u connections without an end", res->unfinished);
	else if (done == 0)
		snprintf(why, len, "no transaction was completed");
	else if (res->interrupted)
		snprintf(why, len, "interrupted");
	else if (cfg->flows_held && done != 2ull * cfg->flows_held)
		snprintf(why, len, "%llu transactions on %u held connections, not two on each",
			 (unsigned long long)done, cfg->flows_held);
	return why[0] == '\0';
}
