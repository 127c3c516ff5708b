/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections that a rule selects and that carry nothing: handshake, both FINs, the wait after them, the entry's end.
 * Played ends that answer from the segment alone; the flow table holds so many other, idle flows, their timers armed.
 *
 *   client: SYN      ACK FIN         ACK        counted: all rounds in which the worker did something, and those
 *   server:     SYN|ACK      FIN|ACK            behind a jump of the clock over TIME_WAIT that end the flows
 */
#include "path.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <rte_cycles.h>

#define CLIENT_BASE 0x0a000000u
#define SERVER 0xc6336401u
#define PORT_BASE 1024
#define PORTS 4096	     /* of each client address */
#define SYNS 8		     /* per round: each makes three more frames of the client, the most a round takes */
#define CONNECTIONS 512      /* of a slice, which is short so that few are interrupted: all of them wait at its end */
#define WAIT_US 1500000      /* longer than TIME_WAIT */
#define IDLE_ROUNDS 100000   /* without progress: something is lost */

struct connect {
	struct path_box *box;
	uint32_t begun, done; /* connections: SYNs of the clients, FINs they received */
	uint32_t served;      /* FINs the servers received */
	uint64_t wrong;
	char why[128];
};

static void wrong(struct connect *c, uint32_t i, const char *what)
{
	if (c->wrong++ == 0)
		snprintf(c->why, sizeof(c->why), "connection %u: %s", i, what);
}

/* Sequence numbers wrap early in some of them. */
static uint32_t isn(uint32_t i, unsigned side)
{
	return side ? 0xffff0000u + i * 104729u : 0xfffff000u + i * 7919u;
}

static void segment(struct connect *c, uint32_t i, unsigned side, uint8_t flags, uint32_t seq, uint32_t ack)
{
	static const uint8_t options[8] = {2, 4, PATH_SEGMENT >> 8, PATH_SEGMENT & 255, 3, 3, 7, 1};
	struct path_ends e = {.client = CLIENT_BASE + i / PORTS, .server = SERVER,
			      .client_port = (uint16_t)(PORT_BASE + i % PORTS), .server_port = 80};
	uint16_t extra = flags & RTE_TCP_SYN_FLAG ? sizeof(options) : 0;
	struct rte_mbuf *m = rte_pktmbuf_alloc(c->box->ports.bufs);
	struct path_head *h;

	if (!m) {
		wrong(c, i, "the traffic is out of packet buffers (--bufs)");
		return;
	}
	h = rte_pktmbuf_mtod(m, struct path_head *);
	path_head_fill(h, &e, side, (uint16_t)(sizeof(h->tcp) + extra));
	h->tcp.tcp_flags = flags;
	h->tcp.rx_win = 0xffff;
	h->tcp.data_off = (uint8_t)((sizeof(h->tcp) + extra) / 4 << 4);
	h->tcp.sent_seq = rte_cpu_to_be_32(seq);
	h->tcp.recv_ack = rte_cpu_to_be_32(ack);
	memcpy(h + 1, options, extra);
	m->data_len = (uint16_t)(sizeof(*h) + extra);
	m->pkt_len = m->data_len;
	m->port = c->box->ports.port[side].id;
	path_checksum(m, c->box->offload);
	if (!path_box_offer(c->box, side, 0, m))
		wrong(c, i, "no room in a port's queue");
}

static void client_take(struct connect *c, uint32_t i, uint8_t flags, uint32_t seq, uint32_t ack)
{
	uint32_t own = isn(i, 0), peer = isn(i, 1);

	if (flags & RTE_TCP_SYN_FLAG) {
		if (seq != peer || ack != own + 1)
			wrong(c, i, "another SYN-ACK than the server's");
		segment(c, i, 0, RTE_TCP_ACK_FLAG, own + 1, peer + 1);
		segment(c, i, 0, RTE_TCP_ACK_FLAG | RTE_TCP_FIN_FLAG, own + 1, peer + 1);
	} else if (flags & RTE_TCP_FIN_FLAG) {
		if (seq != peer + 1 || ack != own + 2)
			wrong(c, i, "another FIN than the server's");
		segment(c, i, 0, RTE_TCP_ACK_FLAG, own + 2, peer + 2);
		c->done++;
	}
}

