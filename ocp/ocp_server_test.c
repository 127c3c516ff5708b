/* SPDX-License-Identifier: BSD-3-Clause */
/* Callout server agent against raw input: what a processor may and may not send. */
#include "ocp/ocp_test_bench.h"

#define SERVICE "{\"3:u:s\"}"

static void start(struct bench *b)
{
	const struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;

	memset(b, 0, sizeof(*b));
	assert_int_equal(ocp_server_create(&b->s, &cfg, &bench_s_ops, b, 0), 0);
}

static void connect_(struct bench *b)
{
	start(b);
	assert_int_equal(bench_in(b, "connection-start;\nconnection-service " SERVICE ";\n"), 0);
	want_log(b, "connection_start [] 0\n");
}

/* transaction 7 with its original 1 open */
static void original(struct bench *b)
{
	connect_(b);
	assert_int_equal(
		bench_in(b, "xaction-start 7;\napp-message-start 7 1 \"13:Kind: request\";\n"), 0);
	want_log(b, "xaction_start 7 [u:s|]\nam_start 1 [Kind: request] kind=1\n");
	want_out(b, "");
}

/* <19> <58>: connection-start opens, with client and priority */
static void test_connection_start(void **state)
{
	struct bench b;
	uint64_t n;

	start(&b);
	assert_int_equal(ocp_server_data(b.s, 1, 2, "x", 1, NULL, NULL), -ENOTCONN);
	assert_false(ocp_server_received(b.s, 1, &n));
	bench_in(&b, "connection-start\nclient: \"4:edge\"\npriority: 5\n;\n");
	want_log(&b, "connection_start [edge] 5\n");
	assert_int_equal(ocp_server_priority(b.s), 5);
	bench_in(&b, "connection-start\npriority: 9\n;\n"); /* repeated: ignored */
	want_log(&b, "fault 17 connection-start\n");
	assert_int_equal(ocp_server_priority(b.s), 5);
	bench_in(&b, "connection-priority -3;\n");
	want_log(&b, "priority -3\n");
	assert_int_equal(ocp_server_priority(b.s), -3);
	want_out(&b, "");
	bench_free(&b);
}

static void test_connection_refused(void **state)
{
	struct bench b;

	start(&b);
	b.refuse_connection = 1;
	assert_int_equal(bench_in(&b, "connection-start;\nxaction-start 1;\n"), -ENOTCONN);
	want_log(&b, "connection_start [] 0\nclosed 1\n");
	want_out(&b, "connection-end\nresult: {400}\nerror: true\n;\n");
	assert_int_equal(ocp_server_over(b.s), OCP_END_LOCAL);
	bench_free(&b);
}

/* <59>: outside of the bracket: ignore and close, nothing is sent */
static void test_outside(void **state)
{
	static const char *const first[] = {
		"xaction-start 1\nservice: " SERVICE "\n;\n",
		"i-am-here;\n",
		"are-you-there 1;\n",
		"connection-end;\n",
		"hello;\n",
		"GET / HTTP/1.1\n",
		"please-use {\"1:x\"};\n",
	};

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct bench b;

		start(&b);
		assert_int_equal(bench_in(&b, first[i]), -ENOTCONN);
		assert_int_equal(ocp_server_over(b.s), OCP_END_OUTSIDE);
		assert_int_equal(bench_in(&b, "connection-start;\n"), -ENOTCONN);
		want_out(&b, "");
		bench_free(&b);
	}
}

/* <53>: malformed: connection-end with error; also ends every transaction */
static void test_malformed(void **state)
{
	struct bench b;

	original(&b);
	assert_int_equal(bench_in(&b, "data-have 7 1 0\n5:hello;\n"), -ENOTCONN);
	want_log(&b,
		 "data 1@0 [hello] first last\nfault 1 unknown\nxaction_end 5 conn=4\nclosed 4\n");
	want_out(&b,
		 "connection-end\nresult: {400 \"42:octet that the grammar does not allow here\"}\n"
		 "error: true\n;\n");
	bench_free(&b);
}

static void test_connection_end(void **state)
{
	struct bench b;

	original(&b);
	assert_int_equal(bench_in(&b, "connection-end;\nconnection-start;\n"), -ENOTCONN);
	want_log(&b, "xaction_end 5 conn=2\nclosed 2\n");
	want_out(&b, ""); /* not answered */
	assert_int_equal(ocp_server_xactions(b.s), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, 2, 0, 0, 0), -ENOTCONN);
	bench_free(&b);
	original(&b);
	bench_in(&b, "connection-end\nresult: {400 bye}\n;\n");
	want_log(&b, "xaction_end 5 conn=3 {400 bye}\nclosed 3 {400 bye}\n");
	bench_free(&b);
	original(&b);
	ocp_server_eof(b.s);
	want_log(&b, "xaction_end 5 conn=7\nclosed 7\n");
	ocp_server_eof(b.s);
	want_log(&b, "");
	bench_free(&b);
	original(&b);
	ocp_server_end(b.s, false, NULL);
	want_log(&b, "xaction_end 5 conn=1\nclosed 1\n");
	want_out(&b, "connection-end;\n");
	bench_free(&b);
}

