/* SPDX-License-Identifier: BSD-3-Clause */
/* Large frames and missing checksums against ports that do all, some or nothing of it. What is cut is put together again
 * here by a segmenter of the test's own, octet for octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "port/port.h"

#define SEQ 0xfffff800u
#define FLAGS (RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_CWR_FLAG)

static struct rte_mempool *pool;
static struct port_pair pair;
static struct port_tx tx;

struct shape { /* of a large frame */
	bool v6;
	unsigned tags, ip_extra, options; /* octets but for tags */
	uint32_t payload, piece, segsz;
};

static void with_caps(struct port_caps c)
{
	memset(&pair, 0, sizeof(pair));
	pair.bufs = pool;
	pair.port[0].caps = c;
	pair.port[0].mtu = 1500;
	port_tx_init(&tx, &pair, 0, 0);
}

static uint8_t octet(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

static unsigned heads_of(const struct shape *s)
{
	return 14 + 4 * s->tags + (s->v6 ? 40 : 20) + s->ip_extra + 20 + s->options;
}

/* Headers in the first mbuf, payload in pieces of so many octets. */
static struct rte_mbuf *large(const struct shape *s)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *tail = m;
	uint32_t l2 = 14 + 4 * s->tags, l3 = (s->v6 ? 40 : 20) + s->ip_extra, l4 = 20 + s->options;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)heads_of(s));
	struct rte_tcp_hdr *t = (struct rte_tcp_hdr *)(p + l2 + l3);

	memset(p, 0xa5, l2);
	memset(p + l2, 0, l3 + l4);
	if (s->v6) {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(p + l2);

		ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
		ip->payload_len = rte_cpu_to_be_16((uint16_t)(l3 - 40 + l4 + s->payload));
		ip->proto = s->ip_extra ? IPPROTO_DSTOPTS : IPPROTO_TCP;
		memset(ip->src_addr, 0x11, 32);
		if (s->ip_extra) {
			p[l2 + 40] = IPPROTO_TCP;
			p[l2 + 42] = 1; /* PadN */
			p[l2 + 43] = 4;
		}
	} else {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(p + l2);

		ip->version_ihl = (uint8_t)(0x40 | l3 / 4);
		ip->total_length = rte_cpu_to_be_16((uint16_t)(l3 + l4 + s->payload));
		ip->packet_id = rte_cpu_to_be_16(0xfffe);
		ip->next_proto_id = IPPROTO_TCP;
		ip->src_addr = 0x01020304;
		ip->dst_addr = 0x05060708;
		memset(ip + 1, 1, s->ip_extra);
	}
	t->sent_seq = rte_cpu_to_be_32(SEQ);
	t->data_off = (uint8_t)(l4 / 4 << 4);
	t->tcp_flags = FLAGS;
	memset(t + 1, 1, s->options);
	for (uint32_t i = 0; i < s->payload; i++) {
		if (i % s->piece == 0) {
			tail->next = rte_pktmbuf_alloc(pool);
			assert_non_null(tail->next);
			tail = tail->next;
			m->nb_segs++;
		}
		*rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len) = octet(i);
		tail->data_len++;
		m->pkt_len++;
	}
	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
		      (s->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
	m->tx_offload = rte_mbuf_tx_offload(l2, l3, l4, s->segsz, 0, 0, 0);
	return m;
}

