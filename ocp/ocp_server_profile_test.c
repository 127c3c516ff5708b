/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent in the core dialect against raw input: the HTTP profile of RFC 4236. Sections are of
 * RFC 4236 unless said otherwise.
 */
#include "ocp/ocp_server_core_bench.h"

/* --- the HTTP profile, RFC 4236 --- */

/* 3.2.1, 3.4: parts in the profile's order, told to the owner */
static void test_parts(void **state)
{
	const struct ocp_profile *p;
	struct bench b;

	open_profile(&b, REQUEST);
	p = ocp_server_profile(b.s, 7);
	assert_non_null(p);
	assert_int_equal(p->feature, OCP_FEATURE_HTTP_REQUEST);
	bench_in(&b, "DUM 7 0\nAM-Part: request-header\n\n3:hea\n;\nDUM 7 3\nAM-Part: request-header\n\n1:d\n;\n"
		     "DUM 7 4\nAM-Part: request-body\n\n4:body\n;\nDUM 7 8\nAM-Part: request-trailer\n\n1:t\n;\n");
	want_log(&b, "data 1@0 [hea] first last request-header\ndata 1@3 [d] first last request-header\n"
		     "data 1@4 [body] first last request-body\ndata 1@8 [t] first last request-trailer\n");
	bench_free(&b);
}

static void part_violation(const char *profile, const char *dum)
{
	struct bench b;

	open_profile(&b, profile);
	bench_in(&b, dum);
	text_put(&b.log, "", 0);
	memmove(b.log.p, strstr(b.log.p, "fault"), strlen(strstr(b.log.p, "fault")) + 1);
	want_violation(&b, "7", "DUM", OCP_FAULT_PART);
	bench_free(&b);
}

/* 3.4: without a part; 3.2.1: not listed, not negotiated, out of order */
static void test_bad_parts(void **state)
{
	part_violation(REQUEST, "DUM 7 0\n1:x\n;\n");
	part_violation(REQUEST, "DUM 7 0\nAM-Part: response-header\n\n1:x\n;\n");
	part_violation(RESPONSE, "DUM 7 0\nAM-Part: request-header\n\n1:x\n;\n");
	part_violation(REQUEST, "DUM 7 0\nAM-Part: request-body\n\n1:x\n;\nDUM 7 1\nAM-Part: request-header\n\n1:x\n;\n");
	part_violation(RESPONSE, "DUM 7 0\nAM-Part: response-trailer\n\n1:x\n;\nDUM 7 1\nAM-Part: response-body\n\n1:x\n;\n");
}

/* 3.4: an AM-Part that is none */
static void test_no_part(void **state)
{
	struct bench b;

	open_profile(&b, REQUEST);
	bench_in(&b, "DUM 7 0\nAM-Part: request-feet\n\n1:x\n;\n");
	want_violation(&b, "7", "DUM", OCP_FAULT_MALFORMED);
	bench_free(&b);
}

/* 11: without a profile AM-Part and AM-EL are parameters that nobody agreed on */
static void test_parts_without_profile(void **state)
{
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "TS 7 1;\nAMS 7\nAM-EL: 5\n;\nDUM 7 0\nAM-Part: response-body\n\n1:x\n;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nam_start 1 [] kind=3\ndata 1@0 [x] first last\n");
	bench_free(&b);
}

/* 3.3: AM-EL both ways */
static void test_am_el(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	connect_profile(&b, RESPONSE);
	bench_in(&b, "TS 7 1;\nAMS 7\nAM-EL: 86\n;\nTS 8 1;\nAMS 8;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nam_start 1 [] kind=2 am_el=86\nxaction_start 8 [u:s|]\nam_start 1 [] kind=2\n");
	send.am_el = 80;
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), &send, &am), 0);
	assert_int_equal(ocp_server_am_start(b.s, 8, ocp_str(NULL), NULL, &am), 0);
	want_out(&b, "AMS 7\nAM-EL: 80\n;\nAMS 8;\n");
	bench_free(&b);
}

/* 3.2.1, 3.4: what we send: every DUM with a part that is listed, in order */
static void test_parts_of_ours(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	open_profile(&b, RESPONSE);
	bench_in(&b, "DUM 7 0\nKept: {0 4}\nAM-Part: response-header\n\n4:head\n;\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), 0);
	text_clear(&b.out);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, NULL), -EINVAL);
	send.part = OCP_PART_REQUEST_HEADER;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, &send), -EINVAL);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 4, OCP_PART_RESPONSE_HEADER), 0);
	send.part = OCP_PART_RESPONSE_BODY;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "body", 4, NULL, &send), 0);
	want_out(&b, "DUY 7 0 4;\nDUM 7 4\nAM-Part: response-body\n\n4:body\n;\n");
	send.part = OCP_PART_RESPONSE_HEADER;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, &send), -EINVAL);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 4, OCP_PART_RESPONSE_HEADER), -EINVAL);
	want_out(&b, "");
	bench_free(&b);
}

/* 3.2: a request is answered with response parts; both are never mixed */
static void test_answer_to_a_request(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	open_profile(&b, REQUEST);
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str("Kind: response\r\n"), NULL, &am), 0);
	send.part = OCP_PART_RESPONSE_HEADER;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "403", 3, NULL, &send), 0);
	want_out(&b, "AMS 7;\nDUM 7 0\nAM-Part: response-header\n\n3:403\n;\n");
	send.part = OCP_PART_REQUEST_BODY;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, &send), -EINVAL);
	bench_free(&b);
	open_profile(&b, REQUEST);
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), 0);
	send.part = OCP_PART_REQUEST_HEADER;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "GET", 3, NULL, &send), 0);
	send.part = OCP_PART_RESPONSE_BODY;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, &send), -EINVAL);
	bench_free(&b);
}

