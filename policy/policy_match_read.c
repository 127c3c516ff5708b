/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "policy/policy_match_read.h"
#include "policy/policy_value.h"
#include "policy/policy_words.h"

#define DIRECTION_INSIDE 1u
#define DIRECTION_OUTSIDE 2u

static void read_kind(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
		      void *base);
static void read_prefixes(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			  void *base);
static void read_ranges(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			void *base);
static void read_subject(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);
static void read_headers(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base);
static void read_status(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			void *base);
static void read_envelope(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			  void *base);

static const struct policy_word kinds[] = {
	{"request", POLICY_KIND_REQUEST},
	{"response", POLICY_KIND_RESPONSE},
	{"stream", POLICY_KIND_STREAM},
	{NULL, 0},
};
static const struct policy_word directions[] = {
	{"any", DIRECTION_INSIDE | DIRECTION_OUTSIDE},
	{"inside-out", DIRECTION_INSIDE},
	{"outside-in", DIRECTION_OUTSIDE},
	{NULL, 0},
};

#define FULL(member) POLICY_AT(struct policy_rule_full, member)
#define PREFIXES "IP address or prefix, or a list of them"
#define STRINGS "text condition, or a list of them"

/* offset: the list; its length stands at the offset count_of() finds. min of a subject: enum
 * policy_subject. */
static const struct policy_key match_keys[] = {
	{"protocol", POLICY_T_ENUM, 0, FULL(pub.protocol), .words = policy_protocol_words,
	 .doc = "How the flow is cut into messages. Needed by every rule but `bypass` and `tunnel`: what the "
		"first rule that may match a flow says holds for the whole flow, and rules with "
		"the other one take no part in it."},
	{"kind", POLICY_T_CUSTOM, 0, FULL(pub.kinds), .fn = read_kind,
	 .how = "`request`, `response`, `stream` or a list of them",
	 .doc = "Which messages. Absent: `request` and `response` for http and rtsp, `request` (a mail) for "
		"smtp, `stream` (each direction of the flow is one) for tcp."},
	{"direction", POLICY_T_ENUM, 0, FULL(direction), .def = "any", .words = directions,
	 .doc = "Where the client sits: `inside-out` on the inside port, `outside-in` on the "
		"outside port."},
	{"client", POLICY_T_CUSTOM, 0, FULL(client), .fn = read_prefixes, .how = PREFIXES,
	 .doc = "Address of the end that opens the connection."},
	{"server", POLICY_T_CUSTOM, 0, FULL(server), .fn = read_prefixes, .how = PREFIXES,
	 .doc = "Address of the other end."},
	{"client-port", POLICY_T_CUSTOM, 0, FULL(client_port), .max = 65535, .fn = read_ranges,
	 .how = "port, range `8000-8999`, or a list of them", .doc = "TCP port of the client."},
	{"server-port", POLICY_T_CUSTOM, 0, FULL(server_port), .max = 65535, .fn = read_ranges,
	 .how = "port, range `8000-8999`, or a list of them", .doc = "TCP port of the server."},
	{"vlan", POLICY_T_CUSTOM, 0, FULL(vlan), .max = 4094, .fn = read_ranges,
	 .how = "VLAN id 0 to 4094, range, or a list of them",
	 .doc = "Outer VLAN id; 0 is untagged."},
	{"method", POLICY_T_CUSTOM, 0, 0, 0, .min = POLICY_SUBJECT_METHOD, .fn = read_subject,
	 .how = "text condition, or a list of them; no regex",
	 .doc = "Method of the request, case counts."},
	{"host", POLICY_T_CUSTOM, 0, 0, 0, .min = POLICY_SUBJECT_HOST, .fn = read_subject,
	 .how = STRINGS, .doc = "Host of the request, without port and final dot, any case."},
	{"path", POLICY_T_CUSTOM, 0, 0, 0, .min = POLICY_SUBJECT_PATH, .fn = read_subject,
	 .how = STRINGS, .doc = "Path and query of the request as sent, case counts."},
	{"content-type", POLICY_T_CUSTOM, 0, 0, 0, .min = POLICY_SUBJECT_CONTENT_TYPE,
	 .fn = read_subject, .how = STRINGS,
	 .doc = "Media type of the message without parameters, any case."},
	{"headers", POLICY_T_CUSTOM, 0, 0, 0, .min = POLICY_SUBJECT_HEADER, .fn = read_headers,
	 .how = "list of maps `{name, value}`",
	 .doc = "Fields of the message itself. `name` in any case; `value` is a text condition, or "
		"a list of them, case counts; without it the field must be there. All entries must "
		"hold; of a field that is there more than once, one occurrence is enough."},
	{"status", POLICY_T_CUSTOM, 0, 0, 0, .min = POLICY_SUBJECT_STATUS, .max = 999,
	 .fn = read_status, .how = "status 100 to 999, range `300-399`, or a list of them",
	 .doc = "Status of a response. Interim responses (1xx) meet only rules that name their status, with the action "
		"`adapt` or `observe`."},
	{"sender", POLICY_T_CUSTOM, 0, 0, 0, .fn = read_envelope, .how = STRINGS,
	 .doc = "smtp: address of `MAIL FROM`, without angle brackets and in lower case; `<>` is the null "
		"sender."},
	{"recipient", POLICY_T_CUSTOM, 0, 0, 0, .fn = read_envelope, .how = STRINGS,
	 .doc = "smtp: address of a `RCPT TO` that the server has accepted, likewise; of several "
		"recipients one is enough."},
};
const struct policy_section policy_match_section = POLICY_SECTION("rules[].match", match_keys);

