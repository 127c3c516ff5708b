/* SPDX-License-Identifier: BSD-3-Clause */
/* Processor agent against raw input: what a callout server may and may not send. */
#include "ocp/ocp_test_bench.h"

static const struct ocp_uri service = {.uri = {"u:s", 3}};

static struct ocp_send copied(void)
{
	struct ocp_send s = OCP_SEND_INIT;

	s.copied = true;
	return s;
}

static void start(struct bench *b, const struct ocp_processor_config *cfg)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(ocp_processor_create(&b->p, cfg, &bench_p_ops, b), 0);
}

static void connect_cfg(struct bench *b, const struct ocp_processor_config *cfg)
{
	start(b, cfg);
	assert_int_equal(ocp_processor_connect(b->p, OCP_STR(""), 0, b->now), 0);
	want_out(b, "connection-start;\n");
}

static int begin(struct ocp_processor *p, const struct ocp_uri *s, struct ocp_str meta, int64_t sizep,
		 int32_t modp, void *user, uint32_t *xid, uint64_t now)
{
	struct ocp_start st = OCP_START_INIT;

	st.service = s;
	st.meta = meta;
	st.sizep = sizep;
	st.modp = modp;
	return ocp_processor_xaction_start(p, &st, user, xid, now);
}

/* transaction 1 with its original open, 10 octets sent with `copied` */
static void original_cfg(struct bench *b, const struct ocp_processor_config *cfg)
{
	struct ocp_send s = copied();
	uint32_t xid;

	connect_cfg(b, cfg);
	assert_int_equal(begin(b->p, &service, OCP_STR("Kind: request"), -1,
						     -1, b->user, &xid, b->now),
			 0);
	assert_int_equal(xid, 1);
	assert_ptr_equal(ocp_processor_user(b->p, 1), b->user);
	assert_int_equal(ocp_processor_data(b->p, 1, "0123456789", 10, NULL, &s, b->now), 0);
	want_out(b, "xaction-start 1\nservice: {\"3:u:s\"}\n;\napp-message-start 1 1 \"13:Kind: "
		    "request\";\n"
		    "data-have 1 1 0\ncopied: true\n\n10:0123456789\n;\n");
	want_log(b, "");
}

static void original(struct bench *b)
{
	original_cfg(b, NULL);
}

/* and an adapted message 2 begun */
static void adapted(struct bench *b)
{
	original(b);
	bench_in(b, "app-message-start 1 2 \"0:\";\n");
	want_log(b, "am_start 2 [] kind=0\n");
}

static void test_connect(void **state)
{
	struct bench b;
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	uint32_t xid;

	start(&b, NULL);
	assert_int_equal(ocp_processor_priority(b.p, 1), -ENOTCONN);
	assert_int_equal(
		begin(b.p, &service, OCP_STR("m"), -1, -1, NULL, &xid, 0),
		-ENOTCONN);
	assert_int_equal(ocp_processor_connect(b.p, OCP_STR("edge 1"), -4, 0), 0);
	assert_int_equal(ocp_processor_connect(b.p, OCP_STR("edge 1"), -4, 0), -EALREADY);
	assert_int_equal(ocp_processor_priority(b.p, 6), 0);
	want_out(&b, "connection-start\npriority: -4\nclient: \"6:edge 1\"\n;\nconnection-priority "
		     "6;\n");
	/* <70>: no service anywhere; <41> binding 5: no empty meta-data */
	assert_int_equal(
		begin(b.p, NULL, OCP_STR("m"), -1, -1, NULL, &xid, 0),
		-EINVAL);
	assert_int_equal(
		begin(b.p, &service, OCP_STR(""), -1, -1, NULL, &xid, 0),
		-EINVAL);
	assert_int_equal(ocp_processor_service(b.p, &service), 0);
	assert_int_equal(
		begin(b.p, NULL, OCP_STR("m"), 7, 100, NULL, &xid, 0), 0);
	want_out(&b, "connection-service {\"3:u:s\"};\nxaction-start 1;\n"
		     "app-message-start 1 1 \"1:m\"\nsizep: 7\nmodp: 100\n;\n");
	/* <37> binding 4: xids grow */
	assert_int_equal(
		begin(b.p, NULL, OCP_STR("m"), -1, -1, NULL, &xid, 0), 0);
	assert_int_equal(xid, 2);
	bench_free(&b);
	cfg.dialect = OCP_DIALECT_MAX;
	assert_int_equal(ocp_processor_create(&b.p, &cfg, &bench_p_ops, &b), -EINVAL);
}

