/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unselected traffic in both directions over many flows. Frame number n of a direction is made from n alone, so what
 * leaves is compared octet by octet with what its sequence number says it has to be; with one worker they must also
 * leave in order.
 */
#include "path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>

#define FCS 4	    /* counted in a frame's size, not in an mbuf */
#define STRIDE 611953 /* prime: visits every flow before any again */
#define SLICE 64    /* rounds */
#define TABLE 1000000

struct bypass {
	struct path_box *box;
	const struct path_options *opt;
	unsigned frame, workers, syn, burst;
	uint32_t flows;
	uint32_t next[2], seen[2]; /* frames offered to and seen behind each port */
	uint64_t wrong;
	char why[128];
};

/* Frame n that comes in on port into p; returns its length. */
static uint32_t frame_make(const struct bypass *b, unsigned port, uint32_t n, uint8_t *p, struct path_ends *e)
{
	struct path_head *h = (struct path_head *)p;
	uint32_t len = b->frame - FCS, flow = (uint32_t)((uint64_t)n * STRIDE % b->flows);
	uint32_t payload = len - sizeof(*h);

	*e = (struct path_ends){.client = 0x0a000000 + (flow >> 4),
				.server = 0xc6120000 + (flow * 7 & 0xffff),
				.client_port = (uint16_t)(20000 + (flow & 15)),
				.server_port = 443};
	path_head_fill(h, e, port, (uint16_t)(sizeof(h->tcp) + payload));
	h->tcp.sent_seq = rte_cpu_to_be_32(n);
	h->tcp.recv_ack = rte_cpu_to_be_32(port);
	h->tcp.rx_win = 0xffff;
	h->tcp.tcp_flags = b->syn && n % b->syn == 0 && port == 0 ? RTE_TCP_SYN_FLAG : RTE_TCP_ACK_FLAG;
	memcpy(h + 1, path_pattern(flow, n), payload);
	return len;
}

static int offer(struct bypass *b, unsigned port)
{
	for (unsigned i = 0; i < b->burst; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(b->box->ports.bufs);
		struct flow_key k;
		struct path_ends e;

		if (!m)
			return -ENOBUFS;
		m->data_len = (uint16_t)frame_make(b, port, b->next[port], rte_pktmbuf_mtod(m, uint8_t *), &e);
		m->pkt_len = m->data_len;
		m->port = b->box->ports.port[port].id;
		path_checksum(m, b->box->offload);
		path_key(&k, &e, port);
		if (!path_box_offer(b->box, port, path_box_queue(b->box, &k), m))
			return -ENOBUFS;
		b->next[port]++;
	}
	return 0;
}

static void wrong(struct bypass *b, const char *what, uint32_t n)
{
	if (b->wrong++ == 0)
		snprintf(b->why, sizeof(b->why), "%.90s (frame %u)", what, n);
}

static void check(struct bypass *b, unsigned port, struct rte_mbuf *m)
{
	_Alignas(8) uint8_t want[2048], flat[2048];
	uint32_t len, n;
	const uint8_t *got = path_flat(m, flat, &len);
	struct path_head *h = (struct path_head *)want;
	struct path_ends e;

	if (!got || len != b->frame - FCS) {
		wrong(b, "length", len);
		return;
	}
	n = rte_be_to_cpu_32(((const struct path_head *)got)->tcp.sent_seq);
	frame_make(b, !port, n, want, &e);
	if (!b->box->offload) {
		h->ip.hdr_checksum = rte_ipv4_cksum(&h->ip);
		h->tcp.cksum = rte_ipv4_udptcp_cksum(&h->ip, &h->tcp);
	}
	if (memcmp(got, want, len) != 0)
		wrong(b, "an octet was changed", n);
	if (b->workers == 1 && n != b->seen[port])
		wrong(b, "out of order", n);
	b->seen[port]++;
}

