/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The callout server's side of one OCP connection: state machine without
 * transport and clock, the mirror of ocp_processor.h (same ways of input,
 * output, time, call-backs, names and lifetimes; read its head first).
 *
 * Order of calls: create, input*, ..., [end], destroy. Calls before the peer's connection-start and
 * after the end of the connection answer -ENOTCONN.
 *
 * Both dialects of the binding (section 3) give the same calls and call-backs: the first message tells
 * which one the connection speaks (ocp_server_dialect), the agent translates. Where a dialect
 * cannot say something, that stands at the call. In the core dialect (RFC 4037) a transaction has one
 * original, am_id 1, and one adapted message, am_id 2.
 *
 * Callbacks come out of input, eof, tick and end only. They may call any function here except
 * create, destroy, input, eof and tick.
 *
 * INV-OCP-S1  every xaction_start that the owner accepted is followed by exactly one of: callback
 * xaction_end, or the owner's own ocp_server_xaction_end / ocp_server_refuse (no callback
 * afterwards). INV-OCP-S2  per transaction at most one am_start (the original, <29>), then data*,
 * then at most one original_end, in this order. INV-OCP-S3  data comes without gap or overlap,
 * beginning at offset 0. INV-OCP-S4  ocp_server_as_is sends only what the processor is committed to
 * keep (<89>).
 */
#ifndef OCP_SERVER_H
#define OCP_SERVER_H

#include "ocp/ocp.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ocp_server;
struct ocp_profile; /* ocp_profile.h */

struct ocp_original_ending {
	bool ok; /* complete */
	bool partial; /* ok, but the processor stopped it early: AME 206 after ocp_server_stop_receiving */
	enum ocp_fault
		fault; /* !ok: rule the processor broke, else none (it aborted the message) */
	struct ocp_result result; /* the processor's; code 0: none */
};

struct ocp_server_ops {
	/* Required. See ocp.h. */
	ocp_output_fn output;
	/* The rest may be NULL.
	 * connection-start <58>. client: for logs only <34>. Non-zero refuses: connection-end with
	 * error. */
	int (*connection_start)(void *ctx, struct ocp_str client, int32_t priority);
	void (*priority)(void *ctx, int32_t priority); /* connection-priority <65> */
	/* The connection is over: close the transport, after what output took has been sent. */
	void (*closed)(void *ctx, enum ocp_end how, const struct ocp_result *result);
	void (*feature)(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a);
	/*
	 * Core: the processor offers an application profile (NO) for a service group; services: its list, empty when
	 * the offer is for the whole connection. p: as offered; the owner edits it into what it accepts (aux_parts:
	 * a subset; Pause-At-Body and the like). Non-zero: not this one. The first one of an offer's list that is
	 * accepted is agreed on. NULL op: HTTP profiles are accepted without auxiliary parts and parameters.
	 */
	int (*offer)(void *ctx, const struct ocp_list *services, struct ocp_profile *p);
	void (*alive)(void *ctx, uint32_t rid, bool has_xid, bool has_am_id);
	void (*fault)(void *ctx, void *user, enum ocp_fault f, enum ocp_msg_type msg);

	/* xaction-start. service: the transaction's own, or the connection's default <70>. Stores
	 * the owner's pointer in *user. Non-zero refuses: xaction-end with error and result 400.
	 * NULL op: refuses all. */
	int (*xaction_start)(void *ctx, uint32_t xid, const struct ocp_uri *service, void **user);
	/* The original begins. Non-zero refuses it: app-message-end with error and result 400
	 * (<77>). */
	int (*am_start)(void *ctx, void *user, const struct ocp_am_info *am);
	void (*data)(void *ctx, void *user, const struct ocp_data *data);
	void (*original_end)(void *ctx, void *user, const struct ocp_original_ending *end);
	/* data-paused <95>: nothing more until ocp_server_need. */
	void (*paused)(void *ctx, void *user);
	/* Core: the processor wants no more of our adapted message for now (DWP); it has been answered (DPM), or will be
	 * at the offset it named. From then on ocp_server_data and ocp_server_as_is answer -EAGAIN ... */
	void (*pause)(void *ctx, void *user);
	/* ... until this (DWM), which also comes without a pause. request: suggested octets, 0 any. */
	void (*need)(void *ctx, void *user, uint32_t request);
	/* Core: the processor lets us leave the loop (DSS, see ocp_server_leave_loop). Send what is made of the original
	 * so far, then call ocp_server_leave_loop again. 0: the agent does that, unless it has been done. Non-zero: the
	 * processor pauses us, and there is something to send first: it will be called after ops.need. What
	 * still comes of the original is the processor's own then, and not told. */
	int (*leave_now)(void *ctx, void *user);
	/* data-ack by the processor for our data-have with `ack` <87>. */
	void (*ack)(void *ctx, void *user, uint32_t am_id, uint64_t offset, uint64_t size);
	/* The processor aborted our adapted message (or ended it, error false): its am_id is dead.
	 */
	void (*am_end)(void *ctx, void *user, uint32_t am_id, bool error,
		       const struct ocp_result *result);
	/* INV-OCP-S1. The xid is dead already. how: NORMAL, REFUSED (processor's xaction-end with
	 * error), ... */
	void (*xaction_end)(void *ctx, void *user, const struct ocp_xaction_ending *end);
};