/* <59>: nothing may arrive before connection-start has been sent */
static void test_outside(void **state)
{
	static const char *const first[] = {"i-am-here;\n", "connection-end;\n",
					    "connection-start;\n", "!"};

	for (size_t i = 0; i < 4; i++) {
		struct bench b;

		start(&b, NULL);
		assert_int_equal(bench_in(&b, first[i]), -ENOTCONN);
		assert_int_equal(ocp_processor_over(b.p), OCP_END_OUTSIDE);
		want_out(&b, "");
		assert_int_equal(ocp_processor_connect(b.p, OCP_STR(""), 0, 0), -ENOTCONN);
		bench_free(&b);
	}
}

static void test_malformed(void **state)
{
	struct bench b;

	adapted(&b);
	assert_int_equal(bench_in(&b, "data-have 1 2 0\n03:abc\n;\n"), -ENOTCONN);
	want_log(&b, "fault 1 unknown\nam_end 2 bad\nxaction_end 5 conn=4\nclosed 4\n");
	want_out(&b, "connection-end\nresult: {400 \"44:size with a leading zero or above "
		     "2147483647\"}\n"
		     "error: true\n;\n");
	bench_free(&b);
}

static void test_connection_end(void **state)
{
	struct bench b;

	adapted(&b);
	assert_int_equal(bench_in(&b, "connection-end\nerror: true\n;\ni-am-here;\n"), -ENOTCONN);
	want_log(&b, "am_end 2 bad\nxaction_end 5 conn=3\nclosed 3\n");
	want_out(&b, "");
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -ENOTCONN);
	bench_free(&b);
	adapted(&b);
	ocp_processor_end(b.p, false, NULL);
	want_out(&b, "connection-end;\n");
	want_log(&b, "am_end 2 bad\nxaction_end 5 conn=1\nclosed 1\n");
	bench_free(&b);
	adapted(&b);
	ocp_processor_eof(b.p);
	want_log(&b, "am_end 2 bad\nxaction_end 5 conn=7\nclosed 7\n");
	bench_free(&b);
}

/* <58> <65> <67> <69> <96>: ignored at a processor */
static void test_direction(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "connection-start;\nconnection-priority 9;\nconnection-service "
		     "{x};\nxaction-start 9;\n"
		     "data-paused 1 1;\n");
	want_log(&b, "fault 5 connection-start\nfault 5 connection-priority\nfault 5 "
		     "connection-service\n"
		     "fault 5 xaction-start\nfault 5 data-paused\n");
	want_out(&b, "");
	assert_int_equal(ocp_processor_xactions(b.p), 1);
	bench_free(&b);
}

static void test_echo(void **state)
{
	struct bench b;

	original(&b);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), -EPIPE);
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -EPIPE);
	want_out(&b, "data-end 1 1;\n");
	bench_in(&b, "app-message-start 1 2 \"14:Kind: response\"\nmodified: true\nsizep: 5\nmodp: "
		     "50\n;\n"
		     "data-have 1 2 0\nmodified: true\nam-part: response-body\ncopied: "
		     "true\n\n3:abc\n;\n"
		     "data-have 1 2 3\nmodp: 0\n\n0:\n;\ndata-end 1 2;\nxaction-end "
		     "1;\nxaction-end 1;\n");
	want_log(&b,
		 "am_start 2 [Kind: response] kind=2 modified sizep=5 modp=50\n"
		 "data 2@0 [abc] modified first last response-body\ndata 2@3 [] first last modp=0\n"
		 "am_end 2 ok\nxaction_end 0\nfault 4 xaction-end\n");
	assert_int_equal(ocp_processor_xactions(b.p), 0);
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -ENOENT);
	bench_free(&b);
}

