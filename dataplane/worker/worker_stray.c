/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments without a flow that are not simply let through: of connections whose beginning was not seen, and with flags
 * that no end sends. */
#include "worker/worker.h"

#include <netinet/in.h>
#include <string.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#define RESETS_MAX 200 /* a second */
#define HEAD_MAX (SESSION_L2_MAX + 40 + 20)

bool worker_selects(const struct worker *w, unsigned port, const struct parse_frame *f, bool either)
{
	struct policy_selection sel;
	struct policy_tuple t;
	struct parse_frame back;

	worker_tuple(&t, f, port);
	policy_select_flow(w->matcher, &t, &sel);
	if (sel.first >= 0 || !either)
		return sel.first >= 0;
	back.key = f->key;
	parse_key_reverse(&back.key, &back.key);
	worker_tuple(&t, &back, !port);
	policy_select_flow(w->matcher, &t, &sel);
	return sel.first >= 0;
}

static void head_ip(uint8_t *to, const struct rte_mbuf *m, const struct parse_frame *f)
{
	const void *from = rte_pktmbuf_mtod_offset(m, const void *, f->l2_len);

	if (f->is_v6) {
		const struct rte_ipv6_hdr *in = from;
		struct rte_ipv6_hdr out = {
			.vtc_flow = rte_cpu_to_be_32(6u << 28),
			.payload_len = rte_cpu_to_be_16(20),
			.proto = IPPROTO_TCP,
			.hop_limits = 64,
		};

		memcpy(out.src_addr, in->dst_addr, 16);
		memcpy(out.dst_addr, in->src_addr, 16);
		memcpy(to, &out, sizeof(out));
	} else {
		const struct rte_ipv4_hdr *in = from;
		struct rte_ipv4_hdr out = {
			.version_ihl = 0x45,
			.total_length = rte_cpu_to_be_16(40),
			.fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
			.time_to_live = 64,
			.next_proto_id = IPPROTO_TCP,
			.src_addr = in->dst_addr,
			.dst_addr = in->src_addr,
		};

		memcpy(to, &out, sizeof(out));
	}
}

/* RFC 9293 3.10.7.1: what a host without the connection answers. */
static void head_tcp(uint8_t *to, const struct rte_mbuf *m, const struct parse_frame *f)
{
	const struct rte_tcp_hdr *in = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, f->l4_off);
	uint32_t len = f->payload_len + !!(f->tcp_flags & TCP_F_SYN) + !!(f->tcp_flags & TCP_F_FIN);
	struct rte_tcp_hdr out = {.src_port = in->dst_port, .dst_port = in->src_port, .data_off = 0x50};

	if (f->tcp_flags & TCP_F_ACK) {
		out.sent_seq = in->recv_ack;
		out.tcp_flags = TCP_F_RST;
	} else {
		out.recv_ack = rte_cpu_to_be_32(rte_be_to_cpu_32(in->sent_seq) + len);
		out.tcp_flags = TCP_F_RST | TCP_F_ACK;
	}
	memcpy(to, &out, sizeof(out));
}

static void reset(struct worker *w, unsigned port, const struct rte_mbuf *m, const struct parse_frame *f)
{
	uint32_t ip_len = f->is_v6 ? 40 : 20;
	struct parse_frame out;
	struct rte_mbuf *r;
	uint8_t *p;

	if (w->now_us - w->reset_us >= 1000000) {
		w->reset_us = w->now_us;
		w->resets = 0;
	}
	if (f->tcp_flags & TCP_F_RST || f->l2_len > SESSION_L2_MAX || w->resets >= RESETS_MAX ||
	    !parse_ip_checksum_good(f, m) || !parse_tcp_checksum_good(f, m))
		return;
	r = rte_pktmbuf_alloc(w->ports->bufs);
	if (!r) {
		w->shm->counter[STATS_no_mbuf]++;
		return;
	}
	p = (uint8_t *)rte_pktmbuf_append(r, (uint16_t)(f->l2_len + ip_len + 20));
	memcpy(p, rte_pktmbuf_mtod(m, const uint8_t *), f->l2_len);
	memcpy(p, rte_pktmbuf_mtod_offset(m, const uint8_t *, RTE_ETHER_ADDR_LEN), RTE_ETHER_ADDR_LEN);
	memcpy(p + RTE_ETHER_ADDR_LEN, rte_pktmbuf_mtod(m, const uint8_t *), RTE_ETHER_ADDR_LEN);
	head_ip(p + f->l2_len, m, f);
	head_tcp(p + f->l2_len + ip_len, m, f);
	if (parse_mbuf(&out, r) != PARSE_TCP) { /* never, with a whole head */
		rte_pktmbuf_free(r);
		return;
	}
	parse_checksum_set(&out, r);
	w->resets++;
	w->shm->counter[STATS_mid_stream_reset]++;
	worker_send(w, port, r);
}

void worker_stray(struct worker *w, unsigned port, struct rte_mbuf *m, const struct parse_frame *f)
{
	bool bad = tcp_flags_bad(f->tcp_flags);

	if (!w->rules || !w->rules->selects || (w->mid_stream == POLICY_MID_PASS && !bad) || !worker_selects(w, port, f, true)) {
		worker_bypass(w, port, m);
		return;
	}
	if (bad) {
		w->shm->counter[STATS_bad_flags]++;
	} else {
		w->shm->counter[STATS_mid_stream_dropped]++;
		if (w->mid_stream == POLICY_MID_RESET)
			reset(w, port, m, f);
	}
	rte_pktmbuf_free(m);
}
