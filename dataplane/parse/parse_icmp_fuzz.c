/* SPDX-License-Identifier: BSD-3-Clause */
/* Any octets as an ICMP message: nothing beyond them is read, and what is believed is plausible. */
#include <stdlib.h>

#include "parse/parse_icmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parse_icmp o;
	uint8_t *copy;
	bool v6;

	if (size < 1)
		return 0;
	v6 = data[0] & 1;
	size = size - 1 < PARSE_ICMP_MAX ? size - 1 : PARSE_ICMP_MAX;
	copy = malloc(size + !size);
	memcpy(copy, data + 1, size);
	if (parse_icmp_octets(&o, copy, (uint32_t)size, v6) && (o.mtu < (v6 ? 1280 : 68) || o.key.proto != 6 || o.key.is_v6 != v6))
		abort();
	free(copy);
	return 0;
}