static void want_request_header(struct ocp_profile *p)
{
	p->aux_parts = OCP_HAS(OCP_PART_REQUEST_HEADER);
}

/* 3.2.3: auxiliary parts come, and are not referred to; no other part of the request comes */
static void test_auxiliary_parts(void **state)
{
	struct bench b;
	uint32_t am;

	start(&b);
	b.edit_offer = want_request_header;
	bench_in(&b, "CS;\nNO ({\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\n"
		     "Aux-Parts: (request-header,request-body)\n});\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\n");
	want_out(&b, "CS;\nNR {\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\nAux-Parts: (request-header)\n};\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 7 0\nKept: {0 7}\nAM-Part: request-header\n\n3:GET\n;\nDUM 7 3\nAM-Part: response-header\n\n4:head\n;\n");
	want_log(&b, "data 1@0 [GET] first last request-header\ndata 1@3 [head] copied first last response-header\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), 0);
	assert_false(ocp_server_committed(b.s, 7, 0, 3));
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 7, OCP_PART_RESPONSE_HEADER), -EPERM);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 3, 4, OCP_PART_RESPONSE_HEADER), 0);
	want_out(&b, "AMS 7;\nDUY 7 3 4;\n");
	text_clear(&b.log);
	bench_in(&b, "TS 8 1;\nAMS 8;\nDUM 8 0\nAM-Part: request-body\n\n1:x\n;\n");
	text_clear(&b.log);
	assert_int_equal(ocp_server_counters(b.s)->faults[OCP_FAULT_PART], 1);
	bench_free(&b);
}

static void preserve_4(struct ocp_profile *p)
{
	p->preservation_interest_body = 4;
}

/* 3.2.6: nothing of the body behind the prefix is referred to, the header is */
static void test_preservation_interest_body(void **state)
{
	struct bench b;

	start(&b);
	b.edit_offer = preserve_4;
	bench_in(&b, "CS;\nNO (" RESPONSE ");\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\n");
	want_out(&b, "CS;\nNR {\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\n"
		     "Preservation-Interest-Body: 4\n};\n");
	bench_in(&b, "DUM 7 0\nKept: {0 20}\nAM-Part: response-header\n\n8:response\n;\n"
		     "DUM 7 8\nAM-Part: response-body\n\n8:01234567\n;\n");
	assert_true(ocp_server_committed(b.s, 7, 0, 12));
	assert_false(ocp_server_committed(b.s, 7, 0, 13));
	assert_false(ocp_server_committed(b.s, 7, 12, 1));
	text_clear(&b.log);
	bench_in(&b, "DUM 7 16\nKept: {0 12}\nAM-Part: response-body\n\n1:8\n;\n"); /* may be dropped */
	want_log(&b, "data 1@16 [8] first last response-body\n");
	assert_true(ocp_server_committed(b.s, 7, 0, 12));
	bench_free(&b);
}

/* 3.2.6, RFC 4037 11.11: a DPI before the body begins would reach beyond what the profile says: it waits until then */
static void test_dpi_and_preservation_interest_body(void **state)
{
	struct bench b;

	start(&b);
	b.edit_offer = preserve_4;
	bench_in(&b, "CS;\nNO (" RESPONSE ");\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\n"
		     "DUM 7 0\nKept: {0 8}\nAM-Part: response-header\n\n8:response\n;\n");
	text_clear(&b.out);
	assert_int_equal(ocp_server_ack(b.s, 7, 0, 3, true), 0);
	want_out(&b, "");
	bench_in(&b, "DUM 7 8\nKept: {0 12}\nAM-Part: response-body\n\n6:012345\n;\n");
	want_out(&b, "DPI 7 3 9;\n");
	assert_int_equal(ocp_server_ack(b.s, 7, 3, 6, true), 0);
	want_out(&b, "DPI 7 9 3;\n");
	bench_free(&b);
}

static void stop_0(struct ocp_profile *p)
{
	p->stop_receiving_body = 0;
	p->pause_at_body = 0;
}

/* 3.2.5, 3.2.4: asked for in the answer: AME 206 is a good end, DPM a pause */
static void test_stop_receiving_body(void **state)
{
	struct bench b;
	uint32_t am;

	start(&b);
	b.edit_offer = stop_0;
	bench_in(&b, "CS;\nNO (" RESPONSE ");\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\n");
	want_out(&b, "CS;\nNR {\"54:http://www.iana.org/assignments/opes/ocp/http/response\"\n"
		     "Pause-At-Body: 0\nStop-Receiving-Body: 0\n};\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 7 0\nAM-Part: response-header\n\n4:head\n;\nDPM 7;\nAME 7 {206};\n");
	want_log(&b, "data 1@0 [head] first last response-header\npaused\noriginal_end ok partial {206}\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), 0);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), -EPERM);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_bad_parts),
		cmocka_unit_test(test_no_part),
		cmocka_unit_test(test_parts_without_profile),
		cmocka_unit_test(test_am_el),
		cmocka_unit_test(test_parts_of_ours),
		cmocka_unit_test(test_answer_to_a_request),
		cmocka_unit_test(test_auxiliary_parts),
		cmocka_unit_test(test_preservation_interest_body),
		cmocka_unit_test(test_dpi_and_preservation_interest_body),
		cmocka_unit_test(test_stop_receiving_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
