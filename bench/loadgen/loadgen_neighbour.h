/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Link-layer addresses: answers for all addresses of a side, and asks for the next hop's before the run. ARP (RFC 826)
 * and neighbour discovery (RFC 4861 4.3, 4.4; solicitations and advertisements with link-layer address options only).
 *
 * Owner: the side's thread.
 */
#ifndef LOADGEN_NEIGHBOUR_H
#define LOADGEN_NEIGHBOUR_H

#include "loadgen_side.h"

/* A frame that is not of a connection: answered when it asks for an address of this side; an answer to
 * lg_neighbour_ask sets *known and the wire's peer. The frame stays the caller's. */
void lg_neighbour_input(struct lg_side *s, struct rte_mbuf *m, bool *known);
/* Asks who has the address of the next hop. */
void lg_neighbour_ask(struct lg_side *s);

#endif