/* <70>: own service, the connection's, none */
static void test_service(void **state)
{
	struct bench b;

	start(&b);
	bench_in(&b, "connection-start;\nxaction-start 1;\n");
	want_log(&b, "connection_start [] 0\nfault 7 xaction-start\n");
	want_out(&b, "xaction-end 1\nresult: {400 \"55:<70> neither transaction nor connection "
		     "names a service"
		     "\"}\nerror: true\n;\n");
	bench_in(&b,
		 "xaction-start 2\nservice: {\"3:u:a\" x}\n;\nconnection-service {\"3:u:b\"};\n"
		 "xaction-start 3;\nconnection-service {\"3:u:c\"\nN: 1\n};\nxaction-start 4;\n");
	want_log(&b, "xaction_start 2 [u:a| x]\nxaction_start 3 [u:b|]\n"
		     "xaction_start 4 [u:c|\r\nN: 1\r\n]\n");
	assert_int_equal(ocp_server_xactions(b.s), 3);
	bench_free(&b);
}

static void test_xaction_refused(void **state)
{
	struct bench b;

	connect_(&b);
	b.refuse_xaction = 1;
	bench_in(&b, "xaction-start 5;\napp-message-start 5 1 \"0:\";\n");
	want_log(&b, "xaction_start 5 [u:s|]\nfault 4 app-message-start\n");
	want_out(&b, "xaction-end 5\nresult: {400}\nerror: true\n;\n");
	bench_free(&b);
}

/* xid not larger than before: xaction-end with error; a live one of that number dies with it */
static void test_xid_order(void **state)
{
	struct bench b;
	const char *out =
		"result: {400 \"53:<36>, RFC 4037 10.2: xid not larger than those before\"}\nerror: true\n;\n";
	char want[200];

	original(&b);
	bench_in(&b, "xaction-start 6;\n");
	want_log(&b, "fault 6 xaction-start\n");
	snprintf(want, sizeof(want), "xaction-end 6\n%s", out);
	want_out(&b, want);
	bench_in(&b, "xaction-start 7;\ndata-have 7 1 0\n1:x\n;\n");
	want_log(&b, "fault 6 xaction-start\nxaction_end 2 fault=6\nfault 4 data-have\n");
	snprintf(want, sizeof(want), "xaction-end 7\n%s", out);
	want_out(&b, want);
	bench_free(&b);
}

/* <73> <75>: the end of a transaction ends its messages and its identifier */
static void test_xaction_end(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "xaction-end 7;\nxaction-end 7;\n");
	want_log(&b, "original_end ok\nxaction_end 0\nfault 4 xaction-end\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "xaction-end 7\nerror: true\n;\n");
	want_log(&b, "xaction_end 1\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "data-end 7 1;\nxaction-end 7\nresult: {400 gone}\n;\n");
	want_log(&b, "original_end ok\nxaction_end 1 {400 gone}\n");
	bench_free(&b);
}

/* <85>: data arrives in order; empty data carries predictions */
static void test_data(void **state)
{
	struct bench b;
	uint64_t n;

	original(&b);
	bench_in(&b, "data-have 7 1 0\nsizep: 9\nmodp: 0\nam-part: request-body\ncopied: "
		     "true\n\n2:ab\n;\n"
		     "data-have 7 1 2\n0:\n;\ndata-have 7 1 2\nsizep: 3\nmodified: "
		     "true\n\n1:c\n;\ndata-end 7 1;\n");
	want_log(&b, "data 1@0 [ab] copied first last request-body sizep=9 modp=0\ndata 1@2 [] "
		     "first last\n"
		     "data 1@2 [c] first last sizep=3\noriginal_end ok\n");
	assert_true(ocp_server_received(b.s, 7, &n) && n == 3);
	want_out(&b, "");
	bench_free(&b);
}

/* <85>: a gap or an overlap aborts the message, the transaction goes on */
static void test_gap_and_overlap(void **state)
{
	static const char *const second[] = {"3", "1", "0", "9223372036854775807"};

	for (size_t i = 0; i < 4; i++) {
		char in[200];
		struct bench b;
		uint32_t am;

		original(&b);
		snprintf(in, sizeof(in),
			 "data-have 7 1 0\n2:ab\n;\ndata-have 7 1 %s\n1:x\n;\n"
			 "data-have 7 1 2\n1:x\n;\n",
			 second[i]);
		bench_in(&b, in);
		want_log(&b,
			 "data 1@0 [ab] first last\nfault 10 data-have\noriginal_end bad fault=10\n"
			 "fault 4 data-have\n");
		want_out(&b, "app-message-end 7 1\nerror: true\n;\n");
		assert_int_equal(ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am), 0);
		bench_free(&b);
	}
}

