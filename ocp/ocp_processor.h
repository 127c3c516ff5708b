/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The OPES processor's side of one OCP connection: state machine without
 * transport and clock. Octets that the transport read go into
 * ocp_processor_input(); what is to be written comes out of ops.output; time
 * is the now_us parameter (microseconds of any monotonic clock).
 *
 * Order of calls:
 *   create, connect, [please_use ...], xaction_start, data*, data_end, ..., [end], destroy
 * All but create before connect answer -ENOTCONN; after the end of the connection (ops.closed)
 * everything but the getters and destroy answers -ENOTCONN.
 *
 * Transactions are named by xid (the agent hands them out); a call for one that is over answers
 * -ENOENT, so a stale xid is harmless. Looking one up takes constant time.
 *
 * Callbacks come out of input, eof, tick and end only. They may call any function here except
 * create, destroy, input, eof and tick. Strings and slices are valid during the callback.
 *
 * Both dialects of the binding (section 3; config.dialect) have the same calls and call-backs, the agent
 * translates; where a dialect cannot say something, that stands at the call. In the core dialect (RFC
 * 4037, section numbers in brackets; application profiles: RFC 4236)
 *   - connect sends CS, an SGC for each offer, and NO; until the peer's CS and its answers to all offers have
 *     come, starts answer -EAGAIN and ops.alive is not called, so that "the probe is answered" means "usable" in both;
 *   - a transaction has one original, am_id 1, and one adapted message, am_id 2, whose am_start comes with the
 *     first octet of it, because only that tells what it is;
 *   - invalid input ends the transaction (TE 400) or the connection (CE 400) [5]; ops.fault names the rule;
 *   - when both messages have ended the agent says TE and the transaction is over, without waiting for the peer's; xaction_end
 *     comes at once, or with the next input or tick when a call of the owner was the last thing needed;
 *   - xaction_end of the owner says "I send no more" (TE); what the peer still sends for that xid is ignored;
 *   - nothing passes 2147483647 octets [10.3];
 *   - `modified` is not said: As-is is a hint, checked and not handed on; modp 0 says "certainly not".
 *
 * INV-OCP-P1  every am_start is followed by exactly one am_end for that am_id.
 * INV-OCP-P2  every xaction_start that returned 0 is followed by exactly one of: a callback
 * xaction_end, or the owner's own call of ocp_processor_xaction_end (no callback for that
 * transaction afterwards). All its am_end come before. After destroy nothing comes. INV-OCP-P3
 * closed comes exactly once, after the xaction_end of every transaction open then. INV-OCP-P4
 * am_data and am_as_is of one am_id come without gap or overlap, beginning at offset 0 (<85>).
 * INV-OCP-P5  am_as_is refers only to octets sent with `copied` and not yet given up by
 * wont_forward (<89>). INV-OCP-P6  between pause and need, ocp_processor_data sends nothing
 * (-EAGAIN) (<95>).
 */
#ifndef OCP_PROCESSOR_H
#define OCP_PROCESSOR_H

#include "ocp/ocp.h"
#include "ocp/ocp_profile.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ocp_processor;

/* The adapted message's next octets are size octets of the original from src_offset on. */
struct ocp_as_is {
	uint32_t am_id;
	uint64_t offset;     /* in the adapted message */
	uint64_t src_offset; /* in the original */
	uint64_t size;	     /* may be 0 */
	enum ocp_part part;
};

struct ocp_am_ending {
	uint32_t am_id;
	bool ok;		  /* complete; otherwise aborted, by the peer or by us */
	enum ocp_fault fault;	  /* !ok: the rule that the peer broke, else OCP_FAULT_NONE */
	bool left;		  /* ok: the service left the loop, see ops.left */
	struct ocp_result result; /* the peer's, code 0: none */
};

