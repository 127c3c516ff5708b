/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libopes-callout: write an OPES callout service without writing OCP.
 *
 * A service is a table of call-backs (struct oc_service_type). The library owns
 * sockets, the protocol, memory and order; a service sees one application
 * message per transaction as a sequence of octets and says what becomes of it.
 *
 *   struct oc_loop *loop = oc_loop_new(NULL);
 *   oc_loop_service(loop, &my_service, "urn:example:my", NULL, 0, NULL);
 *   oc_loop_listen(loop, "tcp:127.0.0.1:4037", NULL);
 *   oc_loop_run(loop);
 *   oc_loop_free(loop);
 *
 * Threads: a loop and all that belongs to it is used by one thread. Several
 * loops may run in several threads. Only oc_loop_stop may be called from
 * elsewhere, signal handlers included.
 *
 * Dialects: processors may speak the draft's dialect or that of RFC 4037 with the HTTP profile of RFC 4236; a service
 * sees the same either way. Where a dialect cannot say something, that stands at the call.
 *
 * Order of a transaction's call-backs: open, start, (data | aux)*, [end], close.
 *
 * INV-OC-1  every open that returned 0 is followed by exactly one close; nothing comes after it.
 * INV-OC-2  data comes in order, without gap or overlap, from offset 0 (<85> of the OCP draft).
 * INV-OC-3  after a call that ends the transaction (oc_end, oc_answer, oc_abort, oc_refuse,
 *           oc_leave_loop) returned 0, no call-back but close comes and calls answer -ENOENT.
 *           The oc_xaction stays valid until close has returned.
 * INV-OC-4  for octets under preservation the library sends references (data-as-is), not octets,
 *           wherever the service passes them on with oc_forward or oc_as_is.
 *
 * Memory: all octets given to a call of this library are copied or referenced
 * inside; the caller may reuse them as soon as the call returns. All octets given
 * to a call-back are valid until it returns, those of oc_message until close.
 *
 * Back-pressure: what a connection has queued for its peer is bounded. Beyond the
 * high-water mark nothing more is read from that peer until the queue has fallen
 * below the low-water mark. What a call-back sends in answer to what has been read
 * is always taken.
 *
 * Return values: 0 or -errno unless said otherwise. Offsets and sizes are octets.
 */
#ifndef OPES_CALLOUT_H
#define OPES_CALLOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct oc_loop;
struct oc_xaction;

struct oc_str { /* not terminated; may hold zeros */
	const char *p;
	size_t len;
};
struct oc_str oc_str(const char *s); /* NULL = empty */
bool oc_str_eq(struct oc_str a, const char *b);

enum oc_part { /* part of the application message that octets belong to */
	OC_PART_NONE, /* streams without parts */
	OC_PART_REQUEST_HEADER,
	OC_PART_REQUEST_BODY,
	OC_PART_REQUEST_TRAILER,
	OC_PART_RESPONSE_HEADER,
	OC_PART_RESPONSE_BODY,
	OC_PART_RESPONSE_TRAILER,
	OC_PART_MAX
};
bool oc_part_is_header(enum oc_part part);
/* Body of a message, or a stream without parts. */
bool oc_part_is_body(enum oc_part part);

enum oc_kind {
	OC_KIND_NONE, /* not said */
	OC_KIND_REQUEST,
	OC_KIND_RESPONSE,
	OC_KIND_STREAM,
	OC_KIND_OTHER,
};
const char *oc_kind_name(enum oc_kind kind);

/* The original application message. Valid until close. */
struct oc_message {
	enum oc_kind kind;
	struct oc_str meta; /* `Name: value` CRLF lines: Protocol, Kind, Source, Destination, Flow, Rule, ...; RFC 4037
			     * processors: empty */
	int64_t sizep;      /* predicted size of the whole message; -1: not said */
	int modp;           /* predicted probability in percent that it needs adaptation; -1: not said */
	int64_t body;       /* RFC 4037 processors: exact octets of the body; -1: not known */
};