/* <98>: data after data-end aborts; after app-message-end the id is unknown */
static void test_after_end(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "data-end 7 1;\ndata-have 7 1 0\n1:x\n;\ndata-have 7 1 0\n1:x\n;\n");
	want_log(&b, "original_end ok\nfault 12 data-have\nfault 4 data-have\n");
	want_out(&b, "app-message-end 7 1\nerror: true\n;\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "app-message-end 7 1;\ndata-have 7 1 0\n1:x\n;\n");
	want_log(&b, "original_end ok\nfault 4 data-have\n");
	want_out(&b, "");
	bench_free(&b);
	original(&b);
	bench_in(&b, "app-message-end 7 1\nerror: true\n;\n");
	want_log(&b, "original_end bad\n");
	bench_free(&b);
	original(&b);
	bench_in(&b, "data-end 7 1\nresult: {400}\n;\napp-message-end 7 1;\n");
	want_log(&b, "original_end bad {400}\n");
	bench_free(&b);
}

/* am-id of the wrong parity, a second original */
static void test_am_id(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "app-message-start 7 3 \"1:x\";\n");
	want_log(&b, "fault 8 app-message-start\n");
	want_out(&b, "app-message-end 7 3\nerror: true\n;\n");
	bench_in(&b, "app-message-start 7 4 \"1:x\";\ndata-have 7 1 0\n1:x\n;\n");
	want_log(&b, "fault 8 app-message-start\ndata 1@0 [x] first last\n");
	want_out(&b, "app-message-end 7 4\nerror: true\n;\n");
	bench_in(&b, "app-message-start 7 1 \"1:x\";\ndata-have 7 1 1\n1:x\n;\n");
	want_log(&b, "fault 8 app-message-start\noriginal_end bad fault=8\nfault 4 data-have\n");
	want_out(&b, "app-message-end 7 1\nerror: true\n;\n");
	bench_free(&b);
	connect_(&b);
	bench_in(&b, "xaction-start 7;\napp-message-start 7 2 \"1:x\";\napp-message-start 7 5 "
		     "\"1:x\";\n");
	want_log(&b, "xaction_start 7 [u:s|]\nfault 8 app-message-start\nam_start 5 [x] kind=0\n");
	bench_free(&b);
}

/* <77>: refusing an app-message-start; the refused id stays introduced */
static void test_am_refused(void **state)
{
	struct bench b;

	connect_(&b);
	b.refuse_am = 1;
	bench_in(&b, "xaction-start 7;\napp-message-start 7 1 \"1:x\";\ndata-have 7 1 0\n1:x\n;\n"
		     "app-message-start 7 3 \"1:x\";\nxaction-end 7;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nam_start 1 [x] kind=0\nfault 4 data-have\n"
		     "fault 8 app-message-start\nxaction_end 0\n");
	want_out(&b, "app-message-end 7 1\nresult: {400}\nerror: true\n;\napp-message-end 7 "
		     "3\nerror: true\n;\n");
	bench_free(&b);
}

/* <54>: unknown identifiers are ignored */
static void test_unknown_ids(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b,
		 "data-have 8 1 0\n1:x\n;\ndata-have 7 5 0\n1:x\n;\ndata-end 7 5;\ndata-end 8 1;\n"
		 "app-message-end 7 5;\napp-message-start 9 1 \"1:x\";\ndata-paused 7 2;\ndata-ack "
		 "7 2 0 0;\n"
		 "xaction-end 9;\n");
	want_out(&b, "");
	assert_int_equal(ocp_server_counters(b.s)->faults[OCP_FAULT_UNKNOWN_ID], 9);
	assert_int_equal(ocp_server_over(b.s), OCP_END_NONE);
	bench_free(&b);
}

/* <53>: unknown messages and parameters are ignored */
static void test_unknown_messages(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "x-new 1 2 (a)\nK: v\n\n3:abc\n;\ndata-have 7 1 0\nx-new: {1}\n\n1:x\n;\n");
	want_log(&b, "fault 3 unknown\ndata 1@0 [x] first last\n");
	assert_int_equal(ocp_server_counters(b.s)->unknown_params, 5);
	assert_int_equal(ocp_server_counters(b.s)->rx_msgs[OCP_MSG_UNKNOWN], 1);
	bench_free(&b);
}

