/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Callout server agent in the core dialect against raw input: transactions and their originals. Sections are of
 * RFC 4037 unless said otherwise.
 */
#include "ocp/ocp_server_core_bench.h"

/* --- transactions --- */

/* 11.5: TS begins a transaction for the services of its group */
static void test_ts_begins(void **state)
{
	struct ocp_list services;
	struct ocp_uri u;
	uint32_t at = 0;
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "SGC 4 ({\"3:u:a\" \"1:x\"},{\"3:u:b\"});\nTS 7 4;\n");
	want_log(&b, "xaction_start 7 [u:a| \"1:x\"]\n");
	want_out(&b, "");
	services = ocp_server_services(b.s, 7);
	assert_int_equal(services.count, 2);
	assert_true(ocp_list_next(&services, &at, &u) && ocp_str_eq(u.uri, OCP_STR("u:a")));
	assert_true(ocp_list_next(&services, &at, &u) && ocp_str_eq(u.uri, OCP_STR("u:b")));
	assert_null(ocp_server_profile(b.s, 7));
	assert_int_equal(ocp_server_xactions(b.s), 1);
	bench_free(&b);
}

/* 11.5: it may be refused with TE */
static void test_ts_refused(void **state)
{
	struct bench b;

	connect_plain(&b);
	b.refuse_xaction = 1;
	bench_in(&b, "TS 7 1;\nAMS 7;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nfault 4 AMS\n"); /* what was under way is ignored */
	want_out(&b, "TE 7 {400};\n");
	bench_free(&b);
}

/* 10.2: xids grow and are not used twice; a transaction named again ends */
static void test_xid_order(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "TS 6 1;\n");
	want_refusal(&b, "6", "TS", OCP_FAULT_XID_ORDER);
	bench_in(&b, "TS 7 1;\n");
	want_violation(&b, "7", "TS", OCP_FAULT_XID_ORDER);
	bench_in(&b, "TS 7 1;\n");
	want_refusal(&b, "7", "TS", OCP_FAULT_XID_ORDER);
	bench_in(&b, "TS 8 1;\n");
	want_log(&b, "xaction_start 8 [u:s|]\n");
	bench_free(&b);
}

/* 10.2: with the last xid used up, the connection ends behind its last transaction */
static void test_xids_used_up(void **state)
{
	struct bench b;

	open_plain(&b);
	assert_int_equal(bench_in(&b, "TS 2147483647 1;\nTE 7 {400};\n"), 0);
	want_out(&b, "");
	assert_int_equal(bench_in(&b, "TE 2147483647;\n"), -ENOTCONN);
	want_out(&b, "TE 2147483647;\nCE;\n");
	bench_free(&b);
}

/* 11: an xid never introduced: TE 400, in holes between the introduced ones, too; one that has ended is ignored */
static void test_unknown_xid(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DUM 9 0\n1:x\n;\n");
	want_refusal(&b, "9", "DUM", OCP_FAULT_UNKNOWN_XID);
	bench_in(&b, "DUM 3 0\n1:x\n;\n");
	want_refusal(&b, "3", "DUM", OCP_FAULT_UNKNOWN_XID);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "TE 7;\n");
	bench_in(&b, "DUM 7 0\n1:x\n;\nAME 7;\nTE 7;\n");
	want_log(&b, "fault 4 DUM\nfault 4 AME\n");
	want_out(&b, "");
	bench_free(&b);
}

/* 11.5, 5: TS of no group, and of one without services */
static void test_ts_group(void **state)
{
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "TS 7 2;\n");
	want_refusal(&b, "7", "TS", OCP_FAULT_SG);
	bench_in(&b, "SGC 2 ();\nTS 8 2;\n");
	want_refusal(&b, "8", "TS", OCP_FAULT_NO_SERVICE);
	bench_in(&b, "DUM 8 0\n0:\n;\n"); /* it was introduced, and has ended */
	want_log(&b, "fault 4 DUM\n");
	want_out(&b, "");
	bench_free(&b);
}