/* Of the pseudo header and what follows, by the definition: 16 bits at a time. */
static uint32_t plain_sum(const uint8_t *p, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

static void checksums_check(const uint8_t *p, uint32_t len, const struct shape *s, bool by_port)
{
	uint32_t l2 = 14 + 4 * s->tags, l3 = (s->v6 ? 40 : 20) + s->ip_extra, n = len - l2 - l3;
	uint32_t pseudo = plain_sum(p + l2 + (s->v6 ? 8 : 12), s->v6 ? 32 : 8, IPPROTO_TCP + n);

	if (!s->v6)
		assert_int_equal(fold(plain_sum(p + l2, l3, 0)), 0xffff);
	if (by_port)
		assert_int_equal(p[l2 + l3 + 16] << 8 | p[l2 + l3 + 17], fold(pseudo));
	else
		assert_int_equal(fold(plain_sum(p + l2 + l3, n, pseudo)), 0xffff);
}

static void cut_check(const struct shape *s, bool by_port)
{
	uint32_t heads = heads_of(s), room = 1500 - (heads - 14 - 4 * s->tags), size = RTE_MIN(s->segsz ? s->segsz : room, room);
	uint32_t n = (s->payload + size - 1) / size, off = 0;
	uint8_t flat[2048];

	assert_int_equal(tx.count, n);
	assert_int_equal(tx.cut, 1);
	for (uint32_t i = 0; i < n; i++) {
		const struct rte_mbuf *m = tx.pkt[i];
		uint32_t len = RTE_MIN(size, s->payload - off), l2 = 14 + 4 * s->tags;
		const uint8_t *p = rte_pktmbuf_read(m, 0, m->pkt_len, flat);
		const struct rte_tcp_hdr *t = (const struct rte_tcp_hdr *)(p + heads - 20 - s->options);

		assert_int_equal(m->pkt_len, heads + len);
		assert_true(m->pkt_len - l2 <= 1500);
		assert_int_equal(rte_be_to_cpu_32(t->sent_seq), SEQ + off);
		assert_int_equal(t->tcp_flags, RTE_TCP_ACK_FLAG | (i ? 0 : RTE_TCP_CWR_FLAG) |
						       (i + 1 == n ? RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG : 0));
		if (s->v6)
			assert_int_equal(p[l2 + 4] << 8 | p[l2 + 5], m->pkt_len - l2 - 40);
		else
			assert_int_equal(p[l2 + 2] << 8 | p[l2 + 3], m->pkt_len - l2);
		if (!s->v6)
			assert_int_equal(p[l2 + 4] << 8 | p[l2 + 5], (uint16_t)(0xfffe + i));
		checksums_check(p, m->pkt_len, s, by_port);
		assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, by_port ? RTE_MBUF_F_TX_TCP_CKSUM : 0);
		assert_int_equal(m->ol_flags & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM), 0);
		for (uint32_t k = 0; k < len; k++, off++)
			assert_int_equal(p[heads + k], octet(off));
	}
	assert_int_equal(off, s->payload);
}

static void drop_buffered(void)
{
	rte_pktmbuf_free_bulk(tx.pkt, tx.count);
	tx.count = 0;
	assert_int_equal(rte_mempool_avail_count(pool), pool->size); /* nothing leaked */
}

static void test_cut_in_software(void **state)
{
	static const struct shape shapes[] = {
		{.payload = 65000, .piece = 1460, .segsz = 1460},
		{.payload = 2921, .piece = 1999, .segsz = 1460},
		{.payload = 10000, .piece = 333, .segsz = 1448, .options = 12, .tags = 1},
		{.payload = 30000, .piece = 1461, .segsz = 0, .ip_extra = 8, .tags = 2},
		{.payload = 30000, .piece = 1025, .segsz = 8960}, /* came from where the MTU is larger */
		{.payload = 65000, .piece = 1337, .segsz = 1440, .v6 = true},
		{.payload = 7777, .piece = 77, .segsz = 1001, .v6 = true, .ip_extra = 8, .tags = 1, .options = 12},
	};

	for (unsigned i = 0; i < RTE_DIM(shapes); i++) {
		for (unsigned by_port = 0; by_port < 2; by_port++) {
			with_caps((struct port_caps){.multi_seg = true, .indirect = true, .tx_cksum = by_port});
			port_tx_put(&tx, large(&shapes[i]));
			cut_check(&shapes[i], by_port);
			drop_buffered();
		}
	}
}

/* The port gets the frame as it is, and only what it takes. */
static void test_cut_by_port(void **state)
{
	struct shape s = {.payload = 20000, .piece = 1460, .segsz = 1460};
	struct port_caps c = {.multi_seg = true, .indirect = true, .tx_cksum = true, .tx_ip_cksum = true,
			      .tso = true, .tx_segs = 64};
	struct rte_mbuf *m = large(&s);

	with_caps(c);
	port_tx_put(&tx, m);
	assert_int_equal(tx.count, 1);
	assert_ptr_equal(tx.pkt[0], m);
	assert_true(tx.prepare);
	assert_int_equal(tx.tso, 1);
	assert_int_equal(tx.cut, 0);
	drop_buffered();
	s.v6 = true; /* not its kind */
	with_caps(c);
	port_tx_put(&tx, large(&s));
	cut_check(&s, true);
	drop_buffered();
	s.v6 = false;
	c.tx_segs = 14; /* of headers and 14 pieces */
	with_caps(c);
	port_tx_put(&tx, large(&s));
	cut_check(&s, true);
	drop_buffered();
	c.tx_segs = 64;
	c.tso_frame = 1500; /* takes the MTU for the frame's length */
	with_caps(c);
	port_tx_put(&tx, large(&s));
	cut_check(&s, true);
	drop_buffered();
	s.segsz = 256; /* more segments than it makes */
	s.piece = 1200;
	c.tso_frame = 0;
	with_caps(c);
	port_tx_put(&tx, large(&s));
	cut_check(&s, true);
	drop_buffered();
}