/* <93> <104> and data-as-is: not for a processor to send */
static void test_direction(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "data-pause 7 1;\ndata-need 7 1 0;\ndata-as-is 7 1 0 0 1 0;\n");
	want_log(&b, "fault 5 data-pause\nfault 5 data-need\nfault 5 data-as-is\n");
	want_out(&b, "");
	bench_free(&b);
}

/* Data for a message of the recipient's own is ignored. */
static void test_own_am_id(void **state)
{
	struct bench b;
	uint32_t am;

	original(&b);
	assert_int_equal(ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am), 0);
	want_out(&b, "app-message-start 7 2 \"0:\";\n");
	bench_in(&b, "data-have 7 2 0\n1:x\n;\ndata-end 7 2;\n");
	want_log(&b, "fault 9 data-have\nfault 9 data-end\n");
	assert_int_equal(ocp_server_data(b.s, 7, am, "ok", 2, NULL, NULL), 0);
	want_out(&b, "data-have 7 2 0\n2:ok\n;\n");
	bench_free(&b);
}

/* <87> <110>: acknowledged once the whole data-have is there */
static void test_ack(void **state)
{
	struct bench b;

	original(&b);
	bench_in(&b, "data-have 7 1 0\nack: true\n\n4:ab");
	want_out(&b, "");
	bench_in(&b, "cd\n;");
	want_out(&b, "");
	bench_in(&b, "\ndata-have 7 1 4\nplease-ack: true\n\n0:\n;\ndata-have 7 1 4\n1:e\n;\n");
	want_out(&b, "data-ack 7 1 0 4;\ndata-ack 7 1 4 0;\n");
	want_log(&b, "data 1@0 [ab] first\ndata 1@2 [cd] last\ndata 1@4 [] first last\n"
		     "data 1@4 [e] first last\n");
	bench_free(&b);
}

/* <108>: debugging mode, agreed by feature or switched on */
static void test_ack_all(void **state)
{
	struct bench b;
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;

	original(&b);
	bench_in(&b, "please-use {\"24:urn:opes:feature:ack-all\"};\ndata-have 7 1 0\n1:x\n;\n");
	want_out(&b, "i-will-use {\"24:urn:opes:feature:ack-all\"};\ndata-ack 7 1 0 1;\n");
	bench_free(&b);
	memset(&b, 0, sizeof(b));
	cfg.ack_all = true;
	assert_int_equal(ocp_server_create(&b.s, &cfg, &bench_s_ops, &b, 0), 0);
	bench_in(&b, "connection-start;\nxaction-start 7\nservice: " SERVICE
		     "\n;\napp-message-start 7 1 \"1:x\";\ndata-have 7 1 0\n1:x\n;\ndata-have 7 1 "
		     "1\n0:\n;\n");
	want_out(&b, "data-ack 7 1 0 1;\ndata-ack 7 1 1 0;\n");
	bench_free(&b);
}

/* <92> <95> <102> */
static void test_pause(void **state)
{
	struct bench b;

	original(&b);
	assert_int_equal(ocp_server_pause(b.s, 7), 0);
	want_out(&b, "data-pause 7 1;\n");
	bench_in(&b, "data-have 7 1 0\n1:x\n;\n"); /* under way: not paused yet <92> */
	want_log(&b, "data 1@0 [x] first last\n");
	bench_in(&b, "data-paused 7 1;\ndata-have 7 1 1\n1:y\n;\n");
	want_log(&b, "paused\nfault 13 data-have\ndata 1@1 [y] first last\n");
	assert_int_equal(ocp_server_need(b.s, 7, 0), 0);
	assert_int_equal(ocp_server_need(b.s, 7, 4096), 0);
	want_out(&b, "data-need 7 1 2;\ndata-need 7 1 2\nsize-request: 4096\n;\n");
	bench_in(&b, "data-have 7 1 2\n1:z\n;\n");
	want_log(&b, "data 1@2 [z] first last\n");
	bench_free(&b);
}

/* <89>: only what is under commitment */
static void test_as_is_only_committed(void **state)
{
	struct bench b;
	uint32_t am;

	original(&b);
	ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am);
	bench_in(&b, "data-have 7 1 0\ncopied: true\n\n4:abcd\n;\ndata-have 7 1 4\n2:ef\n;\n"
		     "data-have 7 1 6\ncopied: true\n\n2:gh\n;\n");
	text_clear(&b.out);
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 0, 5, 0), -EPERM);
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 4, 1, 0), -EPERM);
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 6, 3, 0), -EPERM);
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 1, UINT64_MAX, 0), -EPERM);
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 6, 2, 0), 0);
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 1, 2, OCP_PART_REQUEST_BODY), 0);
	want_out(&b, "data-as-is 7 2 0 2 1 6;\ndata-as-is 7 2 2 2 1 1\nam-part: request-body\n;\n");
	/* <107> <109>: given up, no longer to be referred to */
	assert_int_equal(ocp_server_ack(b.s, 7, 1, 2, true), 0);
	want_out(&b, "data-ack 7 1 1 2\nwont-forward: true\n;\n");
	assert_false(ocp_server_committed(b.s, 7, 0, 2));
	assert_true(ocp_server_committed(b.s, 7, 0, 1));
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 1, 1, 0), -EPERM);
	assert_int_equal(ocp_server_ack(b.s, 7, 0, 9, false), -EINVAL);
	/* trap 4: the processor's own data-end ends no commitment */
	bench_in(&b, "data-end 7 1;\n");
	assert_int_equal(ocp_server_as_is(b.s, 7, am, 3, 1, 0), 0);
	bench_free(&b);
}

