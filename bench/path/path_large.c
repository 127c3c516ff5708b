/* SPDX-License-Identifier: BSD-3-Clause */
/* Selected flows in frames of many segments: what TSO and LRO save of a worker's cycles for each octet. */
#include "path.h"

#include <string.h>

#define MERGE 32 /* segments of a merged frame */

static int one(struct path *p, uint32_t flows, bool merged, bool tso)
{
	struct path_box_config bc = {.workers = 1, .offload = true, .tso = tso, .limits = "  flows: 1024\n",
				     .rules = PATH_RULES_NEVER};
	struct path_traffic_config tc = {.flows = flows,
					 .request = PATH_REQUEST,
					 .object = PATH_ENDLESS,
					 .train = p->opt->train,
					 .burst = merged ? RTE_MAX(p->opt->burst / MERGE, 1u) : p->opt->burst,
					 .merge = merged ? MERGE : 1};
	struct path_record r = {.metric = "cycles_per_octet", .unit = "cycles/octet", .better = "lower"};
	int rc;

	snprintf(r.name, sizeof(r.name), "large/flows=%u/%s-%s", flows, merged ? "lro" : "single", tso ? "tso" : "single");
	snprintf(r.params, sizeof(r.params), "\"segment\": %u, \"merge\": %u, \"tso\": %s, \"flows\": %u, \"burst\": %u, "
		 "\"seconds\": %g", PATH_SEGMENT, tc.merge, tso ? "true" : "false", flows, tc.burst, p->opt->seconds);
	rc = path_flows_run(p, &bc, &tc, PATH_SLICE, 1, &r);
	return rc ? rc : path_record_write(&r, p->opt->json);
}

int path_large(struct path *p)
{
	static const uint32_t flows[] = {1, 64};
	const struct path_options *o = p->opt;
	int rc = 0;

	if (!path_wants(p, "large"))
		return 0;
	for (unsigned n = 0; n < (o->flows ? 1 : RTE_DIM(flows)); n++)
		for (unsigned k = 0; k < 4 && rc == 0; k++)
			rc = one(p, o->flows ? o->flows : flows[n], k & 1, k & 2);
	return rc;
}