/*
 * A slice of the original. part: as the processor said; when it says nothing and the message is HTTP or a mail, the
 * library finds the end of the head itself and cuts there, so that a service always sees parts (a mail's are a request's).
 * A slice never spans two parts. Slices are as large as what one read from the socket brought, i.e. a service
 * must not take a slice for a unit of any meaning. len is never 0.
 */
struct oc_data {
	enum oc_part part;
	uint64_t offset; /* in the original */
	const uint8_t *bytes;
	size_t len;
	bool copied;     /* the processor preserves these octets: oc_as_is may refer to them */
	bool last;       /* last slice of its data-have: oc_leave_loop is possible now */
};

enum oc_close {
	OC_CLOSE_DONE,       /* the service ended it */
	OC_CLOSE_PEER,       /* the processor ended it, or gave the adapted message up */
	OC_CLOSE_CONNECTION, /* the connection ended */
	OC_CLOSE_STOPPED,    /* the loop is being freed */
};

struct oc_option { /* one `key=value` of a service's configuration */
	const char *key;
	const char *value; /* "" when there was no `=` */
};

struct oc_error { /* one line for humans */
	char text[256];
};

/* Static; must outlive every loop it is used in. Members may be NULL unless said otherwise. */
struct oc_service_type {
	const char *name;    /* required: short, e.g. "replace" */
	const char *uri;     /* default URI, e.g. "urn:opes:service:replace" */
	const char *summary; /* one line, for --help */
	const char *options; /* lines `  key=VALUE  meaning`, for --help */
	size_t state_size;   /* octets of zeroed state per transaction */

	/* Reads the options of one instance; *config is the instance's from now on. Failure: -errno and a reason in
	 * *err. The options are valid during the call. */
	int (*configure)(const struct oc_option *options, size_t count, void **config, struct oc_error *err);
	/* After the last close. Must accept NULL. */
	void (*unconfigure)(void *config);

	/* A transaction begins. Non-zero refuses it (the processor's exception policy applies). */
	int (*open)(struct oc_xaction *x, void *state);
	/* The original begins. Non-zero refuses it. */
	int (*start)(struct oc_xaction *x, void *state, const struct oc_message *m);
	void (*data)(struct oc_xaction *x, void *state, const struct oc_data *d);
	/* Auxiliary parts, which only RFC 4037 processors send, to those that asked for them (aux-parts): the request that a
	 * response answers. To be looked at only: they cannot be sent back or referred to. NULL: they are skipped. */
	void (*aux)(struct oc_xaction *x, void *state, const struct oc_data *d);
	/* The original is complete (ok) or was cut off. A transaction that is cut off and not ended here is aborted by
	 * the library afterwards. After end(ok) the service calls, now or later, one of the ending calls. NULL: oc_end. */
	void (*end)(struct oc_xaction *x, void *state, bool ok);
	/* data-paused: nothing more comes until oc_need. */
	void (*paused)(struct oc_xaction *x, void *state);
	/* It calls neither oc_as_is nor oc_forward: RFC 4037 processors are told that nothing need be preserved of bodies. */
	bool never_refers;
	/* The beginning of a message is enough for it: end's ok is true, too, when the processor stopped the original early
	 * on request (stop-receiving-body, oc_stop_receiving). */
	bool prefix;
	/* INV-OC-1. Frees what state refers to. */
	void (*close)(struct oc_xaction *x, void *state, enum oc_close how);
};

/* --- transaction: what a service can do ---------------------------------------------------------- */
/*
 * Callable from the transaction's call-backs (but close) and, for services that wait for something else, from any
 * other function on the loop's thread (see oc_loop_watch) until close was called. Besides the errors listed all
 * may return -ENOENT (over) and -ENOMEM. Octets that cannot be sent (-ENOMEM, -EFBIG and -EINVAL, see the calls) break the
 * adapted message off as oc_abort does: it never passes for a whole one.
 */

