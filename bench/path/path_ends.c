/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many clients inside, their servers outside: handshake, requests, windows, an acknowledgement for every second
 * segment (RFC 9293 3.8.6.3). Thin, because they share the core with what is measured, yet they compare every octet.
 */
#include "path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_BASE 0x0a000000u
#define SERVER 0xc6336401u
#define PORT_BASE 1024
#define PORTS 4096 /* of each client address */
#define SCALE 7
#define IDLE_ROUNDS 20000 /* without progress: something is lost */
#define SYNS 8		  /* per round: each makes three more frames for the same port */

static struct path_ends ends_of(uint32_t i)
{
	return (struct path_ends){.client = CLIENT_BASE + i / PORTS,
				  .server = SERVER,
				  .client_port = (uint16_t)(PORT_BASE + i % PORTS),
				  .server_port = 80};
}

static void wrong(struct path_traffic *t, uint32_t i, const char *what)
{
	if (t->wrong++ == 0)
		snprintf(t->why, sizeof(t->why), "flow %u, octet %" PRIu64 ": %s", i, t->flow[i].received, what);
}

/* Octets [off, off + n) of the stream of server i. */
static void stream_fill(const struct path_traffic *t, uint32_t i, uint64_t off, uint32_t n, uint8_t *p)
{
	while (n) {
		uint64_t in = off % t->whole, left;
		const uint8_t *from;

		if (in < t->head_len) {
			from = (const uint8_t *)t->head + in;
			left = t->head_len - in;
		} else {
			from = path_pattern(i, off);
			left = t->whole - in;
		}
		left = RTE_MIN(left, (uint64_t)n);
		memcpy(p, from, left);
		p += left;
		off += left;
		n -= (uint32_t)left;
	}
}

/* A segment of side to the box; payload is n octets behind the header that fill() has still to write. */
static struct rte_mbuf *segment_new(struct path_traffic *t, uint32_t i, unsigned side, uint8_t flags, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(t->box->ports.bufs);
	struct path_ends e = ends_of(i);
	struct path_head *h;

	if (!m) {
		wrong(t, i, "the traffic is out of packet buffers (--bufs)");
		return NULL;
	}
	h = rte_pktmbuf_mtod(m, struct path_head *);
	path_head_fill(h, &e, side, (uint16_t)(sizeof(h->tcp) + n));
	h->tcp.tcp_flags = flags;
	h->tcp.rx_win = 0xffff;
	m->data_len = (uint16_t)(sizeof(*h) + n);
	m->pkt_len = m->data_len;
	m->port = t->box->ports.port[side].id;
	return m;
}

static void segment_send(struct path_traffic *t, uint32_t i, unsigned side, struct rte_mbuf *m, uint32_t seq,
			 uint32_t ack)
{
	struct path_head *h = rte_pktmbuf_mtod(m, struct path_head *);
	struct path_ends e = ends_of(i);
	unsigned queue = 0;
	struct flow_key k;

	h->tcp.sent_seq = rte_cpu_to_be_32(seq);
	h->tcp.recv_ack = rte_cpu_to_be_32(ack);
	path_checksum(m, t->box->offload);
	if (t->box->rss) {
		path_key(&k, &e, side);
		queue = path_box_queue(t->box, &k);
	}
	if (!path_box_offer(t->box, side, queue, m))
		wrong(t, i, "no room in a port's queue");
}

static void syn_send(struct path_traffic *t, uint32_t i, unsigned side)
{
	static const uint8_t options[8] = {2, 4, PATH_SEGMENT >> 8, PATH_SEGMENT & 255, 3, 3, SCALE, 1};
	struct rte_mbuf *m = segment_new(t, i, side, side ? RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG : RTE_TCP_SYN_FLAG,
					 sizeof(options));
	struct path_head *h;

	if (!m)
		return;
	h = rte_pktmbuf_mtod(m, struct path_head *);
	h->tcp.data_off = (sizeof(h->tcp) + sizeof(options)) / 4 << 4;
	memcpy(h + 1, options, sizeof(options));
	segment_send(t, i, side, m, t->flow[i].isn[side], side ? t->flow[i].isn[0] + 1 : 0);
}

static void acknowledged(struct path_traffic *t, struct path_flow *f)
{
	t->odd -= f->unacked != 0;
	f->unacked = 0;
}

static void client_ack(struct path_traffic *t, uint32_t i)
{
	struct path_flow *f = &t->flow[i];
	struct rte_mbuf *m = segment_new(t, i, 0, RTE_TCP_ACK_FLAG, 0);

	acknowledged(t, f);
	if (m)
		segment_send(t, i, 0, m, f->isn[0] + 1 + (uint32_t)f->asked, f->isn[1] + 1 + (uint32_t)f->received);
}