static void test_answering(void **state)
{
	struct bench b;
	uint32_t am, am2;
	struct ocp_send send = OCP_SEND_INIT;

	original(&b);
	send.modified = true;
	send.modp = 100;
	send.sizep = 5;
	assert_int_equal(ocp_server_am_start(b.s, 7, OCP_STR("Kind: response"), &send, &am), 0);
	send.ack = true;
	send.part = OCP_PART_RESPONSE_BODY;
	assert_int_equal(ocp_server_data(b.s, 7, am, "hello", 5, NULL, &send), 0);
	assert_int_equal(ocp_server_data_end(b.s, 7, am, true), 0);
	assert_int_equal(ocp_server_data(b.s, 7, am, "x", 1, NULL, NULL), -EPIPE);
	assert_int_equal(ocp_server_data_end(b.s, 7, am, true), -EPIPE);
	want_out(&b, "app-message-start 7 2 \"14:Kind: response\"\nsizep: 5\nmodp: 100\nmodified: "
		     "true\n;\n"
		     "data-have 7 2 0\nsizep: 5\nmodp: 100\nam-part: response-body\nmodified: "
		     "true\nack: true\n\n"
		     "5:hello\n;\ndata-end 7 2;\n");
	bench_in(&b, "data-ack 7 2 0 5\nwont-forward: true\n;\ndata-ack 7 2 0 6;\n");
	want_log(&b, "ack 2 0+5\nfault 15 data-ack\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am2), 0);
	assert_int_equal(am2, 4);
	bench_in(&b, "app-message-end 7 4\nerror: true\n;\n");
	want_log(&b, "am_end 4 error\n");
	assert_int_equal(ocp_server_data(b.s, 7, am2, "x", 1, NULL, NULL), -ENOENT);
	text_clear(&b.out);
	assert_int_equal(ocp_server_am_end(b.s, 7, am, false, NULL), 0);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), 0);
	assert_int_equal(ocp_server_xaction_end(b.s, 7, false, NULL), -ENOENT);
	want_out(&b, "app-message-end 7 2;\nxaction-end 7;\n");
	bench_in(&b, "data-have 7 1 0\n1:x\n;\n"); /* under way: ignored */
	want_log(&b, "fault 4 data-have\n");
	bench_free(&b);
	original(&b);
	assert_int_equal(ocp_server_refuse(b.s, 7, "busy"), 0);
	want_out(&b, "xaction-end 7\nresult: {400 \"4:busy\"}\nerror: true\n;\n");
	bench_free(&b);
}

/* <67> <13>: an agent sends what its payload limit allows, in pieces */
static void test_split_of_large_data(void **state)
{
	struct bench b;
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct ocp_send send = OCP_SEND_INIT;
	uint32_t am;

	memset(&b, 0, sizeof(b));
	cfg.limits.payload = 4;
	assert_int_equal(ocp_server_create(&b.s, &cfg, &bench_s_ops, &b, 0), 0);
	bench_in(&b, "connection-start;\nxaction-start 7\nservice: " SERVICE "\n;\n");
	assert_int_equal(ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am), 0);
	text_clear(&b.out);
	send.sizep = 1;
	assert_int_equal(ocp_server_data(b.s, 7, am, "0123456789", 10, NULL, &send), 0);
	want_out(&b,
		 "data-have 7 2 0\nsizep: 7\n\n4:0123\n;\ndata-have 7 2 4\nsizep: 3\n\n4:4567\n;\n"
		 "data-have 7 2 8\nsizep: 1\n\n2:89\n;\n");
	bench_free(&b);
}

static const char leave[] = "please-use {\"27:urn:opes:feature:leave-loop\"};\n";

