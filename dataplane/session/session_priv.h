/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared by the files of this folder only. */
#ifndef SESSION_PRIV_H
#define SESSION_PRIV_H

#include <rte_common.h>
#include "app/app_rtsp.h"
#include "session/session.h"
#include "tcp/tcp_park.h"
#include "tcp/tcp_splice.h"

#define SESSION_PARK_US 250000 /* a flow that has been quiet for this long is parked */
#define SESSION_TOUCH_US 16000
#define SESSION_CLOSING_US 1000000

enum session_state { SESSION_OPEN, SESSION_DEAD };

enum session_mode {
	PIPE_FRAMED,  /* HTTP: see framer */
	PIPE_STREAM,  /* opaque: one message */
	PIPE_TUNNEL,  /* octets go through */
	PIPE_RTSP,    /* messages like HTTP's and interleaved frames: session_rtsp.c */
	PIPE_SMTP,    /* commands and mails, replies: see session_smtp.h */
	PIPE_DISCARD, /* octets are read and dropped: the flow is being closed by us */
};

/* What happens to the octets of the message under way. */
enum session_route {
	ROUTE_NONE,    /* between messages */
	ROUTE_FORWARD,
	ROUTE_ADAPT,
	ROUTE_DROP,
	ROUTE_ENDED,   /* read to its end; the service is still at it: the next one waits */
};

/* Lent to a pipe while a message is under way. */
struct session_framer {
	struct session_framer *next;
	struct http1 http;
	char head[HTTP1_HEAD_MAX];
};

/* What a request's OPES-Bypass asks for (session_bypass.c). It holds for its response, too. */
struct session_bypass {
	uint64_t named;      /* services, by index */
	uint32_t generation; /* of the image these are indices into */
	bool asked, malformed;
};

/* A request that went to the server and waits for its response. */
struct session_xchg {
	struct session_xchg *next;
	bool head, connect, upgrade;
	uint32_t cseq;         /* RTSP: of the request that side has sent */
	uint8_t side;
	bool swallow_continue; /* we said 100 ourselves */
	bool unseen;           /* its response is not looked at */
	bool ours;             /* an answer of ours takes its place in the order */
	uint8_t minor;
	struct session_bypass bypass;
	uint16_t host_len, path_len, method_len;
	struct chunkq request; /* its head, if a service is to see it with the response (aux-parts) */
	char method[24];
	char text[2 * SESSION_PATH_MAX]; /* host, then path */
};

struct session_pipe {
	enum session_mode mode;
	enum session_route route;
	struct session_framer *framer;
	struct adapt *adapt;    /* ROUTE_ADAPT */
	struct adapt *observer; /* a copy goes here */
	struct chunkq raw;      /* taken from the half, not routed yet (parts of a head) */
	int32_t rule;           /* of the message under way, -1; see session_rule */
	uint32_t generation;    /* of the image it is an index into */
	uint64_t octets, messages;
	bool idle;              /* HTTP: nothing to do before more is received, or the stream ends */
	bool eof;               /* the stream ended and the end was handled */
	bool fin_passed;        /* the other half was told to finish */
	bool begun;             /* the message under way has been matched */
	bool close_after;       /* this message ends with the stream, whatever the original said */
	bool interim;           /* responses: a 1xx, not the final one */
	bool said_continue;     /* requests: the client got 100 from us */
	bool want_continue;     /* requests: the client waits for 100, and the service perhaps for the body */
	bool wait_upgrade;      /* requests: nothing more before the response says yes or no */
	bool inject_wait;       /* requests: an answer of ours waits for its turn; RTSP: it is in answer */
	bool instead;           /* RTSP: it takes a response's place, else it goes to where the message came from */
	bool answer_waits;      /* RTSP: the service answers the message, and waits for the other direction to be between two */
	bool answering;         /* RTSP: it does so now: nothing else goes there */
	struct rtsp_frames frames; /* RTSP: interleaved ones */
	struct chunkq answer;
	uint32_t heads_noted;   /* of adapt->heads_out: exchanges pushed */
	struct session_bypass bypass; /* what the request, or that of the response, under way asks for */
	uint8_t not_bypassed;   /* enum adapt_trace_why */
	bool unmatched;         /* no rule applies to the message under way: 1xx, a switch, after the action tunnel */
	bool bypassed;          /* the rule's service has nothing to do with the message under way */
};

