/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * OCP messages that carry or name data, in both dialects: framing (ocp_encode, the
 * payload goes by reference behind the head) and parsing (ocp_decoder_feed, the
 * payload is handed out as a slice). Neither touches the payload, so its size must
 * not matter.
 */
#include <stdlib.h>
#include <string.h>
#include "ocp/ocp.h"
#include "micro.h"

#define MESSAGES 16u /* in a buffer */

/* As an agent sends them: part and commitment named. */
static struct ocp_msg message(enum ocp_msg_type type, uint64_t offset, uint32_t size)
{
	struct ocp_msg m = {.type = type, .has = OCP_HAS(OCP_P_XID), .xid = 123456};

	switch (type) {
	case OCP_MSG_DATA_HAVE:
		m.has |= OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) | OCP_HAS(OCP_P_AM_PART) |
			 OCP_HAS(OCP_P_COPIED);
		m.am_id = 1;
		m.offset = offset;
		break;
	case OCP_MSG_DUM:
		m.has |= OCP_HAS(OCP_P_OFFSET) | OCP_HAS(OCP_P_AM_PART) | OCP_HAS(OCP_P_KEPT);
		m.offset = offset;
		m.kept_size = (uint32_t)offset + size;
		break;
	case OCP_MSG_DATA_AS_IS:
		m.has |= OCP_HAS(OCP_P_AM_ID) | OCP_HAS(OCP_P_OFFSET) | OCP_HAS(OCP_P_SIZE) |
			 OCP_HAS(OCP_P_COPY_AM_ID) | OCP_HAS(OCP_P_COPY_AM_OFFSET) |
			 OCP_HAS(OCP_P_AM_PART);
		m.am_id = 2;
		m.offset = offset;
		m.size = size;
		m.copy_am_id = 1;
		m.copy_am_offset = offset;
		break;
	default: /* OCP_MSG_DUY */
		m.has |= OCP_HAS(OCP_P_COPY_AM_OFFSET) | OCP_HAS(OCP_P_SIZE);
		m.copy_am_offset = offset;
		m.size = size;
		break;
	}
	m.am_part = m.has & OCP_HAS(OCP_P_AM_PART) ? OCP_PART_RESPONSE_BODY : OCP_PART_NONE;
	return m;
}

static bool has_payload(enum ocp_msg_type type)
{
	return type == OCP_MSG_DATA_HAVE || type == OCP_MSG_DUM;
}

/* The offset by which the messages are told apart. */
static uint64_t offset_in(const struct ocp_msg *m)
{
	return m->type == OCP_MSG_DUY ? m->copy_am_offset : m->offset;
}

static uint64_t offset_of(uint64_t i, uint32_t size)
{
	return 10000000 + i % MESSAGES * size;
}

/* One stretch of the original, read back: what was written says what was meant. */
static bool reads_back(const struct ocp_msg *m, const char *head, size_t len, uint32_t payload)
{
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	struct ocp_event ev = {.type = OCP_EVENT_BAD};
	bool right;

	if (!d)
		return false;
	ocp_decoder_feed(d, head, len, &ev);
	right = ev.type == OCP_EVENT_MESSAGE && ev.msg->type == m->type && ev.msg->xid == m->xid &&
		ev.msg->am_id == m->am_id && ev.msg->offset == m->offset &&
		ev.msg->am_part == m->am_part && ev.msg->copy_am_offset == m->copy_am_offset &&
		ev.msg->kept_size == m->kept_size &&
		(has_payload(m->type) ? ev.msg->payload_size == payload : ev.msg->size == m->size);
	ocp_decoder_destroy(d);
	return right;
}

static void encode(struct bench *b, enum ocp_msg_type type)
{
	uint32_t size = (uint32_t)bench_arg(b, 0), payload = has_payload(type) ? size : 0;
	char head[MESSAGES][OCP_HEAD_MAX];
	size_t len[MESSAGES] = {0};
	int refused = 0;

	while (bench_batch(b, MESSAGES)) {
		for (uint64_t i = 0; i < MESSAGES; i++) {
			struct ocp_msg m = message(type, offset_of(i, size), size);

			refused |= ocp_encode(&m, payload, head[i], sizeof(head[i]), &len[i]);
		}
		bench_keep(head);
	}
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct ocp_msg m = message(type, offset_of(i, size), size);

		if (refused || !reads_back(&m, head[i], len[i], size))
			bench_fail(b, "message %lu does not say what was meant", (unsigned long)i);
	}
	if (payload)
		bench_bytes(b, bench_iterations(b) * size);
}

static void encode_have(struct bench *b)
{
	encode(b, OCP_MSG_DATA_HAVE);
}

static void encode_dum(struct bench *b)
{
	encode(b, OCP_MSG_DUM);
}

static void encode_as_is(struct bench *b)
{
	encode(b, OCP_MSG_DATA_AS_IS);
}

static void encode_duy(struct bench *b)
{
	encode(b, OCP_MSG_DUY);
}

struct wire {
	uint8_t *octets;
	size_t len;
	size_t payload[MESSAGES]; /* where each one's payload begins */
};

