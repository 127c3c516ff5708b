/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/cli.h"

#include <string.h>

#include "cli/cli_table.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "-";
}

static uint64_t number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* "1 rule", "2 rules". Returns buf. */
static const char *quantity(const json_t *o, const char *key, const char *one, char buf[48])
{
	uint64_t n = number(o, key);

	snprintf(buf, 48, "%llu %s%s", (unsigned long long)n, one, n == 1 ? "" : "s");
	return buf;
}

static unsigned long long plain(const json_t *o, const char *key)
{
	return (unsigned long long)number(o, key);
}

/* --- status --------------------------------------------------------------------------------------
 */

static void status_head(const json_t *r, FILE *out)
{
	char buf[24], q[48];

	if (json_object_get(r, "reason"))
		fprintf(out, "dataplane: %s (%s)\n", text(r, "dataplane"), text(r, "reason"));
	else
		fprintf(out, "dataplane: %s, pid %llu, version %s, since %s (%s)\n",
			text(r, "dataplane"), plain(r, "dataplane_pid"),
			text(r, "dataplane_version"), text(r, "dataplane_started"),
			cli_duration(number(r, "dataplane_uptime_us"), buf));
	fprintf(out, "control:   up, pid %llu, version %s, since %s\n", plain(r, "control_pid"),
		text(r, "control_version"), text(r, "control_started"));
	fprintf(out, "file:      %s, read %s\n", text(r, "file"), text(r, "file_read"));
	if (number(r, "adopted"))
		fprintf(out, "rules:     generation %llu, %s\n", plain(r, "adopted"),
			quantity(r, "rules", "rule", q));
	else
		fprintf(out, "rules:     none in use, %s in the file\n",
			quantity(r, "rules", "rule", q));
	if (json_is_true(json_object_get(r, "pending")))
		fprintf(out,
			"published: generation %llu, which the dataplane has not adopted yet\n",
			plain(r, "generation"));
	if (number(r, "refused"))
		fprintf(out, "refused:   generation %llu: %s\n", plain(r, "refused"),
			text(r, "refused_reason"));
	fprintf(out, "services:  %llu of %llu up\n", plain(r, "services_up"), plain(r, "services"));
}

static void status_ports(const json_t *list, FILE *out)
{
	struct cli_table t;
	const json_t *p;
	char a[32], b[32], c[24], d[24];
	size_t i;

	cli_table_init(&t, "PORT|DEVICE|DRIVER|LINK|>MTU|>RX FRAMES|>RX|>TX FRAMES|>TX|>LOST");
	json_array_foreach(list, i, p)
	{
		cli_table_add(&t, "%s", text(p, "name"));
		cli_table_add(&t, "%s", text(p, "device"));
		cli_table_add(&t, "%s", text(p, "driver"));
		cli_table_add(&t, "%s",
			      json_is_true(json_object_get(p, "link_up")) ? "up" : "down");
		cli_table_add(&t, "%llu", plain(p, "mtu"));
		cli_table_add(&t, "%s", cli_count(number(p, "rx_packets"), a));
		cli_table_add(&t, "%s", cli_octets(number(p, "rx_bytes"), c));
		cli_table_add(&t, "%s", cli_count(number(p, "tx_packets"), b));
		cli_table_add(&t, "%s", cli_octets(number(p, "tx_bytes"), d));
		cli_table_add(&t, "%llu",
			      plain(p, "rx_missed") + plain(p, "rx_nombuf") +
				      plain(p, "tx_errors"));
	}
	cli_table_print(&t, out, "no ports");
}

static void status_workers(const json_t *list, FILE *out)
{
	struct cli_table t;
	const json_t *w;
	size_t i;

	cli_table_init(&t, "WORKER|>LCORE|>GENERATION|>BUSY|>FLOWS|>TRANSACTIONS");
	json_array_foreach(list, i, w)
	{
		cli_table_add(&t, "%llu", plain(w, "worker"));
		cli_table_add(&t, "%llu", plain(w, "lcore"));
		cli_table_add(&t, "%llu", plain(w, "generation"));
		cli_table_add(&t, "%llu.%llu %%", plain(w, "busy_permille") / 10,
			      plain(w, "busy_permille") % 10);
		cli_table_add(&t, "%llu", plain(w, "flows"));
		cli_table_add(&t, "%llu", plain(w, "txns"));
	}
	cli_table_print(&t, out, "no workers");
}

