/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include "policy/policy_match_read.h"
#include "policy/policy_schema.h"
#include "policy/policy_value.h"
#include "policy/policy_words.h"

static void read_address(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);
static void read_aux_parts(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			   void *base);

#define SERVICE(member) POLICY_AT(struct policy_service, member)

static const struct policy_key service_keys[] = {
	{"name", POLICY_T_STRING, POLICY_REQUIRED, SERVICE(name), .min = 1,
	 .doc = "What rules call it."},
	{"address", POLICY_T_CUSTOM, POLICY_REQUIRED, SERVICE(address), .fn = read_address,
	 .how = "`tcp:ADDRESS:PORT`, `tcp:[IPV6]:PORT` or `unix:/path`",
	 .doc = "Where its callout server listens. Names are not resolved."},
	{"uri", POLICY_T_STRING, 0, SERVICE(uri),
	 .doc = "OPES service identifier offered to the server. Absent: `urn:opes:service:` and "
		"the name."},
	{"dialect", POLICY_T_ENUM, 0, SERVICE(dialect), .def = "draft",
	 .words = policy_dialect_words,
	 .doc = "Dialect of OCP its server is addressed in: `draft`, or `core` (RFC 4037), where HTTP "
		"messages go under the profiles of RFC 4236."},
	{"connections", POLICY_T_INTEGER, 0, SERVICE(connections), .def = "1", .min = 1, .max = 64,
	 .doc = "Connections kept open for each priority in use."},
	{"priority", POLICY_T_INTEGER, 0, SERVICE(priority), .def = "0", .min = INT32_MIN,
	 .max = INT32_MAX, .doc = "Connection priority of rules that give none."},
	{"deadline", POLICY_T_DURATION, 0, SERVICE(deadline_us), .def = "30s", .min = 1000,
	 .max = 86400000000,
	 .doc = "A transaction without progress for this long fails with the cause `deadline`."},
	{"connect-timeout", POLICY_T_DURATION, 0, SERVICE(connect_timeout_us), .def = "3s",
	 .min = 1000, .max = 600000000, .doc = "Longest time for connecting and negotiating."},
	{"retry", POLICY_T_DURATION, 0, SERVICE(retry_us), .def = "250ms", .min = 1000,
	 .max = 30000000,
	 .doc = "Wait before connecting again; doubles with every failure up to 30s."},
	{"idle-probe", POLICY_T_DURATION, 0, SERVICE(idle_probe_us), .def = "15s", .min = 0,
	 .max = 86400000000,
	 .doc = "A connection silent for this long is asked for progress. 0 never asks."},
	{"probe-timeout", POLICY_T_DURATION, 0, SERVICE(probe_timeout_us), .def = "5s", .min = 1000,
	 .max = 600000000,
	 .doc = "The answer to that must come within this time, or the connection is taken for "
		"lost."},
	{"bypassable", POLICY_T_ENUM, 0, SERVICE(bypassable), .def = "clients", .words = policy_bypassable_words,
	 .doc = "Whether a request's `OPES-Bypass` may keep its messages from this service. `clients`: when it comes from one of "
		"`opes.bypass-clients`. `no`: it is invoked nevertheless, and the trace says so."},
	{"release-ahead", POLICY_T_BOOL, 0, SERVICE(release_ahead), .def = "false",
	 .doc = "When the service predicts that nothing of a message changes (`modp: 0`), octets go on "
		"before it says so of each. If it then changes one all the same, the transaction "
		"fails with the cause `protocol`."},
	{"aux-parts", POLICY_T_CUSTOM, 0, SERVICE(aux_request), .fn = read_aux_parts,
	 .how = "list of `request-header`",
	 .doc = "Dialect `core`: parts of the request offered with its response (RFC 4236 Aux-Parts). "
		"A server that wants them gets them before the response."},
	{"keep-content-md5", POLICY_T_BOOL, 0, SERVICE(keep_md5), .def = "false",
	 .doc = "A Content-MD5 field is removed from HTTP messages that may have been changed. "
		"`true`: it goes on as the service left it."},
	{"ack-all", POLICY_T_BOOL, 0, SERVICE(ack_all), .def = "false",
	 .doc = "Dialect `draft`, for debugging: the server is asked to acknowledge every data-have. "
		"The counter `callout_acks` counts what it acknowledged."},
};
const struct policy_section policy_service_section = POLICY_SECTION("services[]", service_keys);

static void read_address(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	struct policy_service *s = base;
	const char *text = policy_node_text(r, node, k->name), *why;

	if (!text)
		return;
	why = policy_value_address(text);
	if (why)
		policy_reader_error(r, node, "address '%.60s' %s.", text, why);
	else
		snprintf(s->address, sizeof(s->address), "%s", text);
}

static void read_aux_parts(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			   void *base)
{
	struct policy_service *s = base;

	for (uint32_t i = 0; i < policy_node_count(node); i++) {
		yaml_node_t *item = policy_node_item(r, node, i);
		const char *text = policy_node_text(r, item, k->name);

		if (text && policy_word_find(r, item, k->name, policy_aux_part_words, text))
			s->aux_request = true;
	}
}

/* Keys that mean nothing in the dialect would be believed to act. */
static void check_dialect(struct policy_reader *r, yaml_node_t *node, const struct policy_service *s)
{
	if (s->aux_request && s->dialect != POLICY_DIALECT_CORE)
		policy_reader_error(r, policy_node_find(r, node, "aux-parts"),
				    "aux-parts is of the dialect core: write 'dialect: core' or leave it out.");
	if (s->ack_all && s->dialect != POLICY_DIALECT_DRAFT)
		policy_reader_error(r, policy_node_find(r, node, "ack-all"),
				    "The dialect core has no acknowledgements: leave ack-all out.");
}

static void check_service(struct policy_reader *r, yaml_node_t *node, uint32_t i)
{
	struct policy_service *s = &r->cfg->services[i];

	for (uint32_t j = 0; j < i && *s->name; j++) {
		if (!strcmp(s->name, r->cfg->services[j].name)) {
			policy_reader_error(r, policy_node_find(r, node, "name"),
					    "Two services have the name '%s'.", s->name);
			break;
		}
	}
	policy_name_check(r, policy_node_find(r, node, "name"), s->name);
	check_dialect(r, node, s);
	if (!*s->uri)
		snprintf(s->uri, sizeof(s->uri), "urn:opes:service:%s", s->name);
	else if (!policy_uri_absolute(s->uri, strlen(s->uri)))
		policy_reader_error(r, policy_node_find(r, node, "uri"),
				    "uri '%.60s' is no URI that a trace can name: it needs a scheme and a colon at its begin, "
				    "and holds no space, quote, comma or angle bracket.",
				    s->uri);
}

void policy_read_services(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			  void *base)
{
	struct policy_config *c = base;
	uint32_t n = policy_node_count(node);

	if (node->type != YAML_SEQUENCE_NODE) {
		policy_reader_error(r, node, "services must be a list, here is %s.",
				    policy_node_kind(node));
		return;
	}
	if (n > POLICY_SERVICES_MAX) {
		policy_reader_error(r, node, "There are %u services, more than %u.", n,
				    POLICY_SERVICES_MAX);
		return;
	}
	c->services = calloc(n ? n : 1, sizeof(*c->services));
	if (!c->services) {
		r->no_memory = true;
		return;
	}
	c->nservices = n;
	for (uint32_t i = 0; i < n; i++) {
		yaml_node_t *item = policy_node_item(r, node, i);

		policy_schema_read(r, &policy_service_section, item, node, &c->services[i]);
		check_service(r, item, i);
	}
}
