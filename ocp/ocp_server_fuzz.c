/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent fed with anything, its owner doing anything, in and out of callbacks.
 *
 * The first octet of an input says how the rest is meant: as a stream, or as a script (SCRIPT) whose octets choose
 * messages that fit the state so far, or miss it by a little: so the states behind the first wrong message are reached,
 * too.
 */
#include "ocp/ocp_fuzz.h"
#include "ocp/ocp_profile.h"
#include "ocp/ocp_script.h"
#include "ocp/ocp_server.h"

enum { CONNECTED = 1, CORE = 2, SCRIPT = 4 };

struct original {
	uint32_t xid;
	uint64_t offset;
	bool begun, ended;
};

/* What a script's processor has seen and said of a transaction, in the core dialect: what we send is held against it. */
struct seen {
	uint32_t xid;
	uint64_t next;		    /* adapted octets */
	uint64_t dpi_from, dpi_to;  /* interest */
	uint64_t kept_from, kept_to;
	enum ocp_part part;
	bool began, ams, ame, te, dpm, dwss, dss;
	bool unwatched;
	bool over; /* the processor's TE has come: what names it later is ignored */
};

struct sfuzz {
	struct fuzz f;
	struct original o[16]; /* INV-OCP-S2, S3 */
	bool watch, phase;
	struct ocp_decoder *sent, *said;
	struct seen seen[64];
	struct script script;
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

	switch (choice(f, 18)) {
	case 0:
		send.am_el = (int64_t)choice(f, 3) - 1;
		send.modp = (int32_t)choice(f, 102) - 1;
		ocp_server_am_start(f->agent, xid, OCP_STR(""), &send, &id);
		break;
	case 1:
		send.ack = choice(f, 2);
		send.part = choice(f, OCP_PART_MAX);
		send.modified = choice(f, 2);
		send.as_is = (int64_t)choice(f, 12) - 2;
		ocp_server_data(f->agent, xid, id, "0123456789", choice(f, 11), NULL, &send);
		break;
	case 2:
		ocp_server_as_is(f->agent, xid, id, choice(f, 20), choice(f, 20), choice(f, OCP_PART_MAX));
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
	case 11:
		ocp_server_stop_receiving(f->agent, xid, choice(f, 20));
		break;
	case 12:
		if (!choice(f, 20))
			ocp_server_please_use(f->agent, ocp_str("u:f"));
		else if (!choice(f, 20))
			ocp_server_do_you_support(f->agent, ocp_str("u:f"));
		break;
	default:
		break;
	}
}

/* --- what we send, against the rules of RFC 4037 and 4236 for a callout server --- */

static struct seen *seen(struct sfuzz *s, uint32_t xid)
{
	struct seen *x = &s->seen[xid % 64];

	if (x->xid != xid)
		*x = (struct seen){.xid = xid, .dpi_to = OCP_CORE_MAX};
	return x;
}

static bool fails(const struct ocp_msg *m)
{
	return ocp_msg_has(m, OCP_P_RESULT) && m->result.code != OCP_RESULT_OK && m->result.code != OCP_RESULT_PARTIAL;
}

static void watch_data(struct seen *x, const struct ocp_msg *m)
{
	uint64_t from = m->copy_am_offset, to = from + m->size;

	MUST(x->ams && !x->ame);		   /* 11.7, 11.8 */
	MUST(!x->dpm || (m->type == OCP_MSG_DUM && !m->size)); /* 11.16 */
	if (m->type == OCP_MSG_DUM) {
		MUST(m->offset == x->next); /* 11.9 */
		MUST(m->am_part >= x->part); /* RFC 4236 3.2.1 */
		MUST(!x->part || (x->part < OCP_PART_RESPONSE_HEADER) == (m->am_part < OCP_PART_RESPONSE_HEADER));
		x->part = m->am_part;
	} else {
		MUST(from >= x->dpi_from && to <= x->dpi_to);	/* 11.11 */
		MUST(from >= x->kept_from && to <= x->kept_to); /* 7 */
	}
	x->next += m->size;
	MUST(x->next <= OCP_CORE_MAX);
}

