/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_schema.h"
#include "policy/policy_value.h"
#include "policy/policy_words.h"

#define FILE_MAX ((size_t)64 << 20)
#define LCORES 128 /* RTE_MAX_LCORE of Debian's DPDK */

static void read_workers(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);

static const struct policy_key dpdk_keys[] = {
	{"file-prefix", POLICY_T_STRING, 0, POLICY_AT(struct policy_config, file_prefix),
	 .def = "opes", .min = 1,
	 .doc = "Prefix of DPDK's shared files; `opes-control` finds its dataplane by it. A second "
		"appliance on the same host needs another one."},
	{"memory", POLICY_T_MEBIBYTE, 0, POLICY_AT(struct policy_config, memory_mb),
	 .def = "512MiB", .max = 1 << 20,
	 .doc = "Hugepage memory to take at start. 0 leaves it to DPDK."},
	{"huge-pages", POLICY_T_BOOL, POLICY_INVERT, POLICY_AT(struct policy_config, no_huge),
	 .def = "true",
	 .doc = "`false` runs the dataplane on ordinary memory: for tests of the single process, "
		"since `opes-control` cannot attach to it."},
};
static const struct policy_section dpdk_section = POLICY_SECTION("dpdk", dpdk_keys);

static const struct policy_word offload_words[] = {
	{"auto", POLICY_OFFLOAD_AUTO}, {"off", POLICY_OFFLOAD_OFF}, {0},
};
static const struct policy_key port_keys[] = {
	{"device", POLICY_T_STRING, POLICY_REQUIRED, POLICY_AT(struct policy_port_config, device),
	 .min = 1,
	 .doc = "DPDK device: a PCI address (`0000:03:00.0`) or a virtual device with its "
		"arguments (`net_af_packet0,iface=in0`)."},
	{"mtu", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_port_config, mtu), .def = "1500",
	 .min = 576, .max = 9702,
	 .doc = "Largest IP packet in octets; longer frames are not received."},
	{"promiscuous", POLICY_T_BOOL, 0, POLICY_AT(struct policy_port_config, promiscuous),
	 .def = "true",
	 .doc = "Receive frames for every address. An appliance in a cable needs it, unless the "
		"device cannot."},
	{"segmentation-offload", POLICY_T_ENUM, 0, POLICY_AT(struct policy_port_config, segmentation_offload),
	 .def = "auto", .words = offload_words,
	 .doc = "`auto`: the device cuts large frames of TCP into segments (TSO) and merges received ones (LRO) where it "
		"can; the latter only if the other device can cut. `off`: never."},
};
static const struct policy_section inside_section = POLICY_SECTION("ports.inside", port_keys);
static const struct policy_section outside_section = POLICY_SECTION("ports.outside", port_keys);

static const struct policy_key ports_keys[] = {
	{"inside", POLICY_T_SECTION, POLICY_REQUIRED, 0, sizeof(struct policy_port_config),
	 .section = &inside_section, .doc = "The port towards the protected network."},
	{"outside", POLICY_T_SECTION, POLICY_REQUIRED, sizeof(struct policy_port_config),
	 sizeof(struct policy_port_config), .section = &outside_section,
	 .doc = "The port towards the rest."},
};
static const struct policy_section ports_section = POLICY_SECTION("ports", ports_keys);

static const struct policy_key lcores_keys[] = {
	{"workers", POLICY_T_CUSTOM, 0, offsetof(struct policy_config, workers),
	 offsetof(struct policy_config, worker_lcore) - offsetof(struct policy_config, workers) +
		 sizeof(((struct policy_config *)0)->worker_lcore),
	 .def = "[0]", .max = LCORES - 1, .fn = read_workers,
	 .how = "list of 1 to 32 processor numbers, 0 to 127",
	 .doc = "Processors that move packets, one worker on each. A flow stays on one of them."},
	{"callout", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_config, callout_lcore), .def = "0",
	 .max = LCORES - 1,
	 .doc = "Processor of the callout connections. It may be one of the workers', which then "
		"does both in turn."},
	{"idle-backoff", POLICY_T_BOOL, 0, POLICY_AT(struct policy_config, idle_backoff),
	 .def = "true",
	 .doc = "Sleep for moments when there is no traffic. `false` polls without pause: lowest "
		"latency, processors always at 100 %."},
};
static const struct policy_section lcores_section = POLICY_SECTION("lcores", lcores_keys);