static void collect(struct bypass *b)
{
	struct rte_mbuf *m[64];
	unsigned n;

	for (unsigned port = 0; port < 2; port++) {
		while ((n = path_box_take(b->box, port, m, 64)) > 0) {
			for (unsigned i = 0; i < n; i++)
				check(b, port, m[i]);
			rte_pktmbuf_free_bulk(m, n);
		}
	}
}

static int slice(struct bypass *b, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		int rc = offer(b, 0);

		if (rc == 0)
			rc = offer(b, 1);
		if (rc) {
			snprintf(b->box->err, sizeof(b->box->err), "out of packet buffers or ring room");
			return rc;
		}
		path_box_round(b->box);
		collect(b);
	}
	return 0;
}

/* What is still between two workers. */
static void settle(struct bypass *b)
{
	for (unsigned idle = 0; idle < 4;) {
		idle = path_box_round(b->box) ? 0 : idle + 1;
		collect(b);
	}
	if (b->seen[0] != b->next[1] || b->seen[1] != b->next[0])
		wrong(b, "frames were lost, so many",
		      b->next[0] + b->next[1] - b->seen[0] - b->seen[1]);
}

static int measure(struct bypass *b, struct path_record *r)
{
	struct path_meter m = {0};
	unsigned reps = RTE_MIN(b->opt->reps, (unsigned)PATH_SAMPLES);
	int rc = slice(b, b->opt->check ? 4 : 2048);

	for (unsigned rep = 0; rep < reps && rc == 0; rep++) {
		uint64_t end = rte_rdtsc() + (uint64_t)(b->opt->seconds * (double)rte_get_tsc_hz());

		path_meter_begin(&m, b->box);
		do {
			rc = slice(b, SLICE);
			path_meter_slice(&m, b->box, SLICE * 2 * b->burst);
		} while (rc == 0 && rte_rdtsc() < end);
		r->sample[r->samples++] = path_meter_sample(&m, b->box);
	}
	settle(b);
	r->p10 = path_slices_quantile(&m.all, 0.1);
	r->p90 = path_slices_quantile(&m.all, 0.9);
	path_meter_free(&m);
	return rc;
}

