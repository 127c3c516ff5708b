/* SPDX-License-Identifier: BSD-3-Clause */
#include "frag/frag.h"

#include <errno.h>
#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_ip_frag.h>
#include <rte_jhash.h>
#include <rte_malloc.h>
#include <rte_mbuf_dyn.h>

#include "stats/shm.h"

_Static_assert(FRAG_JOIN_MAX <= RTE_LIBRTE_IP_FRAG_MAX_FRAG, "frag_join");

#define AGE_MAX 16 /* datagrams a call */
#define TCP_MIN 20
#define NONE UINT32_MAX

/* In the mbuf of a fragment. */
struct frag_link {
	struct rte_mbuf *next;
	uint16_t off, len; /* octets of the datagram */
	bool more;
};

struct frag_key {
	uint8_t src[16], dst[16];
	uint16_t vlan[2];
	uint32_t id;
	uint8_t is_v6, port;
	uint16_t zero;
};
_Static_assert(sizeof(struct frag_key) == 44, "hashed as it lies in memory");

struct datagram {
	struct frag_key key;
	uint32_t hash_next;
	uint32_t prev, next; /* by age */
	struct rte_mbuf *head, *tail;
	uint64_t since_us;
	uint64_t octets; /* of buffers */
	uint32_t got, total; /* octets of the datagram; total 0: the last is not here yet */
	uint16_t pieces;
	bool spoilt; /* what still comes is dropped, too */
};

struct frag_table {
	struct frag_config cfg;
	struct rte_ip_frag_tbl *joiner;
	struct rte_ip_frag_death_row dead;
	int link_at;
	uint32_t mask;
	uint32_t free, oldest, newest, count;
	uint64_t octets;
	uint32_t *bucket;
	struct datagram *d;
};

/* Where the fragment is in its datagram. */
struct place {
	uint32_t id;
	uint32_t off, len;
	uint8_t proto; /* of what the datagram carries; IPv6: what the fragment header says */
	bool more, plain; /* plain: no IPv6 header but the fixed one before the fragment header */
	uint16_t l3_len;  /* up to the datagram's octets */
};

static inline struct frag_link *link_of(const struct frag_table *t, const struct rte_mbuf *m)
{
	return RTE_MBUF_DYNFIELD(m, t->link_at, struct frag_link *);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool may_lead_to_tcp(uint8_t next)
{
	return next == IPPROTO_TCP || next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT;
}

/* The parser has checked lengths, up to the fragment header and what lies behind it. */
static bool place_find(struct place *o, const struct parse_frame *f, const struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, f->l2_len), *h;
	uint32_t at = 40, seg = rte_pktmbuf_data_len(m) - f->l2_len, total = f->frame_len - f->l2_len;
	uint8_t next = ip[6];

	if (!f->is_v6) {
		o->l3_len = f->l3_len;
		o->id = get16(ip + 4);
		o->off = (get16(ip + 6) & 0x1fffu) * 8;
		o->more = get16(ip + 6) & 0x2000;
		o->proto = ip[9];
		o->plain = true;
		o->len = total - f->l3_len;
		return true;
	}
	while (next != IPPROTO_FRAGMENT) {
		if (at + 8 > seg || !may_lead_to_tcp(next) || next == IPPROTO_TCP)
			return false;
		h = ip + at;
		next = h[0];
		at += 8 + (uint32_t)h[1] * 8;
	}
	if (at + 8 > seg || at + 8 > total)
		return false;
	h = ip + at;
	o->plain = at == 40;
	o->l3_len = (uint16_t)(at + 8);
	o->proto = h[0];
	o->off = get16(h + 2) & 0xfff8u;
	o->more = h[3] & 1;
	memcpy(&o->id, h + 4, 4);
	o->len = total - at - 8;
	return true;
}

bool frag_wanted(const struct parse_frame *f, const struct rte_mbuf *m)
{
	struct place p;

	if (!f->is_ip || !f->is_fragment || f->verdict != PARSE_OTHER || !place_find(&p, f, m))
		return false;
	return f->is_v6 ? may_lead_to_tcp(p.proto) : p.proto == IPPROTO_TCP;
}