struct ocp_server_config {
	struct ocp_limits limits;
	uint32_t dialects;	/* mask of OCP_HAS(enum ocp_dialect) that are accepted */
	uint32_t xactions_max;	/* open at once; refused beyond */
	uint32_t ams_max;	/* adapted messages open at once per transaction: -EBUSY beyond */
	uint32_t ranges_max;	/* separate committed ranges followed per transaction; octets beyond
				 * count as    not committed */
	uint32_t groups_max;	/* core: service groups at a time; CE 400 beyond */
	uint32_t features;	/* mask: what we accept and support; HTTP profiles in core only, others in the draft only */
	bool ack_all;		/* acknowledge every data-have, agreed or not <108> */
	uint64_t idle_probe_us; /* nothing received for so long: are-you-there; 0 = never */
	uint64_t probe_timeout_us;
	uint64_t negotiation_us; /* core: no first offer, or a negotiation phase without a step, for so long: CE 400;
				  * 0 = never */
	uint64_t deadline_us; /* transaction without any message for so long: the processor is asked
			       * about the xid; not maintained any more or no answer: xaction_end. 0
			       * = never */
};
#define OCP_SERVER_CONFIG_DEFAULT                                                                  \
	((struct ocp_server_config){.limits = OCP_LIMITS_DEFAULT,                                  \
				    .dialects = OCP_HAS(OCP_DIALECT_DRAFT) | OCP_HAS(OCP_DIALECT_CORE),                       \
				    .xactions_max = 4096,                                          \
				    .ams_max = 16,                                                 \
				    .ranges_max = 64,                                              \
				    .groups_max = 64,                                              \
				    .features = OCP_FEATURES_OURS | OCP_HAS(OCP_FEATURE_HTTP_REQUEST) | \
						OCP_HAS(OCP_FEATURE_HTTP_RESPONSE),                \
				    .idle_probe_us = 5000000,                                      \
				    .probe_timeout_us = 2000000,                                   \
				    .negotiation_us = 10000000,                                    \
				    .deadline_us = 60000000})

/* As ocp_processor_create. now_us: starts the idle clock. */
int ocp_server_create(struct ocp_server **out, const struct ocp_server_config *cfg,
		      const struct ocp_server_ops *ops, void *ctx, uint64_t now_us);
void ocp_server_destroy(struct ocp_server *s);

/* --- connection (as in ocp_processor.h) --- */

int ocp_server_input(struct ocp_server *s, const void *buf, size_t len, void *cookie,
		     uint64_t now_us);
void ocp_server_eof(struct ocp_server *s);
void ocp_server_end(struct ocp_server *s, bool error, const struct ocp_result *result);
uint64_t ocp_server_next_deadline(const struct ocp_server *s);
void ocp_server_tick(struct ocp_server *s, uint64_t now_us);
int ocp_server_probe(struct ocp_server *s, bool with_xid, uint32_t xid, bool with_am_id,
		     uint32_t am_id, uint32_t *rid, uint64_t now_us);
/* please-use, do-you-support; core: NO for the whole connection, AQ. -EALREADY: an offer of ours is unanswered; -EAGAIN: a
 * negotiation is under way; -EBUSY: too many questions. What copied, as-is and leave-loop stand for is part of the protocol
 * in core: asking for them does nothing; -ENOTSUP: ack-all, and application profiles, which processors offer. */
int ocp_server_please_use(struct ocp_server *s, struct ocp_str uri);
int ocp_server_do_you_support(struct ocp_server *s, struct ocp_str uri);
uint32_t ocp_server_features(const struct ocp_server *s);
/* Of the connection <35>: serve readable connections of higher priority first, starve none. */
int32_t ocp_server_priority(const struct ocp_server *s);
/* What the connection speaks; before its first message OCP_DIALECT_DRAFT, or core when that alone is accepted. */
enum ocp_dialect ocp_server_dialect(const struct ocp_server *s);
enum ocp_end ocp_server_over(const struct ocp_server *s);
uint32_t ocp_server_xactions(const struct ocp_server *s);
const struct ocp_counters *ocp_server_counters(const struct ocp_server *s);

/* --- transactions --- */

/* All: -ENOENT when xid, or an am_id that is not ours and open, is unknown; on error nothing was
 * sent. */

/* i-am-here with the xid, without solicitation <114>, PR: a slow service shows that it still works on
 * it. */
int ocp_server_working(struct ocp_server *s, uint32_t xid);

/* app-message-start of an adapted message. meta empty: as the original's. send: modified, sizep,
 * modp, am_el (NULL: none). *am_id: its name. -EBUSY: ams_max; core: one has been begun. -EOVERFLOW.
 * Core: of meta, only the `Kind` matters: an answer to a request is told by its parts; modp goes out
 * with the first data; modified and sizep have no place on the wire. */
