/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments of arbitrary bytes to the parser and the handshake: two bytes of length and side, then
 * that many bytes of header. The rewritten header must parse to the same numbers. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcp/tcp_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_handshake hs = {0};
	struct tcp_params p;
	struct tcp_segment s, again;
	uint64_t now = 0;

	while (size > 2) {
		unsigned len = data[0], side = data[1] & 1;
		uint8_t *hdr;

		data += 2;
		size -= 2;
		if (len > size)
			len = (unsigned)size;
		hdr = malloc(len + 1); /* of its very size: reading beyond is seen */
		if (!hdr)
			return 0;
		hdr = realloc(hdr, len ? len : 1);
		memcpy(hdr, data, len);
		if (tcp_segment_parse(&s, hdr, len, len + 10) == 0) {
			enum tcp_hs_verdict v =
				tcp_handshake_input(&hs, side, &s, hdr, 1400, false, now++);

			if (tcp_segment_parse(&again, hdr, len, len + 10) != 0 ||
			    again.seq != s.seq || again.ack != s.ack ||
			    again.header_len != s.header_len || again.len != s.len)
				abort();
			if (v == TCP_HS_ESTABLISHED) {
				tcp_handshake_params(&hs, 0, &p);
				tcp_handshake_params(&hs, 1, &p);
				if (!p.mss || p.mss > 1400 || p.snd_wscale > 14)
					abort();
				memset(&hs, 0, sizeof(hs));
			}
		}
		free(hdr);
		data += len;
		size -= len;
	}
	return 0;
}
