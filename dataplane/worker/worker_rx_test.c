/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker does with a burst: which frames cross untouched, which become flows, in which order
 * they leave. The stages below are the real ones; frames are taken from the transmit buffers before
 * a port would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "worker/worker.h"

#define FLOWS 4

static const char config[] =
	"ports:\n"
	"  inside: {device: \"net_null0\"}\n"
	"  outside: {device: \"net_null1\"}\n"
	"services:\n"
	"  - {name: echo, address: \"tcp:127.0.0.1:4037\"}\n"
	"rules:\n"
	"  - {name: web, match: {protocol: http, server-port: 80, path: {prefix: /adapt}}, action: adapt, service: echo}\n";

static struct rte_mempool *pool;
static struct policy_config *cfg;
static struct shm_root *shm;
static struct ctl_rules_main rules;
static struct worker_clock now;
static struct port_pair ports;
static struct callout_lcore *callout;
static struct worker w, *at = &w; /* at: whom burst talks to */
static _Atomic bool quit;
static struct policy_tcp tcp_policy;

static void stages_start(void)
{
	struct policy_errors *e = calloc(1, sizeof(*e));
	struct callout_config cc = {.nworkers = 1,
				    .ring_size = 256,
				    .txns_max = 16,
				    .client = "test",
				    .socket_id = SOCKET_ID_ANY,
				    .bufs = pool};
	struct policy_image *img;

	assert_int_equal(policy_config_parse("test", config, strlen(config), &cfg, e), 0);
	assert_int_equal(policy_compile(cfg, 1, &img, e), 0);
	cfg->limits.flows = FLOWS;
	cfg->limits.mbufs = 1024;
	shm = calloc(1, sizeof(*shm));
	assert_int_equal(ctl_rules_init(&rules, shm, 1, SOCKET_ID_ANY, img), 0);
	assert_int_equal(callout_lcore_create(&callout, &cc), 0);
	free(img);
	free(e);
}

static int setup(void **state)
{
	struct worker_config wc = {.workers = 1,
				   .seed = 5,
				   .socket_id = SOCKET_ID_ANY,
				   .ports = &ports,
				   .shm = shm,
				   .slot = &rules.worker[0],
				   .limits = &cfg->limits,
				   .tcp = &tcp_policy,
				   .callout_port = callout_lcore_port(callout, 0),
				   .peers = &w,
				   .clock = &now,
				   .quit = &quit};
	char err[256];

	memset(&ports, 0, sizeof(ports));
	ports.bufs = pool;
	ports.own_tx = true;
	for (int i = 0; i < 2; i++) {
		ports.port[i].mtu = 1500;
		ports.port[i].caps.multi_seg = ports.port[i].caps.indirect = true;
	}
	memset(shm->worker, 0, sizeof(shm->worker));
	assert_int_equal(worker_create(&w, &wc, err, sizeof(err)), 0);
	w.rules = rules.current;
	w.matcher = w.rules->matcher[0];
	w.guard = true; /* as when they are adopted */
	w.now_us = worker_clock_us(&now, rte_rdtsc());
	session_ctx_tick(w.sessions, w.now_us, w.matcher);
	return 0;
}

static int teardown(void **state)
{
	worker_flows_end(&w);
	worker_destroy(&w);
	return 0;
}

static uint64_t count(enum stats_counter c)
{
	return shm->worker[0].counter[c];
}

static struct rte_mbuf *raw(const void *octets, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, len), octets, len);
	return m;
}

struct seg {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_tcp_hdr tcp;
} __attribute__((packed, aligned(2)));

/* A segment between client 10.0.0.1:cport and server 10.0.0.2:sport. */
static struct seg segment(bool from_server, uint16_t cport, uint16_t sport, uint8_t flags)
{
	struct seg s = {0};

	s.eth.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	s.ip.version_ihl = 0x45;
	s.ip.total_length = rte_cpu_to_be_16(40);
	s.ip.time_to_live = 64;
	s.ip.next_proto_id = IPPROTO_TCP;
	s.ip.src_addr = RTE_BE32(0x0a000001 + from_server);
	s.ip.dst_addr = RTE_BE32(0x0a000002 - from_server);
	s.tcp.src_port = rte_cpu_to_be_16(from_server ? sport : cport);
	s.tcp.dst_port = rte_cpu_to_be_16(from_server ? cport : sport);
	s.tcp.sent_seq = rte_cpu_to_be_32(1000);
	s.tcp.data_off = 0x50;
	s.tcp.tcp_flags = flags;
	s.tcp.rx_win = 0xffff;
	s.ip.hdr_checksum = rte_ipv4_cksum(&s.ip);
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	return s;
}

