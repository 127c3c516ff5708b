/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SMTP framing (RFC 5321): cuts the client's stream into commands and messages, the server's into replies, and puts
 * messages on the wire. Pure: no allocation, no clock, no DPDK. However a stream is cut into pieces, what is told about
 * it is the same.
 *
 *   struct smtp_lines    lines of commands          smtp_lines_step
 *   struct smtp_data     a message coming in        smtp_data_step: dots removed, its end found
 *   struct smtp_stuff    a message going out        smtp_stuff_step: where dots are put, smtp_stuff_end
 *   struct smtp_replies  lines of replies           smtp_replies_step
 *
 * Which of the first two the client's octets go through is the caller's to know: a message begins after the server's
 * (or the caller's own) 354.
 *
 * What ends a line:
 *   commands, replies  LF. Lenient receivers take a bare LF for the end, strict ones do not; so the caller sends every
 *                      line on with CRLF, and both see the same lines. A CR elsewhere, or a NUL, makes the line bad.
 *   a message          CRLF "." CRLF, and nothing else (RFC 5321 4.1.1.4): not with a bare CR or LF in the place of
 *                      any CRLF. Bare ones are text. Those that a lenient receiver could take for an end ("smuggling")
 *                      are counted: smtp_data.odd.
 *   a line to be stuffed  begins after CRLF, or at the message's beginning (4.5.2).
 */
#ifndef APP_SMTP_H
#define APP_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTP_LINE_MAX 2048  /* octets of a command line that are kept; RFC 5321 4.5.3.1.4 has 512, extensions add to it */
#define SMTP_REPLY_KEPT 512 /* of a reply line, 4.5.3.1.5 */
#define SMTP_ANSWER_MAX 4096 /* octets of a reply that a service gives, its CRLFs counted */

/* --- commands --------------------------------------------------------------------------------------------------- */

enum smtp_verb {
	SMTP_OTHER, /* any other word, or none */
	SMTP_EHLO,
	SMTP_HELO,
	SMTP_LHLO, /* LMTP (RFC 2033): a reply for each recipient after the message */
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BDAT, /* RFC 3030 */
	SMTP_BURL, /* RFC 4468 */
	SMTP_XEXCH50,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_QUIT,
	SMTP_VRFY,
	SMTP_EXPN,
	SMTP_HELP,
	SMTP_AUTH,
	SMTP_STARTTLS, /* also X-ANONYMOUSTLS */
	SMTP_TURN,     /* also ATRN, ETRN not: the roles change */
	SMTP_XCLIENT,
	SMTP_VERB_MAX
};

enum smtp_event_type {
	SMTP_NEED_MORE, /* ev.len octets belong to the line that has begun */
	SMTP_LINE,      /* the line ends with these ev.len octets */
	SMTP_TEXT,      /* ev.len octets of the message; ev.held: a CR that was held before is text, too, in front of them */
	SMTP_STUFFING,  /* ev.len octets are not the message's */
	SMTP_HELD,      /* one octet, a CR: text or part of the end, the next event tells (ev.held, or END) */
	SMTP_END,       /* the message ended with these ev.len octets */
	SMTP_BAD,       /* no reply; ev.len octets of it have been looked at. For good. */
};

struct smtp_event {
	enum smtp_event_type type;
	uint32_t len;
	bool held;
};

struct smtp_lines {
	char line[SMTP_LINE_MAX]; /* without CRLF or LF; valid from LINE until the next step */
	uint32_t len;             /* of what is kept */
	uint64_t octets;          /* of the whole line, its end included */
	bool cut;                 /* longer than what is kept */
	bool bad;                 /* holds a NUL or a CR that does not belong to its end */
	bool crlf;                /* LINE: ended so, not with LF alone */
	bool cr, done;            /* private */
};

void smtp_lines_init(struct smtp_lines *p);
/* in: len > 0 octets that follow. NEED_MORE (ev->len == len) or LINE. */
void smtp_lines_step(struct smtp_lines *p, const uint8_t *in, uint32_t len, struct smtp_event *ev);
/* Nothing of a line has been seen. */
bool smtp_lines_between(const struct smtp_lines *p);

/* The command's verb, any case, leading white space passed over as servers do. args: where its argument begins. */
enum smtp_verb smtp_verb(const char *line, uint32_t len, uint32_t *args);
const char *smtp_verb_name(enum smtp_verb v);
/* Do these first octets of a stream begin like those of an SMTP client? n < 4: as far as they can be told. */
bool smtp_begins(const uint8_t *in, uint32_t n);

struct smtp_span {
	uint32_t off, len;
};
/* The address and parameters of MAIL and RCPT (4.1.2): path: with its angle brackets where it has some, address: without them
 * and without a source route, params: what follows, trimmed. What does not look like FROM:/TO: and a path: all of it is
 * path and address. args as smtp_verb gave it. */
void smtp_path(const char *line, uint32_t len, uint32_t args, struct smtp_span *path, struct smtp_span *address,
	       struct smtp_span *params);
/* BDAT's octets; false: no number. */
bool smtp_bdat_size(const char *line, uint32_t len, uint32_t args, uint64_t *size);

/* --- messages --------------------------------------------------------------------------------------------------- */

struct smtp_data {
	uint8_t state;   /* private */
	uint32_t odd;    /* lines of one dot (or dots after a bare LF) that are no end but look like one */
	uint64_t octets; /* of text so far; of held CRs when they have become text */
};

void smtp_data_init(struct smtp_data *p);
/* in: len > 0 octets that follow. TEXT, STUFFING, HELD or END, ev->len > 0. After END nothing more may be given. */
void smtp_data_step(struct smtp_data *p, const uint8_t *in, uint32_t len, struct smtp_event *ev);

struct smtp_stuff {
	uint8_t state; /* private */
};

void smtp_stuff_init(struct smtp_stuff *p);
/* How many of the next len octets go out as they are. *dot: then a dot, before the octet after them (which the next step
 * is given first). */
uint32_t smtp_stuff_step(struct smtp_stuff *p, const uint8_t *in, uint32_t len, bool *dot);
/* What ends the message: a CRLF if its last line has none, the dot, CRLF. */
const char *smtp_stuff_end(const struct smtp_stuff *p);

/* --- replies ---------------------------------------------------------------------------------------------------- */

struct smtp_replies {
	char line[SMTP_REPLY_KEPT]; /* the line, without its end; valid from LINE until the next step */
	uint32_t len;
	uint16_t code;              /* 200 to 599, of LINE and the lines before it */
	bool last;                  /* LINE: it ends the reply */
	bool first;                 /* LINE: it begins it */
	bool crlf;                  /* LINE: ended so, not with LF alone */
	bool cr, done, bad;         /* private */
	uint16_t number;            /* private: code of the reply that has begun, 0: none */
};

void smtp_replies_init(struct smtp_replies *p);
/* in: len > 0 octets that follow. NEED_MORE, LINE or BAD: no code at a line's beginning, or another than before it. */
void smtp_replies_step(struct smtp_replies *p, const uint8_t *in, uint32_t len, struct smtp_event *ev);
/* Nothing of a reply has been seen. */
bool smtp_replies_between(const struct smtp_replies *p);
/* The keyword of a line of an EHLO reply that is not its first: one whose commands cannot be framed (CHUNKING, BINARYMIME,
 * BURL, XEXCH50), or, with tls, STARTTLS and X-ANONYMOUSTLS. */
bool smtp_ehlo_hidden(const char *line, uint32_t len, bool tls);
/* A reply as a service gives it in place of a message: one, complete, code 2yz, 4yz or 5yz, lines of at most 510 octets
 * without control characters, its last CRLF may be missing and LF stand for CRLF. Written with CRLFs to out, at most
 * SMTP_ANSWER_MAX octets. Its length, or -1. */
int smtp_answer(const char *in, uint32_t len, char out[SMTP_ANSWER_MAX], unsigned *code);

#endif
