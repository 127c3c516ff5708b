/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker does with a burst: which frames cross untouched, which become flows, in which order
 * they leave. */
#include "worker/worker_test_world.h"

#include <stdlib.h>
#include <string.h>

static struct worker *const w = &world.w;

/* INV-WORKER-3, and order. */
static void test_unselected_crosses(void **state)
{
	static const uint8_t arp[60] = {[12] = 0x08, [13] = 0x06, [14] = 9};
	static const uint8_t runt[14] = {[12] = 0x08, [13] = 0x00};
	static const uint8_t tagged[80] = {
		[12] = 0x81, [15] = 7, [16] = 0x88, [17] = 0xb5, [18] = 1};
	struct world_seg other = world_segment(false, 4000, 8080, RTE_TCP_SYN_FLAG);
	struct world_seg middle = world_segment(false, 4001, 80, RTE_TCP_ACK_FLAG);
	const struct {
		const void *octets;
		uint16_t len;
	} in[] = {{arp, 60},
		  {runt, 14},
		  {tagged, 80},
		  {&other, sizeof(other)},
		  {&middle, sizeof(middle)}};
	struct rte_mbuf *m[5];

	for (int i = 0; i < 5; i++)
		m[i] = world_raw(in[i].octets, in[i].len);
	world_burst(1, m, 5);
	assert_int_equal(w->tx[0].count, 5);
	assert_int_equal(w->tx[1].count, 0);
	for (int i = 0; i < 5; i++) {
		struct rte_mbuf *out = w->tx[0].pkt[i];

		assert_int_equal(rte_pktmbuf_pkt_len(out), in[i].len);
		assert_memory_equal(rte_pktmbuf_mtod(out, void *), in[i].octets, in[i].len);
	}
	assert_int_equal(world_count(STATS_bypass_frames), 5);
	assert_int_equal(world_count(STATS_frame_malformed), 1);
	assert_int_equal(flow_table_count(w->flows), 0);
	world_drop_sent();
}

static void test_selected_becomes_flow(void **state)
{
	struct rte_mbuf *m[2] = {world_tcp(false, 4000, 80, RTE_TCP_SYN_FLAG),
				 world_tcp(false, 4000, 80, RTE_TCP_SYN_FLAG)};

	/* the second was looked up before the first made the entry */
	world_burst(0, m, 2);
	assert_int_equal(world_count(STATS_flow_created), 1);
	assert_int_equal(flow_table_count(w->flows), 1);
	assert_int_equal(world_count(STATS_bypass_frames), 0);
	assert_true(w->tx[1].count >= 1);
	world_drop_sent();

	/* the same segment on the other port is the flow crossing a second time */
	m[0] = world_tcp(false, 4000, 80, RTE_TCP_SYN_FLAG);
	world_burst(1, m, 1);
	assert_int_equal(world_count(STATS_bypass_frames), 1);
	world_drop_sent();

	/* refused by the server: forgotten */
	m[0] = world_raw(&(struct world_seg){0}, sizeof(struct world_seg));
	struct world_seg rst = world_segment(true, 4000, 80, RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG);
	rst.tcp.recv_ack = rte_cpu_to_be_32(1001);
	rst.tcp.cksum = 0;
	rst.tcp.cksum = rte_ipv4_udptcp_cksum(&rst.ip, &rst.tcp);
	memcpy(rte_pktmbuf_mtod(m[0], void *), &rst, sizeof(rst));
	world_burst(1, m, 1);
	assert_int_equal(w->tx[0].count, 1);
	assert_int_equal(flow_table_count(w->flows), 0);
	assert_int_equal(w->wheel->armed, 0);
	world_drop_sent();
}

/* Not even a half-open flow comes of it. */
static void test_wrong_checksum_makes_no_flow(void **state)
{
	struct world_seg syn = world_segment(false, 4000, 80, RTE_TCP_SYN_FLAG);
	struct rte_mbuf *m[2];

	syn.tcp.cksum ^= 1;
	m[0] = world_raw(&syn, sizeof(syn));
	syn.tcp.cksum ^= 1;
	syn.ip.hdr_checksum ^= 1;
	m[1] = world_raw(&syn, sizeof(syn));
	world_burst(0, m, 2);
	assert_int_equal(world_count(STATS_bad_checksum), 2);
	assert_int_equal(world_count(STATS_flow_created), 0);
	assert_int_equal(flow_table_count(w->flows), 0);
	assert_int_equal(w->tx[1].count, 0);
}

static void test_table_full(void **state)
{
	struct rte_mbuf *m[WORLD_FLOWS + 1];

	for (int i = 0; i <= WORLD_FLOWS; i++)
		m[i] = world_tcp(false, (uint16_t)(4000 + i), 80, RTE_TCP_SYN_FLAG);
	world_burst(0, m, WORLD_FLOWS + 1);
	assert_int_equal(flow_table_count(w->flows), WORLD_FLOWS);
	assert_int_equal(world_count(STATS_flow_table_full), 1);
	assert_int_equal(world_count(STATS_bypass_frames), 1);
	assert_int_equal(w->tx[1].count, WORLD_FLOWS + 1);
	world_drop_sent();
}