static void watch_end(struct seen *x, const struct ocp_msg *m)
{
	if (m->type == OCP_MSG_TE) {
		MUST(!x->te || fails(m));
		MUST(!x->ams || x->ame); /* 11.8: AME is explicit */
		MUST(m->result.code != OCP_RESULT_PARTIAL);
		x->te = true;
		return;
	}
	MUST(!x->ame && (x->ams || fails(m)));
	MUST(m->result.code != OCP_RESULT_PARTIAL || (x->dwss && x->dss)); /* 11.13 */
	x->ame = true;
}

static void watch_sent(struct sfuzz *s, const struct ocp_msg *m)
{
	struct seen *x = ocp_msg_has(m, OCP_P_XID) ? seen(s, m->xid) : NULL;

	if (!x || x->unwatched || m->type == OCP_MSG_PA || m->type == OCP_MSG_PQ)
		return;
	MUST(!x->te || m->type == OCP_MSG_TE); /* 11.6 */
	switch (m->type) {
	case OCP_MSG_AMS:
		MUST(!x->ams && !x->ame); /* 2.4 */
		x->ams = true;
		break;
	case OCP_MSG_DUM:
	case OCP_MSG_DUY:
		watch_data(x, m);
		break;
	case OCP_MSG_DPI:
		MUST(!m->size || (m->offset >= x->dpi_from && m->offset + m->size <= x->dpi_to));
		x->dpi_from = m->offset;
		x->dpi_to = m->offset + m->size;
		break;
	case OCP_MSG_DPM:
		x->dpm = true;
		break;
	case OCP_MSG_DWSS:
		MUST(!x->dwss);
		x->dwss = true;
		break;
	case OCP_MSG_AME:
	case OCP_MSG_TE:
		watch_end(x, m);
		break;
	default:
		break;
	}
}

static void watch_said(struct sfuzz *s, const struct ocp_msg *m)
{
	struct seen *x = ocp_msg_has(m, OCP_P_XID) ? seen(s, m->xid) : NULL;

	if (m->type == OCP_MSG_NO)
		s->phase = ocp_msg_has(m, OCP_P_OFFER_PENDING);
	if (!x || m->invalid)
		return;
	if (m->type == OCP_MSG_TS && !x->began) { /* what was refused before was no transaction */
		x->began = true;
		x->te = false;
	}
	if (x->over)
		return;
	if (m->type == OCP_MSG_TE && s->phase) /* it crosses what waits for the end of the phase */
		x->unwatched = true;
	if (m->type == OCP_MSG_TE && x->began && (fails(m) || m->result.code == OCP_RESULT_PARTIAL))
		x->te = x->ame = true; /* nothing more is owed */
	if (m->type == OCP_MSG_TE && x->began)
		x->over = true;
	if (m->type == OCP_MSG_DWM)
		x->dpm = false;
	if (m->type == OCP_MSG_DSS)
		x->dss = true;
	if (m->type == OCP_MSG_DUM && ocp_msg_has(m, OCP_P_KEPT)) {
		x->kept_from = m->kept_offset;
		x->kept_to = x->kept_from + m->kept_size;
	}
}

static void watch(struct sfuzz *s, struct ocp_decoder *d, const void *p, size_t len,
		  void (*tell)(struct sfuzz *s, const struct ocp_msg *m))
{
	const uint8_t *at = p;
	struct ocp_event ev;

	do {
		size_t n = ocp_decoder_feed(d, at, len, &ev);

		if (ev.type == OCP_EVENT_BAD)
			return;
		if (ev.type == OCP_EVENT_MESSAGE)
			tell(s, ev.msg);
		at = n ? at + n : at;
		len -= n;
	} while (ev.type != OCP_EVENT_NEED_MORE);
}

