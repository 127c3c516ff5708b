/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Incremental decoder. One pass over the octets checks the whole grammar
 * (RFC 4037 section 3.1) and every limit, and notes where the values of known
 * parameters lie; when the head is complete those are bound (ocp_bind.c).
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
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_message.h"
#include "ocp/ocp_plain.h"

enum state {
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

struct frame {
	uint8_t kind; /* 0 message, { or ( */
	bool in_named;
	uint32_t count; /* anonymous values or items */
	uint32_t named;
	uint32_t name_base; /* of its names in refs */
};

struct name_ref {
	uint32_t at, len;
};

struct note {
	size_t at, len;
};

struct ocp_decoder {
	struct ocp_limits lim;
	uint32_t dialects; /* OCP_HAS(enum ocp_dialect) whose names are known */
	bool plain;	   /* the limits allow the short way */
	bool scoped;	   /* ocp_decoder_scope */
	enum ocp_bad invalid; /* of this message, found before its end */
	uint64_t stream; /* octets consumed by earlier feeds */
	enum state state, next;
	enum ocp_bad bad;
	uint64_t bad_at;

	unsigned depth;
	struct frame frame[OCP_NESTING_MAX + 1];

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
	struct name_ref *refs;
	uint32_t refs_len, refs_cap;

	size_t name_len;
	uint64_t noted; /* OCP_HAS bits of note[] that are filled */
	struct note note[OCP_P_MAX];
	struct ocp_msg msg;
};

struct ocp_decoder *ocp_decoder_create(const struct ocp_limits *limits)
{
	struct ocp_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->lim = limits ? *limits : OCP_LIMITS_DEFAULT;
	if (d->lim.nesting > OCP_NESTING_MAX)
		d->lim.nesting = OCP_NESTING_MAX;
	d->plain = ocp_plain_allowed(&d->lim);
	d->dialects = OCP_HAS(OCP_DIALECT_DRAFT) | OCP_HAS(OCP_DIALECT_CORE);
	return d;
}

void ocp_decoder_destroy(struct ocp_decoder *d)
{
	if (!d)
		return;
	free(d->store);
	free(d->names);
	free(d->refs);
	free(d);
}

void ocp_decoder_dialect(struct ocp_decoder *d, enum ocp_dialect dialect)
{
	d->dialects = OCP_HAS(dialect);
}

void ocp_decoder_scope(struct ocp_decoder *d)
{
	d->scoped = true;
}

bool ocp_decoder_idle(const struct ocp_decoder *d)
{
	return d->state == ST_START;
}

/* Room for n more elements of size el; false: no memory. */
static bool room(void **p, size_t len, size_t *cap, size_t n, size_t el)
{
	size_t want = *cap ? *cap : 256;
	void *q;

	if (len + n <= *cap)
		return true;
	while (want < len + n)
		want *= 2;
	q = realloc(*p, want * el);
	if (!q)
		return false;
	*p = q;
	*cap = want;
	return true;
}

static bool room32(void **p, uint32_t len, uint32_t *cap, size_t el)
{
	size_t c = *cap;
	bool ok = room(p, len, &c, 1, el);

	*cap = (uint32_t)c;
	return ok;
}

/* Moves [seg, upto) of the buffer to the store; what follows counts from `from` on. */
static bool keep(struct ocp_decoder *d, size_t upto, size_t from)
{
	size_t n = upto - d->seg;

	if (n) {
		if (!room((void **)&d->store, d->store_len, &d->store_cap, n, 1))
			return false;
		memcpy(d->store + d->store_len, d->buf + d->seg, n);
		d->store_len += n;
	}
	d->seg = from;
	return true;
}

/* Note offset of buf[i]. */
static size_t place(const struct ocp_decoder *d, size_t i)
{
	return d->store_len + (i - d->seg);
}

static enum ocp_bad count_kept(struct ocp_decoder *d, uint32_t n)
{
	if (d->skip)
		return OCP_BAD_NONE;
	if (n > d->lim.head - d->kept)
		return OCP_BAD_HEAD;
	d->kept += n;
	return OCP_BAD_NONE;
}

static void message_begin(struct ocp_decoder *d, size_t i)
{
	d->store_len = 0;
	d->seg = i;
	d->depth = 0;
	d->frame[0] = (struct frame){0};
	d->kept = 0;
	d->skip = d->second = false;
	d->names_len = d->refs_len = 0;
	d->name_len = 0;
	d->noted = 0;
	d->invalid = OCP_BAD_NONE;
	memset(&d->msg, 0, sizeof(d->msg));
}

/* The message name ends before buf[i]. */
static enum ocp_bad name_end(struct ocp_decoder *d, size_t i)
{
	/* If it was cut, gather it. */
	if (d->store_len && !keep(d, i, i))
		return OCP_BAD_MEMORY;
	d->msg.type =
		ocp_msg_find(d->store_len ? d->store : (const char *)d->buf + d->seg, d->name_len,
			     d->dialects);
	return OCP_BAD_NONE;
}

static enum ocp_bad pname_begin(struct ocp_decoder *d)
{
	struct frame *f = &d->frame[d->depth];