/* No end sends them; they make no flow, get no answer, and do not reach a server that would believe them. */
static void test_bad_flags(void **state)
{
	static const uint8_t bad[] = {
		RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG,
		RTE_TCP_SYN_FLAG | RTE_TCP_RST_FLAG,
		RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG,
		0,
		RTE_TCP_FIN_FLAG,
		RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_URG_FLAG,
	};

	for (unsigned round = 0; round < 2; round++) {
		uint64_t before = world_count(STATS_bad_flags);

		for (unsigned i = 0; i < sizeof(bad); i++) {
			world_one(0, world_tcp(false, 4000, 80, bad[i]));
			world_one(1, world_tcp(true, 4000, 80, bad[i]));
		}
		assert_int_equal(world_count(STATS_bad_flags), before + 2 * sizeof(bad));
		assert_int_equal(w->tx[0].count + w->tx[1].count, 0);
		assert_int_equal(flow_table_count(w->flows), round);
		world_one(0, world_tcp(false, 4000, 80, RTE_TCP_SYN_FLAG)); /* and the same with a flow */
		world_drop_sent();
	}
	/* nobody selects these */
	for (unsigned i = 0; i < sizeof(bad); i++)
		world_one(0, world_tcp(false, 4000, 8080, bad[i]));
	assert_int_equal(w->tx[1].count, sizeof(bad));
	world_drop_sent();
}

static void test_handshake_timeout_frees(void **state)
{
	struct rte_mbuf *m[1] = {world_tcp(false, 4000, 80, RTE_TCP_SYN_FLAG)};
	uint64_t end = w->now_us + 2 * world.cfg->limits.handshake_timeout_us;

	world_burst(0, m, 1);
	world_drop_sent();
	for (; w->now_us < end; w->now_us += 100000) {
		session_ctx_tick(w->sessions, w->now_us, w->matcher);
		flow_wheel_advance(w->wheel, w->now_us, UINT32_MAX, worker_flow_timer, w);
		worker_flow_run(w);
	}
	assert_int_equal(flow_table_count(w->flows), 0);
	assert_int_equal(world_count(STATS_flow_timeout), 1);
	world_drop_sent();
}

/* Frames of other workers leave the burst for their rings, both directions of a flow to the same
 * one. */
static void test_spreading(void **state)
{
	struct worker *two = calloc(2, sizeof(*two));
	struct rte_mbuf *m[32];
	unsigned n[2];

	two[0] = *w;
	two[0].peer = two;
	two[0].workers = 2;
	for (unsigned p = 0; p < 2; p++)
		two[1].rx_ring[p] =
			rte_ring_create(p ? "spread1" : "spread0", 64, SOCKET_ID_ANY, 0);
	for (unsigned p = 0; p < 2; p++) {
		for (int i = 0; i < 32; i++)
			m[i] = world_tcp(p, (uint16_t)(5000 + i), 8080, RTE_TCP_ACK_FLAG);
		worker_frames(&two[0], p, m, 32, true);
		n[p] = rte_ring_count(two[1].rx_ring[p]);
		assert_int_equal(two[0].tx[!p].count + n[p], 32);
	}
	assert_int_equal(n[0], n[1]);
	assert_in_range(n[0], 4, 28);
	for (unsigned p = 0; p < 2; p++) {
		void *x;

		while (rte_ring_dequeue(two[1].rx_ring[p], &x) == 0)
			rte_pktmbuf_free(x);
		rte_ring_free(two[1].rx_ring[p]);
	}
	memcpy(w->tx, two[0].tx, sizeof(w->tx));
	world_drop_sent();
	free(two);
}

/* --- frames a port has merged, or whose checksum it has left out --------------------------------------------------- */

static void far_port(struct port_caps c)
{
	c.multi_seg = c.indirect = true;
	world.ports.port[1].caps = c;
	port_tx_init(&w->tx[1], &world.ports, 1, 0);
}

/* n segments of size octets in one frame, as virtio gives them; its checksum is not one. */
static struct rte_mbuf *merged(unsigned n, uint16_t size, bool flagged)
{
	struct world_seg s = world_segment(false, 4000, 8080, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG);
	struct rte_mbuf *m, *tail;