/* Implied ends <75> <83>; zero adapted messages; refusals. */
static void test_endings(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "data-have 1 2 0\n1:a\n;\nxaction-end 1;\n");
	want_log(&b, "data 2@0 [a] first last\nam_end 2 ok\nxaction_end 0\n");
	bench_free(&b);
	adapted(&b);
	bench_in(&b, "app-message-end 1 2;\napp-message-end 1 2;\n");
	want_log(&b, "am_end 2 ok\nfault 4 app-message-end\n");
	bench_free(&b);
	adapted(&b);
	bench_in(&b, "app-message-end 1 2\nresult: {500}\n;\n"); /* unknown code: failure */
	want_log(&b, "am_end 2 bad {500}\n");
	bench_free(&b);
	adapted(&b);
	bench_in(&b, "data-end 1 2\nerror: true\n;\n");
	want_log(&b, "am_end 2 bad\n");
	bench_free(&b);
	adapted(&b);
	bench_in(&b, "data-end 1 2\nresult: {206}\n;\n"); /* leave-loop is not in use: partial */
	want_log(&b, "am_end 2 bad {206}\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "xaction-end 1;\n");
	want_log(&b, "xaction_end 0\n");
	bench_free(&b);
	adapted(&b);
	bench_in(&b, "xaction-end 1\nerror: true\nresult: {400 \"2:no\"}\n;\n");
	want_log(&b, "am_end 2 bad {400 no}\nxaction_end 1 {400 no}\n");
	want_out(&b, "");
	bench_free(&b);
	/* <77>: the original refused */
	original(&b);
	bench_in(&b, "app-message-end 1 1\nresult: {400 why}\n;\n");
	want_log(&b, "xaction_end 1 {400 why}\n");
	want_out(&b, "xaction-end 1;\n");
	bench_free(&b);
	/* the original ended without failure: an answer may still come */
	original(&b);
	bench_in(&b, "app-message-end 1 1;\ndata-need 1 1 10;\napp-message-start 1 2 \"0:\";\n"
		     "data-as-is 1 2 0 10 1 0;\nxaction-end 1;\n");
	want_log(&b, "original_end\nfault 4 data-need\nam_start 2 [] kind=0\nas_is 2@0 from 0+10\n"
		     "am_end 2 ok\nxaction_end 0\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "app-message-end 1 1;\n");
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -EPIPE);
	bench_free(&b);
}

/* Our own ends: what is under way is ignored afterwards. */
static void test_own_endings(void **state)
{
	struct bench b;
	struct ocp_result r = {400, OCP_STR("client gone")};

	adapted(&b);
	assert_int_equal(ocp_processor_am_abort(b.p, 1, 2), 0);
	assert_int_equal(ocp_processor_am_abort(b.p, 1, 2), -ENOENT);
	assert_int_equal(ocp_processor_data_end(b.p, 1, false, 0), 0);
	want_out(&b, "app-message-end 1 2\nerror: true\n;\napp-message-end 1 1\nerror: true\n;\n");
	bench_in(&b, "data-have 1 2 0\n1:a\n;\ndata-pause 1 1;\n");
	want_log(&b, "fault 4 data-have\nfault 4 data-pause\n");
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, &r), 0);
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, true, &r), -ENOENT);
	want_out(&b, "xaction-end 1\nresult: {400 \"11:client gone\"}\nerror: true\n;\n");
	bench_in(&b, "app-message-start 1 4 \"0:\";\nxaction-end 1;\n");
	want_log(&b, "fault 4 app-message-start\nfault 4 xaction-end\n");
	want_out(&b, "");
	bench_free(&b);
}

static void test_am_id(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "app-message-start 1 3 \"0:\";\n"); /* parity */
	want_log(&b, "fault 8 app-message-start\n");
	want_out(&b, "app-message-end 1 3\nerror: true\n;\n");
	bench_in(&b, "app-message-start 1 6 \"0:\";\napp-message-start 1 4 \"0:\";\n"); /* order */
	want_log(&b, "am_start 6 [] kind=0\nfault 8 app-message-start\n");
	want_out(&b, "app-message-end 1 4\nerror: true\n;\n");
	bench_in(
		&b,
		"app-message-start 1 6 \"0:\";\ndata-have 1 6 0\n1:a\n;\n"); /* repeated: it dies */
	want_log(&b, "fault 8 app-message-start\nam_end 6 bad fault=8\nfault 4 data-have\n");
	want_out(&b, "app-message-end 1 6\nerror: true\n;\n");
	bench_in(&b, "app-message-start 1 8 \"0:\";\n"); /* the transaction goes on */
	want_log(&b, "am_start 8 [] kind=0\n");
	bench_in(&b, "app-message-start 1 1 \"0:\";\n"); /* ours */
	want_log(&b, "fault 8 app-message-start\nam_end 8 bad fault=8\nxaction_end 2 fault=8\n");
	want_out(&b, "app-message-end 1 1\nerror: true\n;\nxaction-end 1\nerror: true\n;\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "app-message-start 1 0 \"0:\";\n"); /* 0 is even and the first */
	want_log(&b, "am_start 0 [] kind=0\n");
	bench_free(&b);
}