/* What every frame towards a side begins with: Ethernet and tags, IP, TCP without options. What changes from segment
 * to segment is 0 in it, and the sums are those of the rest. */
#define SESSION_HEAD_MAX (SESSION_L2_MAX + 40 + 20)
struct session_head {
	uint8_t octets[SESSION_HEAD_MAX];
	uint8_t len;     /* of octets; 0: no frame has shown yet what it must look like */
	uint8_t l2_len;
	uint8_t tos, ttl;
	uint16_t ip_sum;     /* IPv4 header */
	uint16_t pseudo_sum; /* pseudo header without the length */
	uint16_t tcp_sum;    /* that and the TCP header */
};

/* When an end was heard last, and what is done about its silence (session_keepalive.c). */
struct session_heard {
	uint64_t us[2];    /* by side */
	uint64_t probe_us; /* the last probe, while probes is not 0 */
	uint8_t probes;    /* sent since an end fell silent */
};

struct session_link {
	struct session_link *next, *prev;
};

struct session {
	struct tcp_half half[2];
	struct session_pipe pipe[2];
	struct session_head head[2];
	struct session_flow_info info;
	struct session_ctx *ctx;
	struct session *next; /* free list */
	struct session_link link; /* of session_ctx.in_use */
	uint64_t link_us;         /* when it was put at that list's end */
	uint8_t state;
	bool half_open[2];
	bool answered;         /* we answered and are closing */
	bool tunnel_wait;      /* the server has switched before the request was through */
	bool starved;          /* something waits for memory: session_deadline */
	bool tunnel_after;     /* a rule said tunnel: no message is looked at any more */
	bool leaving;          /* windows are held, since leave_us; else not to be tried before leave_us */
	uint64_t leave_us;
	uint64_t stall_us;     /* leaving: one direction has waited for the other since, 0: none does */
	uint16_t ip_id;
	uint64_t begun_us;
	struct session_heard heard;
	/* Responses in order. */
	struct session_xchg *xchg_head, *xchg_tail;
	uint32_t xchg_count;
	struct session_smtp *smtp; /* PIPE_SMTP, once something was said */
	struct chunkq inject;  /* an answer of ours */
	bool inject_ready, inject_close;
	uint64_t queued[2];    /* of this session in session_ctx.queued */
};

/*
 * A flow that needs no halves: before they are opened, and while nothing is said on it (session_record.c,
 * session_park.c). A flow is in a struct session or in one of these, never in both.
 *
 * What worker/ holds of a flow is a handle: the address of its session, or that of its record and 1. So the usual
 * segment costs no look into a common header.
 */
enum session_record_kind {
	RECORD_HANDSHAKE,
	RECORD_PARKED,
	RECORD_DEAD,
	RECORD_JOINED,
	RECORD_CLOSING, /* over on both sides but for the wait (TIME_WAIT) */
};

/* What frames towards a side look like; see struct session_head. */
struct session_pattern {
	uint8_t l2[SESSION_L2_MAX];
	uint8_t l2_len; /* 0: not known yet */
	uint8_t tos, ttl;
};

/* What is left of a pipe without a message, or with a stream that only passes. */
struct session_parked_pipe {
	uint64_t octets, messages;
	int32_t rule;
	uint32_t generation;
	uint8_t mode, route;
	bool begun, eof, fin_passed;
};

/* The two halves are one connection again (session_join.c). By the side that sends the octets that are counted, and as
 * that side counts them. */
struct session_joined {
	uint32_t moved[2]; /* added to the numbers of its octets on their way to the other side */
	uint32_t acked[2]; /* by the other side */
	uint32_t end[2];   /* one past the last that was sent */
	uint32_t fin_end[2];
	bool fin[2];
	bool reset[2];
};

struct session_record {
	struct session_flow_info info;
	uint64_t begun_us;
	struct session_smtp *smtp; /* parked: the session's */
	struct session_heard heard;
	struct session_pattern pattern[2];
	uint8_t kind;
	uint16_t ip_id;
	union {
		struct session_record *next; /* free list */
		struct tcp_handshake hs;
		struct tcp_parked half[2];
		struct session_joined joined;
	};
	struct session_parked_pipe pipe[2];
};

static inline bool session_is_record(const struct session *s)
{
	return (uintptr_t)s & 1;
}

