/* SPDX-License-Identifier: BSD-3-Clause */
#include "ocp/ocp_plain.h"

#include <stddef.h>
#include <string.h>
#include "ocp/ocp_message.h"

#define H OCP_HAS
#define NUMBERS                                                                                    \
	(H(OCP_P_XID) | H(OCP_P_AM_ID) | H(OCP_P_OFFSET) | H(OCP_P_SIZE) | H(OCP_P_COPY_AM_ID) |   \
	 H(OCP_P_COPY_AM_OFFSET))
#define FLAGS (H(OCP_P_AM_PART) | H(OCP_P_COPIED) | H(OCP_P_WONT_FORWARD))
#define CORE_NAMED (H(OCP_P_AM_PART) | H(OCP_P_KEPT) | H(OCP_P_AS_IS) | H(OCP_P_MODP))

/* Where the number of a parameter lies in struct ocp_msg, and how large it may be. */
static const struct {
	uint8_t at;
	bool wide;
} field[] = {
	[OCP_P_XID] = {offsetof(struct ocp_msg, xid), false},
	[OCP_P_AM_ID] = {offsetof(struct ocp_msg, am_id), false},
	[OCP_P_OFFSET] = {offsetof(struct ocp_msg, offset), true},
	[OCP_P_SIZE] = {offsetof(struct ocp_msg, size), true},
	[OCP_P_COPY_AM_ID] = {offsetof(struct ocp_msg, copy_am_id), false},
	[OCP_P_COPY_AM_OFFSET] = {offsetof(struct ocp_msg, copy_am_offset), true},
};

static inline uint64_t max_of(enum ocp_param p, bool core)
{
	return !core && (p == OCP_P_OFFSET || p == OCP_P_COPY_AM_OFFSET) ? OCP_OFFSET_MAX
									 : OCP_ID_MAX;
}

/* Texts with their lengths, in cells that are copied whole: a copy of constant length needs no call, and the head has
 * room for what is copied too much. */
#define CELL 32
struct text {
	char p[CELL];
	uint32_t len;
};
#define TEXT(literal) {literal, sizeof(literal) - 1}

static const struct text message_text[OCP_MSG_MAX] = {
	[OCP_MSG_DATA_HAVE] = TEXT("data-have"), [OCP_MSG_DATA_AS_IS] = TEXT("data-as-is"),
	[OCP_MSG_DATA_ACK] = TEXT("data-ack"),	 [OCP_MSG_DATA_END] = TEXT("data-end"),
	[OCP_MSG_DATA_NEED] = TEXT("data-need"), [OCP_MSG_DUM] = TEXT("DUM"),
	[OCP_MSG_DUY] = TEXT("DUY"),
};
static const struct text part_text[OCP_PART_MAX] = {
	[OCP_PART_REQUEST_HEADER] = TEXT("\r\nam-part: request-header"),
	[OCP_PART_REQUEST_BODY] = TEXT("\r\nam-part: request-body"),
	[OCP_PART_REQUEST_TRAILER] = TEXT("\r\nam-part: request-trailer"),
	[OCP_PART_RESPONSE_HEADER] = TEXT("\r\nam-part: response-header"),
	[OCP_PART_RESPONSE_BODY] = TEXT("\r\nam-part: response-body"),
	[OCP_PART_RESPONSE_TRAILER] = TEXT("\r\nam-part: response-trailer"),
};
static const struct text core_part_text[OCP_PART_MAX] = {
	[OCP_PART_REQUEST_HEADER] = TEXT("\r\nAM-Part: request-header"),
	[OCP_PART_REQUEST_BODY] = TEXT("\r\nAM-Part: request-body"),
	[OCP_PART_REQUEST_TRAILER] = TEXT("\r\nAM-Part: request-trailer"),
	[OCP_PART_RESPONSE_HEADER] = TEXT("\r\nAM-Part: response-header"),
	[OCP_PART_RESPONSE_BODY] = TEXT("\r\nAM-Part: response-body"),
	[OCP_PART_RESPONSE_TRAILER] = TEXT("\r\nAM-Part: response-trailer"),
};
static const struct text kept_text = TEXT("\r\nKept: {");
static const struct text as_is_text = TEXT("\r\nAs-is: ");
static const struct text modp_text = TEXT("\r\nModp: ");
static const struct text copied_text = TEXT("\r\ncopied: true");
static const struct text wont_forward_text = TEXT("\r\nwont-forward: true");

/* A head of this kind: name, numbers of at most 19 digits, named parameters, payload size. */
_Static_assert(10 + OCP_ANON_MAX * 20 + 3 * CELL + 2 + 2 + 11 <= OCP_PLAIN_MAX, "a head fits");
_Static_assert(3 + 3 * 11 + 12 + CELL + 19 + 31 + 2 + 2 + 11 + CELL <= OCP_PLAIN_MAX, "of DUM, too");