/* 11.4: a destroyed group takes no new transactions and leaves those it has alone */
static void test_sgd_keeps_transactions(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "SGD 1;\nTS 8 1;\n");
	want_refusal(&b, "8", "TS", OCP_FAULT_SG);
	bench_in(&b, "DUM 7 0\n2:hi\n;\n");
	want_log(&b, "data 1@0 [hi] first last\n");
	assert_int_equal(ocp_server_services(b.s, 7).count, 1);
	bench_free(&b);
}

/* 11.6, 10.10: TE with a failure ends it at once, whatever code */
static void test_te_failure(void **state)
{
	static const char *const codes[] = {"{400}", "{206}", "{999 \"1:x\"}"};
	struct bench b;

	for (size_t i = 0; i < 3; i++) {
		char text[64], log[64];

		open_adapted(&b);
		snprintf(text, sizeof(text), "TE 7 %s;\n", codes[i]);
		bench_in(&b, text);
		snprintf(log, sizeof(log), "xaction_end 1 {%.3s%s}\n", codes[i] + 1, i == 2 ? " x" : "");
		want_log(&b, log);
		want_out(&b, "");
		assert_int_equal(ocp_server_xactions(b.s), 0);
		bench_free(&b);
	}
}

/* RFC 4236 3.9: the processor's TE after its AME says that it sends no more; the server may finish */
static void test_te_of_processor_leaves_the_rest(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "DUM 7 0\n2:hi\n;\nAME 7;\nTE 7;\n");
	want_log(&b, "data 1@0 [hi] first last\noriginal_end ok\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "ho", 2, NULL, NULL), 0);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "DUM 7 0\n2:ho\n;\nAME 7;\nTE 7;\n");
	want_log(&b, "");
	bench_free(&b);
}

/* The same for a service that takes its time: a processor that has forgotten the xid may wait for it nevertheless */
static void test_slow_after_te_of_processor(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	cfg.idle_probe_us = 0;
	cfg.deadline_us = 1000000;
	start_with(&b, &cfg);
	bench_in(&b, "CS;\nNO ();\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\nAME 7;\nTE 7;\nTS 8 1;\n");
	forget_all(&b);
	b.now = 1000000;
	ocp_server_tick(b.s, b.now);
	want_out(&b, "PQ 7;\nPQ 8;\n");
	bench_in(&b, "PA;\nPA;\n");
	want_out(&b, "TE 8 {400};\n");
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "TE 7;\n");
	bench_free(&b);
}

/* 11.6: after its TE the xid is dead for the processor: more of it is ignored */
static void test_nothing_after_te(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "AME 7 {200};\nTE 7;\nDWP 7 0;\nTE 7;\n");
	want_log(&b, "original_end ok {200}\nfault 4 DWP\nfault 4 TE\n");
	want_out(&b, "");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "ho", 2, NULL, NULL), 0);
	bench_free(&b);
}

/* 11.8: AME is explicit: TE without it breaks the rule */
static void test_te_without_ame(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "TE 7;\n");
	want_violation(&b, "7", "TE", OCP_FAULT_AM_ORDER);
	bench_free(&b);
}

/* 11.6: a transaction that never had a message: TE is answered with TE */
static void test_te_of_nothing(void **state)
{
	struct bench b;

	connect_plain(&b);
	bench_in(&b, "TS 7 1;\nTE 7;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nxaction_end 0\n");
	want_out(&b, "TE 7;\n");
	bench_free(&b);
}

/* 11.6, 11.8: ends are sent at once and explicitly, AME before TE */
static void test_ends_are_explicit(void **state)
{
	const struct ocp_result r = {OCP_RESULT_FAILURE, OCP_STR("busy")};
	struct bench b;

	open_adapted(&b);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "AME 7;\nTE 7;\n");
	bench_in(&b, "TS 8 1;\nAMS 8;\n");
	assert_int_equal(ocp_server_xaction_end(b.s, 8, true, &r), 0);
	want_out(&b, "TE 8 {400 \"4:busy\"};\n");
	bench_free(&b);
	open_adapted(&b);
	assert_int_equal(ocp_server_refuse(b.s, 7, "busy"), 0);
	want_out(&b, "AME 7 {400 \"4:busy\"};\nTE 7 {400 \"4:busy\"};\n");
	bench_free(&b);
	open_adapted(&b);
	assert_int_equal(ocp_server_data_end(b.s, 7, 2, true), 0);
	want_out(&b, "AME 7;\n");
	assert_int_equal(ocp_server_data(b.s, 7, 2, "x", 1, NULL, NULL), -EPIPE);
	assert_int_equal(ocp_server_am_end(b.s, 7, 2, true, NULL), -EPIPE);
	assert_int_equal(ocp_server_am_end(b.s, 7, 2, false, NULL), 0); /* said already */
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "TE 7;\n");
	bench_free(&b);
}

