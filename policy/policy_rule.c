/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules[] section: everything of a rule but the conditions of its match. */
#include <stdlib.h>
#include <string.h>
#include "policy/policy_match_read.h"
#include "policy/policy_schema.h"
#include "policy/policy_value.h"
#include "policy/policy_words.h"

static void read_match(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
		       void *base);
static void read_service(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);
static void read_failure(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);

_Static_assert(POLICY_CAUSE_WORDS <= POLICY_CAUSES, "a cause has no cell in struct policy_rule");

#define RULE(member) POLICY_AT(struct policy_rule_full, pub.member)

static const struct policy_key rule_keys[] = {
	{"name", POLICY_T_STRING, POLICY_REQUIRED, RULE(name), .min = 1,
	 .doc = "Shown wherever the rule counts or acts; different from all others."},
	{"match", POLICY_T_CUSTOM, 0, 0, 0, .fn = read_match, .section = &policy_match_section,
	 .how = "map", .doc = "Conditions; all must hold. Absent: everything."},
	{"action", POLICY_T_ENUM, POLICY_REQUIRED, RULE(action), .words = policy_action_words,
	 .doc = "`bypass`: crosses untouched. `block`: HTTP and RTSP get an answer with the status of "
		"`answer`, a mail a reply with that code, any other flow a reset. `observe`: the service sees it, the traffic "
		"does not wait. `adapt`: the service decides what goes on. "
		"`tunnel`: this message and all that follows on its flow cross without a look, in "
		"both directions; messages that began before end as they would have."},
	{"service", POLICY_T_CUSTOM, 0, RULE(service), .fn = read_service,
	 .how = "name of a service",
	 .doc = "Required by `observe` and `adapt`, refused with the others."},
	{"on-failure", POLICY_T_CUSTOM, 0, RULE(on_failure), .def = "open", .fn = read_failure,
	 .how = "`open`, `closed` or `answer`; or a map of these by cause",
	 .doc = "When the service fails. `open`: the original goes on. `closed`: the flow is "
		"reset; the sender of a mail is told 451, to try later. `answer`: not for tcp, an error of ours "
		"with the status of `answer`. Causes: see below."},
	{"answer", POLICY_T_INTEGER, 0, RULE(answer_status), .min = 400, .max = 599,
	 .doc = "HTTP status of our own answers. Absent: 403 for `block`, else 502. SMTP: the reply code, "
		"400-459 or 500-559; absent: 550 for `block`, else 554."},
	{"starttls", POLICY_T_ENUM, 0, RULE(starttls), .def = "pass", .words = policy_starttls_words,
	 .doc = "smtp: `pass`: when client and server agree to speak TLS the flow becomes a tunnel, no mail of it is "
		"seen; an event tells. `strip`: the server's offer of STARTTLS is taken out, and the command "
		"refused. What the first rule that may match a flow says holds for it."},
	{"odd-ends", POLICY_T_ENUM, 0, RULE(odd_ends), .def = "pass", .words = policy_odd_ends_words,
	 .doc = "smtp: a line of one dot in a message, between line ends that are not both CRLF. It ends no message, but "
		"lenient servers take it for the end and what follows for commands (SMTP smuggling). `pass`: it is "
		"text, an event tells. `refuse`: the mail gets 550."},
	{"priority", POLICY_T_INTEGER, 0, RULE(priority), .min = INT32_MIN, .max = INT32_MAX,
	 .doc = "OCP connection priority of its transactions. Absent: its service's."},
	{"preserve", POLICY_T_SIZE, 0, RULE(preserve_max), .min = 0, .max = (int64_t)1 << 40,
	 .doc = "Octets of the original kept per message, so that it can go on without the "
		"service. Absent: `limits.preservation-per-message`."},
	{"bypassable", POLICY_T_ENUM, 0, RULE(bypassable), .words = policy_bypassable_words,
	 .doc = "As in `services[]`, for messages of this rule. Absent: as its service says."},
};
const struct policy_section policy_rule_section = POLICY_SECTION("rules[]", rule_keys);

