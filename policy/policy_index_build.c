/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the index comes about: all keys of all conditions are counted, each rule
 * takes the condition whose most common key the fewest share, and the chosen
 * keys get their lists. A rule's conditions are numbered: its groups, then what
 * it asks of the tuple.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "policy/policy_index_table.h"
#include "policy/policy_matcher.h"

/* Keys that are counted, twice what a file of rules can hold; rules after that are candidates
 * always. */
#define KEYS_MAX (2 * (uint64_t)POLICY_ITEMS_MAX)
#define NO_CHOICE UINT32_MAX

/*
 * What a condition costs beside the candidates it leaves, in candidates. Expressions and header
 * fields must be looked for in every message; of the tuple a message's rule is rarely told apart,
 * as the flow was selected by it.
 */
#define COST_REGEX 16u
#define COST_FIELDS 4u
#define COST_TUPLE 8u

struct making {
	const struct policy_matcher *m;
	struct policy_index *x;
	struct policy_index_table all; /* count: conditions that have the key */
	uint32_t *choice;	       /* condition per rule */
};

static int table_create(struct policy_index_table *t, uint64_t keys)
{
	uint64_t size = 16;

	while (size < 2 * keys)
		size *= 2;
	t->mask = size - 1;
	t->entry = calloc(size, sizeof(*t->entry));
	return t->entry ? 0 : -ENOMEM;
}

/* Where the group's text is looked up; UINT32_MAX: the index does not know such groups. */
static uint32_t group_slot(const struct making *k, const struct policy_image_group *g)
{
	switch (g->subject) {
	case POLICY_SUBJECT_METHOD:
		return k->x->method;
	case POLICY_SUBJECT_HOST:
		return g->field == POLICY_FIELD_HOST ? g->field : UINT32_MAX;
	case POLICY_SUBJECT_PATH:
		return g->field == POLICY_FIELD_PATH ? g->field : UINT32_MAX;
	case POLICY_SUBJECT_CONTENT_TYPE:
		return g->field == POLICY_FIELD_CONTENT_TYPE ? g->field : UINT32_MAX;
	case POLICY_SUBJECT_HEADER:
		return g->field >= POLICY_FIELD_HEADER ? g->field : UINT32_MAX;
	default:
		return UINT32_MAX;
	}
}

static bool any_value(const struct policy_image_group *g)
{
	return g->subject == POLICY_SUBJECT_HEADER && (g->negate || !g->terms.count);
}

static uint32_t group_keys(const struct making *k, const struct policy_image_group *g)
{
	if (group_slot(k, g) == UINT32_MAX)
		return 0;
	if (any_value(g))
		return 1;
	return g->negate ? 0 : g->terms.count;
}

static struct policy_slice tuple_slice(const struct policy_gate *g, uint32_t what)
{
	switch (what) {
	case POLICY_INDEX_CLIENT:
		return g->client;
	case POLICY_INDEX_SERVER:
		return g->server;
	case POLICY_INDEX_SERVER_PORT:
		return g->server_port;
	default:
		return g->vlan;
	}
}

/* Ranges that are more than one number are no keys. */
static uint32_t tuple_keys(const struct making *k, const struct policy_gate *g, uint32_t what)
{
	struct policy_slice s = tuple_slice(g, what);

	for (uint32_t i = 0; what >= POLICY_INDEX_SERVER_PORT && i < s.count; i++) {
		if (k->m->range[s.first + i].lo != k->m->range[s.first + i].hi)
			return 0;
	}
	return s.count;
}

static uint32_t conditions(const struct policy_gate *g)
{
	return g->groups.count + POLICY_INDEX_TUPLE;
}

/* Keys of a rule's condition c; 0: it cannot be looked up. */
static uint32_t condition_keys(const struct making *k, const struct policy_gate *g, uint32_t c)
{
	return c < g->groups.count ? group_keys(k, &k->m->group[g->groups.first + c])
				   : tuple_keys(k, g, c - g->groups.count);
}

static uint32_t counted(uint32_t len)
{
	return len < POLICY_INDEX_LEN ? len : POLICY_INDEX_LEN;
}

static uint64_t term_key(const struct making *k, uint32_t slot, const struct policy_image_term *t)
{
	const char *s = k->m->text + t->text;
	uint32_t len = counted(t->len);

	switch (t->op) {
	case POLICY_OP_EXACT:
		return policy_index_key(slot, t->op, t->len, policy_index_forward(0, s, 0, t->len));
	case POLICY_OP_PREFIX:
		return policy_index_key(slot, t->op, len, policy_index_forward(0, s, 0, len));
	case POLICY_OP_SUFFIX:
		return policy_index_key(slot, t->op, len,
					policy_index_backward(0, s + t->len, 0, len));
	default:
		return policy_index_key(slot, t->op, 0, t->text);
	}
}