static void key_make(struct frag_key *k, const struct parse_frame *f, uint32_t id, unsigned port)
{
	memset(k, 0, sizeof(*k));
	memcpy(k->src, f->key.src, 16);
	memcpy(k->dst, f->key.dst, 16);
	k->vlan[0] = f->key.vlan[0];
	k->vlan[1] = f->key.vlan[1];
	k->id = id;
	k->is_v6 = f->is_v6;
	k->port = (uint8_t)port;
}

uint32_t frag_hash(const struct parse_frame *f, const struct rte_mbuf *m, uint32_t seed)
{
	struct frag_key k;
	struct place p = {0};

	place_find(&p, f, m);
	key_make(&k, f, p.id, 0);
	return rte_jhash(&k, sizeof(k), seed);
}

int frag_create(struct frag_table **out, const struct frag_config *cfg)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "opes_frag_link",
		.size = sizeof(struct frag_link),
		.align = __alignof__(struct frag_link),
	};
	struct frag_table *t = rte_zmalloc_socket("opes_frag", sizeof(*t), RTE_CACHE_LINE_SIZE, cfg->socket_id);
	uint32_t buckets = rte_align32pow2(cfg->datagrams);

	if (!t)
		return -ENOMEM;
	t->cfg = *cfg;
	t->mask = buckets - 1;
	t->link_at = rte_mbuf_dynfield_register(&field);
	t->bucket = rte_malloc_socket("opes_frag", buckets * sizeof(*t->bucket), 0, cfg->socket_id);
	t->d = rte_zmalloc_socket("opes_frag", cfg->datagrams * sizeof(*t->d), RTE_CACHE_LINE_SIZE, cfg->socket_id);
	/* What is joined is whole: nothing stays in there. */
	t->joiner = rte_ip_frag_table_create(16, 4, 64, rte_get_tsc_hz(), cfg->socket_id);
	if (t->link_at < 0 || !t->bucket || !t->d || !t->joiner) {
		frag_destroy(t);
		return -ENOMEM;
	}
	memset(t->bucket, 0xff, buckets * sizeof(*t->bucket));
	for (uint32_t i = 0; i < cfg->datagrams; i++)
		t->d[i].next = i + 1 < cfg->datagrams ? i + 1 : NONE;
	t->oldest = t->newest = NONE;
	*out = t;
	return 0;
}

struct rte_mbuf *frag_next(const struct frag_table *t, const struct rte_mbuf *m)
{
	return link_of(t, m)->next;
}

static uint32_t free_list(const struct frag_table *t, struct rte_mbuf *m)
{
	uint32_t n = 0;

	for (struct rte_mbuf *next; m; m = next, n++) {
		next = link_of(t, m)->next;
		rte_pktmbuf_free(m);
	}
	return n;
}

void frag_free(const struct frag_table *t, struct rte_mbuf *list)
{
	t->cfg.counter[STATS_fragment_dropped] += free_list(t, list);
}

void frag_destroy(struct frag_table *t)
{
	if (!t)
		return;
	for (uint32_t i = t->d ? t->oldest : NONE; i != NONE; i = t->d[i].next)
		free_list(t, t->d[i].head);
	if (t->joiner)
		rte_ip_frag_table_destroy(t->joiner);
	rte_free(t->bucket);
	rte_free(t->d);
	rte_free(t);
}

uint32_t frag_datagrams(const struct frag_table *t)
{
	return t->count;
}

uint64_t frag_octets(const struct frag_table *t)
{
	return t->octets;
}

static uint64_t buffer_octets(const struct rte_mbuf *m)
{
	uint64_t n = 0;

	for (; m; m = m->next)
		n += m->buf_len;
	return n;
}

static inline uint32_t *bucket_of(struct frag_table *t, const struct frag_key *k)
{
	return &t->bucket[rte_jhash(k, sizeof(*k), t->cfg.seed) & t->mask];
}

/* Its mbufs are the caller's. */
static void forget(struct frag_table *t, uint32_t i)
{
	struct datagram *d = &t->d[i];
	uint32_t *at = bucket_of(t, &d->key);

	while (*at != i)
		at = &t->d[*at].hash_next;
	*at = d->hash_next;
	*(d->prev == NONE ? &t->oldest : &t->d[d->prev].next) = d->next;
	*(d->next == NONE ? &t->newest : &t->d[d->next].prev) = d->prev;
	t->octets -= d->octets;
	t->count--;
	d->head = NULL;
	d->next = t->free;
	t->free = i;
}

