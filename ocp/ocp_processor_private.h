/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: the processor agent.
 *
 *   ocp_processor.c            calls of the owner: what holds in both dialects, then over to the dialect
 *   ocp_processor_xaction.c    the transaction's state and what its owner hears of it, in both dialects
 *   ocp_processor_draft.c      the draft's messages: what arrives ...
 *   ocp_processor_draft_send.c ... and what is sent
 *   ocp_processor_core.c       RFC 4037's messages: what arrives ...
 *   ocp_processor_core_send.c  ... and what is sent
 *   ocp_processor_offer.c      RFC 4037: service groups and application profiles
 *
 * The original (am-id 1):                   An adapted message (draft: even am-ids, core: 2):
 *
 *   open --end--> ended                       begun --end--> ended
 *    |  ^                                        |             |
 *    |  | need, phase over                       +--> gone <---+
 *    v  |                                         aborted, transaction ended, any fault
 *   paused
 *   any of them --refused--> gone; --the peer leaves the loop--> left
 */
#ifndef OCP_PROCESSOR_PRIVATE_H
#define OCP_PROCESSOR_PRIVATE_H

#include <stddef.h>
#include "ocp/ocp_agent.h"
#include "ocp/ocp_core.h"
#include "ocp/ocp_processor.h"

#define OCP_ORIGINAL                                                                               \
	1 /* am-id of every original: the processor's are odd, and it has one per transaction */
#define OCP_ADAPTED 2 /* core: am-id of the adapted message; nothing on the wire */

struct ocp_processor;

/* How a dialect says it. Conditions that hold in both have been checked; x is open. */
struct ocp_processor_wire {
	int (*connect)(struct ocp_processor *p, struct ocp_str client, int32_t priority);
	int (*priority)(struct ocp_processor *p, int32_t priority);
	int (*service)(struct ocp_processor *p, const struct ocp_uri *s);
	int (*please_use)(struct ocp_processor *p, struct ocp_str uri);
	int (*do_you_support)(struct ocp_processor *p, struct ocp_str uri);
	/* 0, or why st cannot be sent now. */
	int (*may_start)(struct ocp_processor *p, const struct ocp_start *st);
	/* x: new, xid next_xid, which the dialect advances itself when it fails after its first message. */
	int (*start)(struct ocp_processor *p, struct ocp_xaction *x, const struct ocp_start *st);
	int (*data)(struct ocp_processor *p, struct ocp_xaction *x, const void *data, size_t len, void *cookie,
		    const struct ocp_send *send);
	int (*data_end)(struct ocp_processor *p, struct ocp_xaction *x, bool ok);
	int (*am_abort)(struct ocp_processor *p, struct ocp_xaction *x, struct ocp_am *am);
	int (*xaction_end)(struct ocp_processor *p, struct ocp_xaction *x, bool error,
			   const struct ocp_result *result);
	int (*am_pause)(struct ocp_processor *p, struct ocp_xaction *x, uint64_t offset);
	int (*am_need)(struct ocp_processor *p, struct ocp_xaction *x, uint32_t request);
	int (*working)(struct ocp_processor *p, struct ocp_xaction *x);
	uint64_t (*room)(const struct ocp_processor *p, const struct ocp_xaction *x, enum ocp_part part);
	/* What arrives, draft (core: struct ocp_core_role). */
	void (*message)(struct ocp_agent *a, const struct ocp_msg *m);
};

/* A profile offered for a service, or a service without one; core dialect. */
struct ocp_service_group {
	struct ocp_service_group *next;
	struct ocp_uri service; /* own copy */
	struct ocp_profile profile; /* as offered; feature OCP_FEATURE_MAX: none */
	struct ocp_group *group;    /* NULL: not created yet */
	enum { OCP_OFFER_WAITS, OCP_OFFER_AGREED, OCP_OFFER_REJECTED } state;
	char *mem;
};

struct ocp_processor {
	struct ocp_agent a; /* first: the role's functions get this pointer */
	struct ocp_processor_ops ops;
	const struct ocp_processor_wire *wire;
	uint32_t next_xid;
	uint32_t deadline_grace;
	bool default_service;
	/* core */
	struct ocp_uri service; /* the default; own copy */
	char *service_mem;
	struct ocp_service_group *groups; /* the offers in the order of the configuration, then others */
	struct ocp_service_group *offering;
	size_t services_octets;	 /* of AMS Services not yet told */
	struct ocp_link stalled;  /* transactions that wait for the end of a phase */
	struct ocp_link unheard;  /* transactions whose owner has to hear that an end has come */
	char *asked_use;	 /* please_use under way: its URI */
};

/* Octets of AMS Services that wait for the first data of their messages, on one connection. */
#define OCP_SERVICES_MAX (1u << 20)

extern const struct ocp_role ocp_processor_role;
extern const struct ocp_processor_wire ocp_processor_draft_wire, ocp_processor_core_wire;
extern const struct ocp_core_role ocp_processor_core_role;

