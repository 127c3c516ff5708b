/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Adapted flows: HTTP responses and opaque streams through a callout server. The callout stage runs in turn with the
 * worker, as on a core that both share. The server is the library of opes-callout, stepped in turn too and not counted,
 * behind a real Unix socket; or, with --server, a process of its own.
 */
#include "path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rte_cycles.h>
#include "callout/opes_callout.h"
#include "callout/services/services.h"

struct server {
	struct oc_loop *loop; /* NULL: a process of its own */
	char dir[64], address[300];
};

static int server_start(struct server *s, struct path *p)
{
	struct oc_error err = {""};
	int rc;

	memset(s, 0, sizeof(*s));
	if (p->opt->server) {
		snprintf(s->address, sizeof(s->address), "%.255s", p->opt->server);
		return 0;
	}
	snprintf(s->dir, sizeof(s->dir), "/tmp/opes-bench-path-XXXXXX");
	if (!mkdtemp(s->dir))
		return -errno;
	snprintf(s->address, sizeof(s->address), "unix:%s/s", s->dir);
	s->loop = oc_loop_new(NULL);
	if (!s->loop)
		return -ENOMEM;
	rc = oc_loop_service_text(s->loop, services_all, "as-is", &err);
	if (rc == 0)
		rc = oc_loop_service_text(s->loop, services_all, "echo", &err);
	if (rc == 0)
		rc = oc_loop_listen(s->loop, s->address, &err);
	if (rc)
		snprintf(p->box->err, sizeof(p->box->err), "callout server: %s", err.text);
	return rc;
}

static void server_stop(struct server *s)
{
	oc_loop_free(s->loop);
	if (s->dir[0]) {
		unlink(s->address + strlen("unix:"));
		rmdir(s->dir);
	}
}

static void server_step(void *ctx)
{
	struct server *s = ctx;

	if (s->loop)
		oc_loop_step(s->loop, 0);
}

struct work {
	const char *service, *kind; /* kind: http or tcp */
	uint64_t object;	    /* octets */
	const char *size;
	uint32_t flows;
};

/* Every octet has been where it had to be: none went on without the service. */
static void route_check(struct path *p, const struct work *w, struct path_record *r)
{
	uint64_t back = strcmp(w->service, "echo") == 0 ? r->from_service : r->from_original;

	if (r->ok && (r->to_service < r->octets || back < r->octets)) {
		r->ok = false;
		p->bad = true;
		snprintf(r->note, sizeof(r->note), "octets went on without the service: %llu arrived, %llu went to it, "
			 "%llu came by it", (unsigned long long)r->octets, (unsigned long long)r->to_service,
			 (unsigned long long)back);
	}
}

/* The same samples as a rate: octets per second in which the worker's core is busy. */
static int rate_write(const struct path *p, const struct path_record *r, const struct work *w)
{
	struct path_record rate = *r;
	double hz = (double)rte_get_tsc_hz();

	rate.metric = "octets_per_busy_second";
	rate.unit = "MB/s";
	rate.better = "higher";
	for (unsigned i = 0; i < r->samples; i++)
		rate.sample[i] = hz / r->sample[i] / 1e6;
	rate.p10 = hz / r->p90 / 1e6;
	rate.p90 = hz / r->p10 / 1e6;
	rate.target = strcmp(w->service, "as-is") == 0 && strcmp(w->kind, "http") == 0 && w->object >= 65536
			      ? "asis-rate" : NULL;
	return path_record_write(&rate, p->opt->json);
}

static int one(struct path *p, struct server *s, const struct work *w, bool offload)
{
	const char *cksum = offload ? "offload" : "software";
	bool http = strcmp(w->kind, "http") == 0;
	struct path_traffic_config tc = {.flows = p->opt->flows ? p->opt->flows : w->flows,
					 .request = http ? PATH_REQUEST : NULL,
					 .object = w->object,
					 .train = p->opt->train,
					 .burst = p->opt->burst,
					 .beside = server_step,
					 .ctx = s};
	struct path_box_config bc = {.workers = 1, .offload = offload, .limits = "  flows: 1024\n"};
	struct path_record r = {.metric = "cycles_per_octet", .unit = "cycles/octet", .better = "lower"};
	char services[512], rules[256];
	int rc;

	snprintf(services, sizeof(services), "  - {name: %s, address: \"%s\"}\n", w->service, s->address);
	snprintf(rules, sizeof(rules), "  - {name: r, match: {protocol: %s%s}, action: adapt, service: %s}\n", w->kind,
		 http ? ", kind: response" : "", w->service);
	bc.services = services;
	bc.rules = rules;
	snprintf(r.name, sizeof(r.name), "%s/%s/%s/%s", w->service, w->kind, w->size, cksum);
	rc = path_flows_run(p, &bc, &tc, PATH_SLICE, 1, &r);
	if (rc)
		return rc;
	route_check(p, w, &r);
	snprintf(r.params, sizeof(r.params),
		 "\"object\": %llu, \"flows\": %u, \"train\": %u, \"cksum\": \"%s\", \"burst\": %u, \"seconds\": %g, "
		 "\"server\": \"%s\", \"callout_share\": %.3f, \"octets_to_service\": %llu",
		 (unsigned long long)(http ? w->object : 0), tc.flows, tc.train, cksum, tc.burst, p->opt->seconds,
		 p->opt->server ? "process" : "in turn", r.callout_share, (unsigned long long)r.to_service);
	rc = path_record_write(&r, p->opt->json);
	return rc ? rc : rate_write(p, &r, w);
}

int path_callout(struct path *p)
{
	static const struct work works[] = {
		{"as-is", "tcp", PATH_ENDLESS, "stream", 16},
		{"as-is", "http", 1024, "1KiB", 64},
		{"as-is", "http", 64 << 10, "64KiB", 64},
		{"as-is", "http", 1 << 20, "1MiB", 16},
		{"echo", "tcp", PATH_ENDLESS, "stream", 16},
		{"echo", "http", 1024, "1KiB", 64},
		{"echo", "http", 64 << 10, "64KiB", 64},
		{"echo", "http", 1 << 20, "1MiB", 16},
	};
	struct server s;
	int rc;

	if (!path_wants(p, "as-is") && !path_wants(p, "echo"))
		return 0;
	rc = server_start(&s, p);
	for (unsigned i = 0; i < RTE_DIM(works) && rc == 0; i++) {
		if (!path_wants(p, works[i].service) || (p->opt->object && p->opt->object != works[i].object))
			continue;
		for (unsigned off = 0; off < 2 && rc == 0; off++)
			if (!p->opt->cksum || (strcmp(p->opt->cksum, "offload") == 0) == (off == 1))
				rc = one(p, &s, &works[i], off);
	}
	server_stop(&s);
	return rc;
}
