/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent, core dialect, against raw input: transactions without an application profile (RFC 4037). */
#include "ocp/ocp_processor_core_bench.h"

/* --- one transaction: 4, 11.5 - 11.8 --- */

static void test_whole_transaction(void **state)
{
	struct bench b;
	uint32_t xid;

	adapted(&b);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	want_out(&b, "AME 1;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "x", false), -EPIPE);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), -EPIPE);
	bench_in(&b, "DUM 1 2\nModp: 0\n\n3:cde\n;\nDUM 1 5\n0:\n;\nAME 1;\n");
	want_logf(&b, "data 2@2 [cde] first last modp=0\ndata 2@5 [] first last\nam_end 2 ok\nxaction_end %d\n",
		  OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n"); /* both messages are over: at once [11.6] */
	bench_in(&b, "TE 1;\n"); /* the peer's own is no fault, and not waited for */
	want_log(&b, "");
	want_out(&b, ""); /* each side says it once */
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
	assert_int_equal(xid, 2); /* higher, never again 1 [10.2] */
	want_out(&b, "TS 2 1;\nAMS 2;\n");
	bench_free(&b);
}

static void both_messages_over(struct bench *b)
{
	adapted(b);
	bench_in(b, "AME 1 {200 \"2:ok\"};\n");
	want_log(b, "am_end 2 ok {200 ok}\n");
	want_out(b, "");
	assert_int_equal(ocp_processor_data_end(b->p, 1, true, 0), 0);
	want_out(b, "AME 1;\nTE 1;\n");
	want_log(b, ""); /* not from within a call */
	assert_int_equal(ocp_processor_next_deadline(b->p), 0);
}

static void test_te_of_ours_lets_the_peer_finish(void **state)
{
	struct bench b;

	both_messages_over(&b);
	assert_int_equal(ocp_processor_working(b.p, 1), -EPIPE); /* nothing more of ours names it */
	assert_int_equal(ocp_processor_am_pause(b.p, 1, 0), -EPIPE);
	assert_int_equal(ocp_processor_am_need(b.p, 1, 0), -EPIPE);
	want_out(&b, "");
	bench_in(&b, "DPI 1 0 0;\nPQ 1;\nDWSS 1;\nDWP 1 0;\nDWSR 1 0;\n"); /* still valid from the peer */
	want_out(&b, "PA;\n");
	want_logf(&b, "wont_forward 0+10\nxaction_end %d\n", OCP_XEND_NORMAL);
	bench_in(&b, "TE 1;\n");
	want_log(&b, "");
	bench_free(&b);

	both_messages_over(&b); /* one that lets the first TE end it sends none */
	ocp_processor_tick(b.p, 0);
	want_logf(&b, "xaction_end %d\n", OCP_XEND_NORMAL);
	want_out(&b, "");
	bench_free(&b);

	both_messages_over(&b);
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, false, NULL), 0); /* the owner was quicker */
	ocp_processor_tick(b.p, 0);
	want_log(&b, "");
	want_out(&b, "");
	bench_free(&b);

	both_messages_over(&b); /* the peer was: its word counts */
	bench_in(&b, "TE 1 {400};\n");
	want_logf(&b, "xaction_end %d {400}\n", OCP_XEND_REFUSED);
	want_out(&b, "");
	bench_free(&b);
}

static void test_te_of_the_peer_is_answered(void **state)
{
	struct bench b;

	original(&b); /* zero adapted messages */
	bench_in(&b, "TE 1;\n");
	want_logf(&b, "xaction_end %d\n", OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n");
	bench_in(&b, "TE 1;\n");
	want_out(&b, "");
	assert_int_equal(put(&b, OCP_PART_NONE, "x", false), -ENOENT);
	bench_free(&b);

	adapted(&b); /* refused, in the middle of everything */
	bench_in(&b, "TE 1 {400 \"2:no\"};\n");
	want_logf(&b, "am_end 2 bad {400 no}\nxaction_end %d {400 no}\n", OCP_XEND_REFUSED);
	want_out(&b, "TE 1;\n");
	bench_free(&b);

	original(&b); /* a code not known in this place is 400 [10.10] */
	bench_in(&b, "TE 1 {206};\n");
	want_logf(&b, "xaction_end %d {206}\n", OCP_XEND_REFUSED);
	bench_free(&b);
	original(&b);
	bench_in(&b, "TE 1 {299};\n");
	want_logf(&b, "xaction_end %d {299}\n", OCP_XEND_REFUSED);
	bench_free(&b);
}

static void test_te_without_ame(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "TE 1;\n"); /* what there is of the message is not said to be all of it */
	want_te(&b, OCP_FAULT_AM_ORDER, "TE", true);
}

