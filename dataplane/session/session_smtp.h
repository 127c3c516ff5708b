/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SMTP (RFC 5321) on a selected flow; shared by the session_smtp*.c.
 *
 * Commands go on to the server in their order as they come, replies to the client. What each reply answers is known by
 * a list (pending): from it the envelope is known, and what a 354 or a 334 means for the octets that follow. A command
 * after which those octets could be anything else than commands is not read past before its reply has come.
 *
 * A mail that a rule adapts:
 *
 *   client                 appliance                                  service        server
 *   DATA          ------>
 *                 <------  354
 *   message       ------>  dots removed              ------------->
 *                                                    <-------------  adapted octets
 *                          DATA                      ------------------------------>
 *                                                    <------------------------------  354
 *                          adapted octets, dots put  ------------------------------>
 *   CRLF.CRLF     ------>                            ------------->
 *                          CRLF.CRLF                 ------------------------------>
 *                 <--------------------------------------------------------------->  250
 *
 * INV-SMTP-1  the end of a message is sent to the server only when the client's has come and the service's is complete:
 *             never half a mail, whoever breaks off. A message that has been begun there and cannot be finished ends with
 *             a reset of the server's connection.
 * INV-SMTP-2  the client gets exactly one reply to each command, in their order; of a message that we took, one
 *             after its end: the server's, or ours.
 * INV-SMTP-3  a mail that the server has not been asked to take (DATA) is taken back there with RSET, whose reply goes to
 *             nobody, before the client can say more.
 * INV-SMTP-4  what our reading of a command depends on is all that the server gets: a line ends with CRLF when it goes
 *             on, whatever it came with; lines with other CRs or NULs do not go on.
 */
#ifndef SESSION_SMTP_H
#define SESSION_SMTP_H

#include "app/app_smtp.h"
#include "session_priv.h"

#define SMTP_FLOWS_MAX 4096        /* of a worker; parked ones count */
#define SMTP_PENDING_MAX 128       /* commands whose replies have not come; more are not read before */
#define SMTP_ENVELOPE_TEXT 65536   /* octets of addresses; room for 100 recipients (4.5.3.1.8) of any length */
#define SMTP_ADDRESSES_MAX 256     /* a sender, recipients: as many as rules look at (POLICY_FOUND_MAX) */
#define SMTP_ADDRESS_MAX 1024      /* octets of an address with its parameters */
#define SMTP_LINE_RAW_MAX 65536    /* octets of a line, command or reply */
#define SMTP_SCRATCH (65536 + 65536 / 2)

enum smtp_phase {
	SMTP_COMMANDS,  /* the client's next octets are a command */
	SMTP_HELD_BACK, /* a command has been read and waits for all replies before it */
	SMTP_CONTINUED, /* a line that answers a 334 */
	SMTP_PASSING,   /* a message that crosses, or is copied to an observer */
	SMTP_ADAPTING,  /* a message that goes to the service */
	SMTP_DROPPING,  /* a message whose reply is known already: read to its end */
	SMTP_SKIPPING,  /* what follows a BDAT that was refused */
	SMTP_AFTER,     /* an adapted message has been read to its end: its reply is to come */
};

enum smtp_sent { /* of an adapted message, to the server */
	SMTP_SENT_NOTHING,
	SMTP_SENT_DATA,  /* its 354 is to come */
	SMTP_SENT_BEGUN, /* it has come */
	SMTP_SENT_END,   /* and so has the message's end gone */
	SMTP_SENT_OVER,  /* the server has said its word */
};

enum smtp_expect { SMTP_EXPECT_GREETING = SMTP_VERB_MAX, SMTP_EXPECT_OUTCOME };

struct smtp_pending {
	uint8_t what;    /* enum smtp_verb or smtp_expect */
	bool ours;       /* the command was ours: its reply is not the client's to see */
	bool wait;       /* nothing more is read of the client before the reply */
	uint16_t address; /* MAIL, RCPT: index */
};

struct smtp_address {
	uint32_t at;           /* in text: as on the wire, then the address in lower case */
	uint16_t len, lower_len;
	bool sender, accepted;
};

