/* SPDX-License-Identifier: BSD-3-Clause */
#include "loadgen_report.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

struct counter {
	const char *name;
	size_t at;
};

#define C(field) {#field, offsetof(struct lg_stats, field)}
static const struct counter counters[] = {
	C(opened), C(accepted), C(closed), C(transactions), C(body_octets), C(retransmits),
	C(fast_retransmits), C(timeouts), C(syn_retransmits), C(probes), C(duplicates),
	C(out_of_order), C(ooo_dropped), C(dupacks), C(resets_in), C(resets_out), C(challenged),
	C(stray), C(bad_checksum), C(malformed), C(other), C(no_conn), C(late_starts)};
#undef C
#define N(field) {#field, offsetof(struct lg_net_stats, field)}
static const struct counter net_counters[] = {N(rx_frames), N(rx_octets), N(tx_frames),
					      N(tx_octets), N(tx_waits), N(tx_dropped),
					      N(no_mbuf), N(tampered)};
#undef N
static const char *const failure_names[LG_FAILURES] = {
	"failed_octets", "failed_message", "failed_status", "failed_short", "failed_excess",
	"failed_reset", "failed_unanswered", "failed_connect", "failed_close"};

static const struct {
	const char *name, *text;
	double q;
} quantiles[] = {{"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99},
		 {"p99_9", "p99.9", 0.999}, {"p99_99", "p99.99", 0.9999}};
#define QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static uint64_t get(const void *base, size_t at)
{
	uint64_t v;

	memcpy(&v, (const char *)base + at, sizeof(v));
	return v;
}

/* Gbit/s of frames, both directions together, as the two sides received them. */
static double wire_gbits(const struct lg_result *r)
{
	return (double)(r->net[0].rx_octets + r->net[1].rx_octets) * 8 / r->seconds / 1e9;
}

static void hist_line(FILE *f, const char *name, const struct lg_hist *h)
{
	fprintf(f, "%-14s", name);
	for (unsigned i = 0; i < QUANTILES; i++)
		fprintf(f, "  %s %.1f", quantiles[i].text,
			(double)lg_hist_quantile(h, quantiles[i].q) / 1e3);
	fprintf(f, "  max %.1f  mean %.1f us\n", (double)h->max / 1e3, lg_hist_mean(h) / 1e3);
}

static void counters_text(FILE *f, const struct lg_result *r)
{
	fprintf(f, "%-20s %16s %16s\n", "whole run", "client", "server");
	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t c = get(&r->all[0], counters[i].at), s = get(&r->all[1], counters[i].at);

		if (c || s)
			fprintf(f, "%-20s %16llu %16llu\n", counters[i].name, (unsigned long long)c,
				(unsigned long long)s);
	}
	for (unsigned i = 0; i < LG_FAILURES; i++)
		if (r->all[0].failed[i] || r->all[1].failed[i])
			fprintf(f, "%-20s %16llu %16llu\n", failure_names[i],
				(unsigned long long)r->all[0].failed[i],
				(unsigned long long)r->all[1].failed[i]);
	for (unsigned i = 0; i < sizeof(net_counters) / sizeof(net_counters[0]); i++) {
		uint64_t c = get(&r->net_all[0], net_counters[i].at);
		uint64_t s = get(&r->net_all[1], net_counters[i].at);

		if (c || s)
			fprintf(f, "%-20s %16llu %16llu\n", net_counters[i].name,
				(unsigned long long)c, (unsigned long long)s);
	}
}

void lg_report_text(const struct lg_config *cfg, const struct lg_result *r, bool ok, const char *note, FILE *f)
{
	double t = r->seconds > 0 ? r->seconds : 1;

	fprintf(f, "%s\n", cfg->name);
	fprintf(f, "%-14s  %.3f s, %llu transactions, %llu connections, at most %u open at once\n",
		"measured", r->seconds, (unsigned long long)r->stats[0].transactions,
		(unsigned long long)r->stats[0].accepted, r->peak);
	fprintf(f, "%-14s  %.0f transactions/s, %.0f connections/s\n", "rate",
		(double)r->stats[0].transactions / t, (double)r->stats[0].accepted / t);
	fprintf(f, "%-14s  %.3f Gbit/s of bodies, %.3f Gbit/s of frames, %.0f frames/s\n",
		"throughput", (double)r->stats[0].body_octets * 8 / t / 1e9, wire_gbits(r),
		(double)(r->net[0].rx_frames + r->net[1].rx_frames) / t);
	if (cfg->flows_held)
		fprintf(f, "%-14s  opened in %.3f s, held %.3f s, used again in %.3f s\n", "held",
			r->open_seconds, cfg->hold, r->use_seconds);
	hist_line(f, "latency", &r->latency);
	hist_line(f, "handshake", &r->connect);
	fprintf(f, "%-14s  %.3f s of processor, %.1f %% of cycles busy, %.0f busy cycles/transaction\n",
		"generator", r->cpu_seconds,
		r->cycles ? 100.0 * (double)r->busy_cycles / (double)r->cycles : 0,
		r->stats[0].transactions
			? (double)r->busy_cycles / (double)r->stats[0].transactions
			: 0);
	counters_text(f, r);
	fprintf(f, "%s%s%s\n", ok ? "ok" : "FAILED", note[0] ? ": " : "", note);
}