static void test_several_messages(void **state)
{
	struct bench b;
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;

	cfg.ams_max = 2;
	original_cfg(&b, &cfg);
	bench_in(&b,
		 "app-message-start 1 2 \"0:\";\napp-message-start 1 4 \"0:\";\ndata-have 1 4 "
		 "0\n1:d\n;\n"
		 "data-have 1 2 0\n1:b\n;\napp-message-start 1 6 \"0:\";\napp-message-end 1 2;\n"
		 "app-message-start 1 8 \"0:\";\n");
	want_log(&b, "am_start 2 [] kind=0\nam_start 4 [] kind=0\ndata 4@0 [d] first last\n"
		     "data 2@0 [b] first last\nfault 16 app-message-start\nam_end 2 ok\nam_start 8 "
		     "[] kind=0\n");
	want_out(&b,
		 "app-message-end 1 6\nresult: {400 \"17:too many messages\"}\nerror: true\n;\n");
	bench_free(&b);
}

/* <85>: one offset over data-have and data-as-is together */
static void test_gap_and_overlap(void **state)
{
	static const char *const next[] = {
		"data-have 1 2 4\n1:x\n;\n", "data-have 1 2 2\n1:x\n;\n",
		"data-as-is 1 2 4 1 1 0;\n", "data-as-is 1 2 0 1 1 0;\n",
		"data-have 1 2 0\n0:\n;\n",
	};

	for (size_t i = 0; i < 5; i++) {
		struct bench b;

		adapted(&b);
		bench_in(&b, "data-have 1 2 0\n1:a\n;\ndata-as-is 1 2 1 2 1 8;\n");
		want_log(&b, "data 2@0 [a] first last\nas_is 2@1 from 8+2\n");
		bench_in(&b, next[i]);
		assert_int_equal(ocp_processor_counters(b.p)->faults[OCP_FAULT_OFFSET], 1);
		assert_non_null(strstr(b.log.p, "am_end 2 bad fault=10\n"));
		want_out(&b, "app-message-end 1 2\nerror: true\n;\n");
		text_clear(&b.log);
		bench_in(&b, "data-have 1 2 3\n1:x\n;\napp-message-start 1 4 \"0:\";\n");
		want_log(&b, "fault 4 data-have\nam_start 4 [] kind=0\n");
		bench_free(&b);
	}
}

/* <98> */
static void test_after_end(void **state)
{
	static const char *const data[] = {"data-have 1 2 0\n1:x\n;\n",
					   "data-as-is 1 2 0 1 1 0;\n"};

	for (size_t i = 0; i < 2; i++) {
		struct bench b;

		adapted(&b);
		bench_in(&b, "data-end 1 2;\n");
		want_log(&b, "am_end 2 ok\n");
		bench_in(&b, data[i]);
		assert_int_equal(ocp_processor_counters(b.p)->faults[OCP_FAULT_AFTER_END], 1);
		want_out(&b, "app-message-end 1 2\nerror: true\n;\n");
		bench_in(&b, data[i]);
		assert_int_equal(ocp_processor_counters(b.p)->faults[OCP_FAULT_UNKNOWN_ID], 1);
		want_out(&b, "");
		assert_null(strstr(b.log.p, "am_end")); /* told once only */
		bench_free(&b);
	}
}

/* Data for a message of the recipient's own, unknown identifiers <54>. */
static void test_ids(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "data-have 1 1 10\n1:x\n;\ndata-as-is 1 1 10 1 1 0;\ndata-end 1 1;\n");
	want_log(&b, "fault 9 data-have\nfault 9 data-as-is\nfault 9 data-end\n");
	bench_in(&b, "data-have 2 2 0\n1:x\n;\ndata-have 1 4 0\n1:x\n;\ndata-as-is 1 4 0 1 1 "
		     "0;\ndata-end 1 4;\n"
		     "app-message-end 1 4;\ndata-pause 1 2;\ndata-pause 5 1;\ndata-need 1 3 "
		     "0;\ndata-ack 1 3 0 0;\n"
		     "app-message-start 7 2 \"0:\";\n");
	assert_int_equal(ocp_processor_counters(b.p)->faults[OCP_FAULT_UNKNOWN_ID], 10);
	want_out(&b, "");
	bench_free(&b);
}

/* <89> <90> and the binding: any range under commitment, in any order, any number of times */
static void test_as_is(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "data-as-is 1 2 0 3 1 7\nam-part: request-body\n;\ndata-as-is 1 2 3 10 1 0;\n"
		     "data-as-is 1 2 13 1 1 0;\ndata-as-is 1 2 14 0 1 10;\n");
	want_log(&b, "as_is 2@0 from 7+3 request-body\nas_is 2@3 from 0+10\nas_is 2@13 from 0+1\n"
		     "as_is 2@14 from 10+0\n");
	bench_free(&b);
}

