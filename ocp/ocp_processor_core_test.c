/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent, core dialect, against raw input: connection, groups, negotiation, progress (RFC 4037). */
#include "ocp/ocp_processor_core_bench.h"
#include "ocp/ocp_processor_private.h"

/* --- connection: 11.1, 11.2 --- */

static void test_cs_first_then_offer_at_once(void **state)
{
	struct bench b;
	struct ocp_start st = OCP_START_INIT;
	uint32_t xid;

	connecting(&b); /* CS, NO () [6.1] and nothing of the draft's client and priority */
	assert_int_equal(ocp_processor_connect(b.p, OCP_STR(""), 0, 0), -EALREADY);
	want_out(&b, ""); /* CS goes out exactly once */
	st.service = &service;
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), -EAGAIN);
	bench_in(&b, "CS;\n");
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), -EAGAIN);
	bench_in(&b, "NR;\n");
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), 0);
	want_log(&b, "");
	bench_free(&b);
}

static void test_first_message_not_cs(void **state)
{
	const char *const first[] = {"NR;\n", "PQ;\n", "x-extension;\n", "CE;\n", "connection-start;\n"};

	for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct bench b;

		connecting(&b);
		bench_in(&b, first[i]);
		want_400(&b, "CE", OCP_FAULT_NOT_CS);
		assert_int_equal(ocp_processor_over(b.p), OCP_END_OUTSIDE);
		assert_int_equal(ocp_processor_counters(b.p)->faults[OCP_FAULT_NOT_CS], 1);
		bench_free(&b);
	}
}

static void test_repeated_cs_ignored(void **state)
{
	struct bench b;

	connected(&b);
	bench_in(&b, "CS;\n");
	want_logf(&b, "fault %d CS\n", OCP_FAULT_REPEATED_START);
	want_out(&b, "");
	bench_free(&b);
}

static void test_ce(void **state)
{
	struct bench b;
	const struct ocp_result r = {400, OCP_STR("why")};

	original(&b);
	bench_in(&b, "CE;\n"); /* ends all transactions, is not answered */
	want_logf(&b, "xaction_end %d conn=%d\nclosed %d\n", OCP_XEND_CONNECTION, OCP_END_PEER, OCP_END_PEER);
	want_out(&b, "");
	assert_int_equal(bench_in(&b, "PQ;\n"), -ENOTCONN);
	bench_free(&b);

	original(&b);
	bench_in(&b, "CE {400 \"4:full\"};\n");
	want_logf(&b, "xaction_end %d conn=%d {400 full}\nclosed %d {400 full}\n", OCP_XEND_CONNECTION, OCP_END_PEER_ERROR,
		  OCP_END_PEER_ERROR);
	bench_free(&b);

	original(&b); /* a code that is not known is a failure [10.10]; 206 is not for CE */
	bench_in(&b, "CE {206};\n");
	assert_int_equal(ocp_processor_over(b.p), OCP_END_PEER_ERROR);
	bench_free(&b);

	original(&b); /* closed without CE: as if with a failure [11.2] */
	ocp_processor_eof(b.p);
	want_logf(&b, "xaction_end %d conn=%d\nclosed %d\n", OCP_XEND_CONNECTION, OCP_END_EOF, OCP_END_EOF);
	bench_free(&b);

	connected(&b); /* ours goes out before closing */
	ocp_processor_end(b.p, false, NULL);
	want_out(&b, "CE;\n");
	bench_free(&b);
	connected(&b);
	ocp_processor_end(b.p, true, NULL);
	want_out(&b, "CE {400};\n");
	bench_free(&b);
	connected(&b);
	ocp_processor_end(b.p, true, &r);
	want_out(&b, "CE {400 \"3:why\"};\n");
	bench_free(&b);
}

/* --- invalid input: 5 --- */

static void test_malformed_of_unknown_scope_ends_connection(void **state)
{
	const char *const bad[] = {"DUM 1\n", "DUM;x", "AMS {;\n", "TE x;\n", "SGC 1;\n", "NO ();x", "AMS 01;\n"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bench b;

		original(&b);
		bench_in(&b, bad[i]);
		bench_in(&b, "!");
		text_put(&b.out, "", 0);
		assert_memory_equal(b.out.p, "CE {400 \"", 9);
		assert_int_equal(ocp_processor_over(b.p), OCP_END_MALFORMED);
		bench_free(&b);
	}
}

static void test_malformed_of_a_transaction_ends_it(void **state)
{
	const char *const bad[] = {"DWP 1 x;\n", "DWP 1;\n", "DUM 1 0;\n", "DPI 1 0 2147483648;\n", "DUY 1 0;\n",
				   "DWM 1\nSize-request: x\n;\n", "AME 1 {};\n", "DUM 1 0\nModp: 101\n\n1:a\n;\n",
				   "DWM 1\nx: 1\nx: 2\n;\n"};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bench b;

		original(&b);
		bench_in(&b, bad[i]);
		want_400(&b, "TE 1", OCP_FAULT_MALFORMED);
		assert_null(ocp_processor_user(b.p, 1));
		assert_int_equal(ocp_processor_over(b.p), OCP_END_NONE);
		bench_in(&b, "PQ;\n"); /* and the connection goes on */
		want_out(&b, "PA;\n");
		bench_free(&b);
	}
}