bool ocp_plain_allowed(const struct ocp_limits *lim)
{
	return lim->name >= 32 && lim->atom >= 32 && lim->anonymous >= OCP_ANON_MAX &&
	       lim->named >= 4 && lim->head >= OCP_PLAIN_MAX;
}

/* --- reading --- */

static inline enum ocp_msg_type core_type_of(const char *p, size_t len)
{
	if (len < 8)
		return OCP_MSG_UNKNOWN;
	if (memcmp(p, "DUM ", 4) == 0)
		return OCP_MSG_DUM;
	return memcmp(p, "DUY ", 4) == 0 ? OCP_MSG_DUY : OCP_MSG_UNKNOWN;
}

/* The messages of this kind, told apart by the octet at which they differ. */
static inline enum ocp_msg_type type_of(const char *p, size_t len, uint32_t dialects)
{
	if (len && *p == 'D')
		return dialects & H(OCP_DIALECT_CORE) ? core_type_of(p, len) : OCP_MSG_UNKNOWN;
	if (len < 16 || memcmp(p, "data-", 5) != 0 || !(dialects & H(OCP_DIALECT_DRAFT)))
		return OCP_MSG_UNKNOWN;
	switch (p[5]) {
	case 'h':
		return memcmp(p + 6, "ave ", 4) == 0 ? OCP_MSG_DATA_HAVE : OCP_MSG_UNKNOWN;
	case 'e':
		return memcmp(p + 6, "nd ", 3) == 0 ? OCP_MSG_DATA_END : OCP_MSG_UNKNOWN;
	case 'n':
		return memcmp(p + 6, "eed ", 4) == 0 ? OCP_MSG_DATA_NEED : OCP_MSG_UNKNOWN;
	case 'a':
		if (memcmp(p + 6, "s-is ", 5) == 0)
			return OCP_MSG_DATA_AS_IS;
		return memcmp(p + 6, "ck ", 3) == 0 ? OCP_MSG_DATA_ACK : OCP_MSG_UNKNOWN;
	default:
		return OCP_MSG_UNKNOWN;
	}
}

/* A number without leading zeros that does not end the buffer; NULL: not that. */
static inline const char *number(const char *p, const char *end, uint64_t max, uint64_t *value)
{
	const char *begin = p;
	uint64_t v = 0;

	while (p < end && ocp_is_digit((uint8_t)*p) && p - begin < 19)
		v = v * 10 + (uint64_t)(*p++ - '0');
	if (p == begin || p == end || (*begin == '0' && p - begin > 1) || v > max)
		return NULL;
	*value = v;
	return p;
}

static inline bool starts(const char *p, const char *end, const char *what, size_t n)
{
	return (size_t)(end - p) >= n && memcmp(p, what, n) == 0;
}
#define STARTS(p, end, literal) starts(p, end, literal, sizeof(literal) - 1)

/* The value of am-part up to its CR. The comparisons are of constant length: no call is made. */
static inline const char *part_value(const char *p, const char *end, struct ocp_msg *m)
{
	enum ocp_part part = OCP_PART_NONE;
	size_t n = 0;

#define PART(which, text)                                                                          \
	do {                                                                                       \
		if (part == OCP_PART_NONE && STARTS(p, end, text "\r")) {                          \
			part = which;                                                              \
			n = sizeof(text) - 1;                                                      \
		}                                                                                  \
	} while (0)
	PART(OCP_PART_RESPONSE_BODY, "response-body");
	PART(OCP_PART_REQUEST_BODY, "request-body");
	PART(OCP_PART_RESPONSE_HEADER, "response-header");
	PART(OCP_PART_REQUEST_HEADER, "request-header");
	PART(OCP_PART_RESPONSE_TRAILER, "response-trailer");
	PART(OCP_PART_REQUEST_TRAILER, "request-trailer");
#undef PART
	if (part == OCP_PART_NONE)
		return NULL;
	m->am_part = part;
	m->has |= H(OCP_P_AM_PART);
	return p + n;
}

static inline const char *flag(const char *p, struct ocp_msg *m, enum ocp_param f, size_t n)
{
	if (m->has & H(f))
		return NULL; /* repeated: the general way says so */
	m->has |= H(f);
	return p + n;
}

/* A number of the core dialect into *to. */
static inline const char *core_number(const char *p, const char *end, uint64_t max, uint32_t *to,
				      struct ocp_msg *m, enum ocp_param which)
{
	uint64_t v;

