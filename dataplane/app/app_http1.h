/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HTTP/1 framing (RFC 9112, strict): cuts one direction of a byte stream into
 * messages. Pure: no allocation, no clock, no DPDK; the caller gives memory for
 * the head. An ambiguous length is refused, never guessed.
 *
 * Call order per direction:
 *   http1_init ( http1_expect? http1_step* )*
 * Each http1_step looks at the next contiguous input bytes and returns ONE
 * event telling what the first ev.len of them are. The caller keeps the raw
 * bytes (they are not copied except into the head buffer) and steps on with the
 * rest. ev.len may be 0 (HTTP1_END after a head with no body, for example), so
 * it steps on, with no input at last, until HTTP1_NEED_MORE comes and nothing
 * is left; then again when bytes or the FIN arrive.
 *
 * Events of one message, however the stream is cut:
 *   NEED_MORE* HEAD ( BODY | FRAMING )* ( TRAILER | FRAMING )* END
 * but for the 101 and the 2xx to CONNECT, with which the connection stops being
 * HTTP: NEED_MORE* HEAD TUNNEL, where TUNNEL also ends the message. NEED_MORE
 * has ev.len > 0 for octets of a head only. TUNNEL and BAD stay for good, with
 * ev.len 0.
 *
 * A FIN between messages is HTTP1_NEED_MORE with nothing left: an unanswered
 * request is the caller's to notice (http1_between).
 *
 * What follows a request with method_connect or upgrade set means one thing or
 * another by the answer: do not step the request direction on before the final
 * answer is known, and then http1_set_tunnel it when that was accepted.
 *
 * Choices where the RFC leaves room, all on the refusing side (RFC 9112 in
 * brackets): a bare LF or CR ends nothing [2.2]; obs-fold is refused [5.2];
 * several Content-Length fields are accepted only when identical octet by octet,
 * and the list form "5, 5" never [6.3]; Transfer-Encoding must be one field with
 * the one value "chunked" [6.1, 7], any other coding inside it is refused, as it
 * is together with Content-Length or in HTTP/1.0; a CONNECT request has no body;
 * HTTP/1.x other than 1.0 and 1.1 is refused; an unasked 101 is refused; a
 * chunk-size line is at most HTTP1_CHUNK_LINE_MAX octets and 16 digits, white
 * space only where chunk-ext has it [7.1.1]; Content-Length, Transfer-Encoding,
 * Host and Connection may not be trailers. Accepted though not in the grammar:
 * octets above 127 in a target, and a status line without the space before an
 * empty reason.
 */
#ifndef APP_HTTP1_H
#define APP_HTTP1_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP1_HEAD_MAX 65536   /* octets of start line and fields, with the final empty line */
#define HTTP1_FIELDS_MAX 128
#define HTTP1_TRAILER_MAX 16384
#define HTTP1_CHUNK_LINE_MAX 1024
#define HTTP1_CHUNK_SIZE_TEXT 18 /* octets http1_write_chunk_size may write */

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };
/* RTSP/1.0 has messages much like these: see app_rtsp.h. */
enum http1_proto { HTTP1_PROTO_HTTP, HTTP1_PROTO_RTSP };

enum http1_event_type {
	HTTP1_NEED_MORE, /* ev.len bytes belong to what was begun (head bytes, part of a chunk line); no event yet */
	HTTP1_HEAD,      /* the head is complete with these ev.len bytes; p->head is valid until the next message */
	HTTP1_BODY,      /* ev.len bytes of body, transfer coding removed */
	HTTP1_FRAMING,   /* ev.len bytes of chunk-size lines, CRLFs, empty lines between messages: not part of the message */
	HTTP1_TRAILER,   /* ev.len bytes of trailer fields, without the final empty line (that is FRAMING) */
	HTTP1_END,       /* message complete; ev.len is 0 */
	HTTP1_TUNNEL,    /* message complete, from here all bytes are opaque (CONNECT 2xx, 101); ev.len 0 */
	HTTP1_BAD,       /* refused: p->bad says why, p->bad_offset where (octets since message start) */
};