static inline struct ocp_processor *ocp_processor_of(struct ocp_agent *a)
{
	return (struct ocp_processor *)a;
}

/* --- ocp_processor_xaction.c: x and am are open; after a call that tells the owner, look both up again --- */

/* A new adapted message in x's table. NULL: ams_max, or no memory. */
struct ocp_am *ocp_processor_am_new(struct ocp_agent *a, struct ocp_xaction *x, uint32_t am_id);
void ocp_processor_am_begun(struct ocp_agent *a, struct ocp_xaction *x, const struct ocp_am_info *info);
/* The place of data that arrives; OCP_FAULT_NONE: as it must be. */
enum ocp_fault ocp_processor_am_place(const struct ocp_am *am, uint64_t offset, uint64_t size, uint64_t max);
/* m's payload belongs to am and is of this part. */
void ocp_processor_am_data(struct ocp_agent *a, struct ocp_am *am, const struct ocp_msg *m, enum ocp_part part);
/* am goes on with octets of the original. Tells the owner in one piece of part `part`. */
bool ocp_processor_may_reuse(const struct ocp_xaction *x, uint64_t from, uint64_t size);
void ocp_processor_am_reuse(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am, uint64_t from, uint64_t size,
			    enum ocp_part part);
/* Complete or failed; its am-id goes on to exist. */
void ocp_processor_am_complete(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
			       const struct ocp_am_ending *e);
/* am is gone; the owner hears of it unless it has heard that it is complete. */
void ocp_processor_am_over(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am,
			   const struct ocp_am_ending *e);
/* The rest of am is the original from rest on. */
void ocp_processor_left(struct ocp_agent *a, struct ocp_xaction *x, struct ocp_am *am, uint64_t rest,
			struct ocp_am_ending *e);
void ocp_processor_paused(struct ocp_agent *a, struct ocp_xaction *x);
void ocp_processor_needed(struct ocp_agent *a, struct ocp_xaction *x, bool resumed, uint64_t have, uint32_t request);
void ocp_processor_acked(struct ocp_agent *a, struct ocp_xaction *x, uint64_t offset, uint64_t size);
/* The commitment for these octets is over. */
void ocp_processor_released(struct ocp_agent *a, struct ocp_xaction *x, uint64_t from, uint64_t size);
/* The peer ended the original, without a failure. */
void ocp_processor_original_over(struct ocp_agent *a, struct ocp_xaction *x);
/* AMS Services are not needed any more. */
void ocp_processor_services_free(struct ocp_agent *a, struct ocp_xaction *x);
/* Out of the table, freed, and nobody hears of it. */
void ocp_processor_let_go(struct ocp_agent *a, struct ocp_xaction *x);

/* The transaction whose `stalled` l is. */
static inline struct ocp_xaction *ocp_processor_linked(struct ocp_link *l)
{
	return (struct ocp_xaction *)((char *)l - offsetof(struct ocp_xaction, processor.stalled));
}

/* --- ocp_processor_core.c --- */

/* Tells what came to an end inside calls of the owner. */
void ocp_processor_core_tell(struct ocp_agent *a);

/* --- ocp_processor_core_send.c --- */

int ocp_core_send_xid(struct ocp_agent *a, enum ocp_msg_type type, uint32_t xid);
/* AME of the original. */
int ocp_processor_core_ame(struct ocp_agent *a, struct ocp_xaction *x, int32_t code);
/* TE, once. */
int ocp_processor_core_te(struct ocp_agent *a, struct ocp_xaction *x, bool error, const struct ocp_result *r);
/* Pauses or ends the original when it has come to where the peer wants that. True: it has ended (AME 206). */
bool ocp_processor_core_marks(struct ocp_agent *a, struct ocp_xaction *x);
/* DPI: octets of the original outside of [from, to) will not be asked for. */
void ocp_processor_core_interest(struct ocp_agent *a, struct ocp_xaction *x, uint64_t from, uint64_t to);

/* --- ocp_processor_offer.c --- */

int ocp_processor_offers_copy(struct ocp_processor *p, const struct ocp_processor_config *cfg);
void ocp_processor_offers_free(struct ocp_processor *p);
/* SGC of every offer, then the first NO. */
int ocp_processor_offers_send(struct ocp_processor *p);
int ocp_processor_service_copy(struct ocp_processor *p, const struct ocp_uri *s);
/* The group for a start. 0; -EPROTONOSUPPORT, -EINVAL; with create: errors of SGC, -ENOMEM. *g NULL: has to be created. */
int ocp_processor_group_for(struct ocp_processor *p, const struct ocp_start *st, bool create,
			    struct ocp_service_group **g);
int ocp_processor_offer_uri(struct ocp_processor *p, struct ocp_str uri);
enum ocp_fault ocp_processor_answered(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *feature,
				      const struct ocp_msg *m);
enum ocp_choice ocp_processor_choose(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *f,
				     struct ocp_uri *answer);
void ocp_processor_chosen(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *answer);
#endif