static void test_leave_loop(void **state)
{
	struct bench b;
	uint32_t am;

	original(&b);
	ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), -ENOTSUP);
	bench_in(&b, leave);
	bench_in(&b, "data-have 7 1 0\n2:ab\n;\n");
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), -EPERM); /* not under commitment */
	bench_in(&b, "data-have 7 1 2\ncopied: true\n\n4:cdef\n;\n");
	text_clear(&b.out);
	ocp_server_data(b.s, 7, am, "AB", 2, NULL, NULL);
	ocp_server_as_is(b.s, 7, am, 2, 4, 0);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), 0);
	want_out(&b, "data-have 7 2 0\n2:AB\n;\ndata-as-is 7 2 2 4 1 2;\ndata-end 7 2\nresult: "
		     "{206}\n;\n"
		     "xaction-end 7;\n");
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), -ENOENT);
	bench_free(&b);
	/* own octets last: an empty data-as-is says where the rest begins */
	original(&b);
	ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am);
	bench_in(&b, leave);
	bench_in(&b, "data-have 7 1 0\ncopied: true\n\n4:cdef\n;\n");
	ocp_server_data(b.s, 7, am, "CDEF!", 5, NULL, NULL);
	text_clear(&b.out);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), 0);
	want_out(&b, "data-as-is 7 2 5 0 1 4;\ndata-end 7 2\nresult: {206}\n;\nxaction-end 7;\n");
	bench_free(&b);
	/* not in the middle of a data-have, not before what has been given up */
	original(&b);
	ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am);
	bench_in(&b, leave);
	bench_in(&b, "data-have 7 1 0\ncopied: true\n\n4:cd");
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), -EBUSY);
	bench_in(&b, "ef\n;\n");
	ocp_server_as_is(b.s, 7, am, 0, 2, 0);
	ocp_server_ack(b.s, 7, 2, 1, true);
	assert_int_equal(ocp_server_leave_loop(b.s, 7, am), -EPERM);
	bench_free(&b);
}

static void test_features(void **state)
{
	struct bench b;

	connect_(&b);
	bench_in(&b,
		 "do-you-support {\"22:urn:opes:feature:as-is\"};\ndo-you-support {\"1:x\" y};\n"
		 "please-use {\"23:urn:opes:feature:copied\"};\nplease-use {\"1:x\" y};\n");
	want_out(&b, "i-do-support {\"22:urn:opes:feature:as-is\"};\ni-dont-support {\"1:x\" y};\n"
		     "i-will-use {\"23:urn:opes:feature:copied\"};\ni-wont-use {\"1:x\" y};\n");
	want_log(&b, "feature 0 urn:opes:feature:copied 0\n");
	assert_int_equal(ocp_server_features(b.s), OCP_HAS(OCP_FEATURE_COPIED));
	/* our own questions */
	ocp_server_please_use(b.s, ocp_str(ocp_feature_uri(OCP_FEATURE_LEAVE_LOOP)));
	ocp_server_please_use(b.s, OCP_STR("u:x"));
	ocp_server_do_you_support(b.s, OCP_STR("u:y"));
	want_out(&b, "please-use {\"27:urn:opes:feature:leave-loop\"};\nplease-use {\"3:u:x\"};\n"
		     "do-you-support {\"3:u:y\"};\n");
	bench_in(&b,
		 "i-will-use {\"27:urn:opes:feature:leave-loop\"};\ni-wont-use {\"3:u:x\"};\n"
		 "i-do-support {\"3:u:y\"};\ni-dont-support {\"3:u:y\"};\n"
		 "i-will-use {\"24:urn:opes:feature:ack-all\"};\n"); /* the last: nobody asked */
	want_log(&b, "feature 2 urn:opes:feature:leave-loop 0\nfeature 6 u:x 1\nfeature 6 u:y 2\n"
		     "feature 6 u:y 3\n");
	assert_int_equal(ocp_server_features(b.s),
			 OCP_HAS(OCP_FEATURE_COPIED) | OCP_HAS(OCP_FEATURE_LEAVE_LOOP));
	bench_free(&b);
}

/* <115> <118>: always answered, with the valid ones of the identifiers */
static void test_are_you_there(void **state)
{
	struct bench b;
	uint32_t am;

	original(&b);
	ocp_server_am_start(b.s, 7, OCP_STR(""), NULL, &am);
	text_clear(&b.out);
	bench_in(&b, "are-you-there 5;\nare-you-there 6\nxid: 7\n;\nare-you-there 7\nxid: "
		     "7\nam-id: 1\n;\n"
		     "are-you-there 8\nxid: 7\nam-id: 2\n;\nare-you-there 9\nxid: 7\nam-id: 3\n;\n"
		     "are-you-there 10\nxid: 8\nam-id: 1\n;\nare-you-there 0\nam-id: 1\n;\n");
	want_out(&b, "i-am-here\nrid: 5\n;\ni-am-here\nxid: 7\nrid: 6\n;\ni-am-here\nxid: "
		     "7\nam-id: 1\nrid: 7\n;\n"
		     "i-am-here\nxid: 7\nam-id: 2\nrid: 8\n;\ni-am-here\nxid: 7\nrid: 9\n;\n"
		     "i-am-here\nrid: 10\n;\ni-am-here\nrid: 0\n;\n");
	/* after the effects of earlier messages */
	bench_in(&b, "xaction-end 7;\nare-you-there 1\nxid: 7\n;\n");
	want_out(&b, "i-am-here\nrid: 1\n;\n");
	bench_free(&b);
	original(&b);
	assert_int_equal(ocp_server_working(b.s, 7), 0);
	want_out(&b, "i-am-here\nxid: 7\n;\n"); /* <114>: without rid */
	bench_free(&b);
}