static void test_unknown_and_unexpected_ignored(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "x-new 1 2 3\nFoo: (1,2)\n\n3:abc\n;\n");
	want_logf(&b, "fault %d unknown\n", OCP_FAULT_UNKNOWN_MSG);
	bench_in(&b, "AMS 1 extra {1 2}\nX-Foo: bar\n\n3:abc\n;\n"); /* parameters and a payload too many */
	want_log(&b, "");
	bench_in(&b, "TS 9 1;\nDSS 1;\n"); /* only a processor has a use for these */
	want_logf(&b, "fault %d TS\nfault %d DSS\n", OCP_FAULT_DIRECTION, OCP_FAULT_DIRECTION);
	bench_in(&b, "app-message-start 1 2 \"0:\";\n"); /* the other dialect's names are unknown here */
	want_logf(&b, "fault %d unknown\n", OCP_FAULT_UNKNOWN_MSG);
	bench_in(&b, "DUM 1 0\nKept: {0 1}\n\n1:a\n;\n"); /* Kept is the processor's */
	want_log(&b, "am_start 2 kind=0\ndata 2@0 [a] first last\n");
	want_out(&b, "");
	bench_free(&b);
}

static void test_unknown_xid(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "DUM 7 0\n1:a\n;\n"); /* never introduced [11] */
	want_400(&b, "TE 7", OCP_FAULT_UNKNOWN_XID);
	bench_in(&b, "TE 0;\n");
	want_400(&b, "TE 0", OCP_FAULT_UNKNOWN_XID);
	want_logf(&b, "fault %d DUM\nfault %d TE\n", OCP_FAULT_UNKNOWN_XID, OCP_FAULT_UNKNOWN_XID);
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, NULL), 0);
	want_out(&b, "TE 1 {400};\n");
	bench_in(&b, "AMS 1;\nDUM 1 0\n1:a\n;\nAME 1;\n"); /* ended by us, on its way then: ignored */
	want_logf(&b, "fault %d AMS\nfault %d DUM\nfault %d AME\n", OCP_FAULT_UNKNOWN_ID, OCP_FAULT_UNKNOWN_ID,
		  OCP_FAULT_UNKNOWN_ID);
	bench_in(&b, "TE 1;\n"); /* which is how it ends */
	want_log(&b, "");
	want_out(&b, "");
	bench_free(&b);
}

static const char dialog[] =
	"AMS 1\nServices: ({\"3:u:t\"})\n;\nDUM 1 0\nAs-is: 0\nModp: 1\n\n1:a\n;\nDUY 1 0 4;\nDUM 1 5\n0:\n;\n"
	"DPI 1 0 4;\nPQ 1;\nAQ " REQUEST ";\nx-new {a (b,c)}\nN: 1\n\n3:abc\n;\nDWP 1 3;\nDWM 1\nSize-request: 3\n;\n"
	"NO ({\"3:a:b\"});\nPR 1\nOrg-Data: 7\n;\nDWSS 1;\nDWSR 1 0;\nAME 1 {206};\nTE 1;\nDUM 9 0\n1:x\n;\nCE {400 \"2:no\"};\n";

/* However the stream is cut, the same is said and heard. */
static void test_any_cutting(void **state)
{
	struct bench whole, cut;
	size_t len;
	char *in = wire(dialog, &len);

	original(&whole);
	bench_in(&whole, dialog);
	original(&cut);
	for (size_t i = 0; i < len; i++) {
		char octet = in[i];

		ocp_processor_input(cut.p, &octet, 1, NULL, 0);
	}
	assert_string_equal(cut.log.p, whole.log.p);
	assert_string_equal(cut.out.p, whole.out.p);
	assert_non_null(strstr(whole.log.p, "left 2 rest=10\n"));
	assert_non_null(strstr(whole.log.p, "closed"));
	free(in);
	bench_free(&whole);
	bench_free(&cut);
}

/* --- service groups: 11.3, 11.4 --- */

