/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_image.h"

/* Sections while they grow. */
struct builder {
	struct {
		char *data;
		size_t count, cap;
	} part[POLICY_PART_MAX];
	bool failed;
};

/* Room for n more elements, zeroed. NULL without memory, then failed is set. */
static void *add(struct builder *b, enum policy_part p, size_t n)
{
	size_t need = b->part[p].count + n, cap = b->part[p].cap ? b->part[p].cap : 16;
	char *at;

	while (cap < need)
		cap *= 2;
	if (cap != b->part[p].cap) {
		at = realloc(b->part[p].data, cap * policy_image_element[p]);
		if (!at) {
			b->failed = true;
			return NULL;
		}
		b->part[p].data = at;
		b->part[p].cap = cap;
	}
	at = b->part[p].data + b->part[p].count * policy_image_element[p];
	memset(at, 0, n * policy_image_element[p]);
	b->part[p].count = need;
	return at;
}

static struct policy_slice add_list(struct builder *b, enum policy_part p, const void *list,
				    uint32_t n)
{
	struct policy_slice s = {(uint32_t)b->part[p].count, n};
	void *at = n ? add(b, p, n) : NULL;

	if (at)
		memcpy(at, list, (size_t)n * policy_image_element[p]);
	return s;
}

static struct policy_slice add_terms(struct builder *b, const struct policy_rules *r,
				     const struct policy_group *g)
{
	struct policy_slice s = {(uint32_t)b->part[POLICY_PART_TERMS].count, g->nterms};

	for (uint32_t i = 0; i < g->nterms; i++) {
		const struct policy_term *from = &g->term[i];
		struct policy_image_term *t = add(b, POLICY_PART_TERMS, 1);

		if (!t)
			break;
		t->op = from->op;
		if (from->op == POLICY_OP_REGEX) {
			t->text = r->regex[from->regex].bit;
		} else {
			t->len = from->len;
			t->text = add_list(b, POLICY_PART_TEXT, from->text, from->len).first;
		}
	}
	return s;
}

static struct policy_slice add_groups(struct builder *b, const struct policy_rules *r,
				      const struct policy_rule_full *rule)
{
	struct policy_slice s = {(uint32_t)b->part[POLICY_PART_GROUPS].count, rule->ngroups};

	for (uint32_t i = 0; i < rule->ngroups; i++) {
		const struct policy_group *from = &rule->group[i];
		struct policy_image_group *g = add(b, POLICY_PART_GROUPS, 1);

		if (!g)
			break;
		g->subject = (uint8_t)from->subject;
		g->negate = from->negate;
		g->field = (uint16_t)from->field;
		if (from->subject == POLICY_SUBJECT_STATUS)
			g->terms = add_list(b, POLICY_PART_RANGES, from->range, from->nranges);
		else
			g->terms = add_terms(b, r, from);
	}
	return s;
}

static uint32_t host_hash(const struct policy_rule_full *rule)
{
	for (uint32_t i = 0; i < rule->ngroups; i++) {
		const struct policy_group *g = &rule->group[i];

		if (g->subject == POLICY_SUBJECT_HOST && !g->negate && g->nterms == 1 &&
		    g->term[0].op == POLICY_OP_EXACT)
			return policy_hash(g->term[0].text, g->term[0].len);
	}
	return 0;
}

static void add_rule(struct builder *b, const struct policy_rules *r,
		     const struct policy_rule_full *rule)
{
	struct policy_gate *g = add(b, POLICY_PART_GATES, 1);
	uint32_t all = POLICY_KIND_REQUEST | POLICY_KIND_RESPONSE | POLICY_KIND_STREAM;

	add_list(b, POLICY_PART_RULES, &rule->pub, 1);
	if (!g)
		return;
	g->protocol = (uint8_t)rule->pub.protocol;
	g->kinds = (uint8_t)rule->pub.kinds;
	g->direction = (uint8_t)rule->direction;
	if (policy_passes(rule->pub.action))
		g->flags = rule->pub.kinds == all && !rule->ngroups ? POLICY_GATE_BYPASS
								    : POLICY_GATE_CONDITION;
	g->host_hash = host_hash(rule);
	g->client = add_list(b, POLICY_PART_PREFIXES, rule->client, rule->nclient);
	g->server = add_list(b, POLICY_PART_PREFIXES, rule->server, rule->nserver);
	g->client_port = add_list(b, POLICY_PART_RANGES, rule->client_port, rule->nclient_port);
	g->server_port = add_list(b, POLICY_PART_RANGES, rule->server_port, rule->nserver_port);
	g->vlan = add_list(b, POLICY_PART_RANGES, rule->vlan, rule->nvlan);
	g->groups = add_groups(b, r, rule);
}