enum http1_bad { /* http1_bad_text() gives the sentence */
	HTTP1_OK,
	HTTP1_BAD_START_LINE,
	HTTP1_BAD_VERSION,
	HTTP1_BAD_FIELD_NAME,
	HTTP1_BAD_FIELD_VALUE,
	HTTP1_BAD_OBS_FOLD,
	HTTP1_BAD_SPACE_BEFORE_COLON,
	HTTP1_BAD_BARE_CR,
	HTTP1_BAD_BARE_LF,
	HTTP1_BAD_LENGTH,          /* not 1*DIGIT, too large */
	HTTP1_BAD_LENGTH_CONFLICT, /* differing Content-Length values */
	HTTP1_BAD_LENGTH_AND_CODING, /* Transfer-Encoding together with Content-Length */
	HTTP1_BAD_CODING,          /* transfer coding whose final one is not chunked, unknown, HTTP/1.0 */
	HTTP1_BAD_CHUNK,
	HTTP1_BAD_TRAILER,
	HTTP1_BAD_HEAD_TOO_LARGE,
	HTTP1_BAD_TOO_MANY_FIELDS,
	HTTP1_BAD_HOST,            /* HTTP/1.1 request without or with several Host */
	HTTP1_BAD_UNEXPECTED_RESPONSE, /* response while no request is outstanding */
	HTTP1_BAD_EOF,             /* stream ended inside a message */
	HTTP1_BAD_MAX
};

struct http1_span { /* within head_buf */
	uint32_t off;
	uint32_t len;
};
struct http1_field {
	struct http1_span name, value; /* value without surrounding white space */
	struct http1_span line;        /* whole line with its CRLF */
};

enum http1_body_kind {
	HTTP1_BODY_NONE,
	HTTP1_BODY_LENGTH,
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_CLOSE, /* until the stream ends */
};

struct http1_head {
	const char *buf; /* the head, contiguous, start line to final empty line, len octets */
	uint32_t len;
	uint8_t kind;    /* enum http1_kind */
	uint8_t proto;   /* enum http1_proto */
	uint8_t minor;   /* HTTP/1.minor, 0 or 1; RTSP: 0 */
	uint16_t status; /* responses */
	struct http1_span method, target, reason, host; /* host: Host field or authority of an absolute target */
	struct http1_span path;      /* path and query of the target */
	struct http1_span start_line; /* without CRLF */
	uint16_t nfields;
	uint8_t body;    /* enum http1_body_kind */
	bool keep_alive; /* connection persists after this message, as far as this message says */
	bool upgrade;    /* request: asks for an upgrade; */
	bool expect_continue;
	bool method_head, method_connect;
	bool interim;    /* 1xx other than 101 */
	bool has_content_length; /* a valid Content-Length field is present (also on HEAD answers) */
	uint64_t content_length;
	struct http1_field field[HTTP1_FIELDS_MAX];
};

struct http1_event {
	enum http1_event_type type;
	uint32_t len;
};

struct http1 {
	struct http1_head head;
	char *head_buf;      /* caller's, HTTP1_HEAD_MAX octets or fewer */
	uint32_t head_cap, head_len;
	uint8_t kind;        /* RTSP: HTTP1_REQUEST, head.kind tells */
	uint8_t proto;       /* enum http1_proto */
	uint8_t state;       /* private */
	uint8_t bad;         /* enum http1_bad */
	bool req_head, req_connect, req_upgrade, req_known; /* http1_expect */
	uint64_t left;       /* private: octets left of body or chunk */
	uint64_t body_octets; /* body octets so far, decoded */
	uint64_t msg_octets; /* raw octets of the message so far */
	uint64_t bad_offset;
	uint32_t trailer_len;
	uint32_t scan;       /* private: where the search for the end of head goes on */
	/* private: */
	uint32_t checked;  /* start line looked at so far while it is incomplete */
	uint16_t line_len; /* chunk-size line so far */
	uint8_t digits;    /* of the chunk size */
	uint8_t ext;       /* place within a chunk extension */
	bool tunnel;       /* after this message */
	uint8_t name_len;  /* trailer name so far, cut to sizeof(name) */
	char name[18];
};