static void test_own_groups(void **state)
{
	struct ocp_processor_config cfg = core_config();
	const struct ocp_uri other = {.uri = {"u:t", 3}, .more = {" \"2:p1\"", 7}};
	struct ocp_start st = OCP_START_INIT;
	struct bench b;
	uint32_t xid;

	cfg.groups_max = 2;
	connected_cfg(&b, &cfg);
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), -EINVAL); /* no service */
	assert_int_equal(ocp_processor_service(b.p, &service), 0);
	want_out(&b, "");
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), 0); /* made when first used */
	want_out(&b, "SGC 1 ({\"3:u:s\"});\nTS 1 1;\nAMS 1;\n");
	st.service = &service; /* and used again */
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), 0);
	want_out(&b, "TS 2 1;\nAMS 2;\n");
	st.service = &other;
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), 0);
	want_out(&b, "SGC 2 ({\"3:u:t\" \"2:p1\"});\nTS 3 2;\nAMS 3;\n");
	st.service = &(struct ocp_uri){.uri = {"u:u", 3}};
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), -ENOSPC);
	want_out(&b, "");
	/* SGD waits for the last transaction */
	assert_int_equal(ocp_processor_group_drop(b.p, &service), 0);
	assert_int_equal(ocp_processor_group_drop(b.p, &service), -ENOENT);
	want_out(&b, "");
	bench_in(&b, "TE 1;\n");
	want_out(&b, "TE 1;\n");
	bench_in(&b, "TE 2;\n");
	want_out(&b, "TE 2;\nSGD 1;\n");
	st.service = &service; /* ids are not used twice [10.2] */
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), 0);
	want_out(&b, "SGC 3 ({\"3:u:s\"});\nTS 4 3;\nAMS 4;\n");
	bench_free(&b);
}

static void test_peers_groups(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct bench b;
	uint32_t xid;

	cfg.groups_max = 2;
	connected_cfg(&b, &cfg);
	bench_in(&b, "SGC 5 ({\"3:u:s\"},{\"3:u:t\" x});\nSGC 6 ();\nSGD 5;\nSGC 7 ();\n");
	want_log(&b, "");
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0); /* identifiers belong to their sender */
	want_out(&b, "SGC 1 ({\"3:u:s\"});\nTS 1 1;\nAMS 1;\n");
	bench_in(&b, "TE 1;\n");
	forget(&b);
	bench_in(&b, "SGC 8 ();\n"); /* not kept: CE [11.3] */
	want_ce(&b, OCP_FAULT_LIMIT, "SGC");
	connected(&b);
	bench_in(&b, "SGC 5 ();\nSGC 5 ();\n"); /* not higher than before [10.2] */
	want_ce(&b, OCP_FAULT_SG, "SGC");
	connected(&b);
	bench_in(&b, "SGC 5 ();\nSGD 5;\nSGC 4 ();\n");
	want_ce(&b, OCP_FAULT_SG, "SGC");
	connected(&b);
	bench_in(&b, "SGD 5;\n"); /* never created */
	want_ce(&b, OCP_FAULT_SG, "SGD");
	connected(&b);
	bench_in(&b, "SGC 5 ();\nSGD 5;\nSGD 5;\n");
	want_ce(&b, OCP_FAULT_SG, "SGD");
}

/* --- negotiation: 6, 11.18, 11.19 --- */

#define TWO_OFFERS                                                                                 \
	"CS;\nSGC 1 ({\"3:u:s\"});\nSGC 2 ({\"3:u:s\"});\nNO (" REQUEST ")\nOffer-Pending: true\nSG: 1\n;\n"

static void two_offers(struct bench *b)
{
	struct ocp_processor_config cfg = core_config();
	const struct ocp_offer offers[] = {offer_of(OCP_FEATURE_HTTP_REQUEST), offer_of(OCP_FEATURE_HTTP_RESPONSE)};

	cfg.offers = offers;
	cfg.noffers = 2;
	connecting_cfg(b, &cfg);
	want_out(b, TWO_OFFERS);
}

static void test_offers_one_after_the_other(void **state)
{
	struct bench b;
	uint32_t xid;

	two_offers(&b);
	bench_in(&b, "CS;\nNR " REQUEST "\nSG: 1\n;\n");
	want_out(&b, "NO (" RESPONSE ")\nSG: 2\n;\n"); /* the last one: phase not kept open */
	assert_int_equal(begin(&b, OCP_FEATURE_HTTP_REQUEST, &xid), -EAGAIN);
	bench_in(&b, "NR\nRejects: (" RESPONSE ")\nSG: 2\n;\n");
	want_logf(&b, "feature %d %s %d\nfeature %d %s %d\n", OCP_FEATURE_HTTP_REQUEST,
		  ocp_feature_uri(OCP_FEATURE_HTTP_REQUEST), OCP_ANSWER_WILL_USE, OCP_FEATURE_HTTP_RESPONSE,
		  ocp_feature_uri(OCP_FEATURE_HTTP_RESPONSE), OCP_ANSWER_WONT_USE);
	assert_int_equal(begin(&b, OCP_FEATURE_HTTP_RESPONSE, &xid), -EPROTONOSUPPORT);
	want_out(&b, "");
	assert_int_equal(begin(&b, OCP_FEATURE_HTTP_REQUEST, &xid), 0);
	want_out(&b, "TS 1 1;\nAMS 1;\n");
	assert_non_null(ocp_processor_profile(b.p, &service, OCP_FEATURE_HTTP_REQUEST));
	assert_null(ocp_processor_profile(b.p, &service, OCP_FEATURE_HTTP_RESPONSE));
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0); /* the same service without a profile */
	want_out(&b, "SGC 3 ({\"3:u:s\"});\nTS 2 3;\nAMS 2;\n");
	bench_free(&b);
}