static const struct policy_key limits_keys[] = {
	{"flows", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, flows), .def = "65536",
	 .min = 16, .max = 1 << 24,
	 .doc = "Selected flows per worker. Beyond it a new flow crosses untouched. Each takes at most 640 octets "
		"of hugepage memory."},
	{"active-flows", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, active_flows), .def = "65536",
	 .min = 16, .max = 1 << 24,
	 .doc = "How many of them may have something under way at a time, 1.5 KiB more for each; the others are "
		"idle. Beyond it the one that has been quiet longest gives way; if there is none, a segment of an "
		"idle flow is dropped and comes again."},
	{"mbufs", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, mbufs), .def = "65536",
	 .min = 1024, .max = 1 << 24,
	 .doc = "Packet buffers of the port pair, about 2.3 KiB of hugepage memory each."},
	{"receive-buffer", POLICY_T_SIZE, 0, POLICY_AT(struct policy_limits, receive_buffer),
	 .def = "1MiB", .min = 4096, .max = 1 << 30,
	 .doc = "Largest window a TCP half advertises."},
	{"reassembly", POLICY_T_SIZE, 0, POLICY_AT(struct policy_limits, reassembly), .def = "0",
	 .max = (int64_t)1 << 40,
	 .doc = "Octets received ahead of their turn that a worker keeps for all its flows together; more are "
		"as if lost on their way. 0: an eighth of the packet buffers."},
	{"preservation", POLICY_T_SIZE, 0, POLICY_AT(struct policy_limits, preservation),
	 .def = "128MiB", .max = (int64_t)1 << 40,
	 .doc = "Octets of originals a worker keeps for all its messages together."},
	{"preservation-per-message", POLICY_T_SIZE, 0,
	 POLICY_AT(struct policy_limits, preservation_flow), .def = "4MiB", .max = (int64_t)1 << 40,
	 .doc = "Octets of its original kept for one message, where its rule does not say "
		"(`preserve`)."},
	{"transactions", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, transactions),
	 .def = "1024", .min = 1, .max = 65536,
	 .doc = "Open OCP transactions per connection. Beyond it the failure policy for `overload` "
		"applies."},
	{"callout-ring", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, callout_ring),
	 .def = "4096", .min = 64, .max = 1 << 20,
	 .doc = "Entries of the ring between a worker and the callout processor, per direction; a "
		"power of two."},
	{"idle-timeout", POLICY_T_DURATION, 0, POLICY_AT(struct policy_limits, idle_timeout_us),
	 .def = "1h", .min = 1000000, .max = 2592000000000,
	 .doc = "A selected flow of which an end has been silent for this long, and does not answer when asked "
		"(`tcp.keepalive-probes`), is forgotten."},
	{"handshake-timeout", POLICY_T_DURATION, 0,
	 POLICY_AT(struct policy_limits, handshake_timeout_us), .def = "30s", .min = 100000,
	 .max = 600000000, .doc = "Likewise before its handshake is complete."},
	{"http-head", POLICY_T_SIZE, 0, POLICY_AT(struct policy_limits, http_head), .def = "64KiB",
	 .min = 1024, .max = 65536,
	 .doc = "Longest head (start line and fields) of an HTTP message."},
	{"fragments", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, fragments), .def = "1024", .min = 16, .max = 65536,
	 .doc = "TCP segments in IP fragments that a worker puts together at a time. Beyond it the oldest is dropped."},
	{"fragment-octets", POLICY_T_SIZE, 0, POLICY_AT(struct policy_limits, fragment_octets), .def = "4MiB", .min = 65536,
	 .max = 1 << 30,
	 .doc = "Packet buffers a worker holds for them, likewise; never more than a quarter of all."},
	{"fragment-timeout", POLICY_T_DURATION, 0, POLICY_AT(struct policy_limits, fragment_timeout_us), .def = "10s",
	 .min = 100000, .max = 60000000, .doc = "One that is not whole after this long is dropped."},
	{"half-open", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_limits, half_open), .def = "0", .max = 1 << 20,
	 .doc = "Selected flows per worker whose handshake is not complete. 0: a quarter of `flows`, at most 16384. "
		"Beyond half of it the oldest are forgotten after 3 s in place of `handshake-timeout`, beyond it "
		"`tcp.half-open-exceeded` decides."},
};
static const struct policy_section limits_section = POLICY_SECTION("limits", limits_keys);