static void test_as_is_invalid(void **state)
{
	static const char *const bad[] = {
		"data-as-is 1 2 0 11 1 0;\n", /* beyond what was sent */
		"data-as-is 1 2 0 1 1 10;\n",
		"data-as-is 1 2 0 1 1 9223372036854775807;\n",
		"data-as-is 1 2 0 2147483647 1 9223372036854775807;\n",
		"data-as-is 1 2 0 0 1 11;\n",
		"data-as-is 1 2 0 1 2 0;\n", /* not the original */
		"data-as-is 1 2 0 1 3 0;\n",
		"data-as-is 1 2 0 5 1 3;\n", /* partly given up */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bench b;

		adapted(&b);
		bench_in(&b, "data-ack 1 1 4 2\nwont-forward: true\n;\n");
		want_log(&b, "wont_forward 4+2\n");
		bench_in(&b, bad[i]);
		want_log(&b, "fault 11 data-as-is\nam_end 2 bad fault=11\n");
		want_out(&b, "app-message-end 1 2\nerror: true\n;\n");
		assert_int_equal(ocp_processor_xactions(b.p), 1);
		bench_free(&b);
	}
}

/* Chunks sent without `copied` are holes; chunk boundaries inside a commitment are not. */
static void test_commitments(void **state)
{
	struct bench b;
	struct ocp_send s = copied();
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;

	cfg.ranges_max = 2;
	original_cfg(&b, &cfg);
	assert_int_equal(ocp_processor_data(b.p, 1, "ab", 2, NULL, &s, 0), 0);
	assert_int_equal(ocp_processor_data(b.p, 1, "cd", 2, NULL, NULL, 0), 0);
	assert_int_equal(ocp_processor_data(b.p, 1, "ef", 2, NULL, &s, 0), 0);
	assert_int_equal(ocp_processor_data(b.p, 1, "g", 1, NULL, NULL, 0), 0);
	assert_int_equal(ocp_processor_data(b.p, 1, "h", 1, NULL, &s, 0), -ENOSPC);
	assert_int_equal(ocp_processor_data(b.p, 1, "h", 1, NULL, NULL, 0), 0);
	/* trap 4: our own data-end ends nothing */
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	text_clear(&b.out);
	bench_in(&b, "app-message-start 1 2 \"0:\";\ndata-as-is 1 2 0 4 1 8;\ndata-as-is 1 2 4 2 1 "
		     "14;\n");
	want_log(&b, "am_start 2 [] kind=0\nas_is 2@0 from 8+4\nas_is 2@4 from 14+2\n");
	/* a hole that does not fit into the list: the commitment stays, nobody is told */
	bench_in(&b, "data-ack 1 1 2 2\nwont-forward: true\n;\ndata-as-is 1 2 6 6 1 0;\n");
	want_log(&b, "as_is 2@6 from 0+6\n");
	bench_in(&b, "data-as-is 1 2 12 1 1 16;\n");
	want_log(&b, "fault 11 data-as-is\nam_end 2 bad fault=11\n");
	bench_free(&b);
}

/* <106> - <110> */
static void test_ack(void **state)
{
	struct bench b;
	struct ocp_send s = OCP_SEND_INIT;

	original(&b);
	s.ack = true;
	s.modp = 0;
	assert_int_equal(ocp_processor_data(b.p, 1, "ab", 2, NULL, &s, 0), 0);
	want_out(&b, "data-have 1 1 10\nmodp: 0\nack: true\n\n2:ab\n;\n");
	bench_in(
		&b,
		"data-ack 1 1 10 2;\ndata-ack 1 1 10 2;\ndata-ack 1 1 0 12\nwont-forward: true\n;\n"
		"data-ack 1 1 0 13;\ndata-ack 1 1 13 0;\ndata-ack 1 1 12 0\nwont-forward: "
		"true\n;\n");
	want_log(&b,
		 "ack 10+2\nack 10+2\nwont_forward 0+12\nfault 15 data-ack\nfault 15 data-ack\n");
	/* <87>: we answer, too, after the whole message */
	bench_in(&b, "app-message-start 1 2 \"0:\";\ndata-have 1 2 0\nack: 1\n\n3:abc");
	want_out(&b, "");
	bench_in(&b, "\n;\n");
	want_out(&b, "data-ack 1 2 0 3;\n");
	bench_free(&b);
}