static inline struct session_record *session_record_of(const struct session *s)
{
	return (struct session_record *)((uintptr_t)s - 1);
}

static inline struct session *session_handle_of(struct session_record *r)
{
	return (struct session *)((uintptr_t)r + 1);
}

struct session_ctx {
	struct session_config cfg;
	struct chunk_pool pool;
	struct tcp_env env;
	struct adapt_ctx adapt;
	struct policy_matcher *matcher;
	struct session *current; /* whose half is being worked on: session_emit */
	uint64_t now_us;
	uint64_t *counter;
	void *slab;
	struct session *free_sessions;
	struct session_link in_use; /* all sessions, about in the order in which they last had work */
	void *record_slab;
	struct session_record *free_records;
	uint32_t parked, joined; /* records of that kind */
	uint32_t flows;  /* sessions and records */
	uint32_t probes_max;
	uint64_t probe_interval_us;
	struct session_framer *free_framers;
	void *framer_slab;
	struct session_smtp *free_smtps;
	void *smtp_slab;
	uint8_t *smtp_scratch; /* a chunk of a message with dots removed or put */
	struct session_xchg *free_xchgs;
	void *xchg_slab;
	uint32_t sessions; /* struct session in use */
	uint32_t under_way; /* messages begun and not gone */
	uint64_t queued[2]; /* octets in all halves: received and not taken, not acknowledged by the peer */
	uint32_t mbufs_total;
	uint64_t env_seen[16];
	uint64_t tune_us, scarce_us, conflict_us, stalled_us; /* next time */
};

static inline void session_count(struct session_ctx *c, enum stats_counter n)
{
	c->counter[n]++;
}

static inline void session_count_n(struct session_ctx *c, enum stats_counter n, uint64_t add)
{
	c->counter[n] += add;
}

/* session_tx.c */
int session_emit(void *ctx, struct tcp_half *h, const struct tcp_out *o);
/* Half i was opened: it may send what its port can cut. */
void session_tso(const struct session_ctx *c, struct session *s, unsigned i);
/* What one side sends, the other must receive: its frames are the pattern of ours. */
void session_head_learn(struct session *s, unsigned side, const struct rte_mbuf *m, const struct parse_frame *f);
/* The same from what was noted before. */
void session_head_set(struct session *s, unsigned side, const struct session_pattern *p);

/* session_keepalive.c */
void session_answered(const struct session_ctx *c, struct session_heard *h);
static inline void session_hear(const struct session_ctx *c, struct session_heard *h, unsigned side)
{
	h->us[side] = c->now_us;
	if (unlikely(h->probes))
		session_answered(c, h);
}
static inline uint64_t session_heard_last(const struct session_heard *h)
{
	return RTE_MAX(h->us[0], h->us[1]);
}
/* When an end will have been silent for too long, or an answer is due. */
uint64_t session_silence_deadline(const struct session_ctx *c, const struct session_heard *h);
enum session_silence {
	SILENCE_NONE,  /* wait on */
	SILENCE_PROBE, /* ask those that session_silent names */
	SILENCE_DEAD,  /* one did not answer */
};
/* At that time. Counts the probe. */
enum session_silence session_silence(const struct session_ctx *c, struct session_heard *h);
bool session_silent(const struct session_ctx *c, const struct session_heard *h, unsigned side);

/* session_record.c */
int session_records_create(struct session_ctx *c);
/* One is always free for a flow that leaves its session: there are as many as flows. */
struct session_record *session_record_new(struct session_ctx *c);
void session_record_free(struct session_ctx *c, struct session_record *r);
/* *s is a record. SESSION_CONSUMED: m is not gone, *s is a session now that takes it as any other segment. */
enum session_verdict session_record_segment(struct session_ctx *c, struct session **s, unsigned side,
					    struct rte_mbuf *m, const struct parse_frame *f);
uint64_t session_record_deadline(const struct session_ctx *c, const struct session_record *r);
void session_record_timer(struct session_ctx *c, struct session_record *r);
void session_record_row(const struct session_ctx *c, const struct session_record *r, struct shm_flow_row *row);
/* The flow of a row, and its times. */
void session_row_begin(const struct session_ctx *c, const struct session_flow_info *info, uint64_t begun_us,
		       uint64_t last_us, struct shm_flow_row *row);

