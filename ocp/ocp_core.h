/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: what both agents share in the core dialect (RFC 4037). Sections in brackets are the
 * RFC's.
 *
 *   bracket       CS from both sides, CE, invalid input [5, 11.1, 11.2]
 *   groups        SGC and SGD in both directions [11.3, 11.4]
 *   negotiation   NO and NR, phases, crossing offers [6, 11.18, 11.19]
 *   progress      PQ, PA, PR, AQ, AA [11.20 - 11.24]
 *
 * The transactions are the role's: struct ocp_core_role.
 *
 * INV-OCP-C1  at most one offer of ours is unanswered. INV-OCP-C2  while a phase is open nothing but the messages
 * of section 6.1 goes out; the others are held, in their order, and go out when it ends. INV-OCP-C3  groups, held octets,
 * unanswered queries and the copy of the offer are bounded by struct ocp_core_limits.
 */
#ifndef OCP_CORE_H
#define OCP_CORE_H

#include "ocp/ocp.h"
#include "ocp/ocp_profile.h"

struct ocp_agent;
struct ocp_xaction;

#define OCP_CORE_GROUPS_MAX 256	       /* default, each direction */
#define OCP_CORE_SERVICES_MAX (1u << 20) /* octets of the services of all groups of the peer */
#define OCP_CORE_HELD_MAX (4u << 20)   /* octets held while a phase is open */
#define OCP_CORE_QUERIES_MAX 16	       /* PQ of the owner, and AQ, unanswered at once */
#define OCP_CORE_NEGOTIATION_US 10000000 /* default of negotiation_us */

/* A service group, made by us or by the peer [11.3]. */
struct ocp_group {
	struct ocp_group *next;
	uint32_t id;
	uint32_t xactions;	  /* open ones that use it; the role counts */
	struct ocp_list services; /* own copy */
	bool agreed;		  /* an application profile is in force for transactions begun from now on */
	struct ocp_profile profile; /* agreed: content_encodings is an own copy */
	bool drop;		  /* SGD received, or to be sent, as soon as xactions is 0; not for new transactions */
	void *role;		  /* for the role */
	char *mem;		  /* of services */
	char *profile_mem;
};

/* What the role says to one feature of the peer's offer. */
enum ocp_choice {
	OCP_CHOICE_ACCEPT,
	OCP_CHOICE_REJECT,  /* known, not possible now: goes into Rejects */
	OCP_CHOICE_UNKNOWN, /* goes into Unknowns */
	OCP_CHOICE_INVALID, /* a member of it is: CE 400 */
};

struct ocp_core_role {
	/* The processor offers right after its CS; the callout server expects that [6.1]. */
	bool expects_offer;
	/*
	 * The peer offers feature f for its group g (NULL: the connection). Accept: *answer is what the NR carries; its
	 * strings last until the call returns to the core (use a->core.answer_buf). Called in the order of the list until
	 * one is accepted.
	 */
	enum ocp_choice (*choose)(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *f,
				  struct ocp_uri *answer);
	/* The NR with this answer has gone out: it is in force [11.19]. */
	void (*chosen)(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *answer);
	/*
	 * The peer's valid answer to our offer for our group g (NULL: the connection). feature NULL: rejected. 0, or the
	 * fault that makes it invalid (CE 400). May send the next offer.
	 */
	enum ocp_fault (*answered)(struct ocp_agent *a, struct ocp_group *g, const struct ocp_uri *feature,
				   const struct ocp_msg *m);
	/* A phase ended, or the first negotiation did: what waited may go on. */
	void (*resume)(struct ocp_agent *a);
	/* TS, TE, AMS, ..., DWM: connection and phase checked, head valid, xid not. */
	void (*message)(struct ocp_agent *a, const struct ocp_msg *m);
	/* PA (solicited or not) and PR about x, whose Org-Data is checked to be not more than sent or received. */
	void (*progress)(struct ocp_agent *a, struct ocp_xaction *x, bool has_org_data, uint32_t org_data);
	/* A rule broken in x's scope: TE 400 (unless x is the peer's TE itself) and tell the owner. x is gone afterwards. */
	void (*violation)(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f);
	/* x makes no progress: TE {400}, after the AME that a message begun is owed [11.8]. x stays. */
	void (*give_up)(struct ocp_agent *a, struct ocp_xaction *x);
	/* The agent works on the original of x: PA and PR carry Org-Data [11.23]. */
	bool (*original_open)(const struct ocp_xaction *x);
	/* xid has been introduced on this connection. */
	bool (*introduced)(const struct ocp_agent *a, uint32_t xid);
	/* AQ: do we support it at all [11.21]. */
	bool (*supports)(struct ocp_agent *a, const struct ocp_uri *f);
};

