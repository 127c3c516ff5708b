/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent fed with anything, its owner doing anything, in and out of callbacks.
 *
 * The first octet of an input says how the rest is meant: as a stream, or as a script (SCRIPT) whose octets choose
 * messages that fit the state so far, or miss it by a little: so the states behind the first wrong message are reached,
 * too.
 */
#include <stdio.h>
#include "ocp/ocp_fuzz.h"
#include "ocp/ocp_profile.h"
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
};

struct sfuzz {
	struct fuzz f;
	struct original o[16]; /* INV-OCP-S2, S3 */
	bool watch;
	struct ocp_decoder *sent, *said;
	struct seen seen[64];
	/* what a script has said so far */
	const uint8_t *at, *end;
	uint32_t next_xid, next_sg;
	uint32_t xid[4], part[4];
	uint64_t offset[4];
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

	if (!x || m->type == OCP_MSG_PA || m->type == OCP_MSG_PQ)
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

	if (!x || m->invalid)
		return;
	if (m->type == OCP_MSG_TS && !x->began) { /* what was refused before was no transaction */
		x->began = true;
		x->te = false;
	}
	if (m->type == OCP_MSG_TE && x->began && (fails(m) || m->result.code == OCP_RESULT_PARTIAL))
		x->te = x->ame = true; /* nothing more is owed */
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

static uint32_t next(struct sfuzz *s, uint32_t n)
{
	return s->at < s->end ? *s->at++ % n : 0;
}

/* v, or a little beside it. */
static uint64_t about(struct sfuzz *s, uint64_t v)
{
	static const int8_t off[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 5, 100};
	int8_t d = off[next(s, sizeof(off))];

	return d < 0 && !v ? UINT64_C(2147483647) : v + (uint64_t)d;
}

static void say(struct sfuzz *s, const char *text, size_t len)
{
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

#define SAY(s, ...)                                                                                \
	do {                                                                                       \
		char text_[1024];                                                                  \
		int n_ = snprintf(text_, sizeof(text_), __VA_ARGS__);                              \
		say(s, text_, (size_t)n_);                                                         \
	} while (0)

#define UL(v) ((unsigned long)(v))

static void say_dum(struct sfuzz *s, uint32_t i)
{
	uint32_t n = next(s, 12), part = s->part[i] + (next(s, 3) ? 0 : 1);
	char named[200] = "";
	int at = 0;

	s->part[i] = part % OCP_PART_MAX;
	if (next(s, 8))
		at += snprintf(named, sizeof(named), "\r\nAM-Part: %s", ocp_part_name(s->part[i] ? s->part[i] : 1));
	if (next(s, 3))
		at += snprintf(named + at, sizeof(named) - (size_t)at, "\r\nKept: {%lu %lu}", UL(about(s, 0)),
			       UL(about(s, s->offset[i] + n)));
	SAY(s, "DUM %u %lu%s\r\n%s%u:%.*s\r\n;\r\n", s->xid[i], UL(about(s, s->offset[i])), named, at ? "\r\n" : "", n, (int)n,
	    "0123456789ab");
	s->offset[i] += n;
}

static void say_begin(struct sfuzz *s, uint32_t i)
{
	if (s->next_xid == 64) /* as many as are watched */
		return;
	s->xid[i] = s->next_xid++;
	s->offset[i] = s->part[i] = 0;
	SAY(s, "TS %u %lu;\r\nAMS %u\r\nAM-EL: 9\r\n;\r\n", s->xid[i], UL(about(s, next(s, 3))), s->xid[i]);
}

static void say_offer(struct sfuzz *s)
{
	static const char *const sg[] = {"", "\r\nSG: 0", "\r\nSG: 1", "\r\nSG: 2"};
	static const char *const kind[] = {"53:http://www.iana.org/assignments/opes/ocp/http/request",
					   "54:http://www.iana.org/assignments/opes/ocp/http/response", "1:x"};
	uint32_t g = next(s, 4);
	const char *pending = next(s, 8) ? "" : "\r\nOffer-Pending: true";

	SAY(s, "NO ({\"%s\"\r\nAux-Parts: (request-header,request-body)\r\n},{\"%s\"})%s%s%s;\r\n", kind[next(s, 3)],
	    kind[next(s, 3)], sg[g], pending, *sg[g] || *pending ? "\r\n" : "");
}

static void say_core(struct sfuzz *s)
{
	static const char *const one[] = {"AME %u;\r\n", "AME %u {206};\r\n", "AME %u {400};\r\n", "TE %u;\r\n", "TE %u {400};\r\n",
					  "DSS %u;\r\n", "DPM %u;\r\n", "DWM %u;\r\n", "DWM %u\r\nSize-request: 5\r\n;\r\n",
					  "PQ %u;\r\n", "PA %u;\r\n", "PR %u\r\nOrg-Data: 3\r\n;\r\n", "DUY %u 0 1;\r\n",
					  "DUM %u 0;\r\n", "TS %u 1;\r\n", "AMS %u;\r\n", "DWSS %u;\r\n", "DPI %u 0 3;\r\n"};
	static const char *const none[] = {"PQ;\r\n", "PA;\r\n", "CS;\r\n", "NR;\r\n", "AQ {x};\r\n", "AA true;\r\n", "X-y {a (b,c)};\r\n",
					   "NO ();\r\n", "SGD 1;\r\n", "CE;\r\n", "PR;\r\n"};
	uint32_t i = next(s, 4);

	switch (next(s, 16)) {
	case 0:
	case 1:
		say_begin(s, i);
		break;
	case 2:
		SAY(s, "SGC %lu ({\"3:u:s\"});\r\n", UL(about(s, s->next_sg)));
		s->next_sg++;
		break;
	case 3:
		say_offer(s);
		break;
	case 4:
		SAY(s, "DWP %u %lu;\r\n", s->xid[i], UL(next(s, 40)));
		break;
	case 5:
	case 6:
		SAY(s, one[next(s, sizeof(one) / sizeof(one[0]))], s->xid[i]);
		break;
	case 7:
		SAY(s, "%s", none[next(s, sizeof(none) / sizeof(none[0]))]);
		break;
	default:
		say_dum(s, i);
		break;
	}
}

static void say_draft(struct sfuzz *s)
{
	static const char *const one[] = {"data-end %u 1;\r\n", "app-message-end %u 1;\r\n", "app-message-end %u 2\r\nerror: true\r\n;\r\n",
					  "xaction-end %u;\r\n", "data-paused %u 1;\r\n", "data-ack %u 2 0 3;\r\n", "are-you-there 1\r\nxid: %u\r\n;\r\n",
					  "data-pause %u 1;\r\n", "xaction-start %u;\r\n", "app-message-start %u 3 \"1:x\";\r\n"};
	static const char *const none[] = {"please-use {\"27:urn:opes:feature:leave-loop\"};\r\n", "connection-priority 3;\r\n",
					   "i-am-here\r\nrid: 1\r\n;\r\n", "connection-service {y};\r\n", "connection-end;\r\n", "x-y;\r\n"};
	uint32_t i = next(s, 4), n;

	switch (next(s, 8)) {
	case 0:
	case 1:
		s->xid[i] = s->next_xid++;
		s->offset[i] = 0;
		SAY(s, "xaction-start %u;\r\napp-message-start %u 1 \"13:Kind: request\";\r\n", s->xid[i], s->xid[i]);
		break;
	case 2:
		SAY(s, one[next(s, sizeof(one) / sizeof(one[0]))], s->xid[i]);
		break;
	case 3:
		SAY(s, "%s", none[next(s, sizeof(none) / sizeof(none[0]))]);
		break;
	default:
		n = next(s, 12);
		SAY(s, "data-have %u 1 %lu\r\ncopied: true\r\n\r\n%u:%.*s\r\n;\r\n", s->xid[i], UL(about(s, s->offset[i])), n, (int)n,
		    "0123456789ab");
		s->offset[i] += n;
		break;
	}
}

static void begin(struct sfuzz *s, bool core)
{
	SAY(s, "%s", core ? "CS;\r\nNO ();\r\nSGC 0 ({x});\r\n" : "connection-start;\r\nconnection-service {x};\r\n");
}

static void run_script(struct sfuzz *s, bool core)
{
	begin(s, core);
	while (s->at < s->end && !s->f.closed) {
		if (core)
			say_core(s);
		else
			say_draft(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct sfuzz s = {.f = {.x = size ? bytes[0] : 0, .check = ocp_decoder_create(NULL)}, .next_xid = 1, .next_sg = 1};
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
	if (size) {
		s.at = bytes + 1;
		s.end = bytes + size;
	}
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