static void add_opes(struct builder *b, const struct policy_config *c)
{
	const struct policy_rules *r = c->rules_private;
	struct policy_image_opes *o = add(b, POLICY_PART_OPES, 1);

	if (!o)
		return;
	o->pub = c->opes;
	o->bypass_clients = add_list(b, POLICY_PART_PREFIXES, r->bypass_client, r->nbypass_client);
}

static size_t align(size_t n)
{
	return (n + POLICY_IMAGE_ALIGN - 1) & ~(size_t)(POLICY_IMAGE_ALIGN - 1);
}

/* Fields with room for their databases; db is an offset into that section until they are placed. */
static int add_fields(struct builder *b, const struct policy_rules *r)
{
	for (uint32_t i = 0; i < r->nfields; i++) {
		const struct policy_field *from = &r->field[i];
		struct policy_image_field *f = add(b, POLICY_PART_FIELDS, 1);
		size_t size = 0;

		if (!f)
			return -ENOMEM;
		f->len = from->len;
		f->hash = from->hash;
		f->name = add_list(b, POLICY_PART_TEXT, from->name, from->len).first;
		f->regex_first = from->regex_first;
		f->regex_count = from->regex_count;
		if (!from->db)
			continue;
		if (hs_serialized_database_size(from->db, from->db_len, &size) != HS_SUCCESS)
			return -EINVAL;
		f->db = b->part[POLICY_PART_DATABASES].count;
		f->db_len = size;
		if (!add(b, POLICY_PART_DATABASES, align(size)))
			return -ENOMEM;
	}
	return 0;
}

static int place_databases(struct policy_image *img, const struct policy_rules *r)
{
	struct policy_image_field *f = (void *)((char *)img + img->part[POLICY_PART_FIELDS].offset);

	for (uint32_t i = 0; i < r->nfields; i++) {
		if (!r->field[i].db)
			continue;
		f[i].db += img->part[POLICY_PART_DATABASES].offset;
		if (hs_deserialize_database_at(r->field[i].db, r->field[i].db_len,
					       (hs_database_t *)((char *)img + f[i].db)) !=
		    HS_SUCCESS)
			return -EINVAL;
	}
	return 0;
}

static int assemble(struct builder *b, const struct policy_rules *r, uint32_t generation,
		    struct policy_image **out)
{
	size_t len = align(sizeof(struct policy_image));
	struct policy_image *img;
	int rc;

	for (unsigned i = 0; i < POLICY_PART_MAX; i++)
		len += align(b->part[i].count * policy_image_element[i]);
	img = aligned_alloc(POLICY_IMAGE_ALIGN, len);
	if (!img)
		return -ENOMEM;
	memset(img, 0, len);
	img->magic = POLICY_IMAGE_MAGIC;
	img->version = POLICY_IMAGE_VERSION;
	img->generation = generation;
	img->length = len;
	img->nregex = r->nregex;
	snprintf(img->hyperscan, sizeof(img->hyperscan), "%s", hs_version());
	len = align(sizeof(struct policy_image));
	for (unsigned i = 0; i < POLICY_PART_MAX; i++) {
		size_t n = b->part[i].count * policy_image_element[i];

		img->part[i] = (struct policy_span){len, b->part[i].count};
		if (n)
			memcpy((char *)img + len, b->part[i].data, n);
		len += align(n);
	}
	rc = place_databases(img, r);
	if (rc) {
		free(img);
		return rc;
	}
	img->checksum = policy_image_checksum(img, img->length);
	*out = img;
	return 0;
}

int policy_compile(const struct policy_config *c, uint32_t generation, struct policy_image **out,
		   struct policy_errors *errs)
{
	const struct policy_rules *r = c->rules_private;
	struct builder b = {0};
	int rc;

	*out = NULL;
	if (errs)
		errs->count = 0;
	add_list(&b, POLICY_PART_SERVICES, c->services, c->nservices);
	for (uint32_t i = 0; i < r->nrules; i++)
		add_rule(&b, r, &r->rule[i]);
	add_opes(&b, c);
	rc = add_fields(&b, r);
	for (unsigned i = 0; i < POLICY_PART_MAX; i++) {
		if (b.part[i].count > UINT32_MAX)
			rc = -EFBIG; /* indexes are of 32 bits */
	}
	if (b.failed)
		rc = -ENOMEM;
	if (!rc)
		rc = assemble(&b, r, generation, out);
	for (unsigned i = 0; i < POLICY_PART_MAX; i++)
		free(b.part[i].data);
	if (rc)
		policy_errors_add(errs, c->file, 1, 1, "The rules cannot be compiled: %s.",
				  strerror(-rc));
	return rc;
}