/* A PQ of ours that waits for its PA; they come back in order. */
struct ocp_query {
	uint32_t rid, xid;
	bool has_xid;
	bool owner; /* asked by ocp_*_probe, not by the timers */
	bool maintained, original; /* early: what the answer said */
};

struct ocp_core {
	const struct ocp_core_role *role;
	uint32_t groups_max, held_max;
	uint64_t negotiation_us;

	bool cs_received;
	bool no_received; /* at least one that was not disregarded */
	bool ready;	  /* CS received and the first negotiation is over */
	/* groups, newest first */
	struct ocp_group *ours, *theirs;
	uint32_t n_ours, n_theirs;
	size_t theirs_octets; /* of the peer's services */
	int64_t last_ours, last_theirs; /* sg-id, -1: none */
	/* negotiation */
	bool offering; /* our NO waits for its NR */
	bool crossed;  /* ... and an offer of the peer has been disregarded meanwhile */
	bool first_answered;
	struct ocp_group *offer_group;
	char *offer;	/* features offered, wire form */
	size_t offer_len, offer_cap;
	bool more;			   /* the role has more to offer: Offer-Pending of an NR */
	bool pending_ours, pending_theirs; /* Offer-Pending of the last NO or NR of each side */
	bool phase;			   /* open for us: only its messages may be sent */
	bool peer_phase;		   /* open for the peer, as far as we can know: it must not send others */
	uint64_t negotiation_since;	   /* last step of a negotiation that is under way */
	uint32_t features;		   /* connection-scoped ones in force; mask of enum ocp_feature */
	struct ocp_group connection;	   /* connection-scoped profile: agreed, profile */
	char answer_buf[1024];
	/* held while a phase is open */
	char *held;
	size_t held_len, held_cap;
	bool overrun; /* more than held_max: the connection ends at the next input or tick */
	/* PA of the owner's queries that came before the connection was ready */
	struct ocp_query early[OCP_CORE_QUERIES_MAX];
	uint32_t n_early;
	/* queries */
	struct ocp_query *queries; /* ring */
	uint32_t q_head, q_count, q_size, q_owner;
	struct ocp_uri asked_features[OCP_CORE_QUERIES_MAX]; /* AQ unanswered, in order; own copies */
	uint32_t n_asked_features;
};

/* --- life --- */

/* After ocp_agent_init, when the connection speaks core. 0; -ENOMEM. */
int ocp_core_init(struct ocp_agent *a, const struct ocp_core_role *role);
void ocp_core_fini(struct ocp_agent *a);
/* Sends our CS: the processor when it connects, the callout server when the peer's has come. */
int ocp_core_start(struct ocp_agent *a, uint64_t now_us);
/* The callout server's answer to a first message that is not CS: `CS;` `CE {400};`, then OCP_END_OUTSIDE. */
void ocp_core_not_cs(struct ocp_agent *a);
/* Every message of a core connection (ocp_agent.c). */
void ocp_core_dispatch(struct ocp_agent *a, const struct ocp_msg *m);
/* INV-OCP-C2: m must wait for the end of a phase. */
bool ocp_core_holds(const struct ocp_agent *a, enum ocp_msg_type type);
/* -ENOBUFS: held_max, the connection is about to end (CE 400). -EINVAL: payload is in pieces (NULL with len). */
int ocp_core_hold(struct ocp_agent *a, const struct ocp_msg *m, const char *head, size_t n, const void *payload,
		  size_t len);
