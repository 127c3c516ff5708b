/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Processor agent fed with anything, its owner doing anything, in and out of callbacks. What it sends is watched
 * (ocp_processor_monitor.h).
 *
 * The first octet of an input says how the rest is meant: the dialect, and a stream, or a script of a callout server
 * (ocp_processor_script.h; core).
 */
#include "ocp/ocp_processor_script.h"

enum { CORE = 1, SCRIPT = 2, OFFERS = 4 };

struct am {
	uint32_t xid, id;
	uint64_t offset;
};

struct pfuzz {
	struct fuzz f;
	struct am ams[64]; /* begun, not ended: INV-OCP-P1, P4 */
	unsigned n;
	uint32_t next_xid;
	struct monitor m;
	struct script s;
};

/* The user pointer tells the xid. */
#define SLOTS 65536
static uint32_t slots[SLOTS];

static struct am *am_of(struct pfuzz *p, uint32_t xid, uint32_t id)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->ams[i].xid == xid && p->ams[i].id == id)
			return &p->ams[i];
	return NULL;
}

/* The owner ended xid: it hears nothing more of its messages. */
static void drop(struct pfuzz *p, uint32_t xid, int64_t id)
{
	for (unsigned i = 0; i < p->n;) {
		if (p->ams[i].xid == xid && (id < 0 || p->ams[i].id == id))
			p->ams[i] = p->ams[--p->n];
		else
			i++;
	}
}

static void act_rarely(struct fuzz *f, uint32_t xid)
{
	struct ocp_uri other = {.uri = OCP_STR("u:t")};
	uint32_t rid;

	switch (choice(f, 8)) {
	case 0:
		ocp_processor_am_pause(f->agent, xid, choice(f, 30));
		break;
	case 1:
		ocp_processor_am_need(f->agent, xid, choice(f, 3));
		break;
	case 2:
		ocp_processor_working(f->agent, xid);
		break;
	case 3:
		ocp_processor_probe(f->agent, choice(f, 2), xid, false, 0, &rid, f->now);
		break;
	case 4:
		ocp_processor_please_use(f->agent, OCP_STR("u:f"));
		break;
	case 5:
		ocp_processor_do_you_support(f->agent, OCP_STR("u:f"));
		break;
	case 6:
		if (!choice(f, 4))
			ocp_processor_group_drop(f->agent, &other);
		break;
	default:
		ocp_processor_service(f->agent, &other);
		break;
	}
}

static void act(struct fuzz *f)
{
	struct pfuzz *p = (struct pfuzz *)f;
	struct ocp_uri service = {.uri = OCP_STR("u:s")};
	struct ocp_send s = OCP_SEND_INIT;
	struct ocp_start st = OCP_START_INIT;
	uint32_t xid = f->n ? f->xids[choice(f, f->n)] : 1, id = choice(f, 4) * 2;

	if (p->m.core) {
		s.part = choice(f, 3) ? (enum ocp_part)(1 + xid % 2 * 3 + choice(f, 3)) : choice(f, OCP_PART_MAX);
		st.profile = choice(f, 3) ? (enum ocp_feature)(OCP_FEATURE_HTTP_REQUEST + p->next_xid % 2)
					  : OCP_FEATURE_MAX;
		st.am_el = (int64_t)choice(f, 9) - 1;
		s.modp = (int32_t)choice(f, 40) - 30;
		s.modp = s.modp < -1 ? -1 : s.modp;
	}
	switch (choice(f, 16)) {
	case 0:
		st.service = &service;
		st.meta = OCP_STR("m");
		if (!ocp_processor_xaction_start(f->agent, &st, &slots[p->next_xid % SLOTS], &xid, f->now)) {
			MUST(xid == p->next_xid);
			p->next_xid++;
			f->xids[f->n++] = xid;
		}
		break;
	case 1:
	case 2:
	case 3:
		s.copied = choice(f, 3);
		s.ack = choice(f, 2);
		ocp_processor_data(f->agent, xid, "0123456789", choice(f, 11), NULL, &s, f->now);
		break;
	case 4:
		ocp_processor_data_end(f->agent, xid, choice(f, 3), f->now);
		break;
	case 5:
		if (f->n && !choice(f, 3)) {
			/* inside the ending of the connection it may be too late */
			bool had = ocp_processor_user(f->agent, xid);

			ocp_processor_xaction_end(f->agent, xid, choice(f, 2), NULL);
			if (had) {
				forget(f, xid);
				drop(p, xid, -1);
			}
		}
		break;
	case 6:
		if (!ocp_processor_am_abort(f->agent, xid, id))
			drop(p, xid, id);
		break;
	case 7:
		if (!choice(f, 50))
			ocp_processor_end(f->agent, choice(f, 2), NULL);
		break;
	case 8:
		ocp_processor_expect(f->agent, xid);
		break;
	case 9:
		act_rarely(f, xid);
		break;
	default:
		break;
	}
}

