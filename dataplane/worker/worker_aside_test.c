/* SPDX-License-Identifier: BSD-3-Clause */
/* What belongs to a flow and is no segment of it: fragments and ICMP errors. */
#include "worker/worker_test_world.h"

#include <string.h>

static struct worker *const w = &world.w;

static const char request[] = "GET /plain HTTP/1.1\r\nHost: a.example\r\nX: ";
#define REQUEST 900 /* octets */

/* A request, from the client of world_syn(i). */
static struct rte_mbuf *request_new(unsigned i, uint16_t sport, uint16_t id)
{
	struct world_seg s = world_segment(false, (uint16_t)(1024 + i), sport, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG);
	struct rte_mbuf *m;
	struct parse_frame f;
	char *p;

	s.ip.total_length = rte_cpu_to_be_16(40 + REQUEST);
	s.ip.packet_id = rte_cpu_to_be_16(id);
	s.tcp.sent_seq = rte_cpu_to_be_32(1001);
	s.tcp.recv_ack = rte_cpu_to_be_32(1001);
	m = world_raw(&s, sizeof(s));
	p = rte_pktmbuf_append(m, REQUEST);
	assert_non_null(p);
	memset(p, 'x', REQUEST);
	memcpy(p, request, sizeof(request) - 1);
	memcpy(p + REQUEST - 4, "\r\n\r\n", 4);
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	parse_checksum_set(&f, m);
	return m;
}

/* Octets [off, off + len) of what IP carries in whole. */
static struct rte_mbuf *cut(const struct rte_mbuf *whole, uint16_t off, uint16_t len, bool more)
{
	struct rte_mbuf *m = world_raw(rte_pktmbuf_mtod(whole, void *), 34);
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);

	memcpy(rte_pktmbuf_append(m, len), rte_pktmbuf_mtod_offset(whole, void *, 34 + off), len);
	ip->total_length = rte_cpu_to_be_16((uint16_t)(20 + len));
	ip->fragment_offset = rte_cpu_to_be_16((uint16_t)(off / 8 | (more ? 0x2000 : 0)));
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return m;
}

static void cut3(struct rte_mbuf *m[3], unsigned i, uint16_t sport, uint16_t id)
{
	struct rte_mbuf *whole = request_new(i, sport, id);

	m[0] = cut(whole, 400, 296, true);
	m[1] = cut(whole, 696, 20 + REQUEST - 696, false);
	m[2] = cut(whole, 0, 400, true);
	rte_pktmbuf_free(whole);
}

/* The octets that left by port, all of them new. */
static uint32_t sent_payload(struct worker *x, unsigned port, char *to, uint32_t *largest)
{
	uint32_t n = 0, largest_is = 0;

	for (unsigned i = 0; i < x->tx[port].count; i++) {
		struct rte_mbuf *m = x->tx[port].pkt[i];
		struct parse_frame f;

		assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
		assert_true(parse_ip_checksum_good(&f, m) && parse_tcp_checksum_good(&f, m));
		if (f.payload_len)
			memcpy(to + n, rte_pktmbuf_read(m, f.payload_off, f.payload_len, to + n), f.payload_len);
		n += f.payload_len;
		largest_is = RTE_MAX(largest_is, f.payload_len);
	}
	if (largest)
		*largest = largest_is;
	return n;
}

/* One segment comes of them, and goes where one that was never cut would go. */
static void test_fragments_of_flow(void **state)
{
	char got[4096];
	struct rte_mbuf *m[3];

	world_syn(0);
	world_shake(0);
	cut3(m, 0, 80, 1);
	world_one(0, m[0]);
	world_one(0, m[1]);
	assert_int_equal(w->tx[0].count + w->tx[1].count, 0);
	world_one(0, m[2]);
	assert_int_equal(world_count(STATS_fragment_joined), 1);
	assert_int_equal(sent_payload(w, 1, got, NULL), REQUEST);
	assert_memory_equal(got, request, sizeof(request) - 1);
	assert_memory_equal(got + REQUEST - 4, "\r\n\r\n", 4);
	world_drop_sent();
	/* not whole: nothing crosses, and it is not kept for ever */
	cut3(m, 0, 80, 2);
	world_one(0, m[0]);
	world_one(0, m[2]);
	rte_pktmbuf_free(m[1]);
	assert_int_equal(w->tx[0].count + w->tx[1].count, 0);
	frag_age(w->frags, w->now_us + 20000000);
	assert_int_equal(world_count(STATS_fragment_incomplete), 1);
	assert_int_equal(frag_octets(w->frags), 0);
}

