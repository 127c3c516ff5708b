/* SPDX-License-Identifier: BSD-3-Clause */
/* Codec: a vector for every message, grammar and limits, and that the cutting of a stream changes
 * nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ocp/ocp_codec_bench.h"

/* --- vectors --- */

#define B(p) OCP_HAS(OCP_P_##p)
static const struct vector vectors[] = {
	{"connection-start;\r\n", "connection-start\nend\n", {.type = OCP_MSG_CONNECTION_START}, 0},
	{"connection-start\r\npriority: -7\r\nclient: \"10:opes/edge1\"\r\n;\r\n",
	 "connection-start priority=-7 client=[opes/edge1]\nend\n",
	 {.type = OCP_MSG_CONNECTION_START,
	  .has = B(CLIENT) | B(PRIORITY),
	  .priority = -7,
	  .client = OCP_STR("opes/edge1")},
	 0},
	{"connection-end\r\nresult: {400 \"4:full\"}\r\nerror: true\r\n;\r\n",
	 "connection-end error result=400 reason=[full]\nend\n",
	 {.type = OCP_MSG_CONNECTION_END,
	  .has = B(ERROR) | B(RESULT),
	  .result = {400, OCP_STR("full")}},
	 0},
	{"connection-priority -2147483648;\r\n",
	 "connection-priority priority=-2147483648\nend\n",
	 {.type = OCP_MSG_CONNECTION_PRIORITY, .has = B(PRIORITY), .priority = INT32_MIN},
	 0},
	{"connection-service {\"21:urn:opes:service:echo\"};\r\n",
	 "connection-service service=[urn:opes:service:echo] more=[]\nend\n",
	 {.type = OCP_MSG_CONNECTION_SERVICE,
	  .has = B(SERVICE),
	  .service = {.uri = OCP_STR("urn:opes:service:echo")}},
	 0},
	{"xaction-start 7;\r\n",
	 "xaction-start xid=7\nend\n",
	 {.type = OCP_MSG_XACTION_START, .has = B(XID), .xid = 7},
	 0},
	{"xaction-start 2147483647\r\nservice: {\"3:x:y\" (a,b) {}\r\nMode: 1\r\n}\r\n;\r\n",
	 "xaction-start xid=2147483647 service=[x:y] more=[ (a,b) {}\\0d\\0aMode: "
	 "1\\0d\\0a]\nend\n",
	 {.type = OCP_MSG_XACTION_START,
	  .has = B(XID) | B(SERVICE),
	  .xid = 2147483647,
	  .service = {OCP_STR("x:y"), OCP_STR(" (a,b) {}\r\nMode: 1\r\n")}},
	 0},
	{"xaction-end 7;\r\n",
	 "xaction-end xid=7\nend\n",
	 {.type = OCP_MSG_XACTION_END, .has = B(XID), .xid = 7},
	 0},
	{"xaction-end 7\r\nresult: {206}\r\n;\r\n",
	 "xaction-end xid=7 result=206 reason=[]\nend\n",
	 {.type = OCP_MSG_XACTION_END,
	  .has = B(XID) | B(RESULT),
	  .xid = 7,
	  .result = {.code = 206}},
	 0},
	{"app-message-start 7 1 \"18:Kind: response\r\n\r\n\"\r\nsizep: 9223372036854775807\r\n"
	 "modp: 100\r\nmodified: true\r\n;\r\n",
	 "app-message-start xid=7 am=1 sizep=9223372036854775807 modp=100 modified "
	 "meta=[Kind: response\\0d\\0a\\0d\\0a]\nend\n",
	 {.type = OCP_MSG_APP_MESSAGE_START,
	  .has = B(XID) | B(AM_ID) | B(META_DATA) | B(SIZEP) | B(MODP) | B(MODIFIED),
	  .xid = 7,
	  .am_id = 1,
	  .meta_data = OCP_STR("Kind: response\r\n\r\n"),
	  .sizep = INT64_MAX,
	  .modp = 100},
	 0},
	{"app-message-start 7 2 \"0:\";\r\n",
	 "app-message-start xid=7 am=2 meta=[]\nend\n",
	 {.type = OCP_MSG_APP_MESSAGE_START,
	  .has = B(XID) | B(AM_ID) | B(META_DATA),
	  .xid = 7,
	  .am_id = 2},
	 0},
	{"app-message-end 7 2\r\nerror: true\r\n;\r\n",
	 "app-message-end xid=7 am=2 error\nend\n",
	 {.type = OCP_MSG_APP_MESSAGE_END,
	  .has = B(XID) | B(AM_ID) | B(ERROR),
	  .xid = 7,
	  .am_id = 2},
	 0},
	{"data-have 7 1 5\r\n5:again\r\n;\r\n",
	 "data-have xid=7 am=1 offset=5 size=5 payload=5\n616761696e\nend\n",
	 {.type = OCP_MSG_DATA_HAVE,
	  .has = B(XID) | B(AM_ID) | B(OFFSET),
	  .xid = 7,
	  .am_id = 1,
	  .offset = 5},
	 "again"},
	{"data-have 7 1 4294967296\r\nsizep: 0\r\nmodp: 0\r\nam-part: response-body\r\nmodified: "
	 "true"
	 "\r\ncopied: true\r\nack: true\r\n\r\n0:\r\n;\r\n",
	 "data-have xid=7 am=1 offset=4294967296 size=0 sizep=0 modp=0 part=response-body modified "
	 "copied ack payload=0\nend\n",
	 {.type = OCP_MSG_DATA_HAVE,
	  .has = B(XID) | B(AM_ID) | B(OFFSET) | B(SIZEP) | B(MODP) | B(AM_PART) | B(MODIFIED) |
		 B(COPIED) | B(ACK),
	  .xid = 7,
	  .am_id = 1,
	  .offset = UINT64_C(4294967296),
	  .am_part = OCP_PART_RESPONSE_BODY},
	 ""},
	{"data-as-is 7 2 0 100 1 9223372036854775807\r\nam-part: request-trailer\r\n;\r\n",
	 "data-as-is xid=7 am=2 offset=0 size=100 from=1+9223372036854775807 part=request-trailer\n"
	 "end\n",
	 {.type = OCP_MSG_DATA_AS_IS,
	  .has = B(XID) | B(AM_ID) | B(OFFSET) | B(SIZE) | B(COPY_AM_ID) | B(COPY_AM_OFFSET) |
		 B(AM_PART),
	  .xid = 7,
	  .am_id = 2,
	  .size = 100,
	  .copy_am_id = 1,
	  .copy_am_offset = INT64_MAX,
	  .am_part = OCP_PART_REQUEST_TRAILER},
	 0},
	{"data-pause 7 1;\r\n",
	 "data-pause xid=7 am=1\nend\n",
	 {.type = OCP_MSG_DATA_PAUSE, .has = B(XID) | B(AM_ID), .xid = 7, .am_id = 1},
	 0},
	{"data-paused 0 1;\r\n",
	 "data-paused xid=0 am=1\nend\n",
	 {.type = OCP_MSG_DATA_PAUSED, .has = B(XID) | B(AM_ID), .xid = 0, .am_id = 1},
	 0},
	{"data-end 7 1\r\nresult: {200 \"2:ok\"}\r\n;\r\n",
	 "data-end xid=7 am=1 result=200 reason=[ok]\nend\n",
	 {.type = OCP_MSG_DATA_END,
	  .has = B(XID) | B(AM_ID) | B(RESULT),
	  .xid = 7,
	  .am_id = 1,
	  .result = {200, OCP_STR("ok")}},
	 0},
	{"data-need 7 1 12345\r\nsize-request: 16384\r\n;\r\n",
	 "data-need xid=7 am=1 offset=12345 size-request=16384\nend\n",
	 {.type = OCP_MSG_DATA_NEED,
	  .has = B(XID) | B(AM_ID) | B(OFFSET) | B(SIZE_REQUEST),
	  .xid = 7,
	  .am_id = 1,
	  .offset = 12345,
	  .size_request = 16384},
	 0},
	{"data-ack 7 1 0 100\r\nwont-forward: true\r\n;\r\n",
	 "data-ack xid=7 am=1 offset=0 size=100 wont-forward\nend\n",
	 {.type = OCP_MSG_DATA_ACK,
	  .has = B(XID) | B(AM_ID) | B(OFFSET) | B(SIZE) | B(WONT_FORWARD),
	  .xid = 7,
	  .am_id = 1,
	  .size = 100},
	 0},
	{"i-am-here;\r\n", "i-am-here\nend\n", {.type = OCP_MSG_I_AM_HERE}, 0},
	{"i-am-here\r\nxid: 7\r\nam-id: 1\r\nrid: 3\r\n;\r\n",
	 "i-am-here xid=7 am=1 rid=3\nend\n",
	 {.type = OCP_MSG_I_AM_HERE,
	  .has = B(XID) | B(AM_ID) | B(RID),
	  .xid = 7,
	  .am_id = 1,
	  .rid = 3},
	 0},
	{"are-you-there 3\r\nxid: 7\r\nam-id: 1\r\n;\r\n",
	 "are-you-there xid=7 am=1 rid=3\nend\n",
	 {.type = OCP_MSG_ARE_YOU_THERE,
	  .has = B(XID) | B(AM_ID) | B(RID),
	  .xid = 7,
	  .am_id = 1,
	  .rid = 3},
	 0},
#define FEATURE(name, TYPE)                                                                        \
	{                                                                                          \
		name " {\"3:u:f\"};\r\n", name " feature=[u:f] more=[]\nend\n",                    \
			{.type = TYPE, .has = B(FEATURE), .feature = {.uri = OCP_STR("u:f")}}, 0   \
	}
	FEATURE("do-you-support", OCP_MSG_DO_YOU_SUPPORT),
	FEATURE("i-do-support", OCP_MSG_I_DO_SUPPORT),
	FEATURE("i-dont-support", OCP_MSG_I_DONT_SUPPORT),
	FEATURE("please-use", OCP_MSG_PLEASE_USE),
	FEATURE("i-will-use", OCP_MSG_I_WILL_USE),
	FEATURE("i-wont-use", OCP_MSG_I_WONT_USE),
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static void test_vectors_decode(void **state)
{
	bool seen[OCP_MSG_MAX] = {false};

	decode_vectors(vectors, VECTORS, seen);
	for (int t = OCP_MSG_UNKNOWN + 1; t < OCP_MSG_CS; t++)
		assert_true(seen[t]);
}

static void test_vectors_encode(void **state)
{
	for (size_t i = 0; i < VECTORS; i++)
		encode_vector(&vectors[i]);
}

static void test_vectors_in_one_stream(void **state)
{
	vectors_in_one_stream(vectors, VECTORS);
}

static void test_encode_refuses(void **state)
{
	char b[512];
	size_t n;
	struct ocp_msg m = {.type = OCP_MSG_UNKNOWN};

	assert_int_equal(ocp_encode(&m, 0, b, sizeof(b), &n), -EINVAL);
	m = (struct ocp_msg){.type = OCP_MSG_DATA_PAUSE, .has = B(XID), .xid = 1};
	assert_int_equal(ocp_encode(&m, 0, b, sizeof(b), &n), -EINVAL); /* am-id missing */
	m.has |= B(AM_ID) | B(COPIED);
	assert_int_equal(ocp_encode(&m, 0, b, sizeof(b), &n), -EINVAL); /* not its parameter */
	m.has &= ~B(COPIED);
	m.xid = UINT32_C(2147483648);
	assert_int_equal(ocp_encode(&m, 0, b, sizeof(b), &n), -EINVAL);
	m.xid = 1;
	assert_int_equal(ocp_encode(&m, 1, b, sizeof(b), &n), -EINVAL); /* payload */
	assert_int_equal(ocp_encode(&m, 0, b, sizeof(b), &n), 0);
	m.has |= B(MODP);
	m.modp = 101;
	assert_int_equal(ocp_encode(&m, 0, b, sizeof(b), &n), -EINVAL);
}

static void test_example_of_the_binding(void **state)
{
	expect("connection-start\r\nclient: \"10:opes/edge1\"\r\n;\r\n"
	       "connection-service {\"21:urn:opes:service:echo\"};\r\n"
	       "xaction-start 7;\r\n"
	       "app-message-start 7 1 \"36:Protocol: HTTP/1.1\r\nKind: response\r\n\";\r\n"
	       "data-have 7 1 0\r\ncopied: true\r\n\r\n5:hello\r\n;\r\n"
	       "data-have 7 1 5\r\n5:again\r\n;\r\n",
	       "connection-start client=[opes/edge1]\nend\n"
	       "connection-service service=[urn:opes:service:echo] more=[]\nend\n"
	       "xaction-start xid=7\nend\n"
	       "app-message-start xid=7 am=1 "
	       "meta=[Protocol: HTTP/1.1\\0d\\0aKind: response\\0d\\0a]\nend\n"
	       "data-have xid=7 am=1 offset=0 size=5 copied payload=5\n68656c6c6f\nend\n"
	       "data-have xid=7 am=1 offset=5 size=5 payload=5\n616761696e\nend\nidle\n");
}

static void test_forms_of_values(void **state)
{
	/* a bare value may be sent quoted */
	expect("data-pause \"1:7\" \"2:11\";\r\n", "data-pause xid=7 am=11\nend\nidle\n");
	/* flags and their other spellings, false */
	expect("data-have 7 1 0\r\nplease-ack: 1\r\nmodified: false\r\ncopied: "
	       "0\r\n\r\n1:x\r\n;\r\n",
	       "data-have xid=7 am=1 offset=0 size=1 ack payload=1\n78\nend\nidle\n");
	/* data-need: size as alias */
	expect("data-need 7 1 0\r\nsize: 5\r\n;\r\n",
	       "data-need xid=7 am=1 offset=0 size-request=5\nend\nidle\n");
	/* size of data-have may be said, and must be right */
	expect("data-have 7 1 0\r\nsize: 1\r\n\r\n1:x\r\n;\r\n",
	       "data-have xid=7 am=1 offset=0 size=1 payload=1\n78\nend\nidle\n");
	expect_bad("data-have 7 1 0\r\nsize: 2\r\n\r\n1:x\r\n;\r\n", OCP_BAD_SIZE);
	/* any octet inside a quoted value, brackets and zero included */
	expect_n("app-message-start 1 1 \"6:\"}\0;\r\n\";\r\n", 35,
		 "app-message-start xid=1 am=1 meta=[\"}\\00;\\0d\\0a]\nend\nidle\n");
	/* an unexpected payload is passed over */
	expect("xaction-end 7\r\n3:abc\r\n;\r\ni-am-here;\r\n",
	       "xaction-end xid=7 payload=3\n616263\nend\ni-am-here\nend\nidle\n");
	/* a result code of 0 is a failing one */
	expect("xaction-end 7\r\nresult: {0}\r\n;\r\n",
	       "xaction-end xid=7 result=400 reason=[]\nend\nidle\n");
	/* members after the reason are unknown */
	expect("xaction-end 7\r\nresult: {400 bad (x)\r\nWhen: now\r\n}\r\n;\r\n",
	       "xaction-end xid=7 result=400 reason=[bad]\nend\nidle\n");
}

static void test_unknown_is_skipped(void **state)
{
	expect("x-doit \"5:xyzzy\";\r\n", "unknown name=[x-doit] unknown=1\nend\nidle\n");
	expect("x-doit ({a (b,{})\r\nN: ()\r\n},\"2:\r\n\") {}\r\nA: 1\r\nB: {\r\nA: 1\r\n}\r\n\r\n"
	       "2:ab\r\n;\r\n",
	       "unknown name=[x-doit] unknown=4 payload=2\n6162\nend\nidle\n");
	expect("data-pause 7 1 8 {x}\r\nx-what: (1,2)\r\n;\r\n",
	       "data-pause xid=7 am=1 unknown=3\nend\nidle\n");
	/* case matters */
	expect("Data-pause 7 1;\r\n", "unknown name=[Data-pause] unknown=2\nend\nidle\n");
	expect("data-pause 7 1\r\nModp: x\r\n;\r\n",
	       "data-pause xid=7 am=1 unknown=1\nend\nidle\n");
	/* known elsewhere is unknown here */
	expect("data-pause 7 1\r\nwont-forward: {}\r\n;\r\n",
	       "data-pause xid=7 am=1 unknown=1\nend\nidle\n");
}

static void test_grammar(void **state)
{
	static const char *const octet[] = {
		" i-am-here;\r\n",
		"7;\r\n",
		";\r\n",
		"\r\n",
		"-a;\r\n",
		"i am-here ;\r\n",
		"i-am-here ;\r\n",
		"i-am-here;\n",
		"i-am-here;\r;",
		"i-am-here; \r\n",
		"i-am-here\r\n;\r\n",
		"i-am-here\n",
		"i-am-here\r\nrid:1\r\n;\r\n",
		"i-am-here\r\nrid : 1\r\n;\r\n",
		"i-am-here\r\nrid:  1\r\n;\r\n",
		"i-am-here\r\nrid: 1;\r\n",
		"i-am-here\r\nrid: 1 2\r\n;\r\n",
		"i-am-here\r\nrid: 1\r\n7:x\r\n;\r\n",
		"i-am-here\r\n\r\n1:x\r\n;\r\n",
		"i-am-here\r\nrid: 1\r\n\r\n;\r\n",
		"i-am-here\r\nrid: \r\n;\r\n",
		"data-pause 7  1;\r\n",
		"data-pause 7 1 ;\r\n",
		"data-pause 7,1;\r\n",
		"data-pause 7\t1;\r\n",
		"x (a, b);\r\n",
		"x (a,);\r\n",
		"x (,a);\r\n",
		"x (a b);\r\n",
		"x (a;\r\n",
		"x {a };\r\n",
		"x { a};\r\n",
		"x {a,b};\r\n",
		"x {a);\r\n",
		"x );\r\n",
		"x {a\r\nb};\r\n",
		"x {\r\n};\r\n",
		"x {a\r\nB: 1};\r\n",
		"x {\r\nB: 1 2\r\n};\r\n",
		"x {\r\nB: 1\r\n\r\n};\r\n",
		"x (\r\nA: b\r\n);\r\n",
		"x +1;\r\n",
		"x a.b;\r\n",
		"x \"a:b\";\r\n",
		"x \":\";\r\n",
		"x \"\";\r\n",
		"x \"-1:a\";\r\n",
		"x \"+1:a\";\r\n",
		"data-have 7 1 0\r\n1:x;\r\n",
		"data-have 7 1 0\r\n1:x\r\n\r\n;\r\n",
		"data-have 7 1 0\r\n1:xy\r\n;\r\n",
		"data-have 7 1 0\r\n2:x\r\n;\r\n",
		"data-have 7 1 0\r\n :x\r\n;\r\n",
		"data-have 7 1 0\r\n1 :x\r\n;\r\n",
	};

	for (size_t i = 0; i < sizeof(octet) / sizeof(octet[0]); i++)
		expect_bad(octet[i], OCP_BAD_OCTET);
	expect_bad("x \"01:a\";\r\n", OCP_BAD_NUMBER);
	expect_bad("x \"00:\";\r\n", OCP_BAD_NUMBER);
	expect_bad("x \"2147483648:a\";\r\n", OCP_BAD_NUMBER);
	expect_bad("data-have 7 1 0\r\n01:x\r\n;\r\n", OCP_BAD_NUMBER);
	expect_bad("data-have 7 1 0\r\n2147483648:x\r\n;\r\n", OCP_BAD_NUMBER);
	expect_bad("x \"1:ab\";\r\n", OCP_BAD_QUOTE);
	expect_bad("x \"3:ab\";\r\n", OCP_BAD_QUOTE);
	expect_bad("x \"0:a\";\r\n", OCP_BAD_QUOTE);
	expect_bad("x\r\nA: 1\r\nB: 2\r\nA: 1\r\n;\r\n", OCP_BAD_REPEATED);
	expect_bad("x {\r\nA: 1\r\nB: {\r\nA: 1\r\n}\r\nA: 1\r\n};\r\n", OCP_BAD_REPEATED);
	expect_bad("data-pause 7 1\r\nmodp: 1\r\nmodp: 1\r\n;\r\n", OCP_BAD_REPEATED);
	expect("x {\r\nA: 1\r\nB: {\r\nA: 1\r\n}\r\nC: {\r\nA: 1\r\n}\r\n}\r\nA: 1\r\n;\r\n",
	       "unknown name=[x] unknown=2\nend\nidle\n");
	expect("x {a\r\n", "inside\n");
}

static void test_types_and_ranges(void **state)
{
	static const char *const missing[] = {
		"data-pause 7;\r\n",
		"data-pause;\r\n",
		"xaction-start;\r\n",
		"are-you-there;\r\n",
		"connection-priority;\r\n",
		"please-use;\r\n",
		"please-use {};\r\n",
		"please-use {\r\nA: 1\r\n};\r\n",
		"app-message-start 7 1;\r\n",
		"data-ack 7 1 0;\r\n",
		"data-as-is 7 2 0 5 1;\r\n",
		"data-have 7 1 0;\r\n",
		"data-have 7 1\r\n1:x\r\n;\r\n",
		"data-need 7 1;\r\n",
		"xaction-end 1\r\nresult: {}\r\n;\r\n",
	};
	static const char *const type[] = {
		"data-pause a 1;\r\n",
		"data-pause -1 1;\r\n",
		"data-pause (7) 1;\r\n",
		"data-pause {7} 1;\r\n",
		"data-pause \"0:\" 1;\r\n",
		"data-pause \"2: 7\" 1;\r\n",
		"connection-priority 1-;\r\n",
		"connection-priority -;\r\n",
		"connection-service \"3:a:b\";\r\n",
		"connection-service {(a)};\r\n",
		"please-use x;\r\n",
		"xaction-end 7\r\nerror: yes\r\n;\r\n",
		"xaction-end 7\r\nerror: True\r\n;\r\n",
		"xaction-end 7\r\nresult: 400\r\n;\r\n",
		"xaction-end 7\r\nresult: {ok}\r\n;\r\n",
		"xaction-end 7\r\nresult: {400 (x)}\r\n;\r\n",
		"app-message-start 7 1 {};\r\n",
		"connection-start\r\nclient: (a)\r\n;\r\n",
		"data-end 7 1\r\nsizep: many\r\n;\r\n",
	};
	static const char *const range[] = {
		"data-pause 2147483648 1;\r\n",
		"data-pause 7 2147483648;\r\n",
		"data-pause 07 1;\r\n",
		"data-pause 00 1;\r\n",
		"data-pause 7 18446744073709551617;\r\n",
		"data-have 7 1 9223372036854775808\r\n0:\r\n;\r\n",
		"data-have 7 1 0\r\nmodp: 101\r\n\r\n0:\r\n;\r\n",
		"data-have 7 1 0\r\nam-part: body\r\n\r\n0:\r\n;\r\n",
		"data-as-is 7 2 0 2147483648 1 0;\r\n",
		"data-ack 7 1 0 2147483648;\r\n",
		"data-need 7 1 0\r\nsize-request: 2147483648\r\n;\r\n",
		"connection-priority 2147483648;\r\n",
		"connection-priority -2147483649;\r\n",
		"connection-priority -01;\r\n",
		"xaction-end 7\r\nresult: {0400}\r\n;\r\n",
	};

	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		expect_bad(missing[i], OCP_BAD_MISSING);
	for (size_t i = 0; i < sizeof(type) / sizeof(type[0]); i++)
		expect_bad(type[i], OCP_BAD_TYPE);
	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++)
		expect_bad(range[i], OCP_BAD_RANGE);
}