static void client_ask(struct path_traffic *t, uint32_t i)
{
	struct path_flow *f = &t->flow[i];
	struct rte_mbuf *m = segment_new(t, i, 0, RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG, t->request_len);

	if (!m)
		return;
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, sizeof(struct path_head)), t->cfg.request, t->request_len);
	acknowledged(t, f);
	segment_send(t, i, 0, m, f->isn[0] + 1 + (uint32_t)f->asked, f->isn[1] + 1 + (uint32_t)f->received);
	f->asked += t->request_len;
}

/* --- what arrives ------------------------------------------------------------------------------------------------ */

/* What side hears may name no octet that the other has not sent, and acknowledge none that side has not sent. */
static void numbers_check(struct path_traffic *t, uint32_t i, const struct path_head *h, unsigned side)
{
	const struct path_flow *f = &t->flow[i];
	uint64_t sent[2] = {f->asked, f->sent};
	uint32_t seq = rte_be_to_cpu_32(h->tcp.sent_seq) - (f->isn[!side] + (h->tcp.tcp_flags & RTE_TCP_SYN_FLAG ? 0 : 1));
	uint32_t ack = rte_be_to_cpu_32(h->tcp.recv_ack) - (f->isn[side] + 1);

	if ((int32_t)(seq - (uint32_t)sent[!side]) > 0)
		wrong(t, i, "a sequence number beyond what was sent");
	if ((int32_t)(ack - (uint32_t)sent[side]) > 0)
		wrong(t, i, "an acknowledgement of what was not sent");
}

static void client_data(struct path_traffic *t, uint32_t i, const uint8_t *p, uint32_t n, uint32_t seq)
{
	struct path_flow *f = &t->flow[i];
	uint32_t ahead = seq - (f->isn[1] + 1 + (uint32_t)f->received);
	uint8_t want[2 * PATH_SEGMENT];

	if (ahead != 0) {
		if ((int32_t)ahead > 0)
			wrong(t, i, "a segment is missing");
		t->again++;
		return;
	}
	if (n > PATH_SEGMENT && !t->box->ports.port[0].caps.tso)
		wrong(t, i, "a segment longer than the MSS");
	for (uint32_t k = 0, part; k < n; k += part) {
		part = RTE_MIN(n - k, (uint32_t)sizeof(want));
		stream_fill(t, i, f->received + k, part, want);
		if (memcmp(p + k, want, part) != 0)
			wrong(t, i, "payload differs");
	}
	f->received += n;
	t->octets += n;
	t->segments += (n + PATH_SEGMENT - 1) / PATH_SEGMENT;
	t->odd += f->unacked == 0;
	f->unacked += (n + PATH_SEGMENT - 1) / PATH_SEGMENT;
	if (t->cfg.request && f->received % t->whole == 0) {
		t->objects++;
		if (!t->stopped) {
			client_ask(t, i);
			return;
		}
	}
	if (f->unacked >= 2)
		client_ack(t, i);
}

static void client_take(struct path_traffic *t, uint32_t i, const struct path_head *h, const uint8_t *p, uint32_t n)
{
	struct path_flow *f = &t->flow[i];

	numbers_check(t, i, h, 0);
	if (h->tcp.tcp_flags & RTE_TCP_SYN_FLAG) {
		if (f->up)
			return;
		f->up = true;
		t->up++;
		client_ack(t, i);
		if (t->cfg.request)
			client_ask(t, i);
	} else if (n) {
		client_data(t, i, p, n, rte_be_to_cpu_32(h->tcp.sent_seq));
	}
}

static void server_take(struct path_traffic *t, uint32_t i, const struct path_head *h, const uint8_t *p, uint32_t n)
{
	struct path_flow *f = &t->flow[i];
	uint32_t acked, ahead;

	if (h->tcp.tcp_flags & RTE_TCP_SYN_FLAG) {
		/* the box passes the client's options on */
		f->scale = SCALE;
		syn_send(t, i, 1);
		return;
	}
	numbers_check(t, i, h, 1);
	acked = rte_be_to_cpu_32(h->tcp.recv_ack) - (f->isn[1] + 1 + (uint32_t)f->acked);
	if (acked <= f->sent - f->acked)
		f->acked += acked;
	f->window = (uint64_t)rte_be_to_cpu_16(h->tcp.rx_win) << f->scale;
	if (!n)
		return;
	ahead = rte_be_to_cpu_32(h->tcp.sent_seq) - (f->isn[0] + 1 + (uint32_t)f->heard);
	if (ahead != 0) {
		t->again++;
		return;
	}
	if (!t->cfg.request || n > t->request_len || f->heard % t->request_len + n > t->request_len ||
	    memcmp(p, t->cfg.request + f->heard % t->request_len, n) != 0)
		wrong(t, i, "the server got another request");
	f->heard += n;
	if (t->request_len && f->heard % t->request_len == 0)
		f->allowed += t->whole;
}