/* How an adapted message is announced. */
struct oc_adapted {
	struct oc_str meta; /* empty: as the original's */
	bool modified;      /* it was or will be changed */
	int64_t sizep;      /* predicted size, -1: none. When it is right a processor can keep Content-Length */
	int modp;           /* -1: none; 0 promises that nothing changes */
	int64_t body;       /* exact octets of the body, -1: not known. RFC 4037 processors make Content-Length of it */
};
#define OC_ADAPTED_INIT ((struct oc_adapted){.sizep = -1, .modp = -1, .body = -1})

/* Begins an adapted message (NULL: OC_ADAPTED_INIT). One that is under way is completed first; adapted messages are
 * forwarded in their order. RFC 4037 processors take one: -EBUSY. A transaction that ends without any means: nothing is
 * forwarded. The calls below that produce octets begin a message with OC_ADAPTED_INIT when none is under way. */
int oc_start_adapted(struct oc_xaction *x, const struct oc_adapted *a);
/* Next octets of the adapted message. modified: they differ from what the processor sent. RFC 4037 processors: -EINVAL: the
 * part is not one of the adapted message's, or comes out of their order; -EFBIG: past 2147483647 octets. */
int oc_send(struct oc_xaction *x, enum oc_part part, const void *bytes, size_t len, bool modified);
/* The same for octets that equal the original's from offset on: RFC 4037 processors are told so (As-is). Prefer oc_forward. */
int oc_copy(struct oc_xaction *x, enum oc_part part, uint64_t offset, const void *bytes, size_t len);
/* Next octets of the adapted message are octets of the original. -EPERM: not (all) preserved. Adjoining calls are
 * put together and leave with the next flush. */
int oc_as_is(struct oc_xaction *x, enum oc_part part, uint64_t offset, uint64_t size);
/* Whether oc_as_is would be possible. */
bool oc_committed(const struct oc_xaction *x, uint64_t offset, uint64_t size);
/* data-ack with wont-forward: these octets are not going to be referred to again; the processor may drop its copy
 * (it keeps what oc_as_is referred to before). Nothing is sent for octets that are not preserved. */
int oc_release(struct oc_xaction *x, uint64_t offset, uint64_t size);
/* data-ack: these octets have arrived. Required acknowledgements are sent by the library. */
int oc_ack(struct oc_xaction *x, uint64_t offset, uint64_t size);
/* Passes octets of the original on, the cheapest way: oc_as_is and oc_release when they are preserved, else oc_send
 * of bytes. Use it once per octet. */
int oc_forward(struct oc_xaction *x, enum oc_part part, uint64_t offset, const void *bytes, size_t len);

/* Asks the processor to stop sending (data-pause), and to go on (data-need; request: suggested octets, 0 any).
 * Data that was under way still comes. */
int oc_pause(struct oc_xaction *x);
int oc_need(struct oc_xaction *x, uint32_t request);
/* No more than size octets of the original are wanted: the processor may end it there, and end comes with ok. What the
 * service makes of it must be whole nevertheless. -ENOTSUP: not an RFC 4037 processor. */
int oc_stop_receiving(struct oc_xaction *x, uint64_t size);
/* Tells the processor that a slow service is still at work on it. */
int oc_working(struct oc_xaction *x);

/* Normal end: completes the adapted message, if one was begun, and the transaction. */
int oc_end(struct oc_xaction *x);
/* The adapted message so far goes on with the rest of the original without this service. -ENOTSUP: the processor
 * did not agree to it. -EPERM: not at this place (the octets last received are not preserved, or this is not the
 * last slice of its data-have). After an error the transaction goes on as before. */
int oc_leave_loop(struct oc_xaction *x);
/* Refuses the whole transaction: the processor's exception policy applies, which may forward the original.
 * reason: for humans, may be NULL. */
int oc_refuse(struct oc_xaction *x, const char *reason);
/* Breaks the adapted message off (one is begun when there is none), and gives up all preserved octets of the original
 * that were not referred to, so that the processor does not go on with it on its own: the way to stop content after
 * a part of it has been let through. */
int oc_abort(struct oc_xaction *x, const char *reason);

