/* SPDX-License-Identifier: BSD-3-Clause */
/* The opes section: what the ends are told of this OPES system and what they may ask of it (RFC 3897, RFC 4236). */
#include <string.h>
#include <strings.h>
#include "policy/policy_image.h"
#include "policy/policy_schema.h"
#include "policy/policy_value.h"
#include "policy/policy_words.h"

static void read_uri(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node, void *base);
static void read_clients(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node, void *base);

#define OPES(member) POLICY_AT(struct policy_opes, member)
#define BYPASS_CLIENTS_MAX 1024

static const struct policy_word trace_words[] = {
	{"adapted", POLICY_TRACE_ADAPTED}, {"all", POLICY_TRACE_ALL}, {"off", POLICY_TRACE_OFF}, {NULL, 0}};
static const struct policy_word via_words[] = {
	{"when-present", POLICY_VIA_PRESENT}, {"always", POLICY_VIA_ALWAYS}, {NULL, 0}};
static const struct policy_word overflow_words[] = {
	{"cut", POLICY_TRACE_CUT}, {"refuse", POLICY_TRACE_REFUSE}, {NULL, 0}};

static const struct policy_key opes_keys[] = {
	{"system-uri", POLICY_T_CUSTOM, 0, OPES(system_uri), .fn = read_uri, .how = "absolute URI, at most 255 octets",
	 .doc = "Identifies this OPES system in `OPES-System`; should lead to a page that names its operator, its privacy policy and "
		"what it does to references. Absent: messages are not traced."},
	{"processor-uri", POLICY_T_CUSTOM, 0, OPES(processor_uri), .fn = read_uri, .how = "absolute URI, at most 255 octets",
	 .doc = "Identifies this appliance within the system; the parameter `processor` of its trace entries. Absent: not named."},
	{"trace", POLICY_T_ENUM, 0, OPES(trace), .def = "adapted", .words = trace_words,
	 .doc = "Which HTTP messages get a trace entry. `adapted`: those that a rule with `adapt` takes, and our own answers. `all`: also "
		"those that were looked at and went on as they were, but for the rules `bypass` and `tunnel`. `off`: none."},
	{"via", POLICY_T_ENUM, 0, OPES(via), .def = "when-present", .words = via_words,
	 .doc = "The same entry in `OPES-Via`: when the message has that field, or `always`."},
	{"service-entries", POLICY_T_BOOL, 0, OPES(service_entries), .def = "true",
	 .doc = "Entries that services append to `OPES-Via` stay. `false`: they are taken out."},
	{"trace-limit", POLICY_T_SIZE, 0, OPES(trace_limit), .def = "4KiB", .min = POLICY_TRACE_LIMIT_MIN,
	 .max = POLICY_TRACE_LIMIT_MAX, .doc = "Longest value of a trace field with our entry."},
	{"trace-overflow", POLICY_T_ENUM, 0, OPES(overflow), .def = "cut", .words = overflow_words,
	 .doc = "A trace that would be longer. `cut`: its oldest entries are left out. `refuse`: a message that comes with such a trace "
		"is answered in its place, a request with 431, a response with 502; what a service makes longer is cut."},
	{"bypass-clients", POLICY_T_CUSTOM, 0, 0, 0, .fn = read_clients, .how = "IP address or prefix, or a list of up to 1024",
	 .doc = "Clients whose `OPES-Bypass` is followed where services say `bypassable: clients`. Absent: none."},
};
const struct policy_section policy_opes_section = POLICY_SECTION("opes", opes_keys);

bool policy_uri_absolute(const char *s, size_t len)
{
	static const char more[] = "-._~:/?#[]@!$&'()*+;=%";
	size_t colon = 0;

	for (size_t i = 0; i < len; i++) {
		char c = policy_lower(s[i]);
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!alnum && (!c || !strchr(more, c)))
			return false;
		if (colon)
			continue;
		if (c == ':')
			colon = i;
		else if (i == 0 ? !(c >= 'a' && c <= 'z') : !alnum && !strchr("+-.", c))
			return false;
		if (c == ':' && i == 0)
			return false;
	}
	return colon != 0 && colon + 1 < len;
}

