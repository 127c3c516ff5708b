/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "policy/policy.h"
#include "stats/shm.h"

#define FIELD(s) control_json_text((s), sizeof(s))
#define INT(v) json_integer((json_int_t)(v))

json_t *control_json_text(const char *s, size_t size)
{
	char copy[4096];
	size_t n = strnlen(s, size);
	json_t *o = json_stringn(s, n);

	if (o)
		return o;
	if (n >= sizeof(copy))
		n = sizeof(copy) - 1;
	for (size_t i = 0; i < n; i++)
		copy[i] = (unsigned char)s[i] < 0x80 ? s[i] : '?';
	return json_stringn(copy, n);
}

json_t *control_json_time(uint64_t realtime_us)
{
	time_t t = (time_t)(realtime_us / 1000000);
	struct tm tm;
	char buf[48];
	size_t n;

	gmtime_r(&t, &tm);
	n = strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, sizeof(buf) - n, ".%06uZ", (unsigned)(realtime_us % 1000000));
	return json_string(buf);
}

json_t *control_json_errors(const struct policy_errors *errs)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < errs->count && i < POLICY_ERRORS_MAX; i++) {
		const struct policy_error *e = &errs->e[i];

		json_array_append_new(list,
				      json_pack("{s:o, s:i, s:i, s:o}", "file", FIELD(e->file),
						"line", (int)e->line, "column", (int)e->column,
						"text", FIELD(e->text)));
	}
	return list;
}

json_t *control_json_event(const struct shm_event *e, const char *writer, uint64_t seq)
{
	json_t *o =
		json_pack("{s:I, s:o, s:s, s:o}", "seq", (json_int_t)seq, "time",
			  control_json_time(e->time_us), "writer", writer, "kind", FIELD(e->kind));

	if (e->cause[0])
		json_object_set_new(o, "cause", FIELD(e->cause));
	if (e->rule[0])
		json_object_set_new(o, "rule", FIELD(e->rule));
	if (e->service[0])
		json_object_set_new(o, "service", FIELD(e->service));
	if (e->flow)
		json_object_set_new(o, "flow", INT(e->flow));
	if (e->offset != UINT64_MAX)
		json_object_set_new(o, "offset", INT(e->offset));
	if (e->generation)
		json_object_set_new(o, "generation", INT(e->generation));
	json_object_set_new(o, "text", FIELD(e->text));
	return o;
}

/* --- rules and services -------------------------------------------------------------------------
 */

static const char *action_name(uint32_t v)
{
	static const char *const name[] = {"bypass", "block", "observe", "adapt", "tunnel"};

	return v < 5 ? name[v] : "unknown";
}

static const char *failure_name(uint8_t v)
{
	static const char *const name[] = {"open", "closed", "answer"};

	return v < 3 ? name[v] : "unknown";
}

/* In the order of enum callout_cause; CALLOUT_CAUSE_NONE has no policy. */
static const char *const cause_name[] = {NULL,	     "connect", "negotiation", "lost",	 "deadline",
					 "protocol", "refused", "overload",    "budget", "framing"};
_Static_assert(sizeof(cause_name) / sizeof(cause_name[0]) <= POLICY_CAUSES, "one name a cause");

static json_t *failure_json(const struct policy_rule *r)
{
	json_t *o = json_object();

	for (size_t i = 1; i < sizeof(cause_name) / sizeof(cause_name[0]); i++)
		json_object_set_new(o, cause_name[i], json_string(failure_name(r->on_failure[i])));
	return o;
}

static json_t *kinds_json(uint32_t kinds)
{
	json_t *list = json_array();

	if (kinds & POLICY_KIND_REQUEST)
		json_array_append_new(list, json_string("request"));
	if (kinds & POLICY_KIND_RESPONSE)
		json_array_append_new(list, json_string("response"));
	if (kinds & POLICY_KIND_STREAM)
		json_array_append_new(list, json_string("stream"));
	return list;
}

json_t *control_json_rules(const struct policy_image *img)
{
	json_t *list = json_array();

	for (uint32_t i = 0; img && i < policy_image_rules(img); i++) {
		const struct policy_rule *r = policy_image_rule(img, i);
		json_t *o = json_pack("{s:I, s:o, s:s, s:s, s:o}", "index", (json_int_t)i, "name",
				      FIELD(r->name), "action", action_name(r->action), "protocol",
				      policy_protocol_name(r->protocol), "kinds",
				      kinds_json(r->kinds));

		if (r->service != UINT32_MAX && r->service < policy_image_services(img)) {
			json_object_set_new(o, "service",
					    FIELD(policy_image_service(img, r->service)->name));
			json_object_set_new(o, "on_failure", failure_json(r));
			json_object_set_new(o, "priority", INT(r->priority));
			json_object_set_new(o, "preserve_max", INT(r->preserve_max));
		}
		if (r->answer_status)
			json_object_set_new(o, "answer_status", INT(r->answer_status));
		json_array_append_new(list, o);
	}
	return list;
}

static const struct shm_service *service_find(const struct shm_root *root, const char *name)
{
	for (uint32_t i = 0; root && i < root->nservices && i < SHM_SERVICES_MAX; i++)
		if (strncmp(root->service[i].name, name, sizeof(root->service[i].name)) == 0)
			return &root->service[i];
	return NULL;
}