static void render_status(const json_t *r, FILE *out)
{
	status_head(r, out);
	if (json_object_get(r, "ports")) {
		fputc('\n', out);
		status_ports(json_object_get(r, "ports"), out);
	}
	if (json_object_get(r, "workers")) {
		fputc('\n', out);
		status_workers(json_object_get(r, "workers"), out);
	}
}

/* --- rules, services, flows ----------------------------------------------------------------------
 */

static void kinds_text(const json_t *list, char *buf, size_t len)
{
	const json_t *k;
	size_t i, n = 0;

	buf[0] = '\0';
	json_array_foreach(list, i, k) if (n < len) n +=
		(size_t)snprintf(buf + n, len - n, "%s%s", i ? "," : "", json_string_value(k));
}

/* One word if every cause has the same policy, else each that differs from "connect". */
static void failure_text(const json_t *o, char *buf, size_t len)
{
	const char *base = text(o, "connect"), *cause;
	const json_t *v;
	int n = snprintf(buf, len, "%s", base);

	json_object_foreach((json_t *)o, cause,
			    v) if (strcmp(json_string_value(v), base) != 0 && (size_t)n < len) n +=
		snprintf(buf + n, len - (size_t)n, " %s:%s", cause, json_string_value(v));
}

static void render_rules_list(const json_t *r, FILE *out)
{
	struct cli_table t;
	const json_t *o;
	char buf[256];
	size_t i;

	if (json_is_true(json_object_get(r, "in_use")))
		fprintf(out, "generation %llu\n", plain(r, "generation"));
	else
		fprintf(out,
			"not in use: the dataplane is down; these are the rules of the file\n");
	cli_table_init(&t, ">#|RULE|ACTION|PROTOCOL|KINDS|SERVICE|ON FAILURE");
	json_array_foreach(json_object_get(r, "rules"), i, o)
	{
		cli_table_add(&t, "%llu", plain(o, "index") + 1);
		cli_table_add(&t, "%s", text(o, "name"));
		cli_table_add(&t, "%s", text(o, "action"));
		cli_table_add(&t, "%s", text(o, "protocol"));
		kinds_text(json_object_get(o, "kinds"), buf, sizeof(buf));
		cli_table_add(&t, "%s", buf);
		cli_table_add(&t, "%s", text(o, "service"));
		failure_text(json_object_get(o, "on_failure"), buf, sizeof(buf));
		cli_table_add(&t, "%s", buf);
	}
	cli_table_print(&t, out, "no rules: everything crosses untouched");
}

static void render_rules_reload(const json_t *r, FILE *out)
{
	char q[48], w[48];

	quantity(r, "rules", "rule", q);
	quantity(r, "services", "service", w);
	if (json_is_true(json_object_get(r, "published")))
		fprintf(out, "generation %llu is in use: %s, %s\n", plain(r, "generation"), q, w);
	else
		fprintf(out,
			"the configuration is right: %s, %s; the dataplane is down and reads it "
			"when it starts\n",
			q, w);
}

static void render_check(const json_t *r, FILE *out)
{
	char q[48], w[48];

	fprintf(out, "%s: right: %s, %s\n", text(r, "file"), quantity(r, "rules", "rule", q),
		quantity(r, "services", "service", w));
}