static struct rte_mbuf *tcp(bool from_server, uint16_t cport, uint16_t sport, uint8_t flags)
{
	struct seg s = segment(from_server, cport, sport, flags);

	return raw(&s, sizeof(s));
}

static void burst(unsigned port, struct rte_mbuf **pkt, unsigned n)
{
	worker_frames(at, port, pkt, n, false);
	worker_flow_run(at);
}

static void drop_sent(void)
{
	for (unsigned p = 0; p < 2; p++) {
		rte_pktmbuf_free_bulk(at->tx[p].pkt, at->tx[p].count);
		at->tx[p].count = 0;
	}
}

/* INV-WORKER-3, and order. */
static void test_unselected_crosses(void **state)
{
	static const uint8_t arp[60] = {[12] = 0x08, [13] = 0x06, [14] = 9};
	static const uint8_t runt[14] = {[12] = 0x08, [13] = 0x00};
	static const uint8_t tagged[80] = {
		[12] = 0x81, [15] = 7, [16] = 0x88, [17] = 0xb5, [18] = 1};
	struct seg other = segment(false, 4000, 8080, RTE_TCP_SYN_FLAG);
	struct seg middle = segment(false, 4001, 80, RTE_TCP_ACK_FLAG);
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
		m[i] = raw(in[i].octets, in[i].len);
	burst(1, m, 5);
	assert_int_equal(w.tx[0].count, 5);
	assert_int_equal(w.tx[1].count, 0);
	for (int i = 0; i < 5; i++) {
		struct rte_mbuf *out = w.tx[0].pkt[i];

		assert_int_equal(rte_pktmbuf_pkt_len(out), in[i].len);
		assert_memory_equal(rte_pktmbuf_mtod(out, void *), in[i].octets, in[i].len);
	}
	assert_int_equal(count(STATS_bypass_frames), 5);
	assert_int_equal(count(STATS_frame_malformed), 1);
	assert_int_equal(flow_table_count(w.flows), 0);
	drop_sent();
}

static void test_selected_becomes_flow(void **state)
{
	struct rte_mbuf *m[2] = {tcp(false, 4000, 80, RTE_TCP_SYN_FLAG),
				 tcp(false, 4000, 80, RTE_TCP_SYN_FLAG)};

	/* the second was looked up before the first made the entry */
	burst(0, m, 2);
	assert_int_equal(count(STATS_flow_created), 1);
	assert_int_equal(flow_table_count(w.flows), 1);
	assert_int_equal(count(STATS_bypass_frames), 0);
	assert_true(w.tx[1].count >= 1);
	drop_sent();

	/* the same segment on the other port is the flow crossing a second time */
	m[0] = tcp(false, 4000, 80, RTE_TCP_SYN_FLAG);
	burst(1, m, 1);
	assert_int_equal(count(STATS_bypass_frames), 1);
	drop_sent();

	/* refused by the server: forgotten */
	m[0] = raw(&(struct seg){0}, sizeof(struct seg));
	struct seg rst = segment(true, 4000, 80, RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG);
	rst.tcp.recv_ack = rte_cpu_to_be_32(1001);
	rst.tcp.cksum = 0;
	rst.tcp.cksum = rte_ipv4_udptcp_cksum(&rst.ip, &rst.tcp);
	memcpy(rte_pktmbuf_mtod(m[0], void *), &rst, sizeof(rst));
	burst(1, m, 1);
	assert_int_equal(w.tx[0].count, 1);
	assert_int_equal(flow_table_count(w.flows), 0);
	assert_int_equal(w.wheel->armed, 0);
	drop_sent();
}

/* Not even a half-open flow comes of it. */
static void test_wrong_checksum_makes_no_flow(void **state)
{
	struct seg syn = segment(false, 4000, 80, RTE_TCP_SYN_FLAG);
	struct rte_mbuf *m[2];

	syn.tcp.cksum ^= 1;
	m[0] = raw(&syn, sizeof(syn));
	syn.tcp.cksum ^= 1;
	syn.ip.hdr_checksum ^= 1;
	m[1] = raw(&syn, sizeof(syn));
	burst(0, m, 2);
	assert_int_equal(count(STATS_bad_checksum), 2);
	assert_int_equal(count(STATS_flow_created), 0);
	assert_int_equal(flow_table_count(w.flows), 0);
	assert_int_equal(w.tx[1].count, 0);
}

static void test_table_full(void **state)
{
	struct rte_mbuf *m[FLOWS + 1];

	for (int i = 0; i <= FLOWS; i++)
		m[i] = tcp(false, (uint16_t)(4000 + i), 80, RTE_TCP_SYN_FLAG);
	burst(0, m, FLOWS + 1);
	assert_int_equal(flow_table_count(w.flows), FLOWS);
	assert_int_equal(count(STATS_flow_table_full), 1);
	assert_int_equal(count(STATS_bypass_frames), 1);
	assert_int_equal(w.tx[1].count, FLOWS + 1);
	drop_sent();
}