static void service_state_set(json_t *o, const struct shm_service *s)
{
	static const char *const state[] = {"down", "connecting", "up"};

	json_object_set_new(o, "state",
			    json_string(s && s->state < 3 ? state[s->state] : "unknown"));
	if (!s)
		return;
	json_object_set_new(o, "connections", INT(s->connections));
	json_object_set_new(o, "connections_up", INT(s->connections_up));
	json_object_set_new(o, "txns_open", INT(s->txns_open));
	json_object_set_new(o, "txns_total", INT(s->txns_total));
	json_object_set_new(o, "txns_failed", INT(s->txns_failed));
	json_object_set_new(o, "connects", INT(s->connects));
	json_object_set_new(o, "connect_failures", INT(s->connect_failures));
	json_object_set_new(o, "octets_out", INT(s->octets_out));
	json_object_set_new(o, "octets_in", INT(s->octets_in));
	json_object_set_new(o, "as_is_octets", INT(s->as_is_octets));
	json_object_set_new(o, "writes", INT(s->writes));
	json_object_set_new(o, "messages_out", INT(s->messages_out));
	json_object_set_new(o, "messages_in", INT(s->messages_in));
	json_object_set_new(o, "last_error", FIELD(s->last_error));
}

json_t *control_json_services(const struct policy_image *img, const struct shm_root *root)
{
	json_t *list = json_array();

	for (uint32_t i = 0; img && i < policy_image_services(img); i++) {
		const struct policy_service *s = policy_image_service(img, i);
		json_t *o =
			json_pack("{s:o, s:o, s:o, s:s, s:i, s:I}", "name", FIELD(s->name),
				  "address", FIELD(s->address), "uri", FIELD(s->uri), "dialect",
				  s->dialect == POLICY_DIALECT_CORE ? "core" : "draft", "priority",
				  (int)s->priority, "deadline_us", (json_int_t)s->deadline_us);

		service_state_set(o, service_find(root, s->name));
		json_array_append_new(list, o);
	}
	return list;
}

/* --- numbers ------------------------------------------------------------------------------------
 */

static const struct {
	const char *name;
	size_t offset;
} gauge[] = {
#define GAUGE(f)                                                                                   \
	{                                                                                          \
#f, offsetof(struct shm_gauges, f)                                                 \
	}
	GAUGE(flows),	      GAUGE(flows_max),	       GAUGE(txns),
	GAUGE(messages),      GAUGE(preserved_octets), GAUGE(preserved_chunks),
	GAUGE(preserved_max), GAUGE(preserved_peak),   GAUGE(mbufs_free),
	GAUGE(mbufs_total),   GAUGE(chunks_used),      GAUGE(chunks_total),
	GAUGE(send_queued),   GAUGE(receive_queued),   GAUGE(flows_active),
	GAUGE(flows_active_max), GAUGE(flows_parked),  GAUGE(flows_joined),
#undef GAUGE
};
#define GAUGES (sizeof(gauge) / sizeof(gauge[0]))
_Static_assert(GAUGES * sizeof(uint64_t) == sizeof(struct shm_gauges), "every gauge is shown");

static unsigned workers(const struct shm_root *root)
{
	return root->workers < SHM_WORKERS_MAX ? root->workers : SHM_WORKERS_MAX;
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/*
 * Workers receive into one pool: its numbers stand in every worker's row and are
 * the largest, not the sum, in the total.
 */
json_t *control_json_buffers(const struct shm_root *root)
{
	json_t *list = json_array(), *total = json_object();
	uint64_t sum[GAUGES] = {0};

	for (unsigned w = 0; w < workers(root); w++) {
		const char *base = (const char *)&root->worker[w].gauge;
		json_t *o = json_pack("{s:i, s:i}", "worker", (int)w, "lcore",
				      (int)root->worker[w].lcore);

		for (size_t i = 0; i < GAUGES; i++) {
			uint64_t v = load((const uint64_t *)(base + gauge[i].offset));

			json_object_set_new(o, gauge[i].name, INT(v));
			if (strncmp(gauge[i].name, "mbufs_", 6) != 0)
				sum[i] += v;
			else if (v > sum[i])
				sum[i] = v;
		}
		json_array_append_new(list, o);
	}
	for (size_t i = 0; i < GAUGES; i++)
		json_object_set_new(total, gauge[i].name, INT(sum[i]));
	return json_pack("{s:o, s:o}", "total", total, "workers", list);
}

json_t *control_json_counters(const struct shm_root *root)
{
	json_t *list = json_array();

	for (int c = 0; c < STATS_MAX; c++) {
		uint64_t co = load(&root->callout_counter[c]), sum = co;
		json_t *per = json_array();

		for (unsigned w = 0; w < workers(root); w++) {
			uint64_t v = load(&root->worker[w].counter[c]);

			sum += v;
			json_array_append_new(per, INT(v));
		}
		json_array_append_new(
			list, json_pack("{s:s, s:I, s:o, s:I, s:s}", "name", stats_counter_name(c),
					"value", (json_int_t)sum, "workers", per, "callout",
					(json_int_t)co, "text", stats_counter_text(c)));
	}
	return list;
}

json_t *control_json_ports(const struct shm_root *root)
{
	json_t *list = json_array();

	for (int i = 0; i < 2; i++) {
		const struct shm_port *p = &root->port[i];
		json_t *o = json_pack("{s:o, s:o, s:o, s:i, s:b}", "name", FIELD(p->name), "device",
				      FIELD(p->device), "driver", FIELD(p->driver), "mtu",
				      (int)p->mtu, "link_up", (int)p->link_up);

		json_object_set_new(o, "rx_packets", INT(p->rx_packets));
		json_object_set_new(o, "rx_bytes", INT(p->rx_bytes));
		json_object_set_new(o, "tx_packets", INT(p->tx_packets));
		json_object_set_new(o, "tx_bytes", INT(p->tx_bytes));
		json_object_set_new(o, "rx_missed", INT(p->rx_missed));
		json_object_set_new(o, "rx_nombuf", INT(p->rx_nombuf));
		json_object_set_new(o, "tx_errors", INT(p->tx_errors));
		json_array_append_new(list, o);
	}
	return list;
}