static void drop_oldest(struct frag_table *t, enum stats_counter why)
{
	uint32_t i = t->oldest, n = free_list(t, t->d[i].head);

	t->cfg.counter[STATS_fragment_dropped] += n;
	t->cfg.counter[why] += n != 0;
	forget(t, i);
}

/* NULL only when nothing may be held. */
static struct datagram *find(struct frag_table *t, const struct frag_key *k, uint64_t now_us)
{
	uint32_t *at = bucket_of(t, k), i;
	struct datagram *d;

	for (i = *at; i != NONE; i = t->d[i].hash_next)
		if (memcmp(&t->d[i].key, k, sizeof(*k)) == 0)
			return &t->d[i];
	if (t->free == NONE)
		drop_oldest(t, STATS_fragment_over_budget);
	i = t->free;
	d = &t->d[i];
	t->free = d->next;
	memset(d, 0, sizeof(*d));
	d->key = *k;
	d->since_us = now_us;
	d->hash_next = *at;
	*at = i;
	d->prev = t->newest;
	d->next = NONE;
	*(t->newest == NONE ? &t->oldest : &t->d[t->newest].next) = i;
	t->newest = i;
	t->count++;
	return d;
}

/* RFC 1858, 3128: the octets that decide what a segment is come in one piece, the first. */
static bool is_tiny(const struct place *p, const struct parse_frame *f)
{
	if (p->proto != IPPROTO_TCP) /* RFC 7112: all headers, up to TCP's, in the first */
		return p->off == 0 && f->proto == IPPROTO_TCP && f->frame_len - f->l4_off < TCP_MIN;
	return p->off == 0 ? p->len < TCP_MIN : p->off < TCP_MIN;
}

enum fit { FIT, TWICE, OVERLAP };

static enum fit fits(const struct frag_table *t, const struct datagram *d, const struct place *p)
{
	uint32_t end = p->off + p->len;

	for (const struct rte_mbuf *m = d->head; m; m = link_of(t, m)->next) {
		const struct frag_link *l = link_of(t, m);

		if (l->off == p->off && l->len == p->len && l->more == p->more)
			return TWICE;
		if (p->off < (uint32_t)l->off + l->len && l->off < end)
			return OVERLAP;
		if (!l->more && end > (uint32_t)l->off)
			return OVERLAP; /* beyond the end */
		if (!p->more && (uint32_t)l->off + l->len > p->off)
			return OVERLAP;
	}
	return FIT;
}

static void spoil(struct frag_table *t, struct datagram *d)
{
	t->cfg.counter[STATS_fragment_dropped] += free_list(t, d->head);
	t->octets -= d->octets;
	d->head = d->tail = NULL;
	d->octets = 0;
	d->spoilt = true;
}

static void append(struct frag_table *t, struct datagram *d, struct rte_mbuf *m, const struct place *p)
{
	uint64_t octets = buffer_octets(m);

	*link_of(t, m) = (struct frag_link){.off = (uint16_t)p->off, .len = (uint16_t)p->len, .more = p->more};
	if (d->tail)
		link_of(t, d->tail)->next = m;
	else
		d->head = m;
	d->tail = m;
	d->pieces++;
	d->got += p->len;
	d->octets += octets;
	t->octets += octets;
	if (!p->more)
		d->total = p->off + p->len;
}

struct rte_mbuf *frag_add(struct frag_table *t, struct rte_mbuf *m, const struct parse_frame *f, unsigned port,
			  uint64_t now_us)
{
	uint64_t *counter = t->cfg.counter;
	struct place p = {0};
	struct rte_mbuf *list;
	struct frag_key k;
	struct datagram *d;
	enum fit fit;

	if (!place_find(&p, f, m) || p.len == 0 || (p.more && p.len % 8 != 0) || !parse_ip_checksum_good(f, m) ||
	    buffer_octets(m) > t->cfg.octets || is_tiny(&p, f)) {
		counter[STATS_fragment_refused]++;
		goto drop;
	}
	key_make(&k, f, p.id, port);
	d = find(t, &k, now_us);
	if (d->spoilt)
		goto drop;
	fit = fits(t, d, &p);
	if (fit == TWICE)
		goto drop;
	if (fit == OVERLAP || d->pieces == FRAG_PIECES_MAX) {
		counter[STATS_fragment_overlap]++;
		spoil(t, d);
		goto drop;
	}
	append(t, d, m, &p);
	if (d->total && d->got == d->total) {
		list = d->head;
		forget(t, (uint32_t)(d - t->d));
		return list;
	}
	while (unlikely(t->octets > t->cfg.octets))
		drop_oldest(t, STATS_fragment_over_budget);
	return NULL;
drop:
	rte_pktmbuf_free(m);
	counter[STATS_fragment_dropped]++;
	return NULL;
}