static void test_fragments_cross(void **state)
{
	struct rte_mbuf *m[3], *copy[3];

	cut3(m, 0, 8080, 1);
	for (unsigned i = 0; i < 3; i++) {
		copy[i] = rte_pktmbuf_copy(m[i], world.pool, 0, UINT32_MAX);
		assert_int_equal(w->tx[1].count, 0);
		world_one(0, m[i]);
	}
	assert_int_equal(w->tx[1].count, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct rte_mbuf *x = w->tx[1].pkt[i];

		assert_ptr_equal(x, m[i]);
		assert_int_equal(rte_pktmbuf_pkt_len(x), rte_pktmbuf_pkt_len(copy[i]));
		assert_memory_equal(rte_pktmbuf_mtod(x, void *), rte_pktmbuf_mtod(copy[i], void *), rte_pktmbuf_pkt_len(x));
		rte_pktmbuf_free(copy[i]);
	}
	assert_int_equal(world_count(STATS_fragment_crossed), 3);
	world_drop_sent();
	/* a connection that rules select, but seen from its middle: the policy for those decides */
	for (unsigned policy = POLICY_MID_PASS; policy <= POLICY_MID_RESET; policy++) {
		world_mid_stream(policy);
		cut3(m, 0, 80, 1);
		world_burst(0, m, 3);
		assert_int_equal(w->tx[1].count, policy == POLICY_MID_PASS ? 3 : 0);
		assert_int_equal(w->tx[0].count, policy == POLICY_MID_RESET);
		world_drop_sent();
	}
	world_mid_stream(POLICY_MID_PASS);
	/* other protocols, and everything when no rule selects anything, at once */
	cut3(m, 0, 80, 1);
	for (unsigned i = 0; i < 3; i++) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m[i], struct rte_ipv4_hdr *, 14);

		ip->next_proto_id = i == 1 ? IPPROTO_TCP : IPPROTO_UDP;
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		w->guard = i != 1;
		world_one(0, m[i]);
		assert_int_equal(w->tx[1].count, 1);
		world_drop_sent();
	}
}

/* No sender does that; who does must not get past the rules by it. */
static void test_fragmented_syn(void **state)
{
	for (unsigned selected = 0; selected < 2; selected++) {
		struct rte_mbuf *whole = request_new(0, selected ? 80 : 8080, 1), *m[2];
		struct parse_frame f;

		rte_pktmbuf_mtod_offset(whole, struct rte_tcp_hdr *, 34)->tcp_flags = RTE_TCP_SYN_FLAG;
		assert_int_equal(parse_mbuf(&f, whole), PARSE_TCP);
		parse_checksum_set(&f, whole);
		m[0] = cut(whole, 400, 20 + REQUEST - 400, false);
		m[1] = cut(whole, 0, 400, true);
		rte_pktmbuf_free(whole);
		world_burst(0, m, 2);
		assert_int_equal(flow_table_count(w->flows), selected);
		assert_int_equal(w->tx[1].count, selected ? 1 : 2);
		assert_int_equal(world_count(STATS_handshake_data_cut), selected);
		world_drop_sent();
	}
	/* its header in two pieces: refused whoever it is for (RFC 3128) */
	struct rte_mbuf *whole = request_new(1, 80, 9), *m[2] = {cut(whole, 0, 8, true), cut(whole, 8, 912, false)};

	rte_pktmbuf_free(whole);
	world_burst(0, m, 2);
	assert_int_equal(world_count(STATS_fragment_refused), 2);
	assert_int_equal(w->tx[1].count, 0);
}

/* Fragments and errors come to one worker, the flow is another's: found by hash, or by asking around. */
static void test_fragments_two_workers(void **state)
{
	const struct shm_worker *one = &world.shm->worker[0], *other = &world.shm->worker[1];

	for (unsigned rss = 0; rss < 2; rss++) {
		unsigned joined = 0, crossed = 0;
		struct worker pair[2];

		world_teardown(state);
		world_setup(state);
		world.ports.rss = rss;
		for (unsigned i = 0; i < 2; i++)
			world_worker(&pair[i], i, 2, pair);
		for (unsigned i = 0; i < 16; i++) {
			struct rte_mbuf *m[3], *x = world_tcp(false, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG);
			struct worker *owner = &pair[i & 1];
			struct parse_frame f;
			char got[4096];
			uint32_t n = 0;

			parse_mbuf(&f, x);
			rte_pktmbuf_free(x);
			if (!rss)
				owner = &pair[worker_of(&pair[0], &f.key)];
			world.at = owner;
			world_syn(i);
			world_shake(i);
			world.at = w;
			cut3(m, i, i % 4 ? 80 : 8080, (uint16_t)i);
			for (unsigned k = 0; k < 3; k++)
				worker_frames(&pair[rss ? k & 1 : 0], 0, &m[k], 1, false);
			for (unsigned k = 0; k < 4; k++)
				worker_aside_poll(&pair[k & 1]);
			for (unsigned k = 0; k < 2; k++) {
				worker_flow_run(&pair[k]);
				if (i % 4) {
					n += sent_payload(&pair[k], 1, got, NULL);
					assert_true(pair[k].tx[1].count == 0 || &pair[k] == owner);
				} else {
					n += pair[k].tx[1].count;
				}
				for (unsigned p = 0; p < 2; p++) {
					rte_pktmbuf_free_bulk(pair[k].tx[p].pkt, pair[k].tx[p].count);
					pair[k].tx[p].count = 0;
				}
				worker_flows_end(&pair[k]);
			}
			assert_int_equal(n, i % 4 ? REQUEST : 3);
			joined += i % 4 != 0;
			crossed += i % 4 == 0;
		}
		assert_int_equal(one->counter[STATS_fragment_joined] + other->counter[STATS_fragment_joined], joined);
		assert_int_equal(one->counter[STATS_fragment_crossed] + other->counter[STATS_fragment_crossed], 3 * crossed);
		assert_true(one->counter[STATS_fragment_joined] > 0);
		assert_true(other->counter[STATS_fragment_joined] > 0);
		for (unsigned i = 0; i < 2; i++)
			worker_destroy(&pair[i]);
		world.ports.rss = false;
	}
}

