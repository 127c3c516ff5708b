/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent in the core dialect against raw input: preservation, the adapted message, the ways out. Sections are of
 * RFC 4037 unless said otherwise.
 */
#include "ocp/ocp_server_core_bench.h"

/* --- preservation --- */

/* 7, 11.10: only what is kept is referred to, any range of it, any number of times */
static void test_duy_only_of_kept(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {2 4}\n\n8:01234567\n;\n");
	want_log(&b, "data 1@0 [01234567] first last\n");
	assert_true(ocp_server_committed(b.s, 7, 2, 4));
	assert_false(ocp_server_committed(b.s, 7, 1, 4));
	assert_false(ocp_server_committed(b.s, 7, 3, 4));
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 3, OCP_PART_NONE), -EPERM);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 4, 2, OCP_PART_NONE), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 2, 4, OCP_PART_NONE), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 2, 4, OCP_PART_NONE), 0);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, NULL), 0);
	want_out(&b, "DUY 7 4 2;\nDUY 7 2 4;\nDUY 7 2 4;\nDUM 7 10\n1:x\n;\n"); /* DUM 1: no gaps over both */
	bench_in(&b, "DUM 7 8\nKept: 2 9\n\n2:89\n;\nAME 7;\n"); /* the examples' form; not yet sent octets may be named */
	assert_true(ocp_server_committed(b.s, 7, 2, 8));
	assert_false(ocp_server_committed(b.s, 7, 2, 9));
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 8, 2, OCP_PART_NONE), 0); /* AME ends nothing of that (trap 4) */
	want_out(&b, "DUY 7 8 2;\n");
	bench_free(&b);
}

/* 10.10: a failed original is not used any more */
static void test_duy_not_after_failure(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {0 4}\n\n4:0123\n;\nAME 7 {400};\n");
	assert_false(ocp_server_committed(b.s, 7, 0, 4));
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 4, OCP_PART_NONE), -EPERM);
	want_out(&b, "");
	bench_free(&b);
}

/* 11.9: a Kept that loses octets: nothing of it is used ... */
static void test_kept_that_shrinks(void **state)
{
	static const char *const bad[] = {"{1 4}", "{0 4}", "{5 9}", "{0 0}"};
	struct bench b;

	for (size_t i = 0; i < 4; i++) {
		char text[128];

		open_adapted(&b);
		snprintf(text, sizeof(text), "DUM 7 0\nKept: {0 5}\n\n5:hello\n;\nDUM 7 5\nKept: %s\n\n1:x\n;\n", bad[i]);
		bench_in(&b, text);
		want_logf(&b, "data 1@0 [hello] copied first last\nfault %d DUM\ndata 1@5 [x] first last\n", OCP_FAULT_KEPT);
		bench_in(&b, "DUM 7 6\nKept: {0 9}\n\n1:x\n;\n");
		assert_false(ocp_server_committed(b.s, 7, 0, 1));
		assert_int_equal(ocp_server_as_is(b.s, 7, 2, 2, 1, OCP_PART_NONE), -EPERM);
		want_out(&b, "");
		bench_free(&b);
	}
}

/* ... and after a DUY it is invalid input */
static void test_kept_that_shrinks_after_duy(void **state)
{
	char out[512];
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {0 5}\n\n5:hello\n;\n");
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 2, OCP_PART_NONE), 0);
	forget_all(&b);
	bench_in(&b, "DUM 7 5\nKept: {2 4}\n\n1:x\n;\n");
	failure_text(out, sizeof(out), "AME 7", OCP_FAULT_KEPT);
	failure_text(out + strlen(out), sizeof(out) - strlen(out), "TE 7", OCP_FAULT_KEPT);
	want_out(&b, out);
	want_logf(&b, "fault %d DUM\nxaction_end 2 fault=%d\n", OCP_FAULT_KEPT, OCP_FAULT_KEPT);
	bench_free(&b);
}

/* 7: Kept may grow at both ends, and lose what DPI gave up */
static void test_kept_may_change(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {2 3}\n\n5:hello\n;\nDUM 7 5\nKept: {0 6}\n\n1:x\n;\n");
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 6, OCP_PART_NONE), 0);
	assert_int_equal(ocp_server_ack(b.s, 7, 0, 4, true), 0);
	want_out(&b, "DUY 7 0 6;\nDPI 7 4 2147483643;\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 7 6\nKept: {4 3}\n\n1:y\n;\n");
	want_log(&b, "data 1@6 [y] copied first last\n");
	bench_free(&b);
}