static void maybe(void *ctx)
{
	struct fuzz *f = ctx;

	if (!choice(f, 4))
		act(f);
}

static uint32_t current_xid(void *user)
{
	return *(uint32_t *)user;
}

static void feature(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a)
{
	MUST(!((struct fuzz *)ctx)->closed);
	maybe(ctx);
}

static void alive(void *ctx, uint32_t rid, bool has_xid, bool has_am_id)
{
	MUST(!((struct fuzz *)ctx)->closed);
	maybe(ctx);
}

static void original(void *ctx, void *user)
{
	maybe(ctx);
}

static void need(void *ctx, void *user, bool resumed, uint64_t have, uint32_t request)
{
	maybe(ctx);
}

static void ack(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	maybe(ctx);
}

static void wont_forward(void *ctx, void *user, uint64_t offset, uint64_t size)
{
	struct pfuzz *p = ctx;
	struct mon_xaction *x = mon_find(&p->m, current_xid(user));

	if (x)
		mon_given_up(x, offset, offset + size);
	maybe(ctx);
}

static void am_paused(void *ctx, void *user)
{
	maybe(ctx);
}

static void am_start(void *ctx, void *user, const struct ocp_am_info *i)
{
	struct pfuzz *p = ctx;
	uint32_t xid = current_xid(user);

	MUST(!am_of(p, xid, i->am_id));
	MUST(!(i->am_id & 1));
	MUST(p->n < 64);
	p->ams[p->n++] = (struct am){xid, i->am_id, 0};
	maybe(ctx);
}

static void am_data(void *ctx, void *user, const struct ocp_data *d)
{
	struct am *am = am_of(ctx, current_xid(user), d->am_id);

	MUST(am && am->offset == d->offset);
	am->offset += d->len;
	maybe(ctx);
}

static void am_as_is(void *ctx, void *user, const struct ocp_as_is *s)
{
	struct pfuzz *p = ctx;
	struct am *am = am_of(p, current_xid(user), s->am_id);
	uint64_t sent;

	MUST(am && am->offset == s->offset);
	MUST(ocp_processor_sent(p->f.agent, current_xid(user), &sent));
	MUST(s->src_offset + s->size <= sent);
	mon_reuse(&p->m, current_xid(user), s->src_offset, s->size); /* INV-OCP-P5 */
	am->offset += s->size;
	maybe(ctx);
}

static void am_end(void *ctx, void *user, const struct ocp_am_ending *e)
{
	struct pfuzz *p = ctx;

	MUST(am_of(p, current_xid(user), e->am_id));
	MUST(e->ok || !e->left);
	drop(p, current_xid(user), e->am_id);
	maybe(ctx);
}

static void left(void *ctx, void *user, uint32_t am_id, uint64_t rest)
{
	struct pfuzz *p = ctx;
	uint64_t sent;

	MUST(ocp_processor_sent(p->f.agent, current_xid(user), &sent) && rest <= sent);
	maybe(ctx);
}

static void xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct pfuzz *p = ctx;

	for (unsigned i = 0; i < p->n; i++)
		MUST(p->ams[i].xid != current_xid(user));
	forget(&p->f, current_xid(user));
	maybe(ctx);
}

static int input(struct fuzz *f, const void *d, size_t n)
{
	return ocp_processor_input(f->agent, d, n, NULL, f->now);
}

static void between(struct fuzz *f)
{
	if (!choice(f, 3))
		ocp_processor_tick(f->agent, f->now);
	act(f);
}

