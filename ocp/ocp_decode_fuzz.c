/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decoder, both dialects: never leaves its buffers, and the cutting changes nothing. Known messages
 * survive encoding. The first message decides on the dialect, as it does for an agent.
 *
 * Inputs are streams as they are. The mutator puts whole messages, made from the codec's tables,
 * between those of the input, takes some out, and damages octets.
 */
#include <errno.h>
#include "ocp/ocp_fuzz.h"
#include "ocp/ocp_gen.h"
#include "ocp/ocp_profile.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

struct digest {
	uint64_t h;
	bool bad;
};

static void mix(struct digest *g, uint64_t v)
{
	g->h = (g->h ^ v) * UINT64_C(0x100000001b3);
	g->h ^= g->h >> 29;
}

static void mix_str(struct digest *g, struct ocp_str s)
{
	mix(g, s.len);
	for (uint32_t i = 0; i < s.len; i++)
		mix(g, (uint8_t)s.p[i]);
}

static void mix_list(struct digest *g, const struct ocp_list *l)
{
	struct ocp_profile profile;
	uint32_t at = 0, n = 0;
	struct ocp_uri u;

	mix_str(g, l->wire);
	while (ocp_list_next(l, &at, &u)) {
		mix_str(g, u.uri);
		mix_str(g, u.more);
		mix(g, (uint64_t)ocp_profile_read(&profile, &u));
		mix(g, profile.aux_parts);
		mix(g, (uint64_t)profile.pause_at_body);
		mix_str(g, profile.content_encodings);
		n++;
	}
	MUST(n == l->count);
}

static void mix_msg(struct digest *g, const struct ocp_msg *m)
{
	mix(g, m->sg);
	mix(g, m->answer);
	mix(g, m->as_is_offset);
	mix(g, m->kept_offset);
	mix(g, m->kept_size);
	mix(g, m->org_data);
	mix_list(g, &m->services);
	mix_list(g, &m->features);
	mix_list(g, &m->rejects);
	mix_list(g, &m->unknowns);
	mix(g, m->invalid);
	mix(g, m->type);
	mix(g, m->has);
	mix(g, m->xid);
	mix(g, m->am_id);
	mix(g, m->rid);
	mix(g, m->copy_am_id);
	mix(g, (uint64_t)m->priority);
	mix(g, m->modp);
	mix(g, m->size_request);
	mix(g, m->am_part);
	mix(g, m->offset);
	mix(g, m->size);
	mix(g, m->copy_am_offset);
	mix(g, m->sizep);
	mix_str(g, m->meta_data);
	mix_str(g, m->client);
	mix_str(g, m->service.uri);
	mix_str(g, m->service.more);
	mix_str(g, m->feature.uri);
	mix_str(g, m->feature.more);
	mix(g, (uint64_t)m->result.code);
	mix_str(g, m->result.reason);
	mix_str(g, m->name);
	mix(g, m->payload_size);
	mix(g, m->unknown_params);
}

#define SINGLE 4u /* a seed: octet by octet */

/* What was understood can be said, and is understood again. */
static void round_trip(const struct ocp_msg *m)
{
	struct ocp_decoder *d;
	struct digest a = {0}, b = {0};
	struct ocp_msg one = *m, two;
	struct ocp_event ev;
	size_t n = 0;
	char *head;

	if (!m->type || m->invalid)
		return;
	one.payload_size = ocp_msg_is_data(m->type) ? m->payload_size : 0;
	MUST(ocp_encode(m, one.payload_size, NULL, 0, &n) == -ENOSPC);
	head = malloc(n);
	MUST(ocp_encode(m, one.payload_size, head, n, &n) == 0);
	d = ocp_decoder_create(NULL);
	MUST(ocp_decoder_feed(d, head, n, &ev) == n);
	MUST(ev.type == OCP_EVENT_MESSAGE);
	two = *ev.msg;
	one.unknown_params = two.unknown_params = 0;
	mix_msg(&a, &one);
	mix_msg(&b, &two);
	MUST(a.h == b.h);
	ocp_decoder_destroy(d);
	free(head);
}

