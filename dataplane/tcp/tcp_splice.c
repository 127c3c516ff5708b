/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp_splice.h"

#include "tcp/tcp_internal.h"

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

static inline uint32_t fold(uint32_t sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	return (sum >> 16) + (sum & 0xffff);
}

/* Moves the number at hdr + off by n; returns what that adds to the sum of the header (RFC 1624, equation 3). A number
 * at an odd offset lies in its words the other way round. */
static uint32_t move(uint8_t *hdr, uint32_t off, uint32_t n)
{
	uint32_t was = get_be32(hdr + off), is = was + n, sum;

	put_be32(hdr + off, is);
	sum = fold((~was >> 16) + (~was & 0xffff) + (is >> 16) + (is & 0xffff));
	return off & 1 ? (sum >> 8 | sum << 8) & 0xffff : sum;
}

static uint32_t move_sack(uint8_t *hdr, uint32_t len, uint32_t n)
{
	uint32_t off = TCP_HDR_MIN, sum = 0, size;

	while (off < len && hdr[off] != TCP_OPT_END) {
		if (hdr[off] == TCP_OPT_NOP) {
			off++;
			continue;
		}
		size = off + 2 <= len ? hdr[off + 1] : 0;
		if (size < 2 || off + size > len)
			break;
		for (uint32_t at = off + 2; hdr[off] == TCP_OPT_SACK && at + 8 <= off + size; at += 8)
			sum += move(hdr, at, n) + move(hdr, at + 4, n);
		off += size;
	}
	return sum;
}

void tcp_splice_rewrite(uint8_t *hdr, uint32_t len, const struct tcp_splice *t)
{
	uint32_t sum = ~get_be16(hdr + 16) & 0xffffu;

	if (!t->seq && !t->ack)
		return;
	if (t->seq)
		sum += move(hdr, 4, t->seq);
	if (t->ack) {
		if (hdr[13] & TCP_F_ACK)
			sum += move(hdr, 8, t->ack);
		sum += move_sack(hdr, len, t->ack);
	}
	put_be16(hdr + 16, (uint16_t)~fold(sum));
}
