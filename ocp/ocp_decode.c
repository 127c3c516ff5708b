/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoder: what is called, the events, payloads (ocp_decode.h). */
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp_decode.h"
#include "ocp/ocp_plain.h"

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
		if (!ocp_decode_keep(d, d->skip ? d->skip_at : len, len))
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

/* Octets that a name or a bare value goes on with, up to just before a limit: ocp_decode_octet() sees to that.
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
		bad = d->state == ST_START ? OCP_BAD_NONE : ocp_decode_count(d, 1);
		if (!bad)
			bad = ocp_decode_octet(d, buf[i], i, &ev->type);
		if (bad)
			return bad_input(d, i, bad, ev);
		if (ev->type != OCP_EVENT_NEED_MORE) {
			d->stream += i + 1;
			return i + 1;
		}
	}
	return need_more(d, len, ev);
}
