/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * OCP, the OPES callout protocol: messages, encoder, decoder, in both dialects:
 * "draft", the 23 messages of draft-rousskov-opes-ocp, and "core", the 24 of
 * RFC 4037, both in the message format of RFC 4037 section 3.1. Paragraph
 * numbers like <53> are the draft's, section numbers RFC 4037's.
 *
 * libocp needs nothing but libc, keeps no global state, takes no locks and
 * reads no clock. An object belongs to one thread at a time.
 *
 * Layers: this header is the codec (bytes <-> struct ocp_msg). The agents in
 * ocp_processor.h and ocp_server.h own a decoder each and apply the protocol's
 * rules; most programs need only one of those two. ocp_profile.h reads and
 * writes the HTTP profile that the core dialect negotiates.
 *
 * Return values: 0 or -errno unless said otherwise.
 */
#ifndef OCP_OCP_H
#define OCP_OCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OCP_PORT 4037

enum ocp_dialect {
	OCP_DIALECT_DRAFT, /* first message connection-start */
	OCP_DIALECT_CORE,  /* first message CS (RFC 4037) */
	OCP_DIALECT_MAX,
};

/* sections 6.1 - 6.23 of the draft, in its order, then 11.1 - 11.24 of RFC 4037 */
enum ocp_msg_type {
	OCP_MSG_UNKNOWN,
	OCP_MSG_CONNECTION_START,
	OCP_MSG_CONNECTION_END,
	OCP_MSG_CONNECTION_PRIORITY,
	OCP_MSG_CONNECTION_SERVICE,
	OCP_MSG_XACTION_START,
	OCP_MSG_XACTION_END,
	OCP_MSG_APP_MESSAGE_START,
	OCP_MSG_APP_MESSAGE_END,
	OCP_MSG_DATA_HAVE,
	OCP_MSG_DATA_AS_IS,
	OCP_MSG_DATA_PAUSE,
	OCP_MSG_DATA_PAUSED,
	OCP_MSG_DATA_END,
	OCP_MSG_DATA_NEED,
	OCP_MSG_DATA_ACK,
	OCP_MSG_I_AM_HERE,
	OCP_MSG_ARE_YOU_THERE,
	OCP_MSG_DO_YOU_SUPPORT,
	OCP_MSG_I_DO_SUPPORT,
	OCP_MSG_I_DONT_SUPPORT,
	OCP_MSG_PLEASE_USE,
	OCP_MSG_I_WILL_USE,
	OCP_MSG_I_WONT_USE,
	OCP_MSG_CS,   /* Connection Start */
	OCP_MSG_CE,   /* Connection End */
	OCP_MSG_SGC,  /* Service Group Created */
	OCP_MSG_SGD,  /* Service Group Destroyed */
	OCP_MSG_TS,   /* Transaction Start */
	OCP_MSG_TE,   /* Transaction End */
	OCP_MSG_AMS,  /* Application Message Start */
	OCP_MSG_AME,  /* Application Message End */
	OCP_MSG_DUM,  /* Data Use Mine */
	OCP_MSG_DUY,  /* Data Use Yours */
	OCP_MSG_DPI,  /* Data Preservation Interest */
	OCP_MSG_DWSR, /* Want Stop Receiving Data */
	OCP_MSG_DWSS, /* Want Stop Sending Data */
	OCP_MSG_DSS,  /* Stop Sending Data */
	OCP_MSG_DWP,  /* Want Data Paused */
	OCP_MSG_DPM,  /* Paused My Data */
	OCP_MSG_DWM,  /* Want More Data */
	OCP_MSG_NO,   /* Negotiation Offer */
	OCP_MSG_NR,   /* Negotiation Response */
	OCP_MSG_AQ,   /* Ability Query */
	OCP_MSG_AA,   /* Ability Answer */
	OCP_MSG_PQ,   /* Progress Query */
	OCP_MSG_PA,   /* Progress Answer */
	OCP_MSG_PR,   /* Progress Report */
	OCP_MSG_MAX
};

/* Bits of ocp_msg.has. A parameter of the core dialect shares the draft's where it means the same;
 * what it is called there stands behind it. */