struct oc_answer {
	int status;               /* HTTP status code; 0: 403 */
	const char *phrase;       /* reason phrase; NULL: Forbidden */
	const char *content_type; /* NULL: text/html; charset=utf-8 */
	const char *fields;       /* further header lines, each ended by CRLF; NULL: none */
	const void *body;
	size_t len;
	const char *smtp; /* the reply to a mail, "550 5.7.1 text" without its CRLF; NULL: that, with the phrase. 2yz: the
			   * sender is told that the mail was accepted, and it is not delivered. */
};
/* Ends the transaction with an HTTP response of the service's own instead of the message (for a request: the client
 * gets it and the server sees nothing), or with an SMTP reply instead of a mail. -EPROTO: the message is neither. -EALREADY: an adapted message was begun. */
int oc_answer(struct oc_xaction *x, const struct oc_answer *a);

const struct oc_message *oc_message(const struct oc_xaction *x); /* NULL before start */
/* First `Name: value` line of the original's meta-data. */
bool oc_meta(const struct oc_xaction *x, const char *name, struct oc_str *value);
void *oc_state(struct oc_xaction *x);
void *oc_config(const struct oc_xaction *x);
const char *oc_service_uri(const struct oc_xaction *x);
struct oc_loop *oc_xaction_loop(const struct oc_xaction *x);
uint32_t oc_xid(const struct oc_xaction *x);
uint64_t oc_received(const struct oc_xaction *x); /* octets of the original */
bool oc_begun(const struct oc_xaction *x);        /* an adapted message was begun */
/* Counts something worth counting (a match, a blocked message) in the statistics. */
void oc_count_hit(struct oc_xaction *x);

/* --- held octets --------------------------------------------------------------------------------- */

/*
 * Octets of the original that a service has seen and not decided about. Preserved ones cost nothing but a range, the
 * others are kept here. Lives in a service's state; zeroed memory is an empty one.
 */
struct oc_hold_range {
	uint64_t offset, size;
	enum oc_part part;
	bool kept; /* its octets are in bytes */
};
struct oc_hold {
	struct oc_hold_range *ranges;
	uint32_t first, count, cap;
	uint8_t *bytes;      /* of the kept ranges, in order */
	size_t bytes_first, bytes_len, bytes_cap;
	uint64_t total;      /* octets held */
};
/* Adds a slice at the end. -ENOMEM: nothing was added. */
int oc_hold_add(struct oc_hold *h, struct oc_xaction *x, const struct oc_data *d);
/* Forwards (see oc_forward) the first size octets held, all when there are fewer. -EPERM: the processor has stopped keeping
 * some of them without being told that it may; the transaction was aborted. */
int oc_hold_forward(struct oc_hold *h, struct oc_xaction *x, uint64_t size);
void oc_hold_free(struct oc_hold *h); /* empty again */

/* --- configuration text -------------------------------------------------------------------------- */

/* Undoes \n \r \t \0 \xHH \, \= \: \\ in place (any other \c is c); returns the length. Options reach configure with
 * their escapes, so that a service can split at unescaped characters first. */
