/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow/flow_table.h"

#include <errno.h>
#include <string.h>
#include <rte_branch_prediction.h>
#include <rte_prefetch.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define NO_ENTRY UINT32_MAX
#define BUCKET_SLOTS 7
#define BUCKET_LOAD 4 /* entries to a bucket when the table is full, on average: one in twenty overflows */

/* One cache line: nearly every lookup, above all of a flow that is not here, ends in the line it begins with, and
 * without a branch for each slot. */
struct flow_bucket {
	uint32_t hash[BUCKET_SLOTS]; /* 0: free */
	uint32_t passed;	     /* entries that found no room here and lie in a bucket after this one */
	uint32_t index[BUCKET_SLOTS];
	uint32_t unused;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_bucket) == 64, "a bucket is a cache line");

struct flow_table {
	uint32_t capacity;
	uint32_t mask; /* buckets - 1 */
	uint32_t count;
	uint32_t free_head;
	uint32_t worker;
	uint64_t ids;
	uint64_t seed;
	struct flow_entry *entry;
	struct flow_bucket *bucket;
	struct flow_wheel wheel;
} __attribute__((aligned(64)));
/* Both the wheel's links and flow_table_ref reach every entry. */
_Static_assert(sizeof(struct flow_table) + (uint64_t)FLOW_CAPACITY_MAX / BUCKET_LOAD * sizeof(struct flow_bucket) +
			       (uint64_t)FLOW_CAPACITY_MAX * sizeof(struct flow_entry) <=
		       FLOW_WHEEL_REACH,
	       "32 bits of 8 octets");

static uint32_t buckets_for(uint32_t capacity)
{
	uint32_t n = 1;

	while ((uint64_t)n * BUCKET_LOAD < capacity)
		n *= 2;
	return n;
}

static size_t round64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

size_t flow_table_size(uint32_t capacity)
{
	return round64(sizeof(struct flow_table)) +
	       (size_t)buckets_for(capacity) * sizeof(struct flow_bucket) +
	       round64((size_t)capacity * sizeof(struct flow_entry));
}

struct flow_table *flow_table_init(void *mem, uint32_t capacity, unsigned worker, uint64_t seed)
{
	struct flow_table *t = mem;
	uint32_t buckets = buckets_for(capacity);
	uint8_t *p = mem;

	memset(mem, 0, flow_table_size(capacity));
	t->capacity = capacity;
	t->mask = buckets - 1;
	t->seed = seed;
	t->worker = worker;
	p += round64(sizeof(*t));
	t->bucket = (struct flow_bucket *)p;
	p += (size_t)buckets * sizeof(struct flow_bucket);
	t->entry = (struct flow_entry *)p;
	for (uint32_t i = 0; i < capacity; i++)
		t->entry[i].next_free = i + 1 < capacity ? i + 1 : NO_ENTRY;
	t->free_head = 0;
	return t;
}

struct flow_wheel *flow_table_wheel(struct flow_table *t)
{
	return &t->wheel;
}

/* Constants to tell the four uses of the seed apart: fractions of the square roots of 2, 3, 5, 7. */
#define KEY_LOW 0x6a09e667f3bcc908u
#define KEY_HIGH 0xbb67ae8584caa73bu
#define KEY_PORT 0x3c6ef372fe94f82bu
#define KEY_LAST 0xa54ff53a5f1d36f1u

/* Both halves of the product, one over the other. Unlike a CRC it is not linear, so who does not know the seed cannot
 * choose keys that meet in one slot; and it takes one multiplication where Jenkins' takes thirty steps. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_end(const uint8_t *addr, uint16_t port, uint64_t seed)
{
	uint64_t low, high;

	memcpy(&low, addr, 8);
	memcpy(&high, addr + 8, 8);
	return mix(mix(low ^ seed ^ KEY_LOW, high ^ (seed + KEY_HIGH)) ^ seed, port ^ (seed + KEY_PORT));
}

/* Hashing each end by itself and adding makes the order of the ends irrelevant without comparing
 * them. */
static inline uint32_t hash_key(const struct flow_key *key, uint64_t seed)
{
	uint64_t a = hash_end(key->src, key->sport, seed);
	uint64_t b = hash_end(key->dst, key->dport, seed);
	uint64_t rest = (uint64_t)key->vlan[0] << 32 | (uint64_t)key->vlan[1] << 16 | key->proto;

	return (uint32_t)mix((a + b) ^ seed, rest ^ (seed + KEY_LAST)) | 1u << 31; /* 0 is no hash */
}

uint32_t flow_key_hash(const struct flow_key *key, uint64_t seed)
{
	return hash_key(key, seed);
}

static inline bool key_same(const struct flow_key *a, const struct flow_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool key_reverse_same(const struct flow_key *a, const struct flow_key *b)
{
	return a->sport == b->dport && a->dport == b->sport && a->vlan[0] == b->vlan[0] &&
	       a->vlan[1] == b->vlan[1] && a->proto == b->proto && a->is_v6 == b->is_v6 &&
	       memcmp(a->src, b->dst, 16) == 0 && memcmp(a->dst, b->src, 16) == 0;
}

/* Bit i: slot i of b has this hash. */
static inline uint32_t bucket_match(const struct flow_bucket *b, uint32_t hash)
{
#ifdef __SSE2__
	__m128i want = _mm_set1_epi32((int)hash);
	__m128i low = _mm_load_si128((const __m128i *)b->hash);
	__m128i high = _mm_load_si128((const __m128i *)(b->hash + 4)); /* the last is b->passed */
	__m128i both = _mm_packs_epi32(_mm_cmpeq_epi32(low, want), _mm_cmpeq_epi32(high, want));

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(both, both)) & ((1u << BUCKET_SLOTS) - 1);
#else
	uint32_t found = 0;

	for (uint32_t i = 0; i < BUCKET_SLOTS; i++)
		found |= (uint32_t)(b->hash[i] == hash) << i;
	return found;
#endif
}