uint32_t frag_age(struct frag_table *t, uint64_t now_us)
{
	uint32_t n = 0;

	while (t->oldest != NONE && n < AGE_MAX && now_us - t->d[t->oldest].since_us >= t->cfg.timeout_us) {
		drop_oldest(t, STATS_fragment_incomplete);
		n++;
	}
	return n;
}

struct rte_mbuf *frag_first(const struct frag_table *t, struct rte_mbuf *list)
{
	struct rte_mbuf *m = list;

	while (m && link_of(t, m)->off != 0)
		m = link_of(t, m)->next;
	return m;
}

static struct rte_mbuf *give(struct frag_table *t, struct rte_mbuf *m, const struct parse_frame *f, const struct place *p)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l2_len);

	if (f->pad_len)
		rte_pktmbuf_trim(m, (uint16_t)f->pad_len);
	m->l2_len = f->l2_len;
	m->l3_len = p->l3_len;
	if (f->is_v6)
		return rte_ipv6_frag_reassemble_packet(t->joiner, &t->dead, m, 0, (struct rte_ipv6_hdr *)ip,
						       (struct rte_ipv6_fragment_ext *)(ip + 40));
	return rte_ipv4_frag_reassemble_packet(t->joiner, &t->dead, m, 0, (struct rte_ipv4_hdr *)ip);
}

static void header_right(struct rte_mbuf *m, const struct parse_frame *f)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, f->l2_len);
	uint16_t sum;

	m->ol_flags &= ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_TX_OFFLOAD_MASK);
	m->tx_offload = 0;
	if (f->is_v6)
		return;
	memset(ip + 10, 0, 2);
	sum = (uint16_t)~parse_sum(ip, f->l3_len);
	memcpy(ip + 10, &sum, 2);
}

/* In the order of their offsets, parsed; 0: they cannot be joined. */
static unsigned sort(const struct frag_table *t, struct rte_mbuf *list, struct rte_mbuf **m, struct parse_frame *f,
		     struct place *p)
{
	unsigned n = 0, i;

	for (; list; list = link_of(t, list)->next, n++) {
		if (n == FRAG_JOIN_MAX)
			return 0;
		for (i = n; i > 0 && link_of(t, m[i - 1])->off > link_of(t, list)->off; i--)
			m[i] = m[i - 1];
		m[i] = list;
	}
	for (i = 0; i < n; i++) {
		parse_mbuf(&f[i], m[i]);
		/* A trailer that lies in a buffer of its own. */
		if (!place_find(&p[i], &f[i], m[i]) || !p[i].plain || f[i].pad_len > rte_pktmbuf_lastseg(m[i])->data_len)
			return 0;
	}
	return n;
}

struct rte_mbuf *frag_join(struct frag_table *t, struct rte_mbuf *list)
{
	struct rte_mbuf *m[FRAG_JOIN_MAX], *whole = NULL;
	struct parse_frame f[FRAG_JOIN_MAX];
	struct place p[FRAG_JOIN_MAX];
	unsigned n = sort(t, list, m, f, p);

	if (n == 0) {
		t->cfg.counter[STATS_fragment_refused]++;
		frag_free(t, list);
		return NULL;
	}
	for (unsigned i = 0; i < n; i++)
		whole = give(t, m[i], &f[i], &p[i]);
	if (!whole) {
		t->cfg.counter[STATS_fragment_refused]++;
		t->cfg.counter[STATS_fragment_dropped] += n;
	} else {
		t->cfg.counter[STATS_fragment_joined]++;
		header_right(whole, &f[0]);
	}
	rte_ip_frag_free_death_row(&t->dead, 0);
	return whole;
}