static void test_owner_ends_transaction(void **state)
{
	struct bench b;
	const struct ocp_result r = {400, OCP_STR("gone")};

	original(&b);
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, false, NULL), 0);
	want_out(&b, "AME 1 {206};\nTE 1;\n"); /* ends are said, not implied */
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, false, NULL), -ENOENT);
	bench_free(&b);
	original(&b);
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, &r), 0);
	want_out(&b, "TE 1 {400 \"4:gone\"};\n");
	want_log(&b, "");
	bench_free(&b);
	original(&b);
	assert_int_equal(ocp_processor_data_end(b.p, 1, false, 0), 0);
	want_out(&b, "AME 1 {400};\n");
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, NULL), 0);
	want_out(&b, "TE 1 {400};\n");
	bench_free(&b);
	adapted(&b);
	assert_int_equal(ocp_processor_am_abort(b.p, 1, 2), -ENOTSUP);
	bench_free(&b);
}

static void test_ams(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "AMS 1\nServices: ({\"3:u:s\"},{\"3:u:t\" x})\nAM-EL: 7\n;\n"); /* AM-EL: no profile, no meaning */
	want_log(&b, "");
	bench_in(&b, "DUM 1 0\n1:a\n;\n");
	want_log(&b, "am_start 2 kind=0 services=2({\"3:u:s\"},{\"3:u:t\" x})\ndata 2@0 [a] first last\n");
	bench_in(&b, "AMS 1;\n"); /* one adapted message each [2.6] */
	want_te(&b, OCP_FAULT_AM_ORDER, "AMS", true);
}

static void test_ame(void **state)
{
	struct bench b;

	original(&b); /* an empty adapted message */
	bench_in(&b, "AMS 1;\nAME 1;\n");
	want_log(&b, "am_start 2 kind=0\nam_end 2 ok\n");
	bench_free(&b);

	adapted(&b); /* failed: the transaction goes on until TE */
	bench_in(&b, "AME 1 {400};\n");
	want_log(&b, "am_end 2 bad {400}\n");
	want_out(&b, "");
	bench_in(&b, "AME 1;\n"); /* a second end */
	want_400(&b, "TE 1", OCP_FAULT_AM_ORDER);
	want_logf(&b, "fault %d AME\nxaction_end %d fault=%d\n", OCP_FAULT_AM_ORDER, OCP_XEND_VIOLATION,
		  OCP_FAULT_AM_ORDER);
	bench_free(&b);

	adapted(&b); /* unknown code: failure */
	bench_in(&b, "AME 1 {201};\n");
	want_log(&b, "am_end 2 bad {201}\n");
	bench_free(&b);
}

static void test_ame_refuses_original(void **state)
{
	struct bench b;

	original(&b); /* before AMS it cannot be about anything else [11.7] */
	bench_in(&b, "AME 1 {400 \"2:no\"};\n");
	want_logf(&b, "xaction_end %d {400 no}\n", OCP_XEND_REFUSED);
	want_out(&b, "TE 1;\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "AME 1;\n");
	want_te(&b, OCP_FAULT_AM_ORDER, "AME", false);
	original(&b);
	bench_in(&b, "AME 1 {206};\n");
	want_te(&b, OCP_FAULT_AM_ORDER, "AME", false);
}

static void test_flow_outside_of_its_message(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "DUM 1 0\n1:a\n;\n");
	want_te(&b, OCP_FAULT_AM_ORDER, "DUM", false);
	original(&b);
	bench_in(&b, "DUY 1 0 1;\n");
	want_te(&b, OCP_FAULT_AM_ORDER, "DUY", false);
	adapted(&b);
	bench_in(&b, "AME 1;\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 1 2\n1:a\n;\n");
	want_te(&b, OCP_FAULT_AFTER_END, "DUM", false);
	adapted(&b);
	bench_in(&b, "AME 1;\n");
	text_clear(&b.log);
	bench_in(&b, "DUY 1 0 1;\n");
	want_te(&b, OCP_FAULT_AFTER_END, "DUY", false);
}