/* 11.11: the range of interest only shrinks; what is given up is not referred to; a hole is not told */
static void test_dpi(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {0 10}\n\n10:0123456789\n;\n");
	assert_int_equal(ocp_server_ack(b.s, 7, 4, 2, true), 0); /* in the middle */
	want_out(&b, "");
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 3, 2, OCP_PART_NONE), -EPERM);
	assert_int_equal(ocp_server_ack(b.s, 7, 0, 2, true), 0);
	want_out(&b, "DPI 7 2 2147483645;\n");
	assert_int_equal(ocp_server_ack(b.s, 7, 0, 2, true), 0); /* nothing new */
	want_out(&b, "");
	assert_int_equal(ocp_server_ack(b.s, 7, 2, 2, true), 0); /* up to the hole, and so past it */
	want_out(&b, "DPI 7 6 2147483641;\n");
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 6, 4, OCP_PART_NONE), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 2, 2, OCP_PART_NONE), -EPERM);
	assert_int_equal(ocp_server_ack(b.s, 7, 6, 4, true), 0);
	want_out(&b, "DUY 7 6 4;\nDPI 7 10 2147483637;\n");
	bench_free(&b);
}

/* 11.11: what lies before the kept range is nothing to be interested in */
static void test_dpi_before_kept(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {6 4}\n\n10:0123456789\n;\n");
	assert_int_equal(ocp_server_ack(b.s, 7, 6, 1, true), 0);
	want_out(&b, "DPI 7 7 2147483640;\n");
	bench_free(&b);
}

/* --- the adapted message --- */

/* 11.7: AMS at once or later; one; AM-EL only under a profile; Services when they differ */
static void test_ams_of_ours(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	connect_plain(&b);
	bench_in(&b, "TS 7 1;\n");
	send.am_el = 5; /* no profile that knows it */
	send.services = ocp_list_of(OCP_STR("({\"3:u:t\"})"));
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str("Kind: response\r\n"), &send, &am), 0);
	want_out(&b, "AMS 7\nServices: ({\"3:u:t\"})\n;\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), -EBUSY);
	assert_int_equal(ocp_server_data_end(b.s, 7, 2, true), 0);
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), -EBUSY);
	want_out(&b, "AME 7;\n");
	bench_free(&b);
}

/* 11.9: Modp is said once per value, with the data it covers */
static void test_modp(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	open_plain(&b);
	send.modp = 40;
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), &send, &am), 0);
	want_out(&b, "AMS 7;\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "ab", 2, NULL, NULL), 0);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "cd", 2, NULL, NULL), 0);
	send.modp = 50;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "ef", 2, NULL, &send), 0);
	want_out(&b, "DUM 7 0\nModp: 40\n\n2:ab\n;\nDUM 7 2\n2:cd\n;\nDUM 7 4\nModp: 50\n\n2:ef\n;\n");
	send.modp = 101;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "gh", 2, NULL, &send), -EINVAL);
	bench_free(&b);
}

/* 10.9, 11.9: 0 cannot stand beside changed data, and changed data is certain */
static void test_modp_is_true(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	open_plain(&b);
	send.modp = 0;
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), &send, &am), 0);
	send.modified = true;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "ab", 2, NULL, &send), 0);
	send.modp = -1;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "cd", 2, NULL, &send), 0);
	want_out(&b, "AMS 7;\nDUM 7 0\nModp: 100\n\n2:ab\n;\nDUM 7 2\n2:cd\n;\n");
	bench_free(&b);
}

/* 11.9: Modp has no place in DUY: an empty DUM says it before */
static void test_modp_before_duy(void **state)
{
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	open_plain(&b);
	bench_in(&b, "DUM 7 0\nKept: {0 4}\n\n4:0123\n;\n");
	send.modp = 0;
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), &send, &am), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 2, OCP_PART_NONE), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 2, 2, OCP_PART_NONE), 0);
	want_out(&b, "AMS 7;\nDUM 7 0\nModp: 0\n\n0:\n;\nDUY 7 0 2;\nDUY 7 2 2;\n");
	bench_free(&b);
}

/* 11.9: As-is, for octets that have been received */
static void test_as_is_of_data(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct ocp_send send = OCP_SEND_INIT;
	struct bench b;
	uint32_t am;

	cfg.limits.payload = 4;
	start_with(&b, &cfg);
	bench_in(&b, "CS;\nNO ();\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\nDUM 7 0\n4:0123\n;\nDUM 7 4\n2:45\n;\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, ocp_str(NULL), NULL, &am), 0);
	text_clear(&b.out);
	send.as_is = 1;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "12345", 5, NULL, &send), 0);
	want_out(&b, "DUM 7 0\nAs-is: 1\n\n4:1234\n;\nDUM 7 4\nAs-is: 5\n\n1:5\n;\n");
	send.as_is = 5;
	assert_int_equal(ocp_server_data(b.s, 7, 2, "56", 2, NULL, &send), 0); /* not received */
	want_out(&b, "DUM 7 5\n2:56\n;\n");
	bench_free(&b);
}