static json_t *params(const struct lg_config *cfg)
{
	static const char *const modes[] = {"http", "stream"};

	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:b, s:i, s:I}", "mode",
			 modes[cfg->mode], "loopback", cfg->loopback, "request",
			 (json_int_t)cfg->request, "response", (json_int_t)cfg->response,
			 "transactions", (json_int_t)cfg->transactions, "concurrency",
			 (json_int_t)cfg->concurrency, "rate", cfg->rate, "think_us",
			 (json_int_t)cfg->think_us, "flows_held", (json_int_t)cfg->flows_held,
			 "duration", cfg->duration, "ipv6", cfg->v6, "mtu", cfg->mtu, "seed",
			 (json_int_t)cfg->seed);
}

static json_t *side_counters(const struct lg_result *r, int i)
{
	json_t *o = json_object();

	for (unsigned k = 0; k < sizeof(counters) / sizeof(counters[0]); k++)
		json_object_set_new(o, counters[k].name,
				    json_integer((json_int_t)get(&r->all[i], counters[k].at)));
	for (unsigned k = 0; k < LG_FAILURES; k++)
		json_object_set_new(o, failure_names[k],
				    json_integer((json_int_t)r->all[i].failed[k]));
	for (unsigned k = 0; k < sizeof(net_counters) / sizeof(net_counters[0]); k++)
		json_object_set_new(
			o, net_counters[k].name,
			json_integer((json_int_t)get(&r->net_all[i], net_counters[k].at)));
	return o;
}

struct writer {
	FILE *f;
	const struct lg_config *cfg;
	const struct lg_result *r;
	bool ok;
	const char *note;
};

static void record(struct writer *w, const char *metric, const char *unit, const char *better,
		   double v, bool with_counters)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:[f], s:o, s:b, s:s}", "bench", "loadgen",
			      "name", w->cfg->name, "metric", metric, "unit", unit, "better",
			      better, "samples", v, "params", params(w->cfg), "ok", w->ok, "note",
			      w->note);

	if (with_counters) {
		json_object_set_new(o, "client", side_counters(w->r, 0));
		json_object_set_new(o, "server", side_counters(w->r, 1));
	}
	json_dumpf(o, w->f, JSON_REAL_PRECISION(10));
	fputc('\n', w->f);
	json_decref(o);
}

static void histogram(struct writer *w, const char *what, const struct lg_hist *h)
{
	char metric[64];

	if (h->count == 0)
		return;
	for (unsigned i = 0; i < QUANTILES; i++) {
		snprintf(metric, sizeof(metric), "%s_%s", what, quantiles[i].name);
		record(w, metric, "us", "lower", (double)lg_hist_quantile(h, quantiles[i].q) / 1e3,
		       false);
	}
	snprintf(metric, sizeof(metric), "%s_max", what);
	record(w, metric, "us", "lower", (double)h->max / 1e3, false);
}

int lg_report_json(const struct lg_config *cfg, const struct lg_result *r, bool ok, const char *note)
{
	double t = r->seconds > 0 ? r->seconds : 1;
	struct writer w = {fopen(cfg->json, "a"), cfg, r, ok, note};

	if (!w.f)
		return -errno;
	record(&w, "transactions_per_second", "1/s", "higher",
	       (double)r->stats[0].transactions / t, true);
	record(&w, "connections_per_second", "1/s", "higher", (double)r->stats[0].accepted / t,
	       false);
	record(&w, "body_throughput", "Gbit/s", "higher",
	       (double)r->stats[0].body_octets * 8 / t / 1e9, false);
	record(&w, "frame_throughput", "Gbit/s", "higher", wire_gbits(r), false);
	histogram(&w, "latency", &r->latency);
	histogram(&w, "handshake", &r->connect);
	record(&w, "generator_cpu", "s", "lower", r->cpu_seconds, false);
	record(&w, "generator_busy_cycles", "cycles", "lower", (double)r->busy_cycles, false);
	if (cfg->flows_held) {
		record(&w, "open_time", "s", "lower", r->open_seconds, false);
		record(&w, "use_time", "s", "lower", r->use_seconds, false);
	}
	return fclose(w.f) == 0 ? 0 : -errno;
}