static const struct policy_key tcp_keys[] = {
	{"mid-stream", POLICY_T_ENUM, 0, POLICY_AT(struct policy_tcp, mid_stream), .def = "pass",
	 .words = policy_mid_stream_words,
	 .doc = "Segments of connections that a rule would select and whose beginning was not seen. `pass`: they cross "
		"untouched. `drop`: they do not. `reset`: nor do they, and their sender is told by a reset, at most "
		"200 a second and worker."},
	{"half-open-exceeded", POLICY_T_ENUM, 0, POLICY_AT(struct policy_tcp, half_open_exceeded), .def = "bypass",
	 .words = policy_half_open_words,
	 .doc = "A new connection beyond `limits.half-open`. `bypass`: it crosses untouched, no service sees it. `drop`: "
		"its SYN is dropped, and comes again a second later."},
	{"congestion-control", POLICY_T_ENUM, 0, POLICY_AT(struct policy_tcp, congestion), .def = "cubic",
	 .words = policy_congestion_words,
	 .doc = "How fast a TCP half sends: `cubic` (RFC 9438), `newreno` (RFC 5681)."},
	{"keepalive-probes", POLICY_T_INTEGER, 0, POLICY_AT(struct policy_tcp, keepalive_probes), .def = "3", .max = 100,
	 .doc = "An end that has been silent for `limits.idle-timeout` is asked so many times whether it is still there. If it "
		"does not answer, the other end gets a reset and the flow is forgotten. 0: it is not asked."},
	{"keepalive-interval", POLICY_T_DURATION, 0, POLICY_AT(struct policy_tcp, keepalive_interval_us), .def = "10s",
	 .min = 100000, .max = 3600000000, .doc = "How long each answer is waited for."},
};
static const struct policy_section tcp_section = POLICY_SECTION("tcp", tcp_keys);

static const struct policy_key root_keys[] = {
	{"name", POLICY_T_STRING, POLICY_RESTART, POLICY_AT(struct policy_config, name),
	 .def = "opes", .min = 1, .doc = "Name of this appliance, told to callout servers."},
	{"dpdk", POLICY_T_SECTION, POLICY_RESTART, 0, 0, .section = &dpdk_section,
	 .doc = "DPDK's environment."},
	{"control-socket", POLICY_T_STRING, POLICY_RESTART,
	 POLICY_AT(struct policy_config, control_socket), .def = "/run/opes/control.sock", .min = 1,
	 .doc = "Unix socket `opes-control` serves and `opesctl` asks."},
	{"ports", POLICY_T_SECTION, POLICY_REQUIRED | POLICY_RESTART,
	 offsetof(struct policy_config, port), 0, .section = &ports_section,
	 .doc = "The two ends of the cable."},
	{"lcores", POLICY_T_SECTION, POLICY_RESTART, 0, 0, .section = &lcores_section,
	 .doc = "Who runs where."},
	{"limits", POLICY_T_SECTION, POLICY_RESTART, offsetof(struct policy_config, limits), 0,
	 .section = &limits_section, .doc = "Sizes fixed at start."},
	{"tcp", POLICY_T_SECTION, POLICY_RESTART, offsetof(struct policy_config, tcp), 0,
	 .section = &tcp_section, .doc = "How selected TCP connections are treated."},
	{"opes", POLICY_T_SECTION, 0, offsetof(struct policy_config, opes), 0, .section = &policy_opes_section,
	 .doc = "What the ends are told of the appliance and may ask of it; see docs/opes-compliance.md."},
	{"services", POLICY_T_CUSTOM, 0, 0, 0, .section = &policy_service_section,
	 .fn = policy_read_services, .how = "list of up to 64 maps", .doc = "Callout services."},
	{"rules", POLICY_T_CUSTOM, 0, 0, 0, .section = &policy_rule_section,
	 .fn = policy_read_rules, .how = "list of up to 65536 maps",
	 .doc = "What is done with which traffic; the first rule that matches counts."},
};
const struct policy_section policy_root_section = POLICY_SECTION("configuration", root_keys);

static void read_workers(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	struct policy_config *c = base;
	uint32_t n = policy_node_count(node),
		 max = sizeof(c->worker_lcore) / sizeof(*c->worker_lcore);
	struct policy_key one = *k;

	if (node->type != YAML_SEQUENCE_NODE || n < 1 || n > max) {
		policy_reader_error(r, node, "workers must be a list of 1 to %u processor numbers.",
				    max);
		return;
	}
	one.type = POLICY_T_INTEGER;
	one.size = sizeof(uint32_t);
	for (uint32_t i = 0; i < n; i++) {
		yaml_node_t *item = policy_node_item(r, node, i);

		one.offset = (uint32_t)offsetof(struct policy_config, worker_lcore) + 4 * i;
		if (!policy_schema_value(r, &one, item, base))
			continue;
		for (uint32_t j = 0; j < i; j++) {
			if (c->worker_lcore[j] == c->worker_lcore[i]) {
				policy_reader_error(r, item, "workers names processor %u twice.",
						    c->worker_lcore[i]);
				break;
			}
		}
	}
	c->workers = n;
}