static void test_profile_never_offered(void **state)
{
	struct bench b;
	uint32_t xid;

	connected(&b);
	assert_int_equal(begin(&b, OCP_FEATURE_HTTP_REQUEST, &xid), -EPROTONOSUPPORT);
	bench_free(&b);
}

static void test_bad_offers_refused_by_create(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct ocp_offer o[2] = {offer_of(OCP_FEATURE_HTTP_REQUEST), offer_of(OCP_FEATURE_HTTP_REQUEST)};
	struct ocp_processor *p;

	cfg.offers = o;
	cfg.noffers = 2;
	assert_int_equal(ocp_processor_create(&p, &cfg, &bench_p_ops, NULL), -EINVAL); /* twice the same */
	o[1].profile.feature = OCP_FEATURE_COPIED;
	assert_int_equal(ocp_processor_create(&p, &cfg, &bench_p_ops, NULL), -EINVAL);
	o[1] = offer_of(OCP_FEATURE_HTTP_RESPONSE);
	o[1].service.uri.len = 0;
	assert_int_equal(ocp_processor_create(&p, &cfg, &bench_p_ops, NULL), -EINVAL);
}

static void test_answer_must_fit_offer(void **state)
{
	static const char *const bad[] = {
		"NR " REQUEST ";\n",			  /* without the offer's SG */
		"NR " REQUEST "\nSG: 2\n;\n",		  /* another one */
		"NR " RESPONSE "\nSG: 1\n;\n",		  /* not offered */
		"NR {\"3:a:b\"}\nSG: 1\n;\n",
		"NR " REQUEST "\nSG: 1\n;\nNR\nSG: 1\n;\n", /* the second is for the other offer */
	};
	struct bench b;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		two_offers(&b);
		bench_in(&b, "CS;\n");
		bench_in(&b, bad[i]);
		assert_int_equal(ocp_processor_over(b.p), OCP_END_VIOLATION);
		assert_int_equal(ocp_processor_counters(b.p)->faults[OCP_FAULT_NEGOTIATION], 1);
		bench_free(&b);
	}
	connecting(&b);
	bench_in(&b, "CS;\nNR\nSG: 1\n;\n"); /* SG although the offer had none */
	want_ce(&b, OCP_FAULT_NEGOTIATION, "NR");
	connecting(&b);
	bench_in(&b, "CS;\nNR " REQUEST ";\n");
	want_ce(&b, OCP_FAULT_NEGOTIATION, "NR");
	connected(&b);
	bench_in(&b, "NR;\n"); /* nothing was offered */
	want_ce(&b, OCP_FAULT_NEGOTIATION, "NR");
}

static void test_answer_selects_unoffered_parts(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct ocp_offer o = offer_of(OCP_FEATURE_HTTP_RESPONSE);
	struct bench b;

	o.profile.aux_parts = OCP_HAS(OCP_PART_REQUEST_HEADER);
	cfg.offers = &o;
	cfg.noffers = 1;
	connecting_cfg(&b, &cfg);
	want_out(&b, "CS;\nSGC 1 ({\"3:u:s\"});\nNO ({" RESPONSE_URI "\nAux-Parts: (request-header)\n})\nSG: 1\n;\n");
	bench_in(&b, "CS;\nNR {" RESPONSE_URI "\nAux-Parts: (request-header,request-body)\n}\nSG: 1\n;\n");
	want_ce(&b, OCP_FAULT_PROFILE_ANSWER, "NR");
	connecting_cfg(&b, &cfg); /* a member of the wrong type */
	text_clear(&b.out);
	bench_in(&b, "CS;\nNR {" RESPONSE_URI "\nPause-At-Body: x\n}\nSG: 1\n;\n");
	want_ce(&b, OCP_FAULT_PROFILE_ANSWER, "NR");
}

static void test_answer_is_kept(void **state)
{
	const struct ocp_profile *p;
	struct bench b;

	agreed(&b, OCP_FEATURE_HTTP_RESPONSE, OCP_HAS(OCP_PART_REQUEST_HEADER) | OCP_HAS(OCP_PART_REQUEST_BODY),
	       "\nAux-Parts: (request-header)\nPause-At-Body: 30\nContent-Encodings: (gzip)\n"
	       "Preservation-Interest-Body: 0\nX-New: 1\n");
	p = ocp_processor_profile(b.p, &service, OCP_FEATURE_HTTP_RESPONSE);
	assert_non_null(p);
	assert_int_equal(p->aux_parts, OCP_HAS(OCP_PART_REQUEST_HEADER));
	assert_int_equal(p->pause_at_body, 30);
	assert_int_equal(p->stop_receiving_body, -1);
	assert_int_equal(p->preservation_interest_body, 0);
	assert_int_equal(p->content_encodings.len, 6);
	assert_memory_equal(p->content_encodings.p, "(gzip)", 6);
	bench_free(&b);
}

