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
	 * how is OCP_END_LOCAL or OCP_END_MALFORMED). */
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
	 * once. */
	void (*left)(void *ctx, void *user, uint32_t am_id, uint64_t rest);
	/* data-pause <92>: the agent has answered data-paused already. */
	void (*pause)(void *ctx, void *user);
	/* data-need <101>: go on. resumed: a pause ended. have: octets the peer says it has;
	 * request: octets it suggests, 0 = any. Not called when not paused and asked for octets
	 * already sent (<103>). */
	void (*need)(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request);
	/* data-ack <106>: size octets from offset on were received. */
	void (*ack)(void *ctx, void *user, uint64_t offset, uint64_t size);
	/* data-ack with wont-forward <107>: the commitment for this range has ended (also told for
	 * octets that were not copied). */
	void (*wont_forward)(void *ctx, void *user, uint64_t offset, uint64_t size);
	/* The peer ended the original without a failure (app-message-end for our am-id): send no
	 * more data. */
	void (*original_end)(void *ctx, void *user);
	/* INV-OCP-P2. The xid is dead already. */
	void (*xaction_end)(void *ctx, void *user, const struct ocp_xaction_ending *end);
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
	 * When it passes, the peer is asked about the xid. Not maintained any more: xaction_end
	 * LOST. Still maintained: the deadline starts again, but after deadline_grace such answers
	 * in a row the transaction ends with DEADLINE if the peer has the turn: the original has
	 * ended, the peer paused us, or ocp_processor_expect said so. No answer within
	 * probe_timeout: DEADLINE, too. */
	uint64_t deadline_us;
	uint32_t deadline_grace;
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
				       .deadline_grace = 1})

/* cfg (NULL: defaults) and ops are copied. 0; -EINVAL; -ENOMEM; -ENOTSUP: dialect. */
int ocp_processor_create(struct ocp_processor **out, const struct ocp_processor_config *cfg,
			 const struct ocp_processor_ops *ops, void *ctx);
/* No callbacks; not from within one. NULL allowed. */
void ocp_processor_destroy(struct ocp_processor *p);

/* --- connection --- */

/* Sends connection-start <58>: the transport is up. client: description, may be empty. priority 0
 * is not sent. -EALREADY: done before. */
int ocp_processor_connect(struct ocp_processor *p, struct ocp_str client, int32_t priority,
			  uint64_t now_us);
int ocp_processor_priority(struct ocp_processor *p, int32_t priority); /* <65> */
int ocp_processor_service(struct ocp_processor *p,
			  const struct ocp_uri *s); /* <67> default service */
/* please-use / do-you-support; the answer comes as ops.feature. uri: any, see ocp_feature_uri. */
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

/* are-you-there <117>. xid 0 is a valid id, hence the flags; am_id without xid is -EINVAL. *rid: as
 * in ops.alive. */
int ocp_processor_probe(struct ocp_processor *p, bool with_xid, uint32_t xid, bool with_am_id,
			uint32_t am_id, uint32_t *rid, uint64_t now_us);

enum ocp_end ocp_processor_over(const struct ocp_processor *p); /* OCP_END_NONE: still up */
uint32_t ocp_processor_xactions(const struct ocp_processor *p); /* open now */
const struct ocp_counters *ocp_processor_counters(const struct ocp_processor *p);

/* --- transactions --- */

/*
 * xaction-start and app-message-start (am-id 1) in one go. service NULL: the connection's default
 * (-EINVAL when there is none). meta: not empty (-EINVAL; binding section 5). sizep/modp -1: none.
 * *xid: name of the transaction. -EBUSY: xactions_max; -EOVERFLOW: xids used up, take a new
 * connection; -ENOMEM. On error nothing was sent and no callback will come.
 */
int ocp_processor_xaction_start(struct ocp_processor *p, const struct ocp_uri *service,
				struct ocp_str meta, int64_t sizep, int32_t modp, void *user,
				uint32_t *xid, uint64_t now_us);
/*
 * data-have: the next len octets of the original; the agent counts the offset. More than
 * limits.payload is split. data NULL with len > 0: the octets lie in several pieces that the sink finds by cookie
 * alone (struct ocp_output); they are not split, -EINVAL beyond limits.payload. send NULL: no attributes. copied: the caller now holds the octets until
 * wont_forward or the end of the transaction (<86>). -EAGAIN: paused. -EPIPE: data_end was sent,
 * the peer left the loop or ended the original. -ENOSPC: copied would need more than ranges_max
 * ranges: send without. -ENOENT. On error nothing was sent.
 */
int ocp_processor_data(struct ocp_processor *p, uint32_t xid, const void *data, size_t len,
		       void *cookie, const struct ocp_send *send, uint64_t now_us);
/* Original complete: data-end; ok false: app-message-end with error. Commitments stay until the
 * transaction ends. -EPIPE: ended before. */
int ocp_processor_data_end(struct ocp_processor *p, uint32_t xid, bool ok, uint64_t now_us);
/* app-message-end with error for one adapted message that cannot be used. No am_end follows (P1:
 * this call counts as it). */
int ocp_processor_am_abort(struct ocp_processor *p, uint32_t xid, uint32_t am_id);
/* xaction-end <73>. result NULL: none. No more callbacks for it. */
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
