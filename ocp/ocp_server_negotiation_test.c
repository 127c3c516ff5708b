/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent in the core dialect against raw input: the connection, service groups, negotiation, abilities.
 * Sections are of RFC 4037 unless said otherwise.
 */
#include "ocp/ocp_server_core_bench.h"

/* --- connection --- */

/* 11.1: CS is answered with CS, before anything else; a repeated one is ignored */
static void test_cs(void **state)
{
	struct bench b;

	start(&b);
	assert_int_equal(ocp_server_dialect(b.s), OCP_DIALECT_DRAFT);
	assert_int_equal(bench_in(&b, "CS;\n"), 0);
	want_log(&b, "connection_start [] 0\n");
	want_out(&b, "CS;\n");
	assert_int_equal(ocp_server_dialect(b.s), OCP_DIALECT_CORE);
	bench_in(&b, "CS;\n");
	want_logf(&b, "fault %d CS\n", OCP_FAULT_REPEATED_START);
	want_out(&b, "");
	bench_free(&b);
}

/* 11.1: a first message of this dialect that is not CS: CS, CE 400 */
static void test_not_cs(void **state)
{
	static const char *const first[] = {"NO ();\n", "TS 1 1;\n", "PQ;\n", "CE;\n", "SGC 1 " SERVICES ";\n",
					    "DUM 1 0\n1:x\n;\n"};
	static const char *const name[] = {"NO", "TS", "PQ", "CE", "SGC", "DUM"};
	struct bench b;

	for (size_t i = 0; i < 6; i++) {
		start(&b);
		assert_int_equal(bench_in(&b, first[i]), -ENOTCONN);
		want_broken(&b, "CS;\n", name[i], OCP_FAULT_NOT_CS);
		assert_int_equal(ocp_server_over(b.s), OCP_END_OUTSIDE);
		bench_free(&b);
	}
}

/* The same for anything, where nothing but this dialect is spoken */
static void test_not_cs_core_only(void **state)
{
	static const char *const first[] = {"connection-start;\n", "hello;\n", "GET / HTTP/1.1\n"};
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	char out[256] = "CS;\n";
	struct bench b;

	failure_text(out + 4, sizeof(out) - 4, "CE", OCP_FAULT_NOT_CS);
	cfg.dialects = OCP_HAS(OCP_DIALECT_CORE);
	for (size_t i = 0; i < 3; i++) {
		start_with(&b, &cfg);
		assert_int_equal(bench_in(&b, first[i]), -ENOTCONN);
		want_out(&b, out);
		bench_free(&b);
	}
}

/* Binding 1, 3: where only the draft is spoken, core is outside of any connection; each connection one dialect */
static void test_dialects(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	cfg.dialects = OCP_HAS(OCP_DIALECT_DRAFT);
	start_with(&b, &cfg);
	assert_int_equal(bench_in(&b, "CS;\n"), -ENOTCONN);
	want_out(&b, "");
	assert_int_equal(ocp_server_over(b.s), OCP_END_OUTSIDE);
	bench_free(&b);
	start(&b);
	bench_in(&b, "connection-start;\nCS;\nNO ();\nTS 1 1;\n");
	want_log(&b, "connection_start [] 0\nfault 3 unknown\nfault 3 unknown\nfault 3 unknown\n");
	want_out(&b, "");
	bench_free(&b);
	connect_plain(&b);
	bench_in(&b, "connection-end;\nxaction-start 1;\nare-you-there 5;\n");
	want_log(&b, "fault 3 unknown\nfault 3 unknown\nfault 3 unknown\n");
	want_out(&b, "");
	bench_free(&b);
	cfg.dialects = 0;
	assert_int_equal(ocp_server_create(&b.s, &cfg, &bench_s_ops, &b, 0), -EINVAL);
}

/* 11.1: the server may refuse with CE 400, after its CS */
static void test_connection_refused(void **state)
{
	struct bench b;

	start(&b);
	b.refuse_connection = 1;
	assert_int_equal(bench_in(&b, "CS;\nNO ();\n"), -ENOTCONN);
	want_log(&b, "connection_start [] 0\nclosed 1\n");
	want_out(&b, "CS;\nCE {400};\n");
	bench_free(&b);
}