size_t oc_unescape(char *s);
/* First unescaped c in s, NULL: none. */
char *oc_find_unescaped(const char *s, char c);
/* Prints to err->text; returns rc. err may be NULL. */
int oc_error(struct oc_error *err, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* --- loop ---------------------------------------------------------------------------------------- */

enum { OC_DIALECT_DRAFT = 1, OC_DIALECT_CORE = 2 }; /* the draft's; RFC 4037's */

struct oc_loop_config {
	uint32_t dialects;         /* that processors may speak: OC_DIALECT_*, or-ed */
	uint32_t connections_max;  /* open at a time; more are closed at once */
	uint32_t xactions_max;     /* open at a time per connection; more are refused */
	size_t out_high, out_low;  /* octets queued per connection, see back-pressure */
	bool ack_all;              /* acknowledge every data-have (debugging) */
	uint64_t idle_probe_us;    /* nothing received for so long: are-you-there; 0: never */
	uint64_t probe_timeout_us; /* no answer for so long: the connection is dead */
	uint64_t deadline_us;      /* a transaction without any message for so long: ask about it; 0: never */
	uint64_t start_us;         /* a connection that has not begun, or not negotiated, after so long is closed; 0: never */
	/* A line about what happens to connections, without line end; NULL: none. */
	void (*log)(void *ctx, const char *line);
	void *log_ctx;
};
#define OC_LOOP_CONFIG_DEFAULT \
	((struct oc_loop_config){.dialects = OC_DIALECT_DRAFT | OC_DIALECT_CORE, .connections_max = 4096, \
				 .xactions_max = 4096, .out_high = 4u << 20, .out_low = 1u << 20, .idle_probe_us = 5000000, \
				 .probe_timeout_us = 2000000, .deadline_us = 60000000, .start_us = 10000000})

/* cfg is copied; NULL: defaults. NULL: no memory or no epoll (errno). */
struct oc_loop *oc_loop_new(const struct oc_loop_config *cfg);
/* Ends every connection (connection-end), frees all. NULL allowed. Not from within a call-back. */
void oc_loop_free(struct oc_loop *loop);
/*
 * Adds an instance of a service. uri NULL: the type's. Strings are copied. -EEXIST: URI in use. These options are the
 * library's, for every service; all others are given to configure:
 *   aux-parts=PART+PART...          auxiliary parts wanted of an RFC 4037 processor, e.g. request-header
 *   pause-at-body=N                 it is to pause after N octets of the body, until oc_need (at once without `paused`)
 *   stop-receiving-body=N           it need not send more than N octets of the body; for services with `prefix`
 *   preservation-interest-body=N    it need not preserve more than N octets of the body
 *   content-encodings=NAME+NAME...  preferred codings, best first
 *   refuse=offers|transactions|messages   for trying a processor's exception policy
 */
int oc_loop_service(struct oc_loop *loop, const struct oc_service_type *type, const char *uri,
		    const struct oc_option *options, size_t count, struct oc_error *err);
/* The same from text: `NAME[:URI][,key=value]...`, NAME looked up in types (ended by NULL). */
int oc_loop_service_text(struct oc_loop *loop, const struct oc_service_type *const *types, const char *text,
			 struct oc_error *err);
/* `tcp:HOST:PORT` (IPv6 addresses in brackets, port 0: any) or `unix:/path` (a socket nobody listens on any more is
 * replaced). */
int oc_loop_listen(struct oc_loop *loop, const char *address, struct oc_error *err);
/* Port of the nth listener, in order of listening; 0: none or not TCP. */
uint16_t oc_loop_port(const struct oc_loop *loop, unsigned n);
/* Serves a connected stream socket; owns it from now on, also after failure. */
int oc_loop_adopt(struct oc_loop *loop, int fd);
/* Until oc_loop_stop. 0, or -errno of epoll. */
int oc_loop_run(struct oc_loop *loop);
/* One round; waits at most timeout_ms (-1: for ever) for something to do. */
int oc_loop_step(struct oc_loop *loop, int timeout_ms);
void oc_loop_stop(struct oc_loop *loop);
/* Calls fn(arg, events) when fd has any of the EPOLL* events; events 0 forgets fd. The caller owns fd and forgets it
 * before closing it. */
int oc_loop_watch(struct oc_loop *loop, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg);

struct oc_stats {
	uint64_t connections, connections_open, connections_refused, malformed;
	uint64_t octets_in, octets_out; /* of connections that have ended and of open ones, whole stream */
};
struct oc_service_stats {
	const char *name, *uri;
	uint64_t xactions, xactions_open, refused, aborted, answered, left, peer_ended;
	uint64_t octets_in;   /* of originals */
	uint64_t octets_have; /* sent by data-have */
	uint64_t octets_as_is;
	uint64_t hits;
};
void oc_loop_stats(const struct oc_loop *loop, struct oc_stats *st);
/* False: there is no nth service. */
bool oc_loop_service_stats(const struct oc_loop *loop, unsigned n, struct oc_service_stats *st);

#ifdef __cplusplus
}
#endif
#endif