static void read_match(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
		       void *base)
{
	policy_match_read(r, node, base);
}

static void read_service(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	struct policy_rule_full *rule = base;
	const char *names[POLICY_SERVICES_MAX], *text = policy_node_text(r, node, k->name), *near;

	if (!text)
		return;
	for (uint32_t i = 0; i < r->cfg->nservices; i++) {
		names[i] = r->cfg->services[i].name;
		if (!strcmp(names[i], text)) {
			rule->pub.service = i;
			return;
		}
	}
	near = policy_nearest(text, names, r->cfg->nservices);
	policy_reader_error(r, node, "There is no service '%.64s'%s%s%s", text,
			    near ? ", did you mean '" : "", near ? near : "", near ? "'?" : ".");
}

static bool failure_word(struct policy_reader *r, yaml_node_t *node, const char *what, uint8_t *out)
{
	const char *text = policy_node_text(r, node, what);
	const struct policy_word *w =
		text ? policy_word_find(r, node, what, policy_on_failure_words, text) : NULL;

	if (w)
		*out = (uint8_t)w->value;
	return w != NULL;
}

static void failure_map(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			uint8_t *cell)
{
	uint32_t seen = 0;

	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
	     p++) {
		yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
		const char *text = policy_node_text(r, key, "A cause");
		const struct policy_word *w =
			text ? policy_word_find(r, key, k->name, policy_cause_words, text) : NULL;

		if (!w)
			continue;
		if (seen & (1u << w->value))
			policy_reader_error(r, key, "The cause '%s' is given twice.", w->name);
		seen |= 1u << w->value;
		failure_word(r, yaml_document_get_node(r->doc, p->value), w->name, &cell[w->value]);
	}
	for (uint32_t i = 1; i < POLICY_CAUSES; i++) {
		if (!(seen & (1u << i)))
			cell[i] = cell[0];
	}
}

static void read_failure(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	struct policy_rule_full *rule = base;
	uint8_t *cell = rule->pub.on_failure;

	if (node->type == YAML_MAPPING_NODE)
		failure_map(r, k, node, cell);
	else if (failure_word(r, node, k->name, &cell[0]))
		memset(cell, cell[0], POLICY_CAUSES);
}

static void check_service(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule)
{
	bool needs = rule->pub.action == POLICY_OBSERVE || rule->pub.action == POLICY_ADAPT;
	yaml_node_t *at = policy_node_find(r, node, "service");

	if (needs && !at)
		policy_reader_error(r, node, "Rule '%s': action %s needs a service.",
				    rule->pub.name, policy_action_name(rule->pub.action));
	if (!needs && at)
		policy_reader_error(r, at, "Rule '%s': action %s uses no service.", rule->pub.name,
				    policy_action_name(rule->pub.action));
	at = policy_node_find(r, node, "bypassable");
	if (!needs && at)
		policy_reader_error(r, at, "Rule '%s': action %s uses no service that could be bypassed.", rule->pub.name,
				    policy_action_name(rule->pub.action));
	if (!at && rule->pub.service < r->cfg->nservices)
		rule->pub.bypassable = r->cfg->services[rule->pub.service].bypassable;
	if (!policy_node_find(r, node, "priority") && rule->pub.service < r->cfg->nservices)
		rule->pub.priority = r->cfg->services[rule->pub.service].priority;
}

/* The reply code of a mail is of RFC 5321 4.2.1's: the first digit 4 or 5, the second 0 to 5. */
static void check_answer(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule)
{
	bool smtp = rule->pub.protocol == POLICY_PROTO_SMTP, block = rule->pub.action == POLICY_BLOCK;
	static const char *const keys[] = {"starttls", "odd-ends"};
	yaml_node_t *at;

	for (uint32_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		at = policy_node_find(r, node, keys[i]);
		if (at && !smtp)
			policy_reader_error(r, at, "Rule '%s': %s needs protocol smtp.", rule->pub.name, keys[i]);
	}
	at = policy_node_find(r, node, "answer");
	if (at && smtp && rule->pub.answer_status % 100 > 59)
		policy_reader_error(r, at, "Rule '%s': %u is no SMTP reply code; take 400-459 or 500-559.",
				    rule->pub.name, rule->pub.answer_status);
	if (!rule->pub.answer_status)
		rule->pub.answer_status = smtp ? (block ? 550 : 554) : block ? 403 : 502;
}