/* --- what is selected and is not the first segment of a connection ------------------------------------------------ */

static void one(unsigned port, struct rte_mbuf *m)
{
	burst(port, &m, 1);
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
		uint64_t before = count(STATS_bad_flags);

		for (unsigned i = 0; i < sizeof(bad); i++) {
			one(0, tcp(false, 4000, 80, bad[i]));
			one(1, tcp(true, 4000, 80, bad[i]));
		}
		assert_int_equal(count(STATS_bad_flags), before + 2 * sizeof(bad));
		assert_int_equal(w.tx[0].count + w.tx[1].count, 0);
		assert_int_equal(flow_table_count(w.flows), round);
		one(0, tcp(false, 4000, 80, RTE_TCP_SYN_FLAG)); /* and the same with a flow */
		drop_sent();
	}
	/* nobody selects these */
	for (unsigned i = 0; i < sizeof(bad); i++)
		one(0, tcp(false, 4000, 8080, bad[i]));
	assert_int_equal(w.tx[1].count, sizeof(bad));
	drop_sent();
}

static void mid_stream(unsigned policy)
{
	tcp_policy.mid_stream = policy;
	teardown(NULL);
	setup(NULL);
}

static void test_mid_stream(void **state)
{
	static const uint8_t flags[] = {RTE_TCP_ACK_FLAG, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG,
					RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG, RTE_TCP_RST_FLAG};

	for (unsigned policy = POLICY_MID_PASS; policy <= POLICY_MID_RESET; policy++) {
		mid_stream(policy);
		for (unsigned i = 0; i < sizeof(flags); i++) { /* towards port 80, and from it: both may be the selected one */
			one(0, tcp(false, 4000, 80, flags[i]));
			one(1, tcp(true, 4000, 80, flags[i]));
			one(1, tcp(false, 4000, 80, flags[i]));
		}
		if (policy == POLICY_MID_PASS) {
			assert_int_equal(w.tx[0].count, 8);
			assert_int_equal(w.tx[1].count, 4);
			assert_int_equal(count(STATS_bypass_frames), 12);
		} else {
			assert_int_equal(count(STATS_mid_stream_dropped), 12);
			assert_int_equal(count(STATS_mid_stream_reset), policy == POLICY_MID_RESET ? 9 : 0);
			assert_int_equal(w.tx[0].count, policy == POLICY_MID_RESET ? 3 : 0); /* none for a RST */
			assert_int_equal(w.tx[1].count, policy == POLICY_MID_RESET ? 6 : 0);
		}
		drop_sent();
		one(0, tcp(false, 4000, 8080, RTE_TCP_ACK_FLAG)); /* selected by no rule */
		one(1, tcp(true, 80, 8080, RTE_TCP_ACK_FLAG)); /* an ephemeral port 80: as if it were a server's */
		assert_int_equal(w.tx[1].count, policy == POLICY_MID_RESET ? 2 : 1);
		assert_int_equal(flow_table_count(w.flows), 0);
		drop_sent();
	}
	mid_stream(POLICY_MID_PASS);
}