/* 11.15, 11.16: past the offset we stop at once, and say so before anything else */
static void test_pause_of_ours_at_once(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\nKept: {0 4}\n\n4:0123\n;\n");
	text_clear(&b.log);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "abcd", 4, NULL, NULL), 0);
	text_clear(&b.out);
	bench_in(&b, "DWP 7 2;\n");
	want_out(&b, "DPM 7;\n");
	want_log(&b, "peer_pause\n");
	assert_int_equal(ocp_server_room(b.s, 7), 0);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, NULL), -EAGAIN);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 1, OCP_PART_NONE), -EAGAIN);
	want_out(&b, "");
	bench_in(&b, "DWM 7\nsize-REQUEST: 77\n;\n");
	want_log(&b, "peer_need 77\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, NULL), 0);
	want_out(&b, "DUM 7 4\n1:x\n;\n");
	bench_in(&b, "DWM 7;\n"); /* without a pause */
	want_log(&b, "peer_need 0\n");
	bench_free(&b);
}

/* 11.15: before the offset: right after it */
static void test_pause_of_ours_at_offset(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DWP 7 6;\n");
	want_out(&b, "");
	assert_int_equal(ocp_server_room(b.s, 7), 6);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "abcd", 4, NULL, NULL), 0);
	assert_int_equal(ocp_server_room(b.s, 7), 2);
	want_out(&b, "DUM 7 0\n4:abcd\n;\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "ef", 2, NULL, NULL), 0);
	want_out(&b, "DUM 7 4\n2:ef\n;\nDPM 7;\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "g", 1, NULL, NULL), -EAGAIN);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0); /* an end is no data */
	want_out(&b, "AME 7;\nTE 7;\n");
	bench_free(&b);
}

/* 11.15: before our AMS, after our AME, and asked twice */
static void test_pause_of_ours_any_time(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DWP 7 0;\nDWP 7 100;\nDWM 7;\nDWP 7 100;\n");
	want_out(&b, "DPM 7;\nDPM 7;\n");
	assert_int_equal(ocp_server_room(b.s, 7), 100);
	bench_free(&b);
	open_adapted(&b);
	assert_int_equal(ocp_server_data_end(b.s, 7, 2, true), 0);
	bench_in(&b, "DWP 7 100;\n");
	want_out(&b, "AME 7;\nDPM 7;\n");
	want_log(&b, "");
	bench_free(&b);
}

/* 11.7: the processor's AME 400 after that for its original can only mean ours */
static void test_adapted_refused(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "AME 7;\nAME 7 {400};\n");
	want_log(&b, "original_end ok\nam_end 2 error {400}\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, NULL), -ENOENT);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "AME 7 {400};\nTE 7;\n");
	bench_free(&b);
}

/* --- out of the loop: 8.3, 11.12 - 11.14 --- */

static void leave(struct bench *b, const char *where)
{
	if (strcmp(where, "leave_now"))
		return;
	assert_int_equal(ocp_server_data(b->s, 7, 2, "flushed", 7, NULL, NULL), 0);
	assert_int_equal(ocp_server_leave_loop(b->s, 7, 2), 0);
	assert_int_equal(ocp_server_leave_loop(b->s, 7, 2), -ENOENT);
}

static void test_leave_loop(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\n2:ab\n;\n");
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	want_out(&b, "DWSS 7;\nDWSR 7 2;\n"); /* in this order */
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), -EALREADY);
	text_clear(&b.log);
	b.inside = leave;
	bench_in(&b, "DUM 7 2\n5:fl...\n;\nDSS 7;\nDUM 7 7\n1:x\n;\n");
	want_log(&b, "data 1@2 [fl...] first last\nleave_now\nfault 4 DUM\n");
	want_out(&b, "DUM 7 0\n7:flushed\n;\nAME 7 {206};\nTE 7;\n");
	bench_free(&b);
}

/* 11.14: immediately, also when the owner does nothing */
static void test_dss_is_obeyed(void **state)
{
	struct bench b;

	open_adapted(&b);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	forget_all(&b);
	bench_in(&b, "DSS 7;\n");
	want_log(&b, "leave_now\nxaction_end 0\n");
	want_out(&b, "AME 7 {206};\nTE 7;\n");
	bench_free(&b);
}

static void postpone(struct bench *b, const char *where)
{
	b->refuse_leave = 1;
}