/* "Fragmentation needed" from 10.9.9.9 about a segment of total octets of the client's that begins with seq. */
static struct rte_mbuf *too_big(unsigned i, uint32_t seq, uint16_t total, uint16_t mtu, uint8_t code)
{
	struct world_seg q = world_segment(false, (uint16_t)(1024 + i), 80, RTE_TCP_ACK_FLAG), o = {0};
	uint8_t frame[34 + 36] = {0}, *p = frame + 34;
	uint16_t sum;

	q.ip.total_length = rte_cpu_to_be_16(total);
	q.tcp.sent_seq = rte_cpu_to_be_32(seq);
	o.eth.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	o.ip.version_ihl = 0x45;
	o.ip.total_length = rte_cpu_to_be_16(20 + 8 + 28);
	o.ip.next_proto_id = IPPROTO_ICMP;
	o.ip.src_addr = RTE_BE32(0x0a090909);
	o.ip.dst_addr = RTE_BE32(0x0a000001);
	o.ip.hdr_checksum = rte_ipv4_cksum(&o.ip);
	memcpy(frame, &o, 34);
	p[0] = 3;
	p[1] = code;
	p[6] = (uint8_t)(mtu >> 8);
	p[7] = (uint8_t)mtu;
	memcpy(p + 8, &q.ip, 28);
	sum = (uint16_t)~parse_sum(p, 36);
	memcpy(p + 2, &sum, 2);
	return world_raw(frame, sizeof(frame));
}

/* RFC 1191, 5927: about what our half has on its way, from the side it goes to; all else is for the ends. */
static void test_icmp(void **state)
{
	static const struct {
		unsigned port;
		uint32_t seq;
		uint16_t total, mtu;
		uint8_t code;
	} cross[] = {
		{0, 1001, 576, 296, 4},		  /* from the client's side */
		{1, 1001 + REQUEST, 576, 296, 4}, /* not sent yet */
		{1, 1000, 576, 296, 4},		  /* long acknowledged */
		{1, 1001, 576, 576, 4},		  /* it did fit */
		{1, 1001, 576, 296, 3},		  /* a soft error */
	};
	char got[4096];
	uint32_t largest;

	world_one(1, too_big(0, 1001, 576, 296, 4)); /* of no flow */
	assert_int_equal(w->tx[0].count, 1);
	world_drop_sent();
	world_syn(0);
	world_shake(0);
	world_one(0, request_new(0, 80, 1));
	assert_int_equal(sent_payload(w, 1, got, &largest), REQUEST);
	assert_int_equal(largest, 536);
	world_drop_sent();
	for (unsigned i = 0; i < RTE_DIM(cross); i++) {
		world_one(cross[i].port, too_big(0, cross[i].seq, cross[i].total, cross[i].mtu, cross[i].code));
		assert_int_equal(w->tx[!cross[i].port].count, 1);
		assert_int_equal(w->tx[cross[i].port].count, 0);
		world_drop_sent();
	}
	assert_int_equal(world_count(STATS_icmp_too_big), 0);
	world_one(1, too_big(0, 1001, 576, 296, 4));
	assert_int_equal(world_count(STATS_icmp_too_big), 1);
	assert_int_equal(w->tx[0].count, 0);
	/* what was on its way goes out again, in pieces that fit */
	for (uint64_t end = w->now_us + 5000000; w->now_us < end && w->tx[1].count == 0; w->now_us += 1000) {
		session_ctx_tick(w->sessions, w->now_us, w->matcher);
		flow_wheel_advance(w->wheel, w->now_us, UINT32_MAX, worker_flow_timer, w);
		worker_flow_run(w);
	}
	assert_true(sent_payload(w, 1, got, &largest) > 0);
	assert_int_equal(largest, 256);
	world_drop_sent();
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_CASE(test_fragments_of_flow),
		WORLD_CASE(test_fragments_cross),
		WORLD_CASE(test_fragmented_syn),
		WORLD_CASE(test_fragments_two_workers),
		WORLD_CASE(test_icmp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return world_main(run);
}
