/* SPDX-License-Identifier: BSD-3-Clause */
/* Measuring selected flows: warm up, repetitions, verdict. */
#include "path.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <rte_cycles.h>

#define STALL 1000000	 /* rounds in which nothing arrives */
#define WARM_SEGMENTS 64 /* of each flow, so that congestion windows are open */

/* Until `octets` more have arrived. */
static int advance(struct path_traffic *t, uint64_t octets)
{
	uint64_t want = t->octets + octets, seen = t->octets;

	for (unsigned idle = 0; t->octets < want; idle++) {
		if (idle > STALL || t->wrong) {
			snprintf(t->box->err, sizeof(t->box->err), "nothing arrives any more after %" PRIu64
				 " octets. %s", t->octets, t->why);
			return -EIO;
		}
		path_traffic_step(t);
		if (t->octets != seen)
			idle = 0;
		seen = t->octets;
	}
	return 0;
}

static int measure(struct path_traffic *t, const struct path_options *o, uint64_t slice, uint32_t unit_octets,
		   struct path_record *r)
{
	unsigned reps = RTE_MIN(o->reps, (unsigned)PATH_SAMPLES);
	uint64_t warm = (uint64_t)t->cfg.flows * PATH_SEGMENT * (o->check ? 2 : WARM_SEGMENTS);
	struct path_meter m = {0};
	int rc = advance(t, warm);

	for (unsigned rep = 0; rep < reps && rc == 0; rep++) {
		uint64_t end = rte_rdtsc() + (uint64_t)(o->seconds * (double)rte_get_tsc_hz());

		path_meter_begin(&m, t->box);
		do {
			uint64_t before = t->octets;

			rc = advance(t, o->check ? slice / 16 + 1 : slice);
			path_meter_slice(&m, t->box, (double)(t->octets - before) / unit_octets);
		} while (rc == 0 && rte_rdtsc() < end);
		r->sample[r->samples++] = path_meter_sample(&m, t->box);
	}
	r->p10 = path_slices_quantile(&m.all, 0.1);
	r->p90 = path_slices_quantile(&m.all, 0.9);
	path_meter_free(&m);
	path_traffic_settle(t);
	return rc;
}

static void judge(const struct path_traffic *t, struct path_record *r)
{
	uint64_t dropped = path_box_count(t->box, STATS_tx_dropped);
	uint64_t failed = path_box_count(t->box, STATS_txn_failed) + path_box_count(t->box, STATS_fail_open);
	uint64_t retrans = path_box_count(t->box, STATS_tcp_retrans);

	r->ok = false;
	if (t->wrong)
		snprintf(r->note, sizeof(r->note), "%s", t->why);
	else if (dropped)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " frames were dropped", dropped);
	else if (path_box_count(t->box, STATS_flow_created) != t->cfg.flows)
		snprintf(r->note, sizeof(r->note), "not every flow was selected");
	else if (failed)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " transactions failed", failed);
	else
		r->ok = true;
	if (r->ok && retrans)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " segments retransmitted", retrans);
}

int path_flows_run(struct path *p, const struct path_box_config *bc, const struct path_traffic_config *tc,
		   uint64_t slice, uint32_t unit_octets, struct path_record *r)
{
	struct path_traffic t;
	char why[sizeof(p->box->err)] = "";
	int rc = path_box_start(p->box, bc);

	if (rc)
		return rc;
	rc = path_traffic_open(&t, p->box, tc);
	if (rc == 0) {
		rc = measure(&t, p->opt, slice, unit_octets, r);
		judge(&t, r);
		r->octets = t.octets;
		r->to_service = p->box->shm->callout_counter[STATS_callout_octets_out];
		r->from_service = p->box->shm->callout_counter[STATS_callout_octets_in];
		r->from_original = path_box_count(p->box, STATS_as_is_octets);
		path_traffic_close(&t);
	}
	if (rc)
		memcpy(why, p->box->err, sizeof(why));
	r->callout_share = (double)p->box->busy_callout / (double)(p->box->busy[0] + p->box->busy_callout + 1);
	if (path_box_stop(p->box) != 0 && rc == 0) {
		r->ok = false;
		snprintf(r->note, sizeof(r->note), "%.200s", p->box->err);
	}
	if (rc == -EIO) { /* the traffic did not get through: a result */
		r->ok = false;
		snprintf(r->note, sizeof(r->note), "%.250s", why);
		rc = 0;
	} else if (rc) {
		snprintf(p->box->err, sizeof(p->box->err), "%.127s: %.380s", r->name, why);
	}
	p->bad |= !r->ok;
	return rc;
}
