/* SPDX-License-Identifier: BSD-3-Clause */
/* Floods that know nothing of any connection, or its addresses and ports alone. */
#include "flood.h"

#include <stdio.h>
#include <string.h>

#define SOURCES 0x0a800000u /* 10.128.0.0/9 */

int flood_blind(const struct flood_conf *c, struct flood_tx *x)
{
	static const uint8_t text[64] = "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n";
	bool live = strstr(c->mode, "-live") != NULL, syn = strncmp(c->mode, "syn", 3) == 0;
	uint32_t r = c->seed;
	double seconds;

	for (uint64_t i = 0; i < c->count; i++) {
		struct flood_segment s = {.t = c->t, .seq = flood_random(&r), .window = 65535};

		if (!live) {
			s.t.src = SOURCES | (flood_random(&r) & 0x7fffff);
			s.t.sport = (uint16_t)(1024 + flood_random(&r) % 64512);
		}
		if (syn) {
			s.flags = FLOOD_SYN;
			s.mss = 1460;
		} else if (strncmp(c->mode, "rst", 3) == 0) {
			s.flags = (uint8_t)(FLOOD_RST | (i & 1 ? FLOOD_ACK : 0));
			s.ack = flood_random(&r);
		} else {
			s.flags = FLOOD_ACK | FLOOD_PSH;
			s.ack = flood_random(&r);
			s.payload = text;
			s.len = (uint32_t)(i % sizeof(text));
		}
		flood_put(x, &s);
	}
	flood_flush(x);
	seconds = (double)(flood_now() - x->begun_ns) / 1e9;
	printf("{\"mode\": \"%s\", \"sent\": %llu, \"seconds\": %.3f, \"waits\": %llu}\n", c->mode,
	       (unsigned long long)x->sent, seconds, (unsigned long long)x->waits);
	return 0;
}