enum ocp_param {
	OCP_P_XID,
	OCP_P_AM_ID,
	OCP_P_RID,
	OCP_P_OFFSET,	      /* DUM my-offset, DWP your-offset, DPI org-offset */
	OCP_P_SIZE,	      /* DUM the payload's; DUY, DPI, DWSR org-size */
	OCP_P_COPY_AM_ID,
	OCP_P_COPY_AM_OFFSET, /* DUY org-offset */
	OCP_P_META_DATA,
	OCP_P_SERVICE,
	OCP_P_FEATURE, /* NR (absent: rejected), AQ */
	OCP_P_PRIORITY,
	OCP_P_CLIENT,
	OCP_P_RESULT,
	OCP_P_SIZEP,	    /* AMS AM-EL: exact entity length (RFC 4236 section 3.3) */
	OCP_P_MODP,	    /* DUM Modp */
	OCP_P_SIZE_REQUEST, /* DWM Size-request */
	OCP_P_AM_PART,	    /* DUM AM-Part (RFC 4236 section 3.4) */
	/* flags: the bit is set when the flag is true */
	OCP_P_ERROR,
	OCP_P_MODIFIED,
	OCP_P_COPIED,
	OCP_P_ACK,
	OCP_P_WONT_FORWARD,
	OCP_P_OFFER_PENDING, /* NO, NR Offer-Pending */
	/* core dialect only */
	OCP_P_SG,	/* my-sg-id of SGC, SGD, TS; SG of NO, NR */
	OCP_P_SERVICES, /* SGC, AMS Services */
	OCP_P_FEATURES, /* NO */
	OCP_P_REJECTS,	/* NR Rejects */
	OCP_P_UNKNOWNS, /* NR Unknowns */
	OCP_P_ANSWER,	/* AA; the bit says that answer is filled, not that it is true */
	OCP_P_AS_IS,	/* DUM As-is: org-offset */
	OCP_P_KEPT,	/* DUM Kept: {org-offset org-size} */
	OCP_P_ORG_DATA, /* PA, PR Org-Data: org-size */
	OCP_P_MAX
};
/* A bit of ocp_msg.has, and of masks of features, parts and dialects, which need 32 bits only. */
#define OCP_HAS(p) (UINT64_C(1) << (p))

/* am-part: the part of the application message that data belongs to */
enum ocp_part {
	OCP_PART_NONE, /* not said (opaque streams) */
	OCP_PART_REQUEST_HEADER,
	OCP_PART_REQUEST_BODY,
	OCP_PART_REQUEST_TRAILER,
	OCP_PART_RESPONSE_HEADER,
	OCP_PART_RESPONSE_BODY,
	OCP_PART_RESPONSE_TRAILER,
	OCP_PART_MAX
};

#define OCP_ID_MAX INT32_MAX	 /* xid, rid, am-id; also sizes */
#define OCP_OFFSET_MAX INT64_MAX /* offset, copy-am-offset, sizep: draft dialect */
/* Every integer of the core dialect (sections 10.2 - 10.4): offsets, sizes, identifiers. */
#define OCP_CORE_MAX INT32_MAX

/* result codes, RFC 4037 section 10.10; any other code means failure */
enum {
	OCP_RESULT_OK = 200,
	OCP_RESULT_PARTIAL = 206,
	OCP_RESULT_FAILURE = 400,
};

/* Octets that somebody else owns; may hold zeros, is not terminated. */
struct ocp_str {
	const char *p;
	uint32_t len;
};
#define OCP_STR(literal) ((struct ocp_str){(literal), sizeof(literal) - 1})
struct ocp_str ocp_str(const char *s); /* of a terminated string; NULL = empty */
bool ocp_str_eq(struct ocp_str a, struct ocp_str b);

struct ocp_result {
	int32_t code;	       /* 0: no result parameter; in the core dialect that means 200 */
	struct ocp_str reason; /* for humans; may be empty */
};

/* service and feature: `{uri [more]}`. more: the members after the URI, in wire form and already
 * checked against the grammar; empty when there are none. */
struct ocp_uri {
	struct ocp_str uri;
	struct ocp_str more;
};

/* A list of such structures: `({uri [more]},{uri [more]})`, wire form, grammar and item types
 * checked. wire empty: an empty list, sent as `()`. */