static int output(void *ctx, const struct ocp_output *o)
{
	struct sfuzz *s = ctx;

	if (s->watch) {
		watch(s, s->sent, o->head, o->head_len, watch_sent);
		watch(s, s->sent, o->payload, o->payload_len, watch_sent);
		watch(s, s->sent, o->tail, o->tail_len, watch_sent);
	}
	return fuzz_output(ctx, o);
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

static void need(void *ctx, void *user, uint32_t request)
{
	maybe(ctx);
}

static int leave_now(void *ctx, void *user)
{
	maybe(ctx);
	return !choice(ctx, 4);
}

static int offer(void *ctx, const struct ocp_list *services, struct ocp_profile *p)
{
	MUST(p->feature == OCP_FEATURE_HTTP_REQUEST || p->feature == OCP_FEATURE_HTTP_RESPONSE);
	p->aux_parts = choice(ctx, 256);
	p->pause_at_body = (int64_t)choice(ctx, 5) - 1;
	p->stop_receiving_body = choice(ctx, 4) ? -1 : 3;
	p->preservation_interest_body = (int64_t)choice(ctx, 9) - 1;
	return !choice(ctx, 8);
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
	.output = output,
	.connection_start = connection_start,
	.priority = priority,
	.closed = fuzz_closed,
	.feature = feature,
	.xaction_start = xaction_start,
	.am_start = am_start,
	.data = data,
	.original_end = original_end,
	.paused = paused,
	.pause = paused,
	.need = need,
	.leave_now = leave_now,
	.offer = offer,
	.ack = ack,
	.am_end = am_end,
	.xaction_end = xaction_end,
};

/* --- scripts --- */

static void say(void *ctx, const char *text, size_t len)
{
	struct sfuzz *s = ctx;

	if (s->watch)
		watch(s, s->said, text, len, watch_said);
	while (len && !s->f.closed) {
		size_t n = 1 + choice(&s->f, choice(&s->f, 3) ? 400 : 5);
		char *piece;

		n = n < len ? n : len;
		piece = malloc(n);
		memcpy(piece, text, n);
		ocp_server_input(s->f.agent, piece, n, NULL, s->f.now);
		free(piece);
		text += n;
		len -= n;
	}
	s->f.now += choice(&s->f, 4) ? 1 : 600000;
	if (!choice(&s->f, 3))
		ocp_server_tick(s->f.agent, s->f.now);
	act(&s->f);
}

static void begin(struct sfuzz *s, bool core)
{
	SCRIPT_SAY(&s->script, "%s", core ? "CS;\r\nNO ();\r\nSGC 0 ({x});\r\n" : "connection-start;\r\nconnection-service {x};\r\n");
}

static void run_script(struct sfuzz *s, bool core)
{
	begin(s, core);
	while (s->script.at < s->script.end && !s->f.closed) {
		if (core)
			script_core(&s->script);
		else
			script_draft(&s->script);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	static const char *const services[] = {"u:s"};
	struct sfuzz s = {.f = {.x = size ? bytes[0] : 0, .check = ocp_decoder_create(NULL)}};
	uint8_t how = size ? bytes[0] : 0;
	struct ocp_server *agent;

	for (unsigned i = 0; i < 16; i++)
		s.o[i].xid = UINT32_MAX;
	cfg.ams_max = 3;
	cfg.ranges_max = 4;
	cfg.xactions_max = 8;
	cfg.groups_max = 5;
	cfg.ack_all = how & 64;
	MUST(!ocp_server_create(&agent, &cfg, &ops, &s, 0));
	s.f.agent = agent;
	s.watch = (how & SCRIPT) && (how & CORE);
	s.sent = ocp_decoder_create(NULL);
	s.said = ocp_decoder_create(NULL);
	ocp_decoder_scope(s.said);
	s.script = (struct script){.at = bytes + !!size, .end = bytes + size, .next_xid = 1, .next_sg = 1, .services = services,
				   .nservices = 1, .say = say, .ctx = &s};
	if (how & SCRIPT) {
		run_script(&s, how & CORE);
	} else if (size) {
		if (how & CONNECTED) /* straight to what is behind the bracket */
			begin(&s, how & CORE);
		fuzz_run(&s.f, bytes + 1, size - 1, input, between);
	}
	ocp_server_eof(agent);
	MUST(s.f.closed && !s.f.n);
	ocp_server_destroy(agent);
	ocp_decoder_destroy(s.f.check);
	ocp_decoder_destroy(s.sent);
	ocp_decoder_destroy(s.said);
	return 0;
}
