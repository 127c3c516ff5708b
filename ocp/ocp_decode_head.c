/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoder: heads of messages, octet by octet (ocp_decode.h). */
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_decode.h"

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

bool ocp_decode_keep(struct ocp_decoder *d, size_t upto, size_t from)
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

static void message_begin(struct ocp_decoder *d, size_t i)
{
	d->store_len = 0;
	d->seg = i;
	d->depth = 0;
	d->frame[0] = (struct ocp_decode_frame){0};
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
	if (d->store_len && !ocp_decode_keep(d, i, i))
		return OCP_BAD_MEMORY;
	d->msg.type =
		ocp_msg_find(d->store_len ? d->store : (const char *)d->buf + d->seg, d->name_len,
			     d->dialects);
	return OCP_BAD_NONE;
}

static enum ocp_bad pname_begin(struct ocp_decoder *d)
{
	struct ocp_decode_frame *f = &d->frame[d->depth];

	if (f->named == d->lim.named)
		return OCP_BAD_NAMED;
	if (!room32((void **)&d->refs, d->refs_len, &d->refs_cap, sizeof(*d->refs)))
		return OCP_BAD_MEMORY;
	if (!f->in_named)
		f->name_base = d->refs_len;
	f->in_named = true;
	f->named++;
	d->refs[d->refs_len++] = (struct ocp_decode_name){d->names_len, 0};
	d->state = ST_PNAME;
	return OCP_BAD_NONE;
}

static enum ocp_bad pname_octet(struct ocp_decoder *d, uint8_t c)
{
	struct ocp_decode_name *r = &d->refs[d->refs_len - 1];

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
	const struct ocp_decode_name *r = &d->refs[d->refs_len - 1];

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
	struct ocp_decode_frame *f = &d->frame[d->depth];
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
	d->frame[++d->depth] = (struct ocp_decode_frame){.kind = kind};
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
		d->note[d->param] = (struct ocp_decode_note){d->value_at, place(d, i) - d->value_at};
		d->noted |= OCP_HAS(d->param);
		return OCP_BAD_NONE;
	}
	d->skip = false;
	d->msg.unknown_params++;
	/* Leave it out, unless the head is still in one piece and the value short. */
	if ((d->store_len || i - d->skip_at > 512) && !ocp_decode_keep(d, d->skip_at, i))
		return OCP_BAD_MEMORY;
	return OCP_BAD_NONE;
}

static enum ocp_bad pop(struct ocp_decoder *d, size_t i)
{
	const struct ocp_decode_frame *f = &d->frame[d->depth];

	if (f->in_named) {
		d->refs_len = f->name_base;
		d->names_len = d->refs_len
				       ? d->refs[d->refs_len - 1].at + d->refs[d->refs_len - 1].len
				       : 0;
	}
	d->depth--;
	return value_end(d, i + 1);
}

static enum ocp_bad crlf(struct ocp_decoder *d, enum ocp_decode_state next)
{
	d->state = ST_LF;
	d->next = next;
	return OCP_BAD_NONE;
}

/* Octet after a complete value. */
static enum ocp_bad after_value(struct ocp_decoder *d, uint8_t c, size_t i)
{
	const struct ocp_decode_frame *f = &d->frame[d->depth];
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
	return ocp_decode_count(d, d->size);
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
		if (!ocp_decode_keep(d, i, i))
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
	const struct ocp_decode_frame *f = &d->frame[d->depth];
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

static enum ocp_bad expect(struct ocp_decoder *d, uint8_t c, uint8_t want, enum ocp_decode_state next)
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

enum ocp_bad ocp_decode_octet(struct ocp_decoder *d, uint8_t c, size_t i, enum ocp_event_type *event)
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
