/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of the processor agent in the core dialect: beginnings and expectations. */
#ifndef OCP_PROCESSOR_CORE_BENCH_H
#define OCP_PROCESSOR_CORE_BENCH_H

#include "ocp/ocp_test_bench.h"

#define REQUEST_URI "\"53:http://www.iana.org/assignments/opes/ocp/http/request\""
#define RESPONSE_URI "\"54:http://www.iana.org/assignments/opes/ocp/http/response\""
#define REQUEST "{" REQUEST_URI "}"
#define RESPONSE "{" RESPONSE_URI "}"

static const struct ocp_uri service = {.uri = {"u:s", 3}};

static void core_am_start(void *ctx, void *user, const struct ocp_am_info *am)
{
	struct bench *b = ctx;

	text_say(&b->log, "am_start %u kind=%d", am->am_id, am->kind);
	if (am->am_el >= 0)
		text_say(&b->log, " am_el=%lld", (long long)am->am_el);
	if (am->services.count && am->services.wire.len < 400)
		text_say(&b->log, " services=%u%.*s", am->services.count, (int)am->services.wire.len,
			 am->services.wire.p);
	text_say(&b->log, "\n");
	inside(b, "am_start");
}

static void core_am_paused(void *ctx, void *user)
{
	struct bench *b = ctx;

	text_say(&b->log, "am_paused\n");
}

__attribute__((unused, format(printf, 2, 3))) static void want_logf(struct bench *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	want_log(b, text);
}

__attribute__((unused)) static void forget(struct bench *b)
{
	text_put(&b->log, "", 0);
	text_put(&b->out, "", 0);
	text_clear(&b->log);
	text_clear(&b->out);
}

/* The only thing sent: NAME [xid] {400 "n:reason"}; the reason is the fault's text. */
__attribute__((unused)) static void want_400(struct bench *b, const char *name, enum ocp_fault f)
{
	char text[512];

	snprintf(text, sizeof(text), "%s {400 \"%zu:%s\"};\n", name, strlen(ocp_fault_text(f)), ocp_fault_text(f));
	want_out(b, text);
}

/* The connection ended because of f: CE 400. */
__attribute__((unused)) static void want_ce(struct bench *b, enum ocp_fault f, const char *msg)
{
	want_400(b, "CE", f);
	want_logf(b, "fault %d %s\nclosed %d\n", f, msg, OCP_END_VIOLATION);
	assert_int_equal(ocp_processor_over(b->p), OCP_END_VIOLATION);
	bench_free(b);
}

/* Transaction 1 ended because of f, TE 400, and its adapted message with it when the owner knew of it. */
__attribute__((unused)) static void want_te(struct bench *b, enum ocp_fault f, const char *msg, bool am)
{
	char end[64] = "";

	want_400(b, "TE 1", f);
	if (am)
		snprintf(end, sizeof(end), "am_end 2 bad fault=%d\n", f);
	want_logf(b, "fault %d %s\n%sxaction_end %d fault=%d\n", f, msg, end, OCP_XEND_VIOLATION, f);
	assert_null(ocp_processor_user(b->p, 1));
	assert_int_equal(ocp_processor_over(b->p), OCP_END_NONE);
	bench_free(b);
}

__attribute__((unused)) static struct ocp_processor_config core_config(void)
{
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;

	cfg.dialect = OCP_DIALECT_CORE;
	return cfg;
}

__attribute__((unused)) static struct ocp_offer offer_of(enum ocp_feature f)
{
	struct ocp_offer o = {.service = service, .profile = OCP_PROFILE_INIT};

	o.profile.feature = f;
	return o;
}

__attribute__((unused)) static void create(struct bench *b, const struct ocp_processor_config *cfg)
{
	struct ocp_processor_ops ops = bench_p_ops;

	memset(b, 0, sizeof(*b));
	ops.am_start = core_am_start;
	ops.am_paused = core_am_paused;
	assert_int_equal(ocp_processor_create(&b->p, cfg, &ops, b), 0);
}

