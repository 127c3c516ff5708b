/* SPDX-License-Identifier: BSD-3-Clause */
/* Selected flows that no rule does anything with: both halves of every connection act, nothing is adapted. */
#include "path.h"

#include <string.h>

static int one(struct path *p, uint32_t flows, bool offload)
{
	const char *cksum = offload ? "offload" : "software";
	struct path_box_config bc = {.workers = 1,
				     .offload = offload,
				     .limits = flows > 1000 ? "  flows: 16384\n" : "  flows: 1024\n",
				     .rules = PATH_RULES_NEVER};
	struct path_traffic_config tc = {.flows = flows,
					 .request = PATH_REQUEST,
					 .object = PATH_ENDLESS,
					 .train = p->opt->train,
					 .burst = p->opt->burst};
	struct path_record r = {.metric = "cycles_per_segment", .unit = "cycles/segment", .better = "lower"};
	int rc;

	snprintf(r.name, sizeof(r.name), "pass-through/%uB/flows=%u/%s", PATH_SEGMENT, flows, cksum);
	snprintf(r.params, sizeof(r.params),
		 "\"segment\": %u, \"flows\": %u, \"train\": %u, \"cksum\": \"%s\", \"burst\": %u, \"seconds\": %g, "
		 "\"ack_every\": 2", PATH_SEGMENT, flows, tc.train, cksum, tc.burst, p->opt->seconds);
	if (offload && flows == 64)
		r.target = "passthrough-cycles";
	rc = path_flows_run(p, &bc, &tc, PATH_SLICE, PATH_SEGMENT, &r);
	return rc ? rc : path_record_write(&r, p->opt->json);
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