/* 11.2: CE ends everything, without an answer; its result says how */
static void test_ce(void **state)
{
	static const char *const in[] = {"CE;\n", "CE {200};\n", "CE {400 \"3:why\"};\n", "CE {777};\n"};
	static const char *const log[] = {"closed 2\n", "closed 2 {200}\n", "closed 3 {400 why}\n", "closed 3 {777}\n"};
	struct bench b;

	for (size_t i = 0; i < 4; i++) {
		connect_plain(&b);
		assert_int_equal(bench_in(&b, in[i]), -ENOTCONN);
		want_log(&b, log[i]);
		want_out(&b, "");
		bench_free(&b);
	}
}

/* 11.2: we send CE before closing; a close without one is a failure */
static void test_ce_of_ours(void **state)
{
	const struct ocp_result r = {OCP_RESULT_FAILURE, OCP_STR("going down")};
	struct bench b;

	open_plain(&b);
	ocp_server_end(b.s, false, NULL);
	want_out(&b, "CE;\n");
	want_log(&b, "xaction_end 5 conn=1\nclosed 1\n");
	bench_free(&b);
	connect_plain(&b);
	ocp_server_end(b.s, true, &r);
	want_out(&b, "CE {400 \"10:going down\"};\n");
	bench_free(&b);
	open_plain(&b);
	ocp_server_eof(b.s);
	want_out(&b, "");
	want_logf(&b, "xaction_end 5 conn=%d\nclosed %d\n", OCP_END_EOF, OCP_END_EOF);
	bench_free(&b);
}

/* 3.1, 5: what breaks the format, or has no readable xid, ends the connection */
static void test_malformed(void **state)
{
	static const char *const bad[] = {"TS  7 1;\n", "TS 07 1;\n", "DUM 7 0\n3:hello\n;\n", "SGC 5;\n", "SGD x;\n", "AA maybe;\n",
					  "PQ 7\n", "NO ({});\n", "NO x;\n", "!\n"};
	struct bench b;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_plain(&b);
		bench_in(&b, bad[i]);
		bench_in(&b, "PQ;\n");
		assert_int_not_equal(ocp_server_over(b.s), OCP_END_NONE);
		text_put(&b.out, "", 0);
		assert_true(strncmp(b.out.p, "CE {400 ", 8) == 0);
		assert_null(strstr(b.out.p, "PA"));
		bench_free(&b);
	}
}

/* 11: valid but unknown names, parameters, members and payloads are ignored */
static void test_unknown_things(void **state)
{
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "X-Hello 1 2\nA: {x (y,z)}\n\n3:abc\n;\nTS 7 1 9 8\nB: c\n;\nAMS 7 1\nServices: ()\n\n2:hi\n;\n"
		     "DUM 7 0 1\nX: y\n\n2:hi\n;\nDPM 7 {a};\n");
	want_log(&b, "fault 3 unknown\nxaction_start 7 [u:s|]\nam_start 1 [] kind=3\ndata 1@0 [hi] first last\npaused\n");
	want_out(&b, "");
	assert_int_equal(ocp_server_counters(b.s)->faults[OCP_FAULT_MALFORMED], 0);
	bench_free(&b);
}

/* Any cutting of the input gives the same */
static void test_octet_at_a_time(void **state)
{
	static const char text[] = "CS;\r\nSGC 1 " SERVICES ";\r\nNO (" REQUEST ")\r\nSG: 1\r\n;\r\nTS 7 1;\r\nAMS 7\r\nAM-EL: 2\r\n;\r\n"
				   "DUM 7 0\r\nKept: {0 4}\r\nAM-Part: request-header\r\n\r\n4:head\r\n;\r\nAME 7;\r\nTE 7;\r\n";
	uint64_t n;
	struct bench b;

	start(&b);
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		assert_int_equal(ocp_server_input(b.s, &text[i], 1, NULL, 0), 0);
	want_out(&b, "CS;\nNR " REQUEST "\nSG: 1\n;\n");
	assert_true(ocp_server_received(b.s, 7, &n));
	assert_int_equal(n, 4);
	assert_true(ocp_server_committed(b.s, 7, 0, 4));
	bench_free(&b);
}

/* --- service groups --- */