/* <92> <95> <103> */
static void test_pause(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "data-pause 1 1;\n");
	want_log(&b, "pause\n");
	want_out(&b, "data-paused 1 1;\n");
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -EAGAIN);
	want_out(&b, "");
	/* always ends the pause, even when it asks for what was sent */
	bench_in(&b, "data-need 1 1 3;\n");
	want_log(&b, "need resumed 3 0\n");
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), 0);
	/* not paused: asked for octets already sent is ignored, more is not */
	bench_in(&b, "data-need 1 1 10;\ndata-need 1 1 11\nsize-request: 5\n;\n");
	want_log(&b, "need 11 5\n");
	bench_in(&b, "data-pause 1 1;\ndata-pause 1 1;\n");
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), 0);
	want_out(&b,
		 "data-have 1 1 10\n1:x\n;\ndata-paused 1 1;\ndata-paused 1 1;\ndata-end 1 1;\n");
	bench_free(&b);
}

static void leave_agreed(struct bench *b)
{
	adapted(b);
	assert_int_equal(
		ocp_processor_please_use(b->p, ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP))),
		0);
	bench_in(b, "i-will-use {\"27:urn:opes:feature:leave-loop\"};\n");
	want_log(b, "feature 2 urn:opes:feature:leave-loop 0\n");
	text_clear(&b->out);
}

static void test_leave_loop(void **state)
{
	struct bench b;

	leave_agreed(&b);
	bench_in(&b, "data-have 1 2 0\n2:AB\n;\ndata-as-is 1 2 2 6 1 2;\ndata-end 1 2\nresult: "
		     "{206}\n;\n");
	want_log(&b, "data 2@0 [AB] first last\nas_is 2@2 from 2+6\nleft 2 rest=8\nam_end 2 ok "
		     "left {206}\n");
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -EPIPE);
	assert_int_equal(ocp_processor_data_end(b.p, 1, true, 0), -EPIPE);
	bench_in(&b, "data-ack 1 1 8 2\nwont-forward: true\n;\nxaction-end 1;\n");
	want_log(&b, "xaction_end 0\n");
	want_out(&b, "");
	bench_free(&b);
	/* own octets, then an empty data-as-is that says where the rest begins */
	leave_agreed(&b);
	bench_in(&b, "data-have 1 2 0\n2:AB\n;\ndata-as-is 1 2 2 0 1 10;\ndata-end 1 2\nresult: "
		     "{206}\n;\n"
		     "xaction-end 1\nresult: {206}\n;\n");
	want_log(&b, "data 2@0 [AB] first last\nas_is 2@2 from 10+0\nleft 2 rest=10\nam_end 2 ok "
		     "left {206}\n"
		     "xaction_end 0 {206}\n");
	bench_free(&b);
}

static void test_leave_loop_invalid(void **state)
{
	static const char *const bad[] = {
		"",						      /* no data-as-is at all */
		"data-as-is 1 2 0 2 1 0;\ndata-have 1 2 2\n1:x\n;\n", /* not the last */
		"data-ack 1 1 6 2\nwont-forward: true\n;\ndata-as-is 1 2 0 6 1 0;\n", /* the rest
											 has holes
										       */
	};

	for (size_t i = 0; i < 3; i++) {
		struct bench b;

		leave_agreed(&b);
		bench_in(&b, bad[i]);
		text_clear(&b.log);
		bench_in(&b, "data-end 1 2\nresult: {206}\n;\n");
		want_log(&b, "fault 14 data-end\nam_end 2 bad fault=14\n");
		want_out(&b, "app-message-end 1 2\nerror: true\n;\n");
		assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), 0);
		bench_free(&b);
	}
}

static void test_are_you_there(void **state)
{
	struct bench b;

	adapted(&b);
	bench_in(&b, "are-you-there 5\nxid: 1\nam-id: 1\n;\nare-you-there 6\nxid: 1\nam-id: 2\n;\n"
		     "are-you-there 7\nxid: 3\nam-id: 2\n;\ndata-end 1 2;\nare-you-there 8\nxid: "
		     "1\nam-id: 2\n;\n"
		     "app-message-end 1 2;\nare-you-there 9\nxid: 1\nam-id: 2\n;\n");
	want_out(&b,
		 "i-am-here\nxid: 1\nam-id: 1\nrid: 5\n;\ni-am-here\nxid: 1\nam-id: 2\nrid: 6\n;\n"
		 "i-am-here\nrid: 7\n;\ni-am-here\nxid: 1\nam-id: 2\nrid: 8\n;\ni-am-here\nxid: "
		 "1\nrid: 9\n;\n");
	bench_free(&b);
}