/* Takes n from what conditions may use in all; false and an error when it is used up. */
static bool spend(struct policy_reader *r, const yaml_node_t *node, uint32_t n)
{
	if (r->rules->items >= POLICY_ITEMS_MAX)
		return false; /* said already */
	r->rules->items += n;
	if (r->rules->items < POLICY_ITEMS_MAX)
		return true;
	policy_reader_error(r, node, "The conditions of all rules together are more than %u.",
			    POLICY_ITEMS_MAX);
	return false;
}

static void *take(struct policy_reader *r, size_t count, size_t size)
{
	void *p = policy_rules_alloc(r->rules, count, size);

	if (!p)
		r->no_memory = true;
	return p;
}

static void read_kind(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
		      void *base)
{
	struct policy_rule_full *rule = base;
	uint32_t n = policy_node_count(node);

	if (!n)
		policy_reader_error(r, node, "kind is an empty list; it matches nothing.");
	if (!spend(r, node, n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		yaml_node_t *item = policy_node_item(r, node, i);
		const char *text = policy_node_text(r, item, k->name);
		const struct policy_word *w =
			text ? policy_word_find(r, item, k->name, kinds, text) : NULL;

		if (w)
			rule->pub.kinds |= w->value;
	}
}

/* Where the length of the list at an offset is kept. */
static uint32_t *count_of(struct policy_rule_full *rule, uint32_t offset)
{
	const struct {
		uint32_t offset;
		uint32_t *count;
	} map[] = {
		{offsetof(struct policy_rule_full, client), &rule->nclient},
		{offsetof(struct policy_rule_full, server), &rule->nserver},
		{offsetof(struct policy_rule_full, client_port), &rule->nclient_port},
		{offsetof(struct policy_rule_full, server_port), &rule->nserver_port},
		{offsetof(struct policy_rule_full, vlan), &rule->nvlan},
	};
	uint32_t i = 0;

	while (i < 4 && map[i].offset != offset)
		i++;
	return map[i].count;
}

static void read_prefixes(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			  void *base)
{
	struct policy_rule_full *rule = base;
	uint32_t n = policy_node_count(node), *count = count_of(rule, k->offset);
	struct policy_prefix *list;

	if (!n)
		policy_reader_error(r, node, "%s is an empty list; it matches nothing.", k->name);
	if (!spend(r, node, n))
		return;
	list = take(r, n, sizeof(*list));
	if (!list)
		return;
	for (uint32_t i = 0; i < n; i++) {
		yaml_node_t *item = policy_node_item(r, node, i);
		const char *text = policy_node_text(r, item, k->name), *why;

		why = text ? policy_value_prefix(text, &list[i]) : NULL;
		if (why)
			policy_reader_error(r, item, "%s: '%.60s' %s.", k->name, text, why);
	}
	*(struct policy_prefix **)((char *)base + k->offset) = list;
	*count = n;
}

#define RANGE_VALUES 65536

/* Marks the values of a range as taken; false: one of them is already. Free values are marked once, so that a whole
 * list costs no more than there are values. */
static bool range_take(uint64_t taken[RANGE_VALUES / 64], const struct policy_range *range)
{
	for (uint32_t v = range->lo; v <= range->hi; v++) {
		if (taken[v / 64] & (UINT64_C(1) << (v % 64)))
			return false;
		taken[v / 64] |= UINT64_C(1) << (v % 64);
	}
	return true;
}

static struct policy_range *range_list(struct policy_reader *r, const struct policy_key *k,
				       yaml_node_t *node, uint32_t min, uint32_t *count)
{
	uint64_t taken[RANGE_VALUES / 64] = {0};
	uint32_t n = policy_node_count(node);
	struct policy_range *list;

	if (!n)
		policy_reader_error(r, node, "%s is an empty list; it matches nothing.", k->name);
	if (!spend(r, node, n))
		return NULL;
	list = take(r, n, sizeof(*list));
	for (uint32_t i = 0; list && i < n; i++) {
		yaml_node_t *item = policy_node_item(r, node, i);
		const char *text = policy_node_text(r, item, k->name);

		if (!text)
			continue;
		if (!policy_value_range(text, (uint32_t)k->max, &list[i]) || list[i].lo < min)
			policy_reader_error(r, item,
					    "%s: '%.40s' is neither a number %u to %u nor a range "
					    "LOW-HIGH of such.",
					    k->name, text, min, (uint32_t)k->max);
		else if (!range_take(taken, &list[i]))
			policy_reader_error(r, item, "%s: '%.40s' overlaps what the list names before.",
					    k->name, text);
	}
	*count = list ? n : 0;
	return list;
}

static void read_ranges(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			void *base)
{
	struct policy_range *list = range_list(r, k, node, 0, count_of(base, k->offset));

	*(struct policy_range **)((char *)base + k->offset) = list;
}

/* Room for more groups of the rule; NULL without memory. */
static struct policy_group *add_groups(struct policy_reader *r, struct policy_rule_full *rule,
				       uint32_t n)
{
	struct policy_group *g = take(r, rule->ngroups + n, sizeof(*g));

	if (!g)
		return NULL;
	if (rule->ngroups)
		memcpy(g, rule->group, rule->ngroups * sizeof(*g));
	rule->group = g;
	g += rule->ngroups;
	rule->ngroups += n;
	return g;
}

static const struct policy_word ops[] = {
	{"exact", POLICY_OP_EXACT},
	{"prefix", POLICY_OP_PREFIX},
	{"suffix", POLICY_OP_SUFFIX},
	{"regex", POLICY_OP_REGEX},
	{NULL, 0},
};

/* A condition on an address of a mail. */
static bool is_envelope(const struct policy_reader *r, const struct policy_group *g)
{
	return g->subject == POLICY_SUBJECT_HEADER && g->field >= POLICY_FIELD_HEADER &&
	       g->field < r->rules->nfields && r->rules->field[g->field].name[0] == ':';
}

static void set_term(struct policy_reader *r, const char *what, yaml_node_t *node,
		     const struct policy_group *g, enum policy_op op, struct policy_term *t)
{
	bool lower = op != POLICY_OP_REGEX &&
		     (g->subject == POLICY_SUBJECT_HOST || g->subject == POLICY_SUBJECT_CONTENT_TYPE ||
		      is_envelope(r, g));
	const char *text = policy_node_text(r, node, what);

	if (!text)
		return;
	if (!*text) {
		policy_reader_error(r, node, "%s: an empty text is no condition.", what);
		return;
	}
	if ((op == POLICY_OP_EXACT || op == POLICY_OP_PREFIX) && is_envelope(r, g) && *text == '<' &&
	    strcmp(text, "<>") != 0) {
		policy_reader_error(r, node, "%s: addresses are compared without angle brackets, leave them out.", what);
		return;
	}
	if (op == POLICY_OP_REGEX && g->subject == POLICY_SUBJECT_METHOD) {
		policy_reader_error(r, node, "%s takes no regex; list the methods.", what);
		return;
	}
	t->op = op;
	t->len = (uint32_t)strlen(text);
	t->text = policy_rules_strdup(r->rules, text, t->len, lower);
	if (t->text && op == POLICY_OP_REGEX)
		t->regex = policy_rules_regex(r->rules, g->field, t->text,
					      (uint32_t)node->start_mark.line + 1,
					      (uint32_t)node->start_mark.column + 1);
	if (!t->text || t->regex == UINT32_MAX)
		r->no_memory = true;
}

/* A scalar (exact), or a map of one of exact, prefix, suffix, regex. */
static void read_term(struct policy_reader *r, const char *what, yaml_node_t *node,
		      const struct policy_group *g, struct policy_term *t)
{
	yaml_node_pair_t *p;
	yaml_node_t *key;
	const char *text;
	const struct policy_word *w;

	if (node->type != YAML_MAPPING_NODE) {
		set_term(r, what, node, g, POLICY_OP_EXACT, t);
		return;
	}
	p = node->data.mapping.pairs.start;
	if (node->data.mapping.pairs.top - p != 1) {
		policy_reader_error(r, node,
				    "%s: a text condition has one key of exact, prefix, suffix, "
				    "regex; more conditions are a list.",
				    what);
		return;
	}
	key = yaml_document_get_node(r->doc, p->key);
	text = policy_node_text(r, key, "A key");
	w = text ? policy_word_find(r, key, what, ops, text) : NULL;
	if (w)
		set_term(r, what, yaml_document_get_node(r->doc, p->value), g,
			 (enum policy_op)w->value, t);
}

/* The conditions of a group whose subject and field are set: NODE, [NODE...] or {not: either}. */
static void read_group(struct policy_reader *r, const char *what, yaml_node_t *node,
		       struct policy_group *g)
{
	yaml_node_t *not = policy_node_find(r, node, "not");
	uint32_t n;

	if (not &&node->data.mapping.pairs.top - node->data.mapping.pairs.start == 1) {
		g->negate = true;
		node = not ;
	}
	n = policy_node_count(node);
	if (!n)
		policy_reader_error(r, node, "%s is an empty list; it matches nothing.", what);
	if (!spend(r, node, n))
		return;
	g->term = take(r, n, sizeof(*g->term));
	for (uint32_t i = 0; g->term && i < n; i++)
		read_term(r, what, policy_node_item(r, node, i), g, &g->term[i]);
	g->nterms = g->term ? n : 0;
}

static void read_subject(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	static const uint32_t fields[] = {
		[POLICY_SUBJECT_HOST] = POLICY_FIELD_HOST,
		[POLICY_SUBJECT_PATH] = POLICY_FIELD_PATH,
		[POLICY_SUBJECT_CONTENT_TYPE] = POLICY_FIELD_CONTENT_TYPE,
	};
	struct policy_group *g = add_groups(r, base, 1);

	if (!g)
		return;
	g->subject = (enum policy_subject)k->min;
	g->field = fields[k->min];
	read_group(r, k->name, node, g);
}

static void read_header(struct policy_reader *r, yaml_node_t *node, struct policy_group *g)
{
	yaml_node_t *name = policy_node_find(r, node, "name"),
		    *value = policy_node_find(r, node, "value");
	const char *text;
	int extra;

	if (node->type != YAML_MAPPING_NODE || !name) {
		policy_reader_error(r, node,
				    "headers: an entry is a map with name and, optionally, value.");
		return;
	}
	extra = (int)(node->data.mapping.pairs.top - node->data.mapping.pairs.start) - 1 -
		(value != NULL);
	if (extra)
		policy_reader_error(
			r, node,
			"headers: an entry has the keys name and value, each once, and no other.");
	text = policy_node_text(r, name, "headers: name");
	if (!text)
		return;
	if (!*text || text[strcspn(text, " \t\r\n:\"(),/;<=>?@[\\]{}")]) {
		policy_reader_error(r, name, "headers: '%.40s' is no field name.", text);
		return;
	}
	g->field = policy_rules_field(r->rules, text, strlen(text));
	if (g->field == UINT32_MAX) {
		g->field = POLICY_FIELD_HEADER;
		policy_reader_error(r, name,
				    "headers: the rules name more than %u different fields.",
				    POLICY_FIELDS_MAX - POLICY_FIELD_HEADER);
	} else if (value) {
		read_group(r, "headers: value", value, g);
	}
}

static void read_headers(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			 void *base)
{
	uint32_t n = policy_node_count(node);
	struct policy_group *g;

	if (node->type != YAML_SEQUENCE_NODE || !n) {
		policy_reader_error(r, node, "headers must be a list of maps {name, value}.");
		return;
	}
	if (!spend(r, node, n))
		return;
	g = add_groups(r, base, n);
	for (uint32_t i = 0; g && i < n; i++) {
		g[i].subject = POLICY_SUBJECT_HEADER;
		g[i].field = POLICY_FIELD_HEADER;
		read_header(r, policy_node_item(r, node, i), &g[i]);
	}
}

static void read_status(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			void *base)
{
	struct policy_group *g = add_groups(r, base, 1);

	if (!g)
		return;
	g->subject = POLICY_SUBJECT_STATUS;
	g->range = range_list(r, k, node, 100, &g->nranges);
}

static void read_envelope(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node,
			  void *base)
{
	const char *name = strcmp(k->name, "sender") ? POLICY_FIELD_RECIPIENT : POLICY_FIELD_SENDER;
	struct policy_group *g = add_groups(r, base, 1);

	if (!g)
		return;
	g->subject = POLICY_SUBJECT_HEADER;
	g->field = policy_rules_field(r->rules, name, strlen(name));
	if (g->field == UINT32_MAX) {
		g->field = POLICY_FIELD_HEADER;
		policy_reader_error(r, node, "%s: the rules name more than %u different fields.", k->name,
				    POLICY_FIELDS_MAX - POLICY_FIELD_HEADER);
		return;
	}
	read_group(r, k->name, node, g);
}

void policy_name_check(struct policy_reader *r, yaml_node_t *at, const char *name)
{
	if (at &&
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
		policy_reader_error(r, at,
				    "The name '%.64s' holds something other than letters, digits, "
				    "'.', '_' and '-'.",
				    name);
}

static void finish_tcp(struct policy_reader *r, yaml_node_t *match, struct policy_rule_full *rule)
{
	if (rule->ngroups)
		policy_reader_error(r, match,
				    "Rule '%s': method, host, path, content-type, headers and "
				    "status need protocol http or rtsp, sender and recipient smtp.",
				    rule->pub.name);
	if (rule->pub.kinds & ~POLICY_KIND_STREAM)
		policy_reader_error(r, policy_node_find(r, match, "kind"),
				    "Rule '%s': protocol tcp has only the kind stream.",
				    rule->pub.name);
	rule->pub.kinds = POLICY_KIND_STREAM;
}

static bool any_group(const struct policy_reader *r, const struct policy_rule_full *rule, bool envelope)
{
	for (uint32_t i = 0; i < rule->ngroups; i++) {
		if (is_envelope(r, &rule->group[i]) == envelope)
			return true;
	}
	return false;
}

static void finish_smtp(struct policy_reader *r, yaml_node_t *match, struct policy_rule_full *rule)
{
	if (any_group(r, rule, false))
		policy_reader_error(r, match,
				    "Rule '%s': method, host, path, content-type, headers and "
				    "status need protocol http or rtsp; smtp has sender and recipient.",
				    rule->pub.name);
	if (rule->pub.kinds & ~POLICY_KIND_REQUEST)
		policy_reader_error(r, policy_node_find(r, match, "kind"),
				    "Rule '%s': protocol smtp has only the kind request.",
				    rule->pub.name);
	rule->pub.kinds = POLICY_KIND_REQUEST;
}

/* Its status names interim responses and nothing else. */
static bool interim_only(const struct policy_rule_full *rule)
{
	bool any = false;

	for (uint32_t i = 0; i < rule->ngroups; i++) {
		for (uint32_t j = 0; j < rule->group[i].nranges; j++) {
			any = true;
			if (rule->group[i].range[j].hi >= 200)
				return false;
		}
	}
	return any;
}

static void finish_interim(struct policy_reader *r, yaml_node_t *match, struct policy_rule_full *rule)
{
	bool rtsp = rule->pub.protocol == POLICY_PROTO_RTSP;

	if (!interim_only(rule) ||
	    (!rtsp && rule->pub.action != POLICY_BLOCK && rule->pub.action != POLICY_TUNNEL))
		return;
	policy_reader_error(r, policy_node_find(r, match, "status"), rtsp ?
			    "Rule '%s': interim responses (1xx) of RTSP pass, no rule is about them." :
			    "Rule '%s': interim responses (1xx) pass, are adapted or observed; nothing else can be done with them.",
			    rule->pub.name);
}

static void finish_http(struct policy_reader *r, yaml_node_t *match, struct policy_rule_full *rule)
{
	if (any_group(r, rule, true))
		policy_reader_error(r, match, "Rule '%s': sender and recipient need protocol smtp.",
				    rule->pub.name);
	if (rule->pub.kinds & POLICY_KIND_STREAM)
		policy_reader_error(r, policy_node_find(r, match, "kind"),
				    "Rule '%s': protocols http and rtsp have the kinds request and response.",
				    rule->pub.name);
	if (!rule->pub.kinds)
		rule->pub.kinds = POLICY_KIND_REQUEST | POLICY_KIND_RESPONSE;
	finish_interim(r, match, rule);
}

void policy_match_finish(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule)
{
	yaml_node_t *match = policy_node_find(r, node, "match");
	yaml_node_t *protocol = policy_node_find(r, match, "protocol");
	bool bypass = policy_passes(rule->pub.action);
	bool message = rule->ngroups || rule->pub.kinds;

	if (!protocol && (!bypass || message) && policy_node_find(r, node, "action"))
		policy_reader_error(r, match ? match : node,
				    "Rule '%s': match needs protocol (http, rtsp, smtp or tcp)%s.",
				    rule->pub.name, bypass ? " with these conditions" : "");
	if (protocol && rule->pub.protocol == POLICY_PROTO_TCP)
		finish_tcp(r, match, rule);
	else if (protocol && rule->pub.protocol == POLICY_PROTO_SMTP)
		finish_smtp(r, match, rule);
	else if (protocol)
		finish_http(r, match, rule);
	/* Without message conditions a bypass takes the whole flow, whatever its framing would be.
	 */
	if (bypass && (!message || rule->pub.protocol == POLICY_PROTO_TCP))
		rule->pub.kinds = POLICY_KIND_REQUEST | POLICY_KIND_RESPONSE | POLICY_KIND_STREAM;
}

void policy_match_read(struct policy_reader *r, yaml_node_t *node, struct policy_rule_full *rule)
{
	policy_schema_read(r, &policy_match_section, node, node, rule);
}