static void frame_take(struct path_traffic *t, unsigned port, struct rte_mbuf *m)
{
	static _Alignas(8) uint8_t flat[PATH_FRAME_MAX];
	uint32_t len, i, off, end;
	const uint8_t *p = path_flat(m, flat, &len);
	const struct path_head *h = (const struct path_head *)p;
	uint32_t client;
	uint16_t client_port;

	if (!p || len < sizeof(*h)) {
		t->wrong++;
		return;
	}
	client = rte_be_to_cpu_32(port ? h->ip.src_addr : h->ip.dst_addr);
	client_port = rte_be_to_cpu_16(port ? h->tcp.src_port : h->tcp.dst_port);
	i = (client - CLIENT_BASE) * PORTS + client_port - PORT_BASE;
	off = (uint32_t)(sizeof(h->eth) + sizeof(h->ip) + (h->tcp.data_off >> 4) * 4u);
	end = (uint32_t)(sizeof(h->eth) + rte_be_to_cpu_16(h->ip.total_length));
	if (i >= t->cfg.flows || off > end || end > len || (h->tcp.tcp_flags & RTE_TCP_RST_FLAG)) {
		wrong(t, i < t->cfg.flows ? i : 0, "a reset, or a frame of no flow");
		return;
	}
	if (!path_checksum_good(m, p, len, t->box->offload))
		wrong(t, i, "checksum");
	if (port == 0)
		client_take(t, i, h, p + off, end - off);
	else
		server_take(t, i, h, p + off, end - off);
}

static unsigned frames_take(struct path_traffic *t)
{
	struct rte_mbuf *m[64];
	unsigned n, sum = 0;

	for (unsigned port = 0; port < 2; port++) {
		while ((n = path_box_take(t->box, port, m, 64)) > 0) {
			for (unsigned i = 0; i < n; i++)
				frame_take(t, port, m[i]);
			rte_pktmbuf_free_bulk(m, n);
			sum += n;
		}
	}
	return sum;
}

/* --- what is sent ------------------------------------------------------------------------------------------------ */

/* The payload of a frame of server i: in mbufs of a segment each, as from a port that merges. */
static bool payload_put(struct path_traffic *t, uint32_t i, struct rte_mbuf *m, uint32_t len)
{
	uint32_t n = RTE_MIN(len, (uint32_t)PATH_SEGMENT);
	uint64_t off = t->flow[i].sent;
	struct rte_mbuf *tail = m;

	stream_fill(t, i, off, n, rte_pktmbuf_mtod_offset(m, uint8_t *, sizeof(struct path_head)));
	if (n == len)
		return true;
	m->data_len = (uint16_t)(sizeof(struct path_head) + n);
	for (uint32_t done = n; done < len; done += n) {
		n = RTE_MIN(len - done, (uint32_t)PATH_SEGMENT);
		tail->next = rte_pktmbuf_alloc(t->box->ports.bufs);
		tail = tail->next;
		if (!tail) {
			wrong(t, i, "the traffic is out of packet buffers (--bufs)");
			rte_pktmbuf_free(m);
			return false;
		}
		tail->data_len = (uint16_t)n;
		stream_fill(t, i, off + done, n, rte_pktmbuf_mtod(tail, uint8_t *));
		m->nb_segs++;
	}
	m->pkt_len = (uint32_t)sizeof(struct path_head) + len;
	m->ol_flags |= RTE_MBUF_F_RX_LRO;
	m->tso_segsz = PATH_SEGMENT;
	return true;
}

static unsigned server_send(struct path_traffic *t, uint32_t i, unsigned max)
{
	struct path_flow *f = &t->flow[i];
	unsigned n = 0;

	for (; n < max && f->sent < f->allowed; n++) {
		uint64_t most = (uint64_t)PATH_SEGMENT * RTE_MAX(t->cfg.merge, 1u), used = f->sent - f->acked;
		uint32_t len;
		struct rte_mbuf *m;
		bool last;

		if (t->cfg.merge > 1 && used + most > f->window)
			most = used + PATH_SEGMENT > f->window ? PATH_SEGMENT : (f->window - used) / PATH_SEGMENT * PATH_SEGMENT;
		len = (uint32_t)RTE_MIN(f->allowed - f->sent, most);
		last = f->sent + len == f->allowed;
		if (used + len > f->window)
			break;
		m = segment_new(t, i, 1, last ? RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG : RTE_TCP_ACK_FLAG, len);
		if (!m)
			break;
		if (!payload_put(t, i, m, len))
			break;
		segment_send(t, i, 1, m, f->isn[1] + 1 + (uint32_t)f->sent, f->isn[0] + 1 + (uint32_t)f->heard);
		f->sent += len;
	}
	return n;
}

