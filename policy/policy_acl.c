/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Classifier of flows: two rte_acl contexts, IPv4 and IPv6. A rule becomes one
 * entry for every combination of its lists. Category 0 holds the rules that
 * decide about a flow, category 1 the bypasses with message conditions; the
 * earlier rule has the higher priority.
 */
#include <errno.h>
#include <rte_acl.h>
#include <rte_byteorder.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_matcher.h"

/* Beyond these the linear search takes over: an entry costs hugepage memory per worker. */
#define ENTRIES_MAX 65536u
#define TABLE_MAX ((size_t)64 << 20)
#define CATEGORIES RTE_ACL_RESULTS_MULTIPLIER

#define FIELDS_V4 7
#define FIELDS_V6 13

/* Keys: network order, groups of four octets behind the first octet as rte_acl wants them. */
struct key_v4 {
	uint8_t direction, pad[3];
	uint32_t client, server;
	uint16_t client_port, server_port;
	uint16_t vlan, zero;
};
struct key_v6 {
	uint8_t direction, pad[3];
	uint32_t client[4], server[4];
	uint16_t client_port, server_port;
	uint16_t vlan, zero;
};

RTE_ACL_RULE_DEF(acl_entry, FIELDS_V6);

struct policy_acl {
	struct rte_acl_ctx *v4, *v6;
};

/* One way through a rule's lists. */
struct combination {
	const struct policy_prefix *client, *server;
	const struct policy_range *client_port, *server_port, *vlan;
};

static const struct policy_prefix any_prefix;
static const struct policy_range any_range = {0, UINT16_MAX};

#define FIELD(t, sz, i, in, off)                                                                   \
	{                                                                                          \
		.type = RTE_ACL_FIELD_TYPE_##t, .size = sz, .field_index = i, .input_index = in,   \
		.offset = off                                                                      \
	}

static void config_v4(struct rte_acl_config *c)
{
	static const struct rte_acl_field_def defs[FIELDS_V4] = {
		FIELD(BITMASK, 1, 0, 0, offsetof(struct key_v4, direction)),
		FIELD(MASK, 4, 1, 1, offsetof(struct key_v4, client)),
		FIELD(MASK, 4, 2, 2, offsetof(struct key_v4, server)),
		FIELD(RANGE, 2, 3, 3, offsetof(struct key_v4, client_port)),
		FIELD(RANGE, 2, 4, 3, offsetof(struct key_v4, server_port)),
		FIELD(RANGE, 2, 5, 4, offsetof(struct key_v4, vlan)),
		FIELD(RANGE, 2, 6, 4, offsetof(struct key_v4, zero)),
	};

	c->num_fields = FIELDS_V4;
	memcpy(c->defs, defs, sizeof(defs));
}

static void config_v6(struct rte_acl_config *c)
{
	static const struct rte_acl_field_def defs[FIELDS_V6] = {
		FIELD(BITMASK, 1, 0, 0, offsetof(struct key_v6, direction)),
		FIELD(MASK, 4, 1, 1, offsetof(struct key_v6, client[0])),
		FIELD(MASK, 4, 2, 2, offsetof(struct key_v6, client[1])),
		FIELD(MASK, 4, 3, 3, offsetof(struct key_v6, client[2])),
		FIELD(MASK, 4, 4, 4, offsetof(struct key_v6, client[3])),
		FIELD(MASK, 4, 5, 5, offsetof(struct key_v6, server[0])),
		FIELD(MASK, 4, 6, 6, offsetof(struct key_v6, server[1])),
		FIELD(MASK, 4, 7, 7, offsetof(struct key_v6, server[2])),
		FIELD(MASK, 4, 8, 8, offsetof(struct key_v6, server[3])),
		FIELD(RANGE, 2, 9, 9, offsetof(struct key_v6, client_port)),
		FIELD(RANGE, 2, 10, 9, offsetof(struct key_v6, server_port)),
		FIELD(RANGE, 2, 11, 10, offsetof(struct key_v6, vlan)),
		FIELD(RANGE, 2, 12, 10, offsetof(struct key_v6, zero)),
	};

	c->num_fields = FIELDS_V6;
	memcpy(c->defs, defs, sizeof(defs));
}

