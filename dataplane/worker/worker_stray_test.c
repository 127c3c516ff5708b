/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments that rules select and that belong to no flow: seen from the middle of their connection. */
#include "worker/worker_test_world.h"

#include <string.h>

static struct worker *const w = &world.w;

static void test_mid_stream(void **state)
{
	static const uint8_t flags[] = {RTE_TCP_ACK_FLAG, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG,
					RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG, RTE_TCP_RST_FLAG};

	for (unsigned policy = POLICY_MID_PASS; policy <= POLICY_MID_RESET; policy++) {
		world_mid_stream(policy);
		for (unsigned i = 0; i < sizeof(flags); i++) { /* towards port 80, and from it: both may be the selected one */
			world_one(0, world_tcp(false, 4000, 80, flags[i]));
			world_one(1, world_tcp(true, 4000, 80, flags[i]));
			world_one(1, world_tcp(false, 4000, 80, flags[i]));
		}
		if (policy == POLICY_MID_PASS) {
			assert_int_equal(w->tx[0].count, 8);
			assert_int_equal(w->tx[1].count, 4);
			assert_int_equal(world_count(STATS_bypass_frames), 12);
		} else {
			assert_int_equal(world_count(STATS_mid_stream_dropped), 12);
			assert_int_equal(world_count(STATS_mid_stream_reset), policy == POLICY_MID_RESET ? 9 : 0);
			assert_int_equal(w->tx[0].count, policy == POLICY_MID_RESET ? 3 : 0); /* none for a RST */
			assert_int_equal(w->tx[1].count, policy == POLICY_MID_RESET ? 6 : 0);
		}
		world_drop_sent();
		world_one(0, world_tcp(false, 4000, 8080, RTE_TCP_ACK_FLAG)); /* selected by no rule */
		world_one(1, world_tcp(true, 80, 8080, RTE_TCP_ACK_FLAG)); /* an ephemeral port 80: as if it were a server's */
		assert_int_equal(w->tx[1].count, policy == POLICY_MID_RESET ? 2 : 1);
		assert_int_equal(flow_table_count(w->flows), 0);
		world_drop_sent();
	}
	world_mid_stream(POLICY_MID_PASS);
}

/* RFC 9293 3.10.7.1, with tags, IPv4 and IPv6. */
static void test_reset_form(void **state)
{
	static const uint8_t v6[78 + 4] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 6, 64,
		[18 + 8] = 0xfd, [18 + 23] = 1, 0xfd, [18 + 39] = 2, 0x1f, 0x90, 0, 80, 0, 0, 0, 5, 0, 0, 0, 77,
		0x50, RTE_TCP_ACK_FLAG | RTE_TCP_FIN_FLAG, 1, 1};
	struct world_seg s = world_segment(false, 4000, 80, RTE_TCP_ACK_FLAG);
	struct parse_frame f;
	struct rte_mbuf *m;
	struct world_seg *r;

	world_mid_stream(POLICY_MID_RESET);
	memcpy(&s.eth.src_addr, "\2\0\0\0\0\1", 6);
	memcpy(&s.eth.dst_addr, "\2\0\0\0\0\2", 6);
	s.tcp.recv_ack = rte_cpu_to_be_32(5555);
	s.tcp.cksum = 0;
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	world_one(0, world_raw(&s, sizeof(s)));
	assert_int_equal(w->tx[0].count, 1);
	r = rte_pktmbuf_mtod(w->tx[0].pkt[0], struct world_seg *);
	assert_memory_equal(&r->eth.dst_addr, &s.eth.src_addr, 6);
	assert_memory_equal(&r->eth.src_addr, &s.eth.dst_addr, 6);
	assert_int_equal(r->ip.src_addr, s.ip.dst_addr);
	assert_int_equal(r->ip.dst_addr, s.ip.src_addr);
	assert_int_equal(r->tcp.src_port, s.tcp.dst_port);
	assert_int_equal(r->tcp.dst_port, s.tcp.src_port);
	assert_int_equal(r->tcp.tcp_flags, RTE_TCP_RST_FLAG);
	assert_int_equal(rte_be_to_cpu_32(r->tcp.sent_seq), 5555);
	assert_int_equal(parse_mbuf(&f, w->tx[0].pkt[0]), PARSE_TCP);
	assert_true(parse_ip_checksum_good(&f, w->tx[0].pkt[0]) && parse_tcp_checksum_good(&f, w->tx[0].pkt[0]));
	world_drop_sent();
	/* a broken one is answered by nobody */
	s.tcp.cksum ^= 1;
	world_one(0, world_raw(&s, sizeof(s)));
	assert_int_equal(w->tx[0].count, 0);

	m = world_raw(v6, sizeof(v6));
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	parse_checksum_set(&f, m);
	world_one(1, m);
	assert_int_equal(w->tx[1].count, 1);
	m = w->tx[1].pkt[0];
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	assert_true(parse_tcp_checksum_good(&f, m));
	assert_int_equal(f.key.vlan[0], 7);
	assert_int_equal(f.tcp_flags, RTE_TCP_RST_FLAG);
	assert_int_equal(f.key.sport, rte_cpu_to_be_16(80));
	assert_memory_equal(f.key.dst, v6 + 26, 16);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, void *, f.l4_off + 4), "\0\0\0\115", 4); /* 77 */
	world_drop_sent();
	/* no more than 200 a second */
	s.tcp.cksum ^= 1;
	for (unsigned i = 0; i < 400; i++) {
		world_one(0, world_raw(&s, sizeof(s)));
		world_drop_sent();
	}
	assert_int_equal(world_count(STATS_mid_stream_reset), 200);
	w->now_us += 1000000;
	world_one(0, world_raw(&s, sizeof(s)));
	assert_int_equal(world_count(STATS_mid_stream_reset), 201);
	world_drop_sent();
	world_mid_stream(POLICY_MID_PASS);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_CASE(test_mid_stream),
		WORLD_CASE(test_reset_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(run);
}