/* 11.3, 10.2: ids grow and are not used twice */
static void test_sg_id_order(void **state)
{
	static const char *const again[] = {"SGC 5 " SERVICES ";\n", "SGC 4 ();\n", "SGD 5;\nSGC 5 " SERVICES ";\n"};
	struct bench b;

	for (size_t i = 0; i < 3; i++) {
		connect_plain(&b);
		bench_in(&b, "SGC 5 " SERVICES ";\n");
		assert_int_equal(bench_in(&b, again[i]), -ENOTCONN);
		want_broken(&b, "", "SGC", OCP_FAULT_SG);
		assert_int_equal(ocp_server_over(b.s), OCP_END_VIOLATION);
		bench_free(&b);
	}
}

/* 11.4: SGD of no group */
static void test_sgd_unknown(void **state)
{
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "SGD 1;\n");
	want_log(&b, "");
	bench_in(&b, "SGD 1;\n");
	want_broken(&b, "", "SGD", OCP_FAULT_SG);
	bench_free(&b);
}

/* 11.3: a group that we do not keep ends the connection; there is room for one at least */
static void test_groups_max(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	cfg.groups_max = 2;
	start_with(&b, &cfg);
	assert_int_equal(bench_in(&b, "CS;\nNO ();\nSGC 1 ();\nSGC 2 ();\nSGD 1;\nSGC 3 ();\n"), 0);
	forget_all(&b);
	bench_in(&b, "SGC 4 ();\n");
	want_broken(&b, "", "SGC", OCP_FAULT_LIMIT);
	bench_free(&b);
}

/* --- negotiation --- */

/* 6.1, 11.18: an offer is answered at once; an empty one is valid and bound to fail */
static void test_offer_is_answered(void **state)
{
	struct bench b;

	start(&b);
	bench_in(&b, "CS;\nNO ();\n");
	want_out(&b, "CS;\nNR;\n");
	bench_in(&b, "NO ({\"1:x\"},{\"1:y\"\nA: b\n});\n");
	want_out(&b, "NR\nUnknowns: ({\"1:x\"},{\"1:y\"\nA: b\n})\n;\n");
	bench_in(&b, "NO ({\"1:x\"}," REQUEST "," RESPONSE ");\n"); /* the first one that is accepted */
	want_out(&b, "NR " REQUEST "\nUnknowns: ({\"1:x\"})\n;\n");
	want_logf(&b, "connection_start [] 0\noffer %d [] aux=0\nfeature %d http://www.iana.org/assignments/opes/ocp/http/request %d\n",
		  OCP_FEATURE_HTTP_REQUEST, OCP_FEATURE_HTTP_REQUEST, OCP_ANSWER_WILL_USE);
	bench_free(&b);
}

/* 11.19: what is known but not wanted goes into Rejects */
static void test_offer_refused(void **state)
{
	struct bench b;

	start(&b);
	b.refuse_offer = 1;
	bench_in(&b, "CS;\nSGC 3 " SERVICES ";\nNO (" REQUEST ",{\"1:x\"}," RESPONSE ")\nSG: 3\n;\nTS 7 3;\n");
	want_out(&b, "CS;\nNR\nSG: 3\nRejects: (" REQUEST "," RESPONSE ")\nUnknowns: ({\"1:x\"})\n;\n");
	assert_null(ocp_server_profile(b.s, 7));
	bench_free(&b);
}

/* 11.18, 11.19: SG of a group; the answer has it if and only if the offer does */
static void test_sg_scope(void **state)
{
	struct bench b;

	start(&b);
	bench_in(&b, "CS;\nSGC 1 " SERVICES ";\nSGC 2 ({\"3:u:t\"});\nNO (" REQUEST ")\nSG: 1\n;\nNO (" RESPONSE ")\nSG: 2\n;\n"
		     "SGC 3 " SERVICES ";\nTS 5 1;\nTS 6 2;\nTS 7 3;\n");
	want_out(&b, "CS;\nNR " REQUEST "\nSG: 1\n;\nNR " RESPONSE "\nSG: 2\n;\n");
	assert_int_equal(ocp_server_profile(b.s, 5)->feature, OCP_FEATURE_HTTP_REQUEST);
	assert_int_equal(ocp_server_profile(b.s, 6)->feature, OCP_FEATURE_HTTP_RESPONSE);
	assert_null(ocp_server_profile(b.s, 7));
	bench_free(&b);
}