struct ocp_list {
	struct ocp_str wire;
	uint32_t count;
};
#define OCP_LIST_EMPTY ((struct ocp_list){{NULL, 0}, 0})

struct ocp_msg {
	enum ocp_msg_type type;
	uint64_t has; /* OCP_HAS bits; members without their bit are zero */
	uint32_t xid, am_id, rid, copy_am_id;
	int32_t priority;
	uint32_t modp; /* 0..100 */
	uint32_t size_request;
	enum ocp_part am_part;
	uint64_t offset;
	uint64_t size; /* data-have: the payload's size */
	uint64_t copy_am_offset;
	uint64_t sizep;
	struct ocp_str meta_data, client;
	struct ocp_uri service, feature;
	struct ocp_result result;
	/* core dialect only */
	uint32_t sg;
	bool answer;
	uint32_t as_is_offset;
	uint32_t kept_offset, kept_size;
	uint32_t org_data;
	struct ocp_list services, features, rejects, unknowns;
	/* decoder only */
	struct ocp_str name; /* as received; tells unknown messages apart */
	bool payload;	     /* a payload follows; only data-have's and DUM's means anything */
	uint64_t payload_size;
	uint32_t unknown_params; /* parsed and left out (<53>) */
	/* Only after ocp_decoder_scope: the message is invalid, and nothing of it but xid, name and
	 * payload is filled. An enum ocp_bad; 0: valid. */
	uint32_t invalid;
};

static inline bool ocp_msg_has(const struct ocp_msg *m, enum ocp_param p)
{
	return m->has & OCP_HAS(p);
}

/* Static strings. type or part out of range: "unknown". */
const char *ocp_msg_name(enum ocp_msg_type type);
const char *ocp_part_name(enum ocp_part part);
/* The name of a part; OCP_PART_NONE: none of them. */
enum ocp_part ocp_part_find(struct ocp_str name);
/* The dialect that a message belongs to; OCP_DIALECT_MAX: unknown message. */
enum ocp_dialect ocp_msg_dialect(enum ocp_msg_type type);

/* --- lists of services and features --- */

/* The next item of a list; *at begins as 0. False: there are no more. *u points into the list's
 * wire form. The list is a decoder's, or of ocp_list_of. */
bool ocp_list_next(const struct ocp_list *l, uint32_t *at, struct ocp_uri *u);
/* Appends an item to the list that buf[0..*len) holds in wire form (*len 0: none yet; the closing
 * bracket is always there) and advances *len. -ENOSPC: it does not fit in cap, -EINVAL: buf does
 * not hold a list; both leave everything as it was. u's `more` is copied as it is. */
int ocp_list_add(char *buf, size_t cap, size_t *len, const struct ocp_uri *u);
/* A list of wire form that ocp_list_add or a decoder made, e.g. of a copy. Empty when it is not a
 * list whose items are structures that begin with an atom; nothing is copied. */
struct ocp_list ocp_list_of(struct ocp_str wire);

/* --- limits --- */

/* Past any of them an incoming message is malformed (<53>). */
struct ocp_limits {
	uint32_t name;	    /* octets of a message or parameter name */
	uint32_t atom;	    /* octets of an atom's value */
	uint32_t nesting;   /* brackets open at once, at most OCP_NESTING_MAX */
	uint32_t items;	    /* items of a list */
	uint32_t anonymous; /* anonymous values per message or structure */
	uint32_t named;	    /* named parameters per message or structure */
	uint32_t payload;   /* octets of a payload */
	/* Octets of a head that the decoder has to keep: names, separators and the values of known
	 * parameters. Values of unknown messages and parameters are not kept and do not count. */
	uint32_t head;
};
#define OCP_NESTING_MAX 32
#define OCP_LIMITS_DEFAULT                                                                         \
	((struct ocp_limits){.name = 64,                                                           \
			     .atom = 65536,                                                        \
			     .nesting = 8,                                                         \
			     .items = 256,                                                         \
			     .anonymous = 256,                                                     \
			     .named = 32,                                                          \
			     .payload = 1048576,                                                   \
			     .head = 524288})

/* --- decoder --- */