struct ocp_processor_ops {
	/* Required. See ocp.h. */
	ocp_output_fn output;
	/* The rest may be NULL.
	 * The connection is over: close the transport (after what output took has been sent, when
	 * how is OCP_END_LOCAL, MALFORMED, VIOLATION, OUTSIDE or, in core, DEAD). */
	void (*closed)(void *ctx, enum ocp_end how, const struct ocp_result *result);
	/* The peer's word about a feature: uri as on the wire (f == OCP_FEATURE_MAX: not a known
	 * one). */
	void (*feature)(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a);
	/* Answer to ocp_processor_probe: what the peer said it still maintains. */
	void (*alive)(void *ctx, uint32_t rid, bool has_xid, bool has_am_id);
	/* A broken rule (also those that are merely ignored), for logs; user is NULL when no
	 * transaction is concerned. Counted in any case. The only callback (with output) that must
	 * not call the agent. */
	void (*fault)(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg);

	/* Of one transaction; user as given to xaction_start. */
	/* An adapted message begins (<78>). Several of one transaction are forwarded in this order.
	 */
	void (*am_start)(void *ctx, void *user, const struct ocp_am_info *am);
	void (*am_data)(void *ctx, void *user, const struct ocp_data *data);
	/* Whoever needs the octets later takes its own references now: a later wont_forward does
	 * not take back what has been referred to. */
	void (*am_as_is)(void *ctx, void *user, const struct ocp_as_is *as_is);
	void (*am_end)(void *ctx, void *user, const struct ocp_am_ending *end);
	/* The service left the loop (feature leave-loop): am_id goes on with everything of the
	 * original from rest on, as is, without callouts. Comes just before its am_end. Nothing
	 * more is sent for the original (data answers -EPIPE); the peer may end the transaction at
	 * once. Core (AME 206 after DSS): the peer leaves the adapted message only; unless it also wants no more of
	 * the original (DWSR), data is accepted again (need follows) and belongs to the service as well [8.2]:
	 * ocp_processor_wanted tells. An owner that cannot do both ends the transaction without error. */
	void (*left)(void *ctx, void *user, uint32_t am_id, uint64_t rest);
	/* data-pause <92>, DWP, DSS: send no more of the original; the agent has answered already. Core: when
	 * the peer named an offset not yet sent, nothing is called: data answers -EAGAIN from there on. */
	void (*pause)(void *ctx, void *user);
	/* data-need <101>, DWM: go on; core also: a negotiation that the peer began is over. resumed: a pause
	 * ended. have: octets the peer says it has; request: octets it suggests, 0 = any. Not called when not
	 * paused and asked for octets already sent (<103>). */
	void (*need)(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request);
	/* data-ack <106>, core: PA or PR with Org-Data: size octets from offset on were received. */
	void (*ack)(void *ctx, void *user, uint64_t offset, uint64_t size);
	/* data-ack with wont-forward <107>, DPI: the commitment for this range has ended (also told for
	 * octets that were not copied). Core: told for octets already sent; for later ones that the peer has no
	 * interest in, `copied` is left out. */
	void (*wont_forward)(void *ctx, void *user, uint64_t offset, uint64_t size);
	/* The peer ended the original without a failure (app-message-end for our am-id; DWSR, to which the agent
	 * has answered AME 206): send no more data. The adapted message goes on. Core: when
	 * AME 206 goes out in a call of data, this comes with the next input or tick. */
	void (*original_end)(void *ctx, void *user);
	/* Core: DPM, the answer to ocp_processor_am_pause: no adapted data until ocp_processor_am_need. */
	void (*am_paused)(void *ctx, void *user);
	/* INV-OCP-P2. The xid is dead already. */
	void (*xaction_end)(void *ctx, void *user, const struct ocp_xaction_ending *end);
};

/*
 * Core: an application profile that is offered for a service [6]. Each one becomes a service group of its own:
 * SGC, then NO with this one feature and SG. aux_parts of the profile: those that the owner can send;
 * pause_at_body and the like are the server's to say (-1).
 */