/* 11: SG of no group */
static void test_sg_unknown(void **state)
{
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "NO (" REQUEST ")\nSG: 9\n;\n");
	want_broken(&b, "", "NO", OCP_FAULT_SG);
	bench_free(&b);
}

/* 6, 11.18: an offer that conflicts with what has been agreed on is rejected, within and over scopes */
static void test_conflicts(void **state)
{
	struct bench b;

	connect_profile(&b, REQUEST);
	bench_in(&b, "NO (" RESPONSE ")\nSG: 1\n;\nNO (" RESPONSE ");\nNO (" REQUEST ")\nSG: 1\n;\n");
	want_out(&b, "NR\nSG: 1\nRejects: (" RESPONSE ")\n;\nNR\nRejects: (" RESPONSE ")\n;\nNR\nSG: 1\nRejects: (" REQUEST ")\n;\n");
	bench_in(&b, "SGC 2 " SERVICES ";\nNO (" RESPONSE ")\nSG: 2\n;\n"); /* groups do not disturb each other */
	want_out(&b, "NR " RESPONSE "\nSG: 2\n;\n");
	bench_free(&b);
	start(&b);
	bench_in(&b, "CS;\nNO (" RESPONSE ");\nSGC 1 " SERVICES ";\n");
	text_clear(&b.out);
	bench_in(&b, "NO (" REQUEST ")\nSG: 1\n;\n");
	want_out(&b, "NR\nSG: 1\nRejects: (" REQUEST ")\n;\n");
	bench_free(&b);
}

/* 11.18: what is agreed on is for transactions that begin later */
static void test_pending_transactions(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "NO (" REQUEST ")\nSG: 1\n;\nTS 8 1;\nAMS 8;\n");
	text_clear(&b.log);
	assert_null(ocp_server_profile(b.s, 7));
	assert_non_null(ocp_server_profile(b.s, 8));
	bench_in(&b, "DUM 7 0\n1:x\n;\n");
	want_log(&b, "data 1@0 [x] first last\n");
	bench_free(&b);
}

/* 6.1: the processor offers before anything but groups and questions */
static void test_no_offer(void **state)
{
	struct bench b;

	start(&b);
	bench_in(&b, "CS;\nSGC 1 " SERVICES ";\nPQ;\nAQ {\"1:x\"};\n");
	want_out(&b, "CS;\nPA;\nAA false;\n");
	text_clear(&b.log);
	bench_in(&b, "TS 7 1;\n");
	want_broken(&b, "", "TS", OCP_FAULT_NEGOTIATION);
	bench_free(&b);
}

/* 2.7: a negotiation that makes no progress ends the connection */
static void test_negotiation_timeout(void **state)
{
	struct bench b;

	start(&b);
	bench_in(&b, "CS;\n");
	text_clear(&b.out);
	b.now = 4999999;
	ocp_server_tick(b.s, b.now);
	want_out(&b, "");
	bench_in(&b, "PQ;\n"); /* alive, but no offer */
	text_clear(&b.out);
	b.now = 10000000;
	ocp_server_tick(b.s, b.now);
	assert_int_equal(ocp_server_over(b.s), OCP_END_DEAD);
	text_put(&b.out, "", 0);
	assert_non_null(strstr(b.out.p, "CE {400 "));
	bench_free(&b);
}

/* 6.1: Offer-Pending keeps the phase open: what we have to say else waits for its end */
static void test_phase(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "NO ()\nOffer-Pending: true\n;\n");
	want_out(&b, "NR;\n");
	assert_int_equal(ocp_server_pause(b.s, 7), 0);
	want_out(&b, "");
	bench_in(&b, "PQ 7;\nAQ {\"1:x\"};\n");
	want_out(&b, "PA 7\nOrg-Data: 0\n;\nAA false;\n");
	bench_in(&b, "NO (" REQUEST ");\n");
	want_out(&b, "NR " REQUEST ";\nDWP 7 0;\n");
	bench_free(&b);
}

static void end_7(struct bench *b, const char *where)
{
	if (!strcmp(where, "feature"))
		ocp_server_xaction_end(b->s, 7, false, NULL);
}