/* The n-th key of a rule's condition c. */
static uint64_t condition_key(const struct making *k, const struct policy_gate *g, uint32_t c,
			      uint32_t n)
{
	const struct policy_matcher *m = k->m;

	if (c < g->groups.count) {
		const struct policy_image_group *group = &m->group[g->groups.first + c];
		uint32_t slot = group_slot(k, group);

		return any_value(group) ? policy_index_key(slot, POLICY_INDEX_PRESENT, 0, 0)
					: term_key(k, slot, &m->term[group->terms.first + n]);
	}
	c -= g->groups.count;
	n += tuple_slice(g, c).first;
	if (c >= POLICY_INDEX_SERVER_PORT)
		return policy_index_number(c, m->range[n].lo);
	return policy_index_address(c, m->prefix[n].addr, m->prefix[n].mask, m->prefix[n].v4);
}

static uint64_t rule_keys(const struct making *k, const struct policy_gate *g)
{
	uint64_t n = 0;

	for (uint32_t c = 0; c < conditions(g); c++)
		n += condition_keys(k, g, c);
	return n;
}

/* Returns through *rules how many of the rules, from the first on, the index is for. */
static int count_all(struct making *k, uint32_t *rules)
{
	const struct policy_gate *g = k->m->gate;
	uint64_t keys = 0, n;

	for (*rules = 0; *rules < k->m->nrules; (*rules)++, keys += n) {
		n = rule_keys(k, &g[*rules]);
		if (keys + n > KEYS_MAX)
			break;
	}
	if (table_create(&k->all, keys))
		return -ENOMEM;
	for (uint32_t i = 0; i < *rules; i++, g++) {
		for (uint32_t c = 0; c < conditions(g); c++) {
			for (uint32_t j = 0; j < condition_keys(k, g, c); j++) {
				uint64_t key = condition_key(k, g, c, j);
				struct policy_index_entry *e = policy_index_find(&k->all, key);

				e->key = key;
				e->count++;
			}
		}
	}
	return 0;
}

static uint64_t condition_cost(const struct making *k, const struct policy_gate *g, uint32_t c)
{
	const struct policy_image_group *group = &k->m->group[g->groups.first + c];
	uint32_t n = condition_keys(k, g, c), most = 0, count;
	uint64_t extra = 0;

	for (uint32_t j = 0; j < n; j++) {
		count = policy_index_find(&k->all, condition_key(k, g, c, j))->count;
		most = count > most ? count : most;
	}
	if (!n)
		return UINT64_MAX;
	if (c >= g->groups.count)
		return (uint64_t)most + COST_TUPLE;
	if (group->subject >= POLICY_SUBJECT_CONTENT_TYPE)
		extra += COST_FIELDS;
	for (uint32_t j = 0; !any_value(group) && j < n; j++) {
		if (k->m->term[group->terms.first + j].op == POLICY_OP_REGEX)
			return most + extra + COST_REGEX;
	}
	return most + extra;
}

static uint32_t choose(const struct making *k, const struct policy_gate *g)
{
	uint32_t best = NO_CHOICE;
	uint64_t least = UINT64_MAX;

	for (uint32_t c = 0; c < conditions(g); c++) {
		uint64_t cost = condition_cost(k, g, c);

		if (cost < least) {
			least = cost;
			best = c;
		}
	}
	return best;
}

static void set_bit(uint64_t *set, uint32_t i)
{
	set[i / 64] |= UINT64_C(1) << (i % 64);
}

static void note_group(struct making *k, const struct policy_image_group *g)
{
	struct policy_index_slot *s = &k->x->slot[group_slot(k, g)];

	s->used = true;
	if (g->subject >= POLICY_SUBJECT_CONTENT_TYPE)
		k->x->fields = true;
	if (any_value(g)) {
		s->present = true;
		return;
	}
	for (uint32_t i = g->terms.first; i < g->terms.first + g->terms.count; i++) {
		const struct policy_image_term *t = &k->m->term[i];

		switch (t->op) {
		case POLICY_OP_EXACT:
			set_bit(s->exact, counted(t->len));
			break;
		case POLICY_OP_PREFIX:
			set_bit(s->prefix, counted(t->len));
			break;
		case POLICY_OP_SUFFIX:
			set_bit(s->suffix, counted(t->len));
			break;
		default:
			s->regex = true;
		}
	}
}

/* False: there are more lengths of prefixes than there can be. */
static bool note_masks(struct making *k, struct policy_slice s, struct policy_index_masks *a)
{
	for (uint32_t i = s.first; i < s.first + s.count; i++) {
		const uint64_t *mask = k->m->prefix[i].mask;
		uint32_t at = 0;

		while (at < a->count && memcmp(a->mask[at], mask, sizeof(a->mask[at])))
			at++;
		if (at == POLICY_INDEX_MASKS)
			return false;
		memcpy(a->mask[at], mask, sizeof(a->mask[at]));
		if (at == a->count)
			a->count++;
	}
	return true;
}