struct ocp_offer {
	struct ocp_uri service;
	struct ocp_profile profile;
};

struct ocp_processor_config {
	enum ocp_dialect dialect;
	struct ocp_limits limits;
	uint32_t xactions_max;	/* open at once; xaction_start answers -EBUSY beyond */
	uint32_t ams_max;	/* adapted messages open at once per transaction; refused beyond */
	uint32_t ranges_max;	/* separate committed ranges per transaction; -ENOSPC beyond */
	uint32_t features;	/* mask: what we accept when the peer offers, say we support */
	uint64_t idle_probe_us; /* nothing received for so long: are-you-there; 0 = never */
	uint64_t probe_timeout_us;
	/* Deadline of a transaction without progress (nothing sent or received for it); 0 = never.
	 * When it passes, the peer is asked about the xid, in the draft also about the original while that
	 * is not complete <113>. Not maintained any more, one of the two: xaction_end LOST. Still
	 * maintained: the deadline starts again, but after deadline_grace such answers in a row the
	 * transaction ends with DEADLINE if the peer has the turn: the original has ended, the peer paused
	 * us, or ocp_processor_expect said so; not while ocp_processor_am_pause holds. No answer within
	 * probe_timeout: DEADLINE, too. */
	uint64_t deadline_us;
	uint32_t deadline_grace;
	/* core only */
	const struct ocp_offer *offers; /* copied by create */
	unsigned noffers;		/* 0: `NO ();` */
	uint32_t groups_max;		/* service groups of each side; those of ours -ENOSPC, the peer's CE 400 beyond */
	/* An offer unanswered, or a negotiation phase without a step, for so long: CE 400 [2.7]; 0 = never */
	uint64_t negotiation_us;
};
#define OCP_PROCESSOR_CONFIG_DEFAULT                                                               \
	((struct ocp_processor_config){.limits = OCP_LIMITS_DEFAULT,                               \
				       .xactions_max = 4096,                                       \
				       .ams_max = 16,                                              \
				       .ranges_max = 64,                                           \
				       .features = OCP_FEATURES_OURS,                              \
				       .idle_probe_us = 5000000,                                   \
				       .probe_timeout_us = 2000000,                                \
				       .deadline_us = 30000000,                                    \
				       .deadline_grace = 1,                                        \
				       .groups_max = 256,                                          \
				       .negotiation_us = 10000000})

/* cfg (NULL: defaults) and ops are copied. 0; -EINVAL; -ENOMEM. */
int ocp_processor_create(struct ocp_processor **out, const struct ocp_processor_config *cfg,
			 const struct ocp_processor_ops *ops, void *ctx);
/* No callbacks; not from within one. NULL allowed. */
void ocp_processor_destroy(struct ocp_processor *p);

/* --- connection --- */

/* Sends connection-start <58>; core: CS, SGC of every offer, NO (client and priority are the draft's). The
 * transport is up. client: description, may be empty. priority 0 is not sent. -EALREADY: done before. */
int ocp_processor_connect(struct ocp_processor *p, struct ocp_str client, int32_t priority,
			  uint64_t now_us);
/* <65>. Core: -ENOTSUP. */
int ocp_processor_priority(struct ocp_processor *p, int32_t priority);
/* <67> default service. Core: only noted; its group is that of an offer or is made (SGC) at its first start. */
int ocp_processor_service(struct ocp_processor *p, const struct ocp_uri *s);
/* Core: SGD for the groups of a service, those in use when their last transaction ends. Starts of it
 * make a new group, without profile. -ENOENT: none. */
int ocp_processor_group_drop(struct ocp_processor *p, const struct ocp_uri *service);
/* The profile agreed on for a service (NULL: the default), as answered; NULL: none (yet). */
const struct ocp_profile *ocp_processor_profile(const struct ocp_processor *p, const struct ocp_uri *service,
						enum ocp_feature profile);