/* --- limits --- */

static char *repeat(const char *head, const char *unit, const char *sep, size_t n, const char *tail)
{
	struct text t = {0};

	say(&t, "%s", head);
	for (size_t i = 0; i < n; i++)
		say(&t, "%s%s", i ? sep : "", unit);
	say(&t, "%s", tail);
	return t.p;
}

static void limit(const char *head, const char *unit, const char *sep, size_t n, const char *tail,
		  enum ocp_bad bad)
{
	char *in = repeat(head, unit, sep, n, tail);
	char *e = events_lim(in, strlen(in), NULL, NULL, NULL), *f;
	size_t seven = 7;

	if (bad) {
		assert_non_null(strstr(e, "bad "));
		assert_int_equal(atoi(strstr(e, "bad ") + 4), bad);
	} else {
		assert_non_null(strstr(e, "end\nidle\n"));
	}
	f = events_lim(in, strlen(in), cut_n, &seven, NULL);
	assert_string_equal(e, f);
	free(f);
	free(e);
	free(in);
}

static void limits_of_quoted(size_t n, enum ocp_bad bad)
{
	char head[64];

	snprintf(head, sizeof(head), "x-y \"%zu:", n);
	limit(head, "a", "", n, "\";\r\n", bad);
	snprintf(head, sizeof(head), "app-message-start 1 1 \"%zu:", n);
	limit(head, "a", "", n, "\";\r\n", bad);
}