	if (f->named == d->lim.named)
		return OCP_BAD_NAMED;
	if (!room32((void **)&d->refs, d->refs_len, &d->refs_cap, sizeof(*d->refs)))
		return OCP_BAD_MEMORY;
	if (!f->in_named)
		f->name_base = d->refs_len;
	f->in_named = true;
	f->named++;
	d->refs[d->refs_len++] = (struct name_ref){d->names_len, 0};
	d->state = ST_PNAME;
	return OCP_BAD_NONE;
}

static enum ocp_bad pname_octet(struct ocp_decoder *d, uint8_t c)
{
	struct name_ref *r = &d->refs[d->refs_len - 1];

	if (r->len == d->lim.name)
		return OCP_BAD_NAME;
	if (!room32((void **)&d->names, d->names_len, &d->names_cap, 1))
		return OCP_BAD_MEMORY;
	d->names[d->names_len++] = (char)c;
	r->len++;
	return OCP_BAD_NONE;
}

/* Not a matter of the format: when it is asked for, the message's scope is looked for first. */
static enum ocp_bad repeated(struct ocp_decoder *d)
{
	if (!d->scoped || !ocp_msg_is_core(d->msg.type))
		return OCP_BAD_REPEATED;
	d->invalid = OCP_BAD_REPEATED;
	return OCP_BAD_NONE;
}

static enum ocp_bad pname_end(struct ocp_decoder *d)
{
	const struct name_ref *r = &d->refs[d->refs_len - 1];

	for (uint32_t i = d->frame[d->depth].name_base; i + 1 < d->refs_len; i++)
		if (d->refs[i].len == r->len &&
		    !memcmp(d->names + d->refs[i].at, d->names + r->at, r->len) && repeated(d))
			return OCP_BAD_REPEATED;
	if (!d->depth)
		d->param = ocp_param_find(d->msg.type, d->names + r->at, r->len);
	d->second = false;
	d->state = ST_SP;
	return OCP_BAD_NONE;
}

/* An anonymous value or list item is about to begin. */
static enum ocp_bad another(struct ocp_decoder *d)
{
	struct frame *f = &d->frame[d->depth];
	bool list = f->kind == '(';

