/* SPDX-License-Identifier: BSD-3-Clause */
/* Any octets as a frame, whole and with only a first part readable: the parser reads nothing it was
 * not given, and what it accepts agrees with itself. */
#include <stdlib.h>

#include "parse/parse_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parse_frame p, q;
	enum parse_verdict v, w;
	uint32_t seg;
	uint8_t *part;

	if (size < 1)
		return 0;
	seg = data[0];
	data++;
	size--;
	v = parse_frame(&p, data, (uint32_t)size, (uint32_t)size);
	expect(p.verdict == v && (v == PARSE_MALFORMED) == (p.bad != PARSE_OK));
	expect(p.bad != PARSE_BAD_SPLIT);
	if (v == PARSE_TCP) {
		expect(p.l4_off == p.l2_len + p.l3_len && p.payload_off == p.l4_off + p.l4_len);
		expect(p.payload_off + p.payload_len + p.pad_len == size);
		expect(p.l4_len >= 20 && !p.is_fragment && p.proto == 6);
	}
	if (v != PARSE_MALFORMED && p.is_ip)
		expect(p.frame_len + p.pad_len == size &&
		       p.payload_off + p.payload_len == p.frame_len);
	if (seg > size)
		return 0;
	part = malloc(seg + 1);
	memcpy(part, data, seg);
	w = parse_frame(&q, part, seg, (uint32_t)size);
	free(part);
	expect(w == v || (w == PARSE_MALFORMED && q.bad == PARSE_BAD_SPLIT) || w == PARSE_OTHER);
	return 0;
}