/* The value of "iface=" in a device's arguments; its length, 0 if none. */
static size_t device_iface(const char *dev, const char **at)
{
	const char *p = strstr(dev, ",iface=");

	if (!p)
		return 0;
	*at = p + 7;
	return strcspn(*at, ",");
}

static void check_ports(struct policy_reader *r, yaml_node_t *root)
{
	yaml_node_t *outside = policy_node_find(r, policy_node_find(r, root, "ports"), "outside");
	yaml_node_t *at = policy_node_find(r, outside, "device");
	const char *a = r->cfg->port[0].device, *b = r->cfg->port[1].device, *ia = "", *ib = "";
	size_t la = strcspn(a, ","), lb = strcspn(b, ",");

	if (!at || !*a || !*b)
		return;
	if (la == lb && !strncmp(a, b, la)) {
		policy_reader_error(r, at,
				    "ports.inside and ports.outside are the same device '%.*s'; an "
				    "appliance in a cable needs two.",
				    (int)la, a);
		return;
	}
	la = device_iface(a, &ia);
	lb = device_iface(b, &ib);
	if (la && la == lb && !strncmp(ia, ib, la))
		policy_reader_error(r, at,
				    "ports.inside and ports.outside use the same interface '%.*s'; "
				    "an appliance in a cable needs two.",
				    (int)la, ia);
}

static void check_limits(struct policy_reader *r, yaml_node_t *root)
{
	const struct policy_limits *l = &r->cfg->limits;
	yaml_node_t *limits = policy_node_find(r, root, "limits");
	yaml_node_t *at;

	at = policy_node_find(r, limits, "callout-ring");
	if (at && (l->callout_ring & (l->callout_ring - 1)))
		policy_reader_error(r, at, "callout-ring must be a power of two, %u is not.",
				    l->callout_ring);
	at = policy_node_find(r, limits, "preservation-per-message");
	if (!at)
		at = policy_node_find(r, limits, "preservation");
	if (at && l->preservation_flow > l->preservation)
		policy_reader_error(r, at,
				    "preservation-per-message is more than preservation, what all "
				    "messages of a worker may keep together.");
}

static void check_socket(struct policy_reader *r, yaml_node_t *root)
{
	yaml_node_t *at = policy_node_find(r, root, "control-socket");

	if (at && *r->cfg->control_socket && *r->cfg->control_socket != '/')
		policy_reader_error(r, at, "control-socket must be an absolute path.");
}

static int error_order(const void *x, const void *y)
{
	const struct policy_error *a = x, *b = y;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column == b->column ? 0 : a->column < b->column ? -1 : 1;
}

static void read_document(struct policy_reader *r)
{
	yaml_node_t *root = yaml_document_get_root_node(r->doc);

	if (!root) {
		policy_reader_error(
			r, NULL,
			"The file is empty; at least ports.inside and ports.outside are needed.");
		return;
	}
	r->cfg->workers = 1;
	policy_schema_read(r, &policy_root_section, root, root, r->cfg);
	check_ports(r, root);
	check_limits(r, root);
	check_socket(r, root);
	policy_check_opes(r, policy_node_find(r, root, "opes"));
	if (policy_regex_compile(r->rules, r->file, r->errs))
		r->no_memory = true;
}

/* Octets libyaml refuses are named by their offset alone. */
static void bad_octet(struct policy_reader *r, const yaml_parser_t *p, const char *text, size_t len)
{
	uint32_t line = 1, column = 1;

	for (size_t i = 0; i < p->problem_offset && i < len; i++) {
		column = text[i] == '\n' ? 1 : column + 1;
		line += text[i] == '\n';
	}
	policy_errors_add(r->errs, r->file, line, column, "Not YAML: %s.",
			  p->problem ? p->problem : "unreadable text");
}

static void syntax_error(struct policy_reader *r, const yaml_parser_t *p, const char *text,
			 size_t len)
{
	if (p->error == YAML_MEMORY_ERROR)
		r->no_memory = true;
	else if (p->error == YAML_READER_ERROR)
		bad_octet(r, p, text, len);
	else
		policy_errors_add(r->errs, r->file, (uint32_t)p->problem_mark.line + 1,
				  (uint32_t)p->problem_mark.column + 1, "Not YAML: %s%s%s.",
				  p->problem ? p->problem : "unreadable text",
				  p->context ? " " : "", p->context ? p->context : "");
}