/* Octets of scheme and authority, or of scheme and namespace of a urn: those where case does not count. */
static size_t caseless(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len && s[i] != ':')
		i++;
	if (i + 2 < len && s[i + 1] == '/' && s[i + 2] == '/') {
		for (i += 3; i < len && !strchr("/?#", s[i]); i++)
			;
	} else if (i == 3 && strncasecmp(s, "urn", 3) == 0) {
		for (i++; i < len && s[i] != ':'; i++)
			;
	}
	return i;
}

bool policy_uri_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t n = caseless(a, a_len);

	return a_len == b_len && n == caseless(b, b_len) && strncasecmp(a, b, n) == 0 && memcmp(a + n, b + n, a_len - n) == 0;
}

static void read_uri(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node, void *base)
{
	const char *text = policy_node_text(r, node, k->name);

	if (!text)
		return;
	if (strlen(text) >= k->size)
		policy_reader_error(r, node, "%s is too long: %zu octets, at most %u.", k->name, strlen(text), k->size - 1);
	else if (!policy_uri_absolute(text, strlen(text)) || strchr(text, ';'))
		policy_reader_error(r, node,
				    "%s '%.60s' is no URI that a trace can begin with: it needs a scheme and a colon at its begin, and "
				    "holds no space, quote, comma, semicolon or angle bracket.",
				    k->name, text);
	else
		memcpy((char *)base + k->offset, text, strlen(text) + 1);
}

static void read_clients(struct policy_reader *r, const struct policy_key *k, yaml_node_t *node, void *base)
{
	uint32_t n = policy_node_count(node);
	struct policy_prefix *list;

	if (n > BYPASS_CLIENTS_MAX) {
		policy_reader_error(r, node, "%s has %u prefixes, more than %u.", k->name, n, BYPASS_CLIENTS_MAX);
		return;
	}
	list = policy_rules_alloc(r->rules, n, sizeof(*list));
	if (!list) {
		r->no_memory = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		yaml_node_t *item = policy_node_item(r, node, i);
		const char *text = policy_node_text(r, item, k->name);
		const char *why = text ? policy_value_prefix(text, &list[i]) : NULL;

		if (why)
			policy_reader_error(r, item, "%s: '%.60s' %s.", k->name, text, why);
	}
	r->rules->bypass_client = list;
	r->rules->nbypass_client = n;
}

void policy_check_opes(struct policy_reader *r, yaml_node_t *node)
{
	yaml_node_t *at = policy_node_find(r, node, "processor-uri");

	if (at && !*r->cfg->opes.system_uri)
		policy_reader_error(r, at, "opes: processor-uri is a parameter of the system's entry and needs system-uri.");
	at = policy_node_find(r, node, "trace");
	if (at && r->cfg->opes.trace != POLICY_TRACE_OFF && !*r->cfg->opes.system_uri)
		policy_reader_error(r, at, "opes: a trace names the system and needs system-uri.");
	at = policy_node_find(r, node, "via");
	if (at && r->cfg->opes.via == POLICY_VIA_ALWAYS && !*r->cfg->opes.system_uri)
		policy_reader_error(r, at, "opes: via always adds the system's entry and needs system-uri.");
}

enum policy_bypass_verdict policy_may_bypass(const struct policy_image *img, const struct policy_rule *r,
					     const uint8_t client[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct policy_image_opes *o = policy_image_part(img, POLICY_PART_OPES);
	const struct policy_prefix *p =
		(const struct policy_prefix *)policy_image_part(img, POLICY_PART_PREFIXES) + o->bypass_clients.first;
	bool v4 = memcmp(client, mapped, sizeof(mapped)) == 0;
	uint64_t addr[2];

	if (r->bypassable == POLICY_BYPASSABLE_YES)
		return POLICY_BYPASS_GRANTED;
	if (r->bypassable != POLICY_BYPASSABLE_CLIENTS)
		return POLICY_BYPASS_NOT_ALLOWED;
	memcpy(addr, client, sizeof(addr));
	for (uint32_t i = 0; i < o->bypass_clients.count; i++, p++) {
		if (((addr[0] & p->mask[0]) ^ p->addr[0]) == 0 && ((addr[1] & p->mask[1]) ^ p->addr[1]) == 0 && !!p->v4 == v4)
			return POLICY_BYPASS_GRANTED;
	}
	return POLICY_BYPASS_NOT_CLIENT;
}
