/* SPDX-License-Identifier: BSD-3-Clause */
/* Callout server agent fed with anything, its owner doing anything, in and out of callbacks. */
#include "ocp/ocp_fuzz.h"
#include "ocp/ocp_server.h"

struct original {
	uint32_t xid;
	uint64_t offset;
	bool begun, ended;
};

struct sfuzz {
	struct fuzz f;
	struct original o[16]; /* INV-OCP-S2, S3 */
};

static struct original *of(struct sfuzz *s, void *user)
{
	struct original *o = user;

	MUST(o >= s->o && o < s->o + 16);
	return o;
}

static void ended(struct fuzz *f, uint32_t xid)
{
	struct sfuzz *s = (struct sfuzz *)f;

	forget(f, xid);
	for (unsigned i = 0; i < 16; i++)
		if (s->o[i].xid == xid)
			s->o[i].xid = UINT32_MAX;
}

static bool open_(struct fuzz *f, uint32_t xid)
{
	uint64_t n;

	return ocp_server_received(f->agent, xid, &n);
}

static void act(struct fuzz *f)
{
	struct ocp_send send = OCP_SEND_INIT;
	uint32_t xid = f->n ? f->xids[choice(f, f->n)] : 1, id = choice(f, 4) * 2;
	bool had = open_(f, xid);

	switch (choice(f, 16)) {
	case 0:
		ocp_server_am_start(f->agent, xid, OCP_STR(""), NULL, &id);
		break;
	case 1:
		send.ack = choice(f, 2);
		ocp_server_data(f->agent, xid, id, "0123456789", choice(f, 11), NULL, &send);
		break;
	case 2:
		ocp_server_as_is(f->agent, xid, id, choice(f, 20), choice(f, 20), OCP_PART_NONE);
		break;
	case 3:
		ocp_server_data_end(f->agent, xid, id, choice(f, 2));
		break;
	case 4:
		ocp_server_pause(f->agent, xid);
		break;
	case 5:
		ocp_server_need(f->agent, xid, choice(f, 5));
		break;
	case 6:
		ocp_server_ack(f->agent, xid, choice(f, 20), choice(f, 20), choice(f, 2));
		break;
	case 7:
		if (had) {
			ocp_server_leave_loop(f->agent, xid, id);
			if (!open_(f, xid))
				ended(f, xid);
		}
		break;
	case 8:
		if (had && !choice(f, 3)) {
			ocp_server_xaction_end(f->agent, xid, choice(f, 2), NULL);
			ended(f, xid);
		}
		break;
	case 9:
		ocp_server_working(f->agent, xid);
		break;
	case 10:
		if (!choice(f, 50))
			ocp_server_end(f->agent, false, NULL);
		break;
	default:
		break;
	}
}

static void maybe(void *ctx)
{
	if (!choice(ctx, 4))
		act(ctx);
}

static int connection_start(void *ctx, struct ocp_str client, int32_t priority)
{
	maybe(ctx);
	return !choice(ctx, 50);
}

static void priority(void *ctx, int32_t value)
{
	maybe(ctx);
}

static void feature(void *ctx, enum ocp_feature f, struct ocp_str uri, enum ocp_answer a)
{
	maybe(ctx);
}

static int xaction_start(void *ctx, uint32_t xid, const struct ocp_uri *service, void **user)
{
	struct sfuzz *s = ctx;
	unsigned i = 0;

	MUST(service->uri.p);
	if (s->f.n == 8 || !choice(&s->f, 20))
		return 1;
	while (s->o[i].xid != UINT32_MAX)
		i++;
	s->o[i] = (struct original){.xid = xid};
	*user = &s->o[i];
	s->f.xids[s->f.n++] = xid;
	return 0;
}

static int am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct original *o = of(ctx, user);

	MUST(!o->begun && (am->am_id & 1));
	o->begun = true;
	maybe(ctx);
	if (choice(ctx, 20))
		return 0;
	o->ended = true;
	return 1;
}

static void data(void *ctx, void *user, const struct ocp_data *d)
{
	struct original *o = of(ctx, user);

	MUST(o->begun && !o->ended && o->offset == d->offset);
	o->offset += d->len;
	maybe(ctx);
}

static void original_end(void *ctx, void *user, const struct ocp_original_ending *e)
{
	struct original *o = of(ctx, user);

	MUST(o->begun && !o->ended);
	o->ended = true;
	maybe(ctx);
}

static void paused(void *ctx, void *user)
{
	maybe(ctx);
}

static void ack(void *ctx, void *user, uint32_t am_id, uint64_t offset, uint64_t size)
{
	maybe(ctx);
}

static void am_end(void *ctx, void *user, uint32_t am_id, bool error, const struct ocp_result *r)
{
	maybe(ctx);
}

static void xaction_end(void *ctx, void *user, const struct ocp_xaction_ending *e)
{
	struct sfuzz *s = ctx;

	ended(&s->f, of(s, user)->xid);
	maybe(ctx);
}

static int input(struct fuzz *f, const void *d, size_t n)
{
	return ocp_server_input(f->agent, d, n, NULL, f->now);
}

static void between(struct fuzz *f)
{
	if (!choice(f, 3))
		ocp_server_tick(f->agent, f->now);
	act(f);
}

static const struct ocp_server_ops ops = {
	.output = fuzz_output,
	.connection_start = connection_start,
	.priority = priority,
	.closed = fuzz_closed,
	.feature = feature,
	.xaction_start = xaction_start,
	.am_start = am_start,
	.data = data,
	.original_end = original_end,
	.paused = paused,
	.ack = ack,
	.am_end = am_end,
	.xaction_end = xaction_end,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct sfuzz s = {.f = {.x = size ? bytes[0] : 0, .check = ocp_decoder_create(NULL)}};
	struct ocp_server *agent;

	for (unsigned i = 0; i < 16; i++)
		s.o[i].xid = UINT32_MAX;
	cfg.ams_max = 3;
	cfg.ranges_max = 4;
	cfg.xactions_max = 8;
	MUST(!ocp_server_create(&agent, &cfg, &ops, &s, 0));
	s.f.agent = agent;
	if (size > 1 && (bytes[0] & 1)) /* straight to what is behind the bracket */
		ocp_server_input(agent, "connection-start;\r\nconnection-service {x};\r\n", 44,
				 NULL, 0);
	if (size)
		fuzz_run(&s.f, bytes + 1, size - 1, input, between);
	ocp_server_eof(agent);
	MUST(s.f.closed && !s.f.n);
	ocp_server_destroy(agent);
	ocp_decoder_destroy(s.f.check);
	return 0;
}