/* --- DUM: 11.9 --- */

static void test_gaps_and_overlaps(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "DUM 1 3\n1:c\n;\n");
	want_te(&b, OCP_FAULT_OFFSET, "DUM", true);
	adapted(&b);
	bench_in(&b, "DUM 1 1\n1:c\n;\n");
	want_te(&b, OCP_FAULT_OFFSET, "DUM", true);
	original(&b);
	bench_in(&b, "AMS 1;\nDUM 1 1\n1:c\n;\n"); /* the first octet is 0 [10.4]; nobody has heard of the message */
	want_te(&b, OCP_FAULT_OFFSET, "DUM", false);
	adapted(&b); /* DUM and DUY count together */
	bench_in(&b, "DUY 1 0 4;\nDUM 1 6\n1:c\n;\n");
	want_log(&b, "as_is 2@2 from 0+4\ndata 2@6 [c] first last\n");
	bench_free(&b);
}

static void test_as_is_hint(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "DUM 1 2\nAs-is: 8\n\n2:cd\n;\n");
	want_log(&b, "data 2@2 [cd] first last\n");
	bench_in(&b, "DUM 1 4\nAs-is: 9\n\n2:ef\n;\n"); /* not sent: invalid, and ignored */
	want_logf(&b, "fault %d DUM\ndata 2@4 [ef] first last\n", OCP_FAULT_AS_IS_OFFSET);
	want_out(&b, "");
	bench_free(&b);
}

static void test_payload_in_slices(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "AMS 1;\nDUM 1 0\n5:ab");
	bench_in(&b, "cde");
	bench_in(&b, "\n;\n");
	want_log(&b, "am_start 2 kind=0\ndata 2@0 [ab] first\ndata 2@2 [cde] last\n");
	bench_free(&b);
}

static void test_two_gigabytes(void **state)
{
	struct ocp_processor_config cfg = core_config();
	static uint8_t big[1 << 20];
	struct bench b;
	uint32_t xid;
	int rc = 0;

	connected_cfg(&b, &cfg);
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
	for (int i = 0; i < 2047; i++) {
		rc |= ocp_processor_data(b.p, 1, big, sizeof(big), NULL, NULL, 0);
		text_clear(&b.out);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(ocp_processor_data(b.p, 1, big, sizeof(big), NULL, NULL, 0), -EOVERFLOW);
	want_out(&b, "");
	assert_int_equal(ocp_processor_data(b.p, 1, big, sizeof(big) - 1, NULL, NULL, 0), 0); /* 2147483647 octets */
	assert_int_equal(ocp_processor_data(b.p, 1, big, 1, NULL, NULL, 0), -EOVERFLOW);
	text_clear(&b.out);
	bench_in(&b, "PQ 1;\n");
	want_out(&b, "PA 1\nOrg-Data: 2147483647\n;\n");
	bench_free(&b);
}

static void test_adapted_past_two_gigabytes(void **state)
{
	static uint8_t big[1 << 20];
	struct bench b;
	struct ocp_send s = OCP_SEND_INIT;

	original(&b);
	s.copied = true;
	for (int i = 0; i < 1024; i++) {
		assert_int_equal(ocp_processor_data(b.p, 1, big, sizeof(big), NULL, &s, 0), 0);
		text_clear(&b.out);
	}
	bench_in(&b, "AMS 1;\nDUY 1 0 1073741824;\nDUY 1 0 1073741823;\n");
	forget(&b);
	bench_in(&b, "DUY 1 0 1;\n");
	want_te(&b, OCP_FAULT_RANGE_2G, "DUY", true);
}

static void test_attributes_of_data(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct ocp_send s = OCP_SEND_INIT;
	struct ocp_start st = OCP_START_INIT;
	struct bench b;
	uint32_t xid;

	cfg.limits.payload = 4;
	connected_cfg(&b, &cfg);
	st.service = &service;
	st.modp = 50;
	st.am_el = 9; /* no profile: AM-EL is not defined */
	st.meta = OCP_STR("not sent");
	st.sizep = 9;
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), 0);
	want_out(&b, "SGC 1 ({\"3:u:s\"});\nTS 1 1;\nAMS 1;\n");
	s.copied = true;
	s.ack = true;
	s.sizep = 3;
	s.part = OCP_PART_REQUEST_BODY;
	assert_int_equal(ocp_processor_data(b.p, 1, "012345", 6, NULL, &s, 0), 0); /* Modp once, Kept grows */
	want_out(&b, "DUM 1 0\nModp: 50\nKept: {0 4}\n\n4:0123\n;\nDUM 1 4\nKept: {0 6}\n\n2:45\n;\n");
	assert_int_equal(ocp_processor_data(b.p, 1, NULL, 0, NULL, NULL, 0), 0);
	want_out(&b, "DUM 1 6\n0:\n;\n");
	assert_int_equal(ocp_processor_data(b.p, 1, NULL, 5, NULL, NULL, 0), -EINVAL);
	s.modp = 101;
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, &s, 0), -EINVAL);
	st.modp = 101;
	assert_int_equal(ocp_processor_xaction_start(b.p, &st, NULL, &xid, 0), -EINVAL);
	bench_free(&b);
}