/* Words of an address from the given one on; the mask length is what falls into each word. */
static struct rte_acl_field *put_prefix(struct rte_acl_field *f, const struct policy_prefix *p,
					unsigned word)
{
	const uint8_t *addr = (const uint8_t *)p->addr;

	for (; word < 4; word++, f++) {
		uint32_t v, bits = p->bits > 32 * word ? p->bits - 32 * word : 0;

		memcpy(&v, addr + 4 * word, 4);
		f->value.u32 = rte_be_to_cpu_32(v);
		f->mask_range.u32 = bits > 32 ? 32 : bits;
	}
	return f;
}

static struct rte_acl_field *put_range(struct rte_acl_field *f, const struct policy_range *r)
{
	f->value.u16 = r->lo;
	f->mask_range.u16 = r->hi;
	return f + 1;
}

static int add_entry(struct rte_acl_ctx *ctx, const struct policy_gate *g,
		     const struct combination *c, uint32_t index, bool v4)
{
	struct acl_entry e = {
		.data.category_mask = g->flags & POLICY_GATE_CONDITION ? 2 : 1,
		.data.priority = (int32_t)(RTE_ACL_MAX_PRIORITY - index),
		.data.userdata = index + 1,
	};
	struct rte_acl_field *f = e.field;

	f->value.u8 = g->direction;
	f->mask_range.u8 = g->direction == 3 ? 0 : 3;
	if (g->direction == 3)
		f->value.u8 = 0;
	f++;
	f = put_prefix(f, c->client, v4 ? 3 : 0);
	f = put_prefix(f, c->server, v4 ? 3 : 0);
	f = put_range(f, c->client_port);
	f = put_range(f, c->server_port);
	f = put_range(f, c->vlan);
	put_range(f, &any_range);
	return rte_acl_add_rules(ctx, (struct rte_acl_rule *)&e, 1);
}

static uint64_t at_least_one(uint32_t n)
{
	return n ? n : 1;
}

/* Prefixes of one family in a list; an empty list is one that matches all. */
static uint64_t family_count(const struct policy_matcher *m, struct policy_slice s, bool v4)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s.count; i++)
		n += !!m->prefix[s.first + i].v4 == v4;
	return s.count ? n : 1;
}

static uint64_t entries(const struct policy_matcher *m, const struct policy_gate *g, bool v4)
{
	uint64_t n = family_count(m, g->client, v4);

	/* Each factor is bounded by POLICY_ITEMS_MAX, the product is cut before it can overflow. */
	n *= family_count(m, g->server, v4);
	if (n > ENTRIES_MAX)
		return ENTRIES_MAX + 1;
	n *= at_least_one(g->client_port.count);
	if (n > ENTRIES_MAX)
		return ENTRIES_MAX + 1;
	n *= at_least_one(g->server_port.count);
	if (n > ENTRIES_MAX)
		return ENTRIES_MAX + 1;
	return n * at_least_one(g->vlan.count);
}

static const struct policy_range *range_at(const struct policy_matcher *m, struct policy_slice s,
					   uint32_t i)
{
	return s.count ? &m->range[s.first + i] : &any_range;
}

static int add_ranges(const struct policy_matcher *m, struct rte_acl_ctx *ctx,
		      struct combination *c, uint32_t index, bool v4)
{
	const struct policy_gate *g = &m->gate[index];
	int rc = 0;

	for (uint32_t i = 0; i < at_least_one(g->client_port.count); i++) {
		c->client_port = range_at(m, g->client_port, i);
		for (uint32_t j = 0; j < at_least_one(g->server_port.count); j++) {
			c->server_port = range_at(m, g->server_port, j);
			for (uint32_t k = 0; k < at_least_one(g->vlan.count) && !rc; k++) {
				c->vlan = range_at(m, g->vlan, k);
				rc = add_entry(ctx, g, c, index, v4);
			}
		}
	}
	return rc;
}

/* The i-th prefix if it is of the family; a list without elements has one that matches all. */
static const struct policy_prefix *prefix_at(const struct policy_matcher *m, struct policy_slice s,
					     uint32_t i, bool v4)
{
	if (!s.count)
		return &any_prefix;
	return !!m->prefix[s.first + i].v4 == v4 ? &m->prefix[s.first + i] : NULL;
}

