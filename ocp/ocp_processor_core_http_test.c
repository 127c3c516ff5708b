/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent, core dialect, under the HTTP profiles of RFC 4236 (sections 3.2 - 3.4). */
#include "ocp/ocp_processor_core_bench.h"

#define REQ OCP_FEATURE_HTTP_REQUEST
#define RSP OCP_FEATURE_HTTP_RESPONSE

static void test_am_el_and_am_part(void **state)
{
	struct ocp_start st = OCP_START_INIT;
	struct bench b;
	uint32_t xid;

	agreed(&b, RSP, 0, "");
	st.service = &service;
	st.profile = RSP;
	st.am_el = 5;
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, b.user, &xid, 0), 0);
	want_out(&b, "TS 1 1;\nAMS 1\nAM-EL: 5\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "x", false), -EINVAL); /* on every DUM [3.4] */
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -EINVAL);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_HEADER, "head", true), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "bo", true), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "dy!", false), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_TRAILER, "t", false), 0);
	want_out(&b, "DUM 1 0\nAM-Part: response-header\nKept: {0 4}\n\n4:head\n;\n"
		     "DUM 1 4\nAM-Part: response-body\nKept: {0 6}\n\n2:bo\n;\n"
		     "DUM 1 6\nAM-Part: response-body\n\n3:dy!\n;\nDUM 1 9\nAM-Part: response-trailer\n\n1:t\n;\n");
	bench_in(&b, "AMS 1\nAM-EL: 7\n;\nDUM 1 0\nAM-Part: response-header\n\n1:h\n;\n");
	want_log(&b, "am_start 2 kind=2 am_el=7\ndata 2@0 [h] first last response-header\n");
	bench_free(&b);
	agreed(&b, RSP, 0, ""); /* exact length past what the dialect can say */
	st.am_el = INT64_C(2147483648);
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, b.user, &xid, 0), -EOVERFLOW);
	bench_free(&b);
}

static void test_original_parts_listed_and_in_order(void **state)
{
	struct bench b;

	http(&b, RSP, "");
	assert_int_equal(put(&b, OCP_PART_REQUEST_HEADER, "x", false), -EINVAL); /* auxiliary, not negotiated */
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", false), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_HEADER, "x", false), -EINVAL); /* out of order */
	assert_int_equal(put(&b, OCP_PART_RESPONSE_TRAILER, "x", false), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", false), -EINVAL);
	bench_free(&b);
	http(&b, REQ, "");
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", false), -EINVAL); /* not listed as original */
	bench_free(&b);
}

static void test_auxiliary_parts(void **state)
{
	struct bench b;
	uint32_t xid;

	agreed(&b, RSP, OCP_HAS(OCP_PART_REQUEST_HEADER) | OCP_HAS(OCP_PART_REQUEST_BODY), "\nAux-Parts: (request-header)\n");
	assert_int_equal(begin(&b, RSP, &xid), 0);
	text_clear(&b.out);
	assert_int_equal(put(&b, OCP_PART_REQUEST_HEADER, "GET", true), 0); /* sent, but cannot be adapted: not kept */
	assert_int_equal(put(&b, OCP_PART_REQUEST_BODY, "x", true), -EINVAL); /* offered, but not asked for */
	assert_int_equal(put(&b, OCP_PART_RESPONSE_HEADER, "head", true), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "body", true), 0);
	want_out(&b, "DUM 1 0\nAM-Part: request-header\n\n3:GET\n;\n"
		     "DUM 1 3\nAM-Part: response-header\nKept: {3 4}\n\n4:head\n;\n"
		     "DUM 1 7\nAM-Part: response-body\nKept: {3 8}\n\n4:body\n;\n");
	bench_in(&b, "AMS 1;\nDUY 1 3 8;\n"); /* the owner gets each part by itself */
	want_log(&b, "am_start 2 kind=2\nas_is 2@0 from 3+4 response-header\nas_is 2@4 from 7+4 response-body\n");
	bench_in(&b, "DUY 1 0 3;\n");
	want_te(&b, OCP_FAULT_AS_IS, "DUY", true);
}

static void test_adapted_parts_listed(void **state)
{
	struct bench b;

	http(&b, RSP, "");
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: request-header\n\n1:x\n;\n");
	want_te(&b, OCP_FAULT_PART, "DUM", false);
	http(&b, RSP, "");
	bench_in(&b, "AMS 1;\nDUM 1 0\n1:x\n;\n"); /* no AM-Part */
	want_te(&b, OCP_FAULT_PART, "DUM", false);
}

