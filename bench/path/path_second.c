/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a second worker brings, worked out from cycles: two workers stepped in turn on one core; as fast as the busier
 * one lets them, against one worker with the same traffic, measured in turn. What is not in it: the caches and the memory
 * that two cores would share, and the way of cache lines between them.
 *
 *   port-spread      each port gives both directions of a flow to one worker (RSS)
 *   worker-spread    ports with one queue: worker 0 receives all and hands frames over; each sends for itself
 *   worker-spread-tx the same, and worker 0 sends for both
 */
#include "path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct spread {
	const char *name;
	bool rss, own_tx;
};

static int run(struct path *p, bool bypass, const struct spread *s, const char *rules, struct path_record *r)
{
	struct path_box_config bc = {.workers = s ? 2 : 1,
				     .rss = s && s->rss,
				     .own_tx = s && s->own_tx,
				     .offload = true,
				     .limits = "  flows: 1024\n",
				     .rules = rules};
	struct path_traffic_config tc = {.flows = 64,
					 .request = PATH_REQUEST,
					 .object = PATH_ENDLESS,
					 .train = p->opt->train,
					 .burst = p->opt->burst * (bc.rss ? 2 : 1)};

	if (bypass)
		return path_bypass_run(p, &bc, 64, p->opt->check ? 1000 : 1000000, p->opt->syn, r);
	return path_flows_run(p, &bc, &tc, PATH_SLICE, PATH_SEGMENT, r);
}

static int one(struct path *all, bool bypass, const struct spread *s)
{
	struct path_options o = *all->opt;
	struct path p = {.opt = &o, .box = all->box};
	struct path_record r = {.metric = "ratio", .unit = "times one worker", .better = "higher", .ok = true};
	char *rules = bypass ? path_bypass_rules(o.check ? 100 : 10000) : strdup(PATH_RULES_NEVER);
	double sum[2] = {0}, sorted[PATH_SAMPLES];
	struct path_slices spread = {.v = sorted};
	int rc = 0;

	if (!rules)
		return -ENOMEM;
	o.reps = 1;
	snprintf(r.name, sizeof(r.name), "second-worker/%s/%s", bypass ? "bypass-64B" : "pass-through-1460B", s->name);
	for (unsigned rep = 0; rep < all->opt->reps && rc == 0; rep++) {
		struct path_record with = {.ok = false}, alone = {.ok = false};

		rc = run(&p, bypass, NULL, rules, &alone);
		if (rc == 0)
			rc = run(&p, bypass, s, rules, &with);
		if (rc)
			break;
		if (alone.samples && with.samples) {
			r.sample[r.samples++] = alone.sample[0] / with.sample[0];
			sum[0] += alone.sample[0];
			sum[1] += with.sample[0];
		}
		if (r.ok && (!alone.ok || !with.ok)) {
			r.ok = false;
			snprintf(r.note, sizeof(r.note), "%.250s", alone.ok ? with.note : alone.note);
		}
	}
	free(rules);
	if (rc)
		return rc;
	all->bad |= !r.ok;
	r.p10 = sum[0] / RTE_MAX(r.samples, 1u);
	r.p90 = sum[1] / RTE_MAX(r.samples, 1u);
	snprintf(r.params, sizeof(r.params), "\"cycles_one\": %.1f, \"cycles_busier_of_two\": %.1f, \"burst\": %u", r.p10,
		 r.p90, o.burst);
	if (r.ok)
		snprintf(r.note, sizeof(r.note), "cycles of one %.0f, of the busier of two %.0f", r.p10, r.p90);
	spread.n = spread.cap = r.samples;
	memcpy(sorted, r.sample, sizeof(sorted));
	r.p10 = path_slices_quantile(&spread, 0.1);
	r.p90 = path_slices_quantile(&spread, 0.9);
	r.target = "second-worker";
	return path_record_write(&r, o.json);
}

int path_second(struct path *p)
{
	static const struct spread spreads[] = {
		{"port-spread", true, true}, {"worker-spread", false, true}, {"worker-spread-tx", false, false}};
	int rc = 0;

	if (!path_wants(p, "second-worker"))
		return 0;
	for (unsigned i = 0; i < RTE_DIM(spreads) && rc == 0; i++) {
		rc = one(p, true, &spreads[i]);
		if (rc == 0)
			rc = one(p, false, &spreads[i]);
	}
	return rc;
}