static void test_liveness(void **state)
{
	struct bench b;
	uint32_t rid;

	start(&b);
	assert_true(ocp_server_next_deadline(b.s) == UINT64_MAX); /* no connection yet */
	bench_free(&b);
	connect_(&b);
	assert_int_equal(ocp_server_next_deadline(b.s), 5000000);
	ocp_server_tick(b.s, 4999999);
	want_out(&b, "");
	ocp_server_tick(b.s, 5000000);
	want_out(&b, "are-you-there 1;\n");
	assert_int_equal(ocp_server_next_deadline(b.s), 7000000);
	b.now = 6000000;
	bench_in(&b, "i-am-here\nrid: 1\n;\n");
	assert_int_equal(ocp_server_next_deadline(b.s), 11000000);
	ocp_server_tick(b.s, 11000000);
	want_out(&b, "are-you-there 2;\n");
	ocp_server_tick(b.s, 12999999);
	want_log(&b, "");
	ocp_server_tick(b.s, 13000000);
	want_log(&b, "closed 6\n");
	assert_true(ocp_server_next_deadline(b.s) == UINT64_MAX);
	bench_free(&b);
	/* octets give more time, but not for ever */
	connect_(&b);
	ocp_server_tick(b.s, 5000000);
	for (b.now = 6000000; b.now < 13000000; b.now += 1000000) {
		bench_in(&b, "connection-priority 1;\n");
		ocp_server_tick(b.s, b.now);
	}
	assert_int_equal(ocp_server_over(b.s), OCP_END_NONE);
	bench_in(&b, "connection-priority 1;\n");
	ocp_server_tick(b.s, 13000000);
	assert_int_equal(ocp_server_over(b.s), OCP_END_DEAD);
	bench_free(&b);
	/* the owner's own question */
	original(&b);
	assert_int_equal(ocp_server_probe(b.s, false, 0, true, 1, &rid, 1), -EINVAL);
	assert_int_equal(ocp_server_probe(b.s, true, 7, true, 1, &rid, 1), 0);
	want_out(&b, "are-you-there 1\nxid: 7\nam-id: 1\n;\n");
	bench_in(&b, "i-am-here\nrid: 1\nxid: 7\n;\n");
	want_log(&b, "alive 1 1 0\n");
	bench_free(&b);
}

static void test_deadline(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b = {0};

	cfg.idle_probe_us = 0;
	cfg.deadline_us = 10;
	cfg.probe_timeout_us = 5;
	assert_int_equal(ocp_server_create(&b.s, &cfg, &bench_s_ops, &b, 0), 0);
	bench_in(&b, "connection-start;\nconnection-service " SERVICE
		     ";\nxaction-start 1;\nxaction-start 2;\n");
	text_clear(&b.log);
	assert_int_equal(ocp_server_next_deadline(b.s), 10);
	ocp_server_tick(b.s, 10);
	want_out(&b, "are-you-there 1\nxid: 1\n;\nare-you-there 2\nxid: 2\n;\n");
	b.now = 12;
	bench_in(&b, "i-am-here\nrid: 2\nxid: 2\n;\ni-am-here\nrid: 1\n;\n");
	want_log(&b, "xaction_end 4\n"); /* 1 is not maintained any more */
	want_out(&b, "xaction-end 1\nerror: true\n;\n");
	ocp_server_tick(b.s, 22);
	want_out(&b, "are-you-there 3\nxid: 2\n;\n");
	ocp_server_tick(b.s, 27);
	want_log(&b, "xaction_end 3\n"); /* no answer */
	bench_free(&b);
}

static void test_limits(void **state)
{
	struct ocp_server_config cfg = OCP_SERVER_CONFIG_DEFAULT;
	struct bench b = {0};
	uint32_t am;

	cfg.xactions_max = 2;
	cfg.ams_max = 1;
	assert_int_equal(ocp_server_create(&b.s, &cfg, &bench_s_ops, &b, 0), 0);
	bench_in(&b, "connection-start;\nconnection-service " SERVICE
		     ";\nxaction-start 1;\nxaction-start 2;\n"
		     "xaction-start 3;\nxaction-end 1;\nxaction-start 4;\n");
	assert_int_equal(ocp_server_xactions(b.s), 2);
	assert_int_equal(ocp_server_counters(b.s)->faults[OCP_FAULT_LIMIT], 1);
	assert_int_equal(ocp_server_am_start(b.s, 2, OCP_STR(""), NULL, &am), 0);
	assert_int_equal(ocp_server_am_start(b.s, 2, OCP_STR(""), NULL, &am), -EBUSY);
	bench_free(&b);
}