/* RFC 9293 3.10.7.1, with tags, IPv4 and IPv6. */
static void test_reset_form(void **state)
{
	static const uint8_t v6[78 + 4] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 6, 64,
		[18 + 8] = 0xfd, [18 + 23] = 1, 0xfd, [18 + 39] = 2, 0x1f, 0x90, 0, 80, 0, 0, 0, 5, 0, 0, 0, 77,
		0x50, RTE_TCP_ACK_FLAG | RTE_TCP_FIN_FLAG, 1, 1};
	struct seg s = segment(false, 4000, 80, RTE_TCP_ACK_FLAG);
	struct parse_frame f;
	struct rte_mbuf *m;
	struct seg *r;

	mid_stream(POLICY_MID_RESET);
	memcpy(&s.eth.src_addr, "\2\0\0\0\0\1", 6);
	memcpy(&s.eth.dst_addr, "\2\0\0\0\0\2", 6);
	s.tcp.recv_ack = rte_cpu_to_be_32(5555);
	s.tcp.cksum = 0;
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	one(0, raw(&s, sizeof(s)));
	assert_int_equal(w.tx[0].count, 1);
	r = rte_pktmbuf_mtod(w.tx[0].pkt[0], struct seg *);
	assert_memory_equal(&r->eth.dst_addr, &s.eth.src_addr, 6);
	assert_memory_equal(&r->eth.src_addr, &s.eth.dst_addr, 6);
	assert_int_equal(r->ip.src_addr, s.ip.dst_addr);
	assert_int_equal(r->ip.dst_addr, s.ip.src_addr);
	assert_int_equal(r->tcp.src_port, s.tcp.dst_port);
	assert_int_equal(r->tcp.dst_port, s.tcp.src_port);
	assert_int_equal(r->tcp.tcp_flags, RTE_TCP_RST_FLAG);
	assert_int_equal(rte_be_to_cpu_32(r->tcp.sent_seq), 5555);
	assert_int_equal(parse_mbuf(&f, w.tx[0].pkt[0]), PARSE_TCP);
	assert_true(parse_ip_checksum_good(&f, w.tx[0].pkt[0]) && parse_tcp_checksum_good(&f, w.tx[0].pkt[0]));
	drop_sent();
	/* a broken one is answered by nobody */
	s.tcp.cksum ^= 1;
	one(0, raw(&s, sizeof(s)));
	assert_int_equal(w.tx[0].count, 0);

	m = raw(v6, sizeof(v6));
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	parse_checksum_set(&f, m);
	one(1, m);
	assert_int_equal(w.tx[1].count, 1);
	m = w.tx[1].pkt[0];
	assert_int_equal(parse_mbuf(&f, m), PARSE_TCP);
	assert_true(parse_tcp_checksum_good(&f, m));
	assert_int_equal(f.key.vlan[0], 7);
	assert_int_equal(f.tcp_flags, RTE_TCP_RST_FLAG);
	assert_int_equal(f.key.sport, rte_cpu_to_be_16(80));
	assert_memory_equal(f.key.dst, v6 + 26, 16);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, void *, f.l4_off + 4), "\0\0\0\115", 4); /* 77 */
	drop_sent();
	/* no more than 200 a second */
	s.tcp.cksum ^= 1;
	for (unsigned i = 0; i < 400; i++) {
		one(0, raw(&s, sizeof(s)));
		drop_sent();
	}
	assert_int_equal(count(STATS_mid_stream_reset), 200);
	w.now_us += 1000000;
	one(0, raw(&s, sizeof(s)));
	assert_int_equal(count(STATS_mid_stream_reset), 201);
	drop_sent();
	mid_stream(POLICY_MID_PASS);
}

/* --- half-open flows --------------------------------------------------------------------------------------------- */

static void half_open(uint32_t flows, uint32_t max, unsigned exceeded)
{
	cfg->limits.flows = flows;
	cfg->limits.half_open = max;
	tcp_policy.half_open_exceeded = exceeded;
	teardown(NULL);
	setup(NULL);
}

static void half_open_end(void)
{
	half_open(FLOWS, 0, POLICY_HALF_OPEN_BYPASS);
}

static void syn(unsigned i)
{
	one(0, tcp(false, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG));
	drop_sent();
}

/* SYN/ACK and ACK of what syn(i) began: INV the budget is for handshakes, not for connections. */
static void shake(unsigned i)
{
	struct seg s = segment(true, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG);

	s.tcp.recv_ack = rte_cpu_to_be_32(1001);
	s.tcp.cksum = 0;
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	one(1, raw(&s, sizeof(s)));
	s = segment(false, (uint16_t)(1024 + i), 80, RTE_TCP_ACK_FLAG);
	s.tcp.sent_seq = rte_cpu_to_be_32(1001);
	s.tcp.recv_ack = rte_cpu_to_be_32(1001);
	s.tcp.cksum = 0;
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	one(0, raw(&s, sizeof(s)));
	drop_sent();
}

static void test_half_open_budget(void **state)
{
	for (unsigned exceeded = POLICY_HALF_OPEN_BYPASS; exceeded <= POLICY_HALF_OPEN_DROP; exceeded++) {
		uint64_t events = atomic_load(&shm->events[0].head);
		unsigned n = 0;

		half_open(512, 40, exceeded);
		for (unsigned i = 0; i < 100; i++) {
			one(0, tcp(false, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG));
			n += w.tx[1].count;
			drop_sent();
		}
		assert_int_equal(flow_table_count(w.flows), 40);
		assert_int_equal(w.half_open.count, 40);
		assert_int_equal(count(STATS_half_open_exceeded), 60);
		assert_int_equal(count(STATS_bypass_frames), exceeded == POLICY_HALF_OPEN_DROP ? 0 : 60);
		assert_int_equal(n, exceeded == POLICY_HALF_OPEN_DROP ? 40 : 100);
		assert_int_equal(atomic_load(&shm->events[0].head), events + 1); /* told once */
		/* those that go on leave room for others, those that were there already count once */
		syn(0);
		assert_int_equal(count(STATS_half_open_exceeded), 60);
		for (unsigned i = 0; i < 10; i++)
			shake(i);
		assert_int_equal(count(STATS_flow_established), 10);
		assert_int_equal(w.half_open.count, 30);
		for (unsigned i = 200; i < 210; i++)
			syn(i);
		assert_int_equal(flow_table_count(w.flows), 50);
		assert_int_equal(count(STATS_half_open_exceeded), 60);
	}
	half_open_end();
}