static void test_limits(void **state)
{
	limit("", "n", "", 64, ";\r\n", 0);
	limit("", "n", "", 65, ";\r\n", OCP_BAD_NAME);
	limit("x\r\n", "n", "", 64, ": 1\r\n;\r\n", 0);
	limit("x\r\n", "n", "", 65, ": 1\r\n;\r\n", OCP_BAD_NAME);
	limit("x ", "a", "", 65536, ";\r\n", 0);
	limit("x ", "a", "", 65537, ";\r\n", OCP_BAD_ATOM);
	limits_of_quoted(65536, 0);
	limits_of_quoted(65537, OCP_BAD_ATOM);
	limit("x ", "{", "", 8, "}}}}}}}};\r\n", 0);
	limit("x ", "{", "", 9, "}}}}}}}}};\r\n", OCP_BAD_NESTING);
	limit("x ", "(", "", 9, ")))))))));\r\n", OCP_BAD_NESTING);
	limit("x (", "a", ",", 256, ");\r\n", 0);
	limit("x (", "a", ",", 257, ");\r\n", OCP_BAD_ITEMS);
	limit("x ", "a", " ", 256, ";\r\n", 0);
	limit("x ", "a", " ", 257, ";\r\n", OCP_BAD_ANONYMOUS);
	limit("x {", "a", " ", 256, "};\r\n", 0);
	limit("x {", "a", " ", 257, "};\r\n", OCP_BAD_ANONYMOUS);
}