static void check_failure(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule)
{
	yaml_node_t *at = policy_node_find(r, node, "on-failure");
	bool answer = false;

	for (uint32_t i = 0; i < POLICY_CAUSES; i++)
		answer |= rule->pub.on_failure[i] == POLICY_ANSWER;
	if (at && answer && rule->pub.protocol == POLICY_PROTO_TCP)
		policy_reader_error(r, at,
				    "Rule '%s': on-failure answer needs protocol http, rtsp or smtp; a "
				    "tcp stream has no answer, take open or closed.",
				    rule->pub.name);
	at = policy_node_find(r, node, "preserve");
	if (!at)
		rule->pub.preserve_max = r->cfg->limits.preservation_flow;
	else if (rule->pub.preserve_max > r->cfg->limits.preservation)
		policy_reader_error(r, at,
				    "Rule '%s': preserve is more than limits.preservation, what "
				    "all messages of a worker may keep together.",
				    rule->pub.name);
	check_answer(r, node, rule);
}

static void read_rule(struct policy_reader *r, yaml_node_t *node, yaml_node_t *parent,
		      struct policy_rule_full *rule)
{
	rule->pub.service = UINT32_MAX;
	rule->direction = 3;
	policy_schema_read(r, &policy_rule_section, node, parent, rule);
	if (node->type != YAML_MAPPING_NODE)
		return;
	policy_name_check(r, policy_node_find(r, node, "name"), rule->pub.name);
	policy_match_finish(r, node, rule);
	if (policy_node_find(r, node, "action"))
		check_service(r, node, rule);
	check_failure(r, node, rule);
}

/* Rule numbers ordered by name, then by place: equal names are neighbours. */
static int name_order(const void *x, const void *y, void *ctx)
{
	const struct policy_rule_full *rules = ctx;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	int d = strcmp(rules[a].pub.name, rules[b].pub.name);

	return d ? d : a < b ? -1 : 1;
}

static void check_names(struct policy_reader *r, yaml_node_t *node)
{
	const struct policy_rule_full *rules = r->rules->rule;
	uint32_t n = r->rules->nrules, *order = policy_rules_alloc(r->rules, n, sizeof(*order));

	if (!order) {
		r->no_memory = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), name_order, (void *)(uintptr_t)rules);
	for (uint32_t i = 1; i < n; i++) {
		const char *name = rules[order[i]].pub.name;

		if (*name && !strcmp(name, rules[order[i - 1]].pub.name))
			policy_reader_error(
				r, policy_node_find(r, policy_node_item(r, node, order[i]), "name"),
				"Two rules have the name '%s'.", name);
	}
}

void policy_read_rules(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
		       void *base)
{
	uint32_t n = policy_node_count(node);

	if (node->type != YAML_SEQUENCE_NODE) {
		policy_reader_error(r, node, "rules must be a list, here is %s.",
				    policy_node_kind(node));
		return;
	}
	if (n > POLICY_RULES_MAX) {
		policy_reader_error(r, node, "There are %u rules, more than %u.", n,
				    POLICY_RULES_MAX);
		return;
	}
	r->rules->rule = policy_rules_alloc(r->rules, n, sizeof(*r->rules->rule));
	if (!r->rules->rule) {
		r->no_memory = true;
		return;
	}
	r->rules->nrules = n;
	r->cfg->nrules = n;
	for (uint32_t i = 0; i < n; i++)
		read_rule(r, policy_node_item(r, node, i), node, &r->rules->rule[i]);
	check_names(r, node);
}