/* --- calls from inside callbacks --- */

static void end_in_data(struct bench *b, const char *where)
{
	if (!strcmp(where, "data"))
		ocp_server_xaction_end(b->s, 7, false, NULL);
}

static void end_in_start(struct bench *b, const char *where)
{
	if (!strcmp(where, "xaction_start"))
		ocp_server_refuse(b->s, 7, NULL);
}

static void close_in_data(struct bench *b, const char *where)
{
	if (!strcmp(where, "data"))
		ocp_server_end(b->s, true, NULL);
}

static void end_in_am_start(struct bench *b, const char *where)
{
	if (!strcmp(where, "am_start"))
		ocp_server_xaction_end(b->s, 7, false, NULL);
}

static void test_calls_from_callbacks(void **state)
{
	struct bench b;

	original(&b);
	b.inside = end_in_data;
	bench_in(&b, "data-have 7 1 0\nack: true\n\n4:ab");
	bench_in(&b, "cd\n;\n");
	want_log(&b, "data 1@0 [ab] first\n");
	want_out(&b, "xaction-end 7;\n");
	bench_free(&b);
	connect_(&b);
	b.inside = end_in_start;
	bench_in(&b, "xaction-start 7;\nxaction-start 8;\n");
	want_log(&b, "xaction_start 7 [u:s|]\nxaction_start 8 [u:s|]\n");
	assert_int_equal(ocp_server_xactions(b.s), 1);
	bench_free(&b);
	original(&b);
	b.inside = close_in_data;
	assert_int_equal(bench_in(&b, "data-have 7 1 0\nack: true\n\n1:a\n;\n"), -ENOTCONN);
	want_log(&b, "data 1@0 [a] first last\nxaction_end 5 conn=1\nclosed 1\n");
	want_out(&b, "connection-end\nerror: true\n;\n");
	bench_free(&b);
	connect_(&b);
	b.inside = end_in_am_start;
	b.refuse_am = 1;
	bench_in(&b, "xaction-start 7;\napp-message-start 7 1 \"1:x\";\n");
	want_out(&b, "xaction-end 7;\n");
	bench_free(&b);
}

static void close_in_original_end(struct bench *b, const char *where)
{
	if (!strcmp(where, "original_end"))
		ocp_server_end(b->s, false, NULL);
}

/* A transaction of whose last callbacks one ends the connection is told of its end before. */
static void test_closed_comes_last(void **state)
{
	struct bench b;

	original(&b);
	b.inside = close_in_original_end;
	assert_int_equal(bench_in(&b, "xaction-end 7;\n"), -ENOTCONN);
	want_log(&b, "original_end ok\nxaction_end 0\nclosed 1\n");
	want_out(&b, "connection-end;\n");
	bench_free(&b);
}

static void test_output_fails(void **state)
{
	struct bench b;

	original(&b);
	b.out_fails = true;
	assert_int_equal(ocp_server_pause(b.s, 7), -ENOTCONN);
	want_log(&b, "");
	assert_int_equal(ocp_server_next_deadline(b.s), 0);
	ocp_server_tick(b.s, 1);
	want_log(&b, "xaction_end 5 conn=8\nclosed 8\n");
	bench_free(&b);
	original(&b);
	b.out_fails = true;
	assert_int_equal(bench_in(&b, "are-you-there 1;\n"), -ENOTCONN);
	want_log(&b, "xaction_end 5 conn=8\nclosed 8\n");
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection_start),
		cmocka_unit_test(test_connection_refused),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_connection_end),
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_xaction_refused),
		cmocka_unit_test(test_xid_order),
		cmocka_unit_test(test_xaction_end),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_gap_and_overlap),
		cmocka_unit_test(test_after_end),
		cmocka_unit_test(test_am_id),
		cmocka_unit_test(test_am_refused),
		cmocka_unit_test(test_unknown_ids),
		cmocka_unit_test(test_unknown_messages),
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_own_am_id),
		cmocka_unit_test(test_ack),
		cmocka_unit_test(test_ack_all),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_as_is_only_committed),
		cmocka_unit_test(test_answering),
		cmocka_unit_test(test_split_of_large_data),
		cmocka_unit_test(test_leave_loop),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_are_you_there),
		cmocka_unit_test(test_liveness),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_calls_from_callbacks),
		cmocka_unit_test(test_closed_comes_last),
		cmocka_unit_test(test_output_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