	if (f->count == (list ? d->lim.items : d->lim.anonymous))
		return list ? OCP_BAD_ITEMS : OCP_BAD_ANONYMOUS;
	if (!d->depth) {
		const struct ocp_msg_def *def = ocp_msg_def(d->msg.type);

		d->param = def && f->count < def->nanon ? (enum ocp_param)def->anon[f->count]
							: OCP_P_MAX;
	}
	f->count++;
	return OCP_BAD_NONE;
}

static enum ocp_bad push(struct ocp_decoder *d, uint8_t kind)
{
	if (d->depth == d->lim.nesting)
		return OCP_BAD_NESTING;
	d->frame[++d->depth] = (struct frame){.kind = kind};
	d->state = kind == '{' ? ST_STRUCT : ST_LIST;
	return OCP_BAD_NONE;
}

/* First octet of a value. */
static enum ocp_bad value_begin(struct ocp_decoder *d, uint8_t c, size_t i)
{
	if (!d->depth && !d->second) {
		d->skip = d->param == OCP_P_MAX;
		d->skip_at = i;
		d->value_at = place(d, i);
	}
	if (c == '{' || c == '(')
		return push(d, c);
	if (c == '"') {
		d->size = d->size_len = 0;
		d->state = ST_QSIZE;
		return OCP_BAD_NONE;
	}
	if (!ocp_is_safe(c))
		return OCP_BAD_OCTET;
	d->bare_len = 1;
	d->state = ST_BARE;
	return OCP_BAD_NONE;
}

/* A value ends before buf[i]. */
static enum ocp_bad value_end(struct ocp_decoder *d, size_t i)
{
	d->state = ST_AFTER;
	if (d->depth)
		return OCP_BAD_NONE;
	if (!d->skip) {
		/* twice under two spellings of its name */
		if ((d->noted & OCP_HAS(d->param)) && !d->second && repeated(d))
			return OCP_BAD_REPEATED;
		d->note[d->param] = (struct note){d->value_at, place(d, i) - d->value_at};
		d->noted |= OCP_HAS(d->param);
		return OCP_BAD_NONE;
	}
	d->skip = false;
	d->msg.unknown_params++;
	/* Leave it out, unless the head is still in one piece and the value short. */
	if ((d->store_len || i - d->skip_at > 512) && !keep(d, d->skip_at, i))
		return OCP_BAD_MEMORY;
	return OCP_BAD_NONE;
}

static enum ocp_bad pop(struct ocp_decoder *d, size_t i)
{
	const struct frame *f = &d->frame[d->depth];

	if (f->in_named) {
		d->refs_len = f->name_base;
		d->names_len = d->refs_len
				       ? d->refs[d->refs_len - 1].at + d->refs[d->refs_len - 1].len
				       : 0;
	}
	d->depth--;
	return value_end(d, i + 1);
}

static enum ocp_bad crlf(struct ocp_decoder *d, enum state next)
{
	d->state = ST_LF;
	d->next = next;
	return OCP_BAD_NONE;
}

/* Octet after a complete value. */
static enum ocp_bad after_value(struct ocp_decoder *d, uint8_t c, size_t i)
{
	const struct frame *f = &d->frame[d->depth];
	enum ocp_bad bad;

	if (f->kind == '(') {
		if (c == ')')
			return pop(d, i);
		if (c != ',')
			return OCP_BAD_OCTET;
		bad = another(d);
		d->state = ST_VALUE;
		return bad;
	}
	if (f->in_named && c == ' ' && !d->depth && d->param == OCP_P_KEPT && !d->second) {
		d->second = true;
		d->state = ST_VALUE;
		return OCP_BAD_NONE;
	}
	if (f->in_named)
		return c == '\r' ? crlf(d, ST_NAMED_OR_END) : OCP_BAD_OCTET;
	if (c == ' ') {
		bad = another(d);
		d->state = ST_VALUE;
		return bad;
	}
	if (c == '\r')
		return crlf(d, f->kind ? ST_NAMED : ST_PARAMS);
	if (f->kind && c == '}')
		return pop(d, i);
	if (!f->kind && c == ';') {
		d->state = ST_END_CR;
		return OCP_BAD_NONE;
	}
	return OCP_BAD_OCTET;
}

/* One digit of a size, or the colon that ends it. */
static enum ocp_bad size_octet(struct ocp_decoder *d, uint8_t c, bool *done)
{
	*done = false;
	if (c == ':' && d->size_len) {
		*done = true;
		return OCP_BAD_NONE;
	}
	if (!ocp_is_digit(c))
		return OCP_BAD_OCTET;
	if (d->size_len == 1 && !d->size)
		return OCP_BAD_NUMBER;
	if (d->size > (INT32_MAX - (uint32_t)(c - '0')) / 10)
		return OCP_BAD_NUMBER;
	d->size = d->size * 10 + (uint32_t)(c - '0');
	d->size_len++;
	return OCP_BAD_NONE;
}

static enum ocp_bad quoted_size(struct ocp_decoder *d, uint8_t c)
{
	bool done;
	enum ocp_bad bad = size_octet(d, c, &done);