/* What the look-up has to try because of this condition. */
static bool note(struct making *k, const struct policy_gate *g, uint32_t c)
{
	if (c < g->groups.count) {
		note_group(k, &k->m->group[g->groups.first + c]);
		return true;
	}
	c -= g->groups.count;
	if (c < POLICY_INDEX_SERVER_PORT)
		return note_masks(k, tuple_slice(g, c), &k->x->masks[c]);
	if (c == POLICY_INDEX_SERVER_PORT)
		k->x->server_port = true;
	else
		k->x->vlan = true;
	return true;
}

static uint64_t choose_all(struct making *k, uint32_t rules)
{
	uint64_t keys = 0;

	for (uint32_t i = 0; i < k->m->nrules; i++) {
		const struct policy_gate *g = &k->m->gate[i];

		k->choice[i] = i < rules ? choose(k, g) : NO_CHOICE;
		if (k->choice[i] != NO_CHOICE && !note(k, g, k->choice[i]))
			k->choice[i] = NO_CHOICE;
		if (k->choice[i] == NO_CHOICE)
			set_bit(k->x->always, i);
		else
			keys += condition_keys(k, g, k->choice[i]);
	}
	return keys;
}

typedef void (*key_fn)(struct policy_index *x, struct policy_index_entry *e, uint32_t rule);

static void for_chosen(struct making *k, key_fn fn)
{
	for (uint32_t i = 0; i < k->m->nrules; i++) {
		const struct policy_gate *g = &k->m->gate[i];
		uint32_t c = k->choice[i];

		for (uint32_t j = 0; c != NO_CHOICE && j < condition_keys(k, g, c); j++) {
			uint64_t key = condition_key(k, g, c, j);
			struct policy_index_entry *e = policy_index_find(&k->x->table, key);

			e->key = key;
			fn(k->x, e, i);
		}
	}
}

static void count_rule(struct policy_index *x, struct policy_index_entry *e, uint32_t rule)
{
	e->count++;
}

static void file_rule(struct policy_index *x, struct policy_index_entry *e, uint32_t rule)
{
	if (e->count == POLICY_INDEX_DENSE)
		set_bit(x->dense + (size_t)e->first * x->nwords, rule);
	else
		x->list[e->first + e->count++] = rule;
}

/* Room for every list, from the counts; the lists are empty then. */
static int lists_create(struct policy_index *x)
{
	uint32_t listed = 0, dense = 0;

	for (uint64_t i = 0; i <= x->table.mask; i++) {
		struct policy_index_entry *e = &x->table.entry[i];

		if (e->count > x->nwords) {
			e->first = dense++;
			e->count = POLICY_INDEX_DENSE;
		} else {
			e->first = listed;
			listed += e->count;
			e->count = 0;
		}
	}
	x->list = calloc((size_t)listed + 1, sizeof(*x->list));
	x->dense = calloc((size_t)dense * x->nwords + 1, sizeof(*x->dense));
	return x->list && x->dense ? 0 : -ENOMEM;
}

static int make(struct making *k)
{
	struct policy_index *x = k->x;
	uint32_t rules;
	uint64_t keys;

	x->nwords = k->m->nrules / 64 + 1;
	x->method = k->m->nfields > POLICY_FIELD_HEADER ? k->m->nfields : POLICY_FIELD_HEADER;
	x->slot = calloc(x->method + 1, sizeof(*x->slot));
	x->always = calloc(x->nwords, sizeof(*x->always));
	x->candidate = calloc(x->nwords, sizeof(*x->candidate));
	k->choice = calloc((size_t)k->m->nrules + 1, sizeof(*k->choice));
	if (!x->slot || !x->always || !x->candidate || !k->choice || count_all(k, &rules))
		return -ENOMEM;
	keys = choose_all(k, rules);
	if (table_create(&x->table, keys))
		return -ENOMEM;
	for_chosen(k, count_rule);
	if (lists_create(x))
		return -ENOMEM;
	for_chosen(k, file_rule);
	return 0;
}

int policy_index_create(struct policy_index **out, const struct policy_matcher *m)
{
	struct making k = {.m = m, .x = calloc(1, sizeof(*k.x))};
	int rc = k.x ? make(&k) : -ENOMEM;

	free(k.all.entry);
	free(k.choice);
	if (rc) {
		policy_index_destroy(k.x);
		k.x = NULL;
	}
	*out = k.x;
	return rc;
}

void policy_index_destroy(struct policy_index *x)
{
	if (!x)
		return;
	free(x->table.entry);
	free(x->list);
	free(x->dense);
	free(x->always);
	free(x->candidate);
	free(x->slot);
	free(x);
}