static void server_take(struct connect *c, uint32_t i, uint8_t flags, uint32_t seq)
{
	uint32_t own = isn(i, 1), peer = isn(i, 0);

	if (flags & RTE_TCP_SYN_FLAG) {
		if (seq != peer)
			wrong(c, i, "another SYN than the client's");
		segment(c, i, 1, RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG, own, peer + 1);
	} else if (flags & RTE_TCP_FIN_FLAG) {
		if (seq != peer + 1)
			wrong(c, i, "another FIN than the client's");
		segment(c, i, 1, RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG, own + 1, peer + 2);
		c->served++;
	}
}

static void frame_take(struct connect *c, unsigned port, struct rte_mbuf *m)
{
	_Alignas(8) uint8_t flat[2048];
	uint32_t len, i, client;
	const uint8_t *p = path_flat(m, flat, &len);
	const struct path_head *h = (const struct path_head *)p;
	uint16_t client_port;

	if (!p || len < sizeof(*h)) {
		wrong(c, 0, "a frame that is none");
		return;
	}
	client = rte_be_to_cpu_32(port ? h->ip.src_addr : h->ip.dst_addr);
	client_port = rte_be_to_cpu_16(port ? h->tcp.src_port : h->tcp.dst_port);
	i = (client - CLIENT_BASE) * PORTS + client_port - PORT_BASE;
	if (i >= c->begun || (h->tcp.tcp_flags & RTE_TCP_RST_FLAG)) {
		wrong(c, i, "a reset, or a frame of no connection");
		return;
	}
	if (!path_checksum_good(m, p, len, c->box->offload))
		wrong(c, i, "checksum");
	if (port == 0)
		client_take(c, i, h->tcp.tcp_flags, rte_be_to_cpu_32(h->tcp.sent_seq), rte_be_to_cpu_32(h->tcp.recv_ack));
	else
		server_take(c, i, h->tcp.tcp_flags, rte_be_to_cpu_32(h->tcp.sent_seq));
}

static void exchange(struct connect *c)
{
	struct rte_mbuf *m[64];
	unsigned n;

	path_box_round(c->box);
	for (unsigned port = 0; port < 2; port++) {
		while ((n = path_box_take(c->box, port, m, 64)) > 0) {
			for (unsigned i = 0; i < n; i++)
				frame_take(c, port, m[i]);
			rte_pktmbuf_free_bulk(m, n);
		}
	}
}

/* So many connections from their SYN to the end of their entries; left: entries that stay. */
static int slice(struct connect *c, uint32_t connections, uint32_t left)
{
	uint32_t until = c->begun + connections, seen = c->done;
	struct flow_table *t = c->box->worker[0].flows;
	unsigned idle;

	for (idle = 0; c->done < until && idle < IDLE_ROUNDS; idle++) {
		for (unsigned n = 0; n < SYNS && c->begun < until; n++, c->begun++)
			segment(c, c->begun, 0, RTE_TCP_SYN_FLAG, isn(c->begun, 0), 0);
		exchange(c);
		if (c->done != seen)
			idle = 0;
		seen = c->done;
	}
	for (idle = 0; idle < 64; idle++) /* the last acknowledgements */
		exchange(c);
	c->box->now_us += WAIT_US;
	for (idle = 0; flow_table_count(t) > left && idle < IDLE_ROUNDS; idle++)
		exchange(c);
	if (c->done == until && flow_table_count(t) == left && !c->wrong)
		return 0;
	snprintf(c->box->err, sizeof(c->box->err), "%u of %u connections came to their end, %u entries are left of %u. %s",
		 c->done, until, flow_table_count(t), left, c->why);
	return -EIO;
}