/* What was made of the data before DSS goes out first; while the processor pauses us, it cannot */
static void test_dss_while_paused(void **state)
{
	struct bench b;

	open_adapted(&b);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	bench_in(&b, "DUM 7 0\n2:ab\n;\nDWP 7 0;\n");
	forget_all(&b);
	b.inside = postpone;
	bench_in(&b, "DSS 7;\n");
	want_log(&b, "leave_now\n");
	want_out(&b, "");
	b.inside = NULL;
	bench_in(&b, "DUM 7 2\n2:cd\n;\nAME 7 {206};\nDWM 7;\n"); /* the rest is the processor's */
	want_log(&b, "peer_need 0\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "AB", 2, NULL, NULL), 0);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 0);
	want_out(&b, "DUM 7 0\n2:AB\n;\nAME 7 {206};\nTE 7;\n");
	bench_free(&b);
	open_adapted(&b); /* without a pause there is no reason to wait */
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	forget_all(&b);
	b.inside = postpone;
	bench_in(&b, "DSS 7;\n");
	want_log(&b, "leave_now\nxaction_end 0\n");
	want_out(&b, "AME 7 {206};\nTE 7;\n");
	bench_free(&b);
}

/* 11.13: without DSS the message ends as a whole, not early */
static void test_no_dss(void **state)
{
	const struct ocp_result partial = {.code = OCP_RESULT_PARTIAL};
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\n2:ab\n;\n");
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	forget_all(&b);
	bench_in(&b, "DUM 7 2\n2:cd\n;\nAME 7;\n");
	want_log(&b, "data 1@2 [cd] first last\noriginal_end ok\n");
	assert_int_equal(ocp_server_am_end(b.s, 7, 2, false, &partial), 0);
	want_out(&b, "AME 7 {400};\n");
	bench_free(&b);
	open_adapted(&b);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	bench_in(&b, "AME 7;\nDSS 7;\n"); /* it may still come, and then ours may end early */
	text_clear(&b.log);
	want_out(&b, "DWSS 7;\nDWSR 7 0;\nAME 7 {206};\nTE 7;\n");
	bench_free(&b);
}

/* 8.3: the processor may not end the original with 206 before DSS then */
static void test_partial_before_dss(void **state)
{
	char out[512];
	struct bench b;

	open_adapted(&b);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	forget_all(&b);
	bench_in(&b, "AME 7 {206};\n");
	failure_text(out, sizeof(out), "AME 7", OCP_FAULT_STOP);
	failure_text(out + strlen(out), sizeof(out) - strlen(out), "TE 7", OCP_FAULT_STOP);
	want_out(&b, out);
	bench_free(&b);
}

/* 11.14: unsolicited: invalid; for a message that has ended: ignored */
static void test_unsolicited_dss(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DSS 7;\n");
	want_violation(&b, "7", "DSS", OCP_FAULT_STOP);
	bench_free(&b);
	open_adapted(&b);
	assert_int_equal(ocp_server_data_end(b.s, 7, 2, true), 0);
	bench_in(&b, "DSS 7;\n");
	want_log(&b, "");
	want_out(&b, "AME 7;\n");
	bench_free(&b);
}

/* 8.3: an original that may end first can no longer be left */
static void test_leave_too_late(void **state)
{
	struct bench b;

	open_adapted(&b);
	assert_int_equal(ocp_server_stop_receiving(b.s, 7, 0), 0);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), -EPERM);
	want_out(&b, "DWSR 7 0;\n");
	bench_free(&b);
	open_adapted(&b);
	bench_in(&b, "AME 7;\n");
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), -EPERM);
	want_out(&b, "");
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duy_only_of_kept),
		cmocka_unit_test(test_duy_not_after_failure),
		cmocka_unit_test(test_kept_that_shrinks),
		cmocka_unit_test(test_kept_that_shrinks_after_duy),
		cmocka_unit_test(test_kept_may_change),
		cmocka_unit_test(test_dpi),
		cmocka_unit_test(test_dpi_before_kept),
		cmocka_unit_test(test_ams_of_ours),
		cmocka_unit_test(test_modp),
		cmocka_unit_test(test_modp_is_true),
		cmocka_unit_test(test_modp_before_duy),
		cmocka_unit_test(test_as_is_of_data),
		cmocka_unit_test(test_pause_of_ours_at_once),
		cmocka_unit_test(test_pause_of_ours_at_offset),
		cmocka_unit_test(test_pause_of_ours_any_time),
		cmocka_unit_test(test_adapted_refused),
		cmocka_unit_test(test_leave_loop),
		cmocka_unit_test(test_dss_is_obeyed),
		cmocka_unit_test(test_dss_while_paused),
		cmocka_unit_test(test_no_dss),
		cmocka_unit_test(test_partial_before_dss),
		cmocka_unit_test(test_unsolicited_dss),
		cmocka_unit_test(test_leave_too_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
