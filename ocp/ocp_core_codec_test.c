/* SPDX-License-Identifier: BSD-3-Clause */
/* Codec, core dialect (RFC 4037): a vector for every message, types, lists, the forms of Kept, names
 * that may be spelled in several ways, invalid messages of a known scope. */
#include <errno.h>
#include "ocp/ocp_codec_bench.h"

#define B(p) OCP_HAS(OCP_P_##p)
#define LIST(literal, n) {OCP_STR(literal), n}
#define HTTP "http://www.iana.org/assignments/opes/ocp/http/"
#define XID(t, name)                                                                               \
	{name " 2147483647;\r\n", name " xid=2147483647\nend\n",                                   \
	 {.type = OCP_MSG_##t, .has = B(XID), .xid = 2147483647}, 0}

static const struct vector vectors[] = {
	{"CS;\r\n", "CS\nend\n", {.type = OCP_MSG_CS}, 0},
	{"CE;\r\n", "CE\nend\n", {.type = OCP_MSG_CE}, 0},
	{"CE {400 \"4:full\"};\r\n",
	 "CE result=400 reason=[full]\nend\n",
	 {.type = OCP_MSG_CE, .has = B(RESULT), .result = {400, OCP_STR("full")}},
	 0},
	{"SGC 0 ();\r\n", "SGC sg=0 services=0( )\nend\n",
	 {.type = OCP_MSG_SGC, .has = B(SG) | B(SERVICES)}, 0},
	{"SGC 10 ({\"30:ocp-test.example.com/ad-filter\"},{\"3:a:b\" 7 (x)\r\nMode: {y}\r\n});\r\n",
	 "SGC sg=10 services=2( =[ocp-test.example.com/ad-filter] =[a:b] more=[ 7 "
	 "(x)\\0d\\0aMode: {y}\\0d\\0a] )\nend\n",
	 {.type = OCP_MSG_SGC,
	  .has = B(SG) | B(SERVICES),
	  .sg = 10,
	  .services = LIST("({\"30:ocp-test.example.com/ad-filter\"},{\"3:a:b\" 7 (x)\r\nMode: "
			   "{y}\r\n})",
			   2)},
	 0},
	{"SGD 10;\r\n", "SGD sg=10\nend\n", {.type = OCP_MSG_SGD, .has = B(SG), .sg = 10}, 0},
	{"TS 55 11;\r\n",
	 "TS xid=55 sg=11\nend\n",
	 {.type = OCP_MSG_TS, .has = B(XID) | B(SG), .xid = 55, .sg = 11},
	 0},
	XID(TE, "TE"),
	{"TE 55 {200};\r\n",
	 "TE xid=55 result=200 reason=[]\nend\n",
	 {.type = OCP_MSG_TE, .has = B(XID) | B(RESULT), .xid = 55, .result = {.code = 200}},
	 0},
	XID(AMS, "AMS"),
	{"AMS 88\r\nAM-EL: 95\r\nServices: ({\"3:a:b\"})\r\n;\r\n",
	 "AMS xid=88 sizep=95 services=1( =[a:b] )\nend\n",
	 {.type = OCP_MSG_AMS,
	  .has = B(XID) | B(SIZEP) | B(SERVICES),
	  .xid = 88,
	  .sizep = 95,
	  .services = LIST("({\"3:a:b\"})", 1)},
	 0},
	XID(AME, "AME"),
	{"AME 88 {206};\r\n",
	 "AME xid=88 result=206 reason=[]\nend\n",
	 {.type = OCP_MSG_AME, .has = B(XID) | B(RESULT), .xid = 88, .result = {.code = 206}},
	 0},
	{"DUM 1 13\r\n5:hello\r\n;\r\n",
	 "DUM xid=1 offset=13 size=5 payload=5\n68656c6c6f\nend\n",
	 {.type = OCP_MSG_DUM, .has = B(XID) | B(OFFSET), .xid = 1, .offset = 13},
	 "hello"},
	{"DUM 1 2147483647\r\nModp: 100\r\nAM-Part: response-trailer\r\nAs-is: 2147483647\r\n"
	 "Kept: {0 2147483647}\r\n\r\n0:\r\n;\r\n",
	 "DUM xid=1 offset=2147483647 size=0 modp=100 part=response-trailer as-is=2147483647 "
	 "kept=0+2147483647 payload=0\nend\n",
	 {.type = OCP_MSG_DUM,
	  .has = B(XID) | B(OFFSET) | B(MODP) | B(AM_PART) | B(AS_IS) | B(KEPT),
	  .xid = 1,
	  .offset = 2147483647,
	  .modp = 100,
	  .am_part = OCP_PART_RESPONSE_TRAILER,
	  .as_is_offset = 2147483647,
	  .kept_size = 2147483647},
	 ""},
	{"DUY 88 65 64;\r\n",
	 "DUY xid=88 size=64 org-offset=65\nend\n",
	 {.type = OCP_MSG_DUY,
	  .has = B(XID) | B(COPY_AM_OFFSET) | B(SIZE),
	  .xid = 88,
	  .copy_am_offset = 65,
	  .size = 64},
	 0},
	{"DPI 88 129 2147483647;\r\n",
	 "DPI xid=88 offset=129 size=2147483647\nend\n",
	 {.type = OCP_MSG_DPI,
	  .has = B(XID) | B(OFFSET) | B(SIZE),
	  .xid = 88,
	  .offset = 129,
	  .size = 2147483647},
	 0},
	{"DWSR 88 0;\r\n",
	 "DWSR xid=88 size=0\nend\n",
	 {.type = OCP_MSG_DWSR, .has = B(XID) | B(SIZE), .xid = 88},
	 0},
	XID(DWSS, "DWSS"),
	XID(DSS, "DSS"),
	{"DWP 22 16;\r\n",
	 "DWP xid=22 offset=16\nend\n",
	 {.type = OCP_MSG_DWP, .has = B(XID) | B(OFFSET), .xid = 22, .offset = 16},
	 0},
	XID(DPM, "DPM"),
	XID(DWM, "DWM"),
	{"DWM 1\r\nSize-request: 16384\r\n;\r\n",
	 "DWM xid=1 size-request=16384\nend\n",
	 {.type = OCP_MSG_DWM, .has = B(XID) | B(SIZE_REQUEST), .xid = 1, .size_request = 16384},
	 0},
	{"NO ();\r\n", "NO features=0( )\nend\n", {.type = OCP_MSG_NO, .has = B(FEATURES)}, 0},
	{"NO ({\"3:a:b\"},{\"3:c:d\"})\r\nOffer-Pending: true\r\nSG: 5\r\n;\r\n",
	 "NO sg=5 offer-pending features=2( =[a:b] =[c:d] )\nend\n",
	 {.type = OCP_MSG_NO,
	  .has = B(FEATURES) | B(SG) | B(OFFER_PENDING),
	  .sg = 5,
	  .features = LIST("({\"3:a:b\"},{\"3:c:d\"})", 2)},
	 0},
	{"NR;\r\n", "NR\nend\n", {.type = OCP_MSG_NR}, 0},
	{"NR {\"3:a:b\"}\r\nOffer-Pending: true\r\nSG: 0\r\nRejects: ({\"3:c:d\"})\r\nUnknowns: "
	 "()\r\n;\r\n",
	 "NR sg=0 offer-pending rejects=1( =[c:d] ) unknowns=0( ) feature=[a:b] more=[]\nend\n",
	 {.type = OCP_MSG_NR,
	  .has = B(FEATURE) | B(SG) | B(REJECTS) | B(UNKNOWNS) | B(OFFER_PENDING),
	  .feature = {.uri = OCP_STR("a:b")},
	  .rejects = LIST("({\"3:c:d\"})", 1)},
	 0},
	{"AQ {\"53:" HTTP "request\"};\r\n",
	 "AQ feature=[" HTTP "request] more=[]\nend\n",
	 {.type = OCP_MSG_AQ, .has = B(FEATURE), .feature = {.uri = OCP_STR(HTTP "request")}},
	 0},
	{"AA true;\r\n", "AA answer=true\nend\n",
	 {.type = OCP_MSG_AA, .has = B(ANSWER), .answer = true}, 0},
	{"AA false;\r\n", "AA answer=false\nend\n", {.type = OCP_MSG_AA, .has = B(ANSWER)}, 0},
	{"PQ;\r\n", "PQ\nend\n", {.type = OCP_MSG_PQ}, 0},
	XID(PQ, "PQ"),
	{"PA;\r\n", "PA\nend\n", {.type = OCP_MSG_PA}, 0},
	XID(PA, "PA"),
	{"PA 5\r\nOrg-Data: 77\r\n;\r\n",
	 "PA xid=5 org-data=77\nend\n",
	 {.type = OCP_MSG_PA, .has = B(XID) | B(ORG_DATA), .xid = 5, .org_data = 77},
	 0},
	{"PR;\r\n", "PR\nend\n", {.type = OCP_MSG_PR}, 0},
	{"PR 5\r\nOrg-Data: 2147483647\r\n;\r\n",
	 "PR xid=5 org-data=2147483647\nend\n",
	 {.type = OCP_MSG_PR, .has = B(XID) | B(ORG_DATA), .xid = 5, .org_data = 2147483647},
	 0},
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static void test_vectors_decode(void **state)
{
	bool seen[OCP_MSG_MAX] = {false};

	decode_vectors(vectors, VECTORS, seen);
	for (int t = OCP_MSG_CS; t < OCP_MSG_MAX; t++) {
		assert_true(seen[t]);
		assert_int_equal(ocp_msg_dialect(t), OCP_DIALECT_CORE);
	}
	assert_int_equal(ocp_msg_dialect(OCP_MSG_I_WONT_USE), OCP_DIALECT_DRAFT);
	assert_int_equal(ocp_msg_dialect(OCP_MSG_UNKNOWN), OCP_DIALECT_MAX);
	assert_int_equal(ocp_msg_dialect(OCP_MSG_MAX), OCP_DIALECT_MAX);
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

static void refuse(struct ocp_msg m, size_t payload)
{
	char b[512];
	size_t n;

	assert_int_equal(ocp_encode(&m, payload, b, sizeof(b), &n), -EINVAL);
	if (m.type != OCP_MSG_DUM) /* a head with strings takes the general way only */
		return;
	assert_int_equal(ocp_encode(&m, payload, b, 40, &n), -EINVAL);
}

static void test_encode_refuses(void **state)
{
	struct ocp_msg dum = {.type = OCP_MSG_DUM, .has = B(XID) | B(OFFSET)}, m = dum;

	refuse((struct ocp_msg){.type = OCP_MSG_TS, .has = B(XID)}, 0); /* sg-id missing */
	refuse((struct ocp_msg){.type = OCP_MSG_SGC, .has = B(SG)}, 0);
	refuse((struct ocp_msg){.type = OCP_MSG_TE, .has = B(RESULT)}, 0); /* xid missing */
	refuse((struct ocp_msg){.type = OCP_MSG_AA}, 0);
	refuse((struct ocp_msg){.type = OCP_MSG_CS, .has = B(XID)}, 0); /* not its parameter */
	refuse((struct ocp_msg){.type = OCP_MSG_CS}, 1);		/* payload */
	refuse((struct ocp_msg){.type = OCP_MSG_DWM, .has = B(XID) | B(OFFSET)}, 0);
	refuse((struct ocp_msg){.type = OCP_MSG_TS, .has = B(XID) | B(SG), .sg = UINT32_C(1) << 31}, 0);
	refuse((struct ocp_msg){.type = OCP_MSG_PA,
				.has = B(XID) | B(ORG_DATA),
				.org_data = UINT32_C(1) << 31}, 0);
	refuse((struct ocp_msg){.type = OCP_MSG_AMS,
				.has = B(XID) | B(SIZEP),
				.sizep = UINT32_C(1) << 31}, 0);
	m.offset = UINT32_C(1) << 31; /* core offsets end there */
	refuse(m, 1);
	m = dum;
	m.has |= B(MODP);
	m.modp = 101;
	refuse(m, 1);
	m = dum;
	m.has |= B(AM_PART);
	refuse(m, 1);
	m = dum;
	m.has |= B(AS_IS);
	m.as_is_offset = UINT32_C(1) << 31;
	refuse(m, 1);
	m = dum;
	m.has |= B(KEPT);
	m.kept_size = UINT32_C(1) << 31;
	refuse(m, 1);
	m = dum;
	m.has |= B(COPIED); /* the draft's */
	refuse(m, 1);
	refuse(dum, UINT32_C(1) << 31);
}

static void test_kept_and_spellings(void **state)
{
	static const char *const kept[] = {"{65 64}",	      "65 64",		      "{\"2:65\" 64}",
					   "\"2:65\" \"2:64\"", "{65 64 (x)\r\nA: b\r\n}"};
	static const char *const request[] = {"Size-request", "Size-Request", "size-request",
					      "SIZE-REQUEST"};
	static const char *const org[] = {"Org-Data", "Org-data", "org-data"};
	char in[200];

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		snprintf(in, sizeof(in), "DUM 88 65\r\nKept: %s\r\nAM-Part: response-header\r\n\r\n"
			 "1:x\r\n;\r\n", kept[i]);
		expect(in, "DUM xid=88 offset=65 size=1 part=response-header kept=65+64 "
			   "payload=1\n78\nend\nidle\n");
	}
	for (size_t i = 0; i < sizeof(request) / sizeof(request[0]); i++) {
		snprintf(in, sizeof(in), "DWM 1\r\n%s: 5\r\n;\r\n", request[i]);
		expect(in, "DWM xid=1 size-request=5\nend\nidle\n");
	}
	for (size_t i = 0; i < sizeof(org) / sizeof(org[0]); i++) {
		snprintf(in, sizeof(in), "PA 1\r\n%s: 5\r\n;\r\n", org[i]);
		expect(in, "PA xid=1 org-data=5\nend\nidle\n");
	}
	/* any other name has one spelling; two spellings of one name are one name */
	expect("DUM 1 0\r\nmodp: x\r\n\r\n0:\r\n;\r\n",
	       "DUM xid=1 offset=0 size=0 unknown=1 payload=0\nend\nidle\n");
	expect("cs;\r\n", "unknown name=[cs]\nend\nidle\n");
	expect_bad("DWM 1\r\nSize-request: 5\r\nSize-Request: 6\r\n;\r\n", OCP_BAD_REPEATED);
	expect_bad("DUM 1 0\r\nKept: 1 2\r\nKept: {1 2}\r\n\r\n0:\r\n;\r\n", OCP_BAD_REPEATED);
	/* two values are of Kept only, and of DUM's only */
	expect_bad("DUM 1 0\r\nModp: 1 2\r\n\r\n0:\r\n;\r\n", OCP_BAD_OCTET);
	expect_bad("DUM 1 0\r\nKept: 1 2 3\r\n\r\n0:\r\n;\r\n", OCP_BAD_OCTET);
	expect_bad("DUY 1 0 1\r\nKept: 1 2\r\n;\r\n", OCP_BAD_OCTET);
	expect_bad("DUM 1 0\r\nKept: {1 2} 3\r\n\r\n0:\r\n;\r\n", OCP_BAD_TYPE);
	expect_bad("DUM 1 0\r\nKept: 1 {2}\r\n\r\n0:\r\n;\r\n", OCP_BAD_TYPE);
	expect_bad("DUM 1 0\r\nKept: (1,2)\r\n\r\n0:\r\n;\r\n", OCP_BAD_TYPE);
	expect_bad("DUM 1 0\r\nKept: {1}\r\n\r\n0:\r\n;\r\n", OCP_BAD_MISSING);
	expect_bad("DUM 1 0\r\nKept: {}\r\n\r\n0:\r\n;\r\n", OCP_BAD_MISSING);
	expect_bad("DUM 1 0\r\nKept: 0\r\n\r\n0:\r\n;\r\n", OCP_BAD_MISSING);
	expect_bad("DUM 1 0\r\nKept: 1 2147483648\r\n\r\n0:\r\n;\r\n", OCP_BAD_RANGE);
	expect_bad("DUM 1 0\r\nKept: {01 2}\r\n\r\n0:\r\n;\r\n", OCP_BAD_RANGE);
}

static void test_forms_of_values(void **state)
{
	/* a bare value may be sent quoted; Offer-Pending is false when it says so */
	expect("TS \"2:55\" \"1:0\";\r\n", "TS xid=55 sg=0\nend\nidle\n");
	expect("NO \r\n", "bad 1 at 3\n");
	expect("NR\r\nOffer-Pending: false\r\n;\r\n", "NR\nend\nidle\n");
	expect("AA \"4:true\";\r\n", "AA answer=true\nend\nidle\n");
	expect("DUM 1 0\r\nAM-Part: \"13:response-body\"\r\n\r\n1:x\r\n;\r\n",
	       "DUM xid=1 offset=0 size=1 part=response-body payload=1\n78\nend\nidle\n");
	expect("SGC 1 ({x});\r\n", "SGC sg=1 services=1( =[x] )\nend\nidle\n");
	expect("TE 7 {400 \"6:got it\"};\r\n", "TE xid=7 result=400 reason=[got it]\nend\nidle\n");
	/* unknown and unexpected ones are passed over (section 11) */
	expect("DWM 1 3\r\nX-Need-Info: \"26:twenty six octet extension\"\r\n;\r\n",
	       "DWM xid=1 unknown=2\nend\nidle\n");
	expect("CS 1 {2} (3)\r\nA: b\r\n\r\n2:xy\r\n;\r\n",
	       "CS unknown=4 payload=2\n7879\nend\nidle\n");
	expect("DUM 1 0\r\nsizep: 7\r\n\r\n0:\r\n;\r\n",
	       "DUM xid=1 offset=0 size=0 unknown=1 payload=0\nend\nidle\n");
}

static void test_types_and_ranges(void **state)
{
	static const char *const missing[] = {
		"SGC 1;\r\n",	  "SGC;\r\n",	"SGD;\r\n",	 "TS 1;\r\n",	"TE;\r\n",
		"TE\r\nresult: {200}\r\n;\r\n", "AMS;\r\n", "AME;\r\n", "DUM 1 0;\r\n",
		"DUM 1\r\n1:x\r\n;\r\n", "DUY 1 2;\r\n", "DPI 1 2;\r\n", "DWSR 1;\r\n",
		"DWSS;\r\n", "DSS;\r\n", "DWP 1;\r\n", "DPM;\r\n", "DWM;\r\n", "NO;\r\n",
		"AQ;\r\n", "AQ {};\r\n", "AA;\r\n", "NR {};\r\n", "CE {};\r\n",
	};
	static const char *const type[] = {
		"TS a 1;\r\n", "TS 1 {1};\r\n", "TS -1 1;\r\n", "AA yes;\r\n", "AA True;\r\n",
		"AA 1;\r\n", "AA (true);\r\n", "NO {x};\r\n", "NO x;\r\n", "NO (x);\r\n",
		"NO ({x},y);\r\n", "NO ({});\r\n", "NO ({(x)});\r\n", "NO ({x})\r\nOffer-Pending: 1\r\n;\r\n",
		"NO ()\r\nSG: x\r\n;\r\n", "NR x;\r\n", "NR ({x});\r\n", "NR\r\nRejects: {x}\r\n;\r\n",
		"NR\r\nUnknowns: (x)\r\n;\r\n", "SGC 1 {x};\r\n", "AMS 1\r\nServices: x\r\n;\r\n",
		"AMS 1\r\nAM-EL: {5}\r\n;\r\n", "CE 400;\r\n", "TE 1 400;\r\n", "AME 1 {ok};\r\n",
		"PQ x;\r\n", "PA 1\r\nOrg-Data: (1)\r\n;\r\n", "DWM 1\r\nSize-request: any\r\n;\r\n",
		"DUM 1 0\r\nAs-is: {0 1}\r\n\r\n0:\r\n;\r\n", "DUM 1 0\r\nAM-Part: (x)\r\n\r\n0:\r\n;\r\n",
	};
	static const char *const range[] = {
		"TS 2147483648 1;\r\n", "TS 1 2147483648;\r\n", "TS 01 1;\r\n",
		"DUM 1 2147483648\r\n0:\r\n;\r\n", "DUY 1 2147483648 0;\r\n",
		"DUY 1 0 2147483648;\r\n", "DPI 1 2147483648 0;\r\n", "DPI 1 0 2147483648;\r\n",
		"DWSR 1 2147483648;\r\n", "DWP 1 2147483648;\r\n", "SGD 2147483648;\r\n",
		"AMS 1\r\nAM-EL: 2147483648\r\n;\r\n", "PR 1\r\nOrg-Data: 2147483648\r\n;\r\n",
		"DUM 1 0\r\nModp: 101\r\n\r\n0:\r\n;\r\n", "DUM 1 0\r\nModp: 00\r\n\r\n0:\r\n;\r\n",
		"DUM 1 0\r\nAs-is: 2147483648\r\n\r\n0:\r\n;\r\n",
		"DUM 1 0\r\nAM-Part: body\r\n\r\n0:\r\n;\r\n", "DUM 1 0\r\nAM-Part: Response-Body\r\n\r\n0:\r\n;\r\n",
		"TE 1 {0400};\r\n",
	};

	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		expect_bad(missing[i], OCP_BAD_MISSING);
	for (size_t i = 0; i < sizeof(type) / sizeof(type[0]); i++)
		expect_bad(type[i], OCP_BAD_TYPE);
	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++)
		expect_bad(range[i], OCP_BAD_RANGE);
}

/* The first message decides; names of the other dialect are then unknown. */
static void test_dialects(void **state)
{
	expect("CS;\r\nconnection-start;\r\nTE 1;\r\nxaction-end 1 2 3;\r\n",
	       "CS\nend\nunknown name=[connection-start]\nend\nTE xid=1\nend\n"
	       "unknown name=[xaction-end] unknown=3\nend\nidle\n");
	expect("connection-start;\r\nCS;\r\nDUM 1 0\r\n1:x\r\n;\r\ndata-have 1 1 0\r\n1:x\r\n;\r\n",
	       "connection-start\nend\nunknown name=[CS]\nend\n"
	       "unknown name=[DUM] unknown=2 payload=1\n78\nend\n"
	       "data-have xid=1 am=1 offset=0 size=1 payload=1\n78\nend\nidle\n");
	expect("CS;\r\ndata-have 1 1 0\r\n1:x\r\n;\r\nDUM 1 0\r\n1:x\r\n;\r\n",
	       "CS\nend\nunknown name=[data-have] unknown=3 payload=1\n78\nend\n"
	       "DUM xid=1 offset=0 size=1 payload=1\n78\nend\nidle\n");
	/* unknown ones before it decide nothing */
	expect("x;\r\nCS;\r\n", "unknown name=[x]\nend\nCS\nend\nidle\n");
}

/* Events of one message after ocp_decoder_scope, whole and octet by octet. */
static void expect_scoped(const char *wire, const char *want)
{
	for (size_t cut = 1; cut < 1000; cut += 999) {
		struct ocp_decoder *d = ocp_decoder_create(NULL);
		size_t at = 0, len = strlen(wire);
		struct text t = {0};
		struct ocp_event ev;

		ocp_decoder_dialect(d, OCP_DIALECT_CORE);
		ocp_decoder_scope(d);
		do {
			at += ocp_decoder_feed(d, wire + at, cut < len - at ? cut : len - at, &ev);
			if (ev.type == OCP_EVENT_MESSAGE)
				say_msg(&t, ev.msg);
			else if (ev.type == OCP_EVENT_BAD)
				say(&t, "bad %u\n", ev.bad);
		} while (ev.type != OCP_EVENT_BAD &&
			 (at < len || ev.type != OCP_EVENT_NEED_MORE));
		assert_string_equal(t.p, want);
		free(t.p);
		ocp_decoder_destroy(d);
	}
}

static void test_scope_of_invalid_messages(void **state)
{
	char want[200];

	snprintf(want, sizeof(want), "DUM xid=7 invalid=%d unknown=1 payload=1\nTE xid=7\n", OCP_BAD_RANGE);
	expect_scoped("DUM 7 0\r\nModp: 101\r\nX: y\r\n\r\n1:x\r\n;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "DUY xid=7 invalid=%d\nTE xid=7\n", OCP_BAD_MISSING);
	expect_scoped("DUY 7 0;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "AMS xid=7 invalid=%d\nTE xid=7\n", OCP_BAD_TYPE);
	expect_scoped("AMS 7\r\nServices: x\r\n;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "DWM xid=7 invalid=%d\nTE xid=7\n", OCP_BAD_REPEATED);
	expect_scoped("DWM 7\r\nSize-request: 1\r\nSize-request: 2\r\n;\r\nTE 7;\r\n", want);
	expect_scoped("DWM 7\r\nSize-request: 1\r\nsize-request: 2\r\n;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "DUM xid=7 invalid=%d\nTE xid=7\n", OCP_BAD_MISSING);
	expect_scoped("DUM 7 0;\r\nTE 7;\r\n", want);
	/* scope unknown: no xid, a broken one, or a message of the connection */
	snprintf(want, sizeof(want), "bad %d\n", OCP_BAD_MISSING);
	expect_scoped("DUY;\r\nTE 7;\r\n", want);
	expect_scoped("SGC 1;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "bad %d\n", OCP_BAD_RANGE);
	expect_scoped("DUY 07 0 1;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "bad %d\n", OCP_BAD_TYPE);
	expect_scoped("NO x;\r\nTE 7;\r\n", want);
	snprintf(want, sizeof(want), "bad %d\n", OCP_BAD_REPEATED);
	expect_scoped("NO ()\r\nSG: 1\r\nSG: 1\r\n;\r\nTE 7;\r\n", want);
	/* not in valid format */
	snprintf(want, sizeof(want), "bad %d\n", OCP_BAD_OCTET);
	expect_scoped("TE 7 ;\r\n", want);
}

static void test_lists(void **state)
{
	const struct ocp_uri a = {OCP_STR("a:b"), OCP_STR(" (x,{y})\r\nM: \"3:)},\"\r\n")},
			     c = {OCP_STR("{(\""), {NULL, 0}};
	char buf[80];
	size_t len = 0, was;
	struct ocp_list l;
	struct ocp_uri u;
	uint32_t at = 0;

	assert_int_equal(ocp_list_add(buf, sizeof(buf), &len, &a), 0);
	assert_int_equal(ocp_list_add(buf, sizeof(buf), &len, &c), 0);
	l = ocp_list_of((struct ocp_str){buf, (uint32_t)len});
	assert_int_equal(l.count, 2);
	assert_true(ocp_list_next(&l, &at, &u));
	assert_true(ocp_str_eq(u.uri, a.uri) && ocp_str_eq(u.more, a.more));
	assert_true(ocp_list_next(&l, &at, &u));
	assert_true(ocp_str_eq(u.uri, c.uri) && u.more.len == 0);
	assert_false(ocp_list_next(&l, &at, &u));
	assert_false(ocp_list_next(&l, &at, &u));
	was = len;
	assert_int_equal(ocp_list_add(buf, len + 5, &len, &c), -ENOSPC);
	assert_int_equal(len, was);
	assert_int_equal(ocp_list_of((struct ocp_str){buf, (uint32_t)len}).count, 2);
	len = 2;
	assert_int_equal(ocp_list_add("{}", 80, &len, &c), -EINVAL);
	memcpy(buf, "()", 2); /* an empty one may be gone on with */
	assert_int_equal(ocp_list_add(buf, sizeof(buf), &len, &c), 0);
	assert_int_equal(len, strlen("({\"3:{(\"\"})"));
	at = 0;
	l = OCP_LIST_EMPTY;
	assert_false(ocp_list_next(&l, &at, &u));
	l = ocp_list_of(OCP_STR("()"));
	assert_int_equal(l.count, 0);
	assert_int_equal(l.wire.len, 2);
	assert_false(ocp_list_next(&l, &at, &u));
}

/* What is not a list of structures, and text that was cut. */
static void test_list_of_anything(void **state)
{
	static const char *const no[] = {"",	   "(",	      ")",	  "{}",	    "(x)",     "({})",
					 "({x}",   "({x},)",  "({x}{y})", "({x},y)", "({x",	"({",
					 "({x})x", "({\"9:x\"})", "({\"", "(())",    "({(x)})", "(,{x})"};
	struct ocp_str whole = OCP_STR("({\"3:a:b\" (x)\r\nM: {y}\r\n},{z})");

	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_int_equal(ocp_list_of(ocp_str(no[i])).wire.len, 0);
	for (uint32_t n = 0; n < whole.len; n++) {
		char *part = malloc(n ? n : 1);

		memcpy(part, whole.p, n);
		assert_int_equal(ocp_list_of((struct ocp_str){part, n}).wire.len, 0);
		free(part);
	}
	assert_int_equal(ocp_list_of(whole).count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_decode),
		cmocka_unit_test(test_vectors_encode),
		cmocka_unit_test(test_vectors_in_one_stream),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_kept_and_spellings),
		cmocka_unit_test(test_forms_of_values),
		cmocka_unit_test(test_types_and_ranges),
		cmocka_unit_test(test_dialects),
		cmocka_unit_test(test_scope_of_invalid_messages),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_list_of_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
