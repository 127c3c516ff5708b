/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checksums of parsed frames. DPDK's helpers take the pseudo header's protocol
 * and length from the IP header and sum up to the end of the mbuf; with IPv6
 * extension headers and with Ethernet padding both are wrong, so the pseudo
 * header is summed here from what the parser found. Its sum over segments cuts
 * the carry off before it swaps a segment that begins at an odd offset.
 */
#include "parse/parse_frame.h"

#include <immintrin.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_cpuflags.h>
#include <rte_mbuf.h>

#define SUM_VECTOR_MIN 64 /* octets; below that the set-up costs more than it saves */

static bool have_avx2; /* of this CPU; set before main and never again */

static uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

RTE_INIT(parse_checksum_cpu)
{
	have_avx2 = rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX2) > 0;
}

/* Eight octets a step: the sum of 16-bit words is also that of 32-bit words, folded. */
static inline uint64_t sum_words(const uint8_t *p, uint32_t len)
{
	uint64_t a = 0, b = 0, v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		a += (uint32_t)v;
		b += v >> 32;
	}
	if (len != 0) {
		v = 0;
		memcpy(&v, p, len);
		a += (uint32_t)v;
		b += v >> 32;
	}
	return a + b;
}

/* 64 octets a step. The instruction that adds neighbours takes signed words: 0x8000 less in each, made good in the
 * end. A lane of 32 bits takes 16384 steps, a mebioctet, before it could run over. */
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, uint32_t len)
{
	const __m256i bias = _mm256_set1_epi16((short)0x8000), one = _mm256_set1_epi16(1);
	__m256i a = _mm256_setzero_si256(), b = a, v, w;
	uint64_t words = (len & ~63u) / 2;
	__m128i x;

	for (; len >= 64; p += 64, len -= 64) {
		v = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)p), bias);
		w = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(p + 32)), bias);
		a = _mm256_add_epi32(a, _mm256_madd_epi16(v, one));
		b = _mm256_add_epi32(b, _mm256_madd_epi16(w, one));
	}
	v = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(a)),
			     _mm256_cvtepi32_epi64(_mm256_extracti128_si256(a, 1)));
	w = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(b)),
			     _mm256_cvtepi32_epi64(_mm256_extracti128_si256(b, 1)));
	v = _mm256_add_epi64(v, w);
	x = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	return (uint64_t)_mm_cvtsi128_si64(x) + (uint64_t)_mm_extract_epi64(x, 1) + words * 0x8000 + sum_words(p, len);
}

static inline uint16_t sum_octets(const uint8_t *p, uint32_t len)
{
	if (len >= SUM_VECTOR_MIN && have_avx2)
		return fold(sum_avx2(p, len));
	return fold(sum_words(p, len));
}

uint16_t parse_sum(const void *octets, uint32_t len)
{
	return sum_octets(octets, len);
}

bool parse_sum_mbuf(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint16_t *sum)
{
	uint64_t total = 0;
	uint32_t done = 0;

	for (; m != NULL && done < len; m = m->next) {
		uint32_t here = rte_pktmbuf_data_len(m), n;
		uint16_t part;

		if (off >= here) {
			off -= here;
			continue;
		}
		n = here - off < len - done ? here - off : len - done;
		part = sum_octets(rte_pktmbuf_mtod_offset(m, const uint8_t *, off), n);
		/* A piece that begins at an odd place has its octets in the other halves. */
		total += done & 1 ? rte_bswap16(part) : part;
		done += n;
		off = 0;
	}
	*sum = fold(total);
	return done == len;
}

/* Of the pseudo header (RFC 9293 3.1, RFC 8200 8.1), not folded. */
static inline uint64_t sum_pseudo(const struct parse_frame *p)
{
	uint64_t sum;
	uint32_t v4[2];

	/* The length is below 65536 on Ethernet: the upper half of IPv6's 32-bit field adds 0. */
	sum = (uint64_t)rte_cpu_to_be_16(p->proto) + rte_cpu_to_be_16((uint16_t)(p->frame_len - p->l4_off));
	if (p->is_v6)
		return sum + sum_words(p->key.src, 16) + sum_words(p->key.dst, 16);
	memcpy(&v4[0], p->key.src + 12, 4);
	memcpy(&v4[1], p->key.dst + 12, 4);
	return sum + v4[0] + v4[1];
}

/* Over pseudo header and segment. */
static bool sum_tcp(const struct parse_frame *p, const struct rte_mbuf *m, uint16_t *out)
{
	uint16_t raw;

	if (!parse_sum_mbuf(m, p->l4_off, p->frame_len - p->l4_off, &raw))
		return false;
	*out = fold(raw + sum_pseudo(p));
	return true;
}

bool parse_ip_checksum_good(const struct parse_frame *p, const struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l2_len);

	if (p->is_v6 || flags == RTE_MBUF_F_RX_IP_CKSUM_GOOD ||
	    flags == RTE_MBUF_F_RX_IP_CKSUM_NONE || (m->ol_flags & RTE_MBUF_F_RX_LRO))
		return true;
	/* BAD is calculated again: some ports set it for what they cannot judge. */
	return sum_octets(ip, p->l3_len) == 0xffff;
}

/* NONE: the field holds no checksum, but the sender on this host vouches for the data. A port that merged segments has
 * verified each; the field is that of one of them, or none. */
static inline bool vouched_for(const struct rte_mbuf *m)
{
	return (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE ||
	       (m->ol_flags & RTE_MBUF_F_RX_LRO);
}

bool parse_tcp_checksum_good(const struct parse_frame *p, const struct rte_mbuf *m)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint16_t sum;

	if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD || vouched_for(m))
		return true;
	return sum_tcp(p, m, &sum) && sum == 0xffff;
}

bool parse_tcp_checksum_sum(const struct parse_frame *p, const struct rte_mbuf *m, uint16_t *payload_sum)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, head;
	const uint8_t *tcp = rte_pktmbuf_mtod_offset(m, const uint8_t *, p->l4_off);
	uint16_t sum;

	*payload_sum = 0;
	if (p->payload_len == 0 || m->nb_segs > 1 || vouched_for(m))
		return parse_tcp_checksum_good(p, m);
	if (unlikely(rte_pktmbuf_data_len(m) < p->frame_len))
		return false;
	head = sum_pseudo(p) + sum_words(tcp, p->l4_len);
	if (flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
		/* The port has added it all up: what the headers do not make of 0xffff, the payload does. */
		sum = (uint16_t)~fold(head);
	} else {
		sum = sum_octets(tcp + p->l4_len, p->payload_len);
		if (fold(head + sum) != 0xffff)
			return false;
	}
	*payload_sum = sum ? sum : 0xffff;
	return true;
}

void parse_checksum_set(const struct parse_frame *p, struct rte_mbuf *m)
{
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l2_len);
	uint8_t *tcp = rte_pktmbuf_mtod_offset(m, uint8_t *, p->l4_off);
	uint16_t sum;

	/* What a port was to be asked for (parse_offload) is done with this. */
	m->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_IP_CKSUM);
	if (!p->is_v6) {
		memset(ip + 10, 0, 2);
		sum = (uint16_t)~sum_octets(ip, p->l3_len);
		memcpy(ip + 10, &sum, 2);
	}
	memset(tcp + 16, 0, 2);
	if (sum_tcp(p, m, &sum)) {
		sum = (uint16_t)~sum;
		memcpy(tcp + 16, &sum, 2);
	}
}
