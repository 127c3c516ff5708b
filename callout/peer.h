/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests: an OPES processor over one end of a socket pair, run in turn with the loop on the other end. */
#ifndef CALLOUT_PEER_H
#define CALLOUT_PEER_H

#include "callout/opes_callout.h"
#include "ocp/ocp.h"
#include "ocp/ocp_processor.h"
#include "ocp/ocp_profile.h"

#define PEER_AMS 4

enum peer_copied { PEER_COPIED_NONE, PEER_COPIED_ALL, PEER_COPIED_MIXED };

struct peer_bytes {
	uint8_t *p;
	size_t len, cap;
};
void peer_append(struct peer_bytes *b, const void *p, size_t len);

/* The original and how it is sent. */
struct peer_message {
	const char *meta;
	const uint8_t *bytes;
	size_t len;
	size_t head_len;          /* octets that are the head */
	enum ocp_part head, body; /* OCP_PART_NONE: not said */
	int64_t sizep;
	size_t chunk;
	enum peer_copied copied;
	bool cut;                 /* ends with an error */
	const char *aux;          /* core: the request's head before a response, when it was agreed on */
};

struct peer_am {
	uint32_t id;
	enum ocp_kind kind;
	bool modified, ended, ok;
	int64_t sizep, am_el;
	int32_t modp;
	uint32_t parts; /* seen: mask of OCP_HAS */
	struct peer_bytes data;
	uint64_t have, as_is, changed; /* octets by data-have, by data-as-is, flagged modified */
};

struct peer_txn {
	const struct peer_message *m;
	uint32_t xid;
	size_t sent, chunks;
	uint64_t aux_sent;
	bool end_sent, paused, stopped, am_paused;
	unsigned pauses;
	struct peer_am am[PEER_AMS];
	unsigned nams;
	bool over, left;
	uint64_t rest, released, acks, as_is_msgs, needs;
	struct ocp_xaction_ending how;
};

struct peer {
	struct oc_loop *loop;
	struct ocp_processor *ocp;
	int fd;
	struct peer_bytes out;
	size_t out_done;
	bool core;                /* speaks RFC 4037 */
	unsigned accepted, rejected; /* profiles */
	bool deaf;                /* does not read */
	bool eof, closed;
	enum ocp_end how;
};

void peer_open(struct peer *p, struct oc_loop *loop, int32_t priority);
/* Speaks RFC 4037 and offers both HTTP profiles for each of the services (ended by NULL); aux: the request's head, too. */
void peer_open_core(struct peer *p, struct oc_loop *loop, const char *const *services, bool aux);
void peer_close(struct peer *p);
/* One turn of each side. */
void peer_turn(struct peer *p);
void peer_turns(struct peer *p, unsigned n);
int peer_begin(struct peer *p, struct peer_txn *t, const char *service, const struct peer_message *m);
/* Sends the next chunk, or the end. False: nothing left to send. */
bool peer_feed(struct peer_txn *t, struct peer *p);
/* Sends all and waits for the end. */
void peer_run(struct peer *p, struct peer_txn *t, const char *service, const struct peer_message *m);
void peer_txn_free(struct peer_txn *t);

#endif