static void named_params(unsigned n, bool inside, enum ocp_bad bad)
{
	struct text t = {0};
	char *e;

	say(&t, inside ? "x {" : "x");
	for (unsigned i = 0; i < n; i++)
		say(&t, "\r\nn%u: (a)", i);
	say(&t, inside ? "\r\n};\r\n" : "\r\n;\r\n");
	e = events_all(t.p, t.len, NULL);
	if (bad)
		assert_int_equal(atoi(strstr(e, "bad ") + 4), bad);
	else
		assert_non_null(strstr(e, "end\nidle"));
	free(e);
	free(t.p);
}

static void test_limit_named(void **state)
{
	named_params(32, false, 0);
	named_params(33, false, OCP_BAD_NAMED);
	named_params(32, true, 0);
	named_params(33, true, OCP_BAD_NAMED);
}

static void test_limit_payload(void **state)
{
	struct ocp_limits lim = OCP_LIMITS_DEFAULT;
	char *e;

	expect_bad("data-have 7 1 0\r\n1048577:", OCP_BAD_PAYLOAD);
	expect("data-have 7 1 0\r\n1048576:", "data-have xid=7 am=1 offset=0 size=1048576 "
					      "payload=1048576\ninside\n");
	expect_bad("x\r\n1048577:", OCP_BAD_PAYLOAD);
	lim.payload = 3;
	e = events_all("x\r\n4:abcd\r\n;\r\n", 13, &lim);
	assert_string_equal(e, "bad 10 at 4\n");
	free(e);
}