/* net_tap: a chain with an odd mbuf before its last is not left to it. */
static void test_even_pieces(void **state)
{
	struct port_caps c = {.multi_seg = true, .indirect = true, .tx_cksum = true, .tx_ip_cksum = true, .tso = true,
			      .tx_segs = 64, .even = true};
	struct shape s = {.payload = 20001, .piece = 1446, .segsz = 1446};
	struct rte_mbuf *m;
	uint8_t flat[2048];

	for (unsigned odd = 0; odd < 3; odd++) {
		s.piece = odd == 1 ? 1445 : 1446;
		s.segsz = odd == 2 ? 1445 : 1446;
		with_caps(c);
		port_tx_put(&tx, large(&s));
		assert_int_equal(tx.tso, odd == 0);
		if (odd)
			cut_check(&s, true);
		drop_buffered();
	}
	s = (struct shape){.payload = 800};
	for (unsigned odd = 0; odd < 2; odd++) {
		s.piece = 300 + odd;
		m = large(&s);
		m->ol_flags &= ~RTE_MBUF_F_TX_TCP_SEG;
		with_caps(c);
		port_tx_put(&tx, m);
		assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, odd ? 0 : RTE_MBUF_F_TX_TCP_CKSUM);
		if (odd) {
			m->ol_flags = 0;
			((uint8_t *)m->buf_addr)[m->data_off + 24] = 0; /* the port's */
			((uint8_t *)m->buf_addr)[m->data_off + 25] = 0;
			uint16_t ip = (uint16_t)~fold(plain_sum(rte_pktmbuf_mtod_offset(m, uint8_t *, 14), 20, 0));
			((uint8_t *)m->buf_addr)[m->data_off + 24] = (uint8_t)(ip >> 8);
			((uint8_t *)m->buf_addr)[m->data_off + 25] = (uint8_t)ip;
			checksums_check(rte_pktmbuf_read(m, 0, m->pkt_len, flat), m->pkt_len, &s, false);
		}
		drop_buffered();
	}
}

/* virtio: the IPv4 header of the whole is ours. */
static void test_ip_header_for_port(void **state)
{
	struct shape s = {.payload = 20000, .piece = 1460, .segsz = 1460};
	const uint8_t *ip;

	with_caps((struct port_caps){.multi_seg = true, .indirect = true, .tx_cksum = true, .tso = true, .tx_segs = 64});
	port_tx_put(&tx, large(&s));
	assert_int_equal(tx.count, 1);
	assert_int_equal(tx.pkt[0]->ol_flags & RTE_MBUF_F_TX_IP_CKSUM, 0);
	ip = rte_pktmbuf_mtod_offset(tx.pkt[0], const uint8_t *, 14);
	assert_int_equal(fold(plain_sum(ip, 20, 0)), 0xffff);
	drop_buffered();
}

/* A partial checksum is finished where the port does not; padding is not part of it. */
static void test_checksums_finished(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct shape s = {.payload = 701, .piece = 100, .v6 = v6};
		struct rte_mbuf *m = large(&s), *pad = rte_pktmbuf_lastseg(m);
		uint8_t flat[2048];

		m->ol_flags &= ~RTE_MBUF_F_TX_TCP_SEG;
		memset(rte_pktmbuf_mtod_offset(pad, uint8_t *, pad->data_len), 0xff, 6);
		pad->data_len += 6;
		m->pkt_len += 6;
		with_caps((struct port_caps){.multi_seg = true, .indirect = true});
		port_tx_put(&tx, m);
		assert_int_equal(tx.count, 1);
		assert_int_equal(m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM), 0);
		checksums_check(rte_pktmbuf_read(m, 0, m->pkt_len - 6, flat), m->pkt_len - 6, &s, false);
		drop_buffered();
	}
}

static void test_no_buffers(void **state)
{
	struct shape s = {.payload = 60000, .piece = 1460, .segsz = 1460};
	struct rte_mbuf *held[512], *m = large(&s);
	unsigned n = 0;

	while ((held[n] = rte_pktmbuf_alloc(pool)) != NULL)
		n++;
	for (unsigned i = 0; i < 10; i++)
		rte_pktmbuf_free(held[--n]);
	with_caps((struct port_caps){.multi_seg = true, .indirect = true});
	port_tx_put(&tx, m);
	assert_int_equal(tx.count, 10);
	assert_int_equal(tx.no_mbuf, 1);
	while (n)
		rte_pktmbuf_free(held[--n]);
	drop_buffered();
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0],
		       (char *)"--no-huge",
		       (char *)"--no-pci",
		       (char *)"--no-shconf",
		       (char *)"-m",
		       (char *)"64",
		       (char *)"--no-telemetry",
		       (char *)"--log-level=error"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_in_software),
		cmocka_unit_test(test_cut_by_port),
		cmocka_unit_test(test_even_pieces),
		cmocka_unit_test(test_ip_header_for_port),
		cmocka_unit_test(test_checksums_finished),
		cmocka_unit_test(test_no_buffers),
	};

	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("bufs", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
