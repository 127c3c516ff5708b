/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: the callout server agent.
 *
 *   ocp_server.c            calls of the owner: what holds in both dialects, then over to the dialect
 *   ocp_server_flow.c       the transaction's state and what its owner hears of it, in both dialects
 *   ocp_server_draft.c      the draft's messages: what arrives ...
 *   ocp_server_draft_send.c ... and what is sent
 *   ocp_server_core.c       RFC 4037's messages: what arrives ...
 *   ocp_server_core_send.c  ... and what is sent
 *   ocp_server_offer.c      application profiles: what is accepted
 */
#ifndef OCP_SERVER_PRIVATE_H
#define OCP_SERVER_PRIVATE_H

#include "ocp/ocp_agent.h"
#include "ocp/ocp_core.h"
#include "ocp/ocp_server.h"

struct ocp_server;

/* How a dialect says it. Conditions that hold in both have been checked; x and am are open. */
struct ocp_server_wire {
	int (*working)(struct ocp_server *s, struct ocp_xaction *x);
	int (*am_start)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_str meta,
			const struct ocp_send *send, uint32_t *am_id);
	int (*data)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am,
		    const void *data, size_t len, void *cookie, const struct ocp_send *send);
	bool (*committed)(const struct ocp_xaction *x, uint64_t from, uint64_t size);
	int (*as_is)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, uint64_t from,
		     uint64_t size, enum ocp_part part);
	int (*data_end)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am);
	int (*am_end)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am, bool error,
		      const struct ocp_result *result);
	int (*pause)(struct ocp_server *s, struct ocp_xaction *x);
	int (*need)(struct ocp_server *s, struct ocp_xaction *x, uint32_t request);
	int (*ack)(struct ocp_server *s, struct ocp_xaction *x, uint64_t offset, uint64_t size,
		   bool wont_forward);
	/* 0: x is gone */
	int (*leave_loop)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_am *am);
	int (*stop_receiving)(struct ocp_server *s, struct ocp_xaction *x, uint64_t size);
	int (*xaction_end)(struct ocp_server *s, struct ocp_xaction *x, bool error,
			   const struct ocp_result *result);
	/* A slice of the original has arrived: fills d->copied, asks for acknowledgements. */
	void (*slice)(struct ocp_server *s, struct ocp_xaction *x, struct ocp_data *d);
	/* x is out of the table: what its owner has to hear first (e NULL: nothing, the owner ended it), what else is to
	 * be freed. */
	void (*ended)(struct ocp_agent *a, struct ocp_xaction *x,
		      const struct ocp_xaction_ending *e);
};

struct ocp_server {
	struct ocp_agent a; /* first: the role's functions get this pointer */
	struct ocp_server_ops ops;
	const struct ocp_server_wire *wire;
	uint32_t dialects, groups_max, profiles;
	uint64_t negotiation_us;
	bool core; /* the dialect */
	bool ack_all;
	int32_t priority;
	int64_t last_xid;	    /* -1: none yet */
	char *service;		    /* draft: the connection's default: URI, then the other members */
	struct ocp_uri service_uri; /* inside service; uri.p NULL: none */
	struct ocp_ranges xids;	    /* core: introduced so far */
};

extern const struct ocp_role ocp_server_role;
extern const struct ocp_server_wire ocp_server_draft_wire, ocp_server_core_wire;

static inline struct ocp_server *ocp_server_of(struct ocp_agent *a)
{
	return (struct ocp_server *)a;
}

static inline bool ocp_server_is_core(const struct ocp_server *s)
{
	return s->core;
}

/* --- ocp_server_flow.c --- */

extern const struct ocp_result ocp_server_failure; /* {400} */
/* The owner is asked about the transaction, which is in the table already. */
void ocp_server_accept(struct ocp_agent *a, uint32_t xid, const struct ocp_uri *service);
/* The original begins. False: the owner refused it (the transaction is still there), or has ended the transaction. */
enum ocp_server_asked { OCP_SERVER_TAKEN, OCP_SERVER_REFUSED, OCP_SERVER_GONE };
enum ocp_server_asked ocp_server_original(struct ocp_agent *a, struct ocp_xaction *x,
					  const struct ocp_am_info *info);
/* The original is over; its owner hears of it unless that has happened before. gone: its am-id is dead, too. */
void ocp_server_original_over(struct ocp_agent *a, struct ocp_xaction *x, bool gone,
			      const struct ocp_original_ending *e);
/* Our adapted message am has ended at the processor. */
void ocp_server_adapted_over(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
			     bool error, const struct ocp_result *r);
void ocp_server_paused(struct ocp_agent *a, struct ocp_xaction *x);
/* Out of the table and freed, without a call-back. */
void ocp_server_let_go(struct ocp_server *s, struct ocp_xaction *x);

/* --- dialects: what arrives --- */

void ocp_server_draft_message(struct ocp_agent *a, const struct ocp_msg *m);
/* The connection speaks core; m: its first message, NULL: malformed. */
void ocp_server_core_begin(struct ocp_server *s, const struct ocp_msg *m);

/* --- ocp_server_core_send.c --- */

/* The owner must send nothing more for now: says so (DPM) once the place asked for has been reached. */
void ocp_server_core_pause_check(struct ocp_server *s, struct ocp_xaction *x);
/* Octets of the original are given up, or kept differently: DPI when that changes what we may still refer to. */
int ocp_server_core_interest(struct ocp_server *s, struct ocp_xaction *x);
/* AME when the adapted message is open, then TE. */
int ocp_server_core_end(struct ocp_server *s, struct ocp_xaction *x, bool error,
			const struct ocp_result *result);
/* AME {206} and TE: out of the loop. */
int ocp_server_core_leave(struct ocp_server *s, struct ocp_xaction *x);

/* --- ocp_server_offer.c: see struct ocp_core_role --- */

enum ocp_choice ocp_server_choose(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *f,
				  struct ocp_uri *answer);
void ocp_server_chosen(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *answer);
enum ocp_fault ocp_server_answered(struct ocp_agent *a, struct ocp_group *g,
				   const struct ocp_uri *feature, const struct ocp_msg *m);
bool ocp_server_supports(struct ocp_agent *a, const struct ocp_uri *f);
#endif