/* 2.6: many transactions at a time; a broken rule ends one of them only (5) */
static void test_others_go_on(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "TS 8 1;\nAMS 8;\nDUM 8 0\n2:ab\n;\nDUM 7 5\n1:x\n;\n");
	text_clear(&b.log);
	text_clear(&b.out);
	bench_in(&b, "DUM 8 2\n2:cd\n;\nDUM 7 0\n1:x\n;\n");
	want_log(&b, "data 1@2 [cd] first last\nfault 4 DUM\n");
	want_out(&b, "");
	bench_free(&b);
}

/* --- the original --- */

/* 11.7, 2.4: one AMS */
static void test_second_ams(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "AMS 7;\n");
	want_violation(&b, "7", "AMS", OCP_FAULT_AM_ORDER);
	bench_free(&b);
}

/* 11.7: a message is refused with AME 400, and so the transaction ends */
static void test_ams_refused(void **state)
{
	struct bench b;

	connect_plain(&b);
	b.refuse_am = 1;
	bench_in(&b, "TS 7 1;\nAMS 7;\nDUM 7 0\n1:x\n;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nam_start 1 [] kind=3\nxaction_end 1\nfault 4 DUM\n");
	want_out(&b, "AME 7 {400};\nTE 7 {400};\n");
	bench_free(&b);
}

/* 11.9: data without gap or overlap, empty payloads included */
static void test_dum(void **state)
{
	uint64_t n;
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DUM 7 0\nModp: 20\n\n5:hello\n;\nDUM 7 5\n0:\n;\nDUM 7 5\nAs-is: 3\n\n2:!!\n;\n");
	want_log(&b, "data 1@0 [hello] first last modp=20\ndata 1@5 [] first last\ndata 1@5 [!!] first last\n");
	assert_true(ocp_server_received(b.s, 7, &n));
	assert_int_equal(n, 7);
	bench_in(&b, "AME 7;\n");
	want_log(&b, "original_end ok\n");
	bench_free(&b);
}

static void violation_of(const char *text, const char *msg, enum ocp_fault f)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DUM 7 0\n5:hello\n;\n");
	text_clear(&b.log);
	bench_in(&b, text);
	want_violation(&b, "7", msg, f);
	bench_free(&b);
}

static void test_gap_and_overlap(void **state)
{
	violation_of("DUM 7 6\n1:x\n;\n", "DUM", OCP_FAULT_OFFSET);
	violation_of("DUM 7 4\n1:x\n;\n", "DUM", OCP_FAULT_OFFSET);
	violation_of("DUM 7 0\n0:\n;\n", "DUM", OCP_FAULT_OFFSET);
	violation_of("DUM 7 2147483647\n1:x\n;\n", "DUM", OCP_FAULT_OFFSET);
}

/* 11.9: DUM without payload; 10: wrong types: the transaction ends, the connection goes on */
static void test_invalid_parameters(void **state)
{
	violation_of("DUM 7 5;\n", "DUM", OCP_FAULT_MALFORMED);
	violation_of("DUM 7\n1:x\n;\n", "DUM", OCP_FAULT_MALFORMED);
	violation_of("DUM 7 five\n1:x\n;\n", "DUM", OCP_FAULT_MALFORMED);
	violation_of("DUM 7 2147483648\n1:x\n;\n", "DUM", OCP_FAULT_MALFORMED);
	violation_of("DUM 7 5\nModp: 101\n\n1:x\n;\n", "DUM", OCP_FAULT_MALFORMED);
	violation_of("DUM 7 5\nModp: 1\nModp: 1\n\n1:x\n;\n", "DUM", OCP_FAULT_MALFORMED);
	violation_of("AME 7 400;\n", "AME", OCP_FAULT_MALFORMED);
	violation_of("DWP 7 05;\n", "DWP", OCP_FAULT_MALFORMED);
}

