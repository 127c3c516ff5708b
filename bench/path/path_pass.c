/* SPDX-License-Identifier: BSD-3-Clause */
/* Selected flows that no rule does anything with: both halves of every connection act, nothing is adapted. */
#include "path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>

#define SLICE 64		       /* rounds */
#define ENDLESS (1ull << 46)	       /* octets of the one object of a flow */
#define STALL 1000000		       /* rounds in which nothing arrives */

struct pass {
	struct path_box *box;
	const struct path_options *opt;
	struct path_traffic t;
};

static double busy(const struct path_box *b)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < b->workers; i++)
		most = RTE_MAX(most, b->busy[i]);
	return (double)most;
}

static int warm(struct pass *p)
{
	uint64_t want = p->opt->check ? 2 : 64, seen = 0;
	unsigned idle = 0;

	want *= (uint64_t)p->t.cfg.flows * PATH_SEGMENT;
	while (p->t.octets < want && idle < STALL && !p->t.wrong) {
		path_traffic_step(&p->t);
		idle = p->t.octets == seen ? idle + 1 : 0;
		seen = p->t.octets;
	}
	if (p->t.octets >= want)
		return 0;
	snprintf(p->box->err, sizeof(p->box->err), "no more octets arrive after %" PRIu64 ". %s", p->t.octets,
		 p->t.why);
	return -EIO;
}

static int measure(struct pass *p, struct path_record *r)
{
	struct path_slices all = {0}, s = {0};
	unsigned reps = RTE_MIN(p->opt->reps, (unsigned)PATH_SAMPLES), stall = 0;
	int rc = warm(p);

	for (unsigned rep = 0; rep < reps && rc == 0; rep++) {
		uint64_t end = rte_rdtsc() + (uint64_t)(p->opt->seconds * (double)rte_get_tsc_hz());

		s.n = 0;
		do {
			double before = busy(p->box);
			uint64_t octets = p->t.octets;

			for (unsigned i = 0; i < SLICE; i++)
				path_traffic_step(&p->t);
			octets = p->t.octets - octets;
			stall = octets ? 0 : stall + SLICE;
			if (stall > STALL) {
				snprintf(p->box->err, sizeof(p->box->err), "nothing arrives any more. %s", p->t.why);
				rc = -EIO;
			}
			if (!octets)
				continue;
			path_slices_add(&s, (busy(p->box) - before) * PATH_SEGMENT / (double)octets);
			path_slices_add(&all, s.v[s.n - 1]);
		} while (rc == 0 && (s.n == 0 || rte_rdtsc() < end));
		r->sample[r->samples++] = path_slices_quantile(&s, 0.5);
	}
	path_traffic_settle(&p->t);
	r->p10 = path_slices_quantile(&all, 0.1);
	r->p90 = path_slices_quantile(&all, 0.9);
	free(s.v);
	free(all.v);
	return rc;
}

static void judge(struct pass *p, struct path_record *r)
{
	const struct path_box *b = p->box;
	uint64_t retrans = path_box_count(b, STATS_tcp_retrans), dropped = path_box_count(b, STATS_tx_dropped);

	r->ok = p->t.wrong == 0 && dropped == 0;
	if (p->t.wrong)
		snprintf(r->note, sizeof(r->note), "%s", p->t.why);
	else if (dropped)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " frames were dropped", dropped);
	else if (path_box_count(b, STATS_flow_created) != p->t.cfg.flows) {
		r->ok = false;
		snprintf(r->note, sizeof(r->note), "not every flow was selected");
	} else if (retrans)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " retransmitted ", retrans);
}

static void describe(const struct pass *p, const struct path_box_config *cfg, struct path_record *r)
{
	const char *cksum = cfg->offload ? "offload" : "software";

	snprintf(r->name, sizeof(r->name), "pass-through/%uB/flows=%u/%s", PATH_SEGMENT, p->t.cfg.flows, cksum);
	snprintf(r->params, sizeof(r->params),
		 "\"segment\": %u, \"flows\": %u, \"train\": %u, \"cksum\": \"%s\", \"burst\": %u, \"seconds\": %g, "
		 "\"ack_every\": 2",
		 PATH_SEGMENT, p->t.cfg.flows, p->t.cfg.train, cksum, p->t.cfg.burst, p->opt->seconds);
	r->metric = "cycles_per_segment";
	r->unit = "cycles/segment";
	r->better = "lower";
	if (cfg->offload && p->t.cfg.flows == 64)
		r->target = "passthrough-cycles";
}

static int one(struct path *path, uint32_t flows, bool offload)
{
	struct pass p = {.box = path->box, .opt = path->opt};
	struct path_box_config cfg = {.workers = 1,
				      .offload = offload,
				      .limits = "  flows: 16384\n",
				      .rules = "  - {name: never, match: {protocol: http, path: /never}, action: "
					       "adapt, service: s}\n"};
	struct path_traffic_config tc = {.flows = flows,
					 .request = "GET /object HTTP/1.1\r\nHost: bench.example\r\n\r\n",
					 .object = ENDLESS,
					 .train = path->opt->train,
					 .burst = path->opt->burst};
	struct path_record r = {0};
	int rc = path_box_start(p.box, &cfg), lost;

	if (rc)
		return rc;
	rc = path_traffic_open(&p.t, p.box, &tc);
	if (rc == 0) {
		describe(&p, &cfg, &r);
		rc = measure(&p, &r);
		judge(&p, &r);
	}
	path_traffic_close(&p.t);
	if (rc) {
		char why[512];

		snprintf(why, sizeof(why), "%s", p.box->err);
		path_box_stop(p.box);
		snprintf(p.box->err, sizeof(p.box->err), "pass-through, %u flows: %.400s", flows, why);
		return rc;
	}
	lost = path_box_stop(p.box);
	if (lost) {
		r.ok = false;
		snprintf(r.note, sizeof(r.note), "%.200s", p.box->err);
	}
	path->bad |= !r.ok;
	return path_record_write(&r, path->opt->json);
}

int path_pass(struct path *p)
{
	static const uint32_t flows[] = {1, 64, 8000}; /* a worker frames 8192 messages at a time */
	const struct path_options *o = p->opt;
	int rc = 0;

	if (!path_wants(p, "pass-through"))
		return 0;
	for (unsigned n = 0; n < (o->flows ? 1 : RTE_DIM(flows)); n++) {
		uint32_t count = o->flows ? o->flows : o->check ? RTE_MIN(flows[n], 200u) : flows[n];

		for (unsigned off = 0; off < 2 && rc == 0; off++)
			if (!o->cksum || (strcmp(o->cksum, "offload") == 0) == (off == 1))
				rc = one(p, count, off);
	}
	return rc;
}