	if (m->has & H(which))
		return NULL;
	p = number(p, end, max, &v);
	*to = p ? (uint32_t)v : 0;
	m->has |= H(which);
	return p;
}

static inline const char *kept(const char *p, const char *end, struct ocp_msg *m)
{
	uint64_t v;

	p = core_number(p, end, OCP_CORE_MAX, &m->kept_offset, m, OCP_P_KEPT);
	if (!p || *p != ' ')
		return NULL;
	p = number(p + 1, end, OCP_CORE_MAX, &v);
	if (!p || *p != '}')
		return NULL;
	m->kept_size = (uint32_t)v;
	return p + 1;
}

/* As named(), of DUM. */
static inline const char *core_named(const char *p, const char *end, struct ocp_msg *m)
{
	while (p && p < end && ocp_is_alpha((uint8_t)*p)) {
		if (STARTS(p, end, "AM-Part: ") && !(m->has & H(OCP_P_AM_PART)))
			p = part_value(p + sizeof("AM-Part: ") - 1, end, m);
		else if (STARTS(p, end, "Kept: {"))
			p = kept(p + sizeof("Kept: {") - 1, end, m);
		else if (STARTS(p, end, "As-is: "))
			p = core_number(p + sizeof("As-is: ") - 1, end, OCP_CORE_MAX,
					&m->as_is_offset, m, OCP_P_AS_IS);
		else if (STARTS(p, end, "Modp: "))
			p = core_number(p + sizeof("Modp: ") - 1, end, 100, &m->modp, m,
					OCP_P_MODP);
		else
			return NULL;
		if (!p || !STARTS(p, end, "\r\n"))
			return NULL;
		p += 2;
	}
	return p;
}

/* Named parameters, p behind the first CRLF. Leaves p behind the last one's CRLF. */
static inline const char *named(const char *p, const char *end, uint32_t allowed, struct ocp_msg *m)
{
	while (p && p < end && ocp_is_alpha((uint8_t)*p)) {
		if ((allowed & H(OCP_P_AM_PART)) && !(m->has & H(OCP_P_AM_PART)) &&
		    STARTS(p, end, "am-part: "))
			p = part_value(p + sizeof("am-part: ") - 1, end, m);
		else if ((allowed & H(OCP_P_COPIED)) && STARTS(p, end, "copied: true\r"))
			p = flag(p, m, OCP_P_COPIED, sizeof("copied: true") - 1);
		else if ((allowed & H(OCP_P_WONT_FORWARD)) && STARTS(p, end, "wont-forward: true\r"))
			p = flag(p, m, OCP_P_WONT_FORWARD, sizeof("wont-forward: true") - 1);
		else
			return NULL;
		if (!p || !STARTS(p, end, "\r\n"))
			return NULL;
		p += 2;
	}
	return p;
}

/* Payload of a data-have, p at its size. */
static inline const char *payload(const char *p, const char *end, const struct ocp_limits *lim,
			   struct ocp_msg *m)
{
	uint64_t n;

	p = number(p, end, lim->payload < OCP_ID_MAX ? lim->payload : OCP_ID_MAX, &n);
	if (!p || *p != ':')
		return NULL;
	m->payload = true;
	m->payload_size = m->size = n;
	m->has |= H(OCP_P_SIZE);
	return p + 1;
}

size_t ocp_plain_decode(const char *buf, size_t len, const struct ocp_limits *lim,
			uint32_t dialects, struct ocp_msg *m)
{
	enum ocp_msg_type type = type_of(buf, len, dialects);
	bool core = ocp_msg_is_core(type);
	const struct ocp_msg_def *def = ocp_msg_def(type);
	const char *end, *p;
	uint32_t name_len;

	if (!def)
		return 0;
	end = buf + (len < OCP_PLAIN_MAX ? len : OCP_PLAIN_MAX);
	name_len = message_text[type].len;
	p = buf + name_len;
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->name = (struct ocp_str){buf, name_len};
	for (unsigned i = 0; i < def->nanon; i++) {
		enum ocp_param a = (enum ocp_param)def->anon[i];
		uint64_t v;

		if (*p != ' ')
			return 0;
		p = number(p + 1, end, max_of(a, core), &v);
		if (!p)
			return 0;
		if (field[a].wide)
			memcpy((char *)m + field[a].at, &v, sizeof(v));
		else
			memcpy((char *)m + field[a].at, &(uint32_t){(uint32_t)v}, 4);
		m->has |= H(a);
	}
	if (STARTS(p, end, "\r\n")) {
		const char *first = p + 2;

		if (!core)
			p = named(first, end, def->named & FLAGS, m);
		else
			p = type == OCP_MSG_DUM ? core_named(first, end, m) : NULL;
		if (!p)
			return 0;
		if (ocp_msg_is_data(type)) {
			if (p != first && !STARTS(p, end, "\r\n"))
				return 0;
			p = payload(p != first ? p + 2 : p, end, lim, m);
			return p ? (size_t)(p - buf) : 0;
		}
		if (p == first)
			return 0;
	}
	if (ocp_msg_is_data(type) || !STARTS(p, end, ";\r\n"))
		return 0;
	return (size_t)(p - buf) + 3;
}

