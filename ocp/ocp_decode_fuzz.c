/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoder: never leaves its buffers, and the cutting changes nothing. Known messages survive
 * encoding. */
#include "ocp/ocp_fuzz.h"

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

static void mix_msg(struct digest *g, const struct ocp_msg *m)
{
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

/* What was understood can be said, and is understood again. */
static void round_trip(const struct ocp_msg *m)
{
	struct ocp_decoder *d;
	struct digest a = {0}, b = {0};
	struct ocp_msg one = *m, two;
	struct ocp_event ev;
	size_t n = 0;
	char *head;

	if (!m->type)
		return;
	one.payload_size = m->type == OCP_MSG_DATA_HAVE ? m->payload_size : 0;
	MUST(ocp_encode(m, one.payload_size, NULL, 0, &n) == -28 /* -ENOSPC */);
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

static struct digest run(const uint8_t *data, size_t size, uint32_t seed)
{
	struct fuzz f = {.x = seed};
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	struct digest g = {0};
	struct ocp_event ev;

	while (size && !g.bad) {
		size_t n = seed ? 1 + choice(&f, 19) : size, used = 0;
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
	struct digest whole = run(data, size, 0), cut = run(data, size, 1 + (uint32_t)size);

	MUST(whole.h == cut.h && whole.bad == cut.bad);
	return 0;
}
