/* SPDX-License-Identifier: BSD-3-Clause */
/* A matcher's life, and the search for the rules of a flow and of a message. */
#include <errno.h>
#include <rte_lcore.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_matcher.h"

void policy_probe_set(struct policy_probe *p, const struct policy_tuple *t)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(p->client, t->client, 16);
	memcpy(p->server, t->server, 16);
	p->client_v4 = !memcmp(t->client, mapped, sizeof(mapped));
	p->server_v4 = !memcmp(t->server, mapped, sizeof(mapped));
	p->direction = (uint8_t)(1u << (t->from_port & 1));
	p->client_port = t->client_port;
	p->server_port = t->server_port;
	p->vlan = t->vlan;
}

static bool prefix_match(const struct policy_matcher *m, struct policy_slice s,
			 const uint64_t addr[2], bool v4)
{
	const struct policy_prefix *p = m->prefix + s.first;

	if (!s.count)
		return true;
	for (uint32_t i = 0; i < s.count; i++, p++) {
		if (((addr[0] & p->mask[0]) ^ p->addr[0]) == 0 &&
		    ((addr[1] & p->mask[1]) ^ p->addr[1]) == 0 && !!p->v4 == v4)
			return true;
	}
	return false;
}

static bool range_match(const struct policy_matcher *m, struct policy_slice s, uint16_t v)
{
	const struct policy_range *r = m->range + s.first;

	if (!s.count)
		return true;
	for (uint32_t i = 0; i < s.count; i++, r++) {
		if (v >= r->lo && v <= r->hi)
			return true;
	}
	return false;
}

bool policy_probe_match(const struct policy_matcher *m, const struct policy_gate *g,
			const struct policy_probe *p)
{
	return (g->direction & p->direction) && range_match(m, g->server_port, p->server_port) &&
	       prefix_match(m, g->server, p->server, p->server_v4) &&
	       prefix_match(m, g->client, p->client, p->client_v4) &&
	       range_match(m, g->client_port, p->client_port) && range_match(m, g->vlan, p->vlan);
}

/*
 * decides: the first rule that is no conditional bypass; before: the first that is one. A
 * conditional bypass by itself is no reason to look at a flow, but where a later rule is, messages
 * must meet the bypass first.
 */
static void selection_set(const struct policy_matcher *m, int32_t decides, int32_t before,
			  struct policy_selection *out)
{
	const struct policy_gate *g;

	out->first = -1;
	out->protocol = POLICY_PROTO_TCP;
	if (decides < 0)
		return;
	g = &m->gate[decides];
	if (g->flags & POLICY_GATE_BYPASS)
		return;
	out->protocol = g->protocol;
	out->first = before >= 0 && before < decides && g->protocol != POLICY_PROTO_TCP ? before
											: decides;
}

void policy_select_linear(const struct policy_matcher *m, const struct policy_probe *p,
			  struct policy_selection *out)
{
	int32_t decides = -1, before = -1;

	for (uint32_t i = 0; i < m->nrules && decides < 0; i++) {
		const struct policy_gate *g = &m->gate[i];

		if ((g->flags & POLICY_GATE_CONDITION) && before >= 0)
			continue;
		if (!policy_probe_match(m, g, p))
			continue;
		if (g->flags & POLICY_GATE_CONDITION)
			before = (int32_t)i;
		else
			decides = (int32_t)i;
	}
	selection_set(m, decides, before, out);
}

void policy_select_flow(const struct policy_matcher *m, const struct policy_tuple *t,
			struct policy_selection *out)
{
	struct policy_probe p;
	int32_t first[2];

	policy_probe_set(&p, t);
	/* The classifier has one table per family; a tuple of two families is nothing a frame can
	 * hold. */
	if (!m->acl || p.client_v4 != p.server_v4) {
		policy_select_linear(m, &p, out);
		return;
	}
	policy_acl_classify(m->acl, &p, first);
	selection_set(m, first[0], first[1], out);
}

static bool rule_match(struct policy_matcher *m, uint32_t rule, const struct policy_selection *sel,
		       const struct policy_probe *p)
{
	const struct policy_gate *g = &m->gate[rule];

	if (!(g->flags & POLICY_GATE_BYPASS)) {
		if (g->protocol != sel->protocol || !(g->kinds & m->msg->kind))
			return false;
		if (g->host_hash && g->host_hash != m->host_hash)
			return false;
	}
	return policy_probe_match(m, g, p) && policy_message_match(m, g);
}

int32_t policy_match_linear(struct policy_matcher *m, const struct policy_tuple *t,
			    const struct policy_selection *sel, const struct policy_message *msg)
{
	struct policy_probe p;

	if (sel->first < 0)
		return -1;
	policy_probe_set(&p, t);
	policy_message_begin(m, msg);
	for (uint32_t i = (uint32_t)sel->first; i < m->nrules; i++) {
		if (rule_match(m, i, sel, &p))
			return (int32_t)i;
	}
	return -1;
}