/* please-use / do-you-support; core: NO for the whole connection, AQ. The answer comes as ops.feature. uri:
 * any, see ocp_feature_uri. Core: what this project's own features mean is part of the protocol there, so
 * please_use of copied, as-is and leave-loop sends nothing and they are in use from the beginning; -ENOTSUP: ack-all;
 * -EAGAIN: a negotiation is under way; -EBUSY: too many questions. */
int ocp_processor_please_use(struct ocp_processor *p, struct ocp_str uri);
int ocp_processor_do_you_support(struct ocp_processor *p, struct ocp_str uri);
/* In use on this connection: mask. */
uint32_t ocp_processor_features(const struct ocp_processor *p);

/*
 * len octets from the transport, all consumed. cookie comes back with the slices inside buf (a
 * buffer's reference-counted owner). 0; -ENOTCONN: the connection is over (closed has been called
 * now or earlier), rest of the input ignored.
 */
int ocp_processor_input(struct ocp_processor *p, const void *buf, size_t len, void *cookie,
			uint64_t now_us);
/* The transport was closed or failed. */
void ocp_processor_eof(struct ocp_processor *p);
/* Sends connection-end <62>, ends all transactions, calls closed(OCP_END_LOCAL). result NULL: none.
 */
void ocp_processor_end(struct ocp_processor *p, bool error, const struct ocp_result *result);

/* Timers: call tick when now >= next_deadline (UINT64_MAX: none). Earlier or later is harmless. */
uint64_t ocp_processor_next_deadline(const struct ocp_processor *p);
void ocp_processor_tick(struct ocp_processor *p, uint64_t now_us);

/* are-you-there <117>, PQ (am_id is not sent; has_am_id of the answer: the original is open there). xid 0 is
 * a valid id, hence the flags; am_id without xid is -EINVAL. *rid: as in ops.alive. Core: -EBUSY past
 * 16 unanswered. */
int ocp_processor_probe(struct ocp_processor *p, bool with_xid, uint32_t xid, bool with_am_id,
			uint32_t am_id, uint32_t *rid, uint64_t now_us);

enum ocp_end ocp_processor_over(const struct ocp_processor *p); /* OCP_END_NONE: still up */
uint32_t ocp_processor_xactions(const struct ocp_processor *p); /* open now */
const struct ocp_counters *ocp_processor_counters(const struct ocp_processor *p);

/* --- transactions --- */

struct ocp_start {
	const struct ocp_uri *service; /* NULL: the default (-EINVAL when there is none) */
	enum ocp_feature profile;      /* core: OCP_FEATURE_HTTP_...; OCP_FEATURE_MAX: none, an opaque stream */
	struct ocp_str meta;	       /* draft: not empty (-EINVAL; binding section 5); core: not sent */
	int64_t sizep;		       /* draft; -1: none */
	int32_t modp;		       /* -1: none; core: goes out with the first data */
	int64_t am_el;		       /* core: AM-EL, exact octets of the body; -1: not known (RFC 4236 3.3) */
};
#define OCP_START_INIT ((struct ocp_start){.profile = OCP_FEATURE_MAX, .sizep = -1, .modp = -1, .am_el = -1})

/*
 * xaction-start and app-message-start (am-id 1) in one go; core: SGC when the service has no group yet, TS, AMS.
 * *xid: name of the transaction. -EBUSY: xactions_max; -EOVERFLOW: xids used up, take a new
 * connection (core: this one ends by itself, at a tick, when its last transaction has [10.2]);
 * -ENOMEM. Core: -EAGAIN: negotiation is not over; -EPROTONOSUPPORT: the profile has not been
 * offered for this service, or was rejected; -ENOSPC: groups_max. On error there is no transaction and
 * no callback will come.
 */
int ocp_processor_xaction_start(struct ocp_processor *p, const struct ocp_start *st, void *user,
				uint32_t *xid, uint64_t now_us);