static void test_crossing_offer_disregarded(void **state)
{
	struct bench b;

	connecting(&b);
	bench_in(&b, "CS;\nNO ({\"3:a:b\"});\n"); /* ours is pending: not answered */
	want_out(&b, "");
	bench_in(&b, "NR\nOffer-Pending: true\n;\nNO ({\"3:a:b\"});\n"); /* it asks again */
	want_out(&b, "NR\nUnknowns: ({\"3:a:b\"})\n;\n");
	want_log(&b, "");
	bench_free(&b);

	connecting(&b);
	bench_in(&b, "CS;\nNO ();\nNO ();\n"); /* two without an answer */
	want_ce(&b, OCP_FAULT_NEGOTIATION, "NO");
}

static void test_servers_offers(void **state)
{
	struct bench b;

	connected(&b);
	bench_in(&b, "NO ();\n"); /* bound to fail, but valid */
	want_out(&b, "NR;\n");
	bench_in(&b, "SGC 4 ();\nNO (" REQUEST ",{\"3:a:b\"},{\"24:urn:opes:feature:ack-all\"})\nSG: 4\n;\n");
	want_out(&b, "NR\nSG: 4\nRejects: (" REQUEST ",{\"24:urn:opes:feature:ack-all\"})\nUnknowns: ({\"3:a:b\"})\n;\n");
	bench_in(&b, "NO ({\"3:a:b\"},{\"23:urn:opes:feature:copied\"},{\"3:a:c\"});\n"); /* at most one is selected */
	want_out(&b, "NR {\"23:urn:opes:feature:copied\"}\nUnknowns: ({\"3:a:b\"})\n;\n");
	want_logf(&b, "feature %d urn:opes:feature:copied %d\n", OCP_FEATURE_COPIED, OCP_ANSWER_WILL_USE);
	bench_in(&b, "NO ()\nSG: 9\n;\n"); /* no such group of the server */
	want_ce(&b, OCP_FAULT_SG, "NO");
	connected(&b);
	bench_in(&b, "NO ({" REQUEST_URI "\nPause-At-Body: x\n});\n");
	want_ce(&b, OCP_FAULT_NEGOTIATION, "NO");
}

static void test_phase_kept_open_by_the_server(void **state)
{
	struct bench b;
	uint32_t xid;

	connecting(&b);
	bench_in(&b, "CS;\nNR\nOffer-Pending: true\n;\n");
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), -EAGAIN);
	bench_in(&b, "NO ()\nOffer-Pending: true\n;\n");
	want_out(&b, "NR;\n");
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), -EAGAIN);
	bench_in(&b, "NO ();\n");
	want_out(&b, "NR;\n");
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
	bench_free(&b);
}

static void test_only_phase_messages_while_open(void **state)
{
	struct bench b;
	uint32_t xid, rid;

	original(&b);
	bench_in(&b, "NO ()\nOffer-Pending: true\n;\n"); /* a phase begins in the middle */
	want_out(&b, "NR;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "ab", false), -EAGAIN);
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), -EAGAIN);
	bench_in(&b, "DWSR 1 10;\n"); /* was on its way; what it causes waits */
	want_log(&b, "original_end\n");
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, NULL), 0);
	want_out(&b, "");
	bench_in(&b, "PQ 1;\nAQ {\"3:a:b\"};\n"); /* these may pass */
	assert_int_equal(ocp_processor_probe(b.p, false, 0, false, 0, &rid, 0), 0);
	want_out(&b, "PA;\nAA false;\nPQ;\n");
	bench_in(&b, "NO ();\n");
	want_out(&b, "NR;\nAME 1 {206};\nTE 1 {400};\n"); /* in their order */
	bench_free(&b);

	original(&b); /* data that was turned away is asked for again */
	bench_in(&b, "NO ()\nOffer-Pending: true\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "ab", false), -EAGAIN);
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_NONE), 0);
	want_log(&b, "");
	bench_in(&b, "NO ();\n");
	want_log(&b, "need resumed 0 0\n");
	want_out(&b, "NR;\nNR;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "ab", false), 0);
	want_out(&b, "DUM 1 10\n2:ab\n;\n");
	bench_free(&b);
}

static void test_what_waits_is_bounded(void **state)
{
	struct bench b;
	uint32_t xid;

	connected(&b);
	for (int i = 0; i < 8; i++)
		assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
	bench_in(&b, "NO ()\nOffer-Pending: true\n;\n");
	forget(&b);
	b.p->a.core->held_max = 64;
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, NULL), 0);
	for (uint32_t i = 2; i < 8; i++)
		ocp_processor_xaction_end(b.p, i, true, NULL);
	assert_int_equal(ocp_processor_xaction_end(b.p, 8, true, NULL), -ENOBUFS);
	want_out(&b, "");
	want_log(&b, "");
	assert_int_equal(ocp_processor_next_deadline(b.p), 0);
	bench_in(&b, "NO ();\n"); /* too late: the connection ends */
	want_out(&b, "CE {400 \"23:no answers for too long\"};\n");
	want_logf(&b, "closed %d\n", OCP_END_DEAD);
	bench_free(&b);
}