/* 11.8: data and a second end after the end; data and an end before the beginning */
static void test_message_order(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "AME 7;\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 7 0\n1:x\n;\n");
	want_violation(&b, "7", "DUM", OCP_FAULT_AFTER_END);
	bench_free(&b);
	open_plain(&b);
	bench_in(&b, "AME 7;\n");
	text_clear(&b.log);
	bench_in(&b, "AME 7;\n");
	want_violation(&b, "7", "AME", OCP_FAULT_AM_ORDER);
	bench_free(&b);
	for (int i = 0; i < 2; i++) {
		connect_plain(&b);
		bench_in(&b, "TS 7 1;\n");
		text_clear(&b.log);
		bench_in(&b, i ? "AME 7;\n" : "DUM 7 0\n1:x\n;\n");
		want_violation(&b, "7", i ? "AME" : "DUM", OCP_FAULT_AM_ORDER);
		bench_free(&b);
	}
}

/* 10.3: no dataflow is longer than 2147483647 octets */
static void test_2g(void **state)
{
	static char mega[1048576 + 64];
	uint64_t at = 0;
	struct bench b;

	open_adapted(&b);
	b.ops_quiet = true;
	while (at + 1048576 <= INT32_MAX) {
		int n = snprintf(mega, sizeof(mega), "DUM 7 %llu\r\n1048576:", (unsigned long long)at);

		assert_int_equal(ocp_server_input(b.s, mega, (size_t)n, NULL, 0), 0);
		assert_int_equal(ocp_server_input(b.s, mega, 1048576, NULL, 0), 0);
		assert_int_equal(ocp_server_input(b.s, OCP_TAIL, OCP_TAIL_LEN, NULL, 0), 0);
		assert_int_equal(ocp_server_data(b.s, 7, 2, mega, 1048576, NULL, NULL), 0);
		at += 1048576;
	}
	b.ops_quiet = false;
	assert_int_equal(at, 2146435072);
	assert_int_equal(ocp_server_data(b.s, 7, 2, mega, 1048576, NULL, NULL), -EFBIG);
	want_out(&b, "");
	want_log(&b, "");
	bench_in(&b, "DUM 7 2146435072\n0:\n;\n");
	want_log(&b, "data 1@2146435072 [] first last\n");
	snprintf(mega, sizeof(mega), "DUM 7 2146435072\r\n1048576:");
	ocp_server_input(b.s, mega, strlen(mega), NULL, 0);
	want_logf(&b, "fault %d DUM\nxaction_end 2 fault=%d\n", OCP_FAULT_RANGE_2G, OCP_FAULT_RANGE_2G);
	bench_free(&b);
}

/* 11.8: 206 that nobody asked for is not the whole message; unknown codes are failures (10.10) */
static void test_ame_results(void **state)
{
	static const char *const in[] = {"AME 7;\n", "AME 7 {200};\n", "AME 7 {206};\n", "AME 7 {400 \"2:no\"};\n",
					 "AME 7 {777};\n"};
	static const char *const log[] = {"original_end ok\n", "original_end ok {200}\n", "original_end bad {206}\n",
					  "original_end bad {400 no}\n", "original_end bad {777}\n"};
	struct bench b;

	for (size_t i = 0; i < 5; i++) {
		open_plain(&b);
		bench_in(&b, in[i]);
		want_log(&b, log[i]);
		want_out(&b, "");
		bench_free(&b);
	}
}

/* 8.1: an end that we asked for is a good one */
static void test_stop_receiving(void **state)
{
	struct bench b;

	open_adapted(&b);
	assert_int_equal(ocp_server_stop_receiving(b.s, 7, 2147483648), -EINVAL);
	assert_int_equal(ocp_server_stop_receiving(b.s, 7, 5), 0);
	want_out(&b, "DWSR 7 5;\n");
	bench_in(&b, "DUM 7 0\n5:hello\n;\nAME 7 {206};\n");
	want_log(&b, "data 1@0 [hello] first last\noriginal_end ok partial {206}\n");
	assert_int_equal(ocp_server_stop_receiving(b.s, 7, 9), -ENOENT);
	assert_int_equal(ocp_server_data(b.s, 7, 2, "all of it", 9, NULL, NULL), 0); /* the adapted message goes on */
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	want_out(&b, "DUM 7 0\n9:all of it\n;\nAME 7;\nTE 7;\n");
	bench_free(&b);
}