static struct digest run(const uint8_t *data, size_t size, uint32_t seed, bool scoped)
{
	struct fuzz f = {.x = seed};
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	bool decided = false;
	struct digest g = {0};
	struct ocp_event ev;

	if (scoped)
		ocp_decoder_scope(d);
	while (size && !g.bad) {
		size_t n = seed == SINGLE ? 1 : seed ? 1 + choice(&f, 19) : size, used = 0;
		uint8_t *piece;

		n = n < size ? n : size;
		piece = malloc(n);
		memcpy(piece, data, n);
		do {
			used += ocp_decoder_feed(d, piece + used, n - used, &ev);
			MUST(used <= n);
			switch (ev.type) {
			case OCP_EVENT_MESSAGE:
				mix_msg(&g, ev.msg);
				if (!decided && ev.msg->type)
					ocp_decoder_dialect(d, ocp_msg_dialect(ev.msg->type));
				decided = decided || ev.msg->type;
				if (!seed)
					round_trip(ev.msg);
				break;
			case OCP_EVENT_PAYLOAD:
				for (size_t i = 0; i < ev.len; i++)
					mix(&g, ev.data[i]);
				break;
			case OCP_EVENT_END:
				mix(&g, 12345);
				break;
			case OCP_EVENT_BAD:
				mix(&g, ev.bad);
				mix(&g, ev.offset);
				g.bad = true;
				break;
			case OCP_EVENT_NEED_MORE:
				MUST(used == n);
				break;
			}
		} while (ev.type != OCP_EVENT_NEED_MORE && !g.bad);
		free(piece);
		data += n;
		size -= n;
	}
	ocp_decoder_destroy(d);
	return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int scoped = 0; scoped < 2; scoped++) {
		struct digest whole = run(data, size, 0, scoped);
		struct digest cut = run(data, size, 5 + (uint32_t)size, scoped);
		struct digest single = run(data, size, SINGLE, scoped);

		MUST(whole.h == cut.h && whole.bad == cut.bad);
		MUST(whole.h == single.h && whole.bad == single.bad);
	}
	return 0;
}

/* --- mutation --- */

/* Where a message ends, from `at` on; size: the last one. */
static size_t boundary(const uint8_t *data, size_t size, size_t at)
{
	for (; at + 2 < size; at++)
		if (memcmp(data + at, ";\r\n", 3) == 0)
			return at + 3;
	return size;
}

static size_t insert(uint8_t *data, size_t size, size_t max, size_t at, struct gen *g)
{
	if (size + g->len > max)
		return size;
	memmove(data + at + g->len, data + at, size - at);
	memcpy(data + at, g->wire, g->len);
	return size + g->len;
}

static size_t take_out(uint8_t *data, size_t size, size_t at)
{
	size_t end = boundary(data, size, at);

	memmove(data + at, data + end, size - end);
	return size - (end - at);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	static struct gen g;
	size_t at;

	g.x = seed;
	g.dialect = size && *data == 'C' ? OCP_DIALECT_CORE : OCP_DIALECT_DRAFT;
	at = size ? boundary(data, size, gen_n(&g, (uint32_t)size)) : 0;
	switch (gen_n(&g, 6)) {
	case 0:
		if (!size) {
			g.dialect = gen_n(&g, 2) ? OCP_DIALECT_CORE : OCP_DIALECT_DRAFT;
			gen_message(&g, g.dialect == OCP_DIALECT_CORE ? OCP_MSG_CS : OCP_MSG_CONNECTION_START);
			return insert(data, size, max, 0, &g);
		}
		gen_any(&g);
		return insert(data, size, max, at, &g);
	case 1:
		gen_any(&g);
		size = insert(data, size, max, at, &g);
		/* damage it */
		if (at < size)
			data[at + gen_n(&g, (uint32_t)(size - at < g.len ? size - at : g.len))] ^=
				(uint8_t)(1 << gen_n(&g, 8));
		return size;
	case 2:
		return size ? take_out(data, size, at) : 0;
	default:
		return LLVMFuzzerMutate(data, size, max);
	}
}