	if (bad || !done)
		return bad;
	if (d->size > d->lim.atom)
		return OCP_BAD_ATOM;
	d->state = d->size ? ST_QDATA : ST_QUOTE;
	return count_kept(d, d->size);
}

/* The message is of a transaction, and which one can be read: invalid, not malformed. */
static bool scope_known(struct ocp_decoder *d, const struct ocp_token *tok)
{
	struct ocp_msg m = {.type = d->msg.type};
	const struct ocp_msg_def *def = ocp_msg_def(m.type);
	struct ocp_str s;
	uint64_t xid;

	if (!d->scoped || !ocp_msg_is_core(m.type) || !def->nanon || def->anon[0] != OCP_P_XID ||
	    !(d->noted & OCP_HAS(OCP_P_XID)) || !ocp_atom(tok[OCP_P_XID], &s) ||
	    ocp_number(s, OCP_ID_MAX, &xid))
		return false;
	m.has = OCP_HAS(OCP_P_XID);
	m.xid = (uint32_t)xid;
	m.name = d->msg.name;
	m.payload = d->msg.payload;
	m.payload_size = d->msg.payload_size;
	m.unknown_params = d->msg.unknown_params;
	d->msg = m;
	return true;
}

/* The head is complete before buf[i]: bind. */
static enum ocp_bad head_end(struct ocp_decoder *d, size_t i)
{
	struct ocp_token tok[OCP_P_MAX];
	enum ocp_bad bad;
	const char *base;

	if (d->store_len) {
		if (!keep(d, i, i))
			return OCP_BAD_MEMORY;
		base = d->store;
	} else {
		base = (const char *)d->buf + d->seg;
	}
	d->msg.name = (struct ocp_str){base, (uint32_t)d->name_len};
	for (uint64_t left = d->noted; left; left &= left - 1) {
		int p = __builtin_ctzll(left);

		tok[p] = (struct ocp_token){base + d->note[p].at, d->note[p].len};
	}
	bad = d->invalid ? d->invalid : ocp_msg_bind(&d->msg, tok, d->noted);
	if (!bad || !scope_known(d, tok))
		return bad;
	d->msg.invalid = bad;
	return OCP_BAD_NONE;
}

static enum ocp_bad payload_size(struct ocp_decoder *d, uint8_t c, size_t i, bool *message)
{
	enum ocp_bad bad = size_octet(d, c, message);

	if (bad || !*message)
		return bad;
	if (d->size > d->lim.payload)
		return OCP_BAD_PAYLOAD;
	d->msg.payload = true;
	d->msg.payload_size = d->payload_left = d->size;
	d->state = d->size ? ST_PAYLOAD : ST_TAIL_CR;
	d->kept = 0; /* what follows is not of the head */
	return head_end(d, i + 1);
}

static enum ocp_bad name_octet(struct ocp_decoder *d, uint8_t c, size_t i)
{
	enum ocp_bad bad;

	if (ocp_is_safe(c)) {
		if (d->name_len == d->lim.name)
			return OCP_BAD_NAME;
		d->name_len++;
		return OCP_BAD_NONE;
	}
	bad = name_end(d, i);
	return bad ? bad : after_value(d, c, i);
}

/* Named parameter, or what ends the message or the structure. */
static enum ocp_bad params(struct ocp_decoder *d, uint8_t c, size_t i)
{
	const struct frame *f = &d->frame[d->depth];
	bool none;

	if (ocp_is_alpha(c)) {
		enum ocp_bad bad = pname_begin(d);

		return bad ? bad : pname_octet(d, c);
	}
	if (d->state == ST_PARAMS && ocp_is_digit(c)) {
		d->size = d->size_len = 0;
		d->state = ST_PSIZE;
		return size_octet(d, c, &none);
	}
	if (d->state == ST_NAMED_OR_END) {
		if (f->kind && c == '}')
			return pop(d, i);
		if (!f->kind && c == ';') {
			d->state = ST_END_CR;
			return OCP_BAD_NONE;
		}
		if (!f->kind && c == '\r') {
			d->size = d->size_len = 0;
			return crlf(d, ST_PSIZE);
		}
	}
	return OCP_BAD_OCTET;
}

static enum ocp_bad expect(struct ocp_decoder *d, uint8_t c, uint8_t want, enum state next)
{
	d->state = next;
	return c == want ? OCP_BAD_NONE : OCP_BAD_OCTET;
}

/* First octet inside a bracket. */
static enum ocp_bad opened(struct ocp_decoder *d, uint8_t c, size_t i)
{
	bool list = d->state == ST_LIST;
	enum ocp_bad bad;