enum ocp_event_type {
	OCP_EVENT_NEED_MORE, /* all input consumed, no event yet */
	/* msg: the head is complete and valid. Without payload: `;` CRLF has been seen too */
	OCP_EVENT_MESSAGE,
	/* data/len: a slice of the caller's own buffer, never empty, never copied */
	OCP_EVENT_PAYLOAD,
	/* the message that the last MESSAGE began is complete, `;` CRLF included */
	OCP_EVENT_END,
	OCP_EVENT_BAD, /* malformed; the decoder stays in this state */
};

/* why input is malformed */
enum ocp_bad {
	OCP_BAD_NONE,
	OCP_BAD_OCTET,	/* octet not allowed here */
	OCP_BAD_NUMBER, /* size: leading zero, sign, range */
	OCP_BAD_QUOTE,	/* size of a quoted value not followed by a quote */
	OCP_BAD_NAME,	/* name too long */
	OCP_BAD_ATOM,	/* atom too long */
	OCP_BAD_NESTING,
	OCP_BAD_ITEMS,
	OCP_BAD_ANONYMOUS, /* too many anonymous values */
	OCP_BAD_NAMED,	   /* too many named parameters */
	OCP_BAD_PAYLOAD,   /* payload too large */
	OCP_BAD_HEAD,	   /* head too large */
	OCP_BAD_REPEATED,  /* named parameter repeated */
	OCP_BAD_MISSING,   /* required parameter or payload of a known message missing */
	OCP_BAD_TYPE,	   /* known parameter of the wrong type */
	OCP_BAD_RANGE,	   /* known parameter out of range, leading zeros included */
	OCP_BAD_SIZE,	   /* data-have: size differs from the payload's (<42>) */
	OCP_BAD_MEMORY,	   /* no memory to keep the head */
	OCP_BAD_MAX
};
const char *ocp_bad_text(enum ocp_bad bad); /* static sentence */

struct ocp_event {
	enum ocp_event_type type;
	/* MESSAGE: until the next feed. Its strings point into the caller's buffer or into the
	 * decoder. PAYLOAD, END: the same message, but its strings are no longer valid. */
	const struct ocp_msg *msg;
	const uint8_t *data; /* PAYLOAD: inside the buffer that was fed */
	size_t len;
	uint64_t payload_offset; /* PAYLOAD: of data within the message's payload */
	enum ocp_bad bad;	 /* BAD */
	uint64_t offset;	 /* BAD: octets of the stream before the offending one */
};

struct ocp_decoder;

/* limits: copied; NULL = defaults. NULL: no memory. */
struct ocp_decoder *ocp_decoder_create(const struct ocp_limits *limits);
void ocp_decoder_destroy(struct ocp_decoder *d); /* NULL allowed */
/*
 * Reads from buf until one event is complete; returns the octets consumed (<= len) and fills *ev.
 * Call again with the rest until NEED_MORE. Events of a stream do not depend on how it is cut into
 * buffers, except for the cutting of PAYLOAD. A message's events: MESSAGE PAYLOAD* END. An END, or
 * the MESSAGE of a stored head, may consume nothing.
 * The buffer may be reused once the caller is done with the slices pointing into it; an unfinished
 * head has been copied by then.
 */
size_t ocp_decoder_feed(struct ocp_decoder *d, const void *buf, size_t len, struct ocp_event *ev);
/*
 * From the next message on, names of the other dialect are those of unknown messages. Before this
 * call the names of both are known, and the type of the first message tells which dialect it is.
 * To be called between messages or on a MESSAGE event.
 */
void ocp_decoder_dialect(struct ocp_decoder *d, enum ocp_dialect dialect);
/*
 * Core dialect, from the next message on: a message in valid format (section 3.1) that breaks the
 * rules of its parameters (MISSING, TYPE, RANGE, REPEATED) and has a readable xid is a MESSAGE with
 * msg->invalid set instead of BAD, since section 5 wants that transaction ended and not the
 * connection. Anything else that is wrong stays BAD: its scope is not known.
 */
void ocp_decoder_scope(struct ocp_decoder *d);
/* True between messages (an end of the transport here cuts nothing in two). */
bool ocp_decoder_idle(const struct ocp_decoder *d);