	s.ip.total_length = rte_cpu_to_be_16((uint16_t)(40 + n * size));
	s.ip.hdr_checksum = 0;
	s.ip.hdr_checksum = rte_ipv4_cksum(&s.ip);
	s.tcp.cksum = 0xdead;
	m = tail = world_raw(&s, sizeof(s));
	for (unsigned i = 0; i < n; i++) {
		tail->next = rte_pktmbuf_alloc(world.pool);
		tail = tail->next;
		assert_non_null(tail);
		memset(rte_pktmbuf_mtod(tail, void *), (int)i + 1, size);
		tail->data_len = size;
		m->pkt_len += size;
		m->nb_segs++;
	}
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE | (flagged ? RTE_MBUF_F_RX_LRO : 0);
	m->tso_segsz = flagged ? size : 0;
	return m;
}

static void whole_check(struct rte_mbuf *m, uint32_t seq, uint8_t octet, uint32_t len)
{
	struct parse_frame f;
	uint8_t flat[2048];

	assert_true(m->pkt_len <= 1514);
	m->ol_flags = 0; /* nothing was left to the port */
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	assert_true(parse_ip_checksum_good(&f, m) && parse_tcp_checksum_good(&f, m));
	assert_int_equal(f.payload_len, len);
	assert_int_equal(rte_be_to_cpu_32(rte_pktmbuf_mtod(m, struct world_seg *)->tcp.sent_seq), seq);
	assert_int_equal(((const uint8_t *)rte_pktmbuf_read(m, f.payload_off, len, flat))[len - 1], octet);
}

/* What nobody selects crosses, in segments as it came, whoever cuts. */
static void test_merged_crosses(void **state)
{
	struct rte_mbuf *m;

	far_port((struct port_caps){0});
	world_one(0, merged(40, 1448, true));
	assert_int_equal(world_count(STATS_rx_large_frames), 1);
	assert_int_equal(w->tx[1].count, 40);
	for (unsigned i = 0; i < 40; i++)
		whole_check(w->tx[1].pkt[i], 1000 + i * 1448, (uint8_t)(i + 1), 1448);
	world_drop_sent();
	world_one(0, merged(2, 1600, false)); /* a larger MTU there than here */
	assert_int_equal(w->tx[1].count, 3);
	whole_check(w->tx[1].pkt[2], 1000 + 2920, 2, 280);
	world_drop_sent();
	far_port((struct port_caps){.tx_cksum = true, .tx_ip_cksum = true, .tso = true, .tx_segs = 64});
	m = merged(40, 1448, true);
	world_one(0, m);
	assert_int_equal(w->tx[1].count, 1);
	assert_ptr_equal(w->tx[1].pkt[0], m);
	assert_int_equal(m->tso_segsz, 1448);
	assert_int_equal(m->l2_len + m->l3_len + m->l4_len, 54);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(rte_pktmbuf_mtod(m, struct world_seg *)->tcp.cksum,
			 rte_ipv4_phdr_cksum(&rte_pktmbuf_mtod(m, struct world_seg *)->ip, m->ol_flags));
	world_drop_sent();
}

static void test_no_checksum(void **state)
{
	struct world_seg s = world_segment(false, 4000, 8080, RTE_TCP_ACK_FLAG);
	uint8_t udp[46] = {[12] = 0x08, [14] = 0x45, [17] = 32, [22] = 9, IPPROTO_UDP, [26] = 10, 0, 0, 1, 10, 0, 0, 2,
			   0x0f, 0xa0, 0, 53, 0, 12, 0xde, 0xad, 'o', 'p', 'e', 's'};
	struct rte_ipv4_hdr *ip;
	struct rte_mbuf *m;

	far_port((struct port_caps){0});
	s.tcp.cksum = 0xdead;
	m = world_raw(&s, sizeof(s));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	world_one(0, m);
	m = world_raw(udp, sizeof(udp));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	world_one(0, m);
	s = world_segment(false, 4000, 80, RTE_TCP_SYN_FLAG); /* selected: its options are gone over */
	s.tcp.cksum = 0xdead;
	m = world_raw(&s, sizeof(s));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	world_one(0, m);
	assert_int_equal(w->tx[1].count, 3);
	assert_int_equal(flow_table_count(w->flows), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(w->tx[1].pkt[i]->ol_flags & RTE_MBUF_F_TX_L4_MASK, 0);
		ip = rte_pktmbuf_mtod_offset(w->tx[1].pkt[i], struct rte_ipv4_hdr *, 14);
		assert_int_equal(rte_ipv4_udptcp_cksum(ip, ip + 1), ip->next_proto_id == IPPROTO_UDP ? 0xffff : 0);
	}
	world_drop_sent();
	assert_int_equal(world_count(STATS_rx_large_frames), 0);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_CASE(test_unselected_crosses),
		WORLD_CASE(test_selected_becomes_flow),
		WORLD_CASE(test_wrong_checksum_makes_no_flow),
		WORLD_CASE(test_merged_crosses),
		WORLD_CASE(test_no_checksum),
		WORLD_CASE(test_table_full),
		WORLD_CASE(test_bad_flags),
		WORLD_CASE(test_handshake_timeout_frees),
		WORLD_CASE(test_spreading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(run);
}
