/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp/tcp.h"

#include <errno.h>

#include "tcp/tcp_internal.h"

static void sack_parse(struct tcp_segment *s, const uint8_t *opt, unsigned len)
{
	unsigned i;

	if ((len - 2) % 8)
		return;
	for (i = 2; i + 8 <= len && s->nsack < TCP_SACK_MAX; i += 8) {
		s->sack[s->nsack].left = get_be32(opt + i);
		s->sack[s->nsack].right = get_be32(opt + i + 4);
		s->nsack++;
	}
}

static void options_parse(struct tcp_segment *s, const uint8_t *hdr, unsigned hlen)
{
	unsigned off = TCP_HDR_MIN, len;

	while (off < hlen && hdr[off] != TCP_OPT_END) {
		if (hdr[off] == TCP_OPT_NOP) {
			off++;
			continue;
		}
		if (off + 2 > hlen)
			break;
		len = hdr[off + 1];
		if (len < 2 || off + len > hlen)
			break;
		if (hdr[off] == TCP_OPT_SACK)
			sack_parse(s, hdr + off, len);
		off += len;
	}
}

int tcp_segment_parse(struct tcp_segment *s, const uint8_t *hdr, uint32_t avail, uint32_t tcp_len)
{
	unsigned hlen;

	if (avail < TCP_HDR_MIN || tcp_len < TCP_HDR_MIN)
		return -EBADMSG;
	hlen = (hdr[12] >> 4) * 4u;
	if (hlen < TCP_HDR_MIN || hlen > avail || hlen > tcp_len)
		return -EBADMSG;
	s->seq = get_be32(hdr + 4);
	s->ack = get_be32(hdr + 8);
	s->flags = hdr[13];
	s->window = get_be16(hdr + 14);
	s->urgent = get_be16(hdr + 18);
	s->header_len = (uint8_t)hlen;
	s->len = tcp_len - hlen;
	s->nsack = 0; /* the blocks behind are set as far as there are any */
	if (hlen != TCP_HDR_MIN)
		options_parse(s, hdr, hlen);
	return 0;
}