/* --- encoder --- */

/* What follows the payload, and nothing else, of a message with one. */
#define OCP_TAIL "\r\n;\r\n"
#define OCP_TAIL_LEN 5
/* Room enough for any head without strings (client, meta-data, service, feature, reason) and lists. */
#define OCP_HEAD_MAX 384

/*
 * Writes m's head into head[cap]. Data-have and DUM: everything up to and including `size:` of the payload;
 * the caller sends payload_size octets and OCP_TAIL after it. Other messages: the whole message,
 * nothing follows (payload_size must be 0). *head_len: octets written, or, with -ENOSPC, octets
 * needed. -EINVAL: a required parameter's bit is missing in has, a value is out of range, or the
 * type is unknown. Bits that the message cannot carry are -EINVAL too. Flags are written when their
 * bit is set. ocp_msg.size is taken from payload_size for data-have and DUM. Strings and lists in
 * wire form (`more`, ocp_list) are written as they are. Parameters of the core dialect are written
 * as RFC 4037 declares them: `Size-request`, `Org-Data`, `Kept: {org-offset org-size}`.
 */
int ocp_encode(const struct ocp_msg *m, uint64_t payload_size, char *head, size_t cap,
	       size_t *head_len);

/* --- meta-data --- */

/* Meta-data is `Name: value` CRLF lines (binding section 5). Finds the first line with that name
 * (case matters, as written there); value without the line end. False: no such line. */
bool ocp_meta_get(struct ocp_str meta, const char *name, struct ocp_str *value);

/* meta-data Kind */
enum ocp_kind {
	OCP_KIND_NONE, /* not said: from the callout server, as the original's */
	OCP_KIND_REQUEST,
	OCP_KIND_RESPONSE,
	OCP_KIND_STREAM,
	OCP_KIND_OTHER,
};
enum ocp_kind ocp_meta_kind(struct ocp_str meta);

/* --- what both agents share --- */

/* known features; the agents keep masks of OCP_HAS(feature) */
enum ocp_feature {
	OCP_FEATURE_COPIED,	   /* urn:opes:feature:copied */
	OCP_FEATURE_AS_IS,	   /* urn:opes:feature:as-is */
	OCP_FEATURE_LEAVE_LOOP,	   /* urn:opes:feature:leave-loop */
	OCP_FEATURE_ACK_ALL,	   /* urn:opes:feature:ack-all */
	OCP_FEATURE_HTTP_REQUEST,  /* http://www.iana.org/assignments/opes/ocp/http/request */
	OCP_FEATURE_HTTP_RESPONSE, /* http://www.iana.org/assignments/opes/ocp/http/response */
	OCP_FEATURE_MAX
};
#define OCP_FEATURES_OURS                                                                          \
	(OCP_HAS(OCP_FEATURE_COPIED) | OCP_HAS(OCP_FEATURE_AS_IS) |                                \
	 OCP_HAS(OCP_FEATURE_LEAVE_LOOP) | OCP_HAS(OCP_FEATURE_ACK_ALL))
const char *ocp_feature_uri(enum ocp_feature f);
enum ocp_feature ocp_feature_find(struct ocp_str uri); /* OCP_FEATURE_MAX: unknown */

/* the peer's word about a feature */
enum ocp_answer {
	OCP_ANSWER_WILL_USE, /* in use on this connection from here on: the peer accepted our
			      * please-use, or the agent accepted the peer's */
	OCP_ANSWER_WONT_USE,
	OCP_ANSWER_SUPPORTED, /* answers to do-you-support: nothing changes */
	OCP_ANSWER_UNSUPPORTED,
};

/* One piece of output. All of it or none has to be taken: back-pressure is the caller's, before it
 * asks an agent to send. head and tail are valid during the call only (tail is a constant; may be
 * empty). payload: the caller's own octets given to data_have, unmodified, with its cookie; the
 * sink keeps them alive until they have been sent. NULL with payload_len > 0 when the caller gave none: its octets lie
 * in pieces that the sink knows by the cookie. */