static void servers_send(struct path_traffic *t)
{
	unsigned n = 0;

	for (uint32_t k = 0; k < t->cfg.flows && n < t->cfg.burst; k++) {
		unsigned max = t->cfg.flows == 1 ? t->cfg.burst : RTE_MIN(t->cfg.train, t->cfg.burst - n);

		n += server_send(t, t->cursor, max);
		t->cursor = t->cursor + 1 == t->cfg.flows ? 0 : t->cursor + 1;
	}
}

/* The timer of delayed acknowledgements: nothing else came, so the odd segments are acknowledged. */
static void acks_flush(struct path_traffic *t)
{
	for (uint32_t i = 0; i < t->cfg.flows && t->odd; i++)
		if (t->flow[i].unacked)
			client_ack(t, i);
}

static uint32_t exchange(struct path_traffic *t)
{
	uint32_t work = path_box_round(t->box);
	unsigned came;

	if (t->cfg.beside)
		t->cfg.beside(t->cfg.ctx);
	came = frames_take(t);

	if (work == 0 && came == 0)
		acks_flush(t);
	return work + came;
}

uint32_t path_traffic_step(struct path_traffic *t)
{
	if (!t->stopped)
		servers_send(t);
	return exchange(t);
}

void path_traffic_settle(struct path_traffic *t)
{
	uint64_t seen = 0;

	t->stopped = true;
	for (unsigned idle = 0; idle < IDLE_ROUNDS; idle++) {
		uint64_t missing = 0;

		exchange(t);
		if (idle % 64 == 0) {
			for (uint32_t i = 0; i < t->cfg.flows; i++)
				missing += t->flow[i].sent - t->flow[i].received;
			if (missing == 0)
				return;
		}
		if (t->octets != seen)
			idle = 0;
		seen = t->octets;
	}
	for (uint32_t i = 0; i < t->cfg.flows; i++)
		if (t->flow[i].sent != t->flow[i].received)
			wrong(t, i, "octets are missing at the end");
}

/* --- begin and end ----------------------------------------------------------------------------------------------- */

static int handshakes(struct path_traffic *t)
{
	uint32_t begun = 0, seen = 0;

	for (unsigned idle = 0; t->up < t->cfg.flows && idle < IDLE_ROUNDS; idle++) {
		for (unsigned n = 0; n < SYNS && begun < t->cfg.flows; n++)
			syn_send(t, begun++, 0);
		exchange(t);
		if (t->up != seen)
			idle = 0;
		seen = t->up;
	}
	if (t->up == t->cfg.flows && !t->wrong)
		return 0;
	snprintf(t->box->err, sizeof(t->box->err), "%u of %u connections came up. %s", t->up, t->cfg.flows, t->why);
	return -EIO;
}

int path_traffic_open(struct path_traffic *t, struct path_box *b, const struct path_traffic_config *cfg)
{
	int rc;

	memset(t, 0, sizeof(*t));
	t->box = b;
	t->cfg = *cfg;
	t->flow = calloc(cfg->flows, sizeof(*t->flow));
	if (!t->flow)
		return -ENOMEM;
	t->whole = UINT64_MAX;
	if (cfg->request) {
		t->request_len = (uint32_t)strlen(cfg->request);
		t->head_len = (uint32_t)snprintf(t->head, sizeof(t->head),
						 "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
						 "Content-Length: %" PRIu64 "\r\n\r\n", cfg->object);
		t->whole = t->head_len + cfg->object;
	}
	for (uint32_t i = 0; i < cfg->flows; i++) {
		/* Sequence numbers wrap early in some of them. */
		t->flow[i].isn[0] = 0xfffff000u + i * 7919;
		t->flow[i].isn[1] = 0xffff0000u + i * 104729;
		t->flow[i].allowed = cfg->request ? 0 : UINT64_MAX;
	}
	rc = handshakes(t);
	if (rc)
		path_traffic_close(t);
	return rc;
}

void path_traffic_close(struct path_traffic *t)
{
	free(t->flow);
	t->flow = NULL;
}