/* 6.1: what waited keeps its order, also before what is sent from the call-back that tells the agreement */
static void test_phase_keeps_order(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "NO ()\nOffer-Pending: true\n;\n");
	assert_int_equal(ocp_server_pause(b.s, 7), 0);
	text_clear(&b.out);
	b.inside = end_7;
	bench_in(&b, "NO (" REQUEST ");\n");
	want_out(&b, "NR " REQUEST ";\nDWP 7 0;\nTE 7;\n");
	bench_free(&b);
}

/* 11.18, 11.19: offers of ours: one at a time, answered by NR */
static void test_offer_of_ours(void **state)
{
	struct bench b;

	start(&b);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:f")), -ENOTCONN);
	bench_in(&b, "CS;\n");
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:f")), -EAGAIN); /* the processor's comes first */
	bench_in(&b, "NO ();\n");
	forget_all(&b);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:f")), 0);
	want_out(&b, "NO ({\"3:u:f\"});\n");
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:g")), -EALREADY);
	bench_in(&b, "NR\nUnknowns: ({\"3:u:f\"})\n;\n");
	want_logf(&b, "feature %d u:f %d\n", OCP_FEATURE_MAX, OCP_ANSWER_WONT_USE);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:g")), 0);
	bench_in(&b, "NR {\"3:u:g\"};\n");
	want_logf(&b, "feature %d u:g %d\n", OCP_FEATURE_MAX, OCP_ANSWER_WILL_USE);
	text_clear(&b.out);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP))), 0);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str(ocp_feature_uri(OCP_FEATURE_ACK_ALL))), -ENOTSUP);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str(ocp_feature_uri(OCP_FEATURE_HTTP_REQUEST))), -ENOTSUP);
	want_out(&b, "");
	bench_free(&b);
}

/* 11.18: crossing offers: ours is void, the processor's is answered, and no answer to ours may come */
static void test_crossing_offers(void **state)
{
	struct bench b;

	connect_plain(&b);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:f")), 0);
	want_out(&b, "NO ({\"3:u:f\"});\n");
	bench_in(&b, "NO (" REQUEST ");\n");
	want_out(&b, "NR " REQUEST ";\n");
	text_clear(&b.log);
	assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:f")), 0); /* it may be made again */
	want_out(&b, "NO ({\"3:u:f\"});\n");
	bench_in(&b, "NR;\n");
	text_clear(&b.log);
	bench_in(&b, "NR;\n");
	want_broken(&b, "", "NR", OCP_FAULT_NEGOTIATION);
	bench_free(&b);
}

/* 11.19: answers that do not fit: nobody asked, an SG that was not in the offer, a feature that was not */
static void test_bad_answers(void **state)
{
	static const char *const bad[] = {"NR\nSG: 1\n;\n", "NR {\"3:u:x\"};\n"};
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "NR;\n");
	want_broken(&b, "", "NR", OCP_FAULT_NEGOTIATION);
	bench_free(&b);
	for (size_t i = 0; i < 2; i++) {
		connect_plain(&b);
		assert_int_equal(ocp_server_please_use(b.s, ocp_str("u:f")), 0);
		text_clear(&b.out);
		bench_in(&b, bad[i]);
		want_broken(&b, "", "NR", OCP_FAULT_NEGOTIATION);
		bench_free(&b);
	}
}

/* --- profiles, RFC 4236 --- */

static void everything(struct ocp_profile *p)
{
	p->aux_parts = OCP_HAS(OCP_PART_REQUEST_HEADER) | OCP_HAS(OCP_PART_REQUEST_TRAILER) |
		       OCP_HAS(OCP_PART_RESPONSE_BODY);
	p->pause_at_body = 30;
	p->stop_receiving_body = 2147483647;
	p->preservation_interest_body = 0;
	p->content_encodings = OCP_STR("(gzip,br)");
}