static void test_adapted_parts_in_order(void **state)
{
	struct bench b;

	http(&b, RSP, "");
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: response-body\n\n1:x\n;\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 1 1\nAM-Part: response-header\n\n1:x\n;\n");
	want_te(&b, OCP_FAULT_PART, "DUM", true);
	http(&b, RSP, ""); /* DUY counts as the part that it takes from */
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: response-body\n\n1:x\n;\n");
	text_clear(&b.log);
	bench_in(&b, "DUY 1 0 4;\n");
	want_te(&b, OCP_FAULT_PART, "DUY", true);
	http(&b, RSP, "");
	put(&b, OCP_PART_RESPONSE_BODY, "body", true);
	text_clear(&b.out);
	bench_in(&b, "AMS 1;\nDUY 1 4 2;\n");
	want_log(&b, "am_start 2 kind=2\nas_is 2@0 from 4+2 response-body\n");
	bench_in(&b, "DUM 1 2\nAM-Part: response-header\n\n1:x\n;\n");
	want_te(&b, OCP_FAULT_PART, "DUM", true);
}

static void test_request_or_response_parts_never_both(void **state)
{
	struct bench b;

	http(&b, REQ, "");
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: response-header\n\n1:x\n;\n"); /* an answer instead of the request */
	want_log(&b, "am_start 2 kind=2\ndata 2@0 [x] first last response-header\n");
	bench_in(&b, "DUM 1 1\nAM-Part: request-body\n\n1:x\n;\n");
	want_te(&b, OCP_FAULT_PART, "DUM", true);
	http(&b, REQ, "");
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: request-header\n\n1:x\n;\n");
	want_log(&b, "am_start 2 kind=1\ndata 2@0 [x] first last request-header\n");
	bench_in(&b, "DUM 1 1\nAM-Part: response-header\n\n1:x\n;\n");
	want_te(&b, OCP_FAULT_PART, "DUM", true);
	http(&b, REQ, ""); /* nor by DUY: those are request parts */
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: response-header\n\n1:x\n;\n");
	text_clear(&b.log);
	bench_in(&b, "DUY 1 0 4;\n");
	want_te(&b, OCP_FAULT_PART, "DUY", true);
	http(&b, REQ, "");
	bench_in(&b, "AMS 1;\nDUY 1 0 4;\n");
	want_log(&b, "am_start 2 kind=1\nas_is 2@0 from 0+4 request-header\n");
	bench_free(&b);
}

static void test_empty_adapted_message(void **state)
{
	struct bench b;

	http(&b, REQ, "");
	bench_in(&b, "AMS 1;\nAME 1;\n"); /* nothing tells what it is */
	want_log(&b, "am_start 2 kind=0\nam_end 2 ok\n");
	bench_free(&b);
}

static void test_pause_at_body(void **state)
{
	struct bench b;

	http(&b, RSP, "\nPause-At-Body: 0\n"); /* just before the first octet of the body [3.2.4] */
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_RESPONSE_HEADER), UINT64_MAX);
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_RESPONSE_BODY), 0);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_HEADER, "er", true), 0);
	text_clear(&b.out);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", true), -EAGAIN);
	want_out(&b, "DPM 1;\n");
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", true), -EAGAIN);
	want_out(&b, "");
	bench_in(&b, "DWM 1;\n");
	want_log(&b, "need resumed 0 0\n");
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", true), 0);
	bench_free(&b);

	http(&b, REQ, "\nPause-At-Body: 3\n");
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_REQUEST_BODY), 3);
	assert_int_equal(put(&b, OCP_PART_REQUEST_BODY, "ab", false), 0);
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_REQUEST_BODY), 1);
	assert_int_equal(put(&b, OCP_PART_REQUEST_BODY, "c", false), 0);
	want_out(&b, "DUM 1 4\nAM-Part: request-body\n\n2:ab\n;\nDUM 1 6\nAM-Part: request-body\n\n1:c\n;\nDPM 1;\n");
	assert_int_equal(put(&b, OCP_PART_REQUEST_BODY, "d", false), -EAGAIN);
	bench_free(&b);
}

static void test_stop_receiving_body(void **state)
{
	struct bench b;

	http(&b, RSP, "\nStop-Receiving-Body: 0\n"); /* AME 206 before the body [3.2.5] */
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "x", true), -EPIPE);
	want_out(&b, "AME 1 {206};\n");
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), -EPIPE);
	want_log(&b, "");
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: response-header\n\n1:h\n;\nAME 1;\n");
	want_logf(&b, "am_start 2 kind=2\ndata 2@0 [h] first last response-header\nam_end 2 ok\nxaction_end %d\n",
		  OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n");
	bench_free(&b);

	http(&b, RSP, "\nStop-Receiving-Body: 2\n");
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_RESPONSE_BODY), 2);
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "ab", false), 0);
	want_out(&b, "DUM 1 4\nAM-Part: response-body\n\n2:ab\n;\nAME 1 {206};\n");
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "c", false), -EPIPE);
	bench_free(&b);

	http(&b, RSP, "\nStop-Receiving-Body: 0\n"); /* no body: complete */
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	want_out(&b, "AME 1;\n");
	bench_free(&b);
}