/*
 * data-have, DUM: the next len octets of the original; the agent counts the offset. More than
 * limits.payload is split. data NULL with len > 0: the octets lie in several pieces that the sink finds by cookie
 * alone (struct ocp_output); they are not split, -EINVAL beyond limits.payload. send NULL: no attributes. copied: the
 * caller now holds the octets until wont_forward or the end of the transaction (<86>). -EAGAIN: paused; need tells when
 * to go on. -EPIPE: data_end was sent, the peer left the loop, ended the original or wants no more of it. -ENOSPC:
 * copied would need more than ranges_max ranges: send without. -ENOENT. On error nothing was sent.
 * Core: copied becomes Kept when it makes the one range that the RFC knows longer [7], otherwise the octets
 * go without commitment (ocp_processor_kept). -EINVAL: no part although the transaction has an HTTP
 * profile, a part that the profile does not have or did not agree on, or out of order. -EOVERFLOW: past 2147483647.
 */
int ocp_processor_data(struct ocp_processor *p, uint32_t xid, const void *data, size_t len,
		       void *cookie, const struct ocp_send *send, uint64_t now_us);
/* Octets that can be sent before a pause or an end that the peer asked for at an offset (DWP, DWSR,
 * Pause-At-Body, Stop-Receiving-Body): more than that in one call goes out whole, then the pause or end begins.
 * part: of the octets to come. UINT64_MAX: no such offset; 0: data will not be taken now, or no such transaction. */
uint64_t ocp_processor_room(const struct ocp_processor *p, uint32_t xid, enum ocp_part part);
/* Core: the range that is under commitment now; draft: the whole of all ranges. False: none. */
bool ocp_processor_kept(const struct ocp_processor *p, uint32_t xid, uint64_t *from, uint64_t *to);
/* The peer takes more of the original: not ended by either side. */
bool ocp_processor_wanted(const struct ocp_processor *p, uint32_t xid);
/* Original complete: data-end, AME; ok false: app-message-end with error, AME 400. Commitments stay until the
 * transaction ends. -EPIPE: ended before. */
int ocp_processor_data_end(struct ocp_processor *p, uint32_t xid, bool ok, uint64_t now_us);
/* app-message-end with error for one adapted message that cannot be used. No am_end follows (P1:
 * this call counts as it). Core: AME of ours can only end the original, so that is for the owner to end the
 * transaction; -ENOTSUP. */
int ocp_processor_am_abort(struct ocp_processor *p, uint32_t xid, uint32_t am_id);
/* Core: the adapted message's sender is asked to pause at an offset of it (0: at once), DWP, or to go on, DWM (request:
 * suggested least octets, 0 any) [11.15, 11.17]; ops.am_paused answers the first. Data after that answer ends the
 * transaction. Draft: -ENOTSUP (<93>, <104>). */
int ocp_processor_am_pause(struct ocp_processor *p, uint32_t xid, uint64_t offset);
int ocp_processor_am_need(struct ocp_processor *p, uint32_t xid, uint32_t request);
/* i-am-here with the xid without solicitation <114>, PR: we still work on it. Core: -EPIPE after TE. */
int ocp_processor_working(struct ocp_processor *p, uint32_t xid);
/* xaction-end <73>, TE (before it AME 206 when the original is open and error is false). result NULL: none. No more
 * callbacks for it. */
int ocp_processor_xaction_end(struct ocp_processor *p, uint32_t xid, bool error,
			      const struct ocp_result *result);
/* The peer has the turn (see deadline_us) until the next data call. */
int ocp_processor_expect(struct ocp_processor *p, uint32_t xid);
/* Octets of the original sent so far; false: no such transaction. */
bool ocp_processor_sent(const struct ocp_processor *p, uint32_t xid, uint64_t *sent);
/* NULL: no such transaction. */
void *ocp_processor_user(const struct ocp_processor *p, uint32_t xid);

#ifdef __cplusplus
}
#endif
#endif