/* 3.2.3: parts that are not auxiliary are ignored, none is picked that was not offered; 3.2.4 - 3.2.7: the answer's members */
static void test_profile_answer(void **state)
{
	struct bench b;

	start(&b);
	b.edit_offer = everything;
	bench_in(&b, "CS;\nSGC 1 " SERVICES ";\nNO ({\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\n"
		     "Aux-Parts: (request-header,request-body,response-header,response-body)\nPause-At-Body: 5\n"
		     "Future: yes\n})\nSG: 1\n;\nTS 7 1;\n");
	want_out(&b, "CS;\nNR {\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\nAux-Parts: (request-header)\n"
		     "Pause-At-Body: 30\nStop-Receiving-Body: 2147483647\nPreservation-Interest-Body: 0\n"
		     "Content-Encodings: (gzip,br)\n}\nSG: 1\n;\n");
	assert_int_equal(ocp_server_profile(b.s, 7)->aux_parts, OCP_HAS(OCP_PART_REQUEST_HEADER));
	assert_true(ocp_str_eq(ocp_server_profile(b.s, 7)->content_encodings, OCP_STR("(gzip,br)")));
	text_put(&b.log, "", 0);
	assert_non_null(strstr(b.log.p, "offer 5 [({\"3:u:s\"})] aux=6\n")); /* request-header and -body */
	bench_free(&b);
}

/* 3.2.1: no auxiliary parts unless somebody wants them */
static void test_no_offer_op(void **state)
{
	struct ocp_server_ops ops = bench_s_ops;
	struct bench b = {0};

	ops.offer = NULL;
	assert_int_equal(ocp_server_create(&b.s, NULL, &ops, &b, 0), 0);
	bench_in(&b, "CS;\nNO ({\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\nAux-Parts: (request-header)\n});\n");
	want_out(&b, "CS;\nNR " RESPONSE ";\n");
	bench_free(&b);
}

/* 5: a member of the wrong type makes the offer invalid */
static void test_profile_invalid(void **state)
{
	static const char *const members[] = {"Aux-Parts: request-header", "Aux-Parts: (request-feet)", "Pause-At-Body: -1",
					      "Pause-At-Body: (1)", "Stop-Receiving-Body: 2147483648", "Content-Encodings: gzip"};
	struct bench b;

	for (size_t i = 0; i < 6; i++) {
		char text[256];

		connect_plain(&b);
		snprintf(text, sizeof(text), "NO ({\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\n%s\n});\n",
			 members[i]);
		assert_int_equal(bench_in(&b, text), -ENOTCONN);
		text_put(&b.out, "", 0);
		assert_true(strncmp(b.out.p, "CE {400 ", 8) == 0);
		bench_free(&b);
	}
}

/* --- abilities, liveness --- */

/* 11.20, 11.21: the truth, at once, and nothing changes */
static void test_aq(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "AQ " REQUEST ";\nAQ " RESPONSE ";\nAQ {\"1:x\"};\nAQ {\"23:urn:opes:feature:copied\"};\n");
	want_out(&b, "AA true;\nAA true;\nAA false;\nAA false;\n");
	bench_in(&b, "TS 7 1;\n");
	assert_null(ocp_server_profile(b.s, 7));
	bench_free(&b);
	cfg.features = OCP_HAS(OCP_FEATURE_HTTP_RESPONSE);
	start_with(&b, &cfg);
	bench_in(&b, "CS;\nNO (" REQUEST ");\nAQ " REQUEST ";\n");
	want_out(&b, "CS;\nNR\nUnknowns: (" REQUEST ")\n;\nAA false;\n");
	bench_free(&b);
}

/* 11.20: questions of ours; answers belong to the oldest */
static void test_aq_of_ours(void **state)
{
	struct bench b;

	connect_plain(&b);
	assert_int_equal(ocp_server_do_you_support(b.s, ocp_str("u:f")), 0);
	assert_int_equal(ocp_server_do_you_support(b.s, ocp_str("u:g")), 0);
	want_out(&b, "AQ {\"3:u:f\"};\nAQ {\"3:u:g\"};\n");
	bench_in(&b, "AA true;\nAA false;\nAA true;\n");
	want_logf(&b, "feature %d u:f %d\nfeature %d u:g %d\nfault %d AA\n", OCP_FEATURE_MAX, OCP_ANSWER_SUPPORTED, OCP_FEATURE_MAX,
		  OCP_ANSWER_UNSUPPORTED, OCP_FAULT_UNSOLICITED);
	bench_free(&b);
}