/* Negotiations that make no progress [2.7]. */
void ocp_core_tick(struct ocp_agent *a);
uint64_t ocp_core_next_deadline(const struct ocp_agent *a);

/* --- invalid input [5] --- */

/* Connection scope, or unknown: CE 400 with the fault's text as reason, then OCP_END_VIOLATION. */
void ocp_core_fail(struct ocp_agent *a, enum ocp_fault f);
/* CE 400 with this reason, then OCP_END_DEAD [2.7]. */
void ocp_core_dead(struct ocp_agent *a, const char *reason);
/* Transaction scope: counts and tells the fault, role->violation. */
void ocp_core_violation(struct ocp_agent *a, struct ocp_xaction *x, enum ocp_fault f);
/* TE 400 for an xid without a transaction. */
void ocp_core_refuse_xid(struct ocp_agent *a, uint32_t xid, enum ocp_fault f);

/* The transaction that m is about. NULL: dealt with: TE 400 for an xid never introduced; one that has ended is ignored. */
struct ocp_xaction *ocp_core_find(struct ocp_agent *a, const struct ocp_msg *m);

/* --- groups --- */

/* Usable for new transactions and offers; NULL: no such group. */
struct ocp_group *ocp_core_group(struct ocp_group *list, uint32_t id);
/* SGC. 0; -ENOSPC: groups_max; -EOVERFLOW: ids used up; -ENOMEM; -ENOTCONN. */
int ocp_core_group_create(struct ocp_agent *a, const struct ocp_list *services, struct ocp_group **g);
/* SGD; g is gone. Only with xactions 0 and no offer for it unanswered. */
int ocp_core_group_destroy(struct ocp_agent *a, struct ocp_group *g);
/* A transaction uses g, or does not any more: the last one out executes what `drop` asks for. */
void ocp_core_group_get(struct ocp_group *g);
void ocp_core_group_put(struct ocp_agent *a, struct ocp_group *g);
/* The profile of transactions of g: the group's or the connection's; NULL: none. */
const struct ocp_profile *ocp_core_profile(const struct ocp_agent *a, const struct ocp_group *g);
/* Puts a profile in force for g (NULL: the connection); copies. -ENOMEM. */
int ocp_core_agree(struct ocp_agent *a, struct ocp_group *g, const struct ocp_profile *p);
/* An application profile for g (NULL: the connection) would meet another one in the other scope [6, 11.18]. */
bool ocp_core_conflict(const struct ocp_agent *a, const struct ocp_group *g);

/* --- negotiation --- */

/* NO. g: one of ours, NULL: connection. pending: Offer-Pending. -EALREADY: one is unanswered; others as send. */
int ocp_core_offer(struct ocp_agent *a, const struct ocp_list *features, struct ocp_group *g, bool pending);
/* The feature is one of l, by its URI. *offered: the item (NULL allowed). */
bool ocp_list_has(const struct ocp_list *l, struct ocp_str uri, struct ocp_uri *offered);

/* --- progress --- */

/* PQ. *rid: invented here, for ops.alive. -EBUSY: too many unanswered. */
int ocp_core_probe(struct ocp_agent *a, bool owner, bool with_xid, uint32_t xid, uint32_t *rid);
/* PR, with Org-Data while its original is open. */
int ocp_core_report(struct ocp_agent *a, const struct ocp_xaction *x);
/* AQ; the answer comes as on_feature with SUPPORTED or UNSUPPORTED. -EBUSY. */
int ocp_core_ask(struct ocp_agent *a, struct ocp_str uri);
#endif