static void wire_make(struct wire *w, enum ocp_msg_type type, uint32_t size)
{
	bool have = has_payload(type);

	w->len = 0;
	w->octets = malloc(MESSAGES * ((size_t)size + OCP_HEAD_MAX + OCP_TAIL_LEN));
	if (!w->octets)
		abort();
	for (uint64_t i = 0; i < MESSAGES; i++) {
		struct ocp_msg m = message(type, offset_of(i, size), size);
		size_t n = 0;

		if (ocp_encode(&m, have ? size : 0, (char *)w->octets + w->len, OCP_HEAD_MAX, &n) !=
		    0)
			abort();
		w->len += n;
		w->payload[i] = w->len;
		if (have) {
			memset(w->octets + w->len, ';', size);
			w->len += size;
			memcpy(w->octets + w->len, OCP_TAIL, OCP_TAIL_LEN);
			w->len += OCP_TAIL_LEN;
		}
	}
}

/* The whole buffer in pieces of at most cut octets; every event is compared with what was sent. */
static bool parse(struct ocp_decoder *d, const struct wire *w, bool have, uint32_t size, size_t cut)
{
	uint32_t heads = 0, ends = 0, at_payload = 0;
	bool wrong = false;

	for (size_t at = 0, used; at < w->len;) {
		size_t n = w->len - at < cut ? w->len - at : cut, end = at + n;
		struct ocp_event ev;

		do {
			used = ocp_decoder_feed(d, w->octets + at, end - at, &ev);
			if (ev.type == OCP_EVENT_MESSAGE) {
				wrong |= offset_in(ev.msg) != offset_of(heads, size) ||
					 (have ? ev.msg->payload_size : ev.msg->size) != size;
				heads++;
				at_payload = 0;
			} else if (ev.type == OCP_EVENT_PAYLOAD) {
				wrong |= ev.data != w->octets + w->payload[heads - 1] + at_payload;
				at_payload += (uint32_t)ev.len;
			} else if (ev.type == OCP_EVENT_END) {
				wrong |= at_payload != (have ? size : 0);
				ends++;
			}
			at += used;
		} while (ev.type != OCP_EVENT_NEED_MORE && ev.type != OCP_EVENT_BAD);
		if (ev.type == OCP_EVENT_BAD)
			return false;
	}
	return !wrong && heads == MESSAGES && ends == MESSAGES && ocp_decoder_idle(d);
}

static void decode(struct bench *b, enum ocp_msg_type type, size_t cut)
{
	uint32_t size = (uint32_t)bench_arg(b, 0);
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	bool right = true, have = has_payload(type);
	struct wire w;

	wire_make(&w, type, size);
	if (!d)
		bench_fail(b, "no memory for a decoder");
	else
		ocp_decoder_dialect(d, ocp_msg_dialect(type));
	while (bench_batch(b, MESSAGES))
		right &= parse(d, &w, have, size, cut);
	if (!right)
		bench_fail(b, "the messages were not read as they were written");
	if (have)
		bench_bytes(b, bench_iterations(b) * size);
	ocp_decoder_destroy(d);
	free(w.octets);
}

static void decode_have(struct bench *b)
{
	decode(b, OCP_MSG_DATA_HAVE, SIZE_MAX / 2);
}

static void decode_have_cut(struct bench *b)
{
	decode(b, OCP_MSG_DATA_HAVE, 2048);
}

static void decode_dum(struct bench *b)
{
	decode(b, OCP_MSG_DUM, SIZE_MAX / 2);
}

static void decode_dum_cut(struct bench *b)
{
	decode(b, OCP_MSG_DUM, 2048);
}

static void decode_as_is(struct bench *b)
{
	decode(b, OCP_MSG_DATA_AS_IS, SIZE_MAX / 2);
}

static void decode_duy(struct bench *b)
{
	decode(b, OCP_MSG_DUY, SIZE_MAX / 2);
}

void micro_ocp(void)
{
	static const int64_t sizes[][BENCH_ARGS_MAX] = {{64}, {256}, {1024}, {4096}, {16384}, {65536}};
	static const int64_t one[][BENCH_ARGS_MAX] = {{1460}, {65536}};
	static const struct bench_def defs[] = {
		{.name = "ocp/encode_data_have",
		 .fn = encode_have,
		 .arg = {"payload"},
		 MICRO_SETS(sizes),
		 .target = "data-have-framing"},
		{.name = "ocp/decode_data_have",
		 .fn = decode_have,
		 .arg = {"payload"},
		 MICRO_SETS(sizes),
		 .target = "data-have-parsing"},
		{.name = "ocp/decode_data_have_cut2048", .fn = decode_have_cut, .arg = {"payload"}, MICRO_SETS(one)},
		{.name = "ocp/encode_data_as_is", .fn = encode_as_is, .arg = {"size"}, MICRO_SETS(one)},
		{.name = "ocp/decode_data_as_is", .fn = decode_as_is, .arg = {"size"}, MICRO_SETS(one)},
		{.name = "ocp/encode_dum", .fn = encode_dum, .arg = {"payload"}, MICRO_SETS(sizes)},
		{.name = "ocp/decode_dum", .fn = decode_dum, .arg = {"payload"}, MICRO_SETS(sizes)},
		{.name = "ocp/decode_dum_cut2048", .fn = decode_dum_cut, .arg = {"payload"}, MICRO_SETS(one)},
		{.name = "ocp/encode_duy", .fn = encode_duy, .arg = {"size"}, MICRO_SETS(one)},
		{.name = "ocp/decode_duy", .fn = decode_duy, .arg = {"size"}, MICRO_SETS(one)},
	};

	for (unsigned i = 0; i < MICRO_COUNT(defs); i++)
		bench_register(&defs[i]);
}