/* The first candidate from rule i on that matches. */
static int32_t match_candidates(struct policy_matcher *m, uint32_t i,
				const struct policy_selection *sel, const struct policy_probe *p)
{
	const uint64_t *candidate = policy_index_candidates(m->index, m, p);
	uint64_t left, skip = UINT64_MAX << (i % 64);

	for (uint32_t w = i / 64; w <= m->nrules / 64; w++, skip = UINT64_MAX) {
		for (left = candidate[w] & skip; left; left &= left - 1) {
			i = w * 64 + (uint32_t)__builtin_ctzll(left);
			if (rule_match(m, i, sel, p))
				return (int32_t)i;
		}
	}
	return -1;
}

int32_t policy_match_message(struct policy_matcher *m, const struct policy_tuple *t,
			     const struct policy_selection *sel, const struct policy_message *msg)
{
	struct policy_probe p;

	if (sel->first < 0)
		return -1;
	if (!m->index)
		return policy_match_linear(m, t, sel, msg);
	policy_probe_set(&p, t);
	policy_message_begin(m, msg);
	/* Often the rule that selected the flow takes all its messages. */
	if (rule_match(m, (uint32_t)sel->first, sel, &p))
		return sel->first;
	return match_candidates(m, (uint32_t)sel->first + 1, sel, &p);
}

static int names_create(struct policy_matcher *m)
{
	uint32_t size = 8;

	while (size < 2 * m->nfields)
		size *= 2;
	m->name_mask = size - 1;
	m->name_table = calloc(size, sizeof(*m->name_table));
	if (!m->name_table)
		return -ENOMEM;
	for (uint32_t i = POLICY_FIELD_HEADER; i < m->nfields; i++) {
		uint32_t at = m->field[i].hash & m->name_mask;

		while (m->name_table[at])
			at = (at + 1) & m->name_mask;
		m->name_table[at] = (uint16_t)i;
	}
	return 0;
}

static int scratch_create(struct policy_matcher *m)
{
	for (uint32_t i = 0; i < m->nfields; i++) {
		const hs_database_t *db = (const void *)((const char *)m->img + m->field[i].db);

		if (!m->field[i].db_len)
			continue;
		switch (hs_alloc_scratch(db, &m->scratch)) {
		case HS_SUCCESS:
			break;
		case HS_NOMEM:
			return -ENOMEM;
		default:
			return -EINVAL;
		}
	}
	return 0;
}

int policy_matcher_create(struct policy_matcher **out, const struct policy_image *img,
			  int socket_id)
{
	struct policy_matcher *m;
	int rc;

	*out = NULL;
	if ((uintptr_t)img % POLICY_IMAGE_ALIGN)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->img = img;
	m->gate = policy_image_part(img, POLICY_PART_GATES);
	m->prefix = policy_image_part(img, POLICY_PART_PREFIXES);
	m->range = policy_image_part(img, POLICY_PART_RANGES);
	m->group = policy_image_part(img, POLICY_PART_GROUPS);
	m->term = policy_image_part(img, POLICY_PART_TERMS);
	m->field = policy_image_part(img, POLICY_PART_FIELDS);
	m->text = policy_image_part(img, POLICY_PART_TEXT);
	m->nrules = policy_image_rules(img);
	m->nfields = (uint32_t)img->part[POLICY_PART_FIELDS].count;
	m->hit = calloc(img->nregex / 64 + 1, sizeof(*m->hit));
	m->scanned = calloc(m->nfields / 64 + 1, sizeof(*m->scanned));
	rc = m->hit && m->scanned ? names_create(m) : -ENOMEM;
	if (!rc)
		rc = scratch_create(m);
	if (!rc && m->nrules > POLICY_LINEAR_MAX)
		rc = policy_index_create(&m->index, m);
	if (rc) {
		policy_matcher_destroy(m);
		return rc;
	}
	/* Where the classifier cannot be built (rules whose lists multiply beyond its bounds, no
	 * EAL), the linear search gives the same results. */
	if (m->nrules > POLICY_LINEAR_MAX && rte_lcore_count() &&
	    policy_acl_create(&m->acl, m, socket_id))
		m->acl = NULL;
	*out = m;
	return 0;
}

void policy_matcher_destroy(struct policy_matcher *m)
{
	if (!m)
		return;
	policy_acl_destroy(m->acl);
	policy_index_destroy(m->index);
	hs_free_scratch(m->scratch);
	free(m->name_table);
	free(m->hit);
	free(m->scanned);
	free(m);
}

const struct policy_image *policy_matcher_image(const struct policy_matcher *m)
{
	return m->img;
}

bool policy_matcher_classifies(const struct policy_matcher *m)
{
	return m->acl != NULL;
}