/* Beyond half the budget they are forgotten after 3 s, oldest first; what is established stays. */
static void test_half_open_ages(void **state)
{
	half_open(512, 40, POLICY_HALF_OPEN_BYPASS);
	for (unsigned i = 0; i < 30; i++)
		syn(i);
	shake(0);
	w.now_us += 2900000;
	syn(100);
	w.now_us += 200000;
	worker_half_open_age(&w);
	assert_int_equal(w.half_open.count, 20);
	assert_int_equal(count(STATS_half_open_expired), 10);
	assert_int_equal(flow_table_count(w.flows), 21);
	shake(1); /* too late: it is in mid-stream */
	assert_int_equal(count(STATS_flow_established), 1);
	shake(29);
	assert_int_equal(count(STATS_flow_established), 2);
	w.now_us += 10000000;
	worker_half_open_age(&w);
	assert_int_equal(w.half_open.count, 19); /* no more than half: the usual timeout applies */
	half_open_end();
}

/* A flood between handshakes that go on and others that stay: the ring holds, the count is right, and neither the budget nor
 * the number of steps in a loop is exceeded. */
static void test_half_open_for_long(void **state)
{
	uint32_t x = 9, established = 0;

	half_open(4096, 100, POLICY_HALF_OPEN_DROP);
	for (unsigned i = 0; i < 6000; i++) {
		unsigned port = i % 60000;
		uint32_t n = w.half_open.count;

		x = x * 1664525 + 1013904223;
		syn(port);
		if (x >> 30 && w.half_open.count > n) {
			uint32_t flows = flow_table_count(w.flows);

			shake(port);
			established++;
			assert_int_equal(w.half_open.count, n);
			/* and gone: only the handshake is of interest here */
			for (uint64_t cursor = 0; flow_table_count(w.flows) == flows;) {
				struct flow_entry *e = flow_table_next(w.flows, &cursor);

				if (!e->half_open)
					worker_flow_forget(&w, e);
			}
		}
		w.now_us += 20000;
		assert_true(worker_half_open_age(&w) <= 64);
		assert_true(w.half_open.count <= 100);
		assert_true(w.half_open.tail - w.half_open.head <= w.half_open.mask + 1);
		assert_int_equal(w.half_open.count, flow_table_count(w.flows));
	}
	assert_true(established > 3000);
	half_open_end();
}

/* --- fragments and ICMP errors ----------------------------------------------------------------------------------- */

static const char request[] = "GET /plain HTTP/1.1\r\nHost: a.example\r\nX: ";
#define REQUEST 900 /* octets */

/* A request, from the client of syn(i). */
static struct rte_mbuf *request_new(unsigned i, uint16_t sport, uint16_t id)
{
	struct seg s = segment(false, (uint16_t)(1024 + i), sport, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG);
	struct rte_mbuf *m;
	struct parse_frame f;
	char *p;

	s.ip.total_length = rte_cpu_to_be_16(40 + REQUEST);
	s.ip.packet_id = rte_cpu_to_be_16(id);
	s.tcp.sent_seq = rte_cpu_to_be_32(1001);
	s.tcp.recv_ack = rte_cpu_to_be_32(1001);
	m = raw(&s, sizeof(s));
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
	struct rte_mbuf *m = raw(rte_pktmbuf_mtod(whole, void *), 34);
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

	syn(0);
	shake(0);
	cut3(m, 0, 80, 1);
	one(0, m[0]);
	one(0, m[1]);
	assert_int_equal(w.tx[0].count + w.tx[1].count, 0);
	one(0, m[2]);
	assert_int_equal(count(STATS_fragment_joined), 1);
	assert_int_equal(sent_payload(&w, 1, got, NULL), REQUEST);
	assert_memory_equal(got, request, sizeof(request) - 1);
	assert_memory_equal(got + REQUEST - 4, "\r\n\r\n", 4);
	drop_sent();
	/* not whole: nothing crosses, and it is not kept for ever */
	cut3(m, 0, 80, 2);
	one(0, m[0]);
	one(0, m[2]);
	rte_pktmbuf_free(m[1]);
	assert_int_equal(w.tx[0].count + w.tx[1].count, 0);
	frag_age(w.frags, w.now_us + 20000000);
	assert_int_equal(count(STATS_fragment_incomplete), 1);
	assert_int_equal(frag_octets(w.frags), 0);
}

