/* SPDX-License-Identifier: BSD-3-Clause */
/* Flow table: look-ups by size and hit rate, new and gone flows, and what a flow takes of memory.
 */
#include <string.h>
#include "flow/flow_table.h"
#include "session/session_priv.h"
#include "micro.h"

/* A table that is filled to its capacity with the flows 0 .. capacity - 1. */
struct flows {
	struct flow_table *table;
	uint32_t capacity;
};

/* The i-th flow: clients of 10.0.0.0/8 to one server. Odd ones are shown as the server sends. */
static void flow_key_make(struct flow_key *k, uint32_t i)
{
	uint32_t mixed = i * 2654435761u; /* odd multiplier: different for different i */

	memset(k, 0, sizeof(*k));
	k->src[10] = k->src[11] = k->dst[10] = k->dst[11] = 0xff;
	k->src[12] = 10;
	k->src[13] = (uint8_t)(mixed >> 24);
	k->src[14] = (uint8_t)(mixed >> 16);
	k->src[15] = (uint8_t)(mixed >> 8);
	k->dst[12] = 192;
	k->dst[13] = 168;
	k->dst[15] = 1;
	k->sport = (uint16_t)(1024 + (mixed & 0xff) + (i >> 24 << 8));
	k->dport = 0x5000;
	k->vlan[0] = k->vlan[1] = PARSE_VLAN_NONE;
	k->proto = 6;
}

#define MILLION (BENCH_SANITIZED ? 131072 : 1048576)
#define LARGE (16u << 20) /* with --large only: 1.7 GiB, and as much again to insert and delete */

#define TABLES 4	  /* numbers of entries that are measured: micro_flow() */

/* Tables are kept between calls: filling a large one takes longer than measuring it. */
static struct flow_table *flows_of(struct bench *b, uint32_t capacity)
{
	static struct flows made[TABLES];
	struct flow_entry *e;
	struct flow_key k;
	unsigned i = 0;

	while (made[i].capacity && made[i].capacity != capacity)
		i++;
	if (made[i].capacity)
		return made[i].table;
	made[i].capacity = capacity;
	made[i].table =
		flow_table_init(micro_memory(flow_table_size(capacity), 64), capacity, 1, 0x5eed);
	for (uint32_t n = 0; n < capacity; n++) {
		flow_key_make(&k, n);
		if (flow_table_insert(made[i].table, &k, &e) != 0)
			bench_fail(b, "flow %u of %u could not be inserted", n, capacity);
	}
	return made[i].table;
}

/* Numbers of flows to look for: below capacity there is one, above none. */
static void choose(uint32_t *flow, uint32_t capacity, uint32_t hit)
{
	for (unsigned i = 0; i < MICRO_BURST; i++) {
		flow[i] = micro_below(capacity);
		if (micro_below(100) >= hit)
			flow[i] += capacity;
	}
}

/* A burst of look-ups and what they must give. */
struct burst {
	uint32_t capacity, hit, flow[MICRO_BURST];
	struct flow_key key[MICRO_BURST];
	const struct flow_key *keys[MICRO_BURST];
	struct flow_entry *e[MICRO_BURST];
	uint8_t side[MICRO_BURST];
};

static void burst_make(struct burst *u)
{
	choose(u->flow, u->capacity, u->hit);
	for (unsigned i = 0; i < MICRO_BURST; i++) {
		flow_key_make(&u->key[i], u->flow[i]);
		if (u->flow[i] & 1)
			parse_key_reverse(&u->key[i], &u->key[i]);
		u->keys[i] = &u->key[i];
	}
}

static bool burst_right(const struct burst *u)
{
	bool wrong = false;

	for (unsigned i = 0; i < MICRO_BURST; i++)
		wrong |= u->flow[i] < u->capacity ? !u->e[i] || u->side[i] != (u->flow[i] & 1) ||
							    u->e[i]->id << 8 >> 8 != u->flow[i] + 1
						  : u->e[i] != NULL;
	return !wrong;
}

static void lookup_all(const struct flow_table *t, struct burst *u)
{
	bench_keep(flow_table_lookup_bulk(t, u->keys, MICRO_BURST, u->e, u->side));
}

/* One after the other, nothing fetched ahead: what a frame costs that comes alone. */
static void lookup_each(const struct flow_table *t, struct burst *u)
{
	for (unsigned i = 0; i < MICRO_BURST; i++) {
		unsigned side = 0;

		u->e[i] = flow_table_lookup(t, &u->key[i], &side);
		u->side[i] = (uint8_t)side;
	}
}