/* CS, NO () sent. */
__attribute__((unused)) static void connecting_cfg(struct bench *b, const struct ocp_processor_config *cfg)
{
	create(b, cfg);
	assert_int_equal(ocp_processor_connect(b->p, OCP_STR("ignored"), 3, b->now), 0);
}

__attribute__((unused)) static void connecting(struct bench *b)
{
	struct ocp_processor_config cfg = core_config();

	connecting_cfg(b, &cfg);
	want_out(b, "CS;\nNO ();\n");
}

/* No profile, negotiation over. */
__attribute__((unused)) static void connected_cfg(struct bench *b, const struct ocp_processor_config *cfg)
{
	connecting_cfg(b, cfg);
	assert_int_equal(bench_in(b, "CS;\nNR;\n"), 0);
	forget(b);
}

__attribute__((unused)) static void connected(struct bench *b)
{
	struct ocp_processor_config cfg = core_config();

	connected_cfg(b, &cfg);
}

/* The profile f agreed on for the service; answer: members of the feature in the NR. */
__attribute__((unused)) static void agreed(struct bench *b, enum ocp_feature f, uint32_t aux, const char *answer)
{
	struct ocp_processor_config cfg = core_config();
	struct ocp_offer o = offer_of(f);
	char text[512];

	o.profile.aux_parts = aux;
	cfg.offers = &o;
	cfg.noffers = 1;
	connecting_cfg(b, &cfg);
	snprintf(text, sizeof(text), "CS;\nNR {%s%s}\nSG: 1\n;\n",
		 f == OCP_FEATURE_HTTP_REQUEST ? REQUEST_URI : RESPONSE_URI, answer);
	assert_int_equal(bench_in(b, text), 0);
	want_logf(b, "feature %d %s %d\n", f, ocp_feature_uri(f), OCP_ANSWER_WILL_USE);
	forget(b);
}

__attribute__((unused)) static int begin(struct bench *b, enum ocp_feature profile, uint32_t *xid)
{
	struct ocp_start st = OCP_START_INIT;

	st.service = &service;
	st.profile = profile;
	return ocp_processor_xaction_start(b->p, &st, b->user, xid, b->now);
}

__attribute__((unused)) static int put(struct bench *b, enum ocp_part part, const char *text, bool copied)
{
	struct ocp_send s = OCP_SEND_INIT;

	s.part = part;
	s.copied = copied;
	return ocp_processor_data(b->p, 1, text, strlen(text), NULL, &s, b->now);
}

/* Transaction 1, without a profile, 10 octets of the original sent and kept. */
__attribute__((unused)) static void original_cfg(struct bench *b, const struct ocp_processor_config *cfg)
{
	uint32_t xid;

	connected_cfg(b, cfg);
	assert_int_equal(begin(b, OCP_FEATURE_MAX, &xid), 0);
	assert_int_equal(xid, 1);
	assert_int_equal(put(b, OCP_PART_NONE, "0123456789", true), 0);
	want_out(b, "SGC 1 ({\"3:u:s\"});\nTS 1 1;\nAMS 1;\nDUM 1 0\nKept: {0 10}\n\n10:0123456789\n;\n");
	want_log(b, "");
}

__attribute__((unused)) static void original(struct bench *b)
{
	struct ocp_processor_config cfg = core_config();

	original_cfg(b, &cfg);
}

/* and an adapted message begun, with two octets of it */
__attribute__((unused)) static void adapted(struct bench *b)
{
	original(b);
	bench_in(b, "AMS 1;\nDUM 1 0\n2:ab\n;\n");
	want_log(b, "am_start 2 kind=0\ndata 2@0 [ab] first last\n");
	want_out(b, "");
}

/* Transaction 1 with the profile, its header of 4 octets sent. */
__attribute__((unused)) static void http(struct bench *b, enum ocp_feature f, const char *answer)
{
	uint32_t xid;

	agreed(b, f, 0, answer);
	assert_int_equal(begin(b, f, &xid), 0);
	assert_int_equal(put(b, f == OCP_FEATURE_HTTP_REQUEST ? OCP_PART_REQUEST_HEADER : OCP_PART_RESPONSE_HEADER,
			     "head", true), 0);
	forget(b);
}
#endif