static void sent(struct fuzz *f, const struct ocp_msg *m)
{
	mon_sent(&((struct pfuzz *)f)->m, f, m);
}

static void run_script(struct pfuzz *p, const uint8_t *data, size_t size)
{
	struct script *s = &p->s;

	s->at = data;
	s->end = data + size;
	s_say(s, "CS;\n");
	while (s->at < s->end && !p->f.closed) {
		const uint8_t *before = s->at;
		size_t len = s->len;

		fuzz_run(&p->f, (const uint8_t *)s->text, len, input, between);
		s->len = 0;
		s_step(s, &p->m, &p->f);
		if (s->at == before) /* nothing left to choose */
			break;
	}
}

static const struct ocp_processor_ops ops = {
	.output = fuzz_output,
	.closed = fuzz_closed,
	.feature = feature,
	.alive = alive,
	.am_start = am_start,
	.am_data = am_data,
	.am_as_is = am_as_is,
	.am_end = am_end,
	.left = left,
	.pause = original,
	.need = need,
	.ack = ack,
	.wont_forward = wont_forward,
	.am_paused = am_paused,
	.original_end = original,
	.xaction_end = xaction_end,
};

static void configure(struct ocp_processor_config *cfg, struct ocp_offer *offers, uint8_t how)
{
	*cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	cfg->ams_max = 3;
	cfg->ranges_max = 4;
	cfg->xactions_max = 8;
	if (!(how & CORE))
		return;
	cfg->dialect = OCP_DIALECT_CORE;
	cfg->groups_max = 5;
	for (int i = 0; i < 2; i++) {
		offers[i] = (struct ocp_offer){.service = {.uri = OCP_STR("u:s")}, .profile = OCP_PROFILE_INIT};
		offers[i].profile.feature = i ? OCP_FEATURE_HTTP_RESPONSE : OCP_FEATURE_HTTP_REQUEST;
	}
	offers[1].profile.aux_parts = OCP_HAS(OCP_PART_REQUEST_HEADER);
	cfg->offers = offers;
	cfg->noffers = how & OFFERS ? 2 : 0;
}

/* Draft: three transactions under way before the first octet arrives. */
static void begin_draft(struct pfuzz *p)
{
	struct ocp_uri service = {.uri = OCP_STR("u:s")};
	struct ocp_send s = OCP_SEND_INIT;
	struct ocp_start st = OCP_START_INIT;
	uint32_t xid;

	s.copied = true;
	st.service = &service;
	st.meta = OCP_STR("m");
	for (int i = 0; i < 3; i++) {
		if (ocp_processor_xaction_start(p->f.agent, &st, &slots[i + 1], &xid, 0))
			return;
		MUST(xid == p->next_xid++);
		p->f.xids[p->f.n++] = xid;
		ocp_processor_data(p->f.agent, xid, "0123456789", 10, NULL, &s, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pfuzz p;
	struct ocp_processor_config cfg;
	struct ocp_offer offers[2];
	struct ocp_processor *agent;
	uint8_t how = size ? data[0] : 0;

	memset(&p, 0, sizeof(p));
	p.f.x = how;
	p.f.check = ocp_decoder_create(NULL);
	p.f.sent = sent;
	p.next_xid = 1;
	p.m.core = how & CORE;
	p.m.last_sg = -1;
	configure(&cfg, offers, how);
	MUST(!ocp_processor_create(&agent, &cfg, &ops, &p));
	p.f.agent = agent;
	for (uint32_t i = 0; i < SLOTS && !slots[SLOTS - 1]; i++)
		slots[i] = i;
	ocp_processor_connect(agent, OCP_STR("fuzz"), 1, 0);
	ocp_processor_please_use(agent, ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP)));
	if (!p.m.core)
		begin_draft(&p);
	if (size && (how & CORE) && (how & SCRIPT))
		run_script(&p, data + 1, size - 1);
	else if (size)
		fuzz_run(&p.f, data + 1, size - 1, input, between);
	ocp_processor_eof(agent);
	MUST(p.f.closed && !p.f.n && !p.n);
	ocp_processor_destroy(agent);
	ocp_decoder_destroy(p.f.check);
	return 0;
}