static int measure(struct connect *c, const struct path_options *o, uint32_t left, struct path_record *r)
{
	uint32_t connections = o->check ? CONNECTIONS / 16 : CONNECTIONS;
	struct path_meter m = {0};
	int rc = slice(c, connections, left);

	for (unsigned rep = 0; rep < o->reps && rep < PATH_SAMPLES && rc == 0; rep++) {
		uint64_t end = rte_rdtsc() + (uint64_t)(o->seconds * (double)rte_get_tsc_hz());

		path_meter_begin(&m, c->box);
		do {
			rc = slice(c, connections, left);
			path_meter_slice(&m, c->box, connections);
		} while (rc == 0 && rte_rdtsc() < end);
		r->sample[r->samples++] = path_meter_sample(&m, c->box);
	}
	r->p10 = path_slices_quantile(&m.all, 0.1);
	r->p90 = path_slices_quantile(&m.all, 0.9);
	path_meter_free(&m);
	return rc;
}

static void judge(const struct connect *c, struct path_record *r)
{
	uint64_t created = path_box_count(c->box, STATS_flow_created);
	uint64_t closed = path_box_count(c->box, STATS_flow_closed);
	uint64_t retrans = path_box_count(c->box, STATS_tcp_retrans);

	if (created != c->begun || closed != c->begun || c->served != c->begun || c->done != c->begun)
		snprintf(r->note, sizeof(r->note), "of %u connections %" PRIu64 " were selected, %" PRIu64 " closed, %u served",
			 c->begun, created, closed, c->served);
	else if (retrans)
		snprintf(r->note, sizeof(r->note), "%" PRIu64 " segments retransmitted", retrans);
	else
		r->ok = true;
}

static int one(struct path *p, uint32_t table, const char *count, bool offload)
{
	struct path_box_config cfg = {.workers = 1, .offload = offload, .rules = PATH_RULES_NEVER, .table = table,
				      .limits = "  flows: 16384\n"};
	struct path_record r = {.metric = "cycles_per_connection", .unit = "cycles/connection", .better = "lower"};
	struct connect c = {.box = p->box};
	char why[sizeof(p->box->err)] = "";
	int rc;

	snprintf(r.name, sizeof(r.name), "connections/table=%s/%s", count, offload ? "offload" : "software");
	snprintf(r.params, sizeof(r.params), "\"table_entries\": %u, \"cksum\": \"%s\", \"seconds\": %g", table,
		 offload ? "offload" : "software", p->opt->seconds);
	rc = path_box_start(p->box, &cfg);
	if (rc)
		return rc;
	rc = measure(&c, p->opt, table, &r);
	judge(&c, &r);
	memcpy(why, p->box->err, sizeof(why));
	if (path_box_stop(p->box) != 0 && rc == 0) {
		r.ok = false;
		snprintf(r.note, sizeof(r.note), "%.200s", p->box->err);
	}
	if (rc == -EIO) { /* a result */
		r.ok = false;
		snprintf(r.note, sizeof(r.note), "%.250s", why);
	}
	p->bad |= !r.ok;
	return path_record_write(&r, p->opt->json);
}

int path_connect(struct path *p)
{
	static const struct {
		uint32_t entries;
		const char *text;
	} table[] = {{0, "0"}, {100000, "100k"}, {1000000, "1M"}};
	const struct path_options *o = p->opt;
	int rc = 0;

	if (!path_wants(p, "connections"))
		return 0;
	for (unsigned n = 0; n < RTE_DIM(table) && rc == 0; n++) {
		bool offload = !o->cksum || !strcmp(o->cksum, "offload");

		rc = one(p, o->check ? table[n].entries / 100 : table[n].entries, table[n].text, offload);
	}
	return rc;
}