static void test_dead_peer(void **state)
{
	struct bench b;

	original(&b);
	ocp_processor_tick(b.p, 5000000);
	want_out(&b, "are-you-there 1;\n");
	ocp_processor_tick(b.p, 7000000);
	want_log(&b, "xaction_end 5 conn=6\nclosed 6\n");
	bench_free(&b);
}

static struct ocp_processor_config deadlines(void)
{
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;

	cfg.idle_probe_us = 0;
	cfg.deadline_us = 100;
	cfg.probe_timeout_us = 10;
	return cfg;
}

static void test_deadline(void **state)
{
	struct ocp_processor_config cfg = deadlines();
	struct bench b;

	/* no answer */
	original_cfg(&b, &cfg);
	assert_int_equal(ocp_processor_next_deadline(b.p), 100);
	ocp_processor_tick(b.p, 100);
	want_out(&b, "are-you-there 1\nxid: 1\nam-id: 1\n;\n");
	assert_int_equal(ocp_processor_next_deadline(b.p), 110);
	ocp_processor_tick(b.p, 110);
	want_log(&b, "xaction_end 3\n");
	want_out(&b, "xaction-end 1\nerror: true\n;\n");
	bench_free(&b);
	/* not maintained any more */
	original_cfg(&b, &cfg);
	ocp_processor_tick(b.p, 100);
	bench_in(&b, "i-am-here\nrid: 1\n;\n");
	want_log(&b, "xaction_end 4\n");
	bench_free(&b);
	/* the message is not, although the transaction is <117> */
	original_cfg(&b, &cfg);
	ocp_processor_tick(b.p, 100);
	bench_in(&b, "i-am-here\nrid: 1\nxid: 1\n;\n");
	want_log(&b, "xaction_end 4\n");
	bench_free(&b);
	/* still maintained, it is our turn: for ever */
	original_cfg(&b, &cfg);
	for (int i = 1; i < 6; i++) {
		char in[64];

		b.now = (uint64_t)i * 100;
		ocp_processor_tick(b.p, b.now);
		snprintf(in, sizeof(in), "i-am-here\nrid: %d\nxid: 1\nam-id: 1\n;\n", i);
		bench_in(&b, in);
	}
	want_log(&b, "");
	/* it is the peer's turn: grace is used up */
	assert_int_equal(ocp_processor_expect(b.p, 1), 0);
	b.now = 600;
	ocp_processor_tick(b.p, b.now);
	text_clear(&b.out);
	bench_in(&b, "i-am-here\nrid: 6\nxid: 1\nam-id: 1\n;\n");
	want_log(&b, "xaction_end 3\n");
	want_out(&b, "xaction-end 1\nerror: true\n;\n");
	bench_free(&b);
	/* progress resets it */
	original_cfg(&b, &cfg);
	ocp_processor_data_end(b.p, 1, true, 0);
	ocp_processor_tick(b.p, 100);
	b.now = 101;
	bench_in(&b,
		 "i-am-here\nrid: 1\nxid: 1\n;\ni-am-here\nxid: 1\n;\n"); /* the second unsolicited
									     <114> */
	b.now = 201;
	ocp_processor_tick(b.p, 201);
	bench_in(&b, "i-am-here\nrid: 2\nxid: 1\n;\n");
	want_log(&b, "");
	bench_free(&b);
}

static void test_limits(void **state)
{
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	struct bench b;
	uint32_t xid;

	cfg.xactions_max = 1;
	original_cfg(&b, &cfg);
	assert_int_equal(
		begin(b.p, &service, OCP_STR("m"), -1, -1, NULL, &xid, 0),
		-EBUSY);
	assert_int_equal(ocp_processor_xaction_end(b.p, 1, false, NULL), 0);
	assert_int_equal(
		begin(b.p, &service, OCP_STR("m"), -1, -1, NULL, &xid, 0), 0);
	assert_int_equal(xid, 2);
	bench_free(&b);
}