static void render_services(const json_t *r, FILE *out)
{
	struct cli_table t;
	const json_t *s;
	char a[24], b[24], c[24];
	size_t i;

	cli_table_init(
		&t, "SERVICE|ADDRESS|STATE|CONNECTIONS|>OPEN|>TOTAL|>FAILED|>SENT|>RECEIVED|>AS IS|"
		    "LAST ERROR");
	json_array_foreach(json_object_get(r, "services"), i, s)
	{
		cli_table_add(&t, "%s", text(s, "name"));
		cli_table_add(&t, "%s", text(s, "address"));
		cli_table_add(&t, "%s", text(s, "state"));
		cli_table_add(&t, "%llu/%llu", plain(s, "connections_up"), plain(s, "connections"));
		cli_table_add(&t, "%llu", plain(s, "txns_open"));
		cli_table_add(&t, "%llu", plain(s, "txns_total"));
		cli_table_add(&t, "%llu", plain(s, "txns_failed"));
		cli_table_add(&t, "%s", cli_octets(number(s, "octets_out"), a));
		cli_table_add(&t, "%s", cli_octets(number(s, "octets_in"), b));
		cli_table_add(&t, "%s", cli_octets(number(s, "as_is_octets"), c));
		cli_table_add(&t, "%s", *text(s, "last_error") ? text(s, "last_error") : "-");
	}
	cli_table_print(&t, out, "no services");
}

static void render_flows(const json_t *r, FILE *out)
{
	struct cli_table t;
	const json_t *f;
	char a[24], b[24];
	size_t i;

	cli_table_init(
		&t, "FLOW|>W|CLIENT|SERVER|STATE|PROTOCOL|RULE|>FROM CLIENT|>FROM SERVER|>MESSAGES|"
		    ">KEPT|>TRANSACTIONS|>AGE|>IDLE");
	json_array_foreach(json_object_get(r, "flows"), i, f)
	{
		cli_table_add(&t, "%s", text(f, "flow"));
		cli_table_add(&t, "%llu", plain(f, "worker"));
		cli_table_add(&t, "%s", text(f, "client"));
		cli_table_add(&t, "%s", text(f, "server"));
		cli_table_add(&t, "%s", text(f, "state"));
		cli_table_add(&t, "%s", text(f, "protocol"));
		cli_table_add(&t, "%s", *text(f, "rule") ? text(f, "rule") : "-");
		cli_table_add(&t, "%s", cli_octets(number(f, "octets_from_client"), a));
		cli_table_add(&t, "%s", cli_octets(number(f, "octets_from_server"), b));
		cli_table_add(&t, "%llu/%llu", plain(f, "messages_from_client"),
			      plain(f, "messages_from_server"));
		cli_table_add(&t, "%s", cli_octets(number(f, "preserved"), a));
		cli_table_add(&t, "%llu", plain(f, "txns"));
		cli_table_add(&t, "%s", cli_duration(number(f, "age_us"), a));
		cli_table_add(&t, "%s", cli_duration(number(f, "idle_us"), b));
	}
	cli_table_print(&t, out, "no selected flows");
	if (json_is_true(json_object_get(r, "more")))
		fprintf(out, "there are more; say how many with -n\n");
}

static void render_flows_show(const json_t *r, FILE *out)
{
	cli_render_flow(r, out);
}

/* --- buffers, counters, events -------------------------------------------------------------------
 */

/* One line a gauge, one column a worker: gauges are many, workers few. */
static const struct {
	const char *key, *label;
	bool octets;
} gauge[] = {
	{"flows", "flows", false},
	{"flows_max", "flows, limit", false},
	{"flows_active", "flows, active", false},
	{"flows_active_max", "flows, active, limit", false},
	{"flows_parked", "flows, parked", false},
	{"flows_joined", "flows, joined", false},
	{"txns", "transactions", false},
	{"messages", "messages", false},
	{"preserved_octets", "preserved", true},
	{"preserved_chunks", "preserved, chunks", false},
	{"preserved_peak", "preserved, peak", true},
	{"preserved_max", "preserved, limit", true},
	{"send_queued", "send queues", true},
	{"receive_queued", "receive queues", true},
	{"chunks_used", "chunks in use", false},
	{"chunks_total", "chunks, total", false},
	{"mbufs_free", "packet buffers free", false},
	{"mbufs_total", "packet buffers, total", false},
};

static void gauge_cell(struct cli_table *t, const json_t *o, size_t g)
{
	char buf[24];

	if (gauge[g].octets)
		cli_table_add(t, "%s", cli_octets(number(o, gauge[g].key), buf));
	else
		cli_table_add(t, "%llu", plain(o, gauge[g].key));
}