/* --- preservation: 7, 11.9 - 11.11 --- */

static void test_kept_is_one_range(void **state)
{
	struct bench b;
	uint64_t from, to;

	original(&b); /* 0-10 */
	assert_int_equal(put(&b, OCP_PART_NONE, "ab", true), 0);
	want_out(&b, "DUM 1 10\nKept: {0 12}\n\n2:ab\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "cd", false), 0);
	want_out(&b, "DUM 1 12\n2:cd\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "ef", true), 0); /* would make a gap: goes without */
	want_out(&b, "DUM 1 14\n2:ef\n;\n");
	assert_true(ocp_processor_kept(b.p, 1, &from, &to));
	assert_int_equal(from, 0);
	assert_int_equal(to, 12);
	bench_in(&b, "AMS 1;\nDUY 1 2 10;\n");
	want_log(&b, "am_start 2 kind=0\nas_is 2@0 from 2+10\n");
	bench_in(&b, "DUY 1 11 2;\n"); /* not all of it is kept */
	want_te(&b, OCP_FAULT_AS_IS, "DUY", true);
}

static void test_duy(void **state)
{
	struct bench b;

	adapted(&b); /* any order, any number of times */
	bench_in(&b, "DUY 1 5 5;\nDUY 1 0 10;\nDUY 1 0 10;\nDUY 1 4 0;\nDUM 1 27\n1:z\n;\n");
	want_log(&b, "as_is 2@2 from 5+5\nas_is 2@7 from 0+10\nas_is 2@17 from 0+10\n"
		     "data 2@27 [z] first last\n");
	bench_in(&b, "DUY 1 9 2;\n"); /* past what was sent */
	want_te(&b, OCP_FAULT_AS_IS, "DUY", true);
	adapted(&b);
	bench_in(&b, "DUY 1 2147483647 1;\n");
	want_te(&b, OCP_FAULT_AS_IS, "DUY", true);
	connected(&b);
	begin(&b, OCP_FEATURE_MAX, &(uint32_t){0});
	put(&b, OCP_PART_NONE, "0123", false); /* nothing kept */
	forget(&b);
	bench_in(&b, "AMS 1;\nDUY 1 0 4;\n");
	want_te(&b, OCP_FAULT_AS_IS, "DUY", false);
}

static void test_commitment_lasts(void **state)
{
	struct bench b;

	adapted(&b); /* DUM, DUY, DWSR and the original's end do not end it [7, 11.9, 11.10, 11.12] */
	bench_in(&b, "DUY 1 0 4;\nDUM 1 6\n2:cd\n;\nDWSR 1 0;\nDUY 1 0 10;\n");
	want_log(&b, "as_is 2@2 from 0+4\ndata 2@6 [cd] first last\noriginal_end\nas_is 2@8 from 0+10\n");
	bench_free(&b);
	adapted(&b);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	bench_in(&b, "DUY 1 0 10;\n");
	want_log(&b, "as_is 2@2 from 0+10\n");
	bench_free(&b);
}

static void test_dpi(void **state)
{
	struct bench b;
	uint64_t from, to;

	adapted(&b);
	bench_in(&b, "DPI 1 0 2147483647;\n"); /* everything */
	want_log(&b, "");
	bench_in(&b, "DPI 1 4 2147483647;\n");
	want_log(&b, "wont_forward 0+4\n");
	bench_in(&b, "DPI 1 4 11;\n"); /* up to 15, of which 10 have been sent */
	want_log(&b, "");
	assert_true(ocp_processor_kept(b.p, 1, &from, &to));
	assert_int_equal(from, 4);
	assert_int_equal(to, 10);
	assert_int_equal(put(&b, OCP_PART_NONE, "abcdefghij", true), 0); /* no more is promised than is wanted */
	want_out(&b, "DUM 1 10\nKept: {4 11}\n\n10:abcdefghij\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "k", true), 0);
	want_out(&b, "DUM 1 20\n1:k\n;\n");
	bench_in(&b, "DUY 1 4 11;\n");
	want_log(&b, "as_is 2@2 from 4+11\n");
	bench_in(&b, "DPI 1 5 4;\n");
	want_log(&b, "wont_forward 4+1\nwont_forward 9+6\n");
	bench_in(&b, "DUY 1 4 1;\n"); /* disposable */
	want_te(&b, OCP_FAULT_AS_IS, "DUY", true);
}

static void test_dpi_nothing(void **state)
{
	struct bench b;
	uint64_t from, to;

	adapted(&b);
	bench_in(&b, "DPI 1 100 0;\n"); /* no DUY any more */
	want_log(&b, "wont_forward 0+10\n");
	assert_false(ocp_processor_kept(b.p, 1, &from, &to));
	assert_int_equal(put(&b, OCP_PART_NONE, "ab", true), 0); /* and nothing is kept any more */
	want_out(&b, "DUM 1 10\n2:ab\n;\n");
	bench_in(&b, "DPI 1 0 0;\n");
	want_log(&b, "");
	bench_in(&b, "DPI 1 0 1;\n"); /* reusable data must not grow */
	want_te(&b, OCP_FAULT_INTEREST, "DPI", true);
}

static void test_dpi_grows(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "DPI 1 4 4;\n");
	text_clear(&b.log);
	bench_in(&b, "DPI 1 3 4;\n");
	want_te(&b, OCP_FAULT_INTEREST, "DPI", true);
	adapted(&b);
	bench_in(&b, "DPI 1 4 4;\n");
	text_clear(&b.log);
	bench_in(&b, "DPI 1 4 5;\n");
	want_te(&b, OCP_FAULT_INTEREST, "DPI", true);
}

static void test_dpi_of_what_comes_later(void **state)
{
	struct bench b;
	uint64_t from, to;

	original(&b);
	bench_in(&b, "DPI 1 12 2;\n");
	want_log(&b, "wont_forward 0+10\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "abcdef", true), 0);
	want_out(&b, "DUM 1 10\nKept: {12 2}\n\n6:abcdef\n;\n");
	assert_true(ocp_processor_kept(b.p, 1, &from, &to));
	assert_int_equal(from, 12);
	bench_free(&b);
}

/* --- early ends: 8, 11.12 - 11.14 --- */

static void test_dwsr(void **state)
{
	struct bench b;

	adapted(&b); /* enough has been sent */
	bench_in(&b, "DWSR 1 10;\n");
	want_out(&b, "AME 1 {206};\n");
	want_log(&b, "original_end\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "x", false), -EPIPE);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), -EPIPE);
	assert_false(ocp_processor_wanted(b.p, 1));
	bench_in(&b, "DWSR 1 10;\nDWP 1 0;\nDWM 1;\n"); /* nothing left to ask for */
	want_log(&b, "");
	bench_in(&b, "DUM 1 2\n2:cd\n;\nAME 1;\nTE 1;\n"); /* the adapted message goes on to its own end */
	want_logf(&b, "data 2@2 [cd] first last\nam_end 2 ok\nxaction_end %d\n", OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n");
	bench_free(&b);

	adapted(&b); /* at least so many octets */
	bench_in(&b, "DWSR 1 13;\n");
	want_out(&b, "");
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_NONE), 3);
	assert_int_equal(put(&b, OCP_PART_NONE, "ab", false), 0);
	want_out(&b, "DUM 1 10\n2:ab\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "cde", false), 0);
	want_out(&b, "DUM 1 12\n3:cde\n;\nAME 1 {206};\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "f", false), -EPIPE);
	want_log(&b, ""); /* not from within a call */
	assert_int_equal(ocp_processor_next_deadline(b.p), 0);
	ocp_processor_tick(b.p, 0);
	want_log(&b, "original_end\n");
	ocp_processor_tick(b.p, 0);
	want_log(&b, "");
	bench_free(&b);

	adapted(&b); /* ends by itself before */
	bench_in(&b, "DWSR 1 13;\n");
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	want_out(&b, "AME 1;\n");
	bench_free(&b);
}

static void test_dwss(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "DWSS 1;\n");
	want_out(&b, "DSS 1;\n");
	want_log(&b, "pause\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "xy", false), -EAGAIN); /* nothing is sent that would have to be rebuilt */
	bench_in(&b, "DWSS 1;\nDWM 1;\n");
	want_out(&b, "");
	want_log(&b, "");
	assert_int_equal(put(&b, OCP_PART_NONE, "xy", false), -EAGAIN);
	bench_in(&b, "DUM 1 2\n2:cd\n;\nAME 1 {206};\n"); /* what it made of the data before DSS comes first */
	want_log(&b, "data 2@2 [cd] first last\nleft 2 rest=10\nam_end 2 ok left {206}\nneed resumed 0 0\n");
	assert_true(ocp_processor_wanted(b.p, 1)); /* a logging service reads on [8.2] */
	assert_int_equal(put(&b, OCP_PART_NONE, "xy", false), 0);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	want_out(&b, "DUM 1 10\n2:xy\n;\nAME 1;\nTE 1;\n");
	bench_in(&b, "TE 1;\n");
	want_logf(&b, "xaction_end %d\n", OCP_XEND_NORMAL);
	bench_free(&b);
}

static void test_out_of_the_loop(void **state)
{
	struct bench b;

	adapted(&b); /* 8.3: DWSS, then DWSR, at once */
	bench_in(&b, "DWSS 1;\nDWSR 1 0;\n");
	want_out(&b, "DSS 1;\nAME 1 {206};\n"); /* in this order */
	want_log(&b, "pause\noriginal_end\n");
	bench_in(&b, "AME 1 {206};\nTE 1;\n");
	want_logf(&b, "left 2 rest=10\nam_end 2 ok left {206}\nxaction_end %d\n", OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n");
	bench_free(&b);

	adapted(&b); /* AME 206 before more than was asked for has been sent: the rest is the owner's */
	bench_in(&b, "DWSS 1;\nDWSR 1 100;\n");
	want_out(&b, "DSS 1;\n");
	bench_in(&b, "AME 1 {206};\n");
	want_log(&b, "pause\nleft 2 rest=10\nam_end 2 ok left {206}\nneed resumed 0 0\n");
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_NONE), 90);
	bench_free(&b);
}

static void test_dwss_too_late(void **state)
{
	struct bench b;

	adapted(&b); /* the other order does not work: no DSS, the server goes on [8.3] */
	bench_in(&b, "DWSR 1 0;\nDWSS 1;\n");
	want_out(&b, "AME 1 {206};\n");
	text_clear(&b.log);
	bench_in(&b, "AME 1 {206};\n");
	want_te(&b, OCP_FAULT_STOP, "AME", true);

	adapted(&b); /* the original is complete: nothing is missing, DSS can be given */
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	bench_in(&b, "DWSS 1;\n");
	want_out(&b, "AME 1;\nDSS 1;\n");
	bench_in(&b, "AME 1 {206};\n");
	want_logf(&b, "left 2 rest=10\nam_end 2 ok left {206}\nxaction_end %d\n", OCP_XEND_NORMAL);
	want_out(&b, "TE 1;\n");
	bench_free(&b);

	adapted(&b); /* it has failed */
	assert_int_equal(ocp_processor_data_end(b.p, 1, false, 0), 0);
	bench_in(&b, "DWSS 1;\n");
	want_out(&b, "AME 1 {400};\n");
	bench_free(&b);
}

static void test_early_end_without_leave(void **state)
{
	struct bench b;

	adapted(&b); /* as if there had been no DWSS: the transaction ends with an error [11.13] */
	bench_in(&b, "AME 1 {206};\n");
	want_te(&b, OCP_FAULT_STOP, "AME", true);
}

static void test_complete_after_dss(void **state)
{
	struct bench b;

	adapted(&b); /* DSS crossed the regular end */
	bench_in(&b, "DWSS 1;\nAME 1;\n");
	want_log(&b, "pause\nam_end 2 ok\nneed resumed 0 0\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "xy", false), 0);
	bench_free(&b);
	adapted(&b); /* paused as well: DSS' end does not end that */
	bench_in(&b, "DWP 1 0;\nDWSS 1;\nAME 1 {206};\n");
	want_log(&b, "pause\nleft 2 rest=10\nam_end 2 ok left {206}\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "xy", false), -EAGAIN);
	bench_in(&b, "DWM 1;\n");
	want_log(&b, "need resumed 0 0\n");
	bench_free(&b);
}

/* --- pauses: 11.15 - 11.17 --- */

static void test_dwp(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "DWP 1 3;\n"); /* already past it: at once */
	want_out(&b, "DPM 1;\n");
	want_log(&b, "pause\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "x", false), -EAGAIN);
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_NONE), 0);
	bench_in(&b, "DWM 1;\n");
	want_log(&b, "need resumed 0 0\n");
	want_out(&b, "");
	bench_in(&b, "DWM 1\nSize-request: 4096\n;\n"); /* also without a pause */
	want_log(&b, "need 0 4096\n");
	bench_in(&b, "DWP 1 12;\n"); /* ahead: when it is reached */
	want_out(&b, "");
	assert_int_equal(ocp_processor_room(b.p, 1, OCP_PART_NONE), 2);
	assert_int_equal(put(&b, OCP_PART_NONE, "a", false), 0);
	want_out(&b, "DUM 1 10\n1:a\n;\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "b", false), 0);
	want_out(&b, "DUM 1 11\n1:b\n;\nDPM 1;\n");
	want_log(&b, "");
	assert_int_equal(put(&b, OCP_PART_NONE, "c", false), -EAGAIN);
	bench_in(&b, "DWP 1 0;\n"); /* asked again: answered again */
	want_out(&b, "DPM 1;\n");
	want_log(&b, "");
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0); /* AME is not data */
	want_out(&b, "AME 1;\n");
	bench_in(&b, "DWP 1 0;\n");
	want_out(&b, "");
	bench_free(&b);
}

static void test_dwm_cancels_a_pause_ahead(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "DWP 1 12;\nDWM 1;\n");
	want_log(&b, "need 0 0\n");
	assert_int_equal(put(&b, OCP_PART_NONE, "abcd", false), 0);
	want_out(&b, "DUM 1 10\n4:abcd\n;\n");
	bench_free(&b);
}

static void test_pausing_the_adapted_flow(void **state)
{
	struct bench b;

	adapted(&b);
	assert_int_equal(ocp_processor_am_pause(b.p, 1, 5), 0);
	want_out(&b, "DWP 1 5;\n");
	bench_in(&b, "DUM 1 2\n3:cde\n;\nDPM 1;\n");
	want_log(&b, "data 2@2 [cde] first last\nam_paused\n");
	assert_int_equal(ocp_processor_am_need(b.p, 1, 100), 0);
	want_out(&b, "DWM 1\nSize-request: 100\n;\n");
	bench_in(&b, "DUM 1 5\n1:f\n;\n");
	want_log(&b, "data 2@5 [f] first last\n");
	assert_int_equal(ocp_processor_am_pause(b.p, 1, 0), 0);
	assert_int_equal(ocp_processor_am_need(b.p, 1, 0), 0);
	want_out(&b, "DWP 1 0;\nDWM 1;\n");
	bench_in(&b, "DPM 1;\n"); /* our DWM is behind it: ours again is harmless, silence would be for ever */
	want_out(&b, "DWM 1;\n");
	want_log(&b, "");
	bench_in(&b, "DUM 1 6\n1:g\n;\n");
	want_log(&b, "data 2@6 [g] first last\n");
	assert_int_equal(ocp_processor_am_pause(b.p, 1, 0), 0);
	text_clear(&b.out);
	bench_in(&b, "DPM 1;\n");
	text_clear(&b.log);
	bench_in(&b, "DUM 1 7\n1:h\n;\n"); /* against its promise */
	want_te(&b, OCP_FAULT_WHILE_PAUSED, "DUM", true);
}

/* --- limits, calls from inside --- */

static void test_limits(void **state)
{
	struct ocp_processor_config cfg = core_config();
	struct bench b;
	uint32_t xid;

	cfg.xactions_max = 1;
	cfg.ams_max = 0;
	original_cfg(&b, &cfg);
	assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), -EBUSY);
	bench_in(&b, "AMS 1;\nDUM 1 0\n1:a\n;\n"); /* no room for an adapted message */
	want_te(&b, OCP_FAULT_LIMIT, "DUM", false);
}

static void test_services_are_bounded(void **state)
{
	struct ocp_processor_config cfg = core_config();
	static char uri[60000];
	struct bench b;
	uint32_t xid;

	memset(uri, 'u', sizeof(uri) - 1);
	connected_cfg(&b, &cfg);
	for (int i = 0; i < 18; i++) { /* 17 would fit into 1 MiB */
		struct bench_text t = {0};

		assert_int_equal(begin(&b, OCP_FEATURE_MAX, &xid), 0);
		text_say(&t, "AMS %u\nServices: ({\"59999:", xid);
		text_put(&t, uri, sizeof(uri) - 1);
		text_say(&t, "\"})\n;\n");
		forget(&b);
		bench_in(&b, t.p);
		free(t.p);
	}
	want_400(&b, "TE 18", OCP_FAULT_LIMIT);
	assert_int_equal(ocp_processor_xactions(b.p), 17);
	bench_in(&b, "DUM 1 0\n1:a\n;\n"); /* told: they need not be kept any longer */
	begin(&b, OCP_FEATURE_MAX, &xid);
	forget(&b);
	bench_in(&b, "AMS 19\nServices: ({\"3:u:t\"})\n;\n");
	want_log(&b, "");
	bench_free(&b);
}

static const char *ends_at;

static void end_inside(struct bench *b, const char *where)
{
	if (!strcmp(where, ends_at))
		ocp_processor_xaction_end(b->p, 1, true, NULL);
}

static void test_calls_from_callbacks(void **state)
{
	const char *const where[] = {"am_start", "data", "as_is", "am_end", "left", "need"};

	for (unsigned i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		struct bench b;

		original(&b);
		ends_at = where[i];
		b.inside = end_inside;
		bench_in(&b, "AMS 1;\nDUM 1 0\n2:ab\n;\nDUY 1 0 4;\nDWSS 1;\nDWP 1 0;\nDWM 1;\nAME 1 {206};\nDWM 1;\nTE 1;\n");
		assert_null(ocp_processor_user(b.p, 1));
		assert_int_equal(ocp_processor_over(b.p), OCP_END_NONE);
		bench_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_transaction),
		cmocka_unit_test(test_te_of_ours_lets_the_peer_finish),
		cmocka_unit_test(test_te_of_the_peer_is_answered),
		cmocka_unit_test(test_te_without_ame),
		cmocka_unit_test(test_owner_ends_transaction),
		cmocka_unit_test(test_ams),
		cmocka_unit_test(test_ame),
		cmocka_unit_test(test_ame_refuses_original),
		cmocka_unit_test(test_flow_outside_of_its_message),
		cmocka_unit_test(test_gaps_and_overlaps),
		cmocka_unit_test(test_as_is_hint),
		cmocka_unit_test(test_payload_in_slices),
		cmocka_unit_test(test_two_gigabytes),
		cmocka_unit_test(test_adapted_past_two_gigabytes),
		cmocka_unit_test(test_attributes_of_data),
		cmocka_unit_test(test_kept_is_one_range),
		cmocka_unit_test(test_duy),
		cmocka_unit_test(test_commitment_lasts),
		cmocka_unit_test(test_dpi),
		cmocka_unit_test(test_dpi_nothing),
		cmocka_unit_test(test_dpi_grows),
		cmocka_unit_test(test_dpi_of_what_comes_later),
		cmocka_unit_test(test_dwsr),
		cmocka_unit_test(test_dwss),
		cmocka_unit_test(test_out_of_the_loop),
		cmocka_unit_test(test_dwss_too_late),
		cmocka_unit_test(test_early_end_without_leave),
		cmocka_unit_test(test_complete_after_dss),
		cmocka_unit_test(test_dwp),
		cmocka_unit_test(test_dwm_cancels_a_pause_ahead),
		cmocka_unit_test(test_pausing_the_adapted_flow),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_services_are_bounded),
		cmocka_unit_test(test_calls_from_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