static void test_preservation_interest_body(void **state)
{
	struct bench b;

	http(&b, RSP, "\nPreservation-Interest-Body: 2\n");
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "abc", true), 0); /* kept: header and two octets */
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "d", true), 0);
	want_out(&b, "DUM 1 4\nAM-Part: response-body\nKept: {0 6}\n\n3:abc\n;\nDUM 1 7\nAM-Part: response-body\n\n1:d\n;\n");
	bench_in(&b, "AMS 1;\nDUY 1 0 6;\n");
	want_log(&b, "am_start 2 kind=2\nas_is 2@0 from 0+4 response-header\nas_is 2@4 from 4+2 response-body\n");
	bench_in(&b, "DUY 1 6 1;\n");
	want_te(&b, OCP_FAULT_AS_IS, "DUY", true);

	http(&b, RSP, "\nPreservation-Interest-Body: 0\n");
	assert_int_equal(put(&b, OCP_PART_RESPONSE_BODY, "abc", true), 0);
	want_out(&b, "DUM 1 4\nAM-Part: response-body\n\n3:abc\n;\n");
	bench_in(&b, "DPI 1 0 5;\n"); /* as DPI, so it must not grow */
	want_te(&b, OCP_FAULT_INTEREST, "DPI", false);
}

/* RFC 4236 figure 13, octet counts put right: a request answered by the callout server. */
static void test_figure_13(void **state)
{
	struct bench b;
	uint32_t xid;
	struct ocp_start st = OCP_START_INIT;

	agreed(&b, REQ, 0, "");
	st.service = &service;
	st.profile = REQ;
	st.am_el = 0;
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, b.user, &xid, 0), 0);
	assert_int_equal(put(&b, OCP_PART_REQUEST_HEADER, "GET", true), 0);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	want_out(&b, "TS 1 1;\nAMS 1\nAM-EL: 0\n;\nDUM 1 0\nAM-Part: request-header\nKept: {0 3}\n\n3:GET\n;\nAME 1;\n");
	bench_in(&b, "AMS 1;\nDUM 1 0\nAM-Part: response-header\n\n3:403\n;\nDUM 1 3\nAM-Part: response-body\n\n2:no\n;\n"
		     "AME 1;\nTE 1;\n");
	want_logf(&b, "am_start 2 kind=2\ndata 2@0 [403] first last response-header\n"
		      "data 2@3 [no] first last response-body\nam_end 2 ok\nxaction_end %d\n", OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n");
	bench_free(&b);
}

/* Figure 15: preservation, its octet counts put right. */
static void test_figure_15(void **state)
{
	struct bench b;
	uint32_t xid;

	agreed(&b, RSP, OCP_HAS(OCP_PART_REQUEST_HEADER), "\nAux-Parts: (request-header)\n");
	assert_int_equal(begin(&b, RSP, &xid), 0);
	put(&b, OCP_PART_REQUEST_HEADER, "GET /", true);
	put(&b, OCP_PART_RESPONSE_HEADER, "200", true);
	put(&b, OCP_PART_RESPONSE_BODY, "<html>", true);
	bench_in(&b, "AMS 1;\n");
	put(&b, OCP_PART_RESPONSE_BODY, "</html>", true);
	forget(&b);
	bench_in(&b, "DUY 1 5 3;\nDPI 1 8 2147483647;\n");
	want_log(&b, "am_start 2 kind=2\nas_is 2@0 from 5+3 response-header\nwont_forward 0+8\n");
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	bench_in(&b, "DUM 1 3\nAM-Part: response-body\n\n2:ad\n;\nDPI 1 8 0;\nAME 1;\nTE 1;\n");
	want_logf(&b, "data 2@3 [ad] first last response-body\nwont_forward 8+13\nam_end 2 ok\nxaction_end %d\n",
		  OCP_XEND_NORMAL);
	want_out(&b, "AME 1;\nTE 1;\n");
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_am_el_and_am_part),
		cmocka_unit_test(test_original_parts_listed_and_in_order),
		cmocka_unit_test(test_auxiliary_parts),
		cmocka_unit_test(test_adapted_parts_listed),
		cmocka_unit_test(test_adapted_parts_in_order),
		cmocka_unit_test(test_request_or_response_parts_never_both),
		cmocka_unit_test(test_empty_adapted_message),
		cmocka_unit_test(test_pause_at_body),
		cmocka_unit_test(test_stop_receiving_body),
		cmocka_unit_test(test_preservation_interest_body),
		cmocka_unit_test(test_figure_13),
		cmocka_unit_test(test_figure_15),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