static void lookup_with(struct bench *b, void (*fn)(const struct flow_table *, struct burst *))
{
	struct burst u = {.capacity = (uint32_t)bench_arg(b, 0), .hit = (uint32_t)bench_arg(b, 1)};
	struct flow_table *t = flows_of(b, u.capacity);
	bool right = true;

	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		burst_make(&u);
		bench_resume(b);
		fn(t, &u);
		bench_pause(b);
		right &= burst_right(&u);
		bench_resume(b);
	}
	if (!right)
		bench_fail(b, "a look-up gave the wrong flow or side");
	bench_counter(b, "memory_per_entry", "B", false,
		      (double)flow_table_size(u.capacity) / u.capacity);
	/* Parked; with something under way it has a session instead of a record, and the record stays reserved for it. */
	bench_counter(b, "memory_per_idle_flow", "B", false,
		      (double)flow_table_size(u.capacity) / u.capacity + (double)sizeof(struct session_record));
	bench_counter(b, "memory_per_active_flow", "B", false,
		      (double)flow_table_size(u.capacity) / u.capacity + (double)sizeof(struct session_record) +
			      (double)sizeof(struct session));
}

static void lookup(struct bench *b)
{
	lookup_with(b, lookup_all);
}

static void lookup_single(struct bench *b)
{
	lookup_with(b, lookup_each);
}

/* Flows come and go in a table that is nearly full, oldest first. */
static void churn(struct bench *b)
{
	uint32_t capacity = (uint32_t)bench_arg(b, 0), first = 0, live = capacity - MICRO_BURST;
	void *mem = micro_memory(flow_table_size(capacity), 64);
	struct flow_table *t = flow_table_init(mem, capacity, 1, 0x5eed);
	struct flow_entry **entry = micro_memory(capacity * sizeof(*entry), 64);
	struct flow_key key[MICRO_BURST];
	bool wrong = false;

	for (uint32_t n = 0; n < live; n++) {
		flow_key_make(&key[0], n);
		wrong |= flow_table_insert(t, &key[0], &entry[n]) != 0;
	}
	while (bench_batch(b, MICRO_BURST)) {
		bench_pause(b);
		for (unsigned i = 0; i < MICRO_BURST; i++)
			flow_key_make(&key[i], first + live + i);
		bench_resume(b);
		for (unsigned i = 0; i < MICRO_BURST; i++) {
			wrong |= flow_table_insert(t, &key[i],
						   &entry[(first + live + i) % capacity]) != 0;
			flow_table_delete(t, entry[(first + i) % capacity]);
		}
		first += MICRO_BURST;
	}
	if (wrong || flow_table_count(t) != live)
		bench_fail(b, "%u flows are in the table, %u should be", flow_table_count(t), live);
	for (uint32_t n = first; n < first + live && !bench_failed(b); n++) {
		unsigned side;

		flow_key_make(&key[0], n);
		if (flow_table_lookup(t, &key[0], &side) != entry[n % capacity])
			bench_fail(b, "flow %u is not found", n);
	}
	micro_memory_free(entry);
	micro_memory_free(mem);
}

void micro_flow(bool large)
{
	static const int64_t tables[][BENCH_ARGS_MAX] = {
		{1024, 0},    {1024, 50},   {1024, 100},   {65536, 0},	{65536, 50},  {65536, 100},
		{MILLION, 0}, {MILLION, 50}, {MILLION, 100}, {LARGE, 0}, {LARGE, 50}, {LARGE, 100},
	};
	static const int64_t sizes[][BENCH_ARGS_MAX] = {{1024}, {65536}, {MILLION}, {LARGE}};
	static struct bench_def defs[] = {
		{.name = "flow/lookup_bulk", .fn = lookup, .arg = {"entries", "hit"}, MICRO_SETS(tables)},
		{.name = "flow/lookup", .fn = lookup_single, .arg = {"entries", "hit"}, MICRO_SETS(tables)},
		{.name = "flow/insert_delete", .fn = churn, .arg = {"entries"}, MICRO_SETS(sizes)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++) {
		if (!large)
			defs[i].nsets -= i < 2 ? 3 : 1; /* the last ones are LARGE */
		bench_register(&defs[i]);
	}
}