int ocp_server_am_start(struct ocp_server *s, uint32_t xid, struct ocp_str meta,
			const struct ocp_send *send, uint32_t *am_id);
/* data-have: next len octets of am_id; split at limits.payload. -EPIPE: its data_end was sent. Core: -EAGAIN while the
 * processor pauses us; -EINVAL when send->part is missing under an application profile, is not one of the adapted
 * message's parts, or comes out of their order (RFC 4236 section 3.2.1); -EFBIG past 2147483647 octets. */
int ocp_server_data(struct ocp_server *s, uint32_t xid, uint32_t am_id, const void *data,
		    size_t len, void *cookie, const struct ocp_send *send);
/* data-as-is: next octets of am_id are size octets of the original from src_offset on. -EPERM: not
 * (wholly) under commitment; core: auxiliary parts never are. Otherwise as ocp_server_data. */
int ocp_server_as_is(struct ocp_server *s, uint32_t xid, uint32_t am_id, uint64_t src_offset,
		     uint64_t size, enum ocp_part part);
/* True when as_is would find the range under commitment. */
bool ocp_server_committed(const struct ocp_server *s, uint32_t xid, uint64_t src_offset,
			  uint64_t size);
/* data-end: am_id is complete; ok false: app-message-end with error. */
int ocp_server_data_end(struct ocp_server *s, uint32_t xid, uint32_t am_id, bool ok);
/* app-message-end. result NULL: none. */
int ocp_server_am_end(struct ocp_server *s, uint32_t xid, uint32_t am_id, bool error,
		      const struct ocp_result *result);
/* data-pause <92>, DWP. The processor stops after what is under way and answers (ops.paused). */
int ocp_server_pause(struct ocp_server *s, uint32_t xid);
/* data-need <101>, DWM: the amount received is filled in; request: suggested octets, 0 = any. */
int ocp_server_need(struct ocp_server *s, uint32_t xid, uint32_t request);
/* data-ack <106>; wont_forward ends the processor's commitment for the range <107>. -EINVAL: octets
 * not received. Core: acknowledgements are progress reports (PR); what is given up from the front or the back of the
 * range that the processor keeps is told by DPI, a hole in it stays kept and is not told. */
int ocp_server_ack(struct ocp_server *s, uint32_t xid, uint64_t offset, uint64_t size,
		   bool wont_forward);
/*
 * Leaves the loop: am_id goes on with the original, as is, from rest on.
 *
 * Draft: when am_id's last octets came from as_is, rest is where that range ended in the original;
 * otherwise it is the end of the last data-have given to ops.data, and a final data-as-is of size 0
 * says so. Then data-end {206} and xaction-end go out and the transaction is over (no callback): 0.
 * -ENOTSUP: feature leave-loop not in use. -EPERM: the last octet before rest is not under
 * commitment. Call it between data-haves: from ops.data only with the slice whose last is true.
 *
 * Core: 1, DWSS and DWSR have been sent and everything goes on as before until ops.leave_now; then
 * rest is what the processor sends from then on, and the call sends AME {206} and TE: 0, the
 * transaction is over. -EALREADY: asked before. -EPERM: the processor has ended the original, there is nothing left
 * to leave.
 */
int ocp_server_leave_loop(struct ocp_server *s, uint32_t xid, uint32_t am_id);
/* Core: no more than size octets of the original are wanted (DWSR); the processor may end it there, which ops.original_end
 * tells as ok and partial. The adapted message must be complete nevertheless. -ENOTSUP: the draft has no such
 * message. */
int ocp_server_stop_receiving(struct ocp_server *s, uint32_t xid, uint64_t size);
/* Octets of the adapted message that can be sent before a pause that the processor asked for at an offset (DWP): more
 * than that in one call goes out whole, then the pause begins. UINT64_MAX: no such offset; 0: paused now, or no such
 * transaction. */
uint64_t ocp_server_room(const struct ocp_server *s, uint32_t xid);
/* Core: the services that the transaction's group names, in the order in which they are to be applied; ops.xaction_start
 * got the first one. Empty in the draft. Valid while the transaction is open. */
struct ocp_list ocp_server_services(const struct ocp_server *s, uint32_t xid);
/* Core: the application profile of the transaction, as agreed; NULL: none. */
const struct ocp_profile *ocp_server_profile(const struct ocp_server *s, uint32_t xid);
/* xaction-end. result NULL: none. */
int ocp_server_xaction_end(struct ocp_server *s, uint32_t xid, bool error,
			   const struct ocp_result *result);
/* xaction-end with error, result 400 and a reason for humans (NULL: none). */
int ocp_server_refuse(struct ocp_server *s, uint32_t xid, const char *reason);
/* Octets of the original received so far; false: no such transaction. */
bool ocp_server_received(const struct ocp_server *s, uint32_t xid, uint64_t *received);

#ifdef __cplusplus
}
#endif
#endif