/* Rules that ask for other clients and servers than the traffic has, of several shapes. */
char *path_bypass_rules(unsigned n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (unsigned i = 0; i < n; i++) {
		fprintf(f, "  - {name: r%u, match: {protocol: %s, client: ", i, i & 1 ? "http" : "tcp");
		if (i % 3 == 0)
			fprintf(f, "172.%u.%u.0/24", 16 + i / 256 % 16, i % 256);
		else
			fprintf(f, "100.%u.%u.%u", 64 + i / 65536, i / 256 % 256, i % 256);
		if (i % 4 == 0)
			fprintf(f, ", server: 203.0.%u.%u", i / 256 % 256, i % 256);
		fprintf(f, ", server-port: %s}, action: adapt, service: s}\n",
			i % 5 == 0 ? "[80, 8000-8999]" : "443");
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int path_bypass_run(struct path *p, const struct path_box_config *cfg, unsigned frame, uint32_t flows, unsigned syn,
		    struct path_record *r)
{
	struct bypass b = {.box = p->box, .opt = p->opt, .frame = frame, .flows = flows, .workers = cfg->workers,
			   .syn = syn, .burst = p->opt->burst * (cfg->rss ? cfg->workers : 1)};
	int rc = path_box_start(p->box, cfg);

	if (rc)
		return rc;
	rc = measure(&b, r);
	if (rc) {
		char why[128];

		snprintf(why, sizeof(why), "%.120s", p->box->err);
		path_box_stop(p->box);
		snprintf(p->box->err, sizeof(p->box->err), "%s: %s", r->name, why);
		return rc;
	}
	if (path_box_count(p->box, STATS_flow_created) != 0)
		wrong(&b, "flows were selected", 0);
	if (path_box_stop(p->box) != 0)
		wrong(&b, p->box->err, 0);
	r->ok = b.wrong == 0;
	p->bad |= !r->ok;
	if (b.wrong)
		snprintf(r->note, sizeof(r->note), "%s", b.why);
	return 0;
}

static int one(struct path *p, unsigned frame, unsigned rules, uint32_t flows, unsigned syn, bool million)
{
	struct path_box_config cfg = {.workers = 1, .offload = p->opt->cksum && !strcmp(p->opt->cksum, "offload"),
				      .limits = "  flows: 1024\n"};
	struct path_record r = {.metric = "cycles_per_packet", .unit = "cycles/packet", .better = "lower"};
	char *text = path_bypass_rules(rules), count[16];
	int rc;

	if (!text)
		return -ENOMEM;
	cfg.rules = text;
	cfg.table = million ? p->opt->check ? 10000 : TABLE : 0;
	snprintf(count, sizeof(count), flows >= 1000000 ? "%uM" : flows >= 1000 ? "%uk" : "%u",
		 flows >= 1000000 ? flows / 1000000 : flows >= 1000 ? flows / 1000 : flows);
	snprintf(r.name, sizeof(r.name), "bypass/%uB/rules=%u/flows=%s/syn=%u/table=%s", frame, rules, count, syn,
		 million ? "1M" : "0");
	snprintf(r.params, sizeof(r.params),
		 "\"frame\": %u, \"rules\": %u, \"flows\": %u, \"syn_one_in\": %u, \"table_entries\": %u, \"cksum\": "
		 "\"%s\", \"burst\": %u, \"seconds\": %g", frame, rules, flows, syn, cfg.table,
		 cfg.offload ? "offload" : "software", p->opt->burst, p->opt->seconds);
	if (frame == 64 && rules == 10000 && flows == 1000000 && million && syn > 1)
		r.target = "bypass-cycles";
	rc = path_bypass_run(p, &cfg, frame, flows, syn, &r);
	free(text);
	return rc ? rc : path_record_write(&r, p->opt->json);
}

/* Number i of the values to be measured: those of the list, or the one that was asked for. False: no more. */
static bool value(const unsigned *list, unsigned n, bool asked, unsigned one_value, unsigned i, unsigned *out)
{
	*out = asked ? one_value : i < n ? list[i] : 0;
	return i < (asked ? 1 : n);
}

static int many(struct path *p, unsigned frame, unsigned rules, uint32_t flows)
{
	unsigned syn = p->opt->syn;
	int rc = one(p, frame, rules, flows, syn, false);

	if (rc || flows < 1000000)
		return rc;
	rc = one(p, frame, rules, flows, syn, true);
	if (rc || frame != 64 || syn < 2)
		return rc;
	/* what the SYNs are of it */
	rc = one(p, frame, rules, flows, 0, true);
	return rc ? rc : one(p, frame, rules, flows, 1, true);
}

int path_bypass(struct path *p)
{
	static const unsigned frames[] = {64, 128, 512, 1500};
	static const unsigned rules[] = {0, 10000};
	static const unsigned flows[] = {1, 1000, 1000000};
	const struct path_options *o = p->opt;
	static const unsigned few_frames[] = {64, 1500}, few_rules[] = {0, 500};
	const unsigned *fs = o->check ? few_frames : frames, *rs = o->check ? few_rules : rules;
	unsigned nf = o->check ? RTE_DIM(few_frames) : RTE_DIM(frames);
	unsigned frame, rule, flow;

	if (!path_wants(p, "bypass"))
		return 0;
	for (unsigned f = 0; value(fs, nf, o->frame, o->frame, f, &frame); f++) {
		for (unsigned r = 0; value(rs, RTE_DIM(rules), o->rules >= 0, (unsigned)o->rules, r, &rule); r++) {
			for (unsigned n = 0; value(flows, RTE_DIM(flows), o->flows, o->flows, n, &flow); n++) {
				int rc = many(p, frame, rule, flow);

				if (rc)
					return rc;
			}
		}
	}
	return 0;
}