	if (c == (list ? ')' : '}'))
		return pop(d, i);
	if (!list && c == '\r')
		return crlf(d, ST_NAMED);
	bad = another(d);
	return bad ? bad : value_begin(d, c, i);
}

/* One octet in any state that takes them one by one. *event: MESSAGE or END is due after it. */
static enum ocp_bad octet(struct ocp_decoder *d, uint8_t c, size_t i, enum ocp_event_type *event)
{
	enum ocp_bad bad;
	bool message;

	switch (d->state) {
	case ST_START:
		if (!ocp_is_alpha(c))
			return OCP_BAD_OCTET;
		message_begin(d, i);
		d->name_len = 1;
		d->state = ST_NAME;
		return d->lim.name ? OCP_BAD_NONE : OCP_BAD_NAME;
	case ST_NAME:
		return name_octet(d, c, i);
	case ST_VALUE:
		return value_begin(d, c, i);
	case ST_STRUCT:
	case ST_LIST:
		return opened(d, c, i);
	case ST_BARE:
		if (ocp_is_safe(c))
			return d->bare_len++ == d->lim.atom ? OCP_BAD_ATOM : OCP_BAD_NONE;
		bad = value_end(d, i);
		return bad ? bad : after_value(d, c, i);
	case ST_QSIZE:
		return quoted_size(d, c);
	case ST_QUOTE:
		return c == '"' ? value_end(d, i + 1) : OCP_BAD_QUOTE;
	case ST_AFTER:
		return after_value(d, c, i);
	case ST_LF:
		return expect(d, c, '\n', d->next);
	case ST_PARAMS:
	case ST_NAMED:
	case ST_NAMED_OR_END:
		return params(d, c, i);
	case ST_PNAME:
		if (ocp_is_safe(c))
			return pname_octet(d, c);
		return c == ':' ? pname_end(d) : OCP_BAD_OCTET;
	case ST_SP:
		return expect(d, c, ' ', ST_VALUE);
	case ST_PSIZE:
		bad = payload_size(d, c, i, &message);
		if (message)
			*event = OCP_EVENT_MESSAGE;
		return bad;
	case ST_TAIL_CR:
		return c == '\r' ? crlf(d, ST_SEMICOLON) : OCP_BAD_OCTET;
	case ST_SEMICOLON:
		return expect(d, c, ';', ST_END_CR);
	case ST_END_CR:
		return expect(d, c, '\r', ST_END_LF);
	default: /* ST_END_LF */
		if (c != '\n')
			return OCP_BAD_OCTET;
		*event = d->msg.payload ? OCP_EVENT_END : OCP_EVENT_MESSAGE;
		d->state = d->msg.payload ? ST_START : ST_ENDED;
		return d->msg.payload ? OCP_BAD_NONE : head_end(d, i + 1);
	}
}

static bool in_head(const struct ocp_decoder *d)
{
	switch (d->state) {
	case ST_START:
	case ST_PAYLOAD:
	case ST_TAIL_CR:
	case ST_SEMICOLON:
	case ST_ENDED:
	case ST_BAD:
		return false;
	case ST_LF:
		return d->next != ST_SEMICOLON;
	case ST_END_CR:
	case ST_END_LF:
		return !d->msg.payload;
	default:
		return true;
	}
}

/* Up to len octets of a payload. */
static size_t payload(struct ocp_decoder *d, const uint8_t *buf, size_t len, struct ocp_event *ev)
{
	size_t n = len < d->payload_left ? len : (size_t)d->payload_left;

	ev->type = OCP_EVENT_PAYLOAD;
	ev->data = buf;
	ev->len = n;
	ev->payload_offset = d->msg.payload_size - d->payload_left;
	d->payload_left -= n;
	if (!d->payload_left)
		d->state = ST_TAIL_CR;
	d->stream += n;
	return n;
}

static size_t bad_input(struct ocp_decoder *d, size_t i, enum ocp_bad bad, struct ocp_event *ev)
{
	d->state = ST_BAD;
	d->bad = bad;
	d->bad_at = d->stream + i;
	d->stream += i;
	ev->type = OCP_EVENT_BAD;
	ev->bad = bad;
	ev->offset = d->bad_at;
	return i;
}

/* The buffer ends: keep what is needed of an unfinished head. */
static size_t need_more(struct ocp_decoder *d, size_t len, struct ocp_event *ev)
{
	if (in_head(d)) {
		if (!keep(d, d->skip ? d->skip_at : len, len))
			return bad_input(d, len, OCP_BAD_MEMORY, ev);
	}
	d->stream += len;
	return len;
}

/* A whole head of the frequent kind, or the whole tail of a payload: false: octet by octet. */
static bool feed_plain(struct ocp_decoder *d, const uint8_t *buf, size_t len, struct ocp_event *ev,
		       size_t *used)
{
	if (d->state == ST_TAIL_CR) {
		if (len < OCP_TAIL_LEN || memcmp(buf, OCP_TAIL, OCP_TAIL_LEN) != 0)
			return false;
		d->state = ST_START;
		ev->type = OCP_EVENT_END;
		*used = OCP_TAIL_LEN;
	} else {
		*used = ocp_plain_decode((const char *)buf, len, &d->lim, d->dialects, &d->msg);
		if (!*used)
			return false;
		d->store_len = 0;
		d->kept = 0;
		d->payload_left = d->msg.payload_size;
		if (!d->msg.payload)
			d->state = ST_ENDED;
		else
			d->state = d->payload_left ? ST_PAYLOAD : ST_TAIL_CR;
		ev->type = OCP_EVENT_MESSAGE;
	}
	d->stream += *used;
	return true;
}

/* States with their own way of being entered: true when *ev is filled. */
static bool feed_special(struct ocp_decoder *d, const uint8_t *buf, size_t len,
			 struct ocp_event *ev, size_t *used)
{
	*used = 0;
	if (d->state == ST_PAYLOAD && len) {
		*used = payload(d, buf, len, ev);
		return true;
	}
	if (d->state == ST_ENDED) {
		d->state = ST_START;
		ev->type = OCP_EVENT_END;
		return true;
	}
	if (d->state == ST_BAD) {
		ev->type = OCP_EVENT_BAD;
		ev->bad = d->bad;
		ev->offset = d->bad_at;
		return true;
	}
	return false;
}

/* Octets that a name or a bare value goes on with, up to just before a limit: octet() sees to that.
 */
static size_t run(struct ocp_decoder *d, const uint8_t *p, size_t len)
{
	bool name = d->state == ST_NAME;
	size_t max = name ? d->lim.name - d->name_len : d->lim.atom - d->bare_len, n = 0;

	if (!d->skip && max > d->lim.head - d->kept)
		max = d->lim.head - d->kept;
	if (max > len)
		max = len;
	while (n < max && ocp_is_safe(p[n]))
		n++;
	if (!d->skip)
		d->kept += (uint32_t)n;
	if (name)
		d->name_len += n;
	else
		d->bare_len += (uint32_t)n;
	return n;
}

size_t ocp_decoder_feed(struct ocp_decoder *d, const void *input, size_t len, struct ocp_event *ev)
{
	const uint8_t *buf = input;
	size_t used;

	*ev = (struct ocp_event){.type = OCP_EVENT_NEED_MORE, .msg = &d->msg};
	if (feed_special(d, buf, len, ev, &used))
		return used;
	if ((d->state == ST_START ? d->plain : d->state == ST_TAIL_CR) &&
	    feed_plain(d, buf, len, ev, &used))
		return used;
	d->buf = buf;
	d->seg = d->skip_at = 0;
	for (size_t i = 0; i < len; i++) {
		enum ocp_bad bad;

		if (d->state == ST_QDATA) {
			size_t n = len - i < d->size ? len - i : d->size;

			d->size -= (uint32_t)n;
			i += n - 1;
			if (!d->size)
				d->state = ST_QUOTE;
			continue;
		}
		if (d->state == ST_NAME || d->state == ST_BARE)
			i += run(d, buf + i, len - i);
		if (i == len)
			break;
		bad = d->state == ST_START ? OCP_BAD_NONE : count_kept(d, 1);
		if (!bad)
			bad = octet(d, buf[i], i, &ev->type);
		if (bad)
			return bad_input(d, i, bad, ev);
		if (ev->type != OCP_EVENT_NEED_MORE) {
			d->stream += i + 1;
			return i + 1;
		}
	}
	return need_more(d, len, ev);
}