static void test_fragments_cross(void **state)
{
	struct rte_mbuf *m[3], *copy[3];

	cut3(m, 0, 8080, 1);
	for (unsigned i = 0; i < 3; i++) {
		copy[i] = rte_pktmbuf_copy(m[i], pool, 0, UINT32_MAX);
		assert_int_equal(w.tx[1].count, 0);
		one(0, m[i]);
	}
	assert_int_equal(w.tx[1].count, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct rte_mbuf *x = w.tx[1].pkt[i];

		assert_ptr_equal(x, m[i]);
		assert_int_equal(rte_pktmbuf_pkt_len(x), rte_pktmbuf_pkt_len(copy[i]));
		assert_memory_equal(rte_pktmbuf_mtod(x, void *), rte_pktmbuf_mtod(copy[i], void *), rte_pktmbuf_pkt_len(x));
		rte_pktmbuf_free(copy[i]);
	}
	assert_int_equal(count(STATS_fragment_crossed), 3);
	drop_sent();
	/* a connection that rules select, but seen from its middle: the policy for those decides */
	for (unsigned policy = POLICY_MID_PASS; policy <= POLICY_MID_RESET; policy++) {
		mid_stream(policy);
		cut3(m, 0, 80, 1);
		burst(0, m, 3);
		assert_int_equal(w.tx[1].count, policy == POLICY_MID_PASS ? 3 : 0);
		assert_int_equal(w.tx[0].count, policy == POLICY_MID_RESET);
		drop_sent();
	}
	mid_stream(POLICY_MID_PASS);
	/* other protocols, and everything when no rule selects anything, at once */
	cut3(m, 0, 80, 1);
	for (unsigned i = 0; i < 3; i++) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m[i], struct rte_ipv4_hdr *, 14);

		ip->next_proto_id = i == 1 ? IPPROTO_TCP : IPPROTO_UDP;
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		w.guard = i != 1;
		one(0, m[i]);
		assert_int_equal(w.tx[1].count, 1);
		drop_sent();
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
		burst(0, m, 2);
		assert_int_equal(flow_table_count(w.flows), selected);
		assert_int_equal(w.tx[1].count, selected ? 1 : 2);
		assert_int_equal(count(STATS_handshake_data_cut), selected);
		drop_sent();
	}
	/* its header in two pieces: refused whoever it is for (RFC 3128) */
	struct rte_mbuf *whole = request_new(1, 80, 9), *m[2] = {cut(whole, 0, 8, true), cut(whole, 8, 912, false)};

	rte_pktmbuf_free(whole);
	burst(0, m, 2);
	assert_int_equal(count(STATS_fragment_refused), 2);
	assert_int_equal(w.tx[1].count, 0);
}