void http1_init(struct http1 *p, enum http1_kind kind, char *head_buf, uint32_t head_cap);
/* Changes the head buffer between messages (a pool may lend it per message only). */
void http1_set_buffer(struct http1 *p, char *head_buf, uint32_t head_cap);
/* Responses: what the request was, before the response's first byte. Interim responses keep it, END of
 * the final one takes it back. */
void http1_expect(struct http1 *p, bool method_head, bool method_connect, bool upgrade);
/* The rest of this direction is opaque: for the requests, when the answers' side gave HTTP1_TUNNEL. */
void http1_set_tunnel(struct http1 *p);
/* So many of the next octets are body, whatever they are: http1_step may be given a len up to that with in NULL. 0: they
 * have to be looked at. */
uint64_t http1_unread(const struct http1 *p);
/* in/len may be empty. eof: no byte follows these (FIN); ends a close-delimited body or gives BAD_EOF. */
void http1_step(struct http1 *p, const uint8_t *in, uint32_t len, bool eof, struct http1_event *ev);
const char *http1_bad_text(enum http1_bad bad);
/* True between messages: nothing of a next one has been seen. Counters and head of the last one stay
 * readable until the first octet of the next. */
bool http1_between(const struct http1 *p);

/* Parses a complete head lying in buf (an adapted head that a service returned). Only NONE of the body rules of
 * the connection apply; framing fields are parsed but a conflict is not an error here (the writer replaces
 * them). 0 need more, >0 octets of the head, <0 -(enum http1_bad). */
int http1_parse_head(struct http1_head *h, enum http1_kind kind, const char *buf, uint32_t len);

/* How http1_write_head frames. */
enum http1_framing {
	HTTP1_FRAME_KEEP,     /* leave Content-Length and Transfer-Encoding as they are (HEAD, 304, 204) */
	HTTP1_FRAME_LENGTH,   /* exactly one Content-Length: length */
	HTTP1_FRAME_CHUNKED, /* HTTP/1.1 only; a response of HTTP/1.0 is written as FRAME_CLOSE instead, a request of it
				refused with -EINVAL: look at h->minor before writing chunks */
	HTTP1_FRAME_CLOSE,    /* neither; Connection: close */
};
/* Writes h anew with the given framing, all other fields in their order and spelling. connection_close adds
 * "Connection: close" (and drops keep-alive; other Connection options stay). The new framing field takes the place
 * of the old one, or the end. Trailer goes with LENGTH and CLOSE. Returns octets written, -ENOSPC or -EINVAL.
 * What the peer can take is the caller's to know: no chunked answer to a client that asked in HTTP/1.0. */
int http1_write_head(const struct http1_head *h, enum http1_framing f, uint64_t length, bool connection_close,
		     char *out, uint32_t cap);
/* A field that a head is written with in place of all of that name (in any case): where the first of them is, else at the
 * end. value NULL: they are left out. Not for fields of framing and connection. */
struct http1_edit {
	const char *name;
	const char *value;
	uint32_t len; /* of value, which has nothing that a field value may not have */
};
#define HTTP1_EDITS_MAX 8
/* The same with so many edits. */
int http1_write_head_edited(const struct http1_head *h, enum http1_framing f, uint64_t length, bool connection_close,
			    const struct http1_edit *edit, uint32_t edits, char *out, uint32_t cap);
/* Writes the line that begins a chunk of n > 0 octets: size in hex and CRLF. After the chunk comes CRLF, after the last
 * one "0" CRLF, trailer fields, CRLF. Returns octets written, at most HTTP1_CHUNK_SIZE_TEXT; no NUL. */
uint32_t http1_write_chunk_size(char *out, uint64_t n);
/* First field of that name (ASCII case-insensitive), NULL if none. */
const struct http1_field *http1_find(const struct http1_head *h, const char *name);
/* The next after f, from the first where f is NULL. */
const struct http1_field *http1_find_next(const struct http1_head *h, const char *name, const struct http1_field *f);

#endif