/* 2.7, 11.22: a silent connection is asked, and dead when it does not answer */
static void test_liveness(void **state)
{
	uint32_t rid;
	struct bench b;

	connect_plain(&b);
	assert_int_equal(ocp_server_probe(b.s, true, 7, false, 0, &rid, 0), 0);
	want_out(&b, "PQ 7;\n");
	bench_in(&b, "PA;\n");
	want_logf(&b, "alive %u 0 0\n", rid);
	b.now = 5000000;
	ocp_server_tick(b.s, b.now);
	want_out(&b, "PQ;\n");
	b.now = 6000000;
	bench_in(&b, "PA;\n");
	want_log(&b, "");
	b.now = 11000000;
	ocp_server_tick(b.s, b.now);
	want_out(&b, "PQ;\n");
	b.now = 13000000;
	ocp_server_tick(b.s, b.now);
	want_logf(&b, "closed %d\n", OCP_END_DEAD);
	bench_free(&b);
}

/* 2.7, 11.23: a transaction without progress is asked about; one that the processor does not name is gone */
static void test_deadline(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	cfg.idle_probe_us = 0;
	cfg.deadline_us = 1000000;
	start_with(&b, &cfg);
	bench_in(&b, "CS;\nNO ();\nSGC 1 " SERVICES ";\nTS 7 1;\nTS 8 1;\n");
	b.now = 500000;
	bench_in(&b, "PR 8;\n"); /* progress */
	forget_all(&b);
	b.now = 1000000;
	ocp_server_tick(b.s, b.now);
	want_out(&b, "PQ 7;\n");
	bench_in(&b, "PA 7;\n");
	assert_int_equal(ocp_server_xactions(b.s), 2);
	b.now = 2000000;
	ocp_server_tick(b.s, b.now);
	want_out(&b, "PQ 8;\nPQ 7;\n");
	bench_in(&b, "PA;\n");
	want_logf(&b, "xaction_end %d\n", OCP_XEND_LOST);
	want_out(&b, "TE 8 {400};\n");
	assert_int_equal(ocp_server_xactions(b.s), 1);
	bench_free(&b);
}

/* 11.8: one that is given up with its adapted message begun gets its AME before */
static void test_deadline_in_a_message(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	uint32_t am_id;
	struct bench b;

	cfg.idle_probe_us = 0;
	cfg.deadline_us = 1000000;
	for (int answered = 0; answered < 2; answered++) {
		start_with(&b, &cfg);
		bench_in(&b, "CS;\nNO ();\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\n");
		assert_int_equal(ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am_id), 0);
		forget_all(&b);
		b.now = 1000000;
		ocp_server_tick(b.s, b.now);
		want_out(&b, "PQ 7;\n");
		if (answered) {
			bench_in(&b, "PA;\n");
		} else {
			b.now += cfg.probe_timeout_us;
			ocp_server_tick(b.s, b.now);
		}
		want_out(&b, "AME 7 {400};\nTE 7 {400};\n");
		want_logf(&b, "xaction_end %d\n", answered ? OCP_XEND_LOST : OCP_XEND_DEADLINE);
		bench_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cs),
		cmocka_unit_test(test_not_cs),
		cmocka_unit_test(test_not_cs_core_only),
		cmocka_unit_test(test_dialects),
		cmocka_unit_test(test_connection_refused),
		cmocka_unit_test(test_ce),
		cmocka_unit_test(test_ce_of_ours),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_unknown_things),
		cmocka_unit_test(test_octet_at_a_time),
		cmocka_unit_test(test_sg_id_order),
		cmocka_unit_test(test_sgd_unknown),
		cmocka_unit_test(test_groups_max),
		cmocka_unit_test(test_offer_is_answered),
		cmocka_unit_test(test_offer_refused),
		cmocka_unit_test(test_sg_scope),
		cmocka_unit_test(test_sg_unknown),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_pending_transactions),
		cmocka_unit_test(test_no_offer),
		cmocka_unit_test(test_negotiation_timeout),
		cmocka_unit_test(test_phase),
		cmocka_unit_test(test_phase_keeps_order),
		cmocka_unit_test(test_offer_of_ours),
		cmocka_unit_test(test_crossing_offers),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_profile_answer),
		cmocka_unit_test(test_no_offer_op),
		cmocka_unit_test(test_profile_invalid),
		cmocka_unit_test(test_aq),
		cmocka_unit_test(test_aq_of_ours),
		cmocka_unit_test(test_liveness),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_in_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
