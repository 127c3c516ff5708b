/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fragments of TCP segments, between parse/ and flow/. Rules name ports, and only the first fragment has them: so the fragments
 * of a datagram are held until it is whole, and only then is it decided what becomes of it. The originals go on as they came
 * and in the order they came where no rule selects the connection; else frag_join (rte_ip_frag) makes one packet of them.
 *
 *   frag_add ... frag_add -> the whole list --+--> the originals, one by one (frag_next)
 *                                             +--> frag_join -> one packet, a chain
 *
 * RFC 791, 815, 8200 section 4.5. What would let two receivers put different octets together is dropped with the whole datagram,
 * for IPv6 because RFC 5722 says so, for IPv4 for the same reason: a filter that keeps the other version than the end does is
 * none. Likewise first fragments without a whole TCP header, and second ones that reach into it (RFC 1858, RFC 3128). Exact
 * duplicates are dropped alone (RFC 8200). Incomplete datagrams, selected or not, do not cross: no end can use them.
 *
 * Budget: datagrams, octets of packet buffers, time. Beyond either of the first two the oldest datagram is dropped: whole ones are
 * whole within a moment, what a flood leaves behind is old.
 *
 * INV-FRAG-1  octets of buffers held <= cfg.octets, datagrams <= cfg.datagrams, and none older than timeout + one frag_age round.
 * INV-FRAG-2  every mbuf given to frag_add is in the table, on a list returned, or freed and counted.
 * INV-FRAG-3  fragments of a list do not overlap and cover the datagram from 0 to its end.
 *
 * Owner thread: the worker. Time is a parameter.
 */
#ifndef FRAG_FRAG_H
#define FRAG_FRAG_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>
#include "parse/parse_frame.h"

#define FRAG_PIECES_MAX 64 /* fragments of a datagram: 64 KiB in frames of 1,500 octets are 45 */
#define FRAG_JOIN_MAX 8	   /* of one that is joined: RTE_LIBRTE_IP_FRAG_MAX_FRAG of the DPDK we are built with */

struct frag_table;

struct frag_config {
	uint32_t datagrams;
	uint64_t octets; /* of buffers, whole ones: a small fragment holds as much memory as a large one */
	uint64_t timeout_us;
	uint32_t seed;	   /* of the hash */
	int socket_id;
	uint64_t *counter; /* STATS_fragment_* */
};

/* Main thread, cold. 0 or -ENOMEM. */
int frag_create(struct frag_table **out, const struct frag_config *cfg);
void frag_destroy(struct frag_table *t);

/* f: of m. May it be part of a TCP segment? For anything else the functions below must not be called. */
bool frag_wanted(const struct parse_frame *f, const struct rte_mbuf *m);
/* Of its datagram, the same for all of its fragments: which worker puts it together. */
uint32_t frag_hash(const struct parse_frame *f, const struct rte_mbuf *m, uint32_t seed);
/* Takes over m, that came in by port. The datagram is whole: the list of its fragments, the caller's, in the order they
 * came. Else NULL. */
struct rte_mbuf *frag_add(struct frag_table *t, struct rte_mbuf *m, const struct parse_frame *f, unsigned port,
			  uint64_t now_us);
/* The one after m, NULL: none. Any thread that has the list. */
struct rte_mbuf *frag_next(const struct frag_table *t, const struct rte_mbuf *m);
/* The fragment with offset 0. */
struct rte_mbuf *frag_first(const struct frag_table *t, struct rte_mbuf *list);
/* One packet: headers of the first fragment with length, IPv4 checksum and next header made right; TCP checksum as it came,
 * to be verified. Takes over the list. NULL: it could not be (more than FRAG_JOIN_MAX, or IPv6 with other headers before the
 * fragment header); counted. */
struct rte_mbuf *frag_join(struct frag_table *t, struct rte_mbuf *list);
void frag_free(const struct frag_table *t, struct rte_mbuf *list);
/* Drops what is too old, some at a time. Returns datagrams dropped. */
uint32_t frag_age(struct frag_table *t, uint64_t now_us);
/* Held at the moment. */
uint32_t frag_datagrams(const struct frag_table *t);
uint64_t frag_octets(const struct frag_table *t);

#endif