static void render_buffers(const json_t *r, FILE *out)
{
	const json_t *workers = json_object_get(r, "workers"), *total = json_object_get(r, "total");
	size_t n = json_array_size(workers), i;
	char heads[512] = "HELD|>TOTAL";
	struct cli_table t;

	if (n > CLI_COLUMNS_MAX - 2)
		n = CLI_COLUMNS_MAX - 2;
	for (i = 0; i < n; i++)
		snprintf(heads + strlen(heads), sizeof(heads) - strlen(heads), "|>WORKER %zu", i);
	cli_table_init(&t, heads);
	for (size_t g = 0; g < sizeof(gauge) / sizeof(gauge[0]); g++) {
		cli_table_add(&t, "%s", gauge[g].label);
		gauge_cell(&t, total, g);
		for (i = 0; i < n; i++)
			gauge_cell(&t, json_array_get(workers, i), g);
	}
	cli_table_print(&t, out, "nothing");
	if (n < json_array_size(workers))
		fprintf(out, "%zu more workers: see --json\n", json_array_size(workers) - n);
}

static void render_counters(const json_t *r, FILE *out)
{
	struct cli_table t;
	const json_t *c;
	char buf[32];
	size_t i;

	cli_table_init(&t, "COUNTER|>VALUE|MEANING");
	json_array_foreach(json_object_get(r, "counters"), i, c)
	{
		cli_table_add(&t, "%s", text(c, "name"));
		cli_table_add(&t, "%s", cli_count(number(c, "value"), buf));
		cli_table_add(&t, "%s", text(c, "text"));
	}
	cli_table_print(&t, out, "all counters are zero");
}

void cli_render_event(const json_t *e, FILE *out)
{
	fprintf(out, "%s %-9s %s", text(e, "time"), text(e, "writer"), text(e, "kind"));
	if (json_object_get(e, "cause"))
		fprintf(out, " cause=%s", text(e, "cause"));
	if (json_object_get(e, "rule"))
		fprintf(out, " rule=%s", text(e, "rule"));
	if (json_object_get(e, "service"))
		fprintf(out, " service=%s", text(e, "service"));
	if (json_object_get(e, "flow"))
		fprintf(out, " flow=%llx", plain(e, "flow"));
	if (json_object_get(e, "offset"))
		fprintf(out, " offset=%llu", plain(e, "offset"));
	if (*text(e, "text"))
		fprintf(out, ": %s", text(e, "text"));
	fputc('\n', out);
}

static void render_events(const json_t *r, FILE *out)
{
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(r, "events"), i, e) cli_render_event(e, out);
}

/* --- which
 * ---------------------------------------------------------------------------------------- */

static void render_local(const json_t *r, FILE *out)
{
	render_check(r, out);
}

void cli_render(const struct command *cmd, const json_t *result, FILE *out)
{
	static void (*const render[])(const json_t *, FILE *) = {
#define COMMAND(words, fn, options, help) render_##fn,
#include "command/commands.def"
#undef COMMAND
	};

	render[cmd - command_table](result, out);
}

void cli_render_error(const json_t *answer, FILE *err)
{
	const json_t *e;
	size_t i;

	json_array_foreach(json_object_get(answer, "errors"), i, e)
	{
		if (number(e, "line"))
			fprintf(err, "%s:%llu:%llu: %s\n", text(e, "file"), plain(e, "line"),
				plain(e, "column"), text(e, "text"));
		else
			fprintf(err, "%s: %s\n", text(e, "file"), text(e, "text"));
	}
	/* the lines above say it all when it is a check of one file */
	if (!json_object_get(answer, "file") || !i)
		fprintf(err, "opesctl: %s\n", text(answer, "error"));
}

void cli_render_help(FILE *out, bool shell)
{
	struct cli_table t;
	char synopsis[64];

	cli_table_init(&t, "COMMAND|WHAT IT DOES");
	for (size_t i = 0; i < command_count; i++) {
		if ((command_table[i].options & COMMAND_SHELL) && !shell)
			continue;
		command_synopsis(&command_table[i], synopsis, sizeof(synopsis));
		cli_table_add(&t, "%s", synopsis);
		cli_table_add(&t, "%s", command_table[i].help);
	}
	cli_table_print(&t, out, "");
}