/* Ten thousand transactions open at once: each finds its own. */
static void test_many_transactions(void **state)
{
	struct ocp_processor_config cfg = OCP_PROCESSOR_CONFIG_DEFAULT;
	static char users[10000];
	struct bench b;
	uint32_t xid;

	cfg.xactions_max = 10000;
	connect_cfg(&b, &cfg);
	for (uint32_t i = 0; i < 10000; i++) {
		assert_int_equal(begin(b.p, &service, OCP_STR("m"), -1, -1,
							     &users[i], &xid, 0),
				 0);
		text_clear(&b.out);
	}
	for (uint32_t i = 0; i < 10000; i++)
		assert_ptr_equal(ocp_processor_user(b.p, i + 1), &users[i]);
	for (uint32_t i = 0; i < 10000; i += 2) {
		char in[64];

		snprintf(in, sizeof(in), "xaction-end %u;\n", i + 1);
		bench_in(&b, in);
	}
	assert_int_equal(ocp_processor_xactions(b.p), 5000);
	assert_null(ocp_processor_user(b.p, 1));
	assert_ptr_equal(ocp_processor_user(b.p, 2), &users[1]);
	bench_free(&b);
}

/* --- calls from inside callbacks --- */

static void end_anywhere(struct bench *b, const char *where)
{
	ocp_processor_xaction_end(b->p, 1, false, NULL);
}

static void close_anywhere(struct bench *b, const char *where)
{
	ocp_processor_end(b->p, false, NULL);
}

static void send_on_need(struct bench *b, const char *where)
{
	if (!strcmp(where, "need"))
		assert_int_equal(ocp_processor_data(b->p, 1, "more", 4, NULL, NULL, 0), 0);
}

static void abort_in_data(struct bench *b, const char *where)
{
	if (!strcmp(where, "data"))
		ocp_processor_am_abort(b->p, 1, 2);
}

static const char busy[] = "app-message-start 1 2 \"0:\";\ndata-have 1 2 0\nack: "
			   "1\n\n2:ab\n;\ndata-as-is 1 2 2 8 1 2;\n"
			   "data-end 1 2\nresult: {206}\n;\ndata-have 1 2 0\n2:ab\n;\ndata-need 1 "
			   "1 10;\napp-message-start 1 3 \"0:\";\n"
			   "app-message-end 1 1\nerror: true\n;\nxaction-end 1;\n";

static void (*const calls[])(struct bench *, const char *) = {
	end_anywhere,
	close_anywhere,
	send_on_need,
	abort_in_data,
};

static void test_calls_from_callbacks(void **state)
{
	for (size_t c = 0; c < 4; c++) {
		for (size_t cut = 1; cut < 40; cut++) {
			struct bench b;
			size_t len;
			char *in = wire(busy, &len);

			leave_agreed(&b);
			b.inside = calls[c];
			for (size_t at = 0; at < len; at += cut)
				ocp_processor_input(b.p, in + at, len - at < cut ? len - at : cut,
						    NULL, 0);
			free(in);
			bench_free(&b);
		}
	}
}

static void close_in_am_end(struct bench *b, const char *where)
{
	if (!strcmp(where, "am_end"))
		ocp_processor_end(b->p, false, NULL);
}

/* INV-OCP-P3: a transaction of whose last callbacks one ends the connection is told of its end before. */
static void test_closed_comes_last(void **state)
{
	struct bench b;

	adapted(&b);
	b.inside = close_in_am_end;
	assert_int_equal(bench_in(&b, "xaction-end 1;\n"), -ENOTCONN);
	want_log(&b, "am_end 2 ok\nxaction_end 0\nclosed 1\n");
	want_out(&b, "connection-end;\n");
	bench_free(&b);
}

static void test_output_fails(void **state)
{
	struct bench b;

	original(&b);
	b.out_fails = true;
	assert_int_equal(ocp_processor_data(b.p, 1, "x", 1, NULL, NULL, 0), -ENOTCONN);
	want_log(&b, ""); /* no callback out of a call */
	assert_int_equal(ocp_processor_next_deadline(b.p), 0);
	ocp_processor_tick(b.p, 1);
	want_log(&b, "xaction_end 5 conn=8\nclosed 8\n");
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_connection_end),
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_own_endings),
		cmocka_unit_test(test_am_id),
		cmocka_unit_test(test_several_messages),
		cmocka_unit_test(test_gap_and_overlap),
		cmocka_unit_test(test_after_end),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_as_is),
		cmocka_unit_test(test_as_is_invalid),
		cmocka_unit_test(test_commitments),
		cmocka_unit_test(test_ack),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_leave_loop),
		cmocka_unit_test(test_leave_loop_invalid),
		cmocka_unit_test(test_are_you_there),
		cmocka_unit_test(test_dead_peer),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many_transactions),
		cmocka_unit_test(test_calls_from_callbacks),
		cmocka_unit_test(test_closed_comes_last),
		cmocka_unit_test(test_output_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