struct session_smtp {
	struct session_smtp *next;
	enum smtp_phase phase;
	enum smtp_sent sent;
	bool greeted;
	bool strip;      /* STARTTLS: see policy */
	bool close;      /* after the outcome */
	bool traced;     /* the trace of the message under way has gone */
	uint8_t verb;    /* HELD_BACK: what it is */
	uint32_t args;   /* where its argument begins */
	uint64_t skip;   /* SKIPPING */
	uint16_t answer; /* the code when the outcome is ours */
	struct smtp_pending pending[SMTP_PENDING_MAX];
	uint32_t pending_at, pending_n;
	/* the message under way */
	struct smtp_data data;
	struct smtp_stuff stuff;
	struct chunkq outcome; /* its reply; empty: not known */
	bool take_back;        /* the server has refused DATA: INV-SMTP-3 */
	/* replies */
	struct smtp_replies replies;
	struct chunkq line;    /* EHLO: a line that has come, kept until it is known whether it is the last */
	/* the envelope */
	char helo[256], helo_next[256];
	uint32_t naddresses, text_len;
	struct smtp_address address[SMTP_ADDRESSES_MAX];
	char text[SMTP_ENVELOPE_TEXT];
	/* last: it is large */
	struct smtp_lines lines;
};

/* session_smtp.c */
void session_smtp_expect(struct session_smtp *m, uint8_t what, bool ours, bool wait);
/* Our own words, a whole line or reply without its CRLF. */
void session_smtp_to_server(struct session_ctx *c, struct session *s, const char *line);
void session_smtp_to_client(struct session_ctx *c, struct session *s, const char *line);
/* The line in q ends with CRLF afterwards; crlf: it does already. False: no memory, the flow is reset. */
bool session_smtp_whole_line(struct session_ctx *c, struct session *s, struct chunkq *q, bool crlf);
/* So it goes to the other side; q is empty afterwards. */
void session_smtp_pass_line(struct session_ctx *c, struct session *s, unsigned d, struct chunkq *q, bool crlf);
void session_smtp_refuse(struct session_ctx *c, struct session *s, unsigned d, const char *why);

/* session_smtp_envelope.c */
/* An address of the command in m->lines; false: no room. */
bool session_smtp_address(struct session_smtp *m, bool sender, uint16_t *index);
void session_smtp_settle(struct session_smtp *m, uint16_t index, bool accepted);
void session_smtp_forget(struct session_smtp *m);
/* The server has accepted a recipient. */
bool session_smtp_has_recipient(const struct session_smtp *m);
int32_t session_smtp_match(struct session_ctx *c, struct session *s);
/* Lines of meta-data; octets written. What does not fit is left out whole and told by a number. */
uint32_t session_smtp_meta(struct session_ctx *c, const struct session *s, const char *rule, bool observe, char *out,
			   uint32_t cap);

/* session_smtp_reply.c */
bool session_smtp_replies_run(struct session_ctx *c, struct session *s);

/* session_smtp_input.c */
/* Octets of a message; false: none could be taken. */
bool session_smtp_message(struct session_ctx *c, struct session *s);

/* session_smtp_trace.c */
#define SMTP_TRACE_MAX (3 * ADAPT_TRACE_ENTRY_MAX)
/* Field lines for the beginning of the mail in a; their octets, 0: it is not traced. */
uint32_t session_smtp_trace(const struct session_ctx *c, const struct adapt *a, char out[SMTP_TRACE_MAX]);
/* A whole reply gets one more line; octets it has then, as before where there is no room or nothing is traced. */
uint32_t session_smtp_trace_reply(const struct session_ctx *c, char *reply, uint32_t len, uint32_t cap);

/* session_smtp_mail.c */
/* DATA, no reply outstanding. */
void session_smtp_data(struct session_ctx *c, struct session *s);
/* The server's 354 to a message that only passes. */
void session_smtp_passing(struct session_ctx *c, struct session *s);
/* The client has said all, and what becomes of the mail is known: it is told, and may go on. */
void session_smtp_conclude(struct session_ctx *c, struct session *s);
/* The message holds an odd end, and its rule refuses those. */
void session_smtp_refuse_odd(struct session_ctx *c, struct session *s);
/* No message is under way any more. */
void session_smtp_gone(struct session_ctx *c, struct session_pipe *p);
/* What the service returned, and its end. */
void session_smtp_pump(struct session_ctx *c, struct session *s);
/* The server's reply to a message of ours is in m->outcome. */
void session_smtp_decided(struct session_ctx *c, struct session *s);
/* The server is gone while a message is under way. */
void session_smtp_server_gone(struct session_ctx *c, struct session *s);
/* An adapted message is under way. */
static inline bool session_smtp_busy(const struct session_smtp *m)
{
	return m->phase == SMTP_ADAPTING || m->phase == SMTP_DROPPING || m->phase == SMTP_AFTER;
}

#endif
