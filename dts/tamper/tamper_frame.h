/* SPDX-License-Identifier: BSD-3-Clause */
/* Places in an Ethernet frame where corruption may strike. Pure functions; offsets count from the first octet of the
 * destination address. Frames may be wrong in every way: a place that does not lie inside the frame does not exist. */
#ifndef TAMPER_FRAME_H
#define TAMPER_FRAME_H

#include <stdbool.h>
#include <stdint.h>

enum tamper_place {
	TAMPER_ANY,	/* any octet of an IP packet, header to end */
	TAMPER_IP,	/* IP header, IPv6 extension headers included */
	TAMPER_TCP,	/* TCP header, options included */
	TAMPER_PAYLOAD, /* what TCP carries */
	TAMPER_MIXED,	/* one of the last three, each as often; where it is missing, the one before it */
	TAMPER_ETHERNET,
	TAMPER_OCTET, /* and above: the octet number place - TAMPER_OCTET of the frame, whatever it is */
};

bool tamper_frame_span(const uint8_t *frame, uint32_t len, uint32_t place, uint64_t random, uint32_t *from, uint32_t *to);

#endif