/* --- writing --- */

static inline char *put_number(char *p, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	unsigned n = 1;
	char *end;

	for (uint64_t ten = 10; n < 19 && v >= ten; ten *= 10)
		n++;
	end = p + n;
	for (p = end; v >= 100; v /= 100) {
		p -= 2;
		memcpy(p, pairs + v % 100 * 2, 2);
	}
	if (v >= 10)
		memcpy(p - 2, pairs + v * 2, 2);
	else
		p[-1] = (char)('0' + v);
	return end;
}

static inline char *put(char *p, const struct text *t)
{
	memcpy(p, t->p, CELL);
	return p + t->len;
}

static inline uint64_t number_of(const struct ocp_msg *m, enum ocp_param p)
{
	uint32_t narrow;
	uint64_t v;

	if (field[p].wide) {
		memcpy(&v, (const char *)m + field[p].at, sizeof(v));
		return v;
	}
	memcpy(&narrow, (const char *)m + field[p].at, sizeof(narrow));
	return narrow;
}

static inline char *put_named(char *p, const struct ocp_msg *m, uint32_t has)
{
	if (has & H(OCP_P_AM_PART))
		p = put(p, &part_text[m->am_part]);
	if (has & H(OCP_P_COPIED))
		p = put(p, &copied_text);
	if (has & H(OCP_P_WONT_FORWARD))
		p = put(p, &wont_forward_text);
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

/* In the order of enum ocp_param, as the general way does. */
static inline char *put_core_named(char *p, const struct ocp_msg *m)
{
	if (m->has & H(OCP_P_MODP))
		p = put_number(put(p, &modp_text), m->modp);
	if (m->has & H(OCP_P_AM_PART))
		p = put(p, &core_part_text[m->am_part]);
	if (m->has & H(OCP_P_AS_IS))
		p = put_number(put(p, &as_is_text), m->as_is_offset);
	if (m->has & H(OCP_P_KEPT)) {
		p = put_number(put(p, &kept_text), m->kept_offset);
		*p++ = ' ';
		p = put_number(p, m->kept_size);
		*p++ = '}';
	}
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

/* Named parameters that this way writes, and whose values are in range. */
static inline bool named_ok(const struct ocp_msg *m, bool core)
{
	if (m->has & ~(NUMBERS | (core ? CORE_NAMED : FLAGS)))
		return false;
	if ((m->has & H(OCP_P_AM_PART)) &&
	    (m->am_part <= OCP_PART_NONE || m->am_part >= OCP_PART_MAX))
		return false;
	if (!core)
		return true;
	return m->modp <= 100 && m->as_is_offset <= OCP_CORE_MAX && m->kept_offset <= OCP_CORE_MAX &&
	       m->kept_size <= OCP_CORE_MAX;
}

size_t ocp_plain_encode(const struct ocp_msg *m, uint64_t payload_size, char *head)
{
	const struct ocp_msg_def *def = ocp_msg_def(m->type);
	bool data = ocp_msg_is_data(m->type), core = ocp_msg_is_core(m->type);
	uint64_t left = m->has;
	char *p = head;

	if (!def || !message_text[m->type].len || !named_ok(m, core) || payload_size > OCP_ID_MAX ||
	    (payload_size && !data))
		return 0;
	if (data)
		left &= ~H(OCP_P_SIZE);
	p = put(p, &message_text[m->type]);
	for (unsigned i = 0; i < def->nanon; i++) {
		enum ocp_param a = (enum ocp_param)def->anon[i];
		uint64_t v;

		if (!(left & H(a) & NUMBERS))
			return 0;
		v = number_of(m, a);
		if (v > max_of(a, core))
			return 0;
		left &= ~H(a);
		*p++ = ' ';
		p = put_number(p, v);
	}
	if (left & ~(def->named & (core ? CORE_NAMED : FLAGS)))
		return 0;
	if (left)
		p = core ? put_core_named(p, m) : put_named(p, m, (uint32_t)left);
	if (!data) {
		memcpy(p, ";\r\n", 3);
		return (size_t)(p + 3 - head);
	}
	*p++ = '\r';
	*p++ = '\n';
	p = put_number(p, payload_size);
	*p++ = ':';
	return (size_t)(p - head);
}