/* Fragments and errors come to one worker, the flow is another's: found by hash, or by asking around. */
static void test_fragments_two_workers(void **state)
{
	for (unsigned rss = 0; rss < 2; rss++) {
		unsigned joined = 0, crossed = 0;
		struct worker pair[2];

		teardown(state);
		setup(state);
		ports.rss = rss;
		for (unsigned i = 0; i < 2; i++) {
			struct worker_config wc = {.index = i,
						   .workers = 2,
						   .seed = 5,
						   .socket_id = SOCKET_ID_ANY,
						   .ports = &ports,
						   .shm = shm,
						   .slot = &rules.worker[0],
						   .limits = &cfg->limits,
						   .callout_port = callout_lcore_port(callout, 0),
						   .peers = pair,
						   .clock = &now,
						   .quit = &quit};
			char err[256];

			assert_int_equal(worker_create(&pair[i], &wc, err, sizeof(err)), 0);
			pair[i].rules = rules.current;
			pair[i].matcher = pair[i].rules->matcher[0];
			pair[i].guard = true;
			pair[i].now_us = w.now_us;
			session_ctx_tick(pair[i].sessions, pair[i].now_us, pair[i].matcher);
		}
		for (unsigned i = 0; i < 16; i++) {
			struct rte_mbuf *m[3], *x = tcp(false, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG);
			struct worker *owner = &pair[i & 1];
			struct parse_frame f;
			char got[4096];
			uint32_t n = 0;

			parse_mbuf(&f, x);
			rte_pktmbuf_free(x);
			if (!rss)
				owner = &pair[worker_of(&pair[0], &f.key)];
			at = owner;
			syn(i);
			shake(i);
			at = &w;
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
		assert_int_equal(shm->worker[0].counter[STATS_fragment_joined] + shm->worker[1].counter[STATS_fragment_joined], joined);
		assert_int_equal(shm->worker[0].counter[STATS_fragment_crossed] + shm->worker[1].counter[STATS_fragment_crossed],
				 3 * crossed);
		assert_int_equal(shm->worker[1].counter[STATS_fragment_joined] > 0, true);
		assert_int_equal(shm->worker[0].counter[STATS_fragment_joined] > 0, true);
		for (unsigned i = 0; i < 2; i++)
			worker_destroy(&pair[i]);
		ports.rss = false;
	}
}

/* "Fragmentation needed" from 10.9.9.9 about a segment of total octets of the client's that begins with seq. */
static struct rte_mbuf *too_big(unsigned i, uint32_t seq, uint16_t total, uint16_t mtu, uint8_t code)
{
	struct seg q = segment(false, (uint16_t)(1024 + i), 80, RTE_TCP_ACK_FLAG), o = {0};
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
	return raw(frame, sizeof(frame));
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

	one(1, too_big(0, 1001, 576, 296, 4)); /* of no flow */
	assert_int_equal(w.tx[0].count, 1);
	drop_sent();
	syn(0);
	shake(0);
	one(0, request_new(0, 80, 1));
	assert_int_equal(sent_payload(&w, 1, got, &largest), REQUEST);
	assert_int_equal(largest, 536);
	drop_sent();
	for (unsigned i = 0; i < RTE_DIM(cross); i++) {
		one(cross[i].port, too_big(0, cross[i].seq, cross[i].total, cross[i].mtu, cross[i].code));
		assert_int_equal(w.tx[!cross[i].port].count, 1);
		assert_int_equal(w.tx[cross[i].port].count, 0);
		drop_sent();
	}
	assert_int_equal(count(STATS_icmp_too_big), 0);
	one(1, too_big(0, 1001, 576, 296, 4));
	assert_int_equal(count(STATS_icmp_too_big), 1);
	assert_int_equal(w.tx[0].count, 0);
	/* what was on its way goes out again, in pieces that fit */
	for (uint64_t end = w.now_us + 5000000; w.now_us < end && w.tx[1].count == 0; w.now_us += 1000) {
		session_ctx_tick(w.sessions, w.now_us, w.matcher);
		flow_wheel_advance(w.wheel, w.now_us, UINT32_MAX, worker_flow_timer, &w);
		worker_flow_run(&w);
	}
	assert_true(sent_payload(&w, 1, got, &largest) > 0);
	assert_int_equal(largest, 256);
	drop_sent();
}

static void test_handshake_timeout_frees(void **state)
{
	struct rte_mbuf *m[1] = {tcp(false, 4000, 80, RTE_TCP_SYN_FLAG)};
	uint64_t end = w.now_us + 2 * cfg->limits.handshake_timeout_us;

	burst(0, m, 1);
	drop_sent();
	for (; w.now_us < end; w.now_us += 100000) {
		session_ctx_tick(w.sessions, w.now_us, w.matcher);
		flow_wheel_advance(w.wheel, w.now_us, UINT32_MAX, worker_flow_timer, &w);
		worker_flow_run(&w);
	}
	assert_int_equal(flow_table_count(w.flows), 0);
	assert_int_equal(count(STATS_flow_timeout), 1);
	drop_sent();
}

/* Frames of other workers leave the burst for their rings, both directions of a flow to the same
 * one. */
static void test_spreading(void **state)
{
	struct worker *two = calloc(2, sizeof(*two));
	struct rte_mbuf *m[32];
	unsigned n[2];

	two[0] = w;
	two[0].peer = two;
	two[0].workers = 2;
	for (unsigned p = 0; p < 2; p++)
		two[1].rx_ring[p] =
			rte_ring_create(p ? "spread1" : "spread0", 64, SOCKET_ID_ANY, 0);
	for (unsigned p = 0; p < 2; p++) {
		for (int i = 0; i < 32; i++)
			m[i] = tcp(p, (uint16_t)(5000 + i), 8080, RTE_TCP_ACK_FLAG);
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
	memcpy(w.tx, two[0].tx, sizeof(w.tx));
	drop_sent();
	free(two);
}

/* --- frames a port has merged, or whose checksum it has left out --------------------------------------------------- */

static void far_port(struct port_caps c)
{
	c.multi_seg = c.indirect = true;
	ports.port[1].caps = c;
	port_tx_init(&w.tx[1], &ports, 1, 0);
}

/* n segments of size octets in one frame, as virtio gives them; its checksum is not one. */
static struct rte_mbuf *merged(unsigned n, uint16_t size, bool flagged)
{
	struct seg s = segment(false, 4000, 8080, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG);
	struct rte_mbuf *m, *tail;

	s.ip.total_length = rte_cpu_to_be_16((uint16_t)(40 + n * size));
	s.ip.hdr_checksum = 0;
	s.ip.hdr_checksum = rte_ipv4_cksum(&s.ip);
	s.tcp.cksum = 0xdead;
	m = tail = raw(&s, sizeof(s));
	for (unsigned i = 0; i < n; i++) {
		tail->next = rte_pktmbuf_alloc(pool);
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
	assert_int_equal(rte_be_to_cpu_32(rte_pktmbuf_mtod(m, struct seg *)->tcp.sent_seq), seq);
	assert_int_equal(((const uint8_t *)rte_pktmbuf_read(m, f.payload_off, len, flat))[len - 1], octet);
}

/* What nobody selects crosses, in segments as it came, whoever cuts. */
static void test_merged_crosses(void **state)
{
	struct rte_mbuf *m;

	far_port((struct port_caps){0});
	one(0, merged(40, 1448, true));
	assert_int_equal(count(STATS_rx_large_frames), 1);
	assert_int_equal(w.tx[1].count, 40);
	for (unsigned i = 0; i < 40; i++)
		whole_check(w.tx[1].pkt[i], 1000 + i * 1448, (uint8_t)(i + 1), 1448);
	drop_sent();
	one(0, merged(2, 1600, false)); /* a larger MTU there than here */
	assert_int_equal(w.tx[1].count, 3);
	whole_check(w.tx[1].pkt[2], 1000 + 2920, 2, 280);
	drop_sent();
	far_port((struct port_caps){.tx_cksum = true, .tx_ip_cksum = true, .tso = true, .tx_segs = 64});
	m = merged(40, 1448, true);
	one(0, m);
	assert_int_equal(w.tx[1].count, 1);
	assert_ptr_equal(w.tx[1].pkt[0], m);
	assert_int_equal(m->tso_segsz, 1448);
	assert_int_equal(m->l2_len + m->l3_len + m->l4_len, 54);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(rte_pktmbuf_mtod(m, struct seg *)->tcp.cksum,
			 rte_ipv4_phdr_cksum(&rte_pktmbuf_mtod(m, struct seg *)->ip, m->ol_flags));
	drop_sent();
}

static void test_no_checksum(void **state)
{
	struct seg s = segment(false, 4000, 8080, RTE_TCP_ACK_FLAG);
	uint8_t udp[46] = {[12] = 0x08, [14] = 0x45, [17] = 32, [22] = 9, IPPROTO_UDP, [26] = 10, 0, 0, 1, 10, 0, 0, 2,
			   0x0f, 0xa0, 0, 53, 0, 12, 0xde, 0xad, 'o', 'p', 'e', 's'};
	struct rte_ipv4_hdr *ip;
	struct rte_mbuf *m;

	far_port((struct port_caps){0});
	s.tcp.cksum = 0xdead;
	m = raw(&s, sizeof(s));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	one(0, m);
	m = raw(udp, sizeof(udp));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	one(0, m);
	s = segment(false, 4000, 80, RTE_TCP_SYN_FLAG); /* selected: its options are gone over */
	s.tcp.cksum = 0xdead;
	m = raw(&s, sizeof(s));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	one(0, m);
	assert_int_equal(w.tx[1].count, 3);
	assert_int_equal(flow_table_count(w.flows), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(w.tx[1].pkt[i]->ol_flags & RTE_MBUF_F_TX_L4_MASK, 0);
		ip = rte_pktmbuf_mtod_offset(w.tx[1].pkt[i], struct rte_ipv4_hdr *, 14);
		assert_int_equal(rte_ipv4_udptcp_cksum(ip, ip + 1), ip->next_proto_id == IPPROTO_UDP ? 0xffff : 0);
	}
	drop_sent();
	assert_int_equal(count(STATS_rx_large_frames), 0);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0],
		       (char *)"--no-huge",
		       (char *)"--no-pci",
		       (char *)"--no-shconf",
		       (char *)"-m",
		       (char *)"128",
		       (char *)"--no-telemetry",
		       (char *)"--log-level=error"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unselected_crosses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_selected_becomes_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragments_of_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragments_cross, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragmented_syn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragments_two_workers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_icmp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_checksum_makes_no_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_merged_crosses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mid_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_open_budget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_open_ages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_open_for_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_handshake_timeout_frees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spreading, setup, teardown),
	};
	unsigned before;
	int failed;

	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("bufs", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		return 1;
	worker_clock_init(&now);
	stages_start();
	before = rte_mempool_avail_count(pool);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (rte_mempool_avail_count(pool) != before) {
		print_error("packet buffers lost: %d\n",
			    (int)(before - rte_mempool_avail_count(pool)));
		failed++;
	}
	callout_lcore_destroy(callout);
	ctl_rules_fini(&rules);
	policy_config_free(cfg);
	free(shm);
	return failed;
}