/* 11.15 - 11.17: we ask for a pause at once, are told, ask for more; we do not rely on it */
static void test_pause_of_the_original(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DUM 7 0\n5:hello\n;\n");
	text_clear(&b.log);
	assert_int_equal(ocp_server_pause(b.s, 7), 0);
	want_out(&b, "DWP 7 5;\n");
	bench_in(&b, "DUM 7 5\n1:x\n;\nDPM 7;\n"); /* data under way is taken */
	want_log(&b, "data 1@5 [x] first last\npaused\n");
	bench_in(&b, "DUM 7 6\n1:y\n;\n");
	want_logf(&b, "fault %d DUM\ndata 1@6 [y] first last\n", OCP_FAULT_WHILE_PAUSED);
	assert_int_equal(ocp_server_need(b.s, 7, 4096), 0);
	assert_int_equal(ocp_server_need(b.s, 7, 0), 0); /* without a pause, too */
	want_out(&b, "DWM 7\nSize-request: 4096\n;\nDWM 7;\n");
	bench_in(&b, "DUM 7 7\n1:z\n;\nAME 7;\n");
	want_log(&b, "data 1@7 [z] first last\noriginal_end ok\n");
	assert_int_equal(ocp_server_pause(b.s, 7), -ENOENT);
	bench_free(&b);
}

/* --- progress --- */

/* 11.23: xid while working on it, Org-Data while the original is open */
static void test_pa(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "PQ;\nPQ 7;\nDUM 7 0\n5:hello\n;\nPQ 7;\nAME 7;\nPQ 7;\nPQ 99;\n");
	want_out(&b, "PA;\nPA 7\nOrg-Data: 0\n;\nPA 7\nOrg-Data: 5\n;\nPA 7;\nPA;\n");
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	bench_in(&b, "PQ 7;\n");
	want_out(&b, "TE 7;\nPA;\n");
	bench_free(&b);
}

/* 11.24: progress is reported at any time, by the same rules */
static void test_pr(void **state)
{
	struct bench b;

	open_plain(&b);
	bench_in(&b, "DUM 7 0\n5:hello\n;\n");
	assert_int_equal(ocp_server_working(b.s, 7), 0);
	assert_int_equal(ocp_server_ack(b.s, 7, 0, 5, false), 0);
	want_out(&b, "PR 7\nOrg-Data: 5\n;\nPR 7\nOrg-Data: 5\n;\n");
	bench_in(&b, "AME 7;\n");
	assert_int_equal(ocp_server_working(b.s, 7), 0);
	want_out(&b, "PR 7;\n");
	bench_free(&b);
}

/* <108> in core's words: a debugging mode that reports every DUM */
static void test_ack_all(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	cfg.ack_all = true;
	start_with(&b, &cfg);
	bench_in(&b, "CS;\nNO ();\nSGC 1 " SERVICES ";\nTS 7 1;\nAMS 7;\n");
	text_clear(&b.out);
	bench_in(&b, "DUM 7 0\n5:hello\n;\nDUM 7 5\n0:\n;\n");
	want_out(&b, "PR 7\nOrg-Data: 5\n;\nPR 7\nOrg-Data: 5\n;\n");
	bench_free(&b);
}

/* 11: messages of a callout server are unexpected from a processor, and ignored */
static void test_direction(void **state)
{
	static const char *const names[] = {"DUY 7 0 0", "DPI 7 0 0", "DWSR 7 0", "DWSS 7"};
	struct bench b;

	open_plain(&b);
	for (size_t i = 0; i < 4; i++) {
		char text[64], log[64];

		snprintf(text, sizeof(text), "%s;\n", names[i]);
		bench_in(&b, text);
		snprintf(log, sizeof(log), "fault 5 %.*s\n", (int)strcspn(names[i], " "), names[i]);
		want_log(&b, log);
	}
	want_out(&b, "");
	assert_int_equal(ocp_server_xactions(b.s), 1);
	bench_free(&b);
}