/* What nobody reads is not kept, however much of it there is. */
static void test_unknown_values_are_not_kept(void **state)
{
	struct ocp_limits lim = OCP_LIMITS_DEFAULT;
	struct text t = {0};
	char *e;

	lim.head = 600;
	say(&t, "data-pause 7 11");
	for (int i = 0; i < 120; i++)
		say(&t, " \"700:%0700d\" {(%0100d)}", 1, 2);
	say(&t, "\r\nmodp: 55\r\nx-long: %0600d\r\nsizep: 3\r\n;\r\n", 3);
	e = events_all(t.p, t.len, &lim);
	assert_string_equal(e, "data-pause xid=7 am=11 sizep=3 modp=55 unknown=241\nend\nidle\n");
	free(e);
	t.len = 0;
	say(&t, "app-message-start 7 1 \"600:%0600d\";\r\n", 0);
	e = events_all(t.p, t.len, &lim);
	assert_non_null(strstr(e, "bad 11"));
	free(e);
	free(t.p);
}

static void test_bad_stays_bad(void **state)
{
	struct ocp_decoder *d = ocp_decoder_create(NULL);
	struct ocp_event ev;

	assert_int_equal(ocp_decoder_feed(d, "i-am-here; ", 11, &ev), 10);
	assert_int_equal(ev.type, OCP_EVENT_BAD);
	assert_int_equal(ocp_decoder_feed(d, "i-am-here;\r\n", 12, &ev), 0);
	assert_int_equal(ev.type, OCP_EVENT_BAD);
	assert_int_equal(ev.offset, 10);
	ocp_decoder_destroy(d);
	ocp_decoder_destroy(NULL);
}