static int add_rule(const struct policy_matcher *m, struct rte_acl_ctx *ctx, uint32_t index,
		    bool v4)
{
	const struct policy_gate *g = &m->gate[index];
	struct combination c;
	int rc = 0;

	for (uint32_t i = 0; i < at_least_one(g->client.count) && !rc; i++) {
		c.client = prefix_at(m, g->client, i, v4);
		for (uint32_t j = 0; c.client && j < at_least_one(g->server.count) && !rc; j++) {
			c.server = prefix_at(m, g->server, j, v4);
			if (c.server)
				rc = add_ranges(m, ctx, &c, index, v4);
		}
	}
	return rc;
}

static int build(const struct policy_matcher *m, struct rte_acl_ctx *ctx, bool v4)
{
	struct rte_acl_config cfg = {.num_categories = CATEGORIES, .max_size = TABLE_MAX};
	int rc = 0;

	for (uint32_t i = 0; i < m->nrules && !rc; i++)
		rc = add_rule(m, ctx, i, v4);
	if (rc)
		return rc;
	if (v4)
		config_v4(&cfg);
	else
		config_v6(&cfg);
	return rte_acl_build(ctx, &cfg);
}

/* *out stays NULL when no rule has an entry of the family. */
static int table_create(struct rte_acl_ctx **out, const struct policy_matcher *m, bool v4,
			int socket_id)
{
	static atomic_uint serial;
	struct rte_acl_param param = {.socket_id = socket_id,
				      .rule_size = RTE_ACL_RULE_SZ(v4 ? FIELDS_V4 : FIELDS_V6)};
	char name[RTE_ACL_NAMESIZE];
	uint64_t n = 0;
	int rc;

	for (uint32_t i = 0; i < m->nrules && n <= ENTRIES_MAX; i++)
		n += entries(m, &m->gate[i], v4);
	if (n > ENTRIES_MAX)
		return -E2BIG;
	if (!n)
		return 0;
	snprintf(name, sizeof(name), "policy_%u", atomic_fetch_add(&serial, 1));
	param.name = name;
	param.max_rule_num = (uint32_t)n;
	*out = rte_acl_create(&param);
	if (!*out)
		return -ENOMEM;
	rc = build(m, *out, v4);
	if (rc) {
		rte_acl_free(*out);
		*out = NULL;
	}
	return rc;
}

int policy_acl_create(struct policy_acl **out, const struct policy_matcher *m, int socket_id)
{
	struct policy_acl *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return -ENOMEM;
	rc = table_create(&a->v4, m, true, socket_id);
	if (!rc)
		rc = table_create(&a->v6, m, false, socket_id);
	if (rc) {
		policy_acl_destroy(a);
		return rc;
	}
	*out = a;
	return 0;
}

void policy_acl_destroy(struct policy_acl *a)
{
	if (!a)
		return;
	rte_acl_free(a->v4);
	rte_acl_free(a->v6);
	free(a);
}

void policy_acl_classify(const struct policy_acl *a, const struct policy_probe *p, int32_t first[2])
{
	const struct rte_acl_ctx *ctx = p->client_v4 ? a->v4 : a->v6;
	uint32_t result[CATEGORIES] = {0};
	struct key_v4 k4 = {0};
	struct key_v6 k6 = {0};
	const uint8_t *data;

	if (p->client_v4) {
		k4.direction = p->direction;
		memcpy(&k4.client, (const uint8_t *)p->client + 12, 4);
		memcpy(&k4.server, (const uint8_t *)p->server + 12, 4);
		k4.client_port = rte_cpu_to_be_16(p->client_port);
		k4.server_port = rte_cpu_to_be_16(p->server_port);
		k4.vlan = rte_cpu_to_be_16(p->vlan);
		data = (const uint8_t *)&k4;
	} else {
		k6.direction = p->direction;
		memcpy(k6.client, p->client, 16);
		memcpy(k6.server, p->server, 16);
		k6.client_port = rte_cpu_to_be_16(p->client_port);
		k6.server_port = rte_cpu_to_be_16(p->server_port);
		k6.vlan = rte_cpu_to_be_16(p->vlan);
		data = (const uint8_t *)&k6;
	}
	if (ctx)
		rte_acl_classify(ctx, &data, result, 1, CATEGORIES);
	first[0] = (int32_t)result[0] - 1;
	first[1] = (int32_t)result[1] - 1;
}