static void test_peer_breaks_phase(void **state)
{
	struct bench b;

	connecting(&b);
	bench_in(&b, "CS;\nNR\nOffer-Pending: true\n;\nPR;\nPQ;\nAQ {\"3:a:b\"};\nx-new;\n"); /* all fine */
	want_out(&b, "PA;\nAA false;\n");
	text_clear(&b.log);
	bench_in(&b, "SGC 1 ();\n");
	want_ce(&b, OCP_FAULT_PHASE, "SGC");
}

static void test_negotiation_times_out(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct bench b;

	cfg.idle_probe_us = 0;
	connecting_cfg(&b, &cfg); /* no NR */
	bench_in(&b, "CS;\n");
	forget(&b);
	assert_int_equal(ocp_processor_next_deadline(b.p), cfg.negotiation_us);
	ocp_processor_tick(b.p, cfg.negotiation_us - 1);
	want_out(&b, "");
	ocp_processor_tick(b.p, cfg.negotiation_us);
	want_out(&b, "CE {400 \"29:negotiation makes no progress\"};\n");
	want_logf(&b, "closed %d\n", OCP_END_DEAD);
	bench_free(&b);

	connecting_cfg(&b, &cfg); /* a phase that the server keeps open and does not use */
	b.now = 5;
	bench_in(&b, "CS;\nNR\nOffer-Pending: true\n;\n");
	forget(&b);
	assert_int_equal(ocp_processor_next_deadline(b.p), 5 + cfg.negotiation_us);
	ocp_processor_tick(b.p, 5 + cfg.negotiation_us);
	want_logf(&b, "closed %d\n", OCP_END_DEAD);
	bench_free(&b);

	connected_cfg(&b, &cfg); /* nothing under way: no time runs */
	assert_int_equal(ocp_processor_next_deadline(b.p), UINT64_MAX);
	bench_free(&b);
}

static void test_please_use(void **state)
{
	struct bench b;

	connecting(&b);
	assert_int_equal(ocp_processor_please_use(b.p, OCP_STR("a:b")), -EAGAIN);
	bench_in(&b, "CS;\nNR;\n");
	/* what these mean is part of RFC 4037 */
	assert_int_equal(ocp_processor_please_use(b.p, ocp_str(ocp_feature_uri(OCP_FEATURE_COPIED))), 0);
	assert_int_equal(ocp_processor_please_use(b.p, ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP))), 0);
	assert_int_equal(ocp_processor_please_use(b.p, ocp_str(ocp_feature_uri(OCP_FEATURE_ACK_ALL))), -ENOTSUP);
	assert_true(ocp_processor_features(b.p) & OCP_HAS(OCP_FEATURE_COPIED));
	want_out(&b, "");
	assert_int_equal(ocp_processor_please_use(b.p, OCP_STR("a:b")), 0);
	want_out(&b, "NO ({\"3:a:b\"});\n");
	assert_int_equal(ocp_processor_please_use(b.p, OCP_STR("a:c")), -EAGAIN); /* one at a time */
	bench_in(&b, "NR {\"3:a:b\"};\n");
	want_logf(&b, "feature %d a:b %d\n", OCP_FEATURE_MAX, OCP_ANSWER_WILL_USE);
	assert_int_equal(ocp_processor_please_use(b.p, OCP_STR("a:c")), 0);
	bench_in(&b, "NR\nUnknowns: ({\"3:a:c\"})\n;\n");
	want_logf(&b, "feature %d a:c %d\n", OCP_FEATURE_MAX, OCP_ANSWER_WONT_USE);
	assert_int_equal(ocp_processor_priority(b.p, 1), -ENOTSUP);
	bench_free(&b);
}

/* --- abilities and progress: 11.20 - 11.24 --- */

static void test_ability(void **state)
{
	struct bench b;

	connected(&b);
	bench_in(&b, "AQ " REQUEST ";\nAQ {\"23:urn:opes:feature:copied\"};\nAQ {\"24:urn:opes:feature:ack-all\"};\n"
		     "AQ {\"3:a:b\" more};\n");
	want_out(&b, "AA true;\nAA true;\nAA false;\nAA false;\n");
	assert_int_equal(ocp_processor_do_you_support(b.p, OCP_STR("a:b")), 0);
	assert_int_equal(ocp_processor_do_you_support(b.p, OCP_STR("a:c")), 0);
	want_out(&b, "AQ {\"3:a:b\"};\nAQ {\"3:a:c\"};\n");
	bench_in(&b, "AA true;\nAA false;\n"); /* answers come in order */
	want_logf(&b, "feature %d a:b %d\nfeature %d a:c %d\n", OCP_FEATURE_MAX, OCP_ANSWER_SUPPORTED,
		  OCP_FEATURE_MAX, OCP_ANSWER_UNSUPPORTED);
	bench_in(&b, "AA true;\n");
	want_logf(&b, "fault %d AA\n", OCP_FAULT_UNSOLICITED);
	for (int i = 0; i < 16; i++)
		assert_int_equal(ocp_processor_do_you_support(b.p, OCP_STR("a:b")), 0);
	assert_int_equal(ocp_processor_do_you_support(b.p, OCP_STR("a:b")), -EBUSY);
	bench_free(&b);
}

