/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker/worker_test_world.h"

#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>
#include <rte_eal.h>

struct world world;

static const char config[] =
	"ports:\n"
	"  inside: {device: \"net_null0\"}\n"
	"  outside: {device: \"net_null1\"}\n"
	"services:\n"
	"  - {name: echo, address: \"tcp:127.0.0.1:4037\"}\n"
	"rules:\n"
	"  - {name: web, match: {protocol: http, server-port: 80, path: {prefix: /adapt}}, action: adapt, service: echo}\n";

static void stages_start(void)
{
	struct policy_errors *e = calloc(1, sizeof(*e));
	struct callout_config cc = {.nworkers = 1,
				    .ring_size = 256,
				    .txns_max = 16,
				    .client = "test",
				    .socket_id = SOCKET_ID_ANY,
				    .bufs = world.pool};
	struct policy_image *img;

	assert_int_equal(policy_config_parse("test", config, strlen(config), &world.cfg, e), 0);
	assert_int_equal(policy_compile(world.cfg, 1, &img, e), 0);
	world.cfg->limits.flows = WORLD_FLOWS;
	world.cfg->limits.mbufs = 1024;
	world.shm = calloc(1, sizeof(*world.shm));
	assert_int_equal(ctl_rules_init(&world.rules, world.shm, 1, SOCKET_ID_ANY, img), 0);
	assert_int_equal(callout_lcore_create(&world.callout, &cc), 0);
	free(img);
	free(e);
}

static void stages_stop(void)
{
	callout_lcore_destroy(world.callout);
	ctl_rules_fini(&world.rules);
	policy_config_free(world.cfg);
	free(world.shm);
}

int world_main(int (*run)(void))
{
	static char args[][20] = {"t", "--no-huge", "--no-pci", "--no-shconf", "-m", "128", "--no-telemetry",
				  "--log-level=error"};
	char *argv[RTE_DIM(args) + 1] = {NULL};
	unsigned before, after;
	int failed;

	for (unsigned i = 0; i < RTE_DIM(args); i++)
		argv[i] = args[i];
	if (rte_eal_init((int)RTE_DIM(args), argv) < 0)
		return 1;
	world.pool = rte_pktmbuf_pool_create("bufs", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!world.pool)
		return 1;
	world.at = &world.w;
	worker_clock_init(&world.clock);
	stages_start();
	before = rte_mempool_avail_count(world.pool);
	failed = run();
	after = rte_mempool_avail_count(world.pool);
	if (after != before) {
		print_error("packet buffers lost: %d\n", (int)(before - after));
		failed++;
	}
	stages_stop();
	return failed;
}

void world_worker(struct worker *x, unsigned index, unsigned workers, struct worker *peers)
{
	struct worker_config wc = {.index = index,
				   .workers = workers,
				   .seed = 5,
				   .socket_id = SOCKET_ID_ANY,
				   .ports = &world.ports,
				   .shm = world.shm,
				   .slot = &world.rules.worker[0],
				   .limits = &world.cfg->limits,
				   .tcp = &world.tcp_policy,
				   .callout_port = callout_lcore_port(world.callout, 0),
				   .peers = peers,
				   .clock = &world.clock,
				   .quit = &world.quit};
	char err[256];

	assert_int_equal(worker_create(x, &wc, err, sizeof(err)), 0);
	x->rules = world.rules.current;
	x->matcher = x->rules->matcher[0];
	x->guard = true; /* as when they are adopted */
	x->now_us = worker_clock_us(&world.clock, rte_rdtsc());
	session_ctx_tick(x->sessions, x->now_us, x->matcher);
}

int world_setup(void **state)
{
	memset(&world.ports, 0, sizeof(world.ports));
	world.ports.bufs = world.pool;
	world.ports.own_tx = true;
	for (int i = 0; i < 2; i++) {
		world.ports.port[i].mtu = 1500;
		world.ports.port[i].caps.multi_seg = world.ports.port[i].caps.indirect = true;
	}
	memset(world.shm->worker, 0, sizeof(world.shm->worker));
	world_worker(&world.w, 0, 1, &world.w);
	return 0;
}

int world_teardown(void **state)
{
	worker_flows_end(&world.w);
	worker_destroy(&world.w);
	return 0;
}

void world_mid_stream(unsigned policy)
{
	world.tcp_policy.mid_stream = policy;
	world_teardown(NULL);
	world_setup(NULL);
}

uint64_t world_count(enum stats_counter c)
{
	return world.shm->worker[0].counter[c];
}

struct rte_mbuf *world_raw(const void *octets, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(world.pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, len), octets, len);
	return m;
}

struct world_seg world_segment(bool from_server, uint16_t cport, uint16_t sport, uint8_t flags)
{
	struct world_seg s = {0};

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

struct rte_mbuf *world_tcp(bool from_server, uint16_t cport, uint16_t sport, uint8_t flags)
{
	struct world_seg s = world_segment(from_server, cport, sport, flags);

	return world_raw(&s, sizeof(s));
}

void world_burst(unsigned port, struct rte_mbuf **pkt, unsigned n)
{
	worker_frames(world.at, port, pkt, n, false);
	worker_flow_run(world.at);
}

void world_drop_sent(void)
{
	for (unsigned p = 0; p < 2; p++) {
		rte_pktmbuf_free_bulk(world.at->tx[p].pkt, world.at->tx[p].count);
		world.at->tx[p].count = 0;
	}
}

void world_one(unsigned port, struct rte_mbuf *m)
{
	world_burst(port, &m, 1);
}

void world_syn(unsigned i)
{
	world_one(0, world_tcp(false, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG));
	world_drop_sent();
}

void world_shake(unsigned i)
{
	struct world_seg s = world_segment(true, (uint16_t)(1024 + i), 80, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG);

	s.tcp.recv_ack = rte_cpu_to_be_32(1001);
	s.tcp.cksum = 0;
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	world_one(1, world_raw(&s, sizeof(s)));
	s = world_segment(false, (uint16_t)(1024 + i), 80, RTE_TCP_ACK_FLAG);
	s.tcp.sent_seq = rte_cpu_to_be_32(1001);
	s.tcp.recv_ack = rte_cpu_to_be_32(1001);
	s.tcp.cksum = 0;
	s.tcp.cksum = rte_ipv4_udptcp_cksum(&s.ip, &s.tcp);
	world_one(0, world_raw(&s, sizeof(s)));
	world_drop_sent();
}