/* What a flow whose client's direction is in that mode is called. */
const char *session_mode_name(enum session_mode mode);
/* How a flow that rules of a protocol have selected begins. */
enum session_mode session_mode_of(uint32_t protocol);

/* session_park.c */
/* A struct session for a flow, whose owner is told; if need be one that is quiet gives up its own. NULL: none. */
struct session *session_take(struct session_ctx *c, const struct session_record *r);
void session_give(struct session_ctx *c, struct session *s);
/* s has work: it is not among the first to be parked. */
static inline void session_touch(struct session_ctx *c, struct session *s)
{
	if (c->now_us - s->link_us < SESSION_TOUCH_US)
		return;
	s->link_us = c->now_us;
	s->link.prev->next = s->link.next;
	s->link.next->prev = s->link.prev;
	s->link.next = &c->in_use;
	s->link.prev = c->in_use.prev;
	s->link.prev->next = &s->link;
	c->in_use.prev = &s->link;
}
/* Nothing of it is under way but what a record can hold. */
bool session_quiet(const struct session *s);
/* Both ends have closed, all is delivered, and one half waits (TIME_WAIT). */
bool session_over(const struct session *s);
/* s is quiet or over, and gone afterwards; what remains of it is in the record, whose kind and owner are the caller's business.
 * NULL: there are no more records than flows. */
struct session_record *session_pack(struct session_ctx *c, struct session *s);
/* What c counts of messages that only pass. */
void session_passed_free(struct session_ctx *c, struct session_record *r);
void session_park(struct session_ctx *c, struct session *s);
bool session_closing_reusable(const struct session_ctx *c, const struct session_record *r, unsigned side,
			      const struct tcp_segment *seg);
/* NULL: no struct session to be had. r is gone otherwise. */
struct session *session_unpark(struct session_ctx *c, struct session_record *r);

/* session_join.c */
/* After each run of a session that is open; it may be gone afterwards. */
void session_leave(struct session_ctx *c, struct session *s);
uint64_t session_leave_deadline(const struct session_ctx *c, const struct session *s);
enum session_verdict session_joined_segment(struct session_ctx *c, struct session_record *r, unsigned side,
					    struct rte_mbuf *m, const struct parse_frame *f);
bool session_joined_reusable(const struct session_record *r);
uint64_t session_joined_deadline(const struct session_ctx *c, const struct session_record *r);
void session_joined_timer(struct session_ctx *c, struct session_record *r);

/* session.c */
uint16_t session_mss(const struct session_ctx *c, bool is_v6);
/* Nothing of a segment is looked at, much less acknowledged, before this. *sum: of its payload, where that will be of
 * use and is found on the way; else 0. */
bool session_checksums_good(const struct session_ctx *c, const struct session_flow_info *info, unsigned side,
			    const struct rte_mbuf *m, const struct parse_frame *f, uint16_t *sum);
void session_open_halves(struct session_ctx *c, struct session *s, const struct tcp_handshake *hs);
void session_abort(struct session_ctx *c, struct session *s);
/* session_ctx.c: packet buffers are scarce; a session that holds some for an end that takes nothing is reset. */
void session_relieve(struct session_ctx *c, struct session *s);
void session_note(struct session_ctx *c, const struct session *s, int32_t rule, const char *kind,
		  const char *cause, uint64_t offset, const char *text);
/* Room in the half that pipe d feeds. */
uint64_t session_room(const struct session *s, unsigned d);
const struct policy_image *session_image(const struct session_ctx *c);
/* The rule of p's message as an index into the rules in use now, -1: none, or it was one of older rules. */
int32_t session_rule(const struct session_ctx *c, const struct session_pipe *p);

void session_framer_give(struct session_ctx *c, struct session_pipe *p);
/* session_http.c: both return true when something moved */
bool session_http_run(struct session_ctx *c, struct session *s, unsigned d);
/* Both directions, with what was taken and not routed. */
void session_to_tunnel(struct session_ctx *c, struct session *s);
/* Nothing is under way but, while one has just begun, that message of direction d; d 2: none. */
bool session_between(const struct session *s, unsigned d);
void session_http_free(struct session_ctx *c, struct session *s);
/* session_message.c: what happens to a message */
void session_message_begin(struct session_ctx *c, struct session *s, unsigned d);
void session_message_route(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q,
			   enum callout_part part, struct chunkq *framing);