static void test_progress_query_answered(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "PQ;\nPQ 1;\nPQ 2;\nPQ 77;\n"); /* always, whatever the xid */
	want_out(&b, "PA;\nPA 1\nOrg-Data: 10\n;\nPA;\nPA;\n");
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	text_clear(&b.out);
	bench_in(&b, "PQ 1;\n"); /* the original has ended: no Org-Data */
	want_out(&b, "PA 1;\n");
	bench_in(&b, "TE 1;\n");
	text_clear(&b.out);
	bench_in(&b, "PQ 1;\n");
	want_out(&b, "PA;\n");
	bench_free(&b);
}

static void test_own_queries(void **state)
{
	struct bench b;
	uint32_t first, second, third;

	original(&b);
	assert_int_equal(ocp_processor_probe(b.p, false, 0, false, 0, &first, 0), 0);
	assert_int_equal(ocp_processor_probe(b.p, true, 1, false, 0, &second, 0), 0);
	assert_int_equal(ocp_processor_probe(b.p, true, 9, false, 0, &third, 0), 0);
	assert_int_equal(ocp_processor_probe(b.p, false, 0, true, 1, &third, 0), -EINVAL);
	want_out(&b, "PQ;\nPQ 1;\nPQ 9;\n");
	bench_in(&b, "PA;\nPA 1\nOrg-Data: 7\n;\nPA;\n");
	want_logf(&b, "alive %u 0 0\nack 0+7\nalive %u 1 1\nalive %u 0 0\n", first, second, third);
	bench_in(&b, "PA;\n");
	want_logf(&b, "fault %d PA\n", OCP_FAULT_UNSOLICITED);
	for (int i = 0; i < 16; i++)
		assert_int_equal(ocp_processor_probe(b.p, false, 0, false, 0, &first, 0), 0);
	assert_int_equal(ocp_processor_probe(b.p, false, 0, false, 0, &first, 0), -EBUSY);
	bench_free(&b);
	original(&b); /* an answer about something else */
	ocp_processor_probe(b.p, false, 0, false, 0, &first, 0);
	text_clear(&b.out);
	bench_in(&b, "PA 1;\n");
	want_400(&b, "CE", OCP_FAULT_PROGRESS);
	bench_free(&b);
}

static void test_alive_means_usable(void **state)
{
	struct bench b;
	uint32_t rid;

	connecting(&b);
	assert_int_equal(ocp_processor_probe(b.p, false, 0, false, 0, &rid, 0), 0);
	bench_in(&b, "CS;\nPA;\n");
	want_log(&b, "");
	bench_in(&b, "NR;\n");
	want_logf(&b, "alive %u 0 0\n", rid);
	bench_free(&b);
}

static void test_progress_reports(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "PR;\nPR 1;\nPR 1\nOrg-Data: 4\n;\nPR 1\nOrg-data: 10\n;\nPR 1\nOrg-Data: 10\n;\n");
	want_log(&b, "ack 0+4\nack 4+6\n");
	bench_in(&b, "PR 1\nOrg-Data: 11\n;\n"); /* more than was sent */
	want_te(&b, OCP_FAULT_PROGRESS, "PR", false);
	original(&b);
	bench_in(&b, "PR 3;\n");
	want_400(&b, "TE 3", OCP_FAULT_UNKNOWN_XID);
	assert_int_equal(ocp_processor_working(b.p, 1), 0);
	want_out(&b, "PR 1\nOrg-Data: 10\n;\n");
	assert_int_equal(ocp_processor_working(b.p, 3), -ENOENT);
	bench_free(&b);
}

/* --- timeouts: 2.7 --- */

static void test_silent_connection_dies(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct bench b;

	connected_cfg(&b, &cfg);
	ocp_processor_tick(b.p, cfg.idle_probe_us);
	want_out(&b, "PQ;\n");
	b.now = cfg.idle_probe_us + 1;
	bench_in(&b, "PA;\n");
	want_log(&b, "");
	ocp_processor_tick(b.p, b.now + cfg.idle_probe_us);
	want_out(&b, "PQ;\n");
	ocp_processor_tick(b.p, b.now + cfg.idle_probe_us + cfg.probe_timeout_us);
	want_out(&b, "CE {400 \"15:no answer to PQ\"};\n");
	want_logf(&b, "closed %d\n", OCP_END_DEAD);
	bench_free(&b);
}

static void transaction_asked_about(struct bench *b)
{
	struct ocp_processor_config cfg = core_config();

	cfg.idle_probe_us = 0;
	original_cfg(b, &cfg);
	assert_int_equal(ocp_processor_data_end(b->p, 1, true, 0), 0);
	forget(b);
	b->now = cfg.deadline_us;
	ocp_processor_tick(b->p, b->now);
	want_out(b, "PQ 1;\n");
}