static void test_meta(void **state)
{
	struct ocp_str m = OCP_STR("Protocol: HTTP/1.1\r\nKind: response\r\nX:y\r\nEmpty: \r\n"), v;

	assert_int_equal(ocp_meta_kind(m), OCP_KIND_RESPONSE);
	assert_true(ocp_meta_get(m, "X", &v));
	assert_true(ocp_str_eq(v, OCP_STR("y")));
	assert_true(ocp_meta_get(m, "Empty", &v));
	assert_int_equal(v.len, 0);
	assert_false(ocp_meta_get(m, "kind", &v));
	assert_false(ocp_meta_get(m, "Kin", &v));
	assert_int_equal(ocp_meta_kind((struct ocp_str){0}), OCP_KIND_NONE);
	assert_int_equal(ocp_meta_kind(OCP_STR("Kind: request")), OCP_KIND_REQUEST);
	assert_int_equal(ocp_meta_kind(OCP_STR("Kind: stream\n")), OCP_KIND_STREAM);
	assert_int_equal(ocp_meta_kind(OCP_STR("Kind: \r\n")), OCP_KIND_OTHER);
}

static void test_texts(void **state)
{
	for (int i = 0; i < OCP_BAD_MAX; i++)
		assert_non_null(ocp_bad_text(i));
	for (int i = 0; i < OCP_END_MAX; i++)
		assert_non_null(ocp_end_text(i));
	for (int i = 0; i < OCP_FAULT_MAX; i++)
		assert_non_null(ocp_fault_text(i));
	for (int i = 0; i < OCP_FEATURE_MAX; i++)
		assert_int_equal(ocp_feature_find(ocp_str(ocp_feature_uri(i))), i);
	assert_int_equal(ocp_feature_find(OCP_STR("x")), OCP_FEATURE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_decode),
		cmocka_unit_test(test_vectors_encode),
		cmocka_unit_test(test_vectors_in_one_stream),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_example_of_the_binding),
		cmocka_unit_test(test_forms_of_values),
		cmocka_unit_test(test_unknown_is_skipped),
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_types_and_ranges),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_limit_named),
		cmocka_unit_test(test_limit_payload),
		cmocka_unit_test(test_unknown_values_are_not_kept),
		cmocka_unit_test(test_bad_stays_bad),
		cmocka_unit_test(test_meta),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
