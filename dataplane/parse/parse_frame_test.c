/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "parse/parse_frame.h"

/* A frame put together piece by piece. */
struct frame {
	uint8_t b[2048];
	uint32_t n;
};

static struct rte_mempool *pool;

static void add(struct frame *f, const void *p, uint32_t n)
{
	memcpy(f->b + f->n, p, n);
	f->n += n;
}

#define ADD(f, ...)                                                                                \
	do {                                                                                       \
		const uint8_t octets_[] = {__VA_ARGS__};                                           \
		add(f, octets_, sizeof(octets_));                                                  \
	} while (0)

static void ether(struct frame *f, uint16_t type)
{
	f->n = 0;
	ADD(f, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, (uint8_t)(type >> 8), (uint8_t)type);
}

/* 10.0.0.1 -> 10.0.0.2 */
static void ipv4(struct frame *f, uint8_t words, uint16_t total, uint16_t frag, uint8_t proto)
{
	ADD(f, (uint8_t)(0x40 | words), 0x2e, (uint8_t)(total >> 8), (uint8_t)total, 0, 1,
	    (uint8_t)(frag >> 8), (uint8_t)frag, 63, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2);
}

/* fd00::1 -> fd00::2 */
static void ipv6(struct frame *f, uint16_t payload, uint8_t next)
{
	ADD(f, 0x62, 0xe0, 0, 0, (uint8_t)(payload >> 8), (uint8_t)payload, next, 62);
	ADD(f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	ADD(f, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
}

/* Ports 4660 -> 80, PSH ACK. */
static void tcp(struct frame *f, uint8_t words)
{
	ADD(f, 0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, (uint8_t)(words << 4), 0x18, 4, 0, 0, 0,
	    0, 0);
}

static enum parse_verdict parse(struct parse_frame *p, const struct frame *f)
{
	/* Exactly as large as the frame, for the sanitizer to see reads behind it. */
	uint8_t *copy = malloc(f->n);
	enum parse_verdict v;

	memcpy(copy, f->b, f->n);
	v = parse_frame(p, copy, f->n, f->n);
	free(copy);
	return v;
}

static void tcp_over_ipv4(void **state)
{
	struct parse_frame p;
	struct frame f;

	ether(&f, 0x0800);
	ipv4(&f, 5, 45, 0x4000, 6);
	tcp(&f, 5);
	ADD(&f, 'h', 'e', 'l', 'l', 'o');
	ADD(&f, 0xaa); /* padding */
	assert_int_equal(parse(&p, &f), PARSE_TCP);
	assert_int_equal(p.l2_len, 14);
	assert_int_equal(p.l3_len, 20);
	assert_int_equal(p.l4_off, 34);
	assert_int_equal(p.l4_len, 20);
	assert_int_equal(p.payload_off, 54);
	assert_int_equal(p.payload_len, 5);
	assert_int_equal(p.frame_len, 59);
	assert_int_equal(p.pad_len, 1);
	assert_int_equal(p.tcp_flags, 0x18);
	assert_int_equal(p.ttl, 63);
	assert_int_equal(p.tos, 0x2e);
	assert_false(p.is_v6);
	assert_int_equal(p.key.sport, htons(4660));
	assert_int_equal(p.key.dport, htons(80));
	assert_int_equal(p.key.proto, 6);
	assert_int_equal(p.key.vlan[0], PARSE_VLAN_NONE);
	assert_memory_equal(p.key.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
	assert_memory_equal(p.key.dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\2", 16);
}

/* Plain frames take a short way through the parser, tagged ones never do: both must see the same in the same octets,
 * whatever is wrong with them. */
static void short_way_sees_the_same(void **state)
{
	struct parse_frame p, q;
	struct frame f, g;
	uint32_t x = 1, plain = 0;

	for (unsigned round = 0; round < 200000; round++) {
		ether(&f, 0x0800);
		ipv4(&f, 5, 20 + 20 + 6, 0x4000, round & 1 ? 6 : 17);
		tcp(&f, 5);
		ADD(&f, 1, 2, 3, 4, 5, 6, 7);
		for (unsigned n = round % 4; n > 0; n--) {
			x = x * 1664525u + 1013904223u;
			f.b[14 + (x >> 8) % 40] = (uint8_t)(x >> 24);
		}
		x = x * 1664525u + 1013904223u;
		if (round % 3 == 0)
			f.n = 14 + (x >> 8) % (f.n - 13);
		g.n = f.n + 4;
		memcpy(g.b, f.b, 12);
		memcpy(g.b + 12, "\x81\x00\x00\x05", 4);
		memcpy(g.b + 16, f.b + 12, f.n - 12);
		parse(&p, &f);
		parse(&q, &g);
		plain += p.verdict == PARSE_TCP;
		assert_int_equal(q.nvlan, 1);
		assert_int_equal(q.key.vlan[0], 5);
		q.nvlan = 0;
		q.key.vlan[0] = PARSE_VLAN_NONE;
		q.l2_len -= 4;
		q.frame_len -= 4;
		q.l4_off -= q.l4_off ? 4 : 0;
		q.payload_off -= q.payload_off ? 4 : 0;
		assert_int_equal(p.verdict, q.verdict);
		assert_int_equal(p.bad, q.bad);
		if (p.verdict == PARSE_MALFORMED)
			continue;
		/* All fields; what lies between them is nobody's. */
		assert_memory_equal(&p, &q, offsetof(struct parse_frame, ttl) + 1);
		assert_int_equal(p.l4_off, q.l4_off);
		assert_int_equal(p.payload_off, q.payload_off);
		assert_memory_equal(&p.payload_len, &q.payload_len,
				    sizeof(p) - offsetof(struct parse_frame, payload_len));
	}
	assert_in_range(plain, 30000, 100000);
}

static void options_and_tags(void **state)
{
	struct parse_frame p;
	struct frame f;

	ether(&f, 0x88a8);
	ADD(&f, 0x60, 0x07, 0x81, 0x00, 0x2f, 0xff, 0x08, 0x00);
	ipv4(&f, 6, 24 + 24, 0, 6);
	ADD(&f, 1, 148, 3, 0);
	tcp(&f, 6);
	ADD(&f, 2, 4, 5, 0xb4);
	assert_int_equal(parse(&p, &f), PARSE_TCP);
	assert_int_equal(p.l2_len, 22);
	assert_int_equal(p.nvlan, 2);
	assert_int_equal(p.key.vlan[0], 7);
	assert_int_equal(p.key.vlan[1], 0xfff);
	assert_int_equal(p.l3_len, 24);
	assert_int_equal(p.l4_len, 24);
	assert_int_equal(p.payload_len, 0);

	ether(&f, 0x8100);
	ADD(&f, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0);
	assert_int_equal(parse(&p, &f), PARSE_OTHER); /* a third tag is not ours */
	assert_int_equal(p.ethertype, 0x8100);
}

static void source_route_is_other(void **state)
{
	struct parse_frame p;
	struct frame f;

	ether(&f, 0x0800);
	ipv4(&f, 7, 28 + 20, 0, 6);
	ADD(&f, 131, 7, 4, 1, 2, 3, 4, 0);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_true(p.is_routed);

	ether(&f, 0x86dd);
	ipv6(&f, 24 + 20, 43);
	ADD(&f, 6, 2, 4, 1, 0, 0, 0, 0);
	f.n += 16;
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_true(p.is_routed);
	assert_int_equal(p.proto, 6);
}

static void fragments(void **state)
{
	struct parse_frame p;
	struct frame f;

	ether(&f, 0x0800);
	ipv4(&f, 5, 40, 0x2000, 6); /* first */
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_true(p.is_fragment);
	assert_int_equal(p.key.dport, htons(80));

	ether(&f, 0x0800);
	ipv4(&f, 5, 40, 0x0003, 6); /* last */
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_true(p.is_fragment);
	assert_int_equal(p.key.dport, 0);

	ether(&f, 0x0800);
	ipv4(&f, 5, 40, 0x1fff, 6);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
	assert_int_equal(p.bad, PARSE_BAD_FRAGMENT);

	ether(&f, 0x86dd);
	ipv6(&f, 8 + 20, 44);
	ADD(&f, 6, 0, 0, 0, 1, 2, 3, 4); /* atomic */
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_TCP);
	assert_int_equal(p.l3_len, 48);

	ether(&f, 0x86dd);
	ipv6(&f, 8 + 20, 44);
	ADD(&f, 6, 0, 0, 1, 1, 2, 3, 4); /* first */
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_true(p.is_fragment);
	assert_int_equal(p.key.dport, htons(80));

	ether(&f, 0x86dd);
	ipv6(&f, 8 + 20, 44);
	ADD(&f, 0, 0, 0, 8, 1, 2, 3, 4); /* last: what follows is no header */
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_true(p.is_fragment);
	assert_int_equal(p.proto, 0);
}

static void ipv6_extensions(void **state)
{
	struct parse_frame p;
	struct frame f;

	ether(&f, 0x86dd);
	ipv6(&f, 8 + 16 + 24 + 20 + 3, 0);
	ADD(&f, 60, 0, 1, 4, 0, 0, 0, 0);
	ADD(&f, 43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	ADD(&f, 6, 2, 4, 0, 0, 0, 0, 0); /* all segments visited */
	f.n += 16;
	tcp(&f, 5);
	ADD(&f, 1, 2, 3);
	assert_int_equal(parse(&p, &f), PARSE_TCP);
	assert_true(p.is_v6);
	assert_int_equal(p.l3_len, 40 + 48);
	assert_int_equal(p.payload_len, 3);
	assert_int_equal(p.tos, 0x2e);
	assert_int_equal(p.key.src[15], 1);
	assert_int_equal(p.key.dst[15], 2);
	assert_int_equal(p.key.is_v6, 1);

	ether(&f, 0x86dd); /* hop-by-hop behind another */
	ipv6(&f, 8 + 8 + 20, 60);
	ADD(&f, 0, 0, 1, 4, 0, 0, 0, 0);
	ADD(&f, 6, 0, 1, 4, 0, 0, 0, 0);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
	assert_int_equal(p.bad, PARSE_BAD_EXTENSION);

	ether(&f, 0x86dd); /* runs over the packet */
	ipv6(&f, 8, 60);
	ADD(&f, 6, 1, 1, 4, 0, 0, 0, 0);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
	assert_int_equal(p.bad, PARSE_BAD_EXTENSION);

	ether(&f, 0x86dd); /* too many */
	ipv6(&f, 9 * 8 + 20, 60);
	for (int i = 0; i < 9; i++)
		ADD(&f, i == 8 ? 6 : 60, 0, 1, 4, 0, 0, 0, 0);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
}

static void other_traffic(void **state)
{
	struct parse_frame p;
	struct frame f;

	ether(&f, 0x0806);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_false(p.is_ip);
	ether(&f, 0x0026); /* 802.3 length */
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	ether(&f, 0x86dd);
	ipv6(&f, 8, 58);
	ADD(&f, 135, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_int_equal(p.key.proto, 58);
	ether(&f, 0x0800);
	ipv4(&f, 5, 32, 0, 17);
	ADD(&f, 0, 53, 0, 54, 0, 12, 0, 0, 1, 2, 3, 4);
	assert_int_equal(parse(&p, &f), PARSE_OTHER);
	assert_int_equal(p.key.sport, htons(53));
	assert_int_equal(p.payload_len, 4);
}

static void wrong_lengths(void **state)
{
	static const struct {
		uint8_t words;
		uint16_t total;
		uint8_t tcp_words;
		enum parse_bad bad;
	} t[] = {
		{4, 40, 5, PARSE_BAD_IP_HEADER},  {5, 19, 5, PARSE_BAD_IP_LENGTH},
		{5, 41, 5, PARSE_BAD_IP_LENGTH},  {5, 0, 5, PARSE_BAD_IP_LENGTH},
		{5, 39, 5, PARSE_BAD_TCP_HEADER}, {5, 40, 4, PARSE_BAD_TCP_HEADER},
		{5, 40, 6, PARSE_BAD_TCP_HEADER}, {15, 40, 5, PARSE_BAD_IP_LENGTH},
	};
	struct parse_frame p;
	struct frame f;

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ether(&f, 0x0800);
		ipv4(&f, t[i].words, t[i].total, 0, 6);
		tcp(&f, t[i].tcp_words);
		assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
		assert_int_equal(p.bad, t[i].bad);
		assert_non_null(parse_bad_text(p.bad));
	}
	ether(&f, 0x0800);
	ipv4(&f, 6, 44, 0, 6);
	ADD(&f, 148, 5, 0, 0);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
	assert_int_equal(p.bad, PARSE_BAD_IP_OPTION);
	ether(&f, 0x0800);
	ipv4(&f, 5, 40, 0, 6);
	f.b[14] = 0x65;
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
	assert_int_equal(p.bad, PARSE_BAD_IP_HEADER);
}

/* Every prefix of good frames is malformed or other, and none reads behind its end. */
static void cut_frames(void **state)
{
	struct parse_frame p, q;
	struct frame f;
	uint32_t whole;

	ether(&f, 0x8100);
	ADD(&f, 0, 9, 0x86, 0xdd);
	ipv6(&f, 8 + 24, 60);
	ADD(&f, 6, 0, 1, 4, 0, 0, 0, 0);
	tcp(&f, 6);
	ADD(&f, 1, 1, 1, 1);
	whole = f.n;
	for (f.n = 0; f.n < whole; f.n++) {
		assert_int_equal(parse(&p, &f), PARSE_MALFORMED);
		assert_int_not_equal(p.bad, PARSE_BAD_SPLIT);
		assert_int_equal(parse_frame(&q, f.b, f.n, whole), PARSE_MALFORMED);
		assert_int_equal(q.bad, PARSE_BAD_SPLIT);
	}
	assert_int_equal(parse(&p, &f), PARSE_TCP);
}

static void key_reverse(void **state)
{
	struct parse_frame p;
	struct flow_key k;
	struct frame f;

	ether(&f, 0x0800);
	ipv4(&f, 5, 40, 0, 6);
	tcp(&f, 5);
	assert_int_equal(parse(&p, &f), PARSE_TCP);
	parse_key_reverse(&k, &p.key);
	assert_memory_equal(k.src, p.key.dst, 16);
	assert_int_equal(k.sport, p.key.dport);
	parse_key_reverse(&k, &k);
	assert_memory_equal(&k, &p.key, sizeof(k));
}

/* The frame in mbufs of at most step octets each. */
static struct rte_mbuf *to_mbufs(const struct frame *f, uint32_t step)
{
	struct rte_mbuf *head = NULL;

	for (uint32_t at = 0; at < f->n; at += step) {
		uint32_t n = f->n - at < step ? f->n - at : step;
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		memcpy(rte_pktmbuf_append(m, (uint16_t)n), f->b + at, n);
		if (head == NULL)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	}
	return head;
}

/* The textbook sum, octet by octet, over an even-length copy. */
static uint16_t slow_sum(const uint8_t *b, uint32_t n)
{
	uint32_t s = 0;

	for (uint32_t i = 0; i < n; i++)
		s += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return htons((uint16_t)s);
}

static void tcp_frame(struct frame *f, bool v6, uint32_t payload)
{
	ether(f, v6 ? 0x86dd : 0x0800);
	if (v6) {
		ipv6(f, (uint16_t)(8 + 20 + payload), 60);
		ADD(f, 6, 0, 1, 4, 0, 0, 0, 0);
	} else {
		ipv4(f, 5, (uint16_t)(40 + payload), 0, 6);
	}
	tcp(f, 5);
	for (uint32_t i = 0; i < payload; i++)
		ADD(f, (uint8_t)(0xff - (i * i) % 7));
	ADD(f, 0xde, 0xad, 0xbe); /* padding with rubbish */
}

static void checksums(void **state)
{
	struct parse_frame p;
	struct frame f;
	struct rte_mbuf *m;

	for (unsigned i = 0; i < 2 * 1200; i += 7) {
		bool v6 = i & 1;
		uint32_t at;

		tcp_frame(&f, v6, i / 2);
		m = to_mbufs(&f, 101 + i % 50);
		assert_int_equal(parse_mbuf(&p, m), PARSE_TCP);
		assert_int_equal(p.pad_len, 3);
		assert_false(parse_tcp_checksum_good(&p, m));
		parse_checksum_set(&p, m);
		assert_true(parse_ip_checksum_good(&p, m));
		assert_true(parse_tcp_checksum_good(&p, m));
		at = p.frame_len - 1;
		{
			struct rte_mbuf *s = m;

			while (at >= rte_pktmbuf_data_len(s)) {
				at -= rte_pktmbuf_data_len(s);
				s = s->next;
			}
			*rte_pktmbuf_mtod_offset(s, uint8_t *, at) ^= 0x10;
		}
		assert_false(parse_tcp_checksum_good(&p, m));
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		assert_true(parse_tcp_checksum_good(&p, m));
		rte_pktmbuf_free(m);
	}
}

static void sum_of_pieces(void **state)
{
	struct frame f = {.n = 1500};
	uint16_t sum;

	srand(7);
	for (uint32_t i = 0; i < f.n; i++)
		f.b[i] = (uint8_t)(rand() | 0xc0);
	for (uint32_t step = 1; step < 300; step += 6) {
		struct rte_mbuf *m = to_mbufs(&f, step);

		for (uint32_t off = 0; off < 40; off += 3) {
			uint32_t len = f.n - off - (step * 7 + off) % 90;

			assert_true(parse_sum_mbuf(m, off, len, &sum));
			assert_int_equal(sum, slow_sum(f.b + off, len));
		}
		assert_false(parse_sum_mbuf(m, 1, f.n, &sum));
		rte_pktmbuf_free(m);
	}
}

static void payload_is_cut(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (uint32_t split = 0; split < 3; split++) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *next;
			struct parse_frame p, again;
			struct frame f;

			ether(&f, v6 ? 0x86dd : 0x0800);
			if (v6) {
				ipv6(&f, 8 + 20 + 9, 60);
				ADD(&f, 6, 0, 1, 4, 0, 0, 0, 0);
			} else {
				ipv4(&f, 5, 49, 0, 6);
			}
			tcp(&f, 5);
			ADD(&f, 'h', 'e', 'l', 'l', 'o', '!', '!', '!', '!', 0xaa, 0xaa); /* two of padding */
			memcpy(rte_pktmbuf_append(m, (uint16_t)(f.n - split)), f.b, f.n - split);
			if (split) {
				next = rte_pktmbuf_alloc(pool);
				memcpy(rte_pktmbuf_append(next, (uint16_t)split), f.b + f.n - split, split);
				assert_int_equal(rte_pktmbuf_chain(m, next), 0);
			}
			assert_int_equal(parse_mbuf(&p, m), PARSE_TCP);
			assert_int_equal(p.payload_len, 9);
			parse_payload_cut(&p, m);
			parse_checksum_set(&p, m);
			assert_int_equal(rte_pktmbuf_pkt_len(m), f.n - 11);
			assert_int_equal(m->nb_segs, 1);
			assert_int_equal(parse_mbuf(&again, m), PARSE_TCP);
			assert_memory_equal(&p, &again, sizeof(p));
			assert_int_equal(again.payload_len, 0);
			assert_true(parse_ip_checksum_good(&again, m) && parse_tcp_checksum_good(&again, m));
			rte_pktmbuf_free(m);
		}
	}
}

static void split_headers(void **state)
{
	struct parse_frame p;
	struct rte_mbuf *m;
	struct frame f;

	tcp_frame(&f, true, 100);
	m = to_mbufs(&f, 20);
	assert_int_equal(parse_mbuf(&p, m), PARSE_TCP);
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(p.payload_len, 100);
	rte_pktmbuf_free(m);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static int setup(void **state)
{
	char *argv[] = {"parse_frame_test",
			"--no-huge",
			"--no-pci",
			"--no-shconf",
			"--no-telemetry",
			"-m",
			"64",
			"-l",
			"0",
			"--log-level=3",
			NULL};

	if (rte_eal_init(sizeof(argv) / sizeof(argv[0]) - 1, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	return pool == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_over_ipv4),
		cmocka_unit_test(short_way_sees_the_same),	 cmocka_unit_test(options_and_tags),
		cmocka_unit_test(source_route_is_other), cmocka_unit_test(fragments),
		cmocka_unit_test(ipv6_extensions),	 cmocka_unit_test(other_traffic),
		cmocka_unit_test(wrong_lengths),	 cmocka_unit_test(cut_frames),
		cmocka_unit_test(key_reverse),		 cmocka_unit_test(checksums),
		cmocka_unit_test(sum_of_pieces),	 cmocka_unit_test(payload_is_cut),
		cmocka_unit_test(split_headers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