struct ocp_output {
	const char *head;
	size_t head_len;
	const uint8_t *payload; /* NULL, 0: none */
	size_t payload_len;
	void *cookie;
	const char *tail;
	size_t tail_len;
};
/* 0, or -errno: the transport is unusable; the agent ends the connection with OCP_END_OUTPUT. */
typedef int (*ocp_output_fn)(void *ctx, const struct ocp_output *out);

/* how a connection ended */
enum ocp_end {
	OCP_END_NONE,	    /* it has not */
	OCP_END_LOCAL,	    /* our connection-end */
	OCP_END_PEER,	    /* the peer's connection-end without error */
	OCP_END_PEER_ERROR, /* the peer's connection-end with error or a failing result; also a
			       refused start */
	OCP_END_MALFORMED,  /* malformed message: connection-end with error has been sent (<53>) */
	OCP_END_OUTSIDE,    /* message outside of connection-start ... connection-end (<59>) */
	OCP_END_DEAD,	    /* no i-am-here in time */
	OCP_END_EOF,	    /* transport closed without connection-end */
	OCP_END_OUTPUT,	    /* the sink failed */
	OCP_END_MEMORY,	    /* no memory for the connection's own state */
	OCP_END_VIOLATION,  /* core: a rule of the connection broken (ops.fault named it): CE 400 has been sent */
	OCP_END_MAX
};
const char *ocp_end_text(enum ocp_end end); /* static sentence */

/* a rule that the peer broke */
enum ocp_fault {
	OCP_FAULT_NONE,
	OCP_FAULT_MALFORMED,	/* <53> */
	OCP_FAULT_OUTSIDE,	/* <59> */
	OCP_FAULT_UNKNOWN_MSG,	/* <53> ignored */
	OCP_FAULT_UNKNOWN_ID,	/* <54> ignored */
	OCP_FAULT_DIRECTION,	/* message that this peer must not send; ignored */
	OCP_FAULT_XID_ORDER,	/* xid not larger than before: xaction-end error */
	OCP_FAULT_NO_SERVICE,	/* <70> xaction-end error */
	OCP_FAULT_AM_ID,	/* am-id parity or order, second original: app-message-end error */
	OCP_FAULT_OWN_AM_ID,	/* data for an am-id of our own; ignored */
	OCP_FAULT_OFFSET,	/* <85> gap or overlap: app-message-end error */
	OCP_FAULT_AS_IS,	/* <89> <90> invalid data-as-is: app-message-end error */
	OCP_FAULT_AFTER_END,	/* <98> data after data-end: app-message-end error */
	OCP_FAULT_WHILE_PAUSED, /* <95> data for a paused message; taken, counted */
	OCP_FAULT_LEAVE_LOOP,	/* data-end {206} that does not follow the rules: app-message-end
				   error */
	OCP_FAULT_ACK_RANGE,	/* data-ack for octets never sent; ignored */
	OCP_FAULT_LIMIT,	/* our own limit on transactions or messages: refused */
	OCP_FAULT_REPEATED_START, /* connection-start repeated; ignored */
	OCP_FAULT_META_EMPTY, /* processor's app-message-start without meta-data; taken, counted */
	/*
	 * Core dialect. There the faults above apply, too, where they mean the same; but what the
	 * draft ignores is invalid input (section 5): it ends the transaction (TE 400) or, when
	 * that is not known, the connection (CE 400).
	 */
	OCP_FAULT_NOT_CS,	    /* first message is not CS: CE 400 */
	OCP_FAULT_NEGOTIATION,	    /* offer or answer out of turn, or an answer that does not fit
				     * the offer: CE 400 */
	OCP_FAULT_PHASE,	    /* message that a negotiation phase does not allow: CE 400 */
	OCP_FAULT_SG,		    /* sg-id not larger than before, or of no service group */
	OCP_FAULT_UNKNOWN_XID,	    /* xid never introduced: TE 400 */
	OCP_FAULT_AM_ORDER,	    /* message of a dataflow that has not begun or has ended, or a
				     * second AMS */
	OCP_FAULT_PART,		    /* AM-Part missing, not of the profile, or out of order */
	OCP_FAULT_KEPT,		    /* Kept range that shrinks or leaves what DPI allows */
	OCP_FAULT_INTEREST,	    /* DPI whose range is not inside the one before */
	OCP_FAULT_STOP,		    /* DSS or end with 206 that nothing asked for */
	OCP_FAULT_RANGE_2G,	    /* dataflow longer than 2147483647 octets */
	OCP_FAULT_PROFILE_ANSWER,   /* answer with a profile's parameter that was not offered */
	OCP_FAULT_PROGRESS,	    /* PA about something else than was asked, or more original data than was
				     * sent */
	OCP_FAULT_UNSOLICITED,	    /* PA or AA that nobody asked for; PA is taken as PR, AA ignored */
	OCP_FAULT_AS_IS_OFFSET,	    /* invalid As-is; ignored as 11.9 says, counted */
	OCP_FAULT_MAX
};
/* Static sentence with the paragraph of the draft or the section of RFC 4037 or 4236. */
const char *ocp_fault_text(enum ocp_fault f);