static void test_transaction_without_progress(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct bench b;

	transaction_asked_about(&b); /* not maintained any more */
	bench_in(&b, "PA;\n");
	want_logf(&b, "xaction_end %d\n", OCP_XEND_LOST);
	want_out(&b, "TE 1 {400};\n");
	bench_free(&b);

	transaction_asked_about(&b); /* no answer */
	ocp_processor_tick(b.p, b.now + cfg.probe_timeout_us);
	want_logf(&b, "xaction_end %d\n", OCP_XEND_DEADLINE);
	want_out(&b, "TE 1 {400};\n");
	bench_free(&b);

	transaction_asked_about(&b); /* still maintained, and again, but no more */
	bench_in(&b, "PA 1;\n");
	want_log(&b, "");
	b.now += cfg.deadline_us;
	ocp_processor_tick(b.p, b.now);
	want_out(&b, "PQ 1;\n");
	bench_in(&b, "PR 1;\n"); /* a report is progress */
	bench_in(&b, "PA 1;\n");
	want_log(&b, "");
	for (int i = 0; i < 2; i++) {
		b.now += cfg.deadline_us;
		ocp_processor_tick(b.p, b.now);
		want_out(&b, "PQ 1;\n");
		bench_in(&b, "PA 1;\n");
		if (!i)
			want_log(&b, "");
	}
	want_logf(&b, "xaction_end %d\n", OCP_XEND_DEADLINE);
	want_out(&b, "TE 1 {400};\n");
	bench_free(&b);
}

static void test_queries_never_answered(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct bench b;
	uint32_t xid;

	cfg.idle_probe_us = 0;
	cfg.xactions_max = 1;
	connected_cfg(&b, &cfg);
	for (int i = 0; i < 100 && !ocp_processor_over(b.p); i++) {
		assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
		b.now += cfg.deadline_us;
		ocp_processor_tick(b.p, b.now);
		b.now += cfg.probe_timeout_us;
		ocp_processor_tick(b.p, b.now);
		if (!ocp_processor_over(b.p))
			ocp_processor_tick(b.p, b.now);
	}
	assert_int_equal(ocp_processor_over(b.p), OCP_END_DEAD); /* what is kept for answers is bounded */
	bench_free(&b);
}

static void test_identifiers_used_up(void **state)
{
	struct bench b;
	uint32_t xid;

	connected(&b);
	b.p->next_xid = OCP_ID_MAX;
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
	assert_int_equal(xid, OCP_ID_MAX);
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), -EOVERFLOW);
	forget(&b);
	ocp_processor_tick(b.p, 0);
	want_out(&b, "");
	bench_in(&b, "TE 2147483647;\n");
	want_out(&b, "TE 2147483647;\n");
	assert_int_equal(ocp_processor_next_deadline(b.p), 0);
	ocp_processor_tick(b.p, 0); /* the scope of the identifiers ends [10.2] */
	want_out(&b, "CE;\n");
	assert_int_equal(ocp_processor_over(b.p), OCP_END_LOCAL);
	bench_free(&b);
}

static void test_output_fails(void **state)
{
	struct bench b;
	uint32_t xid;

	connected(&b);
	b.out_fails = true;
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), -ENOTCONN);
	b.out_fails = false;
	ocp_processor_tick(b.p, 0);
	want_logf(&b, "closed %d\n", OCP_END_OUTPUT);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cs_first_then_offer_at_once),
		cmocka_unit_test(test_first_message_not_cs),
		cmocka_unit_test(test_repeated_cs_ignored),
		cmocka_unit_test(test_ce),
		cmocka_unit_test(test_malformed_of_unknown_scope_ends_connection),
		cmocka_unit_test(test_malformed_of_a_transaction_ends_it),
		cmocka_unit_test(test_unknown_and_unexpected_ignored),
		cmocka_unit_test(test_unknown_xid),
		cmocka_unit_test(test_any_cutting),
		cmocka_unit_test(test_own_groups),
		cmocka_unit_test(test_peers_groups),
		cmocka_unit_test(test_offers_one_after_the_other),
		cmocka_unit_test(test_profile_never_offered),
		cmocka_unit_test(test_bad_offers_refused_by_create),
		cmocka_unit_test(test_answer_must_fit_offer),
		cmocka_unit_test(test_answer_selects_unoffered_parts),
		cmocka_unit_test(test_answer_is_kept),
		cmocka_unit_test(test_crossing_offer_disregarded),
		cmocka_unit_test(test_servers_offers),
		cmocka_unit_test(test_phase_kept_open_by_the_server),
		cmocka_unit_test(test_only_phase_messages_while_open),
		cmocka_unit_test(test_what_waits_is_bounded),
		cmocka_unit_test(test_peer_breaks_phase),
		cmocka_unit_test(test_negotiation_times_out),
		cmocka_unit_test(test_please_use),
		cmocka_unit_test(test_ability),
		cmocka_unit_test(test_progress_query_answered),
		cmocka_unit_test(test_own_queries),
		cmocka_unit_test(test_alive_means_usable),
		cmocka_unit_test(test_progress_reports),
		cmocka_unit_test(test_silent_connection_dies),
		cmocka_unit_test(test_transaction_without_progress),
		cmocka_unit_test(test_queries_never_answered),
		cmocka_unit_test(test_identifiers_used_up),
		cmocka_unit_test(test_output_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