/* Reads the one document; true when r->doc is loaded. */
static bool load(struct policy_reader *r, yaml_parser_t *p, const char *text, size_t len)
{
	yaml_document_t more;
	bool second;

	if (!yaml_parser_load(p, r->doc)) {
		syntax_error(r, p, text, len);
		return false;
	}
	if (!yaml_document_get_root_node(r->doc))
		return true;
	if (!yaml_parser_load(p, &more)) {
		syntax_error(r, p, text, len);
		return true;
	}
	second = yaml_document_get_root_node(&more) != NULL;
	if (second)
		policy_reader_error(r, yaml_document_get_root_node(&more),
				    "A second document begins here; the configuration is one.");
	yaml_document_delete(&more);
	return true;
}

static int parse(struct policy_reader *r, const char *text, size_t len)
{
	yaml_document_t doc;
	yaml_parser_t p;

	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	r->doc = &doc;
	if (load(r, &p, text, len)) {
		read_document(r);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&p);
	if (r->no_memory)
		return -ENOMEM;
	qsort(r->errs->e, r->errs->count < POLICY_ERRORS_MAX ? r->errs->count : POLICY_ERRORS_MAX,
	      sizeof(r->errs->e[0]), error_order);
	return r->errs->count ? -EINVAL : 0;
}

int policy_config_parse(const char *name, const char *text, size_t len, struct policy_config **out,
			struct policy_errors *errs)
{
	struct policy_reader r = {.file = name, .errs = errs};
	int rc = -ENOMEM;

	*out = NULL;
	errs->count = 0;
	r.cfg = calloc(1, sizeof(*r.cfg));
	r.rules = policy_rules_new();
	if (r.cfg) {
		r.cfg->rules_private = r.rules;
		snprintf(r.cfg->file, sizeof(r.cfg->file), "%s", name);
		snprintf(r.cfg->port[0].name, sizeof(r.cfg->port[0].name), "inside");
		snprintf(r.cfg->port[1].name, sizeof(r.cfg->port[1].name), "outside");
	}
	if (r.cfg && r.rules)
		rc = parse(&r, text, len);
	if (rc == -ENOMEM)
		policy_errors_add(errs, name, 1, 1,
				  "Out of memory while reading the configuration.");
	if (!rc) {
		*out = r.cfg;
		return 0;
	}
	if (r.cfg)
		policy_config_free(r.cfg);
	else
		policy_rules_free(r.rules);
	return rc;
}

/* The whole file, malloc'd. 0 or -errno. */
static int slurp(const char *path, char **text, size_t *len)
{
	FILE *f = fopen(path, "re");
	size_t cap = 65536, n = 0, got;
	char *buf = NULL, *p;
	int rc = 0;

	if (!f)
		return -errno;
	while (!rc) {
		p = realloc(buf, cap);
		if (!p) {
			rc = -ENOMEM;
			break;
		}
		buf = p;
		got = fread(buf + n, 1, cap - n, f);
		n += got;
		if (ferror(f))
			rc = errno ? -errno : -EIO;
		else if (n < cap)
			break;
		else if (cap >= FILE_MAX)
			rc = -EFBIG;
		cap *= 2;
	}
	fclose(f);
	if (rc) {
		free(buf);
		return rc;
	}
	*text = buf;
	*len = n;
	return 0;
}

int policy_config_read(const char *path, struct policy_config **out, struct policy_errors *errs)
{
	size_t len = 0;
	char *text = NULL;
	int rc = slurp(path, &text, &len);

	if (rc) {
		*out = NULL;
		errs->count = 0;
		policy_errors_add(errs, path, 1, 1, "The configuration cannot be read: %s.",
				  strerror(-rc));
		return rc;
	}
	rc = policy_config_parse(path, text, len, out, errs);
	free(text);
	return rc;
}

void policy_config_free(struct policy_config *c)
{
	if (!c)
		return;
	policy_rules_free(c->rules_private);
	free(c->services);
	free(c);
}

const char *policy_config_restart_needed(const struct policy_config *running,
					 const struct policy_config *next)
{
	static _Thread_local char path[128];

	return policy_schema_differs(&policy_root_section, running, next, 0, path, sizeof(path))
		       ? path
		       : NULL;
}