struct ocp_counters {
	uint64_t rx_msgs[OCP_MSG_MAX], tx_msgs[OCP_MSG_MAX];
	uint64_t rx_bytes, tx_bytes; /* whole stream, payload included */
	uint64_t rx_payload, tx_payload;
	uint64_t faults[OCP_FAULT_MAX];
	uint64_t unknown_params;
};

/* how a transaction ended */
enum ocp_xend {
	OCP_XEND_NORMAL,  /* peer's xaction-end without error */
	OCP_XEND_REFUSED, /* peer's xaction-end, or app-message-end for the original, with error or
			   * a failing result */
	OCP_XEND_VIOLATION,  /* we ended it because the peer broke a rule: fault */
	OCP_XEND_DEADLINE,   /* no progress within the deadline */
	OCP_XEND_LOST,	     /* the peer no longer maintains it (i-am-here without its xid) */
	OCP_XEND_CONNECTION, /* the connection ended under it: conn_end */
};

struct ocp_xaction_ending {
	enum ocp_xend how;
	enum ocp_fault fault;	  /* VIOLATION */
	enum ocp_end conn_end;	  /* CONNECTION */
	struct ocp_result result; /* the peer's; valid during the callback */
};

/* app-message-start or AMS as received. Strings valid during the callback. */
struct ocp_am_info {
	uint32_t am_id;
	struct ocp_str meta;
	enum ocp_kind kind;
	bool modified; /* from the callout server only */
	int64_t sizep; /* -1: not said */
	int32_t modp;  /* -1: not said */
	/* core dialect */
	int64_t am_el;		  /* exact length of the entity; -1: not said */
	struct ocp_list services; /* the services applied, when they differ from those asked for */
};

/* A slice of a data-have as received. An empty data-have is reported once with len 0 (<85>: it
 * carries predictions). */
struct ocp_data {
	uint32_t am_id;
	uint64_t offset;     /* of the slice in the application message */
	const uint8_t *data; /* inside the input buffer */
	uint32_t len;
	void *cookie; /* as given with that input buffer */
	enum ocp_part part;
	bool modified;	  /* from the callout server only */
	bool copied;	  /* from the processor only: it keeps these octets */
	bool first, last; /* slice of its data-have */
	int64_t sizep;	  /* of the data-have; -1: not said */
	int32_t modp;
};

/* Optional attributes of data to send. Zero-initialise, then set sizep, modp, am_el and as_is to -1
 * when there is nothing to say: OCP_SEND_INIT does that. */
struct ocp_send {
	enum ocp_part part;
	bool copied;   /* processor only */
	bool modified; /* callout server only */
	bool ack;      /* ask for data-ack */
	int64_t sizep; /* -1: none */
	int32_t modp;
	/* Core dialect, with the start of a message: its exact entity length; -1: not known. sizep
	 * is the draft's and is not sent in core. */
	int64_t am_el;
	/* Core dialect, callout server only. With data: the octets equal those of the original from
	 * here on (As-is); -1: not said. With the start of a message: the services that are
	 * applied, when they differ from those asked for; empty: as asked. */
	int64_t as_is;
	struct ocp_list services;
};
#define OCP_SEND_INIT ((struct ocp_send){.sizep = -1, .modp = -1, .am_el = -1, .as_is = -1})

#ifdef __cplusplus
}
#endif
#endif