static inline struct flow_entry *find(const struct flow_table *t, const struct flow_key *key,
				      uint32_t hash, unsigned *side)
{
	for (uint32_t at = hash & t->mask;; at = (at + 1) & t->mask) {
		const struct flow_bucket *b = &t->bucket[at];

		for (uint32_t found = bucket_match(b, hash); unlikely(found); found &= found - 1) {
			struct flow_entry *e = &t->entry[b->index[__builtin_ctz(found)]];

			if (key_same(key, &e->key)) {
				*side = 0;
				return e;
			}
			if (key_reverse_same(key, &e->key)) {
				*side = 1;
				return e;
			}
		}
		if (likely(b->passed == 0))
			return NULL;
	}
}

struct flow_entry *flow_table_lookup(const struct flow_table *t, const struct flow_key *key,
				     unsigned *side)
{
	return find(t, key, hash_key(key, t->seed), side);
}

unsigned flow_table_lookup_bulk(const struct flow_table *t, const struct flow_key *const *key,
				unsigned n, struct flow_entry **entry, uint8_t *side)
{
	uint32_t hash[FLOW_BULK_MAX];
	unsigned found = 0;

	if (t->count == 0) {
		memset(entry, 0, n * sizeof(*entry));
		return 0;
	}
	for (unsigned i = 0; i < n; i++) {
		hash[i] = hash_key(key[i], t->seed);
		rte_prefetch0(&t->bucket[hash[i] & t->mask]);
	}
	for (unsigned i = 0; i < n; i++) {
		const struct flow_bucket *b = &t->bucket[hash[i] & t->mask];
		uint32_t match = bucket_match(b, hash[i]);

		if (match)
			rte_prefetch0(&t->entry[b->index[__builtin_ctz(match)]]);
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned sd = 0;

		entry[i] = find(t, key[i], hash[i], &sd);
		side[i] = sd;
		found += entry[i] != NULL;
	}
	return found;
}

static uint64_t next_id(struct flow_table *t)
{
	return (uint64_t)t->worker << 56 | ++t->ids;
}

void flow_table_renew(struct flow_table *t, struct flow_entry *e, const struct flow_key *key)
{
	e->key = *key; /* the hash is the same for both directions */
	e->id = next_id(t);
}

int flow_table_insert(struct flow_table *t, const struct flow_key *key, struct flow_entry **out)
{
	uint32_t hash = hash_key(key, t->seed), at = hash & t->mask, n, room;
	struct flow_entry *e;
	unsigned side;

	e = find(t, key, hash, &side);
	if (e) {
		*out = e;
		return -EEXIST;
	}
	if (t->free_head == NO_ENTRY)
		return -ENOSPC;
	n = t->free_head;
	e = &t->entry[n];
	t->free_head = e->next_free;
	memset(e, 0, sizeof(*e));
	e->key = *key;
	e->hash = hash;
	e->used = true;
	e->id = next_id(t);
	while ((room = bucket_match(&t->bucket[at], 0)) == 0) {
		t->bucket[at].passed++;
		at = (at + 1) & t->mask;
	}
	t->bucket[at].hash[__builtin_ctz(room)] = hash;
	t->bucket[at].index[__builtin_ctz(room)] = n;
	t->count++;
	*out = e;
	return 0;
}

/* The slot of entry n in b, BUCKET_SLOTS: it is not here. */
static uint32_t slot_of(const struct flow_bucket *b, uint32_t hash, uint32_t n)
{
	for (uint32_t found = bucket_match(b, hash); found; found &= found - 1)
		if (b->index[__builtin_ctz(found)] == n)
			return (uint32_t)__builtin_ctz(found);
	return BUCKET_SLOTS;
}

void flow_table_delete(struct flow_table *t, struct flow_entry *e)
{
	uint32_t n = (uint32_t)(e - t->entry), at = e->hash & t->mask, i;

	while ((i = slot_of(&t->bucket[at], e->hash, n)) == BUCKET_SLOTS) {
		t->bucket[at].passed--;
		at = (at + 1) & t->mask;
	}
	t->bucket[at].hash[i] = 0;
	e->used = false;
	e->session = NULL;
	e->next_free = t->free_head;
	t->free_head = n;
	t->count--;
}

uint32_t flow_table_count(const struct flow_table *t)
{
	return t->count;
}

uint32_t flow_table_capacity(const struct flow_table *t)
{
	return t->capacity;
}

struct flow_entry *flow_table_next_within(const struct flow_table *t, uint64_t *cursor, uint32_t *positions)
{
	while (*cursor < t->capacity && *positions) {
		struct flow_entry *e = &t->entry[(*cursor)++];

		--*positions;
		if (e->used)
			return e;
	}
	return NULL;
}

struct flow_entry *flow_table_next(const struct flow_table *t, uint64_t *cursor)
{
	uint32_t all = UINT32_MAX; /* more than a table has */

	return flow_table_next_within(t, cursor, &all);
}
