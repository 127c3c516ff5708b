/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside libocp: the incremental decoder. One pass over the octets checks the whole
 * grammar (RFC 4037 section 3.1) and every limit, and notes where the values of known
 * parameters lie; when the head is complete those are bound (ocp_bind.c).
 * ocp_decode.c: what an agent calls, events, payloads. ocp_decode_head.c: heads.
 *
 * State: `state` says what may come next, frame[0..depth] which brackets are
 * open (frame 0 is the message itself).
 *
 * Storage: while a message began in the buffer at hand, notes are offsets from
 * its first octet there (store_len == 0). When the buffer ends inside the head,
 * what is needed moves to `store` and notes are offsets into that. Values that
 * nobody will read (unknown messages and parameters) are left out, so that a peer
 * cannot make us keep more than limits.head.
 *
 * INV-OCP-D1  a note's offset is valid in the concatenation store + [seg, i) of the buffer.
 * INV-OCP-D2  no octet is looked at twice, except those of kept values at binding.
 */
#ifndef OCP_DECODE_H
#define OCP_DECODE_H

#include "ocp/ocp_message.h"

enum ocp_decode_state {
	ST_START,  /* first octet of a message */
	ST_NAME,   /* inside the message name */
	ST_VALUE,  /* first octet of a value */
	ST_STRUCT, /* after { */
	ST_LIST,   /* after ( */
	ST_BARE,
	ST_QSIZE, /* size of a quoted value */
	ST_QDATA,
	ST_QUOTE,	 /* closing quote */
	ST_AFTER,	 /* after a value; the frame says what may follow */
	ST_LF,		 /* LF of a CRLF, then `next` */
	ST_PARAMS,	 /* after the first line: named parameter or payload */
	ST_NAMED,	 /* named parameter must begin */
	ST_NAMED_OR_END, /* another one, or the end of the message or structure */
	ST_PNAME,	 /* inside a parameter name */
	ST_SP,		 /* SP between colon and value */
	ST_PSIZE,	 /* size of the payload */
	ST_PAYLOAD,
	ST_TAIL_CR, /* CRLF after the payload */
	ST_SEMICOLON,
	ST_END_CR, /* CR of the final CRLF */
	ST_END_LF,
	ST_ENDED, /* END is owed */
	ST_BAD,
};

struct ocp_decode_frame {
	uint8_t kind; /* 0 message, { or ( */
	bool in_named;
	uint32_t count; /* anonymous values or items */
	uint32_t named;
	uint32_t name_base; /* of its names in refs */
};

struct ocp_decode_name {
	uint32_t at, len;
};

struct ocp_decode_note {
	size_t at, len;
};

struct ocp_decoder {
	struct ocp_limits lim;
	uint32_t dialects; /* OCP_HAS(enum ocp_dialect) whose names are known */
	bool plain;	   /* the limits allow the short way */
	bool scoped;	   /* ocp_decoder_scope */
	enum ocp_bad invalid; /* of this message, found before its end */
	uint64_t stream; /* octets consumed by earlier feeds */
	enum ocp_decode_state state, next;
	enum ocp_bad bad;
	uint64_t bad_at;

	unsigned depth;
	struct ocp_decode_frame frame[OCP_NESTING_MAX + 1];

	/* octets kept from earlier buffers, and where the rest begins in the current one */
	char *store;
	size_t store_len, store_cap;
	const uint8_t *buf;
	size_t seg;

	/* top-level value being scanned */
	enum ocp_param param; /* OCP_P_MAX: nobody's */
	bool second;	      /* Kept without brackets: inside its second value */
	bool skip;	      /* inside a value that is not kept */
	size_t skip_at;	      /* its first octet in the current buffer */
	size_t value_at;      /* note offset of a kept value */
	uint32_t kept;	      /* octets counted against lim.head */

	uint32_t size; /* number being read, octets of the quoted value left */
	uint32_t size_len;
	uint32_t bare_len;
	uint64_t payload_left;

	/* names of open frames, to find repetitions */
	char *names;
	uint32_t names_len, names_cap;
	struct ocp_decode_name *refs;
	uint32_t refs_len, refs_cap;

	size_t name_len;
	uint64_t noted; /* OCP_HAS bits of note[] that are filled */
	struct ocp_decode_note note[OCP_P_MAX];
	struct ocp_msg msg;
};

/* One octet, buf[i], in any state that takes them one by one. *event: MESSAGE or END is due after it. */
enum ocp_bad ocp_decode_octet(struct ocp_decoder *d, uint8_t c, size_t i, enum ocp_event_type *event);
/* Moves [seg, upto) of the buffer to the store; what follows counts from `from` on. False: no memory. */
bool ocp_decode_keep(struct ocp_decoder *d, size_t upto, size_t from);

/* n octets more of the head are kept. */
static inline enum ocp_bad ocp_decode_count(struct ocp_decoder *d, uint32_t n)
{
	if (d->skip)
		return OCP_BAD_NONE;
	if (n > d->lim.head - d->kept)
		return OCP_BAD_HEAD;
	d->kept += n;
	return OCP_BAD_NONE;
}

#endif