/* The framer saw its end. ok: it was whole. */
void session_message_end(struct session_ctx *c, struct session *s, unsigned d, bool ok);
/* Moves what the service returned into the right half, and acts on the outcome. */
void session_message_pump(struct session_ctx *c, struct session *s, unsigned d);
/* No rule in force would look at the stream of d, which has not begun. */
bool session_unseen(struct session_ctx *c, struct session *s, unsigned d);
void session_message_drop(struct session_ctx *c, struct session *s, unsigned d);
/* session_bypass.c */
/* Of the request of which h is the head. */
void session_bypass_read(const struct policy_image *img, const struct http1_head *h, struct session_bypass *b);
/* HTTP: a message of d begins. */
void session_bypass_begin(struct session_ctx *c, struct session *s, unsigned d);
/* The message of d matches r, which has a service: is it kept from it? Sets what its pipe says of that, counts, notes. */
void session_bypassed(struct session_ctx *c, struct session *s, unsigned d, const struct policy_rule *r);
/* session_trace.c */
/* The message of d, which has been matched, gets a trace entry, by whoever writes its head. */
bool session_traced(const struct session_ctx *c, const struct session *s, unsigned d);
/* It would, its trace is too long for that, and it is answered instead. */
bool session_trace_refused(struct session_ctx *c, struct session *s, unsigned d);
/* The head in q of a message that is forwarded gets its entry: its octets are exchanged. */
void session_trace_forwarded(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q);
/* Field lines with the entry of an answer of ours; octets written, at most SESSION_TRACE_LINES, no NUL. */
#define SESSION_TRACE_LINES (2 * ADAPT_TRACE_ENTRY_MAX + 64)
uint32_t session_trace_answer(const struct session_ctx *c, char *out);
/* The first rule in force that takes m, -1: none. */
int32_t session_match(struct session_ctx *c, struct session *s, const struct policy_message *m);
/* Meta-data lines that every message of d has, to out; their octets. */
uint32_t session_meta(const struct session *s, unsigned d, const char *proto, const char *kind, const char *rule, bool observe,
		      char *out, uint32_t cap);
/* Framing errors at the beginning of a flow are dealt with by the first rule that selected it. */
enum policy_on_failure session_framing_policy(const struct session_ctx *c, const struct session *s);
/* session_smtp.c: see session_smtp.h */
int session_smtp_create(struct session_ctx *c);
void session_smtp_destroy(struct session_ctx *c);
bool session_smtp_run(struct session_ctx *c, struct session *s, unsigned d);
void session_smtp_free(struct session_ctx *c, struct session_smtp *m);
/* Between commands, nothing is waited for. */
bool session_smtp_quiet(const struct session_smtp *m);
/* session_rtsp.c */
bool session_rtsp_run(struct session_ctx *c, struct session *s, unsigned d);
/* What the service a returned to the message of d may go on now: to the other side, or as an answer to where it came from. */
bool session_rtsp_output_allowed(struct session *s, unsigned d, const struct adapt *a);
/* The request that the response of d, which begins, answers; NULL: not known. */
const struct session_xchg *session_rtsp_request(const struct session *s, unsigned d);
/* That response has been matched. */
void session_rtsp_answered(struct session_ctx *c, struct session *s, unsigned d);
/* The request of d goes to the other side now. */
void session_rtsp_requested(struct session_ctx *c, struct session *s, unsigned d);
/* As session_answer. */
void session_rtsp_answer(struct session_ctx *c, struct session *s, unsigned d, unsigned status);
/* session_stream.c */
bool session_stream_run(struct session_ctx *c, struct session *s, unsigned d);
/* session_answer.c */
void session_answer(struct session_ctx *c, struct session *s, unsigned d, unsigned status, const char *why, bool close);
const char *session_reason(unsigned status);
void session_close_answered(struct session_ctx *c, struct session *s);
bool session_inject_run(struct session_ctx *c, struct session *s);
void session_continue(struct session_ctx *c, struct session *s);

/* A request that waits for its response, with the head's method, host and path; NULL: too many. */
struct session_xchg *session_xchg_push(struct session_ctx *c, struct session *s, const struct http1_head *h);
void session_xchg_pop(struct session_ctx *c, struct session *s);

#endif