/* --- limits and calls from call-backs --- */

/* 5: resources that run out make the message invalid */
static void test_xactions_max(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b;

	cfg.xactions_max = 2;
	start_with(&b, &cfg);
	bench_in(&b, "CS;\nNO ();\nSGC 1 " SERVICES ";\nTS 1 1;\nTS 2 1;\n");
	forget_all(&b);
	bench_in(&b, "TS 3 1;\n");
	want_refusal(&b, "3", "TS", OCP_FAULT_LIMIT);
	ocp_server_xaction_end(b.s, 1, false, NULL);
	bench_in(&b, "TS 4 1;\n");
	want_log(&b, "xaction_start 4 [u:s|]\n");
	bench_free(&b);
}

static void end_everywhere(struct bench *b, const char *where)
{
	if (ocp_server_over(b->s) == OCP_END_NONE)
		ocp_server_xaction_end(b->s, 7, false, NULL);
}

static void test_end_in_callbacks(void **state)
{
	static const char *const in[] = {
		"DUM 7 0\n4:0123\n;\n", "DUM 7 0\n0:\n;\n", "AME 7;\n", "DWM 7;\n",
	};
	struct bench b;

	for (size_t i = 0; i < 4; i++) {
		open_adapted(&b);
		b.inside = end_everywhere;
		bench_in(&b, in[i]);
		want_out(&b, "AME 7;\nTE 7;\n");
		assert_int_equal(ocp_server_xactions(b.s), 0);
		bench_free(&b);
	}
	open_adapted(&b);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, 2), 1);
	text_clear(&b.out);
	b.inside = end_everywhere;
	bench_in(&b, "DSS 7;\n");
	want_out(&b, "AME 7;\nTE 7;\n");
	bench_free(&b);
	connect_plain(&b);
	b.inside = end_everywhere;
	bench_in(&b, "TS 7 1;\nAMS 7;\n");
	want_out(&b, "TE 7;\n");
	bench_free(&b);
}

/* 11.2: the end of the connection ends every transaction */
static void test_connection_ends_transactions(void **state)
{
	struct bench b;

	open_adapted(&b);
	bench_in(&b, "TS 8 1;\n");
	text_clear(&b.log);
	bench_in(&b, "CE;\n");
	want_log(&b, "xaction_end 5 conn=2\nxaction_end 5 conn=2\nclosed 2\n");
	want_out(&b, "");
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ts_begins),
		cmocka_unit_test(test_ts_refused),
		cmocka_unit_test(test_xid_order),
		cmocka_unit_test(test_xids_used_up),
		cmocka_unit_test(test_unknown_xid),
		cmocka_unit_test(test_ts_group),
		cmocka_unit_test(test_sgd_keeps_transactions),
		cmocka_unit_test(test_te_failure),
		cmocka_unit_test(test_te_of_processor_leaves_the_rest),
		cmocka_unit_test(test_slow_after_te_of_processor),
		cmocka_unit_test(test_nothing_after_te),
		cmocka_unit_test(test_te_without_ame),
		cmocka_unit_test(test_te_of_nothing),
		cmocka_unit_test(test_ends_are_explicit),
		cmocka_unit_test(test_others_go_on),
		cmocka_unit_test(test_second_ams),
		cmocka_unit_test(test_ams_refused),
		cmocka_unit_test(test_dum),
		cmocka_unit_test(test_gap_and_overlap),
		cmocka_unit_test(test_invalid_parameters),
		cmocka_unit_test(test_message_order),
		cmocka_unit_test(test_2g),
		cmocka_unit_test(test_ame_results),
		cmocka_unit_test(test_stop_receiving),
		cmocka_unit_test(test_pause_of_the_original),
		cmocka_unit_test(test_pa),
		cmocka_unit_test(test_pr),
		cmocka_unit_test(test_ack_all),
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_xactions_max),
		cmocka_unit_test(test_end_in_callbacks),
		cmocka_unit_test(test_connection_ends_transactions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
